"""KL divergence, and a student that learns from a teacher."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from loss_check import check_config, check_loss, check_parts, check_torch
from tolerance import assert_close

rng = np.random.default_rng(0)
LOGITS, TEACHER = 2 * rng.standard_normal((2, 5, 4, 6))
LABELS = rng.integers(0, 6, (5, 4))
P = rng.dirichlet(np.ones(6), (5, 4))
P[0, 0] = [0, 0, 1, 0, 0, 0]
W = rng.uniform(0.1, 2, 5)
SETTINGS = [{}, {"temperature": 4.0, "alpha": 0.9}, {"alpha": 1.0}, {"alpha": 0.0}, {"ignore_index": 2}]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("weight", [None, W], ids=["", "weighted"])
def test_divergence(weight, dtype):
    p = P.astype(dtype)
    check_loss(
        at.losses.KLDivergence(),
        [LOGITS],
        p,
        lambda x: reference.kl_divergence(x, p.astype(np.float64), weight),
        weight,
        dtype,
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("weight", [None, W], ids=["", "weighted"])
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_distillation(options, weight, dtype):
    teacher = TEACHER.astype(dtype)
    check_loss(
        at.losses.Distillation(**options),
        [LOGITS],
        (LABELS, teacher),
        lambda x: reference.distillation(
            x, LABELS, teacher.astype(np.float64), **options, sample_weight=weight
        ),
        weight,
        dtype,
    )


@pytest.mark.parametrize("weight", [None, W], ids=["", "weighted"])
def test_parts_add_up(weight):
    check_parts(at.losses.KLDivergence(), [LOGITS], P, weight)
    check_parts(at.losses.Distillation(3, 0.3, ignore_index=1), [LOGITS], (LABELS, TEACHER), weight)


def test_torch(torch):
    f = torch.nn.functional

    def divergence(x):
        return f.kl_div(
            f.log_softmax(x, -1).flatten(0, 1), torch.tensor(P).flatten(0, 1), reduction="batchmean"
        )

    def distillation(x):
        a, b = (f.log_softmax(z.flatten(0, 1) / 4, -1) for z in (x, torch.tensor(TEACHER)))
        soft = 16 * f.kl_div(a, b, reduction="batchmean", log_target=True)
        return 0.7 * soft + 0.3 * f.cross_entropy(x.flatten(0, 1), torch.tensor(LABELS).flatten())

    check_torch(torch, at.losses.KLDivergence(), [LOGITS], P, divergence, np.float64)
    check_torch(torch, at.losses.Distillation(4, 0.7), [LOGITS], (LABELS, TEACHER), distillation, np.float64)


def test_a_padded_row_is_selected_away():
    loss, labels = at.losses.Distillation(ignore_index=-1), LABELS.copy()
    labels[2] = -1
    x, y = LOGITS.copy(), TEACHER.copy()
    expected = loss(x, (labels, y)).item()
    x[2], y[2] = np.nan, np.nan
    logits = at.tensor(x, requires_grad=True)
    value = loss(logits, (labels, y))
    value.backward()
    assert value.item() == expected
    assert np.isfinite(logits.grad.numpy()).all()
    assert (logits.grad.numpy()[2] == 0).all()


def test_zero_where_the_student_agrees():
    assert_close(at.losses.Distillation(alpha=1)(TEACHER, (LABELS, TEACHER)), 0.0)
    assert at.losses.KLDivergence()(LOGITS, P).item() > 0


def test_a_student_learns_more_from_a_teacher_than_from_few_labels():
    """Of 40 samples with a fifth of the labels wrong, the teacher's logits are worth 5 points."""
    gains = []
    for seed in range(4):
        draw = np.random.default_rng(seed)
        x = draw.standard_normal((1200, 8)).astype(np.float32)
        truth = np.argmax(x @ draw.standard_normal((8, 4)), axis=1)

        def train(inputs, target, loss, epochs, seed=seed):
            model = at.nn.Sequential(
                at.nn.Linear(8, 16, seed=seed), at.nn.ReLU(), at.nn.Linear(16, 4, seed=seed + 9)
            )
            trainer = at.train.Trainer(model, loss, at.optim.Adam(0.02))
            trainer.fit(inputs, target, epochs=epochs, batch_size=40, progress=False)
            return trainer

        teacher = train(x[:600], truth[:600], at.losses.CrossEntropy(), 15).predict(x[:40])
        labels = np.where(draw.random(40) < 0.2, draw.integers(0, 4, 40), truth[:40])
        alone = train(x[:40], labels, at.losses.CrossEntropy(), 150)

        loss = at.losses.Distillation(temperature=3, alpha=0.9)
        student = at.nn.Sequential(
            at.nn.Linear(8, 16, seed=seed), at.nn.ReLU(), at.nn.Linear(16, 4, seed=seed + 9)
        )
        optimizer = at.optim.Adam(0.02)
        optimizer.attach(student)
        for _ in range(150):
            optimizer.zero_grad()
            loss(student(x[:40]), (labels, teacher)).backward()
            optimizer.step()
        guess = np.argmax(student(x[600:]).numpy(), axis=1)
        gains.append(np.mean(guess == truth[600:]) - alone.evaluate(x[600:], truth[600:])["accuracy"])
    assert np.mean(gains) > 0.05, gains


@pytest.mark.parametrize("loss", [at.losses.KLDivergence(), *(at.losses.Distillation(**o) for o in SETTINGS)])
def test_config(loss):
    check_config(loss)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: at.losses.Distillation(0), ValueError, "Distillation: temperature is 0"),
        (
            lambda: at.losses.Distillation(alpha=1.5),
            ValueError,
            "Distillation: alpha is 1.5 but must be 0 to 1",
        ),
        (lambda: at.losses.Distillation(alpha=np.nan), ValueError, "alpha is nan"),
        (lambda: at.losses.Distillation()(LOGITS, LABELS), ValueError, "takes two targets.* but there are 1"),
        (lambda: at.losses.Distillation()(LOGITS, (P, P)), TypeError, "the first target has dtype float64"),
        (
            lambda: at.losses.Distillation()(LOGITS, (LABELS, TEACHER[..., :5])),
            ValueError,
            r"the teacher's logits has shape \(5, 4, 5\)",
        ),
        (
            lambda: at.losses.Distillation()(LOGITS, (LABELS, TEACHER.astype("f4"))),
            TypeError,
            "the teacher's logits has dtype float32",
        ),
        (
            lambda: at.losses.KLDivergence()(LOGITS, -P),
            ValueError,
            "target holds .* but must hold probabilities",
        ),
        (lambda: at.losses.KLDivergence()(LOGITS, 5 * P), ValueError, "sum to more than 1 in row 0"),
        (lambda: at.losses.KLDivergence()(LOGITS, P[:3]), ValueError, r"target has shape \(3, 4, 6\)"),
        (lambda: at.losses.KLDivergence()(LOGITS, LABELS), TypeError, "target has dtype int64"),
    ],
)
def test_errors(call, error, says):
    with pytest.raises(error, match=says):
        call()

"""Losses: one number for a batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attendo as at
from attendo import reference
from inputs import DTYPES, upstream
from loss_check import check_config, check_loss, check_parts, check_torch
from tolerance import assert_close, assert_same_bits

rng = np.random.default_rng(0)
LOGITS, TARGET = rng.standard_normal((4, 6, 5)), rng.integers(0, 5, (4, 6))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"ignore_index": 2}, {"ignore_index": 0, "label_smoothing": 0.1}], ids=str
)
def test_cross_entropy(options, dtype):
    logits = at.tensor(LOGITS.astype(dtype), requires_grad=True)
    loss = at.losses.CrossEntropy(**options)(logits, TARGET)
    double = logits.numpy().astype(np.float64)
    assert loss.shape == ()
    assert_close(loss, reference.cross_entropy(double, TARGET, **options), dtype)
    loss.backward()
    (expected,) = reference.cross_entropy_backward(np.ones(()), double, TARGET, **options)
    assert_close(logits.grad, expected, dtype)


U = np.array([0.5, 2.0, 0.0, 1.0, 3.0])
W = np.array([1.0, 0.0, 0.5, 2.0])
WEIGHTED = [
    {"weight": U},
    {"weight": U, "label_smoothing": 0.2},
    {"ignore_index": 2, "weight": U, "label_smoothing": 0.2},
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("weight", [None, W], ids=["", "weighted"])
@pytest.mark.parametrize("target", [TARGET, rng.dirichlet(np.ones(5), (4, 6))], ids=["ids", "probabilities"])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, *WEIGHTED], ids=str)
def test_weights_of_classes_and_samples(options, target, weight, dtype):
    if target.dtype.kind == "f":
        target, options = target.astype(dtype), {k: v for k, v in options.items() if k != "ignore_index"}
    double = target if target.dtype.kind == "i" else target.astype(np.float64)
    check_loss(
        at.losses.CrossEntropy(**options),
        [LOGITS],
        target,
        lambda x: reference.cross_entropy(x, double, **options, sample_weight=weight),
        weight,
        dtype,
    )


@pytest.mark.parametrize("weight", [None, W], ids=["", "weighted"])
@pytest.mark.parametrize("options", [{}, {"ignore_index": 2}, *WEIGHTED], ids=str)
def test_parts_add_up(options, weight):
    check_parts(at.losses.CrossEntropy(**options), [LOGITS], TARGET, weight)


@pytest.mark.parametrize("options", WEIGHTED, ids=str)
def test_torch_with_weights(torch, options):
    theirs = torch.nn.CrossEntropyLoss(**{**options, "weight": torch.tensor(U)})
    target = torch.tensor(TARGET).flatten()
    check_torch(
        torch,
        at.losses.CrossEntropy(**options),
        [LOGITS],
        TARGET,
        lambda x: theirs(x.flatten(0, 1), target),
        np.float64,
    )


def test_a_sample_of_weight_zero_is_selected_away():
    logits = LOGITS.copy()
    logits[1] = np.nan
    loss, x = at.losses.CrossEntropy(), at.tensor(logits, requires_grad=True)
    value = loss(x, TARGET, W)
    value.backward()
    assert np.isfinite(value.item())
    assert (x.grad.numpy()[1] == 0).all()
    assert np.isfinite(x.grad.numpy()).all()


def test_weights_of_classes_move_the_guess_to_the_rare_one():
    """One sample in 20 is of class 1, and the classes overlap: with weights over 70 % of them are found,
    without under 20 %."""
    for seed in range(3):
        draw = np.random.default_rng(seed)
        y = (draw.random(2000) < 0.05).astype(int)
        x = (draw.standard_normal((2000, 2)) + y[:, None]).astype(np.float32)
        found = []
        for weight in (None, [1.0, 19.0]):
            model = at.nn.Linear(2, 2, seed=seed)
            loss = at.losses.CrossEntropy(weight=weight)
            trainer = at.train.Trainer(model, loss, at.optim.Adam(0.05))
            trainer.fit(x, y, epochs=10, batch_size=100, progress=False)
            found.append(np.mean(np.argmax(trainer.predict(x[y == 1]), axis=1)))
        assert found[0] < 0.2 and found[1] > 0.7, found


@pytest.mark.parametrize(
    "options", [{}, {"ignore_index": -100}, {"label_smoothing": 0.1}, *WEIGHTED], ids=str
)
def test_config(options):
    check_config(at.losses.CrossEntropy(**options))
    check_config(at.losses.Mean())


def test_from_config_refuses():
    with pytest.raises(ValueError, match="from_config: type is 'Magic' but must be one of"):
        at.losses.from_config({"type": "Magic"})
    with pytest.raises(ValueError, match=r"from_config: type is \[\]"):
        at.losses.from_config({"type": []})
    for config in (None, "SGD", 3):
        with pytest.raises(TypeError, match=f"config is a {type(config).__name__} but must be a dict"):
            at.losses.from_config(config)
    with pytest.raises(TypeError, match="config has the key 1 but"):
        at.losses.from_config({"type": "Huber", 1: 2})
    with pytest.raises(TypeError, match="losses is a int but must be a list, or a dict, of configs"):
        at.losses.from_config({"type": "MultiTask", "losses": 3})
    with pytest.raises(ValueError, match="from_config: type is None"):
        at.losses.from_config({})
    with pytest.raises(TypeError, match=r"unexpected keyword"):
        at.losses.from_config({"type": "Huber", "gamma": 1})


def test_weights_that_are_all_zero():
    with pytest.raises(
        ValueError, match="CrossEntropy: weight must have a class above 0, but all weights are 0"
    ):
        at.losses.CrossEntropy(weight=[0.0, 0.0, 0.0])
    at.losses.CrossEntropy(weight=[0.0, 1.0, 0.0])


def test_cross_entropy_of_one_hot():
    loss = at.losses.CrossEntropy(label_smoothing=0.1)
    assert_close(loss(LOGITS, np.eye(5)[TARGET]).item(), loss(LOGITS, TARGET).item())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (7,), (3, 4), (2, 3, 65)], ids=str)
def test_mean_squared_error(shape, dtype):
    prediction, target = (np.asarray(rng.standard_normal(shape), dtype) for _ in range(2))
    tensor = at.tensor(prediction, requires_grad=True)
    loss = at.losses.MeanSquaredError()(tensor, target)
    difference = prediction.astype(np.float64) - target
    assert_close(loss, np.mean(difference**2), dtype)
    loss.backward()
    assert_close(tensor.grad, 2 * difference / max(1, difference.size), dtype)


def test_torch(torch):
    a, b = rng.standard_normal((2, 4, 5))
    x, y = at.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    loss, theirs = at.losses.MeanSquaredError()(x, b), torch.nn.MSELoss()(y, torch.tensor(b))
    assert_close(loss, theirs.detach().numpy())
    d = upstream(loss)
    loss.backward(d)
    theirs.backward(torch.tensor(d))
    assert_close(x.grad, y.grad.numpy())


@given(st.integers(1, 9), st.integers(0, 2**16))
def test_mean_squared_error_is_symmetric_and_zero_at_the_target(n, seed):
    a, b = np.random.default_rng(seed).standard_normal((2, n))
    loss = at.losses.MeanSquaredError()
    assert_same_bits(loss(a, b), loss(b, a))
    assert loss(a, a).item() == 0


@pytest.mark.parametrize("prediction", [(4, 1), (4,), (1, 4), ()])
def test_nothing_is_broadcast(prediction):
    """(4, 1) against (4,) would quietly train towards the mean."""
    with pytest.raises(ValueError, match=r"^MeanSquaredError: target has shape \(4, 2\)"):
        at.losses.MeanSquaredError()(np.ones(prediction), np.ones((4, 2)))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda: at.losses.CrossEntropy(label_smoothing=-0.1),
            ValueError,
            "CrossEntropy: label_smoothing is -0.1",
        ),
        (
            lambda: at.losses.CrossEntropy(label_smoothing="x"),
            TypeError,
            "CrossEntropy: label_smoothing is a str",
        ),
        (
            lambda: at.losses.CrossEntropy(ignore_index=0.5),
            TypeError,
            "CrossEntropy: ignore_index is a float",
        ),
        (lambda: at.losses.CrossEntropy()(LOGITS, TARGET[:3]), ValueError, r"target has shape \(3, 6\)"),
        (
            lambda: at.losses.CrossEntropy()(LOGITS, TARGET + 1),
            ValueError,
            "target holds 5 but must hold 0 to 4",
        ),
        (lambda: at.losses.MeanSquaredError()(LOGITS, None), TypeError, "target is None"),
        (lambda: at.losses.MeanSquaredError()(LOGITS, TARGET), (TypeError, ValueError), "target has"),
        (lambda: at.losses.MeanSquaredError()(TARGET, TARGET), TypeError, "prediction has dtype int64"),
        (lambda: at.losses.MeanSquaredError()(LOGITS, LOGITS.astype("f4")), TypeError, "float32"),
        (
            lambda: at.losses.Loss()([1.0], [1.0]),
            TypeError,
            r"Loss: define forward\(self, prediction, target\)",
        ),
        (
            lambda: at.losses.Mean()([1.0], ([1.0], [2.0])),
            ValueError,
            "Mean: takes one target, but there are 2",
        ),
        (lambda: at.losses.Mean()((), [1.0]), ValueError, "Mean: there is no prediction"),
        (lambda: at.losses.Mean()([1.0], [1.0], [-1.0]), ValueError, "Mean: sample_weight holds -1"),
        (lambda: at.losses.Mean()([1.0], [1.0], [np.inf]), ValueError, "Mean: sample_weight holds inf"),
        (
            lambda: at.losses.Mean()([1.0], [1.0], [[1.0]]),
            ValueError,
            r"Mean: sample_weight has shape \(1, 1\)",
        ),
        (lambda: at.losses.Mean().part([1.0], [1.0], [1, 2]), ValueError, "totals must be 1 numbers"),
        (lambda: type("L", (at.losses.CrossEntropy,), {}), TypeError, "not an acceptable base type"),
    ],
)
def test_errors(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_repr():
    text = repr(at.losses.CrossEntropy(ignore_index=3, label_smoothing=0.25))
    assert text == "CrossEntropy(ignore_index=3, label_smoothing=0.25)"
    assert repr(at.losses.MeanSquaredError()) == "MeanSquaredError()"

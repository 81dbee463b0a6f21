"""Several tasks: given weights, and learned ones."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from loss_check import check_config, check_loss, check_parts
from tolerance import assert_close

rng = np.random.default_rng(0)
LOGITS, X = rng.standard_normal((6, 5, 3)), rng.standard_normal((6, 2))
LABELS, Y = rng.integers(0, 3, (6, 5)), rng.standard_normal((6, 2))
W = rng.uniform(0, 2, 6)
TASKS = {"words": at.losses.CrossEntropy(ignore_index=0), "size": at.losses.MeanSquaredError()}


def losses(logits, x, weight):
    words = reference.cross_entropy(logits, LABELS, 0, sample_weight=weight)
    return np.array([words, reference.mean_squared_error(x, Y.astype(x.dtype), weight)])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("weight", [None, W], ids=["", "weighted"])
@pytest.mark.parametrize("tasks", [TASKS, list(TASKS.values())], ids=["dict", "list"])
@pytest.mark.parametrize("weights", [None, [0.5, 2.0], [0.0, 1.0]], ids=str)
def test_weighted(weights, tasks, weight, dtype):
    check_loss(
        at.losses.MultiTask(tasks, weights),
        [LOGITS, X],
        (LABELS, Y.astype(dtype)),
        lambda a, b: reference.weighted_tasks(losses(a, b, weight), weights or [1.0, 1.0]),
        weight,
        dtype,
    )


@pytest.mark.parametrize("weight", [None, W], ids=["", "weighted"])
def test_parts_add_up(weight):
    check_parts(at.losses.MultiTask(TASKS, [0.3, 2]), [LOGITS, X], (LABELS, Y), weight)
    learned = at.losses.MultiTask(TASKS, "uncertainty")
    learned.log_variance.assign(np.array([0.5, -1.5], np.float32))
    check_parts(learned, [LOGITS, X], (LABELS, Y), weight)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_uncertainty(dtype):
    loss, s = at.losses.MultiTask(TASKS, "uncertainty"), np.array([0.5, -1.5])
    loss.log_variance.assign(s.astype(np.float32))
    y = Y.astype(dtype)
    check_loss(
        loss,
        [LOGITS, X],
        (LABELS, y),
        lambda a, b: reference.uncertain_tasks(losses(a, b, None), s),
        None,
        dtype,
    )
    each = losses(LOGITS, X, None)
    _, expected = reference.uncertain_tasks_backward(np.ones(()), each, s)
    assert_close(loss.log_variance.grad, expected, np.float32, scale=float(np.exp(-s).max() * each.max()))


def test_parameters():
    assert at.losses.MultiTask(TASKS).parameters() == {}
    assert at.losses.MultiTask(TASKS).log_variance is None
    loss = at.losses.MultiTask(TASKS, "uncertainty")
    assert list(loss.parameters()) == ["log_variance"]
    assert (loss.log_variance.numpy() == 0).all()


def test_a_part_without_targets_of_one_task():
    """A micro-batch in which nothing of one task counts adds nothing to it, and no constant."""
    loss = at.losses.MultiTask(TASKS, "uncertainty")
    loss.log_variance.assign(np.array([1.0, 0.0], np.float32))
    labels = LABELS.copy()
    labels[:2] = 0
    check_parts(loss, [LOGITS, X], (labels, Y))


def test_repr():
    loss = at.losses.MultiTask({"size": at.losses.Huber()}, [0.5])
    assert repr(loss) == "MultiTask({'size': Huber(delta=1)}, weights=[0.5])"
    assert repr(at.losses.MultiTask([at.losses.Huber()])) == "MultiTask([Huber(delta=1)], weights=[1])"
    assert repr(at.losses.MultiTask([at.losses.Huber()], "uncertainty")).endswith("weights='uncertainty')")


@pytest.mark.parametrize("weights", [None, [0.25, 3.0], "uncertainty"])
@pytest.mark.parametrize("tasks", [TASKS, list(TASKS.values())], ids=["dict", "list"])
def test_config(tasks, weights):
    check_config(at.losses.MultiTask(tasks, weights))


def test_losses_written_in_python():
    class Squared(at.losses.Loss):
        def forward(self, prediction, target):
            return ((prediction - target) ** 2).mean()

    mine = at.losses.MultiTask([Squared(), at.losses.MeanSquaredError()])
    assert_close(mine((X, X), (Y, Y)), 2 * reference.mean_squared_error(X, Y))
    with pytest.raises(TypeError, match="Squared is written in Python and has no config"):
        _ = mine.config


class Two(at.nn.Module):
    """One narrow hidden layer, a head for each of two tasks."""

    def __init__(self, seed):
        super().__init__()
        self.trunk = at.nn.Linear(8, 2, bias=False, seed=seed)
        self.first, self.second = (at.nn.Linear(2, 1, seed=seed + i) for i in (1, 2))

    def forward(self, x):
        h = self.trunk(x)
        return self.first(h), self.second(h)


def error_of_the_quiet_task(weights, seed):
    """How much of the variance of the second task's truth is missed; the first one is 30 times as loud."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((700, 8)).astype(np.float32)
    quiet = x @ draw.standard_normal((8, 1))
    loud = 30 * (x @ draw.standard_normal((8, 1)) + 2 * draw.standard_normal((700, 1)))
    targets = tuple(y.astype(np.float32) for y in (loud, quiet + 0.1 * draw.standard_normal((700, 1))))
    model = Two(seed)
    loss = at.losses.MultiTask([at.losses.MeanSquaredError(), at.losses.MeanSquaredError()], weights)
    optimizer = at.optim.Adam(0.02)
    optimizer.attach([*model.parameters(), *loss.parameters().values()])
    for _ in range(300):
        rows = draw.integers(0, 200, 50)
        optimizer.zero_grad()
        loss(model(x[rows]), tuple(y[rows] for y in targets)).backward()
        optimizer.step(clip_norm=1.0)
    guess = model(x[200:])[1].numpy()
    return np.mean((guess - quiet[200:]) ** 2) / np.var(quiet[200:])


def test_uncertainty_rescues_the_quiet_task():
    """Added up as they are, the loud task drowns the quiet one, which misses five times as much."""
    for seed in range(3):
        equal, learned = (error_of_the_quiet_task(w, seed) for w in (None, "uncertainty"))
        assert learned < equal / 5, (seed, equal, learned)


def test_log_variance_settles_at_the_logarithm_of_the_loss():
    loss = at.losses.MultiTask([at.losses.MeanSquaredError()] * 2, "uncertainty")
    optimizer = at.optim.Adam(at.schedules.cosine(0.3, 600))
    optimizer.attach(list(loss.parameters().values()))
    targets = (np.full((4, 1), 0.1, np.float32), np.full((4, 1), 3, np.float32))
    for _ in range(600):
        optimizer.zero_grad()
        loss((np.zeros((4, 1), np.float32),) * 2, targets).backward()
        optimizer.step()
    np.testing.assert_allclose(loss.log_variance.numpy(), np.log([0.01, 9]), atol=0.02)


@pytest.mark.parametrize("weights", [None, [0.5, 3.0], "uncertainty"], ids=str)
def test_the_trainer_accumulates_to_the_big_batch(weights):
    """Parameters of model and loss, whatever counts how much in which batch."""
    x = rng.standard_normal((24, 8))
    classes, sizes = rng.integers(0, 4, 24), rng.standard_normal((24, 1))

    class Heads(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = (at.nn.Linear(8, n, seed=n, dtype="float64") for n in (4, 1))

        def forward(self, x):
            return self.first(x), self.second(x)

    ends = []
    for batch, accumulate in [(12, 1), (4, 3)]:
        loss = at.losses.MultiTask(
            {"kind": at.losses.CrossEntropy(ignore_index=0), "size": at.losses.Huber()}, weights
        )
        trainer = at.train.Trainer(Heads(), loss, at.optim.SGD(0.5), accumulate=accumulate)
        trainer.fit(x, (classes, sizes), epochs=3, batch_size=batch, shuffle=False, progress=False)
        ends.append({**trainer.model.state_dict(), **{k: v.numpy() for k, v in loss.parameters().items()}})
        expected = loss(trainer.model(x), (classes, sizes)).item()
        measured = trainer.evaluate(x, (classes, sizes), batch_size=5)["loss"]
        assert abs(measured - expected) < 1e-6 * max(1, abs(expected))
    if weights == "uncertainty":
        assert (np.abs(ends[0]["log_variance"]) > 0.05).all()
    exact = np.float32 if weights == "uncertainty" else np.float64  # that of log_variance
    for name, value in ends[0].items():
        assert_close(ends[1][name].astype(exact), value)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: at.losses.MultiTask([]), ValueError, "MultiTask: losses is empty"),
        (
            lambda: at.losses.MultiTask(at.losses.Huber()),
            TypeError,
            "losses is a Huber but must be a dict or a",
        ),
        (lambda: at.losses.MultiTask([len]), TypeError, "losses holds a builtin_function_or_method"),
        (lambda: at.losses.MultiTask(TASKS, [1.0]), ValueError, "there are 1 weights for 2 losses"),
        (lambda: at.losses.MultiTask(TASKS, []), ValueError, "there are 0 weights for 2 losses"),
        (lambda: at.losses.MultiTask(TASKS, [1.0, -1.0]), ValueError, "weights holds -1"),
        (lambda: at.losses.MultiTask(TASKS, "learned"), ValueError, "weights is 'learned'"),
        (lambda: at.losses.MultiTask(TASKS, 3), TypeError, "weights is a int"),
        (
            lambda: at.losses.MultiTask([at.losses.InfoNCE()]),
            ValueError,
            "InfoNCE.* compares outputs with one",
        ),
        (lambda: at.losses.MultiTask(TASKS)(LOGITS, LABELS), ValueError, "there are 1 targets for 2 losses"),
        (
            lambda: at.losses.MultiTask(TASKS)(LOGITS, (LABELS, Y)),
            ValueError,
            "there are 1 predictions for 2 losses",
        ),
        (
            lambda: at.losses.MultiTask(TASKS)((LOGITS, X.astype("f4")), (LABELS, Y.astype("f4"))),
            TypeError,
            "float32",
        ),
    ],
)
def test_errors(call, error, says):
    with pytest.raises(error, match=says):
        call()

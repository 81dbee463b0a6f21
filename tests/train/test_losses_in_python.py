"""Losses written in Python: what C++ asks of them, and what it refuses."""

import gc

import numpy as np
import pytest

import attendo as at
from tolerance import assert_close, assert_same_bits

rng = np.random.default_rng(0)
A, B = rng.standard_normal((2, 6, 3)).astype(np.float32)


class Squared(at.losses.Loss):
    def forward(self, prediction, target):
        return ((prediction - target) ** 2).mean()


def test_a_loss_of_ones_own_is_the_built_in():
    x, y = (at.tensor(A, requires_grad=True) for _ in range(2))
    mine, theirs = Squared()(x, B), at.losses.MeanSquaredError()(y, B)
    assert_close(mine, theirs.numpy(), np.float32)
    mine.backward()
    theirs.backward()
    assert_close(x.grad, y.grad.numpy(), np.float32)
    assert repr(Squared()) == "Squared()"


@pytest.mark.parametrize(
    "make", [Squared, lambda: at.losses.from_function(lambda p, t: ((p - t) ** 2).mean())]
)
def test_the_trainer_keeps_it_alive_and_trains_the_same(make):
    histories = []
    for loss in (make, at.losses.MeanSquaredError):
        model = at.nn.Linear(3, 3, seed=0)
        trainer = at.train.Trainer(model, loss(), at.optim.SGD(0.1))
        gc.collect()
        histories.append(trainer.fit(A, B, epochs=3, batch_size=4, progress=False)["loss"])
        assert trainer.evaluate(A, B)["loss"] < histories[-1][0]
    assert_close(np.float32(histories[0]), histories[1])


def test_parts_add_up_by_the_count():
    class OfWords(at.losses.Loss):
        """Mean over what is not negative."""

        def forward(self, prediction, target):
            kept = np.asarray(target.numpy() >= 0, np.float32)
            return (prediction * kept).sum() / kept.sum()

        def count(self, target):
            return (target.numpy() >= 0).sum()

    loss, x = OfWords(), np.arange(6, dtype=np.float32).reshape(3, 2)
    target = np.array([[0, -1], [0, 0], [-1, -1]])
    assert loss.counts(target) == [3]
    whole = loss(x, target).item()
    parts = [loss.part(x[i : i + 1], target[i : i + 1], loss.counts(target)).item() for i in range(3)]
    assert_close(np.float32(sum(parts)), whole)
    assert_close(np.float32(whole), 5 / 3)
    assert parts[2] == 0  # and not the mean of nothing


def test_weights_reach_a_third_argument():
    class Weighted(at.losses.Loss):
        def forward(self, prediction, target, weight):
            return (((prediction - target) ** 2).mean(axis=1) * weight).sum() / weight.sum()

    weight = rng.uniform(0, 2, 6).astype(np.float32)
    expected = at.losses.MeanSquaredError()(A, B, weight).numpy()
    assert_close(expected, np.average(((A - B) ** 2).mean(axis=1), weights=weight), np.float32)
    assert_close(Weighted()(A, B, weight), expected, np.float32)
    function = at.losses.from_function(lambda p, t, w: Weighted().forward(p, t, w))
    assert_close(function(A, B, weight), expected, np.float32)
    parts = [Weighted().part(A[i], B[i], [float(weight.sum())], weight[i]) for i in (slice(2), slice(2, 6))]
    assert_close(np.float32(sum(p.item() for p in parts)), expected)


def test_several_targets_come_as_tuples():
    class Two(at.losses.Loss):
        def forward(self, prediction, target):
            assert isinstance(prediction, tuple) and isinstance(target, tuple)
            return ((prediction[0] - target[0]) ** 2).mean() + ((prediction[1] - target[1]) ** 2).mean()

    assert_close(Two()((A, B), (B, B)), Squared()(A, B).numpy(), np.float32)
    assert_same_bits(Squared()((A, B), B), Squared()(A, B))


def test_accuracy_and_parameters():
    class Scaled(at.losses.Loss):
        def __init__(self):
            super().__init__()
            self.scale = at.nn.Parameter(np.ones((), np.float32))

        def forward(self, prediction, target):
            return (prediction - target).sum() * self.scale

        def correct(self, prediction, target):
            return np.sum(prediction.numpy() > 0), target.shape[0]

    trainer = at.train.Trainer(at.nn.Linear(3, 1, seed=0), Scaled(), at.optim.SGD(0.1))
    expected = np.mean(trainer.predict(A) > 0)
    assert trainer.evaluate(A, B[:, :1])["accuracy"] == expected


def test_errors_of_python_come_through():
    class Breaks(at.losses.Loss):
        def forward(self, prediction, target):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Breaks()(A, B)
    trainer = at.train.Trainer(at.nn.Linear(3, 3, seed=0), Breaks(), at.optim.SGD(0.1))
    with pytest.raises(KeyError, match="mine"):
        trainer.fit(A, B, progress=False)


def returning(value):
    class Returns(at.losses.Loss):
        def forward(self, prediction, target):
            return value(prediction)

    return Returns()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda p: returning(lambda x: 1.0)(p, B), TypeError, "Returns.forward returned a float but must"),
        (lambda p: returning(lambda x: None)(p, B), TypeError, "Returns.forward returned a NoneType"),
        (lambda p: returning(lambda x: x)(p, B), ValueError, r"returned a Tensor of shape \(6, 3\)"),
        (
            lambda p: returning(lambda x: at.tensor(np.float32(1)))(p, B),
            ValueError,
            "does not depend on the prediction",
        ),
        (lambda p: Squared()(p, B, np.ones(6, np.float32)), TypeError, "Squared.forward takes 2 arguments"),
        (lambda p: Squared()(p, B, np.ones(5)), ValueError, r"Squared: sample_weight has shape \(5,\)"),
        (
            lambda p: at.losses.from_function(lambda a, b: a)(p, B, np.ones(6)),
            TypeError,
            "takes 2 arguments, but there is a sample_weight",
        ),
        (
            lambda p: at.losses.from_function(at.losses.CrossEntropy),
            TypeError,
            r"function is the class CrossEntropy: call it: CrossEntropy\(\)",
        ),
        (lambda p: at.losses.from_function(3), TypeError, "function is a int but must be callable"),
    ],
)
def test_wrong_results(call, error, says):
    with pytest.raises(error, match=says):
        call(at.tensor(A, requires_grad=True))


@pytest.mark.parametrize("count", [-1, np.nan, np.inf, "many", None])
def test_wrong_counts(count):
    class Counts(Squared):
        def count(self, target):
            return count

    with pytest.raises((ValueError, TypeError), match=r"what count returned|Counts\.count returned"):
        Counts()(A, B)


def test_without_super_init():
    class Forgets(at.losses.Loss):
        def __init__(self):
            pass

    with pytest.raises(TypeError, match="__init__"):
        Forgets()

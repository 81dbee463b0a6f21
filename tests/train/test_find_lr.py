"""The learning-rate finder: what it finds, and that nothing is left of it."""

import numpy as np
import pytest

import attendo as at
from tolerance import assert_same_bits

rng = np.random.default_rng(0)
X = rng.standard_normal((256, 8)).astype(np.float32)
Y = X @ rng.standard_normal((8, 1)).astype(np.float32)


def trainer(lr=0.5, seed=0):
    model = at.nn.Sequential(at.nn.Linear(8, 1), at.nn.BatchNorm1d(1))
    model.reset_parameters(seed)
    return at.train.Trainer(model, at.losses.MeanSquaredError(), at.optim.Adam(lr), average=0.9)


def test_least_squares_has_a_known_bound():
    """Gradient descent on a parabola diverges above 2 / (largest curvature): what is suggested is below."""
    model = at.nn.Linear(8, 1, bias=False, seed=0)
    t = at.train.Trainer(model, at.losses.MeanSquaredError(), at.optim.SGD(1.0))
    found = t.find_lr(X, Y, batch_size=256, steps=120)
    bound = 2 / np.linalg.eigvalsh(2 * X.T @ X / 256)[-1]
    assert bound / 100 < found.suggestion < bound
    assert len(found.lrs) == len(found.losses) < 120  # it ended where the loss rose
    assert found.losses[-1] > found.losses.min()
    assert "suggestion" in repr(found)


def test_everything_is_as_it_was():
    t, untouched = trainer(), trainer()
    for one in (t, untouched):
        one.fit(X, Y, epochs=1, progress=False)
    t.find_lr(X, Y, steps=20)
    for one in (t, untouched):
        one.fit(X, Y, epochs=2, progress=False)
    np.testing.assert_array_equal(t.history["step_loss"], untouched.history["step_loss"])
    for name, value in untouched.model.state_dict().items():
        assert_same_bits(t.model.state_dict()[name], value, name)


@pytest.mark.parametrize(
    "options, error",
    [
        ({"lowest": 0}, ValueError),
        ({"highest": float("inf")}, ValueError),
        ({"lowest": 1.0, "highest": 0.1}, ValueError),
        ({"steps": 4}, ValueError),
        ({"steps": 10.0}, TypeError),
    ],
)
def test_errors(options, error):
    with pytest.raises(error, match="find_lr: " + next(iter(options))):
        trainer().find_lr(X, Y, **options)


def test_a_schedule_with_a_state_comes_back():
    t = at.train.Trainer(
        at.nn.Linear(8, 1, seed=0), at.losses.MeanSquaredError(), at.optim.Adam(at.schedules.plateau(0.01))
    )
    t.find_lr(X, Y, steps=10)
    assert t.optimizer.lr == 0.01 and t.optimizer.steps == 0
    assert "plateau" in repr(t.optimizer.schedule)


def test_an_objective_with_a_state_comes_back():
    def begin():
        return at.train.Trainer(
            at.nn.Linear(8, 1, seed=0),
            at.losses.MeanSquaredError(),
            at.optim.SGD(0.01),
            objective=at.robust.FreeAdversarialTraining(0.2),
        )

    t, untouched = begin(), begin()
    t.find_lr(X, Y, steps=10)
    for one in (t, untouched):
        one.fit(X, Y, epochs=1, progress=False)
    np.testing.assert_array_equal(t.history["step_loss"], untouched.history["step_loss"])


def test_a_group_with_a_rate_of_its_own_is_named():
    optimizer = at.optim.SGD(0.1, groups=[{"params": "*.bias", "lr": 0.1}])
    model = at.nn.Sequential(at.nn.Linear(8, 1, seed=0))
    t = at.train.Trainer(model, at.losses.MeanSquaredError(), optimizer)
    with pytest.raises(ValueError, match=r"find_lr: groups\[0\].*lr_scale"):
        t.find_lr(X, Y)

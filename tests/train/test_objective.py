"""An objective of one's own: what it is called with, repeats, gradients it adds, determinism, errors."""

import numpy as np
import pytest

import attendo as at
from tolerance import assert_close, assert_same_bits

rng = np.random.default_rng(0)
X = rng.standard_normal((50, 6)).astype(np.float32)
Y = rng.integers(0, 3, 50)


def fit(objective=None, model=None, optimizer=None, **options):
    model = model or at.nn.Linear(6, 3, seed=0)
    settings = {name: options.pop(name) for name in ("accumulate", "seed") if name in options}
    t = at.train.Trainer(
        model, at.losses.CrossEntropy(), optimizer or at.optim.SGD(0.5), objective=objective, **settings
    )
    history = t.fit(X, Y, **{"epochs": 2, "batch_size": 8, "progress": False, **options})
    return t, history


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_plain_objective_is_the_plain_loss(accumulate):
    a, first = fit(at.train.Objective(), accumulate=accumulate)
    b, second = fit(accumulate=accumulate)
    np.testing.assert_array_equal(first["step_loss"], second["step_loss"])
    assert_same_bits(a.model.weight.numpy(), b.model.weight.numpy())


def test_what_a_batch_holds():
    seen = []

    class Look(at.train.Objective):
        repeats = 2

        def loss(self, trainer, batch):
            (x,), (y,) = batch.inputs, batch.targets
            seen.append(
                (batch.epoch, batch.step, batch.repeat, x.shape, y.shape, batch.totals[0], batch.rng.random())
            )
            assert batch.sample_weight.shape == (x.shape[0],)
            return super().loss(trainer, batch)

    fit(Look(), sample_weight=np.ones(50, "f4"), shuffle=False)
    assert [row[:3] for row in seen] == [(i // 14, i, i % 2) for i in range(28)]
    assert seen[0][3:6] == ((8, 6), (8,), 8.0) and seen[12][3:6] == ((2, 6), (2,), 2.0)
    assert len({row[6] for row in seen}) == 28
    first = list(seen)
    seen.clear()
    fit(Look(), sample_weight=np.ones(50, "f4"), shuffle=False)
    assert seen == first


def test_gradients_added_after_backward():
    class Twice(at.train.Objective):
        def after_backward(self, trainer, batch):
            trainer.batch_loss(batch).backward()

    a, _ = fit(Twice())
    b, _ = fit(optimizer=at.optim.SGD(1.0))
    assert_close(a.model.weight.numpy(), b.model.weight.numpy())


def test_other_inputs_and_outputs():
    class Other(at.train.Objective):
        def loss(self, trainer, batch):
            (x,) = batch.inputs
            one = trainer.batch_loss(batch, inputs=x * 2)
            two = trainer.batch_loss(batch, outputs=trainer.model(x * 2))
            assert one.item() == two.item()
            return (one + two) * 0.5

    _, first = fit(Other())
    model = at.nn.Linear(6, 3, seed=0)
    t = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.SGD(0.5))
    second = t.fit(X * 2, Y, epochs=2, batch_size=8, progress=False)
    assert_close(first["step_loss"].astype("f4"), second["step_loss"].astype("f4"))


@pytest.mark.parametrize(
    "body, error, says",
    [
        (lambda t, b: 1.0, TypeError, "the objective's loss gave a float but must give a Tensor"),
        (lambda t, b: t.model(*b.inputs), ValueError, "the objective's loss has shape"),
        (lambda t, b: at.tensor(np.float32(1)), ValueError, "does not depend on anything that requires"),
        (lambda t, b: t.batch_loss(b) / 0, (ValueError, ZeroDivisionError), "loss is inf|division"),
        (lambda t, b: 1 / 0, ZeroDivisionError, "division"),
        (lambda t, b: t.batch_loss(b, inputs=X, outputs=X), ValueError, "inputs or outputs, not both"),
    ],
)
def test_errors(body, error, says):
    class Wrong(at.train.Objective):
        def loss(self, trainer, batch):
            return body(trainer, batch)

    with pytest.raises(error, match=says):
        fit(Wrong())


def test_other_errors():
    with pytest.raises(TypeError, match="objective is a int"):
        fit(3)

    class Never(at.train.Objective):
        repeats = 0

    with pytest.raises(ValueError, match="repeats is 0"):
        fit(Never())


def test_a_loss_that_is_not_finite_ends_training_before_the_step():
    model = at.nn.Linear(6, 3, seed=0)
    x = X.copy()
    x[20] = np.nan
    before = model.state_dict()
    t = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.SGD(0.5))
    with pytest.raises(ValueError, match="fit: the loss is nan at step 3"):
        t.fit(x, Y, batch_size=8, shuffle=False, progress=False)
    assert t.optimizer.steps == 2 and len(t.history["step_loss"]) == 2
    assert np.isfinite(model.weight.numpy()).all()
    assert not np.array_equal(before["weight"], model.weight.numpy())

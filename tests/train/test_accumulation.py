"""Several batches a step: the step of one batch that holds them all."""

import numpy as np
import pytest

import attendo as at
from tolerance import assert_close

rng = np.random.default_rng(0)
X = rng.standard_normal((52, 6))
Y = rng.integers(0, 3, 52)


def network(seed=0):
    model = at.nn.Sequential(
        at.nn.Linear(6, 20, dtype="float64"), at.nn.Tanh(), at.nn.Linear(20, 3, dtype="float64")
    )
    model.reset_parameters(seed)
    return model


def run(batch_size, accumulate, target=Y, loss=None, **options):
    model = network()
    loss = loss or at.losses.CrossEntropy(ignore_index=0)
    settings = {name: options.pop(name) for name in ("clip_norm", "clip_value") if name in options}
    t = at.train.Trainer(model, loss, at.optim.SGD(0.5), accumulate=accumulate, seed=3, **settings)
    history = t.fit(X, target, epochs=3, batch_size=batch_size, progress=False, **options)
    return model, history


def assert_same_run(one, other):
    (a, first), (b, second) = one, other
    assert len(first["step_loss"]) == len(second["step_loss"])
    assert_close(first["step_loss"], second["step_loss"])
    assert_close(first["loss"], second["loss"])
    for name, value in a.state_dict().items():
        assert_close(b.state_dict()[name], value)


@pytest.mark.parametrize("accumulate", [2, 3, 5])
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.05}, {"sample_weight": rng.random(52)}])
def test_accumulated_batches_equal_the_large_one(accumulate, options):
    """Targets that do not count are spread unevenly, the last batch is short: still the same mean."""
    assert_same_run(run(4, accumulate, **options), run(4 * accumulate, 1, **options))


def test_they_equal_it_with_targets_that_count_in_one_batch_only():
    target = np.where(np.arange(52) % 13 == 0, Y, 0)
    assert_same_run(run(4, 13, target=target, shuffle=False), run(52, 1, target=target, shuffle=False))


def test_with_a_loss_in_python():
    def loss(prediction, target):
        return at.functional.cross_entropy(prediction, target)

    assert_same_run(run(4, 3, loss=loss), run(12, 1, loss=at.losses.CrossEntropy()))


def test_steps_are_counted_not_batches():
    _, history = run(4, 5)
    assert len(history["step_loss"]) == 3 * 3  # 13 batches of an epoch: 5, 5 and 3


def test_dropout_differs_between_the_batches_of_a_step():
    class Noise(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout = at.nn.Dropout(0.5)
            self.scale = at.nn.Linear(8, 1, seed=0)
            self.seen = []

        def forward(self, x):
            y = self.dropout(x)
            self.seen.append(y.numpy().copy())
            return self.scale(y)

    model = Noise()
    t = at.train.Trainer(model, at.losses.MeanSquaredError(), at.optim.SGD(0.0), accumulate=2)
    ones = np.ones((4, 8), dtype="float32")
    t.fit(ones, np.ones((4, 1), dtype="float32"), batch_size=2, epochs=2, progress=False)
    masks = [seen.tobytes() for seen in model.seen]
    assert len(masks) == 4 and len(set(masks)) == 4


@pytest.mark.parametrize(
    "accumulate, error", [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError)]
)
def test_errors(accumulate, error):
    with pytest.raises(error, match="accumulate"):
        run(4, accumulate)

"""Clipping by value and by norm, and gradients that are not finite."""

import numpy as np
import pytest

import attendo as at
from inputs import DTYPES
from tolerance import assert_close, assert_same_bits

NAMES = ["AdamW", "Adam", "SGD", "Adagrad", "RMSprop", "Lion", "LAMB"]


def stepped(gradient, dtype=np.float64, **clip):
    """What a step of rate 1 takes off."""
    parameter = at.nn.Parameter(np.zeros(np.shape(gradient), dtype))
    optimizer = at.optim.SGD(1.0)
    optimizer.attach([parameter])
    parameter.grad = np.asarray(gradient, dtype)
    optimizer.step(**clip)
    return -parameter.numpy()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_by_value_then_by_norm(dtype):
    g = [3.0, -4.0, 0.5]
    assert_close(stepped(g, dtype, clip_value=2.0), [2, -2, 0.5])
    assert_close(stepped(g, dtype, clip_value=10.0), g)
    assert_close(stepped([3.0, -4.0], dtype, clip_norm=1.0), np.array([3, -4]) / (5 + 1e-6))
    both = np.array([3, -3]) * 3 / (np.sqrt(18) + 1e-6)
    assert_close(stepped([3.0, -4.0], dtype, clip_value=3.0, clip_norm=3.0), both)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_gradient_that_is_not_finite(bad, name, dtype):
    """Refused, with nothing changed, where clipping was asked for."""
    parameters = [at.nn.Parameter(np.ones(n, dtype)) for n in (3, 40_000)]
    optimizer = getattr(at.optim, name)(0.1)
    optimizer.attach(parameters)
    for p in parameters:
        p.grad = np.ones(p.shape, dtype)
    optimizer.step(clip_norm=1.0)
    values, state = [p.numpy().copy() for p in parameters], optimizer.state
    gradient = np.ones(40_000, dtype)
    gradient[39_999] = bad
    parameters[1].grad = gradient
    clips = [{"clip_norm": 1.0}]
    if np.isnan(bad):
        clips += [{"clip_value": 1.0}, {"clip_value": 1.0, "clip_norm": 1.0}]
    for clip in clips:
        with pytest.raises(ValueError, match="gradients are not finite at step 2: their norm is"):
            optimizer.step(**clip)
    for p, value in zip(parameters, values, strict=True):
        assert_same_bits(p, value)
    for key, value in optimizer.state.items():
        assert_same_bits(value, state[key])
    if np.isinf(bad):  # clamped, it is finite
        optimizer.step(clip_value=1.0)
        assert np.isfinite(parameters[1].numpy()).all() and optimizer.steps == 2
    else:
        optimizer.step()  # nothing was asked for: it goes in
        assert np.isnan(parameters[1].numpy()[39_999])


def test_the_square_of_a_gradient_may_be_out_of_range():
    np.testing.assert_allclose(
        stepped(np.full(4, 1e30), np.float32, clip_norm=1.0), np.full(4, 0.5), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("clip", "error", "says"),
    [
        ({"clip_value": 0.0}, ValueError, "step: clip_value is 0 but must be above 0"),
        ({"clip_value": np.nan}, ValueError, "step: clip_value is nan"),
        ({"clip_value": -1, "clip_norm": 1.0}, ValueError, "step: clip_value is -1"),
        ({"clip_value": "1"}, TypeError, "step: clip_value is a str"),
    ],
)
def test_errors(clip, error, says):
    with pytest.raises(error, match=says):
        stepped([1.0], **clip)


def test_a_spike_does_little_harm_where_gradients_are_clipped():
    """One batch with targets a thousand times too large: the loss after is a thousandth of that without."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 8))
    y = x @ rng.standard_normal((8, 1))

    def loss_after(**clip):
        model, loss = at.nn.Linear(8, 1, dtype="float64", seed=0), at.losses.MeanSquaredError()
        optimizer = at.optim.SGD(0.1)
        optimizer.attach(model)
        for t in range(60):
            optimizer.zero_grad()
            loss(model(x), 1000 * y if t == 55 else y).backward()
            optimizer.step(**clip)
        return float(loss(model(x), y).item())

    plain = loss_after()
    assert plain > 100
    assert loss_after(clip_norm=1.0) < 1e-3 * plain
    assert loss_after(clip_value=0.5) < 1e-3 * plain

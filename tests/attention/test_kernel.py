"""score="kernel": Nadaraya and Watson's weights."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, case, positive, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def attention(q, k, v, bandwidth, **options):
    return at.attention(q, k, v, score="kernel", score_params=(bandwidth,), **options)


def by_reference(q, k, v, bandwidth, mask=None, scale=None):
    return reference.scored(q, k, v, "kernel", (bandwidth,), mask, None, scale)[0]


def backward(d_out, q, k, v, bandwidth, mask=None, scale=None):
    d_q, d_k, d_v, d_params, _, _ = reference.scored_backward(
        d_out, q, k, v, "kernel", (bandwidth,), mask, None, scale
    )
    return d_q, d_k, d_v, *d_params


TestKernel = op_tests(
    "attention",
    "q k v bandwidth",
    [
        case((2, 4, 5, 3), (2, 2, 7, 3), (2, 2, 7, 6), positive(4, 3)),
        case((5, 3), (7, 3), (7, 2), positive()),
        case((5, 3), (7, 3), (7, 2), positive(1)),
        case((5, 3), (7, 3), (7, 2), positive(3), scale=0.5),
        case((2, 5, 3), (2, 65, 3), (2, 65, 2), positive(2, 1), mask=np.arange(65) % 3 > 0),
        case((0, 3), (7, 3), (7, 2), positive()),
        case((5, 3), (0, 3), (0, 2), positive()),
        case((5, 0), (7, 0), (7, 2), positive()),
    ],
    large=[case((2, 4, 130, 16), (2, 2, 200, 16), (2, 2, 200, 8), positive(16))],
    function=attention,
    reference_function=by_reference,
    backward=backward,
    errors=[
        wrong((5, 3), (7, 4), (7, 2), positive(), says="key has 4 features but query has 3"),
        wrong((5, 3), (7, 3), (7, 2), positive(2), says="bandwidth has shape (2,)"),
        wrong((5, 3), (7, 3), (7, 2), np.array(0.0), says="bandwidth holds 0 but must be positive"),
        wrong((5, 3), (7, 3), (7, 2), np.array(-1.0), says="bandwidth holds -1"),
    ],
)
# A bandwidth that is not a positive number has no answer to compare with.
setattr(TestKernel, "test_nan_and_inf_go_where_they_belong", None)  # noqa: B010


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_bandwidth_must_be_positive(value):
    x = np.ones((2, 1))
    with pytest.raises(ValueError, match="bandwidth holds"):
        attention(x, x, x, value)


@pytest.mark.parametrize("shift", [0.0, 1e3, 1e4])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_data_far_from_zero(shift, dtype):
    """|q|² - 2 q·k + |k|² in float32 would be off by far more than the bandwidth's square."""
    steps = np.arange(16, dtype=dtype) / 8  # exact at every shift
    x = (steps + dtype.type(shift)).reshape(16, 1)
    y = np.sin(steps).reshape(16, 1)
    expected = attention(steps.reshape(16, 1), steps.reshape(16, 1), y, 0.1)
    assert_close(attention(x, x, y, 0.1), expected, dtype)


def test_a_number_takes_the_dtype_of_the_arrays():
    x = np.linspace(0, 1, 5, dtype=np.float32).reshape(5, 1)
    assert attention(x, x, x, 0.2).dtype == np.float32
    assert_same_bits(attention(x, x, x, 1), attention(x, x, x, np.float32(1)))


def test_narrow_and_wide():
    x = np.arange(4.0).reshape(4, 1)
    y = np.array([[1.0], [5.0], [2.0], [0.0]])
    assert_close(attention(x, x, y, 1e-3), y)  # each point itself
    assert_close(attention(x, x, y, 1e9), np.full((4, 1), 2.0), scale=10.0)  # their mean


def test_the_bandwidth_can_be_learned():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 6, 40).reshape(40, 1)
    y = np.sin(x) + 0.1 * rng.standard_normal(x.shape)
    h = at.tensor(2.0, requires_grad=True)
    losses = []
    for _ in range(60):
        # Leave one out: a point must not be its own answer.
        error = attention(x, x, y, h, mask=~np.eye(40, dtype=bool)) - y
        loss = (error * error).mean()
        h.zero_grad()
        loss.backward()
        losses.append(loss.item())
        h.assign(h.numpy() - 0.5 * h.grad.numpy())
    assert losses[-1] < 0.1 * losses[0]
    assert 0.05 < h.item() < 0.6


def test_nan_behind_a_mask_does_not_leak():
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((6, 5)) for _ in range(3))
    k[4:] = np.nan
    tensors = [at.tensor(x, requires_grad=True) for x in (q, k, v, np.array(0.5))]
    out = attention(*tensors, mask=np.arange(6) < 4)
    out.sum().backward()
    assert_close(out, attention(q, k[:4], v[:4], 0.5))
    assert all(np.isfinite(t.grad.numpy()).all() for t in tensors)

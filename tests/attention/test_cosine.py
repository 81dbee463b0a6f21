"""score="cosine"."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def attention(q, k, v, **options):
    return at.attention(q, k, v, score="cosine", **options)


def by_reference(q, k, v, mask=None, scale=None):
    return reference.scored(q, k, v, "cosine", (), mask, None, scale)[0]


def backward(d_out, q, k, v, mask=None, scale=None):
    return reference.scored_backward(d_out, q, k, v, "cosine", (), mask, None, scale)[:3]


TestCosine = op_tests(
    "attention",
    "q k v",
    [
        case((2, 4, 5, 3), (2, 2, 7, 3), (2, 2, 7, 6)),
        case((5, 3), (7, 3), (7, 2), scale=10.0),
        case((2, 5, 9), (2, 65, 9), (2, 65, 2), mask=np.arange(65) % 3 > 0),
        case((0, 3), (7, 3), (7, 2)),
        case((5, 3), (0, 3), (0, 2)),
        case((5, 0), (7, 0), (7, 2)),
        case((5, 1), (7, 1), (7, 2)),
    ],
    large=[case((2, 4, 130, 16), (2, 2, 200, 16), (2, 2, 200, 8))],
    function=attention,
    reference_function=by_reference,
    backward=backward,
    errors=[
        wrong((5, 3), (7, 4), (7, 2), says="key has 4 features but query has 3"),
        wrong((5, 3), (7, 3), (7, 2), qk_norm="rms", says="leave one of them out"),
        wrong((5, 3), (7, 3), (7, 2), score_params=(np.ones(3),), says="score_params has 1 entries"),
    ],
)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_lengths_do_not_matter(size, dtype):
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((6, 5)).astype(dtype) for _ in range(3))
    out = attention((q * dtype.type(size)), k * dtype.type(1 / size), v, scale=5.0)
    assert_close(out, attention(q, k, v, scale=5.0), dtype)


def test_a_row_of_zeros_scores_zero_and_has_no_gradient():
    k = np.random.default_rng(0).standard_normal((4, 3))
    q = at.tensor(np.zeros((1, 3)), requires_grad=True)
    out, weights = attention(q, k, k, return_weights=True)
    out.sum().backward()
    assert_same_bits(weights, np.full((1, 4), 0.25))
    assert_same_bits(q.grad, np.zeros((1, 3)))


def test_nan_behind_a_mask_does_not_leak():
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((6, 5)) for _ in range(3))
    k[4:] = np.nan
    tensors = [at.tensor(x, requires_grad=True) for x in (q, k, v)]
    out = attention(*tensors, mask=np.arange(6) < 4)
    out.sum().backward()
    assert_close(out, attention(q, k[:4], v[:4]))
    assert all(np.isfinite(t.grad.numpy()).all() for t in tensors)
    assert (tensors[1].grad.numpy()[4:] == 0).all()


def test_scale_is_one_over_the_temperature():
    q = k = np.eye(2)
    _, weights = attention(q, 3 * k, k, scale=2.0, return_weights=True)
    assert_close(weights[0], np.array([np.exp(2), 1]) / (np.exp(2) + 1))

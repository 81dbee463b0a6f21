"""pooled attention: one vector a sequence."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def dense(mask, q):
    if not isinstance(mask, at.masks.Mask):
        return mask
    return mask.dense(int(np.prod(q.shape[:-2])), 1, 1, q.shape[-2]).reshape(q.shape[:-1])


def by_reference(q, k, v, mask=None, scale=1.0):
    return reference.pooled(q, k, v, dense(mask, q), scale)[0]


def backward(d_out, q, k, v, mask=None, scale=1.0):
    return reference.pooled_backward(d_out, q, k, v, dense(mask, q), scale)


TestPooled = op_tests(
    "pooled",
    "q k v",
    [
        case((3, 5, 4), (3, 5, 4), (3, 5, 6)),
        case((5, 4), (5, 4), (5, 6), scale=0.5),
        case((2, 3, 5, 4), (2, 3, 5, 4), (2, 3, 5, 6), scale=-1.0),
        *(case((2, n, 3), (2, n, 3), (2, n, 2)) for n in (0, 1, 16, 65)),
        case((2, 5, 0), (2, 5, 0), (2, 5, 2)),
        case((0, 5, 3), (0, 5, 3), (0, 5, 2)),
        case((3, 5, 4), (3, 5, 4), (3, 5, 6), mask=at.masks.lengths([5, 0, 2])),
        case((2, 2, 5, 4), (2, 2, 5, 4), (2, 2, 5, 6), mask=at.masks.lengths([5, 0, 2, 1])),
        case((3, 5, 4), (3, 5, 4), (3, 5, 6), mask=~at.masks.lengths([5, 0, 2])),
        case((3, 5, 4), (3, 5, 4), (3, 5, 6), mask=np.array([True, True, False, True, False])),
        case((3, 5, 4), (3, 5, 4), (3, 5, 6), mask=np.arange(5) < np.array([[1], [2], [3]])),
        case((2, 3, 5, 4), (2, 3, 5, 4), (2, 3, 5, 6), mask=np.arange(5) < np.array([[1], [2], [3]])),
        case((5, 4), (5, 4), (5, 6), mask=np.zeros(5, bool)),
    ],
    large=[case((16, 900, 8), (16, 900, 8), (16, 900, 8)), case((20000, 4), (20000, 4), (20000, 3))],
    reference_function=by_reference,
    backward=backward,
    errors=[
        wrong((5, 4), (5, 3), (5, 2), says="k"),
        wrong((5, 4), (6, 4), (5, 2), says="k"),
        wrong((5, 4), (5, 4), (6, 2), says="v has shape (6, 2) but q has shape (5, 4)"),
        wrong((4,), (4,), (4,), says="q has shape (4,)"),
        wrong((5, 4), (5, 4), (5, 2), mask=np.ones(4, bool), says="mask has shape (4,)"),
        wrong((5, 4), (5, 4), (5, 2), mask=at.masks.causal(), says="mask counts positions of queries"),
        wrong((5, 4), (5, 4), (5, 2), mask=np.ones(5), raises=TypeError, says="mask has dtype float64"),
        wrong((5, 4), (5, 4), (5, 2), scale=np.inf, says="scale is inf"),
    ],
)


def arrays(dtype=np.float64):
    rng = np.random.default_rng(0)
    return [rng.standard_normal((3, 5, n)).astype(dtype) for n in (4, 4, 6)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_weights(dtype):
    q, k, v = arrays(dtype)
    out, weights = at.functional.pooled(q, k, v, return_weights=True)
    assert_same_bits(at.functional.pooled(q, k, v), out)
    s = np.sum(q * k, axis=-1, dtype=np.float64)
    assert_close(weights, np.exp(s) / np.exp(s).sum(-1, keepdims=True), dtype)
    assert_close(out, np.einsum("bl,blv->bv", weights, v), dtype)


def test_large_scores_do_not_overflow():
    q = np.full((2, 1), 1e3)
    out, weights = at.functional.pooled(q, q, np.eye(2), return_weights=True)
    assert_same_bits(weights, np.array([0.5, 0.5]))
    assert_same_bits(out, np.array([0.5, 0.5]))


def test_nan_behind_a_mask_does_not_leak():
    q, k, v = arrays()
    expected = at.functional.pooled(q[:, :3], k[:, :3], v[:, :3])
    for x in (q, k, v):
        x[:, 3:] = np.nan
    tensors = [at.tensor(x, requires_grad=True) for x in (q, k, v)]
    out = at.functional.pooled(*tensors, mask=np.arange(5) < 3)
    assert_close(out, expected)
    out.sum().backward()
    for t in tensors:
        assert np.isfinite(t.grad.numpy()[:, :3]).all() and (t.grad.numpy()[:, 3:] == 0).all()


def test_it_is_not_self_attention():
    """The article's §3.1 and §3.2 are two mechanisms under one name."""
    q, k, v = arrays()
    assert at.functional.pooled(q, k, v).shape == (3, 6)
    assert at.attention(q, k, v).shape == (3, 5, 6)

"""Top-k attention against the reference, and what it promises."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, SIZES, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def written_out(mask, q, k, q_offset=0):
    if mask is None:
        return None
    *batch, heads, length, _ = q.shape if q.ndim > 2 else (1, *q.shape)
    dense = mask.dense(int(np.prod(batch)), heads, length, k.shape[-2], q_offset=q_offset)
    return dense.reshape(*q.shape[:-1], k.shape[-2])


def by_reference(q, k, v, keep, mask=None, scale=None, q_offset=0):
    return reference.top_k_attention(q, k, v, keep, written_out(mask, q, k, q_offset), scale)[0]


def backward(d_out, q, k, v, keep, mask=None, scale=None, q_offset=0):
    return reference.top_k_attention_backward(d_out, q, k, v, keep, written_out(mask, q, k, q_offset), scale)


def same(length, keys, keep=3, d=4, d_v=6, **options):
    return case((2, 2, length, d), (2, 2, keys, d), (2, 2, keys, d_v), keep=keep, **options)


TestTopKAttention = op_tests(
    "top_k_attention",
    "q k v",
    [
        case((2, 4, 5, 4), (2, 2, 7, 4), (2, 2, 7, 6), keep=3),
        case((5, 4), (7, 4), (7, 6), keep=2),
        case((4, 5, 4), (2, 7, 4), (2, 7, 6), scale=0.3, keep=1),
        case((2, 1, 2, 5, 4), (2, 1, 2, 7, 4), (2, 1, 2, 7, 6), keep=4, mask=at.masks.lengths([7, 2])),
        same(7, 7, mask=at.masks.causal()),
        same(70, 100, mask=at.masks.causal() & at.masks.lengths([100, 50]), q_offset=20),
        same(5, 7, mask=at.masks.causal(), q_offset=-3),
        same(5, 7, mask=at.masks.lengths([0, 7])),
        *(same(5, n) for n in SIZES),
        *(same(n, 5) for n in SIZES),
        *(same(5, 100, keep=n) for n in (1, 50, 99, 100, 10**15)),
        *(same(5, 300, keep=n) for n in (2, 33)),
        same(5, 7, d=0, scale=1.0).but_not("central_differences"),
        same(5, 7, d_v=0),
        case((0, 2, 5, 4), (0, 2, 7, 4), (0, 2, 7, 4), keep=3),
    ],
    large=[
        case((2, 4, 300, 32), (2, 2, 300, 32), (2, 2, 300, 32), keep=16, mask=at.masks.causal()),
        case((2, 200, 64), (2, 1500, 64), (2, 1500, 64), keep=30, mask=at.masks.lengths([1301])),
    ],
    reference_function=by_reference,
    backward=backward,
    errors=[
        wrong((4,), (7, 4), (7, 4), keep=1, says="q has shape (4,) but must have at least 2 axes"),
        wrong((5, 4), (7, 3), (7, 4), keep=1, says="key has 3 features but query has 4"),
        wrong((5, 4), (7, 4), (7, 4), keep=0, says="keep is 0 but must be 1 or more"),
        wrong((5, 4), (7, 4), (7, 4), keep=1, mask=np.ones((5, 7), bool), says="others are not supported"),
        wrong((5, 4), (7, 4), (7, 4), keep=1, mask=at.masks.causal(), says="needs q_offset="),
        wrong((5, 4), (7, 4), (7, 4), keep=1, scale=np.inf, says="scale is inf"),
    ],
)


def arrays(*shapes, dtype=np.float64):
    rng = np.random.default_rng(3)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_all_keys_are_full_attention(dtype):
    q, k, v = arrays((2, 4, 30, 8), (2, 2, 20, 8), (2, 2, 20, 5), dtype=dtype)
    assert_close(at.functional.top_k_attention(q, k, v, keep=20), at.attention(q, k, v), dtype)


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_of_equal_scores_the_first_are_kept(keep):
    q, k, v = np.ones((1, 1)), np.zeros((400, 1)), np.ones((400, 1))
    k[[3, 250, 251]] = 1  # the best; all others are equal
    _, weights = at.functional.top_k_attention(q, k, v, keep=keep, return_weights=True)
    best = [3, 250, 251, 0, 1][:keep]
    np.testing.assert_array_equal(np.flatnonzero(weights[0]), sorted(best))


def test_ascending_and_descending_scores_find_the_same_keys():
    q, v = np.ones((1, 1)), np.ones((1000, 1))
    k = np.linspace(0, 1, 1000)[:, None]
    _, up = at.functional.top_k_attention(q, k, v, keep=7, return_weights=True)
    _, down = at.functional.top_k_attention(q, k[::-1], v, keep=7, return_weights=True)
    np.testing.assert_array_equal(np.flatnonzero(up[0]), np.arange(993, 1000))
    assert_same_bits(np.ascontiguousarray(down[:, ::-1]) > 0, up > 0)


def test_an_infinite_score_of_a_row_is_no_error():
    q, k, v = np.array([[-1e200, 0.0]]), np.full((50, 2), 1e200), np.ones((50, 1))
    out = at.functional.top_k_attention(q, k, v, keep=3)  # all scores are -inf
    assert (out == 0).all()


def test_nothing_leaks_from_behind_a_mask():
    q, k, v = arrays((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 4))
    k[1, :, 4:], v[1, :, 4:] = np.nan, np.inf
    tensors = [at.tensor(x, requires_grad=True) for x in (q, k, v)]
    out = at.functional.top_k_attention(*tensors, keep=6, mask=at.masks.lengths([7, 4]))
    assert np.isfinite(out.numpy()).all()
    out.sum().backward()
    for x in tensors:
        assert np.isfinite(x.grad.numpy()).all()


def test_weights_change_nothing_and_carry_a_gradient():
    inputs = arrays((2, 4, 5, 4), (2, 2, 7, 4), (2, 2, 7, 6))
    out, weights = at.functional.top_k_attention(*inputs, keep=3, return_weights=True)
    assert_same_bits(out, at.functional.top_k_attention(*inputs, keep=3))
    assert_close(weights, reference.top_k_attention(*inputs, keep=3)[1])
    d_out, d_weights = arrays(out.shape, weights.shape)
    tensors = [at.tensor(x, requires_grad=True) for x in inputs]
    out, weights = at.functional.top_k_attention(*tensors, keep=3, return_weights=True)
    ((out * d_out).sum() + (weights * d_weights).sum()).backward()
    expected = reference.top_k_attention_backward(d_out, *inputs, keep=3, d_weights=d_weights)
    for tensor, gradient in zip(tensors, expected, strict=True):
        assert_close(tensor.grad, gradient)


def test_no_heads_and_no_features_are_no_error():
    for shapes in (
        ((2, 0, 5, 4), (2, 0, 7, 4), (2, 0, 7, 6)),
        ((2, 5, 0), (2, 7, 0), (2, 7, 6)),
    ):
        tensors = [at.tensor(np.zeros(shape), requires_grad=True) for shape in shapes]
        out = at.functional.top_k_attention(*tensors, keep=3)
        assert out.shape == (*shapes[0][:-1], 6) and (out.numpy() == 0).all()
        out.sum().backward()
        assert all(np.isfinite(x.grad.numpy()).all() for x in tensors)

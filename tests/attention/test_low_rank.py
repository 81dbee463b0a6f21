"""Low-rank attention against the reference, and what it promises."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, case, normal, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

rng = np.random.default_rng(3)
SOME = rng.random((2, 1, 5, 7)) < 2 / 3


def written_out(mask, q, k, q_offset=0):
    if not isinstance(mask, at.masks.Mask):
        return mask
    *batch, heads, length, _ = q.shape if q.ndim > 2 else (1, *q.shape)
    dense = mask.dense(int(np.prod(batch)), heads, length, k.shape[-2], q_offset=q_offset)
    return dense.reshape(*q.shape[:-1], k.shape[-2])


def low_rank(*arrays, **options):
    return at.functional.low_rank(*arrays, **options)


def by_reference(q, k, *rest, mask=None, scale=None, q_offset=0):
    return reference.low_rank(q, k, *rest, written_out(mask, q, k, q_offset), scale)[0]


def backward(d_out, q, k, *rest, mask=None, scale=None, q_offset=0):
    return reference.low_rank_backward(d_out, q, k, *rest, written_out(mask, q, k, q_offset), scale)


def same(length, keys, r, d=4, d_v=6, **options):
    return case((2, 2, length, d), (2, 2, keys, d), (2, 2, keys, d_v), (d, r), (d, r), **options)


SMALL = [normal(*shape, scale=0.1) for shape in [(2, 32, 8), (32, 8), (64, 16)]]

TestLowRank = op_tests(
    "low_rank",
    "q k v basis_q basis_k",
    [
        case((2, 4, 5, 4), (2, 2, 7, 4), (2, 2, 7, 6), (2, 4, 3), (2, 4, 3), mask=at.masks.lengths([7, 4])),
        case((5, 4), (7, 4), (7, 6), (4, 2), (4, 2)),
        case((5, 4), (7, 4), (7, 6), (4, 2), None),
        case((4, 5, 4), (2, 7, 4), (2, 7, 6), (2, 4, 3), (4, 3), scale=0.3),
        case((2, 2, 2, 5, 4), (2, 2, 2, 7, 4), (2, 2, 2, 7, 6), (4, 3), (2, 4, 3)),
        same(5, 7, 3, mask=SOME),
        same(7, 7, 3, mask=at.masks.causal()),
        same(5, 7, 3, mask=at.masks.causal(), q_offset=-2),
        *(same(5, n, 3) for n in (0, 1, 33, 100)),
        *(same(n, 5, 3) for n in (0, 1, 65)),
        *(same(5, 7, r) for r in (0, 1, 4, 9)),
        same(5, 7, 3, d=0, scale=1.0).but_not("central_differences"),
        same(5, 7, 3, d_v=0),
        case((0, 2, 5, 4), (0, 2, 7, 4), (0, 2, 7, 4), (4, 3), (2, 4, 3)),
    ],
    large=[
        case((2, 4, 300, 32), (2, 2, 300, 32), (2, 2, 300, 32), *SMALL[:2], mask=at.masks.causal()),
        case((2, 200, 64), (2, 1500, 64), (2, 1500, 64), SMALL[2], None),
    ],
    function=low_rank,
    reference_function=by_reference,
    backward=backward,
    errors=[
        wrong((4,), (7, 4), (7, 4), (4, 2), None, says="q has shape (4,) but must have at least 2 axes"),
        wrong((5, 4), (7, 3), (7, 4), (4, 2), None, says="key has 3 features but query has 4"),
        wrong((5, 4), (7, 4), (7, 4), (3, 2), None, says="basis_q has shape (3, 2) but must be (4, r)"),
        wrong((5, 4), (7, 4), (7, 4), (4,), None, says="basis_q has shape (4,)"),
        wrong((4, 5, 4), (2, 7, 4), (2, 7, 4), (4, 2), (4, 4, 2), says="(4, r) or (2, 4, r)"),
        wrong((5, 4), (7, 4), (7, 4), (4, 2), (4, 3), says="basis_k has 3 columns but basis_q has 2"),
        wrong((5, 4), (7, 4), (7, 4), (4, 2), None, mask=at.masks.causal(), says="needs q_offset="),
    ],
)


def arrays(*shapes, dtype=np.float64):
    return [np.random.default_rng(3).standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_all_features_are_full_attention(dtype):
    q, k, v = arrays((2, 4, 30, 8), (2, 2, 20, 8), (2, 2, 20, 5), dtype=dtype)
    a, b = at.functional.low_rank_basis(q, k, 8)
    assert a.shape == b.shape == (2, 8, 8) and a.dtype == dtype
    assert_close(at.functional.low_rank(q, k, v, a, b), at.attention(q, k, v), dtype, scale=10)
    assert_close(at.functional.low_rank(q, k, v, np.eye(8, dtype=dtype)), at.attention(q, k, v), dtype)


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_the_basis_is_the_best_of_its_rank(rank):
    q, k = arrays((2, 4, 30, 6), (2, 2, 20, 6))
    a, b = at.functional.low_rank_basis(q, k, rank)
    for head in range(2):  # queries 2h and 2h + 1 of both samples, keys h
        of_q, of_k = q[:, 2 * head : 2 * head + 2].reshape(-1, 6), k[:, head].reshape(-1, 6)
        scores = of_q @ of_k.T
        got = of_q @ a[head] @ (of_k @ b[head]).T
        u, s, w = np.linalg.svd(scores, full_matrices=False)
        assert_close(got, u[:, :rank] * s[:rank] @ w[:rank], scale=1000)
        theirs = reference.low_rank_basis(of_q, of_k, rank)
        assert_close(got, of_q @ theirs[0] @ (of_k @ theirs[1]).T, scale=1000)


def test_keys_that_do_not_fill_the_space_lose_nothing():
    q, k, v = arrays((30, 6), (20, 6), (20, 5))
    k[:, 2:] = k[:, :1] @ np.ones((1, 4))  # two directions
    a, b = at.functional.low_rank_basis(q, k, 2)
    assert_close(at.functional.low_rank(q, k, v, a, b), at.attention(q, k, v), scale=1000)
    a, b = at.functional.low_rank_basis(q, k, 6)
    assert np.isfinite(a).all() and np.isfinite(b).all()
    zeros = at.functional.low_rank_basis(q, 0 * k, 3)
    assert all((x == 0).all() for x in zeros)
    for huge in (1e-200, 1e200):
        a, b = at.functional.low_rank_basis(huge * q, k / huge, 2)
        assert_close((q @ a) @ (k @ b).T, q @ k.T, scale=1000)


def test_the_basis_has_the_same_bits_on_any_number_of_threads():
    q, k = arrays((2, 4, 700, 64), (2, 2, 600, 64))
    expected = at.functional.low_rank_basis(q, k, 16)
    at.set_num_threads(1)
    for one, other in zip(at.functional.low_rank_basis(q, k, 16), expected, strict=True):
        assert_same_bits(one, other)


def test_errors_of_the_basis():
    q, k = arrays((5, 4), (7, 4))
    for rank in (0, 5, -1):
        with pytest.raises(ValueError, match=f"^low_rank_basis: rank is {rank} but must be 1 to 4"):
            at.functional.low_rank_basis(q, k, rank)
    k[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"^low_rank_basis: k holds NaN or inf"):
        at.functional.low_rank_basis(q, k, 2)
    with pytest.raises(TypeError, match=r"^low_rank_basis: .*rank"):
        at.functional.low_rank_basis(q, q, "2")


def test_a_nan_behind_a_mask_does_not_leak():
    q, k, v, a, b = arrays((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 4), (4, 2), (3, 4, 2))
    k[1, :, 4:], v[1, :, 4:], q[0, :, 2] = np.nan, np.inf, np.nan
    mask = at.masks.lengths([7, 4]) & at.masks.dense(np.arange(5)[:, None] != 2)
    tensors = [at.tensor(x, requires_grad=True) for x in (q, k, v, a, b)]
    out = at.functional.low_rank(*tensors, mask=mask)
    assert np.isfinite(out.numpy()).all()
    out.sum().backward()
    for x in tensors:
        assert np.isfinite(x.grad.numpy()).all()


def test_weights_change_nothing_and_carry_a_gradient():
    inputs = arrays((2, 4, 5, 4), (2, 2, 7, 4), (2, 2, 7, 6), (2, 4, 3), (4, 3))
    out, weights = at.functional.low_rank(*inputs, return_weights=True)
    assert_same_bits(out, at.functional.low_rank(*inputs))
    d_out, d_weights = arrays(out.shape, weights.shape)
    tensors = [at.tensor(x, requires_grad=True) for x in inputs]
    out, weights = at.functional.low_rank(*tensors, return_weights=True)
    ((out * d_out).sum() + (weights * d_weights).sum()).backward()
    expected = reference.low_rank_backward(d_out, *inputs, d_weights=d_weights)
    for tensor, gradient in zip(tensors, expected, strict=True):
        assert_close(tensor.grad, gradient)


def test_no_heads_and_no_features_are_no_error():
    for shapes in (
        ((2, 0, 5, 4), (2, 0, 7, 4), (2, 0, 7, 6), (0, 4, 3)),
        ((2, 5, 0), (2, 7, 0), (2, 7, 6), (0, 3)),
    ):
        tensors = [at.tensor(np.zeros(shape), requires_grad=True) for shape in shapes]
        out = at.functional.low_rank(*tensors)
        assert out.shape == (*shapes[0][:-1], 6) and (out.numpy() == 0).all()
        out.sum().backward()
        assert all(np.isfinite(x.grad.numpy()).all() for x in tensors)

"""Linformer against the reference, and what it promises."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, case, normal, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def linformer(q, k, v, proj_k, proj_v=None, lengths=None, **options):
    mask = None if lengths is None else at.masks.lengths(lengths)
    return at.functional.linformer(q, k, v, proj_k, proj_v, mask=mask, **options)


def by_reference(*arrays, **options):
    return reference.linformer(*arrays, **options)[0]


def same(length, keys, r, d=4, d_v=6, **options):
    return case((2, 2, length, d), (2, 2, keys, d), (2, 2, keys, d_v), (r, keys), (r, keys), **options)


SMALL = [normal(*shape, scale=0.03) for shape in [(2, 64, 300), (64, 300), (32, 1500)]]

TestLinformer = op_tests(
    "linformer",
    "q k v proj_k proj_v",
    [
        case((2, 4, 5, 4), (2, 2, 7, 4), (2, 2, 7, 6), (2, 3, 7), (2, 3, 7), lengths=[7, 4]),
        case((5, 4), (7, 4), (7, 6), (3, 7), (3, 7)),
        case((5, 4), (7, 4), (7, 6), (3, 7), None, lengths=[5]),
        case((4, 5, 4), (2, 7, 4), (2, 7, 6), (2, 3, 7), (3, 7)),
        case((2, 2, 2, 5, 4), (2, 2, 2, 7, 4), (2, 2, 2, 7, 6), (3, 7), (2, 3, 7), lengths=[7, 4, 1, 6]),
        *(same(5, n, 3) for n in (0, 1, 33, 100)),
        *(same(n, 5, 3) for n in (0, 1, 65)),
        *(same(5, 7, r) for r in (1, 7, 16)),
        same(5, 7, 3, d=0, scale=1.0).but_not("central_differences"),
        same(5, 7, 3, d_v=0),
        same(5, 7, 3, scale=0.3),
        same(5, 7, 3, lengths=[0, 7]),
        case((0, 2, 5, 4), (0, 2, 7, 4), (0, 2, 7, 4), (3, 7), (3, 7)),
    ],
    large=[
        case((2, 4, 300, 32), (2, 2, 300, 32), (2, 2, 300, 32), *SMALL[:2], lengths=[300, 123]),
        case((2, 200, 64), (2, 1500, 64), (2, 1500, 64), SMALL[2], None),
    ],
    function=linformer,
    reference_function=by_reference,
    errors=[
        wrong((4,), (7, 4), (7, 4), (3, 7), None, says="q has shape (4,) but must have at least 2 axes"),
        wrong((5, 4), (7, 3), (7, 4), (3, 7), None, says="key has 3 features but query has 4"),
        wrong((5, 4), (7, 4), (6, 4), (3, 7), None, says="value has 6 positions but key has 7"),
        wrong((2, 5, 4), (3, 7, 4), (3, 7, 4), (3, 7), None, says="query has 2 heads"),
        wrong((5, 4), (7, 4), (7, 4), (3, 6), None, says="proj_k has shape (3, 6) but must be (r, 7)"),
        wrong((5, 4), (7, 4), (7, 4), (2, 3, 7), None, says="proj_k has shape (2, 3, 7) but must be (r, 7)"),
        wrong((4, 5, 4), (2, 7, 4), (2, 7, 4), (4, 3, 7), None, says="(r, 7) or (2, r, 7)"),
        wrong((5, 4), (7, 4), (7, 4), (0, 7), None, says="must have a row at least"),
        wrong((5, 4), (7, 4), (7, 4), (3, 7), (2, 7), says="proj_v has 2 rows but proj_k has 3"),
        wrong((5, 4), (7, 4), (7, 4), (3, 7), None, scale=np.inf, says="scale is inf"),
    ],
)


def arrays(*shapes, dtype=np.float64):
    rng = np.random.default_rng(3)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_mixture_for_each_key_is_full_attention(dtype):
    q, k, v = arrays((2, 4, 9, 8), (2, 2, 7, 8), (2, 2, 7, 5), dtype=dtype)
    out, weights = at.functional.linformer(q, k, v, np.eye(7, dtype=dtype), return_weights=True)
    expected, expected_weights = at.attention(q, k, v, return_weights=True)
    assert_close(out, expected, dtype)
    assert_close(weights, expected_weights, dtype)


def test_padded_equals_unpadded_and_nothing_leaks():
    q, k, v, e, f = arrays((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 4), (6, 7), (3, 6, 7))
    k[1, :, 4:], v[1, :, 4:] = np.nan, np.inf
    tensors = [at.tensor(x, requires_grad=True) for x in (q, k, v, e, f)]
    padded = at.functional.linformer(*tensors, mask=at.masks.lengths([7, 4]))
    alone = at.functional.linformer(q[1:], k[1:, :, :4], v[1:, :, :4], e[:, :4], f[..., :4])
    assert_close(padded.numpy()[1:], alone)
    padded.sum().backward()
    for x in tensors:
        assert np.isfinite(x.grad.numpy()).all()
    assert (tensors[1].grad.numpy()[1, :, 4:] == 0).all()


def test_weights_change_nothing_and_carry_a_gradient():
    inputs = arrays((2, 4, 5, 4), (2, 2, 7, 4), (2, 2, 7, 6), (2, 3, 7))
    out, weights = at.functional.linformer(*inputs, return_weights=True)
    assert_same_bits(out, at.functional.linformer(*inputs))
    assert weights.shape == (2, 4, 5, 3)
    d_out, d_weights = arrays(out.shape, weights.shape)
    tensors = [at.tensor(x, requires_grad=True) for x in inputs]
    out, weights = at.functional.linformer(*tensors, return_weights=True)
    ((out * d_out).sum() + (weights * d_weights).sum()).backward()
    expected = reference.linformer_backward(d_out, *inputs, d_weights=d_weights)
    for tensor, gradient in zip(tensors, expected, strict=True):
        assert_close(tensor.grad, gradient)


def test_masks_other_than_lengths_are_refused_with_the_reason():
    q, k, v, e = arrays((5, 4), (7, 4), (7, 4), (3, 7))
    for mask in (at.masks.causal(), np.ones((5, 7), bool), at.masks.causal() & at.masks.lengths([3])):
        with pytest.raises(ValueError, match=r"linformer: mask must be .*every mixed key holds something"):
            at.functional.linformer(q, k, v, e, mask=mask)


def test_projections_to_begin_with():
    normal = at.functional.linformer_projection(64, 1000, seed=1)
    assert normal.dtype == np.float32
    assert_same_bits(normal, at.functional.linformer_projection(64, 1000, seed=1))
    assert abs(float(normal.var()) * 64 - 1) < 0.05
    assert not np.array_equal(normal, at.functional.linformer_projection(64, 1000, seed=2))
    mean = at.functional.linformer_projection(3, 7, kind="mean", dtype="float64")
    assert_close(mean @ np.arange(7.0), np.array([0.5, 2.5, 5.0]))
    for arguments, says in [
        ({"r": 0, "length": 7, "seed": 1}, "r is 0"),
        ({"r": 8, "length": 7, "kind": "mean"}, "r is 8"),
        ({"r": 3, "length": 7}, "needs seed="),
        ({"r": 3, "length": 7, "kind": "mean", "seed": 1}, "seed is for"),
        ({"r": 3, "length": 7, "kind": "max"}, "kind is 'max'"),
        ({"r": 3, "length": -1, "seed": 1}, "length is -1"),
    ]:
        with pytest.raises(ValueError, match=f"^linformer_projection: .*{says}"):
            at.functional.linformer_projection(**arguments)


def test_no_heads_and_no_features_are_no_error():
    for shapes in (
        ((2, 0, 5, 4), (2, 0, 7, 4), (2, 0, 7, 6), (3, 7)),
        ((2, 5, 0), (2, 7, 0), (2, 7, 6), (3, 7)),
    ):
        tensors = [at.tensor(np.zeros(shape), requires_grad=True) for shape in shapes]
        out = at.functional.linformer(*tensors)
        assert out.shape == (*shapes[0][:-1], 6) and (out.numpy() == 0).all()
        out.sum().backward()
        assert all(np.isfinite(x.grad.numpy()).all() for x in tensors)

"""Luong's attentional vector."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, case, normal, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def dense(mask, query, memory):
    if not isinstance(mask, at.masks.Mask):
        return mask
    batch = query.shape[0] if query.ndim == 3 else 1
    out = mask.dense(batch, 1, query.shape[-2], memory.shape[-2])
    return out[:, 0] if query.ndim == 3 else out[0]


def by_reference(query, memory, W_c, mask=None):
    return reference.luong(query, memory, W_c, "dot", (), dense(mask, query, memory))[0]


def backward(d_out, query, memory, W_c, mask=None):
    return reference.luong_backward(d_out, query, memory, W_c, "dot", (), dense(mask, query, memory))[:3]


TestLuong = op_tests(
    "luong",
    "query memory W_c",
    [
        case((2, 3, 4), (2, 5, 4), (6, 8)),
        case((3, 4), (5, 4), (6, 8)),
        case((2, 0, 4), (2, 5, 4), (6, 8)),
        case((2, 3, 4), (2, 0, 4), (6, 8)),
        case((2, 3, 4), (2, 65, 4), (1, 8), mask=at.masks.lengths([65, 0])),
        case((2, 3, 4), (2, 5, 4), (6, 8), mask=np.arange(5) < np.array([[[2]], [[4]]])),
        case((2, 3, 4), (2, 5, 4), (6, 8), mask=np.arange(5) < 3),
        case((3, 4), (3, 4), (6, 8), mask=np.tri(3, dtype=bool)),
    ],
    large=[case(normal(4, 130, 16, scale=0.3), normal(4, 200, 16, scale=0.3), (16, 32))],
    reference_function=by_reference,
    backward=backward,
    errors=[
        wrong(
            (2, 3, 4), (2, 5, 4), (6, 7), says="W_c has 7 columns but memory and query have 4 + 4 features"
        ),
        wrong((2, 3, 4), (3, 5, 4), (6, 8), says="memory has shape (3, 5, 4) but query has shape (2, 3, 4)"),
        wrong((2, 3, 4), (5, 4), (6, 8), says="memory has shape (5, 4)"),
        wrong((4,), (5, 4), (6, 8), says="query has shape (4,)"),
        wrong((2, 3, 4), (2, 5, 4), (8,), says="W_c has shape (8,)"),
    ],
)


def arrays(dtype=np.float64):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s).astype(dtype) for s in [(2, 3, 4), (2, 5, 6), (7, 10)]]


SCORES = {
    "general": [(4, 6)],
    "additive": [(8, 4), (8, 6), (8,)],
}


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_scores(score, dtype):
    rng = np.random.default_rng(1)
    raw = arrays(dtype)
    params = [rng.standard_normal(s).astype(dtype) for s in SCORES[score]]
    tensors = [at.tensor(x, requires_grad=True) for x in [*raw, *params]]
    out, weights = at.functional.luong(
        *tensors[:3], score=score, score_params=tuple(tensors[3:]), return_weights=True
    )
    double = [x.astype(np.float64) for x in raw]
    params = [x.astype(np.float64) for x in params]
    expected, expected_weights = reference.luong(*double, score, params)
    assert_close(out, expected, dtype)
    assert_close(weights, expected_weights, dtype)
    d = rng.standard_normal(out.shape).astype(dtype)
    out.backward(d)
    *d_inputs, d_params = reference.luong_backward(d.astype(np.float64), *double, score, params)
    for tensor, gradient in zip(tensors, [*d_inputs, *d_params], strict=True):
        assert_close(tensor.grad, gradient, dtype, scale=10.0)


def test_the_context_comes_first():
    """W_c that copies the state gives tanh of it; one that copies the context gives tanh of what was read."""
    query, memory, _ = arrays()
    query, memory = query, memory[..., :4]
    copy_state = np.concatenate([np.zeros((4, 4)), np.eye(4)], axis=1)
    copy_context = np.concatenate([np.eye(4), np.zeros((4, 4))], axis=1)
    assert_close(at.functional.luong(query, memory, copy_state), np.tanh(query))
    context = at.attention(query, memory, memory, score="dot")
    assert_close(at.functional.luong(query, memory, copy_context), np.tanh(context))


def test_weights_do_not_change_the_result():
    query, memory, _ = arrays()
    w = np.random.default_rng(2).standard_normal((7, 8))
    out, weights = at.functional.luong(query, memory[..., :4], w, return_weights=True)
    assert_same_bits(at.functional.luong(query, memory[..., :4], w), out)
    assert_close(weights.sum(-1), np.ones((2, 3)))


def test_a_function_as_the_score():
    query, memory, _ = arrays()
    w = np.random.default_rng(2).standard_normal((7, 8))
    got = at.functional.luong(query, memory[..., :4], w, score=lambda q, k: q @ k.swapaxes(-1, -2))
    assert_close(got, at.functional.luong(query, memory[..., :4], w))

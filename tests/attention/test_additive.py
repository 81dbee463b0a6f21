"""score="additive": Bahdanau's scores, against the reference and what tanh promises."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, between, case, normal, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def attention(q, k, v, W_q, W_k, v_a, b=None, bias=None, **options):
    params = (W_q, W_k, v_a) if b is None else (W_q, W_k, v_a, b)
    return at.attention(q, k, v, score="additive", score_params=params, bias=bias, **options)


def dense(mask, q, k):
    if not isinstance(mask, at.masks.Mask):
        return mask
    *batch, heads, length, _ = q.shape if q.ndim > 2 else (1, *q.shape)
    out = mask.dense(int(np.prod(batch)), heads, length, k.shape[-2])
    return out.reshape(*q.shape[:-1], k.shape[-2])


def by_reference(q, k, v, W_q, W_k, v_a, b=None, bias=None, mask=None, scale=None):
    params = (W_q, W_k, v_a) if b is None else (W_q, W_k, v_a, b)
    return reference.scored(q, k, v, "additive", params, dense(mask, q, k), bias, scale)[0]


def backward(d_out, q, k, v, W_q, W_k, v_a, b=None, bias=None, mask=None, scale=None):
    params = (W_q, W_k, v_a) if b is None else (W_q, W_k, v_a, b)
    d_q, d_k, d_v, d_params, d_bias, _ = reference.scored_backward(
        d_out, q, k, v, "additive", params, dense(mask, q, k), bias, scale
    )
    d_b = d_params[3] if b is not None else None
    return d_q, d_k, d_v, *d_params[:3], d_b, d_bias


def simple(length, keys, a=6, **options):
    shapes = [(2, 3, length, 4), (2, 3, keys, 5), (2, 3, keys, 3), (a, 4), (a, 5), (a,), None, None]
    return case(*shapes, **options)


SOMEWHERE = np.random.default_rng(0).random((2, 1, 5, 7)) < 0.6
FAR = [normal(5, 4, scale=30.0), normal(7, 4, scale=30.0)]

TestAdditive = op_tests(
    "attention",
    "q k v W_q W_k v_a b bias",
    [
        case((2, 4, 5, 3), (2, 2, 7, 4), (2, 2, 7, 6), (5, 3), (5, 4), (5,), (5,), (4, 5, 7)),
        case((5, 3), (7, 3), (7, 2), (4, 3), (4, 3), (4,), None, None),
        case((2, 5, 3), (2, 7, 3), (2, 7, 2), (2, 4, 3), (2, 4, 3), (2, 4), (2, 4), None),
        case((4, 5, 3), (2, 7, 3), (2, 7, 2), (4, 4, 3), (2, 4, 3), (4,), (4,), None, scale=0.3),
        case((4, 5, 3), (2, 7, 3), (2, 7, 2), (4, 3), (2, 4, 3), (4, 4), (4, 4), None),
        *(simple(n, 5) for n in (0, 1, 33)),
        *(simple(5, n) for n in (0, 1, 64, 65)),
        *(simple(5, 7, a=n) for n in (0, 1, 17)),
        simple(7, 7, mask=at.masks.causal()),
        simple(5, 7, mask=at.masks.lengths([7, 0])),
        simple(5, 7, mask=SOMEWHERE),
        # Beyond what exponentials of q' and k' can hold.
        case(*FAR, (7, 3), (4, 4), (4, 4), (4,), None, None).but_not("central_differences"),
        case(between(100, 110, 5, 4), between(-110, -100, 7, 4), (7, 3), (4, 4), (4, 4), (4,), None, None)
        .but_not("central_differences")
        .of_scale(200.0),
    ],
    large=[
        case((2, 4, 65, 16), (2, 2, 100, 16), (2, 2, 100, 8), (32, 16), (32, 16), (32,), None, None),
        case((300, 8), (70, 8), (70, 8), (16, 8), (16, 8), (16,), (16,), None),
    ],
    function=attention,
    reference_function=by_reference,
    backward=backward,
    errors=[
        wrong(
            (5, 4), (7, 4), (7, 4), (6, 3), (6, 4), (6,), None, says="W_q has shape (6, 3) but must be"
        ),
        wrong((5, 4), (7, 4), (7, 4), (6, 4), (5, 4), (6,), None, says="W_k has shape (5, 4)"),
        wrong((5, 4), (7, 4), (7, 4), (6, 4), (6, 4), (5,), None, says="v_a has shape (5,)"),
        wrong((5, 4), (7, 4), (7, 4), (6, 4), (6, 4), (6,), (5,), says="b has shape (5,)"),
        wrong((3, 5, 4), (3, 7, 4), (3, 7, 4), (2, 6, 4), (6, 4), (6,), None, says="W_q has shape (2, 6, 4)"),
        wrong((5, 4), (7, 4), (6, 4), (6, 4), (6, 4), (6,), None, says="value has 6 positions but key has 7"),
        wrong((3, 5, 4), (2, 7, 4), (2, 7, 4), (6, 4), (6, 4), (6,), None, says="query has 3 heads"),
        wrong((5, 4), (7, 4), (7, 4), (6, 4), (6, 4), (6,), None, (9, 7), says="bias has shape (9, 7)"),
        wrong(
            (5, 4), (7, 4), (7, 4), (6, 4), (6, 4), (6,), None, mask=np.ones((9, 7), bool),
            says="mask has shape (9, 7)",
        ),
        wrong((5, 4), (7, 4), (7, 4), (6, 4), (6, 4), (6,), None, scale=np.nan, says="scale is nan"),
    ],
)  # fmt: skip


def arrays(dtype=np.float64, length=5, keys=7):
    rng = np.random.default_rng(0)
    shapes = [(2, 3, length, 4), (2, 3, keys, 4), (2, 3, keys, 2), (6, 4), (6, 4), (6,)]
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_pairs_near_and_far_give_the_same_scores(dtype):
    """A key too large for the exponentials takes another way: the others' bits must not notice."""
    q, k, v, *params = arrays(dtype)
    before = attention(q, k, v, *params, mask=np.arange(7) < 6)
    k[..., 6, :] = 1e4
    assert_same_bits(attention(q, k, v, *params, mask=np.arange(7) < 6), before)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_difference_of_large_numbers_is_exact(dtype):
    """tanh(q' + k') where both are large and their sum is small: clipping either gives another answer."""
    q, k = np.full((1, 1), 1000.5, dtype), np.array([[-1000.0], [-1001.0]], dtype)
    one = np.ones(1, dtype)
    _, weights = at.attention(q, k, k, score="additive", score_params=one, return_weights=True)
    s = np.tanh([0.5, -0.5])
    assert_close(weights, [np.exp(s) / np.exp(s).sum()], dtype)


def test_projected_already():
    q, k, v, w_q, w_k, v_a = arrays()
    expected = attention(q, k, v, w_q, w_k, v_a)
    got = at.attention(q @ w_q.T, k @ w_k.T, v, score="additive", score_params=(v_a,))
    assert_close(got, expected)
    with pytest.raises(ValueError, match="key has 3 features but query has 4"):
        at.attention(q, k[..., :3], v, score="additive", score_params=(v_a[:4],))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_same_made_of_operations(dtype):
    """Broadcast sum, tanh and product on the tape: what the fused pair replaces."""
    raw = arrays(dtype)
    fused = [at.tensor(x, requires_grad=True) for x in raw]
    plain = [at.tensor(x, requires_grad=True) for x in raw]
    out = attention(*fused)
    q, k, v, w_q, w_k, v_a = plain
    a, b = q @ w_q.T, k @ w_k.T
    y = (a.reshape(2, 3, 5, 1, 6) + b.reshape(2, 3, 1, 7, 6)).tanh()
    other = at.functional.softmax((y @ v_a.reshape(6, 1)).reshape(2, 3, 5, 7)) @ v
    assert_close(out, other.numpy(), dtype)
    d = np.random.default_rng(1).standard_normal(out.shape).astype(dtype)
    out.backward(d)
    other.backward(d)
    for x, y in zip(fused, plain, strict=True):
        assert_close(x.grad, y.grad.numpy(), dtype, scale=10.0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nan_behind_a_mask_does_not_leak(dtype):
    raw = arrays(dtype)
    tensors = [at.tensor(x, requires_grad=True) for x in raw]
    mask = np.arange(7) < 5
    attention(*tensors, mask=mask).sum().backward()
    raw[1][..., 5:, :] = np.nan
    raw[2][..., 5:, :] = np.inf
    broken = [at.tensor(x, requires_grad=True) for x in raw]
    out = attention(*broken, mask=mask)
    out.sum().backward()
    for x, y in zip(tensors, broken, strict=True):
        assert np.isfinite(y.grad.numpy()).all()
        assert_close(y.grad, x.grad.numpy(), dtype)


def test_blocks_of_queries_give_the_same_bits():
    """More scores than one block holds: every row is what it is alone."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((1, 8, n, 2)).astype(np.float32) for n in (700, 1000, 1000))
    params = [rng.standard_normal(s).astype(np.float32) for s in [(3, 2), (3, 2), (3,)]]
    out, weights = attention(q, k, v, *params, mask=at.masks.causal(), q_offset=100, return_weights=True)
    assert_same_bits(attention(q, k, v, *params, mask=at.masks.causal(), q_offset=100), out)
    assert_same_bits(
        attention(q[:, :, 650:], k, v, *params, mask=at.masks.causal(), q_offset=750), out[:, :, 650:]
    )
    assert weights.shape == (1, 8, 700, 1000) and (weights[0, 0, 0, 101:] == 0).all()
    mask, bias = rng.random((700, 1)) < 0.7, rng.standard_normal((8, 700, 1000)).astype(np.float32)
    out = attention(q, k, v, *params, mask=mask, bias=bias)
    part = attention(q[:, :, 650:], k, v, *params, mask=mask[650:], bias=bias[:, 650:])
    assert_same_bits(part, out[:, :, 650:])

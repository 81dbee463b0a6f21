"""Attention as one function, against the reference, PyTorch and what it promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attendo as at
from attendo import reference
from inputs import DTYPES, SIZES, THREADS, between, case, normal, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

rng = np.random.default_rng(7)


def some(*shape):
    """A bool mask: about two thirds True, every row at least once."""
    mask = rng.random(shape) < 2 / 3
    mask[..., 0] = True
    return mask


def written_out(mask, q, k, q_offset):
    """What the reference takes: a bool array."""
    if not isinstance(mask, at.masks.Mask):
        return mask
    *batch, heads, length, _ = q.shape if q.ndim > 2 else (1, *q.shape)
    dense = mask.dense(int(np.prod(batch)), heads, length, k.shape[-2], q_offset=q_offset)
    return dense.reshape(*q.shape[:-1], k.shape[-2])


def attention(q, k, v, bias=None, **options):
    return at.attention(q, k, v, bias=bias, **options)


def by_reference(q, k, v, bias=None, mask=None, scale=None, q_offset=0):
    return reference.scaled_dot_product(q, k, v, written_out(mask, q, k, q_offset), bias, scale)[0]


def backward(d_out, q, k, v, bias=None, mask=None, scale=None, q_offset=0):
    mask = written_out(mask, q, k, q_offset)
    return reference.scaled_dot_product_backward(d_out, q, k, v, mask, bias, scale)


def by_torch(torch, q, k, v, bias=None, mask=None, scale=None, q_offset=0):
    merged = bias
    if mask is not None:
        dense = torch.tensor(np.array(written_out(mask, q.detach().numpy(), k.detach().numpy(), q_offset)))
        merged = torch.where(dense, 0.0 if bias is None else bias, -torch.inf).to(q.dtype)
    if merged is not None and merged.ndim < 2:
        merged = merged.reshape((1,) * (2 - merged.ndim) + tuple(merged.shape))
    return torch.nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=merged, scale=scale, enable_gqa=q.ndim > 2 and q.shape[-3] != k.shape[-3]
    )


def same(length, keys, d=4, d_v=6, heads=2, **options):
    return case((2, heads, length, d), (2, heads, keys, d), (2, heads, keys, d_v), None, **options)


NOWHERE = np.zeros((3, 1, 1, 1), bool)
SHAPES = [
    case((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6), (2, 3, 5, 7)),
    case((5, 4), (7, 4), (7, 6), None),
    case((3, 5, 4), (3, 7, 4), (3, 7, 6), (3, 5, 7)),
    case((2, 2, 3, 5, 4), (2, 2, 3, 7, 4), (2, 2, 3, 7, 6), (2, 1, 3, 1, 7)),
    *(same(n, 5) for n in SIZES),
    *(same(5, n) for n in SIZES),
    *(same(5, 7, d=n) for n in SIZES if n),
    *(same(5, 7, d_v=n) for n in SIZES),
    case((0, 2, 3, 4), (0, 2, 5, 4), (0, 2, 5, 6), None),
]
GROUPED = [
    case((2, 6, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6), None),
    case((2, 6, 5, 4), (2, 1, 7, 4), (2, 1, 7, 6), (6, 5, 7)),
    case((4, 17, 8), (2, 33, 8), (2, 33, 8), None, mask=some(4, 17, 33)),
]
MASKED = [
    same(5, 5, mask=at.masks.causal()),
    same(5, 7, mask=at.masks.causal(), q_offset=0),
    same(5, 7, mask=at.masks.causal(), q_offset=2),
    same(65, 130, mask=at.masks.causal(), q_offset=65),
    same(100, 100, mask=at.masks.causal()),
    same(5, 7, mask=at.masks.lengths([7, 3])),
    same(33, 100, mask=at.masks.lengths([65, 1])),
    same(7, 7, mask=at.masks.causal() & at.masks.lengths([4, 7])),
    same(7, 7, mask=~at.masks.causal() | at.masks.dense(np.eye(7, dtype=bool))),
    *(
        same(5, 7, mask=some(*shape))
        for shape in [(7,), (5, 7), (2, 5, 7), (2, 1, 1, 7), (2, 2, 5, 7), (1, 1, 7)]
    ),
    same(65, 100, mask=some(2, 1, 65, 100)),
    same(5, 7, mask=np.ones((5, 1), bool)),
    # Queries that may attend to nothing: PyTorch has its own idea of their gradients.
    same(5, 7, mask=np.array([[True], [False], [True], [False], [False]])).but_not("torch"),
    same(5, 7, mask=at.masks.lengths([0, 7])).but_not("torch"),
    same(5, 5, mask=at.masks.causal(), q_offset=-3).but_not("torch"),
    case((3, 2, 5, 4), (3, 2, 7, 4), (3, 2, 7, 4), (7,), mask=NOWHERE).but_not("torch"),
]
BIASED = [
    *(case((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6), b) for b in [(), (7,), (5, 1), (3, 1, 1), (2, 1, 5, 7)]),
    case((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6), (3, 5, 7), mask=some(2, 1, 5, 7), scale=0.3),
    case((1, 65, 16), (1, 100, 16), (1, 100, 16), (65, 100), mask=at.masks.lengths([99])),
]
SCALED = [
    *(same(5, 7, scale=s) for s in (0.1, 0.0, -1.0, 3)),
    # One key takes it all; then, most keys lie far below the others.
    case(normal(2, 5, 4, scale=1e4), normal(2, 7, 4, scale=1e4), (2, 7, 6), None)
    .but_not("central_differences")
    .of_scale(1e4),
    case((2, 5, 4), (2, 7, 4), (2, 7, 6), between(-1e4, 0, 2, 5, 7)).of_scale(1e4),
]
LONG = [  # few heads and many keys: the backward pass cuts the keys into ranges and adds up what they give
    case((65, 8), (600, 8), (600, 8), None),
    case((1, 1, 130, 16), (1, 1, 500, 16), (1, 1, 500, 8), (130, 500)),
    case((2, 70, 8), (1, 1000, 8), (1, 1000, 8), None, mask=at.masks.causal(), q_offset=700),
    case((1, 33, 8), (1, 777, 8), (1, 777, 8), None, mask=at.masks.lengths([301])),
]

TestAttention = op_tests(
    "attention",
    "q k v bias",
    [*SHAPES, *GROUPED, *MASKED, *BIASED, *SCALED, *LONG],
    large=[
        case((2, 4, 300, 32), (2, 2, 300, 32), (2, 2, 300, 32), None, mask=at.masks.causal()),
        case((200, 64), (1500, 64), (1500, 64), None),
        case((8, 4, 65, 16), (8, 4, 65, 16), (8, 4, 65, 16), (65, 65), mask=at.masks.lengths(range(58, 66))),
    ],
    function=attention,
    reference_function=by_reference,
    backward=backward,
    torch=by_torch,
    errors=[
        wrong((4,), (5, 4), (5, 4), None, says="q has shape (4,) but must have at least 2 axes"),
        wrong((5, 4), (4,), (5, 4), None, says="k has shape (4,)"),
        wrong((5, 4), (5, 4), (), None, says="v has shape ()"),
        wrong((5, 4), (1, 7, 4), (7, 4), None, says="k has shape (1, 7, 4) but q has shape (5, 4)"),
        wrong((5, 64), (7, 32), (7, 64), None, says="key has 32 features but query has 64"),
        wrong((5, 4), (7, 4), (6, 4), None, says="value has 6 positions but key has 7"),
        wrong(
            (3, 5, 4),
            (2, 7, 4),
            (2, 7, 4),
            None,
            says="query has 3 heads, which is not a multiple of key's 2",
        ),
        wrong((2, 5, 4), (4, 7, 4), (4, 7, 4), None, says="query has 2 heads"),
        wrong((4, 5, 4), (2, 7, 4), (4, 7, 4), None, says="value has 4 heads but key has 2"),
        wrong(
            (2, 3, 5, 4), (3, 3, 7, 4), (2, 3, 7, 4), None, says="k has shape (3, 3, 7, 4) but q has shape"
        ),
        wrong((2, 3, 5, 4), (1, 3, 7, 4), (1, 3, 7, 4), None, says="k has shape (1, 3, 7, 4)"),
        wrong((5, 4), (7, 4), (7, 4), (7, 5), says="bias has shape (7, 5), which does not broadcast"),
        wrong((5, 4), (7, 4), (7, 4), (1, 5, 7), says="bias has shape (1, 5, 7), which does not broadcast"),
        wrong((5, 4), (7, 4), (7, 4), None, scale=np.nan, says="scale is nan"),
        wrong((5, 4), (7, 4), (7, 4), None, scale=np.inf, says="scale is inf"),
        wrong((5, 4), (7, 4), (7, 4), None, scale="1", raises=TypeError, says="scale is a str"),
        wrong((5, 4), (7, 4), (7, 4), None, q_offset=1.5, raises=TypeError, says="q_offset is a float"),
        wrong((5, 4), (7, 4), (7, 4), None, q_offset=2**62, says="q_offset is"),
        wrong((5, 4), (7, 4), (7, 4), None, q_offset=-(2**70), says="q_offset is"),
        wrong(None, (7, 4), (7, 4), None, raises=TypeError, says="q is None"),
        wrong((5, 4), None, (7, 4), None, raises=TypeError, says="k is None"),
        wrong((5, 4), (7, 4), None, None, raises=TypeError, says="v is None"),
    ],
    huge=lambda: (np.zeros((2**23, 0)), np.zeros((1, 0)), np.zeros((1, 2**23)), None, {}),
)


def inputs(dtype=np.float64, length=6, keys=8, heads=3):
    shapes = [(2, heads, length, 4), (2, heads, keys, 4), (2, heads, keys, 5)]
    return [np.random.default_rng(i).standard_normal(s).astype(dtype) for i, s in enumerate(shapes)]


def leaves(*arrays):
    return [at.tensor(x, requires_grad=True) for x in arrays]


# ---------------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", [*SHAPES, *GROUPED, *MASKED, *BIASED, *LONG], ids=str)
def test_weights(case, dtype):
    q, k, v, bias = case.arrays(dtype)
    out, weights = at.attention(q, k, v, bias=bias, return_weights=True, **case.options)
    assert_same_bits(out, at.attention(q, k, v, bias=bias, **case.options), "asking for weights changes out")
    options = dict(case.options)
    mask = written_out(options.pop("mask", None), q, k, options.pop("q_offset", 0))
    double = [x.astype(np.float64) for x in (q, k, v)]
    _, expected, _ = reference.scaled_dot_product(
        *double, mask, None if bias is None else bias.astype(np.float64), **options
    )
    assert_close(weights, expected, dtype)
    assert weights.flags.writeable and not np.shares_memory(weights, out)


@pytest.mark.parametrize("with_out", [True, False])
@pytest.mark.parametrize("case", [SHAPES[0], SHAPES[1], *GROUPED, MASKED[7], MASKED[-1], *LONG[:2]], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradient_through_the_weights(case, with_out, dtype):
    arrays = case.arrays(dtype)
    tensors = [None if x is None else at.tensor(x, requires_grad=True) for x in arrays]
    out, weights = attention(*tensors, return_weights=True, **case.options)
    d_out, d_weights = (
        np.random.default_rng(i).standard_normal(x.shape) for i, x in enumerate((out, weights))
    )
    d_out, d_weights = d_out.astype(dtype), d_weights.astype(dtype)
    loss = (weights * d_weights).sum()
    if with_out:
        loss = loss + (out * d_out).sum()
    loss.backward()
    options = dict(case.options)
    double = [None if x is None else x.astype(np.float64) for x in arrays]
    mask = written_out(options.pop("mask", None), *double[:2], options.pop("q_offset", 0))
    expected = reference.scaled_dot_product_backward(
        d_out.astype(np.float64) * with_out,
        *double[:3],
        mask,
        double[3],
        **options,
        d_weights=d_weights.astype(np.float64),
    )
    for tensor, gradient in zip(tensors, expected, strict=True):
        if tensor is not None and (gradient is not None):
            got = np.zeros(tensor.shape, dtype) if tensor.grad is None else tensor.grad
            assert_close(got, gradient, dtype)


# ------------------------------------------------------------------------------------------------- properties

SMALL = st.integers(1, 9)


@given(SMALL, SMALL, SMALL, st.integers(0, 2**16), st.floats(0.01, 100))
def test_rows_sum_to_one_and_the_output_stays_within_the_values(length, keys, d, seed, scale):
    random = np.random.default_rng(seed)
    q, k, v = (scale * random.standard_normal((n, d)) for n in (length, keys, keys))
    out, weights = at.attention(q, k, v, return_weights=True)
    assert_close(weights.sum(-1), np.ones(length))
    assert (weights >= 0).all()
    slack = 1e-9 * np.abs(v).max()
    assert (out >= v.min(0) - slack).all() and (out <= v.max(0) + slack).all()


@given(st.integers(2, 70), st.integers(0, 68), st.integers(0, 2**16))
def test_a_causal_output_ignores_the_future(length, position, seed):
    position = min(position, length - 1)
    random = np.random.default_rng(seed)
    q, k, v = random.standard_normal((3, length, 4))
    before = at.attention(q, k, v, mask=at.masks.causal())
    k[position:], v[position:] = random.standard_normal((2, length - position, 4))
    after = at.attention(q, k, v, mask=at.masks.causal())
    assert_same_bits(after[:position], before[:position])
    assert (after[position] != before[position]).any()


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**16))
def test_padded_equals_unpadded(length, keys, padding, seed):
    random = np.random.default_rng(seed)
    q, k, v = (random.standard_normal((1, 1, n, 4)) for n in (length, keys + padding, keys + padding))
    expected = at.attention(q, k[:, :, :keys], v[:, :, :keys])
    assert_same_bits(at.attention(q, k, v, mask=at.masks.lengths([keys])), expected)
    assert_close(at.attention(q, k, v, mask=np.arange(keys + padding) < keys), expected)


@given(st.integers(1, 9), st.integers(2, 40), st.integers(0, 2**16))
def test_the_order_of_the_keys_does_not_matter(length, keys, seed):
    random = np.random.default_rng(seed)
    q, k, v = (random.standard_normal((n, 4)) for n in (length, keys, keys))
    order = random.permutation(keys)
    assert_close(at.attention(q, k[order], v[order]), at.attention(q, k, v))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**16), st.integers(-50, 50))
def test_a_bias_that_shifts_a_row_changes_nothing(length, keys, seed, shift):
    random = np.random.default_rng(seed)
    q, k, v = (random.standard_normal((n, 4)) for n in (length, keys, keys))
    bias = np.full((length, 1), float(shift))
    assert_close(at.attention(q, k, v, bias=bias), at.attention(q, k, v), scale=100.0)


def test_a_head_alone_gives_the_same_bits():
    q, k, v = inputs()
    out = at.attention(q, k, v)
    for b in range(2):
        for h in range(3):
            assert_same_bits(at.attention(q[b, h], k[b, h], v[b, h]), out[b, h])


def test_grouped_heads_equal_repeated_ones():
    q, k, v = inputs(heads=6)
    k, v = k[:, :2], v[:, :2]
    expected = at.attention(q, np.repeat(k, 3, axis=1), np.repeat(v, 3, axis=1))
    assert_same_bits(at.attention(q, k, v), expected)


# ------------------------------------------------------------------------------------------------------ forms


def test_lists_and_mixed_forms():
    q, k, v = (x[0, 0] for x in inputs())
    expected = at.attention(q, k, v)
    assert_same_bits(at.attention(q.tolist(), k.tolist(), v.tolist()), expected)
    assert isinstance(at.attention(at.tensor(q), k, v), at.Tensor)
    assert isinstance(at.attention(q, k, v, bias=at.tensor(np.zeros((6, 8)))), at.Tensor)


def test_one_array_for_all_three():
    x = at.tensor(inputs()[0], requires_grad=True)
    at.attention(x, x, x).sum().backward()
    apart = leaves(*[x.numpy()] * 3)
    at.attention(*apart).sum().backward()
    assert_close(x.grad, sum(t.grad.numpy() for t in apart))


@pytest.mark.parametrize("threads", THREADS)
def test_gradients_through_weights_on_any_number_of_threads(threads):
    def run():
        tensors = leaves(*inputs(np.float32, 130, 700))
        out, weights = at.attention(*tensors, return_weights=True)
        (out.sum() + (weights * weights).sum()).backward()
        return [out, weights, *(t.grad for t in tensors)]

    at.set_num_threads(1)
    expected = run()
    at.set_num_threads(threads)
    for got, right in zip(run(), expected, strict=True):
        assert_same_bits(got, right)

"""Dropout of attention weights: from (stream, batch, head, query, key), the same forward and backward."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, THREADS
from tolerance import assert_close, assert_same_bits


def inputs(shape=(2, 3, 17, 33), dtype=np.float64, d=8, d_v=8):
    *batch, length, keys = shape
    rng = np.random.default_rng(0)
    return [
        rng.standard_normal((*batch, n, f)).astype(dtype) for n, f in ((length, d), (keys, d), (keys, d_v))
    ]


def kept(p, shape, seed=1, mask=None):
    """Which weights a generator of this seed keeps: with the identity as values the output is the weights."""
    *batch, length, keys = shape
    zeros = np.zeros((*batch, length, 1)), np.zeros((*batch, keys, 1))
    v = np.broadcast_to(np.eye(keys), (*batch, keys, keys))
    return at.attention(*zeros, v, dropout=p, generator=at.Generator(seed), mask=mask) != 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 17, 33), (1, 1, 70, 600), (5, 7)], ids=str)
@pytest.mark.parametrize("form", ["plain", "causal", "bias"])
def test_forward_and_backward(shape, dtype, form):
    p = 0.3
    q, k, v = inputs(shape, dtype)
    mask, bias, options = None, None, {}
    if form == "causal":
        mask = np.arange(shape[-1]) <= np.arange(shape[-2])[:, None] + 3
        options = {"mask": at.masks.causal(), "q_offset": 3}
    if form == "bias":
        bias = np.random.default_rng(5).standard_normal(shape[-2:]).astype(dtype)
    tensors = [None if x is None else at.tensor(x, requires_grad=True) for x in (q, k, v, bias)]
    out = at.attention(*tensors[:3], bias=tensors[3], dropout=p, generator=at.Generator(1), **options)
    d_out = np.random.default_rng(2).standard_normal(out.shape).astype(dtype)
    out.backward(d_out)

    q, k, v, d_out = (x.astype(np.float64) for x in (q, k, v, d_out))
    bias = None if bias is None else bias.astype(np.float64)
    factor = kept(p, shape) / (1 - p)  # what each weight was multiplied by
    _, weights, _ = reference.scaled_dot_product(q, k, v, mask, bias)
    assert_close(out, (weights * factor) @ v, dtype)
    d_weights = (d_out @ np.swapaxes(v, -1, -2)) * factor
    d_q, d_k, _, d_bias = reference.scaled_dot_product_backward(
        np.zeros_like(d_out), q, k, v, mask, bias, d_weights=d_weights
    )
    d_v = np.swapaxes(weights * factor, -1, -2) @ d_out
    for tensor, expected in zip(tensors, (d_q, d_k, d_v, d_bias), strict=True):
        if tensor is not None:
            assert_close(tensor.grad, expected, dtype)


@pytest.mark.parametrize("p", [0.02, 0.1, 0.5, 0.9])
def test_share_of_what_is_dropped(p):
    keep = kept(p, (4, 4, 100, 200))
    four_deviations = 4 * np.sqrt(p * (1 - p) / keep.size)
    assert abs((~keep).mean() - p) < four_deviations


def test_batches_heads_queries_keys_and_calls_are_independent():
    keep = kept(0.5, (2, 2, 200, 300)) - 0.5
    pairs = [
        (keep[0], keep[1]),
        (keep[:, 0], keep[:, 1]),
        (keep[:, :, 1:], keep[:, :, :-1]),
        (keep[..., 1:], keep[..., :-1]),
        (keep[..., 16:], keep[..., :-16]),
        (keep, kept(0.5, (2, 2, 200, 300), seed=2) - 0.5),
    ]
    for a, b in pairs:
        assert abs((a * b).mean() / 0.25) < 4 / np.sqrt(a.size)


def test_the_mean_stays():
    q, k, v = inputs((1, 1, 400, 500))
    v = np.ones_like(v)
    out = at.attention(q, k, v, dropout=0.5, generator=at.Generator(0))
    assert abs(out.mean() - 1) < 0.02
    assert out.std() > 0.02  # the rows do not: something was dropped


def test_weights_are_those_before_dropout():
    q, k, v = inputs()
    _, expected = at.attention(q, k, v, return_weights=True)
    out, weights = at.attention(q, k, v, dropout=0.5, generator=at.Generator(3), return_weights=True)
    assert_same_bits(weights, expected)
    assert_same_bits(out, at.attention(q, k, v, dropout=0.5, generator=at.Generator(3)))


def test_the_generator_decides():
    q, k, v = inputs()
    generator = at.Generator(9)
    first, second = (at.attention(q, k, v, dropout=0.5, generator=generator) for _ in range(2))
    assert generator.drawn == 2
    assert (first != second).any()
    assert_same_bits(at.attention(q, k, v, dropout=0.5, generator=at.Generator(9)), first)


def test_dropout_zero_is_no_dropout():
    q, k, v = inputs()
    generator = at.Generator(9)
    assert_same_bits(at.attention(q, k, v, dropout=0.0, generator=generator), at.attention(q, k, v))


def test_both_dtypes_drop_the_same():
    v = np.eye(40)
    q, k = np.zeros((30, 1)), np.zeros((40, 1))
    single, double = (
        at.attention(*(x.astype(d) for x in (q, k, v)), dropout=0.4, generator=at.Generator(1))
        for d in DTYPES
    )
    np.testing.assert_array_equal(single != 0, double != 0)


def test_padding_does_not_change_what_is_dropped():
    """The key's position decides, so a batch padded to another length trains alike."""
    q, k, v = inputs((1, 1, 17, 33))
    expected = at.attention(q, k, v, dropout=0.4, generator=at.Generator(1))
    k, v = (np.pad(x, ((0, 0), (0, 0), (0, 50), (0, 0))) for x in (k, v))
    got = at.attention(q, k, v, dropout=0.4, generator=at.Generator(1), mask=at.masks.lengths([33]))
    assert_same_bits(got, expected)


@pytest.mark.parametrize("threads", THREADS)
def test_same_bits_on_any_number_of_threads(threads):
    def run():
        tensors = [at.tensor(x, requires_grad=True) for x in inputs((2, 2, 130, 400), np.float32)]
        out = at.attention(*tensors, dropout=0.3, generator=at.Generator(1))
        out.sum().backward()
        return [out, *(t.grad for t in tensors)]

    at.set_num_threads(1)
    expected = run()
    at.set_num_threads(threads)
    for got, right in zip(run(), expected, strict=True):
        assert_same_bits(got, right)


SEED = at.Generator(0)


@pytest.mark.parametrize(
    ("dropout", "generator", "error", "says"),
    [
        (0.1, None, ValueError, "dropout needs generator="),
        (1.0, SEED, ValueError, "dropout is 1 but must be 0 or more and below 1"),
        (-0.1, SEED, ValueError, "dropout is -0.1"),
        (np.nan, SEED, ValueError, "dropout is nan"),
        ("0.1", SEED, TypeError, "dropout is a str"),
        (0.1, 3, TypeError, "generator is a int but must be an attendo.Generator"),
        (0.1, np.random.default_rng(0), TypeError, "generator is a Generator"),
    ],
)
def test_errors(dropout, generator, error, says):
    with pytest.raises(error, match=f"^attention: {says}"):
        at.attention(*inputs((5, 7)), dropout=dropout, generator=generator)

"""Transformer-XL's attention: content, distance, and a bias for each."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

rng = np.random.default_rng(6)
CAUSAL = at.masks.causal()


def written_out(mask, q, k, q_offset):
    if not isinstance(mask, at.masks.Mask):
        return mask
    *batch, heads, length, _ = q.shape if q.ndim > 2 else (1, *q.shape)
    dense = mask.dense(int(np.prod(batch)), heads, length, k.shape[-2], q_offset=q_offset)
    return dense.reshape(*q.shape[:-1], k.shape[-2])


def attention(q, k, v, r, content_bias, position_bias, bias=None, **options):
    return at.functional.transformer_xl_attention(
        q, k, v, r, content_bias, position_bias, bias=bias, **options
    )


def by_reference(q, k, v, r, u, w, bias=None, mask=None, scale=None, q_offset=0):
    mask = written_out(mask, q, k, q_offset)
    return reference.transformer_xl_attention(q, k, v, r, u, w, bias, mask, scale, q_offset)[0]


def backward(d_out, q, k, v, r, u, w, bias=None, mask=None, scale=None, q_offset=0):
    mask = written_out(mask, q, k, q_offset)
    return reference.transformer_xl_attention_backward(d_out, q, k, v, r, u, w, bias, mask, scale, q_offset)


def same(length, keys, count, heads=3, batch=(2,), bias=None, **options):
    q, kv = (*batch, heads, length, 4), (*batch, heads, keys, 4)
    return case(q, kv, (*kv[:-1], 6), (heads, count, 4), (heads, 4), (heads, 4), bias, **options)


TestTransformerXlAttention = op_tests(
    "transformer_xl_attention",
    "q k v r content_bias position_bias bias",
    [
        same(5, 8, 12, bias=(3, 5, 8), q_offset=3),
        same(5, 8, 8, q_offset=3, mask=CAUSAL),
        same(5, 5, 5, mask=CAUSAL),
        same(5, 5, 9, scale=0.2),
        same(5, 5, 9, batch=(), mask=np.arange(5) % 2 > 0),
        same(5, 5, 9, batch=(2, 2)),
        same(1, 7, 7, q_offset=6, mask=CAUSAL),
        same(33, 65, 65, heads=1, q_offset=32, mask=CAUSAL),
        same(5, 5, 9, mask=np.arange(5)[:, None] % 2 > 0),
        # So far away that float32 cannot count: by a bias in place of a score program.
        same(3, 7, 9, bias=(3, 7), q_offset=2**25),
        same(0, 5, 4, q_offset=0),
        same(5, 0, 4, q_offset=0),
        same(5, 5, 9, batch=(0,)),
        case((2, 4, 5, 4), (2, 2, 5, 4), (2, 2, 5, 4), (4, 9, 4), (4, 4), (4, 4), None),
        case((5, 4), (8, 4), (8, 6), (12, 4), (4,), (4,), None, q_offset=3),
    ],
    large=[same(100, 200, 200, q_offset=100, mask=CAUSAL)],
    function=attention,
    reference_function=by_reference,
    backward=backward,
    errors=[
        wrong((2, 5, 4), (2, 5, 4), (2, 5, 4), (2, 6, 4), (2, 4), (2, 4), None, says="r has 6 distances but"),
        wrong(
            (2, 5, 4),
            (2, 5, 4),
            (2, 5, 4),
            (3, 9, 4),
            (2, 4),
            (2, 4),
            None,
            says="r has 3 heads but query has 2",
        ),
        wrong((2, 5, 4), (2, 5, 4), (2, 5, 4), (2, 9, 3), (2, 4), (2, 4), None, says="r has 3 features"),
        wrong((2, 5, 4), (2, 5, 4), (2, 5, 4), (9, 4), (2, 4), (2, 4), None, says="r has shape (9, 4)"),
        wrong(
            (2, 5, 4), (2, 5, 4), (2, 5, 4), (2, 9, 4), (4,), (2, 4), None, says="content_bias has shape (4,)"
        ),
        wrong(
            (2, 5, 4),
            (2, 5, 4),
            (2, 5, 4),
            (2, 9, 4),
            (2, 4),
            (2, 3),
            None,
            says="position_bias has shape (2, 3)",
        ),
        wrong((2, 5, 4), (2, 8, 4), (2, 8, 4), (2, 12, 4), (2, 4), (2, 4), None, says="need q_offset="),
    ],
)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_weights(dtype):
    inputs = [rng.standard_normal(s).astype(dtype) for s in [(3, 5, 4)] * 3 + [(3, 9, 4), (3, 4), (3, 4)]]
    out, weights = at.functional.transformer_xl_attention(*inputs, mask=CAUSAL, return_weights=True)
    assert_same_bits(out, at.functional.transformer_xl_attention(*inputs, mask=CAUSAL))
    double = [x.astype(np.float64) for x in inputs]
    _, expected = reference.transformer_xl_attention(*double, mask=np.tril(np.ones((5, 5), bool)))
    assert_close(weights, expected, dtype)


def test_by_the_four_terms():
    """Dai et al. 2019, §3.3: q·k + q·r + u·k + w·r, written out pair by pair."""
    length, memory, d = 4, 3, 5
    keys = memory + length
    q, k = rng.standard_normal((length, d)), rng.standard_normal((keys, d))
    r, u, w = rng.standard_normal((length + keys - 1, d)), rng.standard_normal(d), rng.standard_normal(d)
    scores = np.empty((length, keys))
    for i in range(length):
        for j in range(keys):
            r_ij = r[memory + length - 1 - (memory + i - j)]  # row 0 is the largest distance
            scores[i, j] = q[i] @ k[j] + q[i] @ r_ij + u @ k[j] + w @ r_ij
    _, weights = at.functional.transformer_xl_attention(
        q, k, k, r, u, w, q_offset=memory, scale=1.0, return_weights=True
    )
    assert_close(weights, reference.softmax(scores))


def test_without_distances_and_biases_it_is_attention():
    q, k, v = (rng.standard_normal((3, 5, 4)) for _ in range(3))
    out = at.functional.transformer_xl_attention(
        q, k, v, np.zeros((3, 9, 4)), np.zeros((3, 4)), np.zeros((3, 4))
    )
    assert_close(out, at.attention(q, k, v))


def test_distances_of_the_future_do_not_matter_behind_a_causal_mask():
    q, k, v = (rng.standard_normal((3, 5, 4)) for _ in range(3))
    r, u, w = rng.standard_normal((3, 9, 4)), rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    whole = at.functional.transformer_xl_attention(q, k, v, r, u, w, mask=CAUSAL)
    assert_close(at.functional.transformer_xl_attention(q, k, v, r[:, :5], u, w, mask=CAUSAL), whole)


def test_nan_behind_a_mask_does_not_leak():
    q, k, v = (rng.standard_normal((2, 3, 6, 4)) for _ in range(3))
    r, u, w = rng.standard_normal((3, 11, 4)), rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    mask = np.tril(np.ones((6, 6), bool))
    mask[2] = False
    mask[:, 5] = False
    d_out = rng.standard_normal((2, 3, 6, 4))

    def run(*arrays):
        inputs = [at.tensor(x, requires_grad=True) for x in arrays]
        out = at.functional.transformer_xl_attention(*inputs, mask=mask)
        out.backward(d_out)
        return [out.numpy(), *(x.grad.numpy() for x in inputs)]

    clean = run(q, k, v, r, u, w)
    q[:, :, 2] = k[:, :, 5] = v[:, :, 5] = np.nan
    r[:, 6:] = np.nan  # keys after the query
    for got, expected in zip(run(q, k, v, r, u, w), clean, strict=True):
        assert_close(got, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sinusoid(dtype):
    table = at.functional.relative_sinusoid(5, 9, 6, dtype=dtype)
    assert_close(table, reference.relative_sinusoid(5, 9, 6), dtype)
    assert_close(table[5], np.array([0, 0, 0, 1, 1, 1.0]), dtype)  # distance 0
    assert_close(table[6, :3], -table[4, :3].astype(np.float64), dtype)  # a sine is odd
    assert at.functional.relative_sinusoid(0, 0, 6).shape == (0, 6)


def test_scores_of_the_sinusoid_depend_on_the_distance_alone():
    table = at.functional.relative_sinusoid(20, 41, 8, dtype="float64")
    products = table @ table.T
    for n in range(-20, 21):
        assert np.ptp(np.diagonal(products, n)) < 1e-13


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((1, -1, 4), ValueError, "count is -1"),
        ((1, 2, 3), ValueError, "d_model is 3"),
        ((1, 2, -2), ValueError, "d_model is -2"),
        ((1.5, 2, 4), TypeError, "first is a float"),
    ],
)
def test_wrong_sinusoids(arguments, error, says):
    with pytest.raises(error, match=f"^relative_sinusoid: {says}"):
        at.functional.relative_sinusoid(*arguments)

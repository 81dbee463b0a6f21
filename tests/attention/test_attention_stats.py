"""Statistics and single rows of the weights, against the weights written out."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attendo as at
from attendo import reference
from inputs import DTYPES, LAYOUTS, SIZES, THREADS, WRONG_TYPES
from tolerance import EPS_64, assert_close, assert_same_bits

NAMES = ("entropy", "maximum", "lse", "top_keys", "top_weights")


def arrays(q_shape, k_shape, dtype=np.float64, scale=1.0):
    rng = np.random.default_rng(3)
    return [(scale * rng.standard_normal(s)).astype(dtype) for s in (q_shape, k_shape)]


def written_out(mask, q, k, q_offset):
    if not isinstance(mask, at.masks.Mask):
        return mask
    *batch, heads, length, _ = q.shape if q.ndim > 2 else (1, *q.shape)
    dense = mask.dense(int(np.prod(batch)), heads, length, k.shape[-2], q_offset=q_offset)
    return dense.reshape(*q.shape[:-1], k.shape[-2])


def check(q, k, mask=None, bias=None, scale=None, q_offset=None, top_k=5):
    stats = at.attention_stats(q, k, mask=mask, bias=bias, scale=scale, q_offset=q_offset, top_k=top_k)
    dense = written_out(mask, q, k, q_offset or 0)
    doubles = [None if x is None else x.astype(np.float64) for x in (q, k, bias)]
    entropy, maximum, lse, keys, weights = reference.attention_stats(
        doubles[0], doubles[1], dense, doubles[2], scale, top_k
    )
    dtype = q.dtype
    size = max(1.0, np.abs(lse[np.isfinite(lse)]).max(initial=0))  # of the scores that cancel
    assert_close(stats.entropy, entropy, dtype, scale=size * np.log(k.shape[-2] + 2), what="entropy")
    assert_close(stats.maximum, maximum, dtype, scale=size, what="maximum")
    assert_close(stats.lse, lse, dtype, what="lse")
    assert_close(stats.top_weights, weights, dtype, scale=size, what="top_weights")
    assert stats.top_keys.dtype == np.int64 and stats.top_keys.shape == keys.shape
    # Two weights that are equal but for rounding may come in either order.
    same = stats.top_keys == keys
    all_weights = reference.scaled_dot_product(*doubles[:2], doubles[1], dense, doubles[2], scale)[1]
    assert ((stats.top_keys == -1) == (keys == -1)).all()
    found = np.where(keys >= 0, np.take_along_axis(all_weights, np.maximum(stats.top_keys, 0), -1), 0)
    assert_close(found[~same].astype(dtype), weights[~same], dtype, scale=size)
    assert (np.diff(stats.top_weights, axis=-1) <= 0).all()
    return stats


MASKS = {
    "none": {},
    "causal": {"mask": at.masks.causal(), "q_offset": 2},
    "causal, some rows nothing": {"mask": at.masks.causal(), "q_offset": -3},
    "lengths": {"mask": at.masks.lengths([9, 0])},
    "both": {"mask": at.masks.causal() & at.masks.lengths([9, 4]), "q_offset": 0},
    "dense": {"mask": np.random.default_rng(0).random((2, 1, 17, 33)) < 0.3},
    "keys": {"mask": np.arange(33) % 3 == 0},
    "not": {"mask": ~at.masks.causal(), "q_offset": 20},
    "nothing": {"mask": np.zeros((17, 33), bool)},
    "window": {"mask": at.masks.window(3, 2), "q_offset": 9},
    "rule": {"mask": at.masks.prefix([3, 7]) | ~at.masks.window(20, 4), "q_offset": 9},
}


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_the_weights(mask, biased, dtype):
    q, k = arrays((2, 4, 17, 5), (2, 2, 33, 5), dtype)
    bias = np.random.default_rng(1).standard_normal((4, 1, 33)).astype(dtype) if biased else None
    if biased:
        bias[1, 0, ::4] = -np.inf
    check(q, k, bias=bias, **MASKS[mask])


@pytest.mark.parametrize("length", [33, 600])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_modified_scores(dtype, length):
    """A soft-cap and a score_mod change the statistics as they change the weights."""
    q, k = arrays((2, 4, 17, 5), (2, 2, length, 5), dtype)
    slopes = np.array([0.1, 0.2, 0.3, 0.4])
    for options in [
        {"softcap": 1.5},
        {"score_mod": lambda s, b, h, i, j: s - slopes[h] * abs(i - j)},
        {"softcap": 2.0, "score_mod": lambda s, b, h, i, j: np.where(j % 3 == b, -np.inf, s)},
    ]:
        options["mask"] = at.masks.window(500, 3)
        _, weights = at.attention(q, k, k, q_offset=9, return_weights=True, **options)
        stats = at.attention_stats(q, k, q_offset=9, top_k=3, **options)
        exact = weights.astype(np.float64)
        entropy = -np.sum(exact * np.log(np.where(exact > 0, exact, 1)), axis=-1)
        assert_close(stats.entropy, entropy, dtype, scale=10)
        assert_close(stats.maximum, exact.max(-1), dtype)
        assert_close(stats.top_weights, np.sort(exact, -1)[..., :-4:-1], dtype)
        assert_same_bits(stats.row_weights([0, 16]), weights[..., [0, 16], :])
        assert_same_bits(at.attention_row_weights(q, k, 5, q_offset=9, **options), weights[..., 5, :])
    with pytest.raises(ValueError, match=r"^attention_stats: softcap is -1"):
        at.attention_stats(q, k, softcap=-1.0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("which", ["L", "S", "D"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sizes(which, size, dtype):
    length, keys, d = {"L": (size, 7, 3), "S": (5, size, 3), "D": (5, 7, size)}[which]
    check(*arrays((2, length, d), (2, keys, d), dtype), scale=0.5 if d == 0 else None)


@pytest.mark.parametrize("top_k", [0, 1, 2, 7, 64, 300, 10**12])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_top_k(top_k, dtype):
    q, k = arrays((3, 70, 8), (1, 300, 8), dtype)
    stats = check(q, k, mask=at.masks.causal(), q_offset=100, top_k=top_k)
    assert stats.top_keys.shape == (3, 70, min(top_k, 300))


def test_ranks_and_lists():
    q, k = arrays((4, 3), (6, 3))
    flat = check(q, k)
    deep = check(q[None, None, None], k[None, None, None])
    assert flat.entropy.shape == (4,) and deep.top_keys.shape == (1, 1, 1, 4, 5)
    assert_same_bits(deep.entropy[0, 0, 0], flat.entropy)
    assert_same_bits(at.attention_stats(q.tolist(), k.tolist()).lse, flat.lse)


def test_equal_weights_come_in_the_order_of_their_keys():
    q, k = np.zeros((40, 3)), np.zeros((200, 3))
    stats = at.attention_stats(q, k, top_k=70)
    np.testing.assert_array_equal(stats.top_keys, np.tile(np.arange(70), (40, 1)))
    k[[190, 5]] = 1
    stats = at.attention_stats(np.ones((1, 3)), k, top_k=4)
    np.testing.assert_array_equal(stats.top_keys, [[5, 190, 0, 1]])


def test_a_row_that_may_attend_to_nothing():
    q, k = arrays((3, 4), (6, 4))
    stats = at.attention_stats(q, k, mask=np.array([[True], [False], [True]]), top_k=2)
    assert stats.entropy[1] == 0 and stats.maximum[1] == 0 and stats.lse[1] == -np.inf
    np.testing.assert_array_equal(stats.top_keys[1], [-1, -1])
    np.testing.assert_array_equal(stats.top_weights[1], [0, 0])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("scale", [1e3, 1e15])
def test_one_key_takes_it_all(dtype, scale):
    """Scores so far apart that nothing but the largest one counts."""
    q, k = arrays((5, 4), (300, 4), dtype)
    stats = at.attention_stats(q, k, scale=scale)
    expected = np.argmax(q.astype(float) @ k.T.astype(float), axis=-1)
    np.testing.assert_array_equal(stats.top_keys[:, 0], expected)
    assert_close(stats.maximum, np.ones(5), dtype)
    assert (stats.entropy >= 0).all() and (stats.entropy < 1e-3).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_nan_and_inf(value, masked, dtype):
    q, k = arrays((5, 3), (300, 3), dtype)
    clean = at.attention_stats(q, k, mask=np.arange(300) != 200)
    k[200] = value
    stats = at.attention_stats(q, k, mask=np.arange(300) != 200 if masked else None)
    if masked:
        for name in NAMES:
            assert_same_bits(getattr(stats, name), getattr(clean, name), name)
        return
    with np.errstate(all="ignore"):
        _, weights, _ = reference.scaled_dot_product(q, k, k)
    bad = np.isnan(weights).any(-1)
    assert bad.any()
    for name in ("entropy", "maximum", "lse", "top_weights"):
        assert np.isnan(getattr(stats, name)[bad]).all(), name
        assert np.isfinite(getattr(stats, name)[~bad]).all(), name
    assert (stats.top_keys[bad] == -1).all() and (stats.top_keys[~bad] >= 0).all()


@given(st.integers(1, 40), st.integers(1, 200), st.floats(0.01, 30), st.integers(0, 2**16))
def test_bounds(length, keys, scale, seed):
    rng = np.random.default_rng(seed)
    q, k = scale * rng.standard_normal((length, 4)), rng.standard_normal((keys, 4))
    stats = at.attention_stats(q, k, top_k=keys)
    slack = 100 * EPS_64 * np.log(keys + 1)
    assert (stats.entropy >= 0).all() and (stats.entropy <= np.log(keys) + slack).all()
    assert (stats.maximum > 0).all() and (stats.maximum <= 1 + slack).all()
    assert_close(stats.top_weights.sum(-1), np.ones(length))
    np.testing.assert_array_equal(np.sort(stats.top_keys, -1), np.tile(np.arange(keys), (length, 1)))
    assert_close(stats.top_weights[:, 0], stats.maximum)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_same_bits_on_any_number_of_threads(dtype):
    q, k = arrays((2, 4, 300, 32), (2, 2, 300, 32), dtype)

    def run():
        stats = at.attention_stats(q, k, k, mask=at.masks.causal(), top_k=9)
        return [*(getattr(stats, name) for name in NAMES), stats.out, stats.row_weights([7, 299])]

    at.set_num_threads(THREADS[0])
    expected = run()
    for threads in THREADS[1:]:
        at.set_num_threads(threads)
        for got, right in zip(run(), expected, strict=True):
            assert_same_bits(got, right)


def test_out_is_attention():
    q, k = arrays((2, 17, 4), (2, 33, 4))
    v = np.random.default_rng(5).standard_normal((2, 33, 6))
    assert at.attention_stats(q, k).out is None
    expected = at.attention(q, k, v, mask=at.masks.causal(), q_offset=16)
    assert_same_bits(at.attention_stats(q, k, v, mask=at.masks.causal(), q_offset=16).out, expected)


def test_tensors_give_arrays_and_leave_nothing_on_the_tape():
    q, k = arrays((2, 17, 4), (2, 33, 4))
    tracked = [at.tensor(x, requires_grad=True) for x in (q, k, k)]
    stats = at.attention_stats(*tracked, bias=at.tensor(np.zeros((17, 33)), requires_grad=True))
    plain = at.attention_stats(q, k, k, bias=np.zeros((17, 33)))
    for name in (*NAMES, "out"):
        value = getattr(stats, name)
        assert type(value) is np.ndarray and value.flags.writeable
        assert_same_bits(value, getattr(plain, name), name)
    assert_same_bits(stats.row_weights(3), plain.row_weights(3))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout):
    q, k = arrays((2, 17, 4), (2, 33, 4))
    expected = at.attention_stats(q, k)
    stats = at.attention_stats(LAYOUTS[layout](q), LAYOUTS[layout](k))
    for name in NAMES:
        assert_same_bits(getattr(stats, name), getattr(expected, name), name)
    assert_same_bits(stats.row_weights(2), expected.row_weights(2))


# ------------------------------------------------------------------------------------------------ single rows


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_row_weights_have_the_bits_of_the_weights(mask, biased, dtype):
    q, k = arrays((2, 4, 17, 5), (2, 2, 33, 5), dtype)
    bias = np.random.default_rng(1).standard_normal((4, 1, 33)).astype(dtype) if biased else None
    _, weights = at.attention(q, k, k, bias=bias, return_weights=True, **MASKS[mask])
    got = at.attention_row_weights(q, k, [0, 16, 3, -1, 3], bias=bias, **MASKS[mask])
    assert_same_bits(got, weights[:, :, [0, 16, 3, 16, 3]])
    assert_same_bits(at.attention_row_weights(q, k, 4, bias=bias, **MASKS[mask]), weights[:, :, 4])
    stats = at.attention_stats(q, k, bias=bias, **MASKS[mask])
    assert_same_bits(stats.row_weights([16, 2]), weights[:, :, [16, 2]])


def test_rows_of_a_long_sequence():
    q, k = arrays((2, 700, 8), (2, 900, 8), np.float32)
    _, weights = at.attention(q, k, k, mask=at.masks.causal(), q_offset=200, return_weights=True)
    rows = np.random.default_rng(0).permutation(700)
    got = at.attention_row_weights(q, k, rows, mask=at.masks.causal(), q_offset=200)
    assert_same_bits(got, weights[:, rows])
    assert at.attention_row_weights(q, k, np.zeros(0, int)).shape == (2, 0, 900)


def test_writes_to_the_inputs_do_not_reach_row_weights():
    q, k = arrays((5, 3), (7, 3))
    mask, bias = np.ones((5, 7), bool), np.zeros((5, 7))
    tensor = at.tensor(k)
    stats = [at.attention_stats(q, x, mask=mask, bias=bias) for x in (k, tensor)]
    expected = stats[0].row_weights(2)
    q[:], k[:], mask[:], bias[:] = 0, 0, False, 5
    tensor.assign(k)
    for s in stats:
        assert_same_bits(s.row_weights(2), expected)


def test_shown():
    q, k = arrays((2, 5, 3), (2, 7, 3))
    stats = at.attention_stats(q, k)
    assert repr(stats).startswith("AttentionStats(rows=(2, 5), top_k=5, mean entropy ")
    html = stats._repr_html_()
    assert html.startswith("<table>") and html.count("<tr>") == 3
    many = at.attention_stats(np.zeros((50, 1, 2)), np.zeros((50, 3, 2)))._repr_html_()
    assert many.count("<tr>") == 33 and "and 18 more" in many
    for shape in [(0, 5, 3), (2, 0, 3)]:
        empty = at.attention_stats(np.zeros(shape), np.zeros(shape))
        assert repr(empty).endswith(")") and empty._repr_html_().count("<tr>") == 1


# ----------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("q", "k", "options", "error", "says"),
    [
        ((4,), (5, 4), {}, ValueError, "q has shape (4,) but must have at least 2 axes"),
        ((5, 4), (4,), {}, ValueError, "k has shape (4,)"),
        ((5, 4), (1, 7, 4), {}, ValueError, "k has shape (1, 7, 4) but q has shape (5, 4)"),
        ((5, 64), (7, 32), {}, ValueError, "key has 32 features but query has 64"),
        ((3, 5, 4), (2, 7, 4), {}, ValueError, "query has 3 heads, which is not a multiple of key's 2"),
        ((5, 4), (7, 4), {"mask": np.ones((5, 7))}, TypeError, "mask has dtype float64"),
        ((5, 4), (7, 4), {"mask": np.ones((5, 6), bool)}, ValueError, "mask has shape (5, 6)"),
        ((5, 4), (7, 4), {"mask": at.masks.causal()}, ValueError, "needs q_offset="),
        ((5, 4), (7, 4), {"bias": np.zeros((5, 6))}, ValueError, "bias has shape (5, 6)"),
        ((5, 4), (7, 4), {"bias": np.zeros(7, np.float32)}, TypeError, "float32"),
        ((5, 4), (7, 4), {"scale": np.nan}, ValueError, "scale is nan"),
        ((5, 4), (7, 4), {"q_offset": 2**62}, ValueError, "q_offset is"),
    ],
)
def test_errors(q, k, options, error, says):
    for name, call in {
        "attention_stats": at.attention_stats,
        "attention_row_weights": lambda q, k, **options: at.attention_row_weights(q, k, 0, **options),
    }.items():
        with pytest.raises(error, match=rf"^{name}: .*{re.escape(says)}"):
            call(np.zeros(q), np.zeros(k), **options)


@pytest.mark.parametrize("wrong_type", WRONG_TYPES)
def test_wrong_types(wrong_type):
    x = np.zeros((5, 4))
    wrong = WRONG_TYPES[wrong_type](x)
    with pytest.raises(TypeError, match=r"^attention_stats: .*\bq\b"):
        at.attention_stats(wrong, x)
    with pytest.raises(TypeError, match=r"^attention_row_weights: .*\bk\b"):
        at.attention_row_weights(x, wrong, 0)


def test_errors_of_their_own():
    x = np.zeros((5, 4))
    with pytest.raises(ValueError, match=r"^attention_stats: top_k is -1 but must be 0 or more"):
        at.attention_stats(x, x, top_k=-1)
    with pytest.raises(TypeError, match=r"^attention_stats: top_k is a float"):
        at.attention_stats(x, x, top_k=1.0)
    with pytest.raises(ValueError, match=r"^attention_stats: top_k is .*out of range"):
        at.attention_stats(x, x, top_k=2**70)
    with pytest.raises(ValueError, match=r"^attention_stats: value has 4 positions but key has 5"):
        at.attention_stats(x, x, np.zeros((4, 4)))
    for rows in (5, -6, [0, 7]):
        with pytest.raises(ValueError, match=r"^attention_row_weights: rows holds .* but must hold -5 to 4"):
            at.attention_row_weights(x, x, rows)
    with pytest.raises(ValueError, match=r"^attention_row_weights: rows has shape"):
        at.attention_row_weights(x, x, [[0]])
    for rows in (0.0, [True], "a", None):
        with pytest.raises(TypeError, match=r"^attention_row_weights: rows"):
            at.attention_row_weights(x, x, rows)

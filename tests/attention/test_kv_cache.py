"""The key-value cache: cached equals full, forks, windows, what is refused and what it leaves alone."""

import re
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attendo as at
from attendo import reference
from inputs import DTYPES, LAYOUTS, THREADS, WRONG_TYPES
from tolerance import assert_close, assert_same_bits

CAUSAL = at.masks.causal()


def arrays(lead=(2,), length=20, dtype=np.float64, heads=4, kv_heads=2, d=5, d_v=3):
    rng = np.random.default_rng(1)
    shapes = [(*lead, heads, length, d), (*lead, kv_heads, length, d), (*lead, kv_heads, length, d_v)]
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


def in_chunks(cache, q, k, v, chunks, **options):
    out, at_ = [], 0
    for n in chunks:
        part = slice(at_, at_ + n)
        out.append(cache.attend(q[..., part, :], k[..., part, :], v[..., part, :], **options))
        at_ += n
    assert at_ == q.shape[-2]
    return np.concatenate(out, axis=-2)


def windowed(length, window):
    i = np.arange(length)
    return (i <= i[:, None]) & (i > i[:, None] - window)


# ----------------------------------------------------------------------------------------- cached equals full


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("chunks", [[300], [1] * 5 + [295], [200, 1, 99], [127, 2, 100, 70, 1], [0, 300]])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_cached_equals_full_to_the_bit(dtype, chunks, threads):
    at.set_num_threads(threads)
    q, k, v = arrays(length=300, dtype=dtype, d=16, d_v=8)
    cache = at.KVCache()
    assert_same_bits(in_chunks(cache, q, k, v, chunks), at.attention(q, k, v, mask=CAUSAL))
    assert cache.length == 300 and cache.first == 0
    assert_same_bits(cache.keys, k)
    assert_same_bits(cache.values, v)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(0, 200), st.booleans())
def test_any_chunks_and_room(chunks, capacity, single):
    dtype = np.float32 if single else np.float64
    q, k, v = arrays(length=sum(chunks), dtype=dtype)
    cache = at.KVCache(capacity=capacity)
    got = in_chunks(cache, q, k, v, chunks)
    assert_same_bits(got, at.attention(q, k, v, mask=CAUSAL))
    assert cache.capacity >= max(cache.length, capacity)


@pytest.mark.parametrize("lead", [None, (), (2,), (2, 3)], ids=str)
def test_ranks(lead):
    q, k, v = arrays(lead or ())
    if lead is None:
        q, k, v = q[0], k[0], v[0]
    cache = at.KVCache()
    assert_same_bits(in_chunks(cache, q, k, v, [7, 1, 12]), at.attention(q, k, v, mask=CAUSAL))
    assert cache.keys.shape == k.shape and cache.lengths.shape == (int(np.prod(lead or ())),)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_the_reference(dtype):
    q, k, v = arrays(dtype=dtype)
    mask = np.random.default_rng(2).random((2, 1, 20, 20)) < 0.7
    bias = np.random.default_rng(3).standard_normal((4, 20, 20)).astype(dtype)
    cache = at.KVCache()
    cache.append(k, v)
    for rows in (20, 5, 1, 0):
        part = slice(20 - rows, 20)
        options = {"mask": mask[..., part, :], "bias": bias[..., part, :], "scale": 0.3}
        got = cache.attend(q[..., part, :], **options)
        doubles = [x.astype(np.float64) for x in (q[..., part, :], k, v)]
        options["bias"] = options["bias"].astype(np.float64)
        assert_close(got, reference.kv_cache(*doubles, **options), dtype)


def test_masks_count_absolute_positions():
    q, k, v = arrays()
    full = {
        "lengths": at.masks.lengths([13, 20]),
        "causal": CAUSAL,
        "some": ~at.masks.dense(np.arange(20) % 5 == 2),
        "not before": ~(CAUSAL & at.masks.dense(np.arange(20) < 3)),
    }
    for name, mask in full.items():
        cache = at.KVCache()
        cache.append(k[..., :12, :], v[..., :12, :])
        cache.append(k[..., 12:, :], v[..., 12:, :])
        got = cache.attend(q[..., 15:, :], mask=mask)
        expected = at.attention(q, k, v, mask=mask & CAUSAL)
        assert_close(got, expected[..., 15:, :], what=name)


# ---------------------------------------------------------------------------------------------------- windows


@pytest.mark.parametrize("window", [1, 2, 7, 100, 1000])
@pytest.mark.parametrize(
    "chunks", [[400], [1] * 20 + [380], [150, 1, 1, 99, 149], [*[3] * 100, 100]], ids=lambda c: len(c)
)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_window(dtype, chunks, window):
    q, k, v = arrays(length=400, dtype=dtype)
    cache = at.KVCache(window=window)
    got = in_chunks(cache, q, k, v, chunks)
    assert_close(got, at.attention(q, k, v, mask=windowed(400, window)), dtype)
    assert cache.length == 400 and cache.first <= 400 - min(window, 400)
    assert_same_bits(cache.keys, k[..., cache.first :, :])
    if window >= 400:
        assert_same_bits(got, at.attention(q, k, v, mask=CAUSAL))


def test_a_window_with_other_options():
    q, k, v = arrays(length=60)
    bias = np.random.default_rng(3).standard_normal((4, 60, 60))
    allowed = np.random.default_rng(4).random((2, 1, 60, 60)) < 0.8
    lengths = at.masks.lengths([30, 60])
    for mask in (allowed, lengths, None):
        cache, out, begin = at.KVCache(window=9), [], 0
        for n in (25, 1, 20, 14):
            part, end = slice(begin, begin + n), begin + n
            here = allowed[..., part, :end] if mask is allowed else None
            if mask is lengths:
                here = at.masks.lengths([min(30, end), end])
            chunk = [x[..., part, :] for x in (q, k, v)]
            out.append(cache.attend(*chunk, mask=here, bias=bias[:, part, :end], scale=0.4))
            begin = end
        full = windowed(60, 9)
        if mask is allowed:
            full = full & allowed
        if mask is lengths:
            full = full & lengths.dense(2, 1, 60, 60)
        expected = at.attention(q, k, v, mask=full, bias=bias, scale=0.4)
        assert_close(np.concatenate(out, axis=-2), expected)


@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_mask_over_the_window_alone_is_refused(length):
    """It must be over all positions, also where it happens to fit what is still held."""
    q, k, v = arrays(length=60)
    cache = at.KVCache(window=9)
    in_chunks(cache, *(x[..., :50, :] for x in (q, k, v)), [1] * 50)
    chunk = [x[..., 50 : 50 + length, :] for x in (q, k, v)]
    for name, x in {"mask": np.ones((length, 9), bool), "bias": np.zeros((length, 9))}.items():
        with pytest.raises(ValueError, match=rf"^KVCache.attend: {name} has shape .* does not broadcast"):
            cache.attend(*chunk, **{name: x})


def test_a_window_needs_memory_for_the_window_only():
    cache = at.KVCache(window=10)
    for _ in range(1000):
        cache.append(np.zeros((1, 1, 2)), np.zeros((1, 1, 2)))
    assert cache.length == 1000 and cache.first == 990 and cache.keys.shape == (1, 10, 2)
    assert cache.capacity < 50


def test_what_left_the_window_is_not_made_up():
    q, k, v = arrays()
    cache = at.KVCache(window=4)
    cache.append(k[..., :10, :], v[..., :10, :])
    cache.append(k[..., 10:, :], v[..., 10:, :])
    expected = at.attention(q, k, v, mask=windowed(20, 4))
    assert_close(cache.attend(q[..., 10:, :]), expected[..., 10:, :])
    with pytest.raises(ValueError, match=r"^KVCache.attend: q has 12 positions, but keys .* left the window"):
        cache.attend(q[..., 8:, :])
    with pytest.raises(ValueError, match=r"^KVCache.truncate: length is 7, but .* only those from 7"):
        cache.truncate(7)
    cache.truncate(12)
    again = cache.attend(q[..., 12:, :], k[..., 12:, :], v[..., 12:, :])
    assert_close(again, expected[..., 12:, :])


# --------------------------------------------------------------------------------- forks, lengths, truncation


def test_fork():
    q, k, v = arrays((3,), 30)
    cache = at.KVCache()
    in_chunks(cache, *(x[..., :20, :] for x in (q, k, v)), [20])
    entries = [2, 0, 0, 2, 1]
    beams = cache.fork(entries)
    kept = cache.fork()
    rest = [x[entries][..., 20:, :] for x in (q, k, v)]
    got = in_chunks(beams, *rest, [1] * 10)
    assert_same_bits(got, at.attention(q, k, v, mask=CAUSAL)[entries][..., 20:, :])
    assert_same_bits(cache.keys, k[..., :20, :])  # the others know nothing of it
    cache.append(k[..., 20:, :] * 0, v[..., 20:, :] * 0)
    assert_same_bits(kept.values, v[..., :20, :])
    assert_same_bits(beams.keys, k[entries])
    assert cache.fork([]).keys.shape == (0, 2, 30, 5)
    assert at.KVCache(window=3).fork().window == 3


@pytest.mark.parametrize("ragged", [False, True])
def test_reorder_is_fork_in_place(ragged):
    """Chains, cycles, copies of copies, more entries and fewer, and nothing at all."""
    rng = np.random.default_rng(0)
    k, v = rng.standard_normal((2, 5, 2, 6, 3))
    lengths = rng.integers(1, 7, 5) if ragged else None
    for entries in [
        [0, 1, 2, 3, 4], [1, 2, 3, 4, 0], [1, 0, 3, 2, 4], [0, 0, 1, 2, 3], [4, 4, 4, 4, 4], [1, 0, 0, 3, 3],
        [2, 0, 1, 0, 3], [3, 1], [4, 3, 2, 1, 0, 0], [], *rng.integers(0, 5, (30, 5)).tolist(),
    ]:  # fmt: skip
        cache = at.KVCache(capacity=9)
        cache.append(k, v, lengths=lengths)
        expected = cache.fork(entries)
        cache.reorder(entries)
        for held, others in ((cache.keys, expected.keys), (cache.values, expected.values)):
            assert_same_bits(held, others)
        assert cache.length == expected.length
        if not entries:
            continue
        one = rng.standard_normal((len(entries), 2, 1, 3))
        assert_same_bits(cache.attend(one, one, one), expected.attend(one, one, one))


def test_fork_of_a_window():
    q, k, v = arrays((3,), 30)
    cache = at.KVCache(window=5)
    in_chunks(cache, *(x[..., :20, :] for x in (q, k, v)), [1] * 20)
    got = in_chunks(cache.fork([1, 1]), *(x[[1, 1]][..., 20:, :] for x in (q, k, v)), [4, 6])
    assert_close(got, at.attention(q, k, v, mask=windowed(30, 5))[[1, 1]][..., 20:, :])


def test_truncate_and_reset():
    q, k, v = arrays()
    cache = at.KVCache()
    cache.append(k * np.nan, v * np.nan)
    cache.truncate(0)
    assert cache.length == 0 and cache.capacity >= 20
    in_chunks(cache, q, k, v, [15, 5])
    cache.truncate(12)
    assert_same_bits(cache.keys, k[..., :12, :])
    got = in_chunks(cache, *(x[..., 12:, :] for x in (q, k, v)), [8])
    assert_same_bits(got, at.attention(q, k, v, mask=CAUSAL)[..., 12:, :])
    cache.reset()
    assert_same_bits(in_chunks(cache, q, k, v, [20]), at.attention(q, k, v, mask=CAUSAL))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_batch_entries_of_unequal_lengths(dtype):
    """Prompts of unequal lengths, padded behind, then one position each."""
    prompts, more = [5, 0, 9], 4
    q, k, v = arrays((3,), 13, dtype)
    for x in (q, k, v):
        x[:, :, 9:] = 7  # padding that must not show
    fresh = arrays((3,), more, dtype)
    cache = at.KVCache()
    out = cache.attend(*(x[..., :9, :] for x in (q, k, v)), lengths=prompts)
    np.testing.assert_array_equal(cache.lengths, prompts)
    steps = [cache.attend(*(x[..., t : t + 1, :] for x in fresh)) for t in range(more)]
    decoded = np.concatenate(steps, axis=-2)
    assert cache.length == 13
    for b, n in enumerate(prompts):
        alone = [np.concatenate([x[b, :, :n], y[b]], axis=-2) for x, y in zip((q, k, v), fresh, strict=True)]
        expected = at.attention(*alone, mask=CAUSAL)
        assert_same_bits(out[b, :, :n], expected[:, :n])
        assert not out[b, :, n:].any()
        assert_same_bits(decoded[b], expected[:, n:])
        assert_same_bits(cache.keys[b, :, : n + more], alone[1])
        assert not cache.keys[b, :, n + more :].any()
        assert_same_bits(cache.fork([b]).keys[0], alone[1])
    both = cache.attend(fresh[0][..., :2, :], mask=at.masks.lengths([3, 2, 5]))
    for b, (n, seen) in enumerate(zip(prompts, [3, 2, 5], strict=True)):
        keys, values = (
            np.concatenate([x[b, :, :n], y[b]], axis=-2) for x, y in zip((k, v), fresh[1:], strict=True)
        )
        expected = at.attention(fresh[0][b, :, :2], keys[:, :seen], values[:, :seen])
        assert_close(both[b], expected, dtype)
    cache.truncate(6)
    np.testing.assert_array_equal(cache.lengths, [6, 4, 6])


# ----------------------------------------------------------------------------------------------- the contract


def test_room_doubles():
    cache, rooms = at.KVCache(), set()
    for _ in range(2000):
        cache.append(np.zeros((1, 2)), np.zeros((1, 2)))
        rooms.add(cache.capacity)
    assert len(rooms) < 12 and cache.capacity < 2 * 2048
    assert at.KVCache(capacity=7).capacity == 7


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout):
    q, k, v = arrays()
    expected = at.attention(q, k, v, mask=CAUSAL)
    out = at.KVCache().attend(*map(LAYOUTS[layout], (q, k, v)))
    assert isinstance(out, at.Tensor) == (layout == "tensor")
    assert_same_bits(out, expected)


def test_the_inputs_are_copied():
    _, k, v = arrays()
    cache = at.KVCache()
    cache.append(k, v)
    kept = k.copy()
    k[...], v[...] = 0, 0
    assert_same_bits(cache.keys, kept)
    cache.keys[...] = 5
    assert_same_bits(cache.keys, kept)


def test_gradients_are_refused():
    q, k, v = arrays()
    for i, name in enumerate("qkv"):
        inputs = [at.tensor(x, requires_grad=i == j) for j, x in enumerate((q, k, v))]
        cache = at.KVCache()
        with pytest.raises(
            ValueError, match=rf"^KVCache.attend: {name} requires a gradient, which a cache cannot"
        ):
            cache.attend(*inputs)
        assert cache.length == 0
        with at.no_grad():
            out = cache.attend(*inputs)
        assert isinstance(out, at.Tensor) and not out.requires_grad
        assert_same_bits(out, at.attention(q, k, v, mask=CAUSAL))
    bias = at.tensor(np.zeros(20), requires_grad=True)
    with pytest.raises(ValueError, match=r"^KVCache.attend: bias requires a gradient"):
        at.KVCache().attend(q, k, v, bias=bias)


@pytest.mark.parametrize("shape", [(0, 2, 5, 3), (2, 0, 5, 3), (2, 2, 0, 3), (2, 2, 5, 0)], ids=str)
def test_empty(shape):
    cache = at.KVCache()
    x = np.zeros(shape)
    assert cache.attend(x, x, x).shape == shape
    assert cache.attend(x, x, x).shape == shape
    assert cache.length == 2 * shape[2] and repr(cache).startswith("KVCache(length=")


def test_nan_behind_the_query_does_not_leak():
    q, k, v = arrays()
    expected = at.attention(q, k, v, mask=CAUSAL)
    k[..., 15:, :], v[..., 15:, :] = np.nan, np.nan
    out = at.KVCache().attend(q, k, v)
    assert_same_bits(out[..., :15, :], expected[..., :15, :])
    assert np.isnan(out[..., 15:, :]).all()


A_CALL = [
    (
        lambda c, q, k, v: c.attend(q[0], k, v),
        "q has the axes (4,) before its length but the cache holds (2, 2)",
    ),
    (lambda c, q, k, v: c.attend(q[:1], k, v), "q has the axes (1, 4)"),
    (lambda c, q, k, v: c.attend(q[:, :3], k, v), "q has 3 heads, which is not a multiple of the cache's 2"),
    (lambda c, q, k, v: c.attend(q[..., :4], k, v), "q has 4 features but the cache holds 5"),
    (lambda c, q, k, v: c.attend(q[..., :2, :], k, v), "q has 2 positions but k has 20"),
    (lambda c, q, k, v: c.attend(q, k), "k was given without v"),
    (lambda c, q, k, v: c.attend(q, v=v), "v was given without k"),
    (lambda c, q, k, v: c.attend(q, lengths=[1, 2]), "lengths are those of k and v"),
    (lambda c, q, k, v: c.attend(q[0, 0, 0]), "q has shape (5,) but must have at least 2 axes"),
    (lambda c, q, k, v: c.attend(np.zeros((2, 4, 23, 5))), "q has 23 positions but the cache holds 3"),
    (lambda c, q, k, v: c.attend(q, k, v[..., :3, :]), "v has shape (2, 2, 3, 3) but k has shape"),
    (lambda c, q, k, v: c.attend(q, k[..., :4], v), "k has 4 features but the cache holds 5"),
    (lambda c, q, k, v: c.attend(q, k, v[..., :2]), "v has 2 features but the cache holds 3"),
    (lambda c, q, k, v: c.attend(q, k[0], v[0]), "k has the axes (2,) before its length but the cache"),
    (lambda c, q, k, v: c.attend(q, k, v, lengths=[1]), "lengths has shape (1,) but must be (2,)"),
    (lambda c, q, k, v: c.attend(q, k, v, lengths=[1, 21]), "lengths holds 21 but must hold 0 to 20"),
    (lambda c, q, k, v: c.attend(q, k, v, lengths=[-1, 3]), "lengths holds -1"),
    (
        lambda c, q, k, v: c.attend(q, k, v, mask=np.ones((3, 3), bool)),
        "mask has shape (3, 3), which does not",
    ),
    (lambda c, q, k, v: c.attend(q, k, v, bias=np.zeros((3, 3))), "bias has shape (3, 3), which does not"),
    (lambda c, q, k, v: c.attend(q, k, v, scale=np.nan), "scale is nan"),
    (
        lambda c, q, k, v: c.attend(q, k, v, mask=~CAUSAL, lengths=[3, 20]),
        "q_offset has an entry for each of the batch, which goes with masks.causal",
    ),
]


@pytest.mark.parametrize(("call", "says"), A_CALL, ids=[says for _, says in A_CALL])
def test_a_call_that_fails_leaves_the_cache_as_it_was(call, says):
    q, k, v = arrays()
    cache = at.KVCache()
    cache.append(k[..., :3, :], v[..., :3, :])
    with pytest.raises(ValueError, match=rf"^KVCache.attend: {re.escape(says)}"):
        call(cache, q, k, v)
    np.testing.assert_array_equal(cache.lengths, [3, 3])
    assert_same_bits(cache.keys, k[..., :3, :])
    rest = [x[..., 3:, :] for x in (q, k, v)]
    assert_same_bits(cache.attend(*rest), at.attention(q, k, v, mask=CAUSAL)[..., 3:, :])


def test_a_first_call_that_fails_leaves_the_cache_empty():
    q, k, v = arrays()
    cache = at.KVCache()
    with pytest.raises(ValueError, match=r"^KVCache.attend: q has 4 features"):
        cache.attend(q[..., :4], k, v)
    assert cache.keys is None and cache.values is None and cache.lengths.size == 0
    cache.append(
        k[0].astype(np.float32), v[0].astype(np.float32)
    )  # another shape and dtype: nothing was fixed


def test_errors():
    q, k, v = arrays()
    for options, says in {
        ("capacity", -1): "capacity is -1 but must be 0 or more",
        ("window", 0): "window is 0 but must be 1 or more",
        ("window", -3): "window is -3",
    }.items():
        with pytest.raises(ValueError, match=f"^KVCache: {says}"):
            at.KVCache(**dict([options]))
    for options in ({"capacity": 1.5}, {"window": "3"}):
        with pytest.raises(TypeError, match=r"^KVCache: (capacity|window) is a"):
            at.KVCache(**options)
    with pytest.raises(TypeError, match=r"^KVCache: .*it takes"):
        at.KVCache(3)
    cache = at.KVCache()
    with pytest.raises(ValueError, match=r"^KVCache.attend: the cache is empty"):
        cache.attend(q)
    with pytest.raises(ValueError, match=r"^KVCache.fork: the cache is empty"):
        cache.fork([0])
    with pytest.raises(ValueError, match=r"^KVCache.append: k has shape \(5,\) but must have at least 2"):
        cache.append(k[0, 0, 0], v)
    with pytest.raises(ValueError, match=r"^KVCache.append: v has shape \(2, 20, 3\) but k has shape"):
        cache.append(k, v[0])
    with pytest.raises(TypeError, match=r"^KVCache.append: .*float32.*float64"):
        cache.append(k, v.astype(np.float32))
    cache.append(k, v)
    with pytest.raises(TypeError, match=r"^KVCache.append: k has dtype float32 but the cache holds float64"):
        cache.append(k.astype(np.float32), v.astype(np.float32))
    with pytest.raises(TypeError, match=r"^KVCache.attend: q has dtype float32 but the cache holds float64"):
        cache.attend(q.astype(np.float32))
    with pytest.raises(TypeError, match=r"^KVCache.append: lengths has dtype float64 but must be integers"):
        cache.append(k, v, lengths=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"^KVCache.fork: entries holds 2 but must hold 0 to 1"):
        cache.fork([0, 2])
    with pytest.raises(ValueError, match=r"^KVCache.fork: entries has shape \(1, 1\)"):
        cache.fork([[0]])
    with pytest.raises(TypeError, match=r"^KVCache.fork: entries has dtype float64"):
        cache.fork([0.0])
    with pytest.raises(ValueError, match=r"^KVCache.reorder: entries holds -1 but must hold 0 to 1"):
        cache.reorder([1, -1])
    with pytest.raises(ValueError, match=r"^KVCache.truncate: length is 21 but must be 0 to 20"):
        cache.truncate(21)
    with pytest.raises(ValueError, match=r"^KVCache.truncate: length is -1"):
        cache.truncate(-1)
    flat = at.KVCache()
    flat.append(k[0], v[0])
    with pytest.raises(ValueError, match=r"^KVCache.fork: .*entries needs one batch axis"):
        flat.fork([0])
    with pytest.raises(ValueError, match=r"^KVCache.append: lengths differ .* window"):
        at.KVCache(window=3).append(k, v, lengths=[1, 2])
    with pytest.raises((MemoryError, ValueError)):
        at.KVCache(capacity=2**45).append(k, v)
    with pytest.raises(TypeError):
        at.KVCache.__new__(at.KVCache).append(k, v)


@pytest.mark.parametrize("wrong_type", WRONG_TYPES)
def test_wrong_types(wrong_type):
    q, k, v = (x[0] for x in arrays())
    for i, name in enumerate("qkv"):
        inputs = [q, k, v]
        inputs[i] = WRONG_TYPES[wrong_type](inputs[i])
        cache = at.KVCache()
        with pytest.raises(TypeError, match=rf"^KVCache.attend: .*\b{name}\b"):
            cache.attend(*inputs)
        assert cache.length == 0


def test_several_threads_may_use_a_cache():
    q, k, v = arrays((), 1)
    cache = at.KVCache()

    def work():
        for _ in range(200):
            out = cache.attend(q, k, v)
            assert_close(out, np.repeat(v, 2, axis=0))  # the same key every time: its value

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert cache.length == 600

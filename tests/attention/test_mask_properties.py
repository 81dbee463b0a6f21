"""What holds of every mask, however combined, with every other option: the traps of attention, closed."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attendo as at
from tolerance import assert_close, assert_same_bits

masks = at.masks
# Queries and keys enough for several tiles, heads that share keys.
B, H, KV, L, S, D, DV = 2, 4, 2, 70, 150, 6, 5


def written(shape):
    return st.integers(0, 2**16).map(
        lambda seed: masks.dense(np.random.default_rng(seed).random(shape) < 0.5)
    )


def laid_out(heads):
    """Blocks over 160 positions."""

    def make(drawn):
        seed, size = drawn
        count = -(-160 // size)
        shape = (count, count) if heads is None else (heads, count, count)
        return masks.blocks(np.random.default_rng(seed).random(shape) < 0.4, size)

    return st.tuples(st.integers(0, 2**16), st.sampled_from([1, 7, 32, 64])).map(make)


def packed(drawn):
    seed, ordered, rows = drawn
    ids = np.random.default_rng(seed).integers(0, 5, (B, S))
    ids = np.sort(ids, axis=1) if ordered else ids
    return masks.documents(ids if rows else ids[0])


width = st.integers(0, 160)
kinds = [
    st.just(masks.causal()),
    st.lists(st.integers(0, S), min_size=B, max_size=B).map(masks.lengths),
    st.lists(st.integers(0, S + 9), min_size=B, max_size=B).map(masks.prefix),
    st.integers(0, S).map(masks.prefix),
    st.tuples(width, width).map(lambda w: masks.window(*w)),
    st.integers(1, 200).map(masks.strided),
    st.lists(st.integers(0, S - 1), max_size=4).map(masks.global_tokens),
    laid_out(None),
    laid_out(H),
    st.tuples(st.integers(0, 2**16), st.booleans(), st.booleans()).map(packed),
    written((L, S)),
    written((B, 1, 1, S)),
    written((H, L, 1)),
    written((B, H, L, S)),
]


def combined(inner):
    return st.one_of(
        st.tuples(inner, inner).map(lambda m: m[0] & m[1]),
        st.tuples(inner, inner).map(lambda m: m[0] | m[1]),
        inner.map(lambda m: ~m),
    )


any_mask = st.recursive(st.one_of(kinds), combined, max_leaves=5)


@dataclass
class Call:
    """One call of attention, which a test may change."""

    mask: object
    q_offset: int
    seed: int
    dtype: type
    has_bias: bool
    scale: float | None
    dropout: float
    arrays: list = field(init=False)
    d_out: np.ndarray = field(init=False)
    d_weights: np.ndarray = field(init=False)
    dense: np.ndarray = field(init=False)

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        shapes = [(B, H, L, D), (B, KV, S, D), (B, KV, S, DV), (B, H, L, S)]
        self.arrays = [rng.standard_normal(shape).astype(self.dtype) for shape in shapes]
        self.d_out = rng.standard_normal((B, H, L, DV)).astype(self.dtype)
        self.d_weights = rng.standard_normal((B, H, L, S)).astype(self.dtype)
        self.dense = self.mask.dense(B, H, L, S, q_offset=self.q_offset)

    def run(self, mask=None, *, weights=False, use_weights=False, threads=1):
        """out, the gradients, and the weights."""
        at.set_num_threads(threads)
        leaves = [at.tensor(x, requires_grad=True) for x in self.arrays]
        q, k, v, bias = leaves
        result = at.attention(
            q,
            k,
            v,
            mask=self.mask if mask is None else mask,
            bias=bias if self.has_bias else None,
            scale=self.scale,
            dropout=self.dropout,
            generator=at.Generator(self.seed) if self.dropout else None,
            q_offset=self.q_offset,
            return_weights=weights,
        )
        out, found = result if weights else (result, None)
        loss = (out * self.d_out).sum()
        if use_weights:
            loss = loss + (found * self.d_weights).sum()
        loss.backward()
        gradients = [x.grad for x in leaves if x.grad is not None]
        return [x.numpy() for x in (out, *gradients)], None if found is None else found.numpy()

    def gradients_of(self, results):
        """By name."""
        return dict(zip(["q", "k", "v", "bias"], results[1:], strict=False))


calls = st.builds(
    Call,
    mask=any_mask,
    q_offset=st.sampled_from([0, 1, 33, 80]),
    seed=st.integers(0, 2**16),
    dtype=st.sampled_from([np.float32, np.float64]),
    has_bias=st.booleans(),
    scale=st.sampled_from([None, 0.5, -0.1]),
    dropout=st.sampled_from([0.0, 0.0, 0.3]),
)


@given(calls)
def test_a_mask_is_what_it_writes_out(call):
    """Rules 1 and 2: True may attend, and the short cuts change nothing but rounding."""
    got, weights = call.run(weights=True, use_weights=True)
    expected, expected_weights = call.run(call.dense, weights=True, use_weights=True)
    for a, b in zip(got, expected, strict=True):
        assert_close(a, b)
    assert_close(weights, expected_weights)
    np.testing.assert_array_equal(weights > 0, call.dense)
    rows = call.dense.any(-1)
    assert_close(weights.sum(-1), rows.astype(weights.dtype))


@given(calls)
def test_the_same_bits_with_weights_and_without_on_any_number_of_threads(call):
    """Rule 5, and the same bits always."""
    expected, _ = call.run()
    expected_weights = None
    for weights in (False, True):
        for threads in (1, 2):
            got, found = call.run(weights=weights, threads=threads)
            for a, b in zip(got, expected, strict=True):
                assert_same_bits(a, b)
            if weights:
                expected_weights = found if expected_weights is None else expected_weights
                assert_same_bits(found, expected_weights)


@given(calls)
def test_a_row_that_may_attend_to_nothing_yields_zeros(call):
    """Rule 4, first half."""
    (out, *gradients), weights = call.run(weights=True, use_weights=True)
    nothing = ~call.dense.any(-1)  # (B, H, L)
    np.testing.assert_array_equal(out[nothing], 0)
    np.testing.assert_array_equal(weights[nothing], 0)
    np.testing.assert_array_equal(gradients[0][nothing], 0)
    unseen = ~call.dense.reshape(B, KV, H // KV, L, S).any((2, 3))  # (B, KV, S)
    np.testing.assert_array_equal(gradients[1][unseen], 0)
    np.testing.assert_array_equal(gradients[2][unseen], 0)
    if call.has_bias:
        np.testing.assert_array_equal(gradients[3][~call.dense], 0)


@given(calls, st.sampled_from([np.nan, np.inf, -np.inf]), st.booleans(), st.sampled_from([1, 2]))
def test_nothing_leaks_from_behind_a_mask(call, poison, weights, threads):
    """Rule 4, second half: neither forward nor backward, from keys, values, biases and queries."""
    nothing = ~call.dense.any(-1)
    unseen = ~call.dense.reshape(B, KV, H // KV, L, S).any((2, 3))
    results = []
    for value in (0.0, poison):
        call.arrays[0][nothing] = value
        call.arrays[1][unseen] = call.arrays[2][unseen] = value
        call.arrays[3][~call.dense] = value
        results.append(call.run(weights=weights, use_weights=weights, threads=threads))
    (clean, clean_weights), (dirty, dirty_weights) = results
    for a, b in zip(dirty, clean, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, b)
    if weights:
        np.testing.assert_array_equal(dirty_weights, clean_weights)


@given(calls, st.integers(0, L - 1))
def test_a_query_that_sees_a_nan_shows_it_and_the_others_do_not(call, row):
    """A NaN in a key reaches those who may attend to it, and no others."""
    call.dropout = 0.0
    clean, _ = call.run()
    seen = call.dense[0, 0, row]
    if not seen.any():
        return
    key = int(np.flatnonzero(seen)[-1])
    call.arrays[2][0, 0, key] = np.nan
    (out, *_), _ = call.run()
    reached = np.zeros((B, H, L), bool)
    reached[0, : H // KV] = call.dense[0, : H // KV, :, key]
    np.testing.assert_array_equal(np.isnan(out).any(-1), reached)
    assert_same_bits(out[~reached], clean[0][~reached])


@given(any_mask)
def test_positions_are_never_guessed(mask):
    """Rule 3: where L and S differ, what counts positions needs q_offset; both readings are named."""
    q, k = np.zeros((B, H, L, D)), np.zeros((B, KV, S, D))
    text = repr(mask)
    counts = any(name in text for name in ("causal", "window", "strided", "global", "blocks", "documents"))
    if counts:
        with pytest.raises(
            ValueError, match=r"needs q_offset=.*q_offset=0 .*begin together.*q_offset=80 .*end tog"
        ):
            at.attention(q, k, k, mask=mask)
    else:
        assert_same_bits(at.attention(q, k, k, mask=mask), at.attention(q, k, k, mask=mask, q_offset=7))


@given(any_mask, st.sampled_from([np.float32, np.float64, np.int64, np.uint8]))
def test_numbers_are_no_mask(mask, dtype):
    """Rule 1: not even those of a mask."""
    q, k = np.zeros((B, H, L, D)), np.zeros((B, KV, S, D))
    numbers = mask.dense(B, H, L, S).astype(dtype)
    with pytest.raises(TypeError, match=r"^attention: mask has dtype .*True = may attend.*bias="):
        at.attention(q, k, k, mask=numbers, q_offset=0)


@pytest.mark.parametrize(
    "mask", [masks.window(3) | masks.global_tokens([0, 9]), masks.window(4, 1), ~masks.window(2)]
)
def test_gradients_by_central_differences(mask):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((12, 3)) for _ in range(3)]
    d_out = rng.standard_normal((12, 3))
    tensors = [at.tensor(x, requires_grad=True) for x in arrays]
    at.attention(*tensors, mask=mask).backward(d_out)
    step = 1e-5
    for n, tensor in enumerate(tensors):
        for place in np.ndindex(12, 3):
            ends = []
            for sign in (1, -1):
                moved = [x.copy() for x in arrays]
                moved[n][place] += sign * step
                ends.append((at.attention(*moved, mask=mask) * d_out).sum())
            np.testing.assert_allclose(
                tensor.grad.numpy()[place], (ends[0] - ends[1]) / (2 * step), atol=1e-8
            )

"""Masks: which query may attend to which key."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attendo as at
from tolerance import assert_close, assert_same_bits

masks = at.masks
B, H, L, S = 2, 3, 5, 7


def arrays():
    rng = np.random.default_rng(0)
    return [rng.standard_normal((B, H, n, 4)) for n in (L, S, S)]


def atoms():
    written = st.integers(0, 2**16).map(
        lambda seed: masks.dense(np.random.default_rng(seed).random((B, 1, L, S)) < 0.6)
    )
    lengths = st.lists(st.integers(0, S), min_size=B, max_size=B).map(masks.lengths)
    return st.one_of(st.just(masks.causal()), lengths, written)


def combined(inner):
    return st.one_of(
        st.tuples(inner, inner).map(lambda m: m[0] & m[1]),
        st.tuples(inner, inner).map(lambda m: m[0] | m[1]),
        inner.map(lambda m: ~m),
    )


@given(st.recursive(atoms(), combined, max_leaves=6), st.integers(-3, 4))
def test_a_mask_equals_what_it_writes_out(mask, q_offset):
    q, k, v = arrays()
    dense = mask.dense(B, H, L, S, q_offset=q_offset)
    assert dense.shape == (B, H, L, S) and dense.dtype == bool and dense.flags.writeable
    got = at.attention(q, k, v, mask=mask, q_offset=q_offset, return_weights=True)
    expected = at.attention(q, k, v, mask=dense, return_weights=True)
    for a, b in zip(got, expected, strict=True):
        assert_close(a, b)
    np.testing.assert_array_equal(got[1] > 0, dense)


@given(atoms(), atoms(), st.integers(-3, 4))
def test_operators_are_those_of_the_arrays(a, b, q_offset):
    def dense(mask):
        return mask.dense(B, H, L, S, q_offset=q_offset)

    np.testing.assert_array_equal(dense(a & b), dense(a) & dense(b))
    np.testing.assert_array_equal(dense(a | b), dense(a) | dense(b))
    np.testing.assert_array_equal(dense(~a), ~dense(a))


def test_causal_written_out():
    expected = [[1, 1, 1, 0], [1, 1, 1, 1]]
    np.testing.assert_array_equal(masks.causal().dense(1, 1, 2, 4, q_offset=2)[0, 0], expected)


def test_causal_needs_an_offset_where_lengths_differ():
    q, k, v = arrays()
    for mask in (
        masks.causal(),
        masks.causal() & masks.lengths([3, 4]),
        ~masks.causal(),
        masks.lengths([7, 7]) | masks.causal(),
    ):
        with pytest.raises(ValueError, match=r"q_offset=0 .*q_offset=2 "):
            at.attention(q, k, v, mask=mask)
    both_begin = at.attention(q, k, v, mask=masks.causal(), q_offset=0)
    assert_close(both_begin[:, :, 0], v[:, :, 0])
    both_end = at.attention(q, k, v, mask=masks.causal(), q_offset=2)
    assert_same_bits(both_end[:, :, -1], at.attention(q, k, v)[:, :, -1])


def test_causal_over_equal_lengths_needs_none():
    q, _, _ = arrays()
    assert_same_bits(
        at.attention(q, q, q, mask=masks.causal()), at.attention(q, q, q, mask=masks.causal(), q_offset=0)
    )


@pytest.mark.parametrize("q_offset", [-100, 100, -(2**40), 2**40])
def test_far_offsets(q_offset):
    q, k, v = arrays()
    out = at.attention(q, k, v, mask=masks.causal(), q_offset=q_offset)
    if q_offset < 0:
        np.testing.assert_array_equal(out, 0)
    else:
        assert_same_bits(out, at.attention(q, k, v))


NUMBERS = [[0.0, -np.inf] + [0.0] * 5] * L


@pytest.mark.parametrize("mask", [np.ones((L, S)), np.ones((L, S), int), NUMBERS, 1, "causal"])
def test_a_mask_that_is_not_bool_is_an_error(mask):
    """0 and 1, 0 and -inf: two opposite habits. A mask is bool here, and numbers are a bias."""
    q, k, v = arrays()
    with pytest.raises(TypeError, match=r"^attention: mask .*(bias=|cannot be made|must be)"):
        at.attention(q, k, v, mask=mask)


@pytest.mark.parametrize("dtype", [int, float, np.uint8])
def test_numbers_in_a_mask_point_to_bias(dtype):
    q, k, v = arrays()
    with pytest.raises(TypeError, match=r"True = may attend.*bias="):
        at.attention(q, k, v, mask=np.ones((L, S), dtype))
    with pytest.raises(TypeError, match=r"^dense: array .*bias="):
        masks.dense(np.ones((L, S), dtype))


@pytest.mark.parametrize(
    "shape", [(S, L), (H + 1, L, S), (B + 2, 1, 1, S), (1, B, H, L, S), (0,), (L, S - 1)], ids=str
)
@pytest.mark.parametrize("form", [np.array, masks.dense])
def test_a_mask_that_does_not_broadcast(shape, form):
    q, k, v = arrays()
    with pytest.raises(ValueError, match=rf"^attention: mask has shape \({shape[0]},.*broadcast"):
        at.attention(q, k, v, mask=form(np.ones(shape, bool)))


@pytest.mark.parametrize(
    "form", ["fortran", "strided", "negative", "read-only", "list", "broadcast", "tensor"]
)
def test_layouts_of_a_mask(form):
    q, k, v = arrays()
    mask = np.random.default_rng(1).random((L, S)) < 0.6
    wide = np.repeat(mask, 2, axis=1)
    frozen = mask.copy()
    frozen.flags.writeable = False
    given_as = {
        "fortran": np.asfortranarray(mask),
        "strided": wide[:, ::2],
        "negative": np.ascontiguousarray(mask[::-1, ::-1])[::-1, ::-1],
        "read-only": frozen,
        "list": mask.tolist(),
        "broadcast": np.broadcast_to(mask, (B, H, L, S)),
        "tensor": at.tensor(mask),
    }[form]
    assert_same_bits(at.attention(q, k, v, mask=given_as), at.attention(q, k, v, mask=mask))


@pytest.mark.parametrize(
    ("lengths", "error", "says"),
    [
        ([1.0, 2.0], TypeError, "lengths has dtype float64 but must be integers"),
        ([True, False], TypeError, "lengths has dtype bool"),
        (["a"], TypeError, "lengths has dtype"),
        ([[1, 2]], ValueError, r"lengths has shape \(1, 2\)"),
        (3, ValueError, r"lengths has shape \(\)"),
        ([3, -1], ValueError, "lengths holds -1 but must hold 0 or more"),
    ],
)
def test_wrong_lengths(lengths, error, says):
    with pytest.raises(error, match=rf"^lengths: {says}"):
        masks.lengths(lengths)


def test_lengths_must_fit_the_call():
    q, k, v = arrays()
    with pytest.raises(ValueError, match=r"attention: lengths has 3 entries but the batch has 2"):
        at.attention(q, k, v, mask=masks.lengths([1, 2, 3]))
    with pytest.raises(ValueError, match=r"attention: lengths holds 8 but must hold 0 to 7"):
        at.attention(q, k, v, mask=masks.lengths([1, 8]))
    with pytest.raises(ValueError, match=r"attention: lengths holds 8 but must hold 0 to 7"):
        at.attention(q, k, v, mask=masks.lengths([1, 8]) & masks.causal(), q_offset=0)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64, ">i4"])
def test_lengths_of_any_integer_dtype(dtype):
    q, k, v = arrays()
    got = at.attention(q, k, v, mask=masks.lengths(np.array([2, 7]).astype(dtype)))
    assert_same_bits(got, at.attention(q, k, v, mask=masks.lengths([2, 7])))


def test_a_mask_keeps_its_own_copy():
    array, lengths = np.ones((L, S), bool), np.array([7, 7])
    dense, padded = masks.dense(array), masks.lengths(lengths)
    array[...], lengths[...] = False, 0
    assert dense.dense(B, H, L, S).all() and padded.dense(B, H, L, S).all()


def test_masks_are_neither_true_nor_false():
    with pytest.raises(TypeError, match=r"& \| ~"):
        _ = masks.causal() and masks.lengths([1])
    with pytest.raises(TypeError):
        masks.causal() & np.ones(3, bool)
    with pytest.raises(TypeError):
        masks.causal() | True


def test_repr():
    assert repr(masks.causal() & ~masks.lengths([1, 2])) == "(causal() & ~lengths([1, 2]))"
    assert repr(masks.causal() | masks.dense(np.ones((2, 3), bool))) == "(causal() | dense(shape=(2, 3)))"

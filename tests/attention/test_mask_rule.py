"""Each kind of mask against its formula, what it refuses, and how it draws itself."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attendo as at
from attendo.reference import mask_rule as formula
from tolerance import assert_close, assert_same_bits

masks = at.masks
B, H = 2, 3
# Below, at and above the words of 64 queries and the tiles of 96 and 128 keys.
SIZES = [
    (0, 0, 0),
    (0, 3, 0),
    (3, 0, 0),
    (1, 1, 0),
    (5, 7, 2),
    (64, 128, 64),
    (65, 129, 0),
    (150, 301, 151),
    (200, 200, 0),
]


def layout(rows, columns, seed=0, heads=None):
    shape = (rows, columns) if heads is None else (heads, rows, columns)
    return np.random.default_rng(seed).random(shape) < 0.4


def kinds(length, keys, q_offset):
    """Name, mask and formula, in the form the formula has."""
    positions = max(keys, q_offset + length)
    rng = np.random.default_rng(length + keys)
    found = {
        "causal": (masks.causal(), formula.causal(length, keys, q_offset)),
        "window": (masks.window(3), formula.window(3, 3, length, keys, q_offset)),
        "window before": (masks.window(70, 0), formula.window(70, 0, length, keys, q_offset)),
        "window behind": (masks.window(0, 5), formula.window(0, 5, length, keys, q_offset)),
        "strided": (masks.strided(3), formula.strided(3, length, keys, q_offset)),
        "strided far": (masks.strided(150), formula.strided(150, length, keys, q_offset)),
        "prefix": (masks.prefix(4), formula.prefix([4], keys)),
        "lengths": (
            masks.lengths([keys // 2, keys]),
            formula.lengths([keys // 2, keys], keys),
        ),
        "prefixes": (masks.prefix([2, 1000]), formula.prefix([2, 1000], keys)),
        "global_tokens": (masks.global_tokens([]), formula.global_tokens([], length, keys, q_offset)),
    }
    if positions > 0:
        tokens = rng.integers(0, positions, 4)
        found["some global_tokens"] = (
            masks.global_tokens(tokens),
            formula.global_tokens(tokens, length, keys, q_offset),
        )
    for size in (1, 5, 64):
        count = max(1, -(-positions // size))
        one, each = layout(count, count, size), layout(count, count, size, H)
        found[f"blocks {size}"] = (masks.blocks(one, size), formula.blocks(one, size, length, keys, q_offset))
        found[f"blocks {size} of heads"] = (
            masks.blocks(each, size),
            formula.blocks(each, size, length, keys, q_offset),
        )
    if q_offset + length <= keys:
        ids = rng.integers(-3, 3, (B, keys))
        found["documents"] = (masks.documents(ids[0]), formula.documents(ids[0], length, q_offset))
        ordered = np.sort(ids, axis=1)
        for name, x in (("documents in order", ordered), ("documents of a batch", ids)):
            found[name] = (masks.documents(x), formula.documents(x, length, q_offset))
    return found


@pytest.mark.parametrize(("length", "keys", "q_offset"), SIZES)
def test_against_the_formula(length, keys, q_offset):
    for name, (mask, expected) in kinds(length, keys, q_offset).items():
        got = mask.dense(B, H, length, keys, q_offset=q_offset)
        np.testing.assert_array_equal(got, np.broadcast_to(expected, got.shape), err_msg=name)
        opposite = (~mask).dense(B, H, length, keys, q_offset=q_offset)
        np.testing.assert_array_equal(opposite, ~got, err_msg=name)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 2**31), st.integers(-400, 400))
def test_positions_against_the_formula(left, right, seed, q_offset):
    """Sizes and offsets of all kinds, also before the first key and behind the last."""
    rng = np.random.default_rng(seed)
    length, keys = (int(n) for n in rng.integers(1, 300, 2))
    stride = int(rng.integers(1, 200))
    mask = masks.window(left, right) | masks.strided(stride)
    expected = formula.window(left, right, length, keys, q_offset) | formula.strided(
        stride, length, keys, q_offset
    )
    np.testing.assert_array_equal(mask.dense(1, 1, length, keys, q_offset=q_offset)[0, 0], expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("length", "keys", "q_offset"), SIZES)
def test_attention_with_each_kind(length, keys, q_offset, dtype):
    """A mask on its own takes the short cuts that written out it cannot take."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((B, H, n, 5)).astype(dtype) for n in (length, keys, keys))
    d_out = rng.standard_normal((B, H, length, 5)).astype(dtype)

    def run(mask, **options):
        tensors = [at.tensor(x, requires_grad=True) for x in (q, k, v)]
        out, weights = at.attention(*tensors, mask=mask, return_weights=True, **options)
        out.backward(d_out)
        return out, weights, *(t.grad for t in tensors)

    for name, (mask, expected) in kinds(length, keys, q_offset).items():
        dense = np.broadcast_to(expected, (B, H, length, keys))
        got = run(mask, q_offset=q_offset)
        for a, b in zip(got, run(dense), strict=True):
            assert_close(a, b, what=name)
        np.testing.assert_array_equal(got[1].numpy() > 0, dense, err_msg=name)


@pytest.mark.parametrize("length", [1, 63, 200, 700])
def test_a_window_as_wide_as_the_sequence_is_no_mask(length):
    q = np.random.default_rng(0).standard_normal((2, length, 4))
    assert_same_bits(at.attention(q, q, q, mask=masks.window(length)), at.attention(q, q, q))
    assert_same_bits(
        at.attention(q, q, q, mask=masks.window(length, 0)), at.attention(q, q, q, mask=masks.causal())
    )


def test_presets():
    assert repr(masks.longformer(4, [0, 7])) == "(window(4) | global_tokens([0, 7]))"
    options = {"num_window_blocks": 3, "num_global_blocks": 2, "num_random_blocks": 2}
    bird = masks.bigbird(20 * 8, 8, seed=5, **options).dense(1, 1, 160, 160)[0, 0]
    blocks = bird.reshape(20, 8, 20, 8)
    of_blocks = blocks[:, 0, :, 0]
    np.testing.assert_array_equal(blocks, np.broadcast_to(of_blocks[:, None, :, None], blocks.shape))
    n = np.arange(20)
    certain = (np.abs(n[:, None] - n) <= 1) | (n[:, None] < 2) | (n < 2)
    assert of_blocks[certain].all()
    np.testing.assert_array_equal((of_blocks & ~certain).sum(1), np.where(n < 2, 0, 2))
    again = masks.bigbird(160, 8, seed=5, **options).dense(1, 1, 160, 160)[0, 0]
    other = masks.bigbird(160, 8, seed=6, **options).dense(1, 1, 160, 160)[0, 0]
    np.testing.assert_array_equal(again, bird)
    assert (other != bird).any()
    assert masks.bigbird(10, 4, num_random_blocks=100).dense(1, 1, 10, 10).all()


def test_the_blocks_big_bird_draws():
    """The same on every machine, in every version."""
    layout = masks.bigbird(10, 1, num_global_blocks=0, num_random_blocks=2, seed=7).dense(1, 1, 10, 10)[0, 0]
    n = np.arange(10)
    drawn = [np.flatnonzero(row & (abs(n - i) > 1)).tolist() for i, row in enumerate(layout)]
    assert drawn == [[6, 9], [3, 7], [7, 8], [1, 8], [0, 9], [8, 9], [8, 9], [1, 4], [5, 6], [5, 6]]


WRONG = [
    (lambda: masks.window(-1), ValueError, "window: left is -1 but must be 0 or more"),
    (lambda: masks.window(1, -2), ValueError, "window: right is -2 but must be 0 or more"),
    (lambda: masks.window(2**41), ValueError, "window: left is"),
    (lambda: masks.window(10**30), ValueError, "window: left is"),
    (lambda: masks.window(1.5), TypeError, "window: left is a float but must be an integer"),
    (lambda: masks.window(True), TypeError, "window: left is True but must be an integer"),
    (lambda: masks.strided(0), ValueError, "strided: stride is 0 but must be 1 or more"),
    (lambda: masks.strided("2"), TypeError, "strided: stride is a str"),
    (lambda: masks.prefix(-1), ValueError, "prefix: n is -1 but must be 0 or more"),
    (lambda: masks.prefix([3, -1]), ValueError, "prefix: n holds -1"),
    (lambda: masks.prefix([2**41]), ValueError, "prefix: n holds"),
    (lambda: masks.prefix(1.0), TypeError, "prefix: n is a float"),
    (lambda: masks.prefix([1.0]), TypeError, "prefix: n has dtype float64"),
    (lambda: masks.prefix([[1]]), ValueError, r"prefix: n has shape \(1, 1\)"),
    (lambda: masks.global_tokens([0, -1]), ValueError, "global_tokens: indices holds -1"),
    (lambda: masks.global_tokens([True]), TypeError, "global_tokens: indices has dtype bool"),
    (lambda: masks.global_tokens(3), ValueError, r"global_tokens: indices has shape \(\)"),
    (lambda: masks.blocks([[1, 0]], 2), TypeError, r"blocks: layout has dtype int64 .*True = may attend"),
    (lambda: masks.blocks([True], 2), ValueError, r"blocks: layout has shape \(1,\)"),
    (lambda: masks.blocks([[[[True]]]], 2), ValueError, "blocks: layout has shape"),
    (lambda: masks.blocks([[True]], 0), ValueError, "blocks: block_size is 0 but must be 1 or more"),
    (lambda: masks.blocks([[True]], 0.5), TypeError, "blocks: block_size is a float"),
    (lambda: masks.documents([0.5]), TypeError, "documents: ids has dtype float64"),
    (lambda: masks.documents([[[1]]]), ValueError, r"documents: ids has shape \(1, 1, 1\)"),
    (lambda: masks.documents(np.array([2**64 - 1])), ValueError, "documents: ids holds"),
    (lambda: masks.bigbird(0), ValueError, "bigbird: length is 0"),
    (lambda: masks.bigbird(8, 2, num_window_blocks=2), ValueError, "bigbird: num_window_blocks is 2"),
    (lambda: masks.bigbird(2**40, 1), ValueError, "bigbird: length is"),
    (lambda: masks.bigbird(8, seed=-1), ValueError, "bigbird: seed is -1"),
    (masks.Mask, TypeError, "a mask is made by the functions of attendo.masks"),
]


@pytest.mark.parametrize(("make", "error", "says"), WRONG, ids=[says for _, _, says in WRONG])
def test_nonsense_is_refused(make, error, says):
    with pytest.raises(error, match=rf"^{says}"):
        make()


REFUSED = [
    (masks.global_tokens([7]), "global_tokens holds 7 but must hold 0 to 6"),
    (masks.blocks([[True] * 2] * 3, 3), "blocks covers 9 query positions and 6 keys but the call"),
    (masks.blocks([[True] * 3], 3), "blocks covers 3 query positions and 9 keys but the call"),
    (masks.blocks([[[True] * 3] * 3] * 2, 3), "blocks has a layout of 2 heads but the query has 3"),
    (masks.documents([1] * 6), "documents covers 6 query positions and 6 keys but the call"),
    (masks.documents([[1] * 7] * 3), "documents has 3 rows but the batch has 2"),
    (masks.prefix([1, 2, 3]), "prefix has 3 entries but the batch has 2"),
    (masks.lengths([1, 8]), "lengths holds 8 but must hold 0 to 7"),
    (masks.dense(np.ones((2, 7), bool)), r"mask has shape \(2, 7\), which does not broadcast"),
]


@pytest.mark.parametrize(("mask", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_what_does_not_fit_the_call_is_refused(mask, says):
    """On its own and within an expression."""
    q, k = np.zeros((2, 3, 5, 4)), np.zeros((2, 3, 7, 4))
    for whole in (mask, mask & masks.causal(), ~mask, mask | masks.window(2)):
        with pytest.raises(ValueError, match=rf"^attention: {says}"):
            at.attention(q, k, k, mask=whole, q_offset=2)
    with pytest.raises(ValueError, match=rf"^mask: {says}"):
        mask.dense(2, 3, 5, 7, q_offset=2)


@pytest.mark.parametrize("mask", [masks.blocks([[True]], 9), masks.documents([1] * 7)], ids=str)
def test_no_blocks_and_documents_before_the_first_key(mask):
    with pytest.raises(ValueError, match="q_offset is -1 but must be 0 or more"):
        mask.dense(1, 1, 5, 7, q_offset=-1)


@pytest.mark.parametrize(
    "mask",
    [
        masks.window(1),
        masks.strided(2),
        masks.global_tokens([0]),
        masks.blocks([[True]], 9),
        masks.documents([1] * 7),
        masks.longformer(1),
        masks.prefix(2) | ~masks.window(1),
    ],
    ids=str,
)
def test_positions_need_an_offset_where_lengths_differ(mask):
    q, k = np.zeros((1, 5, 4)), np.zeros((1, 7, 4))
    with pytest.raises(
        ValueError, match=r"^attention: a \w+ mask over 5 queries and 7 keys .*q_offset=0 .*q_offset=2 "
    ):
        at.attention(q, k, k, mask=mask)
    at.attention(q, k, k, mask=mask, q_offset=0)
    at.attention(k, k, k, mask=mask)
    for free in (masks.prefix(2), masks.lengths([3]), masks.dense(np.ones((5, 7), bool))):
        at.attention(q, k, k, mask=free)


def test_so_many_masks_and_no_more():
    one = masks.window(1)
    with pytest.raises(ValueError, match=r"at most 255 can be.*masks\.dense"):
        for _ in range(300):
            one = one | masks.causal()
    assert repr(one).count("causal") == 127
    np.testing.assert_array_equal(one.dense(1, 1, 9, 9)[0, 0], formula.window(9, 1, 9, 9))


def test_the_nesting_does_not_matter():
    parts = [masks.window(n, 0) & ~masks.window(n - 1, 0) for n in range(1, 40)]
    left = right = parts[0]
    for part in parts[1:]:
        left, right = left | part, part | right
    balanced = list(parts)
    while len(balanced) > 1:
        balanced = [a | b for a, b in zip(balanced[::2], balanced[1::2], strict=False)] + balanced[
            len(balanced) // 2 * 2 :
        ]
    expected = formula.window(39, 0, 60, 60) & ~np.eye(60, dtype=bool)
    for mask in (left, right, balanced[0]):
        np.testing.assert_array_equal(mask.dense(1, 1, 60, 60)[0, 0], expected)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(again):
    parts = masks.lengths([5, 9]) & ~(masks.window(3, 1) | masks.global_tokens([2])) | masks.prefix([1, 2])
    parts = parts & masks.documents([0] * 4 + [1] * 5) & masks.blocks([[True] * 3] * 3, 3)
    mask = parts | masks.strided(4) & masks.causal() | masks.dense(np.eye(9, dtype=bool)) | masks.prefix(1)
    other = again(mask)
    assert repr(other) == repr(mask)
    np.testing.assert_array_equal(other.dense(2, 1, 9, 9), mask.dense(2, 1, 9, 9))


def test_memory_stays_linear():
    """32768² entries would be a gigabyte."""
    q = np.random.default_rng(0).standard_normal((1, 32768, 2)).astype(np.float32)
    mask = (masks.window(8) | masks.global_tokens([5])) & masks.documents(np.arange(32768) // 1000)
    out = at.attention(q, q, q, mask=mask)
    rows = [0, 5, 999, 1000, 20000, 32767]
    for i in rows:
        j = np.arange(32768)
        allowed = ((abs(i - j) <= 8) | (i == 5) | (j == 5)) & (i // 1000 == j // 1000)
        one = at.attention(q[:, i : i + 1], q[:, allowed], q[:, allowed])
        assert_close(out[:, i], one[:, 0])


# -------------------------------------------------------------------------------------------------- drawing


def test_text():
    mask = masks.window(1, 0)
    assert mask.text(3) == "■ · ·\n■ ■ ·\n· ■ ■"
    assert mask.text(2, 3, q_offset=1) == "■ ■ ·\n· ■ ■"
    assert mask.text(4, max_size=2) == "▪ ·\n▪ ▪"
    assert masks.lengths([1, 2]).text(1, 2, batch_entry=1) == "■ ■"
    assert masks.blocks([[[True]], [[False]]], 2).text(head=1) == "· ·\n· ·"
    assert masks.dense([[True, False]]).text(1) == "■ ·"
    assert masks.dense([[True, False]]).text() == "■ ·\n■ ·"
    assert masks.dense([[True, False], [True, True], [False, False]]).text() == "■ ·\n■ ■\n· ·"


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 40), st.integers(0, 60))
def test_cells_hold_the_share_of_their_pairs(length, keys, most, width):
    cells = (masks.window(width) | masks.global_tokens([0]))._cells(length, keys, 0, 0, 0, most)
    dense = formula.window(width, width, length, keys) | formula.global_tokens([0], length, keys)
    assert cells.allowed == dense.sum() and max(cells.shares.shape) <= most
    for i, row in enumerate(cells.shares):
        for j, share in enumerate(row):
            part = dense[i * cells.side : (i + 1) * cells.side, j * cells.side : (j + 1) * cells.side]
            assert share == part.mean()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"length": 0}, ValueError, "length is 0 but must be 1 or more"),
        ({"length": 3, "keys": -1}, ValueError, "keys is -1"),
        ({"length": 2.5}, TypeError, "length is a float"),
        ({"length": 3, "max_size": 0}, ValueError, "max_size is 0"),
        ({"length": 9, "batch_entry": 2}, ValueError, "batch_entry is 2 but must be 0 to 1"),
        ({"length": 9, "head": 1}, ValueError, "head is 1 but must be 0 to 0"),
        ({"length": 4}, ValueError, "lengths holds 9 but must hold 0 to 4"),
        ({"length": 10**30}, ValueError, "length is 1000"),
    ],
)
def test_what_cannot_be_drawn(arguments, error, says):
    for draw in (masks.lengths([3, 9]).draw, masks.lengths([3, 9]).text):
        with pytest.raises(error, match=rf"^mask: {says}"):
            draw(**arguments)


def test_impossible_sizes_are_refused():
    for sizes in ((-1, 1, 1, 1), (1, 1, 2**50, 1), (2**39, 2**39, 2**39, 2**39)):
        with pytest.raises((ValueError, MemoryError)):
            masks.causal().dense(*sizes)


def test_what_would_take_minutes_to_draw_is_refused():
    with pytest.raises(ValueError, match="length is 1000000 but at most 131072 are drawn"):
        at.masks.causal().text(10**6)

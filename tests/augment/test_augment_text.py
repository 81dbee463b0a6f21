"""Tokens dropped, exchanged, hidden: how often, which ones, and what is never touched."""

import numpy as np
import pytest

import attendo as at

PAD, BEGIN, END = 0, 1, 2
SPECIAL = [BEGIN, END]


def batch(rows=400, length=20, seed=0, dtype=np.int64):
    """[BEGIN] words of 3 … 49 [END] padding: 4 to 17 words a row."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((rows, length), dtype=dtype)
    for row in ids:
        words = rng.integers(4, length - 2)
        row[: words + 2] = [BEGIN, *rng.integers(3, 50, words), END]
    return ids


def flipped(ids):
    """The same rows padded at the front."""
    out = np.zeros_like(ids)
    for new, row in zip(out, ids, strict=True):
        real = row[row != PAD]
        new[len(new) - len(real) :] = real
    return out


def words(ids):
    return [row[row > END].tolist() for row in ids]


AUGMENTATIONS = [
    at.augment.DropTokens(0.3, special=SPECIAL),
    at.augment.SwapTokens(0.3, special=SPECIAL),
    at.augment.MaskTokens(0.3, mask_id=77, special=SPECIAL),
]


@pytest.mark.parametrize("augment", AUGMENTATIONS, ids=repr)
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_shape_dtype_seed_and_what_was_given_stay(augment, dtype):
    ids, other, target = batch(dtype=dtype), np.ones(400), np.arange(400)
    ids.flags.writeable = False
    before = ids.copy()
    (out, same), (label,) = augment((ids, other), (target,), np.random.default_rng(5))
    assert out.shape == ids.shape and out.dtype == ids.dtype
    assert same is other and label is target
    np.testing.assert_array_equal(ids, before)
    assert (out != ids).any()
    (again, _), _ = augment((ids, other), (target,), np.random.default_rng(5))
    np.testing.assert_array_equal(out, again)
    (else_, _), _ = augment((ids, other), (target,), np.random.default_rng(6))
    assert (out != else_).any()


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("front", [False, True])
def test_special_tokens_and_padding_stay(kind, front):
    ids = flipped(batch()) if front else batch()
    (out,), _ = AUGMENTATIONS[kind]((ids,), (), np.random.default_rng(0))
    for new, old in zip(out, ids, strict=True):
        real = new[new != PAD]
        assert real[0] == BEGIN and real[-1] == END and ((new == BEGIN) | (new == END)).sum() == 2
        # One stretch of real tokens, on the side where it was.
        place = np.flatnonzero(new != PAD)
        assert (np.diff(place) == 1).all() and place[-1 if front else 0] == (19 if front else 0)
        if kind > 0:
            np.testing.assert_array_equal(new == PAD, old == PAD)


def test_drop_keeps_the_order_and_the_stated_share():
    ids = batch(4000)
    p = 0.4
    (out,), _ = at.augment.DropTokens(p, special=SPECIAL)((ids,), (), np.random.default_rng(0))
    before, after = words(ids), words(out)
    for new, old in zip(after, before, strict=True):
        left = iter(old)
        assert all(word in left for word in new) and new
    length = np.array([len(row) for row in before])
    expected = (length * (1 - p) + p**length).sum()
    spread = np.sqrt((length * p * (1 - p)).sum())
    assert abs(sum(map(len, after)) - expected) < 4 * spread


def test_drop_of_everything_leaves_one_word_each_with_the_same_chance():
    ids = np.tile(np.array([[BEGIN, 10, 11, 12, END, PAD]]), (3000, 1))
    (out,), _ = at.augment.DropTokens(1.0, special=SPECIAL)((ids,), (), np.random.default_rng(0))
    np.testing.assert_array_equal(out[:, [0, 2, 3, 4, 5]], np.tile([BEGIN, END, 0, 0, 0], (3000, 1)))
    counts = np.bincount(out[:, 1], minlength=13)[10:13]
    assert counts.sum() == 3000 and abs(counts - 1000).max() < 4 * np.sqrt(3000 * 2 / 9)


def test_swap_keeps_the_words_and_exchanges_the_stated_share():
    ids = np.tile(np.arange(3, 23), (5000, 1))
    (out,), _ = at.augment.SwapTokens(0.05)((ids,), (), np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(out, axis=1), ids)
    # One word is chosen: two words move. The chance that the word at a place is neither chosen nor met:
    untouched = (0.95 * (1 - 0.05 / 19) ** 19) ** 1
    assert abs((out == ids).mean() - untouched) < 0.004
    (all_moved,), _ = at.augment.SwapTokens(1.0)((np.array([[5, 6]]),), (), np.random.default_rng(0))
    np.testing.assert_array_equal(all_moved, [[5, 6]])  # exchanged twice
    (alone,), _ = at.augment.SwapTokens(1.0)((np.array([[5, 0]]),), (), np.random.default_rng(0))
    np.testing.assert_array_equal(alone, [[5, 0]])


def test_swap_meets_every_other_word_equally_often():
    ids = np.tile(np.array([[BEGIN, 10, 11, 12, 13, END]]), (40000, 1))
    (out,), _ = at.augment.SwapTokens(0.01, special=SPECIAL)((ids,), (), np.random.default_rng(0))
    moved = out[(out != ids).sum(axis=1) == 2]
    pairs = {}
    for row in moved:
        pair = tuple(np.flatnonzero(row != ids[0]))
        pairs[pair] = pairs.get(pair, 0) + 1
    assert len(pairs) == 6
    mean = len(moved) / 6
    assert all(abs(count - mean) < 5 * np.sqrt(mean) for count in pairs.values())


def test_mask_hides_the_stated_share():
    ids = batch(3000)
    (out,), _ = at.augment.MaskTokens(0.2, mask_id=77, special=SPECIAL)((ids,), (), np.random.default_rng(0))
    free = ids > END
    assert abs((out[free] == 77).mean() - 0.2) < 4 * np.sqrt(0.16 / free.sum())
    np.testing.assert_array_equal(out[out != 77], ids[out != 77])


def test_lists_of_words():
    rows = [["<s>", "the", "cat", "sat", "</s>"], [], ["dogs"]]
    rng = np.random.default_rng(0)
    special = ["<s>", "</s>"]
    for augment in (
        at.augment.DropTokens(0.9, special=special),
        at.augment.SwapTokens(0.9, special=special),
        at.augment.MaskTokens(0.9, mask_id="<unk>", special=special),
    ):
        (out,), _ = augment((rows,), (), rng)
        assert out[0][0] == "<s>" and out[0][-1] == "</s>" and out[1] == [] and len(out[2]) == 1
        assert all(isinstance(word, str) for row in out for word in row)
    assert rows[0] == ["<s>", "the", "cat", "sat", "</s>"]
    # Lists of ids have no padding: 0 is a token there, too.
    (out,), _ = at.augment.MaskTokens(1.0, mask_id=9, pad_id=None)(([[0, 5], [7]],), (), rng)
    assert out == [[9, 9], [9]]


def test_a_mask_or_lengths_say_what_is_padding_and_move_along():
    ids = batch(50) + 100  # 100 is the padding now, and pad_id is not looked for
    real = ids != 100
    rng = np.random.default_rng
    drop = at.augment.DropTokens(0.5, special=[101, 102], pad_id=100, mask=1)
    (out, moved), _ = drop((ids, real), (), rng(0))
    np.testing.assert_array_equal(moved, out != 100)
    assert moved.dtype == bool and moved.sum() < real.sum()
    lengths = real.sum(axis=1).astype(np.int32)
    drop = at.augment.DropTokens(0.5, special=[101, 102], pad_id=100, lengths=1)
    (same, fewer), _ = drop((ids, lengths), (), rng(0))
    np.testing.assert_array_equal(same, out)
    np.testing.assert_array_equal(fewer, moved.sum(axis=1))
    assert fewer.dtype == np.int32
    # An id that equals pad_id inside the sequence is a token where a mask says so.
    swap = at.augment.MaskTokens(1.0, mask_id=9, mask=1)
    (hidden, _), _ = swap((np.array([[0, 5, 0]]), np.array([[True, True, False]])), (), rng(0))
    np.testing.assert_array_equal(hidden, [[9, 9, 0]])


@pytest.mark.parametrize("augment", AUGMENTATIONS, ids=repr)
@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0), (2, 1)])
def test_empty_and_tiny_batches(augment, shape):
    (out,), _ = augment((np.full(shape, BEGIN),), (), np.random.default_rng(0))
    np.testing.assert_array_equal(out, np.full(shape, BEGIN))
    (padding,), _ = augment((np.zeros(shape, dtype=np.int64),), (), np.random.default_rng(0))
    assert not padding.any() and padding.shape == shape


def test_which_input():
    ids = batch()
    (a, b), _ = at.augment.MaskTokens(1.0, mask_id=9, input=1)((ids, ids), (), np.random.default_rng(0))
    assert a is ids and (b[ids != PAD] == 9).all()


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: at.augment.DropTokens(1.5), ValueError, "DropTokens: p is 1.5 but must be 0 to 1"),
        (lambda: at.augment.SwapTokens(float("nan")), ValueError, "p is nan"),
        (lambda: at.augment.MaskTokens("a", mask_id=1), ValueError, "MaskTokens: p is 'a'"),
        (lambda: at.augment.DropTokens(0.5, special="<s>"), TypeError, "special is one text"),
        (lambda: at.augment.DropTokens(0.5, mask=1, lengths=2), ValueError, "give one"),
        (lambda: at.augment.DropTokens(0.5, input=-1), ValueError, "input is -1"),
    ],
)
def test_bad_options(make, error, said):
    with pytest.raises(error, match=said):
        make()


@pytest.mark.parametrize(
    ("augment", "inputs", "error", "said"),
    [
        (at.augment.DropTokens(0.5), (np.zeros((2, 3)),), TypeError, "dtype float64 but must be integers"),
        (at.augment.DropTokens(0.5), (np.zeros(3, int),), ValueError, r"shape \(3,\) but must be \(B, L\)"),
        (
            at.augment.DropTokens(0.5, input=1),
            (np.zeros((2, 3), int),),
            ValueError,
            "input is 1 but there are 1",
        ),
        (at.augment.DropTokens(0.5), np.zeros((2, 3), int), TypeError, "must be a tuple of arrays"),
        (at.augment.DropTokens(0.5, pad_id=None), (np.ones((2, 3), int),), ValueError, "pad_id is None"),
        (at.augment.MaskTokens(0.5, 300), (np.ones((2, 3), np.int8),), ValueError, "int8 cannot hold"),
        (at.augment.MaskTokens(0.5, "<unk>"), (np.ones((2, 3), int),), TypeError, "ids are integers"),
        (
            at.augment.SwapTokens(0.5, mask=1),
            (np.ones((2, 3), int), np.ones((2, 3))),
            TypeError,
            "must be bool",
        ),
        (
            at.augment.SwapTokens(0.5, mask=1),
            (np.ones((2, 3), int), np.ones((2, 2), bool)),
            ValueError,
            r"\(2, 2\)",
        ),
        (
            at.augment.SwapTokens(0.5, lengths=1),
            (np.ones((2, 3), int), np.array([1, 4])),
            ValueError,
            "0 to 3",
        ),
        (at.augment.SwapTokens(0.5, lengths=1), (np.ones((2, 3), int), np.ones(2)), TypeError, "integers"),
        (
            at.augment.SwapTokens(0.5, lengths=1),
            (np.ones((2, 3), int), np.ones(3, int)),
            ValueError,
            r"\(2,\)",
        ),
        (at.augment.SwapTokens(0.5), (["words"],), TypeError, "holds a str"),
        (at.augment.SwapTokens(0.5, mask=1), ([["a"]], None), ValueError, "leave mask= and lengths= out"),
    ],
)
def test_bad_batches(augment, inputs, error, said):
    with pytest.raises(error, match=said):
        augment(inputs, (), np.random.default_rng(0))


def test_the_generator_is_a_generator():
    with pytest.raises(TypeError, match=r"DropTokens: rng is a int but must be a numpy\.random\.Generator"):
        at.augment.DropTokens(0.5)((np.ones((2, 3), int),), (), 3)

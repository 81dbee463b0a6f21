"""mask_tokens: what is chosen, what becomes of it, what is never touched."""

import numpy as np
import pytest

import attendo as at

IDS = np.random.default_rng(0).integers(0, 50, (200, 100))
SPECIAL = [0, 1, 2]


def test_shares():
    given, targets = at.text.mask_tokens(IDS, 50, 3, special=SPECIAL, seed=0)
    chosen = targets != -100
    open_ids = ~np.isin(IDS, [0, 1, 2, 3])
    assert abs(chosen[open_ids].mean() - 0.15) < 0.01 and not chosen[~open_ids].any()
    np.testing.assert_array_equal(targets[chosen], IDS[chosen])
    np.testing.assert_array_equal(given[~chosen], IDS[~chosen])
    assert abs((given[chosen] == 3).mean() - 0.8) < 0.03
    # A random word is the word itself once in 46 times.
    assert abs((given[chosen] == IDS[chosen]).mean() - (0.1 + 0.1 / 46)) < 0.02


def test_random_words_are_any_but_special():
    given, targets = at.text.mask_tokens(
        IDS, 50, 3, special=[0, 7, 49], seed=0, probability=1.0, masked=0.0, random=1.0
    )
    drawn = given[targets != -100]
    assert sorted(set(range(50)) - set(drawn)) == [0, 3, 7, 49]
    counts = np.bincount(drawn, minlength=50)
    assert counts[counts > 0].min() > 0.8 * counts.max()


@pytest.mark.parametrize("random", [0.0, 0.5])
def test_all_or_nothing(random):
    given, targets = at.text.mask_tokens(
        IDS, 50, 3, seed=0, probability=1.0, masked=1.0 - random, random=random
    )
    assert (targets[IDS != 3] != -100).all()
    if random == 0:
        assert (given == 3).all()
    given, targets = at.text.mask_tokens(IDS, 50, 3, seed=0, probability=0.0)
    np.testing.assert_array_equal(given, IDS)
    assert (targets == -100).all()


def test_the_seed_decides_and_ids_stay():
    before = IDS.copy()
    a, b = (at.text.mask_tokens(IDS, 50, 3, seed=1) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert (a[0] != at.text.mask_tokens(IDS, 50, 3, seed=2)[0]).any()
    rng = np.random.default_rng(1)
    first, second = (at.text.mask_tokens(IDS, 50, 3, seed=rng)[0] for _ in range(2))
    np.testing.assert_array_equal(first, a[0])
    assert (first != second).any()
    np.testing.assert_array_equal(IDS, before)
    assert a[0].dtype == a[1].dtype == np.int64


@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 0), (2, 3, 4)], ids=str)
def test_any_shape(shape):
    given, targets = at.text.mask_tokens(np.ones(shape, int), 5, 2, seed=0)
    assert given.shape == targets.shape == shape
    assert at.text.mask_tokens([], 5, 2, seed=0)[0].shape == (0,)


def test_another_ignore_index():
    _, targets = at.text.mask_tokens(IDS, 50, 3, seed=0, ignore_index=-1)
    assert targets.min() == -1


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"ids": [[1.5]]}, TypeError, "ids has dtype float64 but must be integers"),
        ({"ids": [[True]]}, TypeError, "ids has dtype bool"),
        ({"ids": [[50]]}, ValueError, "ids holds 50 but must hold 0 to 49"),
        ({"ids": [[-1]]}, ValueError, "ids holds -1"),
        ({"vocab_size": 0}, ValueError, "vocab_size is 0"),
        ({"mask_id": 50}, ValueError, "mask_id is 50 but must be 0 to 49"),
        ({"special": [-1]}, ValueError, "special holds -1"),
        ({"probability": 1.5}, ValueError, "probability is 1.5 but must be 0 to 1"),
        ({"masked": float("nan")}, ValueError, "masked is nan"),
        ({"masked": 0.9, "random": 0.2}, ValueError, "together more than 1"),
        ({"ignore_index": 4}, ValueError, "ignore_index is 4, which is a word"),
        ({"special": range(50)}, ValueError, "every id is special"),
    ],
)
def test_wrong_input(change, error, says):
    arguments = {"ids": IDS, "vocab_size": 50, "mask_id": 3, "seed": 0, **change}
    with pytest.raises(error, match=f"^mask_tokens: .*{says}"):
        at.text.mask_tokens(**arguments)

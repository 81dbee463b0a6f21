"""Published patterns, made of the kinds of masks there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsIndex

import numpy as np

from ._kinds import _integer, blocks, global_tokens, window
from ._mask import Mask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike


def longformer(window_size: SupportsIndex, global_indices: ArrayLike = (0,)) -> Mask:
    r"""The pattern of Longformer: a window around each position, and a few positions that see and are seen.

    Parameters
    ----------
    window_size : int
        Keys on either side, 0 or more. (The paper's w counts both sides.)
    global_indices : array_like of int, shape (n,)
        Global positions: a classification token, the tokens of a question.

    Returns
    -------
    Mask
        ``window(window_size) | global_tokens(global_indices)``.

    Raises
    ------
    TypeError, ValueError
        As :func:`window` and :func:`global_tokens`.

    Notes
    -----
    Cost: :math:`L\,(2 w + 2 g)` scores for g global positions that stand together; a global position of its
    own costs a tile of keys for all queries.

    References
    ----------
    Beltagy et al. 2020, "Longformer: the long-document transformer", §3.1.

    Examples
    --------
    >>> import attendo as at
    >>> at.masks.longformer(256)
    (window(256) | global_tokens([0]))

    Source: cpp/attention/mask_rule.cpp
    """
    return window(window_size) | global_tokens(global_indices)


def bigbird(
    length: SupportsIndex,
    block_size: SupportsIndex = 64,
    *,
    num_window_blocks: SupportsIndex = 3,
    num_global_blocks: SupportsIndex = 2,
    num_random_blocks: SupportsIndex = 3,
    seed: SupportsIndex = 0,
) -> Mask:
    r"""The pattern of Big Bird: blocks of a window, of global tokens, and at random.

    Parameters
    ----------
    length : int
        Positions, 1 or more: queries and keys.
    block_size : int
        1 or more.
    num_window_blocks : int
        Blocks of keys around each block of queries, its own with them: an odd number.
    num_global_blocks : int
        The first so many blocks see all and are seen by all.
    num_random_blocks : int
        Further blocks of keys for each block of queries, drawn without replacement from those it does not
        see yet.
    seed : int
        The same seed draws the same blocks, everywhere.

    Returns
    -------
    Mask
        :func:`blocks` with that layout.

    Raises
    ------
    TypeError
        When one is not an integer.
    ValueError
        When one is negative, length or block_size is 0, or num_window_blocks is even.

    Notes
    -----
    Cost: :math:`L\,b\,(w + g + r)` scores for blocks of b.

    References
    ----------
    Zaheer et al. 2020, "Big Bird: transformers for longer sequences", §2 and appendix D (its internal
    construction, ITC).

    Examples
    --------
    >>> import attendo as at
    >>> print(at.masks.bigbird(8, 1, num_global_blocks=1, num_random_blocks=1).text())
    ■ ■ ■ ■ ■ ■ ■ ■
    ■ ■ ■ ■ · · · ·
    ■ ■ ■ ■ ■ · · ·
    ■ · ■ ■ ■ · · ■
    ■ ■ · ■ ■ ■ · ·
    ■ · · · ■ ■ ■ ■
    ■ · · ■ · ■ ■ ■
    ■ · · · ■ · ■ ■

    Source: cpp/attention/mask_rule.cpp
    """
    size = _integer("bigbird", "block_size", block_size, 1)
    count = -(-_integer("bigbird", "length", length, 1) // size)
    around = _integer("bigbird", "num_window_blocks", num_window_blocks, 0)
    first = _integer("bigbird", "num_global_blocks", num_global_blocks, 0)
    drawn = _integer("bigbird", "num_random_blocks", num_random_blocks, 0)
    if around % 2 == 0:
        raise ValueError(
            f"bigbird: num_window_blocks is {around} but must be odd: a block and as many on each side"
        )
    if count > 2**15:
        raise ValueError(
            f"bigbird: length is {length}, which is {count} blocks, but 2^15 at most are supported"
        )
    block = np.arange(count)
    layout = np.abs(block[:, None] - block) <= around // 2
    layout[:first] = layout[:, :first] = True
    random = _random(_integer("bigbird", "seed", seed, 0))
    for row in layout:
        free = np.flatnonzero(~row)
        for n in range(min(drawn, free.size)):  # Fisher and Yates
            other = n + next(random) % (free.size - n)
            free[n], free[other] = free[other], free[n]
        row[free[:drawn]] = True
    return blocks(layout, size)


def _random(seed: int) -> Iterator[int]:
    """64 random bits again and again: SplitMix64 (Steele et al. 2014), the same on every machine."""
    most = 2**64 - 1
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & most
        bits = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & most
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & most
        yield bits ^ (bits >> 31)

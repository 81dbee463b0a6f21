"""Training pairs of a masked language model."""

from __future__ import annotations

from collections.abc import Iterable
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def _share(name: str, value: Any) -> float:
    share = float(value)
    if not 0 <= share <= 1:
        raise ValueError(f"mask_tokens: {name} is {value} but must be 0 to 1")
    return share


def mask_tokens(
    ids: ArrayLike,
    vocab_size: int,
    mask_id: int,
    *,
    special: Iterable[int] = (),
    seed: int | np.random.Generator | None,
    probability: float = 0.15,
    masked: float = 0.8,
    random: float = 0.1,
    ignore_index: int = -100,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hide some tokens, to be guessed from the others.

    Parameters
    ----------
    ids : array_like of int, shape (...)
        Tokens, 0 to vocab_size - 1. It is not changed.
    vocab_size : int
        Words to draw from.
    mask_id : int
        The id that stands for a hidden token.
    special : iterable of int
        Ids that are never chosen, and never put in place of another: padding, beginning, end. mask_id is one.
    seed : int, numpy.random.Generator or None
        Decides what is chosen; None is another choice each time.
    probability : float
        That a token is chosen.
    masked, random : float
        Of the chosen, the share that becomes mask_id, and the share that becomes any other word; the rest
        stays as it is. Both together are 1 at most.
    ignore_index : int
        Target where nothing was chosen.

    Returns
    -------
    ids : ndarray of int64, shape (...)
        With the chosen tokens replaced.
    targets : ndarray of int64, shape (...)
        What the chosen tokens were, ignore_index elsewhere: for
        ``attendo.losses.CrossEntropy(ignore_index=...)``.

    Raises
    ------
    ValueError
        When an id or a share is out of range, or ``random`` words are wanted and every id is special.
    TypeError
        When ids are not integers.

    Notes
    -----
    Each token is chosen for itself. Where an epoch shall hide other tokens than the one before, call it with
    one Generator for each.

    References
    ----------
    Devlin et al. 2019, "BERT", §3.1: 15 %, of which 80 % masked, 10 % random, 10 % kept.

    Examples
    --------
    >>> import attendo as at
    >>> ids = [[1, 14, 15, 16, 17, 18, 19, 2, 0]]
    >>> given, targets = at.text.mask_tokens(ids, 30, 3, special=[0, 1, 2], seed=1, probability=0.4)
    >>> given
    array([[ 1, 14,  3, 16,  3, 18, 19,  2,  0]])
    >>> targets
    array([[-100, -100,   15, -100,   17, -100, -100, -100, -100]])
    """
    given = np.asarray(ids)
    if given.size == 0 and given.dtype.kind == "f":  # an empty list
        given = given.astype(np.int64)
    if given.dtype.kind not in "iu":
        raise TypeError(f"mask_tokens: ids has dtype {given.dtype} but must be integers")
    words, mask, ignored = index(vocab_size), index(mask_id), index(ignore_index)
    if words < 1:
        raise ValueError(f"mask_tokens: vocab_size is {words} but must be 1 or more")
    kept = {mask, *(index(one) for one in special)}
    for name, value in [("mask_id", mask), *(("special", one) for one in sorted(kept))]:
        if not 0 <= value < words:
            holds = "is" if name == "mask_id" else "holds"
            raise ValueError(f"mask_tokens: {name} {holds} {value} but must be 0 to {words - 1}")
    if 0 <= ignored < words:
        raise ValueError(f"mask_tokens: ignore_index is {ignored}, which is a word")
    if given.size and not (given.min() >= 0 and given.max() < words):
        wrong = given.min() if given.min() < 0 else given.max()
        raise ValueError(f"mask_tokens: ids holds {wrong} but must hold 0 to {words - 1}")
    chance, hide, swap = (
        _share("probability", probability),
        _share("masked", masked),
        _share("random", random),
    )
    if hide + swap > 1 + 1e-12:
        raise ValueError(f"mask_tokens: masked is {masked} and random {random}, together more than 1")
    if swap > 0 and len(kept) >= words:
        raise ValueError("mask_tokens: every id is special, so there is no random one to take")

    rng = np.random.default_rng(seed)
    out = given.astype(np.int64)
    closed = np.array(sorted(kept))
    chosen = (rng.random(out.shape) < chance) & ~np.isin(out, closed)
    fate = rng.random(out.shape)
    targets = np.where(chosen, out, ignored)
    out[chosen & (fate < hide)] = mask
    swapped = chosen & (fate >= hide) & (fate < hide + swap)
    # The n-th word that is not special: as many special ones stand before it as are passed on the way.
    drawn = rng.integers(0, words - len(kept), out.shape) if words > len(kept) else out
    for one in closed:
        drawn = drawn + (drawn >= one)
    out[swapped] = drawn[swapped]
    return out, targets

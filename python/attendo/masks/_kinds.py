"""The kinds of masks that others are combined of: documented and checked here, computed by the core."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from .._core import MaskExpression
from ._mask import Mask, Natural, make

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Integers = NDArray[np.int64]

_FAR = 2**40  # positions are below it


def _integer(op: str, name: str, value: SupportsIndex, least: int) -> int:
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{op}: {name} is a {type(value).__name__} but must be an integer") from None
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{op}: {name} is {value} but must be an integer")
    if not least <= number <= _FAR:
        raise ValueError(f"{op}: {name} is {number} but must be {least} or more, and 2^40 at most")
    return number


def _integers(op: str, name: str, values: ArrayLike, least: int | None, what: str, axes: int = 1) -> Integers:
    array = np.asarray(values)
    if array.size == 0 and array.dtype == np.float64 and not isinstance(values, np.ndarray):
        array = array.astype(np.int64)  # an empty list
    if array.dtype.kind not in "iu":
        raise TypeError(f"{op}: {name} has dtype {array.dtype} but must be integers")
    if not 1 <= array.ndim <= axes:
        raise ValueError(f"{op}: {name} has shape {array.shape} but must have {what}")
    if array.size and least is not None:
        if int(array.min()) < least:
            raise ValueError(f"{op}: {name} holds {array.min()} but must hold {least} or more")
        if int(array.max()) > _FAR:
            raise ValueError(f"{op}: {name} holds {array.max()} but must hold 2^40 at most")
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"{op}: {name} holds {array.max()}, which does not fit int64")
    return np.array(array, dtype=np.int64, order="C")


def _bools(op: str, name: str, values: ArrayLike, hint: str = "") -> NDArray[np.bool_]:
    array: NDArray[Any] = np.array(values, order="C")
    if array.dtype != np.bool_:
        raise TypeError(f"{op}: {name} has dtype {array.dtype} but must be bool (True = may attend){hint}")
    return array


def causal() -> Mask:
    r"""Each query sees the keys up to its own position: :math:`j \le i + \text{q\_offset}`.

    Returns
    -------
    Mask
        Where there are as many queries as keys, ``q_offset`` is 0. Otherwise it must be given to the call: a
        causal mask over unequal lengths has two readings.

    Examples
    --------
    >>> import attendo as at
    >>> at.masks.causal().dense(1, 1, 2, 4, q_offset=2)[0, 0].astype(int)
    array([[1, 1, 1, 0],
           [1, 1, 1, 1]])

    Source: cpp/attention/mask_rule.cpp
    """
    return _CAUSAL


_CAUSAL = make(MaskExpression.causal(), "causal()", Natural(), causal)  # masks do not change: one will do


def lengths(lengths: ArrayLike) -> Mask:
    r"""Keys from ``lengths[b]`` on are padding of batch entry ``b``.

    Parameters
    ----------
    lengths : array_like of int, shape (batch,)
        How many keys of each batch entry are real, 0 or more.

    Returns
    -------
    Mask
        Lets every query of entry b see the keys :math:`j < \text{lengths}_b`.

    Raises
    ------
    TypeError
        When they are not integers.
    ValueError
        When they are not one-dimensional or one is negative; at the call, when there is not one for each
        batch entry, or one is above the number of keys.

    Examples
    --------
    >>> import attendo as at
    >>> at.masks.lengths([1, 3]).dense(2, 1, 1, 3)[:, 0, 0].astype(int)
    array([[1, 0, 0],
           [1, 1, 1]])

    Source: cpp/attention/mask_rule.cpp
    """
    array = _integers("lengths", "lengths", lengths, 0, "one axis (batch,)")
    natural = Natural(batch=array.size, hint=int(array.max(initial=0)))
    return make(MaskExpression.lengths(array), f"lengths({array.tolist()})", natural, _lengths, array)


def window(left: SupportsIndex, right: SupportsIndex | None = None) -> Mask:
    r"""Each query sees the keys at most ``left`` before and ``right`` behind its own position.

    :math:`p - \text{left} \le j \le p + \text{right}` for the query at position
    :math:`p = i + \text{q\_offset}`.

    Parameters
    ----------
    left : int
        0 or more.
    right : int, optional
        0 or more; as ``left`` when not given.

    Returns
    -------
    Mask
        ``window(w) & causal()``, or ``window(w, 0)``, is the sliding window of language models: the query
        and the w keys before it.

    Raises
    ------
    TypeError
        When one is not an integer.
    ValueError
        When one is negative; at the call, when L and S differ and ``q_offset`` is not given.

    Notes
    -----
    Attention then costs :math:`L\,(\text{left} + \text{right})` scores, not :math:`L S`, forward and
    backward: keys outside the window are never read.

    References
    ----------
    Beltagy et al. 2020, "Longformer", §3.1; Child et al. 2019.

    Examples
    --------
    >>> import attendo as at
    >>> print(at.masks.window(2, 0).text(5))
    ■ · · · ·
    ■ ■ · · ·
    ■ ■ ■ · ·
    · ■ ■ ■ ·
    · · ■ ■ ■

    Source: cpp/attention/mask_rule.cpp
    """
    before = _integer("window", "left", left, 0)
    behind = before if right is None else _integer("window", "right", right, 0)
    text = f"window({before})" if right is None or before == behind else f"window({before}, {behind})"
    natural = Natural(hint=min(4 * (max(before, behind) + 1), 2**16))
    return make(MaskExpression.window(before, behind), text, natural, window, before, behind)


def strided(stride: SupportsIndex) -> Mask:
    r"""Each query sees the keys a multiple of ``stride`` away: :math:`(p - j) \bmod \text{stride} = 0`.

    Parameters
    ----------
    stride : int
        1 or more.

    Returns
    -------
    Mask
        ``window(stride) | strided(stride)``, causal, is the strided pattern of the Sparse Transformer;
        ``window(d * w) & strided(d)`` a window of dilation d.

    Raises
    ------
    TypeError
        When it is not an integer.
    ValueError
        When it is below 1; at the call, when L and S differ and ``q_offset`` is not given.

    Notes
    -----
    Keys come in tiles, and a small stride leaves none of them empty: this mask alone saves nothing.

    References
    ----------
    Child et al. 2019, "Generating long sequences with sparse transformers", §4.3; Beltagy et al. 2020, §3.1
    (dilation).

    Examples
    --------
    >>> import attendo as at
    >>> print((at.masks.strided(2) & at.masks.causal()).text(4))
    ■ · · ·
    · ■ · ·
    ■ · ■ ·
    · ■ · ■

    Source: cpp/attention/mask_rule.cpp
    """
    number = _integer("strided", "stride", stride, 1)
    natural = Natural(hint=min(4 * number, 2**16))
    return make(MaskExpression.strided(number), f"strided({number})", natural, strided, number)


def prefix(n: SupportsIndex | ArrayLike) -> Mask:
    r"""Everybody sees the first keys: :math:`j < n_b`.

    Parameters
    ----------
    n : int or array_like of int, shape (batch,)
        How many; more than there are keys means all.

    Returns
    -------
    Mask
        ``causal() | prefix(n)`` is the mask of a prefix language model: the prefix sees all of itself, what
        comes after is causal.

    Raises
    ------
    TypeError
        When it is not made of integers.
    ValueError
        When one is negative; at the call, when there is neither one nor one for each batch entry.

    References
    ----------
    Raffel et al. 2020, "Exploring the limits of transfer learning", §3.2.1.

    Examples
    --------
    >>> import attendo as at
    >>> print((at.masks.causal() | at.masks.prefix(2)).text(4))
    ■ ■ · ·
    ■ ■ · ·
    ■ ■ ■ ·
    ■ ■ ■ ■

    Source: cpp/attention/mask_rule.cpp
    """
    one = np.ndim(n) == 0  # type: ignore[arg-type]
    array = (
        np.array([_integer("prefix", "n", n, 0)])  # type: ignore[arg-type]
        if one
        else _integers("prefix", "n", n, 0, "one axis (batch,), or be one number")  # type: ignore[arg-type]
    )
    natural = Natural(batch=array.size if not one else 0, hint=min(2 * int(array.max(initial=0)), 2**16))
    text = f"prefix({array[0] if one else array.tolist()})"
    return make(MaskExpression.prefix(array), text, natural, prefix, int(array[0]) if one else array)


def global_tokens(indices: ArrayLike) -> Mask:
    """Some positions see every key and are seen by every query.

    Parameters
    ----------
    indices : array_like of int, shape (n,)
        The positions, 0 or more, in any order. Queries and keys count alike.

    Returns
    -------
    Mask
        Usually joined with a window: ``window(w) | global_tokens([0])``; see :func:`longformer`.

    Raises
    ------
    TypeError
        When they are not integers.
    ValueError
        When one is negative or they are not one-dimensional; at the call, when one is beyond the positions
        there are, or L and S differ and ``q_offset`` is not given.

    References
    ----------
    Beltagy et al. 2020, "Longformer", §3.1 (with one projection for both kinds of scores).

    Examples
    --------
    >>> import attendo as at
    >>> print(at.masks.global_tokens([1]).text(3))
    · ■ ·
    ■ ■ ■
    · ■ ·

    Source: cpp/attention/mask_rule.cpp
    """
    array = _integers("global_tokens", "indices", indices, 0, "one axis")
    natural = Natural(hint=min(int(array.max(initial=0)) + 1, 2**16))
    expression = MaskExpression.global_tokens(array)
    return make(expression, f"global_tokens({_short(array)})", natural, global_tokens, array)


def blocks(layout: ArrayLike, block_size: SupportsIndex) -> Mask:
    r"""A layout of square blocks: query at position p sees key j when ``layout[p // size, j // size]``.

    Parameters
    ----------
    layout : array_like of bool, shape (nQ, nK) or (H, nQ, nK)
        Which blocks may attend; with an axis of heads, each head has its own. Copied.
    block_size : int
        Queries and keys of a block, 1 or more; 64 and above are fast, since whole tiles are skipped.

    Returns
    -------
    Mask

    Raises
    ------
    TypeError
        When the layout is not bool or the size not an integer.
    ValueError
        When the layout has not two or three axes, or the size is below 1; at the call, when the layout
        covers less than the positions, has another number of heads, or L and S differ and ``q_offset`` is not
        given.

    References
    ----------
    Child et al. 2019; Zaheer et al. 2020, "Big Bird", appendix D.

    Examples
    --------
    >>> import attendo as at
    >>> print(at.masks.blocks([[True, False], [True, True]], block_size=2).text())
    ■ ■ · ·
    ■ ■ · ·
    ■ ■ ■ ■
    ■ ■ ■ ■

    Source: cpp/attention/mask_rule.cpp
    """
    array = _bools("blocks", "layout", layout)
    size = _integer("blocks", "block_size", block_size, 1)
    expression = MaskExpression.blocks(array, size)
    heads = array.shape[0] if array.ndim == 3 else 0
    natural = Natural(heads=heads, length=array.shape[-2] * size, keys=array.shape[-1] * size)
    return make(expression, f"blocks(shape={array.shape}, block_size={size})", natural, blocks, array, size)


def documents(ids: ArrayLike) -> Mask:
    r"""Each query sees the keys of its own document: :math:`\text{ids}_p = \text{ids}_j`.

    Parameters
    ----------
    ids : array_like of int, shape (S,) or (batch, S)
        To which document each position belongs: any numbers, equal within one. In order they are fastest.

    Returns
    -------
    Mask
        ``documents(ids) & causal()`` trains a language model on several documents in one row.

    Raises
    ------
    TypeError
        When they are not integers.
    ValueError
        When they have not one or two axes; at the call, when there is not one for each position or a row for
        each batch entry, or L and S differ and ``q_offset`` is not given.

    Examples
    --------
    >>> import attendo as at
    >>> print((at.masks.documents([7, 7, 9, 9]) & at.masks.causal()).text())
    ■ · · ·
    ■ ■ · ·
    · · ■ ·
    · · ■ ■

    Source: cpp/attention/mask_rule.cpp
    """
    array = _integers("documents", "ids", ids, None, "one axis (S,) or two (batch, S)", axes=2)
    positions = array.shape[-1]
    natural = Natural(batch=array.shape[0] if array.ndim == 2 else 0, length=positions, keys=positions)
    return make(MaskExpression.documents(array), f"documents({_short(array)})", natural, documents, array)


def dense(array: ArrayLike) -> Mask:
    """A mask written out.

    Parameters
    ----------
    array : array_like of bool, broadcastable to (batch, heads, L, S)
        True where the query may attend to the key. Copied.

    Returns
    -------
    Mask

    Raises
    ------
    ValueError
        At the call, when it does not broadcast to the weights.
    TypeError
        When it is not bool: numbers to be added to the scores go to ``bias=``.

    Examples
    --------
    >>> import attendo as at
    >>> ~at.masks.dense([[True, False]])
    ~dense(shape=(1, 2))

    Source: cpp/attention/mask_rule.cpp
    """
    out = _bools("dense", "array", array, "; numbers to be added to the scores go to bias=")
    sizes = [0 if n == 1 else n for n in (1, 1, 1, 1, *out.shape)[-4:]]
    return make(MaskExpression.dense(out), f"dense(shape={out.shape})", Natural(*sizes), dense, out)


def _lengths(array: Integers) -> Mask:  # the parameter of `lengths` hides the function of that name
    return lengths(array)


def _short(array: Integers) -> str:
    return str(array.tolist()) if array.size <= 8 else f"<{' x '.join(map(str, array.shape))} integers>"

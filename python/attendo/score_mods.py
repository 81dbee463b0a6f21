r"""Score modifications: what becomes of each score before the softmax, as a function.

``at.attention(q, k, v, score_mod=f)`` replaces the score s of a query and a key by ``f(s, b, h, i, j)``: b is
the batch entry (all batch axes counted through as one), h the query head, i the query's position (row +
``q_offset``) and j the key's. The function is called once, on symbols; what it computes becomes a short
program that runs inside the attention kernel, forward and backward, without an array of L × S anywhere.

>>> import numpy as np
>>> import attendo as at
>>> q = k = v = np.random.default_rng(0).standard_normal((2, 4, 6, 8))
>>> slopes = 2.0 ** -np.arange(1, 5)
>>> out = at.attention(q, k, v, score_mod=lambda s, b, h, i, j: s - slopes[h] * abs(i - j))

It may use ``+ - * / // % **``, comparisons, ``& | ~``, ``abs``, and of NumPy ``where``, ``exp``, ``log``,
``tanh``, ``sqrt``, ``minimum``, ``maximum``, ``clip``, ``floor`` and the like; numbers; and entries of arrays
and Tensors, looked up at whole numbers made of b, h, i and j by NumPy's rules (negative counts from the end).
Gradients flow to the scores and to the Tensors. What cannot be traced (``if``, ``math.exp``, a whole array)
is an error that says why; ``bias=`` takes any numbers.

A score of -inf masks. A masked pair is left out whatever the function makes of it. Masks are better given as
``mask=``: blocks they empty are not computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from . import _score_trace
from ._core import Tensor
from ._functional.t5_bias import t5_buckets

__all__ = ["alibi", "captured", "relative", "softcap", "t5_bias"]

ScoreMod: TypeAlias = Callable[[Any, Any, Any, Any, Any], Any]


def alibi(slopes: Any) -> ScoreMod:
    r"""Attention with linear biases: :math:`s - m_h\, |i - j|`.

    The same scores as ``bias=at.functional.alibi(…)``, without the array of them.

    Parameters
    ----------
    slopes : array_like or Tensor, shape (H,)
        Usually :func:`attendo.functional.alibi_slopes`. A Tensor that requires a gradient gets one.

    Returns
    -------
    function of (s, b, h, i, j)

    Raises
    ------
    ValueError
        When slopes has not one axis.
    TypeError
        When they are not numbers.

    References
    ----------
    Press et al. 2022, "Train short, test long", §3.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> q = np.random.default_rng(0).standard_normal((4, 6, 8))
    >>> slopes = at.functional.alibi_slopes(4, dtype="float64")
    >>> out = at.attention(q, q, q, score_mod=at.score_mods.alibi(slopes))
    >>> bool(np.allclose(out, at.attention(q, q, q, bias=at.functional.alibi(slopes, 6))))
    True

    Source: cpp/attention/score_program.cpp
    """
    table = captured(slopes)
    if len(table.shape) != 1:
        raise ValueError(f"alibi: slopes has shape {tuple(table.shape)} but must have one axis (H,)")

    def mod(s: Any, b: Any, h: Any, i: Any, j: Any) -> Any:
        return s - table[h] * abs(i - j)

    return mod


def captured(array: Any) -> Any:
    """Make an array ready to be looked up in a score_mod.

    Arrays and Tensors that a function reaches as a variable need no such thing, nor those in a list or dict
    of up to 100. One that is an attribute of an object does: it is not seen.

    Parameters
    ----------
    array : ndarray or Tensor
        Floats, whole numbers or bool.

    Returns
    -------
    object
        Acts as the array, and also takes the symbols of a score_mod between its brackets.

    Raises
    ------
    TypeError
        When no array can be made of it.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> import attendo as at
    >>> tables = SimpleNamespace(near=at.score_mods.captured(np.array([0.5, 0.25])))
    >>> q = np.eye(2)
    >>> at.attention(q, q, q, score_mod=lambda s, b, h, i, j: s + tables.near[abs(i - j)]).round(2)
    array([[0.72, 0.28],
           [0.28, 0.72]])

    Source: cpp/attention/score_program.cpp
    """
    if not isinstance(array, Tensor):
        array = np.asarray(array)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"captured: array has dtype {array.dtype} but must hold numbers or bool")
    return _score_trace.Captured(array, "captured")


def softcap(cap: float) -> ScoreMod:
    r"""Keep scores within ±cap, smoothly: :math:`c \tanh(s / c)`.

    The same as ``softcap=`` of :func:`attendo.attention`, for use inside another score_mod.

    Parameters
    ----------
    cap : float
        Above 0.

    Returns
    -------
    function of (s, b, h, i, j)

    Raises
    ------
    ValueError
        When cap is not a finite number above 0.

    References
    ----------
    Gemma Team 2024, "Gemma 2", §2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> q = np.array([[3.0], [100.0]])
    >>> capped = at.attention(q, q, q, score_mod=at.score_mods.softcap(5.0))
    >>> bool(np.allclose(capped, at.attention(q, q, q, softcap=5.0)))
    True

    Source: cpp/attention/score_program.cpp
    """
    cap = float(cap)
    if not (0 < cap < math.inf):
        raise ValueError(f"softcap: cap is {cap} but must be a finite number above 0")

    def mod(s: Any, b: Any, h: Any, i: Any, j: Any) -> Any:
        return cap * np.tanh(s / cap)

    return mod


def relative(table: Any) -> ScoreMod:
    r"""Add a number that depends on how far the key is from the query: :math:`s + t_{h,\,\mathrm{clip}(j - i,
    -R, R) + R}`.

    Parameters
    ----------
    table : ndarray or Tensor, shape (H, 2 R + 1) or (2 R + 1,)
        What to add, for distances j - i from -R to R; those farther count as -R or R. A Tensor that requires
        a gradient gets one.

    Returns
    -------
    function of (s, b, h, i, j)

    Raises
    ------
    TypeError
        When table is neither an array nor a Tensor.
    ValueError
        When it has not one or two axes or an even number of distances.

    References
    ----------
    Raffel et al. 2020, "T5", §2.1.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> q = np.zeros((3, 2))
    >>> _, weights = at.attention(
    ...     q, q, q, score_mod=at.score_mods.relative(np.log([1.0, 2.0, 1.0])), return_weights=True
    ... )
    >>> weights
    array([[0.5 , 0.25, 0.25],
           [0.25, 0.5 , 0.25],
           [0.25, 0.25, 0.5 ]])

    Source: cpp/attention/score_program.cpp
    """
    look_up = captured(table)
    shape = tuple(look_up.shape)
    if len(shape) not in (1, 2) or shape[-1] % 2 == 0:
        raise ValueError(f"relative: table has shape {shape} but must be (H, 2 R + 1) or (2 R + 1,)")
    reach = shape[-1] // 2

    def mod(s: Any, b: Any, h: Any, i: Any, j: Any) -> Any:
        distance = np.clip(j - i, -reach, reach) + reach
        return s + (look_up[distance] if len(shape) == 1 else look_up[h, distance])

    return mod


def t5_bias(table: Any, *, bidirectional: bool = True, max_distance: int = 128) -> ScoreMod:
    r"""T5's relative position bias: a number for each head and bucket of distances is added.

    The same scores as ``bias=at.functional.t5_bias(…)``, without the array of them.

    Parameters
    ----------
    table : ndarray or Tensor, shape (num_buckets, H)
        What to add. A Tensor that requires a gradient gets one.
    bidirectional : bool
        Keys after the query have buckets of their own; otherwise they count as distance 0.
    max_distance : int
        From there on all distances share the last bucket.

    Returns
    -------
    function of (s, b, h, i, j)

    Raises
    ------
    ValueError
        When table has not two axes or too few buckets; when max_distance is not above the distances with a
        bucket of their own.
    TypeError
        When table is neither an array nor a Tensor.

    References
    ----------
    Raffel et al. 2020, "T5", §2.1.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> rng = np.random.default_rng(0)
    >>> q, table = rng.standard_normal((4, 6, 8)), rng.standard_normal((32, 4))
    >>> out = at.attention(q, q, q, score_mod=at.score_mods.t5_bias(table))
    >>> bool(np.allclose(out, at.attention(q, q, q, bias=at.functional.t5_bias(table, 6))))
    True

    Source: cpp/attention/score_program.cpp
    """
    look_up = captured(table)
    if len(look_up.shape) != 2:
        raise ValueError(f"t5_bias: table has shape {tuple(look_up.shape)} but must be (num_buckets, H)")
    distances = np.arange(-max_distance, max_distance + 1)
    buckets = captured(
        t5_buckets(
            distances,
            num_buckets=int(look_up.shape[0]),
            bidirectional=bidirectional,
            max_distance=max_distance,
        )
    )

    def mod(s: Any, b: Any, h: Any, i: Any, j: Any) -> Any:
        return s + look_up[buckets[np.clip(j - i, -max_distance, max_distance) + max_distance], h]

    return mod

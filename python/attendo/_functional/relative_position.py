"""Attention with relative position representations."""

from typing import TYPE_CHECKING, Any, Literal, overload

from .. import _core

if TYPE_CHECKING:
    from .._core import Generator
    from .._typing import MaskLike, TensorLike


@overload
def relative_position(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    key_table: "TensorLike",
    value_table: "TensorLike | None" = None,
    *,
    mask: "MaskLike | None" = None,
    bias: "TensorLike | None" = None,
    scale: float | None = None,
    dropout: float = 0.0,
    generator: "Generator | None" = None,
    q_offset: int | None = None,
    return_weights: Literal[False] = False,
) -> Any: ...
@overload
def relative_position(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    key_table: "TensorLike",
    value_table: "TensorLike | None" = None,
    *,
    mask: "MaskLike | None" = None,
    bias: "TensorLike | None" = None,
    scale: float | None = None,
    dropout: float = 0.0,
    generator: "Generator | None" = None,
    q_offset: int | None = None,
    return_weights: Literal[True],
) -> tuple[Any, Any]: ...
def relative_position(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    key_table: "TensorLike",
    value_table: "TensorLike | None" = None,
    *,
    mask: "MaskLike | None" = None,
    bias: "TensorLike | None" = None,
    scale: float | None = None,
    dropout: float = 0.0,
    generator: "Generator | None" = None,
    q_offset: int | None = None,
    return_weights: bool = False,
) -> Any:
    r"""Attention in which keys and values know how far they stand from the query.

    Parameters
    ----------
    q : array_like or Tensor, shape (..., H, L, D)
        Queries, float32 or float64.
    k : array_like or Tensor, shape (..., Hkv, S, D)
        Keys. H is a multiple of Hkv; query head h reads key head ``h // (H // Hkv)``.
    v : array_like or Tensor, shape (..., Hkv, S, Dv)
        Values.
    key_table : array_like or Tensor, shape (2c + 1, D) or (H, 2c + 1, D)
        Added to the keys: row c is that of a key at the query's own place, row 0 of one c or more before it,
        the last of one c or more after it. One for all heads, or one a head.
    value_table : array_like or Tensor, shape (2c + 1, Dv) or (H, 2c + 1, Dv), optional
        Likewise for the values; c may be another.
    mask : Mask or array_like of bool, broadcastable to (..., H, L, S), optional
        **True = may attend.** See :mod:`attendo.masks`.
    bias : array_like or Tensor, broadcastable to (..., H, L, S), optional
        Added to the scaled scores.
    scale : float, optional
        Multiplies the scores; :math:`1/\sqrt{D}` when not given.
    dropout : float
        Probability of dropping a weight, 0 or more and below 1. Needs ``generator``.
    generator : Generator, optional
        Where the random bits come from.
    q_offset : int, optional
        Position of the first query among the keys. Needed when L and S differ.
    return_weights : bool
        Return the weights as well. The output does not change, to the bit.

    Returns
    -------
    out : ndarray or Tensor, shape (..., H, L, Dv)
    weights : ndarray or Tensor, shape (..., H, L, S)
        Only with ``return_weights``: after softmax, before dropout.

    Raises
    ------
    ValueError
        As :func:`attendo.attention`; and when a table has an even number of rows or does not fit the
        features or the heads, or q_offset is missing where L and S differ.
    TypeError
        When a dtype is not float32 or float64, dtypes differ, or ``mask`` is not bool.

    Notes
    -----
    With :math:`e(i,j) = \mathrm{clip}(j - i - \text{q\_offset}, -c, c) + c`

    .. math::

        s_{ij} = \text{scale}\; q_i \cdot (k_j + a_{e(i,j)}), \qquad P_i = \mathrm{softmax}(s_i), \qquad
        o_i = \sum_j P_{ij}\, (v_j + a'_{e(i,j)})

    and backwards, besides the gradients of :func:`attendo.attention`, with
    :math:`dP_{ij} = do_i \cdot (v_j + a'_{e(i,j)})` where there is a value table,

    .. math::

        dq_i \mathrel{+}= \text{scale} \sum_j dS_{ij}\, a_{e(i,j)}, \quad
        da_e = \text{scale} \sum_{i,j:\ e(i,j) = e} dS_{ij}\, q_i, \quad
        da'_e = \sum_{i,j:\ e(i,j) = e} P_{ij}\, do_i

    Cost beyond attention's: :math:`H L (2c + 1)(D + D_v)` multiply-adds, as queries meet each row of the
    table once; the kernel looks up their products. Memory: those H L (2c + 1) numbers, and with a value
    table the H L S weights, which attention alone does not keep.

    References
    ----------
    Shaw et al. 2018, "Self-attention with relative position representations", eq. 3 and 4. There the tables
    are shared by the heads.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> q = np.ones((3, 1))
    >>> table = np.array([[0.0], [50.0], [0.0]])  # a key at the query's own place scores 50 more
    >>> at.functional.relative_position(q, q, [[1.0], [2.0], [3.0]], table).round(3)
    array([[1.],
           [2.],
           [3.]])

    Source: cpp/attention/relative_position.cpp
    """
    return _core.relative_position(
        q, k, v, key_table, value_table, mask, bias, scale, dropout, generator, q_offset, return_weights
    )

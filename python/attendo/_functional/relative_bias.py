"""Values by the distance of a key from its query."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def relative_bias(
    table: "Tensor",
    length: int,
    keys: int | None = None,
    *,
    q_offset: int | None = None,
    zero: int | None = None,
) -> "Tensor": ...
@overload
def relative_bias(
    table: "ArrayLike",
    length: int,
    keys: int | None = None,
    *,
    q_offset: int | None = None,
    zero: int | None = None,
) -> "FloatArray": ...
def relative_bias(
    table: "TensorLike",
    length: int,
    keys: int | None = None,
    *,
    q_offset: int | None = None,
    zero: int | None = None,
) -> "Tensor | FloatArray":
    r"""Spread a table of values by relative position to a bias for attention.

    Parameters
    ----------
    table : array_like or Tensor, shape (..., R)
        A value for each distance j - i of a key from its query, in rising order; usually ``...`` is H.
    length, keys : int
        Queries L and keys S; as many keys as queries when not given.
    q_offset : int, optional
        Position of the first query among the keys. Needed when L and S differ.
    zero : int, optional
        The entry of distance 0; the middle one when not given. Distances beyond the table read its ends.

    Returns
    -------
    ndarray or Tensor, shape (..., L, S)

    Raises
    ------
    ValueError
        When table is empty or has no middle and zero is not given; when zero or a length is out of range;
        when q_offset is missing where L and S differ.
    TypeError
        When table is neither float32 nor float64.

    Notes
    -----
    .. math::

        b_{ij} = t_{e(i,j)}, \quad e(i,j) = \mathrm{clip}(\text{zero} + j - i - \text{q\_offset},\ 0,\ R - 1),
        \qquad dt_e = \sum_{i,j:\ e(i,j) = e} db_{ij}

    Cost: the copies. The backward pass sums along the diagonals, in a fixed order and in float64.

    References
    ----------
    Shaw et al. 2018, eq. 4.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.relative_bias([-1.0, 0.0, 1.0], 4)
    array([[ 0.,  1.,  1.,  1.],
           [-1.,  0.,  1.,  1.],
           [-1., -1.,  0.,  1.],
           [-1., -1., -1.,  0.]])

    Source: cpp/attention/relative_bias.cpp
    """
    return _core.relative_bias(table, length, keys, q_offset, zero)


@overload
def relative_shift(
    x: "Tensor", keys: int | None = None, *, q_offset: int | None = None, zero: int | None = None
) -> "Tensor": ...
@overload
def relative_shift(
    x: "ArrayLike", keys: int | None = None, *, q_offset: int | None = None, zero: int | None = None
) -> "FloatArray": ...
def relative_shift(
    x: "TensorLike", keys: int | None = None, *, q_offset: int | None = None, zero: int | None = None
) -> "Tensor | FloatArray":
    r"""Shift each query's values by distance to its values by key.

    Parameters
    ----------
    x : array_like or Tensor, shape (..., L, R)
        For each query a value for each distance j - i, in rising order.
    keys : int, optional
        Keys S; as many as queries when not given.
    q_offset : int, optional
        Position of the first query among the keys. Needed when L and S differ.
    zero : int, optional
        The entry of distance 0; the middle one when not given. Distances beyond the row read its ends.

    Returns
    -------
    ndarray or Tensor, shape (..., L, S)

    Raises
    ------
    ValueError
        When x has fewer than two axes, is empty in the last, or has no middle there and zero is not given;
        when zero or keys is out of range; when q_offset is missing where L and S differ.
    TypeError
        When x is neither float32 nor float64.

    Notes
    -----
    .. math::

        y_{ij} = x_{i,\,e(i,j)}, \quad
        e(i,j) = \mathrm{clip}(\text{zero} + j - i - \text{q\_offset},\ 0,\ R - 1), \qquad
        dx_{ie} = \sum_{j:\ e(i,j) = e} dy_{ij}

    Products of L queries with R distances, L R of them, become the scores of L S pairs: no vector is looked
    up for each pair. Cost: the copies.

    References
    ----------
    Huang et al. 2019, "Music Transformer", §3.4.1 (the skewing). Dai et al. 2019, appendix B.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.relative_shift([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    array([[2., 3.],
           [4., 5.]])

    Source: cpp/attention/relative_bias.cpp
    """
    return _core.relative_shift(x, keys, q_offset, zero)

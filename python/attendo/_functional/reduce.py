"""Reductions."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import Axis, FloatArray, TensorLike


@overload
def sum(x: "Tensor", axis: "Axis" = None, keepdims: bool = False) -> "Tensor": ...
@overload
def sum(x: "ArrayLike", axis: "Axis" = None, keepdims: bool = False) -> "FloatArray": ...
def sum(x: "TensorLike", axis: "Axis" = None, keepdims: bool = False) -> "Tensor | FloatArray":
    r"""Sum over axes.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32 or float64.
    axis : int or sequence of int, optional
        The axes to go over; all when not given.
    keepdims : bool
        Keep them with length 1.

    Returns
    -------
    ndarray or Tensor, x's shape without the axes
        In x's dtype; of shape () when all axes went.

    Raises
    ------
    ValueError
        When x has no such axis, or an axis is given twice.
    TypeError
        When x is neither float32 nor float64, or axis is not made of integers.

    Notes
    -----
    .. math::

        y = \sum_i x_i, \qquad dx_i = dy

    Summed in pairs, in an order that depends on the length alone: the error grows with its logarithm, and the
    bits are the same on any number of threads. Cost: one addition an element.

    References
    ----------
    Article 003 §3.1 (the weighted sum).

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
    array([4., 6.])

    Source: cpp/ops/reduce.cpp
    """
    return _core.sum(x, axis, keepdims)


@overload
def mean(x: "Tensor", axis: "Axis" = None, keepdims: bool = False) -> "Tensor": ...
@overload
def mean(x: "ArrayLike", axis: "Axis" = None, keepdims: bool = False) -> "FloatArray": ...
def mean(x: "TensorLike", axis: "Axis" = None, keepdims: bool = False) -> "Tensor | FloatArray":
    r"""Mean over axes.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32 or float64.
    axis : int or sequence of int, optional
        The axes to go over; all when not given.
    keepdims : bool
        Keep them with length 1.

    Returns
    -------
    ndarray or Tensor, x's shape without the axes
        In x's dtype; of shape () when all axes went.

    Raises
    ------
    ValueError
        When x has no such axis, or an axis is given twice, or there is nothing to take the mean of.
    TypeError
        When x is neither float32 nor float64, or axis is not made of integers.

    Notes
    -----
    .. math::

        y = \frac1n \sum_i x_i, \qquad dx_i = dy / n

    Summed in pairs, in an order that depends on the length alone: the error grows with its logarithm, and the
    bits are the same on any number of threads. Cost: one addition an element.

    References
    ----------
    Article 000 §5.2 (mean over positions).

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.mean([[1.0, 2.0], [3.0, 4.0]], axis=-1, keepdims=True)
    array([[1.5],
           [3.5]])

    Source: cpp/ops/reduce.cpp
    """
    return _core.mean(x, axis, keepdims)


@overload
def max(x: "Tensor", axis: "Axis" = None, keepdims: bool = False) -> "Tensor": ...
@overload
def max(x: "ArrayLike", axis: "Axis" = None, keepdims: bool = False) -> "FloatArray": ...
def max(x: "TensorLike", axis: "Axis" = None, keepdims: bool = False) -> "Tensor | FloatArray":
    r"""Maximum over axes.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32 or float64.
    axis : int or sequence of int, optional
        The axes to go over; all when not given.
    keepdims : bool
        Keep them with length 1.

    Returns
    -------
    ndarray or Tensor, x's shape without the axes
        In x's dtype; of shape () when all axes went.

    Raises
    ------
    ValueError
        When x has no such axis, or an axis is given twice, or there is nothing to take the maximum of.
    TypeError
        When x is neither float32 nor float64, or axis is not made of integers.

    Notes
    -----
    .. math::

        y = \max_i x_i, \qquad
        dx_i = \begin{cases} dy & i \text{ the first maximum} \\ 0 & \text{else} \end{cases}

    Where several are largest, the first in the order of memory gets the gradient. A NaN wins. Cost: one
    comparison an element.

    References
    ----------
    Article 000 §5.2 (pooling).

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.max([[1.0, 2.0], [3.0, 4.0]], axis=0)
    array([3., 4.])

    Source: cpp/ops/reduce.cpp
    """
    return _core.max(x, axis, keepdims)

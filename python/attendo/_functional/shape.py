"""Operations that move elements and compute nothing."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .._core import Tensor
    from .._typing import Axis, Key, Shape, TensorLike


@overload
def reshape(x: "Tensor", shape: "Shape") -> "Tensor": ...
@overload
def reshape(x: "ArrayLike", shape: "Shape") -> "NDArray[Any]": ...
def reshape(x: "TensorLike", shape: "Shape") -> "Tensor | NDArray[Any]":
    r"""The same elements in another shape.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32, float64, int64 or bool.
    shape : int or sequence of int
        Lengths of the axes; one may be -1: what is left.

    Returns
    -------
    ndarray or Tensor, of that shape
        An array is a copy; a Tensor shares x's memory.

    Raises
    ------
    ValueError
        When the shape holds another number of elements than x, more than one -1, or a length below -1.
    TypeError
        When shape is not made of integers.

    Notes
    -----
    :math:`y = P x` and :math:`dx = P^\top dy` with P the identity of the elements in the order of memory: dy
    in x's shape. Cost: nothing for a Tensor, a copy for an array.

    References
    ----------
    Article 003 §4.3 (view).

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.reshape([1.0, 2.0, 3.0, 4.0], (2, -1))
    array([[1., 2.],
           [3., 4.]])

    Source: cpp/ops/shape.cpp
    """
    return _core.reshape(x, shape)


@overload
def transpose(x: "Tensor", axes: "Axis" = None) -> "Tensor": ...
@overload
def transpose(x: "ArrayLike", axes: "Axis" = None) -> "NDArray[Any]": ...
def transpose(x: "TensorLike", axes: "Axis" = None) -> "Tensor | NDArray[Any]":
    r"""Axes in another order.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32, float64, int64 or bool.
    axes : sequence of int, optional
        For each axis of the result, which axis of x it is; all in reverse when not given.

    Returns
    -------
    ndarray or Tensor
        Contiguous, with memory of its own.

    Raises
    ------
    ValueError
        When axes is not a permutation of x's.
    TypeError
        When axes is not made of integers.

    Notes
    -----
    :math:`y = P x` and :math:`dx = P^\top dy`: the axes of dy in the inverse order. Cost: a copy.

    References
    ----------
    Article 003 §4.3 (permute).

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> heads = at.functional.transpose(np.zeros((2, 5, 4, 16)), (0, 2, 1, 3))
    >>> heads.shape
    (2, 4, 5, 16)

    Source: cpp/ops/shape.cpp
    """
    return _core.transpose(x, axes)


@overload
def slice(x: "Tensor", key: "Key") -> "Tensor": ...
@overload
def slice(x: "ArrayLike", key: "Key") -> "NDArray[Any]": ...
def slice(x: "TensorLike", key: "Key") -> "Tensor | NDArray[Any]":
    r"""A part of an array. Tensors have ``x[key]`` for it.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32, float64, int64 or bool.
    key : int, slice, None, Ellipsis, or a tuple of them
        As in NumPy: an integer takes an axis away, None adds one, an Ellipsis stands for the axes not named.
        The steps of slices are 1 or more.

    Returns
    -------
    ndarray or Tensor
        A copy, never a view.

    Raises
    ------
    IndexError
        When an integer is out of range.
    ValueError
        When the key has more entries than x has axes, more than one Ellipsis, or a step below 1.
    TypeError
        When the key holds something else: an array, a bool.

    Notes
    -----
    :math:`y = P x` and :math:`dx = P^\top dy`: dy where the elements came from, 0 elsewhere. Cost: a copy of
    the part.

    References
    ----------
    Article 003 §4.3.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.functional.slice(np.arange(6).reshape(2, 3), np.s_[:, ::2])
    array([[0, 2],
           [3, 5]])

    Source: cpp/ops/shape.cpp
    """
    return _core.slice(x, key)


@overload
def concatenate(arrays: "Sequence[Tensor]", axis: int = 0) -> "Tensor": ...
@overload
def concatenate(arrays: "Sequence[ArrayLike]", axis: int = 0) -> "NDArray[Any]": ...
def concatenate(arrays: "Sequence[TensorLike]", axis: int = 0) -> "Tensor | NDArray[Any]":
    r"""Arrays one after the other along an axis.

    Parameters
    ----------
    arrays : list or tuple of array_like or Tensor
        One or more, of one dtype, with the same lengths of all axes but the one.
    axis : int
        The axis along which they follow each other.

    Returns
    -------
    ndarray or Tensor
        A Tensor when one of them is.

    Raises
    ------
    ValueError
        When there is none, they have no such axis, or their shapes differ in another.
    TypeError
        When arrays is not a list or tuple, or dtypes differ.

    Notes
    -----
    :math:`y = [x_0, x_1, \dots]`, and each :math:`dx_n` is its part of dy. Cost: a copy.

    References
    ----------
    Vaswani et al. 2017, §3.2.2 (the heads). Article 002 §3.1.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.concatenate([[[1.0], [2.0]], [[3.0], [4.0]]], axis=1)
    array([[1., 3.],
           [2., 4.]])

    Source: cpp/ops/shape.cpp
    """
    return _core.concatenate(arrays, axis)

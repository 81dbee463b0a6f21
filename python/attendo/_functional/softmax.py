"""softmax and its logarithm."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def softmax(x: "Tensor", axis: int = -1) -> "Tensor": ...
@overload
def softmax(x: "ArrayLike", axis: int = -1) -> "FloatArray": ...
def softmax(x: "TensorLike", axis: int = -1) -> "Tensor | FloatArray":
    r"""Exponentials that sum to one along an axis.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32 or float64.
    axis : int
        The axis the results sum to one along.

    Returns
    -------
    ndarray or Tensor, shape of x
        Zeros where all of a row is -inf; NaN all along a row that holds one.

    Raises
    ------
    ValueError
        When x has no such axis.
    TypeError
        When x is neither float32 nor float64.

    Notes
    -----
    .. math::

        y_j = \frac{e^{x_j - m}}{\sum_k e^{x_k - m}}, \quad m = \max_k x_k, \qquad
        dx_j = y_j \Bigl(dy_j - \sum_k dy_k\, y_k\Bigr)

    Subtracting m changes nothing but the range of the exponentials. Cost: one exponential an element; nothing
    but y is kept for the backward pass.

    References
    ----------
    Vaswani et al. 2017, eq. 1. Article 000 §3.2 step 2, article 001 §4.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.functional.softmax(np.log([[1.0, 2.0, 5.0]]))
    array([[0.125, 0.25 , 0.625]])

    Source: cpp/ops/softmax.cpp
    """
    return _core.softmax(x, axis)


@overload
def log_softmax(x: "Tensor", axis: int = -1) -> "Tensor": ...
@overload
def log_softmax(x: "ArrayLike", axis: int = -1) -> "FloatArray": ...
def log_softmax(x: "TensorLike", axis: int = -1) -> "Tensor | FloatArray":
    r"""Logarithm of softmax, without ever taking the logarithm of a rounded-off zero.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32 or float64.
    axis : int
        The axis the probabilities sum to one along.

    Returns
    -------
    ndarray or Tensor, shape of x
        -inf where all of a row is -inf.

    Raises
    ------
    ValueError
        When x has no such axis.
    TypeError
        When x is neither float32 nor float64.

    Notes
    -----
    .. math::

        z_j = x_j - m - \log \sum_k e^{x_k - m}, \quad m = \max_k x_k, \qquad
        dx_j = dz_j - e^{z_j} \sum_k dz_k

    Cost: one exponential an element, one logarithm a row.

    References
    ----------
    Article 001 §4.2.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.log_softmax([[0.0, 0.0, 1000.0]])
    array([[-1000., -1000.,     0.]])

    Source: cpp/ops/softmax.cpp
    """
    return _core.log_softmax(x, axis)

"""The matrix product."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def matmul(a: "Tensor", b: "TensorLike") -> "Tensor": ...
@overload
def matmul(a: "TensorLike", b: "Tensor") -> "Tensor": ...
@overload
def matmul(a: "ArrayLike", b: "ArrayLike") -> "FloatArray": ...
def matmul(a: "TensorLike", b: "TensorLike") -> "Tensor | FloatArray":
    r"""Product of matrices in the last two axes; the axes before them broadcast. Tensors have ``@`` for it.

    Parameters
    ----------
    a : array_like or Tensor, shape (..., m, k)
        float32 or float64.
    b : array_like or Tensor, shape (..., k, n)
        Of a's dtype.

    Returns
    -------
    ndarray or Tensor, shape (..., m, n)
        A Tensor when an input is one.

    Raises
    ------
    ValueError
        When an input has fewer than two axes (a vector is a matrix of one row: ``x[None, :]``), a's last axis
        is not b's last but one, or the axes before them do not broadcast.
    TypeError
        When a dtype is neither float32 nor float64, or they differ.

    Notes
    -----
    .. math::

        y = a\, b, \qquad da = dy\, b^\top, \quad db = a^\top dy

    An operand that was broadcast gets the sum of its gradients. Cost: :math:`m\,k\,n` multiply-adds a matrix,
    and twice that for the backward pass.

    References
    ----------
    Article 001 §4.1, article 003 §4.3.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.matmul([[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [1.0, 0.0]])
    array([[2., 1.],
           [4., 3.]])

    Source: cpp/ops/matmul.cpp
    """
    return _core.matmul(a, b)

"""The affine map."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, Literal, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def linear(
    x: "Tensor",
    weight: "TensorLike",
    bias: "TensorLike | None" = None,
    *,
    activation: 'Literal["relu", "gelu", "gelu_tanh", "silu"] | None' = None,
) -> "Tensor": ...
@overload
def linear(
    x: "TensorLike",
    weight: "Tensor",
    bias: "TensorLike | None" = None,
    *,
    activation: 'Literal["relu", "gelu", "gelu_tanh", "silu"] | None' = None,
) -> "Tensor": ...
@overload
def linear(
    x: "ArrayLike",
    weight: "ArrayLike",
    bias: "ArrayLike | None" = None,
    *,
    activation: 'Literal["relu", "gelu", "gelu_tanh", "silu"] | None' = None,
) -> "FloatArray": ...
def linear(
    x: "TensorLike",
    weight: "TensorLike",
    bias: "TensorLike | None" = None,
    *,
    activation: 'Literal["relu", "gelu", "gelu_tanh", "silu"] | None' = None,
) -> "Tensor | FloatArray":
    r"""Affine map of the last axis.

    Parameters
    ----------
    x : array_like or Tensor, shape (..., in)
        float32 or float64.
    weight : array_like or Tensor, shape (out, in)
        Of x's dtype.
    bias : array_like or Tensor, shape (out,), optional
        Of x's dtype.
    activation : "relu", "gelu", "gelu_tanh", "silu" or None
        Applied to the sums while they are in the cache: the same numbers as `gelu(linear(...))`, one pass
        over memory less.

    Returns
    -------
    ndarray or Tensor, shape (..., out)
        A Tensor when an input is one.

    Raises
    ------
    ValueError
        When x has no axis, weight has not two, x's last axis is not weight's, bias is not of shape (out,), or
        activation is another word.
    TypeError
        When a dtype is neither float32 nor float64, or they differ.

    Notes
    -----
    .. math::

        y = x W^\top + b, \qquad dx = dy\, W, \quad dW = dy^\top x, \quad db = \sum_{\text{rows}} dy

    and with an activation f of that: :math:`y = f(z)`, :math:`dz = dy \odot f'(z)` in the place of dy.

    Cost: :math:`n \cdot in \cdot out` multiply-adds for n rows, and twice that for the backward pass.

    References
    ----------
    Article 000 §3.2 step 1, article 003 §4.1.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.linear([[1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, 10.0])
    array([[ 1.,  2., 13.]])

    Source: cpp/ops/linear.cpp
    """
    return _core.linear(x, weight, bias, activation)

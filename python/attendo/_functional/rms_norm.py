"""RMS norm."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def rms_norm(x: "Tensor", weight: "TensorLike | None" = None, *, eps: float = 1e-6) -> "Tensor": ...
@overload
def rms_norm(x: "TensorLike", weight: "Tensor", *, eps: float = 1e-6) -> "Tensor": ...
@overload
def rms_norm(x: "ArrayLike", weight: "ArrayLike | None" = None, *, eps: float = 1e-6) -> "FloatArray": ...
def rms_norm(
    x: "TensorLike", weight: "TensorLike | None" = None, *, eps: float = 1e-6
) -> "Tensor | FloatArray":
    r"""Each row divided by the root of its mean square, then a gain of each feature.

    Layer norm without the mean and the shift; the norm of Llama, Mistral, Qwen and T5.

    Parameters
    ----------
    x : array_like or Tensor, shape (..., n)
        float32 or float64.
    weight : array_like or Tensor, shape (n,), optional
        Gain w, of x's dtype; 1 when not given.
    eps : float
        Added to the mean square, under the root; 0 or more.

    Returns
    -------
    ndarray or Tensor, shape of x
        A Tensor when an input is one.

    Raises
    ------
    ValueError
        When x has no axis, weight is not of shape (n,), or eps is negative.
    TypeError
        When a dtype is neither float32 nor float64, or they differ.

    Notes
    -----
    .. math::

        y = w \odot \hat x, \quad \hat x = x\,r, \quad r = 1 / \sqrt{\overline{x^2} + \varepsilon}

    with the bar for the mean of a row, and backwards, with :math:`g = w \odot dy`,

    .. math::

        dx = r\,\bigl(g - \hat x\, \overline{g \odot \hat x}\bigr), \quad
        dw = \sum_{\text{rows}} dy \odot \hat x

    PyTorch's ``rms_norm`` without an eps takes the machine epsilon of the dtype; here it is always what is
    given. A row of zeros gives zeros when eps is above 0.

    Cost: two readings of a row, which stays in the cache.

    References
    ----------
    Zhang and Sennrich 2019, "Root mean square layer normalization", eq. 4.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.rms_norm([[1.0, 7.0]], [1.0, 2.0]).round(4)
    array([[0.2, 2.8]])

    Source: cpp/ops/rms_norm.cpp
    """
    return _core.rms_norm(x, weight, eps)

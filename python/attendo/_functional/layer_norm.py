"""Layer norm."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def layer_norm(
    x: "Tensor", weight: "TensorLike | None" = None, bias: "TensorLike | None" = None, *, eps: float = 1e-5
) -> "Tensor": ...
@overload
def layer_norm(
    x: "TensorLike", weight: "Tensor", bias: "TensorLike | None" = None, *, eps: float = 1e-5
) -> "Tensor": ...
@overload
def layer_norm(
    x: "ArrayLike", weight: "ArrayLike | None" = None, bias: "ArrayLike | None" = None, *, eps: float = 1e-5
) -> "FloatArray": ...
def layer_norm(
    x: "TensorLike",
    weight: "TensorLike | None" = None,
    bias: "TensorLike | None" = None,
    *,
    eps: float = 1e-5,
) -> "Tensor | FloatArray":
    r"""Each row to mean 0 and variance 1, then a gain and a shift of each feature.

    Parameters
    ----------
    x : array_like or Tensor, shape (..., n)
        float32 or float64.
    weight, bias : array_like or Tensor, shape (n,), optional
        Gain :math:`\gamma` and shift :math:`\beta`, of x's dtype; 1 and 0 when not given.
    eps : float
        Added to the variance, 0 or more.

    Returns
    -------
    ndarray or Tensor, shape of x
        A Tensor when an input is one.

    Raises
    ------
    ValueError
        When x has no axis, weight or bias is not of shape (n,), or eps is negative.
    TypeError
        When a dtype is neither float32 nor float64, or they differ.

    Notes
    -----
    .. math::

        \hat x = (x - \mu)\,\mathrm{rstd}, \quad \mathrm{rstd} = 1 / \sqrt{\sigma^2 + \varepsilon}, \quad
        y = \gamma \odot \hat x + \beta

    with the mean :math:`\mu` and the variance :math:`\sigma^2` (over n, not n - 1) of each row, and
    backwards, with :math:`g = dy \odot \gamma` and the bar for the mean of a row,

    .. math::

        dx = \mathrm{rstd}\,\bigl(g - \overline{g} - \hat x\, \overline{g \odot \hat x}\bigr), \quad
        d\gamma = \sum_{\text{rows}} dy \odot \hat x, \quad d\beta = \sum_{\text{rows}} dy

    Cost: three readings of a row, which stays in the cache.

    References
    ----------
    Ba et al. 2016, "Layer normalization", eq. 3. Article 002 §5.2.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.layer_norm([[1.0, 2.0, 3.0]]).round(3)
    array([[-1.225,  0.   ,  1.225]])

    Source: cpp/ops/layer_norm.cpp
    """
    return _core.layer_norm(x, weight, bias, eps)

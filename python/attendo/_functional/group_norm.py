"""Group norm."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def group_norm(
    x: "Tensor",
    num_groups: int,
    weight: "TensorLike | None" = None,
    bias: "TensorLike | None" = None,
    *,
    eps: float = 1e-5,
) -> "Tensor": ...
@overload
def group_norm(
    x: "ArrayLike",
    num_groups: int,
    weight: "ArrayLike | None" = None,
    bias: "ArrayLike | None" = None,
    *,
    eps: float = 1e-5,
) -> "FloatArray": ...
def group_norm(
    x: "TensorLike",
    num_groups: int,
    weight: "TensorLike | None" = None,
    bias: "TensorLike | None" = None,
    *,
    eps: float = 1e-5,
) -> "Tensor | FloatArray":
    r"""Each group of channels of a sample to mean 0 and variance 1, then a gain and a shift of each channel.

    Parameters
    ----------
    x : array_like or Tensor, shape (B, C) or (B, C, ...)
        float32 or float64.
    num_groups : int
        Groups of neighbouring channels; divides C. One group is layer norm over channels and positions, C
        groups are instance norm.
    weight, bias : array_like or Tensor, shape (C,), optional
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
        When x has fewer than two axes, num_groups does not divide C, weight or bias is not of shape (C,), or
        eps is negative.
    TypeError
        When a dtype is neither float32 nor float64, or they differ.

    Notes
    -----
    .. math::

        \hat x = (x - \mu)\,\mathrm{rstd}, \quad \mathrm{rstd} = 1 / \sqrt{\sigma^2 + \varepsilon}, \quad
        y_c = \gamma_c \hat x_c + \beta_c

    with the mean :math:`\mu` and the variance :math:`\sigma^2` of each group over its channels and all
    positions, and backwards, with :math:`g_c = dy_c\,\gamma_c` and the bar for the mean of a group,

    .. math::

        dx = \mathrm{rstd}\,\bigl(g - \overline{g} - \hat x\, \overline{g \odot \hat x}\bigr), \quad
        d\gamma_c = \sum dy_c \odot \hat x_c, \quad d\beta_c = \sum dy_c

    The samples of a batch do not see each other: training and evaluation are the same.

    Cost: a few readings of each group.

    References
    ----------
    Wu and He 2018, "Group normalization", eq. 7.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.group_norm([[1.0, 3.0, 10.0, 30.0]], num_groups=2).round(3)
    array([[-1.,  1., -1.,  1.]])

    Source: cpp/ops/group_norm.cpp
    """
    return _core.group_norm(x, num_groups, weight, bias, eps)

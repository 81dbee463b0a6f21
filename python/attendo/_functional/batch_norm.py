"""Batch norm."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def batch_norm(
    x: "Tensor",
    weight: "TensorLike | None",
    bias: "TensorLike | None",
    running_mean: "Tensor | FloatArray | None",
    running_var: "Tensor | FloatArray | None",
    *,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> "Tensor": ...
@overload
def batch_norm(
    x: "ArrayLike",
    weight: "ArrayLike | None",
    bias: "ArrayLike | None",
    running_mean: "Tensor | FloatArray | None",
    running_var: "Tensor | FloatArray | None",
    *,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> "FloatArray": ...
def batch_norm(
    x: "TensorLike",
    weight: "TensorLike | None",
    bias: "TensorLike | None",
    running_mean: "Tensor | FloatArray | None",
    running_var: "Tensor | FloatArray | None",
    *,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> "Tensor | FloatArray":
    r"""Each channel to mean 0 and variance 1 over batch and positions, then a gain and a shift of each.

    Parameters
    ----------
    x : array_like or Tensor, shape (B, C) or (B, C, ...)
        float32 or float64.
    weight, bias : array_like or Tensor, shape (C,), or None
        Gain :math:`\gamma` and shift :math:`\beta`, of x's dtype; None for 1 and 0.
    running_mean, running_var : ndarray or Tensor, shape (C,), or None
        Statistics of the batches so far. **With training they are updated in place**, so they must be arrays
        that can be written; without, they are what is used.
    training : bool
        Use the batch's statistics.
    momentum : float
        The share of the new batch in the running statistics, 0 to 1.
    eps : float
        Added to the variance, above 0.

    Returns
    -------
    ndarray or Tensor, shape of x
        A Tensor when x, weight or bias is one.

    Raises
    ------
    ValueError
        When x has fewer than two axes; another array is not of shape (C,); with training, when there is but
        one value a channel, or a running array is read-only or not contiguous; without, when one is None;
        when momentum is outside 0 to 1 or eps is not above 0.
    TypeError
        When a dtype is neither float32 nor float64, or they differ; with training, when a running statistic
        is not an array.

    Notes
    -----
    .. math::

        \hat x = (x - \mu_c)\,\mathrm{rstd}_c, \qquad y = \gamma_c\, \hat x + \beta_c

    with the mean and the variance (over n) of channel c. With training, the bar being the mean over a
    channel's n values and :math:`g = \gamma_c\, dy`,

    .. math::

        dx = \mathrm{rstd}_c \bigl(g - \overline{g} - \hat x\, \overline{g\, \hat x}\bigr),
        \quad d\gamma_c = \sum dy\, \hat x, \quad d\beta_c = \sum dy

    and without :math:`dx = \mathrm{rstd}_c\, g`. The running variance takes the unbiased one (over n - 1), as
    PyTorch's. Cost: three readings of x.

    References
    ----------
    Ioffe and Szegedy 2015, "Batch normalization", algorithm 1. Article 000 §4.3.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> mean, var = np.zeros(1), np.ones(1)
    >>> at.functional.batch_norm([[1.0], [3.0]], None, None, mean, var, training=True).round(3)
    array([[-1.],
           [ 1.]])
    >>> mean, var
    (array([0.2]), array([1.1]))

    Source: cpp/ops/batch_norm.cpp
    """
    return _core.batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps)

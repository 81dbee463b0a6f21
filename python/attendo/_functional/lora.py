"""The affine map with a low-rank update of its matrix."""

from typing import TYPE_CHECKING, Any, SupportsFloat

from .. import _core

if TYPE_CHECKING:
    from .._typing import TensorLike


def lora(
    x: "TensorLike",
    weight: "TensorLike",
    a: "TensorLike",
    b: "TensorLike",
    bias: "TensorLike | None" = None,
    scale: SupportsFloat = 1.0,
) -> Any:
    r"""Affine map of the last axis whose matrix has a low-rank update.

    Parameters
    ----------
    x : array_like or Tensor, shape (..., in)
        float32 or float64.
    weight : array_like or Tensor, shape (out, in)
        W, of x's dtype; frozen, as a rule: its gradient is computed only where it requires one.
    a : array_like or Tensor, shape (rank, in)
        Of x's dtype.
    b : array_like or Tensor, shape (out, rank)
        Of x's dtype.
    bias : array_like or Tensor, shape (out,), optional
        Of x's dtype.
    scale : float
        s; :math:`\alpha / r` where there is an :math:`\alpha`.

    Returns
    -------
    ndarray or Tensor, shape (..., out)
        A Tensor when an input is one.

    Raises
    ------
    ValueError
        When shapes do not fit one another.
    TypeError
        When a dtype is neither float32 nor float64, or dtypes differ.

    Notes
    -----
    .. math::

        y = x W^\top + b + s\,(x A^\top) B^\top, \qquad
        dB = s\, dy^\top (x A^\top), \quad dA = s\, (dy\, B)^\top x, \quad dx = dy\, W + s\, (dy\, B) A

    BA is never made: r (in + out) multiplications a row besides the in · out of the linear layer.
    :func:`attendo.peft.lora` attaches updates to the matrices of a model.

    References
    ----------
    Hu et al. 2021, "LoRA: low-rank adaptation of large language models", eq. 3.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.lora([[1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]], a=[[1.0, 1.0]], b=[[1.0], [0.0]])
    array([[4., 2.]])

    Source: cpp/ops/lora.cpp
    """
    return _core.lora(x, weight, a, b, bias, scale)

"""Gated linear units."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, Literal, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def glu(
    x: "Tensor", activation: 'Literal["sigmoid", "silu", "gelu", "gelu_tanh", "relu"] | None' = "sigmoid"
) -> "Tensor": ...
@overload
def glu(
    x: "ArrayLike", activation: 'Literal["sigmoid", "silu", "gelu", "gelu_tanh", "relu"] | None' = "sigmoid"
) -> "FloatArray": ...
def glu(
    x: "TensorLike", activation: 'Literal["sigmoid", "silu", "gelu", "gelu_tanh", "relu"] | None' = "sigmoid"
) -> "Tensor | FloatArray":
    r"""One half of the features, each times a gate made of its partner in the other half.

    Parameters
    ----------
    x : array_like or Tensor, shape (..., 2n)
        float32 or float64: the values a first, then what the gates b are made of.
    activation : {"sigmoid", "silu", "gelu", "gelu_tanh", "relu"} or None
        The gate's function f: the gated linear unit (GLU), SwiGLU, GEGLU with the exact gelu or its form with
        tanh, ReGLU; None for the bilinear unit.

    Returns
    -------
    ndarray or Tensor, shape (..., n)
        A Tensor when x is one.

    Raises
    ------
    ValueError
        When x has no axis or an odd number of features, or activation is another word.
    TypeError
        When x is neither float32 nor float64.

    Notes
    -----
    .. math::

        y = a \odot f(b), \qquad [a, b] = x, \qquad da = dy \odot f(b), \quad db = dy \odot a \odot f'(b)

    The value comes first, as in PyTorch. Checkpoints whose product gives the gate first (``gate_up_proj`` of
    Phi-3) want the halves of that weight exchanged.

    Cost: one exponential an element of y; forward and backward are one pass each.

    References
    ----------
    Dauphin et al. 2017, "Language modeling with gated convolutional networks", eq. 1. Shazeer 2020, "GLU
    variants improve Transformer", eq. 5.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.glu([[2.0, 3.0, 0.0, 1000.0]])
    array([[1., 3.]])
    >>> at.functional.glu([[2.0, 3.0, -1.0, 4.0]], activation="relu")
    array([[ 0., 12.]])

    Source: cpp/ops/glu.cpp
    """
    return _core.glu(x, activation)


@overload
def swiglu(x: "Tensor") -> "Tensor": ...
@overload
def swiglu(x: "ArrayLike") -> "FloatArray": ...
def swiglu(x: "TensorLike") -> "Tensor | FloatArray":
    r"""The gated linear unit with silu: ``glu(x, activation="silu")``.

    Parameters
    ----------
    x : array_like or Tensor, shape (..., 2n)
        float32 or float64: the values a first, then what the gates b are made of.

    Returns
    -------
    ndarray or Tensor, shape (..., n)
        A Tensor when x is one.

    Raises
    ------
    ValueError
        When x has no axis or an odd number of features.
    TypeError
        When x is neither float32 nor float64.

    Notes
    -----
    .. math:: y = a \odot b\,\sigma(b)

    The gradients: :func:`glu`.

    References
    ----------
    Shazeer 2020, eq. 5.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.swiglu([[2.0, 1.0]]).round(4)
    array([[1.4621]])

    Source: cpp/ops/glu.cpp
    """
    return _core.glu(x, "silu")


@overload
def geglu(x: "Tensor", approximate: Literal["none", "tanh"] = "none") -> "Tensor": ...
@overload
def geglu(x: "ArrayLike", approximate: Literal["none", "tanh"] = "none") -> "FloatArray": ...
def geglu(x: "TensorLike", approximate: Literal["none", "tanh"] = "none") -> "Tensor | FloatArray":
    r"""The gated linear unit with gelu: ``glu(x, activation="gelu")``, or "gelu_tanh".

    Parameters
    ----------
    x : array_like or Tensor, shape (..., 2n)
        float32 or float64: the values a first, then what the gates b are made of.
    approximate : {"none", "tanh"}
        The exact function, or the formula with tanh that Gemma and T5 v1.1 were trained with.

    Returns
    -------
    ndarray or Tensor, shape (..., n)
        A Tensor when x is one.

    Raises
    ------
    ValueError
        When x has no axis or an odd number of features, or approximate is another word.
    TypeError
        When x is neither float32 nor float64.

    Notes
    -----
    .. math:: y = a \odot b\,\Phi(b)

    The gradients: :func:`glu`.

    References
    ----------
    Shazeer 2020, eq. 5.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.geglu([[2.0, 1.0]]).round(4)
    array([[1.6827]])

    Source: cpp/ops/glu.cpp
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"geglu: approximate is {approximate!r} but must be 'none' or 'tanh'")
    return _core.glu(x, "gelu_tanh" if approximate == "tanh" else "gelu")

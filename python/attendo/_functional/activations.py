"""Activations, element by element."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, Literal, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def relu(x: "Tensor") -> "Tensor": ...
@overload
def relu(x: "ArrayLike") -> "FloatArray": ...
def relu(x: "TensorLike") -> "Tensor | FloatArray":
    r"""The positive part.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32 or float64.

    Returns
    -------
    ndarray or Tensor, shape of x
        Element by element; x itself is not changed.

    Raises
    ------
    TypeError
        When x is neither float32 nor float64.

    Notes
    -----
    .. math::

        y = \max(x, 0), \qquad dx = \begin{cases} dy & x > 0 \\ 0 & \text{else} \end{cases}

    The gradient at 0 is 0. Cost: one comparison an element.

    References
    ----------
    Nair and Hinton 2010. Article 000 §5.2.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.relu([-1.0, 0.0, 2.0])
    array([0., 0., 2.])

    Source: cpp/ops/activations.cpp
    """
    return _core.relu(x)


@overload
def gelu(x: "Tensor", approximate: Literal["none", "tanh"] = "none") -> "Tensor": ...
@overload
def gelu(x: "ArrayLike", approximate: Literal["none", "tanh"] = "none") -> "FloatArray": ...
def gelu(x: "TensorLike", approximate: Literal["none", "tanh"] = "none") -> "Tensor | FloatArray":
    r"""x times the probability that a standard normal variable is below x.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32 or float64.
    approximate : {"none", "tanh"}
        The exact function, or the formula with tanh that BERT and GPT-2 were trained with.

    Returns
    -------
    ndarray or Tensor, shape of x
        Element by element; x itself is not changed.

    Raises
    ------
    ValueError
        When approximate is neither "none" nor "tanh".
    TypeError
        When x is neither float32 nor float64.

    Notes
    -----
    .. math::

        y = x\,\Phi(x), \qquad dx = dy\,\bigl(\Phi(x) + x\,\varphi(x)\bigr)

    with the distribution function :math:`\Phi` and the density :math:`\varphi` of the standard normal
    distribution. ``"tanh"`` takes
    :math:`\Phi(x) \approx \frac12 \bigl(1 + \tanh(\sqrt{2/\pi}\,(x + 0.044715\,x^3))\bigr)` and the
    derivative of that. Cost: one erf or tanh an element.

    References
    ----------
    Hendrycks and Gimpel 2016, "Gaussian error linear units", eq. 2.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.gelu([-1.0, 0.0, 1.0]).round(4)
    array([-0.1587,  0.    ,  0.8413])

    Source: cpp/ops/activations.cpp
    """
    return _core.gelu(x, approximate)


@overload
def tanh(x: "Tensor") -> "Tensor": ...
@overload
def tanh(x: "ArrayLike") -> "FloatArray": ...
def tanh(x: "TensorLike") -> "Tensor | FloatArray":
    r"""Hyperbolic tangent.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32 or float64.

    Returns
    -------
    ndarray or Tensor, shape of x
        Element by element; x itself is not changed.

    Raises
    ------
    TypeError
        When x is neither float32 nor float64.

    Notes
    -----
    .. math::

        y = \tanh x, \qquad dx = dy\,(1 - y^2)

    Cost: one tanh an element; y is kept for the backward pass.

    References
    ----------
    Article 004 §5.3.2.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.tanh([-1.0, 0.0, 1.0]).round(4)
    array([-0.7616,  0.    ,  0.7616])

    Source: cpp/ops/activations.cpp
    """
    return _core.tanh(x)


@overload
def sigmoid(x: "Tensor") -> "Tensor": ...
@overload
def sigmoid(x: "ArrayLike") -> "FloatArray": ...
def sigmoid(x: "TensorLike") -> "Tensor | FloatArray":
    r"""Logistic function.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32 or float64.

    Returns
    -------
    ndarray or Tensor, shape of x
        Element by element; x itself is not changed. No overflow for any x.

    Raises
    ------
    TypeError
        When x is neither float32 nor float64.

    Notes
    -----
    .. math::

        y = \frac{1}{1 + e^{-x}}, \qquad dx = dy\; y\,(1 - y)

    Cost: one exponential an element; y is kept for the backward pass.

    References
    ----------
    Article 004 §5.3.2.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.sigmoid([-1000.0, 0.0, 1.0]).round(4)
    array([0.    , 0.5   , 0.7311])

    Source: cpp/ops/activations.cpp
    """
    return _core.sigmoid(x)


@overload
def silu(x: "Tensor") -> "Tensor": ...
@overload
def silu(x: "ArrayLike") -> "FloatArray": ...
def silu(x: "TensorLike") -> "Tensor | FloatArray":
    r"""x times its logistic function; also called swish.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32 or float64.

    Returns
    -------
    ndarray or Tensor, shape of x
        Element by element; x itself is not changed.

    Raises
    ------
    TypeError
        When x is neither float32 nor float64.

    Notes
    -----
    .. math:: y = x\,\sigma(x), \qquad dx = dy\,\bigl(\sigma(x) + x\,\sigma(x)\,(1 - \sigma(x))\bigr)

    Cost: one exponential an element, and one for the backward pass.

    References
    ----------
    Elfwing et al. 2018, eq. 3. Ramachandran et al. 2017.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.silu([-1.0, 0.0, 1.0]).round(4)
    array([-0.2689,  0.    ,  0.7311])

    Source: cpp/ops/activations.cpp
    """
    return _core.silu(x)


@overload
def quick_gelu(x: "Tensor") -> "Tensor": ...
@overload
def quick_gelu(x: "ArrayLike") -> "FloatArray": ...
def quick_gelu(x: "TensorLike") -> "Tensor | FloatArray":
    r"""The approximation of gelu by a logistic function that CLIP was trained with.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32 or float64.

    Returns
    -------
    ndarray or Tensor, shape of x
        Element by element; x itself is not changed.

    Raises
    ------
    TypeError
        When x is neither float32 nor float64.

    Notes
    -----
    .. math::

        y = x\,\sigma(u), \qquad dx = dy\,\bigl(\sigma(u) + u\,\sigma(u)\,(1 - \sigma(u))\bigr), \qquad
        u = 1.702\,x

    Cost: one exponential an element, and one for the backward pass.

    References
    ----------
    Hendrycks and Gimpel 2016, §2.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.quick_gelu([-1.0, 0.0, 1.0]).round(4)
    array([-0.1542,  0.    ,  0.8458])

    Source: cpp/ops/activations.cpp
    """
    return _core.quick_gelu(x)


@overload
def softplus(x: "Tensor") -> "Tensor": ...
@overload
def softplus(x: "ArrayLike") -> "FloatArray": ...
def softplus(x: "TensorLike") -> "Tensor | FloatArray":
    r"""A smooth positive part.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32 or float64.

    Returns
    -------
    ndarray or Tensor, shape of x
        Element by element, above 0; x itself is not changed. No overflow for any x.

    Raises
    ------
    TypeError
        When x is neither float32 nor float64.

    Notes
    -----
    .. math:: y = \log(1 + e^x) = \max(x, 0) + \log(1 + e^{-|x|}), \qquad dx = dy\;\sigma(x)

    Cost: one exponential and one logarithm an element.

    References
    ----------
    Dugas et al. 2001, eq. 2.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.softplus([-1000.0, 0.0, 1000.0]).round(4)
    array([0.000e+00, 6.931e-01, 1.000e+03])

    Source: cpp/ops/activations.cpp
    """
    return _core.softplus(x)

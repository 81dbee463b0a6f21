"""Arithmetic with NumPy's broadcasting, and functions element by element."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def add(a: "Tensor", b: "TensorLike") -> "Tensor": ...
@overload
def add(a: "TensorLike", b: "Tensor") -> "Tensor": ...
@overload
def add(a: "ArrayLike", b: "ArrayLike") -> "FloatArray": ...
def add(a: "TensorLike", b: "TensorLike") -> "Tensor | FloatArray":
    r"""Sum, element by element. Tensors have ``a + b`` for it.

    Parameters
    ----------
    a, b : array_like or Tensor, shapes that broadcast
        float32 or float64, both of one dtype; a plain number takes the other's.

    Returns
    -------
    ndarray or Tensor, the shape a and b broadcast to
        A Tensor when an input is one.

    Raises
    ------
    ValueError
        When the shapes do not broadcast: aligned at their last axes, lengths must be equal or one of them 1.
    TypeError
        When a dtype is neither float32 nor float64, or they differ.

    Notes
    -----
    .. math::

        y = a + b, \qquad da = dy, \quad db = dy

    A gradient is summed over the axes its operand was repeated along. Cost: one addition an element.

    References
    ----------
    He et al. 2016, "Deep residual learning", eq. 1. Article 003 §5.2 (residual connections).

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.add([[1.0], [2.0]], [10.0, 20.0])
    array([[11., 21.],
           [12., 22.]])

    Source: cpp/ops/arithmetic.cpp
    """
    return _core.add(a, b)


@overload
def subtract(a: "Tensor", b: "TensorLike") -> "Tensor": ...
@overload
def subtract(a: "TensorLike", b: "Tensor") -> "Tensor": ...
@overload
def subtract(a: "ArrayLike", b: "ArrayLike") -> "FloatArray": ...
def subtract(a: "TensorLike", b: "TensorLike") -> "Tensor | FloatArray":
    r"""Difference, element by element. Tensors have ``a - b`` for it.

    Parameters
    ----------
    a, b : array_like or Tensor, shapes that broadcast
        float32 or float64, both of one dtype; a plain number takes the other's.

    Returns
    -------
    ndarray or Tensor, the shape a and b broadcast to
        A Tensor when an input is one.

    Raises
    ------
    ValueError
        When the shapes do not broadcast: aligned at their last axes, lengths must be equal or one of them 1.
    TypeError
        When a dtype is neither float32 nor float64, or they differ.

    Notes
    -----
    .. math::

        y = a - b, \qquad da = dy, \quad db = -dy

    A gradient is summed over the axes its operand was repeated along. Cost: one subtraction an element.

    References
    ----------
    He et al. 2016, "Deep residual learning", eq. 1. Article 003 §5.2 (residual connections).

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.subtract([[1.0], [2.0]], [10.0, 20.0])
    array([[ -9., -19.],
           [ -8., -18.]])

    Source: cpp/ops/arithmetic.cpp
    """
    return _core.subtract(a, b)


@overload
def multiply(a: "Tensor", b: "TensorLike") -> "Tensor": ...
@overload
def multiply(a: "TensorLike", b: "Tensor") -> "Tensor": ...
@overload
def multiply(a: "ArrayLike", b: "ArrayLike") -> "FloatArray": ...
def multiply(a: "TensorLike", b: "TensorLike") -> "Tensor | FloatArray":
    r"""Product, element by element. Tensors have ``a * b`` for it.

    Parameters
    ----------
    a, b : array_like or Tensor, shapes that broadcast
        float32 or float64, both of one dtype; a plain number takes the other's.

    Returns
    -------
    ndarray or Tensor, the shape a and b broadcast to
        A Tensor when an input is one.

    Raises
    ------
    ValueError
        When the shapes do not broadcast: aligned at their last axes, lengths must be equal or one of them 1.
    TypeError
        When a dtype is neither float32 nor float64, or they differ.

    Notes
    -----
    .. math::

        y = a \odot b, \qquad da = dy \odot b, \quad db = dy \odot a

    A gradient is summed over the axes its operand was repeated along. Cost: one multiplication an element.

    References
    ----------
    He et al. 2016, "Deep residual learning", eq. 1. Article 003 §5.2 (residual connections).

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.multiply([[1.0], [2.0]], [10.0, 20.0])
    array([[10., 20.],
           [20., 40.]])

    Source: cpp/ops/arithmetic.cpp
    """
    return _core.multiply(a, b)


@overload
def divide(a: "Tensor", b: "TensorLike") -> "Tensor": ...
@overload
def divide(a: "TensorLike", b: "Tensor") -> "Tensor": ...
@overload
def divide(a: "ArrayLike", b: "ArrayLike") -> "FloatArray": ...
def divide(a: "TensorLike", b: "TensorLike") -> "Tensor | FloatArray":
    r"""Quotient, element by element. Tensors have ``a / b`` for it.

    Parameters
    ----------
    a, b : array_like or Tensor, shapes that broadcast
        float32 or float64, both of one dtype; a plain number takes the other's.

    Returns
    -------
    ndarray or Tensor, the shape a and b broadcast to
        A Tensor when an input is one.

    Raises
    ------
    ValueError
        When the shapes do not broadcast: aligned at their last axes, lengths must be equal or one of them 1.
    TypeError
        When a dtype is neither float32 nor float64, or they differ.

    Notes
    -----
    .. math::

        y = a / b, \qquad da = dy / b, \quad db = -dy \odot y / b

    A gradient is summed over the axes its operand was repeated along. Division by 0 gives
    infinity or NaN, as in NumPy, without a warning. Cost: one division an element.

    References
    ----------
    He et al. 2016, "Deep residual learning", eq. 1. Article 003 §5.2 (residual connections).

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.divide([[1.0], [2.0]], [10.0, 20.0])
    array([[0.1 , 0.05],
           [0.2 , 0.1 ]])

    Source: cpp/ops/arithmetic.cpp
    """
    return _core.divide(a, b)


@overload
def exp(x: "Tensor") -> "Tensor": ...
@overload
def exp(x: "ArrayLike") -> "FloatArray": ...
def exp(x: "TensorLike") -> "Tensor | FloatArray":
    r"""Exponential.

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

        y = e^x, \qquad dx = dy\; y

    Cost: one exponential an element; y is kept for the backward pass.

    References
    ----------
    Article 001 §4.2.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.exp([0.0, 1.0]).round(4)
    array([1.    , 2.7183])

    Source: cpp/ops/arithmetic.cpp
    """
    return _core.exp(x)


@overload
def log(x: "Tensor") -> "Tensor": ...
@overload
def log(x: "ArrayLike") -> "FloatArray": ...
def log(x: "TensorLike") -> "Tensor | FloatArray":
    r"""Natural logarithm.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32 or float64.

    Returns
    -------
    ndarray or Tensor, shape of x
        Element by element; x itself is not changed. -inf at 0, NaN below.

    Raises
    ------
    TypeError
        When x is neither float32 nor float64.

    Notes
    -----
    .. math::

        y = \log x, \qquad dx = dy / x

    Cost: one logarithm an element.

    References
    ----------
    Article 004 §5.3.2 (in the cross-entropy).

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.log([1.0, 10.0]).round(4)
    array([0.    , 2.3026])

    Source: cpp/ops/arithmetic.cpp
    """
    return _core.log(x)


@overload
def sqrt(x: "Tensor") -> "Tensor": ...
@overload
def sqrt(x: "ArrayLike") -> "FloatArray": ...
def sqrt(x: "TensorLike") -> "Tensor | FloatArray":
    r"""Square root.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32 or float64.

    Returns
    -------
    ndarray or Tensor, shape of x
        Element by element; x itself is not changed. NaN below 0.

    Raises
    ------
    TypeError
        When x is neither float32 nor float64.

    Notes
    -----
    .. math::

        y = \sqrt x, \qquad dx = \frac{dy}{2\,y}

    Cost: one square root an element; y is kept for the backward pass.

    References
    ----------
    Vaswani et al. 2017, eq. 1 (the scale). Article 003 §4.1.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.sqrt([4.0, 2.0]).round(4)
    array([2.    , 1.4142])

    Source: cpp/ops/arithmetic.cpp
    """
    return _core.sqrt(x)

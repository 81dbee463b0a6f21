"""The affine map by products of whole numbers."""

from typing import TYPE_CHECKING, Any, Literal

from .. import _core

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from .._typing import FloatArray, TensorLike


def quantize_per_channel(weight: "ArrayLike") -> "tuple[NDArray[np.int8], FloatArray]":
    r"""Round a matrix to eight-bit numbers, each row with a scale of its own.

    Parameters
    ----------
    weight : array_like, shape (out, in)
        float32 or float64; in is 65536 at most.

    Returns
    -------
    numbers : ndarray of int8, shape (out, in)
        From -127 to 127.
    scales : ndarray, shape (out,)
        Of weight's dtype.

    Raises
    ------
    ValueError
        When weight has not two axes, or too long rows.
    TypeError
        When its dtype is neither float32 nor float64.

    Notes
    -----
    .. math::

        a_j = \frac{1}{127} \max_p |W_{jp}|, \qquad n_{jp} = \operatorname{round}\frac{W_{jp}}{a_j}

    Halves round to even. A row that holds NaN or inf has the scale NaN, a row of zeros the scale 0.

    References
    ----------
    Jacob et al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only
    inference", eq. 1 with zero point 0.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.quantize_per_channel([[1.27, -0.5, 0.0]])
    (array([[127, -50,   0]], dtype=int8), array([0.01]))

    Source: cpp/ops/quantized_linear.cpp
    """
    return _core.quantize_per_channel(weight)


def activation_range(
    x: "ArrayLike",
    method: 'Literal["minmax", "percentile", "entropy"]' = "minmax",
    percentile: float = 99.99,
) -> tuple[float, int]:
    r"""Scale and zero point with which eight bits hold numbers like those of x.

    Parameters
    ----------
    x : array_like, any shape
        float32 or float64, finite, at least one number.
    method : {"minmax", "percentile", "entropy"}
        "minmax": from the least to the largest. "percentile": without the outermost
        ``(100 - percentile) / 2`` percent at either end. "entropy": the part whose rounding changes the
        distribution least; that takes some hundred thousand numbers, of few it cuts off too much.
    percentile : float
        More than 0 and at most 100; of "percentile" alone.

    Returns
    -------
    scale : float
        Which x's dtype holds.
    zero_point : int
        From 0 to 255: what stands for zero, which every range holds.

    Raises
    ------
    ValueError
        When x is empty or not finite, method is none of these, or percentile out of its range.
    TypeError
        When x is neither float32 nor float64.

    Notes
    -----
    .. math::

        s = \frac{hi - lo}{255}, \qquad z = \operatorname{round}\frac{-lo}{s}

    The last two methods count the numbers in 2048 bins. "entropy" minimises
    :math:`KL(P \| Q) = \sum_i P_i \log (P_i / Q_i)` over ranges with zero in them, of 256 bins at least and
    cut off 64 at a time: P holds their counts, with all that lies beyond in the outermost; Q the same without
    those beyond, in 256 levels, each spread evenly over its bins that hold any, and at least
    :math:`10^{-6}`.

    References
    ----------
    Jacob et al. 2018, §2.1. Migacz 2017, "8-bit inference with TensorRT".

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.activation_range([0.0, 51.0, -25.5, 204.0])
    (0.9, 28)

    Source: cpp/ops/activation_range.cpp
    """
    return _core.activation_range(x, method, percentile)


def quantized_linear(
    x: "TensorLike",
    weight: "NDArray[np.int8]",
    scales: "ArrayLike",
    bias: "TensorLike | None" = None,
    input_range: "tuple[float, int] | None" = None,
) -> Any:
    r"""Affine map of the last axis by products of whole numbers: x is rounded to eight bits as well.

    Parameters
    ----------
    x : array_like or Tensor, shape (..., in)
        float32 or float64.
    weight : ndarray of int8, shape (out, in)
        What `quantize_per_channel` gives.
    scales : array_like, shape (out,)
        Of x's dtype.
    bias : array_like or Tensor, shape (out,), optional
        Of x's dtype.
    input_range : (float, int), optional
        Scale and zero point of x, what `activation_range` gives: what lies outside is cut off. Without it
        each row of x has its own, measured here.

    Returns
    -------
    ndarray or Tensor, shape (..., out)
        A Tensor when x or bias is one.

    Raises
    ------
    ValueError
        When shapes do not fit one another, the range is none, or x or bias requires a gradient.
    TypeError
        When weight is not int8, another dtype is neither float32 nor float64, or those differ.

    Notes
    -----
    .. math::

        s_i = \frac{\max(x_i, 0) - \min(x_i, 0)}{255}, \qquad
        z_i = \operatorname{round}\frac{-\min(x_i, 0)}{s_i}, \qquad
        q_{ip} = \operatorname{clamp}\bigl(\operatorname{round}(x_{ip} / s_i) + z_i,\ 0,\ 255\bigr)

    .. math::

        y_{ij} = s_i a_j \Bigl( \sum_p q_{ip} n_{jp} - z_i \sum_p n_{jp} \Bigr) + b_j

    The sums are of 32 bits and exact, the same on every processor, and no row of y depends on another row of
    x. Where nothing is cut off,

    .. math::

        \Bigl| y_{ij} - \sum_p x_{ip} W_{jp} - b_j \Bigr| \le
        \sum_p \Bigl( \tfrac12 |x_{ip}| a_j + \tfrac12 s_i |W_{jp}| + \tfrac14 s_i a_j \Bigr)

    but for the rounding of floats. A row of x that holds NaN or inf gives NaN. There is no gradient:
    `linear_int8` has one.

    References
    ----------
    Jacob et al. 2018, eq. 7. Article 003 §8.4.

    Examples
    --------
    >>> import attendo as at
    >>> weight, scales = at.functional.quantize_per_channel([[1.0, 0.0], [0.0, 0.5], [1.0, 1.0]])
    >>> at.functional.quantized_linear([[1.0, 2.0]], weight, scales, [0.0, 0.0, 10.0]).round(3)
    array([[ 1.004,  1.   , 13.004]])

    Source: cpp/ops/quantized_linear.cpp
    """
    return _core.quantized_linear(x, weight, scales, bias, input_range)

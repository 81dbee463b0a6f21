"""The affine map with a matrix of eight-bit numbers."""

from typing import TYPE_CHECKING, Any

from .. import _core

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from .._typing import FloatArray, TensorLike


def quantize_int8(weight: "ArrayLike") -> "tuple[NDArray[np.int8], FloatArray]":
    r"""Round a matrix to eight-bit numbers, each 64 neighbours of a row with a scale of their own.

    Parameters
    ----------
    weight : array_like, shape (out, in)
        float32 or float64.

    Returns
    -------
    numbers : ndarray of int8, shape (out, in)
        From -127 to 127.
    scales : ndarray, shape (out, ceil(in / 64))
        Of weight's dtype.

    Raises
    ------
    ValueError
        When weight has not two axes.
    TypeError
        When its dtype is neither float32 nor float64.

    Notes
    -----
    .. math::

        a_{jg} = \frac{1}{127} \max_{p \in g} |W_{jp}|, \qquad
        n_{jp} = \operatorname{round}\frac{W_{jp}}{a_{jg}}

    Halves round to even; no number is off by more than :math:`a_{jg} / 2`. A group that holds NaN or inf has
    the scale NaN, a group of zeros the scale 0.

    References
    ----------
    Jacob et al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only
    inference", eq. 1 with zero point 0. Dettmers et al. 2022, "8-bit optimizers via block-wise
    quantization".

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.quantize_int8([[1.27, -0.5, 0.0]])
    (array([[127, -50,   0]], dtype=int8), array([[0.01]]))

    Source: cpp/ops/linear_int8.cpp
    """
    return _core.quantize_int8(weight)


def linear_int8(
    x: "TensorLike",
    weight: "NDArray[np.int8]",
    scales: "ArrayLike",
    bias: "TensorLike | None" = None,
) -> Any:
    r"""Affine map of the last axis with a matrix of eight-bit numbers.

    Parameters
    ----------
    x : array_like or Tensor, shape (..., in)
        float32 or float64.
    weight : ndarray of int8, shape (out, in)
        What `quantize_int8` gives.
    scales : array_like, shape (out, ceil(in / 64))
        Of x's dtype.
    bias : array_like or Tensor, shape (out,), optional
        Of x's dtype.

    Returns
    -------
    ndarray or Tensor, shape (..., out)
        A Tensor when x or bias is one.

    Raises
    ------
    ValueError
        When shapes do not fit one another.
    TypeError
        When weight is not int8, another dtype is neither float32 nor float64, or those differ.

    Notes
    -----
    .. math::

        y_{ij} = \sum_g a_{jg} \sum_{p \in g} x_{ip}\, n_{jp} + b_j, \qquad
        \Bigl| y_{ij} - \sum_p x_{ip} W_{jp} - b_j \Bigr| \le \frac12 \sum_g a_{jg} \sum_{p \in g} |x_{ip}|

    but for the rounding of floats (and for overflow: sums are of x n, of numbers up to 127 times those of
    x). Only the weight is rounded: x stays as it is. The gradient of x and bias is that of `linear` with
    :math:`\hat W_{jp} = a_{jg} n_{jp}`; the weight has none.

    Up to 16 rows of x the weight is widened in registers: it is read once, as it lies, a quarter of the bytes
    of float32, and a row's result does not depend on how many rows there are. More rows take it in floats,
    some rows of it at a time, and the product of `linear`.

    References
    ----------
    Jacob et al. 2018, eq. 1 with zero point 0. Dettmers et al. 2022, "LLM.int8(): 8-bit matrix multiplication
    for transformers at scale". Article 003 §8.4.

    Examples
    --------
    >>> import attendo as at
    >>> weight, scales = at.functional.quantize_int8([[1.0, 0.0], [0.0, 0.5], [1.0, 1.0]])
    >>> at.functional.linear_int8([[1.0, 2.0]], weight, scales, [0.0, 0.0, 10.0])
    array([[ 1.,  1., 13.]])

    Source: cpp/ops/linear_int8.cpp
    """
    return _core.linear_int8(x, weight, scales, bias)

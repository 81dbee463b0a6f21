"""Convolution of sequences."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, Padding, TensorLike


@overload
def conv1d(
    x: "Tensor",
    weight: "TensorLike",
    bias: "TensorLike | None" = None,
    *,
    stride: int = 1,
    padding: "int | Padding" = 0,
    dilation: int = 1,
    groups: int = 1,
) -> "Tensor": ...


@overload
def conv1d(
    x: "TensorLike",
    weight: "Tensor",
    bias: "TensorLike | None" = None,
    *,
    stride: int = 1,
    padding: "int | Padding" = 0,
    dilation: int = 1,
    groups: int = 1,
) -> "Tensor": ...


@overload
def conv1d(
    x: "ArrayLike",
    weight: "ArrayLike",
    bias: "ArrayLike | None" = None,
    *,
    stride: int = 1,
    padding: "int | Padding" = 0,
    dilation: int = 1,
    groups: int = 1,
) -> "FloatArray": ...


def conv1d(
    x: "TensorLike",
    weight: "TensorLike",
    bias: "TensorLike | None" = None,
    *,
    stride: int = 1,
    padding: "int | Padding" = 0,
    dilation: int = 1,
    groups: int = 1,
) -> "Tensor | FloatArray":
    r"""Slide kernels over sequences.

    A cross-correlation: the kernel is not turned around, as everywhere in this field.

    Parameters
    ----------
    x : array_like or Tensor, shape (B, C, L)
        Sequences: channels before positions, float32 or float64.
    weight : array_like or Tensor, shape (O, C / groups, k)
        O kernels, of x's dtype.
    bias : array_like or Tensor, shape (O,), optional
        Of x's dtype.
    stride : int
        Step from one window to the next, 1 or more.
    padding : int, "same" or "valid"
        Positions of zeros at each end, 0 or more. "same": as many as keep the size, an odd one more at the
        end (stride must be 1); "valid": none.
    dilation : int
        Step from one entry of a window to the next, 1 or more.
    groups : int
        Parts into which channels and kernels fall, each convolved for itself; it divides C and O. C:
        depthwise.

    Returns
    -------
    ndarray or Tensor, shape (B, O, L')
        :math:`L' = \lfloor (L + 2\,\text{padding} - d\,(k - 1) - 1) / s \rfloor + 1`. A Tensor
        when an input is one.

    Raises
    ------
    ValueError
        When x or weight has not three axes, groups does not divide C and O, the channels do not fit, bias is
        not of shape (O,), the kernel is empty or covers more than the padded sequence, stride, dilation or
        groups is below 1, padding is below 0 or another word, or "same" meets a stride.
    TypeError
        When a dtype is neither float32 nor float64, or they differ; when stride, padding, dilation or groups
        is not an integer.

    Notes
    -----
    With stride s, dilation d and zeros outside the sequence,

    .. math::

        y_{oi} = b_o + \sum_{c,u} w_{ocu}\, x_{c,\,is+ud}, \qquad
        dw_{ocu} = \sum_i dy_{oi}\, x_{c,\,is+ud}, \quad db_o = \sum_i dy_{oi}

    and dx collects :math:`dy_{oi}\, w_{ocu}` at :math:`(c,\, is+ud)`. Cost:
    :math:`B\,O\,(C / \text{groups})\,k\,L'` multiply-adds, twice that backwards, as a matrix
    product a sequence and a group; groups of few channels as sums of shifted rows.

    References
    ----------
    Waibel et al. 1989 (time-delay neural networks). van den Oord et al. 2016, "WaveNet", §2.1 (dilation).

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.functional.conv1d([[[1.0, 4.0, 9.0, 16.0, 25.0]]], [[[-1.0, 1.0]]])
    array([[[3., 5., 7., 9.]]])
    >>> at.functional.conv1d([[[1.0, 2.0, 3.0, 4.0]]], [[[1.0, 1.0, 1.0]]], padding="same", dilation=2)
    array([[[4., 6., 4., 6.]]])

    Source: cpp/ops/conv1d.cpp
    """
    return _core.conv1d(x, weight, bias, stride, padding, dilation, groups)

"""Convolution of images."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, Padding, Pair, TensorLike


@overload
def conv2d(
    x: "Tensor",
    weight: "TensorLike",
    bias: "TensorLike | None" = None,
    *,
    stride: "Pair" = 1,
    padding: "Pair | Padding" = 0,
    dilation: "Pair" = 1,
    groups: int = 1,
) -> "Tensor": ...


@overload
def conv2d(
    x: "TensorLike",
    weight: "Tensor",
    bias: "TensorLike | None" = None,
    *,
    stride: "Pair" = 1,
    padding: "Pair | Padding" = 0,
    dilation: "Pair" = 1,
    groups: int = 1,
) -> "Tensor": ...


@overload
def conv2d(
    x: "ArrayLike",
    weight: "ArrayLike",
    bias: "ArrayLike | None" = None,
    *,
    stride: "Pair" = 1,
    padding: "Pair | Padding" = 0,
    dilation: "Pair" = 1,
    groups: int = 1,
) -> "FloatArray": ...


def conv2d(
    x: "TensorLike",
    weight: "TensorLike",
    bias: "TensorLike | None" = None,
    *,
    stride: "Pair" = 1,
    padding: "Pair | Padding" = 0,
    dilation: "Pair" = 1,
    groups: int = 1,
) -> "Tensor | FloatArray":
    r"""Slide kernels over images.

    A cross-correlation: the kernel is not turned around, as everywhere in this field.

    Parameters
    ----------
    x : array_like or Tensor, shape (B, C, H, W)
        Images, float32 or float64.
    weight : array_like or Tensor, shape (O, C / groups, kh, kw)
        O kernels, of x's dtype.
    bias : array_like or Tensor, shape (O,), optional
        Of x's dtype.
    stride : int or (int, int)
        Step from one window to the next, 1 or more: height and width.
    padding : int or (int, int), "same" or "valid"
        Rows and columns of zeros on each side, 0 or more. "same": as many as keep the size, an odd one more
        at the end (stride must be 1); "valid": none.
    dilation : int or (int, int)
        Step from one entry of a window to the next, 1 or more.
    groups : int
        Parts into which channels and kernels fall, each convolved for itself; it divides C and O. C:
        depthwise.

    Returns
    -------
    ndarray or Tensor, shape (B, O, H', W')
        :math:`H' = \lfloor (H + 2\,\text{padding} - d\,(k_h - 1) - 1) / s \rfloor + 1`, and W' alike. A
        Tensor when an input is one.

    Raises
    ------
    ValueError
        When x or weight has not four axes, groups does not divide C and O, the channels do not fit, bias is
        not of shape (O,), the kernel is empty or covers more than the padded image, stride, dilation or
        groups is below 1, padding is below 0 or another word, or "same" meets a stride.
    TypeError
        When a dtype is neither float32 nor float64, or they differ; when stride, padding, dilation or groups
        is not an integer or two.

    Notes
    -----
    With stride s, dilation d and zeros outside the image,

    .. math::

        y_{oij} = b_o + \sum_{c,u,v} w_{ocuv}\, x_{c,\,is+ud,\,js+vd}, \qquad
        dw_{ocuv} = \sum_{i,j} dy_{oij}\, x_{c,\,is+ud,\,js+vd}, \quad db_o = \sum_{i,j} dy_{oij}

    and dx collects :math:`dy_{oij}\, w_{ocuv}` at :math:`(c,\, is+ud,\, js+vd)`. Cost:
    :math:`B\,O\,(C / \text{groups})\,k_h k_w\,H' W'` multiply-adds, twice that backwards, as a matrix
    product an image and a group; groups of few channels as sums of shifted rows.

    References
    ----------
    LeCun et al. 1998, "Gradient-based learning applied to document recognition", §II.A. Yu and Koltun 2016
    (dilation). Krizhevsky et al. 2012, §3.5 (groups). Howard et al. 2017, §3.1 (depthwise). Article 000 §5.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> at.functional.conv2d(image, [[[[-1.0, 1.0]]]])[0, 0]
    array([[1., 1.],
           [1., 1.],
           [1., 1.]])
    >>> at.functional.conv2d(image, np.ones((1, 1, 3, 3)), padding="same")[0, 0]
    array([[ 8., 15., 12.],
           [21., 36., 27.],
           [20., 33., 24.]])

    Source: cpp/ops/conv2d.cpp
    """
    return _core.conv2d(x, weight, bias, stride, padding, dilation, groups)

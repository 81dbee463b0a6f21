"""Convolution."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, Pair, TensorLike


@overload
def conv2d(
    x: "Tensor",
    weight: "TensorLike",
    bias: "TensorLike | None" = None,
    *,
    stride: "Pair" = 1,
    padding: "Pair" = 0,
) -> "Tensor": ...
@overload
def conv2d(
    x: "TensorLike",
    weight: "Tensor",
    bias: "TensorLike | None" = None,
    *,
    stride: "Pair" = 1,
    padding: "Pair" = 0,
) -> "Tensor": ...
@overload
def conv2d(
    x: "ArrayLike",
    weight: "ArrayLike",
    bias: "ArrayLike | None" = None,
    *,
    stride: "Pair" = 1,
    padding: "Pair" = 0,
) -> "FloatArray": ...
def conv2d(
    x: "TensorLike",
    weight: "TensorLike",
    bias: "TensorLike | None" = None,
    *,
    stride: "Pair" = 1,
    padding: "Pair" = 0,
) -> "Tensor | FloatArray":
    r"""Slide kernels over images.

    A cross-correlation: the kernel is not turned around, as everywhere in this field.

    Parameters
    ----------
    x : array_like or Tensor, shape (B, C, H, W)
        Images, float32 or float64.
    weight : array_like or Tensor, shape (O, C, kh, kw)
        O kernels, of x's dtype.
    bias : array_like or Tensor, shape (O,), optional
        Of x's dtype.
    stride : int or (int, int)
        Step from one window to the next, 1 or more: height and width.
    padding : int or (int, int)
        Rows and columns of zeros on each side, 0 or more.

    Returns
    -------
    ndarray or Tensor, shape (B, O, H', W')
        :math:`H' = \lfloor (H + 2\,\text{padding} - k_h) / \text{stride} \rfloor + 1`, and W' alike. A Tensor
        when an input is one.

    Raises
    ------
    ValueError
        When x or weight has not four axes, their channels differ, bias is not of shape (O,), the kernel is
        empty or larger than the padded image, stride is below 1 or padding below 0.
    TypeError
        When a dtype is neither float32 nor float64, or they differ; when stride or padding is not an integer
        or two.

    Notes
    -----
    With stride s and zeros outside the image,

    .. math::

        y_{oij} = b_o + \sum_{c,u,v} w_{ocuv}\, x_{c,\,is+u,\,js+v}, \qquad
        dw_{ocuv} = \sum_{i,j} dy_{oij}\, x_{c,\,is+u,\,js+v}, \quad db_o = \sum_{i,j} dy_{oij}

    and dx collects :math:`dy_{oij}\, w_{ocuv}` at :math:`(c,\, is+u,\, js+v)`. Cost:
    :math:`B\,O\,C\,k_h k_w\,H' W'` multiply-adds, twice that backwards, as a matrix product an image.

    References
    ----------
    LeCun et al. 1998, "Gradient-based learning applied to document recognition", §II.A. Article 000 §5.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> at.functional.conv2d(image, [[[[-1.0, 1.0]]]])[0, 0]
    array([[1., 1.],
           [1., 1.],
           [1., 1.]])

    Source: cpp/ops/conv2d.cpp
    """
    return _core.conv2d(x, weight, bias, stride, padding)

"""Max pooling."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, Pair, TensorLike


@overload
def max_pool2d(
    x: "Tensor", kernel_size: "Pair", *, stride: "Pair | None" = None, padding: "Pair" = 0
) -> "Tensor": ...
@overload
def max_pool2d(
    x: "ArrayLike", kernel_size: "Pair", *, stride: "Pair | None" = None, padding: "Pair" = 0
) -> "FloatArray": ...
def max_pool2d(
    x: "TensorLike", kernel_size: "Pair", *, stride: "Pair | None" = None, padding: "Pair" = 0
) -> "Tensor | FloatArray":
    r"""Maximum of each window of an image.

    Parameters
    ----------
    x : array_like or Tensor, shape (B, C, H, W)
        Images, float32 or float64.
    kernel_size : int or (int, int)
        Height and width of a window, 1 or more.
    stride : int or (int, int), optional
        Step from one window to the next, 1 or more; kernel_size when not given.
    padding : int or (int, int)
        Rows and columns added on each side, at most half of kernel_size. They never win.

    Returns
    -------
    ndarray or Tensor, shape (B, C, H', W')
        :math:`H' = \lfloor (H + 2\,\text{padding} - k_h) / \text{stride} \rfloor + 1`, and W' alike.

    Raises
    ------
    ValueError
        When x has not four axes, a window is larger than the padded image, kernel_size or stride is below 1,
        or padding is below 0 or above half of kernel_size.
    TypeError
        When x is neither float32 nor float64, or a size is not an integer or two.

    Notes
    -----
    .. math::

        y_{cij} = \max_{u,v}\, x_{c,\,is+u,\,js+v}

    and dy goes to the first maximum of its window, in the order of memory. Cost: one comparison an element of
    a window; the places of the maxima are kept for the backward pass.

    References
    ----------
    LeCun et al. 1998, §II.B. Article 000 §5.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.functional.max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 0]
    array([[ 5.,  7.],
           [13., 15.]])

    Source: cpp/ops/max_pool2d.cpp
    """
    return _core.max_pool2d(x, kernel_size, stride, padding)

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
def max_pool1d(
    x: "Tensor",
    kernel_size: int,
    *,
    stride: "int | None" = None,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> "Tensor": ...


@overload
def max_pool1d(
    x: "ArrayLike",
    kernel_size: int,
    *,
    stride: "int | None" = None,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> "FloatArray": ...


def max_pool1d(
    x: "TensorLike",
    kernel_size: int,
    *,
    stride: "int | None" = None,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> "Tensor | FloatArray":
    r"""Maximum of each window of a sequence.

    Parameters
    ----------
    x : array_like or Tensor, shape (B, C, L)
        Sequences: channels before positions, float32 or float64.
    kernel_size : int
        Length of a window, 1 or more.
    stride : int, optional
        Step from one window to the next, 1 or more; kernel_size when not given.
    padding : int
        Positions added at each end, at most half of kernel_size. They never win.
    dilation : int
        Step from one entry of a window to the next, 1 or more.
    ceil_mode : bool
        Let the last window reach over the end rather than leave a rest of x unseen.

    Returns
    -------
    ndarray or Tensor, shape (B, C, L')
        :math:`L' = \lfloor (L + 2\,\text{padding} - d\,(k - 1) - 1) / s \rfloor + 1`; in ceil mode rounded
        up, without a window that would begin behind x.

    Raises
    ------
    ValueError
        When x has not three axes or nothing to pool, a window covers more than the padded sequence,
        kernel_size, dilation or stride is below 1, or padding is below 0 or above half of kernel_size.
    TypeError
        When x is neither float32 nor float64, or a size is not an integer.

    Notes
    -----
    .. math::

        y_{ci} = \max_u\, x_{c,\,is+ud}

    and dy goes to the first maximum of its window, in the order of memory; a NaN is a maximum. Cost: one
    comparison an entry of a window; the places of the maxima are kept for the backward pass.

    References
    ----------
    LeCun et al. 1998, §II.B.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.array([[[1.0, 5.0, 2.0, 3.0, 4.0]]])
    >>> at.functional.max_pool1d(x, 2), at.functional.max_pool1d(x, 2, ceil_mode=True)
    (array([[[5., 3.]]]), array([[[5., 3., 4.]]]))

    Source: cpp/ops/max_pool.cpp
    """
    return _core.max_pool1d(x, kernel_size, stride, padding, dilation, ceil_mode)


@overload
def max_pool2d(
    x: "Tensor",
    kernel_size: "Pair",
    *,
    stride: "Pair | None" = None,
    padding: "Pair" = 0,
    dilation: "Pair" = 1,
    ceil_mode: bool = False,
) -> "Tensor": ...


@overload
def max_pool2d(
    x: "ArrayLike",
    kernel_size: "Pair",
    *,
    stride: "Pair | None" = None,
    padding: "Pair" = 0,
    dilation: "Pair" = 1,
    ceil_mode: bool = False,
) -> "FloatArray": ...


def max_pool2d(
    x: "TensorLike",
    kernel_size: "Pair",
    *,
    stride: "Pair | None" = None,
    padding: "Pair" = 0,
    dilation: "Pair" = 1,
    ceil_mode: bool = False,
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
    dilation : int or (int, int)
        Step from one entry of a window to the next, 1 or more.
    ceil_mode : bool
        Let the last windows reach over the end rather than leave a rest of x unseen.

    Returns
    -------
    ndarray or Tensor, shape (B, C, H', W')
        :math:`H' = \lfloor (H + 2\,\text{padding} - d\,(k_h - 1) - 1) / s \rfloor + 1`, and W' alike; in ceil
        mode rounded up, without a window that would begin behind x.

    Raises
    ------
    ValueError
        When x has not four axes or nothing to pool, a window covers more than the padded image, kernel_size,
        dilation or stride is below 1, or padding is below 0 or above half of kernel_size.
    TypeError
        When x is neither float32 nor float64, or a size is not an integer or two.

    Notes
    -----
    .. math::

        y_{cij} = \max_{u,v}\, x_{c,\,is+ud,\,js+vd}

    and dy goes to the first maximum of its window, in the order of memory; a NaN is a maximum. Cost: one
    comparison an entry of a window; the places of the maxima are kept for the backward pass.

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

    Source: cpp/ops/max_pool.cpp
    """
    return _core.max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode)

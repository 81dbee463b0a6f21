"""Average pooling."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, Pair, TensorLike


@overload
def avg_pool1d(
    x: "Tensor",
    kernel_size: int,
    *,
    stride: "int | None" = None,
    padding: int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> "Tensor": ...


@overload
def avg_pool1d(
    x: "ArrayLike",
    kernel_size: int,
    *,
    stride: "int | None" = None,
    padding: int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> "FloatArray": ...


def avg_pool1d(
    x: "TensorLike",
    kernel_size: int,
    *,
    stride: "int | None" = None,
    padding: int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> "Tensor | FloatArray":
    r"""Average of each window of a sequence.

    Parameters
    ----------
    x : array_like or Tensor, shape (B, C, L)
        Sequences: channels before positions, float32 or float64.
    kernel_size : int
        Length of a window, 1 or more.
    stride : int, optional
        Step from one window to the next, 1 or more; kernel_size when not given.
    padding : int
        Positions added at each end, at most half of kernel_size. They are zeros.
    ceil_mode : bool
        Let the last window reach over the end rather than leave a rest of x unseen.
    count_include_pad : bool
        Divide by the entries of the window with those of the padding.

    Returns
    -------
    ndarray or Tensor, shape (B, C, L')
        :math:`L' = \lfloor (L + 2\,\text{padding} - k) / s \rfloor + 1`; in ceil mode rounded up,
        without a window that would begin behind x.

    Raises
    ------
    ValueError
        When x has not three axes or nothing to pool, a window covers more than the padded sequence,
        kernel_size or stride is below 1, or padding is below 0 or above half of kernel_size.
    TypeError
        When x is neither float32 nor float64, or a size is not an integer.

    Notes
    -----
    .. math::

        y_{ci} = \frac{1}{n_i} \sum_u x_{c,\,is+u}, \qquad dx_{c,\,is+u} \mathrel{+}= \frac{dy_{ci}}{n_i}

    with zeros outside; n: the entries of the window in x and, with count_include_pad, in its padding. What a
    window of ceil mode has behind the padding is never counted. Cost: one addition an entry of a window.

    References
    ----------
    LeCun et al. 1998, §II.B.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.array([[[2.0, 4.0, 6.0]]])
    >>> at.functional.avg_pool1d(x, 2, stride=1, padding=1)
    array([[[1., 3., 5., 3.]]])
    >>> at.functional.avg_pool1d(x, 2, stride=1, padding=1, count_include_pad=False)
    array([[[2., 3., 5., 6.]]])

    Source: cpp/ops/avg_pool.cpp
    """
    return _core.avg_pool1d(x, kernel_size, stride, padding, ceil_mode, count_include_pad)


@overload
def avg_pool2d(
    x: "Tensor",
    kernel_size: "Pair",
    *,
    stride: "Pair | None" = None,
    padding: "Pair" = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> "Tensor": ...


@overload
def avg_pool2d(
    x: "ArrayLike",
    kernel_size: "Pair",
    *,
    stride: "Pair | None" = None,
    padding: "Pair" = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> "FloatArray": ...


def avg_pool2d(
    x: "TensorLike",
    kernel_size: "Pair",
    *,
    stride: "Pair | None" = None,
    padding: "Pair" = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> "Tensor | FloatArray":
    r"""Average of each window of an image.

    Parameters
    ----------
    x : array_like or Tensor, shape (B, C, H, W)
        Images, float32 or float64.
    kernel_size : int or (int, int)
        Height and width of a window, 1 or more.
    stride : int or (int, int), optional
        Step from one window to the next, 1 or more; kernel_size when not given.
    padding : int or (int, int)
        Rows and columns added on each side, at most half of kernel_size. They are zeros.
    ceil_mode : bool
        Let the last windows reach over the end rather than leave a rest of x unseen.
    count_include_pad : bool
        Divide by the entries of the window with those of the padding.

    Returns
    -------
    ndarray or Tensor, shape (B, C, H', W')
        :math:`H' = \lfloor (H + 2\,\text{padding} - k_h) / s \rfloor + 1`, and W' alike; in ceil mode rounded
        up, without a window that would begin behind x.

    Raises
    ------
    ValueError
        When x has not four axes or nothing to pool, a window covers more than the padded image, kernel_size
        or stride is below 1, or padding is below 0 or above half of kernel_size.
    TypeError
        When x is neither float32 nor float64, or a size is not an integer or two.

    Notes
    -----
    .. math::

        y_{cij} = \frac{1}{n_{ij}} \sum_{u,v} x_{c,\,is+u,\,js+v}, \qquad
        dx_{c,\,is+u,\,js+v} \mathrel{+}= \frac{dy_{cij}}{n_{ij}}

    with zeros outside; n: the entries of the window in x and, with count_include_pad, in its padding. What a
    window of ceil mode has behind the padding is never counted. Cost: one addition an entry of a window.

    References
    ----------
    LeCun et al. 1998, §II.B.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.functional.avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])

    Source: cpp/ops/avg_pool.cpp
    """
    return _core.avg_pool2d(x, kernel_size, stride, padding, ceil_mode, count_include_pad)

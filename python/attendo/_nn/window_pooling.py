"""Pooling as layers."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING

from .._core import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AvgPool1d,
    AvgPool2d,
    MaxPool1d,
    MaxPool2d,
    Tensor,
)
from .._pages import page

if TYPE_CHECKING:
    from .._typing import Pair, PoolSize, TensorLike


@page(MaxPool1d, "attendo.nn")
class _MaxPool1d:
    r"""Maximum of each window of a sequence.

    Parameters
    ----------
    kernel_size : int
        Length of a window, 1 or more.
    stride : int, optional
        Step from one window to the next; kernel_size when not given.
    padding : int
        Positions added at each end, at most half of kernel_size; they never win.
    dilation : int
        Step from one entry of a window to the next.
    ceil_mode : bool
        Let the last window reach over the end rather than leave a rest of x unseen.

    Raises
    ------
    ValueError
        When kernel_size, dilation or stride is below 1, or padding below 0 or above half of kernel_size; at
        the call, when x is not (B, C, L) or a window covers more than the padded sequence.

    Notes
    -----
    .. math:: y_{ci} = \max_{u}\, x_{c,\,is+ud}

    The details and the gradient: :func:`attendo.functional.max_pool1d`.

    References
    ----------
    LeCun et al. 1998, §II.B.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.nn.MaxPool1d(2)(np.zeros((2, 3, 8))).shape
    (2, 3, 4)

    Source: cpp/nn/pooling.cpp
    """

    def __init__(
        self,
        kernel_size: int,
        stride: int | None = None,
        padding: int = 0,
        dilation: int = 1,
        *,
        ceil_mode: bool = False,
    ) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (B, C, L) -> (B, C, L')."""


@page(MaxPool2d, "attendo.nn")
class _MaxPool2d:
    r"""Maximum of each window of an image.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Height and width of a window, 1 or more.
    stride : int or (int, int), optional
        Step from one window to the next; kernel_size when not given.
    padding : int or (int, int)
        Rows and columns added on each side, at most half of kernel_size; they never win.
    dilation : int or (int, int)
        Step from one entry of a window to the next.
    ceil_mode : bool
        Let the last window reach over the end rather than leave a rest of x unseen.

    Raises
    ------
    ValueError
        When kernel_size, dilation or stride is below 1, or padding below 0 or above half of kernel_size; at
        the call, when x is not (B, C, H, W) or a window covers more than the padded image.

    Notes
    -----
    .. math:: y_{cij} = \max_{u,v}\, x_{c,\,is+ud,\,js+vd}

    The details and the gradient: :func:`attendo.functional.max_pool2d`.

    References
    ----------
    LeCun et al. 1998, §II.B. Article 000 §5.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.nn.MaxPool2d(2)(np.zeros((2, 3, 8, 8))).shape
    (2, 3, 4, 4)

    Source: cpp/nn/pooling.cpp
    """

    def __init__(
        self,
        kernel_size: "Pair",
        stride: "Pair | None" = None,
        padding: "Pair" = 0,
        dilation: "Pair" = 1,
        *,
        ceil_mode: bool = False,
    ) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (B, C, H, W) -> (B, C, H', W')."""


@page(AvgPool1d, "attendo.nn")
class _AvgPool1d:
    r"""Average of each window of a sequence.

    Parameters
    ----------
    kernel_size : int
        Length of a window, 1 or more.
    stride : int, optional
        Step from one window to the next; kernel_size when not given.
    padding : int
        Positions added at each end, at most half of kernel_size; they are zeros.
    ceil_mode : bool
        Let the last window reach over the end rather than leave a rest of x unseen.
    count_include_pad : bool
        Divide by the entries of the window with those of the padding.

    Raises
    ------
    ValueError
        When kernel_size or stride is below 1, or padding below 0 or above half of kernel_size; at the call,
        when x is not (B, C, L) or a window covers more than the padded sequence.

    Notes
    -----
    .. math:: y_{ci} = \frac{1}{n} \sum_{u} x_{c,\,is+u}

    The details and the gradient: :func:`attendo.functional.avg_pool1d`.

    References
    ----------
    LeCun et al. 1998, §II.B.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.nn.AvgPool1d(2)(np.zeros((2, 3, 8))).shape
    (2, 3, 4)

    Source: cpp/nn/pooling.cpp
    """

    def __init__(
        self,
        kernel_size: int,
        stride: int | None = None,
        padding: int = 0,
        *,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (B, C, L) -> (B, C, L')."""


@page(AvgPool2d, "attendo.nn")
class _AvgPool2d:
    r"""Average of each window of an image.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Height and width of a window, 1 or more.
    stride : int or (int, int), optional
        Step from one window to the next; kernel_size when not given.
    padding : int or (int, int)
        Rows and columns added on each side, at most half of kernel_size; they are zeros.
    ceil_mode : bool
        Let the last window reach over the end rather than leave a rest of x unseen.
    count_include_pad : bool
        Divide by the entries of the window with those of the padding.

    Raises
    ------
    ValueError
        When kernel_size or stride is below 1, or padding below 0 or above half of kernel_size; at the call,
        when x is not (B, C, H, W) or a window covers more than the padded image.

    Notes
    -----
    .. math:: y_{cij} = \frac{1}{n} \sum_{u,v} x_{c,\,is+u,\,js+v}

    The details and the gradient: :func:`attendo.functional.avg_pool2d`.

    References
    ----------
    LeCun et al. 1998, §II.B.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.nn.AvgPool2d(2)(np.zeros((2, 3, 8, 8))).shape
    (2, 3, 4, 4)

    Source: cpp/nn/pooling.cpp
    """

    def __init__(
        self,
        kernel_size: "Pair",
        stride: "Pair | None" = None,
        padding: "Pair" = 0,
        *,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (B, C, H, W) -> (B, C, H', W')."""


@page(AdaptiveAvgPool1d, "attendo.nn")
class _AdaptiveAvgPool1d:
    r"""Average of each of so many parts of a sequence, whatever its size.

    Parameters
    ----------
    output_size : int or None
        Length of the result, 1 or more; None keeps that of x.

    Raises
    ------
    ValueError
        When a size is below 1; at the call, when x is not (B, C, L) or empty.
    TypeError
        When a size is neither an integer nor None.

    Notes
    -----
    Output i of n sees the entries :math:`\lfloor iH/n \rfloor` to :math:`\lceil (i+1)H/n \rceil - 1` of an
    axis of H. The gradient: :func:`attendo.functional.adaptive_avg_pool1d`.

    References
    ----------
    He et al. 2014, §2.2. Lin et al. 2014, §3.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.nn.AdaptiveAvgPool1d(4)(np.zeros((2, 3, 10))).shape
    (2, 3, 4)

    Source: cpp/nn/pooling.cpp
    """

    def __init__(self, output_size: int | None) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (B, C, L) -> (B, C, L')."""


@page(AdaptiveAvgPool2d, "attendo.nn")
class _AdaptiveAvgPool2d:
    r"""Average of each of so many parts of an image, whatever its size.

    Parameters
    ----------
    output_size : int, None or a pair of them
        Height and width of the result, 1 or more; None keeps that of x.

    Raises
    ------
    ValueError
        When a size is below 1; at the call, when x is not (B, C, H, W) or empty.
    TypeError
        When a size is neither an integer nor None.

    Notes
    -----
    Output i of n sees the entries :math:`\lfloor iH/n \rfloor` to :math:`\lceil (i+1)H/n \rceil - 1` of an
    axis of H. The gradient: :func:`attendo.functional.adaptive_avg_pool2d`.

    References
    ----------
    He et al. 2014, §2.2. Lin et al. 2014, §3.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.nn.AdaptiveAvgPool2d((1, None))(np.zeros((2, 3, 8, 7))).shape
    (2, 3, 1, 7)

    Source: cpp/nn/pooling.cpp
    """

    def __init__(self, output_size: "PoolSize") -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (B, C, H, W) -> (B, C, H', W')."""


@page(AdaptiveMaxPool1d, "attendo.nn")
class _AdaptiveMaxPool1d:
    r"""Maximum of each of so many parts of a sequence, whatever its size.

    Parameters
    ----------
    output_size : int or None
        Length of the result, 1 or more; None keeps that of x.

    Raises
    ------
    ValueError
        When a size is below 1; at the call, when x is not (B, C, L) or empty.
    TypeError
        When a size is neither an integer nor None.

    Notes
    -----
    Output i of n sees the entries :math:`\lfloor iH/n \rfloor` to :math:`\lceil (i+1)H/n \rceil - 1` of an
    axis of H. The gradient: :func:`attendo.functional.adaptive_max_pool1d`.

    References
    ----------
    He et al. 2014, §2.2. Lin et al. 2014, §3.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.nn.AdaptiveMaxPool1d(4)(np.zeros((2, 3, 10))).shape
    (2, 3, 4)

    Source: cpp/nn/pooling.cpp
    """

    def __init__(self, output_size: int | None) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (B, C, L) -> (B, C, L')."""


@page(AdaptiveMaxPool2d, "attendo.nn")
class _AdaptiveMaxPool2d:
    r"""Maximum of each of so many parts of an image, whatever its size.

    Parameters
    ----------
    output_size : int, None or a pair of them
        Height and width of the result, 1 or more; None keeps that of x.

    Raises
    ------
    ValueError
        When a size is below 1; at the call, when x is not (B, C, H, W) or empty.
    TypeError
        When a size is neither an integer nor None.

    Notes
    -----
    Output i of n sees the entries :math:`\lfloor iH/n \rfloor` to :math:`\lceil (i+1)H/n \rceil - 1` of an
    axis of H. The gradient: :func:`attendo.functional.adaptive_max_pool2d`.

    References
    ----------
    He et al. 2014, §2.2. Lin et al. 2014, §3.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.nn.AdaptiveMaxPool2d((1, None))(np.zeros((2, 3, 8, 7))).shape
    (2, 3, 1, 7)

    Source: cpp/nn/pooling.cpp
    """

    def __init__(self, output_size: "PoolSize") -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (B, C, H, W) -> (B, C, H', W')."""

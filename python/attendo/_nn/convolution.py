"""Convolution as layers."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING

from .._core import (
    Conv1d,
    Conv2d,
    Tensor,
)
from .._pages import page

if TYPE_CHECKING:
    from .._typing import FloatDType, Padding, Pair, TensorLike


@page(Conv1d, "attendo.nn")
class _Conv1d:
    r"""Slide trained kernels over sequences.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O, 1 or more.
    kernel_size : int
        Length of the kernels, 1 or more.
    stride : int
        Step from one window to the next, 1 or more.
    padding : int, "same" or "valid"
        Positions of zeros at each end, 0 or more. "same": as many as keep the size, an odd one more at the
        end (stride must be 1); "valid": none.
    dilation : int
        Step from one entry of a window to the next, 1 or more.
    groups : int
        Parts into which the channels fall, each convolved for itself; it divides C and O. C: depthwise.
    bias : bool
        Add a bias to each channel.
    dtype : {"float32", "float64"}
        Of the parameters; the input must have it too.
    seed : int, optional
        Decides the parameters.

    Raises
    ------
    ValueError
        When channels, kernel_size, stride, dilation or groups are below 1, groups does not divide C and O,
        padding is negative or another word, or "same" meets a stride; at the call, when x is not (B, C, L) or
        the kernel covers more than the padded sequence.
    TypeError
        When dtype is neither; at the call, when x has another.

    Notes
    -----
    .. math:: y_{oi} = b_o + \sum_{c,u} W_{ocu}\, x_{c,\,is+ud}

    Parameters: ``weight`` (O, C / groups, k) and ``bias`` (O,), drawn uniformly from
    :math:`\pm 1/\sqrt{(C / \text{groups})\,k}`. The gradients: :func:`attendo.functional.conv1d`.

    References
    ----------
    Waibel et al. 1989. van den Oord et al. 2016, §2.1.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> layer = at.nn.Conv1d(3, 16, kernel_size=3, padding="same", dilation=2, seed=0)
    >>> layer(np.zeros((2, 3, 20), dtype="float32")).shape
    (2, 16, 20)

    Source: cpp/nn/convolution.cpp
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: "int | Padding" = 0,
        dilation: int = 1,
        groups: int = 1,
        *,
        bias: bool = True,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (B, C, L) -> (B, O, L')."""


@page(Conv2d, "attendo.nn")
class _Conv2d:
    r"""Slide trained kernels over images.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O, 1 or more.
    kernel_size : int or (int, int)
        Height and width of the kernels, 1 or more.
    stride : int or (int, int)
        Step from one window to the next, 1 or more.
    padding : int or (int, int), "same" or "valid"
        Rows and columns of zeros on each side, 0 or more. "same": as many as keep the size, an odd one more
        at the end (stride must be 1); "valid": none.
    dilation : int or (int, int)
        Step from one entry of a window to the next, 1 or more.
    groups : int
        Parts into which the channels fall, each convolved for itself; it divides C and O. C: depthwise.
    bias : bool
        Add a bias to each channel.
    dtype : {"float32", "float64"}
        Of the parameters; the input must have it too.
    seed : int, optional
        Decides the parameters.

    Raises
    ------
    ValueError
        When channels, kernel_size, stride, dilation or groups are below 1, groups does not divide C and O,
        padding is negative or another word, or "same" meets a stride; at the call, when x is not (B, C, H, W)
        or the kernel covers more than the padded image.
    TypeError
        When dtype is neither; at the call, when x has another.

    Notes
    -----
    .. math:: y_{oij} = b_o + \sum_{c,u,v} W_{ocuv}\, x_{c,\,is+ud,\,js+vd}

    Parameters: ``weight`` (O, C / groups, kh, kw) and ``bias`` (O,), drawn uniformly from
    :math:`\pm 1/\sqrt{(C / \text{groups})\,k_h k_w}`. The gradients: :func:`attendo.functional.conv2d`.

    References
    ----------
    LeCun et al. 1998, §II.A. Yu and Koltun 2016, eq. 2. Howard et al. 2017, §3.1. Article 000 §5.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> layer = at.nn.Conv2d(3, 16, kernel_size=3, padding=1, seed=0)
    >>> layer(np.zeros((2, 3, 8, 8), dtype="float32")).shape
    (2, 16, 8, 8)

    Source: cpp/nn/convolution.cpp
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: "Pair",
        stride: "Pair" = 1,
        padding: "Pair | Padding" = 0,
        dilation: "Pair" = 1,
        groups: int = 1,
        *,
        bias: bool = True,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (B, C, H, W) -> (B, O, H', W')."""

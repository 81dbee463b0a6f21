"""Normalisation beside layer norm and batch norm, and gates."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Literal

from .._core import GLU, GroupNorm, RMSNorm, Tensor
from .._pages import page

if TYPE_CHECKING:
    from .._typing import FloatDType, TensorLike


@page(RMSNorm, "attendo.nn")
class _RMSNorm:
    r"""Each row divided by the root of its mean square, then a trained gain of each feature.

    Parameters
    ----------
    normalized_shape : int
        Length n of the last axis, 1 or more.
    eps : float
        Added to the mean square, 0 or more.
    dtype : {"float32", "float64"}
        Of the parameter; the input must have it too.

    Raises
    ------
    ValueError
        When normalized_shape is below 1 or eps negative; at the call, when x's last axis is not of that
        length.
    TypeError
        When dtype is neither; at the call, when x has another.

    Notes
    -----
    .. math:: y = w \odot \frac{x}{\sqrt{\overline{x^2} + \varepsilon}}

    Parameter: ``weight`` w (n,), ones at first. The gradients: :func:`attendo.functional.rms_norm`.

    References
    ----------
    Zhang and Sennrich 2019, eq. 4.

    Examples
    --------
    >>> import attendo as at
    >>> norm = at.nn.RMSNorm(2, dtype="float64")
    >>> norm([[1.0, 7.0]]).numpy().round(3)
    array([[0.2, 1.4]])

    Source: cpp/nn/norms.cpp
    """

    def __init__(
        self, normalized_shape: int, *, eps: float = 1e-6, dtype: "FloatDType" = "float32"
    ) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (..., n) -> the same shape."""


@page(GroupNorm, "attendo.nn")
class _GroupNorm:
    r"""Each group of channels of a sample to mean 0 and variance 1, then a trained gain and shift of each.

    Parameters
    ----------
    num_groups : int
        Groups of neighbouring channels; divides num_channels.
    num_channels : int
        Channels C, 1 or more.
    eps : float
        Added to the variance, 0 or more.
    affine : bool
        Have the gain and the shift.
    dtype : {"float32", "float64"}
        Of the parameters; the input must have it too.

    Raises
    ------
    ValueError
        When num_channels is below 1, num_groups does not divide it, or eps is negative; at the call, when x
        has not C channels.
    TypeError
        When dtype is neither; at the call, when x has another.

    Notes
    -----
    .. math:: y_c = \gamma_c \frac{x_c - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta_c

    with mean and variance of a group over its channels and all positions. Parameters: ``weight``
    :math:`\gamma` (C,), ones at first, and ``bias`` :math:`\beta` (C,), zeros at first. The gradients:
    :func:`attendo.functional.group_norm`.

    References
    ----------
    Wu and He 2018, eq. 7.

    Examples
    --------
    >>> import attendo as at
    >>> norm = at.nn.GroupNorm(2, 4, dtype="float64")
    >>> norm([[1.0, 3.0, 10.0, 30.0]]).numpy().round(3)
    array([[-1.,  1., -1.,  1.]])

    Source: cpp/nn/norms.cpp
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        *,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: "FloatDType" = "float32",
    ) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (B, C, ...) -> the same shape."""


@page(GLU, "attendo.nn")
class _GLU:
    r"""One half of the features, each times a gate made of its partner in the other half.

    Parameters
    ----------
    activation : {"sigmoid", "silu", "gelu", "gelu_tanh", "relu"} or None
        The gate's function f; "silu" makes the layer SwiGLU.

    Raises
    ------
    ValueError
        When activation is another word; at the call, when x has an odd number of features.
    TypeError
        At the call, when x is neither float32 nor float64.

    Notes
    -----
    .. math:: y = a \odot f(b), \qquad [a, b] = x

    The value comes first, as in PyTorch. The gradients: :func:`attendo.functional.glu`.

    References
    ----------
    Dauphin et al. 2017, eq. 1. Shazeer 2020, eq. 5.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> gate = at.nn.Sequential(at.nn.Linear(4, 16), at.nn.GLU("silu"), at.nn.Linear(8, 4))
    >>> gate(np.zeros((3, 4), dtype="float32")).shape
    (3, 4)

    Source: cpp/nn/glu.cpp
    """

    def __init__(
        self, activation: 'Literal["sigmoid", "silu", "gelu", "gelu_tanh", "relu"] | None' = "sigmoid"
    ) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (..., 2n) -> (..., n)."""

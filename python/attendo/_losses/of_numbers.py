"""Losses of one number at a time."""
# mypy: disable-error-code="empty-body"

from .._core import Huber, Mean, MeanAbsoluteError, MeanSquaredError
from .._pages import page


@page(MeanSquaredError, "attendo.losses")
class _MeanSquaredError:
    r"""The mean of the squared differences.

    Raises
    ------
    ValueError
        At the call, when prediction and target differ in shape: nothing is broadcast.
    TypeError
        At the call, when they are not of one float dtype.

    Notes
    -----
    .. math:: \ell = \frac1n \sum_i (\hat y_i - y_i)^2, \qquad d\hat y = \frac2n (\hat y - y)

    Examples
    --------
    >>> import attendo as at
    >>> at.losses.MeanSquaredError()([1.0, 4.0], [1.0, 2.0])
    Tensor(2.)

    Source: cpp/train/pointwise_losses.cpp
    """

    def __init__(self) -> None: ...


@page(MeanAbsoluteError, "attendo.losses")
class _MeanAbsoluteError:
    r"""The mean of the absolute differences: outliers pull no harder than others.

    Raises
    ------
    ValueError
        At the call, when prediction and target differ in shape: nothing is broadcast.
    TypeError
        At the call, when they are not of one float dtype.

    Notes
    -----
    .. math:: \ell = \frac1n \sum_i |\hat y_i - y_i|, \qquad d\hat y = \frac1n \operatorname{sign}(\hat y - y)

    Examples
    --------
    >>> import attendo as at
    >>> at.losses.MeanAbsoluteError()([1.0, 4.0], [1.0, 2.0])
    Tensor(1.)

    Source: cpp/train/pointwise_losses.cpp
    """

    def __init__(self) -> None: ...


@page(Huber, "attendo.losses")
class _Huber:
    r"""Squared for small differences, absolute for those beyond delta.

    Parameters
    ----------
    delta : float
        :math:`\delta`, above 0.

    Raises
    ------
    ValueError
        When delta is not above 0; at the call, when prediction and target differ in shape.
    TypeError
        At the call, when they are not of one float dtype.

    Notes
    -----
    With :math:`a = |\hat y - y|`

    .. math::

        \ell = \frac1n \sum_i \begin{cases} \tfrac12 a_i^2 & a_i \le \delta \\
        \delta\,(a_i - \tfrac12 \delta) & \text{else} \end{cases}

    References
    ----------
    Huber 1964, "Robust estimation of a location parameter", eq. 2.6.

    Examples
    --------
    >>> import attendo as at
    >>> at.losses.Huber()([0.0, 0.0], [1.0, 3.0])
    Tensor(1.5)

    Source: cpp/train/pointwise_losses.cpp
    """

    def __init__(self, delta: float = 1.0) -> None: ...


@page(Mean, "attendo.losses")
class _Mean:
    r"""The mean of the losses that a model gives, for models that compute their own.

    The target must have as many samples and is not looked at.

    Raises
    ------
    ValueError
        At the call, when prediction is not one number a sample.
    TypeError
        At the call, when prediction is neither float32 nor float64.

    Notes
    -----
    .. math:: \ell = \frac1n \sum_i \hat y_i, \qquad d\hat y = \frac1n

    Examples
    --------
    >>> import attendo as at
    >>> at.losses.Mean()([1.0, 3.0], [0, 0])
    Tensor(2.)

    Source: cpp/train/pointwise_losses.cpp
    """

    def __init__(self) -> None: ...

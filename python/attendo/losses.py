"""Losses: one number for a batch. They never shift labels and never broadcast."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING

from ._core import CrossEntropy, Loss, Mean, MeanSquaredError, Tensor
from ._pages import page

if TYPE_CHECKING:
    from ._typing import TensorLike

__all__ = ["CrossEntropy", "Loss", "Mean", "MeanSquaredError"]


def __dir__() -> list[str]:
    return __all__


@page(Loss, "attendo.losses")
class _Loss:
    """What a Trainer minimizes: called with a prediction and a target, it gives a Tensor of shape ().

    Source: cpp/train/losses.cpp
    """

    def __call__(self, prediction: "TensorLike", target: "TensorLike") -> Tensor:
        """The loss of a batch, on the tape."""


@page(CrossEntropy, "attendo.losses")
class _CrossEntropy:
    r"""Cross-entropy of logits: the mean over the targets that count.

    Parameters
    ----------
    ignore_index : int, optional
        Targets with this class index do not count: padding.
    label_smoothing : float
        :math:`\varepsilon`, 0 to 1: this share of each target is spread evenly over all classes.

    Raises
    ------
    ValueError
        When label_smoothing is outside 0 to 1; at the call, as :func:`attendo.functional.cross_entropy`.

    Notes
    -----
    .. math::

        \ell = -\frac1N \sum_n \sum_j t_{nj} \log p_{nj}, \quad p = \mathrm{softmax}(x), \quad
        t = (1 - \varepsilon)\,\text{onehot} + \varepsilon / V, \qquad dx = (p - t) / N

    Called with logits (..., V) and class indices (...), or probabilities (..., V). The Trainer's accuracy is
    the share of counting targets whose logit is the largest.

    References
    ----------
    Szegedy et al. 2016, §7. Article 000 §5.2, article 002 §5.2, article 004 §5.3.2.

    Examples
    --------
    >>> import attendo as at
    >>> loss = at.losses.CrossEntropy(ignore_index=0)
    >>> loss
    CrossEntropy(ignore_index=0, label_smoothing=0)
    >>> logits = at.tensor([[0.0, 0.0], [0.0, 5.0]], requires_grad=True)
    >>> loss(logits, [1, 0]).backward()
    >>> logits.grad
    Tensor([[ 0.5, -0.5],
           [ 0. ,  0. ]])

    Source: cpp/train/losses.cpp, cpp/ops/cross_entropy.cpp
    """

    def __init__(self, ignore_index: int | None = None, label_smoothing: float = 0.0) -> None: ...


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

    Source: cpp/train/losses.cpp
    """

    def __init__(self) -> None: ...


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

    Source: cpp/train/losses.cpp
    """

    def __init__(self) -> None: ...

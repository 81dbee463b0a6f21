"""Losses: one number for a batch. They never shift labels and never broadcast."""
# mypy: disable-error-code="empty-body"

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from ._core import CrossEntropy, Loss, Mean, MeanSquaredError, Tensor
from ._pages import page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._typing import TensorLike

    OneOrMore: TypeAlias = TensorLike | tuple[TensorLike, ...]

__all__ = ["CrossEntropy", "Loss", "Mean", "MeanSquaredError", "from_function"]


def __dir__() -> list[str]:
    return __all__


@page(Loss, "attendo.losses")
class _Loss:
    r"""What a Trainer minimizes: called with a prediction and a target, it gives a Tensor of shape ().

    Write a subclass for one of your own, with

    ``forward(self, prediction, target)``
        The mean over the batch: a Tensor of shape (), computed from Tensors, so that it is on the tape. A
        loss that knows weights of samples takes them, of shape (samples,), as a third argument. With one
        target, prediction is the model's first output; with a tuple of targets, both are tuples.
    ``count(self, target)``, where that mean is not over samples
        Of how many it is the mean: batches of unequal counts are weighted by it. It too may take weights.
    ``correct(self, prediction, target)``, where there is a right and a wrong
        How many are right, and of how many: the accuracy.
    ``parameters(self)``, where the loss itself learns
        A dict of Tensors that require a gradient.

    Raises
    ------
    TypeError
        At the call, when forward gives anything but a Tensor, or does not take the weights it is given.
    ValueError
        At the call, when what forward gives is not of shape (), or does not depend on the prediction.

    Notes
    -----
    A batch that is worked through in parts, or on several machines, gives the loss of the whole: each part is
    :math:`\ell_b\, n_b / \sum_b n_b` with :math:`n` the counts.

    Examples
    --------
    >>> import attendo as at
    >>> class LogCosh(at.losses.Loss):
    ...     def forward(self, prediction, target):
    ...         d = prediction - target
    ...         return ((d.exp() + (-d).exp()) / 2).log().mean()
    >>> LogCosh()([[1.0], [3.0]], [[1.0], [3.0]])
    Tensor(0.)

    Source: cpp/train/losses.cpp
    """

    def __init__(self) -> None: ...

    def __call__(
        self, prediction: "OneOrMore", target: "OneOrMore", sample_weight: "TensorLike | None" = None
    ) -> Tensor:
        """The loss of a batch, on the tape.

        Parameters
        ----------
        prediction : array_like, Tensor, or tuple of them, shape (samples, ...)
            What a model gives.
        target : array_like, Tensor, or tuple of them, shape (samples, ...)
            What it is compared with.
        sample_weight : array_like or Tensor, shape (samples,), optional
            How much each sample counts, 0 or more.

        Returns
        -------
        Tensor, shape ()
        """

    def counts(self, target: "OneOrMore", sample_weight: "TensorLike | None" = None) -> list[float]:
        """How much a batch counts in each of the means that the loss is made of.

        Parameters
        ----------
        target : array_like, Tensor, or tuple of them, shape (samples, ...)
            Of the batch.
        sample_weight : array_like or Tensor, shape (samples,), optional
            How much each sample counts.

        Returns
        -------
        list of float
        """

    def part(
        self,
        prediction: "OneOrMore",
        target: "OneOrMore",
        totals: "Sequence[float]",
        sample_weight: "TensorLike | None" = None,
    ) -> Tensor:
        """What this batch adds to the loss of a larger one: its sums divided by the counts of that one.

        Parameters
        ----------
        prediction : array_like, Tensor, or tuple of them, shape (samples, ...)
            What a model gives.
        target : array_like, Tensor, or tuple of them, shape (samples, ...)
            What it is compared with.
        totals : sequence of float
            The sums of :meth:`counts` over all parts.
        sample_weight : array_like or Tensor, shape (samples,), optional
            How much each sample counts.

        Returns
        -------
        Tensor, shape ()

        Examples
        --------
        >>> import attendo as at
        >>> loss = at.losses.MeanSquaredError()
        >>> round(loss([1.0, 3.0, 5.0], [0.0, 0.0, 0.0]).item(), 3)
        11.667
        >>> parts = [loss.part([1.0, 3.0], [0.0, 0.0], [3]), loss.part([5.0], [0.0], [3])]
        >>> round((parts[0] + parts[1]).item(), 3)
        11.667
        """


class _Function(Loss):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function
        try:
            inspect.signature(function).bind(None, None, None)
        except TypeError:
            self._takes_weights = False
        except ValueError:  # it has no signature to ask
            self._takes_weights = True
        else:
            self._takes_weights = True

    def forward(self, prediction: Any, target: Any, *sample_weight: Tensor) -> Tensor:
        if sample_weight and not self._takes_weights:
            raise TypeError(f"{self!r} takes 2 arguments, but there is a sample_weight: let it take a third")
        return self.function(prediction, target, *sample_weight)

    def __repr__(self) -> str:
        return f"from_function({getattr(self.function, '__name__', type(self.function).__name__)})"


def from_function(function: Callable[..., Tensor]) -> Loss:
    """A loss of a function of your own.

    Parameters
    ----------
    function : callable
        ``function(prediction, target)`` or ``function(prediction, target, sample_weight)``, as the
        ``forward`` of a :class:`Loss`: the mean over the samples, a Tensor of shape ().

    Returns
    -------
    Loss

    Raises
    ------
    TypeError
        When function cannot be called, or is a class.

    Examples
    --------
    >>> import attendo as at
    >>> loss = at.losses.from_function(lambda prediction, target: ((prediction - target) ** 4).mean())
    >>> loss([1.0, 3.0], [1.0, 2.0])
    Tensor(0.5)
    """
    if isinstance(function, type):
        raise TypeError(
            f"from_function: function is the class {function.__name__}: call it: {function.__name__}()"
        )
    if not callable(function):
        raise TypeError(f"from_function: function is a {type(function).__name__} but must be callable")
    return _Function(function)


def as_loss(loss: Loss | Callable[..., Tensor]) -> Loss:
    """What a Trainer is given: a Loss as it is, any other callable as one."""
    return loss if isinstance(loss, Loss) else from_function(loss)


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

"""What a loss is, and losses of one's own."""
# mypy: disable-error-code="empty-body"

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from .._core import Loss, Tensor
from .._pages import page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import TensorLike

    OneOrMore: TypeAlias = TensorLike | tuple[TensorLike, ...]


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
        self,
        prediction: "OneOrMore",
        target: "OneOrMore | None",
        sample_weight: "TensorLike | None" = None,
    ) -> Tensor:
        """The loss of a batch, on the tape.

        Parameters
        ----------
        prediction : array_like, Tensor, or tuple of them, shape (samples, ...)
            What a model gives.
        target : array_like, Tensor, or tuple of them, shape (samples, ...)
            What it is compared with. None for a loss that compares predictions with one another.
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
        target: "OneOrMore | None",
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

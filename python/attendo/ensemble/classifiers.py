"""Several classifiers that decide together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from .._batched import batched
from .._core import Module
from ..functional import log_softmax, softmax
from ..metrics._pairs import whole
from .weights import shares

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .._typing import TensorLike
    from .weights import State

    Method: TypeAlias = Literal["average", "log_average", "vote"]

_METHODS = ("average", "log_average", "vote")


class Ensemble:
    """Several classifiers that decide together.

    Parameters
    ----------
    models : sequence of Module
        Each gives logits (samples, ..., V), as its first output, for the same inputs.
    method : {"average", "log_average", "vote"}
        The mean of the probabilities; their geometric mean, in which one model that is sure of "no" has a
        veto; or the majority of the likeliest classes.
    weights : array_like, shape (models,), optional
        How much each counts, 0 or more; all the same when not given.

    Raises
    ------
    ValueError
        When there is no model, method is none of these, or weights do not fit; at the call, when models give
        different shapes.
    TypeError
        When a model is no Module.

    Notes
    -----
    Of classes with as many votes the one with the higher mean probability is predicted; of those that have
    the same, the first.

    References
    ----------
    Hansen and Salamon 1990, "Neural Network Ensembles". Article 004 §9 question 9.

    Examples
    --------
    Three models, of which two say class 1, and one is sure of class 0:

    >>> import numpy as np
    >>> import attendo as at
    >>> models = [at.nn.Linear(1, 2) for _ in range(3)]
    >>> for model, bias in zip(models, ([3.0, 0.0], [0.0, 0.5], [0.0, 0.5])):
    ...     _ = model.load_state_dict({"weight": np.zeros((2, 1)), "bias": np.array(bias)})
    >>> x = np.zeros((1, 1), dtype="float32")
    >>> at.ensemble.Ensemble(models).predict(x), at.ensemble.Ensemble(models, "vote").predict(x)
    (array([0]), array([1]))

    Source: python/attendo/ensemble/classifiers.py
    """

    def __init__(
        self, models: Sequence[Module], method: Method = "average", weights: ArrayLike | None = None
    ) -> None:
        if isinstance(models, Module) or not isinstance(models, Sequence):
            raise TypeError(f"Ensemble: models is a {type(models).__name__} but must be a list of Modules")
        self.models = list(models)
        for i, model in enumerate(self.models):
            if not isinstance(model, Module):
                raise TypeError(f"Ensemble: models[{i}] is a {type(model).__name__} but must be a Module")
        if method not in _METHODS:
            raise ValueError(f"Ensemble: method is {method!r} but must be one of {_METHODS}")
        self.method = method
        self.weights = shares("Ensemble", weights, len(self.models))
        self._states: list[State] | None = None

    @classmethod
    def of_states(
        cls,
        model: Module,
        states: Sequence[State],
        method: Method = "average",
        weights: ArrayLike | None = None,
    ) -> Ensemble:
        """One model with several sets of parameters, such as those of :class:`Snapshots`.

        Parameters
        ----------
        model : Module
            During a prediction it holds each of the states in turn, and afterwards what it held before.
        states : sequence of dict
            What ``model.state_dict()`` gave.
        method, weights
            As of :class:`Ensemble`.

        Returns
        -------
        Ensemble
        """
        out = cls([model] * len(states), method, weights)
        out._states = list(states)
        return out

    @contextmanager
    def _member(self, i: int) -> Iterator[Module]:
        model = self.models[i]
        if self._states is None:
            yield model
            return
        before = model.state_dict()
        model.load_state_dict(dict(self._states[i]))
        try:
            yield model
        finally:
            model.load_state_dict(before)

    def _scores(
        self, call: str, inputs: Any, batch_size: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Probabilities, or shares of the votes; with votes also the mean probabilities."""
        arrays = tuple(np.asarray(x) for x in (inputs if isinstance(inputs, tuple) else (inputs,)))
        for x in arrays:
            if x.ndim == 0 or len(x) != len(arrays[0]) or not len(x):
                raise ValueError(
                    f"{call}: inputs have shape {x.shape} but must have a row for each sample, one or more"
                )
        batch_size = whole(call, "batch_size", batch_size, 1)
        total: NDArray[np.float64] | None = None
        votes: NDArray[np.float64] | None = None
        for i, weight in enumerate(self.weights):
            with self._member(i) as model:
                logits = np.concatenate([out.numpy() for _, out in batched(model, arrays, batch_size)])
            if total is not None and logits.shape != total.shape:
                raise ValueError(
                    f"{call}: models[{i}] gives shape {logits.shape} but those before give {total.shape}"
                )
            if not weight:
                continue
            exact = logits.astype(np.float64)
            each: Any = log_softmax(exact) if self.method == "log_average" else softmax(exact)
            total = weight * each if total is None else total + weight * each
            if self.method == "vote":
                one = weight * (np.arange(logits.shape[-1]) == logits.argmax(-1)[..., None])
                votes = one if votes is None else votes + one
        assert total is not None
        if self.method == "log_average":
            return np.asarray(softmax(total)), None
        return (total, None) if votes is None else (votes, total)

    def predict_proba(self, inputs: TensorLike | tuple[TensorLike, ...], *, batch_size: int = 256) -> Any:
        """How likely each class is.

        Parameters
        ----------
        inputs : array_like, shape (samples, ...), or tuple of them
            What the models' ``forward`` takes.
        batch_size : int
            Samples at a time, 1 or more; changes nothing but memory and speed.

        Returns
        -------
        ndarray of float64, shape (samples, ..., V)
            Rows that sum to one; with "vote" the share of the votes.
        """
        return self._scores("predict_proba", inputs, batch_size)[0]

    def predict(
        self, inputs: TensorLike | tuple[TensorLike, ...], *, batch_size: int = 256
    ) -> NDArray[np.int64]:
        """The likeliest class, or the one with most votes.

        Parameters
        ----------
        inputs, batch_size
            As of :meth:`predict_proba`.

        Returns
        -------
        ndarray of int64, shape (samples, ...)
        """
        share, mean = self._scores("predict", inputs, batch_size)
        if mean is not None:
            # Sums of weights that are equal but for rounding are equal.
            most = share >= share.max(-1, keepdims=True) - 1e-9
            share = np.where(most, mean, -1.0)
        out: NDArray[np.int64] = share.argmax(-1)
        return out

    def __repr__(self) -> str:
        return f"Ensemble({len(self.models)} models, method={self.method!r})"

"""What the estimators have in common: seeds, checks, training, and pickles without a pickled model."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight

from ...callbacks import EarlyStopping
from ...losses import CrossEntropy
from ...optim import AdamW
from ...train import Trainer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..._core import Module


class AttendoEstimator(BaseEstimator):
    """An estimator that holds one model, ``model_``.

    In a pickle the model is the bytes of a safetensors file and its sizes: attendo itself unpickles nothing.
    """

    model_: Module
    _model_config: dict[str, Any]

    def _make_model(self, config: dict[str, Any]) -> Module:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "model_" in state:
            state["model_"] = save_tensors(self.model_.state_dict())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        held = dict(state)
        weights = held.pop("model_", None)
        super().__setstate__(held)
        if weights is not None:
            model = self._make_model(self._model_config)
            model.load_state_dict(load_tensors(weights))
            self.model_ = model.eval()

    def _seed(self) -> int:
        """A seed from random_state: None is the system's entropy, and never NumPy's global state."""
        if self.random_state is None:
            return int(np.random.default_rng().integers(2**31))
        if isinstance(self.random_state, numbers.Integral):
            return int(check_random_state(int(self.random_state)).randint(2**31 - 1))
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _check_training(self) -> None:
        name = type(self).__name__
        for option in ("epochs", "batch_size"):
            value = getattr(self, option)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
                raise ValueError(f"{name}: {option} is {value!r} but must be a whole number, 1 or more")
        if self.early_stopping and not 0 < self.validation_fraction < 1:
            raise ValueError(
                f"{name}: validation_fraction is {self.validation_fraction!r} but must be between 0 and 1"
            )

    def _train(
        self,
        inputs: tuple[NDArray[Any], ...],
        target: NDArray[np.int64],
        weight: NDArray[np.float64] | None,
        seed: int,
        loss: CrossEntropy,
    ) -> None:
        """Train ``model_`` and set ``n_iter_``; samples of weight 0 are as if they were not there."""
        keep = np.arange(len(target)) if weight is None else np.flatnonzero(weight)
        held = keep[:0]
        if self.early_stopping:
            count = max(1, round(self.validation_fraction * len(keep)))
            if count >= len(keep):
                raise ValueError(
                    f"{type(self).__name__}: n_samples={len(keep)} is too few for early_stopping"
                )
            order = np.random.default_rng(seed).permutation(keep)
            held, keep = np.sort(order[:count]), np.sort(order[count:])

        def part(rows: NDArray[np.int64]) -> tuple[Any, ...]:
            x = tuple(a[rows] for a in inputs)
            return x, target[rows], None if weight is None else weight[rows]

        x, y, w = part(keep)
        trainer = Trainer(
            self.model_,
            loss,
            AdamW(lr=self.lr, weight_decay=self.weight_decay),
            seed=seed,
            clip_norm=1.0,
        )
        stopping = EarlyStopping(patience=self.n_iter_no_change, min_delta=self.tol, restore_best=True)
        history = trainer.fit(
            x,
            y,
            epochs=int(self.epochs),
            batch_size=int(self.batch_size),
            sample_weight=w,
            validation=part(held) if len(held) else None,
            callbacks=[stopping] if len(held) else (),
            progress=False,
        )
        self.model_.eval()
        self.n_iter_ = len(history["loss"])
        self.loss_curve_ = np.asarray(history["loss"])
        if len(held):
            self.validation_curve_ = np.asarray(history["val_loss"])


def sample_weights(
    name: str, sample_weight: Any, class_weight: Any, y: NDArray[Any]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Weights of the samples alone, and these times the weights of their classes; None for all 1."""
    own = None
    if sample_weight is not None:
        own = np.asarray(sample_weight, dtype=np.float64)
        if own.ndim == 0:
            own = np.full(len(y), float(own))
        if own.shape != (len(y),):
            raise ValueError(f"{name}: sample_weight has shape {own.shape} but must be ({len(y)},)")
        if not np.isfinite(own).all() or (own < 0).any():
            raise ValueError(f"{name}: sample_weight must be finite and 0 or more")
        if not own.any():
            raise ValueError(f"{name}: sample_weight is zero for all samples: there is nothing to learn from")
    if class_weight is None:
        return own, own
    # "balanced" is over the samples that are there, each as often as it weighs.
    if isinstance(class_weight, str) and class_weight == "balanced" and own is not None:
        _, places = np.unique(y, return_inverse=True)
        sizes = np.bincount(places, weights=own)
        with np.errstate(divide="ignore"):
            by_class = np.where(sizes > 0, own.sum() / ((sizes > 0).sum() * sizes), 0.0)
        return own, own * by_class[places]
    of_class = np.asarray(compute_sample_weight(class_weight, y), dtype=np.float64)
    return own, of_class if own is None else own * of_class


def texts_of(name: str, argument: str, values: Any) -> list[str]:
    """A list of str, from a list, an array or a column of a table.

    Raises
    ------
    TypeError
        When values is no row of str.
    """
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
        raise TypeError(f"{name}: {argument} is a {type(values).__name__} but must be a list of str")
    if getattr(values, "ndim", 1) != 1:
        raise ValueError(
            f"{name}: {argument} has shape {values.shape} but must be a row of str, (n_samples,)"
        )
    out = [str(v) if isinstance(v, str) else v for v in values]
    for i, text in enumerate(out):
        if not isinstance(text, str):
            raise TypeError(f"{name}: {argument}[{i}] is a {type(text).__name__} but must be a str")
    if not out:
        raise ValueError(f"{name}: {argument} is empty")
    return out

r"""A classifier of rows of numbers, in which features attend to each other.

    token_0 = c,   token_j = x_j w_j + b_j                       x standardized, one token a feature
    logits  = W relu(norm(layers(tokens)_0)) + b                 Gorishniy et al. 2021, §3.3 (FT-Transformer)

x: (B, F), w, b: (F, d), c: (d,), logits (B, classes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from ... import nn
from ..._batched import batched
from ...functional import softmax
from ...losses import CrossEntropy
from .base import AttendoEstimator, sample_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ..._core import Module, Tensor

_ROWS = 256


class FeatureTransformer(nn.Module):
    """The network: the first column of its input is of ones, and its token is c."""

    def __init__(
        self,
        features: int,
        classes: int,
        d_model: int,
        num_heads: int,
        num_layers: int,
        dff: int,
        dropout: float,
        dtype: str,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        # First, and with errors of its own: what the sizes must be.
        self.encoder = nn.Encoder(
            num_layers, d_model, num_heads, dff, dropout=dropout, norm_first=True, dtype=dtype, seed=seed
        )
        rng = np.random.default_rng(seed)
        width = d_model**-0.5
        self.weight = nn.Parameter(rng.uniform(-width, width, (features + 1, d_model)), dtype)
        self.bias = nn.Parameter(rng.uniform(-width, width, (features + 1, d_model)), dtype)
        self.head = nn.Linear(d_model, classes, dtype=dtype, seed=int(rng.integers(2**31)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of rows (B, 1 + F)."""
        tokens = x.reshape(x.shape[0], x.shape[1], 1) * self.weight + self.bias
        out: Tensor = self.head(self.encoder(tokens, return_weights=False)[:, 0].relu())
        return out


def validated(owner: Any, reset: bool, *arrays: Any, **options: Any) -> Any:
    """Checked arrays: scikit-learn 1.6 has a function for it, 1.3 to 1.5 a method."""
    try:
        from sklearn.utils.validation import validate_data
    except ImportError:
        return owner._validate_data(*arrays, reset=reset, **options)
    return validate_data(owner, *arrays, reset=reset, **options)


class AttentionClassifier(ClassifierMixin, AttendoEstimator):
    """A classifier of numeric features for scikit-learn: each is a token, and tokens attend to each other.

    Parameters
    ----------
    d_model : int
        Features of a token, a multiple of num_heads.
    num_heads, num_layers : int
        Of the encoder.
    dff : int, optional
        Features inside the feed-forward networks; 2 d_model when not given.
    dropout : float
        Probability, 0 or more and below 1.
    epochs : int
        Passes over the samples; with early_stopping the most.
    batch_size : int
        Samples a step.
    lr, weight_decay : float
        Of AdamW.
    class_weight : dict, "balanced" or None
        How much each class counts, as in scikit-learn.
    early_stopping : bool
        Set validation_fraction of the samples aside; stop after n_iter_no_change epochs in which their loss
        did not fall by tol, and keep the best.
    validation_fraction, n_iter_no_change, tol
        See early_stopping.
    dtype : {"float64", "float32"}
        What is computed in. float32 is faster.
    random_state : int, RandomState or None
        Decides parameters, order and dropout. None: another result each time.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
    n_features_in_, feature_names_in_
        As in scikit-learn.
    n_iter_ : int
        Epochs that were made.
    loss_curve_, validation_curve_ : ndarray, shape (n_iter_,)
        The loss of each epoch; the second with early_stopping.
    model_ : attendo.nn.Module
        The network.

    Raises
    ------
    ValueError
        In fit, when an option is out of range; as scikit-learn's classifiers on what is no data.
    TypeError
        When X is sparse.

    Notes
    -----
    Features are standardized with mean and deviation of the training set, weighted by sample_weight. A
    weight of w is a sample that occurs w times: as long as all samples fit into one batch, to the last
    digits. Memory and time of a sample grow with the square of the number of features.

    References
    ----------
    Gorishniy et al. 2021, "Revisiting Deep Learning Models for Tabular Data", §3.3.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> import attendo as at
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = at.interop.AttentionClassifier(epochs=20, random_state=0)
    >>> bool(cross_val_score(classifier, X, y, cv=3).mean() > 0.9)
    True

    Source: python/attendo/interop/estimators/tabular.py
    """

    def __init__(
        self,
        *,
        d_model: int = 16,
        num_heads: int = 4,
        num_layers: int = 1,
        dff: int | None = None,
        dropout: float = 0.0,
        epochs: int = 40,
        batch_size: int = 64,
        lr: float = 0.01,
        weight_decay: float = 1e-4,
        class_weight: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        dtype: Literal["float64", "float32"] = "float64",
        random_state: Any = None,
    ) -> None:
        self.d_model = d_model
        self.num_heads = num_heads
        self.num_layers = num_layers
        self.dff = dff
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.dtype = dtype
        self.random_state = random_state

    def _make_model(self, config: dict[str, Any]) -> Module:
        return FeatureTransformer(**config)

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> AttentionClassifier:
        """Learn from rows and their classes.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Finite numbers.
        y : array_like, shape (n_samples,)
            Classes: integers, strings, bools.
        sample_weight : array_like, shape (n_samples,), optional
            How much each counts, 0 or more.

        Returns
        -------
        AttentionClassifier
            Itself.
        """
        rows, labels = validated(self, True, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self._check_training()
        if self.dtype not in ("float64", "float32"):
            raise ValueError(
                f"AttentionClassifier: dtype is {self.dtype!r} but must be 'float64' or 'float32'"
            )
        self.classes_, target = np.unique(labels, return_inverse=True)
        own, weight = sample_weights("AttentionClassifier", sample_weight, self.class_weight, labels)
        self._mean, self._deviation = _moments(rows, own)
        seed = self._seed()
        self._model_config = {
            "features": rows.shape[1],
            "classes": len(self.classes_),
            "d_model": self.d_model,
            "num_heads": self.num_heads,
            "num_layers": self.num_layers,
            "dff": 2 * self.d_model if self.dff is None else self.dff,
            "dropout": self.dropout,
            "dtype": self.dtype,
        }
        self.model_ = FeatureTransformer(**self._model_config, seed=seed)
        self._train((self._columns(rows),), target.astype(np.int64), weight, seed, CrossEntropy())
        return self

    def _columns(self, X: NDArray[np.float64]) -> NDArray[Any]:
        """Standardized features behind a column of ones."""
        scaled = (X - self._mean) / self._deviation
        return np.column_stack([np.ones(len(X)), scaled]).astype(self.dtype)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """How likely each class is: (n_samples, n_classes), in the order of ``classes_``."""
        check_is_fitted(self)
        rows = self._columns(validated(self, False, X, dtype=np.float64))
        out = np.empty((len(rows), len(self.classes_)))
        for part, logits in batched(self.model_, (rows,), _ROWS):
            out[part] = softmax(logits.numpy().astype(np.float64))
        return out

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The likeliest class of each row: (n_samples,)."""
        likely = self.predict_proba(X).argmax(axis=1)
        out: NDArray[Any] = self.classes_[likely]
        return out


def _moments(
    X: NDArray[np.float64], weight: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each column; 1 where all are equal. Scaled first: squares do not overflow."""
    size = np.abs(X).max(axis=0)
    size[size == 0] = 1.0
    scaled = X / size
    mean = np.average(scaled, axis=0, weights=weight)
    deviation = np.sqrt(np.average((scaled - mean) ** 2, axis=0, weights=weight))
    deviation[deviation <= 10 * np.finfo(np.float64).eps * np.sqrt(len(X))] = 1.0
    return mean * size, deviation * size

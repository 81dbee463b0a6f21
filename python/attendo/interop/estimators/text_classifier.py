"""A classifier of texts: words as numbers, a transformer's encoder, the mean over the words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from ..._batched import batched
from ...functional import softmax
from ...losses import CrossEntropy
from ...models import EncoderClassifier
from ...text import Tokenizer, pad_sequences
from .base import AttendoEstimator, sample_weights, texts_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ..._core import Module

_ROWS = 64


class TextClassifier(ClassifierMixin, AttendoEstimator):
    """A classifier of texts for scikit-learn.

    Parameters
    ----------
    num_words : int, optional
        So many of the commonest words are known, as in :class:`attendo.text.Tokenizer`; all of the training
        texts when not given. Words that are not known are left out.
    char_level : bool
        Characters take the place of words.
    lower : bool
        Upper and lower case are one.
    max_len : int
        Words of a text that are read; what is behind them is not.
    d_model, num_heads, num_layers, dff, dropout
        Of the encoder: see :class:`attendo.models.EncoderClassifier`. dff is 2 d_model when not given.
    epochs, batch_size, lr, weight_decay, class_weight, early_stopping, validation_fraction,
    n_iter_no_change, tol
        As of :class:`AttentionClassifier`.
    random_state : int, RandomState or None
        Decides parameters, order and dropout. None: another result each time.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
    tokenizer_ : attendo.text.Tokenizer
    n_iter_ : int
        Epochs that were made.
    loss_curve_, validation_curve_ : ndarray, shape (n_iter_,)
    model_ : attendo.models.EncoderClassifier

    Raises
    ------
    TypeError
        When X is no row of str.
    ValueError
        In fit, when an option is out of range, or X and y are of different lengths.

    Examples
    --------
    >>> import attendo as at
    >>> texts = ["a fine film", "a dull film", "what a fine day", "what a dull day"] * 4
    >>> classifier = at.interop.TextClassifier(epochs=20, random_state=0).fit(texts, ["+", "-", "+", "-"] * 4)
    >>> classifier.predict(["fine", "so dull"])
    array(['+', '-'], dtype='<U1')

    Source: python/attendo/interop/estimators/text_classifier.py
    """

    def __init__(
        self,
        *,
        num_words: int | None = None,
        char_level: bool = False,
        lower: bool = True,
        max_len: int = 256,
        d_model: int = 32,
        num_heads: int = 4,
        num_layers: int = 1,
        dff: int | None = None,
        dropout: float = 0.1,
        epochs: int = 20,
        batch_size: int = 32,
        lr: float = 3e-3,
        weight_decay: float = 1e-2,
        class_weight: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        random_state: Any = None,
    ) -> None:
        self.num_words = num_words
        self.char_level = char_level
        self.lower = lower
        self.max_len = max_len
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
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags

    def _more_tags(self) -> dict[str, Any]:  # scikit-learn before 1.6
        return {"X_types": ["string"]}

    def _make_model(self, config: dict[str, Any]) -> Module:
        return EncoderClassifier(**config)

    def fit(self, X: Sequence[str], y: ArrayLike, sample_weight: ArrayLike | None = None) -> TextClassifier:
        """Learn from texts and their classes.

        Parameters
        ----------
        X : sequence of str, length n_samples
        y : array_like, shape (n_samples,)
            Classes: integers, strings, bools.
        sample_weight : array_like, shape (n_samples,), optional
            How much each counts, 0 or more.

        Returns
        -------
        TextClassifier
            Itself.
        """
        texts = texts_of("TextClassifier", "X", X)
        labels = column_or_1d(y, warn=True)
        check_consistent_length(texts, labels)
        check_classification_targets(labels)
        self._check_training()
        self.classes_, target = np.unique(labels, return_inverse=True)
        _, weight = sample_weights("TextClassifier", sample_weight, self.class_weight, labels)
        self.tokenizer_ = Tokenizer(num_words=self.num_words, lower=self.lower, char_level=self.char_level)
        self.tokenizer_.fit_on_texts(texts)
        known = len(self.tokenizer_.word_index) + 1
        self._empty = known if self.num_words is None else min(known, max(int(self.num_words), 1))
        seed = self._seed()
        self._model_config = {
            "vocab_size": self._empty + 1,
            "d_model": self.d_model,
            "num_heads": self.num_heads,
            "num_layers": self.num_layers,
            "max_len": self.max_len,
            "num_classes": len(self.classes_),
            "dff": 2 * self.d_model if self.dff is None else self.dff,
            "dropout": self.dropout,
            "pooling": "mean",
            "norm_first": True,
        }
        self.model_ = EncoderClassifier(**self._model_config, seed=seed)
        self._train(self._ids(texts), target.astype(np.int64), weight, seed, CrossEntropy())
        return self

    def _ids(self, texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Ids with 0 for padding, and which are words. A text of no known word is one token."""
        rows = [row or [self._empty] for row in self.tokenizer_.texts_to_sequences(texts)]
        longest = min(max(len(row) for row in rows), int(self.max_len))
        ids = pad_sequences(rows, longest, "int64", padding="post", truncating="post")
        return ids, ids != 0

    def predict_proba(self, X: Sequence[str]) -> NDArray[np.float64]:
        """How likely each class is: (n_samples, n_classes), in the order of ``classes_``."""
        check_is_fitted(self)
        texts = texts_of("TextClassifier", "X", X)
        out = np.empty((len(texts), len(self.classes_)))
        for part, logits in batched(self.model_, self._ids(texts), _ROWS):
            out[part] = softmax(logits.numpy().astype(np.float64))
        return out

    def predict(self, X: Sequence[str]) -> NDArray[Any]:
        """The likeliest class of each text: (n_samples,)."""
        likely = self.predict_proba(X).argmax(axis=1)
        out: NDArray[Any] = self.classes_[likely]
        return out

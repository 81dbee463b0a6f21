"""From text to text: the encoder-decoder Transformer on words, or on characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ...losses import CrossEntropy
from ...metrics import bleu
from ...models import Transformer
from ...text import Tokenizer, pad_sequences
from .base import AttendoEstimator, sample_weights, texts_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ..._core import Module

_ROWS = 64


class Seq2SeqTransformer(AttendoEstimator):
    """A translator for scikit-learn: texts in, texts out.

    Parameters
    ----------
    char_level : bool
        Characters take the place of words, which are cut at spaces: punctuation that should be a word of
        its own needs a space before it.
    lower : bool
        Texts, also those that come out, are lower-case.
    max_len : int
        The most words of a text, of X and of y. A longer one is an error: nothing is cut.
    metric : {"bleu", "exact"}
        What :meth:`score` gives: BLEU, from 0 to 100, or the share of texts that are right to the last
        sign. BLEU is 0 where no text has four words.
    num_beams : int
        1 is greedy decoding.
    d_model, num_heads, num_layers, dff, dropout
        Of the encoder and the decoder: see :class:`attendo.models.Transformer`. dff is 2 d_model when not
        given.
    label_smoothing : float
        0 to 1.
    epochs, batch_size, lr, weight_decay, early_stopping, validation_fraction, n_iter_no_change, tol
        As of :class:`AttentionClassifier`.
    random_state : int, RandomState or None
        Decides parameters, order and dropout. None: another result each time.

    Attributes
    ----------
    source_tokenizer_, target_tokenizer_ : attendo.text.Tokenizer
    n_iter_ : int
        Epochs that were made.
    loss_curve_, validation_curve_ : ndarray, shape (n_iter_,)
    model_ : attendo.models.Transformer

    Raises
    ------
    TypeError
        When X or y is no row of str.
    ValueError
        In fit, when an option is out of range, or X and y are of different lengths; when a text is longer
        than max_len.

    Notes
    -----
    Words of X that were not in training are left out.

    References
    ----------
    Vaswani et al. 2017, "Attention Is All You Need".

    Examples
    --------
    >>> import attendo as at
    >>> X = ["a b", "b a", "a a", "b b", "a", "b"] * 8
    >>> y = [" ".join(reversed(text.upper().split())) for text in X]
    >>> translator = at.interop.Seq2SeqTransformer(epochs=40, metric="exact", random_state=0).fit(X, y)
    >>> translator.predict(["a b", "b"])
    array(['B A', 'B'], dtype=object)
    >>> translator.score(X, y)
    1.0

    Source: python/attendo/interop/estimators/seq2seq.py
    """

    def __init__(
        self,
        *,
        char_level: bool = False,
        lower: bool = False,
        max_len: int = 128,
        metric: Literal["bleu", "exact"] = "bleu",
        num_beams: int = 1,
        d_model: int = 32,
        num_heads: int = 4,
        num_layers: int = 1,
        dff: int | None = None,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        epochs: int = 30,
        batch_size: int = 32,
        lr: float = 3e-3,
        weight_decay: float = 1e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        random_state: Any = None,
    ) -> None:
        self.char_level = char_level
        self.lower = lower
        self.max_len = max_len
        self.metric = metric
        self.num_beams = num_beams
        self.d_model = d_model
        self.num_heads = num_heads
        self.num_layers = num_layers
        self.dff = dff
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
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
        tags.target_tags.required = True
        return tags

    def _more_tags(self) -> dict[str, Any]:  # scikit-learn before 1.6
        return {"X_types": ["string"], "requires_y": True}

    def _make_model(self, config: dict[str, Any]) -> Module:
        return Transformer(**config)

    def fit(
        self, X: Sequence[str], y: Sequence[str], sample_weight: ArrayLike | None = None
    ) -> Seq2SeqTransformer:
        """Learn from texts and what they shall become.

        Parameters
        ----------
        X, y : sequence of str, length n_samples
        sample_weight : array_like, shape (n_samples,), optional
            How much each pair counts, 0 or more.

        Returns
        -------
        Seq2SeqTransformer
            Itself.
        """
        name = "Seq2SeqTransformer"
        sources, targets = texts_of(name, "X", X), texts_of(name, "y", y)
        check_consistent_length(sources, targets)
        self._check_training()
        self._check_metric()
        weight, _ = sample_weights(name, sample_weight, None, np.zeros(len(sources)))
        self.source_tokenizer_, self.target_tokenizer_ = self._tokenizer(sources), self._tokenizer(targets)
        rows = self.target_tokenizer_.texts_to_sequences(targets)
        self._check_lengths("y", rows)
        bos = len(self.target_tokenizer_.word_index) + 1  # and the end is one more
        seed = self._seed()
        self._model_config = {
            "d_model": self.d_model,
            "nhead": self.num_heads,
            "num_encoder_layers": self.num_layers,
            "num_decoder_layers": self.num_layers,
            "dff": 2 * self.d_model if self.dff is None else self.dff,
            "input_vocab_size": len(self.source_tokenizer_.word_index) + 2,
            "target_vocab_size": bos + 2,
            "max_len": int(self.max_len) + 1,
            "dropout": self.dropout,
        }
        self.model_ = Transformer(**self._model_config, seed=seed)
        tgt = pad_sequences([[bos, *row, bos + 1] for row in rows], dtype="int64", padding="post")
        self._train(
            (self._source_ids(sources), tgt[:, :-1]),
            tgt[:, 1:],
            weight,
            seed,
            CrossEntropy(ignore_index=0, label_smoothing=self.label_smoothing),
        )
        return self

    def _tokenizer(self, texts: list[str]) -> Tokenizer:
        out = Tokenizer(filters="", lower=self.lower, char_level=self.char_level)
        out.fit_on_texts(texts)
        return out

    def _check_metric(self) -> None:
        if self.metric not in ("bleu", "exact"):
            raise ValueError(f"Seq2SeqTransformer: metric is {self.metric!r} but must be 'bleu' or 'exact'")

    def _check_lengths(self, argument: str, rows: list[list[int]]) -> None:
        for i, row in enumerate(rows):
            if len(row) > self.max_len:
                raise ValueError(
                    f"Seq2SeqTransformer: {argument}[{i}] has {len(row)} words but max_len is {self.max_len}"
                )

    def _source_ids(self, texts: list[str]) -> NDArray[np.int64]:
        """Ids with an end behind them, and then 0 for padding."""
        rows = self.source_tokenizer_.texts_to_sequences(texts)
        self._check_lengths("X", rows)
        end = len(self.source_tokenizer_.word_index) + 1
        ids: NDArray[np.int64] = pad_sequences([[*row, end] for row in rows], dtype="int64", padding="post")
        return ids

    def predict(self, X: Sequence[str]) -> NDArray[np.object_]:
        """What the texts become: an array of str, (n_samples,)."""
        check_is_fitted(self)
        ids = self._source_ids(texts_of("Seq2SeqTransformer", "X", X))
        words = self.target_tokenizer_.index_word
        bos = len(words) + 1
        beams = {} if self.num_beams == 1 else {"num_beams": self.num_beams}
        out = np.empty(len(ids), dtype=object)
        for begin in range(0, len(ids), _ROWS):
            part = self.model_.translate(
                ids[begin : begin + _ROWS], bos_id=bos, eos_id=bos + 1, max_len=int(self.max_len) + 1, **beams
            )
            for i, row in enumerate(part.tolist(), begin):
                known = [words[n] for n in row if n in words]
                out[i] = ("" if self.char_level else " ").join(known)
        return out

    def score(self, X: Sequence[str], y: Sequence[str], sample_weight: ArrayLike | None = None) -> float:
        """How good what comes out is: BLEU (0 to 100) or the share that is right (0 to 1), by ``metric``.

        Parameters
        ----------
        X, y : sequence of str, length n_samples
        sample_weight : array_like, shape (n_samples,), optional
            How much each text counts; with "exact" only.
        """
        self._check_metric()
        truth = texts_of("Seq2SeqTransformer", "y", y)
        if self.lower:
            truth = [text.lower() for text in truth]
        said = self.predict(X).tolist()
        check_consistent_length(said, truth)
        if self.metric == "bleu":
            if sample_weight is not None:
                raise ValueError(
                    "Seq2SeqTransformer: BLEU is of a corpus: sample_weight is for metric='exact'"
                )
            return float(bleu(said, truth, tokenize="char" if self.char_level else "none"))
        # As words: two spaces are no mistake.
        pairs = zip(said, truth, strict=True)
        right = [a == b if self.char_level else a.split() == b.split() for a, b in pairs]
        weight, _ = sample_weights("Seq2SeqTransformer", sample_weight, None, np.zeros(len(right)))
        return float(np.average(right, weights=weight))

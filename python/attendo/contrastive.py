"""Contrastive learning: vectors of which those that belong together are near.

The losses are :class:`attendo.losses.InfoNCE`, :class:`~attendo.losses.NTXent` and
:class:`~attendo.losses.Triplet`; here are the models and the training around them. Without labels:

>>> import numpy as np
>>> import attendo as at
>>> ids = np.random.default_rng(0).integers(1, 50, (64, 8))
>>> text = at.models.TextEncoder(50, 16, 2, 1, max_len=8, dropout=0.1, seed=0)
>>> model = at.contrastive.SentenceEncoder(text, pooling="mean")
>>> trainer = at.train.Trainer(model, at.losses.InfoNCE(0.05), at.optim.Adam(1e-3),
...                            objective=at.contrastive.SimCSE())
>>> history = trainer.fit(ids, np.zeros(64), epochs=3, progress=False)
>>> bool(history["loss"][-1] < history["loss"][0])
True

With pairs, or triplets, that are known to belong together, one encoder sees both:

>>> pairs = at.contrastive.Siamese(at.nn.Linear(4, 2, seed=0))
>>> trainer = at.train.Trainer(pairs, at.losses.InfoNCE(0.1), at.optim.Adam(1e-2))
>>> a = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
>>> history = trainer.fit((a, a + 0.1), np.zeros(64), progress=False)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .nn import Module
from .train import Objective

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ._core import Tensor
    from .models import TextEncoder
    from .train import Batch, Trainer

__all__ = ["SentenceEncoder", "Siamese", "SimCSE", "triplets"]


def __dir__() -> list[str]:
    return __all__


class SimCSE(Objective):
    r"""Each sample is its own positive: the model sees it twice, and dropout makes the difference.

    The Trainer's loss compares the two: :class:`attendo.losses.InfoNCE` (SimCSE has ``InfoNCE(0.05,
    symmetric=False)``) or :class:`attendo.losses.NTXent`. The target is not looked at.

    Raises
    ------
    ValueError
        In training, when the model has no dropout that could make a difference, or does not give one vector a
        sample.

    Notes
    -----
    With :math:`h_i, h_i'` what the model gives for sample i with two drawings of dropout

    .. math::

        \ell = -\frac1N \sum_i \log
        \frac{e^{\cos(h_i, h_i') / \tau}}{\sum_j e^{\cos(h_i, h_j') / \tau}}

    Both drawings are of the generators that the Trainer seeds for each step: the same seed gives the same
    bits. For pairs that are known to belong together (supervised SimCSE), see :class:`Siamese`.

    References
    ----------
    Gao, Yao and Chen 2021, "SimCSE: simple contrastive learning of sentence embeddings", eq. 1 and 4.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.nn.Sequential(at.nn.Dropout(0.1), at.nn.Linear(8, 4, seed=0))
    >>> trainer = at.train.Trainer(model, at.losses.InfoNCE(0.05, symmetric=False), at.optim.Adam(0.01),
    ...                            objective=at.contrastive.SimCSE())
    >>> x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    >>> history = trainer.fit(x, np.zeros(64), epochs=5, progress=False)

    Source: python/attendo/contrastive.py
    """

    def loss(self, trainer: Trainer, batch: Batch) -> Tensor:
        """The loss of two passes over the batch."""
        first, second = (_one_vector(trainer.model(*batch.inputs)) for _ in range(2))
        if np.array_equal(first.numpy(), second.numpy()):
            raise ValueError(
                f"SimCSE: {type(trainer.model).__name__} gives the same twice: it needs dropout above 0"
            )
        return trainer.batch_loss(batch, outputs=(first, second))


class Siamese(Module):
    """One encoder for several inputs: pairs for InfoNCE and NT-Xent, triplets for the triplet loss.

    Parameters
    ----------
    encoder : Module
        Takes one input and gives one vector a sample.

    Notes
    -----
    Called with k inputs it gives k outputs. With (sentence, paraphrase) or (sentence, paraphrase,
    contradiction) and :class:`attendo.losses.InfoNCE` this is supervised SimCSE. What is wanted of a sample
    in the end is ``model.encoder(x)``.

    References
    ----------
    Bromley et al. 1993, "Signature verification using a siamese time delay neural network".
    Gao, Yao and Chen 2021, eq. 5.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.contrastive.Siamese(at.nn.Linear(4, 2, seed=0))
    >>> [y.shape for y in model(np.zeros((3, 4), "float32"), np.ones((3, 4), "float32"))]
    [(3, 2), (3, 2)]

    Source: python/attendo/contrastive.py
    """

    def __init__(self, encoder: Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """k inputs of shape (samples, ...) to k vectors a sample: (samples, d)."""
        return tuple(_one_vector(self.encoder(x)) for x in inputs)


class SentenceEncoder(Module):
    r"""A vector for each text: a text encoder, and pooling over its tokens.

    Parameters
    ----------
    encoder : attendo.models.TextEncoder
        Gives a vector for each token.
    pooling : {"mean", "first"}
        The mean of the real tokens, or the first token.
    pad_id : int, optional
        The id of padding: such tokens are not attended to, and do not count in the mean.

    Raises
    ------
    ValueError
        When pooling is neither; at the call, as the encoder.

    Notes
    -----
    .. math:: v = \frac{1}{n} \sum_{t \text{ real}} y_t \qquad\text{or}\qquad v = y_0

    A text without any real token becomes a vector of zeros.

    References
    ----------
    Reimers and Gurevych 2019, "Sentence-BERT", §3.

    Examples
    --------
    >>> import attendo as at
    >>> text = at.models.TextEncoder(50, 16, 2, 1, max_len=8, seed=0)
    >>> model = at.contrastive.SentenceEncoder(text, pooling="mean", pad_id=0).eval()
    >>> model([[5, 7, 9, 0], [5, 7, 9, 11]]).shape
    (2, 16)

    Source: python/attendo/contrastive.py
    """

    def __init__(
        self, encoder: TextEncoder, pooling: Literal["mean", "first"] = "mean", pad_id: int | None = None
    ) -> None:
        super().__init__()
        if pooling not in ("mean", "first"):
            raise ValueError(f"SentenceEncoder: pooling is {pooling!r} but must be 'mean' or 'first'")
        self.encoder, self.pooling, self.pad_id = encoder, pooling, pad_id

    def forward(self, ids: Tensor) -> Tensor:
        """ids (samples, length) to vectors (samples, d)."""
        real = None if self.pad_id is None else np.asarray(ids) != self.pad_id
        hidden = self.encoder(ids) if real is None else self.encoder(ids, mask=real)
        if self.pooling == "first":
            first: Tensor = hidden[:, 0]
            return first
        if real is None:
            return hidden.mean(axis=1)
        weights = real / np.maximum(1, real.sum(axis=1, keepdims=True))
        mean: Tensor = (hidden * weights[:, :, None].astype(hidden.dtype)).sum(axis=1)
        return mean


def triplets(
    labels: ArrayLike, *, seed: int | np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For each sample another of its class and one of another class: for :class:`attendo.losses.Triplet`.

    Parameters
    ----------
    labels : array_like, shape (samples,)
        The class of each sample.
    seed : int or numpy.random.Generator
        Decides what is drawn.

    Returns
    -------
    anchors, positives, negatives : ndarray of int64, shape (n,)
        Numbers of samples. A sample that is alone in its class is no anchor.

    Raises
    ------
    ValueError
        When labels have not one axis, there is one class only, or every sample is alone in its class.

    Examples
    --------
    >>> import attendo as at
    >>> labels = ["a", "b", "a", "b", "c"]
    >>> anchors, positives, negatives = at.contrastive.triplets(labels, seed=0)
    >>> anchors, positives
    (array([0, 1, 2, 3]), array([2, 3, 0, 1]))
    >>> all(labels[n] != labels[a] for a, n in zip(anchors, negatives))
    True
    """
    classes = np.asarray(labels)
    if classes.ndim != 1:
        raise ValueError(f"triplets: labels has shape {classes.shape} but must have shape (samples,)")
    _, which, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise ValueError(f"triplets: labels has {len(sizes)} class but must have two or more")
    anchors = np.flatnonzero(sizes[which] > 1)
    if not len(anchors):
        raise ValueError("triplets: every sample is alone in its class: there is no positive")
    rng = np.random.default_rng(seed)
    # Samples by class; a positive is some places further on in the class, a negative anywhere outside of it.
    order = np.argsort(which, kind="stable")
    starts = np.cumsum(sizes) - sizes
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    kind = which[anchors]
    start, size = starts[kind], sizes[kind]
    step = 1 + rng.integers(0, size - 1)
    positives = order[start + (place[anchors] - start + step) % size]
    outside = rng.integers(0, len(order) - size)
    negatives = order[np.where(outside < start, outside, outside + size)]
    return anchors, positives, negatives


def _one_vector(output: Any) -> Tensor:
    vector: Tensor = output[0] if isinstance(output, tuple) else output
    if vector.ndim != 2:
        raise ValueError(
            f"contrastive: the model gives shape {vector.shape} but must give (samples, d), a vector a sample"
        )
    return vector

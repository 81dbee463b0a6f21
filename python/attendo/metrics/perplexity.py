r"""Perplexity: e to the mean surprise of a token.

    PPL = exp( -1/N Σ_n log p_n ),   over the N tokens that count

Jelinek et al. 1977. The surprise is `cross_entropy`'s, the mean is over tokens and never over batches.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ._pairs import array, kept, whole

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Module
    from .._typing import TensorLike
    from ._pairs import Prediction, Target


def _exp(surprise: float) -> float:
    try:
        return math.exp(surprise)
    except OverflowError:
        return math.inf


def _surprise(
    call: str, logits: Any, target: Any, ignore_index: int | None, mask: ArrayLike | None
) -> tuple[float, int]:
    """The sum of -log p over the targets that count, and how many do."""
    from ..functional import cross_entropy

    scores, truth = array(call, "prediction", logits), array(call, "target", target)
    if scores.ndim == 0 or scores.shape[:-1] != truth.shape:
        raise ValueError(
            f"{call}: prediction has shape {scores.shape} but must be {(*truth.shape, 'V')}: logits of V "
            "tokens for each target"
        )
    if scores.dtype not in (np.float32, np.float64):
        raise TypeError(f"{call}: prediction has dtype {scores.dtype} but must be float32 or float64: logits")
    if truth.dtype.kind not in "iu":
        raise TypeError(f"{call}: target has dtype {truth.dtype} but must be of integers")
    keep = kept(call, truth, ignore_index, mask)
    count = int(keep.sum())
    if not count:
        return 0.0, 0
    each = cross_entropy(scores[keep], truth[keep], reduction="none")
    return float(np.sum(each, dtype=np.float64)), count


def perplexity(
    prediction: Prediction,
    target: Target,
    *,
    ignore_index: int | None = None,
    mask: ArrayLike | None = None,
) -> float:
    r"""Between how many tokens, equally likely, a model might as well choose.

    Parameters
    ----------
    prediction : array_like or Tensor, shape (..., V)
        Logits, float32 or float64.
    target : array_like of int, shape (...)
        The tokens that came. Nothing is shifted: see :func:`attendo.text.next_token_pairs`.
    ignore_index : int, optional
        Targets that do not count: padding.
    mask : array_like of bool, shape (...), optional
        True where a target counts.

    Returns
    -------
    float
        1 or more; infinite where a target was impossible.

    Raises
    ------
    ValueError
        When the shapes do not fit, a target that counts is outside 0 to V - 1, or none counts.
    TypeError
        When prediction is not of floats, or target not of integers.

    Notes
    -----
    .. math:: \exp\Bigl(-\frac1N \sum_n \log \mathrm{softmax}(x_n)_{y_n}\Bigr)

    References
    ----------
    Jelinek et al. 1977, "Perplexity: a measure of the difficulty of speech recognition tasks".

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> round(at.metrics.perplexity(np.zeros((3, 50)), [4, 7, 9]), 6)
    50.0

    Source: python/attendo/metrics/perplexity.py
    """
    total, count = _surprise("perplexity", prediction, target, ignore_index, mask)
    if not count:
        raise ValueError("perplexity: no target counts")
    return _exp(total / count)


def perplexity_from_loss(loss: ArrayLike, tokens: ArrayLike | None = None) -> float:
    """The perplexity of mean losses, such as a history's or those of several batches.

    Parameters
    ----------
    loss : float or array_like, shape (n,)
        Mean cross-entropies, with natural logarithms.
    tokens : array_like of int, shape (n,), optional
        Over how many tokens each is the mean. Needed for more than one loss: the mean of means is another
        number where batches differ.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        When a loss is negative or NaN, there are several and no tokens, or shapes differ.

    Examples
    --------
    >>> import attendo as at
    >>> round(at.metrics.perplexity_from_loss([2.0, 4.0], tokens=[300, 100]), 3)  # e**2.5
    12.182

    Source: python/attendo/metrics/perplexity.py
    """
    losses = np.atleast_1d(np.asarray(loss, dtype=np.float64))
    if losses.ndim != 1 or not losses.size:
        raise ValueError(f"perplexity_from_loss: loss has shape {losses.shape} but must be a number or a row")
    if not (losses >= 0).all():
        raise ValueError("perplexity_from_loss: loss must be 0 or more: the mean of -log p")
    if tokens is None:
        if losses.size > 1:
            raise ValueError(
                f"perplexity_from_loss: loss has {losses.size} means: tokens= must say over how many tokens "
                "each is"
            )
        return _exp(float(losses[0]))
    counts = np.atleast_1d(np.asarray(tokens))
    if counts.shape != losses.shape:
        raise ValueError(f"perplexity_from_loss: tokens has shape {counts.shape} but loss has {losses.shape}")
    if counts.dtype.kind not in "iu" or (counts < 0).any() or not counts.sum():
        raise ValueError("perplexity_from_loss: tokens must be integers, 0 or more, and not all 0")
    return _exp(float(losses[counts > 0] @ counts[counts > 0] / counts.sum()))


def model_perplexity(
    model: Module,
    inputs: TensorLike | tuple[TensorLike, ...],
    target: ArrayLike,
    *,
    ignore_index: int | None = None,
    mask: ArrayLike | None = None,
    batch_size: int = 32,
) -> float:
    """The perplexity of a model on data: in evaluation mode, batch by batch, each token counting the same.

    Parameters
    ----------
    model : Module
        What gives logits (B, L, V), as its first output.
    inputs : array_like, shape (samples, ...), or tuple of them
        What its ``forward`` takes.
    target : array_like of int, shape (samples, L)
        The tokens that came.
    ignore_index : int, optional
        Targets that do not count: padding.
    mask : array_like of bool, shape (samples, L), optional
        True where a target counts.
    batch_size : int
        Samples at a time, 1 or more; changes nothing but memory and speed.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        As :func:`perplexity`; and when inputs have not as many samples as target.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.models.DecoderLM(vocab_size=20, d_model=8, num_heads=2, num_layers=1, max_len=8, seed=0)
    >>> ids, following = at.text.next_token_pairs(np.random.default_rng(0).integers(0, 20, (16, 9)))
    >>> bool(15 < at.metrics.model_perplexity(model, ids, following) < 30)
    True

    Source: python/attendo/metrics/perplexity.py
    """
    from .._batched import batched

    call = "model_perplexity"
    given = tuple(array(call, "inputs", x) for x in (inputs if isinstance(inputs, tuple) else (inputs,)))
    truth = array(call, "target", target)
    keep = None if mask is None else array(call, "mask", mask)
    samples = len(truth) if truth.ndim else 0
    for x in given:
        if x.ndim == 0 or len(x) != samples:
            raise ValueError(
                f"{call}: inputs have shape {x.shape} but target has {truth.shape}: a row a sample"
            )
    if keep is not None and keep.shape != truth.shape:
        raise ValueError(f"{call}: mask has shape {keep.shape} but target has {truth.shape}")
    batch_size = whole(call, "batch_size", batch_size, 1)
    total, count = 0.0, 0
    for part, logits in batched(model, given, batch_size):
        some = _surprise(call, logits, truth[part], ignore_index, None if keep is None else keep[part])
        total, count = total + some[0], count + some[1]
    if not count:
        raise ValueError(f"{call}: no target counts")
    return _exp(total / count)

"""What the weights of attention look like, without writing them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import Tensor

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .._typing import FloatArray, MaskLike, TensorLike
    from ..score_mods import ScoreMod


class AttentionStats:
    """Entropy, maximum and largest weights of every row of attention's weights.

    Made by :func:`attendo.attention_stats`. All are arrays, off the tape.

    Attributes
    ----------
    entropy : ndarray, shape (..., H, L)
        In nats: 0 where one key takes all, log S where all S keys share alike.
    maximum : ndarray, shape (..., H, L)
        The largest weight.
    lse : ndarray, shape (..., H, L)
        Logarithm of the sum of exponentials of the scores.
    top_keys : ndarray of int64, shape (..., H, L, k)
        The keys with the largest weights, largest first, of equal ones the lower key first; -1 where fewer
        may be attended to.
    top_weights : ndarray, shape (..., H, L, k)
        Their weights; 0 beside -1.
    out : ndarray, shape (..., H, L, Dv), or None
        The output of attention, where v was given.
    """

    def __init__(
        self,
        entropy: FloatArray,
        maximum: FloatArray,
        lse: FloatArray,
        top_keys: NDArray[np.int64],
        top_weights: FloatArray,
        out: FloatArray | None,
        scores: tuple[Any, ...],
    ) -> None:
        self.entropy, self.maximum, self.lse = entropy, maximum, lse
        self.top_keys, self.top_weights, self.out = top_keys, top_weights, out
        self._scores = scores  # q, k and options: what row_weights computes from

    def row_weights(self, rows: int | ArrayLike) -> FloatArray:
        """The weights of one query or of some, computed now.

        Parameters
        ----------
        rows : int or array_like of int, shape (R,)
            Which queries; negative ones count from the end.

        Returns
        -------
        ndarray, shape (..., H, S) or (..., H, R, S)
            To the bit what ``attention(..., return_weights=True)`` gives.

        Raises
        ------
        ValueError
            When there is no such query.
        TypeError
            When rows are not integers.

        Examples
        --------
        See :func:`attendo.attention_stats`.
        """
        q, k, *options = self._scores
        return _core.attention_row_weights(q, k, rows, *options)

    def _heads(self) -> list[tuple[str, FloatArray, FloatArray]]:
        # Name, entropies and maxima of each head of each batch entry.
        axes = self.entropy.shape[:-1]
        return [
            (", ".join(map(str, index)), self.entropy[index], self.maximum[index])
            for index in np.ndindex(axes)
        ]

    def __repr__(self) -> str:
        text = f"AttentionStats(rows={self.entropy.shape}, top_k={self.top_keys.shape[-1]}"
        if self.entropy.size:
            text += f", mean entropy {self.entropy.mean():.4g}, mean maximum {self.maximum.mean():.4g}"
        return text + ")"

    def _repr_html_(self) -> str:
        most = 32
        heads = self._heads()
        rows = "".join(
            f"<tr><td>{name or 'all'}</td><td>{entropy.mean():.4g}</td><td>{entropy.min():.4g}</td>"
            f"<td>{entropy.max():.4g}</td><td>{maximum.mean():.4g}</td></tr>"
            for name, entropy, maximum in heads[:most]
            if entropy.size
        )
        more = f"<p>and {len(heads) - most} more</p>" if len(heads) > most else ""
        return (
            f"<table><caption>Attention weights of {self.entropy.shape[-1]} queries</caption>"
            "<thead><tr><th>head</th><th>mean entropy</th><th>least</th><th>most</th><th>mean maximum</th>"
            f"</tr></thead><tbody>{rows}</tbody></table>{more}"
        )


def _kept(x: Any) -> Any:
    # What row_weights reads later: writes of the caller must not reach it.
    if isinstance(x, Tensor):
        return x.detach().clone()
    return _core.tensor(x) if isinstance(x, np.ndarray) else x


def _traced(score_mod: ScoreMod | None) -> Any:
    if score_mod is None:
        return None
    from .. import _score_trace  # read on first use

    return _score_trace.trace(score_mod)


def attention_stats(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike | None = None,
    *,
    mask: MaskLike | None = None,
    bias: TensorLike | None = None,
    scale: float | None = None,
    q_offset: int | None = None,
    softcap: float | None = None,
    score_mod: ScoreMod | None = None,
    top_k: int = 5,
) -> AttentionStats:
    r"""Entropy, maximum and largest weights of every row, in memory linear in L and S.

    Parameters
    ----------
    q : array_like or Tensor, shape (..., H, L, D)
        Queries, float32 or float64. ``(L, D)`` and ``(H, L, D)`` work as well.
    k : array_like or Tensor, shape (..., Hkv, S, D)
        Keys. H is a multiple of Hkv; query head h reads key head ``h // (H // Hkv)``.
    v : array_like or Tensor, shape (..., Hkv, S, Dv), optional
        Values: the output of attention is then computed as well, in a pass of its own.
    mask : Mask or array_like of bool, broadcastable to (..., H, L, S), optional
        **True = may attend.** See :mod:`attendo.masks`.
    bias : array_like or Tensor, broadcastable to (..., H, L, S), optional
        Added to the scaled scores.
    scale : float, optional
        Multiplies the scores; :math:`1/\sqrt{D}` when not given.
    q_offset : int, optional
        Position of the first query among the keys. Needed for a causal mask when L and S differ.
    softcap, score_mod
        As in :func:`attendo.attention`.
    top_k : int
        How many of the largest weights to keep of each row, 0 or more; all S where S is less.

    Returns
    -------
    AttentionStats
        With ``entropy``, ``maximum``, ``lse``, ``top_keys``, ``top_weights`` and ``out``, arrays all of them,
        and ``row_weights(i)`` for the weights of single rows. It keeps copies of q and k for that. A query
        that may attend to nothing has entropy 0, maximum 0, lse -inf and keys -1. One whose scores hold a NaN
        or +inf has NaN in place of all numbers and keys -1.

    Raises
    ------
    ValueError
        When shapes do not fit, as in :func:`attendo.attention`; when top_k is negative.
    TypeError
        When a dtype is not float32 or float64, dtypes differ, ``mask`` is not bool, or top_k is no integer.

    Notes
    -----
    .. math::

        H_i = -\sum_j P_{ij} \log P_{ij} = \mathrm{lse}_i - \sum_j P_{ij} s_{ij}, \qquad
        \max_j P_{ij} = e^{\max_j s_{ij} - \mathrm{lse}_i}

    are summed block by block as attention's softmax is, relative to the largest score so far; the largest
    scores wait in a heap for each query. Off the tape: there is no gradient. Cost: :math:`H L S D`
    multiply-adds, less than attention, and memory for the results alone.

    References
    ----------
    Shannon 1948, "A mathematical theory of communication". Milakov and Gimelshein 2018, "Online normalizer
    calculation for softmax". Entropy of heads: Clark et al. 2019, "What does BERT look at?".

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> q = np.array([[0.0, 0.0], [4.0, 0.0]])
    >>> k = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    >>> stats = at.attention_stats(q, k, top_k=2)
    >>> stats.entropy.round(3)
    array([1.099, 0.025])
    >>> stats.top_keys
    array([[0, 1],
           [2, 0]])
    >>> stats.row_weights(1).round(3)
    array([0.003, 0.   , 0.996])

    Source: cpp/attention/attention_stats.cpp
    """
    program = _traced(score_mod)
    results = _core.attention_stats(q, k, v, mask, bias, scale, q_offset, top_k, softcap, program)
    kept = tuple(map(_kept, (q, k, mask, bias)))
    return AttentionStats(*results, (*kept, scale, q_offset, softcap, program))


def attention_row_weights(
    q: TensorLike,
    k: TensorLike,
    rows: int | ArrayLike,
    *,
    mask: MaskLike | None = None,
    bias: TensorLike | None = None,
    scale: float | None = None,
    q_offset: int | None = None,
    softcap: float | None = None,
    score_mod: ScoreMod | None = None,
) -> FloatArray:
    r"""The weights of some queries only: a long sequence's are never all there at once.

    Parameters
    ----------
    q, k, mask, bias, scale, q_offset, softcap, score_mod
        As in :func:`attendo.attention`.
    rows : int or array_like of int, shape (R,)
        Which queries; negative ones count from the end.

    Returns
    -------
    ndarray, shape (..., H, S) or (..., H, R, S)
        To the bit what ``attention(..., return_weights=True)`` gives; off the tape.

    Raises
    ------
    ValueError
        When shapes do not fit, as in :func:`attendo.attention`, or there is no such query.
    TypeError
        When a dtype is not float32 or float64, dtypes differ, ``mask`` is not bool, or rows are not integers.

    Notes
    -----
    .. math::

        P_{ij} = \frac{e^{s_{ij}}}{\sum_{j'} e^{s_{ij'}}}

    Cost: the block of queries that a row is of (16 to 64) is computed whole.

    References
    ----------
    Vaswani et al. 2017, "Attention is all you need", eq. 1.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> q = k = np.eye(3)
    >>> at.attention_row_weights(q, k, 1, mask=at.masks.causal()).round(2)
    array([0.36, 0.64, 0.  ])

    Source: cpp/attention/attention_stats.cpp
    """
    program = _traced(score_mod)
    return _core.attention_row_weights(q, k, rows, mask, bias, scale, q_offset, softcap, program)

"""Attention over sequences of unequal lengths that lie one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Generator
    from .._typing import TensorLike


def attention_packed(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    *,
    offsets: ArrayLike,
    k_offsets: ArrayLike | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    generator: Generator | None = None,
    q_offset: int | ArrayLike | None = None,
    softcap: float | None = None,
) -> Any:
    r"""Attention of a batch of sequences of unequal lengths, without padding.

    The sequences lie one after the other along the axis of positions; each attends to itself alone.

    Parameters
    ----------
    q : array_like or Tensor, shape (H, total L, D)
        Queries of all sequences, float32 or float64; ``(total L, D)`` without heads.
    k : array_like or Tensor, shape (Hkv, total S, D)
        Keys. H is a multiple of Hkv; query head h reads key head ``h // (H // Hkv)``.
    v : array_like or Tensor, shape (Hkv, total S, Dv)
        Values.
    offsets : array_like of int, shape (B + 1,)
        Where each sequence begins, and where the last one ends: sequence n is the rows ``offsets[n]`` to
        ``offsets[n + 1] - 1``. From 0 to total L, never decreasing; a sequence may be empty.
    k_offsets : array_like of int, shape (B + 1,), optional
        The same for k and v, from 0 to total S; ``offsets`` when not given.
    causal : bool
        Query i of a sequence sees the keys j <= i + q_offset of the same one. Positions count from 0 in each.
    scale : float, optional
        Multiplies the scores; :math:`1/\sqrt{D}` when not given.
    dropout : float
        Probability of dropping a weight, 0 or more and below 1. Needs ``generator``.
    generator : Generator, optional
        Where the random bits come from. What is dropped is what :func:`attendo.attention` drops in the
        padded batch.
    q_offset : int or array_like of int, shape (B,), optional
        Position of each sequence's first query among its keys. Needed for ``causal`` where a sequence has not
        as many queries as keys.
    softcap : float, optional
        c above 0: the scaled scores s become :math:`c \tanh(s / c)`.

    Returns
    -------
    ndarray or Tensor, shape (H, total L, Dv)
        An array when all inputs are arrays; a tracked Tensor when one is a Tensor. The queries of a sequence
        without keys give zeros.

    Raises
    ------
    ValueError
        When q, k and v are not all two- or all three-dimensional or do not fit; when offsets do not begin
        with 0, decrease, or do not end with the number of rows; when k_offsets or q_offset are not as many;
        when scale is not finite or dropout is out of range or lacks ``generator``; when ``causal`` over
        unequal lengths lacks ``q_offset``.
    TypeError
        When a dtype is not float32 or float64, dtypes differ, or offsets are not integers.

    Notes
    -----
    .. math::

        o_i = \sum_{j \in n(i)} P_{ij} v_j, \qquad
        P_{ij} = \frac{e^{s_{ij}}}{\sum_{j' \in n(i)} e^{s_{ij'}}}, \qquad
        s_{ij} = \text{scale}\; q_i \cdot k_j

    with :math:`n(i)` the keys of the sequence query i is of; the gradients are those of
    :func:`attendo.attention`. Every sequence gives the bits it gives alone, forwards and backwards, and costs
    what it costs alone: :math:`H \sum_n L_n S_n (D + D_v)` multiply-adds, no row of padding.

    The heads come before the positions here, as everywhere in this package; the "varlen" functions of
    flash-attn and PyTorch take ``(total, heads, features)``: give ``x.transpose(1, 0, 2)``. Their causal mask
    over unequal lengths lets the last query see the last key; here ``q_offset`` says so.

    References
    ----------
    Dao et al. 2022, "FlashAttention". Krell et al. 2021, "Efficient sequence packing without
    cross-contamination".

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.arange(10.0).reshape(1, 5, 2)  # a sequence of two positions, one of three
    >>> out = at.attention_packed(x, x, x, offsets=[0, 2, 5], causal=True)
    >>> np.array_equal(out[:, 2:], at.attention(x[:, 2:], x[:, 2:], x[:, 2:], mask=at.masks.causal()))
    True

    Source: cpp/attention/packed.cpp
    """
    return _core.attention_packed(
        q, k, v, offsets, k_offsets, causal, scale, dropout, generator, q_offset, softcap
    )

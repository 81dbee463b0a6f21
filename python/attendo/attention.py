"""Attention as one function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from . import _core, _score_trace

if TYPE_CHECKING:
    from ._core import Generator
    from ._typing import MaskLike, TensorLike
    from .score_mods import ScoreMod

__all__ = ["attention"]


@overload
def attention(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    *,
    mask: MaskLike | None = None,
    bias: TensorLike | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    score_mod: ScoreMod | None = None,
    sinks: TensorLike | None = None,
    dropout: float = 0.0,
    generator: Generator | None = None,
    q_offset: int | None = None,
    return_weights: Literal[False] = False,
) -> Any: ...
@overload
def attention(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    *,
    mask: MaskLike | None = None,
    bias: TensorLike | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    score_mod: ScoreMod | None = None,
    sinks: TensorLike | None = None,
    dropout: float = 0.0,
    generator: Generator | None = None,
    q_offset: int | None = None,
    return_weights: Literal[True],
) -> tuple[Any, Any]: ...
def attention(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    *,
    mask: MaskLike | None = None,
    bias: TensorLike | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    score_mod: ScoreMod | None = None,
    sinks: TensorLike | None = None,
    dropout: float = 0.0,
    generator: Generator | None = None,
    q_offset: int | None = None,
    return_weights: bool = False,
) -> Any:
    r"""Scaled dot-product attention.

    Each query looks at all keys it may attend to, and gets the mean of their values, weighted by how well
    they match.

    Parameters
    ----------
    q : array_like or Tensor, shape (..., H, L, D)
        Queries, float32 or float64. ``(L, D)`` and ``(H, L, D)`` work as well.
    k : array_like or Tensor, shape (..., Hkv, S, D)
        Keys. H is a multiple of Hkv; query head h reads key head ``h // (H // Hkv)``.
    v : array_like or Tensor, shape (..., Hkv, S, Dv)
        Values.
    mask : Mask or array_like of bool, broadcastable to (..., H, L, S), optional
        **True = may attend.** See :mod:`attendo.masks`.
    bias : array_like or Tensor, broadcastable to (..., H, L, S), optional
        Added to the scores; gets a gradient when it is a Tensor that requires one.
    scale : float, optional
        Multiplies the scores; :math:`1/\sqrt{D}` when not given.
    softcap : float, optional
        c above 0: the scaled scores s become :math:`c \tanh(s / c)`.
    score_mod : function of (s, b, h, i, j), optional
        What becomes of the scores after that: of the score s of batch entry b (all batch axes counted through
        as one), query head h, query position i (row + ``q_offset``) and key j. Called once, on symbols; see
        :mod:`attendo.score_mods` for what it may do. Tensors it looks things up in get gradients.
    sinks : array_like or Tensor, shape (H,), optional
        One more score for each head, of a key that has no value: weight that goes nowhere. -inf is none. (H
        is 1 where q has no axis for heads.)
    dropout : float
        Probability of dropping a weight, 0 or more and below 1. Needs ``generator``.
    generator : Generator, optional
        Where the random bits come from; the same state gives the same bits on any number of threads.
    q_offset : int, optional
        Position of the first query among the keys. Needed for a causal mask when L and S differ.
    return_weights : bool
        Return the weights as well. The output does not change, to the bit.

    Returns
    -------
    out : ndarray or Tensor, shape (..., H, L, Dv)
        An array when all inputs are arrays; a tracked Tensor when one is a Tensor. A query that may attend to
        nothing gives zeros.
    weights : ndarray or Tensor, shape (..., H, L, S)
        Only with ``return_weights``: after softmax, before dropout, every head. Rows sum to one, to less with
        ``sinks``.

    Raises
    ------
    ValueError
        When an input has fewer than two axes or q, k and v have not as many; when D, S, the heads or an axis
        before them do not fit; when ``mask`` or ``bias`` does not broadcast to the weights; when scale is not
        finite or dropout is out of range or lacks ``generator``; when a causal mask over unequal lengths
        lacks ``q_offset``; when softcap is not a finite number above 0 or ``sinks`` has not one entry a head;
        when whole numbers in ``score_mod`` grow larger than the dtype holds exactly.
    TypeError
        When a dtype is not float32 or float64, dtypes differ, or ``mask`` is not bool; when ``score_mod`` is
        no function or does what cannot be traced.
    IndexError
        When ``score_mod`` looks up what an array does not have, for a query and a key it may attend to.

    Notes
    -----
    .. math::

        s_{ij} = f(\text{scale}\; q_i \cdot k_j) + b_{ij}, \qquad
        P_{ij} = \frac{e^{s_{ij}}}{e^{z_h} + \sum_{j'} e^{s_{ij'}}}, \qquad
        o_i = \sum_j P_{ij} v_j

    The order is: scale, softcap, score_mod (together f), bias, mask, softmax with the sink z (without one,
    :math:`e^{z_h}` is 0). ONNX ``Attention`` has the soft-cap in this place; PyTorch's ``flex_attention`` has
    no bias besides its score_mod.

    and backwards, with :math:`D_i = \sum_c do_{ic}\, o_{ic}`,

    .. math::

        dv_j = \sum_i P_{ij}\, do_i, \quad dS_{ij} = P_{ij} (do_i \cdot v_j - D_i), \quad
        dq_i = \text{scale} \sum_j dS_{ij} f'_{ij} k_j, \quad dk_j = \text{scale} \sum_i dS_{ij} f'_{ij} q_i

    while bias gets :math:`dS`, a table of score_mod :math:`dS_{ij}` times the derivative of f by the entry
    that was looked up, and :math:`dz_h = -\sum_i D_i\, e^{z_h} / (e^{z_h} + \sum_j e^{s_{ij}})`.

    Cost: :math:`H L S (D + D_v)` multiply-adds; memory linear in L and S: the weights are never stored unless
    asked for. Masked keys and values are left out, not multiplied by zero: a NaN behind a mask does not leak.

    References
    ----------
    Vaswani et al. 2017, "Attention is all you need", eq. 1. Dao et al. 2022, "FlashAttention". Soft-cap:
    Gemma Team 2024, "Gemma 2", §2. score_mod: Dong et al. 2024, "Flex Attention". Sinks: Xiao et al. 2024,
    "Efficient Streaming Language Models with Attention Sinks". Articles 000 §3.2, 001 §4.1, 003 §4.1.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> q = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> out, weights = at.attention(q, q, q, mask=at.masks.causal(), return_weights=True)
    >>> weights.round(3)
    array([[1.  , 0.  ],
           [0.33, 0.67]])

    Source: cpp/attention/scaled_dot_product.cpp
    """
    program = None if score_mod is None else _score_trace.trace(score_mod)
    return _core.attention(
        q, k, v, mask, bias, scale, dropout, generator, q_offset, return_weights, softcap, program, sinks
    )

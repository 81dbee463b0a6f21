"""Attention as one function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from . import _core
from ._core import Tensor

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._core import Generator
    from ._typing import MaskLike, ScoreLike, ScoreParams, TensorLike
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
    scale: float | Tensor | None = None,
    softcap: float | None = None,
    score_mod: ScoreMod | None = None,
    sinks: TensorLike | None = None,
    dropout: float = 0.0,
    generator: Generator | None = None,
    q_offset: int | ArrayLike | None = None,
    score: ScoreLike = "scaled_dot",
    score_params: ScoreParams | None = None,
    qk_norm: Literal["rms", "l2"] | None = None,
    qk_norm_weights: tuple[TensorLike | None, TensorLike | None] | None = None,
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
    scale: float | Tensor | None = None,
    softcap: float | None = None,
    score_mod: ScoreMod | None = None,
    sinks: TensorLike | None = None,
    dropout: float = 0.0,
    generator: Generator | None = None,
    q_offset: int | ArrayLike | None = None,
    score: ScoreLike = "scaled_dot",
    score_params: ScoreParams | None = None,
    qk_norm: Literal["rms", "l2"] | None = None,
    qk_norm_weights: tuple[TensorLike | None, TensorLike | None] | None = None,
    return_weights: Literal[True],
) -> tuple[Any, Any]: ...
def attention(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    *,
    mask: MaskLike | None = None,
    bias: TensorLike | None = None,
    scale: float | Tensor | None = None,
    softcap: float | None = None,
    score_mod: ScoreMod | None = None,
    sinks: TensorLike | None = None,
    dropout: float = 0.0,
    generator: Generator | None = None,
    q_offset: int | ArrayLike | None = None,
    score: ScoreLike = "scaled_dot",
    score_params: ScoreParams | None = None,
    qk_norm: Literal["rms", "l2"] | None = None,
    qk_norm_weights: tuple[TensorLike | None, TensorLike | None] | None = None,
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
    scale : float or Tensor, optional
        Multiplies the scores; :math:`1/\sqrt{D}` when not given, 1 for every other ``score`` than the
        default. A Tensor, one number or (H, 1, 1), gets a gradient.
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
    q_offset : int or array_like of int, shape (batch,), optional
        Position of the first query among the keys. Needed for a causal mask when L and S differ. One for each
        entry of the batch goes with ``causal``, ``window``, ``lengths``, ``prefix`` and one ``dense`` mask,
        joined by ``&`` alone.
    score : str or callable
        How well a query and a key match, with what ``score_params`` holds:

        ``"scaled_dot"``
            :math:`q \cdot k / \sqrt D`.
        ``"dot"``
            :math:`q \cdot k`.
        ``"general"``, ``(W,)``
            :math:`q^\top W k`, W (Dq, Dk) or (H, Dq, Dk).
        ``"additive"``, ``(W_q, W_k, v_a)`` or ``(W_q, W_k, v_a, b)``
            :math:`v_a^\top \tanh(W_q q + W_k k + b)`, W_q (A, Dq), W_k (A, Dk), v_a and b (A,), or one a
            head. With ``(v_a,)`` alone q and k are projected already: :math:`v_a^\top \tanh(q + k)`.
        ``"cosine"``
            :math:`q \cdot k / \lVert q \rVert \lVert k \rVert`; ``scale`` is 1 / temperature. A row of zeros
            scores 0.
        ``"kernel"``, ``(h,)``
            :math:`-\sum_d (q_d - k_d)^2 / 2 h_d^2`, a Gaussian whose bandwidth h is a number, (D,), (H, 1) or
            (H, D).
        a function, ``(q_block, k_block) -> scores``
            What it computes.

        A function gets Tensors (..., H, l, Dq) and (..., H, s, Dk), at most 256 queries and 1024 keys, key
        heads repeated for the query heads that read them, and returns a Tensor (..., H, l, s) made of them by
        operations of this package; gradients reach what it captures. For ``"general"``, ``"additive"`` and a
        function keys may have other features than queries.
    score_params : tuple, optional
        See ``score``; arrays and Tensors in the dtype of q. Tensors get gradients.
    qk_norm : {"rms", "l2"}, optional
        Normalise every query and key before the score: divide by the root of the mean square (with
        :math:`\varepsilon = 10^{-6}` added to it), or by the length; a row of zeros stays one. ``"l2"`` with
        the default score needs ``scale``.
    qk_norm_weights : (q_weight, k_weight), optional
        What ``qk_norm="rms"`` multiplies the normalised rows by: (D,) or (H, D) each, or None. Gemma stores
        the weight less 1.
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
        when whole numbers in ``score_mod`` grow larger than the dtype holds exactly; when ``score`` has no
        such name, ``score_params`` are not what it takes or have another shape, a bandwidth is not positive,
        or a function returns another shape; when ``qk_norm`` comes with ``score="cosine"``, or ``"l2"`` with
        the default score and no scale.
    TypeError
        When a dtype is not float32 or float64, dtypes differ, or ``mask`` is not bool; when ``score_mod`` is
        no function or does what cannot be traced; when ``score`` is neither a name nor a function, or the
        function does not return a Tensor. What it raises passes through.
    IndexError
        When ``score_mod`` looks up what an array does not have, for a query and a key it may attend to.

    Notes
    -----
    .. math::

        s_{ij} = f(\text{scale}\; q_i \cdot k_j) + b_{ij}, \qquad
        P_{ij} = \frac{e^{s_{ij}}}{e^{z_h} + \sum_{j'} e^{s_{ij'}}}, \qquad
        o_i = \sum_j P_{ij} v_j

    The order is: scale, softcap, score_mod (together f), bias, mask, softmax with the sink z (without one,
    :math:`e^{z_h}` is 0). It is that of ONNX ``Attention`` as corrected in 2026; before, ONNX capped scores
    after bias and mask. PyTorch's ``flex_attention`` has score_mod in the same place, and no bias.

    and backwards, with :math:`D_i = \sum_c do_{ic}\, o_{ic}`,

    .. math::

        dv_j = \sum_i P_{ij}\, do_i, \quad dS_{ij} = P_{ij} (do_i \cdot v_j - D_i), \quad
        dq_i = \text{scale} \sum_j dS_{ij} f'_{ij} k_j, \quad dk_j = \text{scale} \sum_i dS_{ij} f'_{ij} q_i

    while bias gets :math:`dS`, a table of score_mod :math:`dS_{ij}` times the derivative of f by the entry
    that was looked up, and :math:`dz_h = -\sum_i D_i\, e^{z_h} / (e^{z_h} + \sum_j e^{s_{ij}})`.

    Cost: :math:`H L S (D + D_v)` multiply-adds; memory linear in L and S: the weights are never stored unless
    asked for. Masked keys and values are left out, not multiplied by zero: a NaN behind a mask does not leak.

    ``"dot"``, ``"general"``, ``"cosine"`` and ``qk_norm`` cost one pass more over q and k. ``"additive"``,
    ``"kernel"`` and functions make the scores first, masked ones too, for some queries at a time: without a
    gradient memory stays linear in L; with one the scores (H L S) are kept. What a function's own operations
    make of a NaN in a masked key does not reach the output, but may reach the function's gradients.
    ``"additive"`` costs :math:`H L S A` times a division. With a dropout the bits drawn depend on those
    blocks, whose size follows from the shapes.

    References
    ----------
    Vaswani et al. 2017, "Attention is all you need", eq. 1. Dao et al. 2022, "FlashAttention". Bahdanau et
    al. 2015 (additive); Luong et al. 2015, §3.1 (dot, general); Graves et al. 2014, eq. 6 (cosine); Tsai et
    al. 2019 (kernel); Henry et al. 2020 (``"l2"``); Zhang and Sennrich 2019 (``"rms"``). Soft-cap: Gemma Team
    2024, "Gemma 2", §2. score_mod: Dong et al. 2024, "Flex Attention". Sinks: Xiao et al. 2024, "Efficient
    Streaming Language Models with Attention Sinks". Articles 000 §3.2, 001 §3.2 and §4.1, 003 §3.1 and §4.1,
    004 §3.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> q = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> out, weights = at.attention(q, q, q, mask=at.masks.causal(), return_weights=True)
    >>> weights.round(3)
    array([[1.  , 0.  ],
           [0.33, 0.67]])

    The same by a function, and the weights of Nadaraya and Watson:

    >>> at.attention(q, q, q, score=lambda a, b: a @ b.swapaxes(-1, -2) / 2**0.5).round(3)
    array([[0.67, 0.33],
           [0.33, 0.67]])
    >>> at.attention(q, q, q, score="kernel", score_params=(1.0,)).round(3)
    array([[0.731, 0.269],
           [0.269, 0.731]])

    Source: cpp/attention/scaled_dot_product.cpp; other scores: cpp/attention/scored.cpp
    """
    program = None
    if score_mod is not None:
        from . import _score_trace  # read on first use: most calls need none of it

        program = _score_trace.trace(score_mod)
    plain = isinstance(score, str) and score == "scaled_dot"
    if not plain or score_params is not None or qk_norm is not None or isinstance(scale, Tensor):
        return _core.attention_scored(
            q,
            k,
            v,
            score,
            score_params,
            qk_norm,
            qk_norm_weights,
            mask,
            bias,
            scale,
            dropout,
            generator,
            q_offset,
            return_weights,
            softcap,
            program,
            sinks,
        )
    if qk_norm_weights is not None:
        raise ValueError('attention: qk_norm_weights is given, but only qk_norm="rms" has weights')
    return _core.attention(
        q, k, v, mask, bias, scale, dropout, generator, q_offset, return_weights, softcap, program, sinks
    )

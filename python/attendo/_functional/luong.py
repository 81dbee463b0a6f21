"""Luong's attentional vector."""

from typing import TYPE_CHECKING, Any, Literal, overload

from .. import _core

if TYPE_CHECKING:
    from .._typing import MaskLike, ScoreLike, ScoreParams, TensorLike


@overload
def luong(
    query: "TensorLike",
    memory: "TensorLike",
    W_c: "TensorLike",
    *,
    score: "ScoreLike" = "dot",
    score_params: "ScoreParams | None" = None,
    mask: "MaskLike | None" = None,
    scale: float | None = None,
    return_weights: Literal[False] = False,
) -> Any: ...
@overload
def luong(
    query: "TensorLike",
    memory: "TensorLike",
    W_c: "TensorLike",
    *,
    score: "ScoreLike" = "dot",
    score_params: "ScoreParams | None" = None,
    mask: "MaskLike | None" = None,
    scale: float | None = None,
    return_weights: Literal[True],
) -> tuple[Any, Any]: ...
def luong(
    query: "TensorLike",
    memory: "TensorLike",
    W_c: "TensorLike",
    *,
    score: "ScoreLike" = "dot",
    score_params: "ScoreParams | None" = None,
    mask: "MaskLike | None" = None,
    scale: float | None = None,
    return_weights: bool = False,
) -> Any:
    r"""Luong's attentional vector: what was attended to and the state that asked, side by side, through tanh.

    Parameters
    ----------
    query : array_like or Tensor, shape (B, L, D) or (L, D)
        Decoder states h, float32 or float64.
    memory : array_like or Tensor, shape (B, S, Ds) or (S, Ds)
        Encoder states m: keys and values.
    W_c : array_like or Tensor, shape (out, Ds + D)
        Of the concatenation: its first Ds columns meet the context, the others the state.
    score : str or callable
        As in :func:`attendo.attention`. Luong's are ``"dot"``, ``"general"``, and ``"additive"``, the paper's
        concat.
    score_params : tuple, optional
        Likewise.
    mask : Mask or array_like of bool, broadcastable to (B, L, S), optional
        **True = may attend.**
    scale : float, optional
        Multiplies the scores; 1 when not given (:math:`1/\sqrt D` for ``"scaled_dot"``).
    return_weights : bool
        Return the weights as well. The output does not change, to the bit.

    Returns
    -------
    out : ndarray or Tensor, shape (B, L, out) or (L, out)
        Of a state that may attend to nothing, tanh of the product with zeros and itself.
    weights : ndarray or Tensor, shape (B, L, S) or (L, S)
        Only with ``return_weights``; rows sum to one.

    Raises
    ------
    ValueError
        When the shapes do not fit, or as :func:`attendo.attention` does.
    TypeError
        When a dtype is not float32 or float64, dtypes differ, or mask is not bool.

    Notes
    -----
    .. math::

        c_i = \sum_j P_{ij} m_j, \quad P_i = \mathrm{softmax}_j(\mathrm{score}(h_i, m_j)), \qquad
        \tilde h_i = \tanh(W_c [c_i; h_i])

    Backwards, with :math:`dz = d\tilde h \odot (1 - \tilde h^2)`: :math:`dW_c = \sum_i dz_i [c_i; h_i]^\top`,
    :math:`[dc_i; dh_i] = W_c^\top dz_i`, then as in :func:`attendo.attention`. Cost: that of attention and
    :math:`L (D_s + D)` times the rows of W_c.

    References
    ----------
    Luong et al. 2015, "Effective approaches to attention-based neural machine translation", eq. 5. Article
    002 §3.1 (attention output and hidden state are concatenated).

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> h, m = np.array([[1.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 2.0]])
    >>> out, weights = at.functional.luong(h, m, np.ones((1, 4)), return_weights=True)
    >>> weights.round(3), out.round(3)
    (array([[0.881, 0.119]]), array([[0.995]]))

    Source: cpp/attention/luong.cpp
    """
    return _core.luong(query, memory, W_c, score, score_params, mask, scale, return_weights)

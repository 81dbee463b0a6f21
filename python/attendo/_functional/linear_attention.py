"""linear attention."""

from typing import TYPE_CHECKING, Any, Literal, overload

from .. import _core

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._typing import MaskLike, TensorLike


@overload
def linear_attention(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    *,
    rule: str = "linear",
    decay: "TensorLike | None" = None,
    beta: "TensorLike | None" = None,
    scale: float | None = None,
    feature_map: "str | Callable[[Any], Any] | None" = None,
    normalize: bool = False,
    causal: bool = True,
    mask: "MaskLike | None" = None,
    state: "TensorLike | None" = None,
    return_state: Literal[False] = False,
    chunk_size: int = 64,
) -> Any: ...
@overload
def linear_attention(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    *,
    rule: str = "linear",
    decay: "TensorLike | None" = None,
    beta: "TensorLike | None" = None,
    scale: float | None = None,
    feature_map: "str | Callable[[Any], Any] | None" = None,
    normalize: bool = False,
    causal: bool = True,
    mask: "MaskLike | None" = None,
    state: "TensorLike | None" = None,
    return_state: Literal[True],
    chunk_size: int = 64,
) -> tuple[Any, Any]: ...
def linear_attention(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    *,
    rule: str = "linear",
    decay: "TensorLike | None" = None,
    beta: "TensorLike | None" = None,
    scale: float | None = None,
    feature_map: "str | Callable[[Any], Any] | None" = None,
    normalize: bool = False,
    causal: bool = True,
    mask: "MaskLike | None" = None,
    state: "TensorLike | None" = None,
    return_state: bool = False,
    chunk_size: int = 64,
) -> Any:
    r"""Attention without softmax: a matrix of fixed size takes the place of all keys and values.

    Each token writes its key and value into a state, and reads from it with its query. The cost of a token
    does not grow with the number of tokens before it, and one at a time, with ``state`` going in and coming
    out, they give what all at once give.

    Parameters
    ----------
    q : array_like or Tensor, shape (..., H, L, D)
        Queries, float32 or float64. ``(L, D)`` and ``(H, L, D)`` work as well.
    k : array_like or Tensor, shape (..., Hkv, S, D)
        Keys; S = L when causal. H is a multiple of Hkv; query head h reads state ``h // (H // Hkv)``. The
        delta rules want keys of length 1 or less, which is for the caller to see to.
    v : array_like or Tensor, shape (..., Hkv, S, Dv)
        Values.
    rule : {"linear", "gated", "delta", "gated_delta"}
        How a token changes the state; see Notes.
    decay : array_like or Tensor, shape (..., Hkv, S) or (..., Hkv, S, D), optional
        Logarithms g, as a rule 0 or less, of what is left of the state at each token: of all of it, or of
        each row. For ``"gated"`` and ``"gated_delta"``, which need it. ``-inf`` forgets everything. Hkv may
        be 1.
    beta : array_like or Tensor, shape (..., Hkv, S), optional
        How much of the old value is overwritten, 0 to 1. For ``"delta"`` and ``"gated_delta"``. Hkv may be 1.
    scale : float, optional
        Multiplies the output; :math:`1/\sqrt{D}` when not given. Not with ``normalize``, where it cancels.
    feature_map : {"elu", "relu"} or callable, optional
        :math:`\varphi`, applied to queries and keys: :math:`\mathrm{elu}(x) + 1`, :math:`\max(x, 0)`, or a
        function of one array or Tensor (which may change D).
    normalize : bool
        Divide by the sum of the weights :math:`\varphi(q) \cdot \varphi(k)`, as softmax does; 0 where that
        is 0 (or below 1e-31 in float32). With weights above 0, as "elu" gives them, the output is a mean of
        values. For "linear" and "gated".
    causal : bool
        Each query sees the keys up to its own. Without, each sees all keys: for "linear" only.
    mask : Mask, optional
        ``masks.lengths(...)``: keys from there on are padding, which change nothing; ``masks.causal()``; or
        both.
    state : array_like or Tensor, shape (..., Hkv, D, Dv), optional
        What was written before; zeros when not given. With ``normalize`` it has Dv + 1 columns: the last is
        the sum of the keys.
    return_state : bool
        Return the state as well.
    chunk_size : int
        How many tokens are taken at a time, 1 or more: 1 is the recurrence as written. The results differ by
        rounding alone. Not more than 512 are taken, and not more than 16 with a decay for each feature.

    Returns
    -------
    out : ndarray or Tensor, shape (..., H, L, Dv)
        A Tensor when an input is one.
    state : ndarray or Tensor, shape (..., Hkv, D, Dv), or (..., Hkv, D, Dv + 1) with ``normalize``
        Only with ``return_state``: after the last key.

    Raises
    ------
    ValueError
        When shapes do not fit; when ``decay`` or ``beta`` is missing or given to a rule without; when
        ``normalize`` comes with a delta rule or with ``scale``; when ``causal`` is False for another rule
        than "linear", or True for unequal L and S; when a mask is of another kind; when scale is not
        finite.
    TypeError
        When a dtype is not float32 or float64, or they differ.

    Notes
    -----
    With :math:`\tilde S_t = e^{g_t} \odot S_{t-1}` (without a decay, :math:`S_{t-1}`),

    .. math::

        \text{linear, gated:}\quad S_t = \tilde S_t + k_t v_t^\top, \qquad
        \text{delta, gated\_delta:}\quad S_t = \tilde S_t + \beta_t k_t (v_t - \tilde S_t^\top k_t)^\top,

        o_t = \text{scale}\; S_t^\top q_t

    The delta rule first reads what the key stands for, and writes the difference: with a key of length 1 and
    :math:`\beta_t = 1` it replaces the old value, where "linear" adds to it. Backwards, with
    :math:`dS_t \mathrel{+}= \text{scale}\; q_t\, do_t^\top`, :math:`u_t` what was written for :math:`k_t` and
    :math:`du_t = dS_t^\top k_t`,

    .. math::

        dq_t = \text{scale}\; S_t\, do_t, \quad dv_t = \beta_t du_t, \quad
        d\beta_t = du_t \cdot (v_t - \tilde S_t^\top k_t), \quad dk_t = dS_t u_t - \tilde S_t\, dv_t,

        d\tilde S_t = dS_t - k_t\, dv_t^\top, \quad dS_{t-1} = e^{g_t} \odot d\tilde S_t, \quad
        dg_t = \textstyle\sum \tilde S_t \odot d\tilde S_t

    (:math:`\beta_t = 1`, and no second term in :math:`dk_t` and :math:`d\tilde S_t`, without the delta rule.)

    Cost: :math:`H L\,(2 D D_v + C (D + D_v))` multiply-adds for chunks of C tokens, about twice as much
    with the delta rules; backward keeps the inputs only and computes the states between the chunks again.
    What is after a token does not reach it, not even a NaN.

    The rules, the shape of ``state``, ``decay`` and ``beta``, the default of ``scale`` and which inputs a
    rule needs or forbids are those of the ONNX operator ``LinearAttention`` (opset 27), whose heads lie
    side by side in the features, where here they are an axis; there ``scale=0`` stands for the default, and
    "gated_delta" is the default rule. Feature maps, ``normalize``, ``causal=False``, lengths
    and a decay of one head for all are not in ONNX. PyTorch has no such function.

    It is not softmax attention with another cost: a state of D rows holds at most D keys apart. Where one
    of many keys must be found again exactly, it is worse at any length; docs/approximations.md has figures.

    References
    ----------
    Katharopoulos et al. 2020, "Transformers are RNNs", eq. 7, 9-12, 16-20 (normalized,
    elu). Schlag et al. 2021, "Linear transformers are secretly fast weight programmers", eq. 24 (delta).
    Yang et al. 2024, "Gated linear attention transformers"; Yang et al. 2024, "Parallelizing linear
    transformers with the delta rule" (chunks); Yang et al. 2025, "Gated delta networks". Article 000 §8.2,
    003 §8.4.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> rng = np.random.default_rng(0)
    >>> q, k, v = rng.normal(size=(3, 6, 4))
    >>> out = at.functional.linear_attention(q, k, v)
    >>> first, state = at.functional.linear_attention(q[:2], k[:2], v[:2], return_state=True)
    >>> rest = at.functional.linear_attention(q[2:], k[2:], v[2:], state=state)
    >>> np.allclose(out, np.concatenate([first, rest]))
    True

    Source: cpp/attention/linear_attention.cpp
    """
    name = feature_map
    if callable(feature_map):
        q, k, name = feature_map(q), feature_map(k), None
    return _core.linear_attention(
        q,
        k,
        v,
        rule,
        decay,
        beta,
        scale,
        name,
        normalize,
        causal,
        mask,
        state,
        return_state,
        chunk_size,
    )

"""linear_attention: a state of fixed size in place of all keys and values

  forward    S~_t = e^{g_t} ∘ S_{t-1}                   rules gated and gated_delta; S_{t-1} in the others
             u_t  = v_t                                 rules linear and gated
                    β_t (v_t - S~_tᵀ k_t)               rules delta and gated_delta
             S_t  = S~_t + k_t u_tᵀ          o_t = scale S_tᵀ q_t
             feature_map   q, k are first replaced by φ(q), φ(k):  elu(x) + 1 or max(x, 0)
             normalize     v has a last column of ones; it divides the other columns of o (0 where it is 0)
             not causal    S = S_0 + Σ_j k_j v_jᵀ,  o_i = scale Sᵀ q_i
  backward   dS_t += scale q_t do_tᵀ     dq_t = scale S_t do_t     du_t = dS_tᵀ k_t     dk_t = dS_t u_t
             dv_t = du_t  or, with the delta rule,  β_t du_t;  dβ_t = du_t·(v_t - S~_tᵀ k_t);
             dk_t -= S~_t dv_t;  dS~_t = dS_t - k_t dv_tᵀ
             dS_{t-1} = e^{g_t} ∘ dS~_t      dg_t = e^{g_t} Σ S_{t-1} ∘ dS~_t

q: (..., H, L, D)  k: (..., Hkv, S, D)  v: (..., Hkv, S, Dv)  g = decay: (..., Hkv, S) or (..., Hkv, S, D)
β = beta: (..., Hkv, S)  S: (..., Hkv, D, Dv), with normalize (..., Hkv, D, Dv + 1)  out: (..., H, L, Dv)
scale is 1 / √D unless given, and 1 with normalize.  Query head h reads state h // (H / Hkv).
lengths (one for each entry of the axes before the heads): keys from there on change nothing.
Katharopoulos et al. 2020, eq. 9-12 and 16-20; Schlag et al. 2021, eq. 24; Yang et al. 2025; ONNX
LinearAttention.
"""

import math

import numpy as np

from ._types import Array, Ids, Mask


def features(x: Array, feature_map: str | None) -> Array:
    """φ(x)."""
    if feature_map is None:
        return x
    y: Array = np.maximum(x, 0) if feature_map == "relu" else np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))
    return y


def features_backward(d_y: Array, x: Array, feature_map: str | None) -> Array:
    """φ's backward."""
    if feature_map is None:
        return d_y
    slope = (x > 0).astype(x.dtype) if feature_map == "relu" else np.exp(np.minimum(x, 0))
    d_x: Array = d_y * slope
    return d_x


def _with_heads(x: Array | None, axes: int) -> Array | None:
    """The same with a batch and a head axis in front of its last `axes`: (batch, heads, ...)."""
    if x is None:
        return None
    own = x.shape[x.ndim - axes :]
    lead = x.shape[: x.ndim - axes]
    heads = lead[-1] if lead else 1
    return x.reshape((math.prod(lead[:-1]), heads, *own))


def _padding(lengths: Ids | None, batch: int, keys: int) -> Mask:
    """(batch, 1, keys): True from each length on."""
    if lengths is None:
        return np.zeros((batch, 1, keys), dtype=bool)
    padding: Mask = np.arange(keys) >= np.asarray(lengths)[:, None, None]
    return padding


class _Scan:
    """The inputs with features mapped, padding gone and heads repeated; every state on the way."""

    def __init__(
        self,
        q: Array,
        k: Array,
        v: Array,
        decay: Array | None,
        beta: Array | None,
        state: Array | None,
        rule: str,
        scale: float | None,
        feature_map: str | None,
        normalize: bool,
        causal: bool,
        lengths: Ids | None,
    ) -> None:
        per_feature = decay is not None and decay.ndim == k.ndim
        batched_q, batched_k, batched_v = _with_heads(q, 2), _with_heads(k, 2), _with_heads(v, 2)
        assert batched_q is not None and batched_k is not None and batched_v is not None
        self.raw_q, self.raw_k = batched_q, batched_k
        batch, self.kv_heads, keys, width = batched_k.shape
        self.group = batched_q.shape[1] // self.kv_heads if self.kv_heads else 0
        padding = _padding(lengths, batch, keys)
        self.padding = np.broadcast_to(padding, (batch, self.kv_heads, keys))
        self.q = features(batched_q, feature_map)
        self.k = np.where(self.padding[..., None], 0, features(batched_k, feature_map))
        self.v = np.where(self.padding[..., None], 0, batched_v)
        if normalize:
            self.v = np.concatenate([self.v, np.ones_like(self.v[..., :1])], axis=-1)
        self.normalize, self.causal, self.delta = normalize, causal, "delta" in rule
        self.scale = 1.0 if normalize else 1 / math.sqrt(width) if scale is None else scale
        self.beta = self.g = None
        if beta is not None:
            b = _with_heads(beta, 1)
            assert b is not None
            self.beta = np.where(self.padding, 0, b)
        if decay is not None:
            g = _with_heads(decay, 2 if per_feature else 1)
            assert g is not None
            self.g = np.where(self.padding[..., None], 0, g if per_feature else g[..., None])
        start = _with_heads(state, 2)
        if start is None:
            start = np.zeros((batch, self.kv_heads, width, self.v.shape[-1]), dtype=q.dtype)
        self.states = [start]  # before every step, and after the last

    def repeat(self, x: Array) -> Array:
        """A state for each query head."""
        y: Array = np.repeat(x, self.group, axis=1)
        return y

    def sum_groups(self, x: Array) -> Array:
        batch, _, *own = x.shape
        y: Array = x.reshape(batch, self.kv_heads, self.group, *own).sum(axis=2)
        return y

    def faded(self, t: int) -> Array:
        """S~_t: the state that meets token t."""
        before = self.states[t]
        return before if self.g is None else np.exp(self.g[:, :, t])[..., None] * before

    def written(self, t: int) -> tuple[Array, Array]:
        """u_t, and what the delta rule multiplies by beta."""
        error = self.v[:, :, t]
        if not self.delta:
            return error, error
        assert self.beta is not None
        error = error - np.einsum("bhdv,bhd->bhv", self.faded(t), self.k[:, :, t])
        return self.beta[:, :, t, None] * error, error

    def run(self) -> Array:
        """Every output, before it is divided."""
        length = self.q.shape[2]
        if not self.causal:
            total = self.states[0] + np.einsum("bhsd,bhsv->bhdv", self.k, self.v)
            self.states = [total]
            out: Array = self.scale * np.einsum("bhld,bhdv->bhlv", self.q, self.repeat(total))
            return out
        out = np.zeros((*self.q.shape[:3], self.v.shape[-1]), dtype=self.q.dtype)
        for t in range(length):
            u, _ = self.written(t)
            after = self.faded(t) + self.k[:, :, t, :, None] * u[..., None, :]
            self.states.append(after)
            out[:, :, t] = self.scale * np.einsum("bhdv,bhd->bhv", self.repeat(after), self.q[:, :, t])
        return out


def _divide(total: Array) -> Array:
    """The last column divides the others."""
    divisor = total[..., -1:]
    y: Array = np.where(divisor == 0, 0, total[..., :-1] / np.where(divisor == 0, 1, divisor))
    return y


def linear_attention(
    q: Array,
    k: Array,
    v: Array,
    decay: Array | None = None,
    beta: Array | None = None,
    state: Array | None = None,
    rule: str = "linear",
    scale: float | None = None,
    feature_map: str | None = None,
    normalize: bool = False,
    causal: bool = True,
    lengths: Ids | None = None,
) -> tuple[Array, Array]:
    """-> out (..., H, L, Dv) and the state after the last key."""
    scan = _Scan(q, k, v, decay, beta, state, rule, scale, feature_map, normalize, causal, lengths)
    total = scan.run()
    out = _divide(total) if normalize else total
    last = scan.states[-1]
    return out.reshape(*q.shape[:-1], out.shape[-1]), last.reshape(*k.shape[:-2], *last.shape[2:])


def linear_attention_backward(
    d_out: Array,
    q: Array,
    k: Array,
    v: Array,
    decay: Array | None = None,
    beta: Array | None = None,
    state: Array | None = None,
    rule: str = "linear",
    scale: float | None = None,
    feature_map: str | None = None,
    normalize: bool = False,
    causal: bool = True,
    lengths: Ids | None = None,
    d_state: Array | None = None,
) -> tuple[Array, Array, Array, Array | None, Array | None, Array | None]:
    """d_out (..., H, L, Dv), d_state like the state -> d_q, d_k, d_v, d_decay, d_beta, d_state.

    None where there was no such input.
    """
    scan = _Scan(q, k, v, decay, beta, state, rule, scale, feature_map, normalize, causal, lengths)
    total = scan.run()
    d_total = _with_heads(d_out, 2)
    assert d_total is not None
    if normalize:
        divisor = total[..., -1:]
        safe = np.where(divisor == 0, 1, divisor)
        d_numerator = np.where(divisor == 0, 0, d_total / safe)
        d_divisor = -np.sum(d_numerator * _divide(total), axis=-1, keepdims=True)
        d_total = np.concatenate([d_numerator, d_divisor], axis=-1)
    d_s: Array = np.zeros_like(scan.states[-1]) if d_state is None else d_state.reshape(scan.states[-1].shape)
    d_q, d_k, d_v = np.zeros_like(scan.q), np.zeros_like(scan.k), np.zeros_like(scan.v)
    d_g = None if scan.g is None else np.zeros((*scan.k.shape[:3], scan.g.shape[-1]), dtype=q.dtype)
    d_beta = None if scan.beta is None else np.zeros_like(scan.beta)
    if not causal:
        whole = scan.repeat(scan.states[-1])
        d_q = scan.scale * np.einsum("bhlv,bhdv->bhld", d_total, whole)
        d_s = d_s + scan.sum_groups(scan.scale * np.einsum("bhld,bhlv->bhdv", scan.q, d_total))
        d_k = np.einsum("bhdv,bhsv->bhsd", d_s, scan.v)
        d_v = np.einsum("bhdv,bhsd->bhsv", d_s, scan.k)
    for t in reversed(range(q.shape[-2] if causal else 0)):
        q_t, k_t, d_o = scan.q[:, :, t], scan.k[:, :, t], d_total[:, :, t]
        u, error = scan.written(t)
        faded = scan.faded(t)
        # 1. through the reading
        d_q[:, :, t] = scan.scale * np.einsum("bhdv,bhv->bhd", scan.repeat(scan.states[t + 1]), d_o)
        d_s = d_s + scan.sum_groups(scan.scale * q_t[..., :, None] * d_o[..., None, :])
        # 2. through the writing
        d_u = np.einsum("bhdv,bhd->bhv", d_s, k_t)
        d_k_t = np.einsum("bhdv,bhv->bhd", d_s, u)
        if scan.beta is not None and d_beta is not None:
            d_beta[:, :, t] = np.sum(d_u * error, axis=-1)
            d_u = scan.beta[:, :, t, None] * d_u
            d_k_t = d_k_t - np.einsum("bhdv,bhv->bhd", faded, d_u)
            d_s = d_s - k_t[..., :, None] * d_u[..., None, :]
        d_k[:, :, t], d_v[:, :, t] = d_k_t, d_u
        # 3. through the decay
        if scan.g is not None and d_g is not None:
            by_feature = np.sum(faded * d_s, axis=-1)  # (batch, Hkv, D)
            d_g[:, :, t] = (
                by_feature if d_g.shape[-1] > 1 or k.shape[-1] == 1 else by_feature.sum(-1, keepdims=True)
            )
            d_s = np.exp(scan.g[:, :, t])[..., None] * d_s

    def kept(x: Array | None, like: Array | None) -> Array | None:
        if x is None or like is None:
            return None
        padding = scan.padding if x.ndim == 3 else scan.padding[..., None]
        return np.where(padding, 0, x).reshape(like.shape)

    d_q = features_backward(d_q, scan.raw_q, feature_map)
    d_k = features_backward(d_k, np.where(scan.padding[..., None], 0, scan.raw_k), feature_map)
    d_k_kept, d_v_kept = kept(d_k, k), kept(d_v[..., : v.shape[-1]], v)
    assert d_k_kept is not None and d_v_kept is not None
    return (
        d_q.reshape(q.shape),
        d_k_kept,
        d_v_kept,
        kept(d_g, decay),
        kept(d_beta, beta),
        None if state is None else d_s.reshape(state.shape),
    )

"""rotary: turn each pair of features by an angle that grows with the position

  forward    y_a  = x_a cos φ - x_b sin φ         φ = position · f_k,  f_k = base^(-2k/r),  k = 0 … r/2 - 1
             y_b  = x_b cos φ + x_a sin φ         features r … D - 1 stay as they are
  backward   dx_a = dy_a cos φ + dy_b sin φ       the turn by -φ
             dx_b = dy_b cos φ - dy_a sin φ

Pair k is (a, b) = (k, k + r/2), the two halves; interleaved: (2k, 2k + 1), neighbours.
x, y: (..., H, L, D)  positions: (L,) or (..., L)  cos, sin: (P, r/2), read at the positions, or (..., L, r/2)
A query at position m and a key at n, both turned, have a product that depends on m - n alone.
Su et al. 2021, eq. 34; ONNX RotaryEmbedding-23 (both pairings); halves as in Llama.

inverse_frequencies: f for contexts longer than those of the training, s times as long
  linear   f_k / s                                                          Chen et al. 2023
  ntk      base s^(r / (r - 2)) in place of base                            Peng et al. 2023, §3.1
  llama3   by t = original f_k / 2π turns within the original length: from `high` turns on f_k, up to `low`
           f_k / s, between them γ f_k + (1 - γ) f_k / s,  γ = (t - low) / (high - low)
  yarn     the same with γ linear in k, from the pair that turns beta_fast times (γ = 1) to the one that turns
           beta_slow times (γ = 0)                                          Peng et al. 2023, §3.2
"""

import math

import numpy as np

from ._types import Array, Ids


def _tables(
    x: Array,
    cos: Array | None,
    sin: Array | None,
    positions: Ids | None,
    base: float,
    rotary_dim: int | None,
    offset: int,
    frequencies: Array | None,
) -> tuple[Array, Array]:
    """Cosines and sines that broadcast to (..., H, L, r/2)."""
    if positions is None:
        positions = offset + np.arange(x.shape[-2])
    if cos is None or sin is None:
        if frequencies is None:
            frequencies = inverse_frequencies(x.shape[-1] if rotary_dim is None else rotary_dim, base)
        angle = positions[..., None] * frequencies.astype(np.float64)  # (..., L, r/2)
        cos, sin = np.cos(angle).astype(x.dtype), np.sin(angle).astype(x.dtype)
    elif cos.ndim == 2:
        cos, sin = cos[positions], sin[positions]
    if x.ndim > 2 and cos.ndim > 2:
        cos, sin = cos[..., None, :, :], sin[..., None, :, :]  # the same for every head
    return cos, sin


def _turn(x: Array, cos: Array, sin: Array, interleaved: bool) -> Array:
    pairs = cos.shape[-1]
    y: Array = x.copy()
    if interleaved:
        a, b = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
    else:
        a, b = slice(0, pairs), slice(pairs, 2 * pairs)
    y[..., a] = x[..., a] * cos - x[..., b] * sin
    y[..., b] = x[..., b] * cos + x[..., a] * sin
    return y


def rotary(
    x: Array,
    cos: Array | None = None,
    sin: Array | None = None,
    positions: Ids | None = None,
    base: float = 10000.0,
    interleaved: bool = False,
    rotary_dim: int | None = None,
    offset: int = 0,
    frequencies: Array | None = None,
) -> Array:
    """x (..., H, L, D) -> the same."""
    cos, sin = _tables(x, cos, sin, positions, base, rotary_dim, offset, frequencies)
    return _turn(x, cos, sin, interleaved)


def rotary_backward(
    d_y: Array,
    x: Array,
    cos: Array | None = None,
    sin: Array | None = None,
    positions: Ids | None = None,
    base: float = 10000.0,
    interleaved: bool = False,
    rotary_dim: int | None = None,
    offset: int = 0,
    frequencies: Array | None = None,
) -> tuple[Array]:
    """d_y (..., H, L, D) -> d_x.  cos and sin are constants."""
    cos, sin = _tables(x, cos, sin, positions, base, rotary_dim, offset, frequencies)
    return (_turn(d_y, cos, -sin, interleaved),)


def inverse_frequencies(
    dim: int,
    base: float = 10000.0,
    kind: str | None = None,
    factor: float = 1.0,
    low: float = 1.0,
    high: float = 4.0,
    original: float = 0.0,
) -> Array:
    """-> (dim / 2,), float64.  low and high: low_freq_factor, high_freq_factor, or beta_slow, beta_fast."""
    if kind == "ntk" and dim > 2:
        base = base * factor ** (dim / (dim - 2))
    pair = np.arange(dim // 2)
    plain: Array = base ** (-2.0 * pair / dim) if dim else np.zeros(0)
    stretched = plain / factor
    if kind == "linear":
        return stretched
    if kind == "llama3":
        turns = original * plain / (2 * math.pi)
        kept = np.clip((turns - low) / (high - low), 0, 1)
    elif kind == "yarn":

        def pair_of(turns: float) -> float:
            return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

        first = max(math.floor(pair_of(high)), 0)
        last: float = min(math.ceil(pair_of(low)), dim - 1)
        if first == last:
            last += 0.001
        kept = 1 - np.clip((pair - first) / (last - first), 0, 1)
    else:
        return plain
    mixed: Array = kept * plain + (1 - kept) * stretched
    return mixed

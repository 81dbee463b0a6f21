"""Attention with scores from eight-bit integers."""

from typing import TYPE_CHECKING, Any

from .. import _core

if TYPE_CHECKING:
    from .._typing import MaskLike, TensorLike


def int8_attention(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    *,
    mask: "MaskLike | None" = None,
    scale: "float | None" = None,
    q_offset: "int | None" = None,
) -> Any:
    r"""Attention with scores from eight-bit integers.

    Each query and each key is rounded to whole numbers from -127 to 127 and one scale; their dot products are
    exact integer sums. Softmax and values stay in floating point.

    Parameters
    ----------
    q : array_like or Tensor, shape (..., H, L, D)
        Queries, float32 or float64. ``(L, D)`` and ``(H, L, D)`` work as well.
    k : array_like or Tensor, shape (..., Hkv, S, D)
        Keys. H is a multiple of Hkv; query head h reads key head ``h // (H // Hkv)``.
    v : array_like or Tensor, shape (..., Hkv, S, Dv)
        Values.
    mask : Mask, optional
        ``attendo.masks.causal()``, ``lengths(...)``, or both with ``&``.
    scale : float, optional
        Multiplies the scores; :math:`1/\sqrt{D}` when not given.
    q_offset : int, optional
        Position of the first query; what ``causal`` counts from. Needed with it when L is not S.

    Returns
    -------
    ndarray or Tensor, shape (..., H, L, Dv)
        A Tensor when an input is one.

    Raises
    ------
    ValueError
        When shapes do not fit one another, the mask is another, or D is above 65536.
    TypeError
        When dtypes are neither float32 nor float64, or differ.

    Notes
    -----
    .. math::

        a_i = \frac{\max_c |q_{ic}|}{127}, \quad n_{ic} = \operatorname{round}\frac{q_{ic}}{a_i}, \qquad
        s_{ij} = \text{scale}\; a_i b_j \sum_c n_{ic} m_{jc}, \qquad
        o_i = \sum_j \operatorname{softmax}_j(s_{ij})\, v_j

    with b and m alike from k; halves round to even. Rounding has no derivative, so the gradient goes
    straight through it: it is that of attention of :math:`\hat q = a n` and :math:`\hat k = b m`, with
    :math:`dq = d\hat q` and :math:`dk = d\hat k`. That attention runs beside, in floating point, where a
    gradient is wanted: training with it is slower than without.

    A query with NaN or inf in it cannot be rounded: its output is NaN; such a key makes NaN of all that
    attend to it. The integer sums, and so the result, do not depend on the instructions used, but for the
    rounding of what follows them.

    Cost: the multiply-adds of full attention, of which those of the scores go four in one where the processor
    has AVX-512 VNNI. Memory: k in eight bits, and the scores of 64 queries.

    Where it is worse: where the processor multiplies eight-bit numbers no faster than floats, making,
    scaling and reading the scores takes what the sums save. Measured on one core with D = 64 and 128: with
    AVX-512 VNNI 1.3 times as fast as full attention from 1024 keys on, as fast at 256, slower below; with
    AVX2 as fast; without either 0.85 times. A step of training is 0.8 times as fast. One outlier among a
    row's features leaves few of the 127 steps to the others.

    References
    ----------
    Jacob et al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only
    inference", eq. 1; Bengio et al. 2013 (straight through). Articles 003 §8.4, 004 §9 (quantisation).

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> rng = np.random.default_rng(0)
    >>> q, k, v = rng.normal(size=(3, 4, 100, 64))
    >>> error = at.functional.int8_attention(q, k, v) - at.attention(q, k, v)
    >>> bool(np.abs(error).max() < 0.02)
    True

    Source: cpp/attention/int8_attention.cpp
    """
    return _core.int8_attention(q, k, v, mask, scale, q_offset)

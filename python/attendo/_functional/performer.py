"""performer: softmax attention by random features."""

from typing import TYPE_CHECKING, Any

from .. import _core

if TYPE_CHECKING:
    from .._core import Generator
    from .._typing import FloatArray, FloatDType, MaskLike, TensorLike


def performer(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    *,
    num_features: int | None = None,
    features: "TensorLike | None" = None,
    kernel: str = "softmax",
    orthogonal: bool = True,
    generator: "Generator | None" = None,
    causal: bool = False,
    mask: "MaskLike | None" = None,
    scale: float | None = None,
) -> Any:
    r"""Softmax attention estimated with random features (FAVOR+), at a cost linear in the length.

    Parameters
    ----------
    q : array_like or Tensor, shape (..., H, L, D)
        Queries, float32 or float64. ``(L, D)`` and ``(H, L, D)`` work as well.
    k : array_like or Tensor, shape (..., Hkv, S, D)
        Keys; S = L when causal. H is a multiple of Hkv; query head h reads key head ``h // (H // Hkv)``.
    v : array_like or Tensor, shape (..., Hkv, S, Dv)
        Values.
    num_features : int, optional
        m, how many features are drawn; :math:`D \ln D`, up to a whole multiple of 16, when not given.
    features : array_like or Tensor, shape (m, D), optional
        The rows w themselves, from :func:`performer_features`, to keep the same ones from call to call.
        Then ``num_features`` and ``generator`` are not taken. Gets a gradient when it is a Tensor that
        requires one.
    kernel : {"softmax", "relu"}
        What is estimated: softmax attention, or attention whose weights are products of :math:`\max(w \cdot
        x, 0) / \sqrt m + 0.001`, which has no exponentials and is not softmax attention.
    orthogonal : bool
        Draw the features at right angles to each other, in blocks of D: the same mean, a smaller error.
    generator : Generator, optional
        Draws the features anew at each call. Needed without ``features``.
    causal : bool
        Each query sees the keys up to its own.
    mask : Mask, optional
        ``masks.lengths(...)``: keys from there on are padding; ``masks.causal()``; or both.
    scale : float, optional
        Multiplies the scores, above 0; :math:`1/\sqrt{D}` when not given. Not with the relu kernel.

    Returns
    -------
    out : ndarray or Tensor, shape (..., H, L, Dv)
        A Tensor when an input is one. A query that may attend to nothing gives zeros.

    Raises
    ------
    ValueError
        When shapes do not fit; when neither ``features`` nor ``generator`` is given, or both; when
        ``num_features`` is below 1, scale is not above 0, or L and S differ while causal; when a mask is of
        another kind.
    TypeError
        When a dtype is not float32 or float64, or they differ.

    Notes
    -----
    For w normally distributed,

    .. math::

        e^{\text{scale}\, q \cdot k} = \mathbb{E}_w[\varphi_w(q)\, \varphi_w(k)], \qquad
        \varphi_w(x) = e^{w \cdot x' - |x'|^2/2}, \quad x' = \sqrt{\text{scale}}\; x

    and with m draws of w, :math:`\varphi(x) \in \mathbb{R}^m`,

    .. math::

        o_i = \frac{\sum_j \varphi(q_i) \cdot \varphi(k_j)\, v_j}{\sum_j \varphi(q_i) \cdot \varphi(k_j)}

    which is :func:`linear_attention`, normalized. Numerator and denominator are unbiased, their quotient
    nearly so; the error falls like :math:`1/\sqrt m`. Backwards, with :math:`z = x' W^\top`: :math:`dz =
    d\varphi \odot \varphi,\ dx' = dz\, W - x' \sum_f dz_f`.

    The relative error of a single weight is about :math:`e^{|q' + k'|^2/2} / \sqrt m`. Vectors of 64 normal
    numbers have :math:`|q' + k'|^2 = 16`, and then no affordable m is enough: the output is further off than
    the plain mean of the values. docs/approximations.md has figures; look at them before it takes the place
    of softmax in a model. The largest exponents are taken out before ``exp`` (when causal, the largest so
    far), so nothing overflows. A query whose weights all round to 0 gives zeros.

    Cost: :math:`(H L + H_{kv} S)\, m (D + D_v)` multiply-adds, and those within chunks when causal. Below one
    or two thousand keys :func:`attendo.attention` is as fast, and exact.

    References
    ----------
    Choromanski et al. 2021, "Rethinking attention with Performers", lemma 1, theorem 2, §2.4. Article 000
    §8.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> q, k, v = np.random.default_rng(0).normal(size=(3, 50, 8)) / [[[2]], [[2]], [[1]]]
    >>> w = at.functional.performer_features(4096, 8, generator=at.Generator(0), dtype="float64")
    >>> out = at.functional.performer(q, k, v, features=w)
    >>> bool(np.abs(out - at.attention(q, k, v)).max() < 0.1)
    True

    Source: cpp/attention/performer.cpp
    """
    return _core.performer(
        q, k, v, num_features, features, kernel, orthogonal, generator, causal, mask, scale
    )


def performer_features(
    num_features: int,
    d: int,
    *,
    generator: "Generator",
    orthogonal: bool = True,
    dtype: "FloatDType" = "float32",
) -> "FloatArray":
    r"""Random directions for :func:`performer`, to be kept from call to call.

    Parameters
    ----------
    num_features : int
        m, 1 or more.
    d : int
        Features of queries and keys.
    generator : Generator
        Where the random bits come from.
    orthogonal : bool
        Rows at right angles to each other, in blocks of d.
    dtype : float32 or float64

    Returns
    -------
    ndarray, shape (num_features, d)
        Each row is normally distributed. Orthogonal ones have the lengths of independent ones.

    Raises
    ------
    ValueError
        When ``num_features`` or ``d`` is below 1.
    TypeError
        When dtype is not float32 or float64.

    References
    ----------
    Choromanski et al. 2021, §2.4; Yu et al. 2016, "Orthogonal random features".

    Examples
    --------
    >>> import attendo as at
    >>> w = at.functional.performer_features(4, 4, generator=at.Generator(0), dtype="float64")
    >>> abs(float(w[0] @ w[1])) < 1e-12
    True

    Source: cpp/attention/performer.cpp
    """
    return _core.performer_features(num_features, d, generator, orthogonal, dtype)

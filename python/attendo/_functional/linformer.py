"""Attention over mixtures of the keys."""

from typing import TYPE_CHECKING, Any, Literal, overload

from .. import _core

if TYPE_CHECKING:
    from .._typing import FloatArray, FloatDType, MaskLike, TensorLike


@overload
def linformer(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    proj_k: "TensorLike",
    proj_v: "TensorLike | None" = None,
    *,
    mask: "MaskLike | None" = None,
    scale: "float | None" = None,
    return_weights: Literal[False] = False,
) -> Any: ...
@overload
def linformer(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    proj_k: "TensorLike",
    proj_v: "TensorLike | None" = None,
    *,
    mask: "MaskLike | None" = None,
    scale: "float | None" = None,
    return_weights: Literal[True],
) -> tuple[Any, Any]: ...
def linformer(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    proj_k: "TensorLike",
    proj_v: "TensorLike | None" = None,
    *,
    mask: "MaskLike | None" = None,
    scale: "float | None" = None,
    return_weights: bool = False,
) -> Any:
    r"""Attention to r mixtures of the keys, in time and memory linear in the length.

    The S keys and values are mixed into r by two matrices that are learned; each query then attends to the
    mixtures.

    Parameters
    ----------
    q : array_like or Tensor, shape (..., H, L, D)
        Queries, float32 or float64. ``(L, D)`` and ``(H, L, D)`` work as well.
    k : array_like or Tensor, shape (..., Hkv, S, D)
        Keys. H is a multiple of Hkv; query head h reads key head ``h // (H // Hkv)``.
    v : array_like or Tensor, shape (..., Hkv, S, Dv)
        Values.
    proj_k : array_like or Tensor, shape (r, S) or (Hkv, r, S)
        E: row t says how the keys are mixed into the t-th. One for all heads, or one a key head.
        :func:`linformer_projection` makes one to begin with.
    proj_v : array_like or Tensor, shape (r, S) or (Hkv, r, S), optional
        F, for the values; E if not given.
    mask : Mask, optional
        ``attendo.masks.lengths(...)`` and no other: a mixture
        holds something of every position, so a query cannot leave out some, as a causal mask would.
    scale : float, optional
        Multiplies the scores; :math:`1/\sqrt{D}` when not given.
    return_weights : bool
        Give the weights as well; the output is the same to the bit.

    Returns
    -------
    out : ndarray or Tensor, shape (..., H, L, Dv)
        A Tensor when an input is one.
    weights : ndarray or Tensor, shape (..., H, L, r)
        Only with ``return_weights``: over the mixtures, not over the keys.

    Raises
    ------
    ValueError
        When shapes do not fit one another, or the mask is more than lengths.
    TypeError
        When dtypes are neither float32 nor float64, or differ.

    Notes
    -----
    .. math::

        k'_t = \sum_j E_{tj} k_j, \quad v'_t = \sum_j F_{tj} v_j, \qquad
        o_i = \sum_t \operatorname{softmax}_t(\text{scale}\; q_i \cdot k'_t)\, v'_t

    and back, with dk' and dv' those of attention,

    .. math::

        dk_j = \sum_t E_{tj}\, dk'_t, \quad dE_{tj} = dk'_t \cdot k_j, \qquad
        dv_j = \sum_t F_{tj}\, dv'_t, \quad dF_{tj} = dv'_t \cdot v_j

    Cost: (D + D\ :sub:`v`) r (L + S) multiply-adds a head, where full attention takes (D + D\ :sub:`v`) L S.
    With r = S and E = F = 1 it is full attention.

    A sample of length n uses the first n columns of E and F, as if it had been given alone with those;
    mixtures of padding only are zero keys and values, which still take their part of the softmax.

    Where it is worse: the matrices belong to one length S, so that a model trained with it takes no longer
    sequences; it cannot be causal; and with matrices that were not trained the output has little to do with
    full attention unless neighbouring keys are alike or r is close to S. With r = 256 full attention is as
    fast up to 512 keys, with r = 64 up to some 150.

    References
    ----------
    Wang et al. 2020, "Linformer: Self-attention with linear complexity", eq. 7. Article 000 §8.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> rng = np.random.default_rng(0)
    >>> q, k, v = rng.normal(size=(3, 4, 100, 8))
    >>> e = at.functional.linformer_projection(16, 100, seed=0, dtype="float64")
    >>> at.functional.linformer(q, k, v, e).shape
    (4, 100, 8)
    >>> full = at.functional.linformer(q, k, v, np.eye(100))
    >>> bool(np.allclose(full, at.attention(q, k, v)))
    True

    Source: cpp/attention/linformer.cpp
    """
    return _core.linformer(q, k, v, proj_k, proj_v, mask, scale, return_weights)


def linformer_projection(
    r: int, length: int, *, kind: str = "normal", seed: "int | None" = None, dtype: "FloatDType" = "float32"
) -> "FloatArray":
    r"""A matrix that mixes ``length`` positions into r, for :func:`linformer` to begin with.

    Parameters
    ----------
    r : int
        Rows: how many mixtures.
    length : int
        Columns: S, how many keys.
    kind : str
        ``"normal"``: normal numbers of variance 1/r, as the paper begins. ``"mean"``: row t is the mean of
        positions :math:`\lfloor tS/r \rfloor` to :math:`\lfloor (t+1)S/r \rfloor`, which is closer to
        full attention where neighbours are alike.
    seed : int
        For ``"normal"``; the same seed gives the same matrix.
    dtype : str or dtype
        float32 or float64.

    Returns
    -------
    ndarray, shape (r, length)

    Raises
    ------
    ValueError
        When r is below 1, or above length for means, kind is neither, or seed is missing or not wanted.
    TypeError
        When dtype is neither float32 nor float64.

    References
    ----------
    Wang et al. 2020, theorem 2 (normal) and §4 (pooling).

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.linformer_projection(2, 4, kind="mean", dtype="float64")
    array([[0.5, 0.5, 0. , 0. ],
           [0. , 0. , 0.5, 0.5]])

    Source: cpp/attention/linformer.cpp
    """
    return _core.linformer_projection(r, length, kind, seed, dtype)

"""Attention whose scores are made from fewer features."""

from typing import TYPE_CHECKING, Any, Literal, overload

from .. import _core

if TYPE_CHECKING:
    from .._typing import FloatArray, MaskLike, TensorLike


@overload
def low_rank(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    basis_q: "TensorLike",
    basis_k: "TensorLike | None" = None,
    *,
    mask: "MaskLike | None" = None,
    scale: "float | None" = None,
    q_offset: "int | None" = None,
    return_weights: Literal[False] = False,
) -> Any: ...
@overload
def low_rank(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    basis_q: "TensorLike",
    basis_k: "TensorLike | None" = None,
    *,
    mask: "MaskLike | None" = None,
    scale: "float | None" = None,
    q_offset: "int | None" = None,
    return_weights: Literal[True],
) -> tuple[Any, Any]: ...
def low_rank(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    basis_q: "TensorLike",
    basis_k: "TensorLike | None" = None,
    *,
    mask: "MaskLike | None" = None,
    scale: "float | None" = None,
    q_offset: "int | None" = None,
    return_weights: bool = False,
) -> Any:
    r"""Attention whose scores are made from r of D features.

    Queries and keys are projected to r features first; values stay as they are. :func:`low_rank_basis` finds
    the projections that change the scores least.

    Parameters
    ----------
    q : array_like or Tensor, shape (..., H, L, D)
        Queries, float32 or float64. ``(L, D)`` and ``(H, L, D)`` work as well.
    k : array_like or Tensor, shape (..., Hkv, S, D)
        Keys. H is a multiple of Hkv; query head h reads key head ``h // (H // Hkv)``.
    v : array_like or Tensor, shape (..., Hkv, S, Dv)
        Values.
    basis_q : array_like or Tensor, shape (D, r) or (Hkv, D, r)
        A: one for all heads, or one a key head.
    basis_k : array_like or Tensor, shape (D, r) or (Hkv, D, r), optional
        B; A if not given.
    mask : Mask or array_like of bool, broadcastable to (..., H, L, S), optional
        **True = may attend.** As :func:`attendo.attention` takes it.
    scale : float, optional
        Multiplies the scores; :math:`1/\sqrt{D}` when not given: D, not r, for what is approximated are the
        scores of D features.
    q_offset : int, optional
        Position of the first query; what ``causal`` counts from. Needed with it when L is not S.
    return_weights : bool
        Give the weights as well; the output is the same to the bit.

    Returns
    -------
    out : ndarray or Tensor, shape (..., H, L, Dv)
        A Tensor when an input is one.
    weights : ndarray or Tensor, shape (..., H, L, S)
        Only with ``return_weights``.

    Raises
    ------
    ValueError
        When shapes do not fit one another.
    TypeError
        When dtypes are neither float32 nor float64, or differ.

    Notes
    -----
    .. math::

        O = \operatorname{softmax}\bigl(\text{scale}\;(Q A)(K B)^\top\bigr)\, V, \qquad
        dQ = d(QA)\, A^\top, \quad dA = Q^\top d(QA), \quad dK = d(KB)\, B^\top, \quad dB = K^\top d(KB)

    Cost: (r + D\ :sub:`v`) L S multiply-adds a head, and r D (L + S) for the projections, where full
    attention takes (D + D\ :sub:`v`) L S; a key-value cache would hold r features a key. With :math:`A
    B^\top = 1` it is full attention.

    Where it is worse: the product of the weights with the values is not made cheaper, so that a quarter of
    64 features is 1.2 to 1.7 times as fast, at any length, and no r is twice as fast; cost still grows with
    L S. Queries and keys without structure (random ones) have no small rank: a quarter of the features left
    out changes the output by a third of its norm.

    References
    ----------
    Eckart and Young 1936 (the truncation). Articles 000 §8.2 and 003 §8.4 (matrix decomposition).

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> rng = np.random.default_rng(0)
    >>> q, k, v = rng.normal(size=(3, 4, 100, 8))
    >>> a, b = at.functional.low_rank_basis(q, k, 8)
    >>> bool(np.allclose(at.functional.low_rank(q, k, v, a, b), at.attention(q, k, v)))
    True

    Source: cpp/attention/low_rank.cpp
    """
    return _core.low_rank(q, k, v, basis_q, basis_k, mask, scale, q_offset, return_weights)


def low_rank_basis(q: "TensorLike", k: "TensorLike", rank: int) -> "tuple[FloatArray, FloatArray]":
    r"""The projections to ``rank`` features that change the scores of q and k least.

    Parameters
    ----------
    q : array_like or Tensor, shape (..., H, L, D)
        Queries, as many as stand for all; batch and positions are taken together. No padding: leave it out.
    k : array_like or Tensor, shape (..., Hkv, S, D)
        Keys.
    rank : int
        r, 1 to D.

    Returns
    -------
    A, B : ndarray, shape (Hkv, D, r), or (D, r) for q and k of two axes
        For :func:`low_rank`. They have no gradient; to train them, make Tensors of them.

    Raises
    ------
    ValueError
        When rank is not 1 to D, shapes do not fit, or q or k holds NaN or inf.
    TypeError
        When dtypes are neither float32 nor float64, or differ.

    Notes
    -----
    Of all matrices of rank r, :math:`(QA)(KB)^\top` is the one nearest to :math:`Q K^\top`, by the sum of
    squared errors over all pairs of queries and keys. With :math:`G = K^\top K` and W the eigenvectors of
    the r largest eigenvalues of :math:`G^{1/2} Q^\top Q\, G^{1/2}`,

    .. math::

        A = G^{1/2} W, \qquad B = G^{-1/2} W

    by Jacobi's method, in double precision, always with the same rotations in the same order. Cost: D² (L +
    S) multiply-adds and some 10 D³ of rotations a head.

    A trained layer is compressed the same way, without data: with its weights (D, d) of queries and keys,
    the scores of x and y are :math:`x W_q^\top W_k y^\top`, so that the transposed weights take the place
    of Q and K and :math:`A^\top W_q`, :math:`B^\top W_k` are the weights of r features.

    References
    ----------
    Eckart and Young 1936; Golub and Van Loan 2013, §8.5. Articles 000 §8.2, 003 §8.4.

    Examples
    --------
    Weights whose product has rank 2 are compressed to rank 2 without loss:

    >>> import numpy as np
    >>> import attendo as at
    >>> rng = np.random.default_rng(0)
    >>> w_q, w_k = rng.normal(size=(4, 2)) @ rng.normal(size=(2, 6)), rng.normal(size=(4, 6))
    >>> a, b = at.functional.low_rank_basis(w_q.T, w_k.T, 2)
    >>> small_q, small_k = a.T @ w_q, b.T @ w_k
    >>> small_q.shape, bool(np.allclose(small_q.T @ small_k, w_q.T @ w_k))
    ((2, 6), True)

    Source: cpp/attention/low_rank.cpp
    """
    return _core.low_rank_basis(q, k, rank)

"""Attention by way of landmarks."""

from typing import TYPE_CHECKING, Any

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._typing import MaskLike, TensorLike


def nystrom(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    *,
    landmarks: int = 64,
    mask: "MaskLike | None" = None,
    q_lengths: "ArrayLike | None" = None,
    scale: "float | None" = None,
    iterations: int = 6,
) -> Any:
    r"""Attention by way of m landmarks, in time and memory linear in the length.

    The L × S weights are put together from three small softmax matrices: queries to landmarks, landmarks to
    landmarks (whose pseudo-inverse is taken), landmarks to keys. Nothing is learned but what attention
    learns.

    Parameters
    ----------
    q : array_like or Tensor, shape (..., H, L, D)
        Queries, float32 or float64. ``(L, D)`` and ``(H, L, D)`` work as well.
    k : array_like or Tensor, shape (..., Hkv, S, D)
        Keys. H is a multiple of Hkv; query head h reads key head ``h // (H // Hkv)``.
    v : array_like or Tensor, shape (..., Hkv, S, Dv)
        Values.
    landmarks : int
        m: into how many segments queries and keys are cut; each is stood for by its mean. At most L and S.
        Where the length n is no multiple of m, segment t runs from :math:`\lfloor tn/m \rfloor` to
        :math:`\lfloor (t+1)n/m \rfloor`; with fewer positions than landmarks some stand there twice.
    mask : Mask, optional
        ``attendo.masks.lengths(...)`` and no other: a landmark
        holds something of several positions, so a query cannot leave out some, as a causal mask would.
    q_lengths : array_like of int, shape (batch,), optional
        How many queries of each sample there are. Those behind get zeros and do not count in the landmarks.
        Needed when there is a mask: for self-attention, the same lengths.
    scale : float, optional
        Multiplies the scores; :math:`1/\sqrt{D}` when not given.
    iterations : int
        Of the pseudo-inverse, 0 to 100. Each takes four products of m × m
        matrices. The paper's 6 leave the smallest singular values uninverted; many more do harm in float32,
        for what rounding leaves where A is singular grows by 13/4 in each.

    Returns
    -------
    ndarray or Tensor, shape (..., H, L, Dv)
        A Tensor when an input is one. There are no weights to ask for: the approximation of a weight may be
        negative, and a row need not sum to one.

    Raises
    ------
    ValueError
        When shapes do not fit one another, there are more landmarks than queries or keys, the mask is more
        than lengths, or q_lengths is missing beside it.
    TypeError
        When dtypes are neither float32 nor float64, or differ.

    Notes
    -----
    With :math:`\tilde Q, \tilde K` the landmarks,

    .. math::

        A = \operatorname{softmax}(\text{scale}\;\tilde Q \tilde K^\top), \qquad
        O = \operatorname{softmax}(\text{scale}\;Q \tilde K^\top)\;
            Z\; \bigl(\operatorname{softmax}(\text{scale}\;\tilde Q K^\top)\, V\bigr)

    .. math::

        Z_0 = \frac{A^\top}{\max_j \sum_i A_{ij}}, \quad X = A Z_n, \quad
        Z_{n+1} = \tfrac14 Z_n \bigl(13 I - X (15 I - X (7 I - X))\bigr) \to A^+

    The gradient passes through every step of the iteration. Both products with many rows are blocked
    attention: no array of L × S or L × m is made. Cost: (D + D\ :sub:`v`) m (L + S) multiply-adds a head
    and 4 m³ an iteration, where full attention takes (D + D\ :sub:`v`) L S.

    When every position is a landmark (m = L = S) it is full attention, as far as the iteration has converged.

    Where it is worse: it cannot be causal; a few keys that stand out among their neighbours are averaged
    away, and where scores are large and neighbours unlike, the error may exceed the output itself, also
    with half as many landmarks as keys. With m = 64 full attention is faster up to some 350 keys.

    References
    ----------
    Xiong et al. 2021, "Nyströmformer: A Nyström-based algorithm for approximating self-attention", eq. 7
    and 13, algorithm 1; the paper's depth-wise convolution beside it is left out. Razavi et al. 2014 (the
    iteration). Article 000 §8.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> rng = np.random.default_rng(0)
    >>> q, k, v = rng.normal(size=(3, 4, 100, 8))
    >>> at.functional.nystrom(q, k, v, landmarks=10).shape
    (4, 100, 8)
    >>> full = at.functional.nystrom(q, k, v, landmarks=100, iterations=30)
    >>> bool(np.allclose(full, at.attention(q, k, v), atol=1e-6))
    True

    Source: cpp/attention/nystrom.cpp
    """
    return _core.nystrom(q, k, v, landmarks, mask, q_lengths, scale, iterations)

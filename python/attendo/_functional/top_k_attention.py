"""Attention to the best keys only."""

from typing import TYPE_CHECKING, Any, Literal, overload

from .. import _core

if TYPE_CHECKING:
    from .._typing import MaskLike, TensorLike


@overload
def top_k_attention(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    *,
    keep: int,
    mask: "MaskLike | None" = None,
    scale: "float | None" = None,
    q_offset: "int | None" = None,
    return_weights: Literal[False] = False,
) -> Any: ...
@overload
def top_k_attention(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    *,
    keep: int,
    mask: "MaskLike | None" = None,
    scale: "float | None" = None,
    q_offset: "int | None" = None,
    return_weights: Literal[True],
) -> tuple[Any, Any]: ...
def top_k_attention(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    *,
    keep: int,
    mask: "MaskLike | None" = None,
    scale: "float | None" = None,
    q_offset: "int | None" = None,
    return_weights: bool = False,
) -> Any:
    r"""Attention of each query to the ``keep`` keys that match it best: pruned weights.

    Parameters
    ----------
    q : array_like or Tensor, shape (..., H, L, D)
        Queries, float32 or float64. ``(L, D)`` and ``(H, L, D)`` work as well.
    k : array_like or Tensor, shape (..., Hkv, S, D)
        Keys. H is a multiple of Hkv; query head h reads key head ``h // (H // Hkv)``.
    v : array_like or Tensor, shape (..., Hkv, S, Dv)
        Values.
    keep : int
        How many keys of a row have a weight, 1 or more; of equal scores the first keys. With S or more it
        is full attention.
    mask : Mask, optional
        ``attendo.masks.causal()``, ``lengths(...)``, or both with ``&``.
    scale : float, optional
        Multiplies the scores; :math:`1/\sqrt{D}` when not given.
    q_offset : int, optional
        Position of the first query; what ``causal`` counts from. Needed with it when L is not S.
    return_weights : bool
        Give the weights as well; the output is the same to the bit.

    Returns
    -------
    out : ndarray or Tensor, shape (..., H, L, Dv)
        A Tensor when an input is one.
    weights : ndarray or Tensor, shape (..., H, L, S)
        Only with ``return_weights``: 0 but for ``keep`` of each row.

    Raises
    ------
    ValueError
        When shapes do not fit one another, keep is below 1, or the mask is another.
    TypeError
        When dtypes are neither float32 nor float64, or differ.

    Notes
    -----
    With :math:`K_i` the keys of the largest allowed scores :math:`s_{ij} = \text{scale}\; q_i \cdot k_j`,

    .. math::

        P_{ij} = \frac{e^{s_{ij}}}{\sum_{l \in K_i} e^{s_{il}}} \text{ for } j \in K_i, \qquad
        o_i = \sum_{j \in K_i} P_{ij} v_j, \qquad
        dS_{ij} = P_{ij} \Bigl(do_i \cdot v_j - \sum_{l \in K_i} P_{il}\, do_i \cdot v_l\Bigr)

    and dq, dk, dv as of attention, from the kept pairs alone; which are kept has no gradient. A row in
    which an allowed score is NaN is NaN.

    Cost: D L S multiply-adds a head for the scores, as always, and D\ :sub:`v` L keep for the values; the
    backward pass takes 3 (D + D\ :sub:`v`) L keep at most, and memory is keep a row.

    Where it is worse: finding the largest scores takes longer than weighing all values would: the forward
    pass is slower than full attention (0.6 times as fast at 4096 keys with 64 kept, 0.3 at 1024), a step of
    training faster only from some 2000 keys on. Where weights are nearly even the output is far off: the
    few values that are left do not average out. The gradient of a key that was not kept is 0, so that a key
    may never be found in training.

    References
    ----------
    Gupta et al. 2021, "Memory-efficient transformers via top-k attention". Article 003 §8.4 (pruning).

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> q, k, v = np.ones((1, 1)), np.log([[1.0], [3.0], [4.0], [2.0]]), np.eye(4)
    >>> at.functional.top_k_attention(q, k, v, keep=2).round(3)
    array([[0.   , 0.429, 0.571, 0.   ]])

    Source: cpp/attention/top_k_attention.cpp
    """
    return _core.top_k_attention(q, k, v, keep, mask, scale, q_offset, return_weights)

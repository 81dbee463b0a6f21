"""Pooled attention."""

from typing import TYPE_CHECKING, Any, Literal, overload

from .. import _core

if TYPE_CHECKING:
    from .._typing import MaskLike, TensorLike


@overload
def pooled(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    *,
    mask: "MaskLike | None" = None,
    scale: float | None = None,
    return_weights: Literal[False] = False,
) -> Any: ...
@overload
def pooled(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    *,
    mask: "MaskLike | None" = None,
    scale: float | None = None,
    return_weights: Literal[True],
) -> tuple[Any, Any]: ...
def pooled(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    *,
    mask: "MaskLike | None" = None,
    scale: float | None = None,
    return_weights: bool = False,
) -> Any:
    r"""One vector of a whole sequence: the mean of its values, weighted by how well each query fits its own
    key.

    Parameters
    ----------
    q, k : array_like or Tensor, shape (..., L, D)
        Queries and keys, float32 or float64; position i of one is compared with position i of the other.
    v : array_like or Tensor, shape (..., L, Dv)
        Values.
    mask : Mask or array_like of bool, broadcastable to (..., L), optional
        **True = counts.** Of :mod:`attendo.masks` those that do not depend on a query, such as ``lengths``,
        which has one number for each sequence.
    scale : float, optional
        Multiplies the scores; 1 when not given.
    return_weights : bool
        Return the weights as well. The output does not change, to the bit.

    Returns
    -------
    out : ndarray or Tensor, shape (..., Dv)
        Zeros for a sequence of which nothing counts.
    weights : ndarray or Tensor, shape (..., L)
        Only with ``return_weights``; they sum to one.

    Raises
    ------
    ValueError
        When shapes do not agree, mask does not broadcast or is causal, or scale is not finite.
    TypeError
        When a dtype is not float32 or float64, dtypes differ, or mask is not bool.

    Notes
    -----
    .. math::

        s_i = \text{scale}\; q_i \cdot k_i, \qquad \alpha_i = \frac{e^{s_i}}{\sum_j e^{s_j}}, \qquad
        o = \sum_i \alpha_i v_i, \qquad
        d\alpha_i = do \cdot v_i, \quad ds_i = \alpha_i \Bigl(d\alpha_i - \sum_j \alpha_j d\alpha_j\Bigr),
        \quad dq_i = \text{scale}\; ds_i k_i, \quad dk_i = \text{scale}\; ds_i q_i, \quad dv_i = \alpha_i do

    Cost: :math:`L (D + D_v)` multiply-adds. This is not self-attention, which compares every position with
    every other and has one output a position: :func:`attendo.attention`. The article gives this formula in
    §3.1 and the other one in §3.2 under the same name.

    References
    ----------
    Article 000 §3.1.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> q = np.log([[1.0], [2.0], [5.0]])
    >>> out, weights = at.functional.pooled(q, np.ones((3, 1)), np.eye(3), return_weights=True)
    >>> weights
    array([0.125, 0.25 , 0.625])
    >>> at.functional.pooled(q, np.ones((3, 1)), np.eye(3), mask=[True, True, False]).round(3)
    array([0.333, 0.667, 0.   ])

    Source: cpp/attention/pooled.cpp
    """
    return _core.pooled(q, k, v, mask, scale, return_weights)

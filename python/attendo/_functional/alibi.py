"""Attention with linear biases."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, FloatDType, TensorLike


@overload
def alibi(
    slopes: "Tensor", length: int, keys: int | None = None, *, q_offset: int | None = None
) -> "Tensor": ...
@overload
def alibi(
    slopes: "ArrayLike", length: int, keys: int | None = None, *, q_offset: int | None = None
) -> "FloatArray": ...
def alibi(
    slopes: "TensorLike", length: int, keys: int | None = None, *, q_offset: int | None = None
) -> "Tensor | FloatArray":
    r"""A bias for attention that falls linearly with the distance, at a slope of its own in each head.

    Parameters
    ----------
    slopes : array_like or Tensor, shape (H,)
        float32 or float64, usually :func:`alibi_slopes`; a Tensor's slopes can be trained.
    length, keys : int
        Queries L and keys S; as many keys as queries when not given.
    q_offset : int, optional
        Position of the first query among the keys. Needed when L and S differ.

    Returns
    -------
    ndarray or Tensor, shape (H, L, S)
        For ``bias=`` of :func:`attendo.attention`.

    Raises
    ------
    ValueError
        When slopes has not one axis, a length is negative, or q_offset is missing where L and S differ.
    TypeError
        When slopes is neither float32 nor float64.

    Notes
    -----
    .. math::

        b_{hij} = -m_h\, |i + \text{q\_offset} - j|, \qquad
        dm_h = -\sum_{ij} db_{hij}\, |i + \text{q\_offset} - j|

    The paper's form with a causal mask, where no key lies after its query; without one, distances count in
    both directions. (BLOOM's :math:`m_h j` differs by a constant a row, which softmax does not see.) Memory:
    the H L S numbers of the bias; ``score_mod=attendo.score_mods.alibi(slopes)`` gives attention the same
    without them.

    References
    ----------
    Press et al. 2022, "Train short, test long", §3.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.alibi([0.5], 3) + 0.0
    array([[[ 0. , -0.5, -1. ],
            [-0.5,  0. , -0.5],
            [-1. , -0.5,  0. ]]])

    Source: cpp/attention/alibi.cpp
    """
    return _core.alibi(slopes, length, keys, q_offset)


def alibi_slopes(num_heads: int, *, dtype: "FloatDType" = "float32") -> "FloatArray":
    r"""The slopes of ALiBi, from steep to flat.

    Parameters
    ----------
    num_heads : int
        Heads H, 1 or more.
    dtype : {"float32", "float64"}
        Of the result.

    Returns
    -------
    ndarray, shape (H,)

    Raises
    ------
    ValueError
        When num_heads is not positive.
    TypeError
        When dtype is neither.

    Notes
    -----
    :math:`m_h = 2^{-8 (h + 1) / H}` for H a power of two. Else those of the largest power of two P below H,
    followed by the first, third, ... of those of 2 P, as many as are lacking: what the authors' code does.

    References
    ----------
    Press et al. 2022, §3.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.alibi_slopes(4)
    array([0.25      , 0.0625    , 0.015625  , 0.00390625], dtype=float32)

    Source: cpp/attention/alibi.cpp
    """
    return _core.alibi_slopes(num_heads, dtype)

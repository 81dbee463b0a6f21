"""Transformer-XL's attention with relative positions."""

from typing import TYPE_CHECKING, Any, Literal, overload

from .. import _core

if TYPE_CHECKING:
    from .._core import Generator
    from .._typing import FloatArray, FloatDType, MaskLike, TensorLike


@overload
def transformer_xl_attention(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    r: "TensorLike",
    content_bias: "TensorLike",
    position_bias: "TensorLike",
    *,
    mask: "MaskLike | None" = None,
    bias: "TensorLike | None" = None,
    scale: float | None = None,
    dropout: float = 0.0,
    generator: "Generator | None" = None,
    q_offset: int | None = None,
    return_weights: Literal[False] = False,
) -> Any: ...
@overload
def transformer_xl_attention(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    r: "TensorLike",
    content_bias: "TensorLike",
    position_bias: "TensorLike",
    *,
    mask: "MaskLike | None" = None,
    bias: "TensorLike | None" = None,
    scale: float | None = None,
    dropout: float = 0.0,
    generator: "Generator | None" = None,
    q_offset: int | None = None,
    return_weights: Literal[True],
) -> tuple[Any, Any]: ...
def transformer_xl_attention(
    q: "TensorLike",
    k: "TensorLike",
    v: "TensorLike",
    r: "TensorLike",
    content_bias: "TensorLike",
    position_bias: "TensorLike",
    *,
    mask: "MaskLike | None" = None,
    bias: "TensorLike | None" = None,
    scale: float | None = None,
    dropout: float = 0.0,
    generator: "Generator | None" = None,
    q_offset: int | None = None,
    return_weights: bool = False,
) -> Any:
    r"""Attention whose scores are of content and of distance, each with a bias of its own.

    Parameters
    ----------
    q : array_like or Tensor, shape (..., H, L, D)
        Queries, float32 or float64.
    k : array_like or Tensor, shape (..., Hkv, S, D)
        Keys, of the memory and the segment: see :func:`segment_recurrence`. H is a multiple of Hkv.
    v : array_like or Tensor, shape (..., Hkv, S, Dv)
        Values.
    r : array_like or Tensor, shape (H, R, D)
        Encoded distances from a query back to a key, from the largest down: q_offset + L - 1, q_offset + L -
        2,
        ... R is q_offset + L, down to distance 0, which a causal mask asks for (without one, keys after the
        query count as distance 0); or L + S - 1, all distances. Usually a projection of
        :func:`relative_sinusoid`. For q of shape (L, D): (R, D).
    content_bias, position_bias : array_like or Tensor, shape (H, D)
        The paper's u and v, added to the queries that meet keys and distances. For q of shape (L, D): (D,).
    mask : Mask or array_like of bool, broadcastable to (..., H, L, S), optional
        **True = may attend.** See :mod:`attendo.masks`.
    bias : array_like or Tensor, broadcastable to (..., H, L, S), optional
        Added to the scaled scores.
    scale : float, optional
        Multiplies the scores; :math:`1/\sqrt{D}` when not given.
    dropout : float
        Probability of dropping a weight, 0 or more and below 1. Needs ``generator``.
    generator : Generator, optional
        Where the random bits come from.
    q_offset : int, optional
        Position of the first query among the keys: the length of the memory. Needed when L and S differ.
    return_weights : bool
        Return the weights as well. The output does not change, to the bit.

    Returns
    -------
    out : ndarray or Tensor, shape (..., H, L, Dv)
    weights : ndarray or Tensor, shape (..., H, L, S)
        Only with ``return_weights``: after softmax, before dropout.

    Raises
    ------
    ValueError
        As :func:`attendo.attention`; and when r or a bias does not fit q, r has another number of distances,
        or q_offset is missing where L and S differ.
    TypeError
        When a dtype is not float32 or float64, dtypes differ, or ``mask`` is not bool.

    Notes
    -----
    With u the content bias and w the position bias (v in the paper, which is taken here),

    .. math::

        s_{ij} = \text{scale}\, \bigl((q_i + u) \cdot k_j
        + (q_i + w) \cdot r_{i + \text{q\_offset} - j}\bigr), \qquad
        o_i = \sum_j \mathrm{softmax}(s_i)_j\, v_j

    and backwards, besides the gradients of :func:`attendo.attention` for the query q + u,

    .. math::

        dw = \text{scale} \sum_{ij} dS_{ij}\, r_{i-j}, \quad
        dr_t = \text{scale} \sum_{i-j = t} dS_{ij}\, (q_i + w), \quad
        dq_i \mathrel{+}= \text{scale} \sum_j dS_{ij}\, r_{i-j}

    Cost beyond attention's: :math:`H L R D` multiply-adds, as queries meet each distance once; the kernel
    looks up their products. Memory: those H L R numbers, where attention alone keeps none.

    References
    ----------
    Dai et al. 2019, "Transformer-XL", §3.3 and appendix B.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.zeros((3, 1))  # no content: distance alone decides
    >>> r = np.array([[0.0], [np.log(3.0)], [0.0]])  # distances 2, 1, 0
    >>> u, w = np.zeros(1), np.ones(1)
    >>> out, weights = at.functional.transformer_xl_attention(
    ...     x, x, x, r, u, w, mask=at.masks.causal(), return_weights=True
    ... )
    >>> weights.round(2)
    array([[1.  , 0.  , 0.  ],
           [0.75, 0.25, 0.  ],
           [0.2 , 0.6 , 0.2 ]])

    Source: cpp/attention/transformer_xl_attention.cpp
    """
    return _core.transformer_xl_attention(
        q,
        k,
        v,
        r,
        content_bias,
        position_bias,
        mask,
        bias,
        scale,
        dropout,
        generator,
        q_offset,
        return_weights,
    )


def relative_sinusoid(
    first: int, count: int, d_model: int, *, dtype: "FloatDType" = "float32"
) -> "FloatArray":
    r"""Sines and cosines of the distances ``first``, ``first - 1``, ...

    Parameters
    ----------
    first : int
        The largest distance; for :func:`transformer_xl_attention` q_offset + L - 1.
    count : int
        How many, 0 or more.
    d_model : int
        Features d, even.
    dtype : {"float32", "float64"}
        Of the result.

    Returns
    -------
    ndarray, shape (count, d_model)
        Sines in the first half, cosines in the second.

    Raises
    ------
    ValueError
        When count is negative or d_model odd.

    Notes
    -----
    .. math::

        R_t = [\sin(t f_0), \dots, \sin(t f_{d/2-1}), \cos(t f_0), \dots], \qquad f_k = 10000^{-2k/d}

    References
    ----------
    Dai et al. 2019, §3.3.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.relative_sinusoid(1, 2, 2).round(3)
    array([[0.841, 0.54 ],
           [0.   , 1.   ]], dtype=float32)

    Source: cpp/attention/transformer_xl_attention.cpp
    """
    return _core.relative_sinusoid(first, count, d_model, dtype)

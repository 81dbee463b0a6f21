"""Attention layers with relative positions."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING

from .._core import RelativeMultiHeadAttention, Tensor
from .._pages import page

if TYPE_CHECKING:
    from .._typing import FloatDType, MaskLike, TensorLike


@page(RelativeMultiHeadAttention, "attendo.nn")
class _RelativeMultiHeadAttention:
    r"""Transformer-XL's attention: relative positions, and a memory of the segments before.

    Parameters
    ----------
    d_model : int
        Features d of the input and the result; even, and a multiple of num_heads.
    num_heads : int
        Heads H, 1 or more. Each works on D = d / H features.
    dropout : float
        Probability of dropping a weight in training mode, 0 or more and below 1.
    bias : bool
        Biases in the projections; the paper has none.
    dtype : {"float32", "float64"}
        Of the parameters; the inputs must have it too.
    seed : int, optional
        Decides the parameters.

    Raises
    ------
    ValueError
        When d_model is not a positive multiple of num_heads or odd, or dropout is out of range; at the call,
        when shapes do not fit.
    TypeError
        When dtype is neither; at the call, when an input has another, or ``mask`` is not bool.

    Notes
    -----
    .. math::

        \tilde h = [\mathrm{SG}(m), x], \quad Q = x W_q^\top, \quad K = \tilde h W_k^\top, \quad
        V = \tilde h W_v^\top, \quad r_t = W_r R_t, \qquad
        y = [\mathrm{head}_0, \dots, \mathrm{head}_{H-1}]\, W_o^\top

    where a head is :func:`attendo.functional.transformer_xl_attention` and
    :math:`R_t` is :func:`attendo.functional.relative_sinusoid`. No position is added to x: only distances
    count, so the memory needs none either. What to remember of a segment:
    :func:`attendo.functional.segment_recurrence`. Parameters:

    ==================  ===========  ==============================================================
    ``in_proj_weight``  (3 d, d)     W_q, W_k and W_v, drawn uniformly from ±√(6 / 2d), one below another
    ``content_bias``    (H, D)       u, zeros at first
    ``position_bias``   (H, D)       the paper's v, zeros at first
    ``r_proj.weight``   (d, d)       W_r, drawn as a :class:`Linear`'s
    ``out_proj.weight`` (d, d)       W_o, likewise
    ``in_proj_bias``    (3 d,)       with ``bias``: zeros at first
    ``out_proj.bias``   (d,)         with ``bias``: drawn as a :class:`Linear`'s
    ==================  ===========  ==============================================================

    Cost for B samples, S = M + L: :math:`2 B (L + S)\, d^2 + 3\, B L S d` multiply-adds. Memory: the
    products of queries and distances, B H L S numbers with a causal mask, B H L (L + S - 1) without.

    References
    ----------
    Dai et al. 2019, "Transformer-XL: attentive language models beyond a fixed-length context". Article 002
    §7.3.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> attention = at.nn.RelativeMultiHeadAttention(d_model=8, num_heads=2, seed=0)
    >>> text = np.random.default_rng(0).normal(size=(1, 6, 8)).astype("float32")
    >>> memory = None
    >>> for segment in np.split(text, 2, axis=1):
    ...     out, weights = attention(segment, memory, mask=at.masks.causal(), return_weights=True)
    ...     _, memory = at.functional.segment_recurrence(segment, memory)
    ...     print(out.shape, weights.shape)
    (1, 3, 8) (1, 2, 3, 3)
    (1, 3, 8) (1, 2, 3, 6)

    Source: cpp/nn/relative_multi_head_attention.cpp, cpp/attention/transformer_xl_attention.cpp
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        dropout: float = 0.0,
        bias: bool = False,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    @property
    def d_model(self) -> int:
        """Features of the model."""

    @property
    def num_heads(self) -> int:
        """Heads."""

    def forward(
        self,
        x: "TensorLike",
        memory: "TensorLike | None" = None,
        *,
        mask: "MaskLike | None" = None,
        bias: "TensorLike | None" = None,
        return_weights: bool = False,
    ) -> "Tensor | tuple[Tensor, Tensor]":
        """Attend to the segment and its memory.

        Parameters
        ----------
        x : array_like or Tensor, shape (B, L, d_model)
            A segment.
        memory : array_like or Tensor, shape (B, M, d_model), optional
            The inputs of this layer in the segments before; no gradient flows there.
        mask : Mask or array_like of bool, broadcastable to (B, H, L, M + L), optional
            **True = may attend.** A causal mask counts the queries from M on.
        bias : array_like or Tensor, broadcastable to (B, H, L, M + L), optional
            Added to the scaled scores.
        return_weights : bool
            Return the weights as well. The output does not change, to the bit.

        Returns
        -------
        out : Tensor, shape (B, L, d_model)
        weights : Tensor, shape (B, H, L, M + L)
            Only with ``return_weights``: after softmax, before dropout.
        """

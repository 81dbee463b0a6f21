"""Attention layers with scores of their own, of one head, and between two modalities."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Literal

from .._core import (
    AdditiveAttention,
    Attention,
    AttentionLayer,
    CrossModalAttention,
    LuongAttention,
    Tensor,
)
from .._pages import page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import FloatDType, MaskLike, TensorLike


@page(Attention, "attendo.nn")
class _Attention:
    r"""One head of attention over positions, with four trained projections.

    Parameters
    ----------
    in_features, out_features : int
        Features before and after, 1 or more.
    dtype : {"float32", "float64"}
        Of the parameters; the input must have it too.
    seed : int, optional
        Decides the parameters.

    Raises
    ------
    ValueError
        When a size is below 1; at the call, when x is not (B, N, in_features) or mask does not fit.
    TypeError
        When dtype is neither; at the call, when x has another, or mask is not bool.

    Notes
    -----
    With D = out_features,

    .. math::

        y = \mathrm{softmax}\bigl(Q K^\top / \sqrt D\bigr) V\, W^\top + b, \quad
        Q = x W_Q^\top + b_Q, \ K = x W_K^\top + b_K, \ V = x W_V^\top + b_V

    Children, with the article's names: ``W_Q``, ``W_K``, ``W_V``, ``fc``. The article's code multiplies Q by
    K without the transpose, which fails unless the batch is as large as D, and gives the layer one vector a
    sample, so that the samples of a batch attend to each other; here they are the positions of one sample.

    References
    ----------
    Article 000 §5.2, corrected.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> layer = at.nn.Attention(8, 4, seed=0)
    >>> layer(np.zeros((2, 9, 8), dtype="float32")).shape
    (2, 9, 4)

    Source: cpp/nn/attention.cpp
    """

    def __init__(
        self, in_features: int, out_features: int, *, dtype: "FloatDType" = "float32", seed: int | None = None
    ) -> None: ...

    def forward(
        self, x: "TensorLike", *, mask: "MaskLike | None" = None, return_weights: bool = False
    ) -> "Tensor | tuple[Tensor, Tensor]":
        """x (B, N, in_features) -> (B, N, out_features); with ``return_weights`` also weights (B, N, N).

        ``mask`` is a Mask or broadcasts to (B, N, N); True = may attend.
        """


@page(AdditiveAttention, "attendo.nn")
class _AdditiveAttention:
    r"""Bahdanau's attention of a decoder to the states of an encoder.

    Parameters
    ----------
    query_dim, memory_dim : int
        Features of the decoder's and the encoder's states.
    units : int
        Features A in which the two are compared.
    bias : bool
        A bias b inside tanh; the paper has none.
    dtype : {"float32", "float64"}
        Of the parameters; the inputs must have it too.
    seed : int, optional
        Decides the parameters.

    Raises
    ------
    ValueError
        When a size is below 1; at the call, when shapes do not fit.
    TypeError
        When dtype is neither; at the call, when an input has another, or mask is not bool.

    Notes
    -----
    .. math::

        s_{ij} = v_a^\top \tanh(W_q h_i + W_k m_j + b), \qquad c_i = \sum_j \mathrm{softmax}_j(s_{ij})\, m_j

    Parameters: ``W_q`` (A, query_dim) and ``W_k`` (A, memory_dim), uniform in ±√(6 / (in + A)); ``v_a`` (A,),
    uniform in ±1/√A; ``b`` (A,), zeros. Gradients and cost: ``score="additive"`` of
    :func:`attendo.attention`.

    References
    ----------
    Bahdanau et al. 2015, "Neural machine translation by jointly learning to align and translate", §A.1.2.
    Articles 001 §3.2, 004 §3.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> attention = at.nn.AdditiveAttention(6, 8, units=10, seed=0)
    >>> memory = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    >>> context, weights = attention(np.zeros((2, 6), "float32"), memory, mask=at.masks.lengths([5, 3]))
    >>> context.shape, weights.shape, weights.numpy()[1, 3:].tolist()
    ((2, 8), (2, 5), [0.0, 0.0])

    Source: cpp/nn/additive_attention.cpp, cpp/attention/additive.cpp
    """

    def __init__(
        self,
        query_dim: int,
        memory_dim: int,
        units: int,
        *,
        bias: bool = False,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    def forward(
        self,
        query: "TensorLike",
        memory: "TensorLike",
        *,
        mask: "MaskLike | None" = None,
        return_weights: bool = True,
    ) -> "tuple[Tensor, Tensor] | Tensor":
        """Attend.

        Parameters
        ----------
        query : array_like or Tensor, shape (B, query_dim) or (B, L, query_dim)
            One decoder state a sample, or several.
        memory : array_like or Tensor, shape (B, S, memory_dim)
            What is looked at: keys and values.
        mask : Mask or array_like of bool, broadcastable to the weights, optional
            **True = may attend.**
        return_weights : bool
            Return the weights as well. The context does not change, to the bit.

        Returns
        -------
        context : Tensor, shape (B, memory_dim) or (B, L, memory_dim)
        weights : Tensor, shape (B, S) or (B, L, S)
        """


@page(LuongAttention, "attendo.nn")
class _LuongAttention:
    r"""Luong's attention: the attentional vector of each decoder state.

    Parameters
    ----------
    query_dim : int
        Features D of the decoder's states.
    memory_dim : int, optional
        Features Ds of the encoder's states; query_dim when not given.
    out_features : int, optional
        Features of the result; query_dim when not given.
    score : {"general", "dot", "concat"}
        How states are compared; ``"dot"`` needs equal features.
    units : int, optional
        Features A in which ``"concat"`` compares; query_dim when not given.
    dtype : {"float32", "float64"}
        Of the parameters; the inputs must have it too.
    seed : int, optional
        Decides the parameters.

    Raises
    ------
    ValueError
        When a size is below 1, score is none of the three, or ``"dot"`` has unequal features; at the call,
        when shapes do not fit.
    TypeError
        When dtype is neither; at the call, when an input has another, or mask is not bool.

    Notes
    -----
    .. math::

        \tilde h_i = \tanh(W_c [c_i; h_i]), \quad c_i = \sum_j \mathrm{softmax}_j(s_{ij})\, m_j, \qquad
        s_{ij} = h_i \cdot m_j, \ \ h_i^\top W_a m_j \ \text{ or } \ v_a^\top \tanh(W_q h_i + W_k m_j)

    Parameters: ``W_a`` (D, Ds) of general; ``W_q`` (A, D), ``W_k`` (A, Ds) and ``v_a`` (A,) of concat;
    ``W_c`` (out, Ds + D). Matrices are uniform in ±√(6 / (in + out)), v_a in ±1/√A. Gradients:
    :func:`attendo.functional.luong`.

    References
    ----------
    Luong et al. 2015, eq. 5 and 8. Article 002 §3.1.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> attention = at.nn.LuongAttention(6, 8, score="concat", units=5, seed=0)
    >>> out, weights = attention(np.zeros((2, 3, 6), "float32"), np.zeros((2, 5, 8), "float32"))
    >>> out.shape, weights.shape
    ((2, 3, 6), (2, 3, 5))

    Source: cpp/nn/luong_attention.cpp, cpp/attention/luong.cpp
    """

    def __init__(
        self,
        query_dim: int,
        memory_dim: int | None = None,
        *,
        out_features: int | None = None,
        score: Literal["dot", "general", "concat"] = "general",
        units: int | None = None,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    def forward(
        self,
        query: "TensorLike",
        memory: "TensorLike",
        *,
        mask: "MaskLike | None" = None,
        return_weights: bool = True,
    ) -> "tuple[Tensor, Tensor] | Tensor":
        """Attend.

        Parameters
        ----------
        query : array_like or Tensor, shape (B, query_dim) or (B, L, query_dim)
            One decoder state a sample, or several.
        memory : array_like or Tensor, shape (B, S, memory_dim)
            What is looked at: keys and values.
        mask : Mask or array_like of bool, broadcastable to the weights, optional
            **True = may attend.**
        return_weights : bool
            Return the weights as well. The result does not change, to the bit.

        Returns
        -------
        out : Tensor, shape (B, out_features) or (B, L, out_features)
        weights : Tensor, shape (B, S) or (B, L, S)
        """


@page(AttentionLayer, "attendo.nn")
class _AttentionLayer:
    r"""Attention in the manner of Keras: called with a list, query, value and perhaps key.

    Parameters
    ----------
    features : int
        Features D of queries and keys.
    score_mode : {"dot", "concat", "pooled"}
        How they are compared. ``"pooled"`` compares position i of the queries with position i of the keys,
        and gives one vector a sample.
    use_scale : bool
        A trained factor W of each feature; without it, ones.
    dropout : float
        Probability of dropping a weight in training mode, 0 or more and below 1.
    dtype : {"float32", "float64"}
        Of the parameters; the inputs must have it too.
    seed : int, optional
        Decides the parameters and the dropout.

    Raises
    ------
    ValueError
        When features is below 1, score_mode is none of the three or dropout out of range; at the call, when
        shapes or masks do not fit.
    TypeError
        When dtype is neither; at the call, when an input has another, or a mask is not bool.

    Notes
    -----
    .. math::

        \text{dot: } s_{ij} = \sum_d W_d\, q_{id} k_{jd}, \quad
        \text{concat: } s_{ij} = \sum_d W_d \tanh(q_{id} + k_{jd}), \qquad
        o_i = \sum_j \mathrm{softmax}_j(s_{ij})\, v_j

    .. math::

        \text{pooled: } s_i = \sum_d W_d\, q_{id} k_{id}, \qquad o = \sum_i \mathrm{softmax}_i(s_i)\, v_i

    Parameter: ``W`` (D,), ones at first, of concat uniform in ±√(6 / (D + 1)). Where Keras differs: its
    ``Attention`` has one scale for all features and none by default, its ``AdditiveAttention`` is
    ``"concat"``; a query that may attend to nothing gets the mean of all values there and zeros here.

    The article's layer takes the softmax over an axis of length 1, so that every weight is 1 and the result
    is the sum of each row; its W is never used. ``"pooled"`` is what it means: W compares, and the softmax
    runs over positions.

    References
    ----------
    Article 001 §5.2, corrected. Keras, ``keras.layers.Attention`` and ``AdditiveAttention``.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.random.default_rng(0).normal(size=(32, 10)).astype("float32")
    >>> layer = at.nn.AttentionLayer(1, score_mode="pooled")
    >>> layer(x[:, :, None]).shape
    (32, 1)
    >>> query, value = np.zeros((2, 3, 4), "float32"), np.ones((2, 5, 4), "float32")
    >>> at.nn.AttentionLayer(4)([query, value]).shape
    (2, 3, 4)

    Source: cpp/nn/attention_layer.cpp
    """

    def __init__(
        self,
        features: int,
        *,
        score_mode: Literal["dot", "concat", "pooled"] = "dot",
        use_scale: bool = True,
        dropout: float = 0.0,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    def forward(
        self,
        inputs: "TensorLike | Sequence[TensorLike]",
        mask: "MaskLike | Sequence[MaskLike | None] | None" = None,
        *,
        use_causal_mask: bool = False,
        return_weights: bool = False,
    ) -> "Tensor | tuple[Tensor, Tensor]":
        """Attend.

        Parameters
        ----------
        inputs : list of two or three, or one array
            Query (B, L, D), value (B, S, Dv) and key (B, S, D), which is the value when not given; one array
            (B, L, D) is all three.
        mask : [query, value] or one mask, optional
            bool (B, L) and (B, S), or masks such as ``at.masks.lengths``; either may be None. **True =
            counts.** One mask is that of the value. A query that does not count gets zeros.
        use_causal_mask : bool
            Query i sees values 0 to i; needs L = S.
        return_weights : bool
            Return the weights as well. The output does not change, to the bit.

        Returns
        -------
        out : Tensor, shape (B, L, Dv); pooled: (B, Dv)
        weights : Tensor, shape (B, L, S); pooled: (B, S)
            Only with ``return_weights``: after softmax, before dropout.
        """


@page(CrossModalAttention, "attendo.nn")
class _CrossModalAttention:
    r"""Two modalities, say a text and an image, each of which attends to the other.

    Parameters
    ----------
    d_model : int
        Features of both results; a multiple of num_heads.
    num_heads : int
        Heads, 1 or more.
    text_dim, image_dim : int, optional
        Features of the two inputs; d_model when not given.
    dropout : float
        Probability of dropping a weight, and a feature of what was attended to, in training mode.
    dtype : {"float32", "float64"}
        Of the parameters; the inputs must have it too.
    seed : int, optional
        Decides the parameters and the dropout.

    Raises
    ------
    ValueError
        When d_model is not a positive multiple of num_heads, a size is below 1 or dropout out of range; at
        the call, when shapes or masks do not fit.
    TypeError
        When dtype is neither; at the call, when an input has another, or a mask is not bool.

    Notes
    -----
    .. math::

        t = \text{text}\, W_t^\top + b_t, \quad i = \text{image}\, W_i^\top + b_i, \qquad
        t' = \mathrm{norm}(t + \mathrm{multihead}(t, i, i)), \quad i' = \mathrm{norm}(i +
        \mathrm{multihead}(i, t, t))

    Children: ``text_proj`` and ``image_proj`` (:class:`Linear`), ``text_attn`` and ``image_attn``
    (:class:`MultiHeadAttention`), ``text_norm`` and ``image_norm`` (:class:`LayerNorm`). Both attend to what
    the other was before: neither goes first.

    References
    ----------
    Lu et al. 2019, "ViLBERT", §2.2 (co-attention). Articles 000 §8.2, 003 §8.2, 004 §7, which name the idea.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> layer = at.nn.CrossModalAttention(8, 2, text_dim=5, image_dim=12, seed=0)
    >>> text, image = np.zeros((2, 7, 5), "float32"), np.zeros((2, 9, 12), "float32")
    >>> (text, image), (text_weights, _) = layer(text, image, text_mask=at.masks.lengths([7, 4]))
    >>> text.shape, image.shape, text_weights.shape
    ((2, 7, 8), (2, 9, 8), (2, 2, 7, 9))

    Source: cpp/nn/cross_modal_attention.cpp
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        text_dim: int | None = None,
        image_dim: int | None = None,
        dropout: float = 0.0,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    def forward(
        self,
        text: "TensorLike",
        image: "TensorLike",
        *,
        text_mask: "MaskLike | None" = None,
        image_mask: "MaskLike | None" = None,
        return_weights: bool = True,
    ) -> "tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]] | tuple[Tensor, Tensor]":
        """Attend both ways.

        Parameters
        ----------
        text : array_like or Tensor, shape (B, Lt, text_dim)
        image : array_like or Tensor, shape (B, Li, image_dim)
            Its positions: patches, regions, pixels of a feature map.
        text_mask, image_mask : Mask or array_like of bool, shape (B, Lt) and (B, Li), optional
            Which positions the other modality may attend to; **True = may.**
        return_weights : bool
            Return the weights as well. The results do not change, to the bit.

        Returns
        -------
        (text, image) : Tensors, shapes (B, Lt, d_model) and (B, Li, d_model)
        (text_weights, image_weights) : Tensors, shapes (B, H, Lt, Li) and (B, H, Li, Lt)
            Only with ``return_weights``: after softmax, before dropout.
        """

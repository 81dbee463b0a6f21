"""Layers of the Transformer."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Literal

from .._core import (
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    FeedForward,
    LearnedPositionalEncoding,
    MultiHeadAttention,
    PositionalEncoding,
    SinusoidalPositionalEncoding,
    Tensor,
)
from .._pages import page

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._typing import FloatArray, FloatDType, MaskLike, TensorLike


@page(MultiHeadAttention, "attendo.nn")
class _MultiHeadAttention:
    r"""Attention in several heads at once, with trained projections before and after.

    Parameters
    ----------
    d_model : int
        Features d of queries and the result, and of keys and values unless said otherwise; a multiple of
        num_heads unless head_dim is given.
    num_heads : int
        Heads H, 1 or more.
    num_kv_heads : int, optional
        Heads of keys and values Hkv, of which H is a multiple: head h reads key-value head
        ``h // (H // Hkv)``. Fewer than H is grouped-query attention, 1 multi-query attention; keys are
        never copied for it. H when not given.
    head_dim : int, optional
        Features D of a head's queries and keys; d / H when not given.
    value_dim : int, optional
        Features Dv of a head's values; D when not given.
    kdim, vdim : int, optional
        Features of the keys and the values that come in; d when not given.
    dropout : float
        Probability of dropping a weight in training mode, 0 or more and below 1.
    bias : bool
        Biases in the projections.
    out_bias : bool, optional
        A bias in the last projection; as ``bias`` when not given.
    scale : float, optional
        Multiplies the scores; :math:`1/\sqrt{D}` when not given.
    qk_norm : bool
        RMS norm of every head of queries and keys, with trained weights ``q_norm`` and ``k_norm`` (D,).
    qk_norm_eps : float
        Its epsilon.
    rotary : bool
        Queries and keys are turned by their positions: :func:`attendo.functional.rotary`. Keys stand at 0,
        1, ..., queries from ``q_offset`` on.
    rotary_base : float
        Of the frequencies.
    rotary_dim : int, optional
        Features of a head that are turned, an even number; all when not given.
    rotary_frequencies : array_like, shape (rotary_dim / 2,), optional
        In place of base and dim: see :func:`attendo.functional.inverse_frequencies`.
    rotary_interleaved : bool
        Pairs are neighbours (2k, 2k + 1), not (k, k + rotary_dim / 2).
    dtype : {"float32", "float64"}
        Of the parameters; the inputs must have it too.
    seed : int, optional
        Decides the parameters.

    Raises
    ------
    ValueError
        When d_model is not a positive multiple of num_heads and head_dim is not given, num_heads is no
        multiple of num_kv_heads, a width is below 1 or dropout is out of range; at the call, when shapes do
        not fit, or a causal mask over unequal lengths lacks ``q_offset``.
    TypeError
        When dtype is neither; at the call, when an input has another, or ``mask`` is not bool.

    Notes
    -----
    .. math::

        Q = x_q W_q^\top + b_q, \quad K = x_k W_k^\top + b_k, \quad V = x_v W_v^\top + b_v, \qquad
        y = [\mathrm{head}_0, \dots, \mathrm{head}_{H-1}]\, W_o^\top + b_o

    where :math:`\mathrm{head}_h = \mathrm{softmax}(Q_h K_g^\top / \sqrt{D})\, V_g` on the D columns of head h
    and of its key-value head g. The gradients of attention: :func:`attendo.attention`. Parameters, named and
    laid out as in ``torch.nn.MultiheadAttention``, where H D = Hkv D = Hkv Dv = d:

    ==================  ====================  ========================================================
    ``in_proj_weight``  (HD + HkvD + HkvDv,   W_q, W_k and W_v, one below another, each drawn uniformly
                        d)                    from ±√(6 / (in + out))
    ``in_proj_bias``    (HD + HkvD + HkvDv,)  zeros at first
    ``out_proj.weight`` (d, H Dv)             W_o, drawn as a :class:`Linear`'s
    ``out_proj.bias``   (d,)                  b_o, likewise
    ==================  ====================  ========================================================

    With a ``kdim`` or ``vdim`` of their own, ``q_proj_weight`` (H D, d), ``k_proj_weight`` (Hkv D, kdim) and
    ``v_proj_weight`` (Hkv Dv, vdim) take the place of ``in_proj_weight``.

    Cost for B samples: :math:`4\,B\,L\,d^2 + 2\,B\,L\,S\,d` multiply-adds (with S = L and all widths d / H),
    memory linear in L and S.

    References
    ----------
    Vaswani et al. 2017, §3.2.2. Shazeer 2019, "Fast transformer decoding" (multi-query). Ainslie et al. 2023,
    "GQA". Su et al. 2021 (rotary). Qwen 3 (norm of queries and keys). Articles 000 §2.1, 002 §2.1, 003 §4.3.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> attention = at.nn.MultiHeadAttention(d_model=8, num_heads=2, seed=0)
    >>> x = np.random.default_rng(0).normal(size=(1, 3, 8)).astype("float32")
    >>> out, weights = attention(x, x, x, mask=at.masks.causal(), return_weights=True)
    >>> out.shape, weights.shape
    ((1, 3, 8), (1, 2, 3, 3))
    >>> weights.sum(axis=-1).numpy().round(3).tolist()
    [[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]]

    Source: cpp/nn/multi_head_attention.cpp, cpp/attention/multi_head.cpp
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        value_dim: int | None = None,
        kdim: int | None = None,
        vdim: int | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        out_bias: bool | None = None,
        scale: float | None = None,
        qk_norm: bool = False,
        qk_norm_eps: float = 1e-6,
        rotary: bool = False,
        rotary_base: float = 10000.0,
        rotary_dim: int | None = None,
        rotary_frequencies: "ArrayLike | None" = None,
        rotary_interleaved: bool = False,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    @property
    def d_model(self) -> int:
        """Features of the model."""

    @property
    def num_heads(self) -> int:
        """Heads."""

    @property
    def num_kv_heads(self) -> int:
        """Heads of keys and values."""

    @property
    def head_dim(self) -> int:
        """Features of one head's queries and keys."""

    @property
    def value_dim(self) -> int:
        """Features of one head's values."""

    def forward(
        self,
        query: "TensorLike",
        key: "TensorLike",
        value: "TensorLike",
        *,
        mask: "MaskLike | None" = None,
        bias: "TensorLike | None" = None,
        q_offset: int | None = None,
        return_weights: bool = False,
    ) -> "Tensor | tuple[Tensor, Tensor]":
        """Attend.

        Parameters
        ----------
        query : array_like or Tensor, shape (B, L, d_model)
            Self-attention: the same as key and value, which saves two products.
        key, value : array_like or Tensor, shape (B, S, d_model), or (B, S, kdim) and (B, S, vdim)
            What is looked at.
        mask : Mask or array_like of bool, broadcastable to (B, H, L, S), optional
            **True = may attend.** See :mod:`attendo.masks`.
        bias : array_like or Tensor, broadcastable to (B, H, L, S), optional
            Added to the scaled scores.
        q_offset : int, optional
            Position of the first query among the keys, for a causal mask where L and S differ.
        return_weights : bool
            Return the weights as well. The output does not change, to the bit.

        Returns
        -------
        out : Tensor, shape (B, L, d_model)
        weights : Tensor, shape (B, H, L, S)
            Only with ``return_weights``: after softmax, before dropout.
        """


@page(PositionalEncoding, "attendo.nn")
class _PositionalEncoding:
    """Adds a row of a table to each position; the base of the two below.

    Source: cpp/nn/positional_encoding.cpp
    """

    @property
    def table(self) -> "FloatArray":
        """What is added: a read-only array (max_len, d_model)."""

    def forward(self, x: "TensorLike", offset: int = 0) -> Tensor:
        """x (B, L, d_model) -> the same shape; ``offset`` is the position of the first row of x."""


@page(SinusoidalPositionalEncoding, "attendo.nn")
class _SinusoidalPositionalEncoding:
    r"""Adds sines and cosines of the position, of many wavelengths. Nothing is trained.

    Parameters
    ----------
    d_model : int
        Features, 1 or more.
    max_len : int
        Positions, 1 or more.
    dtype : {"float32", "float64"}
        Of the table; the input must have it too.

    Raises
    ------
    ValueError
        When a size is below 1; at the call, when x is not (B, L, d_model) or ends beyond max_len.
    TypeError
        When dtype is neither; at the call, when x has another.

    Notes
    -----
    .. math::

        y = x + PE, \qquad PE_{t,2i} = \sin\bigl(t / 10000^{2i/d}\bigr), \quad
        PE_{t,2i+1} = \cos\bigl(t / 10000^{2i/d}\bigr)

    The encoding is not in the state: it follows from its size.

    References
    ----------
    Vaswani et al. 2017, §3.5. Article 003 §1.2, §3.2.

    Examples
    --------
    >>> import attendo as at
    >>> at.nn.SinusoidalPositionalEncoding(4, max_len=3).table.round(3)
    array([[ 0.   ,  1.   ,  0.   ,  1.   ],
           [ 0.841,  0.54 ,  0.01 ,  1.   ],
           [ 0.909, -0.416,  0.02 ,  1.   ]], dtype=float32)

    Source: cpp/nn/positional_encoding.cpp
    """

    def __init__(self, d_model: int, max_len: int, *, dtype: "FloatDType" = "float32") -> None: ...


@page(LearnedPositionalEncoding, "attendo.nn")
class _LearnedPositionalEncoding:
    r"""Adds a trained vector to each position.

    Parameters
    ----------
    d_model : int
        Features, 1 or more.
    max_len : int
        Positions, 1 or more.
    dtype : {"float32", "float64"}
        Of the table; the input must have it too.
    seed : int, optional
        Decides the table.

    Raises
    ------
    ValueError
        When a size is below 1; at the call, when x is not (B, L, d_model) or ends beyond max_len.
    TypeError
        When dtype is neither; at the call, when x has another.

    Notes
    -----
    .. math:: y_t = x_t + P_t, \qquad dP_t = \sum_b dy_{bt}

    Parameter: ``weight`` P (max_len, d_model), drawn from a normal distribution of deviation 0.02.

    References
    ----------
    Vaswani et al. 2017, §3.5 (the variant compared there).

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> position = at.nn.LearnedPositionalEncoding(4, max_len=10, seed=0)
    >>> y = position(np.zeros((1, 3, 4), dtype="float32"), offset=5)
    >>> bool((y.numpy()[0] == position.table[5:8]).all())
    True

    Source: cpp/nn/positional_encoding.cpp
    """

    def __init__(
        self, d_model: int, max_len: int, *, dtype: "FloatDType" = "float32", seed: int | None = None
    ) -> None: ...


@page(FeedForward, "attendo.nn")
class _FeedForward:
    r"""Two linear layers at each position, with an activation and dropout between them.

    Parameters
    ----------
    d_model : int
        Features before and after.
    dff : int
        Features in between.
    dropout : float
        Probability of dropping one of those in training mode, 0 or more and below 1.
    activation : {"relu", "gelu", "gelu_tanh", "silu", "glu", "reglu", "geglu", "geglu_tanh", "swiglu"}
        The function f; the names in glu have a gate, whose function is sigmoid, relu, gelu (exact or by tanh)
        or silu.
    bias : bool
        Biases in both layers.
    dtype : {"float32", "float64"}
        Of the parameters; the input must have it too.
    seed : int, optional
        Decides the parameters.

    Raises
    ------
    ValueError
        When a size is below 1, dropout out of range or activation is none of these; at the call, when x's
        last axis is not d_model.
    TypeError
        When dtype is neither; at the call, when x has another.

    Notes
    -----
    .. math::

        y = f(x W_1^\top + b_1)\, W_2^\top + b_2 \qquad
        \text{with a gate: } y = (a \otimes f(g))\, W_2^\top + b_2, \quad [a\ g] = x W_1^\top + b_1

    With a gate ``linear1`` is twice as wide, :math:`2 d_{ff}`: the first half makes a, the second g.
    Parameters: those of two :class:`Linear` layers, ``linear1`` and ``linear2``. Cost:
    :math:`2\, d\, d_{ff}` multiply-adds a position, half as many again with a gate.

    References
    ----------
    Vaswani et al. 2017, eq. 2. Shazeer 2020, "GLU variants improve Transformer". Article 003 §5.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> layer = at.nn.FeedForward(8, 32, activation="gelu", seed=0)
    >>> layer(np.zeros((2, 5, 8), dtype="float32")).shape
    (2, 5, 8)

    Source: cpp/nn/feed_forward.cpp
    """

    def __init__(
        self,
        d_model: int,
        dff: int,
        *,
        dropout: float = 0.0,
        activation: str = "relu",
        bias: bool = True,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (..., d_model) -> the same shape."""


@page(EncoderLayer, "attendo.nn")
class _EncoderLayer:
    r"""Self-attention, then a feed-forward network; each with dropout, a residual connection and layer norm.

    Parameters
    ----------
    d_model, num_heads, dff : int
        Features, heads, and features inside the feed-forward network.
    dropout : float
        Probability, in training mode, 0 or more and below 1: of the weights, inside the feed-forward network,
        and of what each part adds.
    activation : {"relu", "gelu", "gelu_tanh", "silu", "glu", "reglu", "geglu", "geglu_tanh", "swiglu"}
        Of the feed-forward network.
    norm_first : bool
        Norm before each part (pre-norm), not after it (post-norm, as published).
    norm : {"layer", "rms"}
        Layer norm or RMS norm.
    norm_eps : float
        Its epsilon.
    bias : bool
        Biases in the linear layers.
    qkv_bias, out_bias : bool, optional
        In those before attention, and in the one behind it; as ``bias`` when not given.
    num_kv_heads, head_dim : int, optional
    attention_scale : float, optional
    qk_norm, rotary : bool
    rotary_base, rotary_dim, rotary_frequencies, rotary_interleaved
        Of self-attention: see :class:`MultiHeadAttention`, whose ``scale`` is ``attention_scale`` here.
    dtype : {"float32", "float64"}
        Of the parameters; the input must have it too.
    seed : int, optional
        Decides the parameters.

    Raises
    ------
    ValueError
        When d_model is not a positive multiple of num_heads, dff is below 1, dropout out of range or
        activation or norm is none of theirs; at the call, when x is not (B, L, d_model) or the mask does
        not fit.
    TypeError
        When dtype is neither; at the call, when x has another, or ``mask`` is not bool.

    Notes
    -----
    .. math::

        \text{post-norm} \quad & a = \mathrm{norm}_1(x + \mathrm{attention}(x)), \quad
        y = \mathrm{norm}_2(a + \mathrm{ff}(a)) \\
        \text{pre-norm} \quad & a = x + \mathrm{attention}(\mathrm{norm}_1(x)), \quad
        y = a + \mathrm{ff}(\mathrm{norm}_2(a))

    Children: ``self_attn``, ``feed_forward``, ``norm1``, ``norm2``, ``dropout1``, ``dropout2``.

    References
    ----------
    Vaswani et al. 2017, §3.1. Xiong et al. 2020 (pre-norm). Articles 002 §5.2, 003 §5.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> layer = at.nn.EncoderLayer(8, 2, 32, seed=0)
    >>> x = np.zeros((2, 5, 8), dtype="float32")
    >>> y, weights = layer(x, mask=at.masks.lengths([5, 3]))
    >>> y.shape, weights.shape
    ((2, 5, 8), (2, 2, 5, 5))

    Source: cpp/nn/encoder_layer.cpp
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        dff: int,
        *,
        dropout: float = 0.0,
        activation: str = "relu",
        norm_first: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: float = 1e-5,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        attention_scale: float | None = None,
        qk_norm: bool = False,
        rotary: bool = False,
        rotary_base: float = 10000.0,
        rotary_dim: int | None = None,
        rotary_frequencies: "ArrayLike | None" = None,
        rotary_interleaved: bool = False,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    def forward(
        self, x: "TensorLike", mask: "MaskLike | None" = None, *, return_weights: bool = True
    ) -> "Tensor | tuple[Tensor, Tensor]":
        """Run the layer.

        Parameters
        ----------
        x : array_like or Tensor, shape (B, L, d_model)
        mask : Mask or array_like of bool, broadcastable to (B, H, L, L), optional
            **True = may attend.**
        return_weights : bool
            Return the weights as well; without them it is faster.

        Returns
        -------
        y : Tensor, shape (B, L, d_model)
        weights : Tensor, shape (B, H, L, L)
            Only with ``return_weights``.
        """


@page(Encoder, "attendo.nn")
class _Encoder:
    r"""A stack of encoder layers.

    Parameters
    ----------
    num_layers : int
        0 or more.
    d_model, num_heads, dff, dropout, activation, norm_first, ..., dtype, seed
        As of an :class:`EncoderLayer`.

    Raises
    ------
    ValueError, TypeError
        As of an :class:`EncoderLayer`, and when num_layers is negative.

    Notes
    -----
    Children: ``layers`` ("0", "1", ...), and with ``norm_first`` a last ``norm``.

    References
    ----------
    Vaswani et al. 2017, §3.1. Articles 002 §5.2, 003 §5.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> encoder = at.nn.Encoder(3, 8, 2, 32, seed=0)
    >>> y, weights = encoder(np.zeros((2, 5, 8), dtype="float32"))
    >>> y.shape, len(weights), weights[0].shape
    ((2, 5, 8), 3, (2, 2, 5, 5))

    Source: cpp/nn/encoder_layer.cpp
    """

    def __init__(
        self,
        num_layers: int,
        d_model: int,
        num_heads: int,
        dff: int,
        *,
        dropout: float = 0.0,
        activation: str = "relu",
        norm_first: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: float = 1e-5,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        attention_scale: float | None = None,
        qk_norm: bool = False,
        rotary: bool = False,
        rotary_base: float = 10000.0,
        rotary_dim: int | None = None,
        rotary_frequencies: "ArrayLike | None" = None,
        rotary_interleaved: bool = False,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    def forward(
        self, x: "TensorLike", mask: "MaskLike | None" = None, *, return_weights: bool = True
    ) -> "Tensor | tuple[Tensor, list[Tensor]]":
        """Run the stack.

        Parameters
        ----------
        x : array_like or Tensor, shape (B, L, d_model)
        mask : Mask or array_like of bool, broadcastable to (B, H, L, L), optional
            **True = may attend**, in every layer.
        return_weights : bool
            Return the weights as well; without them it is faster.

        Returns
        -------
        y : Tensor, shape (B, L, d_model)
        attention : list of Tensor, shape (B, H, L, L)
            Only with ``return_weights``: one a layer.
        """

    def without_padding(self, x: "TensorLike", lengths: "ArrayLike") -> "Tensor":
        r"""The output for sequences of unequal lengths, computed for their real positions alone.

        The real positions of all sequences go through the layers one sequence after the other, so that
        padding costs nothing. To rounding it is what ``encoder(x, mask=at.masks.lengths(lengths))`` gives
        there, and zeros at the padding.

        Parameters
        ----------
        x : array_like or Tensor, shape (B, L, d_model)
        lengths : array_like of int, shape (B,)
            How many positions of each sequence are real: the first ones.

        Returns
        -------
        Tensor, shape (B, L, d_model)
            Off the tape.

        Raises
        ------
        ValueError
            In training mode, with rotary positions, and when a length is below 0 or above L.

        Examples
        --------
        >>> import numpy as np
        >>> import attendo as at
        >>> encoder = at.nn.Encoder(2, 8, 2, 32, seed=0).eval()
        >>> y = encoder.without_padding(np.ones((2, 5, 8), dtype="float32"), [5, 2])
        >>> bool((y.numpy()[1, 2:] == 0).all())
        True
        """


@page(DecoderLayer, "attendo.nn")
class _DecoderLayer:
    r"""Causal self-attention, attention to the encoder's output (the memory), then a feed-forward network.

    Each with dropout, a residual connection and layer norm.

    Parameters
    ----------
    d_model, num_heads, dff, dropout, activation, norm_first, ..., dtype, seed
        As of an :class:`EncoderLayer`.

    Raises
    ------
    ValueError, TypeError
        As of an :class:`EncoderLayer`; at the call, also when memory is not (B, S, d_model).

    Notes
    -----
    .. math::

        \text{post-norm} \quad & a = \mathrm{norm}_1(x + \mathrm{self}(x)), \quad
        c = \mathrm{norm}_2(a + \mathrm{cross}(a, \text{memory})), \quad
        y = \mathrm{norm}_3(c + \mathrm{ff}(c)) \\
        \text{pre-norm} \quad & a = x + \mathrm{self}(\mathrm{norm}_1(x)), \quad
        c = a + \mathrm{cross}(\mathrm{norm}_2(a), \text{memory}), \quad
        y = c + \mathrm{ff}(\mathrm{norm}_3(c))

    Children: ``self_attn``, ``cross_attn``, ``feed_forward``, ``norm1`` to ``norm3``, ``dropout1`` to
    ``dropout3``.

    References
    ----------
    Vaswani et al. 2017, §3.1. Xiong et al. 2020 (pre-norm). Article 003 §5.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> layer = at.nn.DecoderLayer(8, 2, 32, seed=0)
    >>> x, memory = np.zeros((2, 4, 8), dtype="float32"), np.zeros((2, 6, 8), dtype="float32")
    >>> y, (self_weights, cross_weights) = layer(x, memory, memory_mask=at.masks.lengths([6, 5]))
    >>> y.shape, self_weights.shape, cross_weights.shape
    ((2, 4, 8), (2, 2, 4, 4), (2, 2, 4, 6))

    Source: cpp/nn/decoder_layer.cpp
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        dff: int,
        *,
        dropout: float = 0.0,
        activation: str = "relu",
        norm_first: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: float = 1e-5,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        attention_scale: float | None = None,
        qk_norm: bool = False,
        rotary: bool = False,
        rotary_base: float = 10000.0,
        rotary_dim: int | None = None,
        rotary_frequencies: "ArrayLike | None" = None,
        rotary_interleaved: bool = False,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    def forward(
        self,
        x: "TensorLike",
        memory: "TensorLike",
        mask: "MaskLike | None" = None,
        memory_mask: "MaskLike | None" = None,
        *,
        return_weights: bool = True,
    ) -> "Tensor | tuple[Tensor, tuple[Tensor, Tensor]]":
        """Run the layer.

        Parameters
        ----------
        x : array_like or Tensor, shape (B, T, d_model)
        memory : array_like or Tensor, shape (B, S, d_model)
            What the encoder gave.
        mask : Mask or array_like of bool, broadcastable to (B, H, T, T), optional
            **True = may attend**, in self-attention; causal when not given. One that is given takes its
            place: ``at.masks.causal() & at.masks.lengths(...)``.
        memory_mask : Mask or array_like of bool, broadcastable to (B, H, T, S), optional
            **True = may attend** to that place of the memory.
        return_weights : bool
            Return the weights as well; without them it is faster.

        Returns
        -------
        y : Tensor, shape (B, T, d_model)
        weights : tuple of Tensor, shapes (B, H, T, T) and (B, H, T, S)
            Only with ``return_weights``: of self-attention and of attention to the memory.
        """


@page(Decoder, "attendo.nn")
class _Decoder:
    r"""A stack of decoder layers.

    Parameters
    ----------
    num_layers : int
        0 or more.
    d_model, num_heads, dff, dropout, activation, norm_first, ..., dtype, seed
        As of an :class:`EncoderLayer`.

    Raises
    ------
    ValueError, TypeError
        As of a :class:`DecoderLayer`, and when num_layers is negative.

    Notes
    -----
    Children: ``layers`` ("0", "1", ...), and with ``norm_first`` a last ``norm``.

    References
    ----------
    Vaswani et al. 2017, §3.1. Article 003 §5.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> decoder = at.nn.Decoder(3, 8, 2, 32, seed=0)
    >>> x, memory = np.zeros((2, 4, 8), dtype="float32"), np.zeros((2, 6, 8), dtype="float32")
    >>> y, (self_weights, cross_weights) = decoder(x, memory)
    >>> y.shape, len(cross_weights), cross_weights[0].shape
    ((2, 4, 8), 3, (2, 2, 4, 6))

    Source: cpp/nn/decoder_layer.cpp
    """

    def __init__(
        self,
        num_layers: int,
        d_model: int,
        num_heads: int,
        dff: int,
        *,
        dropout: float = 0.0,
        activation: str = "relu",
        norm_first: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: float = 1e-5,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        attention_scale: float | None = None,
        qk_norm: bool = False,
        rotary: bool = False,
        rotary_base: float = 10000.0,
        rotary_dim: int | None = None,
        rotary_frequencies: "ArrayLike | None" = None,
        rotary_interleaved: bool = False,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    def forward(
        self,
        x: "TensorLike",
        memory: "TensorLike",
        mask: "MaskLike | None" = None,
        memory_mask: "MaskLike | None" = None,
        *,
        return_weights: bool = True,
    ) -> "Tensor | tuple[Tensor, tuple[list[Tensor], list[Tensor]]]":
        """Run the stack.

        Parameters
        ----------
        x : array_like or Tensor, shape (B, T, d_model)
        memory : array_like or Tensor, shape (B, S, d_model)
            What the encoder gave.
        mask, memory_mask : Mask or array_like of bool, optional
            As of a :class:`DecoderLayer`, in every layer; self-attention is causal when no mask is given.
        return_weights : bool
            Return the weights as well; without them it is faster.

        Returns
        -------
        y : Tensor, shape (B, T, d_model)
        attention : tuple of two lists of Tensor, shapes (B, H, T, T) and (B, H, T, S)
            Only with ``return_weights``: of self-attention and of attention to the memory, one a layer.
        """

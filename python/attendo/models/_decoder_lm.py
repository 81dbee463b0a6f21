"""The page of DecoderLM."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Any, Literal

from .._core import DecoderLM, Tensor
from .._pages import page
from ._output import ModelOutput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from typing_extensions import Unpack

    from .._core import TokenStream
    from .._typing import FloatDType, TensorLike
    from ._decoding import DecodingOptions


@page(DecoderLM, "attendo.models")
class _DecoderLM:
    r"""A decoder-only language model: each position of a sequence predicts the token after it.

    Parameters
    ----------
    vocab_size : int
        Ids are below this.
    d_model : int
        Features d of the model, a multiple of num_heads.
    num_heads : int
        Attention heads, 1 or more.
    num_layers : int
        0 or more.
    max_len : int
        Positions of the longest sequence.
    dff : int, optional
        Features inside the feed-forward networks, 4 d where it is left out.
    dropout : float
        Probability, in training mode, 0 or more and below 1: of embeddings, attention weights, features
        inside the feed-forward networks, and what each part adds.
    activation : {"relu", "gelu", "gelu_tanh", "silu", "glu", "reglu", "geglu", "geglu_tanh", "swiglu"}
        Of the feed-forward networks: see :class:`attendo.nn.FeedForward`.
    norm_first : bool
        Pre-norm layers, with a last norm after the stack, not post-norm ones.
    positions : {"sinusoidal", "learned", "rotary", "none"}
        The positional encoding: a formula, a table that is trained, or queries and keys turned by their
        positions.
    tie_weights : bool
        The logits are products with the embeddings themselves, with no weight or bias of their own.
    num_kv_heads, head_dim, attention_scale, bias, qkv_bias, out_bias, qk_norm, norm, norm_eps
        Of the layers: see :class:`attendo.nn.EncoderLayer`.
    rotary_base, rotary_dim, rotary_frequencies, rotary_interleaved
        With ``positions="rotary"``: see :class:`attendo.nn.MultiHeadAttention`.
    head_bias : bool
        The layer to the vocabulary has a bias.
    scale_embeddings : bool
        Embeddings are multiplied by :math:`\\sqrt d`.
    window : int or sequence of int, optional
        A position sees so many keys, itself included; all before it when not given. A sequence has one
        number for each layer, 0 or None for all.
    dtype : {"float32", "float64"}
        Of all parameters.
    seed : int, optional
        Decides the parameters.

    Attributes
    ----------
    config : dict
        The arguments above but for the seed: what ``save`` writes beside the parameters.

    Raises
    ------
    ValueError
        When a size is out of range, d_model is not a multiple of num_heads and head_dim is not given, or
        activation, norm or positions is none of theirs; at the call, when an id is not of the vocabulary or
        a sequence is longer than max_len.
    TypeError
        When dtype is neither; at the call, when ids are not integers.

    Notes
    -----
    .. math::

        \text{logits} = \mathrm{layers}\bigl(\sqrt d\, E[ids] + PE\bigr)\, W^\top + b, \qquad
        \text{tied: } W = E,\ b = 0

    The layers are those of :class:`attendo.nn.Encoder`, their attention causal. With
    ``norm_first=True, activation="gelu_tanh", positions="learned", tie_weights=True,
    scale_embeddings=False`` this is GPT-2; with ``norm_first=True, norm="rms", activation="swiglu",
    positions="rotary", bias=False, head_bias=False, scale_embeddings=False`` Llama.

    The logits at position t are for the token after ``ids[:, t]``: train on ``ids[:, :-1]`` and
    ``ids[:, 1:]``. Padding behind the end of a row needs no mask, only a loss that leaves it out. The names
    in ``state_dict()``, D being each of
    ``decoder.layers.0``, ...:

    =================================  ======================================================================
    ``embedding.weight``               (vocab_size, d), drawn with deviation :math:`1/\sqrt d`
    ``position.weight``                (max_len, d), with ``positions="learned"``
    D ``.self_attn.*``                 a :class:`attendo.nn.MultiHeadAttention`
    D ``.feed_forward.linear1, 2.*``   two :class:`attendo.nn.Linear`
    D ``.norm1, norm2.*``              two :class:`attendo.nn.LayerNorm` or :class:`attendo.nn.RMSNorm`
    ``decoder.norm.*``                 with ``norm_first``
    ``generator.weight, bias``         (vocab_size, d) and (vocab_size,), without ``tie_weights``
    =================================  ======================================================================

    References
    ----------
    Radford et al. 2018, 2019 (GPT-2); Touvron et al. 2023 (Llama); Vaswani et al. 2017, §3; tied weights:
    Press and Wolf 2017.

    Examples
    --------
    Count to nine, and begin again.

    >>> import numpy as np
    >>> import attendo as at
    >>> ids = (np.random.default_rng(0).integers(0, 10, size=(256, 1)) + np.arange(9)) % 10
    >>> model = at.models.DecoderLM(10, 32, 2, 1, max_len=16, seed=0)
    >>> trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=3e-3))
    >>> history = trainer.fit(ids[:, :-1], ids[:, 1:], epochs=10, progress=False)
    >>> model.generate([[7, 8]], max_new_tokens=4)
    array([[7, 8, 9, 0, 1, 2]])

    Source: cpp/models/decoder_lm.cpp
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        num_heads: int,
        num_layers: int,
        max_len: int,
        *,
        dff: int | None = None,
        dropout: float = 0.0,
        activation: str = "relu",
        norm_first: bool = False,
        positions: Literal["sinusoidal", "learned", "rotary", "none"] = "sinusoidal",
        tie_weights: bool = False,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        attention_scale: float | None = None,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        qk_norm: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: float = 1e-5,
        rotary_base: float = 10000.0,
        rotary_dim: int | None = None,
        rotary_frequencies: "ArrayLike | None" = None,
        rotary_interleaved: bool = False,
        head_bias: bool = True,
        scale_embeddings: bool = True,
        window: "int | Sequence[int | None] | None" = None,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments but for the seed."""

    def forward(self, ids: "TensorLike") -> Tensor:
        """Logits of each position's next token.

        Parameters
        ----------
        ids : array_like of int, shape (B, S)

        Returns
        -------
        Tensor, shape (B, S, vocab_size)
        """

    def outputs(
        self, ids: "TensorLike", *, hidden_states: bool = False, attentions: bool = False
    ) -> ModelOutput:
        """The logits, and what led to them.

        Parameters
        ----------
        ids : array_like of int, shape (B, S)
        hidden_states : bool
            With the embeddings and the output of every layer.
        attentions : bool
            With the attention weights of every layer.

        Returns
        -------
        ModelOutput
        """

    def generate(
        self,
        ids: "ArrayLike",
        *,
        max_new_tokens: int,
        lengths: "ArrayLike | None" = None,
        **options: "Unpack[DecodingOptions]",
    ) -> Any:
        """Continue sequences, greedily, by beams or by sampling; keys and values of earlier tokens are kept.

        Parameters
        ----------
        ids : array_like of int, shape (B, S), or list of lists
            What the sequences begin with, one token or more each. Lists may have unequal lengths.
        max_new_tokens : int
            The most tokens to add, 0 or more; S + max_new_tokens is at most the model's max_len.
        lengths : array_like of int, shape (B,), optional
            How many of the S are each row's; what is behind them is not read. All when not given.
        options
            Ends, beams, sampling and penalties: those of :func:`attendo.models.generate`. A model that was
            loaded from a checkpoint has its own eos_id, pad_id, forced and forbidden ids (in
            ``model.generation_config``); ``eos_id=None`` goes on behind an end.

        Returns
        -------
        ids : ndarray of int64, shape (B num_return_sequences, T)
            Row by row the given tokens, the new ones, and padding; each as it would be alone. Greedily and
            without eos_id T is S + max_new_tokens.
        scores : ndarray of float64, shape (B num_return_sequences,), optional
            With ``return_scores``.

        Raises
        ------
        ValueError
            When ids has no positions, an id is not of the vocabulary, or an option is out of range.
        TypeError
            When an argument has the wrong type.
        KeyboardInterrupt
            On Ctrl-C, between two steps.

        Examples
        --------
        >>> import attendo as at
        >>> model = at.models.DecoderLM(10, 8, 2, 1, max_len=16, seed=0)
        >>> model.generate([[1, 2, 3], [4]], max_new_tokens=4, num_beams=3, eos_id=9).shape[0]
        2
        """

    def stream(
        self,
        ids: "ArrayLike",
        *,
        max_new_tokens: int,
        lengths: "ArrayLike | None" = None,
        **options: "Unpack[DecodingOptions]",
    ) -> "TokenStream":
        """:meth:`generate` token by token: greedy decoding and sampling, not beams.

        Parameters
        ----------
        ids, max_new_tokens, lengths, options
            As of :meth:`generate`.

        Returns
        -------
        TokenStream
            An iterator: int64 arrays, the next token of each row, padding where it has ended.

        Raises
        ------
        ValueError, TypeError
            As :meth:`generate`; and when num_beams is above 1.

        Examples
        --------
        >>> import attendo as at
        >>> model = at.models.DecoderLM(10, 8, 2, 1, max_len=16, seed=0)
        >>> sum(1 for tokens in model.stream([[1, 2, 3]], max_new_tokens=4))
        4
        """

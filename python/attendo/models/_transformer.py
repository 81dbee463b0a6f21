"""The page of Transformer."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Any, Literal

from .._core import Tensor, Transformer
from .._pages import page
from ._output import EncoderDecoderOutput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._core import TokenStream
    from .._typing import FloatArray, FloatDType, TensorLike


@page(Transformer, "attendo.models")
class _Transformer:
    r"""The encoder-decoder Transformer: a sequence of ids in, the logits of another out.

    Parameters
    ----------
    d_model : int
        Features d of the model, a multiple of nhead.
    nhead : int
        Attention heads, 1 or more.
    num_encoder_layers, num_decoder_layers : int
        0 or more.
    dff : int
        Features inside the feed-forward networks, 1 or more.
    input_vocab_size, target_vocab_size : int
        Ids of source and target are below these.
    max_len : int
        Positions of the longest sequence.
    dropout : float
        Probability, in training mode, 0 or more and below 1: of embeddings, attention weights, features
        inside the feed-forward networks, and what each part adds.
    activation : {"relu", "gelu", "gelu_tanh", "silu", "glu", "reglu", "geglu", "geglu_tanh", "swiglu"}
        Of the feed-forward networks: see :class:`attendo.nn.FeedForward`.
    norm_first : bool
        Pre-norm layers, with a last norm after each stack, not post-norm ones.
    pad_id : int
        The id of padding, of both vocabularies. Padding of the source is never attended to; that of the
        target stands behind the end of its row, where causal attention does not look.
    decoder_nhead, decoder_dff : int, optional
        Heads and inner features of the decoder's layers; those of the encoder's when not given.
    positions : {"sinusoidal", "sinusoidal_halves", "learned", "t5", "none"}
        The positional encoding: a formula, the same with all sines before all cosines, a table for each stack
        that is trained, or T5's bias of the scores in self-attention, one table for each stack, which all
        its layers share.
    num_buckets, max_distance : int
        With ``positions="t5"``: see :func:`attendo.t5_bias`.
    scale_embeddings : bool
        Embeddings are multiplied by :math:`\sqrt d`.
    shared_embeddings : bool
        Source and target have one embedding; their vocabularies are then one.
    embed_padding : bool
        The embedding of pad_id is one like the others: T5 begins each target with it. Otherwise it is zeros
        at the start and never trained.
    tie_weights : bool
        The logits are products with the target's embeddings, with no weight of their own.
    head_bias : bool, optional
        The logits have a bias; they have one without tie_weights, none with it, when not given.
    scale_logits : bool
        The decoder's output is divided by :math:`\sqrt d` before the logits.
    num_kv_heads, head_dim, attention_scale, bias, qkv_bias, out_bias, qk_norm, norm, norm_eps
        Of the layers: see :class:`attendo.nn.EncoderLayer`.
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
        When a size is out of range, d_model is not a multiple of nhead and head_dim is not given, activation,
        norm or positions is none of theirs, pad_id is not an id of both vocabularies, or these differ where
        they share an embedding; at the call, when an id is not of its vocabulary, a sequence is longer than
        max_len, or the batches differ.
    TypeError
        When dtype is neither; at the call, when ids are not integers or src_mask is not bool.

    Notes
    -----
    .. math::

        \text{memory} = \mathrm{encoder}\bigl(\sqrt d\, E_{src}[src] + PE\bigr), \qquad
        \text{logits} = \mathrm{decoder}\bigl(\sqrt d\, E_{tgt}[tgt] + PE,\ \text{memory}\bigr)\, W^\top + b

    With ``norm_first=True, norm="rms", bias=False, attention_scale=1, positions="t5",
    scale_embeddings=False, shared_embeddings=True, embed_padding=True`` this is T5: with ``activation="relu",
    tie_weights=True, scale_logits=True`` the first one, with ``activation="geglu_tanh", head_bias=False``
    its version 1.1. With ``activation="silu", positions="sinusoidal_halves", shared_embeddings=True,
    tie_weights=True, head_bias=True`` it is Marian.

    The logits at position t are for the token after ``tgt[:, t]``: train on ``tgt[:, :-1]`` and
    ``tgt[:, 1:]``, tgt beginning with a token of its own. The names in ``state_dict()``, E being each of
    ``encoder.layers.0``, ...:

    =================================  ======================================================================
    ``src_embedding.weight``           (input_vocab_size, d), drawn with deviation :math:`1/\sqrt d`
    ``tgt_embedding.weight``           (target_vocab_size, d), likewise; a row of zeros for padding in both
    ``embedding.weight``               in place of these two, with ``shared_embeddings``
    ``src, tgt_position.weight``       (max_len, d), with ``positions="learned"``
    ``src, tgt_relative_bias``         (num_buckets, heads), with ``positions="t5"``
    E ``.self_attn.*``                 a :class:`attendo.nn.MultiHeadAttention`
    E ``.feed_forward.linear1, 2.*``   two :class:`attendo.nn.Linear`
    E ``.norm1, norm2.*``              two :class:`attendo.nn.LayerNorm` or :class:`attendo.nn.RMSNorm`
    ``decoder.layers.0.*``, ...        the same, with ``cross_attn.*`` after ``self_attn.*``, and ``norm3.*``
    ``encoder, decoder.norm.*``        with ``norm_first``
    ``generator.weight, bias``         (target_vocab_size, d) and (target_vocab_size,)
    ``logits_bias``                    (target_vocab_size,), with ``tie_weights`` and ``head_bias``
    =================================  ======================================================================

    References
    ----------
    Vaswani et al. 2017, §3; Raffel et al. 2020 (T5); Junczys-Dowmunt et al. 2018 (Marian); tied weights:
    Press and Wolf 2017. Articles 002 §5.2 (corrected) and 003 §5.2.

    Examples
    --------
    Reverse a sequence: ids 3 to 9, with 0 for padding, 1 before the beginning and 2 after the end.

    >>> import numpy as np
    >>> import attendo as at
    >>> src = np.random.default_rng(0).integers(3, 10, size=(256, 4))
    >>> tgt = np.concatenate([np.full((256, 1), 1), src[:, ::-1], np.full((256, 1), 2)], axis=1)
    >>> model = at.models.Transformer(32, 2, 1, 1, 64, 10, 10, max_len=8, dropout=0.0, seed=0)
    >>> trainer = at.train.Trainer(model, at.losses.CrossEntropy(ignore_index=0), at.optim.Adam(lr=3e-3))
    >>> history = trainer.fit((src, tgt[:, :-1]), tgt[:, 1:], epochs=20, progress=False)
    >>> model.translate([[5, 3, 4, 9]], bos_id=1, eos_id=2)
    array([[9, 4, 3, 5, 2]])
    >>> model.cross_attention([[5, 3, 4, 9]], [[1, 9, 4, 3, 5]]).shape
    (1, 1, 2, 5, 4)

    Source: cpp/models/transformer.cpp
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        num_encoder_layers: int,
        num_decoder_layers: int,
        dff: int,
        input_vocab_size: int,
        target_vocab_size: int,
        max_len: int,
        *,
        dropout: float = 0.1,
        activation: str = "relu",
        norm_first: bool = False,
        pad_id: int = 0,
        decoder_nhead: int | None = None,
        decoder_dff: int | None = None,
        positions: Literal["sinusoidal", "sinusoidal_halves", "learned", "t5", "none"] = "sinusoidal",
        num_buckets: int = 32,
        max_distance: int = 128,
        scale_embeddings: bool = True,
        shared_embeddings: bool = False,
        embed_padding: bool = False,
        tie_weights: bool = False,
        head_bias: bool | None = None,
        scale_logits: bool = False,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        attention_scale: float | None = None,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        qk_norm: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: float = 1e-5,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments but for the seed."""

    def forward(
        self, src: "TensorLike", tgt: "TensorLike", *, src_mask: "TensorLike | None" = None
    ) -> Tensor:
        """Logits of each target position's next token.

        Parameters
        ----------
        src : array_like of int, shape (B, S)
            Source ids.
        tgt : array_like of int, shape (B, T)
            Target ids so far, the first being that before the beginning.
        src_mask : array_like of bool, shape (B, S), optional
            True for a token, False for padding; what is not pad_id when not given.

        Returns
        -------
        Tensor, shape (B, T, target_vocab_size)
        """

    def outputs(
        self,
        src: "TensorLike",
        tgt: "TensorLike",
        *,
        src_mask: "TensorLike | None" = None,
        hidden_states: bool = False,
        attentions: bool = False,
    ) -> EncoderDecoderOutput:
        """The logits, and what led to them.

        Parameters
        ----------
        src : array_like of int, shape (B, S)
        tgt : array_like of int, shape (B, T)
        src_mask : array_like of bool, shape (B, S), optional
            True for a token, False for padding; what is not pad_id when not given.
        hidden_states : bool
            With the embeddings and the output of every layer.
        attentions : bool
            With the attention weights of every layer.

        Returns
        -------
        EncoderDecoderOutput
        """

    def encode(self, src: "TensorLike", *, src_mask: "TensorLike | None" = None) -> Tensor:
        """The memory: what the encoder makes of src (B, S), shape (B, S, d_model)."""

    def cross_attention(
        self, src: "TensorLike", tgt: "TensorLike", *, src_mask: "TensorLike | None" = None
    ) -> "FloatArray":
        """Where each target position looks in the source.

        Parameters
        ----------
        src : array_like of int, shape (B, S)
        tgt : array_like of int, shape (B, T)
        src_mask : array_like of bool, shape (B, S), optional
            True for a token, False for padding; what is not pad_id when not given.

        Returns
        -------
        ndarray, shape (num_decoder_layers, B, nhead, T, S)
            Weights after softmax; each row sums to one over the source's positions that are not padding.
        """

    def translate(
        self,
        src: "TensorLike",
        *,
        bos_id: int | None = None,
        eos_id: "int | Sequence[int] | None" = None,
        max_len: int | None = None,
        src_mask: "TensorLike | None" = None,
        **options: Any,
    ) -> Any:
        """Decode a translation, greedily, by beams or by sampling; keys and values of earlier steps are kept.

        Parameters
        ----------
        src : array_like of int, shape (B, S), or list of lists
            Source ids. Lists may have unequal lengths.
        bos_id : int
            The id before the beginning. A model that was loaded from a checkpoint has its own (in
            ``model.generation_config``), and so it has eos_id, pad_id, the forced ids and the forbidden ones.
        eos_id : int or sequence of int
            The ids that end a row; None for no end before max_len.
        max_len : int, optional
            The most tokens to give, 1 to the model's max_len.
        src_mask : array_like of bool, shape (B, S), optional
            True for a token, False for padding; what is not pad_id when not given.
        options
            Beams, sampling and penalties: those of :func:`attendo.models.generate`, where bos_id is the
            prompt. pad_id is the model's when not given.

        Returns
        -------
        ids : ndarray of int64, shape (B num_return_sequences, T)
            Without bos_id; each row up to and with eos_id (or cut at max_len), then padding.
        scores : ndarray of float64, shape (B num_return_sequences,), optional
            With ``return_scores``.

        Raises
        ------
        ValueError
            When an id, max_len or an option is out of range.
        TypeError
            When an argument has the wrong type.
        KeyboardInterrupt
            On Ctrl-C, between two steps.
        """

    def generate(
        self,
        src: "TensorLike",
        *,
        max_new_tokens: int,
        bos_id: int | None = None,
        eos_id: "int | Sequence[int] | None" = None,
        src_mask: "TensorLike | None" = None,
        **options: Any,
    ) -> Any:
        """What :meth:`translate` gives, with bos_id before it, as other models give their prompts.

        Parameters
        ----------
        src : array_like of int, shape (B, S)
            Source ids.
        max_new_tokens : int
            The most tokens to give, 1 to the model's max_len.
        bos_id, eos_id, src_mask, options
            As of :meth:`translate`.

        Returns
        -------
        ids : ndarray of int64, shape (B num_return_sequences, 1 + T)
        scores : ndarray of float64, shape (B num_return_sequences,), optional
            With ``return_scores``.
        """

    def stream(
        self,
        src: "TensorLike",
        *,
        bos_id: int | None = None,
        eos_id: "int | Sequence[int] | None" = None,
        max_len: int | None = None,
        src_mask: "TensorLike | None" = None,
        **options: Any,
    ) -> "TokenStream":
        """:meth:`translate` token by token: greedy decoding and sampling, not beams.

        Parameters
        ----------
        src, bos_id, eos_id, max_len, src_mask, options
            As of :meth:`translate`.

        Returns
        -------
        TokenStream
            An iterator: int64 arrays, the next token of each row, padding where it has ended.
        """

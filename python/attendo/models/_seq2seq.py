"""The page of :class:`attendo.models.Seq2Seq`."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Any, Literal

from .._core import Seq2Seq, Tensor, TokenStream
from .._pages import page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import FloatArray, FloatDType, TensorLike

__all__ = ["Seq2Seq"]


@page(Seq2Seq, "attendo.models")
class _Seq2Seq:
    r"""Recurrent encoder and decoder with attention: a sequence of ids in, the logits of another out.

    Parameters
    ----------
    input_vocab_size, target_vocab_size : int
        Ids of source and target are below these.
    embedding_dim : int
        Features of a token, of both vocabularies.
    hidden_size : int
        Features H of each recurrent layer, in each direction.
    num_layers : int
        Recurrent layers of the encoder, and as many of the decoder.
    cell : {"lstm", "gru"}
        Of both.
    attention : {"bahdanau", "luong"}
        The previous state asks and the context is read by the cell, or the new state asks.
    score : {"dot", "general", "concat"}, optional
        Of Luong's attention, "general" where it is left out; Bahdanau's has "additive" alone.
    input_feeding : bool
        With Luong's attention, the cell reads what the step before it gave, too.
    bidirectional : bool
        The encoder reads in both directions.
    dropout : float
        Probability, in training mode, 0 or more and below 1: of embeddings, between recurrent layers, and
        before the generator.
    pad_id : int
        The id of padding, of both vocabularies. Padding of the source, on either side or between tokens, is
        as if it were not there; that of the target stands behind the end of its row.
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
        When a size is out of range, cell, attention or score is none of theirs, score is "dot" with
        bidirectional, input_feeding is given to Bahdanau's attention, or pad_id is not an id of both
        vocabularies; at the call, when an id is not of its vocabulary or the batches differ.
    TypeError
        When dtype is neither; at the call, when ids are not integers.

    Notes
    -----
    With e the embeddings of the target, m the encoder's states, s those of the decoder's last layer, and c
    the context:

    .. math::

        \text{bahdanau:}\quad & c_t = \mathrm{attend}(s_{t-1}, m), \quad
            s_t = \mathrm{cell}([e_t; c_t], s_{t-1}), \quad
            \tilde h_t = \tanh(W_r [c_t; s_t; e_t])

        \text{luong:}\quad & s_t = \mathrm{cell}(e_t, s_{t-1}), \quad
            c_t = \mathrm{attend}(s_t, m), \quad
            \tilde h_t = \tanh(W_r [c_t; s_t])

    and logits :math:`W \tilde h_t + b`; with input feeding the cell reads :math:`[e_t; \tilde h_{t-1}]`. The
    weights are a softmax of :math:`v_a^\top \tanh(W_q s + W_k m_j)` (additive, concat),
    :math:`s^\top W_k m_j` (general) or :math:`s^\top m_j` (dot). The decoder begins with the encoder's last
    states; those of two directions go through a linear layer first.

    The logits at position t are for the token after ``tgt[:, t]``: train on ``tgt[:, :-1]`` and
    ``tgt[:, 1:]``, tgt beginning with a token of its own. Luong's attention without input feeding trains
    fastest: all its steps are one call of the decoder and one of attention. The names in ``state_dict()``:

    ===================================  ====================================================================
    ``src_embedding, tgt_embedding.*``   two :class:`attendo.nn.Embedding`, a row of zeros for padding
    ``encoder.*``, ``decoder.*``         two :class:`attendo.nn.LSTM` or :class:`attendo.nn.GRU`
    ``bridge_h, bridge_c.*``             with ``bidirectional``: (H, 2 H), the latter of an LSTM
    ``query.weight``, ``v_a``            of additive and concat: (H, H) and (H,)
    ``key.weight``                       (H, H), with ``bidirectional`` (H, 2 H); dot has none
    ``readout.weight``                   W_r
    ``generator.weight, bias``           (target_vocab_size, H) and (target_vocab_size,)
    ===================================  ====================================================================

    References
    ----------
    Bahdanau et al. 2015, §3, §A.1.2 (with tanh in place of maxout); Luong et al. 2015, §3.1, §3.3. Article
    004 §2.1, §3.

    Examples
    --------
    Reverse a sequence: ids 3 to 9, with 0 for padding, 1 before the beginning and 2 after the end.

    >>> import numpy as np
    >>> import attendo as at
    >>> src = np.random.default_rng(0).integers(3, 10, size=(256, 4))
    >>> tgt = np.concatenate([np.full((256, 1), 1), src[:, ::-1], np.full((256, 1), 2)], axis=1)
    >>> model = at.models.Seq2Seq(10, 10, 16, 32, attention="luong", bidirectional=True, seed=0)
    >>> trainer = at.train.Trainer(model, at.losses.CrossEntropy(ignore_index=0), at.optim.Adam(lr=0.01))
    >>> history = trainer.fit((src, tgt[:, :-1]), tgt[:, 1:], epochs=20, progress=False)
    >>> model.translate([[5, 3, 4, 9]], bos_id=1, eos_id=2)
    array([[9, 4, 3, 5, 2]])
    >>> model.cross_attention([[5, 3, 4, 9]], [[1, 9, 4, 3, 5]]).shape
    (1, 5, 4)

    Source: cpp/models/seq2seq.cpp
    """

    def __init__(
        self,
        input_vocab_size: int,
        target_vocab_size: int,
        embedding_dim: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        cell: Literal["lstm", "gru"] = "lstm",
        attention: Literal["bahdanau", "luong"] = "bahdanau",
        score: Literal["dot", "general", "concat", "additive"] | None = None,
        input_feeding: bool = False,
        bidirectional: bool = False,
        dropout: float = 0.0,
        pad_id: int = 0,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments but for the seed."""

    def forward(self, src: "TensorLike", tgt: "TensorLike") -> Tensor:
        """Logits of each target position's next token.

        Parameters
        ----------
        src : array_like of int, shape (B, S)
            Source ids.
        tgt : array_like of int, shape (B, T)
            Target ids, without the last.

        Returns
        -------
        Tensor, shape (B, T, target_vocab_size)
        """

    def cross_attention(self, src: "TensorLike", tgt: "TensorLike") -> "FloatArray":
        """Where each target position looks in the source: the alignment.

        Parameters
        ----------
        src : array_like of int, shape (B, S)
        tgt : array_like of int, shape (B, T)

        Returns
        -------
        ndarray, shape (B, T, S)
            Weights after softmax, without dropout; each row sums to one over the source's tokens.
        """

    def translate(
        self,
        src: "TensorLike",
        *,
        bos_id: int,
        eos_id: "int | Sequence[int]",
        max_len: int = 100,
        **options: Any,
    ) -> Any:
        """Decode a translation, greedily, by beams or by sampling.

        Parameters
        ----------
        src : array_like of int, shape (B, S)
            Source ids.
        bos_id : int
            The id before the beginning.
        eos_id : int or sequence of int
            The ids that end a row.
        max_len : int
            The most tokens to give, 1 or more.
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

    def stream(
        self,
        src: "TensorLike",
        *,
        bos_id: int,
        eos_id: "int | Sequence[int]",
        max_len: int = 100,
        **options: Any,
    ) -> TokenStream:
        """:meth:`translate` token by token: greedy decoding and sampling, not beams.

        Parameters
        ----------
        src, bos_id, eos_id, max_len, options
            As of :meth:`translate`.

        Returns
        -------
        TokenStream
            An iterator: int64 arrays, the next token of each row, padding where it has ended.
        """

"""The page of TransformerXL."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Any

from .._core import Tensor, TransformerXL
from .._pages import page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from typing_extensions import Unpack

    from .._typing import FloatDType, TensorLike
    from ._decoding import DecodingOptions


@page(TransformerXL, "attendo.models")
class _TransformerXL:
    r"""A language model that reads a text segment by segment and remembers the ones before.

    Parameters
    ----------
    vocab_size : int
        Ids are below this.
    d_model : int
        Features d of the model; even, and a multiple of num_heads.
    num_heads : int
        Attention heads, 1 or more.
    num_layers : int
        0 or more.
    memory_length : int
        Positions M that each layer remembers, 0 or more.
    dff : int, optional
        Features inside the feed-forward networks, 4 d where it is left out.
    dropout : float
        Probability, in training mode, 0 or more and below 1: of embeddings, attention weights, features
        inside the feed-forward networks, and what each part adds.
    activation : str
        Of the feed-forward networks: see :class:`attendo.nn.FeedForward`.
    norm_first : bool
        Pre-norm layers, with a last norm after the stack, not post-norm ones.
    tie_weights : bool
        The logits are products with the embeddings themselves, with no weight or bias of their own.
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
        When a size is out of range or d_model odd or not a multiple of num_heads; at the call, when an id is
        not of the vocabulary or the memory does not fit.
    TypeError
        When dtype is neither; at the call, when ids are not integers.

    Notes
    -----
    .. math::

        h_0 = \sqrt d\, E[ids], \qquad h_n = \mathrm{layer}_n(h_{n-1}, m_n), \qquad
        m_n' = \mathrm{SG}\bigl([m_n, h_{n-1}]_{-M:}\bigr), \qquad \text{logits} = h_N W^\top + b

    The layers are those of :class:`attendo.nn.EncoderLayer` around a causal
    :class:`attendo.nn.RelativeMultiHeadAttention`. SG: no gradient goes into the memory. A text cut into
    segments gives the logits of the text in one piece as long as every layer's memory holds all of it. A
    layer sees M + L positions, a stack of them N times as far back. Children: ``embedding``, ``dropout``,
    ``layers`` (each ``self_attn``, ``feed_forward``, ``norm1``, ``norm2``), with ``norm_first`` a last
    ``norm``, and unless tied ``generator``.

    References
    ----------
    Dai et al. 2019, "Transformer-XL: attentive language models beyond a fixed-length context". Article 002
    §7.3.

    Examples
    --------
    Whether a text goes up or down shows in its first segment alone; the second is read with its memory.

    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.models.TransformerXL(10, 8, 2, 2, memory_length=4, seed=0)
    >>> logits, memory = model.segment([[1, 2, 3, 4]])
    >>> logits.shape, [m.shape for m in memory]
    ((1, 4, 10), [(1, 4, 8), (1, 4, 8)])
    >>> logits, memory = model.segment([[5, 6, 7, 8]], memory)
    >>> whole = at.models.TransformerXL(10, 8, 2, 2, memory_length=8, seed=0)([[1, 2, 3, 4, 5, 6, 7, 8]])
    >>> bool(np.allclose(logits.numpy(), whole.numpy()[:, 4:], atol=1e-5))
    True

    Source: cpp/models/transformer_xl.cpp
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        num_heads: int,
        num_layers: int,
        memory_length: int,
        *,
        dff: int | None = None,
        dropout: float = 0.0,
        activation: str = "relu",
        norm_first: bool = False,
        tie_weights: bool = False,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments but for the seed."""

    def forward(self, ids: "TensorLike") -> Tensor:
        """Logits of each position's next token, with no memory.

        Parameters
        ----------
        ids : array_like of int, shape (B, L)

        Returns
        -------
        Tensor, shape (B, L, vocab_size)
        """

    def segment(
        self,
        ids: "TensorLike",
        memory: "Sequence[TensorLike] | None" = None,
        *,
        return_weights: bool = False,
    ) -> Any:
        """Logits of a segment that remembers the ones before, and what the next one remembers.

        Parameters
        ----------
        ids : array_like of int, shape (B, L)
        memory : list of Tensor, optional
            What the segment before gave; none at the beginning of a text.
        return_weights : bool
            Return the attention weights as well.

        Returns
        -------
        logits : Tensor, shape (B, L, vocab_size)
        memory : list of Tensor, each (B, up to memory_length, d_model)
            One a layer, without a gradient.
        weights : list of Tensor, each (B, H, L, M + L)
            Only with ``return_weights``.
        """

    def generate(
        self, ids: "TensorLike", lengths: "ArrayLike | None" = None, **options: "Unpack[DecodingOptions]"
    ) -> Any:
        """Continue sequences: the prompt is one segment, every new token one more.

        Parameters
        ----------
        ids : array_like of int, shape (B, L)
            The prompts, of one length.
        lengths : array_like of int, shape (B,), optional
            For the sake of the other models: all L.
        **options
            ``max_new_tokens``, and all that :func:`attendo.models.generate` takes.

        Returns
        -------
        ndarray of int64, shape (B, L + T)

        Raises
        ------
        ValueError
            When an option is out of range, or the prompts have unequal lengths.
        """

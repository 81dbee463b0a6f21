"""The page of MaskedLM."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Any, Literal

from .._core import MaskedLM, Tensor
from .._pages import page
from ._output import ModelOutput

if TYPE_CHECKING:
    from .._typing import FloatDType, MaskLike, TensorLike


@page(MaskedLM, "attendo.models")
class _MaskedLM:
    r"""A masked language model: it guesses hidden tokens from all the others.

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
        Positions of the longest sequence: rows of the table of positions.
    dff : int, optional
        Features inside the feed-forward networks, 4 d where it is left out.
    dropout : float
        Probability, in training mode, 0 or more and below 1: of embeddings, attention weights, features
        inside the feed-forward networks, and what each part adds.
    activation : {"relu", "gelu", "gelu_tanh", "silu", "glu", "reglu", "geglu", "geglu_tanh", "swiglu"}
        Of the feed-forward networks: see :class:`attendo.nn.FeedForward`.
    norm_first : bool
        Pre-norm layers, with a last norm after the stack, not post-norm ones.
    norm_eps, norm, bias, qkv_bias, out_bias, num_kv_heads, head_dim, attention_scale, qk_norm
        Of the layers: see :class:`attendo.nn.EncoderLayer`.
    type_vocab_size, positions, pad_id, pooler
        Of the encoder: see :class:`TextEncoder`.
    head_activation : {"gelu", "gelu_tanh", "relu", "silu"}
        Of the layer before the last.
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
        an option is none of its words; at the call, when an id is not of the vocabulary, a sequence is longer
        than max_len, or mask or token_types have another shape.
    TypeError
        When dtype is neither; at the call, when ids are not integers or the mask is not bool.

    Notes
    -----
    .. math::

        \text{logits} = \mathrm{norm}(f(W y + b))\, E^\top + c

    with y the encoder's last hidden state and E its embeddings. :func:`attendo.text.mask_tokens` hides tokens
    for training, :class:`attendo.losses.CrossEntropy` with ``ignore_index`` counts those alone. The names in
    ``state_dict()``: ``text.*``, a :class:`TextEncoder`; ``dense.weight, bias``; ``norm.weight, bias``;
    ``bias`` (vocab_size,).

    References
    ----------
    Devlin et al. 2019, "BERT", §3.1.

    Examples
    --------
    >>> import attendo as at
    >>> model = at.models.MaskedLM(100, 16, 2, 2, max_len=8, seed=0).eval()
    >>> model([[5, 17, 3, 42]]).shape
    (1, 4, 100)

    Source: cpp/models/masked_lm.cpp
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
        activation: str = "gelu",
        norm_first: bool = False,
        type_vocab_size: int = 0,
        positions: Literal["learned", "sinusoidal", "none"] = "learned",
        pad_id: int | None = None,
        pooler: Literal["tanh", "relu"] | None = None,
        head_activation: Literal["gelu", "gelu_tanh", "relu", "silu"] = "gelu",
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        attention_scale: float | None = None,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        qk_norm: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: float = 1e-12,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments but for the seed."""

    def forward(
        self, ids: "TensorLike", mask: "MaskLike | None" = None, token_types: "TensorLike | None" = None
    ) -> Tensor:
        """Logits of the token at each position.

        Parameters
        ----------
        ids : array_like of int, shape (B, L)
        mask : array_like of bool, shape (B, L), or attendo.masks.lengths, optional
            True for a real token, False for padding; all are real when not given.
        token_types : array_like of int, shape (B, L), optional
            Below type_vocab_size; all 0 when not given.

        Returns
        -------
        Tensor, shape (B, L, vocab_size)
        """

    def outputs(
        self,
        ids: "TensorLike",
        mask: "MaskLike | None" = None,
        token_types: "TensorLike | None" = None,
        *,
        hidden_states: bool = False,
        attentions: bool = False,
    ) -> ModelOutput:
        """The logits, and what led to them.

        Parameters
        ----------
        ids : array_like of int, shape (B, L)
        mask : array_like of bool, shape (B, L), or attendo.masks.lengths, optional
            True for a real token, False for padding; all are real when not given.
        token_types : array_like of int, shape (B, L), optional
            Below type_vocab_size; all 0 when not given.
        hidden_states : bool
            With the embeddings and the output of every layer.
        attentions : bool
            With the attention weights of every layer.

        Returns
        -------
        ModelOutput
        """

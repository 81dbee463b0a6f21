"""The page of TextEncoder."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Any, Literal

from .._core import Tensor, TextEncoder
from .._pages import page
from ._output import EncoderOutput

if TYPE_CHECKING:
    from .._typing import FloatDType, MaskLike, TensorLike


@page(TextEncoder, "attendo.models")
class _TextEncoder:
    r"""A text encoder, the trunk of BERT: each token becomes a vector that knows of all others.

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
    type_vocab_size : int
        Types of tokens (of the first or second sentence), 0 for none.
    positions : {"learned", "sinusoidal", "none"}
        The positional encoding: a table that is trained, a formula, or none.
    pad_id : int, optional
        The id of padding, whose position is pad_id; the others are counted from pad_id + 1 on, as in RoBERTa.
        Without it position t is t.
    pooler : {"tanh", "relu"}, optional
        A linear layer over the first token and the function behind it.
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

        x = \mathrm{drop}(\mathrm{norm}(E[ids] + P[positions] + T[types])), \qquad
        y = \mathrm{layers}(x), \qquad \text{pooled} = f(W y_0 + b)

    The layers are those of :class:`attendo.nn.Encoder`; every token attends to all real tokens. At
    padding the last hidden state is zero. In evaluation without gradients (``at.no_grad()``) the layers run
    on the real tokens alone, one sequence after the other, so that padding costs nothing.

    With ``type_vocab_size=2, pooler="tanh"`` this is BERT (and MiniLM), without them DistilBERT, with
    ``pad_id=1`` RoBERTa. The names in ``state_dict()``:

    ===================================  ==================================================================
    ``embedding.weight``                 (vocab_size, d), drawn with deviation 0.02
    ``position.weight``                  (max_len, d), with ``positions="learned"``
    ``token_type.weight``                (type_vocab_size, d), with types
    ``norm.weight, bias``                (d,) each
    ``encoder.layers.0.*``, ...          an :class:`attendo.nn.EncoderLayer` each
    ``encoder.norm.*``                   with ``norm_first``
    ``pooler.weight, bias``              (d, d) and (d,), with a pooler
    ===================================  ==================================================================

    References
    ----------
    Devlin et al. 2019, "BERT", §3; Liu et al. 2019, "RoBERTa"; Sanh et al. 2019, "DistilBERT".

    Examples
    --------
    Padding changes nothing.

    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.models.TextEncoder(100, 16, 2, 2, max_len=8, seed=0).eval()
    >>> with at.no_grad():
    ...     alone = model([[5, 17, 42]]).numpy()
    ...     padded = model([[5, 17, 42, 0, 0]], mask=at.masks.lengths([3])).numpy()
    >>> np.allclose(alone[0], padded[0, :3]), padded[0, 3:].any()
    (True, np.False_)

    Source: cpp/models/text_encoder.cpp
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
        """The last hidden state.

        Parameters
        ----------
        ids : array_like of int, shape (B, L)
        mask : array_like of bool, shape (B, L), or attendo.masks.lengths, optional
            True for a real token, False for padding; all are real when not given.
        token_types : array_like of int, shape (B, L), optional
            Below type_vocab_size; all 0 when not given.

        Returns
        -------
        Tensor, shape (B, L, d)
        """

    def outputs(
        self,
        ids: "TensorLike",
        mask: "MaskLike | None" = None,
        token_types: "TensorLike | None" = None,
        *,
        hidden_states: bool = False,
        attentions: bool = False,
    ) -> EncoderOutput:
        """The last hidden state, what the pooler makes of it, and what led to them.

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
        EncoderOutput
        """

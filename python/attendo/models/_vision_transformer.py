"""The page of VisionTransformer."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Any, Literal

from .._core import Tensor, VisionTransformer
from .._pages import page
from ._output import EncoderOutput

if TYPE_CHECKING:
    from .._typing import FloatDType, Pair, TensorLike


@page(VisionTransformer, "attendo.models")
class _VisionTransformer:
    r"""A Vision Transformer: an image classifier that reads an image as a sequence of patches.

    Parameters
    ----------
    image_size : int or (int, int)
        Height and width, multiples of patch_size.
    patch_size : int or (int, int)
        Height and width of a patch.
    d_model : int
        Features d of the model, a multiple of num_heads.
    num_heads : int
        Attention heads, 1 or more.
    num_layers : int
        0 or more.
    num_classes : int, optional
        Classes to tell apart. Without it there is no classifier, and ``forward`` gives what it would read.
    in_channels : int
        Channels of an image.
    pooling : {"first", "mean"}
        What the classifier reads: the class token, or the mean of the patches.
    pooler : {"tanh"}, optional
        A linear layer over the class token and the function behind it.
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
        When a size is out of range, image_size is not a multiple of patch_size, or an option is none of its
        words; at the call, when images are not (B, in_channels, height, width).
    TypeError
        When dtype is neither; at the call, when images have another.

    Notes
    -----
    .. math::

        x = \mathrm{drop}([c \,|\, W p_1 + b \,|\, \dots \,|\, W p_N + b] + P), \qquad
        y = \mathrm{norm}(\mathrm{layers}(x)), \qquad \text{logits} = W_c\, y_0 + b_c

    over the N patches :math:`p_n`, row by row. The names in ``state_dict()``: ``class_token`` (d,),
    ``position`` (1 + N, d), ``patch.*``, a :class:`attendo.nn.Conv2d`; ``encoder.*``, an
    :class:`attendo.nn.Encoder`; ``pooler.*`` and ``classifier.*``, each an :class:`attendo.nn.Linear`.

    References
    ----------
    Dosovitskiy et al. 2021, "An image is worth 16x16 words", eq. 1-4.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.models.VisionTransformer(32, 8, 16, 2, 2, num_classes=10, seed=0).eval()
    >>> images = np.zeros((5, 3, 32, 32), dtype="float32")
    >>> model(images).shape, model.outputs(images).last_hidden_state.shape
    ((5, 10), (5, 17, 16))

    Source: cpp/models/vision_transformer.cpp
    """

    def __init__(
        self,
        image_size: "Pair",
        patch_size: "Pair",
        d_model: int,
        num_heads: int,
        num_layers: int,
        *,
        num_classes: int | None = None,
        in_channels: int = 3,
        pooling: Literal["first", "mean"] = "first",
        pooler: Literal["tanh"] | None = None,
        dff: int | None = None,
        dropout: float = 0.0,
        activation: str = "gelu",
        norm_first: bool = True,
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

    def forward(self, images: "TensorLike") -> Tensor:
        """Logits of the classes.

        Parameters
        ----------
        images : array_like or Tensor, shape (B, in_channels, height, width)

        Returns
        -------
        Tensor, shape (B, num_classes), or (B, d) without a classifier
        """

    def outputs(
        self, images: "TensorLike", *, hidden_states: bool = False, attentions: bool = False
    ) -> EncoderOutput:
        """The logits, and what led to them.

        Parameters
        ----------
        images : array_like or Tensor, shape (B, in_channels, height, width)
        hidden_states : bool
            With the embeddings and the output of every layer.
        attentions : bool
            With the attention weights of every layer.

        Returns
        -------
        EncoderOutput
        """

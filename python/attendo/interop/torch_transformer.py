"""torch.nn.Transformer, made of attendo's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..nn import Decoder, Encoder, LayerNorm, Module

if TYPE_CHECKING:
    from .._core import Tensor
    from .._typing import FloatDType, MaskLike, TensorLike


class TorchTransformer(Module):
    r"""What ``torch.nn.Transformer`` computes: an encoder and a decoder over embedded sequences.

    Unlike :class:`attendo.models.Transformer` it has no embeddings, positions and output layer of its own,
    and a last norm after either stack whether ``norm_first`` or not.

    Parameters
    ----------
    d_model, nhead, num_encoder_layers, num_decoder_layers, dim_feedforward, dropout, activation
        As of ``torch.nn.Transformer``.
    layer_norm_eps, norm_first, bias
        Likewise; norms have biases all the same.
    dtype : {"float32", "float64"}
        Of all parameters.
    seed : int, optional
        Decides the parameters.

    Notes
    -----
    Sequences are (B, L, d_model), as there with ``batch_first=True``. Masks are attendo's: **True = may
    attend**, the other way round than there. Self-attention of the decoder is causal when no mask is given;
    there it sees all, here with ``tgt_mask=np.ones((T, T), bool)``. The parameters of either are those of the
    other: :func:`attendo.interop.from_torch`, :func:`attendo.interop.to_torch`.

    References
    ----------
    Vaswani et al. 2017, §3.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.interop.TorchTransformer(8, 2, 1, 1, 16, seed=0)
    >>> src, tgt = np.zeros((2, 5, 8), np.float32), np.zeros((2, 3, 8), np.float32)
    >>> model(src, tgt).shape
    (2, 3, 8)

    Source: python/attendo/interop/torch_transformer.py
    """

    torch_names: ClassVar[dict[str, str]] = {"encoder_norm": "encoder.norm", "decoder_norm": "decoder.norm"}

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        *,
        layer_norm_eps: float = 1e-5,
        norm_first: bool = False,
        bias: bool = True,
        dtype: FloatDType = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        layers: dict[str, Any] = {
            "dropout": dropout,
            "activation": activation,
            "norm_first": norm_first,
            "bias": bias,
            "norm_eps": layer_norm_eps,
            "dtype": dtype,
        }
        seeds = (None, None) if seed is None else (seed, seed + 1)
        self.encoder = Encoder(num_encoder_layers, d_model, nhead, dim_feedforward, seed=seeds[0], **layers)
        self.decoder = Decoder(num_decoder_layers, d_model, nhead, dim_feedforward, seed=seeds[1], **layers)
        if not norm_first:  # with it the stacks have their own
            self.encoder_norm = LayerNorm(d_model, eps=layer_norm_eps, dtype=dtype)
            self.decoder_norm = LayerNorm(d_model, eps=layer_norm_eps, dtype=dtype)
        self.norm_first = norm_first

    def forward(
        self,
        src: TensorLike,
        tgt: TensorLike,
        *,
        src_mask: MaskLike | None = None,
        tgt_mask: MaskLike | None = None,
        memory_mask: MaskLike | None = None,
    ) -> Tensor:
        """The decoder's output.

        Parameters
        ----------
        src : array_like or Tensor, shape (B, S, d_model)
        tgt : array_like or Tensor, shape (B, T, d_model)
        src_mask, tgt_mask, memory_mask : Mask or array_like of bool, optional
            Of self-attention in the encoder and the decoder, and of attention to the encoder's output.

        Returns
        -------
        Tensor, shape (B, T, d_model)
        """
        memory = self.encoder(src, src_mask, return_weights=False)
        if not self.norm_first:
            memory = self.encoder_norm(memory)
        out = self.decoder(tgt, memory, tgt_mask, memory_mask, return_weights=False)
        return out if self.norm_first else self.decoder_norm(out)

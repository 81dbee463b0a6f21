"""What a model gives besides its logits."""

from typing import NamedTuple

from .._core import Tensor


class ModelOutput(NamedTuple):
    """Logits, and what led to them.

    Attributes
    ----------
    logits : Tensor
        What calling the model gives.
    last_hidden_state : Tensor, shape (B, S, d)
        What the logits are made of: behind the last norm, where the model has one.
    hidden_states : tuple of Tensor, each (B, S, d), or None
        The embeddings, then the output of every layer; the last one is ``last_hidden_state``.
    attentions : tuple of Tensor, each (B, H, S, S), or None
        The attention weights of every layer, after softmax.

    Examples
    --------
    >>> import attendo as at
    >>> model = at.models.DecoderLM(10, 8, 2, 3, max_len=6, seed=0).eval()
    >>> out = model.outputs([[1, 2, 3, 4]], hidden_states=True, attentions=True)
    >>> out.logits.shape, len(out.hidden_states), out.attentions[0].shape
    ((1, 4, 10), 4, (1, 2, 4, 4))

    Source: cpp/models/decoder_lm.cpp
    """

    logits: Tensor
    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class EncoderDecoderOutput(NamedTuple):
    """Logits of a model with an encoder and a decoder, and what led to them.

    Attributes
    ----------
    logits : Tensor
        What calling the model gives.
    encoder_last_hidden_state : Tensor, shape (B, S, d)
        The memory: behind the last norm, where the encoder has one.
    decoder_last_hidden_state : Tensor, shape (B, T, d)
        What the logits are made of.
    encoder_hidden_states, decoder_hidden_states : tuple of Tensor, each (B, S or T, d), or None
        The embeddings, then the output of every layer; the last ones are the last hidden states.
    encoder_attentions, decoder_attentions : tuple of Tensor, each (B, H, S, S) or (B, H, T, T), or None
        The weights of self-attention of every layer, after softmax.
    cross_attentions : tuple of Tensor, each (B, H, T, S), or None
        Where each target position looks in the source, for every layer of the decoder.

    Examples
    --------
    >>> import attendo as at
    >>> model = at.models.Transformer(8, 2, 1, 3, 16, 10, 12, max_len=6, seed=0).eval()
    >>> out = model.outputs([[4, 5, 6]], [[1, 2, 3, 4]], hidden_states=True, attentions=True)
    >>> out.logits.shape, out.encoder_last_hidden_state.shape, len(out.decoder_hidden_states)
    ((1, 4, 12), (1, 3, 8), 4)
    >>> out.cross_attentions[0].shape
    (1, 2, 4, 3)

    Source: cpp/models/transformer.cpp
    """

    logits: Tensor
    encoder_last_hidden_state: Tensor
    decoder_last_hidden_state: Tensor
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None


class EncoderOutput(NamedTuple):
    """What an encoder makes of its input.

    Attributes
    ----------
    last_hidden_state : Tensor, shape (B, L, d)
        Every token, or the class token and the patches, behind the last norm.
    pooled : Tensor, shape (B, d), or None
        The whole input as one vector, where the model has a pooler.
    hidden_states : tuple of Tensor, each (B, L, d), or None
        The embeddings, then the output of every layer.
    attentions : tuple of Tensor, each (B, H, L, L), or None
        The attention weights of every layer, after softmax.
    logits : Tensor, shape (B, classes), or None
        Of a model with a classifier.

    Examples
    --------
    >>> import attendo as at
    >>> model = at.models.TextEncoder(10, 8, 2, 3, max_len=6, pooler="tanh", seed=0).eval()
    >>> out = model.outputs([[1, 2, 3, 4]], hidden_states=True)
    >>> out.last_hidden_state.shape, out.pooled.shape, len(out.hidden_states), out.attentions
    ((1, 4, 8), (1, 8), 4, None)

    Source: cpp/models/text_encoder.cpp
    """

    last_hidden_state: Tensor
    pooled: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    logits: Tensor | None = None

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

"""The page of :class:`attendo.models.LstmAttention`."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Any

from .._core import LstmAttention, Tensor
from .._pages import page

if TYPE_CHECKING:
    from .._typing import FloatDType, TensorLike

__all__ = ["LstmAttention"]


@page(LstmAttention, "attendo.models")
class _LstmAttention:
    r"""Text classifier: embedding, LSTM, attention over time, linear layer.

    Parameters
    ----------
    vocab_size : int
        Ids are below this.
    num_classes : int
        Classes to tell apart.
    embedding_dim : int
        Features of a token.
    hidden_size : int
        Features of each LSTM layer, in each direction.
    num_layers : int
        LSTM layers, 1 or more.
    attention_features : int
        Features A of the network that scores a state.
    bidirectional : bool
        The LSTM reads in both directions.
    dropout : float
        Probability, in training mode, 0 or more and below 1: of embeddings, between LSTM layers, and before
        the last layer.
    pad_id : int
        The id of padding, which on either side or between tokens is as if it were not there.
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
        When a size or pad_id is out of range; at the call, when an id is not of the vocabulary, or lengths
        are not B numbers of 0 to L.
    TypeError
        When dtype is neither; at the call, when ids or lengths are not integers.

    Notes
    -----
    .. math::

        h = \mathrm{lstm}(E[ids]), \quad s_t = u^\top \tanh(W h_t + b), \quad
        \alpha = \mathrm{softmax}(s), \quad \text{logits} = W_{fc} \sum_t \alpha_t h_t + b_{fc}

    over the tokens t; softmax of the logits belongs to the loss. The article's layer
    gives every token an answer of its own and looks at padding; here a text has one answer, and padding has
    no part in it. Children: ``embedding``, ``lstm``, ``attention`` (an
    :class:`attendo.nn.AdditivePooling`), ``fc``.

    References
    ----------
    Yang et al. 2016, "Hierarchical attention networks", §2.2. Article 004 §5.3.2 (corrected).

    Examples
    --------
    Does a text hold the word 7?

    >>> import numpy as np
    >>> import attendo as at
    >>> texts = np.random.default_rng(0).integers(1, 20, size=(512, 12))
    >>> answers = (texts == 7).any(axis=1).astype(int)
    >>> model = at.models.LstmAttention(20, 2, 16, 16, seed=0)
    >>> trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=0.01))
    >>> history = trainer.fit(texts, answers, epochs=15, progress=False)
    >>> logits, weights = model.eval()([[1, 2, 3, 4], [1, 7, 3, 0]], return_weights=True)
    >>> logits.numpy().argmax(axis=1), int(weights.numpy()[1].argmax())
    (array([0, 1]), 1)

    Source: cpp/models/lstm_attention.cpp
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        embedding_dim: int = 64,
        hidden_size: int = 64,
        num_layers: int = 1,
        *,
        attention_features: int = 64,
        bidirectional: bool = False,
        dropout: float = 0.0,
        pad_id: int = 0,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments but for the seed."""

    def forward(
        self, ids: "TensorLike", lengths: "TensorLike | None" = None, *, return_weights: bool = False
    ) -> "Tensor | tuple[Tensor, Tensor]":
        """Classify.

        Parameters
        ----------
        ids : array_like of int, shape (B, L)
        lengths : array_like of int, shape (B,), optional
            How many tokens each row has: what follows is padding, whatever it is, and nothing else is.
            Without it all that is pad_id is padding.
        return_weights : bool
            Return the attention weights as well.

        Returns
        -------
        logits : Tensor, shape (B, num_classes)
        weights : Tensor, shape (B, L)
            Only with ``return_weights``: what each token counts for; zeros in a row without tokens.
        """

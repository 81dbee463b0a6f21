"""The page of :class:`attendo.models.SequenceRecommender`."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Any, Literal

from .._core import SequenceRecommender, Tensor
from .._pages import page

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._typing import FloatArray, FloatDType, TensorLike

__all__ = ["SequenceRecommender"]


@page(SequenceRecommender, "attendo.models")
class _SequenceRecommender:
    r"""Sequential recommendation (SASRec): which item comes next, from those before it.

    Parameters
    ----------
    num_items : int
        Items n; their ids are 1 to n. 0 is padding.
    d_model : int
        Features d of an item, a multiple of num_heads.
    num_heads : int
        Attention heads, 1 or more.
    num_layers : int
        0 or more.
    max_len : int
        Items of the longest sequence.
    dff : int, optional
        Features inside the feed-forward networks, d as in the paper where it is left out.
    dropout : float
        Probability, in training mode, 0 or more and below 1: of embeddings, attention weights, features
        inside the feed-forward networks, and what each part adds.
    activation : {"relu", "gelu"}
        Of the feed-forward networks.
    norm_first : bool
        Pre-norm layers, with a last norm after the stack, not post-norm ones.
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
        When a size is out of range or d_model is not a multiple of num_heads; at the call, when an id is not
        0 to n, a row has more than max_len items, or the shapes of items and candidates differ.
    TypeError
        When dtype is neither; at the call, when ids are not integers.

    Notes
    -----
    .. math::

        y = \mathrm{layers}\bigl(\sqrt d\, E[items] + P\bigr), \qquad \text{logits}_{t,i} = y_t \cdot E_i

    The layers are those of :class:`attendo.nn.Encoder`, their attention causal. Padding, on either side or
    between items, is as if it were not there: positions count items, and its own logits are 0. The logits at
    position t are for the item after ``items[:, t]``: train on ``items[:, :-1]`` and ``items[:, 1:]`` with
    ``CrossEntropy(ignore_index=0)``.

    With many items, score a few candidates instead: the item that follows and others drawn at random, and
    the cross-entropy whose target is the first. With one other that is BPR,
    :math:`-\log \sigma(s^+ - s^-)`; with more, a sampled softmax. Parameters: ``embedding.weight``
    (n + 1, d), whose row 0 takes part in the logits alone, ``position.weight`` (max_len, d), and
    ``encoder.*``.

    References
    ----------
    Kang and McAuley 2018, "Self-attentive sequential recommendation", §III; Rendle et al. 2009, "BPR".
    Article 004 §6.

    Examples
    --------
    After item i comes item i + 1, and after the last one the first.

    >>> import numpy as np
    >>> import attendo as at
    >>> items = (np.random.default_rng(0).integers(0, 9, size=(256, 1)) + np.arange(6)) % 9 + 1
    >>> model = at.models.SequenceRecommender(9, 16, 2, 1, max_len=6, dropout=0.0, seed=0)
    >>> loss = at.losses.CrossEntropy(ignore_index=0)
    >>> trainer = at.train.Trainer(model, loss, at.optim.Adam(lr=0.01))
    >>> history = trainer.fit(items[:, :-1], items[:, 1:], epochs=15, progress=False)
    >>> ids, scores = model.recommend([[7, 8, 9], [0, 4, 5]], k=3)
    >>> ids[:, 0]
    array([1, 6])

    Source: cpp/models/sequence_recommender.cpp
    """

    def __init__(
        self,
        num_items: int,
        d_model: int,
        num_heads: int,
        num_layers: int,
        max_len: int,
        *,
        dff: int | None = None,
        dropout: float = 0.2,
        activation: Literal["relu", "gelu"] = "relu",
        norm_first: bool = True,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments but for the seed."""

    def forward(self, items: "TensorLike", candidates: "TensorLike | None" = None) -> Tensor:
        """Scores of each position's next item.

        Parameters
        ----------
        items : array_like of int, shape (B, L)
        candidates : array_like of int, shape (B, L, C), optional
            The items to score at each position.

        Returns
        -------
        Tensor, shape (B, L, num_items + 1) or (B, L, C)
            Of all items, with padding as number 0; or of the candidates.
        """

    def recommend(
        self, items: "TensorLike", k: int = 10, *, exclude_seen: bool = True
    ) -> "tuple[NDArray[np.int64], FloatArray]":
        """The k items that fit best behind each row, best first.

        Parameters
        ----------
        items : array_like of int, shape (B, L)
            Items so far, one a row or more, oldest first; rows longer than max_len are read from their end.
        k : int
            1 to num_items.
        exclude_seen : bool
            Offer no item that the row holds, anywhere.

        Returns
        -------
        ids : ndarray of int64, shape (B, k)
        scores : ndarray, shape (B, k)
            Their logits.

        Raises
        ------
        ValueError
            When k is out of range, a row has no item, or fewer than k items are left to offer.
        """

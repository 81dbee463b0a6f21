"""The page of CrossModalClassifier."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Any

from .._core import CrossModalClassifier
from .._pages import page

if TYPE_CHECKING:
    from .._typing import FloatDType, Pair, TensorLike


@page(CrossModalClassifier, "attendo.models")
class _CrossModalClassifier:
    r"""Classifier of a text and an image together: the words look at the image, its patches at the words.

    Parameters
    ----------
    vocab_size : int
        Ids of the text are below this.
    num_classes : int
        Classes to tell apart.
    image_size : int or (int, int)
        Height and width, multiples of patch_size.
    patch_size : int or (int, int)
        Of the patches that the image is cut into, N of them.
    d_model : int
        Features d, a multiple of num_heads.
    num_heads : int
        Attention heads, 1 or more.
    max_len : int
        Positions of the longest text.
    num_layers : int
        Times that they look at each other, 1 or more.
    in_channels : int
        Channels of an image.
    dff : int, optional
        Features of the layer before the classifier, 2 d where it is left out.
    pad_id : int
        The id of padding, which is neither looked at nor averaged.
    dropout : float
        Probability, in training mode, 0 or more and below 1.
    dtype : {"float32", "float64"}
        Of all parameters; the images must have it too.
    seed : int, optional
        Decides the parameters.

    Attributes
    ----------
    config : dict
        The arguments above but for the seed: what ``save`` writes beside the parameters.

    Raises
    ------
    ValueError
        When a size is out of range, or d_model or image_size no multiple; at the call, when an id is not of
        the vocabulary, the text is longer than max_len or shapes do not fit.
    TypeError
        When dtype is neither; at the call, when ids are not integers or images of another dtype.

    Notes
    -----
    .. math::

        t_0 = E[ids] + P_t, \quad i_0 = \mathrm{patches} W_p^\top + b_p + P_i, \quad
        (t_n, i_n) = \mathrm{cross\ modal}(t_{n-1}, i_{n-1}), \qquad
        \text{logits} = W\, \mathrm{relu}\bigl(W_h [\bar t, \bar \imath] + b_h\bigr) + b

    with the means :math:`\bar t` over the words and :math:`\bar \imath` over the patches. Children:
    ``embedding``, ``position``, ``patch`` (a :class:`attendo.nn.Conv2d`), ``patch_position``, ``layers``
    (each a :class:`attendo.nn.CrossModalAttention`), ``hidden``, ``classifier``.

    References
    ----------
    Lu et al. 2019, "ViLBERT", §2.2. Articles 000 §8.2, 003 §8.2, 004 §7.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.models.CrossModalClassifier(20, 3, image_size=8, patch_size=4, d_model=8, num_heads=2,
    ...                                        max_len=6, seed=0)
    >>> images = np.zeros((2, 3, 8, 8), dtype="float32")
    >>> logits, (words, patches) = model([[4, 9, 2], [7, 0, 0]], images, return_weights=True)
    >>> logits.shape, words[0].shape, patches[0].shape
    ((2, 3), (2, 2, 3, 4), (2, 2, 4, 3))

    Source: cpp/models/cross_modal_classifier.cpp
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        image_size: "Pair",
        patch_size: "Pair",
        d_model: int,
        num_heads: int,
        max_len: int,
        *,
        num_layers: int = 1,
        in_channels: int = 3,
        dff: int | None = None,
        pad_id: int = 0,
        dropout: float = 0.0,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments but for the seed."""

    def forward(self, ids: "TensorLike", images: "TensorLike", *, return_weights: bool = False) -> Any:
        """Classify.

        Parameters
        ----------
        ids : array_like of int, shape (B, L)
        images : array_like or Tensor, shape (B, in_channels, height, width)
        return_weights : bool
            Return the attention weights as well.

        Returns
        -------
        logits : Tensor, shape (B, num_classes)
        (text_weights, image_weights) : lists of Tensor, each (B, H, L, N) and (B, H, N, L)
            Only with ``return_weights``: where the words look in the image and the patches in the text, in
            each layer.
        """

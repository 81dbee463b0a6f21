"""Models: whole networks, built of the layers in :mod:`attendo.nn`, trained and run in C++."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Any, Literal

from .._core import (
    CnnAttention,
    CrossModalClassifier,
    DecoderLM,
    EncoderClassifier,
    MaskedLM,
    Tensor,
    TextEncoder,
    Transformer,
    TransformerXL,
    VisionTransformer,
    Word2Vec,
)
from .._pages import page
from . import (  # noqa: F401  (their pages, and a method)
    _cross_modal_classifier,
    _decoder_lm,
    _embed,
    _encoder_classifier,
    _masked_lm,
    _text_encoder,
    _transformer,
    _transformer_xl,
    _vision_transformer,
)
from ._decoding import DecodingOptions, TokenStream, generate, process_logits, stream
from ._lstm_attention import LstmAttention
from ._output import EncoderDecoderOutput, EncoderOutput, ModelOutput
from ._pretrained import load_pretrained
from ._seq2seq import Seq2Seq
from ._sequence_recommender import SequenceRecommender
from ._text_stream import stream_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from .._typing import FloatDType, Pair, TensorLike

__all__ = [
    "CnnAttention",
    "CrossModalClassifier",
    "DecoderLM",
    "DecodingOptions",
    "EncoderClassifier",
    "EncoderDecoderOutput",
    "EncoderOutput",
    "LstmAttention",
    "MaskedLM",
    "ModelOutput",
    "Seq2Seq",
    "SequenceRecommender",
    "TextEncoder",
    "TokenStream",
    "Transformer",
    "TransformerXL",
    "VisionTransformer",
    "Word2Vec",
    "generate",
    "load_pretrained",
    "process_logits",
    "stream",
    "stream_text",
]


def __dir__() -> list[str]:
    return __all__


@page(CnnAttention, "attendo.models")
class _CnnAttention:
    r"""Image classifier: two convolutions, attention over the positions of their map, mean, linear layer.

    Parameters
    ----------
    in_channels : int
        Channels of an image.
    num_classes : int
        Classes to tell apart.
    image_size : int or (int, int)
        Height and width, at least 4: two poolings halve them.
    channels : (int, int)
        Of the two convolutions.
    features : int
        Of a position, before attention.
    attention_features : int
        Of a position, after it.
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
        When a size is out of range; at the call, when images are not (B, in_channels, height, width).
    TypeError
        When dtype is neither; at the call, when images have another.

    Notes
    -----
    .. math::

        m = \mathrm{pool}(\mathrm{relu}(\mathrm{conv}(\cdot))) \text{ twice}, \quad
        f_n = \mathrm{relu}(W_1 m_n + b_1), \quad
        \text{logits} = W\, \frac1N \sum_n \mathrm{attention}(f)_n + b

    over the :math:`N = \lfloor h/4 \rfloor \lfloor w/4 \rfloor` positions n of the map. The article lets the
    images of a batch attend to each other, so that an answer depends on its neighbours; here the positions of
    one image do. Children: ``conv1``, ``conv2``, ``pool``, ``fc1``, ``attention`` (a
    :class:`attendo.nn.Attention`), ``fc``.

    References
    ----------
    Article 000 §4.3, §5.2 (corrected).

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.models.CnnAttention(1, 10, image_size=8, channels=(8, 16), features=32, seed=0)
    >>> images = np.zeros((5, 1, 8, 8), dtype="float32")
    >>> logits, weights = model(images, return_weights=True)
    >>> logits.shape, weights.shape
    ((5, 10), (5, 4, 4))

    Source: cpp/models/cnn_attention.cpp
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        image_size: "Pair",
        *,
        channels: "Pair" = (64, 128),
        features: int = 512,
        attention_features: int = 256,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments but for the seed."""

    def forward(
        self, images: "TensorLike", *, return_weights: bool = False
    ) -> "Tensor | tuple[Tensor, Tensor]":
        """Classify.

        Parameters
        ----------
        images : array_like or Tensor, shape (B, in_channels, height, width)
        return_weights : bool
            Return the attention weights as well.

        Returns
        -------
        logits : Tensor, shape (B, num_classes)
        weights : Tensor, shape (B, N, N)
            Only with ``return_weights``: where each position of the map looks.
        """


@page(Word2Vec, "attendo.models")
class _Word2Vec:
    r"""Word vectors: words with the same neighbours get vectors that point the same way.

    Parameters
    ----------
    vocab_size : int
        Words V; ids are 0 to V - 1.
    embedding_dim : int
        Length d of a vector.
    mode : {"skip_gram", "cbow"}
        Predict a neighbour from the word, or the word from the mean of its neighbours.
    num_negatives : int
        Words drawn for each pair, K.
    counts : array_like, shape (V,), optional
        How often each word occurs in the text: word i is drawn in proportion to :math:`counts_i^{0.75}`. All
        words alike when not given.
    sparse : bool
        Leave gradients as rows, so that a step costs what its words cost: see
        :class:`attendo.nn.Embedding`.
    dtype : {"float32", "float64"}
        Of the vectors.
    seed : int, optional
        Decides the vectors at the start.

    Attributes
    ----------
    config : dict
        The arguments above but for counts and the seed: what ``save`` writes beside the parameters.

    Raises
    ------
    ValueError
        When a size is below 1, mode is neither, or counts are not V numbers of 0 or more of which one is
        above 0; at the call, when an id is out of range or the batches differ.
    TypeError
        When dtype is neither; at the call, when ids are not integers.

    Notes
    -----
    With h the input vector of the word (skip-gram), or the mean of those of the neighbours (CBOW), and u
    output vectors, the loss of a pair is

    .. math::

        \ell = -\log \sigma(u_{target} \cdot h) - \sum_{k=1}^K \log \sigma(-u_k \cdot h)

    ``forward`` gives these losses: train with :class:`attendo.losses.Mean`. Parameters: ``input_vectors``
    (V, d), uniform in :math:`\pm 1 / (2 d)`, the ones to use afterwards; ``output_vectors`` (V, d), zero at
    the start. Buffer: ``noise`` (V, 2), the alias table of the draws. A drawn word may happen to be the
    target.

    References
    ----------
    Mikolov et al. 2013, "Efficient estimation of word representations in vector space"; Mikolov et al. 2013,
    "Distributed representations of words and phrases and their compositionality". Article 004 §3.2.

    Examples
    --------
    Words 0 to 4 occur together, and words 5 to 9.

    >>> import numpy as np
    >>> import attendo as at
    >>> rng = np.random.default_rng(0)
    >>> words = rng.integers(0, 10, 4000)
    >>> neighbours = words // 5 * 5 + rng.integers(0, 5, 4000)
    >>> model = at.models.Word2Vec(10, 8, seed=0)
    >>> trainer = at.train.Trainer(model, at.losses.Mean(), at.optim.Adam(lr=0.05))
    >>> history = trainer.fit((words, neighbours), neighbours, epochs=5, batch_size=64, progress=False)
    >>> ids, cosines = model.most_similar(3, k=4)
    >>> sorted(ids.tolist())
    [0, 1, 2, 4]

    Source: cpp/models/word2vec.cpp
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 64,
        mode: Literal["skip_gram", "cbow"] = "skip_gram",
        *,
        num_negatives: int = 5,
        counts: "ArrayLike | None" = None,
        sparse: bool = True,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments but for counts and the seed."""

    def forward(
        self, words: "TensorLike", targets: "TensorLike", negatives: "TensorLike | None" = None
    ) -> Tensor:
        """The loss of each pair.

        Parameters
        ----------
        words : array_like of int, shape (B,), for CBOW (B, C)
            The words; the neighbours, with -1 where there is none (at the edge of a text).
        targets : array_like of int, shape (B,)
            A neighbour of each; the word between them.
        negatives : array_like of int, shape (B, K), optional
            Drawn when not given.

        Returns
        -------
        Tensor, shape (B,)
        """

    def draw_negatives(self, pairs: int) -> "NDArray[np.int64]":
        """Words drawn in proportion to counts to the power 0.75, shape (pairs, num_negatives)."""

    def most_similar(self, word_id: int, k: int = 10) -> "tuple[NDArray[np.int64], NDArray[np.float64]]":
        """The k other words whose vectors have the largest cosines with this one's, nearest first.

        Parameters
        ----------
        word_id : int
            0 to V - 1.
        k : int
            1 to V - 1.

        Returns
        -------
        ids : ndarray of int64, shape (k,)
        cosines : ndarray of float64, shape (k,)

        Raises
        ------
        ValueError
            When word_id or k is out of range.
        """

"""The loss of word vectors."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def negative_sampling(
    words: "TensorLike",
    targets: "TensorLike",
    negatives: "TensorLike",
    input_vectors: "Tensor",
    output_vectors: "TensorLike",
    *,
    sparse: bool = False,
) -> "Tensor": ...
@overload
def negative_sampling(
    words: "TensorLike",
    targets: "TensorLike",
    negatives: "TensorLike",
    input_vectors: "TensorLike",
    output_vectors: "Tensor",
    *,
    sparse: bool = False,
) -> "Tensor": ...
@overload
def negative_sampling(
    words: "ArrayLike",
    targets: "ArrayLike",
    negatives: "ArrayLike",
    input_vectors: "ArrayLike",
    output_vectors: "ArrayLike",
    *,
    sparse: bool = False,
) -> "FloatArray": ...
def negative_sampling(
    words: "TensorLike",
    targets: "TensorLike",
    negatives: "TensorLike",
    input_vectors: "TensorLike",
    output_vectors: "TensorLike",
    *,
    sparse: bool = False,
) -> "Tensor | FloatArray":
    r"""How badly a word's vector tells its true neighbour from other words.

    Parameters
    ----------
    words : array_like or Tensor of int, shape (B,) or (B, C)
        Rows of input_vectors: a word each (skip-gram), or the words around one, whose vectors are averaged
        (CBOW). -1 stands where there is no word.
    targets : array_like or Tensor of int, shape (B,)
        Rows of output_vectors: the neighbour, or the word in the middle.
    negatives : array_like or Tensor of int, shape (B, K)
        Rows of output_vectors: words drawn at random.
    input_vectors, output_vectors : array_like or Tensor, shape (V, d)
        The two tables, float32 or float64. They may have different numbers of rows.
    sparse : bool
        Leave the gradients as the rows used: see :func:`attendo.functional.embedding`.

    Returns
    -------
    ndarray or Tensor, shape (B,)
        The loss of each pair. A Tensor when an input is one.

    Raises
    ------
    ValueError
        When an id is out of range, or the shapes do not agree.
    TypeError
        When ids are not integers, or the tables are not of one float dtype.

    Notes
    -----
    With h the word's vector or the mean of the words', u the rows of output_vectors, and t the target,

    .. math::

        \ell = -\log \sigma(u_t \cdot h) - \sum_{k=1}^K \log \sigma(-u_k \cdot h), \qquad
        d(u_t \cdot h) = -\sigma(-u_t \cdot h), \quad d(u_k \cdot h) = \sigma(u_k \cdot h)

    Lookup, products, logarithms and the gradients of both tables are one operation. Cost: 3 (K + 1) d
    multiply-adds a pair; nothing as large as a table where the gradients are sparse.

    References
    ----------
    Mikolov et al. 2013, "Distributed representations of words and phrases and their compositionality", eq. 4.
    Article 004 §3.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> tables = np.zeros((4, 2)), np.zeros((4, 2))
    >>> at.functional.negative_sampling([0, 1], [1, 2], [[3], [3]], *tables).round(3)  # 2 log 2
    array([1.386, 1.386])

    Source: cpp/ops/negative_sampling.cpp
    """
    return _core.negative_sampling(words, targets, negatives, input_vectors, output_vectors, sparse)

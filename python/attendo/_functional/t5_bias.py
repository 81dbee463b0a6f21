"""T5's relative position bias."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def t5_bias(
    table: "Tensor",
    length: int,
    keys: int | None = None,
    *,
    q_offset: int | None = None,
    bidirectional: bool = True,
    max_distance: int = 128,
) -> "Tensor": ...
@overload
def t5_bias(
    table: "ArrayLike",
    length: int,
    keys: int | None = None,
    *,
    q_offset: int | None = None,
    bidirectional: bool = True,
    max_distance: int = 128,
) -> "FloatArray": ...
def t5_bias(
    table: "TensorLike",
    length: int,
    keys: int | None = None,
    *,
    q_offset: int | None = None,
    bidirectional: bool = True,
    max_distance: int = 128,
) -> "Tensor | FloatArray":
    r"""A trained number for each head and bucket of distances, as a bias for attention.

    Parameters
    ----------
    table : array_like or Tensor, shape (num_buckets, H)
        float32 or float64, laid out as ``relative_attention_bias.weight`` of a T5 checkpoint. num_buckets is
        2 or more; in both directions even, and 4 or more.
    length, keys : int
        Queries L and keys S; as many keys as queries when not given.
    q_offset : int, optional
        Position of the first query among the keys. Needed when L and S differ.
    bidirectional : bool
        As in the encoder: keys after the query have buckets of their own. Otherwise, as in the decoder, they
        count as distance 0.
    max_distance : int
        From there on all distances share the last bucket.

    Returns
    -------
    ndarray or Tensor, shape (H, L, S)
        For ``bias=`` of :func:`attendo.attention`. T5 does not scale its scores: give ``scale=1``.

    Raises
    ------
    ValueError
        When table has not two axes or too few buckets; when max_distance is not above the distances with a
        bucket of their own; when a length is negative, or q_offset is missing where L and S differ.
    TypeError
        When table is neither float32 nor float64.

    Notes
    -----
    .. math::

        b_{hij} = t_{\mathrm{bucket}(j - i - \text{q\_offset}),\,h}, \qquad
        dt_{kh} = \sum_{i,j:\ \mathrm{bucket} = k} db_{hij}

    with the buckets of :func:`t5_buckets`. Cost: L + S look-ups for the distances, then the H L S copies of
    the bias. The backward pass sums along the diagonals, in a fixed order and in float64.
    ``score_mod=attendo.score_mods.t5_bias(table)`` gives attention the same without the bias.

    References
    ----------
    Raffel et al. 2020, "Exploring the limits of transfer learning with a unified text-to-text transformer",
    §2.1.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.functional.t5_bias(np.arange(8.0)[:, None], 3)
    array([[[0., 5., 6.],
            [1., 0., 5.],
            [2., 1., 0.]]])

    Source: cpp/attention/t5_bias.cpp
    """
    return _core.t5_bias(table, length, keys, q_offset, bidirectional, max_distance)


def t5_buckets(
    relative_position: "ArrayLike",
    *,
    bidirectional: bool = True,
    num_buckets: int = 32,
    max_distance: int = 128,
) -> "NDArray[np.int64]":
    r"""The bucket of each relative position: one for each small distance, ever wider ones for larger.

    Parameters
    ----------
    relative_position : array_like of int, any shape
        Position of the key less that of the query, j - i.
    bidirectional : bool
        Keys after the query have the upper half of the buckets; otherwise they count as distance 0.
    num_buckets : int
        In all: 2 or more; in both directions even, and 4 or more.
    max_distance : int
        From there on all distances share the last bucket.

    Returns
    -------
    ndarray of int64, shape of relative_position

    Raises
    ------
    ValueError
        When num_buckets or max_distance is too small.
    TypeError
        When relative_position is not of integers.

    Notes
    -----
    With K buckets for a direction, of which e = K / 2 hold one distance each, distance n has the bucket

    .. math::

        n \ \ (n < e), \qquad
        \min\Bigl(K - 1,\ e + \Bigl\lfloor (K - e)\,
        \frac{\log(n / e)}{\log(\text{max\_distance} / e)} \Bigr\rfloor\Bigr) \ \ (n \ge e)

    The logarithms are taken in float32, as in the code T5 was trained with.

    References
    ----------
    Raffel et al. 2020, §2.1.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.t5_buckets([0, -1, -7, -8, -100, 1, 100])
    array([ 0,  1,  7,  8, 15, 17, 31])

    Source: cpp/attention/t5_bias.cpp
    """
    return _core.t5_buckets(relative_position, bidirectional, num_buckets, max_distance)

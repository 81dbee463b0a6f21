"""Pooling to a given size."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, PoolSize, TensorLike


@overload
def adaptive_avg_pool1d(
    x: "Tensor",
    output_size: "int | None",
) -> "Tensor": ...


@overload
def adaptive_avg_pool1d(
    x: "ArrayLike",
    output_size: "int | None",
) -> "FloatArray": ...


def adaptive_avg_pool1d(
    x: "TensorLike",
    output_size: "int | None",
) -> "Tensor | FloatArray":
    r"""Average of each of so many parts of a sequence.

    Parameters
    ----------
    x : array_like or Tensor, shape (B, C, L)
        Sequences: channels before positions, float32 or float64.
    output_size : int or None
        Length of the result, 1 or more; None keeps that of x.

    Returns
    -------
    ndarray or Tensor, shape (B, C, L')
        Output i of n along an axis of H sees the entries :math:`\lfloor iH/n \rfloor` to
        :math:`\lceil (i+1)H/n \rceil - 1`; 1 sees all of them.

    Raises
    ------
    ValueError
        When x has not three axes or nothing to pool, or a size is below 1.
    TypeError
        When x is neither float32 nor float64, or a size is neither an integer nor None.

    Notes
    -----
    .. math::

        y_{ci} = \frac{1}{|P_i|} \sum_{l \in P_i} x_{cl}, \qquad dx_{cl} \mathrel{+}= \frac{dy_{ci}}{|P_i|}

    with the parts P and Q, which overlap where the sizes do not divide.

    References
    ----------
    He et al. 2014, "Spatial pyramid pooling", §2.2. Lin et al. 2014, §3.2 (global pooling).

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.adaptive_avg_pool1d([[[1.0, 2.0, 3.0, 4.0, 5.0]]], 2)
    array([[[2., 4.]]])

    Source: cpp/ops/adaptive_pool.cpp
    """
    return _core.adaptive_avg_pool1d(x, output_size)


@overload
def adaptive_avg_pool2d(
    x: "Tensor",
    output_size: "PoolSize",
) -> "Tensor": ...


@overload
def adaptive_avg_pool2d(
    x: "ArrayLike",
    output_size: "PoolSize",
) -> "FloatArray": ...


def adaptive_avg_pool2d(
    x: "TensorLike",
    output_size: "PoolSize",
) -> "Tensor | FloatArray":
    r"""Average of each of so many parts of an image.

    Parameters
    ----------
    x : array_like or Tensor, shape (B, C, H, W)
        Images, float32 or float64.
    output_size : int, None or a pair of them
        Height and width of the result, 1 or more; None keeps that of x.

    Returns
    -------
    ndarray or Tensor, shape (B, C, H', W')
        Output i of n along an axis of H sees the entries :math:`\lfloor iH/n \rfloor` to
        :math:`\lceil (i+1)H/n \rceil - 1`; 1 sees all of them.

    Raises
    ------
    ValueError
        When x has not four axes or nothing to pool, or a size is below 1.
    TypeError
        When x is neither float32 nor float64, or a size is neither an integer nor None.

    Notes
    -----
    .. math::

        y_{cij} = \frac{1}{|P_i| |Q_j|} \sum_{h \in P_i,\, w \in Q_j} x_{chw}, \qquad
        dx_{chw} \mathrel{+}= \frac{dy_{cij}}{|P_i| |Q_j|}

    with the parts P and Q, which overlap where the sizes do not divide.

    References
    ----------
    He et al. 2014, "Spatial pyramid pooling", §2.2. Lin et al. 2014, §3.2 (global pooling).

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.functional.adaptive_avg_pool2d(np.arange(24.0).reshape(1, 2, 3, 4), 1)[0, :, 0, 0]
    array([ 5.5, 17.5])

    Source: cpp/ops/adaptive_pool.cpp
    """
    return _core.adaptive_avg_pool2d(x, output_size)


@overload
def adaptive_max_pool1d(
    x: "Tensor",
    output_size: "int | None",
) -> "Tensor": ...


@overload
def adaptive_max_pool1d(
    x: "ArrayLike",
    output_size: "int | None",
) -> "FloatArray": ...


def adaptive_max_pool1d(
    x: "TensorLike",
    output_size: "int | None",
) -> "Tensor | FloatArray":
    r"""Maximum of each of so many parts of a sequence.

    Parameters
    ----------
    x : array_like or Tensor, shape (B, C, L)
        Sequences: channels before positions, float32 or float64.
    output_size : int or None
        Length of the result, 1 or more; None keeps that of x.

    Returns
    -------
    ndarray or Tensor, shape (B, C, L')
        Output i of n along an axis of H sees the entries :math:`\lfloor iH/n \rfloor` to
        :math:`\lceil (i+1)H/n \rceil - 1`; 1 sees all of them.

    Raises
    ------
    ValueError
        When x has not three axes or nothing to pool, or a size is below 1.
    TypeError
        When x is neither float32 nor float64, or a size is neither an integer nor None.

    Notes
    -----
    .. math::

        y_{ci} = \max_{l \in P_i} x_{cl}

    and dy goes to the first maximum of its part, in the order of memory; a NaN is a maximum. Parts overlap
    where the sizes do not divide.

    References
    ----------
    He et al. 2014, "Spatial pyramid pooling", §2.2. Lin et al. 2014, §3.2 (global pooling).

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.adaptive_max_pool1d([[[1.0, 2.0, 3.0, 4.0, 5.0]]], 2)
    array([[[3., 5.]]])

    Source: cpp/ops/adaptive_pool.cpp
    """
    return _core.adaptive_max_pool1d(x, output_size)


@overload
def adaptive_max_pool2d(
    x: "Tensor",
    output_size: "PoolSize",
) -> "Tensor": ...


@overload
def adaptive_max_pool2d(
    x: "ArrayLike",
    output_size: "PoolSize",
) -> "FloatArray": ...


def adaptive_max_pool2d(
    x: "TensorLike",
    output_size: "PoolSize",
) -> "Tensor | FloatArray":
    r"""Maximum of each of so many parts of an image.

    Parameters
    ----------
    x : array_like or Tensor, shape (B, C, H, W)
        Images, float32 or float64.
    output_size : int, None or a pair of them
        Height and width of the result, 1 or more; None keeps that of x.

    Returns
    -------
    ndarray or Tensor, shape (B, C, H', W')
        Output i of n along an axis of H sees the entries :math:`\lfloor iH/n \rfloor` to
        :math:`\lceil (i+1)H/n \rceil - 1`; 1 sees all of them.

    Raises
    ------
    ValueError
        When x has not four axes or nothing to pool, or a size is below 1.
    TypeError
        When x is neither float32 nor float64, or a size is neither an integer nor None.

    Notes
    -----
    .. math::

        y_{cij} = \max_{h \in P_i,\, w \in Q_j} x_{chw}

    and dy goes to the first maximum of its part, in the order of memory; a NaN is a maximum. Parts overlap
    where the sizes do not divide.

    References
    ----------
    He et al. 2014, "Spatial pyramid pooling", §2.2. Lin et al. 2014, §3.2 (global pooling).

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.functional.adaptive_max_pool2d(np.arange(24.0).reshape(1, 2, 3, 4), (1, None))[0]
    array([[[ 8.,  9., 10., 11.]],
    <BLANKLINE>
           [[20., 21., 22., 23.]]])

    Source: cpp/ops/adaptive_pool.cpp
    """
    return _core.adaptive_max_pool2d(x, output_size)

"""Segment-level recurrence."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def segment_recurrence(
    x: "Tensor", memory: "TensorLike | None" = None, *, memory_length: int | None = None
) -> "tuple[Tensor, Tensor]": ...
@overload
def segment_recurrence(
    x: "TensorLike", memory: "Tensor", *, memory_length: int | None = None
) -> "tuple[Tensor, Tensor]": ...
@overload
def segment_recurrence(
    x: "ArrayLike", memory: "ArrayLike | None" = None, *, memory_length: int | None = None
) -> "tuple[FloatArray, FloatArray]": ...
def segment_recurrence(
    x: "TensorLike", memory: "TensorLike | None" = None, *, memory_length: int | None = None
) -> "tuple[Tensor, Tensor] | tuple[FloatArray, FloatArray]":
    r"""A segment behind the memory of those before it, and the memory of the next.

    Parameters
    ----------
    x : array_like or Tensor, shape (..., L, d)
        Hidden states of a segment, float32 or float64: what a layer is given.
    memory : array_like or Tensor, shape (..., M, d), optional
        Those of the segments before it, in the same layer; none for the first segment.
    memory_length : int, optional
        How many positions to remember, 0 or more; L when not given.

    Returns
    -------
    extended : ndarray or Tensor, shape (..., M + L, d)
        What keys and values are made of. Queries are of x alone: ``q_offset`` is M.
    memory : ndarray or Tensor, shape (..., min(memory_length, M + L), d)
        The last positions, off the tape: no gradient flows to earlier segments.

    Raises
    ------
    ValueError
        When x has fewer than two axes, memory does not fit it, or memory_length is negative.
    TypeError
        When x or memory is neither float32 nor float64, or their dtypes differ.

    Notes
    -----
    .. math::

        \tilde h = [\mathrm{SG}(m),\ x], \qquad m' = \mathrm{SG}(\tilde h_{M + L - \text{memory\_length}:}),
        \qquad dx = d\tilde h_{M:}, \quad dm = 0

    with SG for "stop gradient". With N layers a position reaches N times memory_length positions back. Cost:
    the copies.

    References
    ----------
    Dai et al. 2019, "Transformer-XL", §3.2. Article 002 §7.3.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> text, memory = np.arange(6.0)[:, None], None
    >>> for segment in np.split(text, 3):
    ...     extended, memory = at.functional.segment_recurrence(segment, memory)
    ...     print(extended.ravel(), memory.ravel())
    [0. 1.] [0. 1.]
    [0. 1. 2. 3.] [2. 3.]
    [2. 3. 4. 5.] [4. 5.]

    Source: cpp/attention/segment_recurrence.cpp
    """
    return _core.segment_recurrence(x, memory, memory_length)

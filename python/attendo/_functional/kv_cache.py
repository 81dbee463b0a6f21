"""Keys and values of the positions so far, for decoding."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Any

from .._core import KVCache
from .._pages import page

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from .._typing import FloatArray, MaskLike, TensorLike

__all__ = ["KVCache"]


@page(KVCache, "attendo")
class _KVCache:
    r"""Keys and values of the positions so far: decoding without computing the past again.

    Each call appends the keys and values of the next positions and attends from them to all that came before,
    causally: one position after the other, or chunk by chunk (chunked prefill). Positions are absolute.

    Parameters
    ----------
    capacity : int, optional
        Positions to make room for at once. Room grows by doubling in any case.
    window : int, optional
        How many keys a query sees, its own included: position t sees t - window + 1 to t. Earlier ones are
        let go; memory is that of the window and the longest chunk. All when not given.

    Raises
    ------
    ValueError
        When capacity is negative or window below 1.
    TypeError
        When one is not an integer.

    Notes
    -----
    .. math::

        K \leftarrow [K, k_t], \quad V \leftarrow [V, v_t], \quad
        o_t = \operatorname{attention}(q_t, K, V)

    which is row t of causal attention over the whole sequence. Without a window, and as long as no value is
    infinite or NaN, it has the same bits: a query meets the same blocks of keys in the same order. With a
    window the blocks begin elsewhere, and the result differs by rounding.

    For inference: nothing goes on the tape, and a Tensor that requires a gradient is refused. Append n
    positions and O(n) are copied. Several threads may use a cache; each call sees it whole.

    References
    ----------
    Shazeer 2019, "Fast transformer decoding", §2.4. Beltagy et al. 2020, "Longformer", §3.1 (the window).

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> q, k, v = np.random.default_rng(0).standard_normal((3, 2, 6, 4))  # (heads, length, features) each
    >>> cache = at.KVCache()
    >>> first = cache.attend(q[:, :4], k[:, :4], v[:, :4])  # a prompt of four positions
    >>> rest = [cache.attend(q[:, t:t + 1], k[:, t:t + 1], v[:, t:t + 1]) for t in (4, 5)]
    >>> out = np.concatenate([first, *rest], axis=1)
    >>> np.array_equal(out, at.attention(q, k, v, mask=at.masks.causal()))
    True
    >>> cache.length
    6

    Source: cpp/attention/kv_cache.cpp
    """

    def __init__(self, *, capacity: int | None = None, window: int | None = None) -> None: ...

    def append(self, k: "TensorLike", v: "TensorLike", *, lengths: "ArrayLike | None" = None) -> None:
        """Append the next positions without attending.

        Parameters
        ----------
        k : array_like or Tensor, shape (..., Hkv, T, D)
            Keys. The first call decides axes, features and dtype.
        v : array_like or Tensor, shape (..., Hkv, T, Dv)
            Values.
        lengths : array_like of int, shape (batch,), optional
            How many of the T positions are real in each batch entry; the rest is padding and is left out. Not
            together with a window.

        Raises
        ------
        ValueError
            When shapes do not fit each other or the cache, lengths holds a number outside 0 to T, or k or v
            requires a gradient.
        TypeError
            When a dtype is not the cache's or lengths are not integers.

        Examples
        --------
        >>> import numpy as np
        >>> import attendo as at
        >>> cache = at.KVCache()
        >>> cache.append(np.zeros((2, 1, 3, 4)), np.zeros((2, 1, 3, 4)), lengths=[3, 1])
        >>> cache.lengths
        array([3, 1])
        """

    def attend(
        self,
        q: "TensorLike",
        k: "TensorLike | None" = None,
        v: "TensorLike | None" = None,
        *,
        lengths: "ArrayLike | None" = None,
        mask: "MaskLike | None" = None,
        bias: "TensorLike | None" = None,
        scale: float | None = None,
        softcap: float | None = None,
        sinks: "TensorLike | None" = None,
    ) -> Any:
        """Append the next positions, if k and v are given, and attend from the last L ones.

        Parameters
        ----------
        q : array_like or Tensor, shape (..., H, L, D)
            Queries of the last L positions; H is a multiple of Hkv.
        k, v : array_like or Tensor, optional
            Keys and values of these positions, as in :meth:`append`. Without them q attends to what is there.
        lengths : array_like of int, shape (batch,), optional
            As in :meth:`append`; rows of padding give zeros.
        mask : Mask or array_like of bool, broadcastable to (..., H, L, length), optional
            **True = may attend**, over all positions from 0 on. That no query sees a later position is
            understood.
        bias : array_like or Tensor, broadcastable to (..., H, L, length), optional
            Added to the scaled scores.
        scale : float, optional
            Multiplies the scores; one over the root of D when not given.
        softcap : float, optional
            c above 0: the scaled scores s become c tanh(s / c).
        sinks : array_like or Tensor, shape (H,), optional
            One more score for each head, of a key that has no value.

        Returns
        -------
        ndarray or Tensor, shape (..., H, L, Dv)

        Raises
        ------
        ValueError
            When shapes do not fit, q has more positions than the cache or than the window still holds keys
            for, or an input requires a gradient.
        TypeError
            When a dtype is not the cache's.

            A call that fails leaves the cache as it was.

        Examples
        --------
        See :class:`attendo.KVCache`.
        """

    def fork(self, entries: "ArrayLike | None" = None) -> "KVCache":
        """A cache of its own with some batch entries: the beams that go on.

        Parameters
        ----------
        entries : array_like of int, optional
            Which batch entries, in the order of the new cache's; one may occur several times. All when not
            given.

        Returns
        -------
        KVCache
            A copy (the positions so far are copied, not shared), with as much room.

        Raises
        ------
        ValueError
            When there is no such entry, the cache is empty, or its keys are not (batch, heads, length,
            features).
        TypeError
            When entries are not integers.

        Examples
        --------
        >>> import numpy as np
        >>> import attendo as at
        >>> cache = at.KVCache()
        >>> cache.append(np.arange(6.0).reshape(2, 1, 3, 1), np.zeros((2, 1, 3, 1)))
        >>> cache.fork([1, 1]).keys[:, 0, :, 0]
        array([[3., 4., 5.],
               [3., 4., 5.]])
        """

    def reorder(self, entries: "ArrayLike") -> None:
        """:meth:`fork` in place: what changes is copied, nothing where entries are 0, 1, ...

        Parameters
        ----------
        entries : array_like of int
            As in :meth:`fork`.

        Raises
        ------
        ValueError, TypeError
            As :meth:`fork`.

        Examples
        --------
        >>> import numpy as np
        >>> import attendo as at
        >>> cache = at.KVCache()
        >>> cache.append(*np.arange(6.0).reshape(1, 2, 1, 3, 1).repeat(2, axis=0))
        >>> cache.reorder([1, 0])
        >>> cache.keys[:, 0, :, 0]
        array([[3., 4., 5.],
               [0., 1., 2.]])
        """

    def truncate(self, length: int) -> None:
        """Forget the positions from ``length`` on.

        Parameters
        ----------
        length : int
            0 to the cache's length.

        Raises
        ------
        ValueError
            When there are not as many, or the window that goes before has been let go.

        Examples
        --------
        >>> import numpy as np
        >>> import attendo as at
        >>> cache = at.KVCache()
        >>> cache.append(np.zeros((5, 4)), np.zeros((5, 4)))
        >>> cache.truncate(3)
        >>> cache.length
        3
        """

    def reset(self) -> None:
        """Forget all positions; the memory stays for the next sequence.

        Examples
        --------
        >>> import attendo as at
        >>> at.KVCache(capacity=8).reset()
        """

    @property
    def length(self) -> int:
        """How many positions were appended, in the longest batch entry."""

    @property
    def lengths(self) -> "NDArray[np.int64]":
        """How many positions each batch entry has, shape (batch,)."""

    @property
    def first(self) -> int:
        """The first position that is still held: 0 without a window."""

    @property
    def capacity(self) -> int:
        """For how many positions there is room."""

    @property
    def window(self) -> "int | None":
        """How many keys a query sees; None for all."""

    @property
    def keys(self) -> "FloatArray | None":
        """A copy of the keys held, shape (..., Hkv, length - first, D); None before the first append."""

    @property
    def values(self) -> "FloatArray | None":
        """A copy of the values held, shape (..., Hkv, length - first, Dv); None before the first append."""

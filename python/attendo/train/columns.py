"""What the Trainer's arguments amount to for the core."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def column(x: Any) -> Any:
    """A Ragged's own column, or the array as it is."""
    return getattr(x, "_column", x)


def columns(xs: Any) -> Any:
    """The same of a tuple of them."""
    return tuple(column(x) for x in xs) if isinstance(xs, tuple) else column(xs)


def target_arrays(target: Any) -> tuple[NDArray[Any], ...]:
    """The targets as a metric gets them: arrays, padded to the longest of all."""
    import numpy as np

    given = target if isinstance(target, tuple) else (target,)
    return tuple(y.padded() if hasattr(y, "_column") else np.asarray(y) for y in given)


def is_array(x: Any) -> bool:
    """Whether it is one column of samples, and no iterable of batches."""
    return hasattr(x, "_column") or hasattr(x, "__array__") or hasattr(x, "__dlpack__")


def lengths_of(inputs: Any, bucket_by: Any) -> NDArray[np.int64] | None:
    """The lengths by which samples are brought together.

    Raises
    ------
    ValueError
        When ``bucket_by`` is True and no input is Ragged.
    TypeError
        When the lengths are not integers.
    """
    import numpy as np

    if bucket_by is False or bucket_by is None:
        return None
    if bucket_by is True:
        for x in inputs if isinstance(inputs, tuple) else (inputs,):
            if hasattr(x, "_column"):
                lengths: NDArray[np.int64] = x.lengths
                return lengths
        raise ValueError("fit: bucket_by is True but no input is a Ragged; give the lengths")
    given = np.asarray(bucket_by)
    if given.dtype.kind not in "iu":
        raise TypeError(f"fit: bucket_by has dtype {given.dtype} but must hold integers")
    return given.astype(np.int64)


def batch_adapter(augment: Callable[..., Any]) -> Callable[[Any, Any, int], tuple[Any, Any]]:
    """``augment`` as the core calls it: with a seed in place of random numbers."""
    if not callable(augment):
        raise TypeError(f"fit: augment is a {type(augment).__name__} but must be callable")

    def call(inputs: Any, targets: Any, seed: int) -> tuple[Any, Any]:
        from numpy.random import default_rng

        made = augment(inputs, targets, default_rng([seed, 0]))
        if not isinstance(made, tuple) or len(made) != 2:
            raise TypeError("fit: augment must return (inputs, targets)")
        return made

    return call


def fingerprint(x: Any) -> list[Any]:
    """Shape, dtype and a checksum of some of the values: what tells other data from the same."""
    import zlib

    import numpy as np

    if hasattr(x, "_column"):
        return ["ragged", len(x), *fingerprint(x.values), zlib.crc32(x.lengths.tobytes())]
    try:
        array = np.asarray(x)
    except ValueError:  # no array at all: the core says so better
        return []
    if array.dtype.kind not in "biuf":
        return []
    flat = array.reshape(-1)
    some = flat[:: max(1, flat.size // 4096)][:8192]
    kind = "int" if array.dtype.kind in "biu" else "float"  # as the core takes them
    values = some.astype(np.int64 if kind == "int" else np.float64)
    return [kind, list(array.shape), zlib.crc32(np.ascontiguousarray(values).tobytes())]


def fingerprints(xs: Any) -> list[Any]:
    """Of an argument of fit; nothing is known of an iterable."""
    if isinstance(xs, tuple):
        return [fingerprint(x) for x in xs]
    return [fingerprint(xs)] if is_array(xs) or isinstance(xs, list) else []

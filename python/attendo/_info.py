"""What is running here, on how many threads, with how much memory."""

from __future__ import annotations

from typing import Any

from . import _core

__all__ = [
    "__version__",
    "get_num_threads",
    "info",
    "memory_stats",
    "release_cached_memory",
    "set_num_threads",
]

__version__ = "0.1.0"


def info() -> dict[str, Any]:
    """Version, instruction set in use, threads, and the versions of what attendo stands on.

    Returns
    -------
    dict
        ``version``; ``isa``: ``avx512``, ``avx2``, ``neon`` or ``baseline``; ``threads``; then a version for
        Python, each dependency and what the core was built with.

    Examples
    --------
    >>> import attendo as at
    >>> at.info()["isa"] in ("avx512", "avx2", "neon", "baseline")
    True
    """
    # Slow to import, and only needed here.
    import platform
    from importlib import metadata

    out: dict[str, Any] = {
        "version": __version__,
        "isa": _core.isa(),
        "threads": _core.get_num_threads(),
        "python": platform.python_version(),
    }
    for name in ("numpy", "safetensors", "tqdm"):
        out[name] = metadata.version(name)
    return out | _core.versions()


def set_num_threads(threads: int) -> None:
    """Use at most so many threads for parallel work, in the whole process. No result depends on it.

    Parameters
    ----------
    threads : int
        1 to 1024.

    Raises
    ------
    ValueError
        When it is outside that.
    TypeError
        When it is not an integer.

    Examples
    --------
    >>> import attendo as at
    >>> before = at.get_num_threads()
    >>> at.set_num_threads(1)
    >>> at.get_num_threads()
    1
    >>> at.set_num_threads(before)

    Source: cpp/core/parallel.cpp
    """
    _core.set_num_threads(threads)


def get_num_threads() -> int:
    """How many threads parallel work uses at most; at first, as many as the process may run on.

    Examples
    --------
    >>> import attendo as at
    >>> at.get_num_threads() >= 1
    True

    Source: cpp/core/parallel.cpp
    """
    return _core.get_num_threads()


def memory_stats() -> dict[str, int]:
    """How much memory Tensors and results hold.

    Returns
    -------
    dict
        ``live_bytes``: handed out; ``cached_bytes``: kept for reuse; ``system_calls``: blocks ever asked from
        the system.

    Examples
    --------
    >>> import attendo as at
    >>> x = at.tensor([0.0] * 1000)
    >>> at.memory_stats()["live_bytes"] >= 8000
    True

    Source: cpp/core/memory.cpp
    """
    return _core.memory_stats()


def release_cached_memory() -> None:
    """Give the memory kept for reuse back to the system.

    Examples
    --------
    >>> import attendo as at
    >>> at.release_cached_memory()
    >>> at.memory_stats()["cached_bytes"]
    0

    Source: cpp/core/memory.cpp
    """
    _core.release_cached_memory()

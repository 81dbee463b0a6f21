"""What is running here."""

from __future__ import annotations

import platform
from importlib import metadata

from . import _core

__version__ = "0.1.0"


def info() -> dict[str, str | int]:
    """Version, instruction set in use, threads, and the versions of what attendo stands on.

    Returns
    -------
    dict
        ``version``, ``isa`` (``avx512``, ``avx2``, ``neon`` or ``baseline``), ``threads``, then a version a dependency.

    Examples
    --------
    >>> import attendo as at
    >>> at.info()["isa"] in ("avx512", "avx2", "neon", "baseline")
    True
    """
    out: dict[str, str | int] = {
        "version": __version__,
        "isa": _core.isa(),
        "threads": _core.get_num_threads(),
        "python": platform.python_version(),
    }
    for name in ("numpy", "safetensors", "tqdm"):
        out[name] = metadata.version(name)
    return out | _core.versions()

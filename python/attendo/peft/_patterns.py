"""Names by patterns: ``*`` stands for any characters, as in file names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

_SHOWN = 12


def as_patterns(call: str, argument: str, given: object) -> tuple[str, ...]:
    """One pattern or several, as a tuple."""
    patterns = (given,) if isinstance(given, str) else given
    if not isinstance(patterns, (tuple, list)) or not all(isinstance(p, str) for p in patterns):
        raise TypeError(f"{call}: {argument} is {given!r} but must be a pattern of names, or several")
    return tuple(patterns)


def chosen(
    call: str, argument: str, patterns: Iterable[str], names: list[str], fits: Callable[[str, str], bool]
) -> list[str]:
    """The names that fit one of the patterns, in their order; a pattern that none fits is an error."""
    found: set[str] = set()
    for pattern in patterns:
        fitting = [name for name in names if fits(name, pattern)]
        if not fitting:
            some = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
            raise ValueError(f"{call}: {argument} holds {pattern!r}, which no name fits; there are: {some}")
        found.update(fitting)
    return [name for name in names if name in found]


def parameter_fits(name: str, pattern: str) -> bool:
    """``encoder.layers.0.*``, or ``encoder.layers.0`` for all that is in it."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, pattern + ".*")


def module_fits(path: str, pattern: str) -> bool:
    """The path, or its last parts: ``self_attn``."""
    parts = path.split(".")
    return any(fnmatchcase(".".join(parts[i:]), pattern) for i in range(len(parts)))


def matrix_fits(name: str, pattern: str) -> bool:
    """As a module's path, with ``weight`` at its end or without; in_proj: the three of it."""
    stem = name.removesuffix("weight").rstrip("._")
    head, _, last = stem.rpartition(".")
    stacked = [f"{head}.in_proj".lstrip(".")] if last in ("q_proj", "k_proj", "v_proj") else []
    either = (name, stem, *stacked, *(f"{s}_weight" for s in stacked))
    return any(module_fits(one, pattern) for one in either)

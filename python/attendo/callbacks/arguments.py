"""What the constructors of callbacks ask of their arguments, said with the callback's name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from operator import index
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def as_path(owner: str, name: str, value: Any) -> Path:
    """A str or a path of str."""
    from pathlib import Path

    try:
        path = Path(value)
    except TypeError:
        raise _wrong(owner, name, value, "a str or a path") from None
    if "\0" in os.fspath(path):
        raise ValueError(f"{owner}: {name} is {value!r} but a path holds no null character")
    return path


def as_folder(owner: str, name: str, value: Any) -> Path:
    """A folder, or where one can be made."""
    path = as_path(owner, name, value)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{owner}: {name} is {str(path)!r}, a file, but must be a folder")
    return path


def as_count(owner: str, name: str, value: Any) -> int:
    """A whole number, 0 or more."""
    if isinstance(value, bool):
        raise _wrong(owner, name, value, "a whole number")
    try:
        count = index(value)
    except TypeError:
        raise _wrong(owner, name, value, "a whole number") from None
    if count < 0:
        raise ValueError(f"{owner}: {name} is {count} but must be 0 or more")
    return count


def as_dict(owner: str, name: str, value: Any, of: type | None = None) -> dict[str, Any]:
    """A dict by str, of anything or of one type; None is an empty one."""
    if value is None:
        return {}
    what = "a dict of str" if of is None else f"a dict of str to {of.__name__}"
    if not isinstance(value, Mapping):
        raise _wrong(owner, name, value, what)
    for key, item in value.items():
        if not isinstance(key, str):
            raise TypeError(f"{owner}: {name} has the key {shown(key)} but must be {what}")
        if of is not None and not isinstance(item, of):
            raise TypeError(f"{owner}: {name}[{key!r}] is {shown(item)} but must be a {of.__name__}")
    return dict(value)


def check_function(owner: str, name: str, value: Any) -> None:
    """A function, or None."""
    if value is not None and not callable(value):
        raise _wrong(owner, name, value, "a function")


def check_type(owner: str, name: str, value: Any, of: type) -> None:
    """One of this type."""
    if not isinstance(value, of):
        raise _wrong(owner, name, value, f"a {of.__name__}")


def shown(value: Any) -> str:
    """As Python writes it, but not at any length."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _wrong(owner: str, name: str, value: Any, must_be: str) -> TypeError:
    return TypeError(f"{owner}: {name} is {shown(value)}, a {type(value).__name__}, but must be {must_be}")

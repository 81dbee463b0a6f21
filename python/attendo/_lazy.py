"""Submodules imported when they are first used, and extras that say their name when they are missing."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any


def lazy_modules(package: str, names: tuple[str, ...]) -> Callable[[str], Any]:
    """A package's ``__getattr__`` that imports the named submodules on first use."""

    def get(name: str) -> Any:
        if name in names:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get


def lazy_names(package: str, names: dict[str, str]) -> Callable[[str], Any]:
    """The same for names in submodules: ``{name: submodule}``."""

    def get(name: str) -> Any:
        if name in names:
            return getattr(importlib.import_module(f"{package}.{names[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency, or say which extra brings it.

    Raises
    ------
    ImportError
        When the module is not installed; the message holds the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f'{module} is not installed; run: pip install "attendo[{extra}]"') from error

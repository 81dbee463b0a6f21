"""config.json, asked key by key: a value of another type or range than it must have is refused by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

_LARGEST = 2**31 - 1
_DEFAULT = object()


class Config:
    """The keys of a config.json; ``tensors`` are the names in the checkpoint, which tell what head it has."""

    def __init__(
        self, values: Mapping[str, Any], where: str = "the config", tensors: frozenset[str] = frozenset()
    ) -> None:
        self.values = dict(values)
        self.where = where
        self.tensors = tensors

    def wrong(self, key: str, must: str) -> NoReturn:
        raise ValueError(f"{self.where}: {key!r} is {_short(self.values.get(key))} but must be {must}")

    def _get(self, key: str, default: Any, must: str) -> Any:
        value = self.values.get(key)
        if value is None:  # null, or not there: the default, as transformers has it
            if default is _DEFAULT:
                raise ValueError(f"{self.where}: {key!r} is missing; it must be {must}")
            return default
        return value

    def integer(self, key: str, default: Any = _DEFAULT, least: int = 1, most: int = _LARGEST) -> Any:
        """A whole number; one with no default must be there."""
        must = f"an integer, {least} to {most}"
        value = self._get(key, default, must)
        if value is default:
            return value
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self.wrong(key, must)
        return value

    def number(
        self, key: str, default: Any = _DEFAULT, least: float = -math.inf, most: float = math.inf
    ) -> Any:
        """A finite number as a float."""
        must = (
            "a finite number" if least == -math.inf and most == math.inf else f"a number, {least} to {most}"
        )
        value = self._get(key, default, must)
        if value is default:
            return value
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            self.wrong(key, must)
        try:
            value = float(value)
        except OverflowError:
            self.wrong(key, must)
        if not math.isfinite(value) or not least <= value <= most:
            self.wrong(key, must)
        return value

    def flag(self, key: str, default: Any = _DEFAULT) -> bool:
        """true or false."""
        value = self._get(key, default, "true or false")
        if not isinstance(value, bool):
            self.wrong(key, "true or false")
        return value

    def choice(self, key: str, known: Mapping[str, T], default: Any = _DEFAULT) -> T:
        """What a word means; a word that is not known is refused."""
        value = self._get(key, default, "one of " + ", ".join(map(repr, known)))
        if not isinstance(value, str) or value not in known:
            self.wrong(key, "one of " + ", ".join(map(repr, known)) + ": attendo has no other")
        return known[value]

    def only(self, key: str, value: Any) -> None:
        """Refuse all but one value of a key that changes what the model computes."""
        given = self.values.get(key)
        if given is not None and (type(given) is not type(value) or given != value):
            self.wrong(key, f"{_json(value)}: attendo has no other")


def _json(value: Any) -> str:
    import json

    return json.dumps(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

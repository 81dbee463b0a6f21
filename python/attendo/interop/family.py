"""Model families: how a config.json becomes a model of ours, and a checkpoint's tensors its parameters.

A family is a file in ``families/`` that makes a :class:`Family`; ``_MODULES`` says which file reads which
``model_type``. The file is read when a checkpoint asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._core import Module
from .config import Config
from .entries import Entry

# model_type in config.json → the module in families/ that has its Family, as FAMILY.
_MODULES: dict[str, str] = {
    "bert": "bert",
    "distilbert": "distilbert",
    "gpt2": "gpt2",
    "llama": "llama",
    "marian": "marian",
    "mistral": "llama",
    "mt5": "mt5",
    "qwen2": "llama",
    "qwen3": "llama",
    "roberta": "roberta",
    "t5": "t5",
    "vit": "vit",
    "xlm-roberta": "roberta",
}
_REGISTERED: dict[str, Family] = {}


class Unfit(ValueError):
    """A model has an option that the family's format cannot say."""


def options_of(model: Module) -> dict[str, Any]:
    """All constructor arguments of a model, those too that ``config`` leaves out as they are the defaults."""
    from inspect import signature

    parameters = signature(type(model).__init__).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    return {**defaults, **model.config}


def fits(config: Mapping[str, Any], **wanted: Any) -> None:
    """Refuse a model whose options are others than a format can say: a value, or a tuple of them."""
    for key, values in wanted.items():
        allowed = values if isinstance(values, tuple) else (values,)
        if config[key] not in allowed:
            raise Unfit(f"{key} is {config[key]!r} but must be {' or '.join(map(repr, allowed))}")


@dataclass(frozen=True)
class Family:
    """What one kind of checkpoint is.

    Attributes
    ----------
    model_types : what config.json calls it.
    model : the name of the class in attendo.models, or of several.
    build : (config, dtype) → the model. It reads every key that changes what the model computes, and refuses
        values it has no way to compute.
    entries : (config, base) → an :class:`Entry` for each parameter of that model, in the model's shapes.
        ``base`` stands before the names: "transformer." in a checkpoint of a whole language model, "" in one
        of its body alone.
    bases : the prefixes there are, the most usual first; that is the one that is written.
    ignored : regular expressions of names, with or without base, that hold no parameters of the model: masks,
        position ids, heads it has no use for.
    tied : (config, base) → names that repeat another tensor: {the copy: the one it repeats}.
    renamed : (pattern, replacement) for old spellings of names: gamma for weight.
    describe : model → config.json, or :class:`Unfit`.
    unwritten : keys of that for ``entries`` alone, which a config.json must not have.
    """

    model_types: tuple[str, ...]
    model: str | tuple[str, ...]
    build: Callable[[Config, str], Module]
    entries: Callable[[Config, str], Iterable[Entry]]
    describe: Callable[[Any], dict[str, Any]]
    bases: tuple[str, ...] = ("",)
    ignored: tuple[str, ...] = ()
    tied: Callable[[Config, str], Mapping[str, str]] = field(default=lambda config, base: {})
    renamed: tuple[tuple[str, str], ...] = ()
    unwritten: tuple[str, ...] = ()

    def base_of(self, names: Iterable[str]) -> str:
        """The prefix of a checkpoint's names: the first that any of them begins with."""
        names = list(names)
        for base in self.bases:
            if base and any(name.startswith(base) for name in names):
                return base
        return "" if "" in self.bases else self.bases[0]


def register(family: Family) -> None:
    """Make a family known that is not in ``families/``; one of the same model_type gives way."""
    for name in family.model_types:
        _REGISTERED[name] = family


def model_types() -> list[str]:
    """Every model_type that is read."""
    return sorted({*_MODULES, *_REGISTERED})


def family_of(model_type: str) -> Family | None:
    """The family of a model_type, or None."""
    from importlib import import_module

    if model_type not in _REGISTERED and model_type in _MODULES:
        found: Family = import_module(f"{__package__}.families.{_MODULES[model_type]}").FAMILY
        return found
    return _REGISTERED.get(model_type)


def families_of(model: str) -> list[Family]:
    """The families whose models are of this class."""
    found: list[Family] = []
    for name in model_types():
        family = family_of(name)
        if family is None or family in found:
            continue
        if model in (family.model if isinstance(family.model, tuple) else (family.model,)):
            found.append(family)
    return found

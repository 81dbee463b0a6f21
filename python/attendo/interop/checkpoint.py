"""Hugging Face folders: config.json and model.safetensors in, a model out; and back.

1. config.json names the family, and so the parameters and their shapes.
2. Each is looked for among the tensors. What is missing, left over or of another shape is listed.
3. Only then is the model built, and each tensor read to its place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Module, _NoDraws
from .._files import read_json, read_text, written_whole
from .config import Config
from .entries import Array, Entry
from .family import Family, Unfit, families_of, family_of, model_types
from .generation import NAME as GENERATION
from .generation import read_generation_config
from .safetensors_files import Weights, Writable, open_folder, write_folder

if TYPE_CHECKING:
    from .._typing import FloatDType, PathLike

_CONFIG = "config.json"
_CONFIG_LIMIT = 4 << 20
_TOKENIZER_FILES = ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
_SHOWN = 200  # names in a message; the report has all


@dataclass
class LoadReport:
    """What of a checkpoint went where.

    Attributes
    ----------
    missing : names of tensors that the model needs and the checkpoint has not: as drawn.
    unexpected : names of tensors that the checkpoint has and the model does not need.
    ignored : names of tensors that hold no parameters (masks, position ids) or repeat another.
    mismatched : sentences about tensors whose shape or type does not fit.
    """

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)


class CheckpointError(ValueError):
    """A checkpoint does not fit its config; ``report`` has every name."""

    def __init__(self, message: str, report: LoadReport) -> None:
        super().__init__(message)
        self.report = report


def _listed(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more (error.report lists them)" if len(names) > _SHOWN else ""
    return f"\n  {what}: {', '.join(names[:_SHOWN])}{more}"


# --------------------------------------------------------------------------------------------------- reading


def _renamed(family: Family, weights: Weights) -> dict[str, str]:
    """The tensors' names in today's spelling, with those they have in the file."""
    names: dict[str, str] = {}
    for stored in weights.tensors:
        name = stored
        for pattern, replacement in family.renamed:
            name = re.sub(pattern, replacement, name)
        if name in names:
            raise ValueError(
                f"load_pretrained: {weights.source!r} has {names[name]!r} and {stored!r}, which are one"
            )
        names[name] = stored
    return names


def _same_numbers(weights: Weights, a: str, b: str) -> bool:
    one, two = weights.tensors[a], weights.tensors[b]
    if one.shape != two.shape or not (one.is_float and two.is_float):
        return False
    return bool(np.array_equal(weights.read(a), weights.read(b), equal_nan=True))


def _planned(
    family: Family, config: Config, base: str, weights: Weights, names: Mapping[str, str]
) -> tuple[list[Entry], LoadReport]:
    """The entries of a model, each looked for; given up where the config describes far more."""
    entries: list[Entry] = []
    report = LoadReport()
    used: set[str] = set()
    described, held = 0, weights.numbers
    for entry in family.entries(config, base):
        entries.append(entry)
        described += math.prod(entry.shape)
        for name, shape in entry.theirs:
            if name not in names:
                report.missing.append(name)
                continue
            used.add(name)
            tensor = weights.tensors[names[name]]
            if tensor.shape != shape:
                report.mismatched.append(f"{name} is {tensor.shape} but must be {shape}")
            elif not tensor.is_float:
                report.mismatched.append(f"{name} has numbers of type {tensor.dtype} but must have floats")
        if len(report.missing) > 1000 + len(names):
            raise ValueError(
                f"{config.where}: it describes a model of more than {len(entries)} parameters, but "
                f"{weights.source!r} holds {len(names)} tensors"
            )
    # A head or two that the checkpoint has not may be drawn; more than it holds may not.
    if not report.mismatched and described > 2 * held + (1 << 20):
        report.mismatched.append(f"config.json describes {described} numbers, the tensors hold {held}")
    tied = dict(family.tied(config, base))
    known = [re.compile(f"(?:{re.escape(base)})?(?:{pattern})") for pattern in family.ignored]
    for name in names:
        if name in used:
            continue
        other = tied.get(name)
        repeats = other is not None and other in names and _same_numbers(weights, names[name], names[other])
        (report.ignored if repeats or any(p.fullmatch(name) for p in known) else report.unexpected).append(
            name
        )
    return entries, report


def _fill(model: Module, entries: Iterable[Entry], weights: Weights, names: Mapping[str, str]) -> None:
    places = {
        name: value._numpy_writeable() for name, value in (*model.named_parameters(), *model.named_buffers())
    }
    described = {entry.ours: entry.shape for entry in entries}
    if described != {name: value.shape for name, value in places.items()}:
        wrong = sorted(described.items() ^ {name: value.shape for name, value in places.items()}.items())
        raise RuntimeError(f"load_pretrained: the family and the model differ in {wrong[:10]}")
    for entry in entries:
        place = places[entry.ours]
        if entry.value is not None:
            place[...] = entry.value
        for (name, _), part in zip(entry.theirs, entry.parts(place), strict=True):
            if name not in names:
                continue
            if part.flags.c_contiguous:
                weights.read_into(names[name], part)
            else:
                part[...] = weights.read(names[name])


def read_config(folder: Path) -> tuple[Family, Config]:
    """The family and the config of a folder."""
    values = read_json("load_pretrained", folder, _CONFIG, _CONFIG_LIMIT)
    config = Config(values, f"load_pretrained: {str(folder / _CONFIG)!r}")
    model_type = values.get("model_type")
    family = family_of(model_type) if isinstance(model_type, str) else None
    if family is None:
        config.wrong("model_type", "one of " + ", ".join(map(repr, model_types())))
    return family, config


def load_pretrained(
    folder: PathLike, *, dtype: FloatDType = "float32", strict: bool = True, tokenizer: bool = True
) -> Module:
    """See :func:`attendo.models.load_pretrained`."""
    folder = Path(folder)
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"load_pretrained: dtype is {kind} but must be float32 or float64")
    if not folder.is_dir():
        raise FileNotFoundError(f"load_pretrained: there is no folder {str(folder)!r}; nothing is downloaded")
    family, config = read_config(folder)
    weights = open_folder("load_pretrained", folder)
    names = _renamed(family, weights)
    config.tensors = frozenset(names)
    base = family.base_of(names)
    entries, report = _planned(family, config, base, weights, names)
    if report.mismatched or (strict and (report.missing or report.unexpected)):
        raise CheckpointError(
            f"load_pretrained: {weights.source!r} does not fit {str(folder / _CONFIG)!r}:"
            + _listed("of another shape or type", report.mismatched)
            + _listed("missing", report.missing)
            + _listed("unexpected", report.unexpected)
            + ("" if report.mismatched else "\nstrict=False loads what there is"),
            report,
        )
    generation = read_generation_config("load_pretrained", folder, config)
    try:
        # To draw parameters takes longer than to read them; what is missing is drawn.
        with nullcontext() if report.missing else _NoDraws():
            model = family.build(config, kind.name)
    except (TypeError, ValueError) as error:
        message = str(error)
        if message.startswith(config.where):
            raise
        raise ValueError(f"{config.where}: {message}") from None
    _fill(model, entries, weights, names)
    model.load_report = report
    model.generation_config = generation
    model.pretrained_config = config.values
    if type(model).__name__ == "TextEncoder":
        from .sentence_files import read_sentence_config

        model.sentence_config = read_sentence_config(folder)
    if tokenizer:
        from .._text.of_folder import tokenizer_of

        model.tokenizer = tokenizer_of(folder)
        model.tokenizer_files = tokenizer_files("load_pretrained", folder)
    return model.eval()


def tokenizer_files(call: str, folder: Path) -> dict[str, str]:
    """The files beside a tokenizer that say how it is used: carried along, read by transformers alone."""
    texts: dict[str, str] = {}
    for name in _TOKENIZER_FILES:
        if (folder / name).exists() or (folder / name).is_symlink():
            where, data = read_text(call, folder, name, _CONFIG_LIMIT)
            try:
                texts[name] = data.decode("utf-8")
            except UnicodeDecodeError:
                raise ValueError(f"{call}: {where} is not UTF-8") from None
    return texts


# --------------------------------------------------------------------------------------------------- writing


def _described(model: Module) -> tuple[Family, dict[str, Any]]:
    """The family that can say what the model is, and its config.json."""
    loaded: dict[str, Any] = getattr(model, "pretrained_config", {})
    if not loaded:  # or transformers would take the ids of the model that its defaults are of
        generation: dict[str, Any] = getattr(model, "generation_config", {})
        loaded = {key: generation.get(key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    known = families_of(type(model).__name__)
    before = family_of(loaded.get("model_type", ""))
    if before is not None and before in known:
        known = [before]
    reasons = []
    for family in known:
        try:
            kept = {key: value for key, value in loaded.items() if key != "torch_dtype"}
            return family, {**kept, **family.describe(model), "dtype": model.parameters()[0].dtype.name}
        except Unfit as error:
            reasons.append(f"\n  {family.model_types[0]}: {error}")
    if not known:
        raise ValueError(
            f"save_pretrained: no family of checkpoints holds a {type(model).__name__}; "
            "use model.save, which holds any"
        )
    raise ValueError(
        "save_pretrained: no family of checkpoints can say what this model is:" + "".join(reasons)
    )


def _size(value: int | str) -> int:
    """Bytes: a number of them, or "5GB"."""
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{1,9})([KMG]B)", value)):
        value = int(match[1]) * units[match[2]]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(
            f'save_pretrained: max_shard_size is {value!r} but must be bytes, as 5000000 or "5MB"'
        )
    return value


def save_pretrained(self: Module, folder: PathLike, *, max_shard_size: int | str = "5GB") -> None:
    """See :meth:`attendo.models.DecoderLM.save_pretrained`."""
    import json

    from ..peft._pieces import pieces_of

    room = _size(max_shard_size)
    if pieces_of(self):
        raise ValueError(
            "save_pretrained: the model has low-rank updates, prefixes or adapters, for which a checkpoint "
            "has no place: attendo.peft.merge or remove them, or use model.save"
        )
    family, described = _described(self)
    config = Config(described, "save_pretrained: the config")
    parameters = {name: value.numpy() for name, value in (*self.named_parameters(), *self.named_buffers())}
    tensors: list[Writable] = []
    for entry in family.entries(config, family.bases[0]):
        value = parameters[entry.ours]
        if entry.value is not None and not bool(np.all(value == entry.value)):
            raise ValueError(
                f"save_pretrained: {entry.ours!r} has no place in a checkpoint of {family.model_types[0]!r}, "
                f"where it is {entry.value}; here it is not: use model.save, which holds any"
            )
        for i, (name, shape) in enumerate(entry.theirs):

            def part(entry: Entry = entry, value: Array = value, i: int = i) -> Array:
                return entry.parts(value)[i]

            tensors.append(Writable(name, value.dtype, shape, part))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_folder(folder, tensors, room)
    generation: dict[str, Any] = getattr(self, "generation_config", {})
    written = {key: value for key, value in config.values.items() if key not in family.unwritten}
    for name, values in ((_CONFIG, written), (GENERATION, generation)):
        if values:
            with written_whole(folder / name) as file:
                file.write((json.dumps(values, indent=2, sort_keys=True) + "\n").encode())
    if tokenizer := getattr(self, "tokenizer", None):
        tokenizer.save(folder)
    for name, text in getattr(self, "tokenizer_files", {}).items():
        with written_whole(folder / name) as file:
            file.write(text.encode())

"""A family of checkpoints as small as can be, for a tower of linear layers; and folders that hold one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

import attendo as at
from attendo.interop import checkpoint
from attendo.interop.config import Config
from attendo.interop.entries import Entry, constant, linear, norm, stacked, transposed
from attendo.interop.family import Family, Unfit, register


class ToyTower(at.nn.Module):
    """A table, a norm, and linear layers; the middle ones have biases that checkpoints know nothing of."""

    def __init__(self, width: int, floors: int, words: int, dtype: str = "float32") -> None:
        super().__init__()
        self.width, self.words = width, words
        self.table = at.nn.Embedding(words, width, dtype=dtype, seed=0)
        self.norm = at.nn.LayerNorm(width, dtype=dtype)
        self.floors = at.nn.ModuleList(
            [at.nn.Linear(width, 2 * width, dtype=dtype, seed=0) for _ in range(floors)]
        )
        self.roof = at.nn.Linear(width, 3 * width, dtype=dtype, seed=0)

    save_pretrained = checkpoint.save_pretrained


def _build(config: Config, dtype: str) -> at.nn.Module:
    config.choice("hidden_act", {"relu": "relu", "gelu": "gelu"}, "relu")
    config.only("scale_attn_weights", True)
    return ToyTower(config.integer("width"), config.integer("floors", 1, 0), config.integer("words"), dtype)


def _entries(config: Config, base: str) -> Iterator[Entry]:
    width = config.integer("width")
    yield transposed("table.weight", f"{base}wte.weight", (config.integer("words"), width))
    yield from norm("norm", f"{base}ln", width)
    for i in range(config.integer("floors", 1, 0)):
        yield stacked(
            f"floors.{i}.weight",
            {f"{base}floors.{i}.a.weight": width, f"{base}floors.{i}.b.weight": width},
            (width,),
        )
        yield constant(f"floors.{i}.bias", 0.0, (2 * width,))
    yield from linear("roof", "roof", 3 * width, width)


def _describe(model: ToyTower) -> dict[str, Any]:
    if model.width == 13:
        raise Unfit("width is 13")
    return {"model_type": "toy", "width": model.width, "floors": len(model.floors), "words": model.words}


FAMILY = Family(
    model_types=("toy", "toys"),
    model="ToyTower",
    build=_build,
    entries=_entries,
    describe=_describe,
    bases=("tower.", ""),
    ignored=(r"floors\.\d+\.mask",),
    tied=lambda config, base: {"copy.weight": f"{base}wte.weight"},
    renamed=((r"ln\.gamma$", "ln.weight"), (r"ln\.beta$", "ln.bias")),
)
register(FAMILY)

CONFIG = {"model_type": "toy", "width": 4, "floors": 2, "words": 6}


def toy_tensors(base: str = "tower.", seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        f"{base}wte.weight": (4, 6),
        f"{base}ln.weight": (4,),
        f"{base}ln.bias": (4,),
    }
    shapes.update({f"{base}floors.{i}.{part}.weight": (4, 4) for i in range(2) for part in "ab"})
    shapes.update({"roof.weight": (12, 4), "roof.bias": (12,)})
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def toy_folder(folder: Path, tensors: dict[str, Any] | None = None, **config: Any) -> Path:
    """A whole checkpoint; ``config`` goes over CONFIG."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    save_file(toy_tensors() if tensors is None else tensors, folder / "model.safetensors")
    return folder

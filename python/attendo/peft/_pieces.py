"""What is attached to a model, as a description that goes into files, and from there back onto a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import _core
from .._core import Adapter, KVPrefix, LoRA, Module, MultiHeadAttention

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Piece: TypeAlias = dict[str, Any]

# Of each kind: what its description holds besides kind and module; and the parameter whose rows are its size.
_FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "lora": {"matrix": str, "rank": int, "alpha": (int, float), "dropout": (int, float)},
    "prefix": {"length": int},
    "adapter": {"bottleneck": int, "activation": str},
}
_SIZES = {"lora": ("rank", "A"), "prefix": ("length", "key"), "adapter": ("bottleneck", "down_weight")}


def _piece_of(path: str, name: str, owner: Module, child: Module) -> Piece | None:
    where: Piece = {"module": path}
    if isinstance(child, LoRA):
        where |= {"kind": "lora", "matrix": child.matrix, "rank": child.rank}
        return where | {"alpha": child.alpha, "dropout": child.dropout}
    if isinstance(child, KVPrefix) and name == "prefix" and isinstance(owner, MultiHeadAttention):
        return where | {"kind": "prefix", "length": child.length}
    if isinstance(child, Adapter) and name == "adapter":
        return where | {"kind": "adapter", "bottleneck": child.bottleneck, "activation": child.activation}
    return None


def child_name(piece: Piece) -> str:
    """The name of the module that a piece is."""
    if piece["kind"] != "lora":
        return str(piece["kind"])
    return str(piece["matrix"]).removesuffix("weight").removesuffix("proj_") + "lora"


def child_path(piece: Piece) -> str:
    """Its path in the model."""
    return f"{piece['module']}.{child_name(piece)}".lstrip(".")


def pieces_of(model: Module) -> list[Piece]:
    """What is attached, in the order of the modules."""
    found = []
    for path, owner in model.named_modules():
        for name, child in owner.named_children():
            piece = _piece_of(path, name, owner, child)
            if piece is not None:
                found.append(piece)
    return found


def own_parameters(model: Module, pieces: list[Piece]) -> list[str]:
    """Names of the parameters that the pieces brought."""
    paths = tuple(child_path(piece) + "." for piece in pieces)
    return [name for name, _ in model.named_parameters() if name.startswith(paths)] if paths else []


def attach(call: str, model: Module, pieces: list[Piece], seed: int | None = None) -> None:
    """Attach them all, or none."""
    modules = dict(model.named_modules())
    done: list[Piece] = []
    try:
        for place, piece in enumerate(pieces):
            owner = modules.get(piece["module"])
            if owner is None:
                raise ValueError(f"{call}: the model has no module {piece['module']!r}")
            if piece["kind"] == "lora":
                numbers = (piece["rank"], piece["alpha"], piece["dropout"])
                _core._attach_lora(owner, piece["matrix"], *numbers, seed, place)
            elif piece["kind"] == "prefix":
                if not isinstance(owner, MultiHeadAttention):
                    raise ValueError(f"{call}: {piece['module']!r} is no MultiHeadAttention")
                _core._attach_prefix(owner, piece["length"], seed, place)
            else:
                _core._attach_adapter(owner, piece["bottleneck"], piece["activation"], seed, place)
            done.append(piece)
    except Exception:
        detach(model, done)
        raise


def detach(model: Module, pieces: list[Piece], *, merge: bool = False) -> None:
    """Take them off; `merge` adds low-rank updates to their matrices first."""
    modules = dict(model.named_modules())
    for piece in pieces:
        owner = modules[piece["module"]]
        if piece["kind"] == "lora":
            _core._detach_lora(owner, piece["matrix"], merge)
        else:
            _core._detach(owner, piece["kind"])


def described(model: Module) -> dict[str, Any] | None:
    """What a file says of a model: its pieces, and the other parameters that train. None without pieces."""
    pieces = pieces_of(model)
    if not pieces:
        return None
    own = set(own_parameters(model, pieces))
    trained = [name for name, value in model.named_parameters() if value.requires_grad and name not in own]
    return {"pieces": pieces, "trainable": trained}


def _checked_piece(piece: object, state: Mapping[str, NDArray[np.generic]]) -> Piece:
    """A description from a file, which may hold anything; sizes must be those of the file's own tensors."""
    fields = _FIELDS.get(str(piece.get("kind"))) if isinstance(piece, dict) else None
    if not isinstance(piece, dict) or fields is None or set(piece) != {"kind", "module", *fields}:
        raise ValueError(f"{piece!r} describes nothing that could be attached")
    for name, kind in {"module": str, **fields}.items():
        if not isinstance(piece[name], kind) or isinstance(piece[name], bool):
            raise ValueError(f"{name} of {piece!r} is of another type")
    size, parameter = _SIZES[piece["kind"]]
    name = f"{child_path(piece)}.{parameter}"
    shape = state[name].shape if name in state else ()
    if len(shape) != 2 or shape[0] != piece[size]:
        raise ValueError(f"{size} of {piece!r} is not that of {name!r}, which has shape {shape}")
    return piece


def restore(call: str, model: Module, description: object, state: Mapping[str, NDArray[np.generic]]) -> None:
    """Attach what a file describes, whose tensors are `state`; only that and what it names trains then.

    Raises
    ------
    ValueError
        When the description is damaged, or does not fit the model or the tensors.
    """
    if not isinstance(description, dict) or set(description) != {"pieces", "trainable"}:
        raise ValueError("it does not say what to attach")
    given, trained = description["pieces"], description["trainable"]
    if not isinstance(given, list) or not isinstance(trained, list):
        raise ValueError("it does not say what to attach")
    pieces = [_checked_piece(piece, state) for piece in given]
    known = {name for name, _ in model.named_parameters()}
    for name in trained:
        if not isinstance(name, str) or name not in known:
            raise ValueError(f"it names {name!r}, which the model does not have")
    attach(call, model, pieces)
    only_train(model, pieces, trained)


def only_train(model: Module, pieces: list[Piece], others: list[str]) -> None:
    """Freeze all but the pieces and the other parameters named."""
    wanted = {*own_parameters(model, pieces), *others}
    for name, value in model.named_parameters():
        value.requires_grad = name in wanted

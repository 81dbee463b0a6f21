"""safetensors: one file or several with an index, read one tensor at a time.

A file is 8 bytes that say how long the header is, the header, which is JSON, and the numbers:

    {"weight": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}, "__metadata__": {...}}

The safetensors library checks the header: ranges that overlap, leave a gap or leave the file do not pass
it. What NumPy has no type for is widened here. No more than a tensor and a buffer are ever in memory.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._files import file_in, parse_json, read_json, written_whole

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_HEADER_LIMIT = 32 << 20
_BUFFER = 4 << 20

# How the numbers lie in the file. BF16 is the upper half of a float32.
_STORED = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
_FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def is_float(self) -> bool:
        return self.dtype in _FLOATS


class Weights:
    """The tensors of a folder (or of one file), by name: known when it is opened, read when asked for."""

    def __init__(self, call: str, tensors: dict[str, Stored], source: str) -> None:
        self._call = call
        self.tensors = tensors
        self.source = source

    @property
    def numbers(self) -> int:
        """How many numbers all tensors have together."""
        return sum(tensor.size for tensor in self.tensors.values())

    def read(self, name: str) -> NDArray[Any]:
        """A tensor: float16 and bfloat16 as float32, all else in its own type."""
        tensor = self.tensors[name]
        kind = (
            np.float32
            if tensor.dtype in ("F16", "BF16")
            else np.dtype(_STORED[tensor.dtype]).newbyteorder("=")
        )
        out = np.empty(tensor.shape, kind)
        self.read_into(name, out)
        return out

    def read_into(self, name: str, out: NDArray[Any]) -> None:
        """Write a tensor into ``out``, a contiguous array of its shape, converted to its type."""
        tensor = self.tensors[name]
        if out.shape != tensor.shape or not out.flags.c_contiguous:
            raise ValueError(
                f"{self._call}: {name!r} has shape {tensor.shape} but {out.shape} is to be filled"
            )
        stored = np.dtype(_STORED[tensor.dtype])
        flat = out.reshape(-1)
        step = max(1, _BUFFER // stored.itemsize)
        # Numbers that are as they will be go straight to their place.
        direct = stored == flat.dtype and tensor.dtype != "BF16"
        buffer = flat if direct else np.empty(min(step, tensor.size), stored)
        with open(tensor.path, "rb", buffering=0) as file:
            file.seek(tensor.offset)
            for begin in range(0, tensor.size, step):
                end = min(begin + step, tensor.size)
                part = buffer[begin:end] if direct else buffer[: end - begin]
                self._fill(file, part.data.cast("B"), tensor)
                if not direct:
                    flat[begin:end] = _widened(part) if tensor.dtype == "BF16" else part

    def _fill(self, file: Any, room: memoryview, tensor: Stored) -> None:
        done = 0
        while done < len(room):
            got = file.readinto(room[done:])
            if not got:
                raise ValueError(f"{self._call}: {str(tensor.path)!r} ends inside of {tensor.name!r}")
            done += got


def _widened(half: NDArray[Any]) -> NDArray[np.float32]:
    """bfloat16, held as uint16, in float32: 16 zero bits behind it."""
    return (half.astype(np.uint32) << np.uint32(16)).view(np.float32)


def open_file(call: str, path: Path) -> dict[str, Stored]:
    """The tensors of one file.

    Raises
    ------
    ValueError
        When the file is not a whole safetensors file, or holds numbers of a type that is not read.
    """
    from safetensors import SafetensorError, safe_open

    whole = f"{call}: {str(path)!r} is not a whole safetensors file"
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = os.fstat(file.fileno()).st_size
        if size < 8 or length > size - 8:
            raise ValueError(f"{whole}: its header would be {length} bytes long, the file is {size}")
        if length > _HEADER_LIMIT:
            raise ValueError(f"{whole}: its header is {length} bytes long, more than {_HEADER_LIMIT}")
        text = file.read(length)
    try:
        with safe_open(path, framework="numpy") as reader:
            slices = {name: reader.get_slice(name) for name in reader.keys()}
            known = {name: (s.get_dtype(), tuple(s.get_shape())) for name, s in slices.items()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{whole}: {error}") from None
    header = parse_json(call, f"the header of {str(path)!r}", text)
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        dtype, shape = entry["dtype"], tuple(entry["shape"])
        if known.get(name) != (dtype, shape):
            raise ValueError(f"{whole}: its header can be read in two ways at {name!r}")
        if dtype not in _STORED:
            raise ValueError(
                f"{call}: {str(path)!r}: {name!r} has numbers of type {dtype}, which is not read; save it as "
                "F32, F16 or BF16"
            )
        tensors[name] = Stored(name, dtype, shape, path, 8 + length + entry["data_offsets"][0])
    if tensors.keys() != known.keys():
        raise ValueError(f"{whole}: its header can be read in two ways")
    return tensors


def open_folder(call: str, folder: Path) -> Weights:
    """The tensors of model.safetensors, or of the files that model.safetensors.index.json lists."""
    if os.path.lexists(folder / SINGLE):
        path = file_in(call, folder, SINGLE)
        return Weights(call, open_file(call, path), str(path))
    if os.path.lexists(folder / INDEX):
        return Weights(call, _open_shards(call, folder), str(folder / INDEX))
    pickled = sorted(p.name for p in folder.glob("pytorch_model*.bin*"))
    if pickled:
        raise ValueError(
            f"{call}: {str(folder)!r} has {pickled[0]} and no {SINGLE}: a .bin file is a pickle, which may "
            "run any code when it is read, so it is not. Where you trust it, convert it with transformers: "
            "AutoModel.from_pretrained(folder).save_pretrained(new_folder)"
        )
    raise FileNotFoundError(f"{call}: {str(folder)!r} has neither {SINGLE} nor {INDEX}")


def _open_shards(call: str, folder: Path) -> dict[str, Stored]:
    where = repr(str(folder / INDEX))
    listed = read_json(call, folder, INDEX, _HEADER_LIMIT).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise ValueError(f"{call}: {where} has no 'weight_map' from names of tensors to names of files")
    wrong = next((name for name, shard in listed.items() if not isinstance(shard, str)), None)
    if wrong is not None:
        raise ValueError(f"{call}: {where}: the file of {wrong!r} is {listed[wrong]!r} but must be a name")
    tensors: dict[str, Stored] = {}
    shards = {shard: file_in(call, folder, shard) for shard in sorted(set(listed.values()))}
    for shard, path in shards.items():
        for name, tensor in open_file(call, path).items():
            if listed.get(name) != shard:
                other = listed.get(name, "nowhere")
                raise ValueError(f"{call}: {where} says that {name!r} is in {other}, but it is in {shard}")
            tensors[name] = tensor
    absent = [name for name in listed if name not in tensors]
    if absent:
        raise ValueError(
            f"{call}: {where} says that {absent[0]!r} is in {listed[absent[0]]}, but it is not"
            + (f"; nor are {len(absent) - 1} others where it says" if len(absent) > 1 else "")
        )
    return tensors


# --------------------------------------------------------------------------------------------------- writing


@dataclass(frozen=True)
class Writable:
    """A tensor to write: its type and shape, and a function that gives it when its turn comes."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    value: Callable[[], NDArray[Any]]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


_WRITTEN = {np.dtype(np.float32): "F32", np.dtype(np.float64): "F64"}


def write_file(path: Path, tensors: Iterable[Writable], metadata: dict[str, str]) -> None:
    """Write one file, a tensor at a time."""
    import json

    tensors = list(tensors)
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for tensor in tensors:
        begin, end = end, end + tensor.nbytes
        entry = {"dtype": _WRITTEN[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
        header[tensor.name] = entry
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with written_whole(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            value = np.asarray(tensor.value(), tensor.dtype.newbyteorder("<"), order="C")
            if value.shape != tensor.shape:
                raise ValueError(f"{tensor.name!r} has shape {value.shape} but {tensor.shape} was announced")
            file.write(value.reshape(-1).data.cast("B") if value.size else b"")


def write_folder(folder: Path, tensors: list[Writable], max_shard_size: int) -> None:
    """Write model.safetensors, or several files and their index where one would be longer than said."""
    import json

    shards: list[list[Writable]] = [[]]
    room = max_shard_size
    for tensor in tensors:
        if shards[-1] and tensor.nbytes > room:
            shards.append([])
            room = max_shard_size
        shards[-1].append(tensor)
        room -= tensor.nbytes
    count = len(shards)
    names = (
        [SINGLE] if count == 1 else [f"model-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)]
    )
    for name, shard in zip(names, shards, strict=True):
        write_file(folder / name, shard, {"format": "pt"})
    if count > 1:
        total = sum(tensor.nbytes for tensor in tensors)
        weight_map = {t.name: name for name, shard in zip(names, shards, strict=True) for t in shard}
        text = json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2)
        with written_whole(folder / INDEX) as file:
            file.write(text.encode())
    # What an earlier model left: a reader would take one file for the whole, or the old shards.
    stale = [folder / INDEX] if count == 1 else [folder / SINGLE]
    stale += [p for p in folder.glob("model-?????-of-?????.safetensors") if p.name not in names]
    for path in stale:
        path.unlink(missing_ok=True)

"""Checkpoints of a run: one safetensors file each, whole or not there, with a checksum of all that is in it.

A file ``checkpoint-0000001200.safetensors`` (the optimizer's steps) holds

    model.*  loss.*  optimizer.*     every tensor a Trainer changes
    state.*                          arrays of the run: its history, what callbacks keep
    sha256                           of the table of tensors, the JSON and the bytes before it
    attendo_checkpoint               in the header, JSON: settings, where the run stands, what callbacks know

It is written to a ``.partial`` file, synced, and renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from .. import _core

_KEY = "attendo_checkpoint"
_FORMAT = 1
_CHECKSUM = "sha256"
_CHUNK = 1 << 22
_DTYPES = {
    "bool": "BOOL", "float16": "F16", "float32": "F32", "float64": "F64",
    "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64",
}  # fmt: skip
_numbers = count()  # of files begun, so that no two are written to the same place
_PREFIX, _SUFFIX = "checkpoint-", ".safetensors"


def checkpoint_name(steps: int) -> str:
    """The file of a run that has made so many steps."""
    return f"{_PREFIX}{steps:010d}{_SUFFIX}"


def checkpoints_in(folder: Path) -> list[Path]:
    """All checkpoints of a folder, the newest first."""
    return sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}"), reverse=True)


def without_arrays(value: Any, arrays: dict[str, NDArray[Any]], name: str = "state") -> Any:
    """The value with its arrays taken out of it into ``arrays``: what is left can be written as JSON.

    Raises
    ------
    TypeError
        When it holds something that is neither an array nor JSON.
    """
    if isinstance(value, np.ndarray):
        if value.dtype.name not in _DTYPES:
            raise TypeError(f"checkpoint: {name} has dtype {value.dtype}, which a checkpoint cannot hold")
        arrays[name] = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
        return {"array": name}
    if isinstance(value, np.generic) and isinstance(value.item(), (bool, int, float, str)):
        value = value.item()
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"checkpoint: {name} has the key {key!r} but keys must be text")
        return {"dict": {k: without_arrays(v, arrays, f"{name}.{k}") for k, v in value.items()}}
    if isinstance(value, (list, tuple)):
        return {"list": [without_arrays(v, arrays, f"{name}.{i}") for i, v in enumerate(value)]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    raise TypeError(f"checkpoint: {name} is a {type(value).__name__}, which a checkpoint cannot hold")


def with_arrays(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """What :func:`without_arrays` was given."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((kind, inner),) = value.items()
    if kind == "array":
        return arrays[inner]
    if kind == "dict":
        return {k: with_arrays(v, arrays) for k, v in inner.items()}
    if kind == "list":
        return [with_arrays(v, arrays) for v in inner]
    return inner


class Contents:
    """What goes into a file: entries as of :class:`attendo._core.Snapshot`, their bytes, and a state."""

    def __init__(self, entries: list[Any], snapshot: _core.Snapshot, state: dict[str, Any]) -> None:
        self._snapshot, data = snapshot, snapshot.data  # whose memory it is
        arrays: dict[str, NDArray[Any]] = {}
        plain = without_arrays(state, arrays)
        table: dict[str, Any] = {}
        for name, dtype, shape, begin, end in entries:
            table[name] = {"dtype": _DTYPES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
        self._parts = [data]
        end = data.nbytes
        for name, array in sorted(arrays.items(), key=lambda item: -item[1].itemsize):
            table[name] = {
                "dtype": _DTYPES[array.dtype.name],
                "shape": list(array.shape),
                "data_offsets": [end, end + array.nbytes],
            }
            end += array.nbytes
            self._parts.append(memoryview(array.tobytes()))
        table[_CHECKSUM] = {"dtype": "U8", "shape": [32], "data_offsets": [end, end + 32]}
        metadata = {_KEY: json.dumps({"format": _FORMAT, "state": plain}, allow_nan=True)}
        header = json.dumps({"__metadata__": metadata, **table}).encode()
        header += b" " * (-len(header) % 8)
        self._head = len(header).to_bytes(8, "little") + header

    def chunks(self) -> Iterator[memoryview | bytes]:
        """The bytes of the file, in pieces."""
        digest = hashlib.sha256(self._head)
        yield self._head
        for part in self._parts:
            for begin in range(0, part.nbytes, _CHUNK):
                piece = part[begin : begin + _CHUNK]
                digest.update(piece)
                yield piece
        yield digest.digest()


class ModelContents:
    """What ``model.save`` would write, out of the same copy."""

    def __init__(self, entries: list[Any], snapshot: _core.Snapshot, metadata: dict[str, str]) -> None:
        self._snapshot, data = snapshot, snapshot.data  # whose memory it is
        table: dict[str, Any] = {}
        self._parts = []
        end = 0
        for name, dtype, shape, first, last in entries:
            if name.startswith("model."):
                size = last - first
                table[name.removeprefix("model.")] = {
                    "dtype": _DTYPES[dtype],
                    "shape": list(shape),
                    "data_offsets": [end, end + size],
                }
                self._parts.append(data[first:last])
                end += size
        header = json.dumps({"__metadata__": metadata, **table}).encode()
        header += b" " * (-len(header) % 8)
        self._head = len(header).to_bytes(8, "little") + header

    def chunks(self) -> Iterator[memoryview | bytes]:
        """The bytes of the file, in pieces."""
        yield self._head
        yield from self._parts


def write(path: Path, contents: Contents | ModelContents) -> None:
    """Write a file whole, or leave what was there.

    Raises
    ------
    OSError
        When it cannot be written; nothing of it is left then.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}-{next(_numbers)}.partial")
    try:
        with open(partial, "wb", buffering=0) as file:
            for chunk in contents.chunks():
                view = memoryview(chunk)
                while view.nbytes:
                    view = view[file.write(view) :]
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # no such thing as opening a folder on Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The tensors and the state of a file.

    Raises
    ------
    ValueError
        When it is damaged, or was not written by this package; the message says why.
    OSError
        When it cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no regular file")
    data = path.read_bytes()
    if len(data) < 40 or hashlib.sha256(memoryview(data)[:-32]).digest() != data[-32:]:
        raise ValueError("its checksum does not fit what is in it")
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length].decode()) if 8 + length <= len(data) else None
        if not isinstance(header, dict) or _KEY not in header.get("__metadata__", {}):
            raise ValueError("it is not a whole checkpoint of attendo")
        described = json.loads(header["__metadata__"][_KEY])
        if described.get("format") != _FORMAT:
            raise ValueError("it has a format this version of attendo does not know")
        tensors = load(data)
        state = with_arrays(described["state"], tensors)
    except (
        SafetensorError,
        KeyError,
        TypeError,
        AttributeError,
        UnicodeDecodeError,
        RecursionError,
    ) as error:
        raise ValueError(f"it is not a whole checkpoint of attendo: {error}") from None
    if not isinstance(state, dict):
        raise ValueError("it is not a whole checkpoint of attendo: its state is no object")
    return tensors, state

"""Files from anywhere: read when they are regular files of a sane size, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from ._typing import PathLike


@contextmanager
def written_whole(path: PathLike) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of ``path`` when the block ends well and is gone when not."""
    from pathlib import Path

    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _leads_away(path: Path, folder: Path) -> bool:
    """Whether a link leaves the folder, other than for the blobs of the Hugging Face cache it lies in."""
    home, real = folder.resolve(), path.resolve(strict=True)
    if real.is_relative_to(home):
        return False
    # <repository>/snapshots/<revision>/model.safetensors -> <repository>/blobs/<hash>
    return not (home.parent.name == "snapshots" and real.parent == home.parent.parent / "blobs")


def file_in(call: str, folder: Path, name: object) -> Path:
    """The path of a regular file right in the folder.

    Raises
    ------
    FileNotFoundError
        When there is none of that name.
    ValueError
        When the name is no plain file name, or what it names is no regular file or lies elsewhere.
    """
    import stat

    if not isinstance(name, str) or name in ("", ".", "..") or any(c in name for c in "/\\:\0"):
        raise ValueError(f"{call}: {str(folder)!r}: {name!r} is not the plain name of a file in the folder")
    path = folder / name
    try:
        if path.is_symlink() and _leads_away(path, folder):
            raise ValueError(f"{call}: {str(path)!r} is a link that leads out of the folder")
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise FileNotFoundError(f"{call}: there is no file {str(path)!r}") from None
    except (OSError, RuntimeError, UnicodeError) as error:  # a link to itself, a name the system cannot hold
        raise ValueError(f"{call}: {str(path)!r} cannot be read: {error}") from None
    if not stat.S_ISREG(mode):
        raise ValueError(f"{call}: {str(path)!r} is not a regular file")
    return path


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return out


def parse_json(call: str, where: str, text: bytes) -> dict[str, Any]:
    """The object that is written in JSON; a ValueError for anything else."""
    values = _parsed(call, where, text)
    if not isinstance(values, dict):
        raise ValueError(f"{call}: {where} holds a {type(values).__name__} but must hold an object: {{...}}")
    return values


def _parsed(call: str, where: str, text: bytes) -> Any:
    import json

    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_once)
    except RecursionError:
        raise ValueError(f"{call}: {where} is not JSON that can be read: it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{call}: {where} is not JSON that can be read: {error}") from None


def read_json(call: str, folder: Path, name: str, limit: int) -> dict[str, Any]:
    """The object in a file of the folder that is no longer than ``limit`` bytes."""
    return parse_json(call, *read_text(call, folder, name, limit))


def read_json_list(call: str, folder: Path, name: str, limit: int) -> list[Any]:
    """The same, of a list."""
    where, text = read_text(call, folder, name, limit)
    values = _parsed(call, where, text)
    if not isinstance(values, list):
        raise ValueError(f"{call}: {where} holds a {type(values).__name__} but must hold a list: [...]")
    return values


def read_text(call: str, folder: Path, name: str, limit: int) -> tuple[str, bytes]:
    """A file of the folder as an error calls it, and what is in it."""
    path = file_in(call, folder, name)
    with open(path, "rb") as file:
        text = file.read(limit + 1)
    if len(text) > limit:
        raise ValueError(f"{call}: {str(path)!r} is longer than {limit} bytes")
    return repr(str(path)), text

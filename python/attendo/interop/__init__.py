"""Checkpoints of other programs: Hugging Face folders, and PyTorch's state dicts."""

from __future__ import annotations

from .checkpoint import CheckpointError, LoadReport

__all__ = ["CheckpointError", "LoadReport"]


def __dir__() -> list[str]:
    return __all__

"""Checkpoints of other programs: Hugging Face folders, and PyTorch's state dicts.

``attendo.models.load_pretrained`` and ``model.save_pretrained`` read and write folders; here are the errors
they raise, and the way of single state dicts.
"""

from __future__ import annotations

from .checkpoint import CheckpointError, LoadReport
from .torch_state import from_torch, to_torch
from .torch_transformer import TorchTransformer

__all__ = ["CheckpointError", "LoadReport", "TorchTransformer", "from_torch", "to_torch"]


def __dir__() -> list[str]:
    return __all__

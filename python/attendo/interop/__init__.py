"""Other programs: Hugging Face folders, PyTorch's state dicts, scikit-learn's estimators, Flower's clients.

``attendo.models.load_pretrained`` and ``model.save_pretrained`` read and write folders; here are the errors
they raise, and the way of single state dicts. The estimators need the extra ``learn``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._lazy import require
from .checkpoint import CheckpointError, LoadReport
from .flower import FlowerClient, flower_app, flower_parameters, load_flower_parameters
from .torch_state import from_torch, to_torch
from .torch_transformer import TorchTransformer

if TYPE_CHECKING:
    from .estimators import AttentionClassifier, Seq2SeqTransformer, TextClassifier

_ESTIMATORS = ("AttentionClassifier", "Seq2SeqTransformer", "TextClassifier")

__all__ = [
    "AttentionClassifier",
    "CheckpointError",
    "FlowerClient",
    "LoadReport",
    "Seq2SeqTransformer",
    "TextClassifier",
    "TorchTransformer",
    "flower_app",
    "flower_parameters",
    "from_torch",
    "load_flower_parameters",
    "to_torch",
]


def __getattr__(name: str) -> Any:
    if name not in _ESTIMATORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("sklearn", "learn")
    from . import estimators

    return getattr(estimators, name)


def __dir__() -> list[str]:
    return __all__

"""Layers."""

from __future__ import annotations

from typing import Any

from . import _core
from ._core import (
    Activation,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Decoder,
    DecoderLayer,
    Dropout,
    Embedding,
    Encoder,
    EncoderLayer,
    FeedForward,
    Flatten,
    LayerNorm,
    LearnedPositionalEncoding,
    Linear,
    MaxPool2d,
    Module,
    ModuleList,
    MultiHeadAttention,
    PositionalEncoding,
    Sequential,
    SinusoidalPositionalEncoding,
    Tensor,
)
from ._state import save

__all__ = [
    "GELU", "Activation", "BatchNorm1d", "BatchNorm2d", "Conv2d", "Decoder", "DecoderLayer", "Dropout", "Embedding", "Encoder",
    "EncoderLayer", "FeedForward", "Flatten", "LayerNorm", "LearnedPositionalEncoding", "Linear", "MaxPool2d", "Module",
    "ModuleList", "MultiHeadAttention", "Parameter", "PositionalEncoding", "ReLU", "Sequential", "Sigmoid",
    "SinusoidalPositionalEncoding", "Softmax", "Tanh",
]

Module.save = save  # type: ignore[method-assign]


def Parameter(data: Any, dtype: Any = None) -> Tensor:
    """A Tensor that a Module trains once it is assigned to it: a copy of the data that requires a gradient."""
    return _core.tensor(data, dtype, True)


def ReLU() -> Activation:
    """``max(x, 0)`` as a layer."""
    return _core._activation("ReLU")


def GELU() -> Activation:
    """``x Φ(x)`` as a layer."""
    return _core._activation("GELU")


def Tanh() -> Activation:
    """``tanh x`` as a layer."""
    return _core._activation("Tanh")


def Sigmoid() -> Activation:
    """``1 / (1 + exp(-x))`` as a layer."""
    return _core._activation("Sigmoid")


def Softmax() -> Activation:
    """softmax over the last axis as a layer."""
    return _core._activation("Softmax")

"""Models: whole networks, built of the layers in :mod:`attendo.nn`, trained and run in C++."""

from .._core import CnnAttention, FeatureAttention, Transformer

__all__ = ["CnnAttention", "FeatureAttention", "Transformer"]

"""Losses: one number for a batch. They never shift labels and never broadcast."""

from ._core import CrossEntropy, Loss, MeanSquaredError

__all__ = ["CrossEntropy", "Loss", "MeanSquaredError"]

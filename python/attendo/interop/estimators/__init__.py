"""Estimators of scikit-learn: classifiers of numbers and of texts, and a translator.

``attendo.interop.AttentionClassifier``, ``TextClassifier`` and ``Seq2SeqTransformer`` are here; they need
scikit-learn, ``pip install "attendo[learn]"``.
"""

from __future__ import annotations

from .seq2seq import Seq2SeqTransformer
from .tabular import AttentionClassifier
from .text_classifier import TextClassifier

__all__ = ["AttentionClassifier", "Seq2SeqTransformer", "TextClassifier"]

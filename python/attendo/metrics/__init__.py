"""How good predictions are, and what they cost: accuracy, F1, confusion, BLEU, perplexity, time and memory.

Every function takes ``(prediction, target)``, in this order. Precision, recall, F1 and confusion are
scikit-learn's, BLEU and chrF are sacrebleu's: the extra ``learn`` brings both. What stands here are their
traps, removed: padding does not count (``ignore_index=``, ``mask=``), logits and labels are told apart by
their shape and never guessed, and references of BLEU are given by sentence.

>>> import attendo as at
>>> logits = [[2.0, 1.0], [0.5, 3.0], [1.0, 0.0], [4.0, 4.5]]
>>> at.metrics.accuracy(logits, [0, 1, 1, -1], ignore_index=-1)
0.6666666666666666
"""

from __future__ import annotations

from .classification import accuracy, f1, precision, recall, top_k_accuracy
from .confusion import ConfusionMatrix, confusion_matrix
from .perplexity import model_perplexity, perplexity, perplexity_from_loss
from .report import Report, classification_report
from .resources import Resources, measure, resources
from .translation import TextScore, bleu, chrf

__all__ = [
    "ConfusionMatrix",
    "Report",
    "Resources",
    "TextScore",
    "accuracy",
    "bleu",
    "chrf",
    "classification_report",
    "confusion_matrix",
    "f1",
    "measure",
    "model_perplexity",
    "perplexity",
    "perplexity_from_loss",
    "precision",
    "recall",
    "resources",
    "top_k_accuracy",
]


def __dir__() -> list[str]:
    return __all__

"""Robustness: adversarial attacks, training against them, accuracy under noise.

>>> import numpy as np
>>> import attendo as at
>>> rng = np.random.default_rng(0)
>>> x = rng.normal(size=(200, 2)).astype("float32")
>>> y = (x[:, 0] + x[:, 1] > 0).astype(int)
>>> model, loss = at.nn.Linear(2, 2, seed=0), at.losses.CrossEntropy()
>>> history = at.train.Trainer(model, loss, at.optim.Adam(lr=0.1)).fit(x, y, epochs=5, progress=False)
>>> attacked = at.robust.pgd(model, loss, x, y, eps=0.3)
>>> accuracy = lambda x: (model.eval()(x).numpy().argmax(1) == y).mean()
>>> bool(accuracy(x) > 0.95 and accuracy(attacked) < 0.85)
True
"""

from .attacks import FGSM, PGD, fgsm, pgd
from .curve import EvaluationCurve, evaluation_curve
from .embeddings import FGM, EmbeddingPGD
from .picture import curves
from .sensitivity import AttentionSensitivity, attention_sensitivity
from .training import AdversarialTraining, FreeAdversarialTraining

__all__ = [
    "FGM",
    "FGSM",
    "PGD",
    "AdversarialTraining",
    "AttentionSensitivity",
    "EmbeddingPGD",
    "EvaluationCurve",
    "FreeAdversarialTraining",
    "attention_sensitivity",
    "curves",
    "evaluation_curve",
    "fgsm",
    "pgd",
]


def __dir__() -> list[str]:
    return __all__

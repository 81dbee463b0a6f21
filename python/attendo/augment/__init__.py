"""Training data varied at random: text, images, and mixtures of samples.

Every augmentation is an object called as ``augment(inputs, targets, rng)`` with tuples of arrays, axis 0 the
samples of a batch, and a NumPy Generator that decides everything random; it gives both tuples back. What it
is given is not changed, shapes and dtypes stay.

>>> import numpy as np
>>> import attendo as at
>>> augment = at.augment.Compose([at.augment.RandomCrop(1), at.augment.RandomHorizontalFlip()])
>>> images, labels = np.ones((4, 1, 8, 8), dtype="float32"), np.arange(4)
>>> (varied,), (same,) = augment((images,), (labels,), np.random.default_rng(0))
>>> varied.shape, varied.dtype, same.tolist()
((4, 1, 8, 8), dtype('float32'), [0, 1, 2, 3])

Pure Python and NumPy: nothing here is computed on the way to a gradient.
"""

from .base import Augmentation, Compose
from .images import Cutout, RandomCrop, RandomHorizontalFlip, RandomShift
from .mixup import Mixup
from .noise import GaussianNoise
from .text import DropTokens, MaskTokens, SwapTokens

__all__ = [
    "Augmentation",
    "Compose",
    "Cutout",
    "DropTokens",
    "GaussianNoise",
    "MaskTokens",
    "Mixup",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomShift",
    "SwapTokens",
]


def __dir__() -> list[str]:
    return __all__

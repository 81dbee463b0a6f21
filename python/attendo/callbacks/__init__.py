"""What a Trainer calls between batches: an object with any of the methods of :class:`Callback`.

>>> import numpy as np
>>> import attendo as at
>>> class Report(at.callbacks.Callback):
...     def on_epoch_end(self, trainer, info):
...         print(f"epoch {info['epoch'] + 1} of {info['epochs']}: {info['step']} steps")
>>> x = np.ones((8, 1), dtype="float32")
>>> trainer = at.train.Trainer(at.nn.Linear(1, 1), at.losses.MeanSquaredError(), at.optim.SGD(lr=0.1))
>>> history = trainer.fit(x, x, epochs=2, batch_size=4, callbacks=[Report()], progress=False)
epoch 1 of 2: 2 steps
epoch 2 of 2: 4 steps
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names
from .base import Callback, Info, numbers
from .progress import ProgressBar

__all__ = [
    "BestModel",
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "Info",
    "JSONLines",
    "ProgressBar",
    "TensorBoard",
    "WandB",
    "numbers",
]

if TYPE_CHECKING:
    from .checkpoint import Checkpoint
    from .logs import CSVLogger, JSONLines
    from .monitor import BestModel, EarlyStopping
    from .tensorboard import TensorBoard
    from .wandb import WandB
else:
    _LAZY = {
        "BestModel": "monitor",
        "CSVLogger": "logs",
        "Checkpoint": "checkpoint",
        "EarlyStopping": "monitor",
        "JSONLines": "logs",
        "TensorBoard": "tensorboard",
        "WandB": "wandb",
    }
    __getattr__ = lazy_names(__name__, _LAZY)


def __dir__() -> list[str]:
    return __all__

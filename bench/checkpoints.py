"""How long training stands still for a checkpoint: a model of 20 million parameters with Adam's moments.

    .venv/bin/python bench/checkpoints.py [millions of parameters]

Prints the time of the callback after each step that wrote one, beside that of the steps.
"""

from __future__ import annotations

import sys
import tempfile
import time
from typing import Any

import numpy as np

import attendo as at


def main(millions: float) -> None:
    """Train, write a checkpoint every few steps, and print what each cost."""
    width = 1024
    layers = max(1, round(millions * 1e6 / (width * width + width)))
    model = at.nn.Sequential(*(at.nn.Linear(width, width, seed=i) for i in range(layers)))
    parameters = sum(p.size for p in model.parameters())
    trainer = at.train.Trainer(model, at.losses.MeanSquaredError(), at.optim.AdamW(1e-4))
    x = np.random.default_rng(0).standard_normal((40 * 64, width), dtype=np.float32)
    stalls: list[float] = []
    steps: list[float] = []

    class Timed(at.callbacks.Checkpoint):
        def on_batch_end(self, trainer: Any, info: Any) -> None:
            before, written = time.perf_counter(), self._steps_written
            super().on_batch_end(trainer, info)
            spent = time.perf_counter() - before
            if self._steps_written != written:
                stalls.append(spent)
            steps.append(before)

    with tempfile.TemporaryDirectory(dir=".") as folder:
        checkpoint = Timed(folder, every_steps=5, every_epochs=None)
        trainer.fit(x, x, batch_size=64, epochs=2, callbacks=[checkpoint], progress=False)
    print(f"{parameters / 1e6:.1f} million parameters, {12 * parameters / 1e6:.0f} MB a checkpoint")
    print(f"a step takes {1e3 * float(np.median(np.diff(steps))):.1f} ms (median of {len(steps)})")
    shown = ", ".join(f"{1e3 * stall:.1f}" for stall in stalls)
    print(f"training stood still for {len(stalls)} checkpoints: {shown} ms")
    print(f"median {1e3 * float(np.median(stalls)):.1f} ms, longest {1e3 * max(stalls):.1f} ms")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 20)

"""The bar."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .base import Callback, Info

if TYPE_CHECKING:
    from ..train import Trainer


class ProgressBar(Callback):
    """Loss, speed and remaining time, by tqdm: in a notebook, or in a terminal; quiet where there is none.

    Parameters
    ----------
    always : bool
        Show it also when the output is not a terminal.
    """

    def __init__(self, always: bool = False) -> None:
        self._always = always
        self._bar: Any = None

    def on_train_begin(self, trainer: Trainer) -> None:
        """Nothing is shown before the number of steps is known."""
        self._bar = None

    def on_step(self, trainer: Trainer, info: Info) -> None:
        """Move the bar."""
        if self._bar is None:
            from tqdm.auto import tqdm

            in_notebook = "ipykernel" in sys.modules
            quiet = not (self._always or in_notebook or sys.stderr.isatty())
            self._bar = tqdm(total=info["steps"], unit="step", disable=quiet, dynamic_ncols=True)
        self._bar.update(info["step"] - self._bar.n)
        shown = {"loss": f"{info['loss']:.4f}", "lr": f"{info['lr']:.2e}", "epoch": info["epoch"] + 1}
        self._bar.set_postfix(shown, refresh=False)

    def on_train_end(self, trainer: Trainer) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

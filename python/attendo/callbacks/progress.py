"""The bar."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from .arguments import check_type
from .base import Callback, Info, numbers

if TYPE_CHECKING:
    from ..train import Trainer

_SECONDS = 0.1  # between two drawings: more often nobody sees


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules


def _bar_class() -> Any:
    """tqdm's widget where a notebook can show it, its line of text anywhere else."""
    # tqdm.auto says so with a warning where ipywidgets is missing; here that is nobody's mistake.
    if _in_notebook():
        try:
            import ipywidgets  # noqa: F401
            from tqdm.notebook import tqdm as widget
        except ImportError:
            pass
        else:
            return widget
    from tqdm.std import tqdm

    return tqdm


class ProgressBar(Callback):
    """Loss, validation, speed and remaining time, by tqdm: in a notebook or a terminal; quiet where is none.

    ``fit`` has one unless it is told ``progress=False``.

    Parameters
    ----------
    always : bool
        Show it also when the output is not a terminal.

    Raises
    ------
    TypeError
        When always is no bool.
    """

    first_process_only = True

    def __init__(self, always: bool = False) -> None:
        check_type("ProgressBar", "always", always, bool)
        self._always = always
        self._bar: Any = None
        self._validation: dict[str, str] = {}
        self._last: Info | None = None
        self._drawn = 0.0

    def on_train_begin(self, trainer: Trainer) -> None:
        """Nothing is shown before the number of steps is known."""
        self._bar, self._validation, self._last, self._drawn = None, {}, None, 0.0

    def on_step(self, trainer: Trainer, info: Info) -> None:
        """Move the bar."""
        if self._bar is None:
            quiet = not (self._always or _in_notebook() or sys.stderr.isatty())
            # Steps that were made before this process took over are not part of its speed.
            before = info["step"] - round(info["steps_per_second"] * info["seconds"])
            options = {"unit": "step", "disable": quiet, "dynamic_ncols": True}
            self._bar = _bar_class()(total=info["steps"], initial=max(0, before), **options)
        if self._bar.disable:
            return
        self._last = info
        if time.monotonic() - self._drawn >= _SECONDS:
            self._draw(info)

    def on_epoch_end(self, trainer: Trainer, info: Info) -> None:
        """Show the validation; it stays until the next."""
        self._validation = {
            name: f"{value:.4g}" for name, value in numbers(info).items() if name.startswith("val_")
        }
        if self._bar is not None and self._validation and not self._bar.disable:
            self._draw(info)

    def on_train_end(self, trainer: Trainer) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            if self._last is not None:
                self._draw(self._last)
            self._bar.close()
            self._bar = None

    def _draw(self, info: Info) -> None:
        self._drawn = time.monotonic()
        shown = {"loss": f"{info['loss']:.4f}", "lr": f"{info['lr']:.2e}", "epoch": info["epoch"] + 1}
        self._bar.set_postfix({**shown, **self._validation}, refresh=False)
        self._bar.n = info["step"]
        self._bar.refresh()

"""Curves for Weights & Biases, without a network unless asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._lazy import require
from .arguments import as_dict, as_folder, check_type
from .base import Callback, Info, numbers
from .tensorboard import settings

if TYPE_CHECKING:
    from ..train import Trainer


class WandB(Callback):
    """Logs to a run of Weights & Biases; offline, in a folder that ``wandb sync`` uploads when you want.

    Parameters
    ----------
    project : str
        The project the run belongs to.
    name : str, optional
        Of the run; without one wandb makes one up.
    mode : {'offline', 'online', 'disabled'}
        'offline' writes to the folder and asks for no network.
    folder : path
        A folder ``wandb`` is made there.
    config : dict, optional
        Hyper-parameters, shown beside the run. Loss, optimizer and model are added.

    Raises
    ------
    ImportError
        When wandb is not installed: ``pip install "attendo[wandb]"``.
    ValueError, TypeError
        When an argument is not what it must be; of project and name, what wandb says of them.

    Notes
    -----
    The run is the callback's own: ``wandb.run`` and whatever else the program does with wandb are left
    alone. Training that goes on with the same callback, or after ``resume``, goes on with the same run id.

    Examples
    --------
    >>> import attendo as at
    >>> log = at.callbacks.WandB("dates", config={"d_model": 128})  # doctest: +SKIP

    Source: python/attendo/callbacks/wandb.py
    """

    first_process_only = True

    def __init__(
        self,
        project: str,
        *,
        name: str | None = None,
        mode: str = "offline",
        folder: str | os.PathLike[str] = ".",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        check_type("WandB", "project", project, str)
        if name is not None:
            check_type("WandB", "name", name, str)
        if mode not in ("offline", "online", "disabled"):
            raise ValueError(f"WandB: mode is {mode!r} but must be 'offline', 'online' or 'disabled'")
        self._folder = str(as_folder("WandB", "folder", folder))
        self._config = as_dict("WandB", "config", config)
        self._wandb = require("wandb", "wandb")
        self._project, self._name, self._mode = project, name, mode
        for argument, setting, value in (("project", "project", project), ("name", "run_name", name)):
            try:
                self._wandb.Settings(**{setting: value})
            except (ValueError, self._wandb.Error) as error:
                raise ValueError(f"WandB: {argument} is {value!r} but wandb says: {error}") from error
        self._id: str | None = None
        self._run: Any = None

    def on_train_begin(self, trainer: Trainer) -> None:
        """Start the run."""
        os.makedirs(self._folder, exist_ok=True)
        self._run = self._wandb.init(
            project=self._project,
            name=self._name,
            mode=self._mode,
            dir=self._folder,
            id=self._id,
            resume="allow" if self._id and self._mode == "online" else None,
            config={"model": repr(trainer.model), **settings(trainer), **self._config},
            reinit="create_new",
            settings=self._wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                save_code=False,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )
        self._id = self._run.id

    def on_step(self, trainer: Trainer, info: Info) -> None:
        """Loss, learning rate and speed."""
        known = {"train/loss": info["loss"], "train/lr": info["lr"]}
        self._run.log(
            {**known, "train/steps_per_second": info["steps_per_second"]}, step=trainer.optimizer.steps
        )

    def on_epoch_end(self, trainer: Trainer, info: Info) -> None:
        """Validation, under ``val/``."""
        values = numbers(info)
        own = {"train/epoch": values.pop("epoch") + 1}
        for name, value in values.items():
            if name not in ("loss", "lr", "steps_per_second"):
                own[f"val/{name[4:]}" if name.startswith("val_") else f"train/{name}"] = value
        self._run.log(own, step=trainer.optimizer.steps)

    def on_train_end(self, trainer: Trainer) -> None:
        """Finish the run: all of it is in the folder."""
        if self._run is not None:
            self._run.finish()
            self._run = None

    def state_dict(self) -> dict[str, Any]:
        """The run's id."""
        return {"id": self._id}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with that run."""
        self._id = state["id"]

"""Going on with a run that was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .trainer import Trainer, within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core import Loss, Module, Optimizer
    from .._typing import PathLike
    from .distributed import Distributed
    from .objective import Objective
    from .trainer import Metric


def resume(
    folder: PathLike,
    *,
    model: Module | None = None,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    metrics: Mapping[str, Metric] | None = None,
    objective: Objective | None = None,
    distributed: Distributed | None = None,
) -> Trainer:
    """The Trainer of the newest whole checkpoint in a folder; its next ``fit`` goes on with the run.

    Call ``fit`` with the same data; what else it is not given (epochs, batch_size, shuffle) is as it was, and
    so are the checkpoints. It ends with the same bits and the same history as a run that nothing interrupted.

    Parameters
    ----------
    folder : str or path
        That of :class:`attendo.callbacks.Checkpoint`.
    model : Module, optional
        Needed for a class of your own: built as it was, with any parameters.
    loss : Loss, optional
        Needed for one of your own.
    optimizer : Optimizer, optional
        Needed where its groups named tensors: built as it was.
    metrics : dict of str to callable, optional
        Those of the Trainer.
    objective : Objective, optional
        That of the Trainer.
    distributed : Distributed, optional
        Of as many processes as before, for the same bits.

    Returns
    -------
    Trainer

    Warns
    -----
    RuntimeWarning
        When a checkpoint is damaged, by name; the one before it is used.

    Raises
    ------
    FileNotFoundError
        When the folder holds no checkpoint.
    ValueError
        When all are damaged, or one of the arguments is needed or does not fit.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.linspace(-1, 1, 32, dtype="float32")[:, None]
    >>> folder = tempfile.TemporaryDirectory()
    >>> class PowerCut(at.callbacks.Callback):
    ...     def on_epoch_end(self, trainer, info):
    ...         if info["epoch"] == 2:
    ...             raise OSError("no more power")
    >>> model = at.nn.Linear(1, 1, seed=0)
    >>> trainer = at.train.Trainer(model, at.losses.MeanSquaredError(), at.optim.SGD(lr=0.1))
    >>> callbacks = [at.callbacks.Checkpoint(folder.name), PowerCut()]
    >>> trainer.fit(x, 2 * x, epochs=5, callbacks=callbacks, progress=False)
    Traceback (most recent call last):
    OSError: no more power
    >>> trainer = at.train.resume(folder.name, model=at.nn.Linear(1, 1))
    >>> len(trainer.fit(x, 2 * x, progress=False)["loss"])
    5
    >>> folder.cleanup()
    """
    from .. import losses, optim

    path, tensors, state = _newest(Path(folder))
    try:
        made = _model(model, state["model"], tensors)
        loss = _part("loss", loss, state["loss"], losses.from_config)
        optimizer = _part("optimizer", optimizer, state["optimizer"], optim.from_config)
        _check_class("objective", objective, state["objective"])
        settings = {**state["settings"], "distributed": distributed}
        trainer = Trainer(made, loss, optimizer, metrics=metrics, objective=objective, **settings)
        trainer._restore(state, tensors)
    except (TypeError, ValueError) as error:
        raise ValueError(f"resume: {str(path)!r}: {error}") from error
    except (LookupError, AttributeError, OverflowError, RuntimeError) as error:
        raise ValueError(f"resume: {str(path)!r} does not hold what a checkpoint holds: {error!r}") from error
    trainer.folder = Path(folder).resolve()
    return trainer


def _newest(folder: Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    import warnings

    from .checkpoint import checkpoints_in, read

    found = checkpoints_in(folder)
    if not found:
        raise FileNotFoundError(f"resume: there is no checkpoint in {str(folder)!r}")
    for path in found:
        try:
            tensors, state = read(path)
        except (OSError, ValueError) as error:
            warnings.warn(
                f"resume: {str(path)!r} is damaged: {error}; the checkpoint before it is used",
                RuntimeWarning,
                stacklevel=3,
            )
            continue
        return path, tensors, state
    raise ValueError(f"resume: no checkpoint in {str(folder)!r} is whole")


def _model(model: Module | None, described: dict[str, Any], tensors: dict[str, Any]) -> Module:
    from .. import _core
    from .._state import _MODELS

    name, config = described["class"], described["config"]
    if model is None:
        if name not in _MODELS or not isinstance(config, dict):
            raise ValueError(
                f"it holds a {name}, which is no model of attendo's: give model=, built as it was"
            )
        with _core._NoDraws(2 * sum(array.size for array in tensors.values()) + 65536):
            model = _MODELS[name](**config)
        if described["peft"] is not None:
            from ..peft._pieces import restore

            restore("resume", model, described["peft"], within(tensors, "model."))
    elif type(model).__name__ != name:
        raise ValueError(f"model is a {type(model).__name__} but the run was of a {name}")
    model.load_state_dict(within(tensors, "model."))
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad = parameter_name not in described["frozen"]
    return model


def _part(what: str, given: Any, described: dict[str, Any], from_config: Any) -> Any:
    if given is not None:
        _check_class(what, given, described)
        return given
    if described["config"] is None:
        raise ValueError(
            f"it holds a {described['class']} that cannot be described: give {what}=, built as it was"
        )
    return from_config(described["config"])


def _check_class(what: str, given: Any, described: dict[str, Any] | None) -> None:
    is_class, was = (
        None if given is None else type(given).__name__,
        None if described is None else described["class"],
    )
    if is_class != was:
        raise ValueError(
            f"{what} is a {is_class} but that of the run was a {was}: give {what}=, built as it was"
        )

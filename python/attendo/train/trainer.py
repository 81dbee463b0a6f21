"""The Trainer."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import _core
from ..callbacks import Callback, ProgressBar
from .checks import (
    as_loss,
    check_batches,
    check_callbacks,
    check_distributed,
    check_metrics,
    check_objective,
    check_plateau,
    check_validation,
    observed,
)
from .columns import batch_adapter, columns, lengths_of
from .evaluating import Evaluates
from .history import History
from .objective import Batch, Objective

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from .._core import Loss, Module, Optimizer, Tensor, WeightAverage
    from .._typing import TensorLike
    from ..callbacks import Info
    from ..data import Ragged
    from .distributed import Distributed
    from .find_lr import LearningRates
    from .run import Run

    Samples: TypeAlias = TensorLike | Ragged
    Inputs: TypeAlias = Samples | tuple[Samples, ...]
    Metric: TypeAlias = Callable[[Any, Any], float]
    Augment: TypeAlias = Callable[[tuple[Any, ...], tuple[Any, ...], np.random.Generator], tuple[Any, Any]]


class Trainer(Evaluates):
    r"""Trains a model: batches, forward, loss, backward, clipping, optimizer step, in C++.

    Parameters
    ----------
    model : Module
        One of attendo's, or your own subclass.
    loss : Loss or callable
        See :mod:`attendo.losses`; a function of (prediction, target) that gives the mean over the samples as
        a Tensor will do.
    optimizer : Optimizer
        See :mod:`attendo.optim`. It takes over the parameters of model and loss that require a gradient.
    seed : int
        Decides the order of the samples and what dropout drops: the same seed gives the same bits on any
        number of threads.
    clip_norm : float, optional
        The largest norm c of all gradients together, above 0: longer ones are scaled by
        :math:`c / (\lVert g \rVert + 10^{-6})`.
    clip_value : float, optional
        The largest size of each number of the gradients, above 0; comes before clip_norm.
    accumulate : int
        Batches an optimizer step, 1 or more. Their gradients are those of one batch that holds them all:
        each prediction counts the same, however unequal the batches are.
    average : float, optional
        Decay of an exponential average of the weights, 0 or more and below 1 (0.999; smaller in the first
        steps): :class:`attendo.optim.WeightAverage`. Validation in :meth:`fit` measures the average;
        ``with trainer.averaged():`` the model holds it.
    monitor : str, optional
        What a plateau schedule observes at the end of each epoch: "val_loss", "val_accuracy", a metric with
        "val_" in front, "epoch_loss". Without it val_loss, or epoch_loss where nothing is validated.
    metrics : dict of str to callable, optional
        ``metric(prediction, target) -> float`` on the arrays of a whole evaluation, by the name that
        :meth:`evaluate` and the history give them. Of a model with several targets they get tuples.
    objective : Objective, optional
        What a step minimizes, where it is more than the loss of the model's outputs.
    distributed : Distributed, optional
        The processes that share each step's batch; see :class:`attendo.train.Distributed`.

    Raises
    ------
    ValueError
        When seed is negative, clip_norm or clip_value is not above 0, accumulate is below 1, the model has
        nothing to train, or its parameters belong to another optimizer.
    TypeError
        When model, loss, optimizer, metrics or objective is not what it must be.

    Notes
    -----
    A step is zero_grad, then forward, loss and backward of each batch, clip, optimizer step. A model of the
    package's own layers runs without the interpreter; a ``forward`` written in Python is called where it
    stands. A loss that is not finite ends training with a ValueError before the step that would spoil the
    parameters.

    References
    ----------
    Articles 000 §5.2 and 002 §5.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
    >>> model = at.nn.Linear(1, 1, seed=0)
    >>> trainer = at.train.Trainer(model, loss=at.losses.MeanSquaredError(), optimizer=at.optim.SGD(lr=0.1))
    >>> history = trainer.fit(x, 3 * x + 1, epochs=50, batch_size=16, progress=False)
    >>> bool(history["loss"][-1] < 1e-3)
    True
    >>> trainer.predict(np.array([[2.0]], dtype="float32")).round(1)
    array([[7.]], dtype=float32)

    Source: cpp/train/trainer.cpp
    """

    def __init__(
        self,
        model: Module,
        loss: Loss | Callable[[Tensor, Tensor], Tensor],
        optimizer: Optimizer,
        *,
        seed: int = 0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        average: float | None = None,
        monitor: str | None = None,
        metrics: Mapping[str, Metric] | None = None,
        objective: Objective | None = None,
        distributed: Distributed | None = None,
    ) -> None:
        check_metrics(metrics)
        check_objective(objective)
        loss = as_loss(loss)
        check_distributed(distributed)
        self._core = _core.Trainer(model, loss, optimizer, seed, clip_norm, clip_value, accumulate, average)
        self._settings = {
            "clip_norm": clip_norm,
            "clip_value": clip_value,
            "accumulate": accumulate,
            "average": average,
            "monitor": monitor,
        }
        self.metrics: dict[str, Metric] = dict(metrics or {})
        self.monitor = monitor
        self.objective = objective
        self.distributed = distributed
        self.folder: Path | None = None  # of its checkpoints
        self._running = allocate_lock()
        self._between = False
        self.interrupted = False  # by an error or Ctrl-C: for callbacks, when training ends
        self._run: Run | None = None  # what fit does now, or did last, or will go on with
        if distributed is not None and distributed.size > 1:
            self._core.distribute(distributed._core)

    @property
    def model(self) -> Module:
        """The model."""
        return self._core.model

    @property
    def loss(self) -> Loss:
        """The loss."""
        return self._core.loss

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer."""
        return self._core.optimizer

    @property
    def average(self) -> WeightAverage | None:
        """The average of the weights, where there is one."""
        return self._core.average

    def averaged(self) -> AbstractContextManager[Any]:
        """``with trainer.averaged():`` the model holds the average of the weights, where there is one."""
        return nullcontext() if self.average is None else self.average.applied()

    @property
    def seed(self) -> int:
        """The seed."""
        return self._core.seed

    @property
    def history(self) -> History:
        """Of the fit that runs, or of the last one, also when it was interrupted."""
        history = History(self._core.state["history"])
        if self._run is not None:
            history.update(self._run.validation_arrays())
            # The core sees one call at the end of an epoch: validation and callbacks.
            time, spent = history["time"], self._run.validation_seconds
            time["callbacks"], time["validation"] = max(0.0, time["callbacks"] - spent), spent
        return history

    def stop(self) -> None:
        """End training after this batch: for callbacks. Of several processes, one that calls it ends all."""
        self._core.stop()

    def fit(
        self,
        inputs: Inputs | Iterable[Any],
        target: Inputs | None = None,
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        shuffle: bool | None = None,
        sample_weight: TensorLike | None = None,
        validation: tuple[Any, ...] | None = None,
        bucket_by: TensorLike | bool = False,
        batch_tokens: int | None = None,
        augment: Augment | None = None,
        callbacks: Iterable[Any] = (),
        progress: bool = True,
    ) -> History:
        """Train. May be called again to go on: the optimizer's steps count on.

        Parameters
        ----------
        inputs : array_like, Ragged, a tuple of them, shape (samples, ...); or an iterable of batches
            What the model's ``forward`` takes; a tuple for several inputs. Without a target: anything to
            iterate over once an epoch that gives ``(inputs, target)`` or ``(inputs, target, sample_weight)``
            of a batch; its ``set_epoch(epoch)`` is called before, if it has one.
        target : array_like, Ragged, or a tuple of them, shape (samples, ...)
            What the loss compares with. Given a tuple, the loss gets all outputs and all targets.
        epochs : int
            Passes over the samples, 1 or more; 1 when not given.
        batch_size : int
            Samples a batch, 1 or more; the last of an epoch may be smaller; 32 when not given.
        shuffle : bool
            A new order each epoch, decided by the seed; True when not given.
        sample_weight : array_like of float, shape (samples,), optional
            How much each sample counts in the loss, 0 or more: the mean is over the sum of the weights.
        validation : (inputs, target) or (inputs, target, sample_weight), optional
            Evaluated after each epoch, in evaluation mode.
        bucket_by : array_like of int, shape (samples,), or True
            Lengths: samples of near lengths come into one batch. True: those of the first Ragged.
        batch_tokens : int, optional
            With ``bucket_by``: the most that samples times the longest length of a batch may be, in place of
            batch_size.
        augment : callable, optional
            ``augment(inputs, targets, rng) -> (inputs, targets)`` on tuples of arrays, for each batch. Its
            random numbers depend on the seed and the step alone.
        callbacks : iterable
            Objects with any of the methods of :class:`attendo.callbacks.Callback`.
        progress : bool
            Show a bar with loss, speed and remaining time where there is a terminal or a notebook.

        Returns
        -------
        History
            Losses and learning rates.

        Raises
        ------
        ValueError
            When there are no samples, inputs and target have not as many, epochs or batch_size is below 1, a
            shape does not fit the model or the loss, or the loss is not finite; after
            :func:`attendo.train.resume`, when something is not as in the run that was interrupted.
        TypeError
            When a dtype does not fit the model or the loss.
        KeyboardInterrupt
            On Ctrl-C, between two batches; the model keeps what it has learnt.
        """
        listeners = check_callbacks(callbacks)
        check_validation(validation)
        data: dict[str, Any] = {
            "augment": None if augment is None else "given",
            "validation": None if validation is None else "given",
        }
        if target is None:
            only_arrays = {"sample_weight": sample_weight, "batch_tokens": batch_tokens}
            check_batches(inputs, only_arrays | {"bucket_by": None if bucket_by is False else bucket_by})
        else:
            data |= {"inputs": inputs, "target": target, "sample_weight": sample_weight}
            data["bucket_by"] = lengths_of(inputs, bucket_by)
        transform = None if augment is None else batch_adapter(augment)
        check_plateau(self.optimizer, self.monitor)
        if not self._running.acquire(blocking=False):
            raise ValueError("fit: this Trainer is training already, in another thread or around this call")
        try:
            from .run import Run, fingerprints_of

            given = {
                "epochs": epochs,
                "batch_size": batch_size,
                "shuffle": shuffle,
                "batch_tokens": batch_tokens,
            }
            run = Run.begin(self._run, given, fingerprints_of(data), listeners, self.folder)
            return self._fit(
                run, inputs, target, sample_weight, validation, data.get("bucket_by"), transform, progress
            )
        finally:
            self._running.release()

    def _fit(
        self,
        run: Run,
        inputs: Any,
        target: Any,
        sample_weight: Any,
        validation: Any,
        lengths: Any,
        transform: Any,
        progress: bool,
    ) -> History:
        """What is left when the arguments are known to be right."""
        listeners = [ProgressBar(), *run.listeners] if progress else run.listeners
        if self.distributed is not None and not self.distributed.is_main:
            listeners = [x for x in listeners if not getattr(x, "first_process_only", False)]

        def tell(event: str, *args: Any) -> None:
            for listener in listeners:
                method = getattr(listener, event, None)
                if method is not None:
                    method(self, *args)

        def tell_the_end() -> None:
            errors = []
            for listener in listeners:  # each, whatever happens to the others
                try:
                    method = getattr(listener, "on_train_end", None)
                    if method is not None:
                        method(self)
                except BaseException as error:
                    errors.append(error)
            if errors:
                raise errors[0]

        def on_epoch_end(info: Info) -> None:
            if self.distributed is not None:
                self.distributed._check_epoch(self)
            info["epoch_loss"] = float(self._core.state["history"]["loss"][-1])
            begin = perf_counter()
            measured = None if validation is None else self._validate(validation, run)
            run.validation_seconds += perf_counter() - begin
            self._between = True  # after an error from here on, some know of this epoch and some do not
            if measured is not None:
                run.validations.append(measured)
                info.update({f"val_{name}": value for name, value in measured.items()})  # type: ignore[typeddict-item]
            try:
                self.optimizer.observe(observed(info, self.monitor))
                for listener in listeners:
                    if getattr(listener, "runs_last", False):
                        self._between = False
                    method = getattr(listener, "on_epoch_end", None)
                    if method is not None:
                        method(self, info)
            except BaseException:
                self._between = True
                if measured is not None:
                    run.validations.pop()
                raise
            self._between = False

        every_batch = any(_overrides(listener, "on_batch_end") for listener in listeners)
        plan = {
            "batch_size": run.batch_size,
            "shuffle": run.shuffle,
            "lengths": lengths,
            "batch_tokens": run.batch_tokens,
        }
        if self.distributed is not None:
            self.distributed._begin(self, run)
        before, state, steps = self._run, self._core.state, self.optimizer.steps
        self._core.begin()
        self._run = run
        self.interrupted, self._between = True, False
        try:
            tell("on_train_begin")
            self._core.fit(
                columns(inputs) if target is not None else inputs,
                None if target is None else columns(target),
                sample_weight,
                run.epochs,
                plan,
                None if self.objective is None else self._objective_calls(self.objective),
                transform,
                {
                    "on_batch_end": (lambda info: tell("on_batch_end", info)) if every_batch else None,
                    "on_step": (lambda info: tell("on_step", info)) if listeners else None,
                    "on_epoch_end": on_epoch_end,
                },
            )
            self.interrupted = False
        except BaseException:
            if self.distributed is not None:
                self.distributed._fail()
            if before is not None and before.interrupted and self.optimizer.steps == steps:
                self._run = before  # nothing was done: the next fit goes on with the run
                self._core.restore(state)
            raise
        finally:
            tell_the_end()
        return self.history

    @property
    def settled(self) -> bool:
        """False in the middle of a step or of telling the end of an epoch: no place to go on from."""
        return self._core.settled and not self._between

    def _validate(self, validation: Any, run: Run) -> dict[str, float]:
        given = dict(zip(("inputs", "target", "sample_weight"), validation, strict=False))
        with self.averaged():
            return self.evaluate(**given, batch_size=run.batch_size)

    def find_lr(
        self,
        inputs: Inputs | Iterable[Any],
        target: Inputs | None = None,
        *,
        lowest: float = 1e-6,
        highest: float = 10.0,
        steps: int = 100,
        batch_size: int = 32,
        sample_weight: TensorLike | None = None,
        augment: Augment | None = None,
    ) -> LearningRates:
        """Try ever larger learning rates, a step each, and put everything back as it was.

        Parameters
        ----------
        inputs, target, batch_size, sample_weight, augment
            As of :meth:`fit`.
        lowest, highest : float
            The rates between which it tries, above 0, evenly by their logarithms.
        steps : int
            How many, 5 or more; fewer are made when the loss rises to four times its lowest.

        Returns
        -------
        LearningRates
            Rates, smoothed losses, and the rate at which the loss fell fastest.

        Raises
        ------
        ValueError, TypeError
            When lowest, highest or steps is not what it must be; otherwise as :meth:`fit`.

        References
        ----------
        Smith 2017, "Cyclical learning rates for training neural networks", §3.3.

        Examples
        --------
        >>> import numpy as np
        >>> import attendo as at
        >>> x = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
        >>> model = at.nn.Linear(4, 1, seed=0)
        >>> trainer = at.train.Trainer(model, at.losses.MeanSquaredError(), at.optim.SGD(lr=1.0))
        >>> found = trainer.find_lr(x, x.sum(axis=1, keepdims=True))
        >>> 1e-3 < found.suggestion < 1, trainer.optimizer.lr, trainer.optimizer.steps
        (True, 1.0, 0)
        """
        from .find_lr import find_lr

        samples: dict[str, Any] = {"inputs": inputs, "target": target, "augment": augment}
        samples |= {"batch_size": batch_size, "sample_weight": sample_weight}
        return find_lr(self, lowest, highest, steps, samples)

    def probe_settings(self) -> dict[str, Any]:
        """What another Trainer of the same model needs to make the same steps."""
        return {"seed": self.seed, **self._settings, "average": None}

    def batch_loss(self, batch: Batch, *, inputs: Any = None, outputs: Any = None) -> Tensor:
        """The loss of a batch, as its part of an optimizer step: for an :class:`Objective`.

        Parameters
        ----------
        batch : Batch
            Its targets, weights and totals are used.
        inputs : Tensor or array, or a tuple of them, optional
            What the model gets in place of the batch's inputs.
        outputs : Tensor, or a tuple of them, optional
            In place of what the model would give.

        Returns
        -------
        Tensor, shape ()

        Raises
        ------
        ValueError
            When both inputs and outputs are given, or a shape does not fit.
        """
        return self._core.batch_loss(batch._core, inputs, outputs)

    def state_dict(self) -> dict[str, Any]:
        """All that a checkpoint must hold besides the tensors: settings, where the run stands, its history.

        Returns
        -------
        dict
            Of numbers, text, lists, dicts and arrays.
        """
        from ..peft._pieces import described

        model = self.model
        frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
        return {
            "model": {
                "class": type(model).__name__,
                "config": getattr(model, "config", None),
                "frozen": frozen,
                "peft": described(model),
            },
            "loss": _described(self.loss),
            "optimizer": _described(self.optimizer),
            "objective": None
            if self.objective is None
            else {"class": type(self.objective).__name__, "state": self.objective.state_dict()},
            "settings": {"seed": self.seed, **self._settings},
            "fit": self._core.state,
            "run": None if self._run is None else self._run.state_dict(),
        }

    def _restore(self, state: dict[str, Any], tensors: dict[str, Any]) -> None:
        """Go on from a checkpoint; the model has its parameters already."""
        self.optimizer.load_state(within(tensors, "optimizer."))
        if self.average is not None:
            self.average.load_state(within(tensors, "average."))
        for name, parameter in self.loss.parameters().items():
            parameter.assign(tensors[f"loss.{name}"])
        if self.objective is not None:
            self.objective.load_state_dict(state["objective"]["state"])
        self._core.restore(state["fit"])
        if state["run"] is not None:
            from .run import Run

            self._run = Run.from_state_dict(state["run"])

    def _objective_calls(
        self, objective: Objective
    ) -> tuple[int, Callable[..., Any], Callable[..., Any] | None]:
        made: list[Batch] = []

        def loss(core: _core.Batch) -> Tensor:
            made[:] = [Batch(core)]
            return objective.loss(self, made[0])

        def after_backward(_: _core.Batch) -> None:
            objective.after_backward(self, made[0])  # the batch its loss was of, with its random numbers

        changed = type(objective).after_backward is not Objective.after_backward
        return objective.repeats, loss, after_backward if changed else None

    def __repr__(self) -> str:
        return f"Trainer({type(self.model).__name__}, {self.loss!r}, {self.optimizer!r})"


def _overrides(listener: Any, method: str) -> bool:
    own = getattr(type(listener), method, None)
    return own is not None and own is not getattr(Callback, method)


def _described(part: Any) -> dict[str, Any]:
    return {"class": type(part).__name__, "config": getattr(part, "config", None)}


def within(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Those whose names begin so, without it."""
    return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}

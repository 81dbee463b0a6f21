"""Curves, histograms, pictures and text for TensorBoard, written by tensorboardX."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._lazy import require
from .arguments import as_count, as_dict, as_folder, check_function, shown
from .base import Callback, Info, numbers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ..train import Trainer

    Pictures = Callable[[Trainer], Mapping[str, ArrayLike]]


class TensorBoard(Callback):
    r"""Writes what TensorBoard shows: ``tensorboard --logdir folder``.

    Parameters
    ----------
    folder : path
        Where the event files go; each training its own, so that TensorBoard shows them side by side.
    histograms_every : int
        Histograms of every parameter and its gradient after so many epochs; 0 for none.
    pictures : callable, optional
        ``pictures(trainer)`` gives, after each epoch, arrays by name: attention weights of shape (L, S), or
        (H, L, S) for heads side by side, of real numbers; or (height, width, 3) of uint8 for any picture.
    text : dict of str to str, optional
        Further text by name. The model and what trains it are there anyway, as ``model`` and ``settings``.

    Raises
    ------
    ImportError
        When tensorboardX is not installed: ``pip install "attendo[tracking]"``.
    ValueError, TypeError
        When an argument is not what it must be; in fit, when what pictures gives is none.

    Notes
    -----
    ``train/loss`` and ``train/lr`` are written about every 50 ms, the validation as ``val/loss`` and so on
    after each epoch, all over the optimizer's steps. Training that goes on writes a file of its own that
    takes the place of the steps that are made again.

    Examples
    --------
    >>> import attendo as at
    >>> def attention(trainer):
    ...     _, weights = trainer.model(sentence, return_weights=True)
    ...     return {"attention/first": weights[0]}
    >>> board = at.callbacks.TensorBoard("runs/1", pictures=attention)  # doctest: +SKIP

    Source: python/attendo/callbacks/tensorboard.py
    """

    first_process_only = True

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        histograms_every: int = 1,
        pictures: Pictures | None = None,
        text: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = as_folder("TensorBoard", "folder", folder)
        self._every = as_count("TensorBoard", "histograms_every", histograms_every)
        check_function("TensorBoard", "pictures", pictures)
        self._pictures = pictures
        self._text: dict[str, str] = as_dict("TensorBoard", "text", text, of=str)
        self._tensorboard = require("tensorboardX", "tracking")
        self._writer: Any = None

    def on_train_begin(self, trainer: Trainer) -> None:
        """A new event file, with the text."""
        done = trainer.optimizer.steps
        again = {"purge_step": done + 1} if done else {}
        self._writer = self._tensorboard.SummaryWriter(str(self.folder), **again)
        trained_by = "\n".join(f"{name}: {value}" for name, value in settings(trainer).items())
        about = {"model": _code(repr(trainer.model)), "settings": _code(trained_by), **self._text}
        for name, text in about.items():
            self._writer.add_text(name, text, done)

    def on_step(self, trainer: Trainer, info: Info) -> None:
        """Loss, learning rate and speed."""
        known = {"loss": info["loss"], "lr": info["lr"], "steps_per_second": info["steps_per_second"]}
        self._scalars({f"train/{name}": value for name, value in known.items()}, trainer.optimizer.steps)

    def on_epoch_end(self, trainer: Trainer, info: Info) -> None:
        """Validation, histograms and pictures; then all of it is on disk."""
        step = trainer.optimizer.steps
        known = numbers(info)
        values = {"train/epoch": known.pop("epoch") + 1}
        for name, value in known.items():
            if name not in ("loss", "lr", "steps_per_second"):
                values[f"val/{name[4:]}" if name.startswith("val_") else f"train/{name}"] = value
        self._scalars(values, step)
        if self._every and (info["epoch"] + 1) % self._every == 0:
            for name, parameter in trainer.model.named_parameters():
                self._histogram(f"weights/{name}", parameter.numpy(), step)
                if parameter.grad is not None:
                    self._histogram(f"gradients/{name}", np.asarray(parameter.grad), step)
        if self._pictures is not None:
            drawn: Any = self._pictures(trainer)
            if not isinstance(drawn, Mapping) or not all(isinstance(name, str) for name in drawn):
                raise TypeError(
                    f"TensorBoard: pictures returned {shown(drawn)} but must return a dict of arrays by name"
                )
            for name, image in drawn.items():
                try:
                    self._picture(name, image, step)
                except (TypeError, ValueError) as error:
                    kind = TypeError if isinstance(error, TypeError) else ValueError
                    raise kind(f"TensorBoard: pictures returned {name!r}: {error}") from error
        self._writer.flush()

    def on_train_end(self, trainer: Trainer) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _scalars(self, values: Mapping[str, float], step: int) -> None:
        """One event for all: cheaper than one each."""
        summary = self._tensorboard.proto.summary_pb2.Summary
        several = [summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._writer.file_writer.add_summary(summary(value=several), step)

    def _histogram(self, name: str, values: NDArray[Any], step: int) -> None:
        finite = values[np.isfinite(values)]
        if finite.size:
            self._writer.add_histogram(name, finite, step)

    def _picture(self, name: str, image: ArrayLike, step: int) -> None:
        from ..viz.png import png

        array = np.asarray(image)
        if array.dtype.kind not in "biuf" or 0 in array.shape:
            what = f"has dtype {array.dtype} and shape {array.shape}"
            raise (ValueError if array.dtype.kind in "biuf" else TypeError)(
                f"it {what} but must be an array of real numbers that is not empty"
            )
        if array.ndim == 3 and array.dtype != np.uint8:  # heads, a column of nothing between them
            heads = array.astype(np.float64)
            gap = np.full((*heads.shape[:2], 1), np.nan)
            array = np.concatenate(np.concatenate([heads, gap], axis=2), axis=1)[:, :-1]
        height, width = (*array.shape, 0, 0)[:2]  # png says what is wrong with it
        pixel = max(1, min(16, 512 // max(1, height, width))) if array.dtype != np.uint8 else 1
        proto = self._tensorboard.proto.summary_pb2
        drawn = proto.Summary.Image(
            height=height * pixel,
            width=width * pixel,
            colorspace=3,
            encoded_image_string=png(array, pixel=pixel),
        )
        summary = proto.Summary(value=[proto.Summary.Value(tag=name, image=drawn)])
        self._writer.file_writer.add_summary(summary, step)


def settings(trainer: Trainer) -> dict[str, str]:
    """What trains the model."""
    return {"loss": repr(trainer.loss), "optimizer": repr(trainer.optimizer)}


def _code(text: str) -> str:
    """As it stands: TensorBoard reads text as Markdown."""
    return "\n".join("    " + line for line in text.splitlines())

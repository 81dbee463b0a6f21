"""Size, speed and accuracy of models beside each other."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from .._arguments import number_of_metric, whole_number
from .._evaluation import accuracy, as_evaluated, predicted, sliced

if TYPE_CHECKING:
    from .._core import Module
    from .._typing import TensorLike


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` gives: ``print`` it for a table.

    Attributes
    ----------
    rows : dict of str to dict
        For each model ``bytes`` on disk, ``parameters``, ``zeros`` (the share of them that is zero),
        ``milliseconds`` and the metric.
    metric : str
        What that is called.
    """

    rows: dict[str, dict[str, float]]
    metric: str = "accuracy"

    def __getitem__(self, name: str) -> dict[str, float]:
        return self.rows[name]

    def __str__(self) -> str:
        width = max(5, *(len(name) for name in self.rows))
        lines = [
            f"{'model':<{width}} {'bytes':>14} {'parameters':>12} {'zeros':>7} {'ms':>9} {self.metric:>10}"
        ]
        lines += [
            f"{name:<{width}} {row['bytes']:>14,.0f} {row['parameters']:>12,.0f} {row['zeros']:>7.1%} "
            f"{row['milliseconds']:>9.3f} {row[self.metric]:>10.4f}"
            for name, row in self.rows.items()
        ]
        return "\n".join(lines)


def compare(
    models: Mapping[str, Module],
    inputs: TensorLike | tuple[TensorLike, ...],
    target: TensorLike | tuple[TensorLike, ...],
    *,
    metric: Callable[[Any, Any], float] | None = None,
    batch_size: int = 256,
    repeats: int = 5,
) -> Comparison:
    """Size, speed and accuracy of models, before and after.

    Parameters
    ----------
    models : mapping of str to Module
        By what they are called in the table; run in evaluation mode, and left as they are.
    inputs : array_like or tuple of array_like, shape (samples, ...)
        What all of them take.
    target : array_like or tuple of array_like, shape (samples, ...)
        The right answers.
    metric : callable, optional
        ``metric(prediction, target)`` over all samples gives a number; where it is not given, accuracy: the
        share of targets whose logit is the largest.
    batch_size : int
        Samples at a time, and of the batch whose time is taken.
    repeats : int
        Of the timing, 1 or more; the median is given. The models take turns.

    Returns
    -------
    Comparison
        Bytes of the file that ``save`` writes, parameters, share of zeros, milliseconds of a batch, metric.

    Raises
    ------
    ValueError
        When there are no models or samples, or repeats is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.nn.Linear(64, 3, seed=0)
    >>> pruned = at.nn.Linear(64, 3, seed=0)
    >>> masks = at.compress.prune.magnitude(pruned, 0.5)
    >>> table = at.compress.compare({"before": model, "after": pruned}, np.ones((9, 64), "float32"), [0] * 9)
    >>> table["after"]["parameters"], round(table["after"]["zeros"], 2)
    (195, 0.49)

    Source: python/attendo/compress/table.py
    """
    given = sliced(inputs if isinstance(inputs, tuple) else (inputs,), slice(None))
    if not models:
        raise ValueError("compare: there are no models")
    if not given or not len(given[0]):
        raise ValueError("compare: inputs has no samples")
    whole_number("compare", "repeats", repeats, 1)
    whole_number("compare", "batch_size", batch_size, 1)
    measure = metric or accuracy
    name_of = "accuracy" if metric is None else getattr(metric, "__name__", "metric")
    batch = sliced(given, slice(0, batch_size))
    rows: dict[str, dict[str, float]] = {}
    times: dict[str, list[float]] = {name: [] for name in models}
    for name, model in models.items():
        with as_evaluated(model):
            value = number_of_metric(
                "compare", measure(predicted(model, given, batch_size, "compare"), target)
            )
        values = [parameter.numpy() for parameter in model.parameters()]
        size = sum(one.size for one in values)
        zeros = sum(int((one == 0).sum()) for one in values)
        rows[name] = {
            "bytes": _bytes(model),
            "parameters": size,
            "zeros": zeros / max(size, 1),
            name_of: value,
        }
    for _ in range(repeats):
        for name, model in models.items():
            with as_evaluated(model):
                start = time.perf_counter()
                predicted(model, batch, batch_size, "compare")
                times[name].append(1e3 * (time.perf_counter() - start))
    for name, row in rows.items():
        row["milliseconds"] = median(times[name])
    return Comparison(rows, name_of)


def _bytes(model: Module) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        model.save(path)
        return path.stat().st_size

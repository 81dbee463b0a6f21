"""What trains and what does not."""

from __future__ import annotations

from typing import NamedTuple

from .._core import Module
from ._patterns import as_patterns, chosen, parameter_fits


def _switch(call: str, model: Module, patterns: tuple[str, ...], on: bool) -> Module:
    parameters = dict(model.named_parameters())
    wanted = as_patterns(call, "patterns", patterns) or ("*",)
    for name in chosen(call, "patterns", wanted, list(parameters), parameter_fits):
        parameters[name].requires_grad = on
    return model


def freeze(model: Module, *patterns: str) -> Module:
    """Keep parameters as they are: they get no gradient, and no optimizer moves them.

    Parameters
    ----------
    model : Module
        Changed in place.
    *patterns : str
        Names of parameters, with ``*`` for any characters: ``"embedding.*"``, ``"encoder.layers.0"`` for all
        of a layer. None: every parameter.

    Returns
    -------
    Module
        The model.

    Raises
    ------
    ValueError
        When a pattern fits no parameter.
    TypeError
        When a pattern is no string.

    Notes
    -----
    A gradient that nobody asks for is not computed, and none flows to layers below the lowest that trains.
    Freeze before the optimizer is attached, and its state has no room for what is frozen either. Batch norm
    still follows the statistics of its batches in training mode: call its ``eval()``.

    Examples
    --------
    >>> import attendo as at
    >>> model = at.nn.Sequential(at.nn.Linear(4, 8), at.nn.ReLU(), at.nn.Linear(8, 2))
    >>> _ = at.peft.freeze(model, "0.*")
    >>> [name for name, value in model.named_parameters() if value.requires_grad]
    ['2.weight', '2.bias']
    """
    return _switch("freeze", model, patterns, False)


def unfreeze(model: Module, *patterns: str) -> Module:
    """Let parameters train again.

    Parameters
    ----------
    model : Module
        Changed in place.
    *patterns : str
        As those of :func:`freeze`. None: every parameter.

    Returns
    -------
    Module
        The model.

    Raises
    ------
    ValueError
        When a pattern fits no parameter.
    TypeError
        When a pattern is no string, or a parameter is int8, which cannot be trained.

    References
    ----------
    Ben Zaken, Goldberg and Ravfogel 2022, "BitFit: simple parameter-efficient fine-tuning for
    transformer-based masked language-models": the biases alone, as below.

    Examples
    --------
    >>> import attendo as at
    >>> model = at.nn.EncoderLayer(16, 2, 32, seed=0)
    >>> _ = at.peft.unfreeze(at.peft.freeze(model), "*bias")
    >>> at.peft.trainable(model).trainable
    144
    """
    return _switch("unfreeze", model, patterns, True)


class Trainable(NamedTuple):
    """How many numbers of a model train; as text, a table."""

    trainable: int
    total: int
    percentage: float
    parts: dict[str, tuple[int, int]]
    """Of each module right below, and of the model's own parameters as "": trainable and total."""

    def __str__(self) -> str:
        rows = [(name or "(own)", *counts) for name, counts in self.parts.items()]
        rows.append(("all", self.trainable, self.total))
        width = max(len("part"), *(len(row[0]) for row in rows))
        lines = [f"{'part':<{width}} {'trainable':>12} {'total':>12} {'%':>7}"]
        for name, count, total in rows:
            share = 100 * count / total if total else 0.0
            lines.append(f"{name:<{width}} {count:>12,} {total:>12,} {share:>7.2f}")
        return "\n".join(lines)


def trainable(model: Module) -> Trainable:
    """Count the parameters that train.

    Parameters
    ----------
    model : Module

    Returns
    -------
    Trainable
        A tuple of `trainable`, `total`, `percentage` and `parts`; ``print`` shows it as a table. A parameter
        in several places counts once, where it comes first.

    Examples
    --------
    >>> import attendo as at
    >>> model = at.nn.Sequential(at.nn.Linear(4, 8), at.nn.ReLU(), at.nn.Linear(8, 2))
    >>> print(at.peft.trainable(at.peft.freeze(model, "0")))
    part    trainable        total       %
    0               0           40    0.00
    2              18           18  100.00
    all            18           58   31.03
    """
    parts: dict[str, tuple[int, int]] = {}
    for name, value in model.named_parameters():
        part = name.rpartition(".")[0].partition(".")[0]
        count, total = parts.get(part, (0, 0))
        parts[part] = count + value.size * value.requires_grad, total + value.size
    count, total = (sum(pair[i] for pair in parts.values()) for i in (0, 1))
    return Trainable(count, total, 100 * count / total if total else 0.0, parts)

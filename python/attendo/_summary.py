"""What a model is made of and what it costs: layers, shapes, parameters, FLOPs, memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core

if TYPE_CHECKING:
    from ._core import Module, Optimizer

__all__ = ["Layer", "Summary", "count_flops", "summary"]


@dataclass(frozen=True)
class Layer:
    """One module of a model, with all that is in it. None: not measured, or part of the row above."""

    name: str  #: "" for the model itself
    type: str
    shape: tuple[int, ...] | None  #: of its (first) output
    trainable: int  #: parameters that require a gradient, each once
    frozen: int
    flops: int | None  #: of one forward pass
    activations: int | None  #: bytes that its forward keeps for backward, its output included

    @property
    def depth(self) -> int:
        """0 for the model itself."""
        return self.name.count(".") + 1 if self.name else 0


@dataclass(frozen=True)
class Summary:
    """What :func:`summary` gives: prints as text, shows itself in a notebook, is a dict by ``to_dict``.

    All bytes; ``flops`` and ``activations`` are None where no inputs were given, ``optimizer`` without one.
    """

    layers: tuple[Layer, ...]
    trainable: int
    frozen: int
    parameter_bytes: int
    gradient_bytes: int  #: of what is trainable
    optimizer_bytes: int | None
    flops: int | None
    activation_bytes: int | None

    @property
    def parameters(self) -> int:
        """Trainable and frozen ones, each once."""
        return self.trainable + self.frozen

    def to_dict(self) -> dict[str, Any]:
        """Everything, in plain Python: fit for JSON."""
        return {"parameters": self.parameters, **asdict(self), "layers": [asdict(x) for x in self.layers]}

    def _rows(self) -> list[list[str]]:
        rows = [["layer", "output", "parameters", "FLOPs", "activations"]]
        for layer in self.layers:
            name = layer.name.rpartition(".")[2]
            label = "  " * layer.depth + (f"{name}: {layer.type}" if name else layer.type)
            count = f"{layer.trainable + layer.frozen:,}" if layer.trainable + layer.frozen else ""
            if layer.frozen and layer.trainable:
                count += f" ({layer.frozen:,} frozen)"
            elif layer.frozen:
                count += " (frozen)"
            shape = "" if layer.shape is None else str(layer.shape)
            flops = _short(layer.flops) if layer.flops else ""
            kept = _short(layer.activations, "B") if layer.activations else ""
            rows.append([label, shape, count, flops, kept])
        # Columns that hold nothing, such as what only a forward pass tells, are left out.
        used = [i for i in range(len(rows[0])) if i < 1 or any(row[i] for row in rows[1:])]
        return [[row[i] for i in used] for row in rows]

    def _totals(self) -> list[tuple[str, str]]:
        frozen = f", {self.frozen:,} of them frozen" if self.frozen else ""
        lines = [("parameters", f"{self.parameters:,}{frozen}")]
        if self.flops is not None:
            lines.append(("FLOPs, forward", _short(self.flops)))
        memory = [("parameters", self.parameter_bytes), ("gradients", self.gradient_bytes)]
        if self.optimizer_bytes is not None:
            memory.append(("optimizer", self.optimizer_bytes))
        if self.activation_bytes is not None:
            memory.append(("activations", self.activation_bytes))
        total = _short(sum(size for _, size in memory), "B")
        parts = ", ".join(f"{name} {_short(size, 'B')}" for name, size in memory)
        return [*lines, ("memory to train", f"{total}: {parts}")]

    def __str__(self) -> str:
        rows = self._rows()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

        def line(row: list[str]) -> str:
            numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            return "  ".join([row[0].ljust(widths[0]), *numbers]).rstrip()

        rule = "─" * (sum(widths) + 2 * len(widths) - 2)
        totals = [f"{name}: {value}" for name, value in self._totals()]
        return "\n".join([line(rows[0]), rule, *map(line, rows[1:]), rule, *totals])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from .viz.picture import escape

        head, *body = self._rows()
        left, right = 'style="text-align:left;white-space:pre"', 'style="text-align:right"'

        def row(cells: list[str], tag: str) -> str:
            inner = "".join(
                f"<{tag} {left if i < 1 else right}>{escape(cell)}</{tag}>" for i, cell in enumerate(cells)
            )
            return f"<tr>{inner}</tr>"

        table = "".join([row(head, "th"), *(row(cells, "td") for cells in body)])
        totals = "".join(f"<div>{escape(name)}: {escape(value)}</div>" for name, value in self._totals())
        return f"<div><table>{table}</table>{totals}</div>"


def summary(
    model: Module,
    *inputs: Any,
    dtype: str | None = None,
    optimizer: Optimizer | None = None,
    depth: int | None = None,
    **options: Any,
) -> Summary:
    r"""Layers, output shapes, parameters, FLOPs and memory of a model.

    Parameters
    ----------
    model : Module
        One of attendo's, or your own.
    *inputs : array_like or tuple of int
        What ``model(...)`` takes, for one real forward pass; a tuple of int is a shape, and zeros are
        given. Without inputs only parameters are listed.
    dtype : str, optional
        Of inputs given as shapes: 'int64' for token ids. Default: that of the model's first parameter.
    optimizer : Optimizer, optional
        One that has taken over the model's parameters: its state is part of the memory.
    depth : int, optional
        Leave out what lies deeper: 1 for the modules right below the model.
    **options
        Further arguments of ``model(...)``.

    Returns
    -------
    Summary

    Raises
    ------
    TypeError
        When model is not a Module.
    ValueError
        When depth is negative; whatever the model says of inputs that do not fit.

    Notes
    -----
    The pass runs in evaluation mode with gradients on: nothing in the model changes. A FLOP is an addition
    or a multiplication, so a multiply-add is two. They are counted where they are made, in the core:
    products of matrices, convolutions, the products of attention and the steps of recurrent layers; not
    biases, activations, norms and softmax, as is usual. Attention counts every pair of query and key, also
    those a mask hides. A row holds all that is below it. A layer whose work is done by the row above it in
    one operation with other layers' (``out_proj`` in attention, the linears of a feed-forward network) has
    no FLOPs of its own.

    Memory is what the allocator handed out: a little more than the arrays, and the activations are what a
    forward pass leaves for backward, its output included.

    Examples
    --------
    >>> import attendo as at
    >>> model = at.nn.Sequential(at.nn.Linear(64, 128), at.nn.ReLU(), at.nn.Linear(128, 10))
    >>> s = at.summary(model, (32, 64))
    >>> s.flops == 2 * 32 * (64 * 128 + 128 * 10), s.parameters, s.layers[1].shape
    (True, 9610, (32, 128))
    >>> print(s)
    layer           output  parameters   FLOPs  activations
    ───────────────────────────────────────────────────────
    Sequential    (32, 10)       9,610   606 k      34.0 kB
      0: Linear  (32, 128)       8,320   524 k      16.4 kB
      1: ReLU    (32, 128)                          16.4 kB
      2: Linear   (32, 10)       1,290  81.9 k      1.28 kB
    ───────────────────────────────────────────────────────
    parameters: 9,610
    FLOPs, forward: 606 k
    memory to train: 111 kB: parameters 38.4 kB, gradients 38.4 kB, activations 34.0 kB

    Source: python/attendo/_summary.py, cpp/core/cost.h
    """
    if not isinstance(model, _core.Module):
        raise TypeError(f"summary: model is a {type(model).__name__} but must be a Module")
    if depth is not None and depth < 0:
        raise ValueError(f"summary: depth is {depth} but must be 0 or more")
    named = model.named_modules()
    costs: list[dict[str, Any] | None] = [None] * len(named)
    multiply_adds = None
    if inputs or options:
        arrays = [_input(x, model, dtype) for x in inputs]
        multiply_adds, costs = _forward(model, arrays, options)
    layers = []
    for (name, module), cost in zip(named, costs, strict=True):
        trainable, frozen, _, _ = _parameters(module)
        flops = None if cost is None else 2 * cost["multiply_adds"]
        kept = None if cost is None else cost["bytes"]
        shape = None if cost is None or cost["shape"] is None else tuple(cost["shape"])
        layers.append(Layer(name, _type_of(module), shape, trainable, frozen, flops, kept))
    trainable, frozen, held, gradients = _parameters(model)
    held += _scales(model)
    return Summary(
        layers=tuple(layer for layer in layers if depth is None or layer.depth <= depth),
        trainable=trainable,
        frozen=frozen,
        parameter_bytes=held,
        gradient_bytes=gradients,
        optimizer_bytes=None if optimizer is None else sum(x.nbytes for x in optimizer.state.values()),
        flops=None if multiply_adds is None else 2 * multiply_adds,
        activation_bytes=layers[0].activations,
    )


def count_flops(function: Callable[..., Any], /, *args: Any, **options: Any) -> int:
    """The FLOPs of whatever a function computes with attendo: forward, backward, a whole training step.

    Parameters
    ----------
    function : callable
        Called once, with the other arguments.

    Returns
    -------
    int
        Additions and multiplications of products of matrices, convolutions, attention and recurrent layers,
        on the thread that calls: what :func:`summary` counts.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.count_flops(at.functional.matmul, np.ones((2, 3)), np.ones((3, 5))) == 2 * 2 * 3 * 5
    True

    Source: cpp/core/cost.h
    """
    multiply_adds, _, _ = _core.count_cost(lambda: function(*args, **options), [])
    return 2 * multiply_adds


def _type_of(module: Module) -> str:
    """As repr says: several of the core's layers are of one class."""
    own = type(module)
    return repr(module).partition("(")[0] if own.__module__.startswith("attendo.") else own.__name__


def _input(x: Any, model: Module, dtype: str | None) -> Any:
    if not (isinstance(x, tuple) and all(isinstance(n, int | np.integer) for n in x)):
        return x
    first = next(iter(model.parameters()), None)
    kind = dtype or ("float32" if first is None or str(first.dtype) == "int8" else str(first.dtype))
    return np.zeros(x, dtype=kind)


def _forward(
    model: Module, inputs: list[Any], options: dict[str, Any]
) -> tuple[int, list[dict[str, Any] | None]]:
    """One pass in evaluation mode; every module is put back in its own."""
    modules = model.modules()
    modes = [module.training for module in modules]
    before = _core.set_grad_enabled(True)
    model.eval()
    try:
        multiply_adds, costs, _ = _core.count_cost(lambda: model(*inputs, **options), modules)
    finally:
        _core.set_grad_enabled(before)
        for module, mode in zip(modules, modes, strict=True):  # parents first: train() goes down the tree
            module.train(mode)
    return multiply_adds, costs


def _parameters(module: Module) -> tuple[int, int, int, int]:
    """Trainable and frozen ones, bytes of all and of the trainable."""
    trainable = frozen = held = gradients = 0
    for parameter in module.parameters():
        size = parameter.size * np.dtype(str(parameter.dtype)).itemsize
        held += size
        if parameter.requires_grad:
            trainable, gradients = trainable + parameter.size, gradients + size
        else:
            frozen += parameter.size
    return trainable, frozen, held, gradients


def _scales(model: Module) -> int:
    """Bytes of the scales that stand beside parameters of eight bits."""
    rounded = {name + "_scales" for name, p in model.named_parameters() if str(p.dtype) == "int8"}
    if not rounded:
        return 0
    return sum(value.nbytes for name, value in model.state_dict().items() if name in rounded)


def _short(value: float, unit: str = "") -> str:
    """Three digits and a prefix: 81.9 k, 1.25 G, 16.4 kB."""
    for prefix in ("", "k", "M", "G", "T", "P"):
        if value < 999.5 or prefix == "P":
            break
        value /= 1000
    digits = 0 if value >= 99.95 or not prefix else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {prefix}{unit}".rstrip()

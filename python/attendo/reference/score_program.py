"""score_program: what becomes of a score before the softmax, as a list of instructions

  forward    y = f(s, b, h, i, j)      x_n = op_n(x_m, …) for each instruction n; its inputs m come before it
  backward   ds = dy ∂f/∂s             dx_m += dx_n ∂op_n/∂x_m from the last instruction to the first
             dtable[index] += dx_n     where x_n = table[index]

s, y: (B, H, L, S)  b, h, i, j: integers that broadcast to it: batch entry, query head, positions of query
and key.  An instruction is (name, inputs, value, kind): value is a constant, or the number of a table; kind
is bool, int or float.

Where dx_n is 0 nothing flows on, whatever the derivative is: a branch not taken does not matter.
At |0| the slope is 0; at a tie of minimum or maximum the first argument gets the gradient.
Linnainmaa 1970 (reverse accumulation); Dong et al. 2024 (score modifications).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._types import Array

Instruction = tuple[str, tuple[int, ...], float | None, str]
Indices = tuple[Any, Any, Any, Any]  # b, h, i, j

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "negative": np.negative,
    "absolute": np.absolute,
    "sign": np.sign,
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sqrt": np.sqrt,
    "floor": np.floor,
    "trunc": np.trunc,
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "floor_divide": np.floor_divide,
    "remainder": np.remainder,
    "power": np.power,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "less": np.less,
    "less_equal": np.less_equal,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "where": lambda condition, x, y: np.where(condition != 0, x, y),
}
_TYPES = {"bool": np.bool_, "int": np.int64, "float": np.float64}

# name -> one derivative for each input: of the inputs x and the value y
_DERIVATIVES: dict[str, tuple[Callable[..., Any], ...]] = {
    "negative": (lambda y, a: -1.0,),
    "absolute": (lambda y, a: np.sign(a),),
    "exp": (lambda y, a: y,),
    "log": (lambda y, a: 1 / a,),
    "tanh": (lambda y, a: 1 - y**2,),
    "sqrt": (lambda y, a: 0.5 / y,),
    "add": (lambda y, a, b: 1.0, lambda y, a, b: 1.0),
    "subtract": (lambda y, a, b: 1.0, lambda y, a, b: -1.0),
    "multiply": (lambda y, a, b: b, lambda y, a, b: a),
    "divide": (lambda y, a, b: 1 / b, lambda y, a, b: -y / b),
    "remainder": (lambda y, a, b: 1.0, lambda y, a, b: -np.floor_divide(a, b)),
    "power": (lambda y, a, b: b * np.power(a, b - 1), lambda y, a, b: y * np.log(a)),
    "minimum": (lambda y, a, b: a <= b, lambda y, a, b: ~(a <= b)),
    "maximum": (lambda y, a, b: a >= b, lambda y, a, b: ~(a >= b)),
    "where": (lambda y, c, a, b: 0.0, lambda y, c, a, b: c != 0, lambda y, c, a, b: c == 0),
}


def _values(s: Array, tables: Sequence[Array], program: Sequence[Instruction], indices: Indices) -> list[Any]:
    """x_n for every instruction."""
    given = dict(zip("sbhij", (s, *indices), strict=True))
    x: list[Any] = []
    for name, inputs, value, kind in program:
        arguments = [x[m] for m in inputs]
        if name in given:
            x.append(given[name])
        elif name == "constant":
            x.append(_TYPES[kind](value))
        elif name == "lookup":
            table = tables[int(value or 0)]
            x.append(table[tuple(arguments)])
        else:
            x.append(np.asarray(_OPERATIONS[name](*arguments)).astype(_TYPES[kind]))
    return x


def score_program(
    s: Array, tables: Sequence[Array], program: Sequence[Instruction], result: int, indices: Indices
) -> Array:
    """The modified scores, shaped as s; `result` is the number of the instruction that gives them."""
    with np.errstate(all="ignore"):
        y: Array = np.broadcast_to(_values(s, tables, program, indices)[result], s.shape).astype(s.dtype)
    return y


def score_program_backward(
    d_y: Array,
    s: Array,
    tables: Sequence[Array],
    program: Sequence[Instruction],
    result: int,
    indices: Indices,
) -> tuple[Array, list[Array]]:
    """d_y like s -> d_s like s, and one gradient for each table."""
    d_s = np.zeros_like(s)
    d_tables: list[Array] = [np.zeros(t.shape) for t in tables]
    with np.errstate(all="ignore"):
        x = _values(s, tables, program, indices)
        d_x = [np.zeros(s.shape) for _ in program]
        d_x[result] = d_x[result] + d_y
        for n in reversed(range(result + 1)):
            name, inputs, value, _ = program[n]
            if name == "s":
                d_s = d_x[n]
            elif name == "lookup":
                index = tuple(np.broadcast_to(x[m], s.shape) for m in inputs)
                d_table = d_tables[int(value or 0)]
                if index:
                    np.add.at(d_table, index, d_x[n])
                else:
                    d_table += d_x[n].sum()
            for m, derivative in zip(inputs, _DERIVATIVES.get(name, ()), strict=False):
                slope = derivative(x[n], *(x[k] for k in inputs))
                d_x[m] = d_x[m] + np.where(d_x[n] == 0, 0, d_x[n] * slope)
    return d_s, d_tables

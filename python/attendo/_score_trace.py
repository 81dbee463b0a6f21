"""Reading a score_mod: it is called once, on symbols in place of numbers, and leaves its formula."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any, NoReturn

import numpy as np

from . import _core
from ._core import ScoreProgram, Tensor

_INSTEAD = "; or compute the numbers beforehand and pass them as bias="


def _refuse(what: str) -> TypeError:
    return TypeError(f"attention: score_mod cannot be traced: {what}{_INSTEAD}")


class _Trace:
    """One tracing: the formula so far, and the arrays it looks things up in."""

    def __init__(self) -> None:
        self.program = ScoreProgram()
        self._tables: dict[int, tuple[Any, Tensor]] = {}

    def table(self, array: Any, name: str) -> Tensor:
        found = self._tables.get(id(array))
        if found is None:
            try:
                tensor = array if isinstance(array, Tensor) else _core.tensor(array, None, False)
            except TypeError as error:
                raise TypeError(f"attention: score_mod looks up {name}: {error}") from None
            found = self._tables[id(array)] = (array, tensor)  # the array too: its id must stay its own
        return found[1]


def _is_array(x: Any) -> bool:
    return isinstance(x, Tensor) or (isinstance(x, np.ndarray) and x.dtype.kind in "fiub")


def _node(trace: _Trace, x: Any) -> int:
    """The number of a value in the program."""
    program = trace.program
    if isinstance(x, Expression):
        if x._trace is not trace:
            raise _refuse("it uses a symbol of another call; take nothing out of a score_mod but its result")
        return x._number
    if isinstance(x, Captured):
        if x._pending or x._array.size != 1:
            raise _refuse(
                f"{x._name} of shape {tuple(x._array.shape)} stands in the arithmetic whole; look up one "
                f"entry of it, as in {x._name}[h]"
            )
        x = x._array
    if isinstance(x, (bool, np.bool_)):
        return program.boolean(bool(x))
    if isinstance(x, (int, np.integer)):
        try:
            return program.integer(float(x))
        except OverflowError:
            raise _refuse(f"{x} is too large") from None
    if isinstance(x, (float, np.floating)):
        return program.number(float(x))
    if _is_array(x):
        if x.size != 1:
            raise _refuse(
                f"an array of shape {tuple(x.shape)} stands in the arithmetic; look up one entry of it, as "
                "in table[h, i - j], with at.score_mods.captured(table) if need be"
            )
        zero = program.integer(0)
        return program.lookup(trace.table(x, "a number"), "a number", [zero] * x.ndim)
    raise _refuse(f"it computes with a {type(x).__name__}")


# -- what NumPy's functions become ---------------------------------------------------------------------------


def _truth(p: ScoreProgram, a: int) -> int:
    return a if p.kind(a) == "bool" else p.binary("not_equal", a, p.integer(0))


def _both_true(p: ScoreProgram, a: int, b: int, what: str) -> tuple[int, int]:
    if what.startswith("bitwise") and not p.kind(a) == p.kind(b) == "bool":
        raise _refuse(f"{what} of whole numbers")
    return _truth(p, a), _truth(p, b)


def _opposite(p: ScoreProgram, a: int, what: str = "") -> int:
    if what == "invert" and p.kind(a) != "bool":
        raise _refuse("~ of a number; it is for conditions")
    return p.binary("equal", _truth(p, a), p.boolean(False))


def _plain(name: str) -> Callable[[ScoreProgram, int], int]:
    return lambda p, a: p.unary(name, a)


def _plain2(name: str) -> Callable[[ScoreProgram, int, int], int]:
    return lambda p, a, b: p.binary(name, a, b)


def _condition(name: str, what: str) -> Callable[[ScoreProgram, int, int], int]:
    return lambda p, a, b: p.binary(name, *_both_true(p, a, b, what))


def _logarithm(base: float) -> Callable[[ScoreProgram, int], int]:
    return lambda p, a: p.binary("divide", p.unary("log", a), p.number(math.log(base)))


_ONE: dict[str, Callable[[ScoreProgram, int], int]] = {
    **{
        name: _plain(name)
        for name in ("negative", "absolute", "sign", "exp", "log", "tanh", "sqrt", "floor", "trunc")
    },
    "positive": lambda p, a: a,
    "fabs": lambda p, a: p.unary("absolute", p.to_float(a)),
    "square": lambda p, a: p.binary("multiply", a, a),
    "reciprocal": lambda p, a: p.binary("divide", p.number(1.0), a),
    "exp2": lambda p, a: p.unary("exp", p.binary("multiply", a, p.number(math.log(2)))),
    "log2": _logarithm(2),
    "log10": _logarithm(10),
    "log1p": lambda p, a: p.unary("log", p.binary("add", a, p.number(1.0))),
    "expm1": lambda p, a: p.binary("subtract", p.unary("exp", a), p.number(1.0)),
    "ceil": lambda p, a: p.unary("negative", p.unary("floor", p.unary("negative", a))),
    "logical_not": _opposite,
    "invert": lambda p, a: _opposite(p, a, "invert"),
    "isnan": lambda p, a: p.binary("not_equal", a, a),
}

_TWO: dict[str, Callable[[ScoreProgram, int, int], int]] = {
    **{
        name: _plain2(name)
        for name in (
            "add",
            "subtract",
            "multiply",
            "divide",
            "floor_divide",
            "remainder",
            "power",
            "minimum",
            "maximum",
            "less",
            "less_equal",
            "equal",
            "not_equal",
        )
    },
    "float_power": lambda p, a, b: p.binary("power", p.to_float(a), b),
    "greater": lambda p, a, b: p.binary("less", b, a),
    "greater_equal": lambda p, a, b: p.binary("less_equal", b, a),
    **{name: _condition("multiply", name) for name in ("logical_and", "bitwise_and")},
    **{name: _condition("add", name) for name in ("logical_or", "bitwise_or")},
    **{name: _condition("not_equal", name) for name in ("logical_xor", "bitwise_xor")},
}


def _trace_of(values: Any) -> _Trace:
    return next(x._trace for x in values if isinstance(x, Expression))


def _apply(name: str, *inputs: Any) -> Expression:
    trace = _trace_of(inputs)
    nodes = [_node(trace, x) for x in inputs]
    if len(nodes) == 1 and name in _ONE:
        return Expression(trace, _ONE[name](trace.program, nodes[0]))
    if len(nodes) == 2 and name in _TWO:
        return Expression(trace, _TWO[name](trace.program, nodes[0], nodes[1]))
    raise _refuse(
        f"there is no numpy.{name} in it; there are {', '.join(sorted({*_ONE, *_TWO, 'where', 'clip'}))}"
    )


def _where(condition: Any, x: Any = None, y: Any = None) -> Expression:
    if x is None or y is None:
        raise _refuse("np.where needs both of its choices")
    trace = _trace_of((condition, x, y))
    return Expression(trace, trace.program.where(*(_node(trace, value) for value in (condition, x, y))))


def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    if low is not None:
        a = np.maximum(a, low)
    return a if high is None else np.minimum(a, high)


_FUNCTIONS: dict[Any, Callable[..., Any]] = {np.where: _where, np.clip: _clip}


def _ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if method != "__call__" or kwargs:
        raise _refuse(f"numpy.{ufunc.__name__}{'' if method == '__call__' else '.' + method} with options")
    return _apply(ufunc.__name__, *inputs)


def _operator(name: str, reverse: bool = False) -> Callable[[Any, Any], Any]:
    def operator(self: Any, other: Any) -> Any:
        return _apply(name, other, self) if reverse else _apply(name, self, other)

    return operator


class Expression:
    """A value of a score_mod while it is traced."""

    __slots__ = ("_number", "_trace")

    def __init__(self, trace: _Trace, number: int) -> None:
        self._trace, self._number = trace, number

    def __repr__(self) -> str:
        return self._trace.program.text(self._number)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if func not in _FUNCTIONS:
            raise _refuse(f"there is no numpy.{getattr(func, '__name__', func)} in it")
        return _FUNCTIONS[func](*args, **kwargs)

    __add__, __radd__ = _operator("add"), _operator("add", True)
    __sub__, __rsub__ = _operator("subtract"), _operator("subtract", True)
    __mul__, __rmul__ = _operator("multiply"), _operator("multiply", True)
    __truediv__, __rtruediv__ = _operator("divide"), _operator("divide", True)
    __floordiv__, __rfloordiv__ = _operator("floor_divide"), _operator("floor_divide", True)
    __mod__, __rmod__ = _operator("remainder"), _operator("remainder", True)
    __pow__, __rpow__ = _operator("power"), _operator("power", True)
    __and__, __rand__ = _operator("bitwise_and"), _operator("bitwise_and", True)
    __or__, __ror__ = _operator("bitwise_or"), _operator("bitwise_or", True)
    __xor__, __rxor__ = _operator("bitwise_xor"), _operator("bitwise_xor", True)
    __lt__, __le__ = _operator("less"), _operator("less_equal")
    __gt__, __ge__ = _operator("greater"), _operator("greater_equal")
    __eq__, __ne__ = _operator("equal"), _operator("not_equal")
    __hash__ = object.__hash__

    def __neg__(self) -> Expression:
        return _apply("negative", self)

    def __pos__(self) -> Expression:
        return self

    def __abs__(self) -> Expression:
        return _apply("absolute", self)

    def __invert__(self) -> Expression:
        return _apply("invert", self)

    def clip(self, min: Any = None, max: Any = None) -> Any:
        return _clip(self, min, max)

    def astype(self, dtype: Any) -> Expression:
        kind, p = np.dtype(dtype).kind, self._trace.program
        if kind not in "fiub":
            raise _refuse(f"astype({dtype!r})")
        if kind == "b":
            return Expression(self._trace, _truth(p, self._number))
        return Expression(self._trace, p.to_float(self._number) if kind == "f" else p.to_int(self._number))

    def _look_up(self, table: Any, key: Any) -> Any:
        """table[key], for a Tensor that finds this expression in the key."""
        return Captured(table, "table")[key]

    # -- what a symbol cannot do

    def __bool__(self) -> bool:
        raise _refuse(
            f"whether ({self}) holds differs from entry to entry, so if, and, or, not, min and max cannot "
            "decide by it; say np.where(condition, x, y), & | ~, np.minimum and np.maximum"
        )

    def __float__(self) -> float:
        raise _refuse(f"({self}) is no single number; say np.exp, np.tanh, … in place of math's")

    def __int__(self) -> int:
        raise _refuse(f"({self}) is no single number; say .astype(int) in place of int()")

    def __index__(self) -> int:
        raise _refuse(
            f"({self}) is an index of something that is not seen to be an array; make it one with "
            "table = at.score_mods.captured(array) outside"
        )

    def __iter__(self) -> NoReturn:
        raise _refuse(f"({self}) is one entry, there is nothing to iterate over")

    def __getitem__(self, key: Any) -> NoReturn:
        raise _refuse(f"({self}) is one entry, it has no [{key!r}]")

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"attention: score_mod cannot be traced: a score has no .{name}; use NumPy's functions{_INSTEAD}"
        )


# -- arrays a score_mod looks things up in -------------------------------------------------------------------


def _unwrapped(x: Any) -> Any:
    if isinstance(x, Captured):
        return x._array
    return type(x)(map(_unwrapped, x)) if type(x) in (list, tuple) else x


class Captured(np.lib.mixins.NDArrayOperatorsMixin):
    """An array in whose brackets the symbols of a traced score_mod may stand."""

    def __init__(self, array: Any, name: str, pending: tuple[Any, ...] = ()) -> None:
        self._array, self._name, self._pending = array, name, pending

    def __getitem__(self, key: Any) -> Any:
        items = key if isinstance(key, tuple) else (key,)
        if not self._pending and not any(isinstance(x, Expression) for x in items):
            found = self._array[_unwrapped(key)]
            # Outside of a trace, with arrays of indices, plain arrays come back.
            return found if any(isinstance(x, np.ndarray) for x in items) else _wrapped(found, self._name)
        items = (*self._pending, *items)
        for item in items:
            if isinstance(item, (bool, np.bool_)) or not isinstance(item, (Expression, int, np.integer)):
                raise _refuse(
                    f"{self._name}[…] mixes symbols with {item!r}; give one whole number for each of its axes"
                )
        ndim = self._array.ndim
        if len(items) > ndim:
            raise IndexError(
                f"attention: score_mod looks up {self._name} with {len(items)} indices but it has {ndim} axes"
            )
        if len(items) < ndim:
            return Captured(self._array, self._name, items)
        trace = _trace_of(items)
        table = trace.table(self._array, self._name)
        return Expression(trace, trace.program.lookup(table, self._name, [_node(trace, x) for x in items]))

    def _look_up(self, table: Any, key: Any) -> NoReturn:
        raise _refuse(f"a whole array, {self._name}, is an index")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, Expression) for x in inputs):
            return _ufunc(ufunc, method, inputs, kwargs)
        if any(isinstance(x, Captured) and x._pending for x in inputs):
            raise _refuse(f"{self._name} lacks an index; give one for each of its {self._array.ndim} axes")
        return _wrapped(getattr(ufunc, method)(*map(_unwrapped, inputs), **kwargs), self._name)

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if any(isinstance(x, Expression) for x in (*args, *kwargs.values())):
            raise _refuse(f"numpy.{getattr(func, '__name__', func)} of a whole array, {self._name}")
        return _wrapped(
            func(*map(_unwrapped, args), **{k: _unwrapped(v) for k, v in kwargs.items()}), self._name
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = self._array.numpy() if isinstance(self._array, Tensor) else self._array
        return np.array(array, dtype=dtype, copy=copy)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self._array, name)
        if not callable(value) or isinstance(value, Tensor):
            return _wrapped(value, self._name)
        return lambda *args, **kwargs: _wrapped(value(*map(_unwrapped, args), **kwargs), self._name)

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Any]:
        return (self[n] for n in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._array)

    def __float__(self) -> float:
        return float(self._array)

    def __int__(self) -> int:
        return int(self._array)

    def __index__(self) -> int:
        return int(np.asarray(self).__index__())

    def __repr__(self) -> str:
        return f"captured({self._array!r})"


def _wrapped(x: Any, name: str) -> Any:
    return Captured(x, name) if _is_array(x) and x.ndim > 0 else x


# -- a function with the arrays it captured made ready for symbols -------------------------------------------


_MOST = 100  # entries of a list or dict that are looked through for arrays


def _names(code: CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found


class _Prepare:
    """Gives a function with the arrays it captured wrapped; the function itself where there are none."""

    def __init__(self) -> None:
        self._done: dict[int, Any] = {}
        self._begun: dict[int, list[CellType]] = {}  # functions under way, and the cells that wait for them

    def __call__(self, x: Any, name: str) -> Any:
        if isinstance(x, functools.partial):
            keywords = {key: self(value, key) for key, value in x.keywords.items()}
            return functools.partial(
                self(x.func, name), *(self(value, "array") for value in x.args), **keywords
            )
        if type(x) in (list, tuple) and len(x) <= _MOST:
            items = [self(value, name) for value in x]
            return x if all(a is b for a, b in zip(items, x, strict=True)) else type(x)(items)
        if type(x) is dict and len(x) <= _MOST:
            entries = {key: self(value, name) for key, value in x.items()}
            return x if all(entries[key] is x[key] for key in x) else entries
        if isinstance(x, MethodType):
            return MethodType(self(x.__func__, name), x.__self__)
        if isinstance(x, FunctionType) and (x.__module__ or "").split(".")[0] != "numpy":
            if id(x) not in self._done:
                self._begun[id(x)] = []
                ready = self._done[id(x)] = self._function(x)
                for cell in self._begun.pop(id(x)):
                    cell.cell_contents = ready
            return self._done[id(x)]
        return _wrapped(x, name)

    def _function(self, x: FunctionType) -> FunctionType:
        own = {}
        for name in _names(x.__code__) & x.__globals__.keys():
            value = x.__globals__[name]
            if id(value) not in self._begun and (ready := self(value, name)) is not value:
                own[name] = ready
        cells = []
        for name, cell in zip(x.__code__.co_freevars, x.__closure__ or (), strict=True):
            cells.append(self._cell(name, cell))
        defaults = self(x.__defaults__, "array")
        keywords = self(x.__kwdefaults__, "array")
        same = all(a is b for a, b in zip(cells, x.__closure__ or (), strict=True))
        if not own and same and defaults is x.__defaults__ and keywords is x.__kwdefaults__:
            return x
        ready = FunctionType(x.__code__, {**x.__globals__, **own}, x.__name__, defaults, tuple(cells) or None)
        ready.__kwdefaults__ = keywords
        return ready

    def _cell(self, name: str, cell: CellType) -> CellType:
        try:
            value = cell.cell_contents
        except ValueError:  # nothing in it yet
            return cell
        if id(value) in self._begun:  # a function that calls itself
            waiting = CellType()
            self._begun[id(value)].append(waiting)
            return waiting
        ready = self(value, name)
        return cell if ready is value else CellType(ready)


def trace(score_mod: Any) -> ScoreProgram:
    """The formula a score_mod computes."""
    if not callable(score_mod):
        raise TypeError(
            f"attention: score_mod is a {type(score_mod).__name__} but must be a function of "
            "(s, b, h, i, j): the score, the batch entry, the head and the positions of query and key; "
            "numbers go to bias="
        )
    try:
        inspect.signature(score_mod).bind(*range(5))
    except TypeError as error:
        raise TypeError(
            f"attention: score_mod must take the five arguments (s, b, h, i, j): {error}"
        ) from None
    except ValueError:  # a function without a signature
        pass
    function = score_mod
    if not isinstance(score_mod, (FunctionType, MethodType, functools.partial)):
        called = type(score_mod).__call__
        if isinstance(called, FunctionType):
            function = MethodType(called, score_mod)
    tracing = _Trace()
    p = tracing.program
    symbols = [Expression(tracing, n) for n in (p.score(), p.batch(), p.head(), p.query(), p.key())]
    try:
        result = _Prepare()(function, "score_mod")(*symbols)
    except IndexError as error:
        if "only integers, slices" not in str(error):
            raise
        raise _refuse(
            "it looks up an array that is not seen to be one of its variables; make it "
            "table = at.score_mods.captured(array) outside"
        ) from error
    if result is None:
        raise TypeError("attention: score_mod returned None; it must return the modified score")
    p.set_result(_node(tracing, result))
    return p

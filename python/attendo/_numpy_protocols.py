"""What NumPy does when it is given a Tensor, and comparisons.

A NumPy function works on values; the tape would end there without a word. So it is applied to a Tensor off
the tape, turned into the operation of this package where there is one, and an error otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._core import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": _core.add,
    "subtract": _core.subtract,
    "multiply": _core.multiply,
    "divide": _core.divide,
    "true_divide": _core.divide,
    "matmul": _core.matmul,
    "exp": _core.exp,
    "log": _core.log,
    "sqrt": _core.sqrt,
    "tanh": _core.tanh,
}


# Their results have no gradient, so none is lost.
_WITHOUT_GRADIENT = frozenset(
    {
        "equal",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "isfinite",
        "isinf",
        "isnan",
        "signbit",
    }
    | {
        "allclose",
        "argmax",
        "argmin",
        "argsort",
        "array_equal",
        "isclose",
        "ndim",
        "shape",
        "size",
        "array_repr",
        "array_str",
    }
)


def _tracked(x: Any) -> bool:
    if isinstance(x, Tensor):
        return x.requires_grad
    return isinstance(x, (list, tuple)) and any(map(_tracked, x))


def _plain(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.numpy()
    return type(x)(map(_plain, x)) if type(x) in (list, tuple) else x


def _refuse(name: str) -> TypeError:
    return TypeError(
        f"numpy.{name} does not know the tape: the gradient would end here without a word. Use a Tensor "
        "method or attendo.functional, or x.numpy() (x.detach()) to take the values off the tape"
    )


def _apply(name: str, function: Callable[..., Any], args: Iterable[Any], kwargs: dict[str, Any]) -> Any:
    args = tuple(args)
    if name not in _WITHOUT_GRADIENT and (any(map(_tracked, args)) or any(map(_tracked, kwargs.values()))):
        raise _refuse(name)
    return function(*map(_plain, args), **{key: _plain(value) for key, value in kwargs.items()})


def _array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    operation = _OPERATIONS.get(ufunc.__name__)
    if operation is not None and method == "__call__" and not kwargs:
        return operation(*inputs)
    return _apply(ufunc.__name__, getattr(ufunc, method), inputs, kwargs)


def _array_function(
    self: Tensor, func: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    return _apply(getattr(func, "__name__", str(func)), func, args, kwargs)


def _compare(name: str) -> Callable[[Tensor, Any], NDArray[np.bool_]]:
    def compare(self: Tensor, other: Any) -> NDArray[np.bool_]:
        return getattr(self.numpy(), name)(_plain(other))  # type: ignore[no-any-return]

    compare.__name__ = name
    compare.__doc__ = "Element by element, as an array of bool."
    return compare


def install() -> None:
    """Put all this on the Tensor class."""
    hash_by_identity = Tensor.__hash__
    Tensor.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
    Tensor.__array_function__ = _array_function  # type: ignore[attr-defined]
    for name in ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"):
        setattr(Tensor, name, _compare(name))
    Tensor.__hash__ = hash_by_identity  # type: ignore[method-assign]

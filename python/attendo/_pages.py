"""The pages of the core's classes: what ``help``, ``inspect.signature`` and a notebook's Shift-Tab show.

A page is a class in Python with the signatures and docstrings of a class in C++, and no code:

    @page(Linear, "attendo.nn")
    class _Linear:
        '''Affine map of the last axis ...'''

        def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None: ...

The methods of the C++ class then carry the page's signatures. The page itself is gone: its name is None.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from types import FunctionType
from typing import Any


def page(cls: type, module: str) -> Callable[[type], None]:
    """Give ``cls`` the page that follows, and the public module it is found in."""

    def write(source: type) -> None:
        cls.__doc__ = source.__doc__
        cls.__module__ = module
        for name, entry in vars(source).items():
            if isinstance(entry, FunctionType):
                method = _method(cls, name, entry)
                setattr(cls, name, _Forward(vars(cls)[name], method) if name == "forward" else method)
            elif isinstance(entry, property):
                core = getattr(cls, name)
                setattr(cls, name, property(core.fget, core.fset, core.fdel, entry.__doc__))
        forward = vars(source).get("forward")
        if forward is not None and "__call__" not in vars(source):
            setattr(cls, "__call__", _method(cls, "__call__", forward))  # noqa: B010  (not type's own)

    return write


def _method(cls: type, name: str, source: FunctionType) -> FunctionType:
    """The core's method as a Python function: what subclasses, pydoc and inspect know how to handle."""
    core = getattr(cls, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return core(self, *args, **kwargs)
        except TypeError as error:
            if "incompatible function arguments" not in str(error) and "incompatible constructor" not in str(
                error
            ):
                raise
            reason = _misfit(source, self, args, kwargs)
        raise TypeError(f"{cls.__name__ if name == '__init__' else f'{cls.__name__}.{name}'}: {reason}")

    update_wrapper(method, source)  # inspect.signature follows __wrapped__
    method.__name__, method.__module__ = name, cls.__module__
    method.__qualname__ = f"{cls.__name__}.{name}"
    assert isinstance(method, FunctionType)
    return method


def _misfit(source: FunctionType, self: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Why a call does not fit the page's signature, in Python's words."""
    import inspect

    signature = inspect.signature(source)
    try:
        signature.bind(self, *args, **kwargs)
    except TypeError as error:
        reason = str(error)
    else:
        kinds = ", ".join(type(x).__name__ for x in (*args, *kwargs.values()))
        reason = f"an argument has a type that does not fit (given: {kinds or 'none'})"
    rest = [str(parameter) for name, parameter in signature.parameters.items() if name != "self"]
    star = next((i for i, p in enumerate(signature.parameters.values()) if p.kind is p.KEYWORD_ONLY), None)
    if star is not None:
        rest.insert(star - 1, "*")
    return f"{reason}; it takes ({', '.join(rest)})"


class _Forward:
    # On the class it has its page; on a layer it is the core's own, by which C++ sees that Python did not
    # override it.

    def __init__(self, core: Any, method: FunctionType) -> None:
        self._core = core
        self._method = method

    def __get__(self, layer: object | None, cls: type | None = None) -> Any:
        return self._method if layer is None else self._core.__get__(layer, cls)

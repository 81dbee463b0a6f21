"""The pages of the core's classes: what ``help``, ``inspect.signature`` and a notebook's Shift-Tab show.

A page is a class in Python with the signatures and docstrings of a class in C++, and no code:

    @page(Linear, "attendo.nn")
    class _Linear:
        '''Affine map of the last axis ...'''

        def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None: ...

The methods of the C++ class then carry the page's signatures. The page itself is gone: its name is bound to None.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from types import FunctionType
from typing import Any


def page(cls: type, module: str) -> Callable[[type], None]:
    """Give ``cls`` the page that follows, and the public module it is found in."""

    def write(source: type) -> None:
        name = cls.__name__
        cls.__doc__ = source.__doc__
        cls.__module__ = module
        for key, entry in vars(source).items():
            if isinstance(entry, FunctionType):
                setattr(cls, key, _method(getattr(cls, key), entry, module, f"{name}.{key}"))
            elif isinstance(entry, property):
                core = getattr(cls, key)
                setattr(cls, key, property(core.fget, core.fset, core.fdel, entry.__doc__))
        forward = vars(source).get("forward")
        if forward is not None and "__call__" not in vars(source):
            call = _method(cls.__call__, forward, module, f"{name}.__call__")
            call.__name__, call.__doc__ = "__call__", "The same as :meth:`forward`; arrays become Tensors."
            setattr(cls, "__call__", call)  # noqa: B010  (assigning to a class's method is no news to mypy)

    return write


def _method(core: Callable[..., Any], source: FunctionType, module: str, name: str) -> FunctionType:
    # A plain function: pydoc, inspect (by __wrapped__) and subclasses know what to do with it.
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return core(self, *args, **kwargs)

    update_wrapper(method, source)
    method.__module__ = module
    method.__qualname__ = name
    assert isinstance(method, FunctionType)
    return method

"""What the tests put in: cases over shapes, sizes and options, every memory layout, every wrong type."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

import attendo as at

Array: TypeAlias = np.ndarray[Any, Any]
Maker: TypeAlias = Callable[[np.random.Generator], Array]

DTYPES = (np.dtype("float32"), np.dtype("float64"))
THREADS = (1, 2, 4)
SIZES = (0, 1, 3, 7, 16, 17, 33, 64, 65, 100)  # none, one, odd, whole vectors and what they leave over


def normal(*shape: int, scale: float = 1.0) -> Maker:
    """Normally distributed; what a bare shape stands for."""
    return lambda rng: scale * rng.standard_normal(shape)


def positive(*shape: int) -> Maker:
    return lambda rng: rng.uniform(0.5, 2, shape)


def between(low: float, high: float, *shape: int) -> Maker:
    return lambda rng: rng.uniform(low, high, shape)


def ids(high: int, *shape: int) -> Maker:
    return lambda rng: rng.integers(0, high, shape)


def probabilities(*shape: int) -> Maker:
    return lambda rng: rng.dirichlet(np.ones(shape[-1]), shape[:-1])


def made(x: Any, rng: np.random.Generator, dtype: Any) -> Array | None:
    if x is None:
        return None
    array = np.asarray(x(rng) if callable(x) else rng.standard_normal(x) if isinstance(x, tuple) else x)
    return array.astype(dtype) if array.dtype.kind == "f" else array


@dataclass(frozen=True)
class Case:
    inputs: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)
    excluded: tuple[str, ...] = ()
    scale: float | None = None

    def but_not(self, *tests: str) -> Case:
        """The same case, left out of the tests of these names (without test_)."""
        return replace(self, excluded=tests)

    def of_scale(self, scale: float) -> Case:
        """The same case, in which numbers of this size cancel: rounding errors are multiples of them."""
        return replace(self, scale=scale)

    def arrays(self, dtype: Any) -> list[Array | None]:
        rng = np.random.default_rng(20170612)
        return [made(x, rng, dtype) for x in self.inputs]

    def __str__(self) -> str:
        def text(x: Any) -> str:
            x = made(x, np.random.default_rng(0), np.float64)
            return "None" if x is None else "x".join(map(str, x.shape)) or "()"

        options = [
            f"{name}={text(value) if isinstance(value, np.ndarray) else value}"
            for name, value in self.options.items()
        ]
        return "-".join([*map(text, self.inputs), *options]).replace(" ", "")


def case(*inputs: Any, **options: Any) -> Case:
    """Inputs: a shape (normal numbers), a maker, an array, or None. Options are passed on."""
    return Case(inputs, options)


@dataclass(frozen=True)
class Wrong:
    case: Case
    raises: type[Exception]
    says: str

    def __str__(self) -> str:
        return re.sub(r"\W+", "-", self.says)


def wrong(*inputs: Any, raises: type[Exception] = ValueError, says: str, **options: Any) -> Wrong:
    """A call that must fail, and words of its error message after the operation's name."""
    return Wrong(Case(inputs, options), raises, says)


# ------------------------------------------------------------------------------------------- memory and types


def strided(x: Array) -> Array:
    out = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan if x.dtype.kind == "f" else 0, x.dtype)
    out[..., ::2] = x
    return out[..., ::2]


def reversed_axes(x: Array) -> Array:
    flip = (slice(None, None, -1),) * x.ndim
    return np.ascontiguousarray(x[flip])[flip]


def part_of_larger(x: Array) -> Array:
    out = np.pad(x, 1)
    return out[(slice(1, -1),) * x.ndim]


def read_only(x: Array) -> Array:
    out = x.copy()
    out.flags.writeable = False
    return out


def unaligned(x: Array) -> Array:
    data = np.frombuffer(bytearray(1) + x.tobytes(), dtype=np.uint8)[1:]
    return data.view(x.dtype).reshape(x.shape)


class ArrayLike:
    """Something that can be made an array, as pandas' and PyTorch's objects can."""

    def __init__(self, array: Array) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self._array.astype(dtype or self._array.dtype)


class DlpackOnly:
    """What other array libraries offer where they know nothing of NumPy."""

    def __init__(self, array: Array) -> None:
        self._array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


LAYOUTS: dict[str, Callable[[Array], Any]] = {
    "fortran": lambda x: np.array(x, order="F"),
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "strided": strided,
    "reversed": reversed_axes,
    "part": part_of_larger,
    "read_only": read_only,
    "byte_swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "unaligned": unaligned,
    "array_like": ArrayLike,
    "dlpack": DlpackOnly,
    "subclass": lambda x: x.view(type("Sub", (np.ndarray,), {})),
    "tensor": at.tensor,
}

WRONG_TYPES: dict[str, Callable[[Array], Any]] = {
    "int64": lambda x: x.astype(np.int64),
    "int8": lambda x: x.astype(np.int8),
    "uint64": lambda x: np.abs(x).astype(np.uint64),
    "bool": lambda x: x.astype(bool),
    "float16": lambda x: x.astype(np.float16),
    **({"longdouble": lambda x: x.astype(np.longdouble)} if np.dtype(np.longdouble).itemsize > 8 else {}),
    "complex64": lambda x: x.astype(np.complex64),
    "complex128": lambda x: x.astype(np.complex128),
    "object": lambda x: x.astype(object),
    "text": lambda x: x.astype(str),
    "bytes": lambda x: x.astype("S8"),
    "date": lambda x: np.zeros(x.shape, "datetime64[s]"),
    "structured": lambda x: np.zeros(x.shape, [("re", "f4"), ("im", "f4")]),
    "a_string": lambda x: "abc",
    "a_dict": lambda x: {"a": 1},
    "a_set": lambda x: {1.0, 2.0},
    "a_function": lambda x: len,
    "an_object": lambda x: object(),
    "a_generator": lambda x: at.Generator(0),
    "ragged": lambda x: [[1.0], [2.0, 3.0]],
    "int_tensor": lambda x: at.tensor(x.astype(np.int64)),
}


def is_float(x: Array | None) -> bool:
    return x is not None and x.dtype.kind == "f"


def in_double(arrays: Sequence[Array | None]) -> list[Array | None]:
    return [x.astype(np.float64) if x is not None and is_float(x) else x for x in arrays]


def upstream(y: Any) -> Array:
    """A gradient to send back: as random as the inputs, in the dtype and shape of y."""
    return np.asarray(np.random.default_rng(7).standard_normal(np.shape(y)), dtype=np.asarray(y).dtype)

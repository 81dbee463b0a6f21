"""One description of an operation yields all of its tests.

    TestLinear = op_tests(
        "linear", "x weight bias", [case((4, 3), (5, 3), (5,)), case((2, 1, 3), (1, 3), None)],
        large=[case((300, 200), (250, 200), (250,))],
        torch=lambda torch, x, weight, bias: torch.nn.functional.linear(x, weight, bias),
        errors=[wrong((4, 3), (5, 2), says="x has 3 features but weight expects 2")],
    )

The class it gives tests, over all cases and dtypes,

- the forward pass against reference/, computed in float64 from the same numbers;
- the gradients on the tape against the reference's backward pass, and against central differences;
- the same bits on 1, 2 and 4 threads;
- forward and gradient against PyTorch, where it is installed;
- the contract: dtypes, ranks, shapes, memory layouts, read-only, empty, NaN, inf, huge; inputs stay as they
  were, results own their memory, and every error names the operation and the argument.

The memory layouts and dtypes of the contract are tried on the first case. inputs.py has what is put in,
tolerance.py what counts as equal.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, LAYOUTS, THREADS, WRONG_TYPES, Case, Wrong, in_double, is_float, made, upstream
from tolerance import DIFFERENCE, STEP, assert_close, assert_same_bits, magnitude

Array: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Op:
    name: str
    arguments: tuple[str, ...]
    cases: list[Case]
    large: list[Case]
    errors: list[Wrong]
    huge: Callable[[], tuple[Any, ...]] | None
    function: Callable[..., Any]
    reference: Callable[..., Any]
    backward: Callable[..., Any]
    torch: Callable[..., Any] | None
    constants: tuple[str, ...]
    entrywise: bool

    def leaves(self, arrays: Sequence[Array | None]) -> list[int]:
        """Where the inputs stand that have a gradient."""
        return [i for i, x in enumerate(arrays) if is_float(x) and self.arguments[i] not in self.constants]

    def expected(self, arrays: Sequence[Array | None], options: dict[str, Any]) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.reference(*in_double(arrays), **options))

    def tracked(
        self, arrays: Sequence[Array | None], options: dict[str, Any], of: Sequence[int] | None = None
    ) -> tuple[Any, dict[int, at.Tensor]]:
        """y as a Tensor, and the inputs that require a gradient: all float ones, or `of`."""
        inputs: list[Any] = list(arrays)
        leaves = {}
        for i in self.leaves(arrays) if of is None else of:
            inputs[i] = leaves[i] = at.tensor(arrays[i], requires_grad=True)
        return self.function(*inputs, **options), leaves

    def gradients(
        self, arrays: Sequence[Array | None], options: dict[str, Any], of: Sequence[int] | None = None
    ) -> dict[int, Array]:
        y, leaves = self.tracked(arrays, options, of)
        y.backward(upstream(y))
        for i, leaf in leaves.items():
            assert leaf.grad is not None, f"{self.arguments[i]} has no gradient"
        return {i: leaf.grad.numpy() for i, leaf in leaves.items()}


class OpTests:
    """What `op_tests` makes a subclass of."""

    op: Op

    def pytest_generate_tests(self, metafunc: Any) -> None:
        first = self.op.cases[0]
        arrays = first.arrays(np.float64)
        test = metafunc.function.__name__.removeprefix("test_")
        values = {
            "case": [case for case in self.op.cases if test not in case.excluded],
            "large": self.op.large,
            "dtype": DTYPES,
            "error": self.op.errors,
            "argument": [name for name, x in zip(self.op.arguments, arrays, strict=True) if is_float(x)],
            "leaf": [self.op.arguments[i] for i in self.op.leaves(arrays)],
            "layout": LAYOUTS,
            "wrong_type": WRONG_TYPES,
        }
        for name in metafunc.fixturenames:
            if name in values:
                metafunc.parametrize(name, values[name], ids=str)

    # -- values

    def test_forward(self, case: Case, dtype: Any) -> None:
        arrays = case.arrays(dtype)
        before = [None if x is None else x.copy() for x in arrays]
        y = self.op.function(*arrays, **case.options)
        assert type(y) is np.ndarray
        expected = self.op.expected(arrays, case.options)
        assert_close(y, expected, dtype, scale=case.scale, entrywise=self.op.entrywise)
        for x, x_before in zip(arrays, before, strict=True):
            if x is not None:
                assert_same_bits(x, x_before, "an input was changed")

    def test_gradient(self, case: Case, dtype: Any) -> None:
        arrays = case.arrays(dtype)
        y, leaves = self.op.tracked(arrays, case.options)
        assert isinstance(y, at.Tensor) and y.requires_grad
        assert_same_bits(y, self.op.function(*arrays, **case.options), "the tape changes the result")
        d_y = upstream(y)
        with np.errstate(all="ignore"):
            expected = self.op.backward(d_y.astype(np.float64), *in_double(arrays), **case.options)
        got = self.op.gradients(arrays, case.options)
        present = [g for g in expected if g is not None]
        assert len(present) == len(leaves)
        for i, g in zip(leaves, present, strict=True):
            assert_close(got[i], g, dtype, scale=case.scale, what=f"gradient of {self.op.arguments[i]}")

    def test_central_differences(self, case: Case) -> None:
        arrays = case.arrays(np.float64)
        got = self.op.gradients(arrays, case.options)
        rng = np.random.default_rng(1)
        for i, gradient in got.items():
            x = arrays[i]
            assert x is not None
            some = rng.permutation(x.size)[:24]
            for at_index in some:
                values = []
                h = STEP * max(1.0, abs(float(x.flat[at_index])))
                for sign in (+1, -1):
                    moved = list(arrays)
                    moved[i] = x.copy()
                    moved[i].flat[at_index] += sign * h
                    y = self.op.function(*moved, **case.options)
                    values.append(float(np.sum(upstream(y) * y)))
                difference = (values[0] - values[1]) / (2 * h)
                allowed = DIFFERENCE * magnitude(np.append(gradient, values))
                assert abs(gradient.flat[at_index] - difference) <= allowed, self.op.arguments[i]

    def test_same_bits_on_any_number_of_threads(self, large: Case, dtype: Any) -> None:
        arrays = large.arrays(dtype)
        results = []
        for threads in THREADS:
            at.set_num_threads(threads)
            y = self.op.function(*arrays, **large.options)
            results.append([y, *self.op.gradients(arrays, large.options).values()])
        assert_close(results[0][0], self.op.expected(arrays, large.options), dtype)
        for other in results[1:]:
            for got, expected in zip(other, results[0], strict=True):
                assert_same_bits(got, expected)

    def test_torch(self, case: Case, dtype: Any, torch: Any) -> None:
        arrays = case.arrays(dtype)
        inputs = [None if x is None else torch.tensor(x) for x in arrays]
        for i in self.op.leaves(arrays):
            inputs[i].requires_grad_()
        assert self.op.torch is not None
        expected = self.op.torch(torch, *inputs, **case.options)
        y = self.op.function(*arrays, **case.options)
        assert_close(y, expected.detach().numpy(), dtype, scale=case.scale)
        got = self.op.gradients(arrays, case.options)
        expected.backward(torch.tensor(upstream(y)))
        for i, gradient in got.items():
            grad = inputs[i].grad  # None where PyTorch knows that the result does not depend on it
            theirs = np.zeros_like(arrays[i]) if grad is None else grad.numpy()
            assert_close(gradient, theirs, dtype, scale=case.scale, what=self.op.arguments[i])

    # -- the tape

    def test_gradient_of_one_input_alone(self, dtype: Any, leaf: str) -> None:
        first = self.op.cases[0]
        arrays = first.arrays(dtype)
        i = self.op.arguments.index(leaf)
        alone = self.op.gradients(arrays, first.options, of=[i])
        assert_same_bits(alone[i], self.op.gradients(arrays, first.options)[i])

    def test_gradients_add_up(self, dtype: Any) -> None:
        first = self.op.cases[0]
        arrays = first.arrays(dtype)
        y, leaves = self.op.tracked(arrays, first.options)
        y.backward(upstream(y))
        once = {i: leaf.grad.numpy().copy() for i, leaf in leaves.items()}
        y.backward(upstream(y))
        for i, leaf in leaves.items():
            assert_close(leaf.grad, 2.0 * once[i], dtype)

    def test_writing_to_an_array_later_does_not_reach_the_tape(self, leaf: str) -> None:
        first = self.op.cases[0]
        arrays = first.arrays(np.float64)
        i = self.op.arguments.index(leaf)
        expected = self.op.gradients(arrays, first.options, of=[i])[i]
        y, leaves = self.op.tracked(arrays, first.options, of=[i])
        d_y = upstream(y)
        for x in arrays:
            if x is not None:
                x[...] = 0
        y.backward(d_y)
        assert_same_bits(leaves[i].grad, expected)

    def test_nothing_is_recorded_without_gradient(self) -> None:
        first = self.op.cases[0]
        arrays = first.arrays(np.float64)
        plain = [at.tensor(x) if is_float(x) else x for x in arrays]
        y = self.op.function(*plain, **first.options)
        assert isinstance(y, at.Tensor) and not y.requires_grad and y.is_leaf
        with at.no_grad():
            y, _ = self.op.tracked(arrays, first.options)
        assert not y.requires_grad and y.is_leaf

    # -- the contract

    def test_layout(self, layout: str, argument: str, dtype: Any) -> None:
        first = self.op.cases[0]
        arrays: list[Any] = list(first.arrays(dtype))
        expected = self.op.function(*arrays, **first.options)
        i = self.op.arguments.index(argument)
        arrays[i] = LAYOUTS[layout](arrays[i])
        values = np.array(arrays[i]._array if layout == "dlpack" else arrays[i])
        y = self.op.function(*arrays, **first.options)
        assert isinstance(y, at.Tensor) == (layout == "tensor")
        assert_same_bits(y, expected)
        assert_same_bits(np.array(arrays[i]._array if layout == "dlpack" else arrays[i]), values)

    def test_lists_are_float64(self) -> None:
        first = self.op.cases[0]
        arrays = first.arrays(np.float64)
        lists = [None if x is None else x.tolist() for x in arrays]
        assert_same_bits(
            self.op.function(*lists, **first.options), self.op.function(*arrays, **first.options)
        )

    def test_result_owns_its_memory(self, case: Case) -> None:
        arrays = case.arrays(np.float32)
        y = self.op.function(*arrays, **case.options)
        assert y.flags.writeable and y.flags.c_contiguous and y.flags.aligned
        assert not any(np.shares_memory(y, x) for x in arrays if x is not None)
        kept = y.copy()
        again = self.op.function(*arrays, **case.options)
        assert not np.shares_memory(y, again)
        again[...] = 7
        assert_same_bits(y, kept)

    def test_wrong_type(self, wrong_type: str, argument: str) -> None:
        first = self.op.cases[0]
        arrays: list[Any] = list(first.arrays(np.float64))
        i = self.op.arguments.index(argument)
        arrays[i] = WRONG_TYPES[wrong_type](arrays[i])
        with pytest.raises(TypeError, match=rf"^{self.op.name}: .*\b{argument}\b"):
            self.op.function(*arrays, **first.options)

    def test_dtypes_must_agree(self, argument: str) -> None:
        first = self.op.cases[0]
        arrays: list[Any] = list(first.arrays(np.float64))
        i = self.op.arguments.index(argument)
        arrays[i] = arrays[i].astype(np.float32)
        if sum(map(is_float, first.arrays(np.float64))) == 1:
            assert self.op.function(*arrays, **first.options).dtype == np.float32
        else:
            with pytest.raises(TypeError, match=rf"^{self.op.name}: .*float32.*float64|.*float64.*float32"):
                self.op.function(*arrays, **first.options)

    def test_too_many_axes(self, argument: str) -> None:
        first = self.op.cases[0]
        arrays: list[Any] = list(first.arrays(np.float64))
        arrays[self.op.arguments.index(argument)] = np.zeros((1,) * 9)
        with pytest.raises(ValueError, match=rf"^{self.op.name}: {argument} has 9 axes"):
            self.op.function(*arrays, **first.options)

    def test_error(self, error: Wrong) -> None:
        arrays = [
            x if isinstance(x, np.ndarray) else made(x, np.random.default_rng(0), np.float64)
            for x in error.case.inputs
        ]
        with pytest.raises(error.raises, match=rf"^{self.op.name}: .*{re.escape(error.says)}"):
            self.op.function(*arrays, **error.case.options)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
    def test_nan_and_inf_go_where_they_belong(self, value: float, argument: str, dtype: Any) -> None:
        first = self.op.cases[0]
        arrays = first.arrays(dtype)
        x = arrays[self.op.arguments.index(argument)]
        assert x is not None
        x.flat[x.size // 2] = value
        y = self.op.function(*arrays, **first.options)
        assert_close(y, self.op.expected(arrays, first.options), dtype)

    def test_huge_input(self, argument: str) -> None:
        first = self.op.cases[0]
        arrays: list[Any] = list(first.arrays(np.float64))
        i = self.op.arguments.index(argument)
        arrays[i] = np.broadcast_to(np.float64(0), (2**46,) + (1,) * (arrays[i].ndim - 1))
        self.fails_for_memory(lambda: self.op.function(*arrays, **first.options))

    def test_huge_result(self) -> None:
        assert self.op.huge is not None
        *arrays, options = self.op.huge()
        self.fails_for_memory(lambda: self.op.function(*arrays, **options))

    @staticmethod
    def fails_for_memory(call: Callable[[], Any]) -> None:
        start = time.perf_counter()
        with pytest.raises((MemoryError, ValueError)):
            call()
        assert time.perf_counter() - start < 5


def op_tests(
    name: str,
    arguments: str,
    cases: list[Case],
    *,
    large: list[Case],
    errors: list[Wrong],
    huge: Callable[[], tuple[Any, ...]] | None = None,
    torch: Callable[..., Any] | None = None,
    function: Callable[..., Any] | None = None,
    reference_function: Callable[..., Any] | None = None,
    backward: Callable[..., Any] | None = None,
    constants: str = "",
    entrywise: bool = False,
) -> type[OpTests]:
    """All tests of attendo.functional.<name>, whose first inputs are `arguments`.

    Parameters
    ----------
    cases : the first one is used for the contract: give it every input, with several axes.
    large : cases that several threads share.
    errors : calls that must fail in the operation's own way; dtypes and too many axes are tried anyhow.
    huge : inputs and options of a call whose result would fit in no memory.
    torch : (torch, *inputs, **options) -> the same by PyTorch.
    function, reference_function, backward : where they are not those of that name.
    constants : the float inputs that have no gradient.
    entrywise : the error of an entry is measured by that entry, not by the largest.
    """
    op = Op(
        name,
        tuple(arguments.split()),
        cases,
        large,
        errors,
        huge,
        function or getattr(at.functional, name),
        reference_function or getattr(reference, name),
        backward or getattr(reference, f"{name}_backward"),
        torch,
        tuple(constants.split()),
        entrywise,
    )
    without: dict[str, None] = {}
    if torch is None:
        without["test_torch"] = None
    if huge is None:
        without["test_huge_result"] = None
    return type("OpTests", (OpTests,), {"op": op, "__module__": __name__, **without})

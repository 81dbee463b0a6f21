"""Segment-level recurrence: the memory that queries of a segment look back to."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, case, normal, wrong
from op_check import op_tests
from tolerance import assert_same_bits


def extended(x, memory=None, **options):
    return at.functional.segment_recurrence(x, memory, **options)[0]


def by_reference(x, memory=None, **options):
    return reference.segment_recurrence(x, memory, **options)[0]


def of_x(d_y, x, memory=None, **options):
    return reference.segment_recurrence_backward(d_y, x, memory, **options)[:1]


TestSegmentRecurrence = op_tests(
    "segment_recurrence",
    "x memory",
    [
        case((2, 3, 4), (2, 5, 4)),
        case((3, 4), (1, 4), memory_length=9),
        case((2, 2, 3, 4), (2, 2, 0, 4), memory_length=0),
        case((2, 0, 4), (2, 5, 4)),
        # The result is x itself: nothing to compare the memory of.
        case((2, 3, 4), None).but_not("result_owns_its_memory"),
    ],
    large=[case((8, 100, 64), (8, 200, 64))],
    function=extended,
    reference_function=by_reference,
    backward=of_x,
    constants="memory",
    errors=[
        wrong((4,), None, says="x has shape (4,)"),
        wrong((2, 3, 4), (3, 4), says="memory has shape (3, 4) but x has shape (2, 3, 4)"),
        wrong((2, 3, 4), (1, 3, 4), says="memory has shape (1, 3, 4)"),
        wrong((2, 3, 4), (2, 3, 5), says="memory has shape (2, 3, 5)"),
        wrong((3, 4), None, memory_length=-1, says="memory_length is -1"),
        wrong((3, 4), None, memory_length=1.0, raises=TypeError, says="memory_length is a float"),
    ],
)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("memory_length", [None, 0, 1, 3, 5, 8, 100])
def test_the_last_positions_are_remembered(memory_length, dtype):
    x, memory = normal(2, 3, 4)(np.random.default_rng(0)), normal(2, 5, 4)(np.random.default_rng(1))
    x, memory = x.astype(dtype), memory.astype(dtype)
    _, kept = at.functional.segment_recurrence(x, memory, memory_length=memory_length)
    assert_same_bits(kept, reference.segment_recurrence(x, memory, memory_length)[1])
    _, first = at.functional.segment_recurrence(x, memory_length=memory_length)
    assert_same_bits(first, reference.segment_recurrence(x, None, memory_length)[1])
    assert not np.shares_memory(kept, memory) and not np.shares_memory(first, x)


def test_no_gradient_flows_into_the_memory():
    x = at.tensor(np.ones((2, 3)), requires_grad=True)
    memory = at.tensor(np.ones((4, 3)), requires_grad=True)
    y, kept = at.functional.segment_recurrence(x * 2.0, memory * 2.0)
    assert y.requires_grad and not kept.requires_grad
    y.sum().backward()
    assert memory.grad is None
    assert_same_bits(x.grad, np.full((2, 3), 2.0))


def test_segments_remember_as_far_back_as_they_are_told():
    text, memory = np.arange(12.0)[:, None], None
    for start in range(0, 12, 3):
        y, memory = at.functional.segment_recurrence(text[start : start + 3], memory, memory_length=5)
        assert_same_bits(y, text[max(0, start - 5) : start + 3])

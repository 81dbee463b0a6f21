"""Attention with scores from eight-bit integers, against the reference, and what it promises."""

import os
import subprocess
import sys

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, SIZES, case, normal, wrong
from op_check import op_tests
from tolerance import DIFFERENCE, STEP, assert_close, assert_same_bits


def written_out(mask, q, k, q_offset=0):
    if mask is None:
        return None
    *batch, heads, length, _ = q.shape if q.ndim > 2 else (1, *q.shape)
    dense = mask.dense(int(np.prod(batch)), heads, length, k.shape[-2], q_offset=q_offset)
    return dense.reshape(*q.shape[:-1], k.shape[-2])


def by_reference(q, k, v, mask=None, scale=None, q_offset=0):
    return reference.int8_attention(q, k, v, written_out(mask, q, k, q_offset), scale)


def backward(d_out, q, k, v, mask=None, scale=None, q_offset=0):
    return reference.int8_attention_backward(d_out, q, k, v, written_out(mask, q, k, q_offset), scale)


def of(*shapes, **options):
    # The gradient goes straight through the rounding: differences do not see it. v's are below.
    return case(*shapes, **options).but_not("central_differences")


def same(length, keys, d=4, d_v=6, **options):
    return of((2, 2, length, d), (2, 2, keys, d), (2, 2, keys, d_v), **options)


TestInt8Attention = op_tests(
    "int8_attention",
    "q k v",
    [
        of((2, 4, 5, 4), (2, 2, 7, 4), (2, 2, 7, 6)),
        of((5, 4), (7, 4), (7, 6)),
        of((4, 5, 4), (2, 7, 4), (2, 7, 6), scale=0.3),
        of((2, 2, 2, 5, 4), (2, 2, 2, 7, 4), (2, 2, 2, 7, 6), mask=at.masks.lengths([7, 4, 0, 1])),
        same(7, 7, mask=at.masks.causal()),
        same(130, 200, mask=at.masks.causal() & at.masks.lengths([200, 130]), q_offset=70),
        same(130, 200, mask=at.masks.causal(), q_offset=-70),
        *(same(5, n) for n in SIZES),
        *(same(n, 5) for n in SIZES),
        *(same(5, 7, d=n) for n in SIZES if n),
        same(5, 7, d=0, scale=1.0),
        *(same(5, 7, d_v=n) for n in SIZES),
        of(normal(5, 64, scale=1e4), normal(7, 64, scale=1e-4), (7, 6)),
        of((0, 2, 5, 4), (0, 2, 7, 4), (0, 2, 7, 4)),
    ],
    large=[
        of((2, 4, 300, 32), (2, 2, 300, 32), (2, 2, 300, 32), mask=at.masks.causal()),
        of((2, 200, 64), (2, 1500, 64), (2, 1500, 64), mask=at.masks.lengths([1301])),
    ],
    reference_function=by_reference,
    backward=backward,
    errors=[
        wrong((4,), (7, 4), (7, 4), says="q has shape (4,) but must have at least 2 axes"),
        wrong((5, 4), (7, 3), (7, 4), says="key has 3 features but query has 4"),
        wrong((1, 65537), (1, 65537), (1, 1), says="q has 65537 features but at most 65536"),
        wrong((5, 4), (7, 4), (7, 4), mask=np.ones((5, 7), bool), says="others are not supported"),
        wrong((5, 4), (7, 4), (7, 4), mask=at.masks.causal(), says="needs q_offset="),
        wrong((5, 4), (7, 4), (7, 4), scale=np.inf, says="scale is inf"),
    ],
)


TestInt8Attention.test_central_differences = None


def arrays(*shapes, dtype=np.float64):
    rng = np.random.default_rng(3)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def test_central_differences_of_the_values():
    q, k, v = arrays((2, 5, 4), (2, 7, 4), (2, 7, 3))
    d_out = arrays((2, 5, 3))[0]
    tensor = at.tensor(v, requires_grad=True)
    at.functional.int8_attention(q, k, tensor).backward(d_out)
    for i in range(v.size):
        moved = []
        for sign in (1, -1):
            other = v.copy()
            other.flat[i] += sign * STEP
            moved.append(float((at.functional.int8_attention(q, k, other) * d_out).sum()))
        assert abs(tensor.grad.numpy().flat[i] - (moved[0] - moved[1]) / (2 * STEP)) < 10 * DIFFERENCE


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_whole_numbers_up_to_127_are_exact(dtype):
    rng = np.random.default_rng(3)
    q, k = (rng.integers(-127, 128, (3, n, 65)).astype(dtype) for n in (70, 130))
    q[..., 0], k[..., 1] = 127, -127  # the scale is 1
    (v,) = arrays((3, 130, 5), dtype=dtype)
    assert_close(
        at.functional.int8_attention(q, k, v, scale=1e-4), at.attention(q, k, v, scale=1e-4), dtype, scale=100
    )


def test_the_largest_sums_do_not_overflow():
    d = 65536
    q, k, v = np.ones((2, d)), np.ones((3, d)), arrays((3, 4))[0]
    q[1], k[1] = -1, -1
    assert_close(at.functional.int8_attention(q, k, v, scale=1 / d), at.attention(q[:, :1], k[:, :1], v))


def test_the_error_is_that_of_seven_bits():
    q, k, v = arrays((2, 100, 64), (2, 100, 64), (2, 100, 64), dtype=np.float32)
    error = np.abs(at.functional.int8_attention(q, k, v) - at.attention(q, k, v)).max()
    assert 1e-5 < error < 0.02


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_cannot_be_rounded_are_nan(bad):
    q, k, v = arrays((2, 5, 4), (2, 7, 4), (2, 7, 4), dtype=np.float32)
    q[0, 2, 1] = bad
    k[1, 6, 3] = bad
    nan = np.isnan(at.functional.int8_attention(q, k, v, mask=at.masks.lengths([7])))
    expected = np.zeros((2, 5, 4), bool)
    expected[0, 2] = expected[1] = True
    np.testing.assert_array_equal(nan, expected)
    # Behind a mask it does not matter.
    v[1, 6] = bad
    out = [at.tensor(x, requires_grad=True) for x in (q[1], k[1], v[1])]
    y = at.functional.int8_attention(*out, mask=at.masks.lengths([6]))
    y.sum().backward()
    assert np.isfinite(y.numpy()).all()
    assert all(np.isfinite(x.grad.numpy()).all() for x in out)


def test_rows_of_zeros_and_tiny_rows_have_equal_scores():
    q, k, v = arrays((5, 4), (7, 4), (7, 4))
    for tiny in (0.0, 1e-320):
        assert_close(
            at.functional.int8_attention(tiny * q, k, v), np.broadcast_to(v.mean(axis=0), (5, 4)), scale=10
        )


OTHER_ISA = """
import numpy as np, attendo as at
rng = np.random.default_rng(0)
q, k = (rng.integers(-127, 128, (70, 37)) / 128 for _ in range(2))
q[:, 0] = k[:, 0] = 127 / 128
print(*at.functional.int8_attention(q, k, np.eye(70)).ravel())  # the weights
"""


@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_every_instruction_set_makes_the_same_sums(isa):
    outputs = []
    for name in (isa, "avx512"):
        environment = {**os.environ, "ATTENDO_ISA": name}
        command = [sys.executable, "-c", OTHER_ISA]
        text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        outputs.append(np.array([float(x) for x in text.split()]))
    assert_close(outputs[0], outputs[1])


def test_the_tape_does_not_change_the_bits():
    q, k, v = arrays((2, 70, 33), (2, 90, 33), (2, 90, 16), dtype=np.float32)
    tracked = at.functional.int8_attention(at.tensor(q, requires_grad=True), k, v)
    assert_same_bits(tracked.numpy(), at.functional.int8_attention(q, k, v))


def test_no_heads_and_no_features_are_no_error():
    for shapes in (
        ((2, 0, 5, 4), (2, 0, 7, 4), (2, 0, 7, 6)),
        ((2, 5, 0), (2, 7, 0), (2, 7, 6)),
    ):
        tensors = [at.tensor(np.zeros(shape), requires_grad=True) for shape in shapes]
        out = at.functional.int8_attention(*tensors)
        assert out.shape == (*shapes[0][:-1], 6) and (out.numpy() == 0).all()
        out.sum().backward()
        assert all(np.isfinite(x.grad.numpy()).all() for x in tensors)

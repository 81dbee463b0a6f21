"""quantized_linear: y = s a Σ (q - z) n + b, the sums of whole numbers exact."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, THREADS
from tolerance import assert_close, assert_same_bits, eps

F = at.functional
DEPTHS = [0, 1, 3, 15, 16, 17, 31, 63, 64, 65, 100, 128, 200, 768]


def whole(rng, *shape, low=-127, high=128):
    return rng.integers(low, high, shape)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_sums_are_exact(depth, dtype):
    """Inputs of whole numbers, scales of 1: y is the product of NumPy's integers, exactly."""
    rng = np.random.default_rng(depth)
    for rows in (0, 1, 2, 3, 4, 5, 9, 130):
        for out in (0, 1, 3, 4, 5, 33):
            zero = int(rng.integers(0, 256))
            q, n = whole(rng, rows, depth, low=0, high=256), whole(rng, out, depth, low=-128)
            y = F.quantized_linear(
                (q - zero).astype(dtype),
                n.astype(np.int8),
                np.ones(out, dtype),
                input_range=(1.0, zero),
            )
            assert_same_bits(y, ((q - zero).astype(np.int32) @ n.astype(np.int32).T).astype(dtype))


@pytest.mark.parametrize(("q", "zero"), [(255, 0), (0, 255)])
@pytest.mark.parametrize("n", [-128, 127])
def test_the_longest_row_does_not_overflow(q, zero, n):
    x = np.full((5, 65536), q - zero, np.float64)
    y = F.quantized_linear(x, np.full((5, 65536), n, np.int8), np.ones(5), input_range=(1.0, zero))
    np.testing.assert_array_equal(y, 65536 * (q - zero) * n)
    with pytest.raises(ValueError, match="65537 features but must have 65536 or less"):
        F.quantized_linear(np.zeros((1, 65537)), np.zeros((1, 65537), np.int8), np.ones(1))
    with pytest.raises(ValueError, match="quantize_per_channel: weight has 65537 features"):
        F.quantize_per_channel(np.zeros((1, 65537)))


def drawn(rows, depth, out, dtype=np.float32, seed=0):
    rng = np.random.default_rng([seed, rows, depth, out])
    x = rng.standard_normal((rows, depth)) * rng.uniform(0.1, 10, (rows, 1)) + rng.standard_normal((rows, 1))
    return (
        x.astype(dtype),
        rng.standard_normal((out, depth)).astype(dtype),
        rng.standard_normal(out).astype(dtype),
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(5, 64), (3, 200), (1, 1), (0, 5), (4, 0), (70, 1000)])
def test_quantize_is_the_reference(shape, dtype):
    weight = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    got, scales = F.quantize_per_channel(weight)
    expected, expected_scales = reference.quantize_per_channel(weight.astype(np.float64))
    assert got.dtype == np.int8 and scales.dtype == dtype and scales.shape == shape[:1]
    np.testing.assert_array_equal(got, expected)
    assert_close(scales, expected_scales, dtype, entrywise=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
@pytest.mark.parametrize("sizes", [(1, 7, 3), (4, 70, 9), (17, 300, 5), (200, 90, 33), (3, 768, 130)])
def test_is_the_reference(sizes, static, dtype):
    x, weight, bias = drawn(*sizes, dtype)
    numbers, scales = F.quantize_per_channel(weight)
    chosen = F.activation_range(x / 2) if static else None  # half of it: some numbers are cut off
    for b in (bias, None):
        y = F.quantized_linear(x, numbers, scales, b, chosen)
        expected = reference.quantized_linear(
            x.astype(np.float64), numbers, scales.astype(np.float64), b, chosen
        )
        assert_close(y, expected, dtype)
    many = F.quantized_linear(x.reshape(1, -1, 1, x.shape[1]), numbers, scales, None, chosen)
    assert_same_bits(many.reshape(y.shape), y)


@pytest.mark.parametrize("depth", [5, 64, 700])
def test_the_error_is_within_its_bound(depth):
    """Half a step of each weight and of each input; and it is there."""
    x, weight, bias = drawn(40, depth, 30, np.float64)
    numbers, a = F.quantize_per_channel(weight)
    low, high = np.minimum(x.min(1), 0), np.maximum(x.max(1), 0)
    s = ((high - low) / 255)[:, None]
    bound = np.abs(x) @ np.ones_like(weight).T * a / 2 + s * np.abs(weight).sum(1) / 2 + depth * s * a / 4
    error = np.abs(F.quantized_linear(x, numbers, a, bias) - (x @ weight.T + bias))
    assert (error <= bound + 100 * eps(np.float64) * depth).all()
    assert error.max() > bound.max() / 1000
    assert np.sqrt(np.mean(error**2)) < 0.02 * np.std(x @ weight.T)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_no_row_depends_on_another(dtype):
    """Each has a range of its own: padding, other samples and what was decoded before change nothing."""
    x, weight, bias = drawn(40, 333, 50, dtype)
    matrix = F.quantize_per_channel(weight)
    together = F.quantized_linear(x, *matrix, bias)
    for n in (1, 2, 3, 5, 8):
        assert_same_bits(F.quantized_linear(x[:n], *matrix, bias), together[:n])
    x[1:] *= 1e6
    assert_same_bits(F.quantized_linear(x, *matrix, bias)[0], together[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_what_is_not_finite_stays_in_its_row(bad, static):
    x, weight, bias = drawn(6, 130, 5)
    chosen = F.activation_range(x) if static else None
    numbers, scales = F.quantize_per_channel(weight)
    expected = F.quantized_linear(x, numbers, scales, bias, chosen)
    x[2, 129] = bad
    y = F.quantized_linear(x, numbers, scales, bias, chosen)
    assert np.isnan(y[2]).all()
    assert_same_bits(np.delete(y, 2, 0), np.delete(expected, 2, 0))
    weight[3, 7] = bad
    numbers, scales = F.quantize_per_channel(weight)
    assert np.isnan(scales[3]) and np.isfinite(np.delete(scales, 3)).all()
    y = F.quantized_linear(np.delete(x, 2, 0), numbers, scales, bias, chosen)
    np.testing.assert_array_equal(np.isnan(y), np.arange(5) == 3 * np.ones((5, 1)))


def test_zeros_tiny_and_huge_numbers():
    numbers, scales = F.quantize_per_channel(np.ones((2, 3)))
    np.testing.assert_array_equal(
        F.quantized_linear(np.zeros((2, 3)), numbers, scales, [1.0, 2.0]), [[1, 2]] * 2
    )
    np.testing.assert_array_equal(F.quantize_per_channel(np.zeros((2, 3)))[1], [0, 0])
    for size in (1e-320, 1e-300, 1e300, 1.7e308):
        x = np.array([[size, -size / 2, 0.0]])
        y = F.quantized_linear(x, numbers, scales)
        np.testing.assert_allclose(y, size / 2, rtol=0.01, atol=1e-310)
    for size in (1e-42, 1e-30, 1e30, 3e38):
        x = np.array([[size, -size / 2, 0.0]], np.float32)
        y = F.quantized_linear(x, numbers, scales.astype(np.float32))
        np.testing.assert_allclose(y, size / 2, rtol=0.01, atol=1e-41)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_same_bits_on_any_number_of_threads(dtype):
    for sizes in ((1, 1000, 1500), (5, 700, 900), (300, 500, 700)):
        x, weight, bias = drawn(*sizes, dtype)
        matrix = F.quantize_per_channel(weight)
        results = []
        for threads in THREADS:
            at.set_num_threads(threads)
            results.append(F.quantized_linear(x, *matrix, bias))
        for other in results[1:]:
            assert_same_bits(other, results[0])


CHILD = """
import sys
import numpy as np
import attendo as at

results = {}
for dtype in ("float32", "float64"):
    for rows, depth, out in [(1, 7, 3), (3, 70, 9), (5, 333, 33), (70, 200, 130)]:
        rng = np.random.default_rng(rows)
        x, weight, bias = (rng.standard_normal(s).astype(dtype) for s in ((rows, depth), (out, depth), out))
        numbers, scales = at.functional.quantize_per_channel(weight)
        for chosen in (None, at.functional.activation_range(x / 2)):
            y = at.functional.quantized_linear(x, numbers, scales, bias, chosen)
            results[f"{dtype}{rows}{chosen}"] = y
np.savez(sys.argv[1], isa=at.info()["isa"], **results)
"""


def results_with(isa, path):
    command = [sys.executable, "-c", CHILD, path]
    subprocess.run(command, env={**os.environ, "ATTENDO_ISA": isa}, check=True)
    with np.load(path) as file:
        return dict(file)


def test_every_instruction_set_gives_the_same_bits(tmp_path):
    """Whole numbers have no rounding errors: nothing is left to differ."""
    expected = results_with("baseline", tmp_path / "baseline.npz")
    del expected["isa"]
    for isa in ("avx2", "avx512"):
        got = results_with(isa, tmp_path / f"{isa}.npz")
        for name, value in expected.items():
            assert_same_bits(got[name], value, f"{got['isa']} {name}")


def test_torch_computes_the_same(torch):
    """PyTorch's dynamic quantization has one range for all rows: with one row it is ours."""
    try:
        prepack, dynamic = torch.ops.quantized.linear_prepack, torch.ops.quantized.linear_dynamic
        torch.backends.quantized.engine = "x86"
    except (AttributeError, RuntimeError):
        pytest.skip("this PyTorch has no quantized::linear_dynamic for x86")
    warnings.simplefilter("ignore")  # it will move its quantized dtypes elsewhere
    for seed in range(5):
        x, weight, bias = drawn(1, 300, 50, seed=seed)
        numbers, scales = F.quantize_per_channel(weight)
        theirs = torch.quantize_per_channel(
            torch.tensor(weight), torch.tensor(scales), torch.zeros(50, dtype=torch.long), 0, torch.qint8
        )
        np.testing.assert_array_equal(theirs.int_repr().numpy(), numbers)
        expected = dynamic(torch.tensor(x), prepack(theirs, torch.tensor(bias)), False).numpy()
        assert_close(F.quantized_linear(x, numbers, scales, bias), expected)


def test_there_is_no_gradient():
    x, weight, bias = drawn(2, 5, 3)
    matrix = F.quantize_per_channel(weight)
    tensor = at.tensor(x, requires_grad=True)
    with pytest.raises(ValueError, match=r"quantized_linear: x requires a gradient, but .*no_grad\(\)"):
        F.quantized_linear(tensor, *matrix)
    with pytest.raises(ValueError, match="quantized_linear: bias requires a gradient"):
        F.quantized_linear(x, *matrix, at.tensor(bias, requires_grad=True))
    with at.no_grad():
        y = F.quantized_linear(tensor, *matrix)
    assert isinstance(y, at.Tensor) and not y.requires_grad


N = np.zeros((5, 3), np.int8)
X, A = np.zeros((4, 3)), np.ones(5)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((np.zeros((4, 2)), N, A), ValueError, "x has 2 features but weight expects 3"),
        ((np.zeros(()), N, A), ValueError, r"x has shape \(\) but must have at least 1 axis"),
        ((X, N[0], A), ValueError, r"weight has shape \(3,\) but must have 2 axes"),
        ((X, N, np.ones((5, 1))), ValueError, r"scales has shape \(5, 1\) but must have shape \(5,\)"),
        ((X, N, np.ones(4)), ValueError, r"scales has shape \(4,\) but must have shape \(5,\)"),
        ((X, N, A, np.ones(4)), ValueError, r"bias has shape \(4,\) but must have shape \(5,\)"),
        ((X, N.astype(float), A), TypeError, "weight is a ndarray but must be an array of int8"),
        ((X, N, None), TypeError, "scales is None"),
        ((None, N, A), TypeError, "x is None"),
        ((X.astype("float32"), N, A), TypeError, "scales has dtype float64 but x has float32"),
        ((X, N, A, np.ones(5, "float32")), TypeError, "bias has dtype float32 but x has float64"),
        ((X.astype(complex), N, A), TypeError, "x"),
        ((X, N, A, None, (0.0, 0)), ValueError, "input_range has the scale 0 but it must be positive"),
        ((X, N, A, None, (np.nan, 0)), ValueError, "input_range has the scale nan"),
        ((X, N, A, None, (np.inf, 0)), ValueError, "input_range has the scale inf"),
        ((X, N, A, None, (1e-320, 0)), ValueError, "input_range has the scale"),
        ((X, N, A, None, (1.0, -1)), ValueError, "zero point -1 but it must be a whole number from 0 to 255"),
        ((X, N, A, None, (1.0, 256)), ValueError, "zero point 256"),
        ((X, N, A, None, (1.0, 0.5)), ValueError, "zero point 0.5"),
        ((X, N, A, None, (1.0, np.nan)), ValueError, "zero point nan"),
        ((X, N, A, None, (1.0, 0, 0)), ValueError, r"input_range has shape \(3,\)"),
        ((X, N, A, None, "wide"), TypeError, "input_range"),
    ],
)
def test_errors(arguments, error, says):
    with pytest.raises(error, match=rf"^quantized_linear: .*{says}"):
        F.quantized_linear(*arguments)


@pytest.mark.parametrize("weight", [np.zeros(3), np.zeros((2, 2, 2)), np.zeros((2, 2), int), None, "w"])
def test_errors_of_quantize_per_channel(weight):
    with pytest.raises((ValueError, TypeError), match=r"^quantize_per_channel: .*weight"):
        F.quantize_per_channel(weight)

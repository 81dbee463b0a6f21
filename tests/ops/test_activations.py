"""relu, gelu, tanh, sigmoid, silu, quick_gelu, softplus, exp, log, sqrt: functions of one number."""

import math

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import SIZES, between, case, positive, wrong
from op_check import op_tests
from tolerance import assert_close

ERRORS = [wrong(None, raises=TypeError, says="x is None")]
CASES = [case((3, 4)), case(()), case((2, 0, 3)), case((2, 1, 3, 1, 2)), *(case((n,)) for n in SIZES)]
LARGE = [case((7, 70000))]


def unary(name, cases=CASES, large=LARGE, entrywise=True, torch=None, **more):
    return op_tests(
        name,
        "x",
        cases,
        large=large,
        errors=ERRORS,
        torch=torch or (lambda torch, x: getattr(torch, name)(x)),
        entrywise=entrywise,
        **more,
    )


TestRelu = unary("relu", CASES)
TestTanh = unary("tanh", CASES)
TestSigmoid = unary("sigmoid", CASES)
TestSilu = unary("silu", torch=lambda torch, x: torch.nn.functional.silu(x))
TestQuickGelu = unary("quick_gelu", torch=lambda torch, x: x * torch.sigmoid(1.702 * x))
TestSoftplus = unary("softplus", torch=lambda torch, x: torch.nn.functional.softplus(x))
TestExp = unary("exp", [*CASES, case(between(-80, 80, 33)).but_not("central_differences")])
TestLog = unary("log", [case(positive(*c.inputs[0])) for c in CASES], entrywise=False)
TestSqrt = unary("sqrt", [case(positive(*c.inputs[0])) for c in CASES])

TestGelu = op_tests(
    "gelu",
    "x",
    [*CASES, case((5, 7), approximate="tanh")],
    large=[*LARGE, case((7, 70000), approximate="tanh")],
    errors=[
        *ERRORS,
        wrong((3,), approximate="erf", says="approximate is 'erf' but must be 'none' or 'tanh'"),
    ],
    torch=lambda torch, x, approximate="none": torch.nn.functional.gelu(x, approximate=approximate),
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "options"),
    [(n, {}) for n in ("relu", "tanh", "sigmoid", "log", "sqrt", "gelu", "silu", "quick_gelu", "softplus")]
    + [("gelu", {"approximate": "tanh"})],
)
def test_every_magnitude(name, options, dtype):
    """What underflows, what rounds, what overflows: forward and gradient."""
    x = 10.0 ** np.arange(-12, 12, 0.0301)
    if name not in ("log", "sqrt"):
        x = np.concatenate([x, -x])
    x = x.astype(dtype)
    tensor = at.tensor(x, requires_grad=True)
    y = getattr(at.functional, name)(tensor, **options)
    double = x.astype(np.float64)
    with np.errstate(all="ignore"):
        assert_close(
            y,
            getattr(reference, name)(double, **options),
            entrywise=name not in ("log", "gelu", "silu", "quick_gelu"),
        )
        y.backward(np.ones_like(x))
        (expected,) = getattr(reference, f"{name}_backward")(np.ones(x.shape), double, **options)
    assert_close(tensor.grad, expected, entrywise=name in ("relu", "log", "sqrt"))


def test_relu_at_its_kink():
    x = at.tensor([-1.0, -0.0, 0.0, 1.0], requires_grad=True)
    at.functional.relu(x).backward(np.ones(4))
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0, 0, 1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exp_over_its_whole_range(dtype):
    """Nothing is flushed or clipped before the last exponent the dtype has."""
    info = np.finfo(dtype)
    x = np.linspace(math.log(info.tiny) + 1, math.log(info.max) - 1, 10001).astype(dtype)
    assert_close(at.functional.exp(x), np.exp(x.astype(np.longdouble)), dtype, entrywise=True)
    np.testing.assert_array_equal(at.functional.exp(np.array([-np.inf, 1e30, -1e30], dtype)), [0, np.inf, 0])
    assert at.functional.exp(np.zeros(1, dtype))[0] == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_ends(dtype):
    x = np.array([-np.inf, -1e30, -800, 800, 1e30, np.inf], dtype)
    np.testing.assert_array_equal(at.functional.sigmoid(x), [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(at.functional.tanh(x), [-1, -1, -1, 1, 1, 1])
    np.testing.assert_array_equal(at.functional.gelu(x[1:]), [0, 0, 800, x[4], np.inf])
    np.testing.assert_array_equal(at.functional.silu(x[1:]), [0, 0, 800, x[4], np.inf])
    np.testing.assert_array_equal(at.functional.quick_gelu(x[1:]), [0, 0, 800, x[4], np.inf])
    np.testing.assert_array_equal(at.functional.softplus(x), [0, 0, 0, 800, x[4], np.inf])
    np.testing.assert_array_equal(at.functional.gelu(x[1:], approximate="tanh"), [0, 0, 800, x[4], np.inf])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gelu_keeps_its_digits_in_the_lower_tail(dtype):
    """x Φ(x) is tiny there, but not wrong: entry by entry, where 1 + erf(x/√2) would have lost everything."""
    x = np.linspace(-12, 0, 2001)[:-1].astype(dtype)
    double = x.astype(np.float64)
    expected = 0.5 * double * np.array([math.erfc(-v / math.sqrt(2)) for v in double])
    # erfc is as steep as e^{-x²/2}: the rounding of its argument costs the expected value x² units.
    rounding = 1 if dtype == "float32" else 1 + double**2
    error = np.abs(at.functional.gelu(x).astype(np.float64) / expected - 1)
    assert (error <= 4 * rounding * np.finfo(dtype).eps).all()


@pytest.mark.parametrize("name", ["gelu", "silu", "quick_gelu", "softplus"])
def test_a_gradient_everywhere(name):
    x = at.tensor([-1e30, -1e4, -800.0, 800.0, 1e4, 1e30], requires_grad=True)
    getattr(at.functional, name)(x).backward(np.ones(6))
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0, 0, 1, 1, 1])


def test_gelu_with_tanh_has_a_gradient_everywhere():
    x = at.tensor([-1e30, -1e4, -40.0, 40.0, 1e4, 1e30], requires_grad=True)
    at.functional.gelu(x, approximate="tanh").backward(np.ones(6))
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0, 0, 1, 1, 1])


def test_log_and_sqrt_outside_their_domain():
    np.testing.assert_array_equal(at.functional.log(np.array([0.0, -1.0, np.inf])), [-np.inf, np.nan, np.inf])
    np.testing.assert_array_equal(at.functional.sqrt(np.array([0.0, -1.0, np.inf])), [0, np.nan, np.inf])

"""linear: y = x Wᵀ + b."""

import numpy as np
import pytest

import attendo as at
from inputs import SIZES, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

TestLinear = op_tests(
    "linear",
    "x weight bias",
    [
        case((4, 3), (5, 3), (5,)),
        case((7,), (3, 7), (3,)),
        case((2, 1, 3, 4), (5, 4), None),
        *(case((n, 7), (5, 7), (5,)) for n in SIZES),
        *(case((6, n), (5, n), (5,)) for n in SIZES),
        *(case((6, 9), (n, 9), (n,)) for n in SIZES),
        case((33, 100), (65, 100), (65,)),
    ],
    large=[
        case((500, 200), (300, 200), (300,)),
        case((3, 1000), (900, 1000), None),
        case((20000, 17), (3, 17), (3,)),
    ],
    torch=lambda torch, x, weight, bias: torch.nn.functional.linear(x, weight, bias),
    errors=[
        wrong((4, 3), (5, 2), None, says="x has 3 features but weight expects 2"),
        wrong((), (5, 2), None, says="x has shape () but must have at least 1 axis"),
        wrong((4, 3), (3,), None, says="weight has shape (3,) but must have 2 axes"),
        wrong((4, 3), (1, 5, 3), None, says="weight has shape (1, 5, 3) but must have 2 axes"),
        wrong((4, 3), (5, 3), (4,), says="bias has shape (4,) but must have shape (5,)"),
        wrong((4, 3), (5, 3), (5, 1), says="bias has shape (5, 1)"),
        wrong((4, 3), (5, 3), (1,), says="bias has shape (1,)"),
        wrong((4, 3), None, None, raises=TypeError, says="weight is None"),
        wrong(None, (5, 3), None, raises=TypeError, says="x is None"),
    ],
    huge=lambda: (np.zeros((2**23, 0), np.float32), np.zeros((2**23, 0), np.float32), {}),
)


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_tanh", "silu"])
@pytest.mark.parametrize("shape", [(1, 7, 5), (3, 100, 33), (40, 16, 64), (70, 600, 9)])
def test_activation(shape, activation):
    """As the activation after it, forward and backward, whichever way the product is computed."""
    n, d_in, d_out = shape
    draw = np.random.default_rng(0).standard_normal
    inputs = [draw((n, d_in)), draw((d_out, d_in)), draw(d_out)]
    results = []
    apart = getattr(at.functional, activation.removesuffix("_tanh"))
    options = {"approximate": "tanh"} if activation == "gelu_tanh" else {}
    for function in (
        lambda *a: at.functional.linear(*a, activation=activation),
        lambda *a: apart(at.functional.linear(*a), **options),
    ):
        tensors = [at.tensor(x, requires_grad=True) for x in inputs]
        y = function(*tensors)
        y.backward(np.linspace(-1, 1, n * d_out).reshape(n, d_out))
        results.append([y.numpy(), *(t.grad.numpy() for t in tensors)])
        assert_same_bits(function(*inputs), y.numpy())  # without a tape too
    for fused, parts in zip(*results, strict=True):
        assert_close(fused, parts)


def test_activation_must_be_known():
    with pytest.raises(
        ValueError, match="linear: activation is 'tanh' but must be 'relu', 'gelu', 'gelu_tanh', 'silu' or"
    ):
        at.functional.linear([[1.0]], [[1.0]], activation="tanh")
    with pytest.raises(TypeError, match="linear: activation is a bool"):
        at.functional.linear([[1.0]], [[1.0]], activation=True)

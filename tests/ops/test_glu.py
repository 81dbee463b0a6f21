"""glu, swiglu, geglu: gated linear units."""

import numpy as np
import pytest

import attendo as at
from inputs import SIZES, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

F = at.functional
ACTIVATIONS = ["sigmoid", "silu", "gelu", "gelu_tanh", "relu", None]


def gate_of_torch(torch, activation):
    functional = torch.nn.functional
    return {
        "sigmoid": torch.sigmoid,
        "silu": functional.silu,
        "gelu": functional.gelu,
        "gelu_tanh": lambda b: functional.gelu(b, approximate="tanh"),
        "relu": torch.relu,
        None: lambda b: b,
    }[activation]


def torch_glu(torch, x, activation="sigmoid"):
    if activation == "sigmoid":
        return torch.nn.functional.glu(x, -1)
    a, b = x.chunk(2, dim=-1)
    return a * gate_of_torch(torch, activation)(b)


TestGlu = op_tests(
    "glu",
    "x",
    [
        case((3, 2, 14)),
        *(case((5, 14), activation=f) for f in ACTIVATIONS),
        case((8,), activation="silu"),
        case((0, 6)),
        case((3, 0)),
        *(case((n, 6), activation="gelu") for n in SIZES),
        *(case((5, 2 * n), activation=f) for n in (1, 16, 17, 33) for f in ACTIVATIONS),
    ],
    large=[case((700, 600), activation=f) for f in ACTIVATIONS] + [case((30000, 6))],
    torch=torch_glu,
    errors=[
        wrong((), says="x has shape ()"),
        wrong((2, 3), says="x has 3 features but must have an even number"),
        wrong((2, 4), activation="swish", says="activation is 'swish' but must be 'sigmoid', 'silu'"),
        wrong((2, 4), activation=1, raises=TypeError, says="activation is a int"),
        wrong(None, raises=TypeError, says="x is None"),
    ],
)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_is_its_parts(activation):
    """The value comes first, the gate second: as the two operations one after the other."""
    x = np.random.default_rng(0).standard_normal((7, 42))
    d_y = np.random.default_rng(1).standard_normal((7, 21))
    function = {"gelu_tanh": lambda b: F.gelu(b, approximate="tanh"), None: lambda b: b}.get(
        activation, getattr(F, activation or "", None)
    )
    fused, apart = (at.tensor(x, requires_grad=True) for _ in range(2))
    y, parts = F.glu(fused, activation), apart[:, :21] * function(apart[:, 21:])
    assert_close(y, parts.numpy())
    y.backward(d_y)
    parts.backward(d_y)
    assert_close(fused.grad, apart.grad.numpy())


def test_names():
    x = np.random.default_rng(0).standard_normal((7, 42))
    assert_same_bits(F.swiglu(x), F.glu(x, "silu"))
    assert_same_bits(F.geglu(x), F.glu(x, "gelu"))
    assert_same_bits(F.geglu(x, approximate="tanh"), F.glu(x, "gelu_tanh"))
    with pytest.raises(ValueError, match="geglu: approximate is 'erf' but must be"):
        F.geglu(x, approximate="erf")


@pytest.mark.parametrize("activation", ["sigmoid", "silu", "gelu", "gelu_tanh", "relu"])
def test_far_gates_are_open_or_shut(activation):
    """A gate of huge size has a finite gradient, and a shut one hides any finite value."""
    x = at.tensor([[3.0, 3.0, 1e300, -1e300]], requires_grad=True)
    y = F.glu(x, activation)
    open_gate = 1.0 if activation == "sigmoid" else 1e300
    np.testing.assert_array_equal(y.numpy(), [[3 * open_gate, 0]])
    y.backward(np.ones((1, 2)))
    slope = 0.0 if activation == "sigmoid" else 3.0
    np.testing.assert_array_equal(x.grad.numpy(), [[open_gate, 0, slope, 0]])

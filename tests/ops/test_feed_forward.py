"""feed_forward: linear, activation, dropout, linear in one operation."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, case, wrong
from op_check import op_tests
from tolerance import assert_close

F = at.functional


def shapes(x, hidden, out):
    return case(x, (hidden, x[-1]), (hidden,), (out, hidden), (out,), activation="gelu")


TestFeedForward = op_tests(
    "feed_forward",
    "x weight1 bias1 weight2 bias2",
    [
        shapes((4, 3), 7, 5),
        shapes((7,), 16, 7),
        shapes((2, 3, 6), 33, 6),
        shapes((0, 3), 4, 3),
        shapes((5, 1), 1, 1),
    ],
    large=[shapes((700, 64), 256, 64)],
    torch=lambda torch, x, w1, b1, w2, b2, activation: torch.nn.functional.linear(
        torch.nn.functional.gelu(torch.nn.functional.linear(x, w1, b1)), w2, b2
    ),
    errors=[
        wrong((4, 3), (5, 2), None, (3, 5), None, says="x has 3 features but weight1 expects 2"),
        wrong(
            (4, 3), (5, 3), None, (3, 6), None, says="weight2 has shape (3, 6) but weight1 of shape (5, 3)"
        ),
        wrong((4, 3), (5, 3), (4,), (3, 5), None, says="bias1 has shape (4,)"),
        wrong((4, 3), (5, 3), None, (3, 5), (5,), says="bias2 has shape (5,)"),
        wrong((4, 3), (5, 3), None, (3, 5, 1), None, says="weight2 has shape (3, 5, 1) but must have 2 axes"),
        wrong((4, 3), (5, 3), None, (3, 5), None, activation="swish", says="activation is 'swish'"),
        wrong((4, 3), (5, 3), None, (3, 5), None, activation=1, raises=TypeError, says="activation is a int"),
        wrong((4, 3), (5, 3), None, (3, 5), None, dropout=1.5, says="dropout is 1.5 but must be 0 to 1"),
        wrong((4, 3), (5, 3), None, (3, 5), None, dropout=0.5, says="dropout needs generator="),
        wrong((4, 3), None, None, (3, 5), None, raises=TypeError, says="weight1 is None"),
    ],
)


def arrays(dtype, rows=50, d=24, hidden=48):
    draw = np.random.default_rng(0).standard_normal
    return [draw(s).astype(dtype) for s in ((rows, d), (hidden, d), (hidden,), (d, hidden), (d,))]


def gradients(function, inputs):
    tensors = [at.tensor(x, requires_grad=True) for x in inputs]
    y = function(*tensors)
    y.backward(np.linspace(-1, 1, y.numpy().size, dtype=y.dtype).reshape(y.shape))
    return [y.numpy(), *(t.grad.numpy() for t in tensors)]


@pytest.mark.parametrize("hidden", [48, 40, 33])
@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_tanh", "silu", None])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_is_its_parts(dtype, activation, hidden):
    """Also where the hidden width is no multiple of a vector: the same elements are dropped."""

    def apart(x, w1, b1, w2, b2, p):
        h = F.linear(x, w1, b1)
        h = {
            "relu": F.relu,
            "gelu": F.gelu,
            "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
            "silu": F.silu,
            None: lambda z: z,
        }[activation](h)
        return F.linear(F.dropout(h, p, generator=at.Generator(3)), w2, b2)

    for p in (0.0, 0.4):
        ours = gradients(
            lambda *a, p=p: F.feed_forward(*a, activation=activation, dropout=p, generator=at.Generator(3)),
            arrays(dtype, hidden=hidden),
        )
        parts = gradients(lambda *x, p=p: apart(*x, p), arrays(dtype, hidden=hidden))
        for fused, part in zip(ours, parts, strict=True):
            assert_close(fused, part)


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_tanh", "silu"])
def test_reference(activation):
    x, w1, b1, w2, b2 = arrays(np.float64)
    got = gradients(lambda *a: F.feed_forward(*a, activation=activation), [x, w1, b1, w2, b2])
    d_y = np.linspace(-1, 1, x.size).reshape(x.shape)
    assert_close(got[0], reference.feed_forward(x, w1, b1, w2, b2, activation))
    expected = reference.feed_forward_backward(d_y, x, w1, b1, w2, b2, activation)
    for a, b in zip(got[1:], expected, strict=True):
        assert_close(a, b)


def test_one_weight_twice():
    """Both layers may share a matrix: its gradient is the sum."""
    w = np.random.default_rng(0).standard_normal((5, 5))
    shared = at.tensor(w, requires_grad=True)
    F.feed_forward(np.ones((2, 5)), shared, None, shared, None).backward(np.ones((2, 5)))
    _, d_w1, _, d_w2, _ = reference.feed_forward_backward(
        np.ones((2, 5)), np.ones((2, 5)), w, np.zeros(5), w, np.zeros(5)
    )
    assert_close(shared.grad.numpy(), d_w1 + d_w2)


def test_everything_dropped():
    x, w1, b1, w2, b2 = arrays(np.float64)
    y = F.feed_forward(x, w1, b1, w2, b2, dropout=1.0, generator=at.Generator(0))
    np.testing.assert_array_equal(y, np.broadcast_to(b2, y.shape))

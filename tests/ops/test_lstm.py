"""lstm: one layer in one direction. The result that is tested holds the output and both last states."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import SIZES, case, normal, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def joined(out, *states):
    """out (B, S, H) and states (B, H) -> (B, S + states, H)."""
    if isinstance(out, at.Tensor):
        parts = [out, *(s.reshape(s.shape[0], 1, s.shape[1]) for s in states)]
        return at.functional.concatenate(parts, axis=1)
    return np.concatenate([out, *(s[:, None] for s in states)], axis=1)


def backward(d_y, x, *others, **options):
    length = x.shape[1]
    return reference.lstm_backward(
        d_y[:, :length], x, *others, **options, d_h_n=d_y[:, length], d_c_n=d_y[:, length + 1]
    )


def by_torch(torch, x, weight_ih, weight_hh, bias_ih, bias_hh, h_0, c_0, lengths=None, reverse=False):
    batch, length, _ = x.shape
    units = weight_hh.shape[1]
    zeros = torch.zeros(batch, units, dtype=x.dtype)
    h, c = (zeros if state is None else state for state in (h_0, c_0))
    ends = torch.full((batch,), length) if lengths is None else torch.tensor(lengths)
    out = {}
    for t in list(range(length))[:: -1 if reverse else 1]:
        new_h, new_c = torch.lstm_cell(x[:, t], (h, c), weight_ih, weight_hh, bias_ih, bias_hh)
        active = (t < ends)[:, None]
        h, c = torch.where(active, new_h, h), torch.where(active, new_c, c)
        out[t] = torch.where(active, h, zeros)
    return torch.stack([*(out[t] for t in range(length)), h, c], dim=1)


def sizes(batch, length, features, units, biases=True, states=True, **options):
    bias = normal(4 * units) if biases else None
    state = normal(batch, units) if states else None
    scale = 1 / max(1, units) ** 0.5
    return case(
        (batch, length, features),
        normal(4 * units, features, scale=scale),
        normal(4 * units, units, scale=scale),
        bias,
        bias,
        state,
        state,
        **options,
    )


TestLstm = op_tests(
    "lstm",
    "x weight_ih weight_hh bias_ih bias_hh h_0 c_0",
    [
        sizes(2, 3, 4, 5),
        sizes(2, 3, 4, 5, reverse=True),
        sizes(3, 4, 2, 3, lengths=[4, 0, 2]),
        sizes(3, 4, 2, 3, lengths=[4, 1, 2], reverse=True),
        sizes(3, 5, 2, 3, lengths=[3, 1, 2]),
        sizes(2, 3, 4, 5, biases=False, states=False),
        case((2, 3, 4), (20, 4), (20, 5), None, (20,), None, (2, 5)),
        *(sizes(n, 3, 4, 5) for n in SIZES),
        *(sizes(2, n, 4, 5) for n in SIZES if 0 < n < 60),
        *(sizes(2, 3, n, 5) for n in SIZES if n),
        *(sizes(2, 3, 4, n) for n in SIZES if n),
    ],
    large=[sizes(70, 60, 33, 40), sizes(33, 40, 64, 64, lengths=list(range(7, 40)), reverse=True)],
    function=lambda *arrays, **options: joined(*at.functional.lstm(*arrays, **options)),
    reference_function=lambda *arrays, **options: joined(*reference.lstm(*arrays, **options)),
    backward=backward,
    torch=by_torch,
    errors=[
        wrong((3, 4), (8, 4), (8, 2), None, None, says="x has shape (3, 4)"),
        wrong((2, 3, 4), (8, 5), (8, 2), None, None, says="x has 4 features but weight_ih expects 5"),
        wrong((2, 3, 4), (9, 4), (8, 2), None, None, says="weight_ih has shape (9, 4)"),
        wrong((2, 3, 4), (8, 4), (6, 2), None, None, says="weight_hh has shape (6, 2)"),
        wrong((2, 3, 4), (8, 4), (8, 2), (2,), None, says="bias_ih has shape (2,) but must have shape (8,)"),
        wrong((2, 3, 4), (8, 4), (8, 2), None, (8, 1), says="bias_hh has shape (8, 1)"),
        wrong((2, 3, 4), (8, 4), (8, 2), None, None, (2, 3), says="h_0 has shape (2, 3)"),
        wrong((2, 3, 4), (8, 4), (8, 2), None, None, None, (3, 2), says="c_0 has shape (3, 2)"),
        wrong((2, 3, 4), (8, 4), (8, 2), None, None, lengths=[1, 4], says="lengths holds 4"),
        wrong((2, 3, 4), (8, 4), (8, 2), None, None, lengths=[-1, 3], says="lengths holds -1"),
        wrong((2, 3, 4), (8, 4), (8, 2), None, None, lengths=[1], says="lengths has shape (1,)"),
        wrong(
            (2, 3, 4), (8, 4), (8, 2), None, None,
            lengths=[1.0, 2.0], raises=TypeError, says="lengths has dtype float64",
        ),
        wrong(None, (8, 4), (8, 2), None, None, raises=TypeError, says="x is None"),
    ],
)  # fmt: skip


def arrays(batch=3, length=6, features=4, units=5, gates=4):
    rng = np.random.default_rng(0)
    shapes = [(batch, length, features), (gates * units, features), (gates * units, units)]
    return [rng.standard_normal(s) for s in shapes]


@pytest.mark.parametrize("reverse", [False, True])
def test_padding_is_not_looked_at(reverse):
    """NaN behind the end reaches neither the results nor any gradient."""
    x, w, u = arrays()
    lengths = np.array([2, 6, 4])
    results = []
    for filler in (0.0, np.nan):
        for i, n in enumerate(lengths):
            x[i, n:] = filler
        inputs = [at.tensor(a, requires_grad=True) for a in (x, w, u)]
        out, h_n, c_n = at.functional.lstm(*inputs, lengths=lengths, reverse=reverse)
        (out.sum() + h_n.sum() + c_n.sum()).backward()
        results.append([out, h_n, c_n, *(t.grad for t in inputs)])
    for zero, nan in zip(*results, strict=True):
        assert_same_bits(nan, zero)


def test_a_short_sample_is_as_if_alone():
    x, w, u = arrays()
    out, h_n, c_n = at.functional.lstm(x, w, u, lengths=[2, 6, 0])
    alone, h_alone, c_alone = at.functional.lstm(x[:1, :2], w, u)
    assert_close(out[:1, :2], alone)
    assert_close(h_n[:1], h_alone)
    assert_close(c_n[:1], c_alone)
    assert not out[0, 2:].any() and not out[2].any() and not h_n[2].any()


def test_two_halves_are_the_whole():
    x, w, u = arrays()
    whole = at.functional.lstm(x, w, u)
    first, h, c = at.functional.lstm(x[:, :4], w, u)
    second, *states = at.functional.lstm(x[:, 4:], w, u, None, None, h, c)
    assert_close(np.concatenate([first, second], axis=1), whole[0])
    for half, state in zip(states, whole[1:], strict=True):
        assert_close(half, state)


@pytest.mark.parametrize("which", range(3))
def test_gradient_through_one_result_alone(which):
    """Where nothing flows back into the others."""
    x, w, u = arrays()
    inputs = [at.tensor(a, requires_grad=True) for a in (x, w, u)]
    y = at.functional.lstm(*inputs)[which]
    y.sum().backward()
    d = [np.zeros_like(r) for r in reference.lstm(x, w, u, None, None)]
    d[which][...] = 1
    expected = reference.lstm_backward(d[0], x, w, u, None, None, d_h_n=d[1], d_c_n=d[2])
    for tensor, gradient in zip(inputs, expected, strict=False):
        assert_close(tensor.grad, gradient)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saturated_gates_are_zero_and_one(dtype):
    """A remembering cell: f = 1, i = 0 keep c to the last bit, however large the numbers."""
    big = 1e4
    bias = np.repeat([-big, big, 0, big], 3).astype(dtype)
    x, c_0 = np.zeros((1, 50, 2), dtype), np.array([[0.5, -2.0, 100.0]], dtype)
    w, u = np.zeros((12, 2), dtype), np.zeros((12, 3), dtype)
    out, _, c_n = at.functional.lstm(x, w, u, bias, None, None, c_0)
    assert_same_bits(c_n, c_0)
    assert_close(out[0, -1], np.tanh(c_0[0].astype("float64")))

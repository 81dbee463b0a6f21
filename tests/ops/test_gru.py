"""gru: one layer in one direction. The result that is tested holds the output and the last state."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import SIZES, case, normal, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def joined(out, h_n):
    """out (B, S, H) and h_n (B, H) -> (B, S + 1, H)."""
    if isinstance(out, at.Tensor):
        return at.functional.concatenate([out, h_n.reshape(h_n.shape[0], 1, h_n.shape[1])], axis=1)
    return np.concatenate([out, h_n[:, None]], axis=1)


def backward(d_y, x, *others, **options):
    length = x.shape[1]
    return reference.gru_backward(d_y[:, :length], x, *others, **options, d_h_n=d_y[:, length])


def by_torch(torch, x, weight_ih, weight_hh, bias_ih, bias_hh, h_0, lengths=None, reverse=False):
    batch, length, _ = x.shape
    zeros = torch.zeros(batch, weight_hh.shape[1], dtype=x.dtype)
    h = zeros if h_0 is None else h_0
    ends = torch.full((batch,), length) if lengths is None else torch.tensor(lengths)
    out = {}
    for t in list(range(length))[:: -1 if reverse else 1]:
        active = (t < ends)[:, None]
        h = torch.where(active, torch.gru_cell(x[:, t], h, weight_ih, weight_hh, bias_ih, bias_hh), h)
        out[t] = torch.where(active, h, zeros)
    return torch.stack([*(out[t] for t in range(length)), h], dim=1)


def sizes(batch, length, features, units, biases=True, states=True, **options):
    bias = normal(3 * units) if biases else None
    scale = 1 / max(1, units) ** 0.5
    return case(
        (batch, length, features),
        normal(3 * units, features, scale=scale),
        normal(3 * units, units, scale=scale),
        bias,
        bias,
        normal(batch, units) if states else None,
        **options,
    )


ERRORS = [
    wrong((3, 4), (6, 4), (6, 2), None, None, says="x has shape (3, 4)"),
    wrong((2, 3, 4), (6, 5), (6, 2), None, None, says="x has 4 features but weight_ih expects 5"),
    wrong((2, 3, 4), (8, 4), (6, 2), None, None, says="weight_ih has shape (8, 4)"),
    wrong((2, 3, 4), (8, 4), (8, 2), None, None, says="weight_hh has shape (8, 2)"),
    wrong((2, 3, 4), (6, 4), (6, 2), (2,), None, says="bias_ih has shape (2,) but must have shape (6,)"),
    wrong((2, 3, 4), (6, 4), (6, 2), None, (6, 1), says="bias_hh has shape (6, 1)"),
    wrong((2, 3, 4), (6, 4), (6, 2), None, None, (2, 3), says="h_0 has shape (2, 3)"),
    wrong((2, 3, 4), (6, 4), (6, 2), None, None, lengths=[1, 4], says="lengths holds 4"),
    wrong((2, 3, 4), (6, 4), (6, 2), None, None, lengths=[[1, 2]], says="lengths has shape (1, 2)"),
    wrong(
        (2, 3, 4), (6, 4), (6, 2), None, None, lengths=[0.5, 2], raises=TypeError, says="lengths has dtype"
    ),
    wrong(None, (6, 4), (6, 2), None, None, raises=TypeError, says="x is None"),
]


def all_tests(torch, **options):
    return op_tests(
        "gru",
        "x weight_ih weight_hh bias_ih bias_hh h_0",
        [
            sizes(2, 3, 4, 5, **options),
            sizes(2, 3, 4, 5, reverse=True, **options),
            sizes(3, 4, 2, 3, lengths=[4, 0, 2], **options),
            sizes(3, 5, 2, 3, lengths=[3, 1, 2], reverse=True, **options),
            sizes(2, 3, 4, 5, biases=False, states=False, **options),
            case((2, 3, 4), (15, 4), (15, 5), None, (15,), None, **options),
            *(sizes(n, 3, 4, 5, **options) for n in SIZES),
            *(sizes(2, n, 4, 5, **options) for n in SIZES if 0 < n < 60),
            *(sizes(2, 3, n, 5, **options) for n in SIZES if n),
            *(sizes(2, 3, 4, n, **options) for n in SIZES if n),
        ],
        large=[
            sizes(70, 60, 33, 40, **options),
            sizes(33, 40, 64, 64, lengths=list(range(7, 40)), reverse=True, **options),
        ],
        function=lambda *arrays, **o: joined(*at.functional.gru(*arrays, **o)),
        reference_function=lambda *arrays, **o: joined(*reference.gru(*arrays, **o)),
        backward=backward,
        torch=torch,
        errors=ERRORS,
    )


TestGru = all_tests(by_torch)
TestGruResetBefore = all_tests(None, reset_after=False)


def arrays(batch=3, length=6, features=4, units=5):
    rng = np.random.default_rng(0)
    shapes = [
        (batch, length, features),
        (3 * units, features),
        (3 * units, units),
        (3 * units,),
        (3 * units,),
    ]
    return [rng.standard_normal(s) for s in shapes]


@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize("reverse", [False, True])
def test_padding_is_not_looked_at(reverse, reset_after):
    """NaN behind the end reaches neither the results nor any gradient."""
    x, *others = arrays()
    lengths = np.array([2, 5, 4])
    results = []
    for filler in (0.0, np.nan):
        for i, n in enumerate(lengths):
            x[i, n:] = filler
        inputs = [at.tensor(a, requires_grad=True) for a in (x, *others)]
        out, h_n = at.functional.gru(*inputs, lengths=lengths, reverse=reverse, reset_after=reset_after)
        (out.sum() + h_n.sum()).backward()
        results.append([out, h_n, *(t.grad for t in inputs)])
    for zero, nan in zip(*results, strict=True):
        assert_same_bits(nan, zero)


@pytest.mark.parametrize("reset_after", [True, False])
def test_two_halves_are_the_whole(reset_after):
    x, *others = arrays()
    whole, h_whole = at.functional.gru(x, *others, reset_after=reset_after)
    first, h = at.functional.gru(x[:, :4], *others, reset_after=reset_after)
    second, h_n = at.functional.gru(x[:, 4:], *others, h, reset_after=reset_after)
    assert_close(np.concatenate([first, second], axis=1), whole)
    assert_close(h_n, h_whole)


def test_the_two_kinds_differ_by_where_the_reset_gate_acts():
    x, w, u, b, b2 = arrays()
    after = at.functional.gru(x, w, u, b, b2)[0]
    before = at.functional.gru(x, w, u, b, b2, reset_after=False)[0]
    assert np.abs(after - before).max() > 0.01
    diagonal = np.concatenate([u[:10], np.diag(u[10:, 0])])  # r ∘ (D h) = D (r ∘ h), if b' is 0
    after = at.functional.gru(x, w, diagonal, b)[0]
    assert_close(at.functional.gru(x, w, diagonal, b, reset_after=False)[0], after)


@pytest.mark.parametrize("which", range(2))
def test_gradient_through_one_result_alone(which):
    """Where nothing flows back into the other."""
    x, *others = arrays()
    inputs = [at.tensor(a, requires_grad=True) for a in (x, *others)]
    at.functional.gru(*inputs)[which].sum().backward()
    d = [np.zeros_like(r) for r in reference.gru(x, *others)]
    d[which][...] = 1
    expected = reference.gru_backward(d[0], x, *others, d_h_n=d[1])
    for tensor, gradient in zip(inputs, expected, strict=False):
        assert_close(tensor.grad, gradient)


@pytest.mark.parametrize("reset_after", [True, False])
def test_an_update_gate_of_one_keeps_the_state(reset_after):
    bias = np.repeat([0, 1e4, 0], 3).astype("float32")
    x, h_0 = np.ones((1, 50, 2), "float32"), np.array([[0.5, -0.25, 0.75]], "float32")
    w, u = np.zeros((9, 2), "float32"), np.ones((9, 3), "float32")
    _, h_n = at.functional.gru(x, w, u, bias, None, h_0, reset_after=reset_after)
    assert_same_bits(h_n, h_0)

"""lora: y = x (W + s B A)ᵀ + b, without B A."""

import numpy as np
import pytest

import attendo as at
from inputs import DTYPES, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def of(rows, features, out, rank, bias=True, **options):
    return case(
        (*rows, features), (out, features), (rank, features), (out, rank), (out,) if bias else None, **options
    )


def by_torch(torch, x, weight, a, b, bias, scale=1.0):
    linear = torch.nn.functional.linear
    return linear(x, weight, bias) + scale * linear(linear(x, a), b)


TestLora = op_tests(
    "lora",
    "x weight a b bias",
    [
        of((2, 3), 7, 5, 2, scale=0.5),
        of((), 7, 3, 1),
        of((2, 1, 3), 4, 5, 3, bias=False),
        of((0,), 7, 5, 2),
        of((17,), 1, 33, 1, scale=2.0),
        of((65,), 16, 0, 3),
        of((33,), 40, 30, 17, scale=0.25),
    ],
    large=[of((500,), 200, 300, 8), of((1,), 1000, 1500, 16), of((20000,), 17, 3, 2, bias=False)],
    torch=by_torch,
    errors=[
        wrong((4, 3), (5, 2), (1, 3), (5, 1), None, says="x has 3 features but weight expects 2"),
        wrong(
            (4, 3),
            (5, 3),
            (1, 2),
            (5, 1),
            None,
            says="a has shape (1, 2) but must be (rank, in) with 3 features",
        ),
        wrong(
            (4, 3),
            (5, 3),
            (2, 3),
            (5, 1),
            None,
            says="b has shape (5, 1) but must be (out, rank), which is (5, 2)",
        ),
        wrong((4, 3), (5, 3), (2, 3), (4, 2), None, says="b has shape (4, 2)"),
        wrong((4, 3), (5, 3), (3,), (5, 1), None, says="a has shape (3,) but must have 2 axes"),
        wrong((4, 3), (5, 3), (2, 3), (5, 2), (4,), says="bias has shape (4,) but must have shape (5,)"),
        wrong((4, 3), (5, 3), None, (5, 2), None, raises=TypeError, says="a is None"),
        wrong((4, 3), None, (2, 3), (5, 2), None, raises=TypeError, says="weight is None"),
    ],
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 3, 40])
def test_without_b_it_is_linear_to_the_bit(dtype, rows):
    draw = np.random.default_rng(0).standard_normal
    x, weight, bias, a = (draw(s).astype(dtype) for s in ((rows, 70), (33, 70), (33,), (4, 70)))
    y = at.functional.lora(x, weight, a, np.zeros((33, 4), dtype), bias, 3.0)
    assert_same_bits(y, at.functional.linear(x, weight, bias))


def test_a_frozen_weight_has_no_gradient_and_the_others_do():
    draw = np.random.default_rng(0).standard_normal
    weight = at.tensor(draw((5, 7)))
    x, a, b, bias = (at.tensor(draw(s), requires_grad=True) for s in ((3, 7), (2, 7), (5, 2), (5,)))
    at.functional.lora(x, weight, a, b, bias).sum().backward()
    assert weight.grad is None
    assert all(t.grad is not None for t in (x, a, b, bias))


def test_gradients_of_gradients():
    """Of x A' B' in x and B: as the same of linear layers written out."""
    draw = np.random.default_rng(1).standard_normal
    arrays = [draw(s) for s in ((3, 7), (5, 7), (2, 7), (5, 2), (5,))]

    def second(function):
        leaves = [at.tensor(v, requires_grad=True) for v in arrays]
        y = function(*leaves)
        (d_x,) = at.grad((y * y).sum(), [leaves[0]], create_graph=True)
        (d_x * d_x).sum().backward()
        return [leaf.grad.numpy() for leaf in leaves]

    linear = at.functional.linear
    fused = second(lambda x, w, a, b, c: at.functional.lora(x, w, a, b, c, 0.5))
    apart = second(lambda x, w, a, b, c: linear(x, w, c) + linear(linear(x, a), b) * 0.5)
    for one, other in zip(fused, apart, strict=True):
        assert_close(one, other, scale=max(1.0, float(np.abs(other).max())))

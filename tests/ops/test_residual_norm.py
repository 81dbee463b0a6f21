"""residual_norm: layer norm of x + dropout(r). The mask comes from the generator."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import SIZES, case, positive, wrong
from op_check import op_tests
from tolerance import assert_same_bits


def residual_norm(x, r, weight=None, bias=None, p=0.0, eps=1e-5, seed=1):
    generator = at.Generator(seed) if isinstance(seed, int) else seed
    return at.functional.residual_norm(x, r, weight, bias, p=p, eps=eps, generator=generator)


def mask_of(r, p):
    """What dropout of the same seed keeps."""
    return at.functional.dropout(np.ones(r.shape), p, generator=at.Generator(1)) != 0


def expected(x, r, weight, bias, p=0.0, eps=1e-5):
    return reference.residual_norm(x, r, weight, bias, mask_of(r, p), p, eps)


def expected_backward(d_y, x, r, weight, bias, p=0.0, eps=1e-5):
    return reference.residual_norm_backward(d_y, x, r, weight, bias, mask_of(r, p), p, eps)


TestResidualNorm = op_tests(
    "residual_norm",
    "x r weight bias",
    [
        case((3, 2, 7), (3, 2, 7), positive(7), (7,), p=0.3),
        case((3, 2, 7), (3, 2, 7), positive(7), (7,)),
        case((2, 3, 5), (2, 3, 5), None, None, eps=1e-3, p=0.5),
        case((5,), (5,), positive(5), None),
        case((4, 5), (4, 5), None, (5,), p=0.1),
        case((0, 3), (0, 3), positive(3), (3,), p=0.1),
        *(case((n, 6), (n, 6), positive(6), (6,), p=0.2) for n in SIZES),
        *(case((5, n), (5, n), positive(n), (n,), eps=0.01) for n in SIZES if n),
    ],
    large=[
        case((700, 300), (700, 300), positive(300), (300,), p=0.1),
        case((30000, 7), (30000, 7), positive(7), (7,)),
    ],
    function=residual_norm,
    reference_function=expected,
    backward=expected_backward,
    errors=[
        wrong((), (), None, None, says="x has shape ()"),
        wrong((2, 3), (3,), None, None, says="r has shape (3,) but must have shape (2, 3)"),
        wrong((2, 3), (2, 3), (2,), None, says="weight has shape (2,) but must have shape (3,)"),
        wrong((2, 3), (2, 3), None, (4,), says="bias has shape (4,) but must have shape (3,)"),
        wrong((2, 3), (2, 3), None, None, eps=-1.0, says="eps is -1"),
        wrong((2, 3), (2, 3), None, None, p=1.0, says="p is 1 but must be 0 or more and below 1"),
        wrong((2, 3), (2, 3), None, None, p=-0.1, says="p is -0.1 but must be"),
        wrong((2, 3), (2, 3), None, None, p="half", raises=TypeError, says="p is a str"),
        wrong(
            (2, 3),
            (2, 3),
            None,
            None,
            p=0.5,
            seed=None,
            raises=TypeError,
            says="generator is None but must be",
        ),
        wrong(None, (2, 3), None, None, raises=TypeError, says="x is None"),
        wrong((2, 3), None, None, None, raises=TypeError, says="r is None"),
    ],
)


@pytest.mark.parametrize("p", [0.0, 0.25])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_as_the_three_operations(p, dtype):
    """Forward and backward, past a row of random bits, with as many streams drawn."""
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(shape).astype(dtype) for shape in ((900, 77), (900, 77), 77, 77)]
    d_y = rng.standard_normal((900, 77)).astype(dtype)

    def run(function):
        generator = at.Generator(3)
        leaves = [at.tensor(value, requires_grad=True) for value in values]
        y = function(*leaves, generator)
        y.backward(d_y)
        return [y, *(leaf.grad for leaf in leaves)], generator.drawn

    def one_by_one(x, r, weight, bias, generator):
        return at.functional.layer_norm(
            x + at.functional.dropout(r, p, generator=generator), weight, bias, eps=1e-5
        )

    def fused(x, r, weight, bias, generator):
        return at.functional.residual_norm(x, r, weight, bias, p=p, generator=generator)

    (got, drawn), (wanted, drawn_one_by_one) = run(fused), run(one_by_one)
    assert drawn == drawn_one_by_one
    for a, b in zip(got, wanted, strict=True):
        assert_same_bits(a, b)


def test_one_tensor_as_both():
    x = np.random.default_rng(1).standard_normal((4, 6))
    both = at.tensor(x, requires_grad=True)
    at.functional.residual_norm(both, both, p=0.5, generator=at.Generator(1)).backward(
        np.arange(24.0).reshape(4, 6)
    )
    d_x, d_r, _, _ = reference.residual_norm_backward(
        np.arange(24.0).reshape(4, 6), x, x, None, None, mask_of(x, 0.5), 0.5
    )
    np.testing.assert_allclose(both.grad.numpy(), d_x + d_r, rtol=1e-12, atol=1e-12)


def test_a_gradient_of_both_is_not_shared():
    """Without dropout d_x and d_r are equal; adding to one must leave the other."""
    x, r = (at.tensor(np.arange(6.0).reshape(2, 3) ** k, requires_grad=True) for k in (1, 2))
    y = at.functional.residual_norm(x, r)
    (y + x * 3.0).backward(np.ones((2, 3)))
    difference = x.grad.numpy() - r.grad.numpy()
    np.testing.assert_allclose(difference, np.full((2, 3), 3.0))

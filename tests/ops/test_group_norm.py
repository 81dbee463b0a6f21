"""group_norm: each group of channels of a sample."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import SIZES, case, positive, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def in_order(x, weight, bias, num_groups=3, eps=1e-5):
    return at.functional.group_norm(x, num_groups, weight, bias, eps=eps)


def of_reference(function):
    return lambda *arrays, num_groups=3, eps=1e-5: function(*arrays, num_groups=num_groups, eps=eps)


TestGroupNorm = op_tests(
    "group_norm",
    "x weight bias",
    [
        case((2, 6, 4), positive(6), (6,)),
        case((3, 6), positive(6), (6,)),
        case((2, 6, 3, 2), None, None, eps=1e-3),
        case((2, 6, 2, 3, 2), positive(6), None),
        case((2, 6, 5), None, (6,), num_groups=1).but_not("torch"),  # whose backward wants a weight
        case((2, 3, 5), positive(3), (3,), num_groups=3),
        *(case((n, 6, 2), positive(6), (6,)) for n in SIZES),
        *(case((2, 6, n), positive(6), (6,), eps=0.01) for n in SIZES if n),
        case((3, 70, 1), positive(70), (70,), num_groups=2),
    ],
    large=[case((30, 12, 20, 30), positive(12), (12,)), case((2, 3, 90000), positive(3), (3,))],
    function=in_order,
    reference_function=of_reference(reference.group_norm),
    backward=lambda d_y, *rest, **options: of_reference(
        lambda *a, **o: reference.group_norm_backward(d_y, *a, **o)
    )(*rest, **options),
    torch=lambda torch, x, weight, bias, num_groups=3, eps=1e-5: torch.nn.functional.group_norm(
        x, num_groups, weight, bias, eps
    ),
    errors=[
        wrong((3,), None, None, says="x has shape (3,)"),
        wrong((2, 4), None, None, says="num_groups is 3 but must be 1 or more and divide the 4 channels"),
        wrong((2, 4), None, None, num_groups=0, says="num_groups is 0"),
        wrong((2, 4), None, None, num_groups=-2, says="num_groups is -2"),
        wrong((2, 4), None, None, num_groups=2.0, raises=TypeError, says="num_groups is a float"),
        wrong((2, 6), (2,), None, says="weight has shape (2,) but must have shape (6,)"),
        wrong((2, 6), None, (6, 1), says="bias has shape (6, 1)"),
        wrong((2, 6), None, None, eps=-1.0, says="eps is -1"),
        wrong(None, None, None, raises=TypeError, says="x is None"),
    ],
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_between_layer_norm_and_instance_norm(dtype):
    """One group is layer norm over all of a sample, and a group of one channel is that channel alone."""
    x = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(dtype)
    whole = at.functional.layer_norm(x.reshape(3, 20)).reshape(x.shape)
    assert_close(at.functional.group_norm(x, 1), whole)
    assert_close(at.functional.group_norm(x, 4), at.functional.layer_norm(x))


def test_samples_do_not_see_each_other():
    x = np.random.default_rng(0).standard_normal((5, 6, 7))
    together = at.functional.group_norm(x, 2)
    for sample, expected in zip(x, together, strict=True):
        assert_same_bits(at.functional.group_norm(sample[None], 2)[0], expected)


@pytest.mark.parametrize("shape", [(0, 6, 4), (2, 6, 0), (2, 0, 4), (0, 0)], ids=str)
def test_empty(shape):
    x = at.tensor(np.zeros(shape), requires_grad=True)
    y = at.functional.group_norm(x, 3, np.ones(shape[1]))
    y.backward(np.zeros(shape))
    assert y.shape == shape and x.grad.shape == shape

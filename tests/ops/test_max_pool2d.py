"""max_pool2d: the largest entry of every window."""

import numpy as np
import pytest

import attendo as at
from inputs import case, wrong
from op_check import op_tests
from tolerance import assert_same_bits

TestMaxPool2d = op_tests(
    "max_pool2d",
    "x",
    [
        case((2, 3, 6, 6), kernel_size=2),
        case((2, 3, 7, 5), kernel_size=2),
        case((2, 3, 7, 5), kernel_size=(3, 2), stride=1),
        case((2, 3, 7, 5), kernel_size=3, stride=2, padding=1),
        case((2, 3, 7, 5), kernel_size=[2, 3], stride=[3, 1], padding=[1, 0]),
        case((1, 1, 1, 1), kernel_size=1),
        case((1, 2, 5, 5), kernel_size=5),
        case((1, 2, 3, 3), kernel_size=2, stride=9),
        case((0, 3, 4, 4), kernel_size=2),
        case((2, 0, 4, 4), kernel_size=2).but_not("torch"),  # which knows no images without channels
        *(case((1, 1, n, n + 1), kernel_size=3, stride=2, padding=1) for n in (3, 16, 17, 33)),
    ],
    large=[case((30, 16, 33, 34), kernel_size=2), case((30, 16, 33, 34), kernel_size=3, stride=1, padding=1)],
    torch=lambda torch, x, kernel_size, stride=None, padding=0: torch.nn.functional.max_pool2d(
        x, kernel_size, stride, padding
    ),
    errors=[
        wrong((3, 4, 4), kernel_size=2, says="x has shape (3, 4, 4) but must have 4 axes"),
        wrong((1, 1, 4, 4), kernel_size=0, says="kernel_size is 0 but must be 1 or more"),
        wrong((1, 1, 4, 4), kernel_size=(2, -1), says="kernel_size is -1"),
        wrong((1, 1, 4, 4), kernel_size=2, stride=0, says="stride is 0 but must be 1 or more"),
        wrong(
            (1, 1, 4, 4),
            kernel_size=2,
            padding=2,
            says="padding is (2, 2) but must be 0 to half of kernel_size",
        ),
        wrong((1, 1, 4, 4), kernel_size=2, padding=-1, says="padding is (-1, -1)"),
        wrong((1, 1, 4, 4), kernel_size=5, says="kernel_size (5, 5) is larger than the padded image"),
        wrong((1, 1, 0, 4), kernel_size=1, says="kernel_size (1, 1) is larger than the padded image"),
        wrong((1, 1, 4, 4), kernel_size=2**62, says="kernel_size"),
        wrong((1, 1, 4, 4), kernel_size=2**70, says="kernel_size"),
        wrong((1, 1, 4, 4), kernel_size=2, stride=2**62, says="stride"),
        wrong((1, 1, 4, 4), kernel_size=(1, 2, 3), says="kernel_size has 3 entries"),
        wrong((1, 1, 4, 4), kernel_size=2.0, raises=TypeError, says="kernel_size is a float"),
        wrong((1, 1, 4, 4), kernel_size=None, raises=TypeError, says="kernel_size is a NoneType"),
        wrong(None, kernel_size=2, raises=TypeError, says="x is None"),
    ],
)


def test_of_equal_maxima_the_first_gets_the_gradient():
    x = at.tensor(np.zeros((1, 1, 4, 4)), requires_grad=True)
    at.functional.max_pool2d(x, 2).backward(np.arange(1.0, 5).reshape(1, 1, 2, 2))
    np.testing.assert_array_equal(
        x.grad.numpy()[0, 0], [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]
    )


def test_overlapping_windows_add_their_gradients():
    x = at.tensor(np.array([[[[0.0, 5.0, 0.0]]]]), requires_grad=True)
    at.functional.max_pool2d(x, (1, 2), stride=1).backward(np.array([[[[2.0, 3.0]]]]))
    np.testing.assert_array_equal(x.grad.numpy(), [[[[0, 5, 0]]]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_padding_is_below_everything(dtype):
    x = np.full((1, 1, 3, 3), -np.finfo(dtype).max, dtype)
    assert_same_bits(at.functional.max_pool2d(x, 3, stride=1, padding=1), x)
    x[...] = -np.inf
    np.testing.assert_array_equal(at.functional.max_pool2d(x, 3, stride=1, padding=1), x)

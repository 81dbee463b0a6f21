"""max_pool1d and max_pool2d: the largest entry of every window."""

import numpy as np
import pytest

import attendo as at
from inputs import case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

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
        case((2, 3, 7, 8), kernel_size=3, dilation=2),
        case((2, 3, 9, 8), kernel_size=(3, 2), stride=2, dilation=(2, 3), padding=1),
        case((2, 3, 7, 8), kernel_size=3, stride=2, ceil_mode=True),
        case((2, 3, 8, 6), kernel_size=2, stride=3, padding=1, ceil_mode=True),
        case((2, 3, 8, 6), kernel_size=(3, 2), stride=(2, 3), dilation=2, padding=(1, 0), ceil_mode=True),
        case((2, 3, 5, 5), kernel_size=1, stride=4, ceil_mode=True),
        *(case((1, 1, n, n + 1), kernel_size=3, stride=2, padding=1) for n in (3, 16, 17, 33)),
    ],
    large=[case((30, 16, 33, 34), kernel_size=2), case((30, 16, 33, 34), kernel_size=3, stride=1, padding=1)],
    torch=lambda torch, x, **options: torch.nn.functional.max_pool2d(x, **options),
    errors=[
        wrong((3, 4, 4), kernel_size=2, says="x has shape (3, 4, 4) but must have 4 axes"),
        wrong((1, 1, 4, 4), kernel_size=0, says="kernel_size is 0 but must be 1 or more"),
        wrong((1, 1, 4, 4), kernel_size=(2, -1), says="kernel_size is -1"),
        wrong((1, 1, 4, 4), kernel_size=2, stride=0, says="stride is 0 but must be 1 or more"),
        wrong(
            (1, 1, 4, 4),
            kernel_size=2,
            padding=2,
            says="padding is 2 but must be 0 to 1, half of kernel_size",
        ),
        wrong((1, 1, 4, 4), kernel_size=2, padding=-1, says="padding is -1 but must be 0 or more"),
        wrong((1, 1, 4, 4), kernel_size=5, says="kernel_size covers a height of 5 but x has 4"),
        wrong((1, 1, 0, 4), kernel_size=1, says="x has shape (1, 1, 0, 4); there is nothing to pool"),
        wrong((1, 1, 4, 4), kernel_size=2**62, says="kernel_size"),
        wrong((1, 1, 4, 4), kernel_size=2**70, says="kernel_size"),
        wrong((1, 1, 4, 4), kernel_size=2, stride=2**62, says="stride"),
        wrong((1, 1, 4, 4), kernel_size=(1, 2, 3), says="kernel_size has 3 entries"),
        wrong((1, 1, 4, 4), kernel_size=2.0, raises=TypeError, says="kernel_size is a float"),
        wrong((1, 1, 4, 4), kernel_size=None, raises=TypeError, says="kernel_size is a NoneType"),
        wrong((1, 1, 4, 4), kernel_size=2, dilation=4, says="kernel_size covers a height of 5 but x has 4"),
        wrong((1, 1, 4, 4), kernel_size=2, dilation=0, says="dilation is 0 but must be 1 or more"),
        wrong((1, 1, 4, 4), kernel_size=2, padding="same", raises=TypeError, says="padding is a str"),
        wrong(None, kernel_size=2, raises=TypeError, says="x is None"),
    ],
)


TestMaxPool1d = op_tests(
    "max_pool1d",
    "x",
    [
        case((2, 3, 7), kernel_size=2),
        case((2, 3, 7), kernel_size=3, stride=1, padding=1),
        case((2, 3, 9), kernel_size=3, stride=2, dilation=2, padding=1),
        case((2, 3, 8), kernel_size=3, stride=2, ceil_mode=True),
        case((1, 1, 1), kernel_size=1),
        case((0, 3, 4), kernel_size=2),
    ],
    large=[case((300, 16, 100), kernel_size=3, stride=1, padding=1)],
    torch=lambda torch, x, **options: torch.nn.functional.max_pool1d(x, **options),
    errors=[
        wrong((3, 4), kernel_size=2, says="x has shape (3, 4) but must have 3 axes"),
        wrong((1, 1, 4), kernel_size=5, says="kernel_size covers a length of 5 but x has 4"),
        wrong((1, 1, 0), kernel_size=1, says="there is nothing to pool"),
        wrong(
            (1, 1, 4), kernel_size=2, padding=2, says="padding is 2 but must be 0 to 1, half of kernel_size"
        ),
        wrong((1, 1, 4), kernel_size=2, stride=0, says="stride is 0 but must be 1 or more"),
        wrong((1, 1, 4), kernel_size=(2, 2), raises=TypeError, says="kernel_size is a tuple"),
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


def test_a_window_of_padding_alone_has_no_maximum():
    """Dilation may step over all of x: then nothing is seen, and nothing gets a gradient."""
    x = at.tensor(np.ones((1, 1, 2)), requires_grad=True)
    y = at.functional.max_pool1d(x, 2, padding=1, dilation=3)
    np.testing.assert_array_equal(y, [[[-np.inf]]])
    y.backward(np.ones((1, 1, 1)))
    np.testing.assert_array_equal(x.grad.numpy(), [[[0, 0]]])


def test_nan_is_a_maximum_and_the_first_one_gets_the_gradient(torch):
    values = np.array([[[1.0, np.nan, 3.0, np.nan, 5.0, 6.0]]])
    x = at.tensor(values, requires_grad=True)
    y = at.functional.max_pool1d(x, 3)
    np.testing.assert_array_equal(y, torch.nn.functional.max_pool1d(torch.tensor(values), 3).numpy())
    np.testing.assert_array_equal(y, [[[np.nan, np.nan]]])
    y.backward(np.array([[[1.0, 2.0]]]))
    np.testing.assert_array_equal(x.grad.numpy(), [[[0, 1, 0, 2, 0, 0]]])


def test_torch_on_random_windows(torch):
    rng = np.random.default_rng(3)
    for _ in range(60):
        kernel, stride, dilation = rng.integers(1, 5, 2), rng.integers(1, 4, 2), rng.integers(1, 3, 2)
        options = {
            "kernel_size": tuple(map(int, kernel)),
            "stride": tuple(map(int, stride)),
            "dilation": tuple(map(int, dilation)),
            "padding": tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel),
            "ceil_mode": bool(rng.integers(2)),
        }
        x = rng.standard_normal((2, 3, *rng.integers(9, 16, 2)))
        ours, theirs = at.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y = at.functional.max_pool2d(ours, **options)
        y_theirs = torch.nn.functional.max_pool2d(theirs, **options)
        assert_same_bits(y, y_theirs.detach().numpy(), str(options))
        d_y = rng.standard_normal(y.shape)
        y.backward(d_y)
        y_theirs.backward(torch.tensor(d_y))
        assert_close(ours.grad, theirs.grad.numpy(), what=str(options))

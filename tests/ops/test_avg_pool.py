"""avg_pool1d and avg_pool2d: the average of every window."""

import numpy as np

import attendo as at
from inputs import case, wrong
from op_check import op_tests
from tolerance import assert_close

TestAvgPool2d = op_tests(
    "avg_pool2d",
    "x",
    [
        case((2, 3, 6, 6), kernel_size=2),
        case((2, 3, 7, 5), kernel_size=(3, 2), stride=1),
        case((2, 3, 7, 5), kernel_size=3, stride=2, padding=1),
        case((2, 3, 7, 5), kernel_size=[3, 2], stride=[2, 1], padding=[1, 1], count_include_pad=False),
        case((2, 3, 7, 8), kernel_size=3, stride=2, ceil_mode=True),
        case((2, 3, 8, 6), kernel_size=2, stride=3, padding=1, ceil_mode=True),
        case((2, 3, 8, 6), kernel_size=3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        case((1, 1, 1, 1), kernel_size=1),
        case((1, 2, 5, 5), kernel_size=5),
        case((1, 2, 3, 3), kernel_size=2, stride=9),
        case((0, 3, 4, 4), kernel_size=2),
        case((2, 0, 4, 4), kernel_size=2).but_not("torch"),  # which knows no images without channels
    ],
    large=[case((30, 16, 33, 34), kernel_size=2), case((30, 16, 33, 34), kernel_size=3, stride=1, padding=1)],
    torch=lambda torch, x, **options: torch.nn.functional.avg_pool2d(x, **options),
    errors=[
        wrong((3, 4, 4), kernel_size=2, says="x has shape (3, 4, 4) but must have 4 axes"),
        wrong((1, 1, 4, 4), kernel_size=0, says="kernel_size is 0 but must be 1 or more"),
        wrong((1, 1, 4, 4), kernel_size=2, stride=0, says="stride is 0 but must be 1 or more"),
        wrong(
            (1, 1, 4, 4),
            kernel_size=2,
            padding=2,
            says="padding is 2 but must be 0 to 1, half of kernel_size",
        ),
        wrong((1, 1, 4, 4), kernel_size=2, padding=-1, says="padding is -1"),
        wrong((1, 1, 4, 4), kernel_size=(2, 5), says="kernel_size covers a width of 5 but x has 4"),
        wrong((1, 1, 0, 4), kernel_size=1, says="there is nothing to pool"),
        wrong((1, 1, 4, 4), kernel_size=2**62, says="kernel_size"),
        wrong((1, 1, 4, 4), kernel_size=(1, 2, 3), says="kernel_size has 3 entries"),
        wrong((1, 1, 4, 4), kernel_size=2.0, raises=TypeError, says="kernel_size is a float"),
        wrong(None, kernel_size=2, raises=TypeError, says="x is None"),
    ],
)

TestAvgPool1d = op_tests(
    "avg_pool1d",
    "x",
    [
        case((2, 3, 7), kernel_size=2),
        case((2, 3, 7), kernel_size=3, stride=1, padding=1),
        case((2, 3, 7), kernel_size=3, stride=1, padding=1, count_include_pad=False),
        case((2, 3, 8), kernel_size=3, stride=2, ceil_mode=True),
        case((2, 3, 17), kernel_size=17),
        case((0, 3, 4), kernel_size=2),
    ],
    large=[case((300, 16, 100), kernel_size=3, stride=1, padding=1)],
    torch=lambda torch, x, **options: torch.nn.functional.avg_pool1d(x, **options),
    errors=[
        wrong((3, 4), kernel_size=2, says="x has shape (3, 4) but must have 3 axes"),
        wrong((1, 1, 4), kernel_size=5, says="kernel_size covers a length of 5 but x has 4"),
        wrong((1, 1, 0), kernel_size=1, says="there is nothing to pool"),
        wrong((1, 1, 4), kernel_size=2, stride=-1, says="stride is -1 but must be 1 or more"),
        wrong((1, 1, 4), kernel_size=(2, 2), raises=TypeError, says="kernel_size is a tuple"),
        wrong(None, kernel_size=2, raises=TypeError, says="x is None"),
    ],
)


def test_the_average_of_equal_entries_is_that_entry():
    x = np.full((2, 3, 9, 7), 0.7)
    y = at.functional.avg_pool2d(x, 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False)
    assert_close(y, np.full(y.shape, 0.7))


def test_a_small_difference_of_large_numbers():
    x = np.full((1, 1, 100, 100), 1e6, "float32")
    x[0, 0, ::2] += 1
    assert at.functional.avg_pool2d(x, 100)[0, 0, 0, 0] == np.float32(1e6 + 0.5)


def test_torch_on_random_windows(torch):
    rng = np.random.default_rng(3)
    for _ in range(60):
        kernel, stride = rng.integers(1, 5, 2), rng.integers(1, 4, 2)
        options = {
            "kernel_size": tuple(map(int, kernel)),
            "stride": tuple(map(int, stride)),
            "padding": tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel),
            "ceil_mode": bool(rng.integers(2)),
            "count_include_pad": bool(rng.integers(2)),
        }
        x = rng.standard_normal((2, 3, *rng.integers(5, 16, 2)))
        ours, theirs = at.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y = at.functional.avg_pool2d(ours, **options)
        y_theirs = torch.nn.functional.avg_pool2d(theirs, **options)
        assert_close(y, y_theirs.detach().numpy(), what=str(options))
        d_y = rng.standard_normal(y.shape)
        y.backward(d_y)
        y_theirs.backward(torch.tensor(d_y))
        assert_close(ours.grad, theirs.grad.numpy(), what=str(options))

"""conv2d: cross-correlation of images (B, C, H, W)."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import attendo as at
from attendo import reference
from inputs import case, wrong
from op_check import op_tests
from tolerance import assert_close

SIZES = (1, 3, 7, 16, 17)

TestConv2d = op_tests(
    "conv2d",
    "x weight bias",
    [
        case((2, 3, 5, 6), (4, 3, 3, 2), (4,)),
        case((2, 3, 5, 6), (4, 3, 3, 2), None, stride=2),
        case((2, 3, 5, 6), (4, 3, 3, 2), (4,), padding=1),
        case((2, 3, 5, 6), (4, 3, 3, 3), (4,), stride=(2, 1), padding=(0, 2)),
        case((1, 1, 1, 1), (1, 1, 1, 1), (1,)),
        case((1, 1, 1, 1), (1, 1, 3, 3), None, padding=1),
        case((1, 2, 5, 5), (3, 2, 5, 5), None),
        case((1, 2, 4, 4), (3, 2, 2, 2), None, stride=9),
        case((1, 2, 4, 4), (3, 2, 2, 2), None, padding=[3, 4]),
        case((0, 3, 5, 5), (2, 3, 3, 3), (2,)),
        # PyTorch knows no images without channels.
        case((2, 3, 5, 5), (0, 3, 3, 3), (0,)).but_not("torch"),
        case((2, 0, 5, 5), (2, 0, 3, 3), (2,)).but_not("torch"),
        *(case((1, n, 4, 5), (2, n, 3, 3), (2,), padding=1) for n in SIZES),
        *(case((1, 2, 4, 5), (n, 2, 3, 3), (n,), padding=1) for n in SIZES),
        *(case((2, 2, 3, n), (3, 2, 3, 1), (3,), padding=(1, 0)) for n in (*SIZES, 33, 65)),
    ],
    large=[
        case((6, 16, 20, 21), (33, 16, 3, 3), (33,), padding=1),
        case((40, 3, 30, 30), (8, 3, 5, 5), (8,), stride=2),
    ],
    torch=lambda torch, x, weight, bias, stride=1, padding=0: torch.nn.functional.conv2d(
        x, weight, bias, stride, padding
    ),
    errors=[
        wrong((3, 5, 5), (2, 3, 3, 3), None, says="x has shape (3, 5, 5) but must have 4 axes"),
        wrong((1, 3, 5, 5), (2, 3, 3), None, says="weight has shape (2, 3, 3) but must have 4 axes"),
        wrong((1, 3, 5, 5), (2, 4, 3, 3), None, says="x has 3 channels but weight expects 4"),
        wrong((1, 3, 5, 5), (2, 3, 3, 3), (3,), says="bias has shape (3,) but must have shape (2,)"),
        wrong((1, 3, 5, 5), (2, 3, 6, 3), None, says="weight's kernel (6, 3) is larger"),
        wrong((1, 3, 5, 0), (2, 3, 3, 3), None, says="weight's kernel (3, 3) is larger"),
        wrong((1, 3, 5, 5), (2, 3, 0, 3), None, says="its kernel is empty"),
        wrong((1, 3, 5, 5), (2, 3, 3, 3), None, stride=0, says="stride is 0 but must be 1 or more"),
        wrong((1, 3, 5, 5), (2, 3, 3, 3), None, stride=(1, -1), says="stride is -1"),
        wrong((1, 3, 5, 5), (2, 3, 3, 3), None, padding=-1, says="padding is -1 but must be 0 or more"),
        wrong((1, 3, 5, 5), (2, 3, 3, 3), None, padding=2**62, says="padding"),
        wrong((1, 3, 5, 5), (2, 3, 3, 3), None, stride=2**62, says="stride"),
        wrong((1, 3, 5, 5), (2, 3, 3, 3), None, stride=(1, 2, 3), says="stride has 3 entries"),
        wrong((1, 3, 5, 5), (2, 3, 3, 3), None, stride=1.0, raises=TypeError, says="stride is a float"),
        wrong((1, 3, 5, 5), (2, 3, 3, 3), None, padding="same", raises=TypeError, says="padding is a str"),
        wrong(None, (2, 3, 3, 3), None, raises=TypeError, says="x is None"),
    ],
    huge=lambda: (np.zeros((1, 1, 3, 3)), np.zeros((1, 1, 1, 1)), None, {"padding": 2**24}),
)


def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@given(pairs(1, 3), pairs(1, 8), pairs(1, 4), pairs(1, 3), pairs(0, 3))
def test_any_window(channels, size, kernel, stride, padding):
    assume(all(n + 2 * p >= k for n, p, k in zip(size, padding, kernel, strict=True)))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, channels[0], *size))
    weight = rng.standard_normal((channels[1], channels[0], *kernel))
    options = {"stride": stride, "padding": padding}
    tensors = [at.tensor(x, requires_grad=True), at.tensor(weight, requires_grad=True)]
    y = at.functional.conv2d(*tensors, **options)
    assert_close(y, reference.conv2d(x, weight, None, **options))
    d_y = rng.standard_normal(y.shape)
    y.backward(d_y)
    expected = reference.conv2d_backward(d_y, x, weight, None, **options)
    assert_close(tensors[0].grad, expected[0])
    assert_close(tensors[1].grad, expected[1])

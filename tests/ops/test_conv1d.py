"""conv1d: cross-correlation of sequences (B, C, L)."""

import itertools

import numpy as np
import pytest

import attendo as at
from inputs import case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

# PyTorch says that it copies.
SAME = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
SIZES = (3, 7, 16, 17, 33, 65)

TestConv1d = SAME(
    op_tests(
        "conv1d",
        "x weight bias",
        [
            case((2, 3, 9), (4, 3, 3), (4,)),
            case((2, 3, 9), (4, 3, 2), None, stride=2, padding=1),
            case((2, 3, 9), (4, 3, 3), (4,), dilation=3, padding=2),
            case((2, 3, 9), (4, 3, 5), (4,), padding="same"),
            case((2, 3, 9), (4, 3, 4), (4,), padding="same", dilation=3),
            case((2, 3, 9), (4, 3, 4), (4,), padding="valid", stride=3),
            case((2, 3, 9), (4, 3, 1), (4,)),
            case((1, 1, 1), (1, 1, 1), (1,)),
            case((1, 1, 1), (1, 1, 5), None, padding=2),
            case((2, 8, 9), (4, 4, 3), (4,), groups=2),
            case((2, 32, 9), (32, 8, 3), (32,), groups=4, stride=2),
            case((2, 3, 9), (6, 1, 3), (6,), groups=3, padding=2, stride=2),
            case((2, 3, 40), (3, 1, 4), None, groups=3, dilation=2, padding="same"),
            case((0, 3, 5), (2, 3, 3), (2,)),
            case((2, 3, 5), (0, 3, 3), (0,)).but_not("torch"),  # which knows no layers without channels
            *(case((2, 3, n), (3, 3, 3), (3,), padding=1) for n in SIZES),
            *(case((2, 3, n), (3, 1, 3), (3,), groups=3, padding=1) for n in SIZES),
        ],
        large=[
            case((6, 16, 400), (33, 16, 3), (33,), padding=1),
            case((20, 16, 900), (16, 1, 3), (16,), groups=16, padding=1),
        ],
        torch=lambda torch, *inputs, **options: torch.nn.functional.conv1d(*inputs, **options),
        errors=[
            wrong((3, 5), (2, 3, 3), None, says="x has shape (3, 5) but must have 3 axes"),
            wrong((1, 3, 5), (2, 3, 3, 3), None, says="weight has shape (2, 3, 3, 3) but must have 3 axes"),
            wrong((1, 3, 5), (2, 4, 3), None, says="x has 3 channels but weight expects 4"),
            wrong((1, 3, 5), (2, 3, 3), (3,), says="bias has shape (3,) but must have shape (2,)"),
            wrong((1, 3, 5), (2, 3, 6), None, says="weight's kernel covers a length of 6 but x has 5"),
            wrong((1, 3, 5), (2, 3, 0), None, says="its kernel is empty"),
            wrong((1, 3, 5), (2, 3, 3), None, stride=0, says="stride is 0 but must be 1 or more"),
            wrong((1, 3, 5), (2, 3, 3), None, stride=(1, 2), raises=TypeError, says="stride is a tuple"),
            wrong((1, 3, 5), (2, 3, 3), None, padding=-1, says="padding is -1 but must be 0 or more"),
            wrong(
                (1, 3, 5),
                (2, 3, 3),
                None,
                padding="full",
                says="padding is 'full' but must be 'same', 'valid'",
            ),
            wrong(
                (1, 3, 5), (2, 3, 3), None, padding="same", stride=2, says="padding is 'same' but stride is 2"
            ),
            wrong((1, 3, 5), (2, 3, 3), None, dilation=0, says="dilation is 0 but must be 1 or more"),
            wrong((1, 3, 5), (2, 3, 3), None, groups=2, says="groups is 2 but must divide x's 3 channels"),
            wrong((1, 3, 5), (2, 3, 3), None, padding=2**62, says="padding"),
            wrong(None, (2, 3, 3), None, raises=TypeError, says="x is None"),
        ],
        huge=lambda: (np.zeros((2**24, 1, 3)), np.zeros((1, 1, 1)), None, {"padding": 2**24}),
    )
)


def test_a_sequence_is_an_image_of_height_1():
    rng = np.random.default_rng(0)
    x, weight, bias = rng.standard_normal((2, 4, 9)), rng.standard_normal((6, 2, 3)), rng.standard_normal(6)
    y = at.functional.conv1d(x, weight, bias, stride=2, padding=1, dilation=2, groups=2)
    image = at.functional.conv2d(
        x[:, :, None],
        weight[:, :, None],
        bias,
        stride=(1, 2),
        padding=(0, 1),
        dilation=(1, 2),
        groups=2,
    )
    assert_same_bits(y, image[:, :, 0])


@SAME
def test_torch_on_random_windows(torch):
    rng = np.random.default_rng(5)
    for groups, stride, dilation, padding in itertools.product((1, 2, 4), (1, 2, 3), (1, 3), (0, 2, "same")):
        if padding == "same" and stride != 1:
            continue
        x = rng.standard_normal((2, 4, int(rng.integers(12, 30))))
        weight = rng.standard_normal((8, 4 // groups, int(rng.integers(1, 5))))
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        ours = [at.tensor(a, requires_grad=True) for a in (x, weight)]
        theirs = [torch.tensor(a, requires_grad=True) for a in (x, weight)]
        y, y_theirs = at.functional.conv1d(*ours, **options), torch.nn.functional.conv1d(*theirs, **options)
        assert_close(y, y_theirs.detach().numpy(), what=str(options))
        d_y = rng.standard_normal(y.shape)
        y.backward(d_y)
        y_theirs.backward(torch.tensor(d_y))
        for a, b in zip(ours, theirs, strict=True):
            assert_close(a.grad, b.grad.numpy(), what=str(options))

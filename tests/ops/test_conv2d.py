"""conv2d: cross-correlation of images (B, C, H, W)."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import attendo as at
from attendo import reference
from inputs import case, wrong
from op_check import op_tests
from tolerance import assert_close

# PyTorch says that it copies.
SAME = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
SIZES = (1, 3, 7, 16, 17)

TestConv2d = SAME(
    op_tests(
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
            # dilation, padding by its purpose
            case((2, 3, 7, 8), (4, 3, 3, 2), (4,), dilation=2),
            case((2, 3, 9, 8), (4, 3, 3, 2), (4,), dilation=[2, 3], stride=[1, 2], padding=[3, 1]),
            case((2, 3, 5, 6), (4, 3, 3, 5), (4,), padding="same"),
            case((2, 3, 5, 6), (4, 3, 2, 4), (4,), padding="same", dilation=(3, 1)),
            case((2, 3, 5, 6), (4, 3, 2, 4), None, padding="valid", stride=2),
            case((1, 1, 1, 1), (1, 1, 3, 3), (1,), padding="same", dilation=9),
            # groups: a product each, or (few channels) sums of shifted rows
            case((2, 8, 5, 6), (12, 4, 3, 2), (12,), groups=2),
            case((2, 12, 5, 6), (12, 6, 1, 1), (12,), groups=2),
            case((2, 8, 6, 5), (12, 4, 3, 3), (12,), groups=2, stride=(2, 1), dilation=2, padding=2),
            case((2, 4, 6, 9), (4, 1, 3, 3), (4,), groups=4, padding=1),
            case((2, 3, 6, 9), (6, 1, 3, 2), (6,), groups=3, stride=2, padding=(1, 0)),
            case((2, 4, 7, 8), (6, 2, 2, 3), (6,), groups=2, stride=(1, 3), padding=(0, 2), dilation=(2, 1)),
            case((2, 3, 5, 6), (3, 1, 1, 1), None, groups=3, stride=2),
            case((2, 3, 2, 3), (3, 1, 2, 2), (3,), groups=3, padding=40),
            case((2, 3, 5, 40), (3, 1, 2, 5), (3,), groups=3, padding="same"),
            case((0, 4, 5, 5), (4, 1, 3, 3), (4,), groups=4),
            case(
                (2, 3, 9, 8), (5, 3, 3, 4), (5,), stride=(3, 4)
            ),  # every entry once, as in a patch embedding
            *(case((2, 3, 4, n), (3, 1, 3, 3), (3,), groups=3, padding=1) for n in (*SIZES, 33, 65)),
            *(
                case((1, 2, n, 4), (2, 1, 3, 3), None, groups=2, stride=2, padding=1)
                for n in (1, 2, 5, 16, 40)
            ),
            *(case((1, n, 4, 5), (2, n, 3, 3), (2,), padding=1) for n in SIZES),
            *(case((1, 2, 4, 5), (n, 2, 3, 3), (n,), padding=1) for n in SIZES),
            *(case((2, 2, 3, n), (3, 2, 3, 1), (3,), padding=(1, 0)) for n in (*SIZES, 33, 65)),
        ],
        large=[
            case((6, 16, 20, 21), (33, 16, 3, 3), (33,), padding=1),
            case((40, 3, 30, 30), (8, 3, 5, 5), (8,), stride=2),
            case((20, 16, 33, 34), (16, 1, 3, 3), (16,), groups=16, padding=1),
            case((9, 32, 20, 21), (64, 8, 3, 3), (64,), groups=4, padding="same"),
        ],
        torch=lambda torch, *inputs, **options: torch.nn.functional.conv2d(*inputs, **options),
        errors=[
            wrong((3, 5, 5), (2, 3, 3, 3), None, says="x has shape (3, 5, 5) but must have 4 axes"),
            wrong((1, 3, 5, 5), (2, 3, 3), None, says="weight has shape (2, 3, 3) but must have 4 axes"),
            wrong((1, 3, 5, 5), (2, 4, 3, 3), None, says="x has 3 channels but weight expects 4"),
            wrong((1, 3, 5, 5), (2, 3, 3, 3), (3,), says="bias has shape (3,) but must have shape (2,)"),
            wrong((1, 3, 5, 5), (2, 3, 6, 3), None, says="weight's kernel covers a height of 6 but x has 5"),
            wrong((1, 3, 5, 0), (2, 3, 3, 3), None, says="weight's kernel covers a width of 3 but x has 0"),
            wrong(
                (1, 3, 5, 5),
                (2, 3, 3, 3),
                None,
                dilation=4,
                padding=1,
                says="of 9 but x has 7 with its padding",
            ),
            wrong((1, 3, 5, 5), (2, 3, 0, 3), None, says="its kernel is empty"),
            wrong((1, 3, 5, 5), (2, 3, 3, 3), None, stride=0, says="stride is 0 but must be 1 or more"),
            wrong((1, 3, 5, 5), (2, 3, 3, 3), None, stride=(1, -1), says="stride is -1"),
            wrong((1, 3, 5, 5), (2, 3, 3, 3), None, padding=-1, says="padding is -1 but must be 0 or more"),
            wrong((1, 3, 5, 5), (2, 3, 3, 3), None, padding=2**62, says="padding"),
            wrong((1, 3, 5, 5), (2, 3, 3, 3), None, stride=2**62, says="stride"),
            wrong((1, 3, 5, 5), (2, 3, 3, 3), None, stride=(1, 2, 3), says="stride has 3 entries"),
            wrong((1, 3, 5, 5), (2, 3, 3, 3), None, stride=1.0, raises=TypeError, says="stride is a float"),
            wrong(
                (1, 3, 5, 5),
                (2, 3, 3, 3),
                None,
                padding="full",
                says="padding is 'full' but must be 'same', 'valid'",
            ),
            wrong(
                (1, 3, 5, 5),
                (2, 3, 3, 3),
                None,
                padding="same",
                stride=2,
                says="padding is 'same' but stride is 2",
            ),
            wrong(
                (1, 3, 5, 5), (2, 3, 3, 3), None, padding=None, raises=TypeError, says="padding is a NoneType"
            ),
            wrong((1, 3, 5, 5), (2, 3, 3, 3), None, dilation=0, says="dilation is 0 but must be 1 or more"),
            wrong((1, 3, 5, 5), (2, 3, 3, 3), None, dilation=(1, 2**62), says="dilation is"),
            wrong(
                (1, 3, 5, 5), (2, 3, 3, 3), None, dilation=0.5, raises=TypeError, says="dilation is a float"
            ),
            wrong((1, 4, 5, 5), (2, 4, 3, 3), None, groups=0, says="groups is 0 but must be 1 or more"),
            wrong(
                (1, 4, 5, 5), (2, 4, 3, 3), None, groups=3, says="groups is 3 but must divide x's 4 channels"
            ),
            wrong(
                (1, 4, 5, 5),
                (3, 2, 3, 3),
                None,
                groups=2,
                says="groups is 2 but must divide weight's 3 kernels",
            ),
            wrong(
                (1, 4, 5, 5),
                (2, 4, 3, 3),
                None,
                groups=2,
                says="x has 2 channels a group but weight expects 4",
            ),
            wrong((1, 4, 5, 5), (2, 4, 3, 3), None, groups=2**62, says="groups"),
            wrong((1, 4, 5, 5), (2, 4, 3, 3), None, groups="2", raises=TypeError, says="groups is a str"),
            wrong(None, (2, 3, 3, 3), None, raises=TypeError, says="x is None"),
        ],
        huge=lambda: (np.zeros((1, 1, 3, 3)), np.zeros((1, 1, 1, 1)), None, {"padding": 2**24}),
    )
)


def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@given(st.integers(1, 4), pairs(1, 3), pairs(1, 8), pairs(1, 4), pairs(1, 3), pairs(0, 3), pairs(1, 3))
def test_any_window(groups, channels, size, kernel, stride, padding, dilation):
    assume(all(n + 2 * p > d * (k - 1) for n, p, k, d in zip(size, padding, kernel, dilation, strict=True)))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, groups * channels[0], *size))
    weight = rng.standard_normal((groups * channels[1], channels[0], *kernel))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    tensors = [at.tensor(x, requires_grad=True), at.tensor(weight, requires_grad=True)]
    y = at.functional.conv2d(*tensors, **options)
    assert_close(y, reference.conv2d(x, weight, None, **options))
    d_y = rng.standard_normal(y.shape)
    y.backward(d_y)
    expected = reference.conv2d_backward(d_y, x, weight, None, **options)
    assert_close(tensors[0].grad, expected[0])
    assert_close(tensors[1].grad, expected[1])


@SAME
def test_torch_on_random_windows(torch):
    rng = np.random.default_rng(3)
    for groups, stride, dilation in itertools.product((1, 2, 6), (1, 2, 3), (1, 2)):
        for padding in (0, int(rng.integers(1, 4)), (0, 2), *(["same"] if stride == 1 else [])):
            kernel, size = rng.integers(1, 5, 2), rng.integers(8, 20, 2)
            x = rng.standard_normal((2, 6, *size))
            weight = rng.standard_normal((int(rng.integers(1, 3)) * 6, 6 // groups, *kernel))
            bias = rng.standard_normal(len(weight))
            options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            ours = [at.tensor(a, requires_grad=True) for a in (x, weight, bias)]
            theirs = [torch.tensor(a, requires_grad=True) for a in (x, weight, bias)]
            y, y_theirs = (
                at.functional.conv2d(*ours, **options),
                torch.nn.functional.conv2d(*theirs, **options),
            )
            assert_close(y, y_theirs.detach().numpy(), what=str(options))
            d_y = rng.standard_normal(y.shape)
            y.backward(d_y)
            y_theirs.backward(torch.tensor(d_y))
            for a, b in zip(ours, theirs, strict=True):
                assert_close(a.grad, b.grad.numpy(), what=str(options))


def test_groups_are_convolutions_of_their_own():
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 6, 7, 8)), rng.standard_normal((4, 3, 3, 3))
    y = at.functional.conv2d(x, weight, groups=2)
    for n in range(2):
        part = at.functional.conv2d(x[:, 3 * n : 3 * n + 3], weight[2 * n : 2 * n + 2])
        assert_close(y[:, 2 * n : 2 * n + 2], part)


def test_dilation_is_a_kernel_with_zeros_between():
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 3, 9, 8)), rng.standard_normal((4, 3, 3, 2))
    spread = np.zeros((4, 3, 5, 4))
    spread[:, :, ::2, ::3] = weight
    assert_close(at.functional.conv2d(x, weight, dilation=(2, 3)), at.functional.conv2d(x, spread))


def test_patches_that_do_not_overlap_are_a_linear_map():
    rng = np.random.default_rng(0)
    x, weight, bias = (
        rng.standard_normal((2, 3, 8, 12)),
        rng.standard_normal((5, 3, 4, 4)),
        rng.standard_normal(5),
    )
    patches = x.reshape(2, 3, 2, 4, 3, 4).transpose(0, 2, 4, 1, 3, 5).reshape(2, 6, 48)
    expected = at.functional.linear(patches, weight.reshape(5, 48), bias)  # (B, patches, O)
    y = at.functional.conv2d(x, weight, bias, stride=4)
    assert_close(y.reshape(2, 5, 6).transpose(0, 2, 1), expected)


@pytest.mark.parametrize("groups", [1, 2])
def test_without_kernels_all_gradients_are_zero(groups):
    x = at.tensor(np.ones((2, 4, 5, 5)), requires_grad=True)
    y = at.functional.conv2d(x, np.zeros((0, 4 // groups, 3, 3)), groups=groups)
    assert y.shape == (2, 0, 3, 3)
    y.backward(np.zeros((2, 0, 3, 3)))
    assert (x.grad.numpy() == 0).all()


def test_absurd_windows_ask_for_no_absurd_memory():
    weight = np.zeros((0, 1, 1, 1))  # no result, but patches without end
    with pytest.raises(MemoryError):
        at.functional.conv2d(np.zeros((1, 1, 1, 1)), weight, padding=2**30)
    y = at.functional.conv2d(np.ones((1, 3, 3, 3)), np.ones((3, 1, 1, 1)), groups=3, stride=2**30)
    np.testing.assert_array_equal(y, np.ones((1, 3, 1, 1)))
    y = at.functional.conv2d(
        np.ones((1, 3, 3, 3)), np.ones((3, 1, 2, 2)), groups=3, stride=2**21, padding=2**20, dilation=2**20
    )
    assert y.shape == (1, 3, 1, 1)

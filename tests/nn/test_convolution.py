"""Convolution as layers, alone and in a residual block that is trained."""

import math

import numpy as np
import pytest

import attendo as at
from attendo import nn, reference
from inputs import DTYPES
from layer_check import assert_torch_agrees, check_layer, randomized
from tolerance import assert_close

LAYERS = [
    ("conv1d", nn.Conv1d, (4, 6, 3), {"stride": 2, "padding": 1, "dilation": 2}, (2, 4, 9)),
    ("conv1d", nn.Conv1d, (4, 6, 4), {"padding": "same", "groups": 2}, (2, 4, 9)),
    ("conv2d", nn.Conv2d, (4, 6, (3, 2)), {"stride": (2, 1), "dilation": (1, 2), "padding": 2}, (2, 4, 7, 8)),
    ("conv2d", nn.Conv2d, (4, 8, 3), {"padding": "same", "groups": 4}, (2, 4, 6, 5)),
    ("conv2d", nn.Conv2d, (8, 8, 3), {"padding": "valid", "groups": 2}, (2, 8, 6, 5)),
]


def array(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("name", "make", "sizes", "options", "shape"), LAYERS)
def test_layer(name, make, sizes, options, shape, bias, dtype):
    def expected(x, p):
        return getattr(reference, name)(x, p["weight"], p.get("bias"), **options)

    def backward(d_y, x, p):
        d_x, d_weight, d_bias = getattr(reference, f"{name}_backward")(
            d_y, x, p["weight"], p.get("bias"), **options
        )
        return d_x, {"weight": d_weight, "bias": d_bias} if bias else {"weight": d_weight}

    module = randomized(make(*sizes, **options, bias=bias, dtype=str(dtype)))
    check_layer(module, [array(*shape, dtype=dtype)], expected, backward, scale=10.0)


@pytest.mark.parametrize(("name", "make", "sizes", "options", "shape"), LAYERS)
@pytest.mark.filterwarnings("ignore:Using padding=.same.")
def test_torch(torch, name, make, sizes, options, shape):
    assert_torch_agrees(
        torch,
        randomized(make(*sizes, **options)),
        getattr(torch.nn, make.__name__)(*sizes, **options),
        [array(*shape, dtype=np.float32)],
        lambda m, x: m(x),
        lambda m, x: m(x),
        lambda name: name,
    )


@pytest.mark.parametrize(
    "make", [lambda **o: nn.Conv1d(50, 80, 4, groups=2, **o), lambda **o: nn.Conv2d(20, 80, 5, groups=5, **o)]
)
def test_first_weights(make):
    """Uniform within one over the root of the inputs of an output: those of its group."""
    state = make(seed=3).state_dict()
    for value in state.values():
        assert 0.95 / math.sqrt(100) < np.abs(value).max() <= 1 / math.sqrt(100)
    assert all((make(seed=3).state_dict()[name] == value).all() for name, value in state.items())
    assert any((make(seed=4).state_dict()[name] != value).any() for name, value in state.items())


def test_repr():
    assert repr(nn.Conv1d(4, 6, 3)) == "Conv1d(4, 6, kernel_size=3, stride=1, padding=0)"
    assert repr(nn.Conv1d(4, 6, 3, padding="same", dilation=2, groups=2)) == (
        "Conv1d(4, 6, kernel_size=3, stride=1, padding='same', dilation=2, groups=2)"
    )
    assert repr(nn.Conv2d(4, 6, 3, padding=1)) == (
        "Conv2d(4, 6, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))"
    )
    assert repr(nn.Conv2d(4, 6, 3, dilation=(1, 2), groups=2)) == (
        "Conv2d(4, 6, kernel_size=(3, 3), stride=(1, 1), padding=(0, 0), dilation=(1, 2), groups=2)"
    )


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: nn.Conv1d(0, 1, 3), ValueError, "Conv1d: in_channels is 0 but must be 1 or more"),
        (lambda: nn.Conv1d(1, 1, 0), ValueError, "Conv1d: kernel_size is 0 but must be 1 or more"),
        (lambda: nn.Conv1d(1, 1, (3, 3)), TypeError, "Conv1d: kernel_size is a tuple"),
        (lambda: nn.Conv1d(1, 1, 3, stride=0), ValueError, "Conv1d: stride is 0 but must be 1 or more"),
        (lambda: nn.Conv1d(1, 1, 3, padding="full"), ValueError, "Conv1d: padding is 'full' but must be"),
        (lambda: nn.Conv1d(1, 1, 3, dilation=0), ValueError, "Conv1d: dilation is 0 but must be 1 or more"),
        (lambda: nn.Conv1d(4, 6, 3, groups=4), ValueError, "Conv1d: groups is 4 but must divide in_channels"),
        (lambda: nn.Conv2d(4, 6, 3, groups=0), ValueError, "Conv2d: groups is 0 but must be 1 or more"),
        (
            lambda: nn.Conv2d(3, 6, 3, groups=2),
            ValueError,
            "Conv2d: groups is 2 but must divide in_channels, 3",
        ),
        (lambda: nn.Conv2d(1, 1, 3, dilation=-1), ValueError, "Conv2d: dilation is -1 but must be 1 or more"),
        (lambda: nn.Conv2d(1, 1, 3, 2, "same"), ValueError, "Conv2d: padding is 'same' but stride is 2"),
        (lambda: nn.Conv2d(1, 1, 3, padding=(1, "same")), TypeError, "Conv2d: padding is a str"),
        (lambda: nn.Conv2d(2**29, 2**29, 2**20), (MemoryError, ValueError), "memory|too large"),
    ],
)
def test_wrong_constructions(make, error, says):
    with pytest.raises(error, match=says):
        make()


def block(nn, channels, stride, **options):
    """conv - norm - relu - conv - norm of He et al. 2016, figure 2, and the way around them."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, channels, 3, stride, 1, bias=False, **options)
            self.norm1 = nn.BatchNorm2d(channels, **options)
            self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False, **options)
            self.norm2 = nn.BatchNorm2d(channels, **options)
            self.around = nn.Conv2d(3, channels, 1, stride, bias=False, **options)
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.relu = nn.ReLU()
            self.flatten = nn.Flatten()
            self.out = nn.Linear(channels, 4, **options)

        def forward(self, x):
            y = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
            return self.out(self.flatten(self.pool(self.relu(y + self.around(x)))))

    return Block()


def test_a_residual_block_trains_as_in_torch(torch):
    ours, theirs = block(nn, 8, 2, dtype="float64"), block(torch.nn, 8, 2, dtype=torch.float64)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()}, strict=False)
    images, labels = array(6, 3, 9, 8), np.array([0, 3, 1, 2, 2, 0])
    optimizer = at.optim.SGD(0.1)
    optimizer.attach(ours)
    optimizer_theirs = torch.optim.SGD(theirs.parameters(), lr=0.1)
    losses = []
    for _ in range(3):
        loss = at.functional.cross_entropy(ours(images), labels)
        loss_theirs = torch.nn.functional.cross_entropy(theirs(torch.tensor(images)), torch.tensor(labels))
        for opt, value in ((optimizer, loss), (optimizer_theirs, loss_theirs)):
            opt.zero_grad()
            value.backward()
            opt.step()
        assert_close(loss.numpy(), loss_theirs.detach().numpy())
        losses.append(float(loss.numpy()))
    assert losses[2] < losses[1] < losses[0]
    for name, value in ours.state_dict().items():
        assert_close(value, theirs.state_dict()[name].numpy(), what=name)
    assert_close(ours.eval()(images), theirs.eval()(torch.tensor(images)).detach().numpy())

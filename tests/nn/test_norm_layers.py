"""RMSNorm, GroupNorm, the forms of LayerNorm and BatchNorm that PyTorch has, GLU."""

import numpy as np
import pytest

import attendo as at
from attendo import nn, reference
from inputs import DTYPES
from layer_check import assert_torch_agrees, check_layer, randomized
from tolerance import assert_close, assert_same_bits


def array(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rms_norm_layer(dtype):
    def backward(d_y, x, p):
        d_x, d_weight = reference.rms_norm_backward(d_y, x, p["weight"], eps=1e-3)
        return d_x, {"weight": d_weight}

    check_layer(
        randomized(nn.RMSNorm(6, eps=1e-3, dtype=str(dtype))),
        [array(2, 5, 6, dtype=dtype)],
        lambda x, p: reference.rms_norm(x, p["weight"], eps=1e-3),
        backward,
    )


def test_rms_norm_starts_with_ones():
    norm = nn.RMSNorm(3)
    assert norm.state_dict()["weight"].tolist() == [1, 1, 1]
    assert repr(norm) == "RMSNorm(3, eps=1e-06)"
    assert norm.state_dict()["weight"].dtype == np.float32


def test_torch_rms_norm(torch):
    assert_torch_agrees(
        torch,
        randomized(nn.RMSNorm(6, eps=1e-5)),
        torch.nn.RMSNorm(6, eps=1e-5),
        [array(3, 6, dtype=np.float32)],
        lambda m, x: m(x),
        lambda m, x: m(x),
        lambda name: name,
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(3, 6), (2, 6, 5), (2, 6, 2, 3)], ids=str)
def test_group_norm_layer(shape, dtype):
    def backward(d_y, x, p):
        d_x, *rest = reference.group_norm_backward(d_y, x, p["weight"], p["bias"], 3, 1e-3)
        return d_x, dict(zip(["weight", "bias"], rest, strict=True))

    check_layer(
        randomized(nn.GroupNorm(3, 6, eps=1e-3, dtype=str(dtype))),
        [array(*shape, dtype=dtype)],
        lambda x, p: reference.group_norm(x, p["weight"], p["bias"], 3, 1e-3),
        backward,
    )


def test_group_norm_at_first():
    norm = nn.GroupNorm(2, 4)
    assert {n: v.tolist() for n, v in norm.state_dict().items()} == {"weight": [1] * 4, "bias": [0] * 4}
    assert repr(norm) == "GroupNorm(2, 4, eps=1e-05)"
    plain, x = nn.GroupNorm(2, 4, affine=False), array(3, 4, 5, dtype=np.float32)
    assert plain.parameters() == [] and repr(plain) == "GroupNorm(2, 4, eps=1e-05, affine=False)"
    assert_same_bits(plain(x), at.functional.group_norm(x, 2))


def test_torch_group_norm(torch):
    assert_torch_agrees(
        torch,
        randomized(nn.GroupNorm(3, 6)),
        torch.nn.GroupNorm(3, 6),
        [array(4, 6, 5, 2, dtype=np.float32)],
        lambda m, x: m(x),
        lambda m, x: m(x),
        lambda name: name,
    )


FORMS = [
    ((6,), {}),
    ((4, 6), {}),
    ((3, 4, 6), {"eps": 1e-3}),
    (6, {"bias": False}),
    ((4, 6), {"bias": False}),
    (6, {"elementwise_affine": False}),
    ((4, 6), {"elementwise_affine": False}),
]


@pytest.mark.parametrize(("shape", "options"), FORMS, ids=str)
def test_layer_norm_forms(shape, options):
    """Several axes are layer norm of these axes laid side by side."""
    norm = randomized(nn.LayerNorm(shape, dtype="float64", **options))
    state = norm.state_dict()
    lengths = (shape,) if isinstance(shape, int) else shape
    names = ["weight", "bias"]
    if not options.get("elementwise_affine", True):
        names = []
    elif not options.get("bias", True):
        names = ["weight"]
    assert list(state) == names and all(p.shape == lengths for p in state.values())
    x = array(2, 3, 4, 6)
    rows = x.reshape(*x.shape[: 4 - len(lengths)], -1)
    flat = [state[n].ravel() if n in state else None for n in ("weight", "bias")]
    expected = reference.layer_norm(rows, *flat, eps=options.get("eps", 1e-5))
    assert_close(norm(x), expected.reshape(x.shape))


@pytest.mark.parametrize(("shape", "options"), FORMS, ids=str)
def test_torch_layer_norm_forms(torch, shape, options):
    ours = randomized(nn.LayerNorm(shape, dtype="float64", **options))
    theirs = torch.nn.LayerNorm(shape, **options).double()
    if list(theirs.parameters()):
        same = lambda m, x: m(x)  # noqa: E731
        assert_torch_agrees(torch, ours, theirs, [array(2, 3, 4, 6)], same, same, lambda name: name)
    else:
        assert_close(ours(array(2, 3, 4, 6)), theirs(torch.tensor(array(2, 3, 4, 6))).numpy())


def test_layer_norm_shows_its_form():
    assert repr(nn.LayerNorm(3)) == "LayerNorm(3, eps=1e-05)"
    assert repr(nn.LayerNorm((3, 4), bias=False)) == "LayerNorm((3, 4), eps=1e-05, bias=False)"
    assert (
        repr(nn.LayerNorm(3, elementwise_affine=False)) == "LayerNorm(3, eps=1e-05, elementwise_affine=False)"
    )


@pytest.mark.parametrize("momentum", [0.1, 0.3, 0.0, 1.0])
@pytest.mark.parametrize(
    ("name", "shape"), [("BatchNorm1d", (5, 3)), ("BatchNorm1d", (4, 3, 2)), ("BatchNorm2d", (3, 3, 2, 4))]
)
def test_torch_batch_norm(torch, name, shape, momentum):
    """Three steps of training, then evaluation: output, gradients and running statistics."""
    ours = getattr(nn, name)(3, momentum=momentum, eps=1e-3, dtype="float64")
    theirs = getattr(torch.nn, name)(3, momentum=momentum, eps=1e-3).double()
    start = {"weight": np.array([1.0, 2, -3]), "bias": np.arange(3.0)}
    ours.load_state_dict(start, strict=False)
    theirs.load_state_dict({n: torch.tensor(v) for n, v in start.items()}, strict=False)
    for step in range(4):
        if step == 3:
            ours.eval()
            theirs.eval()
        x = 2 + 3 * array(*shape, seed=step)
        a, b = at.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, expected = ours(a), theirs(b)
        assert_close(y, expected.detach().numpy())
        d_y = array(*shape, seed=9)
        y.backward(d_y)
        expected.backward(torch.tensor(d_y))
        assert_close(a.grad, b.grad.numpy())
        state = theirs.state_dict()
        for statistic in ("running_mean", "running_var"):
            assert_close(ours.state_dict()[statistic], state[statistic].numpy(), what=statistic)
    for (_, parameter), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert_close(parameter.grad, other.grad.numpy())


@pytest.mark.parametrize("activation", ["sigmoid", "silu", "gelu", "gelu_tanh", "relu", None])
def test_glu_layer(activation):
    layer, x = nn.GLU(activation), array(2, 5, 6)
    assert_same_bits(layer(x), at.functional.glu(x, activation))
    assert layer.parameters() == [] and repr(layer) == f"GLU(activation={activation!r})"


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: nn.RMSNorm(0), ValueError, "RMSNorm: normalized_shape is 0 but must be 1 or more"),
        (lambda: nn.RMSNorm(3, eps=-1.0), ValueError, "RMSNorm: eps is -1"),
        (lambda: nn.RMSNorm(3, eps="x"), TypeError, "RMSNorm: eps is a str"),
        (lambda: nn.RMSNorm(3)(array(2, 4, dtype=np.float32)), ValueError, "RMSNorm: x has 4 features"),
        (lambda: nn.RMSNorm(3)(array(2, 3)), TypeError, "float64"),
        (
            lambda: nn.GroupNorm(3, 4),
            ValueError,
            "GroupNorm: num_groups is 3 but must be 1 or more and divide",
        ),
        (lambda: nn.GroupNorm(0, 4), ValueError, "GroupNorm: num_groups is 0"),
        (lambda: nn.GroupNorm(1, 0), ValueError, "GroupNorm: num_channels is 0"),
        (lambda: nn.GroupNorm(1, 4, eps=-1.0), ValueError, "GroupNorm: eps is -1"),
        (
            lambda: nn.GroupNorm(2, 4)(array(2, 6)),
            ValueError,
            "GroupNorm: x has 6 channels but num_channels is 4",
        ),
        (lambda: nn.GroupNorm(2, 4)(array(2, 4)), TypeError, "GroupNorm: x has dtype float64"),
        (
            lambda: nn.GroupNorm(2, 4)(array(4, dtype=np.float32)),
            ValueError,
            r"GroupNorm: x has shape \(4,\)",
        ),
        (
            lambda: nn.LayerNorm((3, 4))(array(2, 4, 3)),
            ValueError,
            r"LayerNorm: x has shape .* must end in \(3, 4\)",
        ),
        (lambda: nn.LayerNorm((3, 4))(array(4)), ValueError, r"LayerNorm: x has shape \(4,\)"),
        (lambda: nn.LayerNorm((3, 4))(array(3, 4)), TypeError, "LayerNorm: x has dtype float64"),
        (lambda: nn.GLU("swish"), ValueError, "GLU: activation is 'swish' but must be 'sigmoid'"),
        (lambda: nn.GLU(3), TypeError, "GLU: activation is a int"),
        (lambda: nn.GLU()(array(2, 3)), ValueError, "x has 3 features but must have an even number"),
    ],
)
def test_wrong(make, error, says):
    with pytest.raises(error, match=says):
        make()

"""The small layers: parameters, and one operation."""

import math

import numpy as np
import pytest

import attendo as at
from attendo import nn, reference
from inputs import DTYPES
from layer_check import assert_torch_agrees, check_layer, randomized
from tolerance import assert_close, assert_same_bits


def array(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def of_reference(name, *parameters, **options):
    """The reference function and its backward, taking the parameters by name."""

    def expected(x, p):
        return getattr(reference, name)(x, *(p.get(n) for n in parameters), **options)

    def backward(d_y, x, p):
        function = getattr(reference, f"{name}_backward")
        d_x, *rest = function(d_y, x, *(p.get(n) for n in parameters), **options)
        return d_x, {n: g for n, g in zip(parameters, rest, strict=False) if n in p}

    return expected, backward


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(4,), (7, 4), (2, 3, 4), (0, 4)], ids=str)
def test_linear(shape, bias, dtype):
    module = randomized(nn.Linear(4, 5, bias, dtype=str(dtype)))
    check_layer(module, [array(*shape, dtype=dtype)], *of_reference("linear", "weight", "bias"))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("padding_idx", [None, 0, 4])
def test_embedding(padding_idx, dtype):
    def backward(d_y, ids, p):
        return ({"weight": reference.embedding_backward(d_y, ids, p["weight"], padding_idx)[0]},)

    check_layer(
        randomized(nn.Embedding(5, 3, padding_idx=padding_idx, dtype=str(dtype))),
        [np.array([[0, 4, 0], [1, 2, 4]])],
        lambda ids, p: reference.embedding(ids, p["weight"]),
        backward,
    )


def test_embedding_starts_with_zeros_for_padding():
    weight = nn.Embedding(5, 3, padding_idx=2, seed=0).state_dict()["weight"]
    assert (weight[2] == 0).all() and (np.delete(weight, 2, axis=0) != 0).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layer_norm(dtype):
    module = randomized(nn.LayerNorm(6, eps=1e-3, dtype=str(dtype)))
    check_layer(
        module, [array(2, 5, 6, dtype=dtype)], *of_reference("layer_norm", "weight", "bias", eps=1e-3)
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_conv2d(dtype):
    module = randomized(nn.Conv2d(2, 3, (3, 2), stride=(1, 2), padding=1, dtype=str(dtype)))
    check_layer(
        module,
        [array(2, 2, 5, 6, dtype=dtype)],
        *of_reference("conv2d", "weight", "bias", stride=(1, 2), padding=1),
    )
    module = randomized(nn.Conv2d(2, 3, 3, bias=False, dtype=str(dtype)))
    check_layer(module, [array(2, 2, 5, 6, dtype=dtype)], *of_reference("conv2d", "weight"))


@pytest.mark.parametrize(
    ("make", "shape"), [(nn.BatchNorm1d, (5, 3)), (nn.BatchNorm1d, (4, 3, 2)), (nn.BatchNorm2d, (3, 3, 2, 4))]
)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_batch_norm(make, shape, dtype):
    module = make(3, momentum=0.3, eps=1e-3, dtype=str(dtype))
    assert {name: value.tolist() for name, value in module.state_dict().items()} == {
        "weight": [1] * 3,
        "bias": [0] * 3,
        "running_mean": [0] * 3,
        "running_var": [1] * 3,
    }
    assert {name for name, _ in module.named_parameters()} == {"weight", "bias"}
    module.load_state_dict({"weight": np.array([1.0, 2, 3]), "bias": np.arange(3.0)}, strict=False)
    x = array(*shape, dtype=dtype)
    double = x.astype(np.float64)
    weight, bias, mean, var = np.array([1.0, 2, 3]), np.arange(3.0), np.zeros(3), np.ones(3)
    for _ in range(2):
        y = module(x)
        assert_close(y, reference.batch_norm(double, weight, bias, mean, var, True, eps=1e-3), dtype)
        mean, var = reference.batch_norm_running(double, mean, var, 0.3)
    state = module.state_dict()
    assert_close(state["running_mean"], mean, dtype)
    assert_close(state["running_var"], var, dtype)
    module.eval()
    assert_close(module(x), reference.batch_norm(double, weight, bias, mean, var, False, eps=1e-3), dtype)
    assert_same_bits(module.state_dict()["running_mean"], state["running_mean"])


def test_pooling_flattening_and_activations():
    x = array(2, 3, 6, 7)
    assert_same_bits(nn.MaxPool2d(2)(x), at.functional.max_pool2d(x, 2))
    assert_same_bits(
        nn.MaxPool2d(3, stride=1, padding=1)(x), at.functional.max_pool2d(x, 3, stride=1, padding=1)
    )
    assert_same_bits(nn.Flatten()(x), x.reshape(2, -1))
    for make, function in [
        (nn.ReLU, at.functional.relu),
        (nn.GELU, at.functional.gelu),
        (nn.Tanh, at.functional.tanh),
        (nn.Sigmoid, at.functional.sigmoid),
        (nn.SiLU, at.functional.silu),
        (nn.Softmax, at.functional.softmax),
    ]:
        assert_same_bits(make()(x), function(x))
        assert make().parameters() == [] and repr(make()) == f"{make.__name__}()"


def test_dropout():
    module, x = nn.Dropout(0.5), np.ones(10_000)
    y = module(x).numpy()
    assert set(np.unique(y)) == {0, 2} and abs(y.mean() - 1) < 0.05
    assert (module(x).numpy() != y).any()
    assert_same_bits(module.eval()(x), x)
    assert module.p == 0.5


def test_sequential():
    first, second = nn.Linear(3, 4, seed=0), nn.Linear(4, 2, seed=1)
    module, x = nn.Sequential(first, nn.ReLU(), second), array(5, 3, dtype=np.float32)
    assert_same_bits(module(x), second(at.functional.relu(first(x))))
    assert len(module) == 3 and module[0] is first and module[-1] is second
    assert [name for name, _ in module.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert_same_bits(nn.Sequential([first, nn.ReLU(), second])(x), module(x))
    assert_same_bits(nn.Sequential()(x), x)
    with pytest.raises(IndexError):
        module[3]
    with pytest.raises(TypeError, match="Sequential: modules is a function"):
        nn.Sequential(first, lambda x: x)


def test_sequential_of_python_modules():
    class Double(nn.Module):
        def forward(self, x):
            return x * 2

    x = array(5, 3, dtype=np.float32)
    assert_same_bits(nn.Sequential(Double(), Double())(x), x * 4)


def test_module_list():
    layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 3)])
    layers.append(nn.Linear(3, 4))
    assert len(layers) == 3 and layers[2].state_dict()["weight"].shape == (4, 3)
    assert [type(layer).__name__ for layer in layers.children()] == ["Linear"] * 3
    assert [name for name, _ in layers.named_parameters()][-2:] == ["2.weight", "2.bias"]
    with pytest.raises((TypeError, ValueError), match="ModuleList"):
        layers(array(2, 2))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_torch(torch, dtype):
    def net(module):
        return module.Sequential(
            module.Conv2d(1, 3, 3, padding=1), module.BatchNorm2d(3), module.GELU(), module.MaxPool2d(2),
            module.Flatten(), module.Linear(12, 5), module.Tanh(), module.LayerNorm(5), module.Sigmoid(),
        )  # fmt: skip

    ours = net(nn)
    if dtype == np.float64:
        ours = nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1, dtype="float64"), nn.BatchNorm2d(3, dtype="float64"), nn.GELU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 5, dtype="float64"), nn.Tanh(),
            nn.LayerNorm(5, dtype="float64"), nn.Sigmoid(),
        )  # fmt: skip
    theirs = net(torch.nn).to(getattr(torch, str(dtype)))
    state = {k: v for k, v in theirs.state_dict().items() if not k.endswith("num_batches_tracked")}
    ours.load_state_dict({name: value.numpy() for name, value in state.items()})
    theirs.load_state_dict(
        {name: torch.tensor(value) for name, value in ours.state_dict().items()}, strict=False
    )
    x = array(4, 1, 4, 4, dtype=dtype)
    a, b = at.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, y_theirs = ours(a), theirs(b)
    assert_close(y, y_theirs.detach().numpy())
    d_y = array(*y.shape, dtype=dtype)
    y.backward(d_y)
    y_theirs.backward(torch.tensor(d_y))
    assert_close(a.grad, b.grad.numpy())
    for (name, parameter), theirs_parameter in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert_close(parameter.grad, theirs_parameter.grad.numpy(), what=name)
    for name in ("1.running_mean", "1.running_var"):
        assert_close(ours.state_dict()[name], theirs.state_dict()[name].numpy())


def test_torch_embedding(torch):
    ours, theirs = nn.Embedding(5, 3, padding_idx=1, seed=0), torch.nn.Embedding(5, 3, padding_idx=1)
    theirs.load_state_dict({"weight": torch.tensor(ours.state_dict()["weight"])})
    ids = np.array([[1, 0], [4, 1]])
    assert_same_bits(ours(ids), theirs(torch.tensor(ids)).detach().numpy())


def test_torch_linear(torch):
    assert_torch_agrees(
        torch,
        randomized(nn.Linear(4, 5)),
        torch.nn.Linear(4, 5),
        [array(3, 4, dtype=np.float32)],
        lambda m, x: m(x),
        lambda m, x: m(x),
        lambda name: name,
    )


@pytest.mark.parametrize("make", [lambda **o: nn.Linear(50, 80, **o), lambda **o: nn.Conv2d(2, 80, 5, **o)])
def test_first_weights(make):
    """Uniform within one over the root of the number of inputs, as PyTorch draws them; the seed decides."""
    state = make(seed=3).state_dict()
    for value in state.values():
        assert 0.95 / math.sqrt(50) < np.abs(value).max() <= 1 / math.sqrt(50)
        assert abs(value.mean()) < 0.3 / math.sqrt(50)
    assert all((make(seed=3).state_dict()[name] == value).all() for name, value in state.items())
    assert any((make(seed=4).state_dict()[name] != value).any() for name, value in state.items())
    assert any((make().state_dict()[name] != value).any() for name, value in make().state_dict().items())


def test_both_dtypes_start_alike():
    single, double = (nn.Linear(3, 4, dtype=d, seed=1).state_dict()["weight"] for d in ("float32", "float64"))
    assert_close(single, double)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: nn.Linear(0, 3), ValueError, "Linear: in_features is 0 but must be 1 or more"),
        (lambda: nn.Linear(3, -1), ValueError, "Linear: out_features is -1"),
        (lambda: nn.Linear(3.0, 3), TypeError, "Linear: in_features is a float"),
        (lambda: nn.Linear(3, 3, dtype="int64"), TypeError, "Linear: dtype is 'int64' but must be"),
        (lambda: nn.Linear(3, 3, dtype="nonsense"), TypeError, "Linear: dtype is 'nonsense'"),
        (lambda: nn.Linear(3, 3, seed=-1), ValueError, "Linear: seed is -1"),
        (lambda: nn.Linear(3, 3, seed=0.5), TypeError, "Linear: seed is a float"),
        (lambda: nn.Linear(2**40, 2**40), (MemoryError, ValueError), "memory|too large"),
        (lambda: nn.Linear(2**70, 3), ValueError, "Linear: in_features is"),
        (lambda: nn.Embedding(0, 3), ValueError, "Embedding: num_embeddings is 0"),
        (
            lambda: nn.Embedding(5, 3, padding_idx=5),
            ValueError,
            "Embedding: padding_idx is 5 but must be 0 to 4",
        ),
        (lambda: nn.Embedding(5, 3, padding_idx=-1), ValueError, "Embedding: padding_idx is -1"),
        (lambda: nn.LayerNorm(0), ValueError, "LayerNorm: normalized_shape is 0"),
        (lambda: nn.LayerNorm("3"), TypeError, "LayerNorm: normalized_shape is a str"),
        (lambda: nn.LayerNorm((3, 4.0)), TypeError, "LayerNorm: normalized_shape is a float"),
        (lambda: nn.LayerNorm(()), ValueError, r"LayerNorm: normalized_shape is \(\)"),
        (lambda: nn.LayerNorm((3, 0)), ValueError, "LayerNorm: normalized_shape is 0"),
        (lambda: nn.LayerNorm((1,) * 9), ValueError, "LayerNorm: normalized_shape holds 9 lengths"),
        (lambda: nn.LayerNorm((2**40, 2**40)), (MemoryError, ValueError), "memory|too large"),
        (lambda: nn.LayerNorm(3, eps="x"), TypeError, "LayerNorm: eps is a str"),
        (lambda: nn.Dropout(1.0), ValueError, "Dropout: p is 1 but must be 0 or more and below 1"),
        (lambda: nn.Dropout(-0.1), ValueError, "Dropout: p is -0.1"),
        (lambda: nn.Dropout("x"), TypeError, "Dropout: p is a str"),
        (lambda: nn.Conv2d(0, 1, 3), ValueError, "Conv2d: in_channels is 0"),
        (lambda: nn.Conv2d(1, 0, 3), ValueError, "Conv2d: out_channels is 0"),
        (lambda: nn.Conv2d(1, 1, 0), ValueError, "Conv2d: kernel_size is 0"),
        (lambda: nn.Conv2d(1, 1, 3, stride=0), ValueError, "Conv2d: stride is 0"),
        (lambda: nn.Conv2d(1, 1, 3, padding=-1), ValueError, "Conv2d: padding is -1"),
        (lambda: nn.Conv2d(1, 1, (3, 3, 3)), ValueError, "Conv2d: kernel_size has 3 entries"),
        (lambda: nn.MaxPool2d(0), ValueError, "MaxPool2d: kernel_size is 0"),
        (lambda: nn.MaxPool2d(2, stride=0), ValueError, "MaxPool2d: stride is 0"),
        (lambda: nn.MaxPool2d(2, padding=2), ValueError, "MaxPool2d: padding is"),
        (lambda: nn.BatchNorm1d(0), ValueError, "BatchNorm1d: num_features is 0"),
        (lambda: nn.BatchNorm2d(3, eps=0.0), ValueError, "BatchNorm2d: eps is 0"),
        (lambda: nn.BatchNorm2d(3, momentum=2.0), ValueError, "BatchNorm2d: momentum is 2"),
    ],
)
def test_wrong_constructions(make, error, says):
    with pytest.raises(error, match=says):
        make()


@pytest.mark.parametrize(
    ("module", "x", "error", "says"),
    [
        (nn.Linear(3, 4), array(2, 5, dtype=np.float32), ValueError, "x has 5 features"),
        (nn.Linear(3, 4), array(2, 3), TypeError, "float64"),
        (nn.Linear(3, 4), None, TypeError, "x is None"),
        (nn.LayerNorm(3), array(2, 4, dtype=np.float32), ValueError, "x has 4 features"),
        (nn.Embedding(3, 4), np.array([3]), ValueError, "ids holds 3 but must hold 0 to 2"),
        (nn.Embedding(3, 4), np.array([0.0]), TypeError, "ids has dtype float64"),
        (nn.Conv2d(1, 2, 3), array(1, 5, 5, dtype=np.float32), ValueError, "x has shape"),
        (nn.Conv2d(1, 2, 3), array(1, 2, 5, 5, dtype=np.float32), ValueError, "x has 2 channels"),
        (nn.MaxPool2d(2), array(1, 5, 5), ValueError, "x has shape"),
        (nn.BatchNorm1d(3), array(2, 3, 4, 5, dtype=np.float32), ValueError, "BatchNorm1d: x has shape"),
        (nn.BatchNorm2d(3), array(2, 3, dtype=np.float32), ValueError, "BatchNorm2d|batch_norm|x has shape"),
        (nn.BatchNorm1d(3), array(1, 3, dtype=np.float32), ValueError, "more than one value a channel"),
        (nn.Flatten(), np.float64(3), ValueError, "Flatten"),
        (nn.Dropout(0.5), np.array([1]), TypeError, "x has dtype int64"),
        (nn.ReLU(), "text", TypeError, "x"),
    ],
)
def test_wrong_input(module, x, error, says):
    with pytest.raises(error, match=rf"^\w+: .*({says})|^({says})"):
        module(x)

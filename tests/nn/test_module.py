"""Module: parameters and children with names, in C++ and in Python subclasses."""

import gc
import pickle
import re
import subprocess
import sys
import weakref

import numpy as np
import pytest

import attendo as at
from attendo import nn
from tolerance import assert_close, assert_same_bits


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.first = nn.Linear(3, width, seed=0)
        self.second = nn.Linear(width, 2, seed=1)
        self.scale = nn.Parameter(np.ones(2, np.float32))
        self.name = "net"

    def forward(self, x):
        return self.second(at.functional.relu(self.first(x))) * self.scale


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Net()
        self.blocks = nn.Sequential(nn.Linear(2, 2, seed=2), Net(5))

    def forward(self, x):
        return self.net(x)


X = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
NAMES = ["scale", "first.weight", "first.bias", "second.weight", "second.bias"]


def names(module):
    return [name for name, _ in module.named_parameters()]


# ----------------------------------------------------------------------------------------------- registration


def test_assignment_registers():
    net = Net()
    assert names(net) == NAMES
    assert [name for name, _ in net.named_children()] == ["first", "second"]
    assert net.children() == [net.first, net.second]
    assert net.num_parameters() == 3 * 4 + 4 + 4 * 2 + 2 + 2
    assert net.name == "net"
    assert [p.shape for p in net.parameters()] == [(2,), (4, 3), (4,), (2, 4), (2,)]


def test_the_same_objects_come_back():
    net = Net()
    first = net.first
    assert net.first is first and net.children()[0] is first and net.named_modules()[1][1] is first
    assert net.modules()[0] is net
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'third'"):
        _ = net.third
    assert not hasattr(net, "third")


def test_nested_names():
    net = Nested()
    inner, block = [f"net.{name}" for name in NAMES], [f"blocks.1.{name}" for name in NAMES]
    assert names(net) == [*inner, "blocks.0.weight", "blocks.0.bias", *block]
    modules = ["", "net", "net.first", "net.second", "blocks", "blocks.0", "blocks.1"]
    assert [name for name, _ in net.named_modules()] == [*modules, "blocks.1.first", "blocks.1.second"]
    assert type(net.blocks[1]) is Net


def test_replacing():
    net = Net()
    net.first = nn.Linear(3, 4, bias=False)
    assert names(net) == ["scale", "first.weight", "second.weight", "second.bias"]
    net.scale = nn.Parameter(np.zeros(7))
    assert net.state_dict()["scale"].shape == (7,)
    net.first = None
    assert net.first is None and names(net) == ["scale", "second.weight", "second.bias"]
    net.scale = nn.Linear(1, 1)  # a module in a parameter's place
    assert names(net) == ["second.weight", "second.bias", "scale.weight", "scale.bias"]
    net.scale = 3
    assert net.scale == 3 and names(net) == ["second.weight", "second.bias"]
    net.scale = nn.Parameter(np.zeros(1))
    assert "scale" in names(net)


def test_deleting():
    net = Net()
    del net.first, net.scale
    assert names(net) == ["second.weight", "second.bias"]
    assert not hasattr(net, "first") and not hasattr(net, "scale")
    with pytest.raises(AttributeError):
        del net.first


def test_what_is_not_a_parameter_is_a_plain_attribute():
    net = Net()
    net.table = at.tensor([1.0])
    net.computed = net.scale * 2
    net.list = [nn.Linear(1, 1)]
    assert names(net) == NAMES


FORGETFUL = """
import attendo as at

class Forgetful(at.nn.Module):
    def __init__(self, use):
        use(self)

def fails(use):
    try:
        Forgetful(use)
    except (AttributeError, TypeError, ValueError) as error:
        said = str(error)
        assert any(words in said for words in ("__init__()", "must be a Module", "no attribute")), error
    else:
        raise SystemExit(f"{use} passed")

fails(lambda self: setattr(self, "layer", at.nn.Linear(1, 1)))
fails(lambda self: setattr(self, "weight", at.nn.Parameter([1.0])))
fails(lambda self: self.parameters())
fails(lambda self: self.eval())
fails(lambda self: repr(self))
fails(lambda self: at.nn.Sequential(self))
fails(lambda self: hasattr(self, "layer"))
fails(lambda self: None)  # Python itself finds that __init__ of the base was not called


class Early(at.nn.Module):
    def __init__(self):
        self.width = 3  # a plain attribute may come first
        super().__init__()
        self.layer = at.nn.Linear(self.width, 1)

assert [name for name, _ in Early().named_parameters()] == ["layer.weight", "layer.bias"]
"""


def test_super_init_comes_first():
    """In a process of its own: there is no object yet, and touching it is how a process crashes."""
    result = subprocess.run([sys.executable, "-c", FORGETFUL], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_module_is_not_part_of_itself():
    net, outer = Net(), Nested()
    with pytest.raises(ValueError, match="part of itself"):
        net.self = net
    with pytest.raises(ValueError, match="part of itself"):
        outer.net.up = outer


def test_shared_parameters_count_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 3, bias=False)
            self.b = self.a
            self.weight = self.a.weight

    tied = Tied()
    assert tied.num_parameters() == 9 and len(tied.parameters()) == 1
    tied.parameters()[0].assign(np.ones((3, 3)))
    assert (tied.a.state_dict()["weight"] == 1).all()


def test_buffers():
    net = Net()
    net.register_buffer("mean", np.arange(3.0))
    assert "mean" in net.state_dict() and "mean" not in names(net)
    assert [name for name, _ in net.named_buffers()] == ["mean"]
    np.testing.assert_array_equal(net.mean.numpy(), [0, 1, 2])
    del net.mean
    assert "mean" not in net.state_dict()


# --------------------------------------------------------------------------------------------------- calling


def test_forward_and_gradients():
    net = Net()
    y = net(X)
    state = net.state_dict()
    hidden = np.maximum(X @ state["first.weight"].T + state["first.bias"], 0)
    assert_close(y, (hidden @ state["second.weight"].T + state["second.bias"]) * state["scale"])
    y.sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_keywords_reach_forward():
    class Power(nn.Module):
        def forward(self, x, *, exponent=1):
            return x**exponent

    assert_close(Power()(np.array([3.0]), exponent=2), [9.0])


def test_a_module_without_forward():
    class Empty(nn.Module):
        pass

    with pytest.raises(TypeError, match="Empty: define forward"):
        Empty()(X)
    with pytest.raises(TypeError, match="Module"):
        nn.Module()(X)


def test_exceptions_pass_through():
    class Failing(nn.Module):
        def forward(self, x):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        nn.Sequential(nn.Linear(3, 2), Failing())(X)


def test_without_tape():
    with at.no_grad():
        assert not Net()(X).requires_grad


# ------------------------------------------------------------------------------------------------ state dict


def test_state_dict_is_a_copy():
    net = Net()
    state = net.state_dict()
    assert list(state) == NAMES and all(type(v) is np.ndarray and v.flags.writeable for v in state.values())
    state["scale"][...] = 7
    assert (net.state_dict()["scale"] == 1).all()


def test_load_state_dict():
    source, target = Net(), Net()
    source.reset_parameters(5)
    missing, unexpected = target.load_state_dict(source.state_dict())
    assert not missing and not unexpected
    for name, value in source.state_dict().items():
        assert_same_bits(target.state_dict()[name], value)
    assert_same_bits(target(X), source(X))


def test_load_state_dict_takes_any_layout_and_precision():
    net, state = Net(), Net(4).state_dict()
    net.load_state_dict({name: np.asfortranarray(value.astype(np.float64)) for name, value in state.items()})
    for name, value in state.items():
        assert_same_bits(net.state_dict()[name], value)
    net.load_state_dict({name: at.tensor(value) for name, value in state.items()})


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda s: s.pop("scale"), ValueError, "missing: scale"),
        (lambda s: s.update(extra=np.ones(1)), ValueError, "unexpected: extra"),
        (lambda s: s.update(extra=s.pop("scale")), ValueError, "missing: scale; unexpected: extra"),
        (
            lambda s: s.update(scale=np.ones(3)),
            ValueError,
            r"scale has shape \(3,\) but must have shape \(2,\)",
        ),
        (lambda s: s.update(scale=np.ones((1, 2), np.float32)), ValueError, r"scale has shape \(1, 2\)"),
        (lambda s: s.update(scale=np.ones(2, int)), TypeError, "scale has dtype int64"),
        (lambda s: s.update(scale=np.ones(2, complex)), TypeError, "scale has dtype complex128"),
        (lambda s: s.update(scale=None), TypeError, "scale is None"),
        (lambda s: s.update(scale="text"), TypeError, "scale has dtype"),
    ],
)
def test_a_state_dict_that_does_not_fit_changes_nothing(change, error, says):
    net = Net()
    before, state = net.state_dict(), {name: value + 1 for name, value in net.state_dict().items()}
    change(state)
    with pytest.raises(error, match=f"^load_state_dict: {says}"):
        net.load_state_dict(state)
    for name, value in before.items():
        assert_same_bits(net.state_dict()[name], value)


def test_load_state_dict_need_not_be_strict():
    net = Net()
    missing, unexpected = net.load_state_dict({"scale": np.zeros(2), "extra": np.ones(1)}, strict=False)
    assert missing == NAMES[1:] and unexpected == ["extra"]
    assert (net.state_dict()["scale"] == 0).all()
    with pytest.raises(ValueError, match="scale has shape"):
        net.load_state_dict({"scale": np.zeros(3)}, strict=False)
    with pytest.raises(TypeError):
        net.load_state_dict([1, 2])


# -------------------------------------------------------------------------------------------- modes and more


def test_train_and_eval():
    net = Nested()
    assert all(m.training for m in net.modules())
    assert net.eval() is net and not any(m.training for m in net.modules())
    assert net.train() is net and all(m.training for m in net.modules())
    net.net.eval()
    assert net.training and not net.net.first.training
    assert not net.train(False).training


def test_training_is_not_set_by_hand():
    with pytest.raises(AttributeError):
        Net().training = False


def test_freezing():
    net = Net()
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters()) and names(net) == NAMES
    assert not net(X).requires_grad
    net.second.requires_grad_(True)
    assert [p.requires_grad for p in net.parameters()] == [False, False, False, True, True]
    net(X).sum().backward()
    assert net.first.weight.grad is None and net.second.weight.grad is not None


def test_reset_parameters():
    net = Nested()
    net.reset_parameters(3)
    first = net.state_dict()
    net.reset_parameters(3)
    second = net.state_dict()
    net.reset_parameters(4)
    third = net.state_dict()
    for name, value in first.items():
        assert_same_bits(second[name], value)
    assert (third["net.first.weight"] != first["net.first.weight"]).any()
    assert (first["net.first.weight"] != first["blocks.1.first.weight"][:4]).any()


def test_repr():
    text = repr(Nested())
    assert re.search(r"^Nested\(\n  \(net\): Net\(\n    \(first\): Linear\(.*3.*4.*\)\n", text)
    assert text.count("Linear(") == 5 and "(1): Net(" in text
    assert repr(nn.Dropout(0.25)) == "Dropout(p=0.25)"


# ------------------------------------------------------------------------------------------------- lifetimes


def test_children_written_in_python_stay_alive():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_all()

        def add_all(self):
            self.net = Net()
            self.list = nn.ModuleList([Net()])
            self.list.append(Net())

    outer = Outer()
    gc.collect()
    assert type(outer.net) is Net and outer.net.name == "net"
    assert [type(m).__name__ for m in outer.list.children()] == ["Net", "Net"]
    assert_close(nn.Sequential(outer.list[1])(X), outer.list[1](X).numpy())


def test_a_child_outlives_its_parent():
    outer = Nested()
    child = outer.blocks[1]
    expected = child(X).numpy().copy()
    del outer
    gc.collect()
    assert child.name == "net"
    assert_same_bits(child(X), expected)


def test_a_parameter_outlives_its_module():
    net = Net()
    weight, output = net.first.weight, net(X)
    del net
    gc.collect()
    output.sum().backward()
    assert weight.grad.shape == (4, 3)


def test_modules_are_freed():
    net = Nested()
    watched = [weakref.ref(net), weakref.ref(net.net), weakref.ref(net.blocks[1])]
    net(X).sum().backward()
    del net
    gc.collect()
    assert [ref() for ref in watched] == [None] * 3


def test_a_module_in_a_cycle_of_python_objects_is_freed():
    """As callbacks and models that know each other make them."""

    class Holder:
        pass

    net, holder = Net(), Holder()
    net.holder, holder.net = holder, net
    watched = weakref.ref(holder)
    del net, holder
    gc.collect()
    assert watched() is None


def test_modules_are_not_pickled():
    """Saving goes through safetensors: pickle would drop what C++ holds without a word."""
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(nn.Linear(2, 2))

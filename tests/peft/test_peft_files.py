"""What was trained, in a file of its own or with the model; and files that were made to do harm."""

import json
import re

import numpy as np
import pytest
from peft_models import made, moved, output
from safetensors.numpy import load as parsed
from safetensors.numpy import save as dump

import attendo as at
from tolerance import assert_same_bits

KINDS = {
    "lora": lambda model: at.peft.lora(model, 2, targets=("in_proj", "linear1"), dropout=0.1, seed=0),
    "lora and a head": lambda model: at.peft.lora(model, 2, also="decoder.norm", seed=0),
    "prefix": lambda model: at.peft.prefix(model, 3, seed=0),
    "adapters": lambda model: at.peft.adapters(model, 4, "silu", seed=0),
    "all": lambda model: at.peft.adapters(at.peft.prefix(at.peft.lora(model, 2), 3), 4),
}


def trained(name, dtype="float32", base="gpt2"):
    return moved(KINDS[name](made(base, dtype))).eval()


def flags(model):
    return {n: p.requires_grad for n, p in model.named_parameters()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", KINDS)
def test_alone(name, dtype, tmp_path):
    model, file = trained(name, dtype), tmp_path / "adapter.safetensors"
    at.peft.save(model, file)
    stored = parsed(file.read_bytes())
    assert set(stored) == {n for n, p in model.named_parameters() if p.requires_grad}
    again = made("gpt2", dtype)
    assert at.peft.load(again, file) is again
    assert flags(again) == flags(model) and str(again) == str(model)
    assert_same_bits(output(again, "gpt2"), output(model, "gpt2"))
    at.peft.save(again, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", KINDS)
def test_with_the_model(name, tmp_path):
    model, file = trained(name), tmp_path / "model.safetensors"
    model.save(file)
    again = at.load(file)
    assert flags(again) == flags(model) and str(again) == str(model) and not again.training
    assert_same_bits(output(again, "gpt2"), output(model, "gpt2"))
    for key, value in model.state_dict().items():
        assert_same_bits(again.state_dict()[key], value)


def test_with_an_int8_model(tmp_path):
    model = trained("lora").to_int8()
    model.save(tmp_path / "model.safetensors")
    again = at.load(tmp_path / "model.safetensors")
    assert_same_bits(output(again, "gpt2"), output(model, "gpt2"))
    at.peft.save(model, tmp_path / "adapter.safetensors")
    other = at.peft.load(made("gpt2", "float32").to_int8(), tmp_path / "adapter.safetensors")
    assert_same_bits(output(other, "gpt2"), output(model, "gpt2"))


def test_a_model_of_ones_own(tmp_path):
    class Net(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.norm = at.nn.Linear(4, 4, seed=0), at.nn.BatchNorm1d(4)
            self.two = at.nn.Linear(4, 2, seed=1)

        def forward(self, x):
            return self.two(self.norm(self.one(x)))

    x = np.random.default_rng(0).standard_normal((9, 4)).astype("float32")
    net = at.peft.lora(Net(), 2, targets="one", also="two", seed=0)
    moved(net)(x)  # batch norm follows its batch
    at.peft.save(net, tmp_path / "adapter.safetensors")
    again = at.peft.load(Net(), tmp_path / "adapter.safetensors")
    assert_same_bits(again.eval()(x), net.eval()(x))


def test_checkpoints_of_others_have_no_place_for_it(tmp_path):
    model = trained("lora")
    with pytest.raises(ValueError, match=r"save_pretrained: the model has low-rank updates.*merge"):
        model.save_pretrained(tmp_path / "gpt2")
    expected = output(at.peft.merge(model), "gpt2").numpy()
    model.save_pretrained(tmp_path / "gpt2")
    assert_same_bits(output(at.models.load_pretrained(tmp_path / "gpt2"), "gpt2"), expected)


def test_errors():
    model = made("gpt2", "float32")
    with pytest.raises(ValueError, match="save: nothing is attached"):
        at.peft.save(model, "nowhere")
    with pytest.raises(ValueError, match="remove: nothing is attached"):
        at.peft.remove(model)
    with pytest.raises(FileNotFoundError, match="there is no file 'nowhere'"):
        at.peft.load(model, "nowhere")


def test_the_wrong_file_or_model(tmp_path):
    file = tmp_path / "adapter.safetensors"
    at.peft.save(trained("lora"), file)
    with pytest.raises(ValueError, match=r"load: .*'peft', which is not one of attendo's models"):
        at.load(file)
    made("gpt2", "float32").save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"holds a model, not what peft\.save writes"):
        at.peft.load(made("gpt2", "float32"), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="attached to the model already"):
        at.peft.load(trained("prefix"), file)
    wider = at.models.DecoderLM(30, 24, 4, 2, 32)
    before = wider.state_dict()
    with pytest.raises(ValueError, match=re.escape(f"load: {str(file)!r} does not fit the model")):
        at.peft.load(wider, file)
    assert list(wider.state_dict()) == list(before) and all(flags(wider).values())
    for key, value in before.items():
        assert_same_bits(wider.state_dict()[key], value)
    with pytest.raises(ValueError, match=r"has no module 'decoder\.layers\.0\.self_attn'"):
        at.peft.load(at.nn.Linear(3, 3), file)


def a_change(name):
    """What somebody might write into a file instead."""

    def drop(config, state):
        del state[min(state)]

    def add(config, state):
        state["embedding.weight"] = np.zeros((30, 16), "float32")

    def strange(config, state):
        state["else.where"] = np.zeros(3, "float32")

    def bend(config, state):
        state[min(state)] = np.zeros((5, 5), "float32")

    def piece(**fields):
        def change(config, state):
            config["peft"]["pieces"][0] |= fields

        return change

    def whole(value):
        def change(config, state):
            config["peft"] = value

        return change

    def trains(*names):
        def change(config, state):
            config["peft"]["trainable"] = list(names)

        return change

    return {
        "a tensor less": (drop, "rank of .* is not that of"),
        "a frozen tensor": (add, "'embedding.weight' is nothing that was trained"),
        "a tensor too many": (strange, "'else.where' is nothing that was trained"),
        "another shape": (bend, "decoder.layers.0"),
        "no description": (whole(None), "does not say what to attach"),
        "a list": (whole([1, 2]), "does not say what to attach"),
        "another key": (whole({"pieces": [], "trainable": [], "code": "x"}), "does not say what to attach"),
        "pieces no list": (whole({"pieces": 3, "trainable": []}), "does not say what to attach"),
        "a piece no dict": (whole({"pieces": [3], "trainable": []}), "describes nothing"),
        "an unknown kind": (piece(kind="hook"), "describes nothing"),
        "a field too many": (piece(path="/etc/passwd"), "describes nothing"),
        "a huge rank": (piece(rank=10**18), "rank of .* is not that of"),
        "a negative rank": (piece(rank=-1), "rank of .* is not that of"),
        "a rank that is none": (piece(rank="2"), "rank of .* is of another type"),
        "a flag for a rank": (piece(rank=True), "rank of .* is of another type"),
        "no module": (piece(module="decoder.layers.9.self_attn"), "is not that of"),
        "a module that is none": (piece(module=None), "module of .* is of another type"),
        "a matrix that is none": (piece(matrix="bias"), "is not that of"),
        "an infinite alpha": (piece(alpha=float("inf")), "alpha is inf"),
        "a dropout of all": (piece(dropout=1.0), "dropout is 1"),
        "an unknown parameter": (trains("nowhere"), "names 'nowhere'"),
        "a parameter that is none": (trains(3), "names 3"),
        "a parameter without values": (trains("embedding.weight"), "lacks 'embedding.weight'"),
    }[name]


CHANGES = [
    "a tensor less", "a frozen tensor", "a tensor too many", "another shape", "no description", "a list",
    "another key", "pieces no list", "a piece no dict", "an unknown kind", "a field too many", "a huge rank",
    "a negative rank", "a rank that is none", "a flag for a rank", "no module", "a module that is none",
    "a matrix that is none", "an infinite alpha", "a dropout of all", "an unknown parameter",
    "a parameter that is none", "a parameter without values",
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_hostile_file_is_refused_and_the_model_stays(change, tmp_path):
    file = tmp_path / "adapter.safetensors"
    at.peft.save(trained("lora"), file)
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    config = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["attendo_config"])
    state = parsed(data)
    edit, says = a_change(change)
    edit(config, state)
    file.write_bytes(dump(state, metadata={"attendo_config": json.dumps(config)}))
    model = made("gpt2", "float32")
    before, modules = output(model, "gpt2").numpy(), str(model)
    with pytest.raises(ValueError, match=rf"load: .*{says}"):
        at.peft.load(model, file)
    assert str(model) == modules and all(flags(model).values())
    assert_same_bits(output(model, "gpt2"), before)


def test_damaged_and_hostile_models(tmp_path):
    file = tmp_path / "model.safetensors"
    trained("lora").save(file)
    data = file.read_bytes()
    state = parsed(data)
    length = int.from_bytes(data[:8], "little")
    config = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["attendo_config"])
    config["peft"]["pieces"][0]["rank"] = 10**12
    file.write_bytes(dump(state, metadata={"attendo_config": json.dumps(config)}))
    with pytest.raises(ValueError, match="does not fit its own description: rank of"):
        at.load(file)
    config["peft"] = "all of it"
    file.write_bytes(dump(state, metadata={"attendo_config": json.dumps(config)}))
    with pytest.raises(ValueError, match="does not say what to attach"):
        at.load(file)
    file.write_bytes(data[:-100])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        at.load(file)

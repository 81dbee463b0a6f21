"""Saving and loading: whole files come back to the bit, all others are a clear error."""

import json
import struct
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

import attendo as at
from tolerance import assert_same_bits


@pytest.fixture
def saved(tmp_path):
    model = at.models.Transformer(8, 2, 1, 1, 16, 11, 9, 12, seed=0)
    path = tmp_path / "model.safetensors"
    model.save(path)
    return model, path


def header(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def rewrite(path, change):
    """The same file with another description."""
    head, body = header(path)
    head["__metadata__"] = change(head["__metadata__"])
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def config_of(**changes):
    def change(metadata):
        config = json.loads(metadata["attendo_config"])
        config = {**config, **{k: v for k, v in changes.items() if k != "config"}}
        config["config"] = {**config["config"], **changes.get("config", {})}
        return {"attendo_config": json.dumps(config)}

    return change


def test_the_file_is_safetensors_and_json(saved):
    model, path = saved
    from safetensors.numpy import load_file

    state = load_file(path)
    assert set(state) == set(model.state_dict())
    head, _ = header(path)
    config = json.loads(head["__metadata__"]["attendo_config"])
    assert config["class"] == "Transformer" and config["config"] == model.config


def test_paths_of_both_kinds(saved):
    model, path = saved
    model.save(str(path))
    assert_same_bits(
        at.load(str(path)).state_dict()["generator.weight"], model.state_dict()["generator.weight"]
    )


def test_saving_over_an_old_file(saved):
    _, path = saved
    other = at.models.Transformer(8, 2, 1, 1, 16, 11, 9, 12, seed=5)
    other.save(path)
    assert_same_bits(at.load(path).state_dict()["generator.weight"], other.state_dict()["generator.weight"])
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_failed_save_leaves_the_old_file(saved):
    model, path = saved
    before = path.read_bytes()
    with pytest.raises(OSError):
        model.save(path.parent / "missing" / "model.safetensors")
    with pytest.raises(OSError):
        model.save(path.parent)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_trained_model_comes_back(tmp_path):
    ids = np.random.default_rng(0).integers(1, 9, (20, 6))
    model = at.models.Transformer(8, 2, 1, 1, 16, 11, 9, 12, seed=0)
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam())
    trainer.fit((ids, ids), ids, epochs=2, batch_size=8, progress=False)
    model.save(tmp_path / "m")
    loaded = at.load(tmp_path / "m")
    assert_same_bits(loaded(ids, ids), model.eval()(ids, ids))
    again = at.train.Trainer(loaded, at.losses.CrossEntropy(), at.optim.Adam())
    assert len(again.fit((ids, ids), ids, batch_size=8, progress=False)["loss"]) == 1


def test_a_module_of_ones_own(tmp_path):
    class Net(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.norm = at.nn.Linear(3, 2, seed=0), at.nn.BatchNorm1d(2)

    net, path = Net(), tmp_path / "net.safetensors"
    net.norm(np.random.default_rng(0).standard_normal((9, 2)).astype(np.float32))
    net.save(path)
    with pytest.raises(ValueError, match=r"load: .*holds a 'Net'.*load_state_dict"):
        at.load(path)
    other = Net()
    other.load_state_dict(at.load_state_dict(path))
    for name, value in net.state_dict().items():
        assert_same_bits(other.state_dict()[name], value)


def test_there_is_no_such_file(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(FileNotFoundError, match=f"load: there is no file .*{path.name}"):
            at.load(path)


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 100, -1, -1000])
def test_a_truncated_file(saved, kept):
    _, path = saved
    path.write_bytes(path.read_bytes()[:kept])
    for load in (at.load, at.load_state_dict):
        with pytest.raises(ValueError, match=r"load: .*is not a whole safetensors file"):
            load(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 100, b"\xff" * 100, b"PK\x03\x04" + b"x" * 50, b"\x80\x04\x95" + b"p" * 50, b"text\n" * 20],
    ids=["empty", "zeros", "ones", "zip", "pickle", "text"],
)
def test_something_else_altogether(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"load: .*is not a whole safetensors file"):
        at.load(path)


def test_a_damaged_byte_in_the_header(saved):
    """Whatever it hits: a ValueError, or a model of the same class that says what is different."""
    _, path = saved
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    for position in np.random.default_rng(0).integers(0, 8 + length, 60):
        broken = bytearray(data)
        broken[position] ^= 0x15
        path.write_bytes(broken)
        try:
            model = at.load(path)
        except ValueError as error:
            assert str(error).startswith("load: ")
        else:
            assert type(model) is at.models.Transformer


def test_a_file_of_another_program(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": np.ones((2, 2), np.float32)}, path)
    with pytest.raises(ValueError, match="was not written by attendo: its header has no 'attendo_config'"):
        at.load(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: {"attendo_config": "{"}, "is not JSON"),
        (lambda m: {"attendo_config": "[" * 100_000}, "is not JSON"),
        (lambda m: {"attendo_config": "[]"}, "format"),
        (lambda m: {"attendo_config": "3"}, "format"),
        (config_of(format=2), "format"),
        (config_of(format=None), "format"),
        (config_of(**{"class": "os.system"}), "which is not one of attendo's models"),
        (config_of(**{"class": ["Transformer"]}), "which is not one of attendo's models"),
        (config_of(**{"class": None}), "which is not one of attendo's models"),
        (config_of(config={"d_model": 16}), "does not fit its own description"),
        (config_of(config={"d_model": "8"}), "does not fit its own description"),
        (config_of(config={"d_model": None}), "does not fit its own description"),
        (config_of(config={"surprise": 1}), "does not fit its own description"),
        (config_of(config={"d_model": -8}), "does not fit its own description"),
        (config_of(config={"num_encoder_layers": 2}), "does not fit its own description"),
    ],
)
def test_a_description_that_is_wrong(saved, change, says):
    _, path = saved
    rewrite(path, change)
    with pytest.raises((ValueError, MemoryError), match=says):
        at.load(path)


HUGE = """
import resource, sys
import attendo as at

limit = 3 << 30  # a mistake here must not take the machine with it
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    at.load(sys.argv[1])
except (ValueError, MemoryError) as error:
    print(error)
else:
    print("loaded")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of address space")
@pytest.mark.parametrize("name", ["num_encoder_layers", "num_decoder_layers", "input_vocab_size", "dff"])
@pytest.mark.parametrize("value", [2**24, 2**62])
def test_a_description_of_something_huge(saved, name, value):
    """A small file must not fill the memory; only positions cost nothing until they are used."""
    _, path = saved
    rewrite(path, config_of(config={name: value}))
    command = [sys.executable, "-c", HUGE, str(path)]
    result = subprocess.run(command, timeout=10, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (result.stdout == "loaded\n") == (name == "max_len"), result.stdout


def test_parameters_that_are_missing_or_of_another_shape(saved):
    model, path = saved
    metadata = header(path)[0]["__metadata__"]
    for change in (
        lambda s: s.pop("generator.bias"),
        lambda s: s.update(extra=np.ones(1, np.float32)),
        lambda s: s.update({"generator.bias": np.ones(3, np.float32)}),
        lambda s: s.update({"generator.bias": np.ones(9, np.int64)}),
        lambda s: s.update({"generator.bias": np.ones(9, np.float16)}),
    ):
        state = model.state_dict()
        change(state)
        save_file(state, path, metadata=metadata)
        with pytest.raises(ValueError, match="does not fit its own description: load_state_dict: "):
            at.load(path)


def test_a_long_max_len_takes_no_memory(saved):
    """The positional table grows with the inputs, not with what the description promises."""
    model, path = saved
    rewrite(path, config_of(config={"max_len": 2**40}))
    before = at.memory_stats()["live_bytes"]
    loaded = at.load(path)
    assert at.memory_stats()["live_bytes"] - before < 1 << 20
    src = np.ones((1, 3), np.int64)
    assert_same_bits(loaded(src, src), model.eval()(src, src))


def test_a_key_that_is_no_name(saved):
    _, path = saved
    for key in ("\ud800", "a b", "", "é"):
        rewrite(path, config_of(config={key: 1}))
        with pytest.raises(ValueError, match="has a key that is no name of an argument"):
            at.load(path)

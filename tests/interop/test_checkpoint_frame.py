"""The frame of load_pretrained and save_pretrained, on a toy family: what goes where, and what is listed."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from toy_family import ToyTower, toy_folder, toy_tensors

import attendo as at
from attendo.interop import checkpoint, safetensors_files
from attendo.interop.checkpoint import CheckpointError
from attendo.interop.entries import copied, reshaped, stacked, transposed
from tolerance import assert_same_bits


def expected(tensors, base="tower."):
    out = {"table.weight": tensors[f"{base}wte.weight"].T}
    out["norm.weight"], out["norm.bias"] = tensors[f"{base}ln.weight"], tensors[f"{base}ln.bias"]
    for i in range(2):
        parts = [tensors[f"{base}floors.{i}.{part}.weight"] for part in "ab"]
        out[f"floors.{i}.weight"], out[f"floors.{i}.bias"] = np.concatenate(parts), np.zeros(8, np.float32)
    out["roof.weight"], out["roof.bias"] = tensors["roof.weight"], tensors["roof.bias"]
    return {name: np.ascontiguousarray(value) for name, value in out.items()}


def assert_state(model, values):
    state = model.state_dict()
    assert set(state) == set(values)
    for name, value in values.items():
        assert_same_bits(state[name], value, name)


def test_every_parameter_finds_its_tensor(tmp_path):
    model = at.models.load_pretrained(toy_folder(tmp_path))
    assert_state(model, expected(toy_tensors()))
    assert not model.training
    assert model.load_report == checkpoint.LoadReport()
    assert model.pretrained_config["width"] == 4


def test_a_prefix_more_or_less(tmp_path):
    tensors = toy_tensors("")
    assert_state(at.models.load_pretrained(str(toy_folder(tmp_path, tensors))), expected(tensors, ""))


def test_old_spellings(tmp_path):
    tensors = toy_tensors()
    old = {n.replace("ln.weight", "ln.gamma").replace("ln.bias", "ln.beta"): x for n, x in tensors.items()}
    assert_state(at.models.load_pretrained(toy_folder(tmp_path / "a", old)), expected(tensors))
    both = {**tensors, "tower.ln.gamma": tensors["tower.ln.weight"]}
    with pytest.raises(ValueError, match=r"has 'tower\.ln\.(weight|gamma)' and 'tower\.ln\."):
        at.models.load_pretrained(toy_folder(tmp_path / "b", both))


def test_float64(tmp_path):
    tensors = {name: x.astype(np.float64) / 3 for name, x in toy_tensors().items()}
    toy_folder(tmp_path, tensors)
    assert_state(
        at.models.load_pretrained(tmp_path), {n: x.astype(np.float32) for n, x in expected(tensors).items()}
    )
    assert_state(
        at.models.load_pretrained(tmp_path, dtype="float64"),
        {n: x.astype(np.float64) for n, x in expected(tensors).items()},
    )
    with pytest.raises(TypeError, match="load_pretrained: dtype is float16 but must be float32 or float64"):
        at.models.load_pretrained(tmp_path, dtype="float16")


def test_float16_is_widened(tmp_path):
    tensors = {name: x.astype(np.float16) for name, x in toy_tensors().items()}
    model = at.models.load_pretrained(toy_folder(tmp_path, tensors))
    assert_state(model, expected({name: x.astype(np.float32) for name, x in tensors.items()}))


def bfloat16(x):
    """The upper halves of float32 numbers, as they lie in a file."""
    return (np.asarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def write_bfloat16(path, tensors):
    header, data = {}, b""
    for name, x in tensors.items():
        half = bfloat16(x).tobytes()
        header[name] = {
            "dtype": "BF16",
            "shape": list(x.shape),
            "data_offsets": [len(data), len(data) + len(half)],
        }
        data += half
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_bfloat16_is_widened(tmp_path):
    toy_folder(tmp_path)
    tensors = toy_tensors()
    tensors["tower.ln.weight"][:] = [np.nan, np.inf, -0.0, 1e-40]  # 1e-40 has no leading one in either type
    write_bfloat16(tmp_path / "model.safetensors", tensors)
    cut = {n: (x.view(np.uint32) >> 16 << 16).view(np.float32) for n, x in tensors.items()}
    assert_state(at.models.load_pretrained(tmp_path), expected(cut))
    wide = {n: x.astype(np.float64) for n, x in expected(cut).items()}
    assert_state(at.models.load_pretrained(tmp_path, dtype="float64"), wide)


def test_tensors_longer_than_the_buffer(tmp_path, monkeypatch):
    """Read part by part, straight to the place or through the buffer, and transposed: the same numbers."""
    monkeypatch.setattr(safetensors_files, "_BUFFER", 12)
    tensors = toy_tensors()
    assert_state(at.models.load_pretrained(toy_folder(tmp_path, tensors)), expected(tensors))
    half = {name: x.astype(np.float16) for name, x in tensors.items()}
    model = at.models.load_pretrained(toy_folder(tmp_path, half))
    assert_state(model, expected({name: x.astype(np.float32) for name, x in half.items()}))


def test_what_is_missing_and_left_over_is_listed(tmp_path):
    tensors = toy_tensors()
    del tensors["roof.bias"], tensors["tower.floors.1.a.weight"]
    tensors["tower.extra"] = np.ones(3, np.float32)
    tensors["head.bias"] = np.ones(3, np.float32)
    toy_folder(tmp_path, tensors)
    with pytest.raises(CheckpointError) as error:
        at.models.load_pretrained(tmp_path)
    text = str(error.value)
    assert "missing: tower.floors.1.a.weight, roof.bias" in text
    assert "unexpected: head.bias, tower.extra" in text or "unexpected: tower.extra, head.bias" in text
    assert str(tmp_path / "model.safetensors") in text and "strict=False" in text
    assert error.value.report.missing == ["tower.floors.1.a.weight", "roof.bias"]
    model = at.models.load_pretrained(tmp_path, strict=False)
    assert model.load_report == error.value.report
    assert_same_bits(model.state_dict()["roof.weight"], tensors["roof.weight"])
    # The half that is there is read.
    assert_same_bits(model.state_dict()["floors.1.weight"][4:], tensors["tower.floors.1.b.weight"])


def test_known_leftovers_are_ignored_and_copies_compared(tmp_path):
    tensors = toy_tensors()
    tensors["tower.floors.0.mask"] = np.tri(3, dtype=np.float32)
    tensors["copy.weight"] = tensors["tower.wte.weight"].copy()
    report = at.models.load_pretrained(toy_folder(tmp_path, tensors)).load_report
    assert sorted(report.ignored) == ["copy.weight", "tower.floors.0.mask"] and report.unexpected == []
    tensors["copy.weight"][0, 0] += 1
    with pytest.raises(CheckpointError, match=r"unexpected: copy\.weight"):
        at.models.load_pretrained(toy_folder(tmp_path, tensors))


def test_nothing_is_drawn_where_all_is_read(tmp_path):
    """To draw the parameters of a model takes longer than to read them; what is missing is drawn."""
    with at._core._NoDraws():
        assert not at.nn.Linear(3, 4, seed=0).state_dict()["weight"].any()
        with pytest.raises(ZeroDivisionError), at._core._NoDraws():
            1 / 0  # noqa: B018
        assert not at.nn.Embedding(3, 4, seed=0).state_dict()["weight"].any()
    assert at.nn.Linear(3, 4, seed=0).state_dict()["weight"].all()
    tensors = {name: np.zeros_like(x) for name, x in toy_tensors().items() if name != "roof.weight"}
    state = at.models.load_pretrained(toy_folder(tmp_path, tensors), strict=False).state_dict()
    assert state["roof.weight"].any() and not state["floors.0.weight"].any()


@pytest.mark.parametrize("strict", [True, False])
def test_shapes_and_types_that_do_not_fit(tmp_path, strict):
    tensors = toy_tensors()
    tensors["tower.wte.weight"] = tensors["tower.wte.weight"].T.copy()
    tensors["roof.bias"] = np.arange(12)
    with pytest.raises(CheckpointError) as error:
        at.models.load_pretrained(toy_folder(tmp_path, tensors), strict=strict)
    assert "tower.wte.weight is (6, 4) but must be (4, 6)" in str(error.value)
    assert "roof.bias has numbers of type I64 but must have floats" in str(error.value)


def test_a_long_list_is_cut_in_the_message_only(tmp_path):
    tensors = {**toy_tensors(), **{f"x{i:03}": np.zeros(1, np.float32) for i in range(300)}}
    with pytest.raises(CheckpointError, match=r"x000, .* and 100 more") as error:
        at.models.load_pretrained(toy_folder(tmp_path, tensors))
    assert len(error.value.report.unexpected) == 300


@pytest.mark.parametrize("files", [1, 3])
def test_there_and_back(tmp_path, files):
    model = at.models.load_pretrained(toy_folder(tmp_path / "a", task="kept", torch_dtype="float16"))
    model.save_pretrained(tmp_path / "b", max_shard_size="5GB" if files == 1 else 250)
    again = at.models.load_pretrained(tmp_path / "b")
    assert_state(again, model.state_dict())
    written = {p.name for p in (tmp_path / "b").iterdir()}
    if files == 1:
        assert written == {"config.json", "model.safetensors"}
        assert set(load_file(tmp_path / "b" / "model.safetensors")) == set(toy_tensors())
        with safe_open(tmp_path / "b" / "model.safetensors", framework="numpy") as file:
            assert file.metadata() == {"format": "pt"}
    else:
        shards = {f"model-{i:05}-of-00003.safetensors" for i in (1, 2, 3)}
        assert written == {"config.json", "model.safetensors.index.json", *shards}
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    assert config["task"] == "kept" and config["dtype"] == "float32" and "torch_dtype" not in config


def test_saving_over_what_was_there(tmp_path):
    model = at.models.load_pretrained(toy_folder(tmp_path / "a"))
    model.save_pretrained(tmp_path / "b", max_shard_size=250)
    model.save_pretrained(tmp_path / "b")
    assert {p.name for p in (tmp_path / "b").iterdir()} == {"config.json", "model.safetensors"}
    model.save_pretrained(tmp_path / "b", max_shard_size="1KB")
    assert not (tmp_path / "b" / "model.safetensors").exists() or len(list((tmp_path / "b").iterdir())) == 2
    model.save_pretrained(tmp_path / "b", max_shard_size=250)
    assert not (tmp_path / "b" / "model.safetensors").exists()
    assert_state(at.models.load_pretrained(tmp_path / "b"), model.state_dict())


def test_a_float64_model_is_written_as_such(tmp_path):
    model = at.models.load_pretrained(toy_folder(tmp_path / "a"), dtype="float64")
    model.save_pretrained(tmp_path / "b")
    assert load_file(tmp_path / "b" / "model.safetensors")["roof.bias"].dtype == np.float64


def test_what_cannot_be_written(tmp_path):
    model = ToyTower(4, 1, 6)
    model.floors[0].bias.assign(np.zeros(8, np.float32))
    model.save_pretrained(tmp_path / "a")
    model.floors[0].bias.assign(np.ones(8, np.float32))
    with pytest.raises(
        ValueError, match=r"save_pretrained: 'floors.0.bias' has no place in a checkpoint of 'toy'"
    ):
        model.save_pretrained(tmp_path / "b")
    with pytest.raises(
        ValueError, match=r"no family of checkpoints can say what this model is:\n  toy: width is 13"
    ):
        ToyTower(13, 1, 6).save_pretrained(tmp_path / "b")
    for size in (0, -1, 1.5, "5", "5gb", "GB", True):
        with pytest.raises(ValueError, match="max_shard_size is"):
            model.save_pretrained(tmp_path / "b", max_shard_size=size)
    with pytest.raises(ValueError, match=r"no family of checkpoints holds a Linear; use model\.save"):
        checkpoint.save_pretrained(at.nn.Linear(2, 2), tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_entries_fill_and_give_back():
    rng = np.random.default_rng(0)
    for entry in (
        copied("x", "a", (3, 4)),
        transposed("x", "a", (3, 4)),
        reshaped("x", "a", (3, 4), (12,)),
        stacked("x", {"a": 2, "b": 0, "c": 1}, (4,)),
    ):
        values = [rng.standard_normal(shape) for _, shape in entry.theirs]
        out = np.zeros(entry.shape)
        for place, value in zip(entry.parts(out), values, strict=True):
            assert place.shape == value.shape
            place[...] = value
        for part, value in zip(entry.parts(out), values, strict=True):
            assert_same_bits(part, value)


def test_generation_config(tmp_path):
    toy_folder(tmp_path, eos_token_id=[5, 6], pad_token_id=0, bos_token_id=1, forced_bos_token_id=None)
    assert at.models.load_pretrained(tmp_path).generation_config == {
        "eos_token_id": [5, 6],
        "pad_token_id": 0,
        "bos_token_id": 1,
    }
    said = {
        "eos_token_id": 7,
        "max_length": 30,
        "num_beams": 4,
        "early_stopping": "never",
        "pad_token_id": None,
        "bad_words_ids": [[3], [4, 5]],
        "transformers_version": "9",
        "temperature": 0.5,
    }
    (tmp_path / "generation_config.json").write_text(json.dumps(said))
    model = at.models.load_pretrained(tmp_path)
    assert model.generation_config == {**said, "bos_token_id": 1, "pad_token_id": 0}
    model.save_pretrained(tmp_path / "b")
    assert at.models.load_pretrained(tmp_path / "b").generation_config == model.generation_config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("eos_token_id", "2"),
        ("eos_token_id", [1, "2"]),
        ("eos_token_id", 2**40),
        ("eos_token_id", True),
        ("pad_token_id", [1]),
        ("bos_token_id", 1.5),
        ("max_length", -1),
        ("max_length", "20"),
        ("top_k", 1.5),
        ("top_p", 2),
        ("temperature", "hot"),
        ("temperature", float("nan")),
        ("do_sample", 1),
        ("num_beams", 0),
        ("early_stopping", "soon"),
        ("bad_words_ids", [1]),
        ("suppress_tokens", 3),
        ("length_penalty", 10**400),
    ],
)
def test_a_generation_config_of_wrong_types(tmp_path, key, value):
    toy_folder(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({key: value}))
    with pytest.raises(
        ValueError, match=rf"load_pretrained: .*generation_config.json': '{key}' is .* but must be"
    ):
        at.models.load_pretrained(tmp_path)


def test_the_package_of_names_is_as_the_library_writes_it(tmp_path):
    """Ours reads what the library writes and the other way round, also empty tensors and single numbers."""
    tensors = {
        "a": np.zeros((0, 5), np.float32),
        "b": np.array(3, np.float32),
        "c": np.arange(3),
        "d": np.array([True, False]),
        "e": np.ones(2, np.float16),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    weights = safetensors_files.Weights(
        "f", safetensors_files.open_file("f", tmp_path / "x.safetensors"), "x"
    )
    for name, value in tensors.items():
        wide = value.astype(np.float32) if value.dtype == np.float16 else value
        assert_same_bits(weights.read(name), wide, name)
    parts = [
        safetensors_files.Writable(n, tensors[n].dtype, tensors[n].shape, lambda n=n: tensors[n])
        for n in ("a", "b")
    ]
    safetensors_files.write_file(tmp_path / "y.safetensors", parts, {})
    again = load_file(tmp_path / "y.safetensors")
    assert set(again) == {"a", "b"}
    assert_same_bits(again["a"], tensors["a"])
    assert_same_bits(again["b"], tensors["b"])

"""Files that lie: a sentence that names the file, whatever is in them; no memory for what they promise."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from toy_family import toy_folder, toy_tensors

import attendo as at

WEIGHTS, INDEX, CONFIG_FILE = "model.safetensors", "model.safetensors.index.json", "config.json"
F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def assert_refused(folder, says, error=ValueError):
    for strict in (True, False):
        with pytest.raises(error, match=says) as caught:
            at.models.load_pretrained(folder, strict=strict)
        assert str(caught.value).startswith("load_pretrained: ")
        assert str(folder) in str(caught.value)


# ----------------------------------------------------------------------------------------- model.safetensors


def packed(header, data=b"\0" * 8, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(**changes):
    return packed({"a": {**F32, **changes}})


WHOLE = packed({"a": F32})
DAMAGED = {
    "empty": b"",
    "seven bytes": b"\0" * 7,
    "no header": b"\0" * 8,
    "zeros": b"\0" * 100,
    "ones": b"\xff" * 100,
    "text": b"hello " * 30,
    "zip": b"PK\x03\x04" + b"x" * 50,
    "pickle": b"\x80\x04\x95" + b"p" * 50,
    "cut in the length": WHOLE[:5],
    "cut in the header": WHOLE[:30],
    "cut in the numbers": WHOLE[:-1],
    "cut before the numbers": WHOLE[:-8],
    "a byte too many": WHOLE + b"\0",
    "header of 2^63 bytes": packed({"a": F32}, length=2**63),
    "header of 2^64 - 1 bytes": packed({"a": F32}, length=2**64 - 1),
    "header longer than the file": packed({"a": F32}, length=1000),
    "header a byte short": packed({"a": F32}, length=len(json.dumps({"a": F32})) - 1),
    "header a byte long": packed({"a": F32}, length=len(json.dumps({"a": F32})) + 1),
    "header is a list": packed(b"[]"),
    "header is a number": packed(b"3"),
    "header is null": packed(b"null"),
    "header is no JSON": packed(b"{'a': 1}"),
    "header is no UTF-8": packed(b'{"\xff": 1}'),
    "header without an end": packed(b'{"a": '),
    "deep lists": packed(b"[" * 100_000),
    "deep objects": packed(b'{"a":' * 100_000),
    "deep metadata": packed(b'{"__metadata__":' + b'{"a":' * 1000 + b"1" + b"}" * 1001),
    "metadata of numbers": packed({"__metadata__": {"format": 1}, "a": F32}),
    "metadata is a list": packed({"__metadata__": [], "a": F32}),
    "a name twice": packed(b'{"a":%b,"a":%b}' % ((json.dumps(F32).encode(),) * 2)),
    "a name twice, apart": packed(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
    ),
    "a key twice in metadata": packed(b'{"__metadata__":{"a":"1","a":"2"}}', b""),
    "tensor is null": packed({"a": None}),
    "tensor is a number": packed({"a": 3}),
    "no dtype": packed({"a": {"shape": [2], "data_offsets": [0, 8]}}),
    "no shape": packed({"a": {"dtype": "F32", "data_offsets": [0, 8]}}),
    "no offsets": packed({"a": {"dtype": "F32", "shape": [2]}}),
    "unknown dtype": entry(dtype="F31"),
    "dtype is a number": entry(dtype=32),
    "dtype of another size": entry(dtype="F64"),
    "shape is a number": entry(shape=2),
    "shape of words": entry(shape=["2"]),
    "shape of floats": entry(shape=[2.0]),
    "shape of NaN": packed(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}'),
    "shape of null": entry(shape=[None]),
    "shape of true": entry(shape=[True, 2]),
    "negative shape": entry(shape=[-2]),
    "two negatives": entry(shape=[-1, -2]),
    "shape 2^64": entry(shape=[2**64]),
    "shape that overflows": entry(shape=[2**32, 2**32, 2]),
    "shape that wraps to the size": entry(shape=[2**63 + 1, 2]),
    "shape of 10^400": packed(b'{"a":{"dtype":"F32","shape":[1%b],"data_offsets":[0,8]}}' % (b"0" * 400)),
    "shape of 10^5000": packed(b'{"a":{"dtype":"F32","shape":[1%b],"data_offsets":[0,8]}}' % (b"0" * 5000)),
    "shape too large": entry(shape=[3]),
    "shape too small": entry(shape=[1]),
    "offsets of three": entry(data_offsets=[0, 4, 8]),
    "offsets of one": entry(data_offsets=[8]),
    "offsets swapped": entry(data_offsets=[8, 0]),
    "offsets negative": entry(data_offsets=[-8, 0]),
    "offsets behind the end": entry(data_offsets=[8, 16]),
    "offsets of 2^64": entry(data_offsets=[2**64 - 8, 2**64]),
    "offsets past 2^63": entry(data_offsets=[2**63, 2**63 + 8]),
    "offsets of words": entry(data_offsets=["0", "8"]),
    "offsets of floats": entry(data_offsets=[0.0, 8.0]),
    "ranges overlap": packed({"a": F32, "b": {**F32, "data_offsets": [4, 12]}}, b"\0" * 12),
    "ranges are the same": packed({"a": F32, "b": F32}),
    "a gap": packed({"a": F32, "b": {**F32, "data_offsets": [12, 20]}}, b"\0" * 20),
    "numbers nobody names": packed({"a": F32}, b"\0" * 16),
    "does not begin at 0": packed({"a": {**F32, "data_offsets": [8, 16]}}, b"\0" * 16),
}  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file(tmp_path, content):
    toy_folder(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(content)
    assert_refused(
        tmp_path, rf"{WEIGHTS}.*(is not a whole safetensors file|cannot|not JSON|does not fit|type)"
    )


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_shard(tmp_path, content):
    toy_folder(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    (tmp_path / "one.safetensors").write_bytes(content)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": "one.safetensors"}}))
    assert_refused(tmp_path, r"one\.safetensors|does not fit")


def test_a_whole_file_of_something_else(tmp_path):
    """The table damages this one: it must be whole, or the table would show nothing."""
    toy_folder(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(WHOLE)
    with pytest.raises(at.interop.CheckpointError, match="unexpected: a"):
        at.models.load_pretrained(tmp_path)


@pytest.mark.parametrize(("dtype", "shape"), [("F8_E4M3", [8]), ("F8_E5M2", [8]), ("F4", [16]), ("C64", [1])])
def test_numbers_of_a_type_that_is_not_read(tmp_path, dtype, shape):
    toy_folder(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(packed({"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, 8]}}))
    assert_refused(
        tmp_path, f"'a' has numbers of type {dtype}, which is not read; save it as F32, F16 or BF16"
    )


def test_a_header_too_long_to_read(tmp_path):
    """A sparse file: the header is as long as it says, and too long."""
    toy_folder(tmp_path)
    with open(tmp_path / WEIGHTS, "wb") as file:
        file.write((1 << 30).to_bytes(8, "little"))
        file.truncate((1 << 30) + 8)
    assert_refused(tmp_path, "its header is 1073741824 bytes long, more than")


def test_an_empty_tensor_of_a_huge_shape(tmp_path):
    """No number in it, and no array has that shape: it fits nothing, and nobody asks for it."""
    toy_folder(tmp_path)
    body = {"a": {"dtype": "F32", "shape": [0, 2**62, 2], "data_offsets": [0, 0]}}
    for name in ("a", "roof.bias", "copy.weight"):
        (tmp_path / WEIGHTS).write_bytes(packed({name: body["a"]}, b""))
        with pytest.raises(at.interop.CheckpointError):
            at.models.load_pretrained(tmp_path)


GOOD = packed(
    {"roof.bias": {"dtype": "F32", "shape": [12], "data_offsets": [0, 48]}, "__metadata__": {"format": "pt"}},
    b"\1" * 48,
)


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_bytes_changed(tmp_path_factory, changes):
    """Whatever they hit: the numbers, or a ValueError."""
    folder = toy_folder(tmp_path_factory.mktemp("changed"))
    content = bytearray(GOOD)
    for position, value in changes:
        content[position] = value
    (folder / WEIGHTS).write_bytes(content)
    try:
        model = at.models.load_pretrained(folder, strict=False)
    except ValueError as error:
        assert str(error).startswith("load_pretrained: ") and str(folder) in str(error)
    else:
        assert type(model).__name__ == "ToyTower"


@given(st.binary(max_size=200))
def test_any_bytes_at_all(tmp_path_factory, content):
    folder = toy_folder(tmp_path_factory.mktemp("any"))
    (folder / WEIGHTS).write_bytes(packed(content))
    with pytest.raises(ValueError, match=r"load_pretrained: .*model\.safetensors"):
        at.models.load_pretrained(folder)


# ------------------------------------------------------------------------------------------------- the index


def sharded(folder, **changes):
    """Two shards and their index; ``changes`` go over the index's weight_map, None takes a name out."""
    tensors = toy_tensors()
    toy_folder(folder)
    (folder / WEIGHTS).unlink()
    names = sorted(tensors)
    for shard, part in (("one.safetensors", names[:4]), ("two.safetensors", names[4:])):
        save_file({name: tensors[name] for name in part}, folder / shard)
    weight_map = {name: "one.safetensors" if name in names[:4] else "two.safetensors" for name in names}
    weight_map = {n: s for n, s in {**weight_map, **changes}.items() if s is not None}
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": weight_map}))
    return folder


def test_shards(tmp_path):
    model = at.models.load_pretrained(sharded(tmp_path))
    np.testing.assert_array_equal(model.state_dict()["roof.bias"], toy_tensors()["roof.bias"])


@pytest.mark.parametrize(
    "name",
    ["../one.safetensors", "..", ".", "", "/etc/passwd", "a/one.safetensors", "a\\one.safetensors", "C:one",
     "one\0.safetensors", "./one.safetensors", "//x", "~/../x", 3, None, ["one"], {"a": 1}, True],
)  # fmt: skip
def test_a_shard_of_a_name_that_leads_away(tmp_path, name):
    folder = tmp_path / "model"
    sharded(folder)
    save_file({"roof.bias": np.ones(12, np.float32)}, tmp_path / "one.safetensors")
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"]["roof.bias"] = name
    (folder / INDEX).write_text(json.dumps(index))
    assert_refused(folder, "is not the plain name of a file in the folder|but must be a name")


def test_a_shard_that_is_not_there(tmp_path):
    folder = sharded(tmp_path, **{"roof.bias": "three.safetensors"})
    assert_refused(folder, r"there is no file '.*three\.safetensors'", FileNotFoundError)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"roof.bias": None}, r"says that 'roof\.bias' is in nowhere, but it is in one\.safetensors"),
        (
            {"roof.bias": "two.safetensors"},
            r"'roof\.bias' is in two\.safetensors, but it is in one\.safetensors",
        ),
        ({"nothing": "two.safetensors"}, r"'nothing' is in two\.safetensors, but it is not"),
        ({"a": "two.safetensors", "b": "one.safetensors"}, r"but it is not; nor are 1 others"),
    ],
)
def test_an_index_that_does_not_fit_its_shards(tmp_path, changes, says):
    assert_refused(sharded(tmp_path, **changes), says)


BAD_JSON = {
    "empty": (b"", "not JSON"),
    "list": (b"[]", "holds a list but must hold an object"),
    "number": (b"3", "holds a int but must hold an object"),
    "null": (b"null", "holds a NoneType"),
    "no UTF-8": (b'{"a": "\xff"}', "not JSON"),
    "UTF-16": ("{}".encode("utf-16"), "not JSON"),
    "cut": (b'{"a": ', "not JSON"),
    "deep": (b"[" * 200_000, "nested too deeply"),
    "deep objects": (b'{"a":' * 200_000, "nested too deeply"),
    "twice": (b'{"a": 1, "a": 2}', "the key 'a' stands twice"),
    "a number of 5000 digits": (b'{"a": %b}' % (b"1" * 5000), "not JSON"),
}


@pytest.mark.parametrize("file", [CONFIG_FILE, INDEX, "generation_config.json"])
@pytest.mark.parametrize("content, says", BAD_JSON.values(), ids=BAD_JSON)
def test_bad_json(tmp_path, file, content, says):
    sharded(tmp_path)
    (tmp_path / file).write_bytes(content)
    assert_refused(tmp_path, rf"{file}.*{says}")


@pytest.mark.parametrize("listed", [None, [], 3, {}, "one.safetensors"])
def test_an_index_without_a_map(tmp_path, listed):
    sharded(tmp_path)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": listed}))
    assert_refused(tmp_path, "has no 'weight_map' from names of tensors to names of files")


@pytest.mark.parametrize(("file", "limit"), [(CONFIG_FILE, 4 << 20), (INDEX, 32 << 20)])
def test_json_that_is_too_long(tmp_path, file, limit):
    sharded(tmp_path)
    with open(tmp_path / file, "wb") as sparse:
        sparse.truncate(1 << 36)
    assert_refused(tmp_path, f"is longer than {limit} bytes")


# ------------------------------------------------------------------------------------- what is in the folder


@pytest.mark.parametrize("file", [CONFIG_FILE, WEIGHTS])
def test_a_file_that_is_not_there(tmp_path, file):
    toy_folder(tmp_path)
    (tmp_path / file).unlink()
    assert_refused(tmp_path, file, FileNotFoundError)


def test_there_is_no_such_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "none", tmp_path / "file"):
        assert_refused(folder, "there is no folder", FileNotFoundError)


@pytest.mark.parametrize("file", [CONFIG_FILE, WEIGHTS, INDEX, "one.safetensors", "generation_config.json"])
def test_a_folder_where_a_file_should_be(tmp_path, file):
    sharded(tmp_path)
    (tmp_path / file).unlink(missing_ok=True)
    (tmp_path / file).mkdir()
    assert_refused(tmp_path, f"{file}' is not a regular file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
@pytest.mark.parametrize("file", [CONFIG_FILE, WEIGHTS, INDEX, "one.safetensors", "generation_config.json"])
def test_a_pipe_where_a_file_should_be(tmp_path, file):
    """Reading it would wait for ever."""
    sharded(tmp_path)
    (tmp_path / file).unlink(missing_ok=True)
    os.mkfifo(tmp_path / file)
    assert_refused(tmp_path, f"{file}' is not a regular file")


@pytest.mark.parametrize("file", [CONFIG_FILE, WEIGHTS, INDEX, "one.safetensors"])
def test_links(tmp_path, file):
    folder = (
        sharded(tmp_path / "model") if file in (INDEX, "one.safetensors") else toy_folder(tmp_path / "model")
    )
    (folder / file).rename(folder / "real")
    (folder / file).symlink_to("real")
    at.models.load_pretrained(folder)
    (folder / "real").rename(tmp_path / "outside")
    (folder / file).unlink()
    (folder / file).symlink_to("../outside")
    assert_refused(folder, f"{file}' is a link that leads out of the folder")
    (folder / file).unlink()
    (folder / file).symlink_to(tmp_path / "outside")
    assert_refused(folder, f"{file}' is a link that leads out of the folder")
    (folder / file).unlink()
    (folder / file).symlink_to(file)
    assert_refused(folder, rf"{file}' cannot be read")
    (folder / file).unlink()
    (folder / file).symlink_to("nowhere")
    assert_refused(folder, rf"there is no file .*{file}'", FileNotFoundError)


def test_the_cache_of_hugging_face(tmp_path):
    """There a snapshot is links into the blobs beside it; and into nothing else."""
    repository = tmp_path / "models--toy"
    snapshot = toy_folder(repository / "snapshots" / "0123")
    (repository / "blobs").mkdir()
    for file in (CONFIG_FILE, WEIGHTS):
        (snapshot / file).rename(repository / "blobs" / file[:3])
        (snapshot / file).symlink_to(f"../../blobs/{file[:3]}")
    at.models.load_pretrained(snapshot)
    (repository / "blobs" / "con").rename(repository / "con")
    (snapshot / CONFIG_FILE).unlink()
    (snapshot / CONFIG_FILE).symlink_to("../../con")
    assert_refused(snapshot, "is a link that leads out of the folder")


def test_a_folder_that_is_a_link(tmp_path):
    toy_folder(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    at.models.load_pretrained(tmp_path / "link")


@pytest.mark.parametrize(
    "file", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"]
)
def test_a_pickle_is_not_read(tmp_path, file):
    toy_folder(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    (tmp_path / file).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    assert_refused(tmp_path, r"is a pickle, which may run any code.*convert it.*save_pretrained")


# ----------------------------------------------------------------------------------------------- config.json


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": None}, "'model_type' is None but must be one of .*'toy'"),
        ({"model_type": "os.system"}, "'model_type' is 'os.system' but must be one of"),
        ({"model_type": "../gpt2"}, "'model_type' is"),
        ({"model_type": ["toy"]}, "'model_type' is"),
        ({"model_type": {}}, "'model_type' is"),
        ({"model_type": 10**400}, "'model_type' is 1000.*"),
        ({"width": "4"}, "'width' is '4' but must be an integer, 1 to"),
        ({"width": 4.0}, "'width' is 4.0 but must be an integer"),
        ({"width": True}, "'width' is True but must be an integer"),
        ({"width": None}, "'width' is missing; it must be an integer"),
        ({"width": [4]}, "'width' is"),
        ({"width": 0}, "'width' is 0 but must be an integer, 1 to"),
        ({"width": -4}, "'width' is -4 but"),
        ({"width": float("nan")}, "'width' is nan but"),
        ({"width": float("inf")}, "'width' is inf but"),
        ({"width": 10**400}, "'width' is 1000"),
        ({"floors": -1}, "'floors' is -1 but"),
        (
            {"hidden_act": "xyz"},
            "'hidden_act' is 'xyz' but must be one of 'relu', 'gelu': attendo has no other",
        ),
        ({"hidden_act": ["relu"]}, "'hidden_act' is"),
        ({"hidden_act": {"a": "x" * 500}}, r"'hidden_act' is .{77}\.\.\. but"),
        (
            {"scale_attn_weights": False},
            "'scale_attn_weights' is False but must be true: attendo has no other",
        ),
        ({"scale_attn_weights": 1}, "'scale_attn_weights' is 1 but must be true"),
    ],
)
def test_a_config_of_wrong_types(tmp_path, changes, says):
    assert_refused(toy_folder(tmp_path, **changes), rf"config\.json': {says}")


@pytest.mark.parametrize("key", ["width", "words", "floors"])
@pytest.mark.parametrize("value", [5000, 2**20, 2**31 - 1, 10**12, 2**62])
def test_a_config_of_huge_sizes(tmp_path, key, value):
    """Refused before a model is built: in no time, and with no memory."""
    assert_refused(toy_folder(tmp_path, **{key: value}), r"config\.json|missing: ")


# ---------------------------------------------------------------------------------------------------- memory

MEASURE = """
import json, sys
sys.path[:0] = [sys.argv[3]]
import attendo as at, toy_family

def status(field):
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(field + ":"))

def load(folder):
    try:
        return at.models.load_pretrained(folder, strict=False)
    except ValueError as error:
        return error

load(sys.argv[1])  # code
try:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
except OSError:
    pass  # the peak so far then counts as well: what is measured can only be larger
before = status("VmRSS")
model = load(sys.argv[2])
print(json.dumps({"grown": status("VmHWM") - before, "loaded": isinstance(model, at.nn.Module)}))
"""


def measured(small, folder):
    import attendo

    path = os.pathsep.join([str(Path(attendo.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, small, folder, str(Path(__file__).parent)],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    return json.loads(result.stdout)


only_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")


@only_linux
def test_loading_takes_a_model_and_a_tensor(tmp_path):
    """Not the file besides: float16, so widened, and the largest of the tensors is transposed on the way."""
    width, words = 256, 20_000
    shapes = {"wte.weight": (width, words), "ln.weight": (width,), "ln.bias": (width,)}
    shapes |= {f"floors.{i}.{part}.weight": (width, width) for i in range(40) for part in "ab"}
    shapes |= {"roof.weight": (3 * width, width), "roof.bias": (3 * width,)}
    tensors = {name: np.zeros(shape, np.float16) for name, shape in shapes.items()}
    large = toy_folder(tmp_path / "large", tensors, width=width, words=words, floors=40)
    model = 4 * (sum(x.size for x in tensors.values()) + 40 * 2 * width)
    got = measured(toy_folder(tmp_path / "small"), large)
    assert got["loaded"]
    assert model / 2 < got["grown"] < model + 4 * width * words + (24 << 20)


@only_linux
@pytest.mark.parametrize("changes", [{"words": 10**9}, {"floors": 10**9}, {"width": 2**31 - 1}])
def test_a_promise_takes_no_memory(tmp_path, changes):
    got = measured(toy_folder(tmp_path / "small"), toy_folder(tmp_path / "huge", **changes))
    assert not got["loaded"] and got["grown"] < 16 << 20


@only_linux
def test_what_is_missing_takes_no_more_memory_than_the_file(tmp_path):
    """Without strict what is missing is drawn; but not 400 MB of it for a file of a few hundred bytes."""
    tensors = {n: x for n, x in toy_tensors().items() if n != "tower.wte.weight"}
    got = measured(toy_folder(tmp_path / "small"), toy_folder(tmp_path / "huge", tensors, words=25_000_000))
    assert not got["loaded"] and got["grown"] < 16 << 20

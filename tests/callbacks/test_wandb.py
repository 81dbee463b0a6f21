"""Weights & Biases, offline: what is in the folder, read back record by record."""

import json
import socket
import struct
import time
import zlib

import numpy as np
import pytest

import attendo as at

wandb = pytest.importorskip("wandb", reason='pip install "attendo[wandb]"')

rng = np.random.default_rng(0)
X = rng.standard_normal((24, 4)).astype(np.float32)
Y = rng.integers(0, 3, 24)


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """Settings of this machine's user are not asked for, and a name is never looked up."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)


def trainer():
    return at.train.Trainer(at.nn.Linear(4, 3, seed=0), at.losses.CrossEntropy(), at.optim.Adam(0.05))


def fit(t, *callbacks, **options):
    return t.fit(X, Y, **{"epochs": 3, "batch_size": 8, "progress": False, "callbacks": callbacks, **options})


def read(run_file):
    """The records of an offline run: wandb's messages in LevelDB's log format."""
    from wandb.proto import wandb_internal_pb2

    data = run_file.read_bytes()
    assert data[:4] == b":W&B"
    place, record, records = 7, b"", []
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # the rest of a block
            place += 32768 - place % 32768
            continue
        checksum, size, kind = struct.unpack("<IHB", data[place : place + 7])
        piece = data[place + 7 : place + 7 + size]
        if len(piece) < size:  # being written
            break
        assert checksum == zlib.crc32(piece, zlib.crc32(bytes([kind])))
        record, place = record + piece, place + 7 + size
        if kind in (1, 4):  # whole, or the last piece
            records.append(wandb_internal_pb2.Record.FromString(record))
            record = b""
    return records


def read_to_the_end(run_file):
    """finish() may return a moment before wandb's own process has written its last record."""
    for _ in range(200):
        records = read(run_file)
        if records and records[-1].WhichOneof("record_type") in ("exit", "final"):
            return records
        time.sleep(0.05)
    raise AssertionError(f"{run_file} has no end")


def rows(records):
    for record in records:
        if record.WhichOneof("record_type") == "history":
            values = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            yield values["_step"], values


def test_an_offline_run_holds_what_was_logged(tmp_path):
    log = at.callbacks.WandB("dates", name="first", folder=tmp_path, config={"d_model": 128})
    told = []

    class Told(at.callbacks.Callback):
        def on_step(self, trainer, info):
            told.append((trainer.optimizer.steps, info["loss"]))

        def on_epoch_end(self, trainer, info):
            log.on_epoch_end(trainer, {**info, "val_loss": 1 / (info["epoch"] + 3)})

    fit(trainer(), log, Told())
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    (file,) = folder.glob("*.wandb")
    records = read_to_the_end(file)
    history = list(rows(records))
    losses = {step: values["train/loss"] for step, values in history if "train/loss" in values}
    assert losses == dict(told) and max(losses) == 9
    assert [(s, v["val/loss"]) for s, v in history if "val/loss" in v] == [(3, 1 / 3), (6, 1 / 4), (9, 1 / 5)]
    (run,) = (r.run for r in records if r.WhichOneof("record_type") == "run")
    assert (run.project, run.display_name) == ("dates", "first")
    config = {item.key: item.value_json for item in run.config.update}
    assert config["d_model"] == "128" and "Linear" in config["model"] and "Adam" in config["optimizer"]
    assert wandb.run is None  # no run of the program's own was begun


def test_training_that_goes_on_keeps_the_id(tmp_path):
    log, t = at.callbacks.WandB("dates", folder=tmp_path), trainer()
    fit(t, log, epochs=1)
    again = at.callbacks.WandB("dates", folder=tmp_path)
    again.load_state_dict(json.loads(json.dumps(log.state_dict())))
    assert again.state_dict() == log.state_dict() and log.state_dict()["id"]


@pytest.mark.parametrize(
    "options",
    [
        {"project": 3},
        {"project": None},
        {"name": 3},
        {"folder": 3},
        {"config": 3},
        {"config": ["d_model"]},
        {"config": {3: "d_model"}},
    ],
    ids=str,
)
def test_an_argument_of_the_wrong_type_is_named(options):
    (name,) = options
    with pytest.raises(TypeError, match=f"WandB: {name} (is|has the key) .*but must be"):
        at.callbacks.WandB(**{"project": "dates", **options})


def test_a_project_that_wandb_refuses_and_a_folder_that_is_a_file(tmp_path):
    for project in ("a/b", "x" * 200):
        with pytest.raises(ValueError, match=f"WandB: project is '{project}' but wandb says: Invalid"):
            at.callbacks.WandB(project, folder=tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match=r"WandB: folder is .*file', a file, but must be a folder"):
        at.callbacks.WandB("dates", folder=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_bad_mode():
    with pytest.raises(ValueError, match="mode is 'on' but must be"):
        at.callbacks.WandB("x", mode="on")

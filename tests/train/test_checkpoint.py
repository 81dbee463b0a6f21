"""Files of a run: whole or not there, damage noticed, old ones gone; what is too full to write is said."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import attendo as at
from attendo.train import checkpoint
from tolerance import assert_same_bits

rng = np.random.default_rng(0)
X = rng.standard_normal((48, 6)).astype(np.float32)
Y = rng.integers(0, 3, 48)


def network():
    return at.models.EncoderClassifier(9, 8, 2, 1, 6, 3, dropout=0.1, seed=0)


IDS = rng.integers(0, 9, (48, 6))


def trainer(**options):
    return at.train.Trainer(network(), at.losses.CrossEntropy(), at.optim.AdamW(1e-3), **options)


def fit(t, folder=None, callbacks=(), **options):
    if folder is not None:
        callbacks = [*callbacks, at.callbacks.Checkpoint(folder, **options.pop("checkpoint", {}))]
    return t.fit(
        IDS, Y, **{"epochs": 3, "batch_size": 8, "callbacks": callbacks, "progress": False, **options}
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------------------------------------- what is there


def test_the_last_checkpoints_and_the_best_model(tmp_path):
    t = trainer()
    fit(t, tmp_path, validation=(IDS, Y), checkpoint={"every_steps": 1, "keep": 3, "best": "val_loss"})
    found = names(tmp_path)
    assert found[0] == "best.safetensors" and found[-1] == "checkpoint-0000000018.safetensors"
    assert len(found) == 4
    best = at.load(tmp_path / "best.safetensors")
    assert type(best).__name__ == "EncoderClassifier" and best.config == t.model.config


def test_best_is_the_best_epoch(tmp_path):
    states = []

    class Keep(at.callbacks.Callback):
        def on_epoch_end(self, trainer, info):
            states.append((info["val_loss"], trainer.model.state_dict()))

    t = at.train.Trainer(network(), at.losses.CrossEntropy(), at.optim.SGD(1.0))
    other = rng.integers(0, 3, 48)  # validation gets worse in time
    fit(t, tmp_path, [Keep()], epochs=8, validation=(IDS, other), checkpoint={"best": "val_loss"})
    losses = [loss for loss, _ in states]
    assert 0 < int(np.argmin(losses)) + 1 < 8
    best = at.load(tmp_path / "best.safetensors").state_dict()
    for name, value in states[int(np.argmin(losses))][1].items():
        assert_same_bits(best[name], value)


def test_a_file_opens_in_safetensors(tmp_path):
    from safetensors.numpy import load_file

    t = trainer()
    fit(t, tmp_path)
    tensors = load_file(tmp_path / "checkpoint-0000000018.safetensors")
    for name, value in t.model.state_dict().items():
        assert_same_bits(tensors[f"model.{name}"], value)
    assert any(name.startswith("optimizer.") for name in tensors)
    with pytest.raises(ValueError, match="is a checkpoint of a run: attendo"):
        at.load(tmp_path / "checkpoint-0000000018.safetensors")


@pytest.mark.parametrize(
    "option", [{"every_steps": 4, "every_epochs": None}, {"every_seconds": 1e-6, "every_epochs": None}]
)
def test_when_one_is_written(tmp_path, option):
    """After the first, before the last: at the steps asked for."""
    seen = set()

    class Wait(at.callbacks.Callback):
        runs_last = True

        def on_batch_end(self, trainer, info):
            check._wait()
            seen.update(names(tmp_path))

    check = at.callbacks.Checkpoint(tmp_path, keep=99, **option)
    trainer().fit(IDS, Y, epochs=2, batch_size=8, callbacks=[check, Wait()], progress=False)
    steps = sorted(int(name[11:21]) for name in seen)
    assert steps == ([0, 4, 8, 12] if "every_steps" in option else list(range(13)))


def test_another_run_does_not_write_over_it(tmp_path):
    fit(trainer(), tmp_path)
    before = names(tmp_path)
    with pytest.raises(FileExistsError, match="holds the checkpoints of another run"):
        fit(trainer(), tmp_path)
    assert names(tmp_path) == before


def test_the_same_trainer_may_go_on(tmp_path):
    t = trainer()
    fit(t, tmp_path)
    fit(t, tmp_path)
    assert names(tmp_path)[-1] == "checkpoint-0000000036.safetensors"


def test_a_partial_file_of_a_killed_run_is_cleared_away(tmp_path):
    (tmp_path / "checkpoint-0000000007.safetensors.partial").write_bytes(b"half")
    fit(trainer(), tmp_path)
    assert not any(name.endswith(".partial") for name in names(tmp_path))


# ------------------------------------------------------------------------------------------------------ state


def test_values_come_back_as_they_were():
    state = {
        "none": None,
        "numbers": [1, 2.5, True, float("inf"), 0.1 + 0.2],
        "text": "β",
        "arrays": {
            "a": np.arange(6.0).reshape(2, 3),
            "empty": np.zeros((0, 2), np.float32),
            "b": [np.arange(3)],
        },
        "numpy": np.float64(0.1),
        "array": {"array": "a dict that looks like a mark of ours"},
    }
    arrays = {}
    plain = json.loads(json.dumps(checkpoint.without_arrays(state, arrays)))
    again = checkpoint.with_arrays(plain, arrays)
    assert again["numbers"] == state["numbers"] and again["none"] is None and again["text"] == "β"
    assert again["array"] == state["array"] and again["numpy"] == 0.1
    assert_same_bits(again["arrays"]["a"], state["arrays"]["a"])
    assert again["arrays"]["empty"].shape == (0, 2)
    assert again["arrays"]["b"][0].tolist() == [0, 1, 2]


def test_what_a_checkpoint_cannot_hold_is_named(tmp_path):
    class Odd(at.callbacks.Callback):
        def state_dict(self):
            return {"a": [object()]}

    with pytest.raises(TypeError, match=r"state\.run\.callbacks.*is a object"):
        fit(trainer(), tmp_path, [Odd()])


# ----------------------------------------------------------------------------------------------------- damage


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    fit(trainer(), folder, checkpoint={"keep": 2, "every_steps": 1})
    return folder


def copy_of(written, folder):
    for path in written.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return sorted(folder.iterdir())


def test_every_flipped_byte_is_noticed(written, tmp_path):
    _, newest = copy_of(written, tmp_path)
    whole = newest.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    some = {*range(0, 40), *range(8, 8 + header, 61), *range(8 + header, len(whole), 997), len(whole) - 1}
    for place in sorted(some):
        newest.write_bytes(whole[:place] + bytes([whole[place] ^ 0x20]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="checksum"):
            checkpoint.read(newest)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, -1, -33])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(written, tmp_path, length):
    older, newest = copy_of(written, tmp_path)
    newest.write_bytes(newest.read_bytes()[:length])
    with pytest.warns(RuntimeWarning, match=f"{newest.name}.*is damaged.*the checkpoint before it is used"):
        t = at.train.resume(tmp_path)
    assert t.optimizer.steps == int(older.name[11:21])


@pytest.mark.filterwarnings("ignore:.*is damaged")
def test_all_damaged(written, tmp_path):
    for path in copy_of(written, tmp_path):
        path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"no checkpoint in .* is whole"):
        at.train.resume(tmp_path)


@pytest.mark.filterwarnings("ignore:.*is damaged")
def test_a_folder_in_place_of_a_file(written, tmp_path):
    copy_of(written, tmp_path)
    (tmp_path / "checkpoint-9999999999.safetensors").mkdir()
    assert at.train.resume(tmp_path).optimizer.steps == 18


def test_no_checkpoint(tmp_path):
    for folder in (tmp_path, tmp_path / "not there"):
        with pytest.raises(FileNotFoundError, match="there is no checkpoint in"):
            at.train.resume(folder)


# -------------------------------------------------------------------------------------------------- full disk

FULL = textwrap.dedent("""
    import resource, sys, warnings
    import numpy as np, attendo as at
    warnings.simplefilter("always")
    ids = np.random.default_rng(0).integers(0, 9, (48, 6))
    model = at.models.EncoderClassifier(9, 8, 2, 1, 6, 3, seed=0)
    t = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.AdamW(1e-3))

    class Fill(at.callbacks.Callback):
        def on_epoch_end(self, trainer, info):
            if info["epoch"] == 2:
                check._wait()
                resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    check = at.callbacks.Checkpoint(sys.argv[1])
    try:
        t.fit(ids, ids[:, 0] % 3, epochs=6, callbacks=[Fill(), check], progress=False)
    except OSError as error:
        print("OSError", error, t.history)
""")


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes to set")
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "OSError" in done.stdout and "6 epochs" in done.stdout  # training went on, and the end says so
    assert "RuntimeWarning: Checkpoint: " in done.stderr
    assert [name for name in names(tmp_path) if "partial" in name] == []
    t = at.train.resume(tmp_path)
    assert t.optimizer.steps in (2, 4)  # the second epoch may have ended while the first was written


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError):
        fit(trainer(), tmp_path / "file")


# ----------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "options, error",
    [
        ({"every_epochs": 0}, ValueError),
        ({"every_epochs": 1.0}, TypeError),
        ({"every_steps": -1}, ValueError),
        ({"every_seconds": 0}, ValueError),
        ({"every_seconds": float("nan")}, ValueError),
        ({"keep": 0}, ValueError),
        ({"keep": None}, TypeError),
        ({"best": 3}, TypeError),
        ({"best": "val_loss", "mode": "least"}, ValueError),
    ],
)
def test_errors(tmp_path, options, error):
    with pytest.raises(error, match="Checkpoint: " + next(iter(options)).replace("best", "(monitor|mode)")):
        at.callbacks.Checkpoint(tmp_path, **options)


def test_best_by_a_number_that_is_not_there(tmp_path):
    with pytest.raises(
        ValueError, match=r"monitor is 'val_loss' but an epoch gives.*val_\.\.\. come with validation="
    ):
        fit(trainer(), tmp_path, checkpoint={"best": "val_loss"})


def test_best_is_the_average_where_there_is_one(tmp_path):
    """What validation measured is what is kept."""
    t = trainer(average=0.5)
    history = fit(t, tmp_path, validation=(IDS, Y), checkpoint={"best": "val_loss"})
    model = at.load(tmp_path / "best.safetensors")
    best = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.SGD(0.1))
    assert best.evaluate(IDS, Y)["loss"] == pytest.approx(history["val_loss"].min(), rel=1e-6)
    assert t.evaluate(IDS, Y)["loss"] != pytest.approx(history["val_loss"].min(), rel=1e-6)


def test_arrays_of_every_kind_come_back_to_the_bit():
    key = np.random.Philox(3).state["state"]["key"]  # uint64
    kinds = [np.bool_, *(np.dtype(c) for c in "bhiqBHIQefd")]
    state = {
        "key": key,
        "swapped": np.arange(3, dtype=">f4"),
        "scalar": np.array(2.5),
        "strided": np.arange(12.0).reshape(3, 4)[:, ::2],
        **{f"kind{i}": np.array([0, 1, 1], dtype=kind) for i, kind in enumerate(kinds)},
    }
    arrays = {}
    again = checkpoint.with_arrays(json.loads(json.dumps(checkpoint.without_arrays(state, arrays))), arrays)
    for name, value in state.items():
        got = again[name]
        assert got.shape == value.shape and got.dtype == value.dtype.newbyteorder("="), name
        np.testing.assert_array_equal(got, value)


@pytest.mark.parametrize(
    "value", [np.array([1j]), np.array(["a"]), np.array(["2020"], dtype="M8[D]"), {1: 2}, object(), 1j]
)
def test_other_values_are_named(value):
    with pytest.raises(TypeError, match=r"checkpoint: state\.x"):
        checkpoint.without_arrays({"x": value}, {})


@pytest.mark.filterwarnings("ignore:.*is damaged")
@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in folders")
def test_what_is_no_regular_file_is_not_read(written, tmp_path):
    import os

    copy_of(written, tmp_path)
    os.mkfifo(tmp_path / "checkpoint-9999999998.safetensors")
    os.symlink("/dev/zero", tmp_path / "checkpoint-9999999999.safetensors")
    assert at.train.resume(tmp_path).optimizer.steps == 18


def test_two_of_them_on_one_folder(tmp_path):
    both = [
        at.callbacks.Checkpoint(tmp_path, keep=9),
        at.callbacks.Checkpoint(tmp_path, every_steps=1, keep=9),
    ]
    fit(trainer(), callbacks=both)
    assert not any("partial" in name for name in names(tmp_path))
    assert at.train.resume(tmp_path).optimizer.steps == 18


@pytest.mark.parametrize("change", ["stopped", "seconds", "epochs", "callbacks", "missing", "validations"])
def test_states_that_no_run_writes(tmp_path, change):
    """With a checksum that fits: an error of resume or fit, which says what it is about."""
    from safetensors.numpy import load_file

    fit(trainer(), tmp_path, [at.callbacks.EarlyStopping("epoch_loss")])
    newest = max(tmp_path.iterdir())
    _, state = checkpoint.read(newest)
    if change == "stopped":
        state["fit"]["stopped"] = "yes"
    elif change == "seconds":
        state["fit"]["history"]["seconds"] = "long"
    elif change == "epochs":
        state["run"]["epochs"] = float("inf")
    elif change == "callbacks":
        state["run"]["callbacks"] = [["EarlyStopping", {"changes_training": True}]]
    elif change == "missing":
        del state["model"]
    else:
        state["run"]["validations"] = ["a"]
    t = trainer()
    snapshot = at._core.Snapshot()
    entries = snapshot.take(t._core)
    assert load_file(newest)
    checkpoint.write(newest, checkpoint.Contents(entries, snapshot, state))
    with pytest.raises(
        ValueError, match=r"resume: |fit: the checkpoint's state of EarlyStopping does not fit"
    ):
        again = at.train.resume(tmp_path)
        again.fit(IDS, Y, callbacks=[at.callbacks.EarlyStopping("epoch_loss")], progress=False)

"""CSV and JSON lines: every number to the bit, nothing lost, nothing twice."""

import csv
import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import attendo as at

rng = np.random.default_rng(0)
X = rng.standard_normal((24, 4)).astype(np.float32)
Y = rng.integers(0, 3, 24)

LOGGERS = {"csv": at.callbacks.CSVLogger, "json": at.callbacks.JSONLines}


def trainer():
    return at.train.Trainer(at.nn.Linear(4, 3, seed=0), at.losses.CrossEntropy(), at.optim.Adam(0.05))


def fit(t, *callbacks, epochs=3, **options):
    return t.fit(X, Y, epochs=epochs, batch_size=8, progress=False, callbacks=callbacks, **options)


def rows(path):
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            read = [{k: float(v) if v else None for k, v in row.items()} for row in csv.DictReader(file)]
        return read
    return [json.loads(line) for line in path.read_text().splitlines()]


class Told(at.callbacks.Callback):
    """What the loggers were told."""

    def __init__(self):
        self.infos = []

    def on_epoch_end(self, trainer, info):
        self.infos.append(dict(info))


@pytest.fixture(params=LOGGERS)
def kind(request):
    return request.param


def test_a_row_an_epoch_exact_to_the_bit(kind, tmp_path):
    path, told = tmp_path / "new" / f"log.{kind}", Told()
    history = fit(trainer(), LOGGERS[kind](path), told, validation=(X, Y))
    read = rows(path)
    assert [row["epoch"] for row in read] == [0, 1, 2] and [row["step"] for row in read] == [3, 6, 9]
    for row, info in zip(read, told.infos, strict=True):
        for name in ("lr", "seconds", "steps_per_second", "val_loss", "val_accuracy"):
            assert row[name] == info[name], name
    for name in ("loss", "val_loss", "val_accuracy"):
        assert [row[name] for row in read] == list(history[name]), name
    values = [value for row in read for value in row.values()]
    assert all(isinstance(value, int | float) and math.isfinite(value) for value in values)


def test_the_row_is_on_disk_when_its_epoch_is_over(kind, tmp_path):
    path = tmp_path / f"log.{kind}"

    class Look(at.callbacks.Callback):
        def __init__(self):
            self.seen = []

        def on_epoch_end(self, trainer, info):
            self.seen.append(len(rows(path)))

    look = Look()
    fit(trainer(), LOGGERS[kind](path), look)
    assert look.seen == [1, 2, 3]


def test_training_that_goes_on_appends(kind, tmp_path):
    path, t = tmp_path / f"log.{kind}", trainer()
    log = LOGGERS[kind](path)
    fit(t, log, epochs=2)
    fit(t, log, epochs=1)
    fit(t, LOGGERS[kind](path), epochs=1)  # another object, as after a restart
    assert [row["step"] for row in rows(path)] == [3, 6, 9, 12]


@pytest.mark.parametrize("torn", ["", '{"epoch": 9, "st', "9,9"])
def test_steps_that_are_made_again_replace_their_rows(kind, torn, tmp_path):
    """A run that was killed after its last checkpoint has written rows of steps that will come again."""
    path, t = tmp_path / f"log.{kind}", trainer()
    fit(t, LOGGERS[kind](path), epochs=2)
    whole = path.read_text()
    lost = trainer()
    fit(lost, LOGGERS[kind](path), epochs=4)
    path.write_text(path.read_text() + torn)
    log = LOGGERS[kind](path)
    log.on_train_begin(t)  # t stands at step 6, as if resumed there
    log.on_train_end(t)
    left = rows(path)
    assert [row["step"] for row in left] == [3, 6]
    assert len(path.read_text().splitlines()) == len(whole.splitlines())


def test_training_from_the_start_begins_anew(kind, tmp_path):
    path = tmp_path / f"log.{kind}"
    fit(trainer(), LOGGERS[kind](path))
    fit(trainer(), LOGGERS[kind](path), epochs=1)
    assert len(rows(path)) == 1


def test_one_logger_for_two_trainings_from_the_start(kind, tmp_path):
    log = LOGGERS[kind](tmp_path / f"log.{kind}")
    for _ in range(2):
        fit(trainer(), log, epochs=2)
        assert [(row["epoch"], row["step"]) for row in rows(log.path)] == [(0, 3), (1, 6)]
    t = trainer()
    for _ in range(2):
        fit(t, log, epochs=2)  # the same trainer goes on
    assert [(row["epoch"], row["step"]) for row in rows(log.path)] == [(0, 3), (1, 6), (0, 9), (1, 12)]


KILLED = """
import os, signal, sys
import numpy as np
import attendo as at

class Kill(at.callbacks.Callback):
    runs_last = True  # as Checkpoint, and after it

    def on_epoch_end(self, trainer, info):
        if info["epoch"] == 1:
            os.kill(os.getpid(), signal.SIGKILL)

rng = np.random.default_rng(0)
x, y = rng.standard_normal((24, 4)).astype(np.float32), rng.integers(0, 3, 24)
folder, before = sys.argv[1], int(sys.argv[2])
t = at.train.Trainer(at.nn.Linear(4, 3, seed=0), at.losses.CrossEntropy(), at.optim.Adam(0.05))
logs = [at.callbacks.CSVLogger(folder + "/log.csv"), at.callbacks.JSONLines(folder + "/log.json")]
options = {"batch_size": 8, "progress": False}
if before:
    t.fit(x, y, epochs=before, callbacks=logs, **options)
checkpoint = at.callbacks.Checkpoint(folder, every_epochs=None, every_steps=3)

class Wait(at.callbacks.Callback):
    runs_last = True

    def on_batch_end(self, trainer, info):
        checkpoint._wait()

t.fit(x, y, epochs=3, callbacks=[*logs, checkpoint, Wait(), Kill()], **options)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is POSIX")
@pytest.mark.parametrize("before", [0, 2])
def test_killed_after_the_last_step_of_an_epoch_no_epoch_is_written_twice(before, tmp_path):
    """The newest checkpoint holds the epoch's last step, not its end; the row of that end is in the file."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(before)], check=False)
    assert done.returncode == -signal.SIGKILL
    wanted = [(i, 3 * i + 3) for i in range(before)] + [(i, 3 * (before + i) + 3) for i in range(3)]
    paths = [tmp_path / f"log.{kind}" for kind in LOGGERS]
    for path in paths:
        assert [(row["epoch"], row["step"]) for row in rows(path)] == wanted[:-1]
    t = at.train.resume(tmp_path, model=at.nn.Linear(4, 3))
    assert t.optimizer.steps == 3 * (before + 2) and len(t.history["loss"]) == 1
    history = t.fit(X, Y, progress=False, callbacks=[LOGGERS[path.suffix[1:]](path) for path in paths])
    for path in paths:
        assert [(row["epoch"], row["step"]) for row in rows(path)] == wanted
        assert [row["loss"] for row in rows(path)][before:] == list(history["loss"])


def test_a_column_that_comes_later(tmp_path):
    path, log, t = tmp_path / "log.csv", None, trainer()
    log = at.callbacks.CSVLogger(path)
    info = {"epoch": 0, "step": 3, "seconds": 1.0, "loss": 0.1 + 0.2, "lr": 0.05, "steps_per_second": 3.0}
    log.on_train_begin(t)
    log.on_epoch_end(t, info)
    log.on_epoch_end(t, {**info, "epoch": 1, "val_loss": 1 / 3})
    log.on_epoch_end(t, {**info, "epoch": 2})
    log.on_train_end(t)
    read = rows(path)
    assert [row["val_loss"] for row in read] == [None, 1 / 3, None]
    assert [row["loss"] for row in read] == [0.1 + 0.2] * 3 and [row["epoch"] for row in read] == [0, 1, 2]


def test_nan_and_infinity_come_back(kind, tmp_path):
    path, t = tmp_path / f"log.{kind}", trainer()
    log = LOGGERS[kind](path)
    log.on_train_begin(t)
    log.on_epoch_end(t, {"epoch": 0, "seconds": 0.5, "loss": math.nan, "lr": math.inf})
    log.on_train_end(t)
    (row,) = rows(path)
    assert math.isnan(row["loss"]) and row["lr"] == math.inf


def test_the_file_of_another_program_is_not_thrown_away(kind, tmp_path):
    path, t = tmp_path / f"log.{kind}", trainer()
    fit(t)
    other = "a,b\n1,2\n" if kind == "csv" else '{"a": 1}\n'
    path.write_text(other)
    with pytest.raises(ValueError, match="without a step"):
        fit(t, LOGGERS[kind](path))
    assert path.read_text() == other


FOREIGN = {
    "bytes": b"\xff\xfe\x00\n",
    "a picture": b"\x89PNG\r\n\x1a\n\0\0\n",
    "a long field": b"epoch,step\n" + b"1" * 200_000 + b",2\n",
    "lists in lists": b"[" * 200_000 + b"\n",
    "half an object": b'{"epoch": 0, "step": 3\n',
    "more cells than names": b"epoch,step\n0,3,4,5\n",
    "fewer": b"epoch,step,loss\n0,3\n",
    "text": b"epoch,step,loss\n0,3,small\n",
    "a step that is text": b'{"epoch": 0, "step": "a"}\n',
    "a step that is a list": b'{"epoch": 0, "step": [3]}\n',
    "no epoch": b'{"step": 3}\n',
    "a number": b"3\n",
    "no end of a line": b"mine",
    "a long number": b'{"epoch": 0, "step": ' + b"9" * 5000 + b"}\n",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_foreign_file_is_one_error_and_stays(kind, what, tmp_path):
    path, t = tmp_path / f"log.{kind}", trainer()
    fit(t, epochs=1)
    path.write_bytes(FOREIGN[what])
    with pytest.raises(ValueError) as raised:
        fit(t, LOGGERS[kind](path))
    begins = f"{LOGGERS[kind].__name__}: {str(path)!r} is no log of its own to go on with: "
    assert type(raised.value) is ValueError and str(raised.value).startswith(begins)
    assert str(raised.value.__cause__) in str(raised.value)
    assert path.read_bytes() == FOREIGN[what] and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("characters", [0, 1, 5, 12, 30])
def test_a_first_line_that_was_not_written_to_its_end_is_no_foreign_file(kind, characters, tmp_path):
    path, t = tmp_path / f"log.{kind}", trainer()
    fit(t, LOGGERS[kind](path), epochs=1)
    path.write_bytes(path.read_bytes()[:characters])
    fit(t, LOGGERS[kind](path), epochs=1)
    assert [row["step"] for row in rows(path)] == [6]


def test_a_folder_is_no_file(kind, tmp_path):
    name = LOGGERS[kind].__name__
    with pytest.raises(ValueError, match=f"{name}: path is .*, a folder, but must be a file"):
        LOGGERS[kind](tmp_path)
    log = LOGGERS[kind](tmp_path / "later")
    log.path.mkdir()
    with pytest.raises(ValueError, match=f"{name}: path is .*, a folder, but must be a file"):
        fit(trainer(), log)
    assert os.listdir(tmp_path) == ["later"] and not os.listdir(log.path)


@pytest.mark.parametrize("path", [3, None, b"log", ["a"]])
def test_a_path_must_be_one(kind, path):
    with pytest.raises(TypeError, match=f"{LOGGERS[kind].__name__}: path is .* but must be a str or a path"):
        LOGGERS[kind](path)


def test_a_full_disk_leaves_the_file_and_nothing_beside_it(kind, tmp_path, monkeypatch):
    path, t = tmp_path / f"log.{kind}", trainer()
    fit(t, LOGGERS[kind](path))
    before = path.read_bytes()

    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        fit(t, LOGGERS[kind](path))
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


def test_closed_after_an_error(kind, tmp_path):
    class Fail(at.callbacks.Callback):
        def on_epoch_end(self, trainer, info):
            raise KeyboardInterrupt

    path = tmp_path / f"log.{kind}"
    log = LOGGERS[kind](path)
    with pytest.raises(KeyboardInterrupt):
        fit(trainer(), log, Fail())
    assert log._file is None and len(rows(path)) == 1

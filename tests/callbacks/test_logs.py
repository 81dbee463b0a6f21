"""CSV and JSON lines: every number to the bit, nothing lost, nothing twice."""

import csv
import json
import math

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


def test_closed_after_an_error(kind, tmp_path):
    class Fail(at.callbacks.Callback):
        def on_epoch_end(self, trainer, info):
            raise KeyboardInterrupt

    path = tmp_path / f"log.{kind}"
    log = LOGGERS[kind](path)
    with pytest.raises(KeyboardInterrupt):
        fit(trainer(), log, Fail())
    assert log._file is None and len(rows(path)) == 1

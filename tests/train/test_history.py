"""History: arrays, a table, a picture; and that an interrupted run has the history of one that was not."""

import csv

import numpy as np
import pytest

import attendo as at
from attendo.train import History

rng = np.random.default_rng(0)
X = rng.standard_normal((50, 6)).astype(np.float32)
Y = rng.integers(0, 3, 50)


def network():
    model = at.nn.Sequential(at.nn.Linear(6, 40), at.nn.ReLU(), at.nn.Linear(40, 3))
    model.reset_parameters(0)
    return model


def trainer():
    return at.train.Trainer(network(), at.losses.CrossEntropy(), at.optim.Adam(0.05))


def fit(t, **options):
    return t.fit(X, Y, **{"epochs": 3, "batch_size": 8, "progress": False, "validation": (X, Y), **options})


def known():
    return History(
        step_loss=np.array([3.0, 2.0, 1.0, 0.5]),
        lr=np.array([0.1, 0.2, 0.2, 0.1]),
        loss=np.array([2.5, 0.75]),
        seconds=4.0,
        time={
            "data": 0.5,
            "forward": 1.0,
            "loss": 0.25,
            "backward": 2.0,
            "optimizer": 0.25,
            "callbacks": 0.0,
        },
        val_loss=np.array([2.25, 1 / 3]),
        val_accuracy=np.array([0.5, 0.875]),
    )


def test_a_row_an_epoch():
    table = known().table()
    assert table.columns == ("epoch", "loss", "val_loss", "val_accuracy")
    assert table.rows == ((1, 2.5, 2.25, 0.5), (2, 0.75, 1 / 3, 0.875))


def test_of_a_training():
    history = fit(trainer())
    table = history.table()
    assert table.columns == ("epoch", "loss", "val_loss", "val_accuracy") and len(table.rows) == 3
    for name, column in zip(table.columns[1:], list(zip(*table.rows, strict=True))[1:], strict=True):
        np.testing.assert_array_equal(column, history[name])


def test_epochs_of_one_step_have_no_columns_of_steps():
    history = fit(trainer(), batch_size=1000)
    assert len(history["step_loss"]) == len(history["loss"]) == 3
    assert set(history.table().columns) == {"epoch", "loss", "val_loss", "val_accuracy"}


def test_text():
    assert str(known().table()).splitlines() == [
        "epoch  loss  val_loss  val_accuracy",
        "    1   2.5      2.25           0.5",
        "    2  0.75  0.333333         0.875",
        "",
        "backward       2.000 s   50%  ████████████",
        "forward        1.000 s   25%  ██████",
        "data           0.500 s   12%  ███",
        "loss           0.250 s    6%  ██",
        "optimizer      0.250 s    6%  ██",
        "callbacks      0.000 s    0%",
    ]


def test_html_is_escaped():
    history = known()
    history["val_<b>"] = np.array([1.0, 2.0])
    html = history.table()._repr_html_()
    assert "val_&lt;b&gt;" in html and "<b>" not in html and html.count("<tr>") == 3 + 6


def test_csv_and_pandas(tmp_path):
    table = known().table()
    path = table.to_csv(tmp_path / "history.csv")
    with path.open(newline="") as file:
        head, *rows = csv.reader(file)
    assert tuple(head) == table.columns
    assert [tuple(map(float, row)) for row in rows] == [tuple(map(float, row)) for row in table.rows]
    pandas = pytest.importorskip("pandas", reason="a table of theirs")
    frame = table.to_pandas()
    assert list(frame.columns) == list(table.columns[1:]) and list(frame.index) == [1, 2]
    assert frame["val_loss"][2] == 1 / 3
    pandas.testing.assert_frame_equal(pandas.read_csv(path, index_col="epoch"), frame)


def test_of_many_epochs_the_first_and_the_last_are_shown(tmp_path):
    loss = np.arange(100.0)
    table = History(step_loss=loss, lr=loss, loss=loss, seconds=1.0).table()
    shown = [line.split()[0] for line in str(table).splitlines()]
    assert shown == ["epoch", *map(str, range(1, 31)), "…", *map(str, range(71, 101))]
    assert len(table.rows) == 100 and len(table.to_csv(tmp_path / "all.csv").read_text().splitlines()) == 101


def test_nothing_yet():
    empty = History(step_loss=np.empty(0), lr=np.empty(0), loss=np.empty(0), seconds=0.0)
    assert repr(empty) == "History(no epoch finished)"
    assert empty.table().rows == () and str(empty.table()) == "epoch  loss"
    with pytest.raises(ValueError, match="no step"):
        empty.plot()


def test_time_of_the_parts_is_the_time_of_the_whole():
    class Sleep(at.callbacks.Callback):
        def on_epoch_end(self, trainer, info):
            import time

            time.sleep(0.02)

    history = fit(trainer(), callbacks=[Sleep()])
    parts = history["time"]
    names = {"data", "forward", "loss", "backward", "optimizer", "validation", "callbacks"}
    assert set(parts) == names
    assert all(value >= 0 for value in parts.values())
    assert parts["callbacks"] >= 3 * 0.02 and parts["backward"] > 0 and parts["validation"] > 0
    assert sum(parts.values()) <= history["seconds"] * 1.01 + 1e-3


def test_a_resumed_run_looks_like_one_that_nothing_interrupted(tmp_path):
    class PowerCut(at.callbacks.Callback):
        def on_epoch_end(self, trainer, info):
            if info["epoch"] == 1:
                raise OSError("no more power")

    undisturbed = fit(trainer(), epochs=4)
    callbacks = [at.callbacks.Checkpoint(tmp_path), PowerCut()]
    with pytest.raises(OSError, match="no more power"):
        fit(trainer(), epochs=4, callbacks=callbacks)
    log = at.callbacks.CSVLogger(tmp_path / "log.csv")
    again = at.train.resume(
        tmp_path, model=network(), loss=at.losses.CrossEntropy(), optimizer=at.optim.Adam(0.05)
    )
    resumed = again.fit(X, Y, validation=(X, Y), progress=False, callbacks=[log])
    assert set(resumed) == set(undisturbed)
    for name in undisturbed:
        if name not in ("seconds", "time"):
            np.testing.assert_array_equal(resumed[name], undisturbed[name], name)
    assert resumed.table().rows == undisturbed.table().rows
    with (tmp_path / "log.csv").open(newline="") as file:
        logged = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in logged] == list(undisturbed["loss"])[-len(logged) :]
    assert [int(row["epoch"]) for row in logged] == list(range(4))[-len(logged) :]


def test_plot_is_the_picture_of_viz():
    assert known().plot().svg == at.viz.training_curves(known()).svg

"""Ending early and keeping the best, by a number of each epoch."""

import numpy as np
import pytest

import attendo as at
from tolerance import assert_same_bits

X = np.linspace(-1, 1, 16, dtype="float32")[:, None]


class Scripted(at.callbacks.Callback):
    """Puts numbers of its own in place of what was measured."""

    def __init__(self, values):
        self.values, self.states = values, []

    def on_epoch_end(self, trainer, info):
        info["val_loss"] = info["val_accuracy"] = self.values[info["epoch"]]
        self.states.append(trainer.model.state_dict())


def run(values, callback, **options):
    script = Scripted(values)
    model = at.nn.Linear(1, 1, seed=0)
    t = at.train.Trainer(model, at.losses.MeanSquaredError(), at.optim.SGD(0.01), **options)
    history = t.fit(X, 2 * X, epochs=len(values), callbacks=[script, callback], progress=False)
    return t, script, len(history["loss"])


@pytest.mark.parametrize(
    "values, options, epochs, best",
    [
        ([5, 4, 3, 2, 1], {"patience": 1}, 5, 1),
        ([5, 4, 4.5, 3, 2], {"patience": 1}, 3, 4),
        ([5, 4, 4.5, 3, 3.5, 3.2, 1], {"patience": 2}, 6, 3),
        ([5, 4, 3.95, 3.9, 1], {"patience": 2, "min_delta": 0.2}, 4, 4),
        ([5, float("nan"), float("nan"), 1], {"patience": 2}, 3, 5),
        ([5, 5, 5, 5], {"patience": 3}, 4, 5),
        ([1, 2, 3, 2.5, 2], {"patience": 2, "monitor": "val_accuracy"}, 5, 3),
        ([1, 2, 3, 2.5, 2, 1], {"patience": 2, "mode": "max"}, 5, 3),
    ],
)
def test_when_it_ends(values, options, epochs, best):
    stopping = at.callbacks.EarlyStopping(**options)
    _, _, made = run(values, stopping)
    assert made == epochs and stopping.best == best
    ended = epochs < len(values) or (options["patience"] == 2 and epochs == 5 and values[-1] == 2)
    assert (stopping.stopped_epoch is not None) == ended or stopping.stopped_epoch == epochs - 1


@pytest.mark.parametrize("average", [None, 0.5])
def test_the_best_parameters_come_back(average):
    values = [5, 2, 3, 4, 4]
    for callback in (
        at.callbacks.EarlyStopping(patience=2, restore_best=True),
        at.callbacks.BestModel("val_loss"),
    ):
        t, script, _ = run(values, callback, average=average)
        now = t.model.state_dict()
        if average is None:
            for name, value in script.states[1].items():
                assert_same_bits(now[name], value)
        else:  # what validation saw was the average
            assert not np.array_equal(now["weight"], script.states[1]["weight"])
        assert callback.best == 2
    assert callback.best_epoch == 1


def test_a_callback_serves_twice():
    stopping = at.callbacks.EarlyStopping(patience=1)
    assert run([1, 2, 3], stopping)[2] == 2
    assert run([9, 8, 9, 9], stopping)[2] == 3 and stopping.best == 8


def test_stop_ends_after_the_batch():
    class Stop(at.callbacks.Callback):
        def on_batch_end(self, trainer, info):
            if info["step"] == 3:
                trainer.stop()

    t = at.train.Trainer(at.nn.Linear(1, 1, seed=0), at.losses.MeanSquaredError(), at.optim.SGD(0.01))
    history = t.fit(X, X, epochs=5, batch_size=8, callbacks=[Stop()], progress=False)
    assert len(history["step_loss"]) == 3 and len(history["loss"]) == 1
    assert len(t.fit(X, X, epochs=5, batch_size=8, progress=False)["loss"]) == 5


@pytest.mark.parametrize(
    "options, error, says",
    [
        ({"patience": 0}, ValueError, "patience is 0"),
        ({"patience": 1.5}, TypeError, "patience is a float"),
        ({"patience": True}, TypeError, "patience is a bool"),
        ({"min_delta": -1}, ValueError, "min_delta is -1"),
        ({"min_delta": float("nan")}, ValueError, "min_delta is nan"),
        ({"mode": "up"}, ValueError, "mode is 'up'"),
        ({"monitor": ""}, TypeError, "monitor is ''"),
    ],
)
def test_errors(options, error, says):
    with pytest.raises(error, match="EarlyStopping: " + says):
        at.callbacks.EarlyStopping(**options)


def test_a_number_that_no_epoch_gives():
    t = at.train.Trainer(at.nn.Linear(1, 1, seed=0), at.losses.MeanSquaredError(), at.optim.SGD(0.01))
    with pytest.raises(
        ValueError, match=r"monitor is 'val_f1' but an epoch gives.*val_\.\.\. come with validation="
    ):
        t.fit(X, X, callbacks=[at.callbacks.EarlyStopping("val_f1")], progress=False)


@pytest.mark.parametrize(
    "name, sign",
    [
        ("val_mae", 1),
        ("val_rmse", 1),
        ("val_brier_score", 1),
        ("epoch_loss", 1),
        ("val_macro_f1", -1),
        ("val_bleu", -1),
    ],
)
def test_what_names_tell(name, sign):
    from attendo.callbacks.monitor import Monitor

    assert Monitor("x", name, "auto").sign == sign


def test_a_name_that_tells_nothing():
    for make in (at.callbacks.EarlyStopping, at.callbacks.BestModel):
        with pytest.raises(ValueError, match="mode is 'auto' but 'val_speed' does not tell"):
            make("val_speed")
    assert at.callbacks.BestModel("val_speed", mode="max").best is None


def test_what_a_plateau_schedule_observes():
    def lrs(values, **options):
        schedule = at.schedules.plateau(0.1, factor=0.5, patience=0, mode=options.pop("mode", "min"))
        seen = iter(values)
        t = at.train.Trainer(
            at.nn.Linear(1, 1, seed=0),
            at.losses.MeanSquaredError(),
            at.optim.SGD(schedule),
            metrics={"score": lambda p, y: next(seen)},
            **options,
        )
        t.fit(X, X, epochs=len(values), validation=(X, X), progress=False)
        return t.optimizer.lr

    assert lrs([1, 2, 3, 4], mode="max", monitor="val_score") == 0.1
    assert lrs([4, 3, 2, 1], mode="max", monitor="val_score") == 0.1 * 0.5**3
    assert lrs([4, 3, 2, 1], monitor="val_score") == 0.1
    assert lrs([1, 2, 3, 4]) == 0.1  # of val_loss, which falls
    with pytest.raises(ValueError, match="waits for a maximum; say of what"):
        lrs([1, 2], mode="max")
    with pytest.raises(ValueError, match="monitor is 'val_other' but an epoch gives"):
        lrs([1, 2], monitor="val_other")
    with pytest.raises(TypeError, match="monitor is a int"):
        lrs([1, 2], monitor=3)

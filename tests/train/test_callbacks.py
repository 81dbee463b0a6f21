"""What a Trainer calls between batches, and how it stops: by an exception, by Ctrl-C."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import attendo as at
from tolerance import assert_same_bits

rng = np.random.default_rng(0)
X = rng.standard_normal((50, 6)).astype(np.float32)
Y = rng.integers(0, 3, 50)


def network(dropout=0.0):
    model = at.nn.Sequential(
        at.nn.Linear(6, 40), at.nn.ReLU(), at.nn.Dropout(dropout), at.nn.BatchNorm1d(40), at.nn.Linear(40, 3)
    )
    model.reset_parameters(0)
    return model


def trainer(model=None):
    return at.train.Trainer(model or network(), at.losses.CrossEntropy(), at.optim.Adam(0.05))


def fit(t, **options):
    return t.fit(X, Y, **{"epochs": 3, "batch_size": 8, "progress": False, **options})


class Recorder(at.callbacks.Callback):
    """Writes down what it is told."""

    def __init__(self):
        self.events, self.infos = [], []

    def on_train_begin(self, trainer):
        self.events.append("begin")

    def on_step(self, trainer, info):
        self.infos.append(info)
        self.events.append("step")

    def on_epoch_end(self, trainer, info):
        self.events.append(f"epoch {info['epoch']}")

    def on_train_end(self, trainer):
        self.events.append("end")


def test_callbacks_are_told_in_order():
    recorder = Recorder()
    t = trainer()
    fit(t, callbacks=[recorder])
    events = [e for i, e in enumerate(recorder.events) if e != "step" or recorder.events[i - 1] != "step"]
    assert events == ["begin", "step", "epoch 0", "step", "epoch 1", "step", "epoch 2", "end"]
    info = recorder.infos[-1]
    assert set(info) == {"step", "steps", "epoch", "epochs", "loss", "lr", "steps_per_second", "seconds"}
    assert (info["step"], info["steps"], info["epoch"], info["epochs"]) == (21, 21, 2, 3)
    assert info["lr"] == 0.05 and info["seconds"] > 0 and info["steps_per_second"] > 0


def test_callbacks_get_the_trainer_and_may_have_any_of_the_methods():
    seen = []

    class Partial:
        def on_epoch_end(self, trainer, info):
            seen.append(trainer)

    t = trainer()
    fit(t, callbacks=(c for c in [Partial()]))
    assert seen == [t, t, t]


def test_on_step_comes_every_now_and_then():
    """Often enough for a bar, seldom enough to cost nothing."""
    recorder = Recorder()
    start = time.perf_counter()
    fit(trainer(), epochs=150, callbacks=[recorder])
    seconds = time.perf_counter() - start
    between = recorder.events.count("step") - 150  # one at the end of each epoch
    assert between <= seconds / 0.05 + 1


def test_callbacks_do_not_change_the_result():
    alone, watched = network(dropout=0.2), network(dropout=0.2)
    fit(trainer(alone))

    class Busy(at.callbacks.Callback):
        def on_epoch_end(self, trainer, info):
            trainer.evaluate(X, Y)
            trainer.predict(X)
            trainer.model(X)

    fit(trainer(watched), callbacks=[Busy()], validation=(X, Y))
    state = watched.state_dict()
    for name, value in alone.state_dict().items():
        if "running" not in name:  # Busy called the model in training mode: batch norm has seen it
            assert_same_bits(state[name], value, name)


@pytest.mark.parametrize("event", ["on_train_begin", "on_step", "on_epoch_end", "on_train_end"])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_an_exception_in_a_callback_comes_out(event, error):
    def fail(self, *args):
        raise error("stop here")

    recorder, model = Recorder(), network()
    t = trainer(model)
    failing = type("Failing", (), {event: fail})()
    with pytest.raises(error, match="stop here"):
        fit(t, callbacks=[recorder, failing])
    assert recorder.events[-1] == "end"
    assert all(module.training for module in model.modules())
    assert np.isfinite(t.predict(X)).all()
    assert len(fit(t)["loss"]) == 3


def test_an_exception_in_forward_comes_out():
    class Failing(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.calls = at.nn.Linear(6, 3), 0

        def forward(self, x):
            self.calls += 1
            if self.calls == 4:
                raise ZeroDivisionError("mine")
            return self.layer(x)

    t = trainer(Failing())
    with pytest.raises(ZeroDivisionError, match="mine"):
        fit(t)
    assert t.model.calls == 4
    assert len(fit(t)["loss"]) == 3


INTERRUPTED = """
import signal, sys, time
import numpy as np
import attendo as at

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts without it

class Say:
    def on_step(self, trainer, info):
        print("training", flush=True)

model = at.models.Transformer(64, 4, 2, 2, 256, 30, 30, 40, seed=0)
ids = np.random.default_rng(0).integers(1, 30, (2000, 40))
trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam())
callbacks = [Say()] if sys.argv[1] == "told" else print("training", flush=True) or []
try:
    trainer.fit((ids, ids), ids, epochs=100, callbacks=callbacks, progress=False)
except KeyboardInterrupt:
    trainer.predict((ids[:2], ids[:2]))
    print("stopped", trainer.optimizer.steps > 0, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("told", ["told", "alone"])
def test_ctrl_c_stops_within_a_second(told):
    command = [sys.executable, "-c", INTERRUPTED, told]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "training\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        start = time.perf_counter()
        rest = process.communicate(timeout=20)[0]
        seconds = time.perf_counter() - start
    assert rest.endswith("stopped True\n") and process.returncode == 0
    assert seconds < 5  # far from the hundred epochs; a busy machine takes its time to end the interpreter


def test_progress_is_quiet_where_there_is_no_terminal(capsys):
    fit(trainer(), progress=True)
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""


def test_the_bar_shows_loss_and_speed(capsys):
    fit(trainer(), callbacks=[at.callbacks.ProgressBar(always=True)])
    text = capsys.readouterr().err
    assert "21/21" in text and "loss=" in text and "lr=" in text

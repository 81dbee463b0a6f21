"""The bar: where it shows itself, what it says, and that it always closes."""

import builtins
import struct
import subprocess
import sys
import types

import numpy as np
import pytest

import attendo as at
from attendo.callbacks import progress

X, Y = np.ones((16, 2), np.float32), np.zeros(16, np.int64)


def fit(*callbacks, **options):
    trainer = at.train.Trainer(at.nn.Linear(2, 3, seed=0), at.losses.CrossEntropy(), at.optim.SGD(0.1))
    return trainer.fit(
        X, Y, **{"epochs": 2, "batch_size": 4, "progress": False, "callbacks": callbacks, **options}
    )


def test_a_terminal_shows_the_validation_at_the_end_of_an_epoch(capsys):
    bar = at.callbacks.ProgressBar(always=True)

    class Values(at.callbacks.Callback):
        def on_epoch_end(self, trainer, info):
            bar.on_epoch_end(trainer, {**info, "val_loss": 0.25, "val_accuracy": 0.875})

    fit(bar, Values())
    text = capsys.readouterr().err
    assert "8/8" in text and "val_loss=0.25" in text and "val_accuracy=0.875" in text and "epoch=2" in text


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_the_bar_closes_when_training_stops_with_an_error(error, capsys):
    from tqdm.std import tqdm

    class Fail(at.callbacks.Callback):
        def on_epoch_end(self, trainer, info):
            raise error

    bar = at.callbacks.ProgressBar(always=True)
    with pytest.raises(error):
        fit(bar, Fail())
    assert bar._bar is None and not list(tqdm._instances)
    assert capsys.readouterr().err.endswith("\n")  # the next line of the terminal is free


def test_a_notebook_without_widgets_gets_a_line_of_text_and_no_warning(monkeypatch, capsys):
    real = builtins.__import__

    def no_widgets(name, *args, **kwargs):
        if name.split(".")[0] == "ipywidgets":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setattr(builtins, "__import__", no_widgets)
    fit(at.callbacks.ProgressBar())
    assert "8/8" in capsys.readouterr().err


def test_a_notebook_with_widgets_gets_the_widget(monkeypatch):
    widget = type("Widget", (), {})
    notebook = types.ModuleType("tqdm.notebook")
    notebook.tqdm = widget
    for name, module in {"ipykernel": None, "ipywidgets": None, "tqdm.notebook": notebook}.items():
        monkeypatch.setitem(sys.modules, name, module or types.ModuleType(name))
    assert progress._bar_class() is widget


def test_quiet_in_a_pipe_and_shown_in_a_terminal():
    program = (
        "import numpy as np, attendo as at\n"
        "x = np.ones((16, 2), 'float32')\n"
        "t = at.train.Trainer(at.nn.Linear(2, 2), at.losses.MeanSquaredError(), at.optim.SGD(0.1))\n"
        "t.fit(x, x, batch_size=4)\n"
    )
    piped = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    assert piped.stdout == piped.stderr == ""
    pty = pytest.importorskip("pty", reason="a terminal to write to: POSIX only")
    import fcntl
    import os
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with subprocess.Popen([sys.executable, "-W", "error", "-c", program], stderr=slave) as process:
        os.close(slave)
        text = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:  # Linux says so at the end
                break
            if not part:
                break
            text += part
    os.close(master)
    assert process.returncode == 0 and b"4/4" in text and b"loss=" in text


def test_always_must_be_a_bool():
    with pytest.raises(TypeError, match="ProgressBar: always is 'no', a str, but must be a bool"):
        at.callbacks.ProgressBar(always="no")


def test_steps_made_before_do_not_count_as_speed():
    """Training that was resumed at step 900 and has made 100 since, in a second."""
    bar = at.callbacks.ProgressBar(always=True)
    info = {"step": 1000, "steps": 2000, "epoch": 4, "epochs": 9, "loss": 1.0, "lr": 0.1}
    bar.on_step(None, {**info, "steps_per_second": 100.0, "seconds": 1.0})
    assert bar._bar.initial == 900 and bar._bar.n == 1000
    bar.on_train_end(None)

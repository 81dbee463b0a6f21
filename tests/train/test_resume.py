"""A run that was interrupted ends as one that was not: the same bits, the same history."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import attendo as at
from tolerance import assert_same_bits

rng = np.random.default_rng(0)
IDS = rng.integers(1, 9, (52, 6))
Y = rng.integers(0, 3, 52)


class Net(at.nn.Module):
    """With all that has a state: dropout, running statistics, a table with sparse gradients or not."""

    def __init__(self, sparse=False):
        super().__init__()
        self.embedding = at.nn.Embedding(9, 16, sparse=sparse, seed=0)
        self.dropout = at.nn.Dropout(0.3)
        self.hidden = at.nn.Linear(16, 12, seed=1)
        self.norm = at.nn.BatchNorm1d(12)
        self.out = at.nn.Linear(12, 3, seed=2)

    def forward(self, ids):
        return self.out(self.norm(self.hidden(self.dropout(self.embedding(ids)).mean(axis=1))).tanh())


class Stop(Exception):
    pass


class StopAt(at.callbacks.Callback):
    """The power goes after so many steps."""

    def __init__(self, step):
        self.step = step

    def on_batch_end(self, trainer, info):
        if info["step"] == self.step:
            raise Stop


OPTIMIZERS = {
    "sgd": lambda: at.optim.SGD(at.schedules.step(0.1, 5, 0.5), momentum=0.9),
    "adam": lambda: at.optim.Adam(at.schedules.cosine(0.01, 30, warmup=5)),
    "adamw": lambda: at.optim.AdamW(0.01),
}


def start(optimizer="adamw", model=None, **options):
    return at.train.Trainer(
        model or Net(), at.losses.CrossEntropy(), OPTIMIZERS[optimizer](), seed=5, clip_norm=1.0, **options
    )


def fit(t, folder, step=None, **options):
    callbacks = [*options.pop("callbacks", []), at.callbacks.Checkpoint(folder, every_steps=1, keep=3)]
    if step is not None:
        callbacks.append(StopAt(step))
    return t.fit(IDS, Y, callbacks=callbacks, progress=False, **options)


def assert_same_run(one, other):
    (a, first), (b, second) = one, other
    for name in (*(n for n in first if n.startswith("val_")), "step_loss", "lr", "loss"):
        assert_same_bits(second[name], first[name], name)
    states = a.model.state_dict(), b.model.state_dict()
    for name, value in states[0].items():
        assert_same_bits(states[1][name], value, name)
    for name, value in a.optimizer.state.items():
        assert_same_bits(b.optimizer.state[name], value, name)


SETTINGS = {"epochs": 3, "batch_size": 8}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("step", [1, 6, 7, 8, 20])
def test_after_any_step(tmp_path, optimizer, step):
    undisturbed = start(optimizer)
    whole = fit(undisturbed, tmp_path / "a", validation=(IDS, Y), **SETTINGS)
    with pytest.raises(Stop):
        fit(start(optimizer), tmp_path / "b", step, validation=(IDS, Y), **SETTINGS)
    resumed = at.train.resume(tmp_path / "b", model=Net())
    again = fit(resumed, tmp_path / "b", validation=(IDS, Y), **SETTINGS)
    assert_same_run((undisturbed, whole), (resumed, again))


def test_interrupted_again_and_again(tmp_path):
    undisturbed = start()
    whole = fit(undisturbed, tmp_path / "a", **SETTINGS)
    t = start()
    for step in (2, 3, 9, 14):
        with pytest.raises(Stop):
            fit(t, tmp_path / "b", step, **SETTINGS)
        t = at.train.resume(tmp_path / "b", model=Net())
    assert_same_run((undisturbed, whole), (t, fit(t, tmp_path / "b", **SETTINGS)))


@pytest.mark.parametrize(
    "trainer_options, fit_options",
    [
        ({"accumulate": 3}, {"batch_size": 4}),
        ({}, {"sample_weight": rng.random(52).astype(np.float32)}),
        ({}, {"bucket_by": rng.integers(1, 9, 52), "batch_size": 8}),
        ({}, {"augment": lambda x, y, g: ((np.where(g.random(x[0].shape) < 0.1, 0, x[0]),), y)}),
        ({}, {"shuffle": False}),
    ],
)
def test_with_every_option(tmp_path, trainer_options, fit_options):
    settings = {"epochs": 3, **fit_options}
    undisturbed = start(**trainer_options)
    whole = fit(undisturbed, tmp_path / "a", **settings)
    with pytest.raises(Stop):
        fit(start(**trainer_options), tmp_path / "b", 3, **settings)
    resumed = at.train.resume(tmp_path / "b", model=Net())
    assert_same_run((undisturbed, whole), (resumed, fit(resumed, tmp_path / "b", **settings)))


def test_sparse_tables(tmp_path):
    def begin():
        return at.train.Trainer(Net(sparse=True), at.losses.CrossEntropy(), at.optim.Adam(0.01), seed=5)

    undisturbed = begin()
    whole = fit(undisturbed, tmp_path / "a", **SETTINGS)
    with pytest.raises(Stop):
        fit(begin(), tmp_path / "b", 9, **SETTINGS)
    resumed = at.train.resume(tmp_path / "b", model=Net(sparse=True))
    assert_same_run((undisturbed, whole), (resumed, fit(resumed, tmp_path / "b", **SETTINGS)))


def test_models_of_the_package_need_nothing_but_the_folder(tmp_path):
    def begin():
        model = at.models.EncoderClassifier(9, 8, 2, 1, 6, 3, dropout=0.2, seed=0)
        model.parameters()[0].requires_grad = False
        return at.train.Trainer(
            model, at.losses.CrossEntropy(label_smoothing=0.1), at.optim.AdamW(0.01), seed=1
        )

    undisturbed = begin()
    whole = fit(undisturbed, tmp_path / "a", **SETTINGS)
    with pytest.raises(Stop):
        fit(begin(), tmp_path / "b", 9, **SETTINGS)
    resumed = at.train.resume(tmp_path / "b")
    again = resumed.fit(IDS, Y, progress=False)  # epochs, batch_size and checkpoints as they were
    assert_same_run((undisturbed, whole), (resumed, again))
    frozen = [name for name, p in resumed.model.named_parameters() if not p.requires_grad]
    assert len(frozen) == 1
    at.train.resume(tmp_path / "b")  # it went on writing there


def test_a_finished_run_ends_at_once(tmp_path):
    t = start()
    whole = fit(t, tmp_path, **SETTINGS)
    resumed = at.train.resume(tmp_path, model=Net())
    assert_same_run((t, whole), (resumed, resumed.fit(IDS, Y, progress=False)))
    longer = at.train.resume(tmp_path, model=Net())
    assert len(longer.fit(IDS, Y, epochs=5, progress=False)["loss"]) == 5


def test_early_stopping_goes_on(tmp_path):
    other = rng.integers(0, 3, 52)

    def stopping():
        return at.callbacks.EarlyStopping("val_loss", patience=4, restore_best=True)

    settings = {"epochs": 40, "batch_size": 8, "validation": (IDS, other)}
    undisturbed = start()
    whole = fit(undisturbed, tmp_path / "a", callbacks=[stopping()], **settings)
    assert 4 < len(whole["loss"]) < 40
    with pytest.raises(Stop):
        fit(start(), tmp_path / "b", 7 * (len(whole["loss"]) - 2) + 3, callbacks=[stopping()], **settings)
    resumed = at.train.resume(tmp_path / "b", model=Net())
    with pytest.raises(
        ValueError, match="the interrupted run had a EarlyStopping in callbacks; give it again"
    ):
        resumed.fit(IDS, Y, validation=(IDS, other), progress=False)
    again = fit(resumed, tmp_path / "b", callbacks=[stopping()], **settings)
    assert_same_run((undisturbed, whole), (resumed, again))


def test_an_objective_with_a_state_goes_on(tmp_path):
    class Drift(at.train.Objective):
        repeats = 2

        def __init__(self):
            self.noise = np.zeros((1,), np.float32)

        def loss(self, trainer, batch):
            self.noise = self.noise + batch.rng.normal(0, 0.01, 1).astype(np.float32)
            return trainer.batch_loss(batch) * (1 + float(self.noise[0]))

        def state_dict(self):
            return {"noise": self.noise}

        def load_state_dict(self, state):
            self.noise = state["noise"]

    undisturbed = start(objective=Drift())
    whole = fit(undisturbed, tmp_path / "a", **SETTINGS)
    assert len(whole["step_loss"]) == 2 * 21
    with pytest.raises(Stop):
        fit(start(objective=Drift()), tmp_path / "b", 18, **SETTINGS)
    resumed = at.train.resume(tmp_path / "b", model=Net(), objective=Drift())
    assert_same_run((undisturbed, whole), (resumed, fit(resumed, tmp_path / "b", **SETTINGS)))


# ----------------------------------------------------------------------------------------------- other things


def interrupted(folder, **options):
    with pytest.raises(Stop):
        fit(start(**options), folder, 9, **SETTINGS)


@pytest.mark.parametrize(
    "data, options, says",
    [
        ((IDS, Y), {"batch_size": 4}, "batch_size is 4 but the interrupted run had 8"),
        ((IDS, Y), {"epochs": 2}, "epochs is 2 but the interrupted run had 3"),
        ((IDS, Y), {"shuffle": False}, "shuffle is False but the interrupted run had True"),
        ((IDS[:50], Y[:50]), {}, "inputs is not what"),
        ((IDS, (Y + 1) % 3), {}, "target is not what"),
    ],
)
def test_what_must_be_as_it_was(tmp_path, data, options, says):
    interrupted(tmp_path)
    t = at.train.resume(tmp_path, model=Net())
    with pytest.raises(ValueError, match=says):
        t.fit(*data, progress=False, **options)


def test_what_must_be_given(tmp_path):
    interrupted(tmp_path)
    with pytest.raises(ValueError, match="holds a Net, which is no model of attendo's: give model="):
        at.train.resume(tmp_path)
    with pytest.raises(ValueError, match="model is a Linear but the run was of a Net"):
        at.train.resume(tmp_path, model=at.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="loss is a MeanSquaredError but that of the run was a CrossEntropy"):
        at.train.resume(tmp_path, model=Net(), loss=at.losses.MeanSquaredError())
    with pytest.raises(ValueError, match="optimizer is a SGD but that of the run was a AdamW"):
        at.train.resume(tmp_path, model=Net(), optimizer=at.optim.SGD(0.1))


# ----------------------------------------------------------------------------------------------------- killed

RUN = textwrap.dedent("""
    import sys, time
    import numpy as np, attendo as at
    folder, result = sys.argv[1:]
    rng = np.random.default_rng(0)
    ids, y = rng.integers(0, 9, (160, 6)), rng.integers(0, 3, 160)

    class Slow(at.callbacks.Callback):  # so that the power goes at every place
        def on_batch_end(self, trainer, info):
            time.sleep(0.002)

    def noise(inputs, targets, generator):
        return (np.where(generator.random(inputs[0].shape) < 0.1, 0, inputs[0]),), targets

    try:
        trainer = at.train.resume(folder)
    except FileNotFoundError:
        model = at.models.EncoderClassifier(9, 16, 2, 2, 6, 3, dropout=0.2, seed=0)
        trainer = at.train.Trainer(model, at.losses.CrossEntropy(label_smoothing=0.1),
                                   at.optim.AdamW(at.schedules.cosine(1e-2, 700, warmup=40)),
                                   seed=3, clip_norm=1.0, accumulate=2)
    history = trainer.fit(ids, y, epochs=70, batch_size=8, validation=(ids, y), augment=noise, progress=False,
                          callbacks=[Slow(), at.callbacks.Checkpoint(folder, every_steps=2, best="val_loss")])
    state = {f"model.{k}": v for k, v in trainer.model.state_dict().items()}
    state |= {f"optimizer.{k}": v for k, v in trainer.optimizer.state.items()}
    state |= {k: history[k] for k in ("step_loss", "lr", "loss", "val_loss", "val_accuracy")}
    np.savez(result, **state)
""")


def run(folder, result, kill_after=None):
    """True when it came to its end."""
    # Warnings are errors: a checkpoint that is damaged would be one.
    process = subprocess.Popen(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", RUN, str(folder), str(result)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return False
    assert process.returncode == 0, out.decode()
    return True


def killed_run(tmp_path, kills):
    assert run(tmp_path / "whole", tmp_path / "whole.npz", 300)
    before = time.monotonic()
    choose = random.Random(0)
    done = 0
    while done < kills:
        # Longer each time it gets nowhere: starting alone takes a while on a busy machine.
        assert time.monotonic() - before < 600
        if run(tmp_path / "killed", tmp_path / "killed.npz", choose.uniform(0.1, 1.2)):
            break
        done += 1
    finished_early = done < kills
    if not finished_early:
        assert run(tmp_path / "killed", tmp_path / "killed.npz", 300)
    whole, killed = np.load(tmp_path / "whole.npz"), np.load(tmp_path / "killed.npz")
    assert sorted(whole) == sorted(killed)
    for name in whole:
        assert_same_bits(killed[name], whole[name], name)
    best = [at.load(tmp_path / folder / "best.safetensors").state_dict() for folder in ("whole", "killed")]
    for name, value in best[0].items():
        assert_same_bits(best[1][name], value, name)
    return done


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_at_any_moment(tmp_path):
    assert killed_run(tmp_path, 3) >= 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_twenty_times(tmp_path):
    done = 0
    for attempt in range(8):
        (tmp_path / str(attempt)).mkdir()
        done += killed_run(tmp_path / str(attempt), 20 - done)
        if done >= 20:
            break
    assert done >= 20


def test_a_model_with_low_rank_updates(tmp_path):
    def begin():
        model = at.models.EncoderClassifier(9, 8, 2, 1, 6, 3, dropout=0.2, seed=0)
        at.peft.lora(model, rank=2, seed=0)
        return at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.AdamW(0.01), seed=1)

    undisturbed = begin()
    whole = fit(undisturbed, tmp_path / "a", **SETTINGS)
    with pytest.raises(Stop):
        fit(begin(), tmp_path / "b", 9, **SETTINGS)
    resumed = at.train.resume(tmp_path / "b")
    assert_same_run((undisturbed, whole), (resumed, resumed.fit(IDS, Y, progress=False)))


def test_an_average_of_the_weights_goes_on(tmp_path):
    undisturbed = start(average=0.9)
    whole = fit(undisturbed, tmp_path / "a", validation=(IDS, Y), **SETTINGS)
    with pytest.raises(Stop):
        fit(start(average=0.9), tmp_path / "b", 9, validation=(IDS, Y), **SETTINGS)
    resumed = at.train.resume(tmp_path / "b", model=Net())
    assert_same_run(
        (undisturbed, whole), (resumed, fit(resumed, tmp_path / "b", validation=(IDS, Y), **SETTINGS))
    )
    for name, value in undisturbed.average.state.items():
        assert_same_bits(resumed.average.state[name], value, name)


def test_a_schedule_that_waits_for_a_plateau_goes_on(tmp_path):
    def begin():
        schedule = at.schedules.plateau(0.05, factor=0.5, patience=1)
        return at.train.Trainer(Net(), at.losses.CrossEntropy(), at.optim.SGD(schedule), seed=5)

    settings = {"epochs": 12, "batch_size": 8, "validation": (IDS, np.roll(Y, 1))}
    undisturbed = begin()
    whole = fit(undisturbed, tmp_path / "a", **settings)
    assert len(set(whole["lr"])) > 2
    with pytest.raises(Stop):
        fit(begin(), tmp_path / "b", 60, **settings)
    resumed = at.train.resume(tmp_path / "b", model=Net())
    assert_same_run((undisturbed, whole), (resumed, fit(resumed, tmp_path / "b", **settings)))


# ------------------------------------------------------------------------- errors in the middle of something


def test_a_call_that_was_refused_changes_nothing(tmp_path):
    undisturbed = start()
    whole = fit(undisturbed, tmp_path / "a", **SETTINGS)
    interrupted(tmp_path / "b")
    resumed = at.train.resume(tmp_path / "b", model=Net())
    for wrong in (
        {"bucket_by": True},
        {"augment": lambda x, y, g: (x, y)},
        {"validation": (IDS, Y)},
        {"shuffle": "no"},
        {"callbacks": 3},
        {"epochs": "7"},
    ):
        with pytest.raises((ValueError, TypeError), match="fit: "):
            resumed.fit(IDS, Y, progress=False, **wrong)
    with pytest.raises(ValueError, match=r"3 features|inputs is not what|shape"):
        resumed.fit(IDS[:, :3], Y, progress=False)
    assert_same_run((undisturbed, whole), (resumed, fit(resumed, tmp_path / "b", **SETTINGS)))


@pytest.mark.parametrize("where", ["validation", "callback", "batch"])
def test_ctrl_c_anywhere_loses_no_epoch(tmp_path, where):
    """In a metric, in a callback at the end of an epoch, after a batch."""

    class Later(at.callbacks.Callback):
        def __init__(self, armed):
            self.armed, self.epochs = armed, []

        def on_epoch_end(self, trainer, info):
            self.epochs.append(info["epoch"])
            if self.armed and where == "callback" and info["epoch"] == 1:
                raise KeyboardInterrupt

        def on_batch_end(self, trainer, info):
            if self.armed and where == "batch" and info["step"] == 10:
                raise KeyboardInterrupt

        def state_dict(self):
            return {"epochs": self.epochs}

        def load_state_dict(self, state):
            self.epochs = state["epochs"]

    def run(folder, armed):
        measured = []

        def metric(prediction, target):
            measured.append(1)
            if armed and where == "validation" and len(measured) == 2:
                raise KeyboardInterrupt
            return float(prediction.mean())

        later = Later(armed)
        if (folder / "checkpoint-0000000000.safetensors").exists() or list(folder.glob("checkpoint-*")):
            t = at.train.resume(folder, model=Net(), metrics={"m": metric})
        else:
            t = start(metrics={"m": metric})
        options = {"validation": (IDS, Y), "callbacks": [later], **SETTINGS}
        if armed:
            with pytest.raises(KeyboardInterrupt):
                fit(t, folder, **options)
            return None
        return t, fit(t, folder, **options), later

    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    whole = run(tmp_path / "a", False)
    run(tmp_path / "b", True)
    again = run(tmp_path / "b", False)
    assert_same_run(whole[:2], again[:2])
    assert again[2].epochs == whole[2].epochs == [0, 1, 2]


@pytest.mark.parametrize("fails_in", ["repeat", "micro-batch"])
def test_an_error_in_the_middle_of_a_step(tmp_path, fails_in):
    """The checkpoint before is where the run goes on: half a step is none."""

    class Fails(at.train.Objective):
        repeats = 3 if fails_in == "repeat" else 1

        def __init__(self, armed):
            self.armed, self.calls = armed, 0

        def loss(self, trainer, batch):
            self.calls += 1
            if self.armed and self.calls == 8:
                raise Stop
            return trainer.batch_loss(batch)

    options = {"accumulate": 2 if fails_in == "micro-batch" else 1}
    undisturbed = start(objective=Fails(False), **options)
    whole = fit(undisturbed, tmp_path / "a", **SETTINGS)
    with pytest.raises(Stop):
        fit(start(objective=Fails(True), **options), tmp_path / "b", **SETTINGS)
    resumed = at.train.resume(tmp_path / "b", model=Net(), objective=Fails(False))
    assert_same_run((undisturbed, whole), (resumed, fit(resumed, tmp_path / "b", **SETTINGS)))


def test_a_loss_that_is_not_finite_spoils_no_checkpoint(tmp_path):
    bad = Y.astype(np.float64)

    def loss(prediction, target):
        bad[0] += 1
        y = at.functional.cross_entropy(prediction, Y[: prediction.shape[0]])
        return y * float("nan") if bad[0] > Y[0] + 8 else y

    t = at.train.Trainer(Net(), loss, at.optim.SGD(0.1), seed=5)
    with pytest.raises(ValueError, match="the loss is nan at step 9"):
        fit(t, tmp_path, **SETTINGS)
    resumed = at.train.resume(tmp_path, model=Net(), loss=at.losses.from_function(loss))
    assert resumed.optimizer.steps <= 8
    assert all(np.isfinite(value).all() for value in resumed.model.state_dict().values())

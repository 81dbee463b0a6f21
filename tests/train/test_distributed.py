"""Training on several processes of MPI: that it equals training on one, and how a job ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import distributed_job
import numpy as np
import pytest

import attendo as at
from attendo.train import distributed as module

JOB = Path(distributed_job.__file__)
SIZE = 4


@pytest.fixture(scope="module")
def mpiexec():
    """The one that belongs to mpi4py's MPI: beside Python, or where mpi4py was installed."""
    mpi4py = pytest.importorskip("mpi4py", reason="needs mpi4py and an MPI (the extra mpi)")
    if (beside := Path(sys.executable).parent / "mpiexec").is_file():
        return str(beside)
    for folder in Path(mpi4py.__file__).parents:
        if (folder / "bin/mpiexec").is_file():
            for library in folder.glob("lib/libmpi.so.*"):  # not of this Python: mpi4py has to be told
                os.environ.setdefault("MPI4PY_LIBMPI", str(library))
            return str(folder / "bin/mpiexec")
    return shutil.which("mpiexec") or pytest.skip("there is no mpiexec")


def started(mpiexec, case, folder, size=SIZE, **options):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [mpiexec, "-n", str(size), sys.executable, "-W", "error", str(JOB), case, str(folder)]
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )


def run(mpiexec, case, folder, size=SIZE):
    """The exit code of the job and what it said; a job that hangs fails."""
    process = started(mpiexec, case, folder, size)
    try:
        output, _ = process.communicate(timeout=600)
    finally:
        process.kill()
    return process.returncode, output


def results(folder, name, size=SIZE):
    code_and_arrays = []
    for rank in range(size):
        with np.load(folder / f"{name}-{rank}.npz") as arrays:
            code_and_arrays.append({key: arrays[key] for key in arrays.files})
    return code_and_arrays


def assert_same_in_all(of_ranks):
    for other in of_ranks[1:]:
        assert other.keys() == of_ranks[0].keys()
        for name, value in of_ranks[0].items():
            assert np.array_equal(value, other[name]), name


# ------------------------------------------------------------------------------------------ the same training


@pytest.fixture(scope="module")
def curves(mpiexec, tmp_path_factory):
    folder = tmp_path_factory.mktemp("curves")
    code, output = run(mpiexec, "curves", folder)
    assert code == 0, output
    return {name: results(folder, name) for name in [*distributed_job.CURVES, "again"]}


@pytest.mark.parametrize("name", distributed_job.CURVES)
def test_four_processes_train_as_one_with_the_whole_batch(curves, name):
    """The same losses, of steps, epochs and validations, and the same parameters, to rounding."""
    options = distributed_job.CURVES[name]
    alone = distributed_job.train(batch_size=16, **options)
    together = curves[name][0]
    assert together.keys() == alone.keys()
    assert len(alone["step_loss"]) > 3
    tolerance = 2e-5 if options.get("dtype") == "float32" else 1e-10
    for key, value in alone.items():
        np.testing.assert_allclose(together[key], value, rtol=tolerance, atol=tolerance, err_msg=key)


@pytest.mark.parametrize("name", distributed_job.CURVES)
def test_all_processes_have_the_same_bits(curves, name):
    assert_same_in_all(curves[name])


def test_the_same_bits_again(curves):
    assert_same_in_all([*curves["float64"], *curves["again"]])


def test_the_curves_are_curves(curves):
    """What the comparison stands on: the loss falls, and clipping and weights change it."""
    losses = {name: of_ranks[0]["loss"] for name, of_ranks in curves.items()}
    assert all(loss[-1] < loss[0] for loss in losses.values())
    for name in ("clip", "weights", "accumulate"):
        assert not np.allclose(losses[name], losses["float64"], rtol=1e-3)


# -------------------------------------------------------------------------------------------------- behaviour


@pytest.fixture(scope="module")
def behaviour(mpiexec, tmp_path_factory):
    folder = tmp_path_factory.mktemp("behaviour")
    code, output = run(mpiexec, "behaviour", folder)
    assert code == 0, output
    return results(folder, "behaviour")


def test_callbacks_run_everywhere_but_for_those_that_write(behaviour):
    # 40 samples, 16 a step, 2 epochs
    assert [r["steps"] for r in behaviour] == [6] * SIZE
    assert [r["notes"].tolist() for r in behaviour] == [[1, 2, 3, 4, 5, 6], [], [], []]
    assert [r["everywhere"].tolist() for r in behaviour] == [[1, 2, 3, 4, 5, 6]] * SIZE


def test_one_process_that_stops_ends_all_at_the_same_step(behaviour):
    assert [r["stopped"] for r in behaviour] == [4] * SIZE
    assert [r["early"] for r in behaviour] == [2] * SIZE


def test_statistics_are_those_of_rank_0_in_all(behaviour):
    """Each process normalizes its own samples and drops other numbers; buffers and parameters are one."""
    same = [
        {k: v for k, v in r.items() if k.startswith(("state", "best", "twice", "iter"))} for r in behaviour
    ]
    assert_same_in_all(same)
    assert same[0]["state norm.running_mean"].any() and (same[0]["state constant"] == 1).all()


def test_what_an_objective_adds_after_backward_is_summed_too(behaviour):
    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32).astype(float)
    y = x.astype(np.float32).sum(axis=1, keepdims=True).astype(float)

    class Twice(at.train.Objective):
        repeats = 2

        def after_backward(self, trainer, batch):
            trainer.batch_loss(batch).backward()

    model = at.nn.Linear(4, 1, seed=0, dtype="float64")
    trainer = at.train.Trainer(model, at.losses.MeanSquaredError(), at.optim.SGD(lr=0.01), objective=Twice())
    trainer.fit(x, y, epochs=2, batch_size=16, progress=False)
    np.testing.assert_allclose(behaviour[0]["twice"], model.state_dict()["weight"], rtol=1e-12)


def test_an_iterable_gives_each_process_its_own_batches(behaviour):
    """Of ten samples a step, two processes have three and two have two: each sample counts the same."""
    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    y = x.sum(axis=1, keepdims=True)
    model = at.nn.Linear(4, 1, seed=0)
    trainer = at.train.Trainer(model, at.losses.MeanSquaredError(), at.optim.SGD(lr=0.01))
    history = trainer.fit(x, y, epochs=2, batch_size=10, shuffle=False, progress=False)
    np.testing.assert_allclose(behaviour[0]["iterable"], history["step_loss"], rtol=1e-5)


def test_processes_of_one_machine_share_its_cores(behaviour):
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert [r["threads"] for r in behaviour] == [max(1, cores // SIZE)] * SIZE
    assert [r["statistics"].tolist() for r in behaviour] == [[1, 1]] * SIZE


def test_processes_that_differ_are_told_where(mpiexec, tmp_path):
    code, output = run(mpiexec, "differences", tmp_path, size=3)
    assert code == 0, output
    found = results(tmp_path, "differences", 3)
    assert_same_in_all(found)
    rule = "; every process must run the same script on the same data"
    messages = found[0]["messages"].tolist()
    assert messages[:3] == [
        f"fit: epochs is 1 in process 0 but 2 in 1{rule}",
        f"fit: batch_size is 4 in process 0 but 2 in 2{rule}",
        f"Trainer: seed is 0 in process 0 but 1 in 1{rule}",
    ]
    starts = (
        "Trainer: model is [('weight'",
        "fit: the data (kind, shape, checksum) is {",
        "fit: the data (kind",
    )
    assert len(messages) == 6
    assert all(message.startswith(start) for message, start in zip(messages[3:], starts, strict=True))


def test_a_model_changed_in_one_process_alone_is_noticed(mpiexec, tmp_path):
    code, output = run(mpiexec, "spoils", tmp_path, size=2)
    assert code != 0
    assert "ValueError: fit: the checksum of the parameters after an epoch is" in output


# -------------------------------------------------------------------------------------------- how a job ends


def assert_killed_equals_whole(mpiexec, tmp_path, kills):
    """Runs the job with kills, (rank, step) each, then to its end, and beside it one that nobody disturbs."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    code, output = run(mpiexec, "whole", whole)
    assert code == 0, output
    for rank, step in kills:
        code, output = run(mpiexec, f"kill:{rank}:{step}", killed)
        assert code != 0
        assert not list(killed.glob("run-*"))
        assert list((killed / "checkpoints").glob("checkpoint-*"))
    code, output = run(mpiexec, "whole", killed)
    assert code == 0, output
    undisturbed, resumed = results(whole, "run"), results(killed, "run")
    assert len(undisturbed[0]["step_loss"]) == 20
    assert_same_in_all([*undisturbed, *resumed])


def test_a_killed_process_ends_the_job_and_resume_ends_with_the_same_bits(mpiexec, tmp_path):
    """kill -9 of process 1 in step 9 of 20; the checkpoints are whole; the same command goes on."""
    assert_killed_equals_whole(mpiexec, tmp_path, [(1, 9)])


@pytest.mark.slow
def test_every_process_killed_in_turn(mpiexec, tmp_path):
    """Also the one that writes the checkpoints, in the first step and in the last."""
    assert_killed_equals_whole(mpiexec, tmp_path, [(0, 1), (1, 4), (2, 9), (3, 13), (0, 16), (0, 20)])


def test_an_error_in_one_process_ends_the_job(mpiexec, tmp_path):
    code, output = run(mpiexec, "raise:1:9", tmp_path)
    assert code != 0
    assert "attendo: process 1 of 4 ends the job" in output and "OSError: the disk is on fire" in output
    assert list((tmp_path / "checkpoints").glob("checkpoint-*"))


def test_an_error_that_the_script_catches_ends_the_job_when_the_script_ends(mpiexec, tmp_path):
    (tmp_path / "other").mkdir()
    code, output = run(mpiexec, "swallow", tmp_path)
    assert code != 0
    assert "caught" in output
    assert (
        "Distributed: training ended with an error here, of which the other processes know nothing" in output
    )


@pytest.mark.parametrize("who", ["mpiexec", "everybody"])
def test_ctrl_c_ends_the_job(mpiexec, tmp_path, who):
    """To mpiexec alone, and to the whole group as a terminal sends it: nobody is left."""
    process = started(mpiexec, "endless", tmp_path, size=2, start_new_session=True)
    try:
        while not (tmp_path / "begun").is_file():
            assert process.poll() is None
            time.sleep(0.05)
        if who == "mpiexec":
            process.send_signal(signal.SIGINT)
        else:
            os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=600)  # until the last of them has closed the pipe
    finally:
        process.kill()
    assert process.returncode != 0


# ------------------------------------------------------------------------------------------ without mpiexec


def test_without_mpiexec_there_is_one_process(mpiexec):
    """In a process of its own: MPI is loaded once."""
    program = f"""
import sys
sys.path[:] = {sys.path!r}
import numpy as np
import attendo as at, distributed_job
before = at.get_num_threads()
distributed = at.train.Distributed()
assert at.get_num_threads() == before and sys.excepthook is sys.__excepthook__
print(distributed, distributed.is_main)
alone, same = distributed_job.train(), distributed_job.train(distributed)
assert all(np.array_equal(alone[name], same[name]) for name in alone)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "Distributed(rank=0, size=1) True\n"


def test_bad_arguments(monkeypatch):
    optimizer = at.optim.SGD(lr=0.1)
    with pytest.raises(TypeError, match=r"Trainer: distributed is a int but must be an attendo\.train\.Dist"):
        at.train.Trainer(at.nn.Linear(2, 2), at.losses.MeanSquaredError(), optimizer, distributed=4)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r'mpi4py is not installed; run: pip install "attendo\[mpi\]"'):
        at.train.Distributed()


def test_the_launcher_of_another_mpi(monkeypatch):
    for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    module._check_launcher(1)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    module._check_launcher(4)
    with pytest.raises(RuntimeError, match="mpiexec started 4 processes, but mpi4py has another MPI"):
        module._check_launcher(1)

"""Clients of Flower: their methods, the average of two of them over the network, and what it is good for."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import federation
import numpy as np
import pytest

import attendo as at

pytest.importorskip("sklearn", reason="the digits come with scikit-learn")

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def flwr() -> Any:
    os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
    return pytest.importorskip("flwr", reason="clients are tested with Flower where flwr is installed")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def environment(home: Path) -> dict[str, str]:
    paths = [str(HERE), *sys.path]
    return {
        **os.environ,
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(p for p in paths if p),
    }


def round_by_hand(parameters: list[Any]) -> tuple[list[Any], list[Any]]:
    answers = [federation.client(k).fit(parameters, {}) for k in range(2)]
    return federation.averaged(answers), answers


# ------------------------------------------------------------------------------------------------- one client


def test_parameters_are_the_state_dict():
    model = at.nn.Sequential(at.nn.Linear(3, 2, seed=0), at.nn.BatchNorm2d(4))
    arrays = at.interop.flower_parameters(model)
    assert [a.shape for a in arrays] == [v.shape for v in model.state_dict().values()]
    arrays[0][:] = 7  # a copy
    assert not (model.state_dict()["0.weight"] == 7).any()
    at.interop.load_flower_parameters(model, arrays)
    assert (model.state_dict()["0.weight"] == 7).all()
    # Averages come back as float64.
    at.interop.load_flower_parameters(model, [a.astype(np.float64) for a in arrays])
    assert model.state_dict()["0.weight"].dtype == np.float32


def test_parameters_that_are_not_the_models():
    model = at.nn.Linear(3, 2)
    with pytest.raises(ValueError, match="parameters holds 1 arrays but the model has 2"):
        at.interop.load_flower_parameters(model, [np.ones((2, 3))])
    with pytest.raises(ValueError, match=r"parameters has \(3, 2\) for 'weight', which has shape \(2, 3\)"):
        at.interop.load_flower_parameters(model, [np.ones((3, 2)), np.ones(2)])


def test_fit_trains_what_it_is_given_and_counts_its_samples():
    client, other = federation.client(0), federation.client(0)
    before = client.get_parameters()
    other.trainer.model.reset_parameters(5)  # what a client had before plays no part
    trained, samples, metrics = client.fit(before)
    again, *_ = other.fit(before)
    assert samples == 400 == client.get_properties()["samples"]
    assert all(np.array_equal(a, b) for a, b in zip(trained, again, strict=True))
    assert all(np.any(a != b) for a, b in zip(trained, before, strict=True))
    assert set(metrics) == {"loss"} and metrics["loss"] < np.log(10)


def test_the_server_sets_epochs_and_batch_size():
    steps = []
    for config in ({}, {"epochs": 3}, {"batch_size": 100, "server-round": 1}):
        client = federation.client(0)
        client.fit(client.get_parameters(), config)
        steps.append(client.trainer.optimizer.steps)
    assert steps == [26, 39, 8]


def test_evaluate_looks_at_the_validation():
    client = federation.client(1)
    loss, samples, metrics = client.evaluate(client.get_parameters())
    expected = client.trainer.evaluate(*federation.digits()[1])
    assert (loss, samples, metrics) == (expected["loss"], 600, expected)


def test_options_out_of_range():
    trainer = federation.client(0).trainer
    x, y = np.ones((2, 64)), np.zeros(2, np.int64)
    for options, message in (
        ({"epochs": 0}, "FlowerClient: epochs is 0 but must be 1 or more"),
        ({"batch_size": 0}, "FlowerClient: batch_size is 0 but must be 1 or more"),
        ({"validation": x[:1]}, r"FlowerClient: validation must be \(inputs, target\)"),
    ):
        with pytest.raises(ValueError, match=message):
            at.interop.FlowerClient(trainer, x, y, **options)


def test_without_flower_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "flwr.client", None)
    monkeypatch.setitem(sys.modules, "flwr.app", None)
    for call in (federation.client(0).to_client, lambda: at.interop.flower_app(federation.client)):
        with pytest.raises(
            ImportError, match=r'flwr.* is not installed; run: pip install "attendo\[flower\]"'
        ):
            call()


# ------------------------------------------------------------------------------------------------- the effect


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_federated_clients_know_digits_they_never_saw(seed):
    """Each client has five of ten digits and is right on half of them, alone; together on nine of ten."""
    clients = [federation.client(k, seed) for k in range(2)]
    common = federation.client(0, seed)
    start = common.get_parameters()
    alone = [client.evaluate(client.fit(start, {"epochs": 60})[0])[2]["accuracy"] for client in clients]
    parameters = start
    for _ in range(30):
        parameters = federation.averaged([client.fit(parameters) for client in clients])
    together = common.evaluate(parameters)[2]["accuracy"]
    # 0.50, 0.52, 0.51 alone and 0.91, 0.91, 0.92 together, with as many epochs each.
    assert max(alone) < 0.55
    assert together > max(alone) + 0.35


# ------------------------------------------------------------------------------------------------ with Flower


def test_a_round_over_the_network_is_the_average(flwr, tmp_path):
    """A server and two clients, three processes on loopback: the average to the bit, and its loss."""
    address, file = f"127.0.0.1:{free_port()}", tmp_path / "round.npz"
    program, log = [sys.executable, str(HERE / "federation.py")], tmp_path / "log"
    roles = [["server", address, str(file)], ["client", address, "0"], ["client", address, "1"]]
    with open(log, "w") as output:
        processes = [
            subprocess.Popen([*program, *role], env=environment(tmp_path), stdout=output, stderr=output)
            for role in roles
        ]
        try:
            codes = [process.wait(timeout=600) for process in processes]
        finally:
            for process in processes:
                process.kill()
    assert codes == [0, 0, 0], log.read_text()
    start = at.interop.flower_parameters(federation.model())
    expected, answers = round_by_hand(start)
    with np.load(file) as got:
        arrays = [got[f"arr_{i}"] for i in range(len(start))]
        loss = got["losses"]
    assert [samples for _, samples, _ in answers] == [400, 589]
    assert all(np.array_equal(a, b) for a, b in zip(arrays, expected, strict=True))
    assert loss == [np.float32(federation.client(0).evaluate(expected)[0])]  # so it is sent


CLIENT_APP = """
import attendo as at
import federation

app = at.interop.flower_app(lambda context: federation.client(context.node_config["partition-id"]))
"""
SERVER_APP = """
import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

import attendo as at
import federation

app = ServerApp()

@app.main()
def main(grid, context):
    start = ArrayRecord(at.interop.flower_parameters(federation.model()))
    result = FedAvg().start(grid=grid, initial_arrays=start, num_rounds=2)
    np.savez(context.run_config["file"], *result.arrays.to_numpy_ndarrays())
"""
PROJECT = """
[project]
name = "digits"
version = "1.0.0"
description = ""
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "attendo"

[tool.flwr.app.components]
serverapp = "digits.server_app:app"
clientapp = "digits.client_app:app"

[tool.flwr.app.config]
file = ""
"""


@pytest.mark.slow
def test_a_project_run_by_superlink_and_supernodes(flwr, tmp_path):
    """What a user runs: flower-superlink, two flower-supernode, flwr run; two rounds, to the bit."""
    commands = {name: shutil.which(name) for name in ("flwr", "flower-superlink", "flower-supernode")}
    beside = Path(flwr.__file__).parents[4] / "bin"
    for name in commands:
        commands[name] = commands[name] or shutil.which(name, path=str(beside))
    if None in commands.values():
        pytest.skip("the commands of Flower are not on the PATH")
    package = tmp_path / "project" / "digits"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "client_app.py").write_text(CLIENT_APP)
    (package / "server_app.py").write_text(SERVER_APP)
    (package.parent / "pyproject.toml").write_text(PROJECT)
    link, nodes = free_port(), [free_port(), free_port()]
    env = environment(tmp_path / "home")
    env["PATH"] = os.pathsep.join([str(Path(str(commands["flwr"])).parent), env["PATH"]])
    (tmp_path / "home").mkdir()
    connection = (
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{link}"\ninsecure = true\n'
    )
    (tmp_path / "home/config.toml").write_text(connection)
    address, no_installation = f"127.0.0.1:{link}", "--disable-runtime-dependency-installation"
    connection = f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "{address}"\ninsecure = true\n'
    (tmp_path / "home/config.toml").write_text(connection)
    long_lived = [
        [commands["flower-superlink"], "--insecure", "--port", str(link), no_installation],
        *(
            [commands["flower-supernode"], "--insecure", "--superlink", address, "--port", str(port),
             "--node-config", f"partition-id={k}"]
            for k, port in enumerate(nodes)
        ),
    ]  # fmt: skip
    file, log = tmp_path / "result.npz", tmp_path / "log"
    with open(log, "w") as output:
        processes = [subprocess.Popen(c, env=env, stdout=output, stderr=output) for c in long_lived]  # type: ignore[arg-type]
        try:
            for _ in range(120):
                try:
                    urllib.request.urlopen(f"http://{address}/health", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.5)
            run = [str(commands["flwr"]), "run", str(package.parent), "here", "--stream"]
            run += ["--run-config", f'file="{file}"']
            subprocess.run(run, env=env, stdout=output, stderr=output, timeout=900, check=False)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(timeout=60)
    assert file.is_file(), log.read_text()
    expected = at.interop.flower_parameters(federation.model())
    for _ in range(2):
        expected, _ = round_by_hand(expected)
    with np.load(file) as got:
        assert all(np.array_equal(got[f"arr_{i}"], value) for i, value in enumerate(expected))

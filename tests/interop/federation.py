"""A federation whose clients have different digits, for test_flower.py and the processes it starts.

As a program: ``federation.py server ADDRESS FILE`` averages one round and writes the parameters to a file,
``federation.py client ADDRESS NUMBER`` is one of the two clients.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

import attendo as at

Data = tuple[NDArray[np.floating[Any]], NDArray[np.int64]]


def digits(seed: int = 0) -> tuple[list[Data], Data]:
    """What the clients have, one the digits 0 to 4 and the other 5 to 9, and more; what is held out."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, order = x / 16, np.random.default_rng(seed).permutation(len(x))
    held_out, rest = np.split(order, [600])
    low = rest[y[rest] < 5][:400]
    high = rest[y[rest] >= 5]
    return [(x[own], y[own]) for own in (low, high)], (x[held_out], y[held_out])


def model(seed: int = 0) -> at.nn.Sequential:
    return at.nn.Sequential(
        at.nn.Linear(64, 32, seed=2 * seed, dtype="float64"),
        at.nn.ReLU(),
        at.nn.Linear(32, 10, seed=2 * seed + 1, dtype="float64"),
    )


def client(number: int, seed: int = 0) -> at.interop.FlowerClient:
    data, held_out = digits(seed)
    optimizer = at.optim.SGD(lr=0.2)
    trainer = at.train.Trainer(model(seed), at.losses.CrossEntropy(), optimizer, seed=seed)
    return at.interop.FlowerClient(trainer, *data[number], validation=held_out, epochs=2)


def averaged(answers: list[tuple[list[Any], int, dict[str, float]]]) -> list[NDArray[Any]]:
    """Σ_k (n_k / n) θ_k, the factor first, as Flower's strategies compute it."""
    total = sum(samples for _, samples, _ in answers)
    of_clients = [[array * (samples / total) for array in arrays] for arrays, samples, _ in answers]
    return [first + second for first, second in zip(*of_clients, strict=True)]


def serve(address: str, file: str) -> None:
    import flwr

    class Kept(flwr.server.strategy.FedAvg):  # type: ignore[misc]
        def aggregate_fit(self, *args: Any) -> Any:
            self.parameters, metrics = super().aggregate_fit(*args)
            return self.parameters, metrics

    initial = flwr.common.ndarrays_to_parameters(at.interop.flower_parameters(model()))
    strategy = Kept(initial_parameters=initial)
    config = flwr.server.ServerConfig(num_rounds=1)
    history = flwr.server.start_server(server_address=address, config=config, strategy=strategy)
    arrays = flwr.common.parameters_to_ndarrays(strategy.parameters)
    losses = np.array([loss for _, loss in history.losses_distributed])
    np.savez(file, *arrays, losses=losses)


def main(role: str, address: str, argument: str) -> None:
    if role == "server":
        serve(address, argument)
    else:
        import flwr

        flwr.client.start_client(server_address=address, client=client(int(argument)).to_client())


if __name__ == "__main__":
    main(*sys.argv[1:])

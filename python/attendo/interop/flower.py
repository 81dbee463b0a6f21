"""Federated averaging with Flower: clients train on data that stays with them, a server averages the models.

.. math:: \\theta \\leftarrow \\sum_k \\frac{n_k}{n} \\theta_k

where client k has trained the server's parameters on its :math:`n_k` samples. Flower (the extra ``flower``)
brings server, messages and strategies; here is the side of a client.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._lazy import require

if TYPE_CHECKING:
    from typing import TypeAlias

    from .._core import Module
    from .._typing import FloatArray, TensorLike
    from ..train import Trainer

    Inputs: TypeAlias = TensorLike | tuple[TensorLike, ...]
    Config: TypeAlias = dict[str, bool | bytes | float | int | str]

# What a server may set for a round.
_SETTINGS = ("epochs", "batch_size")


def flower_parameters(model: Module) -> list[FloatArray]:
    """A model's parameters and buffers as Flower sends them: copies, in the order of ``model.state_dict()``.

    Parameters
    ----------
    model : Module

    Returns
    -------
    list of ndarray

    Examples
    --------
    >>> import attendo as at
    >>> [array.shape for array in at.interop.flower_parameters(at.nn.Linear(3, 2))]
    [(2, 3), (2,)]
    """
    return [np.array(value) for value in model.state_dict().values()]


def load_flower_parameters(model: Module, parameters: Sequence[FloatArray]) -> None:
    """Give a model the arrays that Flower sent, in the order of :func:`flower_parameters`.

    Parameters
    ----------
    model : Module
    parameters : sequence of ndarray

    Raises
    ------
    ValueError
        When there are more or fewer than the model has, or one has another shape.
    """
    state = model.state_dict()
    if len(parameters) != len(state):
        raise ValueError(
            f"FlowerClient: parameters holds {len(parameters)} arrays but the model has {len(state)}"
        )
    given = {}
    for (name, own), value in zip(state.items(), parameters, strict=True):
        array = np.asarray(value)
        if array.shape != own.shape:
            raise ValueError(
                f"FlowerClient: parameters has {array.shape} for {name!r}, which has shape {own.shape}"
            )
        given[name] = array.astype(own.dtype, copy=False)
    model.load_state_dict(given)


class FlowerClient:
    r"""A client of Flower that trains a model of attendo on its own samples.

    Its methods are those of ``flwr.client.NumPyClient``; :meth:`to_client` makes the object Flower runs, and
    :func:`flower_app` a whole ClientApp.

    Parameters
    ----------
    trainer : Trainer
        Model, loss and optimizer. The optimizer's state stays with the client while it lives and is not
        averaged; the client of a ClientApp is made anew for every message.
    inputs : array_like or tuple of array_like, shape (samples, ...)
        What the client trains on; see :meth:`attendo.train.Trainer.fit`.
    target : array_like, shape (samples, ...)
    validation : (inputs, target), optional
        What :meth:`evaluate` looks at; default: the training samples.
    epochs : int
        Passes over the samples in each round, 1 or more, unless the server's config has ``epochs``.
    batch_size : int
        Samples a step, 1 or more, unless the server's config has ``batch_size``.

    Raises
    ------
    ValueError
        When validation is not a pair, or epochs or batch_size is below 1.

    References
    ----------
    McMahan et al. 2017, algorithm 1 (FederatedAveraging).

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.linspace(-1, 1, 32, dtype="float32")[:, None]
    >>> trainer = at.train.Trainer(at.nn.Linear(1, 1), at.losses.MeanSquaredError(), at.optim.SGD(lr=0.1))
    >>> client = at.interop.FlowerClient(trainer, x, 2 * x + 1, epochs=30)
    >>> parameters, samples, metrics = client.fit(client.get_parameters(), {})
    >>> samples, metrics["loss"] < 0.1
    (32, True)

    Source: python/attendo/interop/flower.py
    """

    def __init__(
        self,
        trainer: Trainer,
        inputs: Inputs,
        target: TensorLike,
        *,
        validation: tuple[Inputs, TensorLike] | None = None,
        epochs: int = 1,
        batch_size: int = 32,
    ) -> None:
        if validation is not None:
            try:
                _, _ = validation
            except (TypeError, ValueError):
                raise ValueError("FlowerClient: validation must be (inputs, target)") from None
        for name, value in (("epochs", epochs), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"FlowerClient: {name} is {value} but must be 1 or more")
        self.trainer = trainer
        self._data = (inputs, target)
        self._validation = self._data if validation is None else validation
        self._settings = {"epochs": epochs, "batch_size": batch_size}

    def get_properties(self, config: Config | None = None) -> Config:
        """What the server may ask about this client: its number of samples."""
        return {"samples": _samples(self._data)}

    def get_parameters(self, config: Config | None = None) -> list[FloatArray]:
        """The model's parameters and buffers, as :func:`flower_parameters` gives them."""
        return flower_parameters(self.trainer.model)

    def fit(
        self, parameters: Sequence[FloatArray], config: Config | None = None
    ) -> tuple[list[FloatArray], int, dict[str, float]]:
        """Train the server's parameters on the client's samples.

        Parameters
        ----------
        parameters : sequence of ndarray
            The model as the server has it.
        config : dict, optional
            Settings of the server for this round: ``epochs``, ``batch_size``; others are not looked at.

        Returns
        -------
        (list of ndarray, int, dict)
            The trained parameters, the number of samples they were trained on, and the ``loss`` of the last
            epoch.

        Raises
        ------
        ValueError
            When the parameters are not those of the model.
        """
        load_flower_parameters(self.trainer.model, parameters)
        given = config or {}
        epochs, batch_size = (int(given.get(name, self._settings[name])) for name in _SETTINGS)
        history = self.trainer.fit(*self._data, epochs=epochs, batch_size=batch_size, progress=False)
        return self.get_parameters(), _samples(self._data), {"loss": float(history["loss"][-1])}

    def evaluate(
        self, parameters: Sequence[FloatArray], config: Config | None = None
    ) -> tuple[float, int, dict[str, float]]:
        """Evaluate the server's parameters on the client's validation.

        Returns
        -------
        (float, int, dict)
            The loss, the number of samples, and what else :meth:`attendo.train.Trainer.evaluate` gives.

        Raises
        ------
        ValueError
            When the parameters are not those of the model.
        """
        load_flower_parameters(self.trainer.model, parameters)
        found = self.trainer.evaluate(*self._validation)
        return float(found["loss"]), _samples(self._validation), {k: float(v) for k, v in found.items()}

    def to_client(self) -> Any:
        """The ``flwr.client.Client`` of this one, for a ``client_fn``.

        Raises
        ------
        ImportError
            When Flower is missing.
        """
        client = self
        base: Any = require("flwr.client", "flower").NumPyClient

        class Client(base):  # type: ignore[misc]
            def get_properties(self, config: Config) -> Config:
                return client.get_properties(config)

            def get_parameters(self, config: Config) -> list[FloatArray]:
                return client.get_parameters(config)

            def fit(
                self, parameters: list[FloatArray], config: Config
            ) -> tuple[list[FloatArray], int, dict[str, float]]:
                return client.fit(parameters, config)

            def evaluate(
                self, parameters: list[FloatArray], config: Config
            ) -> tuple[float, int, dict[str, float]]:
                return client.evaluate(parameters, config)

        return Client().to_client()


def flower_app(make_client: Callable[[Any], FlowerClient]) -> Any:
    """A ``flwr.clientapp.ClientApp`` that answers the strategies of ``flwr.serverapp``.

    Parameters
    ----------
    make_client : callable
        ``make_client(context) -> FlowerClient``, called for each message; ``context.node_config`` says which
        node it is.

    Returns
    -------
    flwr.clientapp.ClientApp
        It reads the record ``arrays`` of a message and, where there is one, ``config``; it answers with
        ``arrays`` and ``metrics``, of which ``num-examples`` is the weight in the average.

    Raises
    ------
    ImportError
        When Flower is missing.

    Notes
    -----
    The file ``client_app.py`` of a Flower project:

    .. code-block:: python

        import attendo as at

        def make_client(context):
            x, y = my_data(context.node_config["partition-id"])
            trainer = at.train.Trainer(my_model(), at.losses.CrossEntropy(), at.optim.SGD(lr=0.1))
            return at.interop.FlowerClient(trainer, x, y, epochs=2)

        app = at.interop.flower_app(make_client)
    """
    records: Any = require("flwr.app", "flower")
    app: Any = require("flwr.clientapp", "flower").ClientApp()

    def received(message: Any) -> tuple[list[FloatArray], Config]:
        content = message.content
        return content["arrays"].to_numpy_ndarrays(), dict(content["config"]) if "config" in content else {}

    def metrics(samples: int, values: dict[str, float]) -> Any:
        return records.MetricRecord({"num-examples": samples, **values})

    @app.train()  # type: ignore[untyped-decorator]
    def train(message: Any, context: Any) -> Any:
        parameters, samples, values = make_client(context).fit(*received(message))
        content = {"arrays": records.ArrayRecord(parameters), "metrics": metrics(samples, values)}
        return records.Message(content=records.RecordDict(content), reply_to=message)

    @app.evaluate()  # type: ignore[untyped-decorator]
    def evaluate(message: Any, context: Any) -> Any:
        _, samples, values = make_client(context).evaluate(*received(message))
        return records.Message(
            content=records.RecordDict({"metrics": metrics(samples, values)}), reply_to=message
        )

    return app


def _samples(data: tuple[Inputs, TensorLike]) -> int:
    inputs = data[0]
    return len(np.asarray(inputs[0] if isinstance(inputs, tuple) else inputs))

"""The page of WeightAverage."""
# mypy: disable-error-code="empty-body"

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from .._core import Optimizer, WeightAverage
from .._pages import page

if TYPE_CHECKING:
    from numpy.typing import NDArray


@page(WeightAverage, "attendo.optim")
class _WeightAverage:
    r"""An average of the weights an optimizer steps, over its steps: often better than the last of them.

    Parameters
    ----------
    optimizer : Optimizer
        Attached to a model.
    decay : float or None
        :math:`d`, 0 or more and below 1: of an exponential average (EMA). None: all weights count the same
        (SWA).
    warmup : bool
        A smaller decay in the first updates, :math:`\min\bigl(d, (1 + n) / (10 + n)\bigr)` after n of them,
        so that the first weights are forgotten sooner.

    Attributes
    ----------
    updates : int
        Updates made.
    swapped : bool
        Whether the model holds the average now.
    state : dict of str to ndarray
        Copies of the averages and the number of updates, by name.

    Raises
    ------
    ValueError
        When the optimizer is not attached, decay is out of range, or warmup comes without decay.

    Notes
    -----
    The first update copies the weights; then, after n = 1, 2, ... of them,

    .. math::

        a \leftarrow d\, a + (1 - d)\, \theta, \qquad \text{equal: } a \leftarrow a + (\theta - a) / (n + 1)

    What the optimizer does not step is not averaged. Buffers are not: the running statistics of a batch norm
    are those of the weights that were trained. For the average, reset them and pass some batches through the
    model in training mode within ``with average.applied():``.

    Cost of an update: one pass over the parameters, of all rows of a table with sparse gradients too.

    References
    ----------
    Polyak and Juditsky 1992; Izmailov et al. 2018 (equal weights, SWA).

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model, loss = at.nn.Linear(1, 1, seed=0), at.losses.MeanSquaredError()
    >>> x = np.linspace(-1, 1, 20, dtype="float32")[:, None]
    >>> optimizer = at.optim.SGD(lr=0.3)
    >>> optimizer.attach(model)
    >>> average = at.optim.WeightAverage(optimizer, decay=0.9)
    >>> for _ in range(100):
    ...     optimizer.zero_grad()
    ...     loss(model(x), 3 * x + 1).backward()
    ...     optimizer.step()
    ...     average.update()
    >>> with average.applied():
    ...     model.weight.numpy().round(2)
    array([[3.]], dtype=float32)

    Source: cpp/train/weight_average.cpp
    """

    def __init__(
        self, optimizer: Optimizer, decay: float | None = 0.999, *, warmup: bool = False
    ) -> None: ...

    @property
    def updates(self) -> int:
        """Updates made."""

    @property
    def swapped(self) -> bool:
        """Whether the model holds the average now."""

    @property
    def state(self) -> "dict[str, NDArray[Any]]":
        """Copies of the averages and the number of updates, by name; ValueError while swapped."""

    def update(self) -> None:
        """Take the weights into the average: after each step, or now and then.

        Raises
        ------
        ValueError
            When the model holds the average, or another optimizer has taken the parameters over.
        """

    def swap(self) -> None:
        """Exchange the model's weights and the average. Twice: nothing has happened, to the bit.

        Between the two the optimizer makes no steps. A model that is to keep the average is swapped once.

        Raises
        ------
        ValueError
            When another optimizer has taken the parameters over, or the model holds another average.
        """

    def applied(self) -> AbstractContextManager[WeightAverage]:
        """For ``with``: the model holds the average within it, and its own weights again after."""

    def load_state(self, state: "Mapping[str, NDArray[Any]]") -> None:
        """Go on from a ``state``.

        Parameters
        ----------
        state : dict of str to ndarray
            As :attr:`state` gave it.

        Raises
        ------
        ValueError, TypeError
            When a name is missing or unknown, a shape or dtype another, or the model holds the average.
            Nothing is changed then.
        """

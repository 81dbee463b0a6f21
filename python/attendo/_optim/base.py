"""The page of what optimizers have in common."""
# mypy: disable-error-code="empty-body"

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._core import Module, Optimizer, Schedule, Tensor
from .._pages import page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


@page(Optimizer, "attendo.optim")
class _Optimizer:
    """What the optimizers have in common. One optimizer steps the parameters of one model.

    Attributes
    ----------
    lr : float
        The learning rate of the step to come.
    lrs : list of float
        That of each group, and last of the parameters in no group.
    schedule : Schedule
        Where ``lr`` comes from. May be set, to a Schedule or a number; the steps count on.
    steps : int
        Steps made.
    state : dict of str to ndarray
        Copies of all it remembers, by name: the steps, what a plateau schedule has seen, velocities, moments.
    config : dict
        What makes it again: see :func:`attendo.optim.from_config`.

    Notes
    -----
    Each optimizer takes ``groups``, a list of dicts: parameters with options of their own.

    ``"params"``
        A pattern of names (``"embedding.*"``; ``*``, ``?``, ``[abc]`` and ``[!abc]`` as in :mod:`fnmatch`), a
        list of patterns, or Tensors. A parameter belongs to the first group that has it; all others are
        stepped with the optimizer's own options. A parameter that two layers share has the first of its
        names.
    ``"lr"``
        A number or a Schedule in place of the optimizer's.
    ``"lr_scale"``
        Multiplies the rate, 0 or more.
    any option of the optimizer
        ``"weight_decay"``, ``"betas"``, ... in place of the optimizer's.

    A parameter that requires no gradient is left alone. One that is frozen later, when the optimizer is
    attached, stays where it is until it is unfrozen; its place among the parameters is kept. One that was
    frozen when the optimizer was attached and is unfrozen later would never move: the next step is an error
    that names it.

    Examples
    --------
    >>> import attendo as at
    >>> model = at.nn.Sequential(at.nn.Linear(4, 8, seed=0), at.nn.LayerNorm(8), at.nn.Linear(8, 2, seed=1))
    >>> optimizer = at.optim.AdamW(
    ...     lr=at.schedules.cosine(1e-3, total_steps=1000),
    ...     groups=[{"params": ["*.bias", "1.*"], "weight_decay": 0.0}, {"params": "0.*", "lr_scale": 0.1}],
    ... )
    >>> optimizer.attach(model)
    >>> optimizer.lrs[1] == 0.1 * optimizer.lr
    True

    Source: cpp/train/optimizers.cpp
    """

    @property
    def lr(self) -> float:
        """The learning rate of the step to come."""

    @property
    def lrs(self) -> list[float]:
        """The learning rate to come of each group, and last of the parameters in no group."""

    @property
    def schedule(self) -> Schedule:
        """Where the learning rate comes from. May be set, to a Schedule or a number."""

    @schedule.setter
    def schedule(self, schedule: Schedule | float) -> None: ...

    @property
    def steps(self) -> int:
        """Steps made."""

    @property
    def state(self) -> "dict[str, NDArray[Any]]":
        """Copies of all it remembers (steps, velocities, moments), by name."""

    @property
    def config(self) -> dict[str, Any]:
        """What makes it again, JSON-able; ValueError when a group has Tensors instead of names."""

    def attach(self, target: "Module | Iterable[Tensor | tuple[str, Tensor]]") -> None:
        """Take over the parameters of a Module, or those of a list, that require a gradient.

        They and their gradients move into one block of memory each (one for each group), so that a step is
        one loop. The tables of layers with ``sparse=True`` stay where they are.

        Parameters
        ----------
        target : Module, or iterable of Tensor or of (str, Tensor)
            Tensors in a list without names fit no pattern of a group.

        Raises
        ------
        ValueError
            When no parameter requires a gradient, another optimizer has them, or this one has others; when a
            pattern of a group is no parameter's name, or a Tensor of a group is not among the parameters;
            when a layer has ``sparse=True`` and the step would move all rows of its table (momentum, weight
            decay).
        """

    def step(self, clip_norm: float | None = None, clip_value: float | None = None) -> None:
        r"""One update of every parameter.

        Parameters
        ----------
        clip_norm : float, optional
            The largest norm c of all gradients together, above 0:
            :math:`g \leftarrow g \min\bigl(1, c / (\lVert g \rVert + 10^{-6})\bigr)`.
        clip_value : float, optional
            The largest size of a single entry, above 0: each is clamped, before the norm is taken.

        Raises
        ------
        ValueError
            When nothing is attached, a parameter was unfrozen since, or a bound is not above 0; when the
            learning rate of this step is not finite: then nothing is changed. With one of the bounds, when a
            gradient is NaN or the norm infinite: then nothing is changed. (``clip_value`` makes an infinite
            entry a finite one.) Without, such gradients go into the parameters as they are.
        """

    def zero_grad(self) -> None:
        """Set all gradients to zero."""

    def grad_norm(self) -> float:
        """The norm of all gradients together."""

    def observe(self, value: float) -> None:
        """Tell a plateau schedule how training goes, after each validation say. Nothing to other schedules.

        Parameters
        ----------
        value : float
            A loss, or whatever :func:`attendo.schedules.plateau` was told to lower or to raise.
        """

    def load_state(self, state: "Mapping[str, NDArray[Any]]") -> None:
        """Go on from a ``state`` of an optimizer of the same kind on the same parameters.

        Parameters
        ----------
        state : dict of str to ndarray
            As :attr:`state` gave it.

        Raises
        ------
        ValueError, TypeError
            When a name is missing or unknown, or a shape or dtype another. Nothing is changed then.
        """

"""The mean of the parameters of several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .._core import Module
from .._state import load_state_dict

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .._typing import PathLike

    State: TypeAlias = Mapping[str, ArrayLike]


def shares(call: str, weights: ArrayLike | None, members: int) -> NDArray[np.float64]:
    """Weights that add up to one."""
    if not members:
        raise ValueError(f"{call}: there must be at least one model")
    if weights is None:
        return np.full(members, 1 / members)
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (members,):
        raise ValueError(f"{call}: weights has shape {given.shape} but must be ({members},), one a model")
    if not np.isfinite(given).all() or (given < 0).any() or not given.any():
        raise ValueError(f"{call}: weights must be finite, 0 or more, and not all 0")
    share: NDArray[np.float64] = given / given.max()
    share /= share.sum()
    return share


def average_weights(
    models: Sequence[Module | State | PathLike], weights: ArrayLike | None = None
) -> dict[str, NDArray[Any]]:
    r"""The mean of the parameters of models: one model, with the cost of one.

    Parameters
    ----------
    models : sequence of Module, state dict, or path
        All with the same names and shapes; paths of what ``model.save`` wrote.
    weights : array_like, shape (models,), optional
        How much each counts, 0 or more; all the same when not given.

    Returns
    -------
    dict of str to ndarray
        For ``model.load_state_dict``; each array in the dtype of the first model's.

    Raises
    ------
    ValueError
        When there is no model, names or shapes differ, a number is not finite, or weights do not fit.
    TypeError
        When one is none of these, or an array is not of floats (models in eight bits).

    Notes
    -----
    .. math:: \theta = \sum_m w_m \theta_m, \qquad \sum_m w_m = 1

    Good for models that went apart from one another late: fine-tuned from the same parameters, or moments
    of one training. Of models that were trained from different beginnings the mean is of no use.

    References
    ----------
    Wortsman et al. 2022, "Model soups"; Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima".

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> a, b = at.nn.Linear(2, 1, seed=0), at.nn.Linear(2, 1, seed=1)
    >>> mean = at.ensemble.average_weights([a, b])
    >>> bool(np.allclose(mean["weight"], (a.state_dict()["weight"] + b.state_dict()["weight"]) / 2))
    True

    Source: python/attendo/ensemble/weights.py
    """
    call = "average_weights"
    if isinstance(models, (str, Module, Mapping)) or not isinstance(models, Sequence):
        raise TypeError(f"{call}: models is a {type(models).__name__} but must be a list")
    parts = shares(call, weights, len(models))
    sums: dict[str, NDArray[np.float64]] = {}
    dtypes: dict[str, np.dtype[Any]] = {}
    for i, (model, share) in enumerate(zip(models, parts, strict=True)):
        state = {name: np.asarray(value) for name, value in _state_of(call, i, model).items()}
        if i and state.keys() != sums.keys():
            differing = sorted(state.keys() ^ sums.keys())
            raise ValueError(f"{call}: models[{i}] has not the names of models[0]: {', '.join(differing)}")
        for name, value in state.items():
            if value.dtype.kind != "f":
                raise TypeError(
                    f"{call}: {name!r} of models[{i}] has dtype {value.dtype} but must be of floats"
                )
            if i and value.shape != sums[name].shape:
                raise ValueError(
                    f"{call}: {name!r} of models[{i}] has shape {value.shape} but models[0] has "
                    f"{sums[name].shape}"
                )
            if not np.isfinite(value).all():
                raise ValueError(f"{call}: {name!r} of models[{i}] has NaN or inf")
            part = share * value.astype(np.float64)
            sums[name] = sums[name] + part if i else part
            dtypes.setdefault(name, value.dtype)
    return {name: value.astype(dtypes[name]) for name, value in sums.items()}


def _state_of(call: str, i: int, model: Any) -> Mapping[str, Any]:
    if isinstance(model, Module):
        return model.state_dict()
    if isinstance(model, Mapping):
        return model
    if isinstance(model, (str, Path)):
        return load_state_dict(model)
    raise TypeError(
        f"{call}: models[{i}] is a {type(model).__name__} but must be a Module, a state dict or a path"
    )

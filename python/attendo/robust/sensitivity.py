"""How far attention weights move when the input is disturbed.

    total variation   TV(p, q) = ½ Σ_j |p_j - q_j|                            0 to 1
    Jensen–Shannon    JS(p, q) = ½ KL(p ‖ m) + ½ KL(q ‖ m),  m = (p + q) / 2   0 to ln 2

p, q: rows of attention weights (B, H, L, S) without and with noise; the mean is over B, L and draws. For
small noise TV grows linearly with it, and JS with its square.   Lin 1991, "Divergence measures based on the
Shannon entropy".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._arguments import not_negative, whole_number
from .._evaluation import as_evaluated, generator, parts, sliced
from .._grad import no_grad

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._core import Module
    from .._typing import TensorLike

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AttentionSensitivity:
    """What :func:`attention_sensitivity` gives: one entry for each map of weights, in the model's order.

    Attributes
    ----------
    names : tuple of str
        Which map: "attentions[0]" is the first layer's.
    total_variation, jensen_shannon : tuple of ndarray, each (trials, H)
        How far the weights moved, in the mean over samples and queries.

    Source: python/attendo/robust/sensitivity.py
    """

    names: tuple[str, ...]
    total_variation: tuple[Floats, ...]
    jensen_shannon: tuple[Floats, ...]

    def rows(self) -> list[dict[str, Any]]:
        """A dict for each map and head: map, head, total_variation, jensen_shannon, means over the trials."""
        return [
            {"map": name, "head": head, "total_variation": float(tv[head]), "jensen_shannon": float(js[head])}
            for name, tvs, jss in zip(self.names, self.total_variation, self.jensen_shannon, strict=True)
            for tv, js in [(tvs.mean(axis=0), jss.mean(axis=0))]
            for head in range(len(tv))
        ]

    def __str__(self) -> str:
        width = max(len(name) for name in self.names)
        lines = [f"{'map':<{width}} {'head':>5} {'total variation':>16} {'Jensen-Shannon':>15}"]
        lines += [
            f"{one['map']:<{width}} {one['head']:>5} {one['total_variation']:>16.4f} "
            f"{one['jensen_shannon']:>15.4g}"
            for one in self.rows()
        ]
        return "\n".join(lines)


def attention_sensitivity(
    model: Module | Callable[..., Any],
    inputs: TensorLike | tuple[TensorLike, ...],
    noise: float | Callable[..., tuple[tuple[Any, ...], tuple[Any, ...]]],
    *,
    trials: int = 5,
    seed: int = 0,
    queries: TensorLike | None = None,
    batch_size: int = 64,
    input: int = 0,
) -> AttentionSensitivity:
    r"""How far each head's attention weights move under noise at the input.

    Parameters
    ----------
    model : Module or callable
        A model with ``outputs(..., attentions=True)`` or ``forward(..., return_weights=True)``, run in
        evaluation mode; or a function that gives weights, (B, H, L, S), (B, L, S) or (B, S), or a tuple of
        them.
    inputs : array_like or tuple of array_like, shape (B, ...)
        What it takes.
    noise : float or callable
        Standard deviation of normal noise added to an input of floats; or an augmentation,
        ``noise(inputs, targets, rng)``, called without targets: :class:`attendo.augment.MaskTokens` for ids.
    trials : int
        Draws of the noise, 1 or more.
    seed : int
        Decides all draws.
    queries : array_like of bool, shape (B, L), optional
        Which queries count; without it all whose weights are not all zero.
    batch_size : int
        Samples at a time; changes nothing but memory, speed and rounding.
    input : int
        Which input noise is added to.

    Returns
    -------
    AttentionSensitivity
        Total variation and Jensen–Shannon divergence for each map and head.

    Raises
    ------
    ValueError
        When there are no samples or no weights, trials is below 1, noise is negative, or shapes do not fit.
    TypeError
        When noise is a number and the input is not of floats, or the model gives no weights.

    Notes
    -----
    .. math::

        \mathrm{TV} = \tfrac12 \sum_j |p_j - q_j|, \qquad
        \mathrm{JS} = \tfrac12 \mathrm{KL}(p \,\|\, m) + \tfrac12 \mathrm{KL}(q \,\|\, m),
        \quad m = \tfrac{p + q}2

    References
    ----------
    Lin 1991, "Divergence measures based on the Shannon entropy", IEEE Transactions on Information Theory 37.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.random.default_rng(0).normal(size=(4, 6, 8))
    >>> weights = lambda x: at.attention(x, x, x, return_weights=True)[1]
    >>> small, large = (at.robust.attention_sensitivity(weights, x, noise) for noise in (0.01, 0.5))
    >>> bool(small.total_variation[0].mean() < 0.02 < large.total_variation[0].mean() < 1)
    True

    Source: python/attendo/robust/sensitivity.py
    """
    given = sliced(tuple(inputs) if isinstance(inputs, tuple) else (inputs,), slice(None))
    if not given or not len(given[0]):
        raise ValueError("attention_sensitivity: inputs has no samples")
    whole_number("attention_sensitivity", "trials", trials, 1)
    whole_number("attention_sensitivity", "batch_size", batch_size, 1)
    counted = None if queries is None else np.asarray(queries)
    if counted is not None and (
        counted.dtype != np.bool_ or counted.ndim != 2 or len(counted) != len(given[0])
    ):
        raise ValueError(
            f"attention_sensitivity: queries is {counted.dtype} of shape {counted.shape} but must be bool of "
            f"shape ({len(given[0])}, L)"
        )
    disturb = _disturbance(noise, given, input)
    changed = [disturb(generator(seed, "attention_sensitivity", trial)) for trial in range(trials)]
    names: tuple[str, ...] = ()
    tv: list[Any] = []
    js: list[Any] = []
    rows: list[Any] = []
    with as_evaluated(model), no_grad():
        for part in parts(len(given[0]), batch_size, "attention_sensitivity"):
            names, before = _weights(model, sliced(given, part))
            real = [_counted(p, counted, part) for p in before]  # (B, H, L)
            sums = []
            for one in changed:
                _, after = _weights(model, sliced(one, part))
                for name, p, q in zip(names, before, after, strict=True):
                    if p.shape != q.shape:
                        raise ValueError(
                            f"attention_sensitivity: {name} has shape {p.shape} and under noise {q.shape}"
                        )
                sums.append([_distances(p, q, r) for p, q, r in zip(before, after, real, strict=True)])
            count = [r.sum(axis=(0, 2)) for r in real]
            if not rows:
                rows = [np.zeros(len(c)) for c in count]
                tv = [np.zeros((trials, len(c))) for c in count]
                js = [np.zeros((trials, len(c))) for c in count]
            for place in range(len(names)):
                rows[place] += count[place]
                tv[place] += np.stack([trial[place][0] for trial in sums])
                js[place] += np.stack([trial[place][1] for trial in sums])
    return AttentionSensitivity(
        names,
        tuple(total / np.maximum(n, 1) for total, n in zip(tv, rows, strict=True)),
        tuple(total / np.maximum(n, 1) for total, n in zip(js, rows, strict=True)),
    )


def _disturbance(
    noise: Any, given: tuple[Any, ...], index: int
) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    if callable(noise):
        return lambda rng: noise(given, (), rng)[0]
    not_negative("attention_sensitivity", "noise", noise)
    whole_number("attention_sensitivity", "input", index, 0)
    if not 0 <= index < len(given):
        raise ValueError(f"attention_sensitivity: input is {index} but there are {len(given)} inputs")
    x = given[index]
    if x.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"attention_sensitivity: inputs[{index}] has dtype {x.dtype} but must be float32 or float64; "
            "for ids give an augmentation, such as attendo.augment.MaskTokens, as noise"
        )

    def add(rng: np.random.Generator) -> tuple[Any, ...]:
        noisy = (x + noise * rng.standard_normal(x.shape)).astype(x.dtype)
        return (*given[:index], noisy, *given[index + 1 :])

    return add


def _weights(model: Any, inputs: tuple[Any, ...]) -> tuple[tuple[str, ...], list[Floats]]:
    """Every map of weights by name, each (B, H, L, S)."""
    found: dict[str, Any] = {}
    if not isinstance(model, _core.Module):
        _collect(found, "weights", model(*inputs))
    elif hasattr(model, "outputs"):
        out = model.outputs(*inputs, attentions=True)
        for field in out._fields:
            if field.endswith("attentions") and getattr(out, field) is not None:
                _collect(found, field, getattr(out, field))
    else:
        try:
            out = model(*inputs, return_weights=True)
        except TypeError as error:
            name = type(model).__name__
            raise TypeError(
                f"attention_sensitivity: {name} has neither outputs(attentions=True) nor return_weights=True"
            ) from error
        _collect(found, "weights", out[1])
    if not found:
        raise ValueError("attention_sensitivity: the model gave no weights")
    return tuple(found), list(found.values())


def _collect(found: dict[str, Any], name: str, weights: Any) -> None:
    if isinstance(weights, (tuple, list)):
        for place, one in enumerate(weights):
            _collect(found, f"{name}[{place}]", one)
        return
    values = np.asarray(weights.numpy() if isinstance(weights, _core.Tensor) else weights, dtype=np.float64)
    if not 2 <= values.ndim <= 4:
        raise ValueError(
            f"attention_sensitivity: {name} has shape {values.shape} but must be (B, H, L, S), (B, L, S) or "
            "(B, S)"
        )
    if values.ndim == 2:
        values = values[:, None]
    found[name] = values[:, None] if values.ndim == 3 else values


def _counted(weights: Floats, queries: NDArray[Any] | None, part: slice) -> NDArray[np.bool_]:
    """Rows that count, (B, H, L)."""
    if queries is None:
        some: NDArray[np.bool_] = (weights != 0).any(axis=-1)
        return some
    if queries.shape[1] != weights.shape[2]:
        raise ValueError(
            f"attention_sensitivity: queries has {queries.shape[1]} queries but weights have "
            f"{weights.shape[2]}"
        )
    return np.broadcast_to(queries[part][:, None], weights.shape[:-1])


def _distances(p: Floats, q: Floats, real: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Sums of total variation and Jensen–Shannon divergence over the rows that count, (H,) each."""
    middle = (p + q) / 2

    def divergence(from_: Floats) -> Floats:
        ratio = np.divide(from_, middle, out=np.ones_like(from_), where=from_ > 0)
        out: Floats = (from_ * np.log(ratio)).sum(axis=-1)
        return out

    variation = np.abs(p - q).sum(axis=-1) / 2
    shannon = np.maximum((divergence(p) + divergence(q)) / 2, 0)  # rounding alone goes below 0
    return (variation * real).sum(axis=(0, 2)), (shannon * real).sum(axis=(0, 2))

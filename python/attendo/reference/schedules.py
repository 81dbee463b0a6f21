"""schedules: the learning rate of step t = 1, 2, 3, ...

  constant     lr
  step         lr γ^⌊(t - 1) / step_size⌋
  exponential  lr γ^(t - 1)
  cosine       lr t / warmup                                 while t <= warmup
               final + (lr - final) (1 + cos(π r)) / 2       after,  r = (t - warmup) / (total_steps - warmup)
               final                                         from t = total_steps on
  linear       the same with 1 - r in place of (1 + cos(π r)) / 2
  restarts     the cosine with r = c / T;  c = 0, 1, ..., T - 1 in each period of T = period steps, then
               mult times as many
  noam         factor d_model^-½ min(t^-½, t warmup^-3/2)      a straight rise to t = warmup, then 1 / √t
  one cycle    from max / div to max at t = p = pct_start total_steps, to max / (div final_div) at
               t = total_steps; each way along half a cosine, or straight
  plateau      after each observation: better than the best so far -> the new best; else one more bad one.
               More than patience bad ones: lr ← max(factor lr, min_lr), unless that is within 1e-8, and the
               next `cooldown` observations are not counted as bad

lr, γ = gamma, step_size, total_steps, warmup, final, factor, ...: numbers; t is an int, the result a float.
Loshchilov and Hutter 2017, eq. 5 (cosine, restarts); Vaswani et al. 2017, eq. 3 (noam); Smith and Topin 2018
(one cycle); article 004 §9 Q9.
"""

import math
from collections.abc import Sequence


def constant_schedule(step: int, lr: float) -> float:
    """lr, whatever the step."""
    return lr


def step_schedule(step: int, lr: float, step_size: int, gamma: float) -> float:
    """lr for the first step_size steps, then gamma times as much for the next step_size, and so on."""
    return lr * gamma ** ((step - 1) // step_size)


def cosine_schedule(step: int, lr: float, total_steps: int, warmup: int = 0, final: float = 0.0) -> float:
    """A straight rise to lr during warmup, then half a cosine wave down to final."""
    if step <= warmup:
        return lr * step / warmup
    if step >= total_steps:
        return final
    r = (step - warmup) / (total_steps - warmup)
    return final + (lr - final) * (1 + math.cos(math.pi * r)) / 2


def noam_schedule(step: int, d_model: int, warmup: int, factor: float = 1.0) -> float:
    """The schedule of the Transformer's paper."""
    return float(factor * d_model**-0.5 * min(step**-0.5, step * warmup**-1.5))


def exponential_schedule(step: int, lr: float, gamma: float) -> float:
    """gamma times as much after each step."""
    return float(lr * gamma ** (step - 1))


def linear_schedule(step: int, lr: float, total_steps: int, warmup: int = 0, final: float = 0.0) -> float:
    """A straight rise to lr during warmup, then a straight fall to final."""
    if step <= warmup:
        return lr * step / warmup
    if step >= total_steps:
        return final
    r = (step - warmup) / (total_steps - warmup)
    return lr + (final - lr) * r


def cosine_restarts_schedule(
    step: int, lr: float, period: int, mult: int = 1, final: float = 0.0, warmup: int = 0
) -> float:
    """Half a cosine wave down from lr in each period."""
    if step <= warmup:
        return lr * step / warmup
    c = step - warmup - 1
    while c >= period:
        c -= period
        period *= mult
    return final + (lr - final) * (1 + math.cos(math.pi * c / period)) / 2


def one_cycle_schedule(
    step: int,
    max_lr: float,
    total_steps: int,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    anneal: str = "cos",
) -> float:
    """Up to max_lr and down to next to nothing."""

    def between(begin: float, end: float, r: float) -> float:
        if anneal == "linear":
            return begin + (end - begin) * r
        return end + (begin - end) * (1 + math.cos(math.pi * r)) / 2

    first = max_lr / div_factor
    last = first / final_div_factor
    peak = pct_start * total_steps
    t = min(step, total_steps)
    if t <= peak:
        return between(first, max_lr, (t - 1) / (peak - 1) if peak > 1 else 1.0)
    return between(max_lr, last, (t - peak) / (total_steps - peak))


def plateau_schedule(
    observations: Sequence[float],
    lr: float,
    factor: float = 0.1,
    patience: int = 10,
    threshold: float = 1e-4,
    min_lr: float = 0.0,
    cooldown: int = 0,
    mode: str = "min",
    threshold_mode: str = "rel",
) -> list[float]:
    """-> the rate after each observation."""
    sign = 1 if mode == "min" else -1
    best, bad, resting, rates = sign * math.inf, 0, 0, []
    for value in observations:
        bound = best * (1 - sign * threshold) if threshold_mode == "rel" else best - sign * threshold
        if sign * value < sign * bound:
            best, bad = value, 0
        else:
            bad += 1
        if resting > 0:
            resting, bad = resting - 1, 0
        if bad > patience:
            lower = max(factor * lr, min_lr)
            lr = lower if lr - lower > 1e-8 else lr
            resting, bad = cooldown, 0
        rates.append(lr)
    return rates

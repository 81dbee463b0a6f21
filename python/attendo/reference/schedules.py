"""schedules: the learning rate of step t = 1, 2, 3, ...

  constant   lr
  step       lr γ^⌊(t - 1) / step_size⌋
  cosine     lr t / warmup                                   while t <= warmup
             final + (lr - final) (1 + cos(π r)) / 2         after,  r = (t - warmup) / (total_steps - warmup)
             final                                           from t = total_steps on
  noam       factor d_model^-½ min(t^-½, t warmup^-3/2)      a straight rise to t = warmup, then 1 / √t

lr, γ = gamma, step_size, total_steps, warmup, final, factor: numbers; t is an int, the result a float.
Loshchilov and Hutter 2017, eq. 5 (cosine); Vaswani et al. 2017, eq. 3 (noam); article 004 §9 Q9.
"""

import math


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

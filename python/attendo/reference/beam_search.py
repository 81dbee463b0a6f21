"""Beam search: the n likeliest beginnings go on, those that end are kept.

S(y_1 ... y_t) = sum_i log p(y_i | before), and S / t^alpha for a sequence that ended at its t-th new token.
A step looks at the (1 + number of ends) n best continuations: those among the first n that end are kept, the
best n in all; the best n of those that do not end go on.   Graves 2012; Sutskever et al. 2014, §3.2; Wu et
al. 2016, §7.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Step = Callable[[list[int]], NDArray[np.float64]]
Hypothesis = tuple[float, list[int]]


def beam_search(
    step: Step,
    prompt: Sequence[int],
    num_beams: int,
    max_new_tokens: int,
    eos_id: Sequence[int] = (),
    length_penalty: float = 1.0,
    early_stopping: bool | Literal["never"] = False,
) -> list[Hypothesis]:
    """The best finished sequences with their scores, num_beams at most; `step` gives log p (V,) after ids."""
    beams: list[Hypothesis] = [(0.0, list(prompt))]
    finished: list[Hypothesis] = []
    width = max(2, 1 + len(set(eos_id))) * num_beams
    for t in range(1, max_new_tokens + 1):
        candidates: list[Hypothesis] = []
        for score, ids in beams:
            candidates += [(score + log_p, [*ids, j]) for j, log_p in enumerate(step(ids)) if log_p > -np.inf]
        candidates = sorted(candidates, key=lambda c: -c[0])[:width]
        ended = [(c, c[1][-1] in eos_id or t == max_new_tokens) for c in candidates]
        finished += [(c[0] / t**length_penalty, c[1]) for c, end in ended[:num_beams] if end]
        finished = sorted(finished, key=lambda c: -c[0])[:num_beams]
        beams = [c for c, end in ended if not end][:num_beams]
        if not beams:
            break
        if len(finished) == num_beams:
            hopeful = early_stopping == "never" and length_penalty > 0
            hope = beams[0][0] / (max_new_tokens if hopeful else t) ** length_penalty
            if early_stopping is True or hope <= finished[-1][0]:
                break
    return finished

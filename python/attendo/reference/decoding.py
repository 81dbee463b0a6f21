"""Greedy decoding, and the probabilities that sampling draws from.

greedy: y_t = argmax_j s_j. sample: y_t ~ softmax(s): the first token at which the cumulated probabilities
pass a number drawn from (0, 1). `step` gives the scores (V,) of the token after `ids`.   Holtzman et al.
2020, §3.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .softmax import log_softmax

Step = Callable[[list[int]], NDArray[np.float64]]


def decoding(step: Step, prompt: Sequence[int], max_new_tokens: int, eos_id: Sequence[int] = ()) -> list[int]:
    """Greedy: the prompt and what follows it, up to and with the first of eos_id."""
    ids = list(prompt)
    for _ in range(max_new_tokens):
        ids.append(int(np.argmax(step(ids))))
        if ids[-1] in eos_id:
            break
    return ids


def sampled(
    step: Step, prompt: Sequence[int], numbers: Iterable[float], eos_id: Sequence[int] = ()
) -> list[int]:
    """One token for each number in (0, 1)."""
    ids = list(prompt)
    for number in numbers:
        cumulated = np.cumsum(np.exp(log_softmax(step(ids))))
        ids.append(int(np.searchsorted(cumulated, number * cumulated[-1], side="right")))
        if ids[-1] in eos_id:
            break
    return ids

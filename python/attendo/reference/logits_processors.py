"""What changes the scores of the next token before one is chosen; each step a function of (V,) scores.

repetition penalty r: s_j / r where s_j >= 0, s_j r where s_j < 0, for tokens j that came before.
no repeated n-grams: -inf where the last n - 1 tokens and j came before. Bad words: -inf where j ends one.
temperature t: s / t. top-k: below the k-th largest -inf. top-p: -inf for a token whose likelier ones have
p or more together. min-p: -inf below p times the largest probability.

Keskar et al. 2019, §4.1; Paulus et al. 2018, §2.5; Fan et al. 2018, §5.4; Holtzman et al. 2020, §3.1;
Nguyen et al. 2025, §3.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .softmax import log_softmax

Scores = NDArray[np.float64]


def penalize_repetition(scores: Scores, ids: Sequence[int], penalty: float) -> Scores:
    out = scores.copy()
    for j in set(ids):
        out[j] = scores[j] / penalty if scores[j] >= 0 else scores[j] * penalty
    return out


def forbid_ngrams(scores: Scores, ids: Sequence[int], n: int) -> Scores:
    out = scores.copy()
    known = {tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)}
    last = tuple(ids[len(ids) - n + 1 :])
    for j in range(len(scores)):
        if len(ids) >= n and (*last, j) in known:
            out[j] = -np.inf
    return out


def forbid_words(scores: Scores, ids: Sequence[int], words: Sequence[Sequence[int]]) -> Scores:
    out = scores.copy()
    for *before, last in words:
        if list(ids[len(ids) - len(before) :]) == before:
            out[last] = -np.inf
    return out


def only(scores: Scores, token: int) -> Scores:
    out = np.full_like(scores, -np.inf)
    out[token] = 0.0
    return out


def without(scores: Scores, tokens: Sequence[int]) -> Scores:
    out = scores.copy()
    out[list(tokens)] = -np.inf
    return out


def keep_top_k(scores: Scores, k: int) -> Scores:
    least = np.sort(scores)[::-1][min(k, len(scores)) - 1]
    return np.where(scores < least, -np.inf, scores)


def keep_top_p(scores: Scores, p: float) -> Scores:
    probabilities = np.exp(log_softmax(scores))
    out = np.full_like(scores, -np.inf)
    above = 0.0
    for rank, j in enumerate(np.argsort(-scores, kind="stable")):
        if rank > 0 and above >= p:
            break
        out[j] = scores[j]
        above += probabilities[j]
    return out


def keep_min_p(scores: Scores, p: float) -> Scores:
    probabilities = np.exp(log_softmax(scores))
    return np.where(probabilities < p * probabilities.max(), -np.inf, scores)


def logits_processors(
    scores: Scores,
    ids: Sequence[int],
    prompt_length: int,
    *,
    max_new_tokens: int = 2**40,
    repetition_penalty: float = 1.0,
    no_repeat_ngram_size: int = 0,
    bad_words: Sequence[Sequence[int]] = (),
    min_new_tokens: int = 0,
    eos_id: Sequence[int] = (),
    forced_bos_id: int | None = None,
    forced_eos_id: int | None = None,
    suppress: Sequence[int] = (),
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
) -> Scores:
    """All of them, in order."""
    made = len(ids) - prompt_length
    out = penalize_repetition(scores, ids, repetition_penalty)
    if no_repeat_ngram_size > 0:
        out = forbid_ngrams(out, ids, no_repeat_ngram_size)
    out = forbid_words(out, ids, [word for word in bad_words if len(word) > 1 or word[0] not in eos_id])
    if made < min_new_tokens:
        out = without(out, eos_id)
    if forced_bos_id is not None and made == 0:
        out = only(out, forced_bos_id)
    if forced_eos_id is not None and made == max_new_tokens - 1:
        out = only(out, forced_eos_id)
    out = without(out, suppress)
    if temperature != 1:
        out = (out - out.max()) / temperature
    if top_k > 0:
        out = keep_top_k(out, top_k)
    if top_p < 1:
        out = keep_top_p(out, top_p)
    return keep_min_p(out, min_p) if min_p > 0 else out

"""Decoding: greedy, by beams, by sampling; at once or token by token; for any model in C++ or Python."""
# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from .. import _core
from .._core import TokenStream
from .._pages import page

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Unpack

    from .._core import Generator
    from .._typing import TensorLike

__all__ = ["DecodingOptions", "TokenStream", "generate", "process_logits", "stream"]


class DecodingOptions(TypedDict, total=False):
    """What every ``generate`` takes besides its inputs; :func:`generate` says what each means."""

    min_new_tokens: int
    eos_id: int | Sequence[int] | None
    pad_id: int | None
    stop: Sequence[Sequence[int]] | None
    bad_words: Sequence[Sequence[int]] | None
    suppress: Sequence[int] | None
    forced_bos_id: int | None
    forced_eos_id: int | None
    repetition_penalty: float
    no_repeat_ngram_size: int
    do_sample: bool
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    seed: int | Sequence[int] | None
    generator: Generator | None
    num_beams: int
    num_return_sequences: int
    length_penalty: float
    early_stopping: bool | Literal["never"]
    return_scores: bool


def generate(
    step: Callable[..., TensorLike],
    ids: ArrayLike,
    *,
    max_new_tokens: int,
    lengths: ArrayLike | None = None,
    **options: Unpack[DecodingOptions],
) -> Any:
    r"""Continue sequences of tokens with a model given as a function.

    The models of this package have a ``generate`` of their own with the same options, on a key-value cache.

    Parameters
    ----------
    step : callable
        ``step(ids)``: all tokens so far, an int64 array (rows, T), to the logits (rows, V) of the next one.
        With prompts of unequal lengths it is called as ``step(ids, lengths)``, rows padded behind their end.
        What is -inf is forbidden.
    ids : array_like of int, shape (B, S), or list of lists
        The prompts, one token or more each. Lists may have unequal lengths.
    max_new_tokens : int
        The most tokens to add, 0 or more.
    lengths : array_like of int, shape (B,), optional
        How many of the S are each row's; what is behind them is not read. All when not given.
    min_new_tokens : int
        No end before so many.
    eos_id : int or sequence of int, optional
        A row ends with any of these, which stay in it.
    pad_id : int, optional
        Behind the end of shorter rows: the first of eos_id when not given, or 0.
    stop : sequence of sequences of int, optional
        A row also ends when its new tokens end with one of these, which stays in it.
    bad_words : sequence of sequences of int, optional
        Never completed. One that is a single eos_id is ignored.
    suppress : sequence of int, optional
        Tokens never chosen.
    forced_bos_id, forced_eos_id : int, optional
        The first new token, and the last of ``max_new_tokens``.
    repetition_penalty : float
        r above 0: of tokens in the row so far, prompt included, a score s becomes s / r where it is positive
        and s r where it is not.
    no_repeat_ngram_size : int
        n above 0: no n tokens in a row occur twice, prompt included.
    do_sample : bool
        Draw tokens from their probabilities. The options down to ``generator`` are for this alone.
    temperature : float, optional
        t above 0: logits over t.
    top_k : int, optional
        Only tokens not below the k-th largest logit. 0 or not given: all.
    top_p : float, optional
        0 to 1: the likeliest tokens until they have p together; one at least.
    min_p : float, optional
        0 to 1: tokens with at least p times the largest probability.
    seed : int or sequence of int, optional
        One for all rows, or one for each. A row with the same seed and prompt gives the same tokens, whatever
        the batch; equal prompts need seeds of their own, or ``num_return_sequences``, to differ. Without seed
        and generator the operating system decides.
    generator : Generator, optional
        Draws a seed for each row.
    num_beams : int
        1 to 1024. Above 1: beam search, the likeliest sequences rather than the likeliest next token.
    num_return_sequences : int
        Sequences for each prompt: different samples, or the best num_beams or fewer beams, best first.
    length_penalty : float
        Beams: the log-probability of a finished sequence over its number of new tokens to this power. Above
        0 longer ones gain.
    early_stopping : bool or "never"
        Beams: with num_beams sequences finished, stop (True), stop when the best open one is no better at
        its present length (False), or when none could come to be better (``"never"``).
    return_scores : bool
        Give the log-probabilities too.

    Returns
    -------
    ids : ndarray of int64, shape (B num_return_sequences, T)
        Row by row the prompt, without padding of its own; the new tokens; padding. Rows of one prompt stand
        together. A beam search that found fewer sequences gives prompts without new tokens.
    scores : ndarray of float64, shape (B num_return_sequences,), optional
        The sum of the log-probabilities of the new tokens, each under the distribution it was chosen from;
        with beams, over the number of tokens to the power of length_penalty, -inf for rows without any.

    Raises
    ------
    ValueError
        When an option is out of range or does not go with others, ids or lengths do not fit, the logits hold
        NaN or inf, or every token is forbidden.
    TypeError
        When an argument has the wrong type.
    KeyboardInterrupt
        On Ctrl-C, between two steps.

    Notes
    -----
    The logits pass through repetition penalty, n-grams, bad words, min_new_tokens, forced and suppressed
    tokens, temperature, top-k, top-p and min-p, in this order; beams take log-softmax before and leave out
    the last four, and sum what results. Of equal scores the lowest id wins. Token t of sample n of a row is
    drawn with a counter-based generator at (seed, n, t): the same on any number of threads.

    References
    ----------
    Holtzman et al. 2020, "The curious case of neural text degeneration". Fan et al. 2018, §5.4. Keskar et al.
    2019, §4.1. Nguyen et al. 2025, "Turning up the heat: min-p sampling". Wu et al. 2016, §7.

    Examples
    --------
    A model that counts to four and begins again:

    >>> import numpy as np
    >>> import attendo as at
    >>> def step(ids):
    ...     return np.eye(5)[(ids[:, -1] + 1) % 5] * 3
    >>> at.models.generate(step, [[0], [3]], max_new_tokens=4)
    array([[0, 1, 2, 3, 4],
           [3, 4, 0, 1, 2]])
    >>> at.models.generate(step, [[0], [3]], max_new_tokens=4, eos_id=4, pad_id=9)
    array([[0, 1, 2, 3, 4],
           [3, 4, 9, 9, 9]])
    >>> at.models.generate(step, [[0]], max_new_tokens=4, do_sample=True, seed=3).shape
    (1, 5)
    >>> ids, scores = at.models.generate(
    ...     step, [[0]], max_new_tokens=3, num_beams=2, num_return_sequences=2, return_scores=True
    ... )
    >>> ids[0], scores.round(3)
    (array([0, 1, 2, 3]), array([-0.182, -1.182]))

    Source: cpp/models/decoding.cpp
    """
    return _core.generate(step, ids, lengths, max_new_tokens=max_new_tokens, **options)


def stream(
    step: Callable[..., TensorLike],
    ids: ArrayLike,
    *,
    max_new_tokens: int,
    lengths: ArrayLike | None = None,
    **options: Unpack[DecodingOptions],
) -> TokenStream:
    """:func:`generate` token by token: greedy decoding and sampling, not beams.

    Parameters
    ----------
    step, ids, max_new_tokens, lengths, options
        As of :func:`generate`, without the options of beams.

    Returns
    -------
    TokenStream
        An iterator: int64 arrays (B num_return_sequences,), the next token of each row, padding where it has
        ended.

    Raises
    ------
    ValueError, TypeError
        As :func:`generate`; and when num_beams is above 1, since which beam wins is not known before the end.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> def step(ids):
    ...     return np.eye(5)[(ids[:, -1] + 1) % 5]
    >>> tokens = at.models.stream(step, [[0], [3]], max_new_tokens=3, eos_id=4)
    >>> for column in tokens:
    ...     print(column)
    [1 4]
    [2 4]
    [3 4]
    >>> tokens.sequences
    array([[0, 1, 2, 3],
           [3, 4, 4, 4]])

    Source: cpp/models/decoding.cpp
    """
    return _core.stream(step, ids, lengths, max_new_tokens=max_new_tokens, **options)


def process_logits(
    logits: TensorLike,
    ids: ArrayLike,
    *,
    prompt_length: int | None = None,
    **options: Unpack[DecodingOptions],
) -> NDArray[np.float64]:
    """What the options of :func:`generate` make of logits: what softmax and the draw then see.

    Parameters
    ----------
    logits : array_like, shape (B, V)
        Of the next token.
    ids : array_like of int, shape (B, T)
        The tokens so far.
    prompt_length : int, optional
        How many of the T were given; all when not given.
    options
        Those of :func:`generate`. Those that do not concern logits change nothing.

    Returns
    -------
    ndarray of float64, shape (B, V)
        -inf for what is forbidden. With a temperature the largest is 0.

    Raises
    ------
    ValueError, TypeError
        As :func:`generate`.

    Examples
    --------
    >>> import attendo as at
    >>> at.models.process_logits([[2.0, 1.0, 0.0, -1.0]], [[0, 3]], repetition_penalty=2.0, top_k=3)
    array([[  1.,   1.,   0., -inf]])

    Source: cpp/models/logits_processors.cpp
    """
    return _core.process_logits(logits, ids, prompt_length, **options)


@page(TokenStream, "attendo.models")
class _TokenStream:
    """The tokens of each step, as they come: what ``stream`` gives.

    Each step runs when the next tokens are asked for. Whoever stops asking stops the model.

    Attributes
    ----------
    sequences : ndarray of int64, shape (rows, T)
        The prompts and what has come so far, padded.

    Examples
    --------
    >>> import attendo as at
    >>> model = at.models.DecoderLM(10, 8, 2, 1, max_len=8, seed=0)
    >>> tokens = at.models.stream(lambda ids: model(ids)[:, -1], [[1, 2]], max_new_tokens=3)
    >>> len(list(tokens))
    3

    Source: cpp/models/decoding.cpp
    """

    def __iter__(self) -> Iterator[NDArray[np.int64]]: ...

    def __next__(self) -> NDArray[np.int64]:
        """The next token of each row, (rows,)."""

    @property
    def sequences(self) -> NDArray[np.int64]:
        """The prompts and what has come so far, padded, (rows, T)."""

"""The main job: train a Transformer to read dates, judge it on days it has never seen, and show why."""

from __future__ import annotations

import os
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from .attention_row import attention_row
from .dates import DateData, Pairs, build
from .forms import LANGUAGES, fold, language_name, split_language
from .report import write_report
from .result import Answer, DemoResult, Example
from .translator import DateTranslator
from .vocabulary import PAD

_EXAMPLE_CANDIDATES = 40
_MISTAKES_PRINTED = 20


def run(
    seed: int = 0,
    steps: int = 6000,
    out: str | os.PathLike[str] = "attendo-demo",
    quick: bool = False,
    *,
    batch_size: int = 64,
    epochs: int = 4,
    d_model: int = 64,
    num_heads: int = 4,
    num_layers: int = 2,
    dff: int = 256,
    dropout: float = 0.0,
    peak_lr: float = 1.5e-3,
    warmup: int = 400,
    n_validation: int = 1000,
    n_test: int = 2800,
    progress: bool = True,
) -> DemoResult:
    """Train, evaluate, print, and write the report and the model into the folder `out`.

    Parameters
    ----------
    seed : int
        Of the data, the parameters and the order of the batches; the same seed gives the same numbers.
    steps : int
        Batches to train on, rounded to a whole number for each of `epochs`.
    out : path
        Made if need be; report.html, model.safetensors and vocabulary.json in it are overwritten.
    quick : bool
        A few seconds' run that shows that everything works, not that the model learns.
    peak_lr, warmup
        The Noam schedule rises to `peak_lr` in `warmup` steps, then falls with the square root of the step.

    Returns
    -------
    DemoResult
    """
    if steps < 1:
        raise ValueError(f"steps: must be at least 1, not {steps}")
    if quick:
        steps, n_validation, n_test = min(steps, 30), min(n_validation, 56), min(n_test, 140)
    begin = time.perf_counter()
    import attendo as at

    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)  # before the work, so that a bad path costs nothing

    epochs = min(epochs, steps)
    per_epoch = max(1, round(steps / epochs))
    data = build(per_epoch * batch_size, n_validation, n_test, seed)
    seconds = {"data": time.perf_counter() - begin}

    model = at.models.Transformer(
        d_model=d_model,
        nhead=num_heads,
        num_encoder_layers=num_layers,
        num_decoder_layers=num_layers,
        dff=dff,
        input_vocab_size=len(data.source),
        target_vocab_size=len(data.target),
        max_len=data.source_length,
        dropout=dropout,
        pad_id=PAD,
        seed=seed,
    )
    info = at.info()
    _say(f"Dates as people write them, in {len(LANGUAGES)} locales, into ISO form.")
    _say(
        f"  data   {len(data.train):,} pairs to learn from; {len(data.test):,} held out, on days never seen "
        "in training"
    )
    _say(
        f"  model  Transformer, {d_model} features, {num_heads} heads, {num_layers} + {num_layers} layers, "
        f"{model.num_parameters():,} parameters; {info.get('isa', '?')}, {info.get('threads', '?')} threads"
    )

    # The schedule is factor · d_model^-½ · min(step^-½, step · warmup^-3/2), highest at step = warmup.
    factor = peak_lr * d_model**0.5 * warmup**0.5
    optimizer = at.optim.Adam(
        lr=at.schedules.noam(d_model, warmup=warmup, factor=factor), betas=(0.9, 0.98), eps=1e-9
    )
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(ignore_index=PAD), optimizer, seed=seed)
    inputs, target = _arrays(data.train, data)
    validation = _arrays(data.validation, data)
    start = time.perf_counter()
    history = trainer.fit(
        inputs, target, epochs=epochs, batch_size=batch_size, validation=validation, progress=progress
    )
    seconds["training"] = time.perf_counter() - start

    start = time.perf_counter()
    model.eval()
    translator = DateTranslator(model, data.source, data.target, data.source_length, LANGUAGES)
    test = data.test
    answers = [
        Answer(language, text, iso, answer)
        for language, text, iso, answer in zip(
            test.languages, test.texts, test.isos, translator(test.texts), strict=True
        )
    ]
    examples = [_example(translator, answer) for answer in _one_per_language(answers)]
    row_example = _row_example(translator, examples)
    # The row that writes the second digit of the month: the model must read a name, or know which number is
    # the month.
    row = attention_row(model, *_ids(translator, row_example), num_heads, position=len("2026-1"))
    seconds["evaluation"] = time.perf_counter() - start
    translator.save(folder)

    seconds["total"] = time.perf_counter() - begin
    result = DemoResult(
        settings={
            "seed": seed,
            "steps": epochs * per_epoch,
            "batch size": batch_size,
            "epochs": epochs,
            "training pairs": len(data.train),
            "d_model": d_model,
            "heads": num_heads,
            "layers": f"{num_layers} + {num_layers}",
            "dff": dff,
            "dropout": dropout,
            "peak learning rate": peak_lr,
            "warm-up steps": warmup,
            "parameters": int(model.num_parameters()),
        },
        info=info,
        names={language: language_name(language) for language in LANGUAGES},
        step_loss=np.asarray(history["step_loss"], dtype=np.float64),
        validation_loss=np.asarray(history["val_loss"], dtype=np.float64),
        seconds=seconds,
        answers=answers,
        examples=examples,
        row_example=row_example,
        row=row,
        folder=folder,
        quick=quick,
    )
    report = write_report(result, folder / "report.html")
    _print(result, report)
    return result


def _arrays(pairs: Pairs, data: DateData) -> tuple[tuple[Any, Any], Any]:
    """((source ids, begin + ISO), ISO + end): the decoder is given what it should have written so far."""
    src = data.source.encode([fold(text) for text in pairs.texts], data.source_length)
    return (src, data.target.encode(pairs.isos, bos=True)), data.target.encode(pairs.isos, eos=True)


def _one_per_language(answers: list[Answer]) -> list[Answer]:
    """Of the first answers in each language, the one longest in words: a weekday and a month by name."""
    chosen = []
    for language in dict.fromkeys(LANGUAGES):
        candidates = [answer for answer in answers if answer.language == language][:_EXAMPLE_CANDIDATES]
        if candidates:
            chosen.append(
                max(
                    candidates,
                    key=lambda answer: (sum(map(str.isalpha, split_language(answer.text)[1])), answer.text),
                )
            )
    return chosen


def _ids(translator: DateTranslator, example: Example) -> tuple[Any, Any]:
    """Source (1, S) without padding and decoder input (1, T) of an example."""
    return translator.source.encode([example.read]), translator.target.encode([example.written], bos=True)


def _example(translator: DateTranslator, answer: Answer) -> Example:
    read, written = fold(answer.text), answer.answer.replace("\ufffd", "")
    src, tgt = translator.source.encode([read]), translator.target.encode([written], bos=True)
    weights = np.asarray(translator.model.cross_attention(src, tgt), dtype=np.float64)[:, 0]
    return Example(answer, read, written, weights)


def _row_example(translator: DateTranslator, examples: list[Example]) -> Example:
    """The example whose row is shown step by step: an English one that is right, or at least long enough."""
    ranked = sorted(
        examples, key=lambda example: (not example.answer.right, example.answer.language != "en-GB")
    )
    for example in ranked:
        if len(example.written) == len(example.answer.truth):
            return example
    # A model that has learnt nothing may write too little; then show how it reads the right answer.
    answer = ranked[0].answer
    return _example(translator, Answer(answer.language, answer.text, answer.truth, answer.truth))


def _say(text: str = "") -> None:
    print(text, flush=True)


def _padded(text: str, width: int) -> str:
    """Pad to a width in terminal columns, where an East Asian character takes two."""
    columns = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
    return text + " " * (width - columns)


def _print(result: DemoResult, report: Path) -> None:
    _say()
    _say("One held-out date in each locale")
    for example in result.examples:
        answer = example.answer
        verdict = "" if answer.right else f"   wrong: {answer.truth}"
        _say(f"  {answer.language:<6} {_padded(answer.text, 44)} {answer.answer}{verdict}")
    _say()
    _say("Exact match by locale")
    for language, (right, total) in result.by_language().items():
        share = right / total
        bar = "█" * round(20 * share)
        _say(
            f"  {language:<6} {_padded(result.names[language], 26)} {right:>5,} / {total:<5,} {share:7.1%}  "
            f"{bar}"
        )
    mistakes = result.mistakes
    _say()
    if mistakes:
        shown = mistakes[:_MISTAKES_PRINTED]
        _say(
            f"Mistakes ({len(mistakes):,}"
            + (f", the first {len(shown)}" if len(shown) < len(mistakes) else "")
            + ")"
        )
        for answer in shown:
            _say(
                f"  {answer.language:<6} {_padded(answer.text, 44)} {answer.answer or '(nothing)'}   wrong: "
                f"{answer.truth}"
            )
    else:
        _say("No mistakes.")
    _say()
    _say(f"Exact match on {len(result.answers):,} held-out dates: {result.exact_match:.2%}")
    _say(
        f"Time {result.seconds['total']:.1f} s: {result.seconds['data']:.1f} s data, "
        f"{result.seconds['training']:.1f} s training ({result.steps_per_second:.1f} steps/s), "
        f"{result.seconds['evaluation']:.1f} s evaluation"
    )
    _say(f"Report {report}")
    hint = 'try: attendo translate "le 3 mars 1999"'
    if result.quick:
        hint = "of a quick run: it has learnt nothing yet"
    _say(f"Model  {result.folder / 'model.safetensors'}   {hint}")

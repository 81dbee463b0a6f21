"""The main job: short here, whole when asked for."""

from __future__ import annotations

import numpy as np
import pytest

import attendo as at
from attendo.demo.attention_row import attention_row, cross_attention_inputs
from attendo.demo.forms import LANGUAGES
from attendo.demo.run import run
from attendo.demo.vocabulary import PAD


def test_a_short_run_leaves_everything_behind(quick_run):
    names = sorted(path.name for path in quick_run.folder.iterdir())
    assert names == ["model.safetensors", "report.html", "vocabulary.json"]
    assert len(quick_run.answers) == 140
    assert [example.answer.language for example in quick_run.examples] == list(LANGUAGES)
    assert quick_run.step_loss.shape == (quick_run.settings["steps"],)
    assert len(quick_run.validation_loss) == quick_run.settings["epochs"]
    assert np.isfinite(quick_run.step_loss).all() and quick_run.step_loss[-1] < quick_run.step_loss[0]
    report = (quick_run.folder / "report.html").read_text(encoding="utf-8")
    for example in quick_run.examples:
        assert quick_run.names[example.answer.language] in report


def test_the_attention_of_the_examples_has_one_row_for_every_character_written(quick_run):
    for example in [*quick_run.examples, quick_run.row_example]:
        assert example.weights.shape[2:] == (len(example.written) + 1, len(example.read))
        assert np.allclose(example.weights.sum(axis=-1), 1, atol=1e-5)


def test_the_row_is_one_of_the_models(quick_run):
    row, example = quick_run.row, quick_run.row_example
    assert row.difference <= 1e-4
    assert np.allclose(row.weights, example.weights[0, row.head, row.position], atol=1e-4)
    assert np.allclose(row.scores, row.k @ row.q) and np.allclose(
        row.scaled, row.scores / np.sqrt(len(row.q))
    )
    assert np.allclose(row.exponentials / row.total, row.weights) and np.allclose(
        row.weights @ row.v, row.out
    )
    assert row.maximum == row.scaled.max() and row.weights.sum() == pytest.approx(1)


def test_the_same_seed_gives_the_same_run(quick_run, tmp_path):
    again = run(seed=1, quick=True, out=tmp_path, progress=False)
    assert np.array_equal(again.step_loss, quick_run.step_loss)
    assert again.answers == quick_run.answers


def test_what_is_printed(capsys, tmp_path):
    run(seed=2, steps=3, quick=True, out=tmp_path, progress=False)
    out = capsys.readouterr().out
    for words in (
        "Exact match by locale",
        "English (United Kingdom)",
        "Exact match on 140 held-out dates",
        "report.html",
    ):
        assert words in out


def test_bad_steps(tmp_path):
    with pytest.raises(ValueError, match="steps: must be at least 1"):
        run(steps=0, out=tmp_path / "never")
    assert not (tmp_path / "never").exists()


# -- the row, without a run


@pytest.fixture(scope="module")
def small():
    model = at.models.Transformer(
        d_model=16, nhead=2, num_encoder_layers=1, num_decoder_layers=2, dff=32, input_vocab_size=20,
        target_vocab_size=15, max_len=12, dropout=0.0, pad_id=PAD, seed=0,
    )  # fmt: skip
    model.eval()
    rng = np.random.default_rng(0)
    src, tgt = rng.integers(4, 20, size=(1, 9)), rng.integers(4, 15, size=(1, 5))
    src[0, 7:] = PAD
    return model, src, tgt


def test_padding_is_left_out_of_the_row(small):
    model, src, tgt = small
    row = attention_row(model, src, tgt, 2, position=3, head=1)
    assert row.k.shape == row.v.shape == (7, 8) and row.weights.shape == (7,)
    assert np.allclose(row.weights, np.asarray(model.cross_attention(src, tgt))[0, 0, 1, 3, :7], atol=1e-4)


def test_without_a_head_the_most_certain_is_taken(small):
    model, src, tgt = small
    tops = [attention_row(model, src, tgt, 2, position=2, head=head).weights.max() for head in range(2)]
    assert attention_row(model, src, tgt, 2, position=2).head == int(np.argmax(tops))


def test_shapes_of_the_inputs(small):
    model, src, tgt = small
    q, k, v = cross_attention_inputs(model, src[:, :7], tgt, 2)
    assert q.shape == (1, 2, 5, 8) and k.shape == v.shape == (1, 2, 7, 8)


class Differs:
    """A model that says it attended to something else."""

    def __init__(self, model, by: float) -> None:
        self.model, self.by = model, by

    def __getattr__(self, name):
        return getattr(self.model, name)

    def cross_attention(self, src, tgt):
        return np.asarray(self.model.cross_attention(src, tgt)) + self.by


@pytest.mark.parametrize("by", [1e-3, np.nan])
def test_a_model_that_attends_otherwise_is_found_out(small, by):
    model, src, tgt = small
    with pytest.raises(RuntimeError, match="the cross-attention recomputed in NumPy differs"):
        attention_row(Differs(model, by), src, tgt, 2, position=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_whole_demo_reaches_99_percent(seed, tmp_path):
    result = run(seed=seed, out=tmp_path, progress=False)
    assert result.exact_match >= 0.99
    print(f"seed {seed}: {result.exact_match:.2%} in {result.seconds['total']:.0f} s")  # seen with pytest -s

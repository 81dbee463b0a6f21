"""What README and docs/checkpoints.md show runs, on folders made here."""

import re
from pathlib import Path

import numpy as np
import pytest

import attendo as at

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["Attention is all you need", "a sentence", "another one", "two texts", "of unequal lengths"] * 4


def folders(path):
    """Small models with tokenizers in the places of those that the pages name."""
    pytest.importorskip("tokenizers", reason="the extra tokenizers is not installed")
    tokenizer = at.text.SubwordTokenizer.train(TEXTS, vocab_size=300)
    size = len(tokenizer)
    models = {
        "gpt2": at.models.DecoderLM(
            size, 16, 2, 1, 64, norm_first=True, activation="gelu_tanh", positions="learned",
            tie_weights=True, scale_embeddings=False, seed=0,
        ),
        "all-MiniLM-L6-v2": at.models.TextEncoder(size, 16, 2, 1, max_len=32, seed=0),
    }  # fmt: skip
    for name, model in models.items():
        model.save_pretrained(path / name)
        tokenizer.save(path / name)
    return models


def blocks(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(code, path):
    names: dict = {"at": at, "np": np}
    exec(code.replace("path/to/", f"{path}/"), names)
    return names


def test_readme(tmp_path, capsys):
    folders(tmp_path)
    (code,) = (block for block in blocks("README.md") if "path/to/" in block)
    names = run(code, tmp_path)
    assert names["vectors"].shape == (2, 16)
    np.testing.assert_allclose(np.linalg.norm(names["vectors"], axis=1), 1, rtol=1e-6)
    assert at.models.load_pretrained(tmp_path / "copy").config == names["model"].config
    assert "Attention is" in capsys.readouterr().out


def test_checkpoints_page(tmp_path, monkeypatch):
    folders(tmp_path)
    monkeypatch.chdir(tmp_path)
    code = blocks("docs/checkpoints.md")[0].replace("path/to/folder", "path/to/gpt2")
    names = run(code, tmp_path)
    assert names["mask"].dtype == bool and names["ids"].shape == names["mask"].shape
    assert (tmp_path / "another/folder/model.safetensors").exists()

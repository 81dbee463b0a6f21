"""What docs/training.md shows runs, in order, and does what it says."""

import re
from pathlib import Path

import numpy as np

import attendo as at

PAGE = Path(__file__).resolve().parents[2] / "docs" / "training.md"


def test_training_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names: dict = {}
    for code in blocks:
        exec(code, names)
        if "history" in names and "resumed" not in names:
            assert names["history"]["val_accuracy"][-1] > 0.9
            names["resumed"] = at.train.resume("run")
            whole = names["history"]["step_loss"]
            np.testing.assert_array_equal(names["resumed"].history["step_loss"], whole)
    assert isinstance(names["best"], type(names["model"])) and "Consistent" in names
    assert (tmp_path / "run" / "history.svg").stat().st_size > 1000
    assert "epoch" in capsys.readouterr().out

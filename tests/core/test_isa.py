"""The instruction set is chosen when the program runs; each gives the same numbers but for rounding."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import attendo as at
from tolerance import assert_close

CHILD = """
import sys
import numpy as np
import attendo as at

rng = np.random.default_rng(0)
results = {}
for dtype in ("float32", "float64"):
    q, k, v = (rng.standard_normal((2, 3, n, 17)).astype(dtype) for n in (33, 65, 65))
    tensors = [at.tensor(x, requires_grad=True) for x in (q, k, v)]
    out = at.attention(*tensors, mask=at.masks.causal(), q_offset=32)
    weight = rng.standard_normal((65, 17)).astype(dtype)
    y = at.functional.gelu(at.functional.layer_norm(at.functional.linear(out, weight)))
    z = at.functional.log_softmax(y.tanh() + y.sigmoid())
    image = rng.standard_normal((2, 3, 9, 10)).astype(dtype)
    kernel = rng.standard_normal((5, 3, 3, 3)).astype(dtype)
    z.backward(rng.standard_normal(z.shape).astype(dtype))
    results[f"z_{dtype}"] = z.numpy()
    results[f"conv_{dtype}"] = at.functional.conv2d(image, kernel, padding=1)
    results |= {f"d{i}_{dtype}": t.grad.numpy() for i, t in enumerate(tensors)}
    ids = rng.integers(0, 5, (2, 7))
    model = at.models.Transformer(16, 2, 1, 1, 32, 9, 7, 12, dropout=0.2, dtype=dtype, seed=0)
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam())
    history = trainer.fit((ids, ids), ids, epochs=3, batch_size=1, progress=False)
    results[f"loss_{dtype}"] = history["step_loss"].astype(dtype)
np.savez(sys.argv[1], isa=at.info()["isa"], **results)
"""

ISAS = ["baseline", "avx2", "avx512"]
LEVEL = {"baseline": 0, "neon": 0, "avx2": 1, "avx512": 2}


def run(isa, path, monkeypatch):
    if isa is None:
        monkeypatch.delenv("ATTENDO_ISA", raising=False)
    else:
        monkeypatch.setenv("ATTENDO_ISA", isa)
    result = subprocess.run([sys.executable, "-c", CHILD, path], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    with np.load(path) as file:
        return dict(file)


@pytest.mark.parametrize("isa", ISAS)
def test_every_instruction_set_gives_the_same_numbers(isa, tmp_path, monkeypatch):
    expected = run(None, tmp_path / "expected.npz", monkeypatch)
    best = str(expected.pop("isa"))
    if LEVEL[isa] > LEVEL[best]:
        pytest.skip(f"this processor knows {best} at best")
    got = run(isa, tmp_path / "got.npz", monkeypatch)
    assert str(got.pop("isa")) == ("neon" if best == "neon" else isa)
    for name, value in expected.items():
        assert_close(got[name], value, scale=10.0, what=name)


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_every_operation_with_every_instruction_set(isa):
    """The tests of the operations and of attention once more, on the kernels of a lesser processor."""
    if LEVEL[isa] >= LEVEL[at.info()["isa"]]:
        pytest.skip(f"the tests have run with {at.info()['isa']} already")
    tests = Path(__file__).parents[1]
    chosen = "test_forward or test_gradient or test_weights or dropout or nan or optimizers or reference"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", chosen]
    folders = [tests / name for name in ("ops", "attention", "nn", "train")]
    environment = {**os.environ, "ATTENDO_ISA": isa}
    result = subprocess.run(
        [*command, *folders], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-4000:]


def test_an_unknown_instruction_set_is_an_error(monkeypatch):
    monkeypatch.setenv("ATTENDO_ISA", "mmx")
    code = "import attendo as at, numpy as np; at.functional.matmul(np.ones((2, 2)), np.ones((2, 2)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "mmx" in result.stderr and "ATTENDO_ISA" in result.stderr

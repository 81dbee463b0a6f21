"""compare: bytes, parameters, zeros, time and accuracy beside each other."""

import numpy as np
import pytest

import attendo as at


def test_every_column(tmp_path):
    small, large = (
        at.nn.Linear(6, 3, seed=0),
        at.nn.Sequential(at.nn.Linear(6, 500, seed=1), at.nn.Linear(500, 3, seed=2)),
    )
    large.train()
    x = np.random.default_rng(0).normal(size=(30, 6)).astype("float32")
    y = small.eval()(x).numpy().argmax(axis=1)
    small.train()
    found = at.compress.compare({"small": small, "large": large}, x, y, batch_size=7)
    assert found["small"]["accuracy"] == 1 and found["large"]["accuracy"] < 1
    assert found["small"]["parameters"] == 21 and found["large"]["parameters"] == 6 * 500 + 500 + 1500 + 3
    for name, model in (("small", small), ("large", large)):
        model.save(tmp_path / name)
        assert found[name]["bytes"] == (tmp_path / name).stat().st_size
        assert model.training and found[name]["milliseconds"] > 0
    small.bias.assign(np.zeros(3, "float32"))
    assert found["small"]["zeros"] == 0
    assert at.compress.compare({"small": small}, x, y, repeats=1)["small"]["zeros"] == 3 / 21
    lines = str(found).splitlines()
    assert lines[0].split() == ["model", "bytes", "parameters", "zeros", "ms", "accuracy"]
    assert [line.split()[0] for line in lines[1:]] == ["small", "large"]


def test_another_metric_and_several_inputs():
    class Sum(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.out = at.nn.Linear(2, 1, seed=0)

        def forward(self, a, b):
            return self.out(a + b)

    def error(prediction, target):
        return float(np.abs(prediction - target).max())

    x = np.ones((4, 2), "float32")
    model = Sum()
    found = at.compress.compare({"sum": model}, (x, x), model(x, x).numpy(), metric=error)
    assert found.metric == "error" and found["sum"]["error"] == 0


def test_bad_calls():
    model, x = at.nn.Linear(2, 2, seed=0), np.ones((3, 2), "float32")
    with pytest.raises(ValueError, match="there are no models"):
        at.compress.compare({}, x, [0, 0, 0])
    with pytest.raises(ValueError, match="no samples"):
        at.compress.compare({"a": model}, x[:0], [])
    with pytest.raises(ValueError, match="repeats is 0"):
        at.compress.compare({"a": model}, x, [0, 0, 0], repeats=0)
    with pytest.raises(TypeError, match="compare: metric gave a NoneType but must give a number"):
        at.compress.compare({"a": model}, x, [0, 0, 0], metric=lambda p, q: None)
    with pytest.raises(ValueError, match="compare: batch_size is 0"):
        at.compress.compare({"a": model}, x, [0, 0, 0], batch_size=0)
    with pytest.raises(ValueError, match=r"target has shape \(2,\)"):
        at.compress.compare({"a": model}, x, [0, 0])

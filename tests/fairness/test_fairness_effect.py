"""What weights and samples are for: on unbalanced data, over several seeds, the gaps narrow by so much."""

from __future__ import annotations

import numpy as np
import pytest

import attendo as at

fairness = at.fairness
pytest.importorskip("sklearn", reason="F1 is scikit-learn's")
SEEDS = range(5)


def trained(x, y, seed, weight=None):
    """A small network; with weights the loss is the mean by them."""
    first, last = at.nn.Linear(x.shape[1], 8, seed=seed), at.nn.Linear(8, 2, seed=seed + 1)
    model = at.nn.Sequential(first, at.nn.Tanh(), last)
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=0.02), seed=seed)
    trainer.fit(x, y, epochs=10, batch_size=100, sample_weight=weight, progress=False)
    return model.eval()


def two_groups(seed, samples=1500):
    """Group b is one in five, and there the favourable class is rare: 15 % and not 60 %."""
    rng = np.random.default_rng(seed)
    group = (rng.random(samples) < 0.2).astype(int)
    y = (rng.random(samples) < np.where(group == 1, 0.15, 0.6)).astype(int)
    x = rng.normal(size=(samples, 4)) + 0.5 * y[:, None]
    return np.column_stack([x, group]).astype("float32"), y, group


@pytest.mark.parametrize("method", ["group_weights", "over", "under"])
def test_the_gap_between_groups_narrows_to_less_than_a_third(method):
    gaps, accuracy = {"plain": [], method: []}, {"plain": [], method: []}
    for seed in SEEDS:
        (x, y, group), (x_test, y_test, group_test) = two_groups(seed), two_groups(100 + seed)
        if method == "group_weights":
            better = trained(x, y, seed, fairness.group_weights(y, group))
        else:
            i = fairness.resample(y, group, strategy=method, seed=seed)
            better = trained(x[i], y[i], seed)
        for name, model in (("plain", trained(x, y, seed)), (method, better)):
            report = fairness.report(model(x_test), y_test, group_test, positive=1)
            gaps[name].append(report.gaps["demographic_parity"])
            accuracy[name].append(at.metrics.accuracy(model(x_test), y_test))
    assert min(gaps["plain"]) > 0.4
    assert np.mean(gaps[method]) < np.mean(gaps["plain"]) / 3
    assert max(gaps[method]) < min(gaps["plain"])
    # It has its price, which is not hidden.
    assert np.mean(accuracy["plain"]) - np.mean(accuracy[method]) < 0.12


@pytest.mark.parametrize("method", ["class_weights", "over", "under"])
def test_the_gap_between_classes_narrows_to_less_than_a_third(method):
    gaps, f1 = {"plain": [], method: []}, {"plain": [], method: []}
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        y = (rng.random(4000) < 0.08).astype(int)
        x = (rng.normal(size=(4000, 4)) + 0.7 * y[:, None]).astype("float32")
        x, x_test, y, y_test = x[:1500], x[1500:], y[:1500], y[1500:]
        if method == "class_weights":
            better = trained(x, y, seed, fairness.class_weights(y)[y])
        else:
            i = fairness.resample(y, strategy=method, seed=seed)
            better = trained(x[i], y[i], seed)
        for name, model in (("plain", trained(x, y, seed)), (method, better)):
            # With the classes as groups, accuracy is recall.
            gaps[name].append(fairness.report(model(x_test), y_test, y_test).gaps["accuracy"])
            f1[name].append(at.metrics.f1(model(x_test), y_test, average="binary", positive=1))
    assert min(gaps["plain"]) > 0.6
    assert np.mean(gaps[method]) < np.mean(gaps["plain"]) / 3
    assert np.mean(f1[method]) > np.mean(f1["plain"]) + 0.05

"""Fairness: numbers by hand and against scikit-learn, and that weights and samples narrow the gaps."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pytest

import attendo as at

fairness = at.fairness
sklearn = pytest.importorskip("sklearn.metrics", reason="F1 is scikit-learn's")

# ------------------------------------------------------------------------------------------------- the report


def test_by_hand():
    #            group a: 4 samples        group b: 4 samples
    prediction = [1, 1, 1, 0, 1, 0, 0, 0]
    target = [1, 1, 0, 0, 1, 1, 0, 0]
    got = fairness.report(prediction, target, list("aaaabbbb"), positive=1)
    assert got.groups["a"] == {
        "count": 4,
        "accuracy": 0.75,
        "f1": pytest.approx(0.8),
        "selection_rate": 0.75,
        "true_positive_rate": 1.0,
        "false_positive_rate": 0.5,
    }
    assert got.groups["b"] == {
        "count": 4,
        "accuracy": 0.75,
        "f1": pytest.approx(2 / 3),
        "selection_rate": 0.25,
        "true_positive_rate": 0.5,
        "false_positive_rate": 0.0,
    }
    assert got.gaps == {
        "accuracy": 0,
        "f1": pytest.approx(0.8 - 2 / 3),
        "demographic_parity": 0.5,
        "equal_opportunity": 0.5,
        "equalized_odds": 0.5,
    }


def test_equalized_odds_is_the_larger_of_two_gaps():
    # True positive rates 1 and 1/2, false positive rates 1 and 0.
    got = fairness.report([1, 1, 1, 0, 0], [1, 0, 1, 1, 0], list("aabbb"), positive=1)
    assert got.gaps["equal_opportunity"] == 0.5 and got.gaps["equalized_odds"] == 1


def test_groups_have_scikit_learns_numbers():
    rng = np.random.default_rng(0)
    logits, target, group = rng.normal(size=(400, 3)), rng.integers(0, 3, 400), rng.integers(0, 4, 400)
    weight, mask = rng.random(400), rng.random(400) < 0.8
    got = fairness.report(logits, target, group, positive=2, mask=mask, sample_weight=weight)
    for g, numbers in got.groups.items():
        own = (group == g) & mask
        y, p, w = target[own], logits[own].argmax(1), weight[own]
        assert numbers["count"] == own.sum()
        assert numbers["accuracy"] == pytest.approx(sklearn.accuracy_score(y, p, sample_weight=w))
        options = {"pos_label": 1, "sample_weight": w}
        assert numbers["f1"] == pytest.approx(sklearn.f1_score(y == 2, p == 2, **options))
        assert numbers["true_positive_rate"] == pytest.approx(sklearn.recall_score(y == 2, p == 2, **options))
        (true_negative, false_positive), _ = sklearn.confusion_matrix(y == 2, p == 2, sample_weight=w)
        expected = false_positive / (false_positive + true_negative)
        assert numbers["false_positive_rate"] == pytest.approx(expected)
        assert numbers["selection_rate"] == pytest.approx(np.average(p == 2, weights=w))
    macro = fairness.report(logits, target, group)
    own = group == 1
    assert macro.groups[1]["f1"] == pytest.approx(
        sklearn.f1_score(target[own], logits[own].argmax(1), average="macro")
    )
    assert set(macro.gaps) == {"accuracy", "f1"}


def test_a_rate_a_group_does_not_have_is_no_part_of_a_gap():
    got = fairness.report([1, 0, 1, 0, 0], [1, 1, 0, 0, 0], list("aabbc"), positive=1)
    assert math.isnan(got.groups["b"]["true_positive_rate"])
    assert math.isnan(got.gaps["equal_opportunity"])  # of one group: there is no gap
    assert got.gaps["equalized_odds"] == got.groups["b"]["false_positive_rate"]
    alone = fairness.report([1, 0], [1, 1], ["a", "a"], positive=1)
    assert all(math.isnan(gap) for gap in alone.gaps.values())


def test_tokens_belong_to_the_group_of_their_sample():
    target = np.array([[1, 0, -1], [1, 1, 0]])
    prediction = np.array([[1, 1, 1], [0, 1, 0]])
    got = fairness.report(prediction, target, ["a", "b"], ignore_index=-1)
    assert {g: n["count"] for g, n in got.groups.items()} == {"a": 2, "b": 3}
    assert got.groups["b"]["accuracy"] == pytest.approx(2 / 3)


def test_tables_are_escaped():
    got = fairness.report([1, 0, 1], [1, 1, 1], ["<b>", "男", "男"], positive=1)
    assert "<b>" in got.text() and "equalized odds" in repr(got)
    assert "<b>" not in got._repr_html_()
    ElementTree.fromstring(got._repr_html_())


@pytest.mark.parametrize(
    ("group", "options", "error", "words"),
    [
        ([0, 1, 1], {}, ValueError, r"group has shape \(3,\) but target has \(2,\)"),
        ([0.5, 1.0], {}, TypeError, "group has dtype float64"),
        ([0, 1], {"positive": 7}, ValueError, "positive is 7, which is neither"),
        ([0, 1], {"mask": [False, False]}, ValueError, "no target counts"),
    ],
)
def test_what_is_no_group_is_named(group, options, error, words):
    with pytest.raises(error, match=f"report: {words}"):
        fairness.report([0, 1], [1, 1], group, **options)


# ---------------------------------------------------------------------------------------- weights and samples


def test_class_weights_are_scikit_learns():
    compute = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    y = np.random.default_rng(0).choice(5, 300, p=[0.5, 0.3, 0.1, 0.06, 0.04])
    weights = fairness.class_weights(y)
    assert np.allclose(weights, compute("balanced", classes=np.arange(5), y=y))
    assert weights[y].mean() == pytest.approx(1)
    assert fairness.class_weights([0, 0, 2], 4).tolist() == [0.75, 0, 1.5, 0]
    padded = np.concatenate([y, [-100] * 50]).reshape(10, 35)
    assert np.array_equal(fairness.class_weights(padded, ignore_index=-100), weights)


def test_group_weights_make_class_and_group_independent():
    rng = np.random.default_rng(0)
    group = rng.choice(["a", "b", "c"], 500, p=[0.7, 0.2, 0.1])
    y = rng.random(500) < np.where(group == "a", 0.6, 0.2)
    weight = fairness.group_weights(y, group)
    for g in "abc":
        assert np.average(y[group == g], weights=weight[group == g]) == pytest.approx(y.mean())
        assert weight[group == g].sum() == pytest.approx((group == g).sum())
    for label in (False, True):
        assert weight[y == label].sum() == pytest.approx((y == label).sum())


@pytest.mark.parametrize("grouped", [False, True])
def test_resample_balances(grouped):
    rng = np.random.default_rng(0)
    y, group = rng.choice(["x", "y", "z"], 200, p=[0.8, 0.15, 0.05]), rng.integers(0, 2, 200)
    cells = y if not grouped else np.char.add(y, group.astype(str))
    sizes = np.unique(cells, return_counts=True)[1]
    for strategy, size in (("over", sizes.max()), ("under", sizes.min())):
        i = fairness.resample(y, group if grouped else None, strategy=strategy, seed=3)
        assert np.unique(cells[i], return_counts=True)[1].tolist() == [size] * len(sizes)
        times = np.bincount(i, minlength=200)
        if strategy == "under":
            assert times.max() == 1
        else:  # every sample is there, none of a cell more than once oftener than another
            assert times.min() >= 1
            assert all(np.ptp(times[cells == c]) <= 1 for c in np.unique(cells))
        assert np.array_equal(i, fairness.resample(y, group if grouped else None, strategy=strategy, seed=3))
        assert not np.array_equal(
            i, fairness.resample(y, group if grouped else None, strategy=strategy, seed=4)
        )
        assert not np.array_equal(i, np.sort(i))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fairness.class_weights(["a"]), TypeError, "class_weights: y has dtype <U1"),
        (lambda: fairness.class_weights([]), TypeError, "class_weights: y has dtype float64"),
        (lambda: fairness.class_weights([0], ignore_index=0), ValueError, "y has no target that counts"),
        (lambda: fairness.class_weights([0, 3], 3), ValueError, "y has 3 but must be 0 to 2"),
        (lambda: fairness.class_weights([0, -1]), ValueError, "y has -1"),
        (lambda: fairness.class_weights([2**40]), ValueError, "num_classes is 1099511627777"),
        (lambda: fairness.group_weights([0, 1], [0]), ValueError, "group has 1 entries but y has 2"),
        (lambda: fairness.group_weights([[0]], [0]), ValueError, r"y has shape \(1, 1\)"),
        (lambda: fairness.group_weights([0], [0.5]), TypeError, "group has dtype float64"),
        (lambda: fairness.resample([0, 1], [0]), ValueError, "group has 1 entries but y has 2"),
        (lambda: fairness.resample([0, 1], strategy="smote"), ValueError, "strategy is 'smote'"),
        (lambda: fairness.resample([0, 1], seed=-1), ValueError, "seed is -1"),
        (lambda: fairness.resample([]), ValueError, r"y has shape \(0,\)"),
    ],
)
def test_what_cannot_be_weighed_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()

"""Accuracy, precision, recall, F1 and confusion: against scikit-learn, by hand, and what is refused."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

import attendo as at

metrics = at.metrics
sklearn = pytest.importorskip(
    "sklearn.metrics", reason="metrics are compared where scikit-learn is installed"
)

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 9, 4))
TARGET = RNG.integers(0, 4, (6, 9))
MASK = RNG.random((6, 9)) < 0.7
WEIGHT = RNG.random((6, 9))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_accuracy_is_scikit_learns_over_what_counts(dtype):
    labels = LOGITS.argmax(-1)
    logits = LOGITS.astype(dtype)
    assert metrics.accuracy(logits, TARGET) == sklearn.accuracy_score(TARGET.ravel(), labels.ravel())
    assert metrics.accuracy(at.tensor(logits), TARGET) == metrics.accuracy(labels, TARGET)
    expected = sklearn.accuracy_score(TARGET[MASK], labels[MASK], sample_weight=WEIGHT[MASK])
    assert np.isclose(metrics.accuracy(logits, TARGET, mask=MASK, sample_weight=WEIGHT), expected)
    kept = TARGET != 2
    assert np.isclose(metrics.accuracy(logits, TARGET, ignore_index=2), (labels == TARGET)[kept].mean())
    assert metrics.accuracy(logits, np.where(MASK, TARGET, -100), ignore_index=-100) == metrics.accuracy(
        logits, TARGET, mask=MASK
    )


def test_a_weight_for_each_sample_is_one_for_all_its_tokens():
    weight = RNG.random(6)
    spread = np.repeat(weight[:, None], 9, axis=1)
    assert metrics.accuracy(LOGITS, TARGET, sample_weight=weight) == metrics.accuracy(
        LOGITS, TARGET, sample_weight=spread
    )


def test_labels_of_any_kind():
    assert metrics.accuracy(["ü", "b", "猫"], ["ü", "猫", "猫"]) == pytest.approx(2 / 3)
    assert metrics.accuracy([True, False], [True, True]) == 0.5
    assert metrics.accuracy([1, 0], [True, True]) == 0.5
    assert metrics.accuracy(np.array(["a", "b"], dtype=object), np.array(["a", "b"])) == 1


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_top_k_is_scikit_learns(k):
    rows, target = LOGITS.reshape(-1, 4), TARGET.ravel()
    expected = sklearn.top_k_accuracy_score(target, rows, k=k, labels=range(4)) if k < 4 else 1.0
    assert np.isclose(metrics.top_k_accuracy(LOGITS, TARGET, k), expected)


def test_top_1_is_accuracy_also_of_equal_scores():
    scores = RNG.integers(0, 2, (200, 3)).astype(float)
    target = RNG.integers(0, 3, 200)
    assert metrics.top_k_accuracy(scores, target, 1) == metrics.accuracy(scores, target)
    assert metrics.top_k_accuracy(np.zeros((3, 3)), [0, 1, 2], 2) == pytest.approx(2 / 3)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_averages_are_scikit_learns(name, average):
    labels = LOGITS.argmax(-1)
    theirs = getattr(sklearn, f"{name}_score")(
        TARGET[MASK], labels[MASK], average=average, sample_weight=WEIGHT[MASK]
    )
    ours = getattr(metrics, name)(LOGITS, TARGET, average=average, mask=MASK, sample_weight=WEIGHT)
    assert np.allclose(ours, theirs)
    assert isinstance(ours, np.ndarray) == (average is None)


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_binary_is_of_the_class_that_is_named(name):
    labels = RNG.integers(0, 2, 50)
    target = RNG.integers(0, 2, 50)
    for positive in (0, 1):
        theirs = getattr(sklearn, f"{name}_score")(target, labels, pos_label=positive)
        ours = getattr(metrics, name)(labels, target, average="binary", positive=positive)
        assert np.isclose(ours, theirs)


def test_by_hand_prediction_comes_first():
    # Three are said to be 1, of which one is; two are 1.
    prediction, target = [1, 1, 1, 0], [1, 0, 0, 1]
    assert metrics.precision(prediction, target, average="binary", positive=1) == pytest.approx(1 / 3)
    assert metrics.recall(prediction, target, average="binary", positive=1) == 0.5
    assert metrics.f1(prediction, target, average="binary", positive=1) == pytest.approx(0.4)


def test_a_class_that_never_occurs_is_what_zero_division_says():
    for value in (0.0, 1.0):
        got = metrics.f1([0, 0], [0, 0], average=None, classes=[0, 1], zero_division=value)
        assert got.tolist() == [1.0, value]
    assert metrics.precision([0, 0], [0, 1]) == 0.25


def test_report_has_scikit_learns_numbers_and_a_class_may_be_called_accuracy():
    labels = np.array(["accuracy", "猫", "<b>"])[LOGITS[..., :3].argmax(-1)]
    target = np.array(["accuracy", "猫", "<b>"])[TARGET % 3]
    report = metrics.classification_report(labels, target)
    theirs = sklearn.precision_recall_fscore_support(target.ravel(), labels.ravel())
    for ours, expected in zip(
        (report.precision, report.recall, report.f1, report.support), theirs, strict=True
    ):
        assert np.allclose(ours, expected)
    assert report.accuracy == metrics.accuracy(labels, target)
    assert report.macro["f1"] == metrics.f1(labels, target)
    assert report.weighted["recall"] == pytest.approx(report.accuracy)
    assert "<b>" in repr(report) and repr(report).count("accuracy") == 2
    html = report._repr_html_()
    assert "&lt;b&gt;" in html and "<b>" not in html
    ElementTree.fromstring(html)


def test_confusion_matrix():
    labels = LOGITS.argmax(-1)
    matrix = metrics.confusion_matrix(LOGITS, TARGET, mask=MASK)
    assert np.array_equal(matrix, sklearn.confusion_matrix(TARGET[MASK], labels[MASK]))
    assert np.allclose(
        np.diag(matrix.normalized("target")), metrics.recall(LOGITS, TARGET, average=None, mask=MASK)
    )
    assert np.allclose(
        np.diag(matrix.normalized("prediction")), metrics.precision(LOGITS, TARGET, average=None, mask=MASK)
    )
    assert matrix.normalized("all").sum() == pytest.approx(1)
    ElementTree.fromstring(matrix._repr_html_())
    ElementTree.fromstring(matrix.draw().svg)
    weighted = metrics.confusion_matrix(LOGITS, TARGET, sample_weight=WEIGHT)
    assert weighted.counts.sum() == pytest.approx(WEIGHT.sum())


def test_confusion_matrix_rows_are_targets_and_nothing_is_dropped():
    matrix = metrics.confusion_matrix([1, 1, 0], [0, 0, 0], classes=[0, 1, 2])
    assert matrix.counts.tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 0]]
    assert matrix.normalized().tolist() == [[1 / 3, 2 / 3, 0], [0, 0, 0], [0, 0, 0]]
    with pytest.raises(ValueError, match="prediction has 1, which is none of classes"):
        metrics.confusion_matrix([1, 1, 0], [0, 0, 0], classes=[0, 2])
    assert metrics.confusion_matrix(["猫", "a"], ["猫", "猫"]).text().splitlines() == [
        "target \\ prediction  a  猫",
        "a                    0   0",
        "猫                   1   1",
    ]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (([0.2, 0.9], [0, 1]), {}, TypeError, "prediction has dtype float64 .* threshold="),
        ((LOGITS, TARGET[:5]), {}, ValueError, r"prediction has shape \(6, 9, 4\) but must be \(5, 9\)"),
        (([[0.2], [0.9]], [0, 1]), {}, ValueError, "scores of 1 classes"),
        ((LOGITS, TARGET + 1), {}, ValueError, "target has 4 but prediction has scores of 4 classes"),
        ((LOGITS, TARGET - 1), {}, ValueError, "target has -1"),
        ((LOGITS, np.eye(4)[TARGET]), {}, TypeError, "target has dtype float64 .*argmax"),
        ((np.full((2, 3), np.nan), [0, 1]), {}, ValueError, "prediction has NaN"),
        (([1, 2], ["a", "b"]), {}, TypeError, "prediction has dtype int64 but target has <U1"),
        ((LOGITS, TARGET), {"mask": TARGET}, TypeError, "mask has dtype int64 but must be bool"),
        ((LOGITS, TARGET), {"mask": MASK[:1]}, ValueError, r"mask has shape \(1, 9\)"),
        ((LOGITS, TARGET), {"mask": np.zeros((6, 9), bool)}, ValueError, "no target counts"),
        ((["a"], ["a"]), {"ignore_index": 0}, TypeError, "ignore_index is for targets of integers"),
        ((LOGITS, TARGET), {"sample_weight": WEIGHT[0]}, ValueError, r"sample_weight has shape \(9,\)"),
        ((LOGITS, TARGET), {"sample_weight": -WEIGHT}, ValueError, "must be finite, 0 or more"),
        ((LOGITS, TARGET), {"threshold": 0.5}, ValueError, "a threshold is for one score a target"),
        (([1, 0], [1, 0]), {"threshold": 0.5}, TypeError, "threshold is for predictions of floats"),
        (([], []), {}, (TypeError, ValueError), "target"),
        (([[1, 2], [3]], [0, 1]), {}, ValueError, "prediction is no array"),
    ],
)
def test_what_is_no_pair_is_named(arguments, options, error, words):
    for function in (metrics.accuracy, metrics.f1, metrics.confusion_matrix, metrics.classification_report):
        with pytest.raises(error, match=f"{function.__name__}: .*{words}"):
            function(*arguments, **options)


def test_a_trainer_takes_them_as_they_are():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)).astype("float32"), rng.integers(0, 4, 40)
    model = at.nn.Linear(3, 4, seed=0)
    taken = {
        "f1": metrics.f1,
        "top_2": lambda p, t: metrics.top_k_accuracy(p, t, 2),
        "ppl": metrics.perplexity,
    }
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.SGD(lr=0.1), metrics=taken)
    history = trainer.fit(x, y, epochs=2, validation=(x, y), progress=False)
    logits = trainer.predict(x)
    assert history["val_f1"][-1] == metrics.f1(logits, y)
    assert history["val_top_2"][-1] == metrics.top_k_accuracy(logits, y, 2)
    assert history["val_ppl"][-1] == pytest.approx(np.exp(history["val_loss"][-1]), rel=1e-5)
    assert history["val_accuracy"][-1] == pytest.approx(metrics.accuracy(logits, y))


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="f1: average is 'mean'"):
        metrics.f1([0, 1], [0, 1], average="mean")
    with pytest.raises(ValueError, match="f1: average='binary' needs positive="):
        metrics.f1([0, 1], [0, 1], average="binary")
    with pytest.raises(ValueError, match="f1: average='binary' needs positive="):
        metrics.f1([0, 1], [0, 1], positive=1)
    with pytest.raises(ValueError, match="top_k_accuracy: k is 5 but must be 1 to 4"):
        metrics.top_k_accuracy(LOGITS, TARGET)
    with pytest.raises(ValueError, match="top_k_accuracy: prediction is labels"):
        metrics.top_k_accuracy(TARGET, TARGET)
    with pytest.raises(ValueError, match="classes must be a row of different labels"):
        metrics.f1([0, 1], [0, 1], classes=[0, 0])
    with pytest.raises(TypeError, match="top_k_accuracy: k is 'a' but must be a whole number"):
        metrics.top_k_accuracy(LOGITS, TARGET, "a")
    with pytest.raises(TypeError, match="f1: positive has dtype <U1 but target has int64"):
        metrics.f1([0, 1], [0, 1], average="binary", positive="1")
    with pytest.raises(TypeError, match="f1: classes has dtype <U1 but target has int64"):
        metrics.f1([0, 1], [0, 1], classes=["1"])
    with pytest.raises(TypeError, match="f1: target has labels of several kinds"):
        metrics.f1(np.array([1, "a"], dtype=object), np.array([1, "a"], dtype=object))
    with pytest.raises(ValueError, match="f1: zero_division is 3"):
        metrics.f1([0, 1], [0, 1], zero_division=3)
    with pytest.raises(ValueError, match="20000 classes are too many for a matrix"):
        metrics.confusion_matrix(np.arange(20_000), np.arange(20_000))
    with pytest.raises(ValueError, match="over is 'rows'"):
        metrics.confusion_matrix([0, 1], [0, 1]).normalized("rows")


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.metrics", None)
    assert metrics.accuracy([0, 1], [0, 1]) == 1
    with pytest.raises(ImportError, match=r'pip install "attendo\[learn\]"'):
        metrics.f1([0, 1], [0, 1])

"""AttentionClassifier: scikit-learn's own checks, its tools, and what it learns."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import numpy as np
import pytest

import attendo as at

pytest.importorskip("sklearn", reason="the estimators are scikit-learn's")
import joblib
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris, make_moons
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

AttentionClassifier = at.interop.AttentionClassifier
IRIS = load_iris(return_X_y=True)


@parametrize_with_checks([AttentionClassifier()])
def test_scikit_learns_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


def test_in_pipeline_grid_search_and_cross_validation():
    X, y = IRIS
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    pipeline = make_pipeline(StandardScaler(), AttentionClassifier(epochs=5, random_state=0))
    grid = {"attentionclassifier__d_model": [8, 16], "attentionclassifier__lr": [0.0, 0.01]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring="neg_log_loss").fit(X, names)
    assert search.best_params_["attentionclassifier__lr"] == 0.01
    assert cross_val_score(search.best_estimator_, X, names, cv=3).mean() > 0.9
    assert set(search.predict(X)) == set(names)


def test_what_is_pickled_is_no_model_and_gives_the_same_bits():
    X, y = IRIS
    fitted = AttentionClassifier(epochs=3, random_state=0).fit(X, y)
    expected = fitted.predict_proba(X)
    file = io.BytesIO()
    joblib.dump(fitted, file)
    for again in (
        pickle.loads(pickle.dumps(fitted)),
        copy.deepcopy(fitted),
        joblib.load(io.BytesIO(file.getvalue())),
    ):
        assert np.array_equal(again.predict_proba(X), expected)
        assert again.get_params() == fitted.get_params() and again.n_iter_ == 3
    assert isinstance(fitted.__getstate__()["model_"], bytes)
    # One that is not fitted has no model to write.
    assert not hasattr(pickle.loads(pickle.dumps(clone(fitted))), "model_")


def test_a_seed_decides_everything_on_any_number_of_threads():
    X, y = IRIS
    make = AttentionClassifier(epochs=3, dropout=0.2)
    first = clone(make).set_params(random_state=1).fit(X, y).predict_proba(X)
    at.set_num_threads(1)
    assert np.array_equal(clone(make).set_params(random_state=1).fit(X, y).predict_proba(X), first)
    assert not np.array_equal(clone(make).set_params(random_state=2).fit(X, y).predict_proba(X), first)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    clone(make).set_params(random_state=None, epochs=1).fit(X, y)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    state = np.random.RandomState(0)
    a, b = (clone(make).set_params(random_state=state).fit(X, y).predict_proba(X) for _ in range(2))
    assert not np.array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(3))
def test_it_learns_what_a_linear_model_cannot(seed, dtype):
    X, y = make_moons(600, noise=0.15, random_state=seed)
    linear = LogisticRegression().fit(X[:300], y[:300]).score(X[300:], y[300:])
    classifier = AttentionClassifier(random_state=seed, dtype=dtype).fit(X[:300], y[:300])
    assert classifier.score(X[300:], y[300:]) > max(0.95, linear + 0.08)


def test_of_thirty_features():
    X, y = load_breast_cancer(return_X_y=True)
    classifier = AttentionClassifier(epochs=5, random_state=0, dtype="float32")
    assert cross_val_score(classifier, X, y, cv=3).mean() > 0.94


def test_class_weight_finds_the_rare_class():
    """With one positive in twelve, "balanced" finds at least 25 % more of them: mean of three seeds."""
    plain, balanced = [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        y = rng.random(1600) < 0.08
        X = rng.normal(size=(1600, 4)) + 0.8 * y[:, None]
        for found, weight in ((plain, None), (balanced, "balanced")):
            classifier = AttentionClassifier(epochs=8, class_weight=weight, random_state=seed)
            said = classifier.fit(X[:800], y[:800]).predict(X[800:])
            found.append(at.metrics.recall(said, y[800:], average="binary", positive=True))
    assert np.mean(balanced) > np.mean(plain) + 0.25


def test_weights_are_repetitions_with_balanced_classes_too():
    rng = np.random.default_rng(0)
    X, y, weight = rng.normal(size=(20, 3)), rng.integers(0, 2, 20), rng.integers(0, 4, 20)
    make = AttentionClassifier(class_weight="balanced", epochs=10, random_state=0)
    weighted = clone(make).fit(X, y, sample_weight=weight).predict_proba(X)
    repeated = clone(make).fit(X.repeat(weight, axis=0), y.repeat(weight)).predict_proba(X)
    assert np.allclose(weighted, repeated, rtol=1e-7)


def test_early_stopping_keeps_the_best_and_stops():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 5)), rng.integers(0, 2, 200)  # nothing to learn
    classifier = AttentionClassifier(epochs=300, early_stopping=True, random_state=0)
    classifier.fit(X, y)
    assert classifier.n_iter_ < 60
    assert classifier.n_iter_ == len(classifier.loss_curve_) == len(classifier.validation_curve_)
    assert np.argmin(classifier.validation_curve_) >= classifier.n_iter_ - 6
    assert AttentionClassifier(epochs=4, random_state=0).fit(X, y).n_iter_ == 4


def test_huge_and_constant_features():
    X, y = IRIS
    wild = np.column_stack([X[:, :2] * 1e200, X[:, 2:] * 1e-200, np.full(len(X), 7.0)])
    classifier = AttentionClassifier(epochs=10, random_state=0).fit(wild, y)
    assert classifier.score(wild, y) > 0.9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "AttentionClassifier: epochs is 0"),
        ({"batch_size": 1.5}, "AttentionClassifier: batch_size is 1.5"),
        ({"dtype": "float16"}, "AttentionClassifier: dtype is 'float16'"),
        ({"early_stopping": True, "validation_fraction": 1.0}, "validation_fraction is 1.0"),
        ({"d_model": 10}, "d_model"),
        ({"dropout": 1.0}, "dropout"),
        ({"lr": -1.0}, "lr"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        AttentionClassifier(**options).fit(*IRIS)


def test_what_is_no_data_is_named():
    sparse = pytest.importorskip("scipy.sparse")
    X, y = IRIS
    with pytest.raises(TypeError, match=r"(?i)sparse"):
        AttentionClassifier().fit(sparse.csr_matrix(X), y)
    with pytest.raises(ValueError, match=r"sample_weight has shape \(3,\) but must be \(150,\)"):
        AttentionClassifier().fit(X, y, sample_weight=[1, 2, 3])
    with pytest.raises(ValueError, match="sample_weight is zero for all"):
        AttentionClassifier().fit(X, y, sample_weight=np.zeros(150))
    with pytest.raises(ValueError, match="sample_weight must be finite"):
        AttentionClassifier().fit(X, y, sample_weight=-np.ones(150))
    with pytest.raises(NotFittedError):
        AttentionClassifier().predict(X)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    with pytest.raises(ImportError, match=r'pip install "attendo\[learn\]"'):
        at.interop.AttentionClassifier  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'Classifier'"):
        at.interop.Classifier  # noqa: B018

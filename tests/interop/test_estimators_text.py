"""TextClassifier and Seq2SeqTransformer: scikit-learn's tools with lists of texts, and what they learn."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

import attendo as at

pytest.importorskip("sklearn", reason="the estimators are scikit-learn's")
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

TextClassifier, Seq2SeqTransformer = at.interop.TextClassifier, at.interop.Seq2SeqTransformer


def reviews(samples, seed):
    """Texts in which "not" turns the word behind it: no count of words tells them apart."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(samples):
        word, negated = rng.choice(["good", "bad"]), rng.random() < 0.5
        filler = [str(w) for w in rng.choice(["the", "film", "was", "so", "very"], 3)]
        other = ["not"] if not negated else []
        texts.append(" ".join([*filler, *(["not"] if negated else []), str(word), ",", *other, "long"]))
        labels.append("+" if (word == "good") != negated else "-")
    return texts, np.array(labels)


@pytest.mark.parametrize("estimator", [TextClassifier(), Seq2SeqTransformer()])
def test_scikit_learns_checks_where_they_apply(estimator):
    # Of estimators of texts scikit-learn checks the constructor and the tags, and says that it does no more.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        check_estimator(estimator)
    assert is_classifier(estimator) == isinstance(estimator, TextClassifier)
    if hasattr(BaseEstimator, "__sklearn_tags__"):
        assert estimator.__sklearn_tags__().input_tags.string
    else:  # scikit-learn before 1.6
        assert estimator._get_tags()["X_types"] == ["string"]
    assert clone(estimator.set_params(d_model=24)).get_params() == estimator.get_params()


# ------------------------------------------------------------ the classifier


@pytest.mark.parametrize("seed", range(2))
def test_it_reads_the_order_of_words(seed):
    texts, labels = reviews(400, seed)
    test, truth = reviews(200, 100 + seed)
    classifier = TextClassifier(epochs=12, random_state=seed).fit(texts, labels)
    assert classifier.score(test, truth) > 0.95
    # What counts words cannot: each text has one "not", one of two words, and the same others.
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    counting = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, labels)
    assert counting.score(test, truth) < 0.65


def test_pipeline_grid_search_and_cross_validation_on_texts():
    texts, labels = reviews(120, 0)
    clean = FunctionTransformer(lambda X: [text.replace(",", "") for text in X])
    pipeline = Pipeline([("clean", clean), ("model", TextClassifier(epochs=2, d_model=8, random_state=0))])
    search = GridSearchCV(pipeline, {"model__lr": [0.0, 1e-2]}, cv=2).fit(texts, labels)
    assert set(search.predict(texts[:5])) <= {"+", "-"}
    assert len(search.cv_results_["mean_test_score"]) == 2
    assert cross_val_score(pipeline, texts, labels, cv=2).shape == (2,)
    assert cross_val_predict(pipeline, texts, labels, cv=2, method="predict_proba").shape == (120, 2)


def test_what_it_does_not_know_and_what_is_too_long():
    texts, labels = reviews(60, 0)
    classifier = TextClassifier(epochs=1, max_len=4, random_state=0).fit(texts, labels)
    p = classifier.predict_proba(["", "never seen", "the film was so good", "the film was so bad"])
    assert np.isfinite(p).all() and np.allclose(p.sum(axis=1), 1)
    assert np.array_equal(p[0], p[1]) and np.array_equal(p[2], p[3])  # behind max_len nothing is read
    few = TextClassifier(epochs=1, num_words=3, random_state=0).fit(texts, labels)
    assert few._model_config["vocab_size"] == 4  # padding, two words, none of them


def test_other_texts_of_a_batch_change_nothing():
    texts, labels = reviews(60, 0)
    classifier = TextClassifier(epochs=1, random_state=0).fit(texts, labels)
    alone = np.concatenate([classifier.predict_proba([text]) for text in texts[:8]])
    assert np.allclose(classifier.predict_proba([*texts[:8], " ".join(texts)])[:8], alone, atol=1e-5)


def test_sequences_of_any_kind():
    texts, labels = reviews(40, 0)
    expected = TextClassifier(epochs=1, random_state=0).fit(texts, labels).predict_proba(texts)
    for kind in (tuple, np.array, lambda t: np.array(t, dtype=object)):
        fitted = TextClassifier(epochs=1, random_state=0).fit(kind(texts), labels)
        assert np.array_equal(fitted.predict_proba(kind(texts)), expected)
    pandas = pytest.importorskip("pandas")
    fitted = TextClassifier(epochs=1, random_state=0).fit(pandas.Series(texts), pandas.Series(labels))
    assert np.array_equal(fitted.predict_proba(pandas.Series(texts)), expected)


def test_weights_of_samples_and_classes():
    texts, labels = ["a", "a"] * 10, ["x", "y"] * 10
    for options, weight in (({"class_weight": {"x": 9.0, "y": 1.0}}, None), ({}, [9.0, 1.0] * 10)):
        classifier = TextClassifier(epochs=60, lr=0.01, dropout=0.0, random_state=0, **options)
        p = classifier.fit(texts, labels, sample_weight=weight).predict_proba(["a"])
        assert p[0] == pytest.approx([0.9, 0.1], abs=0.02)


# ------------------------------------------------------------ the translator


def dates(samples, seed):
    """ "3 may 1987" becomes "1987 - 05 - 03"."""
    rng = np.random.default_rng(seed)
    months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    days = [(int(d), int(m), int(y)) for d, m, y in rng.integers([1, 0, 1980], [29, 12, 2000], (samples, 3))]
    return [f"{d} {months[m]} {y}" for d, m, y in days], [f"{y} - {m + 1:02} - {d:02}" for d, m, y in days]


def test_it_learns_to_write_dates():
    (X, y), (X_test, y_test) = dates(600, 0), dates(100, 1)
    translator = Seq2SeqTransformer(epochs=12, lr=5e-3, metric="exact", random_state=0).fit(X, y)
    assert translator.score(X_test, y_test) > 0.95
    pytest.importorskip("sacrebleu")
    assert translator.set_params(metric="bleu", num_beams=2).score(X_test, y_test) > 98
    untrained = clone(translator).set_params(epochs=1, lr=0.0).fit(X, y)
    assert untrained.score(X_test, y_test) < 10


def test_characters():
    X = ["ab", "ba", "aab", "b", "a", "bb"] * 20
    y = [text[::-1].upper() for text in X]
    options = {"char_level": True, "epochs": 15, "lr": 1e-2, "metric": "exact", "random_state": 0}
    translator = Seq2SeqTransformer(**options).fit(X, y)
    assert translator.predict(["ab", "aab"]).tolist() == ["BA", "BAA"]


def test_pipeline_grid_search_and_cross_validation_of_translations():
    X, y = dates(60, 0)
    upper = FunctionTransformer(lambda X: [text.upper() for text in X])
    translator = Seq2SeqTransformer(epochs=1, d_model=8, metric="exact", random_state=0)
    pipeline = Pipeline([("upper", upper), ("model", translator)])
    search = GridSearchCV(pipeline, {"model__lr": [0.0, 1e-2]}, cv=2).fit(X, y)
    assert search.predict(X[:3]).shape == (3,) and all(
        isinstance(text, str) for text in search.predict(X[:3])
    )
    assert cross_val_score(pipeline, X, y, cv=2).shape == (2,)


def test_texts_that_are_too_long_are_named():
    X, y = ["a b", "a"], ["a", "a b c"]
    with pytest.raises(ValueError, match=r"y\[1\] has 3 words but max_len is 2"):
        Seq2SeqTransformer(max_len=2).fit(X, y)
    fitted = Seq2SeqTransformer(max_len=3, epochs=1, d_model=8, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=r"X\[0\] has 4 words but max_len is 3"):
        fitted.predict(["a b a b"])
    assert all(len(text.split()) <= 4 for text in fitted.predict(["a b a", ""]))


# ------------------------------------------------------------ of both


@pytest.mark.parametrize("kind", ["classifier", "translator"])
def test_pickled_they_give_the_same_and_a_seed_decides(kind):
    if kind == "classifier":
        (X, y), make = reviews(40, 0), TextClassifier(epochs=1, random_state=3)
    else:
        (X, y), make = dates(40, 0), Seq2SeqTransformer(epochs=1, d_model=8, dropout=0.1, random_state=3)
    method = "predict_proba" if kind == "classifier" else "predict"
    fitted = clone(make).fit(X, y)
    expected = getattr(fitted, method)(X)
    assert np.array_equal(getattr(pickle.loads(pickle.dumps(fitted)), method)(X), expected)
    at.set_num_threads(1)
    assert np.array_equal(getattr(clone(make).fit(X, y), method)(X), expected)
    stopped = clone(make).set_params(early_stopping=True, epochs=3, validation_fraction=0.25).fit(X, y)
    assert len(stopped.validation_curve_) == stopped.n_iter_ <= 3


@pytest.mark.parametrize("make", [TextClassifier, Seq2SeqTransformer])
def test_what_is_no_text_is_named(make):
    name = make.__name__
    y = ["a", "b"]
    with pytest.raises(TypeError, match=f"{name}: X is a str"):
        make().fit("a text", y)
    with pytest.raises(TypeError, match=rf"{name}: X\[1\] is a float"):
        make().fit(["a", float("nan")], y)
    with pytest.raises(ValueError, match=rf"{name}: X has shape \(1, 2\)"):
        make().fit(np.array([["a", "b"]]), y)
    with pytest.raises(ValueError, match=f"{name}: X is empty"):
        make().fit([], [])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make().fit(["a", "b", "c"], y)
    with pytest.raises(ValueError, match=f"{name}: epochs is 0"):
        make(epochs=0).fit(y, y)
    with pytest.raises(ValueError, match="too few for early_stopping"):
        make(early_stopping=True).fit(["a"], ["a"])
    with pytest.raises(NotFittedError):
        make().predict(["a"])


def test_wrong_options_of_the_translator_are_named():
    with pytest.raises(ValueError, match="metric is 'wer'"):
        Seq2SeqTransformer(metric="wer").fit(["a"], ["a"])
    fitted = Seq2SeqTransformer(epochs=1, d_model=8, random_state=0).fit(["a"], ["a"])
    with pytest.raises(ValueError, match="sample_weight is for metric='exact'"):
        fitted.score(["a"], ["a"], sample_weight=[1.0])

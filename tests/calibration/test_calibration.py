"""Calibration: by hand, against scikit-learn, and what a temperature does to an over-trained model."""

from __future__ import annotations

import re
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest

import attendo as at

calibration = at.calibration
RNG = np.random.default_rng(0)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


LOGITS = 2 * RNG.normal(size=(400, 4))
P, TARGET = softmax(LOGITS), RNG.integers(0, 4, 400)

# ------------------------------------------------------------ the curve


def test_by_hand():
    p = np.array([[0.95, 0.05], [0.85, 0.15], [0.6, 0.4], [0.35, 0.65]])
    curve = calibration.reliability_curve(p, [0, 1, 0, 1], bins=5)
    assert np.allclose(curve.edges, [0, 0.2, 0.4, 0.6, 0.8, 1])
    assert curve.count.tolist() == [0, 0, 1, 1, 2]  # 0.6 belongs to the bin it closes
    assert np.allclose(curve.confidence, [np.nan, np.nan, 0.6, 0.65, 0.9], equal_nan=True)
    assert np.allclose(curve.accuracy, [np.nan, np.nan, 1, 1, 0.5], equal_nan=True)
    assert curve.expected_error == pytest.approx((0.4 + 0.35 + 2 * 0.4) / 4)
    assert curve.maximum_error == pytest.approx(0.4)
    assert calibration.expected_calibration_error(p, [0, 1, 0, 1], bins=5) == curve.expected_error


def test_bins_are_scikit_learns():
    calibration_curve = pytest.importorskip("sklearn.calibration").calibration_curve
    confidence, right = P.max(1), P.argmax(1) == TARGET
    for bins in (1, 7, 15):
        curve = calibration.reliability_curve(P, TARGET, bins=bins)
        accuracy, mean = calibration_curve(right, confidence, n_bins=bins)
        assert np.allclose(curve.accuracy[curve.count > 0], accuracy)
        assert np.allclose(curve.confidence[curve.count > 0], mean)
    assert curve.count.sum() == 400


def test_bins_of_one_mass_hold_as_many_each():
    curve = calibration.reliability_curve(P, TARGET, bins=8, binning="mass")
    assert curve.count.tolist() == [50] * 8
    tied = np.tile([0.7, 0.3], (100, 1))
    curve = calibration.reliability_curve(tied, np.arange(100) % 2, bins=8, binning="mass")
    assert curve.count.sum() == 100 and (curve.count > 0).sum() == 1
    assert curve.expected_error == pytest.approx(0.2)


def test_honest_probabilities_have_no_error_and_sure_ones_have():
    rng = np.random.default_rng(0)
    p = softmax(rng.normal(size=(100_000, 3)))
    honest = (p.cumsum(1) < rng.random((len(p), 1))).sum(1)
    assert calibration.expected_calibration_error(p, honest) < 0.01
    sure = softmax(np.log(p) * 5)
    assert calibration.expected_calibration_error(sure, honest) > 0.2
    assert calibration.brier_score(p, honest) < calibration.brier_score(sure, honest)


def test_edges_of_confidence():
    assert calibration.reliability_curve([[1.0, 0.0]], [0], bins=3).count.tolist() == [0, 0, 1]
    assert calibration.expected_calibration_error([[1.0, 0.0]], [0]) == 0
    assert calibration.expected_calibration_error(np.eye(2)[[0, 0]], [1, 1], binning="mass") == 1


def test_what_does_not_count():
    mask = RNG.random(400) < 0.5
    expected = calibration.expected_calibration_error(P[mask], TARGET[mask])
    assert calibration.expected_calibration_error(P, TARGET, mask=mask) == expected
    padded = np.where(mask, TARGET, -100).reshape(20, 20)
    cube = P.reshape(20, 20, 4)
    assert calibration.expected_calibration_error(at.tensor(cube), padded, ignore_index=-100) == expected
    assert calibration.brier_score(cube, padded, ignore_index=-100) == calibration.brier_score(
        P[mask], TARGET[mask]
    )


def test_float32():
    p = P.astype("float32")
    assert calibration.brier_score(p, TARGET) == pytest.approx(calibration.brier_score(P, TARGET), rel=1e-5)
    y = np.where(np.arange(400) % 3 > 0, P.argmax(1), TARGET)
    scaling = calibration.TemperatureScaling().fit(LOGITS.astype("float32"), y)
    assert scaling.temperature == pytest.approx(
        calibration.TemperatureScaling().fit(LOGITS, y).temperature, rel=1e-5
    )
    assert scaling(LOGITS.astype("float32")).dtype == np.float32


def test_picture():
    curve = calibration.reliability_curve(P, TARGET, bins=10)
    picture = curve.draw("</text><script>")
    ElementTree.fromstring(picture.svg)
    assert "<script" not in picture.svg
    full = int((curve.count > 0).sum())
    assert picture.svg.count("<circle") == full and picture.svg.count("<title>") == full
    heights = [
        float(h) for h in re.findall(r'height="([\d.]+)" style="fill:var\(--light-line\)"', picture.svg)
    ]
    assert np.allclose(heights, 320 * curve.accuracy[curve.count > 0], atol=0.06)
    assert picture.svg in curve.draw("</text><script>")._repr_html_() and "<svg" in curve._repr_html_()


# ------------------------------------------------------------ the scores


def test_scores_are_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    assert calibration.negative_log_likelihood(P, TARGET) == pytest.approx(metrics.log_loss(TARGET, P))
    two = softmax(LOGITS[:, :2])
    y = TARGET % 2
    assert calibration.brier_score(two, y) / 2 == pytest.approx(metrics.brier_score_loss(y, two[:, 1]))
    assert calibration.brier_score([[1.0, 0.0]], [1]) == 2
    assert calibration.negative_log_likelihood([[1.0, 0.0]], [1]) == np.inf
    assert calibration.negative_log_likelihood([[1.0, 0.0]], [0]) == 0


# ------------------------------------------------------------ the temperature


def test_the_temperature_is_the_best():
    y = np.where(np.arange(400) % 3 > 0, P.argmax(1), TARGET)
    scaling = calibration.TemperatureScaling().fit(LOGITS, y)
    grid = scaling.temperature * np.geomspace(0.5, 2, 401)
    losses = [at.functional.cross_entropy(LOGITS / t, y) for t in grid]
    assert int(np.argmin(losses)) == 200
    assert np.allclose(scaling(LOGITS), softmax(LOGITS / scaling.temperature))


def test_the_true_temperature_is_found():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(20_000, 5)) * 2
    y = (softmax(z).cumsum(1) < rng.random((len(z), 1))).sum(1)
    for t in (0.2, 1.0, 3.0, 50.0):
        fitted = calibration.TemperatureScaling().fit(z * t, y).temperature
        assert fitted == pytest.approx(t, rel=0.05)


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e6, 1e30])
def test_scaled_logits_have_a_scaled_temperature(scale):
    y = np.where(np.arange(400) % 3 > 0, P.argmax(1), TARGET)
    one = calibration.TemperatureScaling().fit(LOGITS, y).temperature
    assert calibration.TemperatureScaling().fit(LOGITS * scale, y).temperature == pytest.approx(one * scale)
    shifted = LOGITS + RNG.normal(size=(400, 1)) * 100
    assert calibration.TemperatureScaling().fit(shifted, y).temperature == pytest.approx(one)


def test_impossible_classes_change_nothing():
    y = np.where(np.arange(400) % 3 > 0, P.argmax(1), TARGET)
    one = calibration.TemperatureScaling().fit(LOGITS, y).temperature
    for never in (-np.inf, -1e9):
        more = np.column_stack([LOGITS, np.full((400, 3), never)])
        assert calibration.TemperatureScaling().fit(more, y).temperature == pytest.approx(one)


def test_without_a_best_temperature_it_says_so():
    z = np.array([[2.0, 0.0], [0.0, 1.0]])
    with pytest.warns(RuntimeWarning, match="no temperature is the best: predictions are all right"):
        right = calibration.TemperatureScaling().fit(z, [0, 1])
    assert 0 < right.temperature < 1e-3
    with pytest.warns(RuntimeWarning, match="no better than chance"):
        wrong = calibration.TemperatureScaling().fit(z, [1, 0])
    assert np.allclose(wrong(z), 0.5, atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert calibration.TemperatureScaling(3.0).fit(np.ones((3, 2)), [0, 1, 1]).temperature == 1


# ------------------------------------------------------------ the errors


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((LOGITS, TARGET), {}, ValueError, "probabilities must be 0 to 1 and sum to one"),
        ((P * 0.9, TARGET), {}, ValueError, "probabilities must be 0 to 1 and sum to one"),
        ((np.full((1, 2), np.nan), [0]), {}, ValueError, "probabilities must be 0 to 1"),
        ((P[:, 0], TARGET), {}, ValueError, r"probabilities has shape \(400,\) but must be \(400, 'V'\)"),
        ((P[:, :1], TARGET), {}, ValueError, ".* 2 or more"),
        ((P, TARGET[:5]), {}, ValueError, "probabilities has shape"),
        ((P, TARGET + 1), {}, ValueError, "target has 4 but probabilities has 4 classes"),
        ((P, TARGET * 1.0), {}, TypeError, "target has dtype float64"),
        ((P.astype(int), TARGET), {}, TypeError, "probabilities has dtype int64"),
        ((P, TARGET), {"mask": np.zeros(400, bool)}, ValueError, "no target counts"),
    ],
)
def test_what_is_no_forecast_is_named(arguments, options, error, words):
    for function in (
        calibration.reliability_curve,
        calibration.brier_score,
        calibration.negative_log_likelihood,
    ):
        with pytest.raises(error, match=f"{function.__name__}: {words}"):
            function(*arguments, **options)


def test_wrong_options_are_named():
    for bins in (0, -1, 10**9):
        with pytest.raises(ValueError, match=f"bins is {bins} but must be 1 to 10000"):
            calibration.expected_calibration_error(P, TARGET, bins=bins)
    with pytest.raises(ValueError, match="binning is 'log'"):
        calibration.expected_calibration_error(P, TARGET, binning="log")
    for temperature in (0, -1, np.inf, np.nan):
        with pytest.raises(ValueError, match="must be above 0"):
            calibration.TemperatureScaling(temperature)
    fit = calibration.TemperatureScaling().fit
    with pytest.raises(ValueError, match="logits have NaN or inf"):
        fit([[np.nan, 0.0]], [0])
    with pytest.raises(ValueError, match="logits have NaN or inf"):
        fit([[np.inf, 0.0]], [0])
    with pytest.raises(ValueError, match="a target has logit -inf"):
        fit([[-np.inf, 0.0]], [0])
    with pytest.raises(TypeError, match="logits have dtype int64"):
        calibration.TemperatureScaling()([[1, 2]])


# ------------------------------------------------------------ the effect


@pytest.mark.parametrize("seed", range(3))
def test_an_over_trained_model_becomes_honest(seed):
    """Trained to the end on few and noisy samples, a network is sure and wrong; its error falls."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 3000)
    x = (rng.normal(size=(3000, 10)) + 1.2 * np.eye(10)[y]).astype("float32")
    model = at.nn.Sequential(
        at.nn.Linear(10, 64, seed=seed), at.nn.ReLU(), at.nn.Linear(64, 3, seed=seed + 1)
    )
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=0.01), seed=seed)
    trainer.fit(x[:200], y[:200], epochs=60, batch_size=50, progress=False)
    held, test = trainer.predict(x[200:1000]), trainer.predict(x[1000:])
    scaling = calibration.TemperatureScaling().fit(held, y[200:1000])
    before, after = at.functional.softmax(test), scaling(test)
    error = calibration.expected_calibration_error
    assert scaling.temperature > 2
    assert error(before, y[1000:]) > 0.2
    assert error(after, y[1000:]) < error(before, y[1000:]) / 5
    assert calibration.brier_score(after, y[1000:]) < 0.9 * calibration.brier_score(before, y[1000:])
    assert at.metrics.accuracy(after, y[1000:]) == at.metrics.accuracy(before, y[1000:])

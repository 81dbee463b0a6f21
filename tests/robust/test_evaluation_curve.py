"""evaluation_curve: closed forms, intervals, the same draws for everybody; its table and picture."""

from xml.etree import ElementTree

import numpy as np
import pytest

import attendo as at
from attendo.robust.curve import _student

RNG = np.random.default_rng


class Sign(at.nn.Module):
    """Class 1 where the first number is above 0."""

    def forward(self, x):
        first = x[:, :1]
        return at.functional.concatenate([first * 0.0, first], axis=1)


def test_accuracy_under_noise_is_the_normal_distribution_function():
    x = np.full((20000, 1), 1.0)
    target = np.ones(20000, int)
    curve = at.robust.evaluation_curve(Sign(), x, target, [0.0, 0.5, 1.0, 2.0], trials=8)
    # P(1 + s n > 0) = Φ(1 / s)
    want = [1.0, 0.977250, 0.841345, 0.691462]
    np.testing.assert_allclose(curve.mean, want, atol=0.003)
    assert curve.values.shape == (4, 8) and (curve.values[0] == 1).all()
    assert (curve.low <= curve.mean).all() and (curve.mean <= curve.high).all()
    uniform = at.robust.evaluation_curve(Sign(), x, target, [0.5, 2.0], "uniform")
    np.testing.assert_allclose(uniform.mean, [1.0, 0.75], atol=0.005)  # 1 + u > 0, u in ±2


def test_the_interval_holds_the_truth_as_often_as_it_says():
    x, target = np.full((50, 1), 1.0), np.ones(50, int)
    curves = [
        at.robust.evaluation_curve(Sign(), x, target, [1.0], trials=4, seed=seed) for seed in range(200)
    ]
    inside = np.mean([one.low[0] <= 0.841345 <= one.high[0] for one in curves])
    assert 0.90 <= inside <= 0.99
    assert len({one.mean[0] for one in curves}) > 20


def test_students_t():
    special = pytest.importorskip("scipy.special", reason="scipy has the quantiles")
    for degrees in [*range(1, 60), 100, 1000]:
        assert abs(_student(degrees) / special.stdtrit(degrees, 0.975) - 1) < 1e-4


def test_an_attack_by_its_strength():
    rng = RNG(0)
    x = rng.normal(size=(500, 2))
    target = (x[:, 0] > 0).astype(int)
    strengths = [0.0, 0.1, 0.4]
    for attack in (at.robust.FGSM(1.0), at.robust.PGD(9.0, random_start=False)):
        curve = at.robust.evaluation_curve(Sign(), x, target, strengths, attack, batch_size=77)
        # Right stays right just where |x| > eps; nothing is random.
        want = [(np.abs(x[:, 0]) > eps).mean() for eps in strengths]
        np.testing.assert_allclose(curve.values, np.tile(want, (5, 1)).T, atol=1e-12)
        np.testing.assert_array_equal(curve.low, curve.high)
    curve = at.robust.evaluation_curve(Sign(), x, target, strengths, at.robust.PGD(1.0, steps=2))
    assert curve.mean[2] < 0.75


def test_a_function_for_text():
    ids = RNG(0).integers(1, 10, (200, 8))
    target = (ids[:, 0] > 4).astype(int)

    class First(at.nn.Module):
        def forward(self, ids):
            return Sign()((ids.numpy()[:, :1] - 4.5).astype(np.float64))

    def hide(inputs, strength, rng):
        return at.augment.MaskTokens(strength, mask_id=0, pad_id=None)(inputs, (), rng)[0]

    curve = at.robust.evaluation_curve(First(), ids, target, [0.0, 0.5, 1.0], hide)
    assert curve.mean[0] == 1 and abs(curve.mean[2] - (target == 0).mean()) < 1e-12
    assert curve.mean[2] < curve.mean[1] < 1


def test_draws_do_not_depend_on_the_batch_size_and_models_see_the_same_noise():
    x, target = RNG(0).normal(size=(300, 3)).astype("float32"), RNG(1).integers(0, 2, 300)
    a, b = (
        at.robust.evaluation_curve(Sign(), x, target, [0.3, 0.3], batch_size=size, seed=4)
        for size in (7, 300)
    )
    np.testing.assert_array_equal(a.values, b.values)
    np.testing.assert_array_equal(a.values[0], a.values[1])
    other = at.robust.evaluation_curve(Sign(), x, target, [0.3], seed=5)
    assert (other.values != a.values[:1]).any()
    # Not the numbers that the data may have been made of.
    same = at.robust.evaluation_curve(
        Sign(), RNG(0).standard_normal((999, 1)), RNG(1).integers(0, 2, 999), [1.0]
    )
    assert same.values.std() > 0


def test_own_metric_and_mode():
    model = at.nn.Sequential(at.nn.Linear(2, 1, dtype="float64", seed=0), at.nn.Dropout(0.5))
    x = RNG(0).normal(size=(50, 2))
    target = model.eval()(x).numpy()
    model.train()

    def error(prediction, target):
        return float(np.abs(prediction - target).mean())

    curve = at.robust.evaluation_curve(model, x, target, [0.0, 1.0, 2.0], metric=error)
    assert curve.metric == "error" and curve.mean[0] == 0 and model[1].training
    np.testing.assert_allclose(curve.mean[2] / curve.mean[1], 2, rtol=1e-9)  # a linear model
    assert (curve.low[1:] < curve.mean[1:]).all()


def test_table_and_picture():
    curve = at.robust.EvaluationCurve(np.array([0.0, 1.0]), np.array([[0.9, 0.9], [0.4, 0.6]]))
    assert [round(row["mean"], 9) for row in curve.rows()] == [0.9, 0.5]
    assert curve.rows()[1]["low"] == 0.0 and curve.rows()[1]["high"] == 1.0  # cut to what accuracy may be
    assert str(curve).splitlines()[1].split() == ["0", "0.9000", "0.9000", "0.9000"]
    picture = at.robust.curves({"plain <b>": curve, "trained": curve}, title="PGD & noise")
    root = ElementTree.fromstring(picture.svg)
    assert picture.svg.count("<circle") == 4 and picture.svg.count("fill-opacity") == 2
    assert "<b>" not in picture.svg and "http" not in picture.svg.replace("http://www.w3.org/2000/svg", "")
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert "plain <b>" in texts and "PGD & noise" in texts
    assert curve.picture().svg in curve._repr_html_()
    alone = at.robust.EvaluationCurve(np.array([0.5]), np.array([[3.0, 3.0]]), metric="loss")
    ElementTree.fromstring(alone.picture().svg)
    with pytest.raises(ValueError, match="curves: there are 0 curves"):
        at.robust.curves({})
    bad = at.robust.EvaluationCurve(np.array([0.5]), np.array([[np.nan, 3.0]]), metric="loss")
    with pytest.raises(ValueError, match="curves: values must be finite"):
        bad.picture()


X, Y = np.ones((4, 2)), np.ones(4, int)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda c: c(Sign(), X, Y, []), ValueError, r"strengths has shape \(0,\)"),
        (lambda c: c(Sign(), X, Y, [[1.0]]), ValueError, r"strengths has shape \(1, 1\)"),
        (lambda c: c(Sign(), X, Y, [-1.0]), ValueError, "finite and 0 or more"),
        (lambda c: c(Sign(), X, Y, [np.nan]), ValueError, "finite and 0 or more"),
        (lambda c: c(Sign(), X, Y, [1.0], trials=1), ValueError, "trials is 1 but must be 2 or more"),
        (lambda c: c(Sign(), X[:0], Y[:0], [1.0]), ValueError, "no samples"),
        (lambda c: c(Sign(), X, Y[:2], [1.0]), ValueError, r"target has shape \(2,\)"),
        (lambda c: c(Sign(), X, Y, [1.0], "laplace"), TypeError, "perturb is 'laplace'"),
        (lambda c: c(Sign(), Y[:, None], Y, [1.0]), TypeError, r"inputs\[0\] has dtype int64"),
        (lambda c: c(Sign(), X, Y, [1.0], input=2), ValueError, "input is 2 but there are 1 inputs"),
        (lambda c: c(Sign(), X, Y, [1.0], metric=lambda p, q: None), TypeError, "metric gave a NoneType"),
        (lambda c: c(Sign(), X, Y, [1.0], metric=lambda p, q: p), TypeError, "metric gave a ndarray"),
        (lambda c: c(Sign(), X, Y, [1.0], metric=3), TypeError, "metric is a int"),
        (lambda c: c(Sign(), X, Y, [1.0], trials="a"), TypeError, "curve: trials is a str"),
        (lambda c: c(Sign(), X, Y, [1.0], batch_size=0), ValueError, "curve: batch_size is 0"),
        (lambda c: c(Sign(), X, Y, [1.0], batch_size="a"), TypeError, "curve: batch_size is a str"),
        (lambda c: c(Sign(), X, Y, [1.0], seed=-1), ValueError, "evaluation_curve: seed is -1"),
    ],
)
def test_bad_calls(call, error, said):
    with pytest.raises(error, match=said):
        call(at.robust.evaluation_curve)

"""Losses of one number at a time."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from loss_check import check_config, check_loss, check_parts, check_torch
from tolerance import assert_close

rng = np.random.default_rng(0)
X, Y = 2 * rng.standard_normal((2, 7, 3))
YES = rng.integers(0, 2, (7, 3)).astype(float)
W = rng.uniform(0, 2, 7)
U = np.array([0.5, 1.0, 3.0])

LOSSES = {
    "MeanSquaredError": (at.losses.MeanSquaredError(), Y, reference.mean_squared_error, {}),
    "MeanAbsoluteError": (at.losses.MeanAbsoluteError(), Y, reference.mean_absolute_error, {}),
    "Huber": (at.losses.Huber(), Y, reference.huber, {}),
    "Huber 2.5": (at.losses.Huber(delta=2.5), Y, reference.huber, {"delta": 2.5}),
    "BinaryCrossEntropy": (at.losses.BinaryCrossEntropy(), YES, reference.binary_cross_entropy, {}),
    "BinaryCrossEntropy 3": (
        at.losses.BinaryCrossEntropy(pos_weight=3),
        YES,
        reference.binary_cross_entropy,
        {"pos_weight": 3.0},
    ),
    "BinaryCrossEntropy of classes": (
        at.losses.BinaryCrossEntropy(pos_weight=U),
        YES,
        reference.binary_cross_entropy,
        {"pos_weight": U},
    ),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("weight", [None, W], ids=["", "weighted"])
@pytest.mark.parametrize("name", LOSSES)
def test_reference(name, weight, dtype):
    loss, target, expected, options = LOSSES[name]
    target = target.astype(dtype)
    check_loss(
        loss,
        [X],
        target,
        lambda x: expected(x, target.astype(np.float64), **options, sample_weight=weight),
        weight,
        dtype,
    )


@pytest.mark.parametrize("weight", [None, W], ids=["", "weighted"])
@pytest.mark.parametrize("name", LOSSES)
def test_parts_add_up(name, weight):
    loss, target, *_ = LOSSES[name]
    check_parts(loss, [X], target, weight)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_torch(torch, name, dtype):
    loss, target, *_ = LOSSES[name]
    y = torch.tensor(target.astype(dtype))
    theirs = {
        "MeanSquaredError": torch.nn.MSELoss(),
        "MeanAbsoluteError": torch.nn.L1Loss(),
        "Huber": torch.nn.HuberLoss(),
        "Huber 2.5": torch.nn.HuberLoss(delta=2.5),
        "BinaryCrossEntropy": torch.nn.BCEWithLogitsLoss(),
        "BinaryCrossEntropy 3": torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0)),
        "BinaryCrossEntropy of classes": torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(U.astype(dtype))),
    }[name]
    check_torch(torch, loss, [X], target.astype(dtype), lambda x: theirs(x, y), dtype)


def test_torch_at_the_kinks(torch):
    """Where absolute value and Huber change: the derivative at 0 is 0, as theirs."""
    x, y = np.array([0.0, 1.0, -1.0, 2.0]), np.zeros(4)
    for loss, theirs in [
        (at.losses.MeanAbsoluteError(), torch.nn.L1Loss()),
        (at.losses.Huber(), torch.nn.HuberLoss()),
    ]:
        check_torch(torch, loss, [x], y, lambda z, f=theirs: f(z, torch.tensor(y)), np.float64)


def test_yes_and_no_of_any_kind():
    loss = at.losses.BinaryCrossEntropy()
    expected = loss(X, YES).item()
    assert loss(X, YES.astype(bool)).item() == expected
    assert loss(X, YES.astype(np.int32)).item() == expected
    assert np.isfinite(loss([1e4, -1e4], [0.0, 1.0]).item())


def test_a_weight_of_zero_leaves_a_sample_out():
    weight = np.array([1.0, 0, 0, 1, 1, 0, 1])
    loss = at.losses.Huber()
    assert_close(loss(X, Y, weight), loss(X[weight > 0], Y[weight > 0]).numpy())
    assert loss(X, Y, np.zeros(7)).item() == 0


def test_accuracy_of_yes_and_no():
    x = rng.standard_normal((50, 4)).astype(np.float32)
    y = x[:, :1] > 0
    model = at.nn.Linear(4, 1, seed=0)
    trainer = at.train.Trainer(model, at.losses.BinaryCrossEntropy(), at.optim.Adam(0.1))
    trainer.fit(x, y, epochs=40, progress=False)
    assert trainer.evaluate(x, y)["accuracy"] == np.mean((trainer.predict(x) > 0) == y) >= 0.96


def test_outliers_pull_less():
    """A line through points of which a tenth are far off: Huber and absolute stay within 0.05."""
    for seed in range(3):
        draw = np.random.default_rng(seed)
        x = draw.uniform(-1, 1, (200, 1)).astype(np.float32)
        y = 2 * x + 0.05 * draw.standard_normal(x.shape).astype(np.float32)
        y[:20] = 30 * np.sign(x[:20])
        off = {}
        for loss in (at.losses.MeanSquaredError(), at.losses.MeanAbsoluteError(), at.losses.Huber(0.1)):
            model = at.nn.Linear(1, 1, seed=seed)
            trainer = at.train.Trainer(model, loss, at.optim.Adam(at.schedules.cosine(0.1, 400)))
            trainer.fit(x, y, epochs=400, batch_size=200, progress=False)
            off[type(loss).__name__] = abs(model.weight.numpy().item() - 2)
        assert off["MeanSquaredError"] > 1, off
        assert off["MeanAbsoluteError"] < 0.05, off
        assert off["Huber"] < 0.05, off


@pytest.mark.parametrize("name", LOSSES)
def test_config(name):
    check_config(LOSSES[name][0])


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: at.losses.Huber(0), ValueError, "Huber: delta is 0 but must be finite and above 0"),
        (lambda: at.losses.Huber(np.inf), ValueError, "Huber: delta is inf"),
        (lambda: at.losses.Huber("x"), TypeError, "Huber: delta is a str"),
        (lambda: at.losses.Huber()(X, Y[:, :2]), ValueError, r"Huber: target has shape \(7, 2\)"),
        (lambda: at.losses.MeanAbsoluteError()(X, Y.astype("f4")), TypeError, "float32"),
        (lambda: at.losses.BinaryCrossEntropy()(X, Y), ValueError, "target holds .* but must hold 0 to 1"),
        (lambda: at.losses.BinaryCrossEntropy()(X, YES * np.nan), ValueError, "target holds nan"),
        (lambda: at.losses.BinaryCrossEntropy(pos_weight=-1), ValueError, "pos_weight holds -1"),
        (
            lambda: at.losses.BinaryCrossEntropy(pos_weight=[[1.0]]),
            ValueError,
            r"pos_weight has shape \(1, 1\)",
        ),
        (
            lambda: at.losses.BinaryCrossEntropy(pos_weight=[1.0, 2.0])(X, YES),
            ValueError,
            "pos_weight has 2 classes but prediction has 3",
        ),
        (lambda: at.losses.Huber()(X, Y, W[:3]), ValueError, r"Huber: sample_weight has shape \(3,\)"),
        (lambda: at.losses.Huber()(X, Y, np.arange(7)), TypeError, "sample_weight has dtype int64"),
    ],
)
def test_errors(call, error, says):
    with pytest.raises(error, match=says):
        call()

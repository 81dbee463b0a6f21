"""Ensembles: by hand, ties, states and files, and what they are better at."""

from __future__ import annotations

import numpy as np
import pytest

import attendo as at

Ensemble, average_weights = at.ensemble.Ensemble, at.ensemble.average_weights


def saying(*logits):
    """A model that says the same of every sample."""
    model = at.nn.Linear(1, len(logits), seed=0)
    model.load_state_dict({"weight": np.zeros((len(logits), 1)), "bias": np.array(logits, dtype=float)})
    return model


def softmax(z):
    e = np.exp(z - np.max(z, axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


X = np.zeros((2, 1), dtype="float32")

# ------------------------------------------------------------ by hand


def test_by_hand():
    logits = [[3.0, 0.0, 1.0], [0.0, 0.5, 0.0], [0.0, 0.5, -2.0]]
    models, p = [saying(*row) for row in logits], softmax(np.array(logits))
    for weights in (None, [1.0, 2.0, 5.0]):
        w = np.full(3, 1 / 3) if weights is None else np.array(weights) / 8
        average = Ensemble(models, weights=weights).predict_proba(X)
        assert np.allclose(average, w @ p, atol=1e-7)
        geometric = np.exp(w @ np.log(p))
        got = Ensemble(models, "log_average", weights).predict_proba(X)
        assert np.allclose(got, geometric / geometric.sum(), atol=1e-7)
        votes = Ensemble(models, "vote", weights).predict_proba(X)
        assert np.allclose(votes, [w[0], w[1] + w[2], 0])
    assert average.shape == (2, 3) and average.dtype == np.float64


def test_of_one_model_every_method_says_what_it_says():
    model = at.nn.Linear(4, 5, seed=0)
    x = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    expected = model(x).numpy()
    for method in ("average", "log_average"):
        assert np.allclose(Ensemble([model], method).predict_proba(x), softmax(expected), atol=1e-6)
    for method in ("average", "log_average", "vote"):
        assert np.array_equal(Ensemble([model], method).predict(x), expected.argmax(1))


def test_one_that_is_sure_of_no_has_a_veto_in_the_geometric_mean():
    models = [saying(2.0, 0.0), saying(2.0, 0.0), saying(-30.0, 0.0)]
    assert Ensemble(models).predict(X).tolist() == [0, 0]
    assert Ensemble(models, "log_average").predict(X).tolist() == [1, 1]


def test_ties_of_votes():
    # One vote each: the higher mean probability; of equal ones the first.
    assert Ensemble([saying(2.0, 0.0), saying(0.0, 3.0)], "vote").predict(X).tolist() == [1, 1]
    assert Ensemble([saying(0.0, 3.0), saying(3.0, 0.0)], "vote").predict(X).tolist() == [0, 0]
    # Weights whose sums differ by rounding alone (0.1 + 0.2 and 0.3) are a tie.
    models = [saying(1.0, 0.0), saying(1.0, 0.0), saying(0.0, 9.0)]
    assert Ensemble(models, "vote", [0.1, 0.2, 0.3]).predict(X).tolist() == [1, 1]
    assert Ensemble(models, "vote", [0.1, 0.3, 0.3]).predict(X).tolist() == [0, 0]


def test_batches_several_inputs_and_tokens():
    rng = np.random.default_rng(0)
    models = [at.models.DecoderLM(7, 8, 2, 1, 5, dropout=0.5, seed=seed) for seed in range(3)]
    ids = rng.integers(0, 7, (10, 5))
    ensemble = Ensemble(models)
    expected = ensemble.predict_proba(ids)
    assert expected.shape == (10, 5, 7)
    assert np.allclose(ensemble.predict_proba(ids, batch_size=3), expected, atol=1e-6)
    assert np.array_equal(ensemble.predict(ids, batch_size=3), expected.argmax(-1))
    assert all(model.training for model in models)  # it was predicted in evaluation mode, and put back
    classifiers = [at.models.EncoderClassifier(9, 8, 2, 1, 6, 3, pooling="mean", seed=s) for s in range(2)]
    ids, mask = rng.integers(0, 9, (4, 6)), np.arange(6) < np.array([[2], [6], [3], [1]])
    p = Ensemble(classifiers).predict_proba((ids, mask), batch_size=3)
    alone = Ensemble(classifiers).predict_proba((ids[:1, :2], mask[:1, :2]))
    assert np.allclose(p[:1], alone, atol=1e-6)


# ------------------------------------------------------------ states and weights


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_states_of_one_model_are_several_models(dtype):
    model = at.nn.Linear(4, 3, seed=9, dtype=dtype)
    before = model.state_dict()
    others = [at.nn.Linear(4, 3, seed=seed, dtype=dtype) for seed in range(3)]
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(dtype)
    for method in ("average", "log_average", "vote"):
        got = Ensemble.of_states(model, [m.state_dict() for m in others], method).predict_proba(x)
        assert np.array_equal(got, Ensemble(others, method).predict_proba(x))
    assert all(np.array_equal(model.state_dict()[name], value) for name, value in before.items())


def test_the_model_is_put_back_after_an_error():
    model = at.nn.Linear(4, 3, seed=9)
    before = model.state_dict()["weight"]
    with pytest.raises((ValueError, TypeError)):
        Ensemble.of_states(model, [at.nn.Linear(4, 3, seed=0).state_dict()]).predict(
            np.zeros((2, 5), "float32")
        )
    assert np.array_equal(model.state_dict()["weight"], before)
    assert model.training


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_mean_of_weights_of_models_states_and_files(dtype, tmp_path):
    pairs = [(at.nn.Linear(3, 4, seed=s, dtype=dtype), at.nn.BatchNorm1d(4, dtype=dtype)) for s in range(3)]
    models = [at.nn.Sequential(*pair) for pair in pairs]
    states = [m.state_dict() for m in models]
    models[2].save(tmp_path / "third.safetensors")
    mean = average_weights([models[0], states[1], tmp_path / "third.safetensors"])
    weighted = average_weights(models, [1, 0, 3])
    assert mean.keys() == states[0].keys()
    for name in mean:
        assert mean[name].dtype == states[0][name].dtype
        assert np.allclose(mean[name], np.mean([s[name] for s in states], axis=0))
        assert np.allclose(weighted[name], states[0][name] / 4 + states[2][name] * 0.75)
    assert models[0].load_state_dict(mean) == ([], [])
    # What does not differ stays as it is.
    same = average_weights([states[1]] * 7)
    assert all(np.allclose(same[name], states[1][name], rtol=1e-6) for name in same)


def test_of_a_linear_model_the_mean_of_weights_is_the_mean_of_logits():
    models = [at.nn.Linear(4, 3, seed=s, dtype="float64") for s in range(5)]
    x = np.random.default_rng(0).normal(size=(8, 4))
    one = at.nn.Linear(4, 3, dtype="float64")
    one.load_state_dict(average_weights(models))
    assert np.allclose(one(x).numpy(), np.mean([m(x).numpy() for m in models], axis=0))


def test_snapshots_of_epochs_and_steps(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(12, 3)).astype("float32"), np.arange(12) % 2

    def fit(snapshots, epochs):
        model = at.nn.Linear(3, 2, seed=0)
        trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.SGD(lr=0.1), seed=0)
        trainer.fit(x, y, epochs=epochs, batch_size=4, callbacks=[snapshots], progress=False)
        return model.state_dict()["weight"]

    by_epoch, by_step = at.ensemble.Snapshots(2), at.ensemble.Snapshots(every_steps=6)
    last = fit(by_epoch, 7)
    fit(by_step, 7)
    expected = [fit(at.ensemble.Snapshots(1), n) for n in (2, 4, 6)]  # 3 steps an epoch
    for snapshots in (by_epoch, by_step):
        assert len(snapshots.states) == 3
        assert all(np.array_equal(s["weight"], e) for s, e in zip(snapshots.states, expected, strict=True))
        assert not np.array_equal(snapshots.states[-1]["weight"], last)
    few = at.ensemble.Snapshots(1, keep=2)
    fit(few, 6)
    assert np.array_equal(few.states[-1]["weight"], expected[-1]) and len(few.states) == 2
    again = at.ensemble.Snapshots(1)
    again.load_state_dict(few.state_dict())
    assert np.array_equal(again.states[0]["weight"], few.states[0]["weight"])


def test_snapshots_survive_an_interruption(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(12, 3)).astype("float32"), np.arange(12) % 2

    class PowerCut(at.callbacks.Callback):
        def on_epoch_end(self, trainer, info):
            if info["epoch"] == 3:
                raise OSError("no more power")

    def trainer():
        model = at.nn.Sequential(at.nn.Linear(3, 2, seed=0))
        return at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.SGD(lr=0.1), seed=0)

    whole, parts = at.ensemble.Snapshots(2), at.ensemble.Snapshots(2)
    trainer().fit(x, y, epochs=6, callbacks=[whole], progress=False)
    checkpoint = at.callbacks.Checkpoint(tmp_path)
    with pytest.raises(OSError, match="no more power"):
        trainer().fit(x, y, epochs=6, callbacks=[parts, checkpoint, PowerCut()], progress=False)
    again = at.ensemble.Snapshots(2)
    model = at.nn.Sequential(at.nn.Linear(3, 2, seed=1))
    at.train.resume(tmp_path, model=model).fit(x, y, callbacks=[again], progress=False)
    assert len(again.states) == len(whole.states) == 3
    for a, b in zip(again.states, whole.states, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in b)


# ------------------------------------------------------------ the errors


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Ensemble([]), ValueError, "Ensemble: there must be at least one model"),
        (lambda: Ensemble(saying(0.0)), TypeError, "models is a Linear but must be a list"),
        (lambda: average_weights(saying(0.0)), TypeError, "models is a Linear but must be a list"),
        (lambda: average_weights("file"), TypeError, "models is a str but must be a list"),
        (lambda: at.ensemble.Snapshots(1.5), TypeError, "every_epochs is 1.5"),
        (lambda: Ensemble([len]), TypeError, r"models\[0\] is a builtin"),
        (lambda: Ensemble([saying(0.0, 1.0)], "mean"), ValueError, "method is 'mean'"),
        (lambda: Ensemble([saying(0.0, 1.0)], weights=[1, 2]), ValueError, r"weights has shape \(2,\)"),
        (lambda: Ensemble([saying(0.0, 1.0)], weights=[0]), ValueError, "not all 0"),
        (lambda: Ensemble([saying(0.0, 1.0)], weights=[np.nan]), ValueError, "weights must be finite"),
        (lambda: Ensemble([saying(0.0, 1.0)]).predict(X, batch_size=0), ValueError, "batch_size is 0"),
        (lambda: Ensemble([saying(0.0, 1.0)]).predict(X[:0]), ValueError, r"inputs have shape \(0, 1\)"),
        (lambda: Ensemble([saying(0.0, 1.0)]).predict((X, X[:1])), ValueError, r"inputs have shape \(1, 1\)"),
        (
            lambda: Ensemble([saying(0.0, 1.0), saying(0.0, 1.0, 2.0)]).predict(X),
            ValueError,
            r"models\[1\] gives shape \(2, 3\)",
        ),
        (lambda: average_weights([]), ValueError, "there must be at least one model"),
        (lambda: average_weights([3]), TypeError, r"models\[0\] is a int"),
        (lambda: average_weights([{"a": [1.0]}, {"b": [1.0]}]), ValueError, "names of models.0.: a, b"),
        (lambda: average_weights([{"a": [1.0]}, {"a": [1.0, 2.0]}]), ValueError, r"has shape \(2,\) but"),
        (lambda: average_weights([{"a": np.ones(2, "int8")}]), TypeError, "has dtype int8"),
        (lambda: average_weights([{"a": [np.nan]}]), ValueError, "has NaN or inf"),
        (lambda: average_weights(["/nowhere.safetensors"]), FileNotFoundError, "nowhere"),
        (lambda: at.ensemble.Snapshots(), ValueError, "either every_epochs or every_steps"),
        (lambda: at.ensemble.Snapshots(1, every_steps=1), ValueError, "either every_epochs or every_steps"),
        (lambda: at.ensemble.Snapshots(0), ValueError, "every_epochs is 0"),
        (lambda: at.ensemble.Snapshots(1, keep=0), ValueError, "keep is 0"),
    ],
)
def test_what_is_no_ensemble_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


# ------------------------------------------------------------ the effect


@pytest.fixture(scope="module")
def digits():
    """Scanned digits: 100 to learn from, 1697 to be asked; in an order of the seed."""
    load = pytest.importorskip("sklearn.datasets", reason="the scans come with scikit-learn").load_digits
    images, truth = load(return_X_y=True)

    def split(seed):
        order = np.random.default_rng(seed).permutation(len(truth))
        train, test = order[:100], order[100:]
        x = (images / 16).astype("float32")
        return x[train], truth[train], x[test], truth[test]

    return split


def network(width, seed):
    return at.nn.Sequential(
        at.nn.Linear(64, width, seed=seed), at.nn.ReLU(), at.nn.Linear(width, 10, seed=seed + 1)
    )


def trained(model, seed, x, y, epochs=30, lr=0.01, callbacks=()):
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=lr), seed=seed)
    trainer.fit(x, y, epochs=epochs, batch_size=16, callbacks=callbacks, progress=False)
    return model.eval()


def test_seven_small_models_are_better_than_the_best_of_them(digits):
    """Five splits: each ensemble beats its best member; by 10 points of 100 the mean of them (votes by 8)."""
    gain = {"average": [], "log_average": [], "vote": []}
    for seed in range(5):
        x, y, x_test, y_test = digits(seed)
        models = [trained(network(6, 100 * seed + 10 * k), k, x, y) for k in range(7)]
        alone = [at.metrics.accuracy(model(x_test), y_test) for model in models]
        for method in gain:
            together = at.metrics.accuracy(Ensemble(models, method).predict(x_test), y_test)
            gain[method].append(together - np.mean(alone))
            if method != "vote":
                assert together > max(alone)
    assert np.mean(gain["average"]) > 0.1 and np.mean(gain["log_average"]) > 0.1
    assert np.mean(gain["vote"]) > 0.08


def test_a_soup_of_fine_tuned_models_is_better_than_they_are(digits):
    """Five splits: on each better than the mean of its models, by 1 point of 100; of strangers far worse."""
    gain, lost = [], []
    for seed in range(5):
        x, y, x_test, y_test = digits(seed)
        start = trained(network(16, 100 * seed), 0, x, y, epochs=10).state_dict()
        models = []
        for k in range(5):
            model = network(16, 0)
            model.load_state_dict(start)
            models.append(trained(model, k + 1, x, y, epochs=4, lr=0.03))
        soup = network(16, 0)
        soup.load_state_dict(average_weights(models))
        alone = [at.metrics.accuracy(model(x_test), y_test) for model in models]
        gain.append(at.metrics.accuracy(soup(x_test), y_test) - np.mean(alone))
        strangers = [trained(network(16, 100 * seed + 10 * k), k, x, y) for k in range(1, 5)]
        soup.load_state_dict(average_weights(strangers))
        worst = min(at.metrics.accuracy(model(x_test), y_test) for model in strangers)
        lost.append(worst - at.metrics.accuracy(soup(x_test), y_test))
    assert min(gain) > 0 and np.mean(gain) > 0.01
    assert min(lost) > 0.05 and np.mean(lost) > 0.3


def test_snapshots_of_one_training_are_better_than_its_end(digits):
    """Five splits, five cycles: on each 25 % less surprised than the end of this training, and than one long
    cycle; more often right than the end, as often as the long cycle to a point of 100.
    """
    over_last, over_long = [], []
    loss = at.calibration.negative_log_likelihood
    for seed in range(5):
        x, y, x_test, y_test = digits(seed)
        snapshots = at.ensemble.Snapshots(8)
        schedules = {
            "cycles": at.schedules.cosine_restarts(0.05, 8 * 7),  # 7 steps an epoch
            "long": at.schedules.cosine(0.05, 40 * 7),
        }
        said = {}
        for name, schedule in schedules.items():
            model = network(32, 100 * seed)
            optimizer = at.optim.Adam(lr=schedule, betas=(0.9, 0.9))
            trainer = at.train.Trainer(model, at.losses.CrossEntropy(), optimizer, seed=seed)
            taking = [snapshots] if name == "cycles" else []
            trainer.fit(x, y, epochs=40, batch_size=16, callbacks=taking, progress=False)
            said[name] = at.functional.softmax(trainer.predict(x_test))
        assert len(snapshots.states) == 5
        together = snapshots.ensemble(model).predict_proba(x_test)
        right = at.metrics.accuracy(together, y_test)
        for name, gain in (("cycles", over_last), ("long", over_long)):
            assert loss(together, y_test) < 0.75 * loss(said[name], y_test)
            gain.append(right - at.metrics.accuracy(said[name], y_test))
    assert np.mean(over_last) > 0.005
    assert abs(np.mean(over_long)) < 0.01

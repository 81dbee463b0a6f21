"""The Trainer: the loop, determinism, evaluation, wrong samples."""

import gc

import numpy as np
import pytest

import attendo as at
from inputs import THREADS
from tolerance import assert_close, assert_same_bits

rng = np.random.default_rng(0)
X = rng.standard_normal((50, 6)).astype(np.float32)
Y = rng.integers(0, 3, 50)


def network(dropout=0.0, seed=0):
    model = at.nn.Sequential(
        at.nn.Linear(6, 40), at.nn.ReLU(), at.nn.Dropout(dropout), at.nn.BatchNorm1d(40), at.nn.Linear(40, 3)
    )
    model.reset_parameters(seed)
    return model


def trainer(model=None, lr=0.05, **options):
    return at.train.Trainer(model or network(), at.losses.CrossEntropy(), at.optim.Adam(lr), **options)


def fit(t, inputs=X, target=Y, **options):
    return t.fit(inputs, target, **{"epochs": 3, "batch_size": 8, "progress": False, **options})


def assert_same_state(a, b):
    a, b = a.state_dict(), b.state_dict()
    assert list(a) == list(b)
    for name, value in a.items():
        assert_same_bits(value, b[name], name)


# --------------------------------------------------------------------------------------------------- the loop


def test_fit_is_the_loop_one_would_write():
    """Forward, loss, backward, step, batch after batch in the order given: the same bits."""
    by_trainer, by_hand = network(), network()
    history = fit(trainer(by_trainer), shuffle=False)
    optimizer, losses = at.optim.Adam(0.05), []
    optimizer.attach(by_hand)
    for _ in range(3):
        for begin in range(0, 50, 8):
            optimizer.zero_grad()
            loss = at.losses.CrossEntropy()(by_hand(X[begin : begin + 8]), Y[begin : begin + 8])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert_same_state(by_trainer, by_hand)
    np.testing.assert_array_equal(history["step_loss"], losses)


def test_history():
    history = fit(trainer(), validation=(X[:20], Y[:20]))
    assert len(history["step_loss"]) == len(history["lr"]) == 3 * 7
    assert len(history["loss"]) == len(history["val_loss"]) == len(history["val_accuracy"]) == 3
    counts = [8] * 6 + [2]
    expected = [np.average(steps, weights=counts) for steps in history["step_loss"].reshape(3, 7)]
    assert_close(history["loss"], expected)
    assert history["loss"][-1] < history["loss"][0]
    assert (history["lr"] == 0.05).all() and history["seconds"] > 0
    assert "3 epochs, 21 steps" in repr(history)


def test_the_loss_of_an_epoch_counts_tokens_not_batches():
    model = at.nn.Linear(6, 3, seed=0)
    target = np.where(np.arange(50) < 25, 0, Y)  # 0 is ignored: batches have different numbers of targets
    t = at.train.Trainer(model, at.losses.CrossEntropy(ignore_index=0), at.optim.SGD(0.0))
    history = fit(t, target=target, epochs=1, shuffle=False)
    assert_close(np.float32(history["loss"][0]), t.evaluate(X, target)["loss"])


def test_a_batch_larger_than_the_data():
    history = fit(trainer(), batch_size=1000)
    assert len(history["step_loss"]) == 3


def test_several_inputs():
    class Two(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = at.nn.Linear(6, 3, seed=0), at.nn.Linear(2, 3, seed=1)

        def forward(self, x, y):
            return self.a(x) + self.b(y)

    t = trainer(Two())
    fit(t, (X, X[:, :2]))
    assert t.predict((X, X[:, :2])).shape == (50, 3)
    assert set(t.evaluate((X, X[:, :2]), Y)) == {"loss", "accuracy"}


def test_every_layout_of_the_data_gives_the_same_bits():
    expected = network()
    fit(trainer(expected))
    readonly = X.copy()
    readonly.flags.writeable = False
    for x, y in [
        (np.asfortranarray(X), Y.astype(np.int8)),
        (np.repeat(X, 2, axis=0)[::2], np.repeat(Y, 2)[::2]),
        (readonly, Y.tolist()),
        (X.astype(">f4"), Y.astype(">i8")),
        (at.tensor(X), at.tensor(Y)),
    ]:
        model = network()
        fit(trainer(model), x, y)
        assert_same_state(model, expected)


def test_the_data_stays_as_it_is():
    x, y = X.copy(), Y.copy()
    t = trainer()
    fit(t, x, y)
    t.evaluate(x, y)
    t.predict(x)[...] = 0
    assert_same_bits(x, X)
    assert_same_bits(y, Y)


# ------------------------------------------------------------------------------------------------ determinism


@pytest.mark.parametrize("threads", THREADS)
def test_same_bits_on_any_number_of_threads(threads):
    def run(n):
        at.set_num_threads(n)
        model = at.models.Transformer(16, 2, 1, 1, 32, 9, 7, 12, dropout=0.2, seed=0)
        src, tgt = rng_ids(9, 40, 12), rng_ids(7, 40, 12)
        t = at.train.Trainer(
            model, at.losses.CrossEntropy(ignore_index=0), at.optim.Adam(1e-3), clip_norm=1.0
        )
        history = t.fit((src, tgt[:, :-1]), tgt[:, 1:], epochs=2, batch_size=16, progress=False)
        return model, history

    (model, history), (expected, right) = run(threads), run(1)
    assert_same_state(model, expected)
    assert_same_bits(history["step_loss"], right["step_loss"])


def rng_ids(high, *shape):
    return np.random.default_rng(3).integers(0, high, shape)


def test_the_seed_decides():
    models = {seed: network(dropout=0.3) for seed in (1, 2, 11)}
    for seed, model in models.items():
        fit(trainer(model, seed=seed % 10))
    assert_same_state(models[1], models[11])
    assert (models[1].state_dict()["0.weight"] != models[2].state_dict()["0.weight"]).any()


def test_the_seed_decides_order_and_dropout_each():
    def losses(seed, dropout, shuffle):
        return fit(trainer(network(dropout), seed=seed), shuffle=shuffle)["step_loss"]

    assert_same_bits(losses(1, 0.0, False), losses(2, 0.0, False))
    assert (losses(1, 0.0, True) != losses(2, 0.0, True)).any()
    assert (losses(1, 0.5, False) != losses(2, 0.5, False)).any()


def test_every_epoch_sees_every_sample_once_in_a_new_order():
    seen = []

    class Spy(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = at.nn.Linear(1, 1, seed=0)

        def forward(self, x):
            seen.append(x.numpy()[:, 0].tolist())
            return self.layer(x)

    x = np.arange(50.0, dtype=np.float32)[:, None]
    at.train.Trainer(Spy(), at.losses.MeanSquaredError(), at.optim.SGD(1e-6)).fit(
        x, x, epochs=3, batch_size=8, progress=False
    )
    assert [len(batch) for batch in seen] == ([8] * 6 + [2]) * 3
    epochs = [np.concatenate(seen[i : i + 7]).tolist() for i in (0, 7, 14)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] and epochs[0] != list(range(50))


def test_two_calls_equal_one():
    """Optimizer, order and dropout go on where they stopped."""
    once, twice = network(dropout=0.3), network(dropout=0.3)
    fit(trainer(once), epochs=4)
    t = trainer(twice)
    fit(t, epochs=1)
    fit(t, epochs=3)
    assert_same_state(once, twice)


# ------------------------------------------------------------------------------------------ evaluate, predict


def test_evaluate_and_predict_equal_the_computation_by_hand():
    model = network(dropout=0.5)
    t = trainer(model)
    fit(t)
    logits = t.predict(X, batch_size=7)
    assert type(logits) is np.ndarray and logits.flags.writeable
    model.eval()
    assert_close(logits, model(X).numpy())
    model.train()
    got = t.evaluate(X, Y, batch_size=7)
    assert_close(np.float32(got["loss"]), at.functional.cross_entropy(logits.astype(np.float64), Y))
    assert got["accuracy"] == (logits.argmax(-1) == Y).mean()
    assert model.training


def test_accuracy_ignores_what_the_loss_ignores():
    t = at.train.Trainer(network(), at.losses.CrossEntropy(ignore_index=0), at.optim.SGD(0.1))
    guess = t.predict(X).argmax(-1)
    assert t.evaluate(X, Y)["accuracy"] == (guess == Y)[Y != 0].mean()
    nothing = t.evaluate(X, np.zeros(50, int))
    assert nothing["loss"] == 0 and "accuracy" not in nothing


def test_accuracy_of_one_hot_targets():
    t = trainer()
    assert t.evaluate(X, np.eye(3, dtype=np.float32)[Y])["accuracy"] == t.evaluate(X, Y)["accuracy"]


def test_a_regression_has_no_accuracy():
    t = at.train.Trainer(at.nn.Linear(6, 1), at.losses.MeanSquaredError(), at.optim.SGD(0.1))
    assert set(t.evaluate(X, X[:, :1])) == {"loss"}


def test_predicting_the_first_of_several_outputs():
    class Pair(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = at.nn.MultiHeadAttention(4, 2, seed=0)

        def forward(self, x):
            return self.attention(x, x, x, return_weights=True)

    x = rng.standard_normal((5, 3, 4)).astype(np.float32)
    t = at.train.Trainer(Pair(), at.losses.MeanSquaredError(), at.optim.SGD(0.01))
    assert t.predict(x).shape == (5, 3, 4)
    fit(t, x, x)


def test_evaluation_draws_nothing():
    model = network(dropout=0.5)
    t = trainer(model)
    assert_same_bits(t.predict(X), t.predict(X))
    assert t.evaluate(X, Y) == t.evaluate(X, Y)


def test_each_module_keeps_its_mode():
    model = network()
    model[3].eval()  # a frozen batch norm
    t = trainer(model)
    t.predict(X)
    t.evaluate(X, Y)
    with pytest.raises(ValueError):
        t.predict(X[:, :2])
    assert [m.training for m in model.children()] == [True, True, True, False, True]


# ---------------------------------------------------------------------------------------- what else is needed


def test_a_model_written_in_python_trains():
    class Classifier(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = at.nn.Linear(2, 16, seed=0)
            self.attention = at.nn.MultiHeadAttention(16, 2, seed=1)
            self.out = at.nn.Linear(16, 3, seed=2)

        def forward(self, x):
            h = self.embed(x.reshape(-1, 3, 2)).tanh()
            h = h + self.attention(h, h, h)
            return self.out(h.mean(axis=1))

    target = np.digitize(X.sum(-1), [-1, 1])
    t = trainer(Classifier(), lr=0.01)
    history = fit(t, target=target, epochs=40)
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    assert t.evaluate(X, target)["accuracy"] > 0.9


def test_what_is_frozen_does_not_move():
    model = network()
    model[0].requires_grad_(False)
    before = model.state_dict()
    fit(trainer(model))
    after = model.state_dict()
    assert_same_bits(after["0.weight"], before["0.weight"])
    assert_same_bits(after["0.bias"], before["0.bias"])
    assert (after["4.weight"] != before["4.weight"]).any()


def test_clipping_bounds_the_step():
    model, before = at.nn.Linear(6, 3, seed=0), at.nn.Linear(6, 3, seed=0).state_dict()
    t = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.SGD(1.0), clip_norm=1e-3)
    fit(t, X * 100, epochs=1, batch_size=50)
    moved = np.concatenate([(v - before[n]).ravel() for n, v in model.state_dict().items()])
    assert_close(np.linalg.norm(moved), np.float64(1e-3), np.float32)


@pytest.mark.parametrize("threads", [1, 2])
def test_memory_reaches_a_steady_state(threads):
    at.set_num_threads(threads)
    model = at.models.Transformer(16, 2, 1, 1, 32, 9, 7, 12, seed=0)
    ids = rng_ids(7, 64, 12)
    t = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam())
    calls, live = [], []

    class Watch:
        def on_epoch_end(self, trainer, info):
            stats = at.memory_stats()
            calls.append(stats["system_calls"])
            live.append(stats["live_bytes"])

    t.fit((ids, ids), ids, epochs=12, batch_size=16, callbacks=[Watch()], progress=False)
    assert len(set(live[2:])) == 1
    # Two threads may need a second scratch block at once for the first time at any step.
    assert calls[-1] - calls[2] <= (0 if threads == 1 else 8)


def test_a_later_trainer_takes_the_model_over():
    model = network()
    first = trainer(model)
    fit(first)
    second = trainer(model)
    assert fit(second)["loss"][-1] < fit(second)["loss"][0] * 2
    with pytest.raises(ValueError, match="another optimizer has taken over its parameters"):
        fit(first)


# ------------------------------------------------------------------------------------------------ wrong input

PARTS = {"model": network(), "loss": at.losses.CrossEntropy(), "optimizer": at.optim.SGD(0.1)}


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"model": lambda x: x}, TypeError, "Trainer: model is a function but must be an attendo.nn.Module"),
        ({"model": None}, TypeError, "Trainer: model is a NoneType"),
        ({"model": at.nn.ReLU()}, ValueError, "no parameter that requires a gradient"),
        ({"loss": "cross-entropy"}, TypeError, "Trainer: loss must be one of attendo.losses"),
        ({"optimizer": at.optim.Adam}, TypeError, "Trainer: optimizer must be one of attendo.optim"),
        ({"seed": -1}, ValueError, "Trainer: seed is -1"),
        ({"seed": 0.5}, TypeError, "Trainer: seed is a float"),
        ({"clip_norm": 0.0}, ValueError, "Trainer: clip_norm is 0"),
        ({"clip_norm": -1.0}, ValueError, "Trainer: clip_norm is -1"),
        ({"clip_norm": np.nan}, ValueError, "Trainer: clip_norm is nan"),
        ({"clip_norm": "1"}, TypeError, "Trainer: clip_norm is a str"),
    ],
)
def test_wrong_constructions(change, error, says):
    with pytest.raises(error, match=says):
        at.train.Trainer(**{**PARTS, **change})


@pytest.mark.parametrize(
    ("inputs", "target", "options", "error", "says"),
    [
        (X, Y[:49], {}, ValueError, "fit: target has 49 samples but inputs have 50"),
        ((X, X[:49]), Y, {}, ValueError, "fit: inputs have 50 and 49 samples"),
        ((), Y, {}, ValueError, "fit: inputs is empty"),
        (X[:0], Y[:0], {}, ValueError, "fit: inputs have no samples"),
        (np.float32(1), Y, {}, ValueError, r"fit: inputs has shape \(\)"),
        (X.astype(np.float16), Y, {}, TypeError, "fit: inputs has dtype float16"),
        (X.astype(object), Y, {}, TypeError, "fit: inputs has dtype object"),
        (None, Y, {}, TypeError, "fit: inputs is None"),
        (X, None, {}, TypeError, "fit: target is None"),
        (X, Y, {"epochs": 0}, ValueError, "fit: epochs is 0 but must be 1 or more"),
        (X, Y, {"epochs": 1.5}, TypeError, "fit: epochs is a float"),
        (X, Y, {"batch_size": 0}, ValueError, "fit: batch_size is 0 but must be 1 or more"),
        (X, Y, {"batch_size": "8"}, TypeError, "fit: batch_size is a str"),
        (X[:, :3], Y, {}, ValueError, "x has 3 features"),
        (X.astype(np.float64), Y, {}, TypeError, "float64"),
        (X, Y + 1, {}, ValueError, "target holds 3 but must hold 0 to 2"),
        (X, X, {}, ValueError, r"target has shape"),
        ((X, X), Y, {}, ValueError, "2 inputs|takes one"),
    ],
)
def test_wrong_samples(inputs, target, options, error, says):
    with pytest.raises(error, match=says):
        fit(trainer(), inputs, target, **options)


def test_wrong_outputs():
    class Nothing(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.result = at.nn.Linear(6, 3), None

        def forward(self, x):
            return self.result

    t = trainer(Nothing())
    for result, error, says in [
        (None, ValueError, "returned nothing"),
        (np.zeros(3), TypeError, "Nothing.forward returned a ndarray but must return Tensors"),
        ("text", TypeError, "Nothing.forward returned a str"),
        (at.tensor(np.zeros((8, 3), np.float32)), ValueError, "does not depend on anything that requires"),
    ]:
        t.model.result = result
        with pytest.raises(error, match=says):
            fit(t)
    with pytest.raises(ValueError, match="gave 8 rows for 50 samples"):
        t.predict(X)


def test_a_module_replaced_while_it_is_in_use():
    """A callback may replace a layer: the guard of the modes must not reach for the one that is gone."""

    class Two(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = at.nn.Linear(6, 6), at.nn.Linear(6, 3)

        def forward(self, x):
            return self.second(self.first(x).relu())

    class Replace(at.callbacks.Callback):
        def on_epoch_end(self, trainer, info):
            model.first = at.nn.Linear(6, 6)
            gc.collect()

    model = Two().eval()
    t = trainer(model)
    fit(t, epochs=3, callbacks=[Replace()])
    assert not model.training and not model.second.training


@pytest.mark.parametrize("validation", [1, (X,), (X, Y, None, X)])
def test_validation_is_looked_at_before_training(validation):
    model = network()
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"fit: validation must be \(inputs, target\)"):
        fit(trainer(model), validation=validation)
    assert all((before[name] == value).all() for name, value in model.state_dict().items())


# ------------------------------------------------------------------------------------- others while it trains


def test_history_may_be_read_by_another_thread():
    """A short form of what crashed: numbers are copied while fit adds to them."""
    import threading

    t = trainer()
    done = threading.Event()

    def read():
        while not done.is_set():
            assert len(t.history["step_loss"]) >= 0

    reader = threading.Thread(target=read)
    reader.start()
    try:
        history = fit(t, epochs=400, batch_size=4)
    finally:
        done.set()
        reader.join()
    assert len(history["step_loss"]) == 400 * 13


def test_one_fit_at_a_time():
    class Again(at.callbacks.Callback):
        def on_epoch_end(self, trainer, info):
            trainer.fit(X, Y, progress=False)

    t = trainer()
    with pytest.raises(ValueError, match="this Trainer is training already"):
        fit(t, callbacks=[Again()])
    assert len(fit(t)["loss"]) == 3


def test_a_model_that_has_other_parameters_now_is_an_error():
    """It would train nothing, and say so nowhere."""
    model = at.nn.Sequential(at.nn.Linear(6, 3, seed=0))
    t = trainer(model)
    fit(t)
    model[0].weight.requires_grad = False
    fit(t)  # frozen: as it should be
    model.append(at.nn.Linear(3, 3, seed=1)) if hasattr(model, "append") else None
    other = at.nn.ModuleList([at.nn.Linear(6, 3)])

    class Net(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = at.nn.Linear(6, 3, seed=0)

        def forward(self, x):
            return self.layer(x)

    net = Net()
    t = trainer(net)
    net.layer = other[0]
    with pytest.raises(ValueError, match="other parameters; make a new one"):
        fit(t)


def test_every_callback_hears_of_the_end():
    heard = []

    class Bad(at.callbacks.Callback):
        def on_train_end(self, trainer):
            raise RuntimeError("bad")

    class Good(at.callbacks.Callback):
        def on_train_end(self, trainer):
            heard.append(trainer)

    with pytest.raises(RuntimeError, match="bad"):
        fit(trainer(), callbacks=[Bad(), Good()])
    assert len(heard) == 1


@pytest.mark.parametrize(
    "options, error, says",
    [
        ({"callbacks": 3}, TypeError, "callbacks is a int"),
        ({"callbacks": None}, TypeError, "callbacks is a NoneType"),
        ({"callbacks": [None]}, TypeError, r"callbacks\[0\] is a NoneType"),
        ({"callbacks": [at.callbacks.Callback]}, TypeError, r"callbacks\[0\] is the class Callback"),
        ({"shuffle": "no"}, TypeError, "shuffle is a str but must be True or False"),
        ({"shuffle": []}, TypeError, "shuffle is a list"),
        ({"batch_tokens": 0, "bucket_by": Y}, ValueError, "batch_tokens is 0"),
        ({"augment": lambda x, y, g: ((x[0][:0],), (y[0][:0],))}, ValueError, "a batch has no samples"),
    ],
)
def test_more_wrong_options(options, error, says):
    with pytest.raises(error, match="fit: " + says):
        fit(trainer(), **options)


def test_a_metric_that_gives_no_number():
    t = trainer(metrics={"m": lambda p, y: None})
    with pytest.raises(TypeError, match=r"evaluate: metrics\['m'\] gave a NoneType"):
        t.evaluate(X, Y)

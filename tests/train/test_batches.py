"""What a batch is made of: unequal lengths, buckets, weights, iterables, several targets, augmentation."""

import numpy as np
import pytest

import attendo as at
from tolerance import assert_close, assert_same_bits

rng = np.random.default_rng(0)
X = rng.standard_normal((50, 6)).astype(np.float32)
Y = rng.integers(0, 3, 50)
LENGTHS = rng.integers(1, 12, 50)
SEQUENCES = [rng.integers(1, 9, n) for n in LENGTHS]


class Recorder(at.nn.Module):
    """Remembers what it was given; its output is a learned number."""

    def __init__(self):
        super().__init__()
        self.value = at.nn.Linear(1, 1, seed=0)
        self.seen = []

    def forward(self, *inputs):
        self.seen.append([x.numpy().copy() for x in inputs])
        return self.value(np.ones((inputs[0].shape[0], 1), dtype="float32"))


def record(inputs, epochs=1, seed=0, **options):
    model = Recorder()
    samples = len(inputs[0]) if isinstance(inputs, tuple) else len(inputs)
    t = at.train.Trainer(model, at.losses.MeanSquaredError(), at.optim.SGD(0.0), seed=seed)
    t.fit(inputs, np.zeros((samples, 1), dtype="float32"), epochs=epochs, progress=False, **options)
    return model.seen


# ------------------------------------------------------------------------------------------ unequal lengths


def test_a_batch_is_padded_to_its_own_longest():
    ragged = at.data.Ragged(SEQUENCES, padding=-1)
    seen = record(ragged, batch_size=8, shuffle=False)
    for begin, (batch,) in zip(range(0, 50, 8), seen, strict=True):
        some = SEQUENCES[begin : begin + 8]
        assert batch.shape == (len(some), max(map(len, some)))
        for row, sequence in zip(batch, some, strict=True):
            np.testing.assert_array_equal(row, [*sequence, *[-1] * (batch.shape[1] - len(sequence))])


def test_ragged_features():
    ragged = at.data.Ragged([np.full((n, 2), n, dtype=np.float32) for n in (3, 1, 2)])
    ((batch,),) = record(ragged, shuffle=False)
    assert batch.shape == (3, 3, 2) and batch.dtype == np.float32
    assert batch.sum(axis=(1, 2)).tolist() == [18, 2, 8]
    assert_same_bits(ragged.padded(), batch)
    assert ragged[1].tolist() == [[1, 1]] and ragged[-1].shape == (2, 2) and len(ragged) == 3


def test_ragged_with_empty_sequences():
    ragged = at.data.Ragged([[], [1, 2], []])
    assert ragged.lengths.tolist() == [0, 2, 0]
    assert ragged.padded().tolist() == [[0, 0], [1, 2], [0, 0]]


def test_buckets_hold_near_lengths_and_every_sample_once():
    ragged, ids = at.data.Ragged(SEQUENCES), np.arange(50)
    for seed in range(3):
        seen = record((ragged, ids), batch_size=8, bucket_by=True, seed=seed)
        assert sorted(i for _, batch in seen for i in batch) == list(range(50))
        spread = [np.ptp(LENGTHS[batch]) for _, batch in seen]
        assert sorted(spread)[-1] <= 3  # in batches as they come it is 8 and more
    plain = [np.ptp(LENGTHS[batch]) for _, batch in record((ragged, ids), batch_size=8)]
    assert min(plain[:-1]) > 3


def test_buckets_come_in_another_order_each_epoch():
    ragged = at.data.Ragged(SEQUENCES)
    widths = [batch.shape[1] for (batch,) in record(ragged, batch_size=8, bucket_by=True, epochs=4)]
    orders = {tuple(widths[i : i + 7]) for i in range(0, 28, 7)}
    assert len(orders) > 1 and all(list(o) != sorted(o) for o in orders)
    same = [batch.shape[1] for (batch,) in record(ragged, batch_size=8, bucket_by=True, epochs=4)]
    assert same == widths


def test_batches_of_so_many_tokens():
    ragged = at.data.Ragged(SEQUENCES)
    seen = [batch for (batch,) in record(ragged, bucket_by=LENGTHS, batch_tokens=24)]
    assert all(batch.size <= 24 for batch in seen)
    assert sum(len(batch) for batch in seen) == 50
    assert max(len(batch) for batch in seen) > 8 > min(len(batch) for batch in seen)
    # A sequence longer than the limit is a batch of its own.
    assert [len(b) for (b,) in record(ragged, bucket_by=LENGTHS, batch_tokens=1)] == [1] * 50


def test_evaluate_and_predict_take_them_too():
    ragged = at.data.Ragged(SEQUENCES)
    model = at.models.EncoderClassifier(9, 8, 2, 1, 12, 3, pad_id=0, pooling="mean", seed=0)
    t = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(1e-3))
    inputs = (ragged, ragged.mask)
    t.fit(inputs, Y, batch_size=8, bucket_by=True, progress=False)
    padded = (ragged.padded(), ragged.padded() > 0)
    assert_close(t.predict(inputs, batch_size=4), t.predict(padded, batch_size=50))
    a, b = t.evaluate(inputs, Y, batch_size=4), t.evaluate(padded, Y, batch_size=50)
    assert_close(np.float32(a["loss"]), np.float32(b["loss"]))
    assert a["accuracy"] == b["accuracy"]


@pytest.mark.parametrize(
    "make, error, says",
    [
        (lambda: at.data.Ragged([]), ValueError, "sequences is empty"),
        (lambda: at.data.Ragged([1, 2]), ValueError, r"sequences\[0\] is a single number"),
        (lambda: at.data.Ragged([[1], ["a"]]), TypeError, r"sequences\[1\] has dtype"),
        (lambda: at.data.Ragged([[[1, 2]], [[1]]]), ValueError, "only the first axis may differ"),
        (lambda: at.data.Ragged([[1]], padding=0.5), TypeError, "padding is 0.5"),
        (lambda: record(X, bucket_by=True), ValueError, "bucket_by is True but no input is a Ragged"),
        (lambda: record(X, bucket_by=LENGTHS[:4]), ValueError, "bucket_by has shape"),
        (lambda: record(X, bucket_by=LENGTHS * 0.5), TypeError, "bucket_by has dtype float64"),
        (lambda: record(X, bucket_by=-LENGTHS), ValueError, "bucket_by has a length below 0"),
        (lambda: record(X, batch_tokens=5), ValueError, "batch_tokens needs bucket_by"),
        (lambda: record(X, bucket_by=LENGTHS, batch_tokens=0), ValueError, "batch_tokens is 0"),
        (lambda: record((at.data.Ragged([[1]]), X)), ValueError, "have 1 and 50 samples"),
    ],
)
def test_errors(make, error, says):
    with pytest.raises(error, match=says):
        make()


# ----------------------------------------------------------------------------------------- weights of samples


def fit(model, x, y, loss=None, **options):
    t = at.train.Trainer(model, loss or at.losses.CrossEntropy(), at.optim.SGD(0.5))
    return t, t.fit(x, y, **{"epochs": 2, "batch_size": 8, "progress": False, **options})


def test_whole_weights_equal_repeated_samples():
    weight = rng.integers(0, 3, 50)
    weight[0] = 1
    a, b = at.nn.Linear(6, 3, seed=0), at.nn.Linear(6, 3, seed=0)
    _, first = fit(a, X, Y, batch_size=50, sample_weight=weight.astype(np.float32))
    repeated = np.repeat(np.arange(50), weight)
    _, second = fit(b, X[repeated], Y[repeated], batch_size=len(repeated))
    assert_close(first["loss"].astype("f4"), second["loss"].astype("f4"))
    assert_close(a.weight.numpy(), b.weight.numpy())


def test_evaluate_with_weights():
    weight = rng.random(50).astype(np.float32)
    t, _ = fit(at.nn.Linear(6, 3, seed=0), X, Y)
    each = [t.evaluate(X[i : i + 1], Y[i : i + 1])["loss"] for i in range(50)]
    expected = np.average(each, weights=weight)
    for batch_size in (50, 7):
        got = t.evaluate(X, Y, sample_weight=weight, batch_size=batch_size)["loss"]
        assert_close(np.float32(got), np.float32(expected))
    history = fit(at.nn.Linear(6, 3, seed=0), X, Y, validation=(X, Y, weight))[1]
    assert history["val_loss"].shape == (2,)


@pytest.mark.parametrize(
    "weight, error",
    [
        (np.ones(49, "f4"), ValueError),
        (np.ones((50, 1), "f4"), ValueError),
        (-np.ones(50, "f4"), ValueError),
        (np.full(50, np.nan, "f4"), ValueError),
        (np.zeros(50, "f4"), ValueError),
        (np.array(["a"] * 50), TypeError),
    ],
)
def test_wrong_weights(weight, error):
    with pytest.raises(error, match="sample_weight"):
        fit(at.nn.Linear(6, 3), X, Y, sample_weight=weight)


# ------------------------------------------------------------------------------------------------- iterables


class Loader:
    def __init__(self, batches):
        self.batches, self.epochs = batches, []

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


BATCHES = [(X[i : i + 8], Y[i : i + 8]) for i in range(0, 50, 8)]


@pytest.mark.parametrize("make", [list, Loader, tuple])
def test_batches_of_an_iterable_train_as_arrays_do(make):
    a, b = at.nn.Linear(6, 3, seed=0), at.nn.Linear(6, 3, seed=0)
    if make is tuple:
        with pytest.raises(TypeError, match="target is None"):  # a tuple is several inputs
            fit(a, make(BATCHES), None)
        return
    loader = make(BATCHES)
    _, first = fit(a, loader, None)
    _, second = fit(b, X, Y, shuffle=False)
    assert_same_bits(a.weight.numpy(), b.weight.numpy())
    np.testing.assert_array_equal(first["step_loss"], second["step_loss"])
    if make is Loader:
        assert loader.epochs == [0, 1]


def test_an_iterable_with_weights_and_unknown_length():
    class Endless:
        def __iter__(self):
            for x, y in BATCHES:
                yield (x,), y, np.ones(len(x), dtype="float32")

    told = []

    class Listen(at.callbacks.Callback):
        def on_batch_end(self, trainer, info):
            told.append(info["steps"])

    fit(at.nn.Linear(6, 3, seed=0), Endless(), None, callbacks=[Listen()])
    assert told == [None] * 14


def test_an_iterator_that_is_used_up():
    with pytest.raises(ValueError, match="inputs gave no batch in epoch 2"):
        fit(at.nn.Linear(6, 3), iter(BATCHES), None)


def test_an_error_of_the_iterable_comes_through():
    def broken():
        yield BATCHES[0]
        raise KeyError("the disk is gone")

    with pytest.raises(KeyError, match="the disk is gone"):
        fit(at.nn.Linear(6, 3), broken(), None)


@pytest.mark.parametrize(
    "batches, error, says",
    [
        ([1, 2], TypeError, "inputs gave a int but a batch must be"),
        ([(X,)], TypeError, "a batch must be"),
        ([(X, Y[:9])], ValueError, "arrays of 50 and of 9 samples"),
        ([(X, Y, np.ones(3, "f4"))], ValueError, "sample_weight"),
        ([((), Y)], ValueError, "inputs of a batch is empty"),
        (5, TypeError, "inputs is a int"),
        ([], ValueError, "no batch in epoch 1"),
    ],
)
def test_wrong_iterables(batches, error, says):
    with pytest.raises(error, match=says):
        fit(at.nn.Linear(6, 3), batches, None)


@pytest.mark.parametrize("option", [{"sample_weight": X[:, 0]}, {"bucket_by": True}, {"batch_tokens": 5}])
def test_options_of_arrays_do_not_go_with_iterables(option):
    with pytest.raises(ValueError, match="goes with arrays"):
        fit(at.nn.Linear(6, 3), BATCHES, None, **option)


# ----------------------------------------------------------------------------------- several outputs, targets


class Heads(at.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = at.nn.Linear(6, 3, seed=0), at.nn.Linear(6, 1, seed=1)

    def forward(self, x):
        return self.a(x), self.b(x)


class Both(at.losses.Loss):
    def forward(self, predictions, targets):
        (a, b), (y, z) = predictions, targets
        return at.functional.cross_entropy(a, y) + at.losses.MeanSquaredError()(b, z)


def test_several_outputs_and_targets():
    model, z = Heads(), X[:, :1] * 2
    t, history = fit(model, X, (Y, z), loss=Both(), epochs=60)
    assert history["loss"][-1] < history["loss"][0]
    a, b = t.predict(X, all_outputs=True)
    assert a.shape == (50, 3) and b.shape == (50, 1)
    assert_same_bits(t.predict(X), a)
    assert np.abs(b - z).max() < 0.1
    assert "loss" in t.evaluate(X, (Y, z))


def test_metrics_see_all_samples_at_once():
    seen = []

    def count(prediction, target):
        seen.append((prediction.shape, target.shape))
        return float((prediction.argmax(-1) == target).sum())

    t = at.train.Trainer(
        at.nn.Linear(6, 3, seed=0), at.losses.CrossEntropy(), at.optim.SGD(0.1), metrics={"right": count}
    )
    history = t.fit(X, Y, epochs=2, batch_size=8, validation=(X, Y), progress=False)
    assert seen == [((50, 3), (50,))] * 2
    assert_close(history["val_right"] / 50, history["val_accuracy"])
    assert t.evaluate(X, Y, batch_size=7)["right"] == history["val_right"][-1]


def test_metrics_of_several_targets_get_tuples():
    z = X[:, :1]
    t = at.train.Trainer(
        Heads(),
        Both(),
        at.optim.SGD(0.1),
        metrics={"error": lambda p, y: np.abs(p[1] - y[1]).mean() + 0 * len(p) / len(y)},
    )
    _, b = t.predict(X, all_outputs=True)
    assert_close(np.float32(t.evaluate(X, (Y, z))["error"]), np.abs(b - z).mean())


@pytest.mark.parametrize(
    "metrics, error",
    [([len], TypeError), ({"f": 1}, TypeError), ({1: len}, TypeError), ({"loss": len}, ValueError)],
)
def test_wrong_metrics(metrics, error):
    with pytest.raises(error, match="metrics"):
        at.train.Trainer(at.nn.Linear(6, 3), at.losses.CrossEntropy(), at.optim.SGD(0.1), metrics=metrics)


# ----------------------------------------------------------------------------------------------- augmentation


def test_augment_changes_what_is_trained_on_and_nothing_else():
    x, y = X.copy(), Y.copy()
    drawn = []

    def noise(inputs, targets, generator):
        (a,), (b,) = inputs, targets
        a += generator.normal(0, 1, a.shape).astype(np.float32)  # its own array
        drawn.append(a.copy())
        return (a,), (b,)

    def train():
        drawn.clear()
        model = at.nn.Linear(6, 3, seed=0)
        t, _ = fit(model, x, y, augment=noise, validation=(x, y))
        return model.weight.numpy().copy(), t.predict(x), [d.tobytes() for d in drawn]

    first, again = train(), train()
    assert_same_bits(first[0], again[0])
    assert (
        first[2] == again[2] and len(set(first[2])) == 14
    )  # other noise for every batch, the same in every run
    assert_same_bits(x, X)
    assert_same_bits(y, Y)
    plain = at.nn.Linear(6, 3, seed=0)
    fit(plain, x, y)
    assert not np.array_equal(plain.weight.numpy(), first[0])


def test_augment_may_mix_classes():
    def soften(inputs, targets, generator):
        return inputs, (np.eye(3, dtype=np.float32)[targets[0]] * 0.9 + 0.1 / 3,)

    _, history = fit(at.nn.Linear(6, 3, seed=0), X, Y, augment=soften)
    _, smoothed = fit(at.nn.Linear(6, 3, seed=0), X, Y, loss=at.losses.CrossEntropy(label_smoothing=0.1))
    assert_close(history["loss"].astype("f4"), smoothed["loss"].astype("f4"))


@pytest.mark.parametrize(
    "augment, error, says",
    [
        (3, TypeError, "augment is a int"),
        (lambda x, y, g: x, TypeError, r"augment must return \(inputs, targets\)"),
        (lambda x, y, g: ((x[0][:2],), y), ValueError, "arrays of 2 and of 8 samples"),
        (lambda x, y, g: 1 / 0, ZeroDivisionError, "division"),
    ],
)
def test_wrong_augmentation(augment, error, says):
    with pytest.raises(error, match=says):
        fit(at.nn.Linear(6, 3), X, Y, augment=augment)

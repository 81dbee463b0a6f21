"""Averages of weights: what they are, what swapping them does, and what they are good for."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, THREADS
from tolerance import assert_close, assert_same_bits

KINDS = [{"decay": 0.9}, {"decay": 0.0}, {"decay": 0.99, "warmup": True}, {"decay": None}]
EACH = pytest.mark.parametrize("options", KINDS, ids=str)


def walk(dtype=np.float64, sizes=(3, 40_001), steps=8, groups=None):
    """Parameters, their optimizer, and a function that makes a step."""
    rng = np.random.default_rng(0)
    parameters = [at.nn.Parameter(rng.standard_normal(n).astype(dtype)) for n in sizes]
    optimizer = at.optim.SGD(0.5, groups=groups and groups(parameters))
    optimizer.attach(parameters)

    def step():
        for p in parameters:
            p.grad = rng.standard_normal(p.shape).astype(dtype)
        optimizer.step()
        return [p.numpy().astype(np.float64) for p in parameters]

    return parameters, optimizer, step


def values(parameters):
    return [p.numpy().copy() for p in parameters]


@EACH
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(options, dtype):
    parameters, optimizer, step = walk(dtype, groups=lambda ps: [{"params": ps[0], "lr_scale": 0.5}])
    average = at.optim.WeightAverage(optimizer, **options)
    expected = values(parameters)
    for n in range(8):
        weights = step()
        average.update()
        expected = [
            reference.weight_average(a, w, n, options["decay"], options.get("warmup", False))
            for a, w in zip(expected, weights, strict=True)
        ]
        with average.applied() as applied:
            assert applied is average and average.swapped
            for p, a in zip(parameters, expected, strict=True):
                assert_close(p.numpy(), a, dtype, scale=10.0)
        for p, w in zip(parameters, weights, strict=True):
            assert_same_bits(p.numpy().astype(np.float64), w)
    assert average.updates == 8 and not average.swapped


@pytest.mark.parametrize("decay", [None, 0.9, 0.3])
def test_torch(torch, decay):
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    layer = at.nn.Linear(5, 4, dtype="float64", seed=0)
    theirs = torch.nn.Linear(5, 4, dtype=torch.float64)
    optimizer = at.optim.SGD(0.1)
    optimizer.attach(layer)
    ours = at.optim.WeightAverage(optimizer, decay)
    their_average = AveragedModel(theirs, multi_avg_fn=None if decay is None else get_ema_multi_avg_fn(decay))
    rng = np.random.default_rng(0)
    for _ in range(10):
        for name, p in layer.named_parameters():
            p.assign(rng.standard_normal(p.shape))
            getattr(theirs, name).data = torch.tensor(p.numpy().copy())
        ours.update()
        their_average.update_parameters(theirs)
        with ours.applied():
            for name, p in layer.named_parameters():
                assert_close(p.numpy(), getattr(their_average.module, name).detach().numpy())


@EACH
def test_swapping_twice_is_nothing(options):
    parameters, optimizer, step = walk(np.float32)
    average = at.optim.WeightAverage(optimizer, **options)
    for _ in range(3):
        step()
        average.update()
    weights, state = values(parameters), average.state
    average.swap()
    for call in (average.update, lambda: average.state, lambda: average.load_state(state)):
        with pytest.raises(ValueError, match="the model holds the average now"):
            call()
    with pytest.raises(ValueError, match="holds the average already"), average.applied():
        pass
    with pytest.raises(ValueError, match="optimizer: the model holds an average of its weights now"):
        optimizer.step()
    other = at.optim.WeightAverage(optimizer)
    for call in (other.swap, other.update):
        with pytest.raises(ValueError, match="the model holds"):
            call()
    average.swap()
    for a, b in zip(values(parameters), weights, strict=True):
        assert_same_bits(a, b)
    for name, value in average.state.items():
        assert_same_bits(value, state[name])


def test_the_model_may_keep_the_average():
    parameters, optimizer, step = walk()
    average = at.optim.WeightAverage(optimizer, decay=None)
    expected = np.mean([(step(), average.update())[0][0] for _ in range(3)], axis=0)
    average.swap()
    del average
    assert_close(parameters[0].numpy(), expected, scale=10.0)
    step()


def test_the_weights_come_back_after_an_error():
    parameters, optimizer, step = walk()
    average = at.optim.WeightAverage(optimizer)
    step()
    weights = values(parameters)
    with pytest.raises(RuntimeError, match="stop"), average.applied():
        assert (parameters[0].numpy() != weights[0]).any()
        raise RuntimeError("stop")
    assert_same_bits(parameters[0], weights[0])


@EACH
def test_going_on_from_a_state(options):
    _, optimizer, step = walk()
    average = at.optim.WeightAverage(optimizer, **options)
    step()
    average.update()
    other = at.optim.WeightAverage(optimizer, **options)
    other.load_state(average.state)
    assert other.updates == 1
    for _ in range(3):
        step()
        average.update()
        other.update()
    for name, value in average.state.items():
        assert_same_bits(other.state[name], value)
    for wrong, says in [
        ({}, "state has no 'updates'"),
        ({**average.state, "x": np.zeros(1)}, "state has 'x'"),
        ({**average.state, "updates": np.array([-1])}, "is -1 but must be between 0"),
    ]:
        with pytest.raises(ValueError, match=says):
            other.load_state(wrong)


@EACH
def test_same_bits_on_any_number_of_threads(options):
    results = []
    for threads in THREADS:
        at.set_num_threads(threads)
        parameters, optimizer, step = walk(np.float32, (200_001,))
        average = at.optim.WeightAverage(optimizer, **options)
        for _ in range(3):
            step()
            average.update()
        average.swap()
        results.append(parameters[0].numpy().copy())
    for other in results[1:]:
        assert_same_bits(other, results[0])


def test_sparse_tables_are_averaged():
    layer = at.nn.Embedding(9, 4, sparse=True, seed=0)
    optimizer = at.optim.SGD(0.5)
    optimizer.attach(layer)
    average = at.optim.WeightAverage(optimizer, decay=None)
    seen = []
    for i in range(3):
        optimizer.zero_grad()
        layer([i, i + 1]).sum().backward()
        optimizer.step()
        average.update()
        seen.append(layer.weight.numpy().astype(np.float64))
    with average.applied():
        assert_close(layer.weight.numpy(), np.mean(seen, axis=0), scale=10.0)
    assert list(average.state) == ["updates", "average.table0"]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda o: at.optim.WeightAverage(o, 1.0),
            ValueError,
            "WeightAverage: decay is 1 but must be 0 or more",
        ),
        (lambda o: at.optim.WeightAverage(o, np.nan), ValueError, "WeightAverage: decay is nan"),
        (lambda o: at.optim.WeightAverage(o, "0.9"), TypeError, "WeightAverage: decay is a str"),
        (lambda o: at.optim.WeightAverage(o, None, warmup=True), ValueError, "it needs decay"),
        (lambda o: at.optim.WeightAverage(None), TypeError, "WeightAverage: optimizer is a NoneType"),
        (
            lambda o: at.optim.WeightAverage(at.optim.SGD.__new__(at.optim.SGD)),
            TypeError,
            "never initialised",
        ),
        (
            lambda o: at.optim.WeightAverage.__new__(at.optim.WeightAverage).applied(),
            TypeError,
            "never initialised",
        ),
        (lambda o: at.optim.WeightAverage(at.optim.SGD(0.1)), ValueError, "call attach.model. first"),
    ],
)
def test_errors(call, error, says):
    with pytest.raises(error, match=says):
        call(walk()[1])


def test_a_later_optimizer_takes_the_parameters_over():
    parameters, optimizer, _ = walk()
    average = at.optim.WeightAverage(optimizer)
    at.optim.Adam().attach(parameters)
    for call in (average.update, average.swap):
        with pytest.raises(ValueError, match="another optimizer has taken over"):
            call()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("decay", [0.98, None])
def test_an_average_is_nearer_the_truth_than_the_last_weights(seed, decay):
    """Noisy least squares with a constant rate: the average is less than half as far as the last weights."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((10, 1))
    layer = at.nn.Linear(10, 1, bias=False, dtype="float64", seed=seed)
    optimizer, loss = at.optim.SGD(0.05), at.losses.MeanSquaredError()
    optimizer.attach(layer)
    average = at.optim.WeightAverage(optimizer, decay)
    distances = []
    for t in range(600):
        x = rng.standard_normal((4, 10))
        optimizer.zero_grad()
        loss(layer(x), x @ truth + rng.standard_normal((4, 1))).backward()
        optimizer.step()
        if t >= 100:
            average.update()
            distances.append(np.linalg.norm(layer.weight.numpy().ravel() - truth.ravel()))
    with average.applied():
        distance = np.linalg.norm(layer.weight.numpy().ravel() - truth.ravel())
    assert distance < np.mean(distances[-200:]) / 2

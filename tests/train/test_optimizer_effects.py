"""What each optimizer, group and schedule is for, in numbers."""

import numpy as np
import pytest

import attendo as at

SEEDS = pytest.mark.parametrize("seed", range(3))


def stepper(optimizer, *values):
    parameters = [at.nn.Parameter(np.asarray(value, np.float64)) for value in values]
    optimizer.attach(parameters)

    def step(*gradients):
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = np.asarray(g, np.float64)
        optimizer.step()
        return [p.numpy().copy() for p in parameters]

    return step


def test_amsgrad_goes_where_adam_does_not():
    """Reddi et al. 2018, theorem 1: every third gradient is large and right, the others small and wrong."""
    c = 3.0
    ends = {}
    for amsgrad in (False, True):
        optimizer = at.optim.Adam(0.01, betas=(0.0, 1 / (1 + c**2)), eps=0.0, amsgrad=amsgrad)
        step = stepper(optimizer, [0.0])
        for t in range(3000):
            (x,) = step([c if t % 3 == 0 else -1.0])
        ends[amsgrad] = float(x[0])
    assert ends[False] > 1
    assert ends[True] < -1


def test_steps_of_lion_have_the_size_of_the_rate():
    rng = np.random.default_rng(0)
    step = stepper(at.optim.Lion(0.01), np.zeros(50))
    before = np.zeros(50)
    for _ in range(20):
        (after,) = step(1e3 ** rng.standard_normal(50) * rng.standard_normal(50))
        np.testing.assert_allclose(np.abs(after - before), 0.01, rtol=1e-12)
        before = after


def test_steps_of_lamb_are_a_part_of_each_parameter():
    """Each parameter moves by the rate times its own norm, however large its gradients are."""
    rng = np.random.default_rng(0)
    sizes = [1e-3, 1.0, 1e3]
    before = [size * rng.standard_normal(40) for size in sizes]
    step = stepper(at.optim.LAMB(0.01), *before)
    for _ in range(20):
        after = step(*(rng.standard_normal(40) / size for size in sizes))
        for a, b in zip(after, before, strict=True):
            np.testing.assert_allclose(np.linalg.norm(a - b), 0.01 * np.linalg.norm(b), rtol=1e-9)
        before = after


@SEEDS
@pytest.mark.parametrize(
    ("name", "lr"), [("Adagrad", 0.5), ("RMSprop", 0.02), ("Adam", 0.05), ("Lion", 0.02), ("LAMB", 0.05)]
)
def test_features_of_unequal_size(name, lr, seed):
    """Features a hundred times as large as others, 300 steps: a fifth of SGD's error at its best rate."""

    def error(optimizer):
        rng = np.random.default_rng(seed)
        size = np.geomspace(1, 0.01, 20)
        truth = 1 + rng.choice([-1.0, 1.0], 20) * rng.uniform(0.5, 1.5, 20)
        weights = np.ones(20)
        step = stepper(optimizer, weights)
        for _ in range(300):
            (weights,) = step(size**2 * (weights - truth))
        return float(np.abs(weights - truth).mean())

    best = min(error(at.optim.SGD(rate)) for rate in (0.5, 1.0, 1.5, 1.9))
    assert error(getattr(at.optim, name)(at.schedules.linear(lr, 300), weight_decay=0.0)) < best / 5


def test_rates_of_groups_fit_each_part():
    """Two parts, one a hundred times as curved: with a rate each, 60 steps do what one rate cannot."""

    def one_rate():
        step = stepper(at.optim.SGD(0.019), [1.0], [1.0])
        a = b = np.ones(1)
        for _ in range(60):
            a, b = step(a, 100 * b)
        return float(np.hypot(a, b)[0])

    def with_groups():
        flat, steep = at.nn.Parameter([1.0]), at.nn.Parameter([1.0])
        optimizer = at.optim.SGD(0.009, groups=[{"params": flat, "lr_scale": 100.0}])
        optimizer.attach([flat, steep])
        for _ in range(60):
            flat.grad, steep.grad = flat.numpy().copy(), 100 * steep.numpy()
            optimizer.step()
        return float(np.hypot(flat.numpy(), steep.numpy())[0])

    assert one_rate() > 0.3
    assert with_groups() < 1e-12


@SEEDS
@pytest.mark.parametrize(
    "schedule",
    [
        at.schedules.step(0.2, 150, 0.3),
        at.schedules.exponential(0.2, 0.993),
        at.schedules.linear(0.2, 600, warmup=20),
        at.schedules.cosine(0.2, 600, warmup=20),
        at.schedules.cosine_restarts(0.2, 300),
        at.schedules.one_cycle(0.3, 600),
        at.schedules.noam(25, warmup=25),
        at.schedules.plateau(0.2, factor=0.3, patience=2),
    ],
    ids=lambda s: s.config["type"],
)
def test_a_rate_that_falls_ends_nearer(schedule, seed):
    """Noisy least squares, 600 steps: squared distance below 0.6 of that with a rate that stays at 0.2."""

    def distance(lr):
        rng = np.random.default_rng(seed)
        truth = rng.standard_normal(10)
        weights = np.zeros(10)
        optimizer = at.optim.SGD(lr)
        step = stepper(optimizer, weights)
        tail = []
        for t in range(600):
            x = rng.standard_normal((4, 10))
            (weights,) = step(x.T @ (x @ (weights - truth) + rng.standard_normal(4)) / 4)
            if t % 20 == 19:
                x = rng.standard_normal((64, 10))
                optimizer.observe(float(((x @ (weights - truth)) ** 2).mean() + 1))
            if t >= 595:
                tail.append(((weights - truth) ** 2).sum())
        return np.mean(tail)

    assert distance(schedule) < 0.6 * distance(0.2)

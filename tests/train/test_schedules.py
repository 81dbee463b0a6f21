"""Learning-rate schedules, step by step."""

import json

import numpy as np
import pytest

import attendo as at
from attendo import reference
from tolerance import assert_close

SCHEDULES = [
    ("constant", {"lr": 0.1}),
    ("step", {"lr": 0.1, "step_size": 3, "gamma": 0.5}),
    ("step", {"lr": 1.0, "step_size": 1, "gamma": 0.9}),
    ("cosine", {"lr": 0.1, "total_steps": 20}),
    ("cosine", {"lr": 0.1, "total_steps": 20, "warmup": 7, "final": 0.01}),
    ("cosine", {"lr": 0.1, "total_steps": 6, "warmup": 5}),
    ("exponential", {"lr": 0.1, "gamma": 0.93}),
    ("exponential", {"lr": 1e-3, "gamma": 1.00001}),
    ("linear", {"lr": 0.1, "total_steps": 20}),
    ("linear", {"lr": 0.1, "total_steps": 20, "warmup": 7, "final": 0.01}),
    ("cosine_restarts", {"lr": 0.1, "period": 5}),
    ("cosine_restarts", {"lr": 0.1, "period": 3, "mult": 2, "final": 0.01, "warmup": 4}),
    ("cosine_restarts", {"lr": 0.1, "period": 1, "mult": 3}),
    ("one_cycle", {"max_lr": 0.1, "total_steps": 20}),
    ("one_cycle", {"max_lr": 0.1, "total_steps": 20, "pct_start": 0.33, "anneal": "linear"}),
    ("one_cycle", {"max_lr": 0.1, "total_steps": 20, "pct_start": 0.0, "div_factor": 3.0}),
    ("one_cycle", {"max_lr": 0.1, "total_steps": 20, "pct_start": 1.0, "final_div_factor": 3.0}),
    ("one_cycle", {"max_lr": 0.1, "total_steps": 10, "pct_start": 0.1}),
    ("noam", {"d_model": 64, "warmup": 10}),
    ("noam", {"d_model": 512, "warmup": 1, "factor": 2.0}),
]


@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=str)
def test_against_reference(name, options):
    schedule, expected = getattr(at.schedules, name)(**options), getattr(reference, f"{name}_schedule")
    steps = [*range(1, 40), 1000, 10**6]
    assert_close([schedule(t) for t in steps], [expected(t, **options) for t in steps], entrywise=True)


def test_gamma_is_a_tenth_by_default():
    assert_close(at.schedules.step(1.0, 1)(3), 0.01)


def by_torch(torch, make, steps=25, lr=0.1):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


def test_torch(torch):
    schedulers = torch.optim.lr_scheduler
    step = at.schedules.step(0.1, 4, 0.3)
    assert_close([step(t) for t in range(1, 26)], by_torch(torch, lambda o: schedulers.StepLR(o, 4, 0.3)))
    # PyTorch counts the cosine from 0: its rate at step t is ours at t without warm-up.
    cosine = at.schedules.cosine(0.1, 30, final=0.02)
    theirs = by_torch(torch, lambda o: schedulers.CosineAnnealingLR(o, 30, 0.02))
    assert_close([cosine(t) for t in range(1, 25)], theirs[1:])
    linear = at.schedules.linear(0.1, 20, final=0.02)
    theirs = by_torch(torch, lambda o: schedulers.LinearLR(o, 1.0, 0.2, 20))
    assert_close([linear(t) for t in range(1, 25)], theirs[1:])
    exponential = at.schedules.exponential(0.1, 0.9)
    assert_close(
        [exponential(t) for t in range(1, 26)], by_torch(torch, lambda o: schedulers.ExponentialLR(o, 0.9))
    )


@pytest.mark.parametrize("options", [{"period": 7}, {"period": 3, "mult": 2, "final": 0.02}], ids=str)
def test_torch_restarts(torch, options):
    ours = at.schedules.cosine_restarts(0.1, **options)
    theirs = by_torch(
        torch,
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
            o, options["period"], options.get("mult", 1), options.get("final", 0.0)
        ),
        40,
    )
    assert_close([ours(t) for t in range(1, 41)], theirs)


@pytest.mark.parametrize("anneal", ["cos", "linear"])
@pytest.mark.parametrize("pct_start", [0.0, 0.25, 0.3, 0.77, 1.0])
@pytest.mark.parametrize("total", [7, 20])
def test_torch_one_cycle(torch, anneal, pct_start, total):
    ours = at.schedules.one_cycle(0.2, total, pct_start, 10.0, 100.0, anneal)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        0.2,
        total,
        pct_start=pct_start,
        anneal_strategy=anneal,
        cycle_momentum=False,
        div_factor=10.0,
        final_div_factor=100.0,
    )
    theirs = [scheduler.get_last_lr()[0]]
    for _ in range(total - 1):
        optimizer.step()
        scheduler.step()
        theirs.append(scheduler.get_last_lr()[0])
    assert_close([ours(t) for t in range(1, total + 1)], theirs)
    assert ours(total + 5) == ours(total)


PLATEAUS = [
    {},
    {"factor": 0.5, "patience": 2},
    {"factor": 0.5, "patience": 0, "cooldown": 3},
    {"factor": 0.3, "patience": 1, "min_lr": 0.02, "threshold": 0.1},
    {"factor": 0.5, "patience": 1, "threshold": 0.3, "threshold_mode": "abs"},
    {"factor": 0.5, "patience": 1, "mode": "max", "cooldown": 1},
    {"factor": 0.5, "patience": 1, "mode": "max", "threshold": 0.2, "threshold_mode": "abs"},
    {"factor": 0.0, "patience": 1},
    {"factor": 0.9999999, "patience": 0},  # steps below 1e-8 are not made
]


@pytest.mark.parametrize("options", PLATEAUS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_plateau(torch, options, seed):
    rng = np.random.default_rng(seed)
    values = 3 * np.exp(-0.1 * np.arange(60)) + 0.2 * rng.standard_normal(60)
    values[rng.integers(0, 60, 3)] = [np.nan, np.inf, -np.inf][: 2 + seed % 2] + [np.nan] * (1 - seed % 2)
    optimizer = at.optim.SGD(at.schedules.plateau(0.1, **options))
    their_optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(their_optimizer, **options)
    expected = reference.plateau_schedule(values, 0.1, **options)
    rates, theirs = [], []
    for value in values:
        optimizer.observe(value)
        rates.append(optimizer.lr)
        scheduler.step(value)
        theirs.append(their_optimizer.param_groups[0]["lr"])
    assert rates == expected
    assert rates == theirs


def test_plateau_needs_observations():
    schedule = at.schedules.plateau(0.1, patience=0)
    assert schedule(1) == schedule(10**6) == 0.1
    constant = at.optim.SGD(0.1)
    for _ in range(30):
        constant.observe(1.0)
    assert constant.lr == 0.1


@pytest.mark.parametrize(
    ("name", "options"), [*SCHEDULES, *(("plateau", {"lr": 0.1, **o}) for o in PLATEAUS)], ids=str
)
def test_config(name, options):
    schedule = getattr(at.schedules, name)(**options)
    config = schedule.config
    assert config["type"] == name and {**config, **options} == config
    again = at.schedules.from_config(json.loads(json.dumps(config)))
    assert again.config == config
    assert [again(t) for t in range(1, 50)] == [schedule(t) for t in range(1, 50)]


@pytest.mark.parametrize(
    ("config", "error", "says"),
    [
        ({"type": "cubic"}, ValueError, "from_config: type is 'cubic' but must be one of constant, cosine"),
        ({"lr": 0.1}, ValueError, "from_config: type is None"),
        ({"type": ["constant"]}, ValueError, "from_config: type is"),
        ("constant", TypeError, "from_config: config is a str"),
        ({"type": "constant"}, TypeError, "constant.. missing 1 required"),
        ({"type": "constant", "lr": 0.1, "warmup": 3}, TypeError, "unexpected keyword argument 'warmup'"),
        ({"type": "constant", "lr": -1}, ValueError, "constant: lr is -1"),
    ],
)
def test_wrong_configs(config, error, says):
    with pytest.raises(error, match=says):
        at.schedules.from_config(config)


def test_far_steps_of_restarts():
    """Periods grow past what an integer holds."""
    for mult in (1, 2, 2**40, 2**62):
        schedule = at.schedules.cosine_restarts(0.1, period=3, mult=mult)
        rates = [schedule(t) for t in (2**40, 2**62, 2**63 - 1)]
        assert all(0 <= rate <= 0.1 for rate in rates)


@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=str)
def test_optimizers_follow_it(name, options):
    schedule = getattr(at.schedules, name)(**options)
    x = np.ones((12, 1))
    trainer = at.train.Trainer(
        at.nn.Linear(1, 1, dtype="float64"), at.losses.MeanSquaredError(), at.optim.SGD(schedule)
    )
    history = trainer.fit(x, x, epochs=3, batch_size=2, progress=False)
    assert_close(history["lr"], [schedule(t) for t in range(1, 19)])
    assert trainer.optimizer.lr == schedule(19)


def test_repr():
    for name, options in SCHEDULES:
        assert name in repr(getattr(at.schedules, name)(**options))


@pytest.mark.parametrize("step", [0, -1, 2**70])
def test_steps_count_from_one(step):
    with pytest.raises(ValueError, match="schedule: step is"):
        at.schedules.constant(0.1)(step)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: at.schedules.constant(-0.1), ValueError, "constant: lr is -0.1"),
        (lambda: at.schedules.constant(np.nan), ValueError, "constant: lr is nan"),
        (lambda: at.schedules.constant("0.1"), TypeError, "constant: lr is a str"),
        (lambda: at.schedules.step(0.1, 0), ValueError, "step: step_size is 0"),
        (lambda: at.schedules.step(0.1, 1.5), TypeError, "step: step_size is a float"),
        (lambda: at.schedules.step(0.1, 2, -1.0), ValueError, "step: gamma is -1"),
        (lambda: at.schedules.cosine(0.1, 0), ValueError, "cosine: total_steps is 0"),
        (
            lambda: at.schedules.cosine(0.1, 5, warmup=6),
            ValueError,
            "cosine: total_steps is 5 but must be above warmup, 6",
        ),
        (lambda: at.schedules.cosine(0.1, 5, warmup=-1), ValueError, "cosine: warmup is -1"),
        (lambda: at.schedules.cosine(0.1, 5, final=-0.1), ValueError, "cosine: final is -0.1"),
        (
            lambda: at.schedules.linear(0.1, 5, warmup=5),
            ValueError,
            "linear: total_steps is 5 but must be above",
        ),
        (lambda: at.schedules.exponential(0.1, -1.0), ValueError, "exponential: gamma is -1"),
        (lambda: at.schedules.exponential(0.1, np.inf), ValueError, "exponential: gamma is inf"),
        (lambda: at.schedules.cosine_restarts(0.1, 0), ValueError, "cosine_restarts: period is 0"),
        (lambda: at.schedules.cosine_restarts(0.1, 5, 0), ValueError, "cosine_restarts: mult is 0"),
        (lambda: at.schedules.one_cycle(0.1, 0), ValueError, "one_cycle: total_steps is 0"),
        (lambda: at.schedules.one_cycle(0.1, 5, 1.1), ValueError, "one_cycle: pct_start is 1.1"),
        (lambda: at.schedules.one_cycle(0.1, 5, div_factor=0), ValueError, "one_cycle: div_factor is 0"),
        (lambda: at.schedules.one_cycle(0.1, 5, anneal="poly"), ValueError, "one_cycle: anneal is 'poly'"),
        (lambda: at.schedules.one_cycle(0.1, 5, anneal=1), TypeError, "one_cycle: anneal is a int"),
        (lambda: at.schedules.plateau(0.1, factor=1.0), ValueError, "plateau: factor is 1 "),
        (lambda: at.schedules.plateau(0.1, patience=-1), ValueError, "plateau: patience is -1"),
        (lambda: at.schedules.plateau(0.1, threshold=np.nan), ValueError, "plateau: threshold is nan"),
        (lambda: at.schedules.plateau(0.1, mode="least"), ValueError, "plateau: mode is 'least'"),
        (lambda: at.schedules.plateau(0.1, threshold_mode="x"), ValueError, "plateau: threshold_mode is 'x'"),
        (lambda: at.schedules.noam(0, 10), ValueError, "noam: d_model is 0"),
        (lambda: at.schedules.noam(64, 0), ValueError, "noam: warmup is 0"),
        (lambda: at.schedules.noam(64, 10, -1.0), ValueError, "noam: factor is -1"),
        (lambda: at.schedules.noam(64.0, 10), TypeError, "noam: d_model is a float"),
        (
            lambda: at.schedules.one_cycle(0.1, 10, div_factor=1e-320),
            ValueError,
            "one_cycle: div_factor is .*inf",
        ),
        (
            lambda: at.schedules.one_cycle(0.1, 10, final_div_factor=1e-320),
            ValueError,
            "one_cycle: final_div_factor is .* makes the last rate inf but it must be finite",
        ),
        (lambda: at.schedules.exponential(0.1, 1e308), ValueError, "exponential: gamma is 1e.308.* inf"),
        (lambda: at.schedules.step(0.1, 10, 1e308), ValueError, "step: gamma is 1e.308.* inf"),
    ],
)
def test_wrong_constructions(make, error, says):
    with pytest.raises(error, match=says):
        make()


@pytest.mark.parametrize(("dtype", "gamma"), [("float32", 1e19), ("float64", 1e150)])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_rate_that_is_not_finite_changes_nothing(sparse, dtype, gamma):
    """A rate that grows is a schedule like others, until the step at which it is no number."""
    table = at.nn.Embedding(3, 2, sparse=sparse, dtype=dtype, seed=0)
    optimizer = at.optim.SGD(at.schedules.exponential(1.0, gamma))
    optimizer.attach(table)
    for _ in range(3):
        optimizer.zero_grad()
        (table(np.array([1])) * gamma**-2).sum().backward()
        optimizer.step()
    before = table.weight.numpy().copy()
    assert np.isfinite(before).all()
    with pytest.raises(ValueError, match=r"step: the learning rate of step 4 is \S* but must be finite"):
        optimizer.step()
    assert optimizer.steps == 3 and np.array_equal(table.weight.numpy(), before)
    scaled = at.optim.SGD(1e10, groups=[{"params": "weight", "lr_scale": 1e300}])
    scaled.attach(table)
    with pytest.raises(ValueError, match=r"the learning rate of step 1 in groups\[0\] is inf"):
        scaled.step()

"""Learning-rate schedules, step by step."""

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


def test_torch(torch):
    def by_torch(make, steps=25, lr=0.1):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr)
        scheduler = make(optimizer)
        rates = []
        for _ in range(steps):
            rates.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        return rates

    schedulers = torch.optim.lr_scheduler
    step = at.schedules.step(0.1, 4, 0.3)
    assert_close([step(t) for t in range(1, 26)], by_torch(lambda o: schedulers.StepLR(o, 4, 0.3)))
    # PyTorch counts the cosine from 0: its rate at step t is ours at t without warm-up.
    cosine = at.schedules.cosine(0.1, 30, final=0.02)
    theirs = by_torch(lambda o: schedulers.CosineAnnealingLR(o, 30, 0.02))
    assert_close([cosine(t) for t in range(1, 25)], theirs[1:])


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
        (lambda: at.schedules.cosine(0.1, 5, warmup=6), ValueError, "cosine: total_steps is 5 but must be 7"),
        (lambda: at.schedules.cosine(0.1, 5, warmup=-1), ValueError, "cosine: warmup is -1"),
        (lambda: at.schedules.cosine(0.1, 5, final=-0.1), ValueError, "cosine: final is -0.1"),
        (lambda: at.schedules.noam(0, 10), ValueError, "noam: d_model is 0"),
        (lambda: at.schedules.noam(64, 0), ValueError, "noam: warmup is 0"),
        (lambda: at.schedules.noam(64, 10, -1.0), ValueError, "noam: factor is -1"),
        (lambda: at.schedules.noam(64.0, 10), TypeError, "noam: d_model is a float"),
    ],
)
def test_wrong_constructions(make, error, says):
    with pytest.raises(error, match=says):
        make()

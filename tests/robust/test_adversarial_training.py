"""Adversarial and free adversarial training: each step by hand, and accuracy under attack."""

import numpy as np
import pytest

import attendo as at

LOSS = at.losses.CrossEntropy()
EPS = 0.15


def small(seed=0, dtype="float64"):
    return at.nn.Sequential(
        at.nn.Linear(6, 8, dtype=dtype, seed=seed),
        at.nn.ReLU(),
        at.nn.Linear(8, 3, dtype=dtype, seed=seed + 1),
    )


def samples(count=12, dtype="float64"):
    rng = np.random.default_rng(5)
    return rng.random((count, 6)).astype(dtype), rng.integers(0, 3, count)


def trained(objective, x, y, seed=0, lr=0.5, **options):
    model = small(seed, x.dtype.name)
    trainer = at.train.Trainer(model, LOSS, at.optim.SGD(lr=lr), seed=0, objective=objective)
    trainer.fit(x, y, **{"epochs": 1, "batch_size": 12, "shuffle": False, "progress": False, **options})
    return model, trainer


def same(a, b, tolerance=0.0):
    for name, value in a.state_dict().items():
        np.testing.assert_allclose(value, b.state_dict()[name], rtol=0, atol=tolerance)


def test_a_step_is_a_step_on_the_attacked_inputs():
    x, y = samples()
    attack = at.robust.PGD(0.1, steps=3, random_start=False, clip=(0.0, 1.0))
    model, _ = trained(at.robust.AdversarialTraining(attack), x, y)
    by_hand, _ = trained(None, attack(small(), LOSS, x, y), y)
    same(model, by_hand)
    assert (model[0].weight.numpy() != trained(None, x, y)[0][0].weight.numpy()).any()


def test_clean_inputs_beside():
    x, y = samples()
    attack = at.robust.FGSM(0.1)
    model, _ = trained(at.robust.AdversarialTraining(attack, clean=0.25), x, y)
    start, clean, worst = small(), trained(None, x, y)[0], trained(None, attack(small(), LOSS, x, y), y)[0]
    for name, value in model.state_dict().items():
        want = start.state_dict()[name] + 0.25 * (clean.state_dict()[name] - start.state_dict()[name])
        want += 0.75 * (worst.state_dict()[name] - start.state_dict()[name])
        np.testing.assert_allclose(value, want, rtol=0, atol=1e-14)


def test_a_random_start_is_the_same_in_every_run():
    x, y = samples()
    attack = at.robust.PGD(0.1, steps=2)
    a, b = (trained(at.robust.AdversarialTraining(attack), x, y, batch_size=5, epochs=2)[0] for _ in range(2))
    same(a, b)


def by_hand_free(x, y, eps, repeats, size, clip, batches, lr=0.5):
    """Algorithm 1 of Shafahi et al., on the package's forward and backward passes."""
    model = small()
    optimizer = at.optim.SGD(lr=lr)
    optimizer.attach(model)
    delta = np.zeros_like(x[batches[0]])
    for batch in batches:
        for _ in range(repeats):
            count = len(x[batch])
            point = x[batch] + delta[:count]
            point = at.tensor(np.clip(point, *clip) if clip else point, requires_grad=True)
            optimizer.zero_grad()
            LOSS(model(point), y[batch]).backward()
            optimizer.step()
            delta[:count] = np.clip(delta[:count] + size * np.sign(point.grad.numpy()), -eps, eps)
    return model, delta


@pytest.mark.parametrize("size", [None, 0.03])
@pytest.mark.parametrize("clip", [None, (0.2, 0.8)])
def test_free_is_algorithm_1(size, clip):
    x, y = samples()
    x = np.clip(x, 0.2, 0.8)
    free = at.robust.FreeAdversarialTraining(0.1, repeats=3, step_size=size, clip=clip)
    model, trainer = trained(free, x, y, batch_size=5)
    batches = [slice(0, 5), slice(5, 10), slice(10, 12)]
    want, delta = by_hand_free(x, y, 0.1, 3, size or 0.1, clip, batches)
    same(model, want, 1e-14)
    np.testing.assert_allclose(free.state_dict()["delta"], delta, rtol=0, atol=1e-15)
    assert len(trainer.history["step_loss"]) == 9


def test_free_goes_on_from_its_state():
    x, y = samples()
    one = at.robust.FreeAdversarialTraining(0.1, repeats=2)
    assert one.state_dict() == {}
    trained(one, x, y, batch_size=4)
    two = at.robust.FreeAdversarialTraining(0.1, repeats=2)
    two.load_state_dict(one.state_dict())
    same(trained(one, x, y, seed=3)[0], trained(two, x, y, seed=3)[0])
    two.load_state_dict({})
    assert two.state_dict() == {}


class PowerCut(at.callbacks.Callback):
    def on_epoch_end(self, trainer, info):
        if info["epoch"] == 1:
            raise OSError("no more power")


@pytest.mark.parametrize(
    "made",
    [
        lambda: at.robust.FreeAdversarialTraining(0.1, repeats=3),
        lambda: at.robust.AdversarialTraining(at.robust.PGD(0.1, steps=2)),
    ],
)
def test_a_run_that_was_interrupted_ends_with_the_same_bits(made, tmp_path):
    x, y = samples()
    options = {"epochs": 4, "batch_size": 5, "shuffle": True}
    whole, _ = trained(made(), x, y, **options)
    with pytest.raises(OSError, match="no more power"):
        trained(made(), x, y, callbacks=[at.callbacks.Checkpoint(tmp_path), PowerCut()], **options)
    trainer = at.train.resume(tmp_path, model=small(9), objective=made())
    trainer.fit(x, y, progress=False)
    same(trainer.model, whole)


def test_free_begins_anew_when_the_shape_changes():
    free = at.robust.FreeAdversarialTraining(0.1)
    x, y = samples()
    trained(free, x, y)
    trained(free, *samples(dtype="float32"))
    assert free.state_dict()["delta"].dtype == np.float32


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: at.robust.AdversarialTraining("pgd"), TypeError, "attack is a str"),
        (lambda: at.robust.AdversarialTraining(at.robust.FGSM(0.1), clean=2), ValueError, "clean is 2"),
        (lambda: at.robust.FreeAdversarialTraining(-1.0), ValueError, r"eps is -1\.0"),
        (lambda: at.robust.FreeAdversarialTraining(0.1, repeats=0), ValueError, "repeats is 0"),
        (lambda: at.robust.FreeAdversarialTraining(0.1, step_size=-1), ValueError, "step_size is -1"),
        (lambda: at.robust.FreeAdversarialTraining(0.1, clip=(1, 0)), ValueError, "clip is"),
    ],
)
def test_bad_options(make, error, said):
    with pytest.raises(error, match=said):
        make()


def test_ids_are_refused_by_name():
    ids, y = np.ones((4, 3), int), np.zeros(4, int)
    for objective in (
        at.robust.AdversarialTraining(at.robust.FGSM(0.1)),
        at.robust.FreeAdversarialTraining(0.1),
    ):
        model = at.models.EncoderClassifier(5, 8, 2, 1, 6, 2, seed=0)
        trainer = at.train.Trainer(model, LOSS, at.optim.SGD(lr=0.1), objective=objective)
        with pytest.raises(TypeError, match=r"dtype int64 .* attendo.robust.FGM"):
            trainer.fit(ids, y, progress=False)


# ------------------------------------------------------------------------------------------------- the effect


def digits():
    datasets = pytest.importorskip("sklearn.datasets", reason="the scans come with scikit-learn")
    data = datasets.load_digits()
    images = (data.images / 16).astype(np.float32)[:, None]
    order = np.random.default_rng(0).permutation(len(images))
    held_out, rest = np.split(order, [450])
    return (images[rest], data.target[rest]), (images[held_out], data.target[held_out])


def accuracies(objective, epochs, seed):
    """Clean, and under 20 steps of PGD, on held-out digits."""
    train, (x, y) = digits()
    nn = at.nn
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, seed=seed), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1, seed=seed + 1),
        nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10, seed=seed + 2),
    )  # fmt: skip
    steps = epochs * 22 * (objective.repeats if objective else 1)  # of 1,347 scans
    rate = at.schedules.cosine(4e-3, steps)  # ends at zero: no luck in the last steps
    trainer = at.train.Trainer(model, LOSS, at.optim.Adam(lr=rate), seed=seed, objective=objective)
    trainer.fit(*train, epochs=epochs, batch_size=64, progress=False)
    attacked = at.robust.pgd(model, LOSS, x, y, EPS, steps=20, clip=(0, 1))
    return np.array([trainer.evaluate(one, y)["accuracy"] for one in (x, attacked)])


def pgd_training():
    return at.robust.AdversarialTraining(at.robust.PGD(EPS, steps=4, clip=(0, 1)))


def free_training():
    return at.robust.FreeAdversarialTraining(EPS, repeats=4, clip=(0, 1))


def test_free_training_raises_accuracy_under_attack():
    """By 15 points and more, for as many steps as a plain run and 8 points of clean accuracy at most."""
    plain, free = accuracies(None, 8, seed=0), accuracies(free_training(), 2, seed=0)
    assert free[1] >= plain[1] + 0.15
    assert free[0] >= plain[0] - 0.08


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 10, 20])
def test_adversarial_training_raises_accuracy_under_attack(seed):
    """By 25 points and more, for 5 points of clean accuracy at most; free training as well."""
    plain = accuracies(None, 8, seed)
    for objective, epochs in ((pgd_training(), 8), (free_training(), 3)):
        robust = accuracies(objective, epochs, seed)
        assert robust[1] >= plain[1] + 0.25
        assert robust[0] >= plain[0] - 0.05

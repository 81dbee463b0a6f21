"""Distillation as an objective: each step by hand, and a student that learns more."""

import numpy as np
import pytest

import attendo as at

Distillation = at.compress.distill.Distillation
RNG = np.random.default_rng


def small(seed, dtype="float64"):
    return at.nn.Linear(5, 3, dtype=dtype, seed=seed)


def stepped(objective, x, y, loss=None, **options):
    model = small(0, x.dtype.name)
    size = options.pop("batch_size", len(x))
    fit = {"sample_weight": options.pop("sample_weight", None)}
    trainer = at.train.Trainer(
        model, loss or at.losses.CrossEntropy(), at.optim.SGD(lr=1.0), objective=objective, **options
    )
    history = trainer.fit(x, y, batch_size=size, shuffle=False, progress=False, **fit)
    return model.weight.numpy(), history["loss"][0]


def samples():
    return RNG(0).normal(size=(8, 5)), RNG(1).integers(0, 3, 8)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_a_step_by_hand(temperature, alpha):
    x, y = samples()
    teacher, student = small(5), small(0)
    s, t = student(x).numpy(), teacher(x).numpy()
    p, q = softmax(s / temperature), softmax(t / temperature)
    d = (1 - alpha) * (softmax(s) - np.eye(3)[y]) + alpha * temperature * (p - q)
    weight, loss = stepped(Distillation(teacher, temperature=temperature, alpha=alpha), x, y)
    np.testing.assert_allclose(weight, student.weight.numpy() - d.T @ x / 8, rtol=0, atol=1e-13)
    kl = (q * np.log(q / p)).sum(axis=1).mean()
    ce = -np.log(softmax(s)[np.arange(8), y]).mean()
    np.testing.assert_allclose(loss, (1 - alpha) * ce + alpha * temperature**2 * kl, rtol=1e-12)


def test_accumulated_batches_are_the_large_one():
    x, y = samples()
    objective = Distillation(small(5), temperature=2.0, alpha=0.7)
    whole, _ = stepped(objective, x, y)
    pieces, _ = stepped(objective, x, y, batch_size=3, accumulate=3)
    np.testing.assert_allclose(pieces, whole, rtol=0, atol=1e-13)


def test_ignored_targets_and_weights_count_in_neither_term():
    x, y = samples()
    objective = Distillation(small(5), temperature=2.0, alpha=0.7)
    some = np.where(np.arange(8) < 5, y, -100)
    ignoring, _ = stepped(objective, x, some, at.losses.CrossEntropy(ignore_index=-100))
    five, _ = stepped(objective, x[:5], y[:5])
    np.testing.assert_allclose(ignoring, five, rtol=0, atol=1e-13)
    weighted, _ = stepped(objective, x, y, sample_weight=(np.arange(8) < 5).astype(float))
    np.testing.assert_allclose(weighted, five, rtol=0, atol=1e-13)


def test_probabilities_as_targets():
    x, y = samples()
    objective = Distillation(small(5), temperature=2.0, alpha=0.7)
    np.testing.assert_allclose(
        stepped(objective, x, np.eye(3)[y])[0], stepped(objective, x, y)[0], rtol=0, atol=1e-13
    )


def test_the_teacher_stays_as_it_is():
    x, y = samples()
    teacher = at.nn.Sequential(small(5), at.nn.Dropout(0.5))
    before = teacher.state_dict()
    a, _ = stepped(Distillation(teacher), x, y)
    b, _ = stepped(Distillation(teacher), x, y)
    np.testing.assert_array_equal(a, b)  # evaluation mode: nothing is dropped
    assert teacher.training and teacher[0].weight.grad is None
    np.testing.assert_array_equal(teacher.state_dict()["0.weight"], before["0.weight"])


def test_bad_calls():
    x, y = samples()
    with pytest.raises(TypeError, match="teacher is a str but must be a Module"):
        Distillation("bert")
    with pytest.raises(ValueError, match="temperature"):
        Distillation(small(0), temperature=0.0)
    with pytest.raises(ValueError, match="alpha"):
        Distillation(small(0), alpha=1.5)
    for loss in (at.losses.MeanSquaredError(), at.losses.CrossEntropy(weight=[1.0, 2.0, 3.0])):
        with pytest.raises(ValueError, match="must be CrossEntropy without weights of classes"):
            stepped(Distillation(small(5)), x, y, loss)
    with pytest.raises(ValueError, match="shape"):
        stepped(Distillation(at.nn.Linear(5, 4, dtype="float64")), x, y)


# ------------------------------------------------------------------------------------------------- the effect


def fitted(model, x, y, epochs, batch_size, lr, seed, objective=None):
    rate = at.schedules.cosine(lr, epochs * -(-len(x) // batch_size))
    trainer = at.train.Trainer(
        model, at.losses.CrossEntropy(), at.optim.Adam(lr=rate), seed=seed, objective=objective
    )
    trainer.fit(x, y, epochs=epochs, batch_size=batch_size, progress=False)
    return trainer


def test_a_student_with_a_teacher_beats_the_same_one_without():
    """100 labelled digits, three seeds: by 3 points and more in the mean, and in each by 1."""
    datasets = pytest.importorskip("sklearn.datasets", reason="the scans come with scikit-learn")
    data = datasets.load_digits()
    images, labels = (data.images / 16).astype(np.float32)[:, None], data.target
    held_out, rest = np.split(RNG(0).permutation(len(images)), [450])
    nn = at.nn
    teacher = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, seed=0), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1, seed=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10, seed=2),
    )  # fmt: skip
    fitted(teacher, images[rest], labels[rest], 10, 64, 4e-3, 0)
    gain = []
    for seed in range(3):
        few = RNG(seed).permutation(rest)[:100]
        accuracy = []
        for objective in (None, Distillation(teacher, temperature=4.0, alpha=0.9)):
            student = nn.Sequential(
                nn.Flatten(),
                nn.Linear(64, 32, seed=10 * seed),
                nn.ReLU(),
                nn.Linear(32, 10, seed=10 * seed + 1),
            )
            trainer = fitted(student, images[few], labels[few], 60, 20, 1e-2, seed, objective)
            accuracy.append(trainer.evaluate(images[held_out], labels[held_out])["accuracy"])
        gain.append(accuracy[1] - accuracy[0])
    assert student.num_parameters() < teacher.num_parameters() / 4
    assert np.mean(gain) >= 0.03 and min(gain) >= 0.01

"""What augmentation is for: held-out accuracy where there are few samples."""

import numpy as np
import pytest

import attendo as at

LOSS = at.losses.CrossEntropy()


def digits(seed, each):
    """`each` scans of every digit to train on, the rest of the 1,797 held out."""
    datasets = pytest.importorskip("sklearn.datasets", reason="the scans come with scikit-learn")
    data = datasets.load_digits()
    images, labels = (data.images / 16).astype(np.float32)[:, None], data.target
    order = np.random.default_rng(seed).permutation(len(images))
    train = np.concatenate([order[labels[order] == digit][:each] for digit in range(10)])
    rest = np.setdiff1d(order, train)
    return (images[train], labels[train]), (images[rest], labels[rest])


def trained(seed, x, y, augment, epochs):
    nn = at.nn
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, seed=seed), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(256, 64, seed=seed + 1), nn.ReLU(), nn.Linear(64, 10, seed=seed + 2),
    )  # fmt: skip
    trainer = at.train.Trainer(model, LOSS, at.optim.Adam(lr=2e-3), seed=seed)
    trainer.fit(x, y, epochs=epochs, batch_size=20, augment=augment, progress=False)
    return trainer


def on_shifted(seed, augment, epochs):
    """Accuracy on held-out scans moved by up to a pixel, having seen ten of each digit where they belong."""
    train, (x, y) = digits(seed, 10)
    moved = at.augment.RandomShift(1, mode="constant")((x,), (), np.random.default_rng(99))[0][0]
    return trained(seed, *train, augment, epochs).evaluate(moved, y)["accuracy"]


def with_wrong_labels(seed, augment):
    """Held-out accuracy, having trained on 400 scans of which three in ten got any label."""
    (x, y), test = digits(seed, 40)
    rng = np.random.default_rng(seed + 50)
    wrong = rng.random(len(y)) < 0.3
    y = np.where(wrong, rng.integers(0, 10, len(y)), y)
    return trained(seed, x, y, augment, 60).evaluate(*test)["accuracy"]


def test_crops_make_a_classifier_stand_shifts():
    """By 10 points and more, with ten samples a class and 40 epochs."""
    assert on_shifted(0, at.augment.RandomCrop(1), 40) >= on_shifted(0, None, 40) + 0.10


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 100, 200])
def test_crops_make_a_classifier_stand_shifts_by_far(seed):
    """By 30 points and more at 100 epochs; the plain run has learnt all it can by then."""
    assert on_shifted(seed, at.augment.RandomCrop(1), 100) >= on_shifted(seed, None, 100) + 0.30


@pytest.mark.slow
def test_mixup_resists_wrong_labels():
    """By 6 points and more in the mean of three seeds, and in each of them by 3: Zhang et al. 2018, §3.4."""
    gain = [
        with_wrong_labels(seed, at.augment.Mixup(1.0, 10)) - with_wrong_labels(seed, None)
        for seed in (0, 100, 200)
    ]
    assert np.mean(gain) >= 0.06 and min(gain) >= 0.03


def topics(seed):
    """200 and 2,000 texts of 12 to 24 words on 4 subjects, which are the frequencies of 297 words."""
    rng = np.random.default_rng(seed)
    share = np.exp(0.8 * rng.standard_normal((4, 297))) / np.arange(1, 298)
    share /= share.sum(axis=1, keepdims=True)

    def drawn(count):
        y = rng.integers(0, 4, count)
        ids = np.zeros((count, 24), dtype=np.int64)
        for row, subject in zip(ids, y, strict=True):
            length = rng.integers(12, 25)
            row[:length] = 3 + rng.choice(297, length, p=share[subject])
        return (ids, ids != 0), y

    return drawn(200), drawn(2000)


def on_topics(seed, augment, epochs):
    train, test = topics(seed)
    model = at.models.EncoderClassifier(300, 32, 2, 1, 24, 4, pooling="mean", norm_eps=1e-5, seed=seed)
    trainer = at.train.Trainer(model, LOSS, at.optim.Adam(lr=2e-3), seed=seed)
    trainer.fit(*train, epochs=epochs, batch_size=32, augment=augment, progress=False)
    return trainer.evaluate(*test)["accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "augment", [at.augment.DropTokens(0.3, mask=1), at.augment.MaskTokens(0.3, 1, mask=1)], ids=repr
)
def test_tokens_left_out_raise_held_out_accuracy(augment):
    """By 2 points and more in the mean of five seeds, with 200 texts to train on."""
    gain = [on_topics(seed, augment, 60) - on_topics(seed, None, 60) for seed in range(5)]
    assert np.mean(gain) >= 0.02

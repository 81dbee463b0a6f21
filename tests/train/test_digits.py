"""The second real job: article 000's classifier reads handwritten digits."""

import numpy as np
import pytest

import attendo as at


def digits():
    """The 1,797 scans of 8 × 8 that scikit-learn brings, in [0, 1]; every fourth is held out."""
    datasets = pytest.importorskip("sklearn.datasets", reason="the scans come with scikit-learn")
    data = datasets.load_digits()
    images = (data.images / 16).astype(np.float32)[:, None]
    order = np.random.default_rng(0).permutation(len(images))
    held_out, rest = np.split(order, [len(images) // 4])
    return (images[rest], data.target[rest]), (images[held_out], data.target[held_out])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_digits(seed):
    train, test = digits()
    model = at.models.CnnAttention(in_channels=1, num_classes=10, image_size=8, seed=seed)
    epochs, batch_size = 20, 32
    steps = epochs * -(-len(train[0]) // batch_size)
    rate = at.schedules.cosine(1e-3, steps, warmup=43)  # ends at zero: no luck in the last steps
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=rate), seed=seed)
    history = trainer.fit(*train, epochs=epochs, batch_size=batch_size, validation=test, progress=False)
    assert len(test[0]) == 449
    assert history["val_accuracy"][-1] >= 0.97
    assert trainer.evaluate(*test)["accuracy"] == history["val_accuracy"][-1]

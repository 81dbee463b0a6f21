"""What unlabelled texts are worth: a classifier of few labels, above a model that guessed words of them.

Texts have 10 words; six topics have 12 words each, and 60 % of a text are its topic's, the rest is any. Two
labelled texts a topic leave most words unseen; 1500 unlabelled ones tell which go together.
"""

import numpy as np
import pytest

import attendo as at

TOPICS, WORDS, LENGTH = 6, 12, 10
VOCABULARY = 4 + TOPICS * WORDS
SIZES = {"vocab_size": VOCABULARY, "d_model": 32, "num_heads": 2, "num_layers": 1, "max_len": LENGTH}
EPOCHS = 6


def texts(draw, n):
    topic = draw.integers(0, TOPICS, n)
    own = 4 + topic[:, None] * WORDS + draw.integers(0, WORDS, (n, LENGTH))
    return np.where(draw.random((n, LENGTH)) < 0.6, own, draw.integers(4, VOCABULARY, (n, LENGTH))), topic


def data(seed):
    """Unlabelled texts; two labelled ones a topic; and those of the test."""
    draw = np.random.default_rng(seed)
    unlabelled, _ = texts(draw, 1500)
    test = texts(draw, 500)
    ids, topic = texts(draw, 400)
    few = np.concatenate([np.flatnonzero(topic == c)[:2] for c in range(TOPICS)])
    return unlabelled, (ids[few], topic[few]), test


def accuracy(model, few, test, seed):
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(3e-3), seed=seed)
    trainer.fit(*few, epochs=30, batch_size=12, progress=False)
    return trainer.evaluate(*test)["accuracy"]


@pytest.mark.parametrize("seed", range(3))
def test_hidden_words(seed):
    """A classifier of 12 labelled texts gains over 12 points by guessing hidden words before."""
    unlabelled, few, test = data(seed)
    lm = at.models.MaskedLM(**SIZES, seed=seed)
    trainer = at.train.Trainer(lm, at.losses.CrossEntropy(ignore_index=-100), at.optim.Adam(5e-3), seed=seed)
    for epoch in range(EPOCHS):
        pairs = at.text.mask_tokens(unlabelled, VOCABULARY, 3, special=[0, 1, 2], seed=epoch)
        trainer.fit(*pairs, batch_size=50, progress=False)
    fresh, taught = (
        at.models.EncoderClassifier(**SIZES, num_classes=TOPICS, pooling="mean", seed=seed) for _ in range(2)
    )
    text = {name: value for name, value in lm.state_dict().items() if name.startswith("text.")}
    missing, unexpected = taught.load_state_dict(text, strict=False)
    assert set(missing) == {"classifier.weight", "classifier.bias"} and not unexpected
    before, after = accuracy(fresh, few, test, seed), accuracy(taught, few, test, seed)
    assert after > before + 0.12, (before, after)


class Topic(at.nn.Module):
    """The mean of a language model's last states, and a linear layer."""

    def __init__(self, lm, seed):
        super().__init__()
        self.lm, self.head = lm, at.nn.Linear(32, TOPICS, seed=seed)

    def forward(self, ids):
        return self.head(self.lm.outputs(ids, hidden_states=True).hidden_states[-1].mean(axis=1))


@pytest.mark.parametrize("seed", range(3))
def test_next_words(seed):
    """A classifier of 12 labelled texts gains over 15 points by guessing next words before."""
    unlabelled, few, test = data(seed)
    fresh, taught = (at.models.DecoderLM(VOCABULARY, 32, 2, 1, LENGTH, seed=seed) for _ in range(2))
    trainer = at.train.Trainer(taught, at.losses.CrossEntropy(), at.optim.Adam(5e-3), seed=seed)
    trainer.fit(unlabelled[:, :-1], unlabelled[:, 1:], batch_size=50, epochs=EPOCHS, progress=False)
    before, after = (accuracy(Topic(lm, seed), few, test, seed) for lm in (fresh, taught))
    assert after > before + 0.15, (before, after)

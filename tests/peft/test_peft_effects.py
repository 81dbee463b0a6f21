"""What it is for: a model that learned one rule learns another, by moving two parameters of a hundred.

Language A: each symbol is a permutation of the sum of the two before it. In language B eight of the 24
entries of the permutation are exchanged: the model of A predicts A and is worse than guessing on B.
"""

import numpy as np
import pytest

import attendo as at

VOCAB, LENGTH, EXCHANGED = 24, 12, 8
WAYS = {
    "full": (lambda model: model, 2e-3),
    "head": (lambda model: at.peft.unfreeze(at.peft.freeze(model), "generator"), 1e-2),
    "lora": (lambda model: at.peft.lora(model, 3, 6.0, seed=0), 2e-2),
    "prefix": (lambda model: at.peft.prefix(model, 8, seed=0), 1e-1),
    "adapters": (lambda model: at.peft.adapters(model, 3, seed=0), 2e-2),
}


def sequences(rng, count, exchanged):
    permutation = np.random.default_rng(7).permutation(VOCAB)
    permutation[:exchanged] = np.roll(permutation[:exchanged], 1)
    ids = rng.integers(0, VOCAB, (count, LENGTH + 1))
    for t in range(LENGTH):
        before = ids[:, t - 1] if t else 0
        ids[:, t + 1] = permutation[(ids[:, t] + before) % VOCAB]
    return ids


def trained(model, ids, lr, epochs=10):
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=lr), seed=0)
    trainer.fit(ids[:, :-1], ids[:, 1:], epochs=epochs, batch_size=64)
    return model


def loss(model, ids):
    return float(at.losses.CrossEntropy()(model.eval()(ids[:, :-1]), ids[:, 1:]).item())


ALL = tuple(WAYS)
FEW = ("full", "head", "lora")


@pytest.mark.parametrize(
    ("seed", "ways"), [(0, FEW), *(pytest.param(n, ALL, marks=pytest.mark.slow) for n in (0, 1, 2))]
)
def test_two_percent_learn_nearly_what_all_learn(seed, ways):
    rng = np.random.default_rng(seed)
    a, b, unseen = (sequences(rng, count, n) for count, n in ((1024, 0), (1024, EXCHANGED), (512, EXCHANGED)))

    def model():
        return at.models.DecoderLM(VOCAB, 64, 4, 2, LENGTH, dff=256, norm_first=True, seed=seed)

    pretrained = trained(model(), a, 3e-3)
    state = pretrained.state_dict()
    assert loss(pretrained, a) < 0.02
    assert loss(pretrained, unseen) > 5
    after = {}
    for way in ways:
        prepare, lr = WAYS[way]
        tuned = model()
        tuned.load_state_dict(state)
        prepare(tuned)
        assert way == "full" or at.peft.trainable(tuned).percentage < 2
        after[way] = loss(trained(tuned, b, lr), unseen)
    assert after["full"] < 0.02
    allowed = {"lora": 0.4, "prefix": 0.5, "adapters": 0.8}  # nats above it
    assert all(after[way] < after["full"] + more for way, more in allowed.items() if way in ways), after
    assert after["lora"] < 0.45 * after["head"], after  # as many parameters, all in the last layer

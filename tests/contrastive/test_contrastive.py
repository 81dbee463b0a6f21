"""SimCSE, one encoder for several inputs, triplets drawn from labels; what they teach an encoder of texts."""

import numpy as np
import pytest

import attendo as at
from attendo.contrastive import SentenceEncoder, Siamese, SimCSE, triplets
from tolerance import assert_close, assert_same_bits

rng = np.random.default_rng(0)


def corpus(seed, sentences, synonyms):
    """Pairs of sentences of 8 words: the same 3 of 60 things, and 5 fillers of 3, in any order.

    With synonyms each thing has two words, and either sentence takes one at random.
    """
    draw = np.random.default_rng(seed)
    things = np.array([draw.choice(60, 3, replace=False) for _ in range(sentences)])

    def say():
        words = 10 + 2 * things + (draw.integers(0, 2, things.shape) if synonyms else 0)
        return draw.permuted(np.concatenate([words, draw.integers(1, 4, (sentences, 5))], axis=1), axis=1)

    return say(), say()


def encoder(seed, dropout=0.1):
    return SentenceEncoder(at.models.TextEncoder(140, 32, 2, 1, max_len=8, dropout=dropout, seed=seed))


def measure(model, a, b):
    """How often the paraphrase is nearest; how evenly all lie on the sphere (Wang and Isola 2020, eq. 2)."""
    model.eval()
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (model(a).numpy(), model(b).numpy()))
    apart = 2 - 2 * (a @ a.T)[~np.eye(len(a), dtype=bool)]
    return np.mean(np.argmax(a @ b.T, axis=1) == np.arange(len(a))), np.log(np.mean(np.exp(-2 * apart)))


def simcse(seed, model, epochs=20, **options):
    trainer = at.train.Trainer(
        model,
        at.losses.InfoNCE(0.05, symmetric=False),
        at.optim.Adam(2e-3),
        objective=SimCSE(),
        seed=seed,
        **options,
    )
    a, _ = corpus(seed, 400, synonyms=False)
    history = trainer.fit(a, np.zeros(len(a)), epochs=epochs, batch_size=50, progress=False)
    return trainer, history


def test_simcse_finds_paraphrases_without_labels():
    """Of 200 new sentences the paraphrase is found 10 points more often; uniformity falls by more than 2."""
    for seed in range(3):
        test = corpus(100 + seed, 200, synonyms=False)
        model = encoder(seed)
        found, uniformity = measure(model, *test)
        simcse(seed, model)
        after, even = measure(model, *test)
        assert after > found + 0.1, (found, after)
        assert even < uniformity - 2, (uniformity, even)


def test_pairs_teach_synonyms():
    """With paraphrases to learn from: over 95 % of new ones found, from under 30 %."""
    for seed in range(3):
        model = encoder(seed)
        test = corpus(100 + seed, 200, synonyms=True)
        before, _ = measure(model, *test)
        a, b = corpus(seed, 1000, synonyms=True)
        trainer = at.train.Trainer(Siamese(model), at.losses.InfoNCE(0.05), at.optim.Adam(3e-3), seed=seed)
        trainer.fit((a, b), np.zeros(len(a)), epochs=15, batch_size=50, progress=False)
        after, _ = measure(model, *test)
        assert before < 0.3 and after > 0.95, (before, after)
        assert trainer.evaluate(test, np.zeros(200), batch_size=200)["accuracy"] == after


def test_the_same_seed_gives_the_same_bits():
    (one, first), (two, second) = (simcse(3, encoder(3), epochs=2) for _ in range(2))
    assert_same_bits(first["step_loss"], second["step_loss"])
    for name, value in one.model.state_dict().items():
        assert_same_bits(value, two.model.state_dict()[name])


def test_the_two_passes_differ_and_are_the_loss():
    seen = []

    class Watched(SimCSE):
        def loss(self, trainer, batch):
            loss = super().loss(trainer, batch)
            seen.append(loss.item())
            return loss

    model = at.nn.Sequential(at.nn.Dropout(0.5), at.nn.Linear(6, 4, seed=0))
    x = rng.standard_normal((8, 6)).astype(np.float32)
    trainer = at.train.Trainer(model, at.losses.NTXent(), at.optim.SGD(0.0), objective=Watched())
    history = trainer.fit(x, np.zeros(8), epochs=2, batch_size=8, shuffle=False, progress=False)
    assert_same_bits(history["step_loss"], np.array(seen))
    assert seen[0] != seen[1]  # other drawings in every step


def test_parts_of_a_step_add_up():
    """Two batches a step are its mean: each has the negatives of its own."""
    model = at.nn.Sequential(at.nn.Dropout(0.5), at.nn.Linear(6, 4, seed=0))
    x = rng.standard_normal((12, 6)).astype(np.float32)
    seen = []

    class Watched(SimCSE):
        def loss(self, trainer, batch):
            loss = super().loss(trainer, batch)
            seen.append((batch.inputs[0].shape[0], batch.totals, loss.item()))
            return loss

    trainer = at.train.Trainer(
        model, at.losses.InfoNCE(), at.optim.SGD(0.0), accumulate=2, objective=Watched()
    )
    history = trainer.fit(x, np.zeros(12), batch_size=8, progress=False)
    assert [(n, totals) for n, totals, _ in seen] == [(8, [12.0]), (4, [12.0])]
    assert_close(history["step_loss"], np.array([seen[0][2] + seen[1][2]]))


def test_siamese_shares_its_encoder():
    model = Siamese(at.nn.Linear(4, 2, seed=0))
    a, b = rng.standard_normal((2, 5, 4)).astype(np.float32)
    one, two, three = model(a, b, a)
    assert_same_bits(one, three)
    assert_same_bits(two, model.encoder(b))
    assert len(model.parameters()) == 2


def test_sentence_encoder_pools_real_tokens():
    text = at.models.TextEncoder(20, 8, 2, 1, max_len=6, seed=0).eval()
    short, padded = [[5, 7, 9]], [[5, 7, 9, 0, 0]]
    for pooling in ("mean", "first"):
        model = SentenceEncoder(text, pooling, pad_id=0).eval()
        assert_close(model(padded), model(short).numpy())
    assert_close(SentenceEncoder(text)(short), text(short).numpy().mean(axis=1))
    assert_close(SentenceEncoder(text, "first")(short), text(short).numpy()[:, 0])
    assert (SentenceEncoder(text, pad_id=0)([[0, 0], [3, 4]]).numpy()[0] == 0).all()


def test_triplets_are_of_the_right_classes():
    for seed in range(20):
        draw = np.random.default_rng(seed)
        labels = draw.integers(0, 5, draw.integers(8, 60))
        anchors, positives, negatives = triplets(labels, seed=seed)
        alone = [i for i in range(len(labels)) if np.sum(labels == labels[i]) == 1]
        assert sorted(anchors.tolist() + alone) == list(range(len(labels)))
        assert (labels[anchors] == labels[positives]).all()
        assert (anchors != positives).all()
        assert (labels[anchors] != labels[negatives]).all()
        again = triplets(labels, seed=seed)
        assert all((x == y).all() for x, y in zip((anchors, positives, negatives), again, strict=True))


def test_triplets_draw_all_others_alike():
    labels = np.array([0, 0, 1, 1, 0, 2])
    draw = np.random.default_rng(0)
    drawn = [triplets(labels, seed=draw) for _ in range(3000)]
    positives = np.bincount([p[0] for _, p, _ in drawn], minlength=6) / 3000
    negatives = np.bincount([n[0] for _, _, n in drawn], minlength=6) / 3000
    np.testing.assert_allclose(positives, [0, 0.5, 0, 0, 0.5, 0], atol=0.03)
    np.testing.assert_allclose(negatives, [0, 0, 1 / 3, 1 / 3, 0, 1 / 3], atol=0.03)


def fit_simcse(model, inputs):
    trainer = at.train.Trainer(model, at.losses.InfoNCE(), at.optim.Adam(), objective=SimCSE())
    trainer.fit(inputs, np.zeros(len(inputs)), progress=False)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda: fit_simcse(at.nn.Linear(4, 2), np.ones((4, 4), np.float32)),
            ValueError,
            "SimCSE: Linear gives the same twice: it needs dropout above 0",
        ),
        (
            lambda: fit_simcse(at.models.TextEncoder(9, 8, 2, 1, 4, dropout=0.1), np.ones((4, 4), int)),
            ValueError,
            r"the model gives shape \(4, 4, 8\) but must give \(samples, d\)",
        ),
        (
            lambda: Siamese(at.nn.Linear(4, 2))(np.ones((3, 5, 4), np.float32)),
            ValueError,
            r"the model gives shape \(3, 5, 2\)",
        ),
        (lambda: SentenceEncoder(None, "max"), ValueError, "pooling is 'max' but must be 'mean' or 'first'"),
        (lambda: triplets([[0, 1]], seed=0), ValueError, r"triplets: labels has shape \(1, 2\)"),
        (lambda: triplets([3, 3, 3], seed=0), ValueError, "triplets: labels has 1 class"),
        (lambda: triplets([], seed=0), ValueError, "triplets: labels has 0 class"),
        (lambda: triplets([1, 2, 3], seed=0), ValueError, "every sample is alone in its class"),
    ],
)
def test_errors(call, error, says):
    with pytest.raises(error, match=says):
        call()

"""FGM and PGD on embeddings: as in PyTorch, tables put back to the bit, and held-out accuracy."""

import numpy as np
import pytest

import attendo as at

LOSS = at.losses.CrossEntropy()
WORDS, CLASSES = 300, 4


class Bag(at.nn.Module):
    """The mean of a text's embeddings, and two layers."""

    def __init__(self, dtype="float64"):
        super().__init__()
        self.words = at.nn.Embedding(20, 5, dtype=dtype, seed=0)
        self.hidden = at.nn.Linear(5, 6, dtype=dtype, seed=1)
        self.out = at.nn.Linear(6, 3, dtype=dtype, seed=2)

    def forward(self, ids):
        return self.out(self.hidden(self.words(ids).mean(axis=1)).tanh())


def texts():
    rng = np.random.default_rng(0)
    return rng.integers(0, 20, (8, 4)), rng.integers(0, 3, 8)


def trained(objective, ids, y, model=None, **options):
    model = model or Bag()
    trainer = at.train.Trainer(model, LOSS, at.optim.SGD(lr=1.0), objective=objective, **options)
    trainer.fit(ids, y, batch_size=8 // options.get("accumulate", 1), shuffle=False, progress=False)
    return model


def torch_step(torch, ids, y, eps, steps, size, weight):
    """One step as it is written in PyTorch: gradients added up, the table put back."""
    net = torch.nn.ModuleDict(
        {"words": torch.nn.Embedding(20, 5), "hidden": torch.nn.Linear(5, 6), "out": torch.nn.Linear(6, 3)}
    ).double()
    net.load_state_dict({name: torch.tensor(value) for name, value in Bag().state_dict().items()})
    ids, y = torch.tensor(ids), torch.tensor(y)
    table = net["words"].weight

    def loss():
        hidden = torch.tanh(net["hidden"](net["words"](ids).mean(1)))
        return torch.nn.functional.cross_entropy(net["out"](hidden), y)

    loss().backward()
    clean = [p.grad.clone() for p in net.parameters()]
    before, r = table.data.clone(), torch.zeros_like(table)
    for _ in range(steps):
        r = (r + size * table.grad / table.grad.norm()).detach()
        if r.norm() > eps:
            r = r * (eps / r.norm())
        table.data = before + r
        net.zero_grad()
        loss().backward()
    table.data = before
    with torch.no_grad():
        for p, g in zip(net.parameters(), clean, strict=True):
            p -= g + weight * p.grad
    return {name: value.numpy() for name, value in net.state_dict().items()}


@pytest.mark.parametrize(
    ("objective", "arguments"),
    [
        (at.robust.FGM(0.7), (0.7, 1, 0.7, 1.0)),
        (at.robust.FGM(0.7, weight=0.5), (0.7, 1, 0.7, 0.5)),
        (at.robust.EmbeddingPGD(0.7, steps=4, step_size=0.3), (0.7, 4, 0.3, 1.0)),
    ],
    ids=repr,
)
def test_a_step_as_in_pytorch(torch, objective, arguments):
    ids, y = texts()
    want = torch_step(torch, ids, y, *arguments)
    for name, value in trained(objective, ids, y).state_dict().items():
        np.testing.assert_allclose(value, want[name], rtol=0, atol=1e-12)


def test_accumulated_batches_are_perturbed_each_by_its_own_gradient():
    ids, y = texts()
    model = trained(at.robust.FGM(0.7), ids, y, accumulate=2)
    want = {name: value.copy() for name, value in Bag().state_dict().items()}
    for half in (slice(0, 4), slice(4, 8)):
        one = trained(at.robust.FGM(0.7), ids[half], y[half])
        for name, start in Bag().state_dict().items():
            want[name] += (one.state_dict()[name] - start) / 2
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(value, want[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("objective", [at.robust.FGM(3.0), at.robust.EmbeddingPGD(3.0)], ids=repr)
def test_the_table_is_put_back_to_the_bit(dtype, objective):
    ids, y = texts()
    model = Bag(dtype)
    before = model.words.weight.numpy().copy()
    trainer = at.train.Trainer(model, LOSS, at.optim.SGD(lr=0.0), objective=objective)
    trainer.fit(ids, y, epochs=2, batch_size=3, progress=False)
    np.testing.assert_array_equal(model.words.weight.numpy(), before)


def test_the_table_is_put_back_when_something_fails():
    ids, y = texts()
    model = Bag()
    before = model.words.weight.numpy().copy()
    calls = []

    class Broken(at.robust.FGM):
        def _projected(self, moved, gradient):
            calls.append(1)
            if len(calls) == 2:
                raise RuntimeError("no")
            return super()._projected(moved, gradient)

    broken = Broken(1.0)
    broken.steps = 2
    with pytest.raises(RuntimeError, match="no"):
        trained(broken, ids, y, model)
    np.testing.assert_array_equal(model.words.weight.numpy(), before)


@pytest.mark.parametrize("objective", [at.robust.FGM(0.7), at.robust.EmbeddingPGD(0.7)], ids=repr)
def test_sparse_tables(objective):
    ids, y = texts()
    dense, sparse = Bag(), Bag()
    sparse.words = at.nn.Embedding(20, 5, dtype="float64", sparse=True, seed=0)
    trained(objective, ids, y, dense)
    trained(objective, ids, y, sparse)
    for name, value in dense.state_dict().items():
        np.testing.assert_allclose(sparse.state_dict()[name], value, rtol=0, atol=1e-14)


def test_the_loss_is_larger_at_the_perturbed_table():
    ids, y = texts()
    seen = []

    class Watched(at.train.Trainer):
        def batch_loss(self, batch, **options):
            loss = super().batch_loss(batch, **options)
            seen.append(loss.item())
            return loss

    objective = at.robust.EmbeddingPGD(0.5, steps=3)
    trainer = Watched(Bag(), LOSS, at.optim.SGD(lr=0.1), objective=objective)
    trainer.fit(ids, y, batch_size=8, progress=False)
    assert len(seen) == 4 and seen[0] < seen[1] < seen[2] < seen[3]


def test_tables_by_name_frozen_and_missing():
    ids, y = texts()
    model = at.models.EncoderClassifier(20, 8, 2, 1, 6, 3, seed=0)
    trained(at.robust.FGM(0.1, tables=["text.embedding.weight", "text.position.weight"]), ids, y, model)
    with pytest.raises(ValueError, match="FGM: tables holds 'emb', which is no parameter"):
        trained(at.robust.FGM(0.1, tables=["emb"]), ids, y)
    frozen = Bag()
    frozen.words.requires_grad_(False)
    with pytest.raises(ValueError, match=r"no attendo.nn.Embedding that is trained"):
        trained(at.robust.FGM(0.1), ids, y, frozen)
    frozen = Bag()
    frozen.words.requires_grad_(False)
    with pytest.raises(ValueError, match="which is frozen"):
        trained(at.robust.FGM(0.1, tables=["words.weight"]), ids, y, frozen)
    with pytest.raises(ValueError, match=r"EmbeddingPGD: the model has no attendo.nn.Embedding; name"):
        trained(at.robust.EmbeddingPGD(0.1), np.ones((4, 2)), y[:4], at.nn.Linear(2, 3, dtype="float64"))


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: at.robust.FGM(-1.0), ValueError, r"FGM: eps is -1\.0"),
        (lambda: at.robust.FGM(1.0, weight=-1.0), ValueError, r"weight is -1\.0"),
        (lambda: at.robust.FGM(1.0, tables="words"), TypeError, "tables is one text"),
        (lambda: at.robust.EmbeddingPGD(1.0, steps=0), ValueError, "steps is 0"),
        (lambda: at.robust.EmbeddingPGD(1.0, step_size=float("inf")), ValueError, "step_size is inf"),
    ],
)
def test_bad_options(make, error, said):
    with pytest.raises(error, match=said):
        make()


# ------------------------------------------------------------------------------------------------- the effect


def topics(seed):
    """200 and 2,000 texts of 12 to 24 words on 4 subjects, which are the frequencies of 297 words."""
    rng = np.random.default_rng(seed)
    share = np.exp(0.8 * rng.standard_normal((CLASSES, WORDS - 3))) / np.arange(1, WORDS - 2)
    share /= share.sum(axis=1, keepdims=True)

    def drawn(count):
        y = rng.integers(0, CLASSES, count)
        ids = np.zeros((count, 24), dtype=np.int64)
        for row, subject in zip(ids, y, strict=True):
            length = rng.integers(12, 25)
            row[:length] = 3 + rng.choice(WORDS - 3, length, p=share[subject])
        return (ids, ids != 0), y

    return drawn(200), drawn(2000)


def accuracy(seed, epochs, objective):
    train, test = topics(seed)
    model = at.models.EncoderClassifier(
        WORDS, 32, 2, 1, 24, CLASSES, pooling="mean", norm_eps=1e-5, seed=seed
    )
    trainer = at.train.Trainer(model, LOSS, at.optim.Adam(lr=2e-3), seed=seed, objective=objective)
    trainer.fit(*train, epochs=epochs, batch_size=32, progress=False)
    return trainer.evaluate(*test)["accuracy"]


def test_fgm_raises_held_out_accuracy():
    """By 3 points and more in the mean, against a plain run of as many forward passes."""
    gain = [accuracy(seed, 15, at.robust.FGM(1.0)) - accuracy(seed, 30, None) for seed in (0, 1)]
    assert np.mean(gain) >= 0.03 and min(gain) >= 0


@pytest.mark.slow
def test_fgm_and_pgd_raise_held_out_accuracy_for_every_seed():
    """By 4 points and more in the mean of five seeds, and in each of them, at 60 epochs."""
    for objective in (at.robust.FGM(1.0), at.robust.EmbeddingPGD(1.0, steps=3)):
        gain = [accuracy(seed, 60, objective) - accuracy(seed, 60, None) for seed in range(5)]
        assert np.mean(gain) >= 0.04 and min(gain) > 0

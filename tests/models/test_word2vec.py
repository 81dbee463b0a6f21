"""Word2Vec: skip-gram and CBOW by negative sampling."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, THREADS
from tolerance import assert_close, assert_same_bits

V, D = 30, 6
MODES = pytest.mark.parametrize("mode", ["skip_gram", "cbow"])


def model(mode="skip_gram", dtype=np.float64, **options):
    """Output vectors begin at zero: random ones show more."""
    module = at.models.Word2Vec(V, D, mode, dtype=str(np.dtype(dtype)), seed=0, **options)
    rng = np.random.default_rng(1)
    for parameter in module.parameters():
        parameter.assign(rng.standard_normal((V, D)))
    return module


def batch(mode, n=20, k=4, seed=0):
    rng = np.random.default_rng(seed)
    words = rng.integers(0, V, n) if mode == "skip_gram" else rng.integers(-1, V, (n, 3))
    return words, rng.integers(0, V, n), rng.integers(0, V, (n, k))


@MODES
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("sparse", [False, True])
def test_against_reference(mode, dtype, sparse):
    module, inputs = model(mode, dtype, sparse=sparse), batch(mode)
    tables = [module.input_vectors.numpy(), module.output_vectors.numpy()]
    tables = [x.astype(np.float64) for x in tables]
    losses = module(*inputs)
    assert_close(losses, reference.negative_sampling(*inputs, *tables), dtype)
    at.losses.Mean()(losses, inputs[1]).backward()
    expected = reference.negative_sampling_backward(np.full(20, 1 / 20), *inputs, *tables)
    for parameter, gradient in zip(module.parameters(), expected, strict=True):
        assert (parameter.row_grad is not None) == sparse
        assert_close(parameter.grad, gradient, dtype)


@MODES
def test_torch(torch, mode):
    """The usual module there: two nn.Embedding(sparse=True), logsigmoid, SparseAdam; several steps."""
    module = model(mode)
    w, u = (torch.nn.Embedding(V, D, sparse=True, dtype=torch.float64) for _ in range(2))
    w.weight.data = torch.tensor(module.input_vectors.numpy().copy())
    u.weight.data = torch.tensor(module.output_vectors.numpy().copy())
    theirs = torch.optim.SparseAdam([w.weight, u.weight], lr=0.05, eps=1e-20)
    optimizer = at.optim.Adam(0.05, eps=1e-20)
    optimizer.attach(module)
    f = torch.nn.functional.logsigmoid
    for seed in range(8):
        words, targets, negatives = batch(mode, seed=seed)
        words = np.maximum(words, 0)
        optimizer.zero_grad()
        loss = at.losses.Mean()(module(words, targets, negatives), targets)
        loss.backward()
        optimizer.step()
        theirs.zero_grad()
        h = w(torch.tensor(words))
        h = h.mean(1) if mode == "cbow" else h
        true = f((h * u(torch.tensor(targets))).sum(-1))
        drawn = f(-(u(torch.tensor(negatives)) @ h[..., None])[..., 0]).sum(1)
        expected = -(true + drawn).mean()
        expected.backward()
        theirs.step()
        assert_close(loss, expected.item(), scale=10.0)
        assert_close(module.input_vectors, w.weight.detach().numpy(), scale=100.0)
        assert_close(module.output_vectors, u.weight.detach().numpy(), scale=100.0)


def corpus(mode):
    """Thirty words in three groups; neighbours are of one group."""
    rng = np.random.default_rng(0)
    shape = (6000,) if mode == "skip_gram" else (6000, 4)
    middle = rng.integers(0, V, 6000)
    group = (middle % 3).reshape(6000, *[1] * (len(shape) - 1))
    around = rng.integers(0, V // 3, shape) * 3 + group
    return (middle, around) if mode == "skip_gram" else (around, middle)


@MODES
@pytest.mark.parametrize("sparse", [True, False])
def test_words_with_the_same_neighbours_end_near_each_other(mode, sparse):
    words, targets = corpus(mode)
    module = at.models.Word2Vec(V, 12, mode, sparse=sparse, seed=0)
    trainer = at.train.Trainer(module, at.losses.Mean(), at.optim.Adam(lr=0.03))
    history = trainer.fit((words, targets), targets, epochs=6, batch_size=64, progress=False)
    assert history["loss"][0] > history["loss"][-1]
    for word in range(V):
        ids, cosines = module.most_similar(word, k=V // 3 - 1)
        assert set(ids % 3) == {word % 3}
        assert (np.diff(cosines) <= 0).all() and cosines[-1] > 0.5


@MODES
def test_same_bits_on_any_number_of_threads(mode):
    results = []
    words, targets = corpus(mode)
    for threads in THREADS:
        at.set_num_threads(threads)
        module = at.models.Word2Vec(V, 65, mode, seed=0)
        trainer = at.train.Trainer(module, at.losses.Mean(), at.optim.Adam(lr=0.03), clip_norm=0.5)
        trainer.fit((words, targets), targets, epochs=1, batch_size=1500, progress=False)
        results.append(module.state_dict())
    for other in results[1:]:
        for name, value in results[0].items():
            assert_same_bits(other[name], value)


def test_noise_is_drawn_in_proportion_to_counts_to_three_quarters():
    counts = np.array([0.0, 1.0, 16.0, 81.0, 0.0, 2.0])
    module = at.models.Word2Vec(6, 4, num_negatives=50, counts=counts, seed=0)
    drawn = module.draw_negatives(4000)
    assert drawn.shape == (4000, 50) and drawn.dtype == np.int64
    share = np.bincount(drawn.ravel(), minlength=6) / drawn.size
    expected = counts**0.75 / (counts**0.75).sum()
    assert (share[counts == 0] == 0).all()
    np.testing.assert_allclose(share, expected, atol=5 * np.sqrt(0.25 / drawn.size))
    # The table itself says exactly the same.
    keep, other = module.noise.numpy().T
    table = keep.copy()
    np.add.at(table, other.astype(int), 1 - keep)
    np.testing.assert_allclose(table / 6, expected, atol=1e-15)


def test_every_draw_is_another_and_the_seed_decides():
    first, second = (at.models.Word2Vec(1000, 4, seed=0) for _ in range(2))
    assert (first.draw_negatives(50) != first.draw_negatives(50)).any()
    words = np.arange(200)
    for module in (first, second):
        trainer = at.train.Trainer(module, at.losses.Mean(), at.optim.SGD(lr=0.1), seed=3)
        trainer.fit((words, words), words, batch_size=50, progress=False)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert_same_bits(a, b.numpy())


def test_the_start():
    module = at.models.Word2Vec(1000, 8, seed=0)
    w = module.input_vectors.numpy()
    assert np.abs(w).max() <= 1 / 16 and w.std() > 0.03
    assert not module.output_vectors.numpy().any()
    np.testing.assert_allclose(module([1, 2], [3, 4]).numpy(), 6 * np.log(2), rtol=1e-6)
    assert repr(module) == "Word2Vec(1000, 8, mode=skip_gram, num_negatives=5)"


def test_most_similar():
    module = at.models.Word2Vec(4, 2, seed=0)
    module.input_vectors.assign([[1.0, 0.0], [2.0, 2.0], [-1.0, 0.0], [0.0, 0.0]])
    ids, cosines = module.most_similar(0, k=3)
    assert ids.tolist() == [1, 3, 2]
    np.testing.assert_allclose(cosines, [np.sqrt(0.5), 0, -1])
    assert module.most_similar(2, k=1)[0].tolist() == [3]


def test_saved_and_loaded_to_the_bit(tmp_path):
    module = at.models.Word2Vec(V, D, "cbow", counts=np.arange(V), num_negatives=3, seed=0)
    module.save(tmp_path / "m.safetensors")
    loaded = at.load(tmp_path / "m.safetensors")
    assert type(loaded) is at.models.Word2Vec and loaded.config == module.config
    for name, value in module.state_dict().items():
        assert_same_bits(loaded.state_dict()[name], value)


def test_a_table_of_noise_that_names_no_word_is_refused():
    module = at.models.Word2Vec(V, D, seed=0)
    for wrong in (-1.0, float(V), np.nan, 1e300):
        module.noise.assign(np.tile([0.0, wrong], (V, 1)))
        with pytest.raises(ValueError, match="negatives holds -1"):
            module([1], [2])


@MODES
def test_an_empty_batch(mode):
    module = model(mode)
    words = np.zeros((0,) if mode == "skip_gram" else (0, 3), np.int64)
    losses = module(words, np.zeros(0, np.int64))
    assert losses.shape == (0,)
    losses.sum().backward()
    assert not module.input_vectors.grad.numpy().any()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: at.models.Word2Vec(0), ValueError, "Word2Vec: vocab_size is 0"),
        (lambda: at.models.Word2Vec(3, 0), ValueError, "Word2Vec: embedding_dim is 0"),
        (lambda: at.models.Word2Vec(3, num_negatives=0), ValueError, "Word2Vec: num_negatives is 0"),
        (lambda: at.models.Word2Vec(3, mode="glove"), ValueError, "Word2Vec: mode is 'glove'"),
        (lambda: at.models.Word2Vec(3.0), TypeError, "Word2Vec: vocab_size is a float"),
        (lambda: at.models.Word2Vec(3, counts=[1, 2]), ValueError, r"Word2Vec: counts has shape \(2,\)"),
        (lambda: at.models.Word2Vec(2, counts=[1, -1]), ValueError, "Word2Vec: counts holds -1"),
        (lambda: at.models.Word2Vec(2, counts=[1, np.nan]), ValueError, "Word2Vec: counts holds"),
        (lambda: at.models.Word2Vec(2, counts=[0, 0]), ValueError, "Word2Vec: counts are all zero"),
        (lambda: model()([[1]], [2]), ValueError, "Word2Vec: words has shape"),
        (lambda: model("cbow")([1], [2]), ValueError, "Word2Vec: words has shape"),
        (lambda: model()([V], [2]), ValueError, f"words holds {V}"),
        (lambda: model()([1], [V]), ValueError, f"targets holds {V}"),
        (lambda: model()([1.0], [2]), TypeError, "words has dtype float64"),
        (lambda: model().most_similar(V), ValueError, f"most_similar: word_id is {V}"),
        (lambda: model().most_similar(0, 0), ValueError, "most_similar: k is 0"),
        (lambda: model().most_similar(0, V), ValueError, f"most_similar: k is {V}"),
        (lambda: model().draw_negatives(-1), ValueError, "draw_negatives: pairs is -1"),
        (lambda: at.losses.Mean()(np.ones((2, 2)), [0, 0]), ValueError, "Mean: prediction has shape"),
        (lambda: at.losses.Mean()(np.array([1, 2]), [0, 0]), TypeError, "prediction"),
    ],
)
def test_errors(call, error, says):
    with pytest.raises(error, match=says):
        call()

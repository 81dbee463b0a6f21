"""Optimizers on tables with sparse gradients: the rows used are stepped."""

import numpy as np
import pytest

import attendo as at
from inputs import DTYPES, THREADS
from tolerance import assert_close, assert_same_bits

STEPS, LR = 20, 0.05
VOCABULARY, WIDTH = 30, 5


def table(dtype=np.float64, sparse=True):
    return at.nn.Embedding(VOCABULARY, WIDTH, sparse=sparse, dtype=str(np.dtype(dtype)), seed=0)


def batches(steps=12, all_rows=False):
    rng = np.random.default_rng(0)
    for _ in range(steps):
        ids = rng.integers(0, VOCABULARY, 9)
        if all_rows:
            ids = np.append(ids, rng.permutation(VOCABULARY))
        yield ids, rng.standard_normal((len(ids), WIDTH))


def train_table(optimizer, layer, clip_norm=None, clip_value=None, **options):
    optimizer.attach(layer)
    for ids, d_y in batches(**options):
        optimizer.zero_grad()
        layer(ids).backward(d_y.astype(layer.weight.dtype))
        optimizer.step(clip_norm, clip_value)
        yield layer.weight.numpy().copy()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sparse_adam_by_torch(torch, dtype):
    layer = table(dtype)
    theirs = torch.nn.Embedding(VOCABULARY, WIDTH, sparse=True, dtype=getattr(torch, str(np.dtype(dtype))))
    theirs.weight.data = torch.tensor(layer.weight.numpy().copy())
    # Its epsilon stands outside the correction of the second moment; it is too small to matter here.
    optimizer = torch.optim.SparseAdam(theirs.parameters(), lr=LR, eps=1e-20)
    got = train_table(at.optim.Adam(LR, eps=1e-20), layer)
    for (ids, d_y), ours_now in zip(batches(), got, strict=True):
        optimizer.zero_grad()
        theirs(torch.tensor(ids)).backward(torch.tensor(d_y.astype(dtype)))
        optimizer.step()
        assert_close(ours_now, theirs.weight.detach().numpy(), dtype, scale=float(STEPS))


@pytest.mark.parametrize("name", ["Adagrad", "Adam", "AdamW", "SGD"])
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_a_sparse_step_of_all_rows_is_the_dense_one(name, clip_norm):
    options = {"weight_decay": 0.0} if name == "AdamW" else {}
    results = [
        list(
            train_table(
                getattr(at.optim, name)(LR, **options), table(sparse=sparse), clip_norm, all_rows=True
            )
        )
        for sparse in (True, False)
    ]
    for sparse, dense in zip(*results, strict=True):
        assert_close(sparse, dense)


@pytest.mark.parametrize("name", ["Adagrad", "SGD"])
def test_sparse_is_the_dense_one(name):
    results = [
        list(train_table(getattr(at.optim, name)(LR), table(sparse=sparse), clip_value=0.7))
        for sparse in (True, False)
    ]
    for sparse, dense in zip(*results, strict=True):
        assert_close(sparse, dense)


def test_rows_that_are_not_used_do_not_move():
    layer, optimizer = table(), at.optim.Adam(LR)
    optimizer.attach(layer)
    for ids in ([1, 2, 2], [7]):
        before = layer.weight.numpy().copy()
        optimizer.zero_grad()
        assert layer.weight.grad is None
        layer(ids).sum().backward()
        optimizer.step()
        moved = (layer.weight.numpy() != before).any(axis=1)
        assert set(np.flatnonzero(moved)) == set(ids)
    moments = [x.reshape(VOCABULARY, WIDTH) for name, x in optimizer.state.items() if name != "steps"]
    assert len(moments) == 2
    for moment in moments:
        assert set(np.flatnonzero(moment.any(axis=1))) == {1, 2, 7}


def test_a_sparse_table_beside_dense_parameters():
    model = at.nn.Sequential(table(np.float32), at.nn.Linear(WIDTH, 2, seed=1))
    same = at.nn.Sequential(table(np.float32, sparse=False), at.nn.Linear(WIDTH, 2, seed=1))
    norms = []
    for each in (model, same):
        optimizer = at.optim.SGD(LR)
        optimizer.attach(each)
        for ids, _ in batches(4):
            optimizer.zero_grad()
            (each(ids) * each(ids)).sum().backward()
            norms.append(optimizer.grad_norm())
            optimizer.step(clip_norm=0.1)
    np.testing.assert_allclose(norms[:4], norms[4:], rtol=1e-5)
    for a, b in zip(model.parameters(), same.parameters(), strict=True):
        assert_close(a, b.numpy(), np.float32, scale=10.0)


def test_a_whole_gradient_of_a_sparse_table_steps_all_rows():
    layer, dense = table(), at.nn.Parameter(table().weight.numpy().copy())
    gradient = np.random.default_rng(0).standard_normal((VOCABULARY, WIDTH))
    for target in (layer, [dense]):
        optimizer = at.optim.Adam(LR)
        optimizer.attach(target)
        (layer.weight if target is layer else dense).grad = gradient
        assert optimizer.grad_norm() == pytest.approx(np.linalg.norm(gradient))
        optimizer.step()
        optimizer.zero_grad()
    assert layer.weight.grad is None
    assert_close(layer.weight, dense.numpy())


@pytest.mark.parametrize("name", ["Adagrad", "Adam", "SGD"])
def test_sparse_steps_have_the_same_bits_on_any_number_of_threads(name):
    results = []
    for threads in THREADS:
        at.set_num_threads(threads)
        layer, optimizer = at.nn.Embedding(20_000, 65, sparse=True, seed=0), getattr(at.optim, name)(LR)
        optimizer.attach(layer)
        for seed in range(3):
            optimizer.zero_grad()
            ids = np.minimum(np.random.default_rng(seed).zipf(1.2, 9_000), 20_000) - 1
            y = layer(ids)
            (y * y).sum().backward()
            optimizer.step(1.0)
        results.append(layer.weight.numpy().copy())
    for other in results[1:]:
        assert_same_bits(other, results[0])


@pytest.mark.parametrize(
    ("optimizer", "says"),
    [
        (lambda: at.optim.SGD(0.1, momentum=0.9), "SGD: momentum is 0.9 but must be 0"),
        (lambda: at.optim.SGD(0.1, weight_decay=0.5), "SGD: weight_decay is 0.5 but must be 0"),
        (lambda: at.optim.Adam(0.1, weight_decay=0.5), "Adam: weight_decay is 0.5 but must be 0"),
        (lambda: at.optim.AdamW(0.1), "AdamW: weight_decay is 0.01 but must be 0"),
        (lambda: at.optim.Adam(0.1, amsgrad=True), "Adam: amsgrad is not there for"),
        (lambda: at.optim.Adagrad(0.1, weight_decay=0.5), "Adagrad: weight_decay is 0.5 but must be 0"),
        (lambda: at.optim.RMSprop(), "RMSprop: a layer has sparse=True"),
        (lambda: at.optim.Lion(), "Lion: a layer has sparse=True"),
        (lambda: at.optim.LAMB(), "LAMB: a layer has sparse=True"),
    ],
)
def test_options_that_would_move_every_row(optimizer, says):
    layer = table()
    with pytest.raises(ValueError, match=says):
        optimizer().attach(layer)
    at.optim.Adam(0.1).attach(layer)  # nothing has happened to it


def test_a_later_optimizer_takes_a_sparse_table_over():
    layer, first, second = table(), at.optim.Adam(0.1), at.optim.SGD(0.1)
    first.attach(layer)
    first.attach(layer)
    second.attach(layer)
    layer([1]).sum().backward()
    first.zero_grad()  # not its own any more
    assert layer.weight.row_grad is not None
    second.step()
    with pytest.raises(ValueError, match="another optimizer has taken over its parameters"):
        first.step()
    del first, second
    layer.weight.zero_grad()
    assert layer.weight.grad is None

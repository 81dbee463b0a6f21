"""Sums of gradients over ranks while backward runs: what is sent, when, in which order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ranks import Ranks

import attendo as at
from attendo import _core
from tolerance import assert_close

D = 6


class Tied(at.nn.Module):
    """One matrix at both ends, rows of a leaf, a layer used twice, one that nothing uses, a frozen one."""

    def __init__(self, dtype="float64"):
        super().__init__()
        self.embedding = at.nn.Embedding(10, D, seed=0, dtype=dtype)
        self.unused = at.nn.Linear(D, D, seed=1, dtype=dtype)
        self.frozen = at.nn.Linear(D, D, seed=2, dtype=dtype).requires_grad_(False)
        self.twice = at.nn.Linear(D, D, seed=3, dtype=dtype)
        self.attention = at.nn.MultiHeadAttention(
            D, 2, seed=4, dtype=dtype
        )  # its in_proj_weight goes by rows
        self.norm = at.nn.LayerNorm(D, dtype=dtype)

    def forward(self, ids):
        x = self.twice(self.embedding(ids))
        x = self.frozen(self.attention(x, x, x))
        x = self.norm(self.twice(x))
        return x @ self.embedding.weight.transpose()


class Forks(at.nn.Module):
    """Uses its layers in another order in every rank, and in the last rank not all of them."""

    def __init__(self, rank):
        super().__init__()
        self.layers = at.nn.ModuleList([at.nn.Linear(D, D, seed=i, dtype="float64") for i in range(3)])
        self.order = list(itertools.permutations(range(3)))[2 * rank][: 3 if rank < 2 else 1]

    def forward(self, x):
        for i in self.order:
            x = self.layers[i](x)
        return x


def attached(model, optimizer=None):
    optimizer = optimizer or at.optim.SGD(lr=0.1)
    optimizer.attach(model)
    optimizer.zero_grad()
    return optimizer, list(model.parameters())


def gradients(model):
    return {name: None if p.grad is None else np.array(p.grad) for name, p in model.named_parameters()}


def place(tensor):
    return tensor.numpy().ctypes.data


def ids_of(rank):
    return np.random.default_rng(rank).integers(0, 10, (2, 5))


def summed(make, loss, size):
    """What the sum over the ranks has to be, computed without a reducer."""
    total = {}
    for rank in range(size):
        model = make(rank)
        attached(model)
        loss(model, rank).backward()
        for name, g in gradients(model).items():
            if g is not None:
                total[name] = total.get(name, 0) + g
    return total


def tied_loss(model, rank):
    y = model(at.tensor(ids_of(rank)))
    return (y * y).mean()


def forks_loss(model, rank):
    y = model(at.tensor(np.random.default_rng(rank).normal(size=(4, D))))
    return (y * y).mean()


CASES = {"tied": (lambda rank: Tied(), tied_loss), "forks": (Forks, forks_loss)}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("bucket_bytes", [1, 200, 1 << 20])
def test_every_gradient_is_the_sum_over_the_ranks(case, bucket_bytes):
    make, loss = CASES[case]

    def body(reducer, rank):
        model = make(rank)
        reducer.attach(*attached(model))
        reducer.backward(loss(model, rank))
        reducer.finish()
        return gradients(model)

    results = Ranks(3).run(body, bucket_bytes)
    expected = summed(make, loss, 3)
    assert expected
    for result in results:
        for name, g in result.items():
            if name in expected:
                assert_close(g, expected[name])
            else:
                assert g is None or not g.any()


@pytest.mark.parametrize("case", CASES)
def test_the_order_of_messages_is_one_in_all_ranks(case):
    """From the model's end to its beginning, also where ranks finish their leaves in other orders."""
    make, loss = CASES[case]
    ranks = Ranks(3)

    def body(reducer, rank):
        model = make(rank)
        optimizer, parameters = attached(model)
        reducer.attach(optimizer, parameters)
        reducer.backward(loss(model, rank))
        places = {place(p.grad): i for i, p in enumerate(parameters) if p.grad is not None}
        reducer.finish()
        return [places[address] for address, _ in ranks.sent[rank]]

    first, *others = ranks.run(body, bucket_bytes=1)
    assert others == [first, first]
    assert first == sorted(first, reverse=True)
    assert len(first) == len(set(first)) > 5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_sent_does_not_change_any_more(seed):
    """The gradients at the moment they are sent, while backward still runs, are those of a backward alone."""
    ranks = Ranks(1)

    def model_with_first_half():
        model = Tied()
        model.reset_parameters(seed)
        optimizer, parameters = attached(model)
        tied_loss(model, 7).backward()  # micro-batches before the last add up
        return model, optimizer, parameters

    def body(reducer, rank):
        model, optimizer, parameters = model_with_first_half()
        reducer.attach(optimizer, parameters)
        reducer.backward(tied_loss(model, 8))
        # The embedding is last: both ends of the model use it. Backward sends it, too, when it has run.
        assert len(ranks.sent[0]) == reducer.buckets > 5
        places = {place(p.grad): np.array(p.grad).ravel() for p in parameters if p.grad is not None}
        for address, part in ranks.sent[0]:
            assert np.array_equal(part[: places[address].size], places[address])
        alone, *_ = model_with_first_half()
        tied_loss(alone, 8).backward()
        for name, g in gradients(alone).items():
            assert g is None or np.array_equal(g, gradients(model)[name])

    ranks.run(body, bucket_bytes=1)


class Chain(at.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = at.nn.ModuleList([at.nn.Linear(D, D, seed=i) for i in range(4)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def test_messages_go_while_backward_runs():
    """When the gradients of the last layer are sent, those of the first are not there yet."""
    seen = []
    model = Chain()
    ranks = Ranks(1, on_send=lambda: seen.append([bool(np.any(x.weight.grad)) for x in model.layers]))

    def body(reducer, rank):
        reducer.attach(*attached(model))
        reducer.backward((model(at.tensor(np.ones((3, D), np.float32))) ** 2).mean())
        reducer.finish()
        return reducer.buckets, reducer.sent_early

    assert ranks.run(body, bucket_bytes=D * D * 4) == [(4, 4)]
    assert seen[0] == [False, False, False, True]
    assert seen[-1] == [True] * 4


def test_a_bucket_holds_about_as_many_bytes_as_wanted():
    """Whole parameters, from the end: (6, 6) and (6,) four times, each begins at a multiple of 64 bytes."""

    def buckets(bucket_bytes):
        def body(reducer, rank):
            reducer.attach(*attached(Chain()))
            return reducer.buckets

        return Ranks(1).run(body, bucket_bytes)[0]

    assert [buckets(n) for n in (1, 64, 68, 2 * (192 + 64), 1 << 40)] == [8, 8, 4, 2, 1]


class Sparse(at.nn.Module):
    def __init__(self, dense=False):
        super().__init__()
        self.table = at.nn.Embedding(10, D, sparse=True, seed=0, dtype="float64")
        self.linear = at.nn.Linear(D, D, seed=1, dtype="float64")
        self.dense = dense

    def forward(self, ids):
        y = self.linear(self.table(ids))
        return y @ self.table.weight.transpose() if self.dense else y


@pytest.mark.parametrize("dense_ranks", [(), (1,), (0, 1, 2)])
def test_tables_of_sparse_layers(dense_ranks):
    """Rows are exchanged; where one rank has a whole gradient, all get one. Rank 2 uses no row at all."""

    def make(rank):
        return Sparse(dense=rank in dense_ranks)

    def loss(model, rank):
        y = model(at.tensor(ids_of(rank)[: 2 if rank < 2 or 2 in dense_ranks else 0]))
        return (y * y).sum()

    def body(reducer, rank):
        model = make(rank)
        optimizer, parameters = attached(model)
        reducer.attach(optimizer, parameters)
        reducer.backward(loss(model, rank))
        reducer.finish()
        found = gradients(model)
        optimizer.step()
        return found, np.array(model.table.weight)

    results = Ranks(3).run(body)
    expected = summed(make, loss, 3)
    for found, stepped in results:
        for name, g in expected.items():
            assert_close(found[name], g)
        assert_close(stepped, np.array(Sparse().table.weight) - 0.1 * expected["table.weight"])
        assert np.array_equal(stepped, results[0][1])


def test_a_backward_after_gradients_were_sent_is_an_error():
    def body(reducer, rank):
        model = Chain()
        reducer.attach(*attached(model))
        x = at.tensor(np.ones((3, D), np.float32))
        reducer.backward(model(x).sum())
        with pytest.raises(ValueError, match="Distributed: backward ran again after gradients of this step"):
            reducer.backward(model(x).sum())
        reducer.finish()
        reducer.backward(model(x).sum())  # the next step

    Ranks(1).run(body)


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_shares_of_a_batch(size):
    def shares(begin, end):
        return Ranks(size).run(lambda reducer, rank: reducer.share(begin, end))

    for begin, end in ((0, 8 * size), (5, 5), (3, 4), (10, 10 + 3 * size - 1)):
        parts = shares(begin, end)
        assert parts[0][0] == begin and parts[-1][1] == end
        assert all(a[1] == b[0] for a, b in itertools.pairwise(parts))
        sizes = [b - a for a, b in parts]
        assert max(sizes) - min(sizes) <= 1 and sizes == sorted(sizes, reverse=True)
    assert shares(0, 8 * size) == [(8 * r, 8 * r + 8) for r in range(size)]


def test_seeds_of_ranks():
    seeds = [Ranks(4).run(lambda reducer, rank, s=s: reducer.own_seed(s)) for s in (0, 1, 2**64 - 1)]
    assert [of_ranks[0] for of_ranks in seeds] == [0, 1, 2**64 - 1]
    assert len({seed for of_ranks in seeds for seed in of_ranks}) == 12


def test_sums_and_broadcasts_of_numbers():
    def body(reducer, rank):
        x = at.tensor(np.full((2, 2), float(rank + 5)))
        reducer.broadcast([x])
        return reducer.sum([rank, 0.5]), x.numpy().tolist()

    assert Ranks(3).run(body) == [([3, 1.5], [[5, 5], [5, 5]])] * 3


def test_bad_arguments():
    class No:
        rank, size = 2, 2

    with pytest.raises(ValueError, match="Distributed: rank is 2 of size 2 but must be 0 or more"):
        _core.Reducer(No(), 1)
    ranks = Ranks(1)
    with pytest.raises(ValueError, match="Distributed: bucket_bytes is 0 but must be 1 or more"):
        ranks.run(lambda reducer, rank: None, bucket_bytes=0)
    with pytest.raises(ValueError, match="Distributed: the optimizer has no parameters"):
        ranks.run(lambda reducer, rank: reducer.attach(at.optim.SGD(lr=1), []))
    with pytest.raises(ValueError, match="Distributed: there is no optimizer"):
        ranks.run(lambda reducer, rank: reducer.finish())
    with pytest.raises(TypeError, match="Distributed: parameters must hold Tensors"):
        ranks.run(lambda reducer, rank: reducer.attach(at.optim.SGD(lr=1), [3]))
    with pytest.raises(TypeError):
        _core.Reducer.__new__(_core.Reducer).finish()


def test_an_error_of_the_transport_reaches_the_caller():
    def fail():
        raise OSError("the wire is cut")

    def body(reducer, rank):
        model = Chain()
        reducer.attach(*attached(model))
        reducer.backward(model(at.tensor(np.ones((3, D), np.float32))).sum())

    with pytest.raises(OSError, match="the wire is cut"):
        Ranks(1, on_send=fail).run(body)
    # And backward works after it, with nobody watching.
    model = Chain()
    model(at.tensor(np.ones((3, D), np.float32))).sum().backward()
    assert all(np.any(p.grad) for p in model.parameters())

"""One parameter under two names: an output layer whose weight is the embedding's table."""

import numpy as np
import pytest

import attendo as at
from tolerance import assert_close, assert_same_bits

V, D = 11, 8
IDS = np.random.default_rng(0).integers(0, V, (16, 5))


class Tied(at.nn.Module):
    """The logits of each position by the table that the ids were looked up in."""

    def __init__(self, tied: bool = True) -> None:
        super().__init__()
        self.embedding = at.nn.Embedding(V, D, seed=0)
        self.hidden = at.nn.Linear(D, D, seed=1)
        self.out = at.nn.Linear(D, V, bias=False, seed=2)
        if tied:
            self.out.weight = self.embedding.weight

    def forward(self, ids):
        return self.out(self.hidden(self.embedding(ids)))


def trained(model, epochs=2):
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(0.01), seed=0)
    trainer.fit(IDS, np.roll(IDS, 1, axis=1), epochs=epochs, batch_size=4, progress=False)
    return model


def table(layer):
    return layer.state_dict()["weight"]


def test_is_counted_once():
    model = Tied()
    assert [name for name, _ in model.named_parameters()] == [
        "embedding.weight",
        "hidden.weight",
        "hidden.bias",
    ]
    assert sum(p.size for p in model.parameters()) == V * D + D * D + D


def test_its_gradient_is_the_sum_of_both():
    tied, apart = Tied(), Tied(tied=False)
    apart.load_state_dict({**apart.state_dict(), **tied.state_dict(), "out.weight": table(tied.embedding)})
    d_y = np.random.default_rng(1).standard_normal((16, 5, V)).astype(np.float32)
    for model in (tied, apart):
        model(IDS).backward(d_y)
    expected = apart.embedding.weight.grad.numpy() + apart.out.weight.grad.numpy()
    assert_close(tied.embedding.weight.grad, expected)
    assert_same_bits(tied.out.weight.grad, tied.embedding.weight.grad)


def test_is_trained_once_a_step_and_stays_tied():
    model = trained(Tied())
    assert (table(model.out) != table(Tied().out)).any()
    assert_same_bits(table(model.out), table(model.embedding))
    # One step of plain descent is that of the sum of both gradients, taken once.
    model = Tied()
    loss = at.losses.CrossEntropy()
    start = table(model.embedding).copy()
    loss(model(IDS), IDS).backward()
    step = model.embedding.weight.grad.numpy().copy()
    model.zero_grad()
    trainer = at.train.Trainer(model, loss, at.optim.SGD(0.5), seed=0)
    trainer.fit(IDS, IDS, epochs=1, batch_size=16, shuffle=False, progress=False)
    assert_close(table(model.out), start - 0.5 * step)


def test_is_saved_once_and_loads(tmp_path):
    model = trained(Tied())
    state = model.state_dict()
    assert list(state) == ["embedding.weight", "hidden.weight", "hidden.bias"]
    other = Tied()
    other.load_state_dict(state)
    assert_same_bits(other(IDS), model(IDS))
    assert_same_bits(table(other.out), table(other.embedding))


def test_a_state_that_names_it_twice_loads():
    """As PyTorch writes it; either name alone will do, and two that differ are an error."""
    state = trained(Tied()).state_dict()
    shared = state.pop("embedding.weight")
    for names in (["embedding.weight", "out.weight"], ["out.weight"], ["out.weight", "embedding.weight"]):
        model = Tied()
        assert model.load_state_dict({**state, **dict.fromkeys(names, shared)}) == ([], [])
        assert_same_bits(table(model.out), shared)
        assert_same_bits(table(model.embedding), shared)
    with pytest.raises(ValueError, match=r"embedding\.weight is one parameter under several names"):
        Tied().load_state_dict({**state, "embedding.weight": shared, "out.weight": shared + 1})
    apart = Tied(tied=False)
    with pytest.raises(ValueError, match=r"load_state_dict: missing: embedding\.weight"):
        apart.load_state_dict({**state, "out.weight": shared})


def test_torch(torch):
    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(V, D)
            self.hidden = torch.nn.Linear(D, D)
            self.out = torch.nn.Linear(D, V, bias=False)
            self.out.weight = self.embedding.weight

        def forward(self, ids):
            return self.out(self.hidden(self.embedding(ids)))

    theirs, ours = Theirs(), Tied()
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    assert_close(ours(IDS), theirs(torch.tensor(IDS)).detach().numpy())


def test_shapes_must_agree():
    linear, embedding = at.nn.Linear(D, V + 1), at.nn.Embedding(V, D)
    with pytest.raises(ValueError, match="weight"):
        linear.weight = embedding.weight
    with pytest.raises((TypeError, ValueError), match="weight"):
        linear.weight = at.nn.Embedding(V + 1, D, dtype="float64").weight


def test_padding_rows_of_a_tied_table():
    """The embedding gives the padding row no gradient; as an output row it has one like any other."""
    embedding = at.nn.Embedding(V, D, padding_idx=3, seed=0)
    assert (table(embedding)[3] == 0).all()
    y = embedding(np.array([3, 4, 3]))
    assert (y.numpy()[[0, 2]] == 0).all()
    y.backward(np.ones((3, D), np.float32))
    gradient = embedding.weight.grad.numpy()
    assert (gradient[4] == 1).all() and (np.delete(gradient, 4, axis=0) == 0).all()

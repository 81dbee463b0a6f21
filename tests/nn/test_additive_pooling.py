"""AdditivePooling: one vector of a sequence, by a score of each position."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import assert_torch_agrees, check_layer, randomized
from tolerance import assert_close, assert_same_bits

LENGTHS = np.array([5, 2, 0])
COUNTS = np.arange(5) < LENGTHS[:, None]  # (B, S)


def array(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("mask", [None, COUNTS], ids=["whole", "mask"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(dtype, mask):
    check_layer(
        randomized(at.nn.AdditivePooling(8, 17, dtype=str(dtype))),
        [array(3, 5, 8, dtype=dtype)],
        lambda x, p: reference.additive_pooling(x, p, mask)[0],
        lambda d_out, x, p: reference.additive_pooling_backward(d_out, x, p, mask),
        call=lambda m, x: m(x, mask=mask),
    )


def test_torch(torch):
    """Written with PyTorch's layers: linear, tanh, a product with the context, softmax, a weighted sum."""

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = torch.nn.Linear(8, 17, dtype=torch.float64)
            self.context = torch.nn.Parameter(torch.zeros(17, dtype=torch.float64))

        def forward(self, x):
            weights = torch.softmax(torch.tanh(self.hidden(x)) @ self.context, dim=-1)
            return (weights[..., None] * x).sum(1)

    pool = randomized(at.nn.AdditivePooling(8, 17, dtype="float64"))
    call = lambda m, x: m(x)  # noqa: E731
    assert_torch_agrees(torch, pool, Theirs(), [array(3, 5, 8)], call, call, lambda name: name)


def test_weights():
    pool, x = randomized(at.nn.AdditivePooling(8, 17, dtype="float64")), array(3, 5, 8)
    out, weights = pool(x, mask=COUNTS, return_weights=True)
    assert_same_bits(out, pool(x, mask=COUNTS))
    assert_close(out, pool(x, mask=at.masks.lengths(LENGTHS)).numpy())
    assert weights.shape == (3, 5)
    assert_close(weights.numpy().sum(-1), np.array([1.0, 1, 0]))
    assert (weights.numpy()[~COUNTS] == 0).all() and (out.numpy()[2] == 0).all()


def test_padding_does_not_count():
    pool, x = randomized(at.nn.AdditivePooling(8, 17, dtype="float64")), array(3, 5, 8)
    expected = np.concatenate([pool(x[i : i + 1, :n]).numpy() for i, n in enumerate(LENGTHS[:2])])
    padded = np.where(COUNTS[..., None], x, 1e6)
    assert_close(pool(padded[:2], mask=COUNTS[:2]), expected)


def test_parameters():
    pool = at.nn.AdditivePooling(8, 16, seed=1)
    assert {name: value.shape for name, value in pool.state_dict().items()} == {
        "context": (16,),
        "hidden.weight": (16, 8),
        "hidden.bias": (16,),
    }
    assert repr(pool).startswith("AdditivePooling(d_model=8, units=16")
    again = at.nn.AdditivePooling(8, 16, seed=1).state_dict()
    assert all((again[name] == value).all() for name, value in pool.state_dict().items())
    assert 0.1 < np.abs(pool.state_dict()["context"]).max() <= 0.25


def test_on_a_recurrent_layer_that_is_trained():
    """The usual place: which of two symbols stood anywhere in the sequence."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((96, 8, 4)).astype(np.float32)
    target = rng.integers(0, 2, 96)
    x[np.arange(96), rng.integers(0, 8, 96), 0] += 5 * (2 * target - 1)
    model = at.nn.Sequential(
        at.nn.GRU(4, 8, bidirectional=True, seed=0),
        at.nn.AdditivePooling(16, 16, seed=1),
        at.nn.Linear(16, 2, seed=2),
    )
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(0.02), seed=0)
    trainer.fit(x, target, epochs=30, batch_size=16, progress=False)
    assert (trainer.predict(x).argmax(-1) == target).mean() > 0.95


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda p: at.nn.AdditivePooling(0, 4), ValueError, "AdditivePooling: d_model is 0 but must be 1"),
        (lambda p: at.nn.AdditivePooling(4, 0), ValueError, "AdditivePooling: units is 0 but must be 1"),
        (lambda p: at.nn.AdditivePooling(4, "4"), TypeError, "AdditivePooling: units is a str"),
        (lambda p: p(array(5, 8, dtype=np.float32)), ValueError, "AdditivePooling: x has shape"),
        (lambda p: p(array(3, 5, 7, dtype=np.float32)), ValueError, "AdditivePooling: x has 7 features"),
        (lambda p: p(array(3, 5, 8)), TypeError, "AdditivePooling: x has dtype float64"),
        (
            lambda p: p(array(3, 5, 8, dtype=np.float32), mask=COUNTS.T),
            ValueError,
            r"AdditivePooling: mask has shape \(5, 3\) but must be \(3, 5\)",
        ),
    ],
)
def test_wrong(make, error, says):
    with pytest.raises(error, match=says):
        make(at.nn.AdditivePooling(8, 4))

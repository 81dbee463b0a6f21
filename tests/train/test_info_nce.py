"""InfoNCE and NT-Xent: rows that belong together."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from loss_check import check_config, check_loss, check_torch
from tolerance import assert_close

rng = np.random.default_rng(0)
A, B = rng.standard_normal((2, 6, 4))
N = rng.standard_normal((3, 4))
W = rng.uniform(0, 2, 6)
SETTINGS = [{}, {"temperature": 0.5, "symmetric": False}, {"normalize": False, "temperature": 2.0}]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("weight", [None, W], ids=["", "weighted"])
@pytest.mark.parametrize("more", [[], [N]], ids=["", "negatives"])
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_info_nce(options, more, weight, dtype):
    check_loss(
        at.losses.InfoNCE(**options),
        [A, B, *more],
        None,
        lambda *x: reference.info_nce(*x, **options, sample_weight=weight),
        weight,
        dtype,
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("weight", [None, W], ids=["", "weighted"])
def test_nt_xent(weight, dtype):
    check_loss(
        at.losses.NTXent(0.3),
        [A, B],
        None,
        lambda a, b: reference.nt_xent(a, b, 0.3, sample_weight=weight),
        weight,
        dtype,
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_torch(torch, dtype):
    f = torch.nn.functional
    ids = torch.arange(6)

    def info_nce(a, b):
        scores = f.normalize(a) @ f.normalize(b).T / 0.1
        return (f.cross_entropy(scores, ids) + f.cross_entropy(scores.T, ids)) / 2

    def nt_xent(a, b):
        z = f.normalize(torch.cat([a, b]))
        scores = (z @ z.T / 0.5).masked_fill(torch.eye(12, dtype=torch.bool), -torch.inf)
        return f.cross_entropy(scores, torch.cat([ids + 6, ids]))

    check_torch(torch, at.losses.InfoNCE(), [A, B], None, info_nce, dtype)
    check_torch(torch, at.losses.NTXent(), [A, B], None, nt_xent, dtype)


def test_of_many_equal_rows_it_is_the_logarithm_of_their_number():
    a = np.ones((8, 3))
    assert_close(at.losses.InfoNCE()((a, a), None), np.log(8))
    assert_close(at.losses.NTXent()((a, a), None), np.log(15))


def test_lengths_do_not_matter_and_zero_rows_do_not_break():
    loss = at.losses.InfoNCE()
    assert_close(loss((3 * A, B / 7), None), loss((A, B), None).numpy())
    a = at.tensor(np.zeros((3, 4)), requires_grad=True)
    value = loss((a, a), None)
    value.backward()
    assert_close(value, np.log(3))
    assert np.isfinite(a.grad.numpy()).all()


class Views(at.nn.Module):
    """One encoder, both views."""

    def __init__(self, seed):
        super().__init__()
        self.layers = at.nn.Sequential(
            at.nn.Linear(16, 32, seed=seed), at.nn.ReLU(), at.nn.Linear(32, 8, seed=seed + 1)
        )

    def forward(self, a, b):
        return self.layers(a), self.layers(b)


@pytest.mark.parametrize("make", [lambda: at.losses.InfoNCE(0.1), lambda: at.losses.NTXent(0.2)])
def test_two_noisy_views_find_each_other(make):
    """Of 100 strangers' views the right one is found for over 95 %, from under 30 % before training.

    A view is a hidden vector of 6 numbers and 10 of noise twice as large, turned by a fixed rotation.
    """
    for seed in range(3):
        draw = np.random.default_rng(seed)
        mix = np.linalg.qr(draw.standard_normal((16, 16)))[0]

        def view(hidden, draw=draw, mix=mix):
            noise = 2 * draw.standard_normal((len(hidden), 10))
            return (np.concatenate([hidden, noise], axis=1) @ mix).astype(np.float32)

        hidden = draw.standard_normal((2100, 6))
        a, b = view(hidden), view(hidden)
        model = Views(seed)

        def found(model=model, a=a, b=b):
            left, right = (x.numpy() for x in model(a[2000:], b[2000:]))
            left, right = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (left, right))
            return np.mean(np.argmax(left @ right.T, axis=1) == np.arange(100))

        before = found()
        trainer = at.train.Trainer(model, make(), at.optim.Adam(0.01))
        trainer.fit((a[:2000], b[:2000]), np.zeros(2000), epochs=30, batch_size=100, progress=False)
        assert before < 0.3
        assert found() > 0.95, (before, found())
        if isinstance(trainer.loss, at.losses.InfoNCE):
            assert trainer.evaluate((a[2000:], b[2000:]), np.zeros(100))["accuracy"] == found()


@pytest.mark.parametrize("loss", [*(at.losses.InfoNCE(**o) for o in SETTINGS), at.losses.NTXent(0.07)])
def test_config(loss):
    check_config(loss)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda: at.losses.InfoNCE(0),
            ValueError,
            "InfoNCE: temperature is 0 but must be finite and above 0",
        ),
        (lambda: at.losses.NTXent(np.nan), ValueError, "NTXent: temperature is nan"),
        (lambda: at.losses.InfoNCE()(A, None), ValueError, "takes two or three predictions, but there is 1"),
        (lambda: at.losses.NTXent()((A, B, N), None), ValueError, "takes two predictions, but there are 3"),
        (
            lambda: at.losses.InfoNCE()((A, B[:5]), None),
            ValueError,
            r"the second prediction has shape \(5, 4\)",
        ),
        (lambda: at.losses.InfoNCE()((A, B[:, :3]), None), ValueError, "predictions have 4 and 3 features"),
        (lambda: at.losses.InfoNCE()((A[0], B[0]), None), ValueError, r"prediction has shape \(4,\)"),
        (lambda: at.losses.InfoNCE()((A, B.astype("f4")), None), TypeError, "float32"),
        (lambda: at.losses.InfoNCE()((A, B), None, W[:2]), ValueError, r"sample_weight has shape \(2,\)"),
        (lambda: at.losses.CrossEntropy()(A, None), TypeError, "target is None"),
    ],
)
def test_errors(call, error, says):
    with pytest.raises(error, match=says):
        call()

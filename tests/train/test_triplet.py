"""The triplet loss."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from loss_check import check_config, check_loss, check_parts, check_torch

rng = np.random.default_rng(0)
A, P, N = rng.standard_normal((3, 7, 4))
W = rng.uniform(0, 2, 7)
SETTINGS = [
    {},
    {"margin": 0.3, "p": 1.0},
    {"p": 3.0},
    {"swap": True, "margin": 2.0},
    {"swap": True, "p": 1.0},
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("weight", [None, W], ids=["", "weighted"])
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_reference(options, weight, dtype):
    check_loss(
        at.losses.Triplet(**options),
        [A, P, N],
        None,
        lambda *x: reference.triplet(*x, **options, sample_weight=weight),
        weight,
        dtype,
    )


@pytest.mark.parametrize("weight", [None, W], ids=["", "weighted"])
def test_parts_add_up(weight):
    check_parts(at.losses.Triplet(), [A, P, N], np.zeros(7), weight)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_torch(torch, options, dtype):
    theirs = torch.nn.TripletMarginLoss(**options)
    check_torch(torch, at.losses.Triplet(**options), [A, P, N], None, theirs, dtype)


def test_far_negatives_cost_nothing():
    loss = at.losses.Triplet(margin=1)
    anchor = at.tensor(A, requires_grad=True)
    value = loss((anchor, A + 0.01, A + 100), None)
    value.backward()
    assert value.item() == 0
    assert (anchor.grad.numpy() == 0).all()


def test_equal_rows_have_a_gradient():
    anchor = at.tensor(A, requires_grad=True)
    at.losses.Triplet()((anchor, A, A), None).backward()
    assert np.isfinite(anchor.grad.numpy()).all()


class Three(at.nn.Module):
    def __init__(self, seed):
        super().__init__()
        self.layer = at.nn.Linear(16, 4, seed=seed)

    def forward(self, *inputs):
        return tuple(self.layer(x) for x in inputs)


def test_classes_come_apart():
    """Of new triplets over 97 % are the right way round, from under 75 %: the noise is large."""
    for seed in range(3):
        draw = np.random.default_rng(seed)
        centers = draw.standard_normal((5, 16))
        noise = draw.standard_normal((16, 16)) * np.where(np.arange(16) < 8, 4.0, 0.3)[:, None]

        def samples(classes, draw=draw, centers=centers, noise=noise):
            return (centers[classes] + draw.standard_normal((len(classes), 16)) @ noise / 2).astype(
                np.float32
            )

        first = draw.integers(0, 5, 1500)
        second = (first + draw.integers(1, 5, 1500)) % 5
        triplets = (samples(first), samples(first), samples(second))

        def right(model, triplets=triplets):
            a, p, n = (x.numpy() for x in model(*(x[1000:] for x in triplets)))
            return np.mean(np.linalg.norm(a - p, axis=1) < np.linalg.norm(a - n, axis=1))

        model = Three(seed)
        before = right(model)
        trainer = at.train.Trainer(model, at.losses.Triplet(), at.optim.Adam(0.01))
        trainer.fit(tuple(x[:1000] for x in triplets), np.zeros(1000), epochs=40, progress=False)
        assert before < 0.75 and right(model) > 0.97, (before, right(model))


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_config(options):
    check_config(at.losses.Triplet(**options))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: at.losses.Triplet(0), ValueError, "Triplet: margin is 0 but must be finite and above 0"),
        (lambda: at.losses.Triplet(p=0.5), ValueError, "Triplet: p is 0.5 but must be finite and 1 or more"),
        (lambda: at.losses.Triplet(p=np.inf), ValueError, "Triplet: p is inf"),
        (lambda: at.losses.Triplet()((A, P), None), ValueError, "three predictions.* but there are 2"),
        (lambda: at.losses.Triplet()((A, P, N[:3]), None), ValueError, r"prediction has shape \(3, 4\)"),
        (lambda: at.losses.Triplet()((A, P, N.astype("f4")), None), TypeError, "float32"),
    ],
)
def test_errors(call, error, says):
    with pytest.raises(error, match=says):
        call()

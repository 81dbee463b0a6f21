"""AttentionPooling: learned queries attend to a sequence."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, upstream
from layer_check import check_layer, gradients, load_torch, randomized
from tolerance import assert_close, assert_same_bits

LENGTHS = np.array([5, 2, 1])
COUNTS = np.arange(5) < LENGTHS[:, None]  # (B, S)


def array(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "mask"])
@pytest.mark.parametrize("queries", [None, 1, 4])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(dtype, queries, masked):
    mask = COUNTS[:, None, None, :] if masked else None

    def expected(x, p):
        out, _ = reference.attention_pooling(x, p, 2, mask)
        return out[:, 0] if queries is None else out

    def backward(d_out, x, p):
        return reference.attention_pooling_backward(
            d_out[:, None] if queries is None else d_out, x, p, 2, mask
        )

    check_layer(
        randomized(at.nn.AttentionPooling(8, 2, queries, dtype=str(dtype))),
        [array(3, 5, 8, dtype=dtype)],
        expected,
        backward,
        call=lambda m, x: m(x, mask=COUNTS if masked else None),
    )


@pytest.mark.parametrize("queries", [None, 3])
def test_weights(queries):
    pool, x = randomized(at.nn.AttentionPooling(8, 2, queries, dtype="float64")), array(3, 5, 8)
    out, weights = pool(x, mask=COUNTS, return_weights=True)
    assert_same_bits(out, pool(x, mask=COUNTS))
    assert weights.shape == ((3, 2, 5) if queries is None else (3, 2, 3, 5))
    assert_close(weights.numpy().sum(-1), np.ones(weights.shape[:-1]))
    expected = reference.attention_pooling(x, pool.state_dict(), 2, COUNTS[:, None, None, :])[1]
    assert_close(weights, expected.reshape(weights.shape))


def test_forms_of_a_mask():
    pool, x = randomized(at.nn.AttentionPooling(8, 2, dtype="float64")), array(3, 5, 8)
    assert_close(pool(x, mask=at.masks.lengths(LENGTHS)), pool(x, mask=COUNTS).numpy())


def test_padding_does_not_count():
    """What stands behind a sequence, NaN too, changes nothing: padded equals unpadded."""
    pool, x = randomized(at.nn.AttentionPooling(8, 2, dtype="float64")), array(3, 5, 8)
    expected = np.concatenate([pool(x[i : i + 1, :n]).numpy() for i, n in enumerate(LENGTHS)])
    assert_close(pool(np.where(COUNTS[..., None], x, 1e6), mask=COUNTS), expected)


def test_order_does_not_count():
    pool, x = randomized(at.nn.AttentionPooling(8, 2, 3, dtype="float64")), array(3, 5, 8)
    assert_close(pool(x[:, [3, 1, 4, 0, 2]]), pool(x).numpy())


def test_parameters():
    pool = at.nn.AttentionPooling(8, 2, seed=1)
    assert {name: value.shape for name, value in pool.state_dict().items()} == {
        "query": (1, 8),
        "attention.in_proj_weight": (24, 8),
        "attention.in_proj_bias": (24,),
        "attention.out_proj.weight": (8, 8),
        "attention.out_proj.bias": (8,),
    }
    assert repr(pool).startswith("AttentionPooling(d_model=8, num_heads=2")
    again = at.nn.AttentionPooling(8, 2, seed=1).state_dict()
    assert all((again[name] == value).all() for name, value in pool.state_dict().items())
    query = at.nn.AttentionPooling(64, seed=1).state_dict()["query"]
    assert 0.2 < np.abs(query).max() <= np.sqrt(6 / 65) and abs(query.mean()) < 0.15


def test_torch(torch):
    """PyTorch's attention of the same queries in every sample."""
    pool = randomized(at.nn.AttentionPooling(8, 2, 3, dtype="float64"))
    theirs = torch.nn.Module()
    theirs.query = torch.nn.Parameter(torch.zeros(3, 8, dtype=torch.float64))
    theirs.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    load_torch(theirs, pool)
    x = array(3, 5, 8)
    mine, other = at.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    out = pool(mine, mask=COUNTS)
    expected, _ = theirs.attention(
        theirs.query.expand(3, 3, 8), other, other, key_padding_mask=~torch.tensor(COUNTS), need_weights=False
    )
    assert_close(out, expected.detach().numpy())
    d_out = upstream(out)
    out.backward(d_out)
    expected.backward(torch.tensor(d_out))
    assert_close(mine.grad, other.grad.numpy())
    named = dict(theirs.named_parameters())
    scale = max(float(p.grad.abs().max()) for p in named.values())
    for name, gradient in gradients(pool).items():
        assert_close(gradient, named[name].grad.numpy(), scale=scale, what=name)


def test_in_a_model_that_is_trained():
    """Which sample holds the marked vector: the query learns to look for it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((128, 6, 8)).astype(np.float32)
    target = rng.integers(0, 2, 128)
    x[np.arange(128), rng.integers(0, 6, 128), 0] += 4 * target
    model = at.nn.Sequential(at.nn.AttentionPooling(8, 2, seed=0), at.nn.Linear(8, 2, seed=1))
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(0.02), seed=0)
    trainer.fit(x, target, epochs=30, batch_size=16, progress=False)
    assert (trainer.predict(x).argmax(-1) == target).mean() > 0.9


@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        ((0,), {}, ValueError, "d_model is 0"),
        ((8, 3), {}, ValueError, "d_model a multiple of num_heads"),
        ((8, 2, 0), {}, ValueError, "AttentionPooling: num_queries is 0 but must be 1 or more"),
        ((8, 2, -1), {}, ValueError, "AttentionPooling: num_queries is -1"),
        ((8, 2, 2**60), {}, (MemoryError, ValueError), "memory|too large"),
        ((8, 2, 1.5), {}, TypeError, "AttentionPooling: num_queries is a float"),
        ((8, 2), {"dropout": 1.0}, ValueError, "dropout is 1"),
    ],
)
def test_wrong_constructions(arguments, options, error, says):
    with pytest.raises(error, match=says):
        at.nn.AttentionPooling(*arguments, **options)


def test_wrong_calls():
    pool = at.nn.AttentionPooling(8, 2)
    x = array(3, 5, 8, dtype=np.float32)
    with pytest.raises(ValueError, match=r"^AttentionPooling: x has shape \(5, 8\)"):
        pool(x[0])
    with pytest.raises(ValueError, match=r"^AttentionPooling: x has 7 features"):
        pool(x[..., :7])
    with pytest.raises(TypeError, match=r"^AttentionPooling: x has dtype float64"):
        pool(x.astype(np.float64))
    with pytest.raises(ValueError, match=r"^AttentionPooling: mask has shape \(5, 3\) but must be \(3, 5\)"):
        pool(x, mask=COUNTS.T)
    with pytest.raises(TypeError, match=r"^AttentionPooling: mask has dtype float32 but must be bool"):
        pool(x, mask=COUNTS.astype(np.float32))

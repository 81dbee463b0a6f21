"""Heads: what each is worth, and models from which some are gone."""

import numpy as np
import pytest

import attendo as at

LOSS = at.losses.CrossEntropy()
prune = at.compress.prune
RNG = np.random.default_rng


def classifier(**options):
    options = {"pooling": "mean", "dtype": "float64", "seed": 0, **options}
    return at.models.EncoderClassifier(20, 12, 3, 2, 7, 4, **options).eval()


def batch(count=6):
    rng = RNG(0)
    return rng.integers(0, 20, (count, 7)), rng.integers(0, 4, count)


def without(model, name, heads):
    """The model with the outputs of some heads multiplied by zero."""
    state = model.state_dict()
    weight = state[f"{name}.out_proj.weight"]
    features = weight.shape[1] // 3
    for head in heads:
        weight[:, head * features : (head + 1) * features] = 0
    other = type(model)(**model.config)
    other.load_state_dict(state)
    return other.eval()


NAMES = [f"text.encoder.layers.{n}.self_attn" for n in range(2)]


def test_a_pruned_model_is_the_whole_one_with_heads_at_zero():
    model, (ids, _) = classifier(), batch()
    worth = {NAMES[0]: [3.0, 1.0, 2.0], NAMES[1]: [0.0, 5.0, 4.0]}
    smaller = prune.heads(model, 2, worth)
    want = without(without(model, NAMES[0], [1]), NAMES[1], [0])(ids).numpy()
    np.testing.assert_allclose(smaller(ids).numpy(), want, rtol=0, atol=1e-13)
    assert np.abs(want - model(ids).numpy()).max() > 1e-3
    one = prune.heads(model, 0.4, worth)  # a share of three heads
    want = without(without(model, NAMES[0], [1, 2]), NAMES[1], [0, 2])(ids).numpy()
    np.testing.assert_allclose(one(ids).numpy(), want, rtol=0, atol=1e-13)
    layer = dict(smaller.named_modules())[NAMES[0]]
    assert (layer.num_heads, layer.head_dim, smaller.training) == (2, 4, False)


def test_all_heads_kept_is_the_same_model():
    model, (ids, y) = classifier(), batch()
    model.classifier.requires_grad_(False)
    same = prune.heads(model, 3, prune.head_importance(model, LOSS, ids, y))
    np.testing.assert_array_equal(same(ids).numpy(), model(ids).numpy())
    assert not same.classifier.weight.requires_grad and same.text.embedding.weight.requires_grad


def test_it_is_saved_and_loaded_as_any(tmp_path):
    model, (ids, y) = classifier(), batch()
    smaller = prune.heads(model, 1, prune.head_importance(model, LOSS, ids, y))
    smaller.save(tmp_path / "small.safetensors")
    again = at.load(tmp_path / "small.safetensors")
    np.testing.assert_array_equal(again(ids).numpy(), smaller(ids).numpy())
    assert (tmp_path / "small.safetensors").stat().st_size < 8 * model.num_parameters()


@pytest.mark.parametrize(
    "make",
    [
        lambda: at.models.DecoderLM(20, 12, 3, 2, max_len=7, seed=0),
        lambda: at.models.TextEncoder(20, 12, 3, 2, max_len=7, seed=0),
        lambda: at.models.MaskedLM(20, 12, 3, 2, max_len=7, seed=0),
        lambda: at.models.Transformer(12, 3, 1, 2, 16, 20, 20, max_len=7, seed=0),
        lambda: at.models.VisionTransformer(6, 3, 12, 3, 2, in_channels=1, num_classes=4, seed=0),
    ],
)
def test_other_models(make):
    model = make().eval()
    x = (RNG(0).random((2, 1, 6, 6)).astype("float32"),) if "image_size" in model.config else batch()[:1]
    x = 2 * x if "nhead" in model.config else x
    names = [n for n, one in model.named_modules() if isinstance(one, at.nn.MultiHeadAttention)]
    smaller = prune.heads(model, 1, {name: np.arange(3.0) for name in names})
    wanted = model
    for name in names:
        wanted = without(wanted, name, [0, 1])
    np.testing.assert_allclose(smaller(*x).numpy(), wanted(*x).numpy(), rtol=0, atol=1e-5)
    assert smaller.num_parameters() < model.num_parameters()


def test_importance_is_the_slope_of_the_loss_in_each_sample():
    model, (ids, y) = classifier(), batch()
    worth = prune.head_importance(model, LOSS, ids, y)
    step = 1e-5
    for name in NAMES:
        for head in range(3):
            slopes = []
            for one in range(len(ids)):
                values = []
                for factor in (1 + step, 1 - step):
                    state = model.state_dict()
                    state[f"{name}.out_proj.weight"][:, head * 4 : head * 4 + 4] *= factor
                    other = classifier()
                    other.load_state_dict(state)
                    values.append(LOSS(other(ids[one : one + 1]), y[one : one + 1]).item())
                slopes.append(abs(values[0] - values[1]) / (2 * step))
            np.testing.assert_allclose(worth[name][head], np.mean(slopes), rtol=1e-6, atol=1e-10)


def test_importance_by_ablation_is_the_loss_without_the_head():
    model, (ids, y) = classifier(), batch()
    whole = LOSS(model(ids), y).item()
    for size in (None, 4):
        worth = prune.head_importance(model, LOSS, ids, y, method="ablation", batch_size=size)
        for name in NAMES:
            want = [LOSS(without(model, name, [head])(ids), y).item() - whole for head in range(3)]
            np.testing.assert_allclose(worth[name], want, rtol=0, atol=1e-13)


@pytest.mark.parametrize("method", ["gradient", "ablation"])
def test_a_head_that_does_nothing_is_worth_nothing_and_goes_first(method):
    model, (ids, y) = classifier(), batch()
    idle = without(without(model, NAMES[0], [2]), NAMES[1], [1])
    worth = prune.head_importance(idle, LOSS, ids, y, method=method)
    assert worth[NAMES[0]][2] == 0 and worth[NAMES[1]][1] == 0
    worth = {name: np.abs(value) for name, value in worth.items()}
    smaller = prune.heads(idle, 2, worth)
    np.testing.assert_allclose(smaller(ids).numpy(), idle(ids).numpy(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("method", ["gradient", "ablation"])
def test_measuring_leaves_no_trace(method):
    model, (ids, y) = classifier(dropout=0.3), batch()
    model.train()
    before = model.state_dict()
    prune.head_importance(model, LOSS, ids, y, method=method)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert model.training and all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [{}, {"kdim": 5, "vdim": 6}, {"head_dim": 3, "value_dim": 2}])
def test_a_layer(bias, sizes):
    layer = at.nn.MultiHeadAttention(8, 4, bias=bias, dtype="float64", seed=0, **sizes)
    rng = RNG(1)
    q, k, v = (rng.normal(size=(2, 5, sizes.get(name, 8))) for name in ("q", "kdim", "vdim"))
    smaller = prune.layer(layer, [3, 1])
    state = layer.state_dict()
    features = sizes.get("value_dim", 2)
    for head in (0, 2):
        state["out_proj.weight"][:, head * features : (head + 1) * features] = 0
    layer.load_state_dict(state)
    np.testing.assert_allclose(smaller(q, k, v).numpy(), layer(q, k, v).numpy(), rtol=0, atol=1e-13)
    _, weights = smaller(q, k, v, return_weights=True)
    assert weights.shape == (2, 2, 5, 5)


def test_bad_calls():
    model, (ids, y) = classifier(), batch()
    layer = at.nn.MultiHeadAttention(8, 4, seed=0)
    worth = prune.head_importance(model, LOSS, ids, y)
    for keep in ([], [4], [-1], [1, 1]):
        with pytest.raises(ValueError, match="must be different heads of 0 to 3"):
            prune.layer(layer, keep)
    for count in (0, 4, 1.5, -1):
        with pytest.raises(ValueError, match=f"keep is {count} but must be 1 to 3"):
            prune.heads(model, count, worth)
    with pytest.raises(ValueError, match=r"4 heads share 2 key-value heads"):
        prune.layer(at.nn.MultiHeadAttention(8, 4, num_kv_heads=2), [0])
    with pytest.raises(ValueError, match="importance has no"):
        prune.heads(model, 1, {})
    with pytest.raises(ValueError, match=r"has shape \(2,\), not \(3,\)"):
        prune.heads(model, 1, {name: np.ones(2) for name in NAMES})
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=f"heads: importance of '{NAMES[1]}' holds NaN or inf"):
            prune.heads(model, 1, {NAMES[0]: np.ones(3), NAMES[1]: [1.0, bad, 0.0]})
    with pytest.raises(ValueError, match="MultiHeadAttention has no config"):
        prune.heads(layer, 1, {"": np.ones(4)})
    with pytest.raises(ValueError, match=r"Linear has no attendo\.nn\.MultiHeadAttention"):
        prune.heads(at.nn.Linear(2, 2), 1, {})
    shared = at.models.Transformer(12, 3, 1, 1, 16, 12, 12, max_len=9, positions="t5", seed=0)
    attention = [n for n, one in shared.named_modules() if isinstance(one, at.nn.MultiHeadAttention)]
    with pytest.raises(ValueError, match="src_relative_bias is of all heads of a model"):
        prune.heads(shared, 1, {name: np.ones(3) for name in attention})
    with pytest.raises(ValueError, match="no samples"):
        prune.head_importance(model, LOSS, ids[:0], y[:0])
    with pytest.raises(ValueError, match="method is 'taylor'"):
        prune.head_importance(model, LOSS, ids, y, method="taylor")
    with pytest.raises(ValueError, match="head_importance: batch_size is 0"):
        prune.head_importance(model, LOSS, ids, y, batch_size=0)

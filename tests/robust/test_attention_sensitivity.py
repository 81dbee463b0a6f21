"""attention_sensitivity: closed forms, small noise, every model that gives weights."""

import numpy as np
import pytest

import attendo as at

RNG = np.random.default_rng


def two_keys(x):
    """Weights of two keys, (B, 1, 1, 2): softmax of (x, 0)."""
    p = 1 / (1 + np.exp(-x[:, 0]))
    return np.stack([p, 1 - p], axis=-1)[:, None, None]


def test_closed_form_of_two_keys():
    x = np.full((50000, 1), 0.7)
    p = 1 / (1 + np.exp(-0.7))
    s = 1e-3
    found = at.robust.attention_sensitivity(two_keys, x, s, trials=3)
    # TV = |Δp| = p (1 - p) s |n|, E|n| = √(2/π);  JS = Δp² / (8 p (1 - p))
    np.testing.assert_allclose(found.total_variation[0], p * (1 - p) * s * np.sqrt(2 / np.pi), rtol=0.02)
    np.testing.assert_allclose(found.jensen_shannon[0], p * (1 - p) * s**2 / 8, rtol=0.03)


def test_opposite_weights_are_as_far_apart_as_can_be():
    sure = lambda x: np.where(x[..., None] > 0, [1.0, 0.0], [0.0, 1.0])[:, None]  # noqa: E731

    def flip(inputs, targets, rng):
        return (-inputs[0],), targets

    found = at.robust.attention_sensitivity(sure, np.ones((3, 5)), flip)
    np.testing.assert_array_equal(found.total_variation[0], np.ones((5, 1)))
    np.testing.assert_allclose(found.jensen_shannon[0], np.log(2), rtol=1e-15)


def layers(x):
    """Two layers of attention as a function: weights (B, 2, 5, 5) and (B, 5, 5)."""
    heads = x.reshape(len(x), 5, 2, 4).swapaxes(1, 2)
    _, first = at.attention(heads, heads, heads, return_weights=True)
    _, second = at.attention(3 * x, 3 * x, x, return_weights=True)
    return first, second


def test_zero_at_zero_noise_linear_at_small_noise():
    x = RNG(1).normal(size=(6, 5, 8))
    none, small, twice = (at.robust.attention_sensitivity(layers, x, s) for s in (0.0, 1e-4, 2e-4))
    assert small.names == ("weights[0]", "weights[1]")
    assert [tv.shape for tv in small.total_variation] == [(5, 2), (5, 1)]
    for layer in range(2):
        assert (none.total_variation[layer] == 0).all() and (none.jensen_shannon[layer] == 0).all()
        tv = twice.total_variation[layer] / small.total_variation[layer]
        np.testing.assert_allclose(tv, 2, rtol=2e-3)
        np.testing.assert_allclose(twice.jensen_shannon[layer] / small.jensen_shannon[layer], 4, rtol=5e-3)


def test_a_few_samples_at_a_time_and_the_seed():
    x = RNG(1).normal(size=(6, 5, 8))
    whole, pieces, again, other = (
        at.robust.attention_sensitivity(layers, x, 0.1, batch_size=size, seed=seed)
        for size, seed in ((64, 0), (4, 0), (64, 0), (64, 1))
    )
    for layer in range(2):
        np.testing.assert_allclose(whole.total_variation[layer], pieces.total_variation[layer], rtol=1e-12)
        np.testing.assert_array_equal(whole.jensen_shannon[layer], again.jensen_shannon[layer])
        assert (whole.jensen_shannon[layer] != other.jensen_shannon[layer]).all()


def test_rows_that_do_not_count():
    x = RNG(1).normal(size=(3, 6, 4))
    mask = np.arange(6) < np.array([6, 3, 1])[:, None]

    def weights(x, mask):
        pair = mask[:, :, None] & mask[:, None, :]
        return at.attention(x, x, x, mask=pair, return_weights=True)[1]

    found = at.robust.attention_sensitivity(weights, (x, mask), 0.3)
    # Padded queries have no weights: the mean is over 6 + 3 + 1 rows, one of which cannot move.
    noise = [at.robust.attention_sensitivity(weights, (x, mask), 0.3, queries=mask)]
    np.testing.assert_allclose(found.total_variation[0], noise[0].total_variation[0], rtol=1e-12)
    one = np.zeros_like(mask)
    one[2, 0] = True  # a query with a single key
    single = at.robust.attention_sensitivity(weights, (x, mask), 0.3, queries=one)
    assert (single.total_variation[0] == 0).all()


def test_models():
    rng = RNG(0)
    images = rng.random((3, 1, 8, 8)).astype(np.float32)
    model = at.models.VisionTransformer(8, 4, 8, 2, 3, in_channels=1, num_classes=2, dropout=0.5, seed=0)
    model.train()
    found = at.robust.attention_sensitivity(model, images, 0.1)
    assert found.names == ("attentions[0]", "attentions[1]", "attentions[2]") and model.training
    assert all(tv.shape == (5, 2) and (tv > 0).all() for tv in found.total_variation)
    assert len(found.rows()) == 6 and len(str(found).splitlines()) == 7
    cnn = at.models.CnnAttention(in_channels=1, num_classes=3, image_size=8, seed=0)
    assert at.robust.attention_sensitivity(cnn, images, 0.1).names == ("weights",)
    layer = at.nn.MultiHeadAttention(8, 2, seed=0)
    x = rng.normal(size=(2, 5, 8)).astype(np.float32)
    assert at.robust.attention_sensitivity(layer, (x, x, x), 0.1).total_variation[0].shape == (5, 2)


def test_models_of_text_with_hidden_words():
    ids = RNG(0).integers(1, 10, (4, 7))
    hide = at.augment.MaskTokens(0.3, mask_id=11)
    translator = at.models.Transformer(8, 2, 1, 2, 16, 12, 12, max_len=9, seed=0)
    found = at.robust.attention_sensitivity(translator, (ids, ids), hide)
    assert found.names == (
        "encoder_attentions[0]",
        "decoder_attentions[0]",
        "decoder_attentions[1]",
        "cross_attentions[0]",
        "cross_attentions[1]",
    )
    assert (found.total_variation[0] > 0).all() and (found.total_variation[3] > 0).all()
    assert (found.total_variation[1] == 0).all()  # the first layer of the decoder does not see the source
    words = at.models.LstmAttention(12, 8, 6, 2, seed=0)
    assert at.robust.attention_sensitivity(words, ids, hide).names == ("weights",)


X = np.ones((2, 5, 8))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda f: f(layers, X, -1.0), ValueError, r"noise is -1\.0 but must be 0 or more"),
        (lambda f: f(layers, X[:0], 0.1), ValueError, "no samples"),
        (lambda f: f(layers, X, 0.1, trials=0), ValueError, "trials is 0"),
        (lambda f: f(layers, X, 0.1, input=1), ValueError, "input is 1 but there are 1 inputs"),
        (lambda f: f(layers, X.astype(int), 0.1), TypeError, "dtype int64 .* an augmentation"),
        (lambda f: f(lambda x: x[0, 0], X, 0.1), ValueError, r"weights has shape \(8,\)"),
        (lambda f: f(lambda x: (), X, 0.1), ValueError, "gave no weights"),
        (lambda f: f(layers, X, 0.1, queries=np.ones((2, 5))), ValueError, "queries is float64"),
        (lambda f: f(layers, X, 0.1, queries=np.ones((2, 4), bool)), ValueError, "4 queries but"),
        (lambda f: f(at.nn.Linear(8, 2, dtype="float64"), X, 0.1), TypeError, "Linear has neither"),
        (lambda f: f(lambda x: x, X, lambda i, t, r: ((i[0][:, :2],), t)), ValueError, "under noise"),
    ],
)
def test_bad_calls(call, error, said):
    with pytest.raises(error, match=said):
        call(at.robust.attention_sensitivity)

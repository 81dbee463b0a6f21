"""The articles' own numbers on attention: what is right, and that what they print or describe is not."""

import numpy as np
import pytest

import attendo as at
from tolerance import assert_close, assert_same_bits

E = np.e


def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


# ---------------------------------------------------------------------------- 000 §3.1-3.2: by hand, two ways


def test_000_3_1_pools_and_3_2_attends():
    rng = np.random.default_rng(0)
    q, k, v = rng.standard_normal((3, 5, 4))
    # §3.1: one weight a position, one vector for all.
    alpha = np.exp(np.sum(q * k, axis=-1))
    alpha /= alpha.sum()
    out, weights = at.functional.pooled(q, k, v, return_weights=True)
    assert_close(weights, alpha)
    assert_close(out, alpha @ v)
    # §3.2: one weight a pair, one vector a position. Positions are rows: Q Kᵀ; Qᵀ K compares features.
    assert_close(at.attention(q, k, v, score="dot"), softmax(q @ k.T, axis=-1) @ v)
    assert (q.T @ k).shape == (4, 4)
    with pytest.raises(ValueError, match="matmul"):
        softmax(q.T @ k, axis=-1).T @ v


# -------------------------------------------------------------------------- 000 §5.2: the layer over features


def test_000_5_2_lacks_the_transpose_and_attends_over_the_batch():
    rng = np.random.default_rng(0)
    layer = at.nn.Attention(6, 4, dtype="float64", seed=0)

    def projected(x, name):
        weight, bias = (getattr(getattr(layer, name), n).numpy() for n in ("weight", "bias"))
        return x @ weight.T + bias

    def article(x, transpose):
        q, k, v = (projected(x, name) for name in ("W_Q", "W_K", "W_V"))
        return projected(softmax(q @ (k.T if transpose else k), axis=-1) @ v, "fc")

    batch = rng.standard_normal((3, 6))  # one vector a sample, as its CNN gives
    with pytest.raises(ValueError, match="matmul"):
        article(batch, transpose=False)
    article(rng.standard_normal((4, 6)), transpose=False)  # only a batch as large as out_dim goes through
    # With the transpose the samples still answer for each other:
    assert (np.abs(article(batch, True)[0] - article(batch[:1], True)[0]) > 1e-3).any()
    # Over the positions of each sample they do not.
    x = rng.standard_normal((3, 5, 6))
    assert_close(layer(x).numpy()[0], layer(x[:1]).numpy()[0])


# --------------------------------------------------------------- 001 §4.3: X = [1, 2, 3, 4], Y = [5, 6, 7, 8]

X, Y = np.array([1.0, 2, 3, 4]), np.array([5.0, 6, 7, 8])


def test_001_4_3_queries_y_over_keys_x():
    out, weights = at.attention(Y[:, None], X[:, None], X[:, None], score="dot", return_weights=True)
    scores = np.outer(X, Y)  # the article's matrix, [[5, 6, 7, 8], …, [20, 24, 28, 32]]
    assert scores[0].tolist() == [5, 6, 7, 8] and scores[3].tolist() == [20, 24, 28, 32]
    expected = softmax(scores, axis=0)  # for each query a distribution over the keys: down the columns
    assert_close(weights, expected.T)
    assert_close(out[:, 0], X @ expected)
    # By hand, for y = 5: the weights fall by a factor e⁵ from one x to the one before.
    r = np.exp(-5.0)
    assert_close(out[0, 0], np.array((4 + 3 * r + 2 * r**2 + r**3) / (1 + r + r**2 + r**3)))
    assert 3.99 < out[0, 0] < out[3, 0] < 4


def test_001_4_3_softmax_along_the_other_axis_is_no_mean_of_x():
    """Rows that sum to one over the queries: what each key gives is shared out among them."""
    shared = softmax(np.outer(X, Y), axis=1)
    out = X @ shared
    assert (shared.sum(axis=0) > 1).any()
    assert out[3] > X.max()  # outside of what is averaged


# -------------------------------------------------------------------------- 001 §5.2-5.4: the ten-column test


def article_layer(x):
    score = np.sum(x * x, axis=1)[:, None]  # (32, 1)
    weights = softmax(score, axis=1)  # over an axis of length 1
    return np.sum(weights * x, axis=1), weights


def test_001_5_2_returns_row_sums():
    x = np.random.default_rng(0).standard_normal((32, 10))
    out, weights = article_layer(x)
    assert_same_bits(weights, np.ones((32, 1)))
    assert_close(out, x.sum(axis=1))
    assert out.shape == (32,)


def test_001_5_4_the_printed_figures_are_not_its_output():
    printed = [
        0.3136229,
        0.5357238,
        0.1096706,
        0.0216351,
        0.2707135,
        0.5782275,
        0.1099135,
        0.0189849,
        0.3910463,
    ]
    printed.append(0.2098689)
    assert len(printed) == 10  # for a shape that is said to be (32,)
    assert abs(sum(printed) - 1) > 1  # nor are they weights
    # Row sums of normal numbers are negative half of the time: ten between 0 and 0.6 do not happen.
    sums = np.random.default_rng(0).standard_normal((20000, 10, 10)).sum(axis=-1)
    assert np.mean(((sums > 0) & (sums < 0.6)).all(axis=-1)) < 1e-3


@pytest.mark.parametrize("w", [1.0, -0.7])
def test_001_5_2_meant(w):
    """Ten columns are ten positions of one feature: W compares, softmax runs over positions, shape (32,)."""
    x = np.random.default_rng(0).standard_normal((32, 10))
    layer = at.nn.AttentionLayer(1, score_mode="pooled", dtype="float64")
    layer.W.assign([w])
    out, weights = layer(x[:, :, None], return_weights=True)
    alpha = softmax(w * x * x, axis=1)
    assert_close(weights, alpha)
    assert_close(out.numpy()[:, 0], np.sum(alpha * x, axis=1))
    assert (np.abs(out.numpy()[:, 0] - article_layer(x)[0]) > 1e-3).any()
    out.sum().backward()
    assert abs(layer.W.grad.item()) > 1e-3  # W is used


# ------------------------------------------------------------------------------ 004 §4.3: three one-hot words

WORDS = np.eye(3)  # 我, 爱, 北京天安门


def test_004_4_3_weights_of_three_one_hot_words():
    assert_same_bits(WORDS @ WORDS.T, np.eye(3))  # the article's a_ij, which it takes for the weights
    out, weights = at.attention(WORDS, WORDS, WORDS, score="dot", return_weights=True)
    expected = (np.eye(3) * (E - 1) + 1) / (
        E + 2
    )  # e/(e+2) = 0.576 on the diagonal, 1/(e+2) = 0.212 beside it
    assert_close(weights, expected)
    assert_close(out, expected)
    assert_close(weights.sum(axis=-1), np.ones(3))
    r = np.exp(1 / np.sqrt(3))
    _, scaled = at.attention(WORDS, WORDS, WORDS, return_weights=True)
    assert_close(scaled, (np.eye(3) * (r - 1) + 1) / (r + 2))


def test_004_4_3_the_formula_of_p_is_no_softmax():
    """p_j = e_jᵀ v / Σ_k e_kᵀ v gives (1, 0, 0) because v = e_1 has one entry, which is 1."""
    v = WORDS[0]
    p = (WORDS @ v) / (WORDS @ v).sum()
    assert_same_bits(p, np.array([1.0, 0.0, 0.0]))
    assert_close(at.functional.softmax(WORDS @ v), np.array([E, 1, 1]) / (E + 2))
    negative = np.array([0.5, -0.6, 0.0])  # a vector whose p is not even a distribution
    p = (WORDS @ negative) / (WORDS @ negative).sum()
    assert p.min() < 0 or p.max() > 1

"""The reference against numbers worked out on paper, in the papers and in the articles."""

import math

import numpy as np
import pytest

from attendo import reference

SQRT_HALF = 1 / math.sqrt(2)


def close(actual: object, expected: object, digits: int = 12) -> None:
    """Equal to the digits written down."""
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=0, atol=0.6 * 10.0**-digits)


def test_softmax_of_1_2_3() -> None:
    # e^-2, e^-1, 1 divided by 1.503214724
    close(reference.softmax(np.array([1.0, 2.0, 3.0])), [0.09003057, 0.24472847, 0.66524096], 8)
    close(reference.log_softmax(np.array([1.0, 2.0, 3.0])), [-2.40760596, -1.40760596, -0.40760596], 8)


def test_softmax_gradient_of_two() -> None:
    # y = (1/4, 3/4); dy = (1, 0): dx_0 = 1/4 (1 - 1/4), dx_1 = 3/4 (0 - 1/4)
    (d_x,) = reference.softmax_backward(np.array([1.0, 0.0]), np.array([0.0, math.log(3)]))
    close(d_x, [3 / 16, -3 / 16])


def test_linear() -> None:
    # (1·1 + 2·0 + 3·(-1) + 10, 1·2 + 2·2 + 3·2 + 20)
    y = reference.linear(
        np.array([1.0, 2.0, 3.0]), np.array([[1.0, 0.0, -1.0], [2.0, 2.0, 2.0]]), np.array([10.0, 20.0])
    )
    close(y, [8, 32])


def test_layer_norm_of_1_2_3() -> None:
    # μ = 2, σ² = 2/3, so x̂ = (-1, 0, 1) √(3/2)
    y = reference.layer_norm(
        np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 2.0]), np.array([0.0, 5.0, 0.0]), 0.0
    )
    close(y, [-math.sqrt(1.5), 5, 2 * math.sqrt(1.5)])


def test_batch_norm() -> None:
    # channel 0: 1, 3: μ = 2, σ² = 1, unbiased 2;  channel 1: 0, 8: μ = 4, σ² = 16, unbiased 32
    x = np.array([[1.0, 0.0], [3.0, 8.0]])
    mean, var = np.zeros(2), np.ones(2)
    weight, bias = np.array([1.0, 2.0]), np.array([0.0, 1.0])
    close(reference.batch_norm(x, weight, bias, mean, var, training=True, eps=0.0), [[-1, -1], [1, 3]])
    close(reference.batch_norm(x, weight, bias, mean, var, training=False, eps=0.0), [[1, 1], [3, 17]])
    new_mean, new_var = reference.batch_norm_running(x, mean, var, momentum=0.1)
    close(new_mean, [0.2, 0.4])
    close(new_var, [1.1, 4.1])
    with pytest.raises(ValueError, match="more than one value per channel"):
        reference.batch_norm_running(x[:1], mean, var)


def test_dropout_scales_what_it_keeps() -> None:
    x = np.array([1.0, np.nan, 3.0])
    close(reference.dropout(x, np.array([True, False, True]), 0.75), [4, 0, 12])
    close(reference.dropout(x, np.zeros(3, dtype=bool), 1), [0, 0, 0])


def test_activations() -> None:
    x = np.array([-1.0, 0.0, 1.0])
    close(reference.relu(x), [0, 0, 1])
    close(reference.gelu(x), [-0.15865525, 0, 0.84134475], 8)  # x Φ(x), Φ(1) = 0.84134475
    close(reference.gelu(x, "tanh"), [-0.15880801, 0, 0.84119199], 8)
    close(reference.sigmoid(np.array([0.0, math.log(3), -800.0, 800.0])), [0.5, 0.75, 0, 1])
    close(reference.tanh(np.array([math.log(2)])), [0.6])  # (2 - 1/2) / (2 + 1/2)


def test_relu_at_the_kink_and_max_at_a_tie() -> None:
    (d_x,) = reference.relu_backward(np.ones(3), np.array([-1.0, 0.0, 1.0]))
    close(d_x, [0, 0, 1])
    tied = np.array([[2.0, 7.0, 7.0], [7.0, 1.0, 7.0]])
    (d_x,) = reference.max_backward(np.array(1.0), tied)
    close(d_x, [[0, 1, 0], [0, 0, 0]])
    (d_x,) = reference.max_backward(np.array([1.0, 2.0]), tied, axis=1)
    close(d_x, [[0, 1, 0], [2, 0, 0]])
    (d_x,) = reference.max_backward(np.array(1.0), np.array([[1.0, 7.0], [7.0, 0.0]]), axis=(1, 0))
    close(d_x, [[0, 1], [0, 0]])  # memory order, whatever the order of the axes
    (d_x,) = reference.max_pool2d_backward(np.ones((1, 1, 1, 1)), np.zeros((1, 1, 2, 2)), 2)
    close(d_x, [[[[1, 0], [0, 0]]]])


def test_conv2d_and_max_pool2d_of_1_to_9() -> None:
    x = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    kernel = np.array([[[[1.0, 0.0], [0.0, -1.0]]]])
    close(reference.conv2d(x, np.ones((1, 1, 2, 2)), np.array([0.5])), [[[[12.5, 16.5], [24.5, 28.5]]]])
    close(reference.conv2d(x, kernel), np.full((1, 1, 2, 2), -4.0))  # not flipped: x[i, j] - x[i+1, j+1]
    close(reference.conv2d(x, kernel, stride=2, padding=1), [[[[-1, -3], [-7, -4]]]])
    close(reference.max_pool2d(x, 2, stride=1), [[[[5, 6], [8, 9]]]])
    close(reference.max_pool2d(-x, 3, stride=2, padding=1), [[[[-1, -2], [-4, -5]]]])  # padding never wins


def test_cross_entropy() -> None:
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    target = np.array([0, 1])
    close(reference.cross_entropy(logits, target, reduction="none"), [math.log(2), math.log(10)])
    close(reference.cross_entropy(logits, target), math.log(20) / 2)
    close(reference.cross_entropy(logits, np.eye(3)[target]), math.log(20) / 2)
    close(reference.cross_entropy(logits, target, ignore_index=1), math.log(2))
    close(reference.cross_entropy(logits, target, ignore_index=1, reduction="sum"), math.log(2))
    # ε = 0.3: the target of row 0 is (0.8, 0.1, 0.1)
    smooth = reference.cross_entropy(logits, target, label_smoothing=0.3, reduction="none")
    close(smooth[0], 0.8 * math.log(2) + 0.2 * math.log(4))
    (d_logits,) = reference.cross_entropy_backward(np.array(1.0), logits, target)
    close(d_logits, [[-0.25, 0.125, 0.125], [0.05, -0.45, 0.4]])  # (p - onehot) / 2


def test_cross_entropy_with_every_row_ignored_is_zero() -> None:
    logits = np.array([[1.0, np.nan], [np.inf, 0.0]])
    target = np.array([-1, -1])
    with np.errstate(invalid="ignore"):
        close(reference.cross_entropy(logits, target, ignore_index=-1), 0)
        (d_logits,) = reference.cross_entropy_backward(np.array(1.0), logits, target, ignore_index=-1)
    close(d_logits, np.zeros((2, 2)))


def test_cross_entropy_of_an_impossible_class_with_no_weight() -> None:
    logits = np.array([0.0, 0.0, -np.inf])
    close(reference.cross_entropy(logits, np.array([0.5, 0.5, 0.0])), math.log(2))
    close(reference.cross_entropy(logits, np.array(1)), math.log(2))
    assert reference.cross_entropy(logits, np.array(2)) == np.inf


def test_attention_of_two_by_two() -> None:
    # scores 1 and 0 over √2: the weights are 1 / (1 + e^-0.70710678) = 0.66976155 and 0.33023845
    q = k = np.eye(2)
    v = np.array([[1.0, 2.0], [3.0, 4.0]])
    steps = reference.scaled_dot_product_steps(q, k, v)
    close(steps["scores"], np.eye(2))
    close(steps["scaled"], SQRT_HALF * np.eye(2))
    close(steps["row_max"], [[SQRT_HALF], [SQRT_HALF]])
    close(steps["exponentials"], [[1, 0.49306869], [0.49306869, 1]], 8)
    close(steps["row_sum"], [[1.49306869], [1.49306869]], 8)
    close(steps["weights"], [[0.66976155, 0.33023845], [0.33023845, 0.66976155]], 8)
    close(steps["out"], [[1.6604769, 2.6604769], [2.3395231, 3.3395231]], 7)
    close(steps["lse"], [1.10794031, 1.10794031], 8)  # 0.70710678 + log 1.49306869


def test_attention_causal_and_biased() -> None:
    q, k, v = np.zeros((3, 1)), np.zeros((3, 1)), np.array([[3.0], [6.0], [9.0]])
    causal = reference.causal_mask(3)
    out, weights, _ = reference.scaled_dot_product(q, k, v, causal)
    close(weights, [[1, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]])
    close(out, [[3], [4.5], [6]])
    _, weights, _ = reference.scaled_dot_product(q, k, v, causal, bias=np.array([0.0, math.log(3), 0.0]))
    close(weights, [[1, 0, 0], [0.25, 0.75, 0], [0.2, 0.6, 0.2]])


def test_article_001_section_4_3() -> None:
    # X = 1 … 4 and Y = 5 … 8 give the scores x_i y_j; in row i neighbouring weights have the ratio e^x_i
    x, y = np.arange(1.0, 5.0)[:, None], np.arange(5.0, 9.0)[:, None]
    steps = reference.scaled_dot_product_steps(x, y, x, scale=1.0)
    close(steps["scores"][0], [5, 6, 7, 8])
    close(steps["scores"][3], [20, 24, 28, 32])
    ratio = math.exp(-1)
    close(steps["weights"][0], np.array([ratio**3, ratio**2, ratio, 1]) / (1 + ratio + ratio**2 + ratio**3))


def test_article_004_section_4_3() -> None:
    # three one-hot words: the dot-product scores are the identity; with the softmax the article leaves out
    # the weights are e / (e + 2) and 1 / (e + 2)
    words = np.eye(3)
    steps = reference.scaled_dot_product_steps(words, words, words, scale=1.0)
    close(steps["scores"], np.eye(3))
    close(steps["weights"], (np.ones((3, 3)) + (math.e - 1) * np.eye(3)) / (math.e + 2))
    close(steps["out"], steps["weights"])


def test_article_003_section_4_3_shapes() -> None:
    x, weight = np.zeros((2, 10, 256)), np.zeros((256, 256))
    no_bias = [None, None, None, None]
    out, weights = reference.multi_head(x, x, x, weight, weight, weight, weight, *no_bias, 8)
    assert out.shape == (2, 10, 256)
    close(weights, np.full((2, 8, 10, 10), 0.1))


def test_positional_encoding() -> None:
    table = reference.sinusoidal_positional_encoding(2, 4)
    close(table[0], [0, 1, 0, 1])
    close(table[1], [0.84147098, 0.54030231, 0.00999983, 0.99995000], 8)  # sin 1, cos 1, sin 0.01, cos 0.01
    close(reference.sinusoidal_positional_encoding(2, 3)[:, 1], [1, math.cos(1)])
    close(reference.positional_encoding(np.ones((1, 1, 4)), table, offset=1)[0, 0], 1 + table[1])


def test_feed_forward() -> None:
    # h = (3, -3), relu (3, 0), y = 3·2 + 1
    y = reference.feed_forward(
        np.array([[3.0]]), np.array([[1.0], [-1.0]]), np.zeros(2), np.array([[2.0, 5.0]]), np.ones(1)
    )
    close(y, [[7]])


def test_sgd() -> None:
    theta, g, u = np.array([1.0]), np.array([2.0]), np.array([0.0])
    close(reference.sgd_step(theta, g, u, lr=0.1), [[0.8], [2]])
    close(reference.sgd_step(theta, g, u, lr=0.1, weight_decay=0.5), [[0.75], [2.5]])
    theta, u = reference.sgd_step(theta, g, u, lr=0.1, momentum=0.9)
    close(reference.sgd_step(theta, g, u, lr=0.1, momentum=0.9), [[0.42], [3.8]])  # u = 1.8 + 2
    close(reference.sgd_step(theta, g, u, lr=0.1, momentum=0.9, nesterov=True), [[0.258], [3.8]])  # 2 + 3.42


def test_adam_and_adamw() -> None:
    zero = np.array([0.0])
    theta, g = np.array([10.0]), np.array([4.0])
    new, m, v = reference.adam_step(theta, g, zero, zero, step=1, lr=0.1)
    close(
        [new, m, v], [[9.9], [0.4], [0.016]], 8
    )  # m̂ = 4, √v̂ = 4: the first step is lr, whatever the gradient
    new, m, v = reference.adam_step(new, -g, m, v, step=2, lr=0.1)
    close([m, v], [[-0.04], [0.031984]])
    close(new, [9.9 + 0.1 * (0.04 / 0.19) / 4], 8)  # v̂ = 0.031984 / 0.001999 = 16
    close(reference.adam_step(theta, g, zero, zero, 1, 0.1, weight_decay=0.5)[1], [0.9])  # g = 4 + 5
    new, m, _ = reference.adamw_step(theta, g, zero, zero, step=1, lr=0.1, weight_decay=0.5)
    close([new, m], [[9.4], [0.4]], 8)  # 10 - 0.1·0.5·10 - 0.1


def test_clip_grad_norm() -> None:
    gradients, norm = reference.clip_grad_norm([np.array([3.0]), np.array([[4.0]])], 1.0)
    assert norm == 5
    close([gradients[0][0], gradients[1][0, 0]], [0.6, 0.8], 6)
    gradients, norm = reference.clip_grad_norm([np.array([3.0, 4.0])], 10.0)
    close(gradients[0], [3, 4])


def test_schedules() -> None:
    assert reference.constant_schedule(1, 0.5) == reference.constant_schedule(99, 0.5) == 0.5
    close([reference.step_schedule(t, 1.0, 2, 0.1) for t in range(1, 6)], [1, 1, 0.1, 0.1, 0.01])
    cosine = [reference.cosine_schedule(t, 1.0, total_steps=6, warmup=2, final=0.2) for t in range(1, 8)]
    close(cosine, [0.5, 1, 0.6 + 0.4 * SQRT_HALF, 0.6, 0.6 - 0.4 * SQRT_HALF, 0.2, 0.2])
    close(reference.cosine_schedule(1, 1.0, total_steps=2), 0.5)
    # Vaswani et al. 2017: d_model 512, 4000 steps of warm-up: 1 / √(512 · 4000) at the peak
    close(reference.noam_schedule(4000, 512, 4000), 0.00069877, 8)
    close(reference.noam_schedule(1, 512, 4000), 1.7469e-7, 11)
    close(reference.noam_schedule(16000, 512, 4000, factor=2.0), 0.00069877, 8)


def test_reduce_and_shape() -> None:
    x = np.arange(6.0).reshape(2, 3)
    close(reference.sum(x, axis=0), [3, 5, 7])
    close(reference.mean(x), 2.5)
    close(reference.max(x, axis=1, keepdims=True), [[2], [5]])
    close(reference.reshape(x, (3, 2)), [[0, 1], [2, 3], [4, 5]])
    close(reference.transpose(x), [[0, 3], [1, 4], [2, 5]])
    close(reference.slice(x, (1, slice(0, 3, 2))), [3, 5])
    close(reference.concatenate([x, x[:, :1]], axis=1), [[0, 1, 2, 0], [3, 4, 5, 3]])


def test_lstm_without_weights() -> None:
    # i = f = o = 1/2 and g = tanh(b) at each step: c_1 = g / 2, c_2 = c_1 / 2 + g / 2 = 3 g / 4
    bias = np.array([0.0, 0.0, math.log(3), 0.0])  # tanh(ln 3) = (9 - 1) / (9 + 1) = 4/5
    x, w, u = np.zeros((1, 2, 1)), np.zeros((4, 1)), np.zeros((4, 1))
    out, h_n, c_n = reference.lstm(x, w, u, bias, None)
    close(out[0, :, 0], [math.tanh(0.4) / 2, math.tanh(0.6) / 2])
    close(c_n, [[0.6]])
    close(h_n[0], out[0, 1])


def test_gru_of_one_step() -> None:
    # r = z = 1/2, U_n = 1, b'_n = ln 3 and h = ln 3. After the product: r (h + b') = ln 3, tanh(ln 3) = 4/5;
    # before it: r h + b' = 3/2 ln 3, e^(2 · 3/2 ln 3) = 27
    h = math.log(3)
    bias, w, u = np.array([0.0, 0.0, h]), np.zeros((3, 1)), np.array([[0.0], [0.0], [1.0]])
    for reset_after, n in [(True, 4 / 5), (False, 26 / 28)]:
        out, _ = reference.gru(
            np.zeros((1, 1, 1)), w, u, None, bias, np.array([[h]]), reset_after=reset_after
        )
        close(out[0, 0], [n / 2 + h / 2])

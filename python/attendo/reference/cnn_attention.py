"""cnn_attention: an image classifier, convolutions and then attention over the positions of the feature map

  forward    m = pool(relu(conv1(x)))      m = pool(relu(conv2(m)))       conv 3×3, padding 1; pool 2×2
             tokens = the h w positions of m, in memory order             (B, N, channels), N = h w
             f = relu(fc1(tokens))                                        (B, N, features)
             Q = W_Q f     K = W_K f     V = W_V f                        (B, N, attention_features)
             o = attention.fc(scaled_dot_product(Q, K, V))                one head
             logits = fc((1/N) Σ_n o_n)                                   (B, num_classes)
  backward   the same path from the end, step by step; f is read three times (Q, K, V): added

x: (B, in_channels, image, image)  weights of the attention: (B, N, N).
Parameters: conv1, conv2, fc1, attention.W_Q, attention.W_K, attention.W_V, attention.fc and fc, each with
.weight and .bias.

This is article 000 §5.2, corrected.  There fc1 flattens the whole map, so that attention is left with one
vector an image and runs over the batch: an image's class depends on its neighbours, and the product q k lacks
the transpose.  Here the tokens are positions of one image, as its §3.2 and §4.3 describe.
Vaswani et al. 2017, eq. 1; LeCun et al. 1998; article 000 §5.2.
"""

import numpy as np

from ._types import Array, Parameters
from .activations import relu, relu_backward
from .conv2d import conv2d, conv2d_backward
from .linear import linear, linear_backward
from .max_pool import max_pool2d, max_pool2d_backward
from .reduce import mean, mean_backward
from .scaled_dot_product import scaled_dot_product, scaled_dot_product_backward


def _linear(x: Array, parameters: Parameters, name: str) -> Array:
    return linear(x, parameters[f"{name}.weight"], parameters[f"{name}.bias"])


def _linear_backward(d_y: Array, x: Array, parameters: Parameters, name: str, gradients: Parameters) -> Array:
    """-> d_x; the gradients of weight and bias go into gradients."""
    d_x, d_weight, d_bias = linear_backward(d_y, x, parameters[f"{name}.weight"], parameters[f"{name}.bias"])
    assert d_bias is not None
    gradients[f"{name}.weight"], gradients[f"{name}.bias"] = d_weight, d_bias
    return d_x


def _conv(x: Array, parameters: Parameters, name: str) -> Array:
    return conv2d(x, parameters[f"{name}.weight"], parameters[f"{name}.bias"], padding=1)


def _conv_backward(d_y: Array, x: Array, parameters: Parameters, name: str, gradients: Parameters) -> Array:
    """-> d_x; the gradients of weight and bias go into gradients."""
    d_x, d_weight, d_bias = conv2d_backward(
        d_y, x, parameters[f"{name}.weight"], parameters[f"{name}.bias"], padding=1
    )
    assert d_bias is not None
    gradients[f"{name}.weight"], gradients[f"{name}.bias"] = d_weight, d_bias
    return d_x


def _tokens(feature_map: Array) -> Array:
    """(B, C, h, w) -> (B, h w, C)."""
    batch, channels, height, width = feature_map.shape
    tokens: Array = np.swapaxes(feature_map.reshape(batch, channels, height * width), 1, 2)
    return tokens


def cnn_attention_steps(x: Array, parameters: Parameters) -> dict[str, Array]:
    """Every intermediate by name, among them the attention weights (B, N, N) and the logits."""
    steps: dict[str, Array] = {}
    steps["conv1"] = _conv(x, parameters, "conv1")
    steps["pool1"] = max_pool2d(relu(steps["conv1"]), 2)
    steps["conv2"] = _conv(steps["pool1"], parameters, "conv2")
    steps["pool2"] = max_pool2d(relu(steps["conv2"]), 2)  # (B, C, h, w)
    steps["tokens"] = _tokens(steps["pool2"])  # (B, N, C)
    steps["fc1"] = _linear(steps["tokens"], parameters, "fc1")
    steps["features"] = relu(steps["fc1"])  # (B, N, features)

    for name in ("Q", "K", "V"):  # (B, N, attention_features)
        steps[name] = _linear(steps["features"], parameters, f"attention.W_{name}")
    q, k, v = (steps[name][:, None] for name in ("Q", "K", "V"))  # one head
    attended, weights, _ = scaled_dot_product(q, k, v)
    steps["attended"] = attended[:, 0]
    steps["attention"] = _linear(steps["attended"], parameters, "attention.fc")

    steps["pooled"] = mean(steps["attention"], axis=1)  # (B, attention_features)
    steps["weights"] = weights[:, 0]
    steps["logits"] = _linear(steps["pooled"], parameters, "fc")
    return steps


def cnn_attention(x: Array, parameters: Parameters) -> Array:
    """x (B, in_channels, image, image) -> logits (B, num_classes)."""
    return cnn_attention_steps(x, parameters)["logits"]


def cnn_attention_backward(d_logits: Array, x: Array, parameters: Parameters) -> tuple[Array, Parameters]:
    """d_logits (B, num_classes) -> d_x like x and the gradients of the parameters by name."""
    steps = cnn_attention_steps(x, parameters)
    gradients: Parameters = {}

    d_pooled = _linear_backward(d_logits, steps["pooled"], parameters, "fc", gradients)
    (d_attention,) = mean_backward(d_pooled, steps["attention"], axis=1)
    d_attended = _linear_backward(d_attention, steps["attended"], parameters, "attention.fc", gradients)

    q, k, v = (steps[name][:, None] for name in ("Q", "K", "V"))  # one head
    d_q, d_k, d_v, _ = scaled_dot_product_backward(d_attended[:, None], q, k, v)
    d_features: Array = np.zeros_like(steps["features"])
    for name, d_projected in (("Q", d_q), ("K", d_k), ("V", d_v)):
        d_features = d_features + _linear_backward(
            d_projected[:, 0], steps["features"], parameters, f"attention.W_{name}", gradients
        )

    (d_fc1,) = relu_backward(d_features, steps["fc1"])
    d_tokens = _linear_backward(d_fc1, steps["tokens"], parameters, "fc1", gradients)
    d_pool2 = np.swapaxes(d_tokens, 1, 2).reshape(steps["pool2"].shape)  # the backward of _tokens
    (d_relu2,) = max_pool2d_backward(d_pool2, relu(steps["conv2"]), 2)
    (d_conv2,) = relu_backward(d_relu2, steps["conv2"])
    d_pool1 = _conv_backward(d_conv2, steps["pool1"], parameters, "conv2", gradients)
    (d_relu1,) = max_pool2d_backward(d_pool1, relu(steps["conv1"]), 2)
    (d_conv1,) = relu_backward(d_relu1, steps["conv1"])
    d_x = _conv_backward(d_conv1, x, parameters, "conv1", gradients)
    return d_x, gradients

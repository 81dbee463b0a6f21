"""vision_transformer: an image as a sequence of patches

  forward    x = [c | W p_1 + b | … | W p_N + b] + P             p: the patches, row by row
             y = encoder(x)                                      pre-norm, with a last norm
             pooled = y_0, or tanh(W_p y_0 + b_p) where there is a pooler, or (1/N) Σ y_n of the patches
             logits = W_c pooled + b_c
  backward   the same path from the end: linear_backward, pooler_backward, encoder_backward;
             dP = Σ_b dx,  dc = Σ_b dx_0,  dW, db and the images': conv2d_backward

images: (B, C, height, width)  patch.weight: (d, C, patch height, patch width)  c: (d,)  P: (1 + N, d)
x, y: (B, 1 + N, d)  logits: (B, classes).  W p is a convolution whose stride is its kernel.
Parameters: class_token = c, position = P, patch.(weight, bias), encoder.layers.i.*, encoder.norm.*,
classifier.(weight, bias), and pooler.(weight, bias) where there is one.
No dropout: this is the model in evaluation, or with dropout 0.
Dosovitskiy et al. 2021, eq. 1-4.
"""

import numpy as np

from ._types import Array, Parameters, prefixed, under
from .conv2d import conv2d, conv2d_backward
from .encoder_layer import encoder, encoder_backward
from .linear import linear, linear_backward
from .text_encoder import pooler, pooler_backward


def _embedded(images: Array, parameters: Parameters) -> Array:
    """-> x (B, 1 + N, d)."""
    weight = parameters["patch.weight"]
    grid = conv2d(images, weight, parameters["patch.bias"], stride=weight.shape[2:])
    patches = np.swapaxes(grid.reshape(*grid.shape[:2], -1), 1, 2)  # (B, N, d)
    first = np.broadcast_to(parameters["class_token"], (len(images), 1, len(weight)))
    x: Array = np.concatenate([first, patches], axis=1) + parameters["position"]
    return x


def _pooled(y: Array, parameters: Parameters, pooling: str) -> Array:
    if pooling == "mean":
        mean: Array = y[:, 1:].mean(axis=1)
        return mean
    return pooler(y, parameters) if "pooler.weight" in parameters else y[:, 0]


def vision_transformer(
    images: Array,
    parameters: Parameters,
    num_heads: int,
    pooling: str = "first",
    activation: str = "gelu",
    eps: float = 1e-12,
) -> Array:
    """images (B, C, height, width) -> logits (B, classes)."""
    layers = under(parameters, "encoder.")
    y, _ = encoder(_embedded(images, parameters), layers, num_heads, None, True, activation, eps)
    p = _pooled(y, parameters, pooling)
    return linear(p, parameters["classifier.weight"], parameters["classifier.bias"])


def vision_transformer_backward(
    d_logits: Array,
    images: Array,
    parameters: Parameters,
    num_heads: int,
    pooling: str = "first",
    activation: str = "gelu",
    eps: float = 1e-12,
) -> tuple[Array, Parameters]:
    """d_logits (B, classes) -> d_images and the gradients of the parameters by name."""
    layers, weight = under(parameters, "encoder."), parameters["patch.weight"]
    x = _embedded(images, parameters)
    y, _ = encoder(x, layers, num_heads, None, True, activation, eps)
    p = _pooled(y, parameters, pooling)

    d_p, d_weight, d_bias = linear_backward(
        d_logits, p, parameters["classifier.weight"], parameters["classifier.bias"]
    )
    assert d_bias is not None
    gradients: Parameters = {"classifier.weight": d_weight, "classifier.bias": d_bias}
    d_y: Array = np.zeros_like(y)
    if pooling == "mean":
        d_y[:, 1:] = d_p[:, None] / (y.shape[1] - 1)
    elif "pooler.weight" in parameters:
        d_y, d_pooler = pooler_backward(d_p, y, parameters)
        gradients |= d_pooler
    else:
        d_y[:, 0] = d_p
    d_x, d_layers = encoder_backward(d_y, x, layers, num_heads, None, True, activation, eps)
    gradients |= prefixed(d_layers, "encoder.")
    gradients["position"], gradients["class_token"] = d_x.sum(axis=0), d_x[:, 0].sum(axis=0)

    rows, columns = (images.shape[i] // weight.shape[i] for i in (2, 3))
    d_grid = np.swapaxes(d_x[:, 1:], 1, 2).reshape(len(images), len(weight), rows, columns)
    d_images, gradients["patch.weight"], d_patch_bias = conv2d_backward(
        d_grid, images, weight, parameters["patch.bias"], stride=weight.shape[2:]
    )
    assert d_patch_bias is not None
    gradients["patch.bias"] = d_patch_bias
    return d_images, gradients

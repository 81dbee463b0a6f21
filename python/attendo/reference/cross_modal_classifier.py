"""cross_modal_classifier: a text and an image that attend to each other, forward

  t = E[ids] + P_t      i = patches Wᵀ + b + P_i      (t, i) = cross_modal_attention(t, i), layer after layer
  logits = W relu(W_h [t̄, ī] + b_h) + b               t̄: mean over the words, ī: over the patches

ids: (B, L)  images: (B, C, height, width)  t: (B, L, d)  i: (B, N, d)  logits: (B, classes).
Lu et al. 2019; articles 000 §8.2, 003 §8.2, 004 §7.
"""

import numpy as np

from ._types import Array, Ids, Parameters, count_layers, under
from .conv2d import conv2d
from .cross_modal_attention import cross_modal_attention
from .embedding import embedding
from .linear import linear


def cross_modal_classifier(
    ids: Ids, images: Array, parameters: Parameters, num_heads: int, pad_id: int = 0
) -> Array:
    """-> logits (B, classes)."""
    words = ids != pad_id  # (B, L)
    words_alone = embedding(ids, parameters["embedding.weight"])
    text: Array = words_alone + parameters["position.weight"][: ids.shape[1]]
    weight = parameters["patch.weight"]
    patches = conv2d(images, weight, parameters["patch.bias"], stride=weight.shape[2:])
    rows = np.swapaxes(patches.reshape(*patches.shape[:2], -1), 1, 2)
    image: Array = rows + parameters["patch_position.weight"]
    for i in range(count_layers(parameters)):
        layer = under(parameters, f"layers.{i}.")
        text, image = cross_modal_attention(text, image, layer, num_heads, text_mask=words)[:2]
    count = np.maximum(words.sum(axis=1, keepdims=True), 1)
    mean = np.where(words[..., None], text, 0).sum(axis=1) / count
    both = np.concatenate([mean, image.mean(axis=1)], axis=1)
    hidden = np.maximum(linear(both, parameters["hidden.weight"], parameters["hidden.bias"]), 0)
    return linear(hidden, parameters["classifier.weight"], parameters["classifier.bias"])

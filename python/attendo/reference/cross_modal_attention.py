"""cross_modal_attention: two modalities, each of which attends to the other

  forward    t = W_t text + b_t                            i = W_i image + b_i
             t' = norm(t + multi_head(t, i, i))            i' = norm(i + multi_head(i, t, t))
  backward   the same path from the end; t and i are each read three times: added

text: (B, Lt, text_dim)  image: (B, Li, image_dim)  t, t': (B, Lt, d)  i, i': (B, Li, d)
text_mask (B, Lt) and image_mask (B, Li) say which positions may be attended to.
Parameters: text_proj, image_proj, text_attn, image_attn, text_norm, image_norm.
Lu et al. 2019, §2.2; articles 000 §8.2, 003 §8.2, 004 §7.
"""

from ._types import Array, Mask, Parameters, prefixed, under
from .layer_norm import layer_norm, layer_norm_backward
from .linear import linear, linear_backward
from .multi_head import multi_head_layer, multi_head_layer_backward


def _keys(mask: Mask | None) -> Mask | None:
    return None if mask is None else mask[:, None, None, :]


def cross_modal_attention(
    text: Array,
    image: Array,
    parameters: Parameters,
    num_heads: int,
    text_mask: Mask | None = None,
    image_mask: Mask | None = None,
) -> tuple[Array, Array, Array, Array]:
    """-> t' (B, Lt, d), i' (B, Li, d), weights of the text (B, H, Lt, Li) and of the image (B, H, Li, Lt)."""
    p = parameters
    t = linear(text, p["text_proj.weight"], p["text_proj.bias"])
    i = linear(image, p["image_proj.weight"], p["image_proj.bias"])
    a, text_weights = multi_head_layer(t, i, i, under(p, "text_attn."), num_heads, _keys(image_mask))
    b, image_weights = multi_head_layer(i, t, t, under(p, "image_attn."), num_heads, _keys(text_mask))
    out_t = layer_norm(t + a, p["text_norm.weight"], p["text_norm.bias"])
    out_i = layer_norm(i + b, p["image_norm.weight"], p["image_norm.bias"])
    return out_t, out_i, text_weights, image_weights


def cross_modal_attention_backward(
    d_text_out: Array,
    d_image_out: Array,
    text: Array,
    image: Array,
    parameters: Parameters,
    num_heads: int,
    text_mask: Mask | None = None,
    image_mask: Mask | None = None,
) -> tuple[Array, Array, Parameters]:
    """Gradients of t' and i' -> d_text, d_image and the gradients of the parameters by name."""
    p = parameters
    t = linear(text, p["text_proj.weight"], p["text_proj.bias"])
    i = linear(image, p["image_proj.weight"], p["image_proj.bias"])
    a, _ = multi_head_layer(t, i, i, under(p, "text_attn."), num_heads, _keys(image_mask))
    b, _ = multi_head_layer(i, t, t, under(p, "image_attn."), num_heads, _keys(text_mask))
    gradients: Parameters = {}

    def norm_backward(d_y: Array, x: Array, name: str) -> Array:
        d_x, d_weight, d_bias = layer_norm_backward(d_y, x, p[f"{name}.weight"], p[f"{name}.bias"])
        assert d_weight is not None and d_bias is not None
        gradients[f"{name}.weight"], gradients[f"{name}.bias"] = d_weight, d_bias
        return d_x

    d_t = norm_backward(d_text_out, t + a, "text_norm")
    d_i = norm_backward(d_image_out, i + b, "image_norm")
    q_t, k_i, v_i, d_attn = multi_head_layer_backward(
        d_t, t, i, i, under(p, "text_attn."), num_heads, _keys(image_mask)
    )
    gradients |= prefixed(d_attn, "text_attn.")
    q_i, k_t, v_t, d_attn = multi_head_layer_backward(
        d_i, i, t, t, under(p, "image_attn."), num_heads, _keys(text_mask)
    )
    gradients |= prefixed(d_attn, "image_attn.")
    d_t, d_i = d_t + q_t + k_t + v_t, d_i + q_i + k_i + v_i

    d_inputs = []
    for x, d, name in ((text, d_t, "text_proj"), (image, d_i, "image_proj")):
        d_x, d_weight, d_bias = linear_backward(d, x, p[f"{name}.weight"], p[f"{name}.bias"])
        assert d_bias is not None
        gradients[f"{name}.weight"], gradients[f"{name}.bias"] = d_weight, d_bias
        d_inputs.append(d_x)
    return d_inputs[0], d_inputs[1], gradients

"""decoder_layer: self-attention, cross-attention to the encoder's output, feed-forward network

  forward    post-norm (norm_first False)   a = norm1(x + self_attention(x, x, x))
                                            c = norm2(a + cross_attention(a, memory, memory))
                                            y = norm3(c + feed_forward(c))
             pre-norm  (norm_first True)    u = norm1(x)     a = x + self_attention(u, u, u)
                                            w = norm2(a)     c = a + cross_attention(w, memory, memory)
                                            y = c + feed_forward(norm3(c))
  backward   the same path from the end; where a value is used twice its gradients are added:
             post-norm   dr₃ = norm3'(dy)      dc = dr₃ + feed_forward'(dr₃)
                         dr₂ = norm2'(dc)      da = dr₂ + cross_attention'(dr₂) for the query;
                                               dmemory = its gradients for key and value, added
                         dr₁ = norm1'(da)      dx = dr₁ + self_attention'(dr₁), its three inputs added
             pre-norm    dc  = dy + norm3'(feed_forward'(dy))
                         da  = dc + norm2'(cross_attention'(dc) for the query), dmemory as above
                         dx  = da + norm1'(self_attention'(da), its three inputs added)

x, y: (..., T, d)  memory: (..., S, d)  self weights: (..., H, T, T)  cross weights: (..., H, T, S).
self_mask (as a rule causal) and cross_mask (as a rule the source's padding) broadcast to those shapes, and so
does bias, which is added to the scores of self-attention; its gradient stands among those of the parameters.
Parameters: self_attn and cross_attn, each (in_proj_weight, in_proj_bias, out_proj.weight, out_proj.bias),
feed_forward.(linear1, linear2).(weight, bias), (norm1, norm2, norm3).(weight, bias).  No dropout.

decoder: layers.0, layers.1, ... one after another, all reading the same memory, then norm, which is there
when norm_first.
Vaswani et al. 2017, §3.1; Xiong et al. 2020 (pre-norm); article 003 §5.2.
"""

import numpy as np

from ._types import Array, Mask, Parameters, count_layers, prefixed, under
from .encoder_layer import norm, norm_backward
from .feed_forward import feed_forward_layer, feed_forward_layer_backward
from .multi_head import multi_head_layer, multi_head_layer_backward, multi_head_layer_gradients


def decoder_layer(
    x: Array,
    memory: Array,
    parameters: Parameters,
    num_heads: int,
    self_mask: Mask | None = None,
    cross_mask: Mask | None = None,
    norm_first: bool = False,
    activation: str = "relu",
    eps: float = 1e-5,
    bias: Array | None = None,
    scale: float | None = None,
) -> tuple[Array, Array, Array]:
    """x (..., T, d), memory (..., S, d) -> y (..., T, d) and the self and cross weights."""
    self_attn, cross_attn = under(parameters, "self_attn."), under(parameters, "cross_attn.")
    network = under(parameters, "feed_forward.")
    norm1, norm2, norm3 = (under(parameters, f"norm{i}.") for i in (1, 2, 3))

    if norm_first:
        u = norm(x, norm1, eps)
        attended, self_weights = multi_head_layer(u, u, u, self_attn, num_heads, self_mask, bias, scale=scale)
        a: Array = x + attended
        w = norm(a, norm2, eps)
        crossed, cross_weights = multi_head_layer(
            w, memory, memory, cross_attn, num_heads, cross_mask, scale=scale
        )
        c: Array = a + crossed
        y: Array = c + feed_forward_layer(norm(c, norm3, eps), network, activation)
    else:
        attended, self_weights = multi_head_layer(x, x, x, self_attn, num_heads, self_mask, bias, scale=scale)
        a = norm(x + attended, norm1, eps)
        crossed, cross_weights = multi_head_layer(
            a, memory, memory, cross_attn, num_heads, cross_mask, scale=scale
        )
        c = norm(a + crossed, norm2, eps)
        y = norm(c + feed_forward_layer(c, network, activation), norm3, eps)
    return y, self_weights, cross_weights


def decoder_layer_backward(
    d_y: Array,
    x: Array,
    memory: Array,
    parameters: Parameters,
    num_heads: int,
    self_mask: Mask | None = None,
    cross_mask: Mask | None = None,
    norm_first: bool = False,
    activation: str = "relu",
    eps: float = 1e-5,
    bias: Array | None = None,
    scale: float | None = None,
) -> tuple[Array, Array, Parameters]:
    """d_y like x -> d_x, d_memory and the gradients of the parameters by name."""
    self_attn, cross_attn = under(parameters, "self_attn."), under(parameters, "cross_attn.")
    network = under(parameters, "feed_forward.")
    norm1, norm2, norm3 = (under(parameters, f"norm{i}.") for i in (1, 2, 3))

    if norm_first:
        u = norm(x, norm1, eps)
        attended, _ = multi_head_layer(u, u, u, self_attn, num_heads, self_mask, bias, scale=scale)
        a: Array = x + attended
        w = norm(a, norm2, eps)
        crossed, _ = multi_head_layer(w, memory, memory, cross_attn, num_heads, cross_mask, scale=scale)
        c: Array = a + crossed

        d_u_3, d_network = feed_forward_layer_backward(d_y, norm(c, norm3, eps), network, activation)
        d_branch, d_norm3 = norm_backward(d_u_3, c, norm3, eps)
        d_c = d_y + d_branch
        d_w, d_key, d_value, d_cross_attn = multi_head_layer_backward(
            d_c, w, memory, memory, cross_attn, num_heads, cross_mask, scale=scale
        )
        d_memory = d_key + d_value
        d_branch, d_norm2 = norm_backward(d_w, a, norm2, eps)
        d_a = d_c + d_branch
        d_query, d_key, d_value, d_self_attn, d_bias = multi_head_layer_gradients(
            d_a, u, u, u, self_attn, num_heads, self_mask, bias, scale=scale
        )
        d_branch, d_norm1 = norm_backward(d_query + d_key + d_value, x, norm1, eps)
        d_x = d_a + d_branch
    else:
        attended, _ = multi_head_layer(x, x, x, self_attn, num_heads, self_mask, bias, scale=scale)
        a = norm(x + attended, norm1, eps)
        crossed, _ = multi_head_layer(a, memory, memory, cross_attn, num_heads, cross_mask, scale=scale)
        c = norm(a + crossed, norm2, eps)
        r_3 = c + feed_forward_layer(c, network, activation)

        d_r_3, d_norm3 = norm_backward(d_y, r_3, norm3, eps)
        d_branch, d_network = feed_forward_layer_backward(d_r_3, c, network, activation)
        d_r_2, d_norm2 = norm_backward(d_r_3 + d_branch, a + crossed, norm2, eps)
        d_branch, d_key, d_value, d_cross_attn = multi_head_layer_backward(
            d_r_2, a, memory, memory, cross_attn, num_heads, cross_mask, scale=scale
        )
        d_memory = d_key + d_value
        d_r_1, d_norm1 = norm_backward(d_r_2 + d_branch, x + attended, norm1, eps)
        d_query, d_key, d_value, d_self_attn, d_bias = multi_head_layer_gradients(
            d_r_1, x, x, x, self_attn, num_heads, self_mask, bias, scale=scale
        )
        d_x = d_r_1 + d_query + d_key + d_value

    d_parameters = (
        prefixed(d_self_attn, "self_attn.")
        | prefixed(d_cross_attn, "cross_attn.")
        | prefixed(d_network, "feed_forward.")
        | prefixed(d_norm1, "norm1.")
        | prefixed(d_norm2, "norm2.")
        | prefixed(d_norm3, "norm3.")
    )
    if bias is not None and d_bias is not None:
        d_parameters["bias"] = d_bias
    return d_x, d_memory, d_parameters


def decoder(
    x: Array,
    memory: Array,
    parameters: Parameters,
    num_heads: int,
    self_mask: Mask | None = None,
    cross_mask: Mask | None = None,
    norm_first: bool = False,
    activation: str = "relu",
    eps: float = 1e-5,
    bias: Array | None = None,
    scale: float | None = None,
) -> tuple[Array, list[Array], list[Array]]:
    """x (..., T, d), memory (..., S, d) -> y (..., T, d), self and cross weights, a layer each."""
    self_attention: list[Array] = []
    cross_attention: list[Array] = []
    for i in range(count_layers(parameters)):
        layer = under(parameters, f"layers.{i}.")
        x, self_weights, cross_weights = decoder_layer(
            x, memory, layer, num_heads, self_mask, cross_mask, norm_first, activation, eps, bias, scale
        )
        self_attention.append(self_weights)
        cross_attention.append(cross_weights)
    if norm_first:
        x = norm(x, under(parameters, "norm."), eps)
    return x, self_attention, cross_attention


def decoder_backward(
    d_y: Array,
    x: Array,
    memory: Array,
    parameters: Parameters,
    num_heads: int,
    self_mask: Mask | None = None,
    cross_mask: Mask | None = None,
    norm_first: bool = False,
    activation: str = "relu",
    eps: float = 1e-5,
    bias: Array | None = None,
    scale: float | None = None,
) -> tuple[Array, Array, Parameters]:
    """d_y like x -> d_x, d_memory (every layer's added) and the gradients of the parameters by name."""
    layers = [under(parameters, f"layers.{i}.") for i in range(count_layers(parameters))]
    inputs = [x]  # inputs[i] goes into layer i; the last one comes out of the stack
    for layer in layers:
        y, _, _ = decoder_layer(
            inputs[-1],
            memory,
            layer,
            num_heads,
            self_mask,
            cross_mask,
            norm_first,
            activation,
            eps,
            bias,
            scale,
        )
        inputs.append(y)

    d_parameters: Parameters = {}
    d_x = d_y
    d_memory: Array = np.zeros_like(memory)
    if norm_first:
        d_x, d_norm = norm_backward(d_x, inputs[-1], under(parameters, "norm."), eps)
        d_parameters |= prefixed(d_norm, "norm.")
    for i in reversed(range(len(layers))):
        d_x, d_memory_i, d_layer = decoder_layer_backward(
            d_x,
            inputs[i],
            memory,
            layers[i],
            num_heads,
            self_mask,
            cross_mask,
            norm_first,
            activation,
            eps,
            bias,
            scale,
        )
        d_memory = d_memory + d_memory_i
        if bias is not None:
            d_parameters["bias"] = d_parameters.get("bias", 0) + d_layer.pop("bias")
        d_parameters |= prefixed(d_layer, f"layers.{i}.")
    return d_x, d_memory, d_parameters

"""encoder_layer: self-attention, then the feed-forward network, each with residual connection and layer norm

  forward    post-norm (norm_first False)   a = norm1(x + attention(x, x, x))
                                            y = norm2(a + feed_forward(a))
             pre-norm  (norm_first True)    u = norm1(x)     a = x + attention(u, u, u)
                                            y = a + feed_forward(norm2(a))
  backward   the same path from the end; where a value is used twice its gradients are added:
             post-norm   dr₂ = norm2'(dy)      da = dr₂ + feed_forward'(dr₂)
                         dr₁ = norm1'(da)      dx = dr₁ + attention'(dr₁), its three inputs added
             pre-norm    da  = dy + norm2'(feed_forward'(dy))
                         dx  = da + norm1'(attention'(da), its three inputs added)

x, y: (..., L, d)  weights: (..., H, L, L)  mask and bias broadcast to (..., H, L, L): the bias is added to
the scores, in every layer of a stack.  f'(dy) stands for f's backward.
Parameters: self_attn.(in_proj_weight, in_proj_bias, out_proj.weight, out_proj.bias),
feed_forward.(linear1, linear2).(weight, bias), (norm1, norm2).(weight, bias).  Biases may be absent; a norm
without one is rms_norm.  The gradient of the scores' bias stands among those of the parameters, as bias.
No dropout: this is the layer in evaluation, or with dropout 0.

later_encoder_layer: the forward pass with what later models changed, by its options
  norm        RMS norm in place of layer norm                        Zhang and Sennrich 2019; T5, Llama
  activation  also silu, gelu_tanh, and gates: see feed_forward      Shazeer 2020
  heads       grouped keys and values; every head of q and k normalised, then turned by its position
Biases are used where the parameters have them.

encoder: layers.0, layers.1, ... one after another, then norm, which is there when norm_first.
Vaswani et al. 2017, §3.1; Xiong et al. 2020 (pre-norm); articles 002 §5.2, 003 §5.2.
"""

from ._types import Array, Mask, Parameters, count_layers, prefixed, under
from .feed_forward import feed_forward_layer, feed_forward_layer_backward
from .layer_norm import layer_norm, layer_norm_backward
from .linear import linear
from .multi_head import merge_heads, multi_head_layer, multi_head_layer_gradients, projected_heads
from .rms_norm import rms_norm, rms_norm_backward
from .rotary import rotary
from .scaled_dot_product import scaled_dot_product


def norm(x: Array, parameters: Parameters, eps: float) -> Array:
    """layer_norm with the parameters weight and bias, rms_norm with weight alone."""
    if "bias" not in parameters:
        return rms_norm(x, parameters["weight"], eps)
    return layer_norm(x, parameters["weight"], parameters["bias"], eps)


def norm_backward(d_y: Array, x: Array, parameters: Parameters, eps: float) -> tuple[Array, Parameters]:
    """-> d_x and the gradients of weight and bias by name."""
    if "bias" not in parameters:
        d_x, d_weight = rms_norm_backward(d_y, x, parameters["weight"], eps)
        assert d_weight is not None
        return d_x, {"weight": d_weight}
    d_x, d_weight, d_bias = layer_norm_backward(d_y, x, parameters["weight"], parameters["bias"], eps)
    assert d_weight is not None and d_bias is not None
    return d_x, {"weight": d_weight, "bias": d_bias}


def encoder_layer(
    x: Array,
    parameters: Parameters,
    num_heads: int,
    mask: Mask | None = None,
    norm_first: bool = False,
    activation: str = "relu",
    eps: float = 1e-5,
    bias: Array | None = None,
    scale: float | None = None,
) -> tuple[Array, Array]:
    """x (..., L, d) -> y (..., L, d) and the attention weights (..., H, L, L)."""
    self_attn, network = under(parameters, "self_attn."), under(parameters, "feed_forward.")
    norm1, norm2 = under(parameters, "norm1."), under(parameters, "norm2.")

    if norm_first:
        u = norm(x, norm1, eps)
        attended, weights = multi_head_layer(u, u, u, self_attn, num_heads, mask, bias, scale=scale)
        a: Array = x + attended
        y: Array = a + feed_forward_layer(norm(a, norm2, eps), network, activation)
    else:
        attended, weights = multi_head_layer(x, x, x, self_attn, num_heads, mask, bias, scale=scale)
        a = norm(x + attended, norm1, eps)
        y = norm(a + feed_forward_layer(a, network, activation), norm2, eps)
    return y, weights


def encoder_layer_backward(
    d_y: Array,
    x: Array,
    parameters: Parameters,
    num_heads: int,
    mask: Mask | None = None,
    norm_first: bool = False,
    activation: str = "relu",
    eps: float = 1e-5,
    bias: Array | None = None,
    scale: float | None = None,
) -> tuple[Array, Parameters]:
    """d_y like x -> d_x and the gradients of the parameters by name."""
    self_attn, network = under(parameters, "self_attn."), under(parameters, "feed_forward.")
    norm1, norm2 = under(parameters, "norm1."), under(parameters, "norm2.")

    if norm_first:
        u = norm(x, norm1, eps)
        attended, _ = multi_head_layer(u, u, u, self_attn, num_heads, mask, bias, scale=scale)
        a: Array = x + attended
        u_2 = norm(a, norm2, eps)

        d_u_2, d_network = feed_forward_layer_backward(d_y, u_2, network, activation)
        d_branch, d_norm2 = norm_backward(d_u_2, a, norm2, eps)
        d_a = d_y + d_branch
        d_query, d_key, d_value, d_self_attn, d_bias = multi_head_layer_gradients(
            d_a, u, u, u, self_attn, num_heads, mask, bias, scale=scale
        )
        d_branch, d_norm1 = norm_backward(d_query + d_key + d_value, x, norm1, eps)
        d_x = d_a + d_branch
    else:
        attended, _ = multi_head_layer(x, x, x, self_attn, num_heads, mask, bias, scale=scale)
        a = norm(x + attended, norm1, eps)
        r_2 = a + feed_forward_layer(a, network, activation)

        d_r_2, d_norm2 = norm_backward(d_y, r_2, norm2, eps)
        d_branch, d_network = feed_forward_layer_backward(d_r_2, a, network, activation)
        d_r_1, d_norm1 = norm_backward(d_r_2 + d_branch, x + attended, norm1, eps)
        d_query, d_key, d_value, d_self_attn, d_bias = multi_head_layer_gradients(
            d_r_1, x, x, x, self_attn, num_heads, mask, bias, scale=scale
        )
        d_x = d_r_1 + d_query + d_key + d_value

    d_parameters = (
        prefixed(d_self_attn, "self_attn.")
        | prefixed(d_network, "feed_forward.")
        | prefixed(d_norm1, "norm1.")
        | prefixed(d_norm2, "norm2.")
    )
    if bias is not None and d_bias is not None:
        d_parameters["bias"] = d_bias
    return d_x, d_parameters


def later_norm(x: Array, parameters: Parameters, eps: float, rms: bool) -> Array:
    """RMS norm, or layer norm."""
    return rms_norm(x, parameters["weight"], eps) if rms else norm(x, parameters, eps)


def later_self_attention(
    x: Array,
    parameters: Parameters,
    num_heads: int,
    mask: Mask | None = None,
    num_kv_heads: int | None = None,
    scale: float | None = None,
    frequencies: Array | None = None,
    interleaved: bool = False,
    eps: float = 1e-6,
) -> tuple[Array, Array]:
    """x (..., L, d) -> out (..., L, d) and the weights (..., H, L, L). frequencies (r/2,): turned, or not."""
    q, k, v = projected_heads(x, parameters, num_heads, num_kv_heads or num_heads)
    if "q_norm" in parameters:
        q, k = rms_norm(q, parameters["q_norm"], eps), rms_norm(k, parameters["k_norm"], eps)
    if frequencies is not None:
        q = rotary(q, frequencies=frequencies, interleaved=interleaved)
        k = rotary(k, frequencies=frequencies, interleaved=interleaved)
    heads, weights, _ = scaled_dot_product(q, k, v, mask, None, scale)
    return linear(merge_heads(heads), parameters["out_proj.weight"], parameters.get("out_proj.bias")), weights


def later_encoder_layer(
    x: Array,
    parameters: Parameters,
    num_heads: int,
    mask: Mask | None = None,
    norm_first: bool = False,
    activation: str = "relu",
    eps: float = 1e-5,
    rms: bool = False,
    num_kv_heads: int | None = None,
    scale: float | None = None,
    frequencies: Array | None = None,
    interleaved: bool = False,
) -> tuple[Array, Array]:
    """x (..., L, d) -> y (..., L, d) and the attention weights (..., H, L, L)."""
    self_attn, network = under(parameters, "self_attn."), under(parameters, "feed_forward.")
    norm1, norm2 = under(parameters, "norm1."), under(parameters, "norm2.")

    u = later_norm(x, norm1, eps, rms) if norm_first else x
    attended, weights = later_self_attention(
        u, self_attn, num_heads, mask, num_kv_heads, scale, frequencies, interleaved, eps
    )
    if norm_first:
        a: Array = x + attended
        y: Array = a + feed_forward_layer(later_norm(a, norm2, eps, rms), network, activation)
    else:
        a = later_norm(x + attended, norm1, eps, rms)
        y = later_norm(a + feed_forward_layer(a, network, activation), norm2, eps, rms)
    return y, weights


def encoder(
    x: Array,
    parameters: Parameters,
    num_heads: int,
    mask: Mask | None = None,
    norm_first: bool = False,
    activation: str = "relu",
    eps: float = 1e-5,
    bias: Array | None = None,
    scale: float | None = None,
) -> tuple[Array, list[Array]]:
    """x (..., L, d) -> y (..., L, d) and the attention weights of every layer."""
    attention: list[Array] = []
    for i in range(count_layers(parameters)):
        layer = under(parameters, f"layers.{i}.")
        x, weights = encoder_layer(x, layer, num_heads, mask, norm_first, activation, eps, bias, scale)
        attention.append(weights)
    if norm_first:
        x = norm(x, under(parameters, "norm."), eps)
    return x, attention


def encoder_backward(
    d_y: Array,
    x: Array,
    parameters: Parameters,
    num_heads: int,
    mask: Mask | None = None,
    norm_first: bool = False,
    activation: str = "relu",
    eps: float = 1e-5,
    bias: Array | None = None,
    scale: float | None = None,
) -> tuple[Array, Parameters]:
    """d_y like x -> d_x and the gradients of the parameters by name."""
    layers = [under(parameters, f"layers.{i}.") for i in range(count_layers(parameters))]
    inputs = [x]  # inputs[i] goes into layer i; the last one comes out of the stack
    for layer in layers:
        y, _ = encoder_layer(inputs[-1], layer, num_heads, mask, norm_first, activation, eps, bias, scale)
        inputs.append(y)

    d_parameters: Parameters = {}
    d_x = d_y
    if norm_first:
        d_x, d_norm = norm_backward(d_x, inputs[-1], under(parameters, "norm."), eps)
        d_parameters |= prefixed(d_norm, "norm.")
    for i in reversed(range(len(layers))):
        d_x, d_layer = encoder_layer_backward(
            d_x, inputs[i], layers[i], num_heads, mask, norm_first, activation, eps, bias, scale
        )
        if bias is not None:
            d_parameters["bias"] = d_parameters.get("bias", 0) + d_layer.pop("bias")
        d_parameters |= prefixed(d_layer, f"layers.{i}.")
    return d_x, d_parameters

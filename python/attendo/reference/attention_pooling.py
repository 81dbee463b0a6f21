"""attention_pooling: learned queries attend to a sequence

  forward    out = multi_head(Q, x, x),  Q trained, the same for every sample
  backward   that of multi_head; dx = d_keys + d_values, dQ: the sum over the batch

x: (B, S, d)  Q: (k, d)  out: (B, k, d)  weights: (B, H, k, S)
Parameters of the layer: query (k, d), and attention.* of a MultiHeadAttention.
Lee et al. 2019, eq. 11 (without its layers); Zhai et al. 2022, §3.2.
"""

import numpy as np

from ._types import Array, Mask, Parameters
from .multi_head import multi_head_layer, multi_head_layer_backward


def _parts(x: Array, parameters: Parameters) -> tuple[Array, Parameters]:
    """The queries of every sample (B, k, d) and the parameters of the attention."""
    query = parameters["query"]
    prefix = "attention."
    own = {name.removeprefix(prefix): p for name, p in parameters.items() if name.startswith(prefix)}
    return np.broadcast_to(query, (x.shape[0], *query.shape)), own


def attention_pooling(
    x: Array, parameters: Parameters, num_heads: int = 1, mask: Mask | None = None
) -> tuple[Array, Array]:
    """x (B, S, d) -> out (B, k, d), weights (B, H, k, S)."""
    queries, own = _parts(x, parameters)
    return multi_head_layer(queries, x, x, own, num_heads, mask)


def attention_pooling_backward(
    d_out: Array, x: Array, parameters: Parameters, num_heads: int = 1, mask: Mask | None = None
) -> tuple[Array, Parameters]:
    """d_out (B, k, d) -> d_x (B, S, d) and the gradients of the parameters by name."""
    queries, own = _parts(x, parameters)
    d_queries, d_keys, d_values, d_own = multi_head_layer_backward(d_out, queries, x, x, own, num_heads, mask)
    d_x: Array = d_keys + d_values
    gradients = {f"attention.{name}": g for name, g in d_own.items()}
    return d_x, {"query": np.sum(d_queries, axis=0), **gradients}

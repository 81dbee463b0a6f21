"""Operations as functions.

NumPy arrays in, NumPy arrays out; with a :class:`attendo.Tensor` among them, a tracked Tensor comes out.

Each takes arrays, anything with ``__array__`` or ``__dlpack__`` (PyTorch and JAX CPU arrays), nested lists
(float64) and Tensors, and never changes its inputs. float32 and float64 are computed as they are; two dtypes
are never mixed silently. What each computes is written in NumPy in :mod:`attendo.reference`, under the same
name.

>>> import numpy as np
>>> import attendo as at
>>> x = np.array([[1.0, 2.0]])
>>> at.functional.relu(at.functional.linear(x, weight=[[1.0, 1.0], [1.0, -1.0]]))
array([[3., 0.]])

The gradient, with Tensors:

>>> w = at.tensor([[1.0, 1.0], [1.0, -1.0]], requires_grad=True)
>>> at.functional.relu(at.functional.linear(x, w)).sum().backward()
>>> w.grad
Tensor([[1., 2.],
       [0., 0.]])
"""

from ._functional.activations import gelu, quick_gelu, relu, sigmoid, silu, softplus, tanh
from ._functional.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
)
from ._functional.alibi import alibi, alibi_slopes
from ._functional.arithmetic import add, divide, exp, log, multiply, sqrt, subtract
from ._functional.avg_pool import avg_pool1d, avg_pool2d
from ._functional.batch_norm import batch_norm
from ._functional.conv1d import conv1d
from ._functional.conv2d import conv2d
from ._functional.cross_entropy import cross_entropy
from ._functional.dropout import dropout
from ._functional.embedding import embedding
from ._functional.feed_forward import feed_forward
from ._functional.glu import geglu, glu, swiglu
from ._functional.group_norm import group_norm
from ._functional.gru import gru
from ._functional.int8_attention import int8_attention
from ._functional.layer_norm import layer_norm
from ._functional.linear import linear
from ._functional.linear_attention import linear_attention
from ._functional.linear_int8 import linear_int8, quantize_int8
from ._functional.linformer import linformer, linformer_projection
from ._functional.lora import lora
from ._functional.low_rank import low_rank, low_rank_basis
from ._functional.lstm import lstm
from ._functional.luong import luong
from ._functional.matmul import matmul
from ._functional.max_pool import max_pool1d, max_pool2d
from ._functional.negative_sampling import negative_sampling
from ._functional.nystrom import nystrom
from ._functional.performer import performer, performer_features
from ._functional.pooled import pooled
from ._functional.quantized_linear import activation_range, quantize_per_channel, quantized_linear
from ._functional.reduce import max, mean, sum
from ._functional.relative_bias import relative_bias, relative_shift
from ._functional.relative_position import relative_position
from ._functional.residual_norm import residual_norm
from ._functional.rms_norm import rms_norm
from ._functional.rotary import inverse_frequencies, rotary
from ._functional.segment_recurrence import segment_recurrence
from ._functional.shape import concatenate, reshape, slice, transpose
from ._functional.softmax import log_softmax, softmax
from ._functional.t5_bias import t5_bias, t5_buckets
from ._functional.top_k_attention import top_k_attention
from ._functional.transformer_xl_attention import relative_sinusoid, transformer_xl_attention

__all__ = [
    "activation_range",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "add",
    "alibi",
    "alibi_slopes",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "concatenate",
    "conv1d",
    "conv2d",
    "cross_entropy",
    "divide",
    "dropout",
    "embedding",
    "exp",
    "feed_forward",
    "geglu",
    "gelu",
    "glu",
    "group_norm",
    "gru",
    "int8_attention",
    "inverse_frequencies",
    "layer_norm",
    "linear",
    "linear_attention",
    "linear_int8",
    "linformer",
    "linformer_projection",
    "log",
    "log_softmax",
    "lora",
    "low_rank",
    "low_rank_basis",
    "lstm",
    "luong",
    "matmul",
    "max",
    "max_pool1d",
    "max_pool2d",
    "mean",
    "multiply",
    "negative_sampling",
    "nystrom",
    "performer",
    "performer_features",
    "pooled",
    "quantize_int8",
    "quantize_per_channel",
    "quantized_linear",
    "quick_gelu",
    "relative_bias",
    "relative_position",
    "relative_shift",
    "relative_sinusoid",
    "relu",
    "reshape",
    "residual_norm",
    "rms_norm",
    "rotary",
    "segment_recurrence",
    "sigmoid",
    "silu",
    "slice",
    "softmax",
    "softplus",
    "sqrt",
    "subtract",
    "sum",
    "swiglu",
    "t5_bias",
    "t5_buckets",
    "tanh",
    "top_k_attention",
    "transformer_xl_attention",
    "transpose",
]


for _name in __all__:
    globals()[_name].__module__ = __name__  # where they are documented, found and pickled
del _name


def __dir__() -> list[str]:
    return __all__

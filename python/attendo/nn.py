"""Layers: modules with parameters, put together to models.

Every layer takes and gives ``(batch, ..., features)`` and is called like a function. Arrays become Tensors on
the way in, and Tensors come out. Write your own by subclassing :class:`Module`.

>>> import numpy as np
>>> import attendo as at
>>> model = at.nn.Sequential(at.nn.Linear(4, 16), at.nn.ReLU(), at.nn.Linear(16, 2))
>>> model(np.zeros((3, 4), dtype="float32")).shape
(3, 2)
"""

from ._core import (
    GLU,
    GRU,
    LSTM,
    Activation,
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdditiveAttention,
    AdditivePooling,
    Attention,
    AttentionLayer,
    AttentionPooling,
    AvgPool1d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv1d,
    Conv2d,
    CrossModalAttention,
    Decoder,
    DecoderLayer,
    Dropout,
    Embedding,
    Encoder,
    EncoderLayer,
    FeedForward,
    Flatten,
    GroupNorm,
    LayerNorm,
    LearnedPositionalEncoding,
    Linear,
    LuongAttention,
    MaxPool1d,
    MaxPool2d,
    Module,
    ModuleList,
    MultiHeadAttention,
    PositionalEncoding,
    RelativeMultiHeadAttention,
    RMSNorm,
    Sequential,
    SinusoidalPositionalEncoding,
)
from ._nn import attention as _attention  # noqa: F401  (its pages)
from ._nn import convolution as _convolution  # noqa: F401  (its pages)
from ._nn import norms as _norms  # noqa: F401  (its pages)
from ._nn import pooling as _pooling  # noqa: F401  (its pages)
from ._nn import recurrent as _recurrent  # noqa: F401  (its pages)
from ._nn import relative as _relative  # noqa: F401  (its pages)
from ._nn import transformer as _transformer  # noqa: F401  (its pages)
from ._nn import window_pooling as _window_pooling  # noqa: F401  (its pages)
from ._nn.layers import GELU, ReLU, Sigmoid, SiLU, Softmax, Tanh
from ._nn.module import Parameter

__all__ = [
    "GELU",
    "GLU",
    "GRU",
    "LSTM",
    "Activation",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdditiveAttention",
    "AdditivePooling",
    "Attention",
    "AttentionLayer",
    "AttentionPooling",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "CrossModalAttention",
    "Decoder",
    "DecoderLayer",
    "Dropout",
    "Embedding",
    "Encoder",
    "EncoderLayer",
    "FeedForward",
    "Flatten",
    "GroupNorm",
    "LayerNorm",
    "LearnedPositionalEncoding",
    "Linear",
    "LuongAttention",
    "MaxPool1d",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "MultiHeadAttention",
    "Parameter",
    "PositionalEncoding",
    "RMSNorm",
    "ReLU",
    "RelativeMultiHeadAttention",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SinusoidalPositionalEncoding",
    "Softmax",
    "Tanh",
]

for _name in __all__:
    globals()[_name].__module__ = __name__  # where they are documented and found
del _name


def __dir__() -> list[str]:
    return __all__

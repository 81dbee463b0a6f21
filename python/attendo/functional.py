"""Operations as functions."""

from ._core import (  # noqa: F401
    add, batch_norm, concatenate, conv2d, cross_entropy, divide, dropout, embedding, exp, gelu, layer_norm, linear, log,
    log_softmax, matmul, max, max_pool2d, mean, multiply, relu, reshape, sigmoid, slice, softmax, sqrt, subtract, sum, tanh, transpose,
)

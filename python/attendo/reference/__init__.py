"""The textbook: every operation of attendo in plain NumPy.

One file an operation, named like its C++ file.  Its header gives the formula of forward and backward, the
shapes and the source.  Letters: B batch, H heads, L query length, S key length, D head features,
V vocabulary; see docs/notation.md.

``f(inputs, options) -> y``
``f_backward(d_y, inputs, options) -> gradients``, a tuple: one for each float input in their order

Layers and models take a dict of named parameters and return the gradients as such a dict.  Backward functions
keep no state: they compute again what they need.  No function changes its inputs; each computes in the dtype
it is given, so float64 in is float64 throughout.
"""

from .activation_range import activation_range
from .activations import (
    exp,
    exp_backward,
    gelu,
    gelu_backward,
    log,
    log_backward,
    quick_gelu,
    quick_gelu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    softplus,
    softplus_backward,
    sqrt,
    sqrt_backward,
    tanh,
    tanh_backward,
)
from .adapter import adapter, adapter_backward
from .adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool1d_backward,
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_max_pool1d,
    adaptive_max_pool1d_backward,
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
)
from .additive import additive, additive_backward, project_rows, project_rows_backward
from .additive_pooling import additive_pooling, additive_pooling_backward
from .alibi import alibi, alibi_backward, alibi_slopes
from .arithmetic import (
    add,
    add_backward,
    divide,
    divide_backward,
    multiply,
    multiply_backward,
    subtract,
    subtract_backward,
)
from .attention import attention, attention_backward
from .attention_layer import attention_layer, attention_layer_backward
from .attention_pooling import attention_pooling, attention_pooling_backward
from .attention_stats import attention_stats
from .avg_pool import avg_pool1d, avg_pool1d_backward, avg_pool2d, avg_pool2d_backward
from .batch_norm import batch_norm, batch_norm_backward, batch_norm_running
from .beam_search import beam_search
from .cnn_attention import cnn_attention, cnn_attention_backward, cnn_attention_steps
from .conv1d import conv1d, conv1d_backward
from .conv2d import conv2d, conv2d_backward
from .cosine import cosine, cosine_backward
from .cross_entropy import cross_entropy, cross_entropy_backward
from .cross_modal_attention import cross_modal_attention, cross_modal_attention_backward
from .cross_modal_classifier import cross_modal_classifier
from .decoder_layer import decoder, decoder_backward, decoder_layer, decoder_layer_backward
from .decoder_lm import decoder_lm, decoder_lm_backward
from .decoding import decoding, sampled
from .distillation import distillation, kl_divergence
from .dropout import dropout, dropout_backward
from .embedding import embedding, embedding_backward
from .encoder_classifier import encoder_classifier, encoder_classifier_backward
from .encoder_layer import (
    encoder,
    encoder_backward,
    encoder_layer,
    encoder_layer_backward,
    later_encoder_layer,
)
from .feed_forward import feed_forward, feed_forward_backward, feed_forward_layer, feed_forward_layer_backward
from .gemm import gemm
from .general import general, general_backward
from .glu import glu, glu_backward
from .group_norm import group_norm, group_norm_backward
from .gru import gru, gru_backward
from .info_nce import info_nce, nt_xent
from .int8_attention import int8_attention, int8_attention_backward
from .kernel import kernel, kernel_backward
from .kv_cache import kv_cache
from .kv_prefix import kv_prefix, kv_prefix_backward
from .layer_norm import layer_norm, layer_norm_backward
from .linear import linear, linear_backward
from .linear_attention import linear_attention, linear_attention_backward
from .linear_int8 import dequantize_int8, linear_int8, linear_int8_backward, quantize_int8
from .linformer import linformer, linformer_backward
from .logits_processors import logits_processors
from .lora import lora, lora_backward
from .low_rank import low_rank, low_rank_backward, low_rank_basis
from .lstm import lstm, lstm_backward
from .lstm_attention import lstm_attention, lstm_attention_backward, lstm_attention_steps
from .luong import luong, luong_backward
from .masked_lm import masked_lm, masked_lm_backward
from .matmul import matmul, matmul_backward
from .max_pool import max_pool1d, max_pool1d_backward, max_pool2d, max_pool2d_backward
from .multi_head import (
    merge_heads,
    multi_head,
    multi_head_backward,
    multi_head_layer,
    multi_head_layer_backward,
    split_heads,
)
from .multi_task import uncertain_tasks, uncertain_tasks_backward, weighted_tasks
from .negative_sampling import negative_sampling, negative_sampling_backward
from .nystrom import nystrom, nystrom_backward
from .optimizers import (
    adagrad_step,
    adam_step,
    adamw_step,
    amsgrad_step,
    clip_grad_norm,
    clip_grad_value,
    lamb_step,
    lion_step,
    rmsprop_step,
    sgd_step,
)
from .packed import packed, packed_backward
from .performer import performer, performer_backward
from .pointwise_losses import binary_cross_entropy, huber, mean_absolute_error, mean_squared_error
from .pooled import pooled, pooled_backward
from .positional_encoding import (
    positional_encoding,
    positional_encoding_backward,
    sinusoidal_positional_encoding,
)
from .qk_norm import (
    l2_normalize,
    l2_normalize_backward,
    qk_norm,
    qk_norm_backward,
    rms_normalize,
    rms_normalize_backward,
)
from .quantized_linear import quantize_per_channel, quantized_linear
from .reduce import max, max_backward, mean, mean_backward, sum, sum_backward
from .relative_bias import relative_bias, relative_bias_backward, relative_shift, relative_shift_backward
from .relative_position import relative_position, relative_position_backward
from .residual_norm import residual_norm, residual_norm_backward
from .rms_norm import rms_norm, rms_norm_backward
from .rotary import inverse_frequencies, rotary, rotary_backward
from .scaled_dot_product import (
    scaled_dot_product,
    scaled_dot_product_backward,
    scaled_dot_product_d_sinks,
    scaled_dot_product_steps,
    score_indices,
)
from .schedules import (
    constant_schedule,
    cosine_restarts_schedule,
    cosine_schedule,
    exponential_schedule,
    linear_schedule,
    noam_schedule,
    one_cycle_schedule,
    plateau_schedule,
    step_schedule,
)
from .score_program import score_program, score_program_backward
from .scored import score_of, score_of_backward, scored, scored_backward
from .segment_recurrence import segment_recurrence, segment_recurrence_backward
from .seq2seq import seq2seq, seq2seq_backward, seq2seq_steps
from .sequence_recommender import sequence_recommender, sequence_recommender_backward
from .shape import (
    concatenate,
    concatenate_backward,
    reshape,
    reshape_backward,
    slice,
    slice_backward,
    transpose,
    transpose_backward,
)
from .softmax import log_softmax, log_softmax_backward, softmax, softmax_backward
from .t5_bias import t5_bias, t5_bias_backward, t5_buckets
from .text_encoder import text_encoder, text_encoder_backward
from .top_k_attention import top_k_attention, top_k_attention_backward
from .transformer import (
    TransformerVariant,
    causal_mask,
    padding_mask,
    transformer,
    transformer_backward,
    transformer_steps,
)
from .transformer_xl import transformer_xl
from .transformer_xl_attention import (
    relative_sinusoid,
    transformer_xl_attention,
    transformer_xl_attention_backward,
    transformer_xl_layer,
    transformer_xl_layer_backward,
)
from .triplet import triplet
from .vision_transformer import vision_transformer, vision_transformer_backward
from .weight_average import weight_average

__all__ = [
    "TransformerVariant",
    "activation_range",
    "adagrad_step",
    "adam_step",
    "adamw_step",
    "adapter",
    "adapter_backward",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool1d_backward",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_backward",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward",
    "add",
    "add_backward",
    "additive",
    "additive_backward",
    "additive_pooling",
    "additive_pooling_backward",
    "alibi",
    "alibi_backward",
    "alibi_slopes",
    "amsgrad_step",
    "attention",
    "attention_backward",
    "attention_layer",
    "attention_layer_backward",
    "attention_pooling",
    "attention_pooling_backward",
    "attention_stats",
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_running",
    "beam_search",
    "binary_cross_entropy",
    "causal_mask",
    "clip_grad_norm",
    "clip_grad_value",
    "cnn_attention",
    "cnn_attention_backward",
    "cnn_attention_steps",
    "concatenate",
    "concatenate_backward",
    "constant_schedule",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "cosine",
    "cosine_backward",
    "cosine_restarts_schedule",
    "cosine_schedule",
    "cross_entropy",
    "cross_entropy_backward",
    "cross_modal_attention",
    "cross_modal_attention_backward",
    "cross_modal_classifier",
    "decoder",
    "decoder_backward",
    "decoder_layer",
    "decoder_layer_backward",
    "decoder_lm",
    "decoder_lm_backward",
    "decoding",
    "dequantize_int8",
    "distillation",
    "divide",
    "divide_backward",
    "dropout",
    "dropout_backward",
    "embedding",
    "embedding_backward",
    "encoder",
    "encoder_backward",
    "encoder_classifier",
    "encoder_classifier_backward",
    "encoder_layer",
    "encoder_layer_backward",
    "exp",
    "exp_backward",
    "exponential_schedule",
    "feed_forward",
    "feed_forward_backward",
    "feed_forward_layer",
    "feed_forward_layer_backward",
    "gelu",
    "gelu_backward",
    "gemm",
    "general",
    "general_backward",
    "glu",
    "glu_backward",
    "group_norm",
    "group_norm_backward",
    "gru",
    "gru_backward",
    "huber",
    "info_nce",
    "int8_attention",
    "int8_attention_backward",
    "inverse_frequencies",
    "kernel",
    "kernel_backward",
    "kl_divergence",
    "kv_cache",
    "kv_prefix",
    "kv_prefix_backward",
    "l2_normalize",
    "l2_normalize_backward",
    "lamb_step",
    "later_encoder_layer",
    "layer_norm",
    "layer_norm_backward",
    "linear",
    "linear_attention",
    "linear_attention_backward",
    "linear_backward",
    "linear_int8",
    "linear_int8_backward",
    "linear_schedule",
    "linformer",
    "linformer_backward",
    "lion_step",
    "log",
    "log_backward",
    "log_softmax",
    "log_softmax_backward",
    "logits_processors",
    "lora",
    "lora_backward",
    "low_rank",
    "low_rank_backward",
    "low_rank_basis",
    "lstm",
    "lstm_attention",
    "lstm_attention_backward",
    "lstm_attention_steps",
    "lstm_backward",
    "luong",
    "luong_backward",
    "masked_lm",
    "masked_lm_backward",
    "matmul",
    "matmul_backward",
    "max",
    "max_backward",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "mean",
    "mean_absolute_error",
    "mean_backward",
    "mean_squared_error",
    "merge_heads",
    "multi_head",
    "multi_head_backward",
    "multi_head_layer",
    "multi_head_layer_backward",
    "multiply",
    "multiply_backward",
    "negative_sampling",
    "negative_sampling_backward",
    "noam_schedule",
    "nt_xent",
    "nystrom",
    "nystrom_backward",
    "one_cycle_schedule",
    "packed",
    "packed_backward",
    "padding_mask",
    "performer",
    "performer_backward",
    "plateau_schedule",
    "pooled",
    "pooled_backward",
    "positional_encoding",
    "positional_encoding_backward",
    "project_rows",
    "project_rows_backward",
    "qk_norm",
    "qk_norm_backward",
    "quantize_int8",
    "quantize_per_channel",
    "quantized_linear",
    "quick_gelu",
    "quick_gelu_backward",
    "relative_bias",
    "relative_bias_backward",
    "relative_position",
    "relative_position_backward",
    "relative_shift",
    "relative_shift_backward",
    "relative_sinusoid",
    "relu",
    "relu_backward",
    "reshape",
    "reshape_backward",
    "residual_norm",
    "residual_norm_backward",
    "rms_norm",
    "rms_norm_backward",
    "rms_normalize",
    "rms_normalize_backward",
    "rmsprop_step",
    "rotary",
    "rotary_backward",
    "sampled",
    "scaled_dot_product",
    "scaled_dot_product_backward",
    "scaled_dot_product_d_sinks",
    "scaled_dot_product_steps",
    "score_indices",
    "score_of",
    "score_of_backward",
    "score_program",
    "score_program_backward",
    "scored",
    "scored_backward",
    "segment_recurrence",
    "segment_recurrence_backward",
    "seq2seq",
    "seq2seq_backward",
    "seq2seq_steps",
    "sequence_recommender",
    "sequence_recommender_backward",
    "sgd_step",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "sinusoidal_positional_encoding",
    "slice",
    "slice_backward",
    "softmax",
    "softmax_backward",
    "softplus",
    "softplus_backward",
    "split_heads",
    "sqrt",
    "sqrt_backward",
    "step_schedule",
    "subtract",
    "subtract_backward",
    "sum",
    "sum_backward",
    "t5_bias",
    "t5_bias_backward",
    "t5_buckets",
    "tanh",
    "tanh_backward",
    "text_encoder",
    "text_encoder_backward",
    "top_k_attention",
    "top_k_attention_backward",
    "transformer",
    "transformer_backward",
    "transformer_steps",
    "transformer_xl",
    "transformer_xl_attention",
    "transformer_xl_attention_backward",
    "transformer_xl_layer",
    "transformer_xl_layer_backward",
    "transpose",
    "transpose_backward",
    "triplet",
    "uncertain_tasks",
    "uncertain_tasks_backward",
    "vision_transformer",
    "vision_transformer_backward",
    "weight_average",
    "weighted_tasks",
]

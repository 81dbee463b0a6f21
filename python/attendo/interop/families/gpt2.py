"""GPT-2: a DecoderLM with pre-norm layers, learned positions and tied embeddings. Radford et al. 2019.

Its matrices are stored (in, out), the other way round than a linear layer's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..._core import DecoderLM
from ..config import Config
from ..entries import Entry, copied, norm, transposed
from ..family import Family, fits, options_of

_ACTIVATIONS: dict[str, Any] = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def _sizes(config: Config) -> tuple[int, int, int, int, int]:
    d = config.integer("n_embd", 768)
    return (
        config.integer("vocab_size", 50257),
        config.integer("n_positions", 1024),
        d,
        config.integer("n_layer", 12, least=0),
        config.integer("n_inner", None) or 4 * d,
    )


def _build(config: Config, dtype: str) -> DecoderLM:
    vocab_size, max_len, d, layers, dff = _sizes(config)
    config.only("scale_attn_by_inverse_layer_idx", False)
    config.only("add_cross_attention", False)
    tied = config.flag("tie_word_embeddings", True)
    return DecoderLM(
        vocab_size,
        d,
        config.integer("n_head", 12),
        layers,
        max_len,
        dff=dff,
        dropout=config.number("resid_pdrop", 0.1, 0.0, 0.999),
        activation=config.choice("activation_function", _ACTIVATIONS, "gelu_new"),
        norm_first=True,
        positions="learned",
        tie_weights=tied,
        attention_scale=None if config.flag("scale_attn_weights", True) else 1.0,
        norm_eps=config.number("layer_norm_epsilon", 1e-5, 0.0),
        head_bias=tied,  # the default; a tied head has none
        scale_embeddings=False,
        dtype=dtype,
        seed=0,
    )


def _matrix(ours: str, theirs: str, features_out: int, features_in: int) -> Iterator[Entry]:
    yield transposed(f"{ours}weight", f"{theirs}.weight", (features_out, features_in))
    yield copied(f"{ours}bias", f"{theirs}.bias", (features_out,))


def _entries(config: Config, base: str) -> Iterator[Entry]:
    vocab_size, max_len, d, layers, dff = _sizes(config)
    yield copied("embedding.weight", f"{base}wte.weight", (vocab_size, d))
    yield copied("position.weight", f"{base}wpe.weight", (max_len, d))
    for i in range(layers):
        ours, theirs = f"decoder.layers.{i}.", f"{base}h.{i}."
        yield from norm(f"{ours}norm1", f"{theirs}ln_1", d)
        yield from _matrix(f"{ours}self_attn.in_proj_", f"{theirs}attn.c_attn", 3 * d, d)
        yield from _matrix(f"{ours}self_attn.out_proj.", f"{theirs}attn.c_proj", d, d)
        yield from norm(f"{ours}norm2", f"{theirs}ln_2", d)
        yield from _matrix(f"{ours}feed_forward.linear1.", f"{theirs}mlp.c_fc", dff, d)
        yield from _matrix(f"{ours}feed_forward.linear2.", f"{theirs}mlp.c_proj", d, dff)
    yield from norm("decoder.norm", f"{base}ln_f", d)
    if not config.flag("tie_word_embeddings", True):
        yield copied("generator.weight", "lm_head.weight", (vocab_size, d))


def _describe(model: DecoderLM) -> dict[str, Any]:
    config = options_of(model)
    fits(config, norm_first=True, norm="layer", positions="learned", scale_embeddings=False, bias=True)
    fits(
        config,
        qkv_bias=(None, True),
        out_bias=(None, True),
        num_kv_heads=(None, config["num_heads"]),
        qk_norm=False,
        window=None,
    )
    fits(config, head_dim=(None, config["d_model"] // config["num_heads"]), attention_scale=(None, 1.0))
    fits(config, activation=tuple(dict.fromkeys(_ACTIVATIONS.values())))
    if not config["tie_weights"]:
        fits(config, head_bias=False)
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": config["vocab_size"],
        "n_positions": config["max_len"],
        "n_embd": config["d_model"],
        "n_layer": config["num_layers"],
        "n_head": config["num_heads"],
        "n_inner": config["dff"],
        "activation_function": next(k for k, v in _ACTIVATIONS.items() if v == config["activation"]),
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), config["dropout"]),
        "layer_norm_epsilon": config["norm_eps"],
        "scale_attn_weights": config["attention_scale"] is None,
        "tie_word_embeddings": config["tie_weights"],
    }


FAMILY = Family(
    model_types=("gpt2",),
    model="DecoderLM",
    build=_build,
    entries=_entries,
    describe=_describe,
    bases=("transformer.", ""),
    ignored=(r"h\.\d+\.attn\.(bias|masked_bias)",),  # causal masks
    tied=lambda config, base: {"lm_head.weight": f"{base}wte.weight"},
)

"""T5, its version 1.1 and Flan-T5: a bias of the scores for positions, RMS norm first, no other biases.

The first T5 has the one embedding for a head, the decoder's output divided by √d before it; version 1.1 has a
head of its own and a gated feed-forward network. A checkpoint of the encoder alone becomes a model whose
decoder has no layers, for ``model.encode``.    Raffel et al. 2020; Shazeer 2020; Chung et al. 2022 (Flan).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..config import Config
from ..entries import Entry, constant, copied, norm, stacked
from ..family import Family, Unfit, fits, options_of

# (gated, function) → the feed-forward network of ours that has it.
_ACTIVATIONS: dict[tuple[bool, str], Any] = {
    (False, "relu"): "relu",
    (False, "gelu"): "gelu",
    (False, "gelu_new"): "gelu_tanh",
    (False, "gelu_pytorch_tanh"): "gelu_tanh",
    (False, "silu"): "silu",
    (False, "swish"): "silu",
    (True, "relu"): "reglu",
    (True, "gelu"): "geglu",
    (True, "gelu_new"): "geglu_tanh",
    (True, "gelu_pytorch_tanh"): "geglu_tanh",
    (True, "silu"): "swiglu",
    (True, "swish"): "swiglu",
    (True, "sigmoid"): "glu",
}
# Sequences have no longest: this is where memory would end.
_MAX_LEN = 32768
_EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
_HEAD = "lm_head.weight"


class Sizes:
    """What a config says, with the defaults of its model_type."""

    def __init__(self, config: Config) -> None:
        self.is_mt5 = config.values.get("model_type") == "mt5"
        self.vocab = config.integer("vocab_size", 250112 if self.is_mt5 else 32128)
        self.d = config.integer("d_model", 512)
        self.head_dim = config.integer("d_kv", 64)
        self.dff = config.integer("d_ff", 1024 if self.is_mt5 else 2048)
        self.layers = config.integer("num_layers", 8 if self.is_mt5 else 6, most=10_000)
        self.decoder_layers = config.integer("num_decoder_layers", self.layers, most=10_000)
        if config.values.get("architectures") in (["T5EncoderModel"], ["MT5EncoderModel"]):
            self.decoder_layers = 0
        self.heads = config.integer("num_heads", 6 if self.is_mt5 else 8)
        self.buckets = config.integer("relative_attention_num_buckets", 32)
        tied = config.flag("tie_word_embeddings", True)
        # Absent it follows the tying; null is no scaling.
        scaled = tied if "scale_decoder_outputs" not in config.values else False
        self.scaled = False if self.is_mt5 else config.flag("scale_decoder_outputs", scaled)
        self.embedding = next(
            (name for name in (*_EMBEDDINGS, _HEAD) if name in config.tensors), _EMBEDDINGS[0]
        )
        # A head that the checkpoint has is one; a config without a checkpoint says whether there is one.
        self.own_head = {_HEAD, self.embedding} <= config.tensors if config.tensors else not tied
        self.own_head = self.own_head and self.embedding != _HEAD
        # What feed_forward_proj says in one word, and two further keys again.
        known = {"gated-" * gated + name: (gated, name) for gated, name in _ACTIVATIONS}
        known["gated-gelu"] = (True, "gelu_new")
        gated, name = config.choice("feed_forward_proj", known, "gated-gelu" if self.is_mt5 else "relu")
        self.gated = config.flag("is_gated_act", gated)
        functions = {function: function for gate, function in _ACTIVATIONS if gate == self.gated}
        name = config.choice("dense_act_fn", functions, name)
        if (self.gated, name) not in _ACTIVATIONS:
            config.wrong("is_gated_act", f"{json.dumps(gated)} with this feed_forward_proj")
        self.activation = _ACTIVATIONS[self.gated, name]


def _build(config: Config, dtype: str) -> Any:
    from ...models import Transformer

    s = Sizes(config)
    return Transformer(
        s.d,
        s.heads,
        s.layers,
        s.decoder_layers,
        s.dff,
        s.vocab,
        s.vocab,
        _MAX_LEN,
        dropout=config.number("dropout_rate", 0.1, least=0.0),
        activation=s.activation,
        norm_first=True,
        norm="rms",
        norm_eps=config.number("layer_norm_epsilon", 1e-6, least=0.0),
        bias=False,
        head_dim=s.head_dim,
        attention_scale=1.0,
        pad_id=config.integer("pad_token_id", 0, least=0),
        positions="t5",
        num_buckets=s.buckets,
        max_distance=config.integer("relative_attention_max_distance", 128),
        scale_embeddings=False,
        shared_embeddings=True,
        embed_padding=True,
        tie_weights=not s.own_head,
        head_bias=False,
        scale_logits=s.scaled,
        dtype=dtype,
    )


def _attention(ours: str, theirs: str, s: Sizes) -> Iterator[Entry]:
    inner = s.heads * s.head_dim
    yield stacked(f"{ours}.in_proj_weight", {f"{theirs}.{name}.weight": inner for name in "qkv"}, (s.d,))
    yield copied(f"{ours}.out_proj.weight", f"{theirs}.o.weight", (s.d, inner))


def _network(ours: str, theirs: str, s: Sizes) -> Iterator[Entry]:
    if s.gated:
        # Ours has the value above the gate.
        halves = {f"{theirs}.wi_1.weight": s.dff, f"{theirs}.wi_0.weight": s.dff}
        yield stacked(f"{ours}.linear1.weight", halves, (s.d,))
    else:
        yield copied(f"{ours}.linear1.weight", f"{theirs}.wi.weight", (s.dff, s.d))
    yield copied(f"{ours}.linear2.weight", f"{theirs}.wo.weight", (s.d, s.dff))


def _entries(config: Config, base: str) -> Iterator[Entry]:
    s = Sizes(config)
    yield copied("embedding.weight", s.embedding, (s.vocab, s.d))
    for side, stack, layers in (("src", "encoder", s.layers), ("tgt", "decoder", s.decoder_layers)):
        if layers == 0:
            yield constant(f"{side}_relative_bias", 0.0, (s.buckets, s.heads))
            yield constant(f"{stack}.norm.weight", 1.0, (s.d,))
            continue
        first = f"{stack}.block.0.layer.0.SelfAttention"
        yield copied(f"{side}_relative_bias", f"{first}.relative_attention_bias.weight", (s.buckets, s.heads))
        parts = ["SelfAttention", "EncDecAttention"] if stack == "decoder" else ["SelfAttention"]
        for i in range(layers):
            ours, theirs = f"{stack}.layers.{i}", f"{stack}.block.{i}.layer"
            for j, part in enumerate(parts):
                name = "self_attn" if j == 0 else "cross_attn"
                yield from _attention(f"{ours}.{name}", f"{theirs}.{j}.{part}", s)
            yield from _network(f"{ours}.feed_forward", f"{theirs}.{len(parts)}.DenseReluDense", s)
            for j in range(len(parts) + 1):
                yield from norm(f"{ours}.norm{j + 1}", f"{theirs}.{j}.layer_norm", s.d, bias=False)
        yield from norm(f"{stack}.norm", f"{stack}.final_layer_norm", s.d, bias=False)
    if s.own_head:
        yield copied("generator.weight", _HEAD, (s.vocab, s.d))


def _tied(config: Config, base: str) -> dict[str, str]:
    s = Sizes(config)
    return {name: s.embedding for name in _EMBEDDINGS if name != s.embedding}


def describe(model: Any, model_type: str) -> dict[str, Any]:
    """The config.json of a Transformer that is a T5."""
    c = options_of(model)
    fits(
        c,
        norm_first=True,
        norm="rms",
        bias=False,
        qkv_bias=(None, False),
        out_bias=(None, False),
        qk_norm=False,
    )
    fits(c, num_kv_heads=(None, c["nhead"]), decoder_nhead=(None, c["nhead"]), decoder_dff=(None, c["dff"]))
    fits(c, attention_scale=1.0, positions="t5", scale_embeddings=False, shared_embeddings=True)
    fits(c, embed_padding=True, head_bias=(None, False) if c["tie_weights"] else False)
    if model_type == "mt5":
        fits(c, scale_logits=False)
    fits(c, activation=tuple(dict.fromkeys(_ACTIVATIONS.values())))
    if c["num_encoder_layers"] == 0:
        raise Unfit("num_encoder_layers is 0 but must be 1 or more: the first layer holds the bias of all")
    what = "ForConditionalGeneration" if c["num_decoder_layers"] > 0 else "EncoderModel"
    names = {ours: theirs for theirs, ours in reversed(_ACTIVATIONS.items())}
    gated, function = names[c["activation"]]
    described = {
        "model_type": model_type,
        "architectures": [("MT5" if model_type == "mt5" else "T5") + what],
        "is_encoder_decoder": c["num_decoder_layers"] > 0,
        "vocab_size": c["input_vocab_size"],
        "d_model": c["d_model"],
        "d_kv": c["head_dim"] or c["d_model"] // c["nhead"],
        "d_ff": c["dff"],
        "num_layers": c["num_encoder_layers"],
        "num_decoder_layers": c["num_decoder_layers"] or c["num_encoder_layers"],
        "num_heads": c["nhead"],
        "relative_attention_num_buckets": c["num_buckets"],
        "relative_attention_max_distance": c["max_distance"],
        "dropout_rate": c["dropout"],
        "layer_norm_epsilon": c["norm_eps"],
        "feed_forward_proj": "gated-gelu" if c["activation"] == "geglu_tanh" else "gated-" * gated + function,
        "is_gated_act": gated,
        "dense_act_fn": function,
        "tie_word_embeddings": c["tie_weights"],
        "pad_token_id": c["pad_id"],
    }
    if model_type != "mt5":
        described["scale_decoder_outputs"] = c["scale_logits"]
    if not getattr(model, "pretrained_config", {}):  # T5 begins with padding
        generation = getattr(model, "generation_config", {})
        described["decoder_start_token_id"] = generation.get("decoder_start_token_id", c["pad_id"])
    return described


FAMILY = Family(
    model_types=("t5",),
    model="Transformer",
    build=_build,
    entries=_entries,
    describe=lambda model: describe(model, "t5"),
    ignored=(r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",),
    tied=_tied,
)

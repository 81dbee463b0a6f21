"""Marian: the paper's Transformer with one embedding, tied, a bias of the logits, and sines before cosines.

Junczys-Dowmunt et al. 2018; Tiedemann and Thottingal 2020 (OPUS-MT).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..config import Config
from ..entries import Entry, constant, copied, linear, norm, reshaped, stacked
from ..family import Family, fits, options_of

_ACTIVATIONS: dict[str, Any] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
_POSITIONS = {"sinusoidal_halves": True, "learned": False}  # whether they are static
_NAMES = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu", "silu": "swish"}
_HEAD, _BIAS = "lm_head.weight", "final_logits_bias"
_SIDES = (("src", "encoder"), ("tgt", "decoder"))


# Keys of older files. Their other values never became models of transformers.
_FIXED = {"normalize_before": False, "normalize_embedding": False, "add_final_layer_norm": False}


class _Sizes:
    """What a config says, and which of the tensors that repeat one another is read."""

    def __init__(self, config: Config, base: str) -> None:
        self.vocab = config.integer("vocab_size", 58101)
        self.d = config.integer("d_model", 1024)
        self.max_len = config.integer("max_position_embeddings", 1024)
        sides = ("encoder", "decoder")
        self.layers = {side: config.integer(f"{side}_layers", 12, 0, 10_000) for side in sides}
        self.heads = {side: config.integer(f"{side}_attention_heads", 16) for side in sides}
        self.dff = {side: config.integer(f"{side}_ffn_dim", 4096) for side in sides}
        self.shared = config.flag("share_encoder_decoder_embeddings", True)
        self.target_vocab = self.vocab if self.shared else config.integer("decoder_vocab_size", self.vocab)
        self.tied = config.flag("tie_word_embeddings", True)
        stored = config.tensors
        # Tables of positions that a checkpoint has are read; it rarely has them, for they are a formula's.
        self.positions = {f"{side}_position": f"{base}{name}.embed_positions.weight" for side, name in _SIDES}
        static = config.flag("static_position_embeddings", True)
        self.has_positions = not static if not stored else any(n in stored for n in self.positions.values())
        self.has_bias = not stored or _BIAS in stored
        source, target = (f"{base}{name}.embed_tokens.weight" for _, name in _SIDES)
        if self.shared:
            self.copies = [f"{base}shared.weight", target, source]
        else:
            self.copies = [target]
        if self.tied:
            self.copies.append(_HEAD)
        read = next((name for name in self.copies if name in stored), self.copies[0])
        self.copies.remove(read)
        if self.shared:
            self.embeddings = {"embedding": (read, self.vocab)}
        else:
            self.embeddings = {
                "src_embedding": (source, self.vocab),
                "tgt_embedding": (read, self.target_vocab),
            }
        self.tied_to = read


def _base(config: Config) -> str:
    return "model." if not config.tensors or any(n.startswith("model.") for n in config.tensors) else ""


def _build(config: Config, dtype: str) -> Any:
    from ...models import Transformer

    s = _Sizes(config, _base(config))
    for key, value in _FIXED.items():
        config.only(key, value)
    model = Transformer(
        s.d,
        s.heads["encoder"],
        s.layers["encoder"],
        s.layers["decoder"],
        s.dff["encoder"],
        s.vocab,
        s.target_vocab,
        s.max_len,
        dropout=config.number("dropout", 0.1, least=0.0),
        activation=config.choice("activation_function", _ACTIVATIONS, "gelu"),
        pad_id=config.integer("pad_token_id", 58100, least=0),
        decoder_nhead=s.heads["decoder"],
        decoder_dff=s.dff["decoder"],
        positions="learned" if s.has_positions else "sinusoidal_halves",
        scale_embeddings=config.flag("scale_embedding", False),
        shared_embeddings=s.shared,
        tie_weights=s.tied,
        head_bias=True,
        dtype=dtype,
    )
    if s.has_positions:
        model.src_position.requires_grad_(False)
        model.tgt_position.requires_grad_(False)
    return model


def _attention(ours: str, theirs: str, d: int) -> Iterator[Entry]:
    for kind in ("weight", "bias"):
        parts = {f"{theirs}.{name}_proj.{kind}": d for name in "qkv"}
        yield stacked(f"{ours}.in_proj_{kind}", parts, (d,) if kind == "weight" else ())
    yield from linear(f"{ours}.out_proj", f"{theirs}.out_proj", d, d)


def _entries(config: Config, base: str) -> Iterator[Entry]:
    s = _Sizes(config, base)
    for ours, (name, rows) in s.embeddings.items():
        yield copied(f"{ours}.weight", name, (rows, s.d))
    if s.has_positions:
        for ours, name in s.positions.items():
            yield copied(f"{ours}.weight", name, (s.max_len, s.d))
    for _, side in _SIDES:
        parts = [("self_attn", "self_attn"), ("cross_attn", "encoder_attn")][: 2 if side == "decoder" else 1]
        for i in range(s.layers[side]):
            ours, theirs = f"{side}.layers.{i}", f"{base}{side}.layers.{i}"
            for j, (mine, name) in enumerate(parts):
                yield from _attention(f"{ours}.{mine}", f"{theirs}.{name}", s.d)
                yield from norm(f"{ours}.norm{j + 1}", f"{theirs}.{name}_layer_norm", s.d)
            yield from linear(f"{ours}.feed_forward.linear1", f"{theirs}.fc1", s.dff[side], s.d)
            yield from linear(f"{ours}.feed_forward.linear2", f"{theirs}.fc2", s.d, s.dff[side])
            yield from norm(f"{ours}.norm{len(parts) + 1}", f"{theirs}.final_layer_norm", s.d)
    if not s.tied:
        yield copied("generator.weight", _HEAD, (s.target_vocab, s.d))
    bias = "logits_bias" if s.tied else "generator.bias"
    if s.has_bias:
        yield reshaped(bias, _BIAS, (s.target_vocab,), (1, s.target_vocab))
    else:
        yield constant(bias, 0.0, (s.target_vocab,))


def _tied(config: Config, base: str) -> dict[str, str]:
    s = _Sizes(config, base)
    return {name: s.tied_to for name in s.copies}


def _describe(model: Any) -> dict[str, Any]:
    c = options_of(model)
    fits(
        c,
        norm_first=False,
        norm="layer",
        norm_eps=1e-5,
        bias=True,
        qkv_bias=(None, True),
        out_bias=(None, True),
    )
    fits(c, qk_norm=False, num_kv_heads=(None, c["nhead"]), head_dim=(None, c["d_model"] // c["nhead"]))
    fits(c, attention_scale=None, embed_padding=False, scale_logits=False, positions=tuple(_POSITIONS))
    fits(c, activation=tuple(_NAMES), head_bias=True if c["tie_weights"] else (None, True))
    if c["shared_embeddings"]:
        fits(c, tie_weights=True)
    described = {
        "model_type": "marian",
        "architectures": ["MarianMTModel"],
        "is_encoder_decoder": True,
        "vocab_size": c["input_vocab_size"],
        "decoder_vocab_size": c["target_vocab_size"],
        "d_model": c["d_model"],
        "max_position_embeddings": c["max_len"],
        "encoder_layers": c["num_encoder_layers"],
        "decoder_layers": c["num_decoder_layers"],
        "encoder_attention_heads": c["nhead"],
        "decoder_attention_heads": c["decoder_nhead"] or c["nhead"],
        "encoder_ffn_dim": c["dff"],
        "decoder_ffn_dim": c["decoder_dff"] or c["dff"],
        "dropout": c["dropout"],
        "activation_function": _NAMES[c["activation"]],
        "scale_embedding": c["scale_embeddings"],
        "share_encoder_decoder_embeddings": c["shared_embeddings"],
        "tie_word_embeddings": c["tie_weights"],
        "static_position_embeddings": _POSITIONS[c["positions"]],
        "pad_token_id": c["pad_id"],
    }
    if not getattr(model, "pretrained_config", {}):  # Marian begins with padding
        generation = getattr(model, "generation_config", {})
        described["decoder_start_token_id"] = generation.get("decoder_start_token_id", c["pad_id"])
        described["forced_eos_token_id"] = generation.get("forced_eos_token_id")
    return described


FAMILY = Family(
    model_types=("marian",),
    model="Transformer",
    build=_build,
    entries=_entries,
    describe=_describe,
    bases=("model.", ""),
    tied=_tied,
)

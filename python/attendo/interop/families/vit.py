"""Vision Transformer: google/vit-base-patch16-224."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..._core import Module, VisionTransformer
from ..config import Config
from ..entries import Entry, copied, linear, norm, reshaped, stacked
from ..family import Family, fits, options_of
from .text import ACTIVATIONS, PLAIN, labels, number_of_classes, written_activation

_CLASSES = {"ViTModel": False, "ViTForImageClassification": True}  # with a classifier?


def _classifies(config: Config) -> bool:
    given = config.values.get("architectures")
    if given is None:
        return False
    if not isinstance(given, list) or not given or given[0] not in _CLASSES:
        config.wrong("architectures", "one of " + ", ".join(_CLASSES) + ": attendo has no other")
    return _CLASSES[given[0]]


def _has_pooler(config: Config, base: str) -> bool:
    if config.tensors:
        return f"{base}pooler.dense.weight" in config.tensors
    return config.flag("add_pooling_layer", not _classifies(config))


def _pair(config: Config, key: str, default: int) -> tuple[int, int]:
    value = config.values.get(key)
    if isinstance(value, list) and len(value) == 2:
        height, width = (Config({key: part}, config.where).integer(key) for part in value)
        return height, width
    side = config.integer(key, default)
    return side, side


def _build(config: Config, dtype: str) -> Module:
    d = config.integer("hidden_size", 768)
    base = "vit." if any(name.startswith("vit.") for name in config.tensors) else ""
    pooler = _has_pooler(config, base)
    if pooler:
        config.choice("pooler_act", {"tanh": "tanh"}, "tanh")
        if config.integer("pooler_output_size", d) != d:
            config.wrong("pooler_output_size", f"hidden_size, which is {d}")
    config.number("attention_probs_dropout_prob", 0.0, 0, 1)
    return VisionTransformer(
        _pair(config, "image_size", 224),
        _pair(config, "patch_size", 16),
        d,
        config.integer("num_attention_heads", 12),
        config.integer("num_hidden_layers", 12, 0),
        in_channels=config.integer("num_channels", 3),
        dff=config.integer("intermediate_size", 3072),
        dropout=config.number("hidden_dropout_prob", 0.0, 0, 1),
        activation=config.choice("hidden_act", ACTIVATIONS, "gelu"),  # type: ignore[arg-type]
        norm_eps=config.number("layer_norm_eps", 1e-12, 0),
        qkv_bias=None if config.flag("qkv_bias", True) else False,
        pooler="tanh" if pooler else None,
        num_classes=number_of_classes(config) if _classifies(config) else None,
        dtype=dtype,
    )


def _entries(config: Config, base: str) -> Iterator[Entry]:
    if not _classifies(config) and not config.tensors:
        base = ""  # a body alone is written without one
    d, dff = config.integer("hidden_size", 768), config.integer("intermediate_size", 3072)
    (height, width), (patch_h, patch_w) = _pair(config, "image_size", 224), _pair(config, "patch_size", 16)
    length = 1 + (height // patch_h) * (width // patch_w)
    yield reshaped("class_token", f"{base}embeddings.cls_token", (d,), (1, 1, d))
    yield reshaped("position", f"{base}embeddings.position_embeddings", (length, d), (1, length, d))
    projection = f"{base}embeddings.patch_embeddings.projection"
    yield copied(
        "patch.weight", f"{projection}.weight", (d, config.integer("num_channels", 3), patch_h, patch_w)
    )
    yield copied("patch.bias", f"{projection}.bias", (d,))
    for i in range(config.integer("num_hidden_layers", 12, 0)):
        ours, theirs = f"encoder.layers.{i}.", f"{base}encoder.layer.{i}."
        qkv = [f"{theirs}attention.attention.{name}" for name in ("query", "key", "value")]
        yield stacked(f"{ours}self_attn.in_proj_weight", {f"{name}.weight": d for name in qkv}, (d,))
        if config.flag("qkv_bias", True):
            yield stacked(f"{ours}self_attn.in_proj_bias", {f"{name}.bias": d for name in qkv})
        yield from linear(f"{ours}self_attn.out_proj", f"{theirs}attention.output.dense", d, d)
        yield from linear(f"{ours}feed_forward.linear1", f"{theirs}intermediate.dense", dff, d)
        yield from linear(f"{ours}feed_forward.linear2", f"{theirs}output.dense", d, dff)
        yield from norm(f"{ours}norm1", f"{theirs}layernorm_before", d)
        yield from norm(f"{ours}norm2", f"{theirs}layernorm_after", d)
    yield from norm("encoder.norm", f"{base}layernorm", d)
    if _has_pooler(config, base):
        yield from linear("pooler", f"{base}pooler.dense", d, d)
    if _classifies(config):
        yield from linear("classifier", "classifier", number_of_classes(config), d)


def _describe(model: Any) -> dict[str, Any]:
    c = options_of(model)
    fits(c, **PLAIN, norm_first=True, pooling="first")
    loaded = getattr(model, "pretrained_config", {})
    classifies, pooler = c["num_classes"] is not None, c["pooler"] is not None

    def side(pair: tuple[int, int]) -> int | list[int]:
        return pair[0] if pair[0] == pair[1] else list(pair)

    values: dict[str, Any] = {
        "model_type": "vit",
        "architectures": ["ViTForImageClassification" if classifies else "ViTModel"],
        "image_size": side(c["image_size"]),
        "patch_size": side(c["patch_size"]),
        "num_channels": c["in_channels"],
        "hidden_size": c["d_model"],
        "num_hidden_layers": c["num_layers"],
        "num_attention_heads": c["num_heads"],
        "intermediate_size": c["dff"],
        "hidden_act": written_activation(c["activation"], loaded.get("hidden_act")),
        "hidden_dropout_prob": c["dropout"],
        "attention_probs_dropout_prob": loaded.get("attention_probs_dropout_prob", c["dropout"]),
        "layer_norm_eps": c["norm_eps"],
        "qkv_bias": c["qkv_bias"] is not False,
    }
    if pooler == classifies:
        values["add_pooling_layer"] = pooler
    if classifies and number_of_classes(Config(loaded)) != c["num_classes"]:
        values |= labels(c["num_classes"])
    return values


FAMILY = Family(
    model_types=("vit",),
    model="VisionTransformer",
    build=_build,
    entries=_entries,
    describe=_describe,
    bases=("vit.", ""),
    ignored=(r"embeddings\.mask_token",),
    unwritten=("add_pooling_layer",),
)

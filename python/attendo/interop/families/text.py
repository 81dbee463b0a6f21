"""What checkpoints of BERT and its relatives have in common: a text encoder, and perhaps a head.

``architectures`` in config.json says which: ``...Model`` is a :class:`attendo.models.TextEncoder`,
``...ForMaskedLM`` a :class:`attendo.models.MaskedLM`, ``...ForSequenceClassification`` an
:class:`attendo.models.EncoderClassifier`. A :class:`Layout` is how one relative names its keys and tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..._core import EncoderClassifier, MaskedLM, Module, TextEncoder
from ..config import Config
from ..entries import Entry, copied, linear, norm, stacked
from ..family import Family, Unfit, fits, options_of

# hidden_act in config.json → activation; and what is written for each.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
WRITTEN = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu", "silu": "silu"}


def written_activation(activation: str, loaded: Any) -> str:
    """The name it was loaded under, where that is one for it."""
    return str(loaded) if ACTIVATIONS.get(loaded) == activation else WRITTEN[activation]


# What came later than BERT.
PLAIN: dict[str, Any] = {
    "norm": "layer", "bias": True, "out_bias": None, "num_kv_heads": None, "head_dim": None,
    "attention_scale": None, "qk_norm": False, "activation": tuple(WRITTEN),
}  # fmt: skip

# The end of a name in architectures → what the model is.
KINDS = {
    "Model": "encoder",
    "ForMaskedLM": "masked",
    "ForPreTraining": "masked",
    "ForSequenceClassification": "classifier",
}
ENDINGS = {
    "TextEncoder": "Model",
    "MaskedLM": "ForMaskedLM",
    "EncoderClassifier": "ForSequenceClassification",
}


def number_of_classes(config: Config) -> int:
    """As many as config.json has names for; two where it has none."""
    names = config.values.get("id2label")
    if names is None:
        return int(config.integer("num_labels", 2))
    if not isinstance(names, dict) or not names:
        config.wrong("id2label", "an object with a name for each class")
    return len(names)


def labels(classes: int) -> dict[str, Any]:
    """Names of classes, as transformers makes them up."""
    return {
        "id2label": {str(i): f"LABEL_{i}" for i in range(classes)},
        "label2id": {f"LABEL_{i}": i for i in range(classes)},
    }


@dataclass(frozen=True)
class Layout:
    """Names of one relative: keys of config.json with their defaults, and tensors without their base."""

    classes: Mapping[str, str]  # model_type → how the names of its classes begin
    base: str
    keys: Mapping[str, tuple[str, int]]  # vocab_size, d_model, num_layers, num_heads, dff, max_len
    activation: str
    dropouts: tuple[str, str]  # of features, of attention weights
    layers: str
    parts: Mapping[str, str]  # q, k, v, out_proj, linear1, linear2, norm1, norm2: within a layer
    masked: tuple[
        str, str, str, str, str
    ]  # the head: dense, norm, bias; the decoder, which repeats; its bias
    classifier: str
    pooler: str = ""  # of the encoder alone, under base
    classifier_pooler: str = ""  # of a classifier, the name as it is; "" where it is the encoder's own
    pooler_activation: str = "tanh"
    types: bool = False
    counts_padding: bool = False  # positions begin behind pad_token_id
    masked_activation: str = ""  # of the head; "" for that of the layers
    head_dropout: tuple[str, float | None] = ("classifier_dropout", None)  # None: as the features
    norm_eps: float | None = None  # where config.json has no key for it
    ignored: tuple[str, ...] = ()
    only: Mapping[str, Any] = field(default_factory=dict)  # keys that can have one value alone


class TextFamily:
    """The functions of a Family, by the names of a Layout."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    # ------------------------------------------------------------------------------------------------ config

    def kind(self, config: Config) -> str:
        """encoder, masked or classifier."""
        known = [prefix + ending for prefix in self.layout.classes.values() for ending in KINDS]
        given = config.values.get("architectures")
        if given is None:
            given = ["Model"]
        if not isinstance(given, list) or not given or not isinstance(given[0], str):
            config.wrong("architectures", "a list with a name")
        name = given[0]
        if name != "Model" and name not in known:
            config.wrong("architectures", "one of " + ", ".join(known) + ": attendo has no other")
        return next(kind for ending, kind in KINDS.items() if name.endswith(ending))

    def has_pooler(self, config: Config, base: str) -> bool:
        kind = self.kind(config)
        if kind == "classifier":
            return True
        if not self.layout.pooler:
            return False
        if config.tensors:
            return f"{base}{self.layout.pooler}.weight" in config.tensors
        return config.flag("add_pooling_layer", kind == "encoder")

    def base_of(self, config: Config) -> str:
        base = self.layout.base
        return base if any(name.startswith(base) for name in config.tensors) else ""

    def sizes(self, config: Config) -> dict[str, int]:
        keys = self.layout.keys.items()
        return {name: config.integer(*key, least=0 if name == "num_layers" else 1) for name, key in keys}

    def build(self, config: Config, dtype: str) -> Module:
        layout = self.layout
        for key, value in {"is_decoder": False, "add_cross_attention": False, **layout.only}.items():
            config.only(key, value)
        config.only("position_embedding_type", "absolute")
        kind = self.kind(config)
        if kind == "masked":
            config.only("tie_word_embeddings", True)
        size = self.sizes(config)
        dropout = config.number(layout.dropouts[0], 0.1, 0, 1)
        config.number(layout.dropouts[1], 0.1, 0, 1)
        activation = config.choice(layout.activation, ACTIVATIONS, "gelu")
        options: dict[str, Any] = {
            **size,
            "dropout": dropout,
            "activation": activation,
            "norm_eps": layout.norm_eps or config.number("layer_norm_eps", 1e-12, 0),
            "type_vocab_size": config.integer("type_vocab_size", 2) if layout.types else 0,
            "pad_id": config.integer("pad_token_id", 1, 0) if layout.counts_padding else None,
            "pooler": layout.pooler_activation if self.has_pooler(config, self.base_of(config)) else None,
            "dtype": dtype,
        }
        if kind == "masked":
            options["head_activation"] = layout.masked_activation or activation
            return MaskedLM(**options)
        if kind == "encoder":
            return TextEncoder(**options)
        head_dropout = config.number(*layout.head_dropout, 0, 1)
        return EncoderClassifier(**options, num_classes=number_of_classes(config), head_dropout=head_dropout)

    # ----------------------------------------------------------------------------------------------- tensors

    def entries(self, config: Config, base: str) -> Iterator[Entry]:
        layout, kind = self.layout, self.kind(config)
        if kind == "encoder" and not config.tensors:
            base = ""  # a body alone is written without one
        size = self.sizes(config)
        d, ours = size["d_model"], "" if kind == "encoder" else "text."

        def table(name: str, theirs: str, rows: int) -> Entry:
            return copied(f"{ours}{name}.weight", f"{base}embeddings.{theirs}.weight", (rows, d))

        yield table("embedding", "word_embeddings", size["vocab_size"])
        yield table("position", "position_embeddings", size["max_len"])
        if layout.types:
            yield table("token_type", "token_type_embeddings", config.integer("type_vocab_size", 2))
        yield from norm(f"{ours}norm", f"{base}embeddings.LayerNorm", d)
        for i in range(size["num_layers"]):
            yield from self._layer(
                f"{ours}encoder.layers.{i}.", f"{base}{layout.layers}.{i}.", d, size["dff"]
            )
        if self.has_pooler(config, base):
            own = kind == "classifier" and layout.classifier_pooler
            yield from linear(
                f"{ours}pooler", layout.classifier_pooler if own else base + layout.pooler, d, d
            )
        if kind == "masked":
            dense, head_norm, bias = layout.masked[:3]
            yield from linear("dense", dense, d, d)
            yield from norm("norm", head_norm, d)
            yield copied("bias", bias, (size["vocab_size"],))
        elif kind == "classifier":
            yield from linear("classifier", layout.classifier, number_of_classes(config), d)

    def _layer(self, ours: str, theirs: str, d: int, dff: int) -> Iterator[Entry]:
        part = {name: theirs + their for name, their in self.layout.parts.items()}
        yield stacked(f"{ours}self_attn.in_proj_weight", {f"{part[x]}.weight": d for x in "qkv"}, (d,))
        yield stacked(f"{ours}self_attn.in_proj_bias", {f"{part[x]}.bias": d for x in "qkv"})
        yield from linear(f"{ours}self_attn.out_proj", part["out_proj"], d, d)
        yield from linear(f"{ours}feed_forward.linear1", part["linear1"], dff, d)
        yield from linear(f"{ours}feed_forward.linear2", part["linear2"], d, dff)
        yield from norm(f"{ours}norm1", part["norm1"], d)
        yield from norm(f"{ours}norm2", part["norm2"], d)

    def tied(self, config: Config, base: str) -> dict[str, str]:
        _, _, bias, decoder, decoder_bias = self.layout.masked
        return {f"{decoder}.weight": f"{base}embeddings.word_embeddings.weight", decoder_bias: bias}

    # ----------------------------------------------------------------------------------------------- writing

    def describe(self, model: Any) -> dict[str, Any]:
        layout, c, name = self.layout, options_of(model), type(model).__name__
        loaded = getattr(model, "pretrained_config", {})
        fits(c, **PLAIN, norm_first=False, positions="learned", qkv_bias=None)
        if layout.norm_eps is not None:
            fits(c, norm_eps=layout.norm_eps)
        if layout.types != (c["type_vocab_size"] > 0):
            raise Unfit(f"type_vocab_size is {c['type_vocab_size']}")
        if layout.counts_padding != (c["pad_id"] is not None):
            raise Unfit(f"pad_id is {c['pad_id']}")
        if name == "EncoderClassifier":
            fits(c, pooling="first", pooler=layout.pooler_activation)
        else:
            fits(c, pooler=(None, layout.pooler_activation) if layout.pooler else None)
        if name == "MaskedLM":
            fits(c, head_activation=layout.masked_activation or c["activation"])
        pooler = c["pooler"]
        model_type = str(loaded.get("model_type"))
        if model_type not in layout.classes:
            model_type = next(iter(layout.classes))
        values: dict[str, Any] = {key: c[ours] for ours, (key, _) in layout.keys.items()}
        values |= {
            "model_type": model_type,
            "architectures": [layout.classes[model_type] + ENDINGS[name]],
            layout.activation: written_activation(c["activation"], loaded.get(layout.activation)),
            layout.dropouts[0]: c["dropout"],
            layout.dropouts[1]: loaded.get(layout.dropouts[1], c["dropout"]),
        }
        if layout.norm_eps is None:
            values["layer_norm_eps"] = c["norm_eps"]
        if layout.types:
            values["type_vocab_size"] = c["type_vocab_size"]
        if layout.counts_padding:
            values["pad_token_id"] = c["pad_id"]
        if layout.pooler and name != "EncoderClassifier" and (pooler is not None) != (name == "TextEncoder"):
            values["add_pooling_layer"] = pooler is not None
        if name == "EncoderClassifier":
            values[layout.head_dropout[0]] = c["head_dropout"]
            if number_of_classes(Config(loaded)) != c["num_classes"]:
                values |= labels(c["num_classes"])
        return values

    def family(self) -> Family:
        """The Family, for the frame."""
        return Family(
            model_types=tuple(self.layout.classes),
            model=tuple(ENDINGS),
            build=self.build,
            entries=self.entries,
            describe=self.describe,
            bases=(self.layout.base, ""),
            ignored=(r"embeddings\.position_ids", *self.layout.ignored),
            tied=self.tied,
            unwritten=("add_pooling_layer",),  # transformers would take it for an argument of from_pretrained
            renamed=((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias")),
        )

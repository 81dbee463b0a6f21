"""Llama, Mistral, Qwen 2 and 3: rotary positions, RMS norm before each part, SwiGLU, grouped heads.

Touvron et al. 2023; Grattafiori et al. 2024 (Llama 3); Jiang et al. 2023 (Mistral); Yang et al. 2024, 2025
(Qwen).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..config import Config
from ..entries import Entry, copied, linear, norm, stacked
from ..family import Family, Unfit

# The gate's function → the feed-forward network of ours that has it.
_ACTIVATIONS: dict[str, Any] = {
    "silu": "swiglu",
    "swish": "swiglu",
    "gelu": "geglu",
    "gelu_new": "geglu_tanh",
    "gelu_pytorch_tanh": "geglu_tanh",
    "relu": "reglu",
    "sigmoid": "glu",
}
_NAMES = {
    "swiglu": "silu",
    "geglu": "gelu",
    "geglu_tanh": "gelu_pytorch_tanh",
    "reglu": "relu",
    "glu": "sigmoid",
}


def _is_trunk(config: Config) -> bool:
    """LlamaModel and its like, saved without a layer to the vocabulary."""
    made = config.values.get("architectures")
    names = made if isinstance(made, list) else []
    trunk = bool(names) and all(isinstance(one, str) and one.endswith("Model") for one in names)
    return trunk and bool(config.tensors) and "lm_head.weight" not in config.tensors


class _Sizes:
    """The sizes in a config, with the defaults of its model_type."""

    def __init__(self, config: Config) -> None:
        self.kind = config.values.get("model_type", "llama")
        self.d = config.integer("hidden_size", 4096)
        self.heads = config.integer("num_attention_heads", 32)
        self.layers = config.integer("num_hidden_layers", 32, least=0, most=10_000)
        # null is as many as heads, absent the format's number.
        absent = "num_key_value_heads" not in config.values
        kv_heads = {"mistral": 8, "qwen2": 32, "qwen3": 32}.get(self.kind) if absent else None
        kv_heads = self.heads if kv_heads is None else kv_heads
        self.kv_heads = config.integer("num_key_value_heads", kv_heads)
        self.dff = config.integer("intermediate_size", {"mistral": 14336}.get(self.kind, 11008))
        self.vocab = config.integer("vocab_size", {"qwen2": 151936, "qwen3": 151936}.get(self.kind, 32000))
        head_dim = 128 if self.kind == "qwen3" else max(self.d // self.heads, 1)
        self.head_dim = config.integer("head_dim", head_dim)
        # The trunk alone (LlamaModel) has no head: its logits are then products with the embeddings.
        self.tied = config.flag("tie_word_embeddings", False) or _is_trunk(config)
        self.attention_bias = (
            config.flag("attention_bias", False) if self.kind in ("llama", "qwen3") else False
        )
        self.qkv_bias = True if self.kind == "qwen2" else self.attention_bias
        self.mlp_bias = config.flag("mlp_bias", False) if self.kind == "llama" else False


def _windows(config: Config, s: _Sizes) -> int | list[int] | None:
    """What a position sees, in every layer or in each."""
    default = 4096 if s.kind == "mistral" else None
    window = config.integer("sliding_window", default) if s.kind != "llama" else None
    if s.kind == "mistral":
        config.only("layer_types", None)
        return None if window is None else int(window)
    if window is None or not config.flag("use_sliding_window", False):
        return None
    types = config.values.get("layer_types")
    if types is None:
        full = config.integer("max_window_layers", 28, least=0)
        return [int(window) if i >= full else 0 for i in range(s.layers)]
    known = {"full_attention": 0, "sliding_attention": int(window)}
    if (
        not isinstance(types, list)
        or len(types) != s.layers
        or not all(isinstance(one, str) and one in known for one in types)
    ):
        config.wrong("layer_types", f"{s.layers} times 'full_attention' or 'sliding_attention'")
    return [known[one] for one in types]


def _rotary(config: Config, s: _Sizes, max_len: int) -> dict[str, Any]:
    """The options of the rotary positions. Their keys moved into one dictionary with transformers 5."""
    for key in ("rope_parameters", "rope_scaling"):
        if config.values.get(key) is not None and not isinstance(config.values[key], dict):
            config.wrong(key, "an object")
    given: dict[str, Any] = config.values.get("rope_scaling") or config.values.get("rope_parameters") or {}
    rope = Config({**config.values, **given}, config.where)
    if rope.number("partial_rotary_factor", 1.0) != 1:
        rope.wrong("partial_rotary_factor", "1: these models turn whole heads")
    kind = rope.choice(
        "type" if "rope_type" not in rope.values and "type" in given else "rope_type",
        {name: name for name in ("default", "linear", "dynamic", "llama3", "yarn")},
        "default",
    )
    base = rope.number("rope_theta", 10000.0, least=1e-6)
    options: dict[str, Any] = {"rotary_base": base}
    if kind in ("default", "dynamic"):  # "dynamic" differs only beyond max_position_embeddings, where we stop
        return options
    from ...functional import inverse_frequencies

    factor = rope.number("factor", least=1.0)
    if kind == "linear":
        scaling: dict[str, Any] = {}
    elif kind == "llama3":
        scaling = {
            "low_freq_factor": rope.number("low_freq_factor"),
            "high_freq_factor": rope.number("high_freq_factor"),
            "original_max_position_embeddings": rope.number("original_max_position_embeddings"),
        }
    else:
        rope.only("truncate", True)
        original = rope.number("original_max_position_embeddings", float(max_len))
        scaling = {
            "beta_fast": rope.number("beta_fast", 32.0),
            "beta_slow": rope.number("beta_slow", 1.0),
            "original_max_position_embeddings": original,
        }
        # The cosines and sines are longer by this factor, and so the scores by its square.
        mscale, all_dim = rope.number("mscale", 0.0), rope.number("mscale_all_dim", 0.0)

        def longer(weight: float) -> float:
            return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

        usual = longer(mscale) / longer(all_dim) if mscale and all_dim else longer(1.0)
        length = rope.number("attention_factor", usual)
        options["attention_scale"] = length**2 / math.sqrt(s.head_dim)
    scaling = {"rope_type": kind, "factor": factor, **scaling}
    frequencies = inverse_frequencies(s.head_dim, base, scaling=scaling)
    options["rotary_frequencies"] = frequencies.tolist()
    return options


def _build(config: Config, dtype: str) -> Any:
    from ...models import DecoderLM

    s = _Sizes(config)
    config.only("pretraining_tp", 1)
    config.only("is_causal", True)
    max_len = config.integer(
        "max_position_embeddings", {"mistral": 131072, "qwen2": 32768, "qwen3": 32768}.get(s.kind, 2048)
    )
    return DecoderLM(
        s.vocab,
        s.d,
        s.heads,
        s.layers,
        max_len,
        dff=s.dff,
        dropout=0.0,  # attention_dropout is for training, of the weights alone
        activation=config.choice("hidden_act", _ACTIVATIONS, "silu"),
        norm_first=True,
        norm="rms",
        norm_eps=config.number("rms_norm_eps", 1e-6, least=0.0),
        positions="rotary",
        tie_weights=s.tied,
        num_kv_heads=s.kv_heads,
        head_dim=s.head_dim,
        bias=s.mlp_bias,
        qkv_bias=s.qkv_bias,
        out_bias=s.attention_bias,
        qk_norm=s.kind == "qwen3",
        head_bias=False,
        scale_embeddings=False,
        window=_windows(config, s),
        dtype=dtype,
        **_rotary(config, s, max_len),
    )


def _entries(config: Config, base: str) -> Iterator[Entry]:
    s = _Sizes(config)
    rows = {
        "q_proj": s.heads * s.head_dim,
        "k_proj": s.kv_heads * s.head_dim,
        "v_proj": s.kv_heads * s.head_dim,
    }
    yield copied("embedding.weight", f"{base}embed_tokens.weight", (s.vocab, s.d))
    for i in range(s.layers):
        ours, theirs = f"decoder.layers.{i}", f"{base}layers.{i}"
        attention, network = f"{theirs}.self_attn", f"{theirs}.mlp"
        weights = {f"{attention}.{name}.weight": n for name, n in rows.items()}
        yield stacked(f"{ours}.self_attn.in_proj_weight", weights, (s.d,))
        if s.qkv_bias:
            yield stacked(
                f"{ours}.self_attn.in_proj_bias", {f"{attention}.{name}.bias": n for name, n in rows.items()}
            )
        if s.kind == "qwen3":
            yield copied(f"{ours}.self_attn.q_norm", f"{attention}.q_norm.weight", (s.head_dim,))
            yield copied(f"{ours}.self_attn.k_norm", f"{attention}.k_norm.weight", (s.head_dim,))
        yield from linear(
            f"{ours}.self_attn.out_proj", f"{attention}.o_proj", s.d, s.heads * s.head_dim, s.attention_bias
        )
        # Ours has the value above the gate.
        halves = (f"{network}.up_proj", f"{network}.gate_proj")
        yield stacked(f"{ours}.feed_forward.linear1.weight", {f"{n}.weight": s.dff for n in halves}, (s.d,))
        if s.mlp_bias:
            yield stacked(f"{ours}.feed_forward.linear1.bias", {f"{n}.bias": s.dff for n in halves})
        yield from linear(f"{ours}.feed_forward.linear2", f"{network}.down_proj", s.d, s.dff, s.mlp_bias)
        yield from norm(f"{ours}.norm1", f"{theirs}.input_layernorm", s.d, bias=False)
        yield from norm(f"{ours}.norm2", f"{theirs}.post_attention_layernorm", s.d, bias=False)
    yield from norm("decoder.norm", f"{base}norm", s.d, bias=False)
    if not s.tied:
        yield copied("generator.weight", "lm_head.weight", (s.vocab, s.d))


def _tied(config: Config, base: str) -> dict[str, str]:
    tied = config.flag("tie_word_embeddings", False)
    return {"lm_head.weight": f"{base}embed_tokens.weight"} if tied else {}


def _describe(model: Any) -> dict[str, Any]:
    c = model.config
    fixed = {"norm_first": True, "positions": "rotary"}
    for key, value in {**fixed, "norm": "rms", "scale_embeddings": False}.items():
        if c.get(key, {"norm": "layer", "scale_embeddings": True}.get(key)) != value:
            raise Unfit(f"its {key} is not {value!r}")
    if c["activation"] not in _NAMES:
        raise Unfit(f"its activation is {c['activation']!r}, without a gate")
    if not c["tie_weights"] and c.get("head_bias", True):
        raise Unfit("its head has a bias")
    if c.get("rotary_interleaved"):
        raise Unfit("its rotary pairs are neighbours")
    loaded = getattr(model, "pretrained_config", {})
    qwen3 = bool(c.get("qk_norm"))
    bias = c.get("bias", True)
    qkv, out = c.get("qkv_bias", bias), c.get("out_bias", bias)
    kind = "qwen3" if qwen3 else "qwen2" if qkv and not out else "llama"
    if kind == "llama" and loaded.get("model_type") == "mistral":
        kind = "mistral"
    if qkv != out and kind != "qwen2":
        raise Unfit("one of its qkv_bias and out_bias is true")
    if bias and kind != "llama":
        raise Unfit("its feed-forward networks have biases")
    window = c.get("window")
    if kind == "llama" and window is not None:
        if qkv or bias or not isinstance(window, int):
            raise Unfit("it has a window")
        kind = "mistral"
    head_dim = c.get("head_dim", c["d_model"] // c["num_heads"])
    described: dict[str, Any] = {
        "model_type": kind,
        "architectures": [
            {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}[kind] + "ForCausalLM"
        ],
        "vocab_size": c["vocab_size"],
        "hidden_size": c["d_model"],
        "intermediate_size": c["dff"],
        "num_hidden_layers": c["num_layers"],
        "num_attention_heads": c["num_heads"],
        "num_key_value_heads": c.get("num_kv_heads", c["num_heads"]),
        "head_dim": head_dim,
        "hidden_act": _NAMES[c["activation"]],
        "max_position_embeddings": c["max_len"],
        "rms_norm_eps": c.get("norm_eps", 1e-5),
        "tie_word_embeddings": c["tie_weights"],
    }
    if kind in ("llama", "qwen3"):
        described["attention_bias"] = qkv
    if kind == "llama":
        described["mlp_bias"] = bias
    if kind == "mistral":
        described["sliding_window"] = window
    if kind in ("qwen2", "qwen3"):
        described["use_sliding_window"] = window is not None
        if window is not None:
            windows = [window] * c["num_layers"] if isinstance(window, int) else window
            sizes = {one for one in windows if one}
            if len(sizes) > 1:
                raise Unfit("its layers have windows of several sizes")
            described["sliding_window"] = max(sizes, default=None)
            described["layer_types"] = ["sliding_attention" if one else "full_attention" for one in windows]
    usual = {"rope_type": "default", "rope_theta": c.get("rotary_base", 10000.0)}
    if c.get("rotary_dim", head_dim) != head_dim:
        raise Unfit(f"its rotary_dim is {c['rotary_dim']}, not a whole head of {head_dim}")
    described["rope_parameters"] = usual
    if "rotary_frequencies" in c or "attention_scale" in c:
        # Frequencies cannot be told apart again: only those that were read can be said.
        if loaded.get("model_type") != kind:
            raise Unfit("its rotary_frequencies or attention_scale are its own")
        described.pop("rope_parameters")
        config = Config({**loaded, **described})
        again = _rotary(config, _Sizes(config), c["max_len"])
        same = all(
            list(again.get(key, ())) == list(c.get(key, ())) for key in ("rotary_frequencies",)
        ) and again.get("attention_scale") == c.get("attention_scale")
        if not same:
            raise Unfit("its rotary_frequencies or attention_scale are its own")
    return described


FAMILY = Family(
    model_types=("llama", "mistral", "qwen2", "qwen3"),
    model="DecoderLM",
    build=_build,
    entries=_entries,
    describe=_describe,
    bases=("model.", ""),
    ignored=(r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq", r"rotary_emb\.inv_freq"),
    tied=_tied,
)

"""Llama, Mistral, Qwen 2 and 3: what transformers writes is read, computed alike, and written back."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hugging_face import assert_same_outputs, random_model, reread, written

import attendo as at

OUTPUTS = {
    "logits": "logits",
    "hidden_states": "hidden_states",
    "attentions": "attentions",
}
KINDS = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}
ROPES: list[dict[str, Any]] = [
    {"rope_type": "default", "rope_theta": 10000.0},
    {"rope_type": "default", "rope_theta": 500000.0},
    {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
    {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0},
    {
        "rope_type": "llama3",
        "rope_theta": 1000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
    {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 16},
]


def options(kind: str, seed: int) -> dict[str, Any]:
    """A small configuration of any kind, all of its choices drawn."""
    rng = np.random.default_rng(seed)
    heads = int(rng.choice([1, 2, 4, 6]))
    head_dim = int(rng.choice([4, 6, 8]))
    chosen = {
        "vocab_size": int(rng.integers(11, 60)),
        "hidden_size": head_dim * heads,
        "intermediate_size": int(rng.integers(5, 40)),
        "num_hidden_layers": int(rng.integers(1, 4)),
        "num_attention_heads": heads,
        "num_key_value_heads": int(rng.choice([n for n in range(1, heads + 1) if heads % n == 0])),
        "max_position_embeddings": 64,
        "rms_norm_eps": float(rng.choice([1e-6, 1e-5])),
        "hidden_act": str(rng.choice(["silu", "silu", "gelu", "gelu_pytorch_tanh", "relu"])),
        "tie_word_embeddings": bool(rng.integers(2)),
        "rope_parameters": dict(ROPES[int(rng.integers(len(ROPES)))]),
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    if kind != "qwen2":
        chosen["head_dim"] = head_dim + 2 * int(rng.integers(2)) if kind != "llama" else head_dim
    if kind in ("llama", "qwen3"):
        chosen["attention_bias"] = bool(rng.integers(2))
    if kind == "llama":
        chosen["mlp_bias"] = bool(rng.integers(2))
    if kind == "mistral":
        chosen["sliding_window"] = [None, 3, 5][int(rng.integers(3))]
    if kind.startswith("qwen") and rng.integers(2):
        chosen.update(use_sliding_window=True, sliding_window=4, max_window_layers=1)
    return chosen


def their_model(torch: Any, transformers: Any, kind: str, seed: int) -> Any:
    config = getattr(transformers, f"{KINDS[kind]}Config")(**options(kind, seed))
    return random_model(torch, getattr(transformers, f"{KINDS[kind]}ForCausalLM"), config, seed)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", KINDS)
def test_read_and_written(torch, transformers, kind, seed, tmp_path):
    theirs = their_model(torch, transformers, kind, seed)
    ours = at.models.load_pretrained(written(theirs, tmp_path / "theirs"))
    ids = np.random.default_rng(seed).integers(0, theirs.config.vocab_size, (2, 11))
    expected = theirs(torch.tensor(ids), output_hidden_states=True, output_attentions=True)
    got = ours.outputs(ids, hidden_states=True, attentions=True)
    assert_same_outputs(expected, got, OUTPUTS)

    ours.save_pretrained(tmp_path / "ours")
    again = reread(transformers, type(theirs), tmp_path / "ours")
    assert again.config.model_type == kind
    assert_same_outputs(again(torch.tensor(ids)), got, {"logits": "logits"})


@pytest.mark.parametrize("kind", KINDS)
def test_greedy(torch, transformers, kind, tmp_path):
    theirs = their_model(torch, transformers, kind, 11)
    ours = at.models.load_pretrained(written(theirs, tmp_path))
    ids = np.random.default_rng(1).integers(0, theirs.config.vocab_size, (3, 6))
    expected = theirs.generate(torch.tensor(ids), max_new_tokens=20, do_sample=False, pad_token_id=0)
    assert ours.generate(ids, max_new_tokens=20).tolist() == expected.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_trunk_alone(torch, transformers, kind, tmp_path):
    """LlamaModel has no head: its hidden states are read, and logits are products with the embeddings."""
    config = getattr(transformers, f"{KINDS[kind]}Config")(
        **{**options(kind, 5), "tie_word_embeddings": False}
    )
    theirs = random_model(torch, getattr(transformers, f"{KINDS[kind]}Model"), config, 5)
    ours = at.models.load_pretrained(written(theirs, tmp_path))
    ids = np.random.default_rng(5).integers(0, config.vocab_size, (2, 7))
    got = ours.outputs(ids, hidden_states=True)
    expected = theirs(torch.tensor(ids), output_hidden_states=True)
    names = {"last_hidden_state": "last_hidden_state", "hidden_states": "hidden_states"}
    assert_same_outputs(expected, got, names)
    assert ours.config["tie_weights"] and not ours.load_report.missing


def test_half_precision_is_widened(torch, transformers, tmp_path):
    theirs = their_model(torch, transformers, "llama", 3).to(torch.bfloat16)
    ours = at.models.load_pretrained(written(theirs, tmp_path))
    ids = np.arange(6)[None]
    assert_same_outputs(theirs.float()(torch.tensor(ids)), ours.outputs(ids), {"logits": "logits"})


def test_yarn_lengthens_the_scores(tmp_path):
    """The factor of its cosines and sines becomes one of the scores."""
    from attendo.interop.config import Config
    from attendo.interop.families.llama import FAMILY

    rope = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 16}
    config = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 4}
    model = FAMILY.build(
        Config({**config, "vocab_size": 5, "num_hidden_layers": 1, "rope_parameters": rope}), "float32"
    )
    assert model.config["attention_scale"] == pytest.approx((0.1 * math.log(4) + 1) ** 2 / 2)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"hidden_act": "mish"}, "'hidden_act' is 'mish'"),
        ({"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}}, "'rope_type' is 'longrope'"),
        ({"rope_scaling": {"type": "linear", "factor": -1}}, "'factor' is -1"),
        ({"rope_parameters": [1]}, "'rope_parameters' is \\[1\\] but must be an object"),
        ({"num_key_value_heads": 3}, "num_heads is 4 but must be a multiple of num_kv_heads, which is 3"),
        ({"pretraining_tp": 2}, "'pretraining_tp' is 2"),
        ({"is_causal": False}, "'is_causal' is False"),
        ({"partial_rotary_factor": 0.5}, "'partial_rotary_factor' is 0.5 but must be 1"),
        ({"rope_parameters": {"partial_rotary_factor": 0.25}}, "'partial_rotary_factor' is 0.25"),
        ({"num_hidden_layers": 10**9}, "'num_hidden_layers' is 1000000000"),
        ({"attention_bias": "yes"}, "'attention_bias' is 'yes'"),
    ],
)
def test_wrong_configs(change, says):
    from attendo.interop.config import Config
    from attendo.interop.families.llama import FAMILY

    values = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 4, "intermediate_size": 4}
    values.update(vocab_size=5, num_hidden_layers=1, max_position_embeddings=8)
    json.dumps(values)
    with pytest.raises(ValueError, match=says):
        FAMILY.build(Config({**values, **change}), "float32")


def test_null_and_both_spellings(torch, transformers, tmp_path):
    """null key-value heads are as many as heads; rope_scaling goes before rope_parameters."""
    for kind in ("llama", "qwen2", "qwen3"):
        config = {**options(kind, 4), "num_key_value_heads": None}
        config["rope_parameters"] = {"rope_type": "default", "rope_theta": 10.0}
        made = getattr(transformers, f"{KINDS[kind]}Config")(**config)
        model = getattr(transformers, f"{KINDS[kind]}ForCausalLM")
        folder = written(random_model(torch, model, made, 4), tmp_path / kind)
        file = folder / "config.json"
        values = json.loads(file.read_text())
        values["num_key_value_heads"] = None
        values["rope_scaling"] = {"rope_type": "linear", "factor": 2.0}
        file.write_text(json.dumps(values))
        ids = np.random.default_rng(0).integers(0, made.vocab_size, (2, 9))
        expected = reread(transformers, model, folder)(torch.tensor(ids))
        got = at.models.load_pretrained(folder).outputs(ids)
        assert_same_outputs(expected, got, {"logits": "logits"})


def test_part_of_a_head_cannot_be_said(tmp_path):
    model = at.models.DecoderLM(
        20, 16, 2, 1, 48, norm_first=True, norm="rms", activation="swiglu", positions="rotary", bias=False,
        head_bias=False, scale_embeddings=False, rotary_dim=4, seed=0,
    )  # fmt: skip
    with pytest.raises(ValueError, match="its rotary_dim is 4, not a whole head of 8"):
        model.save_pretrained(tmp_path)


def test_what_it_cannot_say():
    model = at.models.DecoderLM(5, 8, 2, 1, 8, seed=0)
    with pytest.raises(ValueError, match="no family of checkpoints can say what this model is"):
        model.save_pretrained("nowhere")

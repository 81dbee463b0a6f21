"""GPT-2 against `transformers`: what either writes the other reads, and computes the same."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attendo as at
from attendo.interop.checkpoint import CheckpointError
from attendo.interop.config import Config
from attendo.interop.family import family_of
from tolerance import assert_same_bits

SMALL = {
    "vocab_size": 37,
    "n_positions": 24,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGS = {
    "plain": {},
    "body alone": {},
    "one head": {"n_head": 1, "n_layer": 1},
    "wide": {"n_inner": 24, "activation_function": "relu"},
    "exact gelu, untied": {"activation_function": "gelu", "tie_word_embeddings": False},
    "silu, eps": {"activation_function": "silu", "layer_norm_epsilon": 0.1},
    "scores not scaled": {"scale_attn_weights": False},
    "no layers": {"n_layer": 0},
}


def theirs(transformers, torch, name, folder, **save):
    """A model of random weights that `transformers` made and wrote; what it computes."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(**{**SMALL, **CONFIGS[name]}, attn_implementation="eager")
    model = (transformers.GPT2Model if name == "body alone" else transformers.GPT2LMHeadModel)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # the zeros and ones of a start hide mistakes
            parameter.normal_(0, 0.3)
    model.save_pretrained(folder, **save)
    return model


KEYS = {
    "model_type", "vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner", "unknown",
    "resid_pdrop", "layer_norm_epsilon", "scale_attn_weights", "scale_attn_by_inverse_layer_idx",
    "add_cross_attention", "tie_word_embeddings", "eos_token_id", "bos_token_id", "pad_token_id",
    "activation_function",
}  # fmt: skip
IDS = np.random.default_rng(0).integers(0, 37, (3, 11))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_same_numbers(transformers, torch, tmp_path, name):
    model = theirs(transformers, torch, name, tmp_path)
    ours = at.models.load_pretrained(tmp_path, dtype="float64")
    assert ours.load_report.missing == ours.load_report.unexpected == []
    with torch.no_grad():
        expected = model.double()(torch.tensor(IDS), output_hidden_states=True, output_attentions=True)
    got = ours.outputs(IDS, hidden_states=True, attentions=True)
    if name != "body alone":
        np.testing.assert_allclose(got.logits.numpy(), expected.logits.numpy(), rtol=0, atol=1e-10)
    for a, b in zip(got.attentions, expected.attentions, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=1e-10)
    single = at.models.load_pretrained(tmp_path)
    np.testing.assert_allclose(single(IDS).numpy(), ours(IDS).numpy(), rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CONFIGS)
def test_written_back(transformers, torch, tmp_path, name):
    """`transformers` opens it with nothing missing and nothing left over, and computes what it did."""
    model = theirs(transformers, torch, name, tmp_path / "a")
    at.models.load_pretrained(tmp_path / "a").save_pretrained(tmp_path / "b")
    again, report = type(model).from_pretrained(tmp_path / "b", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    before, after = model.state_dict(), again.state_dict()
    assert set(before) == set(after)
    for key, value in before.items():
        assert_same_bits(after[key].numpy(), value.numpy(), key)
    for key, value in model.config.to_dict().items():
        if key not in (
            "architectures",
            "_name_or_path",
            "transformers_version",
            "embd_pdrop",
            "attn_pdrop",
            "n_inner",
        ):
            assert again.config.to_dict()[key] == value, key


@pytest.mark.filterwarnings("ignore")
def test_shards_that_transformers_reads_and_writes(transformers, torch, tmp_path):
    model = theirs(transformers, torch, "plain", tmp_path / "a", max_shard_size="10KB")
    assert (tmp_path / "a" / "model.safetensors.index.json").exists()
    ours = at.models.load_pretrained(tmp_path / "a")
    ours.save_pretrained(tmp_path / "b", max_shard_size="10KB")
    assert len(list((tmp_path / "b").glob("model-*.safetensors"))) > 1
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "b")
    for key, value in model.state_dict().items():
        assert_same_bits(again.state_dict()[key].numpy(), value.numpy(), key)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(transformers, torch, tmp_path, dtype):
    model = theirs(transformers, torch, "plain", tmp_path)
    model.to(getattr(torch, dtype)).save_pretrained(tmp_path)
    ours = at.models.load_pretrained(tmp_path).state_dict()
    assert_same_bits(ours["embedding.weight"], model.float().state_dict()["transformer.wte.weight"].numpy())


@pytest.mark.filterwarnings("ignore")
def test_a_model_made_here(transformers, torch, tmp_path):
    ours = at.models.DecoderLM(
        37, 16, 4, 2, 24, norm_first=True, positions="learned", activation="gelu_tanh", tie_weights=True,
        scale_embeddings=False, seed=0,
    ).eval()  # fmt: skip
    ours.save_pretrained(tmp_path)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        np.testing.assert_allclose(
            ours(IDS).numpy(), model(torch.tensor(IDS)).logits.numpy(), rtol=0, atol=1e-4
        )


def test_special_ids_of_a_model_made_here(tmp_path):
    """null, not the 50256 that is the default of `transformers`; or what generation_config says."""
    model = made()
    model.save_pretrained(tmp_path / "a")
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["eos_token_id"] is config["bos_token_id"] is None
    model.generation_config = {"eos_token_id": 2, "max_length": 9}
    model.save_pretrained(tmp_path / "b")
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    assert config["eos_token_id"] == 2
    assert at.models.load_pretrained(tmp_path / "b").generation_config == {"eos_token_id": 2, "max_length": 9}


def test_defaults_are_those_of_transformers(transformers, torch):
    """A config without sizes: the same names and shapes, of which no model is built."""
    with torch.device("meta"):
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config())
    entries = family_of("gpt2").entries(Config({"model_type": "gpt2"}), "transformer.")
    ours = {name: shape for entry in entries for name, shape in entry.theirs}
    assert ours == {n: tuple(x.shape) for n, x in model.state_dict().items() if n != "lm_head.weight"}


def test_old_masks_are_ignored(tmp_path):
    ours = made()
    ours.save_pretrained(tmp_path)
    from safetensors.numpy import load_file, save_file

    tensors = load_file(tmp_path / "model.safetensors")
    tensors["transformer.h.0.attn.bias"] = np.tri(24, dtype=np.float32)[None, None]
    tensors["transformer.h.0.attn.masked_bias"] = np.array(-1e4, np.float32)
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"].copy()
    save_file(tensors, tmp_path / "model.safetensors")
    report = at.models.load_pretrained(tmp_path).load_report
    assert len(report.ignored) == 3 and report.unexpected == []


def made(**options):
    options = {
        "norm_first": True,
        "positions": "learned",
        "activation": "gelu_tanh",
        "scale_embeddings": False,
        "tie_weights": True,
        **options,
    }
    return at.models.DecoderLM(37, 16, 4, 2, 24, seed=0, **options)


def test_there_and_back(tmp_path):
    for i, options in enumerate(
        ({}, {"tie_weights": False, "head_bias": False}, {"dff": 5, "norm_eps": 1e-3, "dropout": 0.25})
    ):
        model = made(**options)
        model.save_pretrained(tmp_path / str(i))
        again = at.models.load_pretrained(tmp_path / str(i))
        assert again.config == model.config
        assert_same_bits(again(IDS).numpy(), model.eval()(IDS).numpy())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"norm_first": False}, "norm_first is False but must be True"),
        (
            {"activation": "swiglu", "positions": "learned"},
            "activation is 'swiglu' but must be 'gelu_tanh' or",
        ),
        ({"positions": "sinusoidal"}, "positions is 'sinusoidal' but must be 'learned'"),
        ({"scale_embeddings": True}, "scale_embeddings is True"),
        ({"num_kv_heads": 2}, "num_kv_heads is 2"),
        ({"window": 3}, "window is 3"),
        ({"attention_scale": 0.3}, "attention_scale is 0.3"),
        ({"tie_weights": False}, "head_bias is True"),
    ],
)
def test_what_gpt2_cannot_say(tmp_path, options, says):
    with pytest.raises(
        ValueError, match=rf"no family of checkpoints can say what this model is:(.|\n)*gpt2: {says}"
    ):
        made(**options).save_pretrained(tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"activation_function": "xyz"}, "'activation_function' is 'xyz' but must be one of 'gelu_new'"),
        (
            {"scale_attn_by_inverse_layer_idx": True},
            "'scale_attn_by_inverse_layer_idx' is True but must be false",
        ),
        ({"add_cross_attention": True}, "'add_cross_attention' is True but must be false"),
        ({"n_head": 3}, "DecoderLM: d_model"),
        ({"n_head": 10**12}, "'n_head' is"),
        ({"n_head": 2**31 - 1}, "DecoderLM: d_model"),
        ({"layer_norm_epsilon": -1}, "'layer_norm_epsilon' is -1"),
        ({"resid_pdrop": 1.5}, "'resid_pdrop' is 1.5"),
        ({"n_embd": 10**9}, "does not fit"),
        ({"n_layer": 10**9}, "describes a model of more than"),
        ({"vocab_size": 10**9}, "does not fit"),
        ({"n_positions": 2**31 - 1}, "does not fit"),
    ],
)
def test_configs_that_are_refused(tmp_path, changes, says):
    made().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(ValueError, match=says) as caught:
        at.models.load_pretrained(tmp_path)
    assert str(tmp_path / "config.json") in str(caught.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(KEYS)), VALUES)
def test_any_value_at_all(tmp_path_factory, key, value):
    """A model, or a ValueError that names config.json or what is wrong with the weights."""
    folder = tmp_path_factory.mktemp("any")
    made().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    try:
        model = at.models.load_pretrained(folder)
    except ValueError as error:
        assert str(error).startswith("load_pretrained: ") and str(folder) in str(error)
    else:
        assert isinstance(model, at.models.DecoderLM)


def test_wrong_heads_are_told_apart(tmp_path):
    """A checkpoint of another family under the name of this one: all names are listed."""
    made().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    with pytest.raises(CheckpointError, match=r"missing: lm_head\.weight"):
        at.models.load_pretrained(tmp_path)

"""T5, its version 1.1 and mT5 against `transformers`: what either writes the other reads and computes."""

import json

import numpy as np
import pytest
from translation_check import (
    assert_same_numbers,
    assert_same_translations,
    assert_written_back,
    batch,
    randomized,
    with_config,
)

import attendo as at
from attendo.interop.checkpoint import CheckpointError
from tolerance import assert_same_bits

V = 37
SMALL = {
    "vocab_size": V, "d_model": 16, "d_kv": 5, "d_ff": 24, "num_layers": 2, "num_heads": 3,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 6, "decoder_start_token_id": 0,
}  # fmt: skip
CONFIGS = {
    "plain": {},
    "gated, own head": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "gated, tied": {"feed_forward_proj": "gated-silu"},
    "tied, not divided": {"tie_word_embeddings": False},
    "own head, divided": {},
    "one layer, one head": {"num_layers": 1, "num_heads": 1, "d_kv": 16},
    "stacks of two heights": {"num_layers": 3, "num_decoder_layers": 1},
    "silu, eps": {"feed_forward_proj": "silu", "layer_norm_epsilon": 0.1},
    "exact gelu": {"feed_forward_proj": "gelu"},
    "usual buckets": {"relative_attention_num_buckets": 32, "relative_attention_max_distance": 128},
    "padding is 3": {"pad_token_id": 3, "decoder_start_token_id": 5, "dropout_rate": 0.25},
    "mt5": {"num_layers": 1},
    "mt5, own head": {},
}
EACH = pytest.mark.parametrize("name", CONFIGS)


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="parity is checked where transformers is installed")


def theirs(transformers, torch, name, folder):
    """A model of random weights that `transformers` made and wrote."""
    kind = "MT5" if name.startswith("mt5") else "T5"
    config = getattr(transformers, kind + "Config")(**{**SMALL, **CONFIGS[name]}, attn_implementation="eager")
    model = getattr(transformers, kind + "ForConditionalGeneration")(config)
    if "own head" in name:
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    randomized(torch, model).save_pretrained(folder)
    return model


def inputs(name):
    return batch(V, V, CONFIGS[name].get("pad_token_id", 0))


@EACH
def test_the_same_numbers(transformers, torch, tmp_path, name):
    model = theirs(transformers, torch, name, tmp_path)
    # Its norm takes the mean of squares in float32 whatever the dtype.
    assert_same_numbers(torch, model, tmp_path, *inputs(name), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@EACH
def test_written_back(transformers, torch, tmp_path, name):
    model = theirs(transformers, torch, name, tmp_path / "a")
    assert_written_back(torch, model, tmp_path / "a", tmp_path / "b", *inputs(name))


@EACH
def test_translations(transformers, torch, tmp_path, name):
    model = theirs(transformers, torch, name, tmp_path)
    src, mask, _ = inputs(name)
    for eos in (1, 2):
        assert_same_translations(torch, model, tmp_path, src, mask, eos_id=eos)
    options = {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 0.7, "early_stopping": True}
    assert_same_translations(torch, model, tmp_path, src, mask, eos_id=[1, 4], **options)


@pytest.mark.filterwarnings("ignore")
def test_keys_that_are_absent_or_null(transformers, torch, tmp_path):
    """google-t5/t5-small has no feed_forward_proj; null for scale_decoder_outputs is no scaling."""
    config = {"vocab_size": 30, "d_model": 12, "d_kv": 5, "d_ff": 9, "num_layers": 2, "num_heads": 2}
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(**config)).eval()
    model.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    src, tgt = np.array([[3, 4, 5]]), np.array([[0, 6]])
    for change in ({}, {"scale_decoder_outputs": None}):
        values = json.loads(file.read_text())
        for key in ("feed_forward_proj", "dense_act_fn", "is_gated_act"):
            values.pop(key, None)
        file.write_text(json.dumps({**values, **change}))
        again = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path).eval()
        expected = again(input_ids=torch.tensor(src), decoder_input_ids=torch.tensor(tgt)).logits
        got = at.models.load_pretrained(tmp_path)(src, tgt)
        np.testing.assert_allclose(got.numpy(), expected.detach().numpy(), rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["T5", "MT5"])
def test_an_encoder_alone(transformers, torch, tmp_path, kind):
    config = getattr(transformers, f"{kind}Config")(**SMALL, attn_implementation="eager")
    model = randomized(torch, getattr(transformers, f"{kind}EncoderModel")(config))
    model.save_pretrained(tmp_path / "a")
    src, mask, _ = inputs("plain")
    with torch.no_grad():
        expected = model(torch.tensor(src), attention_mask=torch.tensor(mask)).last_hidden_state.numpy()
    ours = at.models.load_pretrained(tmp_path / "a")
    np.testing.assert_allclose(ours.encode(src).numpy()[mask], expected[mask], rtol=0, atol=1e-4)
    ours.save_pretrained(tmp_path / "b")
    again, report = type(model).from_pretrained(tmp_path / "b", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    for key, value in model.state_dict().items():
        assert_same_bits(again.state_dict()[key].numpy(), value.numpy(), key)


def test_a_decoder_is_missed(tmp_path):
    made().save_pretrained(tmp_path)
    with_config(tmp_path, architectures=["T5EncoderModel"])
    with pytest.raises(CheckpointError, match=r"unexpected: decoder\.block"):
        at.models.load_pretrained(tmp_path)


def made(**options):
    options = {
        "norm_first": True, "norm": "rms", "norm_eps": 1e-6, "bias": False, "attention_scale": 1.0,
        "head_dim": 5, "positions": "t5", "scale_embeddings": False, "shared_embeddings": True,
        "embed_padding": True, "tie_weights": True, "scale_logits": True, **options,
    }  # fmt: skip
    return at.models.Transformer(16, 3, 1, 2, 24, V, V, 32768, seed=0, **options)


SRC, TGT = [[3, 4, 5, 1]], [[0, 7, 8]]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tie_weights": False, "head_bias": False, "scale_logits": False, "activation": "geglu_tanh"},
        {"scale_logits": False, "activation": "geglu", "dropout": 0.25},
        {"num_buckets": 8, "max_distance": 20, "pad_id": 5, "norm_eps": 1e-3, "activation": "swiglu"},
    ],
    ids=["plain", "1.1", "exact gelu", "buckets"],
)
def test_there_and_back(tmp_path, options):
    model = made(**options)
    model.save_pretrained(tmp_path)
    again = at.models.load_pretrained(tmp_path)
    assert {"head_bias": False, **again.config} == {"head_bias": False, **model.config}
    assert_same_bits(again(SRC, TGT).numpy(), model.eval()(SRC, TGT).numpy())


def test_other_names_of_the_embedding(tmp_path):
    from safetensors.numpy import load_file, save_file

    model = made()
    model.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    copies = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
    unused = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    save_file(
        {**tensors, **{name: tensors["shared.weight"] for name in copies[:2]}, unused: np.zeros(3)}, path
    )
    loaded = at.models.load_pretrained(tmp_path)
    assert sorted(loaded.load_report.ignored) == sorted([*copies[:2], unused])
    expected = model.eval()(SRC, TGT).numpy()
    for name in copies:
        save_file({name if n == "shared.weight" else n: value for n, value in tensors.items()}, path)
        loaded = at.models.load_pretrained(tmp_path)
        assert_same_bits(loaded(SRC, TGT).numpy(), expected)
    other = {"shared.weight": tensors["shared.weight"], copies[0]: tensors["shared.weight"] + 1}
    save_file({**tensors, **other}, path)
    with pytest.raises(CheckpointError, match=rf"unexpected: {copies[0]}"):
        at.models.load_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"norm_first": False}, "norm_first is .* but must be.* True"),
        ({"norm": "layer"}, "norm is .* but must be.* 'rms'"),
        ({"bias": True}, "bias is .* but must be.* False"),
        ({"qkv_bias": True}, "qkv_bias is .* but must be.* False"),
        ({"attention_scale": None}, "attention_scale is .* but must be.* 1.0"),
        ({"positions": "none"}, "positions is .* but must be.* 't5'"),
        ({"shared_embeddings": False}, "shared_embeddings is .* but must be.* True"),
        ({"embed_padding": False}, "embed_padding is .* but must be.* True"),
        ({"decoder_nhead": 2}, "decoder_nhead is 2 but must be None or 3"),
        ({"head_bias": True}, "head_bias is True but must be None or False"),
    ],
)
def test_what_t5_cannot_say(tmp_path, options, says):
    with pytest.raises(ValueError, match=rf"no family of checkpoints(.|\n)*t5: {says}"):
        made(**options).save_pretrained(tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"feed_forward_proj": "gated-tanh"},
            "'feed_forward_proj' is 'gated-tanh' but must be one of 'relu'",
        ),
        ({"dense_act_fn": "tanh"}, "'dense_act_fn' is 'tanh' but must be one of"),
        ({"is_gated_act": 1}, "'is_gated_act' is 1 but must be true or false"),
        ({"num_heads": 0}, "'num_heads' is 0"),
        ({"num_layers": 10**9}, "'num_layers' is"),
        ({"d_model": 10**9}, "does not fit"),
        ({"d_kv": 2**31 - 1}, "does not fit"),
        ({"num_heads": 2**31 - 1, "d_kv": 2**31 - 1}, "does not fit"),
        ({"relative_attention_num_buckets": 2**31 - 1}, "does not fit"),
        ({"relative_attention_max_distance": 1}, "max_distance is 1 but must be more than"),
        ({"pad_token_id": V}, "pad_id is 37"),
        ({"dropout_rate": 1.5}, "is 1.5"),
        ({"scale_decoder_outputs": "no"}, "'scale_decoder_outputs' is 'no'"),
        ({"vocab_size": 36}, r"shared\.weight is \(37, 16\) but must be \(36, 16\)"),
    ],
)
def test_configs_that_are_refused(tmp_path, changes, says):
    made().save_pretrained(tmp_path)
    with_config(tmp_path, **changes)
    with pytest.raises(ValueError, match=says):
        at.models.load_pretrained(tmp_path)

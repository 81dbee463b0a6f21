"""BERT, RoBERTa, DistilBERT and ViT as `transformers` writes them: the same numbers, and back."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hugging_face import array, random_model, reread, written
from safetensors.numpy import load_file, save_file

import attendo as at
from attendo.interop.checkpoint import CheckpointError
from tolerance import assert_same_bits

BERT = {"vocab_size": 30, "hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 14}  # fmt: skip
DISTIL = {"vocab_size": 30, "dim": 16, "hidden_dim": 20, "n_layers": 2, "n_heads": 4,
          "max_position_embeddings": 14}  # fmt: skip
VIT = {"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 4,
       "image_size": 12, "patch_size": 4}  # fmt: skip

TEXTS = [
    ("Bert", BERT),
    ("Bert", {**BERT, "hidden_act": "relu", "num_hidden_layers": 1, "type_vocab_size": 1}),
    ("Bert", {**BERT, "hidden_act": "gelu_new", "num_attention_heads": 1, "layer_norm_eps": 1e-3}),
    (
        "Bert",
        {**BERT, "hidden_act": "silu", "hidden_size": 12, "num_attention_heads": 2, "type_vocab_size": 5},
    ),
    ("Bert", {**BERT, "num_hidden_layers": 0, "pad_token_id": 3}),
    ("Roberta", BERT),
    ("Roberta", {**BERT, "hidden_act": "relu", "pad_token_id": 4, "type_vocab_size": 1}),
    ("XLMRoberta", {**BERT, "hidden_act": "gelu_pytorch_tanh", "num_hidden_layers": 3}),
    ("DistilBert", DISTIL),
    ("DistilBert", {**DISTIL, "activation": "relu", "n_heads": 2, "sinusoidal_pos_embds": True}),
]
HEADS = ["Model", "ForMaskedLM", "ForSequenceClassification"]


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="transformers is not installed")


def made(torch, transformers, name, head, config):
    settings = getattr(transformers, f"{name}Config")(**config)
    return random_model(torch, getattr(transformers, name + head), settings, seed=0)


def text_inputs(name, config):
    rng = np.random.default_rng(1)
    pad = config.get("pad_token_id", 1 if "oberta" in name.lower() else 0)
    ids = rng.integers(5, 30, (4, 9))
    real = np.arange(9) < np.array([9, 5, 1, 7])[:, None]
    inputs = SimpleNamespace(ids=np.where(real, ids, pad), mask=real, types=None)
    if name != "DistilBert":
        inputs.types = rng.integers(0, config.get("type_vocab_size", 2), (4, 9))
    return inputs


def theirs(torch, model, inputs, **wanted):
    arguments = {"input_ids": torch.tensor(inputs.ids), "attention_mask": torch.tensor(inputs.mask).long()}
    if inputs.types is not None:
        arguments["token_type_ids"] = torch.tensor(inputs.types)
    with torch.no_grad():
        return model(**arguments, **wanted)


def close(got, expected, real=None):
    """A tenth of what the project promises, where the tokens are real."""
    got, expected = np.asarray(got), array(expected)
    assert got.shape == expected.shape
    if real is not None:
        got, expected = got[real], expected[real]
    assert np.abs(got - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


def assert_the_same(torch, head, model, other, inputs):
    """`model` is ours and `other` theirs: logits, every hidden state, every weight."""
    right = theirs(torch, other, inputs, output_hidden_states=True, output_attentions=True)
    out = model.outputs(inputs.ids, inputs.mask, inputs.types, hidden_states=True, attentions=True)
    real = inputs.mask
    if head == "Model":
        close(out.last_hidden_state, right.last_hidden_state, real)
        if getattr(right, "pooler_output", None) is not None:
            close(out.pooled, right.pooler_output)
        else:
            assert out.pooled is None
    else:
        close(out.logits, right.logits, real if head == "ForMaskedLM" else None)
    assert len(out.hidden_states) == len(out.attentions) + 1
    if right.hidden_states:  # theirs has none where there is no layer
        for ours, of_layer in zip(out.hidden_states, right.hidden_states, strict=True):
            close(ours, of_layer, real)
    for ours, of_layer in zip(out.attentions, right.attentions, strict=True):
        close(ours, of_layer, np.broadcast_to(real[:, None], of_layer.shape[:3]))
    with at.no_grad():  # where padding is skipped
        got = model(inputs.ids, inputs.mask, inputs.types)
    if head == "ForSequenceClassification":
        close(got, right.logits)
    else:
        close(got, right.logits if head == "ForMaskedLM" else right.last_hidden_state, real)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("name", "config"), TEXTS, ids=lambda x: x if isinstance(x, str) else "")
def test_there_and_back(transformers, torch, name, config, head, tmp_path):
    more = {"num_labels": 3} if head == "ForSequenceClassification" and config is BERT else {}
    other = made(torch, transformers, name, head, {**config, **more})
    model = at.models.load_pretrained(written(other, tmp_path))
    kinds = dict(zip(HEADS, ["TextEncoder", "MaskedLM", "EncoderClassifier"], strict=True))
    assert type(model).__name__ == kinds[head]
    assert not model.load_report.missing and not model.load_report.unexpected
    inputs = text_inputs(name, config)
    assert_the_same(torch, head, model, other, inputs)

    model.save_pretrained(tmp_path / "ours")
    back = reread(transformers, getattr(transformers, name + head), tmp_path / "ours")
    assert type(back.config) is type(other.config)
    with torch.no_grad():
        for key, value in other.state_dict().items():
            assert torch.equal(value, back.state_dict()[key]), key
    first, second = theirs(torch, other, inputs)[0], theirs(torch, back, inputs)[0]
    assert torch.equal(first, second)
    again = at.models.load_pretrained(tmp_path / "ours")
    assert again.config == model.config
    assert_same_bits(again(inputs.ids, inputs.mask), model(inputs.ids, inputs.mask))


@pytest.mark.parametrize("head", ["Model", "ForImageClassification"])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"image_size": [8, 12], "patch_size": [4, 3], "num_channels": 1, "hidden_act": "relu"},
        {"qkv_bias": False, "num_hidden_layers": 3, "hidden_act": "gelu_new", "layer_norm_eps": 1e-3},
        {"num_hidden_layers": 0, "num_attention_heads": 1},
    ],
    ids=str,
)
def test_vision_there_and_back(transformers, torch, change, head, tmp_path):
    config = {**VIT, **change}
    more = {"num_labels": 7} if head == "ForImageClassification" else {}
    other = made(torch, transformers, "ViT", head, {**config, **more})
    model = at.models.load_pretrained(written(other, tmp_path))
    height, width = model.config["image_size"]
    images = np.random.default_rng(0).standard_normal((3, model.config["in_channels"], height, width))
    images = images.astype(np.float32)
    with torch.no_grad():
        right = other(torch.tensor(images), output_hidden_states=True, output_attentions=True)
    out = model.outputs(images, hidden_states=True, attentions=True)
    if head == "Model":
        close(out.last_hidden_state, right.last_hidden_state)
        close(out.pooled, right.pooler_output)
        close(model(images), right.pooler_output)
    else:
        close(out.logits, right.logits)
        close(model(images), right.logits)
    if right.hidden_states:  # theirs has none where there is no layer
        for ours, of_layer in zip(out.hidden_states, right.hidden_states, strict=True):
            close(ours, of_layer)
    for ours, of_layer in zip(out.attentions, right.attentions, strict=True):
        close(ours, of_layer)
    model.save_pretrained(tmp_path / "ours")
    back = reread(transformers, getattr(transformers, f"ViT{head}"), tmp_path / "ours")
    with torch.no_grad():
        assert torch.equal(back(torch.tensor(images))[0], right[0])


# ---------------------------------------------------------------------------------- without transformers


def model_of(kind, **options):
    arguments = {"vocab_size": 30, "d_model": 16, "num_heads": 4, "num_layers": 1, "max_len": 14, "dff": 20}
    if kind == "EncoderClassifier":
        arguments["num_classes"] = 3
    return getattr(at.models, kind)(**arguments, **options, seed=0).eval()


IDS = np.random.default_rng(0).integers(0, 30, (2, 5))

MODELS = {
    "bert": ("TextEncoder", {"type_vocab_size": 2, "pooler": "tanh"}),
    "bert without pooler": ("TextEncoder", {"type_vocab_size": 2, "norm_eps": 1e-5}),
    "bert, masked": ("MaskedLM", {"type_vocab_size": 2}),
    "bert, masked, with pooler": ("MaskedLM", {"type_vocab_size": 2, "pooler": "tanh"}),
    "bert, classes": ("EncoderClassifier", {"type_vocab_size": 2, "pooler": "tanh", "dropout": 0.2}),
    "distilbert": ("TextEncoder", {}),
    "distilbert, classes": ("EncoderClassifier", {"pooler": "relu"}),
    "roberta": ("TextEncoder", {"type_vocab_size": 1, "pad_id": 1, "pooler": "tanh"}),
    "roberta, masked": ("MaskedLM", {"type_vocab_size": 1, "pad_id": 1, "activation": "relu"}),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_made_here(name, dtype, tmp_path):
    kind, options = MODELS[name]
    model = model_of(kind, **options, dtype=dtype)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == name.split(",")[0].split()[0]
    loaded = at.models.load_pretrained(tmp_path, dtype=dtype)
    assert loaded.config == model.config
    assert_same_bits(loaded(IDS), model(IDS))


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("TextEncoder", {"norm_first": True}, "norm_first is True but must be False"),
        ("TextEncoder", {"norm": "rms"}, "norm is 'rms' but must be"),
        ("TextEncoder", {"positions": "sinusoidal"}, "positions is 'sinusoidal'"),
        ("TextEncoder", {"activation": "swiglu"}, "activation is 'swiglu'"),
        ("TextEncoder", {"type_vocab_size": 2, "pooler": "relu"}, "pooler is 'relu'"),
        ("MaskedLM", {"head_activation": "relu"}, "head_activation is 'relu' but must be 'gelu'"),
        ("EncoderClassifier", {"pooling": "mean"}, "pooling is 'mean'"),
        ("EncoderClassifier", {"type_vocab_size": 2}, "pooler is None but must be 'tanh'"),
    ],
)
def test_what_no_format_can_say(kind, options, says, tmp_path):
    with pytest.raises(
        ValueError, match=f"save_pretrained: no family .* can say what this model is:(.|\n)*{says}"
    ):
        model_of(kind, **options).save_pretrained(tmp_path)


def saved(tmp_path, kind="TextEncoder", **options):
    model_of(kind, **(options or {"type_vocab_size": 2, "pooler": "tanh"})).save_pretrained(tmp_path)
    return tmp_path


def rewritten(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    config.update(changes)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hidden_act": "mish"}, "'hidden_act' is 'mish' but must be one of 'gelu'"),
        ({"position_embedding_type": "relative_key"}, "'position_embedding_type' is 'relative_key'"),
        ({"is_decoder": True}, "'is_decoder' is True but must be false"),
        (
            {"architectures": ["BertForQuestionAnswering"]},
            "'architectures' is .* but must be one of BertModel",
        ),
        ({"architectures": "BertModel"}, "'architectures' is 'BertModel' but must be a list"),
        ({"num_attention_heads": 3}, "num_heads is 3"),
        ({"num_attention_heads": "4"}, "'num_attention_heads' is '4' but must be an integer"),
        ({"layer_norm_eps": -1}, "'layer_norm_eps' is -1"),
        ({"hidden_dropout_prob": 2}, "'hidden_dropout_prob' is 2"),
        ({"vocab_size": 31}, r"word_embeddings.weight is \(30, 16\) but must be \(31, 16\)"),
        ({"num_hidden_layers": 2}, r"missing: encoder\.layer\.1\.attention"),
        ({"num_hidden_layers": 0}, r"unexpected: .*encoder\.layer\.0\."),
        ({"num_hidden_layers": 10**9}, "describes a model of more than"),
    ],
    ids=str,
)
def test_a_config_that_does_not_fit(change, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        at.models.load_pretrained(rewritten(saved(tmp_path), **change))


def test_an_untied_decoder_is_refused(tmp_path):
    folder = rewritten(saved(tmp_path, "MaskedLM", type_vocab_size=2), tie_word_embeddings=False)
    with pytest.raises(ValueError, match="'tie_word_embeddings' is False but must be true"):
        at.models.load_pretrained(folder)


def test_as_the_hub_has_them(tmp_path):
    """Old names of norms, position ids, the copy of the embeddings, the head of sentence pairs."""
    model = model_of("MaskedLM", type_vocab_size=2, pooler="tanh")
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in tensors.items()
    }
    old["bert.embeddings.position_ids"] = np.arange(14)[None]
    old["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"].copy()
    old["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"].copy()
    old["cls.seq_relationship.weight"] = np.ones((2, 16), np.float32)
    old["cls.seq_relationship.bias"] = np.ones(2, np.float32)
    save_file(old, tmp_path / "model.safetensors")
    rewritten(tmp_path, architectures=["BertForPreTraining"])
    loaded = at.models.load_pretrained(tmp_path)
    assert set(loaded.load_report.ignored) == {
        "bert.embeddings.position_ids", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias",
        "cls.seq_relationship.weight", "cls.seq_relationship.bias",
    }  # fmt: skip
    assert_same_bits(loaded(IDS), model(IDS))
    old["cls.predictions.decoder.weight"][0, 0] += 1
    save_file(old, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"unexpected: cls\.predictions\.decoder\.weight"):
        at.models.load_pretrained(tmp_path)


def test_a_body_is_read_from_a_whole_model(tmp_path):
    """Its tensors have the prefix; the head is left over, and listed."""
    model = model_of("MaskedLM", type_vocab_size=2)
    model.save_pretrained(tmp_path)
    rewritten(tmp_path, architectures=["BertModel"])
    with pytest.raises(CheckpointError, match=r"unexpected: .*cls\.predictions\.bias"):
        at.models.load_pretrained(tmp_path)
    body = at.models.load_pretrained(tmp_path, strict=False)
    assert len(body.load_report.unexpected) == 5 and not body.load_report.missing
    assert_same_bits(body(IDS), model.text(IDS))


# ------------------------------------------------------------------------------- sentence-transformers


def sentence_folder(tmp_path, pooling, modules=("Transformer", "Pooling", "Normalize"), longest=None):
    folder = saved(tmp_path)
    listed = [
        {"idx": i, "path": f"{i}_{name}" if i else "", "type": f"sentence_transformers.models.{name}"}
        for i, name in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    if pooling is not None:
        (folder / "1_Pooling").mkdir(exist_ok=True)
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    if longest is not None:
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": longest}))
    return folder


MEAN = {"word_embedding_dimension": 16, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}


@pytest.mark.parametrize(
    ("pooling", "modules", "expected"),
    [
        (MEAN, ("Transformer", "Pooling", "Normalize"), {"pooling": "mean", "normalize": True}),
        ({"pooling_mode": "cls"}, ("Transformer", "Pooling"), {"pooling": "first", "normalize": False}),
        (
            {"pooling_mode_cls_token": True},
            ("Transformer", "Pooling"),
            {"pooling": "first", "normalize": False},
        ),
    ],
)
def test_how_a_checkpoint_makes_sentences(pooling, modules, expected, tmp_path):
    model = at.models.load_pretrained(sentence_folder(tmp_path, pooling, modules))
    assert model.sentence_config == expected
    assert_same_bits(model.embed(IDS), model.embed(IDS, **expected))
    lengths = np.linalg.norm(model.embed(IDS, pooling="pooler"), axis=1)
    assert np.allclose(lengths, 1) == expected["normalize"]


def test_the_longest_sentence_of_a_checkpoint(tmp_path):
    model = at.models.load_pretrained(sentence_folder(tmp_path, MEAN, longest=5))
    assert model.sentence_config["max_length"] == 5

    class Letters:
        def encode_batch(self, texts, *, max_length):
            assert max_length == 5
            return np.ones((len(texts), 5), int), np.ones((len(texts), 5), bool)

    model.tokenizer = Letters()
    assert model.embed(["a text"]).shape == (1, 16)


@pytest.mark.parametrize(
    ("pooling", "modules", "says"),
    [
        ({"pooling_mode_max_tokens": True}, ("Transformer", "Pooling"), "pooling max_tokens"),
        ({**MEAN, "pooling_mode_max_tokens": True}, ("Transformer", "Pooling"), "mean_tokens and max_tokens"),
        (MEAN, ("Transformer", "Pooling", "Dense"), "a module of type 'Dense'"),
    ],
)
def test_sentences_that_attendo_cannot_make(pooling, modules, says, tmp_path):
    model = at.models.load_pretrained(sentence_folder(tmp_path, pooling, modules))
    with pytest.raises(ValueError, match=f"embed: .*{says}.*give pooling="):
        model.embed(IDS)
    assert model.embed(IDS, pooling="mean").shape == (2, 16)


@pytest.mark.parametrize("path", ["../elsewhere", "1_Pooling/..", "/etc", 3, None])
def test_a_pooling_folder_elsewhere(path, tmp_path):
    folder = sentence_folder(tmp_path, MEAN)
    modules = [{"type": "sentence_transformers.models.Pooling", "path": path}]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match=r"modules\.json names the folder"):
        at.models.load_pretrained(folder)
    (folder / "modules.json").write_text("{}")
    with pytest.raises(ValueError, match=r"modules\.json.* holds a dict but must hold a list"):
        at.models.load_pretrained(folder)

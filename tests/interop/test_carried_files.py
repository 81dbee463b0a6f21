"""What save_pretrained writes beside the tensors: files that go along, keys that must not stand there."""

import json

import pytest

import attendo as at

CARRIED = {
    "tokenizer_config.json": '{"padding_side": "left", "model_max_length": 32}',
    "special_tokens_map.json": '{"eos_token": "</s>"}',
    "chat_template.jinja": "{{ messages }} ü",
}


@pytest.fixture
def folder(tmp_path):
    model = at.models.TextEncoder(20, 8, 2, 1, max_len=8, type_vocab_size=2, seed=0)
    model.save_pretrained(tmp_path / "made")
    for name, text in CARRIED.items():
        (tmp_path / "made" / name).write_text(text, encoding="utf-8")
    return tmp_path / "made"


def test_files_beside_a_tokenizer_go_along(folder, tmp_path):
    model = at.models.load_pretrained(folder)
    model.save_pretrained(tmp_path / "again")
    for name, text in CARRIED.items():
        assert (tmp_path / "again" / name).read_text(encoding="utf-8") == text
    at.models.load_pretrained(folder, tokenizer=False).save_pretrained(tmp_path / "without")
    assert not any((tmp_path / "without" / name).exists() for name in CARRIED)


@pytest.mark.parametrize("damage", ["link", "folder", "bytes", "long"])
def test_damaged_ones_are_refused(folder, tmp_path, damage):
    path = folder / "chat_template.jinja"
    path.unlink()
    if damage == "link":
        (tmp_path / "secret").write_text("secret")
        path.symlink_to(tmp_path / "secret")
    elif damage == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"\xff\xfe" if damage == "bytes" else b" " * ((4 << 20) + 1))
    with pytest.raises(ValueError, match=r"chat_template\.jinja"):
        at.models.load_pretrained(folder)


def test_a_missing_pooler_is_no_key(folder):
    """transformers would take it for an argument of from_pretrained, and make a pooler all the same."""
    assert "add_pooling_layer" not in json.loads((folder / "config.json").read_text())


def test_a_model_without_a_pooler(torch, transformers, tmp_path):
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "theirs")
    at.models.load_pretrained(tmp_path / "theirs").save_pretrained(tmp_path / "ours")
    again, info = transformers.BertModel.from_pretrained(
        tmp_path / "ours", add_pooling_layer=False, output_loading_info=True
    )
    assert again.pooler is None and not info["missing_keys"] and not info["unexpected_keys"]

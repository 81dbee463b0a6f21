"""Marian against `transformers`: what either writes the other reads and computes."""

import numpy as np
import pytest
from translation_check import (
    CLOSE,
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

V = 31
SMALL = {
    "vocab_size": V, "d_model": 16, "max_position_embeddings": 20, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24,
    "pad_token_id": V - 1, "decoder_start_token_id": V - 1, "eos_token_id": 0, "forced_eos_token_id": None,
}  # fmt: skip
CONFIGS = {
    "as published": {"activation_function": "swish", "scale_embedding": True},
    "plain": {},
    "relu": {"activation_function": "relu"},
    "gelu_new": {"activation_function": "gelu_new", "dropout": 0.25},
    "stacks apart": {
        "encoder_layers": 3, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 8,
        "encoder_ffn_dim": 20, "decoder_ffn_dim": 28,
    },
    "two vocabularies": {
        "share_encoder_decoder_embeddings": False, "decoder_vocab_size": 23, "pad_token_id": 22,
        "decoder_start_token_id": 22,
    },
    "two vocabularies, own head": {
        "share_encoder_decoder_embeddings": False, "decoder_vocab_size": 33, "tie_word_embeddings": False,
    },
    "odd width": {"d_model": 15, "encoder_attention_heads": 3, "decoder_attention_heads": 5},
    "one layer": {"encoder_layers": 1, "decoder_layers": 1},
}  # fmt: skip
EACH = pytest.mark.parametrize("name", CONFIGS)


def theirs(transformers, torch, name, folder):
    """A model of random weights that `transformers` made and wrote."""
    config = transformers.MarianConfig(**{**SMALL, **CONFIGS[name]}, attn_implementation="eager")
    model = randomized(torch, transformers.MarianMTModel(config))
    model.save_pretrained(folder)
    return model


def inputs(name):
    config = {**SMALL, **CONFIGS[name]}
    return batch(V, config.get("decoder_vocab_size", V), config["pad_token_id"])


@EACH
def test_the_same_numbers(transformers, torch, tmp_path, name):
    model = theirs(transformers, torch, name, tmp_path)
    # Their table of positions is of float32.
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
    for eos in (0, 2):
        assert_same_translations(torch, model, tmp_path, src, mask, eos_id=eos)
    options = {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 0.7, "early_stopping": True}
    assert_same_translations(torch, model, tmp_path, src, mask, eos_id=[0, 4], **options)


def test_translations_as_published(transformers, torch, tmp_path):
    """Six beams, no padding in a translation, an end to each."""
    model = theirs(transformers, torch, "as published", tmp_path)
    src, mask, _ = inputs("as published")
    options = {"eos_id": 0, "bad_words": [[V - 1]], "forced_eos_id": 0, "max_len": 9}
    got = assert_same_translations(torch, model, tmp_path, src, mask, num_beams=6, **options)
    assert ((got == 0).sum(axis=1) == 1).all()
    assert_same_translations(torch, model, tmp_path, src, mask, num_beams=4, length_penalty=2.0, **options)
    assert_same_translations(torch, model, tmp_path, src, mask, **options)


TEXTS = ["The cat sat on the mat.", "Ein Hund lief durch das Haus.", "A dog ran.", "Die Katze saß da."] * 5


@pytest.mark.filterwarnings("ignore")
def test_from_text_to_text(transformers, torch, tmp_path):
    import io
    import json

    library = pytest.importorskip("sentencepiece", reason='pip install "attendo[sentencepiece]"')
    pieces = []
    for name in ("source", "target"):
        model = io.BytesIO()
        options = {"vocab_size": 30, "hard_vocab_limit": False, "minloglevel": 2}
        library.SentencePieceTrainer.train(sentence_iterator=iter(TEXTS), model_writer=model, **options)
        (tmp_path / f"{name}.spm").write_bytes(model.getvalue())
        processor = library.SentencePieceProcessor(model_proto=model.getvalue())
        pieces += [processor.id_to_piece(i) for i in range(3, processor.get_piece_size())]
    vocab = {piece: i for i, piece in enumerate(["</s>", "<unk>", *dict.fromkeys(pieces), "<pad>"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"source_lang": "en", "target_lang": "de"}))
    pad = len(vocab) - 1
    ids = {"vocab_size": len(vocab), "pad_token_id": pad, "decoder_start_token_id": pad}
    config = transformers.MarianConfig(**{**SMALL, **ids, "max_position_embeddings": 64})
    model = randomized(torch, transformers.MarianMTModel(config))
    model.save_pretrained(tmp_path)
    tokenizer = transformers.MarianTokenizer.from_pretrained(tmp_path)
    source = tokenizer(TEXTS[:4], return_tensors="pt", padding=True)
    tokens = model.double().generate(**source, num_beams=3, max_new_tokens=10)
    expected = tokenizer.batch_decode(tokens, skip_special_tokens=True)

    ours = at.models.load_pretrained(tmp_path, dtype="float64")
    src, mask = ours.tokenizer.encode_batch(TEXTS[:4])
    got = ours.translate(src, src_mask=mask, bos_id=pad, eos_id=0, num_beams=3, max_len=10)
    assert ours.tokenizer.decode_batch(got) == expected
    np.testing.assert_array_equal(src, source["input_ids"].numpy())
    np.testing.assert_array_equal(mask, source["attention_mask"].numpy().astype(bool))
    assert all(expected)


def made(**options):
    options = {
        "positions": "sinusoidal_halves", "scale_embeddings": False, "shared_embeddings": True,
        "tie_weights": True, "head_bias": True, "activation": "silu", "pad_id": V - 1, **options,
    }  # fmt: skip
    return at.models.Transformer(16, 4, 1, 2, 24, V, options.pop("target", V), 20, seed=0, **options)


SRC, TGT = [[3, 4, 5, 1]], [[V - 1, 7, 8]]


def changed(folder, change):
    from safetensors.numpy import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path)


@pytest.mark.filterwarnings("ignore")
def test_positions_that_are_stored(transformers, torch, tmp_path):
    """Those of the file are read, whatever they are, and are not trained; they are written again."""
    model = theirs(transformers, torch, "plain", tmp_path / "a")
    rng = np.random.default_rng(0)
    tables = {
        f"model.{side}.embed_positions.weight": rng.standard_normal((20, 16)).astype(np.float32)
        for side in ("encoder", "decoder")
    }
    changed(tmp_path / "a", lambda tensors: tensors.update(tables))
    model = type(model).from_pretrained(tmp_path / "a", attn_implementation="eager").eval()
    assert_same_numbers(torch, model, tmp_path / "a", *inputs("plain"), atol=1e-5)
    ours = at.models.load_pretrained(tmp_path / "a")
    assert not ours.src_position.weight.requires_grad and not ours.tgt_position.weight.requires_grad
    ours.save_pretrained(tmp_path / "b")
    again = at.models.load_pretrained(tmp_path / "b")
    assert_same_bits(again(SRC, TGT), ours(SRC, TGT))
    src, mask, tgt = inputs("plain")
    model = type(model).from_pretrained(tmp_path / "b").eval()
    with torch.no_grad():
        expected = model(
            torch.tensor(src), attention_mask=torch.tensor(mask), decoder_input_ids=torch.tensor(tgt)
        )
    np.testing.assert_allclose(ours(src, tgt).numpy(), expected.logits.numpy(), **CLOSE)


def test_a_checkpoint_without_a_bias(tmp_path):
    model = made()
    model.save_pretrained(tmp_path)
    changed(tmp_path, lambda tensors: tensors.pop("final_logits_bias"))
    loaded = at.models.load_pretrained(tmp_path)
    assert (loaded.logits_bias.numpy() == 0).all()


def test_other_names_of_the_embedding(tmp_path):
    model = made().eval()
    names = [
        "model.shared.weight", "model.decoder.embed_tokens.weight", "model.encoder.embed_tokens.weight",
        "lm_head.weight",
    ]  # fmt: skip
    expected = model(SRC, TGT).numpy()
    for name in names[1:]:
        model.save_pretrained(tmp_path / name)
        changed(tmp_path / name, lambda tensors, name=name: tensors.update({name: tensors.pop(names[0])}))
        assert_same_bits(at.models.load_pretrained(tmp_path / name)(SRC, TGT).numpy(), expected)
    changed(tmp_path / names[1], lambda tensors: tensors.update({n: tensors[names[1]] for n in names}))
    loaded = at.models.load_pretrained(tmp_path / names[1])
    assert sorted(loaded.load_report.ignored) == sorted(names[1:])
    changed(tmp_path / names[1], lambda tensors: tensors.update({names[3]: tensors[names[0]] + 1}))
    with pytest.raises(CheckpointError, match=r"unexpected: lm_head\.weight"):
        at.models.load_pretrained(tmp_path / names[1])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale_embeddings": True, "decoder_nhead": 2, "decoder_dff": 5, "dropout": 0.25},
        {"shared_embeddings": False, "target": 33},
        {"shared_embeddings": False, "tie_weights": False},
        {"positions": "learned", "activation": "gelu_tanh"},
    ],
    ids=["plain", "apart", "two vocabularies", "own head", "learned"],
)
def test_there_and_back(tmp_path, options):
    model = made(**options).eval()
    state = model.state_dict()
    bias = "logits_bias" if "logits_bias" in state else "generator.bias"
    model.load_state_dict({**state, bias: np.random.default_rng(0).random(state[bias].shape, np.float32)})
    model.save_pretrained(tmp_path)
    again = at.models.load_pretrained(tmp_path)
    of_ours, of_theirs = (m.config for m in (model, again))
    defaults = {"decoder_nhead": 4, "decoder_dff": 24, "head_bias": True}
    assert {**defaults, **of_theirs} == {**defaults, **of_ours}
    assert_same_bits(again(SRC, TGT).numpy(), model(SRC, TGT).numpy())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"norm_first": True}, "norm_first is True"),
        ({"norm": "rms"}, "norm is 'rms'"),
        ({"norm_eps": 1e-3}, "norm_eps is 0.001"),
        ({"bias": False}, "bias is False"),
        ({"head_dim": 3}, "head_dim is 3"),
        ({"positions": "sinusoidal"}, "positions is 'sinusoidal'"),
        ({"positions": "t5"}, "positions is 't5'"),
        ({"activation": "swiglu"}, "activation is 'swiglu'"),
        ({"head_bias": False}, "head_bias is False but must be True"),
        ({"tie_weights": False}, "tie_weights is False but must be True"),
        ({"scale_logits": True}, "scale_logits is True"),
        ({"embed_padding": True}, "embed_padding is True"),
    ],
)
def test_what_marian_cannot_say(tmp_path, options, says):
    with pytest.raises(ValueError, match=rf"no family of checkpoints(.|\n)*marian: {says}"):
        made(**options).save_pretrained(tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"activation_function": "tanh"}, "'activation_function' is 'tanh' but must be one of 'gelu'"),
        ({"normalize_before": True}, "'normalize_before' is True but must be false"),
        ({"add_final_layer_norm": True}, "'add_final_layer_norm' is True but must be false"),
        ({"encoder_attention_heads": 3}, "d_model is 16 but must be a multiple of nhead, which is 3"),
        ({"decoder_attention_heads": 2**31 - 1}, "d_model is 16 but must be a multiple of decoder_nhead"),
        ({"decoder_layers": 10**9}, "'decoder_layers' is"),
        ({"d_model": 2**31 - 1}, "does not fit"),
        ({"vocab_size": 2**31 - 1}, "does not fit"),
        ({"max_position_embeddings": 10**12}, "'max_position_embeddings' is"),
        ({"pad_token_id": V}, "pad_id is 31"),
        ({"pad_token_id": -1}, "'pad_token_id' is -1"),
        ({"share_encoder_decoder_embeddings": "yes"}, "'share_encoder_decoder_embeddings' is 'yes'"),
        ({"tie_word_embeddings": False}, r"missing: lm_head\.weight"),
    ],
)
def test_configs_that_are_refused(tmp_path, changes, says):
    made().save_pretrained(tmp_path)
    with_config(tmp_path, **changes)
    with pytest.raises(ValueError, match=says):
        at.models.load_pretrained(tmp_path)

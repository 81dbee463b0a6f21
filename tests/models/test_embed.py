"""TextEncoder.embed: a vector for each text, whatever it is batched with."""

import numpy as np
import pytest

import attendo as at
from layer_check import randomized
from tolerance import assert_close, assert_same_bits

RNG = np.random.default_rng(0)
ROWS = [RNG.integers(0, 30, n) for n in [3, 9, 1, 9, 4, 0, 6, 12, 2]]


def encoder(**options):
    settings = {"dff": 16, "dtype": "float64", "pooler": "tanh", **options}
    return randomized(at.models.TextEncoder(30, 8, 2, 2, 12, **settings))


def alone(model, row, pooling):
    out = model.eval().outputs(row[None])
    y = out.last_hidden_state.numpy()[0]
    if pooling == "pooler":
        return out.pooled.numpy()[0]
    return y[0] if pooling == "first" else y.mean(axis=0)


@pytest.mark.parametrize("pooling", ["mean", "first", "pooler"])
@pytest.mark.parametrize("batch_size", [1, 2, 4, 100])
@pytest.mark.parametrize(
    "options", [{}, {"pad_id": 1, "type_vocab_size": 2, "max_len": 14}], ids=["", "pad_id"]
)
def test_equals_one_by_one(options, batch_size, pooling):
    settings = {"dff": 16, "dtype": "float64", "pooler": "tanh", **options}
    model = randomized(at.models.TextEncoder(30, 8, 2, 2, settings.pop("max_len", 12), **settings))
    rows = [row for row in ROWS if len(row)]
    got = model.embed(rows, pooling=pooling, normalize=False, batch_size=batch_size)
    assert_close(got, np.array([alone(model, row, pooling) for row in rows]))
    unit = model.embed(rows, pooling=pooling, batch_size=batch_size)
    assert_close(unit, got / np.linalg.norm(got, axis=1, keepdims=True))


def test_no_tokens_are_zeros():
    got = encoder().embed(ROWS)
    assert not got[5].any() and np.isfinite(got).all()
    with pytest.raises(ValueError, match="embed: pooling is 'first' but a text has no tokens"):
        encoder().embed(ROWS, pooling="first")


def test_the_mode_and_gradients_stay():
    model = encoder(dropout=0.5)
    model.encoder.eval()
    assert_same_bits(model.embed(ROWS), encoder().embed(ROWS))
    assert model.training and not model.encoder.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_any_form_of_ids():
    model = encoder(dtype="float32")
    array = np.stack([ROWS[1], ROWS[3]])
    assert_same_bits(model.embed(array), model.embed([list(row) for row in array]))
    assert_same_bits(model.embed(array.astype(np.int32)), model.embed(array))
    assert model.embed([]).shape == (0, 8) and model.embed([]).dtype == np.float32


class Words:
    """A tokenizer as SubwordTokenizer is one: every letter a token, between 1 and 2."""

    def encode_batch(self, texts, *, max_length):
        rows = [[1, *(3 + ord(c) % 20 for c in text[: max_length - 2]), 2] for text in texts]
        mask = np.arange(max(map(len, rows))) < np.array([len(row) for row in rows])[:, None]
        ids = np.zeros(mask.shape, np.int64)
        ids[mask] = np.concatenate(rows)
        return ids, mask


def test_texts(monkeypatch):
    from attendo.models import _embed

    model, texts = encoder(), ["a", "some words", "", "more words than the model has room for", "a b"]
    with pytest.raises(ValueError, match="embed: texts need a tokenizer"):
        model.embed(texts)
    model.tokenizer = Words()
    ids, mask = Words().encode_batch(texts, max_length=12)
    expected = model.embed([row[real] for row, real in zip(ids, mask, strict=True)])
    assert_same_bits(model.embed(texts), expected)
    monkeypatch.setattr(_embed, "_CHUNK", 2)
    assert_same_bits(model.embed(texts), expected)


def test_a_real_tokenizer():
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    texts = ["the cat sat", "the dog sat on the cat", "a dog"]
    tokenizer = at.text.SubwordTokenizer.train(texts * 5, "wordpiece", vocab_size=60)
    model = randomized(at.models.TextEncoder(tokenizer.vocab_size, 8, 2, 1, 12))
    model.tokenizer = tokenizer
    got = model.embed(texts)
    for text, vector in zip(texts, got, strict=True):
        assert_close(vector, model.embed([tokenizer.encode(text)])[0])


@pytest.mark.parametrize(
    ("given", "options", "error", "says"),
    [
        ("one", {}, TypeError, "texts is a str but must be a list of them"),
        (["a", 3], {}, TypeError, "texts holds, at 0, neither a str nor a row of integers"),
        ([[1.5]], {}, TypeError, "texts holds, at 0"),
        ([[[1]]], {}, TypeError, "texts holds, at 0"),
        ([[30]], {}, ValueError, "ids holds 30 but must hold 0 to 29"),
        ([range(13)], {}, ValueError, "ids has 13 positions but max_len is 12"),
        ([[1]], {"pooling": "max"}, ValueError, "pooling is 'max' but must be 'mean', 'first' or 'pooler'"),
        ([[1]], {"batch_size": 0}, ValueError, "batch_size is 0 but must be 1 or more"),
        ([[1]], {"batch_size": 2.5}, TypeError, "integer"),
    ],
)
def test_wrong_input(given, options, error, says):
    with pytest.raises(error, match=says):
        encoder().embed(given, **options)


def test_no_pooler():
    with pytest.raises(ValueError, match="embed: pooling is 'pooler' but the model has none"):
        encoder(pooler=None).embed([[1]], pooling="pooler")


def test_against_mean_pooling_of_transformers(torch, tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=12,
    )  # fmt: skip
    theirs = transformers.BertModel(config).eval()
    theirs.save_pretrained(tmp_path)
    rows = [row for row in ROWS if len(row)]
    mask = np.arange(12) < np.array([len(row) for row in rows])[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate(rows)
    with torch.no_grad():
        hidden = theirs(torch.tensor(ids), attention_mask=torch.tensor(mask).long()).last_hidden_state
        weights = torch.tensor(mask)[:, :, None].float()
        mean = (hidden * weights).sum(1) / weights.sum(1)
        right = torch.nn.functional.normalize(mean, dim=1).numpy()
    assert_close(at.models.load_pretrained(tmp_path).embed(rows, batch_size=3), right, np.float32, scale=10.0)

"""The tokenizer beside a model, of every kind; and without the library that reads it."""

import sys

import numpy as np
import pytest
from toy_family import toy_folder

import attendo as at

NEEDS = 'needs tokenizers: pip install "attendo[tokenizers]"'


def test_none_where_there_is_none(tmp_path):
    assert at.models.load_pretrained(toy_folder(tmp_path)).tokenizer is None


def test_beside_the_model(tmp_path):
    pytest.importorskip("tokenizers", reason=NEEDS)
    trained = at.text.SubwordTokenizer.train(["a cat sat", "a dog"], "wordpiece", vocab_size=30)
    trained.save(toy_folder(tmp_path / "a"))
    model = at.models.load_pretrained(tmp_path / "a")
    assert model.tokenizer.encode("a cat").tolist() == trained.encode("a cat").tolist()
    model.save_pretrained(tmp_path / "b")
    again = at.models.load_pretrained(tmp_path / "b").tokenizer
    assert again.encode("a dog").tolist() == trained.encode("a dog").tolist()
    assert not hasattr(at.models.load_pretrained(tmp_path / "b", tokenizer=False), "tokenizer")


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.txt"])
def test_a_damaged_one(tmp_path, name):
    pytest.importorskip("tokenizers", reason=NEEDS)
    (toy_folder(tmp_path) / name).write_text("{")
    with pytest.raises(ValueError, match=rf"from_folder: .*{name}"):
        at.models.load_pretrained(tmp_path)
    at.models.load_pretrained(tmp_path, tokenizer=False)


@pytest.mark.parametrize(
    ("files", "library"),
    [
        (["tokenizer.json"], "tokenizers"),
        (["vocab.json", "merges.txt"], "tokenizers"),
        (["source.spm", "target.spm", "vocab.json"], "sentencepiece"),
    ],
)
def test_without_the_library(tmp_path, monkeypatch, files, library):
    """The model is loaded all the same; who asks the tokenizer is told what to install."""
    toy_folder(tmp_path / "a")
    for name in files:
        (tmp_path / "a" / name).write_text("{}")
    monkeypatch.setitem(sys.modules, library, None)
    model = at.models.load_pretrained(tmp_path / "a")
    assert not model.tokenizer and library in repr(model.tokenizer)
    says = rf'{library} is not installed; run: pip install "attendo\[{library}\]"'
    for use in (
        lambda: model.tokenizer.encode("a"),
        lambda: model.tokenizer("a"),
        lambda: model.tokenizer.pad_id,
    ):
        with pytest.raises(ImportError, match=says):
            use()
    model.save_pretrained(tmp_path / "b")


# ---------------------------------------------------------------------------------------------------- Marian

TEXTS = ["The cat sat on the mat.", "Die Katze saß auf der Matte.", "a dog and a cat", "ein Hund"] * 6


@pytest.fixture(scope="module")
def marian(tmp_path_factory):
    """A folder as Marian's converter writes it."""
    spm = pytest.importorskip(
        "sentencepiece", reason='needs sentencepiece: pip install "attendo[sentencepiece]"'
    )
    import io
    import json

    folder = tmp_path_factory.mktemp("marian")
    pieces = {}
    for name, texts in (("source", TEXTS[::2]), ("target", TEXTS[1::2])):
        model = io.BytesIO()
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            vocab_size=32,
            hard_vocab_limit=False,
            minloglevel=2,
        )
        (folder / f"{name}.spm").write_bytes(model.getvalue())
        processor = spm.SentencePieceProcessor(model_proto=model.getvalue())
        for i in range(3, processor.get_piece_size()):
            pieces.setdefault(processor.id_to_piece(i), None)
    vocab = ["</s>", "<unk>", *pieces, ">>deu<<", "<pad>"]
    (folder / "vocab.json").write_text(
        json.dumps({piece: i for i, piece in enumerate(vocab)}), encoding="utf-8"
    )
    (folder / "tokenizer_config.json").write_text(json.dumps({"source_lang": "en", "target_lang": "de"}))
    return folder


SENTENCES = ["The cat sat.", "", ">>deu<< a dog", "Ωmega cat", "the  mat \n"]


def test_marian(marian):
    tokenizer = at.text.MarianTokenizer.from_folder(marian)
    assert tokenizer.eos_id == 0 and tokenizer.unk_id == 1 and tokenizer.pad_id == tokenizer.vocab_size - 1
    ids, mask = tokenizer.encode_batch(SENTENCES)
    assert ids.dtype == np.int64 and (ids[~mask] == tokenizer.pad_id).all()
    assert [row[real][-1] for row, real in zip(ids, mask, strict=True)] == [0] * len(SENTENCES)
    assert ids[2][0] == tokenizer.token_to_id(">>deu<<")
    cut, _ = tokenizer.encode_batch(["The cat sat on the mat."], max_length=4)
    assert cut.shape == (1, 4) and cut[0, -1] == 0
    translated = tokenizer.target.encode("Die Katze saß")
    assert tokenizer.decode(translated) == "Die Katze saß"
    with pytest.raises(ValueError, match="take one text, no pair"):
        tokenizer.encode("a", "b")
    with pytest.raises(ValueError, match="what is no character"):
        tokenizer.encode("half \ud800")


def test_marian_beside_a_model(marian, tmp_path):
    toy_folder(tmp_path / "a")
    at.text.MarianTokenizer.from_folder(marian).save(tmp_path / "a")
    model = at.models.load_pretrained(tmp_path / "a")
    assert isinstance(model.tokenizer, at.text.MarianTokenizer)
    model.save_pretrained(tmp_path / "b")
    for name in ("source.spm", "target.spm"):
        assert (tmp_path / "b" / name).read_bytes() == (marian / name).read_bytes()


@pytest.mark.filterwarnings("ignore")
def test_marian_as_transformers(marian, transformers):
    theirs, ours = (
        transformers.MarianTokenizer.from_pretrained(marian),
        at.text.MarianTokenizer.from_folder(marian),
    )
    expected = theirs(SENTENCES, padding=True)
    ids, mask = ours.encode_batch(SENTENCES)
    assert ids.tolist() == expected["input_ids"] and mask.astype(int).tolist() == expected["attention_mask"]
    targets = ["Die Katze", "ein Hund saß."]
    for text in targets:
        row = theirs(text_target=text)["input_ids"]
        assert ours.target.encode(text).tolist() == row
        for skip in (True, False):
            expected_text = theirs.decode(row, skip_special_tokens=skip, use_source_tokenizer=False)
            assert ours.decode(row, skip_special_tokens=skip) == expected_text


@pytest.mark.parametrize("name", ["source.spm", "target.spm", "vocab.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b'{"a": -1}'])
def test_damaged_files_of_marian(marian, tmp_path, name, content):
    at.text.MarianTokenizer.from_folder(marian).save(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="from_folder: "):
        at.text.MarianTokenizer.from_folder(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        at.text.MarianTokenizer.from_folder(tmp_path)

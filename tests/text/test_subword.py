"""Pieces of words, through `tokenizers` where it is installed; against `transformers` where that is."""

import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attendo.text import SubwordTokenizer

NEEDS = 'needs tokenizers: pip install "attendo[tokenizers]"'
TEXTS = [
    "the cat sat on the mat",
    "the dog sat on the log",
    "a cat and a dog",
    "unbelievable cats, dogs!",
] * 5


@pytest.fixture(scope="module")
def tokenizers():
    return pytest.importorskip("tokenizers", reason=NEEDS)


@pytest.fixture(scope="module", params=["bpe", "wordpiece", "unigram"])
def trained(request, tokenizers):
    return SubwordTokenizer.train(TEXTS, request.param, vocab_size=300)


def test_training(trained):
    assert trained.vocab_size <= 300 and len(trained) == trained.vocab_size
    for number, token in enumerate(["<pad>", "<unk>", "<s>", "</s>"]):
        assert trained.token_to_id(token) == number and trained.id_to_token(number) == token
    assert trained.pad_id == 0
    assert trained.token_to_id("no such piece") is None and trained.id_to_token(10**9) is None
    assert trained.id_to_token(-1) is None and trained.id_to_token(2**70) is None
    assert str(trained.vocab_size) in repr(trained)


def test_there_and_back(trained):
    for text in TEXTS[:3]:
        ids = trained.encode(text)
        assert ids.dtype == np.int64 and ids.ndim == 1 and 0 < len(ids) < len(text)
        assert trained.decode(ids) == text


@given(st.text(max_size=30))
def test_bytes_hold_any_text(tokenizers, text):
    trained = SubwordTokenizer.train(["ab"], "bpe", vocab_size=270)
    text = text.encode("utf-8", "ignore").decode()
    assert trained.decode(trained.encode(text)) == text


def test_a_batch(trained):
    texts = ["the cat", "the dog sat on the mat", ""]
    ids, mask = trained.encode_batch(texts)
    lengths = [len(trained.encode(text)) for text in texts]
    assert ids.shape == mask.shape == (3, max(lengths)) and ids.dtype == np.int64 and mask.dtype == np.bool_
    assert mask.sum(axis=1).tolist() == lengths
    for row, real, text in zip(ids, mask, texts, strict=True):
        assert row[real].tolist() == trained.encode(text).tolist()
        assert (row[~real] == trained.pad_id).all()
        assert real[: real.sum()].all()  # a prefix: masks of lengths fit
    left, left_mask = trained.encode_batch(texts, padding="pre", pad_to=30)
    assert left.shape == (3, 30) and left[1][left_mask[1]].tolist() == trained.encode(texts[1]).tolist()
    assert not left_mask[0, 0] and left_mask[0, -1]
    assert trained.decode_batch([row[real] for row, real in zip(ids, mask, strict=True)]) == texts
    assert trained.decode(ids[0]) == texts[0]  # padding is a special token
    assert trained.encode_batch([])[0].shape == (0, 0)


def test_cut(trained):
    ids, mask = trained.encode_batch(["the cat sat on the mat"], max_length=3)
    assert ids.shape == (1, 3) and mask.all()
    assert ids[0].tolist() == trained.encode("the cat sat on the mat")[:3].tolist()
    assert len(trained.encode("the cat sat on the mat")) > 3  # the next call is not cut


def test_lower_case(tokenizers):
    for kind in ("bpe", "wordpiece", "unigram"):
        lower = SubwordTokenizer.train(TEXTS, kind, vocab_size=300, lower=True)
        assert lower.encode("THE Cat").tolist() == lower.encode("the cat").tolist()


def test_saving(trained, tmp_path):
    trained.save(tmp_path)
    trained.save(tmp_path / "other.json")
    for again in (
        SubwordTokenizer.from_folder(tmp_path),
        SubwordTokenizer.from_file(tmp_path / "other.json"),
    ):
        assert again.encode(TEXTS[0]).tolist() == trained.encode(TEXTS[0]).tolist()
        assert again.vocab_size == trained.vocab_size
        assert again.pad_id == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.json", "tokenizer.json"]


def test_what_a_file_says_of_padding_and_cutting_is_not_done(trained, tmp_path):
    trained.backend.enable_truncation(2)
    trained.backend.enable_padding(pad_id=3, pad_token="</s>", length=50)
    trained.save(tmp_path)
    trained.backend.no_truncation()
    trained.backend.no_padding()
    again = SubwordTokenizer.from_folder(tmp_path)
    assert again.encode(TEXTS[0]).tolist() == trained.encode(TEXTS[0]).tolist()
    assert again.pad_id == 3


def test_bad_arguments(trained):
    with pytest.raises(TypeError, match="texts is a str but must be a list"):
        trained.encode_batch("text")
    for text in (3, None, b"bytes", ["a"]):
        with pytest.raises(TypeError, match=r"encode: a text is a .* but must be a str"):
            trained.encode(text)
    with pytest.raises(ValueError, match="there are 2 texts but 1 pairs"):
        trained.encode_batch(["a", "b"], ["c"])
    for options, says in (
        ({"max_length": 0}, "max_length is 0 but must be 1 or more"),
        ({"pad_to": 1}, "pad_to is 1 but a text has"),
        ({"padding": "left"}, "padding is 'left'"),
    ):
        with pytest.raises(ValueError, match=f"encode_batch: {says}"):
            trained.encode_batch(TEXTS[:1], **options)
    with pytest.raises(ValueError, match="encode: "):
        trained.encode("half \ud800 pair")
    for ids in ([-1], [10**6], [2**62], np.array([2**63], np.uint64)):
        with pytest.raises(ValueError, match=r"decode: .* is not an id of the vocabulary"):
            trained.decode(ids)
    with pytest.raises(TypeError, match="decode: ids has dtype float64"):
        trained.decode([1.0])
    with pytest.raises(ValueError, match=r"decode: ids has shape \(1, 1\)"):
        trained.decode([[1]])


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"kind": "words"}, ValueError, "kind is 'words' but must be"),
        ({"vocab_size": 259}, ValueError, "vocab_size is 259 but must be 260 or more"),
        ({"special_tokens": ["<pad>"]}, ValueError, "must differ"),
        ({"special_tokens": [""]}, ValueError, "none be empty"),
        ({"texts": "one text"}, TypeError, "texts is a str"),
        ({"texts": ["a", 3]}, TypeError, "a text is a int but must be a str"),
    ],
)
def test_bad_training(tokenizers, options, error, says):
    with pytest.raises(error, match=f"train: .*{says}"):
        SubwordTokenizer.train(**{"texts": TEXTS, "vocab_size": 300, **options})


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.txt"])
@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[" * 10**5, b"\xff\xfe", b'{"version": "1.0", "model": {}}', b"null"]
)
def test_a_damaged_file(tokenizers, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"from_folder: .*{name}"):
        SubwordTokenizer.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("vocab", "merges"),
    [
        ("{}", "a b"),
        ('{"a": "x"}', ""),
        ('{"a": 0}', "a b c d\n"),
        ('{"a": 0, "b": 1}', "a b\n"),
        ('{"a": true}', ""),
        ('{"a": 0, "b": 0}', ""),
    ],
)
def test_damaged_merges(tokenizers, tmp_path, vocab, merges):
    (tmp_path / "vocab.json").write_text(vocab)
    (tmp_path / "merges.txt").write_text(merges)
    with pytest.raises(ValueError, match=r"from_folder: .*vocab\.json' and merges\.txt do not fit"):
        SubwordTokenizer.from_folder(tmp_path)


@pytest.mark.parametrize("vocab", ["[]", "{", "", "[" * 10**5])
def test_a_damaged_vocabulary(tokenizers, tmp_path, vocab):
    (tmp_path / "vocab.json").write_text(vocab)
    (tmp_path / "merges.txt").write_text("")
    with pytest.raises(ValueError, match=r"from_folder: .*vocab\.json"):
        SubwordTokenizer.from_folder(tmp_path)


def test_a_folder_without_files(tokenizers, tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match="from_folder: "):
            SubwordTokenizer.from_folder(folder)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        SubwordTokenizer.from_file(tmp_path / "tokenizer.json")


def test_files_of_a_class_that_is_not_known(tokenizers, tmp_path):
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\na\n")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "EsmTokenizer"}')
    with pytest.raises(ValueError, match="how a EsmTokenizer is made of other files attendo does not know"):
        SubwordTokenizer.from_folder(tmp_path)


def test_without_the_library(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    for call in (
        lambda: SubwordTokenizer.train(TEXTS, vocab_size=300),
        lambda: SubwordTokenizer.from_folder(tmp_path),
    ):
        with pytest.raises(
            ImportError, match=r'tokenizers is not installed; run: pip install "attendo\[tokenizers\]"'
        ):
            call()


# ---------------------------------------------------------------------------------- the files of real models

SENTENCES = [
    "The cat sat, on the MAT!",
    "naïve café — don't  stop\n\tnow",
    "我爱北京 and 42 dogs",
    "",
    " leading and trailing ",
    "a <mask> [MASK] <|endoftext|> b",
    "\U0001f600 z\u0301",
]


def byte_level_files(folder, extra):
    trained = SubwordTokenizer.train(SENTENCES * 3, "bpe", vocab_size=330, special_tokens=(), min_frequency=1)
    model = json.loads(trained.backend.to_str())["model"]
    pieces = [piece for piece in model["vocab"] if piece not in ("<pad>", "<unk>")]
    vocab = {piece: number for number, piece in enumerate([*extra, *pieces])}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")


def word_piece_files(folder, **settings):
    trained = SubwordTokenizer.train(
        SENTENCES * 3, "wordpiece", vocab_size=120, special_tokens=(), lower=True
    )
    vocab = json.loads(trained.backend.to_str())["model"]["vocab"]
    pieces = [piece for piece in vocab if piece not in ("<pad>", "<unk>")]
    lines = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces, "Cat", "The"]
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def assert_like(ours, theirs, sentences=SENTENCES):
    for text in sentences:
        assert ours.encode(text).tolist() == theirs(text)["input_ids"], text
        assert (
            ours.encode(text, special_tokens=False).tolist()
            == theirs(text, add_special_tokens=False)["input_ids"]
        )
    expected = theirs(sentences, sentences[::-1], padding=True)
    ids, mask, type_ids = ours.encode_batch(sentences, sentences[::-1], return_type_ids=True)
    assert mask.astype(int).tolist() == expected["attention_mask"]
    assert ids[mask].tolist() == np.array(expected["input_ids"])[mask].tolist()
    if "token_type_ids" in expected:
        assert type_ids.tolist() == expected["token_type_ids"]
    cut = theirs(sentences, truncation=True, max_length=6)["input_ids"]
    ids, mask = ours.encode_batch(sentences, max_length=6)
    assert [row[real].tolist() for row, real in zip(ids, mask, strict=True)] == cut


@pytest.mark.filterwarnings("ignore")
def test_gpt2_files(tokenizers, transformers, tmp_path):
    byte_level_files(tmp_path, ["<|endoftext|>"])
    theirs = transformers.GPT2TokenizerFast.from_pretrained(tmp_path)
    theirs.pad_token = theirs.eos_token
    ours = SubwordTokenizer.from_folder(tmp_path)
    assert_like(ours, theirs)
    assert ours.pad_id == 0 and ours.pad_token is None
    theirs.save_pretrained(tmp_path / "json")
    assert_like(SubwordTokenizer.from_folder(tmp_path / "json"), theirs)


@pytest.mark.filterwarnings("ignore")
def test_roberta_files(tokenizers, transformers, tmp_path):
    byte_level_files(tmp_path, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    theirs = transformers.RobertaTokenizerFast.from_pretrained(tmp_path)
    # <mask> takes the space before it along, as in RoBERTa's own tokenizer.json; theirs of these does not.
    assert_like(SubwordTokenizer.from_folder(tmp_path), theirs, [s for s in SENTENCES if "<mask>" not in s])
    theirs.save_pretrained(tmp_path / "json")
    ours = SubwordTokenizer.from_folder(tmp_path / "json")
    assert_like(ours, theirs)
    assert ours.pad_id == theirs.pad_token_id == 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "settings", [{}, {"do_lower_case": False}, {"do_lower_case": True, "strip_accents": False}]
)
def test_bert_files(tokenizers, transformers, tmp_path, settings):
    word_piece_files(tmp_path, **settings)
    theirs = transformers.BertTokenizerFast.from_pretrained(tmp_path)
    assert_like(SubwordTokenizer.from_folder(tmp_path), theirs)
    theirs.save_pretrained(tmp_path / "json")
    ours = SubwordTokenizer.from_folder(tmp_path / "json")
    assert_like(ours, theirs)
    assert ours.pad_id == 0 and ours.pad_token == "[PAD]"

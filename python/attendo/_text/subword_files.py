"""The files tokenizers come in, and the untrained ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._files import file_in, read_json
from .._lazy import require

_LIMIT = 256 << 20
# Classes whose vocab.json and merges.txt are those of GPT-2: pieces of bytes.
_BYTE_LEVEL = ("GPT2Tokenizer", "RobertaTokenizer")
_WORD_PIECES = (
    "BertTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "MPNetTokenizer",
    "LayoutLMTokenizer",
)


def _tokenizers() -> Any:
    return require("tokenizers", "tokenizers")


def untrained(
    kind: str, vocab_size: int, specials: list[str], unk: str, min_frequency: int, lower: bool
) -> tuple[Any, Any]:
    """A tokenizer without a vocabulary, and what trains it."""
    library = _tokenizers()
    models, pre, decoders = library.models, library.pre_tokenizers, library.decoders
    normalizers, trainers = library.normalizers, library.trainers
    common = {"vocab_size": vocab_size, "special_tokens": specials, "show_progress": False}
    if kind == "bpe":
        tokenizer = library.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(min_frequency=min_frequency, initial_alphabet=alphabet, **common)
    elif kind == "wordpiece":
        tokenizer = library.Tokenizer(models.WordPiece(unk_token=unk))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
        tokenizer.pre_tokenizer = pre.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(min_frequency=min_frequency, **common)
    elif kind == "unigram":
        tokenizer = library.Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(unk_token=unk, **common)
    else:
        raise ValueError(f"train: kind is {kind!r} but must be 'bpe', 'wordpiece' or 'unigram'")
    if lower and kind != "wordpiece":
        first = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([*first, normalizers.Lowercase()])
    return tokenizer, trainer


def _read(folder: Path, name: str) -> str:
    path = file_in("from_folder", folder, name)
    if path.stat().st_size > _LIMIT:
        raise ValueError(f"from_folder: {str(path)!r} is longer than {_LIMIT} bytes")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"from_folder: {str(path)!r} is not text in UTF-8: {error}") from None


def read_tokenizer_json(folder: Path, name: str = "tokenizer.json") -> Any:
    """The tokenizer in a tokenizer.json."""
    library, text = _tokenizers(), _read(folder, name)
    try:
        return library.Tokenizer.from_str(text)
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # the library raises plain Exceptions, and its panics are no Exceptions
        raise ValueError(f"from_folder: {str(folder / name)!r} is no tokenizer.json: {error}") from None


def _settings(folder: Path) -> dict[str, Any]:
    """What tokenizer_config.json and special_tokens_map.json say."""
    out: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).exists():
            out.update(read_json("from_folder", folder, name, 64 << 20))
    return out


def _token(settings: dict[str, Any], key: str) -> str | None:
    value = settings.get(key)
    if isinstance(value, dict):  # an AddedToken, written out
        value = value.get("content")
    return value if isinstance(value, str) else None


def read_folder(folder: Path) -> tuple[Any, str | None]:
    """The tokenizer of a folder, and its token of padding."""
    library = _tokenizers()
    if not folder.is_dir():
        raise FileNotFoundError(f"from_folder: there is no folder {str(folder)!r}")
    settings = _settings(folder)
    pad = _token(settings, "pad_token")
    if (folder / "tokenizer.json").exists():
        return read_tokenizer_json(folder), pad
    kind = str(settings.get("tokenizer_class") or "").removesuffix("Fast")
    known: tuple[str, ...] = ()
    if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
        read, known = _byte_level, _BYTE_LEVEL
    elif (folder / "vocab.txt").exists():
        read, known = _word_pieces, _WORD_PIECES
    else:
        raise FileNotFoundError(
            f"from_folder: {str(folder)!r} has no tokenizer.json, vocab.json with merges.txt or vocab.txt"
        )
    if kind and kind not in known:
        raise ValueError(
            f"from_folder: {str(folder)!r} has no tokenizer.json, and how a {kind} is made of other files "
            "attendo does not know; write one with transformers: "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        )
    return read(library, folder, settings), pad


def _pieces_and_merges(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """What vocab.json and merges.txt say, checked: the library ends in a panic where they do not fit."""
    where = f"from_folder: {str(folder / 'vocab.json')!r} and merges.txt do not fit"
    vocab = read_json("from_folder", folder, "vocab.json", _LIMIT)
    numbers = [n for n in vocab.values() if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**31]
    if len(set(numbers)) != len(vocab):
        raise ValueError(f"{where}: every piece must have a number of its own")
    merges: list[tuple[str, str]] = []
    for line in _read(folder, "merges.txt").split("\n"):
        line = line.rstrip("\r")
        if not line or line.startswith("#version"):
            continue
        first, _, second = line.partition(" ")
        if not all(piece in vocab for piece in (first, second, first + second)):
            raise ValueError(f"{where}: {line!r:.80} must be two pieces that together are one")
        merges.append((first, second))
    return vocab, merges


def _byte_level(library: Any, folder: Path, settings: dict[str, Any]) -> Any:
    """GPT-2's pair encoding of bytes; where <s> and </s> are pieces RoBERTa's, with them around."""
    model = library.models.BPE(*_pieces_and_merges(folder))
    tokenizer = library.Tokenizer(model)
    before = settings.get("add_prefix_space") is True
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=before)
    tokenizer.decoder = library.decoders.ByteLevel()
    begin, end = tokenizer.token_to_id("<s>"), tokenizer.token_to_id("</s>")
    if begin is not None and end is not None:
        around = library.processors.RobertaProcessing(("</s>", end), ("<s>", begin), True, before)
        tokenizer.post_processor = around
    else:
        tokenizer.post_processor = library.processors.ByteLevel(trim_offsets=False)
    _add_specials(library, tokenizer, settings, ("<|endoftext|>", "<s>", "</s>", "<pad>", "<unk>", "<mask>"))
    return tokenizer


def _word_pieces(library: Any, folder: Path, settings: dict[str, Any]) -> Any:
    """BERT's word pieces, between [CLS] and [SEP]."""
    pieces = _read(folder, "vocab.txt").splitlines()
    vocab = {piece: number for number, piece in enumerate(pieces)}
    unk, cls, sep = (_token(settings, f"{k}_token") or f"[{k.upper()}]" for k in ("unk", "cls", "sep"))
    absent = [token for token in (unk, cls, sep) if token not in vocab]
    if absent:
        raise ValueError(f"from_folder: {str(folder / 'vocab.txt')!r} has no {absent[0]!r}")
    tokenizer = library.Tokenizer(library.models.WordPiece(vocab, unk_token=unk))
    lower = settings.get("do_lower_case") is not False
    accents = settings.get("strip_accents")
    tokenizer.normalizer = library.normalizers.BertNormalizer(
        handle_chinese_chars=settings.get("tokenize_chinese_chars") is not False,
        strip_accents=accents if isinstance(accents, bool) else None,
        lowercase=lower,
    )
    tokenizer.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = library.decoders.WordPiece()
    tokenizer.post_processor = library.processors.BertProcessing((sep, vocab[sep]), (cls, vocab[cls]))
    _add_specials(library, tokenizer, settings, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    return tokenizer


def _add_specials(library: Any, tokenizer: Any, settings: dict[str, Any], usual: tuple[str, ...]) -> None:
    """Tokens that are never cut: the usual ones and those of the settings, where they are pieces."""
    keys = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
    names = [*usual, *(token for key in keys if (token := _token(settings, key)) is not None)]
    known = [name for name in dict.fromkeys(names) if tokenizer.token_to_id(name) is not None]
    # RoBERTa's mask takes the space before it along.
    tokenizer.add_special_tokens(
        [library.AddedToken(name, lstrip=name == "<mask>", special=True, normalized=False) for name in known]
    )

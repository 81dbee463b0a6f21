"""generation_config.json: how the model's makers would have it decode. A plain dict, its types checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._files import read_json
from .config import Config

NAME = "generation_config.json"
_LIMIT = 4 << 20

# What config.json says where there is no generation_config.json, or it says nothing.
_INHERITED = (
    "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "forced_bos_token_id",
    "forced_eos_token_id",
)  # fmt: skip
_COUNTS = ("max_length", "max_new_tokens", "num_beams", "num_return_sequences")
_COUNTS_OR_ZERO = ("min_length", "min_new_tokens", "no_repeat_ngram_size", "top_k", "num_beam_groups")
_PROBABILITIES = ("top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "diversity_penalty")
_NUMBERS = ("temperature", "repetition_penalty", "encoder_repetition_penalty", "length_penalty")
_FLAGS = ("do_sample", "use_cache", "renormalize_logits")


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -1 <= value < 2**31


def _check(config: Config) -> None:
    """Refuse a value of another type than its key has; keys that are not known are left as they are."""
    for key in _INHERITED:
        value = config.values.get(key)
        if value is not None and not _is_id(value):
            if not isinstance(value, list) or key != "eos_token_id" or not all(map(_is_id, value)):
                config.wrong(key, "an id" + (" or a list of ids" if key == "eos_token_id" else ""))
    for key in _COUNTS:
        config.integer(key, None)
    for key in _COUNTS_OR_ZERO:
        config.integer(key, None, least=0)
    for key in _PROBABILITIES:
        config.number(key, None, 0.0, 1.0)
    for key in _NUMBERS:
        config.number(key, None)
    for key in _FLAGS:
        config.flag(key, False)
    early = config.values.get("early_stopping")
    if early is not None and not isinstance(early, bool) and early != "never":
        config.wrong("early_stopping", 'true, false or "never"')
    for key in ("bad_words_ids",):
        value = config.values.get(key)
        if value is not None and not (
            isinstance(value, list) and all(isinstance(ids, list) and all(map(_is_id, ids)) for ids in value)
        ):
            config.wrong(key, "a list of lists of ids")
    for key in ("suppress_tokens", "begin_suppress_tokens"):
        value = config.values.get(key)
        if value is not None and not (isinstance(value, list) and all(map(_is_id, value))):
            config.wrong(key, "a list of ids")


def read_generation_config(call: str, folder: Path, config: Config) -> dict[str, Any]:
    """What generation_config.json says, and config.json where it says nothing; null is left out."""
    values: dict[str, Any] = {}
    if (folder / NAME).exists() or (folder / NAME).is_symlink():
        values = read_json(call, folder, NAME, _LIMIT)
    found = Config(values, f"{call}: {str(folder / NAME)!r}")
    _check(found)
    values = {key: value for key, value in values.items() if value is not None}
    inherited = {
        key: value for key, value in config.values.items() if key in _INHERITED and key not in values
    }
    _check(Config(inherited, config.where))
    return {**{key: value for key, value in inherited.items() if value is not None}, **values}

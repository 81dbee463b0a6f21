"""What sentence-transformers writes beside a model: how its tokens become one vector."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .._files import read_json, read_json_list

_LIMIT = 1 << 20
_KINDS = {"mean": "mean", "mean_tokens": "mean", "cls": "first", "cls_token": "first"}


def read_sentence_config(folder: Path) -> dict[str, Any]:
    """``pooling``, ``normalize`` and ``max_length`` where the folder says them; {} where it says nothing.

    ``refused`` is there in place of ``pooling`` where a folder says what attendo has no way to compute.
    """
    if not (folder / "modules.json").exists():
        return {}
    modules = read_json_list("load_pretrained", folder, "modules.json", _LIMIT)
    found: dict[str, Any] = {"normalize": False}
    for module in modules:
        kind = str(module.get("type")).rsplit(".", 1)[-1] if isinstance(module, dict) else "?"
        if kind == "Pooling":
            path = module.get("path")
            if not isinstance(path, str) or not re.fullmatch(r"\d{1,3}_[A-Za-z]+", path):
                raise ValueError(
                    f"load_pretrained: modules.json names the folder {path!r:.80}, not one as 1_Pooling"
                )
            found |= _pooling(read_json("load_pretrained", folder / path, "config.json", _LIMIT))
        elif kind == "Normalize":
            found["normalize"] = True
        elif kind != "Transformer":
            found["refused"] = f"modules.json has a module of type {kind!r:.80}"
    if (folder / "sentence_bert_config.json").exists():
        longest = read_json("load_pretrained", folder, "sentence_bert_config.json", _LIMIT).get(
            "max_seq_length"
        )
        if isinstance(longest, int) and not isinstance(longest, bool) and longest > 0:
            found["max_length"] = longest
    return found


def _pooling(config: dict[str, Any]) -> dict[str, Any]:
    """Of 1_Pooling/config.json, in its old form with a flag for each way, and in the new one."""
    ways = [
        key.removeprefix("pooling_mode_")
        for key, on in config.items()
        if "pooling_mode_" in key and on is True
    ]
    if "pooling_mode" in config:
        ways = [str(config["pooling_mode"])]
    if len(ways) == 1 and ways[0] in _KINDS:
        return {"pooling": _KINDS[ways[0]]}
    return {"refused": f"1_Pooling/config.json has pooling {' and '.join(ways) or 'of no kind'!s:.80}"}

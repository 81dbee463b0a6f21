"""What a config says."""

from collections.abc import Mapping
from typing import Any


def typed(config: Mapping[str, Any], types: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What its type stands for, and its other entries."""
    if not isinstance(config, Mapping):
        raise TypeError(f"from_config: config is a {type(config).__name__} but must be a dict")
    options = dict(config)
    for key in options:
        if not isinstance(key, str):
            raise TypeError(f"from_config: config has the key {key!r} but its keys must be texts")
    kind = options.pop("type", None)
    if not isinstance(kind, str) or kind not in types:
        raise ValueError(f"from_config: type is {kind!r} but must be one of {', '.join(sorted(types))}")
    return types[kind], options

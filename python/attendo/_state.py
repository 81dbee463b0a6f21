"""Models on disk: parameters as safetensors, with class and constructor arguments as JSON in the header.

Nothing is ever unpickled or executed: a file can name one of attendo's own models, and hold numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core
from ._core import Module
from ._files import written_whole

# json, pathlib and safetensors are imported where a file is read or written: nothing else needs them.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ._typing import PathLike

_FORMAT = 1
_KEY = "attendo_config"
_MODELS = {
    "Transformer": _core.Transformer,
    "TransformerXL": _core.TransformerXL,
    "CnnAttention": _core.CnnAttention,
    "CrossModalClassifier": _core.CrossModalClassifier,
    "DecoderLM": _core.DecoderLM,
    "LstmAttention": _core.LstmAttention,
    "Seq2Seq": _core.Seq2Seq,
    "SequenceRecommender": _core.SequenceRecommender,
    "Word2Vec": _core.Word2Vec,
}


def save(self: Module, path: PathLike) -> None:
    """Write the parameters and buffers, and what builds the module again, to one file.

    Parameters
    ----------
    path : str or path
        The file, by custom ``*.safetensors``. It is written beside the target and renamed: an old file stays
        whole until the new one is.

    Raises
    ------
    OSError
        When the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> import attendo as at
    >>> model = at.models.Transformer(8, 2, 1, 1, 16, 10, 10, max_len=4, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(os.path.join(folder, "model.safetensors"))
    ...     again = at.load(os.path.join(folder, "model.safetensors"))
    >>> again.config == model.config, again.training
    (True, False)
    """
    import json

    from safetensors.numpy import save as dump

    config = {"format": _FORMAT, "class": type(self).__name__, "config": getattr(self, "config", None)}
    state = self.state_dict()
    if any(array.dtype.name == "int8" for array in state.values()):
        config["weights"] = "int8"
    data = dump(state, metadata={_KEY: json.dumps(config)})
    with written_whole(path) as file:
        file.write(data)


def _read(path: PathLike) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any]]:
    import json
    from pathlib import Path

    from safetensors import SafetensorError, safe_open

    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"load: there is no file {str(file)!r}")
    try:
        with safe_open(file, framework="numpy") as reader:
            metadata = reader.metadata() or {}
            state = {name: reader.get_tensor(name) for name in reader.keys()}
    except SafetensorError as error:
        raise ValueError(f"load: {str(file)!r} is not a whole safetensors file: {error}") from None
    if _KEY not in metadata:
        raise ValueError(f"load: {str(file)!r} was not written by attendo: its header has no {_KEY!r}")
    try:
        config = json.loads(metadata[_KEY])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"load: the {_KEY!r} of {str(file)!r} is not JSON: {error}") from None
    if not isinstance(config, dict) or config.get("format") != _FORMAT:
        raise ValueError(f"load: {str(file)!r} has a format this version of attendo does not know")
    return state, config


def _check_size(name: str, config: dict[str, Any], stored: int) -> None:
    """Refuse a description of more weights than the file holds before memory is taken for them."""

    def get(key: str, default: Any = None) -> list[int]:
        value = config.get(key, default)
        numbers = value if isinstance(value, (list, tuple)) else [value]
        if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers):
            raise ValueError(f"{key} is {value!r}")
        return list(numbers)

    def rows_of_layers(number: int, heads: int, dff: int, attentions: int = 1) -> int:
        """Rows of d numbers in the layers of a stack."""
        (kv_heads,), (width,) = get("num_kv_heads", heads), get("head_dim", d // max(heads, 1))
        return number * (attentions * 2 * (heads + kv_heads) * width + 2 * dff)

    if name == "Transformer":
        (d,), (dff,), (heads,), (longest,) = get("d_model"), get("dff"), get("nhead"), get("max_len")
        (source,), (target,) = get("input_vocab_size"), get("target_vocab_size")
        (encoder,), (decoder,) = get("num_encoder_layers"), get("num_decoder_layers")
        (decoder_heads,), (decoder_dff,) = get("decoder_nhead", heads), get("decoder_dff", dff)
        rows = 0 if config.get("shared_embeddings") else source
        rows += target * (1 if config.get("tie_weights") else 2)
        rows += 2 * longest if config.get("positions") == "learned" else 0
        rows += rows_of_layers(encoder, heads, dff) + rows_of_layers(decoder, decoder_heads, decoder_dff, 2)
        described = d * rows
    elif name == "DecoderLM":
        (d,), (vocabulary,), (heads,) = get("d_model"), get("vocab_size"), get("num_heads")
        (number,), (dff,), (longest,) = get("num_layers"), get("dff", 4 * d), get("max_len")
        rows = vocabulary * (1 if config.get("tie_weights") else 2)
        rows += longest if config.get("positions") == "learned" else 0
        described = d * (rows + rows_of_layers(number, heads, dff))
    elif name in {"LstmAttention", "Seq2Seq"}:
        (d,), (h,), (layers,) = get("embedding_dim", 64), get("hidden_size", 64), get("num_layers", 1)
        described = 3 * h * (d + h) + (layers - 1) * 6 * h * h  # a recurrent stack, with the fewest gates
        if name == "LstmAttention":
            (vocabulary,), (classes,) = get("vocab_size"), get("num_classes")
            (features,) = get("attention_features", 64)
            described += d * vocabulary + h * (features + classes)
        else:
            (source,), (target,) = get("input_vocab_size"), get("target_vocab_size")
            described += described + d * (source + target) + h * target
    elif name == "SequenceRecommender":
        (d,), (n,), (layers,) = get("d_model"), get("num_items"), get("num_layers")
        (longest,), (dff,) = get("max_len"), get("dff", d)
        described = d * (n + 1 + longest + layers * (4 * d + 2 * dff))
    elif name == "Word2Vec":
        (vocabulary,), (d,) = get("vocab_size"), get("embedding_dim", 64)
        described = 2 * vocabulary * (d + 1)
    else:
        (a, b), (f,), (g,) = get("channels", (64, 128)), get("features", 512), get("attention_features", 256)
        (inputs,), (classes,) = get("in_channels"), get("num_classes")
        described = 9 * a * (inputs + b) + f * (b + 3 * g) + g * (g + classes)
    if described > stored:
        raise ValueError(f"it describes at least {described} numbers but holds {stored}")


def load(path: PathLike) -> Module:
    """Read a model that ``model.save`` wrote.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    Module
        The model in evaluation mode, with the same parameters to the bit.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is damaged, was not written by attendo, or holds a class of your own: build that
        yourself and call ``model.load_state_dict(at.load_state_dict(path))``.

    Examples
    --------
    See :meth:`attendo.nn.Module.save`.
    """
    state, config = _read(path)
    name, arguments = config.get("class"), config.get("config")
    if isinstance(arguments, dict) and not all(key.isascii() and key.isidentifier() for key in arguments):
        raise ValueError(f"load: the description in {str(path)!r} has a key that is no name of an argument")
    if not isinstance(name, str) or name not in _MODELS or not isinstance(arguments, dict):
        raise ValueError(
            f"load: {str(path)!r} holds a {name!r}, which is not one of attendo's models; build it and call "
            "its load_state_dict with attendo.load_state_dict(path)"
        )
    try:
        _check_size(name, arguments, sum(array.size for array in state.values()))
        model: Module = _MODELS[name](**arguments)
        if config.get("weights") == "int8":
            model.to_int8()
        model.load_state_dict(dict(state))
    except (TypeError, ValueError) as error:
        raise ValueError(f"load: {str(path)!r} does not fit its own description: {error}") from None
    return model.eval()


def load_state_dict(path: PathLike) -> dict[str, NDArray[np.generic]]:
    """Read the parameters and buffers in a file that ``model.save`` wrote: for models of your own.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    dict of str to ndarray
        What ``state_dict()`` gave when it was written: hand it to ``model.load_state_dict``.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is damaged or was not written by attendo.

    Examples
    --------
    >>> import os, tempfile
    >>> import attendo as at
    >>> class Net(at.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.out = at.nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Net().save(os.path.join(folder, "net.safetensors"))
    ...     state = at.load_state_dict(os.path.join(folder, "net.safetensors"))
    >>> Net().load_state_dict(state)
    ([], [])
    """
    return _read(path)[0]

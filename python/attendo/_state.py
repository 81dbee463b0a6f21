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
    "EncoderClassifier": _core.EncoderClassifier,
    "LstmAttention": _core.LstmAttention,
    "MaskedLM": _core.MaskedLM,
    "Seq2Seq": _core.Seq2Seq,
    "SequenceRecommender": _core.SequenceRecommender,
    "TextEncoder": _core.TextEncoder,
    "VisionTransformer": _core.VisionTransformer,
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
    from safetensors.numpy import save as dump

    data = dump(self.state_dict(), metadata=metadata_of(self))
    with written_whole(path) as file:
        file.write(data)


def metadata_of(model: Module) -> dict[str, str]:
    """What the header of a file says of the model in it."""
    import json

    from .peft._pieces import described

    config = {"format": _FORMAT, "class": type(model).__name__, "config": getattr(model, "config", None)}
    attached = described(model)
    if attached is not None:
        config["peft"] = attached
    if forms := _core._int8_forms(model):
        config["weights"] = "int8" if set(forms.values()) == {"weights"} else "quantized"
    return {_KEY: json.dumps(config)}


def _forms_of(state: dict[str, NDArray[Any]]) -> dict[str, str]:
    """How each int8 matrix of a file is held: as to_int8 does, or as quantize does, "dynamic" or "static"."""

    def form(name: str) -> str:
        scales = state.get(f"{name}_scales")
        if scales is None or scales.ndim != 1:
            return "weights"
        return "static" if f"{name}_input" in state else "dynamic"

    return {name: form(name) for name, array in state.items() if array.dtype.name == "int8"}


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
    if "attendo_checkpoint" in metadata:
        raise ValueError(
            f"load: {str(file)!r} is a checkpoint of a run: "
            f"attendo.train.resume({str(file.parent)!r}).model is its model"
        )
    if _KEY not in metadata:
        raise ValueError(f"load: {str(file)!r} was not written by attendo: its header has no {_KEY!r}")
    try:
        config = json.loads(metadata[_KEY])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"load: the {_KEY!r} of {str(file)!r} is not JSON: {error}") from None
    if not isinstance(config, dict) or config.get("format") != _FORMAT:
        raise ValueError(f"load: {str(file)!r} has a format this version of attendo does not know")
    return state, config


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
        # What is missing is named below; what is far more is not made.
        with _core._NoDraws(2 * sum(array.size for array in state.values()) + 65536):
            model: Module = _MODELS[name](**arguments)
        if config.get("weights") == "int8":
            model.to_int8()
        elif config.get("weights") == "quantized":
            _core._hold_int8(model, _forms_of(state))
        if "peft" in config:
            from .peft._pieces import restore

            restore("load", model, config["peft"], state)
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

"""What was trained alone, as a safetensors file: numbers, and a description as JSON in the header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import Module
from .._files import written_whole
from .._state import _FORMAT, _KEY, _read
from ._pieces import described, detach, own_parameters, pieces_of, restore

if TYPE_CHECKING:
    from .._typing import PathLike

_CLASS = "peft"


def _statistics(model: Module) -> set[str]:
    return {name for name, _ in model.named_buffers() if name.endswith(("running_mean", "running_var"))}


def save(model: Module, path: PathLike) -> None:
    """Write what is attached, and whatever else trains, to one file.

    Parameters
    ----------
    model : Module
        One with updates, a prefix or adapters.
    path : str or path
        The file, by custom ``*.safetensors``; an old one stays whole until the new one is.

    Raises
    ------
    ValueError
        When nothing is attached.
    OSError
        When the file cannot be written.

    Notes
    -----
    The file holds the parameters of what is attached, those that require a gradient besides (``also=``), and
    the running statistics of batch norms. ``model.save`` writes all of the model.

    Examples
    --------
    >>> import os, tempfile
    >>> import attendo as at
    >>> def base():
    ...     return at.models.DecoderLM(100, 32, num_heads=4, num_layers=1, dff=64, max_len=16, seed=0)
    >>> model = at.peft.lora(base(), rank=2, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     at.peft.save(model, os.path.join(folder, "adapter.safetensors"))
    ...     again = at.peft.load(base(), os.path.join(folder, "adapter.safetensors"))
    >>> at.peft.trainable(again) == at.peft.trainable(model)
    True
    """
    import json

    from safetensors.numpy import save as dump

    description = described(model)
    if description is None:
        raise ValueError("save: nothing is attached to the model; model.save writes all of it")
    names = {*own_parameters(model, description["pieces"]), *description["trainable"]}
    names |= _statistics(model)
    state = {name: value for name, value in model.state_dict().items() if name in names}
    config = {"format": _FORMAT, "class": _CLASS, "peft": description}
    with written_whole(path) as file:
        file.write(dump(state, metadata={_KEY: json.dumps(config)}))


def load(model: Module, path: PathLike) -> Module:
    """Put what :func:`save` wrote on a model.

    Parameters
    ----------
    model : Module
        The model that was fine-tuned, as it was before; changed in place.
    path : str or path
        The file.

    Returns
    -------
    Module
        The model. What the file holds requires a gradient, all else is frozen.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is damaged, was not written by :func:`save` or is of another model; or something is
        attached to the model already. The model is then as it was.

    Examples
    --------
    See :func:`save`.
    """
    if pieces_of(model):
        raise ValueError("load: something is attached to the model already; merge or remove it first")
    state, config = _read(path)
    if config.get("class") != _CLASS:
        raise ValueError(
            f"load: {str(path)!r} holds a model, not what peft.save writes: attendo.load reads it"
        )
    flags = [(value, value.requires_grad) for value in model.parameters()]
    try:
        restore("load", model, config.get("peft"), state)
        wanted = {*own_parameters(model, pieces_of(model)), *config["peft"]["trainable"]}
        missing = sorted(wanted - set(state))
        if missing:
            raise ValueError(f"it lacks {missing[0]!r}")
        unexpected = sorted(set(state) - wanted - _statistics(model))
        if unexpected:
            raise ValueError(f"{unexpected[0]!r} is nothing that was trained")
        model.load_state_dict(dict(state), strict=False)
    except (TypeError, ValueError) as error:
        detach(model, pieces_of(model))
        for value, flag in flags:
            value.requires_grad = flag
        raise ValueError(f"load: {str(path)!r} does not fit the model: {error}") from None
    return model

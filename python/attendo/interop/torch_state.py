"""State dicts of PyTorch, both ways, without PyTorch.

attendo's layers have PyTorch's names and layouts wherever both have the layer. Where they do not, a layer's
names are translated, as deep in a model as it may stand:

    ================  =====================================================================
    EncoderLayer      ``feed_forward.linear1, 2`` are ``linear1, 2`` there
    DecoderLayer      these, and ``cross_attn`` is ``multihead_attn``
    TorchTransformer  ``encoder_norm, decoder_norm`` are ``encoder.norm, decoder.norm``
    ================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import DecoderLayer, EncoderLayer, Module
from .checkpoint import CheckpointError, LoadReport

if TYPE_CHECKING:
    from .._typing import FloatArray

_LAYERS: dict[type, dict[str, str]] = {
    EncoderLayer: {"feed_forward.linear1": "linear1", "feed_forward.linear2": "linear2"},
    DecoderLayer: {
        "feed_forward.linear1": "linear1",
        "feed_forward.linear2": "linear2",
        "cross_attn": "multihead_attn",
    },
}
# A counter of BatchNorm, which no computation uses.
_IGNORED = "num_batches_tracked"


def _replaced(name: str, prefixes: Mapping[str, str]) -> str:
    """The name with the longest prefix that fits replaced; a prefix ends where a part of the name does."""
    fitting = [p for p in prefixes if p == "" or name == p or name.startswith(p + ".")]
    if not fitting:
        return name
    longest = max(fitting, key=len)
    rest = name[len(longest) :].lstrip(".")
    return ".".join(part for part in (prefixes[longest], rest) if part)


def _torch_names(module: Module) -> dict[str, str]:
    """The names of a module's parameters and buffers, with those they have in PyTorch."""
    prefixes: dict[str, str] = {}
    for path, inner in module.named_modules():
        layer: Mapping[str, str] = getattr(type(inner), "torch_names", {})
        for kind, names in _LAYERS.items():
            if isinstance(inner, kind):
                layer = names
        at = f"{path}." if path else ""
        prefixes.update({at + ours: at + theirs for ours, theirs in layer.items()})
    tensors = (*module.named_parameters(), *module.named_buffers())
    return {name: _replaced(name, prefixes) for name, _ in tensors}


def _array(name: str, value: Any) -> FloatArray:
    """A tensor of any library as an array of floats."""
    if hasattr(value, "detach"):  # PyTorch's
        value = value.detach().cpu()
        if "bfloat16" in str(value.dtype):
            value = value.float()
    array = np.asarray(value)
    if array.dtype.kind != "f":
        raise TypeError(f"from_torch: {name!r} has dtype {array.dtype} but must be of floats")
    return array.astype(np.float32) if array.dtype.itemsize < 4 else array


def from_torch(
    state: Mapping[str, Any], module: Module, *, rename: Mapping[str, str] | None = None, strict: bool = True
) -> LoadReport:
    """Give a module the parameters of a PyTorch model.

    Parameters
    ----------
    state : mapping of str to tensor or array
        What ``state_dict()`` of the model there gives, or ``safetensors.numpy.load_file``.
    module : Module
        Of attendo, with the same layers.
    rename : mapping of str to str, optional
        Beginnings of names there, and what stands in their place here:
        ``{"transformer.encoder": "encoder"}``; ``{"module": ""}`` takes one away.
    strict : bool
        Insist that the names are exactly those of the module.

    Returns
    -------
    LoadReport
        The lists ``missing``, ``unexpected`` and ``ignored``, of PyTorch's names.

    Raises
    ------
    CheckpointError
        When a shape differs, or with ``strict`` names do; a ValueError. Nothing is written then.
    TypeError
        When state is no mapping, or a tensor is not of floats.

    Notes
    -----
    For ``torch.nn`` Linear, Embedding, LayerNorm, BatchNorm, Conv, MultiheadAttention, LSTM, GRU,
    TransformerEncoderLayer, TransformerEncoder and their decoders, and models of them.
    ``torch.nn.Transformer`` has a last norm after either stack whatever its ``norm_first``:
    :class:`TorchTransformer` has too. With ``bias=False`` its norms have no biases; here, in a module made
    with ``bias=False`` as well, they have, zeros at first: ``strict=False`` leaves them so.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> layer = at.nn.EncoderLayer(4, 2, 8)
    >>> state = at.interop.to_torch(layer)
    >>> [name for name in state if name.startswith("linear1")]
    ['linear1.weight', 'linear1.bias']
    >>> at.interop.from_torch(state, layer).missing
    []

    Source: python/attendo/interop/torch_state.py
    """
    if not isinstance(state, Mapping):
        raise TypeError(
            f"from_torch: state is a {type(state).__name__} but must be what its state_dict() gives"
        )
    given: dict[str, str] = {}
    for name in state:
        new = _replaced(name, rename or {})
        if new in given:
            raise ValueError(f"from_torch: {name!r} and {given[new]!r} are both {new!r} after rename")
        given[new] = name
    tensors = dict((*module.named_parameters(), *module.named_buffers()))
    report, values = LoadReport(), {}
    names = _torch_names(module)
    for ours, theirs in names.items():
        if theirs not in given:
            report.missing.append(theirs)
            continue
        value = _array(given[theirs], state[given[theirs]])
        if value.shape != tensors[ours].shape:
            report.mismatched.append(f"{given[theirs]} is {value.shape} but must be {tensors[ours].shape}")
        values[ours] = value
    known = set(names.values())
    for new, name in given.items():
        if new not in known:
            (report.ignored if name.split(".")[-1] == _IGNORED else report.unexpected).append(name)
    if report.mismatched or (strict and (report.missing or report.unexpected)):
        lists = {
            "of another shape": report.mismatched,
            "missing": report.missing,
            "unexpected": report.unexpected,
        }
        listed = "".join(f"\n  {what}: {', '.join(which)}" for what, which in lists.items() if which)
        raise CheckpointError(f"from_torch: the state does not fit {type(module).__name__}:{listed}", report)
    module.load_state_dict(values, strict=False)
    return report


def to_torch(module: Module, *, rename: Mapping[str, str] | None = None) -> dict[str, FloatArray]:
    """The parameters of a module under PyTorch's names.

    Parameters
    ----------
    module : Module
    rename : mapping of str to str, optional
        As of :func:`from_torch`: beginnings of names there, and what stands in their place here.

    Returns
    -------
    dict of str to ndarray
        Copies. ``model.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})`` takes them
        there; BatchNorm's ``num_batches_tracked`` is not among them: say ``strict=False`` where there is one.

    Raises
    ------
    ValueError
        When rename gives two parameters one name.

    Source: python/attendo/interop/torch_state.py
    """
    back = {here: there for there, here in (rename or {}).items()}
    names = _torch_names(module)
    out: dict[str, FloatArray] = {}
    for ours, value in module.state_dict().items():
        name = _replaced(names[ours], back)
        if name in out:
            raise ValueError(f"to_torch: two parameters are {name!r} after rename")
        out[name] = value
    return out

"""What was attached, folded in or taken off."""

from __future__ import annotations

from .._core import Module
from ._pieces import detach, pieces_of


def _thaw(model: Module) -> None:
    for value in model.parameters():
        if value.dtype.kind == "f":
            value.requires_grad = True


def merge(model: Module) -> Module:
    r"""Fold the low-rank updates into the matrices: the same function, as one model without them.

    Parameters
    ----------
    model : Module
        One with updates of :func:`lora`; changed in place.

    Returns
    -------
    Module
        The model, with the modules it had before. All its parameters train again.

    Raises
    ------
    ValueError
        When there is no update; a prefix or an adapter, which no matrix can hold: :func:`remove` it, or keep
        it; or a matrix is int8, and the sum would be rounded.

    Notes
    -----
    :math:`W \leftarrow W + \frac{\alpha}{r} B A`, so that outputs agree to rounding, and decoding costs what
    it did without updates.

    Examples
    --------
    >>> import attendo as at
    >>> layer = at.peft.lora(at.nn.Linear(4, 3, seed=0), rank=2, targets="weight", seed=0)
    >>> at.peft.merge(layer)
    Linear(in_features=4, out_features=3)
    """
    pieces = pieces_of(model)
    if not pieces:
        raise ValueError("merge: the model has no low-rank update")
    other = next((piece for piece in pieces if piece["kind"] != "lora"), None)
    if other is not None:
        kind = {"prefix": "a prefix", "adapter": "an adapter"}[other["kind"]]
        raise ValueError(
            f"merge: {other['module']!r} has {kind}, which no matrix can hold; low-rank updates alone can "
            "be merged"
        )
    rounded = next((name for name, value in model.named_parameters() if value.dtype.kind == "i"), None)
    if rounded is not None:
        raise ValueError(
            f"merge: {rounded!r} is int8, and the sum would be rounded anew; keep the updates, or merge "
            "before to_int8()"
        )
    detach(model, pieces, merge=True)
    _thaw(model)
    return model


def remove(model: Module) -> Module:
    """Take off all that was attached: the model as it was before.

    Parameters
    ----------
    model : Module
        One with updates, a prefix or adapters; changed in place.

    Returns
    -------
    Module
        The model. Frozen parameters never changed, so that it gives what it gave, to the bit; all of them
        train again. What trained besides (``also=``) keeps its new values.

    Raises
    ------
    ValueError
        When nothing is attached.

    Examples
    --------
    >>> import attendo as at
    >>> layer = at.peft.lora(at.nn.Linear(4, 3, seed=0), rank=2, targets="weight", seed=0)
    >>> at.peft.remove(layer)
    Linear(in_features=4, out_features=3)
    """
    pieces = pieces_of(model)
    if not pieces:
        raise ValueError("remove: nothing is attached to the model")
    detach(model, pieces)
    _thaw(model)
    return model

"""Heads of attention: what each is worth, and layers and models without some of them.

    I_h = E |∂ loss / ∂ξ_h|,   ξ_h = 1 a factor of head h's output        Michel et al. 2019, eq. 2
        = E |Σ W_o[:, h] ∘ ∂ loss / ∂W_o[:, h]|                            since ξ_h scales those columns

in_proj_weight (3 H D, d), out_proj.weight (d, H D); without a head D rows each of W_q, W_k, W_v and D columns
of W_o are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._core import MultiHeadAttention
from .._evaluation import as_evaluated, parts, sliced
from .._grad import enable_grad, grad, no_grad

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._core import Module, Tensor
    from .._typing import TensorLike


def head_importance(
    model: Module,
    loss: Callable[..., Tensor],
    inputs: TensorLike | tuple[TensorLike, ...],
    target: TensorLike | tuple[TensorLike, ...],
    *,
    method: Literal["gradient", "ablation"] = "gradient",
    batch_size: int | None = None,
) -> dict[str, NDArray[np.float64]]:
    r"""How much the loss depends on each head of each :class:`attendo.nn.MultiHeadAttention`.

    Parameters
    ----------
    model : Module
        Run in evaluation mode; it stays as it is.
    loss : callable
        ``loss(prediction, target)`` gives a Tensor of shape (), a mean over samples.
    inputs : array_like or tuple of array_like, shape (samples, ...)
        What the model takes.
    target : array_like or tuple of array_like, shape (samples, ...)
        The right answers.
    method : {"gradient", "ablation"}
        The gradient's size, for the price of a forward and a backward pass; or how much the loss grows
        without the head, for a forward pass a head.
    batch_size : int, optional
        Samples at a time; where it is not given 1 for "gradient", which is the paper's mean over samples of
        the absolute value, and 256 for "ablation".

    Returns
    -------
    dict of str to ndarray, shape (H,)
        By the layer's name.

    Raises
    ------
    ValueError
        When the model has no such layer or is int8, there are no samples, or method is none of its words.

    Notes
    -----
    .. math::

        I_h = \mathbb E_x \left| \frac{\partial \ell(x)}{\partial \xi_h} \right|
        = \mathbb E_x \Bigl| \sum_{ij \in h} W^o_{ij} \frac{\partial \ell(x)}{\partial W^o_{ij}} \Bigr|

    References
    ----------
    Michel, Levy and Neubig 2019, "Are sixteen heads really better than one?", §2.3 (ablation), eq. 2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.models.EncoderClassifier(10, 8, 4, 1, 6, 2, seed=0)
    >>> ids, y = np.arange(12).reshape(2, 6) % 10, [0, 1]
    >>> worth = at.compress.prune.head_importance(model, at.losses.CrossEntropy(), ids, y)
    >>> worth["text.encoder.layers.0.self_attn"].shape
    (4,)

    Source: python/attendo/compress/heads.py
    """
    layers = _attention(model)
    given = sliced(inputs if isinstance(inputs, tuple) else (inputs,), slice(None))
    wanted = sliced(target if isinstance(target, tuple) else (target,), slice(None))
    if not len(given[0]):
        raise ValueError("head_importance: inputs has no samples")
    if method not in ("gradient", "ablation"):
        raise ValueError(f"head_importance: method is {method!r} but must be 'gradient' or 'ablation'")
    count = len(given[0])
    found = {name: np.zeros(one.num_heads) for name, one in layers.items()}
    weights = [_out_weight(one) for one in layers.values()]
    check_floats("head_importance", dict(zip(layers, weights, strict=True)))

    def measured(part: slice) -> Tensor:
        out = model(*sliced(given, part))
        if isinstance(out, tuple) and not isinstance(target, tuple):
            out = out[0]
        pieces = sliced(wanted, part)
        return loss(out, pieces if isinstance(target, tuple) else pieces[0])

    def total() -> float:
        with no_grad():
            pieces = parts(count, 256 if batch_size is None else batch_size, "head_importance")
            return float(sum(measured(part).item() * (part.stop - part.start) for part in pieces) / count)

    with as_evaluated(model):
        if method == "ablation":
            whole = total()
            for (name, one), weight in zip(layers.items(), weights, strict=True):
                kept = weight.numpy().copy()
                try:
                    for head in range(one.num_heads):
                        without = kept.copy()
                        without[:, head * one.value_dim : (head + 1) * one.value_dim] = 0
                        weight.assign(without)
                        found[name][head] = total() - whole
                finally:
                    weight.assign(kept)
            return found
        for part in parts(count, 1 if batch_size is None else batch_size, "head_importance"):
            with enable_grad():
                slopes = grad(measured(part), weights, allow_unused=True)
            for (name, one), weight, slope in zip(layers.items(), weights, slopes, strict=True):
                if slope is not None:
                    by_head = (
                        (weight.numpy() * slope.numpy()).sum(axis=0).reshape(one.num_heads, -1).sum(axis=1)
                    )
                    found[name] += np.abs(by_head) * ((part.stop - part.start) / count)
    return found


def layer(attention: MultiHeadAttention, keep: Sequence[int], **options: Any) -> MultiHeadAttention:
    """A layer of attention with some of the heads of another.

    Parameters
    ----------
    attention : attendo.nn.MultiHeadAttention
        With as many key-value heads as heads.
    keep : sequence of int
        Which heads stay, at least one, in this order.
    **options
        How the layer was made apart from its sizes and biases: dropout, scale, rotary, qk_norm, …

    Returns
    -------
    attendo.nn.MultiHeadAttention
        With ``len(keep)`` heads of the same features and the same weights.

    Raises
    ------
    ValueError
        When a head is not there or twice, none is kept, or the layer has grouped heads.

    Examples
    --------
    >>> import attendo as at
    >>> attention = at.nn.MultiHeadAttention(16, 4, seed=0)
    >>> smaller = at.compress.prune.layer(attention, [0, 3])
    >>> smaller.num_heads, smaller.head_dim, smaller.num_parameters() / attention.num_parameters()
    (2, 4, 0.5073529411764706)

    Source: python/attendo/compress/heads.py
    """
    heads_kept = _checked(attention, keep)
    state = attention.state_dict()
    apart = "q_proj_weight" in state
    smaller = MultiHeadAttention(
        attention.d_model,
        len(heads_kept),
        head_dim=attention.head_dim,
        value_dim=attention.value_dim,
        kdim=state["k_proj_weight"].shape[1] if apart else None,
        vdim=state["v_proj_weight"].shape[1] if apart else None,
        bias="in_proj_bias" in state,
        out_bias="out_proj.bias" in state,
        dtype=state["out_proj.weight"].dtype,
        **options,
    )
    smaller.load_state_dict({name: _cut(attention, name, value, heads_kept) for name, value in state.items()})
    smaller.train(attention.training)
    return smaller


def heads(model: Module, keep: int | float, importance: Mapping[str, NDArray[Any]]) -> Any:
    """A model of the same class without the least important heads of every layer.

    Parameters
    ----------
    model : Module
        One of :mod:`attendo.models` with ``config``; it stays as it is.
    keep : int or float
        Heads that stay in each layer: how many, 1 or more, or what share, above 0 and below 1.
    importance : mapping of str to array_like, shape (H,)
        Of each layer's heads, by its name: :func:`head_importance`, or your own.

    Returns
    -------
    Module
        A new model: smaller matrices, fewer parameters, faster. Fine-tune it, and save and load it, as any.

    Raises
    ------
    ValueError
        When the model has no ``config`` or no such layers, it is int8, they differ in heads or share
        key-value heads, more are to be kept than there are, importance is missing for one or not finite, or
        other parameters depend on the number of heads.

    Notes
    -----
    Every layer keeps as many, since a model's layers are of one shape; their features stay. Of H heads k
    are kept: about 4 (H - k) D d numbers less in each layer.

    References
    ----------
    Michel, Levy and Neubig 2019, "Are sixteen heads really better than one?", §4.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.models.EncoderClassifier(10, 8, 4, 2, 6, 2, seed=0)
    >>> ids, y = np.arange(12).reshape(2, 6) % 10, [0, 1]
    >>> worth = at.compress.prune.head_importance(model, at.losses.CrossEntropy(), ids, y)
    >>> smaller = at.compress.prune.heads(model, 0.5, worth)
    >>> smaller.num_parameters() < model.num_parameters()
    True

    Source: python/attendo/compress/heads.py
    """
    layers = _attention(model)
    config = dict(getattr(model, "config", None) or {})
    if not config:
        kind = type(model).__name__
        raise ValueError(f"heads: {kind} has no config to be made from; prune its layers with prune.layer")
    (name, first), *_ = layers.items()
    for other, one in layers.items():
        if (one.num_heads, one.head_dim) != (first.num_heads, first.head_dim):
            raise ValueError(f"heads: {other} has other heads than {name}; all must be alike")
    check_floats("heads", {name: _out_weight(one) for name, one in layers.items()})
    count = _count(keep, first.num_heads)
    kept: dict[str, list[int]] = {}
    for name, one in layers.items():
        if name not in importance:
            raise ValueError(f"heads: importance has no {name!r}")
        worth = np.asarray(importance[name], dtype=np.float64)
        if worth.shape != (one.num_heads,):
            raise ValueError(f"heads: importance of {name!r} has shape {worth.shape}, not ({one.num_heads},)")
        if not np.isfinite(worth).all():
            raise ValueError(f"heads: importance of {name!r} holds NaN or inf but must be finite")
        kept[name] = _checked(one, sorted(np.argsort(-worth, kind="stable")[:count].tolist()))
    word = "num_heads" if "num_heads" in config else "nhead"
    try:
        smaller = type(model)(**{**config, word: count, "head_dim": first.head_dim})
    except TypeError as error:
        raise ValueError(f"heads: {type(model).__name__} cannot be made with fewer heads: {error}") from error
    state = {}
    for full, value in model.state_dict().items():
        owner = next((name for name in layers if full.startswith(f"{name}." if name else "")), None)
        if owner is None:
            state[full] = value
        else:
            short = full[len(owner) + 1 :] if owner else full
            state[full] = _cut(layers[owner], short, value, kept[owner])
    for full, value in smaller.state_dict().items():
        if full in state and state[full].shape != value.shape:
            raise ValueError(f"heads: {full} is of all heads of a model and cannot lose those of one layer")
    smaller.load_state_dict(state)
    trained = dict(model.named_parameters())
    for full, parameter in smaller.named_parameters():
        parameter.requires_grad = trained[full].requires_grad
    smaller.train(model.training)
    return smaller


def check_floats(call: str, parameters: Mapping[str, Tensor]) -> None:
    """ValueError for a model whose matrices are whole numbers."""
    for name, parameter in parameters.items():
        if parameter.dtype == np.int8:
            raise ValueError(
                f"{call}: the model is int8 ({name or 'its matrix'} is quantized), which cannot be pruned or "
                "measured: do so before to_int8() or quantize"
            )


def _attention(model: Module) -> dict[str, MultiHeadAttention]:
    layers = {name: one for name, one in model.named_modules() if isinstance(one, MultiHeadAttention)}
    if not layers:
        raise ValueError(f"{type(model).__name__} has no attendo.nn.MultiHeadAttention")
    return layers


def _out_weight(attention: MultiHeadAttention) -> Tensor:
    return dict(attention.named_parameters())["out_proj.weight"]


def _count(keep: int | float, most: int) -> int:
    count = max(1, round(keep * most)) if isinstance(keep, float) and 0 < keep < 1 else keep
    if not isinstance(count, (int, np.integer)) or not 1 <= count <= most:
        raise ValueError(f"heads: keep is {keep} but must be 1 to {most}, or a share above 0 and below 1")
    return int(count)


def _checked(attention: MultiHeadAttention, keep: Sequence[int]) -> list[int]:
    most = attention.num_heads
    if attention.num_kv_heads != most:
        raise ValueError(
            f"heads: {most} heads share {attention.num_kv_heads} key-value heads and cannot be taken out one "
            "by one"
        )
    wanted = [int(one) for one in keep]
    if not wanted or len(set(wanted)) != len(wanted) or min(wanted) < 0 or max(wanted) >= most:
        raise ValueError(f"heads: keep is {wanted} but must be different heads of 0 to {most - 1}")
    return wanted


def _cut(attention: MultiHeadAttention, name: str, value: NDArray[Any], keep: list[int]) -> NDArray[Any]:
    """A parameter of the layer with the rows, or columns, of some heads."""

    def places(first: int, features: int) -> NDArray[np.int64]:
        place: NDArray[np.int64] = np.concatenate([first + h * features + np.arange(features) for h in keep])
        return place

    key, val = attention.head_dim, attention.value_dim
    end = attention.num_heads * key
    if name in ("in_proj_weight", "in_proj_bias"):
        value = value[np.concatenate([places(0, key), places(end, key), places(2 * end, val)])]
        return value
    if name in ("q_proj_weight", "k_proj_weight"):
        return value[places(0, key)]
    if name == "v_proj_weight":
        return value[places(0, val)]
    cut: NDArray[Any] = value[:, places(0, val)] if name == "out_proj.weight" else value
    return cut

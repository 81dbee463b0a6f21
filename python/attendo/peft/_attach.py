"""LoRA, prefixes and adapters on a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import _core
from .._core import FeedForward, Module, MultiHeadAttention
from ._patterns import as_patterns, chosen, matrix_fits, module_fits, parameter_fits
from ._pieces import Piece, attach, only_train, own_parameters, pieces_of

if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    Patterns: TypeAlias = str | Sequence[str]
    Activation: TypeAlias = Literal["relu", "gelu", "gelu_tanh", "silu"]


def _attached(call: str, model: Module, pieces: list[Piece], also: Patterns, seed: int | None) -> Module:
    before = pieces_of(model)
    names = [name for name, _ in model.named_parameters()]
    wanted = as_patterns(call, "also", also)
    others = chosen(call, "also", wanted, names, parameter_fits)
    trained = own_parameters(model, before)
    attach(call, model, pieces, seed)
    only_train(model, pieces, [*trained, *others])
    return model


def matrices(model: Module) -> dict[str, tuple[int, int]]:
    """The matrices that :func:`lora` may update, by name.

    Parameters
    ----------
    model : Module

    Returns
    -------
    dict of str to (int, int)
        Shapes (out, in). A matrix in several places stands under the first; one that a table of embeddings
        shares is not there. Of an attention layer there are the queries', keys' and values' apart, also where
        they lie in one parameter.

    Examples
    --------
    >>> import attendo as at
    >>> at.peft.matrices(at.nn.MultiHeadAttention(8, 2))  # doctest: +NORMALIZE_WHITESPACE
    {'q_proj_weight': (8, 8), 'k_proj_weight': (8, 8), 'v_proj_weight': (8, 8),
     'out_proj.weight': (8, 8)}
    """
    return {f"{path}.{name}".lstrip("."): shape for path, name, shape in _core._low_rank_places(model)}


def lora(
    model: Module,
    rank: int = 8,
    alpha: float = 16.0,
    targets: Patterns = ("q_proj", "v_proj"),
    *,
    dropout: float = 0.0,
    also: Patterns = (),
    seed: int | None = None,
) -> Module:
    r"""Train low-rank updates of chosen matrices, and nothing else.

    Parameters
    ----------
    model : Module
        Any, of attendo's or your own; changed in place. Its matrices may be int8.
    rank : int
        r, 1 to the smaller side of the smallest matrix.
    alpha : float
        The update counts alpha / rank times.
    targets : str or sequence of str
        Which of :func:`matrices`: names, or their last parts, with or without ``weight`` at the end and ``*``
        for any characters: ``"q_proj"``, ``"in_proj"`` for queries, keys and values, ``"out_proj"``,
        ``"linear*"``, ``"decoder.layers.3.*"``. Queries and values of every attention layer when not given.
    dropout : float
        Probability of dropping a feature on its way into A in training mode, 0 or more and below 1.
    also : str or sequence of str
        Parameters that train besides, as :func:`freeze` names them: a new head.
    seed : int, optional
        Draws A; the same one, the same numbers.

    Returns
    -------
    Module
        The model. Parameters ``A`` and ``B`` stand below the module that owns the matrix, as
        ``...self_attn.q_lora.A`` or ``...linear1.lora.A``; they and `also` require a gradient, no other does.

    Raises
    ------
    ValueError
        When a pattern fits nothing, a matrix has an update already, or a number is out of its range.

    Notes
    -----
    .. math::

        y = x W^\top + b + \frac{\alpha}{r}\, \mathrm{drop}(x) A^\top B^\top, \qquad
        dB = \frac{\alpha}{r}\, dy^\top (x A^\top), \quad dA = \frac{\alpha}{r}\, (dy\, B)^\top x, \quad
        dx = dy\, W + \frac{\alpha}{r}\, dy\, B A

    A (r, in) is drawn as the weight of a linear layer, B (out, r) is zero: the model's output is what it was,
    to the bit. The product BA is never made, and the gradient of W is never computed: a step saves a third of
    the multiplications of a full one at most, and all of the optimizer's state but that of A and B. Every way
    through the model has the updates: the fused feed-forward network and decoding with a cache as well.

    ``model.save`` writes the updates beside the weights, ``attendo.load`` gives them back; :func:`save`
    writes them alone, :func:`merge` folds them into the weights.

    References
    ----------
    Hu et al. 2021, "LoRA: low-rank adaptation of large language models", eq. 3, §4.1, and §7.1 for the
    default targets. On int8 weights: Dettmers et al. 2023, "QLoRA: efficient finetuning of quantized LLMs".

    Examples
    --------
    >>> import attendo as at
    >>> model = at.models.DecoderLM(100, 32, num_heads=4, num_layers=1, dff=64, max_len=16, seed=0)
    >>> _ = at.peft.lora(model, rank=4, targets=("in_proj", "out_proj", "linear1"), seed=0)
    >>> print(model.decoder.layers[0].feed_forward.linear1.lora)
    LoRA(32 -> 4 -> 64, of weight, alpha=16)
    >>> model.generate([[1, 2, 3]], max_new_tokens=2).shape
    (1, 5)

    Source: cpp/nn/lora.cpp, cpp/ops/lora.cpp
    """
    places = _core._low_rank_places(model)
    by_name = {f"{path}.{name}".lstrip("."): (path, name) for path, name, _ in places}
    wanted = as_patterns("lora", "targets", targets)
    if not wanted:
        raise ValueError("lora: targets is empty but must hold a pattern of names, such as 'q_proj'")
    pieces: list[Piece] = []
    for name in chosen("lora", "targets", wanted, list(by_name), matrix_fits):
        path, matrix = by_name[name]
        numbers = {"rank": rank, "alpha": alpha, "dropout": dropout}
        pieces.append({"kind": "lora", "module": path, "matrix": matrix, **numbers})
    return _attached("lora", model, pieces, also, seed)


def _paths(model: Module, kinds: tuple[type, ...]) -> list[str]:
    return [path for path, module in model.named_modules() if isinstance(module, kinds)]


def prefix(
    model: Module,
    length: int = 10,
    targets: Patterns = "*",
    *,
    also: Patterns = (),
    seed: int | None = None,
) -> Module:
    r"""Train keys and values before those of every attention layer, and nothing else.

    Parameters
    ----------
    model : Module
        One with :class:`attendo.nn.MultiHeadAttention` in it; changed in place.
    length : int
        P, how many, 1 to 65536.
    targets : str or sequence of str
        Which of the attention layers: paths of modules or their last parts, ``*`` for any characters:
        ``"self_attn"``. All of them when not given.
    also : str or sequence of str
        Parameters that train besides, as :func:`freeze` names them.
    seed : int, optional
        Draws them.

    Returns
    -------
    Module
        The model. Parameters ``prefix.key (P, Hkv D)`` and ``prefix.value (P, Hkv Dv)`` stand below each
        attention layer; they and `also` require a gradient, no other does.

    Raises
    ------
    ValueError
        When there is no such layer, one has a prefix already, or length is out of its range.

    Notes
    -----
    .. math::

        \mathrm{head}_h = \mathrm{attention}(Q_h, [P^K; K]_g, [P^V; V]_g)

    Every query sees all of the prefix, whatever the mask; no position counts it, and no rotary or relative
    position changes it. The weights that attention gives are those of the other keys, which then add up to
    less than 1. A cache does not hold it: it is joined as the last step, so that every cached step costs P
    keys more and nothing else changes. Drawn from N(0, 0.02²), without the network that the paper makes it of
    while training: unlike :func:`lora` and :func:`adapters`, it changes the output from the beginning.

    References
    ----------
    Li and Liang 2021, "Prefix-tuning: optimizing continuous prompts for generation", §4. How prefix and keys
    are joined: He et al. 2022, "Towards a unified view of parameter-efficient transfer learning", eq. 7.

    Examples
    --------
    >>> import attendo as at
    >>> model = at.models.DecoderLM(100, 32, num_heads=4, num_layers=1, dff=64, max_len=16, seed=0)
    >>> _ = at.peft.prefix(model, length=5, seed=0)
    >>> model.decoder.layers[0].self_attn.prefix.key.shape
    (5, 32)

    Source: cpp/attention/kv_prefix.cpp, cpp/nn/kv_prefix.cpp
    """
    paths = _paths(model, (MultiHeadAttention,))
    if not paths:
        raise ValueError("prefix: the model has no MultiHeadAttention")
    wanted = as_patterns("prefix", "targets", targets)
    found = chosen("prefix", "targets", wanted, paths, module_fits)
    pieces: list[Piece] = [{"kind": "prefix", "module": path, "length": length} for path in found]
    return _attached("prefix", model, pieces, also, seed)


def adapters(
    model: Module,
    bottleneck: int = 16,
    activation: Activation = "gelu",
    targets: Patterns = "*",
    *,
    also: Patterns = (),
    seed: int | None = None,
) -> Module:
    r"""Train a narrow network behind every attention and feed-forward layer, and nothing else.

    Parameters
    ----------
    model : Module
        One with :class:`attendo.nn.MultiHeadAttention` or :class:`attendo.nn.FeedForward` in it, as every
        Transformer of attendo is; changed in place.
    bottleneck : int
        r, 1 to the features d of the layer.
    activation : str
        f: ``"relu"``, ``"gelu"``, ``"gelu_tanh"`` or ``"silu"``.
    targets : str or sequence of str
        Behind which layers: paths of modules or their last parts, ``*`` for any characters:
        ``"feed_forward"``. All of them when not given.
    also : str or sequence of str
        Parameters that train besides, as :func:`freeze` names them; Houlsby et al. train the layer norms,
        ``"*norm*"``.
    seed : int, optional
        Draws the first matrices.

    Returns
    -------
    Module
        The model. Parameters stand below each layer, as ``...feed_forward.adapter.down_weight``; they and
        `also` require a gradient, no other does.

    Raises
    ------
    ValueError
        When there is no such layer, one has an adapter already, or bottleneck or activation is out of range.

    Notes
    -----
    .. math::

        y = x + W_{up}\, f(W_{down}\, x + b_{down}) + b_{up}

    x is what the layer gives, before dropout and residual. :math:`W_{up}` and :math:`b_{up}` are zero at
    first: the model's output is what it was.

    References
    ----------
    Houlsby et al. 2019, "Parameter-efficient transfer learning for NLP", §2.1 and fig. 2.

    Examples
    --------
    >>> import attendo as at
    >>> model = at.models.DecoderLM(100, 32, num_heads=4, num_layers=1, dff=64, max_len=16, seed=0)
    >>> _ = at.peft.adapters(model, bottleneck=4, also="*norm*", seed=0)
    >>> print(model.decoder.layers[0].feed_forward.adapter)
    Adapter(32 -> 4, activation='gelu')

    Source: cpp/nn/adapter.cpp
    """
    paths = _paths(model, (MultiHeadAttention, FeedForward))
    if not paths:
        raise ValueError("adapters: the model has neither a MultiHeadAttention nor a FeedForward")
    wanted = as_patterns("adapters", "targets", targets)
    found = chosen("adapters", "targets", wanted, paths, module_fits)
    options = {"bottleneck": bottleneck, "activation": activation}
    pieces: list[Piece] = [{"kind": "adapter", "module": path, **options} for path in found]
    return _attached("adapters", model, pieces, also, seed)

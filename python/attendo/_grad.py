"""Switching the tape on and off; gradients of chosen tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from . import _core

if TYPE_CHECKING:
    from ._core import Tensor
    from ._typing import TensorLike

__all__ = ["enable_grad", "grad", "no_grad"]


@contextmanager
def _grad(on: bool) -> Iterator[None]:
    before = _core.set_grad_enabled(on)
    try:
        yield
    finally:
        _core.set_grad_enabled(before)


def no_grad() -> AbstractContextManager[None]:
    """Within ``with at.no_grad():`` operations of this thread leave nothing on the tape.

    >>> import attendo as at
    >>> x = at.tensor([1.0], requires_grad=True)
    >>> with at.no_grad():
    ...     (x * 2).requires_grad
    False
    """
    return _grad(False)


def enable_grad() -> AbstractContextManager[None]:
    """Within ``with at.enable_grad():`` operations are put on the tape again.

    >>> import attendo as at
    >>> x = at.tensor([1.0], requires_grad=True)
    >>> with at.no_grad(), at.enable_grad():
    ...     (x * 2).requires_grad
    True
    """
    return _grad(True)


@overload
def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: TensorLike | Sequence[TensorLike | None] | None = None,
    *,
    create_graph: bool = False,
    allow_unused: Literal[False] = False,
) -> tuple[Tensor, ...]: ...
@overload
def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: TensorLike | Sequence[TensorLike | None] | None = None,
    *,
    create_graph: bool = False,
    allow_unused: bool,
) -> tuple[Tensor | None, ...]: ...
def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: TensorLike | Sequence[TensorLike | None] | None = None,
    *,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    r"""Gradients of chosen tensors; with ``create_graph`` they can be differentiated again.

    Nothing is left in ``.grad``: leaves keep the gradients they have.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        What is differentiated, y.
    inputs : Tensor or sequence of Tensor
        With respect to what, x: leaves, or what was computed on the way to the outputs.
    grad_outputs : array_like or Tensor of the output's shape, or a sequence of them, optional
        Where to begin, v, one an output; None stands for 1, for outputs of one element.
    create_graph : bool
        Put the gradients on the tape. A Tensor in ``grad_outputs`` then gets gradients as well.
    allow_unused : bool
        Give None for inputs the outputs do not depend on, in place of an error.

    Returns
    -------
    tuple of Tensor
        A gradient an input, also when there is one input only. Off the tape without ``create_graph``.

    Raises
    ------
    ValueError
        When an output depends on nothing that requires a gradient or an input requires none; when an output
        has more than one element and no entry in ``grad_outputs``, or that has another shape; when the
        outputs do not depend on an input and ``allow_unused`` is False; with ``create_graph``, when there are
        no gradients of gradients for an operation on the way: the message names it.
    TypeError
        When an output or input is not a Tensor, or a dtype of ``grad_outputs`` is not that of its output.

    Notes
    -----
    .. math:: g_i = \sum_j v_j \frac{\partial y_j}{\partial x_i}

    With ``create_graph`` every gradient is computed by differentiable operations, for scaled dot-product
    attention by the written-out :math:`L \times S` arrays: memory and time are several times those of
    ``backward()``, whose kernels keep no such arrays. The gradients agree with those of ``backward()`` but
    for rounding. Where relu has its kink or a maximum a tie, second derivatives are of the branch taken.

    Arithmetic, reductions, shapes, activations, products, linear maps, softmax, norms, dropout, embedding,
    cross-entropy, convolution, pooling, LSTM and GRU have gradients of gradients, as has
    :func:`attendo.attention` with masks, bias, scale, softcap, sinks and dropout, and so have the layers made
    of them. There are none for ``score_mod``, for the scores "general", "additive", "cosine" and "kernel",
    ``qk_norm``, packed batches, relative positions and the cheaper attentions: what has none, and tables
    with ``sparse=True``, refuses by name: nothing is ever taken for a constant.

    :meth:`Tensor.backward` has no ``create_graph``: gradients on the tape that leaves keep would be cycles,
    which are never freed.

    References
    ----------
    Pearlmutter 1994, "Fast exact multiplication by the Hessian". Gulrajani et al. 2017, "Improved training of
    Wasserstein GANs", eq. 3 (gradient penalty).

    Examples
    --------
    A gradient penalty: how fast attention's output changes with the queries is part of the loss.

    >>> import numpy as np
    >>> import attendo as at
    >>> rng = np.random.default_rng(0)
    >>> q, k, v = (at.tensor(rng.standard_normal((2, 5, 4)), requires_grad=True) for _ in range(3))
    >>> out = at.attention(q, k, v, mask=at.masks.causal())
    >>> (d_q,) = at.grad(out.sum(), q, create_graph=True)
    >>> loss = (out * out).mean() + 0.1 * (d_q * d_q).sum()
    >>> loss.backward()
    >>> k.grad.shape
    (2, 5, 4)

    The product of the Hessian with a vector:

    >>> x = at.tensor([1.0, 2.0], requires_grad=True)
    >>> (g,) = at.grad((x * x * x).sum(), x, create_graph=True)
    >>> at.grad(g, x, np.array([1.0, 10.0]))
    (Tensor([  6., 120.]),)

    Source: cpp/core/grad.cpp
    """
    ys = _listed("outputs", outputs)
    xs = _listed("inputs", inputs)
    if isinstance(outputs, _core.Tensor):
        given: list[Any] = [grad_outputs]
        # A sequence of one, which a list of numbers is not.
        if isinstance(grad_outputs, (list, tuple)) and len(grad_outputs) == 1:
            (one,) = grad_outputs
            if one is None or isinstance(one, (_core.Tensor, np.ndarray)):
                given = [one]
    elif grad_outputs is None:
        given = [None] * len(ys)
    elif isinstance(grad_outputs, (list, tuple)):
        given = list(grad_outputs)
    else:
        kind = type(grad_outputs).__name__
        raise TypeError(f"grad: grad_outputs is a {kind} but must be a sequence, as outputs is")
    found = _core.grad(ys, xs, given, create_graph)
    if not allow_unused:
        for i, g in enumerate(found):
            if g is None:
                raise ValueError(
                    f"grad: outputs do not depend on inputs[{i}]; allow_unused=True gives None for it"
                )
    return tuple(found)


def _listed(name: str, tensors: Tensor | Sequence[Tensor]) -> list[Tensor]:
    if isinstance(tensors, _core.Tensor):
        return [tensors]
    if not isinstance(tensors, (list, tuple)):
        kind = type(tensors).__name__
        raise TypeError(f"grad: {name} is a {kind} but must be a Tensor or a sequence of Tensors")
    if not tensors:
        raise ValueError(f"grad: {name} is empty")
    return list(tensors)

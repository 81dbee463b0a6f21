"""Cross-entropy."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, Literal, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def cross_entropy(
    logits: "Tensor",
    target: "TensorLike",
    *,
    weight: "TensorLike | None" = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> "Tensor": ...
@overload
def cross_entropy(
    logits: "ArrayLike",
    target: "ArrayLike",
    *,
    weight: "TensorLike | None" = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> "FloatArray": ...
def cross_entropy(
    logits: "TensorLike",
    target: "TensorLike",
    *,
    weight: "TensorLike | None" = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> "Tensor | FloatArray":
    r"""How surprised softmax of the logits is by the target.

    Parameters
    ----------
    logits : array_like or Tensor, shape (..., V)
        Scores before softmax, float32 or float64.
    target : array_like or Tensor, shape (...) of int, or (..., V) of logits' dtype
        Class indices, 0 to V - 1; or a probability for each class (one-hot, for instance), taken as they are:
        rows need not sum to 1.
    weight : array_like or Tensor, shape (V,), optional
        :math:`u`: how much each class counts, 0 or more; a constant.
    ignore_index : int, optional
        Rows with this class index count for nothing: padding. Only with class indices; need not be a class.
    label_smoothing : float
        :math:`\varepsilon`, 0 to 1: this share of the target is spread evenly over all classes.
    reduction : {"mean", "sum", "none"}
        Over the rows. The mean divides by the rows that are not ignored; with weights and class indices
        c, by :math:`\sum_i u_{c_i}` over them.

    Returns
    -------
    ndarray or Tensor, shape () or, with "none", (...)
        0 for ignored rows. The mean of no row is 0, with gradient 0 (PyTorch gives NaN there).

    Raises
    ------
    ValueError
        When logits have no class, weight has not one number a class, a negative one or only zeros, target's
        shape is neither, an index that is not ignored is outside 0 to V - 1, label_smoothing is outside 0 to
        1, reduction is none of the three, or ignore_index comes with probabilities.
    TypeError
        When logits are neither float32 nor float64, or probabilities have another dtype.

    Notes
    -----
    With :math:`p = \mathrm{softmax}(x)` and :math:`t_j = u_j\bigl((1 - \varepsilon)\,\text{onehot}_j +
    \varepsilon / V\bigr)`, a row gives

    .. math::

        \ell = -\sum_j t_j \log p_j, \qquad dx_j = d\ell\; \Bigl(p_j \sum_k t_k - t_j\Bigr)

    Probabilities are not normalized for you; where they sum to one, :math:`dx = d\ell\,(p - t)`. Cost: one
    exponential a logit; the softmax is never stored.

    References
    ----------
    Szegedy et al. 2016, "Rethinking the Inception architecture", §7 (label smoothing). Article 000 §5.2,
    article 002 §5.2, article 004 §5.3.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])
    >>> at.functional.cross_entropy(logits, [0, 1], reduction="none").round(3)
    array([0.693, 0.223])
    >>> float(at.functional.cross_entropy(logits, [0, -1], ignore_index=-1).round(3))
    0.693

    Source: cpp/ops/cross_entropy.cpp
    """
    return _core.cross_entropy(logits, target, weight, ignore_index, label_smoothing, reduction)

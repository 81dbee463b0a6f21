"""Rows of a table."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def embedding(
    ids: "Tensor", weight: "TensorLike", *, padding_idx: int | None = None, sparse: bool = False
) -> "Tensor": ...
@overload
def embedding(
    ids: "TensorLike", weight: "Tensor", *, padding_idx: int | None = None, sparse: bool = False
) -> "Tensor": ...
@overload
def embedding(
    ids: "ArrayLike", weight: "ArrayLike", *, padding_idx: int | None = None, sparse: bool = False
) -> "FloatArray": ...
def embedding(
    ids: "TensorLike", weight: "TensorLike", *, padding_idx: int | None = None, sparse: bool = False
) -> "Tensor | FloatArray":
    r"""Row ``ids[...]`` of a table.

    Parameters
    ----------
    ids : array_like or Tensor of int, shape (...)
        0 to V - 1, of any integer dtype.
    weight : array_like or Tensor, shape (V, d)
        The table, float32 or float64.
    padding_idx : int, optional
        The row that gets no gradient.
    sparse : bool
        Leave the gradient as the rows used, ``weight.row_grad``, rather than an array as large as the table.
        ``weight.grad`` is made of it when asked for. Only of a leaf; together with a gradient of the other
        kind it becomes whole.

    Returns
    -------
    ndarray or Tensor, shape (..., d)
        A Tensor when an input is one.

    Raises
    ------
    ValueError
        When an id or padding_idx is negative or V or more, or weight has not two axes.
    TypeError
        When ids are not integers, or weight is neither float32 nor float64.

    Notes
    -----
    .. math::

        y_n = W_{ids_n}, \qquad dW_v = \sum_{n:\, ids_n = v} dy_n

    where :math:`dW_v = 0` for v = padding_idx. Cost: d copies an id. The sums of the backward pass are taken
    in the order of the positions, on any number of threads; sparse or not, they are the same numbers.

    References
    ----------
    Vaswani et al. 2017, §3.4. Article 004 §3.2.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.embedding([2, 0], [[0.0, 0.1], [1.0, 1.1], [2.0, 2.1]])
    array([[2. , 2.1],
           [0. , 0.1]])
    >>> weight = at.tensor([[0.0, 0.1], [1.0, 1.1], [2.0, 2.1]], requires_grad=True)
    >>> at.functional.embedding([2, 2], weight, sparse=True).sum().backward()
    >>> ids, rows = weight.row_grad
    >>> ids.tolist(), rows.tolist()
    ([2], [[2.0, 2.0]])

    Source: cpp/ops/embedding.cpp
    """
    return _core.embedding(ids, weight, padding_idx, sparse)

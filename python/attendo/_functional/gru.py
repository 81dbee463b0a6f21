"""Gated recurrent unit."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def gru(
    x: "Tensor",
    weight_ih: "TensorLike",
    weight_hh: "TensorLike",
    bias_ih: "TensorLike | None" = None,
    bias_hh: "TensorLike | None" = None,
    h_0: "TensorLike | None" = None,
    *,
    lengths: "ArrayLike | None" = None,
    reverse: bool = False,
    reset_after: bool = True,
) -> "tuple[Tensor, Tensor]": ...
@overload
def gru(
    x: "TensorLike",
    weight_ih: "Tensor",
    weight_hh: "TensorLike",
    bias_ih: "TensorLike | None" = None,
    bias_hh: "TensorLike | None" = None,
    h_0: "TensorLike | None" = None,
    *,
    lengths: "ArrayLike | None" = None,
    reverse: bool = False,
    reset_after: bool = True,
) -> "tuple[Tensor, Tensor]": ...
@overload
def gru(
    x: "ArrayLike",
    weight_ih: "ArrayLike",
    weight_hh: "ArrayLike",
    bias_ih: "ArrayLike | None" = None,
    bias_hh: "ArrayLike | None" = None,
    h_0: "ArrayLike | None" = None,
    *,
    lengths: "ArrayLike | None" = None,
    reverse: bool = False,
    reset_after: bool = True,
) -> "tuple[FloatArray, FloatArray]": ...
def gru(
    x: "TensorLike",
    weight_ih: "TensorLike",
    weight_hh: "TensorLike",
    bias_ih: "TensorLike | None" = None,
    bias_hh: "TensorLike | None" = None,
    h_0: "TensorLike | None" = None,
    *,
    lengths: "ArrayLike | None" = None,
    reverse: bool = False,
    reset_after: bool = True,
) -> "tuple[Tensor, Tensor] | tuple[FloatArray, FloatArray]":
    r"""One layer of gated recurrent units, in one direction.

    :class:`attendo.nn.GRU` stacks them.

    Parameters
    ----------
    x : array_like or Tensor, shape (B, S, in)
        float32 or float64.
    weight_ih : array_like or Tensor, shape (3 H, in)
        W, of x's dtype: the rows of the gates r, z and n, one after the other.
    weight_hh : array_like or Tensor, shape (3 H, H)
        U, likewise.
    bias_ih, bias_hh : array_like or Tensor, shape (3 H,), optional
        b and b', likewise.
    h_0 : array_like or Tensor, shape (B, H), optional
        The state before the first step; zeros if not given.
    lengths : array_like of int, shape (B,), optional
        How many steps of each sample count, 0 to S. Behind them the state stands still and the output is 0.
    reverse : bool
        From the last step to the first.
    reset_after : bool
        The gate r scales :math:`U_n h + b'_n`, as in PyTorch, cuDNN and Keras; otherwise it scales h before
        the product, as in the paper.

    Returns
    -------
    out : ndarray or Tensor, shape (B, S, H)
        All :math:`h_t`. Tensors when an input is one.
    h_n : ndarray or Tensor, shape (B, H)
        The state after the last step.

    Raises
    ------
    ValueError
        When shapes do not fit one another or lengths holds a number outside 0 to S.
    TypeError
        When a dtype is neither float32 nor float64, they differ, or lengths is not of integers.

    Notes
    -----
    .. math::

        r, z = \sigma(W_{rz} x_t + b_{rz} + U_{rz} h_{t-1} + b'_{rz}), \quad
        n = \tanh(W_n x_t + b_n + r \odot (U_n h_{t-1} + b'_n)), \quad
        h_t = (1 - z) \odot n + z \odot h_{t-1}

    (without reset_after :math:`n = \tanh(W_n x_t + b_n + U_n (r \odot h_{t-1}) + b'_n)`), and back in time,
    with dh the gradient of the state after step t,

    .. math::

        da_n = dh \odot (1 - z) \odot (1 - n^2), \quad da_z = dh \odot (h_{t-1} - n) \odot z (1 - z), \quad
        du = da_n \odot r, \quad da_r = da_n \odot (U_n h_{t-1} + b'_n) \odot r (1 - r),

        dh_{t-1} = dh \odot z + U_{rz}^\top da_{rz} + U_n^\top du, \quad dx_t = W^\top da, \quad
        dW = \sum_t da\, x_t^\top, \quad dU_{rz} = \sum_t da_{rz}\, h_{t-1}^\top, \quad
        dU_n = \sum_t du\, h_{t-1}^\top

    Cost: :math:`3 B S H (in + H)` multiply-adds, twice that for the backward pass.

    References
    ----------
    Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder", eq. 5 to 8. Article 004
    §2.1, §5.3.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> rng = np.random.default_rng(0)
    >>> x, w, u = (rng.normal(size=s) for s in [(2, 5, 3), (12, 3), (12, 4)])
    >>> out, h_n = at.functional.gru(x, w, u, reverse=True)
    >>> out.shape, h_n.shape
    ((2, 5, 4), (2, 4))
    >>> bool((out[:, 0] == h_n).all())
    True

    Source: cpp/ops/gru.cpp
    """
    return _core.gru(x, weight_ih, weight_hh, bias_ih, bias_hh, h_0, lengths, reverse, reset_after)

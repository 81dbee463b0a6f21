"""Long short-term memory."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def lstm(
    x: "Tensor",
    weight_ih: "TensorLike",
    weight_hh: "TensorLike",
    bias_ih: "TensorLike | None" = None,
    bias_hh: "TensorLike | None" = None,
    h_0: "TensorLike | None" = None,
    c_0: "TensorLike | None" = None,
    *,
    lengths: "ArrayLike | None" = None,
    reverse: bool = False,
) -> "tuple[Tensor, Tensor, Tensor]": ...
@overload
def lstm(
    x: "TensorLike",
    weight_ih: "Tensor",
    weight_hh: "TensorLike",
    bias_ih: "TensorLike | None" = None,
    bias_hh: "TensorLike | None" = None,
    h_0: "TensorLike | None" = None,
    c_0: "TensorLike | None" = None,
    *,
    lengths: "ArrayLike | None" = None,
    reverse: bool = False,
) -> "tuple[Tensor, Tensor, Tensor]": ...
@overload
def lstm(
    x: "ArrayLike",
    weight_ih: "ArrayLike",
    weight_hh: "ArrayLike",
    bias_ih: "ArrayLike | None" = None,
    bias_hh: "ArrayLike | None" = None,
    h_0: "ArrayLike | None" = None,
    c_0: "ArrayLike | None" = None,
    *,
    lengths: "ArrayLike | None" = None,
    reverse: bool = False,
) -> "tuple[FloatArray, FloatArray, FloatArray]": ...
def lstm(
    x: "TensorLike",
    weight_ih: "TensorLike",
    weight_hh: "TensorLike",
    bias_ih: "TensorLike | None" = None,
    bias_hh: "TensorLike | None" = None,
    h_0: "TensorLike | None" = None,
    c_0: "TensorLike | None" = None,
    *,
    lengths: "ArrayLike | None" = None,
    reverse: bool = False,
) -> "tuple[Tensor, Tensor, Tensor] | tuple[FloatArray, FloatArray, FloatArray]":
    r"""One layer of long short-term memory, in one direction.

    :class:`attendo.nn.LSTM` stacks them.

    Parameters
    ----------
    x : array_like or Tensor, shape (B, S, in)
        float32 or float64.
    weight_ih : array_like or Tensor, shape (4 H, in)
        W, of x's dtype: the rows of the gates i, f, g and o, one after the other.
    weight_hh : array_like or Tensor, shape (4 H, H)
        U, likewise.
    bias_ih, bias_hh : array_like or Tensor, shape (4 H,), optional
        b and b', likewise.
    h_0, c_0 : array_like or Tensor, shape (B, H), optional
        The states before the first step; zeros if not given.
    lengths : array_like of int, shape (B,), optional
        How many steps of each sample count, 0 to S. Behind them the states stand still and the output is 0.
    reverse : bool
        From the last step to the first.

    Returns
    -------
    out : ndarray or Tensor, shape (B, S, H)
        All :math:`h_t`. Tensors when an input is one.
    h_n, c_n : ndarray or Tensor, shape (B, H)
        The states after the last step.

    Raises
    ------
    ValueError
        When shapes do not fit one another or lengths holds a number outside 0 to S.
    TypeError
        When a dtype is neither float32 nor float64, they differ, or lengths is not of integers.

    Notes
    -----
    .. math::

        (a_i, a_f, a_g, a_o) = W x_t + b + U h_{t-1} + b', \quad
        i, f, o = \sigma(a_i), \sigma(a_f), \sigma(a_o), \quad g = \tanh(a_g), \qquad
        c_t = f \odot c_{t-1} + i \odot g, \quad h_t = o \odot \tanh(c_t)

    and back in time, with dh and dc the gradients of the states after step t,

    .. math::

        dc \mathrel{+}= dh \odot o \odot (1 - \tanh^2 c_t), \quad
        da_i = dc \odot g \odot i (1 - i), \quad da_f = dc \odot c_{t-1} \odot f (1 - f), \quad
        da_g = dc \odot i \odot (1 - g^2), \quad da_o = dh \odot \tanh(c_t) \odot o (1 - o),

        dc_{t-1} = dc \odot f, \quad dh_{t-1} = U^\top da, \quad dx_t = W^\top da, \quad
        dW = \sum_t da\, x_t^\top, \quad dU = \sum_t da\, h_{t-1}^\top, \quad db = db' = \sum_t da

    Cost: :math:`4 B S H (in + H)` multiply-adds, twice that for the backward pass.

    References
    ----------
    Hochreiter and Schmidhuber 1997, "Long short-term memory"; Gers et al. 2000 (the gate f). Article 004
    §2.1, §5.3.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> rng = np.random.default_rng(0)
    >>> x, w, u = (rng.normal(size=s) for s in [(2, 5, 3), (16, 3), (16, 4)])
    >>> out, h_n, c_n = at.functional.lstm(x, w, u, lengths=[5, 2])
    >>> out.shape, h_n.shape
    ((2, 5, 4), (2, 4))
    >>> bool((out[1, 1] == h_n[1]).all() and (out[1, 2:] == 0).all())
    True

    Source: cpp/ops/lstm.cpp
    """
    return _core.lstm(x, weight_ih, weight_hh, bias_ih, bias_hh, h_0, c_0, lengths, reverse)

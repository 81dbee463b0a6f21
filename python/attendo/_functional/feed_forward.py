"""The position-wise feed-forward network."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, Literal, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Generator, Tensor
    from .._typing import FloatArray, TensorLike


@overload
def feed_forward(
    x: "Tensor",
    weight1: "TensorLike",
    bias1: "TensorLike | None",
    weight2: "TensorLike",
    bias2: "TensorLike | None",
    *,
    activation: 'Literal["relu", "gelu", "gelu_tanh", "silu"] | None' = "relu",
    dropout: float = 0.0,
    generator: "Generator | None" = None,
) -> "Tensor": ...
@overload
def feed_forward(
    x: "ArrayLike",
    weight1: "ArrayLike",
    bias1: "ArrayLike | None",
    weight2: "ArrayLike",
    bias2: "ArrayLike | None",
    *,
    activation: 'Literal["relu", "gelu", "gelu_tanh", "silu"] | None' = "relu",
    dropout: float = 0.0,
    generator: "Generator | None" = None,
) -> "FloatArray": ...
def feed_forward(
    x: "TensorLike",
    weight1: "TensorLike",
    bias1: "TensorLike | None",
    weight2: "TensorLike",
    bias2: "TensorLike | None",
    *,
    activation: 'Literal["relu", "gelu", "gelu_tanh", "silu"] | None' = "relu",
    dropout: float = 0.0,
    generator: "Generator | None" = None,
) -> "Tensor | FloatArray":
    r"""Two affine maps with an activation, and dropout, between them: the same network at every position.

    Parameters
    ----------
    x : array_like or Tensor, shape (..., in)
        float32 or float64.
    weight1 : array_like or Tensor, shape (hidden, in)
        Of x's dtype, as all that follow.
    bias1 : array_like or Tensor, shape (hidden,), or None
    weight2 : array_like or Tensor, shape (out, hidden)
    bias2 : array_like or Tensor, shape (out,), or None
    activation : "relu", "gelu", "gelu_tanh", "silu" or None
    dropout : float
        Probability with which an element of the hidden layer is dropped, 0 to 1.
    generator : Generator, optional
        Where the random bits come from; needed when dropout is above 0. The same stream drops the same
        elements as :func:`dropout` does.

    Returns
    -------
    ndarray or Tensor, shape (..., out)
        A Tensor when an input is one.

    Raises
    ------
    ValueError
        When the shapes do not fit, activation is another word, dropout is outside 0 to 1, or it is above 0
        and there is no generator.
    TypeError
        When a dtype is neither float32 nor float64, or they differ.

    Notes
    -----
    .. math::

        z = x W_1^\top + b_1, \qquad h = \mathrm{drop}(f(z)), \qquad y = h W_2^\top + b_2

        dz = \mathrm{drop}(dy\, W_2) \odot f'(z), \quad dW_2 = dy^\top h, \quad dW_1 = dz^\top x, \quad
        dx = dz\, W_1

    Cost: :math:`n \cdot hidden \cdot (in + out)` multiply-adds for n rows, twice that for the backward pass.
    The hidden layer is written once and read once in each direction.

    References
    ----------
    Vaswani et al. 2017, eq. 2. Article 003 §5.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.functional.feed_forward([[1.0, -2.0]], np.eye(2), None, [[1.0, 1.0]], [0.5])
    array([[1.5]])

    Source: cpp/ops/feed_forward.cpp
    """
    return _core.feed_forward(x, weight1, bias1, weight2, bias2, activation, dropout, generator)

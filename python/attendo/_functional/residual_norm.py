"""Layer norm of a residual sum."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Generator, Tensor
    from .._typing import FloatArray, TensorLike


@overload
def residual_norm(
    x: "Tensor",
    r: "TensorLike",
    weight: "TensorLike | None" = None,
    bias: "TensorLike | None" = None,
    *,
    p: float = 0.0,
    eps: float = 1e-5,
    generator: "Generator | None" = None,
) -> "Tensor": ...
@overload
def residual_norm(
    x: "TensorLike",
    r: "Tensor",
    weight: "TensorLike | None" = None,
    bias: "TensorLike | None" = None,
    *,
    p: float = 0.0,
    eps: float = 1e-5,
    generator: "Generator | None" = None,
) -> "Tensor": ...
@overload
def residual_norm(
    x: "ArrayLike",
    r: "ArrayLike",
    weight: "ArrayLike | None" = None,
    bias: "ArrayLike | None" = None,
    *,
    p: float = 0.0,
    eps: float = 1e-5,
    generator: "Generator | None" = None,
) -> "FloatArray": ...
def residual_norm(
    x: "TensorLike",
    r: "TensorLike",
    weight: "TensorLike | None" = None,
    bias: "TensorLike | None" = None,
    *,
    p: float = 0.0,
    eps: float = 1e-5,
    generator: "Generator | None" = None,
) -> "Tensor | FloatArray":
    r"""Layer norm of x + dropout(r): the end of a post-norm sublayer, in one pass over memory.

    Parameters
    ----------
    x : array_like or Tensor, shape (..., n)
        What went into the sublayer; float32 or float64.
    r : array_like or Tensor, shape of x
        What came out of it.
    weight, bias : array_like or Tensor, shape (n,), optional
        Gain :math:`\gamma` and shift :math:`\beta`, of x's dtype; 1 and 0 when not given.
    p : float
        Probability of an element of r being dropped, 0 or more and below 1.
    eps : float
        Added to the variance, 0 or more.
    generator : Generator, optional
        Where the random bits come from when p is not 0: one stream, the one that
        :func:`attendo.functional.dropout` would draw, with the same elements dropped.

    Returns
    -------
    ndarray or Tensor, shape of x
        A Tensor when an input is one.

    Raises
    ------
    ValueError
        When x has no axis, r is not of x's shape, weight or bias is not of shape (n,), eps is negative, or
        p is below 0, or 1 or more.
    TypeError
        When a dtype is neither float32 nor float64, or they differ, or p is not 0 and generator is not given.

    Notes
    -----
    .. math::

        s = x + \mathrm{dropout}(r), \quad
        \mathrm{rstd} = 1 / \sqrt{\sigma^2 + \varepsilon}, \quad
        y = \gamma \odot (s - \mu)\,\mathrm{rstd} + \beta

    and backwards, with :math:`g = dy \odot \gamma`, :math:`\hat x = (s - \mu)\,\mathrm{rstd}` and the bar for
    the mean of a row,

    .. math::

        dx = ds = \mathrm{rstd}\,\bigl(g - \overline{g} - \hat x\, \overline{g \odot \hat x}\bigr), \quad
        dr = \mathrm{dropout}(ds)

    The same result as the three operations one by one. Cost: x and r are read once, y and, for the backward
    pass, s are written once.

    References
    ----------
    Vaswani et al. 2017, "Attention is all you need", §3.1 and §5.4. Article 003 §5.2.

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.residual_norm([[1.0, 2.0, 3.0]], [[0.0, 1.0, 2.0]]).round(3)
    array([[-1.225,  0.   ,  1.225]])

    Source: cpp/ops/residual_norm.cpp
    """
    return _core.residual_norm(x, r, weight, bias, p, eps, generator)

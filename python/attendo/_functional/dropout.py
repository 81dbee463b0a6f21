"""Dropout."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from typing import TYPE_CHECKING, overload

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Generator, Tensor
    from .._typing import FloatArray, TensorLike


@overload
def dropout(x: "Tensor", p: float, *, generator: "Generator") -> "Tensor": ...
@overload
def dropout(x: "ArrayLike", p: float, *, generator: "Generator") -> "FloatArray": ...
def dropout(x: "TensorLike", p: float, *, generator: "Generator") -> "Tensor | FloatArray":
    r"""Drop each element with probability p and scale up the others, so that the mean stays.

    Parameters
    ----------
    x : array_like or Tensor, any shape
        float32 or float64.
    p : float
        Probability of being dropped, 0 to 1.
    generator : Generator
        Where the random bits come from. The same state gives the same bits on any number of threads; each
        call draws one stream from it.

    Returns
    -------
    ndarray or Tensor, shape of x
        x itself (for an array: a copy) when p is 0.

    Raises
    ------
    ValueError
        When p is outside 0 to 1.
    TypeError
        When x is neither float32 nor float64, or generator is not an :class:`attendo.Generator`.

    Notes
    -----
    .. math::

        y_i = \begin{cases} x_i / (1 - p) & \text{kept} \\ 0 & \text{dropped} \end{cases}, \qquad
        dx_i = \begin{cases} dy_i / (1 - p) & \text{kept} \\ 0 & \text{dropped} \end{cases}

    Whether an element is kept follows from the stream and its position, so nothing is stored for the backward
    pass. A dropped NaN is gone: elements are selected, not multiplied by 0. Cost: one random number an
    element.

    References
    ----------
    Srivastava et al. 2014, "Dropout", §4. Article 002 §9 question 2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> y = at.functional.dropout(np.ones(10_000), 0.25, generator=at.Generator(0))
    >>> np.unique(y.round(3)), float(y.mean().round(1))
    (array([0.   , 1.333]), 1.0)

    Source: cpp/ops/dropout.cpp
    """
    return _core.dropout(x, p, generator)

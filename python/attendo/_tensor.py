"""Tensors, and where random numbers come from."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Any

from . import _core, _numpy_protocols
from ._core import Generator, Tensor
from ._pages import page

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ._typing import Axis, FloatDType, Shape, TensorLike

__all__ = ["Generator", "Tensor", "tensor"]


def tensor(data: "TensorLike", dtype: "FloatDType | None" = None, requires_grad: bool = False) -> Tensor:
    """Make a Tensor of a copy of the data.

    Parameters
    ----------
    data : array_like or Tensor
        Floats, integers (which become int64) or bool, in any layout.
    dtype : {"float32", "float64"}, optional
        What to convert to; the data's own when not given, float64 for lists of floats.
    requires_grad : bool
        Whether ``backward()`` leaves a gradient here.

    Returns
    -------
    Tensor, shape of data

    Raises
    ------
    TypeError
        When data is no array of numbers or has another dtype (float16, complex); when dtype is neither
        float32 nor float64; when a gradient is asked for and the data are not floats.
    ValueError
        When data has more than eight axes.

    Examples
    --------
    >>> import attendo as at
    >>> at.tensor([1.0, 2.0], dtype="float32", requires_grad=True)
    Tensor([1., 2.], dtype=float32, requires_grad=True)

    Source: cpp/core/tensor.cpp
    """
    return _core.tensor(data, dtype, requires_grad)


@page(Tensor, "attendo")
class _Tensor:
    """An array that remembers how it was computed.

    It has NumPy's names and broadcasting, and ``+ - * / @ **``, indexing, iteration, ``float()`` and
    ``len()`` work as there. Operations on Tensors of which one requires a gradient are put on a tape;
    :meth:`backward` runs the tape backwards. Make one with :func:`attendo.tensor`, or take a layer's
    parameter.

    Examples
    --------
    >>> import attendo as at
    >>> x = at.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y
    Tensor(14., from sum)
    >>> y.backward()
    >>> x.grad
    Tensor([2., 4., 6.])

    The data as an array, without a copy; a function of this package takes the Tensor itself:

    >>> x.numpy()
    array([1., 2., 3.])
    >>> at.functional.softmax(x).requires_grad
    True

    Source: cpp/core/tensor.cpp, cpp/core/autograd.cpp
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""

    @property
    def ndim(self) -> int:
        """Number of axes."""

    @property
    def size(self) -> int:
        """Number of elements."""

    @property
    def dtype(self) -> "np.dtype[Any]":
        """NumPy dtype: float32, float64, int64 or bool."""

    @property
    def requires_grad(self) -> bool:
        """Whether ``backward()`` leaves a gradient here, or passes through. Can be set on a leaf."""

    @property
    def is_leaf(self) -> bool:
        """True unless an operation on the tape made it."""

    @property
    def grad(self) -> "Tensor | None":
        """The gradient: a Tensor of the same shape, or None. Can be set."""

    @property
    def row_grad(self) -> "tuple[NDArray[np.int64], Tensor] | None":
        """Copies of the ids (n,), ascending, and rows (n, d) of a sparse gradient; None when it is none.

        :attr:`grad` is the same with zeros in all other rows.
        """

    @property
    def T(self) -> Tensor:
        """The axes reversed."""

    def zero_grad(self) -> None:
        """Forget the gradient."""

    def backward(self, gradient: "TensorLike | None" = None) -> None:
        """Add the gradient of this Tensor to ``grad`` of every leaf it was computed from.

        For gradients of chosen tensors, and gradients of gradients, see :func:`attendo.grad`.

        Parameters
        ----------
        gradient : array_like or Tensor, shape of this one, optional
            Where to begin: 1 for a single number, needed for more.

        Raises
        ------
        ValueError
            When gradient is needed and not given, has another shape, or nothing on the tape requires a
            gradient.
        """

    def detach(self) -> Tensor:
        """The same memory, off the tape."""

    def clone(self) -> Tensor:
        """A copy, off the tape."""

    def numpy(self) -> "NDArray[Any]":
        """The data as a read-only array on the same memory."""

    def item(self) -> Any:
        """The only element as a Python number; ValueError when there are more or none."""

    def tolist(self) -> Any:
        """The elements as nested lists."""

    def assign(self, values: "TensorLike") -> None:
        """Write new values of the same shape in place, off the tape: what an optimizer does."""

    def sum(self, axis: "Axis" = None, keepdims: bool = False) -> Tensor:
        """Sum over axes: :func:`attendo.functional.sum`."""

    def mean(self, axis: "Axis" = None, keepdims: bool = False) -> Tensor:
        """Mean over axes: :func:`attendo.functional.mean`."""

    def max(self, axis: "Axis" = None, keepdims: bool = False) -> Tensor:
        """Maximum over axes: :func:`attendo.functional.max`."""

    def argmax(self) -> "NDArray[np.int64]":
        """Index of the first maximum along the last axis, as an array of shape (...)."""

    def exp(self) -> Tensor:
        """Exponential, element by element."""

    def log(self) -> Tensor:
        """Natural logarithm, element by element."""

    def sqrt(self) -> Tensor:
        """Square root, element by element."""

    def tanh(self) -> Tensor:
        """Hyperbolic tangent, element by element."""

    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(-x)), element by element."""

    def relu(self) -> Tensor:
        """max(x, 0), element by element."""

    def reshape(self, *shape: "Shape") -> Tensor:
        """The same elements in another shape, on the same memory: ``x.reshape(2, -1)``."""

    def view(self, *shape: "Shape") -> Tensor:
        """The same as :meth:`reshape`."""

    def transpose(self, *axes: "Shape") -> Tensor:
        """Axes in another order, ``x.transpose(0, 2, 1)``; reversed when none is given.

        As in NumPy; to exchange two axes as PyTorch's ``transpose(1, 2)`` does, say ``x.swapaxes(1, 2)``.
        """

    def permute(self, *axes: "Shape") -> Tensor:
        """Axes in another order: the same as :meth:`transpose` with all of them."""

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Two axes exchanged."""


@page(Generator, "attendo")
class _Generator:
    """Random numbers that depend on the seed and on nothing else.

    Each operation that needs random bits draws one stream; the bits are a function of the seed, the number of
    the stream and the position in the array. So the same seed gives the same bits on any number of threads,
    and there is no global random state anywhere.

    Parameters
    ----------
    seed : int, optional
        0 or more; taken from the operating system when not given.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.ones(1000)
    >>> a = at.functional.dropout(x, 0.5, generator=at.Generator(1))
    >>> b = at.functional.dropout(x, 0.5, generator=at.Generator(1))
    >>> bool((a == b).all())
    True
    >>> generator = at.Generator(1)
    >>> a, b = (at.functional.dropout(x, 0.5, generator=generator) for _ in range(2))
    >>> bool((a == b).all()), generator
    (False, Generator(seed=1, drawn=2))

    Source: cpp/core/random.cpp
    """

    def __init__(self, seed: int | None = None) -> None: ...

    @property
    def seed(self) -> int:
        """The seed."""

    @property
    def drawn(self) -> int:
        """Streams drawn so far."""


_numpy_protocols.install()

"""Module, what it holds, and how modules are put together."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING, Any

from .. import _core
from .._core import Module, ModuleList, Sequential, Tensor
from .._pages import page
from .._state import save

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import FloatArray, FloatDType, TensorLike

Module.save = save  # type: ignore[method-assign]


def Parameter(data: "TensorLike", dtype: "FloatDType | None" = None) -> Tensor:
    """A Tensor that a Module trains once it is assigned to it: a copy of the data that requires a gradient.

    Parameters
    ----------
    data : array_like or Tensor
        What it starts from.
    dtype : {"float32", "float64"}, optional
        What to convert to.

    Returns
    -------
    Tensor, shape of data

    Raises
    ------
    TypeError
        When the data are not float32 or float64, nor become so by dtype.

    Examples
    --------
    >>> import attendo as at
    >>> class Scale(at.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = at.nn.Parameter([2.0])
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale().state_dict()
    {'factor': array([2.])}

    Source: cpp/core/tensor.cpp
    """
    return _core.tensor(data, dtype, True)


@page(Module, "attendo.nn")
class _Module:
    """What every layer and model is: parameters and other modules under names.

    Subclass it to write your own.

    Call ``super().__init__()`` first. A Tensor that requires a gradient (a :func:`Parameter`) becomes a
    parameter by being assigned to an attribute, and another Module a child. Then write ``forward``; call the
    module itself, which turns arrays into Tensors on the way in.

    Attributes
    ----------
    training : bool
        True between :meth:`train` and :meth:`eval`, and at the beginning.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> class Net(at.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.attention = at.nn.MultiHeadAttention(d_model=16, num_heads=4)
    ...         self.out = at.nn.Linear(16, 10)
    ...     def forward(self, x):
    ...         return self.out(self.attention(x, x, x).mean(axis=1))
    >>> net = Net()
    >>> net(np.zeros((2, 7, 16), dtype="float32")).shape
    (2, 10)
    >>> [name for name, parameter in net.named_parameters()]
    ['attention.in_proj_weight', 'attention.in_proj_bias', 'attention.out_proj.weight',
    'attention.out_proj.bias',
     'out.weight', 'out.bias']
    >>> net
    Net(
      (attention): MultiHeadAttention(d_model=16, num_heads=4, dropout=0
        (out_proj): Linear(in_features=16, out_features=16)
      )
      (out): Linear(in_features=16, out_features=10)
    )

    It trains as the package's own do (or by hand: ``loss.backward()``, ``optimizer.step()``):

    >>> x = np.random.default_rng(0).normal(size=(64, 7, 16)).astype("float32")
    >>> y = (x[:, :, 0].mean(axis=1) > 0).astype(int)
    >>> trainer = at.train.Trainer(net, at.losses.CrossEntropy(), at.optim.Adam(lr=0.01))
    >>> history = trainer.fit(x, y, epochs=30, progress=False)
    >>> bool(history["loss"][-1] < history["loss"][0])
    True

    Source: cpp/nn/module.cpp
    """

    def __init__(self) -> None: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run :meth:`forward`; arrays among the arguments become Tensors."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes: yours to write. Tensors in, a Tensor or a tuple of them out."""

    @property
    def training(self) -> bool:
        """True between ``train()`` and ``eval()``, and at the beginning."""

    def train(self, mode: bool = True) -> Module:
        """Into training mode, with all below: dropout drops, batch norm uses the batch. Gives the module."""

    def eval(self) -> Module:
        """Into evaluation mode, with all modules below. Gives the module."""

    def parameters(self) -> list[Tensor]:
        """Every parameter of this module and all below, once."""

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """Every parameter with its dotted name: ``("encoder.layers.0.norm1.weight", Tensor)``."""

    def named_buffers(self) -> list[tuple[str, Tensor]]:
        """What is saved with the module but not trained, with dotted names: running statistics."""

    def children(self) -> list[Module]:
        """The modules right below."""

    def named_children(self) -> list[tuple[str, Module]]:
        """The modules right below, with their names."""

    def modules(self) -> list[Module]:
        """This module and all below it, each once."""

    def named_modules(self) -> list[tuple[str, Module]]:
        """This module, as "", and all below it, with dotted names, each once."""

    def register_buffer(self, name: str, value: "TensorLike") -> None:
        """Keep a copy of an array under a name: saved with the module but not trained."""

    def state_dict(self) -> "dict[str, FloatArray]":
        """Copies of all parameters and buffers as arrays, by dotted name."""

    def load_state_dict(self, state: dict[str, Any], strict: bool = True) -> tuple[list[str], list[str]]:
        """Write parameters and buffers by name. All are checked before any is written.

        Parameters
        ----------
        state : dict
            Arrays by dotted name, as :meth:`state_dict` gives them; converted to the parameter's dtype.
        strict : bool
            Insist that the names are exactly those of this module.

        Returns
        -------
        missing, unexpected : list of str
            Names the dict has not, and names the module has not.

        Raises
        ------
        ValueError
            When a shape differs; with ``strict``, when names do.
        TypeError
            When an array is not of floats.
        """

    def to_int8(self) -> Module:
        r"""Hold matrices in eight bits from here on: a quarter of the memory, and faster decoding.

        The weights of linear layers, of attention's projections and of embeddings are rounded as
        :func:`attendo.functional.quantize_int8` does, with a scale for each 64 neighbours of a row; one
        that is used in several places stays one. Biases, norms, positions and recurrent or convolutional
        layers stay as they are, and so do the inputs and outputs of every layer. What held the matrices in
        floats is let go. Products are of floats: :func:`attendo.compress.quantize` makes them whole numbers'.

        The module computes and is saved and loaded as before, ``state_dict`` having ``name_scales`` beside
        each int8 ``name``; given floats, ``load_state_dict`` rounds them. It cannot be trained, drawn anew
        or turned back. Gives the module.

        Raises
        ------
        ValueError
            When an optimizer holds a matrix of it.

        Examples
        --------
        >>> import attendo as at
        >>> layer = at.nn.Linear(64, 32, seed=0).to_int8()
        >>> {name: array.dtype.name for name, array in layer.state_dict().items()}
        {'weight': 'int8', 'weight_scales': 'float32', 'bias': 'float32'}

        Source: cpp/nn/module.cpp, cpp/ops/linear_int8.cpp
        """

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Train all parameters, or freeze them. Gives the module."""

    def num_parameters(self) -> int:
        """How many numbers are in all parameters."""

    def reset_parameters(self, seed: int | None = None) -> None:
        """Draw all parameters anew, from the seed or, without one, from the operating system."""


@page(Sequential, "attendo.nn")
class _Sequential:
    """Modules one after the other, each taking what the one before gives.

    Parameters
    ----------
    *modules : Module
        Or one list of them. Their names are "0", "1", ...; ``sequential[i]`` and ``len(sequential)`` work.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.nn.Sequential(at.nn.Linear(4, 8), at.nn.ReLU(), at.nn.Linear(8, 2))
    >>> model(np.zeros((3, 4), dtype="float32")).shape
    (3, 2)
    >>> model[0]
    Linear(in_features=4, out_features=8)

    Source: cpp/nn/layers.cpp
    """

    def __init__(self, *modules: "Module | Sequence[Module]") -> None: ...

    def forward(self, *inputs: Any) -> Any:
        """What the last module gives; a tuple from one module is the arguments of the next."""


@page(ModuleList, "attendo.nn")
class _ModuleList:
    """Modules by index, for a ``forward`` that goes through them as it likes.

    Parameters
    ----------
    *modules : Module
        Or one list of them. Their names are "0", "1", ...

    Examples
    --------
    >>> import attendo as at
    >>> class Tower(at.nn.Module):
    ...     def __init__(self, floors):
    ...         super().__init__()
    ...         self.floors = at.nn.ModuleList([at.nn.Linear(8, 8) for _ in range(floors)])
    ...     def forward(self, x):
    ...         for floor in self.floors:
    ...             x = x + floor(x)
    ...         return x
    >>> Tower(2).num_parameters()
    144

    Source: cpp/nn/layers.cpp
    """

    def __init__(self, *modules: "Module | Sequence[Module]") -> None: ...

    def append(self, module: Module) -> None:
        """Add one at the end."""

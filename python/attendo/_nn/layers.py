"""Layers of one step."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING

from .. import _core
from .._core import (
    Activation,
    BatchNorm1d,
    BatchNorm2d,
    Dropout,
    Embedding,
    Flatten,
    LayerNorm,
    Linear,
    Tensor,
)
from .._pages import page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import FloatDType, TensorLike


@page(Linear, "attendo.nn")
class _Linear:
    r"""Affine map of the last axis.

    Parameters
    ----------
    in_features, out_features : int
        Lengths of the last axis before and after, 1 or more.
    bias : bool
        Add a bias.
    dtype : {"float32", "float64"}
        Of the parameters; the input must have it too.
    seed : int, optional
        Decides the parameters; taken from the operating system when not given.

    Raises
    ------
    ValueError
        When a length is below 1; at the call, when x's last axis is not in_features.
    TypeError
        When dtype is neither; at the call, when x has another.

    Notes
    -----
    .. math:: y = x W^\top + b

    Parameters: ``weight`` (out_features, in_features) and ``bias`` (out_features,), drawn uniformly from
    :math:`\pm 1/\sqrt{\text{in\_features}}`. The gradients: :func:`attendo.functional.linear`.

    References
    ----------
    Article 000 §3.2 step 1.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> layer = at.nn.Linear(3, 2, seed=0)
    >>> layer(np.ones((5, 3), dtype="float32")).shape
    (5, 2)

    Source: cpp/nn/layers.cpp
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (..., in_features) -> (..., out_features)."""


@page(Embedding, "attendo.nn")
class _Embedding:
    r"""A trained vector for each id.

    Parameters
    ----------
    num_embeddings : int
        Size V of the vocabulary, 1 or more.
    embedding_dim : int
        Length d of a vector, 1 or more.
    padding_idx : int, optional
        The id whose vector is zero and stays so.
    sparse : bool
        Leave the gradient as the rows used (``weight.row_grad``), and let an optimizer step those alone: SGD
        without momentum, Adam or AdamW, none with weight decay. A step then costs what its ids cost, whatever
        the size of the vocabulary.
    dtype : {"float32", "float64"}
        Of the table.
    seed : int, optional
        Decides the table.

    Raises
    ------
    ValueError
        When a size is below 1 or padding_idx outside 0 to V - 1; at the call, when an id is.
    TypeError
        When dtype is neither; at the call, when ids are not integers.

    Notes
    -----
    .. math:: y_n = W_{ids_n}

    Parameter: ``weight`` (V, d), drawn from the standard normal distribution. The gradient:
    :func:`attendo.functional.embedding`.

    In a model that gives logits with the same table, tie the two: ``self.out.weight = self.embedding.weight``
    where ``out`` is a :class:`Linear` of (d, V). The parameter is then counted, trained and saved once.

    References
    ----------
    Vaswani et al. 2017, §3.4. Press and Wolf 2017 (tied weights). Article 004 §3.2.

    Examples
    --------
    >>> import attendo as at
    >>> table = at.nn.Embedding(100, 8, padding_idx=0, seed=0)
    >>> table([[5, 7, 0]]).shape, table([0]).tolist()
    ((1, 3, 8), [[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])

    Source: cpp/nn/layers.cpp
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        padding_idx: int | None = None,
        sparse: bool = False,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    def forward(self, ids: "TensorLike") -> Tensor:
        """ids (...) of int -> (..., embedding_dim)."""


@page(LayerNorm, "attendo.nn")
class _LayerNorm:
    r"""Each row to mean 0 and variance 1, then a trained gain and shift of each feature.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Length n of the last axis, or lengths of the last axes, which are normalised together; 1 or more.
    eps : float
        Added to the variance, 0 or more.
    elementwise_affine : bool
        Have the gain and the shift.
    bias : bool
        Have the shift.
    dtype : {"float32", "float64"}
        Of the parameters; the input must have it too.

    Raises
    ------
    ValueError
        When a length is below 1, there is none, or eps is negative; at the call, when x's last axes are
        not of these lengths.
    TypeError
        When dtype is neither; at the call, when x has another.

    Notes
    -----
    .. math:: y = \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta

    Parameters: ``weight`` :math:`\gamma`, ones at first, and ``bias`` :math:`\beta`, zeros at first, both
    of shape normalized_shape. The gradients: :func:`attendo.functional.layer_norm`.

    References
    ----------
    Ba et al. 2016, eq. 3. Article 002 §5.2.

    Examples
    --------
    >>> import attendo as at
    >>> norm = at.nn.LayerNorm(3, dtype="float64")
    >>> norm([[1.0, 2.0, 3.0]]).numpy().round(3)
    array([[-1.225,  0.   ,  1.225]])

    Source: cpp/nn/layers.cpp
    """

    def __init__(
        self,
        normalized_shape: "int | Sequence[int]",
        *,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: "FloatDType" = "float32",
    ) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (..., *normalized_shape) -> the same shape."""


@page(BatchNorm1d, "attendo.nn")
class _BatchNorm1d:
    r"""Each channel to mean 0 and variance 1 over the batch and its positions, then a trained gain and shift.

    Parameters
    ----------
    num_features : int
        Channels C, 1 or more.
    eps : float
        Added to the variance, above 0.
    momentum : float
        The share of a new batch in the running statistics, 0 to 1.
    dtype : {"float32", "float64"}
        Of the parameters; the input must have it too.

    Raises
    ------
    ValueError
        When num_features is below 1, eps not above 0 or momentum outside 0 to 1; at the call, when x is not
        (B, C) or (B, C, L), or in training mode there is but one value a channel.
    TypeError
        When dtype is neither; at the call, when x has another.

    Notes
    -----
    .. math:: y = \gamma_c \frac{x - \mu_c}{\sqrt{\sigma_c^2 + \varepsilon}} + \beta_c

    In training mode with the statistics of the batch, which also move the running ones; in evaluation mode
    with those. Parameters: ``weight`` and ``bias`` (C,). Buffers: ``running_mean`` and ``running_var`` (C,),
    the latter with Bessel's correction. They are PyTorch's but for ``num_batches_tracked``, which only its
    ``momentum=None`` (the average of all batches alike) has a use for: leave it out of a state to load.
    The gradients: :func:`attendo.functional.batch_norm`.

    References
    ----------
    Ioffe and Szegedy 2015, algorithm 1. Article 000 §4.3.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> norm = at.nn.BatchNorm1d(1, dtype="float64")
    >>> norm(np.array([[1.0], [3.0]])).numpy().round(3)
    array([[-1.],
           [ 1.]])
    >>> norm.state_dict()["running_mean"]
    array([0.2])

    Source: cpp/nn/layers.cpp
    """

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        dtype: "FloatDType" = "float32",
    ) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (B, C) or (B, C, L) -> the same shape."""


@page(BatchNorm2d, "attendo.nn")
class _BatchNorm2d:
    r"""Batch norm of images: each channel over the batch and all its pixels.

    Parameters
    ----------
    num_features : int
        Channels C, 1 or more.
    eps : float
        Added to the variance, above 0.
    momentum : float
        The share of a new batch in the running statistics, 0 to 1.
    dtype : {"float32", "float64"}
        Of the parameters; the input must have it too.

    Raises
    ------
    ValueError
        When num_features is below 1, eps not above 0 or momentum outside 0 to 1; at the call, when x is not
        (B, C, H, W), or in training mode there is but one value a channel.
    TypeError
        When dtype is neither; at the call, when x has another.

    Notes
    -----
    The formula and the names of the state are those of :class:`BatchNorm1d`.

    References
    ----------
    Ioffe and Szegedy 2015, §3.2. Article 000 §4.3.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> norm = at.nn.BatchNorm2d(3)
    >>> norm(np.ones((2, 3, 4, 4), dtype="float32")).shape
    (2, 3, 4, 4)

    Source: cpp/nn/layers.cpp
    """

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        dtype: "FloatDType" = "float32",
    ) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (B, C, H, W) -> the same shape."""


@page(Dropout, "attendo.nn")
class _Dropout:
    r"""Drop each element with probability p and scale up the others. In evaluation mode, nothing.

    Parameters
    ----------
    p : float
        Probability of being dropped, 0 or more and below 1.

    Raises
    ------
    ValueError
        When p is outside that.

    Notes
    -----
    .. math:: y_i = x_i / (1 - p) \text{ where kept, else } 0

    Each dropout layer has its own stream of random bits. In a :class:`attendo.train.Trainer` the seed, the
    step and the layer's place in the model decide them.

    References
    ----------
    Srivastava et al. 2014, §4. Article 002 §9 question 2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> layer = at.nn.Dropout(0.5)
    >>> np.unique(layer(np.ones(1000)).numpy())
    array([0., 2.])
    >>> layer.eval()(np.ones(3)).numpy()
    array([1., 1., 1.])

    Source: cpp/nn/layers.cpp
    """

    def __init__(self, p: float = 0.1) -> None: ...

    @property
    def p(self) -> float:
        """Probability of being dropped."""

    def forward(self, x: "TensorLike") -> Tensor:
        """x of any shape -> the same shape."""


@page(Flatten, "attendo.nn")
class _Flatten:
    """All axes but the first into one.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.nn.Flatten()(np.zeros((2, 3, 4, 5))).shape
    (2, 60)

    Source: cpp/nn/layers.cpp
    """

    def __init__(self) -> None: ...

    def forward(self, x: "TensorLike") -> Tensor:
        """x (B, ...) -> (B, features)."""


@page(Activation, "attendo.nn")
class _Activation:
    """A function of each element (softmax: of each row) as a layer without parameters.

    Made by ``ReLU()``, ``GELU()``, ``SiLU()``, ``Tanh()``, ``Sigmoid()`` and ``Softmax()``.

    Source: cpp/nn/layers.cpp
    """

    def forward(self, x: "TensorLike") -> Tensor:
        """x of any shape -> the same shape."""


def ReLU() -> Activation:
    r"""The layer of the positive part, :math:`y = \max(x, 0)`: :func:`attendo.functional.relu`.

    Returns
    -------
    Activation
        Takes and gives any shape.

    Examples
    --------
    >>> import attendo as at
    >>> at.nn.ReLU()([-1.0, 2.0])
    Tensor([0., 2.])

    Source: cpp/ops/activations.cpp
    """
    return _core._activation("ReLU")


def GELU() -> Activation:
    r"""The layer of :math:`y = x\,\Phi(x)`: :func:`attendo.functional.gelu`, the exact one.

    Returns
    -------
    Activation
        Takes and gives any shape.

    Examples
    --------
    >>> import attendo as at
    >>> at.nn.GELU()([-1.0, 1.0]).numpy().round(4)
    array([-0.1587,  0.8413])

    Source: cpp/ops/activations.cpp
    """
    return _core._activation("GELU")


def Tanh() -> Activation:
    r"""The layer of the hyperbolic tangent, :math:`y = \tanh x`: :func:`attendo.functional.tanh`.

    Returns
    -------
    Activation
        Takes and gives any shape.

    Examples
    --------
    >>> import attendo as at
    >>> at.nn.Tanh()([0.0, 1.0]).numpy().round(4)
    array([0.    , 0.7616])

    Source: cpp/ops/activations.cpp
    """
    return _core._activation("Tanh")


def Sigmoid() -> Activation:
    r"""The layer of the logistic function, :math:`y = 1 / (1 + e^{-x})`: :func:`attendo.functional.sigmoid`.

    Returns
    -------
    Activation
        Takes and gives any shape.

    Examples
    --------
    >>> import attendo as at
    >>> at.nn.Sigmoid()([0.0, 1.0]).numpy().round(4)
    array([0.5   , 0.7311])

    Source: cpp/ops/activations.cpp
    """
    return _core._activation("Sigmoid")


def SiLU() -> Activation:
    r"""The layer of :math:`y = x\,\sigma(x)`: :func:`attendo.functional.silu`.

    Returns
    -------
    Activation
        Takes and gives any shape.

    Examples
    --------
    >>> import attendo as at
    >>> at.nn.SiLU()([-1.0, 1.0]).numpy().round(4)
    array([-0.2689,  0.7311])

    Source: cpp/ops/activations.cpp
    """
    return _core._activation("SiLU")


def Softmax() -> Activation:
    r"""The layer of softmax over the last axis: :func:`attendo.functional.softmax`.

    Not to be put before :class:`attendo.losses.CrossEntropy`, which takes logits.

    Returns
    -------
    Activation
        Takes and gives any shape but ().

    Examples
    --------
    >>> import attendo as at
    >>> at.nn.Softmax()([[0.0, 0.0]])
    Tensor([[0.5, 0.5]])

    Source: cpp/ops/softmax.cpp
    """
    return _core._activation("Softmax")

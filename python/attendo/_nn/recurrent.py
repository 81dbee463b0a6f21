"""Recurrent layers."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING

from .._core import GRU, LSTM, Tensor
from .._pages import page

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._typing import FloatDType, TensorLike


@page(LSTM, "attendo.nn")
class _LSTM:
    r"""Long short-term memory: layers that read a sequence step by step, in one direction or in both.

    Parameters
    ----------
    input_size : int
        Features of x, 1 or more.
    hidden_size : int
        Units H of a layer in one direction, 1 or more.
    num_layers : int
        Layers, each of which reads the output of the one below, 1 or more.
    bias : bool
        Add biases.
    dropout : float
        Probability of dropping an output between two layers in training mode, 0 or more and below 1.
    bidirectional : bool
        Each layer reads from both ends; its outputs stand side by side.
    return_sequences : bool
        The result is the last layer's output at every step; otherwise its last state h_n alone, that of both
        directions side by side: one vector of each sequence.
    dtype : {"float32", "float64"}
        Of the parameters; the input must have it too.
    seed : int, optional
        Decides the parameters; taken from the operating system when not given.

    Raises
    ------
    ValueError
        When a size is below 1 or dropout is out of range; at the call, when shapes do not fit or lengths
        holds a number outside 0 to S.
    TypeError
        When dtype is neither; at the call, when x or a state has another.

    Notes
    -----
    .. math::

        (a_i, a_f, a_g, a_o) = W x_t + b + U h_{t-1} + b', \quad
        c_t = \sigma(a_f) \odot c_{t-1} + \sigma(a_i) \odot \tanh(a_g), \quad
        h_t = \sigma(a_o) \odot \tanh(c_t)

    The gradients: :func:`attendo.functional.lstm`. Parameters, named and laid out as in ``torch.nn.LSTM``
    (with ``batch_first=True``), for layer k and, ending in ``_reverse``, its other direction; drawn uniformly
    from :math:`\pm 1/\sqrt{H}`:

    =================  =================================================================
    ``weight_ih_lk``   W (4 H, input_size), above the first layer (4 H, H · directions)
    ``weight_hh_lk``   U (4 H, H)
    ``bias_ih_lk``     b (4 H,)
    ``bias_hh_lk``     b' (4 H,)
    =================  =================================================================

    In a model that a Trainer runs the layer passes on ``out`` alone.

    References
    ----------
    Hochreiter and Schmidhuber 1997; Gers et al. 2000. Article 004 §2.1, §5.3.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> lstm = at.nn.LSTM(3, 8, num_layers=2, bidirectional=True, seed=0)
    >>> x = np.zeros((2, 5, 3), dtype="float32")
    >>> out, (h_n, c_n) = lstm(x, lengths=[5, 3])
    >>> out.shape, h_n.shape, c_n.shape
    ((2, 5, 16), (4, 2, 8), (4, 2, 8))

    Source: cpp/nn/recurrent.cpp, cpp/ops/lstm.cpp
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        *,
        dropout: float = 0.0,
        bidirectional: bool = False,
        return_sequences: bool = True,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    def forward(
        self,
        x: "TensorLike",
        state: "tuple[TensorLike, TensorLike] | None" = None,
        *,
        lengths: "ArrayLike | None" = None,
    ) -> "tuple[Tensor, tuple[Tensor, Tensor]]":
        """Read the sequences.

        Parameters
        ----------
        x : array_like or Tensor, shape (B, S, input_size)
        state : pair (h_0, c_0) of array_like or Tensor, each of shape (layers · directions, B, H), optional
            The states to begin with; zeros if not given.
        lengths : array_like of int, shape (B,), optional
            How many steps of each sample count, 0 to S. Behind them the states stand still and the
            output is 0.

        Returns
        -------
        out : Tensor, shape (B, S, H · directions)
            Of the last layer, at every step; without return_sequences (B, H · directions), after the last.
        state : pair (h_n, c_n) of Tensors, each of shape (layers · directions, B, H)
            The states after the last step.
        """


@page(GRU, "attendo.nn")
class _GRU:
    r"""Gated recurrent units: layers that read a sequence step by step, in one direction or in both.

    Parameters
    ----------
    input_size : int
        Features of x, 1 or more.
    hidden_size : int
        Units H of a layer in one direction, 1 or more.
    num_layers : int
        Layers, each of which reads the output of the one below, 1 or more.
    bias : bool
        Add biases.
    dropout : float
        Probability of dropping an output between two layers in training mode, 0 or more and below 1.
    bidirectional : bool
        Each layer reads from both ends; its outputs stand side by side.
    return_sequences : bool
        The result is the last layer's output at every step; otherwise its last state h_n alone, that of both
        directions side by side: one vector of each sequence.
    reset_after : bool
        The reset gate scales the product with h, as in PyTorch, cuDNN and Keras; otherwise it scales h before
        the product, as in the paper.
    dtype : {"float32", "float64"}
        Of the parameters; the input must have it too.
    seed : int, optional
        Decides the parameters; taken from the operating system when not given.

    Raises
    ------
    ValueError
        When a size is below 1 or dropout is out of range; at the call, when shapes do not fit or lengths
        holds a number outside 0 to S.
    TypeError
        When dtype is neither; at the call, when x or the state has another.

    Notes
    -----
    .. math::

        r, z = \sigma(W_{rz} x_t + b_{rz} + U_{rz} h_{t-1} + b'_{rz}), \quad
        n = \tanh(W_n x_t + b_n + r \odot (U_n h_{t-1} + b'_n)), \quad
        h_t = (1 - z) \odot n + z \odot h_{t-1}

    and without reset_after :math:`n = \tanh(W_n x_t + b_n + U_n (r \odot h_{t-1}) + b'_n)`. The gradients:
    :func:`attendo.functional.gru`. Parameters, named and laid out as in ``torch.nn.GRU`` (with
    ``batch_first=True``), for layer k and, ending in ``_reverse``, its other direction; drawn uniformly from
    :math:`\pm 1/\sqrt{H}`:

    =================  =================================================================
    ``weight_ih_lk``   W (3 H, input_size), above the first layer (3 H, H · directions)
    ``weight_hh_lk``   U (3 H, H)
    ``bias_ih_lk``     b (3 H,)
    ``bias_hh_lk``     b' (3 H,)
    =================  =================================================================

    In a model that a Trainer runs the layer passes on ``out`` alone.

    References
    ----------
    Cho et al. 2014, eq. 5 to 8. Article 004 §2.1, §5.3.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> gru = at.nn.GRU(3, 8, seed=0)
    >>> out, h_n = gru(np.zeros((2, 5, 3), dtype="float32"))
    >>> out.shape, h_n.shape
    ((2, 5, 8), (1, 2, 8))

    Source: cpp/nn/recurrent.cpp, cpp/ops/gru.cpp
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        *,
        dropout: float = 0.0,
        bidirectional: bool = False,
        return_sequences: bool = True,
        reset_after: bool = True,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    def forward(
        self,
        x: "TensorLike",
        state: "TensorLike | None" = None,
        *,
        lengths: "ArrayLike | None" = None,
    ) -> "tuple[Tensor, Tensor]":
        """Read the sequences.

        Parameters
        ----------
        x : array_like or Tensor, shape (B, S, input_size)
        state : array_like or Tensor, shape (layers · directions, B, H), optional
            The state h_0 to begin with; zeros if not given.
        lengths : array_like of int, shape (B,), optional
            How many steps of each sample count, 0 to S. Behind them the state stands still and the
            output is 0.

        Returns
        -------
        out : Tensor, shape (B, S, H · directions)
            Of the last layer, at every step; without return_sequences (B, H · directions), after the last.
        state : Tensor, shape (layers · directions, B, H)
            The state h_n after the last step.
        """

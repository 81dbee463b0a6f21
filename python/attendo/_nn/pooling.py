"""Pooling by attention."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING

from .._core import AdditivePooling, AttentionPooling, Tensor
from .._pages import page

if TYPE_CHECKING:
    from .._typing import FloatDType, MaskLike, TensorLike


@page(AttentionPooling, "attendo.nn")
class _AttentionPooling:
    r"""One vector of a whole sequence, or several: learned queries attend to it.

    Parameters
    ----------
    d_model : int
        Features of x and of the result; a multiple of num_heads.
    num_heads : int
        Heads H of the attention.
    num_queries : int, optional
        Vectors k to make of a sequence, 1 or more. When not given it is one, without an axis of its own.
    dropout : float
        Of the attention weights, in training mode; 0 or more and below 1.
    bias : bool
        Add biases in the projections.
    dtype : {"float32", "float64"}
        Of the parameters; the input must have it too.
    seed : int, optional
        Decides the parameters.

    Raises
    ------
    ValueError
        When a size is below 1, d_model is no multiple of num_heads or dropout is out of range; at the call,
        when x is not (B, S, d_model) or the mask does not fit.
    TypeError
        When dtype is neither; at the call, when x has another or the mask is not bool.

    Notes
    -----
    .. math:: out = \mathrm{MultiHead}(Q, x, x), \qquad Q \text{ trained, the same for every sample}

    Parameters: ``query`` Q (k, d_model), and as ``attention`` those of :class:`MultiHeadAttention`. This is
    the pooling of the Set Transformer (PMA) and of the Vision Transformer's MAP head without the feed-forward
    network behind it. Pooling by one score a position, without heads: :class:`AdditivePooling`.

    A sample whose positions are all masked gives the bias of the output's projection.

    References
    ----------
    Lee et al. 2019, "Set Transformer", eq. 11. Zhai et al. 2022, "Scaling vision transformers", §3.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> pool = at.nn.AttentionPooling(8, num_heads=2, seed=0)
    >>> x = np.ones((3, 5, 8), dtype="float32")
    >>> pool(x, mask=at.masks.lengths([5, 2, 4])).shape
    (3, 8)

    Source: cpp/nn/attention_pooling.cpp
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int = 1,
        num_queries: int | None = None,
        *,
        dropout: float = 0.0,
        bias: bool = True,
        dtype: "FloatDType" = "float32",
        seed: int | None = None,
    ) -> None: ...

    def forward(
        self, x: "TensorLike", *, mask: "MaskLike | None" = None, return_weights: bool = False
    ) -> "Tensor | tuple[Tensor, Tensor]":
        """Pool the sequences.

        Parameters
        ----------
        x : array_like or Tensor, shape (B, S, d_model)
        mask : Mask or array_like of bool, shape (B, S), optional
            Which positions count: True counts.
        return_weights : bool
            Give the weights of every head too.

        Returns
        -------
        out : Tensor, shape (B, d_model), or (B, k, d_model) when num_queries is given
        weights : Tensor, shape (B, H, S) or (B, H, k, S)
            With return_weights.
        """


@page(AdditivePooling, "attendo.nn")
class _AdditivePooling:
    r"""One vector of a whole sequence: the sum of its positions, weighted by a small network's score of each.

    Parameters
    ----------
    d_model : int
        Features of x and of the result, 1 or more.
    units : int
        Width of the network, 1 or more.
    dtype : {"float32", "float64"}
        Of the parameters; the input must have it too.
    seed : int, optional
        Decides the parameters.

    Raises
    ------
    ValueError
        When a size is below 1; at the call, when x is not (B, S, d_model) or the mask does not fit.
    TypeError
        When dtype is neither; at the call, when x has another or the mask is not bool.

    Notes
    -----
    .. math::

        s_i = u^\top \tanh(W x_i + b), \qquad \alpha = \mathrm{softmax}(s), \qquad
        out = \sum_i \alpha_i x_i

    Parameters: ``hidden.weight`` W (units, d_model), ``hidden.bias`` b (units,) and ``context`` u (units,),
    drawn uniformly from :math:`\pm 1/\sqrt{\text{d\_model}}` and :math:`\pm 1/\sqrt{\text{units}}`. A sample
    whose positions are all masked gives zeros.

    References
    ----------
    Yang et al. 2016, "Hierarchical attention networks for document classification", eq. 5 to 7. Lin et al.
    2017, "A structured self-attentive sentence embedding", eq. 5.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> lstm = at.nn.LSTM(4, 8, bidirectional=True, seed=0)
    >>> pool = at.nn.AdditivePooling(16, units=16, seed=1)
    >>> out, _ = lstm(np.ones((3, 5, 4), dtype="float32"), lengths=[5, 2, 4])
    >>> pool(out, mask=at.masks.lengths([5, 2, 4])).shape
    (3, 16)

    Source: cpp/nn/additive_pooling.cpp
    """

    def __init__(
        self, d_model: int, units: int, *, dtype: "FloatDType" = "float32", seed: int | None = None
    ) -> None: ...

    def forward(
        self, x: "TensorLike", *, mask: "MaskLike | None" = None, return_weights: bool = False
    ) -> "Tensor | tuple[Tensor, Tensor]":
        """Pool the sequences.

        Parameters
        ----------
        x : array_like or Tensor, shape (B, S, d_model)
        mask : Mask or array_like of bool, shape (B, S), optional
            Which positions count: True counts.
        return_weights : bool
            Give the weights too.

        Returns
        -------
        out : Tensor, shape (B, d_model)
        weights : Tensor, shape (B, S)
            With return_weights.
        """

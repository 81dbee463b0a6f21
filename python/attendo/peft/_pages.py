"""The modules that are attached."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING

from .._core import Adapter, KVPrefix, LoRA, Tensor
from .._pages import page

if TYPE_CHECKING:
    from .._typing import TensorLike


@page(LoRA, "attendo.peft")
class _LoRA:
    r"""A low-rank update of a matrix, as :func:`attendo.peft.lora` attaches it.

    It is a child of the module that owns the matrix, and what the two compute together is done there; called
    by itself it gives the update alone, :math:`\frac{\alpha}{r} B A x`.

    Notes
    -----
    Parameters: ``A (rank, in)`` and ``B (out, rank)``. Of an attention layer's stacked ``in_proj_weight`` the
    queries', keys' and values' rows have an update each: ``q_lora``, ``k_lora``, ``v_lora``.

    Source: cpp/nn/lora.cpp
    """

    @property
    def matrix(self) -> str:
        """Name of the matrix: ``"weight"``, or ``"q_proj_weight"`` and so on."""

    @property
    def rank(self) -> int:
        """r."""

    @property
    def alpha(self) -> float:
        """The update counts alpha / rank times."""

    @property
    def dropout(self) -> float:
        """Probability of dropping a feature of x before A, in training mode."""

    def forward(self, x: "TensorLike") -> Tensor:
        r"""The update alone.

        Parameters
        ----------
        x : array_like or Tensor, shape (..., in)

        Returns
        -------
        Tensor, shape (..., out)
        """


@page(KVPrefix, "attendo.peft")
class _KVPrefix:
    """Trained keys and values of an attention layer, as :func:`attendo.peft.prefix` attaches them.

    Notes
    -----
    Parameters: ``key (length, Hkv D)`` and ``value (length, Hkv Dv)``, heads side by side.

    Source: cpp/nn/kv_prefix.cpp, cpp/attention/kv_prefix.cpp
    """

    @property
    def length(self) -> int:
        """How many keys."""


@page(Adapter, "attendo.peft")
class _Adapter:
    r"""A narrow network with a residual, as :func:`attendo.peft.adapters` attaches it.

    Notes
    -----
    :math:`y = x + W_{up} f(W_{down} x + b_{down}) + b_{up}`. Parameters: ``down_weight (r, d)``,
    ``down_bias (r,)``, ``up_weight (d, r)``, ``up_bias (d,)``.

    Source: cpp/nn/adapter.cpp
    """

    @property
    def bottleneck(self) -> int:
        """r."""

    @property
    def activation(self) -> str:
        """f."""

    def forward(self, x: "TensorLike") -> Tensor:
        r"""What is passed on.

        Parameters
        ----------
        x : array_like or Tensor, shape (..., d)

        Returns
        -------
        Tensor, shape (..., d)
        """

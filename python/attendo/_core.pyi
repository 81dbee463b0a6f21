"""The C++ core as Python sees it; one class or function for each in cpp/bindings."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, SupportsFloat, SupportsIndex, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from typing_extensions import Self

from ._typing import (
    Axis,
    FloatArray,
    FloatDType,
    Key,
    MaskLike,
    Padding,
    Pair,
    PathLike,
    PoolSize,
    ScoreLike,
    ScoreParams,
    Shape,
    TensorLike,
)
from .models._output import EncoderDecoderOutput, EncoderOutput, ModelOutput

_Activation: TypeAlias = Literal[
    "relu", "gelu", "gelu_tanh", "silu", "glu", "reglu", "geglu", "geglu_tanh", "swiglu"
]
_LinearActivation: TypeAlias = Literal["relu", "gelu", "gelu_tanh", "silu"]
_Gate: TypeAlias = Literal["sigmoid", "silu", "gelu", "gelu_tanh", "relu"]

# -- bind_core.cpp

class Tensor:
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def requires_grad(self) -> bool: ...
    @requires_grad.setter
    def requires_grad(self, value: bool, /) -> None: ...
    @property
    def is_leaf(self) -> bool: ...
    @property
    def grad(self) -> Tensor | None: ...
    @grad.setter
    def grad(self, value: TensorLike | None, /) -> None: ...
    @property
    def row_grad(self) -> tuple[NDArray[np.int64], Tensor] | None: ...
    @property
    def T(self) -> Tensor: ...
    def zero_grad(self) -> None: ...
    def backward(self, gradient: TensorLike | None = None) -> None: ...
    def detach(self) -> Tensor: ...
    def clone(self) -> Tensor: ...
    def numpy(self) -> NDArray[Any]: ...
    def _numpy_writeable(self) -> NDArray[Any]: ...
    def item(self) -> Any: ...
    def tolist(self) -> Any: ...
    def assign(self, values: TensorLike) -> None: ...
    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]: ...
    def __dlpack__(self, **options: Any) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __len__(self) -> int: ...
    def __float__(self) -> float: ...
    def __int__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __getitem__(self, key: Key) -> Tensor: ...
    def __iter__(self) -> Iterator[Tensor]: ...
    def __deepcopy__(self, memo: dict[int, Any], /) -> Tensor: ...
    def __getstate__(self) -> tuple[NDArray[Any], bool]: ...
    def __setstate__(self, state: tuple[NDArray[Any], bool], /) -> None: ...
    def __hash__(self) -> int: ...
    def __add__(self, other: TensorLike, /) -> Tensor: ...
    def __radd__(self, other: TensorLike, /) -> Tensor: ...
    def __sub__(self, other: TensorLike, /) -> Tensor: ...
    def __rsub__(self, other: TensorLike, /) -> Tensor: ...
    def __mul__(self, other: TensorLike, /) -> Tensor: ...
    def __rmul__(self, other: TensorLike, /) -> Tensor: ...
    def __truediv__(self, other: TensorLike, /) -> Tensor: ...
    def __rtruediv__(self, other: TensorLike, /) -> Tensor: ...
    def __matmul__(self, other: TensorLike, /) -> Tensor: ...
    def __rmatmul__(self, other: TensorLike, /) -> Tensor: ...
    def __neg__(self) -> Tensor: ...
    def __pow__(self, exponent: SupportsFloat, /) -> Tensor: ...
    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor: ...
    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor: ...
    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor: ...
    def argmax(self) -> NDArray[np.int64]: ...
    def exp(self) -> Tensor: ...
    def log(self) -> Tensor: ...
    def sqrt(self) -> Tensor: ...
    def tanh(self) -> Tensor: ...
    def sigmoid(self) -> Tensor: ...
    def relu(self) -> Tensor: ...
    def reshape(self, *shape: Shape) -> Tensor: ...
    def view(self, *shape: Shape) -> Tensor: ...
    def transpose(self, *axes: Shape) -> Tensor: ...
    def permute(self, *axes: Shape) -> Tensor: ...
    def swapaxes(self, axis1: SupportsIndex, axis2: SupportsIndex) -> Tensor: ...

class _Calibration:
    def __init__(self, model: Module) -> None: ...
    def count(self) -> None: ...
    def finish(self, method: str, percentile: float) -> None: ...
    def stop(self) -> None: ...

def _quantize_dynamic(model: Module) -> None: ...
def _int8_forms(model: Module) -> dict[str, str]: ...
def _hold_int8(model: Module, forms: dict[str, str]) -> None: ...

class _NoDraws:
    def __init__(self, most: int | None = None) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...

class Generator:
    def __init__(self, seed: SupportsIndex | None = None) -> None: ...
    @property
    def seed(self) -> int: ...
    @property
    def drawn(self) -> int: ...

def tensor(data: TensorLike, dtype: FloatDType | None = None, requires_grad: bool = False) -> Tensor: ...
def grad(
    outputs: list[Tensor], inputs: list[Tensor], grad_outputs: list[TensorLike | None], create_graph: bool
) -> list[Tensor | None]: ...
def set_grad_enabled(on: bool) -> bool: ...
def set_num_threads(threads: SupportsIndex) -> None: ...
def get_num_threads() -> int: ...
def isa() -> str: ...
def _fma_gflops() -> float: ...
def versions() -> dict[str, str]: ...
def count_cost(
    function: Callable[[], Any], modules: list[Module]
) -> tuple[int, list[dict[str, Any] | None], Any]: ...
def memory_stats() -> dict[str, int]: ...
def release_cached_memory() -> None: ...

# -- bind_ops.cpp: a Tensor when an input is one, else an array

def slice(x: TensorLike, key: Key) -> Tensor | NDArray[Any]: ...
def relu(x: TensorLike) -> Tensor | FloatArray: ...
def tanh(x: TensorLike) -> Tensor | FloatArray: ...
def sigmoid(x: TensorLike) -> Tensor | FloatArray: ...
def silu(x: TensorLike) -> Tensor | FloatArray: ...
def quick_gelu(x: TensorLike) -> Tensor | FloatArray: ...
def softplus(x: TensorLike) -> Tensor | FloatArray: ...
def exp(x: TensorLike) -> Tensor | FloatArray: ...
def log(x: TensorLike) -> Tensor | FloatArray: ...
def sqrt(x: TensorLike) -> Tensor | FloatArray: ...
def add(a: TensorLike, b: TensorLike) -> Tensor | FloatArray: ...
def subtract(a: TensorLike, b: TensorLike) -> Tensor | FloatArray: ...
def multiply(a: TensorLike, b: TensorLike) -> Tensor | FloatArray: ...
def divide(a: TensorLike, b: TensorLike) -> Tensor | FloatArray: ...
def matmul(a: TensorLike, b: TensorLike) -> Tensor | FloatArray: ...
def sum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor | FloatArray: ...
def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor | FloatArray: ...
def max(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor | FloatArray: ...
def gelu(x: TensorLike, approximate: Literal["none", "tanh"] = "none") -> Tensor | FloatArray: ...
def linear(
    x: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    activation: _LinearActivation | None = None,
) -> Tensor | FloatArray: ...
def quantize_int8(weight: ArrayLike) -> tuple[NDArray[np.int8], FloatArray]: ...
def linear_int8(
    x: TensorLike, weight: NDArray[np.int8], scales: ArrayLike, bias: TensorLike | None = None
) -> Tensor | FloatArray: ...
def quantize_per_channel(weight: ArrayLike) -> tuple[NDArray[np.int8], FloatArray]: ...
def activation_range(x: ArrayLike, method: str, percentile: float) -> tuple[float, int]: ...
def quantized_linear(
    x: TensorLike,
    weight: NDArray[np.int8],
    scales: ArrayLike,
    bias: TensorLike | None = None,
    input_range: tuple[float, int] | None = None,
) -> Tensor | FloatArray: ...
def feed_forward(
    x: TensorLike,
    weight1: TensorLike,
    bias1: TensorLike | None,
    weight2: TensorLike,
    bias2: TensorLike | None,
    activation: _LinearActivation | None = "relu",
    dropout: SupportsFloat = 0.0,
    generator: Generator | None = None,
) -> Tensor | FloatArray: ...
def embedding(
    ids: TensorLike, weight: TensorLike, padding_idx: SupportsIndex | None = None, sparse: bool = False
) -> Tensor | FloatArray: ...
def negative_sampling(
    words: TensorLike,
    targets: TensorLike,
    negatives: TensorLike,
    input_vectors: TensorLike,
    output_vectors: TensorLike,
    sparse: bool = False,
) -> Tensor | FloatArray: ...
def softmax(x: TensorLike, axis: SupportsIndex = -1) -> Tensor | FloatArray: ...
def log_softmax(x: TensorLike, axis: SupportsIndex = -1) -> Tensor | FloatArray: ...
def layer_norm(
    x: TensorLike, weight: TensorLike | None = None, bias: TensorLike | None = None, eps: SupportsFloat = 1e-5
) -> Tensor | FloatArray: ...
def batch_norm(
    x: TensorLike,
    weight: TensorLike | None,
    bias: TensorLike | None,
    running_mean: Tensor | FloatArray | None,
    running_var: Tensor | FloatArray | None,
    training: bool,
    momentum: SupportsFloat = 0.1,
    eps: SupportsFloat = 1e-5,
) -> Tensor | FloatArray: ...
def dropout(x: TensorLike, p: SupportsFloat, generator: Generator) -> Tensor | FloatArray: ...
def residual_norm(
    x: TensorLike,
    r: TensorLike,
    weight: TensorLike | None = None,
    bias: TensorLike | None = None,
    p: SupportsFloat = 0.0,
    eps: SupportsFloat = 1e-5,
    generator: Generator | None = None,
) -> Tensor | FloatArray: ...
def reshape(x: TensorLike, shape: Shape) -> Tensor | NDArray[Any]: ...
def transpose(x: TensorLike, axes: Axis = None) -> Tensor | NDArray[Any]: ...
def concatenate(arrays: Sequence[TensorLike], axis: SupportsIndex = 0) -> Tensor | NDArray[Any]: ...
def cross_entropy(
    logits: TensorLike,
    target: TensorLike,
    weight: TensorLike | None = None,
    ignore_index: SupportsIndex | None = None,
    label_smoothing: SupportsFloat = 0.0,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor | FloatArray: ...

# -- bind_attention.cpp

def attention(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    mask: MaskLike | None = None,
    bias: TensorLike | None = None,
    scale: SupportsFloat | None = None,
    dropout: SupportsFloat = 0.0,
    generator: Generator | None = None,
    q_offset: SupportsIndex | TensorLike | None = None,
    return_weights: bool = False,
    softcap: SupportsFloat | None = None,
    score_mod: ScoreProgram | None = None,
    sinks: TensorLike | None = None,
) -> Any: ...
def linear_attention(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    rule: str = "linear",
    decay: TensorLike | None = None,
    beta: TensorLike | None = None,
    scale: SupportsFloat | None = None,
    feature_map: Any = None,
    normalize: bool = False,
    causal: bool = True,
    mask: MaskLike | None = None,
    state: TensorLike | None = None,
    return_state: bool = False,
    chunk_size: SupportsIndex = 64,
) -> Any: ...
def performer(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    num_features: SupportsIndex | None = None,
    features: TensorLike | None = None,
    kernel: str = "softmax",
    orthogonal: bool = True,
    generator: Generator | None = None,
    causal: bool = False,
    mask: MaskLike | None = None,
    scale: SupportsFloat | None = None,
) -> Any: ...
def performer_features(
    num_features: SupportsIndex,
    d: SupportsIndex,
    generator: Generator,
    orthogonal: bool = True,
    dtype: FloatDType = "float32",
) -> FloatArray: ...

# -- bind_attention_score.cpp

class ScoreProgram:
    def score(self) -> int: ...
    def batch(self) -> int: ...
    def head(self) -> int: ...
    def query(self) -> int: ...
    def key(self) -> int: ...
    def boolean(self, x: bool) -> int: ...
    def integer(self, x: float) -> int: ...
    def number(self, x: float) -> int: ...
    def unary(self, op: str, a: int) -> int: ...
    def binary(self, op: str, a: int, b: int) -> int: ...
    def where(self, condition: int, a: int, b: int) -> int: ...
    def to_int(self, a: int) -> int: ...
    def to_float(self, a: int) -> int: ...
    def lookup(self, table: TensorLike, name: str, indices: list[int]) -> int: ...
    def set_result(self, value: int) -> None: ...
    def result(self) -> int: ...
    def kind(self, value: int) -> Literal["bool", "int", "float"]: ...
    def text(self, value: int) -> str: ...
    def after_softcap(self, cap: float) -> ScoreProgram: ...
    def instructions(self) -> list[tuple[str, tuple[int, ...], float | None, str]]: ...
    def tables(self) -> list[Tensor]: ...

# -- bind_attention_matrix.cpp

def linformer(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    proj_k: TensorLike,
    proj_v: TensorLike | None = None,
    mask: MaskLike | None = None,
    scale: SupportsFloat | None = None,
    return_weights: bool = False,
) -> Any: ...
def linformer_projection(
    r: SupportsIndex,
    length: SupportsIndex,
    kind: str = "normal",
    seed: SupportsIndex | None = None,
    dtype: FloatDType = "float32",
) -> FloatArray: ...
def nystrom(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    landmarks: SupportsIndex = 64,
    mask: MaskLike | None = None,
    q_lengths: ArrayLike | None = None,
    scale: SupportsFloat | None = None,
    iterations: SupportsIndex = 6,
) -> Any: ...
def low_rank(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    basis_q: TensorLike,
    basis_k: TensorLike | None = None,
    mask: MaskLike | None = None,
    scale: SupportsFloat | None = None,
    q_offset: SupportsIndex | None = None,
    return_weights: bool = False,
) -> Any: ...
def low_rank_basis(q: TensorLike, k: TensorLike, rank: SupportsIndex) -> tuple[FloatArray, FloatArray]: ...
def int8_attention(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    mask: MaskLike | None = None,
    scale: SupportsFloat | None = None,
    q_offset: SupportsIndex | None = None,
) -> Any: ...
def top_k_attention(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    keep: SupportsIndex,
    mask: MaskLike | None = None,
    scale: SupportsFloat | None = None,
    q_offset: SupportsIndex | None = None,
    return_weights: bool = False,
) -> Any: ...

# -- bind_attention_scores.cpp

def attention_scored(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    score: ScoreLike = "scaled_dot",
    score_params: ScoreParams | None = None,
    qk_norm: Literal["rms", "l2"] | None = None,
    qk_norm_weights: tuple[TensorLike | None, TensorLike | None] | None = None,
    mask: MaskLike | None = None,
    bias: TensorLike | None = None,
    scale: SupportsFloat | Tensor | None = None,
    dropout: SupportsFloat = 0.0,
    generator: Generator | None = None,
    q_offset: SupportsIndex | TensorLike | None = None,
    return_weights: bool = False,
    softcap: SupportsFloat | None = None,
    score_mod: ScoreProgram | None = None,
    sinks: TensorLike | None = None,
) -> Any: ...
def pooled(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    mask: MaskLike | None = None,
    scale: SupportsFloat | None = None,
    return_weights: bool = False,
) -> Any: ...
def luong(
    query: TensorLike,
    memory: TensorLike,
    W_c: TensorLike,
    score: ScoreLike = "dot",
    score_params: ScoreParams | None = None,
    mask: MaskLike | None = None,
    scale: SupportsFloat | Tensor | None = None,
    return_weights: bool = False,
) -> Any: ...

# -- bind_attention_masks.cpp

class MaskExpression:
    @staticmethod
    def causal() -> MaskExpression: ...
    @staticmethod
    def window(left: SupportsIndex, right: SupportsIndex, /) -> MaskExpression: ...
    @staticmethod
    def strided(stride: SupportsIndex, /) -> MaskExpression: ...
    @staticmethod
    def lengths(lengths: ArrayLike, /) -> MaskExpression: ...
    @staticmethod
    def prefix(n: ArrayLike, /) -> MaskExpression: ...
    @staticmethod
    def global_tokens(indices: ArrayLike, /) -> MaskExpression: ...
    @staticmethod
    def blocks(layout: ArrayLike, block_size: SupportsIndex, /) -> MaskExpression: ...
    @staticmethod
    def documents(ids: ArrayLike, /) -> MaskExpression: ...
    @staticmethod
    def dense(array: ArrayLike, /) -> MaskExpression: ...
    def __and__(self, other: MaskExpression, /) -> MaskExpression: ...
    def __or__(self, other: MaskExpression, /) -> MaskExpression: ...
    def __invert__(self) -> MaskExpression: ...
    def written_out(
        self, batch: int, heads: int, length: int, keys: int, q_offset: int, /
    ) -> NDArray[np.bool_]: ...
    def cell_counts(
        self,
        batch: int,
        heads: int,
        length: int,
        keys: int,
        q_offset: int,
        batch_entry: int,
        head: int,
        side: int,
        /,
    ) -> NDArray[np.int64]: ...

# -- bind_attention_cache.cpp

class KVCache:
    def __init__(
        self, *, capacity: SupportsIndex | None = None, window: SupportsIndex | None = None
    ) -> None: ...
    def append(self, k: TensorLike, v: TensorLike, *, lengths: TensorLike | None = None) -> None: ...
    def attend(
        self,
        q: TensorLike,
        k: TensorLike | None = None,
        v: TensorLike | None = None,
        *,
        lengths: TensorLike | None = None,
        mask: MaskLike | None = None,
        bias: TensorLike | None = None,
        scale: SupportsFloat | None = None,
        softcap: SupportsFloat | None = None,
        sinks: TensorLike | None = None,
    ) -> Any: ...
    def fork(self, entries: TensorLike | None = None) -> KVCache: ...
    def reorder(self, entries: TensorLike) -> None: ...
    def truncate(self, length: SupportsIndex) -> None: ...
    def reset(self) -> None: ...
    @property
    def length(self) -> int: ...
    @property
    def lengths(self) -> NDArray[np.int64]: ...
    @property
    def first(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def window(self) -> int | None: ...
    @property
    def keys(self) -> FloatArray | None: ...
    @property
    def values(self) -> FloatArray | None: ...

# -- bind_attention_packed.cpp

def attention_packed(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    offsets: TensorLike,
    k_offsets: TensorLike | None = None,
    causal: bool = False,
    scale: SupportsFloat | None = None,
    dropout: SupportsFloat = 0.0,
    generator: Generator | None = None,
    q_offset: SupportsIndex | TensorLike | None = None,
    softcap: SupportsFloat | None = None,
) -> Tensor | FloatArray: ...

# -- bind_attention_stats.cpp

def attention_stats(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike | None = None,
    mask: MaskLike | None = None,
    bias: TensorLike | None = None,
    scale: SupportsFloat | None = None,
    q_offset: SupportsIndex | None = None,
    top_k: SupportsIndex = 5,
    softcap: SupportsFloat | None = None,
    score_mod: ScoreProgram | None = None,
) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.int64], FloatArray, FloatArray | None]: ...
def attention_row_weights(
    q: TensorLike,
    k: TensorLike,
    rows: TensorLike,
    mask: MaskLike | None = None,
    bias: TensorLike | None = None,
    scale: SupportsFloat | None = None,
    q_offset: SupportsIndex | None = None,
    softcap: SupportsFloat | None = None,
    score_mod: ScoreProgram | None = None,
) -> FloatArray: ...

# -- bind_module.cpp

class Module:
    def __init__(self) -> None: ...
    # Any arguments: a subclass says which.
    def forward(self, *args: Any, **kwargs: Any) -> Any: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __setattr__(self, name: str, value: Any, /) -> None: ...
    def __delattr__(self, name: str, /) -> None: ...
    def __getattr__(self, name: str, /) -> Any: ...
    @property
    def training(self) -> bool: ...
    def train(self, mode: bool = True) -> Self: ...
    def eval(self) -> Self: ...
    def parameters(self) -> list[Tensor]: ...
    def named_parameters(self) -> list[tuple[str, Tensor]]: ...
    def named_buffers(self) -> list[tuple[str, Tensor]]: ...
    def children(self) -> list[Module]: ...
    def named_children(self) -> list[tuple[str, Module]]: ...
    def modules(self) -> list[Module]: ...
    def named_modules(self) -> list[tuple[str, Module]]: ...
    def register_buffer(self, name: str, value: TensorLike) -> None: ...
    def state_dict(self) -> dict[str, FloatArray]: ...
    def load_state_dict(self, state: dict[str, Any], strict: bool = True) -> tuple[list[str], list[str]]: ...
    def to_int8(self) -> Self: ...
    def zero_grad(self) -> None: ...
    def requires_grad_(self, requires_grad: bool = True) -> Self: ...
    def num_parameters(self) -> int: ...
    def reset_parameters(self, seed: SupportsIndex | None = None) -> None: ...
    def save(self, path: PathLike) -> None: ...  # attendo._state gives it to the class

class Linear(Module):
    def __init__(
        self,
        in_features: SupportsIndex,
        out_features: SupportsIndex,
        bias: bool = True,
        *,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class Embedding(Module):
    def __init__(
        self,
        num_embeddings: SupportsIndex,
        embedding_dim: SupportsIndex,
        *,
        padding_idx: SupportsIndex | None = None,
        sparse: bool = False,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    def forward(self, ids: TensorLike) -> Tensor: ...
    __call__ = forward

class LayerNorm(Module):
    def __init__(
        self,
        normalized_shape: SupportsIndex | Sequence[SupportsIndex],
        *,
        eps: SupportsFloat = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: FloatDType = "float32",
    ) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class BatchNorm1d(Module):
    def __init__(
        self,
        num_features: SupportsIndex,
        *,
        eps: SupportsFloat = 1e-5,
        momentum: SupportsFloat = 0.1,
        dtype: FloatDType = "float32",
    ) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class BatchNorm2d(Module):
    def __init__(
        self,
        num_features: SupportsIndex,
        *,
        eps: SupportsFloat = 1e-5,
        momentum: SupportsFloat = 0.1,
        dtype: FloatDType = "float32",
    ) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class Dropout(Module):
    def __init__(self, p: SupportsFloat = 0.1) -> None: ...
    @property
    def p(self) -> float: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class Flatten(Module):
    def __init__(self) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class Activation(Module):
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

def _activation(name: str) -> Activation: ...

class Sequential(Module):
    def __init__(self, *modules: Module | Sequence[Module]) -> None: ...
    def forward(self, *inputs: Any) -> Any: ...
    __call__ = forward
    def __getitem__(self, index: SupportsIndex) -> Module: ...
    def __len__(self) -> int: ...

class ModuleList(Module):
    def __init__(self, *modules: Module | Sequence[Module]) -> None: ...
    def __getitem__(self, index: SupportsIndex) -> Module: ...
    def append(self, module: Module) -> None: ...
    def __len__(self) -> int: ...

class MultiHeadAttention(Module):
    def __init__(
        self,
        d_model: SupportsIndex,
        num_heads: SupportsIndex,
        *,
        num_kv_heads: SupportsIndex | None = None,
        head_dim: SupportsIndex | None = None,
        value_dim: SupportsIndex | None = None,
        kdim: SupportsIndex | None = None,
        vdim: SupportsIndex | None = None,
        dropout: SupportsFloat = 0.0,
        bias: bool = True,
        out_bias: bool | None = None,
        scale: SupportsFloat | None = None,
        qk_norm: bool = False,
        qk_norm_eps: SupportsFloat = 1e-6,
        rotary: bool = False,
        rotary_base: SupportsFloat = 10000.0,
        rotary_dim: SupportsIndex | None = None,
        rotary_frequencies: ArrayLike | None = None,
        rotary_interleaved: bool = False,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def num_heads(self) -> int: ...
    @property
    def num_kv_heads(self) -> int: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def value_dim(self) -> int: ...
    @property
    def d_model(self) -> int: ...
    @overload
    def forward(
        self,
        query: TensorLike,
        key: TensorLike,
        value: TensorLike,
        *,
        mask: MaskLike | None = None,
        bias: TensorLike | None = None,
        q_offset: SupportsIndex | None = None,
        return_weights: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def forward(
        self,
        query: TensorLike,
        key: TensorLike,
        value: TensorLike,
        *,
        mask: MaskLike | None = None,
        bias: TensorLike | None = None,
        q_offset: SupportsIndex | None = None,
        return_weights: Literal[True],
    ) -> tuple[Tensor, Tensor]: ...
    __call__ = forward

class PositionalEncoding(Module):
    @property
    def table(self) -> FloatArray: ...
    def forward(self, x: TensorLike, offset: SupportsIndex = 0) -> Tensor: ...
    __call__ = forward

class SinusoidalPositionalEncoding(PositionalEncoding):
    def __init__(
        self, d_model: SupportsIndex, max_len: SupportsIndex, *, dtype: FloatDType = "float32"
    ) -> None: ...

class LearnedPositionalEncoding(PositionalEncoding):
    def __init__(
        self,
        d_model: SupportsIndex,
        max_len: SupportsIndex,
        *,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...

class FeedForward(Module):
    def __init__(
        self,
        d_model: SupportsIndex,
        dff: SupportsIndex,
        *,
        dropout: SupportsFloat = 0.0,
        activation: _Activation = "relu",
        bias: bool = True,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class EncoderLayer(Module):
    def __init__(
        self,
        d_model: SupportsIndex,
        num_heads: SupportsIndex,
        dff: SupportsIndex,
        *,
        dropout: SupportsFloat = 0.0,
        activation: _Activation = "relu",
        norm_first: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: SupportsFloat = 1e-5,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        num_kv_heads: SupportsIndex | None = None,
        head_dim: SupportsIndex | None = None,
        attention_scale: SupportsFloat | None = None,
        qk_norm: bool = False,
        rotary: bool = False,
        rotary_base: SupportsFloat = 10000.0,
        rotary_dim: SupportsIndex | None = None,
        rotary_frequencies: ArrayLike | None = None,
        rotary_interleaved: bool = False,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, x: TensorLike, mask: MaskLike | None = None, *, return_weights: Literal[True] = True
    ) -> tuple[Tensor, Tensor]: ...
    @overload
    def forward(
        self, x: TensorLike, mask: MaskLike | None = None, *, return_weights: Literal[False]
    ) -> Tensor: ...
    __call__ = forward

class Encoder(Module):
    def __init__(
        self,
        num_layers: SupportsIndex,
        d_model: SupportsIndex,
        num_heads: SupportsIndex,
        dff: SupportsIndex,
        *,
        dropout: SupportsFloat = 0.0,
        activation: _Activation = "relu",
        norm_first: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: SupportsFloat = 1e-5,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        num_kv_heads: SupportsIndex | None = None,
        head_dim: SupportsIndex | None = None,
        attention_scale: SupportsFloat | None = None,
        qk_norm: bool = False,
        rotary: bool = False,
        rotary_base: SupportsFloat = 10000.0,
        rotary_dim: SupportsIndex | None = None,
        rotary_frequencies: ArrayLike | None = None,
        rotary_interleaved: bool = False,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, x: TensorLike, mask: MaskLike | None = None, *, return_weights: Literal[True] = True
    ) -> tuple[Tensor, list[Tensor]]: ...
    @overload
    def forward(
        self, x: TensorLike, mask: MaskLike | None = None, *, return_weights: Literal[False]
    ) -> Tensor: ...
    __call__ = forward
    def without_padding(self, x: TensorLike, lengths: TensorLike) -> Tensor: ...

class DecoderLayer(Module):
    def __init__(
        self,
        d_model: SupportsIndex,
        num_heads: SupportsIndex,
        dff: SupportsIndex,
        *,
        dropout: SupportsFloat = 0.0,
        activation: _Activation = "relu",
        norm_first: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: SupportsFloat = 1e-5,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        num_kv_heads: SupportsIndex | None = None,
        head_dim: SupportsIndex | None = None,
        attention_scale: SupportsFloat | None = None,
        qk_norm: bool = False,
        rotary: bool = False,
        rotary_base: SupportsFloat = 10000.0,
        rotary_dim: SupportsIndex | None = None,
        rotary_frequencies: ArrayLike | None = None,
        rotary_interleaved: bool = False,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @overload
    def forward(
        self,
        x: TensorLike,
        memory: TensorLike,
        mask: MaskLike | None = None,
        memory_mask: MaskLike | None = None,
        *,
        return_weights: Literal[True] = True,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]: ...
    @overload
    def forward(
        self,
        x: TensorLike,
        memory: TensorLike,
        mask: MaskLike | None = None,
        memory_mask: MaskLike | None = None,
        *,
        return_weights: Literal[False],
    ) -> Tensor: ...
    __call__ = forward

class Decoder(Module):
    def __init__(
        self,
        num_layers: SupportsIndex,
        d_model: SupportsIndex,
        num_heads: SupportsIndex,
        dff: SupportsIndex,
        *,
        dropout: SupportsFloat = 0.0,
        activation: _Activation = "relu",
        norm_first: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: SupportsFloat = 1e-5,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        num_kv_heads: SupportsIndex | None = None,
        head_dim: SupportsIndex | None = None,
        attention_scale: SupportsFloat | None = None,
        qk_norm: bool = False,
        rotary: bool = False,
        rotary_base: SupportsFloat = 10000.0,
        rotary_dim: SupportsIndex | None = None,
        rotary_frequencies: ArrayLike | None = None,
        rotary_interleaved: bool = False,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @overload
    def forward(
        self,
        x: TensorLike,
        memory: TensorLike,
        mask: MaskLike | None = None,
        memory_mask: MaskLike | None = None,
        *,
        return_weights: Literal[True] = True,
    ) -> tuple[Tensor, tuple[list[Tensor], list[Tensor]]]: ...
    @overload
    def forward(
        self,
        x: TensorLike,
        memory: TensorLike,
        mask: MaskLike | None = None,
        memory_mask: MaskLike | None = None,
        *,
        return_weights: Literal[False],
    ) -> Tensor: ...
    __call__ = forward

# -- bind_attention_positions.cpp

def rotary(
    x: TensorLike,
    positions: TensorLike | None = None,
    base: SupportsFloat = 10000.0,
    interleaved: bool = False,
    rotary_dim: SupportsIndex | None = None,
    cos: TensorLike | None = None,
    sin: TensorLike | None = None,
    offset: SupportsIndex = 0,
    frequencies: TensorLike | None = None,
) -> Tensor | FloatArray: ...
def inverse_frequencies(
    dim: SupportsIndex,
    base: SupportsFloat,
    kind: str,
    factor: float,
    low: float,
    high: float,
    original: float,
) -> NDArray[np.float64]: ...
def relative_bias(
    table: TensorLike,
    length: SupportsIndex,
    keys: SupportsIndex | None = None,
    q_offset: SupportsIndex | None = None,
    zero: SupportsIndex | None = None,
) -> Tensor | FloatArray: ...
def relative_shift(
    x: TensorLike,
    keys: SupportsIndex | None = None,
    q_offset: SupportsIndex | None = None,
    zero: SupportsIndex | None = None,
) -> Tensor | FloatArray: ...
def alibi(
    slopes: TensorLike,
    length: SupportsIndex,
    keys: SupportsIndex | None = None,
    q_offset: SupportsIndex | None = None,
) -> Tensor | FloatArray: ...
def alibi_slopes(num_heads: SupportsIndex, dtype: FloatDType = "float32") -> FloatArray: ...
def t5_bias(
    table: TensorLike,
    length: SupportsIndex,
    keys: SupportsIndex | None = None,
    q_offset: SupportsIndex | None = None,
    bidirectional: bool = True,
    max_distance: SupportsIndex = 128,
) -> Tensor | FloatArray: ...
def t5_buckets(
    relative_position: TensorLike,
    bidirectional: bool = True,
    num_buckets: SupportsIndex = 32,
    max_distance: SupportsIndex = 128,
) -> NDArray[np.int64]: ...
def relative_position(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    key_table: TensorLike,
    value_table: TensorLike | None = None,
    mask: MaskLike | None = None,
    bias: TensorLike | None = None,
    scale: SupportsFloat | None = None,
    dropout: SupportsFloat = 0.0,
    generator: Generator | None = None,
    q_offset: SupportsIndex | None = None,
    return_weights: bool = False,
) -> Any: ...
def transformer_xl_attention(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    r: TensorLike,
    content_bias: TensorLike,
    position_bias: TensorLike,
    mask: MaskLike | None = None,
    bias: TensorLike | None = None,
    scale: SupportsFloat | None = None,
    dropout: SupportsFloat = 0.0,
    generator: Generator | None = None,
    q_offset: SupportsIndex | None = None,
    return_weights: bool = False,
) -> Any: ...
def relative_sinusoid(
    first: SupportsIndex, count: SupportsIndex, d_model: SupportsIndex, dtype: FloatDType = "float32"
) -> FloatArray: ...
def segment_recurrence(
    x: TensorLike, memory: TensorLike | None = None, memory_length: SupportsIndex | None = None
) -> tuple[Tensor, Tensor] | tuple[FloatArray, FloatArray]: ...

class RelativeMultiHeadAttention(Module):
    def __init__(
        self,
        d_model: SupportsIndex,
        num_heads: SupportsIndex,
        *,
        dropout: SupportsFloat = 0.0,
        bias: bool = False,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def num_heads(self) -> int: ...
    @property
    def d_model(self) -> int: ...
    @overload
    def forward(
        self,
        x: TensorLike,
        memory: TensorLike | None = None,
        *,
        mask: MaskLike | None = None,
        bias: TensorLike | None = None,
        return_weights: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def forward(
        self,
        x: TensorLike,
        memory: TensorLike | None = None,
        *,
        mask: MaskLike | None = None,
        bias: TensorLike | None = None,
        return_weights: Literal[True],
    ) -> tuple[Tensor, Tensor]: ...
    __call__ = forward

# -- bind_attention_layers.cpp

class Attention(Module):
    def __init__(
        self,
        in_features: SupportsIndex,
        out_features: SupportsIndex,
        *,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, x: TensorLike, *, mask: MaskLike | None = None, return_weights: Literal[False] = False
    ) -> Tensor: ...
    @overload
    def forward(
        self, x: TensorLike, *, mask: MaskLike | None = None, return_weights: Literal[True]
    ) -> tuple[Tensor, Tensor]: ...
    __call__ = forward

class AdditiveAttention(Module):
    def __init__(
        self,
        query_dim: SupportsIndex,
        memory_dim: SupportsIndex,
        units: SupportsIndex,
        *,
        bias: bool = False,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @overload
    def forward(
        self,
        query: TensorLike,
        memory: TensorLike,
        *,
        mask: MaskLike | None = None,
        return_weights: Literal[True] = True,
    ) -> tuple[Tensor, Tensor]: ...
    @overload
    def forward(
        self,
        query: TensorLike,
        memory: TensorLike,
        *,
        mask: MaskLike | None = None,
        return_weights: Literal[False],
    ) -> Tensor: ...
    __call__ = forward

class LuongAttention(Module):
    def __init__(
        self,
        query_dim: SupportsIndex,
        memory_dim: SupportsIndex | None = None,
        *,
        out_features: SupportsIndex | None = None,
        score: Literal["dot", "general", "concat"] = "general",
        units: SupportsIndex | None = None,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @overload
    def forward(
        self,
        query: TensorLike,
        memory: TensorLike,
        *,
        mask: MaskLike | None = None,
        return_weights: Literal[True] = True,
    ) -> tuple[Tensor, Tensor]: ...
    @overload
    def forward(
        self,
        query: TensorLike,
        memory: TensorLike,
        *,
        mask: MaskLike | None = None,
        return_weights: Literal[False],
    ) -> Tensor: ...
    __call__ = forward

_Inputs: TypeAlias = TensorLike | Sequence[TensorLike]

class AttentionLayer(Module):
    def __init__(
        self,
        features: SupportsIndex,
        *,
        score_mode: Literal["dot", "concat", "pooled"] = "dot",
        use_scale: bool = True,
        dropout: SupportsFloat = 0.0,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @overload
    def forward(
        self,
        inputs: _Inputs,
        mask: MaskLike | Sequence[MaskLike | None] | None = None,
        *,
        use_causal_mask: bool = False,
        return_weights: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def forward(
        self,
        inputs: _Inputs,
        mask: MaskLike | Sequence[MaskLike | None] | None = None,
        *,
        use_causal_mask: bool = False,
        return_weights: Literal[True],
    ) -> tuple[Tensor, Tensor]: ...
    __call__ = forward

class AdditivePooling(Module):
    def __init__(
        self,
        d_model: SupportsIndex,
        units: SupportsIndex,
        *,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, x: TensorLike, *, mask: MaskLike | None = None, return_weights: Literal[False] = False
    ) -> Tensor: ...
    @overload
    def forward(
        self, x: TensorLike, *, mask: MaskLike | None = None, return_weights: Literal[True]
    ) -> tuple[Tensor, Tensor]: ...
    __call__ = forward

class AttentionPooling(Module):
    def __init__(
        self,
        d_model: SupportsIndex,
        num_heads: SupportsIndex = 1,
        num_queries: SupportsIndex | None = None,
        *,
        dropout: SupportsFloat = 0.0,
        bias: bool = True,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @overload
    def forward(
        self, x: TensorLike, *, mask: MaskLike | None = None, return_weights: Literal[False] = False
    ) -> Tensor: ...
    @overload
    def forward(
        self, x: TensorLike, *, mask: MaskLike | None = None, return_weights: Literal[True]
    ) -> tuple[Tensor, Tensor]: ...
    __call__ = forward

class CrossModalAttention(Module):
    def __init__(
        self,
        d_model: SupportsIndex,
        num_heads: SupportsIndex,
        *,
        text_dim: SupportsIndex | None = None,
        image_dim: SupportsIndex | None = None,
        dropout: SupportsFloat = 0.0,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @overload
    def forward(
        self,
        text: TensorLike,
        image: TensorLike,
        *,
        text_mask: MaskLike | None = None,
        image_mask: MaskLike | None = None,
        return_weights: Literal[True] = True,
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]: ...
    @overload
    def forward(
        self,
        text: TensorLike,
        image: TensorLike,
        *,
        text_mask: MaskLike | None = None,
        image_mask: MaskLike | None = None,
        return_weights: Literal[False],
    ) -> tuple[Tensor, Tensor]: ...
    __call__ = forward

# -- bind_norms.cpp: functions give a Tensor when an input is one, else an array

def rms_norm(
    x: TensorLike, weight: TensorLike | None = None, eps: SupportsFloat = 1e-6
) -> Tensor | FloatArray: ...
def group_norm(
    x: TensorLike,
    num_groups: SupportsIndex,
    weight: TensorLike | None = None,
    bias: TensorLike | None = None,
    eps: SupportsFloat = 1e-5,
) -> Tensor | FloatArray: ...
def glu(x: TensorLike, activation: _Gate | None = "sigmoid") -> Tensor | FloatArray: ...

class RMSNorm(Module):
    def __init__(
        self, normalized_shape: SupportsIndex, *, eps: SupportsFloat = 1e-6, dtype: FloatDType = "float32"
    ) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class GroupNorm(Module):
    def __init__(
        self,
        num_groups: SupportsIndex,
        num_channels: SupportsIndex,
        *,
        eps: SupportsFloat = 1e-5,
        affine: bool = True,
        dtype: FloatDType = "float32",
    ) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class GLU(Module):
    def __init__(self, activation: _Gate | None = "sigmoid") -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

# -- bind_convolution.cpp

def conv1d(
    x: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: SupportsIndex = 1,
    padding: SupportsIndex | Padding = 0,
    dilation: SupportsIndex = 1,
    groups: SupportsIndex = 1,
) -> Tensor | FloatArray: ...
def conv2d(
    x: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: Pair = 1,
    padding: Pair | Padding = 0,
    dilation: Pair = 1,
    groups: SupportsIndex = 1,
) -> Tensor | FloatArray: ...
def max_pool1d(
    x: TensorLike,
    kernel_size: SupportsIndex,
    stride: SupportsIndex | None = None,
    padding: SupportsIndex = 0,
    dilation: SupportsIndex = 1,
    ceil_mode: bool = False,
) -> Tensor | FloatArray: ...
def max_pool2d(
    x: TensorLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Tensor | FloatArray: ...
def avg_pool1d(
    x: TensorLike,
    kernel_size: SupportsIndex,
    stride: SupportsIndex | None = None,
    padding: SupportsIndex = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor | FloatArray: ...
def avg_pool2d(
    x: TensorLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor | FloatArray: ...
def adaptive_avg_pool1d(x: TensorLike, output_size: SupportsIndex | None) -> Tensor | FloatArray: ...
def adaptive_avg_pool2d(x: TensorLike, output_size: PoolSize) -> Tensor | FloatArray: ...
def adaptive_max_pool1d(x: TensorLike, output_size: SupportsIndex | None) -> Tensor | FloatArray: ...
def adaptive_max_pool2d(x: TensorLike, output_size: PoolSize) -> Tensor | FloatArray: ...

class Conv1d(Module):
    def __init__(
        self,
        in_channels: SupportsIndex,
        out_channels: SupportsIndex,
        kernel_size: SupportsIndex,
        stride: SupportsIndex = 1,
        padding: SupportsIndex | Padding = 0,
        dilation: SupportsIndex = 1,
        groups: SupportsIndex = 1,
        *,
        bias: bool = True,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class Conv2d(Module):
    def __init__(
        self,
        in_channels: SupportsIndex,
        out_channels: SupportsIndex,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | Padding = 0,
        dilation: Pair = 1,
        groups: SupportsIndex = 1,
        *,
        bias: bool = True,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class MaxPool1d(Module):
    def __init__(
        self,
        kernel_size: SupportsIndex,
        stride: SupportsIndex | None = None,
        padding: SupportsIndex = 0,
        dilation: SupportsIndex = 1,
        *,
        ceil_mode: bool = False,
    ) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class MaxPool2d(Module):
    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        dilation: Pair = 1,
        *,
        ceil_mode: bool = False,
    ) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class AvgPool1d(Module):
    def __init__(
        self,
        kernel_size: SupportsIndex,
        stride: SupportsIndex | None = None,
        padding: SupportsIndex = 0,
        *,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class AvgPool2d(Module):
    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        *,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class AdaptiveAvgPool1d(Module):
    def __init__(self, output_size: SupportsIndex | None) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class AdaptiveAvgPool2d(Module):
    def __init__(self, output_size: PoolSize) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class AdaptiveMaxPool1d(Module):
    def __init__(self, output_size: SupportsIndex | None) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

class AdaptiveMaxPool2d(Module):
    def __init__(self, output_size: PoolSize) -> None: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    __call__ = forward

# -- bind_recurrent.cpp: Tensors when an input is one, else arrays

def lstm(
    x: TensorLike,
    weight_ih: TensorLike,
    weight_hh: TensorLike,
    bias_ih: TensorLike | None = None,
    bias_hh: TensorLike | None = None,
    h_0: TensorLike | None = None,
    c_0: TensorLike | None = None,
    lengths: TensorLike | None = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor, Tensor] | tuple[FloatArray, FloatArray, FloatArray]: ...
def gru(
    x: TensorLike,
    weight_ih: TensorLike,
    weight_hh: TensorLike,
    bias_ih: TensorLike | None = None,
    bias_hh: TensorLike | None = None,
    h_0: TensorLike | None = None,
    lengths: TensorLike | None = None,
    reverse: bool = False,
    reset_after: bool = True,
) -> tuple[Tensor, Tensor] | tuple[FloatArray, FloatArray]: ...

class LSTM(Module):
    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex,
        num_layers: SupportsIndex = 1,
        bias: bool = True,
        *,
        dropout: SupportsFloat = 0.0,
        bidirectional: bool = False,
        return_sequences: bool = True,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    def forward(
        self,
        x: TensorLike,
        state: tuple[TensorLike, TensorLike] | None = None,
        *,
        lengths: TensorLike | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]: ...
    __call__ = forward

class GRU(Module):
    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex,
        num_layers: SupportsIndex = 1,
        bias: bool = True,
        *,
        dropout: SupportsFloat = 0.0,
        bidirectional: bool = False,
        return_sequences: bool = True,
        reset_after: bool = True,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    def forward(
        self, x: TensorLike, state: TensorLike | None = None, *, lengths: TensorLike | None = None
    ) -> tuple[Tensor, Tensor]: ...
    __call__ = forward

# -- bind_models.cpp

class Transformer(Module):
    def __init__(
        self,
        d_model: SupportsIndex,
        nhead: SupportsIndex,
        num_encoder_layers: SupportsIndex,
        num_decoder_layers: SupportsIndex,
        dff: SupportsIndex,
        input_vocab_size: SupportsIndex,
        target_vocab_size: SupportsIndex,
        max_len: SupportsIndex,
        *,
        dropout: SupportsFloat = 0.1,
        activation: _Activation = "relu",
        norm_first: bool = False,
        pad_id: SupportsIndex = 0,
        decoder_nhead: SupportsIndex | None = None,
        decoder_dff: SupportsIndex | None = None,
        positions: Literal["sinusoidal", "sinusoidal_halves", "learned", "t5", "none"] = "sinusoidal",
        num_buckets: SupportsIndex = 32,
        max_distance: SupportsIndex = 128,
        scale_embeddings: bool = True,
        shared_embeddings: bool = False,
        embed_padding: bool = False,
        tie_weights: bool = False,
        head_bias: bool | None = None,
        scale_logits: bool = False,
        num_kv_heads: SupportsIndex | None = None,
        head_dim: SupportsIndex | None = None,
        attention_scale: SupportsFloat | None = None,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        qk_norm: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: SupportsFloat = 1e-5,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...
    def forward(self, src: TensorLike, tgt: TensorLike, *, src_mask: TensorLike | None = None) -> Tensor: ...
    __call__ = forward
    def outputs(
        self,
        src: TensorLike,
        tgt: TensorLike,
        *,
        src_mask: TensorLike | None = None,
        hidden_states: bool = False,
        attentions: bool = False,
    ) -> EncoderDecoderOutput: ...
    def encode(self, src: TensorLike, *, src_mask: TensorLike | None = None) -> Tensor: ...
    def cross_attention(
        self, src: TensorLike, tgt: TensorLike, *, src_mask: TensorLike | None = None
    ) -> FloatArray: ...
    def generate(
        self,
        src: TensorLike,
        *,
        max_new_tokens: SupportsIndex,
        bos_id: SupportsIndex | None = None,
        src_mask: TensorLike | None = None,
        **options: Any,
    ) -> Any: ...
    def translate(
        self,
        src: TensorLike,
        *,
        bos_id: SupportsIndex | None = None,
        max_len: SupportsIndex | None = None,
        src_mask: TensorLike | None = None,
        **options: Any,
    ) -> Any: ...
    def stream(
        self,
        src: TensorLike,
        *,
        bos_id: SupportsIndex | None = None,
        max_len: SupportsIndex | None = None,
        src_mask: TensorLike | None = None,
        **options: Any,
    ) -> TokenStream: ...

class DecoderLM(Module):
    def __init__(
        self,
        vocab_size: SupportsIndex,
        d_model: SupportsIndex,
        num_heads: SupportsIndex,
        num_layers: SupportsIndex,
        max_len: SupportsIndex,
        *,
        dff: SupportsIndex | None = None,
        dropout: SupportsFloat = 0.0,
        activation: _Activation = "relu",
        norm_first: bool = False,
        positions: Literal["sinusoidal", "learned", "rotary", "none"] = "sinusoidal",
        tie_weights: bool = False,
        num_kv_heads: SupportsIndex | None = None,
        head_dim: SupportsIndex | None = None,
        attention_scale: SupportsFloat | None = None,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        qk_norm: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: SupportsFloat = 1e-5,
        rotary_base: SupportsFloat = 10000.0,
        rotary_dim: SupportsIndex | None = None,
        rotary_frequencies: ArrayLike | None = None,
        rotary_interleaved: bool = False,
        head_bias: bool = True,
        scale_embeddings: bool = True,
        window: SupportsIndex | Sequence[SupportsIndex | None] | None = None,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...
    def forward(self, ids: TensorLike) -> Tensor: ...
    __call__ = forward
    def outputs(
        self, ids: TensorLike, *, hidden_states: bool = False, attentions: bool = False
    ) -> ModelOutput: ...
    def generate(self, ids: ArrayLike, *, lengths: ArrayLike | None = None, **options: Any) -> Any: ...
    def stream(self, ids: ArrayLike, *, lengths: ArrayLike | None = None, **options: Any) -> TokenStream: ...

class TokenStream:
    def __iter__(self) -> TokenStream: ...
    def __next__(self) -> NDArray[np.int64]: ...
    @property
    def sequences(self) -> NDArray[np.int64]: ...

def generate(
    step: Callable[..., TensorLike], ids: ArrayLike, lengths: ArrayLike | None, **options: Any
) -> Any: ...
def stream(
    step: Callable[..., TensorLike], ids: ArrayLike, lengths: ArrayLike | None, **options: Any
) -> TokenStream: ...
def process_logits(
    logits: TensorLike, ids: ArrayLike, prompt_length: SupportsIndex | None, **options: Any
) -> NDArray[np.float64]: ...

class LstmAttention(Module):
    def __init__(
        self,
        vocab_size: SupportsIndex,
        num_classes: SupportsIndex,
        embedding_dim: SupportsIndex = 64,
        hidden_size: SupportsIndex = 64,
        num_layers: SupportsIndex = 1,
        *,
        attention_features: SupportsIndex = 64,
        bidirectional: bool = False,
        dropout: SupportsFloat = 0.0,
        pad_id: SupportsIndex = 0,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...
    @overload
    def forward(
        self, ids: TensorLike, lengths: TensorLike | None = None, *, return_weights: Literal[False] = False
    ) -> Tensor: ...
    @overload
    def forward(
        self, ids: TensorLike, lengths: TensorLike | None = None, *, return_weights: Literal[True]
    ) -> tuple[Tensor, Tensor]: ...
    __call__ = forward

class Seq2Seq(Module):
    def __init__(
        self,
        input_vocab_size: SupportsIndex,
        target_vocab_size: SupportsIndex,
        embedding_dim: SupportsIndex,
        hidden_size: SupportsIndex,
        num_layers: SupportsIndex = 1,
        *,
        cell: Literal["lstm", "gru"] = "lstm",
        attention: Literal["bahdanau", "luong"] = "bahdanau",
        score: Literal["dot", "general", "concat", "additive"] | None = None,
        input_feeding: bool = False,
        bidirectional: bool = False,
        dropout: SupportsFloat = 0.0,
        pad_id: SupportsIndex = 0,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...
    def forward(self, src: TensorLike, tgt: TensorLike) -> Tensor: ...
    __call__ = forward
    def cross_attention(self, src: TensorLike, tgt: TensorLike) -> FloatArray: ...
    def translate(
        self, src: TensorLike, *, bos_id: SupportsIndex, max_len: SupportsIndex = 100, **options: Any
    ) -> Any: ...
    def stream(
        self, src: TensorLike, *, bos_id: SupportsIndex, max_len: SupportsIndex = 100, **options: Any
    ) -> TokenStream: ...

class SequenceRecommender(Module):
    def __init__(
        self,
        num_items: SupportsIndex,
        d_model: SupportsIndex,
        num_heads: SupportsIndex,
        num_layers: SupportsIndex,
        max_len: SupportsIndex,
        *,
        dff: SupportsIndex | None = None,
        dropout: SupportsFloat = 0.2,
        activation: _Activation = "relu",
        norm_first: bool = True,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...
    def forward(self, items: TensorLike, candidates: TensorLike | None = None) -> Tensor: ...
    __call__ = forward
    def recommend(
        self, items: TensorLike, k: SupportsIndex = 10, *, exclude_seen: bool = True
    ) -> tuple[NDArray[np.int64], FloatArray]: ...

class TransformerXL(Module):
    def __init__(
        self,
        vocab_size: SupportsIndex,
        d_model: SupportsIndex,
        num_heads: SupportsIndex,
        num_layers: SupportsIndex,
        memory_length: SupportsIndex,
        *,
        dff: SupportsIndex | None = None,
        dropout: SupportsFloat = 0.0,
        activation: _Activation = "relu",
        norm_first: bool = False,
        tie_weights: bool = False,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...
    def forward(self, ids: TensorLike) -> Tensor: ...
    __call__ = forward
    def segment(
        self, ids: TensorLike, memory: Sequence[TensorLike] | None = None, *, return_weights: bool = False
    ) -> Any: ...
    def generate(self, ids: TensorLike, lengths: ArrayLike | None = None, **options: Any) -> Any: ...

class CrossModalClassifier(Module):
    def __init__(
        self,
        vocab_size: SupportsIndex,
        num_classes: SupportsIndex,
        image_size: Pair,
        patch_size: Pair,
        d_model: SupportsIndex,
        num_heads: SupportsIndex,
        max_len: SupportsIndex,
        *,
        num_layers: SupportsIndex = 1,
        in_channels: SupportsIndex = 3,
        dff: SupportsIndex | None = None,
        pad_id: SupportsIndex = 0,
        dropout: SupportsFloat = 0.0,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...
    def forward(self, ids: TensorLike, images: TensorLike, *, return_weights: bool = False) -> Any: ...
    __call__ = forward

class TextEncoder(Module):
    def __init__(
        self,
        vocab_size: SupportsIndex,
        d_model: SupportsIndex,
        num_heads: SupportsIndex,
        num_layers: SupportsIndex,
        max_len: SupportsIndex,
        *,
        dff: SupportsIndex | None = None,
        dropout: SupportsFloat = 0.0,
        activation: _Activation = "gelu",
        norm_first: bool = False,
        type_vocab_size: SupportsIndex = 0,
        positions: Literal["learned", "sinusoidal", "none"] = "learned",
        pad_id: SupportsIndex | None = None,
        pooler: Literal["tanh", "relu"] | None = None,
        num_kv_heads: SupportsIndex | None = None,
        head_dim: SupportsIndex | None = None,
        attention_scale: SupportsFloat | None = None,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        qk_norm: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: SupportsFloat = 1e-12,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...
    def forward(
        self, ids: TensorLike, mask: MaskLike | None = None, token_types: TensorLike | None = None
    ) -> Tensor: ...
    __call__ = forward
    def outputs(
        self,
        ids: TensorLike,
        mask: MaskLike | None = None,
        token_types: TensorLike | None = None,
        *,
        hidden_states: bool = False,
        attentions: bool = False,
    ) -> EncoderOutput: ...
    def _states(self, ids: TensorLike, mask: MaskLike | None, pooled: bool) -> FloatArray: ...

class MaskedLM(Module):
    def __init__(
        self,
        vocab_size: SupportsIndex,
        d_model: SupportsIndex,
        num_heads: SupportsIndex,
        num_layers: SupportsIndex,
        max_len: SupportsIndex,
        *,
        dff: SupportsIndex | None = None,
        dropout: SupportsFloat = 0.0,
        activation: _Activation = "gelu",
        norm_first: bool = False,
        type_vocab_size: SupportsIndex = 0,
        positions: Literal["learned", "sinusoidal", "none"] = "learned",
        pad_id: SupportsIndex | None = None,
        pooler: Literal["tanh", "relu"] | None = None,
        head_activation: Literal["gelu", "gelu_tanh", "relu", "silu"] = "gelu",
        num_kv_heads: SupportsIndex | None = None,
        head_dim: SupportsIndex | None = None,
        attention_scale: SupportsFloat | None = None,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        qk_norm: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: SupportsFloat = 1e-12,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...
    def forward(
        self, ids: TensorLike, mask: MaskLike | None = None, token_types: TensorLike | None = None
    ) -> Tensor: ...
    __call__ = forward
    def outputs(
        self,
        ids: TensorLike,
        mask: MaskLike | None = None,
        token_types: TensorLike | None = None,
        *,
        hidden_states: bool = False,
        attentions: bool = False,
    ) -> ModelOutput: ...

class EncoderClassifier(Module):
    def __init__(
        self,
        vocab_size: SupportsIndex,
        d_model: SupportsIndex,
        num_heads: SupportsIndex,
        num_layers: SupportsIndex,
        max_len: SupportsIndex,
        num_classes: SupportsIndex,
        *,
        dff: SupportsIndex | None = None,
        dropout: SupportsFloat = 0.0,
        activation: _Activation = "gelu",
        norm_first: bool = False,
        type_vocab_size: SupportsIndex = 0,
        positions: Literal["learned", "sinusoidal", "none"] = "learned",
        pad_id: SupportsIndex | None = None,
        pooler: Literal["tanh", "relu"] | None = None,
        pooling: Literal["first", "mean", "attention"] = "first",
        head_dropout: SupportsFloat | None = None,
        num_kv_heads: SupportsIndex | None = None,
        head_dim: SupportsIndex | None = None,
        attention_scale: SupportsFloat | None = None,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        qk_norm: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: SupportsFloat = 1e-12,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...
    def forward(
        self, ids: TensorLike, mask: MaskLike | None = None, token_types: TensorLike | None = None
    ) -> Tensor: ...
    __call__ = forward
    def outputs(
        self,
        ids: TensorLike,
        mask: MaskLike | None = None,
        token_types: TensorLike | None = None,
        *,
        hidden_states: bool = False,
        attentions: bool = False,
    ) -> ModelOutput: ...

class VisionTransformer(Module):
    def __init__(
        self,
        image_size: Pair,
        patch_size: Pair,
        d_model: SupportsIndex,
        num_heads: SupportsIndex,
        num_layers: SupportsIndex,
        *,
        num_classes: SupportsIndex | None = None,
        in_channels: SupportsIndex = 3,
        pooling: Literal["first", "mean"] = "first",
        pooler: Literal["tanh"] | None = None,
        dff: SupportsIndex | None = None,
        dropout: SupportsFloat = 0.0,
        activation: _Activation = "gelu",
        norm_first: bool = True,
        num_kv_heads: SupportsIndex | None = None,
        head_dim: SupportsIndex | None = None,
        attention_scale: SupportsFloat | None = None,
        bias: bool = True,
        qkv_bias: bool | None = None,
        out_bias: bool | None = None,
        qk_norm: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: SupportsFloat = 1e-12,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...
    def forward(self, images: TensorLike) -> Tensor: ...
    __call__ = forward
    def outputs(
        self, images: TensorLike, *, hidden_states: bool = False, attentions: bool = False
    ) -> EncoderOutput: ...

class CnnAttention(Module):
    def __init__(
        self,
        in_channels: SupportsIndex,
        num_classes: SupportsIndex,
        image_size: Pair,
        *,
        channels: Pair = (64, 128),
        features: SupportsIndex = 512,
        attention_features: SupportsIndex = 256,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...
    @overload
    def forward(self, images: TensorLike, *, return_weights: Literal[False] = False) -> Tensor: ...
    @overload
    def forward(self, images: TensorLike, *, return_weights: Literal[True]) -> tuple[Tensor, Tensor]: ...
    __call__ = forward

class Word2Vec(Module):
    def __init__(
        self,
        vocab_size: SupportsIndex,
        embedding_dim: SupportsIndex = 64,
        mode: str = "skip_gram",
        *,
        num_negatives: SupportsIndex = 5,
        counts: ArrayLike | None = None,
        sparse: bool = True,
        dtype: FloatDType = "float32",
        seed: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...
    def forward(
        self, words: TensorLike, targets: TensorLike, negatives: TensorLike | None = None
    ) -> Tensor: ...
    def draw_negatives(self, pairs: SupportsIndex) -> NDArray[np.int64]: ...
    def most_similar(
        self, word_id: SupportsIndex, k: SupportsIndex = 10
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]: ...
    __call__ = forward

# -- bind_loss.cpp, bind_losses.cpp
# -- bind_peft.cpp

class LoRA(Module):
    @property
    def matrix(self) -> str: ...
    @property
    def rank(self) -> int: ...
    @property
    def alpha(self) -> float: ...
    @property
    def dropout(self) -> float: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    def __call__(self, x: TensorLike) -> Tensor: ...

class KVPrefix(Module):
    @property
    def length(self) -> int: ...

class Adapter(Module):
    @property
    def bottleneck(self) -> int: ...
    @property
    def activation(self) -> str: ...
    def forward(self, x: TensorLike) -> Tensor: ...
    def __call__(self, x: TensorLike) -> Tensor: ...

def lora(
    x: TensorLike,
    weight: TensorLike,
    a: TensorLike,
    b: TensorLike,
    bias: TensorLike | None = None,
    scale: SupportsFloat = 1.0,
) -> Tensor | FloatArray: ...
def _low_rank_places(model: Module) -> list[tuple[str, str, tuple[int, int]]]: ...
def _attach_lora(
    owner: Module,
    matrix: str,
    rank: SupportsIndex,
    alpha: SupportsFloat,
    dropout: SupportsFloat,
    seed: SupportsIndex | None = None,
    place: int = 0,
) -> LoRA: ...
def _detach_lora(owner: Module, matrix: str, merge: bool) -> None: ...
def _attach_prefix(
    owner: MultiHeadAttention, length: SupportsIndex, seed: SupportsIndex | None = None, place: int = 0
) -> KVPrefix: ...
def _attach_adapter(
    owner: Module,
    bottleneck: SupportsIndex,
    activation: str,
    seed: SupportsIndex | None = None,
    place: int = 0,
) -> Adapter: ...
def _detach(owner: Module, name: str) -> None: ...

# -- bind_train.cpp

class Loss:
    def __init__(self) -> None: ...
    def __call__(
        self,
        prediction: TensorLike | tuple[TensorLike, ...],
        target: TensorLike | tuple[TensorLike, ...] | None,
        sample_weight: TensorLike | None = None,
    ) -> Tensor: ...
    def counts(
        self, target: TensorLike | tuple[TensorLike, ...], sample_weight: TensorLike | None = None
    ) -> list[float]: ...
    def part(
        self,
        prediction: TensorLike | tuple[TensorLike, ...],
        target: TensorLike | tuple[TensorLike, ...] | None,
        totals: Sequence[float],
        sample_weight: TensorLike | None = None,
    ) -> Tensor: ...
    def parameters(self) -> dict[str, Tensor]: ...

class CrossEntropy(Loss):
    def __init__(
        self,
        ignore_index: SupportsIndex | None = None,
        label_smoothing: SupportsFloat = 0.0,
        *,
        weight: TensorLike | None = None,
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...

class BinaryCrossEntropy(Loss):
    def __init__(self, *, pos_weight: TensorLike | None = None) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...

class KLDivergence(Loss):
    def __init__(self) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...

class Distillation(Loss):
    def __init__(
        self,
        temperature: SupportsFloat = 2.0,
        alpha: SupportsFloat = 0.5,
        *,
        ignore_index: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...

class MeanSquaredError(Loss):
    def __init__(self) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...

class MeanAbsoluteError(Loss):
    def __init__(self) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...

class Huber(Loss):
    def __init__(self, delta: SupportsFloat = 1.0) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...

class Mean(Loss):
    def __init__(self) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...

class InfoNCE(Loss):
    def __init__(
        self, temperature: SupportsFloat = 0.1, *, symmetric: bool = True, normalize: bool = True
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...

class NTXent(Loss):
    def __init__(self, temperature: SupportsFloat = 0.5) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...

class Triplet(Loss):
    def __init__(
        self, margin: SupportsFloat = 1.0, p: SupportsFloat = 2.0, *, swap: bool = False
    ) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...

class MultiTask(Loss):
    def __init__(
        self,
        losses: Mapping[str, Loss] | Sequence[Loss],
        weights: Sequence[SupportsFloat] | Literal["uncertainty"] | None = None,
    ) -> None: ...
    @property
    def log_variance(self) -> Tensor | None: ...
    @property
    def config(self) -> dict[str, Any]: ...

# -- bind_train.cpp

class Schedule:
    def __call__(self, step: SupportsIndex) -> float: ...
    @property
    def config(self) -> dict[str, Any]: ...

def schedule_constant(lr: SupportsFloat) -> Schedule: ...
def schedule_step(lr: SupportsFloat, step_size: SupportsIndex, gamma: SupportsFloat) -> Schedule: ...
def schedule_exponential(lr: SupportsFloat, gamma: SupportsFloat) -> Schedule: ...
def schedule_linear(
    lr: SupportsFloat, total_steps: SupportsIndex, warmup: SupportsIndex, final: SupportsFloat
) -> Schedule: ...
def schedule_cosine(
    lr: SupportsFloat, total_steps: SupportsIndex, warmup: SupportsIndex, final: SupportsFloat
) -> Schedule: ...
def schedule_cosine_restarts(
    lr: SupportsFloat, period: SupportsIndex, mult: SupportsIndex, final: SupportsFloat, warmup: SupportsIndex
) -> Schedule: ...
def schedule_noam(d_model: SupportsIndex, warmup: SupportsIndex, factor: SupportsFloat) -> Schedule: ...
def schedule_one_cycle(
    max_lr: SupportsFloat,
    total_steps: SupportsIndex,
    pct_start: SupportsFloat,
    div_factor: SupportsFloat,
    final_div_factor: SupportsFloat,
    anneal: str,
) -> Schedule: ...
def schedule_plateau(
    lr: SupportsFloat,
    factor: SupportsFloat,
    patience: SupportsIndex,
    threshold: SupportsFloat,
    min_lr: SupportsFloat,
    cooldown: SupportsIndex,
    mode: str,
    threshold_mode: str,
) -> Schedule: ...

class Optimizer:
    def attach(self, target: Module | Iterable[Tensor | tuple[str, Tensor]]) -> None: ...
    def step(
        self, clip_norm: SupportsFloat | None = None, clip_value: SupportsFloat | None = None
    ) -> None: ...
    def zero_grad(self) -> None: ...
    def grad_norm(self) -> float: ...
    def observe(self, value: SupportsFloat) -> None: ...
    @property
    def lr(self) -> float: ...
    @property
    def lrs(self) -> list[float]: ...
    @property
    def schedule(self) -> Schedule: ...
    @schedule.setter
    def schedule(self, schedule: SupportsFloat | Schedule) -> None: ...
    @property
    def steps(self) -> int: ...
    @property
    def state(self) -> dict[str, NDArray[Any]]: ...
    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None: ...
    @property
    def config(self) -> dict[str, Any]: ...

class SGD(Optimizer):
    def __init__(
        self,
        lr: SupportsFloat | Schedule,
        *,
        momentum: SupportsFloat = 0.0,
        dampening: SupportsFloat = 0.0,
        weight_decay: SupportsFloat = 0.0,
        nesterov: bool = False,
        groups: Sequence[dict[str, Any]] | None = None,
    ) -> None: ...

class Adam(Optimizer):
    def __init__(
        self,
        lr: SupportsFloat | Schedule = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: SupportsFloat = 1e-8,
        weight_decay: SupportsFloat = 0.0,
        amsgrad: bool = False,
        groups: Sequence[dict[str, Any]] | None = None,
    ) -> None: ...

class AdamW(Optimizer):
    def __init__(
        self,
        lr: SupportsFloat | Schedule = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: SupportsFloat = 1e-8,
        weight_decay: SupportsFloat = 0.01,
        amsgrad: bool = False,
        groups: Sequence[dict[str, Any]] | None = None,
    ) -> None: ...

class Adagrad(Optimizer):
    def __init__(
        self,
        lr: SupportsFloat | Schedule = 0.01,
        *,
        lr_decay: SupportsFloat = 0.0,
        weight_decay: SupportsFloat = 0.0,
        initial_accumulator_value: SupportsFloat = 0.0,
        eps: SupportsFloat = 1e-10,
        groups: Sequence[dict[str, Any]] | None = None,
    ) -> None: ...

class RMSprop(Optimizer):
    def __init__(
        self,
        lr: SupportsFloat | Schedule = 0.01,
        *,
        alpha: SupportsFloat = 0.99,
        eps: SupportsFloat = 1e-8,
        weight_decay: SupportsFloat = 0.0,
        momentum: SupportsFloat = 0.0,
        centered: bool = False,
        groups: Sequence[dict[str, Any]] | None = None,
    ) -> None: ...

class Lion(Optimizer):
    def __init__(
        self,
        lr: SupportsFloat | Schedule = 0.0001,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: SupportsFloat = 0.0,
        groups: Sequence[dict[str, Any]] | None = None,
    ) -> None: ...

class LAMB(Optimizer):
    def __init__(
        self,
        lr: SupportsFloat | Schedule = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: SupportsFloat = 1e-6,
        weight_decay: SupportsFloat = 0.01,
        groups: Sequence[dict[str, Any]] | None = None,
    ) -> None: ...

class WeightAverage:
    def __init__(
        self, optimizer: Optimizer, decay: SupportsFloat | None = 0.999, *, warmup: bool = False
    ) -> None: ...
    def update(self) -> None: ...
    def swap(self) -> None: ...
    def applied(self) -> AbstractContextManager[WeightAverage]: ...
    @property
    def swapped(self) -> bool: ...
    @property
    def updates(self) -> int: ...
    @property
    def state(self) -> dict[str, NDArray[Any]]: ...
    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None: ...

class Samples:
    def __init__(self, values: ArrayLike, starts: NDArray[np.int64], padding: SupportsFloat) -> None: ...

class Batch:
    @property
    def inputs(self) -> tuple[Tensor, ...]: ...
    @property
    def targets(self) -> tuple[Tensor, ...]: ...
    @property
    def sample_weight(self) -> Tensor | None: ...
    @property
    def totals(self) -> list[float]: ...
    @property
    def seed(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def step(self) -> int: ...
    @property
    def repeat(self) -> int: ...

class Snapshot:
    def __init__(self) -> None: ...
    def take(
        self, trainer: Trainer, model_only: bool = False
    ) -> list[tuple[str, str, tuple[int, ...], int, int]]: ...
    @property
    def data(self) -> memoryview: ...

class Reducer:
    def __init__(self, transport: object, bucket_bytes: SupportsIndex) -> None: ...
    def attach(self, optimizer: Optimizer, parameters: Iterable[Tensor]) -> None: ...
    def backward(self, loss: Tensor) -> None: ...
    def finish(self) -> None: ...
    def share(self, begin: int, end: int) -> tuple[int, int]: ...
    def own_seed(self, seed: int) -> int: ...
    def sum(self, values: Sequence[float]) -> list[float]: ...
    def broadcast(self, tensors: Iterable[Tensor]) -> None: ...
    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def buckets(self) -> int: ...
    @property
    def sent_early(self) -> int: ...
    @property
    def seconds_waited(self) -> float: ...

class Trainer:
    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        seed: SupportsIndex | None,
        clip_norm: SupportsFloat | None,
        clip_value: SupportsFloat | None,
        accumulate: SupportsIndex,
        average: SupportsFloat | None,
    ) -> None: ...
    def fit(
        self,
        inputs: Any,
        target: Any,
        sample_weight: TensorLike | None,
        epochs: SupportsIndex,
        plan: dict[str, Any],
        objective: tuple[int, Callable[[Batch], Tensor], Callable[[Batch], None] | None] | None,
        augment: Callable[[Any, Any, int], tuple[Any, Any]] | None,
        listeners: dict[str, Callable[[Any], object] | None],
    ) -> dict[str, Any]: ...
    def begin(self) -> None: ...
    @property
    def settled(self) -> bool: ...
    def stop(self) -> None: ...
    @property
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...
    def batch_loss(self, batch: Batch, inputs: Any, outputs: Any) -> Tensor: ...
    def distribute(self, reducer: Reducer) -> None: ...
    def synchronize(self) -> None: ...
    def evaluate(
        self,
        inputs: Any,
        target: Any,
        sample_weight: TensorLike | None,
        batch_size: SupportsIndex,
        keep_outputs: bool,
    ) -> tuple[dict[str, float], tuple[NDArray[Any], ...]]: ...
    def predict(
        self, inputs: Any, batch_size: SupportsIndex, all_outputs: bool
    ) -> tuple[NDArray[Any], ...]: ...
    @property
    def seed(self) -> int: ...
    @property
    def average(self) -> WeightAverage | None: ...
    @property
    def model(self) -> Module: ...
    @property
    def loss(self) -> Loss: ...
    @property
    def optimizer(self) -> Optimizer: ...

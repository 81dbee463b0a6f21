"""Rotary position embedding."""
# mypy: disable-error-code="overload-overlap"
# A Tensor is array_like as well: the first overload that fits says what comes back.

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, overload

from .. import _core

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from .._core import Tensor
    from .._typing import FloatArray, TensorLike


@overload
def rotary(
    x: "Tensor",
    positions: "ArrayLike | None" = None,
    *,
    base: float = 10000.0,
    interleaved: bool = False,
    rotary_dim: int | None = None,
    cos: "TensorLike | None" = None,
    sin: "TensorLike | None" = None,
    offset: int = 0,
    frequencies: "TensorLike | None" = None,
) -> "Tensor": ...
@overload
def rotary(
    x: "ArrayLike",
    positions: "ArrayLike | None" = None,
    *,
    base: float = 10000.0,
    interleaved: bool = False,
    rotary_dim: int | None = None,
    cos: "ArrayLike | None" = None,
    sin: "ArrayLike | None" = None,
    offset: int = 0,
    frequencies: "ArrayLike | None" = None,
) -> "FloatArray": ...
def rotary(
    x: "TensorLike",
    positions: "TensorLike | None" = None,
    *,
    base: float = 10000.0,
    interleaved: bool = False,
    rotary_dim: int | None = None,
    cos: "TensorLike | None" = None,
    sin: "TensorLike | None" = None,
    offset: int = 0,
    frequencies: "TensorLike | None" = None,
) -> "Tensor | FloatArray":
    r"""Turn each pair of features by an angle that grows with the position.

    Applied to queries and keys: their products then depend on how far apart they stand, not on where.

    Parameters
    ----------
    x : array_like or Tensor, shape (..., H, L, D)
        Queries or keys, float32 or float64; ``(L, D)`` and ``(H, L, D)`` work as well.
    positions : array_like of int, shape (L,) or (..., L), optional
        Where each row stands; for the second shape, ``...`` are the axes of x before H. When not given:
        offset, offset + 1, ...
    base : float
        Of the frequencies, above 0.
    interleaved : bool
        Pair neighbours (2k, 2k + 1); otherwise the two halves (k, k + rotary_dim / 2). The weights of a model
        are made for one of them: Llama's in the Hugging Face form for halves, GPT-J's for neighbours.
    rotary_dim : int, optional
        How many features are turned, the first ones; even. The rest stay as they are. D when not given (or
        what the caches or frequencies are for).
    cos, sin : array_like, shape (P, rotary_dim / 2) or (..., L, rotary_dim / 2), optional
        Precomputed: read at the positions, or one row for each position of x. They get no gradient.
    offset : int
        Position of the first row, as when decoding goes on from a key-value cache.
    frequencies : array_like, shape (rotary_dim / 2,), optional
        In place of ``base``, see :func:`inverse_frequencies`.

    Returns
    -------
    ndarray or Tensor, shape of x

    Raises
    ------
    ValueError
        When the features to turn are no pairs or more than D; when positions, cos, sin or frequencies do not
        fit; when a position is outside the caches; when one of two ways to say the same is not left out; when
        cos, sin or frequencies require a gradient.
    TypeError
        When x is neither float32 nor float64, cos or sin has another dtype than x, or positions are not
        integers.

    Notes
    -----
    With :math:`\varphi = \text{position} \cdot f_k` and :math:`f_k = \text{base}^{-2k/r}`, r = rotary_dim,
    pair :math:`k = (a, b)` becomes

    .. math::

        y_a = x_a \cos\varphi - x_b \sin\varphi, \quad y_b = x_b \cos\varphi + x_a \sin\varphi, \qquad
        dx_a = dy_a \cos\varphi + dy_b \sin\varphi, \quad dx_b = dy_b \cos\varphi - dy_a \sin\varphi

    The backward pass is the turn by :math:`-\varphi`. Angles are computed in float64 and only their cosines
    are rounded: in float32 position 1,000,000 is as exact as position 1. Cost: 4 multiply-adds a pair, and a
    sine and a cosine for each position and pair, not for each head; with caches not those either.

    As ONNX ``RotaryEmbedding``, version 23, defines it, and as Hugging Face's Llama computes it (there the
    caches hold each column twice; give the first half of them). PyTorch has none in its library.

    References
    ----------
    Su et al. 2021, "RoFormer", eq. 34.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.functional.rotary([[1.0, 0.0]] * 3, frequencies=[np.pi / 2]).round(3) + 0.0
    array([[ 1.,  0.],
           [ 0.,  1.],
           [-1.,  0.]])

    Source: cpp/attention/rotary.cpp
    """
    return _core.rotary(x, positions, base, interleaved, rotary_dim, cos, sin, offset, frequencies)


# What a scaling may say, each with its default; None: it must be given. The order is that of _core.
_SCALINGS: dict[str, dict[str, float | None]] = {
    "default": {},
    "linear": {"factor": None},
    "ntk": {"factor": None},
    "llama3": {
        "factor": None,
        "low_freq_factor": None,
        "high_freq_factor": None,
        "original_max_position_embeddings": None,
    },
    "yarn": {"factor": None, "beta_slow": 1.0, "beta_fast": 32.0, "original_max_position_embeddings": None},
}


def inverse_frequencies(
    dim: int, base: float = 10000.0, *, scaling: Mapping[str, Any] | None = None
) -> "NDArray[np.float64]":
    r"""Frequencies for :func:`rotary`, also for contexts longer than those a model was trained on.

    Parameters
    ----------
    dim : int
        Features that are turned, rotary_dim; even.
    base : float
        Above 0; ``rope_theta`` in a model's config.json.
    scaling : mapping, optional
        As ``rope_scaling`` in a model's config.json: ``rope_type`` (or ``type``) and its numbers.

        - ``"default"``: as without scaling.
        - ``"linear"``: factor.
        - ``"ntk"``: factor.
        - ``"llama3"``: factor, low_freq_factor, high_freq_factor, original_max_position_embeddings.
        - ``"yarn"``: factor, original_max_position_embeddings, and optionally beta_slow (1), beta_fast (32).

    Returns
    -------
    ndarray of float64, shape (dim / 2,)

    Raises
    ------
    ValueError
        When dim is odd or negative, base not positive, factor below 1; when scaling is of no known kind,
        lacks a number or has one it does not know.
    TypeError
        When scaling is not a mapping or holds something else than numbers.

    Notes
    -----
    For a context s = factor times as long, of frequencies :math:`f_k = \text{base}^{-2k/\text{dim}}`:

    - linear: :math:`f_k / s`; all angles stay within those of the training.
    - ntk: :math:`\text{base}\, s^{\text{dim}/(\text{dim} - 2)}` in place of base; the fastest keeps its
      frequency, the slowest is divided by s.
    - llama3, by the turns :math:`t = f_k\, \text{original} / 2\pi` within the original context: :math:`f_k`
      from
      high_freq_factor turns on, :math:`f_k / s` up to low_freq_factor, between them mixed linearly in t.
    - yarn: the same, mixed linearly in k between the pairs that make beta_fast and beta_slow turns. YaRN also
      lowers the temperature of attention: give it ``scale=(0.1 ln(s) + 1)**2 / sqrt(D)``.

    References
    ----------
    Chen et al. 2023, "Extending context window of large language models via positional interpolation". Peng
    et al. 2023, "YaRN", §3.1 and §3.2. Grattafiori et al. 2024, "The Llama 3 herd of models".

    Examples
    --------
    >>> import attendo as at
    >>> at.functional.inverse_frequencies(4)
    array([1.  , 0.01])
    >>> at.functional.inverse_frequencies(4, scaling={"rope_type": "linear", "factor": 2})
    array([0.5  , 0.005])

    Source: cpp/attention/rotary.cpp
    """
    op = "inverse_frequencies"
    if scaling is None:
        scaling = {}
    if not isinstance(scaling, Mapping):
        raise TypeError(f"{op}: scaling is a {type(scaling).__name__} but must be a mapping")
    given = dict(scaling)
    names = [str(given.pop(key)) for key in ("rope_type", "type") if key in given]
    kind = names[0] if names else "default"
    if kind not in _SCALINGS or any(name != kind for name in names) or (given and not names):
        kinds = ", ".join(repr(name) for name in _SCALINGS)
        raise ValueError(f"{op}: scaling has rope_type {names or None} but must have one of {kinds}")
    known = _SCALINGS[kind]
    for key, value in given.items():
        if key == "attention_factor":
            raise ValueError(f"{op}: scaling has attention_factor, which no frequency depends on; square it "
                             "and multiply attention's scale with it")  # fmt: skip
        if key not in known:
            raise ValueError(
                f"{op}: scaling has {key!r}, which {kind!r} does not know; it takes {list(known)}"
            )
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{op}: {key} is a {type(value).__name__} but must be a number")
    values = {}
    for key, default in known.items():
        value = given.get(key, default)
        if value is None:
            raise ValueError(f"{op}: scaling of rope_type {kind!r} lacks {key}")
        values[key] = float(value)
    low = values.get("low_freq_factor", values.get("beta_slow", 1.0))
    high = values.get("high_freq_factor", values.get("beta_fast", 4.0))
    original = values.get("original_max_position_embeddings", 0.0)
    return _core.inverse_frequencies(dim, base, kind, values.get("factor", 1.0), low, high, original)

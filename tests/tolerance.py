"""How exact is exact: the only numbers that decide whether two results agree."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]

ROUNDING = 40  # how many rounding errors of the largest entry a result may be off
ENTRYWISE = 8  # how many of its own, where an operation works entry by entry
EPS_64 = float(np.finfo(np.float64).eps)
# The step of central differences balances the truncation error h² with the rounding error eps / h.
STEP = EPS_64 ** (1 / 3)
DIFFERENCE = 1000 * EPS_64 ** (2 / 3)


def eps(dtype: Any) -> float:
    return float(np.finfo(dtype).eps)


def magnitude(expected: Array) -> float:
    """The largest finite entry, or 1 if that is larger."""
    finite = np.abs(expected[np.isfinite(expected)])
    return max(1.0, float(finite.max(initial=0.0)))


def assert_close(
    got: Any,
    expected: Any,
    dtype: Any = None,
    *,
    scale: float | None = None,
    entrywise: bool = False,
    what: str = "",
) -> None:
    """Equal but for rounding in `dtype` (by default that of `got`); NaN and inf in the same places.

    `scale` is the size of the numbers that were added up on the way, by default that of the expected result.
    """
    got = np.asarray(got)
    expected = np.asarray(expected, dtype=np.float64)
    dtype = got.dtype if dtype is None else np.dtype(dtype)
    assert got.dtype == dtype, what
    assert got.shape == expected.shape, what
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected), err_msg=what)
    infinite = np.isinf(expected)
    np.testing.assert_array_equal(got[infinite], expected[infinite], err_msg=what)
    if entrywise:
        allowed = ENTRYWISE * eps(dtype) * np.abs(expected[finite]) + np.finfo(dtype).tiny
    else:
        allowed = np.asarray(
            ROUNDING * eps(dtype) * (magnitude(expected) if scale is None else max(scale, 1.0))
        )
    error = np.abs(got[finite].astype(np.float64) - expected[finite])
    excess = error - allowed
    assert not excess.size or excess.max() <= 0, (
        f"{what}: off by {error.max():.3g}, {(error / allowed).max():.3g} times what rounding explains\n"
        f"got\n{got}\nexpected\n{expected}"
    )


def assert_same_bits(got: Any, expected: Any, what: str = "") -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype and got.shape == expected.shape, what
    assert got.tobytes() == expected.tobytes(), what

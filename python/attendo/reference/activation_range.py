"""activation_range: the range that eight bits are spread over, found from numbers seen before

  minmax       [min(x, 0), max(x, 0)]
  percentile   what is left when (100 - p) / 2 percent of the numbers are cut off at either end
  entropy      the part of it whose rounding changes the distribution least:
               min KL(P ‖ Q) = Σ P_i log(P_i / Q_i)
  then         s = (hi - lo) / 255,   z = round(-lo / s)

x: any shape.  The last two count in 2048 bins of equal width.  P: the bins kept, all beyond in the outermost;
Q: the same without those beyond, in 256 levels, each spread evenly over its bins that hold any, and at least
10⁻⁶.  At either end bins are cut off 64 at a time, as long as zero and 256 of them are left.
Jacob et al. 2018, §2.1; Migacz 2017.
"""

import numpy as np

from ._types import Array

BINS, LEVELS, STEP = 2048, 256, 64


def divergence(bins: Array, first: int, kept: int) -> float:
    """KL(P ‖ Q) where bins [first, first + kept) are left."""
    inside = bins[first : first + kept]
    p = inside.copy()
    p[0] += bins[:first].sum()
    p[-1] += bins[first + kept :].sum()
    level = np.arange(kept) * LEVELS // kept
    occupied = np.bincount(level, weights=inside > 0, minlength=LEVELS)
    q = np.bincount(level, weights=inside, minlength=LEVELS)[level] / np.maximum(occupied, 1)[level]
    if not inside.any():
        return float("inf")
    p, q = p / p.sum(), np.maximum(np.where(inside > 0, q, 0) / inside.sum(), 1e-6)
    some = p > 0
    return float(np.sum(p[some] * np.log(p[some] / q[some])))


def activation_range(x: Array, method: str = "minmax", percentile: float = 99.99) -> tuple[float, int]:
    """x of any shape -> scale and zero point; the scale is rounded to x's dtype."""
    numbers = np.asarray(x, np.float64).ravel()
    low, high = min(0.0, float(numbers.min())), max(0.0, float(numbers.max()))
    if method != "minmax" and high > low:
        width = (high - low) / BINS
        place = (numbers - low) / (high - low) * BINS
        bins = np.bincount(np.minimum(place, BINS - 1).astype(np.int64), minlength=BINS).astype(np.float64)
        first, last = 0, BINS
        if method == "percentile":
            cut = (100 - percentile) / 200 * numbers.size
            first = int(np.argmax(np.cumsum(bins) > cut))
            last = BINS - int(np.argmax(np.cumsum(bins[::-1]) > cut))
        else:
            least = float("inf")
            zero = -low / (high - low) * BINS
            for begin in range(0, BINS, STEP):
                for end in range(BINS, begin + LEVELS - 1, -STEP):
                    if not begin <= zero <= end:
                        continue
                    found = divergence(bins, begin, end - begin)
                    if found < least:
                        least, first, last = found, begin, end
        low, high = (
            min(0.0, low + first * width) if first > 0 else low,
            max(0.0, low + last * width) if last < BINS else high,
        )
    dtype = np.asarray(x).dtype if np.asarray(x).dtype == np.float32 else np.dtype(np.float64)
    scale = high / 255 - low / 255
    scale = float(dtype.type(max(scale, float(np.finfo(dtype).tiny)) if scale else 1.0))
    return scale, int(np.clip(np.rint(-low / scale), 0, 255))

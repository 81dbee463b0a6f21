"""An array of numbers or colours as a PNG file, with Python's own zlib: no imaging library.

Portable Network Graphics, second edition (W3C 2003): signature, header, one compressed stream of rows, end.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

from .colour import MISSING, sequential


def png(image: npt.ArrayLike, *, pixel: int = 1) -> bytes:
    """Write an image as the bytes of a PNG file.

    Parameters
    ----------
    image : (height, width) of real numbers, or (height, width, 3) of uint8
        Numbers are coloured from the lowest, dark, to the highest, light; NaN is grey. Or red, green, blue.
    pixel : int
        Each number becomes a square of so many pixels a side, 1 to 64.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        The image is empty or of another shape; `pixel` is out of range.
    TypeError
        Three numbers a place that are not uint8.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> at.viz.png(np.eye(3))[:4]
    b'\\x89PNG'

    Source: python/attendo/viz/png.py
    """
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[2] == 3:
        if array.dtype != np.uint8:
            raise TypeError(f"png: image has dtype {array.dtype} but colours must be uint8")
        colours = array
    elif array.ndim == 2:
        colours = coloured(array.astype(np.float64))
    else:
        raise ValueError(f"png: image has shape {array.shape} but must be (height, width) or (…, …, 3)")
    if not colours.size:
        raise ValueError(f"png: image has shape {array.shape}; there is nothing to draw")
    if not 1 <= pixel <= 64:
        raise ValueError(f"png: pixel is {pixel} but must be 1 to 64")
    colours = colours.repeat(pixel, axis=0).repeat(pixel, axis=1)
    height, width, _ = colours.shape
    # Each row begins with the number of its filter: 0, none.
    rows = np.concatenate([np.zeros((height, 1), np.uint8), colours.reshape(height, 3 * width)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits of red, green, blue
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def coloured(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """(height, width) -> (height, width, 3): the lowest finite number dark, the highest light."""
    values = values / 2  # so that the highest less the lowest is a number
    finite = np.isfinite(values)
    low = values[finite].min() if finite.any() else 0.0
    high = values[finite].max() if finite.any() else 1.0
    table = np.array([_channels(sequential(i / 255)) for i in range(256)] + [_channels(MISSING)], np.uint8)
    span = high - low
    share = np.clip((np.clip(values, low, high) - low) / (span if span > 0 else 1.0), 0.0, 1.0)
    place = np.where(np.isnan(values), 256, np.round(255 * np.nan_to_num(share)))
    drawn: npt.NDArray[np.uint8] = table[place.astype(np.int64)]
    return drawn


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))

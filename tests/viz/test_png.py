"""PNG files: read back by hand, and by Pillow where it is there."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest

from attendo import viz
from attendo.viz.colour import MISSING, sequential


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, found = 8, []
    while place < len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        assert struct.unpack(">I", data[place + 8 + size : place + 12 + size])[0] == zlib.crc32(kind + body)
        found.append((kind, body))
        place += 12 + size
    return found


def pixels(data: bytes) -> np.ndarray:
    parts = dict(chunks(data))
    width, height, *rest = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    assert rest == [8, 2, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (5, 13), (300, 2)])
@pytest.mark.parametrize("pixel", [1, 3])
def test_colours_come_back(shape, pixel):
    colours = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    data = viz.png(colours, pixel=pixel)
    assert [kind for kind, _ in chunks(data)] == [b"IHDR", b"IDAT", b"IEND"]
    drawn = pixels(data)
    assert drawn.shape == (shape[0] * pixel, shape[1] * pixel, 3)
    for i in range(pixel):
        np.testing.assert_array_equal(drawn[i::pixel, (pixel - 1) :: pixel], colours)


def test_pillow_reads_the_same():
    image = pytest.importorskip("PIL.Image", reason="another reader")
    colours = np.random.default_rng(1).integers(0, 256, (17, 31, 3), dtype=np.uint8)
    with image.open(io.BytesIO(viz.png(colours))) as read:
        assert read.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(read), colours)


def rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def test_numbers_go_from_dark_to_light_and_nan_is_grey():
    drawn = pixels(viz.png([[2.0, 3.0, 4.0, np.nan, np.inf]]))
    assert drawn[0].tolist() == [rgb(sequential(s)) for s in (0, 128 / 255, 1)] + [
        rgb(MISSING),
        rgb(sequential(1)),
    ]


@pytest.mark.parametrize(
    "values", [np.zeros((2, 2)), np.full((2, 2), np.nan), [[-1e308, 1e308]], [[True, False]]]
)
def test_any_number_can_be_drawn(values):
    assert pixels(viz.png(values)).shape[2] == 3


@pytest.mark.parametrize(
    "image", [np.zeros(3), np.zeros((0, 4)), np.zeros((2, 2, 2)), np.zeros((2, 2, 2, 3))]
)
def test_other_shapes_are_refused(image):
    with pytest.raises(ValueError, match="image has shape"):
        viz.png(image)


def test_bad_arguments():
    with pytest.raises(TypeError, match="float64 but colours must be uint8"):
        viz.png(np.zeros((2, 2, 3)))
    with pytest.raises(ValueError, match="pixel is 0"):
        viz.png(np.zeros((2, 2)), pixel=0)

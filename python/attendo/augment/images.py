"""Images varied: cropped, flipped, shifted, with a square cut out.

Images are (N, C, H, W), float32 or float64; each sample is varied by itself.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .base import Arrays, Augmentation, check_generator, check_share, check_whole, chosen, floats, replaced

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._typing import Pair


class _ImageAugmentation(Augmentation):
    input: int

    def __call__(self, inputs: Arrays, targets: Arrays, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """Vary the images (N, C, H, W) of a batch."""
        name = type(self).__name__
        check_generator(name, rng)
        images = floats(name, self.input, chosen(name, "input", inputs, self.input))
        if images.ndim != 4:
            shape = images.shape
            raise ValueError(f"{name}: inputs[{self.input}] has shape {shape} but must be (N, C, H, W)")
        return replaced(inputs, self.input, self._vary(images, rng)), targets

    def _vary(self, images: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """New images of the same shape and dtype."""
        raise NotImplementedError


def _pair(name: str, argument: str, value: Any) -> tuple[int, int]:
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2:
        raise ValueError(f"{name}: {argument} is {value!r} but must be a number or (height, width)")
    for one in both:
        check_whole(name, argument, one, 0)
    return int(both[0]), int(both[1])


_MODES = {"constant": "constant", "edge": "edge", "reflect": "reflect", "wrap": "wrap"}


def _windows(
    name: str, images: NDArray[Any], margin: tuple[int, int], mode: str, fill: float, rng: np.random.Generator
) -> NDArray[Any]:
    """Windows of the images' own size, each anywhere in its image with a margin around it."""
    count, channels, height, width = images.shape
    if margin[0] > height or margin[1] > width:
        raise ValueError(f"{name}: {margin} pixels are more than the {height} × {width} of the images")
    if not images.size:
        return images.copy()
    around = ((0, 0), (0, 0), (margin[0], margin[0]), (margin[1], margin[1]))
    options: dict[str, Any] = {"constant_values": fill} if mode == "constant" else {}
    padded: NDArray[Any] = np.pad(images, around, mode=_MODES[mode], **options)  # type: ignore[call-overload]
    top: NDArray[np.int64] = rng.integers(0, 2 * margin[0] + 1, (count,))
    left: NDArray[np.int64] = rng.integers(0, 2 * margin[1] + 1, (count,))
    rows = top[:, None, None, None] + np.arange(height)[:, None]
    columns = left[:, None, None, None] + np.arange(width)
    out: NDArray[Any] = padded[
        np.arange(count)[:, None, None, None], np.arange(channels)[:, None, None], rows, columns
    ]
    return out


def _check_fill(name: str, mode: str, fill: float) -> None:
    if mode not in _MODES:
        raise ValueError(f"{name}: mode is {mode!r} but must be {', '.join(map(repr, _MODES))}")
    if not isfinite(fill):
        raise ValueError(f"{name}: fill is {fill} but must be a finite number")


@dataclass(frozen=True)
class RandomCrop(_ImageAugmentation):
    """Pad images and cut a window of the old size out, each place with the same chance.

    Parameters
    ----------
    padding : int or (height, width)
        Pixels on each side, 0 to the size of the image.
    mode : {"constant", "edge", "reflect", "wrap"}
        What the padding holds: fill, the border's pixels, the image mirrored, the image again.
    fill : float
        Of "constant" padding.
    input : int
        Which of the inputs holds the images.

    Raises
    ------
    ValueError
        When padding or input is below 0, or mode is none of its words; at the call, when the images are not
        (N, C, H, W) or the padding is larger than they are.
    TypeError
        At the call, when the images are neither float32 nor float64, or rng is no Generator.

    References
    ----------
    He et al. 2016, "Deep residual learning", §4.2: 4 pixels on each side of images of 32 × 32, and flips.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> (cropped,), _ = at.augment.RandomCrop(1)((image,), (), np.random.default_rng(0))
    >>> cropped[0, 0]
    array([[3., 4., 5.],
           [6., 7., 8.],
           [0., 0., 0.]])

    Source: python/attendo/augment/images.py
    """

    padding: Pair
    _: KW_ONLY
    mode: Literal["constant", "edge", "reflect", "wrap"] = "constant"
    fill: float = 0.0
    input: int = 0

    def __post_init__(self) -> None:
        _pair("RandomCrop", "padding", self.padding)
        _check_fill("RandomCrop", self.mode, self.fill)
        check_whole("RandomCrop", "input", self.input, 0)

    def _vary(self, images: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        margin = _pair("RandomCrop", "padding", self.padding)
        return _windows("RandomCrop", images, margin, self.mode, self.fill, rng)


@dataclass(frozen=True)
class RandomShift(_ImageAugmentation):
    """Move images by whole pixels, up or down and left or right, each distance with the same chance.

    Parameters
    ----------
    most : int or (height, width)
        The largest distance, 0 to the size of the image.
    mode : {"wrap", "edge", "constant", "reflect"}
        What moves in: what moved out on the other side, the border's pixels, fill, the image mirrored.
    fill : float
        Of "constant".
    input : int
        Which of the inputs holds the images.

    Raises
    ------
    ValueError, TypeError
        As :class:`RandomCrop`.

    Notes
    -----
    With the same mode it is :class:`RandomCrop`, said by the distance.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> (moved,), _ = at.augment.RandomShift((0, 1))((image,), (), np.random.default_rng(0))
    >>> moved[0, 0]
    array([[1., 2., 0.],
           [4., 5., 3.],
           [7., 8., 6.]])

    Source: python/attendo/augment/images.py
    """

    most: Pair
    _: KW_ONLY
    mode: Literal["wrap", "edge", "constant", "reflect"] = "wrap"
    fill: float = 0.0
    input: int = 0

    def __post_init__(self) -> None:
        _pair("RandomShift", "most", self.most)
        _check_fill("RandomShift", self.mode, self.fill)
        check_whole("RandomShift", "input", self.input, 0)

    def _vary(self, images: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        margin = _pair("RandomShift", "most", self.most)
        return _windows("RandomShift", images, margin, self.mode, self.fill, rng)


@dataclass(frozen=True)
class RandomHorizontalFlip(_ImageAugmentation):
    """Mirror images, left for right.

    Parameters
    ----------
    p : float
        That an image is mirrored.
    input : int
        Which of the inputs holds the images.

    Raises
    ------
    ValueError
        When p is not 0 to 1 or input below 0; at the call, when the images are not (N, C, H, W).
    TypeError
        As :class:`RandomCrop`.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> image = np.arange(4.0).reshape(1, 1, 2, 2)
    >>> (mirrored,), _ = at.augment.RandomHorizontalFlip(1.0)((image,), (), np.random.default_rng(0))
    >>> mirrored[0, 0]
    array([[1., 0.],
           [3., 2.]])

    Source: python/attendo/augment/images.py
    """

    p: float = 0.5
    _: KW_ONLY
    input: int = 0

    def __post_init__(self) -> None:
        check_share("RandomHorizontalFlip", "p", self.p)
        check_whole("RandomHorizontalFlip", "input", self.input, 0)

    def _vary(self, images: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        mirrored = rng.random(len(images)) < self.p
        return np.where(mirrored[:, None, None, None], images[..., ::-1], images)


@dataclass(frozen=True)
class Cutout(_ImageAugmentation):
    """Fill a square whose centre is any pixel of the image; what lies outside is cut off.

    Parameters
    ----------
    size : int
        Pixels of a side, 1 or more.
    fill : float
        What comes in.
    input : int
        Which of the inputs holds the images.

    Raises
    ------
    ValueError, TypeError
        As :class:`RandomCrop`, and when size is below 1.

    References
    ----------
    DeVries and Taylor 2017, "Improved regularization of convolutional neural networks with cutout".

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> (cut,), _ = at.augment.Cutout(2)((np.ones((1, 1, 4, 4)),), (), np.random.default_rng(2))
    >>> cut[0, 0]
    array([[1., 1., 1., 1.],
           [1., 1., 1., 1.],
           [0., 0., 1., 1.],
           [0., 0., 1., 1.]])

    Source: python/attendo/augment/images.py
    """

    size: int
    _: KW_ONLY
    fill: float = 0.0
    input: int = 0

    def __post_init__(self) -> None:
        check_whole("Cutout", "size", self.size, 1)
        _check_fill("Cutout", "constant", self.fill)
        check_whole("Cutout", "input", self.input, 0)

    def _vary(self, images: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        count, _, height, width = images.shape
        if not images.size:
            return images.copy()

        def within(length: int) -> NDArray[np.bool_]:  # (N, length)
            centre: NDArray[np.int64] = rng.integers(0, length, (count,))
            place = np.arange(length) - centre[:, None] + self.size // 2
            covered: NDArray[np.bool_] = (place >= 0) & (place < self.size)
            return covered

        inside = within(height)[:, None, :, None] & within(width)[:, None, None, :]
        return np.where(inside, images.dtype.type(self.fill), images)

"""What augmentations have in common, and several one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Arrays: TypeAlias = tuple[Any, ...]


class Augmentation:
    """Called with the inputs and targets of a batch and a Generator, it gives both back, varied.

    Write your own as a subclass or as any function of the same arguments.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> class Louder(at.augment.Augmentation):
    ...     def __call__(self, inputs, targets, rng):
    ...         sound, *rest = inputs
    ...         gain = rng.uniform(0.5, 2.0, (len(sound), 1)).astype(sound.dtype)
    ...         return (sound * gain, *rest), targets
    >>> (louder,), _ = Louder()((np.ones((3, 5)),), (), np.random.default_rng(0))
    >>> louder.shape
    (3, 5)
    """

    def __call__(self, inputs: Arrays, targets: Arrays, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """Vary a batch.

        Parameters
        ----------
        inputs, targets : tuple of ndarray, each (samples, ...)
        rng : numpy.random.Generator
            Decides everything random.

        Returns
        -------
        inputs, targets : tuple of ndarray
        """
        raise NotImplementedError(f"{type(self).__name__}: write __call__(inputs, targets, rng)")


class Compose(Augmentation):
    """Augmentations one after the other, each given what the one before gives.

    Parameters
    ----------
    augmentations : iterable of callable
        Each called as ``augment(inputs, targets, rng)``, with one Generator for all.

    Raises
    ------
    TypeError
        When one cannot be called; at the call, when one does not give a pair back.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> augment = at.augment.Compose([at.augment.DropTokens(0.5), at.augment.SwapTokens(0.2)])
    >>> (ids,), _ = augment((np.array([[5, 6, 7, 8, 0]]),), (), np.random.default_rng(1))
    >>> ids
    array([[5, 6, 8, 0, 0]])

    Source: python/attendo/augment/base.py
    """

    def __init__(self, augmentations: Iterable[Callable[..., tuple[Arrays, Arrays]]]) -> None:
        self.augmentations = tuple(augmentations)
        for one in self.augmentations:
            if not callable(one):
                raise TypeError(f"Compose: {one!r} cannot be called as augment(inputs, targets, rng)")

    def __call__(self, inputs: Arrays, targets: Arrays, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """Vary a batch by each in turn."""
        for one in self.augmentations:
            result: Any = one(inputs, targets, rng)
            if not (isinstance(result, tuple) and len(result) == 2):
                raise TypeError(f"Compose: {one!r} gave no (inputs, targets)")
            inputs, targets = result
        return inputs, targets

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.augmentations))}])"


def check_generator(name: str, rng: Any) -> None:
    if not isinstance(rng, np.random.Generator):
        kind = type(rng).__name__
        raise TypeError(f"{name}: rng is a {kind} but must be a numpy.random.Generator")


def check_share(name: str, argument: str, value: Any) -> None:
    """A probability."""
    if not isinstance(value, (int, float, np.number)) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"{name}: {argument} is {value!r} but must be 0 to 1")


def check_whole(name: str, argument: str, value: Any, least: int) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: {argument} is {value!r} but must be a whole number, {least} or more")


def chosen(name: str, argument: str, arrays: Any, index: int) -> Any:
    """The array that an augmentation acts on."""
    if not isinstance(arrays, tuple):
        kind = type(arrays).__name__
        raise TypeError(f"{name}: {argument}s is a {kind} but must be a tuple of arrays")
    if not 0 <= index < len(arrays):
        raise ValueError(f"{name}: {argument} is {index} but there are {len(arrays)} {argument}s")
    return arrays[index]


def floats(name: str, index: int, array: Any) -> NDArray[Any]:
    """An array of float32 or float64; integers are refused, since ids have no neighbours in between."""
    values = np.asarray(array)
    if values.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name}: inputs[{index}] has dtype {values.dtype} but must be float32 or float64")
    return values


def replaced(arrays: Arrays, index: int, value: Any) -> Arrays:
    return (*arrays[:index], value, *arrays[index + 1 :])

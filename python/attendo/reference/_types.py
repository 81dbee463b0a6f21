"""The array types of the signatures, and the handling of named parameters."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating[Any]]  # float32 or float64; results have the dtype of the inputs
Mask: TypeAlias = NDArray[np.bool_]  # True = may attend
Ids: TypeAlias = NDArray[np.integer[Any]]  # token ids or class indices
Parameters: TypeAlias = dict[str, Array]  # a state dict: name -> array


def under(parameters: Parameters, prefix: str) -> Parameters:
    """The parameters whose name starts with prefix, without the prefix."""
    return {name[len(prefix) :]: value for name, value in parameters.items() if name.startswith(prefix)}


def prefixed(parameters: Parameters, prefix: str) -> Parameters:
    """The same parameters with prefix put before every name: the inverse of under."""
    return {prefix + name: value for name, value in parameters.items()}


def count_layers(parameters: Parameters) -> int:
    """How many layers a stack has, from the names layers.0.…, layers.1.…"""
    return len({name.split(".")[1] for name in parameters if name.startswith("layers.")})

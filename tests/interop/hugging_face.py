"""Models of Hugging Face transformers with random weights, written to folders and compared with ours."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import attendo as at
from tolerance import assert_close


def random_model(torch: Any, make: Any, config: Any, seed: int) -> Any:
    """A model whose parameters all matter: weights of some size, biases and norms away from 0 and 1."""
    config._attn_implementation = "eager"  # which can give the attention weights
    generator = torch.Generator().manual_seed(seed)
    model = make(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(noise * parameter.shape[-1] ** -0.5)
            else:
                parameter.add_(0.2 * noise)
    return model


def written(model: Any, folder: Path, **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder, **options)
    return folder


def reread(transformers: Any, make: Any, folder: Path) -> Any:
    """What transformers makes of a folder of ours; nothing missing, nothing too many."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, info = make.from_pretrained(folder, output_loading_info=True, attn_implementation="eager")
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], info
    return model.eval()


def array(tensor: Any) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy())


def assert_same_outputs(theirs: Any, ours: Any, names: Mapping[str, str], scale: float = 100.0) -> None:
    """The fields of two outputs agree; ``names`` has those of theirs for those of ours."""
    for mine, other in names.items():
        got, expected = getattr(ours, mine), getattr(theirs, other)
        if isinstance(expected, (tuple, list)):
            assert len(got) == len(expected), mine
            for i, (a, b) in enumerate(zip(got, expected, strict=True)):
                assert_close(a, array(b), scale=scale, what=f"{mine}[{i}]")
        else:
            assert_close(got, array(expected), scale=scale, what=mine)


def assert_within(got: at.Tensor, expected: Any, bound: float = 1e-4) -> None:
    """The project's promise about checkpoints."""
    assert float(np.abs(np.asarray(got) - array(expected)).max()) <= bound

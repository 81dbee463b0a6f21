"""What every test shares."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("inputs", "layer_check", "loss_check", "op_check", "tolerance", "workloads")

# The same examples in every run, and no clock: a slow machine is no failure.
settings.register_profile(
    "attendo",
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("attendo")


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch, to compare with: no dependency, so tests that ask for it are skipped where it is missing."""
    module = pytest.importorskip("torch", reason="parity is checked where PyTorch is installed")
    module.set_num_threads(1)  # its workers spin between calls and would slow every other test down
    return module


@pytest.fixture(scope="session")
def transformers(torch: Any) -> Any:
    """Hugging Face transformers, whose models are the truth about their checkpoints."""
    import os

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip(
            "transformers", reason="parity is checked where transformers is installed"
        )
    module.logging.set_verbosity_error()
    module.logging.disable_progress_bar()
    return module


@pytest.fixture(autouse=True)
def restored_threads() -> Iterator[None]:
    """A test may change the number of threads; the next one starts with the number there was."""
    import attendo as at

    before = at.get_num_threads()
    yield
    at.set_num_threads(before)

"""mT5: T5 version 1.1 of a hundred languages. The decoder's output is never divided.   Xue et al. 2021."""

from __future__ import annotations

from dataclasses import replace

from . import t5

FAMILY = replace(t5.FAMILY, model_types=("mt5",), describe=lambda model: t5.describe(model, "mt5"))

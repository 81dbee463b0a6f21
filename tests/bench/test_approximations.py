"""What docs/approximations.md is made of: every variant, and the arithmetic around them. Nothing is timed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import attendo as at  # noqa: E402
from bench import approximations  # noqa: E402

VARIANTS = [variant for variant in approximations.VARIANTS if approximations.present(variant)]


@pytest.mark.parametrize("kind", approximations.KINDS)
def test_inputs(kind):
    q, k, v = approximations.made(kind, (1, 2, 128, 64))
    for x in (q, k, v):
        assert x.shape == (1, 2, 128, 64) and x.dtype == np.float32 and np.isfinite(x).all()
    weights = at.attention(q, k, v, return_weights=True)[1]
    if kind == "sharp":
        assert weights.max(-1).mean() > 0.9
    if kind == "local":
        near = np.abs(np.subtract.outer(np.arange(128), np.arange(128))) <= 48
        assert (weights * near).sum(-1).min() > 0.8


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_variant(variant):
    q, k, v = (
        at.tensor(x, requires_grad=variant.backward) for x in approximations.made("normal", (1, 2, 64, 16))
    )
    out = variant.prepare(q, k, v, min(variant.values, default=0))()
    assert out.shape == (1, 2, 64, 16) and np.isfinite(out.numpy()).all()
    assert out.requires_grad == variant.backward
    assert variant.cost is None or not variant.values or variant.cost in variant.values


def test_variants_are_named_once():
    names = [variant.name for variant in approximations.VARIANTS]
    assert len(set(names)) == len(names)


def test_a_variant_that_is_not_there_is_left_out():
    missing = approximations.Variant(
        "x", approximations.performer(False), needs=("functional.nothing_like_it",)
    )
    assert not approximations.present(missing)


def test_relative_error():
    assert approximations.relative_error([3.0, 4.0], [3.0, 4.0]) == 0
    assert approximations.relative_error([0.0, 0.0], [3.0, 4.0]) == 1


def test_page_and_pictures(tmp_path):
    pytest.importorskip("matplotlib", reason="in the environment of the benchmark")
    approximations.draw(found(), tmp_path)
    assert all((tmp_path / name).stat().st_size > 1000 for name in approximations.PICTURES)


def found():
    some = [v for v in VARIANTS if v.name in ("Performer", "linear, elu")]
    curves = [
        {"variant": name, "causal": False, "value": value, "forward": [[512, s], [2048, 16 * s]]}
        for name, value, s in (("attention", 0, 1.0), ("Performer", 256, 0.5), ("linear, elu", 0, 0.25))
    ]
    machine = {"date": "2026-01-01", "cpu": "a", "threads": 2, "isa": "b", "version": "0"}
    return {"machine": machine, "accuracy": approximations.accuracy(some, (1, 1, 64, 8)), "cost": curves}


def test_page():
    page = approximations.page(found())
    assert "| Performer, 256 | 2.00 / – | 2.00 / – | – / – |" in page
    assert "| linear, elu | 4.00 / – |" in page
    assert page.count("| mean of all values |") == 1

"""What the benchmark found: JSON, and a table for the docs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench/results.json"
MACHINE = ROOT / "bench/machine.json"
GROWTH = ROOT / "bench/growth.json"
DOCS = ROOT / "docs/benchmarks.md"
IMAGES = ROOT / "docs/images"

BEGIN, END = "<!-- begin: make bench writes what follows -->", "<!-- end -->"

# Every object of results.json has these; None where one does not apply.
KEYS = (
    "name",
    "ours_s",
    "peer_s",
    "ratio",
    "spread",
    "gflops",
    "fraction_of_peak",
    "ours_peak_mb",
    "peer_peak_mb",
    "max_abs_error",
)

FAMILIES = {
    "attention": "Attention",
    "training": "Training steps: forward, loss, backward, Adam",
    "recurrent": "Training steps of recurrent networks",
    "word2vec": "Training steps of word vectors",
    "operations": "Single operations",
    "optimizers": "Steps of optimizers alone",
    "quantization": "Products of whole numbers: eight bits beside floats, and beside PyTorch's",
    "sizes": "Arbitrary sizes beside round ones (attendo against itself, ratio of FLOP/s)",
    "masks": "Structured masks beside none (attendo against itself, ratio of FLOP/s)",
    "startup": "To begin",
}


def cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def machine(threads: int, peak_gflops: float, quick: bool) -> dict[str, Any]:
    """Where and with what it was measured."""
    import torch

    import attendo as at

    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "threads": threads,
        "peak_gflops": peak_gflops,
        "quick": quick,
        "torch": torch.__version__,
        **at.info(),
    }


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def merged(
    old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]], order: Sequence[str]
) -> list[dict[str, Any]]:
    """New objects in place of old ones of the same name, in the given order; unknown names are dropped."""
    by_name = {one["name"]: one for one in [*old, *new]}
    return [by_name[name] for name in order if name in by_name]


# -------------------------------------------------------------------------------------------------- the table


def seconds(s: float | None) -> str:
    """1.234 ms, 56.7 µs and so on: three digits that count."""
    if s is None:
        return ""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if s >= size:
            return f"{s / size:.3g} {unit}" if s / size < 999.5 else f"{s / size:.0f} {unit}"
    return f"{s / 1e-6:.3g} µs"


def number(x: float | None, form: str = ".2f") -> str:
    return "" if x is None else format(x, form)


def verdict(one: dict[str, Any]) -> str:
    """hit, or by how much the target is missed."""
    if one.get("pass") is None:
        return ""
    if one["pass"]:
        return "hit"
    if one.get("target") is not None and one["ratio"] < one["target"]:
        return f"missed by {100 * (1 - one['ratio'] / one['target']):.0f} %"
    return "missed"


def target(one: dict[str, Any]) -> str:
    if one.get("target") is not None:
        return f"{one['target']:g}"
    if one.get("memory_limit") is not None:
        return f"memory × {one['memory_limit']:g}"
    if one.get("limit_s") is not None:
        return f"{1e3 * one['limit_s']:g} ms"
    return ""


def row(one: dict[str, Any]) -> list[str]:
    spread = one.get("spread")
    memory = "/".join(number(one.get(f"{side}_peak_mb"), ".0f") or "–" for side in ("ours", "peer"))
    errors = " / ".join(number(one.get(key), ".1e") or "–" for key in ("max_abs_error", "peer_max_abs_error"))
    share = one.get("fraction_of_peak")
    name = one["name"]
    if one.get("memory_factor") is not None:
        name += f": {one['memory_factor']:.2f} × inputs, outputs and gradients"
    return [
        name,
        target(one),
        number(one["ratio"]),
        "" if spread is None else f"{spread[0]:.2f}–{spread[1]:.2f}",
        seconds(one["ours_s"]),
        seconds(one["peer_s"]),
        "" if share is None else f"{100 * share:.0f} %",
        memory if memory != "–/–" else "",
        errors if errors != "– / –" else "",
        verdict(one),
    ]


COLUMNS = (
    "workload",
    "target",
    "ratio",
    "half of all pairs",
    "attendo",
    "peer",
    "of peak",
    "MB, ours/peer",
    "error, ours / peer",
    "",
)


def table(results: Sequence[dict[str, Any]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * (len(COLUMNS) - 2) + "---|"]
    lines += ["| " + " | ".join(row(one)) + " |" for one in results]
    return "\n".join(lines)


def summary(results: Sequence[dict[str, Any]]) -> str:
    judged = [one for one in results if one.get("pass") is not None]
    return f"{sum(bool(one['pass']) for one in judged)} of {len(judged)} targets hit"


def page(results: Sequence[dict[str, Any]], where: dict[str, Any], growth: Sequence[dict[str, Any]]) -> str:
    """What stands between the markers of docs/benchmarks.md."""
    parts = [
        f"Measured on {where['date']}: {where['cpu']}, {where['cores']} cores, {where['threads']} threads, "
        f"instruction set {where['isa']}, FMA peak {where['peak_gflops']:.0f} GFLOP/s; "
        f"attendo {where['version']} ({where['compiler']}), PyTorch {where['torch']}, "
        f"NumPy {where['numpy']}, Python {where['python']}. {summary(results)}.",
    ]
    for family, title in FAMILIES.items():
        of_family = [one for one in results if one.get("family") == family]
        if of_family:
            parts += [f"## {title}", table(of_family)]
    ways = [
        f"- {one['name']}: {one['peer_way']}"
        for one in results
        if one.get("peer_way") and one.get("family") == "attention" and one["peer_way"] != "SDPA"
    ]
    if ways:
        parts += ["PyTorch's fastest way, where there are several:", "\n".join(ways)]
    if growth:
        parts += ["## Growth"]
        for axis, picture in (("S", "growth_attention"), ("d_model", "growth_training")):
            if any(one["axis"] == axis for one in growth):
                parts.append(f"![time against {axis}](images/{picture}.png)")
    return "\n\n".join(parts)


def between_markers(text: str, content: str) -> str:
    """The text with the content in place of what stands between its markers."""
    before, _, rest = text.partition(BEGIN)
    _, marker, after = rest.partition(END)
    if not marker:
        raise ValueError(f"no line {BEGIN!r} and {END!r} after it")
    return f"{before}{BEGIN}\n\n{content}\n\n{END}{after}"


def write_docs() -> None:
    """docs/benchmarks.md anew, from the JSON files."""
    growth = read_json(GROWTH) if GROWTH.exists() else []
    content = page(read_json(RESULTS), read_json(MACHINE), growth)
    DOCS.write_text(between_markers(DOCS.read_text(encoding="utf-8"), content), encoding="utf-8")

"""How time grows with the length of a sequence and with the width of a model: no cliff anywhere."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from bench.harness import Case, Effort, Missing, Timing, measure, peak_gflops
from bench.workloads import attention, training
from bench.workloads.attention import Shape

LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)
WIDTHS = (32, 64, 128, 256, 512)

# A step to twice the size may cost this much of the FLOP/s, not more.
CLIFF = 0.7


def attention_case(length: int, backward: bool, seed: int) -> Case:
    return attention.case(Shape(1, 8, length, 64), backward, seed)


def training_case(width: int, seed: int) -> Case:
    return training.decoder_lm(seed, width, max(1, width // 32), 2, 64, 16, 1000)


def series(quick: bool) -> list[tuple[str, str, list[tuple[int, Case]]]]:
    """Title, name of the axis, and a case for each point."""
    lengths = [n for n in LENGTHS if n <= 512] if quick else LENGTHS
    widths = [n for n in WIDTHS if n <= 64] if quick else WIDTHS
    return [
        ("attention 1,8,S,64, forward", "S", [(n, attention_case(n, False, 0)) for n in lengths]),
        ("attention 1,8,S,64, forward + backward", "S", [(n, attention_case(n, True, 0)) for n in lengths]),
        (
            "training a decoder LM, 2 layers, s 64, b 16",
            "d_model",
            [(n, training_case(n, 0)) for n in widths],
        ),
    ]


def run(quick: bool) -> list[dict[str, Any]]:
    """One object a series, one entry a point."""
    effort = (
        Effort(seconds=0.2, least_pairs=3, most_pairs=3)
        if quick
        else Effort(seconds=3.0, least_pairs=3, most_seconds=20.0)
    )
    found = []
    for name, axis, cases in series(quick):
        points = []
        try:
            for size, case in cases:
                timing: Timing = measure(case.ours().run, case.peer().run, effort)
                point: dict[str, Any] = {axis: size, **timing.summary()}
                assert case.flops is not None
                point["gflops"] = case.flops / point["ours_s"] / 1e9
                point["peer_gflops"] = case.flops / point["peer_s"] / 1e9
                points.append(point)
                print(
                    f"  {name}: {axis} {size:6}  {point['ours_s'] * 1e3:10.3f} ms  PyTorch "
                    f"{point['peer_s'] * 1e3:10.3f} ms  ratio {point['ratio']:.2f}",
                    flush=True,
                )
        except Missing as missing:
            print(f"  {name}: skipped: {missing} is not in this build")
            continue
        found.append({"name": name, "axis": axis, "peak_gflops": peak_gflops(), "points": points})
        for size in cliffs(points, axis):
            print(f"  {name}: a cliff at {axis} = {size}")
    return found


def cliffs(points: list[dict[str, Any]], axis: str) -> list[int]:
    """Where the FLOP/s fall by more than a larger size explains."""
    return [
        after[axis]
        for before, after in itertools.pairwise(points)
        if after["gflops"] < CLIFF * before["gflops"]
    ]


def draw(found: list[dict[str, Any]], folder: Path) -> list[Path]:
    """The pictures, one an axis: time on the left, FLOP/s on the right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for axis, file_name in (("S", "growth_attention.png"), ("d_model", "growth_training.png")):
        of_axis = [one for one in found if one["axis"] == axis]
        if not of_axis:
            continue
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
        for one, style in zip(of_axis, ("o-", "s--"), strict=False):
            sizes = [p[axis] for p in one["points"]]
            for key, label, colour in (("ours_s", "attendo", "C0"), ("peer_s", "PyTorch", "C1")):
                times = [1e3 * p[key] for p in one["points"]]
                left.plot(sizes, times, style, color=colour, label=f"{label}: {one['name']}")
            for key, label, colour in (("gflops", "attendo", "C0"), ("peer_gflops", "PyTorch", "C1")):
                right.plot(sizes, [p[key] for p in one["points"]], style, color=colour, label=label)
        left.set(xscale="log", yscale="log", xlabel=axis, ylabel="milliseconds")
        right.set(xscale="log", xlabel=axis, ylabel="GFLOP/s", ylim=(0, None))
        sizes = [p[axis] for p in of_axis[0]["points"]]
        for axes in (left, right):
            axes.set_xticks(sizes, [str(n) for n in sizes])
            axes.minorticks_off()
            axes.grid(alpha=0.3)
        left.legend(fontsize=7)
        path = folder / file_name
        figure.savefig(path, dpi=110)
        pyplot.close(figure)
        files.append(path)
    return files

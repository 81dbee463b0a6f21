"""What cheaper attention gives up and what it saves: `make bench ARGS=--approximations`.

Each variant of the table below is compared with full attention twice: how far its output is from it, over
the variant's parameter and for five kinds of input, and how long it takes, over the length. A variant of
which this build has not all it `needs` is left out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import report

RESULTS = report.ROOT / "docs/approximations.json"
DOCS = report.ROOT / "docs/approximations.md"
PICTURES = ("approximations_accuracy.png", "approximations_cost.png")

Array = NDArray[np.float32]
Run = Callable[[], Any]

SHAPE = (1, 4, 1024, 64)  # of the accuracy curves
HEADS, WIDTH = 8, 64  # of the cost curves
LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)
TABLE_LENGTHS = (512, 2048, 16384)
LONGEST = 3.0  # seconds; a curve ends with the first point that takes longer
POWERS = (16, 32, 64, 128, 256, 512)


@dataclass(frozen=True)
class Variant:
    name: str
    #: (q, k, v, value of the parameter) -> what computes the output; made ready outside the time taken
    prepare: Callable[[Any, Any, Any, int], Run]
    parameter: str = ""  #: its name; a variant without one is a level line
    values: tuple[int, ...] = ()
    cost: int | None = 0  #: the parameter in the cost curves; None leaves it out there
    causal: bool = False  #: then compared with causal attention
    accuracy: bool = True  #: whether it means to be near full attention
    backward: bool = True
    needs: tuple[str, ...] = ()  #: names below attendo


def functional(name: str) -> Any:
    import attendo as at

    return getattr(at.functional, name)


def full(q: Any, k: Any, v: Any, causal: bool) -> Run:
    import attendo as at

    mask = at.masks.causal() if causal else None
    return lambda: at.attention(q, k, v, mask=mask)


def performer(causal: bool, **options: Any) -> Callable[..., Run]:
    def prepare(q: Any, k: Any, v: Any, features: int) -> Run:
        import attendo as at

        w = functional("performer_features")(features, q.shape[-1], generator=at.Generator(0))
        return lambda: functional("performer")(q, k, v, features=w, causal=causal, **options)

    return prepare


def linear(rule: str, **options: Any) -> Callable[..., Run]:
    def prepare(q: Any, k: Any, v: Any, _: int) -> Run:
        rng = np.random.default_rng(0)
        gates: dict[str, Any] = {}
        if "gated" in rule:
            gates["decay"] = (-rng.uniform(0, 0.1, k.shape[:-1])).astype(np.float32)
        if "delta" in rule:
            gates["beta"] = rng.uniform(0, 1, k.shape[:-1]).astype(np.float32)
            k = k / (k * k).sum(axis=-1, keepdims=True) ** 0.5
        return lambda: functional("linear_attention")(q, k, v, rule=rule, **gates, **options)

    return prepare


def window(q: Any, k: Any, v: Any, size: int) -> Run:
    import attendo as at

    mask = at.masks.window(size // 2)
    return lambda: at.attention(q, k, v, mask=mask)


def longformer(q: Any, k: Any, v: Any, size: int) -> Run:
    """A window, and 16 positions that see all and are seen by all."""
    import attendo as at

    mask = at.masks.longformer(size // 2, range(16))
    return lambda: at.attention(q, k, v, mask=mask)


def bigbird(q: Any, k: Any, v: Any, random_blocks: int) -> Run:
    """Blocks of 64: three beside each other, two for all, and some drawn at random."""
    import attendo as at

    mask = at.masks.bigbird(k.shape[-2], 64, num_random_blocks=random_blocks)
    return lambda: at.attention(q, k, v, mask=mask)


def block_sparse(q: Any, k: Any, v: Any, size: int) -> Run:
    """Each block of positions sees itself."""
    import attendo as at

    size = min(size, k.shape[-2])
    mask = at.masks.blocks(np.eye(-(-k.shape[-2] // size), dtype=bool), size)
    return lambda: at.attention(q, k, v, mask=mask)


def nystrom(q: Any, k: Any, v: Any, landmarks: int) -> Run:
    return lambda: functional("nystrom")(q, k, v, landmarks=min(landmarks, q.shape[-2]))


def linformer(q: Any, k: Any, v: Any, rank: int) -> Run:
    """With means of neighbours in place of learned mixtures."""
    keys = k.shape[-2]
    rank = min(rank, keys)
    group = np.arange(keys) * rank // keys
    mix = (group == np.arange(rank)[:, None]).astype(np.float32)
    mix /= mix.sum(axis=-1, keepdims=True)
    return lambda: functional("linformer")(q, k, v, mix)


def low_rank(q: Any, k: Any, v: Any, rank: int) -> Run:
    a, b = functional("low_rank_basis")(q.numpy(), k.numpy(), min(rank, q.shape[-1]))
    return lambda: functional("low_rank")(q, k, v, a, b)


def int8(q: Any, k: Any, v: Any, _: int) -> Run:
    return lambda: functional("int8_attention")(q, k, v)


def top_k(q: Any, k: Any, v: Any, keep: int) -> Run:
    return lambda: functional("top_k_attention")(q, k, v, keep=min(keep, k.shape[-2]))


ELU = {"feature_map": "elu", "normalize": True}

VARIANTS: tuple[Variant, ...] = (
    Variant("Performer", performer(False), "features", (*POWERS, 1024), 256),
    Variant("Performer, relu", performer(False, kernel="relu"), "features", (*POWERS, 1024), None),
    Variant(
        "Performer, causal", performer(True), "features", (*POWERS, 1024), 256, causal=True, accuracy=False
    ),
    Variant("linear, elu", linear("linear", causal=False, **ELU)),
    Variant("linear, elu, causal", linear("linear", **ELU), causal=True, accuracy=False),
    Variant("linear, plain", linear("linear"), causal=True, accuracy=False),
    Variant("linear, gated delta", linear("gated_delta"), causal=True, accuracy=False),
    Variant("window", window, "keys", POWERS, 256, needs=("masks.window",)),
    Variant("Longformer", longformer, "keys", POWERS, 256, needs=("masks.longformer",)),
    Variant("BigBird", bigbird, "random blocks", (1, 2, 3, 4, 8), 3, needs=("masks.bigbird",)),
    Variant("block-sparse", block_sparse, "keys", POWERS, 256, needs=("masks.blocks",)),
    Variant("Nyström", nystrom, "landmarks", (8, *POWERS), 64, needs=("functional.nystrom",)),
    Variant("Linformer, means", linformer, "mixtures", POWERS, 256, needs=("functional.linformer",)),
    Variant("low rank", low_rank, "features", (8, 16, 32, 48, 64), 16, needs=("functional.low_rank",)),
    Variant("int8 scores", int8, needs=("functional.int8_attention",)),
    Variant("top k", top_k, "keys", (8, *POWERS), 64, needs=("functional.top_k_attention",)),
)


def present(variant: Variant) -> bool:
    """Whether this build has it."""
    import attendo as at

    for name in variant.needs:
        place: Any = at
        for part in name.split("."):
            place = getattr(place, part, None)
        if place is None:
            return False
    return True


# ----------------------------------------------------------------------------------------------- what goes in


def smooth(x: Array, width: int = 64) -> Array:
    """A running mean over positions, as large as before."""
    kernel = np.fft.rfft((np.arange(x.shape[-2]) < width).astype(np.float64))
    y = np.fft.irfft(np.fft.rfft(x, axis=-2) * kernel[:, None], x.shape[-2], axis=-2)
    return (y / math.sqrt(width)).astype(np.float32)


def made(kind: str, shape: tuple[int, ...], seed: int = 0) -> tuple[Array, Array, Array]:
    """q, k and v.

    normal   every number drawn by itself: scores of 1, many keys matter and none can be left out
    small    the same with queries and keys of half the size: weights are nearly even
    smooth   neighbours are alike: few directions, few landmarks
    local    a query matches the keys within some 16 positions, and no others
    sharp    each query matches one key, anywhere
    """
    rng = np.random.default_rng(seed)
    q, k, v = rng.standard_normal((3, *shape)).astype(np.float32)
    *_, length, width = shape
    if kind == "small":
        return q / 2, k / 2, v
    if kind == "smooth":
        return smooth(q), smooth(k), smooth(v)
    if kind == "local":
        angles = np.outer(np.arange(length), rng.standard_normal(width // 2) / 16)
        waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=-1)  # |wave|² = width / 2
        x = np.broadcast_to(waves * math.sqrt(16 / math.sqrt(width)), shape).astype(np.float32)
        return x, x.copy(), smooth(v, 8)
    if kind == "sharp":
        return 3 * np.take(k, rng.permutation(length), axis=-2), k, v
    return q, k, v


KINDS = ("small", "normal", "smooth", "local", "sharp")


# ----------------------------------------------------------------------------------------------- measurements


def relative_error(found: Any, exact: Any) -> float:
    """The norm of the difference by the norm of what is right."""
    found, exact = np.asarray(found, dtype=np.float64), np.asarray(exact, dtype=np.float64)
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def accuracy(variants: Sequence[Variant], shape: tuple[int, ...] = SHAPE) -> list[dict[str, Any]]:
    """One object a variant and kind of input: the error at each value of the parameter."""
    import attendo as at

    curves = []
    for kind in KINDS:
        arrays = made(kind, shape)
        q, k, v = (at.tensor(x) for x in arrays)
        exact = full(q, k, v, False)()
        even = at.attention(q, k, v, scale=0.0)
        curves.append(
            {"variant": "mean of all values", "inputs": kind, "points": [[0, relative_error(even, exact)]]}
        )
        for variant in variants:
            if not variant.accuracy:
                continue
            points = [
                [value, relative_error(variant.prepare(q, k, v, value)(), exact)]
                for value in (variant.values or (0,))
            ]
            curves.append({"variant": variant.name, "inputs": kind, "points": points})
            errors = "  ".join(f"{value}: {error:.3f}" for value, error in points)
            print(f"  {kind:7} {variant.name:20} {errors}", flush=True)
    return curves


def seconds_of(run: Run) -> float:
    """The fastest of a few runs; of one, where it is long."""
    best, since = math.inf, time.perf_counter()
    for _ in range(20):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() - since > 0.1:
            break
    return best


def both_ways(prepare: Callable[..., Run], arrays: Sequence[Array], backward: bool) -> Run:
    import attendo as at

    tensors = [at.tensor(x, requires_grad=backward) for x in arrays]
    run = prepare(*tensors)
    if not backward:
        return run
    d_out = np.ones(run().shape, np.float32)

    def step() -> None:
        for tensor in tensors:
            tensor.zero_grad()
        run().backward(d_out)

    return step


def cost(variants: Sequence[Variant], lengths: Sequence[int] = LENGTHS) -> list[dict[str, Any]]:
    """One object a variant: seconds at each length, forward alone and with the backward pass."""
    rows: list[tuple[str, bool, int, bool, Callable[..., Run]]] = [
        ("attention", False, 0, True, lambda q, k, v: full(q, k, v, False)),
        ("attention, causal", True, 0, True, lambda q, k, v: full(q, k, v, True)),
    ]
    for one in variants:
        if one.cost is not None:

            def at_cost(q: Any, k: Any, v: Any, one: Variant = one) -> Run:
                return one.prepare(q, k, v, one.cost or 0)

            rows.append((one.name, one.causal, one.cost, one.backward, at_cost))
    curves = []
    for name, causal, value, backward, prepare in rows:
        curve: dict[str, Any] = {"variant": name, "causal": causal, "value": value}
        for way in ("forward", "backward") if backward else ("forward",):
            points: list[list[float]] = []
            for length in lengths:
                arrays = made("normal", (1, HEADS, length, WIDTH))
                points.append([length, seconds_of(both_ways(prepare, arrays, way == "backward"))])
                if points[-1][1] > LONGEST:
                    break
            curve[way] = points
            times = "  ".join(f"{length}: {1e3 * s:.2f}" for length, s in points)
            print(f"  {name:20} {way:8} ms  {times}", flush=True)
        curves.append(curve)
    return curves


# --------------------------------------------------------------------------------------------- what comes out


def ratios(curves: Sequence[dict[str, Any]], way: str) -> dict[str, dict[int, float]]:
    """How many times faster than full attention, causal where the variant is, by length."""
    plain = [c for c in curves if c["variant"].startswith("attention") and way in c]
    base = {c["causal"]: dict(map(tuple, c[way])) for c in plain}
    return {
        c["variant"]: {int(n): base[c["causal"]][n] / s for n, s in c[way] if n in base.get(c["causal"], {})}
        for c in curves
        if way in c and not c["variant"].startswith("attention")
    }


def page(found: dict[str, Any]) -> str:
    """What stands between the markers of docs/approximations.md."""
    where = found["machine"]
    parts = [
        f"Measured on {where['date']}: {where['cpu']}, {where['threads']} threads, {where['isa']}; "
        f"attendo {where['version']}. Single runs, float32.",
        f"![relative error against the parameter](images/{PICTURES[0]})",
        f"![time against length](images/{PICTURES[1]})",
        "How many times faster than full attention (causal beside causal), forward / forward + backward:",
    ]
    forward, backward = ratios(found["cost"], "forward"), ratios(found["cost"], "backward")
    values = {c["variant"]: c["value"] for c in found["cost"]}
    lines = [
        "| | " + " | ".join(f"S = {n}" for n in TABLE_LENGTHS) + " |",
        "|---|" + "---:|" * len(TABLE_LENGTHS),
    ]
    for name, by_length in forward.items():
        label = f"{name}, {values[name]}" if values[name] else name
        ways = (by_length, backward.get(name, {}))
        cells = [" / ".join(report.number(way.get(n)) or "–" for way in ways) for n in TABLE_LENGTHS]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    parts.append("\n".join(lines))
    parts.append(
        f"The relative error of the output at {SHAPE}, with the parameter of that table, else the largest:"
    )
    lines = ["| | " + " | ".join(KINDS) + " |", "|---|" + "---:|" * len(KINDS)]
    for name in dict.fromkeys(c["variant"] for c in found["accuracy"]):
        curves = {
            c["inputs"]: dict(map(tuple, c["points"])) for c in found["accuracy"] if c["variant"] == name
        }
        wanted = values.get(name) or max(curves[KINDS[0]])
        label = f"{name}, {wanted}" if wanted else name
        lines.append(f"| {label} | " + " | ".join(f"{curves[kind][wanted]:.3f}" for kind in KINDS) + " |")
    parts.append("\n".join(lines))
    return "\n\n".join(parts)


def draw(found: dict[str, Any], folder: Path) -> None:
    """The two pictures."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(c["variant"] for c in [*found["accuracy"], *found["cost"]]))
    causal = {c["variant"] for c in found["cost"] if c["causal"]}
    palette = pyplot.get_cmap("tab20")
    colours = {name: palette(i % 20) for i, name in enumerate(names)}
    markers = "os^vD<>pPX*"  # never one colour and one marker twice, for eyes that see fewer colours
    styles = {
        name: f"{markers[i % len(markers)]}{'--' if name in causal else '-'}" for i, name in enumerate(names)
    }
    figure, panels = pyplot.subplots(1, len(KINDS), figsize=(17, 3.8), layout="constrained", sharey=True)
    for axes, kind in zip(panels, KINDS, strict=True):
        for one in found["accuracy"]:
            if one["inputs"] != kind:
                continue
            name, points = one["variant"], one["points"]
            if len(points) == 1:
                axes.axhline(points[0][1], color=colours[name], linestyle=":", label=name)
            else:
                axes.plot(
                    *zip(*points, strict=True), styles[name], markersize=3, color=colours[name], label=name
                )
        axes.set(title=f"{kind} inputs", xscale="log", yscale="log", xlabel="features, landmarks, keys …")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("relative error")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside right center")
    figure.savefig(folder / PICTURES[0], dpi=110)
    pyplot.close(figure)
    figure, panels = pyplot.subplots(1, 2, figsize=(13, 4.8), layout="constrained", sharey=True)
    for axes, way in zip(panels, ("forward", "backward"), strict=True):
        for one in found["cost"]:
            if way in one:
                name = one["variant"]
                lengths, times = zip(*one[way], strict=True)
                label = f"{name}, {one['value']}" if one["value"] else name
                plain = name.startswith("attention")
                axes.plot(
                    lengths,
                    [1e3 * s for s in times],
                    ("k--" if one["causal"] else "k-") if plain else styles[name],
                    markersize=3,
                    **({} if plain else {"color": colours[name]}),
                    label=label,
                )
        title = "forward" if way == "forward" else "forward + backward"
        axes.set(title=f"{title}, (1, {HEADS}, S, {WIDTH})", xscale="log", yscale="log", xlabel="S")
        axes.set_xticks(LENGTHS, [str(n) for n in LENGTHS], fontsize=8)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("milliseconds")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside right center")
    figure.savefig(folder / PICTURES[1], dpi=110)
    pyplot.close(figure)


def run(threads: int) -> None:
    """Measures all, and writes the JSON file, the pictures and the page."""
    import attendo as at

    start = time.perf_counter()
    at.set_num_threads(threads)
    variants = [variant for variant in VARIANTS if present(variant)]
    for variant in VARIANTS:
        if variant not in variants:
            print(f"  {variant.name}: left out, {' and '.join(variant.needs)} is not in this build")
    machine = {
        "date": time.strftime("%Y-%m-%d"),
        "commit": report.commit(),
        "cpu": report.cpu_name(),
        "threads": threads,
        **at.info(),
    }
    found = {"machine": machine, "accuracy": accuracy(variants), "cost": cost(variants)}
    report.write_json(RESULTS, found)
    draw(found, report.IMAGES)
    DOCS.write_text(report.between_markers(DOCS.read_text(encoding="utf-8"), page(found)), encoding="utf-8")
    print(f"{time.perf_counter() - start:.0f} s; written to {RESULTS} and {DOCS}")

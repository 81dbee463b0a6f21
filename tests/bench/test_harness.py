"""The benchmark's own arithmetic, its tables, and that every target has a workload. Nothing is timed."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench.harness import Case, Effort, Side, Timing, Workload  # noqa: E402

from bench import harness, report, workloads  # noqa: E402

# (forward, forward + backward): PyTorch's time by ours, as they were set before anything was measured.
ATTENTION = {
    "1,8,1024,64": (1.3, 1.45),
    "1,8,1024,64 causal": (1.9, 2.1),
    "1,8,4096,64": (1.3, 1.4),
    "1,8,4096,64 causal": (1.5, 1.6),
    "8,8,128,64": (1.7, 2.0),
    "32,4,64,32 causal": (2.8, 3.0),
    "1,8,2048,128 causal": (1.5, 1.6),
    "1,1,2048,64": (1.3, 2.0),
    "8,8,512,64 dropout 0.1": (3.0, 3.0),
    "8,8,512,64 half of the keys padding": (2.0, 2.0),
    "2,32/8,1024,64 causal": (1.8, 2.0),
    "8,8,512,64 weights returned": (2.0, None),
}
OTHERS = {
    "decoder LM, d 32, 2 heads, 1 layer, s 16, b 8": 6.0,
    "decoder LM, d 64, 4 heads, 2 layers, s 32, b 32": 2.2,
    "decoder LM, d 128, 4 heads, 4 layers, s 64, b 32": 1.7,
    "decoder LM, d 128, 4 heads, 4 layers, s 64, b 32, dropout 0.1": 2.5,
    "decoder LM, d 256, 8 heads, 4 layers, s 128, b 16": 1.7,
    "decoder LM, d 512, 8 heads, 6 layers, s 128, b 8": 1.45,
    "encoder-decoder, d 128, 4 heads, 2 + 2 layers, s 64 / 64, b 32, dropout 0.1": 2.5,
    "embedding + LSTM(64) + attention classifier, s 100, b 32": 2.0,
    "embedding + GRU(64) + attention classifier, s 100, b 32": 3.0,
    "CNN + attention, 64 × 3 × 64 × 64": 1.2,
    "Word2Vec skip-gram, 30,000 words, 64 features, batch 1024, 5 negatives": 3.0,
    "GEMM 64³": 1.5,
    "GEMM 256³": 1.1,
    "GEMM 2048×256×64": 1.1,
    "GEMM 2048³": 1.0,
    "linear + bias + GELU, 2048 × 256 → 1024": 1.2,
    "layer norm 4096 × 256, forward + backward": 1.5,
    "cross-entropy 2048 × 30,000, forward + backward": 1.5,
    "embedding gradient, 30,000 × 256, 8,192 rows": 2.0,
}


def test_every_target_has_a_workload():
    found = {w.name: w.target for w in workloads.all_workloads() if w.peer == "PyTorch"}
    wanted = dict(OTHERS)
    for name, (forward, backward) in ATTENTION.items():
        wanted[f"attention {name}, forward"] = forward
        if backward is not None:
            wanted[f"attention {name}, forward + backward"] = backward
    assert {name: found.get(name) for name in wanted} == wanted
    assert {name for name, target in found.items() if target is not None} == set(wanted)
    (long,) = (w for w in workloads.all_workloads() if w.memory_limit is not None)
    assert (long.name, long.memory_limit) == ("attention 1,8,8192,64 (memory), forward + backward", 1.5)
    assert {w.target for w in workloads.all_workloads() if w.family == "sizes"} == {0.8}


def test_workloads_are_chosen_by_name_family_and_word():
    def names(*words):
        return [w.name for w in workloads.select(list(words))]

    assert names("GEMM 64³") == ["GEMM 64³"]
    assert names() == [w.name for w in workloads.all_workloads()]
    assert names("recurrent") == [n for n in OTHERS if "(64) + attention" in n]
    assert set(names("causal")) == {n for n in names() if "causal" in n}
    assert names("no such thing") == []


def test_pairs_alternate_and_give_the_median_ratio(monkeypatch):
    """On a clock of its own: ours takes 2 s a run, the peer 6 s, and each rest is slept."""
    now, slept, order = [0.0], [], []
    monkeypatch.setattr(harness.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(harness.time, "sleep", slept.append)

    def side(name, seconds):
        def run(n):
            order.append((name, n))
            now[0] += n * seconds

        return run

    timing = harness.measure(
        side("ours", 2.0), side("peer", 6.0), Effort(seconds=1, least_pairs=4, most_pairs=9)
    )
    summary = timing.summary()
    assert (summary["ours_s"], summary["peer_s"], summary["ratio"], summary["pairs"]) == (2.0, 6.0, 3.0, 4)
    assert summary["spread"] == [3.0, 3.0]
    assert slept == [harness.PAUSE] * 10  # the two first runs, and four pairs
    assert order[2:] == [(name, 1) for name in ("ours", "peer", "peer", "ours") * 2]


def test_a_measurement_is_repeated_until_it_lasts(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(harness.time, "perf_counter", lambda: now[0])

    def run(n):
        now[0] += n * 1e-4

    n, once = harness.repeats(run, 0.02)
    assert once == pytest.approx(1e-4)
    assert 200 <= n <= 400


def test_spread_is_the_middle_half():
    timing = Timing(ours=[1.0] * 5, peer=[1.0, 2.0, 3.0, 4.0, 100.0])
    assert timing.summary()["spread"] == [2.0, 4.0]
    assert timing.summary()["ratio"] == 3.0
    assert timing.summary(scale=0.5)["ratio"] == 1.5


def test_largest_difference():
    result = {"a": np.array([[1.0, 2.0], [3.0, 9.0]], np.float32), "more": np.ones(3)}
    assert harness.largest_difference(result, {"a": np.array([[1.0, 2.5]])}) == 0.5  # the leading part only
    assert np.isnan(harness.largest_difference({"a": np.array([np.nan, 9.0])}, {"a": np.zeros(2)}))
    with pytest.raises(ValueError, match="a has shape"):
        harness.largest_difference({"a": np.zeros(1)}, {"a": np.zeros(2)})
    with pytest.raises(ValueError, match="not the same work"):
        harness.checked_difference({"a": np.ones(2)}, {"a": np.zeros(2)})
    with pytest.raises(ValueError, match="not the same work"):
        harness.checked_difference({"a": np.array([np.nan])}, {"a": np.zeros(1)})


def test_fastest_way(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(harness.time, "perf_counter", lambda: now[0])
    monkeypatch.delenv("BENCH_WAY", raising=False)

    def taking(seconds):
        def run(n):
            now[0] += n * seconds

        return run

    def fails(n):
        raise NotImplementedError

    ways = {"slow": taking(2.0), "missing": fails, "fast": taking(1.0)}
    assert harness.fastest(ways) == "fast"
    monkeypatch.setenv("BENCH_WAY", "slow")
    assert harness.fastest(ways) == "slow"


def test_weights_follow_from_their_names():
    w = harness.draw("layers.0.linear1.weight", (400, 100), 0)
    assert w.dtype == np.float32
    assert np.std(w) == pytest.approx(0.1, rel=0.05)
    assert (w == harness.draw("layers.0.linear1.weight", (400, 100), 0)).all()
    assert (w != harness.draw("layers.1.linear1.weight", (400, 100), 0)).any()
    assert np.mean(harness.draw("norm1.weight", (100,), 0)) == pytest.approx(1, abs=0.05)
    # Without rounding in between, float64 would not be the reference of the same weights.
    assert (harness.draw("x", (5, 5), 0, "float64") == harness.draw("x", (5, 5), 0)).all()


def small_case(scale=1.0, peer_scale=1.0):
    def side(factor):
        return lambda: Side(lambda n: None, lambda: {"y": np.full(3, factor)})

    return Case(side(scale), side(peer_scale), flops=2e9, reference=lambda: {"y": np.ones(3)})


def clock(monkeypatch, seconds):
    ticks = itertools.count()
    monkeypatch.setattr(harness.time, "perf_counter", lambda: next(ticks) * seconds)
    monkeypatch.setattr(harness.time, "sleep", lambda _: None)
    monkeypatch.setattr(harness, "peak_gflops", lambda: 8.0)


def test_a_record_has_every_key(monkeypatch):
    clock(monkeypatch, 1.0)
    workload = Workload("w", 1.5, lambda seed: small_case(), family="attention")
    found = harness.record(workload, small_case(scale=1.001), Effort(seconds=0, least_pairs=2))
    assert set(report.KEYS) <= set(found)
    assert found["ratio"] == 1.0
    assert found["pass"] is False
    assert (found["gflops"], found["fraction_of_peak"]) == (2.0, 0.25)
    assert found["max_abs_error"] == pytest.approx(1e-3)
    assert found["peer_max_abs_error"] == 0
    json.dumps(found)
    with pytest.raises(ValueError, match="not the same work"):
        harness.record(workload, small_case(peer_scale=2.0), Effort(seconds=0, least_pairs=2))


def object_of(name, **changes):
    plain = dict.fromkeys(report.KEYS) | {"name": name, "ours_s": 1e-3, "peer_s": 2e-3, "ratio": 2.0}
    return plain | {"spread": [1.9, 2.1], "family": "attention", "peer": "PyTorch"} | changes


def test_table():
    rows = [
        object_of("a", target=1.5, **{"pass": True}, fraction_of_peak=0.75, max_abs_error=1e-6),
        object_of("b", target=4.0, **{"pass": False}, ours_peak_mb=50.2, peer_peak_mb=250.0),
        object_of("c", memory_limit=1.5, memory_factor=1.25, **{"pass": True}),
    ]
    lines = report.table(rows).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2] == "| a | 1.5 | 2.00 | 1.90–2.10 | 1 ms | 2 ms | 75 % |  | 1.0e-06 / – | hit |"
    assert lines[3] == "| b | 4 | 2.00 | 1.90–2.10 | 1 ms | 2 ms |  | 50/250 |  | missed by 50 % |"
    assert lines[4].startswith("| c: 1.25 × inputs, outputs and gradients | memory × 1.5 |")
    assert report.summary(rows) == "2 of 3 targets hit"


@pytest.mark.parametrize(
    ("s", "text"),
    [(1.5, "1.5 s"), (0.01234, "12.3 ms"), (5.67e-5, "56.7 µs"), (0.9996, "1000 ms"), (1e-8, "0.01 µs")],
)
def test_seconds(s, text):
    assert report.seconds(s) == text


def test_page_and_markers():
    where = dict.fromkeys(
        ("date", "cpu", "cores", "isa", "version", "compiler", "torch", "numpy", "python"), "x"
    )
    where |= {"threads": 2, "peak_gflops": 100.0}
    page = report.page([object_of("w", peer_way="by hand")], where, [{"axis": "S"}])
    assert "## Attention" in page
    assert "- w: by hand" in page
    assert "(images/growth_attention.png)" in page
    assert "growth_training" not in page
    text = f"before\n\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    written = report.between_markers(text, page)
    assert written.startswith("before\n\n" + report.BEGIN)
    assert written.endswith(report.END + "\nafter\n")
    assert page in written
    assert "old" not in written
    with pytest.raises(ValueError, match="no line"):
        report.between_markers("nothing", page)
    assert report.BEGIN in report.DOCS.read_text(encoding="utf-8")


def test_new_results_take_the_place_of_old_ones():
    old = [object_of("a"), object_of("b"), object_of("gone")]
    merged = report.merged(old, [object_of("b", ratio=3.0), object_of("c")], ["c", "a", "b"])
    assert [(one["name"], one["ratio"]) for one in merged] == [("c", 2.0), ("a", 2.0), ("b", 3.0)]


def test_cliffs():
    from bench.workloads import growth

    points = [{"S": n, "gflops": g} for n, g in ((128, 50.0), (256, 90.0), (512, 60.0), (1024, 55.0))]
    assert growth.cliffs(points, "S") == [512]


def test_the_peak_is_positive():
    assert 0 < harness.peak_gflops() < 1e9


def test_the_memory_of_a_fresh_process():
    from bench import memory

    found = memory.measure("GEMM 64³", "ours", 1)
    assert 1 < found["imported_mb"] <= found["peak_mb"] < 1000
    # Another run of the same needs nothing new.
    assert found["system_calls"] == 0

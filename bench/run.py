"""Every workload against PyTorch: `make bench`, `make bench ARGS="--quick"`, `make bench ARGS=attention`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("names", nargs="*", help="workloads, families, or parts of names; all when left out")
    parser.add_argument("--quick", action="store_true", help="fewer pairs, memory of a few only: two minutes")
    parser.add_argument("--threads", type=int, default=2, help="of both libraries (2)")
    parser.add_argument("--no-memory", action="store_true", help="start no fresh processes for peak memory")
    parser.add_argument("--no-growth", action="store_true", help="leave out the growth curves")
    parser.add_argument("--bits", action="store_true", help="also compare the bits on 1, 2 and 4 threads")
    parser.add_argument("--out", type=Path, help="where results go (bench/results.json)")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument(
        "--docs", action="store_true", help="only write docs/benchmarks.md from the JSON files"
    )
    parser.add_argument(
        "--approximations",
        action="store_true",
        help="only measure what cheaper attention gives up and saves, for docs/approximations.md",
    )
    return parser.parse_args()


def memory_of(workload: Any, found: dict[str, Any], threads: int, *, with_peer: bool) -> None:
    """Adds the peak memory of ours, and of the peer, each in a fresh process."""
    from bench import memory

    ours = memory.measure(workload.name, "ours", threads)
    found["ours_peak_mb"] = ours["peak_mb"]
    if with_peer:
        peer = memory.measure(workload.name, "peer", threads, found["peer_way"])
        found |= {"peer_peak_mb": peer["peak_mb"], "peer_memory_factor": peer.get("factor")}
    # How often the second run asked the system for memory.
    found["system_calls_after_first"] = ours["system_calls"]
    if "factor" in ours:
        found["memory_factor"] = ours["factor"]
    if workload.memory_limit is not None:
        found["memory_limit"] = workload.memory_limit
        found["pass"] = found["memory_factor"] < workload.memory_limit


def line(found: dict[str, Any]) -> str:
    from bench import report

    spread = found["spread"]
    parts = [
        f"{found['name']:62} {found['ratio']:6.2f}",
        "" if spread is None else f"[{spread[0]:5.2f}, {spread[1]:5.2f}]",
        f"target {report.target(found)}" if report.target(found) else "",
        f"{report.seconds(found['ours_s']):>8} : {report.seconds(found['peer_s']):<8}",
        "" if found["fraction_of_peak"] is None else f"{100 * found['fraction_of_peak']:3.0f} % of peak",
        ""
        if found["ours_peak_mb"] is None
        else "/".join(f"{x:.0f}" for x in (found["ours_peak_mb"], found["peer_peak_mb"]) if x) + " MB",
        "" if found["max_abs_error"] is None else f"error {found['max_abs_error']:.1e}",
        report.verdict(found),
    ]
    return "  ".join(part for part in parts if part)


def run_one(workload: Any, options: argparse.Namespace) -> dict[str, Any] | None:
    """The object of a workload; None where this build of attendo lacks what it needs."""
    from bench import harness

    effort = harness.QUICK if options.quick else harness.FULL
    try:
        case = workload.build(0)
        check = workload.quick_check or not options.quick
        found = harness.record(workload, case, effort, check=check)
        if options.bits and workload.peer != "attendo":
            found["same_bits"] = harness.same_bits(case.ours())
    except harness.Missing as missing:
        print(f"{workload.name:62} skipped: {missing} is not in this build", flush=True)
        return None
    found["quick"] = options.quick
    wanted = workload.quick_memory if options.quick else workload.memory
    if wanted and not options.no_memory:
        memory_of(workload, found, options.threads, with_peer=not options.quick)
    print(line(found), flush=True)
    return found


def run_all(options: argparse.Namespace) -> tuple[list[dict[str, Any]], list[str]]:
    """The objects of all workloads that were chosen, and the names of those that failed."""
    from bench import workloads
    from bench.workloads import startup

    results, failed = [], []
    for workload in workloads.select(options.names):
        try:
            found = run_one(workload, options)
        except (RuntimeError, ValueError, TypeError, AttributeError, subprocess.CalledProcessError) as error:
            failed.append(workload.name)
            print(f"{workload.name:62} FAILED: {error}", flush=True)
            if isinstance(error, subprocess.CalledProcessError):
                print(error.stderr)
            continue
        if found is not None:
            results.append(found)
    for name in startup.NAMES:
        if not options.names or any(word in name or word == "startup" for word in options.names):
            results.append(startup.measure(name, options.threads, 1 if options.quick else 11))
            print(line(results[-1]), flush=True)
    return results, failed


def main() -> int:
    options = arguments()
    # NumPy and PyTorch read these when they are imported, which is below.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    # OpenBLAS's idle workers spin for 2^26 cycles unless told otherwise, on the cores of what is timed next.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")
    if options.quick:
        os.environ["BENCH_QUICK"] = "1"
    os.environ["PYTHONPATH"] = str(ROOT)  # of the fresh processes
    sys.path.insert(0, str(ROOT))
    from bench import report, workloads

    if options.list:
        print("\n".join(w.name for w in workloads.select(options.names)))
        return 0
    if options.docs:
        report.write_docs()
        return 0
    if options.approximations:
        from bench import approximations

        approximations.run(options.threads)
        return 0
    warnings.filterwarnings("ignore", module="torch")
    start = time.perf_counter()
    workloads.use_threads(options.threads)
    from bench import harness
    from bench.workloads import growth, startup

    where = report.machine(options.threads, harness.peak_gflops(), options.quick)
    print(
        f"{where['cpu']}, {options.threads} threads, {where['isa']}, "
        f"FMA peak {where['peak_gflops']:.0f} GFLOP/s, PyTorch {where['torch']}\n"
        "ratio = the peer's time / ours, [the middle half of all pairs]",
        flush=True,
    )
    results, failed = run_all(options)
    if not results and "growth" not in options.names:
        print(
            f"no workload is called {' '.join(options.names)}: see --list"
            if not failed
            else "nothing measured"
        )
        return 1
    out = options.out or report.RESULTS
    order = [w.name for w in workloads.all_workloads()] + list(startup.NAMES)
    old = report.read_json(out) if options.names and out.exists() else []
    if results:
        report.write_json(out, report.merged(old, results, order))
    if (
        (not options.names or "growth" in options.names)
        and not options.no_growth
        and not (options.quick and not options.names)
    ):
        curves = growth.run(options.quick)
        if not options.quick and options.out is None:
            report.write_json(report.GROWTH, curves)
            growth.draw(curves, report.IMAGES)
    if not options.names:
        report.write_json(out.with_name("machine.json"), where)
        if not options.quick and options.out is None:
            report.write_docs()  # what is published is a full run
    print(f"{report.summary(results)}; {time.perf_counter() - start:.0f} s; written to {out}")
    if failed:
        print("failed: " + "; ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

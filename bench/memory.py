"""Peak memory of one side of a workload, in a fresh process.

python -m bench.memory NAME ours|peer THREADS
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def _status(field: str) -> int | None:
    """A size in bytes from the kernel's page on this process, where there is one."""
    try:
        with open("/proc/self/status", encoding="ascii") as lines:
            for line in lines:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def peak_bytes() -> int:
    """The most memory this process has held at once."""
    # ru_maxrss starts at what the parent held when it made this process; VmHWM does not.
    peak = _status("VmHWM")
    if peak is not None:
        return peak
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def current_bytes() -> int:
    """The memory this process holds now."""
    return _status("VmRSS") or peak_bytes()


def measure_here(name: str, side: str, threads: int) -> dict[str, Any]:
    """Runs one side of a workload twice in this process."""
    from bench import workloads

    workload = workloads.by_name(name)
    workloads.use_threads(threads, ours=side == "ours" or workload.peer == "attendo", peer=side == "peer")
    imported = current_bytes()
    case = workload.build(0)
    run = (case.ours if side == "ours" else case.peer)().run
    found: dict[str, Any] = {"imported_mb": imported / 1e6}
    run(1)
    if side == "ours":
        import attendo as at

        before = at.memory_stats()["system_calls"]
        run(1)
        found["system_calls"] = at.memory_stats()["system_calls"] - before
    peak = peak_bytes()
    found["peak_mb"] = peak / 1e6
    if case.needed_bytes is not None:
        found["factor"] = (peak - imported) / case.needed_bytes
    return found


def measure(name: str, side: str, threads: int, way: str = "") -> dict[str, Any]:
    """The same in a process of its own; `way` is the peer's fastest, which is not looked for again."""
    command = [sys.executable, "-m", "bench.memory", name, side, str(threads)]
    environment = {**os.environ, "BENCH_WAY": way}
    answer = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found


if __name__ == "__main__":
    print(json.dumps(measure_here(sys.argv[1], sys.argv[2], int(sys.argv[3]))))

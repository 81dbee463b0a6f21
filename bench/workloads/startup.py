"""What it costs to begin: the import, and the first call; each measured in fresh processes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

from bench.harness import Workload

IMPORT = """
import json, time
start = time.perf_counter()
import numpy
numpy_s = time.perf_counter() - start
start = time.perf_counter()
import {library}
print(json.dumps([numpy_s, time.perf_counter() - start]))
"""

# A first call, then nine more: attention over 64 tokens, on inputs that are there already.
CALLS = {
    "attendo": """
import json, time, numpy as np, attendo as at
at.set_num_threads({threads})
x = at.tensor(np.random.default_rng(0).standard_normal((1, 4, 64, 32), dtype=np.float32))
call = lambda: at.attention(x, x, x)
""",
    "torch": """
import json, time, numpy as np, torch
torch.set_num_threads({threads})
x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 4, 64, 32), dtype=np.float32))
call = lambda: torch.nn.functional.scaled_dot_product_attention(x, x, x)
""",
}
TIMES = """
seconds = []
for _ in range(10):
    start = time.perf_counter()
    call()
    seconds.append(time.perf_counter() - start)
print(json.dumps([seconds[0], seconds[9]]))
"""

IMPORT_LIMIT = 0.05  # seconds on top of NumPy's own import
FIRST_CALL_LIMIT = 0.005  # seconds the first call may be slower than the tenth

NAMES = ("import after NumPy", "first call")


def fresh(code: str, times: int) -> list[float]:
    """The medians of what fresh processes print."""
    command = [sys.executable, "-c", code]
    answers = [
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(times)
    ]
    return [statistics.median(column) for column in zip(*answers, strict=True)]


def measure(name: str, threads: int, times: int) -> dict[str, Any]:
    if name == NAMES[0]:
        numpy_s, ours = fresh(IMPORT.format(library="attendo"), times)
        peer = fresh(IMPORT.format(library="torch"), times)[1]
        more = {"numpy_s": numpy_s, "limit_s": IMPORT_LIMIT, "pass": ours <= IMPORT_LIMIT}
    else:
        (ours, tenth), (peer, peer_tenth) = (
            fresh(CALLS[library].format(threads=threads) + TIMES, times) for library in ("attendo", "torch")
        )
        more = {
            "tenth_call_s": tenth,
            "peer_tenth_call_s": peer_tenth,
            "limit_s": FIRST_CALL_LIMIT,
            "pass": ours - tenth <= FIRST_CALL_LIMIT,
        }
    empty = ("gflops", "fraction_of_peak", "ours_peak_mb", "peer_peak_mb", "max_abs_error", "target")
    found: dict[str, Any] = {
        "name": name,
        "ours_s": ours,
        "peer_s": peer,
        "ratio": peer / ours,
        "spread": None,
    }
    return found | dict.fromkeys(empty) | {"family": "startup", "peer": "PyTorch"} | more


def workloads() -> list[Workload]:
    """None that a pair could time; `measure` does."""
    return []

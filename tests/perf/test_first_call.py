"""The first call does the work of a call: nothing is imported, opened or compiled then."""

import json
import subprocess
import sys

import pytest

CHILD = """
import json, os, sys
import numpy as np
import attendo as at

threads, kind = int(sys.argv[1]), sys.argv[2]
at.set_num_threads(threads)
q = np.ones((1, 8, 256, 64), dtype="float32")
tensor = at.tensor(q, requires_grad=True)
calls = {
    "array": lambda: at.attention(q, q, q),
    "masked": lambda: at.attention(q, q, q, mask=at.masks.causal() & at.masks.lengths([200])),
    "backward": lambda: at.attention(tensor, tensor, tensor).sum().backward(),
}
call, events, watching = calls[kind], [], False

def hook(event, arguments):
    if watching:
        events.append(f"{event} {arguments}")

def running():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0

sys.addaudithook(hook)
before = running()
watching = True
call()
watching = False
print(json.dumps({"events": events, "threads": running() - before}))
"""


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("kind", ["array", "masked", "backward"])
def test_first_call(kind, threads):
    command = [sys.executable, "-c", CHILD, str(threads), kind]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    first = json.loads(result.stdout)
    assert first["events"] == []  # imports, files, code: all that Python tells its auditors
    assert first["threads"] <= threads - 1  # workers, besides the thread that calls

"""Memory: attention never holds an L × S array, and training asks for all it needs in its first step.

Measured in processes of their own, by what Linux says of them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from workloads import TRAINING

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")

MEASURE = """
import json, sys
import numpy as np
import attendo as at

def status(field):
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(field + ":"))

def forget_peak():
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass  # the peak so far then counts as well: what is measured can only be larger
"""

ATTENTION = """
length, threads, option = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
heads, d = 8, 64
at.set_num_threads(threads)
def step(length):
    rng = np.random.default_rng(0)
    shape = (1, heads, length, d)
    q, k, v = (at.tensor(rng.standard_normal(shape, dtype="float32"), requires_grad=True) for _ in range(3))
    d_out = at.tensor(rng.standard_normal(shape, dtype="float32"))
    options = {
        "full": {},
        "causal": {"mask": at.masks.causal()},
        "lengths": {"mask": at.masks.lengths([length - 5])},
        "dropout": {"dropout": 0.1, "generator": at.Generator(0)},
    }[option]
    forget_peak()
    before = status("VmRSS")
    out = at.attention(q, k, v, **options)
    forward = status("VmHWM") - before
    out.backward(d_out)
    assert q.grad is not None and k.grad is not None and v.grad is not None
    return forward, status("VmHWM") - before

step(64)  # threads, code
forward, both = step(length)
print(json.dumps({"one": 4 * heads * length * d, "forward": forward, "both": both}))
"""

STATISTICS = """
length = int(sys.argv[1])
rng = np.random.default_rng(0)
q, k = (rng.standard_normal((1, 8, length, 64), dtype="float32") for _ in range(2))
at.attention_stats(q[:, :, :64], k[:, :, :64]).row_weights(0)  # threads, code
forget_peak()
before = status("VmRSS")
stats = at.attention_stats(q, k, mask=at.masks.causal())
stats.row_weights([0, length - 1])
print(json.dumps({"one": q.nbytes, "peak": status("VmHWM") - before}))
"""

TRAIN = """
sys.path.insert(0, sys.argv[1])
from workloads import TRAINING

threads, steps = int(sys.argv[3]), int(sys.argv[4])
at.set_num_threads(threads)
workload = TRAINING[sys.argv[2]].cut_down()
trainer, inputs, target = workload.trainer(1)  # one batch: an epoch is a step
asked, size = [], []

class Watch(at.callbacks.Callback):
    def on_epoch_end(self, trainer, info):
        asked.append(at.memory_stats()["system_calls"])
        size.append(status("VmSize"))

trainer.fit(inputs, target, epochs=steps, batch_size=workload.batch, progress=False, callbacks=[Watch()])
print(json.dumps({"asked": asked, "size": size}))
"""


def run(code, *arguments):
    command = [sys.executable, "-c", MEASURE + code, *map(str, arguments)]
    # One heap for all threads: glibc otherwise reserves one for each, when it first asks.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("option", ["full", "causal", "lengths", "dropout"])
@pytest.mark.parametrize("length", [2048, pytest.param(8192, marks=pytest.mark.slow)])
def test_attention(length, option):
    """Forward and backward stay under 1.5 times inputs, outputs and gradients, all of q's size."""
    measured = run(ATTENTION, length, 2, option)
    one = measured["one"]
    inputs, outputs, gradients = 3, 1, 4  # the gradients of the output and of the inputs
    above_inputs = 1.5 * (inputs + outputs + gradients) - (inputs + 1)  # d_out is there from the beginning
    assert 0.9 * one < measured["forward"] < 1.5 * one
    assert 3.9 * one < measured["both"] < above_inputs * one


@pytest.mark.parametrize("length", [2048, pytest.param(8192, marks=pytest.mark.slow)])
def test_attention_stats(length):
    """Copies of q and k, the results, two rows and the block of queries each of them is of."""
    measured = run(STATISTICS, length)
    assert 1.9 * measured["one"] < measured["peak"] < 2.8 * measured["one"]


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("name", TRAINING)
def test_training_asks_for_memory_in_its_first_step_only(name, threads):
    measured = run(TRAIN, Path(__file__).parents[1], name, threads, 6)
    asked, size = measured["asked"], measured["size"]
    assert len(asked) == len(size) == 6 and asked[0] > 0
    assert set(asked) == {asked[0]}, asked
    if threads == 1:  # more threads bring stacks and oneTBB's own memory when they first find something to do
        assert max(size) - size[0] <= 2**20, size  # Python's own: it asks for 1 MiB at a time

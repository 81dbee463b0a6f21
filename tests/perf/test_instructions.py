"""How many instructions five kernels take: a slow-down shows without a clock.

Counted by valgrind on the AVX2 kernels, which is the most it emulates, in one thread. The numbers in
instructions.json are of one compiler each; after a change that is meant to change them, write them anew:

    RECORD_INSTRUCTIONS=1 make test ARGS="-m slow tests/perf/test_instructions.py"
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import attendo as at

pytestmark = pytest.mark.slow

RECORDED = Path(__file__).with_name("instructions.json")
AGAIN = 'RECORD_INSTRUCTIONS=1 make test ARGS="-m slow tests/perf/test_instructions.py"'
TOLERANCE = 0.05
REPETITIONS = 2

# Every call of getppid ends a profile. Of each kernel there are two, of N and of 2 N calls: the difference is
# N calls and nothing else.
CHILD = """
import os, sys
import numpy as np
import attendo as at

assert at.info()["isa"] == "avx2" and at.get_num_threads() == 1, at.info()
repetitions = int(sys.argv[1])
rng = np.random.default_rng(0)

def tensor(*shape, requires_grad=False):
    return at.tensor(rng.standard_normal(shape, dtype=np.float32), requires_grad=requires_grad)

q, k, v = (tensor(2, 256, 64, requires_grad=True) for _ in range(3))
d_out = tensor(2, 256, 64)
out = at.attention(q, k, v)
a, b = tensor(256, 256), tensor(256, 256)
x, weight, bias = (tensor(*shape, requires_grad=True) for shape in [(512, 256), (256,), (256,)])
d_y = tensor(512, 256)
logits, target = tensor(128, 2000, requires_grad=True), rng.integers(0, 2000, 128)

def backward(y, d_y, *inputs):
    y.backward(d_y)
    for x in inputs:
        x.grad = None

def attention_forward():
    with at.no_grad():
        at.attention(q, k, v)

kernels = [
    attention_forward,
    lambda: backward(out, d_out, q, k, v),
    lambda: at.functional.matmul(a, b),
    lambda: backward(at.functional.layer_norm(x, weight, bias), d_y, x, weight, bias),
    lambda: backward(at.functional.cross_entropy(logits, target), None, logits),
]
for kernel in kernels:
    kernel()  # memory, tables
for kernel in kernels:
    for count in (repetitions, 2 * repetitions):
        os.getppid()
        for _ in range(count):
            kernel()
        os.getppid()
"""

# The useful work of a call: multiplications and additions of the products, or elements.
WORK = {
    "attention forward, per flop": 4 * 2 * 256 * 256 * 64,
    "attention backward, per flop": 10 * 2 * 256 * 256 * 64,
    "gemm, per flop": 2 * 256**3,
    "layer norm forward and backward, per element": 512 * 256,
    "cross-entropy forward and backward, per element": 128 * 2000,
}


def counts(tmp_path):
    """Instructions of a call, for each of WORK."""
    profile = tmp_path / "profile"
    command = ["valgrind", "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={profile}"]
    settings = {"ATTENDO_ISA": "avx2", "ATTENDO_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(
        [*command, sys.executable, "-c", CHILD, str(REPETITIONS)],
        env={**os.environ, **settings, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    totals = []
    for i in range(1, 4 * len(WORK) + 1):
        text = profile.with_name(f"profile.{i}").read_text(encoding="utf-8", errors="replace")
        assert "Trigger: --dump-before=getppid" in text
        (total,) = re.findall(r"^totals: (\d+)$", text, re.MULTILINE)
        totals.append(int(total))
    # The profiles: what was before, N calls, what was between, 2 N calls; and so on.
    once, twice = totals[1::4], totals[3::4]
    return [(b - a) / REPETITIONS for a, b in zip(once, twice, strict=True)]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    if shutil.which("valgrind") is None:
        pytest.skip("there is no valgrind here to count with")
    if at.info()["isa"] not in ("avx2", "avx512"):
        pytest.skip("the numbers are of the AVX2 kernels, which this processor has not")
    per_call = counts(tmp_path_factory.mktemp("callgrind"))
    return {name: count / WORK[name] for name, count in zip(WORK, per_call, strict=True)}


@pytest.fixture(scope="module")
def recorded(request):
    compiler = at.info()["compiler"].split(".")[0]
    known = json.loads(RECORDED.read_text(encoding="utf-8"))
    if os.environ.get("RECORD_INSTRUCTIONS"):
        measured = request.getfixturevalue("measured")
        known[compiler] = {name: float(f"{count:.4g}") for name, count in measured.items()}
        RECORDED.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    if compiler not in known:
        pytest.skip(f"no numbers of {compiler} were recorded: {AGAIN}")
    return known[compiler]


@pytest.mark.parametrize("name", WORK)
def test_instructions(name, recorded, measured):
    assert set(recorded) == set(WORK)
    change = measured[name] / recorded[name] - 1
    said = f"{name}: {measured[name]:.4g} instructions, {change:+.1%} against the {recorded[name]} recorded"
    assert change <= TOLERANCE, f"{said}. If that is meant: {AGAIN}"
    assert change >= -TOLERANCE, f"{said}. Well done; so that it stays: {AGAIN}"


def test_fewer_instructions_than_useful_flops_need_are_a_mistake(measured):
    """One vector instruction does at most 16 of them: what is counted is the kernel, and all of it."""
    for name, count in measured.items():
        assert 1 / 16 < count < 100, name

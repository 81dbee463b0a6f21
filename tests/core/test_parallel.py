"""Threads: how many, and calls from many at once."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import attendo as at
from tolerance import assert_same_bits


def test_number_of_threads():
    at.set_num_threads(1)
    assert at.get_num_threads() == 1 == at.info()["threads"]
    at.set_num_threads(3)
    assert at.get_num_threads() == 3
    for bad, error in [
        (0, ValueError),
        (-1, ValueError),
        (-(2**70), ValueError),
        (1.5, TypeError),
        ("2", TypeError),
    ]:
        with pytest.raises(error, match="set_num_threads: threads is"):
            at.set_num_threads(bad)
    assert at.get_num_threads() == 3


def work(seed):
    rng = np.random.default_rng(seed)
    q, k, v = (rng.standard_normal((2, 65, 16)).astype(np.float32) for _ in range(3))
    tensors = [at.tensor(x, requires_grad=True) for x in (q, k, v)]
    out = at.attention(*tensors, mask=at.masks.causal(), dropout=0.1, generator=at.Generator(seed))
    y = at.functional.layer_norm(at.functional.linear(out, rng.standard_normal((33, 16)).astype(np.float32)))
    at.functional.cross_entropy(y, rng.integers(0, 33, (2, 65))).backward()
    return [y.numpy(), *(t.grad.numpy() for t in tensors)]


@pytest.mark.parametrize("threads", [1, 2])
def test_calls_from_many_threads_give_the_bits_of_serial_ones(threads):
    at.set_num_threads(threads)
    expected = [work(seed) for seed in range(24)]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(work, range(24)))
    for a, b in zip(got, expected, strict=True):
        for x, y in zip(a, b, strict=True):
            assert_same_bits(x, y)


def test_gradients_of_many_threads_add_up():
    """Whole numbers: their sum is exact in any order."""
    weight = at.tensor(np.zeros((5, 7)), requires_grad=True)
    x = np.random.default_rng(0).integers(-3, 4, (16, 7)).astype(float)

    def run(_):
        at.functional.linear(x, weight).sum().backward()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(40)))
    np.testing.assert_array_equal(weight.grad.numpy(), 40 * np.tile(x.sum(0), (5, 1)))


def test_a_model_answers_many_threads():
    model = at.models.Transformer(16, 2, 1, 1, 32, 9, 7, 12, seed=0).eval()
    ids = np.random.default_rng(0).integers(1, 7, (20, 3, 9))

    def run(i):
        with at.no_grad():
            return model(ids[i], ids[i]).numpy()

    expected = [run(i) for i in range(20)]
    with ThreadPoolExecutor(6) as pool:
        for a, b in zip(pool.map(run, range(20)), expected, strict=True):
            assert_same_bits(a, b)


def test_python_goes_on_while_the_core_computes():
    """The GIL is released: another thread gets to run during one long call."""
    at.set_num_threads(1)
    a = np.random.default_rng(0).standard_normal((1500, 1500))
    ticks, done = [0], threading.Event()

    def tick():
        while not done.wait(0.001):
            ticks[0] += 1

    thread = threading.Thread(target=tick)
    thread.start()
    before = ticks[0]
    at.functional.matmul(a, a)
    during = ticks[0] - before
    done.set()
    thread.join()
    assert during > 2


FORK = """
import os, sys
import numpy as np
import attendo as at

a = np.ones((600, 600))
at.functional.matmul(a, a)
pid = os.fork()
if pid == 0:
    try:
        at.functional.matmul(a, a)
        os._exit(0)
    except RuntimeError as error:
        os._exit(7 if "fork" in str(error) else 8)
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_says_so_or_works_but_does_not_hang():
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    result = subprocess.run(command, timeout=30, capture_output=True, text=True, check=False)
    assert result.returncode in (0, 7), (result.returncode, result.stderr)

"""gemm, reached through what calls it: every way it cuts a product, against the reference."""

import numpy as np
import pytest

import attendo as at
from attendo import reference

# (m, n, k): which path each takes is in cpp/ops/gemm.cpp.
SIZES = [
    (1, 1, 1), (1, 300, 70), (4, 65, 33),  # few rows: dotted, not packed
    (5, 64, 64), (7, 256, 31), (200, 128, 64),  # b read in place
    (6, 63, 17), (61, 257, 40), (300, 600, 100),  # b packed
    (33, 20, 5000), (128, 512, 600), (5, 3, 4096),  # deep and small: shards of the depth
    (250, 1100, 1030),  # several blocks along every axis
    (3, 5, 0), (0, 5, 3), (5, 0, 3),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "n", "k"), SIZES)
def test_every_path(m, n, k, dtype):
    rng = np.random.default_rng(m + n + k)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    bias = rng.standard_normal(n).astype(dtype)
    scale = np.abs(a).astype("float64") @ np.abs(b).astype("float64") + np.abs(bias)
    bound = 4 * np.finfo(dtype).eps * scale + np.finfo(dtype).tiny
    exact = reference.gemm(a.astype("float64"), b.astype("float64"))
    assert (np.abs(at.functional.matmul(a, b) - exact) <= bound).all()
    exact = reference.gemm(a.astype("float64"), b.astype("float64"), bias=bias)
    assert (np.abs(at.functional.linear(a, np.ascontiguousarray(b.T), bias) - exact) <= bound).all()


@pytest.mark.parametrize(("rows", "d", "dff"), [(1, 8, 16), (50, 16, 24), (64, 64, 256)])
def test_relu_in_the_same_pass(rows, d, dff):
    layer = at.nn.FeedForward(d, dff, dtype="float64", seed=0)
    x = np.random.default_rng(rows).standard_normal((rows, d))
    w = layer.state_dict()
    hidden = reference.gemm(x, w["linear1.weight"].T, bias=w["linear1.bias"], relu=True)
    assert (hidden == 0).any() and (hidden > 0).any()
    y = reference.gemm(hidden, w["linear2.weight"].T, bias=w["linear2.bias"])
    np.testing.assert_allclose(layer(x).numpy(), y, rtol=1e-13, atol=1e-13)


def test_a_gradient_is_added_to_what_is_there():
    """The second backward adds to the first one's product: c = a·b + c."""
    x = at.tensor(np.random.default_rng(0).standard_normal((9, 5)))
    w = at.tensor(np.random.default_rng(1).standard_normal((4, 5)), requires_grad=True)
    d = np.random.default_rng(2).standard_normal((9, 4))
    once = reference.gemm(d.T, x.numpy())
    for _ in range(2):
        at.functional.linear(x, w).backward(d)
    np.testing.assert_allclose(w.grad.numpy(), reference.gemm(d.T, x.numpy(), c=once), rtol=1e-14, atol=1e-14)

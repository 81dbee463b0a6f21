"""Multiply-adds: as many as one counts by hand, on any number of threads, forward and backward."""

import numpy as np
import pytest

import attendo as at
from attendo import functional as F
from inputs import THREADS

rng = np.random.default_rng(0)
B, S, D = 2, 12, 8


def x(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def multiply_adds(function, *args, **options):
    flops = at.count_flops(function, *args, **options)
    assert flops % 2 == 0
    return flops // 2


@pytest.mark.parametrize(
    "sizes", [(3, 5, 7), (1, 4096, 64), (200, 700, 33), (64, 2000, 8), (1, 1, 1), (0, 3, 2)]
)
def test_products_of_matrices(sizes):
    m, k, n = sizes
    assert multiply_adds(F.matmul, x(m, k), x(k, n)) == m * k * n
    assert multiply_adds(F.matmul, x(4, m, k), x(4, k, n)) == 4 * m * k * n
    assert multiply_adds(F.linear, x(m, k), x(n, k)) == m * k * n


def test_what_is_not_a_product_costs_nothing():
    for function in (F.softmax, F.gelu, F.relu):
        assert multiply_adds(function, x(64, 64)) == 0


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_convolutions(groups):
    images, kernels = x(B, 8, 9, 10), x(16, 8 // groups, 3, 3)
    each = B * 16 * 9 * 10 * (8 // groups) * 9
    assert multiply_adds(F.conv2d, images, kernels, padding=1, groups=groups) == each
    sounds, taps = x(B, 8, 20), x(16, 8 // groups, 5)
    assert multiply_adds(F.conv1d, sounds, taps, groups=groups) == B * 16 * 16 * (8 // groups) * 5


def test_attention():
    q, k, v = x(B, 4, S, D), x(B, 4, 20, D), x(B, 4, 20, 6)
    assert multiply_adds(at.attention, q, k, v) == B * 4 * S * 20 * (D + 6)
    # A mask hides pairs; they are counted.
    hidden = at.masks.lengths([3, 5])
    assert multiply_adds(at.attention, q, k, v, mask=hidden) == B * 4 * S * 20 * (D + 6)
    # Heads that share keys.
    assert multiply_adds(at.attention, q, k[:, :2], v[:, :2]) == B * 4 * S * 20 * (D + 6)
    weights = (x(D, D), x(D, D), x(D))
    additive = multiply_adds(at.attention, q, k, v, score="additive", score_params=weights)
    assert additive == B * 4 * (S * D * D + 20 * D * D + S * 20 * (D + 6))  # with projections


def test_attention_that_is_not_quadratic():
    q, k, v = x(B, 4, 64, D), x(B, 4, 64, D), x(B, 4, 64, D)
    assert multiply_adds(F.linear_attention, q, k, v) >= 2 * B * 4 * 64 * D * D
    ratios = []
    for function in (F.linear_attention, at.attention):
        costs = [multiply_adds(function, *(np.tile(a, (1, 1, n, 1)) for a in (q, k, v))) for n in (1, 4)]
        ratios.append(costs[1] / costs[0])
    assert ratios == [pytest.approx(4, rel=0.01), 16]


@pytest.mark.parametrize(("layer", "gates"), [(at.nn.LSTM, 4), (at.nn.GRU, 3)])
def test_recurrent_layers(layer, gates):
    net, steps = layer(5, 7), 2 * 9
    assert multiply_adds(net, x(2, 9, 5)) == steps * gates * 7 * (5 + 7)
    assert multiply_adds(net, x(2, 9, 5), lengths=[4, 9]) == 13 * gates * 7 * (5 + 7)
    both = layer(5, 7, num_layers=2, bidirectional=True)
    assert multiply_adds(both, x(2, 9, 5)) == steps * 2 * gates * 7 * ((5 + 7) + (14 + 7))


def test_int8():
    net = at.nn.Linear(64, 32)
    expected = {rows: rows * 64 * 32 for rows in (1, 3, 200)}
    net.to_int8()
    assert {rows: multiply_adds(net, x(rows, 64)) for rows in expected} == expected


def step(net, *inputs):
    out = net(*inputs)
    (out[0] if isinstance(out, tuple) else out).sum().backward()


@pytest.mark.parametrize(
    ("make", "shape", "times"),
    [
        (lambda: at.nn.Linear(16, 8), (64, 16), 3),
        (lambda: at.nn.Conv2d(8, 16, 3), (B, 8, 9, 10), 3),
        (lambda: at.nn.Conv2d(8, 8, 3, groups=8), (B, 8, 9, 10), 3),
        (lambda: at.nn.LSTM(5, 7), (2, 9, 5), 3),
        (lambda: at.nn.GRU(5, 7), (2, 9, 5), 3),
    ],
)
def test_backward_is_two_forwards(make, shape, times):
    """One product for the inputs' gradient, one for the weights'."""
    net, inputs = make(), at.tensor(x(*shape), requires_grad=True)
    assert multiply_adds(step, net, inputs) == times * multiply_adds(net, inputs)
    constant = at.tensor(x(*shape))
    assert multiply_adds(step, net, constant) < times * multiply_adds(net, constant)


def test_backward_of_attention_makes_the_scores_again():
    q, k, v = (at.tensor(x(B, 4, S, D), requires_grad=True) for _ in range(3))
    products = 2 + 5  # q kᵀ, a v;  then q kᵀ, do vᵀ, aᵀ do, ds k, dsᵀ q
    assert multiply_adds(step, at.attention, q, k, v) == products * B * 4 * S * S * D


@pytest.mark.parametrize("threads", THREADS)
def test_the_same_on_any_number_of_threads(threads):
    at.set_num_threads(threads)
    images = x(16, 4, 24, 24)
    kernels = x(8, 4, 3, 3)
    assert multiply_adds(F.conv2d, images, kernels) == 16 * 8 * 22 * 22 * 4 * 9
    q = x(4, 4, 200, 32)
    assert multiply_adds(at.attention, q, q, q) == 4 * 4 * 200 * 200 * 64


def test_counters_stand_in_each_other():
    a, b = x(3, 4), x(4, 5)

    def both():
        F.matmul(a, b)
        assert at.count_flops(F.matmul, a, b) == 120
        F.matmul(a, b)

    assert at.count_flops(both) == 360
    with pytest.raises(ZeroDivisionError):
        at.count_flops(lambda: F.matmul(a, b)[1 // 0])
    assert at.count_flops(F.matmul, a, b) == 120


def test_another_thread_does_not_count_here():
    import threading

    def elsewhere():
        thread = threading.Thread(target=F.matmul, args=(x(3, 4), x(4, 5)))
        thread.start()
        thread.join()

    assert at.count_flops(elsewhere) == 0

"""The tape."""

import gc
import threading
import weakref

import numpy as np
import pytest

import attendo as at
from tolerance import assert_close, assert_same_bits


def leaf(*values):
    return at.tensor(np.array(values), requires_grad=True)


def test_a_small_graph_by_hand():
    x, y = leaf(2.0, 3.0), leaf(5.0, 7.0)
    z = (x * y + x) / y
    z.backward(np.array([1.0, 10.0]))
    assert_close(x.grad, [(5 + 1) / 5, 10 * (7 + 1) / 7])
    assert_close(y.grad, [-2 / 25, -10 * 3 / 49])


def test_the_same_tensor_twice():
    x = leaf(3.0)
    (x * x).backward()
    assert x.grad.tolist() == [6]
    x.zero_grad()
    (x + x).backward()
    assert x.grad.tolist() == [2]
    x.zero_grad()
    at.functional.concatenate([x, x, x]).backward(np.array([1.0, 2, 3]))
    assert x.grad.tolist() == [6]


@pytest.mark.parametrize(
    ("f", "d_a", "d_b"),
    [
        (lambda a, b: (a + b) + a, 2, 1),
        (lambda a, b: (b + a) + a, 2, 1),
        (lambda a, b: a + (a + b), 2, 1),
        (lambda a, b: (a + b) + (a + b), 2, 2),
        (lambda a, b: ((a + b) + b) + (a - b), 2, 1),
        (lambda a, b: (a + b).reshape(1, 2).reshape(2) + b, 1, 2),
        (lambda a, b: (a + b + 1.0) + a, 2, 1),
        (lambda a, b: (a * 3.0) + (a + b), 4, 1),
        (lambda a, b: (a + b) + (a * 3.0), 4, 1),
        (lambda a, b: at.functional.concatenate([a, b])[:2] + (a + b), 2, 1),
        (lambda a, b: (a + b)[0:2] + a, 2, 1),
        (lambda a, b: (a + b).transpose() + b, 1, 2),
        (lambda a, b: (a + b) + a.detach(), 1, 1),
    ],
)
def test_gradients_that_pass_unchanged_are_not_shared(f, d_a, d_b):
    """Residual connections: one gradient flows into several tensors, and each adds more to its own."""
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = f(a, b)
    y.backward(np.array([1.0, 10.0]))
    assert_same_bits(a.grad, d_a * np.array([1.0, 10.0]))
    assert_same_bits(b.grad, d_b * np.array([1.0, 10.0]))
    y.backward(np.array([1.0, 10.0]))
    assert_same_bits(a.grad, 2 * d_a * np.array([1.0, 10.0]))
    assert_same_bits(b.grad, 2 * d_b * np.array([1.0, 10.0]))


def test_shared_subgraphs_are_visited_once():
    """Sixty doublings: walking every path would take 2⁶⁰ steps."""
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad.tolist() == [2.0**60]


def test_a_diamond():
    x = leaf(0.5, -1.5)
    a = x.exp()
    b, c = a * 2.0, a.tanh()
    (b * c + a).sum().backward()
    e = np.exp([0.5, -1.5])
    assert_close(x.grad, (2 * np.tanh(e) + 2 * e * (1 - np.tanh(e) ** 2) + 1) * e)


@pytest.mark.parametrize("keep", [False, True])
def test_a_long_chain_neither_recurses_nor_leaks(keep):
    """100,000 operations: neither backward nor taking the graph down goes deep."""
    gc.collect()
    live = at.memory_stats()["live_bytes"]
    x = leaf(1.0)
    y = x
    kept = []
    for i in range(100_000):
        y = y + 1.0 if i % 2 else y * 1.0
        if keep:
            kept.append(y)
    y.backward()
    assert x.grad.tolist() == [1] and y.item() == 50_001
    del x, y, kept
    gc.collect()
    assert at.memory_stats()["live_bytes"] == live


def test_nothing_leaks():
    def step():
        q = at.tensor(np.ones((2, 3, 4)), requires_grad=True)
        out, weights = at.attention(q, q, q, return_weights=True)
        at.functional.layer_norm(out + q).sum().backward()
        return weights[0]

    step()
    gc.collect()
    live = at.memory_stats()["live_bytes"]
    for _ in range(20):
        step()
    gc.collect()
    assert at.memory_stats()["live_bytes"] == live


def test_a_graph_that_is_dropped_is_freed():
    x = leaf(1.0)
    y = x.exp()
    watched = weakref.ref(y) if hasattr(type(y), "__weakref__") else None
    live = at.memory_stats()["live_bytes"]
    big = at.tensor(np.zeros(10**6), requires_grad=True) * 2.0
    assert at.memory_stats()["live_bytes"] > live
    del big, y
    gc.collect()
    assert at.memory_stats()["live_bytes"] <= live
    assert watched is None or watched() is None


def test_gradients_add_up_until_they_are_forgotten():
    x = leaf(2.0)
    for n in range(1, 4):
        (x * 3.0).backward()
        assert x.grad.tolist() == [3 * n]
    x.zero_grad()
    assert x.grad is None
    (x * 3.0).backward()
    assert x.grad.tolist() == [3]


def test_a_gradient_that_somebody_holds_stays_as_it_was():
    x = leaf(2.0)
    (x * 3.0).backward()
    tensor, array = x.grad, x.grad.numpy()
    (x * 3.0).backward()
    assert tensor.tolist() == [3] and array.tolist() == [3] and x.grad.tolist() == [6]


def test_the_upstream_gradient_is_not_kept():
    x = leaf(1.0, 2.0)
    d = np.array([1.0, 10.0])
    (x + 0.0).backward(d)
    d[...] = 99
    assert x.grad.tolist() == [1, 10]
    t = at.tensor([1.0, 10.0])
    x.zero_grad()
    y = x.reshape(2)
    y.backward(t)
    y.backward(t)
    assert x.grad.tolist() == [2, 20] and t.tolist() == [1, 10]


def test_setting_the_gradient():
    x = leaf(1.0, 2.0)
    x.grad = [3.0, 4.0]
    assert x.grad.tolist() == [3, 4]
    (x * 1.0).backward(np.ones(2))
    assert x.grad.tolist() == [4, 5]
    x.grad = None
    assert x.grad is None
    for bad, error in [([1.0], ValueError), (np.ones(2, np.float32), TypeError), ("a", TypeError)]:
        with pytest.raises(error, match=r"^grad: "):
            x.grad = bad


def test_no_grad_and_enable_grad():
    x = leaf(1.0)
    with at.no_grad():
        assert not (x * 2.0).requires_grad
        with at.enable_grad():
            assert (x * 2.0).requires_grad
        assert not (x * 2.0).requires_grad
        with pytest.raises(ZeroDivisionError), at.enable_grad():
            raise ZeroDivisionError
        assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad


def test_no_grad_as_decorator():
    @at.no_grad()
    def f(x):
        return x * 2.0

    assert not f(leaf(1.0)).requires_grad
    assert not f(leaf(1.0)).requires_grad


def test_no_grad_is_of_this_thread():
    seen = []
    with at.no_grad():
        thread = threading.Thread(target=lambda: seen.append((leaf(1.0) * 2.0).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_what_needs_no_gradient_gets_none():
    x, c = leaf(1.0, 2.0), at.tensor([3.0, 4.0])
    y = x * c
    y.sum().backward()
    assert c.grad is None and y.grad is None and not y.is_leaf
    assert x.grad.tolist() == [3, 4]


def test_detach_shares_data_and_stops_gradients():
    x = leaf(1.0, 2.0)
    d = x.detach()
    assert np.shares_memory(d.numpy(), x.numpy()) and not d.requires_grad
    (x * d).sum().backward()
    assert x.grad.tolist() == [1, 2]


def test_requires_grad_can_be_switched():
    x = at.tensor([1.0])
    x.requires_grad = True
    y = x * 2.0
    with pytest.raises(ValueError, match=r"use detach\(\)"):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2.0).requires_grad
    with pytest.raises(TypeError, match="only float32 and float64"):
        at.tensor([1]).requires_grad = True


def test_backward_of_a_leaf():
    x = leaf(1.0, 2.0)
    x.backward(np.array([3.0, 4.0]))
    x.backward(np.array([3.0, 4.0]))
    assert x.grad.tolist() == [6, 8]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda: at.tensor([1.0]).backward(),
            ValueError,
            "does not depend on anything that requires a gradient",
        ),
        (lambda: (leaf(1.0, 2.0) * 2.0).backward(), ValueError, r"shape \(2,\); give gradient="),
        (lambda: (leaf(1.0, 2.0) * 2.0).backward(np.ones(3)), ValueError, r"gradient has shape \(3,\)"),
        (lambda: (leaf(1.0) * 2.0).backward(np.ones((1, 1))), ValueError, r"gradient has shape \(1, 1\)"),
        (lambda: (leaf(1.0) * 2.0).backward(np.ones(1, np.float32)), TypeError, "gradient has dtype float32"),
        (lambda: (leaf(1.0) * 2.0).backward(np.ones(1, int)), TypeError, "gradient has dtype int64"),
        (lambda: (leaf(1.0) * 2.0).backward("up"), TypeError, "gradient"),
    ],
)
def test_errors(call, error, says):
    with pytest.raises(error, match=f"^backward: .*{says}"):
        call()


def test_an_error_on_the_way_back_leaves_the_tape_usable():
    x = leaf(1.0, 2.0)
    y = x * 2.0
    with pytest.raises(ValueError):
        y.backward(np.ones(5))
    y.backward(np.ones(2))
    assert x.grad.tolist() == [2, 2]


def test_embedding_rows_and_padding_share_one_table():
    table = at.tensor(np.ones((4, 2)), requires_grad=True)
    y = at.functional.embedding(np.array([1, 1]), table) + at.functional.embedding(np.array([1, 3]), table)
    y.sum().backward()
    assert table.grad.tolist() == [[0, 0], [3, 3], [0, 0], [1, 1]]

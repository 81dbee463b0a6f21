"""at.grad: gradients of chosen tensors, and gradients of gradients."""

import gc
import threading
import weakref

import numpy as np
import pytest

import attendo as at
from attendo import functional as F
from grad_check import check_grad_grad, leaves
from tolerance import assert_close, assert_same_bits


def leaf(*values):
    return at.tensor(np.array(values), requires_grad=True)


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def positive(*shape):
    return 0.5 + np.abs(normal(*shape))


# ---------------------------------------------------------------------------------------- first gradients


def test_gradients_of_what_is_named_and_of_nothing_else():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    x.grad = [7.0, 7.0]
    y = x * w
    z = (y * y).sum()
    d_x, d_y = at.grad(z, [x, y])
    assert_close(d_x, 2 * np.array([1.0, 2]) * np.array([9.0, 16]))
    assert_close(d_y, [6, 16])
    assert x.grad.tolist() == [7, 7] and w.grad is None and y.grad is None
    assert d_x.is_leaf and not d_x.requires_grad
    z.backward()
    assert_close(x.grad, d_x.numpy() + 7)


def test_an_input_stops_nothing_above_it():
    """y is named and lies on the way to x: both get all of their gradient."""
    x = leaf(0.5)
    y = x.exp()
    z = y * y + y
    d_y, d_x = at.grad(z, (y, x))
    e = np.exp(0.5)
    assert_close(d_y, [2 * e + 1])
    assert_close(d_x, [(2 * e + 1) * e])


def test_several_outputs_and_their_gradients():
    x = leaf(1.0, 2.0)
    a, b = x * 2.0, (x * x).sum()
    (d,) = at.grad([a, b], x, [np.array([1.0, 10.0]), None])
    assert_close(d, [2 + 2, 20 + 4])
    (d,) = at.grad(a, x, [1.0, 10.0])
    assert_close(d, [2, 20])
    (d,) = at.grad(a, x, [np.array([1.0, 10.0])])
    assert_close(d, [2, 20])
    (d,) = at.grad([b, b], x)
    assert_close(d, [4, 8])


def test_outputs_that_are_inputs():
    x = leaf(1.0, 2.0)
    y = x * 3.0
    d_x, d_y = at.grad(y, [x, y], np.array([1.0, 10.0]))
    assert d_x.tolist() == [3, 30] and d_y.tolist() == [1, 10]
    assert at.grad(x, x, np.ones(2))[0].tolist() == [1, 1]
    twice = at.grad(y, [x, x], np.ones(2))
    assert not np.shares_memory(twice[0].numpy(), twice[1].numpy())


def test_results_share_no_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = at.tensor([1.0, 10.0])
    d_a, d_b = at.grad(a + b, [a, b], seed)
    arrays = [d_a.numpy(), d_b.numpy(), seed.numpy()]
    assert not any(np.shares_memory(x, y) for i, x in enumerate(arrays) for y in arrays[:i])


def test_unused_inputs():
    x, other = leaf(1.0), leaf(2.0)
    y = x * 2.0
    assert at.grad(y, [x, other], allow_unused=True)[1] is None
    with pytest.raises(ValueError, match=r"^grad: outputs do not depend on inputs\[1\]; allow_unused=True"):
        at.grad(y, [x, other])


def test_the_same_bits_as_backward():
    """The same kernels run, whatever leaves hold: projections that are rows of one weight, sparse tables."""
    attention = at.nn.MultiHeadAttention(8, 2, dtype="float64", seed=0)
    table = at.tensor(normal(5, 8), requires_grad=True)
    ids, memory = np.array([[1, 3, 1]]), normal(1, 4, 8)

    def loss():
        x = F.embedding(ids, table, sparse=True)
        return (attention(x, memory, memory) * normal(1, 3, 8, seed=1)).sum()

    named = [*attention.parameters(), table]
    found = at.grad(loss(), named)
    loss().backward()
    for g, x in zip(found, named, strict=True):
        assert_same_bits(g, x.grad)


def test_leaves_in_an_optimizer_keep_their_gradients():
    w = leaf(1.0, 2.0)
    optimizer = at.optim.SGD(0.1)
    optimizer.attach([w])
    (w * 3.0).sum().backward()
    (d,) = at.grad((w * w).sum(), w)
    assert d.tolist() == [2, 4] and w.grad.tolist() == [3, 3]
    optimizer.step()
    assert_close(w, [0.7, 1.7])
    optimizer.zero_grad()
    (at.grad((w * w * w).sum(), w, create_graph=True)[0] * w).sum().backward()
    assert_close(w.grad, 9 * np.array([0.7, 1.7]) ** 2)


def test_shared_subgraphs_are_visited_once():
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y + y
    assert at.grad(y, x)[0].tolist() == [2.0**60]
    assert at.grad(y, x, create_graph=True)[0].tolist() == [2.0**60]


def test_a_long_chain_neither_recurses_nor_leaks():
    gc.collect()
    live = at.memory_stats()["live_bytes"]
    x = leaf(1.0)
    y = x
    for i in range(20_000):
        y = y + 1.0 if i % 2 else y * 1.0
    (d,) = at.grad(y * y, x, create_graph=True)
    (dd,) = at.grad(d, x)
    assert dd.tolist() == [2]
    del x, y, d, dd
    gc.collect()
    assert at.memory_stats()["live_bytes"] == live


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: at.grad(at.tensor([1.0]), leaf(1.0)), ValueError, r"outputs\[0\] does not depend"),
        (lambda: at.grad(leaf(1.0) * 2.0, at.tensor([1.0])), ValueError, r"inputs\[0\] does not require"),
        (lambda: at.grad(leaf(1.0, 2.0) * 2.0, leaf(1.0)), ValueError, r"outputs\[0\] has shape \(2,\)"),
        (
            lambda: at.grad(leaf(1.0, 2.0) * 2.0, leaf(1.0), np.ones(3)),
            ValueError,
            r"grad_outputs\[0\] has shape \(3,\)",
        ),
        (
            lambda: at.grad(leaf(1.0, 2.0) * 2.0, leaf(1.0), np.ones(2, np.float32)),
            TypeError,
            r"grad_outputs\[0\] has dtype float32",
        ),
        (lambda: at.grad([leaf(1.0) * 2.0], leaf(1.0), [None, None]), ValueError, "grad_outputs has 2"),
        (lambda: at.grad([leaf(1.0) * 2.0], leaf(1.0), np.ones(1)), TypeError, "grad_outputs is a ndarray"),
        (lambda: at.grad(leaf(1.0) * 2.0, leaf(1.0), "up"), TypeError, "grad_outputs"),
        (lambda: at.grad([], leaf(1.0)), ValueError, "outputs is empty"),
        (lambda: at.grad(leaf(1.0) * 2.0, []), ValueError, "inputs is empty"),
        (lambda: at.grad(np.ones(1), leaf(1.0)), TypeError, "outputs is a ndarray"),
        (lambda: at.grad(leaf(1.0) * 2.0, [np.ones(1)]), TypeError, "inputs holds a ndarray"),
    ],
)
def test_errors(call, error, says):
    with pytest.raises(error, match=f"^grad: .*{says}"):
        call()


# ---------------------------------------------------------------------------------------- second gradients


def test_powers_to_the_fourth_order():
    x = leaf(2.0, -3.0)
    y = (x * x * x * x).sum()
    for expected in ([32, -108], [48, 108], [48, -72], [24, 24]):
        (g,) = at.grad(y, x, create_graph=True)
        assert_close(g, expected)
        y = g.sum()
    assert not y.requires_grad  # 48 is 48 wherever x is


def test_create_graph_within_no_grad():
    x = leaf(2.0)
    y = x * x * x
    with at.no_grad():
        (g,) = at.grad(y, x, create_graph=True)
        assert not (x * 2.0).requires_grad
    assert at.grad(g, x)[0].tolist() == [12]


def test_gradients_with_respect_to_grad_outputs():
    """Twice reverse is forward: the product of the Jacobian with a vector."""
    x, v = leaf(0.5, -1.0), leaf(1.0, 1.0)
    y = x.tanh()
    (g,) = at.grad(y, x, v, create_graph=True)
    (jv,) = at.grad(g, v, np.array([1.0, 10.0]))
    assert_close(jv, np.array([1, 10]) * (1 - np.tanh([0.5, -1.0]) ** 2))


def test_backward_through_gradients():
    """backward() of a loss that holds a gradient leaves second derivatives in the leaves."""
    x = leaf(1.0, 2.0)
    (g,) = at.grad((x * x * x).sum(), x, create_graph=True)
    (g * g).sum().backward()
    assert_close(x.grad, 2 * 3 * np.array([1.0, 4]) * 6 * np.array([1.0, 2]))
    x.zero_grad()
    (x * 2.0).sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_an_operation_without_second_gradients_is_refused_by_name():
    table = at.tensor(normal(4, 2), requires_grad=True)
    y = F.embedding(np.array([0, 1]), table, sparse=True).sum()
    with pytest.raises(
        ValueError, match=r"^grad: gradients of gradients are not there for sparse embedding;"
    ):
        at.grad(y, table, create_graph=True)
    # Nothing of the attempt is left.
    assert at.grad(y, table)[0].tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]
    y.backward()
    assert table.grad.tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]
    x = leaf(2.0)
    assert at.grad(x * x, x, create_graph=True)[0].requires_grad


def test_threads_share_a_graph():
    x = at.tensor(normal(30, 30), requires_grad=True)
    y = F.softmax(x @ x).tanh()
    seed = normal(30, 30, seed=1)

    def second():
        (g,) = at.grad(y, x, seed, create_graph=True)
        return at.grad((g * g).sum(), x)[0].numpy()

    expected, results = second(), []
    threads = [threading.Thread(target=lambda: results.extend(second() for _ in range(5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    y.backward(seed)
    for thread in threads:
        thread.join()
    assert len(results) == 20
    for result in results:
        assert_same_bits(result, expected)


def test_nothing_leaks():
    x = at.tensor(normal(3, 4), requires_grad=True)

    def step():
        y = F.layer_norm(F.gelu(x) @ x.T)
        (g,) = at.grad(y.exp().sum(), x, create_graph=True)
        (g * g).sum().backward()
        x.zero_grad()
        return weakref.ref(g) if hasattr(type(g), "__weakref__") else None

    step()
    gc.collect()
    live = at.memory_stats()["live_bytes"]
    for _ in range(200):
        watched = step()
        assert watched is None or watched() is None
    assert at.memory_stats()["live_bytes"] == live


# ---------------------------------------------------------------------------------------- every operation

LENGTHS = np.array([3, 1, 0])
BLOCKS = {
    "add": (lambda a, b: a + b, [normal(2, 3), normal(3)]),
    "subtract": (lambda a, b: a - b, [normal(3, 1), normal(1, 4)]),
    "multiply": (lambda a, b: a * b, [normal(2, 1, 3), normal(4, 1)]),
    "divide": (lambda a, b: a / b, [normal(2, 3), positive(3)]),
    "scalar": (lambda x: (2.0 - x * 3.0) / 4.0 + 1.0, [normal(3)]),
    "power": (lambda x: x**3 + x**-0.5 + x**2 + x**1 + x**0, [positive(4)]),
    "exp": (F.exp, [normal(3)]),
    "log": (F.log, [positive(3)]),
    "sqrt": (F.sqrt, [positive(3)]),
    "tanh": (F.tanh, [normal(3)]),
    "sigmoid": (F.sigmoid, [normal(3)]),
    "relu": (F.relu, [normal(7)]),
    "gelu": (F.gelu, [normal(7)]),
    "gelu~": (lambda x: F.gelu(x, approximate="tanh"), [normal(7)]),
    "silu": (F.silu, [normal(7)]),
    "quick_gelu": (F.quick_gelu, [normal(7)]),
    "softplus": (F.softplus, [normal(7)]),
    **{
        f"glu {f}": (lambda x, f=f: F.glu(x, f), [normal(3, 6)])
        for f in ("sigmoid", "silu", "gelu", "gelu_tanh", "relu", None)
    },
    "matmul": (F.matmul, [normal(2, 3, 4), normal(2, 4, 5)]),
    "matmul shared": (F.matmul, [normal(2, 3, 4), normal(4, 5)]),
    "matmul broadcast": (F.matmul, [normal(3, 4), normal(2, 1, 4, 5)]),
    "linear": (F.linear, [normal(2, 3, 4), normal(5, 4), normal(5)]),
    "linear without bias": (F.linear, [normal(4), normal(5, 4)]),
    "linear relu": (lambda *p: F.linear(*p, activation="relu"), [normal(3, 4), normal(5, 4), normal(5)]),
    "linear gelu": (lambda *p: F.linear(*p, activation="gelu"), [normal(3, 4), normal(5, 4), normal(5)]),
    "linear silu": (lambda *p: F.linear(*p, activation="silu"), [normal(3, 4), normal(5, 4), normal(5)]),
    "linear gelu~": (lambda *p: F.linear(*p, activation="gelu_tanh"), [normal(3, 4), normal(5, 4)]),
    "sum": (lambda x: (x.sum() * x.sum(1), x.sum((0, 2), keepdims=True)), [normal(2, 3, 4)]),
    "mean": (lambda x: (x.mean() * x.mean(-1), x.mean((0, 2)) * 2.0), [normal(2, 3, 4)]),
    "max": (lambda x: (x.max() * 2.0, x.max(1) ** 2), [normal(2, 3, 4)]),
    "reshape": (lambda x: x.reshape(3, -1) ** 2, [normal(2, 3, 4)]),
    "transpose": (lambda x: x.transpose(2, 0, 1) ** 2, [normal(2, 3, 4)]),
    "slice": (lambda x: x[1, ::2, None, 1:3] ** 2, [normal(2, 5, 4)]),
    "concatenate": (
        lambda a, b: F.concatenate([a * a, b, a], axis=1) ** 2,
        [normal(2, 3), normal(2, 1)],
    ),
    "softmax": (F.softmax, [normal(3, 5)]),
    "softmax axis": (lambda x: F.softmax(x, axis=0), [normal(3, 5)]),
    "log_softmax": (F.log_softmax, [normal(3, 5)]),
    "layer_norm": (F.layer_norm, [normal(2, 3, 5), normal(5), normal(5)]),
    "layer_norm plain": (F.layer_norm, [normal(3, 5)]),
    "rms_norm": (F.rms_norm, [normal(2, 3, 5), normal(5)]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), [normal(2, 4, 3), normal(4), normal(4)]),
    "rms_norm plain": (F.rms_norm, [normal(3, 5)]),
    "batch_norm": (
        lambda x, w, b: F.batch_norm(x, w, b, None, None, training=True),
        [normal(3, 2, 4), normal(2), normal(2)],
    ),
    "batch_norm evaluation": (
        lambda x, w, b: F.batch_norm(x, w, b, np.ones(2), positive(2), training=False),
        [normal(3, 2, 4), normal(2), normal(2)],
    ),
    "dropout": (lambda x: F.dropout(x * x, 0.4, generator=at.Generator(3)), [normal(4, 5)]),
    "dropout all": (lambda x: F.dropout(x, 1.0, generator=at.Generator(3)) + x * x, [normal(4)]),
    "residual_norm": (
        lambda *p: F.residual_norm(*p, p=0.3, generator=at.Generator(3)),
        [normal(3, 5), normal(3, 5, seed=1), normal(5), normal(5, seed=1)],
    ),
    "residual_norm plain": (F.residual_norm, [normal(3, 5), normal(3, 5, seed=1)]),
    "feed_forward": (
        lambda *p: F.feed_forward(*p, activation="gelu"),
        [normal(3, 4), normal(6, 4), normal(6), normal(5, 6), normal(5)],
    ),
    "feed_forward dropout": (
        lambda x, u, v: F.feed_forward(x, u, None, v, None, dropout=0.5, generator=at.Generator(3)),
        [normal(3, 4), normal(16, 4), normal(5, 16)],
    ),
    "embedding": (
        lambda w: F.embedding(np.array([[1, 0, 1], [3, 2, 2]]), w, padding_idx=2) ** 2 * 3.0,
        [normal(4, 5)],
    ),
    "cross_entropy": (lambda z: F.cross_entropy(z, np.array([1, 0, 4])), [normal(3, 5)]),
    "cross_entropy options": (
        lambda z: F.cross_entropy(z, np.array([1, 9, 4]), ignore_index=9, label_smoothing=0.1),
        [normal(3, 5)],
    ),
    "cross_entropy rows": (
        lambda z: F.cross_entropy(z, np.array([1, 9, 4]), ignore_index=9, reduction="none"),
        [normal(3, 5)],
    ),
    "cross_entropy probabilities": (
        lambda z, t: F.cross_entropy(z, t, label_smoothing=0.1, reduction="sum"),
        [normal(3, 5), positive(3, 5)],
    ),
    "conv2d": (
        lambda *p: F.conv2d(*p, stride=(1, 2), padding=(1, 0)),
        [normal(2, 2, 4, 5), normal(3, 2, 2, 3), normal(3)],
    ),
    "conv2d groups": (
        lambda *p: F.conv2d(*p, stride=(2, 1), padding="valid", dilation=(1, 2), groups=2),
        [normal(2, 4, 4, 5), normal(6, 2, 2, 3), normal(6)],
    ),
    "conv1d depthwise": (
        lambda *p: F.conv1d(*p, padding="same", dilation=2, groups=3),
        [normal(2, 3, 5), normal(3, 1, 2), normal(3)],
    ),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2, stride=1, padding=1) ** 2, [normal(1, 2, 3, 4)]),
    "max_pool1d": (
        lambda x: F.max_pool1d(x, 2, stride=1, padding=1, dilation=3) ** 2,
        [normal(2, 2, 4)],
    ),
    "avg_pool2d": (
        lambda x: F.avg_pool2d(x, (3, 2), stride=2, padding=1, ceil_mode=True) ** 2,
        [normal(2, 2, 4, 3)],
    ),
    "adaptive_avg_pool1d": (lambda x: F.adaptive_avg_pool1d(x, 3) ** 2, [normal(2, 2, 5)]),
    "adaptive_max_pool2d": (lambda x: F.adaptive_max_pool2d(x, (2, 1)) ** 2, [normal(2, 2, 3, 4)]),
    "negative_sampling": (
        lambda w, u: F.negative_sampling(
            np.array([[0, 1], [2, -1], [1, 1]]), np.array([3, 0, 1]), np.array([[1, 2], [3, 3], [0, 2]]), w, u
        ),
        [normal(3, 4), normal(4, 4)],
    ),
}
for reverse in (False, True):
    for lengths in (None, LENGTHS):
        options = {"reverse": reverse, "lengths": lengths}
        name = f"{'reverse ' if reverse else ''}{'lengths ' if lengths is not None else ''}"
        BLOCKS[f"lstm {name}"] = (
            lambda *p, options=options: F.lstm(*p, **options),
            [normal(3, 3, 2), *(normal(*s) for s in [(8, 2), (8, 2), (8,), (8,), (3, 2), (3, 2)])],
        )
        for after in (False, True):
            BLOCKS[f"gru {name}{'after' if after else 'before'}"] = (
                lambda *p, options=options, after=after: F.gru(*p, reset_after=after, **options),
                [normal(3, 3, 2), *(normal(*s) for s in [(6, 2), (6, 2), (6,), (6,), (3, 2)])],
            )


@pytest.mark.parametrize("name", BLOCKS)
def test_operation(name):
    """Composed with a square where it is linear, so that second derivatives are not all zero."""
    f, arrays = BLOCKS[name]
    check_grad_grad(f, arrays)


@pytest.mark.parametrize(
    "name", ["tanh", "gelu", "gelu~", "softmax", "matmul", "layer_norm plain", "cross_entropy"]
)
def test_third_order(name):
    """The gradient of the gradient is an operation like any other."""
    f, arrays = BLOCKS[name]

    def gradient(*xs):
        y = f(*xs)
        return at.grad(y, list(xs), np.cos(np.arange(y.size)).reshape(y.shape), create_graph=True)

    # Kernels run the outer function only; the inner gradients are compositions on both sides.
    check_grad_grad(gradient, arrays, directions=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_to_differentiate(dtype):
    for f, shapes in [
        (F.softmax, [(0, 3)]),
        (F.layer_norm, [(3, 0)]),
        (lambda x: x.sum(0), [(0, 3)]),
        (F.linear, [(0, 3), (2, 3)]),
        (F.matmul, [(2, 0), (0, 3)]),
        (lambda x: F.cross_entropy(x, np.zeros(0, int)), [(0, 3)]),
    ]:
        xs = leaves([np.zeros(shape, dtype) for shape in shapes])
        y = f(*xs)
        gradients = at.grad(y, xs, np.ones(y.shape, dtype), create_graph=True)
        for g, x in zip(gradients, xs, strict=True):
            assert g.shape == x.shape and g.dtype == np.dtype(dtype) and not g.numpy().any()


def test_ignored_rows_do_not_leak():
    z = normal(3, 5)
    z[1] = np.nan
    x = at.tensor(z, requires_grad=True)
    loss = F.cross_entropy(x, np.array([1, 9, 4]), ignore_index=9, label_smoothing=0.1)
    (g,) = at.grad(loss, x, create_graph=True)
    (h,) = at.grad((g * g).sum(), x)
    for d in (g, h):
        assert np.isfinite(d.numpy()).all() and not d.numpy()[1].any()

"""score_mod: what is traced is what NumPy computes, forward and backward; what cannot be traced says so."""

import functools
import math
from types import SimpleNamespace

import numpy as np
import pytest

import attendo as at
from attendo import _score_trace, reference
from inputs import DTYPES, THREADS
from tolerance import STEP, assert_close, assert_same_bits

rng = np.random.default_rng(11)
B, H, L, S, D = 2, 3, 5, 7, 4

SLOPES = rng.standard_normal(H)
RELATIVE = rng.standard_normal((H, 2 * S + 1))
SIGNED = rng.standard_normal(L + S)
GRID = rng.standard_normal((B, H, L, S))
SEGMENT = np.array([0, 0, 1, 1, 1, 2, 2])
ALLOWED = rng.random((L, S)) < 0.7


LISTED = [SLOPES, {"a": RELATIVE}]


def t5(s, b, h, i, j):
    """Raffel et al. 2020: near distances each have a bucket, far ones share some."""
    n = np.maximum(i - j, 0)
    far = 2 + (np.log(np.maximum(n, 1) / 2.0) / np.log(8.0) * 2).astype(int)
    return s + RELATIVE[h, np.where(n < 2, n, np.minimum(far, 3))]


def with_defaults(s, b, h, i, j, table=SLOPES, *, factor=SLOPES[:1]):
    return s * factor[0] + table[h]


class Callable:
    slope = 0.5

    def __call__(self, s, b, h, i, j):
        return s - self.slope * abs(i - j)

    def method(self, s, b, h, i, j):
        return self(s, b, h, i, j) + SLOPES[h]


PARTIAL = functools.partial(lambda table, s, b, h, i, j: s + table[h], SLOPES)

MODS = {
    name: mod
    for name, mod in {
        "identity": lambda s, b, h, i, j: s,
        "constant": lambda s, b, h, i, j: 0.25,
        "index": lambda s, b, h, i, j: i,
        "key": lambda s, b, h, i, j: j * 0.5,
        "head": lambda s, b, h, i, j: s + h,
        "batch": lambda s, b, h, i, j: s * (b + 1),
        "alibi": lambda s, b, h, i, j: s - SLOPES[h] * abs(i - j),
        "alibi formula": lambda s, b, h, i, j: s - 2.0 ** (-8 * (h + 1) / H) * (i - j),
        "softcap": lambda s, b, h, i, j: 5 * np.tanh(s / 5),
        "relative": lambda s, b, h, i, j: s + RELATIVE[h, i - j + S],
        "negative index": lambda s, b, h, i, j: s + SIGNED[i - j],
        "column": lambda s, b, h, i, j: s + RELATIVE[-1, j],
        "of a list": lambda s, b, h, i, j: s + LISTED[0][h] + LISTED[1]["a"][h, j],
        "slice of a table": lambda s, b, h, i, j: s + RELATIVE[:, ::2][h, j],
        "transposed table": lambda s, b, h, i, j: s + RELATIVE.T[j, h],
        "bias": lambda s, b, h, i, j: s + GRID[b, h, i, j],
        "through a table": lambda s, b, h, i, j: np.where(SEGMENT[i] == SEGMENT[j], s, -np.inf),
        "bool table": lambda s, b, h, i, j: np.where(ALLOWED[i, j], s, s - 2),
        "table of the segment": lambda s, b, h, i, j: s + SLOPES[SEGMENT[j]],
        "t5": t5,
        "helper": lambda s, b, h, i, j: t5(s, b, h, i, j) + with_defaults(s, b, h, i, j),
        "defaults": with_defaults,
        "partial": PARTIAL,
        "callable": Callable(),
        "method": Callable().method,
        "captured": lambda s, b, h, i, j: s + at.score_mods.captured(SLOPES)[h],
        "where": lambda s, b, h, i, j: np.where(s > 0, s, 0.1 * s),
        "nested where": lambda s, b, h, i, j: np.where(i > j, np.where(s > 0, s, 1), -s),
        "clip": lambda s, b, h, i, j: (
            np.clip(s, -0.5, 0.5) + s.clip(-1, None) if hasattr(s, "clip") else None
        ),
        "min max": lambda s, b, h, i, j: np.minimum(s, 0.3) + np.maximum(s, i - j),
        "abs": lambda s, b, h, i, j: abs(s) + np.abs(s - 1) + np.fabs(i - j),
        "powers": lambda s, b, h, i, j: s**2 + s**3 - s**-2 + (1.5 + s**2) ** 0.5 + (2.5 + s * s) ** 1.3,
        "power of a base": lambda s, b, h, i, j: 1.5**s + 2.0 ** (i - j) + (1.5 + h) ** 0.3,
        "negative base": lambda s, b, h, i, j: s * (-1.0) ** (i - j),
        "exp log": lambda s, b, h, i, j: np.exp(s) * 0.1 + np.log(1.5 + s * s) + np.sqrt(1 + abs(s)),
        "exp2 log2": lambda s, b, h, i, j: np.exp2(s) + np.log2(2 + s * s) + np.log1p(abs(s)) + np.expm1(s),
        "divide": lambda s, b, h, i, j: s / (1 + i) + 1 / (2 + s * s) + (i - j) / 3,
        "whole numbers": lambda s, b, h, i, j: (
            s + (i - j) // 2 - (i - j) % 3 + i // (j + 1) - (-j) // 4 + i % -3
        ),
        "division by 0": lambda s, b, h, i, j: s + i // (j * 0) + i % (j * 0),
        "floats rounded": lambda s, b, h, i, j: s + np.floor(i / 3) + np.ceil(j / 2) + np.trunc((i - j) / 2),
        "floats mod": lambda s, b, h, i, j: s % 0.7 + (s * 1.5) // 0.4 + (i - 3.0) % 2.5,
        "comparisons": lambda s, b, h, i, j: (
            s + (i > j) + 2 * (i >= j) + 4 * (i < 2) + 8 * (3 <= j) + (i == j) + (i != 2)
        ),
        "conditions": lambda s, b, h, i, j: np.where((i > j) & (s > 0) | ~(j < 2) ^ (h == 1), s, 0),
        "logical": lambda s, b, h, i, j: np.where(
            np.logical_or(np.logical_not(i), np.logical_and(j, s)), s, -s
        ),
        "truth values": lambda s, b, h, i, j: s + ((i > 1) + (j > 2)) + ((i > 1) * (j > 2)) + (i > 1) * 1,
        "astype": lambda s, b, h, i, j: (
            s + (i > j).astype(float) + (i / 2).astype(int) + (i - 1).astype(bool)
        ),
        "sign": lambda s, b, h, i, j: (
            s * np.sign(i - j) + np.sign(s) + np.square(s) + np.positive(s) - np.negative(s)
        ),
        "ufuncs": lambda s, b, h, i, j: np.add(
            np.subtract(s, 1), np.multiply(2, np.true_divide(s, np.reciprocal(i + 2.0)))
        ),
        "numpy scalars": lambda s, b, h, i, j: (
            np.float64(2) * s + np.int64(3) * i + np.bool_(True) * j + np.float32(0.5)
        ),
        "0-d array": lambda s, b, h, i, j: np.array(0.5) * s + np.array([2.0]) * h,
        "isnan": lambda s, b, h, i, j: np.where(np.isnan(np.log(s)), 0.0, np.log(abs(s))),
        "unused": lambda s, b, h, i, j: (np.exp(i * 1e9), s)[1],
        "many registers": lambda s, b, h, i, j: sum(
            np.tanh(s * n + i) * np.exp(-abs(s - n)) for n in range(40)
        ),
        "shared": lambda s, b, h, i, j: functools.reduce(lambda x, _: 0.5 * x + x * 0.25, range(60), s),
    }.items()
}


def traced(mod):
    program = _score_trace.trace(mod)
    return program, program.instructions(), program.result(), [t.numpy() for t in program.tables()]


def inputs(dtype=np.float64, batch=B, heads=H, length=L, keys=S, kv_heads=None):
    random = np.random.default_rng(3)
    shapes = [(batch, heads, length, D), *[(batch, kv_heads or heads, keys, D)] * 2]
    return [random.standard_normal(shape).astype(dtype) for shape in shapes]


def by_kernel(mod, shape, dtype, scores=None, **options):
    """What the kernel makes of given scores: log of the weights, but for a constant of each row."""
    q = np.zeros((*shape[:-1], 1), dtype)
    k = np.zeros((*shape[:-2], shape[-1], 1), dtype)
    _, weights = at.attention(q, k, k, score_mod=mod, return_weights=True, **options)
    return weights


@pytest.mark.parametrize("name", MODS)
def test_the_formula_is_what_numpy_computes(name):
    mod = MODS[name]
    scores = rng.standard_normal((B, H, L, S))
    indices = reference.score_indices(scores.shape)
    with np.errstate(all="ignore"):
        expected = mod(scores, *indices)
    _, program, result, tables = traced(mod)
    got = reference.score_program(scores, tables, program, result, indices)
    assert_close(got, np.broadcast_to(expected, scores.shape).astype(float))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", MODS)
def test_attention_with_it(name, dtype):
    mod = MODS[name]
    q, k, v = inputs(dtype)
    double = [x.astype(np.float64) for x in (q, k, v)]
    _, program, result, tables = traced(mod)
    tensors = [at.tensor(x, requires_grad=True) for x in (q, k, v)]
    out = at.attention(*tensors, score_mod=mod)
    plain, weights = at.attention(q, k, v, score_mod=mod, return_weights=True)
    assert_same_bits(out.numpy(), plain)
    with np.errstate(all="ignore"):
        modified = reference.scaled_dot_product_steps(*double, score_mod=mod)["modified"]
        scale = np.abs(modified[np.isfinite(modified)]).max(initial=1)
        expected, expected_weights, _ = reference.scaled_dot_product(*double, score_mod=mod)
    assert_close(plain, expected, dtype, scale=scale)
    assert_close(weights, expected_weights, dtype, scale=scale)

    def slope(s, b, h, i, j):
        return reference.score_program_backward(np.ones(s.shape), s, tables, program, result, (b, h, i, j))[0]

    d_out = np.random.default_rng(5).standard_normal(out.shape)
    out.backward(d_out.astype(dtype))
    d_out = d_out.astype(dtype).astype(np.float64)
    with np.errstate(all="ignore"):
        gradients = reference.scaled_dot_product_backward(d_out, *double, score_mod=mod, score_slope=slope)
        s = reference.scaled_dot_product_steps(*double)["scaled"]
        steep = np.abs(slope(s, *reference.score_indices(s.shape))).max()
    for tensor, gradient in zip(tensors, gradients, strict=False):
        assert_close(tensor.grad.numpy(), gradient, dtype, scale=scale * max(1, steep))


def random_mod(seed, depth=5):
    """A formula as a tree of random operations, and what it takes to write it down again."""
    random = np.random.default_rng(seed)
    tables = [random.standard_normal(H), random.standard_normal((H, S)), random.standard_normal(L + S)]

    def build(depth, s, b, h, i, j, random):
        if depth == 0:
            leaf = random.integers(8)
            return [s, s, 0.5, i - j, b + 1, tables[0][h], tables[1][h, j], tables[2][i - j]][leaf]
        parts = [build(depth - 1, s, b, h, i, j, random) for _ in range(3)]
        x, y, z = parts
        return [
            lambda: x + y,
            lambda: x - 0.5 * y,
            lambda: x * np.tanh(y),
            lambda: x / (1.0 + y * y),
            lambda: np.where(x > y, y, z),
            lambda: np.minimum(x, y),
            lambda: np.maximum(x, np.tanh(z)),
            lambda: np.exp(-abs(x)) * z,
            lambda: np.log(1.0 + abs(x)),
            lambda: np.sqrt(1.0 + x * x),
            lambda: np.where((i >= j) & (x < 1), x, -y),
            lambda: abs(x) - z,
        ][random.integers(12)]()

    return lambda s, b, h, i, j: build(depth, s, b, h, i, j, np.random.default_rng(seed)) + 0.5 * s


@pytest.mark.parametrize("seed", range(12))
def test_random_formulas(seed):
    built = random_mod(seed, depth=3)

    def mod(s, b, h, i, j):
        return np.tanh(built(s, b, h, i, j))

    mod.__kwdefaults__ = None
    scores = rng.standard_normal((B, H, L, S))
    indices = reference.score_indices(scores.shape)
    _, program, result, tables = traced(mod)
    assert_close(reference.score_program(scores, tables, program, result, indices), mod(scores, *indices))
    q, k, v = inputs()
    tensor = at.tensor(q, requires_grad=True)
    out = at.attention(tensor, k, v, score_mod=mod)
    assert_close(out.numpy(), reference.scaled_dot_product(q, k, v, score_mod=mod)[0])

    def slope(s, b, h, i, j):
        return reference.score_program_backward(np.ones(s.shape), s, tables, program, result, (b, h, i, j))[0]

    d_out = rng.standard_normal(out.shape)
    out.backward(d_out)
    expected = reference.scaled_dot_product_backward(d_out, q, k, v, score_mod=mod, score_slope=slope)
    assert_close(tensor.grad.numpy(), expected[0], scale=10)


# ---------------------------------------------------------------------------------- gradients, by differences

SMOOTH = {
    "softcap": lambda t: lambda s, b, h, i, j: 2 * np.tanh(s / 2) + t[h, j],
    "product": lambda t: lambda s, b, h, i, j: s * t[h, i - j],
    "twice": lambda t: lambda s, b, h, i, j: np.tanh(t[h, j] * s) + t[h, i] * t[-1, 0],
    "quotient": lambda t: lambda s, b, h, i, j: s / (2 + t[h, j] ** 2) + np.exp(t[0, i]) * (i - j) % 0.9,
    "powers": lambda t: lambda s, b, h, i, j: (1.5 + np.tanh(s)) ** (1 + np.tanh(t[h, j])) + np.sqrt(4 + s),
    "choices": lambda t: lambda s, b, h, i, j: np.where(i > j, t[h, j] * s, np.maximum(s, t[h, 0])),
    "logarithm": lambda t: (
        lambda s, b, h, i, j: np.log(6 + s + t[h, j]) - abs(t[h, i]) - np.minimum(s, t[0, j])
    ),
    "of the key": lambda t: lambda s, b, h, i, j: s + t[0, j] * t[1, j],
    "of the head": lambda t: lambda s, b, h, i, j: s * t[h, 0] + t[h, 1],
    "reversed": lambda t: lambda s, b, h, i, j: s + t[h, (j - i) % S] * t[1, (i - j) % 5],
    "computed": lambda t: lambda s, b, h, i, j: s + np.tanh(t)[h, j] + (2 * t)[h, i],
    "a number": lambda t: lambda s, b, h, i, j: s * t[0, 0],
}


def difference(f, x, direction):
    step = STEP * max(1, np.abs(x).max())
    return (f(x + step * direction) - f(x - step * direction)) / (2 * step)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("mask", [None, at.masks.causal()], ids=["all", "causal"])
def test_gradients_are_central_differences(name, mask):
    make = SMOOTH[name]
    q, k, v = inputs()
    table = np.random.default_rng(1).standard_normal((H, S))
    d_out = np.random.default_rng(2).standard_normal(q.shape)
    options = {"mask": mask, "q_offset": 0}

    def loss(q=q, k=k, table=table):
        return (at.attention(q, k, v, score_mod=make(table), **options) * d_out).sum()

    tensors = {name: at.tensor(x, requires_grad=True) for name, x in [("q", q), ("k", k), ("table", table)]}
    out = at.attention(tensors["q"], tensors["k"], v, score_mod=make(tensors["table"]), **options)
    out.backward(d_out)
    for name, tensor in tensors.items():
        direction = np.random.default_rng(4).standard_normal(tensor.shape)
        numeric = difference(lambda x, name=name: loss(**{name: x}), tensor.numpy(), direction)
        assert (tensor.grad.numpy() * direction).sum() == pytest.approx(numeric, rel=1e-7, abs=1e-8), name


def test_tables_alone_want_a_gradient():
    q, k, v = inputs()
    table = at.tensor(SLOPES, requires_grad=True)
    out = at.attention(q, k, v, score_mod=lambda s, b, h, i, j: s + table[h] * j)
    assert isinstance(out, at.Tensor) and out.requires_grad
    out.sum().backward()
    assert table.grad.shape == table.shape
    with at.no_grad():
        assert not at.attention(q, k, v, score_mod=lambda s, b, h, i, j: s + table[h] * j).requires_grad


def test_a_tensor_without_axes_is_a_number():
    q, k, v = inputs()
    temperature = at.tensor(2.0, requires_grad=True)
    for mod in (lambda s, b, h, i, j: s * temperature, lambda s, b, h, i, j: temperature * s):
        temperature.grad = None
        out = at.attention(q, k, v, score_mod=mod)
        assert_close(out.numpy(), reference.scaled_dot_product(q, k, v, scale=2 / math.sqrt(D))[0])
        d_out = rng.standard_normal(out.shape)
        out.backward(d_out)
        numeric = difference(
            lambda t, d_out=d_out: (at.attention(q, k, v, scale=float(t) / math.sqrt(D)) * d_out).sum(),
            np.array(2.0),
            1.0,
        )
        assert temperature.grad.item() == pytest.approx(numeric, rel=1e-7)


def test_a_parameter_of_a_module():
    class Net(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = at.tensor(np.zeros((H, 3), np.float32), requires_grad=True)

        def forward(self, x):
            near = lambda s, b, h, i, j: s + self.table[h, np.clip(j - i, -1, 1) + 1]  # noqa: E731
            return at.attention(x, x, x, score_mod=near)

    net = Net()
    x = at.tensor(inputs(np.float32)[0])
    net(x).sum().backward()
    out = net(x)
    out.backward(np.ones(out.shape, np.float32))
    assert net.table.grad is not None and np.isfinite(net.table.grad.numpy()).all()


# ------------------------------------------------------------------------------------- with everything else


def table_mod(table):
    return lambda s, b, h, i, j: 3 * np.tanh(s / 3) + table[h, np.clip(j - i, -4, 4) + 4]


OPTIONS = {
    "plain": {},
    "causal": {"mask": at.masks.causal(), "q_offset": 0},
    "causal, behind": {"mask": at.masks.causal(), "q_offset": 70},
    "lengths": {"mask": at.masks.lengths([130, 31])},
    "window": {"mask": at.masks.window(20, 30), "q_offset": 5},
    "rule": {"mask": at.masks.window(20, 30) | at.masks.global_tokens([3]), "q_offset": 5},
    "dense": {"mask": np.random.default_rng(0).random((2, 1, 100, 130)) < 0.5},
    "bias": {"bias": np.random.default_rng(0).standard_normal((4, 100, 130))},
    "scale": {"scale": 0.3},
    "softcap": {"softcap": 1.5},
    "sinks": {"sinks": np.array([0.5, -np.inf, 3.0, -1.0])},
    "all": {
        "mask": at.masks.causal() & at.masks.lengths([120, 64]),
        "q_offset": 10,
        "bias": np.random.default_rng(0).standard_normal((100, 130)),
        "softcap": 2.0,
        "sinks": np.array([0.0, 1.0, -1.0, 2.0]),
    },
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("name", "kv_heads"),
    [(name, 4) for name in OPTIONS] + [(name, n) for name in ("plain", "all", "causal") for n in (2, 1)],
)
def test_together_with(name, kv_heads, dtype):
    options = dict(OPTIONS[name])
    q, k, v = inputs(dtype, 2, 4, 100, 130, kv_heads)
    table = np.random.default_rng(8).standard_normal((4, 9)).astype(dtype)
    for key in ("bias", "sinks"):
        if key in options:
            options[key] = options[key].astype(dtype)
    given = {
        "q": q,
        "k": k,
        "v": v,
        "table": table,
        **{x: options.pop(x) for x in ("bias", "sinks") if x in options},
    }
    tensors = {name: at.tensor(x, requires_grad=True) for name, x in given.items()}
    extra = {x: tensors[x] for x in ("bias", "sinks") if x in tensors}
    out, weights = at.attention(
        tensors["q"],
        tensors["k"],
        tensors["v"],
        score_mod=table_mod(tensors["table"]),
        return_weights=True,
        **extra,
        **options,
    )
    d_out, d_weights = (
        np.random.default_rng(n).standard_normal(x.shape).astype(dtype) for n, x in enumerate((out, weights))
    )
    ((out * d_out).sum() + (weights * d_weights).sum()).backward()

    double = {x: y.astype(np.float64) for x, y in given.items()}
    mask = options.get("mask")
    if isinstance(mask, at.masks.Mask):
        mask = mask.dense(2, 4, 100, 130, q_offset=options.get("q_offset", 0))
    mod = table_mod(double["table"])
    _, instructions, result, tables = traced(mod)
    common = {
        "mask": mask,
        "scale": options.get("scale"),
        "softcap": options.get("softcap"),
        "score_mod": mod,
        "sinks": double.get("sinks"),
        "q_offset": options.get("q_offset", 0),
    }
    qkv = [double[x] for x in "qkv"]
    bias = double.get("bias", np.zeros((2, 4, 100, 130)))
    expected, expected_weights, lse = reference.scaled_dot_product(*qkv, bias=bias, **common)
    assert_close(out.numpy(), expected, dtype)
    assert_close(weights.numpy(), expected_weights, dtype)

    def slope(*arguments):
        s, *indices = arguments
        return reference.score_program_backward(np.ones(s.shape), s, tables, instructions, result, indices)[0]

    d_out, d_weights = d_out.astype(np.float64), d_weights.astype(np.float64)
    whole_bias = np.broadcast_to(bias, (2, 4, 100, 130))
    *gradients, d_scores = reference.scaled_dot_product_backward(
        d_out, *qkv, bias=whole_bias, d_weights=d_weights, score_slope=slope, **common
    )
    for x, gradient in zip("qkv", gradients, strict=True):
        assert_close(tensors[x].grad.numpy(), gradient, dtype, scale=10, what=x)
    capped = reference.scaled_dot_product_steps(*qkv, bias=bias, **common)["capped"]
    indices = reference.score_indices(capped.shape, common["q_offset"])
    (d_table,) = reference.score_program_backward(d_scores, capped, tables, instructions, result, indices)[1]
    assert_close(tensors["table"].grad.numpy(), d_table, dtype, scale=30, what="table")
    if "bias" in given:
        summed = d_scores.sum(axis=tuple(range(4 - bias.ndim)))
        assert_close(tensors["bias"].grad.numpy(), summed, dtype, scale=10, what="bias")
    if "sinks" in given:
        d_sinks = reference.scaled_dot_product_d_sinks(
            d_out, expected, lse, double["sinks"], expected_weights, d_weights
        )
        assert_close(tensors["sinks"].grad.numpy(), d_sinks, dtype, scale=30, what="sinks")


def test_softcap_is_its_formula():
    q, k, v = inputs()
    formula = at.attention(q, k, v, score_mod=lambda s, b, h, i, j: 0.7 * np.tanh(s / 0.7))
    assert_close(at.attention(q, k, v, softcap=0.7), formula)
    assert_close(at.attention(q, k, v, score_mod=at.score_mods.softcap(0.7)), formula)
    assert_close(at.attention(q, k, v, softcap=0.7), reference.scaled_dot_product(q, k, v, softcap=0.7)[0])
    # Nothing is left of differences that are small against it, and nothing changes far below it.
    assert_close(at.attention(q, k, v, softcap=1e9), at.attention(q, k, v))
    assert_close(
        at.attention(1e6 * q, k, v, softcap=1e-16), np.broadcast_to(v.mean(-2, keepdims=True), q.shape)
    )


def test_softcap_comes_before_score_mod():
    q, k, v = inputs()
    got = at.attention(q, k, v, softcap=0.7, score_mod=lambda s, b, h, i, j: s * s + SLOPES[h] * j)
    expected = at.attention(
        q, k, v, score_mod=lambda s, b, h, i, j: (0.7 * np.tanh(s / 0.7)) ** 2 + SLOPES[h] * j
    )
    assert_close(got, expected)


def test_sinks_are_a_key_without_a_value():
    q, k, v = inputs()
    sinks = rng.standard_normal(H)
    out, weights = at.attention(q, k, v, sinks=sinks, return_weights=True)
    more_k, more_v = (np.concatenate([np.zeros((B, H, 1, D)), x], axis=2) for x in (k, v))
    bias = np.zeros((H, L, S + 1))
    bias[:, :, 0] = sinks[:, None]
    expected, all_weights = at.attention(q, more_k, more_v, bias=bias, return_weights=True)
    assert_close(out, expected)
    assert_close(weights, all_weights[..., 1:])
    assert (weights.sum(-1) < 1).all()
    assert_same_bits(at.attention(q, k, v, sinks=np.full(H, -np.inf)), at.attention(q, k, v))
    nowhere = np.zeros((L, S), bool)
    tensor = at.tensor(sinks, requires_grad=True)
    out = at.attention(q, k, v, sinks=tensor, mask=nowhere)
    out.sum().backward()
    assert not out.numpy().any() and not tensor.grad.numpy().any()
    single = at.attention(q[0, 0], k[0, 0], v[0, 0], sinks=sinks[:1])
    assert_close(single, at.attention(q, k, v, sinks=sinks)[0, 0])
    assert at.attention(q, k[:, :, :0], v[:, :, :0], sinks=sinks).shape == q.shape


def test_positions_begin_at_q_offset():
    q, k, v = inputs(length=L, keys=S)
    mod = lambda s, b, h, i, j: s + GRID[b, h, i - 2, j] * (i - j)  # noqa: E731
    whole = at.attention(q, k, v, score_mod=mod, q_offset=2)
    parts = [at.attention(q[:, :, n : n + 1], k, v, score_mod=mod, q_offset=2 + n) for n in range(L)]
    assert_close(np.concatenate(parts, axis=2), whole)
    shifted = lambda s, b, h, i, j: mod(s, b, h, i + 2, j)  # noqa: E731
    assert_same_bits(at.attention(q, k, v, score_mod=shifted), whole)


@pytest.mark.parametrize("mask", [at.masks.window(2, 3), at.masks.window(1), at.masks.causal()], ids=repr)
def test_positions_are_those_of_the_query_under_a_window(mask):
    q, k, v = inputs(length=40, keys=40)
    table = rng.standard_normal((40, 40))
    got = at.attention(q, k, v, mask=mask, score_mod=lambda s, b, h, i, j: s + table[i, j])
    assert_close(got, at.attention(q, k, v, mask=mask, bias=table))


def test_batch_axes_are_counted_through_as_one():
    q, k, v = (x.reshape(1, 2, *x.shape[1:]).repeat(2, axis=0) for x in inputs())
    table = rng.standard_normal(4)
    got = at.attention(q, k, v, score_mod=lambda s, b, h, i, j: s * table[b])
    flat = [x.reshape(4, *x.shape[2:]) for x in (q, k, v)]
    expected = reference.scaled_dot_product(*flat, score_mod=lambda s, b, h, i, j: s * table[b])[0]
    assert_close(got, expected.reshape(got.shape))
    for rank in (2, 3):
        few = [x[(0,) * (5 - rank)] for x in (q, k, v)]
        assert_close(
            at.attention(*few, score_mod=lambda s, b, h, i, j: s * (b + h + i)),
            reference.scaled_dot_product(*few, score_mod=lambda s, b, h, i, j: s * (b + h + i))[0],
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_it_makes_of_masked_pairs_does_not_matter(bad):
    q, k, v = inputs(length=70, keys=70)
    table = at.tensor(np.random.default_rng(0).standard_normal(70), requires_grad=True)
    causal = at.masks.causal()

    def mod(s, b, h, i, j):
        return np.where(j > i, bad, s) * 1.0 + table[j] * np.sqrt(i - j)  # √ of a negative number is NaN

    def good(s, b, h, i, j):
        return s + table[j] * np.sqrt(np.maximum(i - j, 0))

    results = []
    for f in (mod, good):
        tensors = [at.tensor(x, requires_grad=True) for x in (q, k, v)]
        table.grad = None
        out = at.attention(*tensors, mask=causal, score_mod=f)
        out.backward(np.ones(out.shape))
        results.append([out.numpy(), *(x.grad.numpy() for x in tensors), table.grad.numpy()])
    for got, expected in zip(*results, strict=True):
        assert np.isfinite(got).all()
        assert_close(got, expected)


def test_a_branch_not_taken_gives_no_nan():
    q, k, v = (at.tensor(x, requires_grad=True) for x in inputs())
    out = at.attention(
        q,
        k,
        v,
        score_mod=lambda s, b, h, i, j: np.where(s > 0, np.sqrt(s), 0.0) + np.where(s > 0, np.log(s), s),
    )
    out.sum().backward()
    assert all(np.isfinite(x.grad.numpy()).all() for x in (q, k, v))


def test_minus_infinity_masks():
    q, k, v = inputs(length=40, keys=40)
    v[:, :, 30:] = np.nan
    got = at.attention(q, k, v, score_mod=lambda s, b, h, i, j: np.where(j < 30, s, -np.inf))
    assert_close(got, at.attention(q, k[:, :, :30], v[:, :, :30]))
    assert not at.attention(*inputs(), score_mod=lambda s, b, h, i, j: -np.inf).any()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("batch, heads, big", [(1, 1, False), (2, 4, False), (2, 4, True), (3, 2, True)])
def test_same_bits_on_any_number_of_threads(batch, heads, big, dtype):
    q, k, v = inputs(dtype, batch, heads, 150, 400)
    random = np.random.default_rng(0)
    tables = [
        random.standard_normal((heads, 400 * (500 if big else 1))),
        random.standard_normal((batch, heads, 150)),
    ]
    tables = [x.astype(dtype) for x in tables]
    before = at.get_num_threads()
    results = []
    try:
        for threads in THREADS:
            at.set_num_threads(threads)
            leaves = [at.tensor(x, requires_grad=True) for x in (q, k, v, *tables)]
            _, _, _, a, c = leaves
            mod = lambda s, b, h, i, j: np.tanh(s) * a[h, j] + c[b, h, i] + a[h, i]  # noqa: B023, E731
            out = at.attention(*leaves[:3], score_mod=mod, softcap=9.0, sinks=np.zeros(heads, dtype))
            out.backward(np.ones(out.shape, dtype))
            results.append([out.numpy(), *(x.grad.numpy() for x in leaves)])
    finally:
        at.set_num_threads(before)
    for other in results[1:]:
        for a_, b_ in zip(results[0], other, strict=True):
            assert_same_bits(a_, b_)
    assert all(np.abs(x).max() > 0 for x in results[0])


def test_large_tables_get_the_same_gradient():
    """Tables too large for copies are written to by head; the numbers are those of small ones."""
    q, k, v = inputs(np.float64, 3, 2, 60, 70)
    small = np.random.default_rng(0).standard_normal((2, 70))
    large = np.concatenate([small, np.zeros((2, 200_000))], axis=1)
    grads = []
    for table in (small, large):
        tensor = at.tensor(table, requires_grad=True)
        at.attention(q, k, v, score_mod=lambda s, b, h, i, j: s * tensor[h, j]).sum().backward()  # noqa: B023
        grads.append(tensor.grad.numpy()[:, :70])
    assert_close(*grads)


def test_asking_for_weights_changes_nothing():
    q, k, v = inputs(np.float32, length=100, keys=300)
    options = {
        "score_mod": MODS["softcap"],
        "sinks": np.zeros(H, np.float32),
        "mask": at.masks.lengths([300, 200]),
    }
    assert_same_bits(
        at.attention(q, k, v, return_weights=True, **options)[0], at.attention(q, k, v, **options)
    )


@pytest.mark.parametrize("shape", [(0, 2, 3, 4), (2, 0, 3, 4), (2, 2, 0, 4), (2, 2, 3, 0)])
def test_nothing_at_all(shape):
    q = at.tensor(np.zeros(shape), requires_grad=True)
    table = at.tensor(np.zeros((max(1, shape[1]), 3)), requires_grad=True)
    sinks = at.tensor(np.zeros(shape[1]), requires_grad=True)
    out = at.attention(q, q, q, score_mod=lambda s, b, h, i, j: s + table[h, j], softcap=1.0, sinks=sinks)
    out.sum().backward()
    assert out.shape == shape and table.grad.shape == table.shape and sinks.grad.shape == sinks.shape
    keyless = at.attention(
        np.zeros((3, 4)), np.zeros((0, 4)), np.zeros((0, 4)), score_mod=lambda s, b, h, i, j: s + j
    )
    assert not keyless.any()


def test_dropout():
    q, k, v = inputs(np.float32, length=100, keys=100)
    out = [
        at.attention(q, k, v, dropout=0.5, generator=at.Generator(1), **options)
        for options in ({"score_mod": lambda s, b, h, i, j: s}, {})
    ]
    assert_close(out[0], out[1])


# ----------------------------------------------------------------------------------------------------- errors

LIST = [0.1, 0.2, 0.3]
HIDDEN = SimpleNamespace(table=SLOPES)

REFUSED = [
    (lambda s, b, h, i, j: s if i > j else 0, TypeError, "np.where"),
    (lambda s, b, h, i, j: max(s, 0), TypeError, "np.maximum"),
    (lambda s, b, h, i, j: s * (i > j and h > 0), TypeError, "bias="),
    (lambda s, b, h, i, j: s if 0 < i < 3 else 1, TypeError, "bias="),
    (lambda s, b, h, i, j: math.exp(s), TypeError, "np.exp"),
    (lambda s, b, h, i, j: int(i) * s, TypeError, "astype"),
    (lambda s, b, h, i, j: s + LIST[h], TypeError, "at.score_mods.captured"),
    (lambda s, b, h, i, j: s + SLOPES, TypeError, "SLOPES of shape (3,) stands in the arithmetic whole"),
    (lambda s, b, h, i, j: s + SLOPES[i / 2], TypeError, "no whole number"),
    (lambda s, b, h, i, j: s + SLOPES[i > j], TypeError, "a truth value"),
    (lambda s, b, h, i, j: s + SLOPES[(s > 0) * 1], TypeError, "depends on the score"),
    (lambda s, b, h, i, j: s + SLOPES[h, i], IndexError, "2 indices"),
    (lambda s, b, h, i, j: s + RELATIVE[h], TypeError, "RELATIVE"),
    (lambda s, b, h, i, j: s + RELATIVE[h, :], TypeError, "mixes symbols"),
    (lambda s, b, h, i, j: np.sin(s), TypeError, "no numpy.sin"),
    (lambda s, b, h, i, j: at.functional.tanh(s), TypeError, "as in np.tanh"),
    (lambda s, b, h, i, j: np.add.reduce(s), TypeError, "numpy.add"),
    (lambda s, b, h, i, j: np.sum(s), TypeError, "bias="),
    (lambda s, b, h, i, j: None, TypeError, "returned None"),
    (lambda s, b, h, i, j: "s", TypeError, "str"),
    (lambda s, b, h, i, j: (s, s), TypeError, "tuple"),
    (lambda s, b, h, i, j: 1j * s, TypeError, "complex"),
    (lambda s, b, h, i, j: s[0], TypeError, "one entry"),
    (lambda s, b, h, i, j: [x for x in s], TypeError, "nothing to iterate"),
    (lambda s, b, h, i, j: s.numpy(), AttributeError, "no .numpy"),
    (lambda s, b, h, i, j: s & 1, TypeError, "bitwise_and"),
    (lambda s, b, h, i, j: ~i * s, TypeError, "~ of a number"),
    (lambda s, b, h, i, j: -(i > j) * s, TypeError, "truth value"),
    (lambda s, b, h, i, j: ((i > j) - (i < j)) * s, TypeError, "truth values"),
    (lambda s, b, h, i, j: s + i**-1, ValueError, "make one of them a float"),
    (lambda s, b, h, i, j: s + 2**i, TypeError, "make one of them a float"),
    (lambda s, b, h, i, j: sum(np.tanh(s + n) for n in range(300)), ValueError, "more than 512"),
    (lambda s, b, h: s, TypeError, "five arguments"),
    (3, TypeError, "score_mod is a int but must be a function"),
    (GRID, TypeError, "numbers go to bias="),
    (lambda s, b, h, i, j: s + SLOPES[h + 1], IndexError, "SLOPES[(h + 1)], but SLOPES has shape (3,)"),
    (lambda s, b, h, i, j: s + SIGNED[2 * (i - j) - S], IndexError, "np.clip"),
    (lambda s, b, h, i, j: s + SLOPES[(s * 0 + h).astype(int)], TypeError, "depends on the score"),
    (lambda s, b, h, i, j: s + np.array(["a"])[h], TypeError, "captured"),
    (lambda s, b, h, i, j: s + np.array([1.0, 2.0, 3.0])[h], TypeError, "captured"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_cannot_be_traced_says_why(number):
    mod, error, says = REFUSED[number]
    q, k, v = inputs()
    with pytest.raises(error) as raised:
        at.attention(q, k, v, score_mod=mod)
    assert says in str(raised.value), str(raised.value)
    assert ":" in str(raised.value)


def test_an_array_out_of_sight_says_what_to_do():
    q, k, v = inputs()
    with pytest.raises(TypeError, match="captured"):
        at.attention(q, k, v, score_mod=lambda s, b, h, i, j: s + HIDDEN.table[h])
    seen = SimpleNamespace(table=at.score_mods.captured(SLOPES))
    got = at.attention(q, k, v, score_mod=lambda s, b, h, i, j: s + seen.table[h] * j)
    rows = at.attention(q, k, v, score_mod=lambda s, b, h, i, j: s + RELATIVE[h][j])
    assert_same_bits(rows, at.attention(q, k, v, score_mod=lambda s, b, h, i, j: s + RELATIVE[h, j]))
    assert_same_bits(got, at.attention(q, k, v, score_mod=lambda s, b, h, i, j: s + SLOPES[h] * j))


def test_an_index_beyond_the_table_matters_where_it_may_be_attended_only():
    q, k, v = inputs(length=90, keys=90)
    table = rng.standard_normal(40)
    near = at.masks.dense(np.abs(np.arange(90)[:, None] - np.arange(90)) < 40)
    mod = lambda s, b, h, i, j: s + table[abs(i - j)]  # noqa: E731
    clipped = lambda s, b, h, i, j: s + table[np.minimum(abs(i - j), 39)]  # noqa: E731
    assert_same_bits(
        at.attention(q, k, v, mask=near, score_mod=mod), at.attention(q, k, v, mask=near, score_mod=clipped)
    )
    with pytest.raises(IndexError, match=r"table\[abs"):
        at.attention(q, k, v, score_mod=mod)
    causal = at.masks.causal()
    lengths = at.masks.lengths([40, 3])
    short = rng.standard_normal(90)
    assert np.isfinite(
        at.attention(q, k, v, mask=causal, score_mod=lambda s, b, h, i, j: s + short[i - j])
    ).all()
    at.attention(q, k, v, mask=lengths, score_mod=lambda s, b, h, i, j: s + table[j])
    with pytest.raises(IndexError):
        at.attention(q, k, v, score_mod=lambda s, b, h, i, j: s + table[j])


def test_whole_numbers_must_be_exact():
    q, k, v = inputs(np.float32)
    with pytest.raises(ValueError, match=r"score_mod computes .* float32 holds them to 16777216"):
        at.attention(q, k, v, q_offset=2**20, score_mod=lambda s, b, h, i, j: s + (i * i) % 2)
    with pytest.raises(ValueError, match="i, whole numbers"):
        at.attention(q, k, v, q_offset=2**30, score_mod=lambda s, b, h, i, j: s + i % 2)
    at.attention(*inputs(), q_offset=2**30, score_mod=lambda s, b, h, i, j: s + i % 2)
    at.attention(q, k, v, q_offset=2**20, score_mod=lambda s, b, h, i, j: s + 1e-15 * i * i)
    at.attention(q, k, v, score_mod=lambda s, b, h, i, j: np.where(i < j, -1_000_000_001, s))
    large = np.array([2**24 + 1] * H)
    with pytest.raises(ValueError, match="16777217"):
        at.attention(q, k, v, score_mod=lambda s, b, h, i, j: s + large[h])


def test_tables_of_another_dtype():
    q, k, v = inputs(np.float32)
    double = rng.standard_normal(H)
    with pytest.raises(TypeError, match="Tensor that requires a gradient, but q is float32"):
        tensor = at.tensor(double, requires_grad=True)
        at.attention(q, k, v, score_mod=lambda s, b, h, i, j: s + tensor[h])
    for table in (double, at.tensor(double), double.astype(np.float32), (double * 9).astype(np.int8)):
        got = at.attention(q, k, v, score_mod=lambda s, b, h, i, j: s * table[h])  # noqa: B023
        assert got.dtype == np.float32
    with pytest.raises(TypeError, match="float16"):
        half = double.astype(np.float16)
        at.attention(q, k, v, score_mod=lambda s, b, h, i, j: s + half[h])


@pytest.mark.parametrize(
    "options, error, says",
    [
        ({"softcap": 0}, ValueError, "softcap is 0"),
        ({"softcap": -1.0}, ValueError, "softcap is -1"),
        ({"softcap": np.nan}, ValueError, "softcap is nan"),
        ({"softcap": np.inf}, ValueError, "softcap is inf"),
        ({"softcap": "1"}, TypeError, "softcap is a str"),
        (
            {"sinks": np.zeros(2)},
            ValueError,
            "sinks has shape (2,) but must have one entry for each query head, (3,)",
        ),
        ({"sinks": np.zeros((3, 1))}, ValueError, "sinks has shape (3, 1)"),
        ({"sinks": np.zeros(3, np.float32)}, TypeError, "sinks has dtype float32 but q has float64"),
        ({"sinks": np.zeros(3, int)}, TypeError, "sinks has dtype int64"),
    ],
)
def test_options_that_make_no_sense(options, error, says):
    with pytest.raises(error) as raised:
        at.attention(*inputs(), **options)
    assert says in str(raised.value)


def test_ready_made_mods_check_what_they_get():
    with pytest.raises(ValueError, match="cap is 0"):
        at.score_mods.softcap(0)
    with pytest.raises(ValueError, match=r"shape \(3, 4\)"):
        at.score_mods.relative(np.zeros((3, 4)))
    with pytest.raises(TypeError, match="captured: array has dtype <U1"):
        at.score_mods.captured(np.array(["a"]))
    q, k, v = inputs()
    table = rng.standard_normal((H, 5))
    for mod, bias in [
        (at.score_mods.alibi(SLOPES), at.functional.alibi(SLOPES, L, S, q_offset=3)),
        *(
            (
                at.score_mods.t5_bias(buckets, **options),
                at.functional.t5_bias(buckets, L, S, q_offset=3, **options),
            )
            for buckets in [rng.standard_normal((8, H))]
            for options in ({}, {"bidirectional": False, "max_distance": 9})
        ),
    ]:
        assert_close(at.attention(q, k, v, score_mod=mod, q_offset=3), at.attention(q, k, v, bias=bias))
    with pytest.raises(ValueError, match=r"alibi: slopes has shape \(\)"):
        at.score_mods.alibi(0.5)
    with pytest.raises(ValueError, match=r"t5_bias: table has shape \(3,\)"):
        at.score_mods.t5_bias(SLOPES)
    i, j = np.arange(L)[:, None], np.arange(S)
    bias = table[:, np.clip(j - i, -2, 2) + 2]
    assert_close(
        at.attention(q, k, v, score_mod=at.score_mods.relative(table)), at.attention(q, k, v, bias=bias)
    )

"""The rules that make the usual traps impossible, over random combinations of masks and options.

True means may attend (1); masks combine as sets of pairs (2); causal counts absolute positions (3); who may
attend to nothing gets zeros, and what is behind a mask does not leak (4); asking for weights changes no bit
of the output (5). Each configuration is compared with the formula in NumPy, on one and on two threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import attendo as at
from tolerance import assert_close, assert_same_bits

CONFIGURATIONS = 120


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = at.get_num_threads()
    yield
    at.set_num_threads(before)


def leaf_mask(rng: Any, batch: int, heads: int, length: int, keys: int, offset: int) -> tuple[Any, Any]:
    """A mask and the pairs it allows, written out by hand: (batch, heads, length, keys)."""
    i = np.arange(length)[:, None] + offset  # the positions of the queries
    j = np.arange(keys)
    kinds = ["causal", "lengths", "window", "prefix", "global", "documents", "blocks", "dense"]
    kind = str(rng.choice(kinds))
    if kind == "causal":
        return at.masks.causal(), j <= i
    if kind == "lengths":
        n = rng.integers(0, keys + 1, batch)
        return at.masks.lengths(n), (j < n[:, None])[:, None, None]
    if kind == "window":
        left, right = (int(n) for n in rng.integers(0, 9, 2))
        return at.masks.window(left, right), (j >= i - left) & (j <= i + right)
    if kind == "prefix":
        n = int(rng.integers(0, keys + 3))
        return at.masks.prefix(n), np.broadcast_to(j < n, (length, keys))
    if kind == "global":
        chosen = rng.choice(max(length + offset, keys), 2, replace=False)
        return at.masks.global_tokens(chosen), np.isin(i, chosen) | np.isin(j, chosen)
    if kind == "documents":
        ids = np.sort(rng.integers(0, 4, max(keys, length + offset)))
        return at.masks.documents(ids), ids[i] == ids[j]
    if kind == "blocks":
        size = int(rng.integers(1, 20))
        layout = rng.random((-(-(length + offset) // size), -(-keys // size))) < 0.5
        return at.masks.blocks(layout, size), layout[i // size, j // size]
    whole = (batch, heads, length, keys)
    shapes = [(keys,), (length, keys), whole[1:], (batch, 1, 1, keys), whole]
    array = rng.random(shapes[int(rng.integers(5))]) < 0.6
    return at.masks.dense(array), array


def any_mask(rng: Any, shape: tuple[int, int, int, int], offset: int, depth: int = 2) -> tuple[Any, Any]:
    if depth == 0 or rng.random() < 0.3:
        mask, pairs = leaf_mask(rng, *shape, offset)
        return mask, np.broadcast_to(pairs, shape)
    a, in_a = any_mask(rng, shape, offset, depth - 1)
    operation = str(rng.choice(["and", "and", "or", "not"]))
    if operation == "not":
        return ~a, ~in_a
    b, in_b = any_mask(rng, shape, offset, depth - 1)
    return (a & b, in_a & in_b) if operation == "and" else (a | b, in_a | in_b)


class Configuration:
    """Arrays, options, and what the formula makes of them."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.dtype = rng.choice([np.float32, np.float64])
        batch, kv_heads, group = (int(n) for n in rng.integers(1, 4, 3))
        heads, d, d_v = kv_heads * group, int(rng.integers(1, 18)), int(rng.integers(1, 18))
        length, keys = int(rng.integers(1, 90)), int(rng.integers(3, 200))
        self.offset = int(rng.integers(0, 40))
        self.group = group
        self.shape = (batch, heads, length, keys)

        def normal(*shape: int) -> Any:
            return rng.standard_normal(shape).astype(self.dtype)

        self.q, self.k, self.v = (
            normal(batch, heads, length, d),
            normal(batch, kv_heads, keys, d),
            normal(batch, kv_heads, keys, d_v),
        )
        self.d_out = normal(batch, heads, length, d_v)
        self.options: dict[str, Any] = {"q_offset": self.offset}
        self.scale = d**-0.5
        self.mask, self.allowed = None, np.ones(self.shape, bool)
        if rng.random() < 0.85:
            self.mask, self.allowed = any_mask(rng, self.shape, self.offset)
            self.options["mask"] = self.mask
        if rng.random() < 0.3:
            shapes = [(length, keys), (heads, 1, keys), self.shape]
            self.options["bias"] = normal(*shapes[int(rng.integers(3))])
        if rng.random() < 0.3:
            self.scale = self.options["scale"] = float(rng.uniform(0.05, 1))
        if rng.random() < 0.3:
            self.options["softcap"] = float(rng.uniform(0.5, 4))
        if rng.random() < 0.3:
            self.options["sinks"] = normal(heads)
        if rng.random() < 0.3:
            slopes = normal(heads) / 50
            self.options["score_mod"] = lambda s, b, h, i, j: (
                np.where(i > j, s, 0.5 * s) - slopes[h] * np.abs(i - j)
            )

    def weights(self) -> Any:
        """(batch, heads, length, keys) in float64."""
        _, heads, length, keys = self.shape
        k = np.repeat(self.k.astype(np.float64), self.group, axis=1)
        s = self.scale * self.q.astype(np.float64) @ np.swapaxes(k, -1, -2)
        o = self.options
        if "softcap" in o:
            s = o["softcap"] * np.tanh(s / o["softcap"])
        if "score_mod" in o:
            h = np.arange(heads)[:, None, None]
            s = o["score_mod"](s, 0, h, np.arange(length)[:, None] + self.offset, np.arange(keys))
        if "bias" in o:
            s = s + o["bias"]
        s = np.where(self.allowed, s, -np.inf)
        extra = np.full((*self.shape[:2], length, 1), -np.inf)
        if "sinks" in o:
            extra[:] = o["sinks"][:, None, None]
        top = np.maximum(s.max(-1, keepdims=True, initial=-np.inf), extra)
        top[top == -np.inf] = 0
        e = np.exp(s - top)
        total = e.sum(-1, keepdims=True) + np.exp(extra - top)
        return e / np.where(total == 0, 1, total)

    def expected(self) -> Any:
        return self.weights() @ np.repeat(self.v.astype(np.float64), self.group, axis=1)

    def gradients(self, q: Any = None, k: Any = None, v: Any = None) -> tuple[Any, ...]:
        given = zip((q, k, v), (self.q, self.k, self.v), strict=True)
        tensors = [at.tensor(old if new is None else new, requires_grad=True) for new, old in given]
        out = at.attention(*tensors, **self.options)
        out.backward(at.tensor(self.d_out))
        return (out.numpy(), *(x.grad.numpy() for x in tensors))


configurations: Callable[..., Any] = pytest.mark.parametrize("seed", range(CONFIGURATIONS))


@configurations
def test_the_formula_holds_and_weights_change_no_bit(seed: int) -> None:
    c = Configuration(seed)
    out = at.attention(c.q, c.k, c.v, **c.options)
    again, weights = at.attention(c.q, c.k, c.v, return_weights=True, **c.options)
    assert_same_bits(again, out)
    assert_close(out, c.expected(), scale=8)
    assert_close(weights, c.weights(), scale=8)
    assert not weights[~c.allowed].any()
    assert not out[~c.allowed.any(-1)].any()


@configurations
def test_the_same_bits_on_one_and_two_threads(seed: int) -> None:
    c = Configuration(seed)
    at.set_num_threads(1)
    one = c.gradients()
    at.set_num_threads(2)
    for a, b in zip(one, c.gradients(), strict=True):
        assert_same_bits(a, b)


@configurations
def test_what_is_behind_a_mask_does_not_leak(seed: int) -> None:
    c = Configuration(seed)
    clean = c.gradients()
    # (batch, kv heads, keys)
    by_kv = c.allowed.reshape(c.shape[0], -1, c.group, *c.shape[2:]).any(axis=(2, 3))
    k, v, q = c.k.copy(), c.v.copy(), c.q.copy()
    k[~by_kv], v[~by_kv] = np.nan, np.inf
    q[~c.allowed.any(-1)] = np.nan
    names = ("out", "d_q", "d_k", "d_v")
    for name, got, expected in zip(names, c.gradients(q, k, v), clean, strict=True):
        assert_close(got, expected, scale=32, what=name)
    assert not clean[1][~c.allowed.any(-1)].any()  # nothing to attend to: no gradient
    assert not clean[2][~by_kv].any() and not clean[3][~by_kv].any()  # attended by nobody: no gradient


@pytest.mark.parametrize("seed", [s for s in range(CONFIGURATIONS) if Configuration(s).mask is not None])
def test_a_mask_object_is_what_it_writes_out(seed: int) -> None:
    c = Configuration(seed)
    written = c.mask.dense(*c.shape, q_offset=c.offset)
    np.testing.assert_array_equal(written, c.allowed)
    dense = {**c.options, "mask": written}
    assert_close(at.attention(c.q, c.k, c.v, **c.options), at.attention(c.q, c.k, c.v, **dense), scale=8)


@configurations
def test_dropout_drops_after_the_weights(seed: int) -> None:
    c = Configuration(seed)
    out, weights = at.attention(c.q, c.k, c.v, return_weights=True, **c.options)
    same, kept = at.attention(c.q, c.k, c.v, return_weights=True, dropout=0.0, **c.options)
    assert_same_bits(same, out)
    dropped, whole = at.attention(
        c.q, c.k, c.v, return_weights=True, dropout=0.4, generator=at.Generator(seed), **c.options
    )
    alone = at.attention(c.q, c.k, c.v, dropout=0.4, generator=at.Generator(seed), **c.options)
    assert_same_bits(alone, dropped)
    assert_same_bits(whole, weights)
    assert_same_bits(kept, weights)


@configurations
def test_numbers_are_no_mask(seed: int) -> None:
    c = Configuration(seed)
    numbers = c.allowed.astype([np.int64, np.uint8, np.float32, np.float64][seed % 4])
    options = {name: value for name, value in c.options.items() if name != "mask"}
    with pytest.raises(TypeError, match="bias="):
        at.attention(c.q, c.k, c.v, mask=numbers, **options)
    with pytest.raises(TypeError, match="bias="):
        at.masks.dense(numbers)


@configurations
def test_causal_needs_to_know_where_the_queries_are(seed: int) -> None:
    c = Configuration(seed)
    _, _, length, keys = c.shape
    options = {name: value for name, value in c.options.items() if name not in ("mask", "q_offset")}
    masks = [at.masks.causal(), ~at.masks.causal(), at.masks.causal() & at.masks.lengths([keys] * c.shape[0])]
    for mask in masks:
        if length == keys:
            assert_same_bits(
                at.attention(c.q, c.k, c.v, mask=mask, **options),
                at.attention(c.q, c.k, c.v, mask=mask, q_offset=0, **options),
            )
        else:
            with pytest.raises(ValueError, match="q_offset"):
                at.attention(c.q, c.k, c.v, mask=mask, **options)


def test_every_batch_entry_may_have_an_offset_of_its_own() -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((3, 2, n, 5)) for n in (4, 9, 9))
    offsets = [0, 3, 5]
    table = rng.standard_normal(20)
    cases: list[tuple[Any, dict[str, Any]]] = [
        (at.masks.causal(), {"softcap": 2.0}),
        (at.masks.causal() & at.masks.lengths([9, 4, 0]), {}),
        (at.masks.window(2, 1) & at.masks.prefix(8), {"score_mod": lambda s, b, h, i, j: s + table[i] * j}),
        (at.masks.causal(), {"softcap": 2.0, "score": lambda a, b: a @ b.swapaxes(-1, -2)}),
    ]
    for mask, options in cases:
        tensors = [at.tensor(x, requires_grad=True) for x in (q, k, v)]
        out = at.attention(*tensors, mask=mask, q_offset=np.array(offsets), **options)
        out.sum().backward()
        for b, offset in enumerate(offsets):
            written = mask.dense(3, 2, 4, 9, q_offset=offset)[b]
            alone = [at.tensor(x[b], requires_grad=True) for x in (q, k, v)]
            expected = at.attention(*alone, mask=written, q_offset=offset, **options)
            expected.sum().backward()
            assert_close(out.numpy()[b], expected.numpy())
            for whole, part in zip(tensors, alone, strict=True):
                assert_close(whole.grad.numpy()[b], part.grad.numpy())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"q_offset": [0, 1]}, ValueError, r"q_offset has shape \(2,\)"),
        ({"q_offset": [[0], [1], [2]]}, ValueError, "q_offset has shape"),
        ({"q_offset": [0.0, 1.0, 2.0]}, TypeError, "q_offset has dtype float64"),
        ({"q_offset": [0, 1, 2**62]}, ValueError, "q_offset holds"),
        ({"q_offset": [0, 1, 2], "mask": ~at.masks.causal()}, ValueError, "an entry for each of the batch"),
    ],
)
def test_offsets_that_make_no_sense(options: Any, error: Any, message: str) -> None:
    x = np.zeros((3, 2, 4, 5))
    with pytest.raises(error, match=message):
        at.attention(x, x, x, **options)


@pytest.mark.parametrize("score", ["additive", "kernel", "function", "dot", "cosine"])
@pytest.mark.parametrize("causal", [False, True])
def test_what_changes_scores_changes_those_of_every_kind(score: str, causal: bool) -> None:
    """softcap, score_mod, bias, mask and sinks come in the same order, whoever made the scores."""
    rng = np.random.default_rng(1)
    q, k, v = (rng.standard_normal((2, 4, n, 5)) for n in (7, 9, 9))
    k, v = k[:, :2], v[:, :2]
    heads_k = np.repeat(k, 2, axis=1)
    table, bias, sinks = rng.standard_normal((4, 17)), rng.standard_normal((7, 9)), rng.standard_normal(4)
    w_q, w_k, v_a = rng.standard_normal((3, 5)), rng.standard_normal((3, 5)), rng.standard_normal(3)
    kinds: dict[str, Any] = {
        "additive": ("additive", (w_q, w_k, v_a)),
        "kernel": ("kernel", (1.3,)),
        "function": (lambda a, b: (a @ b.swapaxes(-1, -2)) * 0.7, None),
        "dot": ("dot", None),
        "cosine": ("cosine", None),
    }
    norm = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (q, heads_k)]
    s = {
        "additive": lambda: np.tanh((q @ w_q.T)[..., :, None, :] + (heads_k @ w_k.T)[..., None, :, :]) @ v_a,
        "kernel": lambda: -((q[..., :, None, :] - heads_k[..., None, :, :]) ** 2).sum(-1) / (2 * 1.3**2),
        "function": lambda: 0.7 * q @ np.swapaxes(heads_k, -1, -2),
        "dot": lambda: q @ np.swapaxes(heads_k, -1, -2),
        "cosine": lambda: norm[0] @ np.swapaxes(norm[1], -1, -2),
    }[score]()
    i, j = np.arange(7)[:, None] + 2, np.arange(9)
    s = 1.5 * np.tanh(s / 1.5)
    s = s * 1.1 + table[np.arange(4)[:, None, None], i - j + 8] + bias
    allowed = j <= i if causal else np.ones((7, 9), bool)
    e = np.where(allowed, np.exp(s), 0)
    expected = e / (e.sum(-1, keepdims=True) + np.exp(sinks)[:, None, None])
    options: dict[str, Any] = {
        "softcap": 1.5,
        "score_mod": lambda s, b, h, i, j: s * 1.1 + table[h, i - j + 8],
        "bias": bias,
        "sinks": sinks,
        "mask": at.masks.causal() if causal else None,
        "q_offset": 2,
    }
    name, params = kinds[score]
    out, weights = at.attention(q, k, v, score=name, score_params=params, return_weights=True, **options)
    assert_close(weights, expected)
    assert_close(out, expected @ np.repeat(v, 2, axis=1))
    # The same with gradients, which must be those of the finite differences of the formula above.
    tensors = [at.tensor(x, requires_grad=True) for x in (q, k, v)]
    tracked = at.attention(*tensors, score=name, score_params=params, **options)
    assert_close(tracked.numpy(), out)
    tracked.backward(at.tensor(np.ones(out.shape)))
    step = rng.standard_normal(q.shape)
    tiny = 1e-6
    both = [
        at.attention(q + sign * tiny * step, k, v, score=name, score_params=params, **options).sum()
        for sign in (1, -1)
    ]
    assert abs((tensors[0].grad.numpy() * step).sum() - (both[0] - both[1]) / (2 * tiny)) < 1e-6


@pytest.mark.parametrize("rule", [False, True])
def test_masks_reach_scores_made_in_blocks(rule: bool) -> None:
    """More queries than a block of the function's has, and a mask that counts them."""
    rng = np.random.default_rng(2)
    q, k, v = (rng.standard_normal((2, n, 3)) for n in (600, 40, 40))
    mask = at.masks.window(3) & at.masks.causal()
    if rule:
        mask = mask | at.masks.global_tokens([5, 300])
    options: dict[str, Any] = {"mask": mask, "q_offset": -280}
    out = at.attention(q, k, v, score=lambda a, b: a @ b.swapaxes(-1, -2) * 3**-0.5, **options)
    assert_close(out, at.attention(q, k, v, **options))


@pytest.mark.parametrize("score", ["scaled_dot", "cosine"])
def test_a_sink_of_minus_infinity_is_none_backwards_too(score: str) -> None:
    x = np.ones((1, 1, 2, 3))
    sinks = at.tensor(np.array([-np.inf]), requires_grad=True)
    mask = np.array([[True, True], [False, False]])
    at.attention(x, x, x, sinks=sinks, mask=mask, score=score).sum().backward()
    np.testing.assert_array_equal(sinks.grad.numpy(), [0.0])


@pytest.mark.parametrize("softcap", [1e60, 1e-60])
def test_a_softcap_beyond_the_dtype_is_refused(softcap: float) -> None:
    x = np.zeros((1, 1, 2, 2), np.float32)
    with pytest.raises(ValueError, match=r"softcap is 1e.*float32"):
        at.attention(x, x, x, softcap=softcap)
    assert not at.attention(*3 * (x.astype(np.float64),), softcap=softcap).any()


def test_a_scale_that_is_no_number_is_refused() -> None:
    x = np.zeros((1, 2, 2))
    with pytest.raises(ValueError, match="scale holds nan"):
        at.attention(x, x, x, scale=at.tensor(np.array(np.nan)))

"""Attention to a prefix: as attention over the prefix and the keys put together, whatever the options."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from attendo.reference.multi_head import merge_heads, split_heads
from inputs import DTYPES, THREADS
from layer_check import randomized
from tolerance import DIFFERENCE, STEP, assert_close, assert_same_bits

B, LENGTH, KEYS, HEADS, D, PREFIX = 2, 5, 7, 4, 3, 3
DRAW = np.random.default_rng(0)
X, MEMORY = DRAW.standard_normal((B, LENGTH, HEADS * D)), DRAW.standard_normal((B, KEYS, HEADS * D))
BIAS = DRAW.standard_normal((HEADS, LENGTH, KEYS))
SOME = DRAW.random((B, 1, LENGTH, KEYS)) < 0.5
SOME[0, 0, 2] = False  # a query that no key answers: the prefix alone
LENGTHS = at.masks.lengths([KEYS, 4])
BLOCKS = at.masks.causal() | at.masks.documents([0, 0, 0, 1, 1, 2, 2])


def layer(dtype="float64", **options):
    options = {"num_kv_heads": HEADS} | options
    module = at.nn.MultiHeadAttention(HEADS * D, HEADS, dtype=dtype, seed=0, **options)
    at.peft.unfreeze(at.peft.prefix(module, PREFIX, seed=1))
    return randomized(module, 2)


def dense(mask, keys, q_offset):
    if not isinstance(mask, at.masks.Mask):
        return mask
    return mask.dense(B, HEADS, LENGTH, keys, q_offset=q_offset)


def parts(module, query, key):
    """Heads of queries, keys and values, by the reference."""
    p = {name: value.astype(np.float64) for name, value in module.state_dict().items()}
    widths = np.cumsum([module.num_heads * D, module.num_kv_heads * D])
    projections = zip(np.split(p["in_proj_weight"], widths), np.split(p["in_proj_bias"], widths), strict=True)
    inputs, heads = (query, key, key), (module.num_heads, module.num_kv_heads, module.num_kv_heads)
    cut = [
        split_heads(reference.linear(x.astype(np.float64), w, b), h)
        for x, (w, b), h in zip(inputs, projections, heads, strict=True)
    ]
    return p, cut


def expected(module, query, key, mask=None, bias=None, q_offset=0):
    p, (q, k, v) = parts(module, query, key)
    out, weights = reference.kv_prefix(
        q, k, v, p["prefix.key"], p["prefix.value"], dense(mask, key.shape[1], q_offset), bias
    )
    return reference.linear(merge_heads(out), p["out_proj.weight"], p["out_proj.bias"]), weights


CASES = {
    "cross": (X, MEMORY, {}),
    "grouped": (X, MEMORY, {"mask": LENGTHS}),
    "self": (X, X, {}),
    "causal": (X, X, {"mask": at.masks.causal()}),
    "causal at an offset": (X, MEMORY, {"mask": at.masks.causal(), "q_offset": 2}),
    "lengths": (X, MEMORY, {"mask": LENGTHS}),
    "window": (X, X, {"mask": at.masks.causal() & at.masks.window(1, 0)}),
    "dense": (X, MEMORY, {"mask": SOME}),
    "rule": (X, MEMORY, {"mask": BLOCKS, "q_offset": 1}),
    "bias": (X, MEMORY, {"bias": BIAS}),
    "bias and lengths": (X, MEMORY, {"bias": BIAS, "mask": LENGTHS}),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_forward_is_the_reference(name, dtype):
    query, key, options = CASES[name]
    query, key = query.astype(dtype), key.astype(dtype)
    options = {n: v.astype(dtype) if n == "bias" else v for n, v in options.items()}
    module = layer(str(dtype), num_kv_heads=2 if name == "grouped" else HEADS)
    out, weights = module(query, key, key, return_weights=True, **options)
    y, p = expected(module, query, key, **options)
    assert_close(out.numpy(), y, scale=10)
    assert_close(weights.numpy(), p)
    assert_same_bits(module(query, key, key, **options), out)
    assert (weights.numpy().sum(-1) < 1).all()  # the rest is the prefix's


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_central_differences(name):
    query, key, options = CASES[name]
    module = layer(num_kv_heads=2 if name == "grouped" else HEADS)
    d_out = np.random.default_rng(3).standard_normal(query.shape)
    d_weights = np.random.default_rng(4).standard_normal((B, HEADS, LENGTH, key.shape[1]))
    q = at.tensor(query, requires_grad=True)
    k = q if key is query else at.tensor(key, requires_grad=True)
    out, weights = module(q, k, k, return_weights=True, **options)
    ((out * d_out).sum() + (weights * d_weights).sum()).backward()

    def loss(one, other):
        result, p = expected(module, one, other, **options)
        return float((result * d_out).sum() + (p * d_weights).sum())

    leaves = dict(module.named_parameters())
    rng = np.random.default_rng(5)
    for leaf in ("prefix.key", "prefix.value", "in_proj_weight", "out_proj.weight"):
        value, grad = leaves[leaf].numpy(), leaves[leaf].grad.numpy()
        for at_index in rng.permutation(value.size)[:8]:
            state, found = module.state_dict(), []
            for sign in (1, -1):
                moved = state[leaf].copy()
                moved.flat[at_index] += sign * STEP
                module.load_state_dict(state | {leaf: moved})
                found.append(loss(query, key))
            module.load_state_dict(state)
            difference = (found[0] - found[1]) / (2 * STEP)
            assert abs(difference - grad.flat[at_index]) < 100 * DIFFERENCE, leaf
    for at_index in rng.permutation(query.size)[:8]:
        found = []
        for sign in (1, -1):
            moved = query.copy()
            moved.flat[at_index] += sign * STEP
            found.append(loss(moved, moved if key is query else key))
        difference = (found[0] - found[1]) / (2 * STEP)
        assert abs(difference - q.grad.numpy().flat[at_index]) < 100 * DIFFERENCE


def test_gradients_are_the_reference():
    """Those of the prefix and of the heads themselves, of a layer whose projections are the identity."""
    module = layer()
    state = module.state_dict()
    eye = np.eye(HEADS * D)
    state |= {"in_proj_weight": np.concatenate([eye] * 3), "out_proj.weight": eye}
    module.load_state_dict(state | {n: np.zeros_like(state[n]) for n in ("in_proj_bias", "out_proj.bias")})
    q, k = at.tensor(X, requires_grad=True), at.tensor(MEMORY, requires_grad=True)
    d_out = np.random.default_rng(3).standard_normal(X.shape)
    module(q, k, k, mask=SOME).backward(d_out)
    prefix = module.prefix
    d_q, d_k, d_v, d_prefix_k, d_prefix_v = reference.kv_prefix_backward(
        split_heads(d_out, HEADS), split_heads(X, HEADS), *[split_heads(MEMORY, HEADS)] * 2,
        prefix.key.numpy(), prefix.value.numpy(), SOME,
    )  # fmt: skip
    assert_close(q.grad.numpy(), merge_heads(d_q))
    assert_close(k.grad.numpy(), merge_heads(d_k + d_v))
    assert_close(prefix.key.grad.numpy(), d_prefix_k)
    assert_close(prefix.value.grad.numpy(), d_prefix_v)


def test_torch(torch):
    """As PyTorch's attention with the prefix put before the projected keys and values."""
    module = layer()
    p = {n: torch.tensor(v, requires_grad=True) for n, v in module.state_dict().items()}
    x = torch.tensor(X)
    q, k, v = (x @ p["in_proj_weight"].T + p["in_proj_bias"]).chunk(3, -1)

    def heads(t):
        return t.reshape(*t.shape[:-1], HEADS, D).transpose(-3, -2)

    k = torch.cat([heads(p["prefix.key"]).expand(B, -1, -1, -1), heads(k)], -2)
    v = torch.cat([heads(p["prefix.value"]).expand(B, -1, -1, -1), heads(v)], -2)
    seen = torch.cat([torch.ones(LENGTH, PREFIX), torch.tril(torch.ones(LENGTH, LENGTH))], 1).bool()
    y = torch.nn.functional.scaled_dot_product_attention(heads(q), k, v, attn_mask=seen)
    y = y.transpose(-3, -2).reshape(X.shape) @ p["out_proj.weight"].T + p["out_proj.bias"]
    out = module(X, X, X, mask=at.masks.causal())
    assert_close(out.numpy(), y.detach().numpy(), scale=10)
    d_out = np.random.default_rng(3).standard_normal(X.shape)
    y.backward(torch.tensor(d_out))
    out.backward(d_out)
    for name, value in module.named_parameters():
        assert_close(value.grad.numpy(), p[name].grad.numpy(), scale=10, what=name)


@pytest.mark.parametrize(
    "options", [{}, {"num_kv_heads": 2}, {"rotary": True, "qk_norm": True, "head_dim": 4}]
)
def test_large_and_the_same_bits_on_any_number_of_threads(options):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 300, 64)).astype("float32")
    module = at.nn.MultiHeadAttention(64, 4, seed=0, dropout=0.1, **options)
    at.peft.prefix(module, 70, seed=1)
    results = []
    for threads in THREADS:
        at.set_num_threads(threads)
        module.zero_grad()
        module.eval()
        y = module(at.tensor(x), x, x, mask=at.masks.causal())
        y.backward(np.ones_like(x))
        results.append([y.numpy(), *(g.grad.numpy().copy() for g in module.prefix.parameters())])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert_same_bits(one, two)


def test_no_position_counts_it():
    """Rotary positions: the keys' positions, and so their products, stay as they were."""
    module = at.nn.MultiHeadAttention(8, 2, rotary=True, seed=0, dtype="float64")
    x = DRAW.standard_normal((1, 6, 8))
    before = module(x, x, x, mask=at.masks.causal(), return_weights=True)[1].numpy()
    at.peft.prefix(module, 4, seed=0)
    after = module(x, x, x, mask=at.masks.causal(), return_weights=True)[1].numpy()
    assert_close(after / after.sum(-1, keepdims=True), before)
    assert (after.sum(-1) < 0.9).all()


def test_a_prefix_far_above_the_keys_takes_all_and_far_below_nothing():
    module = at.nn.MultiHeadAttention(8, 2, seed=0, dtype="float64")
    x = np.abs(DRAW.standard_normal((1, 6, 8)))
    at.peft.prefix(module, 4, seed=0)
    state = module.state_dict()
    # Queries are all ones and keys ±1e6: every score of the prefix is as far above or below as that.
    state |= {"in_proj_weight": state["in_proj_weight"].copy(), "in_proj_bias": state["in_proj_bias"].copy()}
    state["in_proj_weight"][:8], state["in_proj_bias"][:8] = 0, 1
    plain = at.nn.MultiHeadAttention(8, 2, dtype="float64")
    plain.load_state_dict({n: v for n, v in state.items() if not n.startswith("prefix")})
    before = plain(x, x, x).numpy()
    for key in (-1e6, 1e6):
        module.load_state_dict(state | {"prefix.key": np.full((4, 8), key)})
        y = module(x, x, x).numpy()
        if key < 0:
            assert_close(y, before)
        else:
            alone = state["prefix.value"].mean(0) @ state["out_proj.weight"].T + state["out_proj.bias"]
            assert_close(y, np.broadcast_to(alone, y.shape))


def test_gradients_of_gradients_are_refused():
    module = layer()
    x = at.tensor(X, requires_grad=True)
    y = module(x, x, x).sum()
    with pytest.raises(ValueError, match="attention"):
        at.grad(y, [x], create_graph=True)

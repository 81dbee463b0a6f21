"""Gradients of gradients of attention: every option, what is behind a mask, the layers, and PyTorch."""

import gc
import itertools

import numpy as np
import pytest

import attendo as at
from grad_check import check_grad_grad, leaves
from layer_check import randomized
from tolerance import DIFFERENCE, STEP, assert_close, assert_same_bits, magnitude

LENGTH, KEYS, D, D_V = 3, 5, 4, 2


def inputs(heads=2, kv_heads=2, batch=(2,), seed=0):
    rng = np.random.default_rng(seed)
    return [
        rng.standard_normal((*batch, h, n, d))
        for h, n, d in ((heads, LENGTH, D), (kv_heads, KEYS, D), (kv_heads, KEYS, D_V))
    ]


def dense():
    """A mask of (2, 1, L, S) with a row that may attend to nothing and a key nobody attends to."""
    mask = np.random.default_rng(3).random((2, 1, LENGTH, KEYS)) < 0.6
    mask[0, 0, 1] = False
    mask[1, 0, :, 2] = False
    mask[:, :, 0, 0] = True
    return mask


MASKS = {
    "none": {},
    "causal": {"mask": at.masks.causal(), "q_offset": 0},
    "lengths": {"mask": at.masks.lengths([4, 0])},
    "dense": {"mask": dense()},
    "all": {"mask": at.masks.causal() & at.masks.lengths([4, 2]) & at.masks.dense(dense()), "q_offset": 1},
}


# ---------------------------------------------------------------------------------------- every option


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("bias", [None, (), (KEYS,), (2, 1, LENGTH, 1), (2, 2, LENGTH, KEYS)], ids=str)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("return_weights", [False, True])
def test_all_combinations(mask, bias, dropout, return_weights):
    for heads, kv_heads in [(2, 2), (2, 1)]:
        arrays = inputs(heads, kv_heads)
        if bias:
            arrays.append(np.random.default_rng(5).standard_normal(bias))

        def attention(q, k, v, b=None):
            generator = at.Generator(1) if dropout else None
            return at.attention(
                q,
                k,
                v,
                bias=b,
                dropout=dropout,
                generator=generator,
                return_weights=return_weights,
                **MASKS[mask],
            )

        check_grad_grad(attention, arrays, directions=1)


RULES = {
    "window": at.masks.window(1),
    "sliding": at.masks.window(2) & at.masks.causal(),
    "prefix": at.masks.causal() | at.masks.prefix([1, 3]),
    "global": at.masks.window(0) | at.masks.global_tokens([2]),
    "strided": at.masks.strided(2),
    "blocks": at.masks.blocks(np.array([[True, False, True], [False, True, False], [True] * 3]), 2),
    "not": ~at.masks.window(1) & at.masks.lengths([5, 4]),
    "dense": (at.masks.window(1) | at.masks.dense(np.arange(KEYS) == 4)) & at.masks.dense(dense()),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("heads", [(2, 2), (2, 1)], ids=str)
def test_masks_by_rule(rule, heads):
    """The second gradients are those of the same mask written out, to the bit."""
    arrays = inputs(*heads)
    written = RULES[rule].dense(2, 2, LENGTH, KEYS, q_offset=1)
    assert written.any() and not written.all()
    results = []
    for options in ({"mask": RULES[rule], "q_offset": 1}, {"mask": written}):
        xs = leaves(arrays)
        first = at.grad((at.attention(*xs, **options) ** 2).sum(), xs, create_graph=True)
        results.append([*first, *at.grad(sum((g * g).sum() for g in first), xs)])
    for a, b in zip(*results, strict=True):
        assert_same_bits(a, b)
    check_grad_grad(lambda *x: at.attention(*x, mask=RULES[rule], q_offset=1), arrays, directions=1)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_softcap_and_sinks(mask, dropout):
    arrays = [*inputs(), np.array([0.3, -0.5])]

    def attention(q, k, v, sinks):
        options = {"dropout": dropout, "generator": at.Generator(1)} if dropout else {}
        return at.attention(q, k, v, softcap=1.5, sinks=sinks, return_weights=True, **options, **MASKS[mask])

    check_grad_grad(attention, arrays, directions=2)


def test_score_mod_is_refused_by_name():
    xs = leaves(inputs())
    out = at.attention(*xs, score_mod=lambda s, b, h, i, j: s * s)
    with pytest.raises(
        ValueError, match=r"^grad: gradients of gradients are not there for attention with score_mod;"
    ):
        at.grad(out.sum(), xs, create_graph=True)
    assert all(x.grad is None for x in xs)
    plain = at.grad(out.sum(), xs)
    out.sum().backward()
    for g, x in zip(plain, xs, strict=True):
        assert_same_bits(g, x.grad)


@pytest.mark.parametrize("batch", [None, (), (2, 3)], ids=str)
def test_ranks(batch):
    arrays = [x[0] for x in inputs(batch=())] if batch is None else inputs(batch=batch)
    check_grad_grad(lambda *x: at.attention(*x, mask=at.masks.causal(), q_offset=2, scale=0.3), arrays)


def test_one_tensor_is_query_key_and_value():
    check_grad_grad(lambda x: at.attention(x, x, x, return_weights=True), inputs()[:1])


def test_one_input_is_computed_from_another():
    """The gradient of q does not count what goes through k, until the tape adds it."""
    check_grad_grad(lambda x: at.attention(x * 2.0, x.tanh(), x * x), inputs()[:1])


def test_the_weights_alone():
    check_grad_grad(lambda q, k, v: at.attention(q, k, v, return_weights=True)[1] + v.sum(), inputs())


def test_third_order():
    def gradient(*xs):
        y = at.attention(*xs, mask=at.masks.causal(), q_offset=1)
        return at.grad(y, list(xs), np.cos(np.arange(y.size)).reshape(y.shape), create_graph=True)

    check_grad_grad(gradient, inputs(1, 1, (1,)), directions=1)


@pytest.mark.parametrize(
    "shape", [(0, 2, 3, 5, 4, 2), (1, 0, 3, 5, 4, 2), (1, 2, 0, 5, 4, 2), (1, 2, 3, 0, 4, 2)]
)
@pytest.mark.parametrize("mask", [None, at.masks.causal()])
def test_nothing_to_attend_to(shape, mask):
    b, h, length, keys, d, d_v = shape
    xs = leaves([np.ones((b, h, n, e)) for n, e in ((length, d), (keys, d), (keys, d_v))])
    out = at.attention(*xs, mask=mask, q_offset=None if mask is None else 0)
    gradients = at.grad(out, xs, np.ones(out.shape), create_graph=True)
    for g, x in zip(gradients, xs, strict=True):
        assert g.shape == x.shape and not g.numpy().any()


def test_same_bits_on_any_number_of_threads():
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 3, n, 16)).astype(np.float32) for n in (50, 70, 70)]
    results = []
    for threads in (1, 2):
        at.set_num_threads(threads)
        xs = leaves(arrays)
        out = at.attention(*xs, mask=at.masks.lengths([70, 33]), dropout=0.1, generator=at.Generator(2))
        first = at.grad((out * out).sum(), xs, create_graph=True)
        results.append([*first, *at.grad(sum((g * g).sum() for g in first), xs)])
    for a, b in zip(*results, strict=True):
        assert a.dtype == np.float32
        assert_same_bits(a, b)


# ---------------------------------------------------------------------------------------- NaN


@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e300], ids=str)
@pytest.mark.parametrize("mask", ["lengths", "dense", "causal"])
def test_what_is_behind_a_mask_does_not_leak(mask, poison):
    """To no order."""
    hidden = {
        "lengths": {"mask": at.masks.lengths([3, 3])},
        "dense": {"mask": np.arange(KEYS) < 3},
        "causal": {"mask": at.masks.causal(), "q_offset": 0},
    }[mask]
    results = []
    for value in (0.0, poison):
        q, k, v = inputs()
        k[:, :, 3:], v[:, :, 3:] = value, value
        bias = np.zeros((LENGTH, KEYS))
        bias[:, 3:] = value
        xs = leaves([q, k, v, bias])
        out, weights = at.attention(*xs[:3], bias=xs[3], return_weights=True, **hidden)
        first = at.grad((out * out).sum() + (weights * weights).sum(), xs, create_graph=True)
        results.append([*first, *at.grad(sum((g * g).sum() for g in first), xs)])
    for clean, dirty in zip(*results, strict=True):
        assert np.isfinite(clean.numpy()).all()
        assert_same_bits(dirty, clean)


def test_a_nan_query_that_attends_to_nothing_does_not_leak():
    results = []
    for value in (0.0, np.nan):
        q, k, v = inputs()
        q[0, :, 1] = value  # attends to nothing: see dense()
        xs = leaves([q, k, v])
        out = at.attention(*xs, mask=dense())
        first = at.grad((out * out).sum(), xs, create_graph=True)
        results.append([*first, *at.grad(sum((g * g).sum() for g in first), xs)])
    for clean, dirty in zip(*results, strict=True):
        assert_same_bits(dirty, clean)


def test_a_nan_that_is_attended_to_shows():
    q, k, v = inputs()
    k[0, 0, 3] = np.nan
    xs = leaves([q, k, v])
    out = at.attention(*xs, mask=at.masks.causal(), q_offset=1)  # query 2 sees key 3, the others do not
    (d_q,) = at.grad((out * out).sum(), xs[0], create_graph=True)
    (again,) = at.grad((d_q * d_q).sum(), xs[0])
    for d in (d_q, again):
        nan = np.isnan(d.numpy())
        assert nan[0, 0, 2].all() and not nan[0, 0, :2].any() and not nan[0, 1].any() and not nan[1].any()


# ---------------------------------------------------------------------------------------- what it is for


def test_hessian_vector_products():
    """Against central differences of what backward() gives, entry by entry."""
    arrays = inputs()
    us = [np.random.default_rng(8).standard_normal(x.shape) for x in arrays]

    def loss(xs):
        out = at.attention(*xs, mask=dense())
        return (out * out * out).sum()

    def gradients(points):
        xs = leaves(points)
        loss(xs).backward()
        return [x.grad.numpy() for x in xs]

    xs = leaves(arrays)
    first = at.grad(loss(xs), xs, create_graph=True)
    products = at.grad(first, xs, us)
    up, down = (gradients([x + e * u for x, u in zip(arrays, us, strict=True)]) for e in (STEP, -STEP))
    for product, a, b in zip(products, up, down, strict=True):
        difference = (a - b) / (2 * STEP)
        assert np.abs(product.numpy() - difference).max() <= DIFFERENCE * magnitude(difference)
    # The Hessian is symmetric.
    ws = [np.random.default_rng(9).standard_normal(x.shape) for x in arrays]
    others = at.grad(first, xs, ws)
    one = sum(np.sum(p.numpy() * w) for p, w in zip(products, ws, strict=True))
    two = sum(np.sum(p.numpy() * u) for p, u in zip(others, us, strict=True))
    assert_close(one, two, scale=1000)


def penalty(layer, x, **options):
    """How the output changes with the input, as part of a loss."""
    y = layer(x, **options)
    y = y[0] if isinstance(y, tuple) else y
    (d_x,) = at.grad((y * y).sum(), x, create_graph=True)
    return (d_x * d_x).mean() + (y * y).mean()


LAYERS = {
    "post-norm": lambda: at.nn.EncoderLayer(8, 2, 16, dtype="float64"),
    "pre-norm gelu": lambda: at.nn.EncoderLayer(
        8, 2, 16, norm_first=True, activation="gelu", dtype="float64"
    ),
    "encoder": lambda: at.nn.Encoder(2, 8, 2, 16, norm_first=True, dtype="float64"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradient_penalty_of_a_layer(name):
    """End to end: the gradients of the penalty of all parameters, by backward(), and what it says of them."""
    layer = randomized(LAYERS[name]())
    layer.eval()
    x = np.random.default_rng(0).standard_normal((2, 5, 8))
    mask = at.masks.lengths([5, 3])
    tensor = at.tensor(x, requires_grad=True)
    penalty(layer, tensor, mask=mask).backward()
    found = {n: p.grad.numpy().copy() for n, p in layer.named_parameters() if p.grad is not None}
    assert {n for n, _ in layer.named_parameters()} == set(found)
    state = layer.state_dict()
    rng = np.random.default_rng(2)
    direction = {n: rng.standard_normal(g.shape) for n, g in found.items()}
    slope = sum(float(np.sum(found[n] * direction[n])) for n in found)
    values = []
    for e in (STEP, -STEP):
        layer.load_state_dict({n: v + e * direction[n] if n in direction else v for n, v in state.items()})
        values.append(penalty(layer, at.tensor(x, requires_grad=True), mask=mask).item())
    size = max([abs(slope), *map(abs, values), *(np.abs(g).max() for g in found.values())])
    assert abs((values[0] - values[1]) / (2 * STEP) - slope) <= 10 * DIFFERENCE * size


@pytest.mark.parametrize("kinds", [(0, 0, 0), (0, 1, 1), (0, 1, 2)], ids=str)
def test_projections_that_share_weights(kinds):
    """MultiHeadAttention reads its heads in place: one product, two, or three, of parts of one weight."""
    layer = randomized(at.nn.MultiHeadAttention(6, 2, dtype="float64"))
    layer.eval()
    arrays = [np.random.default_rng(i).standard_normal((2, 3, 6)) for i in range(3)]
    parameters = list(layer.parameters())

    def attend(*xs):
        return layer(*(xs[i] for i in kinds), return_weights=True)

    # As a function of the inputs; then of the parameters, which keep their place in the layer.
    check_grad_grad(attend, arrays[: 1 + max(kinds)])
    values = [p.numpy().copy() for p in parameters]
    rng = np.random.default_rng(4)
    us = [rng.standard_normal(v.shape) for v in values]

    def slopes(points):
        for parameter, value in zip(parameters, points, strict=True):
            parameter.assign(value)
        out, weights = attend(*leaves(arrays))
        loss = (out * out).sum() + (weights * weights).sum()
        return at.grad(loss, parameters, create_graph=True)

    products = at.grad(slopes(values), parameters, us)
    moved = [
        [g.numpy() for g in slopes([v + e * u for v, u in zip(values, us, strict=True)])]
        for e in (STEP, -STEP)
    ]
    for product, a, b in zip(products, *moved, strict=True):
        difference = (a - b) / (2 * STEP)
        assert np.abs(product.numpy() - difference).max() <= DIFFERENCE * 10 * magnitude(difference)


def test_training_goes_on_as_before():
    """Ordinary gradients after a penalty are those without one, to the bit; it leaves nothing in leaves."""
    layer = randomized(at.nn.EncoderLayer(8, 2, 16, dropout=0.1, seed=3))
    x = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)

    def ordinary(with_penalty):
        layer.zero_grad()
        layer.reset_parameters(3)
        if with_penalty:
            tensor = at.tensor(x, requires_grad=True)
            layer.eval()
            at.grad(penalty(layer, tensor), list(layer.parameters()), allow_unused=True)
            assert all(p.grad is None for p in layer.parameters())
        layer.eval()
        out, _ = layer(x)
        (out * out).sum().backward()
        return [p.grad.numpy().copy() for p in layer.parameters()]

    for a, b in zip(ordinary(False), ordinary(True), strict=True):
        assert_same_bits(a, b)


def test_nothing_leaks():
    layer = at.nn.EncoderLayer(8, 2, 16, dropout=0.1, seed=3)
    x = at.tensor(np.ones((2, 3, 8), np.float32), requires_grad=True)

    def step():
        penalty(layer, x).backward()
        layer.zero_grad()
        x.zero_grad()

    step()
    gc.collect()
    live = at.memory_stats()["live_bytes"]
    for _ in range(200):
        step()
    assert at.memory_stats()["live_bytes"] == live


# ---------------------------------------------------------------------------------------- PyTorch


@pytest.mark.parametrize(
    ("mask", "grouped"), list(itertools.product(["none", "causal", "dense"], [False, True]))
)
def test_torch(mask, grouped, torch):
    arrays = [*inputs(2, 1 if grouped else 2), np.random.default_rng(5).standard_normal((LENGTH, KEYS))]
    allowed = {
        "none": np.ones((LENGTH, KEYS), bool),
        "causal": np.tri(LENGTH, KEYS, 1, dtype=bool),
        "dense": np.random.default_rng(4).random((2, 2, LENGTH, KEYS)) < 0.6,
    }[mask]
    allowed[..., 0] = True

    def second(xs, out, grad):
        first = grad((out**2).sum(), xs, create_graph=True)
        return [*first, *grad(sum((g**3).sum() for g in first), xs)]

    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    q, k, v, bias = theirs
    keep = torch.tensor(allowed)
    scores = q @ k.repeat_interleave(2 // k.shape[1], 1).mT / np.sqrt(D) + bias
    weights = torch.softmax(torch.where(keep, scores, -torch.inf), -1)
    expected = second(theirs, weights @ v.repeat_interleave(2 // v.shape[1], 1), torch.autograd.grad)
    ours = leaves(arrays)
    got = second(ours, at.attention(*ours[:3], bias=ours[3], mask=allowed), at.grad)
    for a, b in zip(got, expected, strict=True):
        assert_close(a, b.detach().numpy(), scale=max(10.0, magnitude(b.detach().numpy())))


def test_torch_layer(torch):
    """The gradient penalty of an encoder layer with PyTorch's parameters."""
    ours = randomized(at.nn.EncoderLayer(8, 2, 16, dtype="float64"))
    theirs = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, dtype=torch.float64)
    theirs.load_state_dict(
        {n.replace("feed_forward.", ""): torch.tensor(np.array(v)) for n, v in ours.state_dict().items()}
    )
    ours.eval()
    x = np.random.default_rng(0).standard_normal((2, 5, 8))
    tensor = torch.tensor(x, requires_grad=True)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        y = theirs(tensor)
        (d_x,) = torch.autograd.grad((y * y).sum(), tensor, create_graph=True)
        ((d_x * d_x).mean() + (y * y).mean()).backward()
    penalty(ours, at.tensor(x, requires_grad=True)).backward()
    expected = {n: p.grad.numpy() for n, p in theirs.named_parameters()}
    size = max(magnitude(g) for g in expected.values())
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        assert_close(parameter.grad, expected[name.replace("feed_forward.", "")], scale=10 * size)

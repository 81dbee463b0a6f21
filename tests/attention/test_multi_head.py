"""MultiHeadAttention: self, cross and three different inputs."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, SIZES
from layer_check import assert_torch_agrees, check_layer, in_double, randomized
from tolerance import assert_close, assert_same_bits

D, HEADS = 12, 3


def layer(dtype=np.float64, d=D, heads=HEADS, **options):
    return randomized(at.nn.MultiHeadAttention(d, heads, dtype=str(np.dtype(dtype)), **options))


def array(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def against_reference(module, inputs, call, three, mask=None, bias=None):
    """`three` makes query, key and value of the inputs; its gradients add up accordingly."""
    heads = module.num_heads

    def expected(*args):
        *x, parameters = args
        return reference.multi_head_layer(*three(*x), parameters, heads, mask, bias)[0]

    def backward(d_out, *args):
        *x, parameters = args
        *d_three, d_parameters = reference.multi_head_layer_backward(
            d_out, *three(*x), parameters, heads, mask, bias
        )
        which = three(*range(len(x)))  # the number of the input that query, key and value are
        d_inputs = (
            sum(d for d, i in zip(d_three, which, strict=True) if i == number) for number in range(len(x))
        )
        return *d_inputs, d_parameters

    check_layer(module, inputs, expected, backward, call)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("length", SIZES)
def test_self_attention(length, bias, dtype):
    against_reference(
        layer(dtype, bias=bias),
        [array(2, length, D, dtype=dtype)],
        lambda m, x: m(x, x, x),
        lambda x: (x, x, x),
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("length", "keys"), [(5, 7), (1, 33), (65, 3), (4, 0), (0, 4)])
def test_cross_attention(length, keys, dtype):
    against_reference(
        layer(dtype),
        [array(2, length, D, dtype=dtype), array(2, keys, D, dtype=dtype, seed=1)],
        lambda m, x, memory: m(x, memory, memory),
        lambda x, memory: (x, memory, memory),
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shared", ["none", "query and key", "query and value"])
def test_different_inputs(shared, dtype):
    three = {
        "none": lambda q, k, v: (q, k, v),
        "query and key": lambda q, v: (q, q, v),
        "query and value": lambda q, k: (q, k, q),
    }[shared]
    count = 3 if shared == "none" else 2
    inputs = [array(2, 7, D, dtype=dtype, seed=i) for i in range(count)]
    against_reference(layer(dtype), inputs, lambda m, *x: m(*three(*x)), three)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("d", "heads"), [(1, 1), (8, 8), (8, 1), (34, 2), (66, 3), (64, 4)])
def test_widths(d, heads, dtype):
    against_reference(
        layer(dtype, d, heads),
        [array(3, 9, d, dtype=dtype)],
        lambda m, x: m(x, x, x),
        lambda x: (x, x, x),
    )


MASKS = {
    "causal": (at.masks.causal(), np.tril(np.ones((7, 7), bool))),
    "lengths": (at.masks.lengths([7, 4]), (np.arange(7) < np.array([[7], [4]]))[:, None, None]),
    "bool": (np.arange(7) % 3 > 0, np.arange(7) % 3 > 0),
    "nothing": (np.zeros((7, 7), bool), np.zeros((7, 7), bool)),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("form", MASKS)
def test_masks(form, dtype):
    mask, dense = MASKS[form]
    against_reference(
        layer(dtype),
        [array(2, 7, D, dtype=dtype)],
        lambda m, x: m(x, x, x, mask=mask),
        lambda x: (x, x, x),
        mask=dense,
    )


@pytest.mark.parametrize("shape", [(7, 7), (HEADS, 7, 7), (2, 1, 1, 7), (2, HEADS, 7, 7)], ids=str)
def test_bias(shape):
    bias = array(*shape, seed=5)
    against_reference(
        layer(),
        [array(2, 7, D)],
        lambda m, x: m(x, x, x, bias=bias),
        lambda x: (x, x, x),
        bias=bias,
    )


def test_a_bias_has_a_gradient():
    module, x = layer(), array(2, 7, D)
    bias = at.tensor(array(HEADS, 7, 7), requires_grad=True)
    y = module(x, x, x, bias=bias)
    d_y = array(*y.shape, seed=3)
    y.backward(d_y)
    parameters = in_double(module)
    weights = *np.split(parameters["in_proj_weight"], 3), parameters["out_proj.weight"]
    biases = *np.split(parameters["in_proj_bias"], 3), parameters["out_proj.bias"]
    *_, expected = reference.multi_head_backward(d_y, x, x, x, *weights, *biases, HEADS, None, bias.numpy())
    assert_close(bias.grad, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_weights(dtype):
    module, x, memory = layer(dtype), array(2, 5, D, dtype=dtype), array(2, 7, D, dtype=dtype, seed=1)
    out, weights = module(x, memory, memory, return_weights=True)
    assert_same_bits(out, module(x, memory, memory))
    double = (x.astype(np.float64), memory.astype(np.float64), memory.astype(np.float64))
    _, expected = reference.multi_head_layer(*double, in_double(module), HEADS)
    assert_close(weights, expected, dtype)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_torch(torch, bias, masked, dtype):
    theirs = torch.nn.MultiheadAttention(D, HEADS, bias=bias, batch_first=True)
    theirs = theirs.to(getattr(torch, str(dtype)))
    allowed = np.tril(np.ones((5, 7), bool), 2)
    forbidden = torch.tensor(~allowed) if masked else None
    assert_torch_agrees(
        torch,
        layer(dtype, bias=bias),
        theirs,
        [array(2, n, D, dtype=dtype, seed=n) for n in (5, 7, 7)],
        lambda m, q, k, v: m(q, k, v, mask=allowed if masked else None),
        lambda m, q, k, v: m(q, k, v, attn_mask=forbidden, need_weights=False)[0],
        lambda name: name,
    )


def test_parameters_have_the_names_of_the_field():
    module = at.nn.MultiHeadAttention(D, HEADS)
    shapes = {name: value.shape for name, value in module.state_dict().items()}
    assert shapes == {
        "in_proj_weight": (3 * D, D),
        "in_proj_bias": (3 * D,),
        "out_proj.weight": (D, D),
        "out_proj.bias": (D,),
    }
    assert not any("bias" in name for name in at.nn.MultiHeadAttention(D, HEADS, bias=False).state_dict())
    assert (module.d_model, module.num_heads) == (D, HEADS)


def test_heads_do_not_see_each_other():
    """Without the output projection, changing what head 0 projects leaves the columns of the others alone."""
    module, x = layer(), array(2, 7, D)
    module.load_state_dict(module.state_dict() | {"out_proj.weight": np.eye(D)})
    before = module(x, x, x).numpy()
    state = module.state_dict()
    state["in_proj_weight"][: D // HEADS] += 1
    module.load_state_dict(state)
    after = module(x, x, x).numpy()
    assert (after[..., : D // HEADS] != before[..., : D // HEADS]).all()
    assert_same_bits(after[..., D // HEADS :], before[..., D // HEADS :])


def test_dropout_is_for_training():
    module, x = layer(dropout=0.5), array(2, 7, D)
    plain = layer()
    assert_same_bits(module.eval()(x, x, x), plain(x, x, x))
    module.train()
    assert (module(x, x, x).numpy() != plain(x, x, x).numpy()).any()
    _, weights = module(x, x, x, return_weights=True)
    assert_close(weights.numpy().sum(-1), np.ones((2, HEADS, 7)))


def test_causal_cross_attention_needs_an_offset():
    module, x, memory = layer(), array(2, 5, D), array(2, 7, D)
    with pytest.raises(ValueError, match="q_offset="):
        module(x, memory, memory, mask=at.masks.causal())
    y = module(x, memory, memory, mask=at.masks.causal(), q_offset=2)
    assert_close(y.numpy()[:, -1], module(x, memory, memory).numpy()[:, -1])


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda m, x: m(x[0], x[0], x[0]), ValueError, "query has shape"),
        (lambda m, x: m(x[..., :4], x, x), ValueError, "query"),
        (lambda m, x: m(x, x[..., :4], x[..., :4]), ValueError, "key"),
        (lambda m, x: m(x, x, x[:, :3]), ValueError, "value"),
        (lambda m, x: m(x, x[:1], x[:1]), ValueError, "key"),
        (lambda m, x: m(x.astype(np.float32), x, x), TypeError, "query"),
        (lambda m, x: m(x.astype(int), x, x), TypeError, "query has dtype int64"),
        (lambda m, x: m(x, None, x), TypeError, "key is None"),
        (lambda m, x: m(x, "k", x), TypeError, "key has dtype"),
        (lambda m, x: m(x, x, x, mask=np.ones((7, 7))), TypeError, "mask has dtype float64.*bias="),
        (lambda m, x: m(x, x, x, mask=np.ones((3, 7), bool)), ValueError, "mask has shape"),
        (lambda m, x: m(x, x, x, bias=np.ones((7, 6))), ValueError, "bias has shape"),
        (lambda m, x: m(x, x, x, bias=np.ones((7, 7), np.float32)), TypeError, "bias has dtype float32"),
    ],
)
def test_wrong_calls(call, error, says):
    with pytest.raises(error, match=rf"^(MultiHeadAttention|attention): .*{says}"):
        call(layer(), array(2, 7, D))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        ((12, 5), {}, ValueError, "d_model is 12 and num_heads is 5"),
        ((0, 1), {}, ValueError, "d_model is 0"),
        ((12, 0), {}, ValueError, "num_heads is 0"),
        ((12, -3), {}, ValueError, "num_heads is -3"),
        ((12.0, 3), {}, TypeError, "d_model is a float"),
        ((12, 3), {"dropout": 1.0}, ValueError, "dropout is 1 but"),
        ((12, 3), {"dropout": "x"}, TypeError, "dropout is a str"),
        ((12, 3), {"dtype": "float16"}, TypeError, "dtype is 'float16' but must be 'float32' or 'float64'"),
        ((12, 3), {"seed": -1}, ValueError, "seed is -1"),
    ],
)
def test_wrong_constructions(arguments, options, error, says):
    with pytest.raises(error, match=f"^MultiHeadAttention: .*{says}"):
        at.nn.MultiHeadAttention(*arguments, **options)


GROUPED = {
    "grouped": {"num_kv_heads": 2},
    "multi-query": {"num_kv_heads": 1},
    "narrow values": {"value_dim": 3},
    "wide heads": {"head_dim": 5, "value_dim": 7, "num_kv_heads": 2},
    "other keys": {"kdim": 5, "vdim": 7},
    "other keys, grouped": {"kdim": 9, "num_kv_heads": 2, "value_dim": 2},
    "scale": {"scale": 0.3, "num_kv_heads": 1},
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", GROUPED)
def test_grouped_heads_and_other_widths(form, bias, dtype):
    options = GROUPED[form]
    kv_heads, scale = options.get("num_kv_heads"), options.get("scale")
    module = layer(dtype, 8, 4, bias=bias, **options)
    inputs = [
        array(2, 5, 8, dtype=dtype),
        array(2, 7, options.get("kdim", 8), dtype=dtype, seed=1),
        array(2, 7, options.get("vdim", 8), dtype=dtype, seed=2),
    ]

    def expected(q, k, v, parameters):
        return reference.multi_head_layer(q, k, v, parameters, 4, None, None, kv_heads, scale)[0]

    def backward(d_out, q, k, v, parameters):
        return reference.multi_head_layer_backward(d_out, q, k, v, parameters, 4, None, None, kv_heads, scale)

    check_layer(module, inputs, expected, backward, lambda m, q, k, v: m(q, k, v))


@pytest.mark.parametrize("form", ["grouped", "multi-query", "narrow values", "wide heads"])
def test_grouped_self_attention_and_weights(form):
    options = GROUPED[form]
    module = layer(np.float64, 8, 4, **options)
    x = array(2, 6, 8)
    out, weights = module(x, x, x, mask=at.masks.causal(), return_weights=True)
    parameters = {name: p.numpy() for name, p in module.named_parameters()}
    mask = np.tril(np.ones((6, 6), bool))
    expected = reference.multi_head_layer(x, x, x, parameters, 4, mask, None, options.get("num_kv_heads"))
    assert weights.shape == (2, 4, 6, 6)
    assert_close(out.numpy(), expected[0])
    assert_close(weights.numpy(), expected[1])
    # One input, an input twice and three arrays of the same numbers are three paths.
    assert_close(module(x, x.copy(), x.copy(), mask=at.masks.causal()).numpy(), out.numpy())


def test_multi_query_equals_multi_head_with_repeated_keys():
    grouped = layer(np.float64, 8, 4, num_kv_heads=2)
    full = at.nn.MultiHeadAttention(8, 4, dtype="float64")
    state = dict(grouped.state_dict())

    def repeated(rows):  # (Hkv D, ...) -> (H D, ...)
        return np.repeat(rows.reshape(2, 2, -1), 2, axis=0).reshape(8, *rows.shape[1:])

    for name in ("in_proj_weight", "in_proj_bias"):
        q, k, v = np.split(state[name], [8, 12])
        state[name] = np.concatenate([q, repeated(k), repeated(v)])
    full.load_state_dict(state)
    x = array(2, 6, 8)
    assert_close(grouped(x, x, x).numpy(), full(x, x, x).numpy())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_kv_heads": 3}, "multiple of num_kv_heads, which is 3"),
        ({"num_kv_heads": 0}, "num_kv_heads is 0 but must be 1 or more"),
        ({"head_dim": -1}, "head_dim is -1"),
        ({"value_dim": 0}, "value_dim is 0"),
        ({"kdim": 0}, "kdim is 0"),
        ({"vdim": -4}, "vdim is -4"),
        ({"scale": float("nan")}, "scale is nan"),
        (
            {"head_dim": 2**62 + 1, "value_dim": 2},
            "head_dim is 4611686018427387905 but must be 268435456 or less",
        ),
        ({"head_dim": 2**27}, "num_heads is 4 and head_dim is 134217728"),
    ],
)
def test_nonsensical_widths_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        at.nn.MultiHeadAttention(8, 4, **options)


def test_the_repr_tells_the_widths():
    module = at.nn.MultiHeadAttention(8, 4, num_kv_heads=2, value_dim=3, kdim=5)
    assert "num_kv_heads=2, value_dim=3, kdim=5" in repr(module)
    assert (module.num_kv_heads, module.head_dim, module.value_dim) == (2, 2, 3)
    with pytest.raises(ValueError, match="key has 8 features but must have 5"):
        module(
            np.zeros((1, 2, 8), np.float32), np.zeros((1, 2, 8), np.float32), np.zeros((1, 2, 8), np.float32)
        )

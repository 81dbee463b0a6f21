"""nn.AttentionLayer: attention in the manner of Keras."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import check_layer, randomized
from tolerance import assert_close, assert_same_bits

B, L, S, D, DV = 2, 3, 5, 4, 6
MODES = pytest.mark.parametrize("mode", ["dot", "concat", "pooled"])


def array(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def layer(mode, dtype=np.float64, **options):
    return randomized(at.nn.AttentionLayer(D, score_mode=mode, dtype=str(np.dtype(dtype)), **options))


QUERY_MASK = np.array([[True, False, True], [True, True, False]])
VALUE_MASK = np.arange(S) < np.array([[S], [2]])


def three(mode, dtype=np.float64):
    length = S if mode == "pooled" else L
    shapes = [(B, length, D), (B, S, DV), (B, S, D)]
    return [array(*s, dtype=dtype, seed=i) for i, s in enumerate(shapes)]


@MODES
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_query_value_and_key(mode, masked, dtype):
    mask = given = None
    if masked and mode == "pooled":
        mask = given = VALUE_MASK
    elif masked:
        mask, given = QUERY_MASK[:, :, None] & VALUE_MASK[:, None], [QUERY_MASK, VALUE_MASK]
    check_layer(
        layer(mode, dtype),
        three(mode, dtype),
        lambda q, v, k, p: reference.attention_layer(q, v, k, p, mode, mask)[0],
        lambda d, q, v, k, p: reference.attention_layer_backward(d, q, v, k, p, mode, mask),
        lambda m, q, v, k: m([q, v, k], given),
    )


@MODES
def test_fewer_inputs(mode):
    module, x, y = layer(mode), array(B, S, D), array(B, S, D, seed=1)
    assert_same_bits(module([x, y]), module([x, y, y]))
    assert_same_bits(module((x, y)), module([x, y]))
    assert_same_bits(module(x), module([x, x, x]))
    assert_same_bits(at.nn.Sequential(module)(x), module(x))


@MODES
def test_weights(mode):
    module, inputs = layer(mode), three(mode)
    out, weights = module(inputs, return_weights=True)
    assert_same_bits(module(inputs), out)
    assert weights.shape == ((B, S) if mode == "pooled" else (B, L, S))
    assert_close(weights.numpy().sum(-1), np.ones(weights.shape[:-1]))
    values = inputs[1]
    expected = weights.numpy()[:, None] @ values if mode == "pooled" else weights.numpy() @ values
    assert_close(out, expected[:, 0] if mode == "pooled" else expected)


def test_without_scale_it_is_the_plain_formula():
    q, v, k = three("dot")
    dot = at.nn.AttentionLayer(D, use_scale=False, dtype="float64")
    assert dot.state_dict() == {}
    assert_close(dot([q, v, k]), at.attention(q, k, v, score="dot"))
    concat = at.nn.AttentionLayer(D, score_mode="concat", use_scale=False, dtype="float64")
    s = np.exp(np.tanh(q[:, :, None] + k[:, None]).sum(-1))
    assert_close(concat([q, v, k]), s / s.sum(-1, keepdims=True) @ v)
    fresh = at.nn.AttentionLayer(D, dtype="float64")  # W is ones at first
    assert_close(fresh([q, v, k]), dot([q, v, k]))


@pytest.mark.parametrize("mode", ["dot", "concat"])
def test_masks(mode):
    module, (q, v, k) = layer(mode), three(mode)
    out, weights = module([q, v, k], [QUERY_MASK, VALUE_MASK], return_weights=True)
    assert (out.numpy()[~QUERY_MASK] == 0).all()
    assert (weights.numpy()[1, :, 2:] == 0).all()
    same = module([q, v, k], [at.masks.dense(QUERY_MASK[:, None, None]), at.masks.lengths([S, 2])])
    assert_same_bits(same, out)
    assert_same_bits(module([q, v, k], [None, VALUE_MASK]), module([q, v, k], VALUE_MASK))
    assert_same_bits(module([q, v, k], [None, None]), module([q, v, k]))
    x = array(B, S, D)
    _, weights = module(x, use_causal_mask=True, return_weights=True)
    assert (weights.numpy()[:, ~np.tri(S, dtype=bool)] == 0).all()
    _, both = module(x, at.masks.lengths([S, 2]), use_causal_mask=True, return_weights=True)
    assert (both.numpy()[1, :, 2:] == 0).all() and (both.numpy()[:, ~np.tri(S, dtype=bool)] == 0).all()


@MODES
def test_dropout_is_for_training(mode):
    module, plain, inputs = layer(mode, dropout=0.5), layer(mode), three(mode)
    assert (module(inputs).numpy() != plain(inputs).numpy()).any()
    assert_same_bits(module.eval()(inputs), plain(inputs))


Q, V, K = three("dot")


@pytest.mark.parametrize(
    ("mode", "inputs", "options", "error", "says"),
    [
        ("dot", [Q], {}, ValueError, r"inputs has 1 entries but must be \[query, value\]"),
        ("dot", [Q, V, K, K], {}, ValueError, "inputs has 4 entries"),
        ("dot", [Q, V], {}, ValueError, "key has 6 features but must have 4"),
        ("dot", [Q, V[:, :4], K], {}, ValueError, "key has 5 positions but value has 4"),
        ("dot", [Q, V[:1], K], {}, ValueError, "value has a batch of 1 but query has one of 2"),
        ("dot", [Q[0], V, K], {}, ValueError, r"query has shape \(3, 4\)"),
        ("dot", Q[0], {}, ValueError, r"inputs has shape \(3, 4\)"),
        ("dot", [Q.astype(np.float32), V, K], {}, TypeError, "query has dtype float32"),
        ("dot", [Q, None, K], {}, TypeError, "value is None"),
        ("dot", None, {}, TypeError, "inputs is None"),
        ("dot", [Q, V, K], {"mask": np.ones((2, 4), bool)}, ValueError, r"mask has shape \(2, 4\)"),
        ("dot", [Q, V, K], {"mask": np.ones((2, 5))}, TypeError, "mask has dtype float64"),
        ("dot", [Q, V, K], {"mask": [None, at.masks.causal()]}, ValueError, "depends on the queries"),
        ("dot", [Q, V, K], {"mask": [None] * 3}, ValueError, "mask has 3 entries"),
        (
            "dot",
            [Q, V, K],
            {"use_causal_mask": True},
            ValueError,
            "use_causal_mask over 3 queries and 5 values",
        ),
        ("pooled", [Q, V, K], {}, ValueError, "query has 3 positions but key has 5"),
        ("pooled", K, {"use_causal_mask": True}, ValueError, "neither use_causal_mask nor a query mask"),
        (
            "pooled",
            K,
            {"mask": [VALUE_MASK, VALUE_MASK]},
            ValueError,
            "neither use_causal_mask nor a query mask",
        ),
    ],
)
def test_wrong_calls(mode, inputs, options, error, says):
    with pytest.raises(error, match=f"^AttentionLayer: .*{says}"):
        layer(mode)(inputs, **options)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        ((0,), {}, ValueError, "features is 0"),
        (("4",), {}, TypeError, "features is a str"),
        ((4,), {"score_mode": "dots"}, ValueError, "score_mode is 'dots' but must be"),
        ((4,), {"dropout": 1}, ValueError, "dropout is 1"),
        ((4,), {"dtype": "float16"}, TypeError, "dtype is 'float16'"),
    ],
)
def test_wrong_constructions(arguments, options, error, says):
    with pytest.raises(error, match=f"^AttentionLayer: .*{says}"):
        at.nn.AttentionLayer(*arguments, **options)

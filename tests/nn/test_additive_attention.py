"""nn.AdditiveAttention and nn.LuongAttention: a decoder that looks at an encoder's states."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import check_layer, in_double, randomized
from tolerance import assert_close, assert_same_bits

B, L, S, DQ, DK, A = 2, 3, 5, 4, 6, 7


def array(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def additive(dtype=np.float64, **options):
    return randomized(at.nn.AdditiveAttention(DQ, DK, A, dtype=str(np.dtype(dtype)), **options))


def luong(dtype=np.float64, score="general", memory_dim=DK, **options):
    return randomized(
        at.nn.LuongAttention(DQ, memory_dim, score=score, dtype=str(np.dtype(dtype)), **options)
    )


LENGTHS = (np.arange(S) < np.array([[S], [2]]))[:, None]  # (B, 1, S)


def additive_reference(query, memory, p, mask=None):
    params = [p[n] for n in ("W_q", "W_k", "v_a", "b") if n in p]
    heads = query[:, None], memory[:, None], memory[:, None]
    return reference.scored(*heads, "additive", params, None if mask is None else mask[:, None]), params


def additive_backward(d, query, memory, p, mask=None):
    params = [p[n] for n in ("W_q", "W_k", "v_a", "b") if n in p]
    heads = query[:, None], memory[:, None], memory[:, None]
    d_q, d_k, d_v, d_params, _, _ = reference.scored_backward(
        d[:, None], *heads, "additive", params, None if mask is None else mask[:, None]
    )
    names = [n for n in ("W_q", "W_k", "v_a", "b") if n in p]
    return d_q[:, 0], (d_k + d_v)[:, 0], dict(zip(names, d_params, strict=True))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_additive(dtype, masked, bias):
    mask = LENGTHS if masked else None
    check_layer(
        additive(dtype, bias=bias),
        [array(B, L, DQ, dtype=dtype), array(B, S, DK, dtype=dtype, seed=1)],
        lambda q, m, p: additive_reference(q, m, p, mask)[0][0][:, 0],
        lambda d, q, m, p: additive_backward(d, q, m, p, mask),
        lambda module, q, m: module(q, m, mask=at.masks.lengths([S, 2]) if masked else None)[0],
    )


PARAMS = {"dot": (), "general": ("W_a",), "concat": ("W_q", "W_k", "v_a")}
NAMES = {"dot": "dot", "general": "general", "concat": "additive"}


@pytest.mark.parametrize("score", PARAMS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_luong(dtype, score):
    memory_dim = DQ if score == "dot" else DK
    names = PARAMS[score]

    def expected(q, m, p):
        return reference.luong(q, m, p["W_c"], NAMES[score], [p[n] for n in names], LENGTHS)[0]

    def backward(d, q, m, p):
        d_q, d_m, d_w, d_params = reference.luong_backward(
            d, q, m, p["W_c"], NAMES[score], [p[n] for n in names], LENGTHS
        )
        return d_q, d_m, {"W_c": d_w, **dict(zip(names, d_params, strict=True))}

    check_layer(
        luong(dtype, score, memory_dim, out_features=8, units=9),
        [array(B, L, DQ, dtype=dtype), array(B, S, memory_dim, dtype=dtype, seed=1)],
        expected,
        backward,
        lambda module, q, m: module(q, m, mask=LENGTHS)[0],
    )


@pytest.mark.parametrize("make", [additive, luong])
def test_one_state_a_sample(make):
    module, query, memory = make(), array(B, DQ), array(B, S, DK, seed=1)
    out, weights = module(query, memory)
    several, several_weights = module(query[:, None], memory)
    assert_same_bits(out, several.numpy()[:, 0])
    assert_same_bits(weights, several_weights.numpy()[:, 0])
    assert out.shape == (B, DK if make is additive else DQ) and weights.shape == (B, S)
    assert_same_bits(module(query, memory, return_weights=False), out)
    for mask in (at.masks.lengths([S, 2]), LENGTHS[:, 0]):
        _, weights = module(query, memory, mask=mask)
        assert (weights.numpy()[1, 2:] == 0).all()
        assert_close(weights.numpy().sum(-1), np.ones(B))


def test_weights_are_those_of_the_formula():
    module, query, memory = additive(bias=True), array(B, L, DQ), array(B, S, DK, seed=1)
    p = in_double(module)
    s = np.tanh((query @ p["W_q"].T + p["b"])[:, :, None] + (memory @ p["W_k"].T)[:, None]) @ p["v_a"]
    e = np.exp(s)
    assert_close(module(query, memory)[1], e / e.sum(-1, keepdims=True))


def test_the_same_seed_gives_the_same_layer():
    for make in (
        lambda seed: at.nn.AdditiveAttention(DQ, DK, A, seed=seed),
        lambda seed: at.nn.LuongAttention(DQ, DK, score="concat", seed=seed),
    ):
        first, second, other = make(3).state_dict(), make(3).state_dict(), make(4).state_dict()
        for name, value in first.items():
            assert_same_bits(value, second[name])
            assert (value != other[name]).any()


@pytest.mark.parametrize("make", [additive, luong])
@pytest.mark.parametrize(
    ("query", "memory", "mask", "error", "says"),
    [
        (array(DQ), array(B, S, DK), None, ValueError, r"query has shape \(4,\)"),
        (array(B, L, DQ), array(S, DK), None, ValueError, r"memory has shape \(5, 6\)"),
        (array(B, L, DQ + 1), array(B, S, DK), None, ValueError, "query has 5 features but must have 4"),
        (array(B, L, DQ), array(B, S, DK + 1), None, ValueError, "memory has 7 features but must have 6"),
        (
            array(B, L, DQ),
            array(B + 1, S, DK),
            None,
            ValueError,
            "memory has a batch of 3 but query has one of 2",
        ),
        (array(B, L, DQ, dtype=np.float32), array(B, S, DK), None, TypeError, "query has dtype float32"),
        (array(B, L, DQ), None, None, TypeError, "memory is None"),
        (array(B, L, DQ), array(B, S, DK), np.ones((2, 2), bool), ValueError, r"mask has shape \(2, 2\)"),
        (array(B, L, DQ), array(B, S, DK), np.ones(S), TypeError, "mask has dtype float64"),
    ],
)
def test_wrong_calls(make, query, memory, mask, error, says):
    with pytest.raises(error, match=rf"^(AdditiveAttention|LuongAttention|attention): .*{says}"):
        make()(query, memory, mask=mask)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: at.nn.AdditiveAttention(0, 1, 1), ValueError, "query_dim is 0"),
        (lambda: at.nn.AdditiveAttention(1, 1, -2), ValueError, "units is -2"),
        (lambda: at.nn.AdditiveAttention(1, 1.0, 1), TypeError, "memory_dim is a float"),
        (lambda: at.nn.LuongAttention(4, score="cosine"), ValueError, "score is 'cosine' but must be 'dot'"),
        (lambda: at.nn.LuongAttention(4, 5, score="dot"), ValueError, "needs them equal"),
        (lambda: at.nn.LuongAttention(4, out_features=0), ValueError, "out_features is 0"),
        (lambda: at.nn.LuongAttention(4, dtype="int32"), TypeError, "dtype is 'int32'"),
    ],
)
def test_wrong_constructions(call, error, says):
    with pytest.raises(error, match=f"^(AdditiveAttention|LuongAttention): .*{says}"):
        call()

"""What later models changed in the Transformer: norms, gates, biases, grouped heads, rotary positions."""

from itertools import product
from typing import Any

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import in_double, randomized
from tolerance import DIFFERENCE, STEP, assert_close, assert_same_bits

D, HEADS, DFF, LENGTH = 12, 4, 10, 6
ACTIVATIONS = ["relu", "gelu", "gelu_tanh", "silu", "glu", "reglu", "geglu", "geglu_tanh", "swiglu"]
FREQUENCIES = np.array([1.0, 0.3])
CAUSAL = np.tril(np.ones((LENGTH, LENGTH), bool))


def drawn(seed: int) -> dict[str, Any]:
    """Options of a layer, all of them drawn."""
    rng = np.random.default_rng(seed)
    options: dict[str, Any] = {
        "activation": ACTIVATIONS[seed % len(ACTIVATIONS)],
        "norm_first": bool(rng.integers(2)),
        "norm": str(rng.choice(["layer", "rms"])),
        "norm_eps": float(rng.choice([1e-5, 1e-2])),
        "bias": bool(rng.integers(2)),
        "num_kv_heads": int(rng.choice([1, 2, 4])),
        "head_dim": int(rng.choice([4, 6])),
        "qk_norm": bool(rng.integers(2)),
    }
    if rng.integers(2):
        options["qkv_bias"], options["out_bias"] = bool(rng.integers(2)), bool(rng.integers(2))
    if rng.integers(2):
        options["attention_scale"] = 0.7
    if rng.integers(3):
        options.update(rotary=True, rotary_frequencies=FREQUENCIES, rotary_interleaved=bool(rng.integers(2)))
    return options


def expected(x, parameters, options, mask=None):
    return reference.later_encoder_layer(
        x,
        parameters,
        HEADS,
        mask,
        options["norm_first"],
        options["activation"],
        options["norm_eps"],
        options["norm"] == "rms",
        options["num_kv_heads"],
        options.get("attention_scale"),
        FREQUENCIES if options.get("rotary") else None,
        options.get("rotary_interleaved", False),
    )


def array(*shape, dtype=np.float64):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("seed", range(27))
def test_against_reference(seed, dtype):
    options = drawn(seed)
    layer = randomized(at.nn.EncoderLayer(D, HEADS, DFF, dtype=str(dtype), **options), seed)
    x = array(2, LENGTH, D, dtype=dtype)
    y, weights = layer(x, at.masks.causal())
    right, right_weights = expected(x.astype(np.float64), in_double(layer), options, CAUSAL)
    assert_close(y, right, dtype, scale=20.0)
    assert_close(weights, right_weights, dtype, scale=20.0)


@pytest.mark.parametrize("seed", range(18))
def test_gradients(seed):
    """Of the input and all parameters, along random directions."""
    layer = randomized(at.nn.EncoderLayer(D, HEADS, DFF, dtype="float64", **drawn(seed)), seed)
    rng = np.random.default_rng(seed)
    x, d_y = array(2, LENGTH, D), rng.standard_normal((2, LENGTH, D))
    tracked = at.tensor(x, requires_grad=True)
    layer(tracked, at.masks.causal(), return_weights=False).backward(d_y)
    start = layer.state_dict()
    directions = {name: rng.standard_normal(value.shape) for name, value in start.items()}
    d_x = rng.standard_normal(x.shape)

    def value(step):
        layer.load_state_dict({name: start[name] + step * directions[name] for name in start})
        return float(np.sum(layer(x + step * d_x, at.masks.causal(), return_weights=False).numpy() * d_y))

    slope = float(np.sum(tracked.grad.numpy() * d_x))
    slope += sum(float(np.sum(p.grad.numpy() * directions[name])) for name, p in layer.named_parameters())
    measured = (value(STEP) - value(-STEP)) / (2 * STEP)
    assert abs(slope - measured) <= DIFFERENCE * max(1.0, abs(slope), 100.0)


@pytest.mark.parametrize("seed", range(6))
def test_decoder_layer_without_a_memory_that_matters(seed):
    """With cross attention that gives zero, a decoder layer is an encoder layer with one more norm."""
    options = {**drawn(seed), "norm_first": True}
    decoder = randomized(at.nn.DecoderLayer(D, HEADS, DFF, dtype="float64", **options), seed)
    state = decoder.state_dict()
    for name in state:
        if name.startswith("cross_attn.out_proj"):
            state[name][...] = 0
    decoder.load_state_dict(state)
    parameters = {
        name.replace("norm3", "norm2"): value
        for name, value in state.items()
        if not name.startswith(("cross_attn", "norm2"))
    }
    x = array(2, LENGTH, D)
    y, _ = decoder(x, array(2, 3, D))
    assert_close(y, expected(x, parameters, options, CAUSAL)[0], scale=20.0)


def test_rotary_counts_from_q_offset():
    layer = randomized(at.nn.MultiHeadAttention(D, HEADS, rotary=True, head_dim=4, dtype="float64"))
    x = array(1, LENGTH, D)
    whole = layer(x, x, x, mask=at.masks.causal())
    last = layer(x[:, 4:], x, x, mask=at.masks.causal(), q_offset=4)
    assert_close(last, whole.numpy()[:, 4:])


@pytest.mark.parametrize("dim, interleaved", list(product([None, 2, 4], [False, True])))
def test_rotary_is_the_function(dim, interleaved):
    """The layer turns what at.functional.rotary turns."""
    layer = randomized(
        at.nn.MultiHeadAttention(
            D, 2, rotary=True, rotary_dim=dim, rotary_interleaved=interleaved, bias=False, dtype="float64"
        )
    )
    x = array(2, LENGTH, D)
    state = layer.state_dict()
    q, k, v = (
        (x @ w.T).reshape(2, LENGTH, 2, 6).transpose(0, 2, 1, 3) for w in np.split(state["in_proj_weight"], 3)
    )
    q, k = (at.functional.rotary(z, rotary_dim=dim, interleaved=interleaved) for z in (q, k))
    heads = at.attention(q, k, v).transpose(0, 2, 1, 3).reshape(2, LENGTH, D)
    assert_close(layer(x, x, x), heads @ state["out_proj.weight"].T)


def test_window_of_each_layer():
    ids = np.random.default_rng(0).integers(0, 9, (2, 12))

    def model(window):
        return at.models.DecoderLM(9, 8, 2, 2, 16, window=window, dtype="float64", seed=0).eval()

    assert_same_bits(model([3, 3])(ids), model(3)(ids))
    assert_same_bits(model([0, None])(ids), model(None)(ids))
    assert (model([0, 3])(ids).numpy() != model(3)(ids).numpy()).any()
    assert model([0, 3]).config["window"] == [0, 3]


@pytest.mark.parametrize(
    "options, error, says",
    [
        ({"norm": "batch"}, ValueError, "norm is 'batch' but must be 'layer' or 'rms'"),
        ({"activation": "swish"}, ValueError, "activation is 'swish' but must be"),
        (
            {"num_kv_heads": 3},
            ValueError,
            "num_heads is 4 but must be a multiple of num_kv_heads, which is 3",
        ),
        ({"num_kv_heads": 0}, ValueError, "num_kv_heads is 0 but must be 1 or more"),
        ({"bias": 1}, TypeError, "bias is 1 but must be True or False"),
        ({"rotary": True, "rotary_dim": 5}, ValueError, "rotary_dim is 5 but must be even"),
        ({"rotary": True, "head_dim": 4, "rotary_base": -1.0}, ValueError, "rotary_base is -1"),
        (
            {"rotary": True, "head_dim": 4, "rotary_frequencies": [np.nan]},
            ValueError,
            "rotary_frequencies holds nan",
        ),
        ({"rotary": True, "rotary_frequencies": [[1.0]]}, ValueError, "rotary_frequencies has shape"),
        ({"norm_eps": -1.0}, ValueError, "eps is -1"),
        ({"attention_scale": float("inf")}, ValueError, "scale is inf"),
        ({"dropuot": 0.5}, TypeError, "dropuot"),
    ],
)
def test_wrong_options(options, error, says):
    with pytest.raises(error, match=says):
        at.nn.EncoderLayer(D, HEADS, DFF, **options)

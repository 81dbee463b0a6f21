"""RelativeMultiHeadAttention: Transformer-XL's, segment by segment and in one pass."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import check_layer, in_double, randomized
from tolerance import assert_close, assert_same_bits

D, HEADS = 12, 3
CAUSAL = at.masks.causal()


def layer(dtype=np.float64, d=D, heads=HEADS, **options):
    return randomized(at.nn.RelativeMultiHeadAttention(d, heads, dtype=str(np.dtype(dtype)), **options))


def array(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def against_reference(module, x, memory, mask=None, dense=None):
    heads = module.num_heads
    kept = None if memory is None else memory.astype(np.float64)
    check_layer(
        module,
        [x],
        lambda x, p: reference.transformer_xl_layer(x, kept, p, heads, dense)[0],
        lambda d, x, p: reference.transformer_xl_layer_backward(d, x, kept, p, heads, dense)[::2],
        lambda m, x: m(x, memory, mask=mask),
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("length", "remembered"), [(5, 0), (5, 3), (1, 7), (7, 1), (0, 4), (33, 32)])
def test_against_the_reference(length, remembered, bias, dtype):
    x, memory = array(2, length, D, dtype=dtype), array(2, remembered, D, dtype=dtype, seed=1)
    dense = np.tril(np.ones((length, remembered + length), bool), remembered)
    against_reference(layer(dtype, bias=bias), x, memory if remembered else None)
    against_reference(layer(dtype, bias=bias), x, memory, CAUSAL, dense)
    against_reference(layer(dtype, bias=bias), x, memory, dense, dense)


@pytest.mark.parametrize(("d", "heads"), [(2, 1), (8, 8), (8, 1), (34, 2)])
def test_widths(d, heads):
    against_reference(layer(d=d, heads=heads), array(3, 5, d), array(3, 4, d, seed=1))


@pytest.mark.parametrize("remembered", [4, 8, 3])
def test_segments_with_a_memory_are_one_pass_with_a_band(remembered):
    """A query sees its own segment up to itself, and `remembered` positions before the segment."""
    length, segment = 16, 4
    module, x = layer(), array(2, length, D)
    outputs, memory = [], None
    for part in np.split(x, length // segment, axis=1):
        outputs.append(module(part, memory, mask=CAUSAL).numpy())
        _, memory = at.functional.segment_recurrence(part, memory, memory_length=remembered)
    i, j = np.arange(length)[:, None], np.arange(length)[None, :]
    band = (j <= i) & (j >= i // segment * segment - remembered)
    assert_close(np.concatenate(outputs, axis=1), module(x, mask=band))


def test_gradients_of_segments_are_those_of_one_pass_but_for_the_memory():
    """One pass whose earlier half is cut off the tape gives the second segment's gradients."""
    module, x = layer(), array(2, 8, D)
    d_y = array(2, 4, D, seed=3)
    second = at.tensor(x[:, 4:], requires_grad=True)
    module(second, x[:, :4], mask=CAUSAL).backward(d_y)
    segment = {name: p.grad.numpy().copy() for name, p in module.named_parameters()}

    module.zero_grad()
    whole = at.tensor(x, requires_grad=True)
    module(whole, mask=CAUSAL)[:, 4:].backward(d_y)
    for name, p in module.named_parameters():
        assert_close(p.grad, segment[name], what=name)
    assert_close(whole.grad.numpy()[:, 4:], second.grad)
    assert np.abs(whole.grad.numpy()[:, :4]).max() > 0.01  # what the recurrence leaves out


def test_two_layers_reach_twice_as_far():
    """Each with a memory of its own inputs; a change reaches memory_length positions a layer."""
    layers, segment = [layer(seed=0), layer(seed=1)], 2

    def run(x):
        memories, outputs = [None, None], []
        for part in np.split(x, x.shape[1] // segment, axis=1):
            h = part
            for n, one in enumerate(layers):
                y = one(h, memories[n], mask=CAUSAL)
                _, memories[n] = at.functional.segment_recurrence(h, memories[n])
                h = y
            outputs.append(h.numpy())
        return np.concatenate(outputs, axis=1)

    x = array(1, 8, D)
    before = run(x)
    x[:, 0] += 1
    changed = np.abs(run(x) - before).max(axis=(0, 2)) > 1e-9
    assert changed.tolist() == [True] * 6 + [False] * 2


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_weights(dtype):
    module, x, memory = layer(dtype), array(2, 5, D, dtype=dtype), array(2, 3, D, dtype=dtype, seed=1)
    out, weights = module(x, memory, return_weights=True)
    assert_same_bits(out, module(x, memory))
    _, expected = reference.transformer_xl_layer(
        x.astype(np.float64), memory.astype(np.float64), in_double(module), HEADS
    )
    assert_close(weights, expected, dtype)


def test_a_bias_is_added():
    module, x = layer(), array(2, 5, D)
    bias = np.where(np.tril(np.ones((5, 5), bool)), 0.0, -1e9)
    assert_close(module(x, bias=bias), module(x, mask=np.tril(np.ones((5, 5), bool))).numpy())


def test_only_distances_count():
    """The last rows of a longer pass, when all see the same number of positions back."""
    module, x = layer(), array(1, 9, D)
    i, j = np.arange(9)[:, None], np.arange(9)[None, :]
    y = module(x, mask=(j <= i) & (j > i - 3)).numpy()
    moved = module(x[:, 4:], mask=((j <= i) & (j > i - 3))[:5, :5]).numpy()
    assert_close(moved[:, 2:], y[:, 6:])


def test_parameters():
    shapes = {"in_proj_weight": (36, 12), "content_bias": (3, 4), "position_bias": (3, 4)}
    shapes |= {"r_proj.weight": (12, 12), "out_proj.weight": (12, 12)}
    plain = at.nn.RelativeMultiHeadAttention(D, HEADS, seed=0)
    assert {name: value.shape for name, value in plain.state_dict().items()} == shapes
    shapes |= {"in_proj_bias": (36,), "out_proj.bias": (12,)}
    module = at.nn.RelativeMultiHeadAttention(D, HEADS, bias=True, seed=0)
    assert {name: value.shape for name, value in module.state_dict().items()} == shapes
    assert not module.state_dict()["position_bias"].any() and not module.state_dict()["in_proj_bias"].any()
    assert (module.d_model, module.num_heads) == (D, HEADS)
    assert repr(plain).startswith("RelativeMultiHeadAttention(d_model=12, num_heads=3, dropout=0")
    again = at.nn.RelativeMultiHeadAttention(D, HEADS, seed=0)
    assert_same_bits(again.state_dict()["in_proj_weight"], plain.state_dict()["in_proj_weight"])


def test_dropout_is_for_training():
    module, x = layer(dropout=0.5), array(2, 7, D)
    assert_same_bits(module.eval()(x), layer()(x))
    module.train()
    assert (module(x).numpy() != layer()(x).numpy()).any()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda m, x: m(x[0]), ValueError, "x has shape"),
        (lambda m, x: m(x[..., :4]), ValueError, "x has"),
        (lambda m, x: m(x.astype(np.float32)), TypeError, "x has dtype float32"),
        (lambda m, x: m(x, x[:1]), ValueError, "memory has shape"),
        (lambda m, x: m(x, x[0]), ValueError, "memory has shape"),
        (lambda m, x: m(x, x.astype(np.float32)), TypeError, "memory has dtype float32"),
        (lambda m, x: m(x, mask=np.ones((7, 7))), TypeError, "mask has dtype float64"),
        (lambda m, x: m(x, x, mask=np.ones((7, 7), bool)), ValueError, "mask has shape"),
        (lambda m, x: m(None), TypeError, "x is None"),
    ],
)
def test_wrong_calls(call, error, says):
    with pytest.raises(error, match=rf"^(RelativeMultiHeadAttention|attention|segment_recurrence): .*{says}"):
        call(layer(), array(2, 7, D))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        ((12, 5), {}, ValueError, "d_model is 12 and num_heads is 5"),
        ((3, 1), {}, ValueError, "d_model is 3 but must be even"),
        ((12, 0), {}, ValueError, "num_heads is 0"),
        ((12, 3), {"dropout": 1.0}, ValueError, "dropout is 1 but"),
        ((12, 3), {"dtype": "int64"}, TypeError, "dtype is 'int64'"),
        ((12, 3), {"seed": -1}, ValueError, "seed is -1"),
    ],
)
def test_wrong_constructions(arguments, options, error, says):
    with pytest.raises(error, match=f"^RelativeMultiHeadAttention: .*{says}"):
        at.nn.RelativeMultiHeadAttention(*arguments, **options)

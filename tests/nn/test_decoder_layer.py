"""DecoderLayer and Decoder: causal self-attention, cross-attention, feed-forward network."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import assert_torch_agrees, check_layer, in_double, randomized
from tolerance import assert_close, assert_same_bits

D, HEADS, DFF, T, S = 12, 3, 20, 5, 7
NORMS = pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])
CAUSAL = np.tril(np.ones((T, T), bool))
PADDING, DENSE_PADDING = at.masks.lengths([S, 4]), (np.arange(S) < np.array([[S], [4]]))[:, None, None]


def array(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def pair(dtype=np.float64):
    return [array(2, T, D, dtype=dtype), array(2, S, D, dtype=dtype, seed=1)]


def layer(**options):
    return randomized(at.nn.DecoderLayer(D, HEADS, DFF, **{"dtype": "float64", **options}))


def stack(layers, **options):
    return randomized(at.nn.Decoder(layers, D, HEADS, DFF, **{"dtype": "float64", **options}))


@NORMS
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layer(norm_first, activation, padded, dtype):
    """Self-attention is causal unless a mask is given."""
    options = {"norm_first": norm_first, "activation": activation}
    rest = HEADS, CAUSAL, DENSE_PADDING if padded else None, norm_first, activation
    check_layer(
        layer(dtype=str(dtype), **options),
        pair(dtype),
        lambda x, memory, p: reference.decoder_layer(x, memory, p, *rest)[0],
        lambda d_y, x, memory, p: reference.decoder_layer_backward(d_y, x, memory, p, *rest),
        lambda m, x, memory: m(x, memory, memory_mask=PADDING if padded else None)[0],
    )


@NORMS
def test_a_mask_of_ones_own_replaces_the_causal_one(norm_first):
    everything = np.ones((T, T), bool)
    check_layer(
        layer(norm_first=norm_first),
        pair(),
        lambda x, memory, p: reference.decoder_layer(x, memory, p, HEADS, norm_first=norm_first)[0],
        lambda d_y, x, memory, p: reference.decoder_layer_backward(
            d_y, x, memory, p, HEADS, norm_first=norm_first
        ),
        lambda m, x, memory: m(x, memory, everything)[0],
    )


@NORMS
@pytest.mark.parametrize("layers", [1, 3])
def test_stack(layers, norm_first):
    masks = CAUSAL, DENSE_PADDING
    check_layer(
        stack(layers, norm_first=norm_first),
        pair(),
        lambda x, memory, p: reference.decoder(x, memory, p, HEADS, *masks, norm_first)[0],
        lambda d_y, x, memory, p: reference.decoder_backward(d_y, x, memory, p, HEADS, *masks, norm_first),
        lambda m, x, memory: m(x, memory, memory_mask=PADDING)[0],
    )


@NORMS
def test_attention_of_every_layer(norm_first):
    module, (x, memory) = stack(2, norm_first=norm_first), pair()
    y, (self_attention, cross_attention) = module(x, memory, memory_mask=PADDING)
    expected = reference.decoder(x, memory, in_double(module), HEADS, CAUSAL, DENSE_PADDING, norm_first)
    assert_close(y, expected[0])
    for got, right in zip([*self_attention, *cross_attention], [*expected[1], *expected[2]], strict=True):
        assert_close(got, right)
    assert_same_bits(module(x, memory, memory_mask=PADDING, return_weights=False), y)
    one, (x, memory) = layer(norm_first=norm_first), pair()
    _, (self_weights, cross_weights) = one(x, memory)
    assert self_weights.shape == (2, HEADS, T, T) and cross_weights.shape == (2, HEADS, T, S)


@NORMS
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_torch(torch, norm_first, activation, dtype):
    theirs = torch.nn.TransformerDecoderLayer(
        D, HEADS, DFF, dropout=0.0, activation=activation, norm_first=norm_first, batch_first=True,
        dtype=getattr(torch, str(dtype)),
    )  # fmt: skip
    forbidden = torch.tensor(~CAUSAL)
    assert_torch_agrees(
        torch,
        layer(dtype=str(dtype), norm_first=norm_first, activation=activation),
        theirs,
        pair(dtype),
        lambda m, x, memory: m(x, memory)[0],
        lambda m, x, memory: m(x, memory, tgt_mask=forbidden),
        lambda name: name.removeprefix("feed_forward.").replace("cross_attn", "multihead_attn"),
    )


@NORMS
def test_the_past_does_not_see_the_future(norm_first):
    module, (x, memory) = stack(2, norm_first=norm_first), pair()
    before, _ = module(x, memory)
    x[:, 3:] += 1
    after, _ = module(x, memory)
    assert_same_bits(after.numpy()[:, :3].copy(), before.numpy()[:, :3].copy())
    assert (after.numpy()[:, 3:] != before.numpy()[:, 3:]).any()


def test_dropout_is_for_training():
    module, plain, (x, memory) = stack(2, dropout=0.3), stack(2), pair()
    assert (module(x, memory)[0].numpy() != plain(x, memory)[0].numpy()).any()
    assert_same_bits(module.eval()(x, memory)[0], plain(x, memory)[0])


def test_wrong_calls():
    module, (x, memory) = layer(), pair()
    for arguments, error in [
        ((x[0], memory), ValueError),
        ((x, memory[0]), ValueError),
        ((x[..., :5], memory), ValueError),
        ((x, memory[..., :5]), ValueError),
        ((x, memory[:1]), ValueError),
        ((x.astype(np.float32), memory), TypeError),
        ((x, memory.astype(np.float32)), TypeError),
        ((x, None), TypeError),
        ((x, memory, np.ones((T, T))), TypeError),
        ((x, memory, None, np.ones((T, S))), TypeError),
        ((x, memory, None, np.ones((T, T), bool)), ValueError),
        ((x, memory, None, at.masks.causal()), ValueError),
    ]:
        with pytest.raises(error, match=r"^\w+: "):
            module(*arguments)
    with pytest.raises(ValueError, match="num_layers is -1"):
        at.nn.Decoder(-1, D, HEADS, DFF)

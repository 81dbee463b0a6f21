"""Adapters: a narrow network behind every layer, on layers and on whole models."""

import numpy as np
import pytest
from peft_models import DECODERS, MODELS, decoded, made, moved, output

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import check_layer, randomized
from tolerance import assert_close, assert_same_bits

WITH_LAYERS = [name for name in MODELS if name != "xl"]  # whose attention is Transformer-XL's
NAMES = ("down_weight", "down_bias", "up_weight", "up_bias")


def adapter(activation="gelu", dtype="float64"):
    layer = at.nn.FeedForward(6, 8, dtype=dtype, seed=0)
    at.peft.adapters(layer, 3, activation, seed=0)
    return randomized(layer.adapter)


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_tanh", "silu"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(dtype, activation):
    def backward(d_y, x, p):
        d_x, *rest = reference.adapter_backward(d_y, x, *(p[n] for n in NAMES), activation)
        return d_x, dict(zip(NAMES, rest, strict=True))

    check_layer(
        adapter(activation, str(dtype)),
        [np.random.default_rng(0).standard_normal((2, 5, 6)).astype(dtype)],
        lambda x, p: reference.adapter(x, *(p[n] for n in NAMES), activation),
        backward,
    )


def test_torch(torch):
    ours, x = adapter(), np.random.default_rng(0).standard_normal((2, 5, 6))
    p = {name: torch.tensor(value, requires_grad=True) for name, value in ours.state_dict().items()}
    t = torch.tensor(x, requires_grad=True)
    linear = torch.nn.functional.linear
    hidden = torch.nn.functional.gelu(linear(t, p["down_weight"], p["down_bias"]))
    theirs = t + linear(hidden, p["up_weight"], p["up_bias"])
    one = at.tensor(x, requires_grad=True)
    y = ours(one)
    assert_close(y.numpy(), theirs.detach().numpy())
    d_y = np.random.default_rng(1).standard_normal(x.shape)
    y.backward(d_y)
    theirs.backward(torch.tensor(d_y))
    assert_close(one.grad.numpy(), t.grad.numpy())
    for name, value in ours.named_parameters():
        assert_close(value.grad.numpy(), p[name].grad.numpy(), what=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", WITH_LAYERS)
def test_nothing_changes_at_first_and_all_else_is_frozen(name, dtype):
    model = made(name, dtype)
    before, modules = output(model, name).numpy(), str(model)
    at.peft.adapters(model, 4, seed=0)
    np.testing.assert_array_equal(output(model, name).numpy(), before)
    assert {n.split(".")[-2] for n, p in model.named_parameters() if p.requires_grad} == {"adapter"}
    owners = [type(m) for _, m in model.named_modules() if "adapter" in dict(m.named_children())]
    sublayers = (at.nn.MultiHeadAttention, at.nn.FeedForward)
    assert len(owners) == sum(isinstance(m, sublayers) for m in model.modules())
    moved(model)
    assert np.abs(output(model, name).numpy() - before).max() > 1e-2
    at.peft.remove(model)
    assert_same_bits(output(model, name), before)
    assert str(model) == modules and all(p.requires_grad for p in model.parameters())


def test_it_stands_behind_attention_and_network_before_the_residual():
    layer = randomized(at.nn.EncoderLayer(6, 2, 8, dtype="float64", seed=0)).eval()
    moved(at.peft.adapters(layer, 3, seed=0))
    x = np.random.default_rng(0).standard_normal((2, 5, 6))
    bare = at.nn.EncoderLayer(6, 2, 8, dtype="float64").eval()
    bare.load_state_dict({n: v for n, v in layer.state_dict().items() if ".adapter." not in n})

    def behind(module, y):
        return reference.adapter(y, *(getattr(module.adapter, n).numpy() for n in NAMES))

    a = layer.norm1(x + behind(layer.self_attn, bare.self_attn(x, x, x).numpy())).numpy()
    y = layer.norm2(a + behind(layer.feed_forward, bare.feed_forward(a).numpy())).numpy()
    out = layer(x)
    assert_close((out[0] if isinstance(out, tuple) else out).numpy(), y, scale=10)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", DECODERS)
def test_decoding_on_the_cache(name, beams):
    got, expected = decoded(moved(at.peft.adapters(made(name), 4, seed=0)), name, beams)
    np.testing.assert_array_equal(got, expected)


def test_where_and_what_besides():
    model = at.peft.adapters(made("gpt2"), 4, targets="feed_forward", also="*norm*", seed=0)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert {n.split(".")[-2] for n in trained} == {"adapter", "norm", "norm1", "norm2"}
    assert not any("self_attn.adapter" in n for n in trained)
    model.reset_parameters(seed=3)  # draws anew what begins at zero as zero
    assert not model.decoder.layers[0].feed_forward.adapter.up_weight.numpy().any()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bottleneck": 0}, "adapters: bottleneck is 0 but must be 1 to 16"),
        ({"bottleneck": 17}, "adapters: bottleneck is 17 but must be 1 to 16"),
        ({"activation": "tanh"}, "adapters: activation is 'tanh' but must be"),
        ({"activation": "swiglu"}, "adapters: activation is 'swiglu' but must be without a gate"),
        ({"targets": "out_proj"}, "adapters: targets holds 'out_proj', which no name fits"),
    ],
)
def test_errors_leave_the_model_alone(options, says):
    model = made("gpt2")
    modules = str(model)
    with pytest.raises(ValueError, match=says):
        at.peft.adapters(model, **{"bottleneck": 4} | options)
    assert str(model) == modules and all(p.requires_grad for p in model.parameters())
    at.peft.adapters(model, 4)
    with pytest.raises(ValueError, match="has a module 'adapter' already"):
        at.peft.adapters(model, 4)
    with pytest.raises(ValueError, match=r"merge: .* has an adapter, which no matrix can hold"):
        at.peft.merge(model)


def test_models_without_such_layers():
    with pytest.raises(ValueError, match="neither a MultiHeadAttention nor a FeedForward"):
        at.peft.adapters(at.nn.Linear(3, 4))
    with pytest.raises(ValueError, match="prefix: the model has no MultiHeadAttention"):
        at.peft.prefix(made("xl"))

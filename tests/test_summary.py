"""summary: what it counts against what one counts by hand and what PyTorch counts; what it leaves alone."""

import json

import numpy as np
import pytest

import attendo as at

rng = np.random.default_rng(0)


def x(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def ids(*shape, below=9):
    return rng.integers(1, below, shape)


def row(summary, name):
    (layer,) = (layer for layer in summary.layers if layer.name == name)
    return layer


# -------------------------------------------------------------------------------------------- by hand


def test_a_small_network():
    model = at.nn.Sequential(at.nn.Linear(6, 40), at.nn.ReLU(), at.nn.Linear(40, 3, bias=False))
    s = at.summary(model, x(10, 6))
    assert [layer.type for layer in s.layers] == ["Sequential", "Linear", "ReLU", "Linear"]
    assert [layer.name for layer in s.layers] == ["", "0", "1", "2"]
    assert [layer.depth for layer in s.layers] == [0, 1, 1, 1]
    assert [layer.shape for layer in s.layers] == [(10, 3), (10, 40), (10, 40), (10, 3)]
    assert [layer.trainable for layer in s.layers] == [280 + 120, 280, 0, 120]
    first, last = 2 * 10 * 6 * 40, 2 * 10 * 40 * 3
    assert [layer.flops for layer in s.layers] == [first + last, first, 0, last]
    assert s.flops == s.layers[0].flops and s.parameters == s.trainable == 400 and s.frozen == 0
    assert s.parameter_bytes == s.gradient_bytes == 1600 and s.optimizer_bytes is None


D, H, FF, L, M, B, V = 16, 4, 32, 6, 5, 2, 9


def attention(queries, keys, d=D):
    """Four projections, scores and weighted sums, for a batch of B."""
    return B * ((2 * queries + 2 * keys) * d * d + 2 * queries * keys * d)


def test_multi_head_attention():
    s = at.summary(at.nn.MultiHeadAttention(D, H), x(B, L, D), x(B, M, D), x(B, M, D))
    assert s.flops == 2 * attention(L, M)


def test_the_transformer():
    model = at.models.Transformer(D, H, 2, 3, FF, V, V, 20, seed=0)
    s = at.summary(model, ids(B, M), ids(B, L))
    encoder = attention(M, M) + B * M * 2 * D * FF
    decoder = attention(L, L) + attention(L, M) + B * L * 2 * D * FF
    assert row(s, "encoder.layers.0").flops == 2 * encoder
    assert row(s, "decoder.layers.2").flops == 2 * decoder
    assert row(s, "encoder").flops == 2 * 2 * encoder and row(s, "decoder").flops == 2 * 3 * decoder
    assert s.flops == 2 * (2 * encoder + 3 * decoder + B * L * D * V)
    assert row(s, "decoder.layers.0.cross_attn").shape == (B, L, D) and row(s, "").shape == (B, L, V)
    assert s.parameters == sum(p.size for p in model.parameters())


def test_convolution_and_lstm():
    conv = at.summary(at.nn.Conv2d(3, 8, 3, stride=2), x(B, 3, 11, 11))
    assert conv.flops == 2 * B * 8 * 5 * 5 * 27 and conv.layers[0].shape == (B, 8, 5, 5)
    lstm = at.summary(at.nn.LSTM(5, 7), x(B, 9, 5))
    assert lstm.flops == 2 * B * 9 * 4 * 7 * (5 + 7) and lstm.layers[0].shape == (B, 9, 7)


# ---------------------------------------------------------------------------------------------- PyTorch


def torch_flops(module, *inputs):
    torch = pytest.importorskip("torch", reason="counts the same model")
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        # Not in eval mode, nor with its kernel for attention: of those fused operations it counts nothing.
        module.train()(*[torch.from_numpy(i) for i in inputs])
    return counter.get_total_flops()


def test_as_pytorch_counts():
    torch = pytest.importorskip("torch", reason="counts the same model")
    nn = torch.nn
    images, words = x(B, 4, 12, 12), x(B, L, D)
    conv = (at.nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1))
    net = (
        at.nn.Sequential(conv[0], at.nn.ReLU(), at.nn.Flatten(), at.nn.Linear(1152, 10)),
        nn.Sequential(conv[1], nn.ReLU(), nn.Flatten(), nn.Linear(1152, 10)),
    )
    layer = (
        at.nn.EncoderLayer(D, H, FF, dropout=0.0),
        nn.TransformerEncoderLayer(D, H, FF, dropout=0.0, batch_first=True),
    )
    for (own, other), inputs in ((conv, images), (net, images), (layer, words)):
        assert at.summary(own, inputs).flops == torch_flops(other, inputs)


# ----------------------------------------------------------------------------------- memory and parameters


def test_activations_are_what_backward_needs():
    """A product keeps its input and output; of a power of two, the allocator takes no more than that."""
    s = at.summary(at.nn.Linear(64, 128), x(256, 64))
    assert s.activation_bytes == 256 * 128 * 4
    relu = at.nn.Sequential(at.nn.Linear(64, 128), at.nn.ReLU())
    assert at.summary(relu, x(256, 64)).activation_bytes == 2 * 256 * 128 * 4
    relu.requires_grad_(False)
    assert at.summary(relu, x(256, 64)).activation_bytes == 256 * 128 * 4  # nothing is kept but the result


def test_frozen_parameters_and_the_state_of_the_optimizer():
    model = at.nn.Sequential(at.nn.Linear(6, 40), at.nn.Linear(40, 3))
    for parameter in model.children()[0].parameters():
        parameter.requires_grad = False
    optimizer = at.optim.Adam(1e-3)
    optimizer.attach([p for p in model.parameters() if p.requires_grad])
    s = at.summary(model, (2, 6), optimizer=optimizer)
    assert (s.trainable, s.frozen, s.gradient_bytes) == (123, 280, 4 * 123)
    assert (s.layers[1].trainable, s.layers[1].frozen) == (0, 280)
    assert s.optimizer_bytes == sum(v.nbytes for v in optimizer.state.values()) >= 2 * 4 * 123
    assert "280 (frozen)" in str(s) and "403 (280 frozen)" in str(s) and "280 of them frozen" in str(s)


def test_a_shared_parameter_counts_once():
    shared = at.nn.Linear(8, 8)
    model = at.nn.Sequential(shared, shared)
    s = at.summary(model, x(4, 8))
    assert s.parameters == 72 and s.flops == 2 * 2 * 4 * 64


def test_without_inputs_only_parameters():
    s = at.summary(at.models.Transformer(D, H, 1, 1, FF, V, V, 20, seed=0))
    assert s.flops is None and s.activation_bytes is None and s.parameters > 0
    assert all(layer.flops is layer.shape is layer.activations is None for layer in s.layers)
    assert "FLOPs" not in str(s) and "output" not in str(s)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shapes_in_place_of_arrays(dtype):
    model = at.nn.Linear(6, 3, dtype=dtype)
    assert at.summary(model, (5, 6)).layers[0].shape == (5, 3)
    embed = at.nn.Sequential(at.nn.Embedding(9, 4, dtype=dtype), at.nn.Linear(4, 2, dtype=dtype))
    s = at.summary(embed, (5, 6), dtype="int64")
    assert [layer.shape for layer in s.layers] == [(5, 6, 2), (5, 6, 4), (5, 6, 2)]
    assert s.parameter_bytes == s.parameters * np.dtype(dtype).itemsize


def test_parameters_of_eight_bits():
    model = at.nn.Linear(64, 32)
    plain = at.summary(model, (4, 64))
    model.to_int8()
    s = at.summary(model, (4, 64))
    assert s.parameters == plain.parameters and s.flops == plain.flops
    assert s.parameter_bytes == 64 * 32 + 4 * 32 + 4 * 32  # a byte each, a scale a row of 64, the bias


# ------------------------------------------------------------------------------------------- every model


def models():
    m, words, images = at.models, ids(B, L), x(B, 3, 16, 16)
    yield m.Transformer(D, H, 1, 1, FF, V, V, 20), (words, words), (B, L, V)
    yield m.DecoderLM(V, D, H, 2, 20), (words,), (B, L, V)
    yield m.TextEncoder(V, D, H, 2, 20), (words,), (B, L, D)
    yield m.MaskedLM(V, D, H, 2, 20), (words,), (B, L, V)
    yield m.EncoderClassifier(V, D, H, 2, 20, 4), (words,), (B, 4)
    yield m.VisionTransformer(16, 4, D, H, 2, num_classes=10), (images,), (B, 10)
    yield m.CrossModalClassifier(V, 3, 16, 4, D, H, 20), (words, images), (B, 3)
    yield m.CnnAttention(3, 10, image_size=16, channels=(8, 16), features=32), (images,), (B, 10)
    yield m.LstmAttention(V, 3, 16, 16), (words,), (B, 3)
    yield m.Seq2Seq(V, V, 16, 32), (words, words), (B, L, V)
    yield m.SequenceRecommender(V, D, H, 1, max_len=20), (words,), (B, L, V + 1)
    yield m.TransformerXL(V, D, H, 2, memory_length=4), (words,), (B, L, V)


# Their work is part of an operation of the layer above.
FUSED = {"out_proj", "linear1", "linear2", "position"}


@pytest.mark.parametrize(("model", "inputs", "shape"), [*models()], ids=lambda value: type(value).__name__)
def test_every_model_tells_the_shape_of_its_layers(model, inputs, shape):
    s = at.summary(model, *inputs)
    assert s.layers[0].shape == shape and s.flops == s.layers[0].flops > 0 and s.activation_bytes > 0
    above = {layer.name.rpartition(".")[0] for layer in s.layers}
    leaves = [layer for layer in s.layers if layer.name not in above and layer.trainable]
    untold = {layer.name for layer in leaves if layer.shape is None}
    assert {name.rpartition(".")[2] for name in untold} <= FUSED
    products = [layer for layer in leaves if layer.type == "Linear" and layer.shape is not None]
    assert all(layer.flops > 0 for layer in products)
    # Below the model no FLOP is lost, and none counted twice.
    tops = [layer for layer in s.layers if layer.depth == 1]
    assert sum(layer.flops or 0 for layer in tops) <= s.flops


def test_a_model_written_in_python():
    class Net(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.out = at.nn.MultiHeadAttention(D, H), at.nn.Linear(D, 3)

        def forward(self, x):
            return self.out(self.attention(x, x, x).mean(axis=1))

    s = at.summary(at.nn.Sequential(Net(), at.nn.Linear(3, 2)), x(B, L, D))
    net = row(s, "0")
    assert (net.type, net.shape) == ("Net", (B, 3))
    parts = row(s, "0.attention").flops + row(s, "0.out").flops
    assert net.flops == parts == 2 * (attention(L, L) + B * D * 3)
    assert s.flops == net.flops + 2 * B * 3 * 2


# ----------------------------------------------------------------------------------------- how it shows


def test_nothing_in_the_model_changes():
    model = at.nn.Sequential(at.nn.Linear(6, 8), at.nn.BatchNorm1d(8), at.nn.Dropout(0.5), at.nn.Linear(8, 3))
    model.children()[1].eval()
    modes, before = [m.training for m in model.modules()], model.state_dict()
    twin = at.nn.Sequential(at.nn.Linear(6, 8), at.nn.BatchNorm1d(8), at.nn.Dropout(0.5), at.nn.Linear(8, 3))
    twin.load_state_dict(before)
    with at.no_grad():
        at.summary(model, x(10, 6))
        assert not at.tensor(x(2), requires_grad=True).sum().requires_grad  # still off
    assert [m.training for m in model.modules()] == modes
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert all(p.grad is None for p in model.parameters())


def test_an_error_of_the_model_comes_out_and_leaves_its_mode():
    model = at.nn.Sequential(at.nn.Linear(6, 8))
    with pytest.raises(ValueError, match="x has 5 features but must have 6"):
        at.summary(model, x(10, 5))
    assert model.training and at.summary(model, x(10, 6)).flops == 2 * 10 * 48


def test_text_dict_and_html():
    model = at.models.Transformer(D, H, 1, 1, FF, V, V, 20, seed=0)
    s = at.summary(model, ids(B, M), ids(B, L))
    lines = str(s).splitlines()
    assert lines[0].split() == ["layer", "output", "parameters", "FLOPs", "activations"]
    assert any(line.startswith("        self_attn: MultiHeadAttention") for line in lines)
    assert json.loads(json.dumps(s.to_dict()))["layers"][0]["flops"] == s.flops
    assert s.to_dict()["parameters"] == s.parameters
    html = s._repr_html_()
    assert html.count("<tr>") == len(s.layers) + 1 and "MultiHeadAttention" in html

    class Odd(at.nn.Module):
        def forward(self, x):
            return x

    Odd.__name__ = "<b>"
    assert "<b>" not in at.summary(Odd(), x(2))._repr_html_()


def test_depth():
    s = at.summary(at.models.Transformer(D, H, 1, 1, FF, V, V, 20, seed=0), depth=1)
    assert {layer.depth for layer in s.layers} == {0, 1}


def test_bad_arguments():
    with pytest.raises(TypeError, match="summary: model is a int but must be a Module"):
        at.summary(3)
    with pytest.raises(ValueError, match="depth is -1"):
        at.summary(at.nn.Linear(1, 1), depth=-1)

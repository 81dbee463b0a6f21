"""PyTorch's parameters here, and ours there: the same outputs."""

import numpy as np
import pytest

import attendo as at
from attendo.interop import CheckpointError, TorchTransformer, from_torch, to_torch
from tolerance import assert_close, assert_same_bits

rng = np.random.default_rng(0)
X = rng.standard_normal((2, 5, 8))
Y = rng.standard_normal((2, 4, 8))


def randomized(module, torch):
    """The zeros and ones of a start hide mistakes."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 2)
    return module.double().eval()


def both_ways(torch, theirs, ours, inputs, call=None, their_call=None, rename=None, strict_back=True):
    """Ours computes what theirs did, before and after the parameters go there and back."""
    theirs, ours = randomized(theirs, torch), ours.eval()
    report = from_torch(theirs.state_dict(), ours, rename=rename)
    assert report.missing == report.unexpected == []
    with torch.no_grad():
        expected = (their_call or (lambda m, *x: m(*x)))(theirs, *(torch.tensor(x) for x in inputs))
    assert_close((call or (lambda m, *x: m(*x)))(ours, *inputs).numpy(), expected.numpy())
    back = to_torch(ours, rename=rename)
    before = {k: v for k, v in theirs.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert set(back) == set(before)
    for name, value in before.items():
        assert_same_bits(back[name], value.numpy(), name)
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in back.items()}, strict=strict_back)


SIMPLE = {
    "Linear": (lambda t: t.nn.Linear(8, 3), lambda: at.nn.Linear(8, 3, dtype="float64"), X),
    "Linear, no bias": (
        lambda t: t.nn.Linear(8, 3, bias=False),
        lambda: at.nn.Linear(8, 3, False, dtype="float64"),
        X,
    ),
    "LayerNorm": (lambda t: t.nn.LayerNorm(8), lambda: at.nn.LayerNorm(8, dtype="float64"), X),
    "Conv2d": (
        lambda t: t.nn.Conv2d(3, 4, 3),
        lambda: at.nn.Conv2d(3, 4, 3, dtype="float64"),
        rng.standard_normal((2, 3, 6, 5)),
    ),
    "BatchNorm1d": (lambda t: t.nn.BatchNorm1d(8), lambda: at.nn.BatchNorm1d(8, dtype="float64"), X[0]),
    "Embedding": (
        lambda t: t.nn.Embedding(9, 4),
        lambda: at.nn.Embedding(9, 4, dtype="float64"),
        rng.integers(0, 9, (2, 5)),
    ),
    "Sequential": (
        lambda t: t.nn.Sequential(t.nn.Linear(8, 5), t.nn.ReLU(), t.nn.Linear(5, 2)),
        lambda: at.nn.Sequential(
            at.nn.Linear(8, 5, dtype="float64"), at.nn.ReLU(), at.nn.Linear(5, 2, dtype="float64")
        ),
        X,
    ),
}


@pytest.mark.parametrize("name", SIMPLE)
def test_layers(torch, name):
    theirs, ours, x = SIMPLE[name]
    both_ways(torch, theirs(torch), ours(), [x], strict_back=not name.startswith("Batch"))


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False}])
def test_recurrent(torch, kind, options):
    theirs = getattr(torch.nn, kind)(8, 3, batch_first=True, **options)
    ours = getattr(at.nn, kind)(8, 3, dtype="float64", **options)
    both_ways(torch, theirs, ours, [X], lambda m, x: m(x)[0], lambda m, x: m(x)[0])


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"kdim": 6, "vdim": 3}])
def test_multi_head_attention(torch, options):
    memory = [rng.standard_normal((2, 4, options.get(name, 8))) for name in ("kdim", "vdim")]
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True, **options)
    ours = at.nn.MultiHeadAttention(8, 2, dtype="float64", **options)
    both_ways(torch, theirs, ours, [X, *memory], their_call=lambda m, *x: m(*x)[0])


PLAIN = {"dropout": 0.0, "batch_first": True}


@pytest.mark.parametrize("options", [{}, {"norm_first": True, "activation": "gelu"}])
def test_encoder_layer(torch, options):
    theirs = torch.nn.TransformerEncoderLayer(8, 2, 16, **PLAIN, **options)
    ours = at.nn.EncoderLayer(8, 2, 16, dtype="float64", **options)
    both_ways(torch, theirs, ours, [X], lambda m, x: m(x, return_weights=False))


@pytest.mark.parametrize("norm_first", [False, True])
def test_decoder_layer(torch, norm_first):
    theirs = torch.nn.TransformerDecoderLayer(8, 2, 16, **PLAIN, norm_first=norm_first)
    ours = at.nn.DecoderLayer(8, 2, 16, dtype="float64", norm_first=norm_first)
    causal = torch.nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    both_ways(
        torch,
        theirs,
        ours,
        [X, Y],
        lambda m, x, y: m(x, y, return_weights=False),
        lambda m, x, y: m(x, y, tgt_mask=causal, tgt_is_causal=True),
    )


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_encoders(torch):
    """Pre-norm with a last norm: ours has it. Post-norm without: as ours. Post-norm with one: beside it."""
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, **PLAIN, norm_first=True)
    call = lambda m, x: m(x, return_weights=False)  # noqa: E731
    theirs = torch.nn.TransformerEncoder(layer, 2, norm=torch.nn.LayerNorm(8))
    both_ways(torch, theirs, at.nn.Encoder(2, 8, 2, 16, norm_first=True, dtype="float64"), [X], call)
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, **PLAIN)
    both_ways(
        torch, torch.nn.TransformerEncoder(layer, 2), at.nn.Encoder(2, 8, 2, 16, dtype="float64"), [X], call
    )

    class Net(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.last = (
                at.nn.Encoder(2, 8, 2, 16, dtype="float64"),
                at.nn.LayerNorm(8, dtype="float64"),
            )

        def forward(self, x):
            return self.last(self.layers(x, return_weights=False))

    theirs = torch.nn.TransformerEncoder(layer, 2, norm=torch.nn.LayerNorm(8))
    both_ways(torch, theirs, Net(), [X], rename={"layers": "layers.layers", "norm": "last"})


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize(
    "options",
    [{}, {"norm_first": True}, {"activation": "gelu", "layer_norm_eps": 0.1}],
    ids=["post-norm", "pre-norm", "gelu, eps"],
)
def test_transformer(torch, options):
    theirs = torch.nn.Transformer(8, 2, 2, 1, 16, **PLAIN, **options)
    ours = TorchTransformer(8, 2, 2, 1, 16, 0.0, dtype="float64", seed=0, **options)
    everything = np.ones((4, 4), bool)
    both_ways(torch, theirs, ours, [X, Y], lambda m, x, y: m(x, y, tgt_mask=everything))
    causal = torch.nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.float64)
    both_ways(
        torch,
        theirs,
        ours,
        [X, Y],
        lambda m, x, y: m(x, y),
        lambda m, x, y: m(x, y, tgt_mask=causal, tgt_is_causal=True),
    )


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_a_model_around_it(torch):
    """A translation model of theirs, whose layers stand under other names, in models.Transformer; float32."""

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.source, self.target = torch.nn.Embedding(11, 8), torch.nn.Embedding(9, 8)
            self.net = torch.nn.Transformer(8, 2, 1, 1, 16, norm_first=True, **PLAIN)
            self.out = torch.nn.Linear(8, 9)

        def forward(self, src, tgt):
            positions = torch.zeros(16, 8, dtype=torch.float64)
            angle = torch.arange(16)[:, None] / 10000 ** (torch.arange(0, 8, 2) / 8)
            positions[:, 0::2], positions[:, 1::2] = torch.sin(angle), torch.cos(angle)
            mask = torch.nn.Transformer.generate_square_subsequent_mask(tgt.shape[1], dtype=torch.float64)
            x = self.source(src) * 8**0.5 + positions[: src.shape[1]]
            y = self.target(tgt) * 8**0.5 + positions[: tgt.shape[1]]
            return self.out(self.net(x, y, tgt_mask=mask, tgt_is_causal=True))

    theirs = randomized(Theirs(), torch)
    ours = at.models.Transformer(8, 2, 1, 1, 16, 11, 9, 12, dropout=0.0, norm_first=True, seed=0).eval()
    rename = {"source": "src_embedding", "target": "tgt_embedding", "net": "", "out": "generator"}
    from_torch(theirs.float().state_dict(), ours, rename=rename)
    src, tgt = rng.integers(1, 11, (3, 6)), rng.integers(1, 9, (3, 5))
    with torch.no_grad():
        expected = theirs.double()(torch.tensor(src), torch.tensor(tgt)).numpy()
    np.testing.assert_allclose(ours(src, tgt).numpy(), expected, rtol=0, atol=1e-5)


def test_norms_without_biases(torch):
    theirs = randomized(torch.nn.TransformerEncoderLayer(8, 2, 16, **PLAIN, bias=False), torch)
    ours = at.nn.EncoderLayer(8, 2, 16, bias=False, dtype="float64").eval()
    report = from_torch(theirs.state_dict(), ours, strict=False)
    assert report.missing == ["norm1.bias", "norm2.bias"] and report.unexpected == []
    with torch.no_grad():
        assert_close(ours(X, return_weights=False).numpy(), theirs(torch.tensor(X)).numpy())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_other_floats(torch, dtype):
    theirs = torch.nn.Linear(8, 3).to(getattr(torch, dtype))
    ours = at.nn.Linear(8, 3)
    from_torch(theirs.state_dict(), ours)
    assert_same_bits(ours.state_dict()["weight"], theirs.weight.detach().float().numpy())


# ------------------------------------------------------------------------------------ without PyTorch


def test_there_and_back_without_torch():
    for ours in (at.nn.Encoder(2, 8, 2, 16), at.nn.Decoder(1, 8, 2, 16), TorchTransformer(8, 2, 1, 1, 16)):
        state = to_torch(ours)
        assert not any("feed_forward" in name or "cross_attn" in name or "_norm." in name for name in state)
        again = type(ours)(8, 2, 1, 1, 16) if isinstance(ours, TorchTransformer) else ours
        report = from_torch(state, again)
        assert report.missing == report.unexpected == report.ignored == []
        for name, value in ours.state_dict().items():
            assert_same_bits(again.state_dict()[name], value, name)


def test_names_and_shapes_that_do_not_fit():
    layer = at.nn.EncoderLayer(8, 2, 16, seed=0)
    before = layer.state_dict()
    state = to_torch(layer)
    state["linear1.weight"] = state["linear1.weight"].T
    state["linear3.weight"] = state.pop("linear2.weight")
    with pytest.raises(CheckpointError) as error:
        from_torch(state, layer)
    says = str(error.value)
    assert "of another shape: linear1.weight is (8, 16) but must be (16, 8)" in says
    assert "missing: linear2.weight" in says and "unexpected: linear3.weight" in says
    state["linear1.weight"] = state["linear1.weight"].T + 1
    report = from_torch(state, layer, strict=False)
    assert report.missing == ["linear2.weight"] and report.unexpected == ["linear3.weight"]
    assert_same_bits(layer.state_dict()["feed_forward.linear2.weight"], before["feed_forward.linear2.weight"])
    assert_same_bits(
        layer.state_dict()["feed_forward.linear1.weight"], before["feed_forward.linear1.weight"] + 1
    )


def test_a_last_norm_that_is_nowhere():
    """The default of torch.nn.Transformer has one after post-norm layers; it is not dropped."""
    state = {**to_torch(at.nn.Encoder(1, 8, 2, 16)), "norm.weight": np.ones(8, np.float32)}
    with pytest.raises(CheckpointError, match=r"unexpected: norm\.weight"):
        from_torch(state, at.nn.Encoder(1, 8, 2, 16))


def test_rename():
    ours = at.nn.Sequential(at.nn.Linear(2, 3, seed=0))
    there = to_torch(ours, rename={"module.layer": "0"})
    assert list(there) == ["module.layer.weight", "module.layer.bias"]
    from_torch(there, ours, rename={"module.layer": "0"})
    from_torch({f"module.{k}": v for k, v in to_torch(ours).items()}, ours, rename={"module": ""})
    from_torch({k.removeprefix("0."): v for k, v in to_torch(ours).items()}, ours, rename={"": "0"})
    with pytest.raises(CheckpointError, match=r"unexpected: module\.layer2\.weight"):
        from_torch(
            {**there, "module.layer2.weight": there["module.layer.weight"]},
            ours,
            rename={"module.layer": "0"},
        )
    with pytest.raises(ValueError, match=r"'b\.weight' and 'a\.weight' are both '0\.weight' after rename"):
        from_torch({"a.weight": 1, "b.weight": 1}, ours, rename={"a": "0", "b": "0"})


def test_what_is_no_tensor_of_floats():
    ours = at.nn.Linear(2, 3)
    for value in (np.ones((3, 2), np.int64), [[1, 2]] * 3, "text", None):
        with pytest.raises(TypeError, match=r"from_torch: 'weight' has dtype .* but must be of floats"):
            from_torch({"weight": value, "bias": np.ones(3)}, ours)


def test_what_is_no_state():
    with pytest.raises(TypeError, match="from_torch: state is a list but must be what its state_dict"):
        at.interop.from_torch([1], at.nn.Linear(2, 2))


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_a_transformer_without_biases(torch):
    theirs = torch.nn.Transformer(16, 2, 2, 2, 20, dropout=0.0, batch_first=True, bias=False).eval()
    ours = at.interop.TorchTransformer(16, 2, 2, 2, 20, dropout=0.0, bias=False, seed=0).eval()
    report = at.interop.from_torch(theirs.state_dict(), ours, strict=False)
    assert report.missing and all("norm" in name and name.endswith("bias") for name in report.missing)
    rng = np.random.default_rng(0)
    src, tgt = (rng.standard_normal((2, n, 16)).astype("float32") for n in (5, 4))
    expected = theirs(torch.tensor(src), torch.tensor(tgt)).detach().numpy()
    assert_close(ours(src, tgt, tgt_mask=np.ones((4, 4), bool)), expected, scale=10.0)

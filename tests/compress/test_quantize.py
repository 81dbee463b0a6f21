"""compress.quantize: linear layers that multiply whole numbers, dynamic and static."""

import json

import numpy as np
import pytest

import attendo as at
from inputs import THREADS
from layer_check import randomized
from tolerance import assert_same_bits

V = 30
RNG = np.random.default_rng(0)
IDS = RNG.integers(1, V, (3, 9))
IMAGES = RNG.standard_normal((2, 3, 8, 8)).astype("float32")
MODES = ("dynamic", "static")

MODELS = {
    "gpt2": (
        lambda: at.models.DecoderLM(V, 64, 4, 2, 32, norm_first=True, positions="learned", tie_weights=True),
        (IDS,),
    ),
    "llama": (
        lambda: at.models.DecoderLM(
            V, 64, 4, 2, 32, norm_first=True, norm="rms", positions="rotary", activation="swiglu",
            num_kv_heads=2, bias=False, head_bias=False,
        ),
        (IDS,),
    ),
    "translator": (lambda: at.models.Transformer(64, 4, 2, 2, 96, V, V, 32), (IDS, IDS[:, :5])),
    "encoder": (lambda: at.models.TextEncoder(V, 64, 4, 2, max_len=32), (IDS,)),
    "masked": (lambda: at.models.MaskedLM(V, 64, 4, 2, max_len=32), (IDS,)),
    "classifier": (lambda: at.models.EncoderClassifier(V, 64, 4, 2, 32, 5), (IDS,)),
    "vision": (lambda: at.models.VisionTransformer(8, 4, 64, 4, 2, num_classes=5), (IMAGES,)),
    "convolutional": (
        lambda: at.models.CnnAttention(3, 5, 8, channels=(8, 16), features=48, attention_features=24),
        (IMAGES,),
    ),
    "recurrent": (lambda: at.models.LstmAttention(V, 16, 24, 3), (IDS,)),
    "recommender": (lambda: at.models.SequenceRecommender(V - 1, 64, 4, 2, 12), (IDS,)),
    "xl": (lambda: at.models.TransformerXL(V, 64, 4, 2, memory_length=4), (IDS,)),
}  # fmt: skip


def output(model, inputs):
    with at.no_grad():
        y = model(*inputs)
    return (y[0] if isinstance(y, tuple) else y).numpy()


def quantized(model, mode, inputs, **options):
    if mode == "static":
        options = {"calibration": inputs, **options}
    return at.compress.quantize(model, mode, **options)


def forms(model):
    """The matrices by how they are held."""
    state = model.state_dict()
    found = {"float": [], "weights": [], "dynamic": [], "static": []}
    for name, array in state.items():
        if array.dtype != np.int8:
            found["float"].append(name)
        elif state[f"{name}_scales"].ndim == 2:
            found["weights"].append(name)
        else:
            found["static" if f"{name}_input" in state else "dynamic"].append(name)
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MODELS)
def test_near_the_floats_and_saved(name, mode, tmp_path):
    """Less than 5 % off with random weights, root mean square; loaded again to the bit."""
    make, inputs = MODELS[name]
    model = randomized(make()).eval()
    size = sum(array.nbytes for array in model.state_dict().values())
    floats = output(model, inputs)
    assert quantized(model.train(), mode, inputs) is model and not model.training
    assert forms(model)[mode]
    if name not in ("convolutional", "recurrent"):  # whose filters and cells stay as they are
        assert sum(array.nbytes for array in model.state_dict().values()) < 0.5 * size
    got = output(model, inputs)
    error = np.sqrt(np.mean((got - floats) ** 2) / np.mean((floats - floats.mean()) ** 2))
    assert 0 < error < 0.05
    model.save(tmp_path / "model.safetensors")
    again = at.load(tmp_path / "model.safetensors")
    for key, value in model.state_dict().items():
        assert_same_bits(again.state_dict()[key], value)
    assert_same_bits(output(again, inputs), got)
    assert not any(parameter.requires_grad for parameter in again.parameters())
    assert again(*inputs) is not None  # also outside of no_grad: all is frozen


def test_what_is_rounded_how():
    model = randomized(MODELS["translator"][0]()).eval()
    floats = {name for name, array in model.state_dict().items() if array.ndim == 2}
    quantized(model, "dynamic", None)
    found = forms(model)
    assert len(found["weights"]) == 2 and all("embedding" in name for name in found["weights"])
    assert set(found["weights"] + found["dynamic"]) == floats
    assert "int8 dynamic" in repr(model)
    assert "int8 static" in repr(quantized(at.nn.Linear(5, 3), "static", np.ones((2, 5), "float32")))
    tied = randomized(MODELS["gpt2"][0]()).eval()  # the table is the output layer: products of floats
    assert forms(quantized(tied, "dynamic", None))["weights"] == ["embedding.weight"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", ["gpt2", "llama", "translator"])
def test_decoding_on_the_cache_is_decoding_without(name, beams, mode):
    model = randomized(MODELS[name][0]()).eval()
    quantized(model, mode, MODELS[name][1])
    if name != "translator":

        def step(ids):
            return model(ids).numpy()[:, -1]

        got = model.generate(IDS, max_new_tokens=6, num_beams=beams)
        expected = at.models.generate(step, IDS, max_new_tokens=6, num_beams=beams)
    else:

        def step(ids):
            return model(np.repeat(IDS[:1], len(ids), axis=0), ids).numpy()[:, -1]

        got = model.generate(IDS[:1], max_new_tokens=6, bos_id=1, eos_id=2, num_beams=beams)
        expected = at.models.generate(step, [[1]], max_new_tokens=6, eos_id=2, pad_id=0, num_beams=beams)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("mode", MODES)
def test_padded_is_unpadded(mode):
    """A range for all rows of a batch would let the padding in. Here a row's is its own, or found before."""
    model = randomized(at.models.EncoderClassifier(V, 64, 4, 2, 32, 5, pad_id=0), 1).eval()
    floats = output(model, (IDS[:, :6],))
    quantized(model, mode, IDS)
    alone = output(model, (IDS[:, :6],))
    ids = np.pad(IDS[:, :6], ((0, 0), (0, 7)))
    padded = output(model, (ids, ids != 0))
    assert np.abs(padded - alone).max() < 0.05 * np.abs(alone - floats).max()


@pytest.mark.parametrize("mode", MODES)
def test_same_bits_on_any_number_of_threads(mode):
    model = quantized(randomized(MODELS["translator"][0]()).eval(), mode, MODELS["translator"][1])
    results = []
    for threads in THREADS:
        at.set_num_threads(threads)
        results.append(output(model, MODELS["translator"][1]))
    for other in results[1:]:
        assert_same_bits(other, results[0])


# ------------------------------------------------------------------------------------------------ calibration


def test_the_range_is_that_of_what_was_seen():
    x = RNG.standard_normal((100, 8)).astype("float32") + 1
    for method in ("minmax", "percentile", "entropy"):
        states = []
        for batch in (7, 100):  # the ranges do not depend on it
            layer = at.nn.Linear(8, 3, seed=0)
            at.compress.quantize(
                layer, "static", calibration=x, method=method, percentile=90, batch_size=batch
            )
            states.append(layer.state_dict()["weight_input"])
        assert_same_bits(states[0], states[1])
        scale, zero = at.functional.activation_range(x, method, 90)
        np.testing.assert_array_equal(states[0], np.array([scale, zero], "float32"))


def test_each_layer_has_a_range_of_its_own_and_what_is_not_reached_stays_dynamic():
    class Net(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = at.nn.Linear(4, 4, seed=0), at.nn.Linear(4, 2, seed=1)
            self.unused = at.nn.Linear(4, 2)

        def forward(self, x):
            return self.second(100 * self.first(x))

    net = quantized(Net(), "static", RNG.standard_normal((50, 4)).astype("float32"))
    state = net.state_dict()
    assert state["second.weight_input"][0] > 10 * state["first.weight_input"][0]
    assert forms(net)["dynamic"] == ["unused.weight"]


def test_the_feed_forward_network_is_seen_in_calibration():
    """Its product in floats is one operation, which no observer sees into."""
    layer = at.nn.FeedForward(8, 16, activation="gelu", seed=0)
    x = RNG.standard_normal((50, 8)).astype("float32")
    hidden = at.functional.gelu(x @ layer.linear1.weight.numpy().T + layer.linear1.bias.numpy())
    state = quantized(layer, "static", x).state_dict()
    scale, zero = at.functional.activation_range(hidden)
    np.testing.assert_allclose(state["linear2.weight_input"], [scale, zero], rtol=1e-5)


def test_a_failed_calibration_leaves_the_model_as_it_was():
    model = randomized(at.nn.Sequential(at.nn.Linear(4, 3), at.nn.Linear(3, 2))).train()
    model[1].eval()
    before = model.state_dict()
    for bad in (np.ones((5, 7), "float32"), np.full((5, 4), np.nan, "float32")):
        with pytest.raises(ValueError, match=r"7 features|0\.weight is multiplied with .* holds NaN"):
            quantized(model, "static", bad)
    assert model.training and not model[1].training
    assert all(parameter.requires_grad for parameter in model.parameters())
    for name, value in model.state_dict().items():
        assert_same_bits(value, before[name])
    quantized(model, "static", np.ones((5, 4), "float32"))  # nobody watches any more


# -------------------------------------------------------------------------------------------- what is refused


def test_errors():
    x = np.ones((5, 4), "float32")

    def fails(error, says, *arguments, **options):
        with pytest.raises(error, match=says):
            at.compress.quantize(*arguments, **options)

    fails(TypeError, "model is a dict but must be a Module", {})
    layer = at.nn.Linear(4, 3)
    fails(ValueError, "mode is 'fast' but must be 'dynamic' or 'static'", layer, "fast")
    fails(ValueError, 'calibration is for mode="static"', layer, "dynamic", calibration=x)
    fails(ValueError, "needs calibration=", layer, "static")
    fails(ValueError, "method is 'best' but must be", layer, "static", calibration=x, method="best")
    fails(ValueError, "percentile is 0 but must be", layer, "static", calibration=x, percentile=0)
    fails(ValueError, "percentile is nan but must be", layer, "static", calibration=x, percentile=np.nan)
    fails(ValueError, "batch_size is 0", layer, "static", calibration=x, batch_size=0)
    fails(ValueError, "holds no sample", layer, "static", calibration=x[:0])
    fails(ValueError, "must be an array or a tuple", layer, "static", calibration=())
    fails(ValueError, "must be an array or a tuple", layer, "static", calibration=np.float32(1))
    fails(ValueError, r"\[5, 4\] samples", layer, "static", calibration=(x, x[:4]))
    fails(ValueError, "ReLU has no matrix", at.nn.ReLU())
    fails(ValueError, "no linear layer", at.nn.Embedding(5, 4), "static", calibration=np.ones((2, 2), int))
    fails(ValueError, "weight is int8 already, by to_int8", at.nn.Linear(4, 3).to_int8())
    done = at.compress.quantize(at.nn.Linear(4, 3))
    fails(ValueError, "weight is quantized already", done)
    fails(ValueError, "weight is quantized already", done, "static", calibration=x)
    with pytest.raises(ValueError, match="to_int8: weight is quantized"):
        done.to_int8()
    fails(ValueError, "weight has a low-rank update", at.peft.lora(MODELS["gpt2"][0](), rank=2))
    optimizer = at.optim.Adam()
    optimizer.attach(layer)
    fails(ValueError, "weight is held by an optimizer", layer)
    assert layer.weight.dtype == np.float32


def test_it_cannot_be_trained():
    model = quantized(at.nn.Sequential(at.nn.Linear(4, 3)), "dynamic", None)
    with pytest.raises(ValueError, match="int8, which cannot be trained"):
        at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam()).fit(
            np.zeros((4, 4), "float32"), np.zeros(4, int), epochs=1, progress=False
        )
    with pytest.raises(ValueError, match="int8, and what is int8 cannot be drawn anew"):
        model.reset_parameters(0)
    with pytest.raises(ValueError, match="quantized_linear: x requires a gradient"):
        model(at.tensor(np.ones((2, 4), "float32"), requires_grad=True))
    model[0].bias.requires_grad = True
    with pytest.raises(ValueError, match="quantized_linear: bias requires a gradient"):
        model(np.ones((2, 4), "float32"))
    with pytest.raises(TypeError, match="assign: the tensor is int8"):
        model[0].weight.assign(np.ones((3, 4)))
    with pytest.raises(TypeError, match="quantized matrix, which linear layers take"):
        at.functional.embedding(np.zeros(2, int), model[0].weight)
    with pytest.raises(TypeError, match="int8"):
        at.functional.matmul(model[0].weight, model[0].weight)


def test_updates_of_low_rank_compute_but_do_not_train(tmp_path):
    model = quantized(randomized(MODELS["gpt2"][0]()), "static", IDS)
    expected = output(model, (IDS,))
    at.peft.lora(model, rank=2, seed=0).eval()
    assert_same_bits(output(model, (IDS,)), expected)  # B is zero
    with pytest.raises(ValueError, match="lora: weight is quantized, and products of whole numbers"):
        model(IDS)
    model.save(tmp_path / "model.safetensors")
    assert_same_bits(output(at.load(tmp_path / "model.safetensors"), (IDS,)), expected)


def test_states():
    x = RNG.standard_normal((20, 70)).astype("float32")
    first, second = at.nn.Linear(70, 5, seed=0), at.nn.Linear(70, 5, seed=1)
    floats = first.state_dict()
    quantized(first, "static", x)
    quantized(second, "static", 3 * x)
    state = first.state_dict()
    assert {name: array.dtype.name for name, array in state.items()} == {
        "weight": "int8", "weight_scales": "float32", "weight_input": "float32", "bias": "float32"
    }  # fmt: skip
    second.load_state_dict(state)  # the sums of its rows, which are not in the state, too
    assert_same_bits(output(second, (x,)), output(first, (x,)))

    def fails(error, says, module, **changes):
        changed = {name: array for name, array in {**state, **changes}.items() if array is not None}
        before = module.state_dict()
        with pytest.raises(error, match=says):
            module.load_state_dict(changed)
        for name, value in before.items():
            assert_same_bits(module.state_dict()[name], value)

    fails(ValueError, "missing: weight_input", second, weight_input=None)
    fails(ValueError, "there is no weight_scales", second, weight_scales=None)
    fails(ValueError, "weight_input has the scale", second, weight_input=np.array([0, 3], "float32"))
    fails(ValueError, "weight_input has the scale", second, weight_input=np.array([np.inf, 3]))
    fails(ValueError, "weight_input has the scale", second, weight_input=np.array([1e-60, 3]))
    fails(ValueError, "zero point", second, weight_input=np.array([1, 256], "float32"))
    fails(ValueError, "zero point", second, weight_input=np.array([1, np.nan], "float32"))
    fails(ValueError, "zero point", second, weight_input=np.array([1, 2.5], "float32"))
    fails(ValueError, "weight_input has shape", second, weight_input=np.ones(3, "float32"))
    fails(ValueError, "weight_scales has shape", second, weight_scales=np.ones((5, 2), "float32"))
    fails(TypeError, "is quantized: load floats before", second, weight=floats["weight"])
    fails(TypeError, "quantize it first", at.nn.Linear(70, 5), weight_scales=None, weight_input=None)
    fails(ValueError, "unexpected: weight_input", quantized(at.nn.Linear(70, 5), "dynamic", None))
    fails(ValueError, "weight_scales has shape", at.nn.Linear(70, 5).to_int8(), weight_input=None)
    with pytest.raises(ValueError, match="missing: weight"):
        second.load_state_dict({})


def rewritten(path, to, state=None, **description):
    """The file with other numbers or another description."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    with safe_open(path, framework="numpy") as file:
        metadata = json.loads(file.metadata()["attendo_config"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}
    arrays = {name: x for name, x in {**arrays, **(state or {})}.items() if x is not None}
    save_file(arrays, to, metadata={"attendo_config": json.dumps({**metadata, **description})})


def test_hostile_files(tmp_path):
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    model = randomized(at.models.EncoderClassifier(V, 16, 2, 1, 32, 5)).eval()
    quantized(model, "static", IDS).save(good)
    names, table = forms(model)["static"], forms(model)["weights"][0]
    state = model.state_dict()
    changes = [
        {names[0]: None},
        {f"{names[0]}_scales": None},
        {f"{names[0]}_input": None, f"{names[0]}_scales": None},
        {f"{names[0]}_scales": state[f"{names[0]}_scales"][:-1]},
        {f"{names[0]}_scales": np.ones((1, 1, 1), "float32")},
        {names[0]: state[names[0]][:-1]},
        {names[0]: state[names[0]].astype("float32")},
        {f"{names[0]}_input": np.array([np.nan, 0], "float32")},
        {f"{names[0]}_input": np.array([1, -3], "float32")},
        {f"{names[0]}_input": np.array([1, 1e30], "float32")},
        {"more.weight": np.zeros((2, 2), "int8"), "more.weight_scales": np.ones(2, "float32")},
        {f"{table}_scales": np.ones(V, "float32")},
        {f"{table}_input": np.ones(2, "float32")},
    ]
    for state_changes in changes:
        rewritten(good, bad, state_changes)
        with pytest.raises(ValueError, match="load:"):
            at.load(bad)
    for weights in ("int8", "float", 3, None):
        rewritten(good, bad, None, weights=weights)
        with pytest.raises(ValueError, match="load:"):
            at.load(bad)
    rewritten(good, bad)
    assert_same_bits(output(at.load(bad), (IDS,)), output(model, (IDS,)))


# ------------------------------------------------------------------------------------------------- the effect

TOKENS, LENGTH, CLASSES = 16, 12, 3


def task(count, seed):
    """Each token speaks for some classes and against others: which has most? Often little tips the scale."""
    worth = np.random.default_rng(7).standard_normal((TOKENS, CLASSES))
    ids = np.random.default_rng(seed).integers(0, TOKENS, (count, LENGTH))
    return ids, worth[ids].sum(axis=1).argmax(axis=1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_trained_model_keeps_its_accuracy(seed):
    """Above 95 %, it loses a point at most by any range that fits; by the range of zeros five at least."""
    x, y = task(2000, [seed, 0])
    x_test, y_test = task(4000, [seed, 1])

    def fresh():
        return at.models.EncoderClassifier(
            TOKENS, 32, 4, 2, LENGTH, CLASSES, positions="none", pooling="mean", seed=seed
        )

    def accuracy(model):
        return np.mean(output(model, (x_test,)).argmax(-1) == y_test)

    model = fresh()
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=3e-3), seed=seed)
    trainer.fit(x, y, epochs=8, batch_size=64, progress=False)
    floats = accuracy(model.eval())
    assert floats > 0.95

    def made(mode, **options):
        again = fresh()
        again.load_state_dict(model.state_dict())
        return quantized(again, mode, x[:256], **options)

    assert accuracy(made("dynamic")) >= floats - 0.01
    for method in ("minmax", "percentile", "entropy"):
        assert accuracy(made("static", method=method)) >= floats - 0.01, method
    bad = made("static")
    zeros = np.array(at.functional.activation_range(np.zeros(1)), "float32")
    bad.load_state_dict({k: zeros if k.endswith("_input") else v for k, v in bad.state_dict().items()})
    assert accuracy(bad) < floats - 0.05

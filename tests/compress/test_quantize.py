"""compress.quantize: linear layers that multiply whole numbers, dynamic and static."""

import numpy as np
import pytest

import attendo as at
from inputs import THREADS
from layer_check import randomized
from quantized_models import IDS, MODELS, MODES, RNG, V, forms, output, quantized
from tolerance import assert_same_bits


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


# ------------------------------------------------------------------------------------------------- the effect

TOKENS, LENGTH, CLASSES = 16, 12, 3


@pytest.mark.parametrize("mode", MODES)
def test_arguments_of_a_wrong_type(mode):
    given = {"calibration": np.ones((5, 4), "float32")} if mode == "static" else {}
    for options, said in (
        ({"batch_size": "a"}, "quantize: batch_size is a str but must be a whole number"),
        ({"percentile": "a"}, "quantize: percentile is a str but must be a number"),
    ):
        with pytest.raises(TypeError, match=said):
            at.compress.quantize(at.nn.Linear(4, 3), mode, **given, **options)


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

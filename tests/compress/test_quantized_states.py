"""compress.quantize: what it refuses, what a quantized model does not do, states and files."""

import json

import numpy as np
import pytest

import attendo as at
from layer_check import randomized
from quantized_models import IDS, MODELS, RNG, V, forms, output, quantized
from tolerance import assert_same_bits


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

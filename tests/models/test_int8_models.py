"""Models whose matrices are held in eight bits: near the floats, smaller, saved and loaded, decoding."""

import numpy as np
import pytest

import attendo as at
from layer_check import randomized
from tolerance import assert_same_bits

V = 30
IDS = np.random.default_rng(0).integers(1, V, (3, 9))
IMAGES = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype("float32")

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
    "t5": (
        lambda: at.models.Transformer(
            64, 4, 2, 2, 96, V, V, 32, positions="t5", norm="rms", norm_first=True, bias=False,
            shared_embeddings=True, tie_weights=True,
        ),
        (IDS, IDS[:, :5]),
    ),
    "encoder": (lambda: at.models.TextEncoder(V, 64, 4, 2, max_len=32), (IDS,)),
    "masked": (lambda: at.models.MaskedLM(V, 64, 4, 2, max_len=32), (IDS,)),
    "classifier": (lambda: at.models.EncoderClassifier(V, 64, 4, 2, 32, 5), (IDS,)),
    "vision": (lambda: at.models.VisionTransformer(8, 4, 64, 4, 2, num_classes=5), (IMAGES,)),
    "recommender": (lambda: at.models.SequenceRecommender(V - 1, 64, 4, 2, 12), (IDS,)),
    "xl": (lambda: at.models.TransformerXL(V, 64, 4, 2, memory_length=4), (IDS,)),
}  # fmt: skip


def output(model, inputs):
    y = model(*inputs)
    return (y[0] if isinstance(y, tuple) else y).numpy()


@pytest.mark.parametrize("name", MODELS)
def test_near_the_floats_and_saved(name, tmp_path):
    make, inputs = MODELS[name]
    model = randomized(make()).eval()
    size = sum(array.nbytes for array in model.state_dict().values())
    floats = output(model, inputs)
    eight = model.to_int8()
    assert eight is model and any(array.dtype == np.int8 for array in model.state_dict().values())
    assert sum(array.nbytes for array in model.state_dict().values()) < 0.5 * size
    got = output(model, inputs)
    error = np.sqrt(np.mean((got - floats) ** 2) / np.mean((floats - floats.mean()) ** 2))
    assert 0 < error < 0.1
    assert_same_bits(output(model.to_int8(), inputs), got)  # again: no change

    model.save(tmp_path / "model.safetensors")
    assert_same_bits(output(at.load(tmp_path / "model.safetensors"), inputs), got)
    with pytest.raises(ValueError, match=r"int8|eight"):
        at.optim.Adam(lr=1e-3).attach(model)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", ["gpt2", "llama", "translator", "t5"])
def test_decoding(name, beams):
    """On the cache as without it."""
    model = randomized(MODELS[name][0]()).eval().to_int8()
    if name in {"gpt2", "llama"}:

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

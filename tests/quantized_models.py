"""Models to quantize, and how their matrices are held afterwards."""

import numpy as np

import attendo as at

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

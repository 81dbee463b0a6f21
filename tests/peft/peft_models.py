"""Models of every kind, small, for what is attached to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import attendo as at
from layer_check import randomized

V = 30
IDS = np.random.default_rng(0).integers(1, V, (3, 9))
IMAGES = np.random.default_rng(0).standard_normal((2, 3, 8, 8))

MODELS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "gpt2": (
        lambda **o: at.models.DecoderLM(
            V, 16, 4, 2, 32, norm_first=True, positions="learned", tie_weights=True, activation="gelu",
            scale_embeddings=False, **o
        ),
        (IDS,),
    ),
    "llama": (
        lambda **o: at.models.DecoderLM(
            V, 16, 4, 2, 32, norm_first=True, norm="rms", positions="rotary", activation="swiglu",
            num_kv_heads=2, bias=False, head_bias=False, **o,
        ),
        (IDS,),
    ),
    "translator": (lambda **o: at.models.Transformer(16, 4, 2, 2, 24, V, V, 32, **o), (IDS, IDS[:, :5])),
    "t5": (
        lambda **o: at.models.Transformer(
            16, 4, 2, 2, 24, V, V, 32, positions="t5", norm="rms", norm_first=True, bias=False,
            shared_embeddings=True, tie_weights=True, **o,
        ),
        (IDS, IDS[:, :5]),
    ),
    "bert": (lambda **o: at.models.MaskedLM(V, 16, 4, 2, max_len=32, **o), (IDS,)),
    "encoder": (lambda **o: at.models.TextEncoder(V, 16, 4, 2, max_len=32, **o), (IDS,)),
    "classifier": (lambda **o: at.models.EncoderClassifier(V, 16, 4, 2, 32, 5, **o), (IDS,)),
    "vision": (lambda **o: at.models.VisionTransformer(8, 4, 16, 4, 2, num_classes=5, **o), (IMAGES,)),
    "recommender": (lambda **o: at.models.SequenceRecommender(V - 1, 16, 4, 2, 12, **o), (IDS,)),
    "xl": (lambda **o: at.models.TransformerXL(V, 16, 4, 2, memory_length=4, **o), (IDS,)),
}  # fmt: skip
# Without attention in heads: linear layers of other kinds.
OTHERS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "cnn": (
        lambda **o: at.models.CnnAttention(3, 5, 8, channels=(4, 6), features=8, attention_features=7, **o),
        (IMAGES,),
    ),
    "lstm": (lambda **o: at.models.LstmAttention(V, 5, 8, 9, attention_features=7, **o), (IDS,)),
    "seq2seq": (
        lambda **o: at.models.Seq2Seq(V, V, 8, 10, attention="luong", bidirectional=True, **o),
        (IDS, IDS[:, :5]),
    ),
    "two kinds of input": (
        lambda **o: at.models.CrossModalClassifier(V, 5, 8, 4, 8, 2, 12, **o),
        (IDS[:2], IMAGES),
    ),
}
DECODERS = ("gpt2", "llama", "translator", "t5")


def made(name: str, dtype: str = "float64", seed: int = 0) -> Any:
    """The model with random numbers in every parameter, in evaluation mode."""
    return randomized((MODELS | OTHERS)[name][0](dtype=dtype), seed).eval()


def inputs_of(name: str, dtype: str = "float64") -> tuple[Any, ...]:
    return tuple(x.astype(dtype) if x.dtype.kind == "f" else x for x in (MODELS | OTHERS)[name][1])


def output(model: Any, name: str) -> at.Tensor:
    dtype = next(p.dtype for p in model.parameters() if p.dtype.kind == "f")
    y = model(*inputs_of(name, str(dtype)))
    return y[0] if isinstance(y, tuple) else y


def moved(model: Any, seed: int = 1) -> Any:
    """The model with random numbers in all that trains."""
    rng = np.random.default_rng(seed)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    state = model.state_dict()
    for name in sorted(trained):
        value = state[name]
        state[name] = (0.3 * rng.standard_normal(value.shape)).astype(value.dtype)
    model.load_state_dict(state)
    return model


def decoded(model: Any, name: str, beams: int = 1) -> tuple[Any, Any]:
    """Six tokens, on the cache and without it."""
    if name in {"gpt2", "llama"}:

        def step(ids: Any) -> Any:
            return model(ids).numpy()[:, -1]

        got = model.generate(IDS, max_new_tokens=6, num_beams=beams)
        return got, at.models.generate(step, IDS, max_new_tokens=6, num_beams=beams)

    def step_of(ids: Any) -> Any:
        return model(np.repeat(IDS[:1], len(ids), axis=0), ids).numpy()[:, -1]

    got = model.generate(IDS[:1], max_new_tokens=6, bos_id=1, eos_id=2, num_beams=beams)
    expected = at.models.generate(step_of, [[1]], max_new_tokens=6, eos_id=2, pad_id=0, num_beams=beams)
    return got, expected

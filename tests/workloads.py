"""What the package must be fast at: attention, training steps, single operations.

Each is there in full and cut down, so that a run on one thread takes a fraction of a second and yet has
work for several. A workload is a function: it computes from the seeds alone and returns every result by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

import attendo as at

Array: TypeAlias = np.ndarray[Any, Any]
Results: TypeAlias = dict[str, Array]


def normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


# -------------------------------------------------------------------------------------------------- attention


@dataclass(frozen=True)
class Attention:
    batch: int
    heads: int
    length: int
    d: int
    causal: bool = False
    dropout: float = 0.0
    padding: bool = False  # half of the keys
    kv_heads: int = 0  # as many as heads, where it is not given
    return_weights: bool = False

    def cut_down(self) -> Attention:
        kv_heads = min(self.kv_heads, 2)
        heads = 4 * kv_heads or min(self.heads, 4)
        return replace(
            self, batch=min(self.batch, 3), heads=heads, length=min(self.length, 500), kv_heads=kv_heads
        )

    def __call__(self, backward: bool = True) -> Results:
        """The output, the weights where they are asked for, and the gradients."""
        kv_heads = self.kv_heads or self.heads
        shapes = {"q": self.heads, "k": kv_heads, "v": kv_heads}
        inputs = {
            name: at.tensor(normal(i, self.batch, h, self.length, self.d), requires_grad=backward)
            for i, (name, h) in enumerate(shapes.items())
        }
        mask = at.masks.causal() if self.causal else None
        if self.padding:
            lengths = np.resize([self.length // 4, self.length // 2, 3 * self.length // 4], self.batch)
            mask = at.masks.lengths(lengths)
        result = at.attention(
            *inputs.values(),
            mask=mask,
            dropout=self.dropout,
            generator=at.Generator(7) if self.dropout else None,
            return_weights=self.return_weights,
        )
        out, *weights = result if self.return_weights else (result,)
        results = {"out": out.numpy()}
        if weights:
            results["weights"] = weights[0].numpy()
        if backward:
            loss = (out * normal(3, *out.shape)).sum()
            for w in weights:
                loss = loss + (w * normal(4, *w.shape)).sum()
            loss.backward()
            results |= {f"d_{name}": tensor.grad.numpy() for name, tensor in inputs.items()}
        return results


ATTENTION = {
    "1, 8, 1024, 64": Attention(1, 8, 1024, 64),
    "1, 8, 1024, 64 causal": Attention(1, 8, 1024, 64, causal=True),
    "1, 8, 4096, 64": Attention(1, 8, 4096, 64),
    "1, 8, 4096, 64 causal": Attention(1, 8, 4096, 64, causal=True),
    "8, 8, 128, 64": Attention(8, 8, 128, 64),
    "32, 4, 64, 32 causal": Attention(32, 4, 64, 32, causal=True),
    "1, 8, 2048, 128 causal": Attention(1, 8, 2048, 128, causal=True),
    "1, 1, 2048, 64": Attention(1, 1, 2048, 64),
    "8, 8, 512, 64 dropout": Attention(8, 8, 512, 64, dropout=0.1),
    "8, 8, 512, 64 lengths": Attention(8, 8, 512, 64, padding=True),
    "2, 32 / 8, 1024, 64 causal": Attention(2, 32, 1024, 64, causal=True, kv_heads=8),
    "8, 8, 512, 64 weights": Attention(8, 8, 512, 64, return_weights=True),
}


# --------------------------------------------------------------------------------------------- training steps


@dataclass(frozen=True)
class Training:
    """`build(size, batch)` gives model, loss, inputs and target, enough of them for `steps` steps."""

    build: Callable[[dict[str, int], int], tuple[Any, Any, tuple[Array, ...], Array]]
    batch: int
    full: dict[str, int]
    small: dict[str, int]  # instead of what stands in full; batch too

    def cut_down(self) -> Training:
        small = dict(self.small)
        batch = small.pop("batch", self.batch)
        return replace(self, batch=batch, full={**self.full, **small})

    def trainer(self, steps: int = 2) -> tuple[Any, tuple[Array, ...], Array]:
        model, loss, inputs, target = self.build(self.full, self.batch * steps)
        return at.train.Trainer(model, loss, at.optim.Adam(lr=1e-3), seed=5), inputs, target

    def __call__(self, steps: int = 2) -> Results:
        """The losses and the parameters after some steps with Adam."""
        trainer, inputs, target = self.trainer(steps)
        history = trainer.fit(inputs, target, epochs=1, batch_size=self.batch, progress=False)
        return {"loss": np.asarray(history["step_loss"]), **trainer.model.state_dict()}


def token_ids(seed: int, high: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(1, high, shape)


def decoder_lm(size: dict[str, int], samples: int, dropout: float = 0.0) -> Any:
    ids = token_ids(0, size["vocabulary"], samples, size["s"] + 1)
    model = at.models.DecoderLM(
        size["vocabulary"], size["d"], size["heads"], size["layers"], size["s"], dropout=dropout, seed=1
    )
    return model, at.losses.CrossEntropy(), (ids[:, :-1],), ids[:, 1:]


def decoder_lm_dropout(size: dict[str, int], samples: int) -> Any:
    return decoder_lm(size, samples, dropout=0.1)


def transformer(size: dict[str, int], samples: int) -> Any:
    d, s, vocabulary = size["d"], size["s"], size["vocabulary"]
    src, tgt = token_ids(0, vocabulary, samples, s), token_ids(1, vocabulary, samples, s + 1)
    src[::2, s // 2 :] = 0  # padding
    model = at.models.Transformer(
        d,
        size["heads"],
        size["layers"],
        size["layers"],
        4 * d,
        vocabulary,
        vocabulary,
        s,
        dropout=0.1,
        seed=1,
    )
    return model, at.losses.CrossEntropy(ignore_index=0), (src, tgt[:, :-1]), tgt[:, 1:]


def cnn_attention(size: dict[str, int], samples: int) -> Any:
    images = normal(0, samples, 3, size["pixels"], size["pixels"])
    model = at.models.CnnAttention(3, 10, size["pixels"], seed=1)
    return model, at.losses.CrossEntropy(), (images,), token_ids(1, 10, samples)


class RecurrentClassifier(at.nn.Module):
    """Embedding, LSTM or GRU, attention that pools over the positions, linear."""

    def __init__(self, cell: Any, features: int, vocabulary: int) -> None:
        super().__init__()
        self.embedding = at.nn.Embedding(vocabulary, features)
        self.rnn = cell(features, features)
        self.score = at.nn.Linear(features, 1)
        self.out = at.nn.Linear(features, 2)

    def forward(self, x: Any) -> Any:
        h, _ = self.rnn(self.embedding(x))  # (B, S, H)
        weights = at.functional.softmax(self.score(at.functional.tanh(h)), axis=1)  # (B, S, 1)
        return self.out((weights * h).sum(axis=1))


def recurrent_classifier(
    cell: Any, size: dict[str, int], n: int
) -> tuple[Any, Any, tuple[Array, ...], Array]:
    model = RecurrentClassifier(cell, size["features"], size["vocabulary"])
    model.reset_parameters(1)
    x = token_ids(0, size["vocabulary"], n, size["s"])
    return model, at.losses.CrossEntropy(), (x,), token_ids(1, 2, n)


def word2vec(size: dict[str, int], n: int) -> tuple[Any, Any, tuple[Array, ...], Array]:
    model = at.models.Word2Vec(size["vocabulary"], size["features"], num_negatives=5, seed=1)
    words, targets = (token_ids(seed, size["vocabulary"], n) for seed in (0, 1))
    return model, at.losses.Mean(), (words, targets), targets


TRAINING = {
    "decoder LM d 32": Training(
        decoder_lm, 8, {"d": 32, "heads": 2, "layers": 1, "s": 16, "vocabulary": 100}, {}
    ),
    "decoder LM d 64": Training(
        decoder_lm, 32, {"d": 64, "heads": 4, "layers": 2, "s": 32, "vocabulary": 1000}, {"batch": 16}
    ),
    "decoder LM d 128": Training(
        decoder_lm,
        32,
        {"d": 128, "heads": 4, "layers": 4, "s": 64, "vocabulary": 1000},
        {"batch": 8, "layers": 1},
    ),
    "decoder LM d 128 dropout": Training(
        decoder_lm_dropout,
        32,
        {"d": 128, "heads": 4, "layers": 4, "s": 64, "vocabulary": 1000},
        {"batch": 8, "layers": 1},
    ),
    "decoder LM d 256": Training(
        decoder_lm,
        16,
        {"d": 256, "heads": 8, "layers": 4, "s": 128, "vocabulary": 1000},
        {"batch": 4, "layers": 1},
    ),
    "decoder LM d 512": Training(
        decoder_lm,
        8,
        {"d": 512, "heads": 8, "layers": 6, "s": 128, "vocabulary": 1000},
        {"batch": 2, "layers": 1},
    ),
    "encoder-decoder d 128": Training(
        transformer,
        32,
        {"d": 128, "heads": 4, "layers": 2, "s": 64, "vocabulary": 1000},
        {"batch": 6, "layers": 1},
    ),
    "CNN + attention": Training(cnn_attention, 64, {"pixels": 64}, {"batch": 3, "pixels": 20}),
    "classifier with LSTM": Training(
        lambda size, n: recurrent_classifier(at.nn.LSTM, size, n),
        32,
        {"features": 64, "s": 100, "vocabulary": 10_000},
        {"batch": 9, "s": 7, "features": 20, "vocabulary": 50},
    ),
    "classifier with GRU": Training(
        lambda size, n: recurrent_classifier(at.nn.GRU, size, n),
        32,
        {"features": 64, "s": 100, "vocabulary": 10_000},
        {"batch": 9, "s": 7, "features": 20, "vocabulary": 50},
    ),
    "Word2Vec": Training(
        word2vec,
        1024,
        {"vocabulary": 30_000, "features": 64},
        {"batch": 100, "vocabulary": 300, "features": 9},
    ),
}

# ------------------------------------------------------------------------------------------ single operations


@dataclass(frozen=True)
class Operation:
    """`call(*inputs)`, inputs of the shapes; a shape of ints below a number is written (high, shape)."""

    call: Callable[..., Any]
    full: tuple[Any, ...]
    small: tuple[Any, ...]

    def cut_down(self) -> Operation:
        return replace(self, full=self.small)

    def __call__(self) -> Results:
        """The output and the gradients of the float inputs."""
        inputs: list[Any] = []
        for i, shape in enumerate(self.full):
            if isinstance(shape[-1], tuple):
                inputs.append(token_ids(i, shape[0], *shape[1]))
            else:
                inputs.append(at.tensor(normal(i, *shape), requires_grad=True))
        out = self.call(*inputs)
        out.backward(normal(99, *out.shape))
        tensors = {str(i): x for i, x in enumerate(inputs) if isinstance(x, at.Tensor)}
        return {"out": out.numpy(), **{f"d_{i}": x.grad.numpy() for i, x in tensors.items()}}


def gemm(m: int, n: int, k: int) -> tuple[Any, ...]:
    return (m, k), (k, n)


def linear_gelu(x: Any, weight: Any, bias: Any) -> Any:
    return at.functional.gelu(at.functional.linear(x, weight, bias))


OPERATIONS = {
    "GEMM 64": Operation(at.functional.matmul, gemm(64, 64, 64), gemm(64, 64, 64)),
    "GEMM 256": Operation(at.functional.matmul, gemm(256, 256, 256), gemm(256, 256, 256)),
    "GEMM 2048 x 256 x 64": Operation(at.functional.matmul, gemm(2048, 256, 64), gemm(2048, 256, 64)),
    "GEMM 2048": Operation(at.functional.matmul, gemm(2048, 2048, 2048), gemm(517, 390, 450)),
    "linear + GELU": Operation(
        linear_gelu, ((2048, 256), (1024, 256), (1024,)), ((512, 256), (300, 256), (300,))
    ),
    "layer norm": Operation(
        lambda x, w, b: at.functional.layer_norm(x, w, b),
        ((4096, 256), (256,), (256,)),
        ((4096, 256), (256,), (256,)),
    ),
    "cross-entropy": Operation(
        at.functional.cross_entropy, ((2048, 30_000), (30_000, (2048,))), ((300, 5000), (5000, (300,)))
    ),
    "embedding": Operation(
        lambda ids, weight: at.functional.embedding(ids, weight),
        ((30_000, (8192,)), (30_000, 256)),
        ((2000, (8192,)), (2000, 64)),
    ),
}

ALL: dict[str, Attention | Training | Operation] = {**ATTENTION, **TRAINING, **OPERATIONS}

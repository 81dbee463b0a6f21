"""Training steps: forward, loss, backward, Adam; ours by Trainer.fit, PyTorch's by the usual loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.harness import Case, Missing, Results, Side, Workload, draw, fastest

Array = NDArray[Any]

RATE = 1e-4
BATCHES = 4  # different ones, then from the beginning
CHECKED_STEPS = 2


def take(arrays: Sequence[Array], rows: int) -> tuple[Array, ...]:
    """So many rows of each, from the beginning again when there are no more."""
    return tuple(np.resize(x, (rows, *x.shape[1:])) for x in arrays)


def ours_side(
    make: Callable[[], Any],
    inputs: Sequence[Array],
    target: Array,
    batch: int,
    seed: int,
    loss: str = "CrossEntropy",
) -> Side:
    """`make` makes the model, and raises Missing where this build has not got it."""
    import attendo as at

    def trainer() -> Any:
        model = make()
        state = model.state_dict()
        model.load_state_dict({name: draw(name, x.shape, seed, x.dtype) for name, x in state.items()})
        return at.train.Trainer(model, getattr(at.losses, loss)(), at.optim.Adam(lr=RATE), seed=seed)

    def fit(of: Any, steps: int, data: tuple[Array, ...]) -> Any:
        one = data[:-1] if len(data) > 2 else data[0]
        return of.fit(one, data[-1], epochs=1, batch_size=batch, shuffle=False, progress=False)

    trained = trainer()
    prepared: dict[int, tuple[Array, ...]] = {}

    def run(n: int) -> None:
        if n not in prepared:
            prepared[n] = take([*inputs, target], n * batch)
        fit(trained, n, prepared[n])

    def steps() -> tuple[Any, Array]:
        fresh = trainer()
        history = fit(fresh, CHECKED_STEPS, take([*inputs, target], CHECKED_STEPS * batch))
        return fresh.model, np.asarray(history["step_loss"], dtype=np.float64)

    def bits() -> Results:
        model, losses = steps()
        return {"loss": losses, **model.state_dict()}

    return Side(run, lambda: {"loss": steps()[1]}, "Trainer.fit", bits)


def peer_side(
    make: Callable[[], Any],
    inputs: Sequence[Array],
    target: Array,
    batch: int,
    seed: int,
    *,
    double: bool = False,
    adams: Sequence[str] = ("fused", "foreach"),
) -> Side:
    """`make` makes the PyTorch model; the fastest of the Adams is used."""
    import torch
    from torch.nn import functional

    from bench.peers import set_weights

    kind = torch.float64 if double else torch.float32
    data = [torch.from_numpy(x) for x in take([*inputs, target], BATCHES * batch)]
    data = [x.to(kind) if x.is_floating_point() else x for x in data]
    batches = list(zip(*(x.split(batch) for x in data), strict=True))

    def trained(**options: Any) -> Callable[[int], list[Any]]:
        model = make()
        set_weights(model, seed)
        model.to(kind).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=RATE, **options)

        def run(n: int) -> list[Any]:
            losses = []
            for i in range(n):
                *x, y = batches[i % BATCHES]
                optimizer.zero_grad(set_to_none=True)
                logits = model(*x)
                loss = functional.cross_entropy(logits.flatten(0, -2), y.flatten())
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            return losses

        return run

    def result() -> Results:
        return {"loss": np.array([float(x) for x in trained(foreach=True)(CHECKED_STEPS)])}

    ways = {name: trained(**{name: True}) for name in adams}
    name = fastest(ways) if len(ways) > 1 else adams[0]
    return Side(ways[name], result, f"Adam({name}=True)")


def case(
    ours: Callable[[float], Any],
    peer: Callable[[float], Any],
    inputs: Sequence[Array],
    target: Array,
    batch: int,
    seed: int,
    flops: float | None,
    dropout: float = 0.0,
) -> Case:
    """`ours` and `peer` make the models with a dropout; they are compared without any, and timed with it."""

    def our_side(p: float) -> Side:
        return ours_side(lambda: ours(p), inputs, target, batch, seed)

    def torch_side(p: float, **options: Any) -> Side:
        return peer_side(lambda: peer(p), inputs, target, batch, seed, **options)

    def our_timed() -> Side:
        side = our_side(dropout)
        return replace(side, result=our_side(0.0).result) if dropout else side

    def torch_timed() -> Side:
        side = torch_side(dropout)
        return replace(side, result=torch_side(0.0, adams=["foreach"]).result) if dropout else side

    return Case(
        our_timed,
        torch_timed,
        flops,
        reference=lambda: torch_side(0.0, double=True, adams=["foreach"]).result(),
    )


# ------------------------------------------------------------------------------------------------- the models


def ids(seed: int, vocabulary: int, batch: int, length: int) -> Array:
    """Batches of token ids; 0, which is padding in some models, is not among them."""
    return np.random.default_rng(seed).integers(1, vocabulary, (BATCHES * batch, length))


def layer_flops(tokens: float, d: int, length: float, cross: bool = False) -> float:
    """One layer forward: projections 4 d², feed-forward 8 d², and attention over `length` keys."""
    attention = 2.0 * tokens * (4 * d * d + 2 * length * d)
    return attention * (2 if cross else 1) + 2.0 * tokens * 8 * d * d


def decoder_lm(
    seed: int,
    d_model: int,
    num_heads: int,
    num_layers: int,
    length: int,
    batch: int,
    vocabulary: int,
    dropout: float = 0.0,
) -> Case:
    size: dict[str, Any] = {
        "vocab_size": vocabulary,
        "d_model": d_model,
        "num_heads": num_heads,
        "num_layers": num_layers,
        "max_len": length,
    }

    def ours(p: float) -> Any:
        import attendo as at

        if not hasattr(at.models, "DecoderLM"):
            raise Missing("at.models.DecoderLM")
        return at.models.DecoderLM(**size, dff=4 * d_model, dropout=p)

    def peer(p: float) -> Any:
        from bench import peers

        return peers.DecoderLM(**size, dropout=p)

    tokens = batch * length
    # Backward is twice forward; causal attention sees half of the keys.
    forward = num_layers * layer_flops(tokens, d_model, length / 2) + 2.0 * tokens * d_model * vocabulary
    x, y = ids(seed, vocabulary, batch, length), ids(seed + 1, vocabulary, batch, length)
    return case(ours, peer, [x], y, batch, seed, 3 * forward, dropout)


def encoder_decoder(seed: int) -> Case:
    d_model, num_heads, num_layers, length, batch, vocabulary = 128, 4, 2, 64, 32, 1000

    def ours(p: float) -> Any:
        import attendo as at

        return at.models.Transformer(
            d_model,
            num_heads,
            num_layers,
            num_layers,
            4 * d_model,
            vocabulary,
            vocabulary,
            length,
            dropout=p,
        )

    def peer(p: float) -> Any:
        from bench import peers

        return peers.Transformer(vocabulary, d_model, num_heads, num_layers, length, p)

    tokens = batch * length
    forward = num_layers * layer_flops(tokens, d_model, length)
    forward += num_layers * layer_flops(tokens, d_model, 0.75 * length, cross=True)
    forward += 2.0 * tokens * d_model * vocabulary
    source, target = ids(seed, vocabulary, batch, length), ids(seed + 1, vocabulary, batch, length)
    shifted = np.concatenate([np.ones_like(target[:, :1]), target[:, :-1]], axis=1)
    return case(ours, peer, [source, shifted], target, batch, seed, 3 * forward, dropout=0.1)


def cnn_attention(seed: int) -> Case:
    batch, classes = 64, 10

    def ours(_: float) -> Any:
        import attendo as at

        return at.models.CnnAttention(3, classes, 64)

    def peer(_: float) -> Any:
        from bench import peers

        return peers.CnnAttention(3, classes)

    positions = batch * 16 * 16
    forward = 2.0 * batch * 9 * (64 * 64 * 3 * 64 + 32 * 32 * 64 * 128)
    forward += 2.0 * positions * (128 * 512 + 3 * 512 * 256 + 256 * 256 + 2 * 256 * 256)
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((BATCHES * batch, 3, 64, 64), dtype=np.float32)
    return case(ours, peer, [images], rng.integers(0, classes, BATCHES * batch), batch, seed, 3 * forward)


# d_model, heads, layers, length, batch, vocabulary, dropout, and the ratio wanted
LANGUAGE_MODELS: list[tuple[int, int, int, int, int, int, float, float]] = [
    (32, 2, 1, 16, 8, 100, 0.0, 6.0),
    (64, 4, 2, 32, 32, 1000, 0.0, 2.2),
    (128, 4, 4, 64, 32, 1000, 0.0, 1.7),
    (128, 4, 4, 64, 32, 1000, 0.1, 2.5),
    (256, 8, 4, 128, 16, 1000, 0.0, 1.7),
    (512, 8, 6, 128, 8, 1000, 0.0, 1.45),
]


def workloads() -> list[Workload]:
    found = []
    for *size, dropout, target in LANGUAGE_MODELS:
        d, heads, layers, length, batch, vocabulary = (int(n) for n in size)
        name = f"decoder LM, d {d}, {heads} heads, {layers} layer{'s' * (layers > 1)}, s {length}, b {batch}"
        found.append(
            Workload(
                name + (f", dropout {dropout}" if dropout else ""),
                target,
                lambda seed, size=(d, heads, layers, length, batch, vocabulary), p=dropout: decoder_lm(  # type: ignore[misc]
                    seed, *size, dropout=p
                ),
                quick_check=d < 128,
            )
        )
    name = "encoder-decoder, d 128, 4 heads, 2 + 2 layers, s 64 / 64, b 32, dropout 0.1"
    found.append(Workload(name, 2.5, encoder_decoder, quick_check=False))
    found.append(Workload("CNN + attention, 64 × 3 × 64 × 64", 1.2, cnn_attention, quick_check=False))
    return found

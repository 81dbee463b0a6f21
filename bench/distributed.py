"""Steps a second of processes that share a batch, and how much of the waiting the overlap hides.

    mpiexec -n 2 python -m bench.distributed [--threads 1] [--steps 30]

The model is a decoder of 14 million parameters, the whole batch 16 sequences of 64 tokens however many
processes there are. ``overlapped`` sends gradients while backward runs, ``at the end`` all of them after it
(one bucket); ``alone`` is each process computing its share and talking to nobody: the difference to it is
what talking costs. ``one process`` has the whole batch and the threads of all of them.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import attendo as at

SEQUENCES, LENGTH, VOCABULARY = 16, 64, 4000


def trainer(distributed: at.train.Distributed | None) -> at.train.Trainer:
    model = at.models.DecoderLM(VOCABULARY, d_model=384, num_heads=6, num_layers=6, max_len=LENGTH, seed=0)
    optimizer = at.optim.AdamW(lr=1e-4)
    return at.train.Trainer(model, at.losses.CrossEntropy(), optimizer, distributed=distributed)


def seconds_a_step(
    distributed: at.train.Distributed | None, batch_size: int, steps: int
) -> tuple[float, float]:
    """The time of a step, and that spent waiting for sums after backward."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, VOCABULARY, (SEQUENCES * steps, LENGTH + 1))
    if distributed is None:
        ids = ids[: batch_size * steps]
    one = trainer(distributed)
    one.fit(ids[:SEQUENCES, :-1], ids[:SEQUENCES, 1:], batch_size=batch_size, progress=False)  # first touch
    waited = distributed.statistics["seconds_waited"] if distributed else 0.0
    start = time.perf_counter()
    one.fit(ids[:, :-1], ids[:, 1:], batch_size=batch_size, progress=False)
    seconds = time.perf_counter() - start
    waited = distributed.statistics["seconds_waited"] - waited if distributed else 0.0
    return seconds / steps, waited / steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()
    overlapped = at.train.Distributed(threads=args.threads)
    at_the_end = at.train.Distributed(threads=args.threads, bucket_bytes=1 << 40)
    share = -(-SEQUENCES // overlapped.size)
    rows = {
        "overlapped": seconds_a_step(overlapped, share, args.steps),
        "at the end": seconds_a_step(at_the_end, share, args.steps),
        "alone": seconds_a_step(None, share, args.steps),
    }
    if overlapped.is_main:
        at.set_num_threads(args.threads * overlapped.size)
        rows["one process"] = seconds_a_step(None, SEQUENCES, args.steps)
    overlapped.wait_for_all()
    if overlapped.is_main:
        size = sum(p.size for p in trainer(None).model.parameters()) * 4 / 1e6
        print(f"{overlapped.size} processes, {args.threads} threads each, {size:.0f} MB of gradients")
        print(
            f"{overlapped.statistics['sent_early']} of {overlapped.statistics['buckets']} buckets sent early"
        )
        for name, (step, waited) in rows.items():
            print(
                f"{name:12} {1e3 * step:8.1f} ms a step, {1e3 * waited:6.1f} ms of it waiting after backward"
            )


if __name__ == "__main__":
    main()

"""A run of fine-tuning that was interrupted ends as one that was not: with what was attached, to the bit."""

import numpy as np
import pytest
from peft_models import IDS

import attendo as at
from tolerance import assert_same_bits

X, Y = np.tile(IDS[:, :-1], (4, 1)), np.tile(IDS[:, 1:], (4, 1))


class Stop(Exception):
    pass


class StopAt(at.callbacks.Callback):
    def on_batch_end(self, trainer, info):
        if info["step"] == 5:
            raise Stop


def trainer():
    model = at.models.DecoderLM(30, 16, 4, 2, 32, dropout=0.1, seed=0)
    at.peft.adapters(at.peft.lora(model, 2, dropout=0.2, also="generator", seed=0), 4, targets="feed_forward")
    model.reset_parameters(seed=1)
    return at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.AdamW(lr=0.01), seed=3)


@pytest.mark.parametrize("given", [False, True])
def test_resumed_it_ends_alike(given, tmp_path):
    whole = trainer()
    whole.fit(X, Y, epochs=3, batch_size=4, progress=False)
    half = trainer()
    with pytest.raises(Stop):
        half.fit(
            X, Y, epochs=3, batch_size=4, progress=False,
            callbacks=[at.callbacks.Checkpoint(tmp_path, every_steps=1), StopAt()],
        )  # fmt: skip
    again = at.train.resume(tmp_path, model=trainer().model if given else None)
    flags = {n: p.requires_grad for n, p in whole.model.named_parameters()}
    assert {n: p.requires_grad for n, p in again.model.named_parameters()} == flags
    again.fit(X, Y, progress=False)
    for name, value in whole.model.state_dict().items():
        assert_same_bits(again.model.state_dict()[name], value, name)

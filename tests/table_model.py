"""A language model that is a few tables, for decoding: in NumPy, and as transformers runs it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

ORDER = 3


def tables(vocabulary: int, seed: int, sharpness: float = 2.0) -> Any:
    """float32 (ORDER, V, V): the logits are the sum of a row of each, of the last tokens."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((ORDER, vocabulary, vocabulary)) * sharpness).astype(np.float32)


def logits_of(table: Any, ids: Any) -> Any:
    """(rows, T) -> (rows, V)"""
    out = np.zeros((len(ids), table.shape[1]), np.float32)
    for back in range(min(ORDER, ids.shape[1])):
        out = out + table[back][ids[:, -1 - back]]
    return out


def ragged_logits(table: Any, ids: Any, lengths: Any) -> Any:
    return np.concatenate([logits_of(table, ids[r : r + 1, :n]) for r, n in enumerate(lengths)])


def step_of(table: Any) -> Any:
    def step(ids: Any, lengths: Any = None) -> Any:
        return logits_of(table, ids) if lengths is None else ragged_logits(table, ids, lengths)

    return step


def import_transformers() -> Any:
    """Or a skip. Its own warnings are none of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip(
            "transformers", reason="parity is checked where transformers is installed"
        )
        from transformers.generation import logits_process  # noqa: F401
    module.logging.set_verbosity_error()
    return module


def in_transformers(table: Any) -> Any:
    """The same model for transformers' generate."""
    transformers = import_transformers()
    import torch
    from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutputWithPast

    class Config(PretrainedConfig):
        model_type = "tables"

    class Tables(PreTrainedModel, GenerationMixin):
        config_class = Config

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.unused = torch.nn.Parameter(torch.zeros(1))
            self.post_init()

        def forward(self, input_ids: Any, attention_mask: Any = None, **_: Any) -> Any:
            logits = torch.tensor(logits_of(table, input_ids.numpy()))
            return CausalLMOutputWithPast(logits=logits[:, None])

    assert transformers is not None
    return Tables(Config(vocab_size=table.shape[1])).eval()


def generated(model: Any, ids: Any, **options: Any) -> Any:
    """transformers' generate with options by the names of ours: (ids, scores or None)."""
    import torch

    names = {
        "eos_id": "eos_token_id", "pad_id": "pad_token_id", "bad_words": "bad_words_ids",
        "suppress": "suppress_tokens", "forced_bos_id": "forced_bos_token_id",
        "forced_eos_id": "forced_eos_token_id",
    }  # fmt: skip
    given = {names.get(name, name): value for name, value in options.items()}
    given = {"do_sample": False, "use_cache": False, "eos_token_id": None, "pad_token_id": None, **given}
    config_type = import_transformers().GenerationConfig
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        out = model.generate(
            torch.tensor(ids),
            attention_mask=torch.ones_like(torch.tensor(ids)),
            generation_config=config_type(**given, return_dict_in_generate=True, output_scores=True),
        )
    return out

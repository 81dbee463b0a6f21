"""The models of the generation and sentence workloads in transformers, with attendo's weights.

Imports transformers: only a peer's side imports this file.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from bench.harness import Side, draw, fastest, repeated

transformers.logging.set_verbosity_error()

GPT2 = [
    (r"transformer\.wte\.", "embedding."),
    (r"transformer\.wpe\.", "position."),
    (r"transformer\.ln_f\.", "decoder.norm."),
    (r"transformer\.h\.", "decoder.layers."),
    (r"\.ln_1\.", ".norm1."),
    (r"\.ln_2\.", ".norm2."),
    (r"\.attn\.c_attn\.", ".self_attn.in_proj_"),
    (r"\.attn\.c_proj\.", ".self_attn.out_proj."),
    (r"\.mlp\.c_fc\.", ".feed_forward.linear1."),
    (r"\.mlp\.c_proj\.", ".feed_forward.linear2."),
]
BERT = [
    (r"^layer\.", "layers."),
    (r"\.attention\.output\.dense\.", ".self_attn.out_proj."),
    (r"\.attention\.output\.LayerNorm\.", ".norm1."),
    (r"\.intermediate\.dense\.", ".feed_forward.linear1."),
    (r"\.output\.dense\.", ".feed_forward.linear2."),
    (r"\.output\.LayerNorm\.", ".norm2."),
]


def attendo_name(name: str, rules: list[tuple[str, str]]) -> str:
    for pattern, ours in rules:
        name = re.sub(pattern, ours, name)
    return name


def gpt2(shape: tuple[int, ...], seed: int, attention: str = "sdpa") -> Any:
    """shape: vocabulary, d_model, heads, layers, longest."""
    vocabulary, d_model, heads, layers, max_len = shape
    config = transformers.GPT2Config(
        vocab_size=vocabulary,
        n_embd=d_model,
        n_head=heads,
        n_layer=layers,
        n_positions=max_len,
        attn_implementation=attention,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=0,
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            ours = attendo_name(name, GPT2)
            turned = ".h." in name and name.endswith("weight") and parameter.dim() == 2  # Conv1D is (in, out)
            size = tuple(parameter.shape)
            weight = torch.from_numpy(draw(ours, size[::-1] if turned else size, seed))
            parameter.copy_(weight.T if turned else weight)
    return model


def last_logits(model: Any, ids: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    with torch.inference_mode():
        return {"logits": model(torch.from_numpy(ids)).logits[:, -1].numpy()}


def in_double(ids: NDArray[np.int64], shape: tuple[int, ...], seed: int) -> dict[str, NDArray[Any]]:
    return last_logits(gpt2(shape, seed).double(), ids)


def generation(ids: NDArray[np.int64], new: int, shape: tuple[int, ...], seed: int) -> Side:
    tokens = torch.from_numpy(ids)
    models = {name: gpt2(shape, seed, name) for name in ("sdpa", "eager")}

    def generate(model: Any) -> None:
        with torch.inference_mode():
            model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=new,
                min_new_tokens=new,
                do_sample=False,
                use_cache=True,
            )

    ways = {name: repeated(functools.partial(generate, model)) for name, model in models.items()}
    way = fastest(ways)
    model = models[way]
    del models, ways
    return Side(repeated(lambda: generate(model)), lambda: last_logits(model, ids), way)


def bert_layers(shape: tuple[int, ...], seed: int, attention: str = "sdpa") -> Any:
    """The encoder of BertModel. shape: d_model, heads, layers, dff."""
    d_model, heads, layers, dff = shape
    config = transformers.BertConfig(
        vocab_size=2,
        hidden_size=d_model,
        num_attention_heads=heads,
        num_hidden_layers=layers,
        intermediate_size=dff,
        layer_norm_eps=1e-5,
        attn_implementation=attention,
    )
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for name, parameter in model.encoder.named_parameters():
            part = re.search(r"\.attention\.self\.(query|key|value)\.(weight|bias)$", name)
            if part:
                stem = re.sub(r"^layer\.", "layers.", name[: part.start()])
                stacked = (3 * d_model, d_model) if part[2] == "weight" else (3 * d_model,)
                weight = draw(f"{stem}.self_attn.in_proj_{part[2]}", stacked, seed)
                weight = np.split(weight, 3)[("query", "key", "value").index(part[1])]
            else:
                weight = draw(attendo_name(name, BERT), tuple(parameter.shape), seed)
            parameter.copy_(torch.from_numpy(weight))
    return model.encoder


def sentences(
    x: NDArray[Any], lengths: NDArray[np.int64], shape: tuple[int, ...], seed: int, double: bool = False
) -> Side:
    hidden = torch.from_numpy(x)
    length = x.shape[1]
    real = torch.arange(length)[None, :] < torch.from_numpy(lengths)[:, None]  # (B, L)
    mask = None if bool(real.all()) else real[:, None, None, :].expand(-1, 1, length, -1)
    ways = {}
    for name in ("sdpa",) if double else ("sdpa", "eager"):
        model = bert_layers(shape, seed, name)
        bias: Any = mask
        if double:
            model, hidden = model.double(), hidden.double()
        if name == "eager" and mask is not None:
            bias = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)

        def encode(model: Any = model, bias: Any = bias, hidden: Any = hidden) -> torch.Tensor:
            with torch.inference_mode():
                out: torch.Tensor = model(hidden, attention_mask=bias)[0]
                return out

        ways[name] = encode
    way = fastest({name: repeated(encode) for name, encode in ways.items()})
    encode = ways[way]
    del ways
    return Side(repeated(encode), lambda: {"out": encode().numpy()[real.numpy()]}, way)

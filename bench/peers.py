"""The models of the training workloads in PyTorch: the same architecture, with attendo's names of parameters.

Imports PyTorch: only a peer's side imports this file.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bench.harness import draw


def attendo_name(name: str) -> str:
    """What attendo calls PyTorch's parameter."""
    name = name.replace("multihead_attn", "cross_attn")
    for linear in ("linear1", "linear2"):
        name = name.replace(f".{linear}.", f".feed_forward.{linear}.")
    return name


def set_weights(model: nn.Module, seed: int) -> None:
    """The weights both sides begin with: they follow from attendo's names."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(draw(attendo_name(name), tuple(parameter.shape), seed)))


def sinusoids(length: int, d_model: int) -> torch.Tensor:
    angle = np.arange(length)[:, None] / 10000 ** (np.arange(0, d_model, 2) / d_model)
    table = np.empty((length, d_model))
    table[:, 0::2], table[:, 1::2] = np.sin(angle), np.cos(angle)
    return torch.from_numpy(table)


class Embedded(nn.Module):
    """√d E[ids] + P, then dropout."""

    position: torch.Tensor

    def __init__(self, d_model: int, length: int, dropout: float) -> None:
        super().__init__()
        self.scale = math.sqrt(d_model)
        self.register_buffer("position", sinusoids(length, d_model).float(), persistent=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, table: nn.Embedding, ids: torch.Tensor) -> torch.Tensor:
        return self.dropout(table(ids) * self.scale + self.position[: ids.shape[1]])


class DecoderLM(nn.Module):
    def __init__(
        self, vocab_size: int, d_model: int, num_heads: int, num_layers: int, max_len: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.embedded = Embedded(d_model, max_len, dropout)
        layer = nn.TransformerEncoderLayer(d_model, num_heads, 4 * d_model, dropout, batch_first=True)
        self.decoder = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)
        self.generator = nn.Linear(d_model, vocab_size)
        self.causal = nn.Transformer.generate_square_subsequent_mask(max_len)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedded(self.embedding, ids)
        # With is_causal and no weights wanted, this takes the flash path and does not read the mask.
        y = self.decoder(x, mask=self.causal.to(x.dtype), is_causal=True)
        return self.generator(y)


class Transformer(nn.Module):
    def __init__(
        self, vocab_size: int, d_model: int, num_heads: int, num_layers: int, max_len: int, dropout: float
    ) -> None:
        super().__init__()
        self.src_embedding = nn.Embedding(vocab_size, d_model)
        self.tgt_embedding = nn.Embedding(vocab_size, d_model)
        self.embedded = Embedded(d_model, max_len, dropout)
        options: dict[str, Any] = {"dropout": dropout, "batch_first": True}
        encoder = nn.TransformerEncoderLayer(d_model, num_heads, 4 * d_model, **options)
        decoder = nn.TransformerDecoderLayer(d_model, num_heads, 4 * d_model, **options)
        self.encoder = nn.TransformerEncoder(encoder, num_layers, enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(decoder, num_layers)
        self.generator = nn.Linear(d_model, vocab_size)
        self.causal = nn.Transformer.generate_square_subsequent_mask(max_len)

    def forward(self, src: torch.Tensor, tgt: torch.Tensor) -> torch.Tensor:
        memory = self.encoder(self.embedded(self.src_embedding, src))
        x = self.embedded(self.tgt_embedding, tgt)
        y = self.decoder(x, memory, tgt_mask=self.causal.to(x.dtype), tgt_is_causal=True)
        return self.generator(y)


class FeatureAttention(nn.Module):
    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.W_Q = nn.Linear(in_features, out_features)
        self.W_K = nn.Linear(in_features, out_features)
        self.W_V = nn.Linear(in_features, out_features)
        self.fc = nn.Linear(out_features, out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (layer(x)[:, None] for layer in (self.W_Q, self.W_K, self.W_V))
        return self.fc(functional.scaled_dot_product_attention(q, k, v)[:, 0])


class CnnAttention(nn.Module):
    """Article 000's classifier, with attention over the positions of an image."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1)
        self.conv2 = nn.Conv2d(64, 128, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(128, 512)
        self.attention = FeatureAttention(512, 256)
        self.fc = nn.Linear(256, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.pool(functional.relu(self.conv1(images)))
        x = self.pool(functional.relu(self.conv2(x)))
        x = functional.relu(self.fc1(x.flatten(2).mT))
        return self.fc(self.attention(x).mean(1))


class RecurrentClassifier(nn.Module):
    """Embedding, LSTM or GRU, attention that pools over time, linear."""

    def __init__(self, cell: str, vocab_size: int, features: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, features)
        self.rnn = getattr(nn, cell)(features, hidden, batch_first=True)
        self.score = nn.Linear(hidden, 1)
        self.out = nn.Linear(hidden, num_classes)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        h = self.rnn(self.embedding(ids))[0]
        weights = torch.softmax(self.score(torch.tanh(h)), dim=1)
        return self.out((weights * h).sum(1))

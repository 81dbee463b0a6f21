"""BERT, and MiniLM, which is one: google-bert/bert-base-uncased, sentence-transformers/all-MiniLM-L6-v2."""

from __future__ import annotations

from .text import Layout, TextFamily

KEYS = {
    "vocab_size": ("vocab_size", 30522),
    "d_model": ("hidden_size", 768),
    "num_layers": ("num_hidden_layers", 12),
    "num_heads": ("num_attention_heads", 12),
    "dff": ("intermediate_size", 3072),
    "max_len": ("max_position_embeddings", 512),
}
PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "out_proj": "attention.output.dense",
    "linear1": "intermediate.dense",
    "linear2": "output.dense",
    "norm1": "attention.output.LayerNorm",
    "norm2": "output.LayerNorm",
}

FAMILY = TextFamily(
    Layout(
        classes={"bert": "Bert"},
        base="bert.",
        keys=KEYS,
        activation="hidden_act",
        dropouts=("hidden_dropout_prob", "attention_probs_dropout_prob"),
        layers="encoder.layer",
        parts=PARTS,
        masked=(
            "cls.predictions.transform.dense",
            "cls.predictions.transform.LayerNorm",
            "cls.predictions.bias",
            "cls.predictions.decoder",
            "cls.predictions.decoder.bias",
        ),
        classifier="classifier",
        pooler="pooler.dense",
        types=True,
        ignored=(
            r"cls\.seq_relationship\.(weight|bias)",
        ),  # of sentence pairs, trained beside the masked tokens
    )
).family()

"""DistilBERT, without token types and pooler: distilbert/distilbert-base-uncased."""

from __future__ import annotations

from .text import Layout, TextFamily

FAMILY = TextFamily(
    Layout(
        classes={"distilbert": "DistilBert"},
        base="distilbert.",
        keys={
            "vocab_size": ("vocab_size", 30522),
            "d_model": ("dim", 768),
            "num_layers": ("n_layers", 6),
            "num_heads": ("n_heads", 12),
            "dff": ("hidden_dim", 3072),
            "max_len": ("max_position_embeddings", 512),
        },
        activation="activation",
        dropouts=("dropout", "attention_dropout"),
        layers="transformer.layer",
        parts={
            "q": "attention.q_lin",
            "k": "attention.k_lin",
            "v": "attention.v_lin",
            "out_proj": "attention.out_lin",
            "linear1": "ffn.lin1",
            "linear2": "ffn.lin2",
            "norm1": "sa_layer_norm",
            "norm2": "output_layer_norm",
        },
        masked=(
            "vocab_transform",
            "vocab_layer_norm",
            "vocab_projector.bias",
            "vocab_projector",
            "vocab_projector.bias",
        ),
        classifier="classifier",
        classifier_pooler="pre_classifier",
        pooler_activation="relu",
        head_dropout=("seq_classif_dropout", 0.2),
        norm_eps=1e-12,
    )
).family()

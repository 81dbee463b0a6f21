"""RoBERTa, and XLM-R, which is one with another vocabulary: FacebookAI/roberta-base, xlm-roberta-base."""

from __future__ import annotations

from .bert import KEYS, PARTS
from .text import Layout, TextFamily

FAMILY = TextFamily(
    Layout(
        classes={"roberta": "Roberta", "xlm-roberta": "XLMRoberta"},
        base="roberta.",
        keys={**KEYS, "vocab_size": ("vocab_size", 50265)},
        activation="hidden_act",
        dropouts=("hidden_dropout_prob", "attention_probs_dropout_prob"),
        layers="encoder.layer",
        parts=PARTS,
        masked=(
            "lm_head.dense",
            "lm_head.layer_norm",
            "lm_head.bias",
            "lm_head.decoder",
            "lm_head.decoder.bias",
        ),
        masked_activation="gelu",
        classifier="classifier.out_proj",
        pooler="pooler.dense",
        classifier_pooler="classifier.dense",
        types=True,
        counts_padding=True,
    )
).family()

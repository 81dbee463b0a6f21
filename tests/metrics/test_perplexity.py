"""Perplexity: closed forms, scikit-learn's log loss, and that batches do not matter."""

from __future__ import annotations

import math

import numpy as np
import pytest

import attendo as at

metrics = at.metrics
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_logits_give_the_number_of_tokens(dtype):
    logits = np.full((2, 5, 37), 3.0, dtype)
    assert metrics.perplexity(logits, RNG.integers(0, 37, (2, 5))) == pytest.approx(37, rel=1e-5)


def test_is_e_to_the_log_loss_of_what_counts():
    log_loss = pytest.importorskip("sklearn.metrics").log_loss
    logits, target, mask = RNG.normal(size=(4, 6, 5)), RNG.integers(0, 5, (4, 6)), RNG.random((4, 6)) < 0.5
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = math.exp(log_loss(target[mask], p[mask], labels=range(5)))
    assert metrics.perplexity(logits, target, mask=mask) == pytest.approx(expected)
    padded = np.where(mask, target, -1)
    assert metrics.perplexity(logits, padded, ignore_index=-1) == pytest.approx(expected)
    assert metrics.perplexity(at.tensor(logits), padded, ignore_index=-1) == pytest.approx(expected)


def test_of_an_impossible_target_it_is_infinite():
    assert metrics.perplexity([[0.0, -np.inf]], [1]) == math.inf
    assert metrics.perplexity([[0.0, -5000.0]], [1]) == math.inf


def test_of_a_model_it_does_not_depend_on_the_batches():
    model = at.models.DecoderLM(
        vocab_size=11, d_model=8, num_heads=2, num_layers=1, max_len=8, dropout=0.5, dtype="float64", seed=0
    )
    ids = RNG.integers(0, 11, (7, 6))
    # Unequal lengths: the mean of the batches' means would be another number.
    target = np.where(np.arange(6) < RNG.integers(1, 7, (7, 1)), RNG.integers(0, 11, (7, 6)), -100)
    expected = metrics.perplexity(model.eval()(ids), target, ignore_index=-100)
    model.train()
    for batch_size in (1, 2, 3, 100):
        got = metrics.model_perplexity(model, ids, target, ignore_index=-100, batch_size=batch_size)
        assert got == pytest.approx(expected, rel=1e-12)
    assert model.training
    masked = metrics.model_perplexity(model, ids, np.maximum(target, 0), mask=target >= 0, batch_size=2)
    assert masked == pytest.approx(expected, rel=1e-12)


def test_of_losses_each_token_counts_the_same():
    assert metrics.perplexity_from_loss(2.0) == pytest.approx(math.e**2)
    assert metrics.perplexity_from_loss([1.0, 3.0], tokens=[30, 10]) == pytest.approx(math.e**1.5)
    assert metrics.perplexity_from_loss([1.0, math.inf], tokens=[30, 0]) == pytest.approx(math.e)
    assert metrics.perplexity_from_loss(1e6) == math.inf
    with pytest.raises(ValueError, match="loss has 2 means: tokens= must say"):
        metrics.perplexity_from_loss([1.0, 2.0])
    for wrong in (-0.1, math.nan):
        with pytest.raises(ValueError, match="must be 0 or more"):
            metrics.perplexity_from_loss(wrong)
    with pytest.raises(ValueError, match="tokens must be integers"):
        metrics.perplexity_from_loss([1.0], tokens=[0])
    with pytest.raises(ValueError, match=r"tokens has shape \(2,\)"):
        metrics.perplexity_from_loss([1.0], tokens=[1, 2])


def test_what_does_not_fit_is_named():
    logits, target = np.zeros((2, 3, 4)), np.zeros((2, 3), int)
    with pytest.raises(ValueError, match=r"perplexity: prediction has shape \(2, 3, 4\) but must be \(2, 2"):
        metrics.perplexity(logits, target[:, :2])
    with pytest.raises(TypeError, match="perplexity: prediction has dtype int64"):
        metrics.perplexity(logits.astype(int), target)
    with pytest.raises(TypeError, match="perplexity: target has dtype float64"):
        metrics.perplexity(logits, target * 1.0)
    with pytest.raises(ValueError, match="perplexity: no target counts"):
        metrics.perplexity(logits, target, ignore_index=0)
    model = at.nn.Linear(4, 4, seed=0)
    with pytest.raises(ValueError, match="model_perplexity: inputs have shape"):
        metrics.model_perplexity(model, np.zeros((3, 4), "float32"), np.zeros(2, int))
    with pytest.raises(ValueError, match="model_perplexity: batch_size is 0"):
        metrics.model_perplexity(model, np.zeros((2, 4), "float32"), np.zeros(2, int), batch_size=0)
    with pytest.raises(ValueError, match="model_perplexity: no target counts"):
        metrics.model_perplexity(model, np.zeros((0, 4), "float32"), np.zeros(0, int))
    assert model.training

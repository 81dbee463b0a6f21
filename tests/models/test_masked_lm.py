"""MaskedLM: against the reference, learning a grammar from hidden words, files."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import check_layer, randomized
from tolerance import assert_close, assert_same_bits

V, D, HEADS, MAX_LEN = 11, 8, 2, 12
IDS = np.random.default_rng(0).integers(0, V, (3, 7))
MASK = np.arange(7) < np.array([[7], [3], [1]])


def masked_lm(seed=0, **options):
    settings = {"dff": 16, "dtype": "float64", **options}
    return randomized(at.models.MaskedLM(V, D, HEADS, 1, MAX_LEN, **settings), seed)


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "lengths"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(dtype, mask):
    check_layer(
        masked_lm(dtype=str(dtype), type_vocab_size=2),
        [IDS],
        lambda x, p: reference.masked_lm(x, p, HEADS, mask),
        lambda d, x, p: (reference.masked_lm_backward(d, x, p, HEADS, mask),),
        call=lambda model, x: model(x, mask),
        scale=100.0,
    )


def test_without_the_tape():
    model = masked_lm().eval()
    with at.no_grad():
        assert_close(
            model(IDS, MASK).numpy()[MASK], model.outputs(IDS, MASK, attentions=True).logits.numpy()[MASK]
        )
    out = model.outputs(IDS, MASK, hidden_states=True)
    assert len(out.hidden_states) == 2 and out.attentions is None
    assert_same_bits(out.last_hidden_state, model.text(IDS, MASK))


@pytest.mark.parametrize("head_activation", ["gelu", "gelu_tanh", "relu", "silu"])
def test_saved_and_loaded_to_the_bit(head_activation, tmp_path):
    model = randomized(at.models.MaskedLM(V, D, HEADS, 2, MAX_LEN, head_activation=head_activation, pad_id=0))
    model.save(tmp_path / "model.safetensors")
    loaded = at.load(tmp_path / "model.safetensors")
    assert type(loaded) is at.models.MaskedLM and loaded.config == model.config
    assert loaded.config["head_activation"] == head_activation
    assert_same_bits(loaded(IDS), model.eval()(IDS))


def sentences(count, rng):
    """Words 5 to 14: each is the one before it plus one, round and round; 1 begins, 2 ends."""
    first = rng.integers(0, 10, (count, 1))
    words = 5 + (first + np.arange(8)) % 10
    return np.concatenate([np.ones((count, 1), int), words, np.full((count, 1), 2)], axis=1)


def test_learns_a_grammar_from_hidden_words():
    """From one word in a hundred right to nearly all: any word is known from those beside it."""
    ids = sentences(1024, np.random.default_rng(0))
    given, targets = at.text.mask_tokens(ids, 15, 3, special=[0, 1, 2, 3], seed=0)
    model = at.models.MaskedLM(15, 32, 4, 2, 10, seed=0)
    test_given, test_targets = at.text.mask_tokens(
        sentences(256, np.random.default_rng(1)), 15, 3, special=[0, 1, 2, 3], seed=1
    )
    hidden = (test_targets != -100) & (test_given == 3)

    def accuracy():
        with at.no_grad():
            logits = model.eval()(test_given).numpy()
        return (logits.argmax(-1) == test_targets)[hidden].mean()

    before = accuracy()
    model.train()
    trainer = at.train.Trainer(
        model, at.losses.CrossEntropy(ignore_index=-100), at.optim.Adam(lr=3e-3), seed=0
    )
    trainer.fit(given, targets, epochs=10, batch_size=32, progress=False)
    assert before < 0.4 and accuracy() > 0.9


def test_trains_with_a_mask_and_types():
    ids = sentences(64, np.random.default_rng(0))
    mask = np.arange(10) < np.random.default_rng(1).integers(3, 11, (64, 1))
    given, targets = at.text.mask_tokens(ids, 15, 3, special=[0, 1, 2, 3], seed=0)
    targets[~mask] = -100
    model = at.models.MaskedLM(15, 16, 2, 1, 10, type_vocab_size=2, seed=0)
    trainer = at.train.Trainer(
        model, at.losses.CrossEntropy(ignore_index=-100), at.optim.Adam(lr=1e-2), seed=0
    )
    history = trainer.fit((given, mask, ids % 2), targets, epochs=5, progress=False)
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"head_activation": "swiglu"}, ValueError, "head_activation is 'swiglu' but must be without a gate"),
        ({"head_activation": "tanh"}, ValueError, "'tanh' but must be 'relu'"),
        ({"vocab_size": 0}, ValueError, "vocab_size is 0"),
        ({"vocab_size": 2**45}, (MemoryError, ValueError), "memory|vocab_size|bad_alloc"),
    ],
)
def test_wrong_constructions(change, error, says):
    arguments = {"vocab_size": V, "d_model": D, "num_heads": 2, "num_layers": 1, "max_len": MAX_LEN}
    with pytest.raises(error, match=says):
        at.models.MaskedLM(**{**arguments, **change})


def test_wrong_inputs():
    with pytest.raises(TypeError, match="mask has dtype int64 but must be bool"):
        masked_lm()(IDS, MASK.astype(int))
    with pytest.raises(ValueError, match="ids holds 11"):
        masked_lm()(IDS + 11 - IDS)

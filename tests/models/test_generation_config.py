"""What a checkpoint says of special ids is what its model decodes with, unless the caller says otherwise."""

import numpy as np
import pytest

import attendo as at
from layer_check import randomized

V = 7


def lm(**generation_config):
    model = randomized(at.models.DecoderLM(V, 8, 2, 1, 32, dtype="float64"), 3).eval()
    model.generation_config = generation_config
    return model


def translator(**generation_config):
    model = randomized(at.models.Transformer(8, 2, 1, 1, 16, V, V, 32, dtype="float64"), 1).eval()
    model.generation_config = generation_config
    return model


PROMPTS = np.array([[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize("beams", [1, 3])
def test_ends_and_padding(beams):
    options = {"max_new_tokens": 12, "num_beams": beams}
    for eos in range(V):
        got = lm(eos_token_id=eos, pad_token_id=5).generate(PROMPTS, **options)
        np.testing.assert_array_equal(got, lm().generate(PROMPTS, eos_id=eos, pad_id=5, **options))
        several = lm(eos_token_id=[eos, 0]).generate(PROMPTS, **options)
        np.testing.assert_array_equal(several, lm().generate(PROMPTS, eos_id=[eos, 0], **options))
        on = lm(eos_token_id=eos).generate(PROMPTS, eos_id=None, **options)
        np.testing.assert_array_equal(on, lm().generate(PROMPTS, **options))
        other = lm(eos_token_id=eos, pad_token_id=5).generate(PROMPTS, eos_id=1, pad_id=2, **options)
        np.testing.assert_array_equal(other, lm().generate(PROMPTS, eos_id=1, pad_id=2, **options))


def test_ids_outside_the_vocabulary_never_come():
    """As GPT-2's 50256 in the config of a small model."""
    free = lm().generate(PROMPTS, max_new_tokens=6)
    model = lm(eos_token_id=50256, bad_words_ids=[[3, 50256]], suppress_tokens=[-1, 99])
    np.testing.assert_array_equal(model.generate(PROMPTS, max_new_tokens=6), free)


def test_forbidden_and_forced():
    free = lm().generate(PROMPTS, max_new_tokens=6)
    often = int(np.bincount(free[:, 2:].ravel()).argmax())
    for config in ({"bad_words_ids": [[often]]}, {"suppress_tokens": [often]}):
        assert not (lm(**config).generate(PROMPTS, max_new_tokens=6)[:, 2:] == often).any()
    forced = lm(forced_bos_token_id=4, forced_eos_token_id=6, eos_token_id=6)
    got = forced.generate(PROMPTS, max_new_tokens=6)
    assert (got[:, 2] == 4).all()
    assert all(6 in row[3:] for row in got.tolist())


def test_streams_end_too():
    model = lm(eos_token_id=2)
    tokens = list(model.stream(PROMPTS, max_new_tokens=12))
    whole = model.generate(PROMPTS, max_new_tokens=12)
    np.testing.assert_array_equal(np.stack(tokens, axis=1), whole[:, 2:])


@pytest.mark.parametrize("beams", [1, 2])
def test_translator(beams):
    src = np.array([[1, 2, 3], [4, 5, 6]])
    model = translator(decoder_start_token_id=1, eos_token_id=2, pad_token_id=0)
    expected = translator().translate(src, bos_id=1, eos_id=2, max_len=9, num_beams=beams)
    np.testing.assert_array_equal(model.translate(src, max_len=9, num_beams=beams), expected)
    whole = model.generate(src, max_new_tokens=9, num_beams=beams)
    np.testing.assert_array_equal(whole[:, 1:], expected)
    assert (whole[:, 0] == 1).all()
    np.testing.assert_array_equal(np.stack(list(model.stream(src, max_len=9)), axis=1),
                                  model.translate(src, max_len=9))  # fmt: skip
    with pytest.raises(TypeError, match="bos_id is missing"):
        translator(eos_token_id=2).translate(src)
    with pytest.raises(TypeError, match="eos_id is missing"):
        translator(decoder_start_token_id=1).translate(src)
    with pytest.raises(ValueError, match="max_new_tokens is"):
        model.generate(src, max_new_tokens=-1)


def test_a_config_that_is_none():
    model = lm()
    model.generation_config = "nonsense"
    assert model.generate(PROMPTS, max_new_tokens=2).shape == (3, 4)
    model.generation_config = {"eos_token_id": {"a": 1}, "bad_words_ids": 3, "pad_token_id": [1, 2]}
    assert model.generate(PROMPTS, max_new_tokens=2).shape == (3, 4)


@pytest.mark.parametrize("beams", [1, 2])
def test_lists_of_unequal_lengths(beams):
    """As padded arrays, and each as alone."""
    lists = [[1, 2, 3], [4], [5, 6]]
    padded = np.array([[1, 2, 3], [4, 0, 0], [5, 6, 0]])
    seq2seq = randomized(at.models.Seq2Seq(V, V, 6, 5, dtype="float64"), 2).eval()
    for model in (translator(), seq2seq):
        options = {"bos_id": 1, "eos_id": 2, "max_len": 8, "num_beams": beams}
        together = model.translate(lists, **options)
        np.testing.assert_array_equal(together, model.translate(padded, **options))
        for row, one in zip(together, lists, strict=True):
            alone = model.translate([one], **options)[0]
            np.testing.assert_array_equal(row[: len(alone)], alone)
    with pytest.raises(TypeError, match="translate: src"):
        translator().translate([[1, 2], ["a"]], bos_id=1, eos_id=2)

"""Decoding on caches: DecoderLM and Transformer against the whole model at every step, and GPT-2."""

import gc
import warnings

import numpy as np
import pytest

import attendo as at
from layer_check import randomized
from table_model import generated, import_transformers

V, MAX_LEN = 11, 16
BEAMS = {"num_beams": 3, "num_return_sequences": 2, "eos_id": 4, "pad_id": 0}
SAMPLES = {"do_sample": True, "seed": 3, "top_k": 6, "temperature": 1.3, "num_return_sequences": 3}
PENALTIES = {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2, "eos_id": [1, 2], "pad_id": 9}
OPTIONS = pytest.mark.parametrize(
    "options", [{}, BEAMS, SAMPLES, PENALTIES, {**BEAMS, **PENALTIES, "early_stopping": True}],
    ids=["greedy", "beams", "samples", "penalties", "all"],
)  # fmt: skip
MODELS = pytest.mark.parametrize(
    "model",
    [
        {}, {"positions": "learned", "tie_weights": True, "norm_first": True}, {"positions": "rotary"},
        {"positions": "rotary", "window": 3, "num_kv_heads": 1, "norm_first": True},
    ],
    ids=["sinusoidal", "learned", "rotary", "window"],
)  # fmt: skip


def decoder_lm(seed=0, **options):
    model = randomized(
        at.models.DecoderLM(V, 8, 2, 2, MAX_LEN, dff=16, dtype="float64", seed=seed, **options), seed
    )
    state = model.state_dict()
    for name, value in state.items():
        value *= 3 if "self_attn" in name else 1
    model.load_state_dict(state)
    return model


def transformer(seed=0, **options):
    settings = {"dropout": 0.0, "dtype": "float64", **options}
    model = randomized(at.models.Transformer(8, 2, 1, 2, 16, V, V, MAX_LEN, **settings), seed)
    state = model.state_dict()
    for name, value in state.items():
        value *= 3 if "cross_attn" in name else 1
    model.load_state_dict(state)
    return model


def ids(*shape, seed=0):
    return np.random.default_rng(seed).integers(1, V, shape)


def last_logits(model):
    """For at.models.generate: the whole model at every step."""

    def step(rows, lengths=None):
        logits = model(rows).numpy()
        last = np.full(len(rows), rows.shape[1]) if lengths is None else lengths
        return logits[np.arange(len(rows)), last - 1]

    return step


RAGGED = [[1, 2, 3, 4], [5], [6, 7], [8, 9, 10, 1]]


@OPTIONS
@MODELS
@pytest.mark.parametrize("given", [ids(4, 1), ids(4, 5), RAGGED], ids=["one", "five", "ragged"])
def test_cached_equals_the_whole_model(given, model, options):
    model = decoder_lm(**model)
    options = {"max_new_tokens": 9, "return_scores": True, **options}
    got, scores = model.generate(given, **options)
    expected, same = at.models.generate(last_logits(model.eval()), given, **options)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_allclose(scores, same, rtol=1e-9)
    assert len(np.unique(got)) > 3


@OPTIONS
@MODELS
def test_a_row_of_unequal_prompts_is_the_row_alone(model, options):
    model = decoder_lm(1, **model)
    options = {"max_new_tokens": 8, "pad_id": 0, **options}
    got = model.generate(RAGGED, **options)
    copies = options.get("num_return_sequences", 1)
    for b, row in enumerate(RAGGED):
        alone = model.generate([row], **options)
        mine = got[copies * b : copies * (b + 1)]
        np.testing.assert_array_equal(mine[:, : alone.shape[1]], alone)
        assert (mine[:, alone.shape[1] :] == options["pad_id"]).all()
    padded = np.array([row + [-7] * (4 - len(row)) for row in RAGGED])
    again = model.generate(padded, lengths=[len(row) for row in RAGGED], **options)
    np.testing.assert_array_equal(again, got)


def test_models_without_layers():
    model = at.models.DecoderLM(V, 8, 2, 0, MAX_LEN, dtype="float64", seed=0)
    for options in ({}, BEAMS):
        expected = at.models.generate(last_logits(model), RAGGED, max_new_tokens=5, **options)
        np.testing.assert_array_equal(model.generate(RAGGED, max_new_tokens=5, **options), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_same_tokens_on_any_number_of_threads(dtype, threads):
    model = randomized(at.models.DecoderLM(V, 16, 2, 2, MAX_LEN, dtype=dtype, seed=0))
    for options in (BEAMS, SAMPLES):
        at.set_num_threads(1)
        expected, scores = model.generate(ids(20, 4), max_new_tokens=9, return_scores=True, **options)
        at.set_num_threads(threads)
        got, same = model.generate(ids(20, 4), max_new_tokens=9, return_scores=True, **options)
        np.testing.assert_array_equal(got, expected)
        np.testing.assert_array_equal(same, scores)


@pytest.mark.parametrize("options", [{}, PENALTIES, SAMPLES], ids=["greedy", "penalties", "samples"])
def test_streams(options):
    model = decoder_lm(2)
    expected = model.generate(RAGGED, max_new_tokens=7, **options)
    stream = model.stream(RAGGED, max_new_tokens=7, **options)
    assert type(stream) is at.models.TokenStream
    columns = list(stream)
    assert all(c.shape == (len(expected),) for c in columns)
    np.testing.assert_array_equal(stream.sequences, expected)


def test_a_stream_keeps_its_model_and_leaves_its_mode_alone():
    expected = decoder_lm(3).generate([[1, 2]], max_new_tokens=5)[0, 2:].tolist()
    stream = decoder_lm(3, dropout=0.5).stream([[1, 2]], max_new_tokens=5)
    gc.collect()
    assert [int(c[0]) for c in stream] == expected
    model = decoder_lm(3, dropout=0.5)
    for _ in model.stream([[1, 2]], max_new_tokens=2):
        assert model.training
    with pytest.raises(ValueError, match=r"^stream: num_beams is 2 but must be 1"):
        model.stream([[1]], max_new_tokens=2, num_beams=2)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"max_new_tokens": 14}, ValueError, "max_new_tokens is 14 but must be 0 to 13: max_len"),
        ({"max_new_tokens": 2**70}, ValueError, "max_new_tokens is .* out of range"),
        ({"eos_id": V}, ValueError, "eos_id is 11 but must be 0 to 10"),
        ({"lengths": [4]}, ValueError, "lengths holds 4 but must hold 1 to 3"),
        ({"top_p": 0.5}, ValueError, "top_p is for sampling"),
        ({"colour": 3}, TypeError, "there is no option 'colour'"),
        ({"suppress": list(range(V))}, ValueError, "every token of row 0 is forbidden"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_options(options, error, says):
    with pytest.raises(error, match=f"^generate: {says}"):
        decoder_lm().generate(ids(1, 3), **{"max_new_tokens": 2, **options})


def test_max_new_tokens_is_asked_for():
    for method in (decoder_lm().generate, decoder_lm().stream):
        with pytest.raises(TypeError, match="max_new_tokens is missing"):
            method(ids(1, 3))
    with pytest.raises(TypeError, match="eos_id is missing"):
        transformer().translate(SRC, bos_id=1)


def test_a_model_that_gives_nan():
    model = decoder_lm()
    state = model.state_dict()
    state["embedding.weight"][:] = np.nan
    model.load_state_dict(state)
    with pytest.raises(ValueError, match=r"^generate: the logits of row 0 hold nan"):
        model.generate(ids(2, 3), max_new_tokens=2, num_beams=2)


# ------------------------------------------------------------------------------------------------ Transformer


SRC = np.array([[3, 4, 5, 6, 7], [8, 9, 0, 0, 0], [2, 0, 3, 4, 0], [5, 5, 5, 5, 5]])


@OPTIONS
@pytest.mark.parametrize("seed", range(3))
def test_translations_equal_the_whole_model(options, seed):
    """Each source alone, so that the prompt can say which it is."""
    model = transformer(seed)
    options = {"return_scores": True, "eos_id": 4, **options}
    got, scores = model.translate(SRC, bos_id=1, **{"pad_id": 0, **options})
    copies = options.get("num_return_sequences", 1)
    for b in range(len(SRC)):
        source = SRC[b : b + 1]

        def step(rows, source=source):
            return model(np.repeat(source, len(rows), axis=0), rows).numpy()[:, -1]

        expected, same = at.models.generate(step, [[1]], max_new_tokens=MAX_LEN, **{"pad_id": 0, **options})
        mine = got[copies * b : copies * (b + 1)]
        np.testing.assert_array_equal(mine[:, : expected.shape[1] - 1], expected[:, 1:])
        assert (mine[:, expected.shape[1] - 1 :] == options.get("pad_id", 0)).all()
        np.testing.assert_allclose(scores[copies * b : copies * (b + 1)], same, rtol=1e-9)


def test_streams_of_translations():
    model = transformer(1)
    for options in ({}, {"do_sample": True, "seed": [1, 2, 3, 4]}):
        expected = model.translate(SRC, bos_id=1, eos_id=4, max_len=8, **options)
        columns = list(model.stream(SRC, bos_id=1, eos_id=4, max_len=8, **options))
        np.testing.assert_array_equal(np.stack(columns, axis=1), expected)


def test_padding_of_translations_is_the_models():
    model = transformer(0, pad_id=7)
    got = model.translate(SRC, bos_id=1, eos_id=[2, 3, 4, 5, 6])
    ends = [next((i for i, t in enumerate(row) if 2 <= t <= 6), len(row)) for row in got]
    assert all((row[end + 1 :] == 7).all() for row, end in zip(got, ends, strict=True))
    assert model.translate(SRC[:0], bos_id=1, eos_id=2, num_beams=2).shape[0] == 0


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"max_new_tokens": 3}, TypeError, "there is no option 'max_new_tokens': give max_len"),
        ({"max_len": 17}, ValueError, "max_len is 17 but must be 1 to 16"),
        ({"eos_id": [2, V]}, ValueError, "eos_id holds 11 but must hold 0 to 10"),
        ({"num_beams": 2, "do_sample": True}, ValueError, "num_beams is 2 and do_sample is True"),
        ({"min_new_tokens": 5, "max_len": 4}, ValueError, "min_new_tokens is 5 but must be max_new_tokens"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_translations(options, error, says):
    with pytest.raises(error, match=f"^translate: {says}"):
        transformer().translate(SRC, bos_id=1, **{"eos_id": 2, **options})


# --------------------------------------------------------------------------------------------- transformers


def gpt2_pair(vocabulary, seed):
    """transformers' GPT-2 with random weights, and ours with the same."""
    transformers = import_transformers()
    import torch

    torch.manual_seed(seed)
    d, layers, length = 16, 2, 48
    config = transformers.GPT2Config(
        vocab_size=vocabulary, n_positions=length, n_embd=d, n_layer=layers, n_head=2, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, initializer_range=0.6, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = transformers.GPT2LMHeadModel(config).eval()
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    ours = at.models.DecoderLM(
        vocabulary, d, 2, layers, length, activation="gelu_tanh", norm_first=True, positions="learned",
        tie_weights=True, scale_embeddings=False,
    )  # fmt: skip
    mine = {
        "embedding.weight": state["transformer.wte.weight"],
        "position.weight": state["transformer.wpe.weight"],
        "decoder.norm.weight": state["transformer.ln_f.weight"],
        "decoder.norm.bias": state["transformer.ln_f.bias"],
    }
    parts = {
        "self_attn.in_proj_": "attn.c_attn.", "self_attn.out_proj.": "attn.c_proj.",
        "feed_forward.linear1.": "mlp.c_fc.", "feed_forward.linear2.": "mlp.c_proj.",
    }  # fmt: skip
    for i in range(layers):
        of_mine, of_theirs = f"decoder.layers.{i}.", f"transformer.h.{i}."
        for name, other in parts.items():
            mine[f"{of_mine}{name}weight"] = state[f"{of_theirs}{other}weight"].T.copy()
            mine[f"{of_mine}{name}bias"] = state[f"{of_theirs}{other}bias"]
        for n in (1, 2):
            for kind in ("weight", "bias"):
                mine[f"{of_mine}norm{n}.{kind}"] = state[f"{of_theirs}ln_{n}.{kind}"]
    ours.load_state_dict(mine)
    return theirs, ours.eval()


@pytest.mark.parametrize("seed", range(8))
def test_gpt2(seed):
    """The same tokens and scores by greed and by beams, on their cache and on ours."""
    rng = np.random.default_rng(seed)
    vocabulary = [40, 6][seed % 2]
    theirs, ours = gpt2_pair(vocabulary, seed)
    given = rng.integers(0, vocabulary, (3, 4))
    for beams in (1, 2, 4):
        options = {"max_new_tokens": 20, "pad_id": 1, "num_beams": beams}  # it takes 0 for none given
        options["eos_id"] = [int(rng.integers(vocabulary))]
        if beams > 1:
            options |= {
                "num_return_sequences": 2, "length_penalty": float(rng.choice([0.0, 1.0, 1.5])),
                "early_stopping": [True, False, "never"][seed % 3],
            }  # fmt: skip
        if seed % 4 == 3:
            options |= {"repetition_penalty": 1.2}
        expected = generated(theirs, given, **options, use_cache=True)
        got, scores = ours.generate(given, **options, return_scores=True)
        np.testing.assert_array_equal(got, expected.sequences.numpy())
        if beams > 1:
            np.testing.assert_allclose(scores, expected.sequences_scores.numpy(), rtol=1e-3, atol=1e-4)

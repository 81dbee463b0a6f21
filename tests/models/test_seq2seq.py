"""Seq2Seq: both attentions and all their scores, padding, decoding, training, saving."""

import itertools

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import check_layer, in_double, randomized
from tolerance import assert_close, assert_same_bits

V_SRC, V, BOS, EOS = 9, 8, 1, 2
VARIANTS = {
    "bahdanau": {},
    "dot": {"attention": "luong", "score": "dot"},
    "general": {"attention": "luong"},
    "concat": {"attention": "luong", "score": "concat"},
    "feeding": {"attention": "luong", "input_feeding": True},
    "concat, feeding": {"attention": "luong", "score": "concat", "input_feeding": True},
}
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])
EACH = pytest.mark.parametrize("variant", VARIANTS)


def made(dtype="float64", hidden=5, **options):
    return at.models.Seq2Seq(V_SRC, V, 4, hidden, **{"dtype": dtype, **options})


def random_ids(high, *shape, seed=0):
    return np.random.default_rng(seed).integers(1, high, shape)


def padded():
    """Rows of 6, 3 and 4 tokens, the last with padding between them, and one of none."""
    src = random_ids(V_SRC, 4, 6)
    src[1, 3:] = 0
    src[2, [1, 5]] = 0
    src[3] = 0
    return src


SRC, TGT = padded(), random_ids(V, 4, 5, seed=1)


def options_of_reference(variant):
    options = VARIANTS[variant]
    return options.get("attention", "bahdanau"), options.get("input_feeding", False)


STACKS = [{}, {"num_layers": 2}, {"num_layers": 2, "bidirectional": True}]
STACKED = [
    (variant, stack)
    for variant, stack in itertools.product(VARIANTS, STACKS)
    if not (variant == "dot" and stack.get("bidirectional"))
]


@CELLS
@pytest.mark.parametrize(("variant", "stack"), STACKED, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(dtype, variant, stack, cell):
    options = options_of_reference(variant)
    check_layer(
        randomized(made(str(dtype), cell=cell, **stack, **VARIANTS[variant])),
        [SRC, TGT],
        lambda src, tgt, p: reference.seq2seq(src, tgt, p, *options),
        lambda d, src, tgt, p: (reference.seq2seq_backward(d, src, tgt, p, *options),),
        scale=10.0,
    )


@EACH
def test_cross_attention(variant):
    model = randomized(made(num_layers=2, **VARIANTS[variant]))
    weights = model.cross_attention(SRC, TGT)
    assert weights.shape == (4, 5, 6) and weights.flags.writeable
    steps = reference.seq2seq_steps(SRC, TGT, in_double(model), *options_of_reference(variant))
    assert_close(weights, steps["weights"])
    assert not weights[np.broadcast_to(SRC[:, None] == 0, weights.shape)].any()
    assert_close(weights[:3].sum(axis=-1), np.ones((3, 5)))


# ------------------------------------------------------------------------------------------------- properties


@CELLS
@EACH
def test_padded_equals_unpadded(variant, cell):
    """A row alone, without its padding, gives what it gave in the batch, whichever way the encoder reads."""
    both = {} if variant == "dot" else {"bidirectional": True}
    model = randomized(made(cell=cell, num_layers=2, **both, **VARIANTS[variant]))
    logits = model(SRC, TGT).numpy()
    for row, length in [(0, 6), (1, 3)]:
        assert_close(model(SRC[row : row + 1, :length], TGT[row : row + 1]), logits[row : row + 1])
    zeros = np.zeros((4, 3), int)
    for wider in ([SRC, zeros], [zeros, SRC], [SRC[:, :2], zeros, SRC[:, 2:]]):
        assert_close(model(np.concatenate(wider, axis=1), TGT), logits)


@EACH
def test_a_row_does_not_see_the_others(variant):
    model = randomized(made(**VARIANTS[variant]))
    changed = SRC.copy()
    changed[0] = changed[0] % (V_SRC - 1) + 1
    before, after = model(SRC, TGT).numpy(), model(changed, TGT).numpy()
    assert (after[0] != before[0]).any()
    assert_close(after[1:], before[1:])


@EACH
def test_a_position_does_not_see_those_after_it(variant):
    model, changed = randomized(made(**VARIANTS[variant])), TGT.copy()
    changed[:, 3:] = changed[:, 3:] % (V - 1) + 1
    before, after = model(SRC, TGT).numpy(), model(SRC, changed).numpy()
    assert_close(after[:, :3], before[:, :3])
    assert (after[:, 3:] != before[:, 3:]).any()


@EACH
@pytest.mark.parametrize(("batch", "s", "t"), [(0, 3, 2), (2, 0, 3), (2, 3, 0), (1, 1, 1), (0, 0, 0)])
def test_batches_of_any_shape(variant, batch, s, t):
    model = made(**VARIANTS[variant])
    src, tgt = random_ids(V_SRC, batch, s), random_ids(V, batch, t)
    logits = model(src, tgt)
    assert logits.shape == (batch, t, V) and np.isfinite(logits.numpy()).all()
    assert model.cross_attention(src, tgt).shape == (batch, t, s)


@EACH
def test_dropout_is_for_training(variant):
    options = {"num_layers": 2, **VARIANTS[variant]}
    model, plain = randomized(made(dropout=0.4, **options)), randomized(made(**options))
    assert (model(SRC, TGT).numpy() != plain(SRC, TGT).numpy()).any()
    assert_same_bits(model.cross_attention(SRC, TGT), plain.cross_attention(SRC, TGT))
    assert model.training
    assert_same_bits(model.eval()(SRC, TGT), plain(SRC, TGT))


def test_names_of_the_parameters():
    recurrent = {f"{w}_{e}" for w in ("weight", "bias") for e in ("ih_l0", "hh_l0")}
    common = {
        "src_embedding.weight", "tgt_embedding.weight",
        "readout.weight", "generator.weight", "generator.bias",
        *(f"encoder.{name}" for name in recurrent), *(f"decoder.{name}" for name in recurrent),
    }  # fmt: skip
    assert set(made(**VARIANTS["dot"]).state_dict()) == common
    assert set(made(**VARIANTS["general"]).state_dict()) == common | {"key.weight"}
    assert set(made().state_dict()) == common | {"key.weight", "query.weight", "v_a"}
    bridges = {f"bridge_{s}.{w}" for s in "hc" for w in ("weight", "bias")}
    both = set(made(bidirectional=True).state_dict())
    assert both - {name for name in both if name.endswith("reverse")} == set(made().state_dict()) | bridges
    assert not made().state_dict()["src_embedding.weight"][0].any()


def test_the_first_weights():
    for name, value in made(seed=1).state_dict().items():
        assert_same_bits(made(seed=1).state_dict()[name], value)
    assert (made(seed=2).state_dict()["v_a"] != made(seed=1).state_dict()["v_a"]).any()


# --------------------------------------------------------------------------------------------------- decoding


def step_by_step(model, src, max_len):
    """Greedy decoding by the whole model at every step: the definition of translate."""
    given = np.full((len(src), 1), BOS)
    for _ in range(max_len):
        given = np.concatenate([given, model(src, given).numpy()[:, -1:].argmax(-1)], axis=1)
        ended = (given[:, 1:] == EOS).cumsum(axis=1)
        if ended[:, -1].all():
            break
    return np.where((ended == 0) | ((ended == 1) & (given[:, 1:] == EOS)), given[:, 1:], 0)


def talkative(seed, **options):
    """Untrained, but each token depends on those before it and on the source."""
    model = randomized(made(hidden=8, **options), seed)
    model.load_state_dict({name: 3 * value for name, value in model.state_dict().items()})
    return model


@CELLS
@EACH
def test_translate_equals_the_whole_model_at_every_step(variant, cell):
    said = set()
    for seed in range(3):
        model = talkative(seed, cell=cell, num_layers=2, **VARIANTS[variant])
        got = model.translate(SRC, bos_id=BOS, eos_id=EOS, max_len=12)
        assert got.dtype == np.int64 and got.flags.writeable
        np.testing.assert_array_equal(got, step_by_step(model, SRC, 12))
        said.update(got.ravel().tolist())
    assert len(said) > 3


@EACH
def test_beams_are_those_of_the_whole_model(variant):
    """The likeliest of all sequences that a beam search over the whole model finds."""
    model = talkative(1, num_layers=2, **VARIANTS[variant])
    source = SRC[:1]
    options = {"eos_id": EOS, "num_beams": 3, "num_return_sequences": 3, "return_scores": True}
    got, scores = model.translate(source, bos_id=BOS, max_len=8, **options)

    def step(ids):
        return model(np.repeat(source, len(ids), axis=0), ids).numpy()[:, -1]

    expected, right = at.models.generate(step, [[BOS]], max_new_tokens=8, pad_id=0, **options)
    np.testing.assert_array_equal(got, expected[:, 1:])
    assert_close(scores, right, scale=10.0)


@EACH
def test_beams_of_a_batch_are_those_of_its_rows(variant):
    model = talkative(2, **VARIANTS[variant])
    options = {"bos_id": BOS, "eos_id": EOS, "max_len": 9, "num_beams": 4}
    together = model.translate(SRC, **options)
    for i in range(4):
        alone = model.translate(SRC[i : i + 1], **options)[0]
        np.testing.assert_array_equal(together[i, : len(alone)], alone)
        assert not together[i, len(alone) :].any()


def test_samples_and_streams():
    model = randomized(made(cell="gru"))
    options = {"bos_id": BOS, "eos_id": EOS, "max_len": 9, "do_sample": True, "seed": 3}
    sampled = model.translate(SRC, **options)
    np.testing.assert_array_equal(model.translate(SRC, **options), sampled)
    others = [model.translate(SRC, **{**options, "seed": seed}).tolist() for seed in range(4, 8)]
    assert any(other != sampled.tolist() for other in others)
    stream = model.stream(SRC, **options)
    np.testing.assert_array_equal(np.stack(list(stream), axis=1), sampled)


def test_translating_nothing():
    assert made().translate(SRC[:0], bos_id=BOS, eos_id=EOS).shape[0] == 0
    assert made().translate(SRC, bos_id=BOS, eos_id=EOS, max_len=1).shape == (4, 1)


def test_translation_ignores_dropout_and_keeps_the_mode():
    model, plain = talkative(0, dropout=0.5), talkative(0)
    given = {"bos_id": BOS, "eos_id": EOS, "max_len": 9}
    np.testing.assert_array_equal(model.translate(SRC, **given), plain.translate(SRC, **given))
    assert model.training


# -------------------------------------------------------------------------------------------- training, files


def reversals(samples, seed=0):
    """Sequences of 3 to 6 symbols 3 … 8, and the same backwards between bos and eos."""
    rng = np.random.default_rng(seed)
    src, tgt = np.zeros((samples, 6), int), np.zeros((samples, 8), int)
    for s, t in zip(src, tgt, strict=True):
        n = rng.integers(3, 7)
        s[:n] = rng.integers(3, 9, n)
        t[: n + 2] = [BOS, *s[:n][::-1], EOS]
    return src, tgt


@pytest.mark.parametrize("variant", ["bahdanau", "general", "feeding"])
def test_learns_to_reverse(variant):
    src, tgt = reversals(768)
    cell = "gru" if variant == "bahdanau" else "lstm"
    model = at.models.Seq2Seq(9, 9, 16, 32, cell=cell, bidirectional=True, seed=0, **VARIANTS[variant])
    loss = at.losses.CrossEntropy(ignore_index=0)
    trainer = at.train.Trainer(model, loss, at.optim.Adam(lr=0.01), seed=0)
    trainer.fit((src, tgt[:, :-1]), tgt[:, 1:], epochs=12, batch_size=32, progress=False)
    src, tgt = reversals(256, seed=1)
    got = model.translate(src, bos_id=BOS, eos_id=EOS, max_len=7)
    right = tgt[:, 1:] != 0
    assert (got == tgt[:, 1:])[right].mean() > 0.95
    # It learned where to look: the token being said is the one looked at.
    if variant != "bahdanau":
        return
    looked = model.cross_attention(src, tgt[:, :-1]).argmax(axis=-1)
    at_token = src[np.arange(256)[:, None], looked]
    symbols = tgt[:, 1:] > EOS
    assert (at_token == tgt[:, 1:])[symbols].mean() > 0.8


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cell": "gru", "attention": "luong", "score": "concat", "input_feeding": True, "dropout": 0.25},
        {"num_layers": 2, "bidirectional": True, "dtype": "float64", "pad_id": 3},
    ],
    ids=["defaults", "luong", "float64"],
)
def test_saved_and_loaded_to_the_bit(options, tmp_path):
    model = randomized(at.models.Seq2Seq(V_SRC, V, 4, 5, **options))
    model.save(tmp_path / "model.safetensors")
    loaded = at.load(tmp_path / "model.safetensors")
    assert type(loaded) is at.models.Seq2Seq and not loaded.training
    assert loaded.config == model.config
    assert model.config == {
        "input_vocab_size": V_SRC, "target_vocab_size": V, "embedding_dim": 4, "hidden_size": 5,
        "num_layers": 1,
        "cell": "lstm", "attention": "bahdanau", "score": "additive", "input_feeding": False,
        "bidirectional": False, "dropout": 0.0, "pad_id": 0, "dtype": "float32", **options,
    }  # fmt: skip
    for name, value in model.state_dict().items():
        assert_same_bits(loaded.state_dict()[name], value)
    assert_same_bits(loaded(SRC, TGT), model.eval()(SRC, TGT))


@pytest.mark.parametrize(
    "change",
    [{"input_vocab_size": 10**9}, {"hidden_size": 10**6}, {"num_layers": 10**4}, {"embedding_dim": 10**9}],
    ids=str,
)
def test_a_small_file_that_describes_a_huge_model(change, tmp_path):
    import json

    from safetensors.numpy import save

    config = {"format": 1, "class": "Seq2Seq", "config": {**made().config, **change}}
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(made().state_dict(), metadata={"attendo_config": json.dumps(config)}))
    with pytest.raises(ValueError, match="it describes more numbers than there are"):
        at.load(path)


# ------------------------------------------------------------------------------------------------ wrong input


@pytest.mark.parametrize(
    ("src", "tgt", "error", "says"),
    [
        (SRC[0], TGT, ValueError, r"src has shape \(6,\) but must have 2 axes"),
        (SRC, TGT[:, :, None], ValueError, "tgt has shape"),
        (SRC, TGT[:2], ValueError, "tgt has a batch of 2 but src has one of 4"),
        (SRC + V_SRC, TGT, ValueError, "src holds 9 but must hold 0 to 8|src holds"),
        (SRC, TGT - V, ValueError, "tgt holds -"),
        (SRC.astype(float), TGT, TypeError, "src has dtype float64 but must be int64"),
        (SRC, TGT > 3, TypeError, "tgt has dtype bool"),
        (None, TGT, TypeError, "src is None"),
    ],
)
def test_wrong_ids(src, tgt, error, says):
    with pytest.raises(error, match=f"^Seq2Seq: {says}"):
        made()(src, tgt)
    with pytest.raises(error, match=f"^Seq2Seq: {says}"):
        made().cross_attention(src, tgt)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"bos_id": V}, ValueError, "translate: bos_id is 8 but must be 0 to 7"),
        ({"eos_id": -1}, ValueError, "translate: eos_id is -1"),
        ({"eos_id": V}, ValueError, "translate: eos_id is 8 but must be 0 to 7"),
        ({"num_beams": 0}, ValueError, "translate: num_beams is 0"),
        ({"beams": 2}, TypeError, "translate: there is no option 'beams'"),
        ({"max_new_tokens": 2}, TypeError, "translate: there is no option 'max_new_tokens': give max_len"),
        ({"max_len": 0}, ValueError, "translate: max_len is 0 but must be 1 or more"),
        ({"max_len": 2.0}, TypeError, "translate: max_len is a float"),
        ({"src": SRC + V_SRC}, ValueError, "Seq2Seq: src holds"),
    ],
)
def test_wrong_translations(change, error, says):
    arguments = {"src": SRC, "bos_id": BOS, "eos_id": EOS, **change}
    with pytest.raises(error, match=f"^{says}"):
        made().translate(**arguments)
    with pytest.raises(error, match=f"^{says.replace('translate', 'stream')}"):
        next(made().stream(**{"num_beams": 1, **arguments}))


def test_the_end_must_be_named():
    with pytest.raises(TypeError, match="eos_id"):
        made().translate(SRC, bos_id=BOS)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"input_vocab_size": 0}, ValueError, "input_vocab_size is 0"),
        ({"hidden_size": -1}, ValueError, "hidden_size is -1"),
        ({"hidden_size": 2**62}, ValueError, "hidden_size is"),
        ({"hidden_size": 2**45}, (MemoryError, ValueError), "memory|hidden_size|bad_alloc|shape"),
        ({"num_layers": 0}, ValueError, "num_layers is 0"),
        ({"num_layers": 10**6}, ValueError, "num_layers is 1000000"),
        ({"cell": "rnn"}, ValueError, "cell is 'rnn' but must be 'lstm' or 'gru'"),
        ({"attention": "dot"}, ValueError, "attention is 'dot' but must be 'bahdanau' or 'luong'"),
        ({"score": "general"}, ValueError, "score is 'general' but attention='bahdanau' has 'additive' only"),
        ({"attention": "luong", "score": "cosine"}, ValueError, "score is 'cosine' but must be 'dot'"),
        ({"score": ""}, ValueError, "score is ''"),
        ({"attention": "luong", "score": "dot", "bidirectional": True}, ValueError, "score='dot' needs"),
        ({"input_feeding": True}, ValueError, "input_feeding is for attention='luong'"),
        ({"dropout": 1.0}, ValueError, "dropout|p is 1"),
        ({"pad_id": 8}, ValueError, "pad_id is 8 but must be an id of both vocabularies"),
        ({"dtype": "float16"}, TypeError, "dtype is 'float16'"),
        ({"embedding_dim": 4.0}, TypeError, "embedding_dim is a float"),
    ],
)
def test_wrong_constructions(change, error, says):
    arguments = {"input_vocab_size": V_SRC, "target_vocab_size": V, "embedding_dim": 4, "hidden_size": 5}
    with pytest.raises(error, match=says):
        at.models.Seq2Seq(**{**arguments, **change})

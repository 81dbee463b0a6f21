"""Transformer as T5, as Marian and between them: every option against the reference."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from attendo.reference import TransformerVariant
from inputs import DTYPES, upstream
from layer_check import check_layer, in_double, randomized
from tolerance import DIFFERENCE, STEP, assert_close, assert_same_bits

V, MAX_LEN, BOS = 11, 12, 1
T5 = {
    "norm_first": True, "norm": "rms", "norm_eps": 1e-6, "bias": False, "attention_scale": 1.0, "head_dim": 3,
    "positions": "t5", "num_buckets": 8, "max_distance": 6, "scale_embeddings": False,
    "shared_embeddings": True, "embed_padding": True,
}  # fmt: skip
OPTIONS = {
    "t5": {**T5, "tie_weights": True, "scale_logits": True},
    "t5 1.1": {**T5, "activation": "geglu_tanh", "head_bias": False},
    "marian": {
        "positions": "sinusoidal_halves", "shared_embeddings": True, "tie_weights": True, "head_bias": True,
        "activation": "silu", "scale_embeddings": False,
    },
    "learned": {"positions": "learned", "decoder_nhead": 4, "decoder_dff": 5, "qkv_bias": False},
    "no positions": {"positions": "none", "tie_weights": True, "norm": "rms", "activation": "swiglu"},
    "t5, post-norm": {
        "positions": "t5", "num_buckets": 4, "max_distance": 3, "decoder_nhead": 1, "num_kv_heads": 1,
    },
}  # fmt: skip
EACH = pytest.mark.parametrize("name", OPTIONS)
# The reference has grouped heads in attention alone; differences hold the gradients of that variant.
IN_REFERENCE = pytest.mark.parametrize("name", [name for name in OPTIONS if name != "t5, post-norm"])


def made(name, seed=0, **more):
    options = {"dropout": 0.0, "dtype": "float64", **OPTIONS[name], **more}
    return randomized(at.models.Transformer(8, 2, 2, 2, 16, V, V, MAX_LEN, **options), seed)


def variant(name, **more):
    o = OPTIONS[name]
    return TransformerVariant(
        decoder_heads=o.get("decoder_nhead"),
        positions=o.get("positions", "sinusoidal"),
        max_distance=o.get("max_distance", 128),
        attention_scale=o.get("attention_scale"),
        scale_embeddings=o.get("scale_embeddings", True),
        scale_logits=o.get("scale_logits", False),
        **more,
    )


def arguments(name):
    """What the reference asks for besides ids and parameters."""
    o = OPTIONS[name]
    return {
        "norm_first": o.get("norm_first", False),
        "activation": o.get("activation", "relu"),
        "eps": o.get("norm_eps", 1e-5),
    }


def ids(low, *shape, seed=0):
    return np.random.default_rng(seed).integers(low, V, shape)


MASK = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0], [0, 1, 1, 0, 1, 0, 0]], bool)
SRC = np.where(MASK, ids(1, *MASK.shape), 0)
# T5 begins with padding, and trains its embedding; elsewhere that row has no gradient.
TGT, TGT_OF_T5 = (
    ids(1, 3, 5, seed=1),
    np.concatenate([np.zeros((3, 1), np.int64), ids(0, 3, 4, seed=1)], axis=1),
)


def tgt_of(name):
    return TGT_OF_T5 if OPTIONS[name].get("embed_padding") else TGT


# ------------------------------------------------------------------------------------------------- against


@IN_REFERENCE
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(name, dtype):
    check_layer(
        made(name, dtype=str(dtype)),
        [SRC, tgt_of(name)],
        lambda src, tgt, p: reference.transformer(src, tgt, p, 2, **arguments(name), variant=variant(name)),
        lambda d, src, tgt, p: (
            reference.transformer_backward(d, src, tgt, p, 2, **arguments(name), variant=variant(name)),
        ),
        scale=100.0,
    )


@EACH
def test_gradients_are_slopes(name):
    """Central differences along random directions of every parameter, one at a time."""
    model, rng = made(name), np.random.default_rng(2)
    tgt = tgt_of(name)
    d_logits = upstream(model(SRC, tgt))
    model(SRC, tgt).backward(d_logits)
    state = model.state_dict()

    def value(parameter, direction, step):
        model.load_state_dict({**state, parameter: state[parameter] + step * direction})
        return float(np.sum(model(SRC, tgt).numpy() * d_logits))

    for parameter, tensor in model.named_parameters():
        direction = rng.standard_normal(tensor.shape)
        if "embedding" in parameter and not OPTIONS[name].get("embed_padding"):
            direction[0] = 0
        slope = float(np.sum(tensor.grad.numpy() * direction))
        up, down = (value(parameter, direction, step) for step in (STEP, -STEP))
        allowed = DIFFERENCE * max(1.0, abs(slope), abs(up), abs(down)) * 10
        assert abs((up - down) / (2 * STEP) - slope) <= allowed, parameter


@IN_REFERENCE
def test_every_intermediate(name):
    model, tgt = made(name), tgt_of(name)
    steps = reference.transformer_steps(
        SRC, tgt, in_double(model), 2, **arguments(name), variant=variant(name)
    )
    out = model.outputs(SRC, tgt, hidden_states=True, attentions=True)
    assert_close(out.encoder_last_hidden_state.numpy()[MASK], steps["memory"][MASK], scale=100.0)
    assert_close(out.decoder_last_hidden_state, steps["decoded"], scale=100.0)
    assert_close(out.logits, steps["logits"], scale=100.0)
    assert_close(out.encoder_hidden_states[0], steps["src"], scale=10.0)
    assert_close(out.decoder_hidden_states[0], steps["tgt"], scale=10.0)
    of_encoder = np.stack([w.numpy() for w in out.encoder_attentions]).swapaxes(2, 3)[:, MASK]
    assert_close(of_encoder, steps["encoder_attention"].swapaxes(2, 3)[:, MASK], scale=10.0)
    for field, step in (("decoder_attentions", "decoder_attention"), ("cross_attentions", "cross_attention")):
        assert_close(np.stack([w.numpy() for w in getattr(out, field)]), steps[step], scale=10.0)
    assert_close(model.cross_attention(SRC, tgt), steps["cross_attention"], scale=10.0)


# ------------------------------------------------------------------------------------------------ outputs


@EACH
def test_asking_changes_nothing(name):
    model, tgt = made(name), tgt_of(name)
    plain = model.outputs(SRC, tgt)
    out = model.outputs(SRC, tgt, hidden_states=True, attentions=True)
    assert_same_bits(out.logits, plain.logits)
    assert_close(out.logits, model(SRC, tgt).numpy())  # which leaves out columns that are padding in all rows
    assert_same_bits(out.encoder_last_hidden_state, model.encode(SRC))
    for field in ("encoder_hidden_states", "decoder_hidden_states"):
        assert getattr(plain, field) is None and len(getattr(out, field)) == 3
        assert_same_bits(
            getattr(out, field)[-1],
            getattr(out, field.replace("_hidden_states", "_last_hidden_state")),
        )
    for field in ("encoder_attentions", "decoder_attentions", "cross_attentions"):
        assert getattr(plain, field) is None and len(getattr(out, field)) == 2


@EACH
def test_a_mask_is_padding(name):
    """What src_mask hides is as far away as padding, whatever id stands there."""
    model, tgt = made(name), tgt_of(name)
    other = np.where(MASK, SRC, 7)
    expected = model(SRC, tgt).numpy()
    assert_same_bits(model(other, tgt, src_mask=MASK), expected)
    assert (model(other, tgt).numpy() != expected).any()
    assert_same_bits(model.encode(other, src_mask=MASK).numpy()[MASK], model.encode(SRC).numpy()[MASK])
    assert_same_bits(model.cross_attention(other, tgt, src_mask=MASK), model.cross_attention(SRC, tgt))
    assert_same_bits(
        model.translate(other, bos_id=BOS, eos_id=2, src_mask=MASK),
        model.translate(SRC, bos_id=BOS, eos_id=2),
    )
    everything = np.ones_like(MASK)
    steps = reference.transformer_steps(
        SRC, tgt, in_double(model), 2, **arguments(name), variant=variant(name, src_mask=everything)
    ) if name != "t5, post-norm" else None  # fmt: skip
    if steps:
        assert_close(model(SRC, tgt, src_mask=everything), steps["logits"], scale=100.0)


@pytest.mark.parametrize(
    ("mask", "error", "says"),
    [
        (MASK.astype(int), TypeError, "src_mask has dtype int64 but must be bool"),
        (MASK[:, :4], ValueError, r"src_mask has shape \(3, 4\) but src has shape \(3, 7\)"),
        (MASK[0], ValueError, r"src_mask has shape \(7,\)"),
        ("text", TypeError, "src_mask"),
    ],
)
def test_wrong_masks(mask, error, says):
    model = made("t5")
    for call in (model.forward, model.outputs, model.cross_attention):
        with pytest.raises(error, match=says):
            call(SRC, TGT, src_mask=mask)
    with pytest.raises(error, match=says):
        model.encode(SRC, src_mask=mask)
    with pytest.raises(error, match=says):
        model.translate(SRC, bos_id=1, eos_id=2, src_mask=mask)


# ------------------------------------------------------------------------------------- decoding and training


@EACH
@pytest.mark.parametrize("seed", range(3))
def test_translate_equals_full_decoding(name, seed):
    model = made(name, seed)
    for eos in (2, int(model.translate(SRC, bos_id=BOS, eos_id=2)[0, -1])):
        rows = []
        for one in SRC:
            tokens = [BOS]
            while len(tokens) <= MAX_LEN and (len(tokens) == 1 or tokens[-1] != eos):
                tokens.append(int(model(one[None], [tokens]).numpy()[0, -1].argmax()))
            rows.append(tokens[1:])
        longest = max(map(len, rows))
        expected = np.array([row + [0] * (longest - len(row)) for row in rows])
        np.testing.assert_array_equal(model.translate(SRC, bos_id=BOS, eos_id=eos), expected)


@EACH
def test_beams_equal_full_decoding(name):
    """Beams change places, and with them keys and values; biases count positions from the first."""
    model = made(name)
    options = {"eos_id": 2, "num_beams": 3, "pad_id": 0}
    got = model.translate(SRC, bos_id=BOS, **options)
    for row, one in zip(got, SRC, strict=True):

        def step(ids, one=one):
            return model(np.repeat(one[None], len(ids), axis=0), ids).numpy()[:, -1]

        expected = at.models.generate(step, [[BOS]], max_new_tokens=MAX_LEN, **options)[0, 1:]
        np.testing.assert_array_equal(row[: len(expected)], expected)
        assert (row[len(expected) :] == 0).all()


@EACH
def test_it_learns_to_reverse(name):
    rng = np.random.default_rng(0)
    src = rng.integers(3, 8, size=(128, 4))
    tgt = np.concatenate([np.full((128, 1), 1), src[:, ::-1], np.full((128, 1), 2)], axis=1)
    options = {**OPTIONS[name], "dropout": 0.0, "seed": 0}
    model = at.models.Transformer(16, 2, 1, 1, 32, V, V, MAX_LEN, **options)
    before = model.state_dict()
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=5e-3), seed=0)
    history = trainer.fit((src, tgt[:, :-1]), tgt[:, 1:], epochs=6, progress=False)
    losses = history["loss"] if isinstance(history, dict) else history.loss
    assert losses[-1] < 0.9 * losses[0]
    for key, value in model.state_dict().items():
        assert (value != before[key]).any(), key


# ----------------------------------------------------------------------------------- parameters, config, save


@EACH
def test_saved_and_loaded_to_the_bit(name, tmp_path):
    model = made(name, dropout=0.25).eval()
    model.save(tmp_path / "model.safetensors")
    loaded = at.load(tmp_path / "model.safetensors")
    assert loaded.config == model.config
    assert_same_bits(loaded(SRC, TGT), model(SRC, TGT))


def test_config_says_only_what_is_not_usual():
    plain = at.models.Transformer(8, 2, 1, 1, 16, V, V, MAX_LEN)
    assert set(plain.config) == {
        "d_model", "nhead", "num_encoder_layers", "num_decoder_layers", "dff", "input_vocab_size",
        "target_vocab_size", "max_len", "dropout", "activation", "norm_first", "pad_id", "dtype",
    }  # fmt: skip
    for name, options in OPTIONS.items():
        assert options.items() <= made(name).config.items()


def test_names_of_the_parameters():
    def outside(name):
        return {n: p.shape for n, p in made(name).named_parameters() if ".layers." not in n}

    assert outside("t5") == {
        "embedding.weight": (V, 8), "src_relative_bias": (8, 2), "tgt_relative_bias": (8, 2),
        "encoder.norm.weight": (8,), "decoder.norm.weight": (8,),
    }  # fmt: skip
    assert outside("t5 1.1").keys() - outside("t5").keys() == {"generator.weight"}
    assert outside("marian") == {"embedding.weight": (V, 8), "logits_bias": (V,)}
    learned = outside("learned")
    assert learned["src_position.weight"] == learned["tgt_position.weight"] == (MAX_LEN, 8)
    assert outside("t5, post-norm")["tgt_relative_bias"] == (4, 1)


def test_the_seed_decides_every_table():
    def state(seed):
        return at.models.Transformer(8, 2, 1, 1, 16, V, V, MAX_LEN, **OPTIONS["t5"], seed=seed).state_dict()

    for name, value in state(1).items():
        assert_same_bits(state(1)[name], value)
    for name in ("src_relative_bias", "tgt_relative_bias", "embedding.weight"):
        assert (state(2)[name] != state(1)[name]).any()
    assert (state(1)["src_relative_bias"] != state(1)["tgt_relative_bias"]).any()


def test_padding_of_an_embedding():
    plain = at.models.Transformer(8, 2, 1, 1, 16, V, V, MAX_LEN, pad_id=3, seed=0).state_dict()
    assert (plain["src_embedding.weight"][3] == 0).all()
    t5 = at.models.Transformer(8, 2, 1, 1, 16, V, V, MAX_LEN, pad_id=3, seed=0, **OPTIONS["t5"]).state_dict()
    assert (t5["embedding.weight"][3] != 0).all()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        (
            {"positions": "rotary"},
            ValueError,
            "positions is 'rotary' but must be 'sinusoidal', 'sinusoidal_halves'",
        ),
        (
            {"positions": "t5", "num_buckets": 7},
            ValueError,
            "num_buckets is 7 but must be even and 4 or more",
        ),
        ({"positions": "t5", "num_buckets": 2}, ValueError, "num_buckets is 2"),
        (
            {"positions": "t5", "num_buckets": 2**45, "max_distance": 2**50},
            (ValueError, MemoryError),
            "memory|num_buckets|bad_alloc",
        ),
        ({"positions": "t5", "max_distance": 16}, ValueError, "max_distance is 16 but must be more than 16"),
        ({"positions": "t5", "num_buckets": 2**61}, ValueError, "max_distance is 128 but must be more than"),
        (
            {"decoder_nhead": 3},
            ValueError,
            "d_model is 8 but must be a multiple of decoder_nhead, which is 3",
        ),
        ({"decoder_nhead": 0}, ValueError, "decoder_nhead is 0 but must be 1 or more"),
        ({"decoder_dff": -1}, ValueError, "decoder_dff is -1 but must be 1 or more"),
        (
            {"shared_embeddings": True, "target_vocab_size": 9},
            ValueError,
            "target_vocab_size is 9 but input_vocab",
        ),
        ({"head_dim": 0}, ValueError, "head_dim is 0"),
        ({"norm": "batch"}, ValueError, "norm is 'batch'"),
        ({"tie_weights": 1}, TypeError, "tie_weights is 1 but must be True or False"),
        ({"scale_logits": "yes"}, TypeError, "scale_logits is 'yes'"),
        ({"window": 3}, TypeError, "there is no argument window"),
    ],
)
def test_wrong_options(options, error, says):
    arguments = {
        "d_model": 8, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 1, "dff": 16,
        "input_vocab_size": V, "target_vocab_size": V, "max_len": MAX_LEN, **options,
    }  # fmt: skip
    with pytest.raises(error, match=says):
        at.models.Transformer(**arguments)

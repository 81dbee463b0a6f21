"""Transformer: logits, padding, cached decoding, saving."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import check_layer, in_double, randomized
from tolerance import assert_close, assert_same_bits

V_SRC, V, MAX_LEN, HEADS, BOS, EOS = 11, 9, 12, 2, 1, 2
NORMS = pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])


def transformer(seed=0, **options):
    settings = {"dropout": 0.0, "dtype": "float64", **options}
    return randomized(at.models.Transformer(8, HEADS, 2, 2, 16, V_SRC, V, MAX_LEN, **settings), seed)


def talkative(seed, **options):
    """Untrained, but what it says depends on the source: each row ends at a step of its own."""
    model = at.models.Transformer(
        8, HEADS, 2, 2, 16, V_SRC, V, MAX_LEN, dropout=0.0, dtype="float64", seed=seed, **options
    )
    state = model.state_dict()
    for name, value in state.items():
        value *= 3 if "cross_attn" in name else 0 if name == "generator.bias" else 1
    model.load_state_dict(state)
    return model


def ids(high, *shape, seed=0):
    return np.random.default_rng(seed).integers(1, high, shape)  # 0 is padding


def padded(*shape, lengths, high=V_SRC, seed=0):
    out = ids(high, *shape, seed=seed)
    out[np.arange(shape[1]) >= np.array(lengths)[:, None]] = 0
    return out


SRC, TGT = padded(3, 7, lengths=[7, 4, 1]), ids(V, 3, 5, seed=1)
WITH_HOLES = np.array([[3, 0, 4, 5, 0, 0], [0, 2, 3, 0, 5, 6], [1, 2, 3, 4, 5, 6]])


# --------------------------------------------------------------------------------------------------- against


@NORMS
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("src", [SRC, WITH_HOLES, SRC[:, :3]], ids=["padded", "holes", "short"])
def test_against_reference(src, dtype, activation, norm_first):
    options = {"norm_first": norm_first, "activation": activation}
    check_layer(
        transformer(dtype=str(dtype), **options),
        [src, TGT],
        lambda src, tgt, p: reference.transformer(src, tgt, p, HEADS, **options),
        lambda d, src, tgt, p: (reference.transformer_backward(d, src, tgt, p, HEADS, **options),),
        scale=10.0,
    )


@NORMS
@pytest.mark.parametrize("pad_id", [0, 3])
def test_every_intermediate(norm_first, pad_id):
    src = np.where(SRC == 0, pad_id, np.where(SRC == pad_id, 0, SRC))
    model = transformer(norm_first=norm_first, pad_id=pad_id)
    steps = reference.transformer_steps(src, TGT, in_double(model), HEADS, pad_id, norm_first)
    real = src != pad_id
    assert_close(model.encode(src).numpy()[real], steps["memory"][real])
    cross = model.cross_attention(src, TGT)
    assert type(cross) is np.ndarray
    assert_close(cross, steps["cross_attention"])
    assert_close(cross.sum(-1), np.ones(cross.shape[:-1]))
    assert_close(model(src, TGT), steps["logits"])


@NORMS
def test_torch(torch, norm_first):
    """Its stacks, and around them what torch.nn.Transformer leaves to the caller."""
    model = transformer(norm_first=norm_first)
    of_layer = (8, HEADS, 16, 0.0)
    options = {"batch_first": True, "norm_first": norm_first, "dtype": torch.float64}
    encoder_layer = torch.nn.TransformerEncoderLayer(*of_layer, **options)
    decoder_layer = torch.nn.TransformerDecoderLayer(*of_layer, **options)
    norms = [torch.nn.LayerNorm(8, dtype=torch.float64) if norm_first else None for _ in range(2)]
    theirs = torch.nn.Module()
    theirs.encoder = torch.nn.TransformerEncoder(encoder_layer, 2, norms[0], enable_nested_tensor=False)
    theirs.decoder = torch.nn.TransformerDecoder(decoder_layer, 2, norms[1])
    state = {}
    for name, value in model.state_dict().items():
        if name.startswith(("encoder.", "decoder.")):
            renamed = name.replace("feed_forward.", "").replace("cross_attn", "multihead_attn")
            state[renamed] = torch.tensor(value)
    theirs.load_state_dict(state)
    p = {name: torch.tensor(value) for name, value in in_double(model).items()}

    def embedded(ids, table):
        positions = torch.tensor(reference.sinusoidal_positional_encoding(ids.shape[1], 8))
        return np.sqrt(8) * table[torch.tensor(ids)] + positions

    padding = torch.tensor(SRC == 0)
    with torch.no_grad():
        memory = theirs.encoder(embedded(SRC, p["src_embedding.weight"]), src_key_padding_mask=padding)
        out = theirs.decoder(
            embedded(TGT, p["tgt_embedding.weight"]),
            memory,
            tgt_mask=torch.triu(torch.ones(5, 5, dtype=torch.bool), 1),
            memory_key_padding_mask=padding,
        )
        logits = out @ p["generator.weight"].T + p["generator.bias"]
    assert_close(model(SRC, TGT), logits.numpy(), scale=10.0)


# ---------------------------------------------------------------------------------------------------- padding


@NORMS
def test_padded_equals_unpadded(norm_first):
    model = transformer(norm_first=norm_first)
    logits = model(SRC, TGT).numpy()
    for row, length in enumerate([7, 4, 1]):
        alone = model(SRC[row : row + 1, :length], TGT[row : row + 1])
        assert_close(logits[row : row + 1], alone.numpy(), scale=10.0)
    wider = np.pad(SRC, ((0, 0), (0, 4)))
    assert_close(model(wider, TGT), logits, scale=10.0)


def test_padding_of_the_target_does_not_reach_back():
    model = transformer()
    logits = model(SRC, TGT).numpy()
    longer = model(SRC, np.pad(TGT, ((0, 0), (0, 3)))).numpy()
    assert_close(longer[:, :5], logits, scale=10.0)


def test_a_source_of_padding_alone():
    """It attends to nothing: finite logits, which do not depend on how much padding there is."""
    model = transformer()
    src = np.zeros((2, 4), np.int64)
    logits = model(src, TGT[:2]).numpy()
    assert np.isfinite(logits).all()
    assert_close(model(src[:, :1], TGT[:2]), logits)
    assert np.isfinite(model.encode(src).numpy()).all()
    loss = at.losses.CrossEntropy()(model(src, TGT[:2]), TGT[:2])
    loss.backward()
    assert all(np.isfinite(p.grad.numpy()).all() for p in model.parameters() if p.grad is not None)


def test_the_past_does_not_see_the_future():
    model, changed = transformer(), TGT.copy()
    changed[:, 3:] = changed[:, 3:] % (V - 1) + 1
    before, after = model(SRC, TGT).numpy(), model(SRC, changed).numpy()
    assert_same_bits(after[:, :3].copy(), before[:, :3].copy())
    assert (after[:, 3:] != before[:, 3:]).any()


@pytest.mark.parametrize("shape", [(0, 5), (3, 0)], ids=str)
def test_empty_batches_and_targets(shape):
    model = transformer()
    logits = model(np.ones((shape[0], 4), np.int64), np.ones(shape, np.int64))
    assert logits.shape == (*shape, V)


# --------------------------------------------------------------------------------------------------- decoding


def step_by_step(model, src, max_len, eos):
    """Greedy decoding by the whole decoder at every step: the definition of translate."""
    rows = []
    for one in src:
        tokens = [BOS]
        for _ in range(max_len):
            logits = model(one[None], np.array([tokens])).numpy()[0, -1]
            tokens.append(int(logits.argmax()))
            if tokens[-1] == eos:
                break
        rows.append(tokens[1:])
    longest = max(map(len, rows))
    return np.array([row + [0] * (longest - len(row)) for row in rows])


@NORMS
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("src", [SRC, WITH_HOLES], ids=["padded", "holes"])
def test_translate_equals_full_decoding(seed, src, norm_first):
    model = talkative(seed, norm_first=norm_first)
    for eos in (EOS, int(model.translate(src, bos_id=BOS, eos_id=EOS)[0, -1])):
        got = model.translate(src, bos_id=BOS, eos_id=eos)
        assert got.dtype == np.int64 and got.flags.writeable
        np.testing.assert_array_equal(got, step_by_step(model, src, MAX_LEN, eos))


def test_rows_end_on_their_own():
    """The test above is worth something: there are rows that end early, late and not at all."""
    ends = set()
    for seed in range(6):
        src, model = ids(V_SRC, 6, 7, seed=seed), talkative(seed)
        eos = int(model.translate(src, bos_id=BOS, eos_id=EOS)[0, -1])
        for row in model.translate(src, bos_id=BOS, eos_id=eos):
            end = list(row).index(eos) if eos in row else None
            ends.add(end)
            assert end is None or (row[end + 1 :] == 0).all()
    assert len(ends) > 3 and None in ends


def test_max_len_of_a_translation():
    model = talkative(3)
    full = model.translate(SRC, bos_id=BOS, eos_id=EOS)
    np.testing.assert_array_equal(model.translate(SRC, bos_id=BOS, eos_id=EOS, max_len=1), full[:, :1])
    with pytest.raises(ValueError, match="max_len is 13 but must be 1 to 12"):
        model.translate(SRC, bos_id=BOS, eos_id=EOS, max_len=13)
    with pytest.raises(ValueError, match="max_len is 0"):
        model.translate(SRC, bos_id=BOS, eos_id=EOS, max_len=0)


def test_translation_ignores_dropout_and_keeps_the_mode():
    model, plain = transformer(dropout=0.5), transformer()
    model.load_state_dict(talkative(0).state_dict())
    plain.load_state_dict(talkative(0).state_dict())
    assert model.training
    np.testing.assert_array_equal(
        model.translate(SRC, bos_id=BOS, eos_id=EOS), plain.translate(SRC, bos_id=BOS, eos_id=EOS)
    )
    assert model.training
    model.encoder.eval()
    with pytest.raises(ValueError, match="bos_id"):
        model.translate(SRC, bos_id=99, eos_id=EOS)
    assert model.training and not model.encoder.training
    model.translate(SRC, bos_id=BOS, eos_id=EOS)
    assert model.training and not model.encoder.training


def test_translating_nothing():
    out = transformer().translate(np.zeros((0, 4), np.int64), bos_id=BOS, eos_id=EOS)
    assert out.shape[0] == 0 and out.dtype == np.int64


# -------------------------------------------------------------------------------------------- names, dropout


def test_names_of_the_parameters():
    model = at.models.Transformer(8, HEADS, 1, 1, 16, V_SRC, V, MAX_LEN)
    names = set(model.state_dict())
    assert {"src_embedding.weight", "tgt_embedding.weight", "generator.weight", "generator.bias"} <= names
    assert "encoder.layers.0.self_attn.in_proj_weight" in names
    assert "decoder.layers.0.cross_attn.out_proj.bias" in names
    assert not any("norm." in name and ".layers." not in name for name in names)
    pre = at.models.Transformer(8, HEADS, 1, 1, 16, V_SRC, V, MAX_LEN, norm_first=True)
    assert set(pre.state_dict()) - names == {
        "encoder.norm.weight", "encoder.norm.bias", "decoder.norm.weight", "decoder.norm.bias",
    }  # fmt: skip


def test_the_seed_decides_the_first_weights():
    def state(seed):
        return at.models.Transformer(8, HEADS, 1, 1, 16, V_SRC, V, MAX_LEN, seed=seed).state_dict()

    for name, value in state(1).items():
        assert_same_bits(state(1)[name], value)
    assert (state(2)["generator.weight"] != state(1)["generator.weight"]).any()
    assert (state(None)["generator.weight"] != state(None)["generator.weight"]).any()


def test_dropout_is_for_training():
    model, plain = transformer(dropout=0.3), transformer()
    assert (model(SRC, TGT).numpy() != plain(SRC, TGT).numpy()).any()
    assert_same_bits(model.eval()(SRC, TGT), plain(SRC, TGT))


# ------------------------------------------------------------------------------------------------- save, load


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saved_and_loaded_to_the_bit(dtype, tmp_path):
    model = transformer(dtype=dtype, norm_first=True, activation="gelu", pad_id=3, dropout=0.25)
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = at.load(path)
    assert type(loaded) is at.models.Transformer and not loaded.training
    assert loaded.config == model.config
    for name, value in model.state_dict().items():
        assert_same_bits(loaded.state_dict()[name], value)
    assert_same_bits(loaded(SRC, TGT), model.eval()(SRC, TGT))
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


# ------------------------------------------------------------------------------------------------ wrong input


@pytest.mark.parametrize(
    ("src", "tgt", "error", "says"),
    [
        (SRC[0], TGT, ValueError, r"src has shape \(7,\) but must have 2 axes"),
        (SRC, TGT[0], ValueError, r"tgt has shape \(5,\) but must have 2 axes"),
        (SRC[:2], TGT, ValueError, "tgt has a batch of 3 but src has one of 2"),
        (ids(V_SRC, 3, 13), TGT, ValueError, "src has 13 positions but max_len is 12"),
        (SRC, ids(V, 3, 13), ValueError, "tgt has 13 positions but max_len is 12"),
        (np.full((3, 2), V_SRC), TGT, ValueError, "src holds 11 but must hold 0 to 10"),
        (np.full((3, 2), -1), TGT, ValueError, "src holds -1"),
        (SRC, np.full((3, 2), V), ValueError, "tgt holds 9 but must hold 0 to 8"),
        (SRC.astype(float), TGT, TypeError, "src has dtype float64 but must be int64"),
        (SRC, TGT.astype(np.float32), TypeError, "tgt has dtype float32"),
        (SRC.astype(bool), TGT, TypeError, "src has dtype bool"),
        (None, TGT, TypeError, "src is None"),
        (SRC, "text", TypeError, "tgt"),
    ],
)
def test_wrong_ids(src, tgt, error, says):
    with pytest.raises(error, match=rf"^Transformer: .*{says}"):
        transformer()(src, tgt)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"bos_id": V, "eos_id": EOS}, ValueError, "bos_id is 9 but must be 0 to 8"),
        ({"bos_id": BOS, "eos_id": -1}, ValueError, "eos_id is -1"),
        ({"bos_id": 1.0, "eos_id": EOS}, TypeError, "bos_id is a float"),
        ({"bos_id": BOS, "eos_id": EOS, "max_len": "9"}, TypeError, "max_len is a str"),
    ],
)
def test_wrong_translations(options, error, says):
    with pytest.raises(error, match=f"^translate: {says}"):
        transformer().translate(SRC, **options)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"d_model": 0}, ValueError, "d_model is 0 but must be 1 or more"),
        ({"d_model": 7}, ValueError, "d_model is 7 but must be a multiple of nhead, which is 2"),
        ({"nhead": -2}, ValueError, "nhead is -2"),
        ({"num_encoder_layers": -1}, ValueError, "num_layers is -1|num_encoder_layers is -1"),
        ({"dff": 0}, ValueError, "dff is 0"),
        ({"input_vocab_size": 0}, ValueError, "input_vocab_size is 0"),
        ({"target_vocab_size": 0}, ValueError, "target_vocab_size is 0"),
        ({"max_len": 0}, ValueError, "max_len is 0"),
        ({"pad_id": 9}, ValueError, "pad_id is 9"),
        ({"pad_id": -1}, ValueError, "pad_id is -1"),
        ({"dropout": 1.0}, ValueError, "is 1 but must be 0 or more and below 1"),
        ({"activation": "tanh"}, ValueError, "activation is 'tanh'"),
        ({"dtype": "float16"}, TypeError, "dtype is 'float16'"),
        ({"d_model": 8.0}, TypeError, "d_model is a float"),
        ({"input_vocab_size": 2**45}, (MemoryError, ValueError), "memory|input_vocab_size|bad_alloc"),
    ],
)
def test_wrong_constructions(change, error, says):
    arguments = {
        "d_model": 8, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 1, "dff": 16,
        "input_vocab_size": V_SRC, "target_vocab_size": V, "max_len": MAX_LEN,
    }  # fmt: skip
    with pytest.raises(error, match=says):
        at.models.Transformer(**{**arguments, **change})

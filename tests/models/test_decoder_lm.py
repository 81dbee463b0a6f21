"""DecoderLM: logits, causality, cached generation, training, saving."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, upstream
from layer_check import check_layer, gradients, in_double, randomized
from tolerance import assert_close, assert_same_bits

V, MAX_LEN, HEADS = 11, 12, 2
NORMS = pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])
TIES = pytest.mark.parametrize("tie_weights", [False, True], ids=["own weights", "tied"])
POSITIONS = pytest.mark.parametrize("positions", ["sinusoidal", "learned"])


def decoder_lm(seed=0, **options):
    settings = {"dff": 16, "dtype": "float64", **options}
    return randomized(at.models.DecoderLM(V, 8, HEADS, 2, MAX_LEN, **settings), seed)


def ids(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, V, shape)


IDS = ids(3, 7)


# --------------------------------------------------------------------------------------------------- against


@NORMS
@TIES
@POSITIONS
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(dtype, activation, positions, tie_weights, norm_first):
    options = {"norm_first": norm_first, "activation": activation}
    check_layer(
        decoder_lm(dtype=str(dtype), positions=positions, tie_weights=tie_weights, **options),
        [IDS],
        lambda ids, p: reference.decoder_lm(ids, p, HEADS, **options),
        lambda d, ids, p: (reference.decoder_lm_backward(d, ids, p, HEADS, **options),),
        scale=10.0,
    )


@NORMS
@TIES
@POSITIONS
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_torch(torch, activation, positions, tie_weights, norm_first):
    """Its encoder with a causal mask, embeddings before and a linear map behind: logits and all gradients."""
    model = decoder_lm(
        activation=activation, positions=positions, tie_weights=tie_weights, norm_first=norm_first
    )
    layer = torch.nn.TransformerEncoderLayer(
        8, HEADS, 16, 0.0, activation, batch_first=True, norm_first=norm_first, dtype=torch.float64
    )
    norm = torch.nn.LayerNorm(8, dtype=torch.float64) if norm_first else None
    stack = torch.nn.TransformerEncoder(layer, 2, norm, enable_nested_tensor=False)
    theirs = {name: torch.tensor(value, requires_grad=True) for name, value in in_double(model).items()}
    table = theirs["embedding.weight"]
    position = (
        theirs["position.weight"][:7]
        if positions == "learned"
        else torch.tensor(reference.sinusoidal_positional_encoding(7, 8))
    )
    x = np.sqrt(8) * table[torch.tensor(IDS)] + position
    of_stack = {
        name.removeprefix("decoder.").replace("feed_forward.", ""): value
        for name, value in theirs.items()
        if name.startswith("decoder.")
    }
    assert set(of_stack) == {name for name, _ in stack.named_parameters()}
    mask = torch.triu(torch.ones(7, 7, dtype=torch.bool), 1)
    y = torch.func.functional_call(stack, of_stack, (x,), {"mask": mask})
    logits = y @ (table if tie_weights else theirs["generator.weight"]).T
    if not tie_weights:
        logits = logits + theirs["generator.bias"]

    ours = model(IDS)
    assert_close(ours, logits.detach().numpy(), scale=10.0)
    d_logits = upstream(ours)
    ours.backward(d_logits)
    logits.backward(torch.tensor(d_logits))
    for name, gradient in gradients(model).items():
        assert_close(gradient, theirs[name].grad.numpy(), scale=100.0, what=name)


# ------------------------------------------------------------------------------------------------- properties


def test_the_past_does_not_see_the_future():
    model, changed = decoder_lm(), IDS.copy()
    changed[:, 4:] = (changed[:, 4:] + 1) % V
    before, after = model(IDS).numpy(), model(changed).numpy()
    assert_same_bits(after[:, :4].copy(), before[:, :4].copy())
    assert (after[:, 4:] != before[:, 4:]).any()


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (1, 1), (2, MAX_LEN)], ids=str)
def test_batches_of_any_shape(shape):
    assert decoder_lm()(ids(*shape)).shape == (*shape, V)


def test_no_layers_are_a_bigram_model():
    model = at.models.DecoderLM(V, 8, HEADS, 0, MAX_LEN, dtype="float64", seed=0)
    p = model.state_dict()
    x = np.sqrt(8) * p["embedding.weight"][IDS] + reference.sinusoidal_positional_encoding(7, 8)
    assert_close(model(IDS), x @ p["generator.weight"].T + p["generator.bias"])


def test_dropout_is_for_training():
    model, plain = decoder_lm(dropout=0.3), decoder_lm()
    assert (model(IDS).numpy() != plain(IDS).numpy()).any()
    assert_same_bits(model.eval()(IDS), plain(IDS))


def test_names_of_the_parameters():
    names = set(at.models.DecoderLM(V, 8, HEADS, 1, MAX_LEN).state_dict())
    assert {"embedding.weight", "generator.weight", "generator.bias"} <= names
    assert "decoder.layers.0.self_attn.in_proj_weight" in names
    assert "decoder.layers.0.feed_forward.linear2.bias" in names
    other = at.models.DecoderLM(
        V, 8, HEADS, 1, MAX_LEN, norm_first=True, tie_weights=True, positions="learned"
    )
    assert set(other.state_dict()) ^ names == {
        "decoder.norm.weight", "decoder.norm.bias", "position.weight", "generator.weight", "generator.bias",
    }  # fmt: skip


def test_the_first_weights():
    def state(seed):
        return at.models.DecoderLM(V, 8, HEADS, 1, MAX_LEN, seed=seed).state_dict()

    for name, value in state(1).items():
        assert_same_bits(state(1)[name], value)
    assert (state(2)["generator.weight"] != state(1)["generator.weight"]).any()
    assert state(1)["decoder.layers.0.feed_forward.linear1.weight"].shape == (32, 8)
    table = at.models.DecoderLM(1000, 64, 4, 0, MAX_LEN, seed=0).state_dict()["embedding.weight"]
    assert abs(table.std() * 8 - 1) < 0.02


# ------------------------------------------------------------------------------------------------- generation


def talkative(seed, **options):
    """Untrained, but the next token depends on all before it."""
    model = at.models.DecoderLM(V, 8, HEADS, 2, MAX_LEN, dtype="float64", seed=seed, **options)
    state = model.state_dict()
    for name, value in state.items():
        value *= 3 if "self_attn" in name else 0 if name == "generator.bias" else 1
    model.load_state_dict(state)
    return model


def step_by_step(model, given, count):
    """Greedy decoding by the whole model at every step: the definition of generate."""
    for _ in range(count):
        logits = model(given).numpy()[:, -1]
        given = np.concatenate([given, logits.argmax(-1)[:, None]], axis=1)
    return given


@NORMS
@TIES
@POSITIONS
@pytest.mark.parametrize("seed", range(3))
def test_generate_equals_the_whole_model_at_every_step(seed, positions, tie_weights, norm_first):
    model = talkative(seed, positions=positions, tie_weights=tie_weights, norm_first=norm_first)
    said = set()
    for given in (1, 4, MAX_LEN - 1):
        start = ids(5, given, seed=seed)
        got = model.generate(start, max_new_tokens=MAX_LEN - given)
        assert got.dtype == np.int64 and got.flags.writeable
        np.testing.assert_array_equal(got, step_by_step(model, start, MAX_LEN - given))
        said.update(got[:, given:].ravel().tolist())
    assert len(said) > 2  # not one token over and over


def test_generating_nothing():
    model = decoder_lm()
    np.testing.assert_array_equal(model.generate(IDS, max_new_tokens=0), IDS)
    assert model.generate(IDS[:0], max_new_tokens=2).shape == (0, 9)


def test_generation_ignores_dropout_and_keeps_the_mode():
    model, plain = decoder_lm(dropout=0.5), decoder_lm()
    np.testing.assert_array_equal(
        model.generate(IDS, max_new_tokens=5), plain.generate(IDS, max_new_tokens=5)
    )
    model.decoder.eval()
    model.generate(IDS, max_new_tokens=1)
    assert model.training and not model.decoder.training


# -------------------------------------------------------------------------------------------- training, files


@TIES
def test_trains_with_the_trainer(tie_weights):
    """The next token of a sequence that counts is certain after a few epochs."""
    counting = (np.random.default_rng(0).integers(0, V, (128, 1)) + np.arange(MAX_LEN)) % V
    model = at.models.DecoderLM(V, 32, HEADS, 1, MAX_LEN, tie_weights=tie_weights, seed=0)
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=3e-3))
    trainer.fit(counting[:, :-1], counting[:, 1:], epochs=15, progress=False)
    model.eval()
    loss = float(at.losses.CrossEntropy()(model(counting[:, :-1]), counting[:, 1:]))
    assert loss < 0.1 < np.log(V)
    np.testing.assert_array_equal(model.generate([[5]], max_new_tokens=11)[0], (5 + np.arange(12)) % V)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dtype": "float64", "norm_first": True, "activation": "gelu", "dropout": 0.25, "dff": 5},
        {"tie_weights": True, "positions": "learned"},
    ],
    ids=["defaults", "float64", "tied"],
)
def test_saved_and_loaded_to_the_bit(options, tmp_path):
    model = randomized(at.models.DecoderLM(V, 8, HEADS, 2, MAX_LEN, **options))
    model.save(tmp_path / "model.safetensors")
    loaded = at.load(tmp_path / "model.safetensors")
    assert type(loaded) is at.models.DecoderLM and not loaded.training
    assert loaded.config == model.config
    assert model.config == {
        "vocab_size": V, "d_model": 8, "num_heads": HEADS, "num_layers": 2, "max_len": MAX_LEN, "dff": 32,
        "dropout": 0.0, "activation": "relu", "norm_first": False, "positions": "sinusoidal",
        "tie_weights": False, "dtype": "float32", **options,
    }  # fmt: skip
    for name, value in model.state_dict().items():
        assert_same_bits(loaded.state_dict()[name], value)
    assert_same_bits(loaded(IDS), model.eval()(IDS))


@pytest.mark.parametrize(
    "change", [{"vocab_size": 10**9}, {"num_layers": 10**4}, {"dff": 10**9}, {"max_len": 10**9}], ids=str
)
def test_a_small_file_that_describes_a_huge_model(change, tmp_path):
    import json

    from safetensors.numpy import save

    model = decoder_lm(positions="learned")
    config = {"format": 1, "class": "DecoderLM", "config": {**model.config, **change}}
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(model.state_dict(), metadata={"attendo_config": json.dumps(config)}))
    with pytest.raises(ValueError, match="it describes more numbers than there are"):
        at.load(path)


# ------------------------------------------------------------------------------------------------ wrong input


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (IDS[0], ValueError, r"ids has shape \(7,\) but must have 2 axes"),
        (ids(3, 13), ValueError, "ids has 13 positions but max_len is 12"),
        (np.full((3, 2), V), ValueError, "ids holds 11 but must hold 0 to 10"),
        (np.full((3, 2), -1), ValueError, "ids holds -1"),
        (IDS.astype(float), TypeError, "ids has dtype float64 but must be int64"),
        (IDS.astype(bool), TypeError, "ids has dtype bool"),
        (None, TypeError, "ids is None"),
    ],
)
def test_wrong_ids(given, error, says):
    with pytest.raises(error, match=f"^DecoderLM: {says}"):
        decoder_lm()(given)
    with pytest.raises(error, match=f"^(DecoderLM|generate): {says}"):
        decoder_lm().generate(given, max_new_tokens=1)


@pytest.mark.parametrize(
    ("given", "count", "error", "says"),
    [
        (IDS, 6, ValueError, "max_new_tokens is 6 but must be 0 to 5: max_len is 12 and ids has 7 positions"),
        (IDS, -1, ValueError, "max_new_tokens is -1"),
        (IDS, 1.0, TypeError, "max_new_tokens is a float"),
        (IDS[:, :0], 1, ValueError, "ids has no positions"),
    ],
)
def test_wrong_generations(given, count, error, says):
    with pytest.raises(error, match=f"^generate: {says}"):
        decoder_lm().generate(given, max_new_tokens=count)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"vocab_size": 0}, ValueError, "vocab_size is 0 but must be 1 or more"),
        ({"d_model": 0}, ValueError, "d_model is 0"),
        ({"d_model": 7}, ValueError, "d_model is 7 but must be a multiple of num_heads, which is 2"),
        ({"num_heads": -2}, ValueError, "num_heads is -2"),
        ({"num_layers": -1}, ValueError, "num_layers is -1"),
        ({"max_len": 0}, ValueError, "max_len is 0"),
        ({"dff": 0}, ValueError, "dff is 0"),
        ({"dropout": 1.0}, ValueError, "is 1 but must be 0 or more and below 1"),
        ({"activation": "tanh"}, ValueError, "activation is 'tanh'"),
        ({"positions": "alibi"}, ValueError, "positions is 'alibi' but must be 'sinusoidal', 'learned'"),
        ({"dtype": "float16"}, TypeError, "dtype is 'float16'"),
        ({"d_model": 8.0}, TypeError, "d_model is a float"),
        ({"vocab_size": 2**45}, (MemoryError, ValueError), "memory|vocab_size|bad_alloc"),
        ({"d_model": 2**62}, (MemoryError, ValueError), "memory|d_model|bad_alloc|shape"),
    ],
)
def test_wrong_constructions(change, error, says):
    arguments = {"vocab_size": V, "d_model": 8, "num_heads": 2, "num_layers": 1, "max_len": MAX_LEN}
    with pytest.raises(error, match=says):
        at.models.DecoderLM(**{**arguments, **change})

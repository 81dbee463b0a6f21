"""TextEncoder: against the reference, padding, positions, files."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import check_layer, gradients, randomized
from tolerance import DIFFERENCE, STEP, assert_close, assert_same_bits

V, D, HEADS, MAX_LEN = 11, 8, 2, 12
LENGTHS = [7, 4, 0, 1]


def text_encoder(seed=0, **options):
    settings = {"dff": 16, "dtype": "float64", **options}
    return randomized(at.models.TextEncoder(V, D, HEADS, 2, MAX_LEN, **settings), seed)


def ids(*shape, high=V, seed=0):
    return np.random.default_rng(seed).integers(0, high, shape)


IDS = ids(4, 7)
PREFIX = np.arange(7) < np.array(LENGTHS)[:, None]
HOLES = np.random.default_rng(3).random((4, 7)) < 0.6


def run(model, *args, **kwargs):
    with at.no_grad():
        return model.eval()(*args, **kwargs).numpy()


# --------------------------------------------------------------------------------------------------- against


@pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])
@pytest.mark.parametrize("pad_id", [None, 3])
@pytest.mark.parametrize("types", [0, 2])
@pytest.mark.parametrize("mask", [None, PREFIX, HOLES], ids=["whole", "lengths", "holes"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(dtype, mask, types, pad_id, norm_first):
    token_types = ids(4, 7, high=types, seed=1) if types else None
    options = {"mask": mask, "types": token_types, "pad_id": pad_id, "norm_first": norm_first}
    check_layer(
        text_encoder(dtype=str(dtype), type_vocab_size=types, pad_id=pad_id, norm_first=norm_first),
        [IDS],
        lambda x, p: reference.text_encoder(x, p, HEADS, **options),
        lambda d, x, p: (reference.text_encoder_backward(d, x, p, HEADS, **options),),
        call=lambda model, x: model(x, mask, token_types),
        scale=10.0,
    )


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_pooler(activation):
    from attendo.reference.text_encoder import pooler, pooler_backward

    model = text_encoder(pooler=activation)
    state = model.state_dict()
    out = model.outputs(IDS)
    y = reference.text_encoder(IDS, state, HEADS)
    assert_close(out.last_hidden_state, y)
    assert_close(out.pooled, pooler(y, state, activation))
    d_pooled = np.random.default_rng(0).standard_normal((4, D))
    out.pooled.backward(d_pooled)
    d_y, right = pooler_backward(d_pooled, y, state, activation)
    right |= reference.text_encoder_backward(d_y, IDS, state, HEADS)
    size = max(np.abs(g).max() for g in right.values())
    for name, gradient in gradients(model).items():
        assert_close(gradient, right[name], scale=size, what=name)


@pytest.mark.parametrize("mask", [None, HOLES], ids=["whole", "holes"])
def test_gradients_are_slopes(mask):
    """Central differences along random directions of all parameters."""
    model = text_encoder(type_vocab_size=2, pooler="tanh", activation="silu", pad_id=0)
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal((4, 7, D)), rng.standard_normal((4, D))

    def loss():
        out = model.outputs(IDS, mask)
        return (out.last_hidden_state * u).sum() + (out.pooled * v).sum()

    loss().backward()
    found, state = gradients(model), model.state_dict()
    state = {name: value.copy() for name, value in state.items()}
    for _ in range(3):
        way = {name: rng.standard_normal(value.shape) for name, value in state.items()}
        sides = []
        for step in (STEP, -STEP):
            model.load_state_dict({name: value + step * way[name] for name, value in state.items()})
            sides.append(float(loss()))
        slope = sum(float((found[name] * way[name]).sum()) for name in state)
        allowed = DIFFERENCE * max(abs(slope), *map(abs, sides), 1.0) * len(state)
        assert abs((sides[0] - sides[1]) / (2 * STEP) - slope) < allowed


# --------------------------------------------------------------------------------------------------- padding


@pytest.mark.parametrize("mask", [PREFIX, HOLES, HOLES[:, ::-1].copy()], ids=["lengths", "holes", "others"])
@pytest.mark.parametrize("options", [{}, {"norm_first": True, "type_vocab_size": 3}, {"pad_id": 0}], ids=str)
def test_padding_is_skipped_without_the_tape(options, mask):
    """Real tokens alone, one sequence after the other, give what the whole batch gives."""
    model = text_encoder(pooler="tanh", **options).eval()
    types = ids(4, 7, high=3, seed=5) if "type_vocab_size" in options else None
    with at.no_grad():
        packed = model.outputs(IDS, mask, types)
    whole = model.outputs(IDS, mask, types, hidden_states=True)  # which keeps padding
    assert_close(packed.last_hidden_state, whole.last_hidden_state.numpy())
    assert_close(packed.pooled, whole.pooled.numpy())
    assert not packed.last_hidden_state.numpy()[~mask].any()
    assert not whole.last_hidden_state.numpy()[~mask].any()
    assert_same_bits(whole.hidden_states[-1], whole.last_hidden_state)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_padded_equals_unpadded(training, grad):
    model = text_encoder().train(training)
    with at.no_grad() if not grad else at.enable_grad():
        batch = model(IDS, PREFIX).numpy()
        for row, n, y in zip(IDS, LENGTHS, batch, strict=True):
            assert_close(y[:n], model(row[None, :n]).numpy()[0])


def test_what_stands_at_padding_does_not_matter():
    model, other = text_encoder(), np.where(PREFIX, IDS, (IDS + 3) % V)
    assert (other != IDS).any()
    assert_same_bits(model(IDS, PREFIX), model(other, PREFIX))
    assert_same_bits(run(model, IDS, PREFIX), run(model, other, PREFIX))


def test_lengths_are_a_mask():
    model = text_encoder()
    assert_same_bits(model(IDS, at.masks.lengths(LENGTHS)), model(IDS, PREFIX))
    assert_same_bits(run(model, IDS, at.masks.lengths(LENGTHS)), run(model, IDS, PREFIX))
    assert_same_bits(model(IDS, np.ones((4, 7), bool)), model(IDS))


def test_nan_behind_the_padding():
    """The row of a table that only padding reads holds NaN, and nobody sees it."""
    model, given = text_encoder(), np.where(PREFIX, IDS % (V - 1), V - 1)
    state = model.state_dict()
    before = model(given, PREFIX).numpy().copy()
    state["embedding.weight"] = state["embedding.weight"].copy()
    state["embedding.weight"][V - 1] = np.nan
    model.load_state_dict(state)
    assert_close(model(given, PREFIX), before)
    assert_close(run(model, given, PREFIX), before)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (1, 1), (2, MAX_LEN)], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_batches_of_any_shape(shape, masked):
    mask = np.zeros(shape, bool) if masked else None
    assert run(text_encoder(), ids(*shape), mask).shape == (*shape, D)
    assert text_encoder()(ids(*shape), mask).shape == (*shape, D)


@pytest.mark.parametrize("threads", [2, 4])
def test_the_same_bits_on_any_number_of_threads(threads):
    model = text_encoder(dtype="float32")
    at.set_num_threads(1)
    one = run(model, IDS, HOLES)
    at.set_num_threads(threads)
    assert_same_bits(run(model, IDS, HOLES), one)


# ------------------------------------------------------------------------------------------------- properties


def test_every_token_sees_all_others():
    model, changed = text_encoder(), IDS.copy()
    changed[:, 3] = (changed[:, 3] + 1) % V
    assert (np.abs(model(IDS).numpy() - model(changed).numpy()).max(axis=-1) > 0).all()


def test_outputs():
    model = text_encoder(type_vocab_size=2)
    out = model.outputs(IDS, HOLES, hidden_states=True, attentions=True)
    assert len(out.hidden_states) == 3 and len(out.attentions) == 2 and out.pooled is None
    assert_same_bits(out.last_hidden_state, model(IDS, HOLES))
    for weights in out.attentions:
        assert weights.shape == (4, HEADS, 7, 7)
        assert not weights.numpy()[np.broadcast_to(~HOLES[:, None, None], weights.shape)].any()
        some = HOLES.any(axis=1)
        assert_close(weights.numpy()[some].sum(-1), np.ones((some.sum(), HEADS, 7)))


def test_positions_behind_that_of_padding():
    model = at.models.TextEncoder(V, D, HEADS, 0, 5, pad_id=1, norm_eps=0.0, dtype="float64", seed=0)
    state = model.state_dict()

    def right(tokens, at_positions):
        x = state["embedding.weight"][tokens] + state["position.weight"][at_positions]
        return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)

    given = [[5, 1, 6, 7], [1, 1, 4, 1]]
    assert_close(model(given), right(given, [[2, 1, 3, 4], [1, 1, 2, 1]]))
    assert model([[5, 6, 7, 1, 1, 1]]).shape == (1, 6, D)  # three tokens fit; padding takes no position
    with pytest.raises(ValueError, match="ids has a row of more than 3 tokens but max_len is 5"):
        model([[5, 6, 7, 8]])


def test_sinusoidal_and_no_positions():
    plain = text_encoder(positions="none")
    turned = IDS[:, ::-1].copy()
    assert_close(plain(turned), plain(IDS).numpy()[:, ::-1])
    state = text_encoder(positions="sinusoidal").state_dict()
    assert "position.weight" not in state
    model = at.models.TextEncoder(V, D, HEADS, 0, MAX_LEN, positions="sinusoidal", dtype="float64", seed=0)
    x = model.state_dict()["embedding.weight"][IDS] + reference.sinusoidal_positional_encoding(7, D)
    assert_close(model(IDS), reference.layer_norm(x, np.ones(D), np.zeros(D), 1e-12))


def test_dropout_is_for_training():
    model, plain = text_encoder(dropout=0.3), text_encoder()
    assert (model(IDS).numpy() != plain(IDS).numpy()).any()
    assert_same_bits(model.eval()(IDS), plain(IDS))


# ------------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dtype": "float64", "norm_first": True, "dropout": 0.25, "dff": 5, "norm_eps": 1e-5},
        {"type_vocab_size": 2, "pad_id": 1, "pooler": "tanh", "activation": "relu", "norm": "rms"},
        {"positions": "sinusoidal", "num_kv_heads": 1, "head_dim": 6, "bias": False},
    ],
    ids=["defaults", "float64", "roberta", "others"],
)
def test_saved_and_loaded_to_the_bit(options, tmp_path):
    model = randomized(at.models.TextEncoder(V, D, HEADS, 2, MAX_LEN, **options))
    model.save(tmp_path / "model.safetensors")
    loaded = at.load(tmp_path / "model.safetensors")
    assert type(loaded) is at.models.TextEncoder and not loaded.training
    assert loaded.config == model.config
    assert model.config == {
        "vocab_size": V, "d_model": D, "num_heads": HEADS, "num_layers": 2, "max_len": MAX_LEN, "dff": 32,
        "type_vocab_size": 0, "positions": "learned", "dropout": 0.0, "activation": "gelu",
        "norm_first": False, "dtype": "float32", "norm_eps": 1e-12, **options,
    }  # fmt: skip
    for name, value in model.state_dict().items():
        assert_same_bits(loaded.state_dict()[name], value)
    assert_same_bits(loaded(IDS), model.eval()(IDS))


def test_names_of_the_parameters():
    names = set(at.models.TextEncoder(V, D, HEADS, 1, MAX_LEN).state_dict())
    assert {"embedding.weight", "position.weight", "norm.weight", "norm.bias"} <= names
    other = at.models.TextEncoder(
        V, D, HEADS, 1, MAX_LEN, norm_first=True, type_vocab_size=2, pooler="tanh", positions="none"
    )
    assert set(other.state_dict()) ^ names == {
        "position.weight", "encoder.norm.weight", "encoder.norm.bias", "token_type.weight", "pooler.weight",
        "pooler.bias",
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------ wrong input


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ((IDS[0],), ValueError, r"ids has shape \(7,\) but must have 2 axes"),
        ((ids(3, 13),), ValueError, "ids has 13 positions but max_len is 12"),
        ((np.full((3, 2), V),), ValueError, "ids holds 11 but must hold 0 to 10"),
        ((np.full((3, 2), -1),), ValueError, "ids holds -1"),
        ((IDS.astype(float),), TypeError, "ids has dtype float64 but must be int64"),
        ((None,), TypeError, "ids is None"),
        (
            (IDS, PREFIX.astype(int)),
            TypeError,
            r"mask has dtype int64 but must be bool \(True = a real token\)",
        ),
        ((IDS, PREFIX.astype(float)), TypeError, "mask has dtype float64"),
        ((IDS, PREFIX[:2]), ValueError, r"mask has shape \(2, 7\) but must have that of ids, \(4, 7\)"),
        ((IDS, PREFIX[:, None]), ValueError, "mask has shape"),
        ((IDS, at.masks.causal()), ValueError, "mask must say which tokens are real"),
        ((IDS, at.masks.lengths(LENGTHS) & at.masks.causal()), ValueError, "mask must say which"),
        ((IDS, at.masks.lengths([1, 2])), ValueError, "lengths"),
        ((IDS, None, IDS % 2), ValueError, "token_types was given but the model has none"),
    ],
)
def test_wrong_inputs(given, error, says):
    with pytest.raises(error, match=f"^TextEncoder: .*{says}"):
        text_encoder()(*given)


@pytest.mark.parametrize(
    ("types", "error", "says"),
    [
        (IDS, ValueError, "token_types holds .* but must hold 0 to 1"),
        (IDS[:2] % 2, ValueError, "token_types has shape"),
        (IDS % 2 == 0, TypeError, "token_types has dtype bool"),
    ],
)
def test_wrong_types(types, error, says):
    with pytest.raises(error, match=f"^TextEncoder: {says}"):
        text_encoder(type_vocab_size=2)(IDS, None, types)


def test_a_pooler_needs_a_token():
    with pytest.raises(ValueError, match="TextEncoder: ids has no positions"):
        text_encoder(pooler="tanh")(IDS[:, :0])


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"vocab_size": 0}, ValueError, "vocab_size is 0 but must be 1 or more"),
        ({"d_model": 7}, ValueError, "d_model is 7 and num_heads is 2"),
        ({"num_heads": -2}, ValueError, "num_heads is -2"),
        ({"num_layers": -1}, ValueError, "num_layers is -1"),
        ({"max_len": 0}, ValueError, "max_len is 0"),
        ({"dff": 0}, ValueError, "dff is 0"),
        ({"type_vocab_size": -1}, ValueError, "type_vocab_size is -1"),
        ({"positions": "rotary"}, ValueError, "positions is 'rotary' but must be 'learned', 'sinusoidal'"),
        ({"pooler": "gelu"}, ValueError, "pooler is 'gelu' but must be"),
        ({"pad_id": V}, ValueError, "pad_id is 11 but must be 0 to 10"),
        ({"pad_id": -1}, ValueError, "pad_id is -1"),
        ({"max_len": 1, "pad_id": 0}, ValueError, "pad_id is 0"),
        ({"activation": "tanh"}, ValueError, "activation is 'tanh'"),
        ({"norm_eps": -1.0}, ValueError, "eps is -1"),
        ({"dtype": "float16"}, TypeError, "dtype is 'float16'"),
        ({"d_model": 8.0}, TypeError, "d_model is a float"),
        ({"window": 3}, TypeError, "there is no argument window"),
        ({"vocab_size": 2**45}, (MemoryError, ValueError), "memory|vocab_size|bad_alloc"),
        ({"max_len": 2**62}, (MemoryError, ValueError), "memory|max_len|bad_alloc|shape"),
    ],
)
def test_wrong_constructions(change, error, says):
    arguments = {"vocab_size": V, "d_model": 8, "num_heads": 2, "num_layers": 1, "max_len": MAX_LEN}
    with pytest.raises(error, match=says):
        at.models.TextEncoder(**{**arguments, **change})

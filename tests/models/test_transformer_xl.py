"""TransformerXL: logits, the memory of segments, decoding, training, saving."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import in_double, randomized
from tolerance import DIFFERENCE, STEP, assert_close, assert_same_bits

V, HEADS = 11, 2
NORMS = pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])


def transformer_xl(seed=0, layers=2, memory_length=5, **options):
    settings = {"dff": 12, "dtype": "float64", **options}
    return randomized(at.models.TransformerXL(V, 8, HEADS, layers, memory_length, **settings), seed)


def ids(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, V, shape)


@NORMS
@pytest.mark.parametrize("tie_weights", [False, True], ids=["own weights", "tied"])
@pytest.mark.parametrize("activation", ["relu", "swiglu"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(dtype, activation, tie_weights, norm_first):
    model = transformer_xl(
        dtype=str(dtype), activation=activation, tie_weights=tie_weights, norm_first=norm_first
    )
    memory, right_memory = None, None
    for i in range(4):  # longer than the memory
        segment = ids(3, 2 + i % 2, seed=i)
        logits, memory = model.segment(segment, memory)
        right, right_memory = reference.transformer_xl(
            segment, in_double(model), HEADS, 5, right_memory, norm_first, activation
        )
        assert_close(logits, right, dtype, scale=20.0)
        for got, expected in zip(memory, right_memory, strict=True):
            assert_close(got, expected, dtype, scale=20.0)
            assert not got.requires_grad
    assert_close(model(ids(2, 4)), reference.transformer_xl(ids(2, 4), in_double(model), HEADS, 5,
                 None, norm_first, activation)[0], dtype, scale=20.0)  # fmt: skip


@NORMS
@pytest.mark.parametrize("cuts", [(6,), (3, 3), (1, 2, 3), (1,) * 6])
def test_segments_are_the_whole(norm_first, cuts):
    model, text = transformer_xl(memory_length=6, norm_first=norm_first), ids(2, 6)
    memory, logits, begin = None, [], 0
    for length in cuts:
        one, memory = model.segment(text[:, begin : begin + length], memory)
        logits.append(one.numpy())
        begin += length
    assert_close(np.concatenate(logits, axis=1), model(text).numpy(), scale=10.0)


@NORMS
def test_gradients(norm_first):
    """With a memory, which is a constant; along random directions."""
    model, segment = transformer_xl(norm_first=norm_first), ids(2, 4, seed=1)
    rng = np.random.default_rng(0)
    _, memory = model.segment(ids(2, 3))
    logits, _ = model.segment(segment, memory)
    d_logits = rng.standard_normal(logits.shape)
    model.zero_grad()
    logits.backward(d_logits)
    start = {name: value.copy() for name, value in model.state_dict().items()}
    directions = {name: rng.standard_normal(value.shape) for name, value in start.items()}

    def value(step):
        model.load_state_dict({name: start[name] + step * directions[name] for name in start})
        return float(np.sum(model.segment(segment, memory)[0].numpy() * d_logits))

    slope = sum(float(np.sum(p.grad.numpy() * directions[name])) for name, p in model.named_parameters())
    assert abs(slope - (value(STEP) - value(-STEP)) / (2 * STEP)) <= DIFFERENCE * max(100.0, abs(slope))


def test_weights_do_not_change_the_logits():
    model = transformer_xl()
    logits, memory = model.segment(ids(2, 3))
    again, _, weights = model.segment(ids(2, 3), return_weights=True)
    assert_same_bits(again, logits)
    _, _, weights = model.segment(ids(2, 4), memory, return_weights=True)
    assert [w.shape for w in weights] == [(2, HEADS, 4, 7)] * 2
    assert_close(weights[0].numpy().sum(axis=-1), np.ones((2, HEADS, 4)))


@NORMS
def test_generate_is_the_same_as_reading_again(norm_first):
    model, prompt = transformer_xl(memory_length=20, norm_first=norm_first).eval(), ids(3, 4)
    got = model.generate(prompt, max_new_tokens=8)
    text = prompt
    for _ in range(8):
        text = np.concatenate([text, model(text).numpy()[:, -1].argmax(axis=-1)[:, None]], axis=1)
    assert got.tolist() == text.tolist()
    beams = model.generate(prompt, max_new_tokens=6, num_beams=3)
    alone = [model.generate(row[None], max_new_tokens=6, num_beams=3)[0].tolist() for row in prompt]
    assert beams.tolist() == alone


def test_memory_teaches():
    """The second half of a text repeats its first: only a model that remembers can know it."""
    rng = np.random.default_rng(0)
    text = rng.integers(0, V, (128, 6))
    model = at.models.TransformerXL(V, 32, 4, 2, memory_length=6, seed=0)
    optimizer = at.optim.Adam(lr=3e-3)
    optimizer.attach(model)
    loss = at.losses.CrossEntropy()
    for _ in range(150):
        model.zero_grad()
        _, memory = model.segment(text)
        logits, _ = model.segment(text[:, :-1], memory)
        value = loss(logits, text[:, 1:])
        value.backward()
        optimizer.step()
        text = rng.integers(0, V, (128, 6))
    _, memory = model.eval().segment(text)
    logits, _ = model.segment(text[:, :-1], memory)
    remembered = (logits.numpy().argmax(axis=-1) == text[:, 1:]).mean()
    forgotten = (model(text[:, :-1]).numpy().argmax(axis=-1) == text[:, 1:]).mean()
    assert remembered > 0.9 > 0.3 > forgotten


def test_saved_and_loaded(tmp_path):
    model = transformer_xl(tie_weights=True, norm_first=True).eval()
    model.save(tmp_path / "model.safetensors")
    again = at.load(tmp_path / "model.safetensors")
    assert again.config == model.config
    assert_same_bits(again(ids(2, 3)), model(ids(2, 3)))


@pytest.mark.parametrize(
    "change, error, says",
    [
        ({"vocab_size": 0}, ValueError, "vocab_size is 0"),
        ({"d_model": 9}, ValueError, "d_model is 9"),
        ({"memory_length": -1}, ValueError, "memory_length is -1"),
        ({"num_layers": 10**6}, ValueError, "num_layers is 1000000"),
        ({"activation": "swish"}, ValueError, "activation is 'swish'"),
        ({"head_dim": 4}, TypeError, "head_dim"),
    ],
)
def test_wrong_constructions(change, error, says):
    arguments = {"vocab_size": V, "d_model": 8, "num_heads": 2, "num_layers": 1, "memory_length": 3}
    with pytest.raises(error, match=says):
        at.models.TransformerXL(**{**arguments, **change})


def test_wrong_calls():
    model = transformer_xl()
    _, memory = model.segment(ids(2, 3))
    with pytest.raises(ValueError, match="memory has 1 arrays but there are 2 layers"):
        model.segment(ids(2, 3), memory[:1])
    with pytest.raises(ValueError, match="memory has a batch of 2 but ids has one of 3"):
        model.segment(ids(3, 3), memory)
    with pytest.raises(TypeError, match=r"memory is a numpy\.ndarray"):
        model.segment(ids(2, 3), np.zeros((2, 2, 3, 8)))
    with pytest.raises(ValueError, match=f"ids holds {V}"):
        model([[V]])
    with pytest.raises(ValueError, match="unequal lengths"):
        model.generate([[1, 2], [3]], max_new_tokens=1)

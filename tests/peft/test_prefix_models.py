"""A prefix on whole models: decoding with a cache, padding, what is shown of the weights."""

import numpy as np
import pytest
from peft_models import DECODERS, IDS, MODELS, decoded, made, moved, output

import attendo as at
from tolerance import assert_close, assert_same_bits

WITH_PREFIX = [name for name in MODELS if name != "xl"]


def prefixed(name, length=3, dtype="float64"):
    return moved(at.peft.prefix(made(name, dtype), length, seed=0))


@pytest.mark.parametrize("name", WITH_PREFIX)
def test_it_alone_trains_and_comes_off(name):
    model = made(name)
    before, modules = output(model, name).numpy(), str(model)
    at.peft.prefix(model, 3, seed=0)
    layers = sum(isinstance(m, at.nn.MultiHeadAttention) for m in model.modules())
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert len(trained) == 2 * layers and {n.split(".")[-2] for n in trained} == {"prefix"}
    y = output(moved(model), name)
    assert np.abs(y.numpy() - before).max() > 1e-2
    y.backward(np.random.default_rng(0).standard_normal(y.shape))
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
    at.peft.remove(model)
    assert_same_bits(output(model, name), before)
    assert str(model) == modules


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", DECODERS)
def test_decoding_on_the_cache(name, beams):
    got, expected = decoded(prefixed(name), name, beams)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_prompts_of_unequal_length(name):
    """In one batch as each alone: in it the cache is ragged."""
    model = prefixed(name)
    prompts = [[3, 4, 5, 6, 7], [8, 9], [10, 11, 12]]
    alone = [model.generate([p], max_new_tokens=5)[0][len(p) :] for p in prompts]
    together = model.generate(prompts, max_new_tokens=5)
    for row, prompt, expected in zip(together, prompts, alone, strict=True):
        assert list(row[len(prompt) : len(prompt) + 5]) == list(expected)


def test_without_padding_as_with():
    """On the tape padding is masked, without gradients it is not computed: neither hides the prefix."""
    model, ids = prefixed("encoder"), IDS.copy()
    ids[1, 5:] = 0
    alone = model(ids[1:2, :5]).numpy()[0]
    assert_close(model(ids, mask=ids != 0).numpy()[1, :5], alone, scale=100)
    with at.no_grad():
        assert_close(model(ids, mask=ids != 0).numpy()[1, :5], alone, scale=100)


def test_causal_outputs_ignore_the_future():
    model, other = prefixed("gpt2"), IDS.copy()
    other[:, 6:] = (other[:, 6:] + 1) % 30
    one, two = (model(ids).numpy() for ids in (IDS, other))
    assert_close(one[:, :6], two[:, :6], scale=100)
    assert np.abs(one[:, 6:] - two[:, 6:]).max() > 1e-2


def test_weights_leave_room_for_it():
    model = prefixed("gpt2")
    weights = model.outputs(IDS, attentions=True).attentions[0].numpy()
    assert weights.shape == (3, 4, 9, 9)
    assert (weights.sum(-1) < 1).all() and (weights.sum(-1) > 0).all()


def test_where():
    model = at.peft.prefix(made("translator"), 2, targets="cross_attn", seed=0)
    assert {n.split(".")[-3] for n in model.state_dict() if ".prefix." in n} == {"cross_attn"}
    first = model.state_dict()["decoder.layers.0.cross_attn.prefix.key"]
    again = at.peft.prefix(made("translator"), 2, targets="cross_attn", seed=0)
    assert_same_bits(again.state_dict()["decoder.layers.0.cross_attn.prefix.key"], first)
    many = at.peft.prefix(made("translator", "float32"), 1000, seed=1)
    values = np.concatenate([v.ravel() for n, v in many.state_dict().items() if ".prefix." in n])
    assert abs(values.std() - 0.02) < 4e-4 and abs(values.mean()) < 4e-4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"length": 0}, "prefix: length is 0 but must be 1 to 65536"),
        ({"length": 10**9}, "prefix: length is 1000000000 but must be 1 to 65536"),
        ({"targets": "feed_forward"}, "prefix: targets holds 'feed_forward', which no name fits"),
    ],
)
def test_errors_leave_the_model_alone(options, says):
    model = made("gpt2")
    modules = str(model)
    with pytest.raises(ValueError, match=says):
        at.peft.prefix(model, **options)
    assert str(model) == modules and all(p.requires_grad for p in model.parameters())
    at.peft.prefix(model, 2)
    with pytest.raises(ValueError, match="has a module 'prefix' already"):
        at.peft.prefix(model, 2)
    with pytest.raises(ValueError, match=r"merge: .* has a prefix, which no matrix can hold"):
        at.peft.merge(model)


def test_all_three_together():
    model = made("gpt2")
    before = output(model, "gpt2").numpy()
    at.peft.adapters(at.peft.prefix(at.peft.lora(model, 2, seed=0), 2, seed=0), 4, seed=0)
    trained = {n.split(".")[-2] for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {"q_lora", "v_lora", "prefix", "adapter"}
    got, expected = decoded(moved(model), "gpt2")
    np.testing.assert_array_equal(got, expected)
    at.peft.remove(model)
    assert_same_bits(output(model, "gpt2"), before)

"""Parameters by their names: frozen, let go, counted; and what a frozen matrix spares."""

import numpy as np
import pytest
from peft_models import IDS, made

import attendo as at
from tolerance import assert_same_bits


def training(model):
    return {n for n, p in model.named_parameters() if p.requires_grad}


def test_by_patterns():
    model = made("gpt2")
    everything = training(model)
    assert at.peft.freeze(model, "embedding.*", "decoder.layers.0.*") is model
    assert training(model) == {n for n in everything if not n.startswith(("embedding.", "decoder.layers.0."))}
    at.peft.unfreeze(model, "decoder.layers.0.feed_forward")
    assert "decoder.layers.0.feed_forward.linear1.bias" in training(model)
    assert "decoder.layers.0.norm1.weight" not in training(model)
    at.peft.freeze(model)
    assert not training(model)
    at.peft.unfreeze(model)
    assert training(model) == everything


def test_errors():
    model = made("gpt2")
    with pytest.raises(
        ValueError, match=r"freeze: patterns holds 'weight', which no name fits; there are: emb"
    ):
        at.peft.freeze(model, "embedding.*", "weight")
    assert all(p.requires_grad for p in model.parameters())
    with pytest.raises(TypeError, match="unfreeze: patterns is"):
        at.peft.unfreeze(model, 3)
    with pytest.raises(TypeError, match="int8"):
        at.peft.unfreeze(model.to_int8())


def test_counts():
    model = at.peft.freeze(made("gpt2"), "decoder")
    counts = at.peft.trainable(model)
    total = sum(p.size for p in model.parameters())
    own = sum(p.size for n, p in model.named_parameters() if not n.startswith("decoder"))
    assert (counts.trainable, counts.total) == (own, total)
    assert counts.percentage == pytest.approx(100 * own / total)
    assert sum(t for _, t in counts.parts.values()) == total and counts.parts["decoder"][0] == 0
    lines = str(counts).splitlines()
    assert lines[0].split() == ["part", "trainable", "total", "%"] and lines[-1].split()[0] == "all"
    assert at.peft.trainable(at.nn.ReLU()) == (0, 0, 0.0, {})


def fitted_history(model, epochs):
    optimizer = at.optim.AdamW(lr=0.01, weight_decay=0.1)
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), optimizer, seed=0)
    return trainer.fit(IDS[:, :-1], IDS[:, 1:], epochs=epochs, batch_size=3, progress=False)["loss"]


def fitted(model, epochs=3):
    fitted_history(model, epochs)
    return model


ATTACHED = {
    "lora": lambda model: at.peft.lora(model, 2, seed=0),
    "prefix": lambda model: at.peft.prefix(model, 3, seed=0),
    "adapters": lambda model: at.peft.adapters(model, 4, seed=0),
    "biases": lambda model: at.peft.unfreeze(at.peft.freeze(model), "*bias"),
}


@pytest.mark.parametrize("how", ATTACHED)
def test_the_trainer_moves_nothing_else(how):
    model = ATTACHED[how](made("gpt2", "float32"))
    before, wanted = model.state_dict(), training(model)
    after = fitted(model).state_dict()
    for name, value in before.items():
        if name not in wanted:
            assert_same_bits(after[name], value, name)
    moved = {name for name in wanted if not np.array_equal(after[name], before[name])}
    still = {n for n in wanted - moved if not n.endswith("in_proj_bias")}  # the keys' part has no gradient
    assert not still


def test_a_trained_lora_model_merges_to_what_it_was():
    model = at.peft.lora(made("gpt2", "float32"), 2, seed=0)
    fitted(model, 5).eval()
    before = model(IDS).numpy()
    after = at.peft.merge(model)(IDS).numpy()
    assert np.abs(after - before).max() < 1e-5 * np.abs(before).max()
    assert np.abs(fitted(model, 1).eval()(IDS).numpy() - after).max() > 1e-3


def test_frozen_matrices_cost_no_memory_for_gradients():
    """A step of LoRA leaves gradients and an optimizer of its own size, not of the model's."""
    model = at.models.DecoderLM(50, 128, 4, 4, 16, dff=512, seed=0)
    full = sum(p.size for p in model.parameters())
    at.peft.lora(model, 4, seed=0)
    count = at.peft.trainable(model).trainable
    assert count < 0.02 * full
    optimizer = at.optim.Adam(lr=1e-3)
    optimizer.attach(model)
    loss = (model(IDS % 50) * 1.0).sum()
    loss.backward()
    gradients = sum(p.grad.size for p in model.parameters() if p.grad is not None)
    assert gradients == count


def step_of(module, x):
    def step():
        module(x).sum().backward()

    return step


@pytest.mark.parametrize("bias", [True, False])
def test_the_gradient_of_a_frozen_matrix_is_not_computed(bias):
    """Counted in FLOPs: forward and dx of W, and of A and B all there is."""
    rows, d_in, d_out, rank = 64, 96, 80, 4
    x = at.tensor(np.ones((rows, d_in), "float32"), requires_grad=True)
    layer = at.nn.Linear(d_in, d_out, bias, seed=0)
    product = 2 * rows * d_in * d_out
    assert at.count_flops(step_of(layer, x)) == 3 * product
    at.peft.freeze(layer)
    assert at.count_flops(step_of(layer, x)) == 2 * product
    at.peft.lora(layer, rank, targets="weight", seed=0)
    assert at.count_flops(step_of(layer, x)) == 2 * product + 3 * 2 * rows * rank * (d_in + d_out)
    assert at.count_flops(step_of(layer, x.detach())) == product + 2 * rows * rank * (2 * d_in + 3 * d_out)


def test_a_step_makes_a_third_less():
    model = at.models.DecoderLM(50, 64, 4, 4, 16, dff=256, seed=0)
    ids = np.ones((4, 16), int)
    full = at.count_flops(step_of(model, ids))
    at.peft.lora(model, 2, seed=0)
    assert at.count_flops(step_of(model, ids)) < 0.72 * full


def test_an_int8_model_trains_by_what_is_attached():
    model = made("gpt2", "float32").to_int8()
    with pytest.raises(ValueError, match="int8"):
        fitted(model)
    at.peft.lora(model, 4, targets=("in_proj", "out_proj", "linear*"), seed=0)
    before = model.state_dict()
    losses = fitted_history(model, 40)
    assert losses[-1] < 0.8 * losses[0]
    for name, value in model.state_dict().items():
        assert name.endswith((".A", ".B")) or np.array_equal(value, before[name])

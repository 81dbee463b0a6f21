"""LoRA on whole models: nothing at first, then what the sum of the matrices gives, on every way."""

import numpy as np
import pytest
from peft_models import DECODERS, MODELS, OTHERS, decoded, made, moved, output

import attendo as at
from inputs import THREADS
from tolerance import assert_close, assert_same_bits

RANK, ALPHA = 3, 4.5


def lora(model, targets="*", **options):
    return at.peft.lora(model, RANK, ALPHA, targets, seed=0, **options)


def places(model):
    """Of each update: the matrix it changes, its rows, and the names of A and B."""
    state, found = model.state_dict(), []
    for name in state:
        if not name.endswith(".A"):
            continue
        owner, _, child = name.removesuffix(".A").rpartition(".")
        owner = f"{owner}." if owner else ""
        part = child.removesuffix("lora").rstrip("_")
        matrix = f"{owner}{part}_proj_weight" if part else f"{owner}weight"
        rows = slice(None)
        if matrix not in state:
            matrix = f"{owner}in_proj_weight"
            layer = dict(model.named_modules())[owner.rstrip(".")]
            heads = layer.num_heads * getattr(layer, "head_dim", layer.d_model // layer.num_heads)
            keys = getattr(layer, "num_kv_heads", layer.num_heads) * (heads // layer.num_heads)
            begin = {"q": 0, "k": heads, "v": heads + keys}[part]
            rows = slice(begin, begin + state[name.replace(".A", ".B")].shape[0])
        found.append((matrix, rows, name, name.removesuffix("A") + "B"))
    return found


def summed(name, model):
    """A model of its own with W + (α / r) B A, added up by NumPy."""
    state, plain = model.state_dict(), made(name)
    for matrix, rows, a, b in places(model):
        state[matrix] = state[matrix].copy()
        state[matrix][rows] += ALPHA / RANK * (state[b] @ state[a])
    plain.load_state_dict({n: v for n, v in state.items() if n in plain.state_dict()})
    return plain


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*MODELS, *OTHERS])
def test_nothing_changes_at_first_and_all_else_is_frozen(name, dtype):
    model = made(name, dtype)
    before, modules = output(model, name).numpy(), str(model)
    lora(model)
    assert_same_bits(output(model, name), before)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {n for n in model.state_dict() if n.endswith((".A", ".B"))} and len(trained) >= 4
    moved(model)
    assert np.abs(output(model, name).numpy() - before).max() > 1e-2
    at.peft.remove(model)
    assert_same_bits(output(model, name), before)
    assert str(model) == modules
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", [*MODELS, *OTHERS])
def test_it_is_the_sum_and_so_are_its_gradients(name):
    """With G = dL/d(W + s B A) of the model with the sum:  dA = s Bᵀ G,  dB = s G Aᵀ."""
    model = moved(lora(made(name)))
    plain = summed(name, model)
    y, expected = output(model, name), output(plain, name)
    scale = max(10.0, float(np.abs(expected.numpy()).max()))
    assert_close(y.numpy(), expected.numpy(), scale=10 * scale)
    d_y = np.random.default_rng(2).standard_normal(y.shape)
    y.backward(d_y)
    expected.backward(d_y)
    gradients = {n: p.grad.numpy() for n, p in plain.named_parameters() if p.grad is not None}
    got = {n: p.grad for n, p in model.named_parameters()}
    state, s, seen = model.state_dict(), ALPHA / RANK, 0
    for matrix, rows, a, b in places(model):
        if matrix not in gradients:  # a layer that this output does not use
            assert got[a] is None and got[b] is None
            continue
        g = gradients[matrix][rows]
        size = 100 * max(1.0, float(np.abs(g).max()))
        assert_close(got[a].numpy(), s * state[b].T @ g, scale=size, what=a)
        assert_close(got[b].numpy(), s * g @ state[a].T, scale=size, what=b)
        seen += 1
    assert seen >= (8 if name in MODELS else 2)
    assert all(got[n] is None for n in gradients), "a frozen parameter has a gradient"


@pytest.mark.parametrize("name", [*MODELS, *OTHERS])
def test_merged_it_is_the_same_function_and_trains_again(name):
    model = moved(lora(made(name)))
    modules = str(made(name))
    expected, state = output(model, name).numpy(), summed(name, model).state_dict()
    assert at.peft.merge(model) is model
    assert str(model) == modules
    merged = model.state_dict()
    assert list(merged) == list(made(name).state_dict())
    for key, value in state.items():
        assert_close(merged[key], value, scale=10)
    assert_close(output(model, name).numpy(), expected, scale=1e3 * max(1.0, float(np.abs(expected).max())))
    output(model, name).sum().backward()
    assert model.state_dict().keys() == merged.keys()
    assert sum(p.grad is not None for p in model.parameters()) > 4
    with pytest.raises(ValueError, match="no low-rank update"):
        at.peft.merge(model)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", DECODERS)
def test_decoding_on_the_cache(name, beams):
    got, expected = decoded(moved(lora(made(name))), name, beams)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", ["gpt2", "t5", "xl"])
def test_in_eight_bits(name):
    """int8 matrices under the same updates: as the same model without them, and their own sum."""
    model = made(name).to_int8()
    before = output(model, name).numpy()
    lora(model)
    assert_same_bits(output(model, name), before)
    moved(model)
    after = output(model, name).numpy()
    other = moved(lora(made(name))).to_int8()  # the other way round: the updates stay
    other.load_state_dict(
        {n: v for n, v in model.state_dict().items() if n.endswith((".A", ".B"))}, strict=False
    )
    assert_same_bits(output(other, name), after)
    assert np.abs(after - before).max() > 1e-2
    y = output(model, name)
    y.backward(np.ones(y.shape))
    assert all(
        p.grad is not None for n, p in model.named_parameters() if ".q_lora" in n or ".linear1.lora" in n
    )
    with pytest.raises(ValueError, match="int8"):
        at.peft.merge(model)
    at.peft.remove(model)
    assert_same_bits(output(model, name), before)


def test_same_bits_on_any_number_of_threads():
    results = []
    for threads in THREADS:
        at.set_num_threads(threads)
        model = moved(lora(made("gpt2", "float32")))
        y = output(model, "gpt2")
        y.backward(np.ones(y.shape, "float32"))
        results.append([y.numpy(), *(p.grad.numpy() for p in model.parameters() if p.grad is not None)])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert_same_bits(one, two)


def test_a_seed_decides():
    first, second = (lora(made("gpt2", "float32")).state_dict() for _ in range(2))
    for name in first:
        assert_same_bits(first[name], second[name])
    a = [v for n, v in first.items() if n.endswith(".A") and v.shape == (RANK, 16)]
    assert not np.array_equal(a[0], a[1])
    other = at.peft.lora(made("gpt2", "float32"), RANK, seed=1, targets="*").state_dict()
    assert not np.array_equal(other["decoder.layers.0.self_attn.q_lora.A"], a[0])
    bound = 1 / np.sqrt(16)
    assert all(0.8 * bound < np.abs(v).max() <= bound for v in a)


def test_dropout_is_of_training_alone_and_of_the_update_alone():
    layer = at.nn.Linear(64, 8, seed=0, dtype="float64")
    x = np.random.default_rng(0).standard_normal((500, 64))
    base = layer(x).numpy()
    at.peft.lora(layer, 4, 4.0, "weight", dropout=0.25, seed=0)
    moved(layer)
    update = layer.lora.eval()(x).numpy()
    assert_close(layer.eval()(x).numpy(), base + update, scale=100)
    layer.train()
    assert layer.lora.training
    one, two = layer(x).numpy(), layer(x).numpy()
    assert not np.array_equal(one, two)
    mean = np.mean([layer(x).numpy() - base for _ in range(60)], axis=0)
    spread = np.std(one - base - update)
    assert 0.8 < np.sqrt(np.mean((mean - update) ** 2)) / (spread / np.sqrt(60)) < 1.2
    assert 0.2 * np.std(update) < spread < 1.5 * np.std(update)
    # Its gradient in x: that of the features that were kept.
    t = at.tensor(x, requires_grad=True)
    layer.lora(t).sum().backward()
    dropped = np.mean(np.abs(t.grad.numpy()) == 0)
    assert 0.2 < dropped < 0.3


def test_torch(torch):
    """A step of Adam on A and B, as written out in PyTorch."""
    draw = np.random.default_rng(0).standard_normal
    x, target = draw((12, 6)), draw((12, 5))
    layer = at.nn.Linear(6, 5, seed=0, dtype="float64")
    at.peft.lora(layer, 2, 6.0, "weight", seed=1)
    state = {n: torch.tensor(v, requires_grad=n.endswith(("A", "B"))) for n, v in layer.state_dict().items()}
    theirs = torch.optim.Adam([state["lora.A"], state["lora.B"]], lr=0.05)
    ours = at.optim.Adam(lr=0.05)
    ours.attach(layer)
    for _ in range(5):
        y = torch.tensor(x) @ state["weight"].T + state["bias"]
        y = y + 3.0 * (torch.tensor(x) @ state["lora.A"].T) @ state["lora.B"].T
        loss = ((y - torch.tensor(target)) ** 2).mean()
        theirs.zero_grad()
        loss.backward()
        theirs.step()
        ours.zero_grad()
        difference = layer(x) - target
        got = (difference * difference).mean()
        got.backward()
        ours.step()
        assert_close(got.item(), loss.item(), np.float64)
    for name, value in layer.state_dict().items():
        assert_close(value, state[name].detach().numpy(), what=name)


def test_targets():
    model = made("llama")
    names = list(at.peft.matrices(model))
    layer = "decoder.layers.0."
    assert names[:7] == [
        *(f"{layer}self_attn.{p}_proj_weight" for p in "qkv"),
        f"{layer}self_attn.out_proj.weight",
        f"{layer}feed_forward.linear1.weight",
        f"{layer}feed_forward.linear2.weight",
        "decoder.layers.1.self_attn.q_proj_weight",
    ]
    assert names[-1] == "generator.weight"

    def attached(targets):
        lora(model, targets)
        found = [m for m in (n.removesuffix(".A") for n in model.state_dict() if n.endswith(".A"))]
        at.peft.remove(model)
        return found

    attn = f"{layer}self_attn."
    assert attached(("q_proj", "v_proj"))[:2] == [attn + "q_lora", attn + "v_lora"]
    assert attached("in_proj")[:3] == [attn + "q_lora", attn + "k_lora", attn + "v_lora"]
    assert attached("in_proj_weight") == attached("in_proj") == attached(["q_proj", "k_proj_weight", "v_*"])
    assert attached("layers.1.self_attn.out_proj") == ["decoder.layers.1.self_attn.out_proj.lora"]
    assert attached("linear*") == [
        f"decoder.layers.{i}.feed_forward.linear{j}.lora" for i in (0, 1) for j in (1, 2)
    ]
    assert attached("generator") == ["generator.lora"]
    at.peft.lora(model, 2, seed=0)  # the default
    assert {n.split(".")[-2] for n in model.state_dict() if n.endswith(".A")} == {"q_lora", "v_lora"}


def test_a_matrix_of_several_modules_is_updated_once_and_one_of_embeddings_never():
    class Net(at.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = at.nn.Embedding(6, 4, seed=0)
            self.one, self.two = at.nn.Linear(4, 4, seed=1), at.nn.Linear(4, 4, seed=2)
            self.out = at.nn.Linear(4, 6, bias=False, seed=3)
            self.two.weight = self.one.weight
            self.out.weight = self.table.weight

        def forward(self, ids):
            return self.out(self.two(self.one(self.table(ids))))

    net = Net()
    before = net([[1, 2]]).numpy()
    assert list(at.peft.matrices(net)) == ["one.weight"]
    at.peft.lora(net, 2, targets="one", seed=0)
    assert_same_bits(net([[1, 2]]), before)
    moved(net)
    state = net.state_dict()
    after = net([[1, 2]]).numpy()
    w = state["one.weight"] + 8.0 * state["one.lora.B"] @ state["one.lora.A"]
    h = (state["table.weight"][[1, 2]] @ w.T + state["one.bias"]) @ w.T + state["two.bias"]
    assert_close(after, (h @ state["table.weight"].T)[None], scale=100)
    with pytest.raises(ValueError, match="'out', which no name fits"):
        at.peft.lora(net, 2, targets="out")


def test_a_new_value_of_the_matrix_keeps_the_update():
    layer = at.peft.lora(at.nn.Linear(4, 3, seed=0), 2, targets="weight", seed=0)
    moved(layer)
    update = layer.lora(np.eye(4, dtype="float32")).numpy()
    layer.weight = at.nn.Parameter(np.zeros((3, 4), "float32"))
    assert_close(layer(np.eye(4, dtype="float32")).numpy(), update + layer.bias.numpy())


def test_the_update_cannot_be_pulled_out():
    layer = at.peft.lora(at.nn.Linear(4, 3, seed=0), 2, targets="weight", seed=0)
    with pytest.raises(ValueError, match="lora is part of the class"):
        del layer.lora
    with pytest.raises(ValueError, match="lora is part of the class"):
        layer.lora = at.nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rank": 0}, "lora: rank is 0 but must be 1 to 16"),
        ({"rank": 17}, "lora: rank is 17 but must be 1 to 16"),
        ({"alpha": float("nan")}, "lora: alpha is nan but must be a finite number"),
        ({"dropout": 1.0}, "lora: dropout is 1 but must be 0 or more and below 1"),
        ({"dropout": -0.1}, "lora: dropout is -0.1 but must be 0 or more and below 1"),
        ({"targets": "nowhere"}, "lora: targets holds 'nowhere', which no name fits; there are: decoder"),
        ({"targets": ()}, "lora: targets is empty"),
        ({"also": "head.*"}, "lora: also holds 'head.*', which no name fits"),
        ({"seed": -1}, "seed"),
    ],
)
def test_errors_leave_the_model_alone(options, says):
    model = made("gpt2", "float32")
    before, modules = output(model, "gpt2").numpy(), str(model)
    with pytest.raises((ValueError, OverflowError), match=says.replace("(", r"\(").replace("*", r"\*")):
        at.peft.lora(model, **options)
    assert str(model) == modules and all(p.requires_grad for p in model.parameters())
    assert_same_bits(output(model, "gpt2"), before)


def test_wrong_types_and_twice():
    model = made("gpt2")
    with pytest.raises(TypeError, match="targets is 3 but must be a pattern"):
        at.peft.lora(model, targets=3)
    with pytest.raises(TypeError, match="rank"):
        at.peft.lora(model, rank="two")
    lora(model, "q_proj")
    with pytest.raises(ValueError, match="q_proj_weight has an update already"):
        lora(model, ("in_proj", "out_proj"))
    assert not any("out_proj.lora" in n or "k_lora" in n for n in model.state_dict())
    lora(model, "v_proj")  # more, beside what is there
    trained = {n.split(".")[-2] for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {"q_lora", "v_lora"}

"""LSTM and GRU as layers: stacks, directions, states and lengths, against the reference and PyTorch."""

import pickle

import numpy as np
import pytest

import attendo as at
from attendo import reference
from attendo.reference.recurrent import recurrent, recurrent_backward
from inputs import DTYPES, THREADS, upstream
from layer_check import assert_torch_agrees, check_layer, gradients, load_torch, randomized
from tolerance import assert_close, assert_same_bits

KINDS = ["LSTM", "GRU"]
STACKS = [
    {},
    {"bias": False},
    {"num_layers": 3},
    {"bidirectional": True},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 2, "bidirectional": True, "bias": False},
]


def array(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def made(kind, *sizes, **options):
    return randomized(getattr(at.nn, kind)(*sizes, **{"dtype": "float64", **options}))


def flat(kind, result):
    """out, and the last states in a list."""
    out, state = result
    return out, list(state) if kind == "LSTM" else [state]


NAMES = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("lengths", [None, [4, 7, 0]], ids=["whole", "lengths"])
@pytest.mark.parametrize("kind", [*KINDS, "reset_before"])
def test_one_layer_against_reference(kind, lengths, dtype):
    options = {"reset_after": False} if kind == "reset_before" else {}
    name = "LSTM" if kind == "LSTM" else "GRU"
    forward = getattr(reference, name.lower())
    backward = getattr(reference, f"{name.lower()}_backward")

    def of_parameters(d_y, x, p):
        d_x, *others = backward(d_y, x, *(p[n] for n in NAMES), lengths=lengths, **options)
        return d_x, dict(zip(NAMES, others, strict=False))

    check_layer(
        made(name, 6, 17, dtype=str(dtype), **options),
        [array(3, 7, 6, dtype=dtype)],
        lambda x, p: forward(x, *(p[n] for n in NAMES), lengths=lengths, **options)[0],
        of_parameters,
        call=lambda m, x: m(x, lengths=lengths)[0],
    )


@pytest.mark.parametrize("lengths", [None, [4, 5, 0]], ids=["whole", "lengths"])
@pytest.mark.parametrize("stack", [s for s in STACKS if s.get("bias", True)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_stacks_against_reference(kind, stack, lengths):
    lengths = None if lengths is None else np.array(lengths)

    def of_parameters(d_y, x, p):
        d_x, _, gradients = recurrent_backward(d_y, None, x, p, None, lengths)
        return d_x, gradients

    check_layer(
        made(kind, 6, 7, **stack),
        [array(3, 5, 6)],
        lambda x, p: recurrent(x, p, None, lengths)[0],
        of_parameters,
        call=lambda m, x: m(x, lengths=lengths)[0],
    )


@pytest.mark.parametrize("stack", STACKS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_torch(torch, kind, stack):
    ours = made(kind, 6, 17, **stack)
    theirs = getattr(torch.nn, kind)(6, 17, batch_first=True, **stack).double()
    states = ours.state_dict()
    assert list(states) == [name for name, _ in theirs.named_parameters()]
    layers = stack.get("num_layers", 1) * (2 if stack.get("bidirectional") else 1)

    def joined(result, concatenate):
        """The output and the last states, side by side, so that gradients flow back into all."""
        out, states = flat(kind, result)
        return concatenate([out.reshape(-1), *(s.reshape(-1) for s in states)])

    def call_theirs(m, x, *states):
        return joined(m(x, states if kind == "LSTM" else states[0]), torch.cat)

    def call(m, x, *states):
        return joined(m(x, states if kind == "LSTM" else states[0]), at.functional.concatenate)

    inputs = [array(4, 5, 6), *(array(layers, 4, 17, seed=i) for i in range(1 + (kind == "LSTM")))]
    assert_torch_agrees(torch, ours, theirs, inputs, call, call_theirs, lambda name: name)


@pytest.mark.parametrize("stack", STACKS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_lengths_are_torchs_packed_sequences(torch, kind, stack):
    ours = made(kind, 6, 17, **stack)
    theirs = getattr(torch.nn, kind)(6, 17, batch_first=True, **stack).double()
    load_torch(theirs, ours)
    x, lengths = array(4, 9, 6), [3, 9, 1, 5]
    mine, other = at.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    pack = torch.nn.utils.rnn.pack_padded_sequence
    packed, state = theirs(pack(other, torch.tensor(lengths), batch_first=True, enforce_sorted=False))
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(packed, batch_first=True, total_length=9)
    out, states = flat(kind, ours(mine, lengths=lengths))
    assert_close(out, expected.detach().numpy())
    for got, right in zip(states, state if kind == "LSTM" else [state], strict=True):
        assert_close(got, right.detach().numpy())
    d_out = upstream(out)
    out.backward(d_out)
    expected.backward(torch.tensor(d_out))
    assert_close(mine.grad, other.grad.numpy())
    named = dict(theirs.named_parameters())
    scale = max(float(p.grad.abs().max()) for p in named.values())
    for name, gradient in gradients(ours).items():
        assert_close(gradient, named[name].grad.numpy(), scale=scale, what=name)


@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_of_torch_loads(torch, kind):
    theirs = getattr(torch.nn, kind)(3, 5, 2, batch_first=True, bidirectional=True)
    ours = getattr(at.nn, kind)(3, 5, 2, bidirectional=True)
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    x = array(2, 4, 3, dtype=np.float32)
    assert_close(ours(x)[0], theirs(torch.tensor(x))[0].detach().numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_direction_reads_backwards(kind):
    both = made(kind, 3, 5, bidirectional=True)
    x, lengths = array(2, 6, 3), [6, 4]
    out, states = flat(kind, both(x, lengths=lengths))
    p = both.state_dict()
    function = getattr(at.functional, kind.lower())
    for half, end, reverse in [(out.numpy()[..., :5], "", False), (out.numpy()[..., 5:], "_reverse", True)]:
        expected, *last = function(x, *(p[name + end] for name in NAMES), lengths=lengths, reverse=reverse)
        assert_same_bits(half, expected)
        for state, right in zip(states, last, strict=True):
            assert_same_bits(state.numpy()[int(reverse)], right)


@pytest.mark.parametrize("kind", KINDS)
def test_same_bits_on_any_number_of_threads(kind):
    module = made(kind, 33, 40, 2, bidirectional=True, dtype="float32")
    x = array(50, 30, 33, dtype=np.float32)
    results = []
    for threads in THREADS:
        at.set_num_threads(threads)
        module.zero_grad()
        out, _ = module(x)
        out.backward(upstream(out))
        results.append([out.numpy(), *gradients(module).values()])
    for other in results[1:]:
        for got, first in zip(other, results[0], strict=True):
            assert_same_bits(got, first)


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_is_the_same_without_gradients(kind):
    module, x = made(kind, 6, 17, 2), array(3, 40, 6)
    out, states = flat(kind, module(x))
    with at.no_grad():
        plain, plain_states = flat(kind, module(x))
    assert not plain.requires_grad
    assert_same_bits(plain, out)
    for got, expected in zip(plain_states, states, strict=True):
        assert_same_bits(got, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_between_layers_in_training(kind):
    x = array(2, 5, 6)
    plain, dropping = made(kind, 6, 50, 2), made(kind, 6, 50, 2, dropout=0.5)
    assert (dropping(x)[0].numpy() != plain(x)[0].numpy()).any()
    assert_same_bits(dropping.eval()(x)[0], plain(x)[0])
    one = made(kind, 6, 50, dropout=0.5)
    assert_same_bits(one(x)[0], made(kind, 6, 50)(x)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_at_first(kind):
    module = getattr(at.nn, kind)(3, 100, seed=1)
    for name, value in module.state_dict().items():
        assert np.abs(value).max() <= 0.1 and np.abs(value).max() > 0.09, name
        assert abs(value.mean()) < 0.02, name
    same = getattr(at.nn, kind)(3, 100, seed=1).state_dict()
    for name, value in module.state_dict().items():
        assert_same_bits(same[name], value)


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_model_that_is_trained(kind):
    """Which of two symbols came first: only a state that lasts can tell."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2, 64)
    x = np.zeros((64, 8, 2), np.float32)
    x[np.arange(64), 0, first] = 1
    target = np.repeat(first[:, None], 8, axis=1)
    recurrent, head = getattr(at.nn, kind)(2, 16, seed=0), at.nn.Linear(16, 2, seed=1)
    model = at.nn.Sequential(recurrent, head)
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(0.02))
    trainer.fit(x, target, epochs=40, batch_size=16, progress=False)
    predicted = head(recurrent(x)[0]).numpy().argmax(-1)
    np.testing.assert_array_equal(predicted, target)


@pytest.mark.parametrize("lengths", [None, [6, 1, 4]], ids=["whole", "lengths"])
@pytest.mark.parametrize("stack", STACKS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_without_sequences_the_result_is_the_last_state(kind, stack, lengths):
    whole = made(kind, 3, 5, **stack)
    last = made(kind, 3, 5, return_sequences=False, **stack)
    x = array(3, 6, 3)
    out, states = flat(kind, whole(x, lengths=lengths))
    got, last_states = flat(kind, last(x, lengths=lengths))
    directions = 2 if stack.get("bidirectional") else 1
    top = states[0].numpy()[-directions:]
    assert_same_bits(got, np.concatenate(list(top), axis=1))
    for a, b in zip(last_states, states, strict=True):
        assert_same_bits(a, b)
    ends = [n - 1 for n in lengths or [6] * 3]
    assert_same_bits(got.numpy()[:, :5], out.numpy()[np.arange(3), ends, :5])
    # Backwards: as a gradient that comes in at the last state alone.
    d_y = upstream(got)
    got.backward(d_y)
    d_states = np.zeros(states[0].shape)
    d_states[-directions:] = np.stack(np.split(d_y, directions, axis=1))
    states[0].backward(d_states)
    expected = gradients(whole)
    for name, gradient in gradients(last).items():
        assert_close(gradient, expected[name], what=name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_classifier_of_sequences(kind):
    """In a Sequential that a Trainer runs the last state is what passes on."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 5, 2)).astype(np.float32)
    target = (x[:, 0, 0] > 0).astype(np.int64)
    recurrent = getattr(at.nn, kind)(2, 16, bidirectional=True, return_sequences=False, seed=0)
    model = at.nn.Sequential(recurrent, at.nn.Linear(32, 2, seed=1))
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(0.02))
    trainer.fit(x, target, epochs=30, batch_size=16, progress=False)
    assert (trainer.predict(x).argmax(-1) == target).mean() > 0.95


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_state_dict_goes_to_torch_and_back(torch, kind, bias):
    """Three layers in both directions with dropout between them: names, shapes and outputs are PyTorch's."""
    options = {"bias": bias, "bidirectional": True, "dropout": 0.3}
    theirs = getattr(torch.nn, kind)(3, 5, 3, batch_first=True, **options).eval()
    ours = getattr(at.nn, kind)(3, 5, 3, **options).eval()
    other = getattr(torch.nn, kind)(3, 5, 3, batch_first=True, **options).eval()
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    other.load_state_dict({name: torch.tensor(value) for name, value in ours.state_dict().items()})
    x = array(2, 7, 3, dtype=np.float32)
    expected = theirs(torch.tensor(x))
    got, back = flat(kind, ours(x)), flat(kind, other(torch.tensor(x)))
    for a, b, c in zip(
        [got[0], *got[1]], [expected[0], *flat(kind, expected)[1]], [back[0], *back[1]], strict=True
    ):
        assert_close(a, b.detach().numpy())
        assert torch.equal(b, c)


def test_shows_its_options():
    assert repr(at.nn.LSTM(3, 5)) == "LSTM(3, 5)"
    assert (
        repr(at.nn.GRU(3, 5, 2, False, dropout=0.5, bidirectional=True, reset_after=False))
        == "GRU(3, 5, num_layers=2, bias=False, dropout=0.5, bidirectional=True, reset_after=False)"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_survives_pickling(kind):
    module, x = made(kind, 3, 5, 2), array(2, 4, 3)
    other = getattr(at.nn, kind)(3, 5, 2, dtype="float64")
    other.load_state_dict(pickle.loads(pickle.dumps(module.state_dict())))
    assert_same_bits(other(x)[0], module(x)[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        ((0, 5), {}, ValueError, "input_size is 0 but must be 1 or more"),
        ((3, 0), {}, ValueError, "hidden_size is 0 but must be 1 or more"),
        ((3, 5, 0), {}, ValueError, "num_layers is 0 but must be 1 or more"),
        ((3, 5), {"dropout": 1.0}, ValueError, "dropout is 1 but must be 0 or more and below 1"),
        ((3, 5), {"dropout": np.nan}, ValueError, "dropout is nan"),
        ((3, "5"), {}, TypeError, "hidden_size is a str"),
        ((3, 5), {"dtype": "int64"}, TypeError, "dtype"),
    ],
)
def test_wrong_constructions(kind, arguments, options, error, says):
    with pytest.raises(error, match=f"^{kind}: .*{says}|^{kind}.*{says}"):
        getattr(at.nn, kind)(*arguments, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_calls(kind):
    module = getattr(at.nn, kind)(3, 5, 2)
    x, state = array(2, 4, 3, dtype=np.float32), array(2, 2, 5, dtype=np.float32)

    def given(h):
        return (h, state) if kind == "LSTM" else h

    with pytest.raises(ValueError, match=f"^{kind}: x has 4 features"):
        module(array(2, 4, 4, dtype=np.float32))
    with pytest.raises(ValueError, match=f"^{kind}: x has shape"):
        module(x[0])
    with pytest.raises(TypeError, match=f"^{kind}: x has dtype float64"):
        module(x.astype(np.float64))
    with pytest.raises(
        ValueError, match=rf"^{kind}: h_0 has shape \(1, 2, 5\) but must have shape \(2, 2, 5\)"
    ):
        module(x, given(state[:1]))
    with pytest.raises(TypeError, match="h_0 has dtype float64"):
        module(x, given(state.astype(np.float64)))
    with pytest.raises(ValueError, match="lengths holds 5 but must hold 0 to 4"):
        module(x, lengths=[5, 1])
    with pytest.raises(TypeError, match="lengths has dtype float64"):
        module(x, lengths=[1.0, 2.0])


def test_the_state_of_an_lstm_is_a_pair():
    module, x = at.nn.LSTM(3, 5), array(2, 4, 3, dtype=np.float32)
    for state in (array(1, 2, 5, dtype=np.float32), (array(1, 2, 5, dtype=np.float32),)):
        with pytest.raises(TypeError, match=r"^LSTM: state is a .* but must be a pair \(h_0, c_0\)"):
            module(x, state)

"""What an optimizer remembers: complete, checked on the way in, and the same bits go on."""

import numpy as np
import pytest

import attendo as at
from tolerance import assert_same_bits

CASES = [
    ("SGD", {"momentum": 0.9}),
    ("SGD", {}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {}),
    ("Adagrad", {"initial_accumulator_value": 0.1}),
    ("RMSprop", {"momentum": 0.5, "centered": True, "eps": 1e-2}),
    ("Lion", {}),
    ("LAMB", {}),
]
SPARSE = {"SGD", "Adagrad"}


def make(name, options):
    """A model and its optimizer: two groups, two dtypes, a plateau, and a sparse table where it may be."""
    sparse = name in SPARSE and "momentum" not in options
    model = at.nn.Sequential(at.nn.Embedding(9, 4, sparse=sparse, seed=0), at.nn.Linear(4, 3, seed=1))
    extra = at.nn.Parameter(np.ones(5))
    groups = [
        {"params": "1.*", "lr": at.schedules.plateau(0.05, factor=0.5, patience=0)},
        {"params": "extra", "lr_scale": 0.5},
    ]
    optimizer = getattr(at.optim, name)(at.schedules.plateau(0.1, patience=1), groups=groups, **options)
    optimizer.attach([*model.named_parameters(), ("extra", extra)])
    return model, extra, optimizer


def go_on(model, extra, optimizer, steps):
    for _ in range(steps):
        rng = np.random.default_rng(optimizer.steps)
        optimizer.zero_grad()
        y = model(rng.integers(0, 9, 6))
        (y * y).sum().backward()
        extra.grad = rng.standard_normal(5)
        optimizer.step(clip_norm=1.0)
        optimizer.observe(float(rng.standard_normal()))
    return [p.numpy().copy() for p in (*model.parameters(), extra)]


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_going_on_from_a_state_gives_the_same_bits(name, options):
    undisturbed = go_on(*make(name, options), 12)
    model, extra, optimizer = make(name, options)
    go_on(model, extra, optimizer, 5)
    state, weights = optimizer.state, [p.numpy().copy() for p in (*model.parameters(), extra)]
    other_model, other_extra, other = make(name, options)
    other.load_state(state)
    assert other.steps == 5 and other.lrs == optimizer.lrs != make(name, options)[2].lrs
    for key, value in other.state.items():
        assert_same_bits(value, state[key])
    for p, value in zip((*other_model.parameters(), other_extra), weights, strict=True):
        p.assign(value)
    for a, b in zip(go_on(other_model, other_extra, other, 7), undisturbed, strict=True):
        assert_same_bits(a, b)


def test_names():
    model = at.nn.Sequential(at.nn.Embedding(9, 4, sparse=True), at.nn.Linear(4, 3))
    optimizer = at.optim.Adam(at.schedules.plateau(0.1), groups=[{"params": "1.bias", "lr_scale": 2.0}])
    optimizer.attach(model)
    assert {name: (x.shape, str(x.dtype)) for name, x in optimizer.state.items()} == {
        "steps": ((1,), "int64"),
        "plateau": ((4,), "float64"),
        "group0.m.float32": ((16,), "float32"),
        "group0.v.float32": ((16,), "float32"),
        "m.float32": ((16,), "float32"),
        "v.float32": ((16,), "float32"),
        "m.table0": ((36,), "float32"),
        "v.table0": ((36,), "float32"),
    }


def changed(**entries):
    def change(state):
        out = {**state, **entries}
        return {name: value for name, value in out.items() if value is not None}

    return change


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (changed(steps=None), ValueError, "load_state: state has no 'steps'"),
        (changed(**{"v.float32": None}), ValueError, "state has no 'v.float32'"),
        (changed(velocity=np.zeros(3)), ValueError, "state has 'velocity', which is not known here"),
        (
            changed(**{"m.float32": np.zeros(3, np.float32)}),
            ValueError,
            r"state\['m.float32'\] has shape \(3,\) but must have \(",
        ),
        (
            changed(**{"plateau": np.zeros(4, np.float32)}),
            TypeError,
            r"state\['plateau'\] has dtype float32 but must",
        ),
        (changed(steps=np.array([-1])), ValueError, r"state\['steps'\] is -1"),
        (changed(steps=np.array([2**63 - 1])), ValueError, r"state\['steps'\] is 9223372036854775807"),
        (changed(steps=np.array([1.0])), TypeError, r"state\['steps'\] has dtype float64"),
        (changed(plateau=np.array([np.nan, 0, 0, 0])), ValueError, r"state\['plateau'\] must be a rate"),
        (changed(plateau=np.array([1.0, 0, 1e300, 0])), ValueError, r"state\['plateau'\] must be a rate"),
        (lambda state: list(state), TypeError, "load_state: state is a list but must be a dict"),
        (lambda state: {**state, 3: np.zeros(1)}, TypeError, "load_state: a name is a int"),
        (lambda state: {**state, "m.float32": None}, TypeError, r"state\['m.float32'\] is None"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, says):
    model, extra, optimizer = make("AdamW", {})
    go_on(model, extra, optimizer, 2)
    before = optimizer.state
    other = {name: value + 1 for name, value in before.items()}
    with pytest.raises(error, match=says):
        optimizer.load_state(change(other))
    for name, value in optimizer.state.items():
        assert_same_bits(value, before[name])


def test_attach_comes_first():
    with pytest.raises(ValueError, match="load_state: the optimizer steps no parameters yet"):
        at.optim.Adam().load_state({})

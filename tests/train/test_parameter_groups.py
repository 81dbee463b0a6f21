"""Groups of parameters: who is in which, and that each is stepped as by an optimizer of its own."""

import fnmatch
import itertools
import json

import numpy as np
import pytest

import attendo as at
from inputs import THREADS
from tolerance import assert_same_bits

STEPS = 6
NAMES = ["AdamW", "Adam", "SGD", "Adagrad", "RMSprop", "Lion", "LAMB"]


def model(dtype="float32"):
    return at.nn.Sequential(
        at.nn.Linear(5, 7, seed=0, dtype=dtype),
        at.nn.LayerNorm(7, dtype=dtype),
        at.nn.Linear(7, 3, seed=1, dtype=dtype),
    )


def train(optimizer, target, parameters, steps=STEPS, **clip):
    """Steps with gradients that depend on the place in `parameters` alone."""
    optimizer.attach(target)
    for t in range(steps):
        for i, p in enumerate(parameters):
            p.grad = np.random.default_rng([t, i]).standard_normal(p.shape).astype(p.dtype)
        optimizer.step(**clip)
    return [p.numpy().copy() for p in parameters]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_group_is_stepped_as_by_an_optimizer_of_its_own(name, dtype):
    make = getattr(at.optim, name)
    together = model(dtype)
    schedule = at.schedules.cosine(0.01, 10, warmup=2)
    groups = [
        {"params": ["*.bias", "1.*"], "weight_decay": 0.0, "lr": 0.003},
        {"params": "2.*", "lr_scale": 0.1, "weight_decay": 0.3},
    ]
    got = train(make(schedule, weight_decay=0.1, groups=groups), together, together.parameters())
    settings = {
        "0.weight": (schedule, 0.1),
        "0.bias": (0.003, 0.0),
        "1.weight": (0.003, 0.0),
        "1.bias": (0.003, 0.0),
        "2.weight": (at.schedules.cosine(0.001, 10, warmup=2), 0.3),
        "2.bias": (0.003, 0.0),
    }
    alone = model(dtype)
    expected = []
    for i, (pname, p) in enumerate(alone.named_parameters()):
        lr, decay = settings[pname]
        optimizer = make(lr, weight_decay=decay)
        optimizer.attach([p])
        for t in range(STEPS):
            p.grad = np.random.default_rng([t, i]).standard_normal(p.shape).astype(p.dtype)
            optimizer.step()
        expected.append(p.numpy().copy())
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=20 * np.finfo(dtype).eps, atol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", ["AdamW", "SGD", "RMSprop"])
def test_torch(torch, name):
    ours = model("float64")
    theirs = [torch.tensor(p.numpy().copy(), requires_grad=True) for p in ours.parameters()]
    make = getattr(torch.optim, name)
    names = [n for n, _ in ours.named_parameters()]
    biases = [p for n, p in zip(names, theirs, strict=True) if n.endswith("bias")]
    rest = [p for n, p in zip(names, theirs, strict=True) if not n.endswith("bias")]
    optimizer = make(
        [{"params": biases, "weight_decay": 0.0, "lr": 0.02}, {"params": rest}], lr=0.01, weight_decay=0.2
    )
    for t in range(STEPS):
        for i, p in enumerate(theirs):
            p.grad = torch.tensor(np.random.default_rng([t, i]).standard_normal(tuple(p.shape)))
        torch.nn.utils.clip_grad_norm_(theirs, 1.0)  # over all groups
        optimizer.step()
    groups = [{"params": "*bias", "weight_decay": 0.0, "lr": 0.02}]
    got = train(
        getattr(at.optim, name)(0.01, weight_decay=0.2, groups=groups), ours, ours.parameters(), clip_norm=1.0
    )
    for a, b in zip(got, theirs, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-12, atol=1e-12)


def groups_of(optimizer, target):
    """Which parameters moved with which rate: of zero rates none."""
    parameters = target.parameters()
    before = [p.numpy().copy() for p in parameters]
    after = train(optimizer, target, parameters, 1)
    return [bool((a != b).any()) for a, b in zip(before, after, strict=True)]


def test_the_first_group_that_matches_wins():
    groups = [{"params": "0.*", "lr": 0.0}, {"params": ["*"], "lr": 0.1}, {"params": "2.bias", "lr": 0.0}]
    assert groups_of(at.optim.SGD(0.0, groups=groups), model()) == [False] * 2 + [True] * 4


def test_groups_of_tensors():
    target = model()
    layer = target[2]
    optimizer = at.optim.SGD(0.1, groups=[{"params": [layer.weight, layer.bias], "lr": 0.0}])
    assert groups_of(optimizer, target) == [True] * 4 + [False] * 2
    parameters = [at.nn.Parameter([1.0]), at.nn.Parameter([1.0])]
    optimizer = at.optim.SGD(0.5, groups=[{"params": parameters[1], "lr_scale": 0.5}])
    assert [float(x[0]) for x in train(optimizer, parameters, parameters, 1)] == [
        1 - 0.5 * np.random.default_rng([0, 0]).standard_normal(1)[0],
        1 - 0.25 * np.random.default_rng([0, 1]).standard_normal(1)[0],
    ]


def test_names_may_come_along_with_a_list():
    parameters = [("a.w", at.nn.Parameter([1.0])), ("b.w", at.nn.Parameter([1.0]))]
    optimizer = at.optim.SGD(1.0, groups=[{"params": "b.*", "lr": 0.0}])
    optimizer.attach(parameters)
    for _, p in parameters:
        p.grad = [1.0]
    optimizer.step()
    assert [p.numpy()[0] for _, p in parameters] == [0, 1]


def test_patterns_are_those_of_fnmatch():
    names = ["a", "ab", "abc", "a.b", "a.b.c", "b", "x]", "-", "[", "a[b", "b1", "B", "!", "a-c"]
    pieces = ["a", "*", "?", "[ab]", "[!a]", "[a-c]", ".", "b", "[]]", "[!]]", "[", "[a", "[-a]", "]", "[a-]"]
    patterns = ["".join(p) for n in (1, 2, 3) for p in itertools.product(pieces, repeat=n)]
    checked = 0
    for pattern in patterns[:: 1 if len(patterns) < 4000 else 3]:
        expected = [fnmatch.fnmatchcase(name, pattern) for name in names]
        if not any(expected):
            continue
        optimizer = at.optim.SGD(1.0, groups=[{"params": pattern, "lr": 0.0}])
        parameters = [(name, at.nn.Parameter([1.0])) for name in names]
        optimizer.attach(parameters)
        for _, p in parameters:
            p.grad = [1.0]
        optimizer.step()
        assert [p.numpy()[0] == 1 for _, p in parameters] == expected, pattern
        checked += 1
    assert checked > 500


def test_the_trainer_attaches_by_name():
    """What a group gives rate 0 stays; the rest is fitted."""
    x = np.random.default_rng(0).standard_normal((32, 5)).astype(np.float32)
    target = model()
    before = target.state_dict()
    optimizer = at.optim.AdamW(0.05, weight_decay=0.1, groups=[{"params": ["0.*", "*.bias"], "lr": 0.0}])
    trainer = at.train.Trainer(target, at.losses.MeanSquaredError(), optimizer)
    history = trainer.fit(x, x[:, :3] * 2, epochs=20, batch_size=8, progress=False)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    for name, value in target.state_dict().items():
        assert (value == before[name]).all() == (name.startswith("0.") or name.endswith("bias")), name


def test_rates_of_groups():
    optimizer = at.optim.Adam(
        at.schedules.step(0.1, 1, 0.5),
        groups=[
            {"params": "0.*", "lr_scale": 0.5},
            {"params": "1.*", "lr": at.schedules.plateau(1.0, patience=0)},
        ],
    )
    assert optimizer.lrs == [0.05, 1.0, 0.1]
    target = model()
    train(optimizer, target, target.parameters(), 1)
    assert optimizer.lrs == [0.025, 1.0, 0.05]
    optimizer.observe(1.0)
    optimizer.observe(2.0)
    assert optimizer.lrs == [0.025, 0.1, 0.05] and optimizer.lr == 0.05
    optimizer.schedule = at.schedules.constant(3.0)
    assert optimizer.lrs == [1.5, 0.1, 3.0]
    optimizer.schedule = 2.0
    assert repr(optimizer.schedule) == "constant(2)"


def test_a_shared_parameter_is_in_one_group():
    target = model()
    shared = at.nn.Sequential(target[0], target[0])
    assert [n for n, _ in shared.named_parameters()] == ["0.weight", "0.bias"]
    optimizer = at.optim.SGD(0.1, groups=[{"params": "0.*", "lr": 0.0}])
    optimizer.attach(shared)


def test_sparse_tables_in_groups():
    target = at.nn.Sequential(at.nn.Embedding(9, 4, sparse=True, seed=0), at.nn.Linear(4, 2, seed=1))
    with pytest.raises(ValueError, match=r"weight_decay is 0\.01 but must be 0"):
        at.optim.AdamW(0.1).attach(target)
    optimizer = at.optim.AdamW(0.1, groups=[{"params": "0.*", "weight_decay": 0.0, "lr": 0.5}])
    optimizer.attach(target)
    before = target[0].weight.numpy().copy()
    target([1, 2]).sum().backward()
    optimizer.step()
    moved = np.abs(target[0].weight.numpy() - before).max(axis=1)
    np.testing.assert_allclose(moved[[1, 2]], 0.5, rtol=1e-3)  # Adam's first step is the rate
    assert not moved[[0, *range(3, 9)]].any()


@pytest.mark.parametrize("name", NAMES)
def test_same_bits_on_any_number_of_threads(name):
    results = []
    for threads in THREADS:
        at.set_num_threads(threads)
        parameters = [
            at.nn.Parameter(np.random.default_rng(i).standard_normal(n))
            for i, n in enumerate([70_001, 5, 90_000])
        ]
        optimizer = getattr(at.optim, name)(0.1, groups=[{"params": parameters[:2], "lr_scale": 0.5}])
        results.append(train(optimizer, parameters, parameters, 2, clip_norm=1.0))
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            assert_same_bits(a, b)


def group(**entries):
    return lambda: at.optim.AdamW(0.1, groups=[entries])


def attach(params, **entries):
    return lambda: at.optim.AdamW(0.1, groups=[{"params": params, **entries}]).attach(model())


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            attach("3.*"),
            ValueError,
            r"groups\[0\]: params has the pattern '3\.\*', which is no parameter's name .*'0.weight'",
        ),
        (attach(["0.*", "nothing"]), ValueError, "the pattern 'nothing', which is no"),
        (attach(at.nn.Parameter([1.0])), ValueError, r"a tensor of shape \(1,\) that is not among"),
        (
            lambda: at.optim.SGD(0.1, groups=[{"params": "*"}]).attach([at.nn.Parameter([1.0])]),
            ValueError,
            "the parameters of a list have no names",
        ),
        (
            group(params="*", momentum=0.5),
            ValueError,
            r"AdamW: groups\[0\] has the key 'momentum' but may have params, lr, lr_scale, betas, eps",
        ),
        (group(params="*", name="x"), ValueError, "has the key 'name'"),
        (group(lr=0.1), ValueError, r"groups\[0\] has no params"),
        (group(params=[]), ValueError, r"groups\[0\] has no params"),
        (group(params=[1]), TypeError, r"groups\[0\]: params holds a int"),
        (group(params="*", lr=-1), ValueError, r"AdamW: groups\[0\]: lr is -1"),
        (group(params="*", lr="fast"), TypeError, r"AdamW: groups\[0\]: lr is a str"),
        (group(params="*", lr_scale=-1), ValueError, r"AdamW: groups\[0\]: lr_scale is -1"),
        (group(params="*", lr_scale=np.inf), ValueError, "lr_scale is inf"),
        (group(params="*", weight_decay=-1), ValueError, r"AdamW: groups\[0\]: weight_decay is -1"),
        (group(params="*", betas=(1, 0)), ValueError, r"groups\[0\]: betas\[0\] is 1"),
        (group(params="*", amsgrad=1), TypeError, r"groups\[0\]: amsgrad is a int"),
        (lambda: at.optim.AdamW(0.1, groups={"params": "*"}), TypeError, "AdamW: groups is a dict"),
        (
            lambda: at.optim.AdamW(0.1, groups=["*"]),
            TypeError,
            r"AdamW: groups\[0\] is a str but must be a dict",
        ),
    ],
)
def test_errors(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_config():
    groups = [
        {"params": ["*.bias", "1.*"], "weight_decay": 0.0, "betas": (0.8, 0.99)},
        {"params": "0.*", "lr": at.schedules.noam(64, 10), "lr_scale": 1 / 3},
    ]
    optimizer = at.optim.AdamW(at.schedules.cosine(0.1, 10), weight_decay=0.1, groups=groups)
    config = json.loads(json.dumps(optimizer.config))
    again = at.optim.from_config(config)
    assert again.config == optimizer.config and repr(again) == repr(optimizer)
    one, other = model(), model()
    for a, b in zip(
        train(optimizer, one, one.parameters()), train(again, other, other.parameters()), strict=True
    ):
        assert_same_bits(a, b)
    with pytest.raises(ValueError, match=r"SGD: groups\[0\] has Tensors as params"):
        _ = at.optim.SGD(0.1, groups=[{"params": one.parameters()}]).config


@pytest.mark.parametrize("name", NAMES)
def test_config_of_each(name):
    optimizer = getattr(at.optim, name)(0.1 + 0.2, weight_decay=1 / 3)
    config = optimizer.config
    assert config["type"] == name and config["lr"] == {"type": "constant", "lr": 0.1 + 0.2}
    assert config["weight_decay"] == 1 / 3
    again = at.optim.from_config(json.loads(json.dumps(config)))
    assert type(again) is type(optimizer) and again.config == config
    assert at.optim.from_config({"type": name, "lr": 0.5}).lr == 0.5


@pytest.mark.parametrize(
    ("config", "error", "says"),
    [
        ({"type": "Adamax"}, ValueError, "type is 'Adamax' but must be one of Adagrad, Adam,"),
        ({"type": "SGD"}, TypeError, "missing a required argument: 'lr'"),
        ({"type": "SGD", "lr": 0.1, "betas": [0, 0]}, TypeError, "unexpected keyword argument 'betas'"),
        ({"type": "SGD", "lr": {"type": "x"}}, ValueError, "type is 'x'"),
        ([], TypeError, "config is a list"),
    ],
)
def test_wrong_configs(config, error, says):
    with pytest.raises(error, match=says):
        at.optim.from_config(config)


@pytest.mark.parametrize("config", [None, "SGD", {"type": []}, {"type": "SGD", "lr": 0.1, "groups": 3}])
def test_from_config_of_what_is_no_config(config):
    error = TypeError if not isinstance(config, dict) or "groups" in config else ValueError
    with pytest.raises(error, match=r"from_config: (config is a|type is \[\]|groups is a int)"):
        at.optim.from_config(config)


def test_groups_that_are_no_list():
    for make in (at.optim.SGD, at.optim.AdamW, at.optim.Lion):
        with pytest.raises(TypeError, match=f"{make.__name__}: groups is a int but must be a list of dicts"):
            make(lr=0.1, groups=3)


# ------------------------------------------------------------------------------------------ frozen parameters


@pytest.mark.parametrize("name", NAMES)
def test_frozen_for_a_while(name):
    """Frozen after it was attached: stays where it is, and moves again when it is unfrozen."""
    target = model()
    optimizer = getattr(at.optim, name)(0.1, weight_decay=0.1)
    train(optimizer, target, target.parameters(), 2)
    target[0].requires_grad_(False)
    before = target.state_dict()
    optimizer.zero_grad()
    (target(np.ones((3, 5), np.float32)) ** 2).sum().backward()
    optimizer.step()
    after = target.state_dict()
    for key, value in before.items():
        assert (after[key] == value).all() == key.startswith("0."), key
    target[0].requires_grad_(True)
    optimizer.zero_grad()
    (target(np.ones((3, 5), np.float32)) ** 2).sum().backward()
    optimizer.step()
    assert (target.state_dict()["0.weight"] != after["0.weight"]).any()


def test_unfrozen_later_is_an_error_that_names_it():
    target = model()
    target[0].requires_grad_(False)
    optimizer = at.optim.AdamW(0.1, groups=[{"params": "0.*", "lr_scale": 0.1}])
    train(optimizer, target, target[2].parameters(), 1)
    target[0].requires_grad_(True)
    before = target.state_dict()
    for call in (optimizer.step, lambda: optimizer.attach(target)):
        with pytest.raises(ValueError, match=r"'0\.weight' requires a gradient but did not when"):
            call()
    for key, value in target.state_dict().items():
        assert_same_bits(value, before[key])
    second = at.optim.SGD(0.1)
    second.attach(target[0])  # steps them: the first one has nothing to say then
    optimizer.step()

"""Every optimizer: parameters after each of twenty steps."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, THREADS
from tolerance import assert_close, assert_same_bits

STEPS, LR = 20, 0.05
SHAPES = [(3, 4), (5,), (1,), (33, 7)]


def sgd(momentum=0.0, nesterov=False, weight_decay=0.0):
    options = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
    return "SGD", options


OPTIMIZERS = [
    sgd(),
    sgd(weight_decay=0.1),
    sgd(momentum=0.9),
    sgd(momentum=0.9, nesterov=True),
    sgd(momentum=0.5, nesterov=True, weight_decay=0.3),
    ("Adam", {}),
    ("Adam", {"betas": (0.5, 0.7), "eps": 1e-3}),
    ("Adam", {"weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.5, "betas": (0.8, 0.9)}),
    ("SGD", {"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {"amsgrad": True, "betas": (0.5, 0.6)}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.2, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.8, "weight_decay": 0.1}),
    ("RMSprop", {"alpha": 0.8, "momentum": 0.7, "eps": 1e-3}),
    ("RMSprop", {"alpha": 0.7, "momentum": 0.7, "centered": True, "eps": 1e-2, "weight_decay": 0.1}),
    ("RMSprop", {"alpha": 0.7, "centered": True, "eps": 1e-2}),
    ("Lion", {}),
    ("Lion", {"betas": (0.5, 0.7), "weight_decay": 0.3}),
    ("LAMB", {}),
    ("LAMB", {"betas": (0.8, 0.9), "weight_decay": 0.3, "eps": 1e-3}),
]
EACH = pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=str)


def start(dtype):
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
    gradients = [[rng.standard_normal(shape).astype(dtype) for shape in SHAPES] for _ in range(STEPS)]
    return values, gradients


def ours(name, options, dtype, lr=LR, **clip):
    """The parameters after each step."""
    values, gradients = start(dtype)
    parameters = [at.nn.Parameter(value) for value in values]
    optimizer = getattr(at.optim, name)(lr=lr, **options)
    optimizer.attach(parameters)
    history = []
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = gradient
        optimizer.step(**clip)
        history.append([parameter.numpy().copy() for parameter in parameters])
    return history


def step_by_reference(name, options, value, gradient, state, t, lr):
    """The new value; the state is changed."""
    if name == "SGD":
        value, state[0] = reference.sgd_step(value, gradient, state[0], lr, step=t, **options)
    elif options.get("amsgrad"):
        rest = {key: x for key, x in options.items() if key != "amsgrad"}
        rest = {"weight_decay": 0.01, **rest} if name == "AdamW" else rest
        value, *state[:] = reference.amsgrad_step(
            value, gradient, *state, t, lr, decoupled=name == "AdamW", **rest
        )
    elif name == "Adagrad":
        rest = {key: x for key, x in options.items() if key != "initial_accumulator_value"}
        value, state[0] = reference.adagrad_step(value, gradient, state[0], t, lr, **rest)
    elif name == "RMSprop":
        value, *state[:] = reference.rmsprop_step(value, gradient, *state, lr, **options)
    elif name == "Lion":
        value, state[0] = reference.lion_step(value, gradient, state[0], lr, **options)
    else:
        function = getattr(reference, f"{name.lower()}_step")
        value, *state[:2] = function(value, gradient, *state[:2], t, lr, **options)
    return value


def by_reference(name, options, values, gradients, clip_norm=None, clip_value=None, lr=LR):
    values = [value.astype(np.float64) for value in values]
    first = options.get("initial_accumulator_value", 0.0)
    state = [[np.full(value.shape, first) for _ in range(3)] for value in values]
    for t, step in enumerate(gradients, 1):
        step = [gradient.astype(np.float64) for gradient in step]
        if clip_value is not None:
            step = reference.clip_grad_value(step, clip_value)
        if clip_norm is not None:
            step, _ = reference.clip_grad_norm(step, clip_norm)
        for i, gradient in enumerate(step):
            values[i] = step_by_reference(name, options, values[i], gradient, state[i], t, lr)
        yield [value.copy() for value in values]


CLIPS = [
    {},
    {"clip_norm": 0.5},
    {"clip_norm": 1e6},
    {"clip_value": 0.4},
    {"clip_value": 0.4, "clip_norm": 3.0},
]


@EACH
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_against_reference(name, options, dtype, clip):
    expected = by_reference(name, options, *start(dtype), **clip)
    for got, right in zip(ours(name, options, dtype, **clip), expected, strict=True):
        for a, b in zip(got, right, strict=True):
            assert_close(a, b, dtype, scale=float(STEPS))  # every step rounds


@pytest.mark.parametrize(
    ("name", "options"), [o for o in OPTIMIZERS if o[0] not in {"Lion", "LAMB"}], ids=str
)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("clip", [{}, {"clip_norm": 0.5}, {"clip_value": 0.4}], ids=str)
def test_torch(torch, name, options, dtype, clip):
    values, gradients = start(dtype)
    parameters = [torch.tensor(value, requires_grad=True) for value in values]
    optimizer = getattr(torch.optim, name)(parameters, lr=LR, **options)
    for got, step in zip(ours(name, options, dtype, **clip), gradients, strict=True):
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = torch.tensor(gradient)
        if "clip_norm" in clip:
            torch.nn.utils.clip_grad_norm_(parameters, clip["clip_norm"])
        if "clip_value" in clip:
            torch.nn.utils.clip_grad_value_(parameters, clip["clip_value"])
        optimizer.step()
        for a, b in zip(got, parameters, strict=True):
            assert_close(a, b.detach().numpy(), dtype, scale=float(STEPS))


@EACH
def test_same_bits_on_any_number_of_threads(name, options):
    results = []
    for threads in THREADS:
        at.set_num_threads(threads)
        parameter = at.nn.Parameter(np.random.default_rng(0).standard_normal(200_001).astype(np.float32))
        optimizer = getattr(at.optim, name)(lr=LR, **options)
        optimizer.attach([parameter])
        for seed in range(3):
            parameter.grad = np.random.default_rng(seed).standard_normal(200_001).astype(np.float32)
            optimizer.step(1.0, 2.0)
        results.append(parameter.numpy().copy())
    for other in results[1:]:
        assert_same_bits(other, results[0])


@EACH
def test_parameters_stay_the_module_s_own(name, options):
    """The optimizer moves them into one flat buffer; whoever holds them must see the new numbers."""
    module = at.nn.Linear(3, 2, seed=0)
    weight, x = module.weight, np.ones((4, 3), np.float32)
    before, array = module(x).numpy().copy(), weight.numpy()
    values = array.copy()
    optimizer = getattr(at.optim, name)(lr=LR, **options)
    optimizer.attach(module)
    assert_same_bits(module(x), before)
    module(x).sum().backward()
    optimizer.step()
    assert (module(x).numpy() != before).any()
    assert_same_bits(weight, module.state_dict()["weight"])
    assert_same_bits(array, values)  # an array taken before is a picture of then, and still whole


def test_grad_norm_and_zero_grad():
    parameters = [at.nn.Parameter(np.zeros(2)), at.nn.Parameter(np.zeros((1, 2), np.float32))]
    optimizer = at.optim.SGD(0.1)
    optimizer.attach(parameters)
    parameters[0].grad = [1.0, 2.0]
    parameters[1].grad = np.array([[2.0, 4.0]], np.float32)
    assert optimizer.grad_norm() == 5
    optimizer.zero_grad()
    assert optimizer.grad_norm() == 0
    (parameters[0] * 3.0).sum().backward()
    np.testing.assert_array_equal(parameters[0].grad.numpy(), [3, 3])


def test_gradients_add_up_between_steps():
    parameter = at.nn.Parameter(np.zeros(2))
    optimizer = at.optim.SGD(1.0)
    optimizer.attach([parameter])
    for _ in range(3):
        (parameter * 2.0).sum().backward()
    optimizer.step()
    np.testing.assert_array_equal(parameter.numpy(), [-6, -6])


def test_what_is_frozen_does_not_move():
    module = at.nn.Sequential(at.nn.Linear(2, 2, seed=0), at.nn.Linear(2, 2, seed=1))
    module[0].requires_grad_(False)
    before = module.state_dict()
    optimizer = at.optim.AdamW(lr=0.1, weight_decay=0.5)
    optimizer.attach(module)
    module(np.ones((3, 2), np.float32)).sum().backward()
    optimizer.step()
    after = module.state_dict()
    for name, value in before.items():
        assert (after[name] == value).all() == name.startswith("0.")


def test_lr_steps_and_state():
    parameter = at.nn.Parameter(np.zeros(2))
    optimizer = at.optim.Adam(lr=at.schedules.step(0.1, 1, 0.5))
    assert optimizer.steps == 0 and optimizer.lr == 0.1
    optimizer.attach([parameter])
    parameter.grad = [1.0, -1.0]
    optimizer.step()
    assert optimizer.steps == 1 and optimizer.lr == 0.05
    assert all(value.shape == (len(value),) and value.flags.writeable for value in optimizer.state.values())
    assert list(optimizer.state) == ["steps", "m.float64", "v.float64"] and optimizer.state["steps"] == [1]
    assert (
        "Adam(lr=" in repr(optimizer)
        and "AdamW(" in repr(at.optim.AdamW(0.1))
        and "SGD(" in repr(at.optim.SGD(1))
    )


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: at.optim.SGD(lr=-0.1), ValueError, "SGD: lr is -0.1"),
        (lambda: at.optim.SGD(lr=np.nan), ValueError, "SGD: lr is nan"),
        (lambda: at.optim.SGD(lr="fast"), TypeError, "SGD: lr is a str"),
        (lambda: at.optim.SGD(0.1, momentum=1.0), ValueError, "SGD: momentum is 1 "),
        (lambda: at.optim.SGD(0.1, momentum=-0.1), ValueError, "SGD: momentum is -0.1"),
        (lambda: at.optim.SGD(0.1, nesterov=True), ValueError, "SGD: nesterov needs momentum"),
        (lambda: at.optim.SGD(0.1, weight_decay=-1), ValueError, "SGD: weight_decay is -1"),
        (lambda: at.optim.Adam(betas=(1.0, 0.9)), ValueError, r"Adam: betas\[0\] is 1"),
        (lambda: at.optim.Adam(betas=(0.9, np.nan)), ValueError, r"Adam: betas\[1\] is nan"),
        (lambda: at.optim.Adam(betas=(0.9,)), TypeError, "Adam: betas must be two numbers"),
        (lambda: at.optim.Adam(betas=0.9), TypeError, "Adam: betas must be two numbers"),
        (lambda: at.optim.Adam(betas="ab"), TypeError, "Adam: betas"),
        (lambda: at.optim.Adam(eps=-1e-8), ValueError, "Adam: eps is -1e-08"),
        (lambda: at.optim.AdamW(0.1, weight_decay=-1), ValueError, "AdamW: weight_decay is -1"),
        (lambda: at.optim.AdamW(weight_decay=np.inf), ValueError, "AdamW: weight_decay is inf"),
        (lambda: at.optim.Adam(amsgrad=1), TypeError, "Adam: amsgrad is a int but must be True or False"),
        (lambda: at.optim.SGD(0.1, momentum=0.5, dampening=1.0), ValueError, "SGD: dampening is 1 "),
        (
            lambda: at.optim.SGD(0.1, momentum=0.5, dampening=0.5, nesterov=True),
            ValueError,
            "nesterov needs dampening 0",
        ),
        (lambda: at.optim.Adagrad(lr_decay=-1), ValueError, "Adagrad: lr_decay is -1"),
        (
            lambda: at.optim.Adagrad(initial_accumulator_value=-1),
            ValueError,
            "initial_accumulator_value is -1",
        ),
        (lambda: at.optim.RMSprop(alpha=1.0), ValueError, "RMSprop: alpha is 1 "),
        (lambda: at.optim.RMSprop(momentum=-1.0), ValueError, "RMSprop: momentum is -1"),
        (lambda: at.optim.RMSprop(eps=np.nan), ValueError, "RMSprop: eps is nan"),
        (lambda: at.optim.Lion(betas=(0.9, 1.0)), ValueError, r"Lion: betas\[1\] is 1"),
        (lambda: at.optim.LAMB(weight_decay=-1), ValueError, "LAMB: weight_decay is -1"),
        (lambda: at.optim.Lion(0.1, momentum=0.9), TypeError, "Lion: got an unexpected keyword"),
        (
            lambda: at.optim.SGD(at.schedules.Schedule.__new__(at.schedules.Schedule)),
            TypeError,
            "SGD: lr is a Schedule that was never initialised",
        ),
        (lambda: at.optim.SGD(0.1).step(), ValueError, "attach"),
        (lambda: at.optim.SGD(0.1).attach([]), ValueError, "no parameter that requires a gradient"),
        (lambda: at.optim.SGD(0.1).attach([at.tensor([1.0])]), ValueError, "no parameter"),
        (lambda: at.optim.SGD(0.1).attach([np.ones(3)]), TypeError, "attach: target must hold Tensors"),
        (lambda: at.optim.SGD(0.1).attach(3), TypeError, "attach: target"),
        (lambda: attached().step(clip_norm=0.0), ValueError, "step: clip_norm is 0"),
        (lambda: attached().step(clip_norm=-1.0), ValueError, "step: clip_norm is -1"),
        (lambda: attached().step(clip_norm=np.nan), ValueError, "step: clip_norm is nan"),
        (lambda: attached().step(clip_norm="1"), TypeError, "step: clip_norm is a str"),
        (lambda: attached().attach([at.nn.Parameter([1.0])]), ValueError, "already steps other parameters"),
    ],
)
def test_errors(call, error, says):
    with pytest.raises(error, match=says):
        call()


def attached():
    optimizer = at.optim.SGD(0.1)
    optimizer.attach([at.nn.Parameter([1.0])])
    return optimizer


def test_two_optimizers_do_not_share_a_parameter():
    parameter, first, second = at.nn.Parameter([1.0]), at.optim.SGD(0.1), at.optim.Adam()
    first.attach([parameter])
    first.attach([parameter])  # again is no harm
    second.attach([parameter])  # a notebook cell run twice: the later one takes over
    parameter.grad = [1.0]
    second.step()
    with pytest.raises(ValueError, match="another optimizer has taken over its parameters"):
        first.step()
    value = parameter.numpy().copy()
    del first, second  # what is left behind is an ordinary parameter
    parameter.zero_grad()
    assert parameter.grad is None
    assert_same_bits(parameter, value)

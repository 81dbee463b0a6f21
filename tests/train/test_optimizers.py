"""SGD, Adam, AdamW and clipping: parameters after each of twenty steps."""

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
]
EACH = pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=str)


def start(dtype):
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
    gradients = [[rng.standard_normal(shape).astype(dtype) for shape in SHAPES] for _ in range(STEPS)]
    return values, gradients


def ours(name, options, dtype, clip_norm=None, lr=LR):
    """The parameters after each step."""
    values, gradients = start(dtype)
    parameters = [at.nn.Parameter(value) for value in values]
    optimizer = getattr(at.optim, name)(lr=lr, **options)
    optimizer.attach(parameters)
    history = []
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = gradient
        optimizer.step(clip_norm)
        history.append([parameter.numpy().copy() for parameter in parameters])
    return history


def by_reference(name, options, values, gradients, clip_norm=None, lr=LR):
    values = [value.astype(np.float64) for value in values]
    state = [[np.zeros(value.shape), np.zeros(value.shape)] for value in values]
    for t, step in enumerate(gradients, 1):
        step = [gradient.astype(np.float64) for gradient in step]
        if clip_norm is not None:
            step, _ = reference.clip_grad_norm(step, clip_norm)
        for i, gradient in enumerate(step):
            if name == "SGD":
                values[i], state[i][0] = reference.sgd_step(values[i], gradient, state[i][0], lr, **options)
            else:
                function = reference.adam_step if name == "Adam" else reference.adamw_step
                values[i], *state[i] = function(values[i], gradient, *state[i], t, lr, **options)
        yield [value.copy() for value in values]


@EACH
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("clip_norm", [None, 0.5, 1e6])
def test_against_reference(name, options, dtype, clip_norm):
    expected = by_reference(name, options, *start(dtype), clip_norm)
    for got, right in zip(ours(name, options, dtype, clip_norm), expected, strict=True):
        for a, b in zip(got, right, strict=True):
            assert_close(a, b, dtype, scale=float(STEPS))  # every step rounds


@EACH
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_torch(torch, name, options, dtype):
    values, gradients = start(dtype)
    parameters = [torch.tensor(value, requires_grad=True) for value in values]
    optimizer = getattr(torch.optim, name)(parameters, lr=LR, **options)
    for got, step in zip(ours(name, options, dtype), gradients, strict=True):
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = torch.tensor(gradient)
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
            optimizer.step(1.0)
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
    assert len(optimizer.state) == 2
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


# ------------------------------------------------------------------------------- tables with sparse gradients

VOCABULARY, WIDTH = 30, 5


def table(dtype=np.float64, sparse=True):
    return at.nn.Embedding(VOCABULARY, WIDTH, sparse=sparse, dtype=str(np.dtype(dtype)), seed=0)


def batches(steps=12, all_rows=False):
    rng = np.random.default_rng(0)
    for _ in range(steps):
        ids = rng.integers(0, VOCABULARY, 9)
        if all_rows:
            ids = np.append(ids, rng.permutation(VOCABULARY))
        yield ids, rng.standard_normal((len(ids), WIDTH))


def train_table(optimizer, layer, clip_norm=None, **options):
    optimizer.attach(layer)
    for ids, d_y in batches(**options):
        optimizer.zero_grad()
        layer(ids).backward(d_y.astype(layer.weight.dtype))
        optimizer.step(clip_norm)
        yield layer.weight.numpy().copy()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sparse_adam_by_torch(torch, dtype):
    layer = table(dtype)
    theirs = torch.nn.Embedding(VOCABULARY, WIDTH, sparse=True, dtype=getattr(torch, str(np.dtype(dtype))))
    theirs.weight.data = torch.tensor(layer.weight.numpy().copy())
    # Its epsilon stands outside the correction of the second moment; it is too small to matter here.
    optimizer = torch.optim.SparseAdam(theirs.parameters(), lr=LR, eps=1e-20)
    got = train_table(at.optim.Adam(LR, eps=1e-20), layer)
    for (ids, d_y), ours_now in zip(batches(), got, strict=True):
        optimizer.zero_grad()
        theirs(torch.tensor(ids)).backward(torch.tensor(d_y.astype(dtype)))
        optimizer.step()
        assert_close(ours_now, theirs.weight.detach().numpy(), dtype, scale=float(STEPS))


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_a_sparse_step_of_all_rows_is_the_dense_one(name, clip_norm):
    options = {"weight_decay": 0.0} if name == "AdamW" else {}
    results = [
        list(
            train_table(
                getattr(at.optim, name)(LR, **options), table(sparse=sparse), clip_norm, all_rows=True
            )
        )
        for sparse in (True, False)
    ]
    for sparse, dense in zip(*results, strict=True):
        assert_close(sparse, dense)


def test_sparse_sgd_is_the_dense_one():
    results = [list(train_table(at.optim.SGD(LR), table(sparse=sparse))) for sparse in (True, False)]
    for sparse, dense in zip(*results, strict=True):
        assert_close(sparse, dense)


def test_rows_that_are_not_used_do_not_move():
    layer, optimizer = table(), at.optim.Adam(LR)
    optimizer.attach(layer)
    for ids in ([1, 2, 2], [7]):
        before = layer.weight.numpy().copy()
        optimizer.zero_grad()
        assert layer.weight.grad is None
        layer(ids).sum().backward()
        optimizer.step()
        moved = (layer.weight.numpy() != before).any(axis=1)
        assert set(np.flatnonzero(moved)) == set(ids)
    moments = [value.reshape(VOCABULARY, WIDTH) for value in optimizer.state.values()]
    assert len(moments) == 2
    for moment in moments:
        assert set(np.flatnonzero(moment.any(axis=1))) == {1, 2, 7}


def test_a_sparse_table_beside_dense_parameters():
    model = at.nn.Sequential(table(np.float32), at.nn.Linear(WIDTH, 2, seed=1))
    same = at.nn.Sequential(table(np.float32, sparse=False), at.nn.Linear(WIDTH, 2, seed=1))
    norms = []
    for each in (model, same):
        optimizer = at.optim.SGD(LR)
        optimizer.attach(each)
        for ids, _ in batches(4):
            optimizer.zero_grad()
            (each(ids) * each(ids)).sum().backward()
            norms.append(optimizer.grad_norm())
            optimizer.step(clip_norm=0.1)
    np.testing.assert_allclose(norms[:4], norms[4:], rtol=1e-5)
    for a, b in zip(model.parameters(), same.parameters(), strict=True):
        assert_close(a, b.numpy(), np.float32, scale=10.0)


def test_a_whole_gradient_of_a_sparse_table_steps_all_rows():
    layer, dense = table(), at.nn.Parameter(table().weight.numpy().copy())
    gradient = np.random.default_rng(0).standard_normal((VOCABULARY, WIDTH))
    for target in (layer, [dense]):
        optimizer = at.optim.Adam(LR)
        optimizer.attach(target)
        (layer.weight if target is layer else dense).grad = gradient
        assert optimizer.grad_norm() == pytest.approx(np.linalg.norm(gradient))
        optimizer.step()
        optimizer.zero_grad()
    assert layer.weight.grad is None
    assert_close(layer.weight, dense.numpy())


@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_sparse_steps_have_the_same_bits_on_any_number_of_threads(name):
    results = []
    for threads in THREADS:
        at.set_num_threads(threads)
        layer, optimizer = at.nn.Embedding(20_000, 65, sparse=True, seed=0), getattr(at.optim, name)(LR)
        optimizer.attach(layer)
        for seed in range(3):
            optimizer.zero_grad()
            ids = np.minimum(np.random.default_rng(seed).zipf(1.2, 9_000), 20_000) - 1
            y = layer(ids)
            (y * y).sum().backward()
            optimizer.step(1.0)
        results.append(layer.weight.numpy().copy())
    for other in results[1:]:
        assert_same_bits(other, results[0])


@pytest.mark.parametrize(
    ("optimizer", "says"),
    [
        (lambda: at.optim.SGD(0.1, momentum=0.9), "SGD: momentum is 0.9 but must be 0"),
        (lambda: at.optim.SGD(0.1, weight_decay=0.5), "SGD: weight_decay is 0.5 but must be 0"),
        (lambda: at.optim.Adam(0.1, weight_decay=0.5), "Adam: weight_decay is 0.5 but must be 0"),
        (lambda: at.optim.AdamW(0.1), "AdamW: weight_decay is 0.01 but must be 0"),
    ],
)
def test_options_that_would_move_every_row(optimizer, says):
    layer = table()
    with pytest.raises(ValueError, match=says):
        optimizer().attach(layer)
    at.optim.Adam(0.1).attach(layer)  # nothing has happened to it


def test_a_later_optimizer_takes_a_sparse_table_over():
    layer, first, second = table(), at.optim.Adam(0.1), at.optim.SGD(0.1)
    first.attach(layer)
    first.attach(layer)
    second.attach(layer)
    layer([1]).sum().backward()
    first.zero_grad()  # not its own any more
    assert layer.weight.row_grad is not None
    second.step()
    with pytest.raises(ValueError, match="another optimizer has taken over its parameters"):
        first.step()
    del first, second
    layer.weight.zero_grad()
    assert layer.weight.grad is None

"""FGSM and PGD: as in PyTorch, within their bounds, and without a trace on the model."""

import numpy as np
import pytest

import attendo as at

LOSS = at.losses.CrossEntropy()


class Net(at.nn.Module):
    """Convolution, batch norm, dropout, a linear layer: everything that has two modes."""

    def __init__(self, dtype="float64", seed=0):
        super().__init__()
        self.conv = at.nn.Conv2d(2, 4, 3, padding=1, dtype=dtype, seed=seed)
        self.norm = at.nn.BatchNorm2d(4, dtype=dtype)
        self.drop = at.nn.Dropout(0.5)
        self.out = at.nn.Linear(4 * 5 * 5, 3, dtype=dtype, seed=seed + 1)

    def forward(self, x):
        h = self.drop(self.norm(self.conv(x)).tanh())
        return self.out(h.reshape(h.shape[0], -1))


def made(dtype="float64", samples=6):
    rng = np.random.default_rng(0)
    model = Net(dtype)
    x = rng.random((samples, 2, 5, 5)).astype(dtype)
    model(x)  # running statistics that are not 0 and 1
    return model, x, rng.integers(0, 3, samples)


def torch_net(torch, model):
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, padding=1),
        torch.nn.BatchNorm2d(4),
        torch.nn.Tanh(),
        torch.nn.Flatten(),
        torch.nn.Linear(100, 3),
    ).double()
    names = {"conv": "0", "norm": "1", "out": "4"}
    state = {f"{names[k.split('.')[0]]}.{k.split('.')[1]}": v for k, v in model.state_dict().items()}
    net.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    return net.eval()


def torch_pgd(torch, net, x, y, eps, steps, size, norm, targeted, clip, start):
    """The attack as one writes it in PyTorch."""
    x0, y = torch.tensor(x), torch.tensor(y)
    adv = torch.tensor(start)
    for _ in range(steps):
        adv.requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(net(adv), y)
        (g,) = torch.autograd.grad(-loss if targeted else loss, adv)
        with torch.no_grad():
            if norm == "linf":
                delta = torch.clamp(adv + size * g.sign() - x0, -eps, eps)
            else:
                g = g / g.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
                delta = adv + size * g - x0
                delta = delta * (eps / delta.flatten(1).norm(dim=1)).clamp(max=1).view(-1, 1, 1, 1)
            adv = x0 + delta
            if clip:
                adv = adv.clamp(*clip)
    return adv.numpy()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("clip", [None, (0.1, 0.9)])
def test_as_in_pytorch(torch, norm, targeted, clip):
    model, x, y = made()
    x = np.clip(x, 0.1, 0.9)
    net = torch_net(torch, model)
    eps = 0.05 if norm == "linf" else 0.5
    options = {"norm": norm, "targeted": targeted, "clip": clip}
    want = torch_pgd(torch, net, x, y, eps, 1, eps, norm, targeted, clip, x)
    np.testing.assert_allclose(at.robust.fgsm(model, LOSS, x, y, eps, **options), want, rtol=0, atol=1e-9)
    want = torch_pgd(torch, net, x, y, eps, 7, eps / 3, norm, targeted, clip, x)
    got = at.robust.pgd(model, LOSS, x, y, eps, steps=7, step_size=eps / 3, random_start=False, **options)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-9)
    assert np.abs(got - x).max() > eps / 20


def test_a_random_start_as_in_pytorch(torch):
    model, x, y = made()
    start = x + np.random.default_rng(7).uniform(-0.1, 0.1, x.shape)
    want = torch_pgd(torch, torch_net(torch, model), x, y, 0.1, 3, 0.05, "linf", False, None, start)
    got = at.robust.pgd(model, LOSS, x, y, 0.1, steps=3, step_size=0.05, seed=np.random.default_rng(7))
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_of_a_linear_model_the_best_perturbation_is_known(norm):
    model = at.nn.Linear(5, 1, dtype="float64", seed=0)
    w = model.weight.numpy()[0]
    x = np.random.default_rng(0).normal(size=(4, 5))
    loss = lambda prediction, target: prediction.sum()  # noqa: E731
    best = 0.3 * np.sign(w) if norm == "linf" else 0.3 * w / np.linalg.norm(w)
    for got in (
        at.robust.fgsm(model, loss, x, None, 0.3, norm=norm),
        at.robust.pgd(model, loss, x, None, 0.3, steps=40, step_size=0.3, norm=norm),
        2 * x - at.robust.pgd(model, loss, x, None, 0.3, steps=40, step_size=0.3, norm=norm, targeted=True),
    ):
        np.testing.assert_allclose(got, x + best, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_within_eps_and_bounds(dtype, norm):
    model, x, y = made(dtype, 9)
    before = x.copy()
    x.flags.writeable = False
    for eps in (0.0, 1e-3, 0.2, 3.0):
        for out in (
            at.robust.fgsm(model, LOSS, x, y, eps, norm=norm, clip=(0.0, 1.0)),
            at.robust.pgd(model, LOSS, x, y, eps, steps=3, norm=norm, clip=(0.0, 1.0)),
        ):
            delta = (out - x).reshape(9, -1).astype(np.float64)
            size = np.abs(delta).max(axis=1) if norm == "linf" else np.linalg.norm(delta, axis=1)
            assert out.dtype == dtype and size.max() <= eps + 8 * np.finfo(dtype).eps
            assert out.min() >= 0 and out.max() <= 1
    np.testing.assert_array_equal(x, before)


def test_stronger_is_worse():
    model, x, y = made()
    model.eval()
    clean = LOSS(model(x), y).item()
    one = LOSS(model(at.robust.fgsm(model, LOSS, x, y, 0.1)), y).item()
    many = LOSS(model(at.robust.pgd(model, LOSS, x, y, 0.1, steps=20, random_start=False)), y).item()
    aimed = at.robust.pgd(model, LOSS, x, (y + 1) % 3, 0.1, steps=20, targeted=True)
    assert clean < one <= many
    assert LOSS(model(aimed), (y + 1) % 3).item() < LOSS(model(x), (y + 1) % 3).item()


def test_no_trace_on_the_model():
    model, x, y = made()
    twin, *_ = made()
    for one in (model, twin):
        trainer = at.train.Trainer(one, LOSS, at.optim.SGD(lr=0.0), seed=0)  # seeds what dropout drops
        trainer.fit(x, y, progress=False)
        one.train()
        one.norm.eval()  # as in fine-tuning: one module in another mode
        one.zero_grad()
        LOSS(one(x), y).backward()
    state = model.state_dict()
    gradients = [p.grad.numpy().copy() for p in model.parameters()]
    at.robust.fgsm(model, LOSS, x, y, 0.1)
    at.robust.pgd(model, LOSS, x, y, 0.1, steps=3)
    assert [m.training for m in model.modules()] == [m.training for m in twin.modules()]
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
    for p, gradient in zip(model.parameters(), gradients, strict=True):
        assert p.requires_grad
        np.testing.assert_array_equal(p.grad.numpy(), gradient)
    # Dropout draws the same numbers next as it would have.
    np.testing.assert_array_equal(model(x).numpy(), twin(x).numpy())


def test_the_mode_comes_back_when_the_loss_fails():
    model, x, y = made()

    def broken(prediction, target):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        at.robust.fgsm(model, broken, x, y, 0.1)
    assert model.training and model.drop.training


def test_within_no_grad_and_for_tensors():
    model, x, y = made()
    with at.no_grad():
        a = at.robust.fgsm(model, LOSS, x, y, 0.1)
    b = at.robust.fgsm(model, LOSS, at.tensor(x), y, 0.1)
    np.testing.assert_array_equal(a, b)


def test_the_same_bits_on_any_number_of_threads():
    model, x, y = made("float32", 40)
    found = []
    for threads in (1, 3):
        at.set_num_threads(threads)
        found.append(at.robust.pgd(model, LOSS, x, y, 0.1, steps=4, seed=3))
    np.testing.assert_array_equal(*found)
    assert (found[0] != at.robust.pgd(model, LOSS, x, y, 0.1, steps=4, seed=4)).any()


class Both(at.nn.Module):
    """Words and a picture."""

    def __init__(self):
        super().__init__()
        self.words, self.out = at.nn.Embedding(9, 4, seed=0), at.nn.Linear(4, 2, seed=1)

    def forward(self, ids, x):
        hidden = self.words(ids).mean(axis=1) * x
        return self.out(hidden), hidden


def test_one_of_several_inputs_and_outputs():
    ids, x = np.array([[1, 2], [3, 4]]), np.ones((2, 4), np.float32)
    same, out = at.robust.fgsm(Both(), LOSS, (ids, x), [0, 1], 0.1, input=1)
    assert same is ids and np.abs(np.abs(out - x) - 0.1).max() < 1e-6
    loss = lambda outputs, targets: LOSS(outputs[0], targets[0])  # noqa: E731
    _, again = at.robust.fgsm(Both(), loss, (ids, x), ([0, 1], x), 0.1, input=1)
    np.testing.assert_array_equal(out, again)
    with pytest.raises(TypeError, match=r"FGSM: inputs\[0\] has dtype int64 .* attendo.robust.FGM"):
        at.robust.fgsm(Both(), LOSS, (ids, x), [0, 1], 0.1)


def test_a_random_start_is_anywhere_in_the_ball():
    x = np.zeros((20000, 3))
    start = at.robust.PGD(2.0, norm="l2")._anywhere(x, np.random.default_rng(0))
    radius = np.linalg.norm(start, axis=1)
    assert radius.max() <= 2 + 1e-12
    # As many within r as its share of the volume, and no direction preferred.
    np.testing.assert_allclose(
        [(radius < r).mean() for r in (0.5, 1.0, 1.5)], [1 / 64, 1 / 8, 27 / 64], atol=0.01
    )
    assert np.abs(start.mean(axis=0)).max() < 0.03
    start = at.robust.PGD(2.0)._anywhere(x, np.random.default_rng(0))
    assert abs(start.std() - 4 / np.sqrt(12)) < 0.01 and np.abs(start).max() <= 2


def test_no_samples():
    model, x, y = made()
    for attack in (at.robust.FGSM(0.1), at.robust.PGD(0.1, norm="l2")):
        assert attack(model, LOSS, x[:0], y[:0], np.random.default_rng(0)).shape == (0, 2, 5, 5)


def test_a_zero_gradient_moves_nothing_and_a_tiny_one_as_far_as_any():
    flat = lambda prediction, target: (prediction * 0.0).sum()  # noqa: E731
    tiny = lambda prediction, target: (prediction * 1e-200).sum()  # noqa: E731
    model, x, y = made()
    for norm in ("linf", "l2"):
        np.testing.assert_array_equal(at.robust.fgsm(model, flat, x, y, 0.1, norm=norm), x)
        size = np.linalg.norm((at.robust.fgsm(model, tiny, x, y, 0.1, norm=norm) - x).reshape(6, -1), axis=1)
        np.testing.assert_allclose(size, 0.1 if norm == "l2" else 0.1 * np.sqrt(50), rtol=1e-6)


def test_another_strength():
    attack = at.robust.PGD(0.25, step_size=0.125, clip=(0, 1))
    assert attack.at(0.5) == at.robust.PGD(0.5, step_size=0.25, clip=(0, 1))
    assert at.robust.PGD(0.2).at(0.1) == at.robust.PGD(0.1)
    assert at.robust.FGSM(0.2, norm="l2").at(0.1) == at.robust.FGSM(0.1, norm="l2")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: at.robust.FGSM(-0.1), r"FGSM: eps is -0\.1 but must be 0 or more"),
        (lambda: at.robust.PGD(float("nan")), "PGD: eps is nan"),
        (lambda: at.robust.FGSM(0.1, norm="l1"), "norm is 'l1' but must be 'linf' or 'l2'"),
        (lambda: at.robust.FGSM(0.1, clip=(1, 0)), r"clip is \(1, 0\)"),
        (lambda: at.robust.FGSM(0.1, input=-1), "input is -1"),
        (lambda: at.robust.PGD(0.1, steps=0), "steps is 0 but must be 1 or more"),
        (lambda: at.robust.PGD(0.1, step_size=-1.0), r"step_size is -1\.0"),
        (lambda: at.robust.FGSM(0.1, clip=(0, 1, 2)), r"clip is \(0, 1, 2\)"),
    ],
)
def test_bad_options(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"eps": "a"}, "PGD: eps is a str but must be a number"),
        ({"eps": None}, "PGD: eps is a NoneType but must be a number"),
        ({"clip": 3}, r"PGD: clip is a int but must be \(low, high\)"),
        ({"clip": ("a", 1)}, "PGD: a bound of clip is a str but must be a number"),
        ({"input": 0.5}, "PGD: input is a float but must be a whole number"),
        ({"steps": "a"}, "PGD: steps is a str but must be a whole number"),
        ({"step_size": "a"}, "PGD: step_size is a str but must be a number"),
        ({"seed": "a"}, "pgd: seed is a str but must be a whole number"),
        ({"batch_size": "a"}, "PGD: batch_size is a str but must be a whole number"),
    ],
)
def test_arguments_of_a_wrong_type(options, said):
    with pytest.raises(TypeError, match=said):
        at.robust.pgd(*made()[:1], LOSS, *made()[1:], **{"eps": 0.1, **options})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("attack", [at.robust.fgsm, at.robust.pgd])
def test_inputs_outside_of_the_bounds_are_refused(attack, dtype):
    """They would be moved to the bounds, however far beyond eps."""
    model, x, y = made(dtype)
    with pytest.raises(ValueError, match=r"clip is \(5, 6\) but inputs\[0\] holds 0\.\d+ to 0\.\d+"):
        attack(model, LOSS, x, y, 0.1, clip=(5, 6))
    with pytest.raises(ValueError, match=r"clip is \(0, 0\.5\)"):
        attack(model, LOSS, x, y, 0.1, clip=(0, 0.5))
    x[0, 0, 0, 0] = 0.1  # in float32 more than the bound, which is rounded alike
    x = np.minimum(x, x.dtype.type(0.9))
    x = np.maximum(x, x.dtype.type(0.1))
    assert np.abs(attack(model, LOSS, x, y, 0.05, clip=(0.1, 0.9)) - x).max() <= 0.05 + 1e-6
    attack(model, LOSS, x, y, 0.05, clip=(-np.inf, np.inf))


def test_bad_calls():
    model, x, y = made()
    with pytest.raises(ValueError, match="PGD: rng is missing"):
        at.robust.PGD(0.1)(model, LOSS, x, y)
    with pytest.raises(ValueError, match="input is 1 but there are 1 inputs"):
        at.robust.fgsm(model, LOSS, x, y, 0.1, input=1)
    with pytest.raises(ValueError, match="the gradient at the input is not finite"):
        at.robust.fgsm(model, lambda p, t: (p * np.inf).sum(), x, y, 0.1)
    with pytest.raises(ValueError, match=r"target has shape \(2,\)"):
        at.robust.fgsm(model, LOSS, x, y[:2], 0.1)
    with pytest.raises(TypeError, match="int64"):
        at.robust.pgd(at.nn.Embedding(3, 2), LOSS, np.array([1, 2]), y, 0.1)
    with pytest.raises(ValueError, match="pgd: seed is -1 but must be 0 or more"):
        at.robust.pgd(model, LOSS, x, y, 0.1, seed=-1)
    with pytest.raises(TypeError, match="dtype <U1"):
        at.robust.pgd(model, LOSS, np.array(["a"]), y, 0.1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_few_samples_at_a_time(norm):
    model, x, y = made(samples=10)
    whole = at.robust.pgd(model, LOSS, x, y, 0.1, steps=3, norm=norm)
    for batch_size in (1, 3, 10, 99):
        pieces = at.robust.pgd(model, LOSS, x, y, 0.1, steps=3, norm=norm, batch_size=batch_size)
        np.testing.assert_allclose(pieces, whole, rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="FGSM: batch_size is 0 but must be 1 or more"):
        at.robust.fgsm(model, LOSS, x, y, 0.1, batch_size=0)

"""What regularization is for: less error on what was not trained on; gradients that reach the first layer."""

import numpy as np
import pytest

import attendo as at


def fit(model, x, y, loss, *, weight_decay=0.0, epochs=300, lr=0.01, seed=0):
    t = at.train.Trainer(model, loss, at.optim.AdamW(lr, weight_decay=weight_decay), seed=seed)
    t.fit(x, y, epochs=epochs, batch_size=len(x), progress=False)
    return t


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_weight_decay_lowers_the_error_on_new_samples(seed):
    """24 noisy samples of 20 features, of which two matter: least squares fits the noise, ridge does not."""
    rng = np.random.default_rng(seed)
    truth = np.zeros(20)
    truth[:2] = 1
    x, new = rng.standard_normal((24, 20)), rng.standard_normal((500, 20))
    y, expected = x @ truth + rng.standard_normal(24), new @ truth

    def error(l2):
        model = at.nn.Linear(20, 1, dtype="float64", seed=seed)
        t = at.train.Trainer(
            model, at.losses.MeanSquaredError(), at.optim.SGD(0.02, momentum=0.9, weight_decay=l2)
        )
        t.fit(x, y[:, None], epochs=800, batch_size=24, progress=False)
        ridge = np.linalg.solve(
            x.T @ x * 2 / 24 + l2 * np.eye(20), x.T @ (y - model.bias.numpy()) * 2 / 24
        )  # what it must come to, given its bias
        assert l2 == 0 or np.abs(model.weight.numpy().ravel() - ridge).max() < 1e-3
        return float(((t.predict(new).ravel() - expected) ** 2).mean())

    assert error(0.5) < 0.6 * error(0.0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_dropout_lowers_the_loss_on_new_samples(seed):
    """Labels of which a fifth is wrong: a network learns them by heart, one with dropout less."""
    rng = np.random.default_rng(seed)
    x, new = rng.standard_normal((120, 10)).astype("f4"), rng.standard_normal((1000, 10)).astype("f4")
    label = (x[:, 0] + x[:, 1] > 0).astype(int)
    wrong = rng.random(120) < 0.2
    label[wrong] = 1 - label[wrong]

    def loss(p):
        model = at.nn.Sequential(
            at.nn.Linear(10, 128), at.nn.ReLU(), at.nn.Dropout(p), at.nn.Linear(128, 64), at.nn.ReLU(),
            at.nn.Dropout(p), at.nn.Linear(64, 2),
        )  # fmt: skip
        model.reset_parameters(seed)
        t = fit(model, x, label, at.losses.CrossEntropy(), epochs=150, seed=seed)
        return t.evaluate(new, (new[:, 0] + new[:, 1] > 0).astype(int))["loss"]

    assert loss(0.6) < 0.6 * loss(0.0)


@pytest.mark.parametrize("seed", [0, 1])
def test_residuals_and_norms_keep_the_gradient_of_the_first_layer(seed):
    """Thirty layers with tanh: the gradient of the first vanishes, but for residuals and layer norm."""

    class Deep(at.nn.Module):
        def __init__(self, residual):
            super().__init__()
            self.residual = residual
            self.layers = at.nn.ModuleList([at.nn.Linear(16, 16, seed=100 * seed + i) for i in range(30)])
            self.norms = at.nn.ModuleList([at.nn.LayerNorm(16) for _ in range(30)])

        def forward(self, x):
            for layer, norm in zip(self.layers, self.norms, strict=True):
                y = layer(norm(x) if self.residual else x).tanh()
                x = x + y if self.residual else y
            return x

    def share(residual):
        model = Deep(residual)
        x = np.random.default_rng(seed).standard_normal((8, 16)).astype("f4")
        (model(x) * model(x)).mean().backward()
        first, last = (float(np.linalg.norm(model.layers[i].weight.grad.numpy())) for i in (0, 29))
        return first / last

    assert share(False) < 1e-3
    assert share(True) > 0.1

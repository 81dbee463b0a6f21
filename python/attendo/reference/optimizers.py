"""optimizers: one step each, for one parameter θ with gradient g

  sgd     g ← g + λ θ        u ← μ u + (1 - τ) g    θ ← θ - lr u          μ = momentum, λ = weight_decay
          at t = 1: u ← g    nesterov:              θ ← θ - lr (g + μ u)  τ = dampening
  adam    g ← g + λ θ        m ← β₁ m + (1 - β₁) g        v ← β₂ v + (1 - β₂) g²
          m̂ = m / (1 - β₁ᵗ)     v̂ = v / (1 - β₂ᵗ)        θ ← θ - lr m̂ / (√v̂ + ε)
  adamw   θ ← θ - lr λ θ first, then adam with λ = 0: the decay does not pass through m and v
  amsgrad adam or adamw with x ← max(x, v) in place of v in v̂
  adagrad g ← g + λ θ        v ← v + g²         θ ← θ - lr / (1 + (t - 1) κ) g / (√v + ε)         κ = lr_decay
  rmsprop g ← g + λ θ        v ← α v + (1 - α) g²        a ← α a + (1 - α) g
          s = √v + ε         centered: √(v - a²) + ε     u ← μ u + g / s         θ ← θ - lr u
  lion    c = β₁ m + (1 - β₁) g        θ ← θ - lr (sign(c) + λ θ)        m ← β₂ m + (1 - β₂) g
  lamb    m, v, m̂, v̂ as adam with λ = 0        r = m̂ / (√v̂ + ε) + λ θ        θ ← θ - lr ‖θ‖ / ‖r‖ r
          the ratio is 1 where one of the norms is 0

  clip    by norm:   norm = √(Σ over all gradients of all squared entries)
                     g ← g min(1, max_norm / (norm + 1e-6))
          by value:  g ← max(-bound, min(bound, g))

θ, g, u, m, v, x, a: one shape; u, m, v, x, a start at zero; t = step counts from 1.
PyTorch's rules.  The functions change nothing: they return the new parameter and the new state.
Sutskever et al. 2013 (momentum); Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2;
Reddi et al. 2018, algorithm 2 (amsgrad); Duchi et al. 2011 (adagrad); Tieleman and Hinton 2012 and Graves
2013, eq. 38-41 (rmsprop); Chen et al. 2023, algorithm 2 (lion); You et al. 2020, algorithm 2 (lamb); Pascanu
et al. 2013, algorithm 1 (clipping); articles 000 §5.2, 002 §5.2.
"""

from collections.abc import Sequence

import numpy as np

from ._types import Array


def sgd_step(
    parameter: Array,
    gradient: Array,
    velocity: Array,
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    dampening: float = 0.0,
    step: int = 2,
) -> tuple[Array, Array]:
    """-> the new parameter and the new velocity u."""
    gradient = gradient + weight_decay * parameter
    velocity = gradient if step == 1 else momentum * velocity + (1 - dampening) * gradient
    direction = gradient + momentum * velocity if nesterov else velocity
    return parameter - lr * direction, velocity


def adam_step(
    parameter: Array,
    gradient: Array,
    m: Array,
    v: Array,
    step: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[Array, Array, Array]:
    """-> the new parameter, the new first moment m and the new second moment v."""
    beta_1, beta_2 = betas
    gradient = gradient + weight_decay * parameter
    m = beta_1 * m + (1 - beta_1) * gradient
    v = beta_2 * v + (1 - beta_2) * gradient**2
    m_hat = m / (1 - beta_1**step)  # m and v start at zero: undo that bias
    v_hat = v / (1 - beta_2**step)
    new_parameter: Array = parameter - lr * m_hat / (np.sqrt(v_hat) + eps)
    return new_parameter, m, v


def adamw_step(
    parameter: Array,
    gradient: Array,
    m: Array,
    v: Array,
    step: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> tuple[Array, Array, Array]:
    """-> the new parameter, the new first moment m and the new second moment v."""
    decayed = parameter - lr * weight_decay * parameter
    return adam_step(decayed, gradient, m, v, step, lr, betas, eps)


def amsgrad_step(
    parameter: Array,
    gradient: Array,
    m: Array,
    v: Array,
    largest: Array,
    step: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[Array, Array, Array, Array]:
    """-> the new parameter, the new moments m and v, and the largest second moment x."""
    beta_1, beta_2 = betas
    if decoupled:
        parameter = parameter - lr * weight_decay * parameter
    else:
        gradient = gradient + weight_decay * parameter
    m = beta_1 * m + (1 - beta_1) * gradient
    v = beta_2 * v + (1 - beta_2) * gradient**2
    largest = np.maximum(largest, v)
    m_hat = m / (1 - beta_1**step)
    v_hat = largest / (1 - beta_2**step)
    new_parameter: Array = parameter - lr * m_hat / (np.sqrt(v_hat) + eps)
    return new_parameter, m, v, largest


def adagrad_step(
    parameter: Array,
    gradient: Array,
    v: Array,
    step: int,
    lr: float = 1e-2,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    eps: float = 1e-10,
) -> tuple[Array, Array]:
    """-> the new parameter and the new sum of squares v."""
    gradient = gradient + weight_decay * parameter
    v = v + gradient**2
    rate = lr / (1 + (step - 1) * lr_decay)
    return parameter - rate * gradient / (np.sqrt(v) + eps), v


def rmsprop_step(
    parameter: Array,
    gradient: Array,
    v: Array,
    a: Array,
    u: Array,
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
) -> tuple[Array, Array, Array, Array]:
    """-> the new parameter, the new mean square v, the new mean a and the new velocity u."""
    gradient = gradient + weight_decay * parameter
    v = alpha * v + (1 - alpha) * gradient**2
    a = alpha * a + (1 - alpha) * gradient
    variance = np.maximum(v - a**2, 0) if centered else v
    u = momentum * u + gradient / (np.sqrt(variance) + eps)
    return parameter - lr * u, v, a, u


def lion_step(
    parameter: Array,
    gradient: Array,
    m: Array,
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
) -> tuple[Array, Array]:
    """-> the new parameter and the new moment m."""
    beta_1, beta_2 = betas
    direction = np.sign(beta_1 * m + (1 - beta_1) * gradient)
    return parameter - lr * (direction + weight_decay * parameter), beta_2 * m + (1 - beta_2) * gradient


def lamb_step(
    parameter: Array,
    gradient: Array,
    m: Array,
    v: Array,
    step: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.01,
) -> tuple[Array, Array, Array]:
    """-> the new parameter, the new first moment m and the new second moment v."""
    beta_1, beta_2 = betas
    m = beta_1 * m + (1 - beta_1) * gradient
    v = beta_2 * v + (1 - beta_2) * gradient**2
    m_hat = m / (1 - beta_1**step)
    v_hat = v / (1 - beta_2**step)
    r = m_hat / (np.sqrt(v_hat) + eps) + weight_decay * parameter
    of_parameter, of_r = np.linalg.norm(parameter), np.linalg.norm(r)
    ratio = of_parameter / of_r if of_parameter > 0 and of_r > 0 else 1.0
    new_parameter: Array = parameter - lr * ratio * r
    return new_parameter, m, v


def clip_grad_value(gradients: Sequence[Array], bound: float) -> list[Array]:
    """-> the gradients, each entry clamped to +-bound."""
    return [np.clip(gradient, -bound, bound) for gradient in gradients]


def clip_grad_norm(gradients: Sequence[Array], max_norm: float) -> tuple[list[Array], float]:
    """-> the gradients, scaled together so that their norm is at most max_norm, and the norm before."""
    norm = float(np.sqrt(sum(np.sum(gradient.astype(np.float64) ** 2) for gradient in gradients)))
    factor = min(1.0, max_norm / (norm + 1e-6))
    return [gradient * factor for gradient in gradients], norm

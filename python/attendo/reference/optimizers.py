"""optimizers: one step each, for one parameter θ with gradient g

  sgd     g ← g + λ θ        u ← μ u + g        θ ← θ - lr u              μ = momentum, λ = weight_decay
                             nesterov:          θ ← θ - lr (g + μ u)
  adam    g ← g + λ θ        m ← β₁ m + (1 - β₁) g        v ← β₂ v + (1 - β₂) g²
          m̂ = m / (1 - β₁ᵗ)     v̂ = v / (1 - β₂ᵗ)        θ ← θ - lr m̂ / (√v̂ + ε)
  adamw   θ ← θ - lr λ θ first, then adam with λ = 0: the decay does not pass through m and v

  clip    norm = √(Σ over all gradients of all squared entries)     g ← g min(1, max_norm / (norm + 1e-6))

θ, g, u, m, v: one shape; u, m, v start at zero; t = step counts from 1.
PyTorch's rules, without dampening or amsgrad.  The functions change nothing: they return the new parameter
and the new state.
Sutskever et al. 2013 (momentum); Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2;
Pascanu et al. 2013, algorithm 1 (clipping); articles 000 §5.2, 002 §5.2.
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
) -> tuple[Array, Array]:
    """-> the new parameter and the new velocity u."""
    gradient = gradient + weight_decay * parameter
    velocity = momentum * velocity + gradient
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


def clip_grad_norm(gradients: Sequence[Array], max_norm: float) -> tuple[list[Array], float]:
    """-> the gradients, scaled together so that their norm is at most max_norm, and the norm before."""
    norm = float(np.sqrt(sum(np.sum(gradient.astype(np.float64) ** 2) for gradient in gradients)))
    factor = min(1.0, max_norm / (norm + 1e-6))
    return [gradient * factor for gradient in gradients], norm

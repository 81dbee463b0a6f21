"""gemm: the matrix product below linear, matmul and conv2d, with what may follow it in the same pass

  c_ij = f( Σ_p a_ip b_pj (+ c_ij) (+ bias_j) ),   f = the identity, or max(·, 0)

a: (m, k)  b: (k, n)  c: (m, n)  bias: (n,).  It has no gradient of its own: those of the operations that call
it are products again.   Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication".
"""

import numpy as np

from ._types import Array


def gemm(a: Array, b: Array, c: Array | None = None, bias: Array | None = None, relu: bool = False) -> Array:
    """a (m, k), b (k, n), c (m, n) to add to or None, bias (n,) or None -> (m, n)."""
    out: Array = a @ b
    if c is not None:
        out = out + c
    if bias is not None:
        out = out + bias
    if relu:
        out = np.maximum(out, 0)
    return out

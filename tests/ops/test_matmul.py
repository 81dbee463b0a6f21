"""matmul: y = a b, over broadcast batch axes."""

import numpy as np
import pytest

import attendo as at
from inputs import SIZES, case, wrong
from op_check import op_tests
from tolerance import assert_close

TestMatmul = op_tests(
    "matmul",
    "a b",
    [
        case((2, 4, 3), (2, 3, 5)),
        case((4, 3), (3, 5)),
        case((2, 1, 3, 1), (5, 1, 2)),
        case((3, 1, 2, 3), (1, 2, 3, 5)),
        case((3, 4), (2, 4, 5)),
        case((2, 3, 4), (4, 5)),
        case((0, 3, 4), (4, 5)),
        case((0, 3, 4), (1, 4, 5)),
        *(case((n, 6), (6, 5)) for n in SIZES),
        *(case((4, n), (n, 5)) for n in SIZES),
        *(case((4, 6), (6, n)) for n in SIZES),
        case((2, 33, 100), (2, 100, 65)),
    ],
    large=[case((500, 200), (200, 300)), case((64, 33, 65), (64, 65, 17)), case((64, 30, 65), (65, 17))],
    torch=lambda torch, a, b: torch.matmul(a, b),
    errors=[
        wrong((4, 3), (4, 5), says="a has shape (4, 3) and b has shape (4, 5)"),
        wrong((3,), (3, 5), says="a has shape (3,)"),
        wrong((4, 3), (3,), says="b has shape (3,)"),
        wrong((4, 3), (), says="b has shape ()"),
        wrong((2, 4, 3), (3, 3, 5), says="(2, 4, 3)"),
        wrong(None, (3, 5), raises=TypeError, says="a is None"),
    ],
    huge=lambda: (np.zeros((2**23, 0), np.float32), np.zeros((0, 2**23), np.float32), {}),
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transposed_views_of_large_matrices(dtype):
    """Packing reads any strides: the powers of two are where caches and strides collide."""
    a = np.random.default_rng(0).standard_normal((256, 257)).astype(dtype)
    assert_close(
        at.functional.matmul(a.T, a), a.T.astype(float) @ a.astype(float), dtype, scale=np.abs(a).sum()
    )

"""batch_norm: each channel over the batch and all positions; its running statistics are updated in place."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import SIZES, case, normal, positive, read_only, unaligned, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

C = 3
SHAPES = [(4, C), (2, C, 4), (3, C, 2, 1), (2, C, 3, 4), (2, C, 2, 2, 2)]
EPS = {"eps": 0.01}  # for the cases of few values, whose variance may be next to nothing


def running(channels):
    rng = np.random.default_rng(3)
    return rng.standard_normal(channels), rng.uniform(0.5, 2, channels)


def evaluated(*inputs, **options):
    return case(*inputs, (C,), positive(C), training=False, **options)


def of_the_batch(function):
    """Training without running statistics: a function of x, weight and bias."""

    def training(*arrays, **options):
        return function(*arrays, None, None, training=True, **options)

    return training


def by_torch(torch, x, weight, bias, mean=None, var=None, training=True, momentum=0.1, eps=1e-5):
    return torch.nn.functional.batch_norm(x, mean, var, weight, bias, training, momentum, eps)


TestBatchNormTraining = op_tests(
    "batch_norm",
    "x weight bias",
    [
        *(case(shape, positive(C), (C,)) for shape in SHAPES),
        case((5, C), None, None),
        case((5, C), positive(C), None, momentum=0.5),
        *(case((n, C), positive(C), (C,), **EPS) for n in SIZES if n > 1),
        *(case((2, C, n), positive(C), (C,), **EPS) for n in SIZES if n > 0),
        *(case((4, n), positive(n), (n,), **EPS) for n in SIZES if n > 0),
    ],
    large=[case((300, C, 20, 9), positive(C), (C,)), case((3, C, 90000), positive(C), (C,))],
    function=of_the_batch(at.functional.batch_norm),
    reference_function=of_the_batch(reference.batch_norm),
    backward=of_the_batch(reference.batch_norm_backward),
    torch=by_torch,
    errors=[
        wrong((C,), (C,), (C,), says="x has shape (3,)"),
        wrong((4, C), (C + 1,), (C,), says="weight has shape (4,)"),
        wrong((4, C), (C,), (C, 1), says="bias has shape (3, 1)"),
        wrong((1, C), (C,), (C,), says="x has shape (1, 3); training needs more than one value a channel"),
        wrong((0, C), (C,), (C,), says="x has shape (0, 3); training needs more than one value a channel"),
        wrong((4, C), (C,), (C,), eps=0.0, says="eps is 0"),
        wrong((4, C), (C,), (C,), eps=np.nan, says="eps is nan"),
        wrong((4, C), (C,), (C,), momentum=-0.1, says="momentum is -0.1"),
        wrong((4, C), (C,), (C,), momentum="0.1", raises=TypeError, says="momentum is a str"),
        wrong(None, (C,), (C,), raises=TypeError, says="x is None"),
    ],
)

TestBatchNormEvaluation = op_tests(
    "batch_norm",
    "x weight bias running_mean running_var",
    [
        *(evaluated(shape, positive(C), (C,)) for shape in SHAPES),
        evaluated((5, C), None, (C,)),
        evaluated((1, C), positive(C), (C,)),
        evaluated((0, C), positive(C), (C,)),
        evaluated((2, C, 0), positive(C), (C,)),
        *(evaluated((2, C, n), positive(C), (C,)) for n in SIZES),
    ],
    large=[evaluated((300, C, 20, 9), positive(C), (C,))],
    constants="running_mean running_var",
    torch=by_torch,
    errors=[
        wrong((4, 3), None, None, (4,), (3,), training=False, says="running_mean has shape (4,)"),
        wrong((4, 3), None, None, (3,), (3, 1), training=False, says="running_var has shape (3, 1)"),
        wrong((4, 3), None, None, None, None, training=False, says="running_mean and running_var are needed"),
        wrong((4, 3), None, None, (3,), None, training=False, says="running_mean and running_var are needed"),
    ],
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4), (2, 3, 5, 7)], ids=str)
def test_running_statistics_move_in_place(shape, dtype):
    x = normal(*shape)(np.random.default_rng(0)).astype(dtype)
    mean, var = (a.astype(dtype) for a in running(3))
    expected = reference.batch_norm_running(*(a.astype(float) for a in (x, mean, var)), momentum=0.3)
    at.functional.batch_norm(x, None, None, mean, var, training=True, momentum=0.3)
    assert_close(mean, expected[0])
    assert_close(var, expected[1])


def test_running_statistics_stay_in_evaluation():
    mean, var = running(3)
    before = mean.copy(), var.copy()
    at.functional.batch_norm(np.ones((4, 3)), None, None, mean, var, training=False)
    assert_same_bits(mean, before[0])
    assert_same_bits(var, before[1])


UNFIT = {
    "strided": lambda a: np.repeat(a, 2)[::2],
    "read-only": read_only,
    "list": lambda a: a.tolist(),
    "float32": lambda a: a.astype(np.float32),
    "int64": lambda a: a.astype(np.int64),
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": unaligned,
}


@pytest.mark.parametrize("form", UNFIT)
def test_a_statistic_that_cannot_be_updated_in_place_is_an_error(form):
    """Working on a silent copy would lose the update."""
    x, (mean, var) = np.random.default_rng(0).standard_normal((6, 3)), running(3)
    with pytest.raises((TypeError, ValueError), match=r"^batch_norm: running_mean (is|has|must be) "):
        at.functional.batch_norm(x, None, None, UNFIT[form](mean), var, training=True)
    with pytest.raises((TypeError, ValueError), match=r"^batch_norm: running_var (is|has|must be) "):
        at.functional.batch_norm(x, None, None, mean, UNFIT[form](var), training=True)

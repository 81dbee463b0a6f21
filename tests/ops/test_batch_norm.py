"""batch_norm: each channel over the batch and all positions; its running statistics are updated in place."""

import numpy as np
import pytest
from op_check import SIZES, assert_close, assert_same_bits, case, normal, op_tests, positive, wrong

import attendo as at
from attendo import reference


def batch_norm(x, weight, bias, mean, var, **options):
    """With copies of the running statistics: the function itself must change nothing for the helper."""
    if not options.get("training"):
        return at.functional.batch_norm(x, weight, bias, mean, var, **options)
    kept = None if mean is None else (np.array(mean), np.array(var))
    return at.functional.batch_norm(x, weight, bias, *(kept or (None, None)), **options)


def by_torch(torch, x, weight, bias, mean, var, training, momentum=0.1, eps=1e-5):
    with torch.no_grad():
        mean, var = mean.clone(), var.clone()
    return torch.nn.functional.batch_norm(x, mean, var, weight, bias, training, momentum, eps)


def running(channels):
    """Constants of the layer: arrays, not inputs with a gradient."""
    rng = np.random.default_rng(3)
    return rng.standard_normal(channels), rng.uniform(0.5, 2, channels)


def bound(training, channels):
    """batch_norm of x, weight and bias alone, with the running statistics of so many channels."""
    mean, var = running(channels)

    def function(x, weight, bias, **options):
        dtype = x.dtype
        return batch_norm(x, weight, bias, mean.astype(dtype), var.astype(dtype), training=training, **options)

    def truth(x, weight, bias, **options):
        kept = (mean.astype(np.float32), var.astype(np.float32)) if training else (mean, var)
        return reference.batch_norm(x, weight, bias, *kept, training, **options)

    def backward(d_y, x, weight, bias, **options):
        return reference.batch_norm_backward(d_y, x, weight, bias, mean, var, training, **options)

    def torch_function(torch, x, weight, bias, **options):
        kept = [torch.tensor(a).to(x.dtype) for a in (mean, var)]
        return by_torch(torch, x, weight, bias, *kept, training, **options)

    return {
        "function": function,
        "reference_function": truth,
        "backward": backward,
        "torch": torch_function,
    }


C = 3
SHAPES = [(4, C), (2, C, 4), (3, C, 2, 1), (2, C, 3, 4), (2, C, 2, 2, 2)]
EPS = {"eps": 0.01}  # for the case of few values, whose variance may be next to nothing

TestBatchNormTraining = op_tests(
    "batch_norm",
    "x weight bias",
    [
        *(case(shape, positive(C), (C,)) for shape in SHAPES),
        case((5, C), None, None),
        case((5, C), positive(C), None, momentum=0.5),
        *(case((n, C), positive(C), (C,), **EPS) for n in SIZES if n > 1),
        *(case((2, C, n), positive(C), (C,), **EPS) for n in SIZES if n > 0),
    ],
    large=[case((300, C, 20, 9), positive(C), (C,)), case((3, C, 90000), positive(C), (C,))],
    errors=[
        wrong((C,), (C,), (C,), says="x has shape (3,)"),
        wrong((4, C), (C + 1,), (C,), says="weight has shape (4,)"),
        wrong((4, C), (C,), (C, 1), says="bias has shape (3, 1)"),
        wrong((4, C + 1), None, None, says="running_mean has shape (3,)"),
        wrong((1, C), (C,), (C,), says="training needs more than one value a channel"),
        wrong((0, C), (C,), (C,), says="training needs more than one value a channel"),
        wrong((4, C), (C,), (C,), eps=0.0, says="eps is 0"),
        wrong((4, C), (C,), (C,), eps=np.nan, says="eps is nan"),
        wrong((4, C), (C,), (C,), momentum=-0.1, says="momentum is -0.1"),
        wrong((4, C), (C,), (C,), momentum="0.1", raises=TypeError, says="momentum is a str"),
    ],
    **bound(True, C),
)

TestBatchNormEvaluation = op_tests(
    "batch_norm",
    "x weight bias",
    [
        *(case(shape, positive(C), (C,)) for shape in SHAPES),
        case((5, C), None, (C,)),
        case((1, C), positive(C), (C,)),
        case((0, C), positive(C), (C,)),
        case((2, C, 0), positive(C), (C,)),
        *(case((2, C, n), positive(C), (C,)) for n in SIZES if n > 1),
    ],
    large=[case((300, C, 20, 9), positive(C), (C,))],
    errors=[wrong((4, C + 1), None, None, says="running_mean has shape (3,)")],
    **bound(False, C),
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


def test_training_needs_no_running_statistics():
    x = np.random.default_rng(0).standard_normal((6, 3))
    y = at.functional.batch_norm(x, None, None, None, None, training=True)
    assert_close(y, reference.batch_norm(x, None, None, np.zeros(3), np.ones(3), True))


@pytest.mark.parametrize(
    ("statistic", "error", "says"),
    [
        (lambda a: np.repeat(a, 2)[::2], ValueError, "contiguous"),
        (lambda a: (a.setflags(write=False), a)[1], ValueError, "read-only"),
        (lambda a: a.tolist(), TypeError, "must be an array"),
        (lambda a: a.astype(np.float32), TypeError, "float32"),
        (lambda a: a.astype(">f8"), (TypeError, ValueError), "running_"),
        (lambda a: a.astype(np.int64), TypeError, "int64"),
    ],
    ids=["strided", "read-only", "list", "float32", "byte-swapped", "int64"],
)
def test_a_statistic_that_cannot_be_updated_in_place_is_an_error(statistic, error, says):
    """Working on a silent copy would lose the update."""
    x, (mean, var) = np.random.default_rng(0).standard_normal((6, 3)), running(3)
    with pytest.raises(error, match=rf"batch_norm: running_mean.*{says}|batch_norm: .*{says}"):
        at.functional.batch_norm(x, None, None, statistic(mean.copy()), var, training=True)
    with pytest.raises(error, match=rf"batch_norm: running_var.*{says}|batch_norm: .*{says}"):
        at.functional.batch_norm(x, None, None, mean, statistic(var.copy()), training=True)


def test_evaluation_needs_running_statistics():
    with pytest.raises(ValueError, match="running_mean and running_var are needed"):
        at.functional.batch_norm(np.ones((4, 3)), None, None, None, None, training=False)

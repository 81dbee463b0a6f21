"""cross_entropy of logits, with class indices or probabilities as target."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attendo as at
from inputs import SIZES, case, ids, normal, positive, probabilities, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

U = [0.5, 0.0, 2.0, 1.0, 3.0]
WEIGHTED = [{"weight": U, **kind} for kind in ({}, {"label_smoothing": 0.1}, {"reduction": "sum"})]
KINDS = [{}, {"label_smoothing": 0.1}, {"label_smoothing": 1.0}, {"reduction": "sum"}, {"reduction": "none"}]


def by_torch(torch, logits, target, ignore_index=None, label_smoothing=0.0, reduction="mean", weight=None):
    rows = logits.reshape(-1, logits.shape[-1])
    flat = target.reshape(rows.shape if target.is_floating_point() else -1)
    loss = torch.nn.functional.cross_entropy(
        rows,
        flat,
        weight=None if weight is None else torch.tensor(weight, dtype=logits.dtype),
        ignore_index=-100 if ignore_index is None else ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )
    return loss.reshape(logits.shape[:-1]) if reduction == "none" else loss


TestCrossEntropyOfIndices = op_tests(
    "cross_entropy",
    "logits target",
    [
        case((2, 3, 5), ids(5, 2, 3)),
        *(case((4, 5), ids(5, 4), **kind) for kind in KINDS),
        *(case((4, 5), ids(5, 4), **kind) for kind in WEIGHTED),
        case((2, 3, 5), np.array([[0, 2, 0], [1, 0, 3]]), ignore_index=0, label_smoothing=0.1, weight=U),
        case((4, 5), np.array([3, 2, 4, 4]), reduction="none", weight=U),
        case((4, 5), np.array([1, 4, 1, 0]), ignore_index=1),
        case((4, 5), np.array([1, 4, 1, 0]), ignore_index=1, label_smoothing=0.2, reduction="none"),
        case((4, 5), np.array([-100, 4, -100, 0]), ignore_index=-100),
        case((4, 5), np.array([7, 4, 7, 0]), ignore_index=7, reduction="sum"),
        case((2, 3, 5), np.array([[0, 2, 0], [1, 0, 3]]), ignore_index=0, label_smoothing=0.1),
        case((5,), np.array(3)),
        case((3, 1), ids(1, 3)),
        case(normal(4, 7, scale=100), ids(7, 4)),
        *(case((n, 5), ids(5, n), reduction="sum") for n in SIZES),
        *(case((3, n), ids(n, 3)) for n in SIZES if n),
    ],
    large=[
        case((50, 60, 70), ids(70, 50, 60), ignore_index=3, label_smoothing=0.1),
        case((3, 60000), ids(60000, 3), reduction="none"),
    ],
    torch=by_torch,
    errors=[
        wrong((4, 5), np.array([0, 5, 1, 2]), says="target holds 5 but must hold 0 to 4"),
        wrong((4, 5), np.array([0, -1, 1, 2]), says="target holds -1 but must hold 0 to 4"),
        wrong((4, 5), np.array([0, -100, 1, 2]), ignore_index=-1, says="target holds -100"),
        wrong((4, 5), ids(5, 3), says="target has shape (3,) but logits of shape (4, 5)"),
        wrong((4, 5), ids(5, 4, 1), says="target has shape (4, 1)"),
        wrong((4, 5), np.array(1), says="target has shape ()"),
        wrong((4, 0), np.zeros(4, np.int64), says="there must be at least one class"),
        wrong((), np.array(0), says="logits has shape ()"),
        wrong((4, 5), np.zeros(4, bool), raises=TypeError, says="target has dtype bool"),
        wrong((4, 5), ids(5, 4), label_smoothing=-0.1, says="label_smoothing is -0.1 but must be 0 to 1"),
        wrong((4, 5), ids(5, 4), label_smoothing=1.1, says="label_smoothing is 1.1"),
        wrong((4, 5), ids(5, 4), label_smoothing=np.nan, says="label_smoothing is nan"),
        wrong(
            (4, 5), ids(5, 4), reduction="avg", says="reduction is 'avg' but must be 'mean', 'sum' or 'none'"
        ),
        wrong((4, 5), ids(5, 4), ignore_index=1.0, raises=TypeError, says="ignore_index is a float"),
        wrong((4, 5), ids(5, 4), weight=[1.0, 2.0], says="weight has shape (2,) but must have shape (5,)"),
        wrong((4, 5), ids(5, 4), weight=[1, 1, 1, 1, -1.0], says="weight holds -1 but must hold finite"),
        wrong((4, 5), ids(5, 4), weight=[1, 1, 1, 1, np.inf], says="weight holds inf"),
        wrong((4, 5), ids(5, 4), weight="heavy", raises=TypeError, says="weight"),
        wrong((4, 5), None, raises=TypeError, says="target is None"),
        wrong(None, ids(5, 4), raises=TypeError, says="logits is None"),
    ],
)


TestCrossEntropyOfProbabilities = op_tests(
    "cross_entropy",
    "logits target",
    [
        case((2, 3, 5), probabilities(2, 3, 5)),
        *(case((4, 5), probabilities(4, 5), **kind) for kind in (*KINDS, *WEIGHTED)),
        case((4, 5), positive(4, 5)),  # rows that do not sum to one
        case((4, 5), np.eye(5)[[1, 4, 1, 0]], label_smoothing=0.1),
        case((5,), probabilities(5)),
        *(case((n, 5), probabilities(n, 5), reduction="sum") for n in SIZES),
        *(case((3, n), probabilities(3, n)) for n in SIZES if n),
    ],
    large=[case((50, 60, 70), probabilities(50, 60, 70)), case((3, 60000), probabilities(3, 60000))],
    constants="target",
    torch=by_torch,
    errors=[
        wrong((4, 5), (4, 6), says="target has shape (4, 6) but must have shape (4, 5)"),
        wrong((4, 5), (5,), says="target has shape (5,) but must have shape (4, 5)"),
        wrong((4, 5), (4, 1), says="target has shape (4, 1)"),
        wrong((4, 0), np.zeros((4, 0)), says="there must be at least one class"),
        wrong((4, 5), (4, 5), ignore_index=0, says="ignore_index goes with class indices"),
        wrong(
            (4, 5), np.full((4, 5), 0.2), weight=[0.0] * 5, says="weight must have a class above 0, but all"
        ),
    ],
)
# An integer target is right, but has another shape; the tests of the indices say what happens then.
TestCrossEntropyOfProbabilities.test_wrong_type = None


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint8, np.uint64, ">i8"])
def test_indices_of_any_integer_dtype(dtype):
    logits, target = np.random.default_rng(0).standard_normal((3, 4)), np.array([3, 0, 1])
    assert_same_bits(
        at.functional.cross_entropy(logits, target.astype(dtype)), at.functional.cross_entropy(logits, target)
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_an_ignored_row_is_selected_away(reduction, smoothing):
    """Not multiplied by zero: NaN logits of padding reach neither the loss nor a gradient."""
    logits, target = np.random.default_rng(0).standard_normal((4, 5)), np.array([1, 0, 3, 0])
    options = {"ignore_index": 0, "label_smoothing": smoothing, "reduction": reduction}
    clean = at.tensor(logits, requires_grad=True)
    expected = at.functional.cross_entropy(clean, target, **options)
    logits[[1, 3]] = np.nan
    dirty = at.tensor(logits, requires_grad=True)
    got = at.functional.cross_entropy(dirty, target, **options)
    assert_same_bits(got, expected)
    for loss in (got, expected):
        loss.backward(np.ones(loss.shape))
    assert_same_bits(dirty.grad, clean.grad)
    np.testing.assert_array_equal(dirty.grad.numpy()[[1, 3]], 0)


def test_the_mean_of_ignored_rows_alone_is_zero():
    """PyTorch gives NaN, which would spoil the whole model for one batch of padding."""
    logits = at.tensor(np.ones((2, 3)), requires_grad=True)
    loss = at.functional.cross_entropy(logits, np.array([0, 0]), ignore_index=0)
    loss.backward()
    assert loss.item() == 0
    np.testing.assert_array_equal(logits.grad.numpy(), 0)


def test_a_class_that_is_impossible_and_not_wanted_costs_nothing():
    logits = np.array([[0.0, -np.inf, 0.0]])
    assert_close(at.functional.cross_entropy(logits, np.array([0])), np.log(2))
    assert_close(at.functional.cross_entropy(logits, np.array([[1.0, 0.0, 0.0]])), np.log(2))
    assert at.functional.cross_entropy(logits, np.array([1])) == np.inf


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32), st.floats(0, 1))
def test_one_hot_equals_indices(rows, classes, seed, smoothing):
    rng = np.random.default_rng(seed)
    logits, target = 10 * rng.standard_normal((rows, classes)), rng.integers(0, classes, rows)
    options = {"label_smoothing": smoothing, "reduction": "none"}
    by_index = at.functional.cross_entropy(logits, target, **options)
    assert_close(at.functional.cross_entropy(logits, np.eye(classes)[target], **options), by_index)
    assert (by_index >= 0).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, U], ids=["", "weighted"])
@pytest.mark.parametrize("one_hot", [False, True])
def test_gradients_of_gradients_with_weights(one_hot, weight, smoothing):
    """Against differences of the gradient."""
    rng = np.random.default_rng(0)
    x, v = rng.standard_normal((2, 4, 5))
    target = rng.dirichlet(np.ones(5), 4) if one_hot else np.array([0, 2, 1, 4])
    options = {"weight": weight, "label_smoothing": smoothing}

    def gradient(x):
        logits = at.tensor(x, requires_grad=True)
        (g,) = at.grad(at.functional.cross_entropy(logits, target, **options), [logits], create_graph=True)
        return g, logits

    g, logits = gradient(x)
    (got,) = at.grad((g * v).sum(), [logits])
    h = 1e-5
    for i in range(x.size):
        step = np.zeros(x.size)
        step[i] = h
        ends = [np.sum(gradient(x + s * step.reshape(x.shape))[0].numpy() * v) for s in (1, -1)]
        assert abs(got.numpy().flat[i] - (ends[0] - ends[1]) / (2 * h)) < 1e-8

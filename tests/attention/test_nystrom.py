"""Nyström attention against the reference, and what it promises."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from attendo.reference.nystrom import iterative_pseudo_inverse
from inputs import DTYPES, case, wrong
from op_check import op_tests
from tolerance import assert_close


def nystrom(q, k, v, lengths=None, **options):
    mask = None if lengths is None else at.masks.lengths(lengths)
    return at.functional.nystrom(q, k, v, mask=mask, **options)


def same(length, keys, m, d=4, d_v=6, **options):
    return case((2, 2, length, d), (2, 2, keys, d), (2, 2, keys, d_v), landmarks=m, **options)


# The pseudo-inverse has entries far above those of the result, and they cancel.
CANCELLING = 100.0

TestNystrom = op_tests(
    "nystrom",
    "q k v",
    [
        case((2, 4, 9, 4), (2, 2, 7, 4), (2, 2, 7, 6), landmarks=3),
        case((9, 4), (7, 4), (7, 6), landmarks=3),
        case((4, 9, 4), (2, 7, 4), (2, 7, 6), landmarks=2, lengths=[4], q_lengths=[8]),
        case(
            (2, 1, 2, 9, 4), (2, 1, 2, 7, 4), (2, 1, 2, 7, 6), landmarks=3, lengths=[4, 7], q_lengths=[9, 2]
        ),
        *(same(9, n, 1) for n in (0, 1, 33)),
        *(same(n, 9, 1) for n in (0, 1, 33)),
        *(same(33, 40, m) for m in (1, 2, 5)),
        *(same(9, 9, 3, iterations=n) for n in (0, 1, 3)),
        same(9, 9, 3, scale=0.3),
        same(9, 9, 3, d=0, scale=1.0).but_not("central_differences"),
        same(9, 9, 3, d_v=0),
        # Fewer positions than landmarks, and none.
        same(9, 9, 3, lengths=[2, 0], q_lengths=[1, 0]),
        case((0, 2, 9, 4), (0, 2, 7, 4), (0, 2, 7, 4), landmarks=3),
    ],
    large=[
        case((2, 4, 300, 32), (2, 2, 300, 32), (2, 2, 300, 32), landmarks=8),
        case((2, 200, 64), (2, 1500, 64), (2, 1500, 64), landmarks=4, lengths=[1301], q_lengths=[190]),
    ],
    function=nystrom,
    errors=[
        wrong((4,), (7, 4), (7, 4), says="q has shape (4,) but must have at least 2 axes"),
        wrong((5, 4), (7, 3), (7, 4), says="key has 3 features but query has 4"),
        wrong((5, 4), (7, 4), (7, 4), landmarks=0, says="landmarks is 0 but must be 1 or more"),
        wrong((5, 4), (7, 4), (7, 4), landmarks=6, says="must not exceed the 5 queries and 7 keys"),
        wrong((5, 4), (7, 4), (7, 4), landmarks=2, iterations=-1, says="iterations is -1"),
        wrong((5, 4), (7, 4), (7, 4), landmarks=2, lengths=[5], says="needs q_lengths="),
        wrong(
            (5, 4), (7, 4), (7, 4), landmarks=2, q_lengths=[6], says="q_lengths holds 6 but must hold 0 to 5"
        ),
        wrong((5, 4), (7, 4), (7, 4), landmarks=2, q_lengths=[5, 5], says="q_lengths has 2 entries"),
        wrong((5, 4), (7, 4), (7, 4), landmarks=2, scale=np.nan, says="scale is nan"),
    ],
)


def arrays(*shapes, dtype=np.float64):
    rng = np.random.default_rng(3)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def test_a_landmark_for_each_position_is_full_attention():
    q, k, v = arrays((2, 4, 20, 8), (2, 2, 20, 8), (2, 2, 20, 5))
    full = at.attention(q, k, v)
    out = at.functional.nystrom(q, k, v, landmarks=20, iterations=40)
    assert_close(out, full, scale=1e6)  # the condition of the matrix that is inverted
    # With few iterations the small singular values are not inverted yet; what is there of them is small.
    six = np.abs(at.functional.nystrom(q, k, v, landmarks=20) - full).max()
    assert six < 0.1


def test_more_landmarks_are_closer_where_neighbours_are_alike():
    steps = 0.1 * np.cumsum(arrays((3, 2, 256, 8))[0], axis=-2)
    q, k, v = steps
    full = at.attention(q, k, v)
    errors = [np.abs(at.functional.nystrom(q, k, v, landmarks=m) - full).mean() for m in (4, 16, 64)]
    assert errors[0] > errors[1] > errors[2]


def test_the_iteration_ends_at_the_pseudo_inverse():
    a = reference.softmax(arrays((3, 5, 5))[0] + 4 * np.eye(5))
    a[0, 4] = a[0, 3]  # a landmark that is there twice
    z = iterative_pseudo_inverse(a, 12)[-1]
    assert_close(z, np.linalg.pinv(a, rcond=1e-12), scale=1e6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_padded_equals_unpadded_and_nothing_leaks(dtype):
    q, k, v = arrays((2, 2, 9, 4), (2, 2, 11, 4), (2, 2, 11, 4), dtype=dtype)
    q[1, :, 7:], k[1, :, 8:], v[1, :, 8:] = np.nan, np.inf, np.nan
    tensors = [at.tensor(x, requires_grad=True) for x in (q, k, v)]
    out = at.functional.nystrom(*tensors, landmarks=3, mask=at.masks.lengths([11, 8]), q_lengths=[9, 7])
    alone = at.functional.nystrom(q[1:, :, :7], k[1:, :, :8], v[1:, :, :8], landmarks=3)
    assert_close(out.numpy()[1:, :, :7], alone, scale=CANCELLING)
    assert (out.numpy()[1, :, 7:] == 0).all()
    out.sum().backward()
    for x, n in zip(tensors, (7, 8, 8), strict=True):
        assert np.isfinite(x.grad.numpy()).all()
        assert (x.grad.numpy()[1, :, n:] == 0).all()


def test_masks_other_than_lengths_are_refused_with_the_reason():
    q, k, v = arrays((5, 4), (7, 4), (7, 4))
    for mask in (at.masks.causal(), np.ones((5, 7), bool)):
        with pytest.raises(ValueError, match=r"nystrom: mask must be .*every landmark is the mean"):
            at.functional.nystrom(q, k, v, landmarks=2, mask=mask)


def test_no_heads_and_no_features_are_no_error():
    for shapes in (
        ((2, 0, 5, 4), (2, 0, 7, 4), (2, 0, 7, 6)),
        ((2, 5, 0), (2, 7, 0), (2, 7, 6)),
    ):
        tensors = [at.tensor(np.zeros(shape), requires_grad=True) for shape in shapes]
        out = at.functional.nystrom(*tensors, landmarks=2)
        assert out.shape == (*shapes[0][:-1], 6) and (out.numpy() == 0).all()
        out.sum().backward()
        assert all(np.isfinite(x.grad.numpy()).all() for x in tensors)

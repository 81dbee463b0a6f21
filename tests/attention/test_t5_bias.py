"""T5's buckets of distances and the bias that is trained for each."""

import math

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

TestT5Bias = op_tests(
    "t5_bias",
    "table",
    [
        case((8, 3), length=9, max_distance=12),
        case((8, 3), length=5, keys=9, q_offset=4, bidirectional=False, max_distance=7),
        case((32, 2), length=40),
        case((32, 2), length=3, keys=300, q_offset=250),
        case((4, 1), length=5, max_distance=3),
        case((2, 1), length=5, bidirectional=False, max_distance=3),
        case((5, 2), length=12, bidirectional=False, max_distance=9),
        case((8, 0), length=3),
        case((8, 2), length=0),
        case((8, 2), length=3, keys=0, q_offset=0),
        case((8, 2), length=3, q_offset=-100),
    ],
    large=[case((32, 8), length=300, keys=260, q_offset=9)],
    huge=lambda: (np.zeros((32, 4)), {"length": 2**30, "keys": 2**30}),
    errors=[
        wrong((8,), length=3, says="table has shape (8,)"),
        wrong((7, 2), length=3, says="num_buckets is 7 but must be even and 4 or more in both directions"),
        wrong((2, 2), length=3, says="num_buckets is 2"),
        wrong((1, 2), length=3, bidirectional=False, says="num_buckets is 1 but must be 2 or more"),
        wrong((32, 2), length=3, max_distance=8, says="max_distance is 8 but must be more than 8"),
        wrong((32, 2), length=-3, says="length is -3"),
        wrong((32, 2), length=3, keys=-1, q_offset=0, says="keys is -1"),
        wrong((32, 2), length=3, keys=4, says="3 queries and 4 keys need q_offset="),
        wrong((32, 2), length=3, q_offset=2**50, says="q_offset is"),
        wrong((32, 2), length=3, max_distance=8.5, raises=TypeError, says="max_distance is a float"),
    ],
)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("num_buckets", "max_distance"), [(32, 128), (8, 20), (64, 1000), (16, 9), (320, 800)]
)
def test_buckets(num_buckets, max_distance, bidirectional):
    relative = np.arange(-2 * max_distance, 2 * max_distance + 1)
    options = dict(bidirectional=bidirectional, num_buckets=num_buckets, max_distance=max_distance)
    buckets = at.functional.t5_buckets(relative, **options)
    assert_same_bits(buckets, reference.t5_buckets(relative, **options))
    assert buckets.min() == 0 and buckets.max() == num_buckets - 1
    back = buckets[: 2 * max_distance + 1][::-1]  # distances 0, 1, …
    assert (np.diff(back) >= 0).all() and (np.diff(back) <= max_distance).all()
    exact = (num_buckets // 2 if bidirectional else num_buckets) // 2
    assert back[:exact].tolist() == list(range(exact))
    assert len(set(back[max_distance:])) == 1
    if bidirectional:
        ahead = buckets[2 * max_distance + 1 :]
        assert_same_bits(ahead, back[1:] + num_buckets // 2)
    else:
        assert not buckets[2 * max_distance :].any()


def test_buckets_of_t5_by_exact_arithmetic():
    """⌊8 log(n / 8) / log 16⌋ steps: the largest m with n² >= 64 · 2^m. Rounding must not move a border."""
    for n in range(8, 128):
        steps = max(m for m in range(8) if n * n >= 64 * 2**m)
        assert at.functional.t5_buckets(-n) == 8 + steps
        assert math.floor(math.log2(n * n / 64)) == steps


def test_far_away():
    far = np.array([2**63 - 1, -(2**63), 0])
    assert at.functional.t5_buckets(far).tolist() == [31, 15, 0]
    with pytest.raises(TypeError, match=r"^t5_buckets: relative_position has dtype float64"):
        at.functional.t5_buckets(np.zeros(3))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_buckets": 3}, "num_buckets is 3"),
        ({"num_buckets": 0, "bidirectional": False}, "num_buckets is 0"),
        ({"num_buckets": -2}, "num_buckets is -2"),
        ({"max_distance": 0}, "max_distance is 0"),
    ],
)
def test_wrong_buckets(options, says):
    with pytest.raises(ValueError, match=f"^t5_buckets: {says}"):
        at.functional.t5_buckets([0], **options)


def test_attention_trains_the_table():
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, 3, n, 4)) for n in (5, 9, 9))
    table = at.tensor(rng.standard_normal((8, 3)), requires_grad=True)
    options = dict(q_offset=4, bidirectional=False, max_distance=7)
    out = at.attention(q, k, v, bias=at.functional.t5_bias(table, 5, 9, **options), scale=1.0)
    d_out = rng.standard_normal(out.shape)
    out.backward(d_out)
    bias = reference.t5_bias(table.numpy(), 5, 9, **options)
    assert_close(out, reference.scaled_dot_product(q, k, v, bias=bias, scale=1.0)[0])
    d_bias = reference.scaled_dot_product_backward(d_out, q, k, v, bias=bias, scale=1.0)[3]
    assert_close(table.grad, reference.t5_bias_backward(d_bias, table.numpy(), 5, 9, **options)[0])

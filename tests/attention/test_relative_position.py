"""Attention with relative position representations (Shaw et al. 2018)."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, THREADS, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

rng = np.random.default_rng(5)


def some(*shape):
    mask = rng.random(shape) < 2 / 3
    mask[..., 0] = True
    return mask


def written_out(mask, q, k, q_offset):
    if not isinstance(mask, at.masks.Mask):
        return mask
    *batch, heads, length, _ = q.shape if q.ndim > 2 else (1, *q.shape)
    dense = mask.dense(int(np.prod(batch)), heads, length, k.shape[-2], q_offset=q_offset)
    return dense.reshape(*q.shape[:-1], k.shape[-2])


def relative_position(q, k, v, key_table, value_table=None, bias=None, **options):
    return at.functional.relative_position(q, k, v, key_table, value_table, bias=bias, **options)


def by_reference(q, k, v, a, a_v=None, bias=None, mask=None, scale=None, q_offset=0):
    mask = written_out(mask, q, k, q_offset)
    return reference.relative_position(q, k, v, a, a_v, bias, mask, scale, q_offset)[0]


def backward(d_out, q, k, v, a, a_v=None, bias=None, mask=None, scale=None, q_offset=0):
    mask = written_out(mask, q, k, q_offset)
    return reference.relative_position_backward(d_out, q, k, v, a, a_v, bias, mask, scale, q_offset)


CAUSAL = at.masks.causal()
SHARED = ((5, 4), (5, 6))  # tables for D = 4 and Dv = 6
TestRelativePosition = op_tests(
    "relative_position",
    "q k v key_table value_table bias",
    [
        case((2, 3, 5, 4), (2, 3, 5, 4), (2, 3, 5, 6), *SHARED, (3, 5, 5)),
        case((2, 3, 5, 4), (2, 3, 5, 4), (2, 3, 5, 6), (3, 5, 4), (3, 7, 6), None, mask=CAUSAL),
        case((2, 4, 5, 4), (2, 2, 7, 4), (2, 2, 7, 6), *SHARED, None, q_offset=2, mask=CAUSAL),
        case((2, 4, 5, 4), (2, 1, 7, 4), (2, 1, 7, 6), (4, 3, 4), None, (5, 7), q_offset=-1, scale=0.3),
        case((5, 4), (7, 4), (7, 6), *SHARED, None, q_offset=0, mask=some(5, 7)),
        case((3, 5, 4), (3, 5, 4), (3, 5, 6), (1, 4), (1, 6), None),
        case((3, 5, 4), (3, 5, 4), (3, 5, 6), (21, 4), None, None, mask=at.masks.lengths([3])),
        case((2, 2, 3, 5, 4), (2, 2, 3, 5, 4), (2, 2, 3, 5, 6), (3, 5, 4), (5, 6), None),
        case((1, 33, 17), (1, 65, 17), (1, 65, 16), (9, 17), (9, 16), None, q_offset=32),
        case((2, 5, 4), (2, 5, 4), (2, 5, 6), *SHARED, None, mask=np.arange(5)[:, None] % 2 > 0),
        # So far away that float32 cannot count: by a bias in place of a score program.
        case((2, 3, 4), (2, 7, 4), (2, 7, 6), *SHARED, (3, 7), q_offset=2**25),
        case((2, 0, 4), (2, 5, 4), (2, 5, 6), *SHARED, None, q_offset=0),
        case((2, 5, 4), (2, 0, 4), (2, 0, 6), *SHARED, None, q_offset=0),
        case((0, 3, 5, 4), (0, 3, 5, 4), (0, 3, 5, 6), (3, 5, 4), (3, 5, 6), None),
        case((2, 5, 0), (2, 5, 0), (2, 5, 6), (5, 0), (5, 6), None, scale=1.0),
        case((2, 5, 4), (2, 5, 4), (2, 5, 0), (5, 4), (5, 0), None),
    ],
    large=[
        case((2, 4, 130, 32), (2, 2, 130, 32), (2, 2, 130, 32), (4, 33, 32), (33, 32), None, mask=CAUSAL),
        case((300, 16), (300, 16), (300, 16), (65, 16), None, None),
    ],
    function=relative_position,
    reference_function=by_reference,
    backward=backward,
    errors=[
        wrong((5, 4), (5, 4), (5, 4), (4, 4), None, None, says="key_table has 4 rows but must have 2c + 1"),
        wrong((5, 4), (5, 4), (5, 4), (3, 3), None, None, says="key_table has 3 features but must have 4"),
        wrong((5, 4), (5, 4), (5, 4), (1, 3, 4), None, None, says="key_table has shape (1, 3, 4)"),
        wrong((5, 4), (5, 4), (5, 4), (4,), None, None, says="key_table has shape (4,)"),
        wrong(
            (2, 5, 4),
            (2, 5, 4),
            (2, 5, 4),
            (3, 3, 4),
            None,
            None,
            says="key_table has 3 heads but query has 2",
        ),
        wrong(
            (5, 4), (5, 4), (5, 6), (3, 4), (3, 4), None, says="value_table has 4 features but must have 6"
        ),
        wrong((5, 4), (5, 4), (5, 6), (3, 4), (0, 6), None, says="value_table has 0 rows"),
        wrong((5, 4), (7, 4), (7, 4), (3, 4), None, None, says="5 queries and 7 keys need q_offset="),
        wrong((5,), (7, 4), (7, 4), (3, 4), None, None, says="q has shape (5,)"),
        wrong((5, 4), (5, 4), (5, 4), (3, 4), None, None, q_offset=2**50, says="q_offset is"),
    ],
)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("values", [False, True])
def test_weights(values, dtype):
    q, k, v = (rng.standard_normal((2, 3, 5, 4)).astype(dtype) for _ in range(3))
    tables = [rng.standard_normal((5, 4)).astype(dtype) for _ in range(1 + values)]
    out, weights = at.functional.relative_position(q, k, v, *tables, mask=CAUSAL, return_weights=True)
    assert_same_bits(out, at.functional.relative_position(q, k, v, *tables, mask=CAUSAL))
    double = [x.astype(np.float64) for x in (q, k, v, *tables)]
    _, expected = reference.relative_position(*double, mask=np.tril(np.ones((5, 5), bool)))
    assert_close(weights, expected, dtype)
    assert_close(weights.sum(-1), np.ones((2, 3, 5)), dtype)


def test_gradient_through_the_weights():
    q, k, v = (at.tensor(rng.standard_normal((2, 5, 4)), requires_grad=True) for _ in range(3))
    tables = [at.tensor(rng.standard_normal((3, 4)), requires_grad=True) for _ in range(2)]
    d_out, d_weights = rng.standard_normal((2, 5, 4)), rng.standard_normal((2, 5, 5))

    def loss(*inputs):
        out, weights = at.functional.relative_position(*inputs, return_weights=True)
        return (out * d_out).sum() + (weights * d_weights).sum()

    inputs = [q, k, v, *tables]
    loss(*inputs).backward()
    for i, x in enumerate(inputs):
        for entry in (0, x.size // 2):
            values = []
            for h in (1e-6, -1e-6):
                moved = x.numpy().copy()
                moved.flat[entry] += h
                values.append(loss(*inputs[:i], at.tensor(moved), *inputs[i + 1 :]).item())
            assert x.grad.numpy().flat[entry] == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-7)


@pytest.mark.parametrize("c", [1, 3, 20])
def test_as_a_bias(c):
    """The products shifted to the keys and written out, with their gradients."""
    shapes = [(2, 3, 9, 4), (2, 3, 12, 4), (2, 3, 12, 4), (3, 2 * c + 1, 4)]
    arrays = [rng.standard_normal(shape) for shape in shapes]
    d_out = rng.standard_normal((2, 3, 9, 4))

    def run(attend):
        inputs = [at.tensor(x, requires_grad=True) for x in arrays]
        out = attend(*inputs)
        out.backward(d_out)
        return [out.numpy(), *(x.grad.numpy() for x in inputs)]

    def with_bias(q, k, v, table):
        products = q @ table.swapaxes(-1, -2) * 0.5
        return at.attention(q, k, v, bias=at.functional.relative_shift(products, 12, q_offset=3), scale=0.5)

    def with_table(q, k, v, table):
        return at.functional.relative_position(q, k, v, table, q_offset=3, scale=0.5)

    for got, expected in zip(run(with_table), run(with_bias), strict=True):
        assert_close(got, expected)


def test_tables_of_zeros_are_plain_attention():
    q, k, v = (rng.standard_normal((2, 3, 5, 4)) for _ in range(3))
    none = np.zeros((5, 4))
    assert_close(at.functional.relative_position(q, k, v, none, none), at.attention(q, k, v))


def test_what_a_table_says_depends_on_the_distance_alone():
    """Equal tokens: the score of a key is that of its distance; far keys are all alike."""
    length, c = 9, 2
    q = np.ones((length, 1))
    table = rng.standard_normal((2 * c + 1, 1))
    _, weights = at.functional.relative_position(q, q, q, table, return_weights=True)
    ratio = np.log(weights / weights[:, :1])
    for i in range(length):
        for j in range(length):
            expected = table[np.clip(j - i, -c, c) + c] - table[np.clip(-i, -c, c) + c]
            assert ratio[i, j] == pytest.approx(float(expected[0]), abs=1e-12)


def test_moving_queries_and_keys_together_changes_nothing():
    """The same keys, of which more lie before: those of a longer sequence's end."""
    q, k, v = (rng.standard_normal((2, 9, 4)) for _ in range(3))
    tables = rng.standard_normal((5, 4)), rng.standard_normal((5, 4))
    late = np.arange(9) >= 4
    whole = at.functional.relative_position(q, k, v, *tables, mask=late)
    part = at.functional.relative_position(q[:, 4:], k[:, 4:], v[:, 4:], *tables)
    assert_close(whole[:, 4:], part)


def test_dropout_drops_the_weights_of_values_and_of_their_distances_alike():
    """Values that are unit vectors show the weights that were used; the table must have met the same."""
    length = 16
    q, k = (rng.standard_normal((2, 3, length, 4)) for _ in range(2))
    v = np.broadcast_to(np.eye(length), (2, 3, length, length)).copy()
    table, values = rng.standard_normal((5, 4)), rng.standard_normal((5, length))
    options = dict(dropout=0.4, mask=CAUSAL)
    used = at.functional.relative_position(q, k, v, table, generator=at.Generator(3), **options)
    assert ((used == 0).mean() > 0.5) and np.isclose(used, 0).any(axis=-1).all()
    index = reference.relative_bias(np.arange(5.0), length).astype(int)
    expected = used + np.einsum("bhij,ijc->bhic", used, values[index])
    got = at.functional.relative_position(q, k, v, table, values, generator=at.Generator(3), **options)
    assert_close(got, expected)


def test_gradients_with_dropout():
    q, k, v = (rng.standard_normal((2, 7, 4)) for _ in range(3))
    table, values = rng.standard_normal((5, 4)), rng.standard_normal((5, 4))
    d_out = rng.standard_normal((2, 7, 4))
    inputs = [at.tensor(x, requires_grad=True) for x in (q, k, v, table, values)]

    def loss(*x):
        out = at.functional.relative_position(*x, dropout=0.3, generator=at.Generator(1))
        return (out * d_out).sum()

    loss(*inputs).backward()
    for i, x in enumerate(inputs):
        for entry in (1, x.size - 2):
            moved = [y.numpy().copy() for y in inputs]
            moved[i].flat[entry] += 1e-6
            above = loss(*map(at.tensor, moved)).item()
            moved[i].flat[entry] -= 2e-6
            below = loss(*map(at.tensor, moved)).item()
            assert x.grad.numpy().flat[entry] == pytest.approx((above - below) / 2e-6, abs=1e-7)


def test_dropout_needs_a_generator():
    q = np.ones((5, 4))
    with pytest.raises(ValueError, match=r"^attention: dropout needs generator="):
        at.functional.relative_position(q, q, q, q[:3], q[:3], dropout=0.1)
    with pytest.raises(ValueError, match=r"^attention: dropout is 1 but"):
        at.functional.relative_position(q, q, q, q[:3], q[:3], dropout=1.0, generator=at.Generator(0))


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("by_head", [False, True])
def test_nan_behind_a_mask_does_not_leak(by_head, values):
    """Keys and values of padding, a query that attends to nothing, and table rows no query may use."""
    q, k, v = (rng.standard_normal((2, 3, 6, 4)) for _ in range(3))
    tables = [rng.standard_normal((3, 7, 4) if by_head else (7, 4)) for _ in range(1 + values)]
    mask = np.tril(np.ones((6, 6), bool))
    mask[2] = False
    mask[:, 5] = False
    d_out = rng.standard_normal((2, 3, 6, 4))

    def run(*arrays):
        inputs = [at.tensor(x, requires_grad=True) for x in arrays]
        out = at.functional.relative_position(*inputs, mask=mask)
        out.backward(d_out)
        return [out.numpy(), *(x.grad.numpy() for x in inputs)]

    clean = run(q, k, v, *tables)
    q[:, :, 2] = np.nan
    k[:, :, 5] = np.nan
    v[:, :, 5] = np.nan
    for table in tables:
        table[..., 4:, :] = np.nan  # keys after the query
    for got, expected in zip(run(q, k, v, *tables), clean, strict=True):
        assert_close(got, expected)


def test_same_bits_with_dropout_on_any_number_of_threads():
    q, k, v = (rng.standard_normal((4, 150, 16)).astype(np.float32) for _ in range(3))
    tables = [rng.standard_normal((4, 17, 16)).astype(np.float32) for _ in range(2)]
    results = []
    for threads in THREADS:
        at.set_num_threads(threads)
        inputs = [at.tensor(x, requires_grad=True) for x in (q, k, v, *tables)]
        out = at.functional.relative_position(*inputs, dropout=0.2, generator=at.Generator(0))
        out.backward(np.ones(out.shape, np.float32))
        results.append([out.numpy(), *(x.grad.numpy() for x in inputs)])
    for other in results[1:]:
        for got, expected in zip(other, results[0], strict=True):
            assert_same_bits(got, expected)

"""Packed attention: the loop over sequences, the reference, what is refused."""

from itertools import pairwise

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, THREADS, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

A, B = [0, 2, 2, 9], [0, 3, 5, 11]


def ints(values):
    return None if values is None else np.array(values)


def by_reference(q, k, v, offsets, k_offsets=None, causal=False, scale=None, q_offset=0):
    return reference.packed(q, k, v, ints(offsets), ints(k_offsets), causal, scale, q_offset)


def backward(d_out, q, k, v, offsets, k_offsets=None, causal=False, scale=None, q_offset=0):
    return reference.packed_backward(d_out, q, k, v, ints(offsets), ints(k_offsets), causal, scale, q_offset)


CASES = [
    case((4, 9, 5), (2, 9, 5), (2, 9, 3), offsets=A),
    case((9, 5), (9, 5), (9, 3), offsets=A, causal=True),
    case((2, 9, 5), (2, 11, 5), (2, 11, 3), offsets=A, k_offsets=B),
    case((2, 9, 5), (1, 11, 5), (1, 11, 3), offsets=A, k_offsets=B, causal=True, q_offset=[1, 0, -2]),
    case((2, 9, 5), (1, 11, 5), (1, 11, 3), offsets=A, k_offsets=B, causal=True, q_offset=1, scale=0.3),
    case((2, 300, 8), (2, 300, 8), (2, 300, 8), offsets=[0, 1, 66, 230, 230, 300], causal=True),
    case((1, 65, 8), (1, 1300, 8), (1, 1300, 8), offsets=[0, 30, 65], k_offsets=[0, 100, 1300]),
    case((2, 5, 4), (2, 0, 4), (2, 0, 3), offsets=[0, 5], k_offsets=[0, 0]),
    case((2, 0, 4), (2, 5, 4), (2, 5, 3), offsets=[0, 0, 0], k_offsets=[0, 2, 5]),
    case((2, 0, 4), (2, 0, 4), (2, 0, 3), offsets=[0]),
    case((2, 5, 0), (2, 5, 0), (2, 5, 3), offsets=[0, 2, 5], scale=1.0),
]
X = ((2, 9, 5), (2, 9, 5), (2, 9, 3))

TestPacked = op_tests(
    "attention_packed",
    "q k v",
    CASES,
    large=[
        case((4, 400, 32), (2, 400, 32), (2, 400, 32), offsets=[0, 5, 6, 250, 251, 400], causal=True),
        case((2, 60, 16), (2, 2000, 16), (2, 2000, 16), offsets=[0, 60], k_offsets=[0, 2000]),
        case((3, 2000, 8), (3, 2000, 8), (3, 2000, 8), offsets=list(range(0, 2001, 8))),
    ],
    function=at.attention_packed,
    reference_function=by_reference,
    backward=backward,
    errors=[
        wrong((5,), (5, 4), (5, 4), offsets=[0, 5], says="q has shape (5,) but must be (heads, total length"),
        wrong((1, 1, 5, 4), (5, 4), (5, 4), offsets=[0, 5], says="q has shape (1, 1, 5, 4)"),
        wrong((5, 4), (1, 5, 4), (5, 4), offsets=[0, 5], says="k has shape (1, 5, 4) but q has shape (5, 4)"),
        wrong((5, 4), (5, 3), (5, 4), offsets=[0, 5], says="key has 3 features but query has 4"),
        wrong((5, 4), (5, 4), (6, 4), offsets=[0, 5], says="value has 6 rows but key has 5"),
        wrong((2, 5, 4), (2, 5, 4), (1, 5, 4), offsets=[0, 5], says="value has 1 heads but key has 2"),
        wrong((3, 5, 4), (2, 5, 4), (2, 5, 4), offsets=[0, 5], says="query has 3 heads"),
        wrong((3, 5, 4), (0, 5, 4), (0, 5, 4), offsets=[0, 5], says="query has 3 heads"),
        wrong(*X, offsets=[1, 9], says="offsets begins with 1 but must begin with 0"),
        wrong(*X, offsets=[0, 5, 3, 9], says="offsets falls from 5 to 3 at entry 2"),
        wrong(*X, offsets=[0, 5], says="offsets ends with 5 but must end with 9, the rows of q"),
        wrong(*X, offsets=[0, 2**62], says="offsets ends with"),
        wrong(*X, offsets=[0, -1, 9], says="offsets falls from 0 to -1"),
        wrong(*X, offsets=[[0, 9]], says="offsets has shape (1, 2) but must be (B + 1,)"),
        wrong(*X, offsets=np.zeros(0, int), says="offsets has shape (0,) but must be (B + 1,)"),
        wrong(
            *X, offsets=[0.0, 9.0], raises=TypeError, says="offsets has dtype float64 but must be integers"
        ),
        wrong(*X, offsets=[False, True], raises=TypeError, says="offsets has dtype bool"),
        wrong(*X, offsets=None, raises=TypeError, says="offsets is None"),
        wrong(*X, offsets="abc", raises=TypeError, says="offsets"),
        wrong(*X, offsets=[0, 9], k_offsets=[0, 4, 9], says="k_offsets has 3 entries but offsets has 2"),
        wrong(*X, offsets=[0, 9], k_offsets=[0, 8], says="k_offsets ends with 8 but must end with 9"),
        wrong(*X, offsets=[0, 9], k_offsets=[0.5, 9], raises=TypeError, says="k_offsets has dtype"),
        wrong(
            (2, 9, 5), (2, 8, 5), (2, 8, 5), offsets=[0, 9], says="offsets ends with 9 but must end with 8"
        ),
        wrong(
            *X, offsets=[0, 4, 9], k_offsets=[0, 5, 9], causal=True, says="causal over 4 queries and 5 keys"
        ),
        wrong(*X, offsets=[0, 9], q_offset=[1, 2], says="q_offset has shape (2,)"),
        wrong(*X, offsets=[0, 9], q_offset=[[1]], says="q_offset has shape (1, 1)"),
        wrong(*X, offsets=[0, 9], q_offset=[2**62], says="q_offset holds"),
        wrong(*X, offsets=[0, 9], q_offset=2**62, says="q_offset is"),
        wrong(*X, offsets=[0, 9], q_offset=0.5, raises=TypeError, says="q_offset is a float"),
        wrong(*X, offsets=[0, 9], scale=np.inf, says="scale is inf"),
        wrong(*X, offsets=[0, 9], scale="1", raises=TypeError, says="scale is a str"),
        wrong(*X, offsets=[0, 9], dropout=1.0, says="dropout is 1"),
        wrong(*X, offsets=[0, 9], dropout=0.5, says="dropout needs generator="),
    ],
)


def arrays(dtype, length=300, keys=300, heads=4, kv_heads=2):
    shapes = [(heads, length, 8), (kv_heads, keys, 8), (kv_heads, keys, 6)]
    return [np.random.default_rng(i).standard_normal(s).astype(dtype) for i, s in enumerate(shapes)]


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_equals_the_loop_over_sequences_to_the_bit(dtype, causal, threads):
    at.set_num_threads(threads)
    q, k, v = arrays(dtype, 800, 800)
    offsets = [0, 3, 3, 130, 131, 800]  # the last one is long enough to be cut into ranges of keys
    packed = [at.tensor(x, requires_grad=True) for x in (q, k, v)]
    out = at.attention_packed(*packed, offsets=offsets, causal=causal)
    d_out = np.random.default_rng(9).standard_normal(out.shape).astype(dtype)
    out.backward(d_out)
    mask = at.masks.causal() if causal else None
    for begin, end in pairwise(offsets):
        alone = [at.tensor(x[:, begin:end], requires_grad=True) for x in (q, k, v)]
        expected = at.attention(*alone, mask=mask)
        expected.backward(d_out[:, begin:end])
        assert_same_bits(out.numpy()[:, begin:end], expected)
        for p, a in zip(packed, alone, strict=True):
            assert_same_bits(p.grad.numpy()[:, begin:end], a.grad)


@pytest.mark.parametrize("threads", THREADS)
def test_equals_the_padded_batch_with_dropout_as_well(threads):
    at.set_num_threads(threads)
    q, k, v = arrays(np.float32, 90, 90)
    offsets = [0, 40, 41, 90]
    lengths = np.diff(offsets)
    padded = []
    for x in (q, k, v):
        rows = np.zeros((3, x.shape[0], 49, x.shape[2]), x.dtype)
        for n, (begin, end) in enumerate(pairwise(offsets)):
            rows[n, :, : end - begin] = x[:, begin:end]
        padded.append(rows)
    got = at.attention_packed(q, k, v, offsets=offsets, dropout=0.4, generator=at.Generator(5))
    expected = at.attention(*padded, mask=at.masks.lengths(lengths), dropout=0.4, generator=at.Generator(5))
    assert (got != at.attention_packed(q, k, v, offsets=offsets)).any()
    for n, (begin, end) in enumerate(pairwise(offsets)):
        assert_close(got[:, begin:end], expected[n, :, : end - begin])


def test_gradient_with_dropout():
    q, k, v = arrays(np.float64, 12, 12)
    d_out = np.random.default_rng(9).standard_normal((4, 12, 6))

    def run(*inputs):
        return at.attention_packed(*inputs, offsets=[0, 5, 12], dropout=0.3, generator=at.Generator(1))

    tensors = [at.tensor(x, requires_grad=True) for x in (q, k, v)]
    run(*tensors).backward(d_out)
    h = 1e-6
    for i, x in enumerate((q, k, v)):
        for entry in np.random.default_rng(i).permutation(x.size)[:10]:
            values = []
            for sign in (1, -1):
                moved = [y.copy() for y in (q, k, v)]
                moved[i].flat[entry] += sign * h
                values.append(float(np.sum(d_out * run(*moved))))
            assert abs(tensors[i].grad.numpy().flat[entry] - (values[0] - values[1]) / (2 * h)) < 1e-7


@pytest.mark.parametrize("kv_heads", [0, 2])
def test_keys_that_no_query_head_reads(kv_heads):
    shapes = [(0, 5, 4), (kv_heads, 5, 4), (kv_heads, 5, 3)]
    tensors = [at.tensor(np.ones(shape), requires_grad=True) for shape in shapes]
    out = at.attention_packed(*tensors, offsets=[0, 2, 5])
    out.backward(np.zeros((0, 5, 3)))
    assert out.shape == (0, 5, 3)
    for x in tensors:
        assert_same_bits(x.grad, np.zeros(x.shape))


def test_a_nan_stays_in_its_sequence():
    q, k, v = arrays(np.float64, 30, 30)
    clean = at.attention_packed(q, k, v, offsets=[0, 10, 20, 30])
    for x in (q, k, v):
        x[:, 12] = np.nan
    dirty = at.attention_packed(q, k, v, offsets=[0, 10, 20, 30])
    assert_same_bits(dirty[:, :10], clean[:, :10])
    assert_same_bits(dirty[:, 20:], clean[:, 20:])
    assert np.isnan(dirty[:, 10:20]).all()


@pytest.mark.parametrize("form", [list, tuple, np.int32, np.uint8, np.int64, at.tensor])
def test_forms_of_offsets(form):
    q, k, v = arrays(np.float64, 9, 9)
    expected = at.attention_packed(q, k, v, offsets=A)
    offsets = form(A) if form in (list, tuple) else np.array(A)
    if isinstance(form, type) and issubclass(form, np.generic):
        offsets = offsets.astype(form)
    elif form is at.tensor:
        offsets = at.tensor(A)
    assert_same_bits(at.attention_packed(q, k, v, offsets=offsets), expected)

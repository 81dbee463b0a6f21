"""Performer: against the weights written out, and as an estimate of softmax attention."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attendo as at
from attendo import reference
from inputs import DTYPES, case, normal, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

performer, performer_features = at.functional.performer, at.functional.performer_features


def masked(lengths):
    return None if lengths is None else at.masks.lengths(lengths)


def with_features(q, k, v, features, lengths=None, **options):
    return performer(q, k, v, features=features, mask=masked(lengths), **options)


def sizes(length, keys=None, d=4, d_v=5, features=7, heads=4, kv_heads=2, **options):
    keys = length if keys is None else keys
    return case(
        (2, heads, length, d), (2, kv_heads, keys, d), (2, kv_heads, keys, d_v), (features, d), **options
    )


CASES = [
    sizes(6, 9),
    *(sizes(n, causal=True) for n in (0, 1, 2, 7, 33, 65)),
    *(sizes(n, m) for n, m in [(0, 3), (3, 0), (1, 1), (17, 33)]),
    *(sizes(6, 9, features=n) for n in (1, 16, 33)),
    *(sizes(6, 9, d=n, d_v=m) for n, m in [(1, 1), (17, 3)]),
    *(sizes(6, heads=6, kv_heads=n, causal=c) for n in (1, 3) for c in (False, True)),
    *(sizes(6, lengths=n, causal=c) for n in ([2, 6], [0, 5]) for c in (False, True)),
    *(sizes(6, 9, kernel="relu", lengths=n) for n in (None, [4, 9])),
    sizes(6, kernel="relu", causal=True),
    *(sizes(6, scale=s, causal=c) for s in (0.1, 2.0) for c in (False, True)),
    case((6, 4), (9, 4), (9, 5), (7, 4)),
    case((6, 4), (6, 4), (6, 5), (7, 4), causal=True),
    case((3, 6, 4), (1, 9, 4), (1, 9, 5), (7, 4)),
    # what is seen later has larger exponents than all before
    case(
        (1, 40, 4),
        lambda rng: np.linspace(0.1, 9, 40)[:, None] * rng.standard_normal((1, 40, 4)),
        (1, 40, 5),
        (7, 4),
        causal=True,
    ).of_scale(100.0),
    case(normal(1, 12, 4, scale=20.0), normal(1, 12, 4, scale=20.0), (1, 12, 5), (7, 4))
    .but_not("central_differences")
    .of_scale(1e4),
]

TestPerformer = op_tests(
    "performer",
    "q k v features",
    CASES,
    large=[
        case((2, 4, 130, 16), (2, 2, 130, 16), (2, 2, 130, 16), (24, 16), causal=True),
        case((2, 70, 16), (2, 200, 16), (2, 200, 16), (40, 16)),
    ],
    function=with_features,
    reference_function=reference.performer,
    backward=reference.performer_backward,
    errors=[
        wrong((5, 64), (5, 32), (5, 64), (7, 64), says="key has 32 features but query has 64"),
        wrong((3, 5, 4), (2, 5, 4), (2, 5, 4), (7, 4), says="query has 3 heads"),
        wrong(
            (5, 4),
            (5, 4),
            (5, 4),
            (7, 3),
            says="features has shape (7, 3) but must have shape (1 or more, 4)",
        ),
        wrong((5, 4), (5, 4), (5, 4), (0, 4), says="features has shape (0, 4)"),
        wrong((5, 4), (5, 4), (5, 4), (4,), says="features has shape (4,)"),
        wrong((5, 4), (5, 4), (5, 4), None, says="generator is missing"),
        wrong(
            (5, 4), (5, 4), (5, 4), None, num_features=0, generator=at.Generator(0), says="num_features is 0"
        ),
        wrong(
            (5, 4),
            (5, 4),
            (5, 4),
            (7, 4),
            generator=at.Generator(0),
            says="features is given, and num_features or",
        ),
        wrong((5, 4), (5, 4), (5, 4), (7, 4), num_features=7, says="features is given, and num_features or"),
        wrong((5, 0), (5, 0), (5, 4), None, generator=at.Generator(0), says="query has 0 features"),
        wrong(
            (5, 4), (5, 4), (5, 4), (7, 4), scale=0.0, says="scale is 0 but must be a finite number above 0"
        ),
        wrong((5, 4), (5, 4), (5, 4), (7, 4), scale=np.nan, says="scale is nan"),
        wrong(
            (5, 4),
            (5, 4),
            (5, 4),
            (7, 4),
            kernel="relu",
            scale=1.0,
            says="scale is given, but the relu kernel",
        ),
        wrong(
            (5, 4),
            (5, 4),
            (5, 4),
            (7, 4),
            kernel="exp",
            says="kernel is 'exp' but must be 'softmax' or 'relu'",
        ),
        wrong((5, 4), (7, 4), (7, 4), (7, 4), causal=True, says="query has 5 positions and key has 7"),
        wrong((5, 4), (5, 4), (5, 4), None, generator=3, raises=TypeError, says="generator is a"),
    ],
)


def inputs(length=40, d=8, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal((3, length, d)).astype(dtype)


# ----------------------------------------------------------------------------------------------- the estimate


def mean_error(features, seeds=8, **options):
    """The root of the mean squared difference from softmax attention, for scores that are not large."""
    q, k, v = inputs() * [[[0.5]], [[0.5]], [[1]]]
    mask = at.masks.causal() if options.get("causal") else None
    exact = at.attention(q, k, v, mask=mask)
    errors = [
        performer(q, k, v, num_features=features, generator=at.Generator(seed), **options) - exact
        for seed in range(seeds)
    ]
    return float(np.sqrt(np.mean(np.square(errors))))


@pytest.mark.parametrize("causal", [False, True])
def test_the_error_falls_like_one_over_the_root_of_the_features(causal):
    few, many = mean_error(64, causal=causal), mean_error(64 * 64, causal=causal)
    assert 4 < few / many < 16  # 8 expected
    assert many < 0.02


def test_orthogonal_features_err_less():
    assert mean_error(64, seeds=40) < mean_error(64, seeds=40, orthogonal=False)


def test_the_products_of_features_are_unbiased():
    """exp(q·k - |q|²/2 …) averaged over seeds, against the exponential itself."""
    rng = np.random.default_rng(0)
    q, k = 0.6 * rng.standard_normal((2, 20, 8))
    estimates = []
    for seed in range(400):
        w = performer_features(8, 8, generator=at.Generator(seed), dtype="float64")
        phi = [np.exp(x @ w.T - (x**2).sum(-1, keepdims=True) / 2) for x in (q, k)]
        estimates.append((phi[0] * phi[1]).mean(-1))
    mean, deviation = np.mean(estimates, 0), np.std(estimates, 0) / np.sqrt(400)
    assert (np.abs(mean - np.exp((q * k).sum(-1))) < 4 * deviation).all()


def test_a_mean_of_values_stays_within_them():
    q, k, v = inputs()
    out = performer(q, k, v, num_features=32, generator=at.Generator(3))
    assert (out >= v.min(0) - 1e-9).all() and (out <= v.max(0) + 1e-9).all()


@pytest.mark.parametrize("size", [0.0, 30.0, 1000.0])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nothing_overflows(dtype, causal, size):
    q, k, v = inputs(dtype=dtype)
    tensors = [at.tensor(x, requires_grad=True) for x in (size * q, size * k, v)]
    out = performer(*tensors, num_features=16, generator=at.Generator(0), causal=causal)
    out.sum().backward()
    assert all(np.isfinite(x.numpy()).all() for x in (out, *(t.grad for t in tensors)))


# ----------------------------------------------------------------------------------------------- the features


def test_features_are_drawn_by_the_generator():
    q, k, v = inputs()
    first = performer(q, k, v, generator=at.Generator(7))
    assert_same_bits(performer(q, k, v, generator=at.Generator(7)), first)
    generator = at.Generator(7)
    assert_same_bits(performer(q, k, v, generator=generator), first)
    assert (performer(q, k, v, generator=generator) != first).any()  # drawn again
    w = performer_features(32, 8, generator=at.Generator(7), dtype="float64")  # 8 ln 8 = 16.6
    assert_same_bits(performer(q, k, v, features=w), first)


@pytest.mark.parametrize("m", [1, 5, 8, 19])
def test_features_stand_at_right_angles_in_blocks(m):
    w = performer_features(m, 8, generator=at.Generator(0), dtype="float64")
    assert w.shape == (m, 8) and w.dtype == np.float64
    for first in range(0, m, 8):
        block = w[first : first + 8]
        gram = block @ block.T
        assert_close(gram - np.diag(np.diag(gram)), np.zeros_like(gram), scale=float(np.diag(gram).max()))


@pytest.mark.parametrize("orthogonal", [True, False])
def test_features_are_normally_distributed(orthogonal):
    w = performer_features(20000, 4, generator=at.Generator(1), orthogonal=orthogonal)
    assert w.dtype == np.float32
    assert np.abs(w.mean(0)).max() < 0.03
    assert np.abs(w.T @ w / 20000 - np.eye(4)).max() < 0.05
    assert abs(float((w**4).mean()) - 3) < 0.15  # of a normal distribution


@pytest.mark.parametrize(
    ("arguments", "says"),
    [((0, 4), "num_features is 0"), ((4, 0), "d is 0"), ((-1, 4), "num_features is -1")],
)
def test_features_that_cannot_be(arguments, says):
    with pytest.raises(ValueError, match=rf"^performer_features: {says}"):
        performer_features(*arguments, generator=at.Generator(0))


def test_features_of_another_type():
    with pytest.raises(TypeError, match=r"^performer_features: dtype"):
        performer_features(4, 4, generator=at.Generator(0), dtype="int64")


# ---------------------------------------------------------------------------------------------- who sees whom


@given(st.integers(2, 70), st.integers(0, 68), st.sampled_from([50.0, np.nan]))
def test_a_causal_output_ignores_the_future(length, position, value):
    position = min(position, length - 1)
    q, k, v = inputs(length)
    w = performer_features(16, 8, generator=at.Generator(0), dtype="float64")
    before = performer(q, k, v, features=w, causal=True)
    k[position:], v[position:] = value, value
    after = performer(q, k, v, features=w, causal=True)
    assert_close(after[:position], before[:position])
    assert (after[position] != before[position]).any()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kernel", ["softmax", "relu"])
def test_nothing_leaks_out_of_the_padding(kernel, causal):
    w = performer_features(16, 8, generator=at.Generator(0), dtype="float64")

    def run(bad):
        q, k, v = np.random.default_rng(0).standard_normal((3, 2, 1, 9, 8))
        k[0, 0, 4:], v[0, 0, 4:], k[1], v[1] = bad, bad, bad, bad
        leaves = [at.tensor(x, requires_grad=True) for x in (q, k, v, w)]
        mask = at.masks.lengths([4, 0])
        out = performer(*leaves[:3], features=leaves[3], kernel=kernel, causal=causal, mask=mask)
        out.sum().backward()
        return [out, *(leaf.grad for leaf in leaves)]

    for got, expected in zip(run(np.nan), run(100.0), strict=True):
        assert_same_bits(got, expected)
    assert not run(np.nan)[0].numpy()[1].any()  # nothing to attend to: zeros


def test_other_masks_are_refused():
    q, k, v = inputs(9)
    with pytest.raises(ValueError, match=r"^performer: mask is .* the weights are never formed"):
        performer(q, k, v, generator=at.Generator(0), mask=~at.masks.causal())

"""Rotary position embedding: both pairings, caches, and what rotations promise."""

import math

import numpy as np
import pytest

import attendo as at
from attendo import reference
from grad_check import check_grad_grad
from inputs import DTYPES, SIZES, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits, eps


def rotary(x, cos=None, sin=None, **options):
    return at.functional.rotary(x, cos=cos, sin=sin, **options)


def plain(*shape, **options):
    return case(shape, None, None, **options)


POSITIONS = np.random.default_rng(0).integers(0, 50, (2, 5))
TestRotary = op_tests(
    "rotary",
    "x cos sin",
    [
        case((2, 3, 5, 8), (2, 5, 3), (2, 5, 3)),
        case((2, 3, 5, 8), (2, 5, 4), (2, 5, 4), interleaved=True),
        case((2, 3, 5, 8), (50, 4), (50, 4), positions=POSITIONS),
        case((2, 3, 5, 8), (50, 2), (50, 2), positions=POSITIONS[0], rotary_dim=4, interleaved=True),
        case((3, 5, 8), (9, 4), (9, 4), offset=4),
        case((5, 8), (5, 4), (5, 4)),
        case((5, 8), (5, 0), (5, 0)),
        *(plain(2, 3, 5, 8, interleaved=flag, rotary_dim=r) for flag in (False, True) for r in (0, 2, 6, 8)),
        plain(2, 3, 5, 8, positions=POSITIONS, interleaved=True),
        plain(2, 3, 5, 8, positions=-POSITIONS[0], base=100.0),
        plain(2, 2, 3, 5, 8, positions=np.stack([POSITIONS, 7 + POSITIONS])),
        plain(3, 5, 7, rotary_dim=4, offset=11),
        plain(3, 5, 8, frequencies=np.array([1.0, 0.3, 0.0])),
        *(plain(2, n, 4) for n in SIZES),
        *(plain(5, 2 * n) for n in SIZES),
        *(plain(5, 2 * n, interleaved=True) for n in SIZES),
        plain(0, 3, 5, 4),
        plain(2, 0, 5, 4),
    ],
    # At position 400 the last bit of a frequency shows: these are given.
    large=[
        plain(2, 4, 300, 64, frequencies=np.linspace(1, 0, 32)),
        plain(3, 400, 66, interleaved=True, rotary_dim=50, frequencies=np.linspace(1, 0, 25)),
    ],
    function=rotary,
    constants="cos sin",
    errors=[
        wrong((5,), None, None, says="x has shape (5,)"),
        wrong((5, 7), None, None, says="x has 7 features, which are not pairs; give rotary_dim"),
        wrong((5, 8), None, None, rotary_dim=3, says="rotary_dim is 3 but must be even"),
        wrong((5, 8), None, None, rotary_dim=-2, says="rotary_dim is -2"),
        wrong((5, 8), None, None, rotary_dim=10, says="rotary_dim is 10 but x has 8 features"),
        wrong((5, 8), None, None, base=0.0, says="base is 0"),
        wrong((5, 8), None, None, base=math.inf, says="base is inf"),
        wrong((5, 8), None, None, base=math.nan, says="base is nan"),
        wrong((5, 8), None, None, base="x", raises=TypeError, says="base is a str"),
        wrong((5, 8), None, None, positions=np.arange(4), says="positions has shape (4,) but must have (5,)"),
        wrong((2, 3, 5, 8), None, None, positions=np.zeros((3, 5), int), says="(5,) or (2, 5)"),
        wrong(
            (5, 8), None, None, positions=np.zeros(5), raises=TypeError, says="positions has dtype float64"
        ),
        wrong(
            (5, 8), None, None, positions=np.arange(5), offset=1, says="offset is 1 but positions are given"
        ),
        wrong((5, 8), None, None, offset=2**60, says="offset is"),
        wrong((5, 8), (5, 4), None, says="sin is missing"),
        wrong((5, 8), None, (5, 4), says="cos is missing"),
        wrong((5, 8), (5, 4), (5, 3), says="sin has shape (5, 3)"),
        wrong((5, 8), (5, 8), (5, 8), says="cos has 8 columns, one a pair, but x has 8 features"),
        wrong((5, 8), (5, 4), (5, 4), rotary_dim=6, says="cos has 4 columns but rotary_dim is 6"),
        wrong((5, 8), (4, 4), (4, 4), says="position 4 must be 0 to 3 (cos has 4 rows)"),
        wrong((5, 8), (9, 4), (9, 4), positions=np.arange(-1, 4), says="position -1 must be 0 to 8"),
        wrong((2, 3, 5, 8), (2, 4, 4), (2, 4, 4), says="cos has shape (2, 4, 4)"),
        wrong((2, 3, 5, 8), (2, 5, 4), (2, 5, 4), offset=1, says="offset is given, but cos of shape"),
        wrong(
            (2, 3, 5, 8), (2, 5, 4), (2, 5, 4), positions=np.arange(5), says="positions are given, but cos"
        ),
        wrong((5, 8), (5, 4), (5, 4), frequencies=np.ones(4), says="frequencies are given as well"),
        wrong((5, 8), None, None, frequencies=np.ones(5), says="rotary_dim is 10 but x has 8"),
        wrong((5, 8), None, None, frequencies=np.ones(2), rotary_dim=8, says="frequencies has 2 entries"),
        wrong((5, 8), None, None, frequencies=np.ones((2, 2)), says="frequencies has shape (2, 2)"),
    ],
)


# ------------------------------------------------------------------------------------- as others define it


def onnx_rotary(x, cos, sin, positions, interleaved, rotary_dim):
    """The reference implementation of RotaryEmbedding-23 in the ONNX specification, in its own steps."""
    x = np.transpose(x, (0, 2, 1, 3))  # (B, L, H, D)
    rotate, rest = x[..., :rotary_dim], x[..., rotary_dim:]
    cos, sin = cos[positions][:, :, None, :], sin[positions][:, :, None, :]
    if interleaved:
        x1, x2 = rotate[..., 0::2], rotate[..., 1::2]
    else:
        x1, x2 = np.split(rotate, 2, axis=-1)
    real, imag = cos * x1 - sin * x2, sin * x1 + cos * x2
    if interleaved:
        rotate = np.stack([real, imag], axis=-1).reshape(rotate.shape)
    else:
        rotate = np.concatenate([real, imag], axis=-1)
    return np.transpose(np.concatenate([rotate, rest], axis=-1), (0, 2, 1, 3))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("rotary_dim", [4, 8])
def test_as_onnx(rotary_dim, interleaved, dtype):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 5, 8)).astype(dtype)
    cos, sin = (rng.standard_normal((50, rotary_dim // 2)).astype(dtype) for _ in range(2))
    got = at.functional.rotary(x, POSITIONS, cos=cos, sin=sin, interleaved=interleaved)
    double = (a.astype(np.float64) for a in (x, cos, sin))
    assert_close(got, onnx_rotary(*double, POSITIONS, interleaved, rotary_dim), dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_as_llama(dtype):
    """Hugging Face: q cos + rotate_half(q) sin, with caches that hold each column twice."""
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 8)).astype(dtype)
    inverse = 1.0 / (10000 ** (np.arange(0, 8, 2) / 8))
    angles = POSITIONS[..., None] * inverse
    emb = np.concatenate([angles, angles], axis=-1)[:, None]  # (B, 1, L, D)
    half = np.concatenate([-x[..., 4:], x[..., :4]], axis=-1)
    assert_close(at.functional.rotary(x, POSITIONS), x * np.cos(emb) + half * np.sin(emb), dtype)


def test_as_complex_numbers():
    """Su et al. 2021, eq. 12: neighbours are one complex number, multiplied by e^(i m θ)."""
    x = np.random.default_rng(0).standard_normal((5, 8))
    z = (x[:, ::2] + 1j * x[:, 1::2]) * np.exp(1j * np.outer(np.arange(5), 10000.0 ** (-np.arange(4) / 4)))
    expected = np.stack([z.real, z.imag], axis=-1).reshape(5, 8)
    assert_close(at.functional.rotary(x, interleaved=True), expected)


def test_the_pairings_are_one_another_permuted():
    x = np.random.default_rng(0).standard_normal((3, 5, 8))
    order = np.arange(8).reshape(4, 2).T.ravel()  # 0 2 4 6 1 3 5 7
    assert_same_bits(
        at.functional.rotary(x[..., order]), at.functional.rotary(x, interleaved=True)[..., order]
    )


# ----------------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("interleaved", [False, True])
def test_products_depend_on_the_distance_alone(interleaved):
    q, k = np.random.default_rng(0).standard_normal((2, 1, 16))

    def product(m, n):
        at_m = at.functional.rotary(q, offset=m, interleaved=interleaved)
        return float(np.sum(at_m * at.functional.rotary(k, offset=n, interleaved=interleaved)))

    for m, n in [(3, 0), (0, 3), (7, 7), (100, 41)]:
        for shift in (1, 50, 1000):
            assert product(m + shift, n + shift) == pytest.approx(product(m, n), abs=1e-10)
    assert product(3, 0) != pytest.approx(product(0, 3), abs=1e-3)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_turn_keeps_lengths_and_position_zero_is_none(dtype):
    x = np.random.default_rng(0).standard_normal((4, 9, 16)).astype(dtype)
    y = at.functional.rotary(x, offset=123)
    assert_close(np.linalg.norm(y, axis=-1), np.linalg.norm(x.astype(np.float64), axis=-1), dtype)
    assert_same_bits(at.functional.rotary(x)[:, 0], x[:, 0])
    assert_same_bits(at.functional.rotary(x, np.zeros(9, int)), x)


def test_the_gradient_is_the_turn_back():
    x = at.tensor(np.random.default_rng(0).standard_normal((3, 5, 8)), requires_grad=True)
    y = at.functional.rotary(x, offset=3)
    y.backward(y.numpy())
    assert_close(x.grad, x.numpy())


@pytest.mark.parametrize("interleaved", [False, True])
def test_gradients_of_gradients(interleaved):
    x = np.random.default_rng(0).standard_normal((3, 5, 8))
    check_grad_grad(
        lambda x: at.functional.rotary(x * x, offset=3, rotary_dim=6, interleaved=interleaved), [x]
    )


@pytest.mark.parametrize("position", [1_000_000, 123_456_789, 2**40 + 1])
def test_large_positions_are_exact(position):
    """The angle has 53 bits: in float32 nothing is lost, where float32 angles would be noise."""
    f = np.array([1.0, 2.0**-7, 3 * 2.0**-20])  # products with integers up to 2^50 are exact
    x = np.array([[1.0, 1, 1, 0, 0, 0]], np.float32)
    y = at.functional.rotary(x, offset=position, frequencies=f)
    turns = [(math.cos(position * one), math.sin(position * one)) for one in f]
    expected = np.array([[c for c, _ in turns] + [s for _, s in turns]])
    np.testing.assert_allclose(y, expected, rtol=0, atol=eps(np.float32))


def test_decoding_goes_on_at_the_offset():
    x = np.random.default_rng(0).standard_normal((2, 9, 8)).astype(np.float32)
    whole = at.functional.rotary(x)
    for i in range(9):
        assert_same_bits(at.functional.rotary(x[:, i : i + 1], offset=i), whole[:, i : i + 1])
        assert_same_bits(at.functional.rotary(x[:, i : i + 1], [i]), whole[:, i : i + 1])


def test_attention_with_turned_queries_and_keys_is_invariant():
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, 4, 7, 8)) for _ in range(3))

    def attend(offset):
        return at.attention(at.functional.rotary(q, offset=offset), at.functional.rotary(k, offset=offset), v)

    assert_close(attend(77), attend(0))


@pytest.mark.parametrize("argument", ["cos", "sin", "frequencies"])
def test_no_gradient_of_caches(argument):
    caches = {"cos": np.ones((5, 4)), "sin": np.ones((5, 4))}
    options = caches if argument in caches else {"frequencies": np.ones(4)}
    options[argument] = at.tensor(options[argument], requires_grad=True)
    with pytest.raises(ValueError, match=f"^rotary: {argument} requires a gradient"):
        at.functional.rotary(np.ones((5, 8)), **options)


# ---------------------------------------------------------------------------------------------- frequencies

LLAMA = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}


def of_reference(dim, base, scaling):
    s = dict(scaling)
    low = s.get("low_freq_factor", s.get("beta_slow", 1.0))
    high = s.get("high_freq_factor", s.get("beta_fast", 32.0))
    original = s.get("original_max_position_embeddings", 0)
    return reference.inverse_frequencies(dim, base, s["rope_type"], s.get("factor", 1.0), low, high, original)


@pytest.mark.parametrize("base", [10000.0, 500000.0])
@pytest.mark.parametrize("dim", [0, 2, 4, 64, 128])
@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "default"},
        {"rope_type": "linear", "factor": 3},
        {"rope_type": "ntk", "factor": 2.5},
        LLAMA,
        YARN,
        YARN | {"beta_fast": 16, "beta_slow": 2},
    ],
    ids=lambda s: s["rope_type"],
)
def test_frequencies(scaling, dim, base):
    f = at.functional.inverse_frequencies(dim, base, scaling=scaling)
    np.testing.assert_allclose(f, of_reference(dim, base, scaling), rtol=1e-13)


def test_what_the_scalings_promise():
    f = at.functional.inverse_frequencies(128, 500000.0)
    np.testing.assert_allclose(f, 500000.0 ** (-np.arange(64) / 64), rtol=1e-14)
    np.testing.assert_array_equal(at.functional.inverse_frequencies(128, 5e5, scaling={"type": "default"}), f)
    ntk = at.functional.inverse_frequencies(128, 500000.0, scaling={"type": "ntk", "factor": 4})
    assert ntk[0] == 1 and ntk[-1] == pytest.approx(f[-1] / 4)  # the slowest reaches four times as far
    for scaling in (LLAMA, YARN):
        ratio = at.functional.inverse_frequencies(128, 500000.0, scaling=scaling) / f
        assert ratio[0] == 1 and ratio[-1] == pytest.approx(1 / scaling["factor"])
        assert (np.diff(ratio) <= 1e-12).all()  # from the fastest to the slowest ever more stretched


@pytest.mark.parametrize(
    ("arguments", "scaling", "error", "says"),
    [
        ((3,), None, ValueError, "dim is 3"),
        ((-2,), None, ValueError, "dim is -2"),
        ((4, 0.0), None, ValueError, "base is 0"),
        ((4.0,), None, TypeError, "dim is a float"),
        ((4,), {"rope_type": "linear"}, ValueError, "scaling of rope_type 'linear' lacks factor"),
        ((4,), {"rope_type": "linear", "factor": 0.5}, ValueError, "factor is 0.5"),
        ((4,), {"rope_type": "linear", "factor": math.nan}, ValueError, "factor is nan"),
        ((4,), {"rope_type": "linear", "factor": "2"}, TypeError, "factor is a str"),
        ((4,), {"rope_type": "other"}, ValueError, "must have one of 'default', 'linear'"),
        ((4,), {"rope_type": "yarn", "type": "ntk"}, ValueError, "scaling has rope_type"),
        ((4,), {"factor": 2.0}, ValueError, "scaling has rope_type None"),
        ((4,), {"rope_type": "ntk", "factor": 2, "beta_fast": 3}, ValueError, "scaling has 'beta_fast'"),
        ((4,), YARN | {"attention_factor": 1.1}, ValueError, "scaling has attention_factor"),
        ((4,), YARN | {"beta_slow": 40}, ValueError, "beta_slow is 40 and beta_fast is 32"),
        ((4,), LLAMA | {"original_max_position_embeddings": 0}, ValueError, "original_max_position"),
        ((4,), 3.0, TypeError, "scaling is a float"),
    ],
)
def test_wrong_frequencies(arguments, scaling, error, says):
    with pytest.raises(error, match=f"^inverse_frequencies: .*{says}"):
        at.functional.inverse_frequencies(*arguments, scaling=scaling)

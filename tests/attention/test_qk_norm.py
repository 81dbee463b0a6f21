"""qk_norm: queries and keys normalised before their products."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def rms(q, k, v, q_weight=None, k_weight=None, **options):
    weights = None if q_weight is None and k_weight is None else (q_weight, k_weight)
    return at.attention(q, k, v, qk_norm="rms", qk_norm_weights=weights, **options)


def rms_by_reference(q, k, v, q_weight=None, k_weight=None, mask=None, scale=None):
    weights = (q_weight, k_weight)
    return reference.scored(q, k, v, "scaled_dot", (), mask, None, scale, "rms", weights)[0]


def rms_backward(d_out, q, k, v, q_weight=None, k_weight=None, mask=None, scale=None):
    d_q, d_k, d_v, _, _, d_weights = reference.scored_backward(
        d_out, q, k, v, "scaled_dot", (), mask, None, scale, "rms", (q_weight, k_weight)
    )
    return d_q, d_k, d_v, *d_weights


TestRms = op_tests(
    "attention",
    "q k v q_weight k_weight",
    [
        case((2, 4, 5, 3), (2, 2, 7, 3), (2, 2, 7, 6), (3,), (3,)),
        case((2, 4, 5, 3), (2, 2, 7, 3), (2, 2, 7, 6), (4, 3), (2, 3), scale=0.4),
        case((5, 9), (7, 9), (7, 2), None, (9,)),
        case((5, 9), (7, 9), (7, 2), (9,), None),
        case((3, 5, 17), (3, 65, 17), (3, 65, 2), None, None, mask=np.arange(65) % 3 > 0),
        case((0, 3), (7, 3), (7, 2), (3,), (3,)),
        case((5, 3), (0, 3), (0, 2), (3,), (3,)),
    ],
    large=[case((4, 2500, 8), (2, 50, 8), (2, 50, 8), (8,), (2, 8))],
    function=rms,
    reference_function=rms_by_reference,
    backward=rms_backward,
    errors=[
        wrong((5, 3), (7, 3), (7, 2), (4,), None, says="q_weight has shape (4,) but must be (3,)"),
        wrong((2, 5, 3), (2, 7, 3), (2, 7, 2), (3,), (3, 3), says="k_weight has shape (3, 3)"),
    ],
)


def l2(q, k, v, **options):
    return at.attention(q, k, v, score="dot", qk_norm="l2", **options)


TestL2 = op_tests(
    "attention",
    "q k v",
    [
        case((2, 4, 5, 3), (2, 2, 7, 3), (2, 2, 7, 6)),
        case((5, 9), (7, 9), (7, 2), scale=8.0),
    ],
    large=[case((4, 300, 8), (2, 100, 8), (2, 100, 8))],
    function=l2,
    reference_function=lambda q, k, v, scale=None: reference.scored(
        q, k, v, "dot", (), None, None, scale, "l2"
    )[0],
    backward=lambda d_out, q, k, v, scale=None: reference.scored_backward(
        d_out, q, k, v, "dot", (), None, None, scale, "l2"
    )[:3],
    errors=[wrong((5, 3), (7, 4), (7, 2), says="key has 4 features but query has 3")],
)


def arrays(dtype=np.float64):
    rng = np.random.default_rng(0)
    return [rng.standard_normal((2, 3, n, 4)).astype(dtype) for n in (5, 7, 7)]


def test_l2_of_products_is_the_cosine():
    q, k, v = arrays()
    assert_same_bits(l2(q, k, v, scale=3.0), at.attention(q, k, v, score="cosine", scale=3.0))


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1e30])
def test_rms_of_short_and_long_rows(size):
    """Squares would leave float32's range; ε counts where a row is shorter than it."""
    q, k, v = arrays(np.float32)
    q *= np.float32(size)
    expected = rms_by_reference(*(x.astype(np.float64) for x in (q, k, v)))
    assert_close(rms(q, k, v), expected, np.float32)


@pytest.mark.parametrize("score", ["dot", "general", "additive", "kernel", "function"])
@pytest.mark.parametrize("norm", ["rms", "l2"])
def test_before_every_score(norm, score):
    q, k, v = arrays()
    rng = np.random.default_rng(1)
    w, v_a = rng.standard_normal((4, 4)), rng.standard_normal(4)
    params = {"general": (w,), "additive": (w, w, v_a), "kernel": (0.7,)}.get(score)
    name = (lambda a, b: a @ b.swapaxes(-1, -2)) if score == "function" else score
    unit_q, unit_k = reference.qk_norm(q, k, norm)
    expected = at.attention(unit_q, unit_k, v, score=name, score_params=params)
    assert_close(at.attention(q, k, v, score=name, score_params=params, qk_norm=norm), expected)


@pytest.mark.parametrize("norm", ["rms", "l2"])
def test_nan_behind_a_mask_does_not_leak(norm):
    q, k, v = arrays()
    k[..., 4:, :] = np.nan
    w = np.ones(4)
    tensors = [at.tensor(x, requires_grad=True) for x in (q, k, v, w, w)]
    weights = (tensors[3], tensors[4]) if norm == "rms" else None
    out = at.attention(
        *tensors[:3], score="dot", qk_norm=norm, qk_norm_weights=weights, mask=np.arange(7) < 4
    )
    out.sum().backward()
    assert np.isfinite(out.numpy()).all()
    for t in tensors[: 5 if norm == "rms" else 3]:
        assert np.isfinite(t.grad.numpy()).all()


def test_a_learned_scale():
    """Henry et al. learn one factor; one a head works too."""
    q, k, v = arrays()
    g = at.tensor(3.0, requires_grad=True)
    out = at.attention(q, k, v, qk_norm="l2", scale=g)
    assert_close(out, at.attention(q, k, v, qk_norm="l2", scale=3.0))
    out.sum().backward()
    h = 1e-6
    up, down = (at.attention(q, k, v, qk_norm="l2", scale=3.0 + s * h).sum() for s in (1, -1))
    assert abs(g.grad.item() - (up - down) / (2 * h)) < 1e-6
    per_head = at.tensor(np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1), requires_grad=True)
    out = at.attention(q, k, v, qk_norm="l2", scale=per_head)
    for i in range(3):
        one = at.attention(q[:, i : i + 1], k[:, i : i + 1], v[:, i : i + 1], qk_norm="l2", scale=i + 1.0)
        assert_close(out.numpy()[:, i : i + 1], one)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"qk_norm": "l1"}, ValueError, "qk_norm is 'l1' but must be"),
        ({"qk_norm": 3}, ValueError, "qk_norm is '3'"),
        ({"qk_norm": "l2"}, ValueError, "give scale="),
        (
            {"qk_norm": "l2", "scale": 2.0, "qk_norm_weights": (np.ones(4), None)},
            ValueError,
            'only qk_norm="rms"',
        ),
        ({"qk_norm_weights": (np.ones(4), None)}, ValueError, 'only qk_norm="rms"'),
        ({"qk_norm": "rms", "qk_norm_weights": np.ones(4)}, TypeError, "must be \\(q_weight, k_weight\\)"),
        ({"qk_norm": "rms", "qk_norm_weights": (np.ones(4),)}, TypeError, "must be \\(q_weight, k_weight\\)"),
        ({"scale": at.tensor(np.ones(2))}, ValueError, "scale has shape \\(2,\\)"),
        ({"scale": at.tensor(np.float32(1))}, TypeError, "scale has dtype float32"),
    ],
)
def test_wrong_calls(options, error, says):
    with pytest.raises(error, match=f"^attention: .*{says}"):
        at.attention(*arrays(), **options)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_row_of_zeros_stays_one(dtype):
    q, k, v = arrays(dtype)
    q[:] = 0
    for norm, scale in (("rms", None), ("l2", 2.0)):
        _, weights = at.attention(q, k, v, qk_norm=norm, scale=scale, return_weights=True)
        assert_close(weights, np.full(weights.shape, 1 / 7), dtype)

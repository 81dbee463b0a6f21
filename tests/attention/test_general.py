"""score="general": bilinear scores."""

import numpy as np

import attendo as at
from attendo import reference
from inputs import case, wrong
from op_check import op_tests
from tolerance import assert_close


def attention(q, k, v, W, **options):
    return at.attention(q, k, v, score="general", score_params=(W,), **options)


def by_reference(q, k, v, W, mask=None, scale=None):
    return reference.scored(q, k, v, "general", (W,), mask, None, scale)[0]


def backward(d_out, q, k, v, W, mask=None, scale=None):
    d_q, d_k, d_v, d_params, _, _ = reference.scored_backward(
        d_out, q, k, v, "general", (W,), mask, None, scale
    )
    return d_q, d_k, d_v, *d_params


TestGeneral = op_tests(
    "attention",
    "q k v W",
    [
        case((2, 4, 5, 3), (2, 2, 7, 6), (2, 2, 7, 2), (3, 6)),
        case((5, 3), (7, 3), (7, 2), (3, 3)),
        case((2, 4, 5, 3), (2, 4, 7, 6), (2, 4, 7, 2), (4, 3, 6), scale=0.4),
        case((4, 5, 3), (2, 65, 6), (2, 65, 2), (4, 3, 6), mask=np.arange(65) % 3 > 0),
        case((0, 3), (7, 3), (7, 2), (3, 3)),
        case((5, 3), (0, 3), (0, 2), (3, 3)),
        case((5, 3), (7, 0), (7, 2), (3, 0)),
        case((5, 0), (7, 3), (7, 2), (0, 3)),
    ],
    large=[case((2, 4, 130, 16), (2, 2, 200, 24), (2, 2, 200, 8), (4, 16, 24), scale=0.1)],
    function=attention,
    reference_function=by_reference,
    backward=backward,
    errors=[
        wrong((5, 3), (7, 4), (7, 2), (4, 3), says="W has shape (4, 3) but must be (Dq, Dk), here (3, 4)"),
        wrong((2, 5, 3), (2, 7, 4), (2, 7, 2), (3, 3, 4), says="or one a head, of which there are 2"),
    ],
)


def test_the_identity_gives_dot_product_attention():
    rng = np.random.default_rng(0)
    q, k, v = rng.standard_normal((3, 2, 6, 4))
    assert_close(attention(q, k, v, np.eye(4)), at.attention(q, k, v, score="dot"))
    assert_close(attention(q, k, v, np.eye(4) / 2), at.attention(q, k, v))

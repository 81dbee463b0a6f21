"""attention with other scores: names, functions of blocks, and what goes with what."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, THREADS, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def dot(q, k):
    return q @ k.swapaxes(-1, -2)


def scaled_dot(q, k):
    return dot(q, k) / q.shape[-1] ** 0.5


def by_function(q, k, v, bias=None, **options):
    return at.attention(q, k, v, bias=bias, score=scaled_dot, **options)


def written_out(mask, q, k, q_offset):
    if not isinstance(mask, at.masks.Mask):
        return mask
    *batch, heads, length, _ = q.shape if q.ndim > 2 else (1, *q.shape)
    dense = mask.dense(int(np.prod(batch)), heads, length, k.shape[-2], q_offset=q_offset)
    return dense.reshape(*q.shape[:-1], k.shape[-2])


# A function that computes what the default computes must give what the default gives.
TestFunction = op_tests(
    "attention",
    "q k v bias",
    [
        case((2, 4, 5, 4), (2, 4, 7, 4), (2, 4, 7, 6), (2, 4, 5, 7)),
        case((2, 4, 5, 4), (2, 2, 7, 4), (2, 2, 7, 6), (5, 7)),
        case((5, 4), (7, 4), (7, 6), None),
        case((3, 5, 4), (3, 7, 4), (3, 7, 6), (7,)),
        case((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6), None, mask=at.masks.lengths([7, 0])),
        case((2, 300, 4), (2, 300, 4), (2, 300, 6), None, mask=at.masks.causal()),
        case(
            (1, 270, 4), (1, 1100, 4), (1, 1100, 6), (270, 1100), mask=at.masks.causal(), q_offset=800
        ).but_not("central_differences"),
        case((2, 0, 4), (2, 7, 4), (2, 7, 6), None),
        case((2, 5, 4), (2, 0, 4), (2, 0, 6), None),
        case((0, 2, 5, 4), (0, 2, 7, 4), (0, 2, 7, 6), None),
    ],
    large=[case((2, 2, 300, 8), (2, 1, 1100, 8), (2, 1, 1100, 8), None)],
    function=by_function,
    reference_function=lambda q, k, v, bias=None, mask=None, q_offset=0: reference.scaled_dot_product(
        q, k, v, written_out(mask, q, k, q_offset), bias
    )[0],
    backward=lambda d, q, k, v, bias=None, mask=None, q_offset=0: reference.scaled_dot_product_backward(
        d, q, k, v, written_out(mask, q, k, q_offset), bias
    ),
    errors=[
        wrong((5, 4), (7, 4), (6, 4), None, says="value has 6 positions but key has 7"),
        wrong((5, 4), (7, 4), (7, 4), (5, 6), says="bias has shape (5, 6)"),
        wrong((5, 4), (7, 4), (7, 4), None, score_params=(np.ones(3),), says="a function brings its own"),
    ],
)


def arrays(dtype=np.float64, length=5, keys=7, heads=3, kv_heads=3):
    rng = np.random.default_rng(0)
    shapes = [(2, heads, length, 4), (2, kv_heads, keys, 4), (2, kv_heads, keys, 6)]
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


# ----------------------------------------------------------------------------------------------- named scores


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dot_is_scaled_dot_without_the_scale(dtype):
    q, k, v = arrays(dtype)
    assert_same_bits(at.attention(q, k, v, score="dot"), at.attention(q, k, v, scale=1.0))
    assert_same_bits(at.attention(q, k, v, score="dot", scale=0.5), at.attention(q, k, v))
    assert_same_bits(at.attention(q, k, v, score="scaled_dot"), at.attention(q, k, v))


PARAMS = {
    "dot": (),
    "scaled_dot": (),
    "cosine": (),
    "general": (np.random.default_rng(1).standard_normal((4, 4)),),
    "additive": tuple(np.random.default_rng(1).standard_normal(s) for s in [(5, 4), (5, 4), (5,)]),
    "kernel": (np.array(0.8),),
}
MASKS = {
    "none": None,
    "causal": at.masks.causal(),
    "lengths": at.masks.lengths([6, 0]),
    "both": at.masks.causal() & at.masks.lengths([6, 2]),
    "dense": np.random.default_rng(2).random((2, 1, 6, 6)) < 0.5,
    "or": ~at.masks.causal() | at.masks.dense(np.eye(6, dtype=bool)),
}


@pytest.mark.parametrize("form", MASKS)
@pytest.mark.parametrize("score", PARAMS)
def test_every_score_with_every_mask(score, form):
    q, k, v = arrays(length=6, keys=6, heads=4, kv_heads=2)
    bias = np.random.default_rng(3).standard_normal((4, 1, 6))
    mask, params = MASKS[form], PARAMS[score]
    dense = written_out(mask, q, k, 0)
    expected, expected_weights = reference.scored(q, k, v, score, params, dense, bias, 0.7)
    outs = []
    for threads in THREADS[:2]:
        at.set_num_threads(threads)
        options = {"score": score, "score_params": params or None, "mask": mask, "bias": bias, "scale": 0.7}
        out, weights = at.attention(q, k, v, return_weights=True, **options)
        assert_same_bits(at.attention(q, k, v, **options), out, "asking for weights changes out")
        outs.append(out)
    assert_same_bits(*outs)
    assert_close(out, expected)
    assert_close(weights, expected_weights)


@pytest.mark.parametrize("score", PARAMS)
def test_gradients_through_the_weights(score):
    raw = arrays(heads=4, kv_heads=2)
    mask = np.random.default_rng(2).random((5, 7)) < 0.7
    tensors = [at.tensor(x, requires_grad=True) for x in raw]
    params = [at.tensor(x, requires_grad=True) for x in PARAMS[score]]
    options = {"score": score, "score_params": tuple(params) or None, "mask": mask}
    out, weights = at.attention(*tensors, return_weights=True, **options)
    d_out, d_weights = (
        np.random.default_rng(i).standard_normal(x.shape) for i, x in enumerate((out, weights))
    )
    ((out * d_out).sum() + (weights * d_weights).sum()).backward()
    d_q, d_k, d_v, d_params, _, _ = reference.scored_backward(
        d_out, *raw, score, PARAMS[score], mask, d_weights=d_weights
    )
    for tensor, expected in zip([*tensors, *params], [d_q, d_k, d_v, *d_params], strict=True):
        assert_close(tensor.grad, expected, scale=10.0)


@pytest.mark.parametrize("score", [*PARAMS, "function"])
def test_a_row_that_may_attend_to_nothing(score):
    raw = arrays()
    mask = np.ones((5, 7), bool)
    mask[2] = False
    tensors = [at.tensor(x, requires_grad=True) for x in raw]
    params = [at.tensor(x, requires_grad=True) for x in PARAMS.get(score, ())]
    name = scaled_dot if score == "function" else score
    out = at.attention(*tensors, score=name, score_params=tuple(params) or None, mask=mask)
    out.sum().backward()
    assert (out.numpy()[:, :, 2] == 0).all()
    assert (tensors[0].grad.numpy()[:, :, 2] == 0).all()
    assert all(np.isfinite(x.grad.numpy()).all() for x in [*tensors, *params])


@pytest.mark.parametrize("score", [*PARAMS, "function"])
def test_dropout_is_the_same_on_any_number_of_threads_and_with_weights(score):
    q, k, v = arrays(np.float32, 70, 70)
    name = scaled_dot if score == "function" else score
    params = tuple(x.astype(np.float32) for x in PARAMS.get(score, ())) or None

    def run(threads, **options):
        at.set_num_threads(threads)
        options |= {"score": name, "score_params": params, "dropout": 0.4, "generator": at.Generator(5)}
        return at.attention(q, k, v, **options)

    one = run(1)
    assert_same_bits(run(2), one)
    out, weights = run(2, return_weights=True)
    assert_same_bits(out, one)
    assert_close(weights.sum(-1), np.ones(weights.shape[:-1]))
    assert (one != at.attention(q, k, v, score=name, score_params=params)).any()


@pytest.mark.parametrize("kv_heads", [0, 2])
@pytest.mark.parametrize("score", [*PARAMS, "function"])
def test_no_heads_and_keys_that_no_head_reads(score, kv_heads):
    params = PARAMS.get(score, ())
    if score == "additive":
        params = (*params, np.zeros((0, 5)))  # a bias a head, of which there are none
    raw = [np.ones((2, 0, 5, 4)), np.ones((2, kv_heads, 7, 4)), np.ones((2, kv_heads, 7, 6))]
    tensors = [at.tensor(x, requires_grad=True) for x in raw]
    name = scaled_dot if score == "function" else score
    out, weights = at.attention(*tensors, score=name, score_params=params or None, return_weights=True)
    assert out.shape == (2, 0, 5, 6) and weights.shape == (2, 0, 5, 7)
    out.sum().backward()
    for tensor, x in zip(tensors, raw, strict=True):
        assert_same_bits(tensor.grad, np.zeros_like(x))


def test_a_learned_scale_reaches_every_score():
    q, k, v = arrays()
    for score in [*PARAMS, "function"]:
        name = scaled_dot if score == "function" else score
        for value in (np.array(0.6), np.array([0.5, 1.0, 2.0]).reshape(3, 1, 1)):
            scale = at.tensor(value, requires_grad=True)
            options = {"score": name, "score_params": PARAMS.get(score) or None}
            out = at.attention(q, k, v, scale=scale, **options)
            for head in range(3):
                of_head = float(np.broadcast_to(value, (3, 1, 1))[head, 0, 0])
                one = [x[:, head : head + 1] for x in (q, k, v)]
                assert_close(out.numpy()[:, head : head + 1], at.attention(*one, scale=of_head, **options))
            out.sum().backward()
            assert scale.grad.shape == scale.shape and (scale.grad.numpy() != 0).all()


# -------------------------------------------------------------------------------------------------- functions


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradients_reach_what_a_function_captures(dtype):
    raw = arrays(dtype)
    w = np.random.default_rng(1).standard_normal((4, 4)).astype(dtype)
    captured, given = at.tensor(w, requires_grad=True), at.tensor(w, requires_grad=True)
    at.attention(*map(at.tensor, raw), score=lambda q, k: dot(q @ captured, k)).sum().backward()
    at.attention(*map(at.tensor, raw), score="general", score_params=(given,)).sum().backward()
    assert_close(captured.grad, given.grad.numpy(), dtype)


def test_arrays_and_a_captured_parameter_give_a_tensor():
    q, k, v = arrays()
    w = at.tensor(np.eye(4), requires_grad=True)
    out = at.attention(q, k, v, score=lambda a, b: dot(a @ w, b))
    assert isinstance(out, at.Tensor) and out.requires_grad
    with at.no_grad():
        assert type(at.attention(q, k, v, score=lambda a, b: dot(a @ w, b))) is np.ndarray


def test_what_the_tape_holds_is_not_the_callers_array():
    q, k, v = arrays()
    w = at.tensor(np.eye(4), requires_grad=True)
    out = at.attention(q, k, v, score=lambda a, b: dot(a @ w, b))
    k[...] = q[...] = v[...] = np.nan
    out.sum().backward()
    assert np.isfinite(w.grad.numpy()).all()


def test_blocks():
    seen = []

    def score(q, k):
        seen.append((q.shape, k.shape))
        return dot(q, k)

    q, k, v = arrays(np.float32, 300, 1500, heads=4, kv_heads=2)
    out, weights = at.attention(q, k, v, score=score, return_weights=True)
    assert [(a[-2], b[-2]) for a, b in seen] == [(256, 1024), (256, 476), (44, 1024), (44, 476)]
    assert all(a[:-2] == b[:-2] == (2, 4) for a, b in seen)  # every query head has its keys
    expected, expected_weights = at.attention(q, k, v, score="dot", return_weights=True)
    assert_close(out, expected)
    assert_close(weights, expected_weights)


def test_exceptions_pass_through():
    class MyError(Exception):
        pass

    def score(q, k):
        raise MyError("mine")

    for inputs in (arrays(), [at.tensor(x, requires_grad=True) for x in arrays()]):
        with pytest.raises(MyError, match="mine"):
            at.attention(*inputs, score=score)


@pytest.mark.parametrize(
    ("score", "error", "says"),
    [
        (lambda q, k: None, TypeError, "score returned a NoneType but must return a Tensor"),
        (lambda q, k: q.numpy() @ k.numpy().swapaxes(-1, -2), TypeError, "score returned a ndarray"),
        (lambda q, k: q, ValueError, r"score returned shape \(2, 3, 5, 4\) .* must return \(2, 3, 5, 7\)"),
        (lambda q, k: dot(q, k).sum(), ValueError, r"score returned shape \(\)"),
        (
            lambda q, k: at.tensor(dot(q, k).numpy(), "float32"),
            TypeError,
            "what score returned has dtype float32",
        ),
        (
            lambda q, k: at.tensor(np.ones((2, 3, 5, 7), int)),
            TypeError,
            "what score returned has dtype int64",
        ),
        ("dotty", ValueError, "score is 'dotty' but must be 'dot', 'scaled_dot'"),
        (3, TypeError, "score is a int"),
        (None, TypeError, "score is a NoneType"),
        (np.ones(2), TypeError, "score is a ndarray"),
    ],
)
def test_wrong_scores(score, error, says):
    with pytest.raises(error, match=f"^attention: .*{says}"):
        at.attention(*arrays(), score=score)


@pytest.mark.parametrize(
    ("score", "params", "says"),
    [
        ("general", None, 'score_params has 0 entries but score="general" takes'),
        ("general", (np.eye(4), np.eye(4)), "score_params has 2 entries"),
        ("additive", None, 'score_params has 0 entries but score="additive" takes'),
        ("additive", (np.eye(4), np.eye(4)), "score_params has 2 entries"),
        ("kernel", (), 'score_params has 0 entries but score="kernel" takes'),
        ("kernel", (1.0, 2.0), "score_params has 2 entries"),
        ("dot", (np.eye(4),), 'score_params has 1 entries but score="dot" takes none'),
        ("scaled_dot", (np.eye(4),), "score_params has 1 entries"),
    ],
)
def test_wrong_parameters(score, params, says):
    with pytest.raises(ValueError, match=f"^attention: .*{says}"):
        at.attention(*arrays(), score=score, score_params=params)


def test_memory_without_a_gradient_does_not_grow_with_the_scores():
    """8 × 2000 × 2000 scores are 128 MB; a block of queries has 4 MB of them."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((8, 2000, 1)).astype(np.float32) for _ in range(3))
    at.release_cached_memory()
    at.attention(q, k, v, score="kernel", score_params=1.0)
    assert at.memory_stats()["cached_bytes"] < 48e6

"""Attention at its edges: nothing to attend to, NaN and inf, behind a mask and in sight."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from tolerance import assert_close, assert_same_bits


def inputs(dtype=np.float64, length=6, keys=8):
    shapes = [(2, 3, length, 4), (2, 3, keys, 4), (2, 3, keys, 5)]
    return [np.random.default_rng(i).standard_normal(s).astype(dtype) for i, s in enumerate(shapes)]


def leaves(*arrays):
    return [at.tensor(x, requires_grad=True) for x in arrays]


# ------------------------------------------------------------------------------------------ nothing to attend


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("nothing", ["mask", "lengths", "offset", "bias", "no keys"])
def test_a_query_that_may_attend_to_nothing(nothing, dtype):
    q, k, v = inputs(dtype, length=5, keys=0 if nothing == "no keys" else 5)
    options = {
        "mask": {"mask": np.zeros((5, 5), bool)},
        "lengths": {"mask": at.masks.lengths([0, 0])},
        "offset": {"mask": at.masks.causal(), "q_offset": -5},
        "bias": {"bias": np.full((5, 5), -np.inf, dtype)},
        "no keys": {},
    }[nothing]
    tensors = leaves(q, k, v)
    out, weights = at.attention(*tensors, return_weights=True, **options)
    np.testing.assert_array_equal(out.numpy(), 0)
    np.testing.assert_array_equal(weights.numpy(), 0)
    (out.sum() + (weights * 2.0).sum()).backward()
    for tensor in tensors:
        np.testing.assert_array_equal(tensor.grad.numpy(), 0)


def test_minus_inf_in_the_bias_is_a_mask():
    q, k, v = inputs()
    allowed = np.random.default_rng(3).random((6, 8)) < 0.6
    allowed[:, 0] = True
    got = at.attention(q, k, v, bias=np.where(allowed, 0.5, -np.inf))
    assert_close(got, at.attention(q, k, v, mask=allowed, bias=np.array(0.5)))


def test_no_heads():
    tensors = leaves(np.zeros((2, 0, 3, 4)), np.zeros((2, 0, 5, 4)), np.zeros((2, 0, 5, 6)))
    out, weights = at.attention(*tensors, return_weights=True)
    assert out.shape == (2, 0, 3, 6) and weights.shape == (2, 0, 3, 5)
    out.backward(np.zeros((2, 0, 3, 6)))
    assert [t.grad.shape for t in tensors] == [t.shape for t in tensors]


def test_without_features_every_key_matches_alike():
    v = np.random.default_rng(0).standard_normal((3, 7, 5))
    out = at.attention(np.zeros((3, 6, 0)), np.zeros((3, 7, 0)), v)
    assert_close(out, np.repeat(v.mean(1, keepdims=True), 6, axis=1))


# -------------------------------------------------------------------------------------------------- NaN, inf


def hidden_masks():
    """Masks that hide keys 3, 4, … of 8, in every form."""
    return {
        "lengths": at.masks.lengths([3, 3]),
        "bool": np.arange(8) < 3,
        "dense": at.masks.dense(np.arange(8) < 3),
        "not": ~at.masks.dense(np.arange(8) >= 3),
        "causal": at.masks.causal() & at.masks.dense(np.arange(8) < 3),
    }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 1e38], ids=str)
@pytest.mark.parametrize("form", hidden_masks())
@pytest.mark.parametrize("return_weights", [False, True])
def test_what_is_behind_a_mask_does_not_leak(form, poison, dtype, return_weights):
    """Neither forward nor backward, whatever stands there."""
    arrays = inputs(dtype)
    options = {"mask": hidden_masks()[form], "return_weights": return_weights}
    if form == "causal":
        options["q_offset"] = 2
    results = []
    for value in (0.0, poison):
        q, k, v = (x.copy() for x in arrays)
        k[:, :, 3:], v[:, :, 3:] = value, value
        bias = np.zeros((6, 8), dtype)
        bias[:, 3:] = value
        tensors = leaves(q, k, v, bias)
        result = at.attention(*tensors[:3], bias=tensors[3], **options)
        out, weights = result if return_weights else (result, None)
        loss = (out * np.arange(1, 6, dtype=dtype)).sum()
        if weights is not None:
            loss = loss + (weights * np.arange(8, dtype=dtype)).sum()
        loss.backward()
        results.append([out, *(t.grad for t in tensors), *([] if weights is None else [weights])])
    for clean, dirty in zip(*results, strict=True):
        assert_same_bits(dirty, clean)
    for gradient in results[1][2:4]:
        np.testing.assert_array_equal(gradient.numpy()[:, :, 3:], 0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_nan_query_that_attends_to_nothing_does_not_leak(dtype):
    q, k, v = inputs(dtype)
    mask = np.ones((6, 8), bool)
    mask[2] = False
    expected = None
    for value in (0.0, np.nan):
        q[:, :, 2] = value
        tensors = leaves(q, k, v)
        out = at.attention(*tensors, mask=mask)
        out.sum().backward()
        got = [out, *(t.grad for t in tensors)]
        expected = expected or got
        for a, b in zip(got, expected, strict=True):
            assert_same_bits(a, b)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("keys", [8, 300])
@pytest.mark.parametrize("where", ["q", "k", "v", "bias"])
def test_a_nan_that_is_attended_to_shows(where, keys, dtype):
    q, k, v = inputs(dtype, keys=keys)
    bias = np.zeros((6, keys), dtype)
    mask = np.ones((6, keys), bool)
    mask[1, 5] = False  # query 1 does not see key 5
    {"q": q, "k": k, "v": v}.get(where, bias[None, None])[..., 5, :] = np.nan
    if where == "bias":
        bias[5] = 0
        bias[:, 5] = np.nan
    out, weights = at.attention(q, k, v, mask=mask, bias=bias, return_weights=True)
    expected, expected_weights, _ = reference.scaled_dot_product(
        *(x.astype(float) for x in (q, k, v)), mask, bias
    )
    assert_close(out, expected, dtype)
    assert_close(weights, expected_weights, dtype)
    assert np.isnan(out).any() and not np.isnan(out[:, :, 1]).any()


def test_an_infinite_score_is_nan_and_not_a_guess():
    """inf - inf has no answer: NaN, as NumPy says, rather than a row that looks right."""
    q, k, v = inputs()
    bias = np.zeros((6, 8))
    bias[2, 3] = np.inf
    out = at.attention(q, k, v, bias=bias)
    assert np.isnan(out[:, :, 2]).all()
    assert np.isfinite(np.delete(out, 2, axis=2)).all()

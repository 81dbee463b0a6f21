"""What the reference promises beyond numbers: masks select, NaN goes where it must, layers compose."""

from typing import Any

import numpy as np
import pytest

from attendo import reference

NAN = float("nan")


def same(actual: Any, expected: Any) -> None:
    """Equal up to the rounding of a few float64 operations."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1000 * np.finfo(np.float64).eps)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


# -- masks select


def attention_inputs(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    q, k, v = (rng.standard_normal((2, length, 3)) for length in (4, 5, 5))
    mask = np.ones((2, 4, 5), dtype=bool)
    mask[:, :, 1] = False  # key 1: nobody's
    mask[0, 2] = False  # query 2 of head 0 attends nothing
    return q, k, v, mask


def test_masked_keys_are_as_if_absent(rng: np.random.Generator) -> None:
    q, k, v, mask = attention_inputs(rng)
    without = [np.delete(k, 1, axis=1), np.delete(v, 1, axis=1), np.delete(mask, 1, axis=2)]
    out, weights, lse = reference.scaled_dot_product(q, k, v, mask)
    short_out, short_weights, short_lse = reference.scaled_dot_product(q, *without)
    same(out, short_out)
    same(np.delete(weights, 1, axis=2), short_weights)
    same(lse, short_lse)
    assert not weights[:, :, 1].any()


@pytest.mark.parametrize("poison", [NAN, np.inf, -np.inf])
def test_nothing_leaks_from_a_masked_key(rng: np.random.Generator, poison: float) -> None:
    q, k, v, mask = attention_inputs(rng)
    d_out = rng.standard_normal(q.shape)
    clean = reference.scaled_dot_product(q, k, v, mask)
    clean_gradients = reference.scaled_dot_product_backward(d_out, q, k, v, mask)
    k[:, 1] = v[:, 1] = poison
    with np.errstate(invalid="ignore"):
        poisoned = reference.scaled_dot_product(q, k, v, mask)
        poisoned_gradients = reference.scaled_dot_product_backward(d_out, q, k, v, mask)
    for expected, actual in zip(clean + clean_gradients[:3], poisoned + poisoned_gradients[:3], strict=True):
        np.testing.assert_array_equal(actual, expected)
    assert not poisoned_gradients[1][:, 1].any() and not poisoned_gradients[2][:, 1].any()


def test_a_query_with_nothing_to_attend_gives_zeros(rng: np.random.Generator) -> None:
    q, k, v, mask = attention_inputs(rng)
    d_out = rng.standard_normal(q.shape)
    q[0, 2] = d_out[0, 2] = NAN  # what the row itself holds does not matter either
    out, weights, lse = reference.scaled_dot_product(q, k, v, mask)
    d_q, d_k, d_v, _ = reference.scaled_dot_product_backward(d_out, q, k, v, mask)
    assert not out[0, 2].any() and not weights[0, 2].any() and not d_q[0, 2].any()
    assert lse[0, 2] == -np.inf
    assert np.isfinite(d_k).all() and np.isfinite(d_v).all()


def test_a_bias_of_minus_infinity_empties_a_row_too(rng: np.random.Generator) -> None:
    q, k, v, _ = attention_inputs(rng)
    bias = np.where(np.arange(4)[:, None] == 3, -np.inf, np.zeros((4, 5)))
    out, weights, _ = reference.scaled_dot_product(q, k, v, bias=bias)
    assert not out[:, 3].any() and not weights[:, 3].any()
    same(np.sum(weights[:, :3], axis=-1), 1)


def test_nan_in_an_attended_position_propagates(rng: np.random.Generator) -> None:
    q, k, v, mask = attention_inputs(rng)
    mask[1, 0, 4] = False
    k[1, 4, 0] = NAN
    out, weights, lse = reference.scaled_dot_product(q, k, v, mask)
    assert (
        np.isfinite(out[0]).all() and np.isfinite(out[1, 0]).all()
    )  # the other head; the query that is masked
    assert np.isnan(out[1, 1:]).all() and np.isnan(lse[1, 1:]).all()
    assert not weights[:, :, 1].any()  # a masked weight is 0 even in a row of NaN

    q, k, v, mask = attention_inputs(rng)
    v[0, 3, 2] = NAN
    out, _, _ = reference.scaled_dot_product(q, k, v, mask)
    assert np.isnan(out[0, [0, 1, 3], 2]).all()
    assert not out[0, 2].any()
    assert np.isfinite(out[..., :2]).all()


def test_softmax_of_minus_infinity_and_nan() -> None:
    x = np.array([[-np.inf, -np.inf], [0.0, -np.inf], [NAN, 0.0], [1000.0, 1000.0]])
    np.testing.assert_array_equal(reference.softmax(x), [[0, 0], [1, 0], [NAN, NAN], [0.5, 0.5]])
    log_y = reference.log_softmax(x)
    np.testing.assert_array_equal(log_y[:3], [[-np.inf, -np.inf], [0, -np.inf], [NAN, NAN]])
    for backward in (reference.softmax_backward, reference.log_softmax_backward):
        (d_x,) = backward(np.ones((4, 2)), x)
        assert not d_x[0].any()


def test_softmax_is_shift_invariant_and_agrees_with_attention(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 5))
    same(reference.softmax(x), reference.softmax(x + 3.0))
    same(np.exp(reference.log_softmax(x)), reference.softmax(x))
    steps = reference.scaled_dot_product_steps(x, np.eye(5), np.eye(5), scale=1.0)
    same(steps["weights"], reference.softmax(x))
    same(steps["out"], reference.softmax(x))


# -- heads


def test_grouped_heads_are_repeated_heads(rng: np.random.Generator) -> None:
    q, k, v = (rng.standard_normal((2, heads, 3, 4)) for heads in (6, 2, 2))
    out, _, _ = reference.scaled_dot_product(q, k, v)
    for head in range(6):
        alone, _, _ = reference.scaled_dot_product(q[:, head], k[:, head // 3], v[:, head // 3])
        same(out[:, head], alone)


def test_one_head_with_identity_projections_is_scaled_dot_product(rng: np.random.Generator) -> None:
    x, memory, eye = rng.standard_normal((3, 4)), rng.standard_normal((5, 4)), np.eye(4)
    out, weights = reference.multi_head(x, memory, memory, eye, eye, eye, eye, None, None, None, None, 1)
    alone, alone_weights, _ = reference.scaled_dot_product(x, memory, memory)
    same(out, alone)
    same(weights[0], alone_weights)


def test_split_and_merge_heads(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 8))
    heads = reference.split_heads(x, 4)
    assert heads.shape == (2, 4, 3, 2)
    np.testing.assert_array_equal(heads[:, 1], x[..., 2:4])
    np.testing.assert_array_equal(reference.merge_heads(heads), x)


# -- the Transformer


def transformer_parameters(rng: np.random.Generator, norm_first: bool) -> dict[str, np.ndarray]:
    d, dff, vocabulary = 4, 6, 9
    shapes: dict[str, tuple[int, ...]] = {
        "src_embedding.weight": (vocabulary, d),
        "tgt_embedding.weight": (vocabulary, d),
        "generator.weight": (vocabulary, d),
        "generator.bias": (vocabulary,),
    }
    for side, attentions, norms in [
        ("encoder", ["self_attn"], 2),
        ("decoder", ["self_attn", "cross_attn"], 3),
    ]:
        for i in range(2):
            layer = f"{side}.layers.{i}"
            for attention in attentions:
                shapes[f"{layer}.{attention}.in_proj_weight"] = (3 * d, d)
                shapes[f"{layer}.{attention}.in_proj_bias"] = (3 * d,)
                shapes[f"{layer}.{attention}.out_proj.weight"] = (d, d)
                shapes[f"{layer}.{attention}.out_proj.bias"] = (d,)
            shapes[f"{layer}.feed_forward.linear1.weight"] = (dff, d)
            shapes[f"{layer}.feed_forward.linear1.bias"] = (dff,)
            shapes[f"{layer}.feed_forward.linear2.weight"] = (d, dff)
            shapes[f"{layer}.feed_forward.linear2.bias"] = (d,)
            for n in range(norms):
                shapes[f"{layer}.norm{n + 1}.weight"] = shapes[f"{layer}.norm{n + 1}.bias"] = (d,)
        if norm_first:
            shapes[f"{side}.norm.weight"] = shapes[f"{side}.norm.bias"] = (d,)
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


@pytest.fixture(params=[False, True], ids=["post-norm", "pre-norm"])
def model(request: pytest.FixtureRequest, rng: np.random.Generator) -> dict[str, Any]:
    norm_first = request.param
    return {
        "parameters": transformer_parameters(rng, norm_first),
        "num_heads": 2,
        "norm_first": norm_first,
    }


def test_transformer_ignores_the_future(model: dict[str, Any]) -> None:
    src, tgt = np.array([[3, 5, 1]]), np.array([[1, 2, 3, 4, 5]])
    changed = tgt.copy()
    changed[:, 3:] = 8
    before, after = reference.transformer(src, tgt, **model), reference.transformer(src, changed, **model)
    same(before[:, :3], after[:, :3])
    assert np.abs(before[:, 3:] - after[:, 3:]).max() > 1e-4


def test_transformer_padded_is_unpadded(model: dict[str, Any]) -> None:
    src, tgt = np.array([[3, 5, 1]]), np.array([[1, 2, 3, 4]])
    padded_src, padded_tgt = np.array([[3, 5, 1, 0, 0]]), np.array([[1, 2, 3, 4, 0]])
    same(
        reference.transformer(padded_src, padded_tgt, **model)[:, :4],
        reference.transformer(src, tgt, **model),
    )
    other = reference.transformer(padded_src, padded_tgt, pad_id=7, **model)[:, :4]
    assert np.abs(other - reference.transformer(src, tgt, **model)).max() > 1e-4


def test_transformer_samples_are_independent(model: dict[str, Any]) -> None:
    src, tgt = np.array([[3, 5, 1], [2, 2, 0]]), np.array([[1, 2], [4, 4]])
    both = reference.transformer(src, tgt, **model)
    same(both[1:], reference.transformer(src[1:], tgt[1:], **model))


def test_transformer_steps(model: dict[str, Any]) -> None:
    src, tgt = np.array([[3, 5, 0], [2, 2, 1]]), np.array([[1, 2, 7, 8], [4, 4, 4, 0]])
    steps = reference.transformer_steps(src, tgt, **model)
    shapes = {name: value.shape for name, value in steps.items()}
    assert shapes == {
        "src": (2, 3, 4),
        "memory": (2, 3, 4),
        "tgt": (2, 4, 4),
        "decoded": (2, 4, 4),
        "logits": (2, 4, 9),
        "encoder_attention": (2, 2, 2, 3, 3),
        "decoder_attention": (2, 2, 2, 4, 4),
        "cross_attention": (2, 2, 2, 4, 3),
    }
    for name in ("encoder_attention", "decoder_attention", "cross_attention"):
        same(steps[name].sum(axis=-1), 1)
    assert not steps["cross_attention"][:, 0, ..., 2].any()  # the padding of the first source
    table = model["parameters"]["src_embedding.weight"]
    same(
        steps["src"][0, 0], 2 * table[3] + np.array([0, 1, 0, 1])
    )  # √4 embedding + the encoding of position 0


def test_layers_in_eight_lines(model: dict[str, Any], rng: np.random.Generator) -> None:
    """encoder_layer against the same formula written with multi_head, layer_norm and linear."""
    layer = {
        name.removeprefix("encoder.layers.0."): value
        for name, value in model["parameters"].items()
        if name.startswith("encoder.layers.0.")
    }
    x = rng.standard_normal((2, 3, 4))

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return reference.layer_norm(x, layer[f"{name}.weight"], layer[f"{name}.bias"])

    def attend(x: np.ndarray) -> np.ndarray:
        w_q, w_k, w_v = np.split(layer["self_attn.in_proj_weight"], 3)
        b_q, b_k, b_v = np.split(layer["self_attn.in_proj_bias"], 3)
        w_o, b_o = layer["self_attn.out_proj.weight"], layer["self_attn.out_proj.bias"]
        return reference.multi_head(x, x, x, w_q, w_k, w_v, w_o, b_q, b_k, b_v, b_o, 2)[0]

    def network(x: np.ndarray) -> np.ndarray:
        h = x @ layer["feed_forward.linear1.weight"].T + layer["feed_forward.linear1.bias"]
        return np.maximum(h, 0) @ layer["feed_forward.linear2.weight"].T + layer["feed_forward.linear2.bias"]

    if model["norm_first"]:
        a = x + attend(norm(x, "norm1"))
        expected = a + network(norm(a, "norm2"))
    else:
        a = norm(x + attend(x), "norm1")
        expected = norm(a + network(a), "norm2")
    y, _ = reference.encoder_layer(x, layer, 2, norm_first=model["norm_first"])
    same(y, expected)


# -- the image classifier


def test_cnn_attention_classifies_each_image_alone(rng: np.random.Generator) -> None:
    """Article 000 §5.2 attends over the batch; corrected, an image does not depend on its neighbours."""
    shapes: dict[str, tuple[int, ...]] = {
        "conv1.weight": (4, 1, 3, 3),
        "conv2.weight": (5, 4, 3, 3),
        "fc1.weight": (6, 5),
        "attention.W_Q.weight": (3, 6),
        "attention.W_K.weight": (3, 6),
        "attention.W_V.weight": (3, 6),
        "attention.fc.weight": (3, 3),
        "fc.weight": (10, 3),
    }
    parameters = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    parameters |= {
        name.replace("weight", "bias"): rng.standard_normal(shape[0]) for name, shape in shapes.items()
    }
    images = rng.standard_normal((3, 1, 8, 8))
    steps = reference.cnn_attention_steps(images, parameters)
    assert steps["tokens"].shape == (3, 4, 5)
    np.testing.assert_array_equal(steps["tokens"][:, 1], steps["pool2"][:, :, 0, 1])
    assert steps["weights"].shape == (3, 4, 4)
    same(steps["weights"].sum(axis=-1), 1)
    same(reference.cnn_attention(images, parameters), steps["logits"])
    same(reference.cnn_attention(images[1:2], parameters), steps["logits"][1:2])


# -- float32 stays float32


@pytest.mark.parametrize(
    "name", ["relu", "gelu", "tanh", "sigmoid", "exp", "softmax", "log_softmax", "layer_norm"]
)
def test_float32_in_float32_out(name: str, rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 5)).astype(np.float32)
    assert getattr(reference, name)(x).dtype == np.float32
    (d_x, *_) = getattr(reference, f"{name}_backward")(x, x)
    assert d_x.dtype == np.float32


def test_attention_float32_in_float32_out(rng: np.random.Generator) -> None:
    q, k, v = (rng.standard_normal((2, 3, 4)).astype(np.float32) for _ in range(3))
    mask = reference.causal_mask(3)
    results = [*reference.scaled_dot_product(q, k, v, mask)]
    results += reference.scaled_dot_product_backward(q, q, k, v, mask)[:3]
    assert {array.dtype for array in results} == {np.dtype(np.float32)}

"""The operators of ONNX on random configurations, where the onnx package is installed.

ONNX's own reference evaluator is the judge; its layouts and attributes are put into attendo's words here,
which is what docs/semantics.md says of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import attendo as at
from tolerance import assert_close

try:
    import onnx
    from onnx.reference import ReferenceEvaluator
except ImportError:
    pytest.skip("ONNX's semantics are checked where onnx is installed", allow_module_level=True)

F32 = np.float32


def run_onnx(op: str, opset: int, inputs: dict[str, Any], num_outputs: int, **attributes: Any) -> Any:
    """The node's outputs; inputs that are None are left out."""
    given = {name: value for name, value in inputs.items() if value is not None}
    names = [name if inputs[name] is not None else "" for name in inputs]
    while names and names[-1] == "":
        names.pop()
    outputs = [f"out{i}" for i in range(num_outputs)]
    node = onnx.helper.make_node(op, names, outputs, **attributes)
    as_type = onnx.helper.np_dtype_to_tensor_dtype
    graph = onnx.helper.make_graph(
        [node],
        op,
        [onnx.helper.make_tensor_value_info(n, as_type(x.dtype), x.shape) for n, x in given.items()],
        [onnx.helper.make_tensor_value_info(o, onnx.TensorProto.FLOAT, None) for o in outputs],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    return ReferenceEvaluator(model).run(None, given)


@pytest.mark.parametrize("seed", range(60))
def test_attention(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(F32)

    batch, kv_heads, group = (int(n) for n in rng.integers(1, 4, 3))
    heads, d, d_v = kv_heads * group, int(rng.integers(1, 20)), int(rng.integers(1, 20))
    length, past = int(rng.integers(1, 40)), int(rng.choice([0, 0, 1, 7, 30]))
    new = length if past or rng.random() < 0.5 else int(rng.integers(length, 50))
    keys = past + new
    q, k, v = (
        normal(batch, heads, length, d),
        normal(batch, kv_heads, new, d),
        normal(batch, kv_heads, new, d_v),
    )
    past_key = normal(batch, kv_heads, past, d) if past else None
    past_value = normal(batch, kv_heads, past, d_v) if past else None
    attributes: dict[str, Any] = {}
    options: dict[str, Any] = {}
    if rng.random() < 0.4:
        attributes["scale"] = options["scale"] = float(F32(rng.uniform(0.1, 2)))
    if rng.random() < 0.5:
        attributes["softcap"] = options["softcap"] = float(F32(rng.uniform(0.5, 5)))
    mask: Any = None
    kind = str(rng.choice(["none", "bool", "float"]))
    shape = [(length, keys), (1, 1, length, keys), (batch, 1, length, keys), (batch, heads, length, keys)][
        int(rng.integers(4))
    ]
    parts = []
    if kind == "bool":
        mask = rng.random(shape) < 0.7
        mask[..., 0] = True  # a row without a key is zero here, and not defined by every version of ONNX
        parts.append(at.masks.dense(mask))
    elif kind == "float":
        mask = normal(*shape)
        options["bias"] = mask
    if rng.random() < 0.5:
        attributes["is_causal"] = 1
        parts.append(at.masks.causal())
        options["q_offset"] = past
    if parts:
        options["mask"] = parts[0] if len(parts) == 1 else parts[0] & parts[1]
    inputs = {"Q": q, "K": k, "V": v, "attn_mask": mask, "past_key": past_key, "past_value": past_value}
    outputs = run_onnx("Attention", 24, inputs, 4, qk_matmul_output_mode=3, **attributes)
    whole_k = k if past_key is None else np.concatenate([past_key, k], axis=2)
    whole_v = v if past_value is None else np.concatenate([past_value, v], axis=2)
    out, weights = at.attention(q, whole_k, whole_v, return_weights=True, **options)
    assert_close(out, outputs[0], scale=8)
    assert_close(weights, outputs[3], scale=8)


@pytest.mark.parametrize("seed", range(20))
def test_attention_with_an_external_cache(seed: int) -> None:
    """nonpad_kv_seqlen: each batch entry has its own length, at which the last query stands."""
    rng = np.random.default_rng(seed)
    batch, heads, d, keys = 3, 2, 8, int(rng.integers(5, 40))
    length = int(rng.integers(1, 5))
    q, k, v = (rng.standard_normal((batch, heads, n, d)).astype(F32) for n in (length, keys, keys))
    filled = rng.integers(length, keys + 1, batch)
    inputs = {"Q": q, "K": k, "V": v, "attn_mask": None, "past_key": None, "past_value": None}
    causal = bool(seed % 2)
    try:
        (expected,) = run_onnx(
            "Attention", 24, {**inputs, "nonpad_kv_seqlen": filled.astype(np.int64)}, 1, is_causal=int(causal)
        )
    except Exception as error:
        pytest.skip(f"this version of onnx does not evaluate it: {error}")
    mask = at.masks.lengths(filled)
    if causal:
        mask = mask & at.masks.causal()
    out = at.attention(q, k, v, mask=mask, q_offset=filled - length)
    if causal and not np.allclose(out, expected, atol=1e-4):
        first = at.attention(q, k, v, mask=mask, q_offset=0)
        assert_close(first, expected, scale=8)  # an older definition: the first query stands at 0
        return
    assert_close(out, expected, scale=8)


@pytest.mark.parametrize("seed", range(40))
def test_rotary_embedding(seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch, heads, length = (int(n) for n in rng.integers(1, 5, 3))
    d = 2 * int(rng.integers(1, 9))
    rotary_dim = 2 * int(rng.integers(1, d // 2 + 1))
    x = rng.standard_normal((batch, heads, length, d)).astype(F32)
    longest = 30
    cos, sin = (rng.standard_normal((longest, rotary_dim // 2)).astype(F32) for _ in range(2))
    ids = rng.integers(0, longest, (batch, length))
    interleaved = bool(rng.integers(2))
    (expected,) = run_onnx(
        "RotaryEmbedding",
        23,
        {"X": x, "cos_cache": cos, "sin_cache": sin, "position_ids": ids},
        1,
        interleaved=int(interleaved),
        rotary_embedding_dim=rotary_dim if rotary_dim < d else 0,
    )
    out = at.functional.rotary(x, ids, interleaved=interleaved, rotary_dim=rotary_dim, cos=cos, sin=sin)
    assert_close(out, expected, scale=8)


@pytest.mark.parametrize("seed", range(40))
def test_linear_attention(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rule = ["linear", "gated", "delta", "gated_delta"][seed % 4]
    batch, kv_heads, group = (int(n) for n in rng.integers(1, 4, 3))
    heads, d, d_v, length = kv_heads * group, *(int(n) for n in rng.integers(1, 12, 3))

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(F32)

    q = normal(batch, heads, length, d)
    k = normal(batch, kv_heads, length, d) * F32(d**-0.5)
    v = normal(batch, kv_heads, length, d_v)
    state = normal(batch, kv_heads, d, d_v) if rng.random() < 0.5 else None
    per_feature = bool(rng.integers(2))
    decay = (
        -np.abs(normal(batch, kv_heads, length, *([d] if per_feature else []))) if "gated" in rule else None
    )
    beta = 1 / (1 + np.exp(-normal(batch, kv_heads, length))) if "delta" in rule else None

    def flat(x: Any) -> Any:  # (B, H, T, D) -> (B, T, H D)
        x = x if x.ndim == 4 else x[..., None]
        return x.transpose(0, 2, 1, 3).reshape(batch, length, -1)

    inputs = {
        "query": flat(q),
        "key": flat(k),
        "value": flat(v),
        "past_state": state,
        "decay": None if decay is None else flat(decay),
        "beta": None if beta is None else flat(beta),
    }
    attributes: dict[str, Any] = {"q_num_heads": heads, "kv_num_heads": kv_heads, "update_rule": rule}
    options: dict[str, Any] = {}
    if rng.random() < 0.5:
        attributes["scale"] = options["scale"] = float(F32(rng.uniform(0.1, 2)))
    try:
        expected, present = run_onnx("LinearAttention", 27, inputs, 2, **attributes)
    except Exception as error:
        pytest.skip(f"this version of onnx has no LinearAttention: {error}")
    out, last = at.functional.linear_attention(
        q, k, v, rule=rule, decay=decay, beta=beta, state=state, return_state=True, chunk_size=4, **options
    )
    assert_close(flat(out), expected, scale=64)
    assert_close(last, present, scale=64)

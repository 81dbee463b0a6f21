"""Linear attention: every rule against the recurrence written out, in all forms, and what rules promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attendo as at
from attendo import reference
from inputs import DTYPES, SIZES, between, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

linear_attention = at.functional.linear_attention


def unit(*shape):
    """Keys of length 1, as the delta rule wants them."""

    def make(rng):
        x = rng.standard_normal(shape)
        return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9)

    return make


def joined(out, state):
    """Both results in one row."""
    if isinstance(out, at.Tensor):
        return at.functional.concatenate([out.reshape(-1), state.reshape(-1)])
    return np.concatenate([out.ravel(), state.ravel()])


def masked(lengths):
    return None if lengths is None else at.masks.lengths(lengths)


def both(q, k, v, decay=None, beta=None, state=None, lengths=None, **options):
    return joined(
        *linear_attention(
            q,
            k,
            v,
            decay=decay,
            beta=beta,
            state=state,
            mask=masked(lengths),
            return_state=True,
            **options,
        )
    )


def by_reference(*inputs, chunk_size=64, **options):
    return joined(*reference.linear_attention(*inputs, **options))


def backward(d_y, q, k, v, *others, chunk_size=64, **options):
    size = q[..., 0].size * v.shape[-1]
    d_out = d_y[:size].reshape(*q.shape[:-1], v.shape[-1])
    return reference.linear_attention_backward(d_out, q, k, v, *others, **options, d_state=d_y[size:])


def tokens(length, rule, d=6, d_v=5, heads=4, kv_heads=2, per_feature=False, state=True, **options):
    """A case of a rule, with all inputs it takes."""
    lead = (2, kv_heads, length)
    return case(
        (2, heads, length, d),
        unit(*lead, d),
        (*lead, d_v),
        between(-1.5, 0, *lead, *([d] if per_feature else [])) if "gated" in rule else None,
        between(0, 1, *lead) if "delta" in rule else None,
        (2, kv_heads, d, d_v + options.get("normalize", False)) if state else None,
        rule=rule,
        **options,
    )


RULES = ("linear", "gated", "delta", "gated_delta")
LENGTHS = [n for n in SIZES if n < 70]
EXTREME = np.array([0.0, -1e30, -0.1, -np.inf, 0.0, -800.0, -1e-30, -0.3, -60.0])
CASES = [
    tokens(9, "gated_delta"),
    *(tokens(9, rule) for rule in RULES),
    *(tokens(n, "gated_delta", state=False, chunk_size=16) for n in LENGTHS),
    *(tokens(n, "linear", state=False) for n in LENGTHS),
    *(tokens(n, "gated_delta", per_feature=True) for n in (0, 1, 7, 16, 17, 40)),
    tokens(33, "gated", per_feature=True, chunk_size=5),
    *(tokens(33, rule, chunk_size=n) for rule in RULES for n in (1, 2, 10, 10**9)),
    *(tokens(5, "gated_delta", d=n) for n in (1, 3, 17, 33)),
    *(tokens(5, "gated_delta", d_v=n) for n in (1, 3, 17, 65)),
    *(tokens(9, rule, heads=6, kv_heads=kv) for rule in ("linear", "gated_delta") for kv in (1, 3, 6)),
    *(tokens(9, rule, scale=s) for rule, s in [("linear", 0.0), ("delta", -2.0)]),
    *(tokens(9, rule, lengths=n, chunk_size=4) for rule in RULES for n in ([9, 3], [0, 6])),
    tokens(9, "gated_delta", per_feature=True, lengths=[2, 9]),
    tokens(9, "linear", d_v=0),
    # ranks 2, 3 and 5
    case((9, 6), unit(9, 6), (9, 5), between(-1, 0, 9), between(0, 1, 9), (6, 5), rule="gated_delta"),
    case((9, 6), unit(9, 6), (9, 5), between(-1, 0, 9, 6), between(0, 1, 9), None, rule="gated_delta"),
    case((4, 9, 6), (2, 9, 6), (2, 9, 5), between(-1, 0, 2, 9), None, None, rule="gated"),
    case((2, 2, 2, 9, 6), (2, 2, 1, 9, 6), (2, 2, 1, 9, 5), None, None, None),
    # gates at their ends
    case(
        (1, 9, 6),
        unit(1, 9, 6),
        (1, 9, 5),
        None,
        np.array([[0.0, 1, 1, 0, 0, 1, 0, 1, 1]]),
        None,
        rule="delta",
    ),
    case((1, 9, 6), unit(1, 9, 6), (1, 9, 5), EXTREME[None], None, (1, 6, 5), rule="gated").but_not(
        "central_differences"
    ),
    case(
        (1, 9, 4),
        unit(1, 9, 4),
        (1, 9, 5),
        np.stack([EXTREME, EXTREME[::-1], 0 * np.arange(9), EXTREME], -1)[None],
        between(0, 1, 1, 9),
        (1, 4, 5),
        rule="gated_delta",
    ).but_not("central_differences"),
    # normalized, feature maps, no order
    *(tokens(n, "linear", normalize=True, feature_map="elu", state=False) for n in (0, 1, 9, 65)),
    tokens(9, "gated", normalize=True, feature_map="elu", state=False),
    tokens(9, "gated", normalize=True, feature_map="elu", state=False, lengths=[4, 9]),
    tokens(9, "linear", normalize=True, feature_map="relu", state=False).but_not("central_differences"),
    tokens(9, "delta", feature_map="relu"),
    tokens(9, "linear", causal=False),
    tokens(9, "linear", causal=False, normalize=True, feature_map="elu", state=False, lengths=[9, 0]),
    *(
        case((2, 4, n, 6), (2, 2, m, 6), (2, 2, m, 5), None, None, None, causal=False, **options)
        for n, m in [(7, 12), (12, 7), (0, 3), (3, 0)]
        for options in ({}, {"normalize": True, "feature_map": "elu"})
    ),
    case((0, 2, 9, 6), (0, 2, 9, 6), (0, 2, 9, 5), None, None, None),
    case((2, 0, 9, 6), (2, 0, 9, 6), (2, 0, 9, 5), between(-1, 0, 2, 0, 9), None, None, rule="gated"),
]


class TestLinearAttention(
    op_tests(
        "linear_attention",
        "q k v decay beta state",
        CASES,
        large=[
            tokens(300, "gated_delta", d=16, d_v=20),
            tokens(150, "gated", d=16, d_v=20, per_feature=True),
            # few heads: the columns of the values are cut
            case(
                (500, 64),
                unit(500, 64),
                (500, 70),
                between(-1, 0, 500),
                between(0, 1, 500),
                None,
                rule="gated_delta",
            ),
            case((1, 2, 600, 32), (1, 1, 600, 32), (1, 1, 600, 65), None, None, None).of_scale(100.0),
        ],
        function=both,
        reference_function=by_reference,
        backward=backward,
        errors=[
            wrong((4,), (5, 4), (5, 4), says="q has shape (4,) but must have at least 2 axes"),
            wrong((5, 4), (1, 5, 4), (5, 4), says="k has shape (1, 5, 4) but q has shape (5, 4)"),
            wrong((5, 64), (5, 32), (5, 64), says="key has 32 features but query has 64"),
            wrong((5, 4), (5, 4), (6, 4), says="value has 6 positions but key has 5"),
            wrong(
                (3, 5, 4), (2, 5, 4), (2, 5, 4), says="query has 3 heads, which is not a multiple of key's 2"
            ),
            wrong((5, 4), (7, 4), (7, 4), says="query has 5 positions and key has 7"),
            wrong((5, 4), (5, 4), (5, 4), rule="gated", says="decay is missing, which rule 'gated' needs"),
            wrong((5, 4), (5, 4), (5, 4), (5,), rule="gated_delta", says="beta is missing"),
            wrong((5, 4), (5, 4), (5, 4), (5,), says="decay is given, but rule 'linear' has none"),
            wrong((5, 4), (5, 4), (5, 4), None, (5,), says="beta is given, but rule 'linear' has none"),
            wrong(
                (5, 4),
                (5, 4),
                (5, 4),
                (4,),
                rule="gated",
                says="decay has shape (4,) but must have shape (5,) or",
            ),
            wrong((5, 4), (5, 4), (5, 4), (5, 3), rule="gated", says="decay has shape (5, 3)"),
            wrong(
                (5, 4), (5, 4), (5, 4), None, (5, 4), rule="delta", says="beta has shape (5, 4) but must have"
            ),
            wrong(
                (5, 4),
                (5, 4),
                (5, 4),
                None,
                None,
                (5, 4),
                says="state has shape (5, 4) but must have shape (4, 4)",
            ),
            wrong((5, 4), (5, 4), (5, 4), None, None, (4, 4), normalize=True, says="state has shape (4, 4)"),
            wrong((5, 4), (5, 4), (5, 4), None, (5,), rule="delta", normalize=True, says="normalize divides"),
            wrong(
                (5, 4), (5, 4), (5, 4), normalize=True, scale=1.0, says="scale is given, but with normalize"
            ),
            wrong(
                (5, 4),
                (5, 4),
                (5, 4),
                (5,),
                rule="gated",
                causal=False,
                says="causal is False, but rule 'gated'",
            ),
            wrong((5, 4), (5, 4), (5, 4), scale=np.nan, says="scale is nan"),
            wrong((5, 4), (5, 4), (5, 4), chunk_size=0, says="chunk_size is 0 but must be 1 or more"),
            wrong((5, 4), (5, 4), (5, 4), chunk_size=1.5, raises=TypeError, says="chunk_size is a float"),
            wrong(
                (5, 4),
                (5, 4),
                (5, 4),
                rule="softmax",
                says="rule is 'softmax' but must be 'linear', 'gated', 'delta' or",
            ),
            wrong((5, 4), (5, 4), (5, 4), rule=None, raises=TypeError, says="rule is None"),
            wrong(
                (5, 4),
                (5, 4),
                (5, 4),
                feature_map="gelu",
                says="feature_map is 'gelu' but must be 'elu' or 'relu'",
            ),
            wrong(None, (5, 4), (5, 4), raises=TypeError, says="q is None"),
        ],
        huge=lambda: (
            np.zeros((2**23, 1)),
            np.zeros((2**23, 1)),
            np.zeros((2**23, 0)),
            None,
            None,
            np.broadcast_to(np.float64(0), (1, 2**40)),
            {},
        ),
    )
):
    # Whether an inf becomes a NaN on its way depends on the order of the sums, in which the forms differ:
    # test_an_output_ignores_the_future and the two tests after it say where either may go.
    test_nan_and_inf_go_where_they_belong = None


def some(length, rule="gated_delta", dtype=np.float64, **options):
    arrays = tokens(length, rule, **options).arrays(dtype)
    return dict(zip(("q", "k", "v", "decay", "beta", "state"), arrays, strict=True)) | {"rule": rule}


def part(given, begin, end):
    """The tokens from begin to end."""
    axis = {"q": -2, "k": -2, "v": -2, "decay": 2, "beta": 2}
    return {
        name: np.take(x, range(begin, end), axis[name]) if name in axis and x is not None else x
        for name, x in given.items()
    }


# -------------------------------------------------------------------------------------------------- the forms


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("per_feature", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_token_by_token_and_in_chunks_agree(rule, per_feature, dtype):
    given = some(100, rule, dtype, per_feature=per_feature and "gated" in rule, d=16, d_v=16)
    expected, last = linear_attention(**given, return_state=True, chunk_size=1)
    for size in (3, 16, 64, 100):
        out, state = linear_attention(**given, return_state=True, chunk_size=size)
        assert_close(out, expected, dtype)
        assert_close(state, last, dtype)


@given(st.sampled_from(RULES), st.integers(0, 40), st.integers(0, 40), st.integers(1, 20))
def test_two_halves_are_the_whole(rule, first, second, chunk):
    given = some(first + second, rule)
    whole, last = linear_attention(**given, return_state=True, chunk_size=chunk)
    left, state = linear_attention(**part(given, 0, first), return_state=True)
    right, state = linear_attention(
        **part(given, first, first + second) | {"state": state}, return_state=True
    )
    assert_close(np.concatenate([left, right], axis=-2), whole)
    assert_close(state, last)


def test_decoding_one_token_at_a_time_is_the_whole():
    given = some(12)
    expected = linear_attention(**given)
    state = given["state"]
    for t in range(12):
        out, state = linear_attention(**part(given, t, t + 1) | {"state": state}, return_state=True)
        assert_close(out[..., 0, :], expected[..., t, :])


@pytest.mark.parametrize("rule", RULES)
def test_the_gradient_goes_through_a_state_that_is_handed_over(rule):
    names = [name for name, x in some(10, rule).items() if isinstance(x, np.ndarray)]

    def gradients(halves):
        given = some(10, rule)
        leaves = {name: at.tensor(given[name], requires_grad=True) for name in names}
        if halves:
            key = {"q": np.s_[..., :4, :], "k": np.s_[..., :4, :], "v": np.s_[..., :4, :]}
            rest = {name: np.s_[..., 4:, :] for name in key}
            gates = [name for name in ("decay", "beta") if name in leaves]
            left = {n: leaves[n][key.get(n, np.s_[..., :4])] for n in [*key, *gates]}
            right = {n: leaves[n][rest.get(n, np.s_[..., 4:])] for n in [*key, *gates]}
            first, state = linear_attention(**left, rule=rule, state=leaves["state"], return_state=True)
            second, state = linear_attention(**right, rule=rule, state=state, return_state=True)
            out = at.functional.concatenate([first, second], axis=-2)
        else:
            out, state = linear_attention(**leaves, rule=rule, return_state=True)
        ((out * out).sum() + (state * state).sum()).backward()
        return {name: leaf.grad.numpy() for name, leaf in leaves.items()}

    whole, halves = gradients(False), gradients(True)
    for name in names:
        assert_close(halves[name], whole[name], scale=10 * np.abs(whole[name]).max(), what=name)


def test_one_head_of_gates_stands_for_all():
    given = some(9)
    decay, beta = given.pop("decay")[:, :1], given.pop("beta")[:, :1]
    expected = linear_attention(**given, decay=np.repeat(decay, 2, 1), beta=np.repeat(beta, 2, 1))
    assert_same_bits(linear_attention(**given, decay=decay, beta=beta[..., None]), expected)
    leaf = at.tensor(beta, requires_grad=True)
    linear_attention(**given, decay=decay, beta=leaf).sum().backward()
    assert leaf.grad.shape == beta.shape


def test_a_decay_alike_for_all_features_is_one_of_the_head():
    given = some(40)
    expected = linear_attention(**given)
    given["decay"] = np.repeat(given["decay"][..., None], 6, -1)
    assert_close(linear_attention(**given), expected)


def test_a_function_as_feature_map():
    given = some(9, "linear", state=False)
    expected = linear_attention(**given, feature_map="relu", normalize=True)
    assert_same_bits(linear_attention(**given, feature_map=at.functional.relu, normalize=True), expected)


def test_masks_say_what_flags_say():
    given = some(9, "linear", state=False)
    expected = linear_attention(**given)
    assert_same_bits(linear_attention(**given, mask=at.masks.causal()), expected)
    assert_same_bits(linear_attention(**given, causal=False, mask=at.masks.causal()), expected)
    lengths = at.masks.lengths([4, 9])
    assert_same_bits(
        linear_attention(**given, mask=lengths & at.masks.causal(), causal=False),
        linear_attention(**given, mask=lengths),
    )


@pytest.mark.parametrize(
    "mask",
    [
        ~at.masks.causal(),
        at.masks.causal() | at.masks.lengths([3, 3]),
        at.masks.dense(np.eye(9, dtype=bool)),
        np.ones((9, 9), bool),
    ],
    ids=["not causal", "or", "dense", "array"],
)
def test_other_masks_are_refused(mask):
    for q in (some(9, "linear")["q"], at.tensor(some(9, "linear")["q"])):
        with pytest.raises(ValueError, match=r"^linear_attention: mask is .* the weights are never formed"):
            linear_attention(**some(9, "linear") | {"q": q}, mask=mask)


@pytest.mark.parametrize(
    ("lengths", "says"), [([5], "has 1 entries but the batch has 2"), ([9, 10], "holds 10")]
)
def test_lengths_that_do_not_fit(lengths, says):
    with pytest.raises(ValueError, match=rf"lengths {says}"):
        linear_attention(**some(9), mask=at.masks.lengths(lengths))


def test_a_mask_that_is_numbers():
    with pytest.raises(TypeError, match=r"^linear_attention: mask has dtype float64 but must be bool"):
        linear_attention(**some(9), mask=np.zeros((9, 9)))


# ------------------------------------------------------------------------------------- what the rules promise


def test_not_causal_and_normalized_is_the_quotient_of_the_paper():
    q, k, v = np.random.default_rng(0).standard_normal((3, 2, 3, 8, 5))
    phi_q, phi_k = (np.where(x > 0, x + 1, np.exp(x)) for x in (q, k))
    weights = phi_q @ np.swapaxes(phi_k, -1, -2)
    expected = weights / weights.sum(-1, keepdims=True) @ v
    assert_close(linear_attention(q, k, v, feature_map="elu", normalize=True, causal=False), expected)
    weights = np.tril(weights)
    expected = weights / weights.sum(-1, keepdims=True) @ v
    assert_close(linear_attention(q, k, v, feature_map="elu", normalize=True), expected)


@given(st.integers(1, 70), st.integers(0, 2**16), st.floats(0.01, 30))
def test_a_normalized_output_stays_within_the_values(length, seed, size):
    q, k, v = size * np.random.default_rng(seed).standard_normal((3, length, 4))
    out = linear_attention(q, k, v, feature_map="elu", normalize=True)
    slack = 1e-9 * np.abs(v).max()
    assert (out >= np.minimum.accumulate(v) - slack).all() and (out <= np.maximum.accumulate(v) + slack).all()


def test_the_delta_rule_replaces_where_the_linear_rule_adds():
    key = np.array([0.6, 0.8, 0.0])
    k, v = np.stack([key, [0.8, -0.6, 0], key]), np.array([[1.0, 2.0], [7.0, 7.0], [-3.0, 5.0]])
    q = np.stack([key] * 3)
    delta = linear_attention(q, k, v, rule="delta", beta=np.ones(3), scale=1.0)
    assert_close(delta[2], v[2])
    assert_close(linear_attention(q, k, v, scale=1.0)[2], v[0] + v[2])


@pytest.mark.parametrize("rule", ["delta", "gated_delta"])
def test_beta_0_writes_nothing(rule):
    given = some(20, rule) | {"beta": np.zeros((2, 2, 20))}
    given["decay"] = None if rule == "delta" else np.zeros((2, 2, 20))
    _, state = linear_attention(**given, return_state=True)
    assert_same_bits(state, given["state"])


def test_forgetting_everything_leaves_the_last_token():
    given = some(20, "gated", state=False) | {"decay": np.full((2, 2, 20), -np.inf)}
    q, k, v = given["q"], np.repeat(given["k"], 2, 1), np.repeat(given["v"], 2, 1)
    expected = (q * k).sum(-1, keepdims=True) * v / np.sqrt(6)
    assert_close(linear_attention(**given), expected)


def test_no_decay_is_the_rule_without():
    for with_decay, without in (("gated", "linear"), ("gated_delta", "delta")):
        given = some(30, without)
        expected = linear_attention(**given)
        assert_close(
            linear_attention(**given | {"rule": with_decay, "decay": np.zeros((2, 2, 30))}), expected
        )


@given(st.sampled_from(RULES), st.integers(2, 70), st.integers(0, 68), st.sampled_from([np.nan, np.inf, 5.0]))
def test_an_output_ignores_the_future(rule, length, position, value):
    position = min(position, length - 1)
    given = some(length, rule)
    before = linear_attention(**given)
    for name in ("q", "k", "v"):
        given[name][..., position, :] = value
    with np.errstate(all="ignore"):
        after = linear_attention(**given)
    assert_close(after[..., :position, :], before[..., :position, :])
    assert not np.array_equal(after[..., position, :], before[..., position, :])
    if value != 5.0:
        assert not np.isfinite(after[..., position:, :]).any()


@pytest.mark.parametrize("rule", RULES)
def test_a_nan_in_the_gradient_stays_with_the_keys_before_it(rule):
    def gradients(bad):
        given = some(20, rule)
        leaves = {name: at.tensor(given[name], requires_grad=True) for name in ("q", "k", "v")}
        out = linear_attention(**given | leaves)
        d_out = np.ones(out.shape)
        if bad:
            d_out[:, :, 7] = np.nan
        out.backward(d_out)
        return [leaf.grad.numpy() for leaf in leaves.values()]

    for got, expected in zip(gradients(True), gradients(False), strict=True):
        assert_close(got[..., 8:, :], expected[..., 8:, :], scale=10.0)
        assert np.isnan(got[..., 7, :]).any()


ELU = {"feature_map": "elu", "normalize": True}


@pytest.mark.parametrize(
    ("rule", "options"),
    [*((rule, {}) for rule in RULES), ("linear", ELU), ("gated", ELU), ("linear", {"causal": False})],
    ids=str,
)
def test_nothing_leaks_out_of_the_padding(rule, options):
    mask = at.masks.lengths([4, 0])

    def run(bad):
        given = some(9, rule, state=False)
        for name in ("k", "v", "decay", "beta"):
            if given[name] is not None:
                given[name][0, :, 4:], given[name][1] = bad, bad
        leaves = {n: at.tensor(x, requires_grad=True) for n, x in given.items() if isinstance(x, np.ndarray)}
        out, state = linear_attention(**given | leaves, mask=mask, return_state=True, **options)
        (out.sum() + state.sum()).backward()
        return [out, state, *(leaf.grad for leaf in leaves.values())]

    for got, expected in zip(run(np.nan), run(0.5), strict=True):
        assert_same_bits(got, expected)
    assert not run(np.nan)[0].numpy()[1].any()  # nothing to attend to: zeros


def test_padding_ends_where_the_sequence_would():
    given = some(9)
    _, padded = linear_attention(**given, mask=at.masks.lengths([5, 5]), return_state=True)
    _, state = linear_attention(**part(given, 0, 5), return_state=True)
    assert_close(padded, state)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_no_tokens_leave_the_state_alone(dtype):
    given = some(0, dtype=dtype)
    out, state = linear_attention(**given, return_state=True)
    assert out.shape == (2, 4, 0, 5)
    assert_same_bits(state, given["state"])


@pytest.mark.parametrize("rule", RULES)
def test_the_tape_keeps_no_states(rule):
    given = some(2048, rule, np.float32, d=32, d_v=32)
    tensors = {n: at.tensor(x, requires_grad=True) for n, x in given.items() if isinstance(x, np.ndarray)}
    before = at.memory_stats()["live_bytes"]
    out, state = linear_attention(**given | tensors, return_state=True)
    kept = at.memory_stats()["live_bytes"] - before
    assert kept < 1.3 * (out.numpy().nbytes + state.numpy().nbytes)


@pytest.mark.parametrize("rule", RULES)
def test_no_features_give_zeros(rule):
    given = some(9, rule, state=False) | {"q": np.zeros((2, 4, 9, 0)), "k": np.zeros((2, 2, 9, 0))}
    assert not linear_attention(**given).any()
    out, state = linear_attention(**given, return_state=True)
    assert out.shape == (2, 4, 9, 5) and state.shape == (2, 2, 0, 5)


def test_the_difference_between_the_types_is_rounding():
    single, double = some(200, dtype=np.float32), some(200)
    assert_close(linear_attention(**single), linear_attention(**double), np.float32)

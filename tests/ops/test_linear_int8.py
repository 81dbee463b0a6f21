"""linear_int8: y = x Ŵᵀ + b with Ŵ of eight-bit numbers; and modules that hold their matrices so."""

import os
import subprocess
import sys

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, SIZES, THREADS, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits, eps


def numbers(out, features):
    return np.random.default_rng(5).integers(-127, 128, (out, features)).astype(np.int8)


def of(rows, features, out, bias=True):
    """The scales are such that the result is of the size of x."""
    scales = 1 / 128 / max(1, features) ** 0.5
    return case(
        (*rows, features),
        numbers(out, features),
        lambda rng: scales * rng.uniform(0.5, 1.5, (out, -(-features // 64))),
        (out,) if bias else None,
    )


Checks = op_tests(
    "linear_int8",
    "x weight scales bias",
    [
        of((2, 3), 70, 5),
        of((), 7, 3),
        of((2, 1, 3), 4, 5, bias=False),
        *(of((n,), 70, 5) for n in SIZES),
        *(of((6,), n, 5) for n in SIZES),
        *(of((3,), 9, n) for n in SIZES),
        of((1,), 768, 9),
        of((33,), 200, 65),
    ],
    large=[of((1,), 1000, 1500), of((5,), 700, 900, bias=False), of((300,), 500, 2500)],
    constants="scales",
    errors=[
        wrong((4, 3), numbers(5, 2), (5, 1), None, says="x has 3 features but weight expects 2"),
        wrong((), numbers(5, 2), (5, 1), None, says="x has shape () but must have at least 1 axis"),
        wrong((4, 3), numbers(5, 3)[0], (5, 1), None, says="weight has shape (3,) but must have 2 axes"),
        wrong((4, 3), numbers(5, 3), (5, 2), None, says="scales has shape (5, 2) but must have shape (5, 1)"),
        wrong(
            (4, 65), numbers(5, 65), (5, 1), None, says="scales has shape (5, 1) but must have shape (5, 2)"
        ),
        wrong((4, 3), numbers(5, 3), (5, 1), (4,), says="bias has shape (4,) but must have shape (5,)"),
        wrong(
            (4, 3),
            (5, 3),
            (5, 1),
            None,
            raises=TypeError,
            says="weight is a ndarray but must be an array of int8",
        ),
        wrong((4, 3), numbers(5, 3), None, None, raises=TypeError, says="scales is None"),
        wrong(None, numbers(5, 3), (5, 1), None, raises=TypeError, says="x is None"),
    ],
)


class TestLinearInt8(Checks):
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
    def test_nan_and_inf_go_where_they_belong(self, value, argument, dtype):
        """An infinite scale says nothing: what it makes of a sum would depend on the order of the sum."""
        if argument != "scales" or np.isnan(value):
            super().test_nan_and_inf_go_where_they_belong(value, argument, dtype)
            return
        arrays = self.op.cases[0].arrays(dtype)
        arrays[2].flat[3] = value
        with pytest.raises(ValueError, match=r"linear_int8: scales holds -?inf but must hold finite numbers"):
            self.op.function(*arrays, **self.op.cases[0].options)


TestLinearInt8.test_lists_are_float64 = None  # a list has no int8


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(5, 64), (3, 200), (1, 1), (0, 5), (4, 0), (70, 1000)])
def test_quantize_is_the_reference(shape, dtype):
    weight = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    got, scales = at.functional.quantize_int8(weight)
    expected, expected_scales = reference.quantize_int8(weight.astype(np.float64))
    assert got.dtype == np.int8 and scales.dtype == dtype
    np.testing.assert_array_equal(got, expected)
    assert_close(scales, expected_scales, dtype)


@pytest.mark.parametrize("rows", [1, 3, 16, 17, 70])
def test_the_error_is_at_most_half_a_step_of_each_weight(rows):
    rng = np.random.default_rng(rows)
    x, weight = rng.standard_normal((rows, 300)), rng.standard_normal((90, 300))
    got, scales = at.functional.quantize_int8(weight)
    y = at.functional.linear_int8(x, got, scales)
    each = np.repeat(scales, 64, axis=1)[:, :300]
    bound = np.abs(x) @ each.T / 2
    error = np.abs(y - x @ weight.T)
    assert (error <= bound + 40 * eps(np.float64) * np.abs(x) @ np.abs(weight.T)).all()
    assert error.max() > bound.max() / 1000  # it is there


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_row_does_not_depend_on_the_others(dtype):
    """As many as decoding has: to the bit, in floats and in eight bits."""
    rng = np.random.default_rng(1)
    x, weight = (rng.standard_normal(shape).astype(dtype) for shape in ((16, 333), (50, 333)))
    matrix = at.functional.quantize_int8(weight)
    for function in (
        lambda x: at.functional.linear(x, weight),
        lambda x: at.functional.linear_int8(x, *matrix),
    ):
        together = function(x)
        for n in (1, 2, 3, 5, 8):
            assert_same_bits(function(x[:n]), together[:n])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_where_it_is(bad):
    rng = np.random.default_rng(2)
    weight = rng.standard_normal((5, 130))
    weight[3, 70] = bad
    got, scales = at.functional.quantize_int8(weight)
    nan = np.zeros((5, 3), bool)
    nan[3, 1] = True
    np.testing.assert_array_equal(np.isnan(scales), nan)
    for rows in (1, 20):
        y = at.functional.linear_int8(rng.standard_normal((rows, 130)), got, scales)
        np.testing.assert_array_equal(np.isnan(y), np.tile([False, False, False, True, False], (rows, 1)))
    x = rng.standard_normal((2, 130))
    x[1, 5] = bad
    matrix = at.functional.quantize_int8(rng.standard_normal((5, 130)))
    y = at.functional.linear_int8(x, *matrix)
    assert np.isfinite(y[0]).all() and not np.isfinite(y[1]).any()


OTHER_ISA = """
import numpy as np, attendo as at
rng = np.random.default_rng(0)
x, weight = rng.standard_normal((5, 333)), rng.standard_normal((9, 333))
matrix, scales = at.functional.quantize_int8(weight)
y = at.functional.linear_int8(x, matrix, scales)
print(*matrix.ravel(), *y.ravel(), *at.functional.linear(x, weight).ravel())
"""


@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_every_instruction_set_gives_the_same(isa):
    outputs = []
    for name in (isa, "avx512"):
        environment = {**os.environ, "ATTENDO_ISA": name}
        command = [sys.executable, "-c", OTHER_ISA]
        text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        outputs.append(np.array([float(x) for x in text.split()]))
    assert_same_bits(outputs[0][: 9 * 333], outputs[1][: 9 * 333])
    assert_close(outputs[0], outputs[1])


# ---------------------------------------------------------------------------------------------------- modules


def language_model(**options):
    options = {"norm_first": True, "positions": "learned", "tie_weights": True, **options}
    return at.models.DecoderLM(50, 64, 4, 2, max_len=24, dff=96, seed=0, **options).eval()


@pytest.mark.parametrize("tie_weights", [True, False])
def test_a_model_in_eight_bits_is_near_the_one_in_floats(tie_weights):
    model, ids = language_model(tie_weights=tie_weights), np.random.default_rng(0).integers(0, 50, (2, 20))
    with at.no_grad():
        before = model(ids).numpy()
        assert model.to_int8() is model
        after = model(ids).numpy()
    error = np.abs(after - before).max()
    assert 0 < error < 0.05 * before.std()


def test_it_computes_with_the_rounded_weights():
    """As the model in floats does whose matrices are the rounded ones."""
    model = language_model()
    ids = np.random.default_rng(0).integers(0, 50, (2, 20))
    rounded = {}
    for name, value in model.state_dict().items():
        matrix = value.ndim == 2 and "position" not in name
        rounded[name] = reference.dequantize_int8(*reference.quantize_int8(value)) if matrix else value
    int8 = language_model().to_int8()
    model.load_state_dict(rounded)
    with at.no_grad():
        assert_close(int8(ids), model(ids).numpy(), scale=100)
    np.testing.assert_array_equal(
        int8.generate(ids[:, :5], max_new_tokens=8), model.generate(ids[:, :5], max_new_tokens=8)
    )


def test_memory_falls():
    bytes_of = lambda model: sum(x.nbytes for x in model.state_dict().values())  # noqa: E731
    floats = bytes_of(language_model())
    assert bytes_of(language_model().to_int8()) < 0.35 * floats
    model = at.nn.Linear(4096, 1024)
    live = at.memory_stats()["live_bytes"]
    model.to_int8()
    assert at.memory_stats()["live_bytes"] <= live - 0.7 * 4 * 4096 * 1024


def test_it_is_saved_and_loaded(tmp_path):
    model = language_model().to_int8()
    ids = np.random.default_rng(0).integers(0, 50, (1, 6))
    model.save(tmp_path / "model.safetensors")
    again = at.load(tmp_path / "model.safetensors")
    for name, value in model.state_dict().items():
        assert_same_bits(again.state_dict()[name], value)
    np.testing.assert_array_equal(
        again.generate(ids, max_new_tokens=5), model.generate(ids, max_new_tokens=5)
    )
    assert os.path.getsize(tmp_path / "model.safetensors") < 0.5 * 4 * model.num_parameters()


def test_states_of_floats_and_of_int8():
    floats, int8 = at.nn.Linear(70, 5, seed=0), at.nn.Linear(70, 5, seed=1).to_int8()
    state = floats.state_dict()
    int8.load_state_dict(state)  # rounded on the way
    expected = at.nn.Linear(70, 5, seed=0).to_int8().state_dict()
    for name, value in int8.state_dict().items():
        assert_same_bits(value, expected[name])
    with pytest.raises(
        TypeError, match=r"weight has dtype int8 but the module is float32: call its to_int8\(\)"
    ):
        floats.load_state_dict({name: x for name, x in expected.items() if name != "weight_scales"})
    with pytest.raises(ValueError, match="there is no weight_scales"):
        int8.load_state_dict({name: x for name, x in expected.items() if name != "weight_scales"})
    with pytest.raises(ValueError, match="weight has shape"):
        int8.load_state_dict({**expected, "weight": expected["weight"][:, :3]})
    with pytest.raises(TypeError, match="must be int8"):
        int8.load_state_dict({**expected, "weight": state["weight"]})


def test_it_cannot_be_trained():
    model = language_model().to_int8()
    with pytest.raises(ValueError, match="is int8, which cannot be trained"):
        at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam()).fit(
            np.zeros((4, 5), int), np.zeros((4, 5), int), epochs=1, progress=False
        )
    with pytest.raises(ValueError, match="reset_parameters: the module is int8"):
        model.reset_parameters(0)
    with pytest.raises(TypeError, match="int8"):
        at.functional.relu(model.embedding.weight)
    # The input still has its gradient.
    layer = at.nn.Linear(70, 5, seed=0).to_int8()
    x = at.tensor(np.ones((2, 70), np.float32), requires_grad=True)
    layer(x).sum().backward()
    weight = reference.dequantize_int8(layer.state_dict()["weight"], layer.state_dict()["weight_scales"])
    assert_close(x.grad.numpy(), np.broadcast_to(weight.sum(axis=0), (2, 70)), scale=10)


def test_same_bits_on_any_number_of_threads():
    model = language_model(dtype="float64").to_int8()
    ids = np.random.default_rng(0).integers(0, 50, (3, 20))
    outputs = []
    for threads in THREADS:
        at.set_num_threads(threads)
        with at.no_grad():
            outputs.append(model(ids).numpy())
    for other in outputs[1:]:
        assert_same_bits(other, outputs[0])


def test_checkpoints_are_read_into_eight_bits(tmp_path):
    model = language_model(activation="gelu_tanh", scale_embeddings=False)
    model.save_pretrained(tmp_path)
    int8 = at.models.load_pretrained(tmp_path, weights="int8")
    expected = model.to_int8().state_dict()
    assert int8.state_dict().keys() == expected.keys()
    for name, value in int8.state_dict().items():
        assert_same_bits(value, expected[name])
    with pytest.raises(ValueError, match=r"save_pretrained: embedding\.weight is int8"):
        int8.save_pretrained(tmp_path / "again")
    with pytest.raises(ValueError, match="weights is 'int4' but must be 'float' or 'int8'"):
        at.models.load_pretrained(tmp_path, weights="int4")

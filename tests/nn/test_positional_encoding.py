"""Sinusoidal and learned positional encodings."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, SIZES
from layer_check import check_layer, randomized
from tolerance import assert_close, assert_same_bits


def array(*shape, dtype=np.float64):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("d_model", [1, 2, 7, 64])
def test_sinusoidal_table(d_model, dtype):
    module = at.nn.SinusoidalPositionalEncoding(d_model, 100, dtype=str(dtype))
    expected = reference.sinusoidal_positional_encoding(100, d_model)
    assert_close(module.table, expected, dtype, scale=100.0)  # the angles are as large as the positions
    assert not module.table.flags.writeable
    assert module.parameters() == [] and module.state_dict() == {}


@pytest.mark.parametrize("offset", [0, 3])
@pytest.mark.parametrize("length", [n for n in SIZES if n <= 64])
def test_sinusoidal(length, offset):
    module, x = at.nn.SinusoidalPositionalEncoding(6, 70, dtype="float64"), array(2, length, 6)
    table = reference.sinusoidal_positional_encoding(70, 6)
    tensor = at.tensor(x, requires_grad=True)
    y = module(tensor, offset=offset)
    assert_close(y, reference.positional_encoding(x, table, offset))
    d_y = array(2, length, 6)
    y.backward(d_y)
    assert_same_bits(tensor.grad, d_y)


def test_the_sinusoidal_table_grows_as_it_is_needed():
    """Whatever was asked for before, also by many threads at once."""
    expected = reference.sinusoidal_positional_encoding(3000, 6)
    module = at.nn.SinusoidalPositionalEncoding(6, 3000, dtype="float64")

    def row(position):
        return module(np.zeros((1, 1, 6)), offset=position).numpy()[0, 0]

    positions = np.random.default_rng(0).permutation(3000)[:200]
    with ThreadPoolExecutor(6) as pool:
        for position, got in zip(positions, pool.map(row, positions.tolist()), strict=True):
            assert_close(got, expected[position], scale=3000.0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("offset", [0, 3])
@pytest.mark.parametrize("length", [n for n in SIZES if n <= 64])
def test_learned(length, offset, dtype):
    def backward(d_y, x, parameters):
        (name, table), *_ = parameters.items()
        d_x, d_table = reference.positional_encoding_backward(d_y, x, table, offset)
        return d_x, {name: d_table}

    check_layer(
        randomized(at.nn.LearnedPositionalEncoding(6, 70, dtype=str(dtype))),
        [array(3, length, 6, dtype=dtype)],
        lambda x, parameters: reference.positional_encoding(x, *parameters.values(), offset),
        backward,
        lambda module, x: module(x, offset=offset),
    )


@pytest.mark.parametrize("make", [at.nn.SinusoidalPositionalEncoding, at.nn.LearnedPositionalEncoding])
def test_errors(make):
    name = make.__name__
    module = make(6, 10, dtype="float64")
    for x, offset, says in [
        (array(2, 11, 6), 0, "max_len is 10"),
        (array(2, 5, 6), 6, "max_len is 10"),
        (array(2, 5, 6), 2**62, "max_len is 10"),
        (array(2, 5, 6), -1, "offset"),
        (array(2, 5, 7), 0, "x has 7 features"),
        (array(5), 0, "x has shape"),
    ]:
        with pytest.raises(ValueError, match=rf"^\w*PositionalEncoding: .*{says}"):
            module(x, offset=offset)
    with pytest.raises(TypeError, match=r"PositionalEncoding: .*float32"):
        module(array(2, 5, 6, dtype=np.float32))
    with pytest.raises(ValueError, match=f"{name}: d_model is 0"):
        make(0, 10)
    with pytest.raises(ValueError, match=f"{name}: max_len is -1"):
        make(6, -1)
    with pytest.raises((MemoryError, ValueError)):
        _ = make(2**40, 2**40).table

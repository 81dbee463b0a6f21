"""Models whose linear layers multiply whole numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from .. import _core
from .._arguments import real_number, whole_number
from .._core import Module
from .._grad import no_grad

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    AnyModule = TypeVar("AnyModule", bound=Module)


def quantize(
    model: AnyModule,
    mode: Literal["dynamic", "static"] = "dynamic",
    *,
    calibration: ArrayLike | tuple[ArrayLike, ...] | None = None,
    batch_size: int = 32,
    method: Literal["minmax", "percentile", "entropy"] = "minmax",
    percentile: float = 99.99,
) -> AnyModule:
    r"""Let the linear layers of a trained model multiply whole numbers of eight bits, from here on.

    Every matrix that only linear layers take (``Linear``, the projections of ``MultiHeadAttention``,
    feed-forward networks, output layers) is rounded with a scale for each row, and so is what it is
    multiplied with, each time. Tables of embeddings, also those that are an output layer too, are rounded as
    ``model.to_int8()`` does. Biases, norms, scores, softmax, convolutional and recurrent layers stay as they
    are.

    ====================  ==================  ===================  ==========================================
    \                     matrices            what they multiply   for
    ====================  ==================  ===================  ==========================================
    ``model.to_int8()``   int8, a scale for   floats               memory, and decoding; gradients of inputs
                          64 neighbours
    ``"dynamic"``         int8, a scale for   eight bits, a range  speed at any batch; no data needed
                          each row            for each row
    ``"static"``          int8, a scale for   eight bits, a range  inputs like those of the calibration;
                          each row            found before         ranges are fixed
    ====================  ==================  ===================  ==========================================

    Parameters
    ----------
    model : Module
        In floats. It is changed in place, as by ``to_int8``.
    mode : {"dynamic", "static"}
        Whether each row (token) of an input has a range of its own, measured when it is there, or each matrix
        one that the calibration finds. A row's result depends on no other row: padded is unpadded, and a
        token on the cache is a token without.
    calibration : array_like or tuple of array_like
        Of "static" alone: inputs of the model, axis 0 the samples; a tuple where it takes several. A few
        hundred samples like those to come will do.
    batch_size : int
        Samples the model sees at once in calibration; the ranges do not depend on it.
    method : {"minmax", "percentile", "entropy"}
        How "static" makes a range of what it saw: see :func:`attendo.functional.activation_range`. All but
        "minmax" pass over the calibration twice.
    percentile : float
        Of the method "percentile".

    Returns
    -------
    Module
        The model, in evaluation mode and with all parameters frozen: it computes, decodes, is saved and
        loaded, but cannot be trained. ``state_dict`` has ``name_scales`` beside each int8 ``name``, and
        ``name_input``, scale and zero point, where that is static.

    Raises
    ------
    ValueError
        When the model is int8 already, an optimizer holds a matrix of it, it has no matrix, the mode or
        method is none of these, or the calibration is missing, empty, not finite or not needed.
    TypeError
        When model is not a Module, or a number is none.

    Notes
    -----
    Formulas and bounds of the error: :func:`attendo.functional.quantized_linear`. A matrix that meets several
    inputs (cross attention's stacked projections) has one range for all. One that the calibration never
    reached stays dynamic.

    References
    ----------
    Jacob et al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only
    inference". Migacz 2017, "8-bit inference with TensorRT" (entropy).

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.nn.Sequential(at.nn.Linear(64, 32, seed=0), at.nn.ReLU(), at.nn.Linear(32, 2, seed=1))
    >>> x = np.random.default_rng(0).standard_normal((100, 64)).astype("float32")
    >>> before = model(x).numpy()
    >>> at.compress.quantize(model, "static", calibration=x)
    Sequential(
      (0): Linear(in_features=64, out_features=32, int8 static)
      (1): ReLU()
      (2): Linear(in_features=32, out_features=2, int8 static)
    )
    >>> bool(abs(model(x).numpy() - before).max() < 0.02)
    True

    Source: cpp/nn/quantize.cpp, cpp/ops/quantized_linear.cpp, cpp/kernels/gemm_int8.cpp
    """
    if not isinstance(model, Module):
        raise TypeError(f"quantize: model is a {type(model).__name__} but must be a Module")
    if mode not in ("dynamic", "static"):
        raise ValueError(f"quantize: mode is {mode!r} but must be 'dynamic' or 'static'")
    whole_number("quantize", "batch_size", batch_size, 1)
    real_number("quantize", "percentile", percentile)
    if mode == "dynamic":
        if calibration is not None:
            raise ValueError('quantize: calibration is for mode="static"; "dynamic" measures each input anew')
        _core._quantize_dynamic(model)
        return model.eval()
    if method not in ("minmax", "percentile", "entropy"):
        raise ValueError(f"quantize: method is {method!r} but must be 'minmax', 'percentile' or 'entropy'")
    if not 0 < percentile <= 100:
        raise ValueError(f"quantize: percentile is {percentile} but must be more than 0 and at most 100")
    inputs = _inputs(calibration)

    modes = [(module, module.training) for module in model.modules()]
    observed = _core._Calibration(model)
    try:
        model.eval()
        _run(model, inputs, batch_size)
        if method != "minmax":
            observed.count()
            _run(model, inputs, batch_size)
        observed.finish(method, percentile)
    except BaseException:
        for module, training in modes:  # parents first: each ends in its own mode
            module.train(training)
        raise
    finally:
        observed.stop()
    return model


def _inputs(calibration: Any) -> tuple[Any, ...]:
    if calibration is None:
        raise ValueError('quantize: mode="static" needs calibration=, inputs of the model')
    given = calibration if isinstance(calibration, tuple) else (calibration,)
    inputs = tuple(np.asarray(x) for x in given)
    if not inputs or any(x.ndim == 0 for x in inputs):
        raise ValueError("quantize: calibration must be an array or a tuple of arrays, axis 0 the samples")
    lengths = [len(x) for x in inputs]
    if len(set(lengths)) != 1:
        raise ValueError(f"quantize: the arrays of calibration have {lengths} samples, not the same number")
    if lengths[0] == 0:
        raise ValueError("quantize: calibration holds no sample")
    return inputs


def _run(model: Module, inputs: tuple[Any, ...], batch_size: int) -> None:
    with no_grad():
        for begin in range(0, len(inputs[0]), batch_size):
            model(*(x[begin : begin + batch_size] for x in inputs))

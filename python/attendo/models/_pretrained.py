"""Checkpoints of Hugging Face: load_pretrained, and save_pretrained of the models that have such a form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .._core import (
    DecoderLM,
    EncoderClassifier,
    MaskedLM,
    Module,
    TextEncoder,
    Transformer,
    VisionTransformer,
)

if TYPE_CHECKING:
    from .._typing import FloatDType, PathLike


def load_pretrained(
    folder: PathLike,
    *,
    dtype: FloatDType = "float32",
    strict: bool = True,
    tokenizer: bool = True,
    weights: Literal["float", "int8"] = "float",
) -> Module:
    """Read a model from a folder as Hugging Face lays it out.

    Parameters
    ----------
    folder : str or path
        With config.json, and model.safetensors or the files that model.safetensors.index.json lists. A folder
        of the Hugging Face cache will do; nothing is downloaded.
    dtype : {"float32", "float64"}
        Of the model. float16 and bfloat16 are widened.
    strict : bool
        Insist that the tensors are exactly those that the model needs. Without it, what is missing stays as
        drawn and what is left over is left; ``model.load_report`` lists both.
    tokenizer : bool
        Read the tokenizer too, where the folder has one.
    weights : {"float", "int8"}
        "int8": the matrices are held in eight bits once they are read, as
        :meth:`attendo.nn.Module.to_int8` does.

    Returns
    -------
    Module
        In evaluation mode. It also has

        - ``load_report``: the lists ``missing``, ``unexpected`` and ``ignored`` of names;
        - ``tokenizer``: a :class:`attendo.text.SubwordTokenizer` (Marian: an
          :class:`attendo.text.MarianTokenizer`), or None where the folder has none. Without the library it
          needs it says so when it is used;
        - ``sentence_config``: of a :class:`TextEncoder`, what sentence-transformers wrote beside it, for
          :meth:`TextEncoder.embed`;
        - ``generation_config``: a dict: generation_config.json, and of config.json the special ids;
        - ``pretrained_config``: config.json as a dict.

    Raises
    ------
    FileNotFoundError
        When the folder, config.json or the weights are not there.
    ValueError
        When a file is damaged, no regular file in the folder, or says what attendo has no way to compute;
        when the tensors do not fit the config, with ``error.report``; when there is a pickle (.bin) only;
        when weights is another word.
    TypeError
        When dtype is neither.

    Notes
    -----
    Nothing is executed or unpickled, and the shapes that config.json promises are held against the tensors
    before memory is taken for a model. Which models are read: docs/checkpoints.md.

    Source: python/attendo/interop/checkpoint.py
    """
    from ..interop.checkpoint import load_pretrained as load

    if weights not in ("float", "int8"):
        raise ValueError(f"load_pretrained: weights is {weights!r} but must be 'float' or 'int8'")
    model = load(folder, dtype=dtype, strict=strict, tokenizer=tokenizer)
    return model.to_int8() if weights == "int8" else model


def save_pretrained(self: Module, folder: PathLike, *, max_shard_size: int | str = "5GB") -> None:
    """Write config.json and model.safetensors as `transformers` reads them.

    Parameters
    ----------
    folder : str or path
        Made when it is not there. A model in it is replaced, each file at once when it is whole.
    max_shard_size : int or str
        Bytes, or "500MB": a longer model is written in several files, with an index.

    Raises
    ------
    ValueError
        When the model has an option that no format can say, is int8, or max_shard_size is no size.
    OSError
        When a file cannot be written.

    Notes
    -----
    A model that was loaded keeps the other keys of its config.json, and its tokenizer is written too.
    :func:`attendo.models.load_pretrained`
    reads the folder back; ``model.save`` writes any module, in one file of attendo's own.

    Source: python/attendo/interop/checkpoint.py
    """
    from ..interop.checkpoint import save_pretrained as save

    for name, parameter in self.named_parameters():
        if parameter.dtype.name == "int8":
            raise ValueError(
                f"save_pretrained: {name} is int8, which no format of Hugging Face takes; write it with save"
            )
    save(self, folder, max_shard_size=max_shard_size)


for _model in (DecoderLM, EncoderClassifier, MaskedLM, TextEncoder, Transformer, VisionTransformer):
    setattr(_model, "save_pretrained", save_pretrained)  # noqa: B010  (mypy knows no such attribute)
del _model

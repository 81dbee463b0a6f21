r"""Masks: which query may attend to which key. **True means may attend**, everywhere.

Masks are objects. They combine with ``&`` (both allow), ``|`` (either allows) and ``~`` (the opposite), and
they know their structure: none of them but :func:`dense` is ever written out, the blocks they empty are never
computed, those they fill are not tested.

=========================  ======================================================================
:func:`causal`             keys up to the query's own position
:func:`lengths`            keys that are not padding
:func:`window`             keys at most so far away; ``window(w) & causal()`` slides
:func:`prefix`             the first keys, for everybody; ``causal() | prefix(n)`` is a prefix LM
:func:`global_tokens`      positions that see all and are seen by all
:func:`strided`            every so-manieth key, counted from the query
:func:`blocks`             a layout of square blocks
:func:`documents`          keys of the query's own document, when several are packed in a row
:func:`dense`              an array
:func:`longformer`         a window and global tokens
:func:`bigbird`            blocks of a window, of global tokens and at random
=========================  ======================================================================

A mask draws itself: in a notebook by itself, elsewhere with :meth:`Mask.draw` and :meth:`Mask.text`.

>>> import attendo as at
>>> print((at.masks.window(1) | at.masks.global_tokens([0])).text(6))
■ ■ ■ ■ ■ ■
■ ■ ■ · · ·
■ ■ ■ ■ · ·
■ · ■ ■ ■ ·
■ · · ■ ■ ■
■ · · · ■ ■
"""

from __future__ import annotations

from ._kinds import blocks, causal, dense, documents, global_tokens, lengths, prefix, strided, window
from ._mask import Mask
from ._presets import bigbird, longformer

__all__ = [
    "Mask",
    "bigbird",
    "blocks",
    "causal",
    "dense",
    "documents",
    "global_tokens",
    "lengths",
    "longformer",
    "prefix",
    "strided",
    "window",
]


def __dir__() -> list[str]:
    return __all__

"""The class of all masks: combining, writing out, drawing."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from operator import and_, index, invert, or_
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

import numpy as np

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..viz import Picture

_LEAST = 16  # queries and keys of a drawing of a mask that has no size of its own


class Natural(NamedTuple):
    """The sizes a mask would be drawn in: those it demands, and how many positions show what it does."""

    batch: int = 0
    heads: int = 0
    length: int = 0
    keys: int = 0
    hint: int = 0

    def with_(self, other: Natural) -> Natural:
        return Natural(*map(max, self, other))


class Cells(NamedTuple):
    """The allowed share of each cell of `side` queries and `side` keys, and what it is a share of."""

    shares: NDArray[np.float64]
    allowed: int
    length: int
    keys: int
    side: int


class Mask:
    """Which query may attend to which key; combine with ``&``, ``|`` and ``~``.

    Made by the functions of :mod:`attendo.masks`, and given to ``mask=``. It may be pickled and copied.

    Examples
    --------
    >>> import attendo as at
    >>> ~(at.masks.causal() | at.masks.lengths([2]))
    ~(causal() | lengths([2]))
    """

    __slots__ = ("_expression", "_made", "_natural", "_text")

    _expression: _core.MaskExpression
    _made: tuple[Callable[..., Any], tuple[Any, ...]]
    _natural: Natural
    _text: str

    def __init__(self) -> None:
        raise TypeError("a mask is made by the functions of attendo.masks, such as attendo.masks.causal()")

    def dense(
        self,
        batch: SupportsIndex,
        heads: SupportsIndex,
        length: SupportsIndex,
        keys: SupportsIndex,
        *,
        q_offset: SupportsIndex = 0,
    ) -> NDArray[np.bool_]:
        """Write the mask out.

        Parameters
        ----------
        batch, heads, length, keys : int
            The shape of the attention weights.
        q_offset : int
            Position of the first query; what ``causal``, ``window`` and the like count from.

        Returns
        -------
        ndarray of bool, shape (batch, heads, length, keys)
            True where the query may attend to the key.

        Raises
        ------
        ValueError
            When a part of the mask does not fit these sizes.
        """
        sizes = _integers(batch=batch, heads=heads, length=length, keys=keys, q_offset=q_offset)
        return self._expression.written_out(*sizes)

    def draw(
        self,
        length: SupportsIndex | None = None,
        keys: SupportsIndex | None = None,
        *,
        q_offset: SupportsIndex = 0,
        batch_entry: SupportsIndex = 0,
        head: SupportsIndex = 0,
        title: str | None = None,
        max_size: SupportsIndex = 64,
    ) -> Picture:
        """Draw the mask: a row a query, a column a key.

        Parameters
        ----------
        length, keys : int, optional
            How many queries and keys. Default: what the mask itself is made for, or enough to show what it
            does; ``keys`` as ``length`` where only that is given.
        q_offset : int
            Position of the first query.
        batch_entry, head : int
            Which one, where the mask differs between them.
        title : str, optional
            Default: the mask's expression.
        max_size : int
            A longer mask is drawn in cells of several queries and keys; the part of a cell that is filled
            is the part of its pairs that may attend.

        Returns
        -------
        Picture
            An SVG drawing; see :class:`attendo.viz.Picture`.

        Raises
        ------
        ValueError
            When a part of the mask does not fit these sizes, one of them is not above 0, or there is no such
            batch entry or head.

        Examples
        --------
        >>> import attendo as at
        >>> at.masks.causal().draw(8)
        Picture('causal()')
        """
        from ..viz.mask import mask

        cells = self._cells(length, keys, q_offset, batch_entry, head, max_size)
        return mask(cells, repr(self) if title is None else title, int(index(q_offset)))

    def text(
        self,
        length: SupportsIndex | None = None,
        keys: SupportsIndex | None = None,
        *,
        q_offset: SupportsIndex = 0,
        batch_entry: SupportsIndex = 0,
        head: SupportsIndex = 0,
        max_size: SupportsIndex = 32,
    ) -> str:
        """Draw the mask in characters: ``■`` may attend, ``·`` may not, ``▪`` some of the cell's pairs may.

        Parameters
        ----------
        length, keys, q_offset, batch_entry, head, max_size
            As in :meth:`draw`.

        Returns
        -------
        str
            A line a query.

        Raises
        ------
        ValueError
            As in :meth:`draw`.

        Examples
        --------
        >>> import attendo as at
        >>> print((at.masks.causal() & at.masks.window(1)).text(4))
        ■ · · ·
        ■ ■ · ·
        · ■ ■ ·
        · · ■ ■
        """
        shares = self._cells(length, keys, q_offset, batch_entry, head, max_size).shares
        marks = np.where(shares == 0, "·", np.where(shares == 1, "■", "▪"))
        return "\n".join(" ".join(row) for row in marks)

    def _cells(
        self,
        length: SupportsIndex | None,
        keys: SupportsIndex | None,
        q_offset: SupportsIndex,
        batch_entry: SupportsIndex,
        head: SupportsIndex,
        max_size: SupportsIndex,
    ) -> Cells:
        own = self._natural
        hint = max(own.hint, _LEAST)
        if length is None:
            length = own.length or own.keys or hint
            keys = (own.keys or length) if keys is None else keys
        elif keys is None:
            keys = own.keys if own.keys and own.length in (0, length) else length
        rows, columns, offset, entry, of_head, most = _integers(
            length=length, keys=keys, q_offset=q_offset, batch_entry=batch_entry, head=head, max_size=max_size
        )
        for name, number in (("length", rows), ("keys", columns), ("max_size", most)):
            if number < 1:
                raise ValueError(f"mask: {name} is {number} but must be 1 or more")
        side = -(-max(rows, columns) // most)
        counts = self._expression.cell_counts(
            max(own.batch, 1), max(own.heads, 1), rows, columns, offset, entry, of_head, side
        )
        heights = np.minimum(side, rows - side * np.arange(counts.shape[0]))
        widths = np.minimum(side, columns - side * np.arange(counts.shape[1]))
        return Cells(counts / np.outer(heights, widths), int(counts.sum()), rows, columns, side)

    def __and__(self, other: object) -> Mask:
        return _joined(and_, "&", self, other) if isinstance(other, Mask) else NotImplemented

    def __or__(self, other: object) -> Mask:
        return _joined(or_, "|", self, other) if isinstance(other, Mask) else NotImplemented

    def __invert__(self) -> Mask:
        return make(~self._expression, f"~{self._text}", self._natural, invert, self)

    def __bool__(self) -> bool:
        raise TypeError("a mask is neither true nor false; combine masks with & | ~, not with and, or, not")

    def __repr__(self) -> str:
        return self._text

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._made

    def _repr_html_(self) -> str:
        try:
            return self.draw()._repr_html_()
        except ValueError:  # its parts do not fit together
            return f"<pre>{escape(self._text)}</pre>"


def make(
    expression: _core.MaskExpression, text: str, natural: Natural, function: Callable[..., Any], *args: Any
) -> Mask:
    """A mask; `function` of `args` makes it again."""
    mask = Mask.__new__(Mask)
    mask._expression, mask._text, mask._natural, mask._made = expression, text, natural, (function, args)
    return mask


def _joined(join: Callable[..., Any], sign: str, a: Mask, b: Mask) -> Mask:
    text = f"({a._text} {sign} {b._text})"
    return make(join(a._expression, b._expression), text, a._natural.with_(b._natural), join, a, b)


def _integers(**arguments: SupportsIndex) -> list[int]:
    out = []
    for name, value in arguments.items():
        try:
            out.append(index(value))
        except TypeError:
            raise TypeError(f"mask: {name} is a {type(value).__name__} but must be an integer") from None
        if abs(out[-1]) > 2**40:
            raise ValueError(f"mask: {name} is {value}, which is out of range")
    return out

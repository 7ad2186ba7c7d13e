"""Tables of the report: headings, rows of ready text, and which columns hold numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """A table as the page shows it; every cell is text, and escaped where it is shown.

    Args:
        headings: one per column.
        rows: one sequence of cells per row.
        numeric: the columns (by position) that are set flush right.
        caption: what the table shows, read aloud by screen readers.
        marks: for each row a word for its look, such as ``"inside"`` or ``"outside"``; empty for none.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    caption: str = ""
    marks: tuple[str, ...] = field(default=())


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    numeric: Iterable[int] = (),
    caption: str = "",
    marks: Iterable[str] = (),
) -> Table:
    """Return a :class:`Table` from rows of anything that can be written as text.

    Example:
        >>> table(["day", "median"], [[7, "31.6"]], numeric=[0, 1]).rows
        (('7', '31.6'),)
    """
    cells = tuple(tuple(str(cell) for cell in row) for row in rows)
    return Table(tuple(headings), cells, frozenset(numeric), caption, tuple(marks))

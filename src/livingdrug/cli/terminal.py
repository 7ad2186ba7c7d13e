"""What every command shares: printing for people and for programs."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

__all__ = ["console", "print_json", "print_table", "progress_bar", "say", "waiting"]

AT_ONCE = 0.2  # seconds in which nothing but what was there already can be counted


def console(*, errors: bool = False) -> Any:
    """Return the Rich console for standard output, or for standard error."""
    from rich.console import Console

    return Console(stderr=errors, highlight=False, soft_wrap=True)


def say(text: str, style: str | None = None) -> None:
    """Print a line for people; what stands in it is never read as markup."""
    console().print(text, style=style, markup=False)


def print_json(value: Any) -> None:
    """Print a value as JSON that every reader accepts: what is not finite becomes null."""
    sys.stdout.write(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def print_table(
    title: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    numeric: Iterable[int] = (),
    wrapped: Iterable[int] | None = None,
) -> None:
    """Print a table; columns in ``numeric`` are set flush right, only those in ``wrapped`` are broken into lines."""
    from rich.markup import escape
    from rich.table import Table

    right, broken = set(numeric), set(range(len(headings)) if wrapped is None else wrapped)
    grid = Table(title=escape(title) or None, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for index, heading in enumerate(headings):
        justify: Any = "right" if index in right else "left"
        grid.add_column(escape(heading), justify=justify, overflow="fold", no_wrap=index not in broken)
    for row in rows:
        grid.add_row(*(escape(str(cell)) for cell in row))
    terminal = console()
    terminal.print(grid, soft_wrap=False)


def _plain(value: Any) -> Any:
    """Return a value made of what JSON knows."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)


@contextmanager
def progress_bar(
    title: str, total: int, *, of: str = "patients", quiet: bool = False
) -> Iterator[Callable[[int, int], None]]:
    """Show a bar of what is counted, with rate and time left, on standard error; yields a function of (done, total).

    Rate and time left are those of the whole run, so that blocks of work that end together do not pass for speed.
    Of a run that continues, what was there already is left out, if it is counted before any work ends.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    terminal, began, there = console(errors=True), time.monotonic(), 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"))
    with Progress(*columns, console=terminal, disable=quiet or not terminal.is_terminal) as bar:
        task = bar.add_task(title, total=total, pace="")

        def count(done: int, total: int) -> None:
            nonlocal there
            seconds = time.monotonic() - began
            there = done if seconds < AT_ONCE else there
            bar.update(task, completed=done, total=total, pace=pace(done - there, total - there, seconds, of))

        yield count


def pace(done: float, total: float, seconds: float, of: str) -> str:
    """Return rate and time left in words.

    Example:
        >>> pace(4000, 100_000, 40.0, "patients")
        '100 patients/s, 0:16:00 left'
    """
    if done <= 0 or seconds <= 0:
        return ""
    rate = done / seconds
    left = timedelta(seconds=round((total - done) / rate))
    return f"{rate:,.{0 if rate >= 10 else 1}f} {of}/s, {left} left"


@contextmanager
def waiting(text: str, *, quiet: bool = False) -> Iterator[None]:
    """Show on standard error, while it lasts, what is being done."""
    terminal = console(errors=True)
    if quiet or not terminal.is_terminal:
        yield
        return
    with terminal.status(text):
        yield

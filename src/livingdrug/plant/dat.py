"""Reader of data in the form of AMPL and Pyomo (``.dat``): sets, and parameters as lists or tables.

Read are ``set NAME := members ;``, ``param NAME := value ;``, ``param NAME := index ... value ... ;`` (one entry per
line, or several where the reader is told how many names one has), ``param NAME : columns := row values ... ;``,
comments (``# ...`` and ``/* ... */``), and the frame ``data; ... end;``. Anything else is refused with its line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from livingdrug.errors import InputError

__all__ = ["Data", "read_dat"]

LARGEST_FILE = 20_000_000  # bytes
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,60}")
COMMENT = re.compile(r"/\*.*?\*/|#[^\n]*", re.DOTALL)
FRAME = ("data", "end")
MEMBER = re.compile(r"[A-Za-z0-9_.+-]{1,60}")
Index = tuple[str, ...]


@dataclass(frozen=True)
class Data:
    """What stands in a file.

    Attributes:
        sets: name -> members in their order.
        parameters: name -> index -> value; the index of a single value is ``()``.
        lines: (name, index) -> line, for messages.
    """

    where: str
    sets: dict[str, tuple[str, ...]]
    parameters: dict[str, dict[Index, float]]
    lines: dict[tuple[str, Index], int]

    def at(self, name: str, index: Index = ()) -> str:
        """Return the place of an entry for a message: the file and the line."""
        line = self.lines.get((name, index))
        return f"{self.where}:{line}" if line else self.where


@dataclass(frozen=True)
class _Word:
    text: str
    line: int


def read_dat(path: str | Path, names_of: Mapping[str, int] | None = None) -> Data:
    r"""Read a ``.dat`` file.

    Args:
        path: text in UTF-8.
        names_of: parameter -> names before each of its values; such a list may hold several entries in one line.

    Raises:
        InputError: the file cannot be read, is too big, or a line is not in the form; says which line and why.

    Example:
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "small.dat"
        >>> _ = file.write_text("set m := m1 m2; # two\nparam COST := m1 3\nm2 4.5 ;")
        >>> data = read_dat(file)
        >>> data.sets["m"], data.parameters["COST"]["m2",]
        (('m1', 'm2'), 4.5)
    """
    where = Path(path)
    try:
        size = where.stat().st_size
        if size > LARGEST_FILE:
            raise InputError(f"{where}: {size} bytes are too many (at most {LARGEST_FILE})")
        text = where.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not a text in UTF-8 (byte {error.start})") from error
    data = Data(str(where), {}, {}, {})
    for statement in _statements(text, str(where)):
        _take(statement, data, names_of or {})
    return data


def _statements(text: str, where: str) -> Iterator[list[_Word]]:
    """Yield the words of each statement, without its semicolon."""
    words: list[_Word] = []
    bare = COMMENT.sub(lambda found: " " + "\n" * found[0].count("\n"), text)
    for line, full in enumerate(bare.splitlines(), 1):
        plain = full.replace(";", " ; ").replace(":=", " \x00 ").replace(":", " : ")
        for word in plain.replace("\x00", ":=").split():
            if word != ";":
                words.append(_Word(word, line))
            elif words:
                yield words
                words = []
    if words:
        raise InputError(
            f"{where}:{words[0].line}: the statement that begins with {words[0].text!r:.60} has no ';' at its end"
        )


def _take(words: list[_Word], data: Data, names_of: Mapping[str, int]) -> None:
    """Add one statement to the data."""
    first, line = words[0].text, words[0].line
    place = f"{data.where}:{line}"
    if len(words) == 1 and first in FRAME:
        return
    if first not in ("set", "param"):
        raise InputError(f"{place}: a statement begins with 'set' or 'param', got {first!r:.60}")
    if len(words) < 3 or not NAME.fullmatch(words[1].text):
        raise InputError(f"{place}: '{first} NAME := ... ;' is expected, got {_shown(words)}")
    name = words[1].text
    if name in data.sets or name in data.parameters:
        raise InputError(f"{place}: {name!r} stands there twice")
    signs = [place for place, word in enumerate(words) if word.text == ":="]
    if len(signs) != 1:
        raise InputError(f"{place}: {first} {name}: one ':=' is expected, got {len(signs)}; is a ';' missing?")
    head, body = words[2 : signs[0]], words[signs[0] + 1 :]
    if first == "set":
        _take_set(name, head, body, data, place)
    elif not head:
        _take_list(name, body, data, names_of.get(name))
    elif head[0].text == ":":
        _take_table(name, head[1:], body, data)
    else:
        raise InputError(f"{place}: param {name}: ':=' or ': columns :=' is expected, got {head[0].text!r:.60}")


def _take_set(name: str, head: list[_Word], body: list[_Word], data: Data, place: str) -> None:
    if head:
        raise InputError(f"{place}: set {name}: ':=' is expected, got {head[0].text!r:.60}")
    members = [word.text for word in body]
    for word in body:
        _member(word, data)
    again = {member for member in members if members.count(member) > 1} if len(set(members)) < len(members) else set()
    if again:
        raise InputError(f"{place}: set {name}: the member {min(again)!r} stands there twice")
    data.sets[name] = tuple(members)


def _take_list(name: str, body: list[_Word], data: Data, names: int | None) -> None:
    """Add a parameter that is listed entry by entry, or a single value."""
    data.parameters[name] = {}
    rows = _rows(body, names)
    widths = {len(row) for row in rows}
    for row in rows:
        if len(row) != max(widths):
            raise InputError(
                f"{data.where}:{row[0].line}: param {name}: {max(widths)} words per line are expected as in its other "
                f"lines, got {len(row)}: {_shown(row)}"
            )
        _enter(name, tuple(_member(word, data) for word in row[:-1]), row[-1], data)


def _rows(body: list[_Word], names: int | None) -> list[list[_Word]]:
    """Return the words of each entry: one entry per line, or several where their number of names is known."""
    lines: dict[int, list[_Word]] = {}
    for word in body:
        lines.setdefault(word.line, []).append(word)
    rows = list(lines.values())
    if names is None or any(len(row) % (names + 1) for row in rows):
        return rows
    return [row[at : at + names + 1] for row in rows for at in range(0, len(row), names + 1)]


def _take_table(name: str, head: list[_Word], body: list[_Word], data: Data) -> None:
    """Add a parameter that is written as a table with named columns."""
    data.parameters[name] = {}
    columns = [_member(word, data) for word in head]
    width = len(columns) + 1
    for start in range(0, len(body), width):
        row = body[start : start + width]
        if len(row) != width:
            raise InputError(
                f"{data.where}:{row[0].line}: param {name}: a row needs its name and {width - 1} values, "
                f"got {_shown(row)}"
            )
        for column, word in zip(columns, row[1:], strict=True):
            if word.text != ".":
                _enter(name, (_member(row[0], data), column), word, data)


def _enter(name: str, index: Index, word: _Word, data: Data) -> None:
    place = f"{data.where}:{word.line}"
    try:
        value = float(word.text)
    except ValueError:
        raise InputError(f"{place}: param {name}: a number is expected, got {word.text!r:.60}") from None
    if not math.isfinite(value) or "_" in word.text:
        raise InputError(f"{place}: param {name}: a finite number is expected, got {word.text!r:.60}")
    if index in data.parameters[name]:
        raise InputError(f"{place}: param {name}: the entry {' '.join(index)!r:.80} stands there twice")
    data.parameters[name][index] = value
    data.lines[name, index] = word.line


def _member(word: _Word, data: Data) -> str:
    if not MEMBER.fullmatch(word.text):
        raise InputError(
            f"{data.where}:{word.line}: a name of letters, digits, '_', '.', '+' or '-' is expected, "
            f"got {word.text!r:.60}"
        )
    return word.text


def _shown(words: list[_Word]) -> str:
    text = " ".join(word.text for word in words[:6]) + (" ..." if len(words) > 6 else "")
    return repr(text[:80])

"""Numbers of a plan as text in TOML, each with comments above it; what could end a comment or a text is taken out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from livingdrug.therapy.stated import Stated

__all__ = ["one_line", "toml_lines"]


def toml_lines(
    tables: Mapping[str, Any], comments: Mapping[str, list[str]], path: tuple[str, ...] = ()
) -> Iterator[str]:
    """Yield the lines of nested tables: plain values first, then the tables below.

    Args:
        tables: name -> number, text, stated number, or a table of these.
        comments: place, such as ``release.potency``, -> lines that stand above its value.
        path: of the table that holds them all.

    Example:
        >>> list(toml_lines({"release": {"loss": 0.1}}, {"release.loss": ["before: 0.2"]}))
        ['', '[release]', '# before: 0.2', 'loss = 0.1']
    """
    plain = {name: value for name, value in tables.items() if not isinstance(value, Mapping)}
    if path and plain:
        yield ""
        yield f"[{'.'.join(path)}]"
    for name, value in plain.items():
        yield from (f"# {one_line(line)}" for line in comments.get(".".join((*path, name)), []))
        yield f"{name} = {_value(value)}"
    for name, value in tables.items():
        if isinstance(value, Mapping):
            yield from toml_lines(value, comments, (*path, name))


def _value(value: Any) -> str:
    if isinstance(value, Stated):
        fields = value.model_dump(exclude_none=True)
        return "{ " + ", ".join(f"{name} = {_value(item)}" for name, item in fields.items() if item != "") + " }"
    if isinstance(value, str):
        return json.dumps(one_line(value), ensure_ascii=False)
    return repr(float(value))


def one_line(text: str) -> str:
    """Return the text without control characters, which could end a comment."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)

"""Formulas as canonical text, so that a declaration has one hash wherever and whenever it is made.

Equal sub-formulas get one line, whether or not they are one object; the text therefore grows with the number of
distinct nodes and not with the number of paths through a formula.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from livingdrug.model.expressions import Expression, Number, Symbol, walk

__all__ = ["Writer", "sha256"]


class Writer:
    """Collects formulas and plain values as lines of text."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._node_of_text: dict[str, int] = {}
        self._node_of_id: dict[int, int] = {}
        self._kept: list[Expression] = []

    def formula(self, name: str, value: Any) -> None:
        """Add a formula, or a plain number standing for one, under a name."""
        if not isinstance(value, Expression):
            self.values(name, value)
            return
        for node in walk(value):
            if id(node) not in self._node_of_id:
                self._add(node)
        self._kept.append(value)  # ids are unique only among objects that live
        self._lines.append(f"{name} = {self._node_of_id[id(value)]}")

    def values(self, name: str, *values: Any) -> None:
        """Add plain values (text, numbers, None, tuples of these) under a name."""
        self._lines.append(f"{name}: " + " | ".join(_plain(v) for v in values))

    def text(self) -> str:
        """The canonical text."""
        nodes = [f"{number} {text}" for text, number in self._node_of_text.items()]
        return "\n".join(nodes + self._lines)

    def _add(self, node: Expression) -> None:
        if isinstance(node, Number):
            text = f"number {node.value.hex()}"
        elif isinstance(node, Symbol):
            text = f"{node.kind} {node.name}"
        else:
            text = " ".join([node.operation, *(str(self._node_of_id[id(o)]) for o in node.operands)])
        self._node_of_id[id(node)] = self._node_of_text.setdefault(text, len(self._node_of_text))


def sha256(texts: Iterable[str]) -> str:
    """Return the hexadecimal SHA-256 of several texts."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, float) else repr(value)

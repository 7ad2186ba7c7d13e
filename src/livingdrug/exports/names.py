"""Names that are free in another language: no reserved word, not too long, none twice."""

from __future__ import annotations

import re
from collections.abc import Collection

__all__ = ["Names"]


class Names:
    """Gives out names, each once, and remembers which had to differ from what was asked.

    Args:
        reserved: words that the language keeps for itself.
        prefixes: beginnings that it keeps for itself.
        longest: most characters of a name.
        upper: whether all names are written in capital letters (for a language that does not tell them apart).

    Example:
        >>> names = Names({"time"}, longest=8)
        >>> [names.take(word) for word in ("time", "tumour_growth", "tumour_growing", "rate")]
        ['time_2', 'tumour_g', 'tumour_2', 'rate']
        >>> names.changed["time"]
        'time_2'
    """

    def __init__(
        self, reserved: Collection[str], *, prefixes: Collection[str] = (), longest: int = 200, upper: bool = False
    ) -> None:
        self._upper, self._longest = upper, longest
        self._prefixes = tuple(p.upper() if upper else p for p in prefixes)
        self._taken = {word.upper() if upper else word for word in reserved}
        self.changed: dict[str, str] = {}

    def take(self, wanted: str, kind: str = "") -> str:
        """Return a free name that is as near as possible to the one wanted; ``kind`` says what it names."""
        found = self.fresh(wanted)
        if found != (wanted.upper() if self._upper else wanted):
            self.changed[f"{kind} {wanted}".strip()] = found
        return found

    def fresh(self, wanted: str) -> str:
        """Return a free name for something that the model does not name itself."""
        name = re.sub(r"\W", "_", wanted.upper() if self._upper else wanted, flags=re.ASCII)
        start = name.lstrip("_0123456789") or "x"
        if start.startswith(self._prefixes):
            start = ("V" if self._upper else "v") + start
        found, count = start[: self._longest], 1
        while found in self._taken:
            count += 1
            ending = f"_{count}"
            found = start[: self._longest - len(ending)] + ending
        self._taken.add(found)
        return found

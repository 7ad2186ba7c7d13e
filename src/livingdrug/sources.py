"""Where numbers come from: every source has a key in ``sources.bib``, and an unknown key raises.

Example:
    >>> cite("kendall1948").year
    1948
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from livingdrug.errors import InputError, unknown_name

__all__ = ["ASSUMED", "RECALLED", "Source", "cite", "source_keys", "split_source", "to_bibtex"]

ASSUMED = "assumed"
RECALLED = "recalled"
_KEY = re.compile(r"[a-z][a-z0-9]*")


@dataclass(frozen=True)
class Source:
    """One entry of ``sources.bib``; ``note`` says what was read and what was only recalled."""

    key: str
    title: str
    authors: tuple[str, ...]
    year: int
    kind: str = "misc"
    journal: str = ""
    doi: str = ""
    url: str = ""
    note: str = ""
    license: str = ""
    fields: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def link(self) -> str:
        """Address of the source: its DOI if it has one."""
        return f"https://doi.org/{self.doi}" if self.doi else self.url

    def __str__(self) -> str:
        first = self.authors[0].split(",")[0]
        who = first if len(self.authors) == 1 else f"{first} and {self.authors[1].split(',')[0]}"
        who = who if len(self.authors) <= 2 and "others" not in self.authors else f"{first} et al."
        where = f" {self.journal}" if self.journal else ""
        return f"{who} {self.year}. {self.title}.{where}" + (f" {self.link}" if self.link else "")


def cite(key: str) -> Source:
    """Return the source with this key.

    Raises:
        InputError: if there is no such key in ``sources.bib``.
    """
    found = _sources().get(key)
    if found is None:
        raise InputError(unknown_name("source", key, _sources()))
    return found


def source_keys() -> list[str]:
    """Return all keys, sorted."""
    return sorted(_sources())


def split_source(text: str, own: str = "") -> tuple[str, str]:
    """Split the source of a number into the key and the place: ``"kimmel2021: table 1"`` or just ``"table 1"``.

    Args:
        text: what stands beside the number. ``"assumed: why"`` and ``"recalled: whence"`` name no key.
        own: key of the paper in whose model the number stands; a bare place belongs to it.

    Returns:
        The key (or ``"assumed"``, ``"recalled"``) and the place (may be empty).

    Example:
        >>> split_source("table 1", own="kimmel2021")
        ('kimmel2021', 'table 1')
        >>> split_source("assumed: same as in adults")
        ('assumed', 'same as in adults')
    """
    head, colon, place = (part.strip() for part in text.partition(":"))
    if head in (ASSUMED, RECALLED) or (_KEY.fullmatch(head) and (colon or head in _sources())):
        return head, place
    return own or ASSUMED, text.strip()


def to_bibtex(keys: list[str]) -> str:
    """Return BibTeX entries for these keys, in their order.

    Raises:
        InputError: if a key does not exist.
    """
    entries = []
    for key in keys:
        source = cite(key)
        lines = [f"  {name} = {{{value}}}" for name, value in source.fields.items()]
        entries.append(f"@{source.kind}{{{key},\n" + ",\n".join(lines) + "\n}\n")
    return "\n".join(entries)


@lru_cache(maxsize=1)
def _sources() -> dict[str, Source]:
    text = Path(__file__).with_name("sources.bib").read_text(encoding="utf-8")
    found: dict[str, Source] = {}
    for match in re.finditer(r"^@(\w+)\{([^,\s]+),\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        kind, key, body = match.groups()
        if key in found:
            raise ValueError(f"sources.bib has the key {key!r} twice")
        fields = dict(re.findall(r"^\s*(\w+)\s*=\s*\{(.*)\},?$", body, re.MULTILINE))
        found[key] = _source(kind, key, fields)
    return found


def _source(kind: str, key: str, fields: dict[str, str]) -> Source:
    plain = {name: re.sub(r"\\([&%])", r"\1", value) for name, value in fields.items()}
    # Braces around a whole name keep an institution, whose name may hold "and" or a comma, in one piece.
    authors = plain["author"]
    names = [authors.strip("{}")] if authors.startswith("{") else re.split(r"\s+and\s+", authors)
    return Source(
        key=key,
        title=plain["title"],
        authors=tuple(names),
        year=int(plain["year"]),
        kind=kind,
        journal=plain.get("journal", plain.get("booktitle", "")),
        doi=plain.get("doi", ""),
        url=plain.get("url", ""),
        note=plain.get("note", ""),
        license=plain.get("license", ""),
        fields=fields,
    )

"""What all results of an analysis can do: be looked at as a table or figure, and be saved."""

from __future__ import annotations

import html
import json
import math
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from livingdrug.analysis import drawing
from livingdrug.errors import InputError, unknown_name
from livingdrug.storage import write_atomically

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "NOTICE", "Result", "writable"]

FORMATS = (".csv", ".html", ".json", ".png", ".svg")
NOTICE = "Not for clinical use."


class Result(ABC):
    """Base of all results; ``kind`` names the analysis."""

    kind: ClassVar[str] = ""

    @property
    @abstractmethod
    def title(self) -> str:
        """One line that says what was asked."""

    @property
    @abstractmethod
    def caption(self) -> str:
        """Plain sentences for a reader who is no doctor: what is shown, in which units, and what was left out."""

    @property
    @abstractmethod
    def table(self) -> pd.DataFrame:
        """The numbers, one row each, as a pandas table."""

    @property
    def summary(self) -> pd.DataFrame:
        """The part of the table that fits on a screen."""
        return self.table

    @abstractmethod
    def drawn(self) -> Any:
        """Return the bare Altair chart."""

    def figure(self) -> Any:
        """Return the Altair chart with title, caption and the shared look."""
        return drawing.finished(self.drawn(), self.title, f"{self.caption} {NOTICE}")

    def facts(self) -> dict[str, Any]:
        """Return what stands in the JSON file beside the table."""
        return {}

    def as_data(self) -> dict[str, Any]:
        """Return the whole result as plain values, for JSON; what is not finite becomes None."""
        found = {"analysis": self.kind, "title": self.title, "caption": self.caption, "notice": NOTICE, **self.facts()}
        return plain({**found, "table": self.table.to_dict("records")})

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write the result to a file; the name's ending says in which form.

        Args:
            path: ending in .csv (table), .json (everything), .html (page), .svg or .png (figure).
            force: whether a file that exists is replaced.

        Raises:
            InputError: the ending is unknown, or the file exists.
            LivingDrugError: the file cannot be written.
        """
        target = writable(path, force=force)
        write_atomically(target, self._content(target.suffix.lower()))
        return target

    def _content(self, ending: str) -> str | bytes:
        if ending == ".csv":
            return self.table.to_csv(index=False)
        if ending == ".json":
            return json.dumps(self.as_data(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        if ending == ".html":
            return self._page()
        return drawing.svg(self.figure()) if ending == ".svg" else drawing.png(self.figure())

    def _page(self) -> str:
        title, caption = html.escape(self.title), html.escape(self.caption)
        shown = self.table.head(200)
        rest = "" if len(shown) == len(self.table) else f"<p>The first 200 of {len(self.table):,} rows.</p>"
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{drawing.PAGE_STYLE}</style><p><strong>{NOTICE}</strong></p><h1>{title}</h1>"
            f"<figure>{drawing.svg(drawing.finished(self.drawn()))}<figcaption>{caption}</figcaption></figure>"
            f"<div>{shown.to_html(index=False, border=0, float_format=lambda x: f'{x:.4g}')}</div>{rest}</html>"
        )


def writable(path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Return the path if a result may be saved there: a known ending, and no file that would be lost.

    Raises:
        InputError: the ending is unknown, or the file exists and ``force`` is not given.
    """
    target = Path(path).expanduser()
    ending = target.suffix.lower()
    if ending not in FORMATS:
        raise InputError(f"save {str(path)!r}: {unknown_name('ending of a file', ending or '(none)', FORMATS)}")
    if target.exists() and not force:
        raise InputError(
            f"save {str(path)!r}: the file exists; take another name, or replace it with --force (force=True)"
        )
    return target


def plain(value: Any) -> Any:
    """Return a value made of what JSON knows.

    Example:
        >>> plain({"a": float("nan"), "b": (1, True)})
        {'a': None, 'b': [1, True]}
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

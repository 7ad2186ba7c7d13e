"""What is wrong in a data set: every problem with row, column and value, collected before anything is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ERROR", "WARNING", "Findings", "Report", "shown"]

ERROR, WARNING = "error", "warning"
SHOWN = 10
NAMES = ("row", "id", "column", "value", "problem", "kind")
LONGEST_VALUE = 40


@dataclass(frozen=True, eq=False)
class Findings:
    """All that was noticed in a data set.

    Attributes:
        table: row (1 is the first below the heading, 0 the table as a whole), id, column, value, problem, kind
            (``"error"``: the data cannot be used so; ``"warning"``: they can, but look at it).
    """

    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    @property
    def errors(self) -> pd.DataFrame:
        """The findings that keep the data from being used."""
        return self.table.loc[self.table["kind"] == ERROR].reset_index(drop=True)

    @property
    def warnings(self) -> pd.DataFrame:
        """The findings that one should look at."""
        return self.table.loc[self.table["kind"] == WARNING].reset_index(drop=True)

    def to_csv(self) -> str:
        """Return the findings as CSV; a cell that a spreadsheet would run as a formula gets a quote in front."""
        table = self.table.copy()
        for name in ("id", "column", "value", "problem"):
            table[name] = [f"'{one}" if one[:1] in ("=", "+", "-", "@") else one for one in table[name].tolist()]
        return table.to_csv(index=False)

    def lines(self, most: int | None = None) -> list[str]:
        """Return the findings as sentences, errors first."""
        table = self.table.sort_values("kind", kind="stable").head(len(self.table) if most is None else most)
        return [sentence(one) for one in table.to_dict("records")]

    def refuse(self) -> None:
        """Raise an InputError with the first errors, if there are any."""
        wrong = self.errors
        if not len(wrong):
            return
        lines = "\n  ".join(sentence(one) for one in wrong.head(SHOWN).to_dict("records"))
        more = f"\n  ... and {len(wrong) - SHOWN:,} more" if len(wrong) > SHOWN else ""
        what = "1 problem" if len(wrong) == 1 else f"{len(wrong):,} problems"
        raise InputError(f"the data set has {what}:\n  {lines}{more}\n`livingdrug data check FILE` lists all of them")


def sentence(finding: dict[str, Any]) -> str:
    """Return one finding as a sentence."""
    place = f"row {finding['row']}" if finding["row"] else "the table"
    who = f", subject {finding['id']}" if finding["id"] else ""
    column = f", {finding['column']}" if finding["column"] else ""
    value = f" = {finding['value']}" if finding["column"] and finding["value"] != "" else ""
    return f"{place}{who}{column}{value}: {finding['problem']}"


def shown(value: Any) -> str:
    r"""Return a cell as it is shown in a finding: short, on one line, without control characters.

    Example:
        >>> shown(12.0), shown("a" * 99), shown("one\ntwo"), shown(None)
        ('12', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...', 'one two', '')
    """
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    if isinstance(value, float | np.floating):
        return f"{value:.10g}"
    start = str(value)[: 4 * LONGEST_VALUE]
    text = "".join(letter if letter.isprintable() else " " for letter in start)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 2] + "..."


class Report:
    """Collects findings row by row; ``ids`` are the names of the subjects per row, once they are known.

    Args:
        names: what each row is called in messages; 1, 2, 3, ... unless given.
    """

    def __init__(self, names: np.ndarray | None = None) -> None:
        self.ids: np.ndarray | None = None
        self.names = names
        self.parts: list[dict[str, Any]] = []

    def add(self, rows: Any, column: str, values: Any, problem: str | Iterable[str], kind: str = ERROR) -> None:
        """Report rows (marked true, or their indices) with the values that they hold in a column (None: no value)."""
        rows = np.asarray(rows)
        at = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(int)
        if not len(at):
            return
        texts = [problem] * len(at) if isinstance(problem, str) else list(problem)
        found = [""] * len(at) if values is None else [shown(one) for one in _chosen(values, at)]
        who = [""] * len(at) if self.ids is None else [shown(one) for one in self.ids[at]]
        self._part(at, self.row_names(at), who, column, found, texts, kind)

    def whole(self, column: str, problem: str, kind: str = ERROR) -> None:
        """Report something of the whole table."""
        self._part(np.zeros(0, int), [0], [""], shown(column), [""], [problem], kind)

    def _part(self, at: np.ndarray, row: Any, who: Any, column: str, value: Any, problem: Any, kind: str) -> None:
        count = len(problem)
        columns = (row, who, [column] * count, value, problem, [kind] * count)
        self.parts.append({"at": at, **dict(zip(NAMES, columns, strict=True))})

    def row_names(self, at: np.ndarray) -> np.ndarray:
        """Return what rows are called in messages."""
        return at + 1 if self.names is None else self.names[at]

    def reported(self, column: str, count: int) -> np.ndarray:
        """Return which rows have a finding in a column already: one cell gets one message."""
        found = np.zeros(count, bool)
        for part in self.parts:
            if column in part["column"]:
                found[np.asarray(part["at"], int)] = True
        return found

    def findings(self) -> Findings:
        """Return what was collected, in order of the rows."""
        import pandas as pd

        columns = {name: [one for part in self.parts for one in part[name]] for name in NAMES}
        types = dict.fromkeys(NAMES, object) | {"row": np.int64}
        table = pd.DataFrame({name: pd.Series(columns[name], dtype=types[name]) for name in NAMES})
        return Findings(table.sort_values("row", kind="stable", ignore_index=True))


def _chosen(values: Any, at: np.ndarray) -> Any:
    return values.iloc[at] if hasattr(values, "iloc") else np.asarray(values, dtype=object)[at]

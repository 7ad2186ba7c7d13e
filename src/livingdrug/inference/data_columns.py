"""The columns of an event data set: which column means what, and its cells as numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.data_findings import WARNING, Report, shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MEANINGS", "Rows", "read_rows", "without_ignored"]

MEANINGS = {
    "ID": "subject",
    "TIME": "time of the row",
    "AMT": "amount of a dose",
    "DV": "measured value",
    "EVID": "0 observation, 1 dose, 2 other, 3 reset, 4 reset and dose",
    "MDV": "1: the row has no measured value",
    "CMT": "compartment",
    "RATE": "amount per time of an infusion",
    "DUR": "duration of an infusion",
    "ADDL": "further doses like this one",
    "II": "time between them",
    "SS": "1 or 2: dose in steady state",
    "DVID": "what was measured",
    "CENS": "1 below DV, -1 above DV, 0 measured",
    "LIMIT": "other end of a censored interval; of a measured value its limit of quantification",
    "BLQ": "1: below the limit of quantification",
    "LLOQ": "lower limit of quantification",
    "OCC": "occasion",
}
"""NM-TRAN's names, and those of limits of quantification -> what the column means."""

WORDS = ("ID", "DVID", "CMT")
BLANK = frozenset(("", ".", "na", "n/a", "nan", "null", "none"))
MISSING_CODES = (-99.0, -999.0, -9999.0)
MOST_ROWS = 20_000_000
MOST_COLUMNS = 2000
MOST_LEVELS = 1000
LONGEST_NAME = 200
WHOLE = re.compile(r"-?\d{1,12}\.0*(?:[eE]\+?0+)?")
FORMULA = ("=", "+", "@")
DATE = re.compile(r"\d{1,4}[-/.]\w{1,3}[-/.]\d{1,4}")


@dataclass(frozen=True, eq=False)
class Rows:
    """The table with its cells read: one array per column, NaN or an empty text where a cell is missing.

    Attributes:
        numbers: NM-TRAN's name -> numbers, for the columns that the table has.
        words: ID, DVID and CMT as text.
        covariates: name -> numbers.
        levels: covariate -> the words that its numbers stand for.
        given: NM-TRAN's name -> name in the table.
        names: number of each row in the table that the user has.
    """

    count: int
    names: np.ndarray
    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    words: dict[str, np.ndarray] = field(default_factory=dict)
    covariates: dict[str, np.ndarray] = field(default_factory=dict)
    levels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.given

    def get(self, name: str, missing: float = np.nan) -> np.ndarray:
        """Return a column of numbers; where the table has none, or a cell is missing, ``missing``."""
        found = self.numbers.get(name)
        if found is None:
            return np.full(self.count, missing)
        return np.where(np.isnan(found), missing, found)


def without_ignored(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the table without the rows that a first column named C marks with a C, and how many these were.

    Example:
        >>> import pandas as pd
        >>> without_ignored(pd.DataFrame({"C": ["C", "."], "ID": [1, 1]}))[0].to_dict("list")
        {'ID': [1]}
    """
    if not len(frame.columns) or str(frame.columns[0]).strip() != "C":
        return frame, 0
    words = texts(frame.iloc[:, 0])
    if not set(words.tolist()) <= {"C", ""}:
        return frame, 0
    return frame.loc[words == ""].iloc[:, 1:], int((words == "C").sum())


def read_rows(
    frame: pd.DataFrame, report: Report, columns: Mapping[str, str] | None, covariates: Sequence[str] | None
) -> Rows:
    """Return the table with its cells read; cells that cannot be read go into the report and count as missing.

    Raises:
        InputError: the columns themselves are wrong: one is missing, stands there twice or is not known.
    """
    names = _headings(frame)
    given = _meanings(names, columns or {})
    if not len(frame):
        raise InputError("the data set has a heading but no rows")
    rows = Rows(len(frame), report.row_names(np.arange(len(frame))), given=given)
    for meaning in [name for name in MEANINGS if name in given]:
        cells = frame.iloc[:, names.index(given[meaning])]
        if meaning in WORDS:
            rows.words[meaning] = texts(cells)
            if meaning == "ID":
                report.ids = rows.words["ID"]
            _check_words(rows.words[meaning], given[meaning], report)
        else:
            rows.numbers[meaning] = numbers(cells, given[meaning], report)
    _read_covariates(frame, names, covariates, rows, report)
    return rows


def _check_words(words: np.ndarray, name: str, report: Report) -> None:
    """Report words that a spreadsheet would run when it opens our tables."""
    runs = np.array([word[:1] in ("=", "@") for word in words.tolist()], bool)
    report.add(runs, name, words, "begins like a formula; give plain names")


def _headings(frame: pd.DataFrame) -> list[str]:
    """Return the names of the columns; refuse a table that cannot be one."""
    if frame.shape[0] > MOST_ROWS or frame.shape[1] > MOST_COLUMNS:
        raise InputError(
            f"the table has {frame.shape[0]:,} rows and {frame.shape[1]:,} columns; at most {MOST_ROWS:,} and "
            f"{MOST_COLUMNS:,} are read"
        )
    names = [str(name).strip() for name in frame.columns]
    odd = [at for at, name in enumerate(names) if not name.isprintable() or len(name) > LONGEST_NAME]
    if odd:
        raise InputError(f"the heading of column {odd[0] + 1} is no name of a column: {shown(names[odd[0]])!r}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"the heading {twice[0]!r:.60} stands there twice; name each column once")
    return names


def _meanings(names: list[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Return NM-TRAN's name -> name in the table."""
    for meaning, name in columns.items():
        if meaning not in MEANINGS:
            raise InputError(unknown_name("meaning of a column (columns=)", meaning, MEANINGS, shown=len(MEANINGS)))
        if name not in names:
            raise InputError(unknown_name(f"column for {meaning}", name, names))
    given = dict(columns)
    for meaning in MEANINGS:
        alike = [name for name in names if name.upper() == meaning and name not in columns.values()]
        if meaning not in given and len(alike) > 1:
            raise InputError(f"the headings {' and '.join(alike)} both mean {meaning}; keep one")
        if meaning not in given and alike:
            given[meaning] = alike[0]
    missing = [meaning for meaning in ("ID", "TIME", "DV") if meaning not in given]
    if missing:
        raise InputError(
            f"the data set has no column {missing[0]} ({MEANINGS[missing[0]]}); found: {', '.join(names[:20])}; a "
            f"column of another name is given by columns={{{missing[0]!r}: NAME}} (--column {missing[0]}=NAME)"
        )
    return given


def texts(cells: Any) -> np.ndarray:
    """Return cells as text without surrounding blanks; whole numbers without a point, missing cells empty.

    Example:
        >>> import pandas as pd
        >>> texts(pd.Series([1.0, 2.5])).tolist(), texts(pd.Series([" A-1 ", ".", None])).tolist()
        (['1', '2.5'], ['A-1', '', ''])
        >>> texts(pd.Series(["1.0000E+00", "1.", "001", "1.5"])).tolist()
        ['1', '1', '001', '1.5']
    """
    codes, values = _distinct(cells)
    words = np.array([_word(value) for value in values] + [""], object)
    return words[codes]


def _distinct(cells: Any) -> tuple[np.ndarray, Any]:
    """Return the code of each cell, -1 for a missing one, and what the codes stand for."""
    import pandas as pd

    try:
        return pd.factorize(cells)
    except TypeError as error:
        raise InputError(f"the column {cells.name!s:.40} holds lists, not numbers or words") from error


def _word(value: Any) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    text = str(value).strip()
    if WHOLE.fullmatch(text):  # as NONMEM writes its tables: 1.0000E+00
        text = str(int(float(text)))
    return "" if text.lower() in BLANK else text


def numbers(cells: Any, name: str, report: Report) -> np.ndarray:
    """Return cells as numbers; what is no finite number goes into the report and counts as missing."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(cells):
        return cells.astype("float64").to_numpy(na_value=np.nan) if cells.hasnans else cells.to_numpy(float)
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_complex_dtype(cells):
        values = cells.to_numpy(dtype=float, na_value=np.nan)
        unread = np.isinf(values)
    else:
        codes, distinct = _distinct(cells)
        parsed = np.array([_number(value) for value in distinct] + [np.nan])
        blank = np.array([_word(value) == "" for value in distinct] + [True])
        values, unread = parsed[codes], (np.isnan(parsed) & ~blank)[codes]
    at = np.flatnonzero(unread)
    if len(at):
        report.add(at, name, cells, [_why(cells.iloc[row]) for row in at])
    return np.where(unread, np.nan, values)


def _number(value: Any) -> float:
    """Return a cell as a finite number, else NaN; only plain decimal spelling counts (no 1_000, no 0x1F)."""
    text = str(value).strip()
    if len(text) > 60 or not text.isascii() or "_" in text:
        return np.nan
    try:
        found = float(text)
    except ValueError:
        return np.nan
    return found if np.isfinite(found) else np.nan


def _why(value: Any) -> str:
    text = str(value).strip()[:60]
    if text.startswith("=") or (text[:1] in FORMULA and not text[1:2].isdigit()):
        return "a formula, not a number; save the values of the sheet"
    if text.lower().lstrip("+-") in ("inf", "infinity") or re.fullmatch(r"[+-]?[0-9.]+[eE]\+?[0-9]{3,}", text):
        return "not a finite number"
    if text.count(",") == 1 and _finite(text.replace(",", ".")):
        return "not a number: write a decimal point"
    if ":" in text or DATE.fullmatch(text):
        return "a clock time or date, not a number; give the time since the first dose as a number"
    if text[:1] in "<>" and _finite(text[1:].strip(" =")):
        return "not a number: write the limit in DV and CENS = 1 (below) or -1 (above)"
    if text.upper() in ("BLQ", "BQL", "BLOQ", "<LLOQ", "LLOQ", "BLOD", "ND"):
        return "not a number: write CENS = 1 with the limit in DV, or BLQ = 1 with LLOQ"
    return "not a number"


def _finite(text: str) -> bool:
    return bool(np.isfinite(_number(text)))


def _read_covariates(
    frame: pd.DataFrame, names: list[str], wanted: Sequence[str] | None, rows: Rows, report: Report
) -> None:
    taken = set(rows.given.values())
    if wanted is None:
        chosen = [name for name in names if name not in taken and name]
    else:
        chosen = list(dict.fromkeys(wanted))
        for name in chosen:
            if name not in names:
                raise InputError(unknown_name("covariate in the table", name, names))
    for name in chosen:
        cells = frame.iloc[:, names.index(name)]
        found = _covariate(cells, name, rows, report)
        if found is not None:
            rows.covariates[name] = found
            odd = np.isin(found, MISSING_CODES) if name not in rows.levels else np.zeros(rows.count, bool)
            report.add(odd, name, found, "looks like a code for missing; write a point (.)", WARNING)


def _covariate(cells: Any, name: str, rows: Rows, report: Report) -> np.ndarray | None:
    """Return a covariate as numbers; a column in which most cells are words is a category."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(cells):
        return numbers(cells, name, report)
    words = texts(cells)
    distinct = sorted(set(words.tolist()) - {""})
    unread = [word for word in distinct if not _finite(word)]
    if not distinct or len(unread) * 2 <= len(distinct):
        return numbers(cells, name, report)
    if len(distinct) > MOST_LEVELS:
        report.whole(name, f"{len(distinct):,} different words are no covariate; the column is left out", WARNING)
        return None
    _check_words(words, name, report)
    rows.levels[name] = tuple(distinct)
    place: dict[str, float] = {word: float(code) for code, word in enumerate(distinct)} | {"": np.nan}
    return np.array([place[word] for word in words.tolist()])

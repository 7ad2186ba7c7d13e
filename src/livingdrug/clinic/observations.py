"""Observations: a long table of a chart, checked row by row; what cannot be is reported and never silently dropped.

Example:
    >>> rows = [("P1", 2.0, "temperature", 39.1, "degC"), ("P1", 2.0, "spo2", 140, "percent")]
    >>> chart = observe(rows)
    >>> len(chart.table), chart.findings["problem"].tolist()
    (1, ['impossible value: 140 percent, possible is 30 to 100'])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.clinic.observations_items import INFUSION, ITEMS, Item
from livingdrug.clinic.observations_units import convert_observation, unit_factors, units_of
from livingdrug.errors import InputError, nearest_names, unknown_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INFUSION", "ITEMS", "Item", "Observations", "convert_observation", "observe", "units_of"]

COLUMNS = ("patient", "time", "item", "value", "unit")
SET_ASIDE = "set aside: not graded"
BASELINE = "kept as baseline: not graded"
ONCE = "kept once"
BOTH = "both kept: the milder decides the lowest grade, the worse one the highest"
WIDEST_TIME = 36525.0  # days: a hundred years
SHOWN = 5
_TRUE_WORDS = {"true": "yes", "false": "no", "given": "yes", "present": "yes", "absent": "no"}
_ZONE = r"(?:[Zz]|[+-]\d{2}:?\d{2})$"

Infusion = Mapping[Any, datetime | str] | datetime | str | None


@dataclass(frozen=True, eq=False)
class Observations:
    """A chart that was checked.

    Attributes:
        table: patient, time (days since infusion), item, value (in the item's unit; words as their number), row.
        findings: row, patient, item, value, unit, problem, done: what was wrong in which row and what was done.
    """

    table: pd.DataFrame
    findings: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)


def observe(table: Any, *, infusion: Infusion = None, strict: bool = False) -> Observations:
    """Check a long table and return its observations, in the items' units, with everything that was wrong.

    Args:
        table: a pandas table, or rows of (patient, time, item, value, unit). Times are days since infusion, or dates
            with time and zone in ISO 8601; then the infusion is given here or by a row with the item "infusion".
        infusion: time of infusion of all patients, or patient -> time.
        strict: refuse a chart in which a row cannot be used, or two values contradict each other.

    Raises:
        InputError: a column is missing, or ``strict`` and something is wrong; the message lists row, item and value.
    """
    rows = _as_table(table)
    report = _Report()
    rows = _with_times(rows, infusion, report)
    rows = _with_values(rows, report)
    rows = _without_repeats(rows, report)
    report.add(rows[rows["time"] < 0], "time before infusion", BASELINE)
    findings = report.table()
    if strict:
        _refuse(findings)
    kept = rows[["patient", "time", "item", "number", "row"]].rename(columns={"number": "value"})
    return Observations(kept.reset_index(drop=True), findings)


def _as_table(table: Any) -> Any:
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        table = pd.DataFrame(list(table), columns=COLUMNS[: max(map(len, table), default=len(COLUMNS))])  # type: ignore[arg-type]
    missing = [name for name in COLUMNS[:4] if name not in table]
    if missing:
        raise InputError(
            f"a chart needs the columns {', '.join(COLUMNS)}; {missing[0]!r} is missing, found: "
            f"{', '.join(map(str, list(table)[:12])) or 'none'}"
        )
    rows = table[[name for name in COLUMNS if name in table]].copy()
    if "unit" not in rows:
        rows["unit"] = ""
    rows["row"] = table["row"].to_numpy() if "row" in table else np.arange(1, len(rows) + 1)
    for name in ("item", "unit"):
        if not isinstance(rows[name].dtype, pd.CategoricalDtype):
            rows[name] = rows[name].astype("category")
    return rows.reset_index(drop=True)


class _Report:
    """Collects what was wrong, in the words of the chart."""

    def __init__(self) -> None:
        self.parts: list[Any] = []

    def add(self, rows: Any, problem: Any, done: str) -> None:
        if len(rows):
            part = rows[["row", "patient", "item", "value", "unit"]].astype({"item": object, "unit": object})
            self.parts.append(part.assign(problem=problem, done=done))

    def table(self) -> Any:
        import pandas as pd

        names = ["row", "patient", "item", "value", "unit", "problem", "done"]
        if not self.parts:
            return pd.DataFrame({name: pd.Series(dtype=object) for name in names})
        return pd.concat(self.parts, ignore_index=True).sort_values("row", kind="stable", ignore_index=True)


def _refuse(findings: Any) -> None:
    wrong = findings[findings["done"].isin([SET_ASIDE, BOTH])]
    if not len(wrong):
        return
    lines = [
        f"row {r.row}: {r.item} {r.value!s:.40} {r.unit!s:.20} of patient {r.patient}: {r.problem}"
        for r in wrong.head(SHOWN).itertuples()
    ]
    more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    raise InputError(
        f"the chart has {len(wrong)} rows that cannot be used: {'; '.join(lines)}{more}. Correct them, or read the "
        "chart without strict: then they are set aside and listed"
    )


def _with_times(rows: Any, infusion: Infusion, report: _Report) -> Any:
    """Return the rows with their time in days since infusion; rows without one are reported and left out."""
    import pandas as pd

    blank = rows["patient"].isna() | (rows["patient"].astype(str).str.strip() == "") if _is_text(rows) else None
    if blank is not None and blank.any():
        report.add(rows[blank], "no patient", SET_ASIDE)
        rows = rows[~blank]
    rows = rows.rename(columns={"time": "given"})
    if pd.api.types.is_numeric_dtype(rows["given"]) and not pd.api.types.is_bool_dtype(rows["given"]):
        rows["time"] = rows["given"].astype(float)
    else:
        rows["time"] = pd.to_numeric(rows["given"], errors="coerce")
        rows = _dated(rows, infusion, report)
    rows = rows[rows["item"].astype(object).map(_plain_name) != INFUSION] if _has_infusion(rows) else rows
    bad = ~(rows["time"].abs() <= WIDEST_TIME)
    if bad.any():
        given = rows.loc[bad, "given"].map(_shown).astype(object)
        report.add(rows[bad], "the time " + given + " is not possible", SET_ASIDE)
        rows = rows[~bad]
    return rows


def _is_text(rows: Any) -> bool:
    import pandas as pd

    return not pd.api.types.is_integer_dtype(rows["patient"])


def _has_infusion(rows: Any) -> bool:
    return any(_plain_name(name) == INFUSION for name in rows["item"].cat.categories)


def _dated(rows: Any, infusion: Infusion, report: _Report) -> Any:
    """Turn dates into days since each patient's infusion."""
    import pandas as pd

    dated = rows["time"].isna()
    text = rows.loc[dated, "given"].astype(str).str.strip()
    zoned = text.str.contains(_ZONE) & text.str.contains(r"\d[T ]\d", regex=True)
    moments = pd.to_datetime(text.where(zoned), utc=True, format="ISO8601", errors="coerce")
    report.add(rows.loc[moments[moments.isna() & ~zoned].index], _no_zone(rows, moments, zoned), SET_ASIDE)
    report.add(rows.loc[moments[moments.isna() & zoned].index], "the time cannot be read", SET_ASIDE)
    rows = rows.drop(index=moments[moments.isna()].index)
    moments = moments.dropna()
    starts = _starts(rows.loc[moments.index], moments, infusion)
    unknown = starts[starts.isna()].index
    report.add(rows.loc[unknown], "the time of the infusion is not known (a row 'infusion', or infusion=)", SET_ASIDE)
    rows = rows.drop(index=unknown)
    days = (moments - starts).dt.total_seconds() / 86400
    rows.loc[days.dropna().index, "time"] = days.dropna()
    return rows


def _no_zone(rows: Any, moments: Any, zoned: Any) -> Any:
    given = rows.loc[moments[moments.isna() & ~zoned].index, "given"].astype(str).str[:40]
    return (
        "the time " + given + " is neither a number of days nor a date with time and zone (2026-01-31T08:00:00+01:00)"
    )


def _starts(rows: Any, moments: Any, infusion: Infusion) -> Any:
    """Return the time of infusion of each dated row, by the argument or by the chart's own rows."""
    import pandas as pd

    charted = rows[rows["item"].astype(object).map(_plain_name) == INFUSION] if _has_infusion(rows) else rows.iloc[:0]
    known: dict[Any, Any] = {}
    for index in moments[charted.index].sort_values(ascending=False).index:  # the first infusion counts
        known[charted.at[index, "patient"]] = moments[index]
    if isinstance(infusion, Mapping):
        known |= {patient: _moment(when) for patient, when in infusion.items()}
    elif infusion is not None:
        known |= dict.fromkeys(rows["patient"].unique(), _moment(infusion))
    starts = rows["patient"].map(known)
    return pd.to_datetime(starts, utc=True)


def _moment(when: datetime | str) -> Any:
    import pandas as pd

    try:
        moment = pd.Timestamp(when)
    except (ValueError, TypeError) as error:
        raise InputError(f"the time of infusion must be a date with time and zone, got {when!r:.40}") from error
    if moment is pd.NaT or moment.tzinfo is None:
        raise InputError(f"the time of infusion needs a zone, e.g. 2026-01-31T08:00:00+01:00, got {when!r:.40}")
    return moment.tz_convert("UTC")  # type: ignore[return-value]


def _plain_name(text: Any) -> str:
    return str(text).strip().lower().replace(" ", "_").replace("-", "_")


def _with_values(rows: Any, report: _Report) -> Any:
    """Return the rows with ``number``, the value in the unit of its item; what cannot be is reported and left out."""
    import pandas as pd

    names = [_plain_name(name) for name in rows["item"].cat.categories]
    codes = rows["item"].cat.codes.to_numpy()
    unit_names = [str(name) for name in rows["unit"].cat.categories]
    unit_codes = rows["unit"].cat.codes.to_numpy()
    number, problem = np.full(len(rows), np.nan), np.full(len(rows), None, object)
    for code in np.unique(codes):
        at = np.flatnonzero(codes == code)
        name = names[code] if code >= 0 else ""
        if name not in ITEMS:
            problem[at] = _unknown_item(name)
            continue
        given = rows["value"].iloc[at]
        for unit in np.unique(unit_codes[at]):
            some = unit_codes[at] == unit
            text = unit_names[unit] if unit >= 0 else ""
            number[at[some]], problem[at[some]] = _numbers(given[some], ITEMS[name], text)
    bad = np.fromiter((text is not None for text in problem), bool, len(problem))
    report.add(rows[bad], problem[bad], SET_ASIDE)
    order = {name: code for code, name in enumerate(ITEMS)}
    known = np.array([order.get(name, -1) for name in names] + [-1])[codes]
    rows = rows.assign(number=number, item=pd.Categorical.from_codes(known, list(ITEMS)))
    return rows[~bad] if bad.any() else rows


def _unknown_item(name: str) -> str:
    near = nearest_names(name, ITEMS)
    return f"unknown item {name[:40]!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _numbers(given: Any, one: Item, unit: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the values in the item's unit, and for each what is wrong with it (None if nothing)."""
    import pandas as pd

    problem = np.full(len(given), None, object)
    factors = unit_factors(one.name, unit) if not one.words else (1.0, 0.0)
    if factors is None:
        wrong = unknown_name(f"unit of {one.name}", unit[:20], units_of(one.name))
        problem[:] = wrong if unit.strip() else f"no unit; allowed: {', '.join(units_of(one.name))}"
        return np.full(len(given), np.nan), problem
    if one.words:
        given = _coded(given, one)
    elif pd.api.types.is_bool_dtype(given):
        given = given.astype(object).map(str)
    raw = pd.to_numeric(given, errors="coerce")
    raw = np.asarray(raw, float)
    number = raw * factors[0] + factors[1]
    if factors != (1.0, 0.0):
        number = np.round(number, 10)  # 100.4 degF is 38 degC, not 37.99999999999999
    unread = ~np.isfinite(number)
    outside = ~unread & ((number < one.least) | (number > one.most))
    if one.words:
        outside |= ~unread & (number != np.round(number))
    for at in np.flatnonzero(unread | outside):
        shown = _shown(given.iloc[at])
        problem[at] = f"not a number: {shown!r}" if unread[at] and not one.words else _impossible(shown, unit, one)
    return number, problem


def _shown(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else f"{value!s:.40}"


def _impossible(shown: str, unit: str, one: Item) -> str:
    if one.words:
        return f"impossible value: {shown!r}, possible are {', '.join(one.words)}"
    kept = f" {one.unit}" if unit.strip() != one.unit and one.unit != "1" else ""
    return f"impossible value: {shown} {unit}".rstrip() + f", possible is {one.least:g} to {one.most:g}{kept}"


def _coded(given: Any, one: Item) -> Any:
    """Return words as their number; numbers stay."""
    codes: dict[str, float | str] = {word: float(code) for code, word in enumerate(one.words)}

    def code(value: Any) -> Any:
        if isinstance(value, str):
            plain = _plain_name(value)
            return codes.get(plain, codes.get(_TRUE_WORDS.get(plain, ""), value))
        return float(value) if isinstance(value, bool | np.bool_) else value

    import pandas as pd

    if pd.api.types.is_numeric_dtype(given) and not pd.api.types.is_bool_dtype(given):
        return given
    distinct = {value: code(value) for value in given.unique()}
    return given.map(distinct)


def _without_repeats(rows: Any, report: _Report) -> Any:
    """Report values of one item at one time, equal ones and such that contradict each other; keep equal ones once."""
    key, items = moments(rows["patient"], rows["time"])[0], rows["item"].cat.codes.to_numpy()
    again = _repeated(key, items)
    if not again.any():
        return rows
    some, key = rows[again], (key * len(ITEMS) + items)[again]
    spread = some.groupby(key)["number"].transform("nunique")
    report.add(some[spread > 1], "two values at one time", BOTH)
    equal = some[some.assign(key=key).duplicated(["key", "number"])]
    report.add(equal, "the same value twice at one time", ONCE)
    return rows.drop(index=equal.index)


def _repeated(key: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return which rows share their key with another row of the same item; item by item, because that is fast."""
    import pandas as pd

    again = np.zeros(len(key), bool)
    for one in np.unique(items):
        at = np.flatnonzero(items == one)
        if np.any(np.diff(key[at]) <= 0):
            again[at] = pd.Series(key[at]).duplicated(keep=False).to_numpy()
    return again


def moments(patient: Any, time: Any) -> tuple[np.ndarray, Any, np.ndarray, np.ndarray]:
    """Return for each row the number of its patient and time, then the patients, and each row's patient and time."""
    import pandas as pd

    codes, names = pd.factorize(patient)
    times, distinct = pd.factorize(time)
    return codes.astype(np.int64) * len(distinct) + times, names, codes, np.asarray(distinct, float)

"""Observations: a long table of a chart, checked row by row; what cannot be is reported and never silently dropped.

Example:
    >>> rows = [("P1", 2.0, "temperature", 39.1, "degC"), ("P1", 2.0, "spo2", 140, "percent")]
    >>> chart = observe(rows)
    >>> len(chart.table), chart.findings["problem"].tolist()
    (1, ['impossible value: 140 percent, possible is 30 to 100'])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.clinic.observations_ice import BOTH, with_ice_scores
from livingdrug.clinic.observations_items import INFUSION, ITEMS, Item
from livingdrug.clinic.observations_units import convert_observation, unit_factors, units_of
from livingdrug.clinic.observations_weight import without_kilograms
from livingdrug.errors import InputError, nearest_names, unknown_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INFUSION", "ITEMS", "Item", "Observations", "convert_observation", "observe", "units_of"]

COLUMNS = ("patient", "time", "item", "value", "unit")
SET_ASIDE = "set aside: not graded"
BASELINE = "kept as baseline: not graded"
ONCE = "kept once"
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
    rows = without_kilograms(rows, report.add)
    rows = _with_values(rows, report)
    rows = _without_repeats(rows, report)
    rows = with_ice_scores(rows, report.add)
    report.add(rows[rows["time"] < 0], "time before infusion", BASELINE)
    findings = report.table()
    if strict:
        _refuse(findings)
    kept = rows[["patient", "time", "item", "number", "row"]].rename(columns={"number": "value"})
    return Observations(kept.reset_index(drop=True), findings)


def _as_table(table: Any) -> Any:
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        table = _of_rows(table)
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


def _of_rows(table: Any) -> Any:
    """Return rows of (patient, time, item, value, unit) as a table; the unit may be left out of all."""
    import pandas as pd

    if not isinstance(table, Iterable) or isinstance(table, str | bytes | Mapping):
        raise InputError(f"a chart is a table, or rows of ({', '.join(COLUMNS)}), got {type(table).__name__}")
    rows = list(table)
    widths = [len(row) if isinstance(row, Sequence) and not isinstance(row, str) else 0 for row in rows]
    usual = 4 if 4 in widths and 5 not in widths else 5
    for number, (width, row) in enumerate(zip(widths, rows, strict=True), start=1):
        if width != usual:
            raise InputError(f"a row of a chart is ({', '.join(COLUMNS)}), got {row!r:.60} in row {number}")
    return pd.DataFrame(rows, columns=COLUMNS[:usual])  # type: ignore[arg-type]


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

    blank = _blank(rows["patient"])
    if blank.any():
        report.add(rows[blank], "no patient", SET_ASIDE)
        rows = rows[~blank]
    rows = rows.rename(columns={"time": "given"})
    rows["given"] = _plain_times(rows["given"])
    if pd.api.types.is_numeric_dtype(rows["given"]) and not pd.api.types.is_bool_dtype(rows["given"]):
        rows["time"] = rows["given"].astype(float)
    else:
        values, codes = distinct(rows["given"])
        days = _floats(values)
        if np.isnan(days).any():
            rows = _dated(rows, values, codes, days, infusion, report)
        else:
            rows["time"] = rows["given"] = days[codes]
    rows = rows[~_is_infusion(rows["item"])] if _has_infusion(rows) else rows
    bad = ~(rows["time"].abs() <= WIDEST_TIME)
    if bad.any():
        given = rows.loc[bad, "given"].map(_shown).astype(object)
        report.add(rows[bad], "the time " + given + " is not possible", SET_ASIDE)
        rows = rows[~bad]
    return rows


def _plain_times(given: Any) -> Any:
    """Return times as numbers of days or as text, whatever kind of column they came in."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(given):
        return given.map(str).astype(object)
    if pd.api.types.is_timedelta64_dtype(given):
        return given.dt.total_seconds() / 86400
    if pd.api.types.is_datetime64_any_dtype(given):
        codes, times = pd.factorize(given, use_na_sentinel=False)
        texts = pd.Categorical.from_codes(codes, [str(time.isoformat()) for time in times])
        return pd.Series(texts, index=given.index)
    return given


def _floats(values: Any) -> np.ndarray:
    """Return numbers, NaN for what is none."""
    import pandas as pd

    try:
        found = pd.to_numeric(values, errors="coerce")
        if not pd.api.types.is_complex_dtype(found):
            return np.asarray(found, float)
    except OverflowError:
        pass
    return np.array([_float(value) for value in values], float)


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def distinct(column: Any) -> tuple[Any, np.ndarray]:
    """Return values of a column such that text that is often repeated is read once, and for each row its place."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype) and not column.isna().any():
        codes = column.cat.codes.to_numpy()
        used = np.flatnonzero(np.bincount(codes, minlength=len(column.cat.categories)))
        place = np.zeros(len(column.cat.categories), np.intp)
        place[used] = np.arange(len(used))
        return pd.Series(np.asarray(column.cat.categories[used], object), dtype=object), place[codes]
    if isinstance(column.dtype, pd.StringDtype) and not column.isna().any():
        codes, names = pd.factorize(column)
        return pd.Series(np.asarray(names, object), dtype=object), codes
    return column.reset_index(drop=True), np.arange(len(column))


def _blank(patients: Any) -> np.ndarray:
    """Return which rows name no patient."""
    import pandas as pd

    if pd.api.types.is_integer_dtype(patients):
        return np.zeros(len(patients), bool)
    values, codes = distinct(patients)
    return (values.isna() | (values.astype(str).str.strip() == "")).to_numpy()[codes]


def _is_infusion(items: Any) -> np.ndarray:
    named = [_plain_name(name) == INFUSION for name in items.cat.categories]
    return np.array([*named, False])[items.cat.codes.to_numpy()]


def _has_infusion(rows: Any) -> bool:
    return any(_plain_name(name) == INFUSION for name in rows["item"].cat.categories)


def _dated(rows: Any, values: Any, codes: np.ndarray, days: np.ndarray, infusion: Infusion, report: _Report) -> Any:
    """Turn dates into days since each patient's infusion.

    ``values``: the distinct times; ``codes``: the place of each row in them; ``days``: as numbers, NaN for dates.
    """
    import pandas as pd

    dated = np.isnan(days)
    text = values[dated].astype(str).str.strip()
    zoned = text.str.contains(_ZONE) & text.str.contains(r"\d[T ]\d", regex=True)
    read = pd.to_datetime(text.where(zoned), utc=True, format="ISO8601", errors="coerce").reindex(values.index)
    zoned = zoned.reindex(values.index, fill_value=True).to_numpy(bool)
    unread = dated & read.isna().to_numpy()
    bare = (unread & ~zoned)[codes]
    report.add(rows[bare], _no_zone(rows["given"][bare]), SET_ASIDE)
    report.add(rows[(unread & zoned)[codes]], "the time cannot be read", SET_ASIDE)
    rows["time"] = days[codes]
    moments = read.take(codes).set_axis(rows.index)[dated[codes] & ~unread[codes]]
    rows = rows[~unread[codes]]
    starts = _starts(rows.loc[moments.index], moments, infusion)
    unknown = starts[starts.isna()].index
    report.add(rows.loc[unknown], "the time of the infusion is not known (a row 'infusion', or infusion=)", SET_ASIDE)
    rows = rows.drop(index=unknown) if len(unknown) else rows.copy()
    since = (moments - starts).dt.total_seconds() / 86400
    rows.loc[since.dropna().index, "time"] = since.dropna()
    return rows


def _no_zone(given: Any) -> Any:
    return (
        "the time " + given.astype(object).map(_shown).astype(object) + " is neither a number of days nor a date with "
        "time and zone (2026-01-31T08:00:00+01:00)"
    )


def _starts(rows: Any, moments: Any, infusion: Infusion) -> Any:
    """Return the time of infusion of each dated row, by the argument or by the chart's own rows."""
    import pandas as pd

    charted = rows[_is_infusion(rows["item"])] if _has_infusion(rows) else rows.iloc[:0]
    known: dict[Any, Any] = {}
    for index in moments[charted.index].sort_values(ascending=False).index:  # the first infusion counts
        known[charted.at[index, "patient"]] = moments[index]
    codes, names = pd.factorize(rows["patient"])
    if isinstance(infusion, Mapping):
        known |= {patient: _moment(when) for patient, when in infusion.items()}
    elif infusion is not None:
        known |= dict.fromkeys(names, _moment(infusion))
    starts = pd.to_datetime(pd.Series([known.get(name) for name in names], dtype=object), utc=True)
    return starts.take(codes).set_axis(rows.index)


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
    number, wrong = np.full(len(rows), np.nan), []
    for code in _used(codes):
        at = np.flatnonzero(codes == code)
        name = names[code] if code >= 0 else ""
        if name not in ITEMS:
            wrong.append((at, np.full(len(at), _unknown_item(name), object)))
            continue
        given, own = rows["value"].iloc[at], unit_codes[at]
        for unit in _used(own):
            some = own == unit
            text = unit_names[unit] if unit >= 0 else ""
            values, places = distinct(given[some])
            found, problem = _numbers(values, ITEMS[name], text)
            number[at[some]] = found[places]
            if problem is not None:
                problem = problem[places]
                bad = np.array([text is not None for text in problem])
                wrong.append((at[some][bad], problem[bad]))
    unusable = np.zeros(len(rows), bool)
    if wrong:
        at, problem = (np.concatenate(parts) for parts in zip(*wrong, strict=True))
        by_row = np.argsort(at)
        report.add(rows.iloc[at[by_row]], problem[by_row], SET_ASIDE)
        unusable[at] = True
    order = {name: code for code, name in enumerate(ITEMS)}
    known = np.array([order.get(name, -1) for name in names] + [-1])[codes]
    rows = rows.assign(number=number, item=pd.Categorical.from_codes(known, list(ITEMS)))
    return rows[~unusable] if wrong else rows


def _used(codes: np.ndarray) -> list[int]:
    """Return the codes that occur, in rising order; -1 stands for none."""
    return (np.flatnonzero(np.bincount(codes + 1)) - 1).tolist()


def _unknown_item(name: str) -> str:
    near = nearest_names(name, ITEMS)
    return f"unknown item {name[:40]!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _numbers(given: Any, one: Item, unit: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the values in the item's unit, and for each what is wrong with it (None if nothing); None: all right."""
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
    number = _floats(given) * factors[0] + factors[1]
    if factors != (1.0, 0.0):
        number = np.round(number, 10)  # 100.4 degF is 38 degC, not 37.99999999999999
    unread = ~np.isfinite(number)
    outside = ~unread & ((number < one.least) | (number > one.most))
    if one.words or one.whole:
        outside |= ~unread & (number != np.round(number))
    if not (unread | outside).any():
        return number, None
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
    kept += " in whole numbers" if one.whole else ""
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

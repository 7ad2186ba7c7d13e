"""Scales that count days with low blood counts: early and late ICAHT, and its form for platelets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from livingdrug.clinic.grading import ScaleGrades
from livingdrug.clinic.grading_rules import DayCell, DayScale
from livingdrug.clinic.observations import Observations

__all__ = ["count_days", "grade_days", "judge_days"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int8]
LONGEST_UNSTABLE_RECOVERY = 2  # days; a recovery of less than 3 days counts as low: T-ICAHT table 1, note
LATEST_START = 3  # "never above": low from day 3 at the latest; Liang


def grade_days(chart: Observations, each: DayScale) -> ScaleGrades:
    """Grade a chart: a row per patient and day of the window, up to the patient's last day of the chart.

    On each day stands the grade of all days so far. A day without a measurement is open: it may have been low unless
    both measurements around it were not and are near.
    """
    import pandas as pd

    table = chart.table[chart.table["time"] >= 0]
    codes, names = pd.factorize(table["patient"])
    days = np.floor(np.asarray(table["time"], float)).astype(np.intp)
    first, last = each.window
    ends = np.full(len(names), -1)
    np.maximum.at(ends, codes, days)
    low, high = _daily(table, codes, days, each, len(names))
    hidden = _hidden(table, codes, days, each, low.shape)
    lowest, rule_low, highest, rule_high = judge_days(each, low, high, hidden)
    rows, columns = np.nonzero(np.arange(first, last + 1)[None, :] <= ends[:, None])
    pick = (rows, columns)
    return ScaleGrades(
        each, np.asarray(names, object), rows, (columns + first).astype(float), lowest[pick], highest[pick],
        rule_low[pick], rule_high[pick], {each.item: np.isnan(low[pick])},
        {f"{each.item} of unmeasured days": _quiet(each, low)[pick]}, {each.item: low[pick]},
        {f"{each.masked_by} up to {each.masked_days} days before: may be low": hidden[pick]} if each.masked_by else {},
    )  # fmt: skip


def _hidden(table: object, codes: NDArray[np.intp], days: NDArray[np.intp], each: DayScale, shape: tuple) -> Flags:
    """Return on which days a count that is not low proves nothing, because of a treatment up to some days before."""
    hidden = np.zeros(shape, bool)
    if not each.masked_by:
        return hidden
    given = ((table["item"] == each.masked_by) & (table["value"] > 0)).to_numpy()  # type: ignore[index,operator]
    first, last = each.window
    for later in range(each.masked_days):
        day = days[given] + later
        inside = (day >= first) & (day <= last)
        hidden[codes[given][inside], day[inside] - first] = True
    return hidden


def _daily(
    table: object, codes: NDArray[np.intp], days: NDArray[np.intp], each: DayScale, count: int
) -> tuple[Array, Array]:
    """Return the lowest count of each day (patients, days of the window), for the worst and the mildest reading."""
    first, last = each.window
    shape = (count, last - first + 1)
    here = (table["item"] == each.item).to_numpy() & (days >= first) & (days <= last)  # type: ignore[index]
    rows, columns = codes[here], days[here] - first
    values, times = table["value"].to_numpy(float)[here], table["time"].to_numpy(float)[here]  # type: ignore[index]
    worst, mild = np.full(shape, np.inf), np.full(shape, np.inf)
    np.minimum.at(worst, (rows, columns), values)
    # Of two values at one time the higher one is the milder reading; of several times a day the lowest counts.
    order = np.lexsort((values, times, rows))
    again = np.zeros(len(order), bool)
    again[:-1] = (rows[order][1:] == rows[order][:-1]) & (times[order][1:] == times[order][:-1])
    kept = order[~again]
    np.minimum.at(mild, (rows[kept], columns[kept]), values[kept])
    return np.where(np.isinf(worst), np.nan, worst), np.where(np.isinf(mild), np.nan, mild)


def judge_days(
    each: DayScale, worst: Array, mild: Array, hidden: Flags | bool = False
) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Return lowest grade, its cell, highest grade and its cell (patients, days) of daily counts.

    Args:
        each: the scale.
        worst: (patients, days of the window) the lowest count of each day, NaN where none was measured.
        mild: the same where two values contradict each other and the milder one is taken.
        hidden: where a count that is not low proves nothing, e.g. after a transfusion.
    """
    shape = worst.shape
    results = (
        [np.zeros(shape, np.int8), np.full(shape, -1, np.int8)],
        [
            np.zeros(shape, np.int8),
            np.full(shape, -1, np.int8),
        ],
    )
    for place, cell in enumerate(each.cells):
        for met, (reached, rule) in zip(_met_days(each, cell, worst, mild, hidden), results, strict=True):
            met = met & (reached < cell.grade)
            reached[met], rule[met] = cell.grade, place
    (lowest, rule_low), (highest, rule_high) = results
    return lowest, rule_low, highest, rule_high


def _met_days(each: DayScale, cell: DayCell, worst: Array, mild: Array, hidden: Flags | bool) -> tuple[Flags, Flags]:
    """Return on which days a cell is surely met, and on which it may be."""
    sure, may = (x <= cell.below if each.inclusive else x < cell.below for x in (mild, worst))
    may = may | hidden
    may = may | _perhaps_low(may, np.isnan(worst), each.quiet_gap)
    if cell.never_above:
        return tuple(_never_above(low) for low in (sure, may))  # type: ignore[return-value]
    enough = np.cumsum(sure, axis=1) >= each.measurements
    return (count_days(sure) >= cell.days) & enough, count_days(may) >= cell.days


def count_days(low: Flags) -> NDArray[np.intp]:
    """Return for each day how many days were low so far, recoveries of less than 3 days counted with them.

    Args:
        low: (patients, days) whether the count was low.

    Example:
        >>> count_days(np.array([[1, 0, 0, 1, 0, 0, 0, 1]], bool)).tolist()
        [[1, 2, 3, 4, 4, 4, 4, 5]]
    """
    bridged = low.copy()
    for gap in range(1, LONGEST_UNSTABLE_RECOVERY + 1):
        ends = low[:, : -gap - 1] & low[:, gap + 1 :]
        for day in range(1, gap + 1):
            bridged[:, day : day + ends.shape[1]] |= ends
    return np.cumsum(bridged, axis=1, dtype=np.intp)


def _never_above(low: Flags) -> Flags:
    """Return, on the last day of the window only, whether the count stayed low from day 3 at the latest."""
    met = np.zeros(low.shape, bool)
    met[:, -1] = low[:, LATEST_START:].all(axis=1)
    return met


def _quiet(each: DayScale, worst: Array) -> Flags:
    """Return on which days an unmeasured day so far was taken as not low for some cell, because it lies in a gap."""
    limit = min(cell.below for cell in each.cells)
    unknown, low = np.isnan(worst), worst <= limit if each.inclusive else worst < limit
    return np.logical_or.accumulate(unknown & ~_perhaps_low(low, unknown, each.quiet_gap), axis=1)


def _perhaps_low(low: Flags, unknown: Flags, quiet_gap: int) -> Flags:
    """Return the unmeasured days that may have been low.

    They are those of which a neighbouring measurement was low, does not exist, or is farther away than a gap in which
    nothing happens unseen.
    """
    days = np.arange(low.shape[1])
    before = np.maximum.accumulate(np.where(unknown, -1, days), axis=1)
    after = np.minimum.accumulate(np.where(unknown, len(days), days)[:, ::-1], axis=1)[:, ::-1]
    rows = np.arange(low.shape[0])[:, None]
    low_before = np.where(before >= 0, low[rows, np.maximum(before, 0)], True)
    low_after = np.where(after < len(days), low[rows, np.minimum(after, len(days) - 1)], True)
    return unknown & (low_before | low_after | (after - before - 1 > quiet_gap))

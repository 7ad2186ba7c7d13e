"""Episodes: when a syndrome began, how high it went, how long it lasted, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.clinic.grading_rules import MARKS
from livingdrug.clinic.grading_signs import CLEAR_DAYS
from livingdrug.clinic.grading_tables import weakness

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.clinic.grading import ScaleGrades

__all__ = ["episodes"]

Places = NDArray[np.intp]
Times = NDArray[np.float64]


def episodes(scales: Iterable[ScaleGrades]) -> pd.DataFrame:
    """Return a row per patient, scale and episode, and one (episode 0) for what lies outside of sure episodes.

    An episode is a time with a lowest grade of 1 or more; 24 hours without one end it (assumed), so a later one is a
    recurrence. Columns: onset, earliest_onset (from when a grade was possible), maximum and highest_maximum,
    time_of_maximum, end (the first time without a grade; missing where none was charted), latest_end (the first time at
    which no grade was possible), duration in days, mark (the weakest proof of the rules that decided). Episode 0 holds
    the highest grade possible outside; it is 0 only where that is sure.
    """
    import pandas as pd

    return pd.concat([_of_scale(each) for each in scales], ignore_index=True)


def _of_scale(each: ScaleGrades) -> pd.DataFrame:
    import pandas as pd

    first, last = _segments(each)
    inside = np.zeros(len(each) + 1, np.intp)
    np.add.at(inside, first, 1)
    np.add.at(inside, last + 1, -1)
    covered = np.cumsum(inside)[:-1] > 0
    table = pd.concat([_sure(each, first, last), _outside(each, covered)], ignore_index=True)
    table = table.sort_values(["place", "episode"], ignore_index=True)
    table.insert(0, "scale", each.scale.name)
    table.insert(0, "patient", each.names[table.pop("place")])
    return table


def _segments(each: ScaleGrades) -> tuple[Places, Places]:
    """Return first and last row of each episode."""
    sick = np.flatnonzero(each.lowest >= 1)
    if not sick.size:
        return sick, sick
    before, after = sick[:-1], sick[1:]
    cleared = np.minimum(before + 1, len(each) - 1)  # the first row after it: free of signs unless it is the next one
    apart = (after > before + 1) & (each.time[after] - each.time[cleared] >= CLEAR_DAYS)
    starts = np.concatenate(([True], (each.patient[after] != each.patient[before]) | apart))
    return sick[starts], sick[np.concatenate((starts[1:], [True]))]


def _sure(each: ScaleGrades, first: Places, last: Places) -> pd.DataFrame:
    import pandas as pd

    highest, lowest = (_greatest(values, first, last) for values in (each.highest, each.lowest))
    rows = np.arange(len(each))
    inside = np.repeat(np.arange(len(first)), last - first + 1)  # the episode of each row of an episode
    row = rows[: len(inside)] - np.repeat(np.cumsum(last - first + 1) - (last - first + 1) - first, last - first + 1)
    tops = np.flatnonzero(each.lowest[row] == lowest[inside])
    peak = row[tops[np.searchsorted(inside[tops], np.arange(len(first)))]] if len(first) else first
    end, latest = _after(each, last, each.lowest == 0), _after(each, last, each.highest == 0)
    return pd.DataFrame(
        {
            "place": each.patient[first],
            "episode": _count_within(each.patient[first]),
            "onset": each.time[first],
            "earliest_onset": _possible_onset(each, first, last),
            "maximum": each.lowest[peak].astype(int),
            "highest_maximum": highest,
            "time_of_maximum": each.time[peak],
            "end": end,
            "latest_end": latest,
            "duration": end - each.time[first],
            "mark": np.array(MARKS, object)[_greatest(weakness(each), first, last)],
        }
    )


def _greatest(values: NDArray[Any], first: Places, last: Places) -> Places:
    """Return the greatest value of each stretch of rows, both ends counted."""
    if not len(first):
        return first
    bounds = np.stack((first, last + 1), axis=1).reshape(-1)
    return np.maximum.reduceat(np.append(values, values[:1]), bounds)[::2].astype(int)


def _count_within(patients: Places) -> Places:
    """Number the episodes of each patient from 1."""
    places = np.arange(len(patients))
    new = np.concatenate(([True], patients[1:] != patients[:-1])) if len(patients) else np.zeros(0, bool)
    return places - np.maximum.accumulate(np.where(new, places, 0)) + 1 if len(patients) else places


def _after(each: ScaleGrades, last: Places, well: NDArray[np.bool_]) -> Times:
    """Return the time of the first row after an episode at which a patient is well, NaN where there is none."""
    next_well = np.where(well, np.arange(len(each)), len(each))
    next_well = np.minimum.accumulate(next_well[::-1])[::-1]
    row = np.append(next_well, len(each))[last + 1]
    found = np.minimum(row, len(each) - 1)
    same = (row < len(each)) & (each.patient[found] == each.patient[last])
    return np.where(same, each.time[found], np.nan)


def _possible_onset(each: ScaleGrades, first: Places, last: Places) -> Times:
    """Return the first of the rows that lead up to an episode with a grade that was possible."""
    if not len(first):
        return each.time[:0]
    rows = np.arange(len(each))
    starts = np.concatenate(([True], each.patient[1:] != each.patient[:-1]))
    after_well = np.concatenate(([False], each.highest[:-1] == 0))
    lead = np.maximum.accumulate(np.where(starts | after_well, rows, 0))[first]
    before = np.concatenate(([0], last[:-1] + 1))  # not earlier than the end of the episode before
    same = np.concatenate(([False], each.patient[first][1:] == each.patient[first][:-1]))
    return each.time[np.where(same, np.maximum(lead, before), lead)]


def _outside(each: ScaleGrades, covered: NDArray[np.bool_]) -> pd.DataFrame:
    import pandas as pd

    count = len(each.names)
    highest, seen, weakest = np.zeros(count, int), np.zeros(count, bool), np.zeros(count, int)
    np.maximum.at(weakest, each.patient[~covered], weakness(each)[~covered])
    np.maximum.at(highest, each.patient[~covered], each.highest[~covered])
    seen[each.patient[~covered]] = True
    places = np.flatnonzero(seen)
    none = np.full(len(places), np.nan)
    return pd.DataFrame(
        {
            "place": places, "episode": 0, "onset": none, "earliest_onset": none, "maximum": 0,
            "highest_maximum": highest[places], "time_of_maximum": none, "end": none, "latest_end": none,
            "duration": none, "mark": np.array(MARKS, object)[weakest[places]],
        }
    )  # fmt: skip

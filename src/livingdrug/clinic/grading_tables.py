"""Tables of grades: per time and per day, with the rule, the observations that decided, and what was missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from livingdrug.clinic.observations_items import ITEMS

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.clinic.grading import ScaleGrades

__all__ = ["by_day", "by_time"]

NOTHING = "no observation on this day"


def by_time(scales: Iterable[ScaleGrades]) -> pd.DataFrame:
    """Return a row per patient, time and scale; see ``Grades.by_time``."""
    import pandas as pd

    return pd.concat([_times(each) for each in scales], ignore_index=True)


def _times(each: ScaleGrades) -> pd.DataFrame:
    import pandas as pd

    labels = np.array([f"{cell.domain}: {cell.text}" for cell in each.scale.cells] + [""], object)
    marks = np.array([cell.mark for cell in each.scale.cells] + [each.scale.mark], object)
    is_open = each.highest > each.lowest
    return pd.DataFrame(
        {
            "patient": each.names[each.patient],
            "time": each.time,
            "scale": each.scale.name,
            "lowest": each.lowest,
            "highest": each.highest,
            "rule": labels[each.rule_lowest],
            "rule_highest": labels[each.rule_highest],
            "observations": _observations(each),
            "attribution": _listed(each.remarks, len(each), "; "),
            "missing": np.where(is_open, _listed(each.missing, len(each)), ""),
            "assumed": _listed(each.assumed, len(each)),
            "mark": marks[np.where(each.rule_lowest >= 0, each.rule_lowest, each.rule_highest)],
        }
    )


def _observations(each: ScaleGrades) -> NDArray[np.object_]:
    """Return for each row what was observed of the items on which its deciding cell hangs."""
    words = np.full(len(each), "", object)
    deciding = np.where(each.rule_lowest >= 0, each.rule_lowest, each.rule_highest)
    for place in np.unique(deciding[deciding >= 0]):
        cell = each.scale.cells[place]
        rows = np.flatnonzero(deciding == place)
        for name in getattr(cell, "items", each.scale.items):
            words[rows] += _shown(each, name, rows)
    return np.array([text.removesuffix("; ") for text in words], object)


def _shown(each: ScaleGrades, name: str, rows: NDArray[np.intp]) -> NDArray[np.object_]:
    values = np.broadcast_to(each.values[name], (len(each),))[rows]
    one = ITEMS[name]
    known = ~np.broadcast_to(each.missing[name], (len(each),))[rows] & ~np.isnan(values)
    if one.absent is not None or one.words:  # what stands for "well" decides nothing
        known &= values != (one.mildest if one.absent is None else one.absent)
    distinct, inverse = np.unique(values, return_inverse=True)
    texts = np.array([f"{name} {one.show(value)}; " if not np.isnan(value) else "" for value in distinct], object)
    return np.where(known, texts[inverse], "")


def _listed(flags: Mapping[str, NDArray[np.bool_]], count: int, between: str = ", ") -> NDArray[np.object_]:
    words = np.full(count, "", object)
    for name, flag in flags.items():
        words[np.broadcast_to(flag, (count,))] += name + between
    return np.array([text.removesuffix(between) for text in words], object)


def by_day(scales: Iterable[ScaleGrades]) -> pd.DataFrame:
    """Return a row per patient, day and scale; see ``Grades.by_day``."""
    import pandas as pd

    return pd.concat([_days(each) for each in scales], ignore_index=True)


def _days(each: ScaleGrades) -> pd.DataFrame:
    """Return the highest of a day's lowest grades and of its highest ones, for all days up to each patient's last."""
    import pandas as pd

    from livingdrug.clinic.grading_rules import DayScale

    first = each.scale.window[0] if isinstance(each.scale, DayScale) else 0
    day = np.floor(each.time).astype(np.intp) - first
    shape = (len(each.names), int(day.max()) + 1 if len(day) else 0)
    lowest, highest = np.zeros(shape, np.int8), np.full(shape, each.scale.highest, np.int8)
    seen = np.zeros(shape, bool)
    seen[each.patient, day] = True
    highest[seen] = 0
    np.maximum.at(lowest, (each.patient, day), each.lowest)
    np.maximum.at(highest, (each.patient, day), each.highest)
    last = np.full(len(each.names), -1)
    np.maximum.at(last, each.patient, day)
    rows, columns = np.nonzero(np.arange(shape[1])[None, :] <= last[:, None])
    return pd.DataFrame(
        {
            "patient": each.names[rows],
            "day": columns + first,
            "scale": each.scale.name,
            "lowest": lowest[rows, columns],
            "highest": highest[rows, columns],
            "note": np.where(seen[rows, columns], "", NOTHING),
            "mark": each.scale.mark,
        }
    )

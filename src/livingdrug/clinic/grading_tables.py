"""Tables of grades: per time and per day, with the rule, the observations that decided, and what was missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.clinic.grading_rules import MARKS
from livingdrug.clinic.observations_items import ITEMS

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.clinic.grading import ScaleGrades

__all__ = ["by_day", "by_time", "weakness"]

NOTHING = "no observation on this day"


def by_time(scales: Iterable[ScaleGrades]) -> pd.DataFrame:
    """Return a row per patient, time and scale; see ``Grades.by_time``."""
    import pandas as pd

    return pd.concat([_times(each) for each in scales], ignore_index=True)


def _times(each: ScaleGrades) -> pd.DataFrame:
    import pandas as pd

    cells, places = each.scale.cells, len(each.scale.cells)
    labels = [f"{cell.domain}: {cell.text}" for cell in cells] + [""]
    everywhere = np.ones(len(each), bool)
    return pd.DataFrame(
        {
            "patient": _patients(each.names, each.patient),
            "time": each.time,
            "scale": _repeated([each.scale.name], np.zeros(len(each), np.intp)),
            "lowest": each.lowest,
            "highest": each.highest,
            "rule": _repeated(labels, each.rule_lowest.astype(np.intp) % (places + 1)),
            "rule_highest": _repeated(labels, each.rule_highest.astype(np.intp) % (places + 1)),
            "observations": _observations(each),
            "attribution": _listed(each.remarks, len(each), everywhere, "; "),
            "missing": _listed(each.missing, len(each), each.highest > each.lowest),
            "assumed": _listed(each.assumed, len(each), everywhere),
            "mark": _repeated(MARKS, weakness(each)),
        }
    )


def weakness(each: ScaleGrades) -> NDArray[np.intp]:
    """Return for each row how weakly its deciding cell is proved, a place in ``MARKS``; without a cell: the scale."""
    deciding = np.where(each.rule_lowest >= 0, each.rule_lowest, each.rule_highest).astype(np.intp)
    marks = [cell.mark for cell in each.scale.cells] + [each.scale.mark]
    return np.array([MARKS.index(mark) for mark in marks])[deciding % len(marks)]


def _patients(names: NDArray[np.object_], places: NDArray[np.intp]) -> Any:
    """Return the patients of rows."""
    return _repeated(names.tolist(), places) if all(isinstance(name, str) for name in names) else names[places]


class _Patterns:
    """What a row's text hangs on, as one number per row, so that each text is written once."""

    def __init__(self, count: int) -> None:
        self.code, self.count = np.zeros(count, np.int64), 1

    def add(self, code: NDArray[np.intp], count: int) -> None:
        """Tell rows apart by one more number from 0 to below ``count``."""
        import pandas as pd

        if self.count > 2**62 // max(count, 1):
            self.code, known = pd.factorize(self.code)
            self.count = len(known)
        self.code, self.count = self.code * count + code, self.count * count

    def rows(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return for each row the number of its pattern, and one row of each pattern."""
        import pandas as pd

        number, known = pd.factorize(self.code)
        one = np.zeros(len(known), np.intp)
        one[number[::-1]] = np.arange(len(number))[::-1]
        return number, one


def _observations(each: ScaleGrades) -> Any:
    """Return for each row what was observed of the items on which its deciding cell hangs."""
    deciding = np.where(each.rule_lowest >= 0, each.rule_lowest, each.rule_highest).astype(np.intp)
    cells = each.scale.cells
    shown = [getattr(cell, "items", each.scale.items) for cell in cells] + [()]
    patterns = _Patterns(len(each))
    patterns.add(deciding + 1, len(cells) + 1)
    texts: dict[str, tuple[NDArray[np.intp], list[str]]] = {}
    for name in dict.fromkeys(name for items in shown for name in items):
        texts[name] = _shown(each, name)
        asked = np.array([name in items for items in shown])[deciding]
        patterns.add(np.where(asked, texts[name][0], 0), len(texts[name][1]))
    number, one = patterns.rows()
    words = [
        "; ".join(filter(None, (texts[name][1][texts[name][0][row]] for name in shown[deciding[row]]))) for row in one
    ]
    return _repeated(words, number)


def _shown(each: ScaleGrades, name: str) -> tuple[NDArray[np.intp], list[str]]:
    """Return for each row the place of an item's text, and the texts; the first one is empty."""
    values = np.broadcast_to(each.values[name], (len(each),))
    one = ITEMS[name]
    known = ~np.broadcast_to(each.missing[name], (len(each),)) & ~np.isnan(values)
    if one.absent is not None or one.words:  # what stands for "well" decides nothing
        known &= values != (one.mildest if one.absent is None else one.absent)
    codes, distinct = _factorized(values)
    return np.where(known, codes + 1, 0), ["", *(f"{name} {one.show(value)}" for value in distinct)]


def _factorized(values: NDArray[np.float64]) -> tuple[NDArray[np.intp], list[float]]:
    import pandas as pd

    codes, distinct = pd.factorize(values)  # -1: not a number
    return codes, distinct.tolist()


def _listed(flags: Mapping[str, NDArray[np.bool_]], count: int, where: NDArray[np.bool_], between: str = ", ") -> Any:
    """Return for each row the names of its flags, and nothing where they are not asked for."""
    patterns = _Patterns(count)
    raised = {name: np.broadcast_to(flag, (count,)) & where for name, flag in flags.items()}
    for flag in raised.values():
        patterns.add(flag.astype(np.intp), 2)
    number, one = patterns.rows()
    return _repeated([between.join(name for name, flag in raised.items() if flag[row]) for row in one], number)


def _repeated(words: Sequence[str], number: NDArray[np.intp]) -> Any:
    """Return a column of text in which row ``i`` is ``words[number[i]]``."""
    import pandas as pd
    import pyarrow as pa

    text = pa.array(words, pa.large_string()).take(pa.array(number))
    return pd.Series(pd.StringDtype("pyarrow", na_value=np.nan).__from_arrow__(text))


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
    weakest = np.zeros(shape, np.intp)
    weakest[~seen] = MARKS.index(each.scale.mark)
    np.maximum.at(weakest, (each.patient, day), weakness(each))
    last = np.full(len(each.names), -1)
    np.maximum.at(last, each.patient, day)
    rows, columns = np.nonzero(np.arange(shape[1])[None, :] <= last[:, None])
    return pd.DataFrame(
        {
            "patient": _patients(each.names, rows),
            "day": columns + first,
            "scale": _repeated([each.scale.name], np.zeros(len(rows), np.intp)),
            "lowest": lowest[rows, columns],
            "highest": highest[rows, columns],
            "note": _repeated(["", NOTHING], 1 - seen[rows, columns].astype(np.intp)),
            "mark": _repeated(MARKS, weakest[rows, columns]),
        }
    )

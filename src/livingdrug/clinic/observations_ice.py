"""The five parts of an ICE score in a chart: added up to the score where all were asked, bounded where some were not.

Example:
    >>> from livingdrug.clinic.observations import observe
    >>> asked = {"ice_orientation": 4, "ice_naming": 2, "ice_command": 1, "ice_attention": 0}
    >>> chart = observe([("P1", 2.0, name, points, "") for name, points in asked.items()])
    >>> sorted(chart.table.query("item == 'ice_score'")["value"])  # writing was not asked
    [7.0, 8.0]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from livingdrug.clinic.observations_items import ICE_PARTS, ITEMS

__all__ = ["BOTH", "with_ice_scores"]

SCORE = "ice_score"
CODES = {name: code for code, name in enumerate(ITEMS)}
BOTH = "both kept: the milder decides the lowest grade, the worse one the highest"
BOUNDED = "the score lies between: the better decides the lowest grade, the worse the highest"


def with_ice_scores(rows: Any, report: Callable[[Any, Any, str], None]) -> Any:
    """Return a chart's rows with the score of each examination of which parts are charted.

    Where not all five parts are there, two scores are entered: as if the others were whole, and as if they were lost. A
    score that is charted beside its parts stays alone if it agrees with them; else both are kept and reported.

    Args:
        rows: patient, time, item (categories in the order of ``ITEMS``), value, unit, number, row; nothing twice.
        report: takes rows, what was wrong, and what was done.
    """
    import pandas as pd

    codes = rows["item"].cat.codes.to_numpy()
    parts = rows[np.isin(codes, [CODES[name] for name in ICE_PARTS])]
    if not len(parts):
        return rows
    exams = _added_up(parts)
    charted = rows[codes == CODES[SCORE]].groupby(["patient", "time"], sort=False, observed=True)["number"].max()
    exams["charted"] = charted.reindex(pd.MultiIndex.from_frame(exams[["patient", "time"]])).to_numpy()
    denied = exams[(exams["charted"] < exams["low"]) | (exams["charted"] > exams["high"])]
    report(_as_rows(denied, denied["low"]), "the parts add up to another ICE score than is charted", BOTH)
    exams = exams[exams["charted"].isna() | exams.index.isin(denied.index)]
    open_ones = exams[exams["low"] < exams["high"]]
    report(_as_rows(open_ones, open_ones["low"]), "parts of the ICE score were not asked", BOUNDED)
    new = [_as_rows(exams, exams["low"]), _as_rows(open_ones, open_ones["high"])]
    return pd.concat([rows, *(part for part in new if len(part))], ignore_index=True)


def _added_up(parts: Any) -> Any:
    """Return per patient and time the lowest and highest score that agrees with the parts: row, low, high."""
    worst = parts.sort_values("number", kind="stable").drop_duplicates(["patient", "time", "item"])
    most = worst["item"].map({name: ITEMS[name].most for name in ICE_PARTS}).astype(float)
    by_exam = worst.assign(most=most).groupby(["patient", "time"], sort=False, observed=True)
    found = by_exam.agg(row=("row", "min"), low=("number", "sum"), asked=("most", "sum")).reset_index()
    return found.assign(high=found["low"] + ITEMS[SCORE].most - found["asked"])


def _as_rows(exams: Any, score: Any) -> Any:
    """Return examinations as rows of a chart that hold the score."""
    import pandas as pd

    item = pd.Categorical.from_codes(np.full(len(exams), CODES[SCORE]), list(ITEMS))
    return exams[["patient", "time", "row"]].assign(item=item, value=score, unit="", number=score)

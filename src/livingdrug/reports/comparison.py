"""Published beside simulated: the table of endpoints, its notes, and the published probabilities of cure."""

from __future__ import annotations

from typing import Any

import numpy as np

from livingdrug.reports.methods import Titled
from livingdrug.reports.numbers import MISSING, count, interval, number, percent
from livingdrug.reports.tables import Table, table

__all__ = ["cures", "endpoints", "introduction", "notes"]

Rows = list[dict[str, Any]]
VERDICTS = {"inside": "\nwithin range", "outside": "\noutside range", "": ""}
HEADINGS = ("Endpoint", "Published", "Simulated", "Difference")


def introduction(outcome: Any) -> str:
    """Return what the numbers in the table are, in plain words."""
    rows = _main(outcome)
    judged = [_verdict(row) for row in rows if _verdict(row)]
    kinds = list(dict.fromkeys(row["interval"] for row in rows if row["interval"]))
    text = (
        "Each value has its range in the line below it. A simulated value is within range when it lies in the "
        "published range or, where none was published, when the published value lies in the simulated one."
    )
    if kinds:
        text += f" Simulated ranges: {'; '.join(kinds)}."
    if judged:
        text = f"{count(judged.count('inside'))} of {count(len(judged))} endpoints are within range. {text}"
    return text


def endpoints(outcome: Any) -> Table | None:
    """Return published beside simulated for every endpoint, with the size of the difference."""
    rows = _main(outcome)
    if not rows:
        return None
    cells = [(_name(row), _ranged(row, "published"), _ranged(row, "simulated"), _difference(row)) for row in rows]
    return table(HEADINGS, cells, (1, 2, 3), "Published beside simulated", [_verdict(row) for row in rows])


def notes(outcome: Any) -> Table | None:
    """Return the source of each published value and what is to be noted."""
    rows = _main(outcome)
    cells = [(row["endpoint"], row["source"], row["interval"], row["note"]) for row in rows]
    return table(("Endpoint", "Source", "Simulated range", "Note"), cells, (), "Sources and notes") if cells else None


def cures(outcome: Any) -> Titled | None:
    """Return each published probability of cure beside runs with exactly its setting, with the distance as z-score."""
    labels = _cure_labels(outcome)
    rows = [row for row in _rows(outcome) if row["endpoint"] in labels]
    if not rows:
        return None
    scores = [_z(row) for row in rows]
    far = sum(abs(z) > 3 for z in scores)
    cells = [
        (row["endpoint"], _ranged(row, "published"), _ranged(row, "simulated"), f"{z:+.1f}".replace("-", "−"))
        for row, z in zip(rows, scores, strict=True)
    ]
    words = (
        "The paper's own runs, repeated with the same settings. z is the distance in units of the combined chance "
        f"error: beyond 3 either way would be surprising, and {count(far)} of {count(len(rows))} are."
    )
    marks = ["outside" if abs(z) > 3 else "inside" for z in scores]
    shown = table(("Setting", "Published", "Simulated", "z"), cells, (1, 2, 3), "Probability of cure", marks)
    return Titled("Published probabilities of cure, setting by setting", words, shown)


def _rows(outcome: Any) -> Rows:
    return outcome.endpoints.to_dict("records")


def _main(outcome: Any) -> Rows:
    labels = _cure_labels(outcome)
    return [row for row in _rows(outcome) if row["endpoint"] not in labels]


def _cure_labels(outcome: Any) -> set[str]:
    return {row.label for row in getattr(outcome.trial, "published_cures", ())}


def _is_share(row: dict[str, Any]) -> bool:
    return row["unit"] in ("1", "fraction")


def _name(row: dict[str, Any]) -> str:
    return row["endpoint"] if _is_share(row) else f"{row['endpoint']}\n{row['unit'].replace('uL', 'µL')}"


def _ranged(row: dict[str, Any], side: str) -> str:
    low, high = row[f"{side}_low"], row[f"{side}_high"]
    known = np.isfinite([low, high]).any()
    if _is_share(row):
        return percent(row[side]) + (f"\n{100 * low:.0f}–{percent(high)}" if known else "")
    return number(row[side]) + (f"\n{interval(low, high)}" if known else "")


def _difference(row: dict[str, Any]) -> str:
    published, simulated = row["published"], row["simulated"]
    if not np.isfinite([published, simulated]).all():
        return MISSING + VERDICTS[_verdict(row)]
    if _is_share(row):
        points = round(100 * (simulated - published))
        size = f"{points:+d} points" if points else "0 points"
    elif published > 0:
        ratio = simulated / published
        more = round(100 * (ratio - 1))
        size = f"× {number(ratio, 2)}" if ratio >= 3 else f"{more:+d}\u00a0%" if more else "0\u00a0%"
    else:
        size = number(simulated - published)
    return size.replace("-", "−") + VERDICTS[_verdict(row)]


def _verdict(row: dict[str, Any]) -> str:
    """Say whether the simulated value lies in the published range, or the published value in the simulated one."""
    for value, side in (("simulated", "published"), ("published", "simulated")):
        ends = row[f"{side}_low"], row[f"{side}_high"]
        if np.isfinite([row[value], *ends]).all():
            return "inside" if ends[0] <= row[value] <= ends[1] else "outside"
    return ""


def _z(row: dict[str, Any]) -> float:
    """Return the difference over the combined standard error, each a fourth of its 95 % interval."""
    errors = [(row[f"{side}_high"] - row[f"{side}_low"]) / 3.92 for side in ("published", "simulated")]
    combined = float(np.hypot(*errors))
    return (row["simulated"] - row["published"]) / combined if combined > 0 else 0.0

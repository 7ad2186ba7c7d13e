"""One patient of the twin on one time axis: cells, tumour, messengers, temperature, grades and treatment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.errors import InputError, unknown_name
from livingdrug.reports import charts
from livingdrug.reports.curves import chart_page, decades
from livingdrug.storage import write_atomically

if TYPE_CHECKING:
    from livingdrug.therapy.monitoring import Monitored

__all__ = ["PANELS", "caption", "patient_chart", "write_patient"]

# Output or sign, words of the axis, whether on a logarithmic axis, smallest value shown.
PANELS = (
    ("car_t_blood", "CAR T cells, cell/µL", True, 1e-3),
    ("tumour_cells", "tumour cells", True, 1.0),
    ("b_cells_blood", "normal B cells, cell/µL", True, 1e-2),
    ("il6", "interleukin 6, pg/mL", True, 0.1),
)
FORMATS = (".html", ".svg", ".png")
MARKS = {"tocilizumab": "T", "steroid": "S", "anakinra": "A"}
WIDTH, HEIGHT = 700, 130


def caption(found: Monitored, other: Monitored | None = None) -> str:
    """Return what a reader who is no doctor sees in the figure."""
    crs, icans = (int(grades.max()) for grades in (found.grades["astct-crs"], found.grades["astct-icans"]))
    text = (
        "One simulated patient, day by day after the infusion (day 0). CAR T cells multiply when they meet the cancer "
        "and fall when it is gone; normal B cells are killed too, because they carry the same name tag. Interleukin 6 "
        "is a messenger of inflammation that brings fever. Coloured bands show when a ward would speak of cytokine "
        "release syndrome (inflammation of the whole body, above) and of neurotoxicity (confusion, below), the darker "
        f"the worse: at most grade {crs} and {icans} of 4. Letters are treatment: T tocilizumab, S steroid, A anakinra."
    )
    if other is not None:
        text += f" Dashed: the same patient with the same luck under '{other.rule}', so the difference is the cause."
    return text + " Not for clinical use."


def patient_chart(found: Monitored, other: Monitored | None = None) -> Any:
    """Return the figure of the first patient of a cohort; ``other`` is the same patient in a what-if."""
    import altair as alt

    last = float(found.solution.times[-1])
    x = alt.X("day:Q", title=None, scale=alt.Scale(domain=[0, last], nice=False), axis=alt.Axis(grid=False))
    panels = [_course(found, other, x, *panel) for panel in PANELS]
    panels.append(_ward(found, other, last))
    return alt.vconcat(*panels, spacing=10)


def write_patient(found: Monitored, title: str, path: str | os.PathLike[str], other: Monitored | None = None) -> Path:
    """Write the figure to a file ending in .html, .svg or .png.

    Raises:
        InputError: the ending is unknown.
        LivingDrugError: the file cannot be written.
    """
    target = Path(path).expanduser()
    ending = target.suffix.lower()
    if ending not in FORMATS:
        raise InputError(f"save {str(path)!r}: {unknown_name('ending of a file', ending or '(none)', FORMATS)}")
    chart = patient_chart(found, other)
    content: str | bytes
    if ending == ".png":
        content = charts.picture(chart)
    else:
        content = charts.drawing(chart) if ending == ".svg" else chart_page(chart, title, caption(found, other))
    write_atomically(target, content)
    return target


def _course(found: Monitored, other: Monitored | None, x: Any, name: str, words: str, log: bool, least: float) -> Any:
    import altair as alt

    layers, seen = [], []
    for each, dash in ((found, [1, 0]), (other, [5, 4])):
        if each is None:
            continue
        days, values = each.solution.times, each.solution[name][0]
        shown = (days >= 0) & (values > (least if log else -np.inf))
        pairs = zip(days[shown].tolist(), values[shown].tolist(), strict=True)
        rows = [{"day": day, "value": value} for day, value in pairs]
        seen += [row["value"] for row in rows]
        layers.append((rows, dash))
    ends = decades(seen) if log and seen else []
    axis = alt.Axis(**charts.logarithmic(ends[0], ends[-1])) if len(ends) > 1 else alt.Axis(tickCount=4)
    y = alt.Y("value:Q", title=words, scale=alt.Scale(type="log" if log else "linear"), axis=axis)
    drawn = [charts.line(rows, x, y, "simulated", strokeDash=dash) for rows, dash in layers]
    return alt.layer(*drawn).properties(width=WIDTH, height=HEIGHT)


def _ward(found: Monitored, other: Monitored | None, last: float) -> Any:
    """Temperature with the bands of both syndromes and the marks of treatment."""
    import altair as alt

    x = alt.X("day:Q", title="days after the infusion", scale=alt.Scale(domain=[0, last], nice=False))
    y = alt.Y("value:Q", title="temperature, °C", scale=alt.Scale(domain=[34.5, 42.5], nice=False, zero=False))
    layers = _bands(found, "astct-crs", x, y, (41.2, 42.4), "published")
    layers += _bands(found, "astct-icans", x, y, (34.6, 35.8), "regrown")
    for each, dash in ((found, [1, 0]), (other, [5, 4])):
        if each is not None:
            rows = [
                {"day": float(day), "value": float(value)}
                for day, value in zip(each.rounds, each.signs["temperature"][0], strict=True)
                if np.isfinite(value)
            ]
            layers.append(charts.line(rows, x, y, "ink", strokeDash=dash))
    marks = [
        {"day": float(day), "value": 40.6, "letter": MARKS[found.classes[k]]}
        for day, doses in zip(found.rounds, found.given[0], strict=True)
        for k in np.flatnonzero(doses)
    ]
    if marks:
        layers.append(charts.words(marks, "letter", x, y, "ink", fontSize=12, fontWeight="bold"))
    return alt.layer(*layers).properties(width=WIDTH, height=190)


def _bands(found: Monitored, scale: str, x: Any, y: Any, place: tuple[float, float], role: str) -> list[Any]:
    import altair as alt

    grades, days = found.grades[scale][0], found.rounds
    ends = np.append(days[1:], days[-1] + (days[-1] - days[-2]) if days.size > 1 else days[-1] + 1)
    drawn = []
    for grade in range(1, 5):
        rows = [
            {"day": float(days[k]), "end": float(ends[k]), "value": place[0], "top": place[1]}
            for k in np.flatnonzero(grades == grade)
        ]
        if rows:
            mark = alt.Chart(alt.Data(values=rows))
            mark = mark.mark_rect(color=charts.colour(role), opacity=0.2 * grade + 0.1, clip=True)
            drawn.append(mark.encode(x=x, x2="end:Q", y=y, y2="top:Q"))
    return drawn

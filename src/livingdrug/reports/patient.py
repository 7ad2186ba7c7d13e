"""One patient of the twin on one time axis: cells, tumour, messengers, temperature, grades and treatment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.reports import charts
from livingdrug.reports.curves import chart_page, decades
from livingdrug.storage import write_atomically

if TYPE_CHECKING:
    from livingdrug.therapy.monitoring import Monitored

__all__ = ["PANELS", "SUPPORT", "caption", "ending_of", "patient_chart", "write_patient"]

# Output or sign, words of the axis, whether on a logarithmic axis, smallest value shown.
PANELS = (
    ("car_t_blood", "CAR T cells, cell/µL", True, 1e-3),
    ("tumour_cells", "tumour cells", True, 1.0),
    ("b_cells_blood", "normal B cells, cell/µL", True, 1e-2),
    ("il6", "interleukin 6, pg/mL", True, 0.1),
)
FORMATS = (".html", ".svg", ".png")
GRADED = (
    ("astct-crs", "cytokine release, grade", "published"),
    ("astct-icans", "neurotoxicity, grade", "regrown"),
)
"""Scale, words of its row, and colour."""
SUPPORT = {"g_csf": "G-CSF", "platelet_transfusion": "platelets", "red_cell_transfusion": "red cells"}
SAME, OTHER = [1, 0], [5, 4]
"""Dashes of the two lines."""
WIDTH, HEIGHT, ROW = 700, 120, 22
LINE = 150  # characters of a line of the caption
TITLE_PLACE = -52  # where the words of an axis stand, so that they stand below each other
FEVER = 38.0  # degC, as in the grading


def caption(found: Monitored, other: Monitored | None = None) -> str:
    """Return what a reader who is no doctor sees in the figure."""
    crs, icans = (int(grades.max()) for grades in (found.grades["astct-crs"], found.grades["astct-icans"]))
    text = (
        "One simulated patient, day by day after the infusion (day 0). CAR T cells multiply when they meet the cancer "
        "and fall when it is gone"
    )
    if _at_start(found, "b_cells_blood") > 10 * _least(found, "b_cells_blood"):
        text += "; normal B cells are killed too, because they carry the same mark"
    text += (
        ". Interleukin 6 is a messenger of inflammation that brings fever (38 °C and more, dotted line). Coloured "
        "bands: when a ward would speak of cytokine release syndrome (inflammation of the whole body) and of "
        f"neurotoxicity (confusion), from grade 1, mild, to 4, life-threatening; here at most {crs} and {icans}. "
        f"Strokes: each dose of a treatment. The ward looks until day {found.rounds[-1]:g}."
    )
    if other is not None:
        text += f" Dashed: the same patient with the same luck under '{other.rule}', so the difference is the cause."
    return text + " Not for clinical use."


def _at_start(found: Monitored, output: str) -> float:
    days = found.solution.times
    return float(found.solution[output][0, int(np.argmax(days >= 0))])


def _least(found: Monitored, output: str) -> float:
    return float(np.nanmin(found.solution[output][0, found.solution.times >= 0]))


def patient_chart(found: Monitored, other: Monitored | None = None) -> Any:
    """Return the figure of the first patient of a cohort; ``other`` is the same patient in a what-if."""
    import altair as alt

    scale = alt.Scale(domain=[0, float(found.solution.times[-1])], nice=False)
    bare = alt.X("day:Q", title=None, scale=scale, axis=alt.Axis(grid=False))
    panels = [_course(found, other, bare, *panel) for panel in PANELS]
    panels.append(_temperature(found, other, bare))
    panels.append(_ward(found, other, alt.X("day:Q", title="days after the infusion", scale=scale)))
    return alt.vconcat(*panels, spacing=10)


def _titled(chart: Any, title: str, words: str) -> Any:
    """Return a chart with its heading and caption inside, for a picture that is passed on alone."""
    import textwrap

    import altair as alt

    heading = alt.TitleParams(
        text=title, subtitle=textwrap.wrap(words, LINE), anchor="start", offset=14, fontSize=16, subtitleFontSize=12.5,
        subtitleLineHeight=17, subtitlePadding=8, color=charts.colour("ink"), subtitleColor=charts.colour("ink"),
    )  # fmt: skip
    return chart.properties(title=heading)


def ending_of(path: str | os.PathLike[str]) -> str:
    """Return the ending of a figure's file; an unknown one is an InputError."""
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        raise InputError(f"save {str(path)!r}: {unknown_name('ending of a file', ending or '(none)', FORMATS)}")
    return ending


def write_patient(found: Monitored, title: str, path: str | os.PathLike[str], other: Monitored | None = None) -> Path:
    """Write the figure to a file ending in .html, .svg or .png.

    Raises:
        InputError: the ending is unknown.
        LivingDrugError: the file cannot be written.
    """
    ending, target = ending_of(path), Path(path).expanduser()
    chart, words = patient_chart(found, other), caption(found, other)
    content: str | bytes
    if ending == ".png":
        content = charts.picture(_titled(chart, title, words))
    elif ending == ".svg":
        content = charts.drawing(_titled(chart, title, words))
    else:
        content = chart_page(chart, title, words)
    write_atomically(target, content)
    return target


def _course(found: Monitored, other: Monitored | None, x: Any, name: str, words: str, log: bool, least: float) -> Any:
    """Return the panel of one output; on a logarithmic axis what is below ``least`` runs along the bottom."""
    import altair as alt

    layers, seen = [], []
    for each, dash in ((found, SAME), (other, OTHER)):
        if each is None:
            continue
        shown = each.solution.times >= 0
        days, values = each.solution.times[shown], each.solution[name][0][shown]
        pairs = zip(days.tolist(), (np.maximum(values, least) if log else values).tolist(), strict=True)
        rows = [{"day": day, "value": value} for day, value in pairs]
        seen += [row["value"] for row in rows]
        layers.append((rows, dash))
    ends = decades(seen) if log and seen else []
    ticks: dict[str, Any] = charts.logarithmic(ends[0], ends[-1]) if len(ends) > 1 else {"tickCount": 4}
    domain = [ends[0], ends[-1]] if len(ends) > 1 else alt.Undefined
    scale = alt.Scale(type="log" if log else "linear", domain=domain)
    y = alt.Y("value:Q", title=words, scale=scale, axis=alt.Axis(**ticks, titleX=TITLE_PLACE))
    drawn = [charts.line(rows, x, y, "simulated", strokeDash=dash) for rows, dash in layers]
    return alt.layer(*drawn).properties(width=WIDTH, height=HEIGHT)


def _temperature(found: Monitored, other: Monitored | None, x: Any) -> Any:
    """Temperature at the rounds, with the grades of cytokine release behind it."""
    import altair as alt

    seen = [each.signs["temperature"][0] for each in (found, other) if each is not None]
    low, high = np.floor(min(36.0, *map(np.nanmin, seen))), np.ceil(max(40.0, *map(np.nanmax, seen)))
    scale = alt.Scale(domain=[float(low), float(high)], nice=False, zero=False)
    y = alt.Y("value:Q", title="temperature, °C", scale=scale, axis=alt.Axis(tickCount=4, titleX=TITLE_PLACE))
    scale_name, _, role = GRADED[0]
    bands = [{**run, "value": float(low), "top": float(high)} for run in _runs(found, scale_name)]
    layers = _bands(bands, x, y, "top:Q", role)
    for each, dash in ((found, SAME), (other, OTHER)):
        if each is not None:
            pairs = zip(each.rounds.tolist(), each.signs["temperature"][0].tolist(), strict=True)
            rows = [{"day": day, "value": value} for day, value in pairs if np.isfinite(value)]
            layers.append(charts.line(rows, x, y, "ink", strokeDash=dash))
    fever = alt.Chart(alt.Data(values=[{"value": FEVER}])).mark_rule(color=charts.colour("quiet"), strokeDash=[1, 3])
    return alt.layer(*layers, fever.encode(y=y)).properties(width=WIDTH, height=HEIGHT)


def _ward(found: Monitored, other: Monitored | None, x: Any) -> Any:
    """Grades as bands, and doses as strokes, one row for each."""
    import altair as alt

    rows: list[str] = []
    layers: list[Any] = []
    y = alt.Y("row:N", title=None, sort=rows, axis=alt.Axis(grid=False, ticks=False, labelLimit=200))
    for each, ending in ((found, ""), (other, ", what-if")):
        if each is None:
            continue
        for scale, words, role in GRADED:
            rows.append(words + ending)
            runs = [{**run, "row": words + ending} for run in _runs(each, scale)]
            layers += _bands(runs, x, y, None, role)
            numbers = [{**run, "day": (run["day"] + run["end"]) / 2} for run in runs if _wide(run, found)]
            if numbers:
                layers.append(charts.words(numbers, "grade", x, y, "ink", fontSize=11))
        for words, days in _given(each).items():
            rows.append(words + ending)
            marks = [{"day": float(day), "row": words + ending} for day in days]
            tick = alt.Chart(alt.Data(values=marks)).mark_tick(color=charts.colour("ink"), thickness=1.6, size=14)
            layers.append(tick.encode(x=x, y=y))
    layers.insert(0, alt.Chart(alt.Data(values=[{"row": row} for row in rows])).mark_point(opacity=0).encode(y=y))
    return alt.layer(*layers).properties(width=WIDTH, height=ROW * len(rows))


def _wide(run: dict[str, Any], found: Monitored) -> bool:
    """Whether a band has room for its number."""
    return (run["end"] - run["day"]) / float(found.solution.times[-1]) * WIDTH > 9


def _given(each: Monitored) -> dict[str, NDArray[np.float64]]:
    """Return treatment -> days on which it was given."""
    given = {words: each.given[0, :, k] > 0 for k, words in enumerate(each.classes)}
    given |= {SUPPORT[name]: amount[0] > 0 for name, amount in each.supported.items()}
    return {words: each.rounds[doses] for words, doses in given.items() if doses.any()}


def _runs(each: Monitored, scale: str) -> list[dict[str, Any]]:
    """Return the stretches of days with one grade above 0; a grade holds until the next round."""
    grades, days = each.grades[scale][0], each.rounds
    last = days[-1] + (days[-1] - days[-2] if days.size > 1 else 1.0)
    begins = np.concatenate(([0], np.flatnonzero(np.diff(grades)) + 1))
    ends = np.append(days[begins[1:]], min(last, each.solution.times[-1]))
    return [
        {"day": float(days[k]), "end": float(end), "grade": int(grades[k])}
        for k, end in zip(begins, ends, strict=True)
        if grades[k] > 0
    ]


def _bands(runs: list[dict[str, Any]], x: Any, y: Any, top: str | None, role: str) -> list[Any]:
    """Return a drawing for each grade: the darker the worse."""
    import altair as alt

    drawn = []
    for grade in range(1, 6):
        rows = [run for run in runs if run["grade"] == grade]
        if rows:
            mark = alt.Chart(alt.Data(values=rows))
            mark = mark.mark_rect(color=charts.colour(role), opacity=0.16 * grade, clip=True)
            drawn.append(mark.encode(x=x, x2="end:Q", y=y, **({"y2": top} if top else {})))
    return drawn

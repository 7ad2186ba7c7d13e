"""Figures of a quantity over time: bands over all simulated patients, with what was measured beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from livingdrug.reports import charts
from livingdrug.reports.charts import Canvas, Figure
from livingdrug.reports.numbers import MISSING, interval, number
from livingdrug.reports.tables import Table, table

__all__ = ["course_figures", "published_course"]

Rows = list[dict[str, Any]]
QUANTILES = ("q05", "q25", "q50", "q75", "q95")
BANDS = (
    ("simulated", "line", "simulated: median"),
    ("simulated", "band", "half of the patients"),
    ("simulated", "pale", "nine in ten patients"),
)


@dataclass(frozen=True)
class Course:
    """What one figure over time shows: which output, until when, and from which value upwards."""

    output: str
    name: str
    title: str
    axis: str
    caption: str
    until: float | None = None
    floor: float | None = None


COURSES = (
    Course(
        output="car_t_blood",
        name="car-t",
        title="CAR-T cells in the blood",
        axis="cells per µL of blood",
        until=200,
        floor=1e-3,
        caption=(
            "After the infusion the CAR-T cells multiply for about a week; then most of them die and a few stay. "
            "Half of all simulated patients lie in the dark band, nine in ten in the pale one. The dots are what was "
            "measured in the trial, and their whiskers hold the middle half of its patients. "
            "Each step up the scale means ten times as many cells."
        ),
    ),
    Course(
        output="absolute_lymphocyte_count",
        name="lymphocytes",
        title="Lymphocytes in the blood (ALC)",
        axis="cells per µL of blood",
        until=200,
        caption=(
            "Chemotherapy before the infusion removes most of the patient's own lymphocytes (white blood cells that "
            "fight infections) and so makes room for the CAR-T cells. They come back within weeks and then compete "
            "with the CAR-T cells. The dots are the medians measured in the trial."
        ),
    ),
)


def course_figures(outcome: Any) -> list[Figure]:
    """Return a figure for each of the known outputs of which the outcome has quantiles."""
    made = [_figure(outcome, course) for course in COURSES]
    return [figure for figure in made if figure is not None]


def published_course(outcome: Any, output: str) -> Rows:
    """Return the published measurements of one output as rows of day, middle, low and high."""
    frame = outcome.endpoints
    if "output" not in frame or "day" not in frame:
        return []
    frame = frame[(frame["output"] == output) & frame["day"].notna() & frame["published"].notna()]
    names = {"published": "middle", "published_low": "low", "published_high": "high"}
    return frame[["day", *names]].rename(columns=names).sort_values("day").to_dict("records")


def _figure(outcome: Any, course: Course) -> Figure | None:
    frame = outcome.summary
    frame = frame[(frame["output"] == course.output) & (frame["day"] <= (course.until or math.inf))]
    if frame.empty:
        return None
    rows: Rows = frame.sort_values("day").to_dict("records")
    measured = published_course(outcome, course.output)
    measured = [row for row in measured if row["day"] <= rows[-1]["day"]]
    legend = BANDS
    if measured:
        ranged = any(math.isfinite(row["low"]) for row in measured)
        legend = (*BANDS, ("published", "dot", "published: median" + (" and middle half" if ranged else "")))
    return Figure(
        name=course.name,
        title=course.title,
        caption=course.caption,
        alt=_alt(course, rows, measured),
        legend=legend,
        table=_table(course, rows, measured),
        **charts.draw(course.name, lambda canvas: _chart(course, rows, measured, canvas)),
    )


def _chart(course: Course, rows: Rows, measured: Rows, canvas: Canvas) -> Any:
    import altair as alt

    last = rows[-1]["day"]
    low, high = _limits(course, rows, measured)
    scale = alt.Scale(type="log" if course.floor else "linear", domain=[low, high], nice=False)
    axis = alt.Axis(**charts.logarithmic(low, high)) if course.floor else alt.Axis(tickCount=5)
    x = alt.X("day:Q", title="days after infusion", scale=alt.Scale(domain=[0, last], nice=False))
    x = x.axis(values=charts.ticks(last, canvas), grid=False)

    def y(field: str) -> Any:
        return alt.Y(f"{field}:Q", title=course.axis, scale=scale, axis=axis)

    drawn = [_above(row, low / 100) for row in rows] if course.floor else rows
    layers = [
        charts.band(drawn, x, y("q05"), "q95", "simulated", 0.15),
        charts.band(drawn, x, y("q25"), "q75", "simulated", 0.3),
        charts.line(drawn, x, y("q50"), "simulated"),
    ]
    ranged = [_above(row, low / 100) if course.floor else row for row in measured if math.isfinite(row["low"])]
    if ranged:
        layers.append(charts.whiskers(ranged, x, y("low"), "high", "published"))
    if measured:
        layers.append(charts.points(measured, x, y("middle"), "published"))
    return alt.layer(*layers).properties(width=canvas.width, height=canvas.height)


def _limits(course: Course, rows: Rows, measured: Rows) -> tuple[float, float]:
    """Return the ends of the vertical axis: from zero, or whole powers of ten not below the course's floor."""
    values = [row[q] for row in rows for q in QUANTILES] + [
        row[end] for row in measured for end in ("middle", "low", "high")
    ]
    values = [value for value in values if math.isfinite(value)]
    top = max(values, default=1.0)
    if not course.floor:
        return 0.0, top * 1.05 or 1.0
    seen = [value for value in values if value > course.floor]
    low = 10.0 ** math.floor(math.log10(min(seen, default=course.floor)))
    return low, max(10.0 ** math.ceil(math.log10(max(top, course.floor))), low * 10)


def _above(row: dict[str, Any], least: float) -> dict[str, Any]:
    """Lift what a logarithm cannot show to a value below the frame, where it is cut off."""
    return {
        key: max(value, least) if isinstance(value, float) and key != "day" else value for key, value in row.items()
    }


def _days(rows: Rows, measured: Rows) -> Rows:
    """Return the rows to be read as numbers: at the published days, or at about eight days over the course."""
    wanted = [row["day"] for row in measured] or [
        rows[-1]["day"] * share for share in (0, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1)
    ]
    return [min(rows, key=lambda row: abs(row["day"] - day)) for day in wanted]


def _table(course: Course, rows: Rows, measured: Rows) -> Table:
    chosen = _days(rows, measured)
    headings = ["Day", "Simulated median", "Middle half", "Nine in ten"]
    cells = [
        [number(row["day"]), number(row["q50"]), interval(row["q25"], row["q75"]), interval(row["q05"], row["q95"])]
        for row in chosen
    ]
    if measured:
        headings += ["Published median", "Published middle half"]
        for line, row in zip(cells, measured, strict=True):
            line += [number(row["middle"]), interval(row["low"], row["high"])]
    return table(headings, cells, range(len(headings)), f"{course.title}, {course.axis}")


def _alt(course: Course, rows: Rows, measured: Rows) -> str:
    peak = max(rows, key=lambda row: row["q50"])
    text = (
        f"{course.title}, {course.axis}, over {number(rows[-1]['day'])} days. The simulated median is highest at "
        f"{number(peak['q50'])} on day {number(peak['day'])} and {number(rows[-1]['q50'])} at the end."
    )
    if measured:
        seen = "; ".join(f"day {number(row['day'])}: {number(row['middle'])}" for row in measured)
        text += f" Published medians: {seen}."
    return text if MISSING not in text else f"{course.title}, {course.axis}."

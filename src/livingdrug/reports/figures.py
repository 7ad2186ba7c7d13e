"""The figures of a trial's report; each says in its caption, in plain words, what a reader sees."""

from __future__ import annotations

from typing import Any

import numpy as np

from livingdrug.reports import charts
from livingdrug.reports.charts import Canvas, Figure
from livingdrug.reports.courses import course_figures
from livingdrug.reports.fates import tumour_by_fate
from livingdrug.reports.numbers import count, interval, number, percent
from livingdrug.reports.tables import table
from livingdrug.trials.survival import wilson

__all__ = ["figures"]

Rows = list[dict[str, Any]]
MOSTLY = 0.8  # share of the points of a curve
AT_RISK_DAYS = (0, 90, 180, 365, 545, 730)


def figures(outcome: Any) -> dict[str, Figure]:
    """Return the figures for which the outcome has numbers, by name."""
    made = [*course_figures(outcome), tumour_by_fate(outcome), survival(outcome), cure_by_volume(outcome)]
    return {figure.name: figure for figure in made if figure is not None}


def survival(outcome: Any) -> Figure | None:
    """Return progression-free survival: simulated with its band at the trial's size, beside the published curve."""
    frame, published = outcome.survival, outcome.published_survival
    if frame.empty:
        return None
    measured: Rows = published.to_dict("records")
    last = min(float(frame["day"].max()), measured[-1]["day"] * 1.05 if measured else np.inf)
    rows: Rows = frame[frame["day"] <= last].to_dict("records")
    size = trial_size(outcome)
    legend = [("simulated", "line", "simulated"), ("simulated", "band", f"95 % of trials with {count(size)} patients")]
    if measured:
        legend.append(("published", "dashed", "published"))
    return Figure(
        name="survival",
        title="Alive without progression",
        caption=(
            "The share of infused patients whose cancer has not come back, day by day. The band shows how far a trial "
            f"of {count(size)} patients may stray from the simulated curve by chance alone. "
            f"{_agreement(rows, measured)}Patients at risk are those still followed without progression."
        ),
        alt=_survival_alt(rows, measured),
        legend=tuple(legend),
        table=_survival_table(rows, measured),
        **charts.draw("survival", lambda canvas: _survival_chart(rows, measured, last, canvas)),
    )


def _agreement(rows: Rows, measured: Rows) -> str:
    """Say whether the published curve lies in the band, with the share of its points inside; "" without one."""
    points = [(point["pfs"], _at(rows, point["day"])) for point in measured if point["day"] <= rows[-1]["day"]]
    if not points:
        return ""
    above, below = (
        sum(outside) for outside in zip(*((p > at["high"], p < at["low"]) for p, at in points), strict=True)
    )
    share = 1 - (above + below) / len(points)
    inside = f"{percent(share)} of its {count(len(points))} points are inside"
    if share >= MOSTLY:
        return f"The published curve agrees with the simulation: {inside} the band. "
    worse = "better than in the trial" if below >= above else "worse than in the trial"
    if share > 1 - MOSTLY:
        where = f"outside it, the simulated patients mostly fare {worse}"
        return f"The published curve leaves the band in part: {inside}; {where}. "
    return (
        f"The published curve lies mostly outside the band: only {inside}. The simulation does not reproduce the "
        f"trial's curve; the simulated patients mostly fare {worse}. "
    )


def _survival_chart(rows: Rows, measured: Rows, last: float, canvas: Canvas) -> Any:
    import altair as alt

    x = alt.X("day:Q", title="days after infusion", scale=alt.Scale(domain=[0, last], nice=False))
    x = x.axis(values=charts.ticks(last, canvas), grid=False)

    def y(field: str) -> Any:
        title = "share of infused patients"
        axis = alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1])
        return alt.Y(f"{field}:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=axis)

    layers = [charts.band(rows, x, y("low"), "high", "simulated", 0.2)]
    layers.append(charts.line(rows, x, y("pfs"), "simulated", interpolate="step-after"))
    if measured:
        look = {"interpolate": "step-after", "strokeDash": [6, 3]}
        layers.append(charts.line(measured, x, y("pfs"), "published", **look))
    curves = alt.layer(*layers).properties(width=canvas.width, height=canvas.height)
    return alt.vconcat(curves, _at_risk(rows, last, canvas), spacing=4)


def _at_risk(rows: Rows, last: float, canvas: Canvas) -> Any:
    """Return the line of numbers at risk, placed under the days they belong to."""
    import altair as alt

    days = charts.ticks(last, canvas)
    marks = [{"day": day, "text": count(_at(rows, day)["at_risk"])} for day in days if day <= last]
    x = alt.X("day:Q", axis=None, scale=alt.Scale(domain=[0, last], nice=False))
    title = alt.Title(
        "simulated patients at risk", anchor="start", fontSize=12, fontWeight="normal", color=charts.colour("ink")
    )
    look = {"baseline": "top", "fontSize": 11 if canvas.narrow else 12}
    return charts.words(marks, "text", x, alt.value(0), "simulated", **look).properties(
        width=canvas.width, height=14, title=title
    )


def _survival_table(rows: Rows, measured: Rows) -> Any:
    days = [day for day in AT_RISK_DAYS if day <= rows[-1]["day"]]
    headings = ["Day", "Simulated", "95 % band", "At risk"] + (["Published"] if measured else [])
    cells = []
    for day in days:
        row = _at(rows, day)
        band = f"{percent(row['low'])} to {percent(row['high'])}"
        cells.append([number(day), percent(row["pfs"]), band, count(row["at_risk"])])
        if measured:
            cells[-1].append(percent(_at(measured, day)["pfs"]))
    return table(headings, cells, range(len(headings)), "Alive without progression")


def _survival_alt(rows: Rows, measured: Rows) -> str:
    def words(curve: Rows) -> str:
        days = [day for day in (180, 365, 730) if day <= curve[-1]["day"]]
        return ", ".join(f"{percent(_at(curve, day)['pfs'])} at day {day}" for day in days)

    text = f"Share of infused patients alive without progression. Simulated: {words(rows)}."
    return text + (f" Published: {words(measured)}." if measured else "")


def _at(rows: Rows, day: float) -> dict[str, Any]:
    """Return the row that holds on a day: the last one not after it."""
    return max((row for row in rows if row["day"] <= day), key=lambda row: row["day"], default=rows[0])


def trial_size(outcome: Any) -> int:
    """Return the number of patients of the published trial."""
    return int(getattr(outcome.trial, "size", 0) or 0)


def cure_by_volume(outcome: Any, groups: int = 10) -> Figure | None:
    """Return the share of cured patients for groups of equal size by baseline tumour volume."""
    rows = _volume_groups(outcome, groups)
    if not rows:
        return None
    first, last = rows[0], rows[-1]
    return Figure(
        name="cure",
        title="Cure by tumour volume",
        caption=(
            "Infused patients sorted by the volume of their tumour before treatment into groups of equal size. The dot "
            "is the share that was cured, which means that no tumour cell was left; the whisker is its 95 % interval."
        ),
        alt=(
            f"Share of cured patients against tumour volume before treatment: {percent(first['cured'])} around "
            f"{number(first['volume'], 2)} mL, {percent(last['cured'])} around {number(last['volume'], 2)} mL."
        ),
        legend=(("simulated", "dot", "simulated, with 95 % interval"),),
        table=_cure_table(rows),
        **charts.draw("cure", lambda canvas: _cure_chart(rows, canvas)),
    )


def _volume_groups(outcome: Any, groups: int) -> Rows:
    patients = outcome.patients
    infused = np.asarray(patients["infused"], float) > 0
    volume = np.asarray(patients["baseline_tumour_mL"], float)[infused]
    cured = np.isfinite(np.asarray(patients["cure_day"], float)[infused])
    if volume.size < groups:
        return []
    rows = []
    for members in np.array_split(np.argsort(volume, kind="stable"), groups):
        low, high = wilson(cured[members].sum(), members.size)
        held = volume[members]
        rows.append({"volume": float(np.median(held)), "from": float(held.min()), "to": float(held.max())})
        rows[-1] |= {"cured": float(cured[members].mean()), "low": low, "high": high, "patients": members.size}
    return rows


def _cure_chart(rows: Rows, canvas: Canvas) -> Any:
    import altair as alt

    low, high = rows[0]["from"] * 0.8, rows[-1]["to"] * 1.25
    x = alt.X(
        "volume:Q",
        title="tumour volume before treatment in mL",
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
    )
    x = x.axis(**charts.logarithmic(low, high), grid=False)

    def y(field: str) -> Any:
        axis = alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1])
        return alt.Y(f"{field}:Q", title="share cured", scale=alt.Scale(domain=[0, 1]), axis=axis)

    layers = [charts.whiskers(rows, x, y("low"), "high", "simulated"), charts.points(rows, x, y("cured"), "simulated")]
    return alt.layer(*layers).properties(width=canvas.width, height=canvas.height)


def _cure_table(rows: Rows) -> Any:
    cells = [
        [
            interval(row["from"], row["to"]),
            count(row["patients"]),
            percent(row["cured"]),
            f"{percent(row['low'])} to {percent(row['high'])}",
        ]
        for row in rows
    ]
    return table(["Tumour volume, mL", "Patients", "Cured", "95 % interval"], cells, range(4), "Cure by tumour volume")

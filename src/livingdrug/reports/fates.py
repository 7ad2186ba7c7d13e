"""The tumour over time, apart for those who are cured and those in whom it grows back."""

from __future__ import annotations

from typing import Any

import numpy as np

from livingdrug.reports import charts
from livingdrug.reports.charts import Canvas, Figure
from livingdrug.reports.numbers import count, interval, number
from livingdrug.reports.tables import Table, table

__all__ = ["tumour_by_fate"]

Rows = list[dict[str, Any]]
TUMOUR = "tumour_volume"
FATES = {"simulated": ("cured", "cure_day"), "regrown": ("the tumour grows back", "progression_day")}
ONE_CELL_ML = 1e-9  # at the usual 1e9 cells per mL
LEAST_FOLLOWED = 0.1  # share of a group that must still be followed for its quantiles to be shown
QUANTILES = {"low": 0.05, "middle": 0.5, "high": 0.95}


def tumour_by_fate(outcome: Any) -> Figure | None:
    """Return the tumour volume over time for each fate, from the patients whose courses are kept."""
    if TUMOUR not in outcome.outputs:
        return None
    groups = {role: _rows(outcome, column) for role, (_, column) in FATES.items()}
    groups = {role: rows for role, rows in groups.items() if rows}
    if not groups:
        return None
    legend = []
    for role in groups:
        legend += [(role, "line", FATES[role][0]), (role, "pale", "nine in ten of them")]
    return Figure(
        name="tumour",
        title="Tumour volume",
        caption=(
            "The tumour shrinks in nearly every patient at first; then there are two fates. Either the last tumour "
            "cell dies and the patient is cured: the curve leaves the figure at the bottom, where about a single cell "
            "is left. Or some cells survive, the CAR-T cells become too few, and the tumour grows back until the "
            "cancer counts as progressed; from then on that patient is no longer shown. Lines are medians."
        ),
        alt=_alt(groups),
        legend=tuple(legend),
        table=_table(groups),
        **charts.draw("tumour", lambda canvas: _chart(groups, canvas)),
    )


def _rows(outcome: Any, column: str) -> Rows:
    """Return the quantiles by day of the patients with that fate, while enough of them are followed."""
    values = outcome.values[:, :, list(outcome.outputs).index(TUMOUR)]
    members = values[np.isfinite(np.asarray(outcome.patients[column], float)[: len(values)])]
    rows: Rows = []
    for place, day in enumerate(outcome.days):
        known = members[:, place][np.isfinite(members[:, place])]
        if known.size == 0 or known.size < LEAST_FOLLOWED * len(members):
            break
        levels = np.quantile(known, list(QUANTILES.values()))
        rows.append({"day": float(day), **dict(zip(QUANTILES, levels.tolist(), strict=True)), "patients": known.size})
        if levels[-1] <= 0:
            break
    return rows


def _chart(groups: dict[str, Rows], canvas: Canvas) -> Any:
    import altair as alt

    last = max(rows[-1]["day"] for rows in groups.values())
    top = 10.0 ** np.ceil(np.log10(max(row["high"] for rows in groups.values() for row in rows)))
    scale = alt.Scale(type="log", domain=[ONE_CELL_ML, float(top)], nice=False)
    axis = alt.Axis(**charts.logarithmic(ONE_CELL_ML, float(top)))
    x = alt.X("day:Q", title="days after infusion", scale=alt.Scale(domain=[0, last], nice=False))
    x = x.axis(values=charts.ticks(last, canvas), grid=False)
    layers = []
    for role, rows in groups.items():
        drawn = [row | {name: max(row[name], ONE_CELL_ML / 100) for name in QUANTILES} for row in rows]
        y = {name: alt.Y(f"{name}:Q", title="tumour volume in mL", scale=scale, axis=axis) for name in QUANTILES}
        layers += [charts.band(drawn, x, y["low"], "high", role, 0.17), charts.line(drawn, x, y["middle"], role)]
    return alt.layer(*layers).properties(width=canvas.width, height=canvas.height)


def _table(groups: dict[str, Rows]) -> Table:
    cells = []
    for role, rows in groups.items():
        for row in rows[:: max(1, len(rows) // 8)]:
            ends = interval(row["low"], row["high"], 2)
            cells.append([FATES[role][0], number(row["day"]), number(row["middle"], 2), ends, count(row["patients"])])
    headings = ("Fate", "Day", "Median, mL", "Nine in ten, mL", "Patients followed")
    return table(headings, cells, range(1, 5), "Tumour volume by fate")


def _alt(groups: dict[str, Rows]) -> str:
    parts = []
    for role, rows in groups.items():
        least = min(rows, key=lambda row: row["middle"])
        parts.append(
            f"{FATES[role][0]}: median {number(rows[0]['middle'], 2)} mL at infusion, smallest on day "
            f"{number(least['day'])} and {number(rows[-1]['middle'], 2)} mL on day {number(rows[-1]['day'])}"
        )
    return "Tumour volume over time by fate. " + "; ".join(parts) + "."

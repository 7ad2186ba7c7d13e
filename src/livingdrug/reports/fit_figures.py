"""Figures of a fit: measured beside predicted, residuals, single subjects; each caption says what a good fit shows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.analysis import drawing
from livingdrug.inference.diagnostics import individual_courses, natural_scale
from livingdrug.reports import charts
from livingdrug.reports.charts import Canvas, Figure
from livingdrug.reports.numbers import count, percent

if TYPE_CHECKING:
    from livingdrug.inference.result import FitResult

__all__ = [
    "axis",
    "dots",
    "goodness",
    "grid",
    "individuals",
    "residuals",
    "rest",
    "thinned",
    "time_axis",
    "value_scale",
]

Rows = list[dict[str, Any]]
MOST_DOTS = 2500
MOST_SUBJECTS = 12
MEASURED, BELOW, TYPICAL, OWN = "measured", "below the limit, drawn at it", "typical patient", "this patient"


def dots(rows: Rows, x: Any, y: Any, role: str, *, size: int = 18, shape: str = "circle", opacity: float = 0.55) -> Any:
    """Return small marks; a triangle that points down stands for a value below the limit."""
    import altair as alt

    mark = alt.Chart(drawing.data(rows)).mark_point(
        color=charts.colour(role), filled=shape == "circle", size=size, shape=shape, opacity=opacity, clip=True
    )
    return mark.encode(x=x, y=y)


def rest(values: list[float], role: str = "quiet", *, across: bool = True, dash: Any = (4, 3)) -> Any:
    """Return rules at some values, across the drawing or upright."""
    import altair as alt

    rule = alt.Chart(drawing.data([{"v": v} for v in values])).mark_rule(
        color=charts.colour(role), strokeDash=list(dash), strokeWidth=1.2, clip=True
    )
    return rule.encode(y=alt.Y("v:Q")) if across else rule.encode(x=alt.X("v:Q"))


class Panels:
    """Charts side by side and in rows; put together as plain data, since Altair copies every value at each joining."""

    def __init__(self, specification: dict[str, Any]) -> None:
        self.specification = specification

    def to_dict(self, **_options: Any) -> dict[str, Any]:
        """Return the drawing as Vega-Lite."""
        return self.specification


def grid(panels: list[Any], columns: int, spacing: int = 18) -> Panels:
    """Return panels side by side and in rows."""
    found, datasets = [], {}
    for panel in panels:
        one = panel.to_dict(validate=False)
        datasets |= one.pop("datasets", {})
        found.append({key: value for key, value in one.items() if key not in {"$schema", "config"}})
    lines = [{"hconcat": found[k : k + columns], "spacing": spacing} for k in range(0, len(found), columns)]
    return Panels({"vconcat": lines, "spacing": spacing, "datasets": datasets})


def value_scale(values: Any) -> tuple[bool, list[float]]:
    """Return whether a logarithmic axis fits (all above zero, over more than a factor of 30), and its ends.

    Example:
        >>> value_scale(np.array([1.0, 1000.0]))[0], value_scale(np.array([0.0, 1000.0]))[0]
        (True, False)
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if not len(values):
        return False, [0.0, 1.0]
    low, high = float(values.min()), float(values.max())
    if low > 0 and high > 30 * low:
        return True, [low / 1.4, high * 1.4]
    room = 0.04 * (high - low) or 1.0
    return False, [low - room, high + room]


def axis(kind: Any, field: str, title: str | None, values: Any) -> Any:
    """Return the axis of measured values: logarithmic where that fits."""
    import altair as alt

    log, ends = value_scale(values)
    if not log:
        return kind(
            field, title=title, scale=alt.Scale(domain=ends, nice=False), axis=alt.Axis(tickCount=5, format="~g")
        )
    options = {**charts.logarithmic(ends[0], ends[1]), "grid": True}
    return kind(field, title=title, scale=alt.Scale(type="log", domain=ends, nice=False), axis=alt.Axis(**options))


def time_axis(times: Any, title: str | None, ticks: int | None = None) -> Any:
    """Return the axis of time: from zero, or the first sample if that is earlier, with room for the last dot."""
    import altair as alt

    low, high = min(0.0, float(np.min(times))), float(np.max(times))
    room = 0.015 * (high - low) or 1.0
    scale = alt.Scale(domain=[low - (room if low < 0 else 0.0), high + room], nice=False)
    look = alt.Axis(grid=False) if ticks is None else alt.Axis(grid=False, tickCount=ticks)
    return alt.X("TIME:Q", title=title, scale=scale, axis=look)


def thinned(table: Any) -> Any:
    """Return at most so many rows of a table as can be drawn, evenly chosen."""
    if len(table) <= MOST_DOTS:
        return table
    return table.iloc[np.linspace(0, len(table) - 1, MOST_DOTS).round().astype(int)]


def _said(drawn: int, all_: int) -> str:
    return "" if drawn == all_ else f" Of {count(all_)} samples {count(drawn)} are drawn, evenly chosen."


# -- measured beside predicted ----------------------------------------------------------------------------------------
def goodness(result: FitResult, table: Any, endpoint: str) -> Figure:
    """Return measured values against the predictions for the typical and for each single patient."""
    whole = natural_scale(result.problem, table[table["ENDPOINT"] == endpoint])
    whole = whole[np.isfinite(whole[["DV", "PRED", "IPRED"]]).all(axis=1)]
    mine = thinned(whole)
    words = drawing.words(endpoint)
    low = int((whole["CENS"] == 1).sum())
    caption = (
        "Each dot is one sample: what was measured (up) against what the model says (across), on the left for a "
        "typical "
        "patient with the same dose and covariates, on the right for the patient it was taken from. On the diagonal "
        "both are equal. On the left a cloud is natural, since patients differ; on the right the dots should hug the "
        "line without a bend."
    )
    if low:
        caption += f" Triangles: {count(low)} samples below the limit of quantification, drawn at the limit."
    return Figure(
        name=f"goodness-{endpoint}",
        title=f"Measured against predicted: {words}",
        caption=caption + _said(len(mine), len(whole)),
        alt=f"Scatter of measured {words} against population and individual predictions with the line of identity.",
        legend=_legend(low),
        table=None,
        **charts.draw(f"goodness-{endpoint}", lambda canvas: _goodness_chart(mine, words, canvas)),
    )


def _legend(low: int) -> tuple[tuple[str, str, str], ...]:
    found = (("simulated", "dot", MEASURED),)
    return (*found, ("published", "dot", BELOW)) if low else found


def _goodness_chart(table: Any, words: str, canvas: Canvas) -> Any:
    import altair as alt

    width = canvas.width - 60 if canvas.narrow else canvas.width // 2 - 70
    log, _ = value_scale(table[["DV", "PRED", "IPRED"]].to_numpy())
    every = table[["DV", "PRED", "IPRED"]].to_numpy().ravel()
    every = every[every > 0] if log else every
    panels = []
    for column, title in (("PRED", f"predicted for a {TYPICAL}"), ("IPRED", f"predicted for {OWN}")):
        x, y = axis(alt.X, f"{column}:Q", title, every), axis(alt.Y, "DV:Q", f"measured {words}", every)
        rows: Rows = table[[column, "DV", "CENS"]].to_dict("records")
        _, ends = value_scale(every)
        diagonal = [{column: end, "DV": end} for end in ends]
        layers = [charts.line(diagonal, x, y, "quiet", strokeDash=[5, 3])]
        layers.append(dots([r for r in rows if r["CENS"] == 0], x, y, "simulated"))
        layers.append(dots([r for r in rows if r["CENS"] != 0], x, y, "published", shape="triangle-down", size=26))
        panels.append(alt.layer(*layers).properties(width=width, height=width))
    return grid(panels, 1 if canvas.narrow else 2)


# -- residuals --------------------------------------------------------------------------------------------------------
RESIDUALS = (
    ("IWRES", "TIME", "individual (IWRES)"),
    ("CWRES", "TIME", "conditional (CWRES)"),
    ("NPDE", "TIME", "by simulation (NPDE)"),
    ("NPDE", "PRED", "by simulation (NPDE)"),
)


def residuals(result: FitResult, table: Any, endpoint: str) -> Figure:
    """Return residuals against time and against the prediction."""
    whole = natural_scale(result.problem, table[table["ENDPOINT"] == endpoint])
    mine = thinned(whole)
    unit = result.problem.rows.data.units.get("time", "day")
    beyond = {
        name: float((whole[name].abs() > 1.96).sum() / max(1, whole[name].notna().sum())) for name in ("CWRES", "NPDE")
    }
    return Figure(
        name=f"residuals-{endpoint}",
        title=f"What is left over: {drawing.words(endpoint)}",
        caption=(
            "How far each sample lies from the model, in units of the scatter that the model expects. A good fit "
            "leaves "
            "a band without pattern about zero, 95 % of the dots between the dashed lines at -1.96 and 1.96. A line "
            "(the mean of neighbouring dots) that leaves zero says at which times, or at which height, the model is "
            f"wrong. Outside the lines: {percent(beyond['CWRES'], 1)} of conditional residuals, "
            f"{percent(beyond['NPDE'], 1)} of those by simulation, which include samples below the limit (their place "
            "is "
            "drawn at random below it)." + _said(len(mine), len(whole))
        ),
        alt="Scatter of weighted residuals and prediction distribution errors against time and prediction, about zero.",
        legend=(("simulated", "dot", "one sample"), ("published", "line", "mean of neighbours")),
        table=None,
        **charts.draw(f"residuals-{endpoint}", lambda canvas: _residual_chart(mine, unit, canvas)),
    )


def _residual_chart(table: Any, unit: str, canvas: Canvas) -> Any:
    import altair as alt

    width = canvas.width - 60 if canvas.narrow else canvas.width // 2 - 70
    panels = []
    for name, across, words in RESIDUALS:
        seen = table[np.isfinite(table[name]) & np.isfinite(table[across])]
        if not len(seen):
            continue
        most = max(3.2, float(seen[name].abs().max()) * 1.05)
        y = alt.Y(
            f"{name}:Q", title=words, scale=alt.Scale(domain=[-most, most], nice=False), axis=alt.Axis(tickCount=5)
        )
        if across == "TIME":
            x = alt.X(
                "TIME:Q", title=f"time, {unit}", axis=alt.Axis(tickCount=5, grid=False), scale=alt.Scale(padding=6)
            )
        else:
            x = axis(alt.X, "PRED:Q", f"predicted for a {TYPICAL}", seen["PRED"])
        log = across == "PRED" and value_scale(seen["PRED"])[0]
        seen = seen[seen["PRED"] > 0] if log else seen
        rows: Rows = seen[[across, name]].to_dict("records")
        layers = [rest([0.0], dash=(1, 0)), rest([-1.96, 1.96])]
        layers.append(dots(rows, x, y, "simulated"))
        layers.append(charts.line(_smoothed(seen, across, name), x, y, "published"))
        panels.append(alt.layer(*layers).properties(width=width, height=int(width * 0.62)))
    return grid(panels, 1 if canvas.narrow else 2)


def _smoothed(table: Any, across: str, name: str, groups: int = 12) -> Rows:
    """Return means of neighbouring samples: the same time, or groups of equal size."""
    ordered = table.sort_values(across, kind="stable")
    distinct = ordered[across].nunique()
    if distinct <= groups:
        parts = [part for _, part in ordered.groupby(across)]
    else:
        parts = [ordered.iloc[at] for at in np.array_split(np.arange(len(ordered)), groups) if len(at)]
    return [{across: float(part[across].median()), name: float(part[name].mean())} for part in parts]


# -- single patients --------------------------------------------------------------------------------------------------
def individuals(result: FitResult, table: Any, endpoint: str) -> Figure:
    """Return measured values and fitted courses of some patients."""
    whole = natural_scale(result.problem, table[table["ENDPOINT"] == endpoint])
    chosen = _chosen(result, whole)
    ids = [result.problem.rows.data.ids[k] for k in chosen]
    courses = individual_courses(result, chosen)
    courses = courses[courses["ENDPOINT"] == endpoint]
    seen = whole[whole["ID"].isin(ids)]
    unit = result.problem.rows.data.units.get("time", "day")
    return Figure(
        name=f"individuals-{endpoint}",
        title=f"Single patients: {drawing.words(endpoint)}",
        caption=(
            f"{count(len(ids))} of {count(result.problem.subjects)} patients, evenly chosen from the best to the worst "
            "described (top left to bottom right, by the size of their residuals). Dots are measurements, triangles "
            "samples below the limit of quantification at that limit. The full line is the model for this patient, the "
            "dashed one for a typical patient. Where the full line follows the dots, the model can describe that "
            "patient."
        ),
        alt=f"Measured values and fitted courses of {len(ids)} patients in small panels.",
        legend=(
            ("ink", "dot", MEASURED), ("published", "dot", BELOW), ("simulated", "line", OWN),
            ("quiet", "dashed", TYPICAL),
        ),
        table=None,
        **charts.draw(f"individuals-{endpoint}", lambda canvas: _individual_chart(ids, seen, courses, unit, canvas)),
    )  # fmt: skip


def _chosen(result: FitResult, table: Any) -> list[int]:
    """Return subjects from the smallest to the largest mean squared residual."""
    size = table.assign(SQUARE=table["IWRES"] ** 2).groupby("ID")["SQUARE"].mean()
    ids = list(result.problem.rows.data.ids)
    present = [k for k, name in enumerate(ids) if name in size.index]
    ordered = sorted(present, key=lambda k: (float(size[ids[k]]) if math.isfinite(size[ids[k]]) else math.inf, k))
    if len(ordered) <= MOST_SUBJECTS:
        return ordered
    return [ordered[k] for k in np.linspace(0, len(ordered) - 1, MOST_SUBJECTS).round().astype(int)]


def _individual_chart(ids: list[str], seen: Any, courses: Any, unit: str, canvas: Canvas) -> Any:
    import altair as alt

    columns = 2 if canvas.narrow else 4
    width = canvas.width // columns - (34 if canvas.narrow else 48)
    panels, log = [], value_scale(seen["DV"])[0]
    span = np.r_[seen["DV"], courses["IPRED"][courses["IPRED"] > (seen["DV"].min() / 10 if log else -math.inf)]]
    for place, who in enumerate(ids):
        mine, course = seen[seen["ID"] == who], courses[courses["ID"] == who]
        title_y = drawing.words(str(mine["ENDPOINT"].iloc[0])) if place % columns == 0 and not canvas.narrow else None
        x = time_axis(courses["TIME"], unit if place >= len(ids) - columns else None, 3)
        y = axis(alt.Y, "DV:Q", title_y, span)
        rows: Rows = mine[["TIME", "DV", "CENS"]].to_dict("records")
        layers = []
        for column, role, look in (("PRED", "quiet", {"strokeDash": [4, 3]}), ("IPRED", "simulated", {})):
            line = course[["TIME", column]].rename(columns={column: "DV"})
            line = line[line["DV"] > 0] if log else line
            layers.append(charts.line(line.to_dict("records"), x, y, role, **look))
        layers.append(dots([r for r in rows if r["CENS"] == 0], x, y, "ink", size=22, opacity=0.9))
        layers.append(
            dots([r for r in rows if r["CENS"] != 0], x, y, "published", size=28, shape="triangle-down", opacity=1)
        )
        title = alt.Title(f"ID {who}"[:24], fontSize=11.5, fontWeight="normal", color=charts.colour("ink"), offset=3)
        panels.append(alt.layer(*layers).properties(width=width, height=int(width * 0.8), title=title))
    return grid(panels, columns, 10)

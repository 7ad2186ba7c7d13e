"""Survival of a trial of the twin: Kaplan-Meier curves with bands of trials of its size, and a forest plot."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.reports import charts
from livingdrug.reports.charts import Canvas, Figure
from livingdrug.reports.numbers import count, number, percent
from livingdrug.reports.tables import table
from livingdrug.trials.measures import DAYS_PER_MONTH, Measure, clock, in_set
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.protocol import Arm, Protocol
from livingdrug.trials.replicates import draws, interval, two_arms
from livingdrug.trials.survival import kaplan_meier, many_curves
from livingdrug.trials.targets import expanded, target_trials, targets

__all__ = ["curve_rows", "forest", "survival_figures"]

Rows = list[dict[str, Any]]
REPLICATES = 300
POINTS = 90
LEAST_AT_RISK = 0.02  # part of the pool that must still be under watch for the curve to go on
ROLES = ("simulated", "regrown", "quiet", "ink")
CLOCKS = {
    "os": ("Alive", "alive"),
    "efs": ("Alive without event", "without event"),
    "pfs": ("Alive without progression", "without progression"),
    "dor": ("Still in response", "in response"),
    "rfs": ("Responders without relapse", "without relapse"),
}
OF_RESPONDERS = ("dor", "rfs")


def survival_figures(outcome: Any, seed: int = 0) -> list[Figure]:
    """Return a Kaplan-Meier figure for each clock of the trial that has patients."""
    found = [_survival(outcome, name, seed) for name in CLOCKS if name in outcome.trial.follow_up.clocks]
    return [figure for figure in found if figure is not None]


def analysed(trial: Protocol, name: str) -> str:
    """Return the set of patients of a clock: responders, all randomised of several arms, else the infused."""
    return "responders" if name in OF_RESPONDERS else "enrolled" if len(trial.arms) > 1 else "infused"


def curve_rows(trial: Protocol, outcomes: Outcomes, arm: Arm, name: str, *, seed: int = 0) -> tuple[Rows, int]:
    """Return the curve of one arm: month, share, band of trials of the arm's size, patients at risk in such a trial.

    Args:
        trial: the definition.
        outcomes: of all arms.
        arm: which one.
        name: of the clock.
        seed: of the draws.

    Returns:
        Rows, and how many patients a trial of the real size has in the set; no rows where nobody is in it.
    """
    here = outcomes.take(outcomes["arm"] == arm.name)
    among = analysed(trial, name)
    measure = Measure(statistic="median time", of=name, among=(among,))
    inside = in_set(here, among, measure) if len(here) else np.zeros(0, bool)
    day, event = clock(here, name, trial.follow_up.clocks, measure, trial.follow_up.clock_from)
    held = inside & np.isfinite(day)
    if held.sum() < 2:
        return [], 0
    size = max(1, round(trial.enrolled_in(arm) * float(inside.mean())))
    curve = kaplan_meier(day[held], event[held])
    grid = _grid(day[held])
    rows = draws(here, measure, size, count=REPLICATES, seed=seed)
    many = many_curves(np.where(held, day, np.nan)[rows], (event & held)[rows]).at(grid)
    at_risk = curve.at_risk_on(grid) / held.sum() * size
    ends = np.nanquantile(many, [0.025, 0.975], axis=0)
    found = [
        {"month": at / DAYS_PER_MONTH, "share": share, "low": low, "high": high, "at_risk": risk}
        for at, share, low, high, risk in zip(grid, curve.at(grid), *ends, at_risk, strict=True)
    ]
    return found, size


def _grid(days: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the days at which a curve is drawn, until few are under watch."""
    last = float(np.quantile(days, 1 - LEAST_AT_RISK))
    return np.linspace(0.0, max(last, 1.0), POINTS)


def _survival(outcome: Any, name: str, seed: int) -> Figure | None:
    trial, outcomes = outcome.trial, outcome.outcomes
    curves = {arm.name: curve_rows(trial, outcomes, arm, name, seed=seed) for arm in trial.arms}
    curves = {arm: found for arm, found in curves.items() if found[0]}
    if not curves:
        return None
    title, words = CLOCKS[name]
    published = _landmarks(trial, name)
    legend = [(role, "line", f"simulated: {arm}") for arm, role in zip(curves, ROLES * 3, strict=False)]
    legend.append((ROLES[0], "band", "95 % of trials of this size"))
    if published:
        legend.append(("published", "dot", "published"))
    return Figure(
        name=f"survival-{name}",
        title=title,
        caption=_caption(trial, name, curves, published),
        alt=" ".join(_alt(arm, rows, words) for arm, (rows, _) in curves.items()),
        legend=tuple(legend),
        table=_table(curves, words),
        **charts.draw(f"survival-{name}", lambda canvas: _chart(curves, published, words, canvas)),
    )


def _landmarks(trial: Protocol, name: str) -> Rows:
    """Return published shares of a clock, with their reported interval."""
    if trial.name not in target_trials():
        return []
    return [
        {"month": one.measure.day / DAYS_PER_MONTH, "share": one.value / 100,
         "low": (one.value if one.low is None else one.low) / 100,
         "high": (one.value if one.high is None else one.high) / 100}
        for one in expanded(targets(trial.name))
        if one.measure.statistic == "survival" and one.measure.of == name and one.measure.day is not None
    ]  # fmt: skip


def _caption(trial: Protocol, name: str, curves: dict[str, tuple[Rows, int]], published: Rows) -> str:
    start = {"dor": "response", "rfs": "response"}.get(name, trial.follow_up.clock_from)
    sizes = " and ".join(
        f"{count(size)} ({arm})" if len(curves) > 1 else count(size) for arm, (_, size) in curves.items()
    )
    of = {"responders": "patients who responded", "enrolled": "all who were enrolled", "infused": "infused patients"}
    text = (
        f"The share of {of[analysed(trial, name)]} who are still {CLOCKS[name][1]}, month by month from the {start} "
        f"on, by the rule {trial.follow_up.clocks[name]!r} (Kaplan and Meier). The band shows how far a trial of "
        f"{sizes} patients may stray by chance alone. The numbers below are patients who would still be under watch "
        "in a trial of that size."
    )
    return text + (
        " Dots are what the trial reported, with the reported interval where one was given." if published else ""
    )


def _alt(arm: str, rows: Rows, words: str) -> str:
    shown = [(month, _at(rows, month)["share"]) for month in (6, 12, 24) if month <= rows[-1]["month"]]
    return f"{arm}, share {words}: " + ", ".join(f"{percent(share)} at month {month}" for month, share in shown) + "."


def _at(rows: Rows, month: float) -> dict[str, Any]:
    return max((row for row in rows if row["month"] <= month + 1e-9), key=lambda row: row["month"])


def _table(curves: dict[str, tuple[Rows, int]], words: str) -> Any:
    cells = [
        (
            arm,
            number(month),
            percent(row["share"]),
            f"{percent(row['low'])} to {percent(row['high'])}",
            count(row["at_risk"]),
        )
        for arm, (rows, _) in curves.items()
        for month in (3, 6, 12, 18, 24, 36, 48, 60)
        if month <= rows[-1]["month"]
        for row in (_at(rows, month),)
    ]
    return table(("Arm", "Month", words.capitalize(), "95 % of trials", "At risk"), cells, (1, 2, 3, 4), words)


def _chart(curves: dict[str, tuple[Rows, int]], published: Rows, words: str, canvas: Canvas) -> Any:
    import altair as alt

    last = max([*(rows[-1]["month"] for rows, _ in curves.values()), *(row["month"] * 1.03 for row in published)])
    scale = alt.Scale(domain=[0, last], nice=False)
    x = alt.X("month:Q", title="months", scale=scale, axis=alt.Axis(values=_months(last, canvas), grid=False))

    def y(field: str) -> Any:
        axis = alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1])
        return alt.Y(f"{field}:Q", title=f"share {words}", scale=alt.Scale(domain=[0, 1]), axis=axis)

    layers = []
    for (rows, _), role in zip(curves.values(), ROLES * 3, strict=False):
        layers.append(charts.band(rows, x, y("low"), "high", role, 0.18))
        layers.append(charts.line(rows, x, y("share"), role, interpolate="step-after"))
    if published:
        layers += [charts.whiskers(published, x, y("low"), "high", "published"),
                   charts.points(published, x, y("share"), "published")]  # fmt: skip
    parts = [alt.layer(*layers).properties(width=canvas.width, height=canvas.height)]
    for (arm, (rows, _)), role in zip(curves.items(), ROLES * 3, strict=False):
        parts.append(_at_risk(arm if len(curves) > 1 else "", rows, role, last, canvas))
    return alt.vconcat(*parts, spacing=4)


def _months(last: float, canvas: Canvas) -> list[float]:
    step = 6 if last <= (18 if canvas.narrow else 48) else 12
    return [float(month) for month in range(0, int(last) + 1, step)]


def _at_risk(arm: str, rows: Rows, role: str, last: float, canvas: Canvas) -> Any:
    import altair as alt

    marks = [
        {"month": month, "text": count(round(_at(rows, month)["at_risk"]))}
        for month in _months(last, canvas) if month <= rows[-1]["month"]
    ]  # fmt: skip
    x = alt.X("month:Q", axis=None, scale=alt.Scale(domain=[0, last], nice=False))
    words = f"at risk: {arm}" if arm else "patients at risk"
    title = alt.Title(words, anchor="start", fontSize=12, fontWeight="normal", color=charts.colour("ink"))
    look = {"baseline": "top", "fontSize": 11 if canvas.narrow else 12}
    return charts.words(marks, "text", x, alt.value(0), role, **look).properties(
        width=canvas.width, height=14, title=title
    )


# ---- two arms: hazard ratios

SUBGROUPS = (("age_years", ("younger", "older")), ("burden", ("less tumour", "more tumour")))


def forest(outcome: Any, seed: int = 0) -> Figure | None:
    """Return hazard ratios of two arms: each clock, and the first one in halves of the patients; None for one arm."""
    trial = outcome.trial
    if not two_arms(outcome.outcomes, trial):
        return None
    rows = forest_rows(trial, outcome.outcomes, seed)
    ours, theirs = (arm.name for arm in trial.arms)
    low = min(0.25, *(row["low"] for row in rows if row["low"] > 0))
    high = max(4.0, *(row["high"] for row in rows if np.isfinite(row["high"])))
    return Figure(
        name="forest",
        title="Hazard ratios",
        caption=(
            f"How many times as often an event happens under {ours} as under {theirs} at any time (Cox). Below 1 is "
            f"better for {ours}. The line holds 95 % of trials of the real size. OS: death; PFS: progression or "
            "death; EFS: also a treatment that failed. Halves are cut at the median age and the median tumour of all "
            "simulated patients; a difference between halves in one trial is mostly chance."
        ),
        alt="; ".join(
            f"{row['name']}: {number(row['ratio'], 2)} ({number(row['low'], 2)} to {number(row['high'], 2)})"
            for row in rows
        ),
        legend=(("simulated", "dot", "hazard ratio with 95 % of trials"),),
        table=table(
            ("Comparison", "Hazard ratio", "95 % of trials"),
            [(row["name"], number(row["ratio"]), f"{number(row['low'])} to {number(row['high'])}") for row in rows],
            (1, 2),
            f"Hazard ratios of {ours} over {theirs}",
        ),
        **charts.draw("forest", lambda canvas: _forest_chart(rows, low, high, canvas)),
    )


def forest_rows(trial: Protocol, outcomes: Outcomes, seed: int = 0) -> Rows:
    """Return hazard ratios with their interval over trials of the real size: every clock, then the halves."""
    from livingdrug.trials.replicates import hazard_ratios

    clocks = [name for name in ("efs", "pfs", "os") if name in trial.follow_up.clocks]
    groups = [(name.upper(), name, outcomes, 1.0) for name in clocks]
    for column, words in SUBGROUPS:
        middle = float(np.nanmedian(outcomes[column]))
        for label, inside in zip(words, (outcomes[column] < middle, outcomes[column] >= middle), strict=True):
            groups.append((f"{clocks[0].upper()}, {label}", clocks[0], outcomes.take(inside), 0.5))
    found = []
    for name, clock_name, held, part in groups:
        if not two_arms(held, trial):
            continue
        smaller = _smaller(trial, part)
        _, low, high = interval(hazard_ratios(held, smaller, clock_name, count=REPLICATES, seed=seed))
        ratio = float(hazard_ratios(held, smaller, clock_name, count=0)[0])
        found.append({"name": name, "ratio": ratio, "low": low, "high": high})
    return found


def _smaller(trial: Protocol, part: float) -> Protocol:
    """Return the trial with so large a part of its patients in each arm."""
    if part >= 1:
        return trial
    arms = tuple(
        arm.model_copy(update={"enrolled": max(1, round(part * trial.enrolled_in(arm)))}) for arm in trial.arms
    )
    return trial.model_copy(update={"arms": arms})


def _forest_chart(rows: Rows, low: float, high: float, canvas: Canvas) -> Any:
    import altair as alt

    names = [row["name"] for row in rows]
    width = 125 if canvas.narrow else 190
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    values = [v for v in (0.125, 0.25, 0.5, 1, 2, 4, 8) if low <= v <= high]
    axis = alt.Axis(values=values, format="~g", grid=False)
    fixed: dict[str, Any] = {"labelLimit": width, "minExtent": width, "maxExtent": width}
    y = alt.Y("name:N", sort=names, title=None, axis=alt.Axis(ticks=False, domain=False, **fixed))
    x = alt.X("ratio:Q", title="hazard ratio", scale=scale, axis=axis)
    shown = [{**row, "low": max(row["low"], low), "high": min(row["high"], high)} for row in rows]
    data = charts._data(shown)
    rule = alt.Chart(charts._data([{"one": 1.0}])).mark_rule(color=charts.colour("quiet"), strokeDash=[4, 4])
    layers = [
        rule.encode(x=alt.X("one:Q", scale=scale)),
        alt.Chart(data).mark_rule(color=charts.colour("simulated"), strokeWidth=1.8).encode(
            x=alt.X("low:Q", scale=scale, axis=axis, title="hazard ratio"), x2="high", y=y),
        alt.Chart(data).mark_point(color=charts.colour("simulated"), filled=True, size=80, opacity=1).encode(x=x, y=y),
    ]  # fmt: skip
    return alt.layer(*layers).properties(width=canvas.width - width + 40, height=26 * len(rows))

"""Figures of patients of a trial of the twin: CAR T cells over time, change of the tumour, one lane per patient."""

from __future__ import annotations

from typing import Any

import numpy as np

from livingdrug.reports import charts
from livingdrug.reports.charts import Canvas, Figure
from livingdrug.reports.numbers import count, interval, number, percent
from livingdrug.reports.tables import table
from livingdrug.trials.courses import Courses
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.targets import expanded, target_trials, targets

__all__ = ["kinetics", "published_points", "swimmer", "waterfall"]

Rows = list[dict[str, Any]]
LEAST_PATIENTS = 10
UNTIL = 180.0
LANES = 40
QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
COMPLETE, PARTIAL = ("CR", "CRi", "sCR"), ("PR", "VGPR")
RESPONSE_ROLES = {"complete": "simulated", "partial": "regrown", "none": "quiet"}
EVENTS = (
    ("response_day", "circle", "simulated", "response"),
    ("progression_day", "triangle-down", "published", "progression or relapse"),
    ("transplant_day", "square", "regrown", "transplant"),
    ("death_day", "cross", "ink", "death"),
)
"""Column -> shape, colour and words of a mark in a lane."""


def kinetics(trial: Protocol, found: Courses, outcomes: Outcomes, name: str, published: Rows) -> Figure | None:
    """Return CAR T cells in blood over time: median and bands of patients under watch, beside what was published.

    Args:
        trial: the definition.
        found: courses of infused patients.
        outcomes: of these patients, in this order.
        name: of the arm.
        published: rows of ``published_points``.
    """
    rows = _quantiles(found, outcomes)
    if len(rows) < 2:
        return None
    unit, limit = trial.sampling.unit.replace("uL", "µL").replace("ug", "µg"), trial.sampling.lloq.value
    legend = [
        ("simulated", "line", "simulated: median"), ("simulated", "band", "half of the patients"),
        ("simulated", "pale", "nine in ten patients"), ("quiet", "dashed", "limit of the assay"),
    ]  # fmt: skip
    if published:
        legend += [("published", "dot", "published"), ("simulated", "dot", "simulated, the same statistic")]
    top = max(rows, key=lambda row: row["q50"])
    tail = f": {name}" if len(trial.arms) > 1 else ""
    return Figure(
        name=f"kinetics-{_slug(name)}",
        title=f"CAR T cells in the blood{tail}",
        caption=(
            "After the infusion the CAR T cells multiply for one to two weeks; then most of them die and a few stay. "
            f"Half of the {count(len(found.ids))} patients drawn here lie in the dark band, nine in ten in the pale "
            "one, as long as they are under watch. Each step up the scale means ten times as many cells. Below the "
            f"dashed line the assay of the trial sees nothing. {_published_words(published)}"
        ),
        alt=(
            f"CAR T cells in blood, {unit}: the median rises to {number(top['q50'])} on day {number(top['day'])} and "
            f"is {number(rows[-1]['q50'])} on day {number(rows[-1]['day'])}."
        ),
        legend=tuple(legend),
        table=_kinetics_table(rows, unit),
        **charts.draw(
            f"kinetics-{_slug(name)}",
            lambda canvas: _kinetics_chart(rows, published, limit, f"{unit} of blood", canvas),
        ),
    )


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def _published_words(published: Rows) -> str:
    if not published:
        return ""
    peak = any(row["what"] == "peak" for row in published)
    extra = " A dot at a peak stands at the reported peak and its reported day." if peak else ""
    return (
        "The dots are what the trial reported, and beside each the same statistic of simulated samples on the trial's "
        f"days; the bar is the range of trials of its size.{extra}"
    )


def _quantiles(found: Courses, outcomes: Outcomes) -> Rows:
    """Return quantiles by day of the patients under watch, until half a year or until too few are left."""
    watched = np.where(found.days[None, :] <= outcomes["last_followed_day"][:, None], found.car_t, np.nan)
    rows: Rows = []
    for place in np.flatnonzero((found.days > 0) & (found.days <= UNTIL)):
        values = watched[:, place]
        values = values[~np.isnan(values)]
        if values.size < LEAST_PATIENTS:
            break
        ends = np.quantile(values, list(QUANTILES.values()))
        rows.append({"day": float(found.days[place]), "n": values.size, **dict(zip(QUANTILES, ends, strict=True))})
    return rows


def published_points(trial: Protocol, table_of_targets: Any) -> Rows:
    """Return kinetic results that can be drawn: day, published value, simulated value with its interval.

    Cells on a day stand on that day, a peak on its reported day.

    Args:
        trial: a calibration trial; others have none.
        table_of_targets: that of the outcome, in the order of ``targets.expanded``.
    """
    if trial.name not in target_trials() or not len(table_of_targets):
        return []
    pairs = list(zip(expanded(targets(trial.name)), table_of_targets.to_dict("records"), strict=True))
    days = {one.measure.among: (one.value, row["simulated"]) for one, row in pairs if one.measure.of == "tmax"}
    found = []
    for one, row in pairs:
        on_day = one.measure.of.removeprefix("car_t_day")
        spread = one.measure.statistic in ("geometric CV", "standard deviation")
        if on_day.isdigit() and not spread:
            at, what = (float(on_day), float(on_day)), f"day {on_day}"
        elif one.measure.of == "cmax" and not spread and one.measure.among in days:
            at, what = days[one.measure.among], "peak"
        else:
            continue
        found.append({
            "day": at[0], "simulated_day": at[1], "published": one.value, "simulated": row["simulated"],
            "low": row["low"], "high": row["high"], "what": what,
        })  # fmt: skip
    return found


def _kinetics_chart(rows: Rows, published: Rows, limit: float, title: str, canvas: Canvas) -> Any:
    import altair as alt

    last = max(rows[-1]["day"], 30.0)
    values = [row["q95"] for row in rows] + [row[k] for row in published for k in ("published", "high") if row[k] > 0]
    high = 10 ** np.ceil(np.log10(max(values)))
    low = min(
        limit / 3 if limit > 0 else high / 1e6, min(row["published"] for row in published) / 3 if published else 1e9
    )
    low = max(10 ** np.floor(np.log10(low)), high / 1e7)
    x = alt.X("day:Q", title="days after infusion", scale=alt.Scale(domain=[0, last], nice=False))
    x = x.axis(values=charts.ticks(last, canvas), grid=False)
    scale = alt.Scale(type="log", domain=[low, high], nice=False)

    def y(field: str) -> Any:
        return alt.Y(f"{field}:Q", title=title, scale=scale, axis=alt.Axis(**charts.logarithmic(low, high)))

    shown = [
        {key: value if key in ("day", "n") else max(value, low / 10) for key, value in row.items()} for row in rows
    ]
    layers = [
        charts.band(shown, x, y("q05"), "q95", "simulated", 0.16),
        charts.band(shown, x, y("q25"), "q75", "simulated", 0.3), charts.line(shown, x, y("q50"), "simulated"),
    ]  # fmt: skip
    if limit > 0:
        ends = [{"day": 0.0, "limit": limit}, {"day": last, "limit": limit}]
        layers.append(charts.line(ends, x, y("limit"), "quiet", strokeDash=[4, 4]))
    if published:
        same = [{**row, "day": row["simulated_day"]} for row in published]
        layers += [
            charts.whiskers(same, x, y("low"), "high", "simulated"),
            charts.points(same, x, y("simulated"), "simulated"),
            charts.points(published, x, y("published"), "published"),
        ]
    return alt.layer(*layers).properties(width=canvas.width, height=canvas.height)


def _kinetics_table(rows: Rows, unit: str) -> Any:
    days = (1, 3, 7, 10, 14, 21, 28, 60, 90, 180, 360)
    cells = [
        (number(row["day"]), number(row["q50"]), interval(row["q25"], row["q75"]), interval(row["q05"], row["q95"]),
         count(row["n"]))
        for row in rows if row["day"] in days
    ]  # fmt: skip
    headings = ("Day", f"Median, {unit}", "Half of the patients", "Nine in ten", "Patients")
    return table(headings, cells, range(5), "CAR T cells in blood by day")


def waterfall(trial: Protocol, found: Courses, outcomes: Outcomes, name: str) -> Figure | None:
    """Return the best change of the tumour of each patient, sorted.

    Args:
        trial: the definition.
        found: courses of infused patients.
        outcomes: of these patients, in this order.
        name: of the arm.
    """
    change = found.best_change(trial, outcomes)
    known = np.flatnonzero(np.isfinite(change))
    if known.size < 2:
        return None
    order = known[np.argsort(-change[known], kind="stable")]
    best = [_response(text) for text in outcomes["best_response"]]
    rows = [
        {"place": place, "change": float(np.clip(100 * change[row], -100, 100)), "role": best[row]}
        for place, row in enumerate(order)
    ]
    gone = sum(row["change"] < -99.5 for row in rows)
    tail = f": {name}" if len(trial.arms) > 1 else ""
    legend = {"complete": "complete response", "partial": "partial response", "none": "no response"}
    return Figure(
        name=f"waterfall-{_slug(name)}",
        title=f"Best change of the tumour{tail}",
        caption=(
            f"One bar per patient ({count(len(rows))} who had a visit): how far the number of tumour cells had "
            f"changed at the best visit. -100 % means that it fell by more than 99.5 %, as in {count(gone)} of them; "
            "what grew by more than 100 % is cut there. The colour is the response by the criteria of the trial, "
            "which also ask for more than size."
        ),
        alt=f"Best change of tumour cells: gone in {percent(gone / len(rows))} of {count(len(rows))} patients.",
        legend=tuple((role, "dot", legend[kind]) for kind, role in RESPONSE_ROLES.items()),
        table=None,
        **charts.draw(f"waterfall-{_slug(name)}", lambda canvas: _waterfall_chart(rows, canvas)),
    )


def _response(text: str) -> str:
    return "complete" if text in COMPLETE else "partial" if text in PARTIAL else "none"


def _roles(field: str) -> Any:
    import altair as alt

    colours = [charts.colour(role) for role in RESPONSE_ROLES.values()]
    return alt.Color(f"{field}:N", scale=alt.Scale(domain=list(RESPONSE_ROLES), range=colours), legend=None)


def _waterfall_chart(rows: Rows, canvas: Canvas) -> Any:
    import altair as alt

    x = alt.X("place:O", title="patients, from the worst to the best change", axis=alt.Axis(labels=False, ticks=False))
    y = alt.Y("change:Q", title="change of tumour cells, %", scale=alt.Scale(domain=[-100, 100]))
    bars = alt.Chart(charts._data(rows)).mark_bar().encode(x=x, y=y, color=_roles("role"))
    return bars.properties(width=canvas.width, height=canvas.height)


def swimmer(trial: Protocol, outcomes: Outcomes, name: str) -> Figure | None:
    """Return one lane per infused patient with what happened on the way; some of them, evenly, if there are many.

    Args:
        trial: the definition.
        outcomes: infused patients.
        name: of the arm.
    """
    if len(outcomes) < 2:
        return None
    order = np.argsort(-outcomes["last_followed_day"], kind="stable")
    order = order[np.unique(np.linspace(0, order.size - 1, min(LANES, order.size)).round().astype(int))]
    lanes, marks = _lanes(outcomes, order)
    start = "infusion" if trial.arm(name).product else "enrolment"
    tail = f": {name}" if len(trial.arms) > 1 else ""
    return Figure(
        name=f"swimmer-{_slug(name)}",
        title=f"What happens to each patient{tail}",
        caption=(
            f"One lane for each of {count(len(lanes))} patients of {count(len(outcomes))}, from the {start} to the "
            "last day under watch, the longest first. A lane without a cross ends because the watch ended, not the "
            "life. The colour of a lane is the best response."
        ),
        alt=f"{count(len(lanes))} lanes; {sum(mark['what'] == 'death' for mark in marks)} of them end with death.",
        legend=(
            ("simulated", "band", "complete response"),
            ("regrown", "band", "partial response"),
            ("quiet", "band", "no response"),
            *(("quiet", "none", f"{SHAPE_WORDS[shape]} {words}") for _, shape, _, words in EVENTS),
        ),
        table=None,
        **charts.draw(f"swimmer-{_slug(name)}", lambda canvas: _swimmer_chart(lanes, marks, start, canvas)),
    )


SHAPE_WORDS = {"circle": "●", "triangle-down": "▼", "square": "■", "cross": "✚"}


def _lanes(outcomes: Outcomes, order: Any) -> tuple[Rows, Rows]:
    best = [_response(text) for text in outcomes["best_response"]]
    lanes: Rows = []
    marks: Rows = []
    for place, row in enumerate(order):
        lanes.append(
            {"place": place, "start": 0.0, "end": _months(outcomes["last_followed_day"][row]), "role": best[row]}
        )
        for column, _, _, words in EVENTS:
            day = float(outcomes[column][row])
            if np.isfinite(day) and day <= outcomes["last_followed_day"][row]:
                marks.append({"place": place, "month": _months(day), "what": words})
    return lanes, marks


def _months(day: Any) -> float:
    from livingdrug.trials.measures import DAYS_PER_MONTH

    return float(day) / DAYS_PER_MONTH


def _swimmer_chart(lanes: Rows, marks: Rows, start: str, canvas: Canvas) -> Any:
    import altair as alt

    height = len(lanes) * (9 if canvas.narrow else 11)
    last = max(lane["end"] for lane in lanes) * 1.02
    scale = alt.Scale(domain=[0, last], nice=False)
    x = alt.X("start:Q", title=f"months after {start}", scale=scale, axis=alt.Axis(values=charts.ticks(last, canvas)))
    y = alt.Y("place:O", title=None, axis=None)
    bars = (
        alt.Chart(charts._data(lanes)).mark_bar(height=5, opacity=0.55).encode(x=x, x2="end", y=y, color=_roles("role"))
    )
    layers = [bars]
    for _, shape, role, words in EVENTS:
        held = [mark for mark in marks if mark["what"] == words]
        look = {"shape": shape, "color": charts.colour(role), "filled": True, "size": 42, "opacity": 1}
        layers.append(alt.Chart(charts._data(held)).mark_point(**look).encode(x=alt.X("month:Q", scale=scale), y=y))
    return alt.layer(*layers).properties(width=canvas.width, height=height)

"""The page of an emergence check: its question, a drawing of the answer, the numbers, and where they are from."""

from __future__ import annotations

import math
from typing import Any

from livingdrug.reports import charts
from livingdrug.reports.charts import Canvas, Figure
from livingdrug.reports.glossary import GLOSSARY
from livingdrug.reports.methods import versions
from livingdrug.reports.numbers import count, number
from livingdrug.reports.page import Report, render
from livingdrug.reports.tables import Table, table
from livingdrug.reports.trial_page import TERMS, section
from livingdrug.trials.emergence import QUARTERS, Emergence

__all__ = ["emergence_figure", "emergence_page"]

Rows = list[dict[str, Any]]
DIFFERENCE = "difference"
LINE_ROLES = ("simulated", "published", "regrown", "quiet", "ink")


def emergence_page(found: Emergence) -> Report:
    """Return the page of one check."""
    figures = emergence_figures(found)
    facts = [
        ("Check", found.check.name),
        ("Settings", found.settings),
        ("Intervals", found.intervals),
        ("Patients", f"{count(found.patients)} per plan, {count(found.sets)} parameter set(s)"),
        ("Seed", str(found.seed)),
        ("Versions", ", ".join(f"{package} {version}" for package, version in versions().items())),
    ]
    assumed = ("Nothing of this was fitted. The answer is that of the model and may be wrong.",)
    body = section("The answer of the model", found.check.question, figures=figures, tables=[numbers_table(found)])
    return Report(
        render(
            "trial.html", kicker="emergence check", title=found.check.title, about="", run=found.intervals, cards=[],
            sections=[body], parameters=[], assumptions=assumed, facts=facts, sources=[],
            glossary=sorted((*GLOSSARY, *TERMS)),
        )
    )  # fmt: skip


def emergence_figure(found: Emergence) -> Figure:
    """Return the first drawing of a check."""
    return emergence_figures(found)[0]


def emergence_figures(found: Emergence) -> list[Figure]:
    """Return the drawings of a check: one, or one per unit where plans stand side by side."""
    rows: Rows = found.table.to_dict("records")
    if found.check.kind == "groups":
        whole = [row for row in rows if row["group"] == "all" and row["unit"] == "%"]
        within = _groups(found, "groups", [row for row in rows if row["group"] in QUARTERS])
        between = "One dot per trial: all its infused patients, at the geometric mean of their cells."
        return [within, *([_groups(found, "between", whole, between)] if whole else [])]
    shares = [row for row in rows if row["unit"] == "%"]
    changes = [row for row in rows if row["group"] == DIFFERENCE and row["unit"] == "points"]
    made = [_shares(found, shares)]
    return [*made, _changes(found, changes)] if changes else made


def numbers_table(found: Emergence) -> Table:
    """Return all numbers of a check."""
    rows = [
        (
            row["part"],
            row["group"],
            row["quantity"],
            number(row["value"]),
            f"{number(row['low'])} to {number(row['high'])}",
            "" if row["unit"] == "1" else row["unit"].replace("uL", "µL").replace("/ug", "/µg"),
        )
        for row in found.table.to_dict("records")
    ]
    if found.check.kind == "plans":
        cut = [(row[2], row[1], *row[3:]) for row in rows]
        return table(("What", "Plan", "Value", "95 % interval", "Unit"), cut, (2, 3), "The numbers")
    return table(("Trial", "Group", "What", "Value", "95 % interval", "Unit"), rows, (3, 4), "The numbers")


def _figure(found: Emergence, name: str, title: str, chart: Any, rows: Rows, legend: Any, words: str = "") -> Figure:
    told = "; ".join(f"{row['part']}, {row['group']}: {number(row['value'], 2)} {row['unit']}" for row in rows)
    full = f"{found.check.name}-{name}"
    return Figure(
        name=full, title=title, caption=f"{words or found.check.caption} Whiskers: {found.intervals}.",
        alt=f"{title}. {told}.", legend=tuple(legend), table=None, **charts.draw(full, chart),
    )  # fmt: skip


def _groups(found: Emergence, name: str, rows: Rows, words: str = "") -> Figure:
    """Return a line per trial over groups of patients, at the amount of cells of each group; a dot for one group."""
    trials = list(dict.fromkeys(row["part"] for row in rows))
    legend = [(LINE_ROLES[k % len(LINE_ROLES)], "line", trial) for k, trial in enumerate(trials)]
    what = rows[0]["quantity"]

    def chart(canvas: Canvas) -> Any:
        import altair as alt

        values = [row["x"] for row in rows]
        low, high = min(values) / 1.5, max(values) * 1.5
        scale = alt.Scale(type="log", domain=[low, high], nice=False)
        title = "CAR T cells in blood (middle of the group, copies/µg" + (
            " × day)" if "response" in what else ", peak)"
        )
        x = alt.X("x:Q", title=title, scale=scale, axis=alt.Axis(**charts.logarithmic(low, high), grid=False))

        def y(field: str) -> Any:
            return alt.Y(f"{field}:Q", title=f"{what}, %", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(tickCount=5))

        layers = []
        for place, trial in enumerate(trials):
            held, role = [row for row in rows if row["part"] == trial], LINE_ROLES[place % len(LINE_ROLES)]
            layers += [charts.whiskers(held, x, y("low"), "high", role), charts.line(held, x, y("value"), role),
                       charts.points(held, x, y("value"), role)]  # fmt: skip
        return alt.layer(*layers).properties(width=canvas.width, height=canvas.height)

    title = f"{what.capitalize()}, {'trial by trial' if words else 'group by group'}"
    return _figure(found, name, title, chart, rows, legend, words)


def _shares(found: Emergence, rows: Rows) -> Figure:
    """Return shares as dots with whiskers: a block per quantity, a line per plan or scale."""
    groups = list(dict.fromkeys(row["group"] for row in rows))
    legend = [(LINE_ROLES[k % len(LINE_ROLES)], "dot", group) for k, group in enumerate(groups)]
    several = len({row["part"] for row in rows}) < len({(row["part"], row["quantity"]) for row in rows})
    shown = [{**row, "label": f"{row['part']}, {row['quantity']}" if several else row["part"]} for row in rows]

    def chart(canvas: Canvas) -> Any:
        return dots(shown, groups, "% of patients", (0, 100), canvas)

    title = "The plans side by side" if found.check.kind == "plans" else "Grade by scale"
    return _figure(found, "shares", title, chart, rows, legend)


def _changes(found: Emergence, rows: Rows) -> Figure:
    """Return differences in percentage points about zero."""
    reach = max(5.0, *(abs(row[name]) for row in rows for name in ("low", "high") if math.isfinite(row[name]))) * 1.1
    first, last = _plans(found)
    shown = [{**row, "label": row["part"]} for row in rows]

    def chart(canvas: Canvas) -> Any:
        return dots(shown, [DIFFERENCE], "difference in percentage points", (-reach, reach), canvas)

    words = (
        f"How many of 100 patients more (right of 0) or fewer (left) have it under “{last}” than under “{first}”; "
        "the same patients."
    )
    return _figure(
        found, "differences", f"{last}: the difference", chart, rows, [("simulated", "dot", "difference")], words
    )


def _plans(found: Emergence) -> tuple[str, str]:
    groups = [group for group in dict.fromkeys(found.table["group"]) if group != DIFFERENCE]
    return groups[0], groups[-1]


def dots(rows: Rows, groups: list[str], title: str, ends: tuple[float, float], canvas: Canvas) -> Any:
    """Return dots with whiskers on lines with labels; groups stand below one another, each in its colour."""
    import altair as alt

    labels = list(dict.fromkeys(row["label"] for row in rows))
    width = 120 if canvas.narrow else 260
    scale = alt.Scale(domain=list(ends), nice=False)
    fixed: dict[str, Any] = {"labelLimit": width, "minExtent": width, "maxExtent": width}
    y = alt.Y("label:N", sort=labels, title=None, axis=alt.Axis(ticks=False, domain=False, **fixed))
    layers = []
    if ends[0] < 0:
        zero = alt.Chart(charts._data([{"zero": 0.0}])).mark_rule(color=charts.colour("quiet"), strokeDash=[4, 4])
        layers.append(zero.encode(x=alt.X("zero:Q", scale=scale)))
    for place, group in enumerate(groups):
        held = [row for row in rows if row["group"] == group]
        look: dict[str, Any] = {"yOffset": 9 * (place - (len(groups) - 1) / 2)}
        colour = charts.colour(LINE_ROLES[place % len(LINE_ROLES)])
        data = charts._data([{k: row[k] for k in ("label", "value", "low", "high")} for row in held])
        x = alt.X("low:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5))
        layers += [
            alt.Chart(data).mark_rule(color=colour, strokeWidth=1.8, clip=True, **look).encode(x=x, x2="high", y=y),
            alt.Chart(data).mark_point(color=colour, filled=True, size=60, opacity=1, **look).encode(
                x=alt.X("value:Q", scale=scale), y=y),
        ]  # fmt: skip
    height = len(labels) * (14 + 10 * len(groups))
    return alt.layer(*layers).properties(width=canvas.width - width + 40, height=height)

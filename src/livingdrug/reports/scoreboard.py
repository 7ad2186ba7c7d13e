"""The scoreboard: every number that the trials reported beside what the twin says, and the forecasts of the others.

It is made from two tables: that of ``trials.predictive.coverage_table`` (calibration trials), and a frozen forecast
(all other trials). What falls outside is shown as plainly as what falls inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.errors import InputError
from livingdrug.reports import charts
from livingdrug.reports.charts import Canvas, Figure
from livingdrug.reports.glossary import GLOSSARY
from livingdrug.reports.keyresults import Card
from livingdrug.reports.numbers import count, number, percent
from livingdrug.reports.page import Report, render
from livingdrug.reports.tables import Table, table
from livingdrug.reports.trial_page import TERMS, section
from livingdrug.trials.predictive import GOAL, GOAL_PART, coverage_summary

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "checked", "intervals_chart", "placed", "scoreboard_markdown", "scoreboard_page"]

COLUMNS = (
    "trial", "label", "kind", "statistic", "unit", "observed", "size", "counted", "middle", "low", "high", "inside",
    "width", "width_limit", "wide",
)  # fmt: skip
NOTICE = "**Not for clinical use.**"
SHARES = ("proportion", "survival")
Rows = list[dict[str, Any]]


def checked(covered: pd.DataFrame) -> pd.DataFrame:
    """Return the table of targets with all its columns; ``counted`` is made from ``size`` where it is missing.

    Raises:
        InputError: columns are missing, or there is no row.
    """
    from livingdrug.trials.targets import LEAST_COUNTED

    missing = [name for name in COLUMNS if name not in covered and name != "counted"]
    if missing or not len(covered):
        raise InputError(
            f"a scoreboard needs rows with the columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}"
        )
    made = covered.copy()
    if "counted" not in made:
        made["counted"] = made["size"] >= LEAST_COUNTED
    for name in ("inside", "wide", "counted"):
        made[name] = made[name].astype(bool)
    return made


def scoreboard_markdown(
    covered: pd.DataFrame | None, forecast: Any = None, about: Mapping[str, str] | None = None, image: str = ""
) -> str:
    """Return the scoreboard as a Markdown page.

    Args:
        covered: table of targets; None while nothing is calibrated.
        forecast: frozen forecast of ``trials.forecast``, or None.
        about: provenance: name -> text.
        image: address of a drawing of the intervals.
    """
    lines = ["# Scoreboard", "", f"{NOTICE} This page is made by `livingdrug scoreboard`; do not edit it by hand.", ""]
    lines += [f"- {key}: {value}" for key, value in (about or {}).items()] + [""]
    if covered is not None:
        lines += _calibrated_lines(checked(covered), image)
    else:
        lines += [
            "## Calibration trials",
            "",
            "Nothing is shown here, since no table of the calibration was given.",
            "",
        ]
    if forecast is not None:
        lines += _forecast_lines(forecast)
    return "\n".join(lines).rstrip() + "\n"


def _calibrated_lines(covered: pd.DataFrame, image: str) -> list[str]:
    lines = ["## Calibration trials", "", _verdict(covered), ""]
    lines += [f"![Intervals of all targets, with what was reported]({image})", ""] if image else []
    lines += _markdown(_summary_table(covered))
    for trial, rows in covered.groupby("trial", sort=False):
        lines += ["", f"### {trial}", "", *_markdown(_target_table(rows))]
    return [*lines, ""]


def _verdict(covered: pd.DataFrame) -> str:
    totals = coverage_summary(checked(covered))
    row: dict[str, Any] = totals.to_dict("records")[0]
    missed = totals[(totals["by"] != "all") & ~totals["met"]]
    words = (
        f"{row['inside']} of {row['targets']} reported numbers lie inside their 95 % predictive interval "
        f"({_percent(row['share'])}); {row['wide']} intervals are wider than their limit. {row['narrow']} lie inside "
        f"an interval that is not too wide ({_percent(row['narrow'] / row['targets'])}; the goal is {_percent(GOAL)}). "
    )
    if len(missed):
        named = ", ".join(
            f"{name} ({_percent(narrow / size)})"
            for name, narrow, size in zip(missed["name"], missed["narrow"], missed["targets"], strict=True)
        )
        words += f"Below the goal of {_percent(GOAL_PART)} lie: {named}. "
    else:
        words += f"Every trial and every class of endpoint reaches {_percent(GOAL_PART)}. "
    small = np.count_nonzero(~covered["counted"])
    return (
        words + f"Rows with fewer than 12 patients are shown and not counted: {small}. These numbers were used in the "
        "calibration; how each trial is predicted from the other five stands with the results of the calibration. "
        "Shares that were lost before the infusion are put in, so attrition is met by itself."
    )


def _percent(share: float) -> str:
    return percent(share).replace("\u00a0", " ")


def _summary_table(covered: pd.DataFrame) -> Table:
    rows = [
        (
            row["by"],
            row["name"],
            count(row["targets"]),
            f"{row['inside']} ({_percent(row['share'])})",
            count(row["wide"]),
            f"{row['narrow']} ({_percent(row['narrow'] / row['targets'])})",
            "yes" if row["met"] else f"no, below {_percent(row['goal'])}",
        )
        for row in coverage_summary(checked(covered)).to_dict("records")
    ]
    marks = ["inside" if row[-1] == "yes" else "outside" for row in rows]
    headings = ("By", "Name", "Targets", "Inside", "Too wide", "Inside and not too wide", "Goal met")
    return table(headings, rows, (2, 3, 4, 5), "Inside by trial and by class of endpoint", marks)


def _target_table(rows: pd.DataFrame) -> Table:
    cells, marks = [], []
    for row in rows.to_dict("records"):
        ends = f"{_value(row['low'], row)} to {_value(row['high'], row)}"
        width = _width(row) + (" **too wide**" if row["wide"] else "")
        patients = count(row["size"]) + ("" if row["counted"] else " (few)")
        verdict = "inside" if row["inside"] else "**outside**"
        values = (_value(row["observed"], row), _value(row["middle"], row))
        cells.append((_short(row), *values, ends, width, patients, verdict))
        marks.append("inside" if row["inside"] else "outside")
    headings = ("Reported number", "Published", "Predicted", "95 % interval", "Width (limit)", "Patients", "")
    return table(headings, cells, range(1, 6), str(rows["trial"].iloc[0]), marks)


def _short(row: Mapping[str, Any]) -> str:
    """Return a label without the name of the trial, with its unit."""
    words = str(row["label"])
    words = words.split(", ", 1)[1] if ", " in words else words
    return (
        words.removesuffix(", proportion")
        if row["statistic"] in SHARES
        else f"{words} ({str(row['unit']).replace('|', '/')})"
    )


def _value(value: float, row: Mapping[str, Any]) -> str:
    if value == np.inf:
        return "not reached"
    return f"{number(value)} %" if row["statistic"] in SHARES else number(value)


def _width(row: Mapping[str, Any]) -> str:
    if row["statistic"] in SHARES:
        return f"{number(row['width'], 2)} points ({number(row['width_limit'], 2)})"
    return f"x {_factor(row['width'])} ({_factor(row['width_limit'])})"


def _factor(log_width: float) -> str:
    """Return a width of logarithms as upper end over lower end.

    Example:
        >>> _factor(0.6931)
        '2.0'
    """
    return "any" if not np.isfinite(log_width) or log_width > 20 else number(float(np.exp(log_width)), 2)


def _markdown(shown: Table) -> list[str]:
    """Return a table as lines of Markdown."""

    def cell(text: str) -> str:
        return text.replace("|", "\\|").replace("\n", " ")

    rule = ["---:" if column in shown.numeric else "---" for column in range(len(shown.headings))]
    return [
        "| " + " | ".join(map(cell, shown.headings)) + " |", "| " + " | ".join(rule) + " |",
        *("| " + " | ".join(map(cell, row)) + " |" for row in shown.rows),
    ]  # fmt: skip


def _forecast_lines(forecast: Any) -> list[str]:
    lines = [
        "## Predicted trials", "",
        "No result of these trials was used. Each line was frozen in a file before any comparison; the naive "
        "forecasts in that "
        "file are left out here. `livingdrug score` compares the file with an observed table.", "",
    ]  # fmt: skip
    lines += [f"- {key}: {value}" for key, value in forecast.provenance.items()]
    for trial, shown in _forecast_tables(forecast):
        lines += ["", f"### {trial}", "", *_markdown(shown)]
    return lines


def _forecast_tables(forecast: Any) -> list[tuple[str, Table]]:
    from livingdrug.trials.forecast import TWIN

    lines = forecast.table[forecast.table["forecaster"] == TWIN]
    found = []
    for trial, rows in lines.groupby("trial", sort=True):
        cells = [_forecast_cells(row) for row in rows.to_dict("records")]
        headings = ("Number", "Unit", "Median", "50 % of forecasts", "90 % of forecasts", "Patients")
        found.append((str(trial), table(headings, cells, (2, 3, 4, 5), f"Forecast: {trial}")))
    return found


def _forecast_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    keys = ("arm", "population", "endpoint", "timepoint", "grading_scale")
    words = ", ".join(str(row[key]) for key in keys if key in row and str(row[key]) not in ("", "nan"))
    ends = [_plain(row[name]) for name in ("q50", "q25", "q75", "q05", "q95")]
    unit = "" if row["unit"] == "1" else str(row["unit"])
    return (
        f"{words}, {row['statistic']}",
        unit,
        ends[0],
        f"{ends[1]} to {ends[2]}",
        f"{ends[3]} to {ends[4]}",
        count(row["N"]),
    )


def _plain(value: float) -> str:
    return "not reached" if value == np.inf else number(float(value))


def scoreboard_page(
    covered: pd.DataFrame | None, forecast: Any = None, about: Mapping[str, str] | None = None
) -> Report:
    """Return the scoreboard as one page in HTML; arguments as :func:`scoreboard_markdown`."""
    sections, cards = [], []
    if covered is not None:
        made = checked(covered)
        figures = [figure for figure in (intervals(made),) if figure]
        trials = [_plain_marks(_target_table(rows)) for _, rows in made.groupby("trial", sort=False)]
        sections.append(
            section("Calibration trials", _verdict(made), figures=figures, tables=[_summary_table(made), *trials])
        )
        cards = _cards(made)
    if forecast is not None:
        words = "No result of these trials was used. Each line was frozen in a file before any comparison."
        tables = [shown for _, shown in _forecast_tables(forecast)]
        sections.append(section("Predicted trials", words, folded=tables))
    facts = [*(about or {}).items(), *(dict(forecast.provenance).items() if forecast is not None else ())]
    return Report(
        render(
            "trial.html",
            kicker="scoreboard",
            title="Scoreboard",
            about="All trials: what was reported, and what the twin says.",
            run="",
            cards=cards,
            sections=sections,
            parameters=[],
            assumptions=[],
            facts=facts,
            sources=[],
            glossary=sorted((*GLOSSARY, *TERMS)),
        )
    )


def _plain_marks(shown: Table) -> Table:
    """Return a table without Markdown's stars; the colour says it on a page."""
    rows = tuple(tuple(cell.replace("**", "") for cell in row) for row in shown.rows)
    return Table(shown.headings, rows, shown.numeric, shown.caption, shown.marks)


def _cards(covered: pd.DataFrame) -> list[Card]:
    totals = coverage_summary(checked(covered))
    row: dict[str, Any] = totals.to_dict("records")[0]
    parts = totals[totals["by"] != "all"]
    met = f"goal {_percent(GOAL)}: {'met' if row['met'] else 'missed'}"
    missed = f"{np.count_nonzero(parts['met'])} of {len(parts)}"
    return [
        Card(f"{row['inside']} of {row['targets']}", "reported numbers inside the 95 % interval", met),
        Card(missed, "trials and classes reach their goal", f"{_percent(GOAL_PART)} inside, not too wide"),
        Card(count(row["wide"]), "intervals wider than their limit", "twice the width that chance alone would give"),
    ]


def intervals(covered: pd.DataFrame) -> Figure | None:
    """Return every target's interval about its prediction, on one scale: reported over predicted in widths."""
    rows = placed(covered)
    if not rows:
        return None
    outside = sum(not row["inside"] for row in rows)
    return Figure(
        name="targets",
        title="Every target at one look",
        caption=(
            "One column per reported number, by trial. 0 is the predicted median; the field from -1 to 1 "
            "is the 95 % interval. A dot is what was reported; beyond the field it lies outside. Those further than 3 "
            "are drawn at 3."
        ),
        alt=f"{len(rows) - outside} of {len(rows)} reported numbers lie inside their interval, {outside} outside.",
        legend=(
            ("simulated", "band", "95 % interval"),
            ("simulated", "dot", "inside"),
            ("published", "dot", "outside"),
        ),
        table=None,
        **charts.draw("targets", lambda canvas: intervals_chart(rows, canvas)),
    )


def placed(covered: pd.DataFrame) -> Rows:
    """Return where each reported number lies between the middle (0) and an end (1 or -1) of its interval."""
    rows: Rows = []
    for row in covered.to_dict("records"):
        values = [float(row[name]) for name in ("low", "middle", "observed", "high")]
        if row["statistic"] not in SHARES:
            values = [float(np.log(max(value, 1e-9))) if np.isfinite(value) else value for value in values]
        low, middle, seen, high = values
        if not np.isfinite(values).all():
            continue
        reach = high - middle if seen >= middle else middle - low
        at = 0.0 if seen == middle else 3.0 if reach <= 0 else min(abs(seen - middle) / reach, 3.0)
        at = min(at, 1.0) if row["inside"] else max(at, 1.05)
        rows.append(
            {
                "place": len(rows),
                "trial": row["trial"],
                "at": at if seen >= middle else -at,
                "inside": bool(row["inside"]),
                "low": -1.0,
                "high": 1.0,
            }
        )
    return rows


def intervals_chart(rows: Rows, canvas: Canvas) -> Any:
    """Return the drawing of :func:`intervals` for a canvas."""
    import altair as alt

    x = alt.X("place:Q", title="reported numbers, trial by trial", scale=alt.Scale(domain=[-1, len(rows)], nice=False))
    x = x.axis(labels=False, ticks=False, grid=False)

    def y(field: str) -> Any:
        axis = alt.Axis(values=[-3, -2, -1, 0, 1, 2, 3])
        return alt.Y(f"{field}:Q", title="reported, in half-widths", scale=alt.Scale(domain=[-3.1, 3.1]), axis=axis)

    ends = [{"place": -1.0, "low": -1.0, "high": 1.0}, {"place": float(len(rows)), "low": -1.0, "high": 1.0}]
    layers = [charts.band(ends, x, y("low"), "high", "simulated", 0.2)]
    for inside, role in ((True, "simulated"), (False, "published")):
        held = [{"place": row["place"], "at": row["at"]} for row in rows if row["inside"] is inside]
        dots = alt.Chart(charts._data(held)).mark_point(color=charts.colour(role), filled=True, size=30, opacity=1)
        layers.append(dots.encode(x=x, y=y("at")))
    firsts = {row["trial"]: row["place"] for row in reversed(rows)}
    layers += _trial_names(firsts, len(rows), x, y) if not canvas.narrow else []
    return alt.layer(*layers).properties(width=canvas.width, height=canvas.height)


def _trial_names(firsts: Mapping[str, int], total: int, x: Any, y: Any) -> list[Any]:
    import altair as alt

    # Every other name stands lower: trials with few numbers leave little room.
    marks = [
        {"place": place - 0.5, "at": 3.05 - 0.2 * (k % 2), "trial": trial}
        for k, (trial, place) in enumerate(firsts.items())
    ]
    rule = alt.Chart(charts._data(marks)).mark_rule(color=charts.colour("grid")).encode(x=x)
    look = {"align": "left", "baseline": "top", "dx": 3, "fontSize": 11}
    return [rule, charts.words(marks, "trial", x, y("at"), "quiet", **look)] if total else []

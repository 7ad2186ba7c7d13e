"""The figures of the report of making: dates, growth, who left, time by segment, failures, processes side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from livingdrug.reports import charts
from livingdrug.reports.charts import Canvas, Figure
from livingdrug.reports.numbers import count, interval, number, percent
from livingdrug.reports.tables import table
from livingdrug.therapy.published_losses import UK_PATIENTS, VEIN_TO_VEIN, compare_reasons, failure_shares
from livingdrug.therapy.timeline import EVENTS, SEGMENTS

__all__ = ["dates", "failures", "funnel", "growth", "processes", "segments", "vein_to_vein"]

Rows = list[dict[str, Any]]
BATCHES_SHOWN = 12
NAME_WIDTH, WIDE_NAMES = 125, 150  # pixels
BILLION = 1e9
VEIN = EVENTS[EVENTS.index("collection") :]
KINDS = {
    "arrival": "way and waiting", "start": "way and waiting", "harvest": "culture", "tested": "tests and decision",
    "release": "tests and decision", "return": "way and waiting", "conditioning": "way and waiting",
    "infusion": "conditioning",
}  # fmt: skip
"""Event at which a segment ends -> the kind of its time."""
COLOURS = {"culture": "simulated", "tests and decision": "published", "way and waiting": "quiet",
           "conditioning": "regrown"}  # fmt: skip
LEGEND = tuple((role, "dot", kind) for kind, role in COLOURS.items())
PASSED = (
    ("began", None),
    ("collected", "collected_t_cells"),
    ("grown", "harvested_t_cells"),
    ("released", "dose_cells"),
    ("infused", None),
)


def dates(made: Any, chosen: int | None = None) -> Figure | None:
    """Return the dated steps of some batches below the plan; one batch if ``chosen`` names its patient."""
    people = made.patients
    if "infusion_day" not in people:
        return None
    dated = np.flatnonzero(~np.isnan(people["infusion_day"]))
    if chosen is not None:
        dated = dated[people.ids[dated] == chosen]
    left = dict(zip(made.attrition.ids.tolist(), made.attrition.days, strict=True))
    plan = made.process.planned()
    rows = _bars("planned", [plan[event] for event in VEIN], np.inf)
    cells = [("planned", *(number(plan[event]) for event in VEIN[1:]), "")]
    for row in dated[:BATCHES_SHOWN]:
        patient = int(people.ids[row])
        days = [float(people[f"{event}_day"][row]) for event in VEIN]
        end = left.get(patient, np.inf)
        rows += _bars(f"patient {patient}", days, end)
        fate = "" if np.isinf(end) else f"left on day {number(end)}"
        cells.append((f"patient {patient}", *("" if day > end else number(day) for day in days[1:]), fate))
    if len(cells) == 1:
        return None
    ends = [{"name": f"patient {p}", "day": left[p]} for p in people.ids[dated[:BATCHES_SHOWN]].tolist() if p in left]
    zero = "the order" if made.process.donors else "the collection"
    headings = ["", *(event.capitalize() for event in VEIN[1:]), ""]
    return Figure(
        name="dates",
        title="Steps, planned and actual",
        caption=(
            f"Each bar is one patient's way from {zero} (day 0) to the infusion; the first is the plan. Blue is the "
            "time in which cells grow, orange the time in which a laboratory tests them and someone decides. A cross "
            "marks a patient who left: the cancer progressed, or the patient became too ill or died."
        ),
        alt=f"Planned infusion on day {number(plan['infusion'])}; {count(len(cells) - 1)} patients below the plan.",
        legend=LEGEND,
        table=table(headings, cells, range(1, len(VEIN)), "Day of each step"),
        **charts.draw("dates", lambda canvas: _dates_chart(rows, ends, [cell[0] for cell in cells], canvas)),
    )  # fmt: skip


def _bars(name: str, days: Sequence[float], end: float) -> Rows:
    """Return a bar for each segment, cut where the patient left; segments of one kind that touch become one."""
    rows: Rows = []
    for start, stop, event in zip(days[:-1], days[1:], VEIN[1:], strict=True):
        if min(stop, end) > start:
            rows.append({"name": name, "from": start, "to": min(stop, end), "kind": KINDS[event]})
    return rows


def _dates_chart(rows: Rows, ends: Rows, order: list[str], canvas: Canvas) -> Any:
    import altair as alt

    x = alt.X("from:Q", title="day", scale=alt.Scale(nice=False, zero=True)).axis(grid=True)
    y = alt.Y("name:N", sort=order, title=None, axis=alt.Axis(minExtent=80))
    bars = alt.Chart(charts._data(rows)).mark_bar(height=13).encode(x=x, x2="to", y=y, color=_kinds())
    crosses = alt.Chart(charts._data(ends)).mark_text(text="✕", dx=7, fontSize=13, color=charts.colour("ink"))
    layers = [bars, crosses.encode(x="day:Q", y=y)] if ends else [bars]
    return alt.layer(*layers).properties(width=canvas.width - 80, height=22 * len(order))


def _kinds() -> Any:
    import altair as alt

    scale = alt.Scale(domain=list(COLOURS), range=[charts.colour(role) for role in COLOURS.values()])
    return alt.Color("kind:N", scale=scale, legend=None)


def growth(seen: Any) -> Figure:
    """Return the living cells of one batch, the simulated counts, and the soft sensor's band."""
    true: Rows = [{"day": d, "cells": c} for d, c in zip(seen.days, seen.living / BILLION, strict=True)]
    counts: Rows = [{"day": d, "cells": c} for d, c in zip(seen.count_days, seen.counts / BILLION, strict=True)]
    band: Rows = [
        {"day": d, "middle": m / BILLION, "low": low / BILLION, "high": high / BILLION}
        for d, m, low, high in zip(seen.forecast_days, seen.middle, seen.low, seen.high, strict=True)
    ]
    counted = [(f"{row['day']:.1f}", number(row["cells"])) for row in counts]
    end = number(true[-1]["cells"])
    said = f"At harvest, on day {seen.harvest_day:.1f}, there are {end} billion living cells."
    if band:
        said += (
            f" From readings up to day {seen.read_until:.1f} the soft sensor foretells {number(band[-1]['middle'])} "
            f"billion, nine times in ten between {number(band[-1]['low'])} and {number(band[-1]['high'])} billion."
        )
    else:
        said += " The culture is too short for a forecast."
    return Figure(
        name="growth",
        title=f"Growth of the batch of patient {seen.patient}",
        caption=(
            f"Living T cells in the vessel from seeding to harvest. {said} The soft sensor sees what a plant sees: "
            "sugar and acid in the medium, and the few counts that are drawn as dots; here all of them are simulated."
        ),
        alt=said,
        legend=(
            ("quiet", "line", "simulated cells"), ("published", "dot", "counts"), ("simulated", "line", "forecast"),
            ("simulated", "band", "nine in ten"),
        ) if band else (("quiet", "line", "simulated cells"), ("published", "dot", "counts")),
        table=table(["Day", "Counted cells, billions"], counted, (0, 1), "Counts"),
        **charts.draw("growth", lambda canvas: _growth_chart(true, counts, band, canvas)),
    )  # fmt: skip


def _growth_chart(true: Rows, counts: Rows, band: Rows, canvas: Canvas) -> Any:
    import altair as alt

    every = [r["cells"] for r in true + counts] + [r[k] for r in band for k in ("low", "high")]
    low, high = 0.8 * min(every), 1.15 * max(every)
    scale = alt.Scale(domain=[0, true[-1]["day"]], nice=False)
    x = alt.X("day:Q", title="days since seeding", scale=scale).axis(grid=False, tickCount=8)
    axis = alt.Axis(tickCount=5, format=",~g")

    def y(field: str) -> Any:
        scale = alt.Scale(type="log", domain=[low, high], nice=False)
        return alt.Y(f"{field}:Q", title="living T cells, billions", scale=scale, axis=axis)

    layers = [charts.line(true, x, y("cells"), "quiet"), charts.points(counts, x, y("cells"), "published")]
    if band:
        layers.insert(0, charts.band(band, x, y("low"), "high", "simulated", 0.22))
        layers.insert(1, charts.line(band, x, y("middle"), "simulated"))
    return alt.layer(*layers).properties(width=canvas.width, height=canvas.height)


def funnel(made: Any) -> Figure:
    """Return how many are left after each stage, with the reasons of those who left."""
    people, total = made.patients, len(made)
    numbers = {"began": total, "infused": total - len(made.attrition)}
    rows: Rows = []
    for name, column in PASSED:
        if column is not None and column not in people:
            continue
        left = numbers[name] if column is None else int(np.sum(~np.isnan(people[column])))
        rows.append(
            {"step": name, "from": 0.0, "to": float(left), "text": f"{count(left)} ({percent(left / total, 1)})"}
        )
    reasons = [(stage, why, count(some), percent(some / total, 2)) for stage, why, some in made.funnel()]
    lost = "; ".join(f"{why} {some}" for _, why, some, _ in reasons) or "nobody"
    return Figure(
        name="funnel",
        title="Who left, where and why",
        caption="How many patients are still there after each stage. Those who left, by reason: " + lost + ".",
        alt="; ".join(f"{row['step']}: {row['text']}" for row in rows),
        legend=(),
        table=table(["Stage", "Reason", "Patients", "Of all"], reasons, (2, 3), "Who left, by stage and reason"),
        **charts.draw("funnel", lambda canvas: _funnel_chart(rows, total, canvas)),
    )  # fmt: skip


def _funnel_chart(rows: Rows, total: int, canvas: Canvas) -> Any:
    import altair as alt

    order = [row["step"] for row in rows]
    x = alt.X("from:Q", title="patients", scale=alt.Scale(domain=[0, total])).axis(
        grid=False, tickCount=5, format=",.0f"
    )
    y = alt.Y("step:N", sort=order, title=None, axis=alt.Axis(minExtent=70))
    bars = alt.Chart(charts._data(rows)).mark_bar(color=charts.colour("simulated"), height=18, opacity=0.75)
    words = charts.words(rows, "text", alt.X("from:Q"), y, "ink", align="left", dx=6, fontSize=12, fontWeight="bold")
    layers = [bars.encode(x=x, x2="to", y=y), words]
    return alt.layer(*layers).properties(width=canvas.width - 70, height=28 * len(order))


def vein_to_vein(made: Any) -> Figure | None:
    """Return how the days from vein to vein of the infused are spread."""
    people = made.infused
    days = people["infusion_day"] - people["collection_day"]
    if days.size < 2:
        return None
    most = float(np.quantile(days, 0.995))
    heights, edges = np.histogram(np.minimum(days, most), bins=min(40, max(5, days.size // 10)))
    rows: Rows = [
        {"from": start, "to": stop, "share": height, "none": 0.0}
        for height, start, stop in zip(heights / days.size, edges[:-1], edges[1:], strict=True)
    ]
    low, middle, high = np.quantile(days, [0.1, 0.5, 0.9])
    said = f"half of the patients within {number(middle)} days, nine of ten within {number(high)}"
    what = "the order" if made.process.donors else "the collection"
    beside = "; ".join(f"{row.product}, {row.setting}: {number(row.days)}" for row in VEIN_TO_VEIN[:2])
    shares = (0.1, 0.25, 0.5, 0.75, 0.9)
    cells = [(percent(share), number(float(np.quantile(days, share)))) for share in shares]
    return Figure(
        name="vein",
        title="From vein to vein",
        caption=f"Days from {what} to the infusion, of those infused: {said}. Published medians in days: {beside}.",
        alt=f"A tenth within {number(low)} days, {said}.",
        legend=(),
        table=table(["Share of patients", "Days"], cells, (1,), "From vein to vein"),
        **charts.draw("vein", lambda canvas: _histogram(rows, canvas)),
    )


def _histogram(rows: Rows, canvas: Canvas) -> Any:
    import altair as alt

    scale = alt.Scale(nice=False, zero=False)
    x = alt.X("from:Q", title="days from vein to vein", scale=scale).axis(grid=False, tickCount=8)
    y = alt.Y("share:Q", title="share of patients", axis=alt.Axis(format=".0%", tickCount=4))
    bars = alt.Chart(charts._data(rows)).mark_bar(color=charts.colour("simulated"), opacity=0.75)
    return bars.encode(x=x, x2="to", y=y, y2="none").properties(width=canvas.width, height=canvas.height)


def segments(made: Any) -> Figure:
    """Return the days of each segment: mean, and the middle eight tenths."""
    found = made.segments()
    shown = found[(found["mean"] > 0) & (found["segment"] != "vein to vein")]
    kinds = {SEGMENTS[event]: kind for event, kind in KINDS.items()}
    rows: Rows = [
        {
            "name": _short(row["segment"]),
            "from": 0.0,
            "to": row["mean"],
            "kind": kinds.get(row["segment"], "way and waiting"),
        }
        for row in shown.to_dict("records")
    ]
    cells = [
        (row["segment"], number(row["median"]), interval(row["p10"], row["p90"]), number(row["mean"]))
        for row in found.to_dict("records")
    ]
    longest = shown.sort_values("mean", ascending=False).head(2)["segment"].tolist()
    return Figure(
        name="segments",
        title="Where the time goes",
        caption=(
            f"Mean days of each part of the way, of those infused. The longest: {' and '.join(longest)}. "
            "Means add up to the whole; medians need not."
        ),
        alt="Mean days: " + "; ".join(f"{cell[0]} {cell[3]}" for cell in cells),
        legend=LEGEND,
        table=table(["Segment", "Median, days", "Eight in ten", "Mean, days"], cells, (1, 2, 3), "Days by segment"),
        **charts.draw("segments", lambda canvas: _stack_chart(rows, canvas)),
    )


def _short(segment: str) -> str:
    """Return the words of a segment that fit beside a bar on a phone."""
    return "way to the plant" if segment == SEGMENTS["arrival"] else segment


def _stack_chart(rows: Rows, canvas: Canvas) -> Any:
    import altair as alt

    order = list(dict.fromkeys(row["name"] for row in rows))

    width = WIDE_NAMES if not canvas.narrow else NAME_WIDTH
    axis = alt.Axis(minExtent=width, labelLimit=width)
    bars = alt.Chart(charts._data(rows)).mark_bar(height=16)
    return bars.encode(
        x=alt.X("from:Q", title="mean days").axis(tickCount=6),
        x2="to",
        y=alt.Y("name:N", sort=order, title=None, axis=axis),
        color=_kinds(),
    ).properties(width=canvas.width - width, height=max(27 * len(order), 60))


def failures(made: Any) -> Figure:
    """Return the failed manufactures by reason beside the British panel."""
    found = compare_reasons(failure_shares(made.attrition, len(made)))
    rows: Rows = found.to_dict("records")
    cells = [
        (row["reason"], f"{row['failed']} of {count(row['of'])}", percent(row["published"], 2),
         f"{percent(row['low'], 1)} to {percent(row['high'], 1)}", percent(row["simulated"], 2),
         "inside" if row["inside"] else "outside")
        for row in rows
    ]  # fmt: skip
    outside = [row["reason"] for row in rows if not row["inside"]]
    said = f"Outside the interval: {', '.join(outside)}." if outside else "All lie within the intervals."
    return Figure(
        name="failures",
        title="Failed batches by reason, beside a national panel",
        caption=(
            f"Share of patients whose batch failed. Orange: the British panel of {count(UK_PATIENTS)} patients with "
            f"the 95 % interval of its counts; blue: simulated. {said} Nothing is fitted to it. Its other or unstated "
            "reasons (contamination, equipment, what a patient's earlier drugs did to the cells) are not simulated."
        ),
        alt="; ".join(f"{cell[0]}: panel {cell[2]}, simulated {cell[4]}" for cell in cells),
        legend=(("published", "dot", "British panel"), ("simulated", "dot", "simulated")),
        table=table(
            ["Reason", "Panel", "Share", "95 % interval", "Simulated", "Within"], cells, range(1, 5), "Failed batches",
        ),
        **charts.draw("failures", lambda canvas: _failure_chart(rows, canvas)),
    )  # fmt: skip


def _failure_chart(rows: Rows, canvas: Canvas) -> Any:
    import altair as alt

    y = alt.Y("reason:N", sort=[row["reason"] for row in rows], title=None, axis=alt.Axis(minExtent=85))

    def x(field: str) -> Any:
        return alt.X(f"{field}:Q", title="share of patients", axis=alt.Axis(format=".0%", tickCount=5))

    ends = alt.Chart(charts._data(rows)).mark_rule(color=charts.colour("published"), strokeWidth=2)
    layers = [
        ends.encode(x=x("low"), x2="high", y=y),
        charts.points(rows, x("published"), y, "published"),
        charts.points(rows, x("simulated"), y, "simulated"),
    ]
    return alt.layer(*layers).properties(width=canvas.width - 85, height=170)


def processes(made: Sequence[Any]) -> Figure:
    """Return the mean days of each kind from vein to vein, process beside process."""
    rows, cells = kind_rows(made), []
    for batches in made:
        spent = days_by_kind(batches)
        cells.append((batches.process.name, *(number(days) for days in spent.values()), number(sum(spent.values()))))
    headings = ["Process", *(f"{kind.capitalize()}, days" for kind in COLOURS), "Vein to vein, days"]
    return Figure(
        name="processes",
        title="Days from vein to vein, by process",
        caption=(
            "Mean days of the infused from collection to infusion (donor bank: from the order). Blue is the culture, "
            "the only part that a faster culture shortens. Conditioning beside the culture costs no day of its own."
        ),
        alt="Mean days: " + "; ".join(f"{cell[0]} {cell[-1]}, of these culture {cell[1]}" for cell in cells),
        legend=LEGEND,
        table=table(headings, cells, range(1, len(headings)), "Days by process"),
        **charts.draw("processes", lambda canvas: _stack_chart(rows, canvas)),
    )


def kind_rows(made: Sequence[Any]) -> Rows:
    """Return the bars of each process, one kind of time after the other."""
    rows: Rows = []
    for batches in made:
        at = 0.0
        for kind, days in days_by_kind(batches).items():
            rows.append({"name": batches.process.name, "from": at, "to": at + days, "kind": kind})
            at += days
    return rows


def days_by_kind(made: Any) -> dict[str, float]:
    """Return the mean days of the infused from vein to vein by kind of time."""
    found: pd.DataFrame = made.segments().set_index("segment")
    return {
        kind: float(sum(found.loc[SEGMENTS[event], "mean"] for event, of in KINDS.items() if of == kind))
        for kind in COLOURS
    }

"""The figures of a plant's report: time by segment, cost against use, busy units, lines, the network, the wait."""

from __future__ import annotations

from typing import Any

import numpy as np

from livingdrug.plant.cost import BatchCost
from livingdrug.plant.gantt import lanes
from livingdrug.plant.risk import MONTH, crossing
from livingdrug.reports import charts
from livingdrug.reports.charts import Canvas, Figure
from livingdrug.reports.numbers import count, number, percent
from livingdrug.reports.tables import table

__all__ = ["busy_units", "cost_curve", "gantt", "network_map", "segments", "vein_to_vein", "waiting"]

Rows = list[dict[str, Any]]
GANTT_DAYS, GANTT_LINES = 90.0, 24
NAME_WIDTH = 105  # pixels; a page's own font may be wider than that of the drawing
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def vein_to_vein(result: Any) -> Figure | None:
    """Return how the vein-to-vein times of infused patients are spread."""
    column = "vein_to_vein_days" if result.plan.vein_step else "infusion_day"
    days = result.patients[column].to_numpy(float)
    if not result.plan.vein_step:
        days = days - result.patients["referral_day"].to_numpy(float)
    days = days[np.isfinite(days)]
    if days.size < 2:
        return None
    most = float(np.quantile(days, 0.995))
    heights, edges = np.histogram(np.minimum(days, most), bins=min(40, max(5, days.size // 10)))
    rows: Rows = [
        {"from": start, "to": stop, "share": height, "none": 0.0}
        for height, start, stop in zip(heights / days.size, edges[:-1], edges[1:], strict=True)
    ]
    low, middle, high = np.quantile(days, [0.1, 0.5, 0.9])
    what = "collection" if result.plan.vein_step else "referral"
    words = f"half of the patients within {number(middle)} days, nine of ten within {number(high)}"
    return Figure(
        name="vein-to-vein",
        title=f"From {what} to infusion",
        caption=f"How many days pass from the {what} to the infusion, for those who are infused: {words}.",
        alt=f"Distribution of days from {what} to infusion: 10 % within {number(low)} days, {words}.",
        table=table(["Share of patients", "Days"], _quantiles(days), (1,), "From vein to vein"),
        legend=(),
        **charts.draw("vein", lambda canvas: _histogram(rows, f"days from {what} to infusion", canvas)),
    )


def _quantiles(days: Any) -> list[tuple[str, str]]:
    return [(percent(share), number(float(np.quantile(days, share)))) for share in (0.1, 0.25, 0.5, 0.75, 0.9)]


def _histogram(rows: Rows, title: str, canvas: Canvas) -> Any:
    import altair as alt

    x = alt.X("from:Q", title=title, scale=alt.Scale(nice=False, zero=False)).axis(grid=False, tickCount=8)
    y = alt.Y("share:Q", title="share of patients", axis=alt.Axis(format=".0%", tickCount=4))
    bars = alt.Chart(charts._data(rows)).mark_bar(color=charts.colour("simulated"), opacity=0.75)
    return bars.encode(x=x, x2="to", y=y, y2="none").properties(width=canvas.width, height=canvas.height)


def segments(result: Any) -> Figure | None:
    """Return where the time goes: for each step the mean days in the queue and in the step."""
    parts = result.segments
    if parts.empty:
        return None
    rows: Rows = []
    cells = []
    for step in result.plan.steps:
        seen = parts[parts["step"] == step.name]
        if seen.empty:
            continue
        waits, works = seen["waiting_days"].to_numpy(float), seen["working_days"].to_numpy(float)
        rows.append({"step": step.name, "from": 0.0, "to": works.mean(), "what": "in the step"})
        rows.append({"step": step.name, "from": works.mean(), "to": works.mean() + waits.mean(), "what": "waiting"})
        low, high = np.quantile(waits + works, [0.1, 0.9])
        cells.append((step.name, number(waits.mean()), number(works.mean()), f"{number(low)} to {number(high)}"))
    order = [step.name for step in result.plan.steps]
    return Figure(
        name="segments",
        title="Where the time goes",
        caption=(
            "Mean days of infused patients in each step and in the queue before it, all repeats together. A long "
            "second part of a bar is a bottleneck: cells or patients wait there for a free unit."
        ),
        alt="Mean days by step: " + "; ".join(f"{name} {work} and {wait} waiting" for name, wait, work, _ in cells),
        legend=(("simulated", "line", "in the step"), ("published", "line", "waiting for it")),
        table=table(["Step", "Waiting, days", "In the step, days", "80 % of patients"], cells, (1, 2), "Time by step"),
        **charts.draw("segments", lambda canvas: _bars(rows, order, canvas)),
    )


def _bars(rows: Rows, order: list[str], canvas: Canvas) -> Any:
    import altair as alt

    colours = alt.Scale(
        domain=["in the step", "waiting"], range=[charts.colour("simulated"), charts.colour("published")]
    )
    bars = alt.Chart(charts._data(rows)).mark_bar(height=14)
    return bars.encode(
        x=alt.X("from:Q", title="days"),
        x2="to",
        y=alt.Y("step:N", sort=order, title=None, axis=alt.Axis(minExtent=NAME_WIDTH)),
        color=alt.Color("what:N", scale=colours, legend=None),
    ).properties(width=canvas.width - NAME_WIDTH, height=max(24 * len(order), 60))


def cost_curve(cost: BatchCost, seed: int, used: float | None = None) -> Figure:
    """Return the cost of a batch against the share of the lines' time that is used."""
    grid = np.linspace(0.1, 1.0, 46)
    rows: Rows = cost.curve(grid, seed).to_dict("records")
    shown = cost.curve(SHARES, seed).to_dict("records")
    full, third = shown[-1], cost.curve([0.3365], seed).to_dict("records")[0]
    here = "" if used is None else f" The plant of this report uses {percent(used)} of its lines' time."
    cells = [
        (percent(row["utilisation"]), _usd(row["batch"]), f"{_usd(row['batch_low'])} to {_usd(row['batch_high'])}",
         _usd(row["treated"]), percent(row["plant_share"]))
        for row in shown
    ]  # fmt: skip
    return Figure(
        name="cost",
        title="A plant that stands still is dear",
        caption=(
            "Cost of making one batch against the share of the lines' time that is used: a line costs the same whether "
            f"it works or not. At a third of full use a batch costs about {_usd(third['batch'])} USD, at full use "
            f"{_usd(full['batch'])} USD. The band holds 95 % of the draws of uncertain parts.{here}"
        ),
        alt=f"A batch costs {_usd(third['batch'])} USD at a third of full use, {_usd(full['batch'])} USD at full use.",
        legend=(("simulated", "line", "per batch"), ("simulated", "band", "95 % of draws")),
        table=table(
            ["Use", "Per batch, USD", "95 % of draws", "Per treated patient, USD", "Share of the plant"],
            cells, range(1, 5), "Cost against use",
        ),
        **charts.draw("cost", lambda canvas: _cost_chart(rows, used, canvas)),
    )  # fmt: skip


def _usd(value: float) -> str:
    return f"{round(value, -2):,.0f}"


def _cost_chart(rows: Rows, used: float | None, canvas: Canvas) -> Any:
    import altair as alt

    most = max(row["batch_high"] for row in rows if row["utilisation"] >= 0.19)
    x = alt.X("utilisation:Q", title="share of the lines' time that is used", scale=alt.Scale(domain=[0, 1]))
    x = x.axis(format=".0%", grid=False)

    def y(field: str) -> Any:
        scale = alt.Scale(domain=[0, most])
        return alt.Y(f"{field}:Q", title="USD per batch", scale=scale, axis=alt.Axis(format="~s", tickCount=6))

    layers = [charts.band(rows, x, y("batch_low"), "batch_high", "simulated", 0.2)]
    layers.append(charts.line(rows, x, y("batch"), "simulated"))
    if used is not None:
        layers.append(charts.line([{"utilisation": used, "batch": v} for v in (0.0, most)], x, y("batch"), "quiet"))
    return alt.layer(*layers).properties(width=canvas.width, height=canvas.height)


def busy_units(result: Any) -> list[Figure]:
    """Return for each resource that is held for days how many units were busy over time."""
    kinds = {step.needs for step in result.plan.steps if step.needs and step.process} or {
        step.needs for step in result.plan.steps if step.needs
    }
    return [_busy(result, kind) for kind in result.plan.resources if kind.name in kinds]


def _busy(result: Any, kind: Any) -> Figure:
    used = result.holds[result.holds["resource"] == kind.name]
    begun = used[used["from_day"].notna()]
    last = result.window[1]
    days = np.linspace(0, max(last, 1.0), 300)
    busy = _count(begun["from_day"], begun["to_day"], days)
    waits = _count(used["asked_day"], used["from_day"].fillna(used["to_day"]), days)
    rows: Rows = [
        {"day": day, "busy": float(b), "queue": float(q)} for day, b, q in zip(days, busy, waits, strict=True)
    ]
    row = result.resources.set_index("resource").loc[kind.name]
    words = f"{percent(float(row['utilisation']))} of the time of {count(kind.units)} units is used"
    return Figure(
        name=f"busy-{kind.name.replace(' ', '-')}",
        title=f"{kind.name.capitalize()} in use",
        caption=(
            f"Units in use on each day, and how many wait for one; the grey line is all units. "
            f"Between the first and the last referral {words}; "
            f"the longest queue is {count(row['longest_queue'])}."
        ),
        alt=f"{kind.name} in use over time: {words}.",
        legend=(("simulated", "line", "in use"), ("published", "dashed", "waiting")),
        table=None,
        **charts.draw(f"busy{kind.name[:3]}", lambda canvas: _busy_chart(rows, kind.units, canvas)),
    )


def _count(start: Any, stop: Any, days: Any) -> Any:
    """Return how many intervals hold on each day."""
    begin, end = np.sort(np.asarray(start, float)), np.sort(np.asarray(stop, float))
    return np.searchsorted(begin, days, side="right") - np.searchsorted(end, days, side="right")


def _busy_chart(rows: Rows, units: int, canvas: Canvas) -> Any:
    import altair as alt

    x = alt.X("day:Q", title="day", scale=alt.Scale(nice=False)).axis(grid=False)

    def y(field: str) -> Any:
        return alt.Y(f"{field}:Q", title="units")

    whole = [{"day": row["day"], "all": units} for row in (rows[0], rows[-1])]
    layers = [
        charts.line(whole, x, y("all"), "quiet"),
        charts.line(rows, x, y("busy"), "simulated", interpolate="step-after"),
        charts.line(rows, x, y("queue"), "published", interpolate="step-after", strokeDash=[6, 3]),
    ]
    return alt.layer(*layers).properties(width=canvas.width, height=canvas.height)


def gantt(uses: Any, name: str, title: str, caption: str) -> Figure | None:
    """Return which batch is on which line when; ``uses`` has resource, line, patient, from_day and to_day."""
    if not len(uses):
        return None
    start = float(uses["from_day"].min())
    shown = uses[(uses["line"] <= GANTT_LINES) & (uses["from_day"] < start + GANTT_DAYS)]
    rows: Rows = [
        {"line": f"{row['resource']} {row['line']}", "from": row["from_day"], "to": row["to_day"] - 0.15}
        for row in shown.to_dict("records")
    ]
    order = list(
        dict.fromkeys(
            f"{r['resource']} {r['line']}" for r in shown.sort_values(["resource", "line"]).to_dict("records")
        )
    )
    return Figure(
        name=name,
        title=title,
        caption=caption,
        alt=f"{count(len(rows))} batches on {count(len(order))} lines in the first {number(GANTT_DAYS)} days.",
        legend=(),
        table=None,
        **charts.draw(name, lambda canvas: _gantt_chart(rows, order, canvas)),
    )


def _gantt_chart(rows: Rows, order: list[str], canvas: Canvas) -> Any:
    import altair as alt

    bars = alt.Chart(charts._data(rows)).mark_bar(height=8, color=charts.colour("simulated"))
    return bars.encode(
        x=alt.X("from:Q", title="day", scale=alt.Scale(nice=False)),
        x2="to",
        y=alt.Y("line:N", sort=order, title=None, axis=alt.Axis(minExtent=NAME_WIDTH)),
    ).properties(width=canvas.width - NAME_WIDTH, height=12 * len(order) + 10)


def suites(result: Any) -> Figure | None:
    """Return the batches on the units of the step that makes them, at the begin of the run."""
    step = next((step for step in result.plan.steps if step.process and step.needs), None)
    if step is None:
        return None
    used = result.holds[(result.holds["resource"] == step.needs) & result.holds["from_day"].notna()]
    words = (
        f"Each bar is one batch on one of the {step.needs}; gaps are units that stand still. The first "
        f"{number(GANTT_DAYS)} days and at most {count(GANTT_LINES)} units are shown."
    )
    return gantt(lanes(used), "gantt", "Batches, unit by unit", words)


def network_map(design: Any) -> Figure:
    """Return centres, plants and who is made where; a scheme, since places have no coordinates."""
    flows = design.assignments.groupby(["centre", "plant"]).size()
    centres, plants = list(design.network.centres), list(design.network.plants)
    spots = {("centre", name): (0.0, _height(place, centres)) for place, name in enumerate(centres)}
    spots |= {("plant", name): (1.0, _height(place, plants)) for place, name in enumerate(plants)}
    lines: Rows = []
    for (centre, plant), patients in flows.items():
        for x, y in (spots["centre", centre], spots["plant", plant]):
            lines.append({"x": x, "y": y, "way": f"{centre}-{plant}", "patients": int(patients)})
    dots: Rows = [
        {"x": x, "y": y, "text": name, "role": kind if kind == "centre" or name in design.open else "shut"}
        for (kind, name), (x, y) in spots.items()
    ]
    cells = [(centre, plant, count(patients)) for (centre, plant), patients in flows.items()]
    words = "; ".join(f"{patients} from {centre} to {plant}" for centre, plant, patients in cells)
    return Figure(
        name="map",
        title="The network",
        caption=(
            "Left the centres that collect cells and infuse them, right the plants; the wider a line, the more "
            f"patients go that way. Open: {', '.join(design.open)}; the pale ones stay shut. "
            "A scheme: distances mean nothing."
        ),
        alt=f"Patients by way: {words}.",
        legend=(("simulated", "dot", "centre"), ("published", "dot", "open plant")),
        table=table(["Centre", "Plant", "Patients"], cells, (2,), "Who is made where"),
        **charts.draw("map", lambda canvas: _map_chart(lines, dots, canvas)),
    )


def _height(place: int, names: list[str]) -> float:
    return 1 - (place + 0.5) / len(names)


def _map_chart(lines: Rows, dots: Rows, canvas: Canvas) -> Any:
    import altair as alt

    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.15, 1.15]))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, 1]))
    ways = alt.Chart(charts._data(lines)).mark_line(color=charts.colour("quiet"), opacity=0.6)
    layers = [ways.encode(x=x, y=y, detail="way:N", strokeWidth=alt.StrokeWidth("patients:Q", legend=None))]
    for role, name in (("simulated", "centre"), ("published", "plant"), ("grid", "shut")):
        layers.append(charts.points([dot for dot in dots if dot["role"] == name], x, y, role))
    layers.append(charts.words(dots, "text", x, y, "ink", dy=-14, fontSize=12))
    return alt.layer(*layers).properties(width=canvas.width, height=canvas.height)


def waiting(risk: Any) -> Figure:
    """Return the one-year mortality against the months of waiting."""
    months = np.linspace(0, 12, 61)
    dead = risk.mortality(months * MONTH)
    never = float(1 - np.exp(-risk.cumulative(12 * MONTH)))
    rows: Rows = [{"month": month, "dead": share} for month, share in zip(months, dead, strict=True)]
    cells = [(number(month), percent(float(risk.mortality(month * MONTH)), 1)) for month in range(10)]
    return Figure(
        name="waiting",
        title="What waiting costs",
        caption=(
            "Share of patients who are dead one year after referral, against the months they wait for the infusion. "
            f"The dashed line is without an infusion. {_crossing(risk, never)}"
        ),
        alt=f"Dead after one year: {cells[0][1]} without a wait, {cells[-1][1]} after nine months.",
        legend=(("simulated", "line", "infused after the wait"), ("published", "dashed", "not infused")),
        table=table(["Months of waiting", "Dead after one year"], cells, (0, 1), "What waiting costs"),
        **charts.draw("waiting", lambda canvas: _waiting_chart(rows, never, canvas)),
    )


def _crossing(risk: Any, never: float) -> str:
    from livingdrug.errors import SolveError

    try:
        return (
            f"The lines cross after {number(crossing(risk, never) / MONTH, 2)} months: a later infusion does not help."
        )
    except SolveError:
        return "An infusion helps after any wait of up to a year."


def _waiting_chart(rows: Rows, never: float, canvas: Canvas) -> Any:
    import altair as alt

    x = alt.X("month:Q", title="months from referral to infusion", scale=alt.Scale(domain=[0, 12])).axis(grid=False)
    axis = alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1])
    y = alt.Y("dead:Q", title="dead one year after referral", scale=alt.Scale(domain=[0, 1]), axis=axis)
    flat = [{"month": month, "dead": never} for month in (0.0, 12.0)]
    layers = [charts.line(rows, x, y, "simulated"), charts.line(flat, x, y, "published", strokeDash=[6, 3])]
    return alt.layer(*layers).properties(width=canvas.width, height=canvas.height)

"""Drawings of an event data set before any model: every subject's course, and how much lies below the limit."""

from __future__ import annotations

import html
import math
from typing import Any

import numpy as np

from livingdrug.analysis import drawing
from livingdrug.errors import InputError
from livingdrug.inference.data import EventData
from livingdrug.inference.summary import summarise, time_groups

__all__ = ["below_limit", "page", "spaghetti"]

MOST_DRAWN = 300  # subjects
WIDTH, HEIGHT = 640, 340
MEASURED, BELOW, ABOVE = "measured", "below the limit, drawn at it", "above the limit, drawn at it"
SHAPES = {MEASURED: "circle", BELOW: "triangle-down", ABOVE: "triangle-up"}
NOTICE = "Not for clinical use."


def spaghetti(data: EventData, endpoint: str | None = None, *, log: bool = True) -> Any:
    """Return the courses of all subjects as an Altair chart: values below the limit as open triangles at the limit.

    Args:
        data: the data set.
        endpoint: which one, if there are several.
        log: a logarithmic axis, on which values that are not above zero are left out (the caption says how many).

    Raises:
        InputError: several endpoints and none named, or nothing to draw.
    """
    import altair as alt

    name, seen = _endpoint(data, endpoint)
    drawn = _drawn(seen)
    kept = np.isin(seen.subject, drawn) & (seen.value > 0 if log else np.isfinite(seen.value))
    if not kept.any():
        raise InputError(f"{name}: no value can be drawn" + (" on a logarithmic axis" if log else ""))
    kinds = np.array([ABOVE, MEASURED, BELOW], object)[seen.censoring + 1]
    rows = [
        {"id": data.ids[seen.subject[at]], "day": seen.time[at], "value": seen.value[at], "kind": kinds[at]}
        for at in np.flatnonzero(kept)
    ]
    x = alt.X("day:Q", title=f"time, {data.units.get('time', 'day')}")
    y = _values_axis(drawing.axis_title(name, data.units.get(name, "")), seen.value[kept], log)
    base = alt.Chart(drawing.data(rows))
    present = [kind for kind in SHAPES if kind in kinds[kept]]
    legend = alt.Legend(orient="bottom")
    shapes = alt.Scale(domain=present, range=[SHAPES[kind] for kind in present])
    shape = alt.Shape("kind:N", title=None, scale=shapes, legend=legend)
    fills = alt.Scale(domain=present, range=[drawing.COLOURS[0] if kind == MEASURED else "white" for kind in present])
    fill = alt.Fill("kind:N", title=None, scale=fills, legend=legend)
    lines = base.mark_line(color=drawing.COLOURS[0], opacity=0.25, strokeWidth=1).encode(x=x, y=y, detail="id:N")
    dots = base.mark_point(color=drawing.COLOURS[0], size=26, opacity=0.75, strokeWidth=0.9).encode(
        x=x, y=y, shape=shape, fill=fill
    )
    layers = [lines, dots, _median(seen, kept, x, y), *_limit_lines(seen, y)]
    chart = alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)
    return drawing.finished(
        chart, f"The course of each subject: {drawing.words(name)}", _caption(seen, drawn, kept, log)
    )


def _values_axis(title: str, values: np.ndarray, log: bool) -> Any:
    """Return the axis of the values; a logarithmic one has its ticks at powers of ten where it spans some."""
    import altair as alt

    if not log:
        return alt.Y("value:Q", title=title, axis=alt.Axis(format=",.6~g"))
    low, high = float(values.min()) / 1.5, float(values.max()) * 1.5
    powers = [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    ticks = alt.Axis(format=",.6~g", values=powers) if len(powers) > 1 else alt.Axis(format=",.6~g", tickCount=5)
    return alt.Y("value:Q", title=title, scale=alt.Scale(type="log", domain=[low, high], nice=False), axis=ticks)


def _endpoint(data: EventData, endpoint: str | None) -> tuple[str, Any]:
    if endpoint is None and len(data.endpoints) != 1:
        raise InputError(f"the data have {len(data.endpoints)} endpoints ({', '.join(data.endpoints)}); name one")
    name = endpoint or data.endpoints[0]
    return name, data.endpoint(name)


def _drawn(seen: Any) -> np.ndarray:
    """Return the subjects that are drawn: all, or evenly many of them."""
    subjects = np.unique(seen.subject)
    if len(subjects) <= MOST_DRAWN:
        return subjects
    return subjects[np.linspace(0, len(subjects) - 1, MOST_DRAWN).round().astype(int)]


def _median(seen: Any, kept: np.ndarray, x: Any, y: Any) -> Any:
    """Return the line of medians of all values, those below the limit counted at it."""
    import altair as alt

    group = time_groups(seen.time)
    rows = [
        {"day": np.median(seen.time[group == one]), "value": np.median(seen.value[group == one])}
        for one in np.unique(group[kept])
    ]
    rows = [row for row in rows if row["value"] > 0]
    chart = alt.Chart(drawing.data(rows))
    return chart.mark_line(color=drawing.COLOURS[1], strokeWidth=2.5).encode(x=x, y=y)


def _limit_lines(seen: Any, y: Any) -> list[Any]:
    import altair as alt

    limits = np.unique(seen.lloq[~np.isnan(seen.lloq)])[:5]
    if not len(limits):
        return []
    chart = alt.Chart(drawing.data([{"value": one} for one in limits if one > 0]))
    return [chart.mark_rule(color=drawing.QUIET, strokeDash=[4, 3]).encode(y=y)]


def _caption(seen: Any, drawn: np.ndarray, kept: np.ndarray, log: bool) -> str:
    low = int((seen.censoring == 1).sum())
    all_ = len(np.unique(seen.subject))
    parts = [
        f"Thin lines: {len(drawn):,} of {all_:,} subjects. Thick line: median, values below the limit counted at it. "
        f"Open triangles: {low:,} of {len(seen):,} samples ({low / len(seen):.0%}) lie below the limit of "
        "quantification; dashed: the limits."
    ]
    unseen = int((np.isin(seen.subject, drawn) & ~kept).sum())
    if unseen and log:
        parts.append(f"{unseen:,} values are not above zero and cannot be drawn on this axis.")
    return " ".join([*parts, NOTICE])


def below_limit(data: EventData, edges: Any = None) -> Any:
    """Return the share of samples below the limit of quantification, by time and endpoint, as an Altair chart."""
    import altair as alt

    table = summarise(data, edges).below_limit
    if not len(table):
        raise InputError("the data hold no samples")
    rows: list[dict[str, Any]] = table.to_dict("records")
    x = alt.X("time:Q", title=f"time, {data.units.get('time', 'day')}")
    y = alt.Y("share:Q", title="below the limit", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    colour = alt.Color(
        "endpoint:N", title=None, scale=alt.Scale(range=list(drawing.COLOURS)), legend=alt.Legend(orient="bottom")
    )
    base = alt.Chart(drawing.data(rows))
    size = alt.Size("samples:Q", legend=None, scale=alt.Scale(domainMin=0, range=[10, 110]))
    chart = alt.layer(
        base.mark_line(strokeWidth=1.5).encode(x=x, y=y, color=colour),
        base.mark_point(filled=True, opacity=1).encode(x=x, y=y, color=colour, size=size),
    ).properties(width=WIDTH, height=180)
    caption = (
        "Samples of neighbouring times are put together; a larger dot stands for more samples. A model that leaves "
        f"these samples out sees only the high ones. {NOTICE}"
    )
    return drawing.finished(chart, "Share of samples below the limit of quantification", caption)


def page(data: EventData, title: str) -> str:
    """Return a page of HTML with the summary and the drawings of every endpoint, without scripts or the network."""
    figures = [
        drawing.svg(spaghetti(data, name, log=_spread(data, name))) for name in data.endpoints if _any(data, name)
    ]
    if len(data.observations):
        figures.append(drawing.svg(below_limit(data)))
    words = "".join(f"<li>{html.escape(line)}</li>" for line in [*data.summary().lines(), *data.notes])
    drawn = "".join(f"<figure><div>{one}</div></figure>" for one in figures)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{drawing.PAGE_STYLE}</style></head><body><h1>{html.escape(title)}</h1><p>{NOTICE}</p>"
        f"<ul>{words}</ul>{drawn}</body></html>"
    )


def _any(data: EventData, name: str) -> bool:
    return len(data.endpoint(name)) > 0


def _spread(data: EventData, name: str) -> bool:
    """Return whether a logarithmic axis fits: all values above zero, over more than a factor of ten."""
    values = data.endpoint(name).value
    return bool(values.min() > 0 and values.max() > 10 * values.min())

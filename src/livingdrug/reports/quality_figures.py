"""Figures of quality over many batches: a control chart, attributes of the product against courses, a refitted site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.analysis.drawing import COLOURS, INK, QUIET, data, finished
from livingdrug.plant.attributes import ATTRIBUTES
from livingdrug.plant.control_charts import ControlChart, Signal
from livingdrug.plant.refit import LEVELS, Refit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["attributes_figure", "chart_figure", "refit_figure"]

NOTICE = "Not for clinical use."
MEASURES = {
    "released": "share released",
    "auc28": "area of CAR T cells",
    "response": "share with a response",
    "cure": "chance of cure",
}
MOST_DOTS = 2_000


def chart_figure(chart: ControlChart, signals: list[Signal], quantity: str, title: str = "") -> Any:
    """Return a control chart as an Altair chart: points, centre line, limits, and where a rule rang.

    Args:
        chart: what ``plant.control_charts`` made.
        signals: its signals.
        quantity: what stands at the axis, with its unit.
        title: of the figure.
    """
    import altair as alt

    table = chart.to_frame().to_dict("records")
    x = alt.X("batch:Q", title="batch", axis=alt.Axis(format="d", grid=False))
    y = alt.Y("point:Q", title=quantity, scale=alt.Scale(zero=False))
    base = alt.Chart(data(table))
    lines = [
        base.mark_line(interpolate="step", color=QUIET, strokeDash=dash).encode(
            x=x, y=alt.Y(f"{name}:Q", title=quantity)
        )
        for name, dash in (("center", [1, 0]), ("lower", [5, 4]), ("upper", [5, 4]))
    ]
    rung = alt.Chart(data([{"batch": s.batch, "point": s.value} for s in signals]))
    layers = [
        *lines,
        base.mark_line(color=COLOURS[0], point={"color": COLOURS[0], "size": 30}).encode(x=x, y=y),
        rung.mark_point(color=COLOURS[1], size=160, strokeWidth=2).encode(x=x, y=y),
    ]
    caption = (
        "Each point is one batch, in the order of their making. The middle line is the mean, the broken lines are the "
        f"control limits. Rings mark where a rule says that the process has changed. {NOTICE}"
    )
    return finished(alt.layer(*layers).properties(width=640, height=260), title or chart.name, caption)


def attributes_figure(effects: pd.DataFrame) -> Any:
    """Return what each attribute changes, attribute by attribute and measure by measure, as an Altair chart.

    Args:
        effects: what ``attribute_effects`` returned. Areas are drawn relative to those at the end of the range.
    """
    import altair as alt

    rows: list[dict[str, Any]] = []
    for key, part in effects.groupby(["attribute", "model"], sort=False):
        name, model = key  # pyright: ignore[reportGeneralTypeIssues]
        last = float(part["auc28"].to_numpy()[-1])
        for row in part.to_dict("records"):
            for measure, words in MEASURES.items():
                value = row[measure] / last if measure == "auc28" else row[measure]
                who = "all (chain)" if measure == "released" else model
                rows.append({"x": row["value"], "y": value, "what": words, "who": who, "attribute": name})
    models = ["all (chain)", *dict.fromkeys(effects["model"])]
    lines = []
    for measure, words in MEASURES.items():
        charts = []
        for name in dict.fromkeys(effects["attribute"]):
            one = ATTRIBUTES[str(name)]
            chosen = [
                row for row in rows if row["what"] == words and row["attribute"] == name and np.isfinite(row["y"])
            ]
            title = words + (" (relative)" if measure == "auc28" else "")
            first = not charts
            x = alt.X("x:Q", title=f"{one.title}, {one.unit}", scale=alt.Scale(zero=False)).axis(
                tickCount=4, format="~s" if one.name == "dose" else "~g"
            )
            y = alt.Y("y:Q", title=title if first else None, scale=alt.Scale(domainMin=0, zero=True)).axis(tickCount=4)
            shown = alt.Color(
                "who:N", title="model", scale=alt.Scale(domain=models, range=list(COLOURS[: len(models)]))
            )
            mark = alt.Chart(data(chosen)).mark_line(point=True, strokeWidth=2)
            charts.append(mark.encode(x=x, y=y, color=shown).properties(width=165, height=120))
        lines.append(alt.hconcat(*charts))
    caption = (
        "From left to right, one attribute of the product is moved over its range of release while all else stays. "
        "From top to bottom: what is released, the area under the CAR T cells to day 28 (1 at the right end), the "
        "share whose tumour has halved on day 28, the chance of cure. A flat line: the model does not know the "
        "attribute. "
        f"{NOTICE}"
    )
    return finished(alt.vconcat(*lines), "What the product's quality changes", caption)


def refit_figure(found: Refit) -> Any:
    """Return published numbers beside those of the site and its batches, with 90 % intervals, as an Altair chart."""
    import altair as alt

    charts = []
    for entry in found.fitted:
        if not entry.rows.size:
            continue
        what = entry.quantity
        table: Any = found.to_frame().set_index("quantity")
        low, middle, high = (float(table.loc[what.name, f"prior_{end}"]) for end in ("low", "median", "high"))
        bars = [
            {"who": "other sites", "low": low, "middle": middle, "high": high},
            {"who": "this site", "low": entry.median[0], "middle": entry.median[1], "high": entry.median[2]},
            {"who": "its next batch", "low": entry.batch[0], "middle": entry.batch[1], "high": entry.batch[2]},
        ]
        dots = [{"who": "its batches", "value": value} for value in entry.values[:MOST_DOTS]]
        order = ["other sites", "this site", "its next batch", "its batches"]
        y = alt.Y("who:N", title=None, sort=order, scale=alt.Scale(domain=order), axis=alt.Axis(minExtent=90))
        scale = alt.Scale(zero=False, nice=False, padding=8, type="linear" if what.scale == "logit" else "log")
        base = alt.Chart(data(bars))
        layers = [
            base.mark_rule(color=COLOURS[0], strokeWidth=3).encode(
                x=alt.X("low:Q", title=f"{what.title}, {what.unit}", scale=scale), x2="high:Q", y=y
            ),
            base.mark_point(color=INK, filled=True, size=60, opacity=1).encode(x=alt.X("middle:Q", scale=scale), y=y),
            alt.Chart(data(dots))
            .mark_tick(color=COLOURS[1], thickness=1.5)
            .encode(x=alt.X("value:Q", scale=scale), y=y),
        ]
        charts.append(alt.layer(*layers).properties(width=520, height=90))
    if not charts:
        charts = [alt.Chart(data([{"text": "no batch told of any quantity"}])).mark_text(size=14).encode(text="text:N")]
    share = f"{LEVELS[2] - LEVELS[0]:.0%}"
    caption = (
        f"Published numbers, taken as the middle of many sites, beside those of the site; bars hold {share}. Where the "
        "site has few batches, its bar lies between its batches and the other sites. Ticks are single batches. "
        f"{NOTICE}"
    )
    return finished(alt.vconcat(*charts), f"What the batches of {found.site[:60]} say", caption)

"""Figures of a fit that rest on simulation: visual predictive checks and the distribution of prediction errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.analysis import drawing
from livingdrug.inference.npde import NormalTest
from livingdrug.reports import charts
from livingdrug.reports.charts import Canvas, Figure
from livingdrug.reports.fit_figures import axis, dots, grid, rest, thinned, time_axis, value_scale
from livingdrug.reports.numbers import count, number, percent
from livingdrug.reports.tables import Table, table

if TYPE_CHECKING:
    from livingdrug.inference.vpc import Vpc

__all__ = ["error_distribution", "predictive_check"]

Rows = list[dict[str, Any]]
BELOW_LIMIT = "below the limit"


def predictive_check(found: Vpc, unit: str) -> Figure:
    """Return a visual predictive check, with the share of samples below the limit in a panel of its own."""
    kind = "prediction-corrected-" if found.corrected else ""
    name = f"{kind}vpc-{found.endpoint}"
    words = drawing.words(found.endpoint)
    outside = found.outside()
    low, middle, high = (percent(q) for q in sorted(found.quantiles["QUANTILE"].unique())[:3])
    caption = (
        "Would data simulated from this model look like those measured? The lines are what was measured: the level "
        "below "
        f"which {low}, {middle} and {high} of the samples lie at each time. Each band holds the same level in "
        f"{percent(found.level)} of {count(found.replicates)} simulated data sets. Lines inside their bands speak for "
        "the "
        f"model. Here {count(len(outside))} of {count(len(found.quantiles))} levels lie outside their band; by chance "
        f"alone it would be about {number((1 - found.level) * len(found.quantiles), 2)}."
    )
    if found.corrected:
        caption += (
            " Here each value is scaled to the typical patient of its time, so that differences in dose and "
            "covariates do "
            "not hide a misfit."
        )
    if found.has_limit:
        caption += (
            " A level that falls below the limit of quantification is not known and not drawn; instead, the lower "
            "panel "
            "shows the share of samples below the limit: measured as dots, simulated as a band around its middle line."
        )
    if _drawn_limits(found):
        caption += " The dashed line across is the limit."
    title = f"{'Prediction-corrected check' if found.corrected else 'Visual predictive check'}: {words}"
    return Figure(
        name=name,
        title=title,
        caption=caption,
        alt=f"Observed percentiles of {words} over time beside the bands of simulated percentiles.",
        legend=(
            ("ink", "line", "measured levels"), ("simulated", "band", "simulated, middle level"),
            ("quiet", "band", "simulated, outer levels"),
            *((("published", "dashed", "limit of quantification"),) if _drawn_limits(found) else ()),
            *((("published", "band", "simulated share below it"),) if found.has_limit else ()),
        ),
        table=_check_table(found),
        **charts.draw(name, lambda canvas: _check_chart(found, unit, canvas)),
    )  # fmt: skip


def _check_chart(found: Vpc, unit: str, canvas: Canvas) -> Any:
    strata = list(dict.fromkeys(found.quantiles["STRATUM"]))
    parts = []
    for stratum in strata[:4]:
        parts.append(_values_panel(found, stratum, unit, canvas))
        if found.has_limit:
            parts.append(_share_panel(found, stratum, unit, canvas))
    return grid(parts, 1, 8)


def _drawn_limits(found: Vpc, stratum: str | None = None) -> list[float]:
    """Return the limits of quantification that are drawn; after a prediction correction none stands for all samples."""
    points = found.points if stratum is None else found.points[found.points["STRATUM"] == stratum]
    limits = np.unique(points["LIMIT"])
    return [] if found.corrected else limits[np.isfinite(limits)][:3].tolist()


def _values_panel(found: Vpc, stratum: str, unit: str, canvas: Canvas) -> Any:
    import altair as alt

    mine = found.quantiles[found.quantiles["STRATUM"] == stratum]
    points = thinned(found.points[found.points["STRATUM"] == stratum])
    points = points[points["CENS"] == 0]
    columns = ["OBSERVED", "LOW", "MIDDLE", "HIGH"]
    known = np.r_[mine[columns].to_numpy().ravel(), points["DV"].to_numpy()]
    log, ends = value_scale(known[np.isfinite(known)])
    x = time_axis(found.points["TIME"], None if found.has_limit else f"time, {unit}", 4 if canvas.narrow else 9)
    y = axis(alt.Y, "LOW:Q", drawing.words(found.endpoint), known)
    floor = ends[0]
    layers = [
        dots(
            points.rename(columns={"DV": "LOW"})[["TIME", "LOW"]].to_dict("records"),
            x,
            y,
            "quiet",
            size=8,
            opacity=0.35,
        )
    ]
    quantiles = sorted(mine["QUANTILE"].unique())
    for q in quantiles:
        part = mine[mine["QUANTILE"] == q].sort_values("TIME")
        middle = q == quantiles[len(quantiles) // 2]
        rows: Rows = [
            {"TIME": r["TIME"], "LOW": max(r["LOW"], floor), "HIGH": max(r["HIGH"], floor)}
            for r in part.to_dict("records")
        ]
        layers.append(charts.band(rows, x, y, "HIGH", "simulated" if middle else "quiet", 0.3 if middle else 0.22))
        seen: Rows = part[["TIME", "OBSERVED"]].rename(columns={"OBSERVED": "LOW"}).to_dict("records")
        look = {} if middle else {"strokeDash": [5, 3]}
        layers.append(charts.line(seen, x, y, "ink", **look))  # a gap where the level is below the limit
    limits = [limit for limit in _drawn_limits(found, stratum) if limit > 0 or not log]
    if limits:
        layers.append(rest(limits, "published"))
    title = alt.Title(str(stratum), fontSize=12, fontWeight="normal", anchor="start", color=charts.colour("ink"))
    return alt.layer(*layers).properties(
        width=canvas.width - 60, height=canvas.height, **({"title": title} if stratum else {})
    )


def _share_panel(found: Vpc, stratum: str, unit: str, canvas: Canvas) -> Any:
    import altair as alt

    rows: Rows = found.below[found.below["STRATUM"] == stratum].sort_values("TIME").to_dict("records")
    x = time_axis(found.points["TIME"], f"time, {unit}", 4 if canvas.narrow else 9)

    def y(field: str) -> Any:
        scale = alt.Scale(domain=[0, 1], nice=False)
        return alt.Y(f"{field}:Q", title=BELOW_LIMIT, scale=scale, axis=alt.Axis(format=".0%", values=[0, 0.5, 1]))

    layers = [
        charts.band(rows, x, y("LOW"), "HIGH", "published", 0.3),
        charts.line(rows, x, y("MIDDLE"), "published", strokeDash=[5, 3]),
        dots(rows, x, y("OBSERVED"), "ink", size=34, opacity=1),
    ]
    return alt.layer(*layers).properties(width=canvas.width - 60, height=90)


def _check_table(found: Vpc) -> Table:
    def text(value: float) -> str:
        return BELOW_LIMIT if value == -math.inf else number(value)

    shares = found.below.set_index(["STRATUM", "BIN"])
    rows = []
    for r in found.quantiles.to_dict("records"):
        share = shares.loc[(r["STRATUM"], r["BIN"])]
        rows.append(
            [number(r["TIME"]), percent(r["QUANTILE"]), text(r["OBSERVED"]), f"{text(r['LOW'])} to {text(r['HIGH'])}",
             count(r["SAMPLES"]), percent(share["OBSERVED"]), f"{percent(share['LOW'])} to {percent(share['HIGH'])}"]
        )  # fmt: skip
    heads = ["Time", "Level", "Measured", "Simulated", "Samples", "Below limit", "Simulated below"]
    return table(heads, rows, range(7), f"Predictive check of {drawing.words(found.endpoint)}")


def error_distribution(errors: Any, test: NormalTest, endpoint: str) -> Figure:
    """Return the prediction distribution errors against a normal distribution, with tests."""
    from scipy.special import ndtri

    ordered = np.sort(np.asarray(errors, float)[np.isfinite(errors)])
    expected = ndtri((np.arange(len(ordered)) + 0.5) / len(ordered))
    keep = np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), 600)).round().astype(int))
    rows: Rows = [{"x": float(expected[k]), "y": float(ordered[k])} for k in keep]
    name = f"npde-{endpoint}"
    return Figure(
        name=name,
        title=f"Are the errors those of chance? {drawing.words(endpoint)}",
        caption=(
            "Each sample's place among a thousand simulations of the same patient, turned into a number that would be "
            "normally distributed (mean 0, standard deviation 1) if the model were true. The dots should lie on the "
            f"line. Found: mean {number(test.mean, 2)}, standard deviation {number(test.sd, 3)}; chance of being at "
            "least "
            f"so far off if the model is true: {number(test.p, 2)}. With many samples even a small misfit is "
            "significant; look at the size, not only at the chance."
        ),
        alt="Quantiles of normalised prediction distribution errors against those of a normal distribution.",
        legend=(("simulated", "dot", "samples"), ("quiet", "dashed", "a true model")),
        table=table(
            ["Test", "Found", "Expected", "Chance"],
            [
                ["mean (t test)", number(test.mean), "0", number(test.p_mean, 2)],
                ["standard deviation (chi-squared)", number(test.sd), "1", number(test.p_sd, 2)],
                ["shape (Shapiro-Wilk)", "", "normal", number(test.p_shape, 2)],
            ],
            (1, 2, 3), "Tests of the prediction distribution errors",
        ),
        **charts.draw(name, lambda canvas: _quantile_chart(rows, canvas)),
    )  # fmt: skip


def _quantile_chart(rows: Rows, canvas: Canvas) -> Any:
    import altair as alt

    most = max(3.2, *(max(abs(r["x"]), abs(r["y"])) for r in rows))
    scale = alt.Scale(domain=[-most, most], nice=False)
    x = alt.X("x:Q", title="expected", scale=scale, axis=alt.Axis(tickCount=5, grid=False))
    y = alt.Y("y:Q", title="found", scale=scale, axis=alt.Axis(tickCount=5))
    line = [{"x": -most, "y": -most}, {"x": most, "y": most}]
    layers = [charts.line(line, x, y, "quiet", strokeDash=[5, 3]), dots(rows, x, y, "simulated", size=24)]
    return alt.layer(*layers).properties(width=canvas.width - 60, height=canvas.height)

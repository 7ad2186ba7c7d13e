"""Figures of a fit about patients and parameters: how they differ, what covariates do, how the search went."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.analysis import drawing
from livingdrug.inference import diagnostics
from livingdrug.reports import charts
from livingdrug.reports.charts import Canvas, Figure
from livingdrug.reports.fit_figures import grid, rest
from livingdrug.reports.numbers import count, number, percent
from livingdrug.reports.tables import table

if TYPE_CHECKING:
    from livingdrug.inference.result import FitResult

__all__ = ["classes", "correlations", "effect_distributions", "forest", "search_trace"]

Rows = list[dict[str, Any]]
DRAWS = 50
MOST_PAIRS = 12
ROLES = ("quiet", "published", "simulated", "regrown", "ink")
"""Colours of classes, the reference class first; more classes than colours repeat them."""


def effect_distributions(result: FitResult, draws: Any) -> Figure:
    """Return how the individual effects are spread, beside what the model says, and how far they shrink."""
    modes, checks = diagnostics.effects(result), diagnostics.shrinkage_check(result)
    return Figure(
        name="effects",
        title="How patients differ",
        caption=(
            "How far each patient lies from the typical one, one panel per parameter (0: typical; on a logarithmic "
            "scale "
            "0.7 means twice as much). Bars are the patients' most likely values, the full line is what the model says "
            "about the population. Where single patients have few informative samples, their values shrink towards "
            "zero "
            "and the bars are narrower than the line; the dashed line, values drawn from what is known of each "
            "patient, "
            "does not shrink. If it differs from the full line, the assumed shape of the differences is wrong."
        ),
        alt="Histograms of individual effects with the normal density of the model, one panel per parameter.",
        legend=(
            ("simulated", "band", "most likely values"), ("ink", "line", "the model"), ("published", "dashed", "draws"),
        ),
        table=table(
            ["Parameter", "Spread", "Spread of the modes", "Shrinkage", "What it means"],
            [[c.parameter, number(c.sd), number(c.sd_of_modes), percent(c.shrinkage), c.words] for c in checks],
            (1, 2, 3), "Shrinkage",
        ),
        **charts.draw("effects", lambda canvas: _effect_chart(modes, draws, checks, canvas)),
    )  # fmt: skip


def _effect_chart(modes: Any, draws: Any, checks: list[Any], canvas: Canvas) -> Any:
    import altair as alt

    columns = 1 if canvas.narrow else min(3, len(checks))
    width = canvas.width // columns - 60
    panels = []
    for check in checks:
        most = max(3 * check.sd, float(modes[check.parameter].abs().max()) * 1.1)
        x = alt.X("x:Q", title=drawing.words(check.parameter), scale=alt.Scale(domain=[-most, most], nice=False))
        x = x.axis(tickCount=4, grid=False)
        y = alt.Y("y:Q", title=None, axis=None)
        edges = np.linspace(-most, most, 19)
        bars = np.histogram(modes[check.parameter], edges, density=True)[0]
        height = [{"x": a, "x2": b, "y": h, "z": 0} for a, b, h in zip(edges[:-1], edges[1:], bars, strict=True)]
        layers = [
            alt.Chart(drawing.data(height)).mark_rect(color=charts.colour("simulated"), opacity=0.42)
            .encode(x=x, x2="x2:Q", y=y, y2="z:Q"),
            charts.line(_density(most, check.sd), x, y, "ink"),
            charts.line(_histogram_line(draws[check.parameter], most), x, y, "published", strokeDash=[5, 3]),
        ]  # fmt: skip
        panels.append(alt.layer(*layers).properties(width=width, height=110))
    return grid(panels, columns)


def _density(most: float, sd: float) -> Rows:
    at = np.linspace(-most, most, 81)
    heights = np.exp(-0.5 * (at / sd) ** 2) / sd / math.sqrt(2 * math.pi)
    return [{"x": x, "y": y} for x, y in zip(at, heights, strict=True)]


def _histogram_line(values: Any, most: float, bins: int = 41) -> Rows:
    """Return a smoothed histogram as a line."""
    edges = np.linspace(-most, most, bins)
    height = np.histogram(values, edges, density=True)[0]
    smooth = np.convolve(np.pad(height, 2, mode="edge"), np.array([1, 4, 6, 4, 1]) / 16, mode="valid")
    return [{"x": (a + b) / 2, "y": h} for a, b, h in zip(edges[:-1], edges[1:], smooth, strict=True)]


def classes(result: FitResult) -> Figure | None:
    """Return how surely each patient belongs to each class; None without a mixture."""
    names = list(result.classes_)
    if not names:
        return None
    chances = [f"chance({name})" for name in names]
    found = diagnostics.classes(result).sort_values(chances[1:], ascending=False, ignore_index=True)
    roles = dict(zip(names, itertools.cycle(ROLES), strict=False))
    rows = [[r["ID"], r["CLASS"], *(percent(r[column]) for column in chances)] for r in found.to_dict("records")]
    return Figure(
        name="classes",
        title="Who belongs to which class",
        caption=(
            "The model takes patients to be of classes that nobody has seen. Each place along the axis is one patient, "
            "each dot the chance that he or she is of that class, given the data. Dots near 0 and 100 % tell "
            "the classes apart; many dots in between say that the data hardly know."
        ),
        alt="Dots of every patient's chance to belong to each class, the patients in order.",
        legend=tuple((role, "dot", name) for name, role in roles.items()),
        table=table(["Patient", "Likeliest class", *names], rows, tuple(range(2, 2 + len(names))), "Classes"),
        **charts.draw("classes", lambda canvas: _class_chart(found, roles, canvas)),
    )


def _class_chart(found: Any, roles: dict[str, str], canvas: Canvas) -> Any:
    import altair as alt

    x = alt.X("place:Q", title="patients, in order", axis=alt.Axis(tickCount=5, grid=False, format="d"))
    y = alt.Y("chance:Q", title="chance", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=3))
    layers = [
        charts.points(
            [{"place": k + 1, "chance": c} for k, c in enumerate(found[f"chance({name})"].tolist())], x, y, role
        )
        for name, role in roles.items()
    ]
    return alt.layer(*layers).properties(width=canvas.width, height=canvas.height // 2)


def correlations(result: FitResult, draws: Any) -> Figure | None:
    """Return the correlations between effects as drawn from what is known of each patient; None for one effect."""
    names = [name for name in draws.columns if name not in ("ID", "DRAW")]
    if len(names) < 2:
        return None
    pairs = _pairs(result, names, np.nan_to_num(np.corrcoef(draws[names].to_numpy(float).T)))
    rows = [[r["words"], number(r["found"], 2), "0 (held)" if r["held"] else number(r["model"], 2)] for r in pairs]
    return Figure(
        name="correlations",
        title="Which differences go together",
        caption=(
            "Correlation between patients' effects: at 1 patients with more of one have more of the other, at -1 the "
            "opposite, at 0 the two have nothing to do with each other. Bars are drawn from what the data say of each "
            "patient, which does not shrink; dots are what the model says. A long bar whose dot is held at zero asks "
            "for "
            "a correlation in the model."
        ),
        alt="Bars of the correlations between the effects of pairs of parameters, with the model's as dots.",
        legend=(("simulated", "band", "found in the patients"), ("ink", "dot", "in the model")),
        table=table(["Pair", "Found", "In the model"], rows, (1, 2), "Correlations of effects"),
        **charts.draw("correlations", lambda canvas: _correlation_chart(pairs[:MOST_PAIRS], canvas)),
    )


def _pairs(result: FitResult, names: list[str], found: Any) -> Rows:
    """Return all pairs with their correlation, the largest first."""
    rows: Rows = []
    for j, a in enumerate(names):
        for k, b in enumerate(names[:j]):
            said = result.estimates_.get(f"corr({a},{b})", result.estimates_.get(f"corr({b},{a})"))
            words = f"{drawing.words(b)} and {drawing.words(a)}"
            rows.append({"words": words, "found": float(found[j, k]), "model": said or 0.0, "held": said is None})
    return sorted(rows, key=lambda row: -abs(row["found"]))


def _correlation_chart(rows: Rows, canvas: Canvas) -> Any:
    import altair as alt

    scale = alt.Scale(domain=[-1, 1], nice=False)
    x = alt.X("found:Q", title="correlation", scale=scale, axis=alt.Axis(tickCount=5))
    look = _named_axis(rows, canvas)
    y = alt.Y("words:N", title=None, sort=[r["words"] for r in rows], axis=look)
    base = alt.Chart(drawing.data(rows))
    layers = [
        base.mark_bar(color=charts.colour("simulated"), opacity=0.42, height=12).encode(x=x, y=y),
        rest([0.0], across=False, dash=(1, 0)),
        base.mark_point(color=charts.colour("ink"), filled=True, size=36, opacity=1)
        .encode(x=alt.X("model:Q", scale=scale), y=y),
    ]  # fmt: skip
    return alt.layer(*layers).properties(width=canvas.width - (150 if canvas.narrow else 270), height=22 * len(rows))


def _named_axis(rows: Rows, canvas: Canvas) -> Any:
    """Return an axis of names with room for them in any font."""
    import altair as alt

    most = 130 if canvas.narrow else 250
    room = min(most, 8 * max(len(row["words"]) for row in rows))
    return alt.Axis(labelLimit=most, minExtent=room, domain=False, ticks=False)


def forest(result: FitResult) -> Figure | None:
    """Return the effects of covariates with their intervals; None without covariates."""
    found = diagnostics.covariate_effects(result)
    if not len(found):
        return None
    rows: Rows = [
        {"words": f"{drawing.words(r['PARAMETER'])}: {r['AT']}", "effect": r["EFFECT"], "low": r["LOW"],
         "high": r["HIGH"], "kind": r["KIND"]}
        for r in found.to_dict("records")
    ]  # fmt: skip
    ratios = [r for r in rows if r["kind"] != "shift"]
    drawn = ratios or rows
    return Figure(
        name="forest",
        title="What covariates do",
        caption=(
            "How much a typical value changes with a covariate, with its 95 % interval: a patient at the 5th and at "
            "the "
            "95th percentile against the reference, or one category against another. 1 means no effect. The grey band "
            "from "
            "0.8 to 1.25 is the range that is often taken to be without importance. An interval that crosses 1 does "
            "not "
            "show that there is no effect, only that the data do not tell."
        ),
        alt="Forest plot of covariate effects as ratios with 95 % intervals.",
        legend=(("simulated", "dot", "effect with 95 % interval"), ("quiet", "band", "0.8 to 1.25")),
        table=table(
            ["Effect", "Value", "95 % interval", "As"],
            [[r["words"], number(r["effect"]), f"{number(r['low'])} to {number(r['high'])}", r["kind"]] for r in rows],
            (1, 2), "Effects of covariates",
        ),
        **charts.draw("forest", lambda canvas: _forest_chart(drawn, bool(ratios), canvas)),
    )  # fmt: skip


def _forest_chart(rows: Rows, ratio: bool, canvas: Canvas) -> Any:
    import altair as alt

    ends = [v for r in rows for v in (r["low"], r["high"], r["effect"]) if math.isfinite(v)] + (
        [0.7, 1.4] if ratio else [0.0]
    )
    scale = alt.Scale(
        type="log" if ratio else "linear", domain=[min(ends) * (0.95 if ratio else 1), max(ends) * 1.05], nice=False
    )
    x = alt.X("effect:Q", title="ratio to the reference" if ratio else "shift", scale=scale)
    x = x.axis(format="~g", tickCount=6)
    words = [r["words"] for r in rows]
    y = alt.Y("words:N", title=None, sort=words, axis=_named_axis(rows, canvas))
    layers = []
    if ratio:
        band = [{"a": 0.8, "b": 1.25}]
        layers.append(alt.Chart(drawing.data(band)).mark_rect(color=charts.colour("quiet"), opacity=0.16)
                      .encode(x=alt.X("a:Q", scale=scale), x2="b:Q"))  # fmt: skip
    layers.append(rest([1.0 if ratio else 0.0], across=False))
    known = [r for r in rows if math.isfinite(r["low"])]
    bars = alt.Chart(drawing.data(known)).mark_rule(color=charts.colour("simulated"), strokeWidth=2)
    layers.append(bars.encode(x=alt.X("low:Q", scale=scale), x2="high:Q", y=y))
    layers.append(charts.points(rows, x, y, "simulated"))
    return alt.layer(*layers).properties(width=canvas.width - (150 if canvas.narrow else 260), height=26 * len(rows))


def search_trace(result: FitResult) -> Figure | None:
    """Return the estimates after each iteration; None where the method keeps no trace."""
    found = diagnostics.trace(result)
    if not len(found):
        return None
    moved = (found.max() - found.min()) > 1e-9 * found.abs().max()  # what is held stays, but for rounding
    names = [name for name in found.columns if name != "ITERATION" and moved[name]]
    return Figure(
        name="trace",
        title="How the search went",
        caption=(
            f"Each parameter after each of {count(result.iterations_)} iterations. The search first explores, so lines "
            "jump; then it averages, so they calm down. A line that still climbs or falls at the right end has not "
            "arrived."
        ),
        alt="Line of every parameter over the iterations of the search.",
        legend=(),
        table=None,
        **charts.draw("trace", lambda canvas: _trace_chart(found, names, canvas)),
    )


def _trace_chart(found: Any, names: list[str], canvas: Canvas) -> Any:
    import altair as alt

    columns = 1 if canvas.narrow else min(3, len(names))
    width = canvas.width // columns - 70
    panels = []
    for name in names:
        x = alt.X("ITERATION:Q", title=None, axis=alt.Axis(tickCount=3, grid=False))
        look = alt.Axis(tickCount=4, format=",.3~r", minExtent=48)
        y = alt.Y("y:Q", title=None, scale=alt.Scale(zero=False), axis=look)
        rows: Rows = found[["ITERATION", name]].rename(columns={name: "y"}).to_dict("records")
        title = alt.Title(drawing.words(name), fontSize=11.5, fontWeight="normal", color=charts.colour("ink"), offset=3)
        panels.append(charts.line(rows, x, y, "simulated").properties(width=width, height=80, title=title))
    return grid(panels, columns, 12)

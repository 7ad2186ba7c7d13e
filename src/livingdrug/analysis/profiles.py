"""Profile likelihood: which parameters the data can pin down, and within which interval.

One parameter is held at a series of values while all others are fitted anew. Where the misfit rises above the lowest by
less than the chi-square quantile, the value is within the confidence interval (Raue et al. 2009).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.analysis import drawing
from livingdrug.analysis.likelihood import Fit, Objective
from livingdrug.analysis.measuring import Progress
from livingdrug.analysis.ranges import Range
from livingdrug.analysis.results import Result
from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.model.declaration import Model

__all__ = ["Curve", "Profiles", "profiles"]

Reals = NDArray[np.float64]

FLAT = 0.01
"""Share of the threshold by which a profile may rise and still count as flat."""
GROWTH = 1.4
"""Factor between one step along a profile and the next."""
FIRST_STEP, LARGEST_STEP = 0.4, 0.05
"""First step in standard errors, and the largest as a share of the parameter's range."""
AT_LIMIT = 1e-3
"""Share of its range within which a fitted parameter counts as being at its limit."""
MADE_BY_LIMIT = 0.2
"""Share of the rise that must come from a limit for the point to count as limited."""
MOST_RESTARTS = 3


@dataclass(frozen=True)
class Curve:
    """The profile of one parameter.

    Attributes:
        range: the parameter with the limits of the search.
        values: of the parameter, ascending, shape (point,).
        rise: misfit above the lowest, shape (point,).
        limited: whether a limit of another parameter makes the rise there, shape (point,).
        best: value of the best fit.
        low, high: ends of the confidence interval; NaN where the threshold is not crossed within the limits, or only
            because another parameter is at its limit.
        verdict: ``identifiable``, ``open below``, ``open above``, ``open on both sides`` or ``flat``.
    """

    range: Range
    values: Reals
    rise: Reals
    limited: NDArray[np.bool_]
    best: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True)
class Profiles(Result):
    """Profiles of several parameters.

    Attributes:
        model: name of the model.
        fit: the best fit of all parameters.
        curves: one for each profiled parameter.
        confidence: of the intervals; ``threshold`` is the chi-square quantile that belongs to it.
    """

    model: str
    fit: Fit
    curves: tuple[Curve, ...]
    confidence: float
    threshold: float

    kind = "profile"

    def __getitem__(self, parameter: str) -> Curve:
        """Return the profile of a parameter; an unknown name is an InputError."""
        found = {curve.range.parameter: curve for curve in self.curves}
        if parameter not in found:
            raise InputError(unknown_name("profiled parameter", parameter, found, place=self.model))
        return found[parameter]

    @property
    def title(self) -> str:
        """One line that says what was asked."""
        return f"{self.model}: which parameters {self.fit.count} measured values can pin down"

    @property
    def caption(self) -> str:
        """What is shown and what was left out."""
        failed = f" {self.fit.unsolved} trial courses could not be solved." if self.fit.unsolved else ""
        return (
            "Each curve shows how much worse the fit becomes (rise of minus twice the log-likelihood) when one "
            "parameter is held at a value and all others are fitted anew. Below the dashed line "
            f"({self.threshold:.3g}) a value agrees with the data at {100 * self.confidence:g} % confidence. "
            "Identifiable: the curve crosses the line on both sides. Open: on one side it does not, or only because "
            "another parameter has met its limit (pale dots). Flat: other parameters make up for any change, so "
            "the data say nothing about it."
            f"{failed}"
        )

    @property
    def table(self) -> pd.DataFrame:
        """One row per parameter: best value, interval, verdict and the limits of the search."""
        import pandas as pd

        rows = [
            {
                "parameter": curve.range.parameter,
                "unit": curve.range.unit,
                "best": curve.best,
                "low": curve.low,
                "high": curve.high,
                "verdict": curve.verdict,
                "searched_from": curve.range.low,
                "searched_to": curve.range.high,
            }
            for curve in self.curves
        ]
        return pd.DataFrame(rows)

    @property
    def summary(self) -> pd.DataFrame:
        """The table without the limits of the search."""
        return self.table.filter(["parameter", "unit", "best", "low", "high", "verdict"])

    @property
    def points(self) -> pd.DataFrame:
        """Every point of every curve: parameter, value, rise, and whether another one's limit makes the rise."""
        import pandas as pd

        return pd.concat(
            [
                pd.DataFrame({"parameter": c.range.parameter, "value": c.values, "rise": c.rise, "limited": c.limited})
                for c in self.curves
            ],
            ignore_index=True,
        )

    def facts(self) -> dict[str, Any]:
        """Return the best fit and every point of the curves."""
        best = {"values": dict(self.fit.values), "misfit": self.fit.misfit, "measured_values": self.fit.count}
        return {"model": self.model, "fit": best, "threshold": self.threshold, "points": self.points.to_dict("records")}

    def drawn(self) -> Any:
        """Return the bare chart: one panel per parameter with the threshold."""
        import altair as alt

        panels = [self._panel(curve) for curve in self.curves]
        return alt.concat(*panels, columns=3, spacing=26)

    def _panel(self, curve: Curve) -> Any:
        import altair as alt

        top = 2.0 * self.threshold
        rows = [
            {"value": value, "rise": min(rise, top), "limited": "at a limit" if limited else "free"}
            for value, rise, limited in zip(curve.values, curve.rise, curve.limited, strict=True)
        ]
        x = alt.X(
            "value:Q", title=drawing.axis_title(curve.range.parameter, curve.range.unit),
            scale=alt.Scale(type="log", nice=False, padding=6),
            axis=alt.Axis(grid=False, tickCount=3, labelOverlap="greedy", format=drawing.number_format(curve.best)),
        )  # fmt: skip
        y = alt.Y("rise:Q", title="rise", scale=alt.Scale(domain=[0, top], clamp=True), axis=alt.Axis(tickCount=4))
        base = alt.Chart(drawing.data(rows)).encode(x=x, y=y)
        shade = alt.Opacity("limited:N", legend=None, scale=alt.Scale(domain=["free", "at a limit"], range=[1.0, 0.3]))
        line = base.mark_line(color=drawing.COLOURS[0], strokeWidth=2)
        dots = base.mark_point(color=drawing.COLOURS[0], filled=True, size=28).encode(opacity=shade)
        level = alt.Chart(drawing.data([{"rise": self.threshold}])).mark_rule(
            color=drawing.COLOURS[1], strokeDash=[6, 4], strokeWidth=1.6
        )
        title = alt.TitleParams(text=f"{drawing.words(curve.range.parameter)}: {curve.verdict}", fontSize=12.5)
        return alt.layer(line, dots, level.encode(y="rise:Q")).properties(width=225, height=170, title=title)


def profiles(
    model: type[Model],
    data: Any,
    estimate: str | Mapping[str, Any],
    *,
    of: Sequence[str] | None = None,
    error: str = "lognormal",
    parameters: Mapping[str, float] | None = None,
    initial: Mapping[str, float] | None = None,
    doses: Sequence[Any] = (),
    confidence: float = 0.95,
    seed: int = 0,
    progress: Progress | None = None,
) -> Profiles:
    """Profile the likelihood of each estimated parameter.

    Args:
        model: a declared model; populations that may die out follow their equation.
        data: columns ``time_day``, ``output``, ``value``, ``sd`` and perhaps ``error``; measured, or made by
            :func:`livingdrug.analysis.simulate_data`.
        estimate: parameters and the limits between which they are searched, on a logarithmic scale.
        of: the parameters to profile; default all that are estimated.
        error: ``normal`` or ``lognormal``, as for :func:`livingdrug.analysis.fit`.
        parameters: values of the patient where they are not the defaults.
        initial: states that start elsewhere than the model says.
        doses: doses and changes besides the model's own.
        confidence: of the intervals, which come from the chi-square distribution with one degree of freedom.
        seed: of the random starting points of the best fit.
        progress: called with (profiles done, profiles in all).

    Raises:
        InputError: an unknown name, a value or limit that cannot be used.
        FitError: no starting point could be solved.

    Source:
        Raue et al. 2009, Bioinformatics 25:1923, equations 5 to 7.

    Example:
        >>> from livingdrug.analysis import simulate_data
        >>> from livingdrug.library import load_model
        >>> model = load_model("stein2019")
        >>> data = simulate_data(model, {"car_t_transgene_blood": [3, 7, 14, 28]}, sd=0.3, seed=None)
        >>> profiles(model, data, {"peak": (1e3, 1e6), "decline": (1e-5, 0.1)})["peak"].verdict
        'identifiable'
    """
    from scipy.special import chdtri

    if not 0 < confidence < 1:
        raise InputError(f"profiles: confidence must lie between 0 and 1, got {confidence!r}")
    objective = Objective(model, data, estimate, error, parameters, initial, doses)
    wanted = list(dict.fromkeys(objective.names if of is None else of))
    for name in wanted:
        if name not in objective.names:
            raise InputError(
                unknown_name("estimated parameter", name, objective.names, place=f"profiles of {model.name}")
            )
    threshold = float(chdtri(1, 1 - confidence))
    best = objective.best(seed)
    curves, lower = _curves(objective, best, wanted, threshold, progress)
    for _ in range(MOST_RESTARTS):
        if lower is None:
            break
        best = lower  # a profile went below the best fit, so that was not the best: begin again from there
        curves, lower = _curves(objective, best, wanted, threshold, progress)
    return Profiles(model.name, objective.as_fit(best), tuple(curves), confidence, threshold)


def _curves(
    objective: Objective, best: Reals, wanted: Sequence[str], threshold: float, progress: Progress | None
) -> tuple[list[Curve], Reals | None]:
    """All profiles, and a point that fits better than the best one if any was met."""
    curves, lower = [], None
    for done, name in enumerate(wanted, start=1):
        walk = _Walk(objective, best, objective.names.index(name), threshold)
        curves.append(walk.curve())
        if walk.lowest[1] < -FLAT * threshold and (lower is None or walk.lowest[1] < lower[1]):
            lower = walk.lowest
        if progress is not None:
            progress(done, len(wanted))
    return curves, None if lower is None else objective.search(lower[0], range(len(best)))[0]


@dataclass(frozen=True)
class _Point:
    """One point of a profile: all parameters (logarithms), the rise, and whether another one is at its limit."""

    at: Reals
    rise: float
    limited: bool


class _Walk:
    """The way along the profile of one parameter, from the best fit to both sides."""

    def __init__(self, objective: Objective, best: Reals, place: int, threshold: float) -> None:
        self.objective, self.place, self.threshold = objective, place, threshold
        self.low, self.high = objective.low[place], objective.high[place]
        self.others = [k for k in range(len(best)) if k != place]
        self.misfit = objective.misfit(best)
        self.best = _Point(best, 0.0, self._limited(best, 0.0))
        self.lowest = (best, 0.0)
        self.first = self._first_step()

    def curve(self) -> Curve:
        """Walk both ways and judge."""
        sides = [self._side(-1), self._side(1)]
        ends = [self._end(side) for side in sides]
        below, above = ([point for point in side if point is not None] for side in sides)
        points = [*reversed(below), self.best, *above]
        values = np.exp([point.at[self.place] for point in points])
        return Curve(
            range=self.objective.ranges[self.place],
            values=values,
            rise=np.array([point.rise for point in points]),
            limited=np.array([point.limited for point in points]),
            best=float(np.exp(self.best.at[self.place])),
            low=ends[0],
            high=ends[1],
            verdict=self._verdict(points, ends),
        )

    def _side(self, sign: int) -> list[_Point]:
        """Points outward from the best fit to where the threshold is crossed, a limit met or nothing solved."""
        found, before = [], self.best
        for value in self._steps(sign):
            point = self._fitted(value, before)
            if point is None:
                break
            found.append(point)
            before = point
            if point.rise > self.threshold:
                break
        return found

    def _steps(self, sign: int) -> Iterator[float]:
        value, step = self.best.at[self.place], self.first
        end = self.high if sign > 0 else self.low
        while sign * (end - value) > 1e-9 * (self.high - self.low):
            value = value + sign * step
            value = end if sign * (end - value) <= 0 else value
            yield value
            step = min(step * GROWTH, LARGEST_STEP * (self.high - self.low))

    def _fitted(self, value: float, near: _Point) -> _Point | None:
        """The best fit of all others at a value of the parameter; None if no course could be solved there."""
        start = near.at.copy()
        start[self.place] = value
        point, misfit = self.objective.search(start, self.others)
        if not self.objective.solved(misfit):
            return None
        rise = misfit - self.misfit
        if rise < self.lowest[1]:
            self.lowest = point, rise
        return _Point(point, rise, self._limited(point, rise))

    def _end(self, side: list[_Point]) -> float:
        """Where the profile crosses the threshold on one side; NaN if it does not."""
        from scipy.optimize import brentq

        if not side or side[-1].rise <= self.threshold or side[-1].limited:
            return float("nan")
        inner, outer = ([self.best, *side][-2], side[-1])

        def above(value: float) -> float:
            point = self._fitted(value, inner)
            return outer.rise if point is None else point.rise - self.threshold

        ends = inner.at[self.place], outer.at[self.place]
        crossing: Any = brentq(above, *ends, xtol=1e-7 * (self.high - self.low))
        return float(np.exp(crossing))

    def _verdict(self, points: Sequence[_Point], ends: Sequence[float]) -> str:
        free = [point.rise for point in points if not point.limited]
        if free and max(free) < FLAT * self.threshold:
            return "flat"
        below, above = np.isnan(ends)
        if below and above:
            return "open on both sides"
        return "open below" if below else "open above" if above else "identifiable"

    def _first_step(self) -> float:
        """A part of the standard error by the curvature at the best fit, at most a part of the range."""
        jacobian = self.objective.jacobian(self.best.at)
        own = jacobian[:, self.place]
        if self.others:
            rest = jacobian[:, self.others]
            own = own - rest @ np.linalg.lstsq(rest, own, rcond=1e-9)[0]
        largest = LARGEST_STEP * (self.high - self.low)
        size = float(np.linalg.norm(own))
        return min(largest, FIRST_STEP / size) if size > 0 else largest

    def _limited(self, point: Reals, rise: float) -> bool:
        """Whether a limit of another parameter makes the rise: moved by a factor e, it would take a good part away."""
        low, high = self.objective.low, self.objective.high
        near = (point < low + AT_LIMIT * (high - low)) | (point > high - AT_LIMIT * (high - low))
        residuals, jacobian = self.objective.residuals(point), self.objective.jacobian(point)
        pull, bend = 2 * np.abs(residuals @ jacobian), 2 * np.sum(jacobian**2, axis=0)
        step = np.minimum(1.0, pull / np.where(bend > 0, bend, np.inf))
        gain = pull * step - bend * step**2 / 2
        return bool(np.any((near & (gain > max(FLAT * self.threshold, MADE_BY_LIMIT * rise)))[self.others]))

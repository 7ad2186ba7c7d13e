"""Parameter plane: two parameters on a grid, and what comes of each pair: cure, relapse, no response, or any number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.analysis import drawing
from livingdrug.analysis.measuring import Measured, follow_up, measure, require_solved
from livingdrug.analysis.quantities import Quantity, output_unit, quantity
from livingdrug.analysis.ranges import Range, make_ranges
from livingdrug.analysis.results import Result
from livingdrug.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.model.declaration import Model

__all__ = ["OUTCOMES", "OutcomeRules", "Plane", "outcome_plane", "quantity_plane"]

OUTCOMES = ("cure", "lasting response", "relapse", "no response", "not solved")
OUTCOME_COLOURS = ("#0072b2", "#56b4e9", "#e69f00", "#b5460a", "#c8ced4")
NUMBER_STEPS = 10
MOST_CELLS = 4_000_000
ONE_CELL = {"tumour_cells": 1.0, "tumour_volume": 1e-9}
"""One tumour cell in the unit of these outputs; a millilitre of tumour is taken to hold 1e9 cells (assumed)."""


@dataclass(frozen=True)
class OutcomeRules:
    """When a course counts as cure, relapse or no response; checked in the order below.

    Args:
        output: the tumour; default the first of ``tumour_cells`` and ``tumour_volume`` that the model has.
        cure_below: cure: the tumour fell below this at some time, in the output's unit; default one cell.
        undetected_below: cure, too: the tumour is below this at the end; default never.
        response: no response: the tumour never fell to this share of its start.
        relapse_above: relapse: after a response, the tumour at the end is above this share of its start; the rest
            are lasting responses. Default: the same share as ``response``.
    """

    output: str | None = None
    cure_below: float | None = None
    undetected_below: float = 0.0
    response: float = 0.5
    relapse_above: float | None = None

    def for_model(self, model: type[Model]) -> OutcomeRules:
        """Return the rules with every default filled in; InputError where the model leaves one open."""
        output = self.output or next((word for word in ONE_CELL if word in model.outputs), None)
        if output is None:
            known = ", ".join([*model.outputs, *model.states])
            raise InputError(f"{model.name} has no tumour_cells or tumour_volume; name the tumour output: {known}")
        unit = output_unit(model, output)
        cure_below = self.cure_below
        if cure_below is None:
            cure_below = ONE_CELL.get(output, 1.0 if unit == "cell" else None)
        if cure_below is None:
            raise InputError(f"outcome by {output} in {unit}: say below which value it is cured (cure_below)")
        relapse = self.response if self.relapse_above is None else self.relapse_above
        for name, value in (("cure_below", cure_below), ("response", self.response), ("relapse_above", relapse)):
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"outcome rules: {name} must be a positive number, got {value!r}")
        if not (math.isfinite(self.undetected_below) and self.undetected_below >= 0):
            raise InputError(f"outcome rules: undetected_below must be 0 or more, got {self.undetected_below!r}")
        return OutcomeRules(output, float(cure_below), float(self.undetected_below), self.response, relapse)

    def words(self, unit: str) -> str:
        """Return the rules as plain sentences."""
        name, unit = drawing.words(self.output or ""), "" if unit == "1" else f" {unit}"
        undetected = f", or below {self.undetected_below:g}{unit} at the end" if self.undetected_below else ""
        return (
            f"Cure: {name} below {self.cure_below:g}{unit} at some time{undetected}. No response: never down to "
            f"{100 * self.response:g} % of its start. Relapse: down to that, but above "
            f"{100 * (self.relapse_above or 0):g} % of its start at the end. Lasting response: all others."
        )

    def judge(self, measured: Measured) -> NDArray[np.int64]:
        """Return the place of each run's outcome in ``OUTCOMES``; columns are start, smallest value and end."""
        start, least, end = measured.values.T
        cured = (least < self.cure_below) | (end < self.undetected_below)
        with np.errstate(invalid="ignore"):
            none = ~(least <= self.response * start)
            relapsed = end > (self.relapse_above or 0.0) * start
        found = np.select([measured.failed, cured, none, relapsed], [4, 0, 3, 2], default=1)
        return found.astype(np.int64)


@dataclass(frozen=True)
class Plane(Result):
    """A map over two parameters.

    Attributes:
        model: name of the model.
        x, y: the two ranges; the map holds the middle of each cell.
        values: shape (y, x); places in ``OUTCOMES`` for a map of outcomes, else numbers (NaN: none).
        quantity: what was measured, in ``unit``; None for a map of outcomes.
        rules: how outcomes were judged; None for a map of numbers.
        days: length of each run.
        note: what failed.
    """

    model: str
    x: Range
    y: Range
    values: NDArray[Any]
    quantity: Quantity | None
    unit: str
    rules: OutcomeRules | None
    days: float
    note: str

    kind = "plane"

    @property
    def outcomes(self) -> NDArray[np.str_]:
        """Outcomes as words, shape (y, x); InputError for a map of numbers."""
        if self.rules is None:
            raise InputError("this plane is a map of numbers; its values are in .values")
        return np.array(OUTCOMES)[self.values]

    @property
    def shares(self) -> dict[str, float]:
        """Share of the map's cells with each outcome; empty for a map of numbers."""
        if self.rules is None:
            return {}
        return {name: float(np.mean(self.values == k)) for k, name in enumerate(OUTCOMES)}

    @property
    def title(self) -> str:
        """One line that says what was asked."""
        what = "what becomes of the tumour" if self.quantity is None else self.quantity.name
        return f"{self.model}: {what}, by {drawing.words(self.x.parameter)} and {drawing.words(self.y.parameter)}"

    @property
    def caption(self) -> str:
        """What is shown and what was left out."""
        rows, columns = self.values.shape
        if self.rules is not None:
            shown = f"{self.rules.words(self.unit)} Followed for {self.days:g} days."
        else:
            missing = int(np.isnan(self.values).sum())
            unit = "" if self.unit == "1" else f", {self.unit}"
            shown = f"Colour: {self.quantity.name if self.quantity else ''}{unit}"
            shown += f"; {missing:,} cells without a number are empty." if missing else "."
        return f"{columns} times {rows} pairs of values, one run each. {shown} {self.note or 'No run failed'}."

    @property
    def table(self) -> pd.DataFrame:
        """One row per cell: both parameters and the outcome or number."""
        import pandas as pd

        xs, ys = (axis.at(_centres(n)) for axis, n in ((self.x, self.values.shape[1]), (self.y, self.values.shape[0])))
        x, y = np.meshgrid(xs, ys)
        name = "outcome" if self.quantity is None else self.quantity.name
        values = self.outcomes if self.quantity is None else self.values
        return pd.DataFrame({self.x.parameter: x.ravel(), self.y.parameter: y.ravel(), name: values.ravel()})

    def facts(self) -> dict[str, Any]:
        """Return the axes, and the share of each outcome."""
        axes = {"x": f"{self.x.parameter}: {self.x.words}", "y": f"{self.y.parameter}: {self.y.words}"}
        return {"model": self.model, **axes, "days": self.days, "unit": self.unit, "shares": self.shares}

    def drawn(self) -> Any:
        """Return the bare chart; neighbours of one colour in a row are drawn as one rectangle."""
        import altair as alt

        classes, names, colours = self._classes()
        present = [k for k in range(len(names)) if (classes == k).any()]
        scale = alt.Scale(domain=[names[k] for k in present], range=[colours[k] for k in present])
        title = "outcome" if self.quantity is None else drawing.axis_title(self.quantity.name, self.unit)
        symbols = alt.Legend(symbolType="square", symbolOpacity=1, symbolSize=180)
        return (
            alt.Chart(drawing.data(self._rectangles(classes, names)))
            .mark_rect(strokeWidth=0)
            .encode(
                x=_axis("x", self.x), x2="x2:Q", y=_axis("y", self.y), y2="y2:Q",
                color=alt.Color("value:N", title=title, scale=scale, sort=None, legend=symbols),
            )
            .properties(width=440, height=400)
        )  # fmt: skip

    def _classes(self) -> tuple[NDArray[np.int64], list[str], list[str]]:
        """Class of each cell (-1 none), names and colours of the classes; numbers fall into steps of their range."""
        if self.quantity is None:
            return self.values, list(OUTCOMES), list(OUTCOME_COLOURS)
        known = self.values[np.isfinite(self.values)]
        if not known.size:
            return np.full(self.values.shape, -1), [], []
        log = known.min() > 0 and known.max() / known.min() > 100
        ends = np.geomspace if log else np.linspace
        edges = ends(known.min(), known.max(), NUMBER_STEPS + 1) if np.ptp(known) else np.array([known[0], known[0]])
        classes = np.clip(np.searchsorted(edges, self.values, side="right") - 1, 0, len(edges) - 2)
        names = [f"{a:.3g} to {b:.3g}" for a, b in pairwise(edges)]
        return np.where(np.isfinite(self.values), classes, -1), names, _shades(len(names))

    def _rectangles(self, classes: NDArray[np.int64], names: list[str]) -> list[dict[str, Any]]:
        rows, columns = classes.shape
        xs, ys = self.x.at(np.linspace(0, 1, columns + 1)), self.y.at(np.linspace(0, 1, rows + 1))
        found = []
        for r, line in enumerate(classes):
            starts = np.flatnonzero(np.diff(line, prepend=line[0] - 1))
            for a, b in zip(starts, [*starts[1:], columns], strict=True):
                if line[a] >= 0:
                    found.append({"x": xs[a], "x2": xs[b], "y": ys[r], "y2": ys[r + 1], "value": names[line[a]]})
        return found


def outcome_plane(
    model: type[Model],
    x: Mapping[str, Any],
    y: Mapping[str, Any],
    *,
    rules: OutcomeRules | None = None,
    size: int | tuple[int, int] = 200,
    days: float | None = None,
    **options: Any,
) -> Plane:
    """Judge the outcome for every pair of values of two parameters.

    Args:
        model: a declared model.
        x: one parameter and its range, e.g. ``{"kill_rate": (0.1, 3, "log")}``; as for
            :func:`livingdrug.analysis.make_ranges`.
        y: another parameter and its range.
        rules: when a course is a cure, a relapse or no response.
        size: cells along both axes, or (along x, along y).
        days: length of each run; default the follow-up of the model.
        **options: parameters, initial, doses, chance, seed, rtol, threads, progress as for
            :func:`livingdrug.analysis.measure`; with ``chance`` each cell shows one chance run.

    Raises:
        InputError: an unknown name, a wrong range or rule.
        SolveError: no run could be solved.

    Example:
        >>> from livingdrug.library import load_model
        >>> both = {"kill_rate": (0.1, 2)}, {"tumour_growth": (0.01, 0.5, "log")}
        >>> plane = outcome_plane(load_model("kimmel2021"), *both, size=8)
        >>> plane.outcomes[0, -1].item(), plane.outcomes[-1, 0].item()
        ('cure', 'no response')
    """
    chosen = (rules or OutcomeRules()).for_model(model)
    output = chosen.output or ""
    end = follow_up(model, (), days)
    asked = [quantity(f"{output} at 0"), quantity(f"min {output}"), Quantity(output, "value", (end,))]
    axes, measured, shape = _grid(model, x, y, asked, size, end, options)
    if not (measured.values[~measured.failed, 0] > 0).all():
        raise InputError(f"outcome plane of {model.name}: {output} starts at zero; give a tumour to begin with")
    values, unit = chosen.judge(measured).reshape(shape), output_unit(model, output)
    return Plane(model.name, *axes, values, None, unit, chosen, end, measured.failures())


def quantity_plane(
    model: type[Model],
    x: Mapping[str, Any],
    y: Mapping[str, Any],
    of: str | Quantity,
    *,
    size: int | tuple[int, int] = 200,
    days: float | None = None,
    **options: Any,
) -> Plane:
    """Measure a quantity for every pair of values of two parameters.

    Args:
        model: a declared model.
        x: one parameter and its range, as for :func:`livingdrug.analysis.make_ranges`.
        y: another parameter and its range.
        of: words as for :func:`livingdrug.analysis.quantity`.
        size: cells along both axes, or (along x, along y).
        days: length of each run; default the follow-up of the model.
        **options: as for :func:`outcome_plane`.

    Raises:
        InputError: an unknown name or a wrong range.
        SolveError: no run could be solved.

    Example:
        >>> from livingdrug.library import load_model
        >>> both = {"peak": (1e4, 3e4)}, {"decline": (0.001, 0.01)}
        >>> quantity_plane(load_model("stein2019"), *both, "max car_t_transgene_blood", size=(4, 2)).values.shape
        (2, 4)
    """
    item = quantity(of)
    unit = item.unit(model)
    end = follow_up(model, (item,), days)
    axes, measured, shape = _grid(model, x, y, [item], size, end, options)
    return Plane(model.name, *axes, measured.values[:, 0].reshape(shape), item, unit, None, end, measured.failures())


def _grid(
    model: type[Model],
    x: Mapping[str, Any],
    y: Mapping[str, Any],
    asked: Sequence[Quantity],
    size: int | tuple[int, int],
    days: float,
    options: dict[str, Any],
) -> tuple[tuple[Range, Range], Measured, tuple[int, int]]:
    """Measure all pairs; returns both axes, the measurement and the shape (y, x)."""
    fixed = dict(options.pop("parameters", None) or {})
    if len(x) != 1 or len(y) != 1 or list(x) == list(y) or "*" in {*x, *y}:
        raise InputError(f"plane of {model.name}: x and y each name one parameter, and not the same; got {x!r}, {y!r}")
    axes = make_ranges(model, x, fixed)[0], make_ranges(model, y, fixed)[0]
    columns, rows = (size, size) if isinstance(size, int) else size
    if min(columns, rows) < 1 or columns * rows > MOST_CELLS:
        raise InputError(f"plane of {model.name}: size must give 1 to {MOST_CELLS:,} cells, got {size!r}")
    first, second = np.meshgrid(axes[0].at(_centres(columns)), axes[1].at(_centres(rows)))
    varied = {axes[0].parameter: first.ravel(), axes[1].parameter: second.ravel()}
    measured = measure(model, asked, {**fixed, **varied}, days=days, **options)
    require_solved(measured, f"plane of {model.name}")
    return axes, measured, (rows, columns)


def _centres(count: int) -> NDArray[np.float64]:
    return (np.arange(count) + 0.5) / count


def _axis(place: str, range_: Range) -> Any:
    import altair as alt

    scale = alt.Scale(type="log" if range_.scale == "log" else "linear", zero=False, nice=False)
    title = drawing.axis_title(range_.parameter, range_.unit)
    make = alt.X if place == "x" else alt.Y
    axis = alt.Axis(grid=False, tickCount=6, format=drawing.number_format(range_.high))
    return make(f"{place}:Q", title=title, scale=scale, axis=axis)


def _shades(count: int) -> list[str]:
    """Colours from light to dark in equal steps, readable without colour vision."""
    light, dark = np.array([237, 244, 250]), np.array([8, 48, 107])
    steps = np.linspace(0, 1, max(count, 2))[:count]
    return ["#{:02x}{:02x}{:02x}".format(*(light + share * (dark - light)).astype(int)) for share in steps]

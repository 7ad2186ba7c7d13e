"""Global sensitivity: which share of the variance of a quantity comes from which parameter (Sobol indices)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.analysis import drawing
from livingdrug.analysis.measuring import Measured, Progress, follow_up, measure, require_solved
from livingdrug.analysis.quantities import Quantity, quantities_of
from livingdrug.analysis.ranges import Range, make_ranges
from livingdrug.analysis.results import Result
from livingdrug.engine.solve import LOOSE
from livingdrug.errors import InputError, MissingExtra
from livingdrug.streams import seed_words

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.model.declaration import Model

__all__ = ["Sobol", "sobol"]

FEWEST = 8
"""Base points that an estimate needs at least."""


@dataclass(frozen=True)
class Sobol(Result):
    """Sobol indices of quantities by parameters.

    Attributes:
        model: name of the model.
        ranges: how each parameter was varied.
        quantities: what was measured, and ``units`` of each.
        first, total: indices, shape (quantity, parameter); ``first_error`` and ``total_error`` are half the widths of
            their confidence intervals. NaN where the quantity did not vary.
        second, second_error: shape (quantity, parameter, parameter), upper half; None unless asked for.
        runs: how many courses were solved.
        failed, undefined: how many of these failed; in how many a quantity had no number, shape (quantity,).
        groups, groups_kept: base points of the design; how many of them were used, shape (quantity,).
        confidence: of the intervals.
        note: what failed.
    """

    model: str
    ranges: tuple[Range, ...]
    quantities: tuple[Quantity, ...]
    units: tuple[str, ...]
    first: NDArray[np.float64]
    first_error: NDArray[np.float64]
    total: NDArray[np.float64]
    total_error: NDArray[np.float64]
    second: NDArray[np.float64] | None
    second_error: NDArray[np.float64] | None
    runs: int
    failed: int
    undefined: tuple[int, ...]
    groups: int
    groups_kept: tuple[int, ...]
    confidence: float
    note: str

    kind = "sobol"

    @property
    def title(self) -> str:
        """One line that says what was asked."""
        names = [item.name for item in self.quantities]
        return f"{self.model}: which parameters decide {names[0] if len(names) == 1 else f'{len(names)} quantities'}"

    @property
    def caption(self) -> str:
        """What is shown and what was left out."""
        return (
            f"Each parameter was varied over its range, all at once, in {self.runs:,} runs. First: share of the "
            "variance that the parameter explains alone; total: together with all others (Sobol indices, between 0 "
            f"and 1). Lines: {100 * self.confidence:g} % confidence intervals by bootstrap. {self.left_out}"
        )

    @property
    def left_out(self) -> str:
        """Say how many runs failed or gave no number, and what was done about them."""
        parts = [self.note or "No run failed"]
        for item, undefined, kept in zip(self.quantities, self.undefined, self.groups_kept, strict=True):
            if undefined:
                parts.append(f"{item.name} had no number in {undefined:,} runs")
            if kept < self.groups:
                parts.append(f"for {item.name} {self.groups - kept:,} of {self.groups:,} base points were left out")
        return "; ".join(parts) + "."

    @property
    def table(self) -> pd.DataFrame:
        """Indices and the ends of their intervals; one row per quantity and parameter, the largest total first."""
        import pandas as pd

        places = [(i, int(j)) for i in range(len(self.quantities)) for j in np.argsort(-self.total[i], kind="stable")]
        names = [(self.quantities[i].name, self.ranges[j].parameter) for i, j in places]
        rows = [(*name, *self._row(i, j)) for name, (i, j) in zip(names, places, strict=True)]
        columns = ["first", "first_low", "first_high", "total", "total_low", "total_high"]
        return pd.DataFrame(rows, columns=["quantity", "parameter", *columns])

    @property
    def summary(self) -> pd.DataFrame:
        """Both indices without their intervals."""
        columns = ["quantity", "parameter", "first", "total"]
        return self.table.filter(columns if len(self.quantities) > 1 else columns[1:])

    @property
    def pairs(self) -> pd.DataFrame:
        """Second-order indices with their intervals, one row per quantity and pair; empty unless asked for."""
        import pandas as pd

        names = [item.parameter for item in self.ranges]
        columns = ["quantity", "parameter", "other", "second", "second_low", "second_high"]
        if self.second is None or self.second_error is None:
            return pd.DataFrame(columns=columns)
        upper = np.argwhere(np.triu(np.ones((len(names), len(names))), 1)).tolist()
        places = [(i, j, k) for i in range(len(self.quantities)) for j, k in upper]
        rows = [
            (self.quantities[i].name, names[j], names[k], *_interval(self.second[i, j, k], self.second_error[i, j, k]))
            for i, j, k in places
        ]
        return pd.DataFrame(rows, columns=columns)

    def facts(self) -> dict[str, Any]:
        """Return the design and what was left out."""
        return {
            "model": self.model,
            "runs": self.runs,
            "failed_runs": self.failed,
            "runs_without_number": dict(zip((q.name for q in self.quantities), self.undefined, strict=True)),
            "ranges": {item.parameter: item.words for item in self.ranges},
            "pairs": self.pairs.to_dict("records"),
        }

    def drawn(self) -> Any:
        """Return the bare chart: bars of both indices with their intervals."""
        import altair as alt

        rows = _bars(self.table)
        order = list(dict.fromkeys(drawing.words(row) for row in self.table["parameter"]))
        y = alt.Y("parameter:N", sort=order, title=None)
        offset = alt.YOffset("index:N", sort=["first", "total"])
        base = alt.Chart(drawing.data(rows))
        colour = alt.Color(
            "index:N", title=None, scale=alt.Scale(domain=["first", "total"], range=list(drawing.COLOURS[:2]))
        )
        x = alt.X("value:Q", title="share of the variance", scale=alt.Scale(nice=True))
        bars = base.mark_bar().encode(x=x, y=y, yOffset=offset, color=colour)
        lines = base.mark_rule(color=drawing.INK).encode(x="low:Q", x2="high:Q", y=y, yOffset=offset)
        width = 300 if len(self.quantities) > 1 else 520
        chart = alt.layer(bars, lines).properties(width=width, height=alt.Step(13))
        names = [item.name for item in self.quantities]
        return chart.facet(facet=alt.Facet("quantity:N", title=None, sort=names), columns=2)

    def _row(self, i: int, j: int) -> tuple[float, ...]:
        first = _interval(self.first[i, j], self.first_error[i, j])
        return (*first, *_interval(self.total[i, j], self.total_error[i, j]))


def sobol(
    model: type[Model],
    quantities: str | Quantity | Iterable[str | Quantity],
    ranges: str | Mapping[str, Any],
    *,
    parameters: Mapping[str, float] | None = None,
    runs: int = 100_000,
    second_order: bool = False,
    confidence: float = 0.95,
    days: float | None = None,
    initial: Mapping[str, float] | None = None,
    doses: Sequence[Any] = (),
    chance: bool = False,
    seed: int = 0,
    rtol: float = LOOSE,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Sobol:
    """Estimate Sobol indices of quantities of interest.

    Saltelli's design on a scrambled Sobol sequence and its estimators are those of SALib. A base point of which a run
    failed or gave no number is left out with all its runs, so that the design stays whole; the result says how many.

    Args:
        model: a declared model.
        quantities: words as for :func:`livingdrug.analysis.quantity`, one or several; one set of runs serves all.
        ranges: as for :func:`livingdrug.analysis.make_ranges`.
        parameters: values of the others, and the middle of relative ranges, where they are not the defaults.
        runs: courses to solve at most; the number of base points is the largest power of two that fits.
        second_order: whether to estimate pairs, too, which takes twice the runs for each base point.
        confidence: of the intervals, which come from 100 bootstrap samples.
        days: how long each run lasts; default the follow-up of the model.
        initial: states that start elsewhere than the model says.
        doses: doses and changes besides the model's own.
        chance: whether populations that may die out do so cell by cell; chance is then part of the variance.
        threads: worker threads; any number gives the same result.
        progress: called with (runs done, runs in all).
        rtol: relative tolerance of one step; a looser one than elsewhere, since the indices come from a sample.
        seed: of the design, the bootstrap and the patients' own streams.

    Raises:
        InputError: an unknown name, a wrong range, too few runs.
        MissingExtra: SALib is not installed.
        SolveError: no run could be solved.

    Source:
        Saltelli et al. 2010, Comput Phys Commun 181:259, in the words of SALib.analyze.sobol.

    Example:
        >>> from livingdrug.library import load_model
        >>> found = sobol(load_model("stein2019"), "max car_t_transgene_blood", "10%", runs=2000)
        >>> found.table["parameter"].iloc[0]
        'peak'
    """
    asked = quantities_of(quantities, model)
    follow_up(model, asked, days)
    varied = make_ranges(model, ranges, parameters)
    design = _Design(len(varied), runs, second_order, confidence, seed)
    unit = design.points()
    columns = {item.parameter: item.at(unit[:, k]) for k, item in enumerate(varied)}
    fixed = {name: value for name, value in (parameters or {}).items() if name not in columns}
    measured = measure(
        model, asked, {**fixed, **columns}, days=days, initial=initial, doses=doses, chance=chance, seed=seed,
        rtol=rtol, threads=threads, progress=progress,
    )  # fmt: skip
    require_solved(measured, f"sobol of {model.name}")
    return _result(model, varied, measured, design)


class _Design:
    """Saltelli's design: base points, each with one run per parameter beside it."""

    def __init__(self, count: int, runs: int, second_order: bool, confidence: float, seed: int) -> None:
        self.second_order, self.confidence, self.seed = second_order, confidence, seed
        self.group = 2 * count + 2 if second_order else count + 2
        if isinstance(runs, bool) or not isinstance(runs, (int, np.integer)) or runs < FEWEST * self.group:
            raise InputError(
                f"sobol: {count} parameters need a whole number of at least {FEWEST * self.group} runs, got {runs!r}"
            )
        seed_words(seed)  # refuses what is no seed
        if not 0 < confidence < 1:
            raise InputError(f"sobol: confidence must lie between 0 and 1, got {confidence!r}")
        self.bases = 2 ** int(math.log2(runs // self.group))
        self.problem = {"num_vars": count, "names": [str(k) for k in range(count)], "bounds": [[0.0, 1.0]] * count}

    def points(self) -> NDArray[np.float64]:
        """All runs as points of the unit cube, shape (run, parameter)."""
        try:
            from SALib.sample.sobol import sample
        except ImportError:
            raise MissingExtra("global sensitivity", "SALib", "fit") from None
        generator = np.random.default_rng(self.seed)
        return sample(self.problem, self.bases, calc_second_order=self.second_order, seed=generator)

    def indices(self, values: NDArray[np.float64]) -> tuple[dict[str, Any], int]:
        """SALib's estimates from the values of all runs, and the number of base points that they rest on."""
        from SALib.analyze.sobol import analyze

        groups = values.reshape(self.bases, self.group)
        whole = groups[np.isfinite(groups).all(axis=1)]
        if len(whole) < FEWEST or np.ptp(whole) <= 1e-12 * np.abs(whole).max():
            return {}, len(whole)
        generator: Any = np.random.default_rng(self.seed)
        found = analyze(
            self.problem, whole.ravel(), calc_second_order=self.second_order, conf_level=self.confidence, seed=generator
        )
        return dict(found), len(whole)


def _result(model: type[Model], varied: tuple[Range, ...], measured: Measured, design: _Design) -> Sobol:
    found, kept = zip(*(design.indices(column) for column in measured.values.T), strict=True)
    size = len(varied)

    def stacked(name: str, *shape: int) -> NDArray[np.float64]:
        return np.stack([np.asarray(item.get(name, np.full(shape, np.nan)), float) for item in found])

    pairs = [stacked(name, size, size) if design.second_order else None for name in ("S2", "S2_conf")]
    undefined = (np.isnan(measured.values) & ~measured.failed[:, None]).sum(axis=0)
    return Sobol(
        model=model.name, ranges=varied, quantities=measured.quantities, units=measured.units,
        first=stacked("S1", size), first_error=stacked("S1_conf", size),
        total=stacked("ST", size), total_error=stacked("ST_conf", size),
        second=pairs[0], second_error=pairs[1],
        runs=len(measured.status), failed=int(measured.failed.sum()), undefined=tuple(map(int, undefined)),
        groups=design.bases, groups_kept=tuple(kept), confidence=design.confidence, note=measured.failures(),
    )  # fmt: skip


def _interval(value: float, error: float) -> tuple[float, float, float]:
    return float(value), float(value - error), float(value + error)


def _bars(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for the figure: one per quantity, parameter and index."""
    return [
        {
            "quantity": row["quantity"],
            "parameter": drawing.words(row["parameter"]),
            "index": index,
            "value": row[index],
            "low": row[f"{index}_low"],
            "high": row[f"{index}_high"],
        }
        for row in table.to_dict("records")
        for index in ("first", "total")
    ]

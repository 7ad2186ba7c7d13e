"""The killing assay of Brummer et al. 2022: its series, the published cost, and a fit of every well from scratch.

A well is a pair of wells that were averaged. The published cost of a well is the sum of squares of (model less measured
cell index) over the rows that were fitted, each divided by the standard deviation of the pair (a standard deviation of
zero counts as the mean of the others) or, in some wells, not divided. Wells with CAR T cells add the square of (model
less counted CAR T cells at the end of the assay), divided by 0.02 where the rows are weighted and by 0.1 where not.
That form was read in the notebook as far as the rows go; the last term was found by comparing with the published costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from livingdrug.engine.solve import Solution, solve
from livingdrug.library.brummer2022 import Brummer2022, read_wells
from livingdrug.streams import uniform

__all__ = ["FILES", "GROWTH", "OUTPUTS", "Assay", "read_assay", "refit"]

Reals = NDArray[np.float64]
FILES = {
    "PBT1": "kinetics/carrgodex_pbt1_pbt2.csv",
    "PBT2": "kinetics/carrgodex_pbt1_pbt2.csv",
    "PBT4": "kinetics/carrgodex_pbt3_pbt4.csv",
}
GROWTH = ("tumour_growth", "crowding")
OUTPUTS = ("cell_index", "car_t_cell_index")
FAILED = 1e6  # residual of a course that could not be solved
END_ERROR = {True: 0.02, False: 0.1}  # of the CAR T cells at the end, cell index; by whether the rows are weighted

# Where starts are drawn: generic ranges, per hour, on a log scale where both ends are positive.
RANGES = {
    "tumour_growth": (0.01, 0.5),
    "crowding": (0.05, 1.0),
    "kill_rate": (0.02, 5.0),
    "car_t_growth": (0.002, 0.2),
    "car_t_death": (1e-4, 0.2),
    "dexamethasone_tumour_death": (-0.4, 0.2),
    "dexamethasone_car_t_death": (-0.5, 0.5),
}
EITHER_SIGN = ("dexamethasone_tumour_death", "dexamethasone_car_t_death")  # all others are at least 0, as published


@dataclass(frozen=True)
class Assay:
    """The measured series of some wells, each from its first fitted row to the end of the assay.

    Attributes:
        names: names of the wells.
        wells: what was in them and the published fit, see :func:`livingdrug.library.brummer2022.read_wells`.
        times: days since the first fitted row, shape (well, row); after the end of a series times that do not count.
        index: measured cell index, shape (well, row); NaN where a row was not fitted.
        error: what a row's residual is divided by, shape (well, row).
        last: the last row of each series, shape (well,).
        held: parameters that wells with CAR T cells and drug keep at the published values in a refit. The published
            fit so kept ``GROWTH``, found in wells without CAR T cells; by default nothing is held.
    """

    names: tuple[str, ...]
    wells: Mapping[str, Mapping[str, Any]]
    times: Reals
    index: Reals
    error: Reals
    last: NDArray[np.int64]
    held: tuple[str, ...] = ()

    @cached_property
    def published(self) -> dict[str, Reals]:
        """The published fits as a cohort: parameters by name, shape (well,)."""
        fits = [self.wells[name]["fit"] for name in self.names]
        return {name: np.array([fit[name] for fit in fits]) for name in fits[0]}

    def residuals(self, solution: Solution, wells: Any = slice(None)) -> Reals:
        """Residuals whose squares add up to the cost, shape (well, row + 1); the last is that of the CAR T cells.

        Args:
            solution: courses of :class:`Brummer2022` at this assay's times, one row for each of ``wells``.
            wells: which wells, as an index.
        """
        rows = (solution["cell_index"] - self.index[wells]) / self.error[wells]
        end = (self._at_end(solution["car_t_cell_index"], wells) - self.counted[wells]) / self.end_error[wells]
        return np.nan_to_num(np.column_stack([rows, end]), nan=0.0)

    def slopes(self, solution: Solution, parameter: str, wells: Any = slice(None)) -> Reals:
        """Derivative of the residuals by a parameter, shape (well, row + 1)."""
        tangent = solution.tangents[parameter]
        rows = np.where(np.isnan(self.index[wells]), 0.0, tangent[:, :, 0] / self.error[wells])
        end = self._at_end(tangent[:, :, 1], wells) / self.end_error[wells]
        return np.column_stack([rows, end])

    def r_squared(self, solution: Solution) -> Reals:
        """Share of the variance of the fitted rows that the courses explain, shape (well,)."""
        around = self.index - np.nanmean(self.index, axis=1, keepdims=True)
        error = np.nansum((solution["cell_index"] - self.index) ** 2, axis=1)
        return 1.0 - error / np.nansum(around**2, axis=1)

    def fitted_end(self, values: Reals) -> Reals:
        """A course's value at the last fitted row, shape (well,)."""
        rows = np.isfinite(self.index).sum(axis=1) - 1
        return values[np.arange(len(values)), rows]

    def free(self, well: int) -> list[str]:
        """The parameters that a well says something about: those of what is in it."""
        fit = self.wells[self.names[well]]["fit"]
        with_cells, with_drug = fit["car_t_at_start"] > 0, fit["dexamethasone_at_start"] > 0
        held = self.held if with_cells and with_drug else ()
        return [
            name
            for name in RANGES
            if name not in held
            and (with_drug or not name.startswith("dexamethasone"))
            and (with_cells or name in ("tumour_growth", "crowding", "dexamethasone_tumour_death"))
        ]

    @cached_property
    def counted(self) -> Reals:
        """CAR T cells at the end of the assay, shape (well,)."""
        return np.array([self.wells[name]["car_t_at_end"] for name in self.names])

    @cached_property
    def end_error(self) -> Reals:
        """What the residual of the CAR T cells is divided by, shape (well,); infinite where there are none."""
        errors = [END_ERROR[self.wells[name]["weighted"]] for name in self.names]
        return np.where(self.published["car_t_at_start"] > 0, errors, np.inf)

    def _at_end(self, values: Reals, wells: Any) -> Reals:
        return values[np.arange(len(values)), self.last[wells]]


def read_assay(data: Path) -> Assay:
    """Read the series of all 72 wells from the folder of the check data.

    Args:
        data: the folder that holds ``kinetics/carrgodex_pbt1_pbt2.csv`` and ``carrgodex_pbt3_pbt4.csv``.
    """
    import pandas as pd

    wells = read_wells()
    series: dict[str, Any] = {file: pd.read_csv(data / file) for file in set(FILES.values())}
    cut = {name: series[FILES[well["line"]]].iloc[well["first_row"] :] for name, well in wells.items()}
    longest = max(len(table) for table in cut.values())
    times = np.empty((len(wells), longest))
    index, error = np.full_like(times, np.nan), np.ones_like(times)
    for k, (name, well) in enumerate(wells.items()):
        table, fitted = cut[name], well["end_row"] - well["first_row"]
        days = (table["Time (Hour)"].to_numpy() - table["Time (Hour)"].iloc[0]) / 24.0
        times[k] = np.append(days, days[-1] + 1e-6 * np.arange(1, longest - len(days) + 1))
        index[k, :fitted] = table[well["column"]].to_numpy()[:fitted]
        if well["weighted"]:
            spread = table[well["column"].replace("Y(", "SD(")].to_numpy()[:fitted]
            error[k, :fitted] = np.where(spread == 0, spread.mean(), spread)
    last = np.array([len(table) - 1 for table in cut.values()])
    return Assay(tuple(wells), wells, times, index, error, last)


def refit(assay: Assay, *, starts: int = 256, tries: int = 3, seed: int = 1) -> tuple[dict[str, Reals], Reals]:
    """Fit every well anew: random starts screened as one cohort, then least squares with the engine's sensitivities.

    No published parameter is used but those that the assay holds; known are what was put into a well and the first
    point of its series.

    Args:
        assay: the measured series.
        starts: random starts of each well.
        tries: from how many of the best starts a fit is run.
        seed: of the starts.

    Returns:
        The fitted parameters as a cohort and the cost, both of shape (well,).
    """
    drawn = _draw(assay, starts, seed)
    rows = np.repeat(np.arange(len(assay.names)), starts)
    given = _given(assay, rows)
    cohort = given | {name: given[name] + values.ravel() for name, values in drawn.items()}
    screened = solve(Brummer2022, cohort, assay.times[rows], outputs=OUTPUTS, rtol=1e-4)
    costs = (assay.residuals(screened, rows) ** 2).sum(axis=1)
    costs = np.where(screened.failed, np.inf, costs).reshape(-1, starts)
    wells = np.repeat(np.arange(len(assay.names)), tries)
    chosen = np.argsort(costs, axis=1)[:, :tries].ravel()
    fits = _fit_together(
        assay, wells, [{n: drawn[n][w, s] for n in assay.free(int(w))} for w, s in zip(wells, chosen, strict=True)]
    )
    found = _given(assay, np.arange(len(assay.names)))
    reached = np.array([cost for _, cost in fits]).reshape(-1, tries)
    for k, least in enumerate(reached.argmin(axis=1)):
        for name, value in fits[k * tries + least][0].items():
            found[name][k] = value
    return found, reached.min(axis=1)


def _given(assay: Assay, rows: Any) -> dict[str, Reals]:
    """What a fit does not change: the start, and the parameters that are held or that a well does not need (zero)."""
    known = assay.published
    treated = (known["car_t_at_start"] > 0) & (known["dexamethasone_at_start"] > 0)
    starts = {name: known[name][rows] for name in ("tumour_at_start", "car_t_at_start", "dexamethasone_at_start")}
    kept = {name: np.where(treated & (name in assay.held), known[name], 0.0)[rows] for name in RANGES}
    return starts | kept


def _draw(assay: Assay, starts: int, seed: int) -> dict[str, Reals]:
    """Random starts, shape (well, start); parameters that a well does not need are zero."""
    wells = np.arange(len(assay.names))
    drawn = {}
    for name, (low, high) in RANGES.items():
        share = uniform(seed, wells, f"start of {name}", starts)
        values = low * (high / low) ** share if low > 0 else low + (high - low) * share
        needed = np.array([name in assay.free(int(k)) for k in wells])
        drawn[name] = np.where(needed[:, None], values, 0.0)
    return drawn


def _fit_together(
    assay: Assay, wells: Any, starts: Sequence[Mapping[str, float]]
) -> list[tuple[dict[str, float], float]]:
    """Run many fits side by side: each asks for its course in a thread, and one cohort answers all that ask.

    Returns:
        The parameters and the cost of each fit.
    """
    desk: SimpleQueue[_Question | None] = SimpleQueue()

    def run(well: int, start: Mapping[str, float]) -> tuple[dict[str, float], float]:
        try:
            return _fit(well, start, desk)
        finally:
            desk.put(None)

    with ThreadPoolExecutor(len(starts)) as pool:
        fits = [pool.submit(run, int(well), start) for well, start in zip(wells, starts, strict=True)]
        _answer(assay, desk, len(fits))
    return [fit.result() for fit in fits]


@dataclass(frozen=True)
class _Question:
    """What a fit wants to know: residuals and slopes of a well for some parameters, to be put into ``reply``."""

    well: int
    values: Mapping[str, float]
    reply: SimpleQueue[tuple[Reals, Reals] | Exception]


def _answer(assay: Assay, desk: SimpleQueue[_Question | None], running: int) -> None:
    """Answer questions, as one cohort whenever all fits that still run are waiting, until none runs."""
    waiting: list[_Question] = []
    while running:
        question = desk.get()
        if question is None:
            running -= 1
        else:
            waiting.append(question)
        if waiting and len(waiting) == running:
            try:
                answers: list[Any] = _residuals_and_slopes(assay, waiting)
            except Exception as error:  # else the fits would wait for ever
                answers = [error] * len(waiting)
            for asked, answer in zip(waiting, answers, strict=True):
                asked.reply.put(answer)
            waiting = []


def _residuals_and_slopes(assay: Assay, questions: Sequence[_Question]) -> list[tuple[Reals, Reals]]:
    wells = np.array([q.well for q in questions])
    cohort = _given(assay, wells)
    for name in RANGES:
        cohort[name] = np.array([q.values.get(name, kept) for q, kept in zip(questions, cohort[name], strict=True)])
    solution = solve(Brummer2022, cohort, assay.times[wells], outputs=OUTPUTS, tangents=list(RANGES))
    residuals = np.where(solution.failed[:, None], FAILED, assay.residuals(solution, wells))
    slopes = {name: assay.slopes(solution, name, wells) for name in RANGES}
    return [
        (residuals[k], np.column_stack([slopes[name][k] for name in q.values])) for k, q in enumerate(questions)
    ]  # fmt: skip


def _fit(well: int, start: Mapping[str, float], desk: SimpleQueue[_Question | None]) -> tuple[dict[str, float], float]:
    """Least squares of one well from one start; the parameters found and the cost."""
    from scipy.optimize import least_squares

    names, reply = list(start), SimpleQueue()
    last: dict[bytes, tuple[Reals, Reals]] = {}

    def ask(x: Reals) -> tuple[Reals, Reals]:
        if x.tobytes() not in last:
            desk.put(_Question(well, dict(zip(names, x, strict=True)), reply))
            answer = reply.get()
            if isinstance(answer, Exception):
                raise answer
            last.clear()
            last[x.tobytes()] = answer
        return last[x.tobytes()]

    lowest = [-np.inf if name in EITHER_SIGN else 0.0 for name in names]
    fit = least_squares(
        lambda x: ask(x)[0], list(start.values()), cast("Any", lambda x: ask(x)[1]),
        bounds=(lowest, np.inf), x_scale="jac", ftol=1e-7, xtol=1e-7, max_nfev=60,
    )  # fmt: skip
    return dict(zip(names, map(float, fit.x), strict=True)), 2.0 * float(fit.cost)

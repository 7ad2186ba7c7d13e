"""Quantities of interest for a whole cohort, block by block."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.analysis.integral import area_name, with_areas
from livingdrug.analysis.quantities import Quantity, quantities_of
from livingdrug.engine.solution import REASONS
from livingdrug.engine.solve import TIGHT, Crossing, Extreme, Solution, solve
from livingdrug.errors import InputError, SolveError

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.model.declaration import Model

__all__ = ["Measured", "follow_up", "measure"]

Reals = NDArray[np.float64]
Progress = Callable[[int, int], None]

BLOCK = 8192
"""Runs that are held at one time."""


@dataclass(frozen=True)
class Measured:
    """Quantities of a cohort.

    Attributes:
        quantities: what was measured, and ``units`` of each.
        values: shape (run, quantity); NaN where the solve failed, or where a level is never reached.
        status: shape (run,); 0 is solved, else an index into ``livingdrug.engine.solution.REASONS``.
        parameters: what differed or was given, name -> number or shape (run,).
    """

    quantities: tuple[Quantity, ...]
    units: tuple[str, ...]
    values: Reals
    status: NDArray[np.int8]
    parameters: Mapping[str, Any]

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Which runs could not be solved, shape (run,)."""
        return self.status != 0

    @property
    def table(self) -> pd.DataFrame:
        """One row per run: parameters, quantities, and whether it was solved."""
        import pandas as pd

        names = [item.name for item in self.quantities]
        rows = pd.DataFrame(self.values, columns=names)
        for place, (name, values) in enumerate(self.parameters.items()):
            rows.insert(place, name, values)
        return rows.assign(solved=~self.failed)

    def failures(self) -> str:
        """Say how many runs failed, and of what; empty if none did."""
        counts = Counter(self.status[self.failed].tolist())
        return "; ".join(f"{n} of {len(self.status)} runs failed: {REASONS[k]}" for k, n in sorted(counts.items()))


def measure(
    model: type[Model],
    quantities: str | Quantity | Iterable[str | Quantity],
    parameters: Mapping[str, ArrayLike],
    *,
    days: float | None = None,
    initial: Mapping[str, float] | None = None,
    doses: Sequence[Any] = (),
    chance: bool = False,
    seed: int = 0,
    rtol: float = TIGHT,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Reduce the course of every patient to quantities of interest.

    Maxima, minima and crossings are found by the engine on its dense output; an area is one more state of the solve
    (its error is controlled like that of the states), so none depends on a grid of times.

    Args:
        model: a declared model.
        quantities: words as for :func:`livingdrug.analysis.quantity`.
        parameters: values in declared units, one number or one per run, shape (run,); the rest are defaults.
        days: how long each run lasts; default the follow-up of the model, longer if a quantity needs it.
        initial: states that start elsewhere than the model says, the same for all runs.
        doses: doses and changes besides the model's own, the same for all runs.
        chance: whether populations that may die out do so cell by cell; each run then has a stream of its own.
        seed: of these streams.
        rtol: relative tolerance of one step.
        threads: worker threads; any number gives the same bits.
        progress: called with (runs done, runs in all).

    Raises:
        InputError: an unknown name, a value outside its limits, columns of different lengths.

    Example:
        >>> from livingdrug.library import load_model
        >>> found = measure(load_model("stein2019"), "max car_t_transgene_blood", {"peak": [1e4, 2e4]})
        >>> found.values.round(0).tolist()
        [[10000.0], [20000.0]]
    """
    asked = quantities_of(quantities, model)
    horizon = follow_up(model, asked, days)
    columns, count = _columns(model, parameters)
    options = {"initial": initial, "doses": doses, "stochastic": chance, "seed": seed, "rtol": rtol, "threads": threads}
    plan = _Plan(model, asked, horizon)
    values, status = np.empty((count, len(asked))), np.empty(count, np.int8)
    for first in range(0, count, BLOCK):
        rows = slice(first, min(first + BLOCK, count))
        part = {name: column[rows] if column.ndim else column for name, column in columns.items()}
        solution = plan.solve(part, np.arange(rows.start, rows.stop, dtype=np.uint64), options)
        values[rows], status[rows] = plan.numbers(solution), solution.status
        if progress is not None:
            progress(rows.stop, count)
    values[status != 0] = np.nan
    units = tuple(item.unit(model) for item in asked)
    return Measured(asked, units, values, status, {name: column for name, column in columns.items() if column.ndim})


def follow_up(model: type[Model], asked: Sequence[Quantity], days: float | None) -> float:
    """Return how long a run lasts: the days given, or the model's own follow-up; long enough for every quantity."""
    needed = max((item.last_day for item in asked), default=0.0)
    if days is None:
        return max(float(model.follow_up), needed)
    if not (isinstance(days, (int, float)) and math.isfinite(days) and days > 0):
        raise InputError(f"days must be a positive number of days, got {days!r}")
    if needed > days:
        late = next(item.name for item in asked if item.last_day == needed)
        raise InputError(f"quantity {late!r} needs day {needed:g}, but the runs end on day {days:g}; give more days")
    return float(days)


def require_solved(measured: Measured, what: str) -> None:
    """Raise SolveError if no run at all could be solved."""
    if len(measured.status) and measured.failed.all():
        raise SolveError(f"{what}: no run could be solved ({measured.failures()}); narrow the ranges")


def _columns(model: type[Model], parameters: Mapping[str, ArrayLike]) -> tuple[dict[str, Reals], int]:
    model.canonical(parameters)  # names, limits and lengths, before anything is solved
    columns = {name: np.asarray(values, np.float64) for name, values in parameters.items()}
    return columns, max((len(column) for column in columns.values() if column.ndim), default=1)


class _Plan:
    """What one solve must watch for so that all quantities can be read from it."""

    def __init__(self, model: type[Model], asked: Sequence[Quantity], days: float) -> None:
        self.asked = asked
        areas = list(dict.fromkeys(item.output for item in asked if item.kind == "auc"))
        self.model = with_areas(model, areas)
        self.outputs = list(dict.fromkeys(_watched(item) for item in asked))
        self.times = np.unique([0.0, days, *(d for item in asked if item.last_day for d in item.numbers)])
        self.extremes = {
            f"{item.kind[-3:]} {item.output}": Extreme(item.output, item.kind[-3:])
            for item in asked
            if item.kind.endswith(("max", "min"))
        }
        self.crossings = {item.name: _crossing(item) for item in asked if item.kind in ("above", "below")}

    def solve(self, parameters: Mapping[str, Reals], ids: NDArray[np.uint64], options: dict[str, Any]) -> Solution:
        return solve(
            self.model, parameters, self.times, outputs=self.outputs, patient_ids=ids,
            crossings=self.crossings, extremes=self.extremes, **options,
        )  # fmt: skip

    def numbers(self, solution: Solution) -> Reals:
        """Every quantity of every run, shape (run, quantity)."""
        return np.stack([self._number(item, solution) for item in self.asked], axis=1)

    def _number(self, item: Quantity, solution: Solution) -> Reals:
        if item.kind in ("value", "auc"):
            course = solution[_watched(item)][:, np.searchsorted(self.times, item.numbers)]
            return course[:, 0] if item.kind == "value" else course[:, 1] - course[:, 0]
        if item.kind in ("above", "below"):
            reached = solution.crossing_time[item.name]
            return np.where(np.isnan(reached), item.numbers[1], reached) if len(item.numbers) > 1 else reached
        day, value = solution.extreme[f"{item.kind[-3:]} {item.output}"]
        return day if item.kind.startswith("day") else value


def _crossing(item: Quantity) -> Crossing:
    level = item.numbers[0]
    return Crossing(item.output, above=level) if item.kind == "above" else Crossing(item.output, below=level)


def _watched(item: Quantity) -> str:
    return area_name(item.output) if item.kind == "auc" else item.output

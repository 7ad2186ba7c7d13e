"""Structural models that are solved: any declared Model on the engine, all subjects and chains in one call.

Derivatives by parameters are the engine's forward sensitivities; where a model has none along some course (a parameter
that is set anew on a day or between occasions, a steady state, a duration that the model has, a power below one at
zero), central difference quotients stand in. Second derivatives are difference quotients of the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.engine.run import MOST_STEPS
from livingdrug.engine.schedule import Change
from livingdrug.engine.solve import solve
from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.events import Events
from livingdrug.model.expressions import symbols_in
from livingdrug.model.symbols import Parameter

if TYPE_CHECKING:
    from livingdrug.inference.data import Covariate
    from livingdrug.inference.rows import Rows
    from livingdrug.model.declaration import Model

__all__ = ["ESTIMATION", "EngineModel", "as_structure"]

Reals = NDArray[np.float64]
Whole = NDArray[np.int64]

ESTIMATION = 1e-7
"""Relative tolerance of one step: tighter than elsewhere, since a loose one distorts variances."""
STEP = 1e-4
"""Step of difference quotients as a share of the parameter."""
QUOTIENTS = 1e-10
"""Relative tolerance of a step of the solver for difference quotients."""
STEPS, STEPS_FOR_A_DOSE = 20_000, 100
"""Steps of one solve at most, ten times what usual ones take at ``ESTIMATION``, and more for tighter tolerances, by the
order of the method (5): a proposal that is far out must not hold all others."""


class EngineModel:
    """A Model as the structure of a statistical model.

    Besides the model's own parameters there are ``R1`` and ``D1`` (after the name of each compartment): rate and
    duration of infusions that the data leave to the model (RATE -1 and -2), per day and in days.

    Args:
        model: a declared model; populations that may die out follow their equation.
        compartments: name of a compartment in the data -> state that its doses go to; needed where the data hold doses.
        covariates: parameter of the model -> column of the data that holds each subject's value of it; where the
            column changes in time, so does the parameter.
        rtol: relative tolerance of one step of the solver.
        threads: worker threads; any number gives the same result.
        initial: states that start elsewhere than the model says, in declared units.

    Raises:
        InputError: an unknown state or parameter.
    """

    exact_curvature = False

    def __init__(
        self,
        model: type[Model],
        *,
        compartments: Mapping[str, str] | None = None,
        covariates: Mapping[str, str] | None = None,
        rtol: float = ESTIMATION,
        threads: int | None = None,
        initial: Mapping[str, float] | None = None,
    ) -> None:
        self.model, self.name = model, model.name
        self.compartments, self.covariates = dict(compartments or {}), dict(covariates or {})
        self.rtol, self.threads, self.initial = rtol, threads, dict(initial or {})
        timing = [f"{letter}{word}" for word in self.compartments for letter in "RD"]
        self.timing = tuple(name for name in timing if name not in model.parameters)
        self.parameters = (*model.parameters, *self.timing)
        self.outputs = (*model.outputs, *model.states)
        # rates and durations are asked for where the data leave them to the model; until then any number will do
        self.defaults = {name: p.value for name, p in model.parameters.items()} | dict.fromkeys(self.timing, 1.0)
        for state in self.compartments.values():
            if state not in model.states:
                raise InputError(unknown_name("state", state, model.states, place=f"compartments of {model.name}"))
        for name in self.covariates:
            if name not in model.parameters:
                raise InputError(unknown_name("parameter", name, model.parameters, place=f"covariates of {model.name}"))

    def bind(self, rows: Rows, outputs: Sequence[str], by: Sequence[str]) -> BoundModel:
        """Join the model with the data: times, doses and covariates of each subject."""
        return BoundModel(self, rows, outputs, by)


class BoundModel:
    """A Model at the times and doses of a data set."""

    def __init__(self, structure: EngineModel, rows: Rows, outputs: Sequence[str], by: Sequence[str]) -> None:
        self.structure, self.model, self.rows, self.by = structure, structure.model, rows, list(by)
        self.outputs = list(dict.fromkeys(outputs))
        self.output = np.array([self.outputs.index(word) for word in outputs])[rows.endpoint]
        self.times, self.place = _own_times(rows)
        for name in set(self.by) & set(structure.covariates):
            raise InputError(
                f"{structure.name}: the parameter {name!r} is given twice: by the fit, and by the column "
                f"{structure.covariates[name]!r} of the data; keep one"
            )
        self.columns = {name: _column(rows, word) for name, word in structure.covariates.items()}
        low_high = [self._limits(name) for name in self.by]
        self.low, self.high = np.array(low_high).T
        self.first, self.switches = _occasions(rows)
        self.start = np.minimum(0.0, self.times[:, 0])
        self.steps = [step for name, one in self.columns.items() for step in _steps(name, one, self.start)]
        self.events = Events(structure, rows)
        self.event_unit = self._unit_at(self.events.doses.subject, self.events.doses.time)
        self._check_timing()
        self.tangents = self._differentiable()

    def _limits(self, name: str) -> tuple[float, float]:
        return self.model.parameters[name].limits if name in self.model.parameters else (0.0, np.inf)

    def _check_timing(self) -> None:
        """Refuse infusions whose rate or duration nobody gives."""
        events = self.events
        for k in events.of_model:
            name = events.timing(k)
            if name not in self.by and name not in self.model.parameters:
                what = "rate" if name[0] == "R" else "duration"
                raise InputError(
                    f"{events.place[k]}: the data leave the {what} of the infusion to the model (RATE "
                    f"{events.doses.rate[k]:g}); give the parameter {name!r}, an Estimate or a number"
                )

    def _differentiable(self) -> bool:
        """Whether the engine's sensitivities hold along all courses: nothing is set to what depends on parameters."""
        events = self.events
        sets = any(isinstance(event.target, Parameter) for event in self.model.events)
        symbols = [s.name for state in self.model.states.values() for s in symbols_in(state.initial)]
        moved = bool(events.forgets.any()) and bool(set(symbols) & set(self.by))
        return not (sets or moved or self.switches or len(events.settles) or len(events.of_model))

    def _unit_at(self, subject: Whole, time: Reals) -> Whole:
        """The unit whose parameters hold for subjects at times."""
        found = self.first[subject]
        for unit, at in self.switches:
            found = np.where(at[subject] <= time, unit[subject], found)
        return found

    def evaluate(self, values: Reals, order: int = 0, wanted: Sequence[int] | None = None) -> tuple[Reals, ...]:
        """Predictions and derivatives; as for :meth:`livingdrug.inference.bound_form.BoundForm.evaluate`."""
        chosen = list(range(len(self.by))) if wanted is None else list(wanted)
        if order == 0 or not chosen:
            f = self._solve(values)[0]
            return (f, *(np.zeros(f.shape + (len(self.by),) * (k + 1)) for k in range(order)))
        if order == 1:
            return self._first(values, chosen)
        return self._second(values, chosen)

    def _first(self, values: Reals, chosen: list[int]) -> tuple[Reals, Reals]:
        if not self.tangents:
            return self._quotients(values, chosen)
        f, slopes, failed = self._solve(values, chosen)
        again = np.flatnonzero(failed.any(axis=1))
        if not len(again):
            return f, slopes
        lost = failed[again] & ~self._solve(values[again])[2]  # courses without derivatives along them
        self.tangents = lost.sum() < 0.5 * failed.size
        again = again[lost.any(axis=1)]
        if len(again):
            f[again], slopes[again] = self._quotients(values[again], chosen)
        return f, slopes

    def _quotients(self, values: Reals, chosen: list[int]) -> tuple[Reals, Reals]:
        near, widths = self._neighbours(values, chosen, STEP)
        found = self._solve(np.concatenate([values, near]), tight=True)[0]
        f, around = found[: len(values)], found[len(values) :].reshape(len(chosen), 2, len(values), -1)
        slopes = np.zeros((*f.shape, len(self.by)))
        for k, j in enumerate(chosen):
            slopes[..., j] = (around[k, 0] - around[k, 1]) / widths[k][:, self.rows.unit]
        return f, slopes

    def _second(self, values: Reals, chosen: list[int]) -> tuple[Reals, Reals, Reals]:
        near, widths = self._neighbours(values, chosen, 10 * STEP)
        f, slopes = self._first(np.concatenate([values, near]), chosen)
        K = len(values)
        around = slopes[K:].reshape(len(chosen), 2, K, *slopes.shape[1:])
        second = np.zeros((*slopes[:K].shape, len(self.by)))
        for k, j in enumerate(chosen):
            second[..., j] = (around[k, 0] - around[k, 1]) / widths[k][:, self.rows.unit, None]
        return f[:K], slopes[:K], 0.5 * (second + np.swapaxes(second, -1, -2))

    def _neighbours(self, values: Reals, chosen: list[int], share: float) -> tuple[Reals, list[Reals]]:
        """Values with more and with less of each chosen parameter, within limits, and how far they are apart."""
        near, widths = [], []
        for j in chosen:
            step = share * np.maximum(np.abs(values[..., j]), 1e-6)
            up, down = values.copy(), values.copy()
            up[..., j] = np.minimum(values[..., j] + step, self.high[j])
            down[..., j] = np.maximum(values[..., j] - step, self.low[j])
            near += [up, down]
            widths.append(up[..., j] - down[..., j])
        return np.concatenate(near), widths

    def _solve(
        self, values: Reals, chosen: Sequence[int] = (), *, tight: bool = False
    ) -> tuple[Reals, Reals, NDArray[np.bool_]]:
        """Predictions, slopes by the chosen parameters, and which (chain, subject) could not be solved."""
        K, S = len(values), self.rows.subjects
        bad = ~np.isfinite(values) | (values < self.low) | (values > self.high)
        safe = np.where(bad, np.array([self.structure.defaults[n] for n in self.by]), values)
        own = lambda who, unit, at: self._parameters(safe, who, unit, at)  # noqa: E731
        parameters = own(np.arange(S), self.first, self.start)
        given, lost = self.events.of(K, self.event_unit, own)
        differentiated = [j for j in chosen if self.by[j] in self.model.parameters]
        rtol = QUOTIENTS if tight else self.structure.rtol
        found = solve(
            self.model, {name: parameters[name] for name in parameters if name not in self.structure.timing},
            np.tile(self.times, (K, 1)), outputs=self.outputs, doses=[*given, *self._changes(safe)],
            initial={name: np.full(K * S, v) for name, v in self.structure.initial.items()},
            tangents=[self.by[j] for j in differentiated], stochastic=False,
            rtol=rtol, threads=self.structure.threads, most_steps=self._most_steps(rtol, len(given)),
        )  # fmt: skip
        failed = found.failed.reshape(K, S) | lost | self._by_subject(bad.any(axis=-1))
        f = self._picked(found.values, K)
        f[failed[:, self.rows.subject]] = np.nan
        slopes = np.zeros((*f.shape, len(self.by) if len(chosen) else 0))
        for j in differentiated:
            slopes[..., j] = self._picked(found.tangents[self.by[j]], K)
        return f, slopes, failed

    def _most_steps(self, rtol: float, doses: int) -> int:
        """Steps of the solver that a solve may take."""
        usual = STEPS * max(1.0, ESTIMATION / rtol) ** 0.2
        return min(MOST_STEPS, int(usual) + STEPS_FOR_A_DOSE * (doses + len(self.steps) + len(self.switches)))

    def _by_subject(self, units: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether any unit of each subject is marked."""
        first = np.searchsorted(self.rows.unit_subject, np.arange(self.rows.subjects))
        return np.logical_or.reduceat(units, first, axis=1)

    def _picked(self, courses: Reals, K: int) -> Reals:
        """What was measured, shape (chain, row), of courses of shape (chain and subject, time, output)."""
        by_subject = courses.reshape(K, self.rows.subjects, *courses.shape[1:])
        return np.stack([chain[self.rows.subject, self.place, self.output] for chain in by_subject])

    def _parameters(self, values: Reals, subject: Whole, unit: Whole, time: Reals) -> dict[str, Any]:
        """Every parameter that is given, for each chain and each of some subjects at some times."""
        held = values[:, unit].reshape(-1, len(self.by))
        found: dict[str, Any] = {name: held[:, j] for j, name in enumerate(self.by)}
        for name, column in self.columns.items():
            found[name] = np.tile(column.at(subject, time), len(values))
        return found

    def _changes(self, values: Reals) -> list[Change]:
        """New values of parameters where a covariate moves or a later occasion of a subject begins."""
        K = len(values)
        found = [Change(name, np.tile(value, K), np.tile(at, K)) for name, value, at in self.steps]
        for unit, at in self.switches:
            held = values[:, np.maximum(unit, 0)]
            for j, name in enumerate(self.by):
                if name not in self.structure.timing:
                    found.append(Change(name, held[..., j].reshape(-1), np.tile(at, K)))
        return found


def _own_times(rows: Rows) -> tuple[Reals, Whole]:
    """Times of each subject, the last repeated to a common length, and where each row stands among them.

    A dose before day 0 and before the first sample is a time too: there the solve begins.
    """
    asked = rows.asked
    early = [min(0.0, rows.doses.time[rows.doses.subject == s].min(initial=0.0)) for s in range(rows.subjects)]
    own = [asked[rows.subject == s] for s in range(rows.subjects)]
    own = [np.unique(np.r_[times, at] if at < 0 else times) for times, at in zip(own, early, strict=True)]
    width = max(len(times) for times in own)
    table = np.array([np.r_[times, np.full(width - len(times), times[-1])] for times in own])
    place = np.array([np.searchsorted(own[s], t) for s, t in zip(rows.subject, asked, strict=True)])
    return table, place


def _column(rows: Rows, word: str) -> Covariate:
    if word not in rows.data.covariates:
        raise InputError(unknown_name("covariate of the data", word, rows.data.covariates))
    found = rows.data.covariates[word]
    values = np.asarray(found.values, float)
    if np.isnan(values).any():
        who = rows.data.ids[int(np.argmax(np.isnan(values)))]
        raise InputError(f"the covariate {word!r} is missing for subject {who!r}")
    return found


def _steps(name: str, column: Covariate, start: Reals) -> list[tuple[str, Reals, Reals]]:
    """The first change of each subject after its start, then the second, and so on: parameter, values and days."""
    later = np.flatnonzero(column.time > start[column.subject]) if column.varies else np.zeros(0, np.int64)
    changed = np.r_[np.inf, np.diff(column.changed)] != 0
    later = later[changed[later] | (np.r_[-1, column.subject[:-1]] != column.subject)[later]]
    first = np.searchsorted(column.subject[later], np.arange(len(start) + 1))
    found = []
    for nth in range(int(np.diff(first).max(initial=0))):
        has = np.diff(first) > nth
        at = later[np.where(has, first[:-1] + nth, 0)]
        found.append((name, column.changed[at], np.where(has, column.time[at], np.nan)))
    return found


def _occasions(rows: Rows) -> tuple[Whole, list[tuple[Whole, Reals]]]:
    """The first unit of each subject, then for the second, third ...: which unit and from which day (NaN for none)."""
    counts = np.bincount(rows.unit_subject, minlength=rows.subjects)
    first_row = np.full(len(rows.unit_subject), np.inf)
    np.minimum.at(first_row, rows.unit, rows.time)
    for occasion_dose in range(len(rows.doses)):
        _earlier_by_dose(rows, occasion_dose, first_row)
    starts = np.cumsum(counts) - counts
    order = np.lexsort((first_row, rows.unit_subject))
    found = []
    for nth in range(1, int(counts.max())):
        has = counts > nth
        unit = np.where(has, order[np.where(has, starts + nth, 0)], -1)
        found.append((unit, np.where(has, first_row[unit], np.nan)))
    return order[starts], found


def _earlier_by_dose(rows: Rows, k: int, first_row: Reals) -> None:
    """An occasion begins with its dose if that comes before its first sample."""
    names = np.unique(rows.data.observations.occasion[rows.source])
    unit = np.flatnonzero(
        (rows.unit_subject == rows.doses.subject[k])
        & (names[np.minimum(rows.unit_occasion, len(names) - 1)] == rows.doses.occasion[k])
    )
    if len(unit) and len(rows.unit_subject) > rows.subjects:
        first_row[unit] = np.minimum(first_row[unit], rows.doses.time[k])


def as_structure(given: Any) -> Any:
    """Return a structural model: a closed form as it is, a Model wrapped for the engine."""
    from livingdrug.model.declaration import Model

    if hasattr(given, "bind"):
        return given
    if isinstance(given, type) and issubclass(given, Model):
        return EngineModel(given)
    raise InputError(f"structure: expected a closed form, an EngineModel or a Model, got {given!r}")

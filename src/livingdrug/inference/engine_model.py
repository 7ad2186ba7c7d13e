"""Structural models that are solved: any declared Model on the engine, all subjects and chains in one call.

Derivatives by parameters are the engine's forward sensitivities; where a model has none along some course (a parameter
that is set anew on a day or between occasions, a power below one at zero), central difference quotients stand in.
Second derivatives are difference quotients of the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.engine.schedule import Change, Dose
from livingdrug.engine.solve import solve
from livingdrug.errors import InputError, unknown_name
from livingdrug.model.symbols import Parameter

if TYPE_CHECKING:
    from livingdrug.inference.rows import Rows
    from livingdrug.model.declaration import Model

__all__ = ["ESTIMATION", "EngineModel", "as_structure"]

Reals = NDArray[np.float64]

ESTIMATION = 1e-7
"""Relative tolerance of one step: tighter than elsewhere, since a loose one distorts variances."""
STEP = 1e-4
"""Step of difference quotients as a share of the parameter."""
QUOTIENTS = 1e-10
"""Relative tolerance of a step of the solver for difference quotients."""


class EngineModel:
    """A Model as the structure of a statistical model.

    Args:
        model: a declared model; populations that may die out follow their equation.
        compartments: name of a compartment in the data -> state that its doses go to; needed where the data hold doses.
        covariates: parameter of the model -> column of the data that holds each subject's value of it.
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
        self.parameters = tuple(model.parameters)
        self.outputs = (*model.outputs, *model.states)
        self.defaults = {name: p.value for name, p in model.parameters.items()}
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
        self.doses = _doses(structure, rows)
        self.columns = {name: _column(rows, word) for name, word in structure.covariates.items()}
        low_high = [self.model.parameters[name].limits for name in self.by]
        self.low, self.high = np.array(low_high).T
        self.switches = _occasion_starts(rows)
        sets = any(isinstance(event.target, Parameter) for event in self.model.events)
        self.tangents = not (sets or self.switches)

    def evaluate(self, values: Reals, order: int = 0, wanted: Sequence[int] | None = None) -> tuple[Reals, ...]:
        """Predictions and derivatives; as for :meth:`livingdrug.inference.closed_form.BoundForm.evaluate`."""
        chosen = list(range(len(self.by))) if wanted is None else list(wanted)
        if order == 0 or not chosen:
            f = self._solve(values)[0]
            return (f, *(np.zeros(f.shape + (len(self.by),) * (k + 1)) for k in range(order)))
        if order == 1:
            return self._first(values, chosen)
        return self._second(values, chosen)

    def _first(self, values: Reals, chosen: list[int]) -> tuple[Reals, Reals]:
        if self.tangents:
            f, slopes, failed = self._solve(values, chosen)
            if not failed.any() or self._solve(values)[2].sum() >= failed.sum():
                return f, slopes
            self.tangents = False  # some course has no derivatives along it: quotients from now on
        return self._quotients(values, chosen)

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
        first = safe[:, np.searchsorted(self.rows.unit_subject, np.arange(S))].reshape(K * S, -1)
        parameters: dict[str, Any] = {name: first[:, j] for j, name in enumerate(self.by)}
        parameters |= {name: np.tile(column, K) for name, column in self.columns.items()}
        found = solve(
            self.model, parameters, np.tile(self.times, (K, 1)), outputs=self.outputs,
            doses=[*(_tiled(dose, K) for dose in self.doses), *self._changes(safe)],
            initial={name: np.full(K * S, v) for name, v in self.structure.initial.items()},
            tangents=[self.by[j] for j in chosen], stochastic=False,
            rtol=QUOTIENTS if tight else self.structure.rtol, threads=self.structure.threads,
        )  # fmt: skip
        failed = found.failed.reshape(K, S) | self._by_subject(bad.any(axis=-1))
        f = self._picked(found.values, K)
        f[failed[:, self.rows.subject]] = np.nan
        slopes = np.zeros((*f.shape, len(self.by) if len(chosen) else 0))
        for j in chosen:
            slopes[..., j] = self._picked(found.tangents[self.by[j]], K)
        return f, slopes, failed

    def _by_subject(self, units: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether any unit of each subject is marked."""
        first = np.searchsorted(self.rows.unit_subject, np.arange(self.rows.subjects))
        return np.logical_or.reduceat(units, first, axis=1)

    def _picked(self, courses: Reals, K: int) -> Reals:
        """What was measured, shape (chain, row), of courses of shape (chain and subject, time, output)."""
        by_subject = courses.reshape(K, self.rows.subjects, *courses.shape[1:])
        return np.stack([chain[self.rows.subject, self.place, self.output] for chain in by_subject])

    def _changes(self, values: Reals) -> list[Change]:
        """New values of parameters where a later occasion of a subject begins."""
        found = []
        for unit, at in self.switches:
            held = values[:, np.maximum(unit, 0)]
            for j, name in enumerate(self.by):
                found.append(Change(name, held[..., j].reshape(-1), np.tile(at, len(values))))
        return found


def _own_times(rows: Rows) -> tuple[Reals, NDArray[np.int64]]:
    """Times of each subject, the last repeated to a common length, and where each row stands among them."""
    asked = rows.asked
    own = [np.unique(asked[rows.subject == s]) for s in range(rows.subjects)]
    width = max(len(times) for times in own)
    table = np.array([np.r_[times, np.full(width - len(times), times[-1])] for times in own])
    place = np.array([np.searchsorted(own[s], t) for s, t in zip(rows.subject, asked, strict=True)])
    return table, place


def _column(rows: Rows, word: str) -> Reals:
    if word not in rows.data.covariates:
        raise InputError(unknown_name("covariate of the data", word, rows.data.covariates))
    values = np.asarray(rows.data.covariates[word].values, float)
    if np.isnan(values).any():
        who = rows.data.ids[int(np.argmax(np.isnan(values)))]
        raise InputError(f"the covariate {word!r} is missing for subject {who!r}")
    return values


def _doses(structure: EngineModel, rows: Rows) -> list[Dose]:
    """Doses of all subjects: the first of each into one state, then the second, and so on."""
    doses, data = rows.doses, rows.data
    found: list[Dose] = []
    odd = (doses.evid >= 3) | (doses.steady > 0) | np.isnan(doses.duration)
    if odd.any():
        k = int(np.argmax(odd))
        raise InputError(
            f"row {doses.row[k]}: resets, steady state, and rates or durations that the model has are not supported "
            f"for models that are solved ({structure.name}); write out the doses"
        )
    given = doses.amount > 0
    for number in np.unique(doses.compartment[given]):
        name = data.compartments[number]
        if name not in structure.compartments:
            raise InputError(
                f"{structure.name}: the data hold doses into compartment {name!r}, but the model was not told where "
                f"they go; name the state, as in EngineModel(..., compartments={{{name!r}: 'state'}})"
            )
        mine = [
            np.flatnonzero(given & (doses.compartment == number) & (doses.subject == s)) for s in range(rows.subjects)
        ]
        for nth in range(max(len(rows_of) for rows_of in mine)):
            pick = np.array([rows_of[nth] if nth < len(rows_of) else -1 for rows_of in mine])
            none = pick < 0
            found.append(
                Dose(
                    structure.compartments[name], np.where(none, 0.0, doses.amount[pick]),
                    np.where(none, np.nan, doses.time[pick]), np.where(none, 0.0, doses.duration[pick]),
                )
            )  # fmt: skip
    return found


def _tiled(dose: Dose, K: int) -> Dose:
    return Dose(dose.target, np.tile(dose.amount, K), np.tile(dose.at, K), np.tile(dose.duration, K))


def _occasion_starts(rows: Rows) -> list[tuple[NDArray[np.int64], Reals]]:
    """For the second, third ... unit of each subject: which unit and from which day (NaN for none)."""
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
    return found


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

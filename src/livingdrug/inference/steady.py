"""Steady state: what a model holds just before a dose that has always been repeated at one interval.

The state x that one interval leads back to itself, x = P(x). A few doses from the model's initial values come first,
then steps of Newton's method, whose slopes are the engine's tangents by initial values; a linear model needs one step
and no doses. All lanes take steps until their own has settled: no count of doses stands for a steady state, so the
result is smooth in the parameters, and the same whatever is solved beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from livingdrug.engine.graph import Graph
from livingdrug.engine.schedule import Dose
from livingdrug.engine.solve import solve
from livingdrug.errors import InputError
from livingdrug.model.expressions import Expression, Number, symbols_in, time

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["Regimen", "bent", "check_linear", "check_steady", "drifting", "settle", "starts"]

Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]

TOLERANCE = 1e-10
"""Relative tolerance of a step of the solver: its error counts as often as there are doses that still matter."""
LEAD_IN = 3
"""Doses before the first step of Newton's method; they bring the states near their sizes."""
MOST = 50
SETTLED = 1e-6
"""Share of a state below which the last step lies; what is left after that step is its square."""
BEFORE_ALL = -1.0
"""Any day before the model's own events: the initial values stand there as they are."""


@dataclass(frozen=True)
class Regimen:
    """A dose repeated at an interval, one lane for each course.

    Attributes:
        model: that is solved.
        parameters: in declared units, shape (lane,).
        doses: from time 0 of the interval to its end at most, one amount, time and duration per lane.
        interval: days, shape (lane,).
        threads: workers of the solver.
        linear: whether one step is exact.
    """

    model: type[Model]
    parameters: Mapping[str, Reals]
    doses: Sequence[Dose]
    interval: Reals
    threads: int | None = None
    linear: bool = False

    def take(self, lanes: NDArray[np.intp]) -> Regimen:
        """Some of the lanes."""
        part = lambda values: np.asarray(values)[lanes]  # noqa: E731
        doses = [Dose(d.target, part(d.amount), part(d.at), part(d.duration)) for d in self.doses]
        parameters = {name: values[lanes] for name, values in self.parameters.items()}
        return replace(self, parameters=parameters, doses=doses, interval=self.interval[lanes])

    def several(self, count: int) -> Regimen:
        """So many intervals as one."""
        doses = [replace(d, at=np.asarray(d.at) + k * self.interval) for k in range(count) for d in self.doses]
        return replace(self, doses=doses, interval=count * self.interval)

    def after(self, states: Reals, *, slopes: bool = False) -> tuple[Reals, Reals]:
        """States one interval later, shape (lane, state), and their slopes by those before, (lane, state, state)."""
        names = list(self.model.states)
        found = solve(
            self.model, self.parameters, self.interval[:, None], outputs=names, doses=self.doses,
            initial={name: states[:, i] for i, name in enumerate(names)}, stochastic=False, rtol=TOLERANCE,
            threads=self.threads, tangents=[f"initial:{name}" for name in names] if slopes else (),
        )  # fmt: skip
        values = np.where(found.failed[:, None], np.nan, found.values[:, 0])
        by = [found.tangents[f"initial:{name}"][:, 0] for name in names] if slopes else []
        return values, np.stack(by, axis=-1) if slopes else np.zeros((len(values), 0, 0))


def starts(
    model: type[Model], parameters: Mapping[str, Reals], initial: Mapping[str, float], threads: int | None
) -> Reals:
    """Initial values of all states in declared units, shape (lane, state)."""
    count = max((len(values) for values in parameters.values()), default=1)
    if all(isinstance(s.initial, Number) for s in model.states.values()):
        each = [initial.get(name, s.initial.value / s.factor) for name, s in model.states.items()]
        return np.tile(np.array(each, float), (count, 1))
    given = {name: np.full(count, value) for name, value in initial.items()}
    found = solve(
        model, parameters, [BEFORE_ALL], outputs=list(model.states), initial=given, stochastic=False, threads=threads
    )
    return found.values[:, 0]


def settle(regimen: Regimen, states: Reals) -> tuple[Reals, Flags, Reals]:
    """States just before a dose in steady state.

    Args:
        regimen: the dose and its interval.
        states: where the search begins, shape (lane, state).

    Returns:
        The states, which lanes have settled (and would do so again after a small push), and what an interval makes
        of small pushes, as shares of the states, shape (lane, state, state).
    """
    x = states.copy()
    if not regimen.linear:
        after = regimen.several(LEAD_IN).after(x)[0]
        x = np.where(np.isfinite(after).all(axis=1, keepdims=True), after, x)
    left, pushed = np.arange(len(x)), np.full((*x.shape, x.shape[1]), np.nan)
    settled = np.zeros(len(x), bool)
    for _ in range(MOST):
        after, slopes = regimen.take(left).after(x[left], slopes=True)
        solved = np.isfinite(after).all(axis=1) & np.isfinite(slopes).all(axis=(1, 2))
        left, after, slopes = left[solved], after[solved], slopes[solved]
        size = np.maximum(np.abs(x[left]), np.abs(after)) + _floors(regimen.model)
        change, move = after - x[left], _newton(after - x[left], slopes, size)
        rest = change - move + np.einsum("lij,lj->li", slopes, move) if regimen.linear else change
        pushed[left] = slopes * size[:, None, :] / size[:, :, None]
        x[left], taken = _moved(x[left], move, after, size)
        near = np.abs(rest) if regimen.linear else np.maximum(np.abs(move), np.abs(change))
        there = taken & (near <= SETTLED * size).all(axis=1)
        settled[left[there]] = _stable(pushed[left[there]])
        left = left[~there]
        if not len(left):
            break
    return x, settled, pushed


def _floors(model: type[Model]) -> Reals:
    """Sizes below which errors of the states do not matter, in declared units."""
    return np.array([s.floor / s.factor for s in model.states.values()])


def _newton(change: Reals, slopes: Reals, size: Reals) -> Reals:
    """The step to where one interval changes nothing; a state that nothing moves stays where it is."""
    relative = slopes * size[:, None, :] / size[:, :, None]
    inverse = np.linalg.pinv(np.eye(change.shape[1]) - relative, 1e-9)
    return np.einsum("lij,lj->li", inverse, change / size) * size


def _moved(x: Reals, move: Reals, after: Reals, size: Reals) -> tuple[Reals, Flags]:
    """States after the step, or after one more dose where the step would make an amount negative."""
    new = x + move
    taken = np.logical_and.reduce((new >= -SETTLED * size) | (after < 0), axis=1)
    new = np.where((new < 0) & (after >= 0), 0.0, new)
    return np.where(taken[:, None], new, after), taken


def _stable(pushed: Reals) -> Flags:
    """Whether a small push dies away, so that repeated doses lead here."""
    if not len(pushed):
        return np.zeros(0, bool)
    return np.abs(np.linalg.eigvals(pushed)).max(axis=1) <= 1 + SETTLED


def drifting(pushed: Reals) -> int:
    """The state in which a push dies away most slowly, or grows: the one that keeps a regimen from settling."""
    if not np.isfinite(pushed).all():
        return 0
    values, vectors = np.linalg.eig(pushed)
    return int(np.argmax(np.abs(vectors[:, np.argmax(np.abs(values))])))


def check_steady(model: type[Model], place: str) -> None:
    """Refuse a steady state of a model that changes with time itself."""
    for state, rate in model.rates.items():
        if any(symbol is time for symbol in symbols_in(rate)):
            raise InputError(
                f"{place}: {model.name} has no steady state (SS): the equation of {state.name!r} reads the time "
                "itself; write out the doses"
            )
    if model.events:
        raise InputError(
            f"{place}: {model.name} has no steady state (SS): it has doses or resets of its own; write out the doses"
        )


def bent(model: type[Model]) -> dict[str, str]:
    """States whose equation keeps doses from adding up -> why; none of a linear model."""
    graph, found = Graph(), {}
    none: dict[Expression, int] = dict.fromkeys(model.states.values(), graph.zero)
    variables = [graph.named(name) for name in model.states]
    for state, rate in model.rates.items():
        slopes = graph.derivatives([graph.read(rate, {})], variables)[0]
        if graph.symbols(slopes.values()) & set(variables):
            found[state.name] = "is not linear"
        elif graph.read(rate, none) != graph.zero:
            found[state.name] = "does not end at zero without doses"
    return found


def check_linear(model: type[Model], place: str) -> None:
    """Refuse SS 2, which adds a steady state to what is there, unless effects of doses add up."""
    for state, why in bent(model).items():
        raise InputError(
            f"{place}: SS 2 adds a steady state to what earlier doses left, which holds for linear models only; "
            f"the equation of {state!r} of {model.name} {why}. Write out the doses, or take SS 1"
        )

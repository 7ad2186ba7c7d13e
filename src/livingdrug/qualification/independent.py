"""A second way to solve a declared model, which shares nothing with the engine.

The formulas are evaluated as they were declared, node by node in NumPy, and integrated by SciPy at tolerance 1e-10
with a new start at each event and each switch of time. It is slow and plain, and therefore the check of the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import SolveError
from livingdrug.model.expressions import OPERATIONS, Expression, Number, Symbol, evaluate, time, walk

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model
    from livingdrug.model.symbols import Event

__all__ = ["largest_difference", "solve_independently"]

Reals = NDArray[np.float64]
RTOL = 1e-10


def solve_independently(
    model: type[Model], parameters: Mapping[str, float], times: Sequence[float] | Reals, *, method: str = "LSODA"
) -> dict[str, Reals]:
    """Solve a model for one patient without chance, with SciPy instead of the engine.

    Args:
        model: a declared model.
        parameters: values in declared units; the rest are defaults.
        times: days, ascending, from 0 on, shape (time,).
        method: a method of ``scipy.integrate.solve_ivp``.

    Returns:
        Each output and state in its declared unit, shape (time,).

    Raises:
        SolveError: if SciPy gives up.
    """
    values: dict[Expression, Any] = {model.parameters[n]: float(v) for n, v in model.canonical(parameters).items()}
    times = np.asarray(times, np.float64)
    states = list(model.states.values())
    y = np.array([float(evaluate(s.initial, values)) for s in states])
    actions = _actions(model, values)
    found = np.full((len(states), len(times)), np.nan)
    fixed: list[dict[Expression, Any]] = [values] * len(times)
    inflow = np.zeros(len(states))
    stops = sorted({0.0, float(times[-1]), *_switches(model, values), *(at for at, _ in actions)})
    stops = [s for s in stops if 0 <= s <= times[-1]]
    for start, end in pairwise([*stops, np.inf]):
        values = dict(values)
        for at, act in actions:
            if at == start:
                act(y, values, inflow)
        here = np.flatnonzero((times >= start) & (times < end))
        for k in here:
            fixed[k] = values
        if end == np.inf:
            found[:, here] = y[:, None]
            break
        found[:, here], y = _stretch(model, values, inflow, y, (start, end), times[here], method)
    return _courses(model, states, found, fixed, times)


def largest_difference(
    model: type[Model], courses: Mapping[str, Reals], independent: Mapping[str, Reals], floor: float = 1e-12
) -> tuple[float, str]:
    """Return the largest difference of an output as a share of its largest value, and that output's name."""
    shares = {}
    for name in model.outputs:
        expected = np.asarray(independent[name])
        largest = max(float(np.abs(expected).max()), floor)
        shares[name] = float(np.abs(np.asarray(courses[name]) - expected).max()) / largest
    worst = max(shares, key=lambda name: shares[name])
    return shares[worst], worst


def _stretch(
    model: type[Model],
    values: Mapping[Expression, Any],
    inflow: Reals,
    y: Reals,
    span: tuple[float, float],
    asked: Reals,
    method: str,
) -> tuple[Reals, Reals]:
    """Integrate between two stops; just before the second, since a formula there holds what comes after it."""
    from scipy.integrate import solve_ivp

    start, end = span
    last = np.nextafter(end, start)
    states = list(model.states.values())
    rates = _program([model.rates[s] for s in states])
    constant = inflow.copy()

    def slope(t: float, now: Reals) -> Reals:
        here = {**values, **dict(zip(states, now.tolist(), strict=True)), time: min(t, last)}
        return np.array(rates(here)) + constant

    scale = np.array([s.floor for s in states]) * 1e-8
    grid = np.unique(np.append(np.minimum(asked, last), last))
    with np.errstate(all="ignore"):
        run = solve_ivp(slope, (start, last), y, t_eval=grid, rtol=RTOL, atol=scale, method=method)
    if not run.success:
        raise SolveError(f"{model.name}: the independent solver stopped at day {run.t[-1]:g}: {run.message}")
    return run.y[:, np.searchsorted(grid, np.minimum(asked, last))], run.y[:, -1].copy()


def _program(formulas: Sequence[Expression]) -> Callable[[Mapping[Expression, Any]], list[float]]:
    """Return the function that evaluates all formulas, each shared node once, in the order of their operands."""
    place: dict[int, int] = {}
    steps: list[tuple[Callable[..., Any] | None, Any]] = []
    for formula in formulas:
        for node in walk(formula):
            if id(node) in place:
                continue
            place[id(node)] = len(steps)
            if isinstance(node, (Number, Symbol)):
                steps.append((None, node))
            else:
                steps.append((OPERATIONS[node.operation], tuple(place[id(o)] for o in node.operands)))
    wanted = [place[id(formula)] for formula in formulas]

    def run(values: Mapping[Expression, Any]) -> list[float]:
        found: list[Any] = []
        for operation, about in steps:
            if operation is not None:
                found.append(operation(*(found[k] for k in about)))
            else:
                found.append(about.value if isinstance(about, Number) else values[about])
        return [float(found[k]) for k in wanted]

    return run


def _courses(
    model: type[Model], states: Sequence[Any], found: Reals, fixed: Sequence[Mapping[Expression, Any]], times: Reals
) -> dict[str, Reals]:
    courses = {s.name: found[k] / s.factor for k, s in enumerate(states)}
    for name, output in model.outputs.items():
        courses[name] = np.array(
            [
                float(evaluate(output.expression, {**fixed[k], **dict(zip(states, found[:, k], strict=True)), time: t}))
                / output.factor
                for k, t in enumerate(times)
            ]
        )
    return courses


def _switches(model: type[Model], values: Mapping[Expression, Any]) -> list[float]:
    """Days at which a comparison of time in a formula changes its answer."""
    formulas = [*model.rates.values(), *(o.expression for o in model.outputs.values())]
    found = []
    for formula in formulas:
        for node in walk(formula):
            if node.operation in ("lt", "le") and any(o is time for o in node.operands):
                other = node.operands[1] if node.operands[0] is time else node.operands[0]
                found.append(float(evaluate(other, values)))
    return found


def _actions(model: type[Model], values: Mapping[Expression, Any]) -> list[tuple[float, Callable[..., None]]]:
    """The events of the model as days and changes of (states, parameters, inflow), in the order of declaration."""
    found = []
    for event in model.events:
        at = float(evaluate(event.at, values))
        if event.duration is not None and float(evaluate(event.duration, values)) > 0:
            length = float(evaluate(event.duration, values))
            rate = _amount(event, values) / length
            found += [(at, _add_inflow(model, event, rate)), (at + length, _add_inflow(model, event, -rate))]
        else:
            found.append((at, _act(model, event)))
    return found


def _amount(event: Event, values: Mapping[Expression, Any]) -> float:
    amount = event.amount
    return amount.value if isinstance(amount, Number) else float(evaluate(amount, values))


def _add_inflow(model: type[Model], event: Event, rate: float) -> Callable[..., None]:
    place = list(model.states).index(event.target.name)

    def act(_y: Reals, _values: dict[Expression, Any], inflow: Reals) -> None:
        inflow[place] += rate

    return act


def _act(model: type[Model], event: Event) -> Callable[..., None]:
    def act(y: Reals, values: dict[Expression, Any], _inflow: Reals) -> None:
        states = list(model.states.values())
        now = {**values, **dict(zip(states, y, strict=True)), time: 0.0}
        amount = _amount(event, now)
        target: Symbol = event.target
        if target in values:
            values[target] = amount
        elif event.kind == "set":
            y[states.index(target)] = amount  # type: ignore[arg-type]
        else:
            y[states.index(target)] += amount  # type: ignore[arg-type]

    return act

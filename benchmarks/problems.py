"""The bench's two problems as numbers: parameters of many patients, output times, doses, and how errors are counted."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy
from numpy.typing import NDArray

from benchmarks import models
from livingdrug.model import expressions

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """A model with everything that a solver needs to run it on many patients.

    Attributes:
        name: "small" or "full".
        model: the declared model.
        times: the 60 output times, days.
        chosen: the eight parameters by which gradients are taken.
    """

    name: str
    model: type
    times: Array
    chosen: tuple[str, ...]

    @property
    def end(self) -> float:
        """Last day."""
        return float(self.times[-1])

    @cached_property
    def states(self) -> list[str]:
        """Names of the states, in the order of every array."""
        return list(self.model.states)

    @cached_property
    def fingerprint(self) -> str:
        """Names the problem's formulas and times, for what is kept in the cache."""
        days = [self.formula(day) for day in self.dose_days]
        all_of_it = (self.rates, self.start_formulas, days, self.dose_formulas, self.chosen, self.times.tolist())
        return hashlib.sha256(repr(all_of_it).encode()).hexdigest()[:12]

    @cached_property
    def parameters(self) -> list[str]:
        """Names of the parameters, in the order of every array."""
        return list(self.model.parameters)

    @cached_property
    def floor(self) -> Array:
        """Per state, the value below which an error counts as absolute."""
        return np.array([state.floor for state in self.model.states.values()])

    def sample(self, count: int, seed: int = 1) -> Array:
        """Parameters (patient, parameter), log-normal about the declared values."""
        declared = self.model.parameters.values()
        middle = np.array([parameter.value for parameter in declared])
        width = np.array([0.0 if parameter.spread is None else parameter.spread.sd for parameter in declared])
        return middle * np.exp(width * np.random.default_rng(seed).standard_normal((count, len(middle))))

    def named(self, parameters: Array) -> dict[str, Array]:
        """Parameters by name, each (patient,)."""
        return dict(zip(self.parameters, parameters.T, strict=True))

    def evaluate(self, formula: expressions.Expression, parameters: Array) -> Array:
        """A formula of parameters for each patient."""
        symbols = dict(zip(self.model.parameters.values(), parameters.T, strict=True))
        return np.broadcast_to(expressions.evaluate(formula, symbols), len(parameters))

    def initial(self, parameters: Array) -> Array:
        """States at time zero before any dose (patient, state)."""
        return np.stack([self.evaluate(state.initial, parameters) for state in self.model.states.values()], 1)

    @cached_property
    def dose_days(self) -> list[expressions.Expression]:
        """When something is given, as formulas, in order of time; doses at one time are one event."""
        days = {str(event.at): event.at for event in self.model.events}
        return list(days.values())

    def doses(self, parameters: Array) -> tuple[Array, Array]:
        """Times (patient, event), ascending, and what is added to each state (patient, event, state)."""
        count, days = len(parameters), self.dose_days
        times = np.stack([self.evaluate(day, parameters) for day in days], 1) if days else np.zeros((count, 0))
        added = np.zeros((count, len(days), len(self.states)))
        order = {str(day): at for at, day in enumerate(days)}
        states = list(self.model.states.values())
        for event in self.model.events:
            column = added[:, order[str(event.at)], states.index(event.target)]
            column += self.evaluate(event.amount, parameters)
        return times, added

    # -- for the peers: states divided by their floors, so that one absolute tolerance suits all of them ------------

    def scaled(self, parameters: Array) -> tuple[Array, Array, Array]:
        """Initial states, event times and what is added, the states divided by their floors.

        Doses at time zero are part of the initial states.
        """
        start = self.initial(parameters)
        times, added = self.doses(parameters)
        while times.shape[1] and not times[:, 0].any():
            start, times, added = start + added[:, 0], times[:, 1:], added[:, 1:]
        return start / self.floor, np.ascontiguousarray(times), np.ascontiguousarray(added / self.floor)

    @cached_property
    def symbols(self) -> dict[expressions.Expression, sympy.Symbol]:
        """Short SymPy symbols: t, y0, y1, ... for the scaled states and p0, p1, ... for the parameters."""
        states = {state: sympy.Symbol(f"y{i}", real=True) for i, state in enumerate(self.model.states.values())}
        parameters = {p: sympy.Symbol(f"p{i}", real=True) for i, p in enumerate(self.model.parameters.values())}
        return {expressions.time: sympy.Symbol("t", real=True), **states, **parameters}

    def formula(self, expression: expressions.Expression) -> sympy.Expr:
        """A formula of the model in the short symbols, its states scaled."""
        scaled = {state: state.floor * self.symbols[state] for state in self.model.states.values()}
        return expressions.to_sympy(expression, {**self.symbols, **scaled})

    @cached_property
    def rates(self) -> list[sympy.Expr]:
        """The right-hand sides of the scaled states."""
        return [self.formula(self.model.rates[state]) / state.floor for state in self.model.states.values()]

    @cached_property
    def start_formulas(self) -> list[sympy.Expr]:
        """The scaled initial states, doses at time zero included."""
        return [
            (self.formula(state.initial) + sum(self.formula(e.amount) for e in self.at_zero if e.target is state))
            / state.floor
            for state in self.model.states.values()
        ]

    @cached_property
    def at_zero(self) -> list:
        """The doses that are given at time zero."""
        return [event for event in self.model.events if self.formula(event.at) == 0]

    @cached_property
    def dose_formulas(self) -> list[list[sympy.Expr]]:
        """What each later dose adds to each scaled state."""
        later = [day for day in self.dose_days if self.formula(day) != 0]
        given = {str(day): [e for e in self.model.events if str(e.at) == str(day)] for day in later}
        return [
            [
                sum((self.formula(e.amount) for e in given[str(day)] if e.target is state), sympy.Integer(0))
                / state.floor
                for state in self.model.states.values()
            ]
            for day in later
        ]

    def code(
        self, translate: Callable[[sympy.Expr], str] = sympy.pycode, rates: list[sympy.Expr] | None = None
    ) -> tuple[list[tuple[str, str]], list[str]]:
        """The right-hand side as text: shared parts (name, code) in order, then one code per state.

        Args:
            translate: turns a SymPy expression into the peer's language.
            rates: other right-hand sides than the problem's own.
        """
        shared, rates = sympy.cse(self.rates if rates is None else rates, symbols=sympy.numbered_symbols("s"))
        return [(str(name), translate(part)) for name, part in shared], [translate(rate) for rate in rates]


FOUR_WEEKS_THEN_A_YEAR = np.concatenate([np.linspace(1, 28, 28), np.linspace(32, 365, 32)])

COMMON = ("dose", "burden", "fast_expansion", "half_antigen", "effector_loss", "killing")

PROBLEMS = {
    "small": Problem("small", models.Small, FOUR_WEEKS_THEN_A_YEAR, (*COMMON, "engraftment", "tumour_growth")),
    "full": Problem("full", models.Full, FOUR_WEEKS_THEN_A_YEAR + 5, (*COMMON, "il6_by_killing", "positive_growth")),
}


def errors(problem: Problem, parameters: Array, values: Array, reference: Array) -> Array:
    """Worst relative error of each patient over states and times; a value that is not finite counts as infinite.

    A time at which a dose is given is left out: some peers report the value before it, others the one after.
    """
    with np.errstate(all="ignore"):
        off = np.abs(values - reference) / (np.abs(reference) + problem.floor)
    return _worst(problem, parameters, off)


def gradient_errors(problem: Problem, parameters: Array, values: Array, gradients: Array, reference: Array) -> Array:
    """Worst error of each patient's d log(state) / d log(parameter), relative to its size where that is above 1.

    Args:
        problem: which one.
        parameters: (patient, parameter).
        values: reference of the states (patient, time, state).
        gradients: what was found (patient, time, state, chosen parameter).
        reference: the truth, same shape.
    """
    at = [problem.parameters.index(name) for name in problem.chosen]
    scale = parameters[:, None, None, at] / (np.abs(values) + problem.floor)[..., None]
    with np.errstate(all="ignore"):
        off = np.abs(gradients - reference) * scale / (1 + np.abs(reference) * scale)
    return _worst(problem, parameters, off)


def _worst(problem: Problem, parameters: Array, off: Array) -> Array:
    off = np.where(np.isfinite(off), off, np.inf).reshape(*off.shape[:2], -1).max(axis=2)
    at_a_dose = (problem.times[:, None] == problem.doses(parameters)[0][:, None, :]).any(axis=2)
    return np.where(at_a_dose, 0.0, off).max(axis=1)

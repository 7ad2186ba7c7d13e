"""The words of a model declaration: state, parameter, ddt, doses, jumps, spreads and outputs.

Each makes a plain value. Nothing is checked here; :class:`livingdrug.model.declaration.Model` checks the whole at
once, when it knows all the names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from livingdrug.model.expressions import Expression, Symbol

__all__ = [
    "Derivative",
    "Event",
    "Jump",
    "Output",
    "Parameter",
    "Spread",
    "State",
    "birth_death",
    "bolus",
    "ddt",
    "infusion",
    "logitnormal",
    "lognormal",
    "normal",
    "output",
    "parameter",
    "reset",
    "state",
]


@dataclass(frozen=True)
class Spread:
    """How a parameter differs between patients: ``kind`` is lognormal, normal, relative_normal or logitnormal."""

    kind: str
    sd: float

    def apply(self, typical: Any, z: Any, limits: tuple[float, float] = (0.0, 1.0)) -> Any:
        """Return the patients' values for standard normal numbers ``z`` around the ``typical`` value.

        Args:
            typical: typical value, in any unit.
            z: standard normal numbers, one per patient.
            limits: the two ends between which a logit-normal value lies; other kinds ignore them.

        Example:
            >>> float(lognormal(0.5).apply(10.0, 0.0))
            10.0
        """
        z = np.asarray(z, dtype=float)
        if self.kind == "lognormal":
            return typical * np.exp(self.sd * z)
        if self.kind == "normal":
            return typical + self.sd * z
        if self.kind == "relative_normal":
            return typical * (1.0 + self.sd * z)
        low, high = limits
        share = (typical - low) / (high - low)
        return low + (high - low) / (1.0 + np.exp(-(np.log(share / (1.0 - share)) + self.sd * z)))


def lognormal(sd: float) -> Spread:
    """Log-normal spread; ``sd`` is the standard deviation of the natural logarithm."""
    return Spread("lognormal", sd)


def normal(sd: float, *, relative: bool = False) -> Spread:
    """Normal spread; ``sd`` is in the parameter's unit, or a fraction of the typical value if ``relative``."""
    return Spread("relative_normal" if relative else "normal", sd)


def logitnormal(sd: float) -> Spread:
    """Logit-normal spread between the parameter's limits; ``sd`` is the standard deviation of the logit."""
    return Spread("logitnormal", sd)


class State(Symbol):
    """A quantity that changes in time. After declaration ``initial`` and ``floor`` are in canonical units."""

    __slots__ = ("factor", "floor", "initial", "meaning", "symbol", "unit")

    def __init__(self, unit: str, meaning: str, initial: Any, symbol: str | None, floor: float | None) -> None:
        super().__init__("", "state")
        self.unit = unit
        self.meaning = meaning
        self.initial: Any = initial
        self.symbol = symbol
        self.floor: Any = floor
        self.factor = float("nan")


class Parameter(Symbol):
    """A number that a model takes: ``value`` is in ``unit``, ``canonical_value`` in canonical units."""

    __slots__ = ("factor", "limits", "meaning", "model_source", "source", "spread", "symbol", "unit", "value")

    def __init__(
        self,
        value: float,
        unit: str,
        meaning: str,
        symbol: str | None,
        source: str,
        spread: Spread | None,
        limits: tuple[float, float],
    ) -> None:
        super().__init__("", "parameter")
        self.value = value
        self.unit = unit
        self.meaning = meaning
        self.symbol = symbol
        self.source = source
        self.spread = spread
        self.limits = limits
        self.factor = float("nan")
        self.model_source = ""

    @property
    def canonical_value(self) -> float:
        """The value in canonical units."""
        return self.value * self.factor

    @property
    def source_key(self) -> str:
        """Key of the source in ``sources.bib``, or ``"assumed"`` or ``"recalled"``."""
        return self._split_source()[0]

    @property
    def source_place(self) -> str:
        """Where in the source the number stands, or why it was assumed."""
        return self._split_source()[1]

    def _split_source(self) -> tuple[str, str]:
        from livingdrug.sources import split_source

        return split_source(self.source, self.model_source)


def state(
    unit: str, meaning: str, *, initial: Any = 0.0, symbol: str | None = None, floor: float | None = None
) -> State:
    """Declare a state.

    Args:
        unit: unit of the state, e.g. ``"cell"``.
        meaning: what it is, in plain words.
        initial: value at time 0: a number (in ``unit``) or a formula of parameters.
        symbol: letter in the paper.
        floor: size (in ``unit``) below which errors of the solver do not matter; 1 for a state in ``"cell"``, else
            a millionth of the unit.
    """
    return State(unit, meaning, initial, symbol, floor)


def parameter(
    value: float,
    unit: str,
    meaning: str,
    *,
    symbol: str | None = None,
    source: str = "assumed",
    spread: Spread | None = None,
    limits: tuple[float, float] = (0.0, float("inf")),
) -> Parameter:
    """Declare a parameter.

    Args:
        value: typical value in ``unit``.
        unit: its unit; ``"1"`` for none.
        meaning: what it is, in plain words.
        symbol: letter in the paper.
        source: where the number comes from: a place in the model's own paper (``"table 1"``), another paper
            (``"fraietta2018: figure 2"``), or ``"assumed: why"`` or ``"recalled: whence"``.
        spread: how it differs between patients.
        limits: smallest and largest value that is accepted, in ``unit``.
    """
    return Parameter(value, unit, meaning, symbol, source, spread, limits)


@dataclass(frozen=True, eq=False)
class Derivative:
    """The left-hand side of an equation, made by :func:`ddt`."""

    state: State


def ddt(of: State) -> Derivative:
    """Rate of change of a state, per day; the left-hand side of an equation."""
    return Derivative(of)


@dataclass(frozen=True)
class Event:
    """A dose or reset that belongs to the model; ``kind`` is bolus, infusion or set, times are days."""

    kind: str
    target: State | Parameter
    amount: Any
    at: Any
    duration: Any = None


def bolus(target: State, amount: Any, *, at: Any) -> Event:
    """Add ``amount`` (a number in the state's unit, or a formula) at once on day ``at``."""
    return Event("bolus", target, amount, at)


def infusion(target: State, amount: Any, *, at: Any, duration: Any) -> Event:
    """Add ``amount`` in all, evenly over ``duration`` days from day ``at``."""
    return Event("infusion", target, amount, at, duration)


def reset(target: State | Parameter, value: Any, *, at: Any) -> Event:
    """Set a state or a parameter to ``value`` on day ``at``."""
    return Event("set", target, value, at)


@dataclass(frozen=True)
class Jump:
    """A state that is counted one by one when small: births and deaths per day in all, below ``below``.

    The state returns to its differential equation above ``above``. Both are in the state's declared unit when
    declared and canonical afterwards.
    """

    state: State
    birth: Any
    death: Any
    below: float
    above: float
    noticed: bool = True


def birth_death(
    of: State, *, birth: Any, death: Any, below: float = 100.0, above: float | None = None, noticed: bool = True
) -> Jump:
    """Let a state of cells die out: below a threshold it becomes an exact birth-death process.

    Args:
        of: a state in cells.
        birth: all births per day; zero when the state is zero.
        death: all deaths per day. ``ddt(of)`` must be ``birth - death``.
        below: threshold of the hand-over, in cells.
        above: where the process returns to the equation; twice ``below`` if not given, so that it does not flicker.
        noticed: False where so few cells are nothing to the rest of the model, as 100 tumour cells are to a body: then
            many births and deaths fall into one step of the solve, during which the rest sees the number at its start.
    """
    return Jump(of, birth, death, below, 2.0 * below if above is None else above, noticed)


@dataclass(frozen=True)
class Output:
    """A quantity that a model reports: its value in ``unit`` is ``expression / factor``."""

    expression: Any
    unit: str | None = None
    meaning: str | None = None
    factor: float = float("nan")


def output(expression: Any, unit: str | None = None, meaning: str | None = None) -> Output:
    """Report a formula in a unit of one's own, or under a word that the vocabulary does not have.

    Args:
        expression: a formula of states, parameters and time.
        unit: unit of the reported value; needed for a new word.
        meaning: what it is; needed for a new word.

    Example:
        ``outputs = {"car_t_blood": cells / blood, "spleen_cells": output(spleen, "cell", "CAR T cells in the
        spleen")}``
    """
    return Output(expression, unit, meaning)


def as_tuple(values: Sequence[Any] | Any) -> tuple[Any, ...]:
    """Return a list or tuple as a tuple, a single value as a tuple of one."""
    return tuple(values) if isinstance(values, (list, tuple)) else (values,)


def in_canonical(value: Any, factor: float) -> Expression | Any:
    """Return a plain number times ``factor``; leave a formula as it is (formulas are canonical already)."""
    return value if isinstance(value, Expression) else float(value) * factor

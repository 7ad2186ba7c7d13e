"""Checks of a declaration that need numbers: its start, and its jumps against its equations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.errors import DeclarationError
from livingdrug.model.description import formula_text
from livingdrug.model.expressions import Expression, as_expression, evaluate, time
from livingdrug.model.symbols import Jump, in_canonical

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["check_jumps", "check_start"]

_POINTS = 64
_AGREEMENT = 1e-9


def check_start(model: type[Model], factors: Mapping[str, float]) -> None:
    """Check that the initial values and the rates of change on day 0 are finite.

    Raises:
        DeclarationError: if one is not.
    """
    values: dict[Expression, Any] = {p: p.value * factors[p.unit] for p in model.parameters.values()}
    values[time] = 0.0
    with np.errstate(all="ignore"):
        for s in model.states.values():
            initial = as_expression(in_canonical(s.initial, factors[s.unit]))
            values[s] = _finite(model, f"initial value of {s.name}", initial, values)
        for s, rate in model.rates.items():
            _finite(model, f"ddt({s.name}) on day 0", rate, values)


def _finite(model: type[Model], place: str, formula: Expression, values: Mapping[Expression, Any]) -> float:
    found = float(evaluate(formula, values))
    if not np.isfinite(found):
        raise DeclarationError(
            f"{model.name}: {place} is {found} with the declared parameters: {formula_text(formula)}; "
            "look for a division by zero or the logarithm of zero"
        )
    return found


def check_jumps(model: type[Model], factors: Mapping[str, float]) -> None:
    """Check that each jump counts cells, that its rates fit the equation, and that a population of zero stays zero.

    Raises:
        DeclarationError: if not.
    """
    for jump in model.jumps:
        place = f"{model.name}: jumps of {jump.state.name}"
        if jump.state.unit != "cell":
            raise DeclarationError(
                f"{place}: only a state in 'cell' can be counted one by one, this one is in {jump.state.unit!r}"
            )
        numbers = all(isinstance(x, (int, float)) and np.isfinite(x) for x in (jump.below, jump.above))
        if not numbers or not 1 <= jump.below <= jump.above:
            raise DeclarationError(
                f"{place}: 1 <= below <= above is needed, got below={jump.below!r}, above={jump.above!r}"
            )
        _check_rates(model, jump, place, factors)


def _check_rates(model: type[Model], jump: Jump, place: str, factors: Mapping[str, float]) -> None:
    birth, death = as_expression(jump.birth), as_expression(jump.death)
    values = _points(model, jump, factors)
    with np.errstate(all="ignore"):
        born, died, rate = (
            np.broadcast_to(evaluate(f, values), (_POINTS,)) for f in (birth, death, model.rates[jump.state])
        )
        if np.any(np.abs(born - died - rate) > _AGREEMENT * (np.abs(born) + np.abs(died))):
            raise DeclarationError(
                f"{place}: ddt({jump.state.name}) must be birth - death, but it is "
                f"{formula_text(model.rates[jump.state])} "
                f"with birth = {formula_text(birth)} and death = {formula_text(death)}"
            )
        for what, formula, found in (("births", birth, born), ("deaths", death, died)):
            if np.any(found < 0):
                raise DeclarationError(
                    f"{place}: the {what} per day {formula_text(formula)} become negative; keep them from 0 up"
                )
            if np.any(evaluate(formula, {**values, jump.state: np.zeros(_POINTS)}) != 0):
                raise DeclarationError(
                    f"{place}: the {what} per day {formula_text(formula)} must be 0 when {jump.state.name} is 0, "
                    "since a population "
                    "that died out stays so"
                )


def _points(model: type[Model], jump: Jump, factors: Mapping[str, float]) -> dict[Expression, Any]:
    """Values at which rates are compared: the declared parameters, states over many orders of magnitude."""
    random = np.random.default_rng(20210229)
    values: dict[Expression, Any] = {p: p.value * factors[p.unit] for p in model.parameters.values()}
    values |= {s: 10.0 ** random.uniform(0, 12, _POINTS) for s in model.states.values()}
    values[jump.state] = random.uniform(1, jump.above, _POINTS)
    values[time] = random.uniform(0, 100, _POINTS)
    return values

"""Derivatives of a patient's course by parameters: exact where they exist along the whole course, else quotients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.engine.solution import Solution
from livingdrug.engine.solve import solve
from livingdrug.model.symbols import Parameter

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["Slopes", "slopes"]

Reals = NDArray[np.float64]

STEP, STEP_AT_ZERO = 1e-4, 1e-6
"""Step of a difference quotient as a share of the parameter, and for a parameter that is zero."""
QUOTIENTS = 1e-10
"""Relative tolerance of a step of the solver for difference quotients."""


@dataclass(frozen=True)
class Slopes:
    """The course of one patient and its derivatives.

    Attributes:
        values: shape (time, output).
        slopes: d value / d parameter in declared units, shape (parameter, time, output).
        exact: whether they are the engine's forward sensitivities; else they are central difference quotients.
    """

    values: Reals
    slopes: Reals
    exact: bool


def slopes(
    model: type[Model],
    parameters: Mapping[str, float],
    times: Reals,
    outputs: Sequence[str],
    by: Sequence[str],
    *,
    initial: Mapping[str, float] | None,
    doses: Sequence[Any],
    rtol: float,
    exact: bool = True,
) -> Slopes | Solution:
    """Differentiate one course; a course that cannot be solved at all is returned as its failed solution.

    A power with an exponent below one has no slope where its base is zero (the cells that are infused on day 0 in
    kirouac2023), so the forward sensitivities end there. The quotients step over such a point. They also serve models
    that set a parameter anew on a day.

    Args:
        model: a declared model; populations that may die out follow their equation.
        parameters: all parameters of the patient.
        times: days, shape (time,).
        outputs: names of outputs or states.
        by: parameters to differentiate by.
        initial: states that start elsewhere than the model says.
        doses: doses and changes besides the model's own.
        rtol: relative tolerance of one step.
        exact: whether to try the forward sensitivities first.
    """
    options: dict[str, Any] = {"outputs": outputs, "initial": initial, "doses": doses, "stochastic": False}
    if exact and not _sets_parameters(model):
        found = solve(model, parameters, times, tangents=by, rtol=rtol, threads=1, **options)
        if not found.failed[0]:
            return Slopes(found.values[0], np.stack([found.tangents[name][0] for name in by]), True)
    columns, widths = _neighbours(model, parameters, by)
    found = solve(model, {**parameters, **columns}, times, rtol=min(rtol, QUOTIENTS), threads=1, **options)
    if found.failed.any():
        return found
    ahead, behind = found.values[1::2], found.values[2::2]
    return Slopes(found.values[0], (ahead - behind) / widths[:, None, None], False)


def _sets_parameters(model: type[Model]) -> bool:
    """Whether the model gives a parameter a new value on a day, which the forward sensitivities do not follow."""
    return any(isinstance(event.target, Parameter) for event in model.events)


def _neighbours(
    model: type[Model], parameters: Mapping[str, float], by: Sequence[str]
) -> tuple[dict[str, Reals], Reals]:
    """The patient and, for each parameter, one with more and one with less of it, within its limits."""
    columns = {name: np.full(2 * len(by) + 1, parameters[name]) for name in by}
    for k, name in enumerate(by):
        step = STEP * abs(parameters[name]) or STEP_AT_ZERO
        around = parameters[name] + np.array([step, -step])
        columns[name][2 * k + 1 : 2 * k + 3] = np.clip(around, *model.parameters[name].limits)
    widths = np.array([columns[name][2 * k + 1] - columns[name][2 * k + 2] for k, name in enumerate(by)])
    return columns, widths

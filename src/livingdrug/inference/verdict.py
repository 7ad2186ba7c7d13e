"""The verdict on a fit, in words: whether the estimates are the maximum, and what a reader must know of them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from livingdrug.inference.nodes import AnyNodes
from livingdrug.inference.problem import Problem
from livingdrug.inference.uncertainty import Uncertainty, names_at_border, reported, reported_errors

__all__ = ["FAR_SAMPLED", "borders", "in_doubt", "judged", "noted", "strayed"]

Reals = NDArray[np.float64]

FAR = 0.15
"""Standard errors by which a Newton step may still move an estimate that counts as converged."""
FAR_SAMPLED = 0.3
"""The same for estimates that come from random draws."""
RUN_AWAY, LOOSE, UNKNOWN = math.log(1000.0), 1.0, 3.0
"""A value that has run from its first guess by so much on the scale of logarithms or logits, while its standard error
there is above the second number, is not held by the data; nor is any value whose standard error is above the third."""
SPREADS = ("sd(", "occasion sd(", "corr(")
"""How the names of deviations and correlations of effects begin."""
EMPTY = 1e-6
"""Residual deviation, as a share of the scatter of the values or of a prediction, that counts as none."""
FEW_POINTS = 50
"""Effective points of importance sampling in one subject that are too few."""


def judged(
    problem: Problem, theta: Reals, uncertainty: Uncertainty, against: list[str], *, sampled: bool, nodes: bool
) -> tuple[str, bool]:
    """Return the verdict in words, and whether the estimates are the maximum.

    Args:
        problem: model and data.
        theta: the estimates, shape (entry,).
        uncertainty: information there.
        against: what is known to speak against it.
        sampled: whether the estimates come from random draws.
        nodes: whether they come from points in the space of effects, which stand still where a spread is nothing, so
            that its typical value does so too.
    """
    distance, far = uncertainty.distance, FAR_SAMPLED if sampled else FAR
    known = f" (known to {uncertainty.noise:.1g})" if uncertainty.noise else ""
    edges, doubtful = borders(problem, theta), in_doubt(problem, theta, uncertainty)
    against = [*against, *strayed(problem, theta, uncertainty), *(w for w in edges if nodes and w.startswith(SPREADS))]
    if math.isnan(distance):
        least = f" (least of all {', '.join(uncertainty.weak)})" if uncertainty.weak else ""
        against.append(
            f"the information matrix is not positive definite: the data do not determine every parameter{least}"
        )
    elif distance > far:
        against.append(
            f"a Newton step would move {uncertainty.farthest} by another {distance:.2f} standard errors{known} "
            f"(allowed {far:g})"
        )
    if against:
        return f"Not converged: {'; '.join(dict.fromkeys([*against, *edges, *doubtful]))}.", False
    step = (
        f"a Newton step would move no estimate by more than {distance:.1g} standard errors{known} and lower -2 log "
        f"likelihood by {max(uncertainty.gain, 0.0):.1g}."
    )
    if edges or doubtful:
        return f"Converged{' at a border' if edges else ''}: {'; '.join([*edges, *doubtful])}. Else, {step}", True
    return f"Converged: {step}", True


def borders(problem: Problem, theta: Reals) -> list[str]:
    """Return in words which deviations and correlations lie at their border."""
    values, words = reported(problem, theta), []
    for name in names_at_border(problem, theta):
        reason = "the data show no such difference; leave it out"
        if name.startswith("corr"):
            reason = "the data do not tell these effects apart; take a diagonal omega"
        elif not name.startswith(SPREADS):
            reason = "no value's scatter depends on it; take a residual without it"
        border = f"{math.copysign(1.0, values[name]):g}" if name.startswith("corr") else "0"
        words.append(f"{name} = {values[name]:.2g} lies at its border {border}: {reason}")
    return words


def in_doubt(problem: Problem, theta: Reals, uncertainty: Uncertainty) -> list[str]:
    """Return in words which deviations cannot be told from their border 0."""
    if uncertainty.inverse is None:
        return []
    values, errors = reported(problem, theta), reported_errors(problem, theta, uncertainty.inverse)
    deviations = [name for name in values if name.startswith(SPREADS[:2])]
    for place, end in zip(problem.sigma, problem.model.ends, strict=True):
        deviations += [n for n, short in zip(problem.names[place], end.residual.names, strict=True) if short != "c"]
    return [
        f"{name} = {values[name]:.2g} cannot be told from its border 0: its standard error is larger than itself"
        for name in deviations
        if errors[name] > values[name]
    ]


def strayed(problem: Problem, theta: Reals, uncertainty: Uncertainty) -> list[str]:
    """Return in words which estimates are no numbers, or stand where the data do not hold them."""
    values = reported(problem, theta)
    words = [f"{name} is not a number" for name, value in values.items() if not math.isfinite(value)]
    if words:
        return words
    errors = _working_errors(problem, uncertainty)
    for b in problem.free[problem.free < problem.betas].tolist():
        name = problem.names[b]
        one = problem.model.estimates.get(name)
        away, error = abs(theta[b] - problem.theta[b]), errors.get(b, UNKNOWN)
        if one is None or one.kind == "normal" or not (error > UNKNOWN or (away > RUN_AWAY and error > LOOSE)):
            continue
        limit = "" if one.kind == "lognormal" else f" (its limits are {one.limits[0]:g} and {one.limits[1]:g})"
        words.append(
            f"the data do not hold {name}: it went from its first guess {one.value:g} to {values[name]:.3g}{limit}; "
            "give it a number, or a first guess nearer the truth"
        )
    return words + _empty_residuals(problem, values)


def _working_errors(problem: Problem, uncertainty: Uncertainty) -> dict[int, float]:
    """Standard errors of the free entries on the working scale, by entry; at least so large where there are none."""
    if uncertainty.inverse is not None:
        errors = np.sqrt(np.diag(uncertainty.inverse))
    else:  # with all other entries known
        with np.errstate(divide="ignore"):
            errors = 1.0 / np.sqrt(np.abs(np.diag(uncertainty.information)))
    return {b: error for b, error in zip(problem.free.tolist(), errors.tolist(), strict=True) if not math.isnan(error)}


def _empty_residuals(problem: Problem, values: Mapping[str, float]) -> list[str]:
    """Residual deviations that have shrunk to nothing: the likelihood of a model through every point has no maximum."""
    words = []
    for k, end in enumerate(problem.model.ends):
        points = problem.rows.value[problem.endpoint_rows[k]]
        points = points[np.isfinite(points)]
        scatter = float(np.std(points)) if len(points) > 1 else 1.0
        names = problem.names[problem.sigma[k]]
        small = [
            values[name] < EMPTY * (scatter if short == "a" and scatter > 0 else 1.0)
            for name, short in zip(names, end.residual.names, strict=True)
            if short != "c"
        ]
        if all(small) and not end.residual.fixed:
            words.append(
                f"the residual {' and '.join(names)} has shrunk to nothing: the model runs through every value of "
                f"{end.output!r}; take fewer random effects, or hold the residual"
            )
    return words


def noted(problem: Problem, theta: Reals, nodes: AnyNodes | None, found: NDArray[np.bool_]) -> tuple[str, ...]:
    """Return what else the reader of a result should know."""
    notes: list[str] = []
    if not found.all():
        notes.append(
            f"subjects whose modes lie at a kink of the predictions or were not found: {int((~found).sum())}; "
            "individual values there are rough"
        )
    if nodes is not None and nodes.random:
        least = float(nodes.effective(theta).min())
        if least < FEW_POINTS:
            notes.append(
                f"importance sampling rests on {least:.0f} effective points in one subject; ask for more points"
            )
    notes += [*problem.notes, *problem.rows.data.notes]
    return tuple(notes)

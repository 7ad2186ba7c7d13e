"""Approximations of the marginal likelihood about the individual modes: FO, FOCE, FOCEI, Laplace.

| method | modes | residual deviation | curvature |
|---|---|---|---|
| FO | effects zero, model linear in them | where effects are zero | of the linear model |
| FOCE | found with that deviation | where effects are zero | of the model linearised at the mode |
| FOCEI | found with interaction | at the mode | of the model linearised at the mode, with interaction |
| Laplace | found with interaction | at the mode | exact second derivative |

An interval (a sample below the limit) enters FOCE and FOCEI with the exact curvature of its chance by the prediction;
only the second derivatives of predictions are left out. NONMEM asks for Laplace instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.modes import Modes, find_modes
from livingdrug.inference.problem import Problem
from livingdrug.inference.vector import LOG_2PI

__all__ = ["APPROXIMATIONS", "Approximation", "approximate"]

Reals = NDArray[np.float64]

APPROXIMATIONS = ("fo", "foce", "focei", "laplace")


@dataclass(frozen=True)
class Approximation:
    """Marginal likelihood at some thetas.

    Attributes:
        minus2ll: minus twice the logarithm for each subject, with all constants, shape (theta, subject).
        modes: where it was approximated.
    """

    minus2ll: Reals
    modes: Modes


def approximate(problem: Problem, theta: Reals, method: str, start: Reals | None = None) -> Approximation:
    """Approximate the marginal likelihood of each subject at each theta, shape (theta, entry).

    Raises:
        InputError: an unknown method, or FO of data that are not points with normal scatter.
    """
    if method not in APPROXIMATIONS:
        raise InputError(unknown_name("approximation", method, APPROXIMATIONS))
    if problem.classes > 1:
        return _of_classes(problem, theta, method, start)
    if method == "fo":
        return _first_order(problem, theta)
    at_zero = zero_predictions(problem, theta) if method == "foce" else None
    modes = find_modes(problem, theta, start, exact=method == "laplace", at_zero=at_zero)
    return Approximation(value_at(problem, theta, modes.eta, method, at_zero, modes), modes)


def _of_classes(problem: Problem, theta: Reals, method: str, start: Reals | None) -> Approximation:
    """Each class by itself, then the likelihoods joined by the classes' shares; the modes are those of the first."""
    parts = [
        approximate(problem.with_classes(k), theta, method, None if start is None else start[k : k + 1])
        for k in range(problem.classes)
    ]
    shares = np.array([problem.log_shares(row)[0] for row in theta]).T[..., None]
    total = np.logaddexp.reduce(np.array([-0.5 * part.minus2ll for part in parts]) + shares, axis=0)
    return Approximation(-2 * total, parts[0].modes)


def value_at(
    problem: Problem,
    theta: Reals,
    eta: Reals,
    method: str,
    at_zero: Reals | None = None,
    modes: Modes | None = None,
) -> Reals:
    """The approximation about given effects, which are taken for the modes; shape (theta, subject)."""
    if modes is None:
        precision = problem.precision(theta)[:, None]
        found, _ = problem.inner(theta, eta, exact=method == "laplace", at_zero=at_zero)
        curvature = (found.information if found.hessian is None else -found.hessian) + precision
        loglik = found.loglik
    else:
        loglik = modes.loglik
        curvature = modes.curvature if modes.exact is None else modes.exact
    sign, size = np.linalg.slogdet(curvature)
    joint = loglik + problem.log_prior(theta, eta)
    value = -2 * joint - problem.d * LOG_2PI + size
    return np.where((sign > 0) & np.isfinite(value), value, math.inf)


def zero_predictions(problem: Problem, theta: Reals) -> Reals:
    """Predictions where all effects are zero, shape (theta, row)."""
    return problem.predict(theta, np.zeros((len(theta), problem.subjects, problem.d))).f


def _first_order(problem: Problem, theta: Reals) -> Approximation:
    normal = all(math.isinf(e.residual.degrees) for e in problem.model.ends)
    if not normal or not problem.rows.points.all() or np.isfinite(problem.rows.above).any():
        raise InputError("FO needs points with normal scatter; use focei, laplace or saem for values below a limit")
    eta = np.zeros((len(theta), problem.subjects, problem.d))
    f0 = zero_predictions(problem, theta)
    found, _ = problem.inner(theta, eta, at_zero=f0)
    curvature = found.information + problem.precision(theta)[:, None]
    step: Reals = np.asarray(np.linalg.solve(curvature, found.gradient[..., None])[..., 0], np.float64)
    gain = np.einsum("tsi,tsi->ts", found.gradient, step)
    size = np.linalg.slogdet(curvature)[1]
    value = -2 * (found.loglik + problem.log_prior(theta, eta)) - problem.d * LOG_2PI + size - gain
    return Approximation(value, Modes(step, found.loglik, curvature, None, np.ones(value.shape, bool)))

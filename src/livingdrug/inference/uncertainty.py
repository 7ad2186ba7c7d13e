"""How well estimates are known: information, standard errors, shrinkage, and estimates in the units of the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.nodes import AnyNodes
from livingdrug.inference.problem import Problem, from_working
from livingdrug.inference.search import approximate_slopes

__all__ = ["KINDS", "Uncertainty", "of_approximation", "of_nodes", "reported", "shrinkage"]

Reals = NDArray[np.float64]

KINDS = ("information", "scores", "sandwich")
STEP, STEP_OF_NODES = 1e-3, 1e-5
"""Steps of the differences of slopes, on the working scale; the slopes of a likelihood over nodes are exact."""


@dataclass(frozen=True)
class Uncertainty:
    """What is known about an estimate; matrices are over the free entries of theta, on the working scale.

    Attributes:
        information: minus the second derivative of the log likelihood (NONMEM's R, halved for -2 log likelihood).
        products: sum of the products of the subjects' scores (NONMEM's S).
        kind: which of them the covariance is made of.
        covariance: of the estimate; None where the information is not positive definite.
        gain: what -2 log likelihood could still gain by a Newton step.
        distance: largest move of that step, in standard errors.
    """

    information: Reals
    products: Reals
    kind: str
    covariance: Reals | None
    gain: float
    distance: float


def of_nodes(problem: Problem, nodes: AnyNodes, theta: Reals, kind: str = "information") -> Uncertainty:
    """Uncertainty of a likelihood over nodes: its exact slopes, differentiated once more by differences."""
    _, score = nodes.value_and_score(theta)
    total, rows = score.sum(axis=0), []
    for entry in problem.free:
        near = theta.copy()
        near[entry] += STEP_OF_NODES
        rows.append((total - nodes.value_and_score(near)[1].sum(axis=0)) / STEP_OF_NODES)
    information = np.array(rows)
    return _made(score, 0.5 * (information + information.T), kind)


def of_approximation(
    problem: Problem, theta: Reals, method: str, start: Reals | None, kind: str = "information"
) -> Uncertainty:
    """Uncertainty of FO, FOCE, FOCEI or Laplace, from differences of its slopes."""
    _, slopes, _ = approximate_slopes(problem, theta, method, start)
    second = _differences(
        problem, theta, lambda at: -0.5 * approximate_slopes(problem, at, method, start)[1].sum(axis=0)
    )
    return _made(-0.5 * slopes, second, kind)


def _differences(problem: Problem, theta: Reals, score: Callable[[Reals], Reals]) -> Reals:
    """Minus the derivative of a score."""
    rows = []
    for entry in problem.free:
        up, down = theta.copy(), theta.copy()
        up[entry] += STEP
        down[entry] -= STEP
        rows.append((score(down) - score(up)) / (2 * STEP))
    information = np.array(rows)
    return 0.5 * (information + information.T)


def _made(score: Reals, information: Reals, kind: str) -> Uncertainty:
    if kind not in KINDS:
        raise InputError(unknown_name("kind of standard errors", kind, KINDS))
    products, total = score.T @ score, score.sum(axis=0)
    definite = bool(np.isfinite(information).all()) and np.linalg.eigvalsh(information)[0] > 0
    if not definite:
        return Uncertainty(information, products, kind, None, math.nan, math.nan)
    inverse = np.linalg.inv(information)
    step = inverse @ total
    distance = float(np.abs(step / np.sqrt(np.diag(inverse))).max())
    covariance: Reals | None = np.asarray(inverse, np.float64)
    if kind == "sandwich":
        covariance = np.asarray(inverse @ products @ inverse, np.float64)
    if kind == "scores":
        known = np.linalg.matrix_rank(products) == len(products)
        covariance = np.asarray(np.linalg.inv(products), np.float64) if known else None
    return Uncertainty(information, products, kind, covariance, float(total @ step), distance)


# -- in the units of the model ----------------------------------------------------------------------------------------
def reported(problem: Problem, theta: Reals) -> dict[str, float]:
    """Typical values, coefficients, standard deviations, correlations and residual parameters by name."""
    found: dict[str, float] = {}
    estimates = problem.model.estimates
    for b in range(problem.betas):
        name = problem.names[b]
        found[name] = from_working(estimates[name], float(theta[b]))[0] if name in estimates else float(theta[b])
    for block in problem.blocks:
        at = list(block.places[0])
        covariance = problem.covariance(theta)[np.ix_(at, at)]
        sd = np.sqrt(np.diag(covariance))
        word = "sd" if block.level == "subject" else "occasion sd"
        for j, name in enumerate(block.names):
            found[f"{word}({name})"] = float(sd[j])
            for k in range(j):
                found[f"corr({name},{block.names[k]})"] = float(covariance[j, k] / sd[j] / sd[k])
    for place, endpoint in zip(problem.sigma, problem.model.ends, strict=True):
        values = endpoint.residual.from_working(theta[place])
        found |= dict(zip(problem.names[place], values.tolist(), strict=True))
    if problem.model.mixture is not None:
        shares = np.exp(problem.log_shares(theta)[0][1:])
        found |= dict(zip(problem.names[problem.odds], shares.tolist(), strict=True))
    return found | problem.other_values(theta)


def reported_errors(problem: Problem, theta: Reals, covariance: Reals) -> dict[str, float]:
    """Standard errors of what is reported (delta method); 0 for what was held."""
    names = list(reported(problem, theta))
    slopes = np.zeros((len(names), len(problem.free)))
    for j, entry in enumerate(problem.free):
        up, down = theta.copy(), theta.copy()
        up[entry] += 1e-5
        down[entry] -= 1e-5
        high, low = reported(problem, up), reported(problem, down)
        slopes[:, j] = [(high[n] - low[n]) / 2e-5 for n in names]
    variances = np.einsum("ij,jk,ik->i", slopes, covariance, slopes)
    return dict(zip(names, np.sqrt(np.maximum(variances, 0.0)).tolist(), strict=True))


def condition_number(covariance: Reals) -> float:
    """Largest over smallest eigenvalue of the correlations of the estimates, as NONMEM prints it."""
    sd = np.sqrt(np.diag(covariance))
    values = np.linalg.eigvalsh(covariance / sd[:, None] / sd)
    return float(values[-1] / values[0]) if values[0] > 0 else math.inf


def shrinkage(problem: Problem, theta: Reals, eta: Reals) -> dict[str, float]:
    """Shrinkage of effects, 1 - sd(individual modes) / sd(population), for each parameter that differs."""
    found: dict[str, float] = {}
    for block in problem.blocks:
        for j, name in enumerate(block.names):
            places = [p[j] for p in block.places]
            sd = math.sqrt(problem.covariance(theta)[places[0], places[0]])
            word = name if block.level == "subject" else f"{name} by occasion"
            found[word] = 1.0 - float(np.sqrt(np.mean(eta[:, places] ** 2 - np.mean(eta[:, places]) ** 2))) / sd
    return found


def as_table(result: Any) -> Any:
    """A pandas table of estimates: value, standard error, relative standard error in percent."""
    import pandas as pd

    errors = result.standard_errors_ or {}
    rows = [
        {
            "parameter": name,
            "estimate": value,
            "se": errors.get(name, math.nan),
            "rse_percent": 100 * errors[name] / abs(value) if name in errors and value else math.nan,
        }
        for name, value in result.estimates_.items()
    ]
    return pd.DataFrame(rows).set_index("parameter")

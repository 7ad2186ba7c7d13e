"""Predictions, residuals, draws and simulations of a fitted model: what diagnostics are made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError
from livingdrug.inference.nodes import Nodes, importance_nodes
from livingdrug.inference.problem import NOTHING, Problem

if TYPE_CHECKING:
    from livingdrug.inference.result import FitResult

__all__ = ["deviations", "eta_samples", "individual_parameters", "predictions", "simulate"]

Reals = NDArray[np.float64]

MOST_PREDICTED = 4_000_000
"""Rows that are predicted in one go; a prediction takes some ten times their memory."""


def deviations(problem: Problem, theta: Reals, f: Reals) -> Reals:
    """Residual standard deviations at predictions, shape (chain, row)."""
    g = np.empty_like(f)
    for k, at in enumerate(problem.endpoint_rows):
        residual = problem.model.ends[k].residual
        g[:, at] = residual.spread(f[:, at], theta[None, problem.sigma[k]])[0]
    return g


def individual_parameters(result: FitResult) -> Any:
    """Each unit's parameters at the modes."""
    import pandas as pd

    problem = result.problem
    values = problem.individual(result.theta_[None], result.eta_[None])[0]
    table = pd.DataFrame(values, columns=problem.by)
    table.insert(0, "ID", [problem.rows.data.ids[s] for s in problem.rows.unit_subject])
    if problem.occasions:
        table.insert(1, "OCC", problem.rows.unit_occasion)
    return table


def predictions(result: FitResult) -> Any:
    """DV, PRED (effects zero), IPRED (modes), IRES, IWRES by row; residuals of intervals are missing."""
    import pandas as pd

    problem, rows = result.problem, result.problem.rows
    theta, none = result.theta_[None], np.zeros((1, problem.subjects, problem.d))
    pred = problem.predict(theta, none).f[0]
    ipred = problem.predict(theta, result.eta_[None]).f
    g = deviations(problem, result.theta_, ipred)[0]
    residual = rows.value - ipred[0]
    return pd.DataFrame(
        {
            "ID": [rows.data.ids[s] for s in rows.subject],
            "TIME": rows.time,
            "ENDPOINT": [problem.model.ends[k].output for k in rows.endpoint],
            "ROW": rows.data.observations.row[rows.source],
            "DV": np.where(rows.points, rows.value, np.where(np.isfinite(rows.high), rows.high, rows.low)),
            "CENS": np.where(rows.points, 0, np.where(np.isfinite(rows.high), 1, -1)),
            "PRED": pred,
            "IPRED": ipred[0],
            "IRES": residual,
            "IWRES": residual / g,
        }
    )


def eta_samples(result: FitResult, count: int, seed: int) -> Reals:
    """Effects given the data: importance samples drawn again by weight, each subject by itself."""
    if count < 1:
        raise InputError(f"eta_samples: count must be at least 1, got {count}")
    nodes = importance_nodes(result.problem, result.theta_, max(10 * count, 500), seed, result.eta_[None])
    assert isinstance(nodes, Nodes)  # the classes of a fitted mixture are known
    weight = nodes.weights(result.theta_)
    random = np.random.Generator(np.random.Philox([seed, 1]))
    marks = (random.random((1, weight.shape[1])) + np.arange(count)[:, None]) / count  # systematic
    total = np.cumsum(weight, axis=0)
    eta = nodes.eta(result.theta_[None], slice(None))
    chosen = np.stack([np.searchsorted(total[:, s], marks[:, s]) for s in range(weight.shape[1])], axis=1)
    chosen = np.minimum(chosen, len(eta) - 1)
    return eta[chosen, np.arange(weight.shape[1])]


def simulate(result: FitResult, replicates: int, seed: int) -> Reals:
    """Simulate new subjects with the designs, covariates and doses of the data.

    Args:
        result: a fit, at whose estimates effects and residuals are drawn.
        replicates: simulated data sets.
        seed: of the draws.

    Returns:
        Values in the units and on the scales of the endpoints (logarithms where the residual is that of logarithms),
        without limits, shape (replicate, row). Where a prediction is nothing and its logarithm is asked for, the value
        is ``-inf``: below any limit. NaN where a model could not be solved.

    Raises:
        InputError: fewer than one replicate.
    """
    if replicates < 1:
        raise InputError(f"simulate: replicates must be at least 1, got {replicates}")
    problem, theta = result.problem, result.theta_
    random = np.random.Generator(np.random.Philox([seed, 2]))
    L = problem.cholesky(theta[None])[0]
    eta = random.standard_normal((replicates, problem.subjects, problem.d)) @ L.T
    f = _simulated(problem, theta, eta, random)
    noise = random.standard_normal(f.shape)
    for k, at in enumerate(problem.endpoint_rows):
        degrees = problem.model.ends[k].residual.degrees
        if np.isfinite(degrees):
            noise[:, at] /= np.sqrt(random.chisquare(degrees, (replicates, len(at))) / degrees)
    found = f + deviations(problem, theta, f) * noise
    for k, at in enumerate(problem.endpoint_rows):
        factor = problem.log_factor(k)
        if factor is not None:
            found[:, at] = np.where(f[:, at] <= factor * math.log(NOTHING), -np.inf, found[:, at])
    return found


def _simulated(problem: Problem, theta: Reals, eta: Reals, random: np.random.Generator) -> Reals:
    """Predictions of simulated effects; the classes of a mixture are drawn anew for every subject."""
    if problem.model.mixture is None:
        block = max(1, MOST_PREDICTED // len(problem.rows.time))
        parts = [problem.predict(theta[None], eta[k : k + block]).f for k in range(0, len(eta), block)]
        return np.concatenate(parts)
    shares = np.cumsum(np.exp(problem.log_shares(theta)[0]))
    labels = np.searchsorted(shares, random.random(eta.shape[:2]) * shares[-1])
    rows = [problem.with_classes(row).predict(theta[None], eta[k : k + 1]).f for k, row in enumerate(labels)]
    return np.concatenate(rows)

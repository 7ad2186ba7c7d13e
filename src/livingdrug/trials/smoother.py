"""Iterative ensemble smoother: a cloud of parameter sets is moved, step by step, until it predicts what was observed.

Only runs of the simulator are needed. Each member has its own draw from the prior and its own draw of the observations'
errors; it moves to where its prior and its observations balance (randomised maximum likelihood). The slopes for that
come from a straight line through the runs of all members, late runs counting more. For a linear simulator, normal
parameters and normal errors the cloud ends as draws from the exact posterior; otherwise it is an approximation, whose
predictions are checked afterwards by simulation.

Source:
    Chen and Oliver 2013 (``chen2013``): the iterative ensemble smoother that keeps to the prior.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError
from livingdrug.streams import normal

__all__ = ["FARTHEST", "Line", "begin", "fit_line", "move", "perturbed", "soften"]

Array = NDArray[np.float64]
Line = tuple[Array, Array]
"""Intercepts, shape (target,), and slopes, shape (target, parameter)."""
FARTHEST = 0.8  # SD of the prior by which a parameter moves in one step at most
OUTSIDE = 2.5  # SD beyond which a target pulls no harder


def begin(members: int, prior_mean: ArrayLike, prior_sd: ArrayLike, *, seed: int = 0) -> Array:
    """Return draws from the prior, shape (member, parameter); each member has its own random stream."""
    mean, sd = np.broadcast_arrays(np.asarray(prior_mean, np.float64), np.asarray(prior_sd, np.float64))
    z = normal(seed, np.arange(members), "smoother:prior", mean.size)
    return mean + sd * (z - z.mean(axis=0)) / z.std(axis=0, ddof=1)


def perturbed(observed: ArrayLike, error: ArrayLike, members: int, *, seed: int = 0) -> Array:
    """Return what each member takes as observed, shape (member, target): the number and a draw of its error.

    Args:
        observed: shape (target,).
        error: covariance, shape (target, target).
        members: of the cloud.
        seed: of the random streams.

    Raises:
        InputError: the covariance is no covariance.
    """
    try:
        root = np.linalg.cholesky(np.asarray(error, np.float64))
    except np.linalg.LinAlgError:
        raise InputError("the covariance of the errors of observation is not positive definite") from None
    z = normal(seed, np.arange(members), "smoother:error", len(root))
    return np.asarray(observed, np.float64) + (z - z.mean(axis=0)) @ root.T


def fit_line(
    parameters: Sequence[ArrayLike], predicted: Sequence[ArrayLike], acts: ArrayLike, *, forget: float = 0.6
) -> Line:
    """Return the straight line through the runs of all steps.

    Args:
        parameters: of each step, shapes (member, parameter).
        predicted: of each step, shapes (member, target); NaN where a run cannot say.
        acts: whether a parameter acts on a target, shape (target, parameter); where not, the slope is 0.
        forget: weight of a step's runs relative to the next one's.

    Raises:
        InputError: shapes that do not fit.
    """
    theta, y, mask = np.concatenate(list(parameters)), np.concatenate(list(predicted)), np.asarray(acts, bool)
    if theta.shape[0] != y.shape[0] or mask.shape != (y.shape[1], theta.shape[1]):
        raise InputError(
            f"runs with {theta.shape} parameters and {y.shape} predictions do not fit to slopes of shape {mask.shape}"
        )
    steps = len(parameters)
    weight = np.concatenate(
        [np.full(len(p), forget ** (steps - 1 - k)) for k, p in enumerate(map(np.asarray, parameters))]
    )
    center = np.average(theta, axis=0, weights=weight)
    intercept, slope = np.zeros(len(mask)), np.zeros(mask.shape)
    for j, own in enumerate(mask):
        seen = np.isfinite(y[:, j])
        if seen.sum() < own.sum() + 2:
            intercept[j] = np.nan
            continue
        x = np.column_stack([np.ones(seen.sum()), (theta - center)[np.ix_(seen, own)]])
        root = np.sqrt(weight[seen])
        found = np.linalg.lstsq(x * root[:, None], y[seen, j] * root, rcond=None)[0]
        slope[j, own] = found[1:]
        intercept[j] = found[0] - slope[j] @ center
    return intercept, slope


def soften(line: Line, parameters: ArrayLike, observed: ArrayLike, error: ArrayLike, limit: float = OUTSIDE) -> Array:
    """Return the covariance with more error for targets that the cloud misses by far, so that none rules alone."""
    intercept, slope = line
    middle = intercept + slope @ np.asarray(parameters, np.float64).mean(axis=0)
    covariance = np.array(error, np.float64)
    z = np.abs(np.asarray(observed, np.float64) - middle) / np.sqrt(np.diag(covariance))
    wider = np.sqrt(np.maximum(np.nan_to_num(z) / limit, 1.0))
    return covariance * np.outer(wider, wider)


def move(
    parameters: ArrayLike,
    prior: ArrayLike,
    prior_sd: ArrayLike,
    line: Line,
    observed: ArrayLike,
    error: ArrayLike,
    *,
    farthest: float = FARTHEST,
) -> Array:
    """Return the parameters after one step.

    Args:
        parameters: where the members are, shape (member, parameter).
        prior: their draws from the prior, shape (member, parameter).
        prior_sd: shape (parameter,).
        line: through the runs.
        observed: what each member takes as observed, shape (member, target).
        error: covariance, shape (target, target).
        farthest: SD of the prior by which a parameter moves at most.

    Raises:
        InputError: values that are not finite.
    """
    theta, start, sd = (np.asarray(each, np.float64) for each in (parameters, prior, prior_sd))
    intercept, slope = line
    known = np.isfinite(intercept)
    c, j, d = intercept[known], slope[known], np.asarray(observed, np.float64)[:, known]
    covariance = np.asarray(error, np.float64)[np.ix_(known, known)]
    if not (np.isfinite(theta).all() and np.isfinite(d).all() and np.isfinite(covariance).all()):
        raise InputError("parameters, observed values and their errors must be finite")
    gain = np.linalg.solve(j * sd**2 @ j.T + covariance, j * sd**2).T
    goal = start + (d - c - start @ j.T) @ gain.T
    return theta + np.clip(goal - theta, -farthest * sd, farthest * sd)

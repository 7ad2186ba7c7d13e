"""The likeliest set of parameters, by least squares on simulated trials.

At the mode of the posterior the squared misfit to what was reported, in units of its error, and the squared distance
from the prior, in units of its SD, are least together. SciPy's trust-region least squares looks for it. All runs have
the same patients (common random numbers), so that chance hardly enters differences. Slopes come from runs far apart:
near by, medians of a few patients and numbers at the limit of an assay do not move at all, and the search ends early.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError
from livingdrug.trials.smoother import Line

__all__ = ["Mode", "find_mode"]

Array = NDArray[np.float64]
APART = 1.2  # SD of the prior from the middle to the runs on either side
ENOUGH = 0.01  # relative change of the sum of squares, or of the parameters, at which the search ends


@dataclass(frozen=True, eq=False)
class Mode:
    """Where a search for the mode ended.

    Attributes:
        parameters: shape (parameter,).
        line: intercepts and slopes of the targets there.
        sets: those that were run about it, shape (set, parameter), itself first.
        predicted: what they predict, shape (set, target).
        course: sum of squares of each set that was tried, in order.
        ended: why the search ended, in SciPy's words.
    """

    parameters: Array
    line: Line
    sets: Array
    predicted: Array
    course: tuple[float, ...]
    ended: str


def find_mode(
    predict: Callable[[Array], Array],
    prior_mean: ArrayLike,
    prior_sd: ArrayLike,
    observed: ArrayLike,
    error: ArrayLike,
    acts: ArrayLike,
    *,
    tried: int = 12,
) -> Mode:
    """Return the mode of the posterior for a normal prior and normal errors of observation.

    Args:
        predict: what sets, shape (set, parameter), predict, shape (set, target), all with the same chance; NaN where a
            run cannot say, which counts as met.
        prior_mean: shape (parameter,).
        prior_sd: shape (parameter,).
        observed: shape (target,).
        error: covariance, shape (target, target).
        acts: whether a parameter acts on a target, shape (target, parameter); where not, the slope is 0.
        tried: sets that are tried at most.

    Raises:
        InputError: the covariance is no covariance.

    Example:
        >>> found = find_mode(lambda sets: 2 * sets, [0.0], [1.0], [3.0], [[1.0]], [[True]])
        >>> round(float(found.parameters[0]), 6)  # the prior at 0 has precision 1, the data at 1.5 have 4
        1.2
    """
    from scipy.optimize import least_squares

    mean, sd, seen = (np.asarray(each, np.float64) for each in (prior_mean, prior_sd, observed))
    mask = np.asarray(acts, bool)
    try:
        root = np.linalg.cholesky(np.asarray(error, np.float64))
    except np.linalg.LinAlgError:
        raise InputError("the covariance of the errors of observation is not positive definite") from None
    course: list[float] = []

    def misfit(z: Array) -> Array:
        away = np.nan_to_num(predict((mean + sd * z)[None])[0] - seen)
        every = np.concatenate([np.linalg.solve(root, away), z])
        course.append(float(every @ every))
        return every

    def slopes(z: Array) -> Array:
        sets = _about(mean + sd * z, APART * sd)
        by_sd = _slopes(predict(sets), APART * sd) * mask * sd
        return np.vstack([np.linalg.solve(root, by_sd), np.eye(z.size)]).astype(np.float64)

    search: Any = least_squares
    ends = {"xtol": ENOUGH, "ftol": ENOUGH, "gtol": None, "max_nfev": tried}
    found = search(misfit, np.zeros(mean.size), slopes, **ends)
    sets = _about(mean + sd * found.x, APART * sd)
    predicted = predict(sets)
    slope = _slopes(predicted, APART * sd) * mask
    line = np.nan_to_num(predicted[0]) - slope @ sets[0], slope
    return Mode(sets[0], line, sets, predicted, tuple(course), str(found.message))


def _about(middle: Array, apart: Array) -> Array:
    """Return a set and those on either side of it in each parameter, shape (1 + 2 parameters, parameter)."""
    steps = np.diag(apart)
    return np.concatenate([middle[None], middle + steps, middle - steps])


def _slopes(predicted: Array, apart: Array) -> Array:
    """Return slopes of all targets by all parameters, shape (target, parameter), by central differences."""
    above, below = np.split(predicted[1:], 2)
    return np.nan_to_num((above - below) / (2 * apart)[:, None]).T

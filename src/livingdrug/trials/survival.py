"""Survival curves: Kaplan-Meier with Greenwood's variance, and the scatter of a trial of given size.

Written here in a page instead of taken from lifelines: that library brings Matplotlib, Autograd and formula parsing
for the three formulas below, and may not stand between the user and a first report.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError

__all__ = ["Curve", "kaplan_meier", "median_of_trials", "share_of_trials", "wilson"]

Array = NDArray[np.float64]
Z95 = 1.959963984540054


@dataclass(frozen=True, eq=False)
class Curve:
    """A survival curve as a staircase; all arrays shape (t,), the first entry at day 0.

    Attributes:
        day: days at which the curve falls or a patient is censored.
        share: share without event just after that day.
        low: lower end of the 95 % interval (log-log of Greenwood's variance).
        high: upper end.
        at_risk: patients just before that day.
    """

    day: Array
    share: Array
    low: Array
    high: Array
    at_risk: NDArray[np.int64]

    def at(self, days: ArrayLike) -> Array:
        """Return the share without event just after the given days; after the last day it stays."""
        return self.share[np.searchsorted(self.day, np.asarray(days, np.float64), side="right") - 1]

    def at_risk_on(self, days: ArrayLike) -> NDArray[np.int64]:
        """Return how many patients are at risk on the given days (events of that day included)."""
        after = np.append(self.at_risk, 0)
        return after[np.searchsorted(self.day, np.asarray(days, np.float64), side="left")]

    def first_day_below(self, share: float) -> float:
        """Return the first day on which the curve lies at or below a share, NaN if never."""
        below = self.share <= share + 1e-12
        return float(self.day[np.argmax(below)]) if below.any() else math.nan


def kaplan_meier(days: ArrayLike, events: ArrayLike) -> Curve:
    """Return the Kaplan-Meier curve.

    Args:
        days: day of the event or of censoring, shape (n,), 0 or more.
        events: True for an event, False for censoring, shape (n,); at one day events come before censoring.

    Raises:
        InputError: no patients, a day that is negative or not finite, or lengths that differ.

    Source:
        Kaplan and Meier 1958; Greenwood 1926; log-log interval as in Kalbfleisch and Prentice (``kaplanmeier1958``).

    Example:
        >>> kaplan_meier([1, 2, 3, 4], [True, False, True, False]).share.tolist()
        [1.0, 0.75, 0.75, 0.375, 0.375]
    """
    day, event = np.asarray(days, np.float64), np.asarray(events, bool)
    if day.ndim != 1 or day.shape != event.shape or day.size == 0:
        raise InputError(
            f"survival needs days and events of one length of at least 1, got {day.shape} and {event.shape}"
        )
    if not np.all(np.isfinite(day) & (day >= 0)):
        raise InputError(
            f"survival needs days that are finite and 0 or more, got {day[~(day >= 0) | ~np.isfinite(day)][0]}"
        )
    at, where = np.unique(day, return_inverse=True)
    fell = np.bincount(where, weights=event).astype(np.int64)
    left = np.bincount(where)
    at_risk = day.size - np.concatenate([[0], np.cumsum(left)[:-1]])
    share = np.cumprod(1 - fell / at_risk).astype(np.float64)
    low, high = _log_log(share, np.cumsum(_greenwood(fell, at_risk)))
    if at[0] > 0:
        at, share, low, high = (
            np.concatenate([[first], rest]) for first, rest in ((0, at), (1, share), (1, low), (1, high))
        )
        at_risk = np.concatenate([[day.size], at_risk])
    return Curve(at, share, low, high, at_risk.astype(np.int64))


def _greenwood(fell: NDArray[np.int64], at_risk: NDArray[np.int64]) -> Array:
    left = at_risk - fell
    return np.divide(fell, at_risk * left, out=np.zeros(fell.size), where=left > 0)


def _log_log(share: Array, variance: Array) -> tuple[Array, Array]:
    inside = (share > 0) & (share < 1)
    log = np.log(np.where(inside, share, 0.5))
    reach = np.exp(Z95 * np.sqrt(variance) / np.abs(log))
    low, high = (np.where(inside, np.exp(log * factor), share) for factor in (reach, 1 / reach))
    return low, high


def share_of_trials(share: ArrayLike, size: int, level: float = 0.95) -> tuple[Array, Array]:
    """Return the range of shares that trials of ``size`` patients show when the true share is known.

    Args:
        share: true share, any shape, 0 to 1.
        size: patients per trial.
        level: part of the trials that lie inside (at least).

    Returns:
        Lower and upper end, the shape of ``share``: exact binomial quantiles divided by the size.
    """
    from scipy.stats import binom

    true, tail = np.clip(np.asarray(share, np.float64), 0, 1), (1 - level) / 2
    return binom.ppf(tail, size, true) / size, binom.ppf(1 - tail, size, true) / size


def median_of_trials(curve: Curve, size: int, level: float = 0.95) -> tuple[float, float]:
    """Return the range of median days that trials of ``size`` patients show; NaN where the curve stays above.

    The median of a trial is an order statistic; its share of events has a beta distribution.
    """
    from scipy.stats import beta

    rank = (size + 1) // 2
    fallen = beta.ppf([(1 - level) / 2, (1 + level) / 2], rank, size + 1 - rank)
    return curve.first_day_below(1 - fallen[0]), curve.first_day_below(1 - fallen[1])


def wilson(count: float, size: float, z: float = Z95) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share; NaN for no patients.

    Example:
        >>> [round(end, 4) for end in wilson(1, 10)]
        [0.0179, 0.4042]
    """
    if size <= 0:
        return math.nan, math.nan
    share, weight = count / size, z * z / size
    half = z * math.sqrt(share * (1 - share) / size + weight / (4 * size))
    low, high = (share + weight / 2 - half) / (1 + weight), (share + weight / 2 + half) / (1 + weight)
    return max(0.0, min(low, share)), min(1.0, max(high, share))

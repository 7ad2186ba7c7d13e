"""Survival curves: Kaplan-Meier of one trial or of many replicates at once, and the scatter of a trial of given size.

Decision 0013 says why these formulas stand here and do not come from a library, decision 0027 why SciPy's curve, which
takes one trial at a time, is what they are tested against.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError

__all__ = [
    "Curve",
    "Curves",
    "kaplan_meier",
    "many_curves",
    "median_of_trials",
    "share_of_trials",
    "wilson",
    "wilson_ends",
]

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


@dataclass(frozen=True, eq=False)
class Curves:
    """The survival curves of many replicates of a trial; arrays shape (replicate, patient), sorted by day.

    Attributes:
        day: days in rising order; NaN at the end for patients that are not in the set.
        share: share without event just after that day.
        at_risk: patients with that day or a later one, those before in the row not counted.
        event: True for an event.
    """

    day: Array
    share: Array
    at_risk: NDArray[np.int64]
    event: NDArray[np.bool_]

    def at(self, days: ArrayLike) -> Array:
        """Return the share without event just after the given days, shape (replicate, days); NaN without patients."""
        asked = np.atleast_1d(np.asarray(days, np.float64))
        padded = np.concatenate([np.ones((len(self.share), 1)), self.share], axis=1)
        past = (self.day[:, :, None] <= asked).sum(axis=1)
        found = np.take_along_axis(padded, past, axis=1)
        return np.where(self._size()[:, None] > 0, found, np.nan)

    def median(self, share: float = 0.5) -> Array:
        """Return the first day on which each curve lies at or below a share, shape (replicate,).

        Infinite where the curve stays above (the median is not reached), NaN without patients.
        """
        below = (self.share <= share + 1e-12) & ~np.isnan(self.day)
        first = np.take_along_axis(self.day, below.argmax(axis=1)[:, None], axis=1)[:, 0]
        return np.where(self._size() > 0, np.where(below.any(axis=1), first, np.inf), np.nan)

    def restricted_mean(self, until: float) -> tuple[Array, Array]:
        """Return the mean days without event up to a day, and the standard error, both shape (replicate,).

        Source:
            The area under the curve, with Greenwood's variance as in the R package survRM2 (``uno2014``).
        """
        end = np.minimum(np.where(np.isnan(self.day), until, self.day), until)
        ends = np.concatenate([np.zeros((len(end), 1)), end, np.full((len(end), 1), until)], axis=1)
        area = np.concatenate([np.ones((len(end), 1)), self.share], axis=1) * np.diff(ends, axis=1)
        rest = np.cumsum(area[:, :0:-1], axis=1)[:, ::-1]  # area right of each day
        left = self.at_risk - 1
        fall = np.divide(1.0, self.at_risk * left, out=np.zeros(end.shape), where=self.event & (left > 0))
        error = np.sqrt((np.where(self.day <= until, rest, 0) ** 2 * fall).sum(axis=1))
        known = self._size() > 0
        return np.where(known, area.sum(axis=1), np.nan), np.where(known, error, np.nan)

    def _size(self) -> NDArray[np.int64]:
        return (~np.isnan(self.day)).sum(axis=1)


def many_curves(days: ArrayLike, events: ArrayLike) -> Curves:
    """Return the Kaplan-Meier curves of many replicates at once.

    Args:
        days: day of the event or of censoring, shape (replicate, patient); NaN for a patient that is not in the set.
        events: True for an event, the same shape; at one day events come before censoring.

    Raises:
        InputError: shapes that differ, or a day that is negative or infinite.

    Source:
        Kaplan and Meier 1958 (``kaplanmeier1958``).

    Example:
        >>> curves = many_curves([[1, 2, 3, 4], [5, 6, 7, 8]], [[True, False, True, True], [False] * 4])
        >>> curves.at(3.0)[:, 0].tolist(), curves.median().tolist()
        ([0.375, 1.0], [3.0, inf])
    """
    day, event = as_replicates(days, events)
    order = np.lexsort((~event, day), axis=1)
    day, event = np.take_along_axis(day, order, 1), np.take_along_axis(event, order, 1)
    size = (~np.isnan(day)).sum(axis=1, keepdims=True)
    at_risk = np.maximum(size - np.arange(day.shape[1]), 0)
    # tied events one after the other: their factors multiply to that of all at once
    factor = np.divide(at_risk - 1.0, at_risk, out=np.ones(day.shape), where=event & (at_risk > 0))
    return Curves(day, np.cumprod(factor, axis=1).astype(np.float64), at_risk, event)


def as_replicates(days: ArrayLike, events: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
    """Return days and events with shape (replicate, patient), checked; a patient with day NaN has no event."""
    day, event = np.atleast_2d(np.asarray(days, np.float64)), np.atleast_2d(np.asarray(events, bool))
    if day.ndim != 2 or day.shape != event.shape or day.size == 0:
        raise InputError(
            f"survival needs days and events of one shape with patients, got {day.shape} and {event.shape}"
        )
    wrong = (day < 0) | np.isinf(day)
    if wrong.any():
        raise InputError(
            f"survival needs days that are finite and 0 or more (NaN: not in the set), got {day[wrong][0]}"
        )
    return day, event & ~np.isnan(day)


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
    low, high = wilson_ends(count / size, size, z)
    return float(low), float(high)


def wilson_ends(share: ArrayLike, size: ArrayLike, z: float = Z95) -> tuple[Array, Array]:
    """Return Wilson's interval of many shares at once: the shape of ``share``; sizes must be above 0."""
    p, n = np.asarray(share, np.float64), np.asarray(size, np.float64)
    weight = z * z / n
    half = z * np.sqrt(p * (1 - p) / n + weight / (4 * n))
    low, high = (p + weight / 2 - half) / (1 + weight), (p + weight / 2 + half) / (1 + weight)
    return np.maximum(0.0, np.minimum(low, p)), np.minimum(1.0, np.maximum(high, p))

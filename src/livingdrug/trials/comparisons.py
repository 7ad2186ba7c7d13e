"""Two arms compared, for one trial or for many replicates at once: hazard ratio, log-rank test, proportions, means.

Everything works on arrays of shape (replicate, patient), or (patient,) for one trial. A patient whose day is NaN is not
in the set, so replicates may have different numbers of patients.

Source:
    Cox 1972 with Efron's handling of tied days (``efron1977``); Mantel 1966 (log-rank); Newcombe 1998 (difference of
    proportions); Katz 1978 (ratio of proportions). Values are checked against the R package survival.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError
from livingdrug.trials.survival import Z95, as_replicates, many_curves, wilson_ends

__all__ = [
    "Difference",
    "HazardRatio",
    "LogRank",
    "difference_of_proportions",
    "hazard_ratio",
    "log_rank",
    "ratio_of_proportions",
    "restricted_mean_difference",
]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HazardRatio:
    """Hazard of the treated arm over that of the other one; all arrays shape (replicate,).

    Attributes:
        ratio: 0 or infinite where all events (while both arms are at risk) fall in one arm, NaN without any.
        low: lower end of the 95 % interval (Wald, on the logarithm).
        high: upper end.
        log: logarithm of the ratio.
        error: standard error of ``log``; NaN where that is not finite.
    """

    ratio: Array
    low: Array
    high: Array
    log: Array
    error: Array


@dataclass(frozen=True, eq=False)
class LogRank:
    """The log-rank test; all arrays shape (replicate,).

    Attributes:
        observed: events in the treated arm.
        expected: events expected there if the arms did not differ.
        z: (observed - expected) over its standard deviation; negative if the treated arm has fewer events; 0 without
            any event while both arms are at risk.
        chi_squared: its square.
        p: chance of a difference as large, in either direction, if the arms do not differ.
    """

    observed: Array
    expected: Array
    z: Array
    chi_squared: Array
    p: Array


@dataclass(frozen=True, eq=False)
class Difference:
    """A difference or ratio of two arms with its 95 % interval; all arrays of one shape."""

    value: Array
    low: Array
    high: Array


@dataclass(frozen=True, eq=False)
class _Events:
    """One entry per event: its replicate, its arm, who was at risk, and its place among the events of that day."""

    replicates: int
    row: NDArray[np.int64]
    treated: Array
    at_risk: Array
    treated_at_risk: Array
    tied: Array
    treated_tied: Array
    place: Array

    def sums(self, values: Array) -> Array:
        return np.bincount(self.row, values, minlength=self.replicates).astype(np.float64)


def hazard_ratio(
    days: ArrayLike, events: ArrayLike, treated: ArrayLike, strata: ArrayLike | None = None
) -> HazardRatio:
    """Return the hazard ratio of two arms by Cox's partial likelihood, tied days by Efron's method.

    Args:
        days: day of the event or of censoring, shape (replicate, patient); NaN: not in the set.
        events: True for an event, the same shape.
        treated: True for the treated arm, the same shape or (patient,).
        strata: labels; only patients of one stratum are compared with each other. Same shape or (patient,).

    Raises:
        InputError: shapes that do not fit.

    Source:
        Efron 1977 (``efron1977``), as ``coxph`` of the R package survival.

    Example:
        >>> found = hazard_ratio([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 0], [0, 0, 1, 0, 1, 1])
        >>> found.ratio.round(3).tolist()
        [0.185]
    """
    at = _events(days, events, treated, strata)
    a = at.treated_at_risk - at.place * at.treated_tied / np.maximum(at.tied, 1)
    b = at.at_risk - at.treated_at_risk - at.place * (at.tied - at.treated_tied) / np.maximum(at.tied, 1)
    # the score at minus and plus infinity: without a change of sign between them the best ratio is 0 or infinite
    hits = at.sums(at.treated)
    falls, rises = hits - at.sums((b <= 0).astype(float)), hits - at.sums((a > 0).astype(float))
    finite = (falls > 0) & (rises < 0)
    log = _newton(at, a, b, finite)
    share = _share(log, at.row, a, b)
    with np.errstate(divide="ignore", over="ignore"):
        error = np.where(finite, 1 / np.sqrt(at.sums(share * (1 - share))), np.nan)
    edge = np.where((falls <= 0) & (rises >= 0), np.nan, np.where(falls <= 0, -np.inf, np.inf))
    log = np.where(finite, log, edge)
    low = np.where(np.isneginf(log), 0.0, np.exp(log - Z95 * error))
    high = np.where(np.isposinf(log), np.inf, np.exp(log + Z95 * error))
    return HazardRatio(np.exp(log), low, high, log, error)


def _newton(at: _Events, a: Array, b: Array, finite: NDArray[np.bool_]) -> Array:
    """Return the logarithm of the ratio at which the score is zero, 0 where there is none; steps are kept small."""
    log = np.zeros(at.replicates)
    for _ in range(100):
        share = _share(log, at.row, a, b)
        score, information = at.sums(at.treated - share), at.sums(share * (1 - share))
        step = np.divide(score, information, out=np.zeros_like(log), where=finite & (information > 0))
        log = log + np.clip(step, -1.0, 1.0)
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    return log


def _share(log: Array, row: NDArray[np.int64], a: Array, b: Array) -> Array:
    weighted = np.exp(log)[row] * a
    return weighted / (weighted + b)


def log_rank(days: ArrayLike, events: ArrayLike, treated: ArrayLike, strata: ArrayLike | None = None) -> LogRank:
    """Return the log-rank test of two arms, stratified if strata are given; arguments as ``hazard_ratio``.

    Raises:
        InputError: shapes that do not fit.

    Source:
        Mantel 1966 (``mantel1966``), as ``survdiff`` of the R package survival.

    Example:
        >>> found = log_rank([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 0], [0, 0, 1, 0, 1, 1])
        >>> found.observed.tolist(), found.expected.round(3).tolist()
        ([2.0], [3.517])
    """
    from scipy.special import chdtrc

    at = _events(days, events, treated, strata)
    chance = at.treated_at_risk / at.at_risk
    spread = chance * (1 - chance) * (at.at_risk - at.tied) / np.maximum(at.at_risk - 1, 1)
    observed, expected, variance = at.sums(at.treated), at.sums(chance), at.sums(spread)
    z = np.divide(observed - expected, np.sqrt(variance), out=np.zeros_like(variance), where=variance > 0)
    return LogRank(observed, expected, z, z * z, np.asarray(chdtrc(1, z * z), np.float64))


def _events(days: ArrayLike, events: ArrayLike, treated: ArrayLike, strata: ArrayLike | None) -> _Events:
    day, event = as_replicates(days, events)
    arm = _like(treated, day, "treated").astype(bool)
    if strata is None:
        return _Events(len(day), *_at_risk(day, event, arm))
    label = _like(strata, day, "strata")
    parts = [_at_risk(np.where(label == one, day, np.nan), event & (label == one), arm) for one in np.unique(label)]
    return _Events(len(day), *(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _like(values: ArrayLike, day: Array, what: str) -> NDArray:
    given = np.asarray(values)
    try:
        return np.broadcast_to(given, day.shape)
    except ValueError:
        raise InputError(f"{what} needs the shape {day.shape} or ({day.shape[1]},), got {given.shape}") from None


def _at_risk(day: Array, event: NDArray[np.bool_], arm: NDArray[np.bool_]) -> tuple[NDArray, ...]:
    """Return for each event: replicate, arm, at risk, treated at risk, tied events, treated ones, place among them."""
    order = np.argsort(day, axis=1, kind="stable")
    day = np.take_along_axis(day, order, 1)
    event, arm = (np.take_along_axis(flags, order, 1) for flags in (event, arm))
    present = ~np.isnan(day)
    count = day.shape[1]
    changes = np.ones((len(day), count + 1), bool)
    changes[:, 1:-1] = day[:, 1:] != day[:, :-1]
    place = np.arange(count + 1)
    start = np.maximum.accumulate(np.where(changes, place, 0), axis=1)
    end = np.minimum.accumulate(np.where(changes, place, count)[:, ::-1], axis=1)[:, ::-1]
    row, column = np.nonzero(event)
    first, last = start[row, column], end[row, column + 1]
    fallen, treated_fallen, treated = (_before(values) for values in (event, event & arm, present & arm))
    return (
        row, arm[row, column].astype(float),
        (present.sum(axis=1)[row] - first).astype(float), (treated[row, -1] - treated[row, first]).astype(float),
        (fallen[row, last] - fallen[row, first]).astype(float),
        (treated_fallen[row, last] - treated_fallen[row, first]).astype(float),
        (fallen[row, column] - fallen[row, first]).astype(float),
    )  # fmt: skip


def _before(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many of the row are true before each place, and in all at the end."""
    return np.concatenate([np.zeros((len(flags), 1), np.int64), np.cumsum(flags, axis=1, dtype=np.int64)], axis=1)


def restricted_mean_difference(days: ArrayLike, events: ArrayLike, treated: ArrayLike, until: float) -> Difference:
    """Return by how many days without event, up to a day, the treated arm is ahead; arrays shape (replicate,).

    Args:
        days: day of the event or of censoring, shape (replicate, patient); NaN: not in the set.
        events: True for an event, the same shape.
        treated: True for the treated arm, the same shape or (patient,).
        until: day up to which the time is counted, above 0.

    Raises:
        InputError: shapes that do not fit, or a day that is not above 0.
    """
    if not (np.isfinite(until) and until > 0):
        raise InputError(f"a restricted mean needs a day above 0, got {until!r}")
    day, event = as_replicates(days, events)
    arm = _like(treated, day, "treated").astype(bool)
    mean, error = many_curves(np.where(arm, day, np.nan), event).restricted_mean(until)
    other, other_error = many_curves(np.where(arm, np.nan, day), event).restricted_mean(until)
    half = Z95 * np.hypot(error, other_error)
    return Difference(mean - other, mean - other - half, mean - other + half)


def difference_of_proportions(
    count: ArrayLike, size: ArrayLike, other_count: ArrayLike, other_size: ArrayLike
) -> Difference:
    """Return the difference of two proportions with Newcombe's interval, which joins two Wilson intervals.

    Args:
        count: patients with the endpoint in the treated arm, any shape.
        size: patients of that arm, above 0.
        other_count: the same of the other arm.
        other_size: patients of the other arm.

    Raises:
        InputError: counts outside 0 to size, or an arm without patients.

    Source:
        Newcombe 1998 (``newcombe1998``), method 10.

    Example:
        >>> found = difference_of_proportions(56, 70, 48, 80)
        >>> [round(float(x), 4) for x in (found.value, found.low, found.high)]
        [0.2, 0.0524, 0.3339]
    """
    (x, n), (y, m) = _counts(count, size), _counts(other_count, other_size)
    p, q = x / n, y / m
    (p_low, p_high), (q_low, q_high) = wilson_ends(p, n), wilson_ends(q, m)
    low = p - q - np.hypot(p - p_low, q_high - q)
    return Difference(p - q, low, p - q + np.hypot(p_high - p, q - q_low))


def ratio_of_proportions(
    count: ArrayLike, size: ArrayLike, other_count: ArrayLike, other_size: ArrayLike
) -> Difference:
    """Return the ratio of two proportions with Katz's interval on the logarithm; arguments as the difference.

    An arm without the endpoint gives a ratio of 0 or infinity (NaN for both) and an interval without an inner end.

    Raises:
        InputError: counts outside 0 to size, or an arm without patients.

    Source:
        Katz et al. 1978 (``katz1978``).
    """
    (x, n), (y, m) = _counts(count, size), _counts(other_count, other_size)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (x / n) / (y / m)
        half = Z95 * np.sqrt(1 / x - 1 / n + 1 / y - 1 / m)
        known = (x > 0) & (y > 0)
        low, high = (np.where(known, ratio * np.exp(sign * half), edge) for sign, edge in ((-1, 0.0), (1, np.inf)))
    return Difference(ratio, low, high)


def _counts(count: ArrayLike, size: ArrayLike) -> tuple[Array, Array]:
    x, n = np.broadcast_arrays(np.asarray(count, np.float64), np.asarray(size, np.float64))
    if not np.all((n > 0) & (x >= 0) & (x <= n)):
        raise InputError("a proportion needs patients and a count from 0 to their number")
    return x, n

"""CAR T cells as the trial's assay sees them: samples about its days, with its error and its limit, then its summary.

A summary without compartments (NCA): highest sample, its day, area to day 28 by the linear trapezoid with nothing
before the infusion, the last quantifiable sample, and a half-life where the tail of the samples is straight enough.
Samples below the limit count as nothing. The rules of each trial stand in its definition. Not for clinical use.

Example:
    >>> days = np.array([[0.0, 7.0, 14.0, 28.0, 60.0]])
    >>> found = summarise(days, np.array([[0.0, 100.0, 50.0, 12.5, 0.0]]), points=3, fit=0.8)
    >>> float(found["cmax"][0]), float(found["tmax"][0]), float(found["tlast"][0]), float(found["auc28"][0])
    (100.0, 7.0, 28.0, 1312.5)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from livingdrug.streams import normal, uniform
from livingdrug.trials.protocol import Sampling, Visits

__all__ = ["dated_progression", "on_day", "real_days", "samples", "summarise"]

Array = NDArray[np.float64]
AREA_UNTIL = 28.0
LATE_PART = 0.1


def real_days(days: Array, window: float, ids: NDArray[np.uint64], seed: int, purpose: str) -> Array:
    """Return the days on which what was planned really happens, shape (patient, planned), ascending, after day 0.

    Args:
        days: planned, ascending, shape (planned,).
        window: how much earlier or later it may be; a tenth of the day where that is more.
        ids: patients.
        seed: of the random streams.
        purpose: samples or visits.
    """
    half_gap = np.diff(days, append=np.inf, prepend=-np.inf) / 2.001
    reach = np.maximum(window, LATE_PART * days)
    reach = np.minimum.reduce([reach, half_gap[:-1], half_gap[1:], days])  # what follows each other stays in order
    return days + reach * (2 * uniform(seed, ids, f"trial:days of {purpose}", days.size) - 1)


def dated_progression(plan: Visits, visits: Array, ids: NDArray[np.uint64], seed: int, planned: Array) -> Array:
    """Return the day of each progression as a trial dates it: on the visit's real day, or noticed since the one before.

    Args:
        plan: of the visits.
        visits: their planned days, ascending, shape (visit,).
        ids: patients.
        seed: of the random streams.
        planned: visit at which a progression is seen; a day that is none of a visit stays, infinity or NaN is never.

    Returns:
        Days, infinity for never, shape (patient,).
    """
    real, rows = real_days(visits, plan.window.value, ids, seed, "visits"), np.arange(ids.size)
    place = np.minimum(np.searchsorted(visits, np.nan_to_num(planned, nan=np.inf)), visits.size - 1)
    at_visit = visits[place] == planned
    at = np.where(at_visit, real[rows, place], np.nan_to_num(planned, nan=np.inf))
    before = np.where(place > 0, real[rows, np.maximum(place - 1, 0)], 0.0)
    luck = uniform(seed, ids, "trial:noticed between visits", 2)
    noticed = at_visit & (luck[:, 0] < plan.between.value)
    return np.where(noticed, before + luck[:, 1] * (np.where(noticed, at, 1.0) - before), at)


def samples(
    plan: Sampling, when: Array, days: Array, course: Array, ids: NDArray[np.uint64], seed: int, until: Array
) -> Array:
    """Return what the assay reports, shape (patient, sample): 0 below the limit, NaN where nothing was taken.

    Args:
        plan: the trial's.
        when: days of the samples, shape (patient, sample).
        days: of the course, ascending, shape (day,).
        course: what is in the blood, in the assay's unit, shape (patient, day); between days its logarithm is straight.
        ids: patients; the error of a sample is theirs.
        seed: of the random streams.
        until: last day on which samples are taken, shape (patient,).
    """
    place = np.clip(np.searchsorted(days, when, side="right"), 1, days.size - 1)
    log = np.log(np.maximum(np.nan_to_num(course), 1e-12))
    low, high = np.take_along_axis(log, place - 1, 1), np.take_along_axis(log, place, 1)
    part = (when - days[place - 1]) / (days[place] - days[place - 1])
    noise = plan.error.value * normal(seed, ids, "trial:assay", when.shape[1])
    seen = np.exp(low + np.clip(part, 0.0, 1.0) * (high - low) + noise)
    seen = np.where(seen < plan.lloq.value, 0.0, seen)
    return np.where(when <= until[:, None], seen, np.nan)


def on_day(days: Array, seen: Array, day: float) -> Array:
    """Return the samples planned for a day, shape (patient,); NaN where the trial takes none then."""
    at = np.flatnonzero(np.isclose(days, day))
    return seen[:, at[0]] if at.size else np.full(len(seen), np.nan)


def summarise(days: Array, seen: Array, *, points: int, fit: float) -> dict[str, Array]:
    """Return the summary of samples, column -> shape (patient,).

    Args:
        days: of the samples, ascending, shape (patient, sample).
        seen: as :func:`samples` returns them, shape (patient, sample).
        points: fewest samples in a half-life.
        fit: least adjusted R2 of the straight line through their logarithms.
    """
    value = np.nan_to_num(seen)
    rows, top = np.arange(value.shape[0]), value.argmax(axis=1)
    some = value[rows, top] > 0
    last = value.shape[1] - 1 - (value > 0)[:, ::-1].argmax(axis=1)
    return {
        "cmax": np.where(some, value[rows, top], np.nan),
        "tmax": np.where(some, days[rows, top], np.nan),
        "clast": np.where(some, value[rows, last], np.nan),
        "tlast": np.where(some, days[rows, last], np.nan),
        "auc28": np.where(some, _area(days, seen), np.nan),
        "half_life": _half_life(days, value, top, points, fit),
    }


def _area(days: Array, seen: Array) -> Array:
    """Return the area from day 0 to 28; NaN for patients without a sample on the way or on that day or later."""
    start = np.zeros((len(days), 1))
    when, value = np.concatenate([start, days], axis=1), np.concatenate([start, seen], axis=1)
    left, right = np.minimum(when[:, :-1], AREA_UNTIL), np.minimum(when[:, 1:], AREA_UNTIL)
    width, gap = right - left, np.diff(when, axis=1)
    part = np.divide(width, gap, out=np.zeros(gap.shape), where=gap > 0)
    end = value[:, :-1] + part * (value[:, 1:] - value[:, :-1])
    area = np.where(width > 0, width * (value[:, :-1] + end) / 2, 0.0).sum(axis=1)
    rest = np.maximum(AREA_UNTIL - when[:, -1], 0.0)  # where the trial samples no later, the last sample stands for it
    return area + np.where(rest > 0, rest * value[:, -1], 0.0)


def _half_life(days: Array, value: Array, top: NDArray[np.intp], points: int, fit: float) -> Array:
    """Return the half-life of the straightest tail after the peak (adjusted R2; of equal ones the longest)."""
    tail = (value > 0) & (np.arange(days.shape[1])[None, :] > top[:, None])
    y, weight = np.log(np.where(tail, value, 1.0)), tail.astype(float)
    parts = [weight, weight * days, weight * y, weight * days**2, weight * y**2, weight * days * y]
    n, t, s, tt, ss, ts = (np.cumsum(part[:, ::-1], axis=1)[:, ::-1] for part in parts)
    with np.errstate(invalid="ignore", divide="ignore"):
        vt, vs, c = tt - t**2 / n, ss - s**2 / n, ts - t * s / n
        slope, r2 = c / vt, np.clip(c**2 / (vt * vs), 0.0, 1.0)
        adjusted = 1 - (1 - r2) * (n - 1) / (n - 2)
    good = tail & (n >= points) & (slope < 0) & (adjusted >= fit)
    rank = np.where(good, np.round(adjusted, 4), -np.inf)
    best, rows = rank.argmax(axis=1), np.arange(top.size)  # the first of equal ones has the most points
    return np.where(good[rows, best], np.log(2.0) / -np.where(good, slope, -1.0)[rows, best], np.nan)

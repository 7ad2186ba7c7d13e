"""Late harm, read off a solved course: infections, a movement disorder, missing antibodies, cytopenia that lasts.

Infection and movement disorder are hazards that the body accumulates; the day of the event is where the hazard passes
an exponential number of the patient's own stream. The rest are thresholds on counts. None of it acts back on the body.
Not for clinical use.

Example:
    >>> days = np.array([0.0, 100.0, 365.0])
    >>> courses = {"infection_hazard": [[0.0, 3.0, 9.0]], "movement_hazard": [[0.0, 0.0, 0.0]]}
    >>> found = late_effects(days, courses, [7], seed=1)
    >>> bool(found.infection_days[0, 0] < 365), bool(np.isnan(found.movement_day[0]))
    (True, True)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError
from livingdrug.streams import uniform

__all__ = ["LIMITS", "LateEffects", "late_effects"]

Array = NDArray[np.float64]

LIMITS: Mapping[str, tuple[float, str, str]] = {
    "immunoglobulin": (4.0, "g/L", "recalled: replacement of immunoglobulin is considered below 4 g/L"),
    "neutrophils": (1000.0, "cell/uL", "recalled: below, grade 3 of CTCAE"),
    "platelets": (50000.0, "cell/uL", "recalled: below, grade 3 of CTCAE"),
    "haemoglobin": (8.0, "g/dL", "recalled: below, grade 3 of CTCAE"),
}
"""State of the body -> the value below which it counts as low, its unit and source."""
LAST_DAY = 30.0
"""Day after which a low count is a late one (ICAHT: early up to day 30, late after it)."""
MOST_INFECTIONS = 5
MOVEMENT_DELAY = 25.0
"""Days from the injury to the signs of a movement disorder (assumed: first seen in the second month)."""


@dataclass(frozen=True, eq=False)
class LateEffects:
    """Late harm of a cohort; days count from the infusion, NaN is never (within the course).

    Attributes:
        infection_days: days of the first severe infections, shape (patient, 5).
        movement_day: day of a movement disorder, shape (patient,); with products against BCMA only.
        low_from: state of ``LIMITS`` -> first day after day 30 on which it is low, shape (patient,).
        days_low: state -> days with a low value after day 30, shape (patient,).
        unresolved: state -> whether it is low at day 30, shape (patient,).
    """

    infection_days: Array
    movement_day: Array
    low_from: Mapping[str, Array]
    days_low: Mapping[str, Array]
    unresolved: Mapping[str, NDArray[np.bool_]]


def late_effects(
    days: ArrayLike, courses: Mapping[str, ArrayLike] | Any, patient_ids: ArrayLike, *, seed: int = 0
) -> LateEffects:
    """Return late harm of a cohort.

    Args:
        days: of the course, ascending, shape (day,); events before the infusion are not counted.
        courses: states of the body, shape (patient, day): ``infection_hazard``, ``movement_hazard`` and those of
            ``LIMITS``; those that are missing are left out (their events are NaN). A solution will do.
        patient_ids: shape (patient,).
        seed: of the random streams.

    Raises:
        InputError: days that do not ascend, or a course of another shape.
    """
    when, ids = np.asarray(days, np.float64), np.atleast_1d(np.asarray(patient_ids))
    if when.ndim != 1 or when.size < 2 or (np.diff(when) <= 0).any():
        raise InputError("days must ascend, and there must be two at least")
    known = getattr(courses, "outputs", courses)
    found: dict[str, Array] = {}
    for name in ("infection_hazard", "movement_hazard", *LIMITS):
        if name in known:
            found[name] = np.atleast_2d(np.asarray(courses[name], np.float64))
            if found[name].shape != (ids.size, when.size):
                raise InputError(f"{name} must have the shape {(ids.size, when.size)}, got {found[name].shape}")
    after = when >= LAST_DAY
    first: dict[str, Array] = {}
    low_days: dict[str, Array] = {}
    unresolved: dict[str, NDArray[np.bool_]] = {}
    for name, (limit, _, _) in LIMITS.items():
        if name not in found:
            continue
        low = (found[name] < limit) & after
        first[name] = np.where(low.any(axis=1), when[low.argmax(axis=1)], np.nan)
        width = np.diff(when)
        low_days[name] = (0.5 * width * (low[:, 1:].astype(float) + low[:, :-1])).sum(axis=1)
        at = found[name][:, min(int(np.searchsorted(when, LAST_DAY)), when.size - 1)]
        unresolved[name] = at < limit
    return LateEffects(
        infection_days=_crossings(when, found.get("infection_hazard"), ids, "infection", MOST_INFECTIONS, seed),
        movement_day=_signs(_crossings(when, found.get("movement_hazard"), ids, "movement", 1, seed)[:, 0], when[-1]),
        low_from=first,
        days_low=low_days,
        unresolved=unresolved,
    )


def _signs(injury: Array, last: float) -> Array:
    """Return the day on which an injury shows, NaN if that is after the course."""
    day = injury + MOVEMENT_DELAY
    return np.where(day <= last, day, np.nan)


def _crossings(when: Array, hazard: Array | None, ids: NDArray[Any], kind: str, count: int, seed: int) -> Array:
    """Return the days on which the hazard since day 0 passes exponential numbers added up, shape (patient, count)."""
    never = np.full((ids.size, count), np.nan)
    if hazard is None:
        return never
    start = int(np.searchsorted(when, 0.0))
    since = np.maximum.accumulate(hazard - hazard[:, [min(start, when.size - 1)]], axis=1)
    limit = np.cumsum(-np.log(uniform(seed, ids, f"late:{kind}", count)), axis=1)
    for k in range(count):
        over = since >= limit[:, [k]]
        hit = over.any(axis=1)
        row, at = np.flatnonzero(hit), over.argmax(axis=1)[hit]
        before = np.maximum(at - 1, 0)
        rise = since[row, at] - since[row, before]
        part = np.where(rise > 0, (limit[row, k] - since[row, before]) / np.where(rise > 0, rise, 1.0), 1.0)
        never[row, k] = when[before] + np.clip(part, 0.0, 1.0) * (when[at] - when[before])
    return never

"""Courses of a few patients of a trial: what the drawings of its report need and outcomes do not keep.

A patient's course follows from the trial, the seed and the identifier, so these are the very patients of the outcomes.
Not for clinical use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.protocol import Arm, Protocol
from livingdrug.trials.simulate import Treated, enrolled

__all__ = ["Courses", "courses"]

Array = NDArray[np.float64]
BASELINE_DAY = 0  # number of the first day of a course, before lymphodepletion


@dataclass(frozen=True, eq=False)
class Courses:
    """Courses of infused patients.

    Attributes:
        ids: shape (patient,).
        days: shape (day,), from the day before lymphodepletion on.
        car_t: what the trial's assay measures, in its unit, shape (patient, day).
        tumour: tumour cells, shape (patient, day).
    """

    ids: NDArray[np.uint64]
    days: Array
    car_t: Array
    tumour: Array

    def best_change(self, trial: Protocol, outcomes: Outcomes) -> Array:
        """Return the largest fall of each tumour at a visit, as a part of its size at the baseline, shape (patient,).

        -1 is a tumour that has gone; above 0 it only grew. NaN where no visit came before the end of the watch.

        Args:
            trial: says when the visits are.
            outcomes: of these patients, in this order.
        """
        visits = np.isin(self.days, trial.visits.days)
        last = np.fmin(outcomes["last_followed_day"], outcomes["new_therapy_day"])
        seen = visits & (self.days[None, :] <= last[:, None])
        change = self.tumour / self.tumour[:, [BASELINE_DAY]] - 1
        least = np.where(seen, change, np.inf).min(axis=1)
        return np.where(np.isfinite(least), least, np.nan)


def courses(
    trial: Protocol,
    arm: Arm,
    ids: ArrayLike,
    seed: int,
    settings: Mapping[str, ArrayLike] | None = None,
    *,
    days: float | None = None,
    threads: int | None = None,
) -> Courses:
    """Return the courses of those of some enrolled patients who are infused.

    Args:
        trial: the definition.
        arm: one with a product.
        ids: identifiers of enrolled patients, shape (patient,).
        seed: of all random streams.
        settings: as those of the run whose patients they are.
        days: last day; the trial's horizon unless given.
        threads: of the solver.
    """
    who = np.atleast_1d(np.asarray(ids)).astype(np.uint64)
    ill, waited = enrolled(trial, who, seed)
    infused = ill.take(np.flatnonzero(waited.infused))
    horizon = trial.follow_up.horizon_days
    last = horizon if days is None else min(float(days), horizon)
    treated = Treated(trial, arm, infused, seed, dict(settings or {}), last, {"threads": threads, "rtol": None})
    treated.course()
    found = treated.solution
    tumour = found["tumour_positive"] + found["tumour_negative"]
    return Courses(treated.ill.ids, found.times, found[trial.sampling.output], tumour)

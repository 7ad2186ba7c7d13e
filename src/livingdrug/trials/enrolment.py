"""From enrolment to infusion: who is lost, when and why, and what the wait does to the tumour.

A failed manufacture is a chance of its own. Death, progression and adverse events are hazards over the wait, scaled so
that the trial's own waiting times lose the stated shares; who waits longer is lost more often.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livingdrug.streams import uniform
from livingdrug.trials.protocol import Enrolment

__all__ = ["Waited", "growth_while_waiting", "wait"]

Array = NDArray[np.float64]
MIDDLES = (np.arange(400) + 0.5) / 400
MOST_GROWTH = 5.0  # the tumour at infusion is at most so many times larger or smaller than after the usual wait


@dataclass(frozen=True, eq=False)
class Waited:
    """What became of the enrolled before the infusion, shape (patient,) each.

    Attributes:
        infused: who gets to the infusion.
        stage: "manufacture" or "waiting" for who does not, else "".
        reason: why not.
        day: days from enrolment to the infusion, or to leaving.
        wait: days from enrolment to the (planned) infusion.
    """

    infused: NDArray[np.bool_]
    stage: NDArray[np.str_]
    reason: NDArray[np.str_]
    day: Array
    wait: Array


def wait(plan: Enrolment, ids: NDArray[np.uint64], seed: int) -> Waited:
    """Return what becomes of enrolled patients before the infusion."""
    days = plan.to_infusion.draw(seed, ids, "trial:days to infusion")
    luck = uniform(seed, ids, "trial:enrolment", 3)
    failed = luck[:, 0] < plan.manufacturing_failure.value
    shares = np.array([share.value for share in plan.lost.values()])
    hazard = daily_hazard(plan)
    with np.errstate(divide="ignore"):
        left = -np.log(luck[:, 1]) / hazard if hazard > 0 else np.full(ids.size, np.inf)
    lost = ~failed & (left < days)
    which = np.searchsorted(np.cumsum(shares) / max(shares.sum(), 1e-300), luck[:, 2]) if shares.size else 0
    names = np.array([*plan.lost, ""])
    return Waited(
        infused=~failed & ~lost,
        stage=np.where(failed, "manufacture", np.where(lost, "waiting", "")),
        reason=np.where(failed, "manufacturing failure", np.where(lost, names[which], "")),
        day=np.where(lost, left, days),
        wait=days,
    )


def daily_hazard(plan: Enrolment) -> float:
    """Return the hazard per day of being lost that gives the stated shares over the trial's waiting times."""
    from scipy.optimize import brentq

    lost, made = sum(share.value for share in plan.lost.values()), 1 - plan.manufacturing_failure.value
    if lost <= 0:
        return 0.0
    days, wanted = (plan.usual_wait or plan.to_infusion).quantile(MIDDLES), 1 - lost / made
    return float(brentq(lambda rate: float(np.exp(-rate * days).mean()) - wanted, 0.0, 10.0))  # type: ignore[arg-type]


def growth_while_waiting(plan: Enrolment, ids: NDArray[np.uint64], seed: int, waited: Array, rate: Array) -> Array:
    """Return by what factor each tumour differs from one after the trial's median wait.

    The disease's burden is that at the infusion after the usual wait; a longer wait adds growth, as far as bridging
    does not hold it. At most five times more or less.
    """
    bridged = uniform(seed, ids, "trial:bridging")[:, 0] < plan.bridging.value
    grows = rate * np.where(bridged, 1 - plan.held.value, 1.0)
    more = grows * (waited - float((plan.usual_wait or plan.to_infusion).quantile(0.5)))
    return np.exp(np.clip(more, -np.log(MOST_GROWTH), np.log(MOST_GROWTH)))

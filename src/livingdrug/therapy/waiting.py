"""Waiting: between collection and infusion some patients progress, become too ill or die.

Whoever waits for T days under a constant hazard h is still there with probability exp(-h T). T is stated as a whole,
or the sum of the segments of a schedule; h is stated, or that of a disease; bridging that works lowers it.

Left out: hazards that change with time, growth of the tumour while waiting, queues (see the plant). Patients without a
released product leave first, whatever their day; who is infused does not depend on that, only the reason of those
who would have left twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from livingdrug.declared import Declared, Text
from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.streams import Purpose, uniform
from livingdrug.therapy.published_losses import waiting_hazard
from livingdrug.therapy.stage import Stage
from livingdrug.therapy.stated import Fixed, Fraction, StatedValue, within
from livingdrug.therapy.timeline import Schedule, collected_on, with_events

__all__ = ["WaitingPlan", "wait"]

S = TypeVar("S", bound=Stage)
Array = NDArray[np.float64]
LOST = "progressed, too ill or died while waiting"
DIED, TOO_ILL = "died while waiting", "progressed or became too ill while waiting"
TOO_LATE = "a result that came after release failed before the infusion"


class WaitingPlan(Declared):
    """How long patients wait from collection to infusion, and the hazard of being lost meanwhile."""

    duration: Annotated[StatedValue, within("day")] = Fixed(
        value=30.4, unit="day", source="veintovein2023", mark="read", note="axi-cel, all settings"
    )
    schedule: Schedule | None = None
    hazard: Annotated[StatedValue, within("1/day")] = Fixed(
        value=0.0, unit="1/day", note="nobody is lost while waiting"
    )
    disease: Text = ""
    death_share: Fraction | None = None
    bridged: Fraction = Fixed(value=0.0, unit="fraction", note="nobody is bridged; 81 of 148 in pinnix2020bridging")
    bridging_response: Fraction = Fixed(value=0.5, unit="fraction", note="of those bridged")
    bridging_cut: Fraction = Fixed(
        value=0.42,
        unit="fraction",
        source="roddie2023bridging",
        mark="assumed",
        note="read for progression or death after the CAR T cells; taken for the time before them",
    )

    @model_validator(mode="after")
    def _one_hazard(self) -> Self:
        if self.disease:
            known = waiting_hazard(self.disease)
            if self.hazard.support[1] > 0 and self.hazard != known:
                raise InputError("disease: a disease brings its own hazard; give the disease or the hazard, not both")
            object.__setattr__(self, "hazard", known)
        return self


def wait(stage: S, plan: WaitingPlan | None = None, *, seed: int = 0) -> S:
    """Return the stage without the patients who are lost before the day of infusion.

    The remaining patients get ``vein_to_vein_days``; if the plan bridges, ``bridged`` and ``bridging_response`` (0 or
    1); if it has a schedule, the days of all events. Then the hazard acts from the referral on, otherwise from day 0.

    Example:
        >>> from livingdrug.patients import Patients
        >>> from livingdrug.therapy.stage import Attrition
        >>> lost = WaitingPlan(hazard=Fixed(value=1e3, unit="1/day"))
        >>> len(wait(Stage(Patients([1, 2]), Attrition.none()), lost, seed=1))
        0
    """
    plan = plan or WaitingPlan()
    waited, start, end = _span(stage, plan, seed)
    ids = waited.patients.ids
    hazard = plan.hazard.draw(seed, ids, "waiting_hazard")
    if plan.bridged.support != (0.0, 0.0):
        bridging = _bridging(ids, plan, seed)
        hazard = hazard * (1 - bridging["bridging_response"] * plan.bridging_cut.draw(seed, ids, "bridging_cut"))
        waited = replace(waited, patients=waited.patients.with_columns(bridging, dict.fromkeys(bridging, "1")))
    patience = -np.log(uniform(seed, ids, Purpose.WAITING_EVENT)[:, 0])
    lost = patience < hazard * (end - start)
    day = np.where(lost, start + patience / np.where(lost, hazard, 1.0), end)
    late = _late_results(waited.patients)
    recalled = (late < end) & (late < day)
    waited = waited.without(recalled, "release", TOO_LATE, np.where(recalled, late, 0.0))
    left = ~recalled
    return waited.without(lost[left], "waiting", _reasons(ids[left], lost[left], plan, seed), day[left])


def _span(stage: S, plan: WaitingPlan, seed: int) -> tuple[S, Array, Array]:
    """Return the stage with its days, and for each patient the first and the last day of waiting."""
    if plan.schedule is None:
        end = plan.duration.draw(seed, stage.patients.ids, Purpose.WAITING_DURATION)
        start, dated = np.zeros(len(stage)), stage
        length = end
    else:
        dated = with_events(stage, plan.schedule, seed=seed)
        start, end = dated.patients["referral_day"], dated.patients["infusion_day"]
        length = end - dated.patients["collection_day"]
    patients = dated.patients.with_columns({"vein_to_vein_days": length}, {"vein_to_vein_days": "day"})
    return replace(dated, patients=patients), start, end


def _bridging(ids: NDArray[np.uint64], plan: WaitingPlan, seed: int) -> dict[str, Array]:
    luck = uniform(seed, ids, "bridging", 2)
    bridged = luck[:, 0] < plan.bridged.draw(seed, ids, "bridged")
    responds = bridged & (luck[:, 1] < plan.bridging_response.draw(seed, ids, "bridging_response"))
    return {"bridged": bridged.astype(np.float64), "bridging_response": responds.astype(np.float64)}


def _late_results(patients: Patients) -> Array:
    """Return the day on which a failing result arrives after release; infinite where none does."""
    if "late_failure" not in patients or not np.any(patients["late_failure"]):
        return np.full(len(patients), np.inf)
    harvest = (
        patients["harvest_day"] if "harvest_day" in patients else collected_on(patients) + patients["culture_days"]
    )
    return np.where(patients["late_failure"] > 0, harvest + patients["late_result_days"], np.inf)


def _reasons(ids: NDArray[np.uint64], lost: NDArray[np.bool_], plan: WaitingPlan, seed: int) -> str | list[str]:
    if plan.death_share is None:
        return LOST
    died = uniform(seed, ids, "death_share")[:, 0] < plan.death_share.draw(seed, ids, "share of deaths")
    return np.where(lost & died, DIED, TOO_ILL).tolist()

"""Waiting: between collection and infusion some patients progress, become too ill or die.

Whoever waits for T days under a constant hazard h is still there with probability exp(-h T).

Left out: hazards that depend on the disease, bridging therapy, growth of the tumour while waiting, slots and
transport; patients lost by release leave first, whatever their day.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, TypeVar

import numpy as np

from livingdrug.streams import Purpose, uniform
from livingdrug.therapy.declared import Declared
from livingdrug.therapy.stage import Stage
from livingdrug.therapy.stated import Fixed, StatedValue, within

__all__ = ["WaitingPlan", "wait"]

S = TypeVar("S", bound=Stage)


class WaitingPlan(Declared):
    """How long patients wait from collection to infusion, and the hazard of being lost meanwhile."""

    duration: Annotated[StatedValue, within("day")] = Fixed(
        value=30.4, unit="day", source="veintovein2023", mark="read", note="axi-cel, all settings"
    )
    hazard: Annotated[StatedValue, within("1/day")] = Fixed(
        value=0.0, unit="1/day", note="nobody is lost while waiting"
    )


def wait(stage: S, plan: WaitingPlan | None = None, *, seed: int = 0) -> S:
    """Return the stage without the patients who are lost before the day of infusion.

    The remaining patients get the column ``vein_to_vein_days``.

    Example:
        >>> from livingdrug.patients import Patients
        >>> from livingdrug.therapy.stage import Attrition
        >>> lost = WaitingPlan(hazard=Fixed(value=1e3, unit="1/day"))
        >>> len(wait(Stage(Patients([1, 2]), Attrition.none()), lost, seed=1))
        0
    """
    plan = plan or WaitingPlan()
    ids = stage.patients.ids
    duration = plan.duration.draw(seed, ids, Purpose.WAITING_DURATION)
    hazard = plan.hazard.draw(seed, ids, "waiting_hazard")
    patience = -np.log(uniform(seed, ids, Purpose.WAITING_EVENT)[:, 0])
    lost = patience < hazard * duration
    day = np.where(lost, patience / np.where(lost, hazard, 1.0), duration)
    waited = replace(
        stage, patients=stage.patients.with_columns({"vein_to_vein_days": duration}, {"vein_to_vein_days": "day"})
    )
    return waited.without(lost, "waiting", "progressed, too ill or died while waiting", day)

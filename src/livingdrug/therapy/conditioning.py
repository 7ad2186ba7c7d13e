"""Conditioning: fludarabine and cyclophosphamide make room for the infused cells.

The result is the number of the patient's own T cells on the day of infusion. It is stated for the regimen as a
whole; the doses of the drugs are recorded, they do not act.

Left out: dose, exposure and clearance of the drugs, cytokines that rise after lymphodepletion, the patient's count
before, infections and other harm, bendamustine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from livingdrug.declared import Declared
from livingdrug.patients import Patients
from livingdrug.streams import Purpose
from livingdrug.therapy.stage import Attrition, Stage
from livingdrug.therapy.stated import Fixed, LogNormal, StatedValue, within

__all__ = ["ConditionedPatients", "ConditioningPlan", "condition"]


class ConditioningPlan(Declared):
    """The regimen (recorded) and the patient's own T cells that it leaves on the day of infusion (acting)."""

    fludarabine: Annotated[StatedValue, within("mg/m2/day")] = Fixed(
        value=30, unit="mg/m2/day", source="yescarta2024", mark="read", note="on three days; recorded, does not act"
    )
    cyclophosphamide: Annotated[StatedValue, within("mg/m2/day")] = Fixed(
        value=500, unit="mg/m2/day", source="yescarta2024", mark="read", note="on three days; recorded, does not act"
    )
    host_t_cells: Annotated[StatedValue, within("cell")] = LogNormal(
        median=3e9,
        log_sd=0.05,
        unit="cell",
        source="kimmel2021",
        mark="read",
        note="6 per uL at infusion times 5e8 cells per (cell/uL); the spread is assumed, as small as the paper's 5 %",
    )


@dataclass(frozen=True, eq=False, repr=False)
class ConditionedPatients(Stage):
    """Patients ready for infusion, with their own T cells left (whole body)."""

    COLUMNS: ClassVar = {"host_t_cells": "cell"}

    @property
    def host_t_cells(self) -> NDArray[np.float64]:
        """The patient's own T cells on the day of infusion, shape (n,)."""
        return self.patients["host_t_cells"]


def condition(patients: Patients, plan: ConditioningPlan | None = None, *, seed: int = 0) -> ConditionedPatients:
    """Deplete the patients' own lymphocytes.

    Args:
        patients: who waits for the infusion.
        plan: regimen and what it leaves.
        seed: of the patients' random streams.

    Source:
        host T cells at infusion: Kimmel et al. 2021 (``kimmel2021``).

    Example:
        >>> ready = condition(Patients([1]), seed=1)
        >>> bool(2e9 < ready.host_t_cells[0] < 4e9)
        True
    """
    plan = plan or ConditioningPlan()
    left = plan.host_t_cells.draw(seed, patients.ids, Purpose.LYMPHODEPLETION)
    return ConditionedPatients(
        patients.with_columns({"host_t_cells": left}, ConditionedPatients.COLUMNS), Attrition.none()
    )

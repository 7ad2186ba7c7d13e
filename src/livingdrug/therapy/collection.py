"""Collection: leukapheresis takes T cells from the blood.

Cells collected = collection efficiency x T cells per volume of blood x volume of blood processed.

Left out: the fall of the blood count during the run, recruitment of cells, haematocrit, a second collection,
complications, monocytes and other cells beside the T cells, freezing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from livingdrug.patients import Patients
from livingdrug.streams import Purpose
from livingdrug.therapy.declared import Declared
from livingdrug.therapy.stage import Attrition, Stage, require
from livingdrug.therapy.stated import Fixed, Fraction, LogitNormal, StatedValue, within

__all__ = ["Apheresis", "CollectionPlan", "collect"]

UL_PER_L = 1e6


class CollectionPlan(Declared):
    """How the cells are collected: efficiency, processed volume, and the least that is sent to manufacture."""

    efficiency: Fraction = LogitNormal(
        median=0.60,
        logit_sd=2 * math.log(1.5) / 1.2815515655446004,
        source="cytotherapy2023collection",
        mark="computed",
        note="mean lymphocyte efficiency about 0.60; 90 % of collections reach 0.40",
    )
    volume: Annotated[StatedValue, within("L", above=True)] = Fixed(
        value=5.0,
        unit="L",
        source="cytotherapy2023collection",
        mark="assumed",
        note="upper end: the mean in adults is below 5 L",
    )
    least_t_cells: Annotated[StatedValue, within("cell")] = Fixed(
        value=0.0, unit="cell", note="no collection is refused for its size"
    )


@dataclass(frozen=True, eq=False, repr=False)
class Apheresis(Stage):
    """Collected cells: ``collected_t_cells`` with the efficiency and the processed volume that gave them."""

    COLUMNS: ClassVar = {"collection_efficiency": "fraction", "processed_volume_L": "L", "collected_t_cells": "cell"}

    @property
    def t_cells(self) -> NDArray[np.float64]:
        """T cells in the bag, shape (n,)."""
        return self.patients["collected_t_cells"]


def collect(patients: Patients, plan: CollectionPlan | None = None, *, seed: int = 0) -> Apheresis:
    """Collect T cells from every patient.

    Args:
        patients: needs the column ``cd3_per_uL`` (T cells in blood before collection, 1/uL).
        plan: efficiency, volume and least number of cells.
        seed: of the patients' random streams.

    Raises:
        InputError: the column is missing or negative.

    Source:
        efficiency and planning rule: Cytotherapy S1465-3249(23)00103-2 (``cytotherapy2023collection``).

    Example:
        >>> bag = collect(Patients([1, 2], {"cd3_per_uL": [900.0, 300.0]}, {"cd3_per_uL": "1/uL"}), seed=1)
        >>> bool(bag.t_cells[0] > 1e9), len(bag.attrition)
        (True, 0)
    """
    plan = plan or CollectionPlan()
    require(patients, {"cd3_per_uL": "1/uL"}, "collect")
    efficiency = plan.efficiency.draw(seed, patients.ids, Purpose.COLLECTION_EFFICIENCY)
    volume = plan.volume.draw(seed, patients.ids, Purpose.PROCESSED_VOLUME)
    columns = {
        "collection_efficiency": efficiency,
        "processed_volume_L": volume,
        "collected_t_cells": efficiency * patients["cd3_per_uL"] * UL_PER_L * volume,
    }
    bag = Apheresis(patients.with_columns(columns, Apheresis.COLUMNS), Attrition.none())
    least = plan.least_t_cells.draw(seed, patients.ids, "least_t_cells")
    return bag.without(bag.t_cells < least, "collection", "too few T cells collected", 0.0)

"""Engineering: T cells are activated and given the gene of the receptor.

Gene copies fall on cells by a Poisson law with mean m copies per cell. Then the fraction of cells with at least one
copy is 1 - exp(-m), and a cell with the gene carries m / (1 - exp(-m)) copies on average. "Vector copy number" has
three denominators, kept apart here: per haploid genome (m / 2), per cell (m), per CAR-positive cell.

Left out: over-dispersion and refractory cells (real products carry more copies per positive cell than Poisson says),
saturation and toxicity of the vector, silencing, the cells' phenotype, selection of CD4 and CD8 cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.streams import Purpose
from livingdrug.therapy.collection import Apheresis
from livingdrug.therapy.declared import Declared
from livingdrug.therapy.stage import Stage
from livingdrug.therapy.stated import Fixed, Fraction, LogNormal, StatedValue, within

__all__ = ["EngineeredCells", "EngineeringPlan", "car_positive_fraction", "copies_per_positive_cell", "engineer"]


class EngineeringPlan(Declared):
    """How the gene is transferred: T cells that survive the preparation, and mean copies per surviving cell."""

    recovery: Fraction = Fixed(
        value=0.55,
        unit="fraction",
        source="prodigy2018",
        mark="assumed",
        note="read for CD4/CD8 selection (55 +- 6 %), taken for the whole preparation",
    )
    copies_per_cell: Annotated[StatedValue, within("copy/cell")] = LogNormal(
        median=1.0,
        log_sd=0.25,
        unit="copy/cell",
        source="muc1transduction2021",
        mark="computed",
        note="Poisson mean of 63.2 % positive cells (spinoculation with RetroNectin); the spread is assumed",
    )


@dataclass(frozen=True, eq=False, repr=False)
class EngineeredCells(Stage):
    """Surviving T cells, those lost, the CAR-positive fraction and gene copies with each denominator."""

    COLUMNS: ClassVar = {
        "engineered_t_cells": "cell",
        "preparation_loss": "cell",
        "car_positive": "fraction",
        "copies_per_haploid_genome": "copy/genome",
        "copies_per_cell": "copy/cell",
        "copies_per_car_cell": "copy/cell",
    }

    @property
    def t_cells(self) -> NDArray[np.float64]:
        """Living T cells after gene transfer, shape (n,)."""
        return self.patients["engineered_t_cells"]

    @property
    def car_positive(self) -> NDArray[np.float64]:
        """Fraction of T cells with the receptor's gene, shape (n,)."""
        return self.patients["car_positive"]


def car_positive_fraction(copies_per_cell: ArrayLike) -> NDArray[np.float64]:
    """Return the fraction of cells with at least one copy, 1 - exp(-m), for a mean of m copies per cell.

    Example:
        >>> car_positive_fraction([0.0, 1.0]).round(3).tolist()
        [0.0, 0.632]
    """
    return -np.expm1(-np.asarray(copies_per_cell, np.float64))


def copies_per_positive_cell(copies_per_cell: ArrayLike) -> NDArray[np.float64]:
    """Return the mean copies of a cell that has the gene, m / (1 - exp(-m)); 1 in the limit of rare transfer.

    Example:
        >>> copies_per_positive_cell([0.0, -np.log(1 - 0.6)]).round(3).tolist()
        [1.0, 1.527]
    """
    mean = np.asarray(copies_per_cell, np.float64)
    some = mean > 0
    return np.divide(mean, car_positive_fraction(mean), out=np.ones_like(mean), where=some)


def engineer(cells: Apheresis, plan: EngineeringPlan | None = None, *, seed: int = 0) -> EngineeredCells:
    """Give the receptor's gene to the collected cells.

    Args:
        cells: collected T cells.
        plan: recovery and mean gene copies per cell.
        seed: of the patients' random streams.

    Source:
        Poisson gene transfer; values ``muc1transduction2021`` (doi 10.1186/s12860-021-00397-z), ``prodigy2018``.
    """
    plan = plan or EngineeringPlan()
    ids = cells.patients.ids
    recovery = plan.recovery.draw(seed, ids, Purpose.T_CELL_RECOVERY)
    mean = plan.copies_per_cell.draw(seed, ids, Purpose.GENE_COPIES)
    columns = {
        "engineered_t_cells": recovery * cells.t_cells,
        "preparation_loss": cells.t_cells - recovery * cells.t_cells,
        "car_positive": car_positive_fraction(mean),
        "copies_per_haploid_genome": mean / 2,
        "copies_per_cell": mean,
        "copies_per_car_cell": copies_per_positive_cell(mean),
    }
    return EngineeredCells(cells.patients.with_columns(columns, EngineeredCells.COLUMNS), cells.attrition)

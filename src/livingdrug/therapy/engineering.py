"""Engineering: T cells are selected, activated and given the gene of the receptor.

Cells are lost at thawing (if they came frozen), selection, activation and by the vector. Gene copies fall on the rest
by the laws of ``transduction``. "Vector copy number" is published with three denominators, kept apart here: per
haploid genome, per cell, per CAR-positive cell.

Left out: silencing, purity after selection, donors who differ in refractory cells, dose of beads, time of exposure,
which cells of a subset got the gene (the product carries one CAR-positive fraction).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, model_validator

from livingdrug.declared import Declared, Text
from livingdrug.errors import InputError, unknown_name
from livingdrug.streams import Purpose
from livingdrug.therapy.collection import PHENOTYPES, Apheresis
from livingdrug.therapy.stage import Stage
from livingdrug.therapy.stated import Fixed, Fraction, LogNormal, Normal, Stated, StatedValue, within
from livingdrug.therapy.transduction import (
    LEAST_SHAPE,
    car_positive_fraction,
    copies_per_positive_cell,
    vector_factor,
    vector_survival,
)
from livingdrug.therapy.transfer_methods import METHODS

__all__ = [
    "EngineeredCells",
    "EngineeringPlan",
    "Uptake",
    "car_positive_fraction",
    "copies_per_positive_cell",
    "engineer",
    "subset_positive",
]

Array = NDArray[np.float64]


def _is_shape(value: Stated) -> Stated:
    least, most = value.support
    if not (least == most == 0 or least >= LEAST_SHAPE):
        raise InputError(f"must be 0 (Poisson) or {LEAST_SHAPE:g} or more, but {value.describe()} can reach {least:g}")
    return value


Weight = Annotated[StatedValue, within("1", 0.0, above=True)]
Moi = Annotated[StatedValue, within("1", 0.0, 1e4)]


class Uptake(Declared):
    """How much vector each subset takes up relative to the others; only the ratios matter."""

    naive: Weight = Fixed(
        value=0.7,
        source="baevnaive2019",
        mark="assumed",
        note="read: usual vectors enter naive cells less; size assumed",
    )
    central_memory: Weight = Fixed(value=1.0)
    effector_memory: Weight = Fixed(value=1.0)
    effector: Weight = Fixed(value=1.0)


class EngineeringPlan(Declared):
    """How the gene is transferred; ``method`` fills what is not stated from one of the named parameter sets."""

    method: Text = ""
    thaw_recovery: Fraction = Fixed(
        value=0.725, unit="fraction", mark="recalled", note="frozen bags only; middle of a recalled 60 to 85 %"
    )
    recovery: Fraction = Normal(
        mean=0.55, sd=0.06, low=0.0, high=1.0, unit="fraction", source="prodigy2018", mark="read",
        note="selection of CD4 and CD8 cells",
    )  # fmt: skip
    activation_survival: Fraction = Fixed(value=0.9, unit="fraction", note="first two days; fresh cells")
    activation_survival_frozen: Fraction = Fixed(
        value=0.8, unit="fraction", source="panch2019", mark="assumed", note="read: a larger loss after freezing"
    )
    survival: Fraction = Fixed(value=0.9, unit="fraction", note="of the procedure at a harmless amount of vector")
    moi: Moi = Fixed(value=5.0, source="prodigy2018", mark="assumed", note="read as MOI 5 to 10 for another process")
    reference_moi: Moi = Fixed(value=5.0, note="MOI at which copies_per_cell holds")
    half_saturation: Annotated[StatedValue, within("1", 1e-3)] = Fixed(
        value=10.0, source="enhancers2022", mark="assumed", note="read: transfer no longer grows above MOI 10"
    )
    safe_moi: Moi = Fixed(value=10.0, source="enhancers2022", mark="read", note="live transfer falls above it")
    harm_per_moi: Annotated[StatedValue, within("1", 0.0)] = Fixed(
        value=0.06, note="so that live CAR-positive cells fall above the safe MOI whatever the method"
    )
    copies_per_cell: Annotated[StatedValue, within("copy/cell")] = LogNormal(
        median=1.0,
        log_sd=0.25,
        unit="copy/cell",
        source="muc1transduction2021",
        mark="computed",
        note="Poisson mean of 63.2 % positive cells (spinoculation with RetroNectin); the spread is assumed",
    )
    over_dispersion: Annotated[StatedValue, within("1"), AfterValidator(_is_shape)] = Fixed(
        value=0.0, note="Poisson; real products can be far from it, see method ari_0001"
    )
    refractory: Fraction = Fixed(value=0.0, unit="fraction", note="no cell is refractory")
    copies: Literal["counted", "one", "none"] = "counted"
    uptake: Uptake = Uptake()

    @model_validator(mode="before")
    @classmethod
    def _fill_from_method(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not values.get("method"):
            return values
        method = values["method"]
        if not isinstance(method, str) or method not in METHODS:
            raise InputError(unknown_name("method of gene transfer", method, METHODS))
        return {**METHODS[method], **values}


@dataclass(frozen=True, eq=False, repr=False)
class EngineeredCells(Stage):
    """Surviving T cells, those lost, the CAR-positive fraction, gene copies with each denominator, and the law."""

    COLUMNS: ClassVar = {
        "engineered_t_cells": "cell",
        "preparation_loss": "cell",
        "car_positive": "fraction",
        "copies_per_haploid_genome": "copy/genome",
        "copies_per_cell": "copy/cell",
        "copies_per_car_cell": "copy/cell",
        "refractory_fraction": "fraction",
        "vector_moi": "1",
        "over_dispersion": "1",
        "engineering_viability": "fraction",
    }

    @property
    def t_cells(self) -> Array:
        """Living T cells after gene transfer, shape (n,)."""
        return self.patients["engineered_t_cells"]

    @property
    def car_positive(self) -> Array:
        """Fraction of T cells with the receptor's gene, shape (n,)."""
        return self.patients["car_positive"]


def engineer(cells: Apheresis, plan: EngineeringPlan | None = None, *, seed: int = 0) -> EngineeredCells:
    """Give the receptor's gene to the collected cells.

    Args:
        cells: collected T cells.
        plan: recoveries, amount of vector and law of gene transfer, or the name of a method.
        seed: of the patients' random streams.

    Source:
        selection ``prodigy2018``, method effect ``muc1transduction2021`` (doi 10.1186/s12860-021-00397-z), MOI
        ``enhancers2022``, refractory cells ``lentiviralcells2025``.

    Example:
        >>> from livingdrug.patients import Patients
        >>> from livingdrug.therapy.collection import collect
        >>> bag = collect(Patients([1], {"cd3_per_uL": [900.0]}, {"cd3_per_uL": "1/uL"}), seed=1)
        >>> made = engineer(bag, EngineeringPlan(method="trac_knock_in"), seed=1)
        >>> float(made.patients["copies_per_car_cell"][0])
        1.0
    """
    plan = plan or EngineeringPlan()
    ids = cells.patients.ids

    def drawn(name: str, purpose: str | int = "") -> Array:
        return getattr(plan, name).draw(seed, ids, purpose or name)

    moi, mean = drawn("moi"), drawn("copies_per_cell", Purpose.GENE_COPIES)
    mean = mean * vector_factor(moi, drawn("reference_moi"), drawn("half_saturation"))
    viability = drawn("survival") * vector_survival(moi, drawn("safe_moi"), drawn("harm_per_moi"))
    frozen = cells.patients["frozen_on_arrival"] > 0
    kept = drawn("recovery", Purpose.T_CELL_RECOVERY) * viability
    kept = kept * np.where(
        frozen,
        drawn("thaw_recovery") * drawn("activation_survival_frozen"),
        drawn("activation_survival"),
    )
    shape, refractory = drawn("over_dispersion"), drawn("refractory")
    columns = {
        "engineered_t_cells": kept * cells.t_cells,
        "preparation_loss": cells.t_cells - kept * cells.t_cells,
        **_copies(cells, plan, seed, mean, shape, refractory),
        "refractory_fraction": refractory,
        "vector_moi": moi,
        "over_dispersion": shape,
        "engineering_viability": viability,
    }
    return EngineeredCells(cells.patients.with_columns(columns, EngineeredCells.COLUMNS), cells.attrition)


def subset_positive(
    cells: Apheresis, plan: EngineeringPlan, mean: Array, shape: Array, refractory: Array, *, seed: int = 0
) -> Array:
    """Return the CAR-positive fraction of each subset (naive, central memory, effector memory, effector).

    The subsets share the mean: each gets its relative uptake of it, scaled so that all cells together have ``mean``.

    Args:
        cells: collected cells with their phenotype.
        plan: relative uptake of the subsets.
        mean: copies per cell that can take up vector, shape (n,).
        shape: of the gamma-Poisson law, 0 for Poisson, shape (n,).
        refractory: fraction, shape (n,).
        seed: of the patients' random streams.

    Returns:
        Fractions, shape (n, 4).
    """
    ids, patients = cells.patients.ids, cells.patients
    weights = [getattr(plan.uptake, name).draw(seed, ids, f"uptake of {name}") for name in PHENOTYPES]
    total = sum(patients[f"{name}_fraction"] * weight for name, weight in zip(PHENOTYPES, weights, strict=True))
    found = [car_positive_fraction(mean * weight / total, shape, refractory) for weight in weights]
    return np.column_stack(found)


def _copies(
    cells: Apheresis, plan: EngineeringPlan, seed: int, mean: Array, shape: Array, refractory: Array
) -> dict[str, Array]:
    """Return the CAR-positive fraction, and the copies per haploid genome, per cell and per CAR-positive cell."""
    subsets = subset_positive(cells, plan, mean, shape, refractory, seed=seed)
    positive = sum(subsets[:, k] * cells.patients[f"{name}_fraction"] for k, name in enumerate(PHENOTYPES))
    positive = np.minimum(positive, 1.0)
    if plan.copies == "counted":
        per_cell = (1 - refractory) * mean
        some = positive > np.finfo(np.float64).tiny  # smaller ones have no digits left to divide by
        per_positive = np.divide(per_cell, positive, out=np.ones_like(per_cell), where=some)
    else:
        per_positive = np.full_like(mean, 1.0 if plan.copies == "one" else 0.0)
        per_cell = positive * per_positive
    return {
        "car_positive": positive,
        "copies_per_haploid_genome": per_cell / 2,
        "copies_per_cell": per_cell,
        "copies_per_car_cell": per_positive,
    }

"""Virtual patients of a disease before treatment, drawn from stated distributions with stated correlations.

Example:
    >>> patients = disease("b_all").draw([1, 2, 3], seed=1)
    >>> patients.units["burden_cells"], bool((patients["weight_kg"] < 120).all())
    ('cell', True)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, field_validator, model_validator

from livingdrug.declared import Declared, Text, declare, read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.patients import Patients
from livingdrug.population.copula import Correlation, correlated_normals, correlation_matrix
from livingdrug.therapy.stated import Fixed, StatedValue

__all__ = ["BURDENS", "COLUMNS", "DISEASES", "Disease", "disease", "stated_name"]

COLUMNS: Mapping[str, tuple[str, float, float, str]] = {
    "age_years": ("year", 0, 110, "age"),
    "weight_kg": ("kg", 1, 300, "body weight"),
    "height_cm": ("cm", 40, 230, "height"),
    "female": ("1", 0, 1, "1 for a woman or a girl, else 0"),
    "tumour_growth": ("1/day", 0, 2, "growth rate of the tumour"),
    "antigen_density": ("1", 0.001, 1000, "target antigen on a tumour cell, 1 is typical of the disease"),
    "negative_share": ("fraction", 0, 1, "share of tumour cells that lack the target before treatment"),
    "marrow_reserve": ("1", 0.01, 2, "blood-forming marrow, 1 is normal"),
    "b_cells": ("1", 0, 10, "normal B cells, 1 is normal"),
    "crp": ("mg/L", 0, 1000, "C-reactive protein"),
    "ferritin": ("ug/L", 1, 1e6, "ferritin"),
    "ldh": ("U/L", 50, 20000, "lactate dehydrogenase"),
    "lymphocytes": ("1/uL", 1, 1e6, "lymphocytes in blood"),
    "fitness": ("1", 0.001, 1000, "how well the T cells divide, 1 is typical of the disease"),
    "lines": ("1", 0, 30, "earlier lines of therapy"),
}
"""Columns that every disease states: unit, least and largest value that can be, what it is."""

BURDENS: Mapping[str, tuple[str, float, float, str]] = {
    "burden_cells": ("cell", 1, 1e14, "tumour cells"),
    "tumour_volume": ("mL", 1e-6, 1e5, "tumour volume, as 1e9 cells per mL"),
    "marrow_blasts": ("fraction", 0, 1, "share of tumour cells in the marrow"),
}
"""The burden is stated in one of these ways; ``burden_cells`` is always among the patients' columns."""

CELLS_PER_ML = 1e9  # cartecology: HybridModel_08_30_20.jl, VT
UNITS = {name: unit for name, (unit, *_) in {**COLUMNS, **BURDENS}.items()}


class Disease(Declared):
    """What patients of a disease are like, and about which disease of the body they vary.

    Attributes:
        name: as in the file's name.
        title: in words.
        body: disease of :mod:`livingdrug.body.diseases` about which they vary.
        group: disease with whose trials it is calibrated; its own name if it has such trials.
        columns: one stated distribution for each of ``COLUMNS``, and one of ``BURDENS``.
        marrow_cells: cells of the marrow per kilogram, where the burden is a share of them.
        low_expanders: share of patients whose CAR T cells hardly grow.
        correlations: between columns, on the normal scale; all others are independent.
        body_values: parameters in which it differs from that.
        spreads: effect of ``population.effects`` -> SD of its logarithm between patients, where not that of everyone.
        assumptions: in sentences.
    """

    name: Text
    title: Text
    body: Text
    group: Text
    columns: dict[str, StatedValue]
    low_expanders: StatedValue
    marrow_cells: StatedValue | None = None
    correlations: tuple[Correlation, ...] = ()
    body_values: dict[str, StatedValue] = Field(default_factory=dict)
    spreads: dict[str, StatedValue] = Field(default_factory=dict)
    assumptions: tuple[Text, ...] = ()

    @field_validator("columns")
    @classmethod
    def _columns_are_known(cls, columns: dict[str, StatedValue]) -> dict[str, StatedValue]:
        known = {**COLUMNS, **BURDENS}
        for name, stated in columns.items():
            if name not in known:
                raise InputError(unknown_name("column of a disease", name, known))
            unit, least, most, what = known[name]
            low, high = stated.support
            if stated.unit != unit:
                raise InputError(f"{name}: the unit must be {unit!r}, got {stated.unit!r}")
            if low < least or high > most:
                raise InputError(
                    f"{name} ({what}) must lie between {least:g} and {most:g} {unit}, but {stated.describe()} reaches "
                    f"from {low:g} to {high:g}; give low and high"
                )
        missing = [name for name in COLUMNS if name not in columns]
        if missing:
            raise InputError(f"the columns {', '.join(missing)} are missing")
        if sum(name in columns for name in BURDENS) != 1:
            raise InputError(f"the burden is stated by one of {', '.join(BURDENS)}")
        return columns

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.body not in _bodies():
            raise InputError(unknown_name("disease of the body", self.body, _bodies()))
        if ("marrow_blasts" in self.columns) != (self.marrow_cells is not None):
            raise InputError("marrow_cells is given with the column marrow_blasts, and only then")
        correlation_matrix(self._varied(), self.correlations)
        return self

    def _varied(self) -> tuple[str, ...]:
        return tuple(name for name, stated in self.columns.items() if not isinstance(stated, Fixed))

    def draw(self, ids: ArrayLike, seed: int = 0) -> Patients:
        """Return the patients with these identifiers; the others of a cohort do not matter to them.

        Args:
            ids: whole numbers, shape (patient,).
            seed: of the random streams.

        Returns:
            The columns of the disease, and ``bsa_m2`` (Mosteller's formula) and ``burden_cells``.

        Raises:
            InputError: an identifier or the seed is not a whole number in its range.
        """
        from scipy.special import ndtr

        z = correlated_normals(self._varied(), self.correlations, ids, seed=seed, purpose="population")
        count = np.atleast_1d(np.asarray(ids)).size
        columns = {
            name: stated.quantile(np.clip(ndtr(z[name]), 1e-16, 1 - 1e-16) if name in z else np.full(count, 0.5))
            for name, stated in self.columns.items()
        }
        columns["bsa_m2"] = np.sqrt(columns["height_cm"] * columns["weight_kg"] / 3600.0)
        columns["burden_cells"] = self._burden(columns)
        return Patients(np.atleast_1d(np.asarray(ids)), columns, {name: UNITS.get(name, "m**2") for name in columns})

    def _burden(self, columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        if "burden_cells" in columns:
            return columns["burden_cells"]
        if "tumour_volume" in columns:
            return columns["tumour_volume"] * CELLS_PER_ML
        assert self.marrow_cells is not None  # checked above
        return columns["marrow_blasts"] * columns["weight_kg"] * self.marrow_cells.quantile(0.5)

    def typical_burden(self) -> float:
        """Return the burden of a patient who is the median in every column, in cells."""
        middle = {name: np.asarray(stated.quantile(0.5)) for name, stated in self.columns.items()}
        return float(self._burden(middle))

    def typical(self) -> dict[str, float]:
        """Return the parameters in which this disease differs from the body's own, in declared units."""
        held = {name: value for name, (value, _) in _bodies()[self.body].items()}
        return held | {name: float(stated.quantile(0.5)) for name, stated in self.body_values.items()}

    def with_columns(self, columns: Mapping[str, StatedValue]) -> Disease:
        """Return the disease with other distributions for some columns, such as a trial's own; errors as for the class.

        Example:
            >>> second_line = disease("lbcl").with_columns({"lines": Fixed(value=1)})
            >>> second_line.draw([5], seed=1)["lines"].tolist()
            [1.0]
        """
        burden = any(name in BURDENS for name in columns)
        new = {name: stated for name, stated in self.columns.items() if not (burden and name in BURDENS)} | dict(
            columns
        )
        varied = {name for name, stated in new.items() if not isinstance(stated, Fixed)}
        held = {name: getattr(self, name) for name in type(self).model_fields}
        held["correlations"] = tuple(pair for pair in self.correlations if varied.issuperset(pair.between))
        held["marrow_cells"] = self.marrow_cells if "marrow_blasts" in new else None
        return Disease(**{**held, "columns": new})


def _bodies() -> Mapping[str, Mapping[str, tuple[float, str]]]:
    from livingdrug.body.diseases import DISEASES

    return DISEASES


FOLDER = Path(__file__).with_name("diseases")
DISEASES: tuple[str, ...] = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
"""Names of the diseases."""


def stated_name(what: str, name: str, known: tuple[str, ...]) -> str:
    """Return a name if it is known; otherwise an InputError names the nearest."""
    if not isinstance(name, str) or name not in known:
        raise InputError(unknown_name(what, name, known))
    return name


@cache
def _read(name: str) -> Disease:
    found = declare(Disease, read_toml(FOLDER / f"{name}.toml"), f"{name}.toml")
    if found.name != name:
        raise InputError(f"{name}.toml: the name must be {name!r}, got {found.name!r}")
    return found


def disease(name: str) -> Disease:
    """Return a disease by name; an unknown one is an InputError with the nearest name."""
    return _read(stated_name("disease", name, DISEASES))

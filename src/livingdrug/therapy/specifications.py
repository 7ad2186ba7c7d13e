"""Specifications: the published release limits of five products, row by row, and how a batch stands against them.

Example:
    >>> sum(len(specification(name).rows) for name in specification_names())
    23
    >>> found = specification("humanised-cd19-india").judge({"car_positive": 23, "viability": 91, "residual_beads": 0})
    >>> [(row.attribute, verdict) for row, verdict in found][:3]
    [('CAR+ pct', 'met'), ('viability pct', 'met'), ('residual beads', 'met')]
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from livingdrug.declared import Declared, Number, Text, declare, read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.therapy.release import ReleasePlan
from livingdrug.therapy.stated import Fixed, Mark, SourceKey

__all__ = [
    "MEASURES",
    "Criterion",
    "Row",
    "Specification",
    "read_specification",
    "specification",
    "specification_names",
]

FILE = Path(__file__).with_name("specifications.toml")
MEASURES: dict[str, tuple[str, float, float]] = {
    "car_positive": ("percent", 0, 100),
    "car_positive_day_5": ("percent", 0, 100),
    "t_cell_purity": ("percent", 0, 100),
    "viability": ("percent", 0, 100),
    "dose": ("cell/kg", 0, math.inf),
    "copies_per_cell": ("copy/cell", 0, math.inf),
    "copies_per_car_cell": ("copy/cell", 0, math.inf),
    "endotoxin": ("EU/mL", 0, math.inf),
    "growth_of_germs": ("1", 0, 1),
    "mycoplasma": ("1", 0, 1),
    "replicating_virus": ("1", 0, 1),
    "target_survival": ("percent", 0, 1000),
    "target_survival_difference": ("percent", -1000, 1000),
    "residual_beads": ("per 3e6 cells", 0, math.inf),
    "interferon_gamma": ("pg/mL", 0, math.inf),
    "cytotoxicity": ("percent", 0, 100),
}
"""Measure -> unit, least and largest possible value; 1 means found, 0 not found."""

Verdict = Literal["met", "failed", "not tested"]
LIMITS_OF_RELEASE = {
    "viability": ("least_viability", 0.01, "fraction"),
    "t_cell_purity": ("least_t_cell_purity", 0.01, "fraction"),
    "car_positive": ("least_car_positive", 0.01, "fraction"),
    "copies_per_car_cell": ("most_copies_per_car_cell", 1.0, "copy/cell"),
    "copies_per_cell": ("most_copies_per_cell", 1.0, "copy/cell"),
    "dose": ("least_dose", 1.0, "cell/kg"),
}


class Criterion(Declared):
    """One limit: a measure, how it is compared, and with what (in the unit of the measure)."""

    measure: Text
    relation: Literal[">=", ">", "<=", "<", "absent"]
    limit: Number = 0.0

    @field_validator("measure")
    @classmethod
    def _known(cls, measure: str) -> str:
        if measure not in MEASURES:
            raise InputError(unknown_name("measure of a release test", measure, MEASURES))
        return measure

    def met_by(self, value: float) -> bool:
        """Return whether a value is within the limit."""
        if self.relation == "absent":
            return value == 0
        found = {">=": value >= self.limit, ">": value > self.limit, "<=": value <= self.limit, "<": value < self.limit}
        return found[self.relation]


class Row(Declared):
    """One row of a specification, as printed and as numbers."""

    attribute: Text
    method: Text
    acceptance: Text
    need: Literal["all", "any"] = "all"
    after_release: bool = False
    criteria: Annotated[tuple[Criterion, ...], Field(min_length=1)]

    def judge(self, results: Mapping[str, float]) -> Verdict:
        """Return the verdict on results; a row of several limits is open until the missing ones cannot change it."""
        known = [c.met_by(float(results[c.measure])) for c in self.criteria if c.measure in results]
        if self.need == "any":
            settled = any(known) or len(known) == len(self.criteria)
        else:
            settled = not all(known) or len(known) == len(self.criteria)
        if not settled:
            return "not tested"
        return "met" if (any(known) if self.need == "any" else all(known)) else "failed"


class Specification(Declared):
    """The release specification of one product."""

    title: Text
    source: SourceKey
    mark: Mark
    place: Text
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]

    def judge(self, results: Mapping[str, float], batch: str = "") -> tuple[tuple[Row, Verdict], ...]:
        """Return each row with its verdict: met, failed or not tested.

        Args:
            results: measure -> value in the unit of ``MEASURES``.
            batch: name of the batch, for messages.

        Raises:
            InputError: an unknown measure or an impossible value, e.g. a viability of 120 percent.
        """
        for name, value in results.items():
            if name not in MEASURES:
                raise InputError(unknown_name("measure of a release test", name, MEASURES, place=batch))
            unit, least, most = MEASURES[name]
            if isinstance(value, bool | str) or not least <= value <= most or math.isinf(value):
                of = f" for batch {batch}" if batch else ""
                raise InputError(f"{name} must be from {least:g} to {most:g} {unit}, got {value!r:.40}{of}")
        return tuple((row, row.judge(results)) for row in self.rows)

    def release_plan(self, **others: Any) -> ReleasePlan:
        """Return a release plan with those limits of this specification that the simulated release knows.

        Args:
            others: further fields of the plan; limits that the specification does not name keep their defaults.
        """
        limits: dict[str, Any] = {}
        for row in self.rows:
            for criterion in row.criteria if row.need == "all" else ():
                if criterion.measure in LIMITS_OF_RELEASE:
                    field, scale, unit = LIMITS_OF_RELEASE[criterion.measure]
                    value = round(criterion.limit * scale, 12)
                    note = f"{row.attribute} {row.acceptance}, {self.place}"
                    limits[field] = Fixed(value=value, unit=unit, source=self.source, mark=self.mark, note=note)
        return ReleasePlan(**{**limits, **others})


@lru_cache(maxsize=1)
def _specifications() -> dict[str, Specification]:
    return {name: declare(Specification, table, f"{FILE.name}: {name}") for name, table in read_toml(FILE).items()}


def specification_names() -> tuple[str, ...]:
    """Return the names of the published specifications."""
    return tuple(_specifications())


def specification(name: str) -> Specification:
    """Return a published specification; an unknown name is an InputError with the nearest ones."""
    if name not in _specifications():
        raise InputError(unknown_name("release specification", name, _specifications()))
    return _specifications()[name]


def read_specification(path: str | Path) -> Specification:
    """Read a site's own specification from a TOML file of the same form; InputError names the key and the file."""
    return declare(Specification, read_toml(path), str(path))

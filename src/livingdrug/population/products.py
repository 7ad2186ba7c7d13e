"""Products as data: receptor, process, how each is dosed, and the lymphodepletion before it.

Example:
    >>> axi_cel = product("axi_cel")
    >>> axi_cel.receptor.costimulation, sorted(axi_cel.indications)
    ('CD28', ['fl', 'lbcl', 'lbcl_second_line'])
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import AfterValidator, Field, field_validator, model_validator

from livingdrug.declared import Declared, Number, Text, declare, read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.patients import Patients
from livingdrug.population.diseases import BURDENS, COLUMNS, DISEASES, stated_name
from livingdrug.streams import uniform
from livingdrug.therapy.stated import StatedValue, within

if TYPE_CHECKING:
    from livingdrug.engine.schedule import Dose

__all__ = ["PRODUCTS", "Band", "DoseRule", "Drug", "Indication", "Process", "Product", "Receptor", "Split", "product"]

Array = NDArray[np.float64]
CellsPerKg = Annotated[StatedValue, within("cell/kg", above=True)]
Cells = Annotated[StatedValue, within("cell", above=True)]
Copies = Annotated[StatedValue, within("copy/cell", 0.01, 20.0)]
LONGEST_SPLIT = 60.0  # days
SUM_ERROR = 1e-6


class Receptor(Declared):
    """The receptor's parts; ``recalled`` names those that were not read in a source."""

    target: Literal["CD19", "BCMA"]
    binder: Text
    hinge: Text
    transmembrane: Text
    costimulation: Literal["CD28", "4-1BB"]
    signal: Text = "CD3z"
    extra: Text = ""
    recalled: tuple[Text, ...] = ()


class Process(Declared):
    """How the product is made: vector, composition, days in culture and gene copies per CAR T cell."""

    vector: Literal["lentiviral", "gamma-retroviral"]
    composition: Text
    days: Annotated[StatedValue, within("day", 0.5, 60.0)]
    copies_per_cell: Copies


class Band(Declared):
    """The dose between two body weights: per kilogram, or flat; ``label`` is what the label allows."""

    from_kg: Number = 0.0
    below_kg: Number = 1000.0
    per_kg: CellsPerKg | None = None
    flat: Cells | None = None
    most_cells: Number | None = None
    label: tuple[Number, Number] | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.per_kg is None) == (self.flat is None):
            raise InputError("a band gives the dose either per_kg or flat")
        if not 0 <= self.from_kg < self.below_kg:
            raise InputError(f"a band needs from_kg below below_kg, got {self.from_kg:g} and {self.below_kg:g}")
        if self.label is not None and not 0 < self.label[0] <= self.label[1]:
            raise InputError(f"the label's range must rise from above 0, got {self.label[0]:g} to {self.label[1]:g}")
        return self

    def cells(self, ids: ArrayLike, weight: Array, seed: int) -> Array:
        """Return the cells for patients of these weights, shape (patient,)."""
        stated, size = (self.per_kg, weight) if self.per_kg is not None else (self.flat, np.ones_like(weight))
        assert stated is not None  # checked above
        given = stated.draw(seed, ids, "dose") * size
        return given if self.most_cells is None else np.minimum(given, self.most_cells)


class Level(Declared):
    """One dose level of a trial, with its weight among the levels."""

    cells: Annotated[Number, Field(gt=0)]
    weight: Annotated[Number, Field(ge=0)] = 1.0


class Part(Declared):
    """A part of a split dose."""

    day: Annotated[Number, Field(ge=0, le=LONGEST_SPLIT)]
    cells: Annotated[Number, Field(gt=0)]


def _known_column(name: str) -> str:
    if name not in {**COLUMNS, **BURDENS}:
        raise InputError(unknown_name("column of the patients", name, {**COLUMNS, **BURDENS}))
    return name


class Share(Declared):
    """A part of a fractionated dose, as a share of the whole."""

    day: Annotated[Number, Field(ge=0, le=LONGEST_SPLIT)]
    share: Annotated[Number, Field(gt=0, le=1)]


class Split(Declared):
    """A dose in parts that depend on one column: those above a threshold get one schedule, the others another."""

    by: Annotated[Text, AfterValidator(_known_column)]
    threshold: Number
    above: Annotated[tuple[Part, ...], Field(min_length=1)]
    others: Annotated[tuple[Part, ...], Field(min_length=1)]


class DoseRule(Declared):
    """How many cells a patient gets: by weight bands, by a trial's dose levels, or split by burden (exactly one).

    ``fractions`` spread the cells of bands or levels over several days.
    """

    bands: tuple[Band, ...] = ()
    levels: tuple[Level, ...] = ()
    split: Split | None = None
    fractions: tuple[Share, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum((bool(self.bands), bool(self.levels), self.split is not None)) != 1:
            raise InputError("a dose rule has bands, levels or a split: one of them")
        ends = [(band.from_kg, band.below_kg) for band in self.bands]
        if ends and (ends[0][0] != 0 or any(a[1] != b[0] for a, b in pairwise(ends))):
            raise InputError(f"weight bands must follow each other without a gap from 0 kg on, got {ends}")
        if self.levels and not sum(level.weight for level in self.levels) > 0:
            raise InputError("the weights of the dose levels must not all be 0")
        if self.fractions and (self.split is not None or abs(sum(f.share for f in self.fractions) - 1) > SUM_ERROR):
            raise InputError("the fractions of a dose with bands or levels must add up to 1")
        return self

    def given(self, patients: Patients, seed: int = 0) -> list[tuple[Array, Array]]:
        """Return the parts of each patient's dose in their order: (day after the first, cells), shapes (patient,).

        A patient with fewer parts has the day NaN and no cells.
        """
        if self.split is not None:
            return self._split(patients)
        whole = self._leveled(patients.ids, seed) if self.levels else self._banded(patients, seed)
        first = self.fractions[0].day if self.fractions else 0.0
        pieces = [(f.day - first, f.share) for f in self.fractions] or [(0.0, 1.0)]
        return [(np.full(len(patients), day), share * whole) for day, share in pieces]

    def _leveled(self, ids: ArrayLike, seed: int) -> Array:
        shares = np.cumsum([level.weight for level in self.levels])
        luck = uniform(seed, ids, "dose level")[:, 0] * shares[-1]
        chosen = np.minimum(np.searchsorted(shares, luck, side="right"), len(self.levels) - 1)
        return np.array([level.cells for level in self.levels])[chosen]

    def _banded(self, patients: Patients, seed: int) -> Array:
        ids, weight = patients.ids, patients["weight_kg"]
        if weight.size and weight.max() >= self.bands[-1].below_kg:
            raise InputError(f"no weight band for {weight.max():g} kg (patient {ids[weight.argmax()]})")
        number = np.zeros(len(patients))
        for band in self.bands:
            held = (weight >= band.from_kg) & (weight < band.below_kg)
            number[held] = band.cells(ids[held], weight[held], seed)
        return number

    def _split(self, patients: Patients) -> list[tuple[Array, Array]]:
        assert self.split is not None  # asked by given
        high = patients[self.split.by] > self.split.threshold
        found = []
        for number in range(max(len(self.split.above), len(self.split.others))):
            day, cells = np.full(len(patients), np.nan), np.zeros(len(patients))
            for held, parts in ((high, self.split.above), (~high, self.split.others)):
                if number < len(parts):
                    day[held], cells[held] = parts[number].day - parts[0].day, parts[number].cells
            found.append((day, cells))
        return found


class Drug(Declared):
    """A drug of a lymphodepletion that the body's list of regimens does not hold."""

    drug: Literal["fludarabine", "cyclophosphamide", "bendamustine"]
    mg_per_m2: Annotated[Number, Field(gt=0)]
    first_day: Annotated[Number, Field(ge=-6, le=-1)]
    days: Annotated[int, Field(ge=1, le=6)]


class Indication(Declared):
    """A disease in which the product is given: after what, at which dose, after which lymphodepletion.

    Attributes:
        disease: name of a disease.
        lines: earlier treatment, in words.
        dose: rule.
        lymphodepletion: name of a regimen in ``body.treatment``, or its drugs.
        source: key, or "" if recalled or assumed throughout.
        note: what was read and what was not.
    """

    disease: Annotated[Text, AfterValidator(lambda name: stated_name("disease", name, DISEASES))]
    lines: Text
    dose: DoseRule
    lymphodepletion: Text | tuple[Drug, ...]
    source: Text = ""
    note: Text = ""

    @field_validator("lymphodepletion")
    @classmethod
    def _regimen_is_known(cls, regimen: str | tuple[Drug, ...]) -> str | tuple[Drug, ...]:
        from livingdrug.body.treatment import REGIMENS

        if isinstance(regimen, str) and regimen not in REGIMENS:
            raise InputError(unknown_name("regimen of lymphodepletion", regimen, REGIMENS))
        return regimen


class Product(Declared):
    """A CAR T-cell product.

    Attributes:
        name: as in the file's name.
        generic: international name.
        brand: trade name, "" for none.
        developer: who makes it.
        receptor: its parts.
        process: how it is made.
        indications: by name.
    """

    name: Text
    generic: Text
    brand: Text = ""
    developer: Text
    receptor: Receptor
    process: Process
    indications: Annotated[dict[str, Indication], Field(min_length=1)]

    def indication(self, name: str) -> Indication:
        """Return an indication by name; an unknown one is an InputError with the nearest name."""
        if name not in self.indications:
            raise InputError(unknown_name(f"indication of {self.name}", name, self.indications))
        return self.indications[name]

    def dose_cells(self, patients: Patients, indication: str, *, rule: DoseRule | None = None, seed: int = 0) -> Array:
        """Return the CAR T cells that each patient gets in all, shape (patient,); see :meth:`doses`."""
        chosen = rule or self.indication(indication).dose
        return np.sum([cells for _, cells in chosen.given(patients, seed)], axis=0)

    def doses(
        self,
        patients: Patients,
        indication: str,
        *,
        rule: DoseRule | None = None,
        depleted: ArrayLike = True,
        seed: int = 0,
    ) -> list[Dose]:
        """Return lymphodepletion and cells as doses for the body; the first cells come on day 0.

        Args:
            patients: with the column ``weight_kg``, and that of a split rule.
            indication: name of an indication.
            rule: dose rule instead of the indication's own, such as the levels of a trial.
            depleted: who gets lymphodepletion, one truth or one per patient.
            seed: of the random streams.

        Raises:
            InputError: an unknown indication, a missing column, or a weight outside the bands.

        Example:
            >>> two = Patients([1, 2], {"weight_kg": [60.0, 130.0]}, {"weight_kg": "kg"})
            >>> [dose.amount.tolist() for dose in product("axi_cel").doses(two, "lbcl") if dose.target == "infused"]
            [[120000000.0, 200000000.0]]
        """
        from livingdrug.body.treatment import cells

        given = self.indication(indication)
        who = np.broadcast_to(np.asarray(depleted, bool), len(patients))
        before = [replace(dose, at=np.where(who, dose.at, np.nan)) for dose in _depletion(given.lymphodepletion)]
        parts = (rule or given.dose).given(patients, seed)
        return [*before, *(dose for day, number in parts for dose in cells(number, day=day))]


def _depletion(regimen: str | tuple[Drug, ...]) -> list[Dose]:
    from livingdrug.body.treatment import lymphodepletion
    from livingdrug.engine.schedule import Dose

    if isinstance(regimen, str):
        return lymphodepletion(regimen)
    return [Dose(row.drug, row.mg_per_m2, row.first_day, every=1.0, count=row.days) for row in regimen]


FOLDER = Path(__file__).with_name("products")
PRODUCTS: tuple[str, ...] = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
"""Names of the products."""


@cache
def _read(name: str) -> Product:
    found = declare(Product, read_toml(FOLDER / f"{name}.toml"), f"{name}.toml")
    if found.name != name:
        raise InputError(f"{name}.toml: the name must be {name!r}, got {found.name!r}")
    return found


def product(name: str) -> Product:
    """Return a product by name; an unknown one is an InputError with the nearest name."""
    return _read(stated_name("product", name, PRODUCTS))

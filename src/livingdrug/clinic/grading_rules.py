"""The grading scales as data: cells with conditions, read from ``rules/grading_*.toml`` and checked.

Example:
    >>> scale("astct-crs").cells[1].text
    'low pressure, no vasopressor'
    >>> scale("astct-crs").mark
    'read'
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.clinic.observations_items import ITEMS
from livingdrug.errors import DeclarationError, InputError, unknown_name

__all__ = ["GROUPS", "MARKS", "Cell", "Condition", "DayCell", "DayScale", "Scale", "group", "laboratory", "scale"]

FOLDER = Path(__file__).with_name("rules")
FILES = ("grading_crs.toml", "grading_brain.toml", "grading_blood.toml")
MARKS = ("read", "confirmed", "recalled")
NOT_SCALES = ("terms", "laboratory")

GROUPS: dict[str, tuple[str, ...]] = {
    "astct": ("astct-crs", "astct-icans"),
    "icaht": ("icaht-early", "icaht-late"),
    "t-icaht": ("t-icaht-early", "t-icaht-late"),
    "ctcae-v4": ("ctcae-v4-crs", "ctcae-v4-neuro"),
    "ctcae-v5": ("ctcae-v5-crs", "ctcae-v5-neuro"),
}
"""Names under which several scales are graded at once; ``all`` are all of them."""

SIGNS: dict[str, tuple[str, ...]] = {
    "fever": ("temperature", "fever_other_cause"),
    "febrile": ("temperature", "fever_other_cause", "antipyretic", "tocilizumab", "steroid", "anakinra"),
    "hypotension": (
        "systolic_pressure", "age", "fluids_for_pressure", "vasopressors", "vasopressin", "hypotension_other_cause",
    ),
    "pressors": ("vasopressors", "vasopressin", "hypotension_other_cause"),
    "all_pressors": ("vasopressors", "vasopressin", "hypotension_other_cause"),
    "pressor_days": ("vasopressors", "vasopressin", "hypotension_other_cause"),
    "high_dose_pressor": ("vasopressors", "vasopressin", "vasopressor_dose", "hypotension_other_cause"),
    "high_dose_hours": ("vasopressors", "vasopressin", "vasopressor_dose", "hypotension_other_cause"),
    "refractory_pressure": (
        "systolic_pressure", "age", "vasopressors", "vasopressin", "vasopressor_dose", "hypotension_other_cause",
    ),
    "oxygen_level": ("oxygen_device", "oxygen_flow", "hypoxia_other_cause", "ventilation_other_cause"),
    "oxygen_percent": ("oxygen_device", "oxygen_flow", "fio2", "hypoxia_other_cause", "ventilation_other_cause"),
    "ventilator": ("oxygen_device", "hypoxia_other_cause", "ventilation_other_cause"),
    "creatinine_grade": ("creatinine", "creatinine_upper"),
    "transaminase_grade": ("ast", "ast_upper", "alt", "alt_upper"),
    "organ_grade": ("organ_toxicity", "creatinine", "creatinine_upper", "bilirubin", "bilirubin_upper"),
    "hyperinflammation": (
        "ferritin", "ferritin_upper", "ast", "ast_upper", "alt", "alt_upper", "fibrinogen", "haemophagocytosis", "anc",
        "platelets",
    ),
    "died_of_crs": ("death_cause",),
    "died_of_icans": ("death_cause",),
    "died_of_iec_hs": ("death_cause",),
    "died_neurologically": ("death_cause",),
    "new_seizure": ("seizure_type",),
}  # fmt: skip
"""Sign -> the items from which it is worked out (grading_signs.py); a higher sign is always worse."""

QUALIFIED: dict[str, tuple[str, ...]] = {
    "ice_score": ("age", "neurological_other_cause"),
    "capd_score": ("age", "neurological_other_cause"),
    "cartox_score": ("neurological_other_cause",),
    "generalised_seizure": ("neurological_other_cause",),
    "papilloedema": ("neurological_other_cause", "intracranial_haemorrhage"),
    "csf_pressure": ("neurological_other_cause", "intracranial_haemorrhage"),
    "consciousness": ("neurological_other_cause", "consciousness_other_cause"),
    "seizure": ("neurological_other_cause",),
    "motor_weakness": ("neurological_other_cause",),
    "oedema": ("neurological_other_cause", "intracranial_haemorrhage"),
    "raised_pressure_signs": ("neurological_other_cause", "intracranial_haemorrhage"),
}
"""Item -> the items that decide whether it counts."""


@dataclass(frozen=True)
class Condition:
    """One comparison of a sign or an item with a number, on the side on which the patient is worse off."""

    name: str
    limit: float
    upward: bool

    def met_by(self, sign: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return where a sign reaches the limit."""
        return sign >= self.limit if self.upward else sign <= self.limit

    @property
    def items(self) -> tuple[str, ...]:
        """The items of a chart on which the condition hangs."""
        return SIGNS.get(self.name, (self.name, *QUALIFIED.get(self.name, ())))


@dataclass(frozen=True)
class Cell:
    """One cell of a published table: the grade, its domain, what is asked for (our words), and how far it is proved."""

    grade: int
    domain: str
    conditions: tuple[Condition, ...]
    text: str
    mark: str

    @property
    def items(self) -> tuple[str, ...]:
        """The items of a chart on which the cell hangs."""
        return tuple(dict.fromkeys(name for condition in self.conditions for name in condition.items))


@dataclass(frozen=True)
class Scale:
    """A scale that grades each time at which something was observed."""

    name: str
    title: str
    source: str
    mark: str
    note: str
    cells: tuple[Cell, ...]

    @property
    def items(self) -> tuple[str, ...]:
        """The items of a chart that the scale asks for."""
        return tuple(dict.fromkeys(name for cell in self.cells for name in cell.items))

    @property
    def highest(self) -> int:
        """The highest grade, death apart."""
        return max(cell.grade for cell in self.cells if cell.grade < 5)


@dataclass(frozen=True)
class DayCell:
    """One cell of a table that counts days below a limit."""

    grade: int
    below: float
    days: int
    never_above: bool
    text: str
    mark: str
    domain: str = "days"


@dataclass(frozen=True)
class DayScale:
    """A scale that counts days with low blood counts inside a window of days.

    ``masked_by`` is a treatment after which, for ``masked_days`` days, a count that is not low proves nothing. Up to
    ``quiet_gap`` days without a count, between two counts that are not low, are taken as not low.
    """

    name: str
    title: str
    source: str
    mark: str
    note: str
    item: str
    inclusive: bool
    window: tuple[int, int]
    measurements: int
    cells: tuple[DayCell, ...]
    quiet_gap: int
    masked_by: str = ""
    masked_days: int = 0

    @property
    def items(self) -> tuple[str, ...]:
        """The item whose days are counted."""
        return (self.item,)

    @property
    def highest(self) -> int:
        """The highest grade."""
        return max(cell.grade for cell in self.cells)


def scale(name: str) -> Scale | DayScale:
    """Return a scale; an unknown name is an InputError with the nearest ones."""
    if name not in _scales():
        raise InputError(unknown_name("scale", name, [*GROUPS, *_scales(), "all"], shown=30))
    return _scales()[name]


def group(name: str) -> tuple[Scale | DayScale, ...]:
    """Return the scales behind a name: a group such as ``astct``, one scale, or ``all``."""
    if name == "all":
        return tuple(_scales().values())
    return tuple(scale(each) for each in GROUPS.get(name, (name,)))


def laboratory() -> dict[str, Any]:
    """Return the laboratory limits of CTCAE, as written in ``rules/grading_blood.toml``."""
    return _tables()["laboratory"]


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for file in FILES:
        found |= tomllib.loads((FOLDER / file).read_text(encoding="utf-8"))
    return found


@lru_cache(maxsize=1)
def _scales() -> dict[str, Scale | DayScale]:
    tables = _tables()
    return {name: _scale(name, table, tables) for name, table in tables.items() if name not in NOT_SCALES}


def _scale(name: str, table: dict[str, Any], tables: dict[str, Any]) -> Scale | DayScale:
    about = {key: table[key] for key in ("title", "source", "mark", "note")}
    if about["mark"] not in MARKS:
        raise DeclarationError(unknown_name("mark", about["mark"], MARKS, place=name))
    if "window" in table:
        return _day_scale(name, table, about)
    by_terms = table["cells"] == "terms"
    cells = _terms(tables["terms"], name, about["mark"]) if by_terms else []
    more = table.get("more", ()) if by_terms else table["cells"]
    cells += [_cell(name, cell, about["mark"]) for cell in more]
    return Scale(name=name, cells=tuple(sorted(cells, key=lambda cell: cell.grade)), **about)


def _day_scale(name: str, table: dict[str, Any], about: dict[str, str]) -> DayScale:
    cells = [
        DayCell(c["grade"], c["below"], c.get("days", 1), c.get("never_above", False), c["text"], about["mark"])
        for c in table["cells"]
    ]
    ordered = tuple(sorted(cells, key=lambda cell: cell.grade))
    first, last = table["window"]
    return DayScale(
        name=name, item=table["item"], inclusive=table["inclusive"], window=(first, last),
        measurements=table.get("measurements", 1), cells=ordered, quiet_gap=table["quiet_gap"],
        masked_by=table.get("masked_by", ""), masked_days=table.get("masked_days", 0), **about,
    )  # fmt: skip


def _terms(terms: dict[str, Any], name: str, mark: str) -> list[Cell]:
    death = Condition("died_neurologically", 1.0, upward=True)
    cells = [Cell(5, "death", (death,), "death from a neurological event", mark)]
    for term, about in terms.items():
        words = ITEMS[term].words
        if len(words) - 1 != about["highest"]:
            raise DeclarationError(f"{name}: the item {term} has {len(words)} words for {about['highest']} grades")
        for grade in range(1, about["highest"] + 1):
            text = f"{term.replace('_', ' ')}: {words[grade].replace('_', ' ')}"
            cells.append(Cell(grade, term, (Condition(term, float(grade), upward=True),), text, mark))
    return cells


def _cell(name: str, cell: dict[str, Any], mark: str) -> Cell:
    conditions = tuple(_condition(name, text) for text in cell["when"])
    return Cell(cell["grade"], cell["domain"], conditions, cell["text"], cell.get("mark", mark))


def _condition(name: str, text: str) -> Condition:
    """Read ``sign >= 1``; a comparison on the side on which patients are better off is refused.

    The lowest and the highest grade are the grades of the mildest and of the worst chart that agree with the data. That
    holds only if a worse chart can never lower a grade.
    """
    what, relation, number = text.split()
    worse = "high" if what in SIGNS else ITEMS[what].worse if what in ITEMS else None
    if worse is None:
        raise DeclarationError(unknown_name("sign or item", what, [*SIGNS, *ITEMS], place=name))
    if {">=": "high", "<=": "low"}.get(relation) != worse:
        raise DeclarationError(f"{name}: {text!r} compares on the side on which {what} is better")
    return Condition(what, float(number), upward=relation == ">=")

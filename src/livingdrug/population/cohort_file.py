"""A cohort from a CSV file: one row per patient, columns with the unit in their name."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from livingdrug.errors import InputError, unknown_name
from livingdrug.patients import Patients
from livingdrug.population.cohort import csv_rows
from livingdrug.therapy.bad_rows import CHOICES, OnBadRow
from livingdrug.therapy.stage import Attrition

__all__ = ["COLUMNS", "read_cohort"]

PLACE = "cohort file"
MOST_ID = 2**63 - 1
SUM_ERROR = 1e-6  # as the collection allows
COLUMNS: dict[str, tuple[str, str, float, float, str]] = {
    "cd3_per_uL": ("cd3_per_uL", "1/uL", 0.0, 1e5, "T cells in blood before the collection"),
    "lymphocytes_per_uL": ("lymphocytes_per_uL", "1/uL", 0.0, 1e6, "lymphocytes, where T cells were not counted"),
    "weight_kg": ("weight_kg", "kg", 1.0, 500.0, "body weight"),
    "haematocrit_fraction": ("haematocrit", "fraction", 0.05, 0.75, "red cells of the blood's volume"),
    "blood_cd4_fraction": ("blood_cd4_fraction", "fraction", 0.0, 1.0, "CD4 of the T cells"),
    "blood_naive_fraction": ("blood_naive_fraction", "fraction", 0.0, 1.0, "naive of the T cells"),
    "blood_central_memory_fraction": ("blood_central_memory_fraction", "fraction", 0.0, 1.0, "central memory"),
    "blood_effector_memory_fraction": ("blood_effector_memory_fraction", "fraction", 0.0, 1.0, "effector memory"),
    "blood_effector_fraction": ("blood_effector_fraction", "fraction", 0.0, 1.0, "effector; the four add up to 1"),
    "harvested_t_cell_purity_fraction": ("harvested_t_cell_purity", "fraction", 0.0, 1.0, "T cells at harvest"),
}  # fmt: skip
"""Column of the file -> column of the cohort, unit, least and largest value, what it is."""
PHENOTYPE = tuple(f"blood_{name}_fraction" for name in ("naive", "central_memory", "effector_memory", "effector"))


def read_cohort(path: str | Path, on_bad_row: OnBadRow = "raise") -> tuple[Patients, Attrition]:
    """Read a cohort; also return the patients whose rows were set aside, with the reasons.

    Args:
        path: CSV in UTF-8 with a heading. ``patient`` (whole numbers, all different; otherwise 1, 2, ...) and the
            columns of ``COLUMNS``; ``weight_kg`` is always needed. Every cell is a number.
        on_bad_row: refuse the file (``"raise"``), or set bad rows aside (``"mark"``).

    Raises:
        InputError: the file cannot be read, a column is unknown, missing or there twice, an identifier is bad; or a
            value is impossible and bad rows are not to be marked. Names line, column, value and what is allowed.
    """
    path = Path(path)
    if on_bad_row not in CHOICES:
        raise InputError(unknown_name("way with bad rows (on_bad_row)", on_bad_row, CHOICES))
    rows = csv_rows(path)
    if len(rows) < 2:
        raise InputError(f"{path}: a heading and at least one patient are expected, found {len(rows)} rows")
    heading = _heading(path, [cell.strip() for cell in rows[0][1]])
    ids = _identifiers(path, heading, rows[1:])
    names = [name for name in heading if name != "patient"]
    table = np.full((len(ids), len(names)), np.nan)
    bad: dict[int, str] = {}
    for row, (line, cells) in enumerate(rows[1:]):
        problem = _fill(table[row], line, cells, heading, names)
        if problem and on_bad_row == "raise":
            raise InputError(f"{path}, {problem}")
        if problem:
            bad[row] = f"bad input: {problem}"
    if len(bad) == len(ids):
        raise InputError(f"{path}: none of the {len(ids)} rows can be used: {next(iter(bad.values()))}")
    keep = np.ones(len(ids), bool)
    keep[list(bad)] = False
    columns = {COLUMNS[name][0]: table[keep, place] for place, name in enumerate(names)}
    units = {COLUMNS[name][0]: COLUMNS[name][1] for name in names}
    set_aside = Attrition.none().leave(ids[~keep], PLACE, list(bad.values()), 0.0)
    return Patients(ids[keep], columns, units), set_aside


def _heading(path: Path, heading: list[str]) -> list[str]:
    known = ("patient", *COLUMNS)
    for name in heading:
        if name not in known:
            raise InputError(f"{path}, line 1: {unknown_name('column', name[:60], known)}")
        if heading.count(name) > 1:
            raise InputError(f"{path}, line 1: the column {name!r} stands there twice")
    if "weight_kg" not in heading:
        raise InputError(f"{path}, line 1: the column 'weight_kg' is missing; the columns are {', '.join(heading)}")
    return heading


def _identifiers(path: Path, heading: list[str], rows: list[tuple[int, list[str]]]) -> np.ndarray:
    """Return the identifiers; without them nobody could be told apart, so that a bad one is always refused."""
    if "patient" not in heading:
        return np.arange(1, len(rows) + 1, dtype=np.uint64)
    place, found = heading.index("patient"), {}
    for line, cells in rows:
        text = cells[place].strip() if place < len(cells) else ""
        if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= MOST_ID):
            raise InputError(
                f"{path}, line {line}: patient must be a whole number from 0 to {MOST_ID}, got {text!r:.40}"
            )
        if int(text) in found:
            raise InputError(
                f"{path}, line {line}: patient {text} stands there twice, first in line {found[int(text)]}"
            )
        found[int(text)] = line
    return np.array(list(found), np.uint64)


def _fill(row: np.ndarray, line: int, cells: list[str], heading: list[str], names: list[str]) -> str:
    """Put a row's numbers into the table; return what is wrong with it, "" for nothing."""
    if len(cells) != len(heading):
        return f"line {line}: {len(heading)} cells are expected, got {len(cells)}"
    for place, name in enumerate(names):
        text = cells[heading.index(name)].strip()
        _, unit, least, most, _ = COLUMNS[name]
        value = _number(text)
        if not least <= value <= most:
            allowed = f"a number from {least:g} to {most:g}{'' if unit == '1' else ' ' + unit}"
            return f"line {line}: {name} must be {allowed}, got {text!r:.40}"
        row[place] = value
    shares = [row[names.index(name)] for name in PHENOTYPE if name in names]
    if len(shares) == len(PHENOTYPE) and abs(sum(shares) - 1.0) > SUM_ERROR:
        return f"line {line}: {', '.join(PHENOTYPE)} must add up to 1, got {sum(shares):g}"
    return ""


def _number(text: str) -> float:
    try:
        return float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return math.nan

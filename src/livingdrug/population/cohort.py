"""A cohort drawn from stated distributions: each column of each patient from that patient's own stream.

Columns are independent of each other; correlations are left out.

Example:
    >>> from livingdrug.therapy.stated import LogNormal
    >>> population = Population(columns={"weight_kg": LogNormal(median=80, log_sd=0.2, unit="kg")})
    >>> cohort = population.sample(3, seed=1)
    >>> cohort.ids.tolist(), cohort.units["weight_kg"]
    ([1, 2, 3], 'kg')
"""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from pydantic import AfterValidator, Field

from livingdrug.declared import Declared
from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.therapy.stated import StatedValue, Values

__all__ = ["Population", "csv_rows", "read_values"]

LARGEST_FILE = 10_000_000  # bytes
MOST_VALUES = 1_000_000
MOST_PATIENTS = 100_000_000


def _column_name(name: str) -> str:
    if not name.isidentifier() or len(name) > 60:
        raise InputError(f"a column is named by letters, digits and underscores (at most 60), got {name!r:.80}")
    return name


class Population(Declared):
    """What a patient is like before treatment: one stated distribution for each column."""

    columns: dict[Annotated[str, AfterValidator(_column_name)], StatedValue] = Field(min_length=1)

    def sample(self, count: int, *, seed: int = 0, first_id: int = 1) -> Patients:
        """Return ``count`` patients with the identifiers from ``first_id`` on; InputError for a bad count."""
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 0 <= count <= MOST_PATIENTS:
            raise InputError(f"the number of patients must be a whole number from 0 to {MOST_PATIENTS}, got {count!r}")
        return self.sample_ids(np.arange(first_id, first_id + int(count), dtype=np.uint64), seed=seed)

    def sample_ids(self, ids: ArrayLike, *, seed: int = 0) -> Patients:
        """Return the patients with these identifiers; the others of a cohort do not matter to them."""
        columns = {name: stated.draw(seed, ids, f"column:{name}") for name, stated in self.columns.items()}
        return Patients(np.asarray(ids), columns, {name: stated.unit for name, stated in self.columns.items()})

    def with_values(self, column: str, stated: StatedValue) -> Population:
        """Return the population with another distribution for one column."""
        return Population(columns={**self.columns, column: stated})


def read_values(path: str | Path, column: str, unit: str, *, least: float, most: float) -> Values:
    """Read measured values from a CSV file: one column of numbers, or the column of that name.

    Args:
        path: text in UTF-8, with a heading, or numbers only; several columns need one that holds ``column`` or the
            only one whose name ends with the unit.
        column: the column that is wanted.
        unit: of the values, kept with them.
        least: values below are refused, as are NaN and text.
        most: values above are refused.

    Raises:
        InputError: the file cannot be read, is too large, or a value is not allowed; the message names the line.
    """
    path = Path(path)
    rows = csv_rows(path)
    if not rows:
        raise InputError(f"{path}: the file is empty; one column of numbers named {column!r} is expected")
    heading = [] if _is_number(rows[0][1][-1]) else [cell.strip() for cell in rows[0][1]]
    place = _place(path, heading, rows[0][1], column, unit)
    values = [_value(path, line, row, place, column, least, most) for line, row in rows[1 if heading else 0 :]]
    if not 1 <= len(values) <= MOST_VALUES:
        raise InputError(f"{path}: 1 to {MOST_VALUES} values are expected, found {len(values)}")
    return Values(values=tuple(values), unit=unit, mark="assumed", note=f"{len(values)} values of a file of the user")


def csv_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the rows of a CSV file that are not empty, each with its line; InputError if it is none or too large."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
        if len(raw) > LARGEST_FILE:
            raise InputError(f"{path}: the file is larger than {LARGEST_FILE} bytes")
        text = raw.decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text in UTF-8 (byte {error.start})") from error
    except (csv.Error, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a CSV file: {error}") from error


def _place(path: Path, heading: list[str], first: list[str], column: str, unit: str) -> int:
    if column in heading:
        return heading.index(column)
    if len(first) == 1:
        return 0
    ending = [place for place, name in enumerate(heading) if name.endswith(f"_{unit}")]
    if len(ending) == 1:
        return ending[0]
    shown = ", ".join(heading[:8]) or "none"
    raise InputError(f"{path}: a column named {column!r} is needed among several; the columns are: {shown:.200}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _value(path: Path, line: int, row: list[str], place: int, column: str, least: float, most: float) -> float:
    text = row[place].strip() if place < len(row) else ""
    value = float(text) if _is_number(text) and "_" not in text else math.nan
    if not least <= value <= most:
        raise InputError(f"{path}, line {line}: {column} must be a number from {least:g} to {most:g}, got {text!r:.40}")
    return value

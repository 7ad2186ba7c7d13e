"""A site's own batches as a CSV file: one row per batch, columns with the unit in their name, each of them optional.

A column of fractions may also be written in percent: ``viability_percent`` for ``viability_fraction``. An empty cell is
a missing value.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name

__all__ = ["COLUMNS", "REASONS", "SiteBatches", "read_batches"]

Array = NDArray[np.float64]
OnBadRow = Literal["raise", "mark"]
LARGEST_FILE = 20_000_000  # bytes
MOST_BATCHES = 100_000
SHOWN = 5

COLUMNS: dict[str, tuple[float, float, str]] = {
    "cd3_per_uL": (0.0, 1e5, "T cells in blood before the collection"),
    "processed_volume_L": (0.01, 100.0, "blood processed"),
    "collected_cells": (0.0, 1e13, "T cells collected"),
    "collection_efficiency_fraction": (0.0, 1.0, "T cells collected of those processed"),
    "selection_recovery_fraction": (0.0, 1.0, "T cells kept by the selection"),
    "car_positive_fraction": (0.0, 1.0, "T cells with the receptor"),
    "copies_per_cell": (1e-4, 1e3, "vector copies per cell, all cells counted"),
    "copies_per_car_cell": (1e-4, 1e3, "vector copies per CAR-positive cell"),
    "seeded_cells": (1e3, 1e13, "living cells at the begin of the culture"),
    "harvested_cells": (1e3, 1e14, "living T cells at harvest"),
    "doublings": (-10.0, 40.0, "log2 of harvested over seeded living cells"),
    "growth_per_day": (-3.0, 5.0, "ln of harvested over seeded living cells, per day of culture"),
    "culture_days": (0.25, 60.0, "days in culture"),
    "viability_fraction": (0.0, 1.0, "living of all cells at harvest"),
    "t_cell_purity_fraction": (0.0, 1.0, "T cells of all cells in the product"),
    "thaw_recovery_fraction": (0.0, 1.0, "living cells after thawing over those frozen"),
    "failed": (0.0, 1.0, "1: no product could be released; 0: there was one"),
}
"""Column -> smallest and largest value, and what it is."""
WORDS = ("batch", "patient", "collection_date", "harvest_date", "failure_reason")
REASONS = ("growth", "viability", "purity", "car_positive", "copies", "dose", "other")
"""Why a batch failed; ``other`` is what the chain does not explain: accidents, contamination, equipment."""


@dataclass(frozen=True, eq=False)
class SiteBatches:
    """The batches of one site.

    Attributes:
        names: name of each batch, or its line.
        lines: its line in the file, shape (n,).
        columns: column -> numbers, NaN where missing, shape (n,); only columns that the file has.
        reasons: why a batch failed, "" where it did not or nobody says.
        left_out: rows that were not used, in words.
    """

    names: tuple[str, ...]
    lines: NDArray[np.int64]
    columns: dict[str, Array]
    reasons: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


def read_batches(path: str | Path, on_bad_row: OnBadRow = "raise") -> SiteBatches:
    """Read a site's batches.

    Args:
        path: CSV in UTF-8 with a heading; columns as in ``COLUMNS``, besides ``batch``, ``patient``,
            ``collection_date``, ``harvest_date`` (both year-month-day) and ``failure_reason``.
        on_bad_row: refuse the file with the first bad rows named (``"raise"``), or leave them out and say so.

    Raises:
        InputError: the file cannot be read, a column is unknown or stands there twice, or a value is impossible; the
            message names line, batch, field, value and what is allowed.
    """
    path = Path(path)
    heading, rows = _rows(path)
    fields = _fields(path, heading)
    kept, problems = [], []
    for line, cells in rows:
        row, wrong = _row(line, cells, fields)
        problems += wrong
        if not wrong:
            kept.append((line, row))
    problems += _twice(kept)
    if problems and on_bad_row == "raise":
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise InputError(f"{path}: " + "; ".join(problems[:SHOWN]) + more)
    numbers = [name for name in fields if name in COLUMNS]
    columns = {name: np.array([row.get(name, math.nan) for _, row in kept], np.float64) for name in numbers}
    names = tuple(str(row.get("batch") or f"line {line}") for line, row in kept)
    reasons = tuple(str(row.get("failure_reason", "")) for _, row in kept) if "failure_reason" in fields else ()
    return SiteBatches(names, np.array([line for line, _ in kept], np.int64), columns, reasons, tuple(problems))


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
        if len(raw) > LARGEST_FILE:
            raise InputError(f"{path}: the file is larger than {LARGEST_FILE} bytes")
        reader = csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""), strict=True)
        found = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text in UTF-8 (byte {error.start})") from error
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV file: {error}") from error
    if not found:
        raise InputError(f"{path}: the file is empty; a heading with columns such as {', '.join(list(COLUMNS)[:3])}")
    if len(found) - 1 > MOST_BATCHES:
        raise InputError(f"{path}: {len(found) - 1} rows are too many (at most {MOST_BATCHES})")
    return found[0][1], found[1:]


def _fields(path: Path, heading: list[str]) -> dict[str, tuple[int, float]]:
    """Return column -> place in the row and factor to its unit."""
    fields: dict[str, tuple[int, float]] = {}
    for place, word in enumerate(heading):
        name, factor = word, 1.0
        if word.endswith("_percent") and word.removesuffix("_percent") + "_fraction" in COLUMNS:
            name, factor = word.removesuffix("_percent") + "_fraction", 0.01
        if name not in COLUMNS and name not in WORDS:
            raise InputError(unknown_name("column", word[:80], [*WORDS, *COLUMNS], place=str(path), shown=40))
        if name in fields:
            raise InputError(f"{path}: the column {name!r} stands there twice")
        fields[name] = (place, factor)
    return fields


Row = dict[str, float | str]


def _row(line: int, cells: list[str], fields: dict[str, tuple[int, float]]) -> tuple[Row, list[str]]:
    """Return the values of a row, and what is wrong with it in words."""
    texts = {name: cells[place] if place < len(cells) else "" for name, (place, _) in fields.items()}
    where = f"line {line}" + (f", batch {texts['batch'][:40]!r}" if texts.get("batch") else "")
    row: Row = {name: text for name, text in texts.items() if name in ("batch", "patient")}
    wrong = []
    if len(cells) != len(fields):
        wrong.append(f"{where}: {len(cells)} cells for {len(fields)} columns")
    for name, (_, factor) in fields.items():
        if name not in COLUMNS or not texts[name]:
            continue
        low, high, _ = COLUMNS[name]
        value = _number(texts[name])
        if not low <= value * factor <= high or (name == "failed" and value not in (0, 1)):
            allowed = "0 or 1" if name == "failed" else f"a number from {low / factor:g} to {high / factor:g}"
            given = name if factor == 1.0 else name.replace("_fraction", "_percent")
            wrong.append(f"{where}: {given} must be {allowed}, got {texts[name][:40]!r}")
        else:
            row[name] = value * factor
    wrong += _words(texts, row, where)
    if not wrong:
        wrong += _against_each_other(row, where)
    return row, wrong


def _words(texts: dict[str, str], row: Row, where: str) -> list[str]:
    """Check dates and reason, and put the reason into the row."""
    wrong, days = [], {}
    for name in ("collection_date", "harvest_date"):
        if texts.get(name):
            try:
                days[name] = date.fromisoformat(texts[name])
            except ValueError:
                wrong.append(f"{where}: {name} must be a date such as 2025-03-31, got {texts[name][:40]!r}")
    if len(days) == 2 and days["harvest_date"] < days["collection_date"]:
        first, last = days["collection_date"], days["harvest_date"]
        wrong.append(f"{where}: harvest_date must not be before collection_date {first}, got {last}")
    reason = texts.get("failure_reason", "")
    if reason and reason not in REASONS:
        wrong.append(f"{where}: {unknown_name('failure_reason', reason[:40], REASONS)}")
    if reason and row.get("failed") == 0:
        wrong.append(f"{where}: failed is 0, but failure_reason is {reason[:40]!r}; leave one of them out")
    row["failure_reason"] = reason
    if len(days) == 2:
        row["days_between"] = float((days["harvest_date"] - days["collection_date"]).days)
    return wrong


def _against_each_other(row: Row, where: str) -> list[str]:
    """Return which values of a row cannot both be true."""
    wrong = []
    grown, between = row.get("culture_days"), row.pop("days_between", None)
    if grown is not None and between is not None and float(grown) > float(between) + 1.0:
        wrong.append(f"{where}: culture_days must fit between collection and harvest, {between:g} days; got {grown:g}")
    each, of_car = row.get("copies_per_cell"), row.get("copies_per_car_cell")
    if each is not None and of_car is not None and float(of_car) < float(each):
        wrong.append(f"{where}: copies_per_car_cell must be at least copies_per_cell, {each:g}; got {of_car:g}")
    return wrong


def _twice(rows: list[tuple[int, Row]]) -> list[str]:
    """Return which batches stand there twice; the later rows are dropped from the list."""
    seen: dict[str, int] = {}
    wrong, once = [], []
    for line, row in rows:
        name = str(row.get("batch", ""))
        if name and name in seen:
            wrong.append(f"line {line}: batch {name[:40]!r} stands in line {seen[name]} already; each batch once")
        else:
            seen[name] = line
            once.append((line, row))
    rows[:] = once
    return wrong


def _number(text: str) -> float:
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan

"""Charts in files: a long table as CSV or Parquet, or a FHIR Bundle as JSON."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from livingdrug.clinic.observations import COLUMNS, SET_ASIDE, Infusion, Observations, observe
from livingdrug.errors import InputError

__all__ = ["read_observations"]

LARGEST_FILE = 4_000_000_000  # bytes
LARGEST_BUNDLE = 400_000_000
MARKS = (",", ";", "\t")
LONGEST_HEADING = 100_000  # characters
NUMBERS = {"time", "value"}
DECIMAL_COMMA = re.compile(r"^([-+]?\d+),(\d+\s*)$")
KINDS = (".csv", ".parquet", ".json")

Unused = tuple[Any, ...]
"""A finding: row, patient, item, value, unit, problem, what was done."""


def read_observations(path: str | Path, *, infusion: Infusion = None, strict: bool = False) -> Observations:
    """Read a chart from a file and check it.

    Args:
        path: ``.csv`` or ``.parquet`` with the columns patient, time, item, value, unit; or ``.json``, a FHIR R4 or R5
            Bundle of Observation and MedicationAdministration.
        infusion: time of infusion of all patients, or patient -> time; charts in days do not need it.
        strict: refuse a chart in which something cannot be used.

    Raises:
        InputError: the file cannot be read or is no chart, or ``strict`` and something is wrong.
    """
    file = Path(path)
    kind = file.suffix.lower()
    if kind not in KINDS:
        raise InputError(f"{file}: a chart is a file that ends in {', '.join(KINDS)}, got {kind or 'no ending'!r}")
    _size(file, LARGEST_BUNDLE if kind == ".json" else LARGEST_FILE)
    if kind == ".json":
        from livingdrug.clinic.observations_fhir import read_bundle

        try:
            return read_bundle(file.read_bytes(), infusion=infusion, strict=strict)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
    table, unused = _csv(file) if kind == ".csv" else (_parquet(file), [])
    try:
        return _with_unused(observe(table, infusion=infusion, strict=strict), unused, strict=strict)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _size(file: Path, most: int) -> None:
    try:
        size = file.stat().st_size
    except OSError as error:
        raise InputError(f"{file}: the chart cannot be read: {error.strerror or error}") from error
    if not file.is_file() or size > most:
        raise InputError(f"{file}: not a file of at most {most:,} bytes")


def _csv(file: Path) -> tuple[Any, list[Unused]]:
    """Return the columns of a chart as text, and the rows that have more fields than the heading.

    Text that is often repeated is kept once. Between the fields stand commas, semicolons or tabs; where it is not a
    comma, a number may have a decimal comma, as spreadsheets in many countries write it.
    """
    heading, mark = _heading(file)
    table = _by_arrow(file, heading, mark)
    return _by_rows(file, mark) if table is None else (table, [])


def _heading(file: Path) -> tuple[list[str], str]:
    """Return the names of the columns as they are written, and what stands between them."""
    import csv

    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            first = lines.readline(LONGEST_HEADING).rstrip("\r\n")
    except (UnicodeDecodeError, OSError):
        return [], ","
    mark = max(MARKS, key=first.count)
    return next(csv.reader([first], delimiter=mark), []), mark


def _by_arrow(file: Path, heading: list[str], mark: str) -> Any:
    """Return a table, or None for a file that is anything but plain."""
    import pyarrow as pa
    from pyarrow import csv

    written = {_named(name): name for name in heading}
    wanted = {written[name]: name for name in COLUMNS if name in written}
    if len(written) != len(heading) or not set(COLUMNS[:4]) <= set(written):
        return None
    text = pa.dictionary(pa.int32(), pa.string())
    try:
        table = csv.read_csv(
            file, parse_options=csv.ParseOptions(delimiter=mark, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, text), include_columns=list(wanted), strings_can_be_null=False
            ),
        )  # fmt: skip
    except (pa.ArrowException, OSError):
        return None
    rows = table.unify_dictionaries().to_pandas().rename(columns=wanted)
    for name in wanted.values():
        texts = rows[name].cat.categories
        read = [_pointed(text) if mark != "," and name in NUMBERS else text.lstrip(" ") for text in texts]
        if len(set(read)) != len(texts):
            return None
        rows[name] = rows[name].cat.rename_categories(read)
    return rows


def _pointed(text: str) -> str:
    """Return a number with a point in place of its decimal comma."""
    return DECIMAL_COMMA.sub(r"\1.\2", text.lstrip(" "))


def _by_rows(file: Path, mark: str) -> tuple[Any, list[Unused]]:
    """Read row by row: slower, and for whatever stands in the file."""
    import csv

    import pandas as pd

    rows, unused = [], []
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            table = (row for row in csv.reader(lines, delimiter=mark, skipinitialspace=True, strict=True) if row)
            heading = [_named(name) for name in next(table, [])]
            places = _places(file, heading)
            for number, row in enumerate(table, start=1):
                if len(row) > len(heading):
                    told = (row[places[name]] if name in places else "" for name in COLUMNS if name != "time")
                    unused.append((number, *told, f"{len(row)} fields under a heading of {len(heading)}", SET_ASIDE))
                else:
                    row += [""] * (len(heading) - len(row))
                    rows.append((*(sys.intern(row[place]) for place in places.values()), number))
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{file}: not a table in CSV (UTF-8, a heading, commas): {error!s:.200}") from error
    found = pd.DataFrame(rows, columns=[*places, "row"])
    for name in NUMBERS & set(places) if mark != "," else ():
        found[name] = found[name].map(_pointed)
    return found, unused


def _named(heading: str) -> str:
    return heading.strip().strip('"').strip().lower()


def _places(file: Path, heading: list[str]) -> dict[str, int]:
    """Return where the columns of a chart stand."""
    if not heading:
        raise InputError(f"{file}: not a table in CSV (UTF-8, a heading, commas): the file is empty")
    twice = [name for name in COLUMNS if heading.count(name) > 1]
    if twice:
        raise InputError(f"{file}: the column {twice[0]!r} stands {heading.count(twice[0])} times in the heading")
    if COLUMNS[0] not in heading:
        found = ", ".join(heading)[:200]
        raise InputError(f"{file}: a chart needs the columns {', '.join(COLUMNS)}; found: {found}")
    return {name: heading.index(name) for name in COLUMNS if name in heading}


def _with_unused(chart: Observations, unused: list[Unused], *, strict: bool) -> Observations:
    """Return a chart with findings on rows that could not be laid out."""
    import pandas as pd

    if not unused:
        return chart
    if strict:
        raise InputError(f"{len(unused)} rows cannot be used; row {unused[0][0]}: {unused[0][-2]}")
    more = pd.DataFrame(unused, columns=chart.findings.columns)
    both = pd.concat([chart.findings, more], ignore_index=True) if len(chart.findings) else more
    return Observations(chart.table, both.sort_values("row", kind="stable", ignore_index=True))


def _parquet(file: Path) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(file)
        wanted = [name for name in (*COLUMNS, "row") if name in schema.names]
        text = [name for name in wanted if pa.types.is_string(schema.field(name).type)]
        table = parquet.read_table(file, columns=wanted, read_dictionary=text)
        return table.unify_dictionaries().to_pandas(ignore_metadata=True)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise InputError(f"{file}: not a table in Parquet: {error!s:.200}") from error

"""Charts in files: a long table as CSV or Parquet, or a FHIR Bundle as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from livingdrug.clinic.observations import COLUMNS, Infusion, Observations, observe
from livingdrug.errors import InputError

__all__ = ["read_observations"]

LARGEST_FILE = 4_000_000_000  # bytes
LARGEST_BUNDLE = 400_000_000
KINDS = (".csv", ".parquet", ".json")


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
    table = _csv(file) if kind == ".csv" else _parquet(file)
    try:
        return observe(table, infusion=infusion, strict=strict)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _size(file: Path, most: int) -> None:
    try:
        size = file.stat().st_size
    except OSError as error:
        raise InputError(f"{file}: the chart cannot be read: {error.strerror or error}") from error
    if not file.is_file() or size > most:
        raise InputError(f"{file}: not a file of at most {most:,} bytes")


def _csv(file: Path) -> Any:
    import pandas as pd

    try:
        return pd.read_csv(
            file, dtype={"item": "category", "unit": "category"}, keep_default_na=False, encoding="utf-8",
            low_memory=False, skipinitialspace=True, usecols=lambda name: name in COLUMNS,
        )  # fmt: skip
    except (ValueError, pd.errors.ParserError, UnicodeDecodeError, OSError, OverflowError) as error:
        raise InputError(f"{file}: not a table in CSV (UTF-8, a heading, commas): {error!s:.200}") from error


def _parquet(file: Path) -> Any:
    import pandas as pd
    import pyarrow as pa

    try:
        return pd.read_parquet(file)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise InputError(f"{file}: not a table in Parquet: {error!s:.200}") from error

"""Grade a chart on a published scale."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from livingdrug.cli.terminal import print_json, print_table, say, waiting
from livingdrug.errors import InputError

__all__ = ["grade"]

NOTICE = "Not for clinical use."
ROWS_SHOWN = 20
TABLES = ("times.csv", "days.csv", "episodes.csv", "findings.csv", "notices.txt")


def grade(
    chart: Annotated[
        Path,
        typer.Argument(
            metavar="CHART", help="CSV or Parquet (patient, time, item, value, unit), or a FHIR Bundle (.json)."
        ),
    ],
    scale: Annotated[
        str, typer.Option("--scale", "-s", help="astct, icaht, iec-hs, lee, penn, mskcc, cartox, ctcae-v5, ... or all.")
    ] = "astct",
    assume_absent: Annotated[
        str,
        typer.Option("--assume-absent", metavar="ITEMS", help="Items that mean well where nothing is charted, a,b."),
    ] = "",
    infusion: Annotated[
        str | None, typer.Option("--infusion", metavar="TIME", help="Time of infusion, with zone, for charts in dates.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a chart in which a row cannot be used.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Where the tables go; otherwise a summary.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over tables that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Grade a chart on a published scale.

    The answer is the lowest and the highest grade that agree with the chart; what is not charted leaves it open. The
    folder gets times.csv, days.csv, episodes.csv, findings.csv (what was wrong in the chart) and notices.txt.
    """
    from livingdrug.clinic.grading import grade as grade_chart
    from livingdrug.clinic.observations_files import read_observations

    if out is not None and not force:
        _refuse_existing(out)
    absent = [name.strip() for name in assume_absent.split(",") if name.strip()]
    with waiting("Grading ...", quiet=as_json):
        observed = read_observations(chart, infusion=infusion, strict=strict)
        grades = grade_chart(observed, scale, assume_absent=absent)
        if out is not None:
            _save(grades, out)
    if as_json:
        _print_json(grades, scale, absent, out)
    else:
        _tell(grades, out)


def _refuse_existing(out: Path) -> None:
    there = [name for name in TABLES if (out / name).exists()]
    if there:
        raise InputError(f"{out} already holds {there[0]}; --force writes over it, or choose another folder with -o")


def _save(grades: Any, out: Path) -> None:
    from livingdrug.storage import write_atomically

    tables = (grades.by_time(), grades.by_day(), grades.episodes(), grades.findings)
    for name, table in zip(TABLES, tables, strict=False):
        write_atomically(out / name, _as_csv(table))
    write_atomically(out / TABLES[-1], "\n".join((NOTICE, *grades.notices())) + "\n")


def _as_csv(table: Any) -> bytes | str:
    """Return a table as CSV; by Arrow, which writes millions of rows in a tenth of the time."""
    import pyarrow as pa
    from pyarrow import csv

    try:
        columns = pa.Table.from_pandas(table, preserve_index=False)
    except pa.ArrowException:  # a column of numbers and words, as in faulty charts
        return table.to_csv(index=False)
    written = pa.BufferOutputStream()
    csv.write_csv(columns, written)
    return written.getvalue().to_pybytes()


def _print_json(grades: Any, scale: str, absent: list[str], out: Path | None) -> None:
    tables = {"episodes": grades.episodes(), "findings": grades.findings}
    if out is None:
        tables |= {"times": grades.by_time(), "days": grades.by_day()}
    records = {name: table.to_dict("records") for name, table in tables.items()}
    print_json(
        {"scale": scale, "assumed_absent": absent, "folder": out, **records, "notices": grades.notices(),
         "notice": NOTICE}
    )  # fmt: skip


def _tell(grades: Any, out: Path | None) -> None:
    table = grades.episodes()
    heads = ("Patient", "Scale", "Episode", "Onset, day", "Maximum", "Ends, day", "Days")
    rows = [_row(record) for record in table.head(ROWS_SHOWN).to_dict("records")]
    print_table("", heads, rows, range(2, 7))
    if len(table) > ROWS_SHOWN:
        say(f"... {len(table) - ROWS_SHOWN:,} more rows; -o FOLDER writes them all")
    say("Episode 0: outside of sure episodes. A range such as 1-3: the chart leaves the grade open.")
    for finding in grades.findings.head(ROWS_SHOWN).itertuples():
        what = f"{finding.item} {finding.value!s:.40} {finding.unit}".strip()
        say(f"row {finding.row}: {what}: {finding.problem} ({finding.done})")
    if len(grades.findings) > ROWS_SHOWN:
        say(f"... {len(grades.findings) - ROWS_SHOWN:,} more findings; -o FOLDER writes them all")
    for notice in grades.notices():
        say(notice)
    say(f"{out}: tables written. {NOTICE}" if out is not None else NOTICE)


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    low, high = record["maximum"], record["highest_maximum"]
    grade_ = str(low) if low == high else f"{low}-{high}"
    days = (_day(record[name]) for name in ("onset", "end", "duration"))
    onset, end, duration = days
    return (str(record["patient"]), record["scale"], str(record["episode"]), onset, grade_, end, duration)


def _day(value: float) -> str:
    return f"{value:.4g}" if value == value else ""

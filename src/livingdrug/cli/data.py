"""Check an event data set and show what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from livingdrug.cli.terminal import print_json, say, waiting
from livingdrug.errors import InputError, unknown_name

__all__ = ["data"]

WHAT = ("check",)
FILES = ("findings.csv", "page.html", "data.csv")
LINES_SHOWN = 30
NOTICE = "Not for clinical use."

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="CSV or Parquet in NM-TRAN's columns, or PC, CP or ADPC as .xpt.")
]
Column = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="MEANING=NAME", help="A column of another name, e.g. TIME=DAY; repeat."),
]
Covariates = Annotated[
    str | None, typer.Option("--covariates", metavar="A,B", help="Covariates. [default: all other columns]")
]
Lloq = Annotated[
    list[str] | None,
    typer.Option(
        "--lloq", metavar="[ENDPOINT=]LIMIT", help="Limit of quantification where the table has none; repeat."
    ),
]
TimeUnit = Annotated[str | None, typer.Option("--time-unit", help="Unit of the times; they become days.")]
Exposure = Annotated[Path | None, typer.Option("--ex", metavar="FILE", help="EX, the doses, for PC and CP.")]
People = Annotated[Path | None, typer.Option("--dm", metavar="FILE", help="DM, the subjects, for PC and CP.")]
Treatment = Annotated[str | None, typer.Option("--treatment", help="The cells' name in EX (EXTRT).")]


def data(
    what: Annotated[str, typer.Argument(help="What to do: check.")],
    file: File,
    column: Column = None,
    covariates: Covariates = None,
    lloq: Lloq = None,
    log: Annotated[bool, typer.Option("--log", help="Values must have logarithms: report those not above 0.")] = False,
    time_unit: TimeUnit = None,
    exposure: Exposure = None,
    people: People = None,
    treatment: Treatment = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Where findings, page and data go.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Check an event data set and show what it holds.

    Every problem is told with row, column and value at once. The folder gets findings.csv, and, if the data can be
    used, page.html with the drawings and data.csv in NM-TRAN's columns. Exit code 2: the data cannot be used.
    """
    if what not in WHAT:
        raise InputError(unknown_name("thing to do with data", what, WHAT))
    there = [name for name in FILES if out is not None and (out / name).exists()]
    if there and not force:
        raise InputError(f"{out} already holds {there[0]}; --force writes over it, or choose another folder with -o")
    options = chosen_options(column, covariates, lloq, time_unit) | ({"log": True} if log else {})
    with waiting("Reading ...", quiet=as_json):
        findings, found = examined(file, options, exposure, people, treatment)
        if out is not None:
            _write(findings, found, file, out)
    if as_json:
        _print_json(findings, found, file, out)
    else:
        _tell(findings, found, file, out)
    if found is None:
        raise typer.Exit(2)


def chosen_options(
    column: list[str] | None, covariates: str | None, lloq: list[str] | None, time_unit: str | None
) -> dict[str, Any]:
    """Return the options of a data set from those of a command line."""
    options: dict[str, Any] = {}
    if column:
        options["columns"] = dict(_pair(text, "--column", "TIME=DAY") for text in column)
    if covariates is not None:
        options["covariates"] = tuple(name.strip() for name in covariates.split(",") if name.strip())
    if lloq:
        options["lloq"] = _limits(lloq)
    if time_unit is not None:
        options["time_unit"] = time_unit
    return options


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not (name and equals and value):
        raise InputError(f"{option} {text!r}: write {example}")
    return name, value


def _limits(texts: list[str]) -> float | dict[str, float]:
    if len(texts) == 1 and "=" not in texts[0]:
        return _number(texts[0])
    pairs = (_pair(text, "--lloq", "qpcr=50") for text in texts)
    return {name: _number(value) for name, value in pairs}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--lloq {text!r} is not a number") from None


def examined(
    file: Path, options: dict[str, Any], exposure: Path | None, people: Path | None, treatment: str | None
) -> tuple[Any, Any]:
    """Return all findings of a file, and its data unless one of them is an error."""
    from livingdrug.inference.data_building import examine
    from livingdrug.inference.data_files import is_transport, read_table

    cdisc = is_transport(file) or exposure is not None or people is not None
    if not cdisc:
        return examine(read_table(file), **options)
    from livingdrug.inference.cdisc import cdisc_events

    if "columns" in options:
        raise InputError("--column is for tables without CDISC's names")
    found = cdisc_events(
        file, exposure=exposure, demographics=people, treatment=treatment,
        covariates=options.pop("covariates", None), time_unit=options.pop("time_unit", None),
    )  # fmt: skip
    return examine(found.table, **found.options(**options))


def _write(findings: Any, found: Any, file: Path, out: Path) -> None:
    from livingdrug.storage import write_atomically

    write_atomically(out / FILES[0], findings.to_csv())
    if found is not None:
        from livingdrug.inference.exploratory import page

        write_atomically(out / FILES[1], page(found, f"Data set {file.name}"))
        write_atomically(out / FILES[2], found.to_frame().to_csv(index=False, na_rep="."))


def _print_json(findings: Any, found: Any, file: Path, out: Path | None) -> None:
    about = {"file": file, "right": found is not None, "folder": out, "findings": findings.table.to_dict("records")}
    if found is not None:
        summary = found.summary()
        about |= {
            "subjects": summary.subjects,
            "endpoints": summary.endpoints.to_dict("records"),
            "below_limit": summary.below_limit.to_dict("records"),
            "doses": summary.doses.to_dict("records"),
            "covariates": summary.covariates.to_dict("records"),
        }
    print_json({**about, "notice": NOTICE})


def _tell(findings: Any, found: Any, file: Path, out: Path | None) -> None:
    errors, warnings = len(findings.errors), len(findings.warnings)
    for line in findings.lines(LINES_SHOWN):
        say(line)
    if len(findings) > LINES_SHOWN:
        say(f"... {len(findings) - LINES_SHOWN:,} more; -o FOLDER writes them all")
    if found is None:
        say(f"{file}: {errors:,} errors, {warnings:,} warnings; the data cannot be used. {NOTICE}")
        return
    for line in found.summary().lines():
        say(line)
    where = f" {out}: findings, page and data written." if out is not None else ""
    say(f"{file}: the data can be used; {warnings:,} warnings.{where} {NOTICE}")

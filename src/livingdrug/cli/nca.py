"""Non-compartmental analysis of an event data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from livingdrug.cli.data import (
    Column,
    Covariates,
    Exposure,
    File,
    Lloq,
    People,
    TimeUnit,
    Treatment,
    chosen_options,
    examined,
)
from livingdrug.cli.terminal import print_json, print_table, say, waiting
from livingdrug.errors import InputError

__all__ = ["nca"]

FILES = ("nca.csv", "statistics.csv", "rules.txt")
NOTICE = "Not for clinical use."


def nca(
    file: File,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="Which one, if there are several.")] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option("--rule", metavar="NAME=VALUE", help="A rule, e.g. end=90, last=drop, method=linear; repeat."),
    ] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="COVARIATE", help="Statistics per value of it.")] = None,
    column: Column = None,
    covariates: Covariates = None,
    lloq: Lloq = None,
    time_unit: TimeUnit = None,
    exposure: Exposure = None,
    people: People = None,
    treatment: Treatment = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Where the tables go.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Peak, areas, half-lives and expansion of each subject, without a model.

    Prints the statistics as labels do: geometric mean (coefficient of variation), times as median [range]. The folder
    gets nca.csv with one row per subject, statistics.csv and rules.txt.
    """
    from livingdrug.inference.nca import nca_of

    there = [name for name in FILES if out is not None and (out / name).exists()]
    if there and not force:
        raise InputError(f"{out} already holds {there[0]}; --force writes over it, or choose another folder with -o")
    rules = _rules(rule or [])
    with waiting("Reading and computing ...", quiet=as_json):
        options = chosen_options(column, covariates, lloq, time_unit)
        findings, found = examined(file, options, exposure, people, treatment)
        findings.refuse()
        result = nca_of(found, endpoint, rules)
        statistics = result.statistics(_groups(found, by))
        if out is not None:
            _write(result, statistics, out)
    if as_json:
        tables = {"subjects": result.table(), "statistics": statistics}
        records = {name: table.to_dict("records") for name, table in tables.items()}
        print_json({"file": file, "folder": out, "rules": rules.describe(), **records, "notice": NOTICE})
        return
    rows = [(one["group"], one["parameter"].replace("_", " "), int(one["n"]), one["label"])
            for one in statistics.to_dict("records")]  # fmt: skip
    print_table("", ("Group", "Parameter", "Subjects", "Geometric mean (CV) or median [range]"), rows, (2,))
    for line in [*rules.describe(), *result.notes]:
        say(line)
    say(f"{out}: tables written. {NOTICE}" if out is not None else NOTICE)


def _rules(texts: list[str]) -> Any:
    """Return the rules with those that were given, as words or numbers."""
    from dataclasses import fields

    from livingdrug.errors import unknown_name
    from livingdrug.inference.nca_rules import NcaRules

    kinds = {one.name: type(one.default) for one in fields(NcaRules)}
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise InputError(f"--rule {text!r}: write NAME=VALUE, e.g. --rule last=drop")
        if name not in kinds:
            raise InputError(unknown_name("NCA rule", name, kinds, shown=len(kinds)))
        if kinds[name] is bool and value not in ("true", "false"):
            raise InputError(f"--rule {text!r}: {name} is true or false")
        try:
            found[name] = value == "true" if kinds[name] is bool else kinds[name](value)
        except ValueError:
            raise InputError(f"--rule {text!r}: {value!r} is not a number") from None
    return NcaRules(**found)


def _groups(data: Any, by: str | None) -> list[str] | None:
    if by is None:
        return None
    values, levels = data.covariate(by), data.covariates[by].levels
    return [levels[int(one)] if levels else f"{by} {one:g}" for one in values.tolist()]


def _write(result: Any, statistics: Any, out: Path) -> None:
    from livingdrug.storage import write_atomically

    write_atomically(out / FILES[0], result.table().to_csv(index=False))
    write_atomically(out / FILES[1], statistics.to_csv(index=False))
    write_atomically(out / FILES[2], "\n".join((NOTICE, *result.rules.describe(), *result.notes)) + "\n")

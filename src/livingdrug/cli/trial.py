"""Simulate a clinical trial."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from livingdrug.cli.terminal import print_json, print_table, progress_bar, say, waiting
from livingdrug.errors import InputError

__all__ = ["trial"]

PATIENTS = 10_000


def trial(
    name: Annotated[str, typer.Argument(metavar="TRIAL", help="A built-in trial, such as zuma-1, or a TOML file.")],
    patients: Annotated[
        str,
        typer.Option(
            "--patients", "-n", metavar="N|FILE", help="How many patients; a FILE acts as --baseline-volumes."
        ),
    ] = str(PATIENTS),
    baseline_volumes: Annotated[
        Path | None,
        typer.Option("--baseline-volumes", metavar="FILE", help="CSV of measured tumour volumes in mL to draw from."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The number from which all chance follows.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="The run folder. [default: runs/TRIAL-N-seedSEED]"),
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Cores to use. [default: all]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Simulate a trial and write its report.

    The run folder holds the report, tables of patients and endpoints, the configuration and a log. An interrupted run
    continues where it stopped when the same command is given again.
    """
    from livingdrug.cli.runfolder import RunLog, default_folder, save

    began = time.monotonic()
    count, volumes = cohort(patients, baseline_volumes)
    chosen = find_trial(name)
    folder = out if out is not None else default_folder(chosen.name, count, seed, volumes)
    log = RunLog(folder)
    log.begin(chosen, count, seed, volumes)
    try:
        with progress_bar(chosen.name, count, quiet=as_json) as progress:
            outcome = chosen.run(count, seed, folder, progress, volumes, threads=threads)
        with waiting("Writing the report ...", quiet=as_json):
            files = save(outcome, folder)
    except KeyboardInterrupt:
        log.write("interrupted")
        raise KeyboardInterrupt(
            f"Interrupted. What was finished is kept in {folder}; the same command continues."
        ) from None
    except Exception as error:
        log.write(f"failed: {type(error).__name__}")
        raise
    log.end(files, time.monotonic() - began)
    _tell(outcome, folder, time.monotonic() - began, as_json)


def find_trial(name: str) -> Any:
    """Return a built-in trial, or the one in a TOML file; an unknown name is an InputError."""
    from livingdrug.trials import Trial

    if name.endswith(".toml") or "/" in name or Path(name).is_file():
        return Trial.read(Path(name))
    return Trial.builtin(name)


def cohort(patients: str, baseline_volumes: Path | None) -> tuple[int, Path | None]:
    """Return how many patients, and the file of their tumour volumes.

    Example:
        >>> cohort("500", None)
        (500, None)
    """
    if re.fullmatch(r"[+-]?[0-9]{1,18}", patients):
        return int(patients), baseline_volumes
    if Path(patients).suffix or Path(patients).exists():
        if baseline_volumes is not None:
            raise InputError(
                f"--patients {patients} and --baseline-volumes {baseline_volumes} both name a file; give one"
            )
        return PATIENTS, Path(patients)
    raise InputError(f"--patients {patients!r} is neither a whole number nor a file that exists")


def _tell(outcome: Any, folder: Path, seconds: float, as_json: bool) -> None:
    """Print the result: the endpoints and where the report lies."""
    from livingdrug.reports.comparison import endpoints
    from livingdrug.reports.keyresults import cards

    shown = cards(outcome)
    if as_json:
        print_json(
            {
                "folder": folder,
                "report": folder / "report.html",
                "patients": len(outcome.patients),
                "seed": outcome.seed,
                "seconds": round(seconds, 3),
                "failed_patients": len(outcome.failures),
                "endpoints": outcome.endpoints.to_dict("records"),
                "notice": "Not for clinical use.",
            }
        )
        return
    for card in shown:
        say(f"  {card.value:>7}  {card.label} ({card.detail})")
    table = endpoints(outcome)
    if table is not None:
        say("")
        print_table("", (*table.headings, ""), [_short(row) for row in table.rows], table.numeric)
    say(f"\nReport: {folder / 'report.html'}  ({seconds:.0f} s)")
    say("Not for clinical use.", style="dim")


def _short(row: tuple[str, ...]) -> list[str]:
    """Return a row for the terminal: without the ranges, which stand in the report."""
    name, published, simulated, difference = (cell.split("\n") for cell in row)
    return [name[0], published[0], simulated[0], difference[0], *(difference[1:] or [""])]

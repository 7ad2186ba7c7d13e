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

PAPER_PATIENTS, TWIN_PATIENTS = 10_000, 2_000
NOTICE = "Not for clinical use."


def trial(
    name: Annotated[
        str, typer.Argument(metavar="TRIAL", help="A built-in trial, such as eliana or kimmel-zuma-1, or a TOML file.")
    ],
    patients: Annotated[
        str,
        typer.Option(
            "--patients",
            "-n",
            metavar="N|FILE",
            help="How many enrolled patients; a FILE acts as --baseline-volumes. [default: 2000; 10000 of a paper]",
        ),
    ] = "",
    baseline_volumes: Annotated[
        Path | None,
        typer.Option("--baseline-volumes", metavar="FILE", help="CSV of measured tumour volumes in mL (paper only)."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The number from which all chance follows.")] = 1,
    replicates: Annotated[
        int, typer.Option("--replicates", min=1, max=100_000, help="Trials of the real size, for the intervals.")
    ] = 1_000,
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
    from livingdrug.cli.runfolder import RunLog, default_folder
    from livingdrug.trials.catalogue import find_trial
    from livingdrug.trials.protocol import Protocol

    began = time.monotonic()
    chosen = find_trial(name)
    twin = isinstance(chosen, Protocol)
    count, volumes = cohort(patients or str(TWIN_PATIENTS if twin else PAPER_PATIENTS), baseline_volumes)
    if twin and volumes is not None:
        raise InputError(f"{chosen.name}: a file of tumour volumes fits trials of a paper's model only")
    folder = out if out is not None else default_folder(chosen.name, count, seed, volumes)
    log = RunLog(folder)
    log.begin(chosen, count, seed, volumes)
    try:
        run = _twin if twin else _paper
        outcome, files = run(chosen, count, seed, folder, volumes, threads, replicates, as_json)
    except KeyboardInterrupt:
        log.write("interrupted")
        raise KeyboardInterrupt(
            f"Interrupted. What was finished is kept in {folder}; the same command continues."
        ) from None
    except Exception as error:
        log.write(f"failed: {type(error).__name__}")
        raise
    seconds = time.monotonic() - began
    log.end(files, seconds)
    (_tell_twin if twin else _tell)(outcome, folder, seconds, as_json)


def _paper(
    chosen: Any, count: int, seed: int, folder: Path, volumes: Path | None, threads: int | None, _: int, as_json: bool
) -> tuple[Any, dict[str, str]]:
    """Run a trial of a paper's model; return its outcome and the files."""
    from livingdrug.cli.runfolder import save

    with progress_bar(chosen.name, count, quiet=as_json) as progress:
        outcome = chosen.run(count, seed, folder, progress, volumes, threads=threads)
    with waiting("Writing the report ...", quiet=as_json):
        return outcome, save(outcome, folder)


def _twin(
    chosen: Any, count: int, seed: int, folder: Path, _: Path | None, threads: int | None, replicates: int,
    as_json: bool,
) -> tuple[Any, dict[str, str]]:  # fmt: skip
    """Run a trial of the twin, one process per core; return its outcome and the files.

    The settings are the medians of the shipped ensemble, or default values where none is shipped.
    """
    import os

    from livingdrug.cli.runfolder import save_twin
    from livingdrug.trials.ensemble import ensemble_names, load_ensemble
    from livingdrug.trials.twin import BLOCK, run_twin

    workers = min(threads or os.cpu_count() or 1, -(-count // BLOCK))
    with progress_bar(chosen.name, count, quiet=as_json) as progress:
        outcome = run_twin(
            chosen, count, seed, folder=folder, settings=load_ensemble().middle() if ensemble_names() else None,
            replicates=replicates, workers=workers,
            threads=1 if workers > 1 else threads, progress=progress,
        )  # fmt: skip
    with waiting("Writing the report ...", quiet=as_json):
        return outcome, save_twin(outcome, folder)


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
        return PAPER_PATIENTS, Path(patients)
    raise InputError(f"--patients {patients!r} is neither a whole number nor a file that exists")


def _tell_twin(outcome: Any, folder: Path, seconds: float, as_json: bool) -> None:
    """Print the endpoints of a trial of the twin, or all of it as JSON."""
    if as_json:
        print_json(
            {
                "folder": folder, "report": folder / "report.html", "patients": len(outcome.outcomes),
                "seed": outcome.seed, "seconds": round(seconds, 3), "failed_patients": outcome.failed,
                "endpoints": outcome.endpoints.to_dict("records"), "targets": outcome.targets.to_dict("records"),
                "notice": NOTICE,
            }
        )  # fmt: skip
        return
    headings = ("Arm", "Endpoint", "Simulated", "95 % of trials", "Unit")
    rows = [
        (row.arm, row.endpoint, f"{row.value:.4g}", f"{row.low:.4g} to {row.high:.4g}", row.unit)
        for row in outcome.endpoints.itertuples()
    ]
    print_table(outcome.trial.title, headings, rows, (2, 3))
    if len(outcome.targets):
        inside = int(outcome.targets["inside"].sum())
        say(f"\n{inside} of {len(outcome.targets)} reported numbers lie inside the interval of trials of their size.")
    say(f"\nReport: {folder / 'report.html'}  ({seconds:.0f} s)")
    say(NOTICE, style="dim")


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
                "notice": NOTICE,
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
    say(NOTICE, style="dim")


def _short(row: tuple[str, ...]) -> list[str]:
    """Return a row for the terminal: without the ranges, which stand in the report."""
    name, published, simulated, difference = (cell.split("\n") for cell in row)
    return [name[0], published[0], simulated[0], difference[0], *(difference[1:] or [""])]

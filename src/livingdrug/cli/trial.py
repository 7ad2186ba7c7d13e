"""Simulate a clinical trial."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from livingdrug.cli.terminal import print_json, print_table, say, stopwatch
from livingdrug.errors import InputError

__all__ = ["trial"]

PATIENTS = 10_000


def trial(
    name: Annotated[str, typer.Argument(metavar="TRIAL", help="A built-in trial, such as zuma-1, or a TOML file.")],
    patients: Annotated[
        str,
        typer.Option("--patients", "-n", metavar="N|FILE", help="How many patients; or a file as --baseline-volumes."),
    ] = str(PATIENTS),
    baseline_volumes: Annotated[
        Path | None,
        typer.Option("--baseline-volumes", metavar="FILE", help="Measured tumour volumes in mL, one per line, to draw from."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The number from which all chance follows.")] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="The run folder. [default: runs/TRIAL-N-seedSEED]")
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="How many cores to use. [default: all]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Simulate a trial and write its report, tables, configuration and log into a run folder.

    An interrupted run continues where it stopped when the same command is given again.
    """
    from livingdrug.cli import runfolder
    from livingdrug.trials import Trial

    number, volumes = cohort_size(patients, baseline_volumes)
    chosen = Trial.read(Path(name)) if looks_like_file(name) else Trial.builtin(name)
    folder = out or Path("runs") / f"{chosen.name}-{number}-seed{seed}"
    started = time.monotonic()
    with runfolder.RunLog(folder) as log, stopwatch(f"{chosen.title}", quiet=as_json) as progress:
        log.begin(chosen, number, seed)
        try:
            outcome = chosen.run(
                patients=number, seed=seed, folder=folder, baseline=volumes, threads=threads, progress=progress
            )
        except KeyboardInterrupt:
            log.write("interrupted")
            raise KeyboardInterrupt(f"Interrupted. What is done is kept in {folder}; the same command continues.") from None
        runfolder.save(outcome, folder)
        log.end(folder)
    _tell(outcome, folder, time.monotonic() - started, as_json)

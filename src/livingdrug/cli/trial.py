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
SETS = 100
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
    parameter_sets: Annotated[
        int | None,
        typer.Option(
            "--parameter-sets",
            min=0,
            metavar="N",
            help="Sets of the ensemble that play the trial too, for ranges with what is not known of the parameters; "
            "0: none. [default: 100]",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="The run folder. [default: runs/TRIAL-N-seedSEED]"),
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Cores to use. [default: all]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Simulate a trial and write its report; a file that asks about power or dose is answered as `design` does.

    The run folder holds the report, tables of patients and endpoints, the configuration and a log. An interrupted run
    continues where it stopped when the same command is given again.
    """
    if _is_design(name):
        _design(Path(name), patients, baseline_volumes, seed, out, threads, as_json)
    else:
        _simulate(name, patients, baseline_volumes, seed, replicates, parameter_sets, out, threads, as_json)


def _is_design(name: str) -> bool:
    """Return whether a file is a design: it asks questions of a trial that it names."""
    from livingdrug.declared import read_toml

    return name.endswith(".toml") and Path(name).is_file() and "trial" in read_toml(name)


def _design(
    file: Path, patients: str, volumes: Path | None, seed: int, out: Path | None, threads: int | None, as_json: bool
) -> None:
    from livingdrug.cli.design import design

    if patients or volumes:
        raise InputError(f"{file}: a design; its numbers of patients stand in the file, leave out --patients")
    design(file, seed, out, threads, as_json)


def _simulate(
    name: str, patients: str, baseline_volumes: Path | None, seed: int, replicates: int, parameter_sets: int | None,
    out: Path | None, threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Simulate a trial, and tell what came out."""
    from livingdrug.cli.runfolder import RunLog, default_folder
    from livingdrug.trials.catalogue import find_trial
    from livingdrug.trials.protocol import Protocol

    began = time.monotonic()
    chosen = find_trial(name)
    twin = isinstance(chosen, Protocol)
    count, volumes = cohort(patients or str(TWIN_PATIENTS if twin else PAPER_PATIENTS), baseline_volumes)
    if twin and volumes is not None:
        raise InputError(f"{chosen.name}: a file of tumour volumes fits trials of a paper's model only")
    if not twin and parameter_sets:
        raise InputError(f"{chosen.name}: --parameter-sets fits trials of the twin only; a paper's model has one set")
    folder = out if out is not None else default_folder(chosen.name, count, seed, volumes)
    log = RunLog(folder)
    log.begin(chosen, count, seed, volumes)
    try:
        if twin:
            sets = SETS if parameter_sets is None else parameter_sets
            outcome, files = _twin(chosen, count, seed, folder, threads, replicates, sets, as_json)
        else:
            outcome, files = _paper(chosen, count, seed, folder, volumes, threads, as_json)
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
    chosen: Any, count: int, seed: int, folder: Path, volumes: Path | None, threads: int | None, as_json: bool
) -> tuple[Any, dict[str, str]]:
    """Run a trial of a paper's model; return its outcome and the files."""
    from livingdrug.cli.runfolder import save

    with progress_bar(chosen.name, count, quiet=as_json) as progress:
        outcome = chosen.run(count, seed, folder, progress, volumes, threads=threads)
    with waiting("Writing the report ...", quiet=as_json):
        return outcome, save(outcome, folder)


def _twin(
    chosen: Any, count: int, seed: int, folder: Path, threads: int | None, replicates: int, sets: int, as_json: bool
) -> tuple[Any, dict[str, str]]:
    """Run a trial of the twin, one process per core; return its outcome and the files.

    The settings are the medians of the shipped ensemble, or default values where none is shipped.
    """
    import os

    from livingdrug.cli.runfolder import save_twin
    from livingdrug.trials.ensemble import ensemble_names, load_ensemble
    from livingdrug.trials.parameter_ranges import with_parameter_ranges
    from livingdrug.trials.twin import BLOCK, run_twin

    cores = threads or os.cpu_count() or 1
    workers = min(cores, -(-count // BLOCK))
    ensemble = load_ensemble() if ensemble_names() else None
    with progress_bar(chosen.name, count, quiet=as_json) as progress:
        outcome = run_twin(
            chosen, count, seed, folder=folder, settings=ensemble.middle() if ensemble else None, replicates=replicates,
            workers=workers, threads=1 if workers > 1 else threads, progress=progress,
        )  # fmt: skip
    if ensemble and sets:
        with progress_bar("parameter sets", sets, of="trials", quiet=as_json) as progress:
            outcome = with_parameter_ranges(outcome, ensemble, sets, workers=cores, progress=progress)
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
    ranged = "sets_low" in outcome.endpoints
    headings = ("Arm", "Endpoint", "Simulated", "95 % by chance", *(("and parameters",) if ranged else ()), "Unit")
    rows = [
        (
            row.arm, row.endpoint, f"{row.value:.4g}", f"{row.low:.4g} to {row.high:.4g}",
            *((f"{row.sets_low:.4g} to {row.sets_high:.4g}",) if ranged else ()), row.unit,
        )
        for row in outcome.endpoints.itertuples()
    ]  # fmt: skip
    print_table(outcome.trial.title, headings, rows, (2, 3, 4) if ranged else (2, 3))
    if len(outcome.targets):
        say(f"\n{inside_words(outcome.targets)}")
    say(f"\nReport: {folder / 'report.html'}  ({seconds:.0f} s)")
    say(NOTICE, style="dim")


def inside_words(targets: Any) -> str:
    """Say how many reported numbers lie inside the simulated ranges."""
    from livingdrug.trials.parameter_ranges import inside

    chance, both = inside(targets)
    found = f"{chance} of {len(targets)} reported numbers lie inside the range of chance"
    return f"{found}." if both is None else f"{found}, {both} inside that of chance and parameters."


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

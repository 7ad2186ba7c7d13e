"""Ask the twin what nobody fitted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from livingdrug.cli.terminal import print_json, print_table, progress_bar, say
from livingdrug.errors import InputError, unknown_name

__all__ = ["emerge"]

NOTICE = "Not for clinical use."
ALL = "all"


def emerge(
    check: Annotated[
        str, typer.Argument(metavar="CHECK", help="Name of a check, or all. Without it they are listed.")
    ] = "",
    patients: Annotated[
        int, typer.Option("--patients", "-n", min=20, max=1_000_000, help="Enrolled per plan and parameter set.")
    ] = 1_000,
    sets: Annotated[
        int, typer.Option("--sets", min=1, max=1_000, help="Parameter sets of the shipped ensemble; 1: its medians.")
    ] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The number from which all chance follows.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="The run folder. [default: runs/emerge-N-seedSEED]"),
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Cores to use. [default: all]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Ask the twin what nobody fitted: the same patients under several plans.

    Each check writes a page with a figure, the figure as SVG, and its numbers as JSON. A run that was stopped goes on.
    """
    from livingdrug.trials.emergence import CHECKS

    if not check:
        _list(as_json)
        return
    if check not in (*CHECKS, ALL):
        raise InputError(unknown_name("emergence check", check, (*CHECKS, ALL)))
    folder = (
        out if out is not None else Path("runs") / f"emerge-{patients}-seed{seed}" / (f"sets{sets}" if sets > 1 else "")
    )
    names = list(CHECKS) if check == ALL else [check]
    told = [_one(name, patients, sets, seed, folder, threads, as_json) for name in names]
    if as_json:
        print_json({"folder": folder, "checks": told, "notice": NOTICE})
    else:
        say(f"\nPages and figures: {folder}. {NOTICE}")


def _list(as_json: bool) -> None:
    from livingdrug.trials.emergence import CHECKS

    if as_json:
        print_json({"checks": [{"name": one.name, "question": one.question} for one in CHECKS.values()]})
    else:
        print_table("", ("Check", "Question"), [(one.name, one.question) for one in CHECKS.values()], (), (1,))


def _one(
    name: str, patients: int, sets: int, seed: int, folder: Path, threads: int | None, quiet: bool
) -> dict[str, Any]:
    """Run one check, write its files and print its numbers."""
    from livingdrug.reports.trial_emergence import emergence_figures, emergence_page
    from livingdrug.storage import write_atomically
    from livingdrug.trials.emergence import run_check

    with progress_bar(name, patients, quiet=quiet) as progress:
        found = run_check(
            name,
            patients,
            seed,
            sets=sets,
            folder=folder / "patients",
            workers=threads or os.cpu_count() or 1,
            threads=1,
            progress=progress,
        )
    answer = found.to_json()
    contents = {f"{name}.html": emergence_page(found).html}
    for number, figure in enumerate(emergence_figures(found)):
        contents[f"{name}{f'-{number + 1}' if number else ''}.svg"] = figure.wide
    contents[f"{name}.json"] = json.dumps(_finite(answer), indent=2, ensure_ascii=False, allow_nan=False)
    for file, content in contents.items():
        write_atomically(folder / file, content)
    if not quiet:
        say(f"\n{found.check.question}")
        plans = found.check.kind == "plans"
        rows = [
            (*(row[name] for name in ("part", "group", *(() if plans else ("quantity",)))), f"{row['value']:.4g}",
             f"{row['low']:.4g} to {row['high']:.4g}", row["unit"])
            for row in answer["rows"]
        ]  # fmt: skip
        first = ("", "Plan") if plans else ("", "Group", "What")
        right = (len(first), len(first) + 1)
        print_table("", (*first, "Value", "95 %", "Unit"), rows, right, range(len(first)))
    return answer


def _finite(value: Any) -> Any:
    """Return plain values in which what is not finite is None, as JSON has it."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value

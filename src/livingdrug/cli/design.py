"""Design a trial: power, probability of success, dose."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from livingdrug.cli.terminal import print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    from livingdrug.trials.designer import DesignOutcome

__all__ = ["design"]

NOTICE = "Not for clinical use."


def design(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="TOML: a trial, and the table [power] or [dose_finding].")
    ],
    seed: Annotated[int, typer.Option("--seed", min=0, help="The number from which all chance follows.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="The run folder. [default: runs/design-NAME-seedSEED]"),
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Cores to use. [default: all]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Design a trial: how many patients, how likely success is, which dose.

    Virtual patients live under each arm or dose with the same luck. The run folder holds a page, the tables as CSV and
    JSON; a run that was stopped goes on when the same command is given again.
    """
    from livingdrug.trials.designer import TrialDesign, run_design

    began = time.monotonic()
    asked, trial = TrialDesign.read(file)
    folder = out if out is not None else Path("runs") / f"design-{asked.name}-seed{seed}"
    try:
        with progress_bar(asked.name, asked.patients, quiet=as_json) as progress:
            found = run_design(
                asked, trial, seed, folder=folder / "patients", workers=threads or os.cpu_count() or 1, threads=1,
                progress=progress,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"Interrupted. What was finished is kept in {folder}; the same command continues."
        ) from None
    answer = _save(found, folder)
    if as_json:
        print_json({"folder": folder, "report": folder / "report.html", **answer})
    else:
        _tell(found, folder, time.monotonic() - began)


def _save(found: DesignOutcome, folder: Path) -> dict[str, Any]:
    """Write page and tables; return the answer as plain values."""
    from livingdrug.reports.trial_design import design_page
    from livingdrug.storage import write_atomically

    tables = {"power": found.power, "doses": found.doses, "finding": found.finding}
    answer = {
        "design": found.design.model_dump(mode="json"), "trial": found.trial.name, "seed": found.seed,
        "settings": found.settings, "patients": found.pool.patients, "parameter_sets": found.pool.sets,
        **{name: json.loads(str(table.to_json(orient="records"))) for name, table in tables.items()}, "notice": NOTICE,
    }  # fmt: skip
    for name, table in tables.items():
        if len(table):
            write_atomically(folder / f"{name}.csv", table.to_csv(index=False))
    write_atomically(folder / "design.json", json.dumps(answer, indent=2, ensure_ascii=False))
    write_atomically(folder / "report.html", design_page(found).html)
    return answer


def _tell(found: DesignOutcome, folder: Path, seconds: float) -> None:
    if len(found.power):
        rows = [
            (
                row["endpoint"],
                row["size"],
                row["other_size"] or "",
                f"{100 * row['power']:.0f} %",
                f"{100 * row['error']:.1f} %",
            )
            for row in found.power.to_dict("records")
        ]
        print_table(found.design.title, ("Endpoint", "First arm", "Second arm", "Power", "+-"), rows, (1, 2, 3, 4))
    if len(found.doses):
        rows = [
            (f"{row['cells'] / 1e6:g} M", f"{100 * row['toxicity']:.0f} %", f"{100 * row['response']:.0f} %")
            for row in found.doses.to_dict("records")
        ]
        print_table("", ("Dose", "Limiting toxicity", "Response"), rows, (1, 2))
        rows = [
            (row["design"], f"{row['cells'] / 1e6:g} M" if row["cells"] else "none", f"{100 * row['chosen']:.0f} %",
             f"{row['patients']:.1f}")
            for row in found.finding.to_dict("records")
        ]  # fmt: skip
        print_table("", ("Rule", "Dose", "Recommended", "Patients"), rows, (2, 3))
    say(f"\n{found.settings}")
    say(f"Report: {folder / 'report.html'}  ({seconds:.0f} s)")
    say(NOTICE, style="dim")

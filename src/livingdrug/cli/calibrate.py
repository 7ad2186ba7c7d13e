"""Calibrate the twin on the six trials, or see how the shipped ensemble does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from livingdrug.cli.terminal import print_json, print_table, progress_bar, say
from livingdrug.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["calibrate"]


def calibrate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Finished pieces are kept here; a kill loses none.")],
    members: Annotated[int, typer.Option("--members", min=20, max=2_000, help="Parameter sets.")] = 100,
    tried: Annotated[int, typer.Option("--tried", min=1, max=100, help="Sets that the optimiser tries at most.")] = 12,
    steps: Annotated[int, typer.Option("--steps", min=1, max=50, help="Steps of the smoother.")] = 6,
    patients: Annotated[
        int, typer.Option("--patients", min=50, max=100_000, help="Enrolled by each set in each trial at each step.")
    ] = 140,
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="Predict each trial from the other five, too.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The number from which all chance follows.")] = 1,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes.")] = 2,
    save: Annotated[Path | None, typer.Option("--save", metavar="FILE", help="Write the ensemble; a new file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Calibrate one shared biology on six trials at once, and set predictions beside what the trials reported.

    The same command continues after a kill.
    """
    from livingdrug.trials.calibration import Plan
    from livingdrug.trials.calibration import calibrate as run
    from livingdrug.trials.ensemble import Ensemble, save_ensemble
    from livingdrug.trials.member_runs import MEMBERS_AT_ONCE
    from livingdrug.trials.predictive import coverage_table
    from livingdrug.trials.targets import target_trials

    if save is not None and save.exists():
        raise InputError(f"{save}: an ensemble is never written over; choose another name beside it")
    trials = target_trials()
    plan = Plan(members=members, tried=tried, steps=steps, patients=patients, seed=seed)
    pieces = len(trials) * -(-members // MEMBERS_AT_ONCE)
    with progress_bar("calibrating", steps * pieces, of="pieces", quiet=as_json) as progress:
        found = run(plan, folder, workers=workers, progress=progress)
    about = provenance(plan)
    if save is not None:
        save_ensemble(found.ensemble, about, save, found.trial_effects)
    ensemble = Ensemble("", found.ensemble, about, "", found.trial_effects)
    with progress_bar("predicting", pieces, of="pieces", quiet=as_json) as progress:
        table = coverage_table(ensemble, seed=seed + 1, workers=workers, progress=progress)
    tables = {"": table}
    for trial in trials if leave_one_out else ():
        others = Ensemble("", found.without(trial), about, "")
        with progress_bar(f"without {trial}", pieces // len(trials), of="pieces", quiet=as_json) as progress:
            tables[trial] = coverage_table(others, trials=(trial,), seed=seed + 1, workers=workers, progress=progress)
    _tell(tables, found.informed(), save, as_json)


def provenance(plan: Any) -> dict[str, str]:
    """Return how an ensemble was made."""
    import datetime as dt
    from importlib.metadata import version

    from livingdrug.body.twin import TwinBody

    return {
        "made": dt.datetime.now(dt.UTC).date().isoformat(), "livingdrug": version("livingdrug"),
        "body": str(TwinBody.fingerprint), "trials": ", ".join(plan.trials),
        "how": f"{plan.tried} tries with {plan.same_patients} patients, {plan.members} members, {plan.steps} steps, "
        f"{plan.patients} patients, seed {plan.seed}",
        "note": "calibrated parameter sets; not for clinical use",
    }  # fmt: skip


def _tell(tables: Mapping[str, pd.DataFrame], informed: pd.DataFrame, save: Path | None, as_json: bool) -> None:
    import pandas as pd

    from livingdrug.trials.predictive import coverage_summary

    left_out = [table for trial, table in tables.items() if trial]
    counted = coverage_summary(tables[""])
    alone = coverage_summary(pd.concat(left_out)) if left_out else None
    if as_json:
        print_json({
            "targets": tables[""].to_dict("records"), "coverage": counted.to_dict("records"),
            "parameters": informed.to_dict("records"),
            "leave_one_out": {trial: table.to_dict("records") for trial, table in tables.items() if trial},
            "notice": "Not for clinical use.",
        })  # fmt: skip
        return
    missed = tables[""][tables[""]["counted"] & ~tables[""]["inside"]]
    rows = [
        (r["label"], f"{r['observed']:.4g}", f"{r['middle']:.4g}", f"{r['low']:.4g}-{r['high']:.4g}")
        for _, r in missed.iterrows()
    ]
    print_table("Outside their 95 % interval", ("target", "reported", "predicted", "interval"), rows, (1, 2, 3))
    _shares("Targets inside their interval", counted)
    if alone is not None:
        _shares("The same, each trial predicted from the other five", alone)
    if save is not None:
        say(f"\nWritten to {save}")
    say("\nNot for clinical use.", style="dim")


def _shares(title: str, counted: pd.DataFrame) -> None:
    rows = [(r["by"], r["name"], str(r["targets"]), f"{r['share']:.0%}", str(r["wide"])) for _, r in counted.iterrows()]
    print_table(title, ("by", "name", "targets", "inside", "too wide"), rows, (2, 3, 4))

"""Predict trials from the shipped ensemble, and freeze what is predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from livingdrug.cli.terminal import print_json, progress_bar, say
from livingdrug.errors import InputError

__all__ = ["predict"]


def predict(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file; never written over.")],
    trials: Annotated[
        list[str] | None, typer.Option("--trial", metavar="TRIAL", help="A trial or a TOML file; may be repeated.")
    ] = None,
    ensemble: Annotated[str, typer.Option("--ensemble", help="Which one. [default: the newest]")] = "",
    members: Annotated[int, typer.Option("--members", min=2, help="Use the first so many parameter sets.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The number from which all chance follows.")] = 3,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Predict every trial that was not calibrated, before anything is compared, beside three naive forecasts."""
    from livingdrug.trials.catalogue import find_trial
    from livingdrug.trials.ensemble import Ensemble, load_ensemble
    from livingdrug.trials.frozen import freeze
    from livingdrug.trials.predict import MEMBERS_AT_ONCE, predicted_protocols
    from livingdrug.trials.protocol import Protocol

    if file.exists():
        raise InputError(f"{file}: a frozen forecast is never written over; choose another name beside it")
    chosen = list(predicted_protocols())
    if trials:
        found = [find_trial(name) for name in trials]
        chosen = [each for each in found if isinstance(each, Protocol)]
        if len(chosen) < len(found):
            raise InputError("only trials of the twin are predicted, and one of those named is of a paper's model")
    full = load_ensemble(ensemble)
    settings = {name: values[:members] for name, values in full.settings.items()}
    used = Ensemble(full.name, settings, full.provenance, full.hash)
    pieces = len(chosen) * -(-len(used) // MEMBERS_AT_ONCE)
    with progress_bar("predicting", pieces, of="pieces", quiet=as_json) as progress:
        forecast = freeze(used, chosen, seed=seed, workers=workers, progress=progress)
    forecast.write(file)
    if as_json:
        print_json({"file": str(file), "lines": len(forecast.table), **forecast.provenance})
    else:
        say(f"{len(forecast.table)} lines written to {file}; they are not to be changed")
        say("Not for clinical use.", style="dim")

"""Check a trial file or a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from livingdrug.cli.choice import declared_models
from livingdrug.cli.terminal import print_json, say
from livingdrug.errors import InputError

__all__ = ["check"]

TRIED = 5  # patients


def check(
    file: Annotated[Path, typer.Argument(help="A trial in TOML, or a Python file that declares a model.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Check a trial file or a model file.

    Says what is wrong in it. A trial is tried with a few patients; a model file is a Python program and is executed.
    """
    found = _found(file)
    if as_json:
        print_json({"file": file, "right": True, **found})
    else:
        say(f"{file}: all right ({found['kind']} {found['name']})")


def _found(file: Path) -> dict[str, Any]:
    if file.suffix == ".toml":
        return _trial(file)
    if file.suffix == ".py":
        models = declared_models(file)
        return {"kind": "model", "name": ", ".join(model.name for model in models)}
    raise InputError(f"check {str(file)!r}: expected a trial ending in .toml or a model ending in .py")


def _trial(file: Path) -> dict[str, Any]:
    """Read a trial and try it with a few patients, since some mistakes show only when the stages meet."""
    from livingdrug.trials.catalogue import find_trial
    from livingdrug.trials.design import Trial
    from livingdrug.trials.simulate import simulate_arm

    trial = find_trial(str(file))
    numbers = len(list(trial.stated()))
    try:
        if not isinstance(trial, Trial):
            for arm in trial.arms:
                simulate_arm(trial, arm, range(1, TRIED + 1), days=trial.visits.days[0])
            return {"kind": "trial", "name": trial.name, "model": "twin", "stated_numbers": numbers}
        trial.model_copy(update={"published_cures": ()}).run(TRIED)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    return {"kind": "trial", "name": trial.name, "model": trial.model, "stated_numbers": numbers}

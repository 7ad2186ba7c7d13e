"""Follow one patient with one model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from livingdrug.cli.choice import assigned, find_model, preset_values
from livingdrug.cli.terminal import print_json, print_table, say
from livingdrug.cli.twin import is_patient, run_patient, twin_body
from livingdrug.errors import InputError, SolveError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["run"]

ROWS_SHOWN = 11
COLUMNS_SHOWN = 3
POINTS = 400
RULE = "asco-2021"


def run(
    model: Annotated[
        str, typer.Argument(help="A model (`livingdrug models` lists them), a default patient of the twin, or a file.")
    ],
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a parameter; may be repeated.")
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="Start from a parameter set of the model.")] = None,
    days: Annotated[
        float | None, typer.Option("--days", help="How many days to follow. [default: as in the paper]")
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option("--output", "-o", help="Which output or state; may be repeated. [default: all outputs]"),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Write the course to a file ending in .csv, .parquet, .html, .svg or .png."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over an existing file.")] = False,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            min=0,
            help="Where chance starts, for models with chance [default: 0]; a patient of the twin is then drawn among "
            "those like the default patient.",
        ),
    ] = None,
    dose: Annotated[float | None, typer.Option("--dose", help="Cells infused, for a patient of the twin.")] = None,
    rule: Annotated[
        str | None,
        typer.Option("--rule", help="Rule of management, for a patient of the twin. [default: asco-2021]"),
    ] = None,
    what_if: Annotated[
        str | None,
        typer.Option("--what-if", metavar="RULE", help="The same patient under another rule, such as none."),
    ] = None,
    support: Annotated[
        bool, typer.Option("--support", help="G-CSF and transfusions where counts ask for them, for a patient.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Follow one patient with one model.

    Prints the course as a small plot and a table, or writes it to a file. MODEL may be a default patient of the twin,
    such as lbcl_cd28 or b_all: then a ward grades and treats, and --save draws all on one time axis.
    """
    if save is not None and save.exists() and not force:
        raise InputError(f"run: {str(save)!r} exists; add --force to write over it")
    if is_patient(model):
        _refuse_for_patients(preset, output)
        changes = assigned(twin_body(), values)
        run_patient(
            model, changes, rule=rule or RULE, what_if=what_if, dose=dose, days=days, support=support,
            seed=seed, save=save, as_json=as_json,
        )  # fmt: skip
        return
    for option, given in (("--dose", dose), ("--rule", rule), ("--what-if", what_if), ("--support", support or None)):
        if given is not None:
            raise InputError(f"run: {option} is for a patient of the twin, such as lbcl_cd28; {model!r} is a model")
    chosen = _found(model)
    days = float(chosen.follow_up or 0.0) if days is None else days
    if not (math.isfinite(days) and days > 0):
        raise InputError(f"run: --days must be a positive number of days, got {days}")
    names = _outputs(chosen, output)
    course = _course(chosen, preset_values(chosen, preset) | assigned(chosen, values), names, days, seed or 0)
    units = {name: unit_of(chosen, name) for name in names}
    if save is not None:
        _save(course, units, chosen.name, save)
    if as_json:
        print_json({"model": chosen.name, "units": {"day": "day", **units}, "course": course.to_dict("list")})
        return
    _show(chosen.name, course, units)
    if save is not None:
        say(f"\nWritten to {save}")


def _found(name: str) -> Any:
    """Return a model; the message about an unknown one also names a patient that is spelt nearly so."""
    from livingdrug.body.diseases import PATIENTS
    from livingdrug.errors import nearest_names

    try:
        return find_model(name)
    except InputError as error:
        near = nearest_names(name, PATIENTS)
        raise InputError(f"{error}; or did you mean the patient {near[0]!r}?" if near else str(error)) from error


def _refuse_for_patients(preset: str | None, output: list[str] | None) -> None:
    for option, given in (("--preset", preset), ("--output", output)):
        if given:
            raise InputError(f"run: {option} is for a model; a patient of the twin shows what a ward would look at")


def _outputs(model: Any, asked: list[str] | None) -> list[str]:
    known = [*model.outputs, *(name for name in model.states if name not in model.outputs)]
    for name in asked or []:
        if name not in known:
            raise InputError(unknown_name(f"output of {model.name}", name, known))
    return list(dict.fromkeys(asked or model.outputs or model.states))


def unit_of(model: Any, name: str) -> str:
    """Return the unit of an output or state of a model."""
    return (model.outputs[name] if name in model.outputs else model.states[name]).unit


def _course(model: Any, changed: dict[str, float], names: list[str], days: float, seed: int) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    from livingdrug.engine.solve import solve

    times = np.linspace(0.0, days, POINTS + 1)
    solution = solve(model, changed, times, outputs=names, seed=seed)
    if solution.status[0] != 0:
        raise SolveError(f"run: the solve of {model.name} failed: {solution.failures()[0]}")
    course = pd.DataFrame(solution.values[0], columns=names)
    course.insert(0, "day", times)
    return course


def _show(name: str, course: pd.DataFrame, units: dict[str, str]) -> None:
    """Print a plot of the first output and a short table of all."""
    from livingdrug.cli.plot import plot
    from livingdrug.reports.numbers import number

    first, *others = units
    say(f"{name}: {first} [{units[first]}]")
    for line in plot(course["day"].tolist(), course[first].tolist()):
        say(line, style="cyan")
    step = max(1, (len(course) - 1) // (ROWS_SHOWN - 1))
    shown = [first, *others[: COLUMNS_SHOWN - 1]]
    table = course[["day", *shown]].to_numpy()[::step].tolist()
    rows = [[number(day), *(f"{value:.3g}" for value in values)] for day, *values in table]
    say("")
    print_table("", ["day", *(f"{output} [{units[output]}]" for output in shown)], rows, range(len(shown) + 1))
    if len(shown) < len(units):
        say(f"\nNot shown, to be chosen with --output: {', '.join(others[COLUMNS_SHOWN - 1 :])}")
    say("\nNot for clinical use.", style="dim")


def _save(course: pd.DataFrame, units: dict[str, str], name: str, path: Path) -> None:
    from livingdrug.reports.curves import write_course

    write_course(course, units, name, path)

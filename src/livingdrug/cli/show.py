"""Describe a model."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from livingdrug.cli.choice import find_model
from livingdrug.cli.terminal import print_json, say

__all__ = ["show"]


def show(
    model: Annotated[str, typer.Argument(help="Name of a model (`livingdrug models` lists them), or an SBML file.")],
    latex: Annotated[bool, typer.Option("--latex", help="Print only the equations, in LaTeX.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Describe a model.

    Prints its equations, and every parameter with unit, meaning and source.
    """
    chosen = find_model(model)
    if latex:
        typer.echo(chosen.to_latex())
        return
    if as_json:
        print_json(_as_data(chosen))
        return
    say(chosen.describe())
    say(f"To cite it: livingdrug cite {chosen.name}")


def _as_data(model: Any) -> dict[str, Any]:
    """Return a model as plain values."""
    return {
        "name": model.name,
        "source": model.source,
        "states": [_named(name, state) for name, state in model.states.items()],
        "parameters": [
            _named(name, parameter)
            | {"value": parameter.value, "source": parameter.source_key, "place": parameter.source_place}
            for name, parameter in model.parameters.items()
        ],
        "outputs": [_named(name, output) for name, output in model.outputs.items()],
        "parameter_sets": list(model.parameter_sets),
        "fingerprint": model.fingerprint,
    }


def _named(name: str, thing: Any) -> dict[str, Any]:
    return {"name": name, "unit": thing.unit, "meaning": thing.meaning}

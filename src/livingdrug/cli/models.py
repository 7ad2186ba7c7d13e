"""List the models."""

from __future__ import annotations

from typing import Annotated

import typer

from livingdrug.cli.terminal import print_json, print_table

__all__ = ["models"]


def models(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False) -> None:
    """List the published models."""
    from livingdrug.library import load_model, model_names
    from livingdrug.sources import cite

    rows = []
    for name in model_names():
        model = load_model(name)
        source = cite(model.source)
        about = {
            "states": len(model.states),
            "parameters": len(model.parameters),
            "parameter_sets": len(model.parameter_sets),
        }
        rows.append({"name": name, "title": source.title, "year": source.year, "doi": source.doi} | about)
    if as_json:
        print_json(rows)
        return
    cells = [(row["name"], row["states"], row["parameters"], row["parameter_sets"] or "", row["title"]) for row in rows]
    print_table("", ("Model", "States", "Parameters", "Sets", "Paper"), cells, (1, 2, 3))

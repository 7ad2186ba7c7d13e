"""Print how to cite a model or a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from livingdrug.cli.terminal import print_json
from livingdrug.errors import InputError

__all__ = ["cite"]


def cite(
    what: Annotated[str, typer.Argument(help="A model's name, the key of a source, or a run folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Print the BibTeX entries of a model or of everything that a run rests on."""
    from livingdrug import sources

    found = [sources.cite(key) for key in _keys(what)]
    if as_json:
        print_json(
            [{"key": source.key, "title": source.title, "year": source.year, "doi": source.doi} for source in found]
        )
        return
    typer.echo("\n\n".join(source.to_bibtex() for source in found))

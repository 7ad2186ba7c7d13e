"""Print how to cite a model or a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from livingdrug.cli.terminal import print_json
from livingdrug.errors import InputError, unknown_name

__all__ = ["cite"]


def cite(
    what: Annotated[str, typer.Argument(help="The name of a model, or a run folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Print how to cite a model or a run.

    Prints a BibTeX entry for each publication that it rests on.
    """
    from livingdrug import sources

    keys = _keys(what)
    if not as_json:
        typer.echo(sources.to_bibtex(keys), nl=False)
        return
    found = [sources.cite(key) for key in keys]
    print_json([{"key": s.key, "title": s.title, "authors": s.authors, "year": s.year, "doi": s.doi} for s in found])


def _keys(what: str) -> list[str]:
    """Return the keys of the sources, each once."""
    from livingdrug.library import load_model, model_names

    if Path(what).is_dir():
        return _keys_of_run(Path(what))
    if what not in model_names():
        raise InputError(unknown_name("model or run folder", what, model_names()))
    return load_model(what).source_keys()


def _keys_of_run(folder: Path) -> list[str]:
    path = folder / "citation.bib"
    if not path.is_file():
        raise InputError(f"{str(folder)!r} holds no finished run; expected a folder that `livingdrug trial` wrote")
    return re.findall(r"^@\w+\{([^,\s]+),", path.read_text(encoding="utf-8"), re.MULTILINE)

"""Write a model in another program's language."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from livingdrug.cli.choice import assigned, find_model
from livingdrug.cli.terminal import print_json, say
from livingdrug.errors import InputError

__all__ = ["export"]


def export(
    model: Annotated[str, typer.Argument(help="Name of a model, or an SBML file.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="sbml, antimony, mrgsolve, rxode2 (and nlmixr2), nonmem, mlxtran (Monolix), latex or markdown.",
        ),
    ],
    out: Annotated[Path | None, typer.Option("--output", "-o", help="File to write. [default: print]")] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="Take a parameter set of the model.")] = None,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a parameter; may be repeated.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Write a model in another program's language.

    Prints the text, or writes it to a file; an existing file is kept unless --force is given.
    """
    from livingdrug.exports import export_model

    if out is not None and out.exists() and (out.is_dir() or not force):
        what = "is a folder; give the name of a file" if out.is_dir() else "exists; add --force to write over it"
        raise InputError(f"export: {str(out)!r} {what}")
    chosen = find_model(model)
    text = export_model(chosen, to, parameter_set=preset, values=assigned(chosen, values))
    if out is not None:
        from livingdrug.storage import write_atomically

        write_atomically(out, text)
    if as_json:
        print_json({"model": chosen.name, "format": to, "file": out, "text": None if out is not None else text})
    elif out is None:
        typer.echo(text, nl=not text.endswith("\n"))
    else:
        say(f"{chosen.name} written to {out} ({to})")

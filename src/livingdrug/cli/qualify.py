"""Compute every published number of the library again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from livingdrug.cli.terminal import print_json, print_table, progress_bar, say, waiting
from livingdrug.errors import InputError

if TYPE_CHECKING:
    from livingdrug.qualification import Qualification

__all__ = ["qualify"]

FILES = ("validation.html", "validation.json", "validation.xml")


def qualify(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Which models. [default: all]")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FOLDER", help="Folder of the check data that are not shipped.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Write validation.html, .json and .xml (JUnit) here."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes. [default: one per processor]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Compute every published number of the library again.

    Compares each model with its paper and with an independent solver. Exit code 1 if any number fails.
    """
    import json

    from livingdrug.library import model_names
    from livingdrug.qualification import qualify as compute
    from livingdrug.qualification.formats import to_json

    _refuse_existing(out, force)
    with progress_bar("Qualifying", len(models or model_names()), of="models", quiet=as_json) as progress:
        found = compute(models or None, data=data, workers=workers, progress=lambda _, done, of: progress(done, of))
    if out is not None:
        with waiting("Writing the page ...", quiet=as_json):
            _write(found, out)
    if as_json:
        print_json(json.loads(to_json(found)))
    else:
        _show(found, out)
    if found.failed:
        raise typer.Exit(1)


def _refuse_existing(out: Path | None, force: bool) -> None:
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"qualify: {str(out)!r} is a file; give the name of a folder")
    there = [] if out is None or force else [name for name in FILES if (out / name).exists()]
    if there:
        raise InputError(f"qualify: {out} already holds {', '.join(there)}; --force writes over them")


def _write(found: Qualification, out: Path) -> None:
    from livingdrug.qualification.formats import to_json, to_junit
    from livingdrug.reports.validation import validation_page
    from livingdrug.storage import write_atomically

    for name, text in zip(FILES, (validation_page(found).html, to_json(found), to_junit(found)), strict=True):
        write_atomically(out / name, text)


def _show(found: Qualification, out: Path | None) -> None:
    from livingdrug.qualification.formats import STATUSES, number

    rows = [(name, *(found.count(status, name) or "" for status in STATUSES)) for name in found.results]
    print_table("", ("Model", *(status.capitalize() for status in STATUSES)), rows, (1, 2, 3, 4))
    for name, r in found.failed:
        say(
            f"FAIL {name}: {r.target.quantity}: ours {number(r.ours)}, expected {number(r.judged_by)} within "
            f"{r.judged_by.tolerance:.2g} {r.target.unit} ({r.target.source}){'; ' + r.note if r.note else ''}",
            style="red",
        )
    if out is not None:
        say(f"\nPage: {out / FILES[0]}")
    say("Not for clinical use.", style="dim")

"""Make the report of a finished run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from livingdrug.cli.terminal import print_json, say

__all__ = ["report"]


def report(
    folder: Annotated[Path, typer.Argument(help="A run folder that `livingdrug trial` wrote.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to write. [default: FOLDER/report.html]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Make the report of a finished run again.

    The patients are read from the run folder and not simulated again.
    """
    from livingdrug import reports
    from livingdrug.cli.runfolder import read

    path = reports.report(read(folder)).save(out if out is not None else folder / "report.html")
    if as_json:
        print_json({"report": path})
    else:
        say(f"Report: {path}")

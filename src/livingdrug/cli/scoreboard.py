"""Make the scoreboard over all trials."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from livingdrug.cli.terminal import print_json, print_table, progress_bar, say
from livingdrug.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["scoreboard"]

NOTICE = "Not for clinical use."


def scoreboard(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where scoreboard.md, .html and .csv go.")
    ] = Path("scoreboard"),
    coverage: Annotated[
        Path | None,
        typer.Option("--coverage", metavar="CSV", help="A finished scoreboard.csv; nothing is simulated again."),
    ] = None,
    forecast: Annotated[
        Path | None, typer.Option("--forecast", metavar="CSV", help="A frozen forecast of the other trials.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of patients, trial effects and draws.")] = 2,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Processes. [default: one per core]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Make the scoreboard: what trials reported beside what the twin says, target by target.

    The calibration trials are predicted by the shipped ensemble; the other trials stand there as they were forecast.
    """
    from livingdrug.trials.forecast import read_forecast
    from livingdrug.trials.predictive import coverage_summary

    frozen = read_forecast(forecast) if forecast is not None else None
    table, about = _covered(coverage, seed, threads or os.cpu_count() or 1, as_json)
    if table is None and frozen is None:
        raise InputError(
            "there is nothing to show: no ensemble is shipped, and neither --coverage nor --forecast was given"
        )
    files = _write(out, table, frozen, about)
    totals = coverage_summary(table) if table is not None else None
    if as_json:
        rows = totals.to_dict("records") if totals is not None else []
        print_json({"files": files, "summary": rows, "about": about, "notice": NOTICE})
        return
    if totals is not None:
        rows = [
            (row["by"], row["name"], row["targets"], row["inside"], f"{100 * row['share']:.0f} %", row["wide"],
             row["narrow"], "yes" if row["met"] else "no")
            for row in totals.to_dict("records")
        ]  # fmt: skip
        headings = ("By", "Name", "Targets", "Inside", "Share", "Too wide", "Inside and not", "Goal met")
        print_table("", headings, rows, (2, 3, 4, 5, 6))
    say(f"\nScoreboard: {', '.join(str(path) for path in files)}. {NOTICE}")


def _covered(path: Path | None, seed: int, workers: int, quiet: bool) -> tuple[pd.DataFrame | None, dict[str, str]]:
    """Return the table of targets, read or simulated, and where it is from; None without file and ensemble."""
    from livingdrug.reports.scoreboard import checked
    from livingdrug.trials.ensemble import ensemble_names, load_ensemble

    if path is not None:
        return checked(_read(path)), {"Targets": f"read from {path.name}"}
    if not ensemble_names():
        return None, {}
    from livingdrug.trials.predictive import coverage_table

    found = load_ensemble()
    with progress_bar("predicting", 1, of="pieces", quiet=quiet) as progress:
        table = coverage_table(found, seed=seed, workers=workers, progress=progress)
    about = {"Ensemble": f"{found.name}, {len(found)} parameter sets, SHA-256 {found.hash}", "Seed": str(seed)}
    return checked(table), about


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:  # pandas' parsing errors are ValueErrors
        raise InputError(f"{path}: not a table of targets: {error!s:.200}") from error


def _write(out: Path, table: pd.DataFrame | None, frozen: Any, about: dict[str, str]) -> list[Path]:
    from livingdrug.reports import charts
    from livingdrug.reports.scoreboard import intervals_chart, placed, scoreboard_markdown, scoreboard_page
    from livingdrug.storage import write_atomically

    contents: dict[str, str] = {}
    image = ""
    if table is not None:
        image = "images/scoreboard.svg"
        contents[image] = charts.drawing(intervals_chart(placed(table), charts.WIDE))
        contents["scoreboard.csv"] = table.to_csv(index=False)
    contents["scoreboard.md"] = scoreboard_markdown(table, frozen, about, image)
    contents["scoreboard.html"] = scoreboard_page(table, frozen, about).html
    for name, content in contents.items():
        write_atomically(out / name, content)
    return [out / name for name in contents]

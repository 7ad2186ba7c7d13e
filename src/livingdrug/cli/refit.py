"""Replace published numbers by those of a site's own batches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from livingdrug.cli.terminal import print_json, print_table, say, waiting
from livingdrug.errors import InputError, unknown_name

__all__ = ["refit"]

WHAT = ("making",)
FILES = ("priors.toml", "table.csv", "failures.csv", "preview.csv", "figure.svg")


def refit(
    what: Annotated[str, typer.Argument(help="What to refit: making.")],
    file: Annotated[
        Path, typer.Argument(metavar="SITE.csv", help="The site's batches, one row each; docs/how-to/refit.md.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Where the numbers, tables and the figure go.")
    ] = None,
    site: Annotated[str | None, typer.Option("--site", help="Name of the site. [default: that of the file]")] = None,
    device: Annotated[str, typer.Option("--device", help="Vessel in which the cells were grown.")] = "stirred tank",
    leave_out: Annotated[
        bool, typer.Option("--leave-out-bad-rows", help="Go on without rows that hold impossible values.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the simulated batches of the preview.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Replace published numbers of the making by those of a site's own batches.

    The folder gets priors.toml for a journey, tables with 90 % intervals beside the published numbers, what the chain
    makes before and after, and a figure.
    """
    from livingdrug.plant.refit import preview
    from livingdrug.plant.refit import refit as fit
    from livingdrug.plant.site_file import read_batches

    if what not in WHAT:
        raise InputError(unknown_name("thing to refit", what, WHAT))
    folder = out or Path("runs") / f"refit-{file.stem}"
    there = [name for name in FILES if (folder / name).exists()]
    if there and not force:
        raise InputError(f"{folder} already holds {there[0]}; --force writes over it, or choose another folder with -o")
    batches = read_batches(file, "mark" if leave_out else "raise")
    found = fit(batches, site or file.stem, device=device)
    with waiting("Simulating batches and writing ...", quiet=as_json):
        before_and_after = preview(found, seed=seed)
        _write(found, before_and_after, folder)
    if as_json:
        tables = {"quantities": found.to_frame(), "failures": found.failures(), "preview": before_and_after}
        about = {"folder": folder, "site": found.site, "device": device, "batches": len(batches), "seed": seed}
        records = {name: table.to_dict("records") for name, table in tables.items()}
        print_json({**about, **records, "messages": found.messages, "notice": "Not for clinical use."})
        return
    _tell(found, before_and_after, folder)


def _write(found: Any, before_and_after: Any, folder: Path) -> None:
    from livingdrug.analysis.drawing import svg
    from livingdrug.reports.quality_figures import refit_figure
    from livingdrug.storage import write_atomically

    contents = (
        found.to_toml(), found.to_frame().to_csv(index=False), found.failures().to_csv(index=False),
        before_and_after.to_csv(index=False), svg(refit_figure(found)),
    )  # fmt: skip
    for name, content in zip(FILES, contents, strict=True):
        write_atomically(folder / name, content)


def _tell(found: Any, before_and_after: Any, folder: Path) -> None:
    rows = [
        (row["quantity"].replace("_", " "), row["batches"], f"{row['prior_median']:.3g}",
         f"{row['median']:.3g} ({row['low']:.3g} to {row['high']:.3g})", row["unit"], f"{row['own_share']:.0%}")
        for row in found.to_frame().to_dict("records")
    ]  # fmt: skip
    heads = ("Quantity", "Batches", "Before", "Median of the site (90 %)", "Unit", "Own share")
    print_table("", heads, rows, (1, 2, 5), wrapped=())
    for chance in found.chances:
        low, middle, high = chance.chance
        counts = f"{chance.events} of {chance.batches}"
        say(f"{chance.title}: {counts}; chance {middle:.1%} ({low:.1%} to {high:.1%})")
    say("")
    shown = [
        (row["numbers"], f"{row['car_positive']:.0%}", f"{row['viability']:.0%}", f"{row['harvested_car_t_cells']:.2g}",
         f"{row['released']:.0%}")
        for row in before_and_after.to_dict("records")
    ]  # fmt: skip
    print_table("", ("Simulated with", "CAR-positive", "Viability", "CAR T cells", "Released"), shown, range(1, 5))
    for text in found.messages:
        say(f"Note: {text}.")
    say(f"\nNumbers for a journey: {folder / FILES[0]}")
    say("Not for clinical use.", style="dim")

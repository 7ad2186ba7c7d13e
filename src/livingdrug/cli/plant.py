"""Simulate a plant, or design a network of plants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from livingdrug.cli.terminal import print_json, print_table, progress_bar, say, waiting
from livingdrug.errors import InputError

__all__ = ["plant"]

FLEET_ONLY = ("patients", "rule")
NETWORK_ONLY = ("within", "most_open", "horizon", "most_wait", "day_of_waiting")


def plant(
    plan: Annotated[
        str,
        typer.Argument(
            metavar="PLAN", help="A built-in plan (standard, point-of-care), a TOML file, or a network as .dat file."
        ),
    ],
    patients: Annotated[
        int | None, typer.Option("--patients", "-n", min=1, help="Referred patients. [default: 10000]")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The number from which all chance follows.")] = 1,
    rule: Annotated[
        str | None, typer.Option("--rule", help="Who is served next: 'first come', urgency or survival.")
    ] = None,
    within: Annotated[
        int | None, typer.Option("--within", min=0, metavar="DAYS", help="Network: longest turnaround.")
    ] = None,
    most_open: Annotated[
        int | None, typer.Option("--most-open", min=1, help="Network: plants that may be open. [default: 2]")
    ] = None,
    horizon: Annotated[
        int | None, typer.Option("--horizon", min=1, metavar="DAYS", help="Network: days paid for. [default: 130]")
    ] = None,
    most_wait: Annotated[
        int | None, typer.Option("--most-wait", min=0, metavar="DAYS", help="Network: frozen cells may wait so long.")
    ] = None,
    day_of_waiting: Annotated[
        float | None,
        typer.Option(
            "--day-of-waiting", min=0, metavar="USD", help="Network: what a patient's day of waiting is worth."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Where the report and the tables go.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Simulate a plant of many batches, or design a network of plants.

    A plan in TOML is simulated patient by patient; a .dat file is solved as a network to a proved optimum. The folder
    gets report.html and tables.
    """
    given = {
        "patients": patients, "rule": rule, "within": within, "most_open": most_open, "horizon": horizon,
        "most_wait": most_wait, "day_of_waiting": day_of_waiting,
    }  # fmt: skip
    is_network = plan.endswith(".dat")
    _refuse_options(given, NETWORK_ONLY if not is_network else FLEET_ONLY, plan, is_network)
    folder = out or Path("runs") / f"plant-{Path(plan).stem}"
    if (folder / "report.html").exists() and not force:
        raise InputError(
            f"{folder} already holds report.html; --force writes over it, or choose another folder with -o"
        )
    if is_network:
        _network(Path(plan), given, folder, as_json)
    else:
        _fleet(plan, patients or 10_000, seed, rule, folder, as_json)


def _refuse_options(given: dict[str, Any], others: tuple[str, ...], plan: str, is_network: bool) -> None:
    for name in others:
        if given[name] is not None:
            what = "a network (.dat)" if is_network else "a plan of a plant"
            raise InputError(f"--{name.replace('_', '-')} does not belong to {what}, which {plan!r} is; leave it out")


def _fleet(name: str, patients: int, seed: int, rule: str | None, folder: Path, as_json: bool) -> None:
    from livingdrug.plant import FleetPlan
    from livingdrug.reports.plant import fleet_cards, fleet_page

    is_file = name.endswith(".toml") or "/" in name
    plan = FleetPlan.read(name) if is_file else FleetPlan.builtin(name)
    if rule is not None:
        plan = plan.with_(rule=rule)
    with progress_bar(plan.name, patients, quiet=as_json) as progress:
        result = plan.run(patients, seed, progress=progress)
    with waiting("Writing the report ...", quiet=as_json):
        result.save(folder)
        _save_table(result.events, folder / "events.parquet")
        fleet_page(result).save(folder / "report.html")
    if as_json:
        tables = {name: getattr(result, name).to_dict("records") for name in ("table", "resources", "costs", "losses")}
        print_json({"folder": folder, "plan": plan.name, "patients": patients, "seed": seed, **tables, **_notice()})
        return
    _tell(fleet_cards(result))
    heads = ("Resource", "Units", "In use", "Mean queue", "Mean wait, days")
    rows = [
        (r["resource"], r["units"], f"{r['utilisation']:.0%}", f"{r['mean_queue']:.1f}", f"{r['mean_wait_days']:.2f}")
        for r in result.resources.to_dict("records")
    ]
    print_table("", heads, rows, range(1, 5))
    _end(folder)


def _network(path: Path, given: dict[str, Any], folder: Path, as_json: bool) -> None:
    from livingdrug.plant import design, read_network
    from livingdrug.reports.plant import network_cards, network_page

    names = {"within": "within_days", "horizon": "horizon_days", "most_wait": "most_wait_days"}
    changes = {names.get(name, name): given[name] for name in NETWORK_ONLY if given[name] is not None}
    network = read_network(path)
    with waiting("Looking for the cheapest network ...", quiet=as_json):
        found = design(network, **changes)
    with waiting("Writing the report ...", quiet=as_json):
        found.save(folder)
        network_page(found).save(folder / "report.html")
    if as_json:
        about = json.loads((folder / "design.json").read_text(encoding="utf-8"))
        print_json({"folder": folder, **about, "assignments": found.assignments.to_dict("records")})
        return
    _tell(network_cards(found))
    rows = [(r["item"], f"{r['usd']:,.2f}", f"{r['usd_per_therapy']:,.2f}") for r in found.table.to_dict("records")]
    print_table("", ("Item", "USD", "Per therapy"), rows, (1, 2))
    _end(folder)


def _save_table(table: Any, path: Path) -> None:
    import io

    from livingdrug.storage import write_atomically

    content = io.BytesIO()
    table.to_parquet(content, index=False)
    write_atomically(path, content.getvalue())


def _tell(cards: Any) -> None:
    for card in cards:
        say(f"  {card.value:>9}  {card.label} ({card.detail})")
    say("")


def _end(folder: Path) -> None:
    say(f"\nReport: {folder / 'report.html'}")
    say("Not for clinical use.", style="dim")


def _notice() -> dict[str, str]:
    return {"notice": "Not for clinical use."}

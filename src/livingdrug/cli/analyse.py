"""Analyse a model: what decides its results, what data can tell about it, and what may come of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from livingdrug.cli.choice import assigned, find_model, preset_values
from livingdrug.cli.terminal import print_json, print_table, progress_bar, say
from livingdrug.errors import InputError, unknown_name

__all__ = ["analyse"]

ROWS_SHOWN = 30
# The options that each method reads; every method reads --set, --preset, --days, --out, --force and --json.
METHODS = {
    "sobol": ("quantity", "range", "all", "runs", "second-order", "chance", "seed", "threads"),
    "local": ("output", "parameter"),
    "tornado": ("quantity", "range", "all", "threads"),
    "plane": ("quantity", "range", "output", "size", "cure-below", "undetected-below", "response", "relapse-above",
              "chance", "seed", "threads"),
    "profile": ("range", "parameter", "data", "measure", "sd", "error", "seed"),
}  # fmt: skip


def analyse(
    method: Annotated[str, typer.Argument(help="sobol, local, tornado, plane or profile.")],
    model: Annotated[str, typer.Argument(help="Name of a model, a Python file that declares one, or an SBML file.")],
    quantity: Annotated[
        list[str] | None,
        typer.Option("--quantity", "-q", metavar="WORDS", help="What to measure, e.g. 'max car_t_blood'; repeatable."),
    ] = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range", "-r", metavar="NAME=RANGE", help="LOW:HIGH, LOW:HIGH:log, x2, 10% or spread; repeatable."
        ),
    ] = None,
    everything: Annotated[
        str | None, typer.Option("--all", metavar="RANGE", help="Vary all other parameters: x2, 10% or spread.")
    ] = None,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a parameter; repeatable.")
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="Start from a parameter set of the model.")] = None,
    days: Annotated[
        float | None, typer.Option("--days", help="How many days to follow. [default: as the model says]")
    ] = None,
    output: Annotated[
        list[str] | None, typer.Option("--output", help="local: outputs to look at; plane: the tumour.")
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", help="local, profile: only these; repeatable.")
    ] = None,
    runs: Annotated[int | None, typer.Option("--runs", help="sobol: runs at most. [default: 100000]")] = None,
    second_order: Annotated[bool, typer.Option("--second-order", help="sobol: pairs of parameters, too.")] = False,
    size: Annotated[int | None, typer.Option("--size", help="plane: cells along an axis. [default: 200]")] = None,
    cure_below: Annotated[
        float | None, typer.Option("--cure-below", help="plane: cure below this tumour. [default: one cell]")
    ] = None,
    undetected_below: Annotated[
        float | None, typer.Option("--undetected-below", help="plane: cure, too, if the tumour ends below this.")
    ] = None,
    response: Annotated[
        float | None, typer.Option("--response", help="plane: share of the start that is a response. [default: 0.5]")
    ] = None,
    relapse_above: Annotated[
        float | None, typer.Option("--relapse-above", help="plane: share of the start at the end that is a relapse.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="CSV", help="profile: columns time_day, output, value, sd.")
    ] = None,
    measured: Annotated[
        list[str] | None,
        typer.Option("--measure", metavar="OUTPUT=DAY,...", help="profile: simulate data on these days instead."),
    ] = None,
    sd: Annotated[float | None, typer.Option("--sd", help="profile: error of simulated data. [default: 0.3]")] = None,
    error: Annotated[
        str | None, typer.Option("--error", help="profile: lognormal or normal errors. [default: lognormal]")
    ] = None,
    chance: Annotated[bool, typer.Option("--chance", help="Let small populations die out by chance.")] = False,
    out: Annotated[
        list[Path] | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write .csv, .json, .html, .svg or .png; repeatable."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Where chance starts. [default: 0]")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Cores to use. [default: all]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Analyse a model.

    sobol: which parameters decide a quantity. local: what a small change does, day by day. tornado: one parameter at a
    time to both ends of its range. plane: what becomes of the tumour over two parameters. profile: which parameters
    data can pin down.
    """
    from livingdrug.analysis.results import writable

    if method not in METHODS:
        raise InputError(unknown_name("method", method, METHODS))
    asked = {
        "quantity": quantity, "range": ranges, "all": everything, "output": output, "parameter": parameter,
        "runs": runs, "second-order": second_order, "size": size, "cure-below": cure_below,
        "undetected-below": undetected_below, "response": response, "relapse-above": relapse_above, "data": data,
        "measure": measured, "sd": sd, "error": error, "chance": chance, "seed": seed, "threads": threads,
    }  # fmt: skip
    given = {name: value for name, value in asked.items() if value not in (None, False, [])}
    _check_options(method, given)
    for path in out or []:
        writable(path, force=force)
    chosen = find_model(model)
    parameters = preset_values(chosen, preset) | assigned(chosen, values)
    with progress_bar(
        f"{method} of {chosen.name}", _steps(method, given), of=_COUNTED[method], quiet=as_json
    ) as progress:
        result = _RUN[method](chosen, given, {"parameters": parameters, "days": days}, progress)
    files = [result.save(path, force=force) for path in out or []]
    _tell(result, files, as_json)


def _check_options(method: str, given: dict[str, Any]) -> None:
    """Refuse options that the method does not read, rather than ignore them."""
    for name in given:
        if name not in METHODS[method]:
            takes = ", ".join(f"--{option}" for option in METHODS[method])
            raise InputError(f"analyse {method} does not take --{name}; it takes {takes}")


def _ranges(given: dict[str, Any]) -> dict[str, str]:
    """Return the ranges by parameter, as they were typed."""
    found = {"*": given["all"]} if "all" in given else {}
    for text in given.get("range", []):
        name, equals, spec = text.partition("=")
        if not equals:
            raise InputError(f"--range {text!r}: write NAME=RANGE, for example --range kill_rate=0.5:2")
        if name.strip() in found:
            raise InputError(f"--range {text!r}: {name.strip()} has a range already")
        found[name.strip()] = spec
    return found


def _some_ranges(method: str, given: dict[str, Any]) -> dict[str, str]:
    found = _ranges(given)
    if not found:
        raise InputError(f"analyse {method}: give at least one --range NAME=RANGE" + _or_all(method))
    return found


def _or_all(method: str) -> str:
    return ", or --all 10%" if "all" in METHODS[method] else ""


def _quantities(method: str, given: dict[str, Any]) -> list[str]:
    from livingdrug.analysis.quantities import FORMS

    if not given.get("quantity"):
        raise InputError(f"analyse {method}: say what to measure with --quantity, one of: {'; '.join(FORMS)}")
    return given["quantity"]


def _chosen(given: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return those of the options that were given, as arguments of a function."""
    return {name.replace("-", "_"): given[name] for name in names if name in given}


def _sobol(model: Any, given: dict[str, Any], shared: dict[str, Any], progress: Callable[..., None]) -> Any:
    from livingdrug.analysis import sobol

    options = _chosen(given, "runs", "second-order", "chance", "seed", "threads")
    wanted = _quantities("sobol", given), _some_ranges("sobol", given)
    return sobol(model, *wanted, progress=progress, **shared, **options)


def _local(model: Any, given: dict[str, Any], shared: dict[str, Any], _: Callable[..., None]) -> Any:
    from livingdrug.analysis import local_sensitivities

    by, outputs = given.get("parameter"), given.get("output")
    return local_sensitivities(model, by, outputs, values=shared["parameters"], days=shared["days"])


def _tornado(model: Any, given: dict[str, Any], shared: dict[str, Any], _: Callable[..., None]) -> Any:
    from livingdrug.analysis import tornado

    wanted = _quantities("tornado", given)
    if len(wanted) > 1:
        raise InputError("analyse tornado: give one --quantity")
    return tornado(model, wanted[0], _some_ranges("tornado", given), **shared, **_chosen(given, "threads"))


def _plane(model: Any, given: dict[str, Any], shared: dict[str, Any], progress: Callable[..., None]) -> Any:
    from livingdrug.analysis import OutcomeRules, outcome_plane, quantity_plane

    axes = [{name: spec} for name, spec in _ranges(given).items()]
    if len(axes) != 2:
        raise InputError(f"analyse plane: give two --range NAME=RANGE, first along x, then along y; got {len(axes)}")
    options: dict[str, Any] = {**shared, "progress": progress, **_chosen(given, "size", "chance", "seed", "threads")}
    rules = _chosen(given, "cure-below", "undetected-below", "response", "relapse-above")
    outputs, wanted = given.get("output", []), given.get("quantity", [])
    if len(outputs) == 1:
        rules["output"] = outputs[0]
    if len(outputs) > 1 or len(wanted) > 1 or (wanted and (rules or outputs)):
        raise InputError(
            "analyse plane: give one --quantity for a map of numbers, or one --output and rules for outcomes"
        )
    if wanted:
        return quantity_plane(model, axes[0], axes[1], wanted[0], **options)
    return outcome_plane(model, axes[0], axes[1], rules=OutcomeRules(**rules), **options)


def _profile(model: Any, given: dict[str, Any], shared: dict[str, Any], progress: Callable[..., None]) -> Any:
    from livingdrug.analysis import profiles, read_data, simulate_data

    if ("data" in given) == ("measure" in given):
        raise InputError("analyse profile: give either --data FILE, or --measure OUTPUT=DAY,DAY,... to simulate data")
    if shared["days"] is not None:
        raise InputError("analyse profile: leave out --days; the data say how long to follow")
    options = {"parameters": shared["parameters"], **_chosen(given, "seed", "error")}
    if "data" in given:
        if "sd" in given:
            raise InputError("analyse profile: leave out --sd; it is a column of the data")
        data: Any = read_data(given["data"])
    else:
        data = simulate_data(model, _design(given["measure"]), sd=given.get("sd", 0.3), **options)
    return profiles(
        model, data, _some_ranges("profile", given), of=given.get("parameter"), progress=progress, **options
    )


def _design(measured: list[str]) -> dict[str, list[float]]:
    """Return output -> days, from OUTPUT=DAY,DAY,..."""
    found = {}
    for text in measured:
        name, _, days = text.partition("=")
        try:
            found[name.strip()] = [float(day) for day in days.split(",")]
        except ValueError:
            raise InputError(f"--measure {text!r}: write OUTPUT=DAY,DAY,..., e.g. car_t_blood=7,14,28") from None
    return found


def _steps(method: str, given: dict[str, Any]) -> int:
    """Return about how many steps the progress bar has."""
    runs = {"sobol": given.get("runs", 100_000), "plane": given.get("size", 200) ** 2, "profile": len(_ranges(given))}
    return runs.get(method, 1)


_COUNTED = {method: "parameters" if method == "profile" else "runs" for method in METHODS}
_RUN = {"sobol": _sobol, "local": _local, "tornado": _tornado, "plane": _plane, "profile": _profile}


def _tell(result: Any, files: list[Path], as_json: bool) -> None:
    """Print the result: its table, or for a map of outcomes their shares."""
    if as_json:
        print_json({**result.as_data(), "files": files})
        return
    say(result.title)
    say("")
    shares = getattr(result, "shares", {})
    if shares:
        print_table("", ["outcome", "share"], [(name, f"{share:.1%}") for name, share in shares.items()], [1])
    else:
        _print(result.summary)
    say(f"\n{result.caption}")
    for path in files:
        say(f"Written to {path}")
    say("Not for clinical use.", style="dim")


def _print(table: Any) -> None:
    rows = [
        [f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row]
        for row in table.head(ROWS_SHOWN).itertuples(index=False)
    ]
    numeric = [k for k, kind in enumerate(table.dtypes) if kind.kind in "fi"]
    print_table("", [str(name) for name in table.columns], rows, numeric)
    if len(table) > ROWS_SHOWN:
        say(f"... {len(table) - ROWS_SHOWN:,} more rows; --out FILE.csv writes them all")

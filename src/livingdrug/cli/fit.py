"""Fit a mixed-effects model to data, and write the report."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from livingdrug.cli.data import (
    Column,
    Covariates,
    Exposure,
    Lloq,
    People,
    TimeUnit,
    Treatment,
    chosen_options,
    examined,
)
from livingdrug.cli.terminal import print_json, say, waiting
from livingdrug.errors import InputError, unknown_name

__all__ = ["fit"]

METHODS = ("saem", "focei", "foce", "fo", "laplace", "quadrature", "importance")
FILES = ("report.html", "fit.json", "summary.txt", "estimates.csv", "diagnostics.csv", "effects.csv")
CHECKPOINT = "unfinished.npz"
LINES_SHOWN = 30
NOTICE = "Not for clinical use."
NOT_CONVERGED = 1


def fit(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model ready to fit, e.g. stein2019; `--list` names all.")
    ] = "",
    file: Annotated[
        Path | None, typer.Argument(metavar="DATA", help="CSV or Parquet in NM-TRAN's columns, or CDISC's .xpt.")
    ] = None,
    spec: Annotated[
        Path | None, typer.Option("--spec", metavar="FILE.toml", help="What is estimated, and how; docs/how-to.")
    ] = None,
    method: Annotated[str, typer.Option("--method", "-m", help=", ".join(METHODS) + ".")] = "saem",
    beside: Annotated[
        list[str] | None, typer.Option("--beside", metavar="MODEL", help="Fit this one too and compare; repeat.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The number from which all chance follows.")] = 0,
    starts: Annotated[int, typer.Option("--starts", min=1, help="Searches from different first guesses.")] = 1,
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Of a quadrature, in each direction.")] = 9,
    errors: Annotated[
        str, typer.Option("--errors", help="Standard errors: information, scores, sandwich or none.")
    ] = "information",
    time_limit: Annotated[
        float | None, typer.Option("--time-limit", metavar="SECONDS", help="End the search then, with what it has.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a fit that was stopped.")] = False,
    replicates: Annotated[int, typer.Option("--replicates", min=100, help="Simulated data sets of the checks.")] = 500,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html, or tables only.")] = True,
    column: Column = None,
    covariates: Covariates = None,
    lloq: Lloq = None,
    time_unit: TimeUnit = None,
    exposure: Exposure = None,
    people: People = None,
    treatment: Treatment = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Where report and tables go.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Name the models that can be fitted and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Fit a mixed-effects model to data of many patients.

    The folder gets report.html with all diagnostics, fit.json, summary.txt, and estimates, residuals and effects as
    CSV.
    Exit code 1: the search has not converged; then nothing is called an estimate. After a kill, --resume goes on.
    """
    if listed:
        _list(as_json)
        return
    if not model or file is None:
        raise InputError(
            "fit needs a model and a file: livingdrug fit stein2019 kinetics.csv (--list names the models)"
        )
    if method not in METHODS:
        raise InputError(unknown_name("method", method, METHODS))
    if time_limit is not None and not time_limit > 0:
        raise InputError(f"--time-limit must be above 0 seconds, got {time_limit:g}")
    folder = out or Path("runs") / f"fit-{model}-{file.stem}"
    chosen = {model: folder} | {name: folder / name for name in beside or [] if name != model}
    _free(chosen.values(), force=force, resume=resume)
    models = _models(chosen, model, spec)
    options = _needed([one for one, _ in models.values()]) | chosen_options(column, covariates, lloq, time_unit)
    data = _read(file, options, exposure, people, treatment, as_json)
    settings = {
        "method": method,
        "seed": seed,
        "starts": starts,
        "nodes": nodes,
        "standard_errors": None if errors == "none" else errors,
        "time_limit": time_limit or math.inf,
    }
    with waiting("Fitting ...", quiet=as_json):
        results = {name: _run(one, data, settings, chosen[name], resume) for name, one in models.items()}
    about = {"data": {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}, "settings": settings}
    with waiting("Simulating, drawing and writing ...", quiet=as_json):
        written = _write(results, chosen, about, replicates if report else None)
    if as_json:
        print_json(written[model] | {"folder": folder})
    else:
        _tell(results, chosen)
    if not all(result.converged_ for result in results.values()):
        raise typer.Exit(NOT_CONVERGED)


def _list(as_json: bool) -> None:
    from livingdrug.inference.ready_spec import fit_models

    models = fit_models()
    if as_json:
        print_json(models)
        return
    for name, words in models.items():
        say(f"{name}: {words}")


def _free(folders: Any, *, force: bool, resume: bool) -> None:
    """Refuse to write over results, or past a fit that was stopped, unless that was asked for."""
    for folder in folders:
        stopped = (folder / CHECKPOINT).exists()
        there = [name for name in FILES if (folder / name).exists()]
        if force:
            if not resume:
                (folder / CHECKPOINT).unlink(missing_ok=True)
        elif stopped and not resume:
            raise InputError(f"{folder} holds a fit that was stopped; --resume goes on with it, --force begins anew")
        elif there and not stopped:
            raise InputError(f"{folder} already holds {there[0]}; --force writes over it, or choose another with -o")


def _models(chosen: Mapping[str, Path], first: str, spec: Path | None) -> dict[str, Any]:
    from livingdrug.inference.ready_spec import read_specification, statistical_model

    given = read_specification(spec) if spec else None
    return {name: (statistical_model(name, given if name == first else None), given) for name in chosen}


def _needed(models: list[Any]) -> dict[str, Any]:
    """Return what the models ask of the data: the covariates that they read, and logarithms of all values."""
    columns: dict[str, None] = {}
    for model in models:
        own = model.structure.covariates
        columns |= dict.fromkeys(own.values() if isinstance(own, Mapping) else own)
        columns |= dict.fromkeys(effect.covariate for one in model.estimates.values() for effect in one.covariates)
    ends = [end for model in models for end in model.ends]
    # with a limit of the model's own, values below it are no values of which a logarithm is taken
    log = all(end.residual.logarithmic and end.limit is None for end in ends)
    return {"covariates": tuple(columns), "log": log}


def _read(
    file: Path,
    options: dict[str, Any],
    exposure: Path | None,
    people: Path | None,
    treatment: str | None,
    quiet: bool,
) -> Any:
    """Return the data; every problem is told at once."""
    with waiting("Reading ...", quiet=quiet):
        findings, found = examined(file, options, exposure, people, treatment)
    if found is None:
        lines = findings.lines(LINES_SHOWN)
        more = len(findings) - len(lines)
        end = [f"... {more} more; livingdrug data check writes them all"] if more > 0 else []
        raise InputError("\n".join([f"{file}: the data cannot be used", *lines, *end]))
    return found


def _run(model: tuple[Any, Any], data: Any, settings: dict[str, Any], folder: Path, resume: bool) -> Any:
    from livingdrug.inference.estimation import fit as estimate

    statistical, spec = model
    checkpoint = folder / CHECKPOINT
    if resume and not checkpoint.exists():
        say(f"{folder} holds no fit that was stopped; a new one begins")
    saem = spec.saem_settings() if spec else None
    try:
        result = estimate(statistical, data, checkpoint=checkpoint, saem=saem, **settings)
    except KeyboardInterrupt:
        kept = f" --resume goes on from {checkpoint}." if checkpoint.exists() else ""
        raise KeyboardInterrupt(f"Interrupted.{kept}") from None
    if result.converged_ or "time limit" not in result.verdict_:
        checkpoint.unlink(missing_ok=True)
    return result


def _write(
    results: Mapping[str, Any], folders: Mapping[str, Path], about: dict[str, Any], replicates: int | None
) -> dict[str, dict[str, Any]]:
    from livingdrug.inference.comparison import compare

    comparison = compare(results) if len(results) > 1 else None
    written = {}
    for name, result in results.items():
        mine = comparison if name == next(iter(results)) else None
        written[name] = _write_one(name, result, folders[name], about, replicates, mine)
    return written


def _write_one(
    name: str, result: Any, folder: Path, about: dict[str, Any], replicates: int | None, comparison: Any
) -> dict[str, Any]:
    import json

    from livingdrug.inference.diagnostics import classes, effects
    from livingdrug.reports.fit import all_diagnostics, fit_report
    from livingdrug.reports.methods import versions
    from livingdrug.storage import write_atomically

    rows = all_diagnostics(result, seed=about["settings"]["seed"])
    facts = as_facts(name, result) | about | {"versions": versions()}
    if comparison is not None:
        facts |= {"comparison": comparison.table.to_dict("records"), "comparison_notes": list(comparison.notes)}
    table = result.to_frame()
    if not result.converged_:
        table = table.rename(columns={"estimate": "last_value"})
    patients = effects(result)
    if result.classes_:
        patients = classes(result)[["ID", "CLASS", "CHANCE"]].merge(patients, on="ID")
    contents = {
        "fit.json": json.dumps(_plain(facts), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "summary.txt": result.summary(),
        "estimates.csv": table.to_csv(),
        "diagnostics.csv": rows.to_csv(index=False),
        "effects.csv": patients.to_csv(index=False),
    }
    if replicates is not None:
        page = fit_report(
            result, title=name, replicates=replicates, seed=about["settings"]["seed"], table_of_rows=rows,
            comparison=comparison,
        )  # fmt: skip
        contents["report.html"] = page.html
    for file, content in contents.items():
        write_atomically(folder / file, content)
    return facts


def as_facts(name: str, result: Any) -> dict[str, Any]:
    """Return a fit for programs; without convergence there is no key ``estimates``, but ``last_values``."""
    word = "estimates" if result.converged_ else "last_values"
    return {
        "model": name,
        "method": result.method_,
        "converged": result.converged_,
        "verdict": result.verdict_,
        word: dict(result.estimates_),
        "standard_errors": None if result.standard_errors_ is None else dict(result.standard_errors_),
        "minus2ll": result.minus2ll_,
        "minus2ll_standard_error": result.minus2ll_se_,
        "likelihood": result.likelihood_,
        "objective_without_2pi": result.objective_,
        "aic": result.aic_,
        "bic": {rule: result.bic_(rule) for rule in ("mixed", "subjects", "observations")},
        "shrinkage": dict(result.shrinkage_),
        "residual_shrinkage": result.residual_shrinkage_,
        "condition_number": result.condition_number_,
        "blq": {end.output: end.blq for end in result.problem.model.ends},
        "subjects": result.problem.subjects,
        "observations": len(result.problem.rows.time),
        "below_or_above_limits": int((~result.problem.rows.points).sum()),
        "classes": result.classes_,
        "iterations": result.iterations_,
        "seconds": result.seconds_,
        "notes": list(result.notes_),
        "notice": NOTICE,
    }


def _plain(value: Any) -> Any:
    """Return a value that JSON knows; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tell(results: Mapping[str, Any], folders: Mapping[str, Path]) -> None:
    for name, result in results.items():
        say(result.summary().rstrip())
        if not result.converged_:
            again = f"; --resume goes on from {CHECKPOINT}" if (folders[name] / CHECKPOINT).exists() else ""
            say(f"{name} has NOT CONVERGED: these are last values, not estimates{again}.", style="bold red")
        say(f"{folders[name]}: results written.")

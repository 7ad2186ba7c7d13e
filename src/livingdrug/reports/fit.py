"""The report of a fit: verdict, estimates, diagnostics and checks on one page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from livingdrug.analysis import drawing
from livingdrug.inference import diagnostics
from livingdrug.inference.comparison import Comparison, objectives
from livingdrug.inference.npde import normal_test, npde
from livingdrug.inference.vpc import vpc
from livingdrug.reports import fit_checks, fit_effects, fit_figures
from livingdrug.reports.charts import Figure
from livingdrug.reports.keyresults import Card
from livingdrug.reports.numbers import count, number, percent
from livingdrug.reports.page import Report, render
from livingdrug.reports.tables import Table, table

if TYPE_CHECKING:
    from livingdrug.inference.result import FitResult

__all__ = ["all_diagnostics", "fit_report"]

KEY = ["ID", "ENDPOINT", "ROW"]


def all_diagnostics(result: FitResult, *, replicates: int = 1000, seed: int = 0) -> Any:
    """Return residuals and prediction distribution errors of every measurement in one table, joined by their key."""
    found = diagnostics.diagnostics(result)
    errors = npde(result, replicates, seed=seed)[[*KEY, "NPD", "NPDE"]]
    return found.merge(errors, on=KEY, how="left", validate="one_to_one")


def fit_report(
    result: FitResult,
    *,
    title: str | None = None,
    replicates: int = 500,
    seed: int = 0,
    table_of_rows: Any = None,
    comparison: Comparison | None = None,
) -> Report:
    """Return the report of a fit.

    Args:
        result: a fit; one that has not converged gets a report that says so at its top.
        title: heading; the model's name if None.
        replicates: simulated data sets of the visual predictive checks.
        seed: of the simulations.
        table_of_rows: what :func:`all_diagnostics` returned, if it is there already.
        comparison: of this run with others, for a table at the end.
    """
    rows = all_diagnostics(result, seed=seed) if table_of_rows is None else table_of_rows
    draws = diagnostics.effects(result, samples=fit_effects.DRAWS, seed=seed)
    extra = [fit_effects.correlations(result, draws), fit_effects.forest(result), fit_effects.search_trace(result)]
    people = [fit_effects.effect_distributions(result, draws), fit_effects.classes(result), *extra]
    return Report(
        render(
            "fit.html",
            kicker="fit of a mixed-effects model",
            title=title or result.problem.model.structure.name,
            about=result.verdict_,
            run=_run(result),
            result=result,
            cards=_cards(result),
            estimates=_estimates(result),
            likelihood=_likelihood(result),
            fitted=[figure for end in result.problem.model.ends for figure in _fitted(result, rows, end.output)],
            checks=[
                figure
                for end in result.problem.model.ends
                for figure in _checks(result, rows, end.output, replicates, seed)
            ],
            people=[figure for figure in people if figure is not None],
            comparison=None if comparison is None else _comparison(comparison),
            notes=[*result.notes_, *(comparison.notes if comparison else ())],
            glossary=GLOSSARY,
        )
    )


def _run(result: FitResult) -> str:
    data = result.problem.rows.data
    methods = ", ".join(f"{drawing.words(end.output)} {end.blq}" for end in result.problem.model.ends)
    return (
        f"{count(result.problem.subjects)} subjects, {count(len(result.problem.rows.time))} samples of "
        f"{', '.join(map(drawing.words, data.endpoints))}; method {result.method_}, seed {result.seed_}, "
        f"{result.iterations_} iterations, {result.seconds_:.1f} s; values below the limit: {methods}."
    )


def _cards(result: FitResult) -> list[Card]:
    rows = result.problem.rows
    below = int((~rows.points).sum())
    worst = max(((v, k) for k, v in _relative(result).items()), default=(math.nan, ""))
    shrunk = max(((v, k) for k, v in result.shrinkage_.items()), default=(math.nan, ""))
    found = "the search ended at a maximum" if result.converged_ else "last values, not estimates"
    likelihood = f"all constants, by {result.likelihood_}" + (
        f", standard error {result.minus2ll_se_:.2f}" if result.minus2ll_se_ else ""
    )
    limits = f"{count(below)} of {count(len(rows.time))}, counted by their chance"
    errors = f"of {drawing.words(worst[1])}" if worst[1] else "no standard errors"
    return [
        Card("yes" if result.converged_ else "NO", "converged", found),
        Card(number(result.minus2ll_, 6), "-2 log likelihood", likelihood),
        Card(percent(below / len(rows.time)), "of samples beyond a limit", limits),
        Card(percent(worst[0] / 100), "largest relative standard error", errors),
        Card(percent(shrunk[0]), "largest shrinkage", f"of {drawing.words(shrunk[1])}"),
    ]


def _relative(result: FitResult) -> dict[str, float]:
    """Relative standard errors in percent of what was estimated, but coefficients and correlations, which may be 0."""
    errors = result.standard_errors_ or {}
    return {
        name: 100 * errors[name] / abs(value)
        for name, value in result.estimates_.items()
        if errors.get(name) and value and ":" not in name and not name.startswith("corr(")
    }


def _estimates(result: FitResult) -> Table:
    errors, rows = result.standard_errors_ or {}, []
    for name, value in sorted(result.estimates_.items(), key=lambda pair: pair[0] in result.held_):
        se = errors.get(name, math.nan)
        held = name in result.held_
        relative = number(100 * se / abs(value), 2) if value and se and math.isfinite(se) else ""
        unit = _unit(result, name)
        rows.append([f"{drawing.words(name)}\n{unit}" if unit else drawing.words(name), number(value, 4),
                     "held" if held else number(se), relative, _interval(result, name, value, se)])  # fmt: skip
    heads = [
        "Parameter",
        "Estimate" if result.converged_ else "Last value",
        "Standard error",
        "RSE, %",
        "95 % interval",
    ]
    return table(heads, rows, (1, 2, 3, 4), "Estimates")


def _interval(result: FitResult, name: str, value: float, se: float) -> str:
    """A 95 % interval: on the logarithm for what is positive by nature."""
    if not math.isfinite(se) or not se:
        return ""
    estimates = result.problem.model.estimates
    positive = name.startswith(("sd(", "occasion sd(")) or (name in estimates and estimates[name].kind == "lognormal")
    positive = positive or name.rpartition(":")[2] in {"a", "b"}
    if positive and value > 0:
        if se > 5 * value:
            return "not determined"
        factor = math.exp(1.96 * se / value)
        return f"{number(value / factor)} to {number(value * factor)}"
    return f"{number(value - 1.96 * se)} to {number(value + 1.96 * se)}"


def _unit(result: FitResult, name: str) -> str:
    model = getattr(result.problem.model.structure, "model", None)
    parameter = getattr(model, "parameters", {}).get(name)
    return "" if parameter is None or parameter.unit in ("1", "dimensionless") else parameter.unit


def _likelihood(result: FitResult) -> Table:
    found = objectives(result)
    rows = [
        ["-2 log likelihood, all constants (Monolix, R)", number(found["minus2ll"], 8)],
        [f"without ln(2π) of {count(result.points_)} points (NONMEM, nlmixr2)", number(found["nonmem"], 8)],
    ]
    if found["logarithms"] != found["nonmem"]:
        rows.append(["the same, had logarithms been fitted", number(found["logarithms"], 8)])
    rows += [
        ["AIC", number(result.aic_, 8)],
        ["BIC, mixed count (Monolix's BICc)", number(result.bic_("mixed"), 8)],
        ["BIC, by subjects (Monolix)", number(result.bic_("subjects"), 8)],
        ["BIC, by observations (nlme)", number(result.bic_("observations"), 8)],
        ["condition number of the estimates' correlation", number(result.condition_number_, 3)],
        ["shrinkage of residuals", percent(result.residual_shrinkage_)],
    ]
    return table(["Number", "Value"], rows, (1,), "Likelihood and criteria")


def _fitted(result: FitResult, rows: Any, endpoint: str) -> list[Figure]:
    return [
        fit_figures.goodness(result, rows, endpoint),
        fit_figures.individuals(result, rows, endpoint),
        fit_figures.residuals(result, rows, endpoint),
    ]


def _checks(result: FitResult, rows: Any, endpoint: str, replicates: int, seed: int) -> list[Figure]:
    unit = result.problem.rows.data.units.get("time", "day")
    plain = vpc(result, endpoint, replicates=replicates, seed=seed)
    found = [fit_checks.predictive_check(plain, unit)]
    if _varied(plain):
        found.append(
            fit_checks.predictive_check(vpc(result, endpoint, replicates=replicates, corrected=True, seed=seed), unit)
        )
    errors = rows.loc[rows["ENDPOINT"] == endpoint, "NPDE"]
    if errors.notna().sum() >= 3:
        found.append(fit_checks.error_distribution(errors, normal_test(errors), endpoint))
    return found


def _varied(found: Any) -> bool:
    """Whether a prediction correction can be made and changes anything: typical predictions differ within a time."""
    spread = found.points.groupby("BIN")["PRED"].agg(lambda part: part.max() - part.min())
    return bool((found.points["PRED"] >= 0).all() and (spread > 1e-9 * found.points["PRED"].abs().max()).any())


def _comparison(found: Comparison) -> Table:
    rows = [
        [f"{r['RUN']}\n{r['METHOD']}" + ("" if r["CONVERGED"] else ", NOT CONVERGED"), count(r["PARAMETERS"]),
         number(r["MINUS2LL"], 7), number(r["NONMEM"], 7), f"{number(r['YARDSTICK'], 7)} ± {r['YARDSTICK_SE']:.2f}",
         number(r["AIC"], 7), number(r["DELTA_AIC"], 3)]
        for r in found.table.to_dict("records")
    ]  # fmt: skip
    heads = ["Run", "Parameters", "Its own -2LL", "As NONMEM", "-2LL by one yardstick", "AIC", "Above the best"]
    return table(heads, rows, range(1, 7), "Comparison of runs")


GLOSSARY = (
    (
        "Below the limit of quantification",
        "So little that the assay cannot tell how much. Such a sample is not missing: it says that the value is low. "
        "The fit uses the chance of a value below the limit (method M3) unless another method is named.",
    ),
    (
        "Typical value, spread",
        "A mixed-effects model describes a typical patient and how patients differ around it. The spread is the "
        "standard deviation of that difference, on a logarithmic scale for most parameters.",
    ),
    (
        "Standard error, RSE",
        "How uncertain an estimate is; RSE is the standard error in percent of the estimate.",
    ),
    (
        "Shrinkage",
        "If a patient's samples say little, the estimate for that patient is drawn towards the typical value. With "
        "much shrinkage plots of individual values mislead.",
    ),
    (
        "-2 log likelihood, AIC, BIC",
        "How well the model explains the data, lower is better. AIC and BIC add a price for each parameter. Only runs "
        "on the same data can be compared.",
    ),
    (
        "CWRES, NPDE",
        "Two ways to measure how far a sample lies from the model, in units of the scatter that the model expects.",
    ),
    (
        "VPC",
        "Visual predictive check: simulate the study many times and see whether the real data would stand out.",
    ),
)

"""Numbers behind the plots that tell whether a fit can be trusted: residuals, effects, shrinkage, covariates.

All tables carry ``ID``, ``ENDPOINT`` and ``ROW`` (row of the data table); join by these, never by order. Every
measurement has its row, also one that the fit left out or replaced (methods M1, M2, M5 to M7): a diagnostic shows what
was measured.

Conditional weighted residuals (Hooker, Staatz and Karlsson 2007) compare the points of a subject with a model that is
linear about the mode of its effects:

    CWRES = C^(-1/2) (y - (f - G eta)),   C = G Omega G' + diag(g^2),

with the prediction f, its derivatives G by the effects and the residual deviations g at the mode, and the symmetric
root of C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.inference.data import EventData, Observations
from livingdrug.inference.predictions import deviations, predictions
from livingdrug.inference.problem import Problem
from livingdrug.inference.rows import make_rows
from livingdrug.inference.statistical import REFERENCE

if TYPE_CHECKING:
    from livingdrug.inference.result import FitResult

__all__ = [
    "Shrinkage",
    "as_measured",
    "classes",
    "covariate_effects",
    "diagnostics",
    "effects",
    "individual_courses",
    "natural_scale",
    "shrinkage_check",
    "trace",
]

Reals = NDArray[np.float64]
KEY = ("ID", "ENDPOINT", "ROW")
KINDS_OF_EFFECT = {"lognormal": "ratio", "normal": "shift", "logitnormal": "odds ratio"}
HIGH_SHRINKAGE = 0.3
"""Shrinkage from which plots of individual effects mislead (Savic and Karlsson 2009 name 20 to 30 %)."""


def as_measured(result: FitResult) -> FitResult:
    """Return the fit with every measurement as it was made: a sample below its limit is an interval.

    The parameters and the individual modes stay; only the rows of the problem differ where the fit dropped or replaced
    such samples.
    """
    model = result.problem.model
    if all(end.blq in {"M3", "M4"} for end in model.ends):
        return result
    ends = [replace(end, blq="M3") for end in model.ends]
    problem = Problem(replace(model, endpoints=ends), result.problem.rows.data)
    if problem.names != result.problem.names or problem.d != result.problem.d:
        return result  # a whole occasion was dropped: it has no effects
    if result.class_chances_ is not None:
        problem = problem.with_classes(result.class_chances_.argmax(axis=0))
    return replace(result, problem=problem)


def diagnostics(result: FitResult) -> Any:
    """Return DV, CENS, PRED, IPRED, IRES, IWRES and CWRES of every measurement as a pandas table.

    Values and predictions are on the endpoints' scales (logarithms for a log-normal residual, see
    :func:`natural_scale`). Residuals of samples beyond a limit are missing.
    """
    measured = as_measured(result)
    table = predictions(measured)
    table["CWRES"] = conditional_residuals(measured)
    return table


def conditional_residuals(result: FitResult) -> Reals:
    """Return CWRES of the rows of the problem, NaN for rows that are no points, shape (row,)."""
    problem, theta, eta = result.problem, result.theta_, result.eta_[None]
    found = problem.predict(theta[None], eta, 1)
    assert found.first is not None
    slopes = problem.by_effects(found.first)[0]
    f, g = found.f[0], deviations(problem, theta, found.f)[0] * _tails(problem)
    omega, rows = problem.covariance(theta), problem.rows
    residuals = np.full(len(f), np.nan)
    for subject in range(problem.subjects):
        at = np.flatnonzero((rows.subject == subject) & rows.points & np.isfinite(g) & (g > 0))
        if len(at):
            G = slopes[at]
            away = rows.value[at] - (f[at] - G @ result.eta_[subject])
            residuals[at] = _inverse_root(G @ omega @ G.T + np.diag(g[at] ** 2)) @ away
    return residuals


def _tails(problem: Problem) -> Reals:
    """Standard deviation of each row's residual per unit of its scale: that of Student's t, none for Cauchy."""
    factor = np.ones(len(problem.rows.time))
    for k, end in enumerate(problem.model.ends):
        n = end.residual.degrees
        if math.isfinite(n):
            factor[problem.endpoint_rows[k]] = math.sqrt(n / (n - 2)) if n > 2 else math.nan
    return factor


def _inverse_root(covariance: Reals) -> Reals:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors / np.sqrt(values)) @ vectors.T


def natural_scale(problem: Problem, table: Any) -> Any:
    """Return a copy of a table with DV, PRED and IPRED in the unit of the measurement instead of logarithms."""
    table = table.copy()
    for end in problem.model.ends:
        base = math.e if end.residual.logarithmic or end.scale == "log" else 10.0 if end.scale == "log10" else None
        if base is not None:
            mine = table["ENDPOINT"] == end.output
            for column in {"DV", "PRED", "IPRED"} & set(table.columns):
                table.loc[mine, column] = base ** table.loc[mine, column]
    return table


# -- courses of single subjects ---------------------------------------------------------------------------------------
def individual_courses(result: FitResult, subjects: list[int], points: int = 60) -> Any:
    """Return the fitted course of some subjects between their samples: ID, ENDPOINT, TIME, PRED, IPRED.

    Args:
        result: a fit.
        subjects: by number.
        points: times per subject and endpoint, from the first to the last sample or from day 0 if that is earlier;
            the times of the samples come on top.
    """
    import pandas as pd

    problem, model = result.problem, result.problem.model
    ends = [replace(end, blq="M3", limit=None) for end in model.ends]
    rows = make_rows(_dense(problem.rows.data.take(subjects), points), ends, occasions=bool(model.by_occasion))
    bound = model.structure.bind(rows, [end.output for end in ends], problem.by)
    none = np.zeros_like(result.eta_)
    units = np.concatenate([np.flatnonzero(problem.rows.unit_subject == subject) for subject in subjects])
    values = [problem.individual(result.theta_[None], eta[None])[:, units] for eta in (none, result.eta_)]
    pred, ipred = bound.evaluate(np.concatenate(values))[0]
    return pd.DataFrame(
        {
            "ID": [rows.data.ids[subject] for subject in rows.subject],
            "ENDPOINT": [ends[k].output for k in rows.endpoint],
            "TIME": rows.time,
            "PRED": pred,
            "IPRED": ipred,
        }
    )


def _dense(data: EventData, points: int) -> EventData:
    """Return the data with samples at evenly spaced times beside the real times."""
    seen, parts = data.observations, []
    for subject, endpoint in sorted(set(zip(seen.subject.tolist(), seen.endpoint.tolist(), strict=True))):
        mine = (seen.subject == subject) & (seen.endpoint == endpoint)
        real = seen.time[mine]
        times = np.unique(np.r_[np.linspace(min(0.0, real.min()), real.max(), points), real])
        occasion = seen.occasion[mine][np.searchsorted(real, times, side="left").clip(0, len(real) - 1)]
        parts.append([np.full(len(times), subject), times, np.full(len(times), endpoint), occasion])
    subject, time, endpoint, occasion = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((time, subject))
    unknown, n = np.full(len(order), np.nan), len(order)
    columns = {"subject": subject, "time": time, "endpoint": endpoint, "occasion": occasion}
    observations = Observations(
        **{name: column[order] for name, column in columns.items()}, value=np.ones(n), limit=unknown, lloq=unknown,
        censoring=np.zeros(n, np.int64), row=np.arange(1, n + 1),
    )  # fmt: skip
    return replace(data, observations=observations)


# -- effects ----------------------------------------------------------------------------------------------------------
def classes(result: FitResult) -> Any:
    """Return the class of a mixture that each subject belongs to, given the data.

    Args:
        result: a fit.

    Returns:
        pandas table, one row per subject: ``ID``, ``CLASS`` (the likeliest), ``CHANCE`` of it (0 to 1), and one column
        ``chance(...)`` per class, ``reference`` first. Without a mixture all subjects are of that class.
    """
    import pandas as pd

    ids, names = list(result.problem.rows.data.ids), list(result.classes_) or [REFERENCE]
    chances = np.ones((1, len(ids))) if result.class_chances_ is None else result.class_chances_
    likeliest = [names[k] for k in chances.argmax(axis=0)]
    table = pd.DataFrame({"ID": ids, "CLASS": likeliest, "CHANCE": chances.max(axis=0)})
    return pd.concat([table, pd.DataFrame(chances.T, columns=[f"chance({name})" for name in names])], axis=1)


def effects(result: FitResult, *, samples: int = 0, seed: int = 0) -> Any:
    """Return the random effects between subjects: one row per subject, one column per parameter.

    Modes are those of the likeliest class of a mixture, see :func:`classes`.

    Args:
        result: a fit.
        samples: 0 for the modes; else so many draws per subject from the effects' distribution given the data, which
            do not shrink (Lavielle and Ribba 2016), with a column ``DRAW``.
        seed: of the draws.
    """
    import pandas as pd

    problem = result.problem
    places = {name: p for block in problem.blocks if block.level == "subject"
              for name, p in zip(block.names, block.places[0], strict=True)}  # fmt: skip
    ids = list(problem.rows.data.ids)
    if not samples:
        table = pd.DataFrame({name: result.eta_[:, place] for name, place in places.items()})
        table.insert(0, "ID", ids)
        return table
    drawn = result.eta_samples(samples, seed=seed)
    table = pd.DataFrame({name: drawn[:, :, place].ravel() for name, place in places.items()})
    table.insert(0, "ID", ids * samples)
    table.insert(1, "DRAW", np.repeat(np.arange(samples), len(ids)))
    return table


@dataclass(frozen=True)
class Shrinkage:
    """One effect: how much of its spread the modes show.

    Attributes:
        parameter: whose effect.
        sd: estimated spread between subjects.
        sd_of_modes: spread of the individual modes.
        shrinkage: 1 - sd_of_modes / sd.
        words: what that means for the plots.
    """

    parameter: str
    sd: float
    sd_of_modes: float
    shrinkage: float
    words: str


def shrinkage_check(result: FitResult) -> list[Shrinkage]:
    """Return the shrinkage of each effect between subjects, with what it means in words."""
    table, found = effects(result), []
    for name in table.columns.drop("ID"):
        sd = result.estimates_[f"sd({name})"]
        share = result.shrinkage_[name]
        found.append(Shrinkage(name, sd, sd * (1 - share), share, _shrinkage_words(share)))
    return found


def _shrinkage_words(share: float) -> str:
    if not math.isfinite(share):
        return "not known"
    if share < -0.1:
        return "the modes differ more than the model says: the spread is estimated too small, or subjects are few"
    if share < HIGH_SHRINKAGE:
        return "small: plots of individual values can be read as they are"
    return "large: the data say little about single subjects; look at draws, not at modes, and trust no trend in them"


# -- covariates -------------------------------------------------------------------------------------------------------
def covariate_effects(result: FitResult, level: float = 0.95) -> Any:
    """Return the effect of each covariate on a typical value as a ratio (a shift for a normal parameter) with interval.

    A number is compared at its 5th and 95th percentile with its centre, a category with the reference. Columns:
    PARAMETER, COVARIATE, AT, EFFECT, LOW, HIGH, KIND (``ratio``, ``shift``, or ``odds ratio`` of a logit-normal one);
    LOW and HIGH are missing without standard errors.
    """
    import pandas as pd

    rows = []
    for name, one in result.problem.model.estimates.items():
        for effect in one.covariates:
            rows += _effect_rows(result, name, one.kind, effect, level)
    columns = ["PARAMETER", "COVARIATE", "AT", "EFFECT", "LOW", "HIGH", "KIND"]
    return pd.DataFrame(rows, columns=columns)


def _effect_rows(result: FitResult, name: str, kind: str, effect: Any, level: float) -> list[dict[str, Any]]:
    from scipy.special import ndtri

    problem, covariate = result.problem, result.problem.rows.data.covariates[effect.covariate]
    wide = float(ndtri(0.5 + level / 2))
    rows = []
    stem = f"{name}:{effect.covariate}"
    for entry in [k for k, label in enumerate(problem.names) if label == stem or label.startswith(f"{stem}=")]:
        at = np.flatnonzero(problem.free == entry)
        sd = math.nan
        if not len(at):
            sd = 0.0
        elif result.covariance_ is not None:
            sd = math.sqrt(result.covariance_[at[0], at[0]])
        for words, column in _where_compared(effect, covariate, problem.names[entry]):
            ends = np.array([0.0, -wide * sd * abs(column), wide * sd * abs(column)]) + result.theta_[entry] * column
            with np.errstate(over="ignore"):
                value, low, high = ends if kind == "normal" else np.exp(ends)
            rows.append(
                {"PARAMETER": name, "COVARIATE": effect.covariate, "AT": words, "EFFECT": value, "LOW": low,
                 "HIGH": high, "KIND": KINDS_OF_EFFECT[kind]}
            )  # fmt: skip
    return rows


def _where_compared(effect: Any, covariate: Any, label: str) -> list[tuple[str, float]]:
    """Return in words where an effect is looked at, and the value of its column there."""
    if effect.form == "category":
        return [(label.partition(":")[2].replace("=", " "), 1.0)]
    found = []
    for share in (0.05, 0.95):
        x = float(np.nanquantile(covariate.values, share))
        column = math.log(x / effect.centre) if effect.form == "power" else x - effect.centre
        found.append((f"{effect.covariate} {x:.3g} against {effect.centre:.3g}", column))
    return found


# -- the course of the search -----------------------------------------------------------------------------------------
def trace(result: FitResult) -> Any:
    """Return the estimates after each iteration as they are reported, one row per iteration; empty without a trace."""
    import pandas as pd

    from livingdrug.inference.uncertainty import reported

    if not len(result.trace_):
        return pd.DataFrame()
    step = max(1, len(result.trace_) // 400)
    chosen = np.unique(np.r_[np.arange(0, len(result.trace_), step), len(result.trace_) - 1])
    table = pd.DataFrame([reported(result.problem, result.trace_[k]) for k in chosen])
    table.insert(0, "ITERATION", chosen + 1)
    return table

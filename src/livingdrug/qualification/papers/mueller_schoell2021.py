"""Targets of Mueller-Schoell et al. 2021."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from livingdrug.engine.solve import Extreme, Solution, solve
from livingdrug.library.mueller_schoell2021 import MuellerSchoell2021, low_expanders, read_patients
from livingdrug.qualification.target import Assessment, Expected, Target, between, outcome, printed
from livingdrug.streams import normal

ASSESSMENT = Assessment(
    question="How do the phenotypes of axi-cel expand on a lymphoma, and who expands little?",
    context="Describes typical courses of four phenotypes and the tumour in 19 patients, and their spread.",
    influence="medium: the paper derives an early sign of survival from the predicted kinetics",
    consequence="low: used for teaching, for planning of sampling days and as a population for the twin",
    applicability="19 patients of one centre, sampled mostly on days 7, 14 and 25 to 28; growth was fixed",
)

_TABLE = "muellerschoell2021: supplementary table S2, in the transcription nlmixr2lib"
_MODEL = "muellerschoell2021: table 1, in the transcription nlmixr2lib"
_HAND = "muellerschoell2021: equations, SciPy by hand over the covariates of the 19 patients"
_OWN_EFFECTS = "the published median holds the patients' own random effects, which are not published"
_GRID = "the published area is that over the sampling days, see the target on them"
_COHORTS = 100
_CHANCE = between(0.025, 0.975, "two-sided 5 per cent, from 100 cohorts of the same patients with random effects")
_CLASSES = ("reference", "low")


def _chance(which: str, what: str) -> str:
    return f"{which} class, share of cohorts with random effects whose median {what} is below the published one"


_PUBLISHED = {("reference", "maximum"): 13.8, ("low", "maximum"): 5.231}
_PUBLISHED |= {("reference", "day of the maximum"): 12.0, ("low", "day of the maximum"): 23.5}

TARGETS = (
    Target(
        "reference class, median maximum of CAR T cells", "cell/uL", _TABLE, printed("13.8"), printed("12.8"),
        reproducible=False, note=_OWN_EFFECTS,
    ),
    Target(
        "reference class, median day of the maximum", "day", _TABLE, printed("12"), printed("12.0"),
    ),
    Target(
        "reference class, median AUC of 28 days", "day cell/uL", _TABLE, printed("179"), printed("232"),
        reproducible=False, note=_GRID,
    ),
    Target(
        "low class, median maximum of CAR T cells", "cell/uL", _TABLE, printed("5.231"), printed("6.37"),
        reproducible=False, note=_OWN_EFFECTS,
    ),
    Target(
        "low class, median day of the maximum", "day", _TABLE, printed("23.5"), printed("24.6"),
        reproducible=False, note=_OWN_EFFECTS,
    ),
    Target(
        "low class, median AUC of 28 days", "day cell/uL", _TABLE, printed("94.0"), printed("121"),
        reproducible=False, note=_GRID,
    ),
    Target(
        "reference class, median AUC over days 7, 14 and 25", "day cell/uL", _HAND, recomputed=printed("178.4"),
        note="the published 179 follows from the earliest sampling days",
    ),
    Target(
        "low class, median AUC over days 7, 14 and 25", "day cell/uL", _HAND, recomputed=printed("90.2"),
    ),
    *(
        Target(
            f"{which} class, published AUC lies between those over days 7, 14, 25 and over days 7, 14, 28", "1", _TABLE,
            outcome(True),
        )
        for which in _CLASSES
    ),
    *(
        Target(_chance(which, what), "1", _TABLE, _CHANCE, note=_OWN_EFFECTS)
        for which, what in _PUBLISHED
    ),
    Target("patients of the reference class", "1", _TABLE, Expected(15, 0, "a number of patients")),
    Target("patients of the low class", "1", _TABLE, Expected(4, 0, "a number of patients")),
    Target("median tumour volume at infusion", "mL", _MODEL, printed("85.7")),
    Target(
        "share of drawn patients in the reference class", "1", _MODEL,
        Expected(0.803, 0.0038, "three standard errors of 100,000 draws"),
    ),
    Target(
        "tenfold CAR T cells at the start move the day of the maximum more than the maximum", "1",
        "muellerschoell2021: figure S5, as told in the transcription nlmixr2lib", outcome(True),
        note="relative changes in the typical patient",
    ),
)  # fmt: skip


def measure(_data: Path | None = None) -> dict[str, float]:
    """Compute the targets."""
    patients = read_patients()
    cohort = {n: np.array([p[n] for p in patients.values()]) for n in next(iter(patients.values()))}
    low = cohort["low_expansion"] > 0.5
    days = np.linspace(0.0, 28.0, 2801)
    run = _run(cohort, days)
    total = run["car_t_blood"]
    measured = {
        "median maximum of CAR T cells": run.extreme["peak"][1],
        "median day of the maximum": run.extreme["peak"][0],
        "median AUC of 28 days": np.trapezoid(total, days, axis=1),
        "median AUC over days 7, 14 and 25": _sampled(total, days, 25.0),
    }
    found: dict[str, float] = {}
    for which, chosen in zip(_CLASSES, (~low, low), strict=True):
        found |= {f"{which} class, {what}": float(np.median(v[chosen])) for what, v in measured.items()}
        found |= _between(which, total[chosen], days)
        found[f"patients of the {which} class"] = float(chosen.sum())
    found["median tumour volume at infusion"] = float(np.median(cohort["baseline_tumour_volume"]))
    found["share of drawn patients in the reference class"] = float(1 - low_expanders(np.arange(100_000)).mean())
    return found | _chances(cohort, low) | _more_at_the_start()


def _run(cohort: dict[str, NDArray[np.float64]], days: NDArray[np.float64]) -> Solution:
    return solve(
        MuellerSchoell2021, cohort, days, outputs=["car_t_blood"], extremes={"peak": Extreme("car_t_blood")}
    )  # fmt: skip


def _sampled(total: NDArray[np.float64], days: NDArray[np.float64], last: float) -> NDArray[np.float64]:
    """Area by trapezia over the sampling days 7, 14 and the last."""
    grid = [7.0, 14.0, last]
    return np.asarray(np.trapezoid(total[:, np.searchsorted(days, np.array(grid) - 1e-6)], grid, axis=1))


def _between(which: str, total: NDArray[np.float64], days: NDArray[np.float64]) -> dict[str, float]:
    published = 179.0 if which == "reference" else 94.0
    earliest, latest = (float(np.median(_sampled(total, days, last))) for last in (25.0, 28.0))
    name = f"{which} class, published AUC lies between those over days 7, 14, 25 and over days 7, 14, 28"
    return {name: float(earliest <= published <= latest)}


def _chances(cohort: dict[str, NDArray[np.float64]], low: NDArray[np.bool_]) -> dict[str, float]:
    """Where the published medians lie among those of cohorts that differ in their random effects."""
    count = _COHORTS * len(low)
    many = {n: np.tile(values, _COHORTS) for n, values in cohort.items()}
    for name, p in MuellerSchoell2021.parameters.items():
        if p.spread is not None:
            many[name] = p.spread.apply(p.value, normal(2021, np.arange(count), name)[:, 0])
    found = {}
    day, peak = _run(many, np.array([0.0, 28.0])).extreme["peak"]
    for which, chosen in zip(_CLASSES, (~low, low), strict=True):
        for what, values in (("maximum", peak), ("day of the maximum", day)):
            medians = np.median(values.reshape(_COHORTS, -1)[:, chosen], axis=1)
            found[_chance(which, what)] = float((medians < _PUBLISHED[which, what]).mean())
    return found


def _more_at_the_start() -> dict[str, float]:
    days, peaks = _run({"car_t_at_start": np.array([0.1, 1.0])}, np.array([0.0, 28.0])).extreme["peak"]
    moved, changed = abs(days[1] / days[0] - 1), abs(peaks[1] / peaks[0] - 1)
    return {
        "tenfold CAR T cells at the start move the day of the maximum more than the maximum": float(moved > changed)
    }

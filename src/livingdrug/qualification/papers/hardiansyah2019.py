"""Targets of Hardiansyah and Ng 2019."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livingdrug.engine.solve import Extreme, Solution, solve
from livingdrug.library.hardiansyah2019 import Hardiansyah2019
from livingdrug.qualification.target import Assessment, Expected, Target, between, outcome, printed, within

ASSESSMENT = Assessment(
    question="Does the dose or the burden of disease decide how high CAR T cells and cytokines rise in CLL?",
    context="Follows two patients, one with a large and one with a small tumour, and varies burden and dose.",
    influence="medium: it explains cytokines by contacts of CAR T and B cells; it was fitted to two patients",
    consequence="low: used to form hypotheses and for the clearance of cytokines in the twin",
    applicability="UPN1 and UPN3 of one trial, without steroids or tocilizumab; not to predict a patient's toxicity",
)

_FIGURE = "hardiansyah2019: figure 1b, read off in the transcription nlmixr2lib"
_FIGURE_B = "hardiansyah2019: figure S1, read off in the transcription nlmixr2lib"
_RERUN = "nlmixr2lib: article on Hardiansyah 2019, and SciPy by hand"
_LINEAR = "read off a linear axis of 5e9 cells, good to 0.1e9"
_PEAKS = {"car_t_in_blood": "peak of CAR T cells in blood", "memory_blood": "peak of memory cells in blood"}
_PEAKS |= {"il6": "peak of IL-6", "il10": "peak of IL-10", "ifn_gamma": "peak of IFN-gamma"}


def _figure(value: float) -> Expected:
    return within(1 / 3, value, "read off a logarithmic axis of six decades: within the factor of 1.5 of that reading")


def _peak(patient: str, output: str, figure: float, recomputed: str, unit: str, *, follows: bool = True) -> Target:
    note = "" if follows else "the figure's curve lies lower than the equations and values of the supplement give"
    return Target(
        f"{patient}, {_PEAKS[output]}", unit, _FIGURE, _figure(figure), printed(recomputed),
        reproducible=follows, note=note,
    )  # fmt: skip


def _day(patient: str, output: str, recomputed: str, paper: Expected | None = None) -> Target:
    return Target(
        f"{patient}, day of the {_PEAKS[output]}", "day", _RERUN if paper is None else "hardiansyah2019: results",
        paper, printed(recomputed),
    )  # fmt: skip


_INFLAMMATION = between(15, 23, "the text says: between 15 and 23 days after the infusion")
# Largest over smallest peak when the burden, or the dose, is 0.5, 1, 1.5 and 2 times that of the patient.
_FOLDS = {
    ("UPN1", "car_t_in_blood"): ("49.5", "1.03"),
    ("UPN1", "ifn_gamma"): ("51.4", "1.01"),
    ("UPN1", "il6"): ("156", "1.02"),
    ("UPN3", "car_t_in_blood"): ("6.37", "1.00"),
    ("UPN3", "ifn_gamma"): ("16.5", "1.01"),
    ("UPN3", "il6"): ("20.0", "1.01"),
}
_FACTORS = (0.5, 1.0, 1.5, 2.0)


def _fold(patient: str, output: str, varied: str) -> str:
    return f"{patient}, fold change of the {_PEAKS[output]} when the {varied} changes fourfold"


TARGETS = (
    _peak("UPN1", "car_t_in_blood", 2.3e9, "2.55e9", "cell"),
    _day("UPN1", "car_t_in_blood", "3.8"),
    _peak("UPN1", "memory_blood", 7.0e6, "7.34e6", "cell"),
    _day("UPN1", "memory_blood", "13.8"),
    _peak("UPN1", "il6", 2800, "2748", "pg/mL"),
    _peak("UPN1", "il10", 550, "915", "pg/mL", follows=False),
    _peak("UPN1", "ifn_gamma", 700, "828", "pg/mL"),
    Target("UPN1, B cells on day 50", "cell", _FIGURE_B, Expected(0.30e9, 0.1e9, _LINEAR), printed("0.29e9")),
    Target("UPN1, B cells on day 350", "cell", _FIGURE_B, Expected(0.45e9, 0.1e9, _LINEAR), printed("0.48e9")),
    _peak("UPN3", "car_t_in_blood", 0.12e9, "0.097e9", "cell"),
    _day("UPN3", "car_t_in_blood", "27"),
    _peak("UPN3", "memory_blood", 7.5e6, "7.2e6", "cell"),
    _peak("UPN3", "il6", 50, "49.3", "pg/mL"),
    _peak("UPN3", "il10", 150, "116", "pg/mL"),
    _peak("UPN3", "ifn_gamma", 110, "120", "pg/mL"),
    _day("UPN3", "il6", "19.2", _INFLAMMATION),
    _day("UPN3", "il10", "19.2", _INFLAMMATION),
    _day("UPN3", "ifn_gamma", "19.6", _INFLAMMATION),
    Target("UPN3, half-life of CAR T cells from day 250 to 350", "day", _RERUN, recomputed=printed("82")),
    Target(
        "UPN1, half-life of CAR T cells from day 250 to 350", "day", _RERUN, recomputed=printed("83.3"),
        note="the slow eigenvalue of memory cells in blood and tissue is 0.0083206 per day",
    ),
    Target(
        "UPN1, memory cells in tissue per cell in blood on day 350", "1", _RERUN,
        recomputed=within(0.01, 41.7, "k_in/k_out; the decline itself adds 0.45 per cent"),
    ),
    Target("growth of B cells without CAR T cells", "1/day", _RERUN, recomputed=printed("0.0017")),
    Target(
        "largest difference of all CAR T cells from the infused dose, without growth and death", "1", _RERUN,
        recomputed=Expected(0, 1e-6, "cells only move; the solver's tolerance is 1e-9"),
    ),
    Target(
        "UPN1, peak of memory cells in blood with h read as 1e5 cells", "cell", _RERUN, recomputed=printed("7.7e2"),
        note="1e4 times below the figure: the printed unit of h is wrong",
    ),
    Target(
        "UPN1, peak of memory cells in blood with h read as 1e5 cells per mL of 5 L", "cell", _RERUN,
        recomputed=printed("2.288e6"), note="three times below the figure: the printed unit of h is wrong",
    ),
    Target(
        "UPN1, peak of IFN-gamma with b_G read as ng/mL", "pg/mL", "hardiansyah2019: equations, SciPy by hand",
        recomputed=printed("1073"), note="half above the figure: the printed unit of b_G is wrong",
    ),
    *(
        Target(_fold(patient, output, varied), "1", _RERUN, recomputed=printed(value))
        for (patient, output), values in _FOLDS.items()
        for varied, value in zip(("burden", "dose"), values, strict=True)
    ),
    Target(
        "peaks of CAR T cells and cytokines follow the burden more than the dose", "1", "hardiansyah2019: abstract",
        outcome(True, "smallest fold change with burden above the largest with dose"),
    ),
)  # fmt: skip


def measure(_data: Path | None = None) -> dict[str, float]:
    """Compute the targets."""
    found = _courses() | _limits() | _readings()
    folds = _folds()
    burden, dose = ([v for k, v in folds.items() if f"the {varied}" in k] for varied in ("burden", "dose"))
    found["peaks of CAR T cells and cytokines follow the burden more than the dose"] = float(min(burden) > max(dose))
    return found | folds


def _cohort(*patients: dict[str, float]) -> dict[str, list[float]]:
    names = list(dict.fromkeys(name for values in patients for name in values))
    defaults = Hardiansyah2019.parameters
    return {n: [values.get(n, defaults[n].value) for values in patients] for n in names}


def _run(*patients: dict[str, float], until: float = 120.0) -> Solution:
    """Solve for some patients, their peaks kept."""
    times = [0.0, 1.5, 50.0, 100.0, 250.0, 350.0] if until > 250 else [0.0, until]
    return solve(
        Hardiansyah2019, _cohort(*patients), times, rtol=1e-9,
        outputs=["tumour", "effector_blood", "memory_blood", "memory_tissue", "car_t_in_blood", "car_t_total"],
        extremes={output: Extreme(output) for output in _PEAKS},
    )  # fmt: skip


def _courses() -> dict[str, float]:
    names = ("UPN1", "UPN3")
    run = _run(*(dict(Hardiansyah2019.parameter_sets[name]) for name in names), until=350)
    quantities = {t.quantity for t in TARGETS}
    found = {}
    for output, what in _PEAKS.items():
        days, heights = run.extreme[output]
        for k, name in enumerate(names):
            found |= {f"{name}, {what}": float(heights[k]), f"{name}, day of the {what}": float(days[k])}
    found = {name: value for name, value in found.items() if name in quantities}
    cells = run["car_t_in_blood"]
    for k, name in enumerate(names):
        found[f"{name}, half-life of CAR T cells from day 250 to 350"] = float(
            100 * np.log(2) / np.log(cells[k, 4] / cells[k, 5])
        )
    found["UPN1, B cells on day 50"], found["UPN1, B cells on day 350"] = run["tumour"][0, [2, 5]].tolist()
    ratio = run["memory_tissue"][0, 5] / run["memory_blood"][0, 5]
    return found | {"UPN1, memory cells in tissue per cell in blood on day 350": float(ratio)}


def _limits() -> dict[str, float]:
    still = {"effector_expansion": 0.0, "effector_death": 0.0, "memory_growth": 0.0, "memory_death": 0.0}
    upn1, upn3 = (dict(Hardiansyah2019.parameter_sets[n]) for n in ("UPN1", "UPN3"))
    run = _run({"dose": 0.0}, upn1 | still, upn3 | still, until=350)
    doses = np.array([[upn1["dose"]], [upn3["dose"]]])
    given = doses * [0.1, 0.4, 1.0, 1.0, 1.0, 1.0]
    tumour = run["tumour"][0]
    return {
        "growth of B cells without CAR T cells": float(np.log(tumour[5] / tumour[0]) / 350),
        "largest difference of all CAR T cells from the infused dose, without growth and death": float(
            np.abs(run["car_t_total"][1:] / given - 1).max()
        ),
    }


def _readings() -> dict[str, float]:
    """Peaks under the printed units that the errata reject."""
    run = _run({"half_activation": 1e5}, {"half_activation": 5e8}, {"il10_half_inhibition": 650e3})
    memory, ifn = run.extreme["memory_blood"][1], run.extreme["ifn_gamma"][1]
    return {
        "UPN1, peak of memory cells in blood with h read as 1e5 cells": float(memory[0]),
        "UPN1, peak of memory cells in blood with h read as 1e5 cells per mL of 5 L": float(memory[1]),
        "UPN1, peak of IFN-gamma with b_G read as ng/mL": float(ifn[2]),
    }


def _folds() -> dict[str, float]:
    varied = {"burden": "tumour_at_infusion", "dose": "dose"}
    patients = [
        values | {parameter: values[parameter] * factor}
        for values in map(dict, Hardiansyah2019.parameter_sets.values())
        for parameter in varied.values()
        for factor in _FACTORS
    ]
    run = _run(*patients)
    found = {}
    for name, output in _FOLDS:
        peaks = run.extreme[output][1].reshape(2, 2, len(_FACTORS))[("UPN1", "UPN3").index(name)]
        for k, what in enumerate(varied):
            found[_fold(name, output, what)] = float(peaks[k].max() / peaks[k].min())
    return found

"""Targets of Sahoo et al. 2020 (CARRGO)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livingdrug.engine.solve import solve
from livingdrug.library.carrgo2020 import Carrgo2020
from livingdrug.qualification.target import Assessment, Expected, Target, outcome

ASSESSMENT = Assessment(
    question="When do CAR T cells in a dish clear a glioma, fail, or hold it at bay?",
    context="Classifies outcomes by the ratios of death and gain of the CAR T cells to the growth of the tumour.",
    influence="low: explains kinds of outcome in a dish",
    consequence="low: used for teaching and as the root of brummer2022",
    applicability="the scaled cases of the paper's figure; fitted values of its lines were not readable",
)

_POINTS = "sahoo2020: fixed points of the scaled form, figure of the cases"
_FORMULA = "the fixed point is a formula; the solver's tolerance is 1e-9"

TARGETS = (
    Target("tumour that stays, case of coexistence", "1", _POINTS, paper=Expected(0.14 / 1.6, 1e-6, _FORMULA)),
    Target("CAR T cells that stay, case of coexistence", "1", _POINTS, paper=Expected(1 - 0.14 / 1.6, 1e-6, _FORMULA)),
    Target("tumour in the end, case of success", "1", _POINTS, paper=Expected(0.0, 1e-6, _FORMULA)),
    Target("tumour in the end, case of failure", "1", _POINTS, paper=Expected(1.0, 1e-6, _FORMULA)),
    Target("CAR T cells in the end, case of failure", "1", _POINTS, paper=Expected(0.0, 1e-6, _FORMULA)),
    Target("tumour in the end without CAR T cells", "1", _POINTS, paper=Expected(1.0, 1e-6, _FORMULA)),
    Target(
        "share of moments at which the tumour falls just where CAR T cells exceed the threshold", "1",
        "sahoo2020: text, threshold rho / kappa_1 - rho X / (K kappa_1)",
        paper=outcome(True, "a statement about every moment (1)"),
        note="500 moments of each of the three cases; the direction is that of the solved course",
    ),
)  # fmt: skip


def measure(_data: Path | None = None) -> dict[str, float]:
    """Compute the targets."""
    names = ("coexistence", "success", "failure")
    sets = [Carrgo2020.parameter_sets[name] for name in names]
    cohort = {name: np.array([*(values[name] for values in sets), sets[0][name]]) for name in sets[0]}
    cohort["car_t_at_start"] = np.array([*[Carrgo2020.parameters["car_t_at_start"].value] * 3, 0.0])
    days = np.append(np.linspace(0.0, 20.0, 1001), 300.0)
    solution = solve(Carrgo2020, cohort, days, rtol=1e-9)
    tumour, car_t = solution["cell_index"], solution["car_t_cell_index"]
    return {
        "tumour that stays, case of coexistence": float(tumour[0, -1]),
        "CAR T cells that stay, case of coexistence": float(car_t[0, -1]),
        "tumour in the end, case of success": float(tumour[1, -1]),
        "tumour in the end, case of failure": float(tumour[2, -1]),
        "CAR T cells in the end, case of failure": float(car_t[2, -1]),
        "tumour in the end without CAR T cells": float(tumour[3, -1]),
        "share of moments at which the tumour falls just where CAR T cells exceed the threshold": _agreement(
            tumour[:3, :-1], (car_t - solution["car_t_needed"])[:3, :-1]
        ),
    }


def _agreement(tumour: np.ndarray, excess: np.ndarray) -> float:
    """Share of every other moment at which the course to both sides falls as the threshold says.

    Moments so near the threshold or a fixed point that the solver's error decides are left out.
    """
    change, here = tumour[:, 2::2] - tumour[:, :-2:2], excess[:, 1::2]
    clear = (np.abs(here) > 0.05) & (np.abs(change) > 1e-7)
    return float(((change < 0) == (here > 0))[clear].mean())

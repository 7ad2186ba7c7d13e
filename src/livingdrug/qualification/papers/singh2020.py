"""Targets of Singh et al. 2020: the note's source ran none, so that values by hand and consequences stand here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livingdrug.engine.solve import Extreme, solve
from livingdrug.library.singh2020 import Singh2020
from livingdrug.qualification.target import Assessment, Expected, Target, outcome, printed

ASSESSMENT = Assessment(
    question="Where in the body do CAR T cells go, and how much does their access to a solid tumour matter?",
    context="Simulates the organs of a mouse and a tumour with CAR T cells.",
    influence="low: several constants were changed by the transcription; the originals are not known",
    consequence="low: research and teaching; no dose may be chosen with it",
    applicability="distribution between organs and the effect of access, in mice; not patients",
)

_HAND = "pkpdcoder2021: equations and values, written out by hand in hours and solved with SciPy at 1e-10"
_EQUATIONS = "pkpdcoder2021: follows from the equations"
_ACCESS = {"2": ("0.3499", "1.6156"), "10.35": ("1.805", "1.614"), "50": ("8.591", "1.606")}

TARGETS = (
    Target("CAR T cells in blood on day 1", "cell/mL", _HAND, recomputed=printed("1.088")),
    Target("CAR T cells in blood on day 7", "cell/mL", _HAND, recomputed=printed("0.3519")),
    Target("CAR T cells in the lung on day 1", "cell", _HAND, recomputed=printed("57.47")),
    Target("CAR T cells in the liver on day 1", "cell", _HAND, recomputed=printed("2908")),
    *(
        Target(f"most CAR T cells in the tumour, access {j} per hour", "cell", _HAND, recomputed=printed(v))
        for j, (v, _) in _ACCESS.items()
    ),
    *(
        Target(f"tumour on day 60, access {j} per hour", "mL", _HAND, recomputed=printed(v))
        for j, (_, v) in _ACCESS.items()
    ),
    Target("cytokine on day 14", "pg/mL", _HAND, recomputed=printed("113.6")),
    Target("tumour on day 28, killing and delay of CD19", "mL", _HAND, recomputed=printed("0.1550")),
    Target("tumour on day 28, killing of HER2", "mL", _HAND, recomputed=printed("0.1553")),
    Target("tumour on day 28, killing of EGFR", "mL", _HAND, recomputed=printed("0.1552")),
    Target("tumour on day 60, dose 5e6", "mL", _HAND, recomputed=printed("0.7709")),
    Target("more access to the tumour, less tumour", "1", "singh2020: required by the research notes", outcome(True)),
    Target("sum of the lymph flows", "mL/hour", "pkpdcoder2021: L_LN", recomputed=printed("0.1492"),
           note="the file prints 0.14926, of rounded parts; exact is 2 x 373/5000 = 0.1492"),
    Target(
        "CAR T cells in the body, none dying or dividing, over those infused", "1", _EQUATIONS,
        recomputed=Expected(1.0, 1e-6, "organs only exchange cells; solved at 1e-9"),
    ),
    Target(
        "untreated tumour on day 28 over exponential growth", "1", _EQUATIONS,
        recomputed=Expected(1.0, 1e-6, "no CAR T cells, no killing; solved at 1e-9"),
    ),
)  # fmt: skip


def measure(_data: Path | None = None) -> dict[str, float]:
    """Compute the targets."""
    cohort = {
        "tumour_entry": [10.35, 2.0, 50.0, 10.35, 10.35, 10.35, 10.35],
        "kill_rate": [0.0486, 0.0486, 0.0486, 0.093, 0.009, 0.0323, 0.0486],
        "kill_delay": [21.6, 21.6, 21.6, 56.6, 21.6, 21.6, 21.6],
        "car_t_dose": [9440.0] * 6 + [5e6],
    }
    days = np.array([1.0, 7.0, 14.0, 28.0, 60.0])
    outputs = ["car_t_blood", "car_t_lung", "car_t_liver", "tumour_volume", "cytokine"]
    run = solve(Singh2020, cohort, days, outputs=outputs, extremes={"most": Extreme("car_t_tumour")}, rtol=1e-9)
    most, volume = run.extreme["most"][1], run["tumour_volume"]
    rows = {"2": 1, "10.35": 0, "50": 2}
    found = {f"most CAR T cells in the tumour, access {j} per hour": float(most[k]) for j, k in rows.items()}
    found |= {f"tumour on day 60, access {j} per hour": float(volume[k, 4]) for j, k in rows.items()}
    found |= {
        "CAR T cells in blood on day 1": float(run["car_t_blood"][0, 0] * 1000),
        "CAR T cells in blood on day 7": float(run["car_t_blood"][0, 1] * 1000),
        "CAR T cells in the lung on day 1": float(run["car_t_lung"][0, 0]),
        "CAR T cells in the liver on day 1": float(run["car_t_liver"][0, 0]),
        "cytokine on day 14": float(run["cytokine"][0, 2]),
        "tumour on day 28, killing and delay of CD19": float(volume[3, 3]),
        "tumour on day 28, killing of HER2": float(volume[4, 3]),
        "tumour on day 28, killing of EGFR": float(volume[5, 3]),
        "tumour on day 60, dose 5e6": float(volume[6, 4]),
        "more access to the tumour, less tumour": float(volume[1, 4] > volume[0, 4] > volume[2, 4]),
    }
    return found | _consequences()


def _consequences() -> dict[str, float]:
    p = {name: item.value for name, item in Singh2020.parameters.items()}
    still = {"liver_loss": 0.0, "expansion": 0.0, "tumour_growth": 0.0, "kill_rate": 0.0}
    total = solve(Singh2020, still, [0.1, 1.0, 10.0], rtol=1e-9)["car_t_total"][0]
    alone = solve(Singh2020, {"car_t_dose": 0.0}, [28.0], outputs=["tumour_volume"], rtol=1e-9)["tumour_volume"][0, 0]
    grown = p["tumour_at_infusion"] * np.exp(p["tumour_growth"] * 28 * 24)
    return {
        "sum of the lymph flows": 2 * p["lung_flow"] / p["flow_per_lymph_flow"],
        "CAR T cells in the body, none dying or dividing, over those infused": float(
            1 + np.abs(total / p["car_t_dose"] - 1).max()
        ),
        "untreated tumour on day 28 over exponential growth": float(alone / grown),
    }

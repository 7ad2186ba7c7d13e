"""Targets of Singh et al. 2021: the human values are unconfirmed; the mouse is compared with data and not tuned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from livingdrug.engine.solve import Extreme, solve
from livingdrug.library.singh2021 import Singh2021
from livingdrug.qualification.target import Assessment, Expected, Target, between, outcome, printed, within

ASSESSMENT = Assessment(
    question="How do binding of receptors, dose and tumour burden shape the kinetics of anti-BCMA CAR T cells?",
    context="Simulates blood, marrow and markers in multiple myeloma, and a mouse with a tumour.",
    influence="low: constants come from a third party that could not redraw the figures with them",
    consequence="low: research and teaching; no dose may be chosen with it",
    applicability="relative effect of dose and burden in the human set; the mouse set misses the measured course",
)

_HAND = "mstadtcart2024: equations and values, written out by hand and solved with SciPy at 1e-9"
_DATA = "singh2021: figure 2b, digitised by mstadtcart2024"
_FILE = "kinetics/singh2021_mouse_digitised.csv"
_DOSES = {"5e7": 5e7, "1.5e8": 1.5e8, "4.5e8": 4.5e8, "8e8": 8e8}
_PEAKS = {
    "5e7": ("18.63", "16.31"),
    "1.5e8": ("18.18", "15.25"),
    "4.5e8": ("17.80", "14.18"),
    "8e8": ("17.66", "13.62"),
}
_SAME = "the number by hand, four digits; our infusion lasts 0.01 h instead of none"

TARGETS = (
    *(
        Target(f"peak of CAR T cells in blood after day 1, dose {d}", "cell/uL", _HAND, recomputed=printed(v, _SAME))
        for d, (v, _) in _PEAKS.items()
    ),
    *(
        Target(f"day of that peak, dose {dose}", "day", _HAND, recomputed=printed(day, _SAME))
        for dose, (_, day) in _PEAKS.items()
    ),
    Target("CAR T cells in blood on day 28, dose 1.5e8", "cell/uL", _HAND, recomputed=printed("3.614")),
    Target("CAR T cells in blood on day 90, dose 1.5e8", "cell/uL", _HAND, recomputed=printed("0.06948")),
    Target("smallest tumour as a share, dose 1.5e8", "1", _HAND, recomputed=printed("5.696e-6")),
    Target("day of the smallest tumour, dose 1.5e8", "day", _HAND, recomputed=printed("66.15")),
    Target("M-protein on day 28 as a share, dose 1.5e8", "1", _HAND, recomputed=printed("0.4171")),
    Target("soluble BCMA on day 28 as a share, dose 1.5e8", "1", _HAND, recomputed=printed("1.409e-3")),
    Target("peak of CAR T cells in blood, half-point 1.15", "cell/uL", _HAND, recomputed=printed("4737"),
           note="as many as all leukocytes: one reason to doubt this value"),
    Target("tumour in a year as a share, release of the bond 2.39e-2 per second", "1", _HAND,
           recomputed=printed("0.854"), note="the other value of the transcription does not control the tumour"),
    Target(
        "exposure over days 1 to 28 changes more with the tumour than with the dose, each times four", "1",
        "singh2021: abstract", outcome(True),
    ),
    Target("exposure of twice over half the tumour burden", "1", _HAND, recomputed=printed("63.7")),
    Target(
        "largest deviation of bonds from the quadratic of equilibrium, days 1 to 28", "1",
        "singh2021: follows from the equations",
        recomputed=between(0.0, 0.02, "binding turns over 206 times a day; cells change by at most 1.7 per day"),
    ),
    Target(
        "CAR T cells with neither loss nor growth over those infused", "1", "singh2021: follows from the equations",
        recomputed=Expected(1.0, 1e-6, "blood and tissue only exchange; solved at 1e-9"),
    ),
    Target("untreated tumour of the mouse on day 32.9", "mm**3", _DATA, within(0.05, 3230.0, "read off a figure"),
           printed("1857"), reproducible=False, needs=_FILE, note="from 100 mm^3 at the published growth rate"),
    Target("CAR T cells in the mouse's blood on day 12.0", "cell/uL", _DATA,
           within(0.05, 455.0, "read off a figure"), printed("79.4"), reproducible=False, needs=_FILE,
           note="not tuned; the tumour at the start is assumed"),
    Target("CAR T cells in the mouse's blood on day 29.2", "cell/uL", _DATA,
           within(0.2, 18.3, "read off a figure, near its zero"), printed("82.6"), reproducible=False, needs=_FILE,
           note="the measured cells vanish, the modelled ones stay: effectors barely become memory"),
    Target("treated tumour of the mouse on day 12 and later", "mm**3", _DATA,
           between(-22.0, 22.0, "zero within the noise of the digitised points"), needs=_FILE),
)  # fmt: skip


def measure(data: Path | None = None) -> dict[str, float]:
    """Compute the targets."""
    days = np.r_[0.0, np.linspace(1.0, 28.0, 2701), 60.0, 90.0]
    doses = _human({"car_t_dose": list(_DOSES.values())}, days)
    blood = doses["car_t_blood"]
    late = slice(1, 2702)
    fine = np.linspace(10.0, 20.0, 20_001)
    near = _human({"car_t_dose": list(_DOSES.values())}, fine)["car_t_blood"]
    found = {f"peak of CAR T cells in blood after day 1, dose {d}": float(near[k].max()) for k, d in enumerate(_DOSES)}
    found |= {f"day of that peak, dose {d}": float(fine[near[k].argmax()]) for k, d in enumerate(_DOSES)}
    found |= {
        "CAR T cells in blood on day 28, dose 1.5e8": float(blood[1, 2701]),
        "CAR T cells in blood on day 90, dose 1.5e8": float(blood[1, -1]),
        "smallest tumour as a share, dose 1.5e8": float(doses.extreme["nadir"][1][1]),
        "day of the smallest tumour, dose 1.5e8": float(doses.extreme["nadir"][0][1]),
        "M-protein on day 28 as a share, dose 1.5e8": float(doses["m_protein_share"][1, 2701]),
        "soluble BCMA on day 28 as a share, dose 1.5e8": float(doses["soluble_bcma_share"][1, 2701]),
    }
    burdens = _human(
        {"tumour_at_infusion": [1.25e9, 5e9, 2.5e9, 2.5e9], "car_t_dose": [1.5e8, 1.5e8, 7.5e7, 3e8]}, days
    )
    area = np.trapezoid(burdens["car_t_blood"][:, late], days[late])
    found |= {
        "exposure over days 1 to 28 changes more with the tumour than with the dose, each times four": float(
            abs(np.log(area[1] / area[0])) > abs(np.log(area[3] / area[2]))
        ),
        "exposure of twice over half the tumour burden": float(area[1] / area[0]),
    }
    return found | _alternatives() | _consequences() | (_mouse() if data is not None else {})


def _human(parameters: Mapping[str, Any], days: np.ndarray) -> Any:
    return solve(
        Singh2021, parameters, days, extremes={"nadir": Extreme("tumour_burden_share", "min")}, rtol=1e-9
    )  # fmt: skip


def _alternatives() -> dict[str, float]:
    days = np.append(np.linspace(1.0, 30.0, 2901), 365.0)
    run = _human({"half_expansion_complexes": [1.15, 10.0], "unbinding": [2.39e-3, 2.39e-2]}, days)
    return {
        "peak of CAR T cells in blood, half-point 1.15": float(run["car_t_blood"][0].max()),
        "tumour in a year as a share, release of the bond 2.39e-2 per second": float(run["tumour_burden_share"][1, -1]),
    }


def _consequences() -> dict[str, float]:
    p = {name: item.value for name, item in Singh2021.parameters.items()}
    days = np.linspace(1.0, 28.0, 28)
    names = ["tissue_effector", "tissue_memory", "complexes", "tumour"]
    effector, memory, bonds, tumour = solve(Singh2021, {}, days, outputs=names, rtol=1e-9).values[0].T
    a, b = p["receptors"] * (effector + memory), p["antigens_per_cell"] * tumour
    half = a + b + p["unbinding"] / p["binding"] * p["avogadro"]
    balance = 2 * a * b / (half + np.sqrt(half**2 - 4 * a * b))
    still = {"effector_loss": 0.0, "memory_loss": 0.0, "expansion": 0.0}
    total = solve(Singh2021, still, [1.0, 10.0, 100.0], rtol=1e-9)["car_t_total"][0]
    return {
        "largest deviation of bonds from the quadratic of equilibrium, days 1 to 28": float(
            np.abs(bonds / balance - 1).max()
        ),
        "CAR T cells with neither loss nor growth over those infused": float(
            1 + np.abs(total / p["car_t_dose"] - 1).max()
        ),
    }


def _mouse() -> dict[str, float]:
    mouse = Singh2021.parameter_sets["mouse"]
    measured = [12.012, 29.188, 32.902]
    run = solve(Singh2021, {name: [value] * 2 for name, value in mouse.items()} | {"car_t_dose": [5e6, 0.0]}, measured,
                rtol=1e-9)  # fmt: skip
    volume = 100.0 * run["tumour_burden_share"]
    return {
        "untreated tumour of the mouse on day 32.9": float(volume[1, 2]),
        "CAR T cells in the mouse's blood on day 12.0": float(run["car_t_blood"][0, 0]),
        "CAR T cells in the mouse's blood on day 29.2": float(run["car_t_blood"][0, 1]),
        "treated tumour of the mouse on day 12 and later": float(volume[0].max()),
    }

"""Targets of Frey et al. 2010."""

from __future__ import annotations

from math import log, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from livingdrug.engine.solve import Dose, solve
from livingdrug.library.frey2010 import Frey2010, draw_patients
from livingdrug.qualification.target import Assessment, Expected, Target, printed
from livingdrug.streams import normal, uniform

ASSESSMENT = Assessment(
    question="How high is tocilizumab in serum after a dose, how long does it stay, and how do patients differ?",
    context="Gives the concentration of tocilizumab that blocks the receptor of IL-6 when cytokine release is treated.",
    influence="medium: the block of the receptor in the twin follows from this concentration",
    consequence="low: used in simulations; no dose of a patient is derived from it",
    applicability="1793 adults with rheumatoid arthritis on 4 or 8 mg/kg; cytokine release and children extrapolate it",
)

_TABLES = "frey2010: tables 2 and 3, in the transcription nlmixr2lib, by hand"
_TABLE_4 = "frey2010: table 4, in the transcription nlmixr2lib"
_PATIENTS = 1793

# Mean and standard deviation in steady state: AUC (1e3 h ug/mL), peak and trough (ug/mL).
_STEADY = {
    4: {"AUC": ("13", 5.8), "peak": ("88", 41.0), "trough": ("1.5", 2.1)},
    8: {"AUC": ("35", 16.0), "peak": ("183", 86.0), "trough": ("9.7", 11.0)},
}


def _mean(text: str, sd: float) -> Expected:
    digit = printed(text)
    reason = f"half the last digit, and three standard errors of a mean over {_PATIENTS} patients with the printed SD"
    return Expected(digit.value, digit.tolerance + 3 * sd / sqrt(_PATIENTS), reason)


def _steady(dose: int, what: str) -> str:
    return f"mean {what} in steady state on {dose} mg/kg every 4 weeks"


TARGETS = (
    Target(
        "half-life at high concentration", "day", "frey2010: discussion, in the transcription nlmixr2lib",
        printed("21"), printed("20.96"),
    ),
    Target(
        "AUC of 560 mg without the saturable path", "day ug/mL", _TABLES, recomputed=printed("1866.7"), note="dose/CL"
    ),
    Target(
        "clearance at low concentration", "L/day", _TABLES, recomputed=printed("3.078"), note="CL + V_M/K_M"
    ),
    Target("clearance of a woman, per that of a man", "1", "frey2010: table 2", printed("0.84")),
    Target("clearance at a body surface of 2.2 m**2", "L/day", _TABLES, recomputed=printed("0.3452")),
    Target("central volume at albumin 30 and protein 60 g/L", "L", _TABLES, recomputed=printed("3.736")),
    Target("saturable path of a smoker, per that of others", "1", "frey2010: table 2", printed("1.11")),
    Target("dose of a patient of 70 kg", "mg", "kymriah2025: table 1", printed("560")),
    Target("dose of a patient of 25 kg", "mg", "kymriah2025: table 1", printed("300")),
    Target("dose of a patient of 110 kg", "mg", "kymriah2025: table 1", printed("800")),
    *(
        Target(
            _steady(dose, what), "1e3 h ug/mL" if what == "AUC" else "ug/mL", _TABLE_4, _mean(*value),
            note="covariates drawn independently, to the medians and ranges of table 1",
        )
        for dose, values in _STEADY.items()
        for what, value in values.items()
    ),
)  # fmt: skip


def measure(_data: Path | None = None) -> dict[str, float]:
    """Compute the targets."""
    return _clearances() | _covariates() | _given() | _steady_state(4) | _steady_state(8)


def _clearances() -> dict[str, float]:
    """Without the saturable path, and with one of the same V_M/K_M that the dose comes nowhere near to saturating."""
    cases = {"saturable_maximum": [0.0, 7.5e6], "half_saturation": [2.7, 2.7e6]}
    days = np.concatenate([np.linspace(0, 20, 48_001), np.linspace(20.05, 600, 12_000)])
    course = solve(Frey2010, cases, days, rtol=1e-9)["tocilizumab"]
    area = np.asarray(np.trapezoid(course, days, axis=1))
    last = float(np.log(course[0, -2001] / course[0, -1]) / (days[-1] - days[-2001]))
    return {
        "half-life at high concentration": log(2) / last,
        "AUC of 560 mg without the saturable path": float(area[0]),
        "clearance at low concentration": 560 / float(area[1]),
    }


def _covariates() -> dict[str, float]:
    """One unsaturated path at a time and no second compartment: the slope of the logarithm is its clearance over V1."""
    cases = {
        "female": [0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        "body_surface": [1.8, 1.8, 2.2, 1.8, 1.8, 1.8],
        "albumin": [38.0, 38.0, 38.0, 30.0, 38.0, 38.0],
        "serum_protein": [74.0, 74.0, 74.0, 60.0, 74.0, 74.0],
        "smoker": [0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        "clearance": [0.3, 0.3, 0.3, 0.3, 0.0, 0.0],
        "saturable_maximum": [0.0, 0.0, 0.0, 0.0, 7.5e6, 7.5e6],
        "half_saturation": 2.7e6,
        "exchange": 0.0,
    }
    course = solve(Frey2010, cases, [1.0, 2.0], rtol=1e-9)["tocilizumab"]
    slope = np.log(course[:, 0] / course[:, 1])
    return {
        "clearance of a woman, per that of a man": float(slope[1] / slope[0]),
        "clearance at a body surface of 2.2 m**2": float(slope[2] * 3.5),
        "central volume at albumin 30 and protein 60 g/L": float(0.3 / slope[3]),
        "saturable path of a smoker, per that of others": float(slope[5] / slope[4]),
    }


def _given() -> dict[str, float]:
    weights = [70.0, 25.0, 110.0]
    closed = {"clearance": 0.0, "saturable_maximum": 0.0, "body_weight": weights}
    states = solve(Frey2010, closed, [1.0], outputs=["central", "peripheral"], rtol=1e-9).values
    amounts = states.sum(axis=2)[:, 0]
    return {f"dose of a patient of {w:g} kg": float(a) for w, a in zip(weights, amounts, strict=True)}


def _steady_state(dose: int) -> dict[str, float]:
    """Means of the twelfth interval of four weeks, each patient dosed by weight without a maximum, as in the paper."""
    patients = np.arange(4000)
    parameters = draw_patients(patients, seed=2010) | _drawn_covariates(patients)
    weight = parameters["body_weight"]
    infusion = 1 / 24
    last = 28.0 * 11
    days = np.concatenate([[last], last + infusion + np.linspace(0.0, 28 - infusion, 400)])
    days[-1] -= 1e-6
    regimen = {"dose_per_weight": float(dose), "largest_dose": 1e6}
    more = Dose("central", dose * weight, at=28.0, every=28.0, count=11, duration=infusion)
    course = solve(Frey2010, parameters | regimen, days, doses=[more])["tocilizumab"]
    return {
        _steady(dose, "AUC"): float(24e-3 * np.trapezoid(course, days, axis=1).mean()),
        _steady(dose, "peak"): float(course.max(axis=1).mean()),
        _steady(dose, "trough"): float(course[:, -1].mean()),
    }


def _drawn_covariates(patients: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Covariates to the medians and ranges of the paper's Table I, as the transcription draws them."""
    z = normal(2010, patients, "frey2010: covariates", 7)
    luck = uniform(2010, patients, "frey2010: sex and smoking", 2)
    factor = np.log(np.maximum(110 * np.exp(0.9 * z[:, 2]), 15))
    return {
        "body_weight": np.clip(70 + 17 * z[:, 0], 38, 150),
        "body_surface": np.clip(1.8 + 0.22 * z[:, 1], 1.3, 2.7),
        "log_rheumatoid_factor": factor,
        "hdl_cholesterol": np.clip(54 + 14 * z[:, 3], 23, 135),
        "serum_protein": np.clip(74 + 5 * z[:, 4], 57, 96),
        "albumin": np.clip(38 + 4 * z[:, 5], 24, 50),
        "creatinine_clearance": np.clip(106 + 35 * z[:, 6], 27, 317),
        "female": (luck[:, 0] < 0.82).astype(float),
        "smoker": (luck[:, 1] < 0.18).astype(float),
    }

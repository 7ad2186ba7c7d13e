"""Targets of Minucci et al. 2024."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livingdrug.engine.solve import Extreme, solve
from livingdrug.library.minucci2024 import Minucci2024, read_patients
from livingdrug.qualification.target import Assessment, Expected, Target, printed, within

ASSESSMENT = Assessment(
    question="How do antigen, product and division of the cells shape expansion and loss of B cells in lymphoma?",
    context="Follows 13 fitted patients over 100 days; shows how expansion depends on B cells and on divisions.",
    influence="low: explains patterns; every patient was fitted alone, many at the bounds of the search",
    consequence="low: used for teaching and to compare mechanisms",
    applicability="IM19 in 13 patients with lymphoma; the reduced form is that of the transcription, the chain of "
    "divisions is ours",
)

_NOTE = "nlmixr2lib: equations and Table S1, solved by SciPy at 1e6 cells per kilogram (reduced form)"
_VIGNETTE = "nlmixr2lib: vignette, non-compartmental analysis of the reduced form, every half day"
_NO_TABLE = "the paper has no table of its courses"

# Peak of CAR T cells (cell/uL), its day, CAR T cells on days 28 and 90 (cell/uL).
_COURSES = {
    "F0104": ("475", "2.0", "24.6", "2.70"),
    "F0107": ("312", "2.2", "25.6", "8.60"),
    "F0118": ("35", "3.9", "4.7", "0.263"),
    "F0125": ("27.7", "4.5", "5.77", "0.091"),
}
_QUANTITIES = ("peak of CAR T cells", "day of the peak", "CAR T cells on day 28", "CAR T cells on day 90")
_UNITS = ("cell/uL", "day", "cell/uL", "cell/uL")

# Largest of the half-daily values (cell/uL), its day, the value on day 100 (cell/uL).
_HALF_DAILY = {
    "F0104": (474.578, 2.0, "2.433"),
    "F0106": (569.332, 2.0, "2.569"),
    "F0107": (311.218, 2.0, "8.093"),
    "F0109": (1384.205, 4.5, "10.852"),
    "F0110": (13.936, 1.5, "2.271"),
    "F0111": (67.426, 7.0, "24.779"),
    "F0118": (34.941, 4.0, "0.227"),
    "F0119": (434.454, 2.0, "0.149"),
    "F0121": (48.970, 4.5, "0.211"),
    "F0122": (47.223, 5.0, "1.248"),
    "F0123": (25.427, 6.0, "8.305"),
    "F0125": (27.696, 4.5, "0.048"),
    "F0126": (74.446, 5.5, "0.193"),
}

_DELAY = "mean delay of the divisions, F0104"
_YIELD = "effectors per activated cell, as a share of 2 to the number of divisions, F0104"

TARGETS = (
    *(
        Target(f"{quantity}, {name}", unit, _NOTE, recomputed=printed(value), note=_NO_TABLE)
        for name, values in _COURSES.items()
        for quantity, unit, value in zip(_QUANTITIES, _UNITS, values, strict=True)
    ),
    *(
        target
        for name, (peak, day, late) in _HALF_DAILY.items()
        for target in (
            Target(
                f"largest half-daily value, {name}", "cell/uL", _VIGNETTE,
                recomputed=within(1e-4, peak, "the default tolerances of the solver there"),
            ),
            Target(
                f"day of the largest half-daily value, {name}", "day", _VIGNETTE,
                recomputed=Expected(day, 0.0, "both on the same grid"),
            ),
            Target(f"CAR T cells on day 100, {name}", "cell/uL", _VIGNETTE, recomputed=printed(late)),
        )
    ),
    Target(
        _DELAY, "day", "nlmixr2lib: Table S1, 21.41559 divisions of 5.397703 hours",
        recomputed=within(1e-4, 21.41559 * 5.397703 / 24, "the solve ends after 60 days"),
        note="read off the solved course: mean age of effectors that neither die nor kill",
    ),
    Target(
        _YIELD, "1", "nlmixr2lib: Table S1, 21.41559 divisions",
        recomputed=within(1e-4, 1.0, "the solve ends after 60 days"),
    ),
)  # fmt: skip


def measure(_data: Path | None = None) -> dict[str, float]:
    """Compute the targets."""
    names = list(read_patients())
    half_days = np.arange(0.0, 100.25, 0.5)
    solution = solve(
        Minucci2024, _cohort(names) | {"delayed_share": 0.0}, half_days, outputs=["car_t_blood"],
        extremes={"peak": Extreme("car_t_blood")}, rtol=1e-8,
    )  # fmt: skip
    days, peaks = solution.extreme["peak"]
    course = solution["car_t_blood"]
    found = {}
    for k, name in enumerate(names):
        values = (peaks[k], days[k], course[k, 2 * 28], course[k, 2 * 90])
        if name in _COURSES:
            found |= {f"{q}, {name}": float(v) for q, v in zip(_QUANTITIES, values, strict=True)}
        found[f"largest half-daily value, {name}"] = float(course[k].max())
        found[f"day of the largest half-daily value, {name}"] = float(half_days[course[k].argmax()])
        found[f"CAR T cells on day 100, {name}"] = float(course[k, -1])
    return found | _divisions()


def _cohort(names: list[str]) -> dict[str, np.ndarray]:
    sets = [Minucci2024.parameter_sets[name] for name in names]
    return {name: np.array([values[name] for values in sets]) for name in sets[0]}


def _divisions() -> dict[str, float]:
    """Delay and yield of the divisions, from cells of which all are activated early and no effector dies.

    The effectors then rise to their final number, and the area between that and the course, per cell, is the mean
    time to become one, of which the wait for activation is a part.
    """
    everlasting = {"effector_lifespan": 1e12, "infused_lifespan": 1e12, "kill_rate": 0.0, "affinity": 1e-9}
    at_once = {"cd8_activation_time": 0.01, "cd4_activation_time": 0.01, "cd8_share": 1.0}
    days = np.linspace(0.0, 60.0, 12_001)
    solution = solve(Minucci2024, everlasting | at_once, days, outputs=["effector_cd8"], rtol=1e-9)
    effectors = solution["effector_cd8"][0]
    p = Minucci2024.parameters
    infused = p["dose"].value * p["body_weight"].value
    waiting = float(np.trapezoid(1.0 - effectors / effectors[-1], days))
    return {
        _DELAY: waiting - at_once["cd8_activation_time"] / 24.0,
        _YIELD: float(effectors[-1] / infused / 2.0 ** p["divisions"].value),
    }

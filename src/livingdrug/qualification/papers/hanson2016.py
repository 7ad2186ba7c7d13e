"""Targets of Hanson et al. 2016: the note's source ran none, so that values by hand and consequences stand here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livingdrug.engine.solve import Extreme, solve
from livingdrug.library.hanson2016 import Hanson2016
from livingdrug.qualification.target import Assessment, Expected, Target, outcome, printed

ASSESSMENT = Assessment(
    question="How do CAR T cells, tumour and inflammation drive each other, and what does a drug do to them?",
    context="Simulates the first month after CAR T cells in B-ALL in the units of the model.",
    influence="low: inflammation has no unit and no clinical grade",
    consequence="low: research and teaching",
    applicability="relative comparison of burdens and of a drug; units of time and cells are inferred",
)

_HAND = "biomodelshanson2016: equations and values, written out by hand and solved with SciPy at 1e-11"
_EQUATIONS = "biomodelshanson2016: follows from the equations"
_PEAKS = {
    "cytotoxic_effector": ("cytotoxic effectors", "cell/uL", "45.45", "10.83"),
    "helper_effector": ("helper effectors", "cell/uL", "73.96", "9.488"),
    "inflammation": ("inflammation", "1", "167.9", "6.678"),
    "tumour": ("leukaemia", "cell/uL", "309.2", "2.396"),
}
_LAST = {
    "tumour": ("leukaemia", "cell/uL", "39.18"),
    "inflammation": ("inflammation", "1", "135.3"),
    "cytotoxic_memory": ("cytotoxic memory cells", "cell/uL", "8.649"),
    "helper_memory": ("helper memory cells", "cell/uL", "7.590"),
    "lymphocytes": ("other lymphocytes", "cell/uL", "1653.6"),
}

TARGETS = (
    *(Target(f"largest {name}", unit, _HAND, recomputed=printed(v)) for name, unit, v, _ in _PEAKS.values()),
    *(Target(f"day of the largest {name}", "day", _HAND, recomputed=printed(d)) for name, _, _, d in _PEAKS.values()),
    *(Target(f"{name} on day 30", unit, _HAND, recomputed=printed(v)) for name, unit, v in _LAST.values()),
    Target("inflammation on day 30 with drug 100", "1", _HAND, recomputed=printed("85.71")),
    Target("largest cytotoxic effectors with drug 100", "cell/uL", _HAND, recomputed=printed("23.66")),
    Target("largest inflammation with four times the leukaemia", "1", _HAND, recomputed=printed("679.5")),
    Target(
        "more leukaemia at the start, more inflammation, and a drug against it costs killing", "1",
        "hanson2016: abstract, burden as predictor of toxicity", outcome(True),
    ),
    Target(
        "inflammation without tumour after 10 days", "1", _EQUATIONS,
        recomputed=Expected(400 / 3, 4e-4, "production over decay, 200/1.5; solved at 1e-9"),
    ),
    Target(
        "leukaemia without CAR T cells on day 30 over the logistic curve", "1", _EQUATIONS,
        recomputed=Expected(1.0, 1e-6, "closed form of logistic growth; solved at 1e-9"),
    ),
    Target(
        "largest change of effectors/64 + memory, no death and no room", "1", _EQUATIONS,
        recomputed=Expected(0.0, 1e-6, "a memory cell becomes 2^6 effectors; solved at 1e-9"),
    ),
)  # fmt: skip


def measure(_data: Path | None = None) -> dict[str, float]:
    """Compute the targets."""
    extremes = {state: Extreme(state) for state in _PEAKS}
    cohort = {"drug_effect": [0.0, 100.0, 0.0], "tumour_at_start": [300.0, 300.0, 1200.0]}
    run = solve(Hanson2016, cohort, [30.0], outputs=list(Hanson2016.states), extremes=extremes, rtol=1e-9)
    peaks = {state: run.extreme[state] for state in _PEAKS}
    inflamed, killers = peaks["inflammation"][1], peaks["cytotoxic_effector"][1]
    found = {f"largest {_PEAKS[s][0]}": float(values[0]) for s, (_, values) in peaks.items()}
    found |= {f"day of the largest {_PEAKS[s][0]}": float(days[0]) for s, (days, _) in peaks.items()}
    found |= {f"{name} on day 30": float(run[s][0, 0]) for s, (name, _, _) in _LAST.items()}
    found |= {
        "inflammation on day 30 with drug 100": float(run["inflammation"][1, 0]),
        "largest cytotoxic effectors with drug 100": float(killers[1]),
        "largest inflammation with four times the leukaemia": float(inflamed[2]),
        "more leukaemia at the start, more inflammation, and a drug against it costs killing": float(
            inflamed[2] > inflamed[0] and run["tumour"][1, 0] > run["tumour"][0, 0]
        ),
    }
    return found | _consequences()


def _consequences() -> dict[str, float]:
    no_car_t = {f"{kind}_at_start": 0.0 for kind in ("cytotoxic_memory", "cytotoxic_effector", "helper_memory",
                                                     "helper_effector")}  # fmt: skip
    calm = solve(Hanson2016, {"tumour_at_start": 0.0}, [10.0], rtol=1e-9)["inflammation_level"][0, 0]
    alone = solve(Hanson2016, no_car_t, [30.0], rtol=1e-9)["tumour_blood"][0, 0]
    p = {name: item.value for name, item in Hanson2016.parameters.items()}
    growth = np.exp(p["tumour_growth"] * 720)
    logistic = p["tumour_capacity"] / (1 + (p["tumour_capacity"] / p["tumour_at_start"] - 1) / growth)
    still = {"cytotoxic_decay": 0.0, "helper_decay": 0.0, "cytotoxic_renewal": 0.0, "helper_renewal": 0.0}
    names = ["cytotoxic_memory", "cytotoxic_effector", "helper_memory", "helper_effector"]
    course = solve(Hanson2016, still, np.linspace(0, 30, 31), outputs=names, rtol=1e-9).values[0]
    sums = course[:, [0, 2]] + course[:, [1, 3]] / 64
    return {
        "inflammation without tumour after 10 days": float(calm),
        "leukaemia without CAR T cells on day 30 over the logistic curve": float(alone / logistic),
        "largest change of effectors/64 + memory, no death and no room": float(np.abs(sums / sums[0] - 1).max()),
    }

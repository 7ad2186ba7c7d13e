"""Targets of Stein et al. 2019."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livingdrug.engine.solve import solve
from livingdrug.library.stein2019 import Stein2019, transgene
from livingdrug.qualification.target import Assessment, Expected, Target, printed

ASSESSMENT = Assessment(
    question="How high does the transgene of tisagenlecleucel rise, how fast does it fall, how long does it stay?",
    context="Describes typical courses and their spread between children and young adults with B-ALL.",
    influence="low: it describes data; it predicts no response and knows no dose",
    consequence="low: used for teaching, planning of sampling days and as a test case of estimation",
    applicability="the 90 patients of ELIANA and ENSIGN, first 365 days; not other products or diseases",
)

_TABLE = "stein2019: table 1 and figure 2, in the transcription nlmixr2lib"
TARGETS = (
    Target("doubling time", "day", "stein2019: abstract", printed("0.78"), printed("0.780")),
    Target("half-life of the fast decline", "day", "stein2019: abstract", printed("4.3"), printed("4.33")),
    Target(
        "half-life of the slow decline", "day", "stein2019: abstract",
        Expected(220, 5, "printed with two digits"), printed("216.6"),
    ),
    Target("transgene at the start", "copy/ug", _TABLE, recomputed=printed("6.15")),
    Target("AUC of 28 days", "day copy/ug", _TABLE, recomputed=printed("1.718e5")),
    Target("transgene on day 28", "copy/ug", _TABLE, recomputed=printed("1374")),
    Target("transgene on day 90", "copy/ug", _TABLE, recomputed=printed("146.5")),
    Target("transgene on day 365", "copy/ug", _TABLE, recomputed=printed("60.7")),
    Target(
        "largest difference from the closed form, with tocilizumab and steroids", "1", _TABLE,
        recomputed=Expected(0, 1e-6, "both are the same formula; the solver's tolerance is 1e-9"),
    ),
)  # fmt: skip


def measure(_data: Path | None = None) -> dict[str, float]:
    """Compute the targets."""
    days = np.array([0.0, 3.0, 5.7, 9.0, 12.0, 28.0, 90.0, 365.0])
    plain = solve(Stein2019, {}, days, rtol=1e-9)["car_t_transgene_blood"][0]
    treated = {"tocilizumab_day": 4.0, "steroid_day": 6.0, "steroid_effect": 0.8}
    course = solve(Stein2019, treated, days, rtol=1e-9)["car_t_transgene_blood"][0]
    fine = np.linspace(0, 28, 28_001)
    early = solve(Stein2019, {}, fine)["car_t_transgene_blood"][0]
    rise = solve(Stein2019, {}, [1.0, 2.0], rtol=1e-9)["car_t_transgene_blood"][0]
    fall = solve(Stein2019, {}, [10.0, 11.0, 300.0, 301.0], rtol=1e-9, outputs=["effector", "memory"]).values[0]
    return {
        "doubling time": float(np.log(2) / np.log(rise[1] / rise[0])),
        "half-life of the fast decline": float(np.log(2) / np.log(fall[0, 0] / fall[1, 0])),
        "half-life of the slow decline": float(np.log(2) / np.log(fall[2, 1] / fall[3, 1])),
        "transgene at the start": float(plain[0]),
        "AUC of 28 days": float(np.trapezoid(early, fine)),
        "transgene on day 28": float(plain[5]),
        "transgene on day 90": float(plain[6]),
        "transgene on day 365": float(plain[7]),
        "largest difference from the closed form, with tocilizumab and steroids": float(
            np.abs(course / transgene(days, **treated) - 1).max()
        ),
    }

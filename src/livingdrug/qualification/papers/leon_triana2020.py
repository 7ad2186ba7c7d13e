"""Targets of León-Triana et al. 2020."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livingdrug.engine.solve import Extreme, solve
from livingdrug.library.leon_triana2020 import LeonTriana2020
from livingdrug.qualification.target import Assessment, Expected, Target, between, printed

ASSESSMENT = Assessment(
    question="How do leukaemia and normal B cells feed CAR T cells, and why does the dose matter so little?",
    context="Simulates a typical course of B-ALL after CD19 CAR T cells, with and without B-cell progenitors.",
    influence="low: explains a mechanism; nothing was fitted to patients",
    consequence="low: research and teaching",
    applicability="early expansion and B-cell aplasia in B-ALL; not loss of CD19, not single patients",
)

_THREE = "biomodelsleontriana2020: BIOMD0000001011, solved independently"
_FOUR = "biomodelsleontriana2020: BIOMD0000001012 with its two errors put right, solved independently"
_EQUATIONS = "biomodelsleontriana2020: follows from the equations"
_DOSES = {"5e5": 5e5, "1e7": 1e7, "1e8": 1e8}
_PEAKS = {"5e5": ("1.789e10", "15.21"), "1e7": ("1.640e10", "12.19"), "1e8": ("1.541e10", "9.66")}
_POOLS = {"1e7": "305", "3e8": "309", "5e8": "313"}

TARGETS = (
    *(
        Target(f"largest number of CAR T cells, dose {dose}", "cell", _THREE, recomputed=printed(peak))
        for dose, (peak, _) in _PEAKS.items()
    ),
    *(
        Target(f"day of that number, dose {dose}", "day", _THREE, recomputed=printed(day))
        for dose, (_, day) in _PEAKS.items()
    ),
    Target("largest leukaemia", "cell", _THREE, recomputed=printed("5.74e10")),
    Target("day of the largest leukaemia", "day", _THREE, recomputed=printed("5.34")),
    Target("leukaemia on day 60", "cell", _THREE, recomputed=printed("4.15e5")),
    Target("B cells on day 60", "cell", _THREE, recomputed=printed("1.03e4")),
    *(
        Target(f"leukaemia again above 1e9, progenitors {pool}", "day", _FOUR, recomputed=printed(day))
        for pool, day in _POOLS.items()
    ),
    Target(
        "smallest leukaemia, progenitors 1e7", "cell", _FOUR,
        recomputed=between(3.5e5, 4.5e5, "the note says about 4e5: half a unit of its digit"),
    ),
    Target("day of the smallest leukaemia, progenitors 1e7", "day", _FOUR, recomputed=printed("57")),
    Target(
        "largest expansion at dose 5e5 over that at dose 1e8", "1", "leontriana2020: abstract",
        paper=between(1.0, 1.25, "the dose does 'not critically affect' the course: less than a quarter for 200 times"),
    ),
    Target(
        "largest change of CAR T cells + k targets, nothing born or dying", "1", _EQUATIONS,
        recomputed=Expected(0, 1e-6, "each kill gains k CAR T cells: the sum is constant; solved at 1e-9"),
    ),
    Target(
        "largest move away from the coexistence state in 100 days", "1", _EQUATIONS,
        recomputed=Expected(0, 1e-6, "its rates are zero: C = rho_L/alpha, and the others follow; solved at 1e-9"),
    ),
)  # fmt: skip


def measure(_data: Path | None = None) -> dict[str, float]:
    """Compute the targets."""
    extremes = {"car_t": Extreme("car_t_total"), "tumour": Extreme("tumour_cells")}
    mature = solve(
        LeonTriana2020, {"progenitors_without_car_t": 0.0, "car_t_at_infusion": list(_DOSES.values())}, [60.0],
        extremes=extremes, rtol=1e-9,
    )  # fmt: skip
    days, peaks = mature.extreme["car_t"]
    found = {f"largest number of CAR T cells, dose {d}": float(p) for d, p in zip(_DOSES, peaks, strict=True)}
    found |= {f"day of that number, dose {d}": float(t) for d, t in zip(_DOSES, days, strict=True)}
    found |= {
        "largest leukaemia": float(mature.extreme["tumour"][1][1]),
        "day of the largest leukaemia": float(mature.extreme["tumour"][0][1]),
        "leukaemia on day 60": float(mature["tumour_cells"][1, 0]),
        "B cells on day 60": float(mature["b_cells_total"][1, 0]),
        "largest expansion at dose 5e5 over that at dose 1e8": float(peaks[0] / peaks[2]),
    }
    return found | _with_progenitors() | _invariants()


def _with_progenitors() -> dict[str, float]:
    days = np.linspace(40.0, 400.0, 36_001)
    pools = [float(pool) for pool in _POOLS]
    tumour = solve(LeonTriana2020, {"progenitors_without_car_t": pools}, days, rtol=1e-9)["tumour_cells"]
    late = days > 60
    found = {
        f"leukaemia again above 1e9, progenitors {pool}": float(np.interp(np.log(1e9), np.log(row[late]), days[late]))
        for pool, row in zip(_POOLS, np.minimum.accumulate(tumour[:, ::-1], axis=1)[:, ::-1], strict=True)
    }
    early = days < 150
    lowest = int(tumour[0, early].argmin())
    return found | {
        "smallest leukaemia, progenitors 1e7": float(tumour[0, lowest]),
        "day of the smallest leukaemia, progenitors 1e7": float(days[lowest]),
    }


def _invariants() -> dict[str, float]:
    p = {name: item.value for name, item in LeonTriana2020.parameters.items()}
    still = {"progenitors_without_car_t": 0.0, "tumour_growth": 0.0, "car_t_lifetime": 1e12, "b_cell_lifetime": 1e12}
    days = np.linspace(0.0, 30.0, 31)
    names = ["car_t", "tumour", "b_cells"]
    moving = solve(LeonTriana2020, still, days, outputs=names, rtol=1e-9).values[0]
    total = moving[:, 0] + p["growth_per_kill"] * (moving[:, 1] + moving[:, 2])
    car_t = p["tumour_growth"] / p["kill_rate"]
    progenitors = p["progenitors_without_car_t"] / (1 + car_t / p["half_progenitor_car_t"])
    b_cells = progenitors / p["progenitor_lifetime"] / (p["tumour_growth"] + 1 / p["b_cell_lifetime"])
    needed = 1 / (p["growth_per_kill"] * p["kill_rate"] * p["car_t_lifetime"])
    tumour = needed - b_cells - p["progenitor_stimulation"] * progenitors
    start = {"car_t": car_t, "tumour": tumour, "b_cells": b_cells}
    course = solve(LeonTriana2020, {}, np.linspace(0, 100, 11), initial=start, outputs=names, rtol=1e-9).values[0]
    return {
        "largest change of CAR T cells + k targets, nothing born or dying": float(np.abs(total / total[0] - 1).max()),
        "largest move away from the coexistence state in 100 days": float(np.abs(course / course[0] - 1).max()),
    }

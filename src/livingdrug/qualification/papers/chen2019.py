"""Targets of Chen et al. 2019: what follows from the equations, since no number of the paper could be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livingdrug.engine.solve import Dose, Extreme, solve
from livingdrug.library.chen2019 import Chen2019
from livingdrug.qualification.target import Assessment, Expected, Target, outcome, printed

ASSESSMENT = Assessment(
    question="How does a small first dose of a T-cell engager protect from the cytokines of a large second one?",
    context="Compares the cytokine after primed and unprimed doses; its feedback is a candidate for the twin.",
    influence="low: none of the paper's figures could be reproduced here; only its equations are solved",
    consequence="low: used to form hypotheses on tolerance",
    applicability="an example of doses and tumour cells; not a drug, not a patient, not CAR T cells as they are",
)

_HAND = "pkpdcoder2021: equations and values, recomputed by hand with SciPy for this library"
_FORMULA = "pkpdcoder2021: equations and values, recomputed by hand"

TARGETS = (
    Target("peak after the first dose of 60 ug", "pg/mL", _HAND, recomputed=printed("118.8")),
    Target("day of that peak", "day", _HAND, recomputed=printed("0.187")),
    Target("peak after the second dose of 300 ug", "pg/mL", _HAND, recomputed=printed("25.67")),
    Target("day of the second peak", "day", _HAND, recomputed=printed("7.649")),
    Target("peak after 300 ug without a first dose", "pg/mL", _HAND, recomputed=printed("333.0")),
    Target("peak after the second dose without priming (K = 1)", "pg/mL", _HAND, recomputed=printed("65.79")),
    Target("peak after the first dose without tolerance", "pg/mL", _HAND, recomputed=printed("347.5")),
    Target("exposure by day 7", "pg*hour/mL", _HAND, recomputed=printed("4150")),
    Target("exposure by day 14", "pg*hour/mL", _HAND, recomputed=printed("6925")),
    Target("peak after the first dose given over 24 hours", "pg/mL", _HAND, recomputed=printed("58.25")),
    Target("peak after the second dose given over 24 hours", "pg/mL", _HAND, recomputed=printed("25.28")),
    Target(
        "drug just before the second dose", "ug/mL", _FORMULA, recomputed=printed("0.009831"),
        note="60/3100 exp(-12.5/3100 * 168)",
    ),
    Target(
        "steady state with constant drug and no tolerance", "pg/mL", _FORMULA, recomputed=printed("378.7"),
        note="3590 S/(10 + S)/0.18 with S = 10 * 60/3100",
    ),
    Target("release left at an exposure of 182, first dose", "1", _FORMULA, recomputed=printed("0.500")),
    Target("release left at an exposure of 182, second dose", "1", _FORMULA, recomputed=printed("0.261")),
    Target(
        "release left at an exposure of 182, third dose", "1", _FORMULA, recomputed=printed("0.111"),
        note="1/(1 + 2.83**2); 1/(1 + 2.83) after the second dose",
    ),
    Target(
        "cytokine and what was cleared, less what was released", "1", _FORMULA,
        recomputed=Expected(0, 1e-6, "the integral of the equation of C; trapezia of 1e-4 day")
    ),
    Target(
        "a first dose of 60 ug lowers the peak of 300 ug", "1", "chen2019: abstract",
        outcome(True, "the peak after both doses is below that of 300 ug alone"),
    ),
)  # fmt: skip


def measure(_data: Path | None = None) -> dict[str, float]:
    """Compute the targets."""
    return _peaks() | _infused() | _simple() | _release_left() | {
        "cytokine and what was cleared, less what was released": _imbalance()
    }  # fmt: skip


def _peaks() -> dict[str, float]:
    cases = {
        "first_dose": [60.0, 300.0, 60.0, 60.0],
        "second_dose": [300.0, 0.0, 300.0, 300.0],
        "priming": [2.83, 2.83, 1.0, 2.83],
        "largest_inhibition": [1.0, 1.0, 1.0, 0.0],
    }
    whole = solve(
        Chen2019, cases, [7.0, 14.0], rtol=1e-9, outputs=["cytokine_exposure"], extremes={"peak": Extreme("il6")}
    )
    first = solve(Chen2019, cases, [0.0, 6.99], rtol=1e-9, extremes={"peak": Extreme("il6")}).extreme["peak"]
    days, second = _second_peak(cases)
    return {
        "peak after the first dose of 60 ug": float(first[1][0]),
        "day of that peak": float(first[0][0]),
        "peak after the second dose of 300 ug": float(second[0]),
        "day of the second peak": float(days[0]),
        "peak after 300 ug without a first dose": float(first[1][1]),
        "peak after the second dose without priming (K = 1)": float(second[2]),
        "peak after the first dose without tolerance": float(first[1][3]),
        "exposure by day 7": float(whole["cytokine_exposure"][0, 0]),
        "exposure by day 14": float(whole["cytokine_exposure"][0, 1]),
        "a first dose of 60 ug lowers the peak of 300 ug": float(whole.extreme["peak"][1][0] < first[1][1]),
    }


def _second_peak(cases: dict[str, list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Day and height of the largest value after the second dose, on a grid of 1e-4 day."""
    grid = np.concatenate([[0.0], np.linspace(7.0, 9.0, 20_001)])
    course = solve(Chen2019, cases, grid, rtol=1e-9, outputs=["il6"])["il6"][:, 1:]
    return grid[1 + course.argmax(axis=1)], course.max(axis=1)


def _infused() -> dict[str, float]:
    doses = [Dose("drug", 60.0, at=0.0, duration=1.0), Dose("drug", 300.0, at=7.0, duration=1.0)]
    grid = np.concatenate([np.linspace(0, 6.999, 7000), np.linspace(7, 10, 3001)])
    none = {"first_dose": 0.0, "second_dose": 0.0}
    course = solve(Chen2019, none, grid, doses=doses, outputs=["il6"], rtol=1e-9)["il6"][0]
    return {
        "peak after the first dose given over 24 hours": float(course[:7000].max()),
        "peak after the second dose given over 24 hours": float(course[7000:].max()),
    }


def _simple() -> dict[str, float]:
    """A constant drug and no tolerance; the drug alone."""
    constant = {"drug_clearance": [0.0, 12.5], "largest_inhibition": [0.0, 1.0]}
    run = solve(Chen2019, constant, [0.0, 6.9999999], rtol=1e-9)
    return {
        "steady state with constant drug and no tolerance": float(run["il6"][0, 1]),
        "drug just before the second dose": float(run["t_cell_engager"][1, 1]),
    }


def _release_left() -> dict[str, float]:
    run = solve(
        Chen2019, {"dose_number": [1.0, 2.0, 3.0]}, [0.0, 1e-9], initial={"exposure": 182.0}, outputs=["release_left"]
    )
    names = ("first", "second", "third")
    left = run["release_left"][:, 0]
    return {f"release left at an exposure of 182, {n} dose": float(v) for n, v in zip(names, left, strict=True)}


def _imbalance() -> float:
    """C + deg A against the integral of the release, by day 6.9, as a share of it."""
    p = {name: item.value for name, item in Chen2019.parameters.items()}
    days = np.linspace(0, 6.9, 69_001)
    run = solve(Chen2019, {}, days, rtol=1e-9)
    synapses = run["t_cell_engager"][0] * p["tumour_cells"]
    release = (
        p["largest_release"] * synapses / (p["half_release_synapses"] + synapses) * run["release_left"][0]
    )  # fmt: skip
    released = np.trapezoid(release, 24 * days)
    kept = run["il6"][0, -1] + p["cytokine_clearance"] * run["cytokine_exposure"][0, -1]
    return float(kept / released - 1)

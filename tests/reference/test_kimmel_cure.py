"""Chance of cure: the engine's jump process against Kendall's formula, parameter by parameter.

The published simulations are compared row by row by ``livingdrug qualify`` and in docs/validation-kimmel2021.md.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid, solve_ivp

from livingdrug.engine.solve import Crossing, solve
from livingdrug.library.kimmel2021 import Kimmel2021

CODE = Kimmel2021.parameter_sets["code"]
VOLUMES = {"min": 2.3, "median": 94.84, "max": 1275.3}  # mL, of the 96 patients
HORIZON = 2000.0


def chance_of_cure(parameters: dict[str, float]) -> float:
    """Kendall 1948, equation for extinction: (J / (1 + J))**n with J the integral of death rate times exp(rho).

    From 100 cells on, with the CAR T cells followed by SciPy; growth back above the threshold, which the engine hands
    to the equation, is left to the formula: at 200 cells chance no longer matters.
    """
    p = {name: parameters.get(name, item.value) for name, item in Kimmel2021.parameters.items()}

    def slope(_, y):
        n, c, _ = np.exp(y)
        lymphocytes = n + c
        gap = (lymphocytes - p["normal_t_capacity"]) ** 2
        growth = p["car_t_growth"] + p["growth_signal"] * gap / (p["growth_signal_width"] * lymphocytes**2 + gap)
        return [
            -p["normal_t_growth"] * np.log(lymphocytes / p["normal_t_capacity"]),
            -growth * np.log(lymphocytes / p["car_t_capacity"]),
            p["tumour_growth"] - p["kill_rate"] * c / (p["half_kill_car_t"] + c),
        ]

    tumour = p["baseline_tumour_volume"] * p["tumour_density"]
    start = np.log([p["normal_t_at_infusion"], p["car_t_at_infusion"], tumour])
    run = solve_ivp(slope, (0, 400), start, method="LSODA", dense_output=True, rtol=1e-10, atol=1e-10)
    days = np.linspace(0, 400, 400_001)
    cars, log_tumour = np.exp(run.sol(days)[1]), run.sol(days)[2]
    if log_tumour.min() > np.log(100):
        return 0.0
    first = np.argmax(log_tumour < np.log(100))
    days, cars = days[first:], cars[first:]
    death = p["kill_rate"] * cars / (p["half_kill_car_t"] + cars)
    rho = cumulative_trapezoid(death - p["tumour_growth"], days, initial=0)
    j = np.trapezoid(death * np.exp(rho), days)
    return float((j / (1 + j)) ** 100)


@pytest.mark.parametrize("size", VOLUMES)
@pytest.mark.parametrize("growth", [0.04, 0.065, 0.115])
def test_the_jump_process_has_kendalls_chance(size, growth):
    parameters = {**CODE, "tumour_growth": growth, "baseline_tumour_volume": VOLUMES[size]}
    patients = 4000
    cohort = {name: np.full(patients, value) for name, value in parameters.items()}
    progression = Crossing("tumour_cells", above=1.2e9 * VOLUMES[size], stop=True)
    solution = solve(Kimmel2021, cohort, [0.0, HORIZON], crossings={"progression": progression}, seed=7)
    assert not solution.failures()
    expected = chance_of_cure(parameters)
    cured = np.isfinite(solution.extinct_time["tumour"]).mean()
    error = np.sqrt(expected * (1 - expected) / patients)
    assert abs(cured - expected) <= 4 * error, (cured, expected)

"""Chance of cure: the engine's jump process against Kendall's formula, and against the published simulations."""

from __future__ import annotations

import numpy as np
import pandas as pd
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


def published_parameters(row) -> dict[str, float]:
    """The hybrid runs' values with the one that the sweep changes; cells/uL times 5e8 are cells in the body."""
    changed = {
        "tumour_growth": {"tumour_growth": row.x},
        "car_capacity": {"car_t_capacity": row.x * 5e8},
        "normal_T_at_infusion": {"normal_t_at_infusion": row.x * 5e8},
        "tumour_volume": {},
    }[row.sweep]
    return {**CODE, "baseline_tumour_volume": VOLUMES.get(row.tumour_size_label, row.x), **changed}


def simulated_cure(parameters: dict[str, float], patients: int, seed: int) -> float:
    """Share cured when nine parameters vary by 5 %, as published."""
    random = np.random.default_rng(seed)
    cohort = {}
    for name, item in Kimmel2021.parameters.items():
        typical = np.full(patients, parameters.get(name, item.value))
        drawn = item.spread.apply(typical, random.standard_normal(patients)) if item.spread else typical
        cohort[name] = np.maximum(drawn, 0.0)
    progression = Crossing("tumour_cells", above=1.2e9 * cohort["baseline_tumour_volume"], stop=True)
    solution = solve(Kimmel2021, cohort, [0.0, HORIZON], crossings={"progression": progression}, seed=seed)
    assert not solution.failures()
    return float(np.isfinite(solution.extinct_time["tumour"]).mean())


# A row whose label cannot be right: 0.577 for the largest tumour at growth 0.04 lies above the 0.36 found here and far
# above its neighbour (0.274 at 0.065), but equals what the published algorithm gives for the median tumour (0.576).
MISLABELLED = ("tumour_growth", 0.04, "max")


def test_every_published_row(shared_data, capsys):
    """53 rows, each itself an estimate from 1,000 runs, with their z-scores.

    The published code holds the rates fixed while it waits for the next event and takes a tumour of one cell as
    extinct. An imitation of both gives 0.82, 0.70 and 0.61 for three of the rows that differ most (published 0.82, 0.71
    and 0.62); the exact process gives 0.77, 0.65 and 0.56. So the published chances are up to 0.06 too high, always to
    one side, and the tolerance here is that bias on top of chance. This is what every |z| > 3 comes from.
    """
    rows = pd.read_csv(shared_data / "kinetics" / "kimmel2021_cure_probability_targets.csv")
    patients = 2000
    lines, differences, scores = [], [], []
    for number, row in enumerate(rows.itertuples(), start=1):
        found = simulated_cure(published_parameters(row), patients, seed=number)
        pooled = (found * patients + row.p_cure * row.n_sims) / (patients + row.n_sims)
        error = np.sqrt(max(pooled * (1 - pooled), 1e-4) * (1 / patients + 1 / row.n_sims))
        z = (found - row.p_cure) / error
        lines.append(
            f"{row.sweep:22s}{row.x:8g} {row.tumour_size_label:10s} {row.p_cure:6.3f} {found:6.3f}  z {z:5.1f}"
        )
        if (row.sweep, row.x, row.tumour_size_label) != MISLABELLED:
            differences.append(found - row.p_cure)
            scores.append(z)
            assert -0.065 - 3 * error < found - row.p_cure < 3 * error + 0.005, lines[-1]
    with capsys.disabled():
        print("\nsweep, value, tumour, P(cure) published and simulated, z\n" + "\n".join(lines))
    assert len(differences) == 52
    assert np.abs(scores).max() < 5
    assert -0.03 < np.mean(differences) < 0.0

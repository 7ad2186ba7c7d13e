"""chen2019: what was declared, limits, tolerance and priming against closed forms and a plain SciPy solve."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from livingdrug.engine.solve import Change, Dose
from livingdrug.engine.solve import solve as solve_cohort
from livingdrug.errors import InputError
from livingdrug.library.chen2019 import Chen2019

P = {name: p.value for name, p in Chen2019.parameters.items()}

# The transcription's file, hours.
FILE = {
    "largest_release": 3590, "half_release_synapses": 10, "largest_inhibition": 1, "half_inhibition_exposure": 182,
    "priming": 2.83, "cytokine_clearance": 0.18, "cytokine_baseline": 0, "drug_clearance": 12.5, "drug_volume": 3100,
    "tumour_cells": 10, "first_dose": 60, "second_dose": 300, "first_day": 0, "second_day": 7,
}  # fmt: skip


def solve(values, days, **options):
    found = solve_cohort(Chen2019, values, days, rtol=1e-9, **options)
    assert not found.failures()
    return found


def by_hand(doses, hours):
    """The three equations in hours; each dose is (hour, ug, number of the dose)."""
    state, values = np.zeros(3), []
    for k, (start, amount, number) in enumerate(doses):
        end = doses[k + 1][0] if k + 1 < len(doses) else hours[-1] + 1e-6
        state = state + np.array([amount, 0.0, 0.0])

        def slope(_, y, number=number):
            synapses = 10 * y[0] / 3100
            left = 1 - y[2] / (182 / 2.83 ** (number - 1) + y[2])
            return [-12.5 / 3100 * y[0], 3590 * synapses / (10 + synapses) * left - 0.18 * y[1], y[1]]

        asked = [h for h in hours if start <= h < end]
        run = solve_ivp(slope, (start, end), state, t_eval=[*asked, end], method="LSODA", rtol=1e-11, atol=1e-12)
        values += run.y[1, :-1].tolist()
        state = run.y[:, -1]
    return np.array(values)


def test_values_are_those_of_the_file():
    assert {name: P[name] for name in FILE} == FILE


def test_course_of_two_and_of_three_doses():
    days = np.array([0.1, 0.2, 1.0, 6.5, 7.05, 7.5, 9.0, 13.0, 14.5, 16.0])
    two = solve({}, days)["il6"][0]
    assert two == pytest.approx(by_hand([(0, 60, 1), (168, 300, 2)], 24 * days), rel=1e-6)
    third = {"doses": [Dose("drug", 600.0, at=14.0), Change("dose_number", 3.0, at=14.0)]}
    three = solve({}, days, **third)["il6"][0]
    assert three == pytest.approx(by_hand([(0, 60, 1), (168, 300, 2), (336, 600, 3)], 24 * days), rel=1e-6)
    assert np.array_equal(two[:8], three[:8])


def test_without_drug_or_tumour_the_cytokine_stays_at_its_baseline():
    none = {"first_dose": [0.0, 60.0], "second_dose": [0.0, 300.0], "tumour_cells": [10.0, 0.0]}
    found = solve(none | {"cytokine_baseline": 5.0}, [0.0, 3.0, 10.0])
    assert found["il6"] == pytest.approx(np.full((2, 3), 5.0))
    assert found["cytokine_exposure"] == pytest.approx(np.tile([0.0, 5 * 72.0, 5 * 240.0], (2, 1)))


def test_drug_falls_by_its_clearance():
    found = solve({}, [0.0, 3.0, 6.0])["t_cell_engager"][0]
    assert found == pytest.approx(60 / 3100 * np.exp(-12.5 / 3100 * 24 * np.array([0.0, 3.0, 6.0])), rel=1e-7)


def test_more_drug_cannot_release_more_than_the_largest_rate():
    """With a huge constant drug and no tolerance the cytokine settles at E_max/deg."""
    full = {"first_dose": 1e9, "drug_clearance": 0.0, "largest_inhibition": 0.0}
    assert solve(full, [6.9])["il6"][0, 0] == pytest.approx(3590 / 0.18, rel=1e-5)


def test_tolerance_only_grows_and_priming_cuts_the_rest():
    days = np.concatenate([np.linspace(0, 6.99, 100), np.linspace(7, 14, 100)])
    left = solve({}, days)["release_left"][0]
    assert np.all(np.diff(left) <= 1e-12)
    exposure = solve({}, [7.0])["cytokine_exposure"][0, 0]
    assert left[100] == pytest.approx(1 / (1 + 2.83 * exposure / 182), rel=1e-6)
    assert left[99] == pytest.approx(1 / (1 + exposure / 182), rel=1e-2)


def test_bad_values_are_refused():
    with pytest.raises(InputError, match="dose_number"):
        solve({"dose_number": 0.0}, [0.0, 1.0])
    with pytest.raises(InputError, match="priming"):
        solve({"primin": 2.0}, [0.0, 1.0])

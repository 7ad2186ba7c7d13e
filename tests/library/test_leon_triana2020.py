"""leon_triana2020: what its declaration is and what follows from it; its targets are run in tests/reference."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.engine.solve import Dose, solve
from livingdrug.errors import InputError
from livingdrug.library.leon_triana2020 import LeonTriana2020

# BIOMD0000001011 and BIOMD0000001012; rho_L = 1/30 and rho_C = 0.25 alpha.
PUBLISHED = {
    "kill_rate": 4.5e-11, "growth_per_kill": 0.25, "car_t_lifetime": 14, "tumour_growth": 1 / 30, "b_cell_lifetime": 60,
    "progenitors_without_car_t": 1e7, "progenitor_lifetime": 6, "half_progenitor_car_t": 1e9,
    "progenitor_stimulation": 0.1, "car_t_at_infusion": 1e7, "tumour_at_infusion": 5e10, "b_cells_at_infusion": 2.5e10,
}  # fmt: skip


def test_parameters_are_the_published_ones():
    assert {name: p.value for name, p in LeonTriana2020.parameters.items()} == PUBLISHED
    pools = [s["progenitors_without_car_t"] for s in LeonTriana2020.parameter_sets.values()]
    assert pools == [0.0, 1e7, 3e8, 5e8]


def test_without_progenitors_their_other_constants_do_not_matter():
    """The system of three populations exactly: to the last bit, whatever beta, tau_I and C_50 are."""
    days = np.linspace(0, 60, 7)
    parameters = {
        "progenitors_without_car_t": 0.0,
        "progenitor_stimulation": [0.1, 0.0, 5.0],
        "progenitor_lifetime": [6.0, 1.0, 100.0],
        "half_progenitor_car_t": [1e9, 1.0, 1e20],
    }
    values = solve(LeonTriana2020, parameters, days, outputs=list(LeonTriana2020.states)).values
    assert np.array_equal(values[0], values[1])
    assert np.array_equal(values[0], values[2])


def test_without_car_t_the_leukaemia_grows_and_b_cells_reach_their_balance():
    found = solve(LeonTriana2020, {"car_t_at_infusion": 0.0}, [30.0, 400.0], rtol=1e-9)
    assert found["tumour_cells"][0, 0] == pytest.approx(5e10 * np.e, rel=1e-6)  # 30 days at 1/30 per day
    # B* = I_0 tau_B / tau_I = 1e8; what is left of the start falls with e^(-400/60).
    assert found["b_cells_total"][0, 1] == pytest.approx(1e8 + (2.5e10 - 1e8) * np.exp(-400 / 60), rel=1e-6)
    assert np.all(found["car_t_total"] == 0)


def test_a_late_dose_adds_car_t_cells():
    before, after = solve(LeonTriana2020, {}, [149.999, 150.0], doses=[Dose("car_t", 1e9, at=150.0)])["car_t_total"][0]
    assert after - before == pytest.approx(1e9, rel=1e-3)


def test_negative_progenitors_are_refused():
    with pytest.raises(InputError, match="progenitors_without_car_t"):
        solve(LeonTriana2020, {"progenitors_without_car_t": -1.0}, [1.0])

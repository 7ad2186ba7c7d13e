"""carrgo2020 beyond its targets: the limits of its equations and its scaled form."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.engine.solve import Dose, solve
from livingdrug.errors import InputError
from livingdrug.library.brummer2022 import Brummer2022
from livingdrug.library.carrgo2020 import Carrgo2020

DAYS = np.linspace(0.0, 10.0, 21)


def test_the_cases_are_those_of_the_figure():
    """(A, B) = (0, 0.2), (0, -0.2), (0.14, 1.6): section 7a of the note."""
    growth = Carrgo2020.parameters["tumour_growth"].value
    cases = {
        name: (values["car_t_death"] / growth, values["car_t_growth"] / growth)
        for name, values in Carrgo2020.parameter_sets.items()
    }
    expected = {"success": (0, 0.2), "failure": (0, -0.2), "coexistence": (0.14, 1.6)}
    assert {n: pytest.approx(c) for n, c in expected.items()} == cases
    assert growth == 2.1


def test_without_cells_the_tumour_follows_the_logistic_curve():
    found = solve(Carrgo2020, {"car_t_at_start": 0.0}, DAYS, rtol=1e-10)["cell_index"][0]
    assert found == pytest.approx(1 / (1 + np.exp(-2.1 * DAYS)), rel=1e-7)  # from half the ceiling


def test_without_a_tumour_the_cells_die_at_their_rate():
    found = solve(Carrgo2020, {"tumour_at_start": 0.0}, DAYS, rtol=1e-10)
    assert found["car_t_cell_index"][0] == pytest.approx(0.25 * np.exp(-0.14 * 2.1 * DAYS), rel=1e-7)
    assert (found["cell_index"] == 0).all()


def test_only_the_ratios_matter():
    """The scaled form: twice all rates is half the time; K and kappa_1 only set the units."""
    base = {name: p.value for name, p in Carrgo2020.parameters.items()}
    rates = ("tumour_growth", "kill_rate", "car_t_growth", "car_t_death")
    twice = {name: 2 * base[name] for name in rates}
    slow = solve(Carrgo2020, {}, DAYS, rtol=1e-10)["cell_index"][0]
    fast = solve(Carrgo2020, twice, DAYS / 2, rtol=1e-10)["cell_index"][0]
    assert fast == pytest.approx(slow, rel=1e-7)
    larger = {
        "tumour_capacity": 5.0,
        "tumour_at_start": 2.5,
        "car_t_growth": base["car_t_growth"] / 5,
        "kill_rate": base["kill_rate"] / 3,
        "car_t_at_start": 0.75,
    }
    scaled = solve(Carrgo2020, larger, DAYS, rtol=1e-10)
    assert scaled["cell_index"][0] / 5 == pytest.approx(slow, rel=1e-7)


def test_the_quantity_that_a_closed_orbit_would_keep_falls():
    """Lyapunov's function of the coexistence point falls along every course, so the point draws all of them."""
    base = {name: p.value for name, p in Carrgo2020.parameters.items()}
    point = 0.14 / 1.6, 1 - 0.14 / 1.6
    found = solve(Carrgo2020, {}, np.linspace(0, 30, 301), rtol=1e-10)
    x, y = found["cell_index"][0], found["car_t_cell_index"][0]
    value = base["car_t_growth"] * (x - point[0] * np.log(x)) + base["kill_rate"] * (y - point[1] * np.log(y))
    assert (np.diff(value) < 1e-9).all()


def test_brummer2022_without_drug_is_the_same_model():
    hourly = {name: Carrgo2020.parameters[name].value / 24 for name in ("tumour_growth", "kill_rate", "car_t_growth")}
    values = hourly | {"car_t_death": 0.14 * 2.1 / 24, "crowding": 1.0, "tumour_at_start": 0.5}
    found = solve(Brummer2022, values, DAYS, rtol=1e-10)["cell_index"][0]
    assert found == pytest.approx(solve(Carrgo2020, {}, DAYS, rtol=1e-10)["cell_index"][0], rel=1e-7)


def test_more_cells_kill_faster_and_a_dose_adds_to_them():
    doses = [Dose("car_t", amount=1.0)]
    more = solve(Carrgo2020, {}, [0, 0.5], doses=doses)
    plain = solve(Carrgo2020, {}, [0, 0.5])
    assert more["car_t_cell_index"][0, 0] == 1.25
    assert more["cell_index"][0, 1] < plain["cell_index"][0, 1]


def test_exhaustion_may_be_negative_growth_but_death_may_not():
    solve(Carrgo2020, {"car_t_growth": -1.0}, [0, 1.0])
    with pytest.raises(InputError, match="car_t_death"):
        solve(Carrgo2020, {"car_t_death": -1.0}, [0, 1.0])

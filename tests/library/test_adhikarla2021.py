"""adhikarla2021 against the note's values and the closed forms of each treatment alone."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.engine.solve import Dose
from livingdrug.engine.solve import solve as run
from livingdrug.errors import InputError
from livingdrug.library.adhikarla2021 import Adhikarla2021

P = {name: p.value for name, p in Adhikarla2021.parameters.items()}
DAYS = np.array([7.0, 8.0, 14.0, 30.0])


def test_values_are_those_of_the_note():
    """Section 13; a microcurie is 3.7e4 becquerel, so that 0.1 microcurie gives 0.348 gray per day."""
    expected = {
        "radiation_decay": 0.07, "tumour_growth": 0.27, "car_t_death": 0.042, "kill_rate": 4.49e-7,
        "car_t_expansion": 3.6e-13, "tumour_radiosensitivity": 1.5, "car_t_radiosensitivity": 1.5,
        "damaged_clearance": 0.5, "tumour_at_start": 5e6, "car_t_dose": 1e6, "car_t_day": 7.0,
        "injected_activity": 3700, "radionuclide_day": 32,
    }  # fmt: skip
    assert {name: P[name] for name in expected} == expected
    assert P["dose_rate_per_activity"] * 3.7e4 == pytest.approx(3.48)
    sets = Adhikarla2021.parameter_sets
    assert [s["injected_activity"] for s in sets.values()] == [3700, 0, 3700, 3700, 0]
    assert [s["car_t_dose"] for s in sets.values()] == [1e6, 1e6, 0, 1e6, 0]
    assert sets["car_t_then_radionuclide"]["radionuclide_day"] - sets["car_t_then_radionuclide"]["car_t_day"] == 25
    assert sets["radionuclide_then_car_t"]["car_t_day"] - sets["radionuclide_then_car_t"]["radionuclide_day"] == 22


def gray(days):
    """Dose received from day 7 on, in gray."""
    return 0.348 / 0.07 * (1 - np.exp(-0.07 * (days - 7)))


def test_untreated_tumour_grows_exponentially():
    found = run(Adhikarla2021, Adhikarla2021.parameter_sets["untreated"], DAYS, rtol=1e-9)
    assert found["tumour_cells"][0] == pytest.approx(5e6 * np.exp(0.27 * DAYS), rel=1e-7)
    assert np.all(found["car_t_total"] == 0)
    assert np.all(found["radiation_dose_rate"] == 0)


def test_radionuclide_alone():
    """Undamaged cells: growth less 1.5 per gray; the dose rate falls by 7 % a day."""
    only = Adhikarla2021.parameter_sets["radionuclide_only"]
    found = run(Adhikarla2021, only, DAYS, outputs=["radiation_dose_rate", "tumour"], rtol=1e-9)
    assert found["radiation_dose_rate"][0] == pytest.approx(0.348 * np.exp(-0.07 * (DAYS - 7)), rel=1e-7)
    assert found["tumour"][0] == pytest.approx(5e6 * np.exp(0.27 * DAYS - 1.5 * gray(DAYS)), rel=1e-6)


def test_damaged_cells_are_neither_lost_nor_made():
    """Without growth and clearance the sum of damaged and undamaged cells stays; with clearance it falls."""
    only = {**Adhikarla2021.parameter_sets["radionuclide_only"], "tumour_growth": 0.0, "damaged_clearance": [0.0, 0.5]}
    found = run(Adhikarla2021, only, DAYS, rtol=1e-9)["tumour_cells"]
    assert found[0] == pytest.approx(5e6, rel=1e-9)
    assert np.all(np.diff(found[1]) < 0)


def test_radiation_kills_car_t_cells():
    both = {"tumour_at_start": 0.0, "radionuclide_day": 7.0}
    found = run(Adhikarla2021, both, DAYS, rtol=1e-9)["car_t_total"][0]
    assert found == pytest.approx(1e6 * np.exp(-0.042 * (DAYS - 7) - 1.5 * gray(DAYS)), rel=1e-6)


def test_activity_may_be_given_in_parts():
    """Two injections of half the dose rate at one instant are one; later ones add to what is left."""
    only = Adhikarla2021.parameter_sets["radionuclide_only"]
    halves = run(Adhikarla2021, {**only, "injected_activity": 1850.0}, DAYS, doses=[Dose("dose_rate", 0.174, at=7.0)])
    assert halves["tumour_cells"] == pytest.approx(run(Adhikarla2021, only, DAYS)["tumour_cells"], rel=1e-6)
    later = run(Adhikarla2021, only, [14.0], doses=[Dose("dose_rate", 0.1, at=14.0)])["radiation_dose_rate"][0, 0]
    assert later == pytest.approx(0.348 * np.exp(-0.49) + 0.1, rel=1e-6)


@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-9])
def test_no_population_is_negative_when_car_t_cells_return(rtol):
    """Far beyond the lethal size the tumour makes the CAR T cells expand again and is all but gone."""
    for values in Adhikarla2021.parameter_sets.values():
        found = run(Adhikarla2021, dict(values), np.arange(0, 366.0), outputs=[*Adhikarla2021.states], rtol=rtol)
        assert not found.failed.any()
        assert found.values.min() > -1e-3


def test_impossible_values():
    for name in ("kill_rate", "injected_activity", "car_t_day"):
        with pytest.raises(InputError, match=name):
            run(Adhikarla2021, {name: -1.0}, [1.0])
    with pytest.raises(InputError, match="did you mean 'radionuclide_day'"):
        run(Adhikarla2021, {"radionuclid_day": 3.0}, [1.0])

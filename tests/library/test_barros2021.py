"""barros2021 against the note's table, closed forms, its rule of extinction, and its virtual mice."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.engine.solve import Crossing
from livingdrug.engine.solve import solve as run
from livingdrug.errors import InputError
from livingdrug.library.barros2021 import VARIED, Barros2021, untreated_survival, virtual_mice

P = {name: p.value for name, p in Barros2021.parameters.items()}

# The table of the note (section 9): HDLM-2 with CAR123, RAJI with CAR19.
TABLE = {
    "expansion": (0.265, 0.830),
    "reduction": (0.350, 0.8300536),
    "memory_conversion": (0.150, 1.59795),
    "memory_recall": (6.0e-6, 2.3e-4),
    "inhibition": (4.5e-8, 1.248506e-8),
    "memory_death": (5.0e-3, 6.89e-7),
    "tumour_growth": (5.650026e-2, 0.5071721),
    "inverse_capacity": (1.404029e-12, 0.0),
    "kill_rate": (3.715843e-6, 3.365388e-8),
}


def test_values_are_those_of_the_table():
    sets = Barros2021.parameter_sets
    for k, name in enumerate(("hdlm2_car123", "raji_car19")):
        assert {n: sets[name][n] for n in TABLE} == {n: row[k] for n, row in TABLE.items()}
    assert {n: P[n] for n in TABLE} == {n: row[0] for n, row in TABLE.items()}
    assert (sets["hdlm2_car123"]["tumour_at_start"], sets["hdlm2_car123"]["first_dose_day"]) == (2e6, 42)
    assert [sets["raji_car19"][n] for n in ("tumour_at_start", "first_dose", "first_dose_day")] == [3e6, 1e7, 7]
    assert {n: P[n] for n in sets["hdlm2_car123"]} == dict(sets["hdlm2_car123"])


def test_ido_and_its_blocker_differ_from_raji_in_inhibition_alone():
    raji, ido, blocked = (
        dict(Barros2021.parameter_sets[n]) for n in ("raji_car19", "raji_ido_car19", "raji_ido_car19_1mt")
    )
    assert (ido.pop("inhibition"), blocked.pop("inhibition")) == (1.461699e-8, 1.261662e-8)
    del raji["inhibition"]
    assert raji == ido == blocked


def test_untreated_tumour_grows_by_the_logistic_law():
    days = np.array([42.0, 150.0, 300.0])
    r, b = P["tumour_growth"], P["inverse_capacity"]
    grown = 2e6 * np.exp(r * days)
    found = run(Barros2021, {"first_dose": 0.0}, days, rtol=1e-9)
    assert found["tumour_cells"][0] == pytest.approx(grown / (1 + b * (grown - 2e6)), rel=1e-7)
    assert np.all(found["car_t_total"] == 0)


def test_cells_without_a_tumour():
    """Effector cells fall at 0.265 - 0.350 per day and feed memory, which dies at 0.005 per day."""
    days = np.array([0.0, 10.0, 60.0])
    found = run(Barros2021, {"tumour_at_start": 0.0}, 42 + days, rtol=1e-9)
    effector = 2e6 * np.exp(-0.085 * days)
    memory = 0.150 * 2e6 / (0.085 - 0.005) * (np.exp(-0.005 * days) - np.exp(-0.085 * days))
    assert found["car_t_effector_total"][0] == pytest.approx(effector, rel=1e-6)
    assert found["car_t_memory_total"][0] == pytest.approx(memory, rel=1e-6, abs=1e-6)


def test_each_dose_arrives_on_its_day():
    doses = {"first_dose": 5e5, "second_dose": 4e5, "third_dose": 3e5, "fourth_dose": 2e5}
    days = np.array([42.0, 49.0, 56.0, 63.0])
    at = np.sort(np.concatenate([days - 1e-6, days]))
    cells = run(Barros2021, doses, at, rtol=1e-9)["car_t_effector_total"][0]
    assert cells[1::2] - cells[::2] == pytest.approx([5e5, 4e5, 3e5, 2e5], rel=1e-4)


def test_an_extinct_tumour_stays_so():
    """After 2e6 cells the tumour falls below 1e-6 cells; it would be back within 1500 days if it could still grow."""
    found = run(Barros2021, {}, [100.0, 300.0, 2000.0])["tumour_cells"][0]
    assert np.all(found < 1e-6)
    # The 5e5 cells of the balanced mouse leave about one cell at the lowest, from which the tumour grows again ...
    course = run(Barros2021, {"first_dose": 5e5, "extinct_below": [1e-6, 2.0]}, [75.0, 300.0])["tumour_cells"]
    assert course[0] == pytest.approx([0.95, 944], abs=0.5)
    # ... but not under a rule that counts fewer than two cells as extinct.
    assert course[1, 1] < course[1, 0] < 2


def test_a_challenge_is_cleared_by_memory():
    """Figure 3a: 1e6 tumour cells on day 250 find the memory of 2e6 CAR T cells; without it they grow."""
    times = [249.0, 250.0, 300.0]
    found = run(Barros2021, {"challenge": 1e6, "memory_death": [0.005, 5.0]}, times)["tumour_cells"]
    assert np.all(found[:, 0] < 1e-6)
    assert found[:, 1] == pytest.approx([1e6, 1e6], rel=1e-9)
    assert found[0, 2] < 1
    assert found[1, 2] > 1e7


def test_every_set_solves_at_every_tolerance():
    for name, values in Barros2021.parameter_sets.items():
        for rtol in (1e-4, 1e-6, 1e-9):
            found = run(Barros2021, dict(values), [0.0, 30.0, 300.0], outputs=[*Barros2021.states], rtol=rtol)
            assert not found.failed.any(), name
            assert np.all(found.values >= -1e-3), name


def test_virtual_mice():
    mice = virtual_mice(400, seed=3)
    for name in VARIED:
        share = mice[name] / P[name]
        assert share.min() > 0.4
        assert share.max() < 1.6
    balance = mice["reduction"] - mice["expansion"]
    assert np.all((balance > 0) & (balance < mice["memory_conversion"]))
    assert untreated_survival(mice["tumour_growth"], mice["inverse_capacity"]).max() < 200
    fewer, other = virtual_mice(10, seed=3), virtual_mice(10, seed=4)
    assert np.array_equal(fewer["expansion"], mice["expansion"][:10])
    assert not np.any(other["expansion"] == fewer["expansion"])


def test_untreated_survival_is_that_of_the_equations():
    rates = {"tumour_growth": np.array([0.03, 0.0565, 0.09]), "inverse_capacity": np.array([1.4e-12, 5e-11, 2e-12])}
    lethal = {"death": Crossing("tumour_cells", above=1e10)}
    found = run(Barros2021, {**rates, "first_dose": 0.0}, [400.0], crossings=lethal, rtol=1e-9).crossing_time["death"]
    assert untreated_survival(**rates) == pytest.approx(found, rel=1e-6)
    assert np.isinf(untreated_survival(0.05, 2e-10))  # a mouse that carries 5e9 cells only


@pytest.mark.parametrize("count", [0, -3, 2.5, True])
def test_impossible_number_of_mice(count):
    with pytest.raises(InputError, match="count must be a whole number from 1 on"):
        virtual_mice(count)


def test_impossible_values():
    for name in ("first_dose", "tumour_growth", "challenge"):
        with pytest.raises(InputError, match=name):
            run(Barros2021, {name: -1.0}, [1.0])
    with pytest.raises(InputError, match="did you mean 'inhibition'"):
        run(Barros2021, {"inhibiton": 1e-8}, [1.0])
